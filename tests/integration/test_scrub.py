# SPDX-License-Identifier: Apache-2.0
"""Answers: a server that shows the secret it was sent shows the sandbox the placeholder. The server is the oracle for
that it was sent, and `scrub = no` for that the sandbox would otherwise have seen it."""
import base64
import gzip
import json
import socket
import subprocess
import threading
import time
import zlib
from urllib.parse import quote

from harness.box import Box, peak_memory
from harness.origin import Origin
from harness.registry import cases, check, equal, test

HOST = 'api.example.com'
VALUE = 'sk-real-7f3a9c21e8b44d06a5'
WIDE = 'p\u00e4ss-w\u00f6rd-\u20ac-\U0001f600-0123456789'
ODD = 'a/b"c+d=e f%g\\h?ij0123456789'

FORMS = [
    ('raw', lambda v: v.encode()),
    ('percent', lambda v: quote(v, safe='').encode()),
    ('percent_all', lambda v: ''.join('%%%02x' % b for b in v.encode()).encode()),
    ('json', lambda v: json.dumps(v)[1:-1].replace('/', '\\/').encode()),
    ('json_all', lambda v: ''.join('\\u%04x' % b for b in v.encode()).encode()),
    ('base64', lambda v: base64.b64encode(b'user:' + v.encode())),
    ('base64_url', lambda v: base64.urlsafe_b64encode(b'u:' + v.encode()).rstrip(b'=')),
]


def absent(value, data):
    for name, form in FORMS:
        check(form(value) not in data, 'the value is in what the client saw, as ' + name)
    check(base64.b64encode(value.encode()).rstrip(b'=')[:-1] not in data, 'the value is in what the client saw')


def setup(t, handler, value=VALUE, policy='', flags=()):
    """The call has the value in KEY, and what it does not hold in nothing at all."""
    origin = Origin(t.pki.context([HOST]), handler=handler)
    box = Box(t).connect(origin, HOST)
    path = t.write('policy.ini', '[sandbox]\nversion = 1\n[network]\nallow = https://%s\n[secret KEY]\n'
                   'source = env:KEY\nallow = https://%s\n%s' % (HOST, HOST, policy))
    return box.add('-f', path, KEY=value), origin


def get(box, path='/', flags='', code='200'):
    """Status, headers and body as the client saw them, and the placeholder."""
    result = box.sh('printf "%%s\\n" "$KEY"; curl -sS --raw -i -H "Authorization: Bearer $KEY" %s https://%s%s'
                    % (flags, HOST, path)).ok()
    placeholder, _, answer = result.out_bytes.partition(b'\n')
    head, _, body = answer.partition(b'\r\n\r\n')
    equal(head.split()[1].decode(), code, 'status of %r' % answer[:600])
    return placeholder, head, body


def field(head, name):
    for line in head.decode('latin-1').split('\r\n')[1:]:
        if line.lower().startswith(name.lower() + ':'):
            return line.split(':', 1)[1].strip()
    return None


def plain(head, body):
    """Without chunks."""
    if field(head, 'transfer-encoding') != 'chunked':
        return body
    out = b''
    while True:
        size, _, body = body.partition(b'\r\n')
        n = int(size, 16)
        if not n:
            return out
        out, body = out + body[:n], body[n + 2:]


def sent(origin, value=VALUE):
    equal(origin.requests[-1].header('authorization'), ['Bearer ' + value.encode().decode('latin-1')],
          'what the server was sent')


@cases([('%s_%s' % (kind, name), value, form) for name, form in FORMS
        for kind, value in (('token', VALUE), ('odd', ODD), ('wide', WIDE), ('short', 'short-v8'))])
def body(t, value, form):
    text = b'{"you sent": "' + form(value) + b'", "end": 1}'
    box, origin = setup(t, lambda c, r: Origin.reply(c, body=text), value)
    placeholder, head, got = get(box)
    sent(origin, value)
    absent(value, head + got)
    clean = plain(head, got)
    check(clean.startswith(b'{"you sent": "') and clean.endswith(b'", "end": 1}'), 'body: %r' % clean)
    if form(value) == value.encode():
        check(placeholder in clean, 'the placeholder is in %r' % clean)
    if value == VALUE:
        equal(field(head, 'content-length'), str(len(text)), 'Content-Length')
        equal(len(got), len(text), 'length')
    record = box.audit('secret.scrub')
    equal([(r['name'], r['host'], r['where']) for r in record], [('KEY', HOST, 'body')], 'records')


