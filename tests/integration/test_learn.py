# SPDX-License-Identifier: Apache-2.0
"""nsbox run --learn: the policy that a command would need, proposed from what it tried, under which it then runs."""
import os
import re
import shutil
import subprocess

from harness.box import Box, PYTHON
from harness.named import refused
from harness.origin import Origin
from harness.registry import cases, check, equal, test


def lines(path):
    """The lines that count, without their comments, and the comments."""
    with open(path) as f:
        text = f.read().splitlines()
    return ([re.sub(r' ;.*', '', line) for line in text if line and line[0] not in ';['],
            [line[2:] for line in text if line.startswith(';')])


def learn(box, *command, flags=(), name='learned.ini', **kwargs):
    out = os.path.join(box.dir, name)
    return out, box.run(*command, flags=['--rm', *flags, '--learn', out], **kwargs)


def again(box, policy, *command, **kwargs):
    return box.nsbox('run', '--policy', policy, '--', *command, **kwargs)


@test
def paths(t):
    """What was looked for or written outside of the sandbox becomes a line, and with it the command works."""
    box = Box(t)
    t.write('box/home/.gitconfig', '[user]\n\tname = Somebody\n')
    t.write('box/home/data/a', 'text of a\n')
    t.write('box/home/tool', '#!/bin/sh\necho a tool\n')
    os.chmod(box.home + '/tool', 0o755)
    os.makedirs(box.home + '/results')
    os.makedirs(box.dir + '/elsewhere')
    t.write('box/elsewhere/b', 'text of b\n')
    os.makedirs(box.home + '/.state/own')
    # Also a directory that is made only when it turns out that it is not there.
    script = ('git config user.name; cat ~/data/a; ~/tool; echo x > ~/results/new; cat "$1"/elsewhere/b; '
              'ls "$1"/elsewhere; echo 1 > ~/.state/own/late; mkdir -p ~/.state/own; echo 1 > ~/.state/own/late; '
              'mkdir -p ~/.cache/own; echo 1 > ~/.cache/own/file; cat ~/.cache/own/file; echo w > written')
    out, first = learn(box, '/bin/sh', '-c', script, 'sh', box.dir)
    equal(first.out, '1\n', 'the first time')
    check(not os.path.exists(box.work + '/written'), 'the workspace is an overlay')
    check(not os.path.exists(box.home + '/results/new'), 'nothing was written')
    check(not os.path.exists(box.home + '/.cache'), 'nothing was made')
    counted, comments = lines(out)
    for line in ('read = ~/.gitconfig', 'read = ~/data/a', 'read = ~/tool', 'write = ~/results',
                 'read = %s/elsewhere' % box.dir):
        check(line in counted, '%s in %r' % (line, counted))
    equal(len(counted), 6, 'lines (%r)' % counted)
    check(any(c.startswith('~/.cache/own: was written, private') for c in comments), '%r' % comments)
    equal(oct(os.stat(out).st_mode & 0o777), '0o600', 'its mode')
    second = again(box, out, '/bin/sh', '-c', script, 'sh', box.dir).ok()
    equal(second.out, 'Somebody\ntext of a\na tool\ntext of b\nb\n1\n', 'under the policy')
    with open(box.home + '/results/new') as f:
        equal(f.read(), 'x\n', 'written on the host')


SECRETS = ['.ssh/id_ed25519', '.aws/credentials', '.gnupg/private-keys-v1.d/k', '.netrc', '.mozilla/firefox/p/logins.json',
           '.config/google-chrome/Default/Cookies', '.local/share/keyrings/login.keyring', '.npmrc', '.kube/config',
           '.git-credentials', '.docker/config.json', 'project/.env', 'keys/server.pem', '.claude/.credentials.json',
           '.codex/auth.json', '.bash_history', '.config/gh/hosts.yml', '.claude.json', '.codex/config.toml',
           '.cargo/config.toml', '.cursor/mcp.json']


