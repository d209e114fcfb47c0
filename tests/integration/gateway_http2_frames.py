#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway alone: RFC 9113 and RFC 7541 case by case. usage: gateway_http2_frames.py BUILD_DIR [PATTERN]

The cases follow the sections of the RFCs (and the public list of h2spec). Each is sent on a fresh connection; what is
wrong has to end the stream or the connection with the right code, and must never have been seen by the origin."""
import os
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

from gateway_world import equal, main, test  # noqa: E402  (enters the namespace)
from gateway_http2 import World  # noqa: E402
from harness import hpack  # noqa: E402
from harness.http2 import *  # noqa: E402,F403

CASES = []


def case(name, *codes, stream=False, origin=0):
    """f(k) sends. The connection ends with one of the codes (stream: or the stream it returns does); without codes the
    connection goes on. origin: requests that may arrive there."""
    def add(f):
        CASES.append((name, codes, stream, origin, f))
        return f
    return add


def u32(n):
    return struct.pack('>I', n)


def head(k, *extra, **kwargs):
    return hpack.encode(k.head(**kwargs) + list(extra))


def open_stream(k, **kwargs):
    """A request that has not ended."""
    return k.request('/', method='POST', end=False, **kwargs)


def closed_stream(k):
    s = k.request('/')
    k.answer(s)
    return s


# 3.4 and 4: preface, frames
case('4.1 unknown frame types are ignored', origin=1)(
    lambda k: (k.send(frame(0x16, 0, 0, b'12345678')), k.get('/')))
case('4.1 undefined flags are ignored', origin=1)(lambda k: (k.send(frame(PING, 0x16, 0, b'12345678')), k.get('/')))
case('4.1 the reserved bit is ignored', origin=1)(
    lambda k: (k.send(frame(PING, 0, 0x80000000, b'12345678')), k.get('/')))
case('4.2 DATA of 2^14 bytes', origin=1)(lambda k: k.data(open_stream(k), b'x' * 16384, True))
case('4.2 DATA over the frame size', FRAME_SIZE_ERROR, stream=True, origin=1)(
    lambda k: (s := open_stream(k), k.data(s, b'x' * 16385, True))[0])
case('4.2 HEADERS over the frame size', FRAME_SIZE_ERROR, stream=False)(
    lambda k: k.headers(1, head(k, ('x', 'y' * 17000)), end=True))
case('4.3 a bad header block', COMPRESSION_ERROR)(lambda k: k.headers(1, b'\xff\xff\xff\xff\xff\xff', end=True))
case('4.3 PRIORITY inside a header block', PROTOCOL_ERROR)(
    lambda k: (k.headers(1, head(k), flags=0, end=True), k.send(frame(PRIORITY, 0, 1, u32(0) + b'\x10'))))
case('4.3 another stream inside a header block', PROTOCOL_ERROR)(
    lambda k: (k.headers(1, head(k), flags=0, end=True), k.headers(3, head(k), end=True)))
case('4.3 unknown frame inside a header block', PROTOCOL_ERROR)(
    lambda k: (k.headers(1, head(k), flags=0, end=True), k.send(frame(0x16, 0, 1, b''))))

# 5.1: states
for name, payload in (('DATA', frame(DATA, END_STREAM, 1, b'x')), ('RST_STREAM', frame(RST_STREAM, 0, 1, u32(CANCEL))),
                      ('WINDOW_UPDATE', frame(WINDOW_UPDATE, 0, 1, u32(100))),
                      ('CONTINUATION', frame(CONTINUATION, END_HEADERS, 1, b''))):
    case('5.1 %s on an idle stream' % name, PROTOCOL_ERROR)(lambda k, p=payload: k.send(p))
for name, make in (('DATA', lambda k, s: frame(DATA, END_STREAM, s, b'x')),
                   ('HEADERS', lambda k, s: frame(HEADERS, END_STREAM | END_HEADERS, s, head(k))),
                   ('CONTINUATION', lambda k, s: frame(CONTINUATION, END_HEADERS, s, head(k)))):
    case('5.1 %s after the end of the request' % name, STREAM_CLOSED, PROTOCOL_ERROR, stream=True, origin=1)(
        lambda k, m=make: (s := k.request('/never'), k.send(m(k, s)))[0])
    case('5.1 %s after a reset' % name, STREAM_CLOSED, PROTOCOL_ERROR, None, stream=True, origin=1)(
        lambda k, m=make: (s := open_stream(k), k.send(frame(RST_STREAM, 0, s, u32(CANCEL)) + m(k, s)))[0])
    case('5.1 %s on a closed stream' % name, STREAM_CLOSED, PROTOCOL_ERROR, None, stream=True, origin=1)(
        lambda k, m=make: (s := closed_stream(k), k.send(m(k, s)))[0])
case('5.1.1 an even stream', PROTOCOL_ERROR)(lambda k: k.headers(2, head(k), end=True))
case('5.1.1 stream 0', PROTOCOL_ERROR)(lambda k: k.headers(0, head(k), end=True))
case('5.1.1 a smaller stream than before', PROTOCOL_ERROR, STREAM_CLOSED, None, stream=True, origin=1)(
    lambda k: (k.headers(5, head(k), end=True), k.headers(3, head(k), end=True), 3)[2])


@case('5.1.2 more streams than allowed', PROTOCOL_ERROR, REFUSED_STREAM, stream=True, origin=200)
def too_many(k):
    k.answer(0, lambda m: any(f[:2] == (SETTINGS, ACK) for f in k.frames))
    streams = [open_stream(k) for _ in range(129)]
    return streams[-1]


case('5.3.1 a stream that depends on itself', PROTOCOL_ERROR, None, stream=True, origin=1)(
    lambda k: (k.send(frame(HEADERS, END_HEADERS | END_STREAM | 0x20, 1, u32(1) + b'\xff' + head(k))), 1)[1])
case('5.4.1 an extension frame inside a header block', PROTOCOL_ERROR)(
    lambda k: (k.headers(1, head(k), flags=0, end=True), k.send(frame(0x20, 0, 0, b''))))

# 6: frames
case('6.1 DATA on stream 0', PROTOCOL_ERROR)(lambda k: k.data(0, b'x'))
case('6.1 padding as long as the payload', PROTOCOL_ERROR, origin=1)(
    lambda k: k.send(frame(DATA, END_STREAM | PADDED, open_stream(k), b'\x05abcd')))
case('6.1 padding', origin=1)(
    lambda k: (s := open_stream(k), k.send(frame(DATA, END_STREAM | PADDED, s, b'\x02abcd\0\0')), k.answer(s)))
case('6.2 padding as long as the payload', PROTOCOL_ERROR)(
    lambda k: k.send(frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b'\xff' + head(k))))
# Priorities of RFC 7540 are off (RFC 9218 2.1), and their frames are passed over.
case('6.3 PRIORITY on stream 0', PROTOCOL_ERROR, None)(lambda k: k.send(frame(PRIORITY, 0, 0, u32(1) + b'\x10')))
case('6.3 PRIORITY of four bytes', FRAME_SIZE_ERROR, None, stream=True, origin=1)(
    lambda k: (s := open_stream(k), k.send(frame(PRIORITY, 0, s, u32(0))))[0])
case('6.4 RST_STREAM on stream 0', PROTOCOL_ERROR)(lambda k: k.send(frame(RST_STREAM, 0, 0, u32(CANCEL))))
case('6.4 RST_STREAM of three bytes', FRAME_SIZE_ERROR, origin=1)(
    lambda k: k.send(frame(RST_STREAM, 0, open_stream(k), b'abc')))
case('6.5 SETTINGS acknowledgement with a payload', FRAME_SIZE_ERROR)(
    lambda k: k.send(frame(SETTINGS, ACK, 0, b'\0')))
case('6.5 SETTINGS on a stream', PROTOCOL_ERROR)(lambda k: k.send(frame(SETTINGS, 0, 1, b'\0\3\0\0\0\x64')))
case('6.5 SETTINGS of three bytes', FRAME_SIZE_ERROR)(lambda k: k.send(frame(SETTINGS, 0, 0, b'\0\3\0')))
case('6.5.2 ENABLE_PUSH 2', PROTOCOL_ERROR)(lambda k: k.send(settings((2, 2))))
case('6.5.2 a window over 2^31-1', FLOW_CONTROL_ERROR)(lambda k: k.send(settings((INITIAL_WINDOW_SIZE, 1 << 31))))
case('6.5.2 a frame size under 2^14', PROTOCOL_ERROR)(lambda k: k.send(settings((5, 16383))))
case('6.5.2 a frame size over 2^24-1', PROTOCOL_ERROR)(lambda k: k.send(settings((5, 1 << 24))))
case('6.5.2 an unknown setting', origin=1)(lambda k: (k.send(settings((0xff, 1))), k.get('/')))
case('6.6 PUSH_PROMISE from a client', PROTOCOL_ERROR)(
    lambda k: k.send(frame(PUSH_PROMISE, END_HEADERS, 1, u32(2) + head(k))))
case('6.7 PING of six bytes', FRAME_SIZE_ERROR)(lambda k: k.send(frame(PING, 0, 0, b'123456')))
case('6.7 PING on a stream', PROTOCOL_ERROR)(lambda k: k.send(frame(PING, 0, 1, b'12345678')))
case('6.7 an acknowledgement of no PING')(lambda k: k.send(frame(PING, ACK, 0, b'12345678')))
case('6.8 GOAWAY on a stream', PROTOCOL_ERROR)(lambda k: k.send(frame(GOAWAY, 0, 1, u32(0) + u32(0))))
case('6.9 WINDOW_UPDATE by 0', PROTOCOL_ERROR)(lambda k: k.send(frame(WINDOW_UPDATE, 0, 0, u32(0))))
case('6.9 WINDOW_UPDATE by 0 on a stream', PROTOCOL_ERROR, stream=True, origin=1)(
    lambda k: (s := open_stream(k), k.send(frame(WINDOW_UPDATE, 0, s, u32(0))))[0])
case('6.9 WINDOW_UPDATE of three bytes', FRAME_SIZE_ERROR)(lambda k: k.send(frame(WINDOW_UPDATE, 0, 0, b'\0\0\1')))
case('6.9.1 a window over 2^31-1', FLOW_CONTROL_ERROR)(
    lambda k: k.send(frame(WINDOW_UPDATE, 0, 0, u32(0x7fffffff)) * 2))
case('6.9.1 a window over 2^31-1 on a stream', FLOW_CONTROL_ERROR, stream=True, origin=1)(
    lambda k: (s := open_stream(k), k.send(frame(WINDOW_UPDATE, 0, s, u32(0x7fffffff)) * 2))[0])
case('6.9.2 settings that make a window overflow', FLOW_CONTROL_ERROR, stream=True, origin=1)(
    lambda k: (s := open_stream(k), k.send(frame(WINDOW_UPDATE, 0, s, u32(0x70000000)) +
                                           settings((INITIAL_WINDOW_SIZE, 0x7fffffff))))[0])
case('6.9 more DATA than the window', FLOW_CONTROL_ERROR, None, stream=True, origin=1)(
    lambda k: (s := k.request('/', method='POST', end=False),
               [k.data(s, b'x' * 16384) for _ in range(40)])[0])
case('6.10 CONTINUATION frames', origin=1)(
    lambda k: (k.headers(1, head(k), flags=0, end=True), k.send(frame(CONTINUATION, 0, 1, hpack.encode([('x', 'y')]))),
               k.send(frame(CONTINUATION, END_HEADERS, 1, hpack.encode([('z', 'y')]))), k.answer(1)))
case('6.10 CONTINUATION after END_HEADERS', PROTOCOL_ERROR, STREAM_CLOSED, origin=1)(
    lambda k: (k.headers(1, head(k)), k.send(frame(CONTINUATION, END_HEADERS, 1, hpack.encode([('x', 'y')])))))
case('6.10 CONTINUATION on stream 0', PROTOCOL_ERROR)(
    lambda k: (k.headers(1, head(k), flags=0), k.send(frame(CONTINUATION, END_HEADERS, 0, b''))))

# 8: requests. Each of these is malformed: the origin must not see it.
NORMAL = [(':method', 'GET'), (':scheme', 'https'), (':authority', 'h2.test'), (':path', '/')]


def changed(name, *values):
    return [f for f in NORMAL if f[0] != name] + [(name, v) for v in values]


MALFORMED = {
    '8.2 an upper case name': NORMAL + [('X-Test', 'ok')],
    '8.2 a name with a space': NORMAL + [('x test', 'ok')],
    '8.2 a name with a colon': NORMAL + [('x:test', 'ok')],
    '8.2 an empty name': NORMAL + [('', 'ok')],
    '8.2 a name with a line end': NORMAL + [('x\r\nhost', 'ok')],
    '8.2 CR LF in a value': NORMAL + [('x', 'a\r\ntransfer-encoding: chunked')],
    '8.2 LF in a value': NORMAL + [('x', 'a\nb')],
    '8.2 CR in a value': NORMAL + [('x', 'a\rb')],
    '8.2 NUL in a value': NORMAL + [('x', 'a\0b')],
    '8.2 DEL in a value': NORMAL + [('x', 'a\x7fb')],
    '8.2.1 a value that begins with a space': NORMAL + [('x', ' a')],
    '8.2.1 a value that ends with a tab': NORMAL + [('x', 'a\t')],
    '8.2.2 Connection': NORMAL + [('connection', 'keep-alive')],
    '8.2.2 Keep-Alive': NORMAL + [('keep-alive', '1')],
    '8.2.2 Proxy-Connection': NORMAL + [('proxy-connection', 'close')],
    '8.2.2 Transfer-Encoding': NORMAL + [('transfer-encoding', 'chunked')],
    '8.2.2 Upgrade': NORMAL + [('upgrade', 'websocket')],
    '8.2.2 TE other than trailers': NORMAL + [('te', 'trailers, deflate')],
    '8.3 an unknown pseudo-header field': [(':test', 'ok')] + NORMAL,
    '8.3 one of answers': [(':status', '200')] + NORMAL,
    '8.3 one behind ordinary fields': NORMAL[:3] + [('x', 'y')] + NORMAL[3:],
    '8.3.1 an empty path': changed(':path', ''),
    '8.3.1 no path': changed(':path'),
    '8.3.1 no method': changed(':method'),
    '8.3.1 no scheme': changed(':scheme'),
    '8.3.1 two methods': changed(':method', 'GET', 'GET'),
    '8.3.1 two paths': changed(':path', '/', '/x'),
    '8.3.1 two schemes': changed(':scheme', 'https', 'https'),
    '8.3.1 two authorities': changed(':authority', 'h2.test', 'evil.test'),
    '8.3.1 http over TLS': changed(':scheme', 'http'),
    '8.3.1 another scheme': changed(':scheme', 'ftp'),
    '8.3.1 a scheme that ends the line': changed(':scheme', 'https\r\nx: y'),
    '8.3.1 a relative path': changed(':path', 'x'),
    '8.3.1 a whole URL as path': changed(':path', 'https://h2.test/'),
    '8.3.1 a path with a space': changed(':path', '/a b'),
    '8.3.1 a path that ends the line': changed(':path', '/ HTTP/1.1\r\nx: y'),
    '8.3.1 a path with a fragment': changed(':path', '/a#b'),
    '8.3.1 a path with NUL': changed(':path', '/a\0'),
    '8.3.1 a raw byte over 127 in the path': changed(':path', '/\xe4'),
    '8.3.1 an asterisk with GET': changed(':path', '*'),
    '8.3.1 a method with a space': changed(':method', 'GET /x HTTP/1.1'),
    '8.3.1 an empty method': changed(':method', ''),
    '8.3.1 another authority': changed(':authority', 'evil.test'),
    '8.3.1 an empty authority': changed(':authority', ''),
    '8.3.1 no authority and no Host': changed(':authority'),
    '8.3.1 user information': changed(':authority', 'h2.test@evil.test'),
    '8.3.1 user information in front': changed(':authority', 'evil@h2.test'),
    '8.3.1 a path in the authority': changed(':authority', 'h2.test/x'),
    '8.3.1 a port too many': changed(':authority', 'h2.test:443:443'),
    '8.3.1 another port': changed(':authority', 'h2.test:80'),
    '8.3.1 Host that differs': NORMAL + [('host', 'evil.test')],
    '8.3.1 Host that differs by its port': NORMAL + [('host', 'h2.test:443')],
    '8.3.1 two Hosts': NORMAL + [('host', 'h2.test'), ('host', 'h2.test')],
    '8.5 CONNECT': [(':method', 'CONNECT'), (':authority', 'h2.test')],
    '8.5 CONNECT with a path': changed(':method', 'CONNECT'),
    'RFC 8441 extended CONNECT': [(':method', 'CONNECT'), (':protocol', 'websocket')] + NORMAL[1:],
    '8.1.1 two lengths': NORMAL + [('content-length', '0'), ('content-length', '0')],
    '8.1.1 a length that is none': NORMAL + [('content-length', '-1')],
    '8.1.1 a length with a sign': NORMAL + [('content-length', '+0')],
    '8.1.1 a list of lengths': NORMAL + [('content-length', '0, 0')],
    '8.1.1 a length without a body': NORMAL + [('content-length', '1')],
    '10.5.1 too many fields': NORMAL + [('x-%d' % i, 'y') for i in range(150)],
    '10.5.1 too many bytes': NORMAL + [('x-%d' % i, 'y' * 1500) for i in range(60)],
    'TRACE': changed(':method', 'TRACE'),
    'Content_Length': NORMAL + [('content_length', '3')],
    'an unknown expectation': NORMAL + [('expect', 'the-best')],
}


def send_malformed(w, host, name, fields):
    """Whether the connection went on, and took a good request."""
    k = w.client(host)
    k.next = 3
    block = hpack.encode([(n, v.replace('h2.test', host)) for n, v in fields])
    first, flags = 16000, END_STREAM | END_HEADERS
    k.send(frame(HEADERS, flags if len(block) <= first else END_STREAM, 1, block[:first]))
    for at in range(first, len(block), first):
        k.send(frame(CONTINUATION, 0 if at + first < len(block) else END_HEADERS, 1, block[at:at + first]))
    m = k.answer(1)
    assert m.reset in (PROTOCOL_ERROR, INTERNAL_ERROR, ENHANCE_YOUR_CALM) or k.goaway in (PROTOCOL_ERROR, 11) or \
        m.status in (400, 403, 417, 421, 431, 501), (name, m.status, m.reset, k.goaway, k.closed)
    if k.goaway is not None or k.closed:
        return False
    # HPACK and the connection have to have stayed in step.
    equal(k.get('/good').status, 200, name)
    return True


@test
def malformed_requests(w):
    """Whether the server speaks HTTP/2 or would get them as lines of HTTP/1.1."""
    w.open('h2.test', 'allow = h2.test', 'allow = api.test')
    for host, origin in (('h2.test', w.h2), ('api.test', w.origin)):
        went_on = sum(send_malformed(w, host, name, fields) for name, fields in MALFORMED.items())
        assert went_on > 55, went_on
        time.sleep(0.1)
        equal([r.path for r in origin.requests], ['/good'] * went_on)
        assert host != 'api.test' or b'evil' not in origin.raw, origin.raw
    records = [r for r in w.gw.records if r['event'] in ('http.deny', 'net.deny')]
    assert len(records) >= 2 * len(MALFORMED), (len(records), len(MALFORMED))


@test
def lengths_and_bodies(w):
    """8.1.1: a length that is not the body's."""
    k = w.open('h2.test', 'allow = h2.test', 'allow = api.test')
    for length, payloads in (('1', [b'te']), ('5', [b'te']), ('3', [b'te', b'st'])):
        k = w.client()
        s = k.request('/', method='POST', headers=[('content-length', length)], end=False)
        for i, payload in enumerate(payloads):
            k.data(s, payload, i + 1 == len(payloads))
        m = k.answer(s)
        assert m.reset is not None or m.status in (400, 502) or k.goaway is not None, (length, m.status)
        k = w.client('api.test')
        s = k.request('/count', method='POST', headers=[('content-length', length)], end=False)
        for i, payload in enumerate(payloads):
            k.data(s, payload, i + 1 == len(payloads))
        m = k.answer(s)
        assert m.reset is not None or k.goaway is not None or m.status in (400, 502) or m.body[:1].decode() == length, \
            (length, m.status, m.body)
    for trailers in ([(':path', '/x')], [('content-length', '3')], [('host', 'x')], [('X-Upper', 'x')],
                     [('transfer-encoding', 'chunked')], [('x', 'a\r\nb')], [('authorization', 'x')]):
        k = w.client()
        s = k.request('/', method='POST', body=b'abc', end=False)
        k.headers(s, trailers, end=True)
        m = k.answer(s)
        assert m.reset is not None or m.status in (400, 502) or k.goaway is not None, (trailers, m.status)
    k = w.client()
    s = k.request('/', method='POST', body=b'abc', end=False)
    k.headers(s, [('x', 'y')], end=False)
    m = k.answer(s)
    assert m.reset is not None or k.goaway is not None, '8.1: trailers without the end'
    time.sleep(0.1)
    equal([bytes(r.body) for r in w.h2.requests if r.ended], [], 'requests that looked complete at the origin')
    s = k.request('/', method='POST', headers=[('content-length', '0')], end=False)
    k.answer(s)
    try:
        k.data(s, b'GET / HTTP/1.1', True)
        k.ping()
    except OSError:
        pass
    equal([bytes(r.body) for r in w.h2.requests if r.ended and r.body], [], 'more than the length')


