# SPDX-License-Identifier: Apache-2.0
"""Every attempt that the probe makes: what may come of each of its steps inside, and where the control runs.

allowed: {step: tokens}, '*' for all other steps, 're:...' for steps by pattern. A token is "ok", an errno name, or a
word of the probe. controls: 'host' = outside as the same user; 'userns' = outside in fresh namespaces; 'world' = in
the closed network of @world. A step is proven when a control's token is "ok" (with reach: anything not allowed
inside). Steps of `positive` must work inside; they need no control.
control_proof(run): for attempts that are judged by the oracle only, whether the control had its effect."""


class Attempt:
    def __init__(self, number, name, allowed, controls=('host',), options=(), reach=False, positive=(), wrap=None,
                 facts=None, before=None, during=None, oracle=None, tty=None, stdin=None, contacts=0, ignore=(), control_proof=None):
        self.number = number
        self.name = name
        self.allowed = allowed if isinstance(allowed, dict) else {'*': allowed}
        self.controls = controls
        self.options = options
        self.reach = reach
        self.positive = set(positive)
        self.wrap = wrap
        self.facts = facts or {}
        self.before = before
        self.during = during
        self.oracle = oracle
        self.tty = tty
        self.stdin = stdin
        self.contacts = contacts
        self.ignore = set(ignore)
        self.control_proof = control_proof

    def allowed_for(self, step):
        if step in self.positive:
            return {'ok'}
        if step in self.allowed:
            return set(self.allowed[step].split())
        for key, value in self.allowed.items():
            if key.endswith('*') and step.startswith(key[:-1]) and key != '*':
                return set(value.split())
        return set(self.allowed.get('*', '').split())


HIDDEN = 'ENOENT EACCES'
READ_ONLY = 'EROFS EACCES'
NO = 'EPERM'
PROTECTED = 'EROFS EACCES EBUSY EPERM EXDEV'
PROC = 'ENOENT EACCES EPERM ESRCH'
SOCKET = 'EPERM EACCES EAFNOSUPPORT EPROTONOSUPPORT ESOCKTNOSUPPORT'
NOT_THERE = 'ECONNREFUSED ENETUNREACH EHOSTUNREACH EADDRNOTAVAIL EPERM EACCES'
NO_WORD = NOT_THERE + ' ECONNRESET EPIPE closed 403 other ETIMEDOUT'
PROTECT_FLAGS = ['--protect', '{work}/pfile', '--protect', '{work}/pdir', '--protect', '{work}/a/b/pdeep']
NO_CAPS = '0000000000000000'


