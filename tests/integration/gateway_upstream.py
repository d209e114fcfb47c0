#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway alone: how it reaches servers. usage: gateway_upstream.py BUILD_DIR [PATTERN]"""
import base64
import os
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from gateway_world import Nameserver, World, driver, equal, exchange, get, main, test  # noqa: E402  (enters the namespace)
from harness.origin import Origin, TcpListener  # noqa: E402

HOLES = ['203.0.113.66', '203.0.113.67', '2001:db8::66', '2001:db8::67']


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
        # One address after the other would take 10 s for each that is silent. Until it was fast once.
        for _ in range(3):
            g = w.gateway('allow = eyes.test', pinned(w.plain.port, name))
            s = g.call().connect('eyes.test', 80)
            start = time.monotonic()
            equal(exchange(s, get('eyes.test'))[0], 200)
            took = time.monotonic() - start
            equal(set(attempts()) & set(HOLES), set(), 'attempts that go on')
            equal(g.wait_record('http.request', host='eyes.test')['addr'], '127.0.0.1')
            g.stop()
            w.gateways.remove(g)
            if took < 8:
                break
        assert took < 8, (name, took)


@test
def silent_addresses_are_tried_together(w):
    """The control of the test above: those are silent, and each of them was dialled."""
    black_holes()
    Nameserver({'dead.test': HOLES})
    g = w.gateway('allow = eyes.test', pinned(80, 'dead.test'))
    s = g.call().connect('eyes.test', 80)
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


class Proxy:
    """Connects to the port of `ports` for the HOST:PORT that it is asked for; anything else is answered as `answer`."""

    def __init__(self, ports):
        self.ports, self.heads = ports, []
        self.answer = b'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n'
        self.extra = b''
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        head = b''
        while b'\r\n\r\n' not in head:
            data = sock.recv(4096)
            if not data:
                return
            head += data
        self.heads.append(head.decode())
        port = self.ports.get(head.split()[1].decode())
        if not port:
            sock.sendall(self.answer)
            sock.close()
            return
        server = socket.create_connection(('127.0.0.1', port))
        sock.sendall(b'HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n' + self.extra)
        threading.Thread(target=self._copy, args=(server, sock), daemon=True).start()
        self._copy(sock, server)

    @staticmethod
    def _copy(a, b):
        try:
            while True:
                data = a.recv(65536)
                if not data:
                    break
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def behind_proxy(w, proxy, *lines, source='', values=()):
    """A gateway that dials nothing but the proxy (w.gateway() would pin the names)."""
    g = driver.Gateway(w.build, w.policy('allow = *.test', 'upstream_ca = %s api.test' % w.pki.ca,
                                         'upstream_proxy = http://127.0.0.1:%d%s' % (proxy.port, source), *lines), values)
    w.gateways.append(g)
    return g


@test
def proxy_connects(w):
    names = Nameserver({})
    tcp = TcpListener(greeting=b'hello')
    proxy = Proxy({'api.test:443': w.origin.port, 'api.test:80': w.plain.port, 'db.test:5432': tcp.port,
                   '192.0.2.7:5432': tcp.port})
    g = behind_proxy(w, proxy, 'allow = tcp://db.test:5432', 'allow = 192.0.2.0/24:5432',
                     source=' file:' + w.pki.ca, values=['me:open sesame\n'])
    c = g.call()
    for connection in (c.tls('api.test'), c.connect('api.test', 80)):
        for _ in range(2):
            equal(exchange(connection, get('api.test'))[0], 200)
    for host in ('db.test', '192.0.2.7'):
        s = c.connect(host, 5432)
        equal(s.recv(5), b'hello')
        s.sendall(b'ping')
        equal(s.recv(4), b'ping')
        s.close()
    equal([h.split('\r\n')[:2] for h in proxy.heads],
          [['CONNECT %s HTTP/1.1' % x, 'Host: ' + x] for x in
           ('api.test:443', 'api.test:80', 'db.test:5432', '192.0.2.7:5432')])
    for head in proxy.heads:
        assert 'Proxy-Authorization: Basic ' + base64.b64encode(b'me:open sesame').decode() + '\r\n' in head, head
    equal(names.asked, [], 'names resolved here')
    equal([r.header('proxy-authorization') for r in w.origin.requests + w.plain.requests], [[]] * 4)
    # Nobody here knows the address of the server.
    assert 'addr' not in g.wait_record('http.request', host='api.test', status=200)
    assert 'sesame' not in repr(g.records)


@test
def proxy_gets_only_what_is_allowed(w):
    proxy = Proxy({'api.test:443': w.origin.port, 'evil.example:443': w.origin.port})
    g = behind_proxy(w, proxy, 'deny = no.test', 'connect_to = pinned.test:80:127.0.0.1:%d' % w.plain.port)
    c = g.call()
    equal(exchange(c.tls('no.test'), get('no.test'))[0], 403)
    equal(exchange(c.tls('evil.example'), get('evil.example'))[0], 403)
    equal(exchange(c.connect('pinned.test', 80), get('pinned.test'))[0], 200)
    equal(proxy.heads, [])
    equal(exchange(c.tls('api.test'), get('api.test'))[0], 200)
    equal(len(proxy.heads), 1)


@test
def proxy_that_does_not_connect(w):
    proxy = Proxy({})
    c = behind_proxy(w, proxy).call()
    for answer, why in ((b'HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno', b'status 407'),
                        (b'HTTP/1.1 204 No Content\r\n\r\n', b'status 204'),
                        (b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n', b'status 503'),
                        (b'HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n', b'status 302'),
                        (b'SSH-2.0-x\r\n\r\n', b'not well-formed'), (b'HTTP/1.1 200 OK\r\n', b'closed the connection'),
                        (b'HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', b'more than'),
                        (b'', b'closed the connection')):
        proxy.answer = answer
        for s in (c.connect('api.test', 80), c.tls('api.test')):
            status, _, body = exchange(s, get('api.test'))
            equal(status, 502, answer)
            assert b'"reason":"upstream-proxy"' in body and why in body, (answer, body)
    proxy.listener.shutdown(socket.SHUT_RDWR)
    status, _, body = exchange(c.connect('api.test', 80), get('api.test'))
    equal(status, 502)
    assert b'"reason":"upstream-proxy"' in body and b'refused' in body, body


@test
def server_behind_the_proxy_is_verified(w):
    """The proxy is not believed about who it connected to."""
    other = Origin(w.pki.context(['evil.test']))
    proxy = Proxy({'api.test:443': other.port})
    status, _, body = exchange(behind_proxy(w, proxy).call().tls('api.test'), get('api.test'))
    equal(status, 502)
    assert b'"reason":"certificate"' in body, body
    equal(other.raw, b'')
    other.close()


@test
def bad_passwords_of_the_proxy(w):
    for value, why in (('sesame', 'form'), ('', 'form'), ('me:sesame\r\nHost: x', 'control'), ('me:' + 'sesame' * 200, '1024')):
        policy = w.policy('allow = api.test', 'upstream_proxy = http://127.0.0.1:1 file:' + w.pki.ca)
        g = driver.Gateway(w.build, policy, [value], ready=False)
        assert why in g.error[1] and 'sesame' not in g.error[1], g.error


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


if __name__ == '__main__':
    main(World)
