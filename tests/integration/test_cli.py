# SPDX-License-Identifier: Apache-2.0
"""check, doctor, version, help, --dry-run, and the man page."""
import glob
import json
import os
import shutil
import subprocess
import tempfile

from harness.box import Box
from harness.registry import cases, check, equal, test


@cases([
    ('allowed', ['--url', 'https://api.example.com/v1/x'], 0), ('other_method', ['--url', 'https://api.example.com/v1/x',
     '--method', 'POST'], 1), ('denied', ['--url', 'https://api.example.com/v1/admin'], 1),
    ('unlisted', ['--url', 'https://other.example.com/'], 1), ('read', ['--path', '.'], 0),
    ('write', ['--path', '.', '--write'], 0), ('system_write', ['--path', '/etc/passwd', '--write'], 1),
    ('system_read', ['--path', '/etc/passwd'], 0), ('elsewhere', ['--path', '/srv/x'], 1),
    ('no_question', [], 125), ('bad_url', ['--url', 'nonsense'], 125)])
def check_answers(t, question, want):
    box = Box(t)
    question = [q.replace('~', box.home) for q in question]
    rules = ['--allow', 'GET https://api.example.com/v1/**', '--deny', 'https://api.example.com/v1/admin']
    result = box.nsbox('check', *rules, *question)
    equal(result.code, want, 'exit status (%r)' % result)
    if want != 125:
        shown = json.loads(box.nsbox('check', *rules, *question, '--json').out)
        equal(shown['decision'], ['allow', 'deny'][want], 'decision')
        check(set(shown) == {'decision', 'rule', 'source', 'reason'}, 'members %r' % shown)


@test
def check_agrees_with_the_files(t):
    """What check says of a path is what opening it does, for reading and for writing."""
    box = Box(t)
    for path in ('work/a', 'work/.git/hooks/h', 'work/hidden', 'read/r', 'home/state', 'read/written/w'):
        t.write('box/' + path, 'text\n')
    os.symlink(box.dir + '/read/r', box.work + '/link')
    flags = ['--read', box.dir + '/read', '--write=' + box.dir + '/read/written', '--hide', 'hidden']
    paths = [box.work + '/a', box.work + '/new', box.work + '/.git/hooks/h', box.work + '/hidden', box.dir + '/read/r',
             box.dir + '/read/written/w', box.dir + '/read/written/new', box.dir + '/read/new', box.home + '/state',
             box.home + '/new', box.home + '/.ssh/id_ed25519', '/etc/passwd', '/etc/shadow', '/usr/bin/env', '/usr/new',
             '/dev/null', '/dev/urandom', '/dev/kmsg', '/tmp/new-of-this-test', '/none/of/this', box.work + '/link']
    script = '''
r = []
for path in json.loads(sys.argv[1]):
    for mode in "rb", "ab":
        try:
            open(path, mode).close()
            r.append(True)
        except OSError:
            r.append(False)
out(r)'''
    existed = [os.path.exists(path) for path in paths]
    opened = iter(box.python(script, json.dumps(paths), flags=flags).ok().json())
    for path, exists in zip(paths, existed):
        for write in ([], ['--write']):
            said = box.nsbox('check', *flags, '--path', path, *write).code == 0
            was = next(opened)
            # Of what is nowhere only writing says whether it could be there; in the private home directory a file of
            # the same name can be made, which is not the host's.
            if exists != bool(write) or (exists and not path.startswith(box.home + '/')):
                equal(said, was, '%s %s' % (path, write))


@test
def check_agrees_with_the_gateway(t):
    """What check says is what happens."""
    from harness.origin import Origin
    origin = Origin()
    rules = ['--allow', 'GET http://api.example.com/a/*/c', '--allow', 'http://*.example.org', '--deny', 'x.example.org']
    urls = ['http://api.example.com/a/b/c', 'http://api.example.com/a/b/c/d', 'http://api.example.com/a/%62/c',
            'http://api.example.com/a/../a/b/c', 'http://y.example.org/', 'http://x.example.org/', 'http://example.org/']
    box = Box(t).add(*rules)
    for host in ('api.example.com', 'x.example.org', 'y.example.org', 'example.org'):
        box.connect(origin, host, port=80, ca=False)
    said = [box.nsbox('check', *rules, '--url', u).code == 0 for u in urls]
    done = box.python('out([fetch(u).status == 200 for u in json.loads(sys.argv[1])])', json.dumps(urls)).ok().json()
    equal(said, done, 'verdicts')
    check(True in said and False in said, 'both verdicts occur')


@test
def doctor(t):
    box = Box(t)
    result = box.nsbox('doctor')
    equal(result.code, 0, 'exit status on a machine where the tests run (%r)' % result)
    shown = json.loads(box.nsbox('doctor', '--json').ok().out)
    check(len(shown) >= 5, 'controls: %r' % shown)
    for control in shown:
        equal(set(control), {'control', 'status', 'fix'}, 'members')
        check(control['status'] in ('ok', 'missing', 'degraded'), '%r' % control)
    names = ' '.join(c['control'].lower() for c in shown)
    for word in ('user', 'landlock', 'seccomp'):
        check(word in names, 'no control about %s in %s' % (word, names))


