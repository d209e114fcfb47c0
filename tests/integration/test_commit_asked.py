# SPDX-License-Identifier: Apache-2.0
"""Commits that the auditor of a sandbox is asked about: what it is shown, what follows from each answer, and that nothing
is written when there is none."""
import glob
import json
import os
import signal

from harness.asked import OPS, Asked
from harness.named import gone, within
from harness.registry import cases, check, descendants, equal, test, until

WITH = OPS + ['fs.commit']
WRITES = 'echo new >plain; printf "all:\\n\\ttrue\\n" >Makefile'


class Commits(Asked):
    """A box with one sandbox that has ended, and has written into an overlay."""

    def __init__(self, t, answer=None, script=WRITES, ops=WITH, **kwargs):
        super().__init__(t, lambda q: self.answer(q) if q['op'] == 'fs.commit' else {'decision': 'allow'}, ops=ops, **kwargs)
        self.answer = answer or (lambda q: {'decision': 'allow', 'reason': 'fine'})
        self.add('--net', 'none', '--overlay', '.')
        self.write(script)

    def write(self, script):
        self.run('sh', '-c', script).ok()
        self.layer = json.loads(self.nsbox('diff', '--json').ok().out)[-1]['id']
        return self.layer

    def commit(self, *args, **kwargs):
        return self.nsbox('commit', self.layer, *args, **kwargs)

    def left(self):
        return [name for name in super().left() if not name.startswith('layers')]

    def on_host(self):
        return sorted(os.listdir(self.work))

    def untouched(self, result, word, code=126):
        equal(result.code, code, 'exit status (%r)' % result)
        check(word in result.err, '%r is not in %r' % (word, result.err))
        equal(self.on_host(), [], 'the workspace')
        equal(self.audit('fs.commit'), [], 'records of a commit')
        check(not any('commit-' in e['name'] for e in self.ls()), 'the entry of the commit is left')

    def parked(self):
        """Begin a commit that waits for a person: its process and what is waiting."""
        self.answer = lambda q: {'decision': 'ask', 'reason': 'who wrote this?'}
        process = self.start('commit', self.layer)
        until(lambda: self.waiting() or process.poll() is not None, 60, 'nothing waits')
        equal(process.poll(), None, 'the commit waits')
        ticket, = self.waiting()
        return process, ticket


@test
def what_is_asked(t):
    seen = []

    def answer(q):
        seen.append(box.on_host())
        return {'decision': 'allow', 'reason': 'fine'}
    with Commits(t, answer, 'echo 1 >plain; mkdir d; echo 2 >d/x; ln -s /etc/passwd out') as box:
        digest = box.nsbox('diff', '--digest', box.layer).ok().out.strip()
        box.commit().ok()
        equal(seen, [[]], 'the host when it was asked')
        question, = box.auditor.of('fs.commit')
        equal(question['summary'], {'files': 3, 'added': 3, 'modified': 0, 'deleted': 0, 'renamed': 0, 'mode': 0, 'type': 0,
                                    'executed_by_host': 1}, 'summary')
        equal({e['path'][len(box.work) + 1:]: (e['change'], e['type'], e['size'], e['flags']) for e in question['entries']},
              {'plain': ('added', 'file', 2, []), 'd/x': ('added', 'file', 2, []), 'out': ('added', 'link', 11, ['link'])},
              'entries')
        equal((question['sandbox'], question['flags'], question['digest'], question['part'], question['parts'],
               question['workdir']), (box.layer, ['link'], digest, 1, 1, box.work), 'the rest')
        check('call' not in question, 'no call is in it')
        record, = box.audit('fs.commit')
        equal((record['decided_by'], record['reason'], record['files']), ('the auditor', 'fine', 3), 'record')
        equal(box.on_host(), ['d', 'out', 'plain'], 'what was committed')


