# SPDX-License-Identifier: Apache-2.0
"""Auditors that leave the decision about a call to a person: nsbox approve, and what a ticket is good for."""
import signal

from harness.asked import Asked
from harness.named import within
from harness.registry import check, equal, test
from harness.terminal import Terminal

NET = ('--net', 'none')


@test
def asking_a_person(t):
    with Asked(t, lambda q: {'decision': 'ask', 'reason': 'looks odd'}) as box:
        box.add(*NET)
        run = box.start('run', *box.flags, '--', *box.marked())
        within(60, box.waiting, 'it waits')
        one, = box.waiting()
        equal((one['op'], one['reason'], one['question']['argv']), ('call.start', 'looks odd', box.marked()), 'what waits')
        check(run.poll() is None and not box.ran(), 'nothing runs meanwhile')
        # Somebody who looked at something else does not let this pass.
        result = box.nsbox('approve', one['ticket'], '--yes', '--digest', '0' * 64)
        equal(result.code, 125, 'another digest (%r)' % result)
        check(not box.ran(), 'it has run')
        box.nsbox('approve', one['ticket'], '--yes', '--digest', one['digest']).ok()
        err = run.communicate(timeout=60)[1]
        equal(run.returncode, 0, 'exit status (%r)' % err)
        check(box.ran() and one['ticket'].encode() in err, 'who waits says under which ticket: %r' % err)
        equal([r['reason'] for r in box.audit('approval.decided')], ['yes'], 'record')
        equal(box.audit('approval.asked')[0]['digest'], one['digest'], 'record of the question')
        equal(box.audit('call.start')[0]['decided_by'], 'a person', 'who let it start')
        # Used up.
        result = box.nsbox('approve', one['ticket'], '--yes')
        equal(result.code, 125, 'the ticket again (%r)' % result)


@test
def a_person_says_no(t):
    with Asked(t, lambda q: {'decision': 'ask'}) as box:
        box.add(*NET)
        run = box.start('run', *box.flags, '--', *box.marked())
        within(60, box.waiting, 'it waits')
        box.nsbox('approve', box.waiting()[0]['ticket'], '--no').ok()
        err = run.communicate(timeout=60)[1]
        equal(run.returncode, 126, 'exit status (%r)' % err)
        check(not box.ran(), 'it has run')
        equal([r['reason'] for r in box.audit('call.denied')], ['a person said no'], 'record')


@test
def answers_at_a_terminal(t):
    """Whole lines that are one of the words, typed after the question could be read; anything else is for later."""
    with Asked(t, lambda q: {'decision': 'ask', 'reason': 'why\x9b31m not\u202e'}) as box:
        box.add(*NET)
        box.create('x')
        one, two = box.start_exec('x', *box.marked()), box.start_exec('x', 'echo', 'b')
        within(60, lambda: len(box.waiting()) == 2, 'both wait')
        listed = box.nsbox('approve', '--json').ok().out_bytes
        check(all(0x20 <= c < 0x7f or c == 10 for c in listed), 'control bytes: %r' % listed)
        prompt = rb'for later: '
        terminal = Terminal(box, 'approve')
        terminal.expect(prompt)
        # Behind the first 63 bytes there is an answer, and a line typed ahead has another.
        terminal.type(b'x' * 63 + b'yes\nyes\n')
        terminal.expect(prompt)
        terminal.type(b'yes please\n\x04')
        equal(terminal.wait(), 0, 'exit status')
        check(len(box.waiting()) == 2 and not box.ran(), 'they wait on')
        terminal = Terminal(box, 'approve')
        for answer in (b'yes', b'n'):
            terminal.expect(prompt)
            terminal.type(answer + b'\n')
        within(60, lambda: not box.waiting(), 'both are decided about')
        terminal.type(b'\x04')
        equal(terminal.wait(), 0, 'exit status')
        equal(sorted([one.wait(60), two.wait(60)]), [0, 126], 'one each')


@test
def always(t):
    with Asked(t, lambda q: {'decision': 'ask'}) as box:
        box.add(*NET)
        box.create('x')
        first = box.start_exec('x', 'echo', 'a')
        within(60, box.waiting, 'it waits')
        box.nsbox('approve', box.waiting()[0]['ticket'], '--always').ok()
        equal(first.communicate(timeout=60)[0], b'a\n', 'it runs')
        equal(box.exec('x', 'echo', 'a').ok().out, 'a\n', 'an equal one is not asked about')
        other = box.start_exec('x', 'echo', 'b')
        within(60, box.waiting, 'another one is')
        one, = box.waiting()
        equal((one['before']['argv'], one['question']['argv']), (['echo', 'a'], ['echo', 'b']), 'what differs')
        text = box.nsbox('approve').ok().out
        check('* argv' in text and '["echo","a"]' in text and '["echo","b"]' in text, 'shown: %r' % text)
        box.nsbox('approve', one['ticket'], '--no').ok()
        equal(other.wait(60), 126, 'exit status')


@test
def nobody_waits(t):
    """A signal to who waits, or the end of its sandbox, withdraws the question."""
    with Asked(t, lambda q: {'decision': 'ask'}) as box:
        box.add(*NET)
        box.create('x')
        one, two = box.start_exec('x', *box.marked()), box.start_exec('x', *box.marked())
        within(60, lambda: len(box.waiting()) == 2, 'both wait')
        one.send_signal(signal.SIGINT)
        equal(one.wait(60), 125, 'exit status')
        within(60, lambda: len(box.waiting()) == 1, 'one waits')
        ticket = box.waiting()[0]['ticket']
        box.nsbox('rm', '-f', 'x').ok()
        check(two.wait(60) != 0 and not box.ran(), 'the other does not run')
        equal(box.nsbox('approve', ticket, '--yes').code, 125, 'its ticket')
        equal([r['reason'] for r in box.audit('approval.decided')], ['withdrawn'] * 2, 'records')


@test
def tickets_stay_in_their_sandbox(t):
    """A yes for one sandbox is none for an equal question in another."""
    with Asked(t, lambda q: {'decision': 'ask'}) as box:
        box.add(*NET)
        box.create('x')
        box.create('y')
        one, two = box.start_exec('x', 'echo', 'a'), box.start_exec('y', *box.marked())
        within(60, lambda: len(box.waiting()) == 2, 'both wait')
        by_argv = {w['question']['argv'][0]: w for w in box.waiting()}
        echo, touch = by_argv['echo'], by_argv['/usr/bin/touch']
        equal(box.nsbox('approve', echo['ticket'], '--yes', '--digest', touch['digest']).code, 125, 'a digest of the other')
        box.nsbox('approve', echo['ticket'], '--yes').ok()
        equal(one.wait(60), 0, 'the one')
        check(two.poll() is None and not box.ran(), 'the other waits')
        box.nsbox('approve', touch['ticket'], '--no').ok()
        equal(two.wait(60), 126, 'the other')
