# SPDX-License-Identifier: Apache-2.0
"""Cases of the sibling proof about processes (the rows that sibling.py measures, in groups), files, and objects of the
kernel that calls might share."""
import glob
import json
import os
import socket

import box
import host
from proof_cases import NO, WORKS, Case, case, worked
from proof_forge import control
from proof_room import Void, check, equal
from proof_wire import hand_over


def group(name, light, full, why, *rows):
    made = Case(name, light, full, why, None)
    made.rows = rows
    return made


GROUPS = [
    group('environment', NO, NO, 'environ of the sibling and of its threads', 'proc-environ', 'proc-task-environ'),
    group('memory', NO, NO, 'mem, maps, map_files, process_vm_readv and writev, process_madvise and others', 'proc-mem',
          'proc-maps', 'proc-smaps', 'proc-map_files', 'vm-readv', 'vm-writev', 'process-madvise', 'process-mrelease',
          'move-pages', 'proc-clear-refs'),
    group('descriptors', NO, NO, 'fd, fdinfo, an open memfd, pidfd_getfd, kcmp', 'proc-fd', 'proc-fdinfo',
          'proc-fd-stdin', 'proc-fd-memfd', 'pidfd-getfd', 'kcmp'),
    group('root-cwd-exe', NO, NO, 'root, cwd and exe of the sibling, as links and to pass through',
          'proc-root-link', 'proc-cwd-link', 'proc-exe-link', 'proc-exe', 'proc-root/tmp', 'proc-cwd/.'),
    group('state', NO, NO, 'cmdline, status, stat, io, auxv, mountinfo and others', 'proc-cmdline', 'proc-status',
          'proc-stat', 'proc-io', 'proc-auxv', 'proc-mountinfo', 'proc-limits', 'proc-comm', 'proc-task',
          'proc-cgroup'),
    group('ptrace', NO, NO, 'PTRACE_SEIZE and ATTACH, syscall, stack, robust list', 'ptrace-seize', 'ptrace-attach',
          'proc-syscall', 'proc-stack', 'robust-list'),
    group('signals', NO, NO, 'kill, tgkill, rt_sigqueueinfo, pidfd_send_signal, to a group, to everybody', 'kill-0',
          'kill-usr1', 'kill-cont', 'tgkill', 'tkill', 'sigqueue', 'tgsigqueue', 'pidfd-signal', 'pidfd-signal-group',
          'kill-group', 'stop', 'kill-all', 'all-pids-reach'),
    group('signals-by-descriptor', NO, NO, 'SIGIO by F_SETOWN and F_SETOWN_EX: can be asked for, does not arrive',
          'owner-of-descriptor', 'owner-of-descriptor-ex'),
    group('attributes', NO, NO, 'prlimit, setpriority, ioprio_set, sched_set*, oom_score_adj', 'prlimit-get',
          'prlimit-set', 'setpriority', 'setpriority-group', 'ioprio-set', 'ioprio-set-group', 'sched-setscheduler',
          'sched-setparam', 'sched-setattr', 'sched-setaffinity', 'proc-oom-score-adj', 'proc-timerslack'),
    group('namespaces', NO, NO, 'setns by /proc/PID/ns and by pidfd', 'ns-open-net', 'ns-open-ipc', 'ns-open-pid',
          'ns-open-mnt', 'ns-open-user', 'setns-net', 'setns-ipc', 'setns-pid', 'setns-pidfd', 'pidfd-net-namespace'),
    group('abstract-sockets', NO, NO, 'abstract Unix sockets of the sibling', 'abstract-stream', 'abstract-dgram'),
    group('its-loopback', NO, NO, 'servers on the sibling\'s loopback', 'loopback-tcp', 'loopback-udp',
          'any-tcp-by-loopback'),
    group('its-address', NO, NO, 'servers on the sibling\'s address, also on a port of the gateway', 'address-tcp',
          'address-udp', 'address-gateway-port'),
    group('its-proc-net', NO, NO, '/proc/PID/net of the sibling', 'proc-net/tcp', 'proc-net/unix'),
    group('sysv', WORKS, NO, 'System V shared memory, semaphores, queues', 'sysv-shm-key', 'sysv-shm', 'sysv-sem',
          'sysv-msg'),
    group('mqueue', NO, NO, 'POSIX message queues', 'mqueue-open', 'mqueue-receive'),
    group('terminal', WORKS, NO, '/dev/pts/N of the sibling', 'terminal-open', 'terminal-write'),
    group('posix-shm', WORKS, WORKS, 'POSIX shared memory: files in /dev/shm', 'dev-shm-file'),
    group('path-sockets', WORKS, WORKS, 'Unix sockets in shared directories', 'path-socket'),
    group('shared-files', WORKS, WORKS, 'files in /tmp that the user may write', 'tmp-file'),
    group('existence', WORKS, NO, 'that a number is in use, its parent, priority, affinity, processor time',
          'pidfd-open', 'pidfd-info', 'getpriority', 'ioprio-get', 'sched-getaffinity', 'sched-getscheduler',
          'sched-getattr', 'getpgid', 'getsid', 'cpu-clock', 'all-pids-exist'),
]


