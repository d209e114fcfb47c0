#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway alone: HTTP/2 on either side, well-behaved and not. usage: gateway_http2.py BUILD_DIR [PATTERN]"""
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import gateway_world  # noqa: E402  (enters the namespace)
from gateway_world import all_at_once, equal, exchange, get, main, test  # noqa: E402
from harness import hpack  # noqa: E402
from harness.http2 import *  # noqa: E402,F403
import harness.http2 as h2  # noqa: E402

# DATA, END_STREAM and the like come from harness.http2.


class World(gateway_world.World):
    """As for HTTP/1, and an HTTP/2 origin behind h2.test."""

    def __init__(self, build, pki):
        super().__init__(build, pki)
        self.h2 = h2.Http2Origin(pki.context(['h2.test', 'second.test']))

    def connect_to(self, host='api.test'):
        return super().connect_to(host) + ['connect_to = h2.test:443:127.0.0.1:%d' % self.h2.port]

    def open(self, host='h2.test', *lines, first=(), **kwargs):
        """A gateway that allows this host, a call, and an HTTP/2 connection of it."""
        self.gw = self.gateway(*(lines or ('allow = ' + host,)), **kwargs)
        self.call = self.gw.call()
        return self.client(host, first)

    def client(self, host='h2.test', first=(), call=None):
        return self.client_of(call or self.call, host, first)

    @staticmethod
    def client_of(call, host='api.test', first=()):
        k = h2.Client(call.tls(host, alpn=['h2']), host, first)
        equal(k.sock.selected_alpn_protocol(), 'h2')
        return k

    def until(self, condition, k=None, seconds=60):
        """Wait for something at the origin, reading what comes to the client meanwhile."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, 'not in time'
            if k:
                k.ping()
            time.sleep(0.05)  # as many as would come without it are a flood on a machine that is busy

    def close(self):
        super().close()
        self.h2.close()


GRPC = [('content-type', 'application/grpc'), ('te', 'trailers')]


@test
def both_protocols_on_both_sides(w):
    """Which one a client and a server speak is nobody else's business."""
    k = w.open('h2.test', 'allow = h2.test', 'allow = api.test')
    m = k.get()
    equal((m.status, bytes(m.body), m.get('content-length')), (200, b'origin says hello\n', '18'), 'h2 to h2')
    m = w.client('api.test').get('/v1?q=1', headers=[('x-one', '1')])
    equal((m.status, bytes(m.body)), (200, b'origin says hello\n'), 'h2 to h1')
    request = w.origin.requests[0]
    equal((request.method, request.target, request.header('host'), request.header('x-one')),
          ('GET', '/v1?q=1', ['api.test'], ['1']))
    status, headers, body = exchange(w.call.tls('h2.test'), get('h2.test', '/x?y', extra='X-One: 1\r\n'))
    equal((status, body), (200, b'origin says hello\n'), 'h1 to h2')
    m = w.h2.requests[1]
    equal([(n, v) for n, v, _ in m.fields()], [(':method', 'GET'), (':scheme', 'https'), (':authority', 'h2.test'),
                                               (':path', '/x?y'), ('x-one', '1')])
    equal(w.call.tls('h2.test', alpn=['http/1.1', 'h2']).selected_alpn_protocol(), 'http/1.1', "the client's order")