@test
def what_is_well_formed(w):
    k = w.open()
    equal(k.get('/', headers=[('cookie', 'a=b'), ('x', 'y'), ('cookie', 'c=d'), ('cookie', 'e=f')]).status, 200)
    equal([v for n, v, _ in w.h2.requests[0].fields() if n == 'cookie'], ['a=b; c=d; e=f'], 'crumbs are joined')
    fields = [f for f in k.head() if f[0] != ':authority'] + [('host', 'h2.test')]
    s = k.stream()
    k.headers(s, fields, end=True)
    equal((k.answer(s).status, w.h2.requests[1].get(':authority')), (200, 'h2.test'), 'Host alone')
    equal(k.get('/', headers=[('x', ''), ('x', 'a\tb'), ('x', 'h\xe4')]).status, 200)
    equal([v for n, v, _ in w.h2.requests[2].fields() if n == 'x'], ['', 'a\tb', 'h\xe4'])
    equal(k.get('/', method='PROPFIND').status, 200)
    equal(k.get('/?' + 'q' * 7000).status, 200)
    assert k.get('/' + 'q' * 9000).status in (414, 431)


# RFC 7541. Each block is followed by what makes it a request.
HPACK = {
    '2.3.3 index 70 of an empty table': b'\xc6',
    '6.1 index 0': b'\x80',
    '2.3.3 name of index 70': b'\x7f\x07' + hpack.string('x'),
    '4.2 a table size update at the end': None,
    '6.3 a table size over the limit': b'\x3f\xe1\xff\x03',
    '5.1 an integer that overflows': b'\xff' + b'\xff' * 10 + b'\x01',
    '5.1 an integer without end': b'\xff\x80',
    '5.2 padding of more than seven bits': b'\0' + hpack.string('x') + b'\x82\xff\xff',
    '5.2 padding of zeros': b'\0' + hpack.string('x') + b'\x81\x00',
    '5.2 EOS inside a string': b'\0' + hpack.string('x') + b'\x84\xff\xff\xff\xff',
    '5.2 a string longer than the block': b'\0' + hpack.string('x') + b'\x7f\x80\x80\x01',
}


