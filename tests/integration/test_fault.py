# SPDX-License-Identifier: Apache-2.0
"""Each system call of the set-up fails once. Then either the command has run with every control in force, or it has
not run and one message says why; and nothing is left on the host."""
import os

from harness.fault import EVERY, SANITIZED, Faults, program
from harness.registry import cases, check, equal, test

FULL = ('ENOSYS', 'EPERM', 'ENOMEM')
FILES = (*FULL, 'EMFILE')
# What can be interrupted, or wait.
TALK = (*FULL, 'EINTR')

MOUNTS = {
    'fsopen': FILES, 'fsconfig': FULL, 'fsmount': FILES, 'move_mount': FULL, 'open_tree': FILES, 'mount_setattr': FULL,
    'pivot_root': FULL, 'umount2': FULL, 'openat2': FILES, 'mkdirat': FULL, 'symlinkat': FULL, 'mknodat': FULL,
    'fchdir': FULL, 'fchmod': FULL, 'sethostname': FULL, 'fstatfs': FULL, 'unlinkat': FULL,
}
PROCESSES = {
    'clone3': FULL, 'clone': FULL, 'unshare': FULL, 'setns': FULL, 'execveat': FULL, 'execve': FULL, 'setsid': FULL,
    'wait4': ('EINTR',), 'waitid': ('EINTR',), 'pidfd_send_signal': FULL, 'kill': FULL,
}
CONFINEMENT = {
    'prctl': FULL, 'capget': FULL, 'capset': FULL, 'seccomp': FULL, 'landlock_create_ruleset': FILES,
    'landlock_add_rule': FULL, 'landlock_restrict_self': FULL, 'prlimit64': FULL, 'setrlimit': FULL, 'mlockall': FULL,
    'close_range': FULL, 'madvise': FULL,
}
DESCRIPTORS = {
    'socketpair': FILES, 'memfd_create': FILES, 'fcntl': FILES, 'epoll_create1': FILES, 'epoll_ctl': FULL,
    'epoll_wait': ('EINTR',),
    'signalfd4': FILES, 'dup2': (*FULL, 'EINTR', 'EMFILE'), 'dup3': FILES, 'pipe2': FILES, 'eventfd2': FILES,
    'poll': ('EINTR', 'ENOMEM'),
    'ftruncate': TALK, 'pread64': FULL,
}
MESSAGES = {'sendmsg': (*TALK, 'EMFILE'), 'recvmsg': (*TALK, 'EMFILE')}
NETWORK = {
    'socket': FILES, 'bind': FULL, 'listen': FULL, 'setsockopt': FULL, 'getsockopt': FULL, 'sendto': TALK,
    'recvfrom': TALK, 'ioctl': FULL, 'accept4': (*FILES, 'EINTR'), 'connect': TALK, 'getsockname': FULL,
}
FILES_AND_WRITES = {
    'openat': (*FILES, 'EINTR'), 'write': (*TALK, 'ENOSPC', 'EIO'), 'read': TALK, 'fstat': FULL, 'newfstatat': FULL,
    'faccessat2': FULL, 'readlinkat': FULL, 'getrandom': TALK, 'fdatasync': FULL, 'flock': TALK, 'renameat': FULL,
    'lseek': FULL,
}
GROUPS = {'mounts': MOUNTS, 'processes': PROCESSES, 'confinement': CONFINEMENT, 'descriptors': DESCRIPTORS,
          'messages': MESSAGES, 'network': NETWORK, 'files': FILES_AND_WRITES}


def with_policy(f):
    """Paths of every kind, and the state directory in the workspace, where it has to be hidden."""
    f.box.state = f.box.env['XDG_STATE_HOME'] = f.box.work + '/.state'
    os.mkdir(f.box.state, 0o700)
    flags = ['--hide', '.env', '--hide', 'hidden', '--protect', 'kept', '--read', 'read-only', '--tmpfs',
             f.box.work + '/inner:1M',
             '--open-files', '200', '--env', 'A=b']
    return [f.box.nsbox_path, 'run', '--net', 'none', *flags, '--', *f.canary_command()]