@test
def bodies_and_trailers(w):
    k = w.open('h2.test', 'allow = h2.test', 'allow = api.test')
    for host in ('h2.test', 'api.test'):
        k = w.client(host)
        for length in (0, 1, 16384, 300000):
            body = b'z' * length
            m = k.get('/count', method='POST', body=body)
            equal((m.status, bytes(m.body)), (200, b'%d\n' % length), host)
            m = k.get('/count', method='POST', body=body, headers=[('content-length', str(length))])
            equal((m.status, bytes(m.body)), (200, b'%d\n' % length), host + ' with a length')
        m = k.get('/count', method='POST', body=b'abc', trailers=[('x-sum', '42')])
        equal((m.status, bytes(m.body)), (200, b'3\n'), host)
    equal([r.trailers for r in w.origin.requests][-1], [('x-sum', '42')], 'trailers to h1')
    equal([(n, v) for n, v, _ in w.h2.requests[-1].trailers], [('x-sum', '42')], 'trailers to h2')
    m = w.client().get('/trailers')
    equal((bytes(m.body), [(n, v) for n, v, _ in m.trailers]),
          (b'body', [('grpc-status', '0'), ('grpc-message', 'ok')]))
    chunked = get('h2.test', '/count', 'POST', 'Transfer-Encoding: chunked\r\n')
    chunked += '5\r\nhello\r\n0\r\nX-Sum: 43\r\n\r\n'
    status, _, body = exchange(w.call.tls('h2.test'), chunked)
    equal((status, body), (200, b'5\n'))
    equal([(n, v) for n, v, _ in w.h2.requests[-1].trailers], [('x-sum', '43')], 'from h1 to h2')
    s = w.call.tls('h2.test')
    s.sendall(get('h2.test', '/trailers', extra='TE: trailers\r\n').encode())
    data = b''
    while not data.endswith(b'\r\n\r\n') or b'0\r\n' not in data:
        data += s.recv(65536)
    assert b'4\r\nbody\r\n0\r\n' in data and b'grpc-status: 0\r\n' in data.split(b'0\r\n', 1)[1], data
    k = w.client()
    m = k.answer(k.request('/x', method='HEAD'))
    equal((m.status, m.get('content-length'), bytes(m.body), m.ended), (200, '19', b'', True), 'HEAD')


@test
def grpc(w):
    """Unary, trailers-only, and messages in both directions at their own times."""
    k = w.open()
    m = k.get('/trailers', method='POST', headers=GRPC, body=b'\0\0\0\0\1x')
    equal((m.status, bytes(m.body), m.get('grpc-status', m.trailers)), (200, b'body', '0'))
    equal(w.h2.requests[0].get('te'), 'trailers', 'the server is told that trailers are wanted')
    frames = len(k.frames)
    m = k.get('/trailers-only', method='POST', headers=GRPC, body=b'\0\0\0\0\1x')
    equal((m.get('grpc-status'), m.trailers), ('5', None))
    answer = [f for f in k.frames[frames:] if f[0] in (DATA, HEADERS)]
    equal([(f[0], bool(f[1] & END_STREAM)) for f in answer], [(HEADERS, True)], 'one frame, as the server sent it')
    stream = k.request('/echo', method='POST', headers=GRPC, end=False)
    m = k.answer(stream, lambda m: m.heads)
    equal(m.status, 200, 'the answer begins before the request ends')
    for i in range(5):
        k.data(stream, b'message %d' % i)
        k.answer(stream, lambda m: m.body.endswith(b'message %d' % i))
        assert m.body.endswith(b'message %d' % i), m.body
    k.data(stream, b'', True)
    equal((k.answer(stream).ended, m.get('x-count', m.trailers)), (True, '45'))


@test
def interim_answers(w):
    k = w.open('h2.test', 'allow = h2.test', 'allow = api.test')
    m = k.get('/early')
    equal([[v for n, v, _ in f if n == ':status'][0] for f in m.heads], ['103', '200'])
    equal((m.get('link', m.heads[0]), bytes(m.body)), ('</a.css>; rel=preload', b'after'))
    s = w.call.tls('h2.test')
    s.sendall(get('h2.test', '/early').encode())
    data = b''
    while not data.endswith(b'after'):
        data += s.recv(65536)
    assert data.startswith(b'HTTP/1.1 103 ') and b'\r\n\r\nHTTP/1.1 200 ' in data, data
    k = w.client('api.test')
    expecting = [('expect', '100-continue'), ('content-length', '3')]
    stream = k.request('/count', method='POST', headers=expecting, end=False)
    m = k.answer(stream, lambda m: m.heads)
    equal(m.status, 100)
    k.data(stream, b'abc', True)
    equal((k.answer(stream).status, bytes(m.body)), (200, b'3\n'))


