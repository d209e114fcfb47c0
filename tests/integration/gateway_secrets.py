#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway alone: secrets in HTTP, and where they must not go. usage: gateway_secrets.py BUILD_DIR [PATTERN]"""
import base64
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from gateway_world import SECRET, VALUE, basic, driver, equal, exchange, get, main, test  # noqa: E402  (enters the namespace)


@test
def secret_is_put_in(w):
    g = w.gateway('allow = api.test', secrets=SECRET, values=[VALUE + '\n'])
    c = g.call()
    p = c.env['API_KEY']
    equal(len(p), len(VALUE), 'length of the placeholder')
    s = c.tls('api.test')
    equal(exchange(s, get('api.test', '/a', extra='Authorization: Bearer %s\r\n' % p))[0], 200)
    equal(w.origin.requests[-1].header('authorization'), ['Bearer ' + VALUE])
    equal(exchange(s, get('api.test', '/b', extra='Authorization: Basic %s\r\n' % basic('user', p)))[0], 200)
    equal(w.origin.requests[-1].header('authorization'), ['Basic ' + basic('user', VALUE)])
    equal(exchange(s, get('api.test', '/c?key=' + p))[0], 200)
    equal(w.origin.requests[-1].target, '/c?key=' + VALUE)
    for where in ('header', 'basic', 'query'):
        equal(g.wait_record('secret.use', where=where)['name'], 'API_KEY')
    assert VALUE not in str(g.records)


@test
def secret_misuse(w):
    g = w.gateway('allow = *.test', *w.connect_to('other.test')[:2], secrets=SECRET, values=[VALUE])
    c, d = g.call(), g.call('c2', '100.64.0.3')
    p, q = c.env['API_KEY'], d.env['API_KEY']
    assert p != q
    auth = 'Authorization: Bearer %s\r\n'
    long = ' ' * 40000
    b64 = base64.b64encode(p.encode()).decode()
    percent = ''.join('%%%02x' % b for b in p.encode())
    json_form = ''.join('\\u%04x' % b for b in p.encode())
    for host, tls, request, where, reason in (
            ('other.test', True, get('other.test', extra=auth % p), 'header', 'target'),
            ('api.test', True, get('api.test', extra=auth % q), 'header', 'other-call'),
            ('api.test', False, get('api.test', extra=auth % p), 'header', 'target'),
            ('api.test', True, get('api.test', '/' + p), 'path', 'place'),
            ('api.test', True, get('api.test', '/' + percent), 'path', 'place'),
            ('other.test', True, get('other.test', '/?x=' + percent), 'query', 'target'),
            ('other.test', True, get('other.test', extra='Authorization: Basic %s\r\n' % basic('u', p)), 'basic', 'target'),
            ('other.test', True, get('other.test', '/', 'POST', 'Content-Length: %d\r\n' % len(p)) + p, 'body', 'target'),
            ('api.test', True, get('api.test', '/', 'POST', 'Content-Length: %d\r\n' % len(p)) + p, 'body', 'place'),
            ('other.test', True, get('other.test', '/', 'POST', 'Content-Length: %d\r\n' % len(b64)) + b64, 'body', 'target'),
            ('other.test', True, get('other.test', '/', 'POST', 'Content-Length: %d\r\n' % len(json_form)) + json_form,
             'body', 'target')):
        before = len(w.origin.raw) + len(w.plain.raw)
        with g.events:
            g.records.clear()
        s = c.tls(host) if tls else c.connect(host, 80)
        status, headers, _ = exchange(s, request)
        equal((status, headers['x-nsbox-denied']), (403, 'secret-misuse'), request)
        g.wait_record('secret.misuse', where=where, reason=reason, name='API_KEY', host=host)
        equal(len(w.origin.raw) + len(w.plain.raw), before, 'bytes at the origins')
    # Streamed bodies: what came before may have left, the placeholder not one byte.
    for framing in ('Content-Length: %d\r\n' % (len(long) + len(p)), 'Transfer-Encoding: chunked\r\n'):
        with g.events:
            g.records.clear()
        s = c.tls('other.test')
        s.sendall(get('other.test', '/', 'POST', framing).encode())
        for piece in (long, p[:7], p[7:]):
            s.sendall(('%x\r\n%s\r\n' % (len(piece), piece) if 'chunked' in framing else piece).encode())
            time.sleep(0.05)
        equal(driver.read_answer(s)[0], 403)
        g.wait_record('secret.misuse', where='body')
        assert p[:7].encode() not in w.origin.raw
    d.end()
    with g.events:
        g.records.clear()
    equal(exchange(c.tls('api.test'), get('api.test', extra=auth % q))[0], 403)
    g.wait_record('secret.misuse', reason='ended-call')
    assert VALUE.encode() not in w.origin.raw + w.plain.raw


