#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway alone: names, what they lead to, and who may go there. usage: gateway_names.py BUILD_DIR [PATTERN]"""
import os
import socket
import ssl
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from gateway_world import Nameserver, driver, equal, exchange, get, main, test  # noqa: E402  (enters the namespace)


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

    def queries():
        return len([r for r in g.records if r['event'] == 'dns.query' and r['call'] == 'c1'])
    g.wait(lambda: queries() >= 3)
    time.sleep(0.1)
    equal(queries(), 3)


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
    names = Nameserver({'four.test': lambda kind, n: ['127.0.0.9'] if kind == 1 else None,
                        'six.test': lambda kind, n: ['::1'] if kind == 28 else None,
                        'late.test': lambda kind, n: ([] if kind == 28 else None if n == 1 else ['127.0.0.9'])})
    servers = {'four.test': socket.create_server(('127.0.0.9', 80), reuse_port=True),
               'six.test': socket.create_server(('::1', 80), family=socket.AF_INET6, reuse_port=True)}
    servers['late.test'] = servers['four.test']
    g = w.gateway('allow = *.test', *['allow_private = http://%s/**' % h for h in servers])
    c = g.call()
    for host, other in (('four.test', 28), ('six.test', 1)):
        thread = threading.Thread(target=serve_hi, args=(servers[host],))
        thread.start()
        begun = time.monotonic()
        equal(exchange(c.connect(host, 80), get(host))[0], 200)
        # All of the attempts would take that long, unless the machine stood still: then there were fewer.
        assert time.monotonic() - begun < 6 or names.asked.count((host, other)) < 3, 'it waited for the other family'
        thread.join()
    # Without any address the answer that is missing is waited for.
    thread = threading.Thread(target=serve_hi, args=(servers['late.test'],))
    thread.start()
    equal(exchange(c.connect('late.test', 80), get('late.test'))[0], 200)
    thread.join()
    for s in servers.values():
        s.close()


@test
def many_new_names(w):
    """Of a call and all its children together: their addresses are gone for the sandbox's life."""
    g = w.gateway('allow = api.test')
    parent, other = g.call('parent', '100.64.0.3'), g.call('other', '100.64.0.4')
    equal(other.resolve('known.test')[0], 0)
    first, second = (g.call('child%d' % i, '100.64.1.%d' % i, parent=parent) for i in (1, 2))
    deep = g.call('deep', '100.64.1.3', parent=first)
    equal(parent.resolve('early.test')[0], 0)
    with socket.socket() as s:
        s.settimeout(30)
        s.bind((first.address, 0))
        s.connect((driver.GATEWAY, 53))
        for i in range(4095):
            query = first.query('n%d.test' % i)
            s.sendall(struct.pack('>H', len(query)) + query)
            answer = s.recv(1024)
            equal(answer[5] & 15, 0, 'name %d' % i)
    for call in (parent, first, second, deep):
        equal(call.resolve('new-%s.test' % call.name)[0], 2, call.name)
        equal([call.resolve(n)[0] for n in ('early.test', 'known.test')], [0, 2 if call is first else 0], call.name)
        equal(g.wait_record('limit.hit', call=call.name)['limit'], 'names')
    equal(other.resolve('new.test')[0], 0, 'another call')


@test
def passthrough_with_ech(w):
    """The name that counts is encrypted, or may be: nobody but the server can tell."""
    g = w.gateway('passthrough = api.test')
    c = g.call()
    mine, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        ssl.create_default_context().wrap_bio(theirs, mine, server_hostname='api.test').do_handshake()
    except ssl.SSLWantReadError:
        hello = mine.read()
    message = hello[9:]
    at = 34 + 1 + message[34]                      # version and random, session
    at += 2 + int.from_bytes(message[at:at + 2], 'big')
    at += 1 + message[at]                          # suites, compression: the extensions
    more = message[:at], message[at + 2:] + b'\xfe\x0d\0\x08\0\0\x01\0\x01\x07\0\0'
    changed = more[0] + struct.pack('>H', len(more[1])) + more[1]
    changed = b'\x16\x03\x01' + struct.pack('>H', len(changed) + 4) + b'\1' + len(changed).to_bytes(3, 'big') + changed
    s = c.connect('api.test')
    s.sendall(hello)
    equal(s.recv(1), b'\x16', 'the control')
    s = c.connect('api.test')
    s.sendall(changed)
    g.wait_record('net.deny', reason='ech')
    equal(w.origin.accepted, 1)


if __name__ == '__main__':
    main()
