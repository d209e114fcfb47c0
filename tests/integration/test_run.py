# SPDX-License-Identifier: Apache-2.0
"""nsbox run: exit status, stdio, arguments, environment, defaults inside, workdir, signals."""
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

from harness.box import Box
from harness.registry import cases, check, equal, test, until


@cases([('zero', 'exit 0', 0), ('one', 'exit 1', 1), ('seven', 'exit 7', 7), ('highest', 'exit 255', 255),
        ('term', 'kill -TERM $$', 128 + 15), ('kill', 'kill -KILL $$', 128 + 9), ('segv', 'kill -SEGV $$', 128 + 11)])
def exit_status(t, script, want):
    equal(Box(t).sh(script).code, want, 'exit status')


@test
def exit_not_found(t):
    result = Box(t).run('no-such-command-here')
    equal(result.code, 127, 'exit status')
    check('nsbox: ' in result.err and 'no-such-command-here' in result.err, 'stderr does not name it: %r' % result)


@test
def exit_not_executable(t):
    box = Box(t)
    path = t.write('box/work/plain', 'no program\n')
    os.chmod(path, 0o644)
    result = box.run('./plain')
    equal(result.code, 126, 'exit status')
    check('plain' in result.err, 'stderr does not name it: %r' % result)


def in_time(box, script, first):
    """Run it with a time limit that lets it print its first words, on a machine that others use: (result, seconds)."""
    for limit in (1, 5, 20):
        result = box.sh(script, flags=['--timeout', '%ds' % limit])
        if result.out.startswith(first):
            break
    return result, limit


@test(timeout=120)
def exit_timeout(t):
    box = Box(t)
    result, limit = in_time(box, 'echo started; sleep 600', 'started\n')
    equal(result.code, 124, 'exit status (%r)' % result)
    equal(result.out, 'started\n', 'stdout')
    check(result.seconds > limit * 0.9, 'it took %.1f s' % result.seconds)
    equal(box.audit('call.exit')[0]['reason'], 'timeout', 'reason in the audit log')


@test(timeout=120)
def timeout_kills_what_ignores_term(t):
    result, limit = in_time(Box(t), 'trap "" TERM; echo deaf; while :; do sleep 1; done', 'deaf\n')
    equal(result.code, 124, 'exit status')
    check(limit + 4 < result.seconds < limit + 25,
          'TERM at %d s and KILL 5 s later, but it took %.1f s' % (limit, result.seconds))


@test(timeout=120)
def timeout_lets_a_handler_run(t):
    result, _ = in_time(Box(t), 'trap "echo cleaned; exit 3" TERM; echo ready; sleep 600 & wait', 'ready\n')
    equal(result.out, 'ready\ncleaned\n', 'stdout')
    equal(result.code, 124, 'exit status')


@test
def exit_without_command(t):
    box = Box(t)
    result = box.nsbox('run')
    equal(result.code, 125, 'exit status')
    check(result.err.startswith('nsbox: '), 'stderr: %r' % result.err)


@test
def output_separate(t):
    result = Box(t).sh('echo to stdout; echo to stderr >&2').ok()
    equal(result.out, 'to stdout\n', 'stdout')
    equal(result.err, 'to stderr\n', 'stderr: nsbox itself stays silent')


@test
def input_and_binary_output(t):
    data = bytes(range(256)) * 4096
    result = Box(t).run('cat', input=data).ok()
    check(result.out_bytes == data, 'binary input came out changed')