@test
def turned_off(t):
    """The negative control."""
    box, origin = setup(t, lambda c, r: Origin.reply(c, body='saw ' + VALUE, headers=[('X-Saw', VALUE)]),
                        policy='scrub = no\n')
    placeholder, head, got = get(box)
    sent(origin)
    equal((got, field(head, 'x-saw')), (b'saw ' + VALUE.encode(), VALUE), 'the answer as the server gave it')
    equal(box.audit('secret.scrub'), [], 'records')


@test
def header(t):
    basic = base64.b64encode(('user:' + VALUE).encode()).decode()
    headers = [('X-Saw', VALUE), ('Location', '/next?key=' + quote(VALUE)), ('X-Basic', basic),
               ('Set-Cookie', 'a=' + VALUE + '; Path=/'), ('X-Plain', 'nothing')]
    box, origin = setup(t, lambda c, r: Origin.reply(c, '200 ' + VALUE, b'', headers))
    placeholder, head, got = get(box)
    sent(origin)
    absent(VALUE, head)
    equal(field(head, 'x-saw'), placeholder.decode(), 'X-Saw')
    equal(field(head, 'location'), '/next?key=' + placeholder.decode(), 'Location')
    equal(field(head, 'set-cookie'), 'a=' + placeholder.decode() + '; Path=/', 'Set-Cookie')
    equal(field(head, 'x-plain'), 'nothing', 'X-Plain')
    equal([r['where'] for r in box.audit('secret.scrub')], ['header'], 'records')


@test
def name_of_a_header(t):
    box, origin = setup(t, lambda c, r: Origin.reply(c, headers=[('X-' + VALUE, '1')]))
    placeholder, head, got = get(box, code='502')
    sent(origin)
    absent(VALUE, head + got)


@test
def chunk_borders(t):
    """One byte in each chunk, and each in a segment of its own."""
    def answer(connection, request):
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
        for byte in ('<' + VALUE + '>' + quote(VALUE) + '>').encode():
            connection.send(b'1\r\n' + bytes([byte]) + b'\r\n')
            time.sleep(0.002)
        connection.send(b'0\r\nX-Sum: ' + VALUE.encode() + b'\r\n\r\n')

    box, origin = setup(t, answer)
    placeholder, head, got = get(box)
    sent(origin)
    absent(VALUE, head + got)
    equal(plain(head, got), b'<' + placeholder + b'>' + placeholder + b'>', 'body')


@test
def until_close(t):
    """A value that is cut off by the end of the answer never comes whole, and what came before it is not lost."""
    def answer(connection, request):
        connection.send(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of ' + VALUE.encode() + b' and ' +
                        VALUE[:9].encode())
        return False

    box, origin = setup(t, answer)
    placeholder, head, got = get(box)
    equal(plain(head, got), b'all of ' + placeholder + b' and ' + VALUE[:9].encode(), 'body')


@cases([('%s_%s' % (order, name), 'utf-16' + order, value) for order in ('-le', '-be', '') for name, value in (('token', VALUE), ('odd', ODD))])
def utf_16(t, coding, value):
    """What a server for Windows shows, or one that is asked for it."""
    box, origin = setup(t, lambda c, r: Origin.reply(c, body=('you sent <%s>' % value).encode(coding)), value)
    placeholder, head, got = get(box)
    sent(origin, value)
    equal(plain(head, got).decode(coding), 'you sent <%s>' % placeholder.decode(), 'body')


def packed(name, data):
    if name in ('br', 'zstd'):
        return subprocess.run(['brotli' if name == 'br' else 'zstd', '-c'], input=data, stdout=subprocess.PIPE, check=True).stdout
    if name == 'deflate':
        return zlib.compress(data)
    return gzip.compress(data[:40]) + gzip.compress(data[40:]) if name == 'members' else gzip.compress(data)


@cases([(n, n, n if n != 'members' else 'gzip') for n in ('gzip', 'x-gzip', 'deflate', 'members', 'br', 'zstd')])
def compressed(t, name, coding):
    text = b'x' * 30 + VALUE.encode() + b'y' * 200000 + VALUE.encode()

    def answer(connection, request):
        Origin.reply(connection, body=packed(name, text), headers=[('Content-Encoding', coding)])

    box, origin = setup(t, answer)
    placeholder, head, got = get(box, flags='--compressed')
    sent(origin)
    equal(origin.requests[0].header('accept-encoding'), ['gzip'], 'codings that the server is asked for')
    equal(field(head, 'content-encoding'), None, 'Content-Encoding')
    equal(plain(head, got), text.replace(VALUE.encode(), placeholder), 'body')


