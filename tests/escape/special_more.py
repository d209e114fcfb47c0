# SPDX-License-Identifier: Apache-2.0
"""More attempts whose both halves are on the host: hostile links where something is mounted, what mount tables tell,
descriptors in flight, terminals, language runtimes. As in special.py each returns
('ok' | 'not ok' | 'skip', why)."""
import fcntl
import json
import os
import resource
import shutil
import subprocess
import time

import box
import host
import hooks
import special


def swap_race(runner, place):
    """7: a component of a mount's destination is a directory and a link by turns, during 1,000 starts."""
    program = os.path.join(os.path.dirname(runner.host.probe), 'escape-swap')
    if not os.access(program, os.X_OK):
        return 'skip', 'escape-swap was not built'
    place.write('work/flip/x/who', 'right')
    place.write('outside/x/who', 'outside')
    os.symlink(place.outside, place.work + '/link')
    with open(place.work + '/link/x/who') as f:
        if f.read() != 'outside':
            return 'skip', 'the link does not lead outside (the control)'
    place.before = place.look()
    started = time.monotonic()
    done = subprocess.run([program, place.work, place.outside, place.work + '/probe', '1000'], env=place.environment,
                          cwd=place.work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=120)
    words = done.stdout.split()
    if done.returncode or len(words) < 8:
        return 'not ok', '%s %s' % (done.stdout.strip(), done.stderr.strip()[-300:])
    counts = {words[i]: int(words[i + 1]) for i in range(0, len(words), 2)}
    why = place.touched()
    if why:
        return 'not ok', 'oracle: ' + why
    if not counts['right'] or not counts['refused']:
        return 'skip', 'the race did not happen: %s' % done.stdout.strip()
    return 'ok', '%s in %.0f s' % (done.stdout.strip(), time.monotonic() - started)


