# SPDX-License-Identifier: Apache-2.0
"""Our parser of HTTP/1.1 against others: whatever it accepts as a message, they take for the same message, or refuse.

The others are node's (llhttp) and nghttpx with a server behind it. The corpus is made of good requests and of those of
test_hostile.py, each followed by another request, and of these changed by a seeded generator."""
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'integration'))

from harness.origin import Origin                  # noqa: E402
from harness.registry import TESTS, check, test, until  # noqa: E402

known = len(TESTS)
from test_hostile import REFUSED, H                # noqa: E402
del TESTS[known:]  # those have a layer of their own

NEXT = ('GET /next HTTP/1.1\r\n' + H + '\r\n').encode()
CHUNKED = 'Transfer-Encoding: chunked\r\n'
GOOD = [
    'GET /a?b=c HTTP/1.1\r\n' + H + '\r\n',
    'HEAD / HTTP/1.1\r\n' + H + 'Accept: */*\r\nX-Empty:\r\n\r\n',
    'OPTIONS * HTTP/1.1\r\n' + H + '\r\n',
    'GET http://api.example.com/x HTTP/1.1\r\n' + H + '\r\n',
    'DELETE /d HTTP/1.1\r\n' + H + 'Content-Length: 0\r\n\r\n',
    'POST /p HTTP/1.1\r\n' + H + 'Content-Length: 5\r\n\r\nhello',
    'PUT /p HTTP/1.1\r\nContent-Length:  5  \r\n' + H + 'X: a\tb\r\n\r\nhello',
    'POST /c HTTP/1.1\r\n' + H + CHUNKED + '\r\n5\r\nhello\r\n0\r\n\r\n',
    'POST /c HTTP/1.1\r\n' + H + CHUNKED + '\r\nA;x=y;z="q"\r\n0123456789\r\n001\r\n.\r\n0\r\nX-Trailer: 1\r\n\r\n',
    'POST /c HTTP/1.1\r\n' + H + 'transfer-encoding: Chunked\r\n\r\n1\r\na\r\n00\r\n\r\n',
    'POST /e HTTP/1.1\r\n' + H + 'Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc',
    'GET /close HTTP/1.1\r\n' + H + 'Connection: close\r\n\r\n',
    'GET /old HTTP/1.0\r\n' + H + '\r\n',
    'GET /old HTTP/1.0\r\n' + H + 'Connection: keep-alive\r\n\r\n',
    'GET /up HTTP/1.1\r\n' + H + 'Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
    '\r\nGET /blank HTTP/1.1\r\n' + H + '\r\n',
    'POST /two HTTP/1.1\r\n' + H + 'Content-Length: 4\r\n\r\nGET POST /three HTTP/1.1\r\n' + H + CHUNKED + '\r\n0\r\n\r\n',
    'GET /body HTTP/1.1\r\n' + H + 'Content-Length: 34\r\n\r\nGET /inner HTTP/1.1\r\nHost: x.com\r\n\r\n',
]
PIECES = [b'\r\n', b'\n', b'\r', b' ', b'\t', b':', b',', b';', b'0', b'1', b'5', b'\0', b'\x0b', b'\x80', b'"', b'chunked',
          b'identity', b'Content-Length: 5\r\n', b'Content-Length: 0\r\n', b'Transfer-Encoding: chunked\r\n', b'\r\n\r\n',
          b'0\r\n\r\n', b'Host: other.example.com\r\n', b'Connection: close\r\n', b'Connection: keep-alive\r\n',
          b'Expect: 100-continue\r\n', b'GET ', b' HTTP/1.1', b' HTTP/1.0', b'/', b'#', b'%', b'a', b'-', b'+', b'_', b'x',
          b'Upgrade: websocket\r\nConnection: Upgrade\r\n', NEXT]


def changed(rng, data, others):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
        at, what = rng.randrange(len(data) + 1), rng.randrange(7)
        if what <= 1:
            data[at:at] = rng.choice(PIECES)
        elif what == 2:
            del data[at:at + rng.choice((1, 1, 2, 8))]
        elif what == 3:
            data[at:at + 1] = bytes([rng.randrange(256)])
        elif what == 4:
            data[at:at + 1] = rng.choice(PIECES)
        elif what == 5:
            lines = bytes(data).split(b'\r\n')
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
            data = bytearray(b'\r\n'.join(lines))
        else:
            other = rng.choice(others)
            data[at:] = other[rng.randrange(len(other) + 1):]
    return bytes(data)


def corpus(number):
    """Always the same."""
    bases = [r.encode('latin-1') for r in GOOD] + [d.encode('latin-1') for _, d in REFUSED if len(d) < 4000]
    rng = random.Random(9112)
    streams = [b + NEXT for b in bases]
    # Good ones are changed more often: of what is bad already little is accepted afterwards.
    bases += bases[:len(GOOD)] * 20
    while len(streams) < number:
        streams.append(changed(rng, rng.choice(bases), bases) + NEXT)
    return streams