@cases([('br', 'br'), ('zstd', 'zstd')])
def compressed_and_cut_off(t, coding):
    data = packed(coding, VALUE.encode() * 1000)[:-3]
    box, origin = setup(t, lambda c, r: Origin.reply(c, body=data, headers=[('Content-Encoding', coding)]))
    result = box.sh('curl -sS https://%s/' % HOST)
    check(result.code != 0, 'curl takes a shortened answer for a whole one: %r' % result)
    absent(VALUE, result.out_bytes)


@cases([('two', 'gzip, gzip', gzip.compress(gzip.compress(b'a'))), ('mixed', 'br, gzip', b'abc'),
        ('unknown', 'made-up', b'abc')])
def coding_that_hides(t, coding, data):
    box, origin = setup(t, lambda c, r: Origin.reply(c, body=data, headers=[('Content-Encoding', coding)]))
    placeholder, head, got = get(box, code='502')
    sent(origin)
    check(b'"content-encoding"' in got, 'the reason is in %r' % got)


@cases([(n + '_' + how, ask, answer, how == 'unasked')
        for n, ask, answer in (('grpc', 'grpc-accept-encoding', 'Grpc-Encoding'),
                               ('connect', 'connect-accept-encoding', 'Connect-Content-Encoding'), ('delta', 'a-im', 'IM'))
        for how in ('asked', 'unasked')])
def compressed_inside(t, ask, answer, unasked):
    """Some compress inside the body, and name it elsewhere: they are asked not to, and not believed."""
    headers = [('Content-Type', 'application/grpc')] + [(answer, 'gzip')] * unasked
    box, origin = setup(t, lambda c, r: Origin.reply(c, '226 IM Used' if answer == 'IM' else '200 OK', b'\0\0\0\0\1a', headers))
    get(box, flags='-H "%s: gzip"' % ask, code='502' if unasked else '226' if answer == 'IM' else '200')
    equal(origin.requests[0].header(ask), ['identity'], 'codings that the server is asked for')


@cases([('plain', VALUE.encode()[5:], ()), ('compressed', gzip.compress(VALUE.encode())[5:], [('Content-Encoding', 'gzip')])])
def part_that_nobody_asked_for(t, body, headers):
    box, origin = setup(t, lambda c, r: Origin.reply(c, '206 Partial Content', body,
                                                     [('Content-Range', 'bytes 5-9/99'), *headers]))
    placeholder, head, got = get(box, flags='--compressed -r 5-9', code='502')
    check(b'"partial"' in got, 'the reason is in %r' % got)


ALL_RANGES = '-H "Range: bytes=5-9" -H "If-Range: x" -H "Request-Range: bytes=1-2" -H "X-MS-Range: bytes=3-4"'


@cases([('one', '-H "Range: bytes=5-9" -H "If-Range: x" -H "Request-Range: bytes=1-2"', '', [True, ['x'], [], []]),
        ('azure', '-H "X-Ms-Range: bytes=5-9"', '', [[], [], [], True]),
        ('several', '-H "Range: bytes=5-9,11-12" -H "If-Range: x"', '', [[], [], [], []]),
        ('two', '-H "Range: bytes=5-9" -H "Range: bytes=6-9"', '', [[], [], [], []]),
        ('two_names', ALL_RANGES, '', [[], [], [], []]),
        ('without', ALL_RANGES, '--no-secret', [['bytes=5-9'], ['x'], ['bytes=1-2'], ['bytes=3-4']])])
def how_parts_are_asked_for(t, asked, flags, want):
    """A value across the border of two parts would be in neither: more is asked for, and of one range only."""
    origin = Origin(t.pki.context([HOST]))
    box = Box(t).connect(origin, HOST).add('--allow', HOST)
    if not flags:
        box.add('--secret', 'KEY@' + HOST, KEY=VALUE)
    box.sh('curl -sSf %s https://%s/' % (asked, HOST)).ok()
    for name, value in zip(('range', 'if-range', 'request-range', 'x-ms-range'), want):
        got = origin.requests[0].header(name)
        if value is True:
            first, _, last = got[0].partition('=')[2].partition('-')
            check(len(got) == 1 and first == '0' and int(last) > 9 + 6 * len(VALUE), 'with a margin: %r' % got)
        else:
            equal(got, value, name)