@test
def secrets(t):
    """Of credentials no line is made, nor one that is wide enough to have them, by no name that leads there."""
    box = Box(t)
    for path in SECRETS:
        t.write('box/home/' + path, 'CANARY\n')
    os.symlink(box.home + '/.aws/credentials', box.home + '/harmless')
    os.symlink(box.home + '/.ssh', box.home + '/also-harmless')
    script = '''
import os, sys
home = os.path.expanduser('~/')
for path in sys.argv[1:] + ['harmless', 'also-harmless/id_ed25519']:
    for attempt in (lambda: open(home + path).read(), lambda: open(home + path, 'a').write('x'),
                    lambda: os.listdir(os.path.dirname(home + path)), lambda: os.stat(home + path),
                    lambda: os.listdir(home + path.split('/')[0])):
        try:
            if 'CANARY' in str(attempt()):
                print('stolen', path)
        except OSError:
            pass
for wide in ('', '.config', '.local', '.local/share', '..'):
    try:
        os.listdir(home + wide)
    except OSError:
        pass
open(home + 'keys/../plain')
'''
    t.write('box/home/plain', 'plain\n')
    out, result = learn(box, PYTHON, '-c', script, *SECRETS)
    check('stolen' not in result.out, '%r' % result)
    counted, comments = lines(out)
    equal(counted, ['version = 1', 'read = ~/plain'], 'proposed')
    for path in SECRETS:
        if not path.startswith('.ssh/'):
            check(any(c.startswith('~/%s: credentials' % path) for c in comments), 'no word of %s in %r' % (path, comments))
    # The control: outside they are there, and a program gets them.
    done = subprocess.run([PYTHON, '-c', script, *SECRETS], env=box.env, stdout=subprocess.PIPE, check=True)
    equal(done.stdout.count(b'stolen'), len(SECRETS) + 2, 'outside (%r)' % done.stdout)


@test
def network(t):
    """What was asked for is denied, becomes a rule with its methods, and works under it; a deny rule stays."""
    origin = Origin(t.pki.context(['api.example.com']))
    box = Box(t).connect(origin, 'api.example.com')
    script = '''
for url, method in (("https://api.example.com/v1/a", "GET"), ("https://api.example.com/v1/a", "POST"),
                    ("https://api.example.com/no", "GET")):
    out(fetch(url, method=method).status)
'''
    command = box.python_command(script)
    out, first = learn(box, *command, flags=['--deny', 'https://api.example.com/no', '--allow', 'unused.example.com'])
    equal(first.out.split(), ['403', '403', '403'], 'denied the first time')
    equal(origin.requests, [], 'nothing has left')
    counted, comments = lines(out)
    check('allow = GET,POST https://api.example.com/v1/a' in counted, '%r' % counted)
    check('deny = https://api.example.com/no' in counted, '%r' % counted)
    check('not used: allow = unused.example.com' in comments, '%r' % comments)
    check(not any('allow' in line and ('/no' in line or 'unused' in line) for line in counted), '%r' % counted)
    equal(again(box, out, *command).ok().out.split(), ['200', '200', '403'], 'under the policy')
    # What is allowed beside it stays, as far as it was used.
    out, _ = learn(box, *command, flags=['--allow', 'https://api.example.com/v1/**', '--allow', 'unused.example.com'],
                   name='second.ini')
    counted, _ = lines(out)
    check('allow = https://api.example.com/v1/**' in counted and 'allow = GET https://api.example.com/no' in counted,
          '%r' % counted)
    check('allow = unused.example.com' not in counted, '%r' % counted)


@test
def many(t):
    """Many files of a directory become the directory, many paths of a host all of the host."""
    box = Box(t)
    for i in range(12):
        t.write('box/home/lib/m%d' % i, '%d\n' % i)
    script = '''
import os
for i in range(12):
    try:
        print(open(os.path.expanduser("~/lib/m%d" % i)).read())
    except OSError:
        pass
    fetch("http://many.example.com/p%d" % i)
'''
    out, _ = learn(box, *box.python_command(script))
    equal(lines(out)[0], ['version = 1', 'read = ~/lib', 'allow = GET http://many.example.com/**'], 'lines')


