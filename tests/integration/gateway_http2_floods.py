#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway alone: clients of HTTP/2 that want it to work for nothing.
usage: gateway_http2_floods.py BUILD_DIR [PATTERN]

Each flood has to end its connection, with a record, little memory and little time, and to leave the others alone."""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from gateway_world import equal, main, test  # noqa: E402  (enters the namespace)
from gateway_http2 import World  # noqa: E402
from gateway_http2_frames import changed, head, open_stream, u32  # noqa: E402
from harness import hpack  # noqa: E402
from harness.http2 import *  # noqa: E402,F403


def flood(w, send, *reasons, limit=100000, seconds=100):
    """send(k, i) again and again until the connection ends. How often, and that it was recorded and cost nothing."""
    k = w.client()
    before, memory, cpu = len(w.gw.records), w.gw.memory(), w.gw.cpu()
    sent = 0
    deadline = time.monotonic() + seconds
    try:
        while sent < limit and time.monotonic() < deadline:
            send(k, sent)
            sent += 1
    except OSError:
        pass
    try:
        k.end()
    except OSError:
        pass
    assert k.goaway in (ENHANCE_YOUR_CALM, PROTOCOL_ERROR, None), k.goaway
    assert k.closed, 'the connection goes on after %d' % sent
    w.gw.wait(lambda: [r for r in w.gw.records[before:] if r['event'] == 'net.deny' and r['reason'] in reasons])
    assert w.gw.memory() < memory + 8000, (memory, w.gw.memory())
    assert w.gw.cpu() - cpu < 5, w.gw.cpu() - cpu
    equal(w.client().get('/').status, 200, 'others go on')
    return k


@test
def rapid_reset(w):
    """CVE-2023-44487: what the origin sees of it is bounded too."""
    w.open()
    flood(w, lambda k, i: k.send(frame(HEADERS, END_HEADERS | END_STREAM, k.stream(), head(k)) +
                                 frame(RST_STREAM, 0, k.next - 2, u32(CANCEL))), 'http2-flood')
    assert len(w.h2.requests) < 1500, len(w.h2.requests)


@test
def floods(w):
    k = w.open()
    k.get('/')

    def open_with(payload):
        def send(k, i):
            if i == 0:
                k.opened = open_stream(k)
            k.send(payload(k.opened) * 10)
        return send

    for name, send in {
        'SETTINGS': lambda k, i: k.send(settings() * 10),
        'SETTINGS with values': lambda k, i: k.send(settings(*[(3, n) for n in range(30)])),
        'PING': lambda k, i: k.send(frame(PING, 0, 0, b'12345678') * 10),
        'PRIORITY': lambda k, i: k.send(b''.join(frame(PRIORITY, 0, 2 * n + 1, u32(0) + b'\1') for n in range(10))),
        'empty DATA': open_with(lambda s: frame(DATA, 0, s)),
        'padded empty DATA': open_with(lambda s: frame(DATA, PADDED, s, b'\0')),
        'WINDOW_UPDATE': open_with(lambda s: frame(WINDOW_UPDATE, 0, s, u32(1))),
        'unknown frames': lambda k, i: k.send(frame(0x77, 0, 0, b'') * 10),
        'refused streams': lambda k, i: k.send(frame(RST_STREAM, 0, open_stream(k), u32(CANCEL))),
        'malformed requests': lambda k, i: k.headers(k.stream(), changed(':scheme'), end=True),
        'resets that are provoked':
            lambda k, i: k.send(frame(WINDOW_UPDATE, 0, k.request('/never'), u32(0x7fffffff))),
    }.items():
        try:
            k = flood(w, send, 'http2-flood', 'http2-error')
        except AssertionError as e:
            raise AssertionError('%s: %s' % (name, e))
        assert k.goaway in (ENHANCE_YOUR_CALM, None), (name, k.goaway)


@test
def continuation_flood(w):
    """CVE-2024-27316."""
    w.open()

    def send(k, i):
        if i == 0:
            k.headers(1, head(k), flags=0, end=True)
        k.send(frame(CONTINUATION, 0, 1, b'') * 5)
    flood(w, send, 'http2-flood')
    k = w.client()
    k.headers(1, head(k), flags=0, end=True)
    try:
        for i in range(200):
            k.send(frame(CONTINUATION, 0, 1, hpack.encode([('x-%d' % i, 'y' * 4000)])))
    except OSError:
        pass
    k.end()
    assert k.closed
    equal(len(w.h2.requests), 1)


@test
def header_bomb(w):
    """A small block that HPACK makes large: 4 KB of table, named again and again."""
    w.open()

    def send(k, i):
        if i == 0:
            k.get('/', headers=[])
        block = hpack.encode(k.head()) + hpack.literal('x', 'b' * 4000, 0x40) + b'\xbe' * 12000
        k.send(frame(HEADERS, END_HEADERS | END_STREAM, k.stream(), block))
    flood(w, send, 'http2-header-bomb', limit=50)
    equal(len([r for r in w.h2.requests if len(r.fields()) > 10]), 0)


@test
def a_head_that_does_not_end(w):
    """And a connection that says nothing, which is let be for longer."""
    k = w.open()
    quiet = w.client()
    k.ping()  # nothing of ours may come between the frames of the head
    k.headers(1, head(k), flags=0, end=True)
    begin = time.monotonic()
    k.sock.settimeout(100)
    k.end()
    # The other one may be quiet for two minutes.
    assert 8 < time.monotonic() - begin < 60, time.monotonic() - begin
    w.gw.wait_record('net.deny', reason='timeout')
    equal(quiet.get('/').status, 200)


@test
def idle_memory(w):
    """kB of one more idle connection from inside; many of them."""
    k = w.open()
    k.get('/')
    warm = [w.client() for _ in range(20)]
    [c.get('/') for c in warm]
    before, clients = w.gw.memory(), []
    for _ in range(200):
        clients.append(w.client())
        clients[-1].get('/')
    each = (w.gw.memory() - before) / len(clients)
    print('#   %.1f kB for an idle connection' % each)
    assert each < 40, each


if __name__ == '__main__':
    main(World)