def of_rows(group_, measured, proven):
    """The outcome of a group, and why there is none."""
    if not measured:
        return 'failed', 'it was not measured'
    tried = {r: measured[r] for r in group_.rows if r in measured}
    if not any(r in proven for r in tried):
        return None, 'no attempt has succeeded in a control'
    good = [r for r, token in tried.items() if token == 'ok']
    if good and len(good) != len(tried):
        return 'partly', 'of %s only %s' % (sorted(tried), good)
    return worked(good), ''


def with_own_directories(room, p):
    """Two calls, each with the grant for a directory of its own, and a canary in the second one's."""
    made = []
    for kind in ('mine', 'its'):
        directory = room.file(kind)
        os.mkdir(directory)
        made += [room.call(p.isolation, None, '--write', directory, '--read', room.tools), directory]
    one, mine, two, its = made
    two('write', its + '/canary', 'canary')
    equal(two('read', its + '/canary'), 'canary', 'what the sibling itself reads')
    return one, mine, two, its


@case(NO, NO, 'files of the sibling\'s grant: by path, link, rename, /proc')
def files_of_its_grant(room, p):
    one, mine, two, its = with_own_directories(room, p)
    os.symlink(its + '/canary', mine + '/link')
    got = [one.token('read', path) for path in (its + '/canary', mine + '/link', '/proc/self/root' + its + '/canary',
                                                mine + '/../' + os.path.basename(its) + '/canary')]
    got += [one.token('write', its + '/new', 'x'), one.token('hard_link', its + '/canary', mine + '/hard'),
            one.token('rename', its + '/canary', mine + '/moved'), one.token('rename', mine, its + '/in')]
    left = sorted(os.listdir(its)), open(its + '/canary').read() if os.path.exists(its + '/canary') else None
    one.end(), two.end()
    return worked([g for g in got if g in ('ok', 'canary')] or left != (['canary'], 'canary'))


@case(WORKS, WORKS, 'an open file of the sibling\'s grant, passed on by it')
def lent_file(room, p):
    one, _, two, its = with_own_directories(room, p)
    two('make', 'file', its + '/canary')
    meeting = '/var/tmp/' + host.word()
    one('wait_at', meeting)
    two('give', 'file', meeting)
    one('take', 'file', meeting)
    result = worked(one.token('read_kept', 'file') == 'canary')
    one.end(), two.end()
    return result


@case(NO, NO, 'its environ, mem and root through a descriptor of its /proc/self that it passed on')
def lent_proc_directory(room, p):
    p.two('make', 'proc', '/proc/self')
    if not p.two('through_kept', 'proc', 'environ'):
        raise Void('the sibling itself reads nothing')
    hand_over(room, p.two, p.one, 'proc')
    return worked([n for n in ('environ', 'mem', 'maps', 'root/etc/passwd', 'fd/0', 'task/self/environ')
                   if not p.one.refused('through_kept', 'proc', n)])


@case(NO, NO, 'keys of the kernel (add_key, keyctl)')
def keyrings(room, p):
    text = 'canary-' + host.word()
    number = room.outside.token('key_add', text)
    if not isinstance(number, int) or room.outside.token('key_read', number) != text:
        raise Void('the kernel has no keys for us: %s' % number)
    return worked(not p.two.refused('key_add', text) or p.one.token('key_read', number) == text)


@case(WORKS, WORKS, 'inotify on directories that both may read: names of files')
def inotify(room, p):
    directory, name = room.file('dir'), host.word()
    os.mkdir(directory)
    if p.one.token('watch', directory) != 'ok':
        return NO
    p.two('write', directory + '/' + name, 'x')
    return worked(name in p.one('watched'))


