#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway alone: how it reaches servers. usage: gateway_upstream.py BUILD_DIR [PATTERN]"""
import os
import socket
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from gateway_http import Nameserver, World, driver, equal, exchange, get, main  # noqa: E402  (enters the namespace)
from harness.origin import Origin                                               # noqa: E402

TESTS = []
HOLES = ['203.0.113.66', '203.0.113.67', '2001:db8::66', '2001:db8::67']


def test(f):
    TESTS.append(f)
    return f


def ip(*words):
    subprocess.run(['ip', *words], check=True)


def black_holes():
    """Addresses that answer nothing at all: what is sent to them arrives at an interface that takes none of it."""
    if os.path.exists('/sys/class/net/hole') or b'hole' in subprocess.check_output(['ip', '-br', 'link']):
        return
    ip('link', 'add', 'hole', 'type', 'veth', 'peer', 'name', 'nowhere')
    ip('link', 'set', 'nowhere', 'up')
    ip('link', 'set', 'hole', 'up')
    ip('address', 'add', '203.0.113.1/24', 'dev', 'hole')
    ip('-6', 'address', 'add', '2001:db8::1/64', 'dev', 'hole', 'nodad')
    for address in HOLES:
        ip('neigh', 'add', address, 'lladdr', '02:00:00:00:00:01', 'dev', 'hole')


def attempts():
    """Addresses to which a connection attempt is under way."""
    found = []
    for family, name in ((socket.AF_INET, 'tcp'), (socket.AF_INET6, 'tcp6')):
        with open('/proc/self/net/' + name) as f:
            for line in f.read().splitlines()[1:]:
                fields = line.split()
                if fields[3] == '02':
                    raw = bytes.fromhex(fields[2].split(':')[0])
                    raw = b''.join(raw[i:i + 4][::-1] for i in range(0, len(raw), 4))
                    found.append(socket.inet_ntop(family, raw))
    return found


def pinned(port, target):
    """The pin lets an address of this machine be dialled, which all servers of the test have."""
    return 'connect_to = eyes.test:80:%s:%d' % (target, port)


@test
def first_connected_wins(w):
    black_holes()
    Nameserver({'v4.test': [HOLES[0], '127.0.0.1'], 'both.test': [HOLES[2], HOLES[3], '127.0.0.1']})
    for name, held in (('v4.test', {HOLES[0]}), ('both.test', {HOLES[2]})):
        g = w.gateway('allow = eyes.test', pinned(w.plain.port, name))
        s = g.call().connect('eyes.test', 80)
        start = time.monotonic()
        equal(exchange(s, get('eyes.test'))[0], 200)
        # One address after the other would take 10 s for each that is silent.
        assert time.monotonic() - start < 8, name
        equal(set(attempts()) & set(HOLES), set(), 'attempts that go on')
        equal(g.wait_record('http.request', host='eyes.test')['addr'], '127.0.0.1')
        g.stop()
        w.gateways.remove(g)


@test
def silent_addresses_are_tried_together(w):
    """The control of the test above: those are silent, and each of them was dialled."""
    black_holes()
    Nameserver({'dead.test': HOLES})
    g = w.gateway('allow = eyes.test', pinned(80, 'dead.test'))
    s = g.call().connect('eyes.test', 80, seconds=30)
    s.sendall(get('eyes.test').encode())
    deadline = time.monotonic() + 9
    while set(attempts()) != set(HOLES):
        assert time.monotonic() < deadline, attempts()
        time.sleep(0.05)
    equal(driver.read_answer(s)[0], 504)
    equal(set(attempts()) & set(HOLES), set(), 'attempts that go on')


@test
def refused_addresses_cost_no_time(w):
    Nameserver({'closed.test': ['127.0.0.3', '127.0.0.2', '127.0.0.1', '::1']})
    g = w.gateway('allow = eyes.test', pinned(w.plain.port, 'closed.test'))
    equal(exchange(g.call().connect('eyes.test', 80), get('eyes.test'))[0], 200)
    equal(w.plain.accepted, 1)


@test
def denied_address_is_passed_over(w):
    Nameserver({'mixed.test': ['127.0.0.1', '127.0.0.2']})
    other = Origin(address=('127.0.0.2', w.plain.port))
    g = w.gateway('allow = eyes.test', 'deny = 127.0.0.1/32:80', pinned(w.plain.port, 'mixed.test'))
    equal(exchange(g.call().connect('eyes.test', 80), get('eyes.test'))[0], 200)
    equal((w.plain.accepted, other.accepted), (0, 1))
    other.close()


def closing(w, resumed):
    """The origin ends each connection after its answer, and notes whether its session was resumed."""
    answer = w.origin.handler

    def handler(connection, request):
        resumed.append(connection.sock.session_reused)
        answer(connection, request)
        return False
    w.origin.handler = handler


