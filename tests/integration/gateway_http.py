#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway alone: HTTP and HTTPS through it. usage: gateway_http.py BUILD_DIR [PATTERN]"""
import contextlib
import http.client
import json
import os
import socket
import ssl
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from gateway_world import all_at_once, driver, equal, exchange, get, main, test  # noqa: E402  (enters the namespace)
from harness.origin import Origin, TcpListener  # noqa: E402
from harness.registry import until  # noqa: E402


@test
def https_request(w):
    g = w.gateway('allow = https://api.test/v1/**')
    c = g.call()
    s = c.tls('api.test')
    equal(s.version(), 'TLSv1.3')
    status, headers, body = exchange(s, get('api.test', '/v1/x?q=1'))
    equal((status, body), (200, b'origin says hello\n'))
    equal(w.origin.requests[0].target, '/v1/x?q=1')
    equal(w.origin.requests[0].header('host'), ['api.test'])
    status, headers, body = exchange(s, get('api.test', '/v1/y'))
    equal(status, 200)
    equal(w.origin.accepted, 1, 'upstream connections')
    allow = g.wait_record('net.allow', path='/v1/x')
    equal((allow['host'], allow['port'], allow['method'], allow['call']), ('api.test', 443, 'GET', 'c1'))
    done = g.wait_record('http.request', path='/v1/y')
    equal((done['status'], done['bytes_down']), (200, 18))
    names = [r['event'] for r in g.records]
    equal(names.count('dns.query'), 1)


@test
def encoded_slash(w):
    """npm asks for /@scope%2fname. It goes as it is where no rule of this host speaks of paths, else not at all."""
    name = '/@scope%2fname'
    g = w.gateway('allow = GET https://api.test/**')
    s = g.call().tls('api.test')
    equal(exchange(s, get('api.test', name))[0], 200)
    equal(w.origin.requests[-1].target, name)
    equal(exchange(s, get('api.test', name + '/../x'))[0], 403, 'with dot segments')
    g.stop()
    seen = len(w.origin.requests)
    for rules in (('allow = https://api.test/@scope/**',), ('allow = https://api.test/*',),
                  ('allow = https://api.test', 'deny = https://api.test/@other/**')):
        g = w.gateway(*rules)
        status, headers, body = exchange(g.call().tls('api.test'), get('api.test', name))
        equal((status, headers['x-nsbox-denied']), (403, 'path-form'), rules)
        g.stop()
    equal(len(w.origin.requests), seen, 'what the server saw')


@test
def http_request(w):
    g = w.gateway('allow = http://api.test/')
    c = g.call()
    s = c.connect('api.test', 80)
    equal(exchange(s, get('api.test'))[0], 200)
    equal(exchange(s, get('api.test'))[0], 200)
    equal(w.plain.accepted, 1)


@test
def denied(w):
    g = w.gateway('allow = GET https://api.test/v1/**')
    c = g.call()
    s = c.tls('api.test')
    for request, reason in ((get('api.test', '/v2'), 'path'), (get('api.test', '/v1/x', 'DELETE'), 'method'),
                            (get('api.test', '/v1/../v2'), 'path'), (get('api.test', '/v1/%2fx'), 'path-form')):
        status, headers, body = exchange(s, request)
        equal((status, headers['content-type'], headers['x-nsbox-denied']),
              (403, 'application/problem+json', reason), request)
        g.wait_record('http.deny', reason=reason)
    s = c.tls('unlisted.test')
    status, headers, body = exchange(s, get('unlisted.test'))
    equal((status, headers['x-nsbox-denied']), (403, 'no-rule'))
    assert b'--allow unlisted.test' in body, body
    status, headers, body = exchange(c.connect('unlisted.test', 80), get('unlisted.test'))
    equal((status, headers['x-nsbox-denied']), (403, 'no-rule'))
    equal(w.origin.accepted, 0)


