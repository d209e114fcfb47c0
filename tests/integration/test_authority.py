# SPDX-License-Identifier: Apache-2.0
"""Rules of a sandbox, changed while it runs: at once, also for what is open; and never from inside."""
import subprocess
import threading

from harness import wire
from harness.box import PYTHON
from harness.named import Named
from harness.origin import Origin, TcpListener
from harness.registry import cases, check, equal, test, until
from test_http import own_name

HOST, OTHER = 'api.example.com', 'other.example.com'


def status(url, *options):
    return 'curl -s -m 60 -o /dev/null -w "%%{http_code} " %s %s; ' % (' '.join(options), url)


class Running(Named):
    """A named sandbox x that may reach HOST; both hosts lead to the origin."""

    def __init__(self, t, *flags, handler=None):
        super().__init__(t)
        self.origin = Origin(t.pki.context([HOST, OTHER]), handler)
        self.connect(self.origin, HOST, OTHER)
        self.nsbox('create', '--name', 'x', *self.flags, '--allow', HOST, *flags).ok()

    def get(self, host=HOST, flags=()):
        return self.exec('x', 'sh', '-c', status('https://%s/' % host), flags=flags).out.strip()

    def allow(self, *words):
        return self.nsbox('allow', *words)

    def rules(self):
        return {(r['key'], r['rule']) for r in self.allow('list', 'x', '--json').ok().json()}


@test
def rules_come_and_go(t):
    with Running(t) as box:
        equal((box.get(), box.get(OTHER)), ('200', '403'), 'before')
        box.allow('add', 'x', OTHER).ok()
        equal(box.get(OTHER), '200', 'added')
        equal(box.rules(), {('allow', HOST), ('allow', OTHER)}, 'list')
        check('allow = %s ; allow add\n' % OTHER in box.allow('list', 'x').ok().out, 'list as text')
        equal(box.inspect('x')['rules'], ['allow = ' + HOST, 'allow = ' + OTHER], 'inspect')
        box.allow('remove', 'x', HOST).ok()
        equal((box.get(), box.get(OTHER)), ('403', '200'), 'removed')
        records = [(r['change'], r['rule']) for r in box.audit('policy.change')]
        equal(records, [('allow.add', OTHER), ('allow.remove', HOST)], 'records')
        for words, what in ((('add', 'x', OTHER), 'is allowed already'), (('remove', 'x', HOST), 'no rule of the sandbox is'),
                            (('add', 'x', '/path'), 'needs a scheme'), (('add', 'x'), 'needs a sandbox and a rule'),
                            (('add', 'y', HOST), 'no sandbox y')):
            refused = box.allow(*words)
            check(refused.code == 125 and what in refused.err, '%r: %r' % (words, refused))
        equal(box.rules(), {('allow', OTHER)}, 'what failed changed nothing')


@test
def private_ones_and_passed_through(t):
    """Added under their own key with the checks of a policy; what is open follows. The certificate that is seen tells who
    answered."""
    issuer = 'curl -sv -m 60 -o /dev/null https://%s/ 2>&1 | grep -c "issuer.*nsbox"; ' % OTHER
    with Running(t) as box:
        equal((box.get(OTHER)), '403', 'before')
        box.allow('add', 'x', '--passthrough', OTHER).ok()
        check(('passthrough', OTHER + ':443') in box.rules() or ('passthrough', OTHER) in box.rules(), '%r' % box.rules())
        passed = box.exec('x', 'sh', '-c', 'curl -sk -m 60 -o /dev/null -w "%%{http_code}" https://%s/; ' % OTHER + issuer)
        equal(passed.out, '2000\n', 'unopened: %r' % passed)
        for words, what in (((OTHER,), 'passthrough'), (('--passthrough', HOST), HOST), (('--passthrough', OTHER), 'is allowed already'),
                            (('--passthrough', 'https://%s/x' % OTHER), 'HOST'), (('--passthrough', '--allow-private', 'a.b'), 'exclude')):
            refused = box.allow('add', 'x', *words)
            check(refused.code == 125 and what in refused.err, '%r: %r' % (words, refused))
        rule = [r for k, r in box.rules() if k == 'passthrough'][0]
        box.allow('remove', 'x', rule).ok()
        equal(box.get(OTHER), '403', 'removed')
        box.allow('add', 'x', OTHER).ok()
        opened = box.exec('x', 'sh', '-c', issuer)
        equal(opened.out, '1\n', 'the control: opened, by our own authority')
        changes = [r['change'] for r in box.audit('policy.change')]
        equal(changes, ['passthrough.add', 'allow.remove', 'allow.add'], 'records')


