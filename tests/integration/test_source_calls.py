# SPDX-License-Identifier: Apache-2.0
"""Values that the command of a secret gives to calls: one for each, told whose it is, and revoked with it. The server is the
oracle for which value was in use, files that the commands write for what they were told and when they ran."""
import hashlib
import json
import os
import signal
import socket
import struct
import subprocess
import time

from harness.named import Named
from harness.origin import Origin
from harness.registry import cases, check, equal, test, until

HOST = 'api.example.com'
VALUE = 'token-7f3a9c21e8b44d06a5-'
# A number more each time; what it was told goes to a file of that number.
COUNTS = '''n=$(mktemp $d/n.XXXXXX); i=1; until ln $n $d/told.$i 2>/dev/null; do i=$((i+1)); done; rm $n
cat > $d/told.$i; echo %s$i
''' % VALUE
REVOKE = 'read value; n=${value##*-}; echo >> $d/revoked.$n'
ASK = 'curl -s -o /dev/null -w "%{http_code}\\n" -H "A: $KEY" https://api.example.com/; '
LOOP = 'echo up; while read line; do ' + ASK + 'done'


class Issued(Named):
    """A named sandbox x; its secret KEY comes from a script, which may use $d."""

    def __init__(self, t, source=COUNTS, revoke=REVOKE, more=''):
        super().__init__(t)
        self.origin = Origin(t.pki.context([HOST]), self.echo)
        self.connect(self.origin, HOST)
        self.d = t.path('source')
        os.mkdir(self.d)
        self.script, self.revoke = (t.write(name, 'd=%s\n%s' % (self.d, text)) for name, text in
                                    (('source.sh', source), ('revoke.sh', revoke)))
        section = '[secret KEY]\nsource = exec:sh %s\nrevoke = sh %s\nallow = https://%s\n' % (self.script, self.revoke, HOST)
        policy = t.write('policy.ini', '[sandbox]\nversion = 1\n[network]\nallow = https://%s\n%s' % (
            HOST, '' if more is None else section + more))
        self.nsbox('create', '--name', 'x', *self.flags, '-f', policy).ok()

    def echo(self, connection, request):
        self.origin.reply(connection, body=','.join(request.header('a')).encode())

    def files(self, name):
        return sorted(f for f in os.listdir(self.d) if f.startswith(name + '.'))

    def told(self, n):
        with open('%s/told.%d' % (self.d, n)) as f:
            return json.load(f)

    def sent(self):
        return [v for r in self.origin.requests for v in r.header('a')]

    def loop(self, *flags):
        call = self.start_exec('x', 'sh', '-c', LOOP, flags=flags, stdin=subprocess.PIPE)
        equal(call.stdout.readline(), b'up\n', 'it runs')
        return call

    @staticmethod
    def ask(call):
        call.stdin.write(b'\n')
        call.stdin.flush()
        return call.stdout.readline().strip().decode()


@test
def each_call_has_its_own(t):
    with Issued(t) as box:
        a, b, c = box.loop(), box.loop('--uses', '50'), box.loop()
        equal([box.ask(x) for x in (a, b, c, a, b, c)], ['200'] * 6, 'statuses')
        equal(box.sent(), [VALUE + n for n in '123123'], 'values')
        box.exec('x', 'true').ok()
        equal(len(box.files('told')), 3, 'a call that does not use it costs no command')
        equal(box.files('revoked'), [], 'nothing has ended')
        for n, call in ((2, b), (1, a), (3, c)):
            call.communicate(timeout=60)
            # Or it is recorded that the command takes longer.
            check('revoked.%d' % n in box.files('revoked') or box.audit('limit.hit', reason='secret-revoke'),
                  'revoked when the end is told: %r' % box.files('revoked'))
        until(lambda: len(box.files('revoked')) == 3, 30, 'revoked')
        uses = [r['call'] for r in box.audit('secret.use')]
        equal(len(set(uses)), 3, 'whose use it is: %r' % uses)
        asked = box.audit('secret.ask')
        equal([(r['name'], r['reason']) for r in asked], [('KEY', 'request')] * 2, 'records before the command runs')
        check({r['call'] for r in asked} < set(uses), 'whose they are: %r' % asked)