@test
def flagged_files_pass_with_a_yes(t):
    with Commits(t) as box:
        box.commit().ok()
        equal(box.on_host(), ['Makefile', 'plain'], 'the workspace')
        # The twin: without an auditor a person has to say so.
        box.flags = box.flags[:box.flags.index('--auditor')] + ['--net', 'none', '--overlay', '.']
        box.write('echo >>Makefile')
        result = box.commit()
        equal(result.code, 125, 'exit status (%r)' % result)
        check('--accept-executable' in result.err, 'no way out: %r' % result)


@test
def denied(t):
    with Commits(t, lambda q: {'decision': 'deny', 'reason': 'not this one'}) as box:
        box.untouched(box.commit(), 'not this one')
        # Whoever asks for the commit cannot pass it by.
        box.untouched(box.commit('--accept-executable'), 'not this one')
        equal([(r['reason'], r['decided_by']) for r in box.audit('commit.denied')], [('not this one', 'the auditor')] * 2,
              'records')
        box.answer = lambda q: {'decision': 'allow'}
        box.commit().ok()
        equal(box.on_host(), ['Makefile', 'plain'], 'the workspace')


def hang_up(box, question):
    box.auditor.sock.shutdown(2)


@cases([('dead', hang_up, 'auditor-gone'),
        ('slow', lambda box, q: None, 'auditor-timeout'),
        ('garbage', lambda box, q: b'allow', 'auditor-garbage'),
        ('wrong_id', lambda box, q: {'id': q['id'] + 1, 'decision': 'allow'}, 'auditor-garbage'),
        ('no_decision', lambda box, q: {'decision': 'yes'}, 'auditor-garbage'),
        ('widening', lambda box, q: {'decision': 'narrow', 'grant': {'write': ['/']}}, 'auditor-garbage'),
        ('oversize', lambda box, q: b'{"id":%d,"decision":"allow","reason":"%s"}' % (q['id'], b'x' * 66000),
         'auditor-oversize')])
def no_answer(t, answer, reason):
    with Commits(t, lambda q: answer(box, q), deadline='5s' if reason == 'auditor-timeout' else '60s') as box:
        box.untouched(box.commit(), reason)
        equal([r['reason'] for r in box.audit('auditor.error')], [reason], 'records')
        equal([r['reason'] for r in box.audit('commit.denied')], [reason], 'denials')
        # The twin.
        box.answer = lambda q: {'decision': 'allow'}
        box.commit().ok()
        equal(box.on_host(), ['Makefile', 'plain'], 'the workspace')


@cases([('not_there', None, 'cannot connect'),
        ('no_hello', b'', 'auditor-hello'),
        ('bad_hello', {'hello': 'x', 'version': 2, 'ops': WITH}, 'auditor-hello')])
def no_auditor(t, hello, word):
    with Commits(t) as box:
        box.auditor.hello = hello or {}
        if hello is None:
            box.auditor.close()
            os.unlink(box.auditor.path)
        box.untouched(box.commit(), word, 125 if hello is None else 126)
        check(word in box.audit('auditor.error')[0]['reason'], 'records: %r' % box.audit('auditor.error'))


@test
def auditor_that_does_not_decide_it(t):
    with Commits(t, ops=OPS) as box:
        result = box.commit()
        box.untouched(result, '--accept-executable', 125)
        box.commit('--accept-executable').ok()
        equal(box.on_host(), ['Makefile', 'plain'], 'the workspace')
        check('decided_by' not in box.audit('fs.commit')[0], 'nobody decided')


@test
def person_says_yes(t):
    with Commits(t) as box:
        process, ticket = box.parked()
        equal((ticket['op'], ticket['reason'], ticket['sandbox']), ('fs.commit', 'who wrote this?', box.layer), 'ticket')
        equal(ticket['question']['digest'], box.nsbox('diff', '--digest', box.layer).ok().out.strip(), 'what it is bound to')
        equal(box.on_host(), [], 'while it waits')
        shown = json.loads(box.nsbox('inspect', 'commit-' + box.layer).ok().out)
        equal((shown['state'], shown['gateway'], shown['calls']), ('deciding', 'none', []), 'what it says of itself')
        # Another digest is another commit.
        equal(box.nsbox('approve', ticket['ticket'], '--yes', '--digest', '0' * 64).code, 125, 'exit status')
        equal(process.poll(), None, 'it goes on to wait')
        box.nsbox('approve', ticket['ticket'], '--yes', '--digest', ticket['digest']).ok()
        equal(process.wait(60), 0, 'exit status')
        equal(box.on_host(), ['Makefile', 'plain'], 'the workspace')
        record, = box.audit('fs.commit')
        equal(record['decided_by'], 'a person', 'record')
        equal([r['op'] for r in box.audit('approval.asked') + box.audit('approval.decided')], ['fs.commit'] * 2, 'records')