def attempts(hooks):
    """hooks: the module with the host's part of some attempts."""
    a = Attempt
    return [
        a(1, 'read-secret', HIDDEN),
        a(2, 'write-canary', {'*': 'EROFS ENOENT EACCES', 'link-in': 'EROFS ENOENT EACCES EXDEV',
                              'rename-over': 'EROFS ENOENT EACCES EXDEV'}),
        a(3, 'read-only-mount', {'*': READ_ONLY, 'remount': NO, 'setattr': NO, 'usr-remount': NO},
          ('host', 'userns')),
        a(4, 'unmount', NO, ('userns',)),
        a(5, 'dot-dot', {'*': HIDDEN, 'climb': 'root'}, ('host',), during=hooks.move_out,
          oracle=hooks.moved_untouched),
        a(6, 'symlinks', {'*': HIDDEN + ' EROFS'}),
        a(9, 'protected-states', PROTECTED, options=PROTECT_FLAGS),
        a(10, 'link-exchange', {'*': PROTECTED, 'link-write': PROTECTED + ' ENOENT'}, options=PROTECT_FLAGS),
        a(11, 'git-hooks', PROTECTED),
        a(12, 'set-uid-file', {'*': 'EPERM', 'exec': 'ignored', 'prepare': 'ok'}, before=hooks.make_set_uid),
        a(13, 'device-nodes', {'*': 'EPERM EACCES', 'open-existing': 'EACCES'}, before=hooks.make_node),
        a(14, 'dev-list', {'*': 'ENOENT', 'extra': 'none'}),
        a(15, 'file-handles', NO, ('host', 'userns')),
        a(16, 'inode-times', {'*': 'EROFS', 'chmod-*': 'EROFS EPERM', 'touch-*': 'EROFS EACCES EPERM'}),
        a(17, 'reopen-proc-fd', {'*': READ_ONLY}, positive=('chdir',)),
        a(18, 'map-shared', 'EACCES'),
        a(20, 'private-dirs', {'*': HIDDEN, 'make-tmp': 'ok', 'make-home': 'ok', 'make-home-rc': 'ok',
                               'make-shm': 'ok EACCES ENOENT EROFS', 'make-var-tmp': 'ok EACCES ENOENT EROFS'},
          oracle=hooks.nothing_made),
        a(22, 'file-owner', {'*': NO + ' EINVAL', 'seen': 'own'}, positive=('create', 'mkdir'),
          oracle=hooks.owned_by_caller, ignore=('seen',), control_proof=hooks.any_step),
        a(23, 'init-files', {'*': PROC, 'secret-*': 'none'}),
        a(24, 'init-executable', {'*': PROC, 'self-write': 'ETXTBSY EACCES', 'product-write': HIDDEN + ' EROFS ETXTBSY'},
          oracle=hooks.product_unchanged),
        a(25, 'sysctl-files', 'EACCES EROFS ENOENT EPERM', ('host', 'userns')),
        a(26, 'kernel-files', {'*': 'EACCES ENOENT EPERM', 'kallsyms': 'zero EACCES ENOENT EPERM',
                               'iomem': 'zero EACCES ENOENT EPERM',
                               'keys': 'empty EACCES ENOENT EPERM', 'key-users': 'empty EACCES ENOENT EPERM ok',
                               'swaps': 'ok EACCES ENOENT', 'modules': 'ok EACCES ENOENT',
                               'config.gz': 'ok EACCES ENOENT', 'interrupts': 'ok EACCES ENOENT',
                               'scsi': 'ok EACCES ENOENT', 'acpi': 'ok EACCES ENOENT',
                               'bus/pci/devices': 'ok EACCES ENOENT'},
          ignore=('key-users', 'swaps', 'modules', 'config.gz', 'interrupts', 'scsi', 'acpi', 'bus/pci/devices')),
        a(27, 'host-process', {'*': 'ESRCH EPERM', 'listed': 'none', 'stat': 'ENOENT'}),
        a(28, 'own-maps', {'*': 'EPERM EACCES', 'oom-other': PROC, 'coredump-other': PROC,
                           'clear-refs-other': PROC, 'timerslack-other': PROC,
                           'attr': 'EACCES EINVAL EPERM ENOENT'}),
        a(29, 'trace', 'EPERM ESRCH EACCES ENOENT ENOSYS'),
        a(30, 'cgroup-files', {'*': 'ENOENT EROFS EACCES', 'list': 'ENOENT EACCES empty', 'mount-v1': NO,
                               'mount-v2': NO}, ('host', 'userns')),
        a(31, 'mount-again', NO + ' ENOSYS', ('userns',)),
        a(32, 'sys-files', 'ENOENT EACCES'),
        a(33, 'host-loopback', {'*': NOT_THERE + ' ECONNRESET closed'}),
        a(33, 'host-loopback-no-network', NOT_THERE, options=['--net', 'none']),
        a(33, 'host-loopback-port-listened', NO_WORD, options=['--allow', 'tcp://canary.invalid:{port}']),
        a(34, 'world-addresses', NO_WORD, ('world',), wrap='world', oracle=hooks.world_silent),
        a(34, 'world-addresses-ports-listened', NO_WORD, ('world',), wrap='world', oracle=hooks.world_silent,
          options=['--allow', 'https://canary.invalid:8080', '--allow', 'canary.invalid:53']),
        a(35, 'other-protocols', {'*': SOCKET, 'udp*': NO_WORD, 'ping-group': SOCKET + ' ECONNREFUSED ETIMEDOUT'},
          ('world', 'userns'), wrap='world', oracle=hooks.world_silent),
        a(36, 'dns-tunnel', {'*': 'answer ECONNREFUSED', 'other-resolver*': 'answer ECONNREFUSED EAGAIN ECONNRESET',
                             'mdns': NO_WORD, 'llmnr': NO_WORD}, ('world',), wrap='world',
          oracle=hooks.world_silent, ignore=('a-unlisted', 'txt-tunnel', 'null-tunnel', 'mx', 'aaaa', 'ptr', 'tcp',
                                             'other-resolver', 'other-resolver-tcp'),
          control_proof=hooks.any_step),
        a(40, 'own-socket', {'*': NO_WORD, 'transparent': 'EPERM', 'mark': 'EPERM', 'source-route': 'EPERM EINVAL',
                             'bind-foreign': 'EADDRNOTAVAIL', 'fast-open': 'EPERM EOPNOTSUPP',
                             'fast-open-connect': 'EPERM ok'}, ('world', 'userns'), wrap='world',
          oracle=hooks.world_silent, ignore=('fast-open-connect', 'bind-foreign', 'source-route')),
        a(41, 'socket-families', SOCKET, ('host', 'userns')),
        a(42, 'configure-network', 'EPERM EACCES EAFNOSUPPORT EPROTONOSUPPORT', ('userns',)),
        a(43, 'io-uring', 'EPERM ENOSYS', reach=True),
        a(44, 'listen-port', {'*': 'ok', 'client': 'ETIMEDOUT', 'stolen': 'ETIMEDOUT'}, before=hooks.pick_port,
          during=hooks.knock, contacts=1, ignore=('listen', 'steal')),
        a(45, 'inherited-sockets', 'EBADF', wrap='caller'),
        a(47, 'abstract-socket', 'ECONNREFUSED EPERM EACCES'),
        a(48, 'path-sockets', HIDDEN + ' ECONNREFUSED'),
        a(49, 'sysv-ipc', 'ENOENT EINVAL EPERM ENOSYS EACCES EIDRM'),
        a(51, 'credentials-spoof', {'*': NO, 'uid': 'EPERM EINVAL', 'connect': 'ok EACCES EPERM'}, ('host', 'userns'),
          before=hooks.work_socket, oracle=hooks.peer_is_caller, ignore=('connect',)),
        a(52, 'keyring', 'EPERM ENOSYS ENOKEY'),
        a(54, 'shared-memory', {'*': PROC, 'own-shm': 'ok EACCES ENOENT EROFS'}, positive=('own-memfd',),
          oracle=hooks.no_shm, ignore=('own-shm',)),
        a(55, 'type-into-terminal', {'*': 'EPERM EIO ENOTTY', 'open-tty': 'ok ENXIO ENOENT', 'acquire': 'ok EPERM',
                                     'dev-tty': 'EPERM EIO EBADF'}, tty='private', oracle=hooks.nothing_typed,
          ignore=('open-tty', 'acquire')),
        a(55, 'type-into-inherited-terminal',
          {'*': 'EPERM EIO ENOTTY', 'open-tty': 'ENXIO ENOENT EACCES', 'acquire': 'EPERM',
           'dev-tty': 'EPERM EIO EBADF'}, tty='inherited', oracle=hooks.nothing_typed, ignore=('acquire',)),
        a(56, 'console-controls', {'*': 'EPERM ENOTTY', 'tty0': HIDDEN + ' ENXIO', 'vcs': HIDDEN, 'paste*': NO,
                                   'console': 'EPERM EBADF ENOTTY'}, tty='private', reach=True),
        a(58, 'disturb-terminal', {'*': 'ok EPERM ENOTTY EACCES EINVAL EIO'}, tty='private',
          oracle=hooks.terminal_same, control_proof=hooks.terminal_changed),
        a(58, 'disturb-inherited-terminal', {'*': 'ok EPERM ENOTTY EACCES EINVAL EIO'}, tty='inherited',
          oracle=hooks.settings_same, control_proof=hooks.terminal_changed),
        a(60, 'stdio-file', {'*': READ_ONLY + ' ENOENT', 'write': 'EBADF'},
          stdin='file', ignore=('write',)),
        a(60, 'stdio-directory', HIDDEN + ' EROFS EPERM ENOTDIR', stdin='directory', facts={'stdin_dir': 1}),
        a(61, 'new-namespaces', 'EPERM ENOSYS ENOSPC', ('host', 'userns')),
        a(62, 'join-namespaces', {'*': NO + ' EBADF', 'open-*': PROC, 'pidfd': 'ok EPERM ESRCH'},
          ('host', 'userns'), ignore=('pidfd',)),
        a(63, 'groups-and-maps', {'*': NO + ' EACCES', 'setgroups': NO, 'setresuid': 'EINVAL EPERM',
                                  'map-of-init': PROC}, ('host', 'userns')),
        a(65, 'names-and-clocks', NO, ('host', 'userns')),
        a(66, 'double-chroot', {'*': NO, 'fd-up': HIDDEN}, ('userns', 'host')),
        a(67, 'propagation', {'late-mount': HIDDEN, 'mountinfo': 'none', 'mount': NO}, ('world',), wrap='world',
          options=['--read', '{share}'], positive=('before',)),
        a(69, 'clone-tricks', {'*': 'EPERM EINVAL ESRCH ENOSYS', 'pdeathsig': 'ok', 'clone-ptrace': 'ok EPERM',
                               'clone-untraced': 'ok EPERM'}, ignore=('pdeathsig', 'clone-ptrace', 'clone-untraced'),
          oracle=hooks.no_escapee),
        a(70, 'init-signals', {'*': 'EPERM ESRCH'}, positive=('alive', 'orphans')),
        a(71, 'other-abis', 'SIGSYS ENOSYS', reach=True),
        a(72, 'unknown-numbers', 'ENOSYS', reach=True),
        a(73, 'each-call', 'EPERM ENOSYS', reach=True),
        a(74, 'clone-flags', {'*': NO, 'clone3-plain': 'ENOSYS'}, ('host', 'userns'), positive=('thread', 'vfork')),
        a(75, 'domain-sweep', {'sweep': 'none', 'pair-sweep': '', 'socketcall': 'SIGSYS ENOSYS EPERM',
                               'died': 'SIGSYS'}, ('host', 'userns'),
          positive=('unix', 'inet', 'inet-udp', 'inet6', 'netlink-route'), ignore=('died',)),
        a(76, 'ioctls', NO, reach=True),
        a(77, 'prctls', {'*': NO, 'keep-caps': 'EPERM ok', 'new-privs': 'EINVAL EPERM', 'seccomp-off': 'EINVAL EPERM',
                         'filter': 'ok'}, ('host', 'userns'), ignore=('keep-caps', 'filter')),
        a(78, 'more-confinement', '', positive=('filter', 'filter-again', 'landlock-layers', 'write-after')),
        a(79, 'write-xor-execute', {'with-mdwe': 'EACCES', 'without': 'ok'}, ignore=('without',), reach=True),
        a(82, 'privileges', {'NoNewPrivs': '1', 'Seccomp': '2', 'Cap*': NO_CAPS, 'securebits': '0xef 0x2f 0xff',
                             'Groups': hooks.GROUPS, 'ids': hooks.IDS}, reach=True, ignore=('Groups', 'ids')),
        a(83, 'more-privileges', {'setuid-0': 'EPERM EINVAL ' + hooks.OK_FOR_ROOT, 'setgid-0': 'EPERM EINVAL',
                                  'setuid-other': 'EPERM EINVAL', 'setresuid': 'EPERM EINVAL', 'setgroups': 'EPERM',
                                  '*': 'ignored ENOENT'}, ('host', 'userns')),
        a(84, 'environment', 'none'),
        a(85, 'inherited-descriptors', {'descriptor': '', 'count': 'none', 'cwd': 'work'}, wrap='caller',
          reach=True, ignore=('cwd',)),
        a(87, 'inherited-state', {'SigBlk': NO_CAPS, 'SigIgn': NO_CAPS, 'SigCgt': NO_CAPS + ' 0000000000002000',
                                  'umask': '022', 'core': '0 1', 'open-files': '1024', 'timer': '0', 'pending': '0',
                                  'session-leader': '1', 'dumpable': '0 1', 'file-size': '-1 1073741824', 'cpu': '-1',
                                  'data': '-1'}, wrap='caller', reach=True,
          ignore=('SigCgt', 'session-leader', 'dumpable', 'file-size', 'cpu', 'data')),
        a(88, 'core-dump', {'raise-limit': NO, 'lower-limit': NO, 'dumped': 'none'}, oracle=hooks.no_core),
        a(91, 'fork-bomb', {'*': 'EAGAIN'}, options=['--pids', '300'], facts={'bomb': 700}, oracle=hooks.responsive),
        a(95, 'descriptor-exhaustion', {'raise-hard': NO, 'open': 'EMFILE'}, facts={'descriptors': 5000}),
        a(97, 'priorities', 'EPERM EACCES'),
    ]