@test
def doctor_in_a_busy_tmp(t):
    """Repositories that come and go in /tmp are none of its business."""
    box = Box(t)
    busy = tempfile.mkdtemp(prefix='nsbox-test-', dir='/tmp')
    churn = subprocess.Popen(['/bin/sh', '-c', 'cd "$1" && while :; do mkdir -p w/.git/worktrees/feat w/.git/objects w/.git/refs; '
                              'echo ../.. >w/.git/worktrees/feat/commondir; echo "ref: refs/heads/a" >w/.git/HEAD; rm -rf w; done',
                              'sh', busy])
    try:
        for _ in range(10):
            box.nsbox('doctor').ok()
    finally:
        churn.kill()
        churn.wait()
        shutil.rmtree(busy, ignore_errors=True)


@test
def doctor_without_user_namespaces(t):
    """Where user namespaces are shut off, doctor says so and run refuses: shown in a namespace with the limit at 0."""
    if os.getuid() != 0:
        t.skip('needs root to set user.max_user_namespaces in a namespace of its own')
    box = Box(t)
    script = ('echo 0 > /proc/sys/user/max_user_namespaces || exit 77; "$1" doctor; echo "doctor $?"; '
              '"$1" run -- echo ran; echo "run $?"')
    done = subprocess.run(['unshare', '--user', '--map-root-user', 'sh', '-c', script, 'sh', box.nsbox_path],
                          env=box.env, cwd=box.work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60)
    text = done.stdout.decode()
    if done.returncode == 77:
        t.skip('the limit cannot be set here: ' + text)
    check('doctor 1' in text and 'run 125' in text, text)
    check('ran\n' not in text.replace('echo ran', ''), 'nothing has run')


@test
def version(t):
    box = Box(t)
    shown = json.loads(box.nsbox('version', '--json').ok().out)
    check({'version', 'api', 'landlock_abi', 'kernel'} <= set(shown), '%r' % shown)
    equal(shown['kernel'].split('-')[0].split('+')[0], os.uname().release.split('-')[0].split('+')[0], 'kernel')
    check(box.nsbox('version').ok().out.strip(), 'for people')
    check(shown['version'] in box.nsbox('--version').ok().out, '--version')


@test
def help_texts(t):
    box = Box(t)
    text = box.nsbox('help').ok().out
    for command in ('run', 'check', 'doctor', 'audit', 'version'):
        check(command in text, 'no %s in help' % command)
        check(box.nsbox('help', command).ok().out, 'help ' + command)
    options = box.nsbox('run', '--help').ok().out
    for option in ('--allow', '--deny', '--secret', '--connect-to', '--upstream-ca', '--read', '--write', '--hide',
                   '--tmpfs', '--net', '--timeout', '--workdir', '--profile', '--policy', '--dry-run', '--json', '--env'):
        check(option in options, 'no %s in help run' % option)


@test
def dry_run(t):
    box = Box(t).add('--allow', 'api.example.com', '--secret', 'KEY@api.example.com', '--pids', '77',
                     KEY='the-value-of-the-key')
    t.write('box/work/.env', 'x')
    first = box.sh('touch ran', flags=['--dry-run', '--hide', '.env']).ok()
    again = box.sh('touch ran', flags=['--dry-run', '--hide', '.env']).ok()
    equal(first.out, again.out, 'byte for byte')
    equal(sorted(os.listdir(box.work)), ['.env'], 'nothing has run')
    check(not box.logs(), 'no audit log')
    check('the-value' not in first.out + first.err, 'the value is printed')
    check('api.example.com' in first.out and '77' in first.out and 'KEY' in first.out, first.out)
    # It is a valid policy file itself, with the same effect.
    path = t.write('dumped.ini', first.out)
    box.flags = []
    second = box.sh('true', flags=['-f', path, '--dry-run']).ok()

    def strip(text):
        return [line.split(' ;')[0].strip() for line in text.splitlines() if line.split(' ;')[0].strip()
                and not line.startswith(';')]
    equal(strip(second.out), strip(first.out), 'the dump of the dump')


@test
def man_page(t):
    pages = glob.glob(t.prefix + '/share/man/man1/nsbox.1*')
    check(pages, 'no man page is installed')
    if pages[0].endswith('.gz'):
        import gzip
        with gzip.open(pages[0], 'rt') as f:
            text = f.read()
    else:
        with open(pages[0]) as f:
            text = f.read()
    for option in ('allow', 'secret', 'connect\\-to', 'upstream\\-ca', 'dry\\-run'):
        check(option in text or option.replace('\\', '') in text, 'no %s in the man page' % option)
    for status in ('124', '125', '126', '127'):
        check(status in text, 'no exit status %s in the man page' % status)


@test
def library_exports_only_its_prefix(t):
    path = t.prefix + '/lib/libsandbox.so'
    done = subprocess.run(['nm', '-D', '--defined-only', path], stdout=subprocess.PIPE, check=True, timeout=60)
    names = [line.split()[-1].split('@')[0] for line in done.stdout.decode().splitlines() if ' A ' not in line]
    odd = [n for n in names if not n.startswith(('sandbox_', 'LIBSANDBOX'))]
    equal(odd, [], 'symbols')
    check(len(names) > 20, 'symbols: %r' % names)


@test
def library_links_no_tls(t):
    for name in ('lib/libsandbox.so', 'bin/nsbox'):
        done = subprocess.run(['readelf', '-d', os.path.join(t.prefix, name)], stdout=subprocess.PIPE, check=True,
                              timeout=60)
        needed = [line.split('[')[1].split(']')[0] for line in done.stdout.decode().splitlines() if 'NEEDED' in line]
        check(not [n for n in needed if n.startswith(('libssl', 'libcrypto', 'libnghttp2'))], '%s: %r' % (name, needed))
