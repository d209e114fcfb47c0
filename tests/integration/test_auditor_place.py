# SPDX-License-Identifier: Apache-2.0
"""Places that an auditor may not have: those where a call could put its own in, or reach it."""
import os

from harness.asked import Asked, Auditor
from harness.named import refused
from harness.registry import cases, check, equal, test

NET = ('--net', 'none')


def at(box, path):
    """The auditor of the test at that place, and a name that leads there."""
    box.auditor.close()
    os.makedirs(os.path.dirname(path), exist_ok=True)
    box.auditor = Auditor(path)
    return path


def linked(box, link, path):
    os.symlink(at(box, path), link)
    return link


def behind_links(box):
    """outside/a -> work/b -> outside/real: the first and the last are out of reach, the middle is not."""
    os.symlink(os.path.dirname(at(box, box.dir + '/outside/real/s')), box.work + '/b')
    os.symlink(box.work + '/b', box.dir + '/outside/a')
    return box.dir + '/outside/a/s'


PLACES = [
    ('write', lambda box: at(box, box.work + '/s'), []),
    ('below', lambda box: at(box, box.work + '/a/b/s'), []),
    ('overlay', lambda box: at(box, box.work + '/s'), ['--overlay', '.']),
    ('hidden', lambda box: at(box, box.work + '/a/s'), ['--hide', 'a']),
    ('read', lambda box: at(box, box.home + '/a/s'), ['--read', '~/a']),
    ('link', lambda box: linked(box, box.work + '/link', box.dir + '/outside/s'), []),
    ('links', behind_links, []),
    ('dots', lambda box: at(box, box.dir + '/outside/../work/s'), []),
]


@cases([(name, place, flags) for name, place, flags in PLACES])
def socket(t, place, flags):
    with Asked(t) as box:
        path = place(box)
        box.flags[box.flags.index('--auditor') + 1] = 'unix:' + path
        for command in ('run',), ('create', '--name', 'x'):
            result = box.nsbox(*command, *box.flags, *NET, *flags, *(['--'] + box.marked() if command == ('run',) else []))
            refused(result, 'the auditor unix:' + path, 'sandbox can', '$XDG_RUNTIME_DIR')
        check(not box.ran() and not box.auditor.packets, 'it was begun')
        equal(box.left(), [], 'what is left')


@test
def socket_out_of_reach(t):
    """The control: also below what is visible, where it is hidden."""
    with Asked(t) as box:
        path = at(box, box.home + '/a/b/s')
        link = linked(box, box.dir + '/link', box.dir + '/outside/s')
        box.flags[box.flags.index('--auditor') + 1] = 'unix:' + link
        box.run('true', flags=NET).ok()
        os.unlink(path)
        box.flags[box.flags.index('--auditor') + 1] = 'unix:' + at(box, path)
        box.run('true', flags=[*NET, '--read', '~/a', '--hide', '~/a/b']).ok()
        refused(box.run('true', flags=[*NET, '--read', '~/a']), 'read ')


PROGRAMS = [('word', 'exec /usr/bin/python3 %s', 'auditor.py'), ('quoted', "exec /usr/bin/python3 '%s'", 'auditor.py'),
            ('first', '%s', 'auditor.py'), ('blank', "exec /usr/bin/python3 '%s'", 'my auditor.py'),
            ('double_quotes', 'exec /usr/bin/python3 "%s"', 'my auditor.py'),
            ('nested', "exec sh -c 'exec /usr/bin/python3 %s'", 'auditor.py')]


@cases([(name, command, file) for name, command, file in PROGRAMS])
def program(t, command, file):
    with Asked(t) as box:
        inside, outside = box.work + '/' + file, box.dir + '/' + file
        for path in inside, outside:
            with open(path, 'w') as f:
                f.write('''#!/usr/bin/python3
import json, os, socket
s = socket.socket(fileno=int(os.environ['NSBOX_AUDITOR_FD']))
s.send(json.dumps({'hello': 'x', 'version': 1, 'ops': ['http.request']}).encode())
s.recv(65536)
s.recv(65536)
''')
            os.chmod(path, 0o755)
        os.symlink(outside, box.work + '/link')
        for path in inside, box.work + '/link':
            box.flags[box.flags.index('--auditor') + 1] = 'exec:' + command % path
            refused(box.run(*box.marked(), flags=NET), 'the auditor exec:', path, 'sandbox can write')
        check(not box.ran(), 'it has run')
        # The control; a directory of the sandbox may be what it is to look at.
        box.flags[box.flags.index('--auditor') + 1] = 'exec:' + command % outside + ' ' + box.work
        box.run(*box.marked(), flags=NET).ok()


@cases([('escaped', r'exec /usr/bin/python3 %s/my\ auditor.py', 'sandbox can write'),
        ('joined', r"""exec /usr/bin/python3 %s'/my aud'"itor.py" """, 'sandbox can write'),
        ('after_equals', "exec rules --from='%s/my auditor.py'", 'sandbox can write'),
        ('variable', 'A=auditor.py; exec /usr/bin/python3 "%s/my $A"', 'only a shell knows'),
        ('command', 'exec /usr/bin/python3 %s/my`echo " auditor.py"`', 'only a shell knows'),
        ('pattern', 'exec /usr/bin/python3 %s/my*', 'only a shell knows'),
        ('user', 'exec /usr/bin/python3 ~root%s/auditor.py', 'only a shell knows'),
        ('directory', 'exec /usr/bin/python3 "$PWD/my auditor.py"%.0s', 'only a shell knows'),
        ('program', '"$A/my auditor.py"%.0s', 'only a shell knows'),
        ('open', "exec /usr/bin/python3 '%s/my auditor.py", 'end it')])
def words(t, command, message):
    """Words are read as sh reads them; one that only sh could read is refused."""
    with Asked(t) as box:
        with open(box.work + '/my auditor.py', 'w') as f:
            f.write('pass')
        box.flags[box.flags.index('--auditor') + 1] = 'exec:' + command % box.work
        refused(box.run(*box.marked(), flags=NET), 'the auditor exec:', message)
        check(not box.ran(), 'it has run')
