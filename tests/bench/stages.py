# SPDX-License-Identifier: Apache-2.0
"""Where the time of a start goes: the marks that strace sees in each process of one run, and the dearest calls.
strace slows everything down several times, so only the proportions count; the first table is without it."""
import os
import re
import subprocess
import collections

STRACE = '/usr/bin/strace'
MARKS = ('execve', 'clone', 'clone3', 'vfork', 'unshare', 'setns', 'pivot_root', 'seccomp', 'landlock_restrict_self',
         'exit_group', 'mount', 'fsmount', 'move_mount', 'sendmsg', 'recvmsg', 'wait4', 'waitid')
LINE = re.compile(r'^(\d+) +(\d+\.\d+) (\w+)\((.*?)(?:\) += (-?\w+).*?<([\d.]+)>| <unfinished)')
RESUMED = re.compile(r'^(\d+) +(\d+\.\d+) <\.\.\. (\w+) resumed>.*?= (-?\w+).*?<([\d.]+)>')


def trace(options, flags, path):
    command = [STRACE, '-f', '-qq', '-ttt', '-T', '-s', '60', '-o', path, options.nsbox, 'run', '-C',
               options.work + '/job'] + flags + ['--', '/usr/bin/true']
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def analyse(path):
    counts, times, marks, names = collections.Counter(), collections.Counter(), [], {}
    first = None
    with open(path, errors='replace') as f:
        for line in f:
            m = LINE.match(line)
            r = None if m else RESUMED.match(line)
            if not m and not r:
                continue
            pid, at, call = (m or r).group(1, 2, 3)
            first = first or float(at)
            took = (m.group(6) if m else r.group(5)) or 0
            if m:
                counts[call] += 1
                if call == 'execve':
                    names[pid] = m.group(4).split(',')[0].strip('"').rsplit('/', 1)[-1]
            times[call] += float(took)
            if call in MARKS:
                detail = m.group(4)[:70] if m else '...'
                marks.append(((float(at) - first) * 1e3, pid, names.get(pid, '-'), call, detail, float(took) * 1e3))
    return counts, times, marks


def measure(options, _targets):
    if not os.access(STRACE, os.X_OK):
        print('no strace: skipped the stages of a start\n')
        return
    for title, flags in (('--net none', ['--net', 'none']), ('with the gateway', [])):
        path = options.work + '/strace.txt'
        trace(options, flags, path)
        if not os.path.exists(path):
            continue
        counts, times, marks = analyse(path)
        print('System calls of one start %s: %d' % (title, sum(counts.values())))
        waiting = {'wait4', 'waitid', 'epoll_wait', 'epoll_pwait', 'poll', 'ppoll', 'recvmsg', 'futex', 'read', 'pause'}
        for call, seconds in [x for x in times.most_common() if x[0] not in waiting][:14]:
            print('  %-28s %5d calls %8.0f us under strace' % (call, counts[call], seconds * 1e6))
        if options.only == 'stages':
            print('  marks (ms from the start, process, call):')
            for at, pid, name, call, detail, took in marks:
                print('  %8.2f %6s %-18s %-24s %6.2f ms  %s' % (at, pid, name[:18], call, took, detail))
        print()
