# SPDX-License-Identifier: Apache-2.0
"""What an answer is for: all that was granted is shown, recorded and counts, as do bytes that no text has."""
import glob
import os

from harness.asked import Asked, denied
from harness.named import lines, within
from harness.registry import cases, check, equal, test

NET = ('--net', 'none')
CACHED = {'decision': 'allow', 'cache_ms': 60000}


def asked(box, *command, flags=()):
    """The last question that the call led to, and whether it led to one."""
    before = len(box.auditor.questions)
    box.exec('x', *command, flags=flags).ok()
    return box.auditor.questions[-1], len(box.auditor.questions) > before


def directories(box, *names):
    for name in names:
        os.makedirs(os.path.join(box.work, name))
    return [os.path.join(box.work, name) for name in names]


@test
def each_key_once(t):
    with Asked(t) as box:
        a, b, c = directories(box, 'a', 'b', 'c')
        box.add(*NET)
        box.create('x')
        question, _ = asked(box, 'true', flags=('--write', a, '--read', b, '--write', c))
        equal((question['grant']['read'], question['grant']['write']), ([b], [a, c]), 'the grant')
        equal(box.audit('call.start')[-1]['granted'], ['read = ' + b, 'write = ' + a, 'write = ' + c], 'record')


@cases([('long', 'd' * 200), ('comment', 'x ;y'), ('bytes', os.fsdecode(b'x\xff'))])
def what_no_policy_file_can_hold(t, name):
    """It is asked about and recorded, and an answer to less is none to it."""
    with Asked(t, lambda q: CACHED) as box:
        plain, odd = directories(box, 'plain', name)
        box.add(*NET)
        box.create('x')
        _, first = asked(box, 'true', flags=('--write', plain))
        _, again = asked(box, 'true', flags=('--write', plain))
        question, other = asked(box, 'true', flags=('--write', plain, '--write', odd))
        equal((first, again, other), (True, False, True), 'who is asked')
        shown = os.fsencode(odd).decode('utf-8', 'replace')
        equal(question['grant']['write'], sorted([plain, shown]), 'the grant')
        check('write = ' + shown in box.audit('call.start')[-1]['granted'], 'record: %r' % box.audit('call.start')[-1])


@test
def what_the_record_leaves_out(t):
    with Asked(t) as box:
        box.add(*NET)
        box.create('x')
        flags = []
        for path in directories(box, *('d%03d' % i for i in range(80))):
            flags += ['--write', path]
        question, _ = asked(box, 'true', flags=flags)
        start = box.audit('call.start')[-1]
        equal((len(question['grant']['write']), len(start['granted']), start['granted_left_out']), (80, 64, 16), 'of 80')
        asked(box, 'true', flags=flags[:8])
        check('granted_left_out' not in box.audit('call.start')[-1], 'nothing is left out: %r' % box.audit('call.start')[-1])


@test
def bytes_that_are_no_text(t):
    """Two arguments are shown alike, and are two questions."""
    with Asked(t, lambda q: CACHED) as box:
        box.add(*NET)
        box.create('x')
        one, first = asked(box, 'echo', b'\xff')
        _, again = asked(box, 'echo', b'\xff')
        two, other = asked(box, 'echo', b'\xfe')
        equal((first, again, other), (True, False, True), 'who is asked')
        equal(one['argv'], two['argv'], 'how they are shown')
        check(one['start_sha256'] != two['start_sha256'], 'they have one digest')


@test
def directories_that_are_no_text(t):
    with Asked(t, lambda q: CACHED) as box:
        one, two = directories(box, os.fsdecode(b'\xff'), os.fsdecode(b'\xfe'))
        box.add(*NET)
        box.create('x')
        first, _ = asked(box, 'true', flags=('--write', one))
        second, other = asked(box, 'true', flags=('--write', two))
        equal(first['grant'], second['grant'], 'how they are shown')
        check(other, 'the second is not asked about')


@test
def who_asks_for_it(t):
    """A call that another one asks for is not equal to one of a client, and a person sees which it is."""
    with Asked(t, lambda q: {'decision': 'ask' if q['argv'][0] == 'echo' else 'allow'}) as box:
        box.add(*NET)
        box.create('x')
        first = box.start_exec('x', 'echo', 'a')
        within(60, box.waiting, 'it waits')
        check('parent' not in box.waiting()[0]['question'], 'nobody inside asks: %r' % box.waiting())
        box.nsbox('approve', box.waiting()[0]['ticket'], '--always').ok()
        equal(first.wait(60), 0, 'exit status')
        box.exec('x', 'echo', 'a').ok()
        parent = box.start_exec('x', 'sh', '-c', 'nsbox call -- echo a; nsbox call -- echo a')
        within(60, box.waiting, 'that of a call waits')
        one, = box.waiting()
        equal(one['question']['parent'], box.auditor.questions[-2]['call'], 'who asks')
        check('parent' in box.nsbox('approve').ok().out, 'it is not shown')
        box.nsbox('approve', one['ticket'], '--always').ok()
        equal(lines(parent, 2), ['a\n', 'a\n'], 'the second is not asked about')
        equal(parent.wait(60), 0, 'exit status')


@test
def narrowed_below_the_program(t):
    """An answer that does not let it execute what was asked about is a denial, also where a copy would run."""
    place = {'exec': '/usr/bin/true'}
    with Asked(t, lambda q: {'decision': 'narrow', 'grant': place}) as box:
        box.add(*NET)
        tool = box.program('tool', '#!/bin/sh\ntouch %s/ran\n' % box.work)
        denied(box, box.run(tool), 'does not let it execute')
    with Asked(t, lambda q: {'decision': 'narrow', 'grant': place}, name='twin') as box:
        box.add(*NET)
        tool = box.program('tool', '#!/bin/sh\ntouch %s/ran\n' % box.work)
        place['exec'] = [tool, '/usr/bin', '/bin']
        box.run(tool).ok()
        check(box.ran(), 'the twin')


@test
def programs_that_run_others(t):
    with Asked(t) as box:
        box.add(*NET)
        box.create('x')
        loader = (glob.glob('/lib64/ld-linux*') + glob.glob('/lib/ld-linux*') + glob.glob('/lib/ld-musl*'))[0]
        for command, wanted in (([loader, '/bin/true'], True), (['find', '/etc/passwd'], True), (['env'], True),
                                (['taskset', '1', 'true'], True), (['cat', '/dev/null'], False)):
            question, _ = asked(box, *command)
            equal(question['interpreter'], wanted, '%r' % question['exe'])
