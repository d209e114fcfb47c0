#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway alone, with an auditor behind a scripted supervisor. usage: gateway_ask.py BUILD_DIR [PATTERN]"""
import socket
import struct
import ssl
import time

from gateway_world import SECRET, VALUE, World, basic, driver, equal, exchange, get, main, test
from harness.origin import TcpListener

GRANTS = """[grant narrow]
allow = GET https://api.test/v1/**
secret = API_KEY
[grant once]
allow = https://api.test/**
uses = 1
[grant five]
allow = https://api.test/**
uses = 5
[grant bytes]
allow = https://api.test/**
bytes_up = 1000
[grant denies]
allow = https://api.test/v1/**
deny = https://api.test/v2/**
[grant nothing]
allow = none
"""


def reset(open_one):
    """The connection is cut, perhaps at once, and not ended."""
    try:
        equal(open_one().recv(10), b'')
    except ConnectionResetError:
        return
    raise AssertionError('a clean end')


@test
def nothing_before_the_answer(w):
    g = w.gateway('allow = api.test', ask=['http.request'])
    s = g.call().tls('api.test')
    s.sendall(get('api.test', '/v1/x?a=1').encode())
    q = g.wait_question()
    time.sleep(3)                       # longer than any tick; nothing gives up
    equal((w.origin.accepted, w.origin.raw), (0, b''))
    equal([r['event'] for r in g.records if r['event'] != 'dns.query'], [])
    g.decide(q, True, False, 'looks fine')
    equal(driver.read_answer(s)[0], 200)
    equal(g.wait_record('net.allow', path='/v1/x')['auditor'], 'looks fine')
    assert 'raised' not in g.records[-1]
    equal(len(w.origin.requests), 1)


@test
def control_without_an_auditor(w):
    """The same requests, and not one question."""
    g = w.gateway('allow = api.test', 'allow = tcp://db.test:5432')
    s = g.call().tls('api.test')
    equal(exchange(s, get('api.test', '/v1/x?a=1'))[0], 200)
    assert 'auditor' not in g.wait_record('net.allow', path='/v1/x')
    equal(g.questions, [])


@test
def members_of_a_request(w):
    g = w.gateway('allow = api.test', secrets=SECRET, values=[VALUE], ask=['http.request'])
    g.answer = lambda q: True
    c = g.call()
    s = c.tls('api.test')
    p = c.env['API_KEY']
    request = get('api.test', '/a%20b/../v1/x?one=1&t%77o=2&&three;four=4;5&one', 'POST',
                  'X-One: first\r\nCookie: a=b\r\nX-API-key: %s\r\nConnection: X-Hop\r\nX-Hop: 1\r\n'
                  'Authorization: Basic %s\r\nContent-Length: 5\r\n' % (p, basic('user', p))) + 'hello'
    equal(exchange(s, request)[0], 200)
    q = dict(g.questions[0])
    del q['ticket']
    equal(q, {'op': 'http.request', 'call': 'c1', 'method': 'POST', 'host': 'api.test', 'port': 443, 'path': '/v1/x',
              'query_keys': ['one', 'two', 'three', 'four', 'one'], 'header_names': ['x-one', 'cookie', 'x-api-key',
                                                                                     'authorization'],
              'length': 5, 'secrets': ['API_KEY']})
    # What was shown is what came there.
    came = w.origin.requests[0]
    equal((came.method, came.path, came.header('x-hop')), ('POST', '/v1/x', []))
    equal(sorted(n.lower() for n, _ in came.headers if n.lower() not in ('host', 'content-length')),
          sorted(q['header_names']))
    equal(came.header('x-api-key'), [VALUE])
    equal(exchange(s, get('api.test', '/', 'POST', 'Transfer-Encoding: chunked\r\n') + '2\r\nhi\r\n0\r\n\r\n')[0], 200)
    equal(exchange(s, get('api.test', '/?key=' + p))[0], 200)
    equal(exchange(s, get('api.test', '/?' + p))[0], 200)
    equal([(x['length'], x['secrets']) for x in g.questions[1:]], [(-1, []), (0, ['API_KEY']), (0, ['API_KEY'])])
    # The oracle: the value reached the origin, and is in no question in any form.
    assert VALUE.encode() in w.origin.raw
    everything = b''.join(g.packets)
    for form in (VALUE.encode(), VALUE[:12].encode(), VALUE[-12:].encode(), basic('user', VALUE).encode()):
        assert form not in everything, form


