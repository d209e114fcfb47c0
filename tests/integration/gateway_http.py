#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway alone: HTTP and HTTPS through it. usage: gateway_http.py BUILD_DIR [PATTERN]"""
import base64
import fnmatch
import json
import http.client
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import gateway_driver as driver               # noqa: E402
from gateway_driver import exchange           # noqa: E402

driver.enter_namespace()

from harness.origin import Origin, TcpListener  # noqa: E402
from harness.pki import Pki                     # noqa: E402

TESTS = []


def test(f):
    TESTS.append(f)
    return f


class World:
    """Origins behind api.test (HTTPS 443, HTTP 80) and a gateway with one call."""

    def __init__(self, build, pki):
        self.build, self.pki = build, pki
        self.origin = Origin(pki.context(['api.test', 'other.test', '192.0.2.7']))
        self.plain = Origin()
        self.gateways = []

    def policy(self, *lines, secrets=''):
        return '[sandbox]\nversion = 1\n[network]\n%s\n%s' % ('\n'.join(lines), secrets)

    def connect_to(self, host='api.test'):
        return ['connect_to = %s:443:127.0.0.1:%d' % (host, self.origin.port),
                'connect_to = %s:80:127.0.0.1:%d' % (host, self.plain.port), 'upstream_ca = %s' % self.pki.ca]

    def gateway(self, *lines, secrets='', values=(), **kwargs):
        g = driver.Gateway(self.build, self.policy(*lines, *self.connect_to(), secrets=secrets), values, **kwargs)
        self.gateways.append(g)
        return g

    def close(self):
        for g in self.gateways:
            g.stop()
        self.origin.close()
        self.plain.close()


def get(host, path='/', method='GET', extra=''):
    return '%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n' % (method, path, host, extra)


def equal(got, want, what='value'):
    assert got == want, '%s: got %r, want %r' % (what, got, want)


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
    for _ in range(10):
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
    for _ in range(3):
        for s in clients:
            s.sendall(get('api.test', '/slow?seconds=1').encode())
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


SECRET = """[secret API_KEY]
source = env:API_KEY
allow = https://api.test/**
inject = header, basic, query
"""
VALUE = 'sk-real-value-0123456789abcdef'


def basic(user, password):
    return base64.b64encode(('%s:%s' % (user, password)).encode()).decode()


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
    s.sendall(get('api.test', '/slow?seconds=5').encode())
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
def names(w):
    g = w.gateway('allow = api.test')
    c, d = g.call(), g.call('c2', '100.64.0.3')
    first = c.resolve('one.test')
    equal(first[0], 0)
    assert first[1].startswith('198.1'), first
    equal(d.resolve('ONE.test'), first)
    assert c.resolve('two.test')[1] != first[1]
    equal(c.resolve('single')[0], 3)
    equal(c.resolve('localhost')[0], 3)
    equal(c.resolve('one.test', 28), (0, None))
    equal(c.resolve('1.0.18.198.in-addr.arpa', 12)[0], 3)
    query = c.query('three.test')
    s = socket.socket()
    s.bind((c.address, 0))
    s.connect((driver.GATEWAY, 53))
    s.sendall(struct.pack('>H', len(query)) + query[:5])
    s.sendall(query[5:])
    answer = s.recv(600)
    equal(answer[2:4], query[:2])
    equal(answer[9], 1, 'answers')
    for _ in range(3):
        c.resolve('one.test')
    time.sleep(0.1)
    equal(len([r for r in g.records if r['event'] == 'dns.query' and r['call'] == 'c1']), 3)


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
        s.connect(('198.18.0.1', 443))
        held.append(s)
    g.wait_record('net.deny', reason='too-many-connections')
    d = g.call('c2', '100.64.0.3')
    equal(exchange(d.tls('api.test'), get('api.test'))[0], 200)
    assert g.memory() - before < 16000, g.memory() - before
    for s in held:
        s.close()
    time.sleep(0.2)
    equal(exchange(c.tls('api.test'), get('api.test'))[0], 200)


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
def events_arrive_as_sent(w):
    g = w.gateway('allow = api.test')
    s = g.call().tls('api.test')
    s.sendall(get('api.test', '/events?n=3&every=0.3').encode())
    answer = http.client.HTTPResponse(s)
    answer.begin()
    for _ in range(3):
        line = answer.readline()
        answer.readline()
        assert time.time() - float(line.split()[2]) < 0.1, line


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


