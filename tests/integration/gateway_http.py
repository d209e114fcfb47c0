#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway alone: HTTP and HTTPS through it. usage: gateway_http.py BUILD_DIR [PATTERN]"""
import fnmatch
import os
import sys
import tempfile
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


def main():
    build = sys.argv[1]
    pattern = sys.argv[2] if len(sys.argv) > 2 else '*'
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        pki = Pki(directory)
        for f in TESTS:
            if not fnmatch.fnmatch(f.__name__, pattern):
                continue
            world = World(build, pki)
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
    main()