@test
def what_the_command_is_told(t):
    """The first value is made before there is a call; the others with the call, its arguments and its grant."""
    with Issued(t) as box:
        command = ['sh', '-c', ASK]
        equal(box.exec('x', *command, flags=('--allow', 'GET https://%s' % HOST, '--secret', 'KEY')).out, '200\n', 'status')
        first, told = box.told(1), box.told(2)
        equal((first['secret'], first['allow'], 'call' in first), ('KEY', ['https://' + HOST], False), 'before any call')
        digest = hashlib.sha256(b''.join(a.encode() + b'\0' for a in command)).hexdigest()
        equal((told['secret'], told['allow'], told['sandbox']), (first['secret'], first['allow'], first['sandbox']), 'the same')
        call = box.audit('call.start')[-1]['call']
        equal((told['call']['id'], told['call']['argv_sha256']), (call, digest), 'whose it is')
        grant = told['call']['grant']
        equal((grant['allow'], grant['secret']), (['GET https://%s' % HOST], ['KEY']), 'grant: %r' % grant)
        equal(box.exec('x', *command, flags=('--secret', 'none')).out, '200\n', 'a call without the secret')
        equal(len(box.files('told')), 2, 'asks for nothing')
        equal(box.exec('x', *command).out, '200\n', 'one that has all of the policy')
        equal(box.sent()[-1], VALUE + '1', 'takes what was made for that')
        equal(box.exec('x', *command).out, '200\n', 'and the next')
        equal((box.told(3)['call']['grant'], box.sent()[-1]), ({}, VALUE + '3'), 'gets its own')


@test
def input_need_not_be_read(t):
    """A command with but one value to give: it is revoked when nobody uses it any more."""
    with Issued(t, source='echo x >> $d/runs; echo %s0' % VALUE) as box:
        a, b = box.loop(), box.loop()
        equal([box.ask(a), box.ask(b)], ['200'] * 2, 'statuses')
        equal(box.sent(), [VALUE + '0'] * 2, 'values')
        a.communicate(timeout=60)
        equal((box.ask(b), box.files('revoked')), ('200', []), 'the other one goes on with it')
        b.communicate(timeout=60)
        until(lambda: box.files('revoked') == ['revoked.0'], 30, 'then it is revoked')


@test
def no_value_for_a_call(t):
    """502 with the reason, and the command runs again when some time has passed, not for each request."""
    with Issued(t, source='echo >> $d/asked; test $(wc -l < $d/asked) = 1 || exit 3; cat > /dev/null; echo %s1' % VALUE) as box:
        a, b = box.loop(), box.loop()
        equal(box.ask(a), '200', 'the first one')
        begin = time.monotonic()
        equal([box.ask(b) for _ in range(5)], ['502'] * 5, 'the other')
        # Not again for five seconds.
        most = 2 + int((time.monotonic() - begin) / 5)
        with open(box.d + '/asked') as f:
            check(2 <= len(f.readlines()) <= most, 'how often it was asked')
        refused = box.exec('x', 'sh', '-c', 'curl -s -H "A: $KEY" https://%s/' % HOST).json()
        equal(refused['reason'], 'secret-unavailable', 'reason')
        check('it failed' in refused['detail'] and 'KEY' in refused['detail'], 'text: %r' % refused)
        equal(box.sent(), [VALUE + '1'], 'the server saw nothing of them')
        record = box.audit('limit.hit', reason='secret-refresh')[0]
        equal((record['name'], record['why']), ('KEY', 'it failed'), 'record')
        check(record['call'], 'whose it is')
        equal(box.ask(a), '200', 'who has one goes on')
        for call in (a, b):
            call.communicate(timeout=60)