def by_ranges(text, most=None, extra=()):
    """A server that gives any part of a text; at most so many bytes of it, which it may do."""
    def answer(connection, request):
        ranges = request.header('range')
        if not ranges:
            return Origin.reply(connection, body=text)
        first, _, last = ranges[0].partition('=')[2].partition('-')
        if not first:
            first, last = max(0, len(text) - int(last)), len(text) - 1
        first, last = int(first), min(int(last or len(text)), len(text) - 1)
        if first >= len(text):
            return Origin.reply(connection, '416 Range Not Satisfiable', headers=[('Content-Range', 'bytes */%d' % len(text))])
        last = min(last, first + most - 1) if most else last
        Origin.reply(connection, '206 Partial Content', text[first:last + 1],
                     [('Content-Range', 'bytes %d-%d/%d' % (first, last, len(text))), *extra])
    return answer


ASK = """
import os
server = tls("%s")
def ask(r, path="/"):
    a = send(server, "GET %%s HTTP/1.1\\r\\nHost: %s\\r\\nAuthorization: Bearer %%s\\r\\n%%s\\r\\n"
             %% (path, os.environ["KEY"], "Range: %%s\\r\\n" %% r if r else ""))
    return a.status, a.headers.get("content-range"), a.body.decode("latin-1")
""" % (HOST, HOST)


@cases([('start', 0, 300), ('middle', 180, 420), ('end', 700, 1000)])
def parts_are_those_of_the_whole(t, start, end):
    """Whatever its borders are, also inside of a value: the bytes of the whole answer as the sandbox may see it."""
    forms = b' '.join(form(VALUE) for _, form in FORMS)
    text = b'x' * 200 + forms + b'y' * (1000 - 200 - len(forms) - 9) + VALUE.encode()[:9]
    text = text[:1000] if len(text) > 1000 else text
    box, origin = setup(t, by_ranges(text))
    got = box.python(ASK + """
whole = ask(None)[2]
size = len(whole)
wrong = []
for a in range(%d, %d, 7):
    for n in (1, 13, 60):
        b = min(a + n - 1, size - 1)
        if a < size and ask("bytes=%%d-%%d" %% (a, a + n - 1)) != (206, "bytes %%d-%%d/%%d" %% (a, b, size), whole[a:b + 1]):
            wrong.append((a, b))
for n in (1, 5, 300, size, size + 5):
    a = max(0, size - n)
    if ask("bytes=-%%d" %% n) != (206, "bytes %%d-%%d/%%d" %% (a, size - 1, size), whole[a:]):
        wrong.append(-n)
    if a and ask("bytes=%%d-" %% a) != (206, "bytes %%d-%%d/%%d" %% (a, size - 1, size), whole[a:]):
        wrong.append(a)
out([wrong[:20], whole, os.environ["KEY"], ask("bytes=%%d-" %% (size + 9999))[0], ask("bytes=%%d-" %% size)[0]])""" % (start, end)).ok().json()
    equal(got[0], [], 'parts that are not those of the whole')
    equal(got[3:], [416, 416], 'behind the end')
    absent(VALUE, got[1].encode('latin-1'))
    check(got[2] in got[1], 'the placeholder is in the whole')


@cases([('short', dict(most=100), 502), ('compressed', dict(extra=[('Content-Encoding', 'gzip')]), 502),
        ('twice', dict(extra=[('Content-Range', 'bytes 0-9/99')]), 502), ('good', {}, 206)])
def parts_that_were_not_asked_for(t, how, want):
    """What is missing could be the rest of a value."""
    box, origin = setup(t, by_ranges(b'a' * 500 + VALUE.encode() + b'b' * 500, **how))
    got = box.python(ASK + 'out(ask("bytes=510-600"))').ok().json()
    equal(got[0], want, 'status of %r' % got)
    absent(VALUE[12:], got[2].encode())


PART = 5 << 20


@cases([('first', '?partNumber=1', 0, PART, [('x-amz-mp-parts-count', '2')], 206),
        ('last', '?partNumber=2', PART, 10, [('x-amz-mp-parts-count', '2')], 206),
        ('not_asked', '', 0, PART, [('x-amz-mp-parts-count', '2')], 502),
        ('not_known', '?partNumber=1', 0, PART, [], 502),
        ('small', '?partNumber=1', 0, 10, [('x-amz-mp-parts-count', '2')], 502),
        ('at_a_byte', '?partNumber=2', 10, PART, [('x-amz-mp-parts-count', '2')], 502),
        ('whole', '', 0, PART + 10, [], 206)])