@test
def what_would_allow_it(w):
    """The flag in the answer is a rule for this path and no other, whatever bytes the path has."""
    for raw, others in (('/a,b', ['/a']), ('/a%25zz', ['/azz']), ('/a%2Cb%3A', ['/a']), ('/%c3%a9', ['/x'])):
        g = w.gateway('allow = https://api.test/v1/**')
        body = exchange(g.call().tls('api.test'), get('api.test', raw))[2]
        g.stop()
        flag, _, rule = json.loads(body)['allow_with'].partition(' ')
        equal(flag, '--allow', raw)
        g = w.gateway('allow = ' + rule)
        s = g.call().tls('api.test')
        equal([exchange(s, get('api.test', path))[0] for path in [raw] + others], [200] + [403] * len(others), rule)
        g.stop()


@test
def first_request_is_not_held_back(w):
    """By Nagle's algorithm in a client that keeps it on: then every one of these would wait for a delayed ACK of 40 ms."""
    g = w.gateway('allow = GET https://api.test/v1/**')
    c = g.call()
    times = []
    # Until it was fast once, on a machine that others use.
    while len(times) < 100 and (len(times) < 10 or min(times) >= 0.03):
        s = c.tls('api.test')
        begin = time.monotonic()
        equal(exchange(s, get('api.test', '/denied'))[0], 403)
        times.append(time.monotonic() - begin)
    assert min(times) < 0.03, times


@test
def many_at_once_keep_their_servers(w):
    """More connections at once than a call may leave idle: none of them is made twice."""
    g = w.gateway('allow = https://api.test/**')
    c = g.call()
    clients = [c.tls('api.test') for _ in range(40)]
    w.origin.handler = all_at_once(40)
    for _ in range(3):
        for s in clients:
            s.sendall(get('api.test').encode())
        for s in clients:
            equal(driver.read_answer(s)[0], 200)
    equal(w.origin.accepted, 40)


@test
def misdirected(w):
    g = w.gateway('allow = api.test', 'allow = other.test', *w.connect_to('other.test')[:2])
    c = g.call()
    equal(exchange(c.tls('api.test'), get('other.test'))[0], 421)
    equal(exchange(c.connect('api.test', 80), get('other.test'))[0], 421)
    equal(exchange(c.tls('api.test', sni='other.test'), get('other.test'))[0], 421)
    equal(exchange(c.tls('api.test', sni='other.test'), get('api.test'))[0], 421)
    equal(exchange(c.connect('api.test', 80), get('api.test:8080'))[0], 421)
    s = c.connect('api.test')
    context = c.context()
    context.check_hostname = False
    try:
        context.wrap_socket(s)
        raise AssertionError('a handshake without a name went through')
    except OSError:
        pass
    g.wait_record('net.deny', reason='no-sni')
    equal((w.origin.accepted, w.plain.accepted), (0, 0))


@test
def raw_address(w):
    g = w.gateway('allow = api.test')
    c = g.call()
    status, headers, _ = exchange(c.connect('192.0.2.9', 80), get('192.0.2.9'))
    equal((status, headers['x-nsbox-denied']), (403, 'raw-address'))
    try:
        c.tls('192.0.2.9')
        raise AssertionError('TLS to a raw address went through')
    except OSError:
        pass
    g.wait_record('net.deny', reason='raw-address')


@test
def address_rule(w):
    """A literal in a rule opens that address, and connect_to says where it really is. Here and not with a whole nsbox: if
    connect_to failed, the connection would leave the machine, but this namespace has no way out."""
    g = w.gateway('allow = http://192.0.2.7', 'connect_to = 192.0.2.7:80:127.0.0.1:%d' % w.plain.port)
    c = g.call()
    status, _, _ = exchange(c.connect('192.0.2.7', 80), get('192.0.2.7'))
    equal(status, 200)
    status, _, _ = exchange(c.connect('192.0.2.9', 80), get('192.0.2.9'))
    equal(status, 403)
    equal(w.plain.accepted, 1)