def run(command, streams):
    data = b''.join(struct.pack('<I', len(s)) + s for s in streams)
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=100)
    check(done.returncode == 0, '%r ended with %d: %r' % (command[0], done.returncode, done.stderr[-500:]))
    lines = done.stdout.decode().strip().split('\n')
    check(len(lines) == len(streams), '%d lines for %d streams' % (len(lines), len(streams)))
    return [json.loads(line) for line in lines]


def ours(t, streams):
    tool = os.path.join(os.path.dirname(t.prefix.rstrip('/')), 'build', 'tests', 'interop', 'http1_messages')
    if not os.access(tool, os.X_OK):
        t.skip('the build directory is not beside the prefix')
    return run([tool], streams)


def path_of(target):
    """Without scheme and authority of the absolute form."""
    if not target.startswith('/'):
        target = re.sub(r'^[a-z]+://[^/?]*', '', target)
        if target[:1] in ('', '?'):
            target = '/' + target
    return target


def compare(name, streams, mine, theirs, refused):
    """theirs: the messages for each stream; refused: that it said so, or None where that cannot be known."""
    accepted = differences = 0
    for stream, a, b, bad in zip(streams, mine, theirs, refused):
        accepted += len(a)
        for i, message in enumerate(a):
            if i >= len(b):
                if not bad:
                    differences += 1
                    print('%s waits for more of message %d of %r: ours %r, its %r' % (name, i, stream, a, b))
                break
            if bad and i + 1 == len(b) and message[2].startswith(b[i][2]):
                break  # refused in its body, of which some had gone on
            if [b[i][0], path_of(b[i][1]), b[i][2]] != message:
                differences += 1
                print('%s takes message %d of %r for another: ours %r, its %r' % (name, i, stream, a, b))
                break
    print('%d streams, %d messages accepted by ours, %d differences to %s' % (len(streams), accepted, differences, name))
    check(accepted > len(streams) // 4, 'too little was accepted to compare: %d' % accepted)
    check(not differences, '%d differences' % differences)


@test(timeout=120)
def node(t):
    if subprocess.run(['sh', '-c', 'command -v node'], stdout=subprocess.DEVNULL).returncode:
        t.skip('node is not installed')
    streams = corpus(10000)
    mine = ours(t, streams)
    answers = run(['node', os.path.join(HERE, 'http1_node.js')], streams)
    compare('node', streams, mine, [a['messages'] for a in answers], [a['refused'] for a in answers])


@test(timeout=120)
def nghttpx(t):
    """Its front end reads the stream, the server behind it shows what it took for messages."""
    if not os.access('/usr/sbin/nghttpx', os.X_OK):
        t.skip('nghttpx is not installed')
    origin = Origin()
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    proxy = subprocess.Popen(['/usr/sbin/nghttpx', '--conf=/dev/null', '-f127.0.0.1,%d;no-tls' % port,
                              '-b127.0.0.1,%d' % origin.port, '--workers=1', '--no-ocsp', '--accesslog-file=/dev/null',
                              '--errorlog-file=/dev/null', '--add-x-forwarded-for', '--strip-incoming-x-forwarded-for'],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: reachable(port), 60, 'nghttpx does not listen')
        streams = corpus(1000)
        refused = [through(port, i, s) for i, s in enumerate(streams)]
        # Answers may overtake what the server notes of its requests.
        until(lambda: len(origin.requests) == (time.sleep(2), len(origin.requests))[1], 60)
        theirs = [[] for _ in streams]
        for r in origin.requests:
            theirs[number_of(r.header('x-forwarded-for')[0])].append([r.method, r.target, r.body.hex()])
        compare('nghttpx', streams, ours(t, streams), theirs, refused)
    finally:
        proxy.kill()
        proxy.wait()


def source_of(number):
    """Each stream comes from an address of its own, which the proxy tells the server."""
    return '127.3.%d.%d' % (number // 250, number % 250 + 1)


def number_of(address):
    a, b = address.split('.')[2:]
    return int(a) * 250 + int(b) - 1


def reachable(port):
    try:
        socket.create_connection(('127.0.0.1', port), 10).close()
        return True
    except OSError:
        return False


def through(port, number, stream):
    """Whether the proxy refused a message, or took it for itself."""
    answer = b''
    with socket.create_connection(('127.0.0.1', port), 60, (source_of(number), 0)) as s:
        try:
            s.sendall(stream)
            s.shutdown(socket.SHUT_WR)
            while True:
                part = s.recv(65536)
                if not part:
                    break
                answer += part
        except OSError:
            pass
    return bool(re.search(rb'HTTP/1\.1 ([45]|101)', answer)) or not answer