@test
def output_large(t):
    box = Box(t)
    with box.start('run', '--', 'sh', '-c', 'yes 0123456789abcde | head -c 104857600') as process:
        digest, size = hashlib.sha256(), 0
        for block in iter(lambda: process.stdout.read(1 << 20), b''):
            digest.update(block)
            size += len(block)
        process.wait(40)
    equal(size, 104857600, 'bytes')
    want = hashlib.sha256(b'0123456789abcde\n' * (104857600 // 16)).hexdigest()
    equal(digest.hexdigest(), want, 'digest')


@test
def closed_reader_ends_the_command(t):
    box = Box(t)
    process = box.start('run', '--', 'yes')
    process.stdout.read(100)
    process.stdout.close()
    equal(process.wait(60), 128 + signal.SIGPIPE, 'exit status')
    process.stderr.close()


@test
def arguments_keep_their_borders(t):
    arguments = ['a b', '', '"quoted"', "it's", '$HOME', '*', '--', '-x', 'line\nbreak', 'ü\udcff', '\\']
    result = Box(t).python('out([os.fsencode(a).hex() for a in sys.argv[1:]])', *arguments).ok()
    equal([os.fsdecode(bytes.fromhex(a)) for a in result.json()], arguments, 'arguments')


@test
def options_after_the_command_are_its_own(t):
    result = Box(t).nsbox('run', 'echo', '--net', 'none', '-t').ok()
    equal(result.out, '--net none -t\n', 'stdout')


ENVIRONMENT = {'PATH', 'HOME', 'TMPDIR', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'NSBOX', 'PWD'}


@test
def environment_is_a_list(t):
    box = Box(t)
    outside = {'AWS_SECRET_ACCESS_KEY': 'leak', 'LD_PRELOAD': '/nonexistent.so', 'SSH_AUTH_SOCK': '/tmp/agent',
               'TERM': 'xterm-256color', 'COLORTERM': 'truecolor', 'LC_TIME': 'C', 'TZ': 'UTC', 'NO_COLOR': '1',
               'DBUS_SESSION_BUS_ADDRESS': 'x', 'BASH_ENV': '/x', 'PYTHONPATH': '/x', 'EDITOR': 'vi'}
    result = box.add('--net', 'none', **outside).run('env', '-0').ok()
    env = dict(item.split('=', 1) for item in result.out.split('\0') if item)
    want = (ENVIRONMENT - {'PWD'}) | {'TERM', 'COLORTERM', 'LC_TIME', 'TZ', 'NO_COLOR'}
    equal(sorted(set(env) - {'PWD', 'HOSTNAME'}), sorted(want), 'names with --net none')
    equal(env['PATH'], '/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin:/run/nsbox/bin', 'PATH')
    equal(env['HOME'], box.home, 'HOME')
    equal((env['TMPDIR'], env['SHELL'], env['NSBOX'], env['TERM']), ('/tmp', '/bin/sh', '1', 'xterm-256color'),
          'values')


@test
def environment_with_gateway_names_the_authority(t):
    env = dict(item.split('=', 1) for item in Box(t).run('env', '-0').ok().out.split('\0') if item)
    for name in ('SSL_CERT_FILE', 'CURL_CA_BUNDLE', 'REQUESTS_CA_BUNDLE', 'GIT_SSL_CAINFO', 'NODE_EXTRA_CA_CERTS'):
        check(name in env, name + ' is not set')
    check(not [n for n in env if 'proxy' in n.lower()], 'a proxy variable is set')
    check('LD_LIBRARY_PATH' not in env, 'the variables of the test came through')


@test
def environment_flags(t):
    box = Box(t).add('--env', 'ONE=1', '--env', 'TWO=a b=c', '--env', 'FROM_OUTSIDE', '--env', 'EMPTY=',
                     FROM_OUTSIDE='outer')
    file = t.write('box/vars', '# comment\nTHREE=3\nONE=file\n\nFOUR=four # not a comment\n')
    box.flags = ['--env-file', file] + box.flags
    result = box.sh('printf "%s|" "$ONE" "$TWO" "$THREE" "$FROM_OUTSIDE" "${EMPTY-unset}"').ok()
    equal(result.out, '1|a b=c|3|outer||', 'values: the flag beats the file')


@test
def defaults_inside(t):
    box = Box(t)
    result = box.python('''
def status(key):
    return [l.split(":", 1)[1].strip() for l in open("/proc/self/status") if l.startswith(key + ":")][0]
import resource
out({"uid": [os.getuid(), os.geteuid()], "gid": os.getgid(), "umask": (os.umask(0)),
     "caps": [status(c) for c in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")], "nnp": status("NoNewPrivs"),
     "seccomp": status("Seccomp"), "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
     "core": resource.getrlimit(resource.RLIMIT_CORE), "fds": sorted(int(x) for x in os.listdir("/proc/self/fd"))[:-1],
     "sid": os.getsid(0) == os.getpid() , "cwd": os.getcwd(), "blocked": status("SigBlk"), "ignored": status("SigIgn")})
''', stdin=subprocess.PIPE, input='').ok()
    got = result.json()
    equal(got['uid'], [os.getuid()] * 2, 'uid')
    equal(got['gid'], os.getgid(), 'gid')
    equal(got['umask'], 0o022, 'umask')
    equal(set(got['caps']), {'0' * 16}, 'capability sets')
    equal((got['nnp'], got['seccomp']), ('1', '2'), 'NoNewPrivs and Seccomp')
    equal(got['nofile'], [1024, 4096], 'open files')
    equal(got['core'], [1, 1], 'core size: what starts no handler either')
    equal(got['fds'], [0, 1, 2], 'open descriptors')
    equal(got['sid'], True, 'is a session leader')
    equal(got['cwd'], box.work, 'working directory')
    equal(int(got['blocked'], 16), 0, 'blocked signals')
    # Python itself ignores SIGPIPE (13) and SIGXFSZ (25).
    equal(int(got['ignored'], 16) & ~(1 << 12 | 1 << 24), 0, 'ignored signals')


@test
def leases_are_not_taken(t):
    box = Box(t)
    path = t.write('box/work/file', '')
    take = 'import fcntl, os\nfcntl.fcntl(os.open(%r, os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_WRLCK)' % path
    equal(subprocess.run(['/usr/bin/python3', '-c', take]).returncode, 0, 'control: outside, where the user can')
    result = box.python(take)
    check(result.code == 1 and 'PermissionError' in result.err, 'everybody else would wait to open it: %r' % result)


@test
def inherited_descriptors_are_closed(t):
    box = Box(t)
    fds = [os.open('/etc/passwd', os.O_RDONLY) for _ in range(3)]
    high = os.dup2(fds[0], 1023)
    result = box.run('ls', '/proc/self/fd', pass_fds=[*fds, high]).ok()
    equal(result.out.split(), ['0', '1', '2', '3'], 'descriptors (3 is ls reading the directory)')


@test
def signal_state_of_the_caller_is_not_inherited(t):
    box = Box(t)

    def odd():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGCHLD])

    result = box.run('grep', '-E', '^Sig(Blk|Ign)', '/proc/self/status', preexec_fn=odd).ok()
    masks = [int(line.split()[1], 16) for line in result.out.splitlines()]
    equal(masks, [0, 0], 'blocked and ignored signals')


