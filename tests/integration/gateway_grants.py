#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway alone: grants raised by an auditor, and what counts against them. usage: gateway_grants.py BUILD_DIR [PATTERN]"""
import socket
import ssl

from gateway_ask import GRANTS, reset
from gateway_world import SECRET, VALUE, World, driver, equal, exchange, get, main, test
from harness.origin import TcpListener

NO_SECRETS = GRANTS.replace('secret = API_KEY\n', '')


@test
def grants_are_raised(w):
    g = w.gateway('allow = api.test', secrets=SECRET + GRANTS, values=[VALUE], ask=['http.request', 'grant.raise'])
    c = g.call(grant='narrow')
    s = c.tls('api.test')
    s.sendall(get('api.test', '/v2/a*b?k=1', 'DELETE').encode())
    q = g.wait_question()
    equal({k: v for k, v in q.items() if k != 'ticket'},
          {'op': 'grant.raise', 'call': 'c1', 'grant': {'allow': ['DELETE https://api.test:443/v2/a%2Ab']},
           'method': 'DELETE', 'host': 'api.test', 'port': 443, 'path': '/v2/a*b', 'query_keys': ['k'],
           'header_names': [], 'length': 0, 'secrets': []})
    equal(w.origin.accepted, 0)
    g.decide(q, False, False, 'not that')
    status, headers, _ = driver.read_answer(s)
    equal((status, headers['x-nsbox-denied']), (403, 'grant'))
    record = g.wait_record('http.deny', reason='grant')
    equal((record['auditor'], 'raised' in record), ('not that', False))

    g.answer = lambda q: (True, False, 'this once')
    equal(exchange(s, get('api.test', '/v2/x', extra='X-API-Key: %s\r\n' % c.env['API_KEY']))[0], 200)
    for event in ('net.allow', 'http.request'):
        equal(g.wait_record(event, path='/v2/x')['raised'], True)
    equal(w.origin.requests[-1].header('x-api-key'), [VALUE])
    equal(exchange(s, get('api.test', '/v2/x'))[0], 200)
    equal([x['op'] for x in g.questions], ['grant.raise'] * 3)
    # What the grant gives is a question of its own kind, and no raise.
    equal(exchange(s, get('api.test', '/v1/x'))[0], 200)
    equal(g.questions[-1]['op'], 'http.request')
    assert 'raised' not in g.wait_record('net.allow', path='/v1/x')
    g.answer = lambda q: (True, True)
    for _ in range(3):
        equal(exchange(s, get('api.test', '/v2/y'))[0], 200)
    equal(len(g.questions), 5)
    # Beyond the policy nothing is asked.
    equal(exchange(c.tls('unlisted.test'), get('unlisted.test'))[0], 403)
    equal(len(g.questions), 5)


@test
def a_raise_gives_neither_secrets_nor_quota(w):
    g = w.gateway('allow = api.test', secrets=SECRET + GRANTS, values=[VALUE], ask=['grant.raise'])
    g.answer = lambda q: True
    c, d = g.call(grant='nothing'), g.call('c2', '100.64.0.3', grant='denies')
    s = c.tls('api.test')
    p = c.env['API_KEY']
    status, headers, _ = exchange(s, get('api.test', '/v2/x', extra='X-API-Key: %s\r\n' % p))
    equal(status, 403)
    equal((g.questions, w.origin.accepted), ([], 0))
    equal(exchange(s, get('api.test', '/v2/x'))[0], 200)
    # A denial of the grant is final.
    status, headers, _ = exchange(d.tls('api.test'), get('api.test', '/v2/x'))
    equal((status, headers['x-nsbox-denied']), (403, 'grant-deny'))
    equal(len(g.questions), 1)


@test
def raised_quota(w):
    g = w.gateway('allow = api.test', 'allow = http://api.test/', secrets=NO_SECRETS, ask=['grant.raise'])
    g.answer = lambda q: True
    c = g.call(grant='once')
    equal(exchange(c.connect('api.test', 80), get('api.test'))[0], 200)
    equal(len(g.questions), 1)
    status, headers, _ = exchange(c.connect('api.test', 80), get('api.test'))
    equal((status, headers['x-nsbox-denied'], len(g.questions)), (429, 'uses', 1))


@test
def relays_are_raised(w):
    echo = TcpListener(greeting=b'hello\n')
    g = w.gateway('allow = tcp://db.test:5432', 'allow = https://api.test:443',
                  'allow = http://192.0.2.7:80', 'connect_to = db.test:5432:127.0.0.1:%d' % echo.port,
                  'passthrough = other.test', 'connect_to = other.test:443:127.0.0.1:%d' % echo.port,
                  'connect_to = 192.0.2.7:80:127.0.0.1:%d' % w.plain.port, secrets=NO_SECRETS, ask=['grant.raise'])
    c = g.call(grant='narrow')
    g.answer = lambda q: (False, False, 'no')
    reset(lambda: c.connect('db.test', 5432))
    record = g.wait_record('net.deny', host='db.test', reason='grant')
    equal((record['auditor'], 'raised' in record), ('no', False))
    g.answer = lambda q: True
    equal(c.connect('db.test', 5432).recv(100), b'hello\n')
    equal(g.wait_record('net.allow', host='db.test')['raised'], True)
    q = g.questions[-1]
    equal((q['op'], q['grant'], q['host'], q['port'], q['proto']),
          ('grant.raise', {'allow': ['tcp://db.test:5432']}, 'db.test', 5432, 'tcp'))
    equal(exchange(c.tls('api.test'), get('api.test', '/v1/x'))[0], 200)
    equal(len(g.questions), 2)
    equal(exchange(c.connect('192.0.2.7', 80), get('192.0.2.7'))[0], 200)
    equal((g.questions[-1]['grant'], g.questions[-1]['addr']), ({'allow': ['GET http://192.0.2.7:80/']}, '192.0.2.7'))
    g.answer = lambda q: False
    try:
        ssl.create_default_context().wrap_socket(c.connect('other.test'), server_hostname='other.test')
        raise AssertionError('relayed')
    except OSError:
        pass
    equal(g.questions[-1]['grant'], {'passthrough': ['other.test:443']})