@test
def decided_as_any_request(w):
    k = w.open('h2.test', 'allow = GET https://h2.test/v1/**')
    for method, path, status, reason in (('GET', '/v1/x', 200, None), ('POST', '/v1/x', 403, 'method'),
                                         ('GET', '/v2', 403, 'path'), ('GET', '/v1/../v2', 403, 'path'),
                                         ('GET', '/v1/%2e%2e/v2', 403, 'path'), ('GET', '/v1/a%2fb', 403, 'path-form'),
                                         ('OPTIONS', '*', 400, 'asterisk-form'), ('TRACE', '/v1', 501, 'trace-method')):
        m = k.get(path, method=method)
        equal((m.status, m.get('x-nsbox-denied')), (status, reason), method + ' ' + path)
        if reason:
            equal(m.get('content-type'), 'application/problem+json')
            w.gw.wait_record('http.deny', reason=reason)
    for authority, headers in (('api.test', []), ('h2.test:444', []), ('h2.test', [('host', 'api.test')])):
        m = k.get('/v1/x', authority=authority, headers=headers)
        equal(m.status, 400 if headers else 421, authority)
    equal(k.get('/v1/x', headers=[('host', 'h2.test')]).status, 200, 'Host may say the same')
    equal(k.get('/v1/x', authority='H2.test:443').status, 200)
    m = w.client('unlisted.test').get()
    equal((m.status, m.get('x-nsbox-denied')), (403, 'no-rule'))
    assert b'--allow unlisted.test' in m.body, m.body
    equal([r.path for r in w.h2.requests], ['/v1/x'] * 3)


@test
def nothing_before_the_record(w):
    k = w.open()
    w.gw.hold = True
    streams = [k.request('/%d' % i) for i in range(20)]
    w.gw.wait(lambda: w.gw.tickets)
    equal(k.ping(), True)
    equal(len(w.h2.connections), 0)
    w.gw.release()
    for s in streams:
        equal(k.answer(s).status, 200)
    equal(len(w.h2.connections), 1, 'one connection for all')
    w.gw.fail_writes = True
    equal(k.get().status, 503)
    equal(len(w.h2.requests), 20)


SECRET = '[secret KEY]\nsource = env:KEY\nallow = https://h2.test/**\nallow = https://api.test/**\n'
VALUE = 'the-value-of-the-secret-0123456789'


def copies(pid, value):
    """How often the value stands in the memory of the process."""
    count = 0
    with open('/proc/%d/maps' % pid) as maps, open('/proc/%d/mem' % pid, 'rb', 0) as memory:
        for line in maps:
            place, access = line.split()[:2]
            low, high = (int(x, 16) for x in place.split('-'))
            if access[0] == 'r' and '[v' not in line:
                memory.seek(low)
                count += memory.read(high - low).count(value.encode())
    return count


@test
def no_value_stays_behind(w):
    """Of a secret that was sent there are as many copies as before: those that are kept on purpose."""
    if 'NSBOX_SANITIZED' in os.environ:
        return print('# a build with ASan keeps what was freed for a while, on purpose')
    k = w.open('h2.test', 'allow = h2.test', secrets=SECRET + 'inject = header, query, body\n', values=[VALUE])
    pid, placeholder = w.gw.process.pid, w.call.env['KEY']
    try:
        before = copies(pid, VALUE)
    except PermissionError:
        return print('# memory of the gateway is not ours to read')
    assert before > 0
    for i in range(3):
        equal(k.get('/x?k=' + placeholder, headers=[('authorization', 'Bearer ' + placeholder)]).status, 200)
        m = k.get('/count', method='POST', body=b'k=%s;' % placeholder.encode() * 2000)
        equal((m.status, bytes(m.body)), (200, b'%d\n' % (2000 * (3 + len(placeholder)))))
    equal(len([r for r in w.h2.requests if r.get('authorization') == 'Bearer ' + VALUE]), 3, 'what arrived')
    equal(copies(pid, VALUE), before, 'copies')