@test
def name_lookups_inside(t):
    box = Box(t)
    result = box.sh('id -u; id -un; getent hosts localhost | head -n 1; getent passwd 0 | cut -d: -f1').ok()
    lines = result.out.splitlines()
    equal(lines[0], str(os.getuid()), 'id -u')
    check('localhost' in lines[2], 'localhost resolves: %r' % lines)
    equal(lines[3], 'root', 'user 0')


@test
def workdir_default_is_the_current_directory(t):
    box = Box(t)
    os.makedirs(box.work + '/sub')
    t.write('box/work/above', 'not for the call\n')
    os.makedirs(box.work + '/.git')
    result = box.sh('pwd; echo new > made; ls -A ..; cat ../above', cwd=box.work + '/sub')
    equal(result.out.splitlines()[0], box.work + '/sub', 'pwd')
    check('above' not in result.out.splitlines()[1:], 'never widened to the git root: %r' % result)
    check(result.code != 0, 'a file above the workdir was readable')
    with open(box.work + '/sub/made') as f:
        equal(f.read(), 'new\n', 'what the call wrote')
    st = os.stat(box.work + '/sub/made')
    equal((st.st_uid, st.st_gid), (os.getuid(), os.getgid()), 'owner of a new file')


@test
def workdir_flag(t):
    box = Box(t)
    os.makedirs(box.dir + '/other place')
    equal(box.sh('pwd; touch made', flags=['-C', '../other place']).ok().out, box.dir + '/other place\n', 'pwd')
    check(os.path.exists(box.dir + '/other place/made'), 'writable')


@cases([('root', '/'), ('home', '~'), ('above_home', '~/..')])
def workdir_refused(t, directory):
    box = Box(t)
    directory = directory.replace('~', box.home)
    result = box.sh('echo ran', flags=['-C', directory])
    equal(result.code, 125, 'exit status')
    equal(result.out, '', 'nothing has run')
    check('--workdir-force' in result.err, 'names the way out: %r' % result.err)