@test
def bad_requests(w):
    g = w.gateway('allow = api.test')
    c = g.call()
    for request, status in (('GET / HTTP/1.1\r\n\r\n', 400), ('GET /\r\n\r\n', 400),
                            ('POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n'
                             '\r\n', 400),
                            ('GET / HTTP/1.1\r\nHost: api.test\r\n folded: x\r\n\r\n', 400),
                            ('GET / HTTP/1.1\r\nHost: api.test\r\nX: a\0b\r\n\r\n', 400)):
        s = c.connect('api.test', 80)
        equal(exchange(s, request)[0], status, request)
        equal(s.recv(10), b'', 'the connection ends')
    s = c.connect('api.test', 80)
    s.sendall(b'\x00\x01\x02\x03')
    try:
        equal(s.recv(10), b'')
        raise AssertionError('no reset')
    except ConnectionResetError:
        pass
    g.wait_record('net.deny', reason='unknown-protocol')
    equal(w.plain.accepted, 0)


@test
def upstream_errors(w):
    g = w.gateway('allow = *.test', 'allow = localhost.example',
                  'connect_to = wrong.test:443:127.0.0.1:%d' % w.origin.port,
                  'connect_to = closed.test:443:127.0.0.1:1')
    c = g.call()
    status, _, body = exchange(c.tls('wrong.test'), get('wrong.test'))
    equal(status, 502)
    assert b'certificate' in body, body
    status, _, body = exchange(c.tls('closed.test'), get('closed.test'))
    equal(status, 502)
    assert b'refused' in body, body
    equal(w.origin.raw, b'')


@test
def nothing_before_the_record(w):
    g = w.gateway('allow = api.test')
    c = g.call()
    s = c.tls('api.test')
    g.hold = True
    s.sendall(get('api.test').encode())
    g.wait(lambda: g.tickets)
    equal(w.origin.accepted, 0)
    g.release()
    equal(driver.read_answer(s)[0], 200)
    g.fail_writes = True
    equal(exchange(s, get('api.test'))[0], 503)
    equal(exchange(c.tls('api.test'), get('api.test'))[0], 503)
    equal(len(w.origin.requests), 1)


@test
def streaming(w):
    g = w.gateway('allow = api.test')
    c = g.call()
    s = c.tls('api.test')
    status, headers, body = exchange(s, get('api.test', '/chunked'))
    equal((status, body), (200, b'first second third'))
    equal(exchange(s, get('api.test', '/until-close'))[2], b'all until the end\n')
    equal(exchange(s, get('api.test', '/x', 'HEAD'), 'HEAD')[0], 200)
    equal(exchange(s, get('api.test', '/status'))[0], 204)
    equal(exchange(s, get('api.test', '/count', 'POST', 'Transfer-Encoding: chunked\r\n') +
                   '5\r\nhello\r\n0\r\n\r\n')[2], b'5\n')
    equal(exchange(s, get('api.test', '/count', 'POST', 'Content-Length: 3\r\n') + 'abc')[2], b'3\n')
    equal(exchange(c.tls('api.test'), get('api.test', '/split'))[0], 502)
    s = c.tls('api.test')
    try:
        exchange(s, get('api.test', '/cut'))
        raise AssertionError('a cut answer looked whole')
    except AssertionError:
        raise
    except Exception:
        pass


@test
def ends_without_reading(w):
    """A client that says no more and does not take the rest of its answer: the gateway waits, and does not go round."""
    g = w.gateway('allow = http://api.test')
    w.plain.handler = lambda connection, request: Origin.reply(connection, body=b'x' * 8192)
    c = g.call()
    address = c.resolve('api.test')[1]

    def connect():
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.bind((c.address, 0))
        s.connect((address, 80))
        return s

    def answered():
        """How many answers have left or are kept, when that changes no more."""
        n, before = 0, -1
        while n != before:
            time.sleep(0.3)
            n, before = sum(r['event'] == 'http.request' for r in g.records), n
        return n
    waiting = [connect()]
    waiting[0].sendall(get('api.test').encode() * 600)
    most = answered()
    assert most < 600, 'all of it has room'
    # A few of those are with the gateway, for want of room. The last answer of one of these connections is such a one.
    for n in range(6):
        waiting.append(connect())
        waiting[-1].sendall((get('api.test') * (most - n) + get('api.test', extra='Connection: close\r\n')).encode())
    answered()
    for s in waiting:
        s.shutdown(socket.SHUT_WR)
    equal(exchange(g.call('other', '100.64.0.9').connect('api.test', 80), get('api.test', '/x'))[0], 200)
    for s in waiting:
        s.close()