@test
def a_call_that_ends_first(t):
    """While its command runs: what that gives is revoked, and nobody ever has it."""
    source = 'cat > $d/told; if [ -e $d/second ]; then mkfifo $d/go; read x < $d/go; n=2; else n=1; touch $d/second; fi; echo %s$n' % VALUE
    with Issued(t, source=source) as box:
        first = box.loop()
        equal(box.ask(first), '200', 'the first one')
        call = box.start_exec('x', 'sh', '-c', ASK)
        until(lambda: os.path.exists(box.d + '/go'), 30, 'the command does not run')
        call.send_signal(signal.SIGTERM)
        until(lambda: box.audit('http.deny'), 30, 'its request goes on waiting')
        with open(box.d + '/go', 'w') as f:
            f.write('go\n')
        call.communicate(timeout=60)
        until(lambda: box.files('revoked') == ['revoked.2'], 30, 'not revoked: %r' % box.files('revoked'))
        equal(box.sent(), [VALUE + '1'], 'the server saw nothing of it')
        first.communicate(timeout=60)


@test
def a_revoke_that_takes_long(t):
    """The end of the call is told without it, and recorded; it goes on."""
    with Issued(t, revoke='read value; mkfifo $d/go; read x < $d/go; echo > $d/revoked.1') as box:
        equal(box.exec('x', 'sh', '-c', ASK).out, '200\n', 'status')
        late = box.audit('limit.hit', reason='secret-revoke')
        equal([r['name'] for r in late], ['KEY'], 'record')
        equal(late[0]['call'], box.audit('call.exit')[-1]['call'], 'whose it was')
        check(not box.files('revoked'), 'it waits')
        with open(box.d + '/go', 'w') as f:
            f.write('go\n')
        until(lambda: box.files('revoked') == ['revoked.1'], 30, 'not revoked')


@test
def long_bodies_have_it_before_they_go(t):
    """What is streamed cannot wait: the value is there when it begins."""
    body = "import os; print('x' * 40000 + os.environ['KEY'] + 'y' * 40000)"
    with Issued(t, more='inject = header, body\n') as box:
        script = ('python3 -c "%s" | curl -s -o /dev/null -w "%%{http_code}\\n" -H "Content-Type: text/plain" '
                  '-H "Transfer-Encoding: chunked" --data-binary @- https://%s/' % (body, HOST))
        for n in '123':
            equal(box.exec('x', 'sh', '-c', script, flags=() if n == '1' else ('--uses', '5')).out, '200\n', 'status')
            check((VALUE + n).encode() in box.origin.requests[-1].body, 'its value')


@cases([('sandbox_removed', False), ('gateway_killed', True)])
def none_is_left(t, kill):
    """Whatever ends."""
    with Issued(t) as box:
        calls = [box.loop() for _ in range(3)]
        equal([box.ask(c) for c in calls], ['200'] * 3, 'statuses')
        if kill:
            os.kill(box.helper('nsbox-gateway'), signal.SIGKILL)
        else:
            box.nsbox('rm', '-f', 'x').ok()
        until(lambda: len(box.files('revoked')) == 3, 30, 'not revoked: %r' % box.files('revoked'))
        for c in calls:
            c.communicate(timeout=60)