@test
def workdir_in_home_as_current_directory_refused(t):
    box = Box(t)
    result = box.sh('echo ran', cwd=box.home)
    equal((result.code, result.out), (125, ''), 'exit status and stdout')


@test
def workdir_forced(t):
    box = Box(t)
    result = box.sh('cat canary', flags=['-C', box.home, '--workdir-force']).ok()
    equal(result.out, 'CANARY-HOME\n', 'stdout')


@test
def workdir_through_a_link(t):
    box = Box(t)
    os.symlink(box.home, box.work + '/link')
    result = box.sh('echo ran', flags=['-C', box.work + '/link'])
    equal((result.code, result.out), (125, ''), 'a link to the home directory is the home directory')


@cases([('hup', signal.SIGHUP), ('int', signal.SIGINT), ('term', signal.SIGTERM), ('quit', signal.SIGQUIT)])
def signal_forwarded(t, number):
    box = Box(t)
    script = 'trap "echo got %d; exit 9" %d; echo ready; while :; do sleep 0.1; done' % (number, number)
    process = box.start('run', '--', 'sh', '-c', script)
    equal(process.stdout.readline(), b'ready\n', 'first line')
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    equal((out.decode(), process.returncode), ('got %d\n' % number, 9), 'stdout and exit status (%r)' % err)


@test
def signal_without_handler(t):
    process = Box(t).start('run', '--', 'sh', '-c', 'echo ready; exec sleep 600')
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    equal(process.returncode, 128 + 15, 'exit status')


@test
def daemons_die_with_the_call(t):
    box = Box(t)
    # A daemon that left session and parent writes on and on. After the run it must not.
    result = box.sh('(setsid sh -c "while :; do date +%N > beat; sleep 0.05; done" >/dev/null 2>&1 &) ; until test -s beat; do sleep 0.05; done').ok()
    with open(box.work + '/beat') as f:
        before = f.read()
    time.sleep(0.5)
    with open(box.work + '/beat') as f:
        equal(f.read(), before, 'the file of the daemon (%r)' % result)


@test
def killed_command_line_leaves_nothing(t):
    box = Box(t)
    process = box.start('run', '--', 'sh', '-c', 'setsid sleep 1000 & echo ready; exec sleep 1000')
    process.stdout.readline()
    process.kill()
    process.communicate(timeout=60)
    # The registry fails the test when a process is left.


@test
def json_summary(t):
    box = Box(t).add('--json')
    result = box.sh('echo out; exit 5')
    equal((result.code, result.out), (5, 'out\n'), 'exit status and stdout')
    summary = json.loads(result.err.strip().splitlines()[-1])
    equal((summary['exit'], summary['signal'], summary['reason'], summary['denied']), (5, 0, 'exit', []), 'summary')
    check(summary['started'], 'started')
    equal(summary['sandbox'], os.path.basename(box.logs()[-1]).split('.')[0], 'sandbox')


@test
def json_summary_of_a_denial(t):
    box = Box(t).add('--json')
    result = box.python('out(fetch("http://denied.example.com/x").status)').ok()
    summary = json.loads(result.err.strip().splitlines()[-1])
    check(any('denied.example.com' in json.dumps(d) for d in summary['denied']), 'denied: %r' % summary)


@test
def json_summary_when_nothing_started(t):
    result = Box(t).add('--json', '--read', '/no/such/path').sh('echo ran')
    equal((result.code, result.out), (125, ''), 'exit status and stdout')
    summary = json.loads(result.err.strip().splitlines()[-1])
    check(not summary['started'], 'started: %r' % summary)


@test
def three_at_once_do_not_meet(t):
    boxes = [Box(t, 'box%d' % i) for i in range(3)]
    for i, box in enumerate(boxes):
        box.add('--env', 'WHO=%d' % i)
    running = [b.start('run', *b.flags, '--', 'sh', '-c', 'echo $WHO > who; sleep 0.5; cat who; ls -A /tmp | wc -l')
               for b in boxes]
    for i, process in enumerate(running):
        out, err = process.communicate(timeout=30)
        equal(out.decode().split()[0], str(i), 'what box %d saw (%r)' % (i, err))