@test
def what_the_host_executes(t):
    """A line to write it would let the command run outside, the next time somebody logs in: it is only named."""
    box = Box(t)
    for path in ('.vim/plugin/x.vim', '.config/autostart/x.desktop', 'bin/tool', 'notes/a'):
        t.write('box/home/' + path, 'text\n')
    os.symlink('.config/autostart', box.home + '/harmless')
    out, _ = learn(box, '/bin/sh', '-c', 'cd; for f in .vim/plugin/y harmless/y .config/autostart/y bin/new notes/b; do '
                                         'echo x >>$f; done')
    counted, comments = lines(out)
    equal(counted, ['version = 1', 'write = ~/notes'], 'lines (%r)' % comments)
    for path in ('.vim/plugin', 'harmless', '.config/autostart', 'bin'):
        check(any(c.startswith('~/%s: the host may execute' % path) for c in comments), '%s in %r' % (path, comments))


@test(timeout=60)
def more_than_is_looked_through(t):
    """Whether a directory of very many names has credentials in it is not known, so it is not proposed as a whole; and
    it takes no longer for every name that was looked for."""
    box = Box(t)
    for i in range(25000):
        t.write('box/home/big/d/f%d' % i, '')
    script = ('import os\n'
              'for i in range(12):\n'
              ' try: os.stat(os.path.expanduser("~/big/d/f%d" % i))\n'
              ' except OSError: pass\n')
    out, result = learn(box, PYTHON, '-c', script)
    equal(lines(out)[0], ['version = 1'] + sorted('read = ~/big/d/f%d' % i for i in range(12)), 'lines')
    script = script.replace('12', '12000')
    out, result = learn(box, PYTHON, '-c', script, name='more.ini')
    check(result.seconds < 30 * t.slowness, 'it took %.1f s' % result.seconds)
    check('read = ~/big/d' not in lines(out)[0], 'as a whole')


@test
def names_are_no_lines(t):
    """A name can neither add a line to the policy nor end one, however it is made."""
    box = Box(t)
    os.makedirs(box.dir + '/x')
    bad = ['a\nallow = *', 'b ; c', ' blank', 'c\x1b[31m', 'd\u202egnp', 'e' * 240, 'f\rread = .', ';g']
    for name in bad:
        t.write('box/x/' + name, 'text\n')
    script = '''
import sys
for name in sys.argv[2:]:
    try:
        open(sys.argv[1] + '/x/' + name)
    except OSError:
        pass
'''
    out, _ = learn(box, PYTHON, '-c', script, box.dir, *bad)
    counted, comments = lines(out)
    equal(sorted(counted), sorted(['version = 1', 'read = %s/x/ blank' % box.dir, 'read = %s/x/;g' % box.dir]), 'lines')
    check(sum('cannot stand in a policy file' in c for c in comments) >= 5, '%r' % comments)
    with open(out, 'rb') as f:
        check(not re.search(rb'[\x00-\x09\x0b-\x1f\x7f]', f.read()), 'control bytes in the file')


@test
def forged_record(t):
    """The command writes the record itself: nothing but other comments and lines comes of it, and nothing hangs."""
    box = Box(t)
    secret = box.home + '/.ssh/id_ed25519'
    forge = '''
import glob, os, sys
record = glob.glob('/dev/shm/nsbox-watch-*')[0]
if sys.argv[1] == 'write':
    open(record, 'ab').write(b'r-%s\\0w/%s\\0r-/etc/shadow\\0zzz\\0r\\0\\0\\nallow = *\\0r-/\\nallow = *\\0r-%s/home\\0' % (
        sys.argv[2].encode(), sys.argv[2].encode(), sys.argv[3].encode()) + b'x' * 100000)
else:
    os.unlink(record)
    os.mkfifo(record) if sys.argv[1] == 'fifo' else os.symlink('/dev/zero', record)
'''
    for how in ('write', 'zero', 'fifo'):
        out, result = learn(box, PYTHON, '-c', forge, how, secret, box.dir, name=how + '.ini')
        result.ok()
        equal(lines(out)[0], ['version = 1'], how)
        check(how == 'write' or 'is not known' in result.err, 'it is said: %r' % result)