MODES = {
    'none': lambda f: [f.box.nsbox_path, 'run', '--net', 'none', '--', *f.canary_command()],
    'gateway': lambda f: [f.box.nsbox_path, 'run', '--', *f.canary_command()],
    'full': lambda f: [f.box.nsbox_path, 'run', '--net', 'none', '--isolation', 'full', '--', *f.canary_command()],
    'policy': with_policy,
}
# What each of these processes can do without, as (call, arguments...), where the canary would not show it.
LIBRARY = ('prlimit64', 0, 3), ('getrandom',), ('prctl', 15)   # of libc, and a name
OPEN_FILES = ('prlimit64', 0, 7)
OPTIONAL = {
    # A gateway started ahead (which binds itself to the supervisor too), the connections of prepared calls, and that
    # calls may be light.
    'nsbox-superviso': (*LIBRARY, OPEN_FILES, ('setsid',), ('fcntl', None, 4), ('fcntl', None, 1030), ('epoll_ctl',),
                        ('sendmsg',), ('recvmsg',), ('clone',), ('socketpair',), ('prctl', 1, 9),
                        ('landlock_create_ruleset', 0, 0, 1)),
    # Advice for BoringSSL, a filter that saves work, the network, which the canary does not use, and what its parent
    # has bound already.
    'nsbox-gateway': (*LIBRARY, OPEN_FILES, ('prctl', 1, 9), ('madvise',), ('setsockopt', None, 1, 26), ('sendmsg',),
                      ('recvmsg',)),
    'nsbox': (*LIBRARY, ('setsid',), ('ioctl', None, 0x5401), ('fcntl', None, 1), ('lseek',)),
}
# Inits and calls are prepared ahead; what fails is made anew when it is asked for, and the canary is in that. But what
# they do to themselves the canary does not see: without it they have to end.
NEEDED = {
    'nsbox-guardian': (),
    'nsbox-launcher': (('prctl', 4, 0), ('prctl', 1, 9)),
    'nsbox-init': (('prctl', 4, 0), ('prctl', 23), ('prctl', 24), ('prctl', 28), ('prctl', 38), ('prctl', 47),
                   ('capset',),
                   ('seccomp',)),
}
TALK_CALLS = ('recvmsg', 'sendmsg', 'poll', 'epoll_wait', 'epoll_ctl')


def is_among(hit, calls):
    return any(hit.call == call and all(want in (None, got) for want, got in zip(arguments, hit.arguments))
               for call, *arguments in calls)


class Rules:
    """What may follow from which fault."""

    def __init__(self, group):
        # Success is enough then: most look for what need not be there, and the canary compares.
        self.lenient = group == 'files'

    def optional(self, hit):
        """Whether success is right, with the canary as it has to be."""
        if hit.process in NEEDED:
            return not is_among(hit, NEEDED[hit.process])
        return self.lenient or is_among(hit, OPTIONAL['nsbox' if hit.process == 'fault_call' else hit.process])

    @staticmethod
    def ended_later(hit):
        """Whether the sandbox may have ended, with a record, only after the command had."""
        return hit.process == 'nsbox-init'

    def judge(self, hit, status, out):
        """What is wrong with what the program printed, or ''."""
        return ''

    @staticmethod
    def may_differ(hit):
        """Beginnings of lines of the canary."""
        if hit and hit.process == 'nsbox-superviso' and hit.call == 'landlock_create_ruleset':
            return ('pid_max', 'mount /dev/pts')  # then the call is full
        if hit and hit.call == 'fcntl' and hit.arguments[1] == 1:
            return ('fd ',)  # not open, as far as it was told
        if hit and hit.process == 'nsbox-launcher' and hit.call == 'prlimit64':
            return ('limit 6 ',)  # the limit of the init before stays, which is lower
        return ()

    @staticmethod
    def vague(hit):
        """What failed is the talk itself, or the loader of a helper, whose words nobody hears."""
        return (hit.process in ('nsbox', 'nsbox-superviso', 'nsbox-gateway') and
                (hit.call in TALK_CALLS or hit.call in ('read', 'pread64', 'getrandom') or '/lib' in hit.path or
                 (hit.path == '-' and hit.call == 'newfstatat')))