@test
def raise_is_not_asked_without_the_op(w):
    g = w.gateway('allow = api.test', 'allow = tcp://db.test:5432', secrets=NO_SECRETS,
                  ask=['http.request', 'net.connect'])
    c = g.call(grant='narrow')
    status, headers, _ = exchange(c.tls('api.test'), get('api.test', '/v2'))
    equal((status, headers['x-nsbox-denied'], g.questions), (403, 'grant', []))


@test
def denials_spend_no_quota(w):
    g = w.gateway('allow = api.test', secrets=NO_SECRETS, ask=['http.request'])
    c = g.call(grant='once')
    s = c.tls('api.test')
    g.answer = lambda q: False
    for _ in range(3):
        equal(exchange(s, get('api.test'))[0], 403)
    g.answer = lambda q: True
    equal(exchange(s, get('api.test'))[0], 200)
    equal(exchange(s, get('api.test'))[0], 429)
    equal(len(w.origin.requests), 1)


@test
def waiting_at_once_does_not_pass_the_quota(w):
    g = w.gateway('allow = api.test', secrets=NO_SECRETS, ask=['http.request'])
    c = g.call(grant='five')
    waiting = []
    for i in range(70):
        s = c.tls('api.test')
        s.sendall(get('api.test', '/%d' % i).encode())
        waiting.append(s)
    g.wait_question(70, 20)
    for q in g.questions:
        g.decide(q, True)
    got = [driver.read_answer(s)[0] for s in waiting]
    equal((got.count(200), got.count(429), len(w.origin.requests)), (5, 65, 5))
    g.wait_record('limit.hit', reason='uses')


@test
def a_child_counts_against_its_parents(w):
    g = w.gateway('allow = api.test', secrets=NO_SECRETS)
    top = g.call('top', '100.64.0.2', grant='five')
    middle = g.call('middle', '100.64.0.3', parent=top)                   # all of the policy
    leaf = g.call('leaf', '100.64.0.4', grant='five', parent=middle)
    stranger = g.call('stranger', '100.64.0.5', grant='five')
    for c in (top, middle, leaf):
        equal(exchange(c.tls('api.test'), get('api.test', '/' + c.name))[0], 200)
    middle.end()
    for _ in range(2):
        equal(exchange(leaf.tls('api.test'), get('api.test'))[0], 200)
    for c in (leaf, top):
        status, headers, _ = exchange(c.tls('api.test'), get('api.test'))
        equal((status, headers['x-nsbox-denied']), (429, 'uses'), c.name)
        g.wait_record('limit.hit', call=c.name, reason='uses')
    for _ in range(5):
        equal(exchange(stranger.tls('api.test'), get('api.test'))[0], 200)
    # An ancestor that has ended still bounds what it asked for.
    first = g.call('first', '100.64.0.6', grant='five')
    second = g.call('second', '100.64.0.7', parent=first)
    for _ in range(3):
        equal(exchange(first.tls('api.test'), get('api.test'))[0], 200)
    first.end()
    equal([exchange(second.tls('api.test'), get('api.test'))[0] for _ in range(3)], [200, 200, 429])


@test
def uploads_count_against_the_parent(w):
    g = w.gateway('allow = api.test', secrets=NO_SECRETS)
    top = g.call('top', '100.64.0.2', grant='bytes')
    leaf = g.call('leaf', '100.64.0.3', parent=top)

    def post(c, n, chunked=False):
        body = '%x\r\n%s\r\n0\r\n\r\n' % (n, 'x' * n) if chunked else 'x' * n
        framing = 'Transfer-Encoding: chunked' if chunked else 'Content-Length: %d' % n
        return exchange(c.tls('api.test'), get('api.test', '/count', 'POST', framing + '\r\n') + body)[0]
    equal((post(leaf, 600), post(top, 300)), (200, 200))
    equal((post(leaf, 101), post(top, 101)), (429, 429))
    equal(post(leaf, 101, chunked=True), 429)
    assert b'x' * 601 not in w.origin.raw
    g.wait_record('limit.hit', call='leaf', reason='bytes-up')


@test
def what_is_bound_counts_before_what_is_said_later(w):
    g = w.gateway('allow = api.test')
    top = g.call('top', '100.64.0.2')
    leaf = g.call('leaf', '100.64.0.3', parent=top)
    top.end()  # a child that is bound after its parent's end would end the gateway
    equal(exchange(leaf.tls('api.test'), get('api.test', '/'))[0], 200)
    other = g.call('other', '100.64.0.4')
    g.quiet.send(driver.u32(driver.CALL_END) + socket.inet_aton(leaf.address)[::-1])
    try:
        equal(leaf.connect('198.18.0.1', 443).recv(10), b'')
    except ConnectionResetError:
        pass
    g.wait_record('net.deny', reason='unknown-call')
    g.quiet.send(driver.u32(driver.AUDIT) + driver.u32(2))
    g._send(driver.u32(driver.CALL_END) + socket.inet_aton(other.address)[::-1])
    equal(g.process.wait(60), 1)


if __name__ == '__main__':
    main(World)
