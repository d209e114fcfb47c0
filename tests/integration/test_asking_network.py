# SPDX-License-Identifier: Apache-2.0
"""Auditors of real sandboxes: requests, connections and raised grants. Nothing reaches an origin before the answer."""
import json
import os
import subprocess
import time

from harness.asked import Asked, Auditor
from harness.named import within
from harness.origin import Origin, TcpListener
from harness.registry import cases, check, equal, test

SECRET = 'sk-real-7f3a9c21e8b44d06a5'
HOST, OTHER = 'api.example.com', 'other.example.com'


class Wired(Asked):
    """With an origin, a secret for it, and a template that lets less than the policy."""

    def __init__(self, t, handler, lines=(), **kwargs):
        super().__init__(t, handler, **kwargs)
        self.origin = Origin(t.pki.context([HOST, OTHER]))
        self.connect(self.origin, HOST, OTHER)
        self.add('--allow', HOST, '--allow', OTHER, '--secret', 'API_KEY@' + HOST, API_KEY=SECRET)
        if lines:
            self.add('-f', t.write('grant.ini', '\n'.join(
                ['[sandbox]', 'version = 1', '[grant narrow]', 'argv = sh *', *lines]) + '\n'))

    def curl(self, url, *options, **kwargs):
        return self.sh('curl -sS -m 30 -w "\\n%%{http_code}" %s %s' % (' '.join(options), url), **kwargs)

    def allow_calls(self, then):
        """Calls start; then decides about the rest."""
        self.auditor.handler = lambda q: {'decision': 'allow'} if q['op'] == 'call.start' else then(q)


def code(result):
    return result.out.strip().splitlines()[-1] if result.out.strip() else result.err


@test
def request_is_asked(t):
    with Wired(t, None) as box:
        seen = []
        box.allow_calls(lambda q: seen.append(len(box.origin.requests)) or {'decision': 'allow', 'reason': 'fine'})
        result = box.curl("'https://%s/a/b?token=geheim&x=1'" % HOST, '-H "Authorization: Bearer $API_KEY"', '-d body')
        equal(code(result), '200', 'status (%r)' % result)
        question, = box.auditor.of('http.request')
        equal({k: question[k] for k in ('method', 'host', 'port', 'path', 'query_keys', 'length', 'secrets')},
              {'method': 'POST', 'host': HOST, 'port': 443, 'path': '/a/b', 'query_keys': ['token', 'x'], 'length': 4,
               'secrets': ['API_KEY']}, 'question')
        check('authorization' in [n.lower() for n in question['header_names']], 'headers: %r' % question['header_names'])
        equal(seen, [0], 'what the origin had seen when it was asked')
        equal(box.origin.requests[0].header('authorization'), ['Bearer ' + SECRET], 'what it got then')
        told = b''.join(p for p in box.auditor.packets if b'http.request' in p)
        check(SECRET.encode() not in told and b'geheim' not in told, 'a value was told')
        equal(box.audit('call.start')[0]['call'], question['call'], 'the call')


@test
def request_is_denied(t):
    with Wired(t, None) as box:
        box.allow_calls(lambda q: {'decision': 'deny', 'reason': 'not today'})
        result = box.curl('https://%s/' % HOST)
        equal(code(result), '403', 'status (%r)' % result)
        check('"reason":"auditor"' in result.out.replace(' ', ''), 'body: %r' % result.out)
        equal(box.origin.requests, [], 'what the origin saw')
        check([r for r in box.audit('http.deny') if 'not today' in json.dumps(r)], 'record: %r' % box.audit('http.deny'))
        box.allow_calls(lambda q: {'decision': 'allow'})
        equal(code(box.curl('https://%s/' % HOST)), '200', 'the twin')


@cases([('gone', 'gone'), ('garbage', b'x'), ('silent', None)])
def request_without_answer(t, how):
    # It is not asked about calls: those would have to be allowed within the time that is to pass.
    with Wired(t, None, deadline='60s' if how else '400ms', ops=['http.request']) as box:
        def fail(question):
            if how == 'gone':
                box.auditor.close()
                return None
            return how
        box.auditor.handler = fail
        equal(code(box.curl('https://%s/' % HOST)), '403', 'status')
        equal(box.origin.requests, [], 'what the origin saw')
        check(box.audit('auditor.error') and box.audit('http.deny'), 'records')


@test
def request_waits_for_a_person(t):
    with Wired(t, None) as box:
        box.allow_calls(lambda q: {'decision': 'ask', 'reason': 'new host'})
        run = box.start('run', *box.flags, '--', 'sh', '-c',
                        'for i in 1 2 3; do curl -s -o /dev/null -w "%%{http_code} " https://%s/x; done' % HOST)
        within(60, box.waiting, 'it waits')
        one, = box.waiting()
        equal((one['op'], one['question']['host'], one['question']['path']), ('http.request', HOST, '/x'), 'what waits')
        time.sleep(0.5)
        equal(box.origin.requests, [], 'nothing leaves meanwhile')
        box.nsbox('approve', one['ticket'], '--always', '--digest', one['digest']).ok()
        equal(run.communicate(timeout=60)[0].split(), [b'200'] * 3, 'equal ones are not asked about again')
        equal(len(box.auditor.of('http.request')), 1, 'questions')


@test
def request_refused_by_a_person(t):
    with Wired(t, None) as box:
        box.allow_calls(lambda q: {'decision': 'ask'})
        run = box.start('run', *box.flags, '--', 'curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', 'https://%s/' % HOST)
        within(60, box.waiting, 'it waits')
        box.nsbox('approve', box.waiting()[0]['ticket'], '--no').ok()
        equal(run.communicate(timeout=60)[0], b'403', 'status')
        equal(box.origin.requests, [], 'what the origin saw')