@test
def denied(w):
    g = w.gateway('allow = api.test', secrets=SECRET, values=[VALUE], ask=['http.request'])
    c = g.call()
    s = c.tls('api.test')
    g.answer = lambda q: (False, False, 'pushes are for\x1b[2J people')
    extra = 'X-API-key: %s\r\nContent-Length: 2\r\n' % c.env['API_KEY']
    status, headers, body = exchange(s, get('api.test', '/v1/x', 'POST', extra) + 'hi')
    equal((status, headers['x-nsbox-denied'], headers['content-type']), (403, 'auditor', 'application/problem+json'))
    assert b'people' not in body, body
    record = g.wait_record('http.deny', reason='auditor')
    equal((record['auditor'], record['path'], record['method']), ('pushes are for\x1b[2J people', '/v1/x', 'POST'))
    g.answer = lambda q: True
    equal(exchange(s, get('api.test', '/v1/y'))[0], 200)         # the connection lives on
    events = [r['event'] for r in g.records if r.get('path') == '/v1/x' or r['event'] == 'secret.use']
    equal(events, ['http.deny'])
    equal([r.path for r in w.origin.requests], ['/v1/y'])


@test
def not_asked_what_is_refused_anyway(w):
    narrow = GRANTS[:GRANTS.index('[grant once]')] + 'credentials = placeholders-only\n'
    g = w.gateway('allow = GET https://api.test/v1/**', 'allow = GET https://api.test/v2/y',
                  'allow = GET http://api.test/', secrets=SECRET + narrow, values=[VALUE], ask=['http.request', 'net.connect'])
    c, d = g.call(), g.call('c2', '100.64.0.3', grant='narrow')
    p = c.env['API_KEY']
    equal(exchange(c.tls('api.test'), get('api.test', '/v2'))[0], 403)
    equal(exchange(c.tls('api.test'), get('api.test', '/v1/x', 'POST'))[0], 403)
    equal(exchange(c.tls('api.test'), get('api.test', '/v1/' + p))[0], 403)          # misuse
    equal(exchange(c.connect('api.test', 80), get('api.test', '/', extra='X-API-Key: %s\r\n' % p))[0], 403)
    status, headers, _ = exchange(d.tls('api.test'), get('api.test', '/v1/x', extra='Authorization: Bearer mine\r\n'))
    equal((status, headers['x-nsbox-denied']), (403, 'foreign-credential'))
    _, headers, _ = exchange(d.tls('api.test'), get('api.test', '/v2/y'))
    equal(headers['x-nsbox-denied'], 'grant')                                        # and no grant.raise
    equal(g.questions, [])
    equal(w.origin.accepted, 0)


@test
def client_leaves(w):
    """Whoever does not wait any more is not asked for, and nothing happens behind its back."""
    g = w.gateway('allow = api.test', ask=['http.request'])
    c = g.call()
    for n, open_one in enumerate((lambda: c.tls('api.test'), lambda: c.connect('api.test', 80)), 1):
        s = open_one()
        s.sendall((get('api.test', '/%d' % n) + get('api.test', '/pipelined')).encode())
        q = g.wait_question(n)
        g.hold = True                            # the cancellation is not acknowledged yet,
        s.close()
        g.wait(lambda: q['ticket'] in g.cancelled)
        g.wait_record('http.deny', reason='client-closed', path='/%d' % n)
        g.decide(q, True)                        # so this crosses it, and is ignored
        g.release()
    time.sleep(0.3)
    equal((w.origin.accepted, w.plain.accepted, len(g.questions)), (0, 0, 2))
    equal(g.process.poll(), None)
    c2 = g.call('c2', '100.64.0.3')
    g.answer = lambda q: True
    equal(exchange(c2.tls('api.test'), get('api.test'))[0], 200)