@test
def person_says_no(t):
    with Commits(t) as box:
        process, ticket = box.parked()
        box.nsbox('approve', ticket['ticket'], '--no').ok()
        equal(process.wait(60), 126, 'exit status')
        equal((box.on_host(), box.audit('fs.commit')), ([], []), 'nothing was committed')
        equal(box.audit('commit.denied')[0]['decided_by'], 'a person', 'record')


@test
def ticket_of_an_earlier_commit(t):
    """The same layer asked about anew: what was listed before is not what is decided about."""
    with Commits(t) as box:
        process, old = box.parked()
        check(old['digest'] in box.nsbox('approve').ok().out.split('ticket digest ')[1], 'the digest of the ticket is named')
        box.nsbox('approve', old['ticket'], '--no').ok()
        equal(process.wait(60), 126, 'exit status')
        process, new = box.parked()
        check(old['ticket'] != new['ticket'], 'the same ticket twice')
        equal(box.nsbox('approve', old['ticket'], '--yes').code, 125, 'the old ticket')
        equal(process.poll(), None, 'it goes on to wait')
        box.nsbox('approve', new['ticket'], '--always').ok()
        equal(process.wait(60), 0, 'exit status')
        equal(box.audit('approval.decided')[-1]['reason'], 'yes', 'a commit is decided about once')


@test
def changed_after_the_question(t):
    """Somebody on the host writes into the layer while a person looks at what was asked."""
    with Commits(t) as box:
        process, ticket = box.parked()
        upper, = glob.glob(box.state + '/nsbox/layers/*/0/upper/plain')
        with open(upper, 'w') as f:
            f.write('bad\n')
        box.nsbox('approve', ticket['ticket'], '--yes').ok()
        equal(process.wait(60), 125, 'exit status')
        # Nothing of it was lost.
        box.nsbox('diff', box.layer).ok()
        check(b'not those that the digest was taken of' in process.stderr.read(), 'the reason')
        equal(box.on_host(), [], 'the workspace')


@test
def digest_of_something_else(t):
    with Commits(t) as box:
        box.untouched(box.commit('--digest', '0' * 64), 'not those that the digest was taken of', 125)
        equal(box.auditor.of('fs.commit'), [], 'nobody was asked')


@test
def given_up(t):
    """Killed while it waits; ended by nsbox rm. Each leaves nothing but a record."""
    with Commits(t) as box:
        process, _ = box.parked()
        helpers = [pid for pid, name in descendants(os.getpid()).items() if name.startswith('nsbox-superviso')]
        process.send_signal(signal.SIGKILL)
        process.wait()
        within(60, lambda: gone(helpers), 'the supervisor')
        box.untouched(box.nsbox('approve', '--json'), '', 0)
        process, ticket = box.parked()
        equal(box.nsbox('rm', 'commit-' + box.layer).code, 125, 'exit status without force')
        equal(box.exec('commit-' + box.layer, 'true').code, 125, 'nothing starts in it')
        box.nsbox('rm', '-f', 'commit-' + box.layer).ok()
        equal(process.wait(60), 126, 'exit status')
        equal([r['reason'] for r in box.audit('commit.denied')], ['nobody waits for it any more', 'it was given up'], 'records')
        equal(box.on_host(), [], 'the workspace')


