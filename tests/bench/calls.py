# SPDX-License-Identifier: Apache-2.0
"""What a call costs beside a plain process and beside bubblewrap for each command, interleaved (calls.c), for several
commands, at several concurrencies and pool depths; then the memory of one more idle sandbox."""
import os
import subprocess

import start

# DESIGN 14, for one call at a time with prepared calls.
LIMITS = {'true': 1.10, 'git status': 1.05, 'python3 -c pass': 1.01}
VARIANTS = 'spawn,spawn2,light,light-net,full,full-net'


def commands(options):
    repository = options.work + '/job'
    if not os.path.isdir(repository + '/.git'):
        subprocess.run(['git', 'init', '-q', repository], check=True)
        for i in range(100):
            with open('%s/file%d' % (repository, i), 'w') as f:
                f.write('line\n' * 20)
    return {
        'true': ['/usr/bin/true'],
        'sh -c :': ['/bin/sh', '-c', ':'],
        'git status': ['/usr/bin/git', 'status'],
        'python3 -c pass': ['/usr/bin/python3', '-c', 'pass'],
    }


def rows(options, argv, rounds, at_once, pool, pause):
    """Name -> (p10, p50, p95, p99, mean, cpu, failures)."""
    command = [options.work + '/calls', str(rounds), str(at_once), str(pool), str(pause), str(min(rounds, 200)),
               options.work + '/job', VARIANTS + (',bwrap' if os.access(start.BWRAP, os.X_OK) else '')]
    if os.access(start.BWRAP, os.X_OK):
        command += ['--bwrap'] + start.bwrap_command(options.work + '/job') + ['--bwrap-end']
    done = subprocess.run(command + argv, stdout=subprocess.PIPE, text=True, cwd=options.work + '/job')
    found = {}
    for line in done.stdout.splitlines():
        words = line.split()
        found[words[0]] = [float(w) for w in words[1:]]
    return found


def show(found, at_once):
    base = found['spawn']
    print('%-12s %7s %7s %7s %7s %8s %8s %8s %9s' % (
        'us', 'p10', 'p50', 'p95', 'p99', 'cpu', 'x p10', 'x p50', 'failures'))
    for name, row in found.items():
        print('%-12s %7.0f %7.0f %7.0f %7.0f %8.0f %8.3f %8.3f %9.0f' % (
            name, *row[:4], row[5], row[0] / base[0], row[1] / base[1], row[6]))
    print()


def measure_latency(options, targets):
    rounds = options.rounds or (20 if options.quick else 1000)
    plan = [(1, 64, 5000), (1, 0, 5000), (4, 64, 20000), (4, 0, 5000), (16, 64, 50000), (16, 0, 5000)]
    for at_once, pool, pause in plan[:2] if options.quick else plan:
        for name, argv in commands(options).items():
            n = rounds if at_once == 1 else max(20, rounds // (2 * at_once))
            found = rows(options, argv, n, at_once, pool, pause)
            print('`%s`, %d at once, pool of %d prepared calls, %d rounds, %d ms between batches' % (
                name, at_once, pool, n, pause // 1000))
            if 'spawn' not in found:
                print('FAILED\n')
                continue
            show(found, at_once)
            if at_once == 1 and pool and name in LIMITS:
                for variant in ('light', 'light-net'):
                    targets.add('call of `%s`, %s / posix_spawn, p50' % (name, variant),
                                found[variant][1] / found['spawn'][1], LIMITS[name], 'x',
                                'p10 %.3f x, noise of posix_spawn itself %.3f x' % (
                                    found[variant][0] / found['spawn'][0], found['spawn2'][1] / found['spawn'][1]))


def pss(pids):
    total = 0
    for pid in pids:
        try:
            with open('/proc/%s/smaps_rollup' % pid) as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith('Pss:'))
        except OSError:
            pass  # not ours to read, or gone
    return total


def helpers():
    """Processes of ours: everything below our runtime is named like that."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/comm' % pid) as f:
                if f.read().startswith('nsbox-'):
                    found.append(pid)
        except OSError:
            pass
    return found


def measure_memory(options, targets):
    if os.getuid() != 0:
        print('memory of idle sandboxes: only root can read the memory maps of processes that nothing may trace\n')
        return
    for net, limit in (('none', 1024), ('gateway', 2048)):
        command = [options.work + '/idle', options.work + '/job', net]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        totals = []
        for n in (20, 70):
            process.stdin.write('%d\n' % n)
            process.stdin.flush()
            process.stdout.readline()
            totals.append(pss(helpers()))
        process.stdin.close()
        process.wait()
        each = (totals[1] - totals[0]) / 50
        print('one more idle sandbox, net %s: %.0f KiB PSS of all its processes' % (net, each))
        targets.add('memory of one more idle sandbox, net %s (KiB)' % net, each, limit, 'KiB')
    print()


def measure(options, targets):
    measure_latency(options, targets)
    targets.show()
    measure_memory(options, targets)
    targets.show()
