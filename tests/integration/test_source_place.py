# SPDX-License-Identifier: Apache-2.0
"""Commands and files of secrets where a call could change or read them. What a planted command makes on the host is the
oracle; the same in a directory that no call writes is the control."""
import os
import shutil
import subprocess

from harness.box import Box, PYTHON
from harness.named import Named, refused
from harness.origin import Origin
from harness.registry import cases, check, equal, test, until

HOST = 'api.example.com'
VALUE = 'the-value-of-the-secret-1234'


def script(box, directory):
    """A command that shows that it has run on the host."""
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, 'tok.sh')
    with open(path, 'w') as f:
        f.write('#!/bin/sh\necho x >> %s\necho %s\n' % (box.dir + '/ran', VALUE))
    os.chmod(path, 0o755)
    return path


def ran(box):
    return os.path.exists(box.dir + '/ran')


@cases([('relative', './tok.sh', []), ('absolute', 'sh %s', []), ('bare', 'sh tok.sh', []), ('below', 'sub/tok.sh', []),
        ('nested', "sh -c './tok.sh x'", []), ('overlay', './tok.sh', ['--overlay', '.']),
        ('expanded', './t*.sh', []), ('link', 'sh link', [])])
def command(t, text, flags):
    box = Box(t).add('--allow', HOST)
    path = script(box, box.work)
    script(box, box.work + '/sub')
    os.symlink(script(box, box.dir + '/outside'), box.work + '/link')
    spec = 'KEY=exec:%s@%s' % (text % path if '%s' in text else text, HOST)
    refused(box.run('true', flags=[*flags, '--secret', spec]), 'KEY',
            'only a shell' if '*' in text else 'sandbox can write')
    check(not ran(box), 'the command has run')
    box.run('true', flags=['--secret', 'KEY=exec:sh %s %s@%s' % (script(box, box.dir + '/outside'), box.work, HOST)]).ok()
    check(ran(box), 'the control has not run')


def says(directory, name, word):
    """A program, or a module of Python, that prints a value with this word in it."""
    os.makedirs(directory, exist_ok=True)
    text = 'print("%s-%s")\n' if name.endswith('.py') else '#!/bin/sh\necho %s-%s\n'
    with open(directory + '/' + name, 'w') as f:
        f.write(text % (VALUE, word))
    os.chmod(directory + '/' + name, 0o755)
    return directory


def found(box, origin, command, path, **more):
    """Whose value a request had."""
    had = len(origin.requests)
    result = box.sh('curl -sS -H "A: $KEY" https://%s/' % HOST, env=dict(box.env, PATH=path),
           flags=['--secret', 'KEY=exec:%s@%s' % (command, HOST), *more.pop('flags', [])], **more)
    check(origin.requests[had:], 'no request came: %r' % result)
    return origin.requests[had].header('a')[0].rpartition('-')[2]


@test
def program_of_path(t):
    """What a command finds by PATH is not what a call could have put there; nor by a relative directory in it."""
    origin = Origin(t.pki.context([HOST]))
    box = Box(t).connect(origin, HOST).add('--allow', HOST)
    inside, outside = says(box.work + '/bin', 'tok', 'planted'), says(box.dir + '/outside', 'tok', 'good')
    os.symlink(inside, box.dir + '/link')
    goes = 'cd %s && tok' % inside
    for first, command in ((inside, 'tok'), (box.dir + '/link', 'tok'), (inside + '/../bin', 'tok'), ('bin', 'tok'),
                           ('.', goes), ('', goes)):
        path = '%s:%s:/usr/bin:/bin' % (first, outside)
        equal(found(box, origin, command, path), 'good', first)
        # The control: whoever looks there finds it.
        control = subprocess.run(['/bin/sh', '-c', command], cwd=box.work, env={'PATH': path}, stdout=subprocess.PIPE)
        check(b'planted' in control.stdout, 'the control: %r' % control)
    # Nothing is left of it: then it is the system's, and not the current directory.
    equal(found(box, origin, goes + ' || echo %s-none' % VALUE, inside), 'none', 'without any')


@test
def current_directory(t):
    """A command runs where the sandbox writes nothing: what looks around finds nothing of a call's there."""
    origin = Origin(t.pki.context([HOST]))
    box = Box(t).connect(origin, HOST).add('--allow', HOST)
    says(box.work, 'tok.py', 'planted')
    outside, module = says(box.dir + '/outside', 'tok.py', 'good'), PYTHON + ' -m tok || echo %s-none' % VALUE
    equal(found(box, origin, module, '/usr/bin:/bin'), 'none', 'in the workspace')
    equal(found(box, origin, module, '/usr/bin:/bin', flags=['--workdir', box.work], cwd=outside), 'good', 'elsewhere')
    equal(found(box, origin, module, '/usr/bin:/bin', flags=['--overlay', '.']), 'none', 'overlaid')
    control = subprocess.run([PYTHON, '-m', 'tok'], cwd=box.work, stdout=subprocess.PIPE)
    check(b'planted' in control.stdout, 'the control: %r' % control)