@test
def long_lists(t):
    """More than one packet of them: each part is asked about, and one denial is enough."""
    script = 'i=0; while [ $i -lt 900 ]; do : >file-$i; i=$((i+1)); done; : >zz-last'
    with Commits(t, lambda q: {'decision': 'allow', 'reason': 'part %d' % q['part']}, script) as box:
        box.answer = lambda q: {'decision': 'deny' if any(e['path'].endswith('zz-last') for e in q['entries']) else 'allow'}
        box.untouched(box.commit(), 'denied')
        asked = box.auditor.of('fs.commit')
        equal(len([e for q in asked for e in q['entries']]), 901, 'entries')
        check(asked[0]['parts'] == len(asked) > 1, 'parts: %r' % [q['part'] for q in asked])
        check(all(len(p) <= 65536 for p in box.auditor.packets), 'a packet is too large')
        # A person would be shown the first part of them only.
        box.answer = lambda q: {'decision': 'ask'}
        box.untouched(box.commit(), 'commit it in parts')
        box.answer = lambda q: {'decision': 'allow'}
        box.commit().ok()
        equal(len(box.on_host()), 901, 'files')


@test
def copies_are_asked_about_too(t):
    with Commits(t, lambda q: {'decision': 'deny', 'reason': 'no copies'}) as box:
        box.nsbox('snapshot', box.layer, 'copy').ok()
        box.untouched(box.nsbox('commit', 'copy'), 'no copies')
        box.nsbox('rollback', box.layer, 'copy').ok()
        box.untouched(box.commit(), 'no copies')


PROGRAM = '''
import json, os, socket
s = socket.socket(fileno=int(os.environ['NSBOX_AUDITOR_FD']))
s.send(json.dumps({'hello': 'x', 'version': 1, 'ops': ['call.start', 'fs.commit']}).encode())
while packet := s.recv(65536):
    q = json.loads(packet)
    try:
        open('%s', 'w')
        found = 'it could write'
    except OSError as e:
        found = 'errno %%d' %% e.errno
    if 'id' in q:
        s.send(json.dumps({'id': q['id'], 'decision': 'allow', 'reason': found}).encode())
'''


@test
def program_is_confined(t):
    with Commits(t) as box:
        mark = box.dir + '/mark'
        program = t.write('auditor.py', PROGRAM % mark)
        box.flags = ['-f', box.policy, '--auditor', 'exec:/usr/bin/python3 ' + program, '--net', 'none', '--overlay', '.']
        box.nsbox('discard', box.layer).ok()
        box.write(WRITES)
        box.commit().ok()
        equal(box.audit('fs.commit')[0]['reason'], 'errno 13', 'what the auditor could do')
        check(not os.path.exists(mark), 'it wrote')
        until(lambda: not any(program in c for c in commands()), message='the auditor is left')


def commands():
    found = []
    for path in glob.glob('/proc/[0-9]*/cmdline'):
        try:
            with open(path, errors='replace') as f:
                found.append(f.read())
        except OSError:
            pass
    return found


@test
def beside_requests(t):
    """An auditor that decides commits and nothing of the network is no auditor of requests; one that decides both is."""
    for ops, asked in ((['fs.commit'], []), (['fs.commit', 'http.request'], ['http.request'])):
        with Asked(t, ops=ops, name='box%d' % len(ops)) as box:
            box.add('--allow', 'http://nothing.example')
            box.run('/usr/bin/curl', '-s', '-o', '/dev/null', 'http://nothing.example/').ok()
            equal([q['op'] for q in box.auditor.questions], asked, 'what is asked')


@test
def fork_that_writes_where_the_auditor_is(t):
    """It inherits the auditor of the layer, so its own policy may not reach it either."""
    with Commits(t) as box:
        place = os.path.dirname(box.auditor.path)
        at = box.flags.index('--auditor')
        fork = ('run', *box.flags[:at], *box.flags[at + 2:], '--fork', box.layer)
        result = box.nsbox(*fork, '--read', place, '--', 'true')
        equal(result.code, 125, 'exit status (%r)' % result)
        check('the auditor unix:%s lies where' % box.auditor.path in result.err, 'message: %r' % result)
        box.nsbox(*fork, '--rm', '--', 'true').ok()
