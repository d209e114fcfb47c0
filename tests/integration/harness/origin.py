# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 origin servers on loopback that remember exactly the bytes they received.

The parser is deliberately simple: what the gateway sends has to be unambiguous, and `raw` shows what it really was."""
import base64
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from urllib.parse import parse_qs, unquote, urlsplit

RAW_LIMIT = 1 << 20
BODY_LIMIT = 1 << 20


class Request:
    def __init__(self):
        self.method = self.target = self.version = ''
        self.head = b''          # request line and headers as received
        self.headers = []        # (name as received, value)
        self.body = b''          # the first BODY_LIMIT bytes
        self.body_length = 0
        self.trailers = []
        self.connection = 0
        self.body_waited = False  # nothing of the body had arrived before 100 Continue was sent

    def header(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    @property
    def path(self):
        return self.target.split('?', 1)[0]

    @property
    def query(self):
        return self.target.split('?', 1)[1] if '?' in self.target else ''


class Connection:
    """One accepted connection: reading with a record of the raw bytes."""

    def __init__(self, sock, number):
        self.sock = sock
        self.number = number
        self.raw = bytearray()
        self.buffer = b''

    def fill(self, size=262144):
        data = self.sock.recv(size)
        if len(self.raw) < RAW_LIMIT:
            self.raw += data[:RAW_LIMIT - len(self.raw)]
        return data

    def line(self):
        while b'\n' not in self.buffer:
            data = self.fill()
            if not data:
                if self.buffer:
                    raise ConnectionError('end inside a line')
                return b''
            self.buffer += data
        end = self.buffer.index(b'\n') + 1
        line, self.buffer = self.buffer[:end], self.buffer[end:]
        return line

    def some(self, most):
        if not self.buffer:
            self.buffer = self.fill()
            if not self.buffer:
                raise ConnectionError('end inside a body')
        data, self.buffer = self.buffer[:most], self.buffer[most:]
        return data

    def send(self, data):
        self.sock.sendall(data)


class Origin:
    """handler(connection, request) answers; the default is Origin.answer(), chosen by path."""

    def __init__(self, context=None, handler=None, idle=60, address=('127.0.0.1', 0)):
        self.context = context
        self.handler = handler or self.answer
        self.idle = idle
        self.lock = threading.Lock()
        self.requests = []
        self.connections = []
        self.tls_failures = 0
        self.accepted = 0
        self.listener = socket.create_server(address, family=socket.AF_INET6 if ':' in address[0] else socket.AF_INET,
                                             backlog=2048)
        self.port = self.listener.getsockname()[1]
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    def close(self):
        """The thread has to be gone before the descriptor: about to accept, it would do that on the next origin's, which
        gets the same number."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.acceptor.join()
        self.listener.close()

    @property
    def raw(self):
        """Everything received over all connections, after TLS."""
        with self.lock:
            return b''.join(bytes(c.raw) for c in self.connections)

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.accepted += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        sock.settimeout(self.idle)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context:
            try:
                sock = self.context.wrap_socket(sock, server_side=True)
            except (OSError, ValueError):
                with self.lock:
                    self.tls_failures += 1
                sock.close()
                return
        with self.lock:
            connection = Connection(sock, len(self.connections))
            self.connections.append(connection)
        try:
            while True:
                request = self._read(connection)
                if request is None or self.handler(connection, request) is False:
                    break
        except (OSError, ValueError, ConnectionError):
            pass
        finally:
            try:
                if self.context:
                    sock.unwrap()
            except (OSError, ValueError):
                pass
            sock.close()

    def _read(self, connection):
        request = Request()
        request.connection = connection.number
        line = connection.line()
        if not line:
            return None
        request.head = line
        request.method, request.target, request.version = line.decode('latin-1').rstrip('\r\n').split(' ', 2)
        request.headers = self._headers(connection, request)
        with self.lock:
            self.requests.append(request)
        if any(v.lower() == '100-continue' for v in request.header('expect')):
            if request.path == '/refuse-expect':
                return request
            time.sleep(0.3)
            connection.sock.settimeout(0.05)
            try:
                connection.buffer += connection.fill()
            except (TimeoutError, ssl.SSLWantReadError, ssl.SSLError):
                pass
            request.body_waited = not connection.buffer
            connection.sock.settimeout(self.idle)
            connection.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        self._body(connection, request)
        return request

    @staticmethod
    def _headers(connection, request=None):
        headers = []
        while True:
            line = connection.line()
            if request is not None:
                request.head += line
            line = line.decode('latin-1').rstrip('\r\n')
            if not line:
                return headers
            name, _, value = line.partition(':')
            headers.append((name, value.strip()))

    def _body(self, connection, request):
        def keep(data):
            request.body_length += len(data)
            if len(request.body) < BODY_LIMIT:
                request.body += data[:BODY_LIMIT - len(request.body)]

        if any('chunked' in v.lower() for v in request.header('transfer-encoding')):
            while True:
                size = int(connection.line().split(b';')[0], 16)
                if size == 0:
                    request.trailers = self._headers(connection)
                    return
                while size:
                    data = connection.some(size)
                    keep(data)
                    size -= len(data)
                connection.line()
        left = int((request.header('content-length') or ['0'])[0])
        while left > 0:
            data = connection.some(left)
            keep(data)
            left -= len(data)

    @staticmethod
    def reply(connection, status='200 OK', body=b'', headers=()):
        if isinstance(body, str):
            body = body.encode()
        head = 'HTTP/1.1 %s\r\nContent-Length: %d\r\n' % (status, len(body))
        head += ''.join('%s: %s\r\n' % h for h in headers) + '\r\n'
        connection.send(head.encode('latin-1') + body)

    def answer(self, connection, request):
        query = {k: v[0] for k, v in parse_qs(request.query).items()}
        name = request.path.strip('/').split('/')[0].replace('-', '_')
        method = getattr(self, 'do_' + name, None)
        if method:
            return method(connection, request, query)
        return self.reply(connection, body='' if request.method == 'HEAD' else 'origin says hello\n')

    def do_refuse_expect(self, connection, request, query):
        self.reply(connection, '417 Expectation Failed', 'no\n', [('Connection', 'close')])
        return False

    def do_status(self, connection, request, query):
        self.reply(connection, query.get('line', '204 No Content'), 'status body\n')

    def do_count(self, connection, request, query):
        self.reply(connection, body='%d\n' % request.body_length)

    def do_headers(self, connection, request, query):
        self.reply(connection, body=json.dumps([n for n, _ in request.headers]))

    def do_redirect(self, connection, request, query):
        self.reply(connection, '302 Found', '', [('Location', query['to'])])

    def do_slow(self, connection, request, query):
        time.sleep(float(query.get('seconds', '1')))
        self.reply(connection, body='late\n')

    def do_chunked(self, connection, request, query):
        connection.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n'
                        b'6\r\nfirst \r\n7\r\nsecond \r\n5\r\nthird\r\n0\r\nX-Sum: 42\r\n\r\n')

    def do_until_close(self, connection, request, query):
        connection.send(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall until the end\n')
        return False

    def do_cut(self, connection, request, query):
        """A body shorter than announced, then a reset: the client must be able to tell."""
        connection.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this')
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        return False

    def do_split(self, connection, request, query):
        """A hostile answer: two lengths that differ."""
        connection.send(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!')

    def do_events(self, connection, request, query):
        connection.send(b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n')
        for number in range(int(query.get('n', '5'))):
            event = b'data: %d %.3f\n\n' % (number, time.time())
            connection.send(b'%x\r\n%s\r\n' % (len(event), event))
            time.sleep(float(query.get('every', '0.3')))
        connection.send(b'0\r\n\r\n')

    def do_big(self, connection, request, query):
        left = int(query['bytes'])
        connection.send(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % left)
        block = bytes(1 << 20)
        while left:
            part = min(left, len(block))
            connection.send(block[:part])
            left -= part


def git_handler(root, user, password):
    """Answer as a smart-HTTP git server behind Basic authentication, through `git http-backend`."""
    want = 'Basic ' + base64.b64encode(('%s:%s' % (user, password)).encode()).decode()

    def handler(connection, request):
        if request.header('authorization') != [want]:
            Origin.reply(connection, '401 Unauthorized', 'who are you?\n',
                         [('WWW-Authenticate', 'Basic realm="git"')])
            return
        parts = urlsplit(request.target)
        env = {'PATH': os.environ.get('PATH', '/usr/bin:/bin'), 'GIT_PROJECT_ROOT': root, 'GIT_HTTP_EXPORT_ALL': '1',
               'GIT_CONFIG_NOSYSTEM': '1', 'HOME': root, 'GIT_CONFIG_COUNT': '1',
               'GIT_CONFIG_KEY_0': 'safe.directory', 'GIT_CONFIG_VALUE_0': '*',
               'REQUEST_METHOD': request.method, 'PATH_INFO': unquote(parts.path), 'QUERY_STRING': parts.query,
               'REMOTE_USER': user, 'REMOTE_ADDR': '127.0.0.1', 'SERVER_PROTOCOL': 'HTTP/1.1',
               'CONTENT_TYPE': (request.header('content-type') or [''])[0],
               'HTTP_CONTENT_ENCODING': (request.header('content-encoding') or [''])[0],
               'GIT_PROTOCOL': (request.header('git-protocol') or [''])[0],
               'CONTENT_LENGTH': str(request.body_length)}
        done = subprocess.run(['git', 'http-backend'], input=request.body, env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=60)
        head, _, body = done.stdout.partition(b'\r\n\r\n')
        headers = [tuple(line.split(': ', 1)) for line in head.decode('latin-1').split('\r\n') if ': ' in line]
        status = dict(headers).get('Status', '200 OK')
        Origin.reply(connection, status, body, [h for h in headers if h[0] not in ('Status', 'Content-Length')])

    return handler


def git_repository(directory):
    """A bare repository acme/app.git with one commit. Returns the project root."""
    root = os.path.join(directory, 'git-root')
    source = os.path.join(directory, 'git-source')
    env = {'PATH': os.environ.get('PATH', '/usr/bin:/bin'), 'HOME': directory, 'GIT_CONFIG_NOSYSTEM': '1',
           'GIT_AUTHOR_NAME': 'A', 'GIT_AUTHOR_EMAIL': 'a@example.com', 'GIT_COMMITTER_NAME': 'A',
           'GIT_COMMITTER_EMAIL': 'a@example.com'}

    def git(*args):
        subprocess.run(['git', *args], check=True, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=60)

    git('init', '-q', '-b', 'main', source)
    with open(os.path.join(source, 'README'), 'w') as f:
        f.write('the application\n')
    git('-C', source, 'add', 'README')
    git('-C', source, 'commit', '-q', '-m', 'Start')
    git('clone', '-q', '--bare', source, os.path.join(root, 'acme', 'app.git'))
    git('-C', os.path.join(root, 'acme', 'app.git'), 'config', 'http.receivepack', 'true')
    return root


class TcpListener:
    """Counts connections and keeps what came: an oracle for what must not arrive."""

    def __init__(self, address='127.0.0.1', greeting=b''):
        self.accepted = 0
        self.received = b''
        self.greeting = greeting
        self.listener = socket.create_server((address, 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            sock, _ = self.listener.accept()
            self.accepted += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        sock.settimeout(60)
        try:
            sock.sendall(self.greeting)
            while True:
                data = sock.recv(65536)
                if not data:
                    break
                self.received += data
                if self.greeting:
                    sock.sendall(data)
        except OSError:
            pass
        sock.close()


class UdpListener:
    def __init__(self, address='127.0.0.1'):
        self.received = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            data, _ = self.sock.recvfrom(65536)
            self.received.append(data)