def parts_by_number(t, query, first, size, headers, want):
    """Of what is stored in parts one may be asked for: where it begins and ends is no choice of who reads it."""
    text = b'z' * 1000 + VALUE.encode() + b'z' * (PART - 1000 - len(VALUE)) + b'0123456789'

    def answer(connection, request):
        Origin.reply(connection, '206 Partial Content', text[first:first + size],
                     [('Content-Range', 'bytes %d-%d/%d' % (first, first + size - 1, len(text))), *headers])

    box, origin = setup(t, answer)
    got = box.python(ASK + """
import hashlib
status, where, body = ask(None, "/" + %r)
out([status, len(body), body.count(os.environ["KEY"]), %r in body])""" % (query, VALUE)).ok().json()
    equal(got[0], want, 'status')
    check(want != 206 or got[1:3] == [size, int(first == 0)], 'length and placeholders: %r' % got)
    check(not got[3], 'the value')


@test
def cut_off_inside_a_coding(t):
    data = gzip.compress(b'z' * 1000)[:-4]
    box, origin = setup(t, lambda c, r: Origin.reply(c, body=data, headers=[('Content-Encoding', 'gzip')]))
    result = box.sh('curl -sS -o /dev/null https://%s/' % HOST)
    check(result.code != 0, 'curl takes a shortened answer for a whole one: %r' % result)


def gzip_bomb():
    data = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1 << 20)
    return b''.join(data.compress(block) for _ in range(1024)) + data.flush()


@cases([('gzip', 'gzip', gzip_bomb), ('br', 'br', lambda: packed('br', bytes(1 << 28))),
        ('zstd', 'zstd', lambda: packed('zstd', bytes(1 << 28)))])
def bomb(t, coding, make):
    """1 GiB or 256 MiB out of very little, to a client that reads slowly: it is made as it is read."""
    data = make()
    check(len(data) < 2 << 20, 'a small bomb')
    box, origin = setup(t, lambda c, r: Origin.reply(c, body=data, headers=[('Content-Encoding', coding)]))
    process = box.start('run', *box.flags, '--', 'sh', '-c',
                        'curl -sS --limit-rate 256k --max-time 600 -o /dev/null https://%s/' % HOST)
    while not origin.requests:
        check(process.poll() is None, 'the client ended')
        time.sleep(0.05)
    gateway = box.helper('nsbox-gateway')
    time.sleep(3)
    peak = peak_memory(gateway)
    process.kill()
    process.wait()
    check(0 < peak < 64 << 20, 'the gateway has %d bytes' % peak)


@test
def events_are_not_held_back(t):
    """A stream of events comes while it is made: the second is only sent when the first was seen."""
    seen = threading.Event()

    def answer(connection, request):
        if request.path == '/seen':
            seen.set()
            return Origin.reply(connection)
        connection.send(b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n'
                        b'9\r\ndata: 1\n\n\r\n')
        check(seen.wait(40), 'the first event was seen')
        connection.send(b'9\r\ndata: 2\n\n\r\n0\r\n\r\n')

    box, origin = setup(t, answer)
    result = box.sh('curl -sSN https://%s/ | while read -r line; do echo "$line"; '
                    '[ "$line" != "data: 1" ] || curl -sS https://%s/seen; done' % (HOST, HOST)).ok()
    equal(result.out.split(), ['data:', '1', 'data:', '2'], 'events')


@test
def other_hosts_cost_nothing(t):
    """A host that the secret is not for is left alone: what it sends was never ours."""
    origin = Origin(t.pki.context([HOST]), handler=lambda c, r: Origin.reply(
        c, body=gzip.compress(VALUE.encode()), headers=[('Content-Encoding', 'gzip')]))
    box = Box(t).connect(origin, HOST).add('--allow', HOST, '--secret', 'KEY@https://other.example.com', KEY=VALUE)
    result = box.sh('curl -sS --compressed https://%s/' % HOST).ok()
    equal(result.out, VALUE, 'body')
    check('br' in origin.requests[0].header('accept-encoding')[0] or
          'deflate' in origin.requests[0].header('accept-encoding')[0], 'Accept-Encoding is the client\'s own')


@test
def another_path_of_the_host(t):
    """What was sent where the secret may go is also found where it may not."""
    origin = Origin(t.pki.context([HOST]), handler=lambda c, r: Origin.reply(c, body='stored ' + VALUE))
    box = Box(t).connect(origin, HOST).add('--allow', HOST, '--secret', 'KEY@https://%s/v1/**' % HOST, KEY=VALUE)
    result = box.sh('echo $KEY; curl -sS https://%s/v2' % HOST).ok()
    equal(result.out.splitlines()[1], 'stored ' + result.out.splitlines()[0], 'body')