@test
def added_rotated_and_revoked(t):
    """The same for one that is added to a sandbox that runs."""
    with Issued(t, more=None) as box:
        box.env['OTHER_REAL'] = 'the-other-value-1234'
        box.nsbox('secret', 'add', 'x', 'OTHER=env:OTHER_REAL@https://' + HOST).ok()
        with open(box.script, 'a') as f:
            f.write('env > $d/env\n')
        spec = 'KEY=exec:sh %s@https://%s' % (box.script, HOST)
        box.nsbox('secret', 'add', 'x', spec).ok()
        with open(box.d + '/env') as f:
            check('the-other-value' not in f.read(), 'the value of another secret is in the environment of the command')
        equal(box.inspect('x')['secrets'], ['OTHER', 'KEY'], 'inspect')
        a, b = box.loop(), box.loop()
        equal([box.ask(a), box.ask(b)], ['200'] * 2, 'statuses')
        equal(box.sent(), [VALUE + '1', VALUE + '2'], 'values')
        box.nsbox('secret', 'rotate', 'x', 'KEY').ok()
        equal([box.ask(a), box.ask(b)], ['200'] * 2, 'statuses')
        check(sorted(box.sent()[2:]) == [VALUE + '3', VALUE + '4'], 'rotated: %r' % box.sent())
        with open(box.script, 'w') as f:
            f.write('exit 1\n')
        for words, what in ((('rotate', 'x', 'KEY'), 'it failed'), (('rotate', 'x', 'KEY=env:OTHER_REAL'), 'without a source'),
                            (('rotate', 'x', 'KEY=exec:true'), 'revoke this one'), (('add', 'x', spec), 'already'),
                            (('add', 'x', 'B=exec:false@https://' + HOST), 'it failed'),
                            (('add', 'x', 'B=exec:true@https://' + HOST), 'printed nothing')):
            refused = box.nsbox('secret', *words)
            check(refused.code == 125 and what in refused.err, '%r: %r' % (words, refused))
        equal([box.ask(a), box.ask(b)], ['200'] * 2, 'what failed changed nothing')
        equal(sorted(box.sent()[4:]), sorted(box.sent()[2:4]), 'values')
        equal(box.inspect('x')['secrets'], ['OTHER', 'KEY'], 'inspect')
        box.nsbox('secret', 'revoke', 'x', 'KEY').ok()
        equal([box.ask(a), box.ask(b)], ['403'] * 2, 'revoked')
        equal(len(box.sent()), 6, 'the server saw nothing of it')
        for call in (a, b):
            call.communicate(timeout=60)


@test
def long_bodies_without_it(t):
    """What may not hold the secret asks for nothing, however long it is."""
    with Issued(t) as box:
        script = 'head -c 40000 /dev/zero | curl -s -o /dev/null -w "%%{http_code}" --data-binary @- https://%s/' % HOST
        equal(box.exec('x', 'sh', '-c', script, flags=('--uses', '5')).out, '200', 'status')
        equal(box.files('told'), ['told.1'], 'the command ran for the sandbox alone')
        equal(box.exec('x', 'sh', '-c', ASK, flags=('--uses', '5')).out, '200\n', 'the control')
        equal(box.files('told'), ['told.1', 'told.2'], 'and for who uses it')


@test
def rotated_with_and_without_a_helper(t):
    with Issued(t) as box:
        call = box.loop()
        equal(box.ask(call), '200', 'status')
        box.nsbox('secret', 'rotate', 'x', 'KEY').ok()
        until(lambda: box.files('revoked') == ['revoked.1'], 30, 'what was replaced is not revoked')
        equal((box.ask(call), box.sent()), ('200', [VALUE + '1', VALUE + '2']), 'values')
        call.communicate(timeout=60)
        os.kill(box.helper('nsbox-source'), signal.SIGKILL)
        until(lambda: box.audit('limit.hit', reason='secret-refresh'), 30, 'its end is not seen')
        refused = box.nsbox('secret', 'rotate', 'x', 'KEY')
        check(refused.code == 125 and 'helper is gone' in refused.err, '%r' % refused)


@test
def rotated_while_the_command_runs(t):
    """What it was asked for before is not what the rotation gives."""
    source = COUNTS.replace('echo ', 'if [ $i = 2 ]; then mkfifo $d/go; read x < $d/go; fi; echo ')
    with Issued(t, source=source) as box:
        call = box.loop('--uses', '50')
        call.stdin.write(b'\n')
        call.stdin.flush()
        until(lambda: os.path.exists(box.d + '/go'), 30, 'the command does not run')
        rotation = box.start('secret', 'rotate', 'x', 'KEY')
        until(lambda: 'revoked.1' in box.files('revoked'), 30, 'the rotation has not begun')
        with open(box.d + '/go', 'w') as f:
            f.write('go\n')
        equal((rotation.wait(timeout=60), call.stdout.readline()), (0, b'200\n'), 'rotated, and the status')
        equal(box.sent(), [VALUE + '3'], 'what was sent')
        call.communicate(timeout=60)