def hostile_links(runner, place):
    """8: what is to be mounted, or where, is or goes through a link that a sandbox may have planted."""
    work, out = place.work, place.outside
    os.symlink(out, work + '/out')
    os.symlink('../outside', work + '/out-relative')
    os.mkdir(work + '/planted')
    for name in ('dev', 'proc', 'sys', 'etc'):
        os.symlink('/' + name, work + '/planted/' + name)
    place.before = place.look()
    marker = work + '/has-run'
    refused = [
        ('--write', work + '/out'), ('--read', work + '/out'), ('--read', work + '/out/secret'),
        ('--write', work + '/out-relative'), ('--write', work + '/out/empty.d'),
        ('--read', work + '/out-relative/secret'),
        ('--tmpfs', work + '/out/x'), ('--tmpfs', work + '/out-relative/x'), ('--tmpfs', work + '/out'),
        ('--protect', work + '/out'), ('--protect', work + '/out/secret'),
        ('--write', work + '/planted/etc'), ('--read', work + '/planted/proc/1'), ('--tmpfs', work + '/planted/dev/x'),
        ('--tmpfs', work + '/planted/proc/x'), ('--tmpfs', work + '/planted/sys'),
        ('--tmpfs', work + '/planted/etc/x'),
        ('--write', '/proc'), ('--read', '/proc/self/root'), ('--read', '/proc/1/root'), ('--tmpfs', '/proc'),
        ('--tmpfs', '/dev'), ('--tmpfs', '/sys'), ('--tmpfs', '/dev/pts'), ('--write', '/'), ('--read', '/'),
    ]
    wrong = []

    def run(flags, command):
        if os.path.exists(marker):
            os.unlink(marker)
        done = subprocess.run([runner.host.nsbox, 'run', '--net', 'none', '-C', work] + flags + ['--'] + command,
                              env=place.environment, cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr
    touch = ['/usr/bin/touch', marker]
    if run([], touch)[0] or not os.path.exists(marker):
        return 'not ok', 'the usual run does not work (the control)'
    for flag, path in refused:
        status, _, err = run([flag, path], touch)
        if status != 125 or not err.startswith('nsbox: ') or os.path.exists(marker):
            wrong.append('%s %s gave %d %s' % (flag, path.replace(place.dir, ''), status, err.strip()[-100:]))
    # What may be named: then it must be that, and still read-only, masked or private.
    for flags, script in (
            (['--write', '/dev'], '! test -e /dev/kmsg && ! test -e /dev/mem && : >/dev/null'),
            (['--read', '/dev'], '! test -e /dev/kmsg && : >/dev/null'),
            (['--read', '/sys'], '! (: >/sys/kernel/uevent_helper) 2>/dev/null'),
            (['--read', '/etc'], '! (: >>/etc/nsbox-escape) 2>/dev/null'),
            (['--tmpfs', '/etc'], '! test -e /etc/shadow'),
            (['--hide', work + '/out'], '! test -e %s/out/secret' % work)):
        status, _, err = run(flags, ['/bin/sh', '-c', script])
        if status not in (0, 125, 126) or (status and not err.startswith('nsbox: ')):
            wrong.append('%s: status %d %s' % (' '.join(flags).replace(place.dir, ''), status, err.strip()[-100:]))
    why = place.touched()
    if why:
        wrong.append('oracle: ' + why)
    return ('not ok', '; '.join(wrong)) if wrong else ('ok', '%d ways' % len(refused))


def git_itself(runner, place):
    """11: hooks of a workspace through git and mv: nothing of them changes, in any spelling that leads to them."""
    git = shutil.which('git', path='/usr/bin:/bin')
    if not git:
        return 'skip', 'no git'
    scripts = ('mv .git .git2', 'mv .git/hooks .git/h', 'git init -q --template=evil.d .',
               'rm -rf .git/hooks', 'ln -sfn ../evil.d .git/hooks', 'echo x >.git/./hooks/../hooks/post-merge',
               'cp evil .git/hooks/pre-commit', 'echo x >>/proc/self/cwd/.git/hooks/post-merge', 'rmdir .git/hooks')
    control = place.dir + '/copy'
    shutil.copytree(place.work, control, symlinks=True)
    done = subprocess.run(['/bin/sh', '-c', 'cp evil .git/hooks/pre-commit'], cwd=control)
    if done.returncode:
        return 'skip', 'outside the hook cannot be made either'
    hooks_directory = place.work + '/.git/hooks'
    before, wrong = host.tree(hooks_directory), []
    b = box.Box(runner.host.nsbox, place.environment, place.work)
    try:
        for isolation in ('light', 'full'):
            for script in scripts:
                b.run(isolation, ['/bin/sh', '-c', script])
                what = host.difference(before, host.tree(hooks_directory))
                if what:
                    return 'not ok', '%s: %s: %s' % (isolation, script, what)
            # The file has to stay writable; what executes in it is gone when the call is.
            status = b.run(isolation, [git, 'config', 'core.hooksPath', 'evil.d'])[0]
            with open(place.work + '/.git/config') as f:
                if status or 'evil' in f.read():
                    wrong.append('%s: git config gave %d, or its key stays' % (isolation, status))
    finally:
        b.close()
    return ('not ok', '; '.join(wrong)) if wrong else ('ok', '')


# What every sandbox has mounted; with the granted paths that is all that a mount table may name.
SYSTEM = ('/', '/usr', '/opt', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32', '/sys/devices/system/cpu',
          '/proc', '/tmp', '/var/tmp', '/run', '/etc')
SYSTEM_ROOTS = ('/', '/usr', '/opt', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32', '/devices/system/cpu')


def lies_in(root, path):
    """root is relative to its file system, which may be mounted at any directory above path."""
    ends = [path[i:] for i, c in enumerate(path) if c == '/' and path[i:].count('/') > 1]
    return any(root == end or root.startswith(end + '/') for end in ends)


# The program for calls within calls, wherever it is installed.
NSBOX = '/run/nsbox/bin/nsbox'


def mount_tables(runner, place):
    """21: mount tables name what the policy granted and the system's own; the calls that list mounts are refused."""
    home = place.home
    script = 'cat /proc/self/mountinfo; echo; cat /proc/self/mounts /proc/self/mountstats'
    with open('/proc/self/mountinfo') as f:
        if len(f.read().split('\n')) < 5:
            return 'skip', 'the host has hardly any mounts (the control)'
    wrong = []
    listed = subprocess.run(['/usr/bin/python3', '-c', LIST_MOUNTS], stdout=subprocess.PIPE, text=True).stdout.strip()
    for isolation in ('light', 'full'):
        b = box.Box(runner.host.nsbox, place.environment, place.work, ['--read', place.ro])
        try:
            status, out, err = b.run(isolation, ['/bin/sh', '-c', script])
            inside = b.run(isolation, ['/usr/bin/python3', '-c', LIST_MOUNTS])[1].strip()
        finally:
            b.close()
        if status:
            return 'not ok', err[-200:]
        table, others = out.split('\n\n', 1)
        for line in table.splitlines():
            words = line.split()
            root, point = words[3], words[4]
            known = point in SYSTEM + (place.work, place.ro, home, '/run/nsbox', NSBOX) or point.startswith(
                ('/proc/', '/dev/', '/etc/', place.work + '/'))
            # The private directories lie in a tmpfs that is nobody else's.
            granted = root in SYSTEM_ROOTS or (point == NSBOX and root.endswith('/nsbox-inside')) or lies_in(root, place.work) or lies_in(root, place.ro) or \
                line.split(' - ')[1].split()[0] in ('tmpfs', 'proc', 'devtmpfs', 'devpts')
            if not known or not granted:
                wrong.append('%s: %s from %s' % (isolation, point, root))
        for secret in (place.outside, place.share):
            if secret in table or secret in others:
                wrong.append('%s names %s' % (isolation, secret))
        if inside != 'ENOSYS ENOSYS':
            wrong.append('%s: statmount and listmount gave %s (outside %s)' % (isolation, inside, listed))
    return ('not ok', '; '.join(wrong)) if wrong else ('ok', 'outside statmount and listmount gave %s' % listed)


LIST_MOUNTS = '''
import ctypes, errno, os, struct
libc = ctypes.CDLL(None, use_errno=True)
request = struct.pack('IIQQ', 24, 0, 0xffffffffffffffff, 0)
out = []
for number, size in ((457, 4096), (458, 64)):
    buf = ctypes.create_string_buffer(4096)
    ctypes.set_errno(0)
    r = libc.syscall(number, request, buf, size, 0)
    out.append('ok' if r >= 0 else errno.errorcode.get(ctypes.get_errno(), '?'))
print(*out)
'''


def language_runtimes(runner, place):
    """80: programs of common languages do the same inside as outside."""
    src = {
        'python': ['/usr/bin/python3', '-c', 'import threading, multiprocessing as m, hashlib, ssl\n'
                   't = threading.Thread(target=print, args=("thread",)); t.start(); t.join()\n'
                   'p = m.Process(target=print, args=("process",)); p.start(); p.join()\n'
                   'print(hashlib.sha256(b"x").hexdigest())'],
        'node': ['/usr/bin/node', '-e', 'const w=require("worker_threads"), c=require("child_process");'
                 'new w.Worker("require(\'worker_threads\').parentPort.postMessage(1)", {eval:true})'
                 '.on("message", () => console.log(c.execFileSync("/bin/echo", ["child"]).toString()))'],
        'perl': ['/usr/bin/perl', '-e', 'my $p=fork; exit 3 unless $p; waitpid $p,0; print $?>>8, "\n"'],
    }
    if shutil.which('java', path='/usr/bin:/bin'):
        place.write('work/Hi.java', 'public class Hi { public static void main(String[] a) throws Exception {'
                    ' Thread t = new Thread(() -> System.out.println("thread")); t.start(); t.join();'
                    ' System.gc(); System.out.println(new ProcessBuilder("/bin/echo").start().waitFor()); } }')
        src['java'] = ['/usr/bin/java', '-Xmx128m', 'Hi.java']
    rustc = shutil.which('rustc')
    if rustc:
        place.write('work/hi.rs', 'fn main() { let h = std::thread::spawn(|| 41);'
                    ' println!("{}", h.join().unwrap() + 1); '
                    'println!("{}", std::process::Command::new("/bin/true").status().unwrap().success()); }')
        made = subprocess.run([rustc, '-o', place.work + '/hi-rs', place.work + '/hi.rs'], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
        if made.returncode == 0:
            src['rust'] = [place.work + '/hi-rs']
    go = shutil.which('go', path=os.environ.get('PATH', '') + ':/usr/local/go/bin:/usr/lib/go/bin')
    if go:
        place.write('work/hi.go', 'package main\nimport ("fmt"; "os/exec"; "runtime")\n'
                    'func main() { c := make(chan int)\nfor i := 0; i < 64; i++ { go func() { c <- 1 }() }\n'
                    'n := 0\nfor i := 0; i < 64; i++ { n += <-c }\nruntime.GC()\n'
                    'fmt.Println(n, exec.Command("/bin/true").Run()) }\n')
        made = subprocess.run([go, 'build', '-o', place.work + '/hi-go', place.work + '/hi.go'], cwd=place.work,
                              env=dict(os.environ, GO111MODULE='off', GOCACHE=place.dir + '/gocache', HOME=place.dir),
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if made.returncode == 0:
            src['go'] = [place.work + '/hi-go']
    src['kernel features'] = [place.work + '/probe', '80'] + place.arguments()
    wrong, ran = [], []
    clean = {'PATH': '/usr/bin:/bin', 'HOME': place.home, 'LANG': 'C.UTF-8'}
    b = box.Box(runner.host.nsbox, place.environment, place.work)
    try:
        for name, command in src.items():
            if not os.access(command[0], os.X_OK):
                continue
            done = subprocess.run(command, env=clean, cwd=place.work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=60)
            if done.returncode:
                continue  # it does not work outside either
            ran.append(name)
            for isolation in ('light', 'full') if name != 'java' else ('full',):
                status, out, err = b.run(isolation, command)
                if (status, strip(out)) != (0, strip(done.stdout)):
                    wrong.append('%s in %s: %d %s' % (name, isolation, status, (out + err).strip()[-300:]))
    finally:
        b.close()
    if not ran:
        return 'skip', 'no language runtime works outside'
    return ('not ok', '; '.join(wrong)) if wrong else ('ok', ', '.join(ran))


def strip(text):
    """Results without their details, which may differ."""
    return '\n'.join(' '.join(line.split()[:4]) if line.startswith('RESULT') else line for line in text.splitlines())


def killed_by_filter(runner, place):
    """81: the end by a filter is reported as signal 31, in status, JSON and log."""
    command = [place.work + '/probe', '@sigsys']
    if subprocess.run(command).returncode != -31:
        return 'skip', 'outside the filter did not end it'
    wrong = []
    done = subprocess.run([runner.host.nsbox, 'run', '--json', '-C', place.work, '--'] + command, timeout=60,
                          env=place.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    wrong += look_at('run', done.returncode, done.stderr)
    b = box.Box(runner.host.nsbox, place.environment, place.work)
    try:
        for isolation in ('light', 'full'):
            status, _, err = b.run(isolation, command, ['--json'])
            wrong += look_at(isolation, status, err)
        log = json.loads(subprocess.run([runner.host.nsbox, 'inspect', b.name], env=place.environment, text=True,
                                        stdout=subprocess.PIPE).stdout or '{}')
        path = log.get('audit', {}).get('path')
        if path:
            with open(path) as f:
                ends = [json.loads(line) for line in f if '"call.exit"' in line]
            if [e.get('signal') for e in ends] != [31, 31]:
                wrong.append('the log says %s' % [(e.get('exit'), e.get('signal')) for e in ends])
    finally:
        b.close()
    return ('not ok', '; '.join(wrong)) if wrong else ('ok', '')


def look_at(name, status, err):
    try:
        report = json.loads(err.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return ['%s: no report: %s' % (name, err[-200:])]
    if status != 128 + 31 or report.get('signal') != 31 or report.get('reason') != 'signal':
        return ['%s: status %d, %s' % (name, status, report)]
    return []


def nested(runner, place):
    """68: nsbox in a sandbox says that it cannot, and what would be needed; nothing runs unconfined instead."""
    prefix = os.path.dirname(os.path.dirname(runner.host.nsbox))
    flag = place.work + '/has-run'
    inner = [runner.host.nsbox, 'run', '-C', place.work, '--', '/usr/bin/touch', flag]
    if subprocess.run(inner, env=place.environment, stdin=subprocess.DEVNULL).returncode or not os.path.exists(flag):
        return 'not ok', 'it does not work outside'
    os.unlink(flag)
    wrong = []
    b = box.Box(runner.host.nsbox, place.environment, place.work, ['--read', prefix])
    try:
        for isolation in ('light', 'full'):
            for words in (inner, [runner.host.nsbox, 'run', '--net', 'none'] + inner[2:],
                          [runner.host.nsbox, 'run', '--net', 'host'] + inner[2:],
                          [runner.host.nsbox, 'create', '--name', 'inner']):
                status, _, err = b.run(isolation, words)
                if status != 125 or not err.startswith('nsbox: ') or os.path.exists(flag) or \
                        'namespace' not in err:
                    wrong.append('%s in %s: %d %s' % (words[1], isolation, status, err.strip()[-200:]))
    finally:
        b.close()
    return ('not ok', '; '.join(wrong)) if wrong else ('ok', '')


def output_bytes(runner, place):
    """57: what a call prints arrives as it is in a pipe and through a terminal; nothing interprets it."""
    text = b'\x1b]52;c;ZXNjYXBl\x07\x1b[21t\x1bP$qm\x1b\\\x1b[5n\x00\xff\xc2\x9b\r'
    place.write('work/bytes', '')
    with open(place.work + '/bytes', 'wb') as f:
        f.write(text)
    b = box.Box(runner.host.nsbox, place.environment, place.work)
    wrong = []
    try:
        for isolation in ('light', 'full'):
            done = subprocess.run(b.words(isolation, ['/bin/cat', 'bytes']), env=place.environment, cwd=place.work,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60)
            if done.stdout != text:
                wrong.append('%s: %r' % (isolation, done.stdout))
    finally:
        b.close()
    status, out, _, terminal = hooks.run_command(
        [runner.host.nsbox, 'run', '-t', '-C', place.work, '--', '/bin/cat', 'bytes'], place, tty='private')
    # The answer of an emulator would come later, to who reads the terminal next; the test's own gives none.
    if terminal.typed():
        wrong.append('something was typed')
    if '\x1b]52;c;ZXNjYXBl' not in out:
        wrong.append('terminal: %r' % out)
    terminal.close()
    return ('not ok', '; '.join(wrong)) if wrong else ('ok', '')


def descriptor_flood(runner, place):
    """50: descriptors in flight are bounded inside, gone at the end, and root's programs do not notice."""
    control = subprocess.run([place.work + '/probe', '50'] + place.arguments(control=1), stdout=subprocess.PIPE,
                             text=True)
    outside = special.steps(control.stdout)
    if outside.get('in-flight') not in ('ok', 'ETOOMANYREFS'):
        return 'skip', 'outside it gave %s' % outside
    # nsbox is to have a higher limit than a call can: what it passes itself is not in question here.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    b = box.Box(runner.host.nsbox, place.environment, place.work)
    wrong, told = [], []
    try:
        for isolation in ('light', 'full'):
            for name in ('ready', 'go'):
                if os.path.exists(place.work + '/' + name):
                    os.unlink(place.work + '/' + name)
            call = b.start(isolation, [place.work + '/probe', '50'] + place.arguments(hold=1),
                           stdin=subprocess.DEVNULL)
            hooks.wait_ready(place)
            told.append('%s: passing a descriptor on the host meanwhile: %s' % (isolation, pass_one()))
            for terminal in [], ['-t']:
                status, _, err = b.run(isolation, ['/usr/bin/true'], terminal)
                if status:
                    wrong.append('another call %s: %s' % (' '.join(terminal), err.strip()[-80:]))
            hooks.go(place)
            rows = special.steps(call.communicate(timeout=60)[0].decode())
            if rows.get('in-flight') != 'ETOOMANYREFS' or rows.get('count') != 'bounded':
                wrong.append('%s: %s' % (isolation, rows))
            # The kernel collects what nobody can receive any more a moment later.
            if not host.wait_until(lambda: pass_one() == 'works', 60):
                wrong.append('%s: descriptors of an ended call are still in flight' % isolation)
        if not b.alive():
            wrong.append('the sandbox takes no calls any more')
    finally:
        b.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return ('not ok', '; '.join(wrong)) if wrong else ('ok', '; '.join(told))


PASS_ONE = '''
import resource, socket
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
try:
    socket.send_fds(a, [b'x'], [0])
    print('works')
except OSError as e:
    print(e.strerror)
'''


def pass_one():
    """Whether a usual program of the host can pass a descriptor."""
    return subprocess.run(['/usr/bin/python3', '-c', PASS_ONE], stdout=subprocess.PIPE, text=True).stdout.strip()


def terminal_exhaustion(runner, place):
    """59: a call can have 1,024 terminals at most, and the host has some left meanwhile."""
    control = subprocess.run([place.work + '/probe', '59'] + place.arguments(control=1, userns=1),
                             stdout=subprocess.PIPE, text=True)
    if special.steps(control.stdout).get('more-than-1024') != 'ok':
        return 'skip', 'outside there were no more either: %s' % special.steps(control.stdout)
    b = box.Box(runner.host.nsbox, place.environment, place.work)
    wrong = []
    # They are counted for the whole machine: another run of this one, as the other user, waits.
    alone = open('/proc/sys/kernel/pty/nr')
    try:
        fcntl.flock(alone, fcntl.LOCK_EX)
        for isolation in ('light', 'full'):
            for name in ('ready', 'go'):
                if os.path.exists(place.work + '/' + name):
                    os.unlink(place.work + '/' + name)
            before = pty_count()
            call = b.start(isolation, [place.work + '/probe', '59'] + place.arguments(hold=1),
                           stdin=subprocess.DEVNULL)
            hooks.wait_ready(place)
            during = pty_count()
            try:
                for fd in os.openpty():
                    os.close(fd)
            except OSError as e:
                wrong.append('%s: the host has no terminal left: %s' % (isolation, e))
            hooks.go(place)
            rows = special.steps(call.communicate(timeout=60)[0].decode())
            # Others on this machine open some too.
            if rows.get('more-than-1024') != 'ENOSPC' or during - before > 1024 + 64:
                wrong.append('%s: %s, %d more on the host' % (isolation, rows, during - before))
            if not host.wait_until(lambda: pty_count() <= before + 4, 60):
                wrong.append('%s: %d terminals stay' % (isolation, pty_count() - before))
    finally:
        b.close()
        alone.close()
    return ('not ok', '; '.join(wrong)) if wrong else ('ok', '')


def pty_count():
    with open('/proc/sys/kernel/pty/nr') as f:
        return int(f.read())


TESTS = [
    (7, 'swap-race', swap_race),
    (8, 'hostile-links', hostile_links),
    (11, 'git-itself', git_itself),
    (21, 'mount-tables', mount_tables),
    (50, 'descriptor-flood', descriptor_flood),
    (57, 'output-bytes', output_bytes),
    (59, 'terminal-exhaustion', terminal_exhaustion),
    (68, 'nested', nested),
    (80, 'language-runtimes', language_runtimes),
    (81, 'killed-by-filter', killed_by_filter),
]