# With sanitizers for what the error paths do to memory, so of each kind of fault a few.
MOST = 10000 if EVERY else 60 if SANITIZED else 120


@cases([(mode + '.' + group, mode, group) for mode in MODES for group in GROUPS], timeout=100)
def run(t, mode, group):
    Faults(t, MODES[mode]).all(GROUPS[group], seed=102, most=MOST, rules=Rules(group),
                               seconds=10000 if EVERY else 60 * t.slowness)


class AnyTime(Rules):
    """Also while and after the command runs: then the fault may cost the run, but not the truth about it."""

    def optional(self, hit):
        return True


@cases([(mode, mode) for mode in ('none', 'gateway')], timeout=100)
def any_time(t, mode):
    Faults(t, MODES[mode], marks=()).all({**MESSAGES, 'poll': ('EINTR', 'ENOMEM'), 'epoll_wait': ('EINTR', 'ENOMEM'),
                                          'wait4': ('EINTR',), 'waitid': ('EINTR',),
                                          'write': ('ENOSPC', 'EIO', 'EINTR')},
                                         seed=103, most=MOST, rules=AnyTime('files'),
                                         seconds=10000 if EVERY else 60 * t.slowness)


class StartRules(Rules):
    """Faults in the start of a call: the caller gets an error with a stage, and the sandbox goes on."""

    def optional(self, hit):
        return hit.process != 'fault_call' or super().optional(hit)

    def judge(self, hit, status, out):
        lines = out.splitlines()
        if len(lines) != 2:
            return 'printed %r' % out
        call, again = lines
        if not call.startswith(('call ok 0 ', 'call failed ')) or call.split()[3] == 'none':
            return 'the call: %r' % call
        # Where a part of the sandbox was lost (init is still closing itself up), all of it is, and the
        # next start says so.
        lost = call.startswith(('call failed ', 'call ok 0 9')) or hit.process in ('nsbox-init', 'nsbox-gateway')
        # What is not taken out of an epoll set (the kernel never refuses that) is seen again after it is gone.
        lost |= hit.call == 'epoll_ctl' and hit.arguments[1] == 2
        # A part that cannot be heard is lost; that may be the gateway, which makes the next call ready after this one.
        lost |= hit.process == 'nsbox-superviso' and hit.call == 'recvmsg'
        # So is a guardian that cannot wait any more, also after the end of its call: then what it guards is not guarded.
        lost |= hit.process == 'nsbox-guardian' and hit.call == 'poll'
        if again != 'again ok 0 0' and not (again.startswith('again failed ') and lost):
            return 'the next call: %r' % again
        return ''


def start_command(mode, isolation):
    return lambda f: [program(f.t, 'fault_call'), f.box.work, mode, isolation, 'start', *f.canary_command()]


START = {**PROCESSES, **CONFINEMENT, **DESCRIPTORS, **MESSAGES, **NETWORK,
         **{call: MOUNTS[call] for call in ('open_tree', 'move_mount', 'mount_setattr', 'fsopen', 'fsmount',
                                            'openat2')}}


@cases([(mode + '.' + isolation, mode, isolation) for mode in ('none', 'gateway') for isolation in ('light', 'full')],
       timeout=100)
def start(t, mode, isolation):
    faults = Faults(t, start_command(mode, isolation), marks=('-m', '-e'))
    faults.quiet = True
    faults.all(START, seed=104, most=MOST, rules=StartRules('start'),
               seconds=10000 if EVERY else 60 * t.slowness)