@test
def secrets(w):
    k = w.open('h2.test', 'allow = h2.test', 'allow = api.test', secrets=SECRET, values=[VALUE])
    ph = w.call.env['KEY']
    equal(k.get(headers=[('authorization', 'Bearer ' + ph)]).status, 200)
    equal(w.h2.requests[0].get('authorization'), 'Bearer ' + VALUE)
    kinds = {n: kind for n, _, kind in w.h2.requests[0].fields()}
    equal(kinds['authorization'], 0x10, 'never indexed')
    equal(k.get('/?q=' + ph).status, 200)
    equal(w.h2.requests[1].path, '/?q=' + VALUE)
    equal(w.client('api.test').get(headers=[('x-key', ph)]).status, 200)
    equal(w.origin.requests[0].header('x-key'), [VALUE])
    status, _, _ = exchange(w.call.tls('h2.test'), get('h2.test', extra='Authorization: Bearer %s\r\n' % ph))
    equal((status, w.h2.requests[-1].get('authorization')), (200, 'Bearer ' + VALUE), 'from HTTP/1.1')
    before = len(w.h2.requests)
    half = len(ph) // 2
    for request in (dict(path='/' + ph), dict(body=b'x' + ph.encode(), method='POST'),
                    dict(body=b'x', method='POST', trailers=[('x-t', ph)]),
                    dict(headers=[(ph.lower(), 'name')])):
        m = k.get(**request)
        equal(m.status, 403, request)
    # Across DATA frames.
    stream = k.request('/', method='POST', end=False)
    k.data(stream, b'x' * 100 + ph[:half].encode())
    k.data(stream, ph[half:].encode() + b'y', True)
    equal(k.answer(stream).status, 403)
    other = w.gw.call('c2', '100.64.0.3')
    equal(w.client(call=other).get(headers=[('authorization', 'Bearer ' + ph)]).status, 403, "another call's")
    w.gw.wait_record('secret.misuse', call='c2', reason='other-call')
    for request in w.h2.requests[before:]:
        assert ph.encode() not in request.body and VALUE.encode() not in request.body, request.body
        assert not any(ph in v or VALUE in v or ph in n for n, v, _ in request.fields()), request.fields()
        assert not request.ended, 'a request with misuse must not look complete'


@test
def parts_of_answers(w):
    """A value across the border of a part is found, whether or not the server tells a length, and what was not asked for is
    cut off; a part that ends before its promised end does not look complete."""
    text = b'x' * 1000 + VALUE.encode() + b'y' * 1000

    def on_end(peer, m):
        first, _, last = m.get('range').partition('=')[2].partition('-')
        first, last = int(first), min(int(last or len(text)), len(text) - 1)
        body = text[first:last + 1]
        length = [('content-length', str(len(body)))] if m.path == '/length' else []
        peer.headers(m.stream, [(':status', '206'), ('content-range', 'bytes %d-%d/%d' % (first, last, len(text))), *length])
        body = body[:-1] if m.path == '/short' else body
        for i in range(0, len(body), 100):
            peer.data(m.stream, body[i:i + 100])
        peer.data(m.stream, b'', True)

    k = w.open('h2.test', 'allow = h2.test', secrets=SECRET, values=[VALUE])
    w.h2.on_end = on_end
    whole = text.replace(VALUE.encode(), w.call.env['KEY'].encode())
    equal(len(whole), len(text), 'length of the placeholder')
    for path in ('/length', '/frames'):
        for first, last in ((1010, 1020), (990, 1009), (1020, 1999), (1020, None), (1990, 1999), (0, 1001)):
            asked = 'bytes=%d-%s' % (first, '' if last is None else last)
            want = whole[first:last + 1 if last else None]
            where = 'bytes %d-%d/%d' % (first, last or len(text) - 1, len(text))
            m = k.get(path, headers=[('range', asked)])
            equal((m.status, m.get('content-range'), m.get('content-length'), bytes(m.body)), (206, where, str(len(want)), want), asked)
            status, headers, body = exchange(w.call.tls('h2.test'), get('h2.test', path, extra='Range: %s\r\n' % asked))
            equal((status, headers['content-range'], body), (206, where, want), asked + ' over HTTP/1.1')
    m = k.answer(k.request('/short', headers=[('range', 'bytes=1020-')]))
    assert m.reset is not None or len(m.body) < len(whole[1020:]), m


@test
def connections_are_of_one_call(w):
    k = w.open()
    equal([k.get('/%d' % i).status for i in range(3)], [200] * 3)
    equal([w.client().get().status for _ in range(3)], [200] * 3)
    equal([exchange(w.call.tls('h2.test'), get('h2.test'))[0] for _ in range(3)], [200] * 3)
    equal(len(w.h2.connections), 1, 'one connection of the call')
    other = w.gw.call('c2', '100.64.0.3')
    equal(w.client(call=other).get().status, 200)
    equal(len(w.h2.connections), 2, 'and one of the other')
    other.end()
    w.until(lambda: w.h2.connections[1].closed)
    equal([c.closed for c in w.h2.connections], [False, True], 'which ends with it')