@test
def call_ends(w):
    g = w.gateway('allow = api.test', ask=['http.request'])
    c = g.call()
    waiting = []
    for i in range(20):
        s = c.connect('api.test', 80)
        s.sendall(get('api.test', '/%d' % i).encode())
        waiting.append(s)
    g.wait_question(20)
    g.hold = True                        # as in client_leaves
    c.end()
    equal(sorted(g.cancelled), sorted(q['ticket'] for q in g.questions))
    for s in waiting:
        reset(lambda: s)
    for q in g.questions:
        g.decide(q, True)
    g.release()
    equal(exchange(g.call('c2', '100.64.0.3').connect('api.test', 80), 'GET\r\n\r\n')[0], 400)  # it is alive
    equal(w.plain.accepted, 0)


@test
def unknown_tickets_end_the_gateway(w):
    for ticket, before in ((77, 0), (0, 0), (1, 1)):
        g = w.gateway('allow = api.test', ask=['http.request'])
        c = g.call()
        if before:                       # a second answer to the same question
            g.answer = lambda q: True
            exchange(c.tls('api.test'), get('api.test'))
        g.decide({'ticket': ticket}, True)
        equal(g.process.wait(60), 1)
    g = w.gateway('allow = api.test', ask=['http.request'])
    s = g.call().connect('api.test', 80)
    s.sendall(get('api.test').encode())
    q = g.wait_question()
    s.close()
    g.wait(lambda: q['ticket'] in g.cancelled)
    g.wait_record('http.deny', reason='client-closed')
    g.call('c2', '100.64.0.3')           # an answer to something later: that this is written was read before
    g.decide(q, True)                    # so this one crossed nothing
    equal(g.process.wait(60), 1)


@test
def equal_questions(w):
    g = w.gateway('allow = api.test', ask=['http.request'])
    c, d = g.call(), g.call('c2', '100.64.0.3')
    g.answer = lambda q: (True, True, 'for good')
    s = c.tls('api.test')
    for _ in range(3):
        equal(exchange(s, get('api.test', '/v1/x?a=1', extra='X-A: 1\r\n'))[0], 200)
    equal(len(g.questions), 1)
    equal([r['auditor'] for r in g.records if r['event'] == 'net.allow'], ['for good'] * 3)
    # Another value of the same names looks the same; everything that is shown does not.
    equal(exchange(s, get('api.test', '/v1/x?a=2', extra='X-A: 2\r\n'))[0], 200)
    equal(len(g.questions), 1)
    g.answer = lambda q: (False, True, 'never')
    for request in (get('api.test', '/v1/x?a=1'), get('api.test', '/v1/x?a=1', 'DELETE', 'X-A: 1\r\n'),
                    get('api.test', '/v1/y?a=1', extra='X-A: 1\r\n'), get('api.test', '/v1/x?b=1', extra='X-A: 1\r\n'),
                    get('api.test', '/v1/x?a=1', extra='X-A: 1\r\nContent-Length: 0\r\nX-B: 1\r\n')):
        equal(exchange(s, request)[0], 403, request)
        equal(exchange(s, request)[0], 403, request)              # denied for good as well
    equal(len(g.questions), 6)
    equal(exchange(d.tls('api.test'), get('api.test', '/v1/x?a=1', extra='X-A: 1\r\n'))[0], 403)  # not its answer
    equal(len(g.questions), 7)


@test
def remembered_answers_are_bounded(w):
    g = w.gateway('allow = api.test', ask=['http.request'])
    g.answer = lambda q: (True, True)
    s = g.call().tls('api.test')
    for i in range(260):
        exchange(s, get('api.test', '/%d' % i))
    for i in (0, 255, 256, 259):
        exchange(s, get('api.test', '/%d' % i))
    equal(len(g.questions), 262)


