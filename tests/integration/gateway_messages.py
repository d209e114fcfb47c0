#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway alone: secrets in the messages of WebSockets. The server is the oracle for what was sent; where the
sandbox has no secrets the same bytes arrive as they are. usage: gateway_messages.py BUILD_DIR [PATTERN]"""
import base64
import os
import select
import socket
import sys
import threading
import time
from urllib.parse import quote

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from gateway_world import World, equal, exchange, main, test  # noqa: E402  (enters the namespace)
from gateway_websocket import read_until, upgrade  # noqa: E402
from harness.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frames, frame  # noqa: E402

VALUE = 'sk-real-7f3a9c21e8b44d06a5'
ODD = 'a/b"c+d=e f%g\\h?ij0123456789'
SECRET = '[secret KEY]\nsource = env:KEY\nallow = https://api.test/**\ninject = %s\n%s'
MISUSE, BAD_FRAME = b'\x03\xf0nsbox: secret-misuse', b'\x03\xea'


class Socket:
    """A WebSocket to a server of the test that notes what it gets and says what it is told to."""

    def __init__(self, w, inject='header, body', more='', value=VALUE, secrets=None, extra='', agreed=b''):
        self.got, self.arrived, self.gone = [], threading.Condition(), False
        self.to_say, self.wake = [], socket.socketpair()
        w.origin.handler = lambda connection, request: self.serve(connection, agreed)
        if secrets is None:
            secrets = SECRET % (inject, more)
        while w.gateways:
            w.gateways.pop().stop()  # they would share the listening ports
        self.g = w.gateway('allow = api.test', secrets=secrets, values=[value] if secrets else [])
        self.c = self.g.call()
        self.placeholder = self.c.env.get('KEY', '')
        self.s = self.c.tls('api.test')
        self.s.sendall(upgrade('/socket', extra))
        head = read_until(self.s, b'\r\n\r\n')
        self.head, _, rest = head.partition(b'\r\n\r\n')
        self.frames = Frames(lambda: self.s.recv(65536), rest)

    def serve(self, connection, agreed):
        connection.send(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                        b'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n' + agreed + b'\r\n')
        frames = Frames(lambda: self.listen(connection), connection.buffer)
        try:
            while True:
                f = frames.frame()
                with self.arrived:
                    self.got.append(f)
                    self.arrived.notify_all()
        except (EOFError, OSError):
            with self.arrived:
                self.gone = True
                self.arrived.notify_all()
        return False

    def listen(self, connection):
        """One thread reads and writes: two of them would race for the state of TLS."""
        while True:
            with self.arrived:
                to_say, self.to_say = self.to_say, []
            for data in to_say:
                connection.send(data)
            if connection.sock.pending():
                return connection.fill()
            ready = select.select([connection.sock, self.wake[0]], [], [])[0]
            if self.wake[0] not in ready:
                return connection.fill()
            self.wake[0].recv(4096)

    def send(self, *parts):
        for p in parts:
            self.s.sendall(p)

    def say(self, *frames):
        """As the server."""
        with self.arrived:
            self.to_say += frames
        self.wake[1].send(b'x')

    def arrive(self, n):
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.got) >= n or self.gone, 60), self.got
        return self.got

    def messages(self, n):
        """The first n messages that the server got."""
        with self.arrived:
            done = [None]

            def look():
                out, text = [], b''
                for opcode, fin, masked, payload in self.got:
                    assert masked, 'a client masks'
                    if opcode >= CLOSE:
                        out.append((opcode, payload))
                        continue
                    assert (opcode == CONTINUATION) == bool(text and kind[0]), self.got
                    kind[0] = opcode or kind[0]
                    text += payload or b''
                    if fin:
                        out.append((kind[0], text))
                        text, kind[0] = b'', 0
                done[0] = out
                return len(out) >= n
            kind = [0]

            def fresh():
                kind[0] = 0
                return look()
            assert self.arrived.wait_for(fresh, 60), self.got
        return done[0]

    def refused(self, why):
        """The client is told, the server sees the end, and got nothing of it."""
        opcode, payload = self.frames.message()
        equal((opcode, payload.startswith(why)), (CLOSE, True), 'what the client is told: %r' % payload)
        with self.arrived:
            assert self.arrived.wait_for(lambda: self.gone, 60), 'the connection to the server goes on'


@test
def without_secrets_unread(w):
    """The negative control: bytes go on as they are, and extensions are agreed to."""
    k = Socket(w, secrets='', extra='Sec-WebSocket-Extensions: permessage-deflate\r\n',
               agreed=b'Sec-WebSocket-Extensions: permessage-deflate\r\n')
    equal(w.origin.requests[0].header('sec-websocket-extensions'), ['permessage-deflate'])
    assert b'permessage-deflate' in k.head, k.head
    k.send(frame('a', fin=False), frame('b', CONTINUATION))
    equal(k.arrive(2)[:2], [(TEXT, False, True, b'a'), (CONTINUATION, True, True, b'b')])
    k.say(frame('seen ' + VALUE, mask=False))
    equal(k.frames.message(), (TEXT, b'seen ' + VALUE.encode()))


@test
def value_goes_out_placeholder_comes_in(w):
    k = Socket(w, extra='Sec-WebSocket-Extensions: permessage-deflate\r\n')
    equal(w.origin.requests[0].header('sec-websocket-extensions'), [], 'offered extensions')
    for opcode in (TEXT, BINARY):
        k.send(frame('key=%s;' % k.placeholder, opcode))
    equal(k.messages(2), [(TEXT, b'key=%s;' % VALUE.encode()), (BINARY, b'key=%s;' % VALUE.encode())])
    equal([f[1] for f in k.got], [True, True], 'whole frames stay whole')
    use = [r for r in k.g.records if r['event'] == 'secret.use']
    equal([(r['name'], r['where']) for r in use], [('KEY', 'message')], 'records')
    forms = [VALUE, ''.join('%%%02x' % b for b in VALUE.encode()), ''.join('\\u%04x' % b for b in VALUE.encode())]
    for text in forms:
        k.say(frame('<' + text + '>', mask=False))
        opcode, got = k.frames.message()
        assert text.encode() not in got and got.startswith(b'<') and got.endswith(b'>'), got
    k.say(frame(VALUE, BINARY, mask=False))
    equal(k.frames.message(), (BINARY, k.placeholder.encode()))
    k.g.wait_record('secret.scrub', where='message')
    equal(len([r for r in k.g.records if r['event'] == 'secret.scrub']), 1, 'records')


@test
def recorded_before_it_goes(w):
    k = Socket(w)
    k.g.hold = True
    k.send(frame(k.placeholder), frame('next'))
    k.g.wait_record('secret.use', where='message')
    k.say(frame('downwards', mask=False))
    equal(k.frames.message(), (TEXT, b'downwards'), 'the other direction goes on')
    equal(k.got, [], 'what the server has before the record is written')
    k.g.release()
    equal(k.messages(2), [(TEXT, VALUE.encode()), (TEXT, b'next')])


@test
def no_record_no_value(w):
    k = Socket(w)
    k.g.fail_writes = True
    k.send(frame(k.placeholder))
    k.arrive(1)
    equal((k.got, k.gone), ([], True))


@test
def fragments_and_control_frames(w):
    """A byte in each frame, pings between, and everything in segments of its own."""
    k = Socket(w)
    text = 'a%sb%sc' % (k.placeholder, k.placeholder)
    for i, c in enumerate(text):
        k.send(frame(c, TEXT if i == 0 else CONTINUATION, fin=False))
        if i % 7 == 0:
            k.send(frame('p%d' % i, PING))
    k.send(frame('', CONTINUATION))
    got = k.messages(1 + (len(text) + 6) // 7)
    equal(got[-1], (TEXT, text.replace(k.placeholder, VALUE).encode()))
    equal([p for o, p in got if o == PING], [b'p%d' % i for i in range(0, len(text), 7)])
    text = 'a%sb%sc' % (VALUE, quote(VALUE, safe=''))
    for i, c in enumerate(text):
        raw = frame(c, TEXT if i == 0 else CONTINUATION, fin=i == len(text) - 1, mask=False)
        for byte in raw:
            k.say(bytes([byte]))
        if i % 7 == 3:
            k.say(frame(VALUE, PONG, mask=False))
    seen, pongs, fin = b'', 0, False
    while not fin:
        opcode, f, masked, payload = k.frames.frame()
        assert not masked
        if opcode == PONG:
            equal(payload, k.placeholder.encode())
            pongs += 1
        else:
            fin = f
            seen += payload
            assert VALUE.encode()[:9] not in seen.replace(k.placeholder.encode(), b''), seen
    equal(seen, b'a%sb%sc' % (k.placeholder.encode(), k.placeholder.encode()))
    assert pongs


@test
def frames_in_pieces(w):
    """What TCP or TLS makes of a frame is no end of it: all of it goes on, and a value in it is found."""
    k = Socket(w)
    whole = frame('x=%s;' % k.placeholder + 'y' * 300)
    for at in range(0, len(whole), 50):
        k.send(whole[at:at + 50])
        time.sleep(0.02)
    equal(k.messages(1), [(TEXT, ('x=%s;' % VALUE + 'y' * 300).encode())])
    answer = frame('<%s>' % VALUE + 'z' * 300, mask=False)
    for at in range(0, len(answer), 50):
        k.say(answer[at:at + 50])
        time.sleep(0.02)
    equal(k.frames.message(), (TEXT, ('<%s>' % k.placeholder + 'z' * 300).encode()))


@test
def long_messages(w):
    """In pieces, in bounded memory, and with values at any place."""
    k = Socket(w)
    text = ('x' * 16380 + k.placeholder) * 300
    done = threading.Thread(target=k.send, args=(frame(text),))
    done.start()
    equal(k.messages(1)[0][1] == text.replace(k.placeholder, VALUE).encode(), True)
    done.join()
    back = ('x' * 16375 + VALUE) * 300
    k.say(frame(back, BINARY, mask=False))
    equal(k.frames.message() == (BINARY, back.replace(VALUE, k.placeholder).encode()), True)


@test
def value_in_two_messages(w):
    """The end of it never arrives, whatever its form; what has only its beginning, or only its end, does."""
    half = len(VALUE) // 2
    escaped = ''.join('\\u%04x' % b for b in VALUE.encode())
    coded = base64.b64encode(('u:' + VALUE).encode()).decode()
    for parts in (['<' + VALUE[:half], VALUE[half:] + '>'], [VALUE[:1], VALUE[1:]], [VALUE[:-1], VALUE[-1:]],
                  [VALUE[:5], VALUE[5:9], VALUE[9:]], [escaped[:9], escaped[9:]], [coded[:17], coded[17:]],
                  [VALUE[:half], '', VALUE[half:]]):
        k = Socket(w)
        k.say(frame(parts[0], mask=False), frame('ping', PING, mask=False),
              *[frame(p, BINARY, mask=False) for p in parts[1:]])
        got = [k.frames.message() for _ in parts]
        equal(got, [(TEXT, parts[0].encode()), (PING, b'ping')] + [(BINARY, p.encode()) for p in parts[1:-1]], parts)
        k.refused(b'\x03\xf0nsbox: secret-cut')
        k.g.wait_record('secret.scrub', name='KEY', host='api.test', where='message')
        k.g.wait_record('http.request', reason='secret-cut')
    k = Socket(w)
    said = [VALUE[:half], 'x', VALUE[half:], VALUE[:half], VALUE[:half], VALUE[1:], 'x' + VALUE[:-1], 'y']
    k.say(*[frame(p, mask=False) for p in said], frame(VALUE, mask=False), frame(VALUE, mask=False))
    equal([k.frames.message() for _ in said], [(TEXT, p.encode()) for p in said])
    equal([k.frames.message() for _ in '12'], [(TEXT, k.placeholder.encode())] * 2)


@test
def value_in_two_messages_in_fragments(w):
    """Of the second one no fragment arrives that completes it."""
    k = Socket(w)
    k.say(frame('a' + VALUE[:10], fin=False, mask=False), frame(VALUE[10:12], CONTINUATION, mask=False),
          frame(VALUE[12:14], fin=False, mask=False), frame(VALUE[14:] + 'z', CONTINUATION, mask=False))
    equal(k.frames.message(), (TEXT, ('a' + VALUE[:12]).encode()))
    k.refused(b'\x03\xf0nsbox: secret-cut')


@test
def misuse(w):
    """Not where it may be in messages: the server gets none of it, in any form."""
    forms = [('raw', lambda p: p), ('percent', lambda p: ''.join('%%%02x' % b for b in p.encode())),
             ('json', lambda p: ''.join('\\u%04x' % b for b in p.encode())),
             ('base64', lambda p: base64.b64encode(b'x' + p.encode()).decode())]
    for name, form in forms:
        k = Socket(w, inject='header')
        k.send(frame('hello'), frame('<' + form(k.placeholder) + '>'), frame('later'))
        k.refused(MISUSE)
        equal([f[3] for f in k.got], [b'hello'], 'what the server got, ' + name)
        k.g.wait_record('secret.misuse', where='message', reason='place')
        k.g.wait_record('http.request', status=101, reason='secret-misuse')
    k = Socket(w, inject='header, body')
    k.send(frame(base64.b64encode(k.placeholder.encode())))
    k.refused(MISUSE)
    k = Socket(w)
    k.send(frame('x', fin=False), frame(k.placeholder[:10], CONTINUATION, fin=False), frame(k.placeholder, PING))
    k.refused(MISUSE)
    equal(b''.join(f[3] for f in k.got), b'x', 'what the server got')


@test
def misuse_of_another_call(w):
    k = Socket(w)
    other = k.g.call('c2', '100.64.0.3')
    k.send(frame(other.env['KEY']))
    k.refused(MISUSE)
    k.g.wait_record('secret.misuse', call='c1', reason='other-call')
    equal(k.got, [])


@test
def misuse_that_passes(w):
    k = Socket(w, inject='header', more='on_misuse = pass\n')
    k.send(frame(k.placeholder))
    equal(k.messages(1), [(TEXT, k.placeholder.encode())])
    k.g.wait_record('secret.misuse', where='message', reason='passed')


@test
def escaped_for_json(w):
    k = Socket(w, value=ODD)
    k.send(frame(' {"key": "%s"}' % k.placeholder), frame('[', fin=False), frame('"%s"]' % k.placeholder, CONTINUATION),
           frame('key %s' % k.placeholder))
    escaped = ODD.replace('\\', '\\\\').replace('"', '\\"')
    equal([m[1].decode() for m in k.messages(3)], [' {"key": "%s"}' % escaped, '["%s"]' % escaped, 'key ' + ODD])


@test
def close_frames(w):
    k = Socket(w)
    k.say(frame(b'\x03\xe8saw ' + VALUE.encode(), CLOSE, mask=False))
    equal(k.frames.message(), (CLOSE, b'\x03\xe8saw ' + k.placeholder.encode()))
    k.send(frame(b'\x03\xe8bye', CLOSE))
    equal(k.messages(1), [(CLOSE, b'\x03\xe8bye')])
    k.send(frame('after'))
    k.refused(BAD_FRAME)
    equal(len(k.got), 1)


@test
def frames_that_may_not_be(w):
    bad = [frame('x', mask=False), frame('x', reserved=4), frame('x', 3), frame('x', 11), frame('x', CONTINUATION),
           frame('x', fin=False) + frame('y'), frame('x', PING, fin=False), frame('x' * 126, PING), frame('x', length=16),
           frame('x' * 126, length=64), frame('x', CLOSE), b'\x81\xff\x80' + b'\0' * 11, b'GET / HTTP/1.1\r\n\r\n' * 2]
    for data in bad:
        k = Socket(w)
        k.send(frame('before'), data)
        k.refused(BAD_FRAME)
        assert b'y' not in b''.join(f[3] for f in k.got), k.got
        k.g.wait_record('http.request', reason='client-frame')
    for data in (frame('x'), frame('x', mask=False, reserved=4), frame('x', PONG, mask=False, length=16)):
        k = Socket(w)
        k.say(frame('before', mask=False), data)
        equal(k.frames.message(), (TEXT, b'before'))
        k.refused(BAD_FRAME)
        k.g.wait_record('http.request', reason='bad-frame')


@test
def extension_that_nobody_offered(w):
    w.origin.handler = lambda connection, request: connection.send(
        b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
        b'Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n')
    g = w.gateway('allow = api.test', secrets=SECRET % ('header', ''), values=[VALUE])
    status, headers, body = exchange(g.call().tls('api.test'), upgrade())
    equal((status, b'websocket-extension' in body), (502, True))


@test
def ends_of_a_connection(w):
    """The end of one direction is passed on behind everything that came before it."""
    k = Socket(w)
    k.send(frame('last %s' % k.placeholder))
    k.messages(1)
    k.s.unwrap().close()
    with k.arrived:
        assert k.arrived.wait_for(lambda: k.gone, 60)
    record = k.g.wait_record('http.request', path='/socket')
    equal((record['status'], record['reason']), (101, ''))


if __name__ == '__main__':
    main(World)