@test
def parallel_requests_wait_for_one_handshake(w):
    k = w.open()
    streams = [k.request('/%d' % i) for i in range(60)]
    equal([k.answer(s).status for s in streams], [200] * 60)
    equal(len(w.h2.connections), 1)
    # HTTP/1.1 has one for each, and nobody waits for ever.
    w.gateways[0].stop()
    w.gateways.remove(w.gw)
    k = w.open('api.test')
    w.origin.handler = all_at_once(10)
    streams = [k.request('/%d' % i) for i in range(10)]
    equal([k.answer(s).status for s in streams], [200] * 10)
    equal(w.origin.accepted, 10)


@test
def a_full_connection_gets_a_second(w):
    w.h2.close()
    w.h2 = Http2Origin(w.pki.context(['h2.test']), first=((MAX_CONCURRENT_STREAMS, 3),), on_end=lambda peer, m: None)
    k = w.open()
    k.request('/')
    w.until(lambda: w.h2.requests, k)
    for i in range(6):
        k.request('/%d' % i)
    w.until(lambda: len(w.h2.requests) == 7, k)
    counts = [len([r for r in w.h2.requests if r.connection == c.number]) for c in w.h2.connections]
    equal((len(counts), counts[0]), (2, 3))


@test
def slow_reader(w):
    """What a client does not read stays where it came from, and the other streams go on."""
    k = w.open()
    k.open_windows = False
    before = w.gw.memory()
    big = [k.request('/big/20000000') for _ in range(4)]
    w.until(lambda: sum(len(k.message(s).body) for s in big) == WINDOW, k)
    equal(w.client().get('/').status, 200, 'another connection goes on')
    assert w.gw.memory() < before + 12000, 'memory grew from %d to %d kB' % (before, w.gw.memory())
    # Only the window of the connection was left, so nothing else can come here; it opens, and all does.
    k.open_windows = True
    k.send(frame(WINDOW_UPDATE, 0, 0, b'\x7f\0\0\0'))
    for s in big:
        k.send(frame(WINDOW_UPDATE, 0, s, b'\x7f\0\0\0'))
    for s in big:
        equal(len(k.answer(s).body), 20000000)


@test
def slow_server(w):
    """A server that does not read holds its client back, not the memory of the gateway."""
    def on_head(peer, m):
        peer.open_windows = False
    w.h2.on_head = on_head
    k = w.open()
    before = w.gw.memory()
    stream = k.request('/count', method='POST', end=False)
    k.sock.settimeout(2)
    sent = 0
    try:
        while sent < 50:
            if not k.write(stream, b'x' * 1000000, end=False):
                break
            sent += 1
    except TimeoutError:
        pass
    assert sent < 2, sent
    assert w.gw.memory() < before + 4000, (before, w.gw.memory())


@test
def big_bodies(w):
    k = w.open()
    before = w.gw.memory()
    m = k.get('/big/60000000')
    equal(len(m.body), 60000000)
    equal(bytes(k.get('/count', method='POST', body=b'u' * 30000000).body), b'30000000\n')
    assert w.gw.memory() < before + 12000, (before, w.gw.memory())