@test
def in_order(w):
    g = w.gateway('allow = https://api.test/ok/**', ask=['http.request'])
    s = g.call().tls('api.test')
    s.sendall((get('api.test', '/ok/1') + get('api.test', '/no') + get('api.test', '/ok/2') +
               get('api.test', '/ok/3')).encode())
    for n, allowed in ((1, True), (2, False), (3, True)):
        q = g.wait_question(n)
        equal((q['path'], len(g.questions)), ('/ok/%d' % n, n))
        g.decide(q, allowed)
    data = b''
    while data.count(b'HTTP/1.1 ') < 4 or data.count(b'hello') < 2:
        data += s.recv(65536)
    equal([part[:3] for part in data.split(b'HTTP/1.1 ')[1:]], [b'200', b'403', b'403', b'200'])
    equal([r.path for r in w.origin.requests], ['/ok/1', '/ok/3'])


@test
def many_wait(w):
    g = w.gateway('allow = api.test', ask=['http.request'])
    c = g.call()
    waiting = []
    for i in range(100):
        s = c.tls('api.test')
        s.sendall(get('api.test', '/%d' % i).encode())
        waiting.append(s)
    g.wait_question(100)
    equal(w.origin.accepted, 0)
    for q in reversed(g.questions):
        g.decide(q, int(q['path'][1:]) % 2 == 0)
    equal([driver.read_answer(s)[0] for s in waiting], [200, 403] * 50)
    equal(sorted(int(r.path[1:]) for r in w.origin.requests), list(range(0, 100, 2)))


@test
def too_many_wait(w):
    g = w.gateway('allow = api.test', ask=['http.request'])
    calls = [g.call('c%d' % i, '100.64.0.%d' % (i + 2)) for i in range(3)]
    waiting = []
    for i in range(1025):
        s = calls[i % 3].connect('api.test', 80)
        s.sendall(get('api.test', '/%d' % i).encode())
        waiting.append(s)
    g.wait(lambda: len(g.questions) == 1024)
    g.wait_record('http.deny', reason='auditor-overloaded')
    refused = [r for r in g.records if r['reason'] == 'auditor-overloaded']
    equal(len(refused), 1)
    status, headers, _ = driver.read_answer(waiting[int(refused[0]['path'][1:])])
    equal((status, headers['x-nsbox-denied']), (503, 'auditor-overloaded'))
    g.decide(g.questions[0], True)
    equal(driver.read_answer(waiting[int(g.questions[0]['path'][1:])])[0], 200)
    again = calls[0].connect('api.test', 80)
    again.sendall(get('api.test', '/again').encode())
    equal(g.wait_question(1025)['path'], '/again')
    for s in waiting:
        s.close()
    g.wait(lambda: len(g.cancelled) == 1023)
    again.close()
    g.answer = lambda q: True
    equal(exchange(calls[1].tls('api.test'), get('api.test'))[0], 200)


@test
def what_cannot_be_shown(w):
    g = w.gateway('allow = api.test', ask=['http.request'])
    g.answer = lambda q: True
    c = g.call()
    names = ''.join('X-%s%d: 1\r\n' % ('n' * 480, i) for i in range(124))
    for request, status, reason in (
            (get('api.test', extra=names), 431, 'auditor-oversize'),
            (get('api.test', '/?' + '&'.join('k%d' % i for i in range(257))), 431, 'auditor-oversize'),
            (get('api.test', '/a%ff'), 403, 'auditor-encoding'),
            (get('api.test', '/?a%c3=1'), 403, 'auditor-encoding')):
        got, headers, _ = exchange(c.tls('api.test'), request)
        equal((got, headers['x-nsbox-denied']), (status, reason), request[:60])
        g.wait_record('http.deny', reason=reason)
    equal((g.questions, w.origin.accepted), ([], 0))
    s = c.tls('api.test')
    equal(exchange(s, get('api.test', '/%22%c3%a9%c2%85?' + '&'.join('%%22%d' % i for i in range(256))))[0], 200)
    equal((g.questions[0]['path'], len(g.questions[0]['query_keys'])), ('/"\u00e9\u0085', 256))
    # The longest of each that fits is under the bound of a packet.
    path = '/' + '%22' * 2600
    equal(exchange(c.tls('api.test'), get('api.test', path, extra=names[:40000].rsplit('\r\n', 1)[0] + '\r\n'))[0], 200)
    assert max(len(p) for p in g.packets) < 61000, max(len(p) for p in g.packets)


