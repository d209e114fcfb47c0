#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""One side of the sibling proof: does what a line of JSON says, and answers with one. It runs in a call, on the host,
or below namespaces of its own; what it did is the same everywhere, so that each can be the control of the other."""
import ctypes
import errno
import fcntl
import json
import os
import resource
import select
import socket
import ssl
import struct
import subprocess
import sys
import time

from proof_inside_base import GATEWAY, KEPT, LIBC, Descriptor, name_of, system, talk, tcp_socket
from proof_inside_files import *  # noqa: F401,F403
from proof_inside_net import *    # noqa: F401,F403

NR_PIDFD_GETFD, NR_PIDFD_SIGNAL = 438, 424


# What a call has


def env(name):
    return os.environ.get(name)


def address():
    """The own one, without sending anything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((GATEWAY, 53))
        return s.getsockname()[0]


def descriptors():
    """Numbers and targets of all but the one that lists them."""
    found = {}
    for name in os.listdir('/proc/self/fd'):
        try:
            found[name] = os.readlink('/proc/self/fd/' + name)
        except OSError:
            pass
    return found


def lookup(host):
    return socket.gethostbyname(host)


# Requests


def request(sock, host, path, method='GET', headers=(), body=''):
    head = '%s %s HTTP/1.1\r\nHost: %s\r\n' % (method, path, host)
    head += ''.join('%s: %s\r\n' % tuple(h) for h in headers)
    if body:
        head += 'Content-Length: %d\r\n' % len(body)
    sock.sendall((head + '\r\n' + body).encode('latin-1'))
    return answer(sock)


def answer(sock):
    """Status and the reason of a refusal: '200', '403 grant', 'closed'."""
    data = b''
    while b'\r\n\r\n' not in data:
        part = sock.recv(65536)
        if not part:
            return 'closed'
        data += part
    head, _, body = data.partition(b'\r\n\r\n')
    lines = head.decode('latin-1').split('\r\n')
    fields = {k.lower(): v.strip() for k, _, v in (line.partition(':') for line in lines[1:])}
    left = int(fields.get('content-length', '0')) - len(body)
    while left > 0:
        part = sock.recv(65536)
        if not part:
            break
        left -= len(part)
    return ' '.join(w for w in (lines[0].split()[1], fields.get('x-nsbox-denied', '').split(';')[0]) if w)


def http(host, path='/', port=443, method='GET', headers=(), body='', at=None, tls=True):
    s = tcp_socket(8)
    s.connect((at or host, port))
    if tls:
        s = ssl.create_default_context().wrap_socket(s, server_hostname=host)
    named = host if port in (80, 443) else '%s:%d' % (host, port)
    return request(s, named, path, method, headers, body)


def tls_session(host, path, use):
    """A session of TLS into a file, or out of it: what openssl says of its resumption, and the answer's status."""
    words = ['openssl', 's_client', '-connect', host + ':443', '-servername', host, '-quiet', '-ign_eof', '-no_ticket'
             if use == 'none' else '-sess_out' if use == 'save' else '-sess_in'] + ([path] if use != 'none' else [])
    text = 'GET /session HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' % host
    done = subprocess.run(words, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
    first = done.stdout.split(b'\r\n')[0].split()
    return first[1].decode() if len(first) > 1 else 'closed'


# Sockets that are kept, given away and taken


def connect(name, host, port, text='', kind='tcp'):
    """A connection that is kept under a name; what came back for the text."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == 'udp' else socket.SOCK_STREAM)
    s.settimeout(60)
    KEPT[name] = s
    s.connect((host, port))
    return talk(name, text)


def hold(count, host, port):
    """As many connections as can be had at once."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    KEPT['held'] = held = []
    for _ in range(count):
        s = tcp_socket()
        try:
            s.connect((host, port))
            held.append(s)
        except OSError:
            s.close()
    return len(held)


def held():
    """How many of them the other side keeps."""
    gone = select.poll()
    for s in KEPT['held']:
        gone.register(s, select.POLLRDHUP)
    return len(KEPT['held']) - len(gone.poll(0))


def question(name):
    return (b'\x12\x34\1\0\0\1\0\0\0\0\0\0' + b''.join(
        bytes([len(x)]) + x.encode() for x in name.split('.')) + b'\0\0\1\0\1')


def ask(name, kind='udp'):
    """A question for the address of a name: how many answers came, or the code of the refusal."""
    text = question(name)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == 'udp' else socket.SOCK_STREAM) as s:
        s.settimeout(60)
        s.connect((GATEWAY, 53))
        s.sendall(text if kind == 'udp' else struct.pack('>H', len(text)) + text)
        got = s.recv(600)[0 if kind == 'udp' else 2:]
    if len(got) < 12:
        return 'closed'
    return got[3] & 15 and 'code %d' % (got[3] & 15) or got[7]