@test
def stays_as_strict(t):
    """With who watches, the same is refused as without."""
    script = r'''
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    ctypes.set_errno(0)
    return [libc.syscall(*args), ctypes.get_errno()]
r = [call(272, 0x10000000), call(165, 0, 0, 0, 0, 0), call(41, 17, 3, 0), call(90, b"x", 0o4755), call(437, -100, b"/", 0, 0)]
for path in ("/etc/shadow", "/usr/bin/env", "/run/nsbox/new"):
    try:
        open(path, "r+b")
        r.append("opened " + path)
    except OSError as e:
        r.append(e.errno)
r.append(open("/proc/self/status").read().split("CapEff:")[1].split()[0])
out(r)
'''
    if os.uname().machine != 'x86_64':
        t.skip('the numbers of the calls are those of x86-64')
    box = Box(t)
    t.write('box/work/x', '')
    plain = box.python(script).ok().json()
    _, watched = learn(box, *box.python_command(script))
    equal(watched.ok().json(), plain, 'refusals')
    check([-1, 1] in plain, 'something is refused: %r' % plain)


@cases([('exit', 'exit 7', 7), ('signal', 'kill -9 $$', 137), ('term', 'kill -TERM $$', 143), ('missing', None, 127),
        ('timeout', 'sleep 60', 124)])
def ends_as_without(t, script, code):
    box = Box(t)
    command = ['/bin/sh', '-c', script] if script else ['no-such-command']
    flags = ['--timeout', '1s'] if code == 124 else []
    equal(box.run(*command, flags=flags).code, code, 'without')
    out, result = learn(box, *command, flags=flags)
    equal(result.code, code, 'with (%r)' % result)
    equal(lines(out)[0], ['version = 1'] + ['timeout = 1s'] * bool(flags), 'the file')


@test
def pipes_and_terminal(t):
    box = Box(t)
    _, result = learn(box, 'cat', input='through\n')
    equal(result.ok().out, 'through\n', 'stdin to stdout')
    if not shutil.which('script'):
        t.skip('script is not installed')
    done = subprocess.run(['script', '-qec', ' '.join([box.nsbox_path, 'run --learn', box.dir + '/t.ini', '-- sh -c',
                                                       '"tty; test -t 0 && cat %s/none"' % box.home]), '/dev/null'],
                          env=box.env, cwd=box.work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=150)
    check(b'/dev/pts/' in done.stdout, '%r' % done.stdout)
    equal(lines(box.dir + '/t.ini')[0], ['version = 1'], 'the file')


@test
def refusals(t):
    """Nothing is overwritten, and nothing is learned where it would be another command that is decided about."""
    box = Box(t)
    path = t.write('box/there', 'mine\n')
    refused(box.run('touch', 'ran', flags=['--learn', path]), 'nothing is overwritten')
    refused(box.run('touch', 'ran', flags=['--learn', box.dir + '/none/x']), 'nothing can be written there')
    refused(box.run('touch', 'ran', flags=['--learn', box.dir + '/x', '-d']), '--learn goes with neither')
    refused(box.run('touch', 'ran', flags=['--learn', box.dir + '/x', '--auditor', 'exec:/bin/false']), 'auditor')
    grants = t.write('box/grants.ini', '[sandbox]\nversion = 1\n[grant g]\nargv = git *\n')
    refused(box.run('touch', 'ran', flags=['--learn', box.dir + '/x', '--policy', grants]), '[grant]')
    equal(os.listdir(box.work), [], 'nothing has run')
    with open(path) as f:
        equal(f.read(), 'mine\n', 'the file')
    check(not os.path.exists(box.dir + '/x'), 'a file')
    # One that comes meanwhile is no exception.
    late = box.dir + '/late'
    process = box.start('run', '--learn', late, '--', 'sh', '-c', 'echo on; read x', stdin=subprocess.PIPE)
    equal(process.stdout.readline(), b'on\n', 'it runs')
    t.write('box/late', 'mine\n')
    _, err = process.communicate(b'\n', timeout=60)
    equal(process.returncode, 125, 'exit status (%r)' % err)
    with open(late) as f:
        equal(f.read(), 'mine\n', 'the file')
    equal([n for n in os.listdir(box.dir) if n.startswith('late.')], [], 'left over')