@test
def hpack_errors(w):
    k = w.open()
    for name, block in HPACK.items():
        k = w.client()
        k.headers(1, head(k) + b'\x20' if block is None else head(k) + block, end=True)
        k.answer(1)
        equal(k.goaway, COMPRESSION_ERROR, name)
    equal(len(w.h2.requests), 0)
    # And what is right: every representation, table size updates in front, static and dynamic indices.
    k = w.client()
    k.headers(1, b'\x20\x3f\xe1\x1f' + b'\x82\x87\x84' + b'\x41' + hpack.string('h2.test') +
              hpack.literal('x-one', '1', 0x40) + hpack.literal('x-two', '2', 0x10), end=True)
    equal(k.answer(1).status, 200)
    k.headers(3, b'\x82\x87\x84\xbf\xbe', end=True)  # what the first has put into the table
    equal(k.answer(3).status, 200)
    equal(w.h2.requests[1].get('x-one'), '1')


def conformance_of(k, name, codes, on_stream, f):
    stream = None
    try:
        stream = f(k)
        if not codes:
            equal(k.ping(), True, name)
            equal(k.goaway, None, name)
            equal([m.reset for m in k.messages.values() if m.reset is not None], [], name)
            return
        if None in codes and k.ping():
            m = k.message(stream)
            got = k.goaway if m.reset is None else m.reset
        elif on_stream:
            m = k.answer(stream)
            got = k.goaway if m.reset is None else m.reset
        else:
            got = k.end()
    except (BrokenPipeError, ConnectionError):
        got = k.end()
    except TimeoutError:
        raise AssertionError('%s: nothing happened' % name)
    assert got in codes, '%s: got %r, want %r' % (name, got, codes)


@test
def conformance(w):
    w.open()
    for name, codes, on_stream, may_see, f in CASES:
        before = len(w.h2.requests)
        k = w.client()
        k.sock.settimeout(60)
        conformance_of(k, name, codes, on_stream, f)
        new = len(w.h2.requests) - before
        assert new <= may_see, '%s: %d requests at the origin' % (name, new)
        if may_see:
            # What is still on its way to the origin is not of the next case: it comes before this.
            equal(w.client().get('/').status, 200)
    equal(w.client().get('/').status, 200)


@test
def prefaces(w):
    """3.4: anything but the preface ends the connection."""
    w.open()
    for first in (b'GET / HTTP/1.1\r\nHost: h2.test\r\n\r\n', b'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n', b'\0' * 40,
                  PREFACE + frame(PING, 0, 0, b'12345678'), PREFACE + frame(HEADERS, 5, 1, b'\x82\x87\x84')):
        s = w.call.tls('h2.test', alpn=['h2'])
        s.sendall(first)
        peer = Peer(s)
        equal(peer.end(), PROTOCOL_ERROR, first)
    equal(len(w.h2.requests), 0)


if __name__ == '__main__':
    main(World)