class Nameserver:
    """Answers A and AAAA questions at the address that /etc/resolv.conf names, which is local in this namespace. answers:
    addresses of a name, or a function of the kind and the number of the question that gives them (None: no answer)."""

    def __init__(self, answers):
        with open('/etc/resolv.conf') as f:
            address = next(line.split()[1] for line in f if line.startswith('nameserver'))
        subprocess.run(['ip', 'address', 'replace', address + '/32', 'dev', 'lo'], check=True)
        self.answers, self.asked = answers, []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((address, 53))
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            query, peer = self.sock.recvfrom(4096)
            at, labels = 12, []
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            name, kind = '.'.join(labels), struct.unpack('>H', query[at + 1:at + 3])[0]
            self.asked.append((name, kind))
            addresses = self.answers.get(name, [])
            if callable(addresses):
                addresses = addresses(kind, self.asked.count((name, kind)))
            if addresses is None:
                continue
            found = [a for a in addresses if kind == (28 if ':' in a else 1)]
            code = 0 if name in self.answers else 3
            answer = query[:2] + struct.pack('>HHHHH', 0x8180 | code, 1, len(found), 0, 0) + query[12:at + 5]
            for address in found:
                packed = socket.inet_pton(socket.AF_INET6 if ':' in address else socket.AF_INET, address)
                answer += struct.pack('>HHHIH', 0xc00c, kind, 1, 0, len(packed)) + packed
            self.sock.sendto(answer, peer)


@test
def resolved_addresses(w):
    names = Nameserver({'metadata.test': ['169.254.169.254'], 'rebound.test': ['127.0.0.1', '10.0.0.1'],
                        'inside.test': ['127.0.0.9']})
    server = socket.create_server(('127.0.0.9', 80), reuse_port=True)
    g = w.gateway('allow = *.test', 'allow_private = http://inside.test/**')
    c = g.call()
    for host in ('metadata.test', 'rebound.test'):
        status, headers, body = exchange(c.connect(host, 80), get(host))
        equal((status, headers['x-nsbox-denied']), (403, 'private-address'), host)
        assert b'--allow-private http://' + host.encode() in body, body
        g.wait_record('http.deny', host=host, reason='private-address')
    status, _, body = exchange(c.connect('missing.test', 80), get('missing.test'))
    equal(status, 502)
    assert b'no-such-host' in body, body
    s = c.connect('inside.test', 80)
    s.sendall(get('inside.test').encode())
    peer, _ = server.accept()
    peer.recv(4096)
    peer.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi')
    equal(driver.read_answer(s)[2], b'hi')
    exchange(c.connect('unlisted.example', 80), get('unlisted.example'))
    assert 'unlisted.example' not in [name for name, kind in names.asked], names.asked
    server.close()


def serve_hi(server):
    peer, _ = server.accept()
    peer.recv(4096)
    peer.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi')


@test
def rebinding(w):
    """A name that leads elsewhere the second time, or elsewhere for the other family: what is private is never dialled, and
    what was checked is what is dialled. The server behind the private addresses is the oracle; a rule for private ones is
    the control."""
    public = '192.0.1.5'  # leads nowhere in this namespace

    def turns(first, then):
        return lambda kind, n: first if n == 1 else then
    Nameserver({'turns.test': turns([public], ['127.0.0.9']), 'six.test': turns([public], ['::1']),
                'both.test': [public, '::1'], 'mapped.test': ['::ffff:127.0.0.9'], 'mixed.test': [public, '127.0.0.9'],
                'late.test': lambda kind, n: [public] if kind == 1 else None if n == 1 else ['::1'],
                'control.test': turns([public], ['127.0.0.9'])})
    servers = [socket.create_server(('127.0.0.9', 80), reuse_port=True),
               socket.create_server(('::1', 80), family=socket.AF_INET6, reuse_port=True)]
    for s in servers:
        s.setblocking(False)
    g = w.gateway('allow = *.test', 'allow_private = http://control.test/**')
    c = g.call()
    for host in ('turns.test', 'six.test', 'both.test', 'mapped.test', 'mixed.test', 'late.test'):
        first, second = (exchange(c.connect(host, 80), get(host)) for _ in range(2))
        assert first[0] in (403, 502, 504) and second[0] in (403, 502, 504), (host, first, second)
        if host in ('turns.test', 'six.test'):
            equal((first[0], second[0], second[1]['x-nsbox-denied']), (502, 403, 'private-address'), host)
        for s in servers:
            try:
                raise AssertionError('%s was dialled: %r' % (host, s.accept()[1]))
            except BlockingIOError:
                pass
    equal(exchange(c.connect('control.test', 80), get('control.test'))[0], 502)
    servers[0].setblocking(True)
    thread = threading.Thread(target=serve_hi, args=(servers[0],))
    thread.start()
    equal(exchange(c.connect('control.test', 80), get('control.test'))[0], 200)
    thread.join()
    for s in servers:
        s.close()