@test
def ends_that_are_not_clean(w):
    """A cut answer looks cut, and a cut request never looks whole."""
    def on_end(peer, m):
        if m.path == '/reset':
            peer.headers(m.stream, [(':status', '200')])
            peer.data(m.stream, b'half')
            peer.send(frame(RST_STREAM, 0, m.stream, b'\0\0\0\2'))
        elif m.path == '/refuse' and len([r for r in w.h2.requests if r.path == '/refuse']) < 2:
            peer.send(frame(RST_STREAM, 0, m.stream, b'\0\0\0\7'))
        elif m.path == '/goaway' and len([r for r in w.h2.requests if r.path == '/goaway']) < 2:
            peer.send(frame(GOAWAY, 0, 0, b'\0\0\0\0\0\0\0\0'))
        elif m.path == '/short':
            peer.headers(m.stream, [(':status', '200'), ('content-length', '10')])
            peer.data(m.stream, b'short', True)
        elif m.path == '/long':
            peer.headers(m.stream, [(':status', '200'), ('content-length', '3')])
            peer.data(m.stream, b'longer', True)
        elif m.path == '/cut':
            peer.headers(m.stream, [(':status', '200')])
            peer.data(m.stream, b'half')
            peer.sock.close()
        else:
            Http2Origin.on_end(w.h2, peer, m)
    w.h2.on_end = on_end
    k = w.open()
    for path in ('/reset', '/short', '/long', '/cut'):
        m = k.get(path)
        assert m.reset or m.status == 502, (path, m.reset, m.status)
        s = w.call.tls('h2.test')
        try:
            status, _, body = exchange(s, get('h2.test', path))
            equal(status, 502, path + ' to HTTP/1.1')
        except AssertionError:
            raise
        except Exception:
            pass
    m = k.get('/refuse', method='POST', headers=[('content-length', '0')])
    equal(m.status, 200, 'refused by the server: once more, whatever the method')
    equal(k.get('/goaway').status, 200)
    # From inside.
    stream = k.request('/never', method='POST', body=b'part', end=False)
    w.until(lambda: w.h2.requests[-1].path == '/never', k)
    k.send(frame(RST_STREAM, 0, stream, b'\0\0\0\x08'))
    never = w.h2.requests[-1]
    w.until(lambda: never.reset is not None, k)
    equal((never.ended, never.reset), (False, CANCEL))


@test
def early_answer(w):
    """An answer before the request has ended: whole to the client, which is then told to stop."""
    w.h2.on_head = lambda peer, m: peer.headers(m.stream, [(':status', '413')], end=True)
    k = w.open()
    stream = k.request('/', method='POST', body=b'x' * 1000, end=False)
    m = k.answer(stream)
    equal((m.status, m.ended), (413, True))
    while m.reset is None and k.step():
        pass
    equal(m.reset, NO_ERROR)
    equal(k.get(method='GET').status, 413, 'the connection goes on')


@test
def pushes_are_refused(w):
    def on_end(peer, m):
        peer.send(frame(PUSH_PROMISE, END_HEADERS, m.stream, b'\0\0\0\2' + hpack.encode(
            [(':method', 'GET'), (':scheme', 'https'), (':authority', 'h2.test'), (':path', '/pushed')])))
        peer.headers(m.stream, [(':status', '200')], end=True)
    w.h2.on_end = on_end
    k = w.open()
    m = k.get()
    assert m.status == 502 or m.reset, (m.status, m.reset)
    equal([f for f in k.frames if f[0] == PUSH_PROMISE], [])


@test
def bad_servers(w):
    """Answers that could be read in two ways, or are none, become 502."""
    bad = {
        'no-status': [('x', 'y')], 'two': [(':status', '200'), (':status', '200')], 'text': [(':status', 'abc')],
        'upgrade': [(':status', '101')], 'four': [(':status', '2000')], 'late': [('x', 'y'), (':status', '200')],
        'path': [(':status', '200'), (':path', '/')], 'upper': [(':status', '200'), ('X-Y', 'z')],
        'crlf': [(':status', '200'), ('x', 'a\r\nset-cookie: b')], 'nul': [(':status', '200'), ('x', 'a\0b')],
        'te': [(':status', '200'), ('transfer-encoding', 'chunked')], 'close': [(':status', '200'), ('connection', 'close')],
        'lengths': [(':status', '200'), ('content-length', '1'), ('content-length', '2')],
        'length': [(':status', '200'), ('content-length', '+0')], 'space': [(':status', '200'), ('x ', 'y')],
        'many': [(':status', '200')] + [('x-%d' % i, 'y') for i in range(200)],
    }
    w.h2.on_end = lambda peer, m: peer.headers(m.stream, bad[m.path[1:]], end=True)
    k = w.open()
    for name in bad:
        equal(k.get('/' + name).status, 502, name)
        status, headers, _ = exchange(w.call.tls('h2.test'), get('h2.test', '/' + name))
        equal((status, headers.get('set-cookie')), (502, None), name)


if __name__ == '__main__':
    main(World)
