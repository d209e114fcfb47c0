# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 peers for tests, frames written by hand: a client that may break every rule, and an origin that remembers what
it got."""
import socket
import struct
import threading

from . import hpack

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = 5, 6, 7, 8, 9
ENHANCE_YOUR_CALM = 11
PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
WINDOW = 65535


def frame(kind, flags=0, stream=0, payload=b''):
    return struct.pack('>I', len(payload))[1:] + struct.pack('>BBI', kind, flags, stream) + payload


def settings(*pairs):
    return frame(SETTINGS, payload=b''.join(struct.pack('>HI', k, v) for k, v in pairs))


class Message:
    """What came on one stream."""

    def __init__(self, stream):
        self.stream = stream
        self.heads = []        # interim ones, then the final one: [(name, value, representation)]
        self.trailers = None
        self.body = bytearray()
        self.ended = False
        self.reset = None      # code of RST_STREAM

    def fields(self):
        return self.heads[-1] if self.heads else []

    def get(self, name, fields=None):
        found = [v for n, v, *_ in (self.fields() if fields is None else fields) if n == name]
        return found[0] if found else None

    def names(self):
        return [n for n, *_ in self.fields()]

    @property
    def status(self):
        return int(self.get(':status') or 0)


class Peer:
    """Either side of one connection. Reads on demand, in the thread of whoever asks."""

    def __init__(self, sock):
        self.sock, self.buffer, self.decoder = sock, b'', hpack.Decoder()
        self.messages, self.goaway, self.closed = {}, None, False
        self.frames = []            # (type, flags, stream, length) of all that came
        self.open_windows = True    # give back what was received
        self.window, self.windows, self.initial = WINDOW, {}, WINDOW  # what may be sent
        self.lock = threading.RLock()

    def send(self, data):
        with self.lock:
            self.sock.sendall(data)

    def headers(self, stream, fields, flags=END_HEADERS, end=False):
        block = fields if isinstance(fields, bytes) else hpack.encode(fields)
        self.send(frame(HEADERS, flags | (END_STREAM if end else 0), stream, block))

    def data(self, stream, payload=b'', end=False):
        self.send(frame(DATA, END_STREAM if end else 0, stream, payload))

    def write(self, stream, payload, end=True):
        """DATA as the windows allow; reads meanwhile."""
        at = 0
        while at < len(payload):
            room = min(self.window, self.windows.get(stream, self.initial), 16384, len(payload) - at)
            if room <= 0:
                if not self.step():
                    return False
                if self.message(stream).reset is not None:
                    return False
                continue
            self.window -= room
            self.windows[stream] = self.windows.get(stream, self.initial) - room
            self.data(stream, payload[at:at + room], end and at + room == len(payload))
            at += room
        if not payload and end:
            self.data(stream, b'', True)
        return True

    def message(self, stream):
        return self.messages.setdefault(stream, Message(stream))

    def _exactly(self, n):
        while len(self.buffer) < n:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def read(self):
        """One frame, or None at the end of the connection."""
        try:
            head = self._exactly(9)
            length = struct.unpack('>I', b'\0' + head[:3])[0]
            payload = self._exactly(length)
        except (EOFError, ConnectionError, BrokenPipeError):
            self.closed = True
            return None
        except OSError as e:
            if isinstance(e, (socket.timeout, TimeoutError)):
                raise
            self.closed = True
            return None
        kind, flags, stream = struct.unpack('>BBI', head[3:])
        self.frames.append((kind, flags, stream, length))
        return kind, flags, stream, payload

    def step(self):
        """Read and act on one frame; False at the end of the connection."""
        got = self.read()
        if not got:
            return False
        kind, flags, stream, payload = got
        try:
            self.act(kind, flags, stream, payload)
        except (ConnectionError, OSError):
            pass  # what is there to be read is read first
        return True

    def end(self):
        """Read to the end of the connection: the code of GOAWAY, or None."""
        while self.step():
            pass
        return self.goaway

    def act(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack('>HI', payload[at:at + 6])
                if name == INITIAL_WINDOW_SIZE:
                    for s in self.windows:
                        self.windows[s] += value - self.initial
                    self.initial = value
            self.send(frame(SETTINGS, ACK))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self.goaway = struct.unpack('>I', payload[4:8])[0]
        elif kind == WINDOW_UPDATE:
            increment = struct.unpack('>I', payload)[0]
            if stream:
                self.windows[stream] = self.windows.get(stream, self.initial) + increment
            else:
                self.window += increment
        elif kind == RST_STREAM:
            m = self.message(stream)
            m.reset = struct.unpack('>I', payload)[0]
            self.on_reset(m)
        elif kind in (HEADERS, CONTINUATION):
            self._head(kind, flags, stream, payload)
        elif kind == DATA:
            self._payload(flags, stream, payload)

    def _head(self, kind, flags, stream, payload):
        if kind == HEADERS:
            self.block, self.block_flags = b'', flags
        self.block += payload
        if not flags & END_HEADERS:
            return
        m, fields = self.message(stream), self.decoder.decode(self.block)
        final = bool(m.heads) and (m.get(':status') or '200')[0] != '1'
        if final:
            m.trailers = fields
        else:
            m.heads.append(fields)
        self.on_head(m, final)
        if self.block_flags & END_STREAM:
            m.ended = True
            self.on_end(m)

    def _payload(self, flags, stream, payload):
        m = self.message(stream)
        size = len(payload)
        if flags & PADDED:
            payload = payload[1:len(payload) - payload[0]]
        m.body += payload
        if size and self.open_windows:
            self.send(frame(WINDOW_UPDATE, 0, 0, struct.pack('>I', size)))
            if not flags & END_STREAM:
                self.send(frame(WINDOW_UPDATE, 0, stream, struct.pack('>I', size)))
        self.on_data(m, payload)
        if flags & END_STREAM:
            m.ended = True
            self.on_end(m)

    def on_head(self, m, trailers):
        pass

    def on_data(self, m, payload):
        pass

    def on_end(self, m):
        pass

    def on_reset(self, m):
        pass


class Client(Peer):
    def __init__(self, sock, authority, first=()):
        super().__init__(sock)
        self.authority, self.next = authority, 1
        self.send(PREFACE + settings(*first))

    def head(self, method='GET', path='/', headers=(), authority=None, scheme='https'):
        return [(':method', method), (':scheme', scheme), (':authority', authority or self.authority), (':path', path),
                *headers]

    def stream(self):
        self.next += 2
        return self.next - 2

    def request(self, path='/', method='GET', headers=(), body=None, trailers=None, end=True, **kwargs):
        """The stream; body: bytes. With end=False the request stays open."""
        stream = self.stream()
        self.headers(stream, self.head(method, path, headers, **kwargs), end=end and body is None and not trailers)
        if body is not None:
            self.write(stream, body, end and not trailers)
        if trailers:
            self.headers(stream, trailers, end=True)
        return stream

    def answer(self, stream, until=None):
        """The message when it has ended, was reset, or the connection has; or when until(message) says so."""
        m = self.message(stream)
        while not (m.ended or m.reset is not None or (until and until(m))):
            if not self.step():
                break
        return m

    def get(self, path='/', **kwargs):
        return self.answer(self.request(path, **kwargs))

    def ping(self):
        """Everything sent so far has been looked at. False: the connection ended."""
        self.send(frame(PING, 0, 0, b'are-here'))
        while True:
            got = self.read()
            if not got:
                return False
            if got[0] == PING and got[1] & ACK:
                return True
            try:
                self.act(*got)
            except OSError:
                pass


class ServerPeer(Peer):
    def __init__(self, origin, sock, number):
        super().__init__(sock)
        self.origin, self.number, self.pouring = origin, number, {}

    def pour(self, stream, length):
        """So much payload and the end, as the windows open, while others are answered."""
        self.pouring[stream] = length
        self._pour()

    def _pour(self):
        for stream in list(self.pouring):
            while self.pouring[stream]:
                room = min(self.window, self.windows.get(stream, self.initial), 16384, self.pouring[stream])
                if room <= 0 or self.message(stream).reset is not None:
                    break
                self.window -= room
                self.windows[stream] = self.windows.get(stream, self.initial) - room
                self.pouring[stream] -= room
                self.data(stream, b'x' * room, not self.pouring[stream])
            if not self.pouring[stream]:
                del self.pouring[stream]

    def act(self, kind, flags, stream, payload):
        super().act(kind, flags, stream, payload)
        if kind in (WINDOW_UPDATE, SETTINGS):
            self._pour()

    def on_head(self, m, trailers):
        if not trailers:
            m.connection = self.number
            m.method, m.path = m.get(':method'), m.get(':path')
            with self.origin.lock:
                self.origin.requests.append(m)
            self.origin.on_head(self, m)

    def on_data(self, m, payload):
        self.origin.on_data(self, m, payload)

    def on_end(self, m):
        self.origin.on_end(self, m)


class Http2Origin:
    """Answers by path; on_head, on_data and on_end may be replaced: (connection, message)."""

    def __init__(self, context, first=(), **handlers):
        self.context, self.first = context, first
        context.set_alpn_protocols(['h2'])
        self.lock, self.requests, self.connections = threading.Lock(), [], []
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        for name, handler in handlers.items():
            setattr(self, name, handler)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        # A thread that waits in accept() would go on, with whatever gets the number of the descriptor next.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        sock.settimeout(60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock = self.context.wrap_socket(sock, server_side=True)
            with self.lock:
                peer = ServerPeer(self, sock, len(self.connections))
                self.connections.append(peer)
            if peer._exactly(len(PREFACE)) != PREFACE:
                return
            peer.send(settings(*self.first))
            while peer.step():
                pass
        except (OSError, EOFError, ValueError):
            pass
        finally:
            sock.close()

    def on_head(self, peer, m):
        if m.path == '/echo':
            peer.headers(m.stream, [(':status', '200')])

    def on_data(self, peer, m, payload):
        if m.path == '/echo' and payload:
            peer.data(m.stream, payload)

    def on_end(self, peer, m):
        s = m.stream
        if m.path == '/never':
            pass
        elif m.path == '/echo':
            peer.headers(s, [('x-count', str(len(m.body)))], end=True)
        elif m.path == '/early':
            peer.headers(s, [(':status', '103'), ('link', '</a.css>; rel=preload')])
            peer.headers(s, [(':status', '200'), ('content-length', '5')])
            peer.data(s, b'after', True)
        elif m.path == '/trailers-only':
            peer.headers(s, [(':status', '200'), ('content-type', 'application/grpc'), ('grpc-status', '5')], end=True)
        elif m.path == '/trailers':
            peer.headers(s, [(':status', '200')])
            peer.data(s, b'body')
            peer.headers(s, [('grpc-status', '0'), ('grpc-message', 'ok')], end=True)
        elif m.path.startswith('/big/'):
            peer.headers(s, [(':status', '200')])
            peer.pour(s, int(m.path[5:]))
        elif m.path == '/count':
            text = b'%d\n' % len(m.body)
            peer.headers(s, [(':status', '200'), ('content-length', str(len(text)))])
            peer.data(s, text, True)
        elif m.method == 'HEAD':
            peer.headers(s, [(':status', '200'), ('content-length', '19')], end=True)
        else:
            peer.headers(s, [(':status', '200'), ('content-length', '18')])
            peer.data(s, b'origin says hello\n', True)