@test
def one_family_is_never_answered(w):
    """A server of names that drops such questions: the other family is enough (RFC 8305). Waiting for it would take all the
    attempts, which are longer than 7 s."""
    Nameserver({'four.test': lambda kind, n: ['127.0.0.9'] if kind == 1 else None,
                'six.test': lambda kind, n: ['::1'] if kind == 28 else None,
                'late.test': lambda kind, n: ([] if kind == 28 else None if n == 1 else ['127.0.0.9'])})
    servers = {'four.test': socket.create_server(('127.0.0.9', 80), reuse_port=True),
               'six.test': socket.create_server(('::1', 80), family=socket.AF_INET6, reuse_port=True)}
    servers['late.test'] = servers['four.test']
    g = w.gateway('allow = *.test', *['allow_private = http://%s/**' % h for h in servers])
    c = g.call()
    for host in ('four.test', 'six.test'):
        thread = threading.Thread(target=serve_hi, args=(servers[host],))
        thread.start()
        begun = time.monotonic()
        equal(exchange(c.connect(host, 80), get(host))[0], 200)
        assert time.monotonic() - begun < 6, 'it waited for the other family'
        thread.join()
    # Without any address the answer that is missing is waited for.
    thread = threading.Thread(target=serve_hi, args=(servers['late.test'],))
    thread.start()
    equal(exchange(c.connect('late.test', 80), get('late.test'))[0], 200)
    thread.join()
    for s in servers.values():
        s.close()


@test
def weak_certificates(w):
    hosts = ['wrong.test', 'expired.test', 'self.test', 'sha1.test', 'rsa.test', 'cn.test', 'stranger.test', 'fine.test']
    contexts = {'wrong.test': w.pki.context(['another.test']),
                'expired.test': w.pki.context(['expired.test'], expired=True),
                'self.test': w.pki.context(['self.test'], self_signed=True),
                'sha1.test': w.pki.context(['sha1.test'], kind='rsa2048', digest='sha1', weak=True),
                'rsa.test': w.pki.context(['rsa.test'], kind='rsa1024', weak=True),
                'cn.test': w.pki.context(['cn.test'], san=False),
                'stranger.test': w.pki.context(['stranger.test'], authority='other'),
                'fine.test': w.pki.context(['fine.test'], kind='rsa2048')}
    servers = {host: Origin(context) for host, context in contexts.items()}
    g = w.gateway('allow = *.test', *['connect_to = %s:443:127.0.0.1:%d' % (h, servers[h].port) for h in hosts])
    c = g.call()
    for host in hosts:
        status, _, body = exchange(c.tls(host), get(host))
        equal(status, 200 if host == 'fine.test' else 502, host)
        if host != 'fine.test':
            assert b'"reason":"certificate"' in body, (host, body)
            equal(servers[host].raw, b'', host)
    for server in servers.values():
        server.close()


@test
def stale_upstream(w):
    """A kept-alive connection that the server closed is replaced without the client noticing."""
    g = w.gateway('allow = api.test')
    answer = w.origin.handler
    w.origin.handler = lambda connection, request: (answer(connection, request), False)[1]  # and closes
    s = g.call().tls('api.test')
    equal(exchange(s, get('api.test'))[0], 200)
    time.sleep(0.5)
    equal(exchange(s, get('api.test'))[0], 200)
    equal(w.origin.accepted, 2)


@test
def hidden(w):
    g = w.gateway('allow = api.test', secrets=SECRET, values=[VALUE])
    pid = g.process.pid
    with open('/proc/%d/status' % pid) as f:
        status = dict(line.split(':\t', 1) for line in f.read().splitlines() if ':\t' in line)
    equal((status['Seccomp'], status['NoNewPrivs']), ('2', '1'))
    equal(os.stat('/proc/%d' % pid).st_uid in (0, 65534), True)


def main(tests, world_class):
    build = sys.argv[1]
    pattern = sys.argv[2] if len(sys.argv) > 2 else '*'
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        pki = Pki(directory)
        for f in tests:
            if not fnmatch.fnmatch(f.__name__, pattern):
                continue
            world = world_class(build, pki)
            try:
                f(world)
                print('ok', f.__name__, flush=True)
            except Exception:
                failed += 1
                print('not ok', f.__name__, flush=True)
                traceback.print_exc()
                for g in world.gateways:
                    print('  records:', g.records[-8:], 'exit', g.process.poll())
            finally:
                world.close()
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main(TESTS, World)
