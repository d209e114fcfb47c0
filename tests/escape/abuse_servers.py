# SPDX-License-Identifier: Apache-2.0
"""Servers of the abuse table: an API that tells the key it was shown in every way that a server could, over HTTP/1 and
HTTP/2, and a resolver that answers everything."""
import base64
import codecs
import gzip
import json
import socket
import struct
import threading
import zlib
from urllib.parse import quote

import abuse_names
from harness.origin import Origin


def key_of(values):
    for value in values:
        kind, _, rest = value.partition(' ')
        if kind == 'Bearer':
            return rest
        if kind == 'Basic':
            return base64.b64decode(rest).decode('latin-1').partition(':')[2]
    return 'none'


def head(headers, status='200 OK'):
    return ('HTTP/1.1 %s\r\nConnection: close\r\n' % status + ''.join('%s: %s\r\n' % h for h in headers) + '\r\n').encode()


def body(data, *headers, status='200 OK'):
    data = data.encode() if isinstance(data, str) else data
    return head([('Content-Length', len(data)), *headers], status) + data


def chunks(data, size=1, trailers=b'', extension=b''):
    data = data.encode() if isinstance(data, str) else data
    cut = [data[i:i + size] for i in range(0, len(data), size)]
    return head([('Transfer-Encoding', 'chunked')]) + b''.join(
        b'%x%s\r\n%s\r\n' % (len(c), extension, c) for c in cut) + b'0\r\n' + trailers + b'\r\n'


def coded(coding, data, *headers):
    return body(data, ('Content-Encoding', coding), *headers)


def basic(key):
    return base64.b64encode(('user:' + key).encode()).decode()


def rot13(text):
    return codecs.encode(text, 'rot13')