@test
def private_addresses_by_their_own_key(t):
    name = own_name()
    if not name:
        t.skip('this machine has no name of two labels that resolves to a private address')
    with Running(t) as box:
        plain = Origin()
        rule = 'http://%s:%d' % (name, plain.port)
        for key, words in (('allow', ()), ('allow_private', ('--allow-private',))):
            box.allow('add', 'x', *words, rule).ok()
            check((key, rule) in box.rules(), 'list: %r' % box.rules())
            answer = box.exec('x', 'sh', '-c', status(rule + '/')).out.strip()
            check(answer == '200' if words else answer in ('403', '502'), '%s: %s' % (key, answer))
            equal(len(plain.requests), len(words), 'requests at the server')
        box.allow('remove', 'x', rule).ok()
        equal(box.exec('x', 'sh', '-c', status(rule + '/')).out.strip(), '403', 'both are gone')
        equal([r['change'] for r in box.audit('policy.change')], ['allow.add', 'allow_private.add', 'allow.remove'], 'records')


@test
def a_call_that_runs_follows(t):
    """The agent itself, which has no grant, and what a grant says about it."""
    script = ('while read line; do ' + status('https://%s/' % OTHER) + 'echo; done')
    with Running(t) as box:
        calls = [box.start_exec('x', 'sh', '-c', script, flags=flags, stdin=subprocess.PIPE)
                 for flags in ((), ('--uses', '100'), ('--allow', HOST))]

        def ask():
            answers = []
            for c in calls:
                c.stdin.write(b'\n')
                c.stdin.flush()
                answers.append(c.stdout.readline().strip().decode())
            return answers
        equal(ask(), ['403'] * 3, 'before')
        box.allow('add', 'x', OTHER).ok()
        equal(ask(), ['200', '200', '403'], 'a grant that names rules is as it was made')
        box.allow('remove', 'x', OTHER).ok()
        equal(ask(), ['403'] * 3, 'after')
        for c in calls:
            c.stdin.close()
            c.wait()