@test
def body_with_the_beginning_of_a_placeholder(w):
    g = w.gateway('allow = api.test', secrets=SECRET, values=[VALUE])
    c = g.call()
    s = c.tls('api.test')
    for body in (c.env['API_KEY'][:-1], 'x' * 50000 + c.env['API_KEY'][:-1]):
        equal(exchange(s, get('api.test', '/count', 'POST', 'Content-Length: %d\r\n' % len(body)) + body)[2],
              b'%d\n' % len(body))
        equal(exchange(s, get('api.test', '/count', 'POST', 'Transfer-Encoding: chunked\r\n') +
                       '%x\r\n%s\r\n0\r\n\r\n' % (len(body), body))[2], b'%d\n' % len(body))


@test
def bad_secrets(w):
    for value, words in (('', 'empty'), ('\n', 'empty'), ('a\nb' * 9, 'line break'), (b'a\0b' * 9, 'NUL'),
                         ('x' * 65537, '64 KiB')):
        g = driver.Gateway(w.build, w.policy('allow = api.test', secrets=SECRET), [value], ready=False)
        assert g.error and words in g.error[1] and 'API_KEY' in g.error[1], g.error
    g = w.gateway('allow = api.test', secrets=SECRET, values=['x' * 5000])
    equal(len(g.call().env['API_KEY']), 5000)


@test
def placeholders_leave_room(w):
    """As long as values: those of one call take at most half of what its whole start may."""
    two = SECRET + SECRET.replace('API_KEY', 'OTHER_KEY')
    g = driver.Gateway(w.build, w.policy('allow = api.test', secrets=two), ['x' * 33000, 'y' * 33000], ready=False)
    assert g.error and '64 KiB in the environment' in g.error[1] and 'OTHER_KEY' in g.error[1], g.error
    c = w.gateway('allow = api.test', secrets=two, values=['x' * 32000, 'y' * 32000]).call()
    equal(len(c.env['API_KEY'] + c.env['OTHER_KEY']), 64000)


@test
def big_bodies(w):
    g = w.gateway('allow = api.test', secrets=SECRET, values=[VALUE])
    c = g.call()
    size = 64 << 20
    s = c.tls('api.test', seconds=60)
    exchange(s, get('api.test'))
    before = g.memory()
    s.sendall(get('api.test', '/big?bytes=%d' % size).encode())
    time.sleep(0.5)                      # a reader that does not read
    got = 0
    block = bytearray(1 << 18)
    while got < size:
        got += s.recv_into(block)
    s.sendall(get('api.test', '/count', 'POST', 'Content-Length: %d\r\n' % size).encode())
    for _ in range(64):
        s.sendall(bytes(1 << 20))
    equal(driver.read_answer(s)[2], b'%d\n' % size)
    assert g.memory() - before < 4000, g.memory() - before


@test
def hidden(w):
    g = w.gateway('allow = api.test', secrets=SECRET, values=[VALUE])
    pid = g.process.pid
    with open('/proc/%d/status' % pid) as f:
        status = dict(line.split(':\t', 1) for line in f.read().splitlines() if ':\t' in line)
    equal((status['Seccomp'], status['NoNewPrivs']), ('2', '1'))
    equal(os.stat('/proc/%d' % pid).st_uid in (0, 65534), True)


if __name__ == '__main__':
    main()
