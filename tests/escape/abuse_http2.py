# SPDX-License-Identifier: Apache-2.0
"""Cases of the abuse table: HTTP/2, of which each request has to become one of HTTP/1.1 or of HTTP/2 again, and floods.
Towards `api` it becomes HTTP/1.1; the server that shows the control speaks HTTP/2 and takes everything."""
from abuse_cases import case


def arrived(seen):
    """A request that came to its end at any server."""
    return any(m.ended and m.reset is None for m in seen.streams) or any(r.target != '/' for r in seen.requests)


def heads_arrived(seen):
    return bool(seen.streams or seen.requests)


HEADS = [
    ('upper-case', 'a name in upper case', '{"X-Upper": "1"}'),
    ('crlf', 'CR and LF in a value', '{"x": "a\\r\\nhost: other.example.com"}'),
    ('lf', 'LF in a value', '{"x": "a\\nb: c"}'),
    ('nul', 'NUL in a value', '{"x": "a\\0b"}'),
    ('crlf-name', 'CR and LF in a name', '{"x\\r\\ny": "1"}'),
    ('colon-name', 'a colon in a name', '{"x:y": "1"}'),
    ('empty-name', 'a name without a byte', '{"": "1"}'),
    ('transfer-encoding', 'Transfer-Encoding (H2.TE)', '{"transfer-encoding": "chunked"}'),
    ('connection', 'Connection', '{"connection": "close, x"}'),
    ('te', 'TE other than trailers', '{"te": "gzip"}'),
    ('upgrade', 'Upgrade', '{"upgrade": "h2c"}'),
    ('unknown-pseudo', 'a pseudo field that is none', '{":x": "1"}'),
    ('no-path', 'no :path', '{":path": None}'),
    ('empty-path', 'an empty :path', '{":path": ""}'),
    ('path-no-slash', 'a :path without a slash', '{":path": "open/x"}'),
    ('path-space', 'a :path that ends a request line', '{":path": "/open/x HTTP/1.1\\r\\nX: y"}'),
    ('path-fragment', 'a :path with a fragment', '{":path": "/open/x#y"}'),
    ('path-absolute', 'a :path that is a URL', '{":path": "https://other.example.com/"}'),
    ('no-method', 'no :method', '{":method": None}'),
    ('method-space', 'a :method that is a request line', '{":method": "GET /closed HTTP/1.1"}'),
    ('trace', 'TRACE', '{":method": "TRACE"}'),
    ('no-scheme', 'no :scheme', '{":scheme": None}'),
    ('authority-other', ':authority of another allowed host, at this one\'s SNI', '{":authority": OTHER}'),
    ('authority-userinfo', ':authority with a user', '{":authority": "x@" + host}'),
    ('authority-space', ':authority with a space', '{":authority": host + " x"}'),
    ('no-authority', 'neither :authority nor Host', '{":authority": None}'),
    ('host-differs', 'Host that is not :authority', '{"host": OTHER}'),
    ('connect', 'CONNECT', '{":method": "CONNECT", ":scheme": None, ":path": None}'),
    ('content-length', 'a length that is no number', '{"content-length": "5x"}'),
    ('content-length-list', 'two lengths', '{"content-length": "0, 5"}'),
]
for name, what, change in HEADS:
    for host in ('api.example.com', 'h2.example.com'):
        case('h2', '%s-%s' % (name, 'to-1' if host.startswith('api') else 'to-2'), what,
             'host = %r\nr = bad_head(lambda k: fields(k, %s), host)' % (host, change), heads_arrived)
for name, what, code in [
    ('duplicate-path', 'two :path', 'r = bad_head(lambda k: fields(k) + [(":path", "/closed")])'),
    ('duplicate-authority', 'two :authority', 'r = bad_head(lambda k: fields(k) + [(":authority", OTHER)])'),
    ('pseudo-late', 'a pseudo field behind others',
     'r = bad_head(lambda k: [("x", "1")] + fields(k))'),
    ('closed', 'a path that no rule allows, on a connection with an allowed one',
     'k = h2(API)\nk.get("/open/x")\nr = outcome(k, k.request("/closed"))'),
]:
    case('h2', name, what, code, (lambda seen: any(r.path == '/closed' for r in seen.requests) or
                                  any(m.path == '/closed' for m in seen.streams)) if name == 'closed' else heads_arrived)