@cases([('alone', '%s'), ('first', '%s:/usr/share'), ('last', '/usr/share:%s')])
def variable_with_a_path(t, form):
    """A variable that leads into the workspace is not passed on, whatever it is for; others are."""
    origin = Origin(t.pki.context([HOST]))
    box = Box(t).connect(origin, HOST).add('--allow', HOST)
    inside, outside = says(box.work + '/lib', 'tok.py', 'planted'), says(box.dir + '/outside', 'tok.py', 'good')
    os.symlink(inside, box.dir + '/link')
    module = PYTHON + ' -m tok || echo %s-none' % VALUE
    for directory, word in (inside, 'none'), (box.dir + '/link', 'none'), (outside, 'good'):
        box.add(PYTHONPATH=form % directory)
        equal(found(box, origin, module, '/usr/bin:/bin'), word, directory)
        control = subprocess.run([PYTHON, '-m', 'tok'], cwd='/', env=box.env, stdout=subprocess.PIPE)
        check(b'planted' in control.stdout or word == 'good', 'the control: %r' % control)


@cases([('revoke', '[secret KEY]\nsource = exec:echo %s\nrevoke = %%s\nallow = %s\n' % (VALUE, HOST)),
        ('proxy', '[network]\nupstream_proxy = http://127.0.0.1:1 exec:%s\n')])
def other_command(t, text):
    box = Box(t).add('--allow', HOST)

    def run(path):
        return box.run('true', flags=['-f', t.write('policy.ini', '[sandbox]\nversion = 1\n' + text % path)])
    # Also before it is there: a call could make it.
    for path in './tok.sh', box.work + '/tok.sh', 'bin/tok.sh':
        refused(run(path), 'sandbox can write')
    script(box, box.work)
    refused(run('./tok.sh'), 'sandbox can write')
    check(not ran(box), 'the command has run')
    run(script(box, box.dir + '/outside'))
    until(lambda: ran(box), 20, 'the control has not run')


def key_file(directory):
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, 'key')
    with open(path, 'w') as f:
        f.write(VALUE + '\n')
    return path


def link_to(path, link):
    os.symlink(path, link)
    return link


@cases([('write', lambda box: key_file(box.work), []), ('overlay', lambda box: key_file(box.work), ['--overlay', '.']),
        ('hidden', lambda box: key_file(box.work), ['--hide', 'key']),
        ('link', lambda box: link_to(key_file(box.dir + '/outside'), box.work + '/link'), [])])
def file(t, place, flags):
    box = Box(t).add('--allow', HOST)
    path = place(box)
    refused(box.run('true', flags=[*flags, '--secret', 'KEY=file:%s@%s' % (path, HOST)]), 'KEY', path, 'sandbox can write')
    policy = t.write('proxy.ini', '[sandbox]\nversion = 1\n[network]\nupstream_proxy = http://127.0.0.1:1 file:%s\n' % path)
    refused(box.run('true', flags=[*flags, '-f', policy]), 'upstream_proxy', path, 'sandbox can write')


@test
def file_in_view(t):
    """It is hidden, and its value used; without the secret the same file can be read."""
    origin = Origin(t.pki.context([HOST]))
    box = Box(t).connect(origin, HOST).add('--allow', HOST, '--read', '~/tool')
    path = key_file(box.home + '/tool')
    show = 'cat %s; cat %s; ' % (path, os.path.relpath(path, box.work))
    secret = ['--secret', 'KEY=file:%s@%s' % (path, HOST)]
    result = box.sh(show + 'curl -sS -H "A: $KEY" https://%s/' % HOST, flags=secret)
    check(VALUE not in result.out, 'the value can be read: %r' % result)
    equal(origin.requests[0].header('a'), [VALUE], 'value')
    equal(box.sh(show).ok().out.count(VALUE), 2, 'the control')
    refused(box.run('true', flags=[*secret, '--read', path]), path, 'a secret is read from it')


@test
def certificates(t):
    box = Box(t).add('--allow', HOST)
    cert, key = t.pki.client('nsbox')
    for source, line in (t.pki.ca, 'upstream_ca = %s ' + HOST), (key, 'client_cert = ' + cert + ' %s ' + HOST):
        path = shutil.copy(source, box.work)
        policy = t.write('policy.ini', '[sandbox]\nversion = 1\n[network]\n' + line % path)
        refused(box.run('true', flags=['-f', policy]), line.split()[0], path, 'sandbox can write')
    box.run('true', flags=['--upstream-ca', t.pki.ca + '@' + HOST]).ok()


@test
def of_a_sandbox_that_runs(t):
    with Named(t) as box:
        seen, written = key_file(box.home + '/tool'), key_file(box.work)
        box.nsbox('create', '--name', 'x', '--allow', HOST, '--read', '~/tool', '--secret', 'OLD@' + HOST,
                  env=dict(box.env, OLD=VALUE)).ok()
        script(box, box.work)
        for words in (('add', 'x', 'KEY=exec:./tok.sh@' + HOST), ('add', 'x', 'KEY=file:%s@%s' % (written, HOST)),
                      ('rotate', 'x', 'OLD=file:' + written)):
            refused(box.nsbox('secret', *words), 'sandbox can write')
        for words in ('add', 'x', 'KEY=file:%s@%s' % (seen, HOST)), ('rotate', 'x', 'OLD=file:' + seen):
            refused(box.nsbox('secret', *words), 'sandbox can see it')
        check(not ran(box), 'the command has run')
        outside = key_file(box.dir + '/outside')
        box.nsbox('secret', 'add', 'x', 'KEY=file:%s@%s' % (outside, HOST),
                  'B=exec:%s@%s' % (script(box, box.dir + '/outside'), HOST)).ok()
        box.nsbox('secret', 'rotate', 'x', 'OLD=file:' + outside).ok()
        check(ran(box), 'the control has not run')