# A system call that never works, and the stage and object that the error of sandbox_create() or sandbox_start() names.
STAGES = [
    ('clone', 'EPERM', 'create', 'helper', 'nsbox-supervisor'),
    ('dup2', 'EMFILE', 'create', 'helper', 'nsbox-supervisor'),
    ('close_range', 'ENOSYS', 'create', 'helper', 'nsbox-supervisor'),
    ('prctl', 'EPERM', 'create', 'helper', 'nsbox-supervisor'),
    ('dup3', 'EMFILE', 'create', 'helper', 'nsbox-launcher'),
    ('memfd_create', 'ENOSYS', 'create', 'policy', 'policy'),
    ('clone3', 'EPERM', 'create', 'user-namespace', 'clone3'),
    ('clone3', 'ENOSYS', 'create', 'user-namespace', 'clone3'),
    ('unshare', 'EPERM', 'create', 'network', 'lo'), ('ioctl', 'EPERM', 'create', 'network', 'lo'),
    ('setns', 'EPERM', 'create', 'network', 'gateway'), ('bind', 'EACCES', 'create', 'network', 'gateway'),
    ('listen', 'EPERM', 'create', 'network', 'gateway'), ('setsockopt', 'EPERM', 'create', 'network', 'gateway'),
    ('sethostname', 'EPERM', 'create', 'namespace', 'hostname'),
    ('capget', 'EPERM', 'create', 'capabilities', 'nsbox-init'),
    ('capset', 'EPERM', 'create', 'capabilities', 'nsbox-init'),
    ('signalfd4', 'EMFILE', 'create', 'internal', 'signalfd'),
    ('fsopen', 'ENOSYS', 'create', 'mount', 'tmpfs'), ('fsconfig', 'EPERM', 'create', 'mount', 'tmpfs'),
    ('move_mount', 'EPERM', 'create', 'mount', '/'), ('open_tree', 'ENOSYS', 'create', 'mount', '/usr'),
    ('mount_setattr', 'ENOSYS', 'create', 'mount', '/usr'), ('openat2', 'ENOSYS', 'create', 'policy', 'WORKDIR'),
    ('symlinkat', 'EPERM', 'create', 'mount', '/bin'), ('mknodat', 'EPERM', 'create', 'mount', '/etc'),
    ('pivot_root', 'EPERM', 'create', 'mount', '/'),
    ('landlock_create_ruleset', 'ENOSYS', 'create', 'landlock', 'landlock'),
    ('landlock_add_rule', 'EPERM', 'create', 'landlock', '/'),
    ('landlock_restrict_self', 'EPERM', 'create', 'landlock', 'gateway'),
    ('setsid', 'EPERM', 'call', 'internal', 'setsid'), ('execve', 'EACCES', 'call', 'exec', None),
]


@test(timeout=100)
def stages(t):
    """The API names stage and object of what never works, and the message ends with the reason."""
    faults = Faults(t, lambda f: [program(t, 'fault_call'), f.box.work, 'gateway', 'light', 'all',
                                  *f.canary_command()])
    problems = []
    for call, error, step, stage, about in STAGES:
        status, out, err, hit, _ = faults.run(call, error, '1+')
        words = out.split(None, 5)
        got = (status, words[:2], words[3:4], words[4].rstrip(':') if len(words) > 4 else '')
        want = (95, [step, 'failed'], [stage], faults.box.work if about == 'WORKDIR' else about or faults.canary)
        # mknodat is refused and avoided where the user may not make device nodes at all.
        if got != want or faults.what_holds():
            problems.append('%s %s: got %r (%r), want %r' % (call, error, got, out, want))
        left = faults.left()
        if left:
            problems.append('%s %s: left %r' % (call, error, left))
    equal(problems, [], '%d of %d' % (len(problems), len(STAGES)))
    check(len(STAGES) > 25, 'stages')