@test
def the_log_fails_while_it_waits(w):
    g = w.gateway('allow = api.test', ask=['http.request'])
    s = g.call().tls('api.test')
    s.sendall(get('api.test').encode())
    q = g.wait_question()
    g.fail_writes = True
    g.decide(q, True)
    equal(driver.read_answer(s)[0], 503)
    equal(exchange(s, get('api.test'))[0], 503)
    equal((len(g.questions), w.origin.accepted), (1, 0))


@test
def relay_is_asked(w):
    echo = TcpListener(greeting=b'hello\n')
    g = w.gateway('allow = tcp://db.test:5432', 'allow = 192.0.2.0/24:5432', 'passthrough = other.test',
                  *['connect_to = %s:127.0.0.1:%d' % (h, echo.port)
                    for h in ('db.test:5432', '192.0.2.7:5432', 'other.test:443')], ask=['net.connect'])
    c = g.call()
    for n, (host, member) in enumerate((('db.test', 'host'), ('192.0.2.7', 'addr')), 1):
        s = c.connect(host, 5432)
        q = g.wait_question(n)
        equal({k: v for k, v in q.items() if k != 'ticket'},
              {'op': 'net.connect', 'call': 'c1', member: host, 'port': 5432, 'proto': 'tcp'})
        equal(echo.accepted, n - 1)
        g.decide(q, True, False, 'fine')
        equal(s.recv(100), b'hello\n')
        equal(g.wait_record('net.allow', **{member: host})['auditor'], 'fine')
    before = echo.accepted
    g.answer = lambda q: (False, False, 'no')
    reset(lambda: c.connect('db.test', 5432))
    equal(g.wait_record('net.deny', host='db.test', reason='auditor')['auditor'], 'no')
    s = c.connect('other.test')
    context = ssl.create_default_context()
    try:
        context.wrap_socket(s, server_hostname='other.test')
        raise AssertionError('relayed')
    except OSError:
        pass
    g.wait_record('net.deny', host='other.test', reason='auditor')
    equal((echo.accepted, len(g.questions)), (before, 4))
    g.answer = lambda q: None
    s = c.connect('db.test', 5432)
    q = g.wait_question(5)
    s.close()
    g.wait(lambda: q['ticket'] in g.cancelled)
    g.wait_record('net.deny', host='db.test', reason='client-closed')
    g.answer = lambda q: (True, True)
    for _ in range(2):
        equal(c.connect('db.test', 5432).recv(100), b'hello\n')
    equal(len(g.questions), 6)
    equal(exchange(c.connect('api.test', 80), get('api.test'))[0], 403)     # HTTP is no net.connect
    equal(len(g.questions), 6)


@test
def bad_messages_end_the_gateway(w):
    number = struct.unpack('>I', socket.inet_aton('100.64.0.2'))[0]
    u32, text = driver.u32, driver.text
    bind = u32(driver.CALL_BIND) + u32(number)
    audit = u32(driver.AUDIT)
    for message in (audit + u32(32), audit, audit + u32(2) + b'x', bind + u32(number + 1) + text('') + text(''),
                    bind + u32(number) + text('') + text(''), bind + text('') + text(''), bind + u32(0) + text('x') + text(''),
                    bind + u32(0) + text(''), bind + u32(0) + text('') + text('{' + 'x' * 32768),
                    u32(driver.DECIDED) + struct.pack('<QBB', 1, 2, 0) + text('')):
        g = w.gateway('allow = api.test')
        g.call()
        g._send(message)
        equal(g.process.wait(60), 1, message)
    for first, second in ((audit + u32(6), audit + u32(2)), (bind + u32(0) + text('') + text('{}'),) * 2):
        g = w.gateway('allow = api.test')
        g.call()
        g._send(first)
        g.call('c2', '100.64.0.3')
        g._send(second)
        equal(g.process.wait(60), 1, second)
    # The twin: what is asked about may become more.
    g = w.gateway('allow = api.test')
    g.call()
    g._send(audit + u32(2))
    g.call('c2', '100.64.0.3')
    g._send(audit + u32(6))
    g.call('c3', '100.64.0.4')
    equal(g.process.poll(), None, 'it has ended')


if __name__ == '__main__':
    main(World)
