#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway alone: WebSockets, and questions about streams of HTTP/2.
usage: gateway_websocket.py BUILD_DIR [PATTERN]"""
import os
import ssl
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from gateway_world import equal, exchange, get, main, test  # noqa: E402  (enters the namespace)
from gateway_http2 import World  # noqa: E402
from harness.http2 import RST_STREAM, frame  # noqa: E402
from harness.registry import until  # noqa: E402

GRANTS = '[grant bytes]\nallow = https://api.test/**\nbytes_up = 1000\n'


def upgrade(path='/', extra=''):
    return get('api.test', path, extra='Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n'
               'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n' + extra).encode()


def echo(connection, request):
    """Agrees, says hello, and sends back what comes."""
    if request.path == '/no':
        connection.send(b'HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n')
        return True
    if request.path == '/wrong':
        connection.send(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n')
        return False
    connection.send(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                    b'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello')
    try:
        while True:
            connection.send(connection.some(65536))
    except (OSError, ConnectionError):
        return False


def read_until(s, what):
    data = b''
    while what not in data:
        part = s.recv(65536)
        assert part, data
        data += part
    return data


@test
def bytes_go_both_ways(w):
    w.origin.handler = echo
    g = w.gateway('allow = GET https://api.test/v1/**')
    c = g.call()
    s = c.tls('api.test')
    s.sendall(upgrade('/v1/socket?a=b', 'Sec-WebSocket-Protocol: chat\r\n') + b'early')
    data = read_until(s, b'helloearly')
    head = data[:data.index(b'\r\n\r\n')].split(b'\r\n')
    equal(head[0], b'HTTP/1.1 101 Switching Protocols')
    for line in (b'Upgrade: websocket', b'Connection: Upgrade', b'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo='):
        assert line in head, head
    request = w.origin.requests[0]
    equal(request.target, '/v1/socket?a=b')
    equal([request.header(n) for n in ('upgrade', 'connection', 'sec-websocket-protocol')],
          [['websocket'], ['Upgrade'], ['chat']])
    block = bytes(range(256)) * 400
    for _ in range(10):
        s.sendall(block)
        got = b''
        while len(got) < len(block):
            got += s.recv(65536)
        equal(got == block, True)
    s.unwrap().close()
    record = g.wait_record('http.request', path='/v1/socket')
    equal((record['status'], record['bytes_up'], record['bytes_down'], record['reason']),
          (101, 5 + 10 * len(block), 10 + 10 * len(block), ''))
    equal([r['method'] for r in g.records if r['event'] == 'net.allow'], ['GET'])


@test
def decided_as_a_get(w):
    w.origin.handler = echo
    g = w.gateway('allow = POST https://api.test/v1', 'allow = GET https://api.test/v2')
    c = g.call()
    for path, reason in (('/v1', 'method'), ('/v3', 'method'), ('/v2/../v3', 'method')):
        status, headers, _ = exchange(c.tls('api.test'), upgrade(path))
        equal((status, headers['x-nsbox-denied'] in ('method', 'path', 'no-rule')), (403, True), path)
    equal(w.origin.accepted, 0)
    s = c.tls('api.test')
    s.sendall(upgrade('/v2'))
    read_until(s, b'hello')


@test
def servers_that_do_not_agree(w):
    w.origin.handler = echo
    g = w.gateway('allow = api.test')
    c = g.call()
    s = c.tls('api.test')
    equal(exchange(s, upgrade('/no'))[0::2], (403, b'no\n'))
    equal(exchange(s, get('api.test', '/no'))[0], 403, 'the connection goes on with HTTP')
    equal(exchange(c.tls('api.test'), upgrade('/wrong'))[0], 502)
    # Nobody asked for it.
    w.origin.handler = lambda connection, request: connection.send(
        b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n')
    equal(exchange(c.tls('api.test'), get('api.test'))[0], 502)
    equal(w.client_of(c).get('/').status, 502)


@test
def never_over_http2(w):
    """A server that prefers HTTP/2 is asked in HTTP/1.1, and never twice on a shared connection."""
    w.origin.context.set_alpn_protocols(['h2', 'http/1.1'])
    w.origin.handler = echo
    g = w.gateway('allow = api.test')
    s = g.call().tls('api.test')
    s.sendall(upgrade())
    read_until(s, b'hello')
    equal(w.origin.requests[0].version, 'HTTP/1.1')


@test
def quota(w):
    w.origin.handler = echo
    g = w.gateway('allow = api.test', secrets=GRANTS)
    s = g.call(grant='bytes').tls('api.test')
    s.sendall(upgrade())
    read_until(s, b'hello')
    try:
        s.sendall(b'x' * 1100)
        read_until(s, b'never')
        raise AssertionError('the connection goes on')
    except (OSError, ssl.SSLError, AssertionError) as e:
        assert 'goes on' not in str(e), e
    g.wait_record('limit.hit', reason='bytes-up')
    assert len(w.origin.connections[0].raw) < 1000, len(w.origin.connections[0].raw)


@test
def quota_of_the_policy(w):
    """What goes through a WebSocket counts against the rule of its request."""
    w.origin.handler = echo
    g = w.gateway('allow = api.test', secrets='[quota up]\nmatch = https://api.test/**\nmax_up = 1000\n')
    c = g.call()

    def arrived():
        return sum(c.raw.count(b'x' * 600) for c in w.origin.connections)

    for i in range(2):
        s = c.tls('api.test')
        s.sendall(upgrade())
        read_until(s, b'hello')
        try:
            s.sendall(b'x' * 600)
            if i == 0:
                until(arrived, 30)
            else:
                read_until(s, b'never')
        except (OSError, ssl.SSLError, AssertionError):
            pass
        s.close()
    g.wait_record('limit.hit', reason='max-up', quota='up')
    assert arrived() == 1, [len(c.raw) for c in w.origin.connections]


@test
def ends_with_its_call(w):
    w.origin.handler = echo
    g = w.gateway('allow = api.test')
    c = g.call()
    s = c.tls('api.test')
    s.sendall(upgrade())
    read_until(s, b'hello')
    c.end()
    try:
        assert not s.recv(10)
    except OSError:
        pass
    g.wait_record('http.request', status=101)


@test
def questions_about_streams(w):
    """Each stream has a question of its own; one that is reset gives its question up."""
    g = w.gateway('allow = h2.test', ask=['http.request'])
    c = g.call()
    k = w.client_of(c, 'h2.test')
    streams = [k.request('/%d' % i, method='POST', body=b'x') for i in range(3)]
    questions = [g.wait_question(i + 1) for i in range(3)]
    time.sleep(0.3)
    equal(len(w.h2.connections), 0)
    k.send(frame(RST_STREAM, 0, streams[1], b'\0\0\0\x08'))
    k.ping()
    for i, allowed in ((2, True), (0, False)):
        g.decide(questions[i], allowed, False, 'because')
    equal(k.answer(streams[2]).status, 200)
    m = k.answer(streams[0])
    equal((m.status, m.get('x-nsbox-denied')), (403, 'auditor'))
    equal([r.path for r in w.h2.requests], ['/2'])
    g.wait_record('http.deny', path='/1', reason='client-closed')


if __name__ == '__main__':
    main(World)