@test
def relay(w):
    echo = TcpListener(greeting=b'hello from the database\n')
    g = w.gateway('allow = tcp://db.test:5432', 'connect_to = db.test:5432:127.0.0.1:%d' % echo.port)
    c = g.call()
    s = c.connect('db.test', 5432)
    equal(s.recv(100), b'hello from the database\n')
    s.sendall(b'select 1')
    equal(s.recv(100), b'select 1')
    g.wait_record('net.allow', host='db.test', port=5432)
    s.shutdown(socket.SHUT_WR)
    equal(s.recv(100), b'')
    g.wait_record('net.allow', reason='ended', bytes_up=8, bytes_down=32)


@test
def passthrough(w):
    g = w.gateway('passthrough = api.test')
    c = g.call()
    context = ssl.create_default_context(cafile=w.pki.ca)
    s = context.wrap_socket(c.connect('api.test'), server_hostname='api.test')
    equal(exchange(s, get('api.test'))[0], 200)
    g.wait_record('net.allow', reason='passthrough')
    before = w.origin.accepted
    for name in ('other.test', None):
        context.check_hostname = False
        try:
            context.wrap_socket(c.connect('api.test'), server_hostname=name)
            raise AssertionError('passed through for %r' % name)
        except OSError:
            pass
    g.wait_record('net.deny', reason='sni-mismatch')
    equal(w.origin.accepted, before)


@test
def call_end_cuts(w):
    g = w.gateway('allow = api.test')
    c, d = g.call(), g.call('c2', '100.64.0.3')
    s, other = c.connect('api.test', 80), d.tls('api.test')
    s.sendall(get('api.test', '/slow?seconds=600').encode())
    g.wait_record('net.allow', call='c1')
    c.end()
    try:
        equal(s.recv(10), b'')
        raise AssertionError('a clean end')
    except ConnectionResetError:
        pass
    equal(exchange(other, get('api.test'))[0], 200)
    try:
        c.tls('198.18.0.1', sni='api.test')
        raise AssertionError('an ended call connected')
    except OSError:
        pass
    g.wait_record('net.deny', reason='unknown-call')


@test
def attempts(w):
    g = w.gateway('allow = api.test')
    c = g.call()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((c.address, 0))
        for _ in range(5):
            s.sendto(b'x', ('192.0.2.9', 443))
    equal(g.wait_record('net.deny', proto='udp')['addr'], '192.0.2.9')
    try:
        c.connect('192.0.2.9', 22)
    except OSError:
        pass
    g.wait_record('net.deny', proto='tcp', port=22, reason='no-listener')
    exchange(c.connect('api.test', 80), get('api.test'))
    time.sleep(0.2)
    equal(len([r for r in g.records if r['event'] == 'net.deny']), 2)


@test
def many_connections(w):
    g = w.gateway('allow = api.test')
    c = g.call()
    before = g.memory()
    held = []
    for _ in range(2000):
        s = socket.socket()
        s.bind((c.address, 0))
        with contextlib.suppress(ConnectionResetError):  # one too many, before connect() has returned
            s.connect(('198.18.0.1', 443))
        held.append(s)
    g.wait_record('net.deny', reason='too-many-connections')
    d = g.call('c2', '100.64.0.3')
    equal(exchange(d.tls('api.test'), get('api.test'))[0], 200)
    assert g.memory() - before < 16000, g.memory() - before
    for s in held:
        s.close()

    def answered():
        try:
            return exchange(c.tls('api.test'), get('api.test'))[0] == 200
        except OSError:
            return False
    until(answered, 60, 'closed connections still count')