@test
def sessions_are_resumed(w):
    resumed = []
    closing(w, resumed)
    g = w.gateway('allow = api.test', 'allow = other.test', *w.connect_to('other.test')[:1])
    first, second = g.call(), g.call('c2', '100.64.0.3')
    equal(exchange(first.tls('api.test'), get('api.test'))[0], 200)
    # Of the sandbox: a call begins where another one was. Every request is decided and recorded all the same.
    equal(exchange(second.tls('api.test'), get('api.test', '/again'))[0], 200)
    g.wait_record('net.allow', call='c2', path='/again')
    # The same server under another name is another server.
    equal(exchange(second.tls('other.test'), get('other.test'))[0], 200)
    equal(resumed, [False, True, False])


@test
def pool_is_the_calls_own(w):
    g = w.gateway('allow = api.test')
    first, second = g.call(), g.call('c2', '100.64.0.3')
    for call, connections in ((first, 1), (first, 1), (second, 2), (second, 2)):
        equal(exchange(call.tls('api.test'), get('api.test'))[0], 200)
        equal(w.origin.accepted, connections)


def asking_for_certificates(w, seen, required=True):
    """The origin wants its clients to show a certificate, and notes whose it was."""
    for origin in (w.origin, w.other):
        origin.context.load_verify_locations(w.pki.ca)
        origin.context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        answer = origin.answer

        def handler(connection, request, answer=answer):
            shown = connection.sock.getpeercert()
            seen.append(dict(x[0] for x in shown['subject'])['commonName'] if shown else None)
            answer(connection, request)
        origin.handler = handler


def certified(w):
    cert, key = w.pki.client('me')
    w.other = Origin(w.pki.context(['other.test']))
    return w.gateway('allow = *.test', 'connect_to = other.test:443:127.0.0.1:%d' % w.other.port,
                     'client_cert = %s %s api.test' % (cert, key), values=[open(key).read()])


@test
def client_certificate(w):
    g, seen = certified(w), []
    asking_for_certificates(w, seen)
    c = g.call()
    equal(exchange(c.tls('api.test'), get('api.test'))[0], 200)
    equal(seen, ['me'])
    # Only for the host that the policy names.
    status, _, body = exchange(c.tls('other.test'), get('other.test'))
    equal((status, seen), (502, ['me']), repr(body))


@test
def client_certificate_is_for_one_host(w):
    """As above, with servers that would take anybody: the other one is shown nothing."""
    g, seen = certified(w), []
    asking_for_certificates(w, seen, required=False)
    c = g.call()
    for host in ('api.test', 'other.test', 'api.test'):
        equal(exchange(c.tls(host), get(host))[0], 200)
    equal(seen, ['me', None, 'me'])
    with open(w.pki.client('me')[1]) as f:
        key = f.read().split('\n')[1]
    assert key not in repr(g.records), 'the key in a record'


@test
def bad_client_certificates(w):
    cert, key = w.pki.client('me')
    stranger = w.pki.client('you')[1]
    w.other = w.plain
    with open(key) as f, open(stranger) as other:
        mine, yours = f.read(), other.read()
    locked = subprocess.run(['openssl', 'ec', '-aes128', '-passout', 'pass:x'], input=mine, text=True, check=True,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    for value, why in ((yours, 'is not the key'), (locked, 'passphrase'), ('', 'no private key'),
                       (mine * 200, 'cannot read')):
        g = w.gateway('allow = api.test', 'client_cert = %s %s api.test' % (cert, key), values=[value], ready=False)
        assert why in g.error[1] and key in g.error[1] and mine.split('\n')[1] not in g.error[1], g.error
        w.gateways.remove(g)
    g = w.gateway('allow = api.test', 'client_cert = %s %s api.test' % (key, key), values=[mine], ready=False)
    assert 'no certificate' in g.error[1], g.error
    w.gateways.remove(g)


def dying(w, method):
    """The second request on a connection gets no answer but its end."""
    answer, seen = w.origin.handler, {}

    def handler(connection, request):
        seen[connection.number] = seen.get(connection.number, 0) + 1
        if seen[connection.number] == 2 or request.path == '/die':
            return False
        answer(connection, request)
    w.origin.handler = handler
    s = w.gateway('allow = api.test').call().tls('api.test')
    equal(exchange(s, get('api.test', '/1'))[0], 200)
    body = '' if method == 'GET' else 'hi'
    return exchange(s, get('api.test', '/2', method, 'Content-Length: 2\r\n' if body else '') + body)[0]


@test
def get_is_tried_again(w):
    equal(dying(w, 'GET'), 200)
    equal([(r.target, r.connection) for r in w.origin.requests], [('/1', 0), ('/2', 0), ('/2', 1)])


@test
def post_is_not_tried_again(w):
    """It may have been done."""
    equal(dying(w, 'POST'), 502)
    equal([r.method for r in w.origin.requests], ['GET', 'POST'])


@test
def sent_body_is_not_tried_again(w):
    """It is gone."""
    equal(dying(w, 'PUT'), 502)
    equal([r.method for r in w.origin.requests], ['GET', 'PUT'])


@test
def first_request_is_not_tried_again(w):
    """A server that ends a new connection does so for a reason."""
    w.origin.handler = lambda connection, request: False
    equal(exchange(w.gateway('allow = api.test').call().tls('api.test'), get('api.test'))[0], 502)
    equal(len(w.origin.requests), 1)


if __name__ == '__main__':
    main(TESTS, World)