# What is told, by the last part of the path. Each gives the bytes of the whole answer.
FORMS = {
    'body': lambda k: body('you sent ' + k),
    'header': lambda k: body('', ('X-Saw', k)),
    'header-basic': lambda k: body('', ('X-Saw', 'Basic ' + basic(k))),
    'header-name': lambda k: body('', ('X-' + k, '1')),
    'reason': lambda k: body('', status='200 ' + k),
    'location': lambda k: body('', ('Location', 'https://other.example.com/?k=' + k), status='302 Found'),
    'cookie': lambda k: body('', ('Set-Cookie', 'k=%s; Path=/' % k)),
    'link': lambda k: b'HTTP/1.1 103 Early Hints\r\nLink: </%s>; rel=preload\r\n\r\n' % k.encode() + body('late'),
    'continue': lambda k: b'HTTP/1.1 102 Processing\r\nX-Saw: %s\r\n\r\n' % k.encode() + body('late'),
    'trailer': lambda k: chunks('text', 4, b'X-Saw: %s\r\n' % k.encode()),
    'error-401': lambda k: body('bad key ' + k, ('WWW-Authenticate', 'Bearer error="%s"' % k), status='401 No'),
    'error-500': lambda k: body('Traceback: key=%r' % k, status='500 Oops'),
    'json': lambda k: body(json.dumps({'headers': {'Authorization': 'Bearer ' + k}}), ('Content-Type', 'application/json')),
    'json-unicode': lambda k: body('{"k": "%s"}' % ''.join('\\u%04x' % ord(c) for c in k)),
    'percent': lambda k: body('k=' + quote(k, safe='')),
    'percent-all': lambda k: body('k=' + ''.join('%%%02x' % ord(c) for c in k)),
    'base64': lambda k: body(basic(k)),
    'base64-1': lambda k: body(base64.b64encode(b'a' + k.encode())),
    'base64-2': lambda k: body(base64.b64encode(b'ab' + k.encode() + b'c')),
    'base64-url': lambda k: body(base64.urlsafe_b64encode(b'a' + k.encode()).rstrip(b'=')),
    'html': lambda k: body('<pre>%s</pre>' % k, ('Content-Type', 'text/html')),
    'twice': lambda k: body(k + k + k[:9] + k),
    'chunk-borders': lambda k: chunks('<' + k + '>'),
    'chunk-halves': lambda k: chunks('<' + k + '>', len(k) // 2 + 1),
    'chunk-extension': lambda k: chunks('text', 4, b'', b';k=' + k.encode()),
    'until-close': lambda k: head([]) + b'saw ' + k.encode() + b' to the end',
    'gzip': lambda k: coded('gzip', gzip.compress(('x' * 999 + k).encode())),
    'gzip-members': lambda k: coded('gzip', gzip.compress(k[:9].encode()) + gzip.compress(k[9:].encode())),
    'gzip-chunks': lambda k: chunks(gzip.compress(k.encode()), 3).replace(b'\r\nConn', b'\r\nContent-Encoding: gzip\r\nConn', 1),
    'deflate': lambda k: coded('deflate', zlib.compress(k.encode())),
    'gzip-twice': lambda k: coded('gzip, gzip', gzip.compress(gzip.compress(k.encode()))),
    'coding-unknown': lambda k: coded('x-rot13', rot13(k)),
    'coding-in-te': lambda k: head([('Transfer-Encoding', 'gzip')]) + gzip.compress(k.encode()),
    'coding-unasked': lambda k: coded('GZIP', gzip.compress(k.encode())),
    'events': lambda k: body('data: one\n\ndata: %s\n\n' % k, ('Content-Type', 'text/event-stream')),
    'split-answer': lambda k: body('first') + body('second ' + k),
    'multipart': lambda k: body('--b\r\n\r\n%s\r\n--b--\r\n' % k, ('Content-Type', 'multipart/mixed; boundary=b')),
}


def ranges(request, key):
    """A document that can be had in parts, with the key across their border."""
    text = b'0123456789' + key.encode() + b'0123456789'
    for value in request.header('range'):
        first, _, last = value.partition('=')[2].partition('-')
        part = text[int(first):int(last) + 1]
        return body(part, ('Content-Range', 'bytes %s-%d/%d' % (first, int(first) + len(part) - 1, len(text))),
                    status='206 Partial Content')
    return body(text, ('Accept-Ranges', 'bytes'))


def answer(connection, request):
    what = request.path.rpartition('/')[2]
    key = key_of(request.header('authorization'))
    if request.method == 'TRACE':
        connection.send(body(request.head))
    elif what == 'range':
        connection.send(ranges(request, key))
    elif what in FORMS and '/reflect/' in request.path:
        connection.send(FORMS[what](key))
    else:
        Origin.reply(connection, body='origin says hello\n')
        return None
    return False


def answer_h2(peer, m):
    """Over HTTP/2: the way by the path too."""
    stream, what = m.stream, (m.path or '').rpartition('/')[2]
    key = key_of([v for n, v, *_ in m.heads[0] if n == 'authorization'])
    text = ('you sent ' + key).encode()
    if what == 'header':
        peer.headers(stream, [(':status', '200'), ('x-saw', key)], end=True)
    elif what == 'frames':
        peer.headers(stream, [(':status', '200')])
        for i in range(len(text)):
            peer.data(stream, text[i:i + 1], i + 1 == len(text))
    elif what == 'trailer':
        peer.headers(stream, [(':status', '200')])
        peer.data(stream, b'text')
        peer.headers(stream, [('x-saw', key)], end=True)
    elif what == 'early':
        peer.headers(stream, [(':status', '103'), ('link', '</%s>' % key)])
        peer.headers(stream, [(':status', '200')], end=True)
    elif what == 'gzip':
        peer.headers(stream, [(':status', '200'), ('content-encoding', 'gzip')])
        peer.data(stream, gzip.compress(text), True)
    elif what == 'push':
        peer.send(b'\0\0\x06\5\4' + struct.pack('>II', stream, 2) + b'\x82\x84')
        peer.headers(stream, [(':status', '200')], end=True)
    else:
        peer.headers(stream, [(':status', '200'), ('content-length', str(len(text)))])
        peer.data(stream, text, True)


def close(connection, request):
    """Whoever asks again has to find the way again."""
    Origin.reply(connection, body='hello', headers=[('Connection', 'close')])
    return False


class Resolver:
    """Knows the names of abuse_names.py; answers any other question with one record of that kind."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(('127.0.0.1', 53))
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            query, whom = self.sock.recvfrom(4096)
            self.sock.sendto(self.answer(query), whom)

    @staticmethod
    def answer(query):
        labels, at = [], 12
        while at < len(query) and query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode('latin-1'))
            at += 1 + query[at]
        kind = struct.unpack('>H', query[at + 1:at + 3])[0]
        known = abuse_names.answer('.'.join(labels), kind)
        found, ttl = known or ([None], 60)
        packed = [b'\x0a\0\0\1' if a is None else
                  socket.inet_pton(socket.AF_INET6 if ':' in a else socket.AF_INET, a) for a in found]
        records = b''.join(b'\xc0\x0c' + query[at + 1:at + 5] + struct.pack('>IH', ttl, len(p)) + p for p in packed)
        end = at + 5 if known else len(query)
        return query[:2] + struct.pack('>HHHHH', 0x8180, 1, len(packed), 0, 0) + query[12:end] + records