@test
def memory_of_many_goes_back(w):
    """Also from between those that stay; not at once, since more may come."""
    g = w.gateway('allow = api.test')
    call = g.call()
    equal(exchange(call.tls('api.test'), get('api.test'))[0], 200)
    before, stay, go = g.memory(), [], []
    most = before
    head = get('api.test', extra=''.join('X-%d: %s\r\n' % (i, 'x' * 500) for i in range(60)))[:-2]
    for _ in range(30):
        go += [call.tls('api.test') for _ in range(4)]
        for s in go[-4:]:
            s.sendall(head.encode())
        stay.append(call.tls('api.test'))
        most = max(most, g.memory())
    assert not before or most > before + 4000, (before, most)
    for s in go:
        s.close()
    end = time.monotonic() + 60
    while g.memory() > before + (most - before) / 2 and time.monotonic() < end:
        time.sleep(0.2)
    assert g.memory() <= before + (most - before) / 2, (before, most, g.memory())


@test
def events_arrive_as_sent(w):
    """Each is sent when the one before was seen."""
    seen = threading.Semaphore(1)

    def events(connection, request):
        connection.send(b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n')
        for n in range(3):
            assert seen.acquire(timeout=60)
            connection.send(b'9\r\ndata: %d\n\n\r\n' % n)
        connection.send(b'0\r\n\r\n')
    w.origin.handler = events
    g = w.gateway('allow = api.test')
    s = g.call().tls('api.test')
    s.sendall(get('api.test', '/events').encode())
    answer = http.client.HTTPResponse(s)
    answer.begin()
    for n in range(3):
        equal((answer.readline(), answer.readline()), (b'data: %d\n' % n, b'\n'))
        seen.release()


@test
def expect_continue(w):
    g = w.gateway('allow = api.test')
    s = g.call().tls('api.test')
    s.sendall(get('api.test', '/count', 'POST', 'Content-Length: 5\r\nExpect: 100-continue\r\n').encode())
    equal(s.recv(1000)[:25], b'HTTP/1.1 100 Continue\r\n\r\n')
    s.sendall(b'hello')
    equal(driver.read_answer(s)[2], b'5\n')
    assert w.origin.requests[0].body_waited


@test
def pipelined(w):
    g = w.gateway('allow = https://api.test/ok/**')
    s = g.call().tls('api.test')
    s.sendall((get('api.test', '/ok/1') + get('api.test', '/no') + get('api.test', '/ok/2')).encode())
    data = b''
    while data.count(b'HTTP/1.1 ') < 3 or data.count(b'hello') < 2:
        data += s.recv(65536)
    equal([part[:3] for part in data.split(b'HTTP/1.1 ')[1:]], [b'200', b'403', b'200'])


@test
def upgrade_is_refused(w):
    g = w.gateway('allow = api.test')
    c = g.call()
    upgrade = 'Connection: Upgrade\r\nUpgrade: '
    for extra, method, status in ((upgrade + 'h2c\r\n', 'GET', 501), (upgrade + 'websocket, h2c\r\n', 'GET', 501),
                                  (upgrade + 'websocket\r\nUpgrade: h2c\r\n', 'GET', 501),
                                  ('Upgrade: websocket\r\n', 'GET', 501), (upgrade + 'websocket\r\n', 'POST', 501),
                                  (upgrade + 'websocket\r\nContent-Length: 0\r\n', 'GET', 501),
                                  ('', 'TRACE', 501), ('', 'CONNECT', 501)):
        equal(exchange(c.tls('api.test'), get('api.test', '/', method, extra))[0], status)
    equal(w.origin.accepted, 0)


if __name__ == '__main__':
    main()
