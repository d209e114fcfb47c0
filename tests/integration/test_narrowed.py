# SPDX-License-Identifier: Apache-2.0
"""An auditor narrows a call to what it was not prepared for: it goes on in a place that is, with the program that was
shown, and without another question."""
import os
import stat
import time

from harness.asked import Asked, denied, digest
from harness.registry import cases, check, equal, test, until
from harness.terminal import Terminal

NET = ('--net', 'none')


class Overlaid(Asked):
    """Whose workspace is an overlay, so that its layer stays."""

    def __init__(self, t):
        super().__init__(t)
        self.add(*NET, '--overlay', self.work)

    def left(self):
        return [name for name in super().left() if not name.startswith('layers')]


def narrowing(**grant):
    return lambda q: {'decision': 'narrow', 'grant': grant}


def allowing(q):
    return {'decision': 'allow'}


def one_start(box, result, **members):
    """It was asked about once, and ran as the call that was asked about."""
    result.ok()
    question, = box.auditor.questions
    start, = box.audit('call.start')
    equal((start['call'], start['exe_sha256'], start['decided_by']),
          (question['call'], question['exe_sha256'], 'the auditor'), 'the call')
    for key, value in members.items():
        equal(start[key], value, key)
    equal([r['call'] for r in box.audit('call.exit')], [question['call']], 'ends')
    return result


@test
def to_a_full_call(t):
    with Asked(t, narrowing(isolation='full')) as box:
        box.add(*NET)
        box.create('x')
        script = 'echo $$; ls -d /proc/[0-9]* | wc -l; readlink /proc/self/ns/pid; readlink /proc/self/ns/mnt'
        full = one_start(box, box.exec('x', 'sh', '-c', script), isolation='full').out.split()
        check(int(full[0]) <= 3, 'its number in a pid namespace of its own: %r' % full)
        box.auditor.handler = allowing
        time.sleep(0.01)
        light = [box.exec('x', 'sh', '-c', script).ok().out.split() for _ in range(2)]
        equal(light[0][2:], light[1][2:], 'namespaces of light calls')
        check(full[2] != light[0][2] and full[3] != light[0][3], 'of the full one: %r, %r' % (full, light))


@cases([('system', ['cat', 'key']), ('copied', ['./tool'])])
def to_hide(t, command):
    """What the answer hides is not there, whether the program runs as it is or as a sealed copy."""
    with Asked(t) as box:
        box.add(*NET)
        path = t.write('box/work/key', 'CANARY\n')
        box.program('tool', '#!/bin/sh\ncat key\n')
        equal(box.run(*command).ok().out, 'CANARY\n', 'the twin that is allowed')
        box.auditor.handler = narrowing(hide=[path])
        time.sleep(0.01)
        result = box.run(*command)
        equal((result.out, result.code), ('', 1), 'what it saw (%r)' % result)
        asked = [q['call'] for q in box.auditor.questions]
        start, = box.audit('call.start')
        equal((start['call'], len(asked)), (asked[1], 2), 'the call')
        with open(path) as f:
            equal(f.read(), 'CANARY\n', 'on the host')


@test
def to_read_a_full_call(t):
    """Of a full call what it may only read is mounted so: modes and times too."""
    with Asked(t) as box:
        box.add(*NET, '--isolation', 'full')
        path = t.write('box/work/file', 'x')
        os.chmod(path, 0o600)
        script = 'chmod 644 file; touch -d 2001-01-01 file; true'
        box.auditor.handler = narrowing(read_only='yes')
        one_start(box, box.sh(script))
        equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, 'its mode')
        check(os.stat(path).st_mtime > 1e9, 'its time')
        box.auditor.handler = allowing
        time.sleep(0.01)
        box.sh(script).ok()
        equal(stat.S_IMODE(os.stat(path).st_mode), 0o644, 'the twin that is allowed')


