# SPDX-License-Identifier: Apache-2.0
"""The hand of the abuse table: runs after inside.py, in the sandbox and once more outside of it, and does what it is
told, line by line. Outside each name leads straight to its server; `there` says where that is."""
import codecs
import gzip
import time
import zlib
from harness import hpack
from harness.http2 import *  # noqa: F401,F403

there, h2_there = json.loads(sys.argv[1]), json.loads(sys.argv[2])
OUTSIDE = bool(there)
KEY = os.environ['KEY']
API, OTHER, H2 = 'api.example.com', 'other.example.com', 'h2.example.com'


def connect(host, port=443, timeout=60):
    at = there.get('%s:%d' % (host, port))
    s = socket.create_connection(('127.0.0.1', at) if at else (host, port), timeout=timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


contexts = {}


def tls_context(kind='http/1.1'):
    """Whose certificate it is does not matter here, and looking through all authorities would be most of the work."""
    if kind not in contexts:
        contexts[kind] = c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
        c.set_alpn_protocols([kind])
    return contexts[kind]


def tls(host, port=443, sni=None):
    return tls_context().wrap_socket(connect(host, port), server_hostname=sni or host)


def whole_answer(data):
    """A refusal has come to its end, although its connection may go on."""
    head, end, body = data.partition(b'\r\n\r\n')
    if not end or head[9:12] < b'200':
        return False
    for line in head.split(b'\r\n')[1:]:
        name, _, value = line.partition(b':')
        if name.lower() == b'content-length':
            return len(body) >= int(value)
    return False


def talk(s, data, part=65536):
    """Send all of it; what came back until an answer was whole or the connection ended, and how. Outside, where the server
    is the oracle and may wait for more, nothing is waited for."""
    data = data.encode('latin-1') if isinstance(data, str) else data
    came, how = b'', 'closed'
    try:
        for i in range(0, len(data), part):
            s.sendall(data[i:i + part])
        while not OUTSIDE and not whole_answer(came):
            some = s.recv(65536)
            if not some:
                break
            came += some
        else:
            how = 'answered'
    except ssl.SSLError:
        how = 'tls'
    except (TimeoutError, socket.timeout):
        how = 'timeout'
    except OSError:
        how = 'reset'
    s.close()
    return came, how


def secure(data, host=API, sni=None, port=443, **kwargs):
    return talk(tls(host, port, sni), data, **kwargs)


def plain(data, host=API, port=80):
    return talk(connect(host, port), data)


def by_name(host, over_tls=False):
    """Some requests one after the other, each to where the name leads then; what came back of the last."""
    last = None
    for _ in range(4):
        try:
            s = socket.create_connection((host, 443 if over_tls else 80), timeout=60)
            s = tls_context().wrap_socket(s, server_hostname=host) if over_tls else s
            s.sendall(request('/open/x', host, headers=[('Connection', 'close')]))
            last = rest(s)
            s.close()
        except OSError as e:
            last = type(e).__name__, ''
    return last


def request(target='/open/x', host=API, method='GET', headers=(), body=b'', end=True):
    head = '%s %s HTTP/1.1\r\nHost: %s\r\n' % (method, target, host)
    head += ''.join('%s: %s\r\n' % h for h in headers)
    if body:
        head += 'Content-Length: %d\r\n' % len(body)
    return head.encode('latin-1') + (b'\r\n' if end else b'') + (body if isinstance(body, bytes) else body.encode('latin-1'))


def unchunk(body):
    out = b''
    while True:
        size, _, body = body.partition(b'\r\n')
        n = int(size.split(b';')[0] or b'0', 16)
        if not n:
            return out
        out, body = out + body[:n], body[n + 2:]


def unpack(raw):
    """All that a client could make of an answer: the bytes, without chunks, and without the codings it knows."""
    forms = [raw]
    head, _, body = raw.rpartition(b'HTTP/1.1 ')[2].partition(b'\r\n\r\n')
    if b'transfer-encoding: chunked' in head.lower():
        body = unchunk(body)
        forms.append(body)
    for undo in (gzip.decompress, zlib.decompress, lambda b: zlib.decompress(b, -15),
                 lambda b: gzip.decompress(gzip.decompress(b)), lambda b: codecs.encode(b.decode(), 'rot13').encode()):
        try:
            forms.append(undo(body))
        except Exception:  # noqa: BLE001  # it was not that one
            pass
    return b'\n'.join(forms)


def reflect(form, headers=(), method='GET', host=API):
    """What the server tells of the key it is shown, on a connection of its own."""
    s = tls(host)
    s.sendall(request('/open/reflect/' + form, host, method,
                      [('Authorization', 'Bearer ' + KEY), ('Connection', 'close'), *headers]))
    return unpack(rest(s)[0])


def h2(host=H2, first=()):
    """A connection of HTTP/2. Outside there is one server of it, whatever the name."""
    if OUTSIDE:
        sock, name = socket.create_connection(('127.0.0.1', h2_there), timeout=60), H2
    else:
        sock, name = connect(host), host
    return Client(tls_context('h2').wrap_socket(sock, server_hostname=name), host, first)


def fields(k, change=(), path='/open/x', method='GET', headers=()):
    """The head of a good request, with some fields in place of others, or none of them."""
    change = dict(change)
    head = [(n, change.pop(n, v)) for n, v in k.head(method, path, headers)]
    return [(n, v) for n, v in head if v is not None] + list(change.items())


def bad_head(head, host=H2, body=None, trailers=None):
    """Head as a function of the connection. What came of it."""
    k = h2(host)
    stream = k.stream()
    made = head(k)
    k.headers(stream, made, end=body is None and not trailers)
    if body is not None:
        k.data(stream, body, not trailers)
    if trailers:
        k.headers(stream, trailers, end=True)
    return outcome(k, stream)


def outcome(k, stream):
    if OUTSIDE:
        k.ping()
        return 'sent'
    m = k.answer(stream)
    return {'status': m.status, 'reset': m.reset, 'goaway': k.goaway, 'closed': k.closed}


def told(m):
    return repr([m.heads, m.trailers]) + bytes(m.body).decode('latin-1')


def flood(send, limit, first=()):
    """How many times of the limit the other side took it. One that takes it drop by drop, its window closed by the
    many small answers that nobody reads, has stopped too."""
    k = h2(first=first)
    sent, end = 0, time.monotonic() + 20
    try:
        k.get('/open/first')
        while sent < limit:
            if time.monotonic() > end:
                return {'sent': sent, 'ended': True}
            send(k, sent)
            sent += 1
        if not k.get('/open/last').status:
            return {'sent': sent, 'ended': True}
    except (OSError, EOFError):
        return {'sent': sent, 'ended': True}
    return {'sent': sent, 'ended': False}


def text_of(value):
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode('latin-1')
    if isinstance(value, (list, tuple)):
        return [text_of(v) for v in value]
    return value.dict() if isinstance(value, Answer) else value


out('ready')
for line in sys.stdin:
    order = json.loads(line)
    KEY, r = order['key'] or os.environ['KEY'], None
    try:
        exec(order['code'])
        r = text_of(r)
    except Exception as e:  # noqa: BLE001  # how an attack failed is a result
        r = {'error': type(e).__name__ + ': ' + str(e)}
    out(r)
