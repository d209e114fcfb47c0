# SPDX-License-Identifier: Apache-2.0
"""Cold start: the whole process from spawn to reaped, beside bubblewrap with the same mounts and a plain process."""
import os
import subprocess

BWRAP = '/usr/bin/bwrap'


def bwrap_command(work, like=()):
    """The same root as nsbox makes by default: system directories read-only, the rest private. like: the mounts seen
    inside nsbox, from which the ones that bubblewrap does not make by itself (masks, more private directories) are
    added, so that both do the same."""
    command = [BWRAP, '--unshare-all', '--die-with-parent', '--new-session', '--cap-drop', 'ALL']
    for name in ('/usr', '/etc', '/opt', '/srv', '/var/lib', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'):
        if os.path.islink(name):
            command += ['--symlink', os.readlink(name), name]
        elif name in ('/usr', '/etc', '/opt') and os.path.isdir(name):
            command += ['--ro-bind', name, name]
    command += ['--dev', '/dev', '--proc', '/proc', '--tmpfs', '/tmp', '--tmpfs', '/run', '--tmpfs', '/home']
    for root, point in like:
        if point.startswith('/proc/'):
            command += ['--ro-bind', '/dev/null' if root.startswith('/proc/') else point, point]
        elif point.startswith('/sys/'):
            command += ['--ro-bind', point, point]
        elif root.startswith('/proc/') and point not in ('/tmp', '/run', '/home', '/dev/shm'):
            command += ['--tmpfs', point]
    return command + ['--bind', work, work, '--chdir', work, '--']


def mounts(command):
    """(root, mount point) of every mount that a command run that way sees."""
    done = subprocess.run(command + ['/bin/cat', '/proc/self/mountinfo'], stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return [tuple(line.split()[3:5]) for line in done.stdout.splitlines()]


def measure(options, targets):
    rounds = 20 if options.quick else 300
    job = options.work + '/job'
    nsbox = [options.nsbox, 'run', '-C', job]
    kinds = {
        'posix_spawn': ['/usr/bin/true'],
        'nsbox --net none': nsbox + ['--net', 'none', '--', '/usr/bin/true'],
        'nsbox (gateway)': nsbox + ['--', '/usr/bin/true'],
        'nsbox version': [options.nsbox, 'version'],
    }
    if os.access(BWRAP, os.X_OK):
        inside = mounts(nsbox + ['--net', 'none', '--'])
        kinds['bwrap --unshare-all'] = bwrap_command(job, inside) + ['/usr/bin/true']
        kinds['bwrap, fewer mounts'] = bwrap_command(job) + ['/usr/bin/true']
    command = [options.work + '/timer', str(rounds)]
    for name, argv in kinds.items():
        command += ['---', name.replace(' ', '_')] + argv
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=job)
    print('Cold start of `true`, spawn to reaped, %d rounds in turns (us)' % rounds)
    print('%-24s %8s %8s %8s %8s %10s %9s' % ('', 'p50', 'p95', 'mean', 'min', 'p50/bwrap', 'failures'))
    rows = {}
    for line in done.stdout.splitlines():
        words = line.split()
        rows[words[0].replace('_', ' ')] = [float(w) for w in words[2:]]
    rows['posix_spawn'] = rows.pop('posix spawn', [0] * 5)
    bwrap = rows.get('bwrap --unshare-all')
    for name, row in rows.items():
        print('%-24s %8.0f %8.0f %8.0f %8.0f %10s %9.0f' % (
            name, *row[:4], '%.2f' % (row[0] / bwrap[0]) if bwrap else '-', row[4]))
    if bwrap:
        print('mounts seen inside: nsbox %d, bwrap %d\n' % (
            len(inside), len(mounts(bwrap_command(job, inside)))))
        for name, limit in (('nsbox --net none', 0.8), ('nsbox (gateway)', 1.2)):
            broken = rows[name][4] or bwrap[4]
            targets.add('cold start %s / bwrap, p50' % name, rows[name][0] / bwrap[0], limit, 'x',
                        'FAILED RUNS: no valid figure' if broken else 'p95 %.2f x' % (rows[name][1] / bwrap[1]))
    else:
        print('no %s to compare with\n' % BWRAP)
    targets.show()
