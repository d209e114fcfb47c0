# SPDX-License-Identifier: Apache-2.0
"""An auditor that ended: while it is away everything is denied, when it is there again it is asked again, and it cannot
come back deciding less."""
import os
import time

from harness.asked import OPS, Asked, Auditor
from harness.named import within
from harness.registry import cases, check, equal, test

NET = ('--net', 'none')


def away(box):
    """The auditor is gone, and a call denied for it."""
    box.add(*NET)
    box.create('x')
    box.exec('x', 'true').ok()
    box.auditor.close()
    os.unlink(box.auditor.path)
    within(60, lambda: box.audit('auditor.error'), 'that it is gone is recorded')
    denied_now(box)


def denied_now(box):
    result = box.exec('x', *box.marked())
    equal(result.code, 126, 'exit status while it is away (%r)' % result)
    check(not box.ran(), 'it has run')


def runs(box):
    return box.exec('x', *box.marked()).code == 0


@test(timeout=60)
def back(t):
    with Asked(t) as box:
        away(box)
        box.auditor = Auditor(box.auditor.path)
        within(60, lambda: runs(box), 'calls run again')
        check(box.ran() and box.auditor.of('call.start'), 'the new one was asked')
        # And it decides.
        box.auditor.handler = lambda question: {'decision': 'deny', 'reason': 'not now'}
        result = box.exec('x', 'echo', 'other')
        check(result.code == 126 and 'not now' in result.err, 'its answer: %r' % result)


@cases([('fewer', dict(ops=['http.request'])), ('garbage', dict(hello=b'hello'))])
def back_with_less(t, kind):
    """A hello that leaves out what was decided before is none: it would let everything of that kind through."""
    with Asked(t, ops=OPS) as box:
        away(box)
        box.auditor = Auditor(box.auditor.path, **kind)
        within(60, lambda: [r for r in box.audit('auditor.error') if r['reason'] == 'auditor-hello'], 'its hello is refused')
        denied_now(box)
        check(not box.auditor.of('call.start'), 'nobody is asked by it')


@test(timeout=60)
def program_again(t):
    """One of exec: is started once more, as often as it ends, with a pause in between."""
    with Asked(t) as box:
        program = t.write('once.py', '''import json, os, socket, sys
s = socket.socket(fileno=int(os.environ['NSBOX_AUDITOR_FD']))
s.send(json.dumps({'hello': 'once', 'version': 1, 'ops': ['call.start']}).encode())
while True:
    q = json.loads(s.recv(65536))
    if 'id' in q:
        s.send(json.dumps({'id': q['id'], 'decision': 'allow'}).encode())
        sys.exit(0)
''')
        box.flags[box.flags.index('--auditor') + 1] = 'exec:exec /usr/bin/python3 ' + program
        box.add(*NET)
        box.create('x')
        started = time.monotonic()
        for _ in range(3):
            within(60, lambda: box.exec('x', 'true').code == 0, 'it is started again')
        check(time.monotonic() - started >= 1.9, 'without a pause')