class Helper:
    """A helper of its own, with this test in the place of the gateway."""

    BASE = '{"allow":[],"sandbox":"x","secret":"KEY"}\n'

    def __init__(self, t, ask, revoke):
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(60)
        self.process = subprocess.Popen([t.prefix + '/libexec/nsbox/nsbox-source', ask, revoke, self.BASE],
                                        preexec_fn=lambda: os.dup2(theirs.fileno(), 3), close_fds=False)
        theirs.close()

    def ask(self, number, text=b''):
        self.socket.send(struct.pack('<III', 96, number, len(text)) + text)

    def end(self, number):
        self.socket.send(struct.pack('<II', 99, number))

    def answer(self):
        """Kind and number."""
        return struct.unpack('<II', self.socket.recv(1 << 17)[:8])


@test
def the_helper_is_full(t):
    """It says so, and goes on with what it has."""
    helper = Helper(t, 'echo value-of-it', '')
    for number in range(1, 2050):
        helper.ask(number)
    answers = []
    while (98, 2049) not in answers:
        answers.append(helper.answer())
    equal({kind for kind, number in answers if number < 2049} - {97}, set(), 'what was taken is given')
    equal(helper.process.poll(), None, 'the helper is there')
    helper.socket.close()
    helper.process.wait(timeout=60)


@test
def the_helper_is_left_while_a_command_runs(t):
    """What that gives is revoked."""
    d = t.path('d')
    os.mkdir(d)
    os.mkfifo(d + '/go')
    helper = Helper(t, 'echo > %s/runs; read x < %s/go; echo value-of-it' % (d, d), 'cat > %s/revoked' % d)
    helper.ask(1)
    until(lambda: os.path.exists(d + '/runs'), 30, 'the command does not run')
    helper.socket.close()
    with open(d + '/go', 'w') as f:
        f.write('go\n')
    helper.process.wait(timeout=60)
    with open(d + '/revoked') as f:
        equal(f.read(), 'value-of-it\n', 'revoked')


@test
def the_same_value_with_another_end(t):
    """It is the same one: revoked when nobody uses it any more."""
    d = t.path('d')
    os.mkdir(d)
    text = 'echo >> %s/n; echo "{\\"value\\":\\"value-of-it\\",\\"expires_at\\":400000000$(wc -l < %s/n)}"' % (d, d)
    helper = Helper(t, text, 'cat >> %s/revoked' % d)
    for number in (1, 2):
        helper.ask(number)
        equal(helper.answer(), (97, number), 'a value')
    helper.end(1)
    equal((helper.answer(), os.path.exists(d + '/revoked')), ((100, 1), False), 'the other one goes on with it')
    helper.end(2)
    equal((helper.answer(), os.path.exists(d + '/revoked')), ((100, 2), True), 'then it is revoked')
    helper.socket.close()
    helper.process.wait(timeout=60)


@cases([('not_json', b'{"id":1'), ('another_object', b'{},"secret":"OTHER"'), ('array', b'[1]'), ('two', b'{} {}'),
        ('number_twice', None)])
def the_helper_takes_but_an_object(t, call):
    """Whoever has the gateway can neither change what the client said nor have anything else run: the helper leaves."""
    d = t.path('d')
    os.mkdir(d)
    helper = Helper(t, 'cat > %s/told; echo value-of-it' % d, 'cat > %s/revoked' % d)
    helper.ask(1, b'{"id":"x.1"}')
    equal(helper.answer(), (97, 1), 'the control: an object')
    with open(d + '/told') as f:
        equal(json.load(f), dict(json.loads(helper.BASE), call={'id': 'x.1'}), 'what it is told')
    if call is None:
        helper.ask(1)
        helper.ask(1)
    else:
        helper.ask(2, call)
    helper.process.wait(timeout=60)
    until(lambda: os.path.exists(d + '/revoked'), 30, 'what it had given is not revoked')
    with open(d + '/told') as f:
        equal(json.load(f).get('secret'), 'KEY', 'what it was told')