@case(NO, NO, 'inotify on the sibling\'s /proc, fanotify on anything')
def fanotify(room, p):
    control(room.outside, 'fanotify', 0x200)  # FAN_REPORT_FID: without privilege since Linux 5.13
    control(room.outside, 'watch', '/proc/%d' % room.outside.process.pid)
    # All the numbers that it has, which only the host knows.
    numbers = {n for q in host.own_processes(p.two.mark) for n in box.numbers(q)[1:]} - {p.one('own_number')}
    tried = [('watch', '/proc/%d' % n) for n in numbers] + [('fanotify', 0), ('fanotify', 0x200)]
    return worked([t for t in tried if not p.one.refused(*t)])


@case(WORKS, NO, 'numbers of the files that the sibling has locked, in /proc/locks')
def proc_locks(room, p):
    path = room.file('lock')
    inode = p.two('lock', path)
    if not [x for x in room.outside('read', '/proc/locks').splitlines() if ':%d ' % inode in x]:
        raise Void('the host does not list the lock either')
    return worked([x for x in str(p.one.token('read', '/proc/locks')).splitlines() if ':%d ' % inode in x])


@case(WORKS, WORKS, 'size and times of files in directories that both may read; their locks hold for both')
def times_of_files(room, p):
    path = room.file('times')
    p.two('write', path, 'x')
    before = p.one.token('times', path)
    p.two('write', path, 'xyz')
    p.two('lock', path)
    return worked(isinstance(before, list) and p.one('times', path) != before and p.one.refused('lock', path))


@case(NO, NO, 'what is typed for the sibling\'s terminal (TIOCSTI)')
def typed_into_terminal(room, p):
    name = p.two('terminal')
    own = p.one('terminal')
    control(room.outside, 'into_terminal', room.outside('terminal'))
    return worked([n for n in (name, own) if not p.one.refused('into_terminal', n)])


@case(NO, NO, 'descriptors of the sibling, of its client or of the runtime, inherited')
def inherited_descriptors(room, p):
    left, right = socket.socketpair()
    os.set_inheritable(right.fileno(), True)
    canary = os.readlink('/proc/self/fd/%d' % right.fileno())
    outside = room.agent([room.tools + '/agent'], pass_fds=(right.fileno(),))
    if canary not in outside('descriptors').values():
        raise Void('a program outside does not inherit it')
    call = room.agent(room.box.words(p.isolation, [room.tools + '/agent']), pass_fds=(right.fileno(),))
    found = call('descriptors')
    its = p.two('descriptors')
    call.end(), outside.end()
    left.close(), right.close()
    return worked(sorted(found) != ['0', '1', '2'] or canary in found.values() or
                  set(found.values()) & set(its.values()))


@case(NO, NO, 'the sockets and files by which nsbox itself is told what to do')
def sockets_of_the_runtime(room, p):
    paths = [q for q in glob.glob(room.place.environment['XDG_RUNTIME_DIR'] + '/**', recursive=True)
             if os.path.exists(q) and not os.path.isdir(q) and not os.path.isfile(q)]
    state = glob.glob(room.place.environment['XDG_STATE_HOME'] + '/nsbox/sandboxes/*/info')
    if not paths or not state or not room.outside('find_sockets', paths):
        raise Void('the host does not reach them either: %s' % paths)
    words = paths + [room.box.name, 'nsbox-supervisor']
    return worked(p.one('find_sockets', words) or not p.one.refused('read', state[0]))


@case(NO, NO, 'processes of the sibling, and of nsbox, in the list of /proc')
def listed_processes(room, p):
    numbers = p.one('processes_seen')
    if len(room.outside('processes_seen')) < 5:
        raise Void('the host lists no others')
    return worked(set(numbers) - {p.one('own_number')})


@case(NO, NO, 'the audit log, and with it what the sibling did')
def audit_log(room, p):
    logs = glob.glob(room.place.environment['XDG_STATE_HOME'] + '/nsbox/audit/*.jsonl')
    if room.outside.refused('read', logs[0], 100):
        raise Void('the user cannot read it either')
    check(json.loads(open(logs[0]).readline()), 'it is the log')
    return worked(not p.one.refused('read', logs[0], 100))