for name, what, code in [
    ('body-short', 'a body that is shorter than its length', 'r = bad_head(lambda k: fields(k, {"content-length": "9"}, method="POST"), body=b"five!")'),
    ('body-long', 'a body that is longer than its length (H2.CL)',
     'r = bad_head(lambda k: fields(k, {"content-length": "1"}, method="POST"), body=b"xGET /closed HTTP/1.1")'),
    ('body-of-none', 'a body where the length says none',
     'r = bad_head(lambda k: fields(k, {"content-length": "0"}, method="POST"), body=b"GET /closed")'),
    ('trailer-pseudo', 'a pseudo field among the trailers',
     'r = bad_head(lambda k: fields(k, method="POST"), body=b"x", trailers=[(":path", "/closed")])'),
    ('trailer-host', 'Host among the trailers',
     'r = bad_head(lambda k: fields(k, method="POST"), body=b"x", trailers=[("host", OTHER)])'),
    ('trailer-crlf', 'CR and LF among the trailers',
     'r = bad_head(lambda k: fields(k, method="POST"), body=b"x", trailers=[("x", "a\\r\\nb")])'),
]:
    case('h2', name, what, code, arrived)
case('h2', 'push', 'a server that pushes', 'k = h2()\nr = k.get("/open/push").status\nr = [r, [f[0] for f in k.frames]]',
     lambda seen: isinstance(seen.result, list) and 5 in seen.result[1])


def endured(seen):
    """The other side took all of it."""
    return isinstance(seen.result, dict) and seen.result.get('ended') is False


for name, what, code in [
    ('rapid-reset', 'streams that are reset at once (CVE-2023-44487)',
     'lambda k, i: k.send(frame(HEADERS, END_HEADERS | END_STREAM, k.stream(), hpack.encode(k.head(path="/open/f"))) + '
     'frame(RST_STREAM, 0, k.next - 2, b"\\0\\0\\0\\x08")), 3000'),
    ('continuation', 'CONTINUATION without end (CVE-2024-27316)',
     'lambda k, i: k.send((frame(HEADERS, END_STREAM, k.stream(), b"") if i == 0 else b"") + frame(CONTINUATION, '
     'END_HEADERS if i == 2999 else 0, k.next - 2, b"" if i < 2999 else hpack.encode(k.head(path="/open/f")))), 3000'),
    ('settings', 'SETTINGS, each to be answered', 'lambda k, i: k.send(settings() * 10), 3000'),
    ('ping', 'PING, each to be answered', 'lambda k, i: k.send(frame(PING, 0, 0, b"12345678") * 10), 3000'),
    ('empty-data', 'DATA without a byte', 'lambda k, i: (k.headers(k.stream(), k.head("POST", "/open/f")) if i == 0 else '
     'k.send(frame(DATA, 0, k.next - 2) * 10)), 3000'),
    ('window', 'WINDOW_UPDATE, byte by byte', 'lambda k, i: (k.headers(k.stream(), k.head("POST", "/open/f")) if i == 0 else '
     'k.send(frame(WINDOW_UPDATE, 0, k.next - 2, b"\\0\\0\\0\\1") * 10)), 3000'),
    ('unknown', 'frames of no known kind', 'lambda k, i: k.send(frame(0x77) * 10), 3000'),
    ('header-bomb', 'a small block that becomes large (HPACK)',
     'lambda k, i: k.send(frame(HEADERS, END_HEADERS | END_STREAM, k.stream(), hpack.encode(k.head(path="/open/f")) + '
     'hpack.literal("x", "b" * 3000, 0x40) + b"\\xbe" * 4000)), 5'),
]:
    case('flood', name, what, 'r = flood(%s)' % code, endured)