@cases([('http1', '--http1.1'), ('http2', '--http2')])
def what_is_open_is_cut(t, option):
    """An answer that streams, when the command returns; not what another rule allows as well."""
    stop = threading.Event()

    def stream(connection, request):
        connection.send(b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n')
        while not stop.wait(0.05):
            connection.send(b'data: x\n\n')
        return False

    with Running(t, handler=stream) as box:
        box.allow('add', 'x', OTHER).ok()
        box.allow('add', 'x', 'https://%s/kept' % OTHER).ok()
        script = 'curl -sN %s https://%s/%s; echo ended $?'
        paths = ((HOST, 'a'), (OTHER, 'cut'), (OTHER, 'kept'))
        calls = [box.start_exec('x', 'sh', '-c', script % (option, *p)) for p in paths]
        for c in calls:
            equal(c.stdout.readline(), b'data: x\n', 'it streams')
        equal(box.origin.accepted, 3, 'connections')
        box.allow('remove', 'x', OTHER).ok()
        out = calls[1].communicate(timeout=60)[0]
        check(b'ended' in out and b'ended 0' not in out, 'cut: %r' % out[-100:])
        for c in (calls[0], calls[2]):
            for _ in range(20):
                check(c.stdout.readline() in (b'data: x\n', b'\n'), 'goes on')
        records = until(lambda: box.audit('http.request', reason='cut'), message='record')
        equal([r['path'] for r in records], ['/cut'], 'records')
        stop.set()
        for c in (calls[0], calls[2]):
            c.communicate(timeout=60)


@test
def kept_connections_are_closed(t):
    """Keep-alive towards the server, and the client's own: its next request is refused."""
    with Running(t) as box:
        script = '''
s = tls("%s", 443)
def get():
    s.sendall(b"GET / HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n")
    data = b""
    while b"\\r\\n\\r\\n" not in data:
        part = s.recv(65536)
        if not part: return "closed"
        data += part
    return data.split()[1].decode()
print(get(), flush=True)
sys.stdin.readline()
print(get(), flush=True)
''' % (HOST, HOST)
        call = box.start('exec', 'x', '--', *box.python_command(
            'import sys, ssl\ndef tls(h, p):\n import socket\n return ssl.create_default_context().wrap_socket('
            'socket.create_connection((h, p)), server_hostname=h)\n' + script), stdin=subprocess.PIPE)
        equal(call.stdout.readline(), b'200\n', 'first')
        box.allow('remove', 'x', HOST).ok()
        connection = box.origin.connections[0]
        until(lambda: connection.sock.fileno() < 0, message='the kept connection to the server is closed')
        out, _ = call.communicate(b'\n', timeout=60)
        equal(out, b'403\n', 'the next request')


@test(timeout=60)
def relays_and_new_ports(t):
    """A port that nobody listened on before, and a relay that is cut."""
    listener = TcpListener(greeting=b'hi')
    with Named(t) as box:
        box.add('--connect-to', 'db.example.com:5432:127.0.0.1:%d' % listener.port)
        box.nsbox('create', '--name', 'x', *box.flags).ok()
        script = '''
import time, sys
try:
    s = connect("db.example.com", 5432)
    print(s.recv(2).decode(), flush=True)
    print(repr(s.recv(1)), flush=True)
except OSError as e:
    print(type(e).__name__, flush=True)
'''
        command = box.python_command(script)
        equal(box.exec('x', *command).out, 'ConnectionRefusedError\n', 'before')
        box.nsbox('allow', 'add', 'x', 'tcp://db.example.com:5432').ok()
        call = box.start_exec('x', *command)
        equal(call.stdout.readline(), b'hi\n', 'it is relayed')
        box.nsbox('allow', 'remove', 'x', 'tcp://db.example.com:5432').ok()
        out, _ = call.communicate(timeout=60)
        check(out in (b"b''\n", b'ConnectionResetError\n'), 'it is cut: %r' % out)
        equal(box.exec('x', *command).out, 'ConnectionResetError\n', 'and refused')
        box.nsbox('allow', 'add', 'x', 'tcp://db.example.com:5432').ok()
        call = box.start_exec('x', *command)
        equal(call.stdout.readline(), b'hi\n', 'the listener of before serves again')
        call.kill()
        call.communicate()


@test
def many_at_once(t):
    """Rules with new ports from many clients at once, while calls start: all are there, and everything works."""
    with Running(t) as box:
        ports = range(9000, 9016)
        clients = [box.start('allow', 'add', 'x', '%s:%d' % (OTHER, p)) for p in ports]
        equal([box.get() for _ in range(4)], ['200'] * 4, 'calls meanwhile')
        equal([c.wait(timeout=150) for c in clients], [0] * len(clients), 'the clients')
        for c in clients:
            c.communicate()
        equal(len(box.rules()), 1 + len(ports), 'rules')
        clients = [box.start('allow', 'remove', 'x', '%s:%d' % (OTHER, p)) for p in ports for _ in range(2)]
        codes = [c.wait(timeout=150) for c in clients]
        for c in clients:
            c.communicate()
        equal(sorted(codes), [0] * len(ports) + [125] * len(ports), 'each goes once')
        equal(box.rules(), {('allow', HOST)}, 'rules')


@test
def not_from_inside(t):
    """With the messages themselves, over the socket that a call has; a person's client is the twin."""
    with Running(t) as box:
        sandbox = box.inspect('x')['id']
        result = box.exec('x', PYTHON, '-c', wire.control() + """
closed = []
for message in (u32(16, 1) + text(%r) + b"\\1" + text(%r) + text("x"), u32(17, 1) + text(%r)):
    s = hello()
    send(s, message)
    closed.append(is_closed(s))
print(closed)
""" % (sandbox, OTHER, sandbox))
        equal(result.out, '[True, True]\n', 'hung up on without an answer (%r)' % result)
        inside = box.exec('x', '/run/nsbox/bin/nsbox', 'allow', 'add', 'x', OTHER)
        check(inside.code != 0, 'the command that is inside: %r' % inside)
        equal((box.get(OTHER), box.rules(), box.audit('policy.change')), ('403', {('allow', HOST)}, []), 'nothing changed')
        box.allow('add', 'x', OTHER).ok()


@test
def without_a_gateway(t):
    with Named(t) as box:
        box.create('n')
        refused = box.nsbox('allow', 'add', 'n', HOST)
        check(refused.code == 125 and 'has no gateway' in refused.err, refused)


# ---- secrets ----

OLD, NEW, THIRD = 'sk-real-7f3a9c21e8b44d06a5', 'sk-real-0011223344556677aabb-longer', 'sk-real-9988776655443322zz'


class Keys(Running):
    """With a secret KEY for HOST, which answers with the Authorization that it got."""

    def __init__(self, t):
        super().__init__(t, handler=self.echo)

    def echo(self, connection, request):
        self.origin.reply(connection, body=','.join(request.header('authorization')).encode())

    def create_with(self, value):
        self.nsbox('rm', '-f', 'x').ok()
        self.env['KEY'] = value
        self.nsbox('create', '--name', 'x', *self.flags, '--allow', HOST, '--secret', 'KEY@https://' + HOST).ok()
        return self

    def sent(self):
        """What the origin saw last as the bearer's token."""
        return self.origin.requests[-1].header('authorization')[0].split()[1]


ASK = 'curl -s -o /dev/null -w "%%{http_code}\\n" -H "Authorization: Bearer $%s" https://%s/; '


@test
def secrets_are_rotated(t):
    """The next request of a call that runs has the other value, under the same placeholder; no answer shows either."""
    script = 'while read line; do curl -s -H "Authorization: Bearer $KEY" https://%s/; echo " $KEY"; done' % HOST
    with Keys(t) as box:
        box.create_with(OLD)
        call = box.start_exec('x', 'sh', '-c', script, stdin=subprocess.PIPE)

        def ask():
            call.stdin.write(b'\n')
            call.stdin.flush()
            return call.stdout.readline().decode().split()
        bearer, shown, placeholder = ask()
        equal((box.sent(), shown), (OLD, placeholder), 'before')
        box.env['KEY'] = NEW
        box.nsbox('secret', 'rotate', 'x', 'KEY').ok()
        equal(ask()[1:], [placeholder] * 2, 'the answer is searched for it')
        equal(box.sent(), NEW, 'after')
        with open(box.dir + '/third', 'w') as f:
            f.write(THIRD + '\n')
        box.nsbox('secret', 'rotate', 'x', 'KEY=file:' + box.dir + '/third').ok()
        ask()
        equal(box.sent(), THIRD, 'from a file')
        box.env['KEY'] = 'a\nb-and-more-of-it'
        for words in (('rotate', 'x', 'KEY'), ('rotate', 'x', 'NONE'), ('rotate', 'x', 'KEY@' + HOST), ('rotate', 'x')):
            refused = box.nsbox('secret', *words)
            equal(refused.code, 125, '%r' % (words,))
            check('and-more' not in refused.err, 'a value in %r' % refused)
        ask()
        equal(box.sent(), THIRD, 'what failed changed nothing')
        call.communicate(timeout=60)
        equal([r['change'] for r in box.audit('policy.change')], ['secret.rotate'] * 3, 'records')
        with open(box.logs()[-1]) as f:
            log = f.read()
        check(not any(v in log for v in (OLD, NEW, THIRD)), 'a value in the log')


@test
def old_values_are_known(t):
    """A server may show what was replaced many times ago."""
    script = 'while read line; do curl -s -H "Authorization: Bearer $KEY" https://%s/; echo " $KEY"; done' % HOST
    with Keys(t) as box:
        box.create_with(OLD)
        call = box.start_exec('x', 'sh', '-c', script, stdin=subprocess.PIPE)
        for i in range(20):
            box.env['KEY'] = '%s-%d' % (NEW, i)
            box.nsbox('secret', 'rotate', 'x', 'KEY').ok()
        box.origin.handler = lambda connection, request: box.origin.reply(connection, body=OLD.encode())
        call.stdin.write(b'\n')
        call.stdin.flush()
        shown, placeholder = call.stdout.readline().decode().split()
        equal((box.sent(), shown), ('%s-19' % NEW, placeholder), 'what was sent, and what was seen')
        call.communicate(timeout=60)


@test
def an_added_secret_is_not_for_calls_that_run(t):
    """Nor is an answer to them searched for it."""
    script = 'while read line; do curl -s https://%s/; echo; done' % HOST
    with Keys(t) as box:
        box.create_with(OLD)
        box.origin.handler = lambda connection, request: box.origin.reply(connection, body=NEW.encode())
        call = box.start_exec('x', 'sh', '-c', script, stdin=subprocess.PIPE)

        def ask():
            call.stdin.write(b'\n')
            call.stdin.flush()
            return call.stdout.readline().decode().strip()
        equal(ask(), NEW, 'before')
        box.env['LATER'] = NEW
        box.nsbox('secret', 'add', 'x', 'LATER@https://' + HOST).ok()
        equal((ask(), box.audit('secret.scrub')), (NEW, []), 'after')
        shown = box.exec('x', 'sh', '-c', 'curl -s https://%s/; echo " $LATER"' % HOST).out.split()
        equal(shown[0], shown[1], 'the control: one that starts later')
        call.communicate(timeout=60)


@test
def secrets_are_revoked(t):
    script = 'echo up; while read line; do ' + ASK % ('KEY', HOST) + 'done'
    with Keys(t) as box:
        box.create_with(OLD)
        box.exec('x', 'true').ok()  # another call is prepared by then
        call = box.start_exec('x', 'sh', '-c', script, stdin=subprocess.PIPE)
        equal(call.stdout.readline(), b'up\n', 'it runs')
        call.stdin.write(b'\n')
        call.stdin.flush()
        equal(call.stdout.readline(), b'200\n', 'before')
        count = len(box.origin.requests)
        box.nsbox('secret', 'revoke', 'x', 'KEY').ok()
        out, _ = call.communicate(b'\n', timeout=60)
        equal(out, b'403\n', 'its placeholder')
        equal(len(box.origin.requests), count, 'requests at the origin')
        check(box.audit('secret.misuse', reason='revoked'), 'record')
        equal(box.exec('x', 'sh', '-c', 'echo "[$KEY]"').out, '[]\n', 'calls that start later do not have it')
        equal(box.inspect('x')['secrets'], [], 'inspect')
        equal(box.nsbox('secret', 'revoke', 'x', 'KEY').code, 125, 'twice')


@test
def what_carries_a_revoked_value_is_cut(t):
    stop = threading.Event()

    def stream(connection, request):
        connection.send(b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n')
        while not stop.wait(0.05):
            connection.send(b'data: x\n\n')
        return False
    with Keys(t) as box:
        box.create_with(OLD)
        box.origin.handler = stream
        calls = [box.start_exec('x', 'sh', '-c', 'curl -sN %s https://%s/; echo ended $?' % (header, HOST))
                 for header in ('-H "Authorization: Bearer $KEY"', '')]
        for c in calls:
            equal(c.stdout.readline(), b'data: x\n', 'it streams')
        box.nsbox('secret', 'revoke', 'x', 'KEY').ok()
        out, _ = calls[0].communicate(timeout=60)
        check(b'ended' in out and b'ended 0' not in out, 'cut: %r' % out[-80:])
        for _ in range(20):
            check(calls[1].stdout.readline() in (b'data: x\n', b'\n'), 'the one without goes on')
        stop.set()
        calls[1].communicate(timeout=60)


@test
def secrets_are_added(t):
    """For calls that start from then on, also those that were prepared before."""
    with Keys(t) as box:
        box.exec('x', 'true').ok()
        equal(box.exec('x', 'sh', '-c', 'echo "[$KEY]"').out, '[]\n', 'before')
        box.env['KEY'] = OLD
        box.nsbox('secret', 'add', 'x', 'KEY@https://' + HOST).ok()
        for _ in range(3):
            equal(box.exec('x', 'sh', '-c', ASK % ('KEY', HOST)).out, '200\n', 'used')
            equal(box.sent(), OLD, 'the value')
        equal(box.inspect('x')['secrets'], ['KEY'], 'inspect')
        narrowed = box.exec('x', 'sh', '-c', 'echo "[$KEY]"', flags=('--secret', 'none'))
        equal(narrowed.out, '[]\n', 'a grant without it')
        box.env['B'] = NEW
        for words, what in ((('KEY@https://' + HOST,), 'already'), (('B@http://' + HOST,), 'unencrypted'),
                            (('B=exec:echo x@https://' + HOST,), 'shorter than 8'), (('B=%s@https://%s' % (NEW, HOST),), 'accepted')):
            refused = box.nsbox('secret', 'add', 'x', *words)
            check(refused.code == 125 and what in refused.err and NEW not in refused.err, '%r: %r' % (words, refused))
        box.env['SHORT'] = 'abc'
        refused = box.nsbox('secret', 'add', 'x', 'SHORT@https://' + HOST)
        equal(refused.code, 125, 'refused by the gateway: %r' % refused)
        equal(box.inspect('x')['secrets'], ['KEY'], 'what failed is not there')
        box.nsbox('secret', 'revoke', 'x', 'KEY').ok()
        box.env['KEY'] = NEW
        box.nsbox('secret', 'add', 'x', 'KEY@https://' + HOST).ok()
        equal(box.exec('x', 'sh', '-c', ASK % ('KEY', HOST)).out, '200\n', 'added again')
        equal(box.sent(), NEW, 'the other value')