@test
def who_asked_hangs_up(t):
    """The client is gone: its question is withdrawn, and an answer lets nothing out."""
    with Wired(t, None) as box:
        box.allow_calls(lambda q: {'decision': 'ask'})
        box.create('x')
        call = box.start_exec('x', 'sh', '-c', 'curl -s https://%s/ & read gone; kill $!; read end' % HOST,
                              stdin=subprocess.PIPE)
        within(60, box.waiting, 'it waits')
        call.stdin.write(b'\n')
        call.stdin.flush()
        within(60, lambda: not box.waiting(), 'the question is withdrawn')
        equal(call.poll(), None, 'the call goes on')
        call.communicate(b'\n', timeout=60)
        equal(box.origin.requests, [], 'what the origin saw')
        equal([r['reason'] for r in box.audit('approval.decided')], ['withdrawn'], 'record')


@test
def raise_is_asked(t):
    """What the policy allows and the grant does not: one request more, without a secret more."""
    with Wired(t, None, ['allow = GET https://%s/read/**' % HOST, 'uses = 3']) as box:
        box.allow_calls(lambda q: {'decision': 'allow' if q['op'] == 'grant.raise' and q.get('host') == HOST else
                                   'allow' if q['op'] == 'http.request' else 'deny'})
        script = ('curl -s -o /dev/null -w "%%{http_code} " https://%s/read/x; '
                  'curl -s -o /dev/null -w "%%{http_code} " -X POST https://%s/write; '
                  'curl -s -o /dev/null -w "%%{http_code} " https://%s/; '
                  'curl -s -o /dev/null -w "%%{http_code} " https://%s/read/y; '
                  'curl -s -o /dev/null -w "%%{http_code} " https://%s/read/z' % (HOST, HOST, OTHER, HOST, HOST))
        result = box.sh(script)
        equal(result.out.split(), ['200', '200', '403', '200', '429'], 'statuses (%r)' % result)
        equal([r.target for r in box.origin.requests], ['/read/x', '/write', '/read/y'], 'what the origin saw')
        raises = box.auditor.of('grant.raise')
        equal([r['host'] for r in raises], [HOST, OTHER], 'what was asked for more')
        check('POST https://%s:443/write' % HOST in json.dumps(raises[0]['grant']), 'the rule: %r' % raises[0])


@test
def connection_is_asked(t):
    listener = TcpListener(greeting=b'!')
    with Asked(t, None) as box:
        box.add('--allow', 'tcp://db.example.com:5432', '--connect-to', 'db.example.com:5432:127.0.0.1:%d' % listener.port)
        for decision in ('deny', 'allow'):
            box.auditor.handler = lambda q: {'decision': 'allow' if q['op'] == 'call.start' else decision}
            box.python('try:\n s = connect("db.example.com", 5432); s.sendall(b"hi"); s.recv(1)\nexcept OSError: pass\nout(1)')
            question = box.auditor.of('net.connect')[-1]
            equal((question['host'], question['port']), ('db.example.com', 5432), 'question')
            equal(listener.accepted, int(decision == 'allow'), 'connections when it says ' + decision)


@test
def approval_is_for_one_call(t):
    """An `always` for a request of one call is nothing for the equal request of another."""
    with Wired(t, None) as box:
        box.allow_calls(lambda q: {'decision': 'ask'})
        box.create('x')
        script = 'for i in 1 2; do curl -s -o /dev/null -w "%%{http_code} " https://%s/x; done' % HOST
        first = box.start_exec('x', 'sh', '-c', script)
        within(60, box.waiting, 'the first waits')
        box.nsbox('approve', box.waiting()[0]['ticket'], '--always').ok()
        equal(first.communicate(timeout=60)[0].split(), [b'200'] * 2, 'the first')
        second = box.start_exec('x', 'sh', '-c', script)
        within(60, box.waiting, 'the second waits too')
        one, = box.waiting()
        check(one['call'] != box.audit('approval.asked')[0]['call'], 'another call')
        box.nsbox('approve', one['ticket'], '--no').ok()
        within(60, box.waiting, 'its second request as well')
        box.nsbox('approve', box.waiting()[0]['ticket'], '--no').ok()
        equal(second.communicate(timeout=60)[0].split(), [b'403'] * 2, 'the second')
        equal(len(box.origin.requests), 2, 'requests at the origin')


@test(timeout=60)
def auditor_that_decides_more(t):
    """It came back, and is asked about requests too from then on."""
    with Wired(t, None, ops=['call.start']) as box:
        box.create('x')
        request = 'sh', '-c', 'curl -s -m 30 -o /dev/null -w "%%{http_code}" https://%s/' % HOST
        equal(box.exec('x', *request).ok().out, '200', 'the policy alone')
        box.auditor.close()
        os.unlink(box.auditor.path)
        within(60, lambda: box.audit('auditor.error'), 'that it is gone is recorded')
        box.auditor = Auditor(box.auditor.path)
        box.allow_calls(lambda q: {'decision': 'deny'})
        within(30, lambda: box.exec('x', 'true').code == 0, 'calls run again')
        equal(box.exec('x', *request).ok().out, '403', 'what it denies')
        equal((len(box.auditor.of('http.request')), len(box.origin.requests)), (1, 1), 'questions, and requests at the origin')