def ask_many(count, tail):
    """The code of the answer for the last of so many names."""
    answer = None
    for number in range(count):
        answer = ask('n%d.%s' % (number, tail))
    return answer


def kept_request(name, host, path='/', headers=(), body='', method='GET'):
    return request(KEPT[name], host, path, method, headers, body)


def make(name, kind):
    """Something that can be passed on."""
    if kind == 'tcp':
        KEPT[name] = tcp_socket()
    elif kind == 'listening':
        KEPT[name] = s = socket.create_server(('0.0.0.0', 0))
        s.settimeout(2)
        return s.getsockname()[1]
    elif kind == 'pidfd':
        KEPT[name] = Descriptor(os.pidfd_open(os.getpid()))
    else:
        KEPT[name] = Descriptor(os.open(kind, os.O_RDONLY))
    return 0


def kept_connect(name, host, port):
    KEPT[name].connect((host, port))
    return 'ok'


def kept_accept(name):
    c, peer = KEPT[name].accept()
    c.close()
    return peer[0]


def wait_at(path):
    """For who gives something there."""
    KEPT[path] = s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.bind(path)
    s.listen(4)
    return 'ok'


def give(name, path):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        end = time.monotonic() + 60
        while True:
            try:
                socket.send_fds(s, [b'x'], [KEPT[name].fileno()])
                return 'ok'
            except OSError as e:
                # Descriptors on their way are counted by user: other tests of it may have used them up for a while.
                if e.errno != errno.ETOOMANYREFS or time.monotonic() > end:
                    raise
            time.sleep(0.05)


def take(name, path):
    c, _ = KEPT[path].accept()
    fd = socket.recv_fds(c, 1, 1)[1][0]
    os.unlink(path)
    KEPT.pop(path).close()
    # Not fstat(), which is refused for another's directory in /proc.
    if os.readlink('/proc/self/fd/%d' % fd).startswith('socket:'):
        KEPT[name] = socket.socket(fileno=fd)
        KEPT[name].settimeout(4)
    else:
        KEPT[name] = Descriptor(fd)
    return 'ok'


def take_peer(path):
    """Who has come there; its number, as far as it has one here."""
    KEPT['peer'] = c = KEPT[path].accept()[0]
    return struct.unpack('3i', c.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def call_at(path):
    KEPT['to ' + path] = s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    return 'ok'


def read_kept(name):
    return KEPT[name].read()


def enter_kept(name):
    """setns() with a descriptor that somebody passed on."""
    if LIBC.setns(KEPT[name].fileno(), 0) < 0:
        raise OSError(ctypes.get_errno(), '')
    return 'ok'


def through_kept(name, path):
    """Opens below a directory that somebody passed on."""
    fd = os.open(path, os.O_RDONLY, dir_fd=KEPT[name].fileno())
    try:
        return os.read(fd, 4000).decode('latin-1')
    finally:
        os.close(fd)


def peer_process(what):
    """With the pidfd of who is at the other end (SO_PEERPIDFD, Linux 6.5): works where no number would."""
    fd = struct.unpack('i', KEPT['peer'].getsockopt(socket.SOL_SOCKET, 77, 4))[0]
    return with_pidfd(fd, what)


def kept_process(name, what):
    return with_pidfd(KEPT[name].fileno(), what)


def with_pidfd(fd, what):
    if what == 'signal':
        system(NR_PIDFD_SIGNAL, fd, 23, 0, 0)  # SIGURG, which nobody minds
    elif what == 'getfd':
        os.close(system(NR_PIDFD_GETFD, fd, 0, 0))
    elif what == 'setns':
        if LIBC.setns(fd, 0x40000000) < 0:
            raise OSError(ctypes.get_errno(), '')
    elif what == 'netns':
        os.close(fcntl.ioctl(fd, 0xff04))
    return 'ok'


def leave(mark, host, port, path):
    """A daemon that holds a connection, and the own placeholder in a file."""
    write(path, os.environ['KEY_B'])
    s = tcp_socket(8)
    s.connect((host, port))
    s.sendall(mark.encode())
    if s.recv(1) != b'y':
        return 'no connection'
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for fd in (0, 1, 2):
                os.close(fd)
            while True:
                try:
                    s.sendall(b'more')
                except OSError:
                    pass
                time.sleep(0.002)
        os._exit(0)
    return 'ok'


def serve():
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            result = {'got': globals()[name](*arguments)}
        except OSError as e:
            # Errors of TLS and time-outs have no errno, or one of OpenSSL's.
            known = e.errno if type(e) is not ssl.SSLError and e.errno in errno.errorcode else None
            result = {'error': name_of(known) if known else type(e).__name__, 'text': str(e)}
        except Exception as e:  # noqa: BLE001  # the other side judges
            result = {'error': type(e).__name__, 'text': str(e)}
        print(json.dumps(result), flush=True)


if __name__ == '__main__':
    serve()