@test
def processes_of_the_host_are_not_seen(t):
    box = Box(t)
    outside = subprocess.Popen(['sleep', '60'])
    try:
        result = box.python('''
pids = [int(p) for p in os.listdir("/proc") if p.isdigit()]
r = {"pids": len(pids), "names": []}
for p in pids:
    try: r["names"].append(open("/proc/%d/comm" % p).read().strip())
    except OSError: pass
try:
    os.kill(int(sys.argv[1]), 0); r["kill"] = "worked"
except OSError as e: r["kill"] = e.errno
out(r)''', outside.pid).ok().json()
        check(result['pids'] <= 3, 'processes seen: %r' % result)
        check('sleep' not in result['names'], 'a host process is seen')
        check(result['kill'] != 'worked', 'a host process could be signalled')
    finally:
        outside.kill()
        outside.wait()


@test
def pids_limit(t):
    limit = 40
    box = Box(t).add('--pids', str(limit))
    result = box.python('''
n = 0
try:
    while n < 500:
        if os.fork() == 0:
            time.sleep(600); os._exit(0)
        n += 1
except OSError as e:
    out({"n": n, "errno": e.errno})
os._exit(0)''').ok().json()
    check(10 < result['n'] <= limit, 'processes made: %r' % result)
    equal(result['errno'], 11, 'EAGAIN')


@test
def pids_that_ended_do_not_count(t):
    """The kernel reserves low numbers once they have been used; the limit is of processes at a time all the same."""
    box = Box(t).add('--pids', '40')
    result = box.python('''
n = 0
for i in range(700):
    pid = os.fork()
    if pid == 0: os._exit(0)
    os.waitpid(pid, 0); n += 1
out(n)''').ok().json()
    equal(result, 700, 'processes made one after the other')


@test
def open_files_limit(t):
    result = Box(t).add('--open-files', '64').sh('ulimit -Sn').ok()
    equal(result.out, '64\n', 'soft limit')


INOTIFY = '''
import ctypes, sys
libc = ctypes.CDLL(None)
n = 0
while n < int(sys.argv[1]) and libc.inotify_init1(0) >= 0:
    n += 1
print(n, flush=True)
sys.stdin.read()
'''


@test
def leaves_inotify_to_the_user(t):
    """The kernel counts instances for the user over all sandboxes: one takes half, and not those of the host's programs."""
    with open('/proc/sys/fs/inotify/max_user_instances') as f:
        bound = int(f.read())
    if os.statvfs('/proc/sys').f_flag & os.ST_RDONLY or bound > 2000:
        t.skip('/proc/sys is read-only, or instances are without number')
    outside = [sys.executable, '-c', INOTIFY]
    # What an ordinary program of this user gets: more, unless others have most of them.
    control = int(subprocess.run(outside + [str(bound)], input=b'', stdout=subprocess.PIPE, check=True).stdout)
    if control <= bound // 2 + 4:
        t.skip('programs of this user have taken most of its inotify instances')
    box = Box(t)
    # Until no other test took some of them meanwhile.
    for _ in range(5):
        process = box.start('run', '--net', 'none', '--', '/usr/bin/python3', '-c', INOTIFY, str(bound),
                            stdin=subprocess.PIPE)
        inside = int(process.stdout.readline())
        left = int(subprocess.run(outside + ['4'], input=b'', stdout=subprocess.PIPE, check=True).stdout)
        process.communicate(timeout=60)
        check(inside <= bound // 2, 'more than half inside: %d of %d' % (inside, bound))
        if (inside, left) == (bound // 2, 4):
            break
    equal((inside, left), (bound // 2, 4), 'instances inside, and of a program of the user in the meantime')


@test
def runs_without_a_usable_terminal_or_home(t):
    box = Box(t)
    del box.env['HOME']
    result = box.sh('echo fine', stdin=None)
    check(result.code == 0 or 'HOME' in result.err, 'works from the user database or names HOME: %r' % result)


@test
def stdio_closed(t):
    box = Box(t)
    result = box.sh('echo here > made; exec 2>&-; true', preexec_fn=lambda: (os.close(0), os.close(2)))
    equal(result.code, 0, 'exit status (%r)' % result)
    until(lambda: os.path.exists(box.work + '/made'), 30)
    for record in box.audit():
        check(record['event'], 'the audit log was written over')