@cases([('committed', 'committed', 'host\n', 'call\n'), ('scratch', 'scratch', 'call\n', 'call\n')])
def to_another_view(t, view, seen, after):
    """The committed view has what the host has, a scratch view a layer of its own that no other call sees."""
    with Overlaid(t) as box:
        t.write('box/work/file', 'host\n')
        box.create('x')
        box.exec('x', 'sh', '-c', 'echo call > file').ok()
        box.auditor.handler = narrowing(view=view)
        time.sleep(0.01)
        result = box.exec('x', 'sh', '-c', 'cat file; echo own 2>/dev/null > file; true').ok()
        equal(result.out, seen, 'what it saw')
        box.auditor.handler = allowing
        time.sleep(0.01)
        equal(box.exec('x', 'cat', 'file').ok().out, after, 'what others see behind it')


@test
def changed_before_it_moves(t):
    """Another program stands there by the time that the narrowed call finds it: that is asked about by itself."""
    with Asked(t) as box:
        box.add(*NET)
        t.write('box/work/key', 'CANARY\n')
        shown = []

        def swap(question):
            shown.append((question['exe_sha256'], 'hide' in question['grant']))
            if len(shown) == 1:
                box.program('tool', '#!/bin/sh\necho SWAPPED; touch ran\n')
                return {'decision': 'narrow', 'grant': {'hide': [box.work + '/key']}}
            return {'decision': 'deny', 'reason': 'another one'}
        first = digest(box.program('tool', '#!/bin/sh\necho SHOWN\n'))
        box.auditor.handler = swap
        denied(box, box.run('./tool'), 'another one')
        equal(shown, [(first, False), (digest(box.work + '/tool'), True)], 'what was shown, and with which grant')
        # And the one of the system that stays runs without a second question.
        shown.clear()
        box.auditor.handler = swap
        box.run('echo', 'fine').ok()
        equal(len(shown), 1, 'questions')


@cases([('isolation', ['--grant', 'g'], {'isolation': 'light'}), ('view', ['--view', 'committed'], {'view': 'working'})])
def no_way_back(t, flags, grant):
    """What the call has less already, an answer cannot give back; nor by what else it narrows."""
    with Overlaid(t) as box:
        box.auditor.handler = narrowing(**grant, hide=['/srv'])
        box.add('-f', t.write('g.ini', '[sandbox]\nversion = 1\n[grant g]\nisolation = full\n'))
        box.create('x')
        result = box.exec('x', 'echo', 'ran', flags=flags)
        equal((result.code, result.out), (126, ''), 'the end (%r)' % result)
        check('more than the call' in result.err, 'message: %r' % result.err)
        equal(box.audit('call.start'), [], 'starts')


@test
def with_a_terminal(t):
    with Asked(t, narrowing(isolation='full')) as box:
        term = Terminal(box, 'run', *box.flags, *NET, '-t', '--', 'sh', '-c', 'read a; echo "got $a on $(tty)"')
        term.type(b'word\n')
        term.expect(rb'got word on /dev/pts/0')
        equal(term.wait(), 0, 'exit status')


@test
def detached(t):
    """Its output is kept, once, and its placeholders are those of the call that runs."""
    with Asked(t, narrowing(isolation='full')) as box:
        box.add('--secret', 'KEY@api.example.com', '--allow', 'api.example.com', KEY='sk-real-7f3a9c21e8b44d06a5')
        box.run('sh', '-c', 'echo out; echo err >&2; echo "${#KEY}"', flags=['-d', '--name', 'x']).ok()
        until(lambda: box.audit('call.exit'), 30, 'its end')
        result = box.nsbox('logs', 'x').ok()
        equal((result.out.split(), result.err.split()), (['out', '26'], ['err']), 'output')


@test
def of_a_call_inside(t):
    with Asked(t) as box:
        box.add(*NET)
        t.write('box/work/key', 'CANARY\n')
        box.auditor.handler = lambda q: (narrowing(hide=[box.work + '/key'])(q) if q['argv'][0] == 'cat' else allowing(q))
        result = box.sh('nsbox call -- cat key; echo "status $?"; cat key')
        equal(result.out.split(), ['status', '1', 'CANARY'], 'what the call inside saw (%r)' % result)
