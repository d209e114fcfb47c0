#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One side of the sibling proof: does what a line of JSON says, and answers with one. It runs in a call, on the host,
or below namespaces of its own; what it did is the same everywhere, so that each can be the control of the other."""
import ctypes
import errno
import fcntl
import json
import os
import select
import socket
import ssl
import struct
import subprocess
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
AARCH64 = os.uname().machine == 'aarch64'
NR_KEYCTL = 219 if AARCH64 else 250
NR_ADD_KEY = 217 if AARCH64 else 248
NR_PIDFD_GETFD, NR_PIDFD_OPEN, NR_PIDFD_SIGNAL = 438, 434, 424
IP_TRANSPARENT, IP_FREEBIND, IP_PKTINFO, MSG_FASTOPEN = 19, 15, 8, 0x20000000
GATEWAY = '100.64.0.1'
KEPT = {}


class Descriptor:
    """One that is no socket and needs not be readable."""

    def __init__(self, fd):
        self.fd = fd

    def fileno(self):
        return self.fd

    def read(self):
        return os.pread(self.fd, 4000, 0).decode('latin-1')

    def __del__(self):
        os.close(self.fd)


def name_of(number):
    return errno.errorcode.get(number, str(number))


def system(number, *arguments):
    """A system call by its number; raises what errno says."""
    result = LIBC.syscall(number, *[a if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments])
    if result < 0:
        raise OSError(ctypes.get_errno(), '')
    return result


def tcp_socket(timeout=3):
    s = socket.socket()
    s.settimeout(timeout)
    return s


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


def http(host, path='/', port=443, method='GET', headers=(), body='', at=None, tls=True, keep=None):
    s = tcp_socket(8)
    s.connect((at or host, port))
    if tls:
        s = ssl.create_default_context().wrap_socket(s, server_hostname=host)
    named = host if port in (80, 443) else '%s:%d' % (host, port)
    got = request(s, named, path, method, headers, body)
    if keep:
        KEPT[keep] = s
    return got


def curl(*words):
    """By another client: the status it prints."""
    return subprocess.run(['curl', '-s', '-o', '/dev/null', '-m', '8', '-w', '%{http_code}', *words],
                          stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL).stdout


def tls_session(host, path, use):
    """A session of TLS into a file, or out of it: what openssl says of its resumption, and the answer's status."""
    words = ['openssl', 's_client', '-connect', host + ':443', '-servername', host, '-quiet', '-ign_eof', '-no_ticket'
             if use == 'none' else '-sess_out' if use == 'save' else '-sess_in'] + ([path] if use != 'none' else [])
    text = 'GET /session HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' % host
    done = subprocess.run(words, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=15)
    first = done.stdout.split(b'\r\n')[0].split()
    return first[1].decode() if len(first) > 1 else 'closed'


# Sockets that are kept, given away and taken


def connect(name, host, port, text='', kind='tcp'):
    """A connection that is kept under a name; what came back for the text."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == 'udp' else socket.SOCK_STREAM)
    s.settimeout(3)
    KEPT[name] = s
    s.connect((host, port))
    return talk(name, text)


def talk(name, text):
    if not text:
        return ''
    KEPT[name].sendall(text.encode('latin-1'))
    return KEPT[name].recv(65536).decode('latin-1') or 'closed'


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
    s.settimeout(5)
    s.bind(path)
    s.listen(4)
    return 'ok'


def give(name, path):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        socket.send_fds(s, [b'x'], [KEPT[name].fileno()])
    return 'ok'


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


# Other addresses, other ways


def own_device():
    return 'eth0' if os.path.exists('/sys/class/net/eth0') or has_link('eth0') else 'lo'


def has_link(name):
    try:
        socket.if_nametoindex(name)
        return True
    except OSError:
        return False


def bind_as(source, option=None, port=0):
    """A socket with another's address as its own, then a connection from there."""
    s = tcp_socket(2)
    if option:
        s.setsockopt(socket.IPPROTO_IP, option, 1)
    s.bind((source, port))
    KEPT['bound'] = s
    return 'ok'


def send_as(source, host, port, option):
    """A datagram whose source is in its control message; whether the kernel took it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.IPPROTO_IP, option, 1)
        info = struct.pack('i4s4s', 0, socket.inet_aton(source), socket.inet_aton('0.0.0.0'))
        s.sendmsg([b'question'], [(socket.IPPROTO_IP, IP_PKTINFO, info)], 0, (host, port))
    return 'ok'


def open_socket(kind, protocol=0):
    kinds = {'raw': (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
             'raw-tcp': (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP),
             'raw6': (socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6),
             'packet': (socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)),
             'packet-dgram': (socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)),
             'mptcp': (socket.AF_INET, socket.SOCK_STREAM, 262), 'mptcp6': (socket.AF_INET6, socket.SOCK_STREAM, 262)}
    socket.socket(*kinds[kind]).close()
    return 'ok'


def option(level, number, value):
    with socket.socket() as s:
        s.setsockopt(level, number, value.encode() if isinstance(value, str) else value)
    return 'ok'


def bound_to_device(device, host, port, text):
    s = tcp_socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b'\0')
    KEPT['device'] = s
    s.connect((host, port))
    return talk('device', text)


def fast_open(host, port, text):
    """The data goes with the first packet, before any connect() that a filter could see."""
    KEPT['fast'] = s = socket.socket()
    # Not Python's time-out, for which the socket would be non-blocking.
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 2, 0))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack('ll', 2, 0))
    s.sendto(text.encode(), MSG_FASTOPEN, (host, port))
    return 'ok'


def fast_open_connect(host, port, text):
    KEPT['fast'] = s = tcp_socket(2)
    s.setsockopt(socket.IPPROTO_TCP, 30, 1)
    s.connect((host, port))
    s.sendall(text.encode())
    return 'ok'


def attribute(kind, data):
    return struct.pack('HH', 4 + len(data), kind) + data + b'\0' * (-len(data) % 4)


def netlink(kind, body, flags=0):
    """A request to NETLINK_ROUTE, and what the kernel says."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        s.bind((0, 0))
        s.send(struct.pack('IHHII', 16 + len(body), kind, 1 | 4 | flags, 1, 0) + body)
        number, = struct.unpack_from('i', s.recv(8192), 16)
    if number:
        raise OSError(-number, '')
    return 'ok'


def configure(what, other=None):
    """Changes to the network of this call by netlink; 0x600 is NLM_F_CREATE | NLM_F_EXCL."""
    index = socket.if_nametoindex(own_device())
    four = socket.inet_aton(other or '192.0.2.77')
    link = struct.pack('BBHiII', 0, 0, 0, index, 0, 0)
    if what == 'address':
        return netlink(20, struct.pack('BBBBi', 2, 32, 0, 0, index) + attribute(2, four) + attribute(1, four), 0x600)
    if what == 'address-del':
        own = socket.inet_aton(other)
        return netlink(21, struct.pack('BBBBi', 2, 32, 0, 0, index) + attribute(2, own))
    if what == 'address6':
        six = socket.inet_pton(socket.AF_INET6, 'fe80::77')
        return netlink(20, struct.pack('BBBBi', 10, 64, 0, 0, index) + attribute(1, six), 0x600)
    if what == 'route':
        return netlink(24, struct.pack('BBBBBBBBI', 2, 32, 0, 0, 254, 4, 253, 1, 0) + attribute(1, four) +
                       attribute(4, struct.pack('i', index)), 0x600)
    if what == 'rule':
        return netlink(32, struct.pack('BBBBBBBBI', 2, 0, 0, 0, 254, 0, 0, 1, 0), 0x600)
    if what == 'neighbour':
        return netlink(28, struct.pack('BBHiHBB', 2, 0, 0, index, 0x80, 0, 0) + attribute(1, four) +
                       attribute(2, b'\2\0\0\0\0\7'), 0x600)
    if what == 'down':
        return netlink(16, struct.pack('BBHiII', 0, 0, 0, index, 0, 1))
    if what == 'hardware-address':
        return netlink(16, link + attribute(1, b'\2\0\0\0\0\7'))
    if what == 'move':
        return netlink(16, link + attribute(19, struct.pack('i', os.getpid())))
    if what == 'macvlan':
        kind = attribute(1, b'macvlan\0')
        return netlink(16, struct.pack('BBHiII', 0, 0, 0, 0, 0, 0) + attribute(5, struct.pack('i', index)) +
                       attribute(18, kind), 0x600)
    raise ValueError(what)


def ioctl_address(other):
    device = own_device().encode()
    sockaddr = struct.pack('HH4s8x', socket.AF_INET, 0, socket.inet_aton(other))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8916, struct.pack('16s16s', device + b':7', sockaddr))  # SIOCSIFADDR
    return 'ok'


def ioctl_arp(other):
    protocol = struct.pack('HH4s8x', socket.AF_INET, 0, socket.inet_aton(other))
    hardware = struct.pack('H6s8x', 1, b'\2\0\0\0\0\7')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8955, struct.pack('16s16si16s16s', protocol, hardware, 4, b'', own_device().encode()))
    return 'ok'


def socket_namespace():
    """SIOCGSKNS: the namespace of a socket as a descriptor."""
    with socket.socket() as s:
        os.close(fcntl.ioctl(s, 0x894c))
    return 'ok'


def link_local(host, port):
    """A connection by an IPv6 address of the own wire."""
    s = socket.socket(socket.AF_INET6)
    s.settimeout(1.5)
    s.connect((host, port, 0, socket.if_nametoindex(own_device())))
    return 'ok'


def links6():
    """The own IPv6 addresses, but for loopback."""
    try:
        with open('/proc/net/if_inet6') as f:
            return [line.split()[0] for line in f if line.split()[5] != 'lo']
    except OSError:
        return []


# Files, objects


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)
    return 'ok'


def read(path, size=100000):
    with open(path, errors='replace') as f:
        return f.read(size)


def put_into_pipe(path, text):
    """Without waiting for a reader: the text stays in it."""
    if not os.path.exists(path):
        os.mkfifo(path)
    KEPT[path] = Descriptor(os.open(path, os.O_RDWR))
    os.write(KEPT[path].fileno(), text.encode())
    return 'ok'


def out_of_pipe(path):
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(fd, 4000).decode()
    finally:
        os.close(fd)


def hard_link(source, target):
    os.link(source, target)
    return 'ok'


def rename(source, target):
    os.rename(source, target)
    return 'ok'


def times(path):
    s = os.stat(path)
    return [s.st_size, s.st_mtime_ns, s.st_atime_ns]


def lock(path):
    KEPT['lock ' + path] = f = open(path, 'a')
    fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return os.fstat(f.fileno()).st_ino


def watch(path):
    """inotify_add_watch() with everything that can be watched."""
    fd = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0 or LIBC.inotify_add_watch(fd, path.encode(), 0xfff) < 0:
        raise OSError(ctypes.get_errno(), '')
    KEPT['watch'] = fd
    return 'ok'


def watched():
    """Names of what has happened."""
    fd, found = KEPT['watch'], []
    while select.select([fd], [], [], 0.3)[0]:
        data, at = os.read(fd, 65536), 0
        while at < len(data):
            length, = struct.unpack_from('I', data, at + 12)
            found.append(data[at + 16:at + 16 + length].rstrip(b'\0').decode())
            at += 16 + length
    return found


def fanotify(flags):
    fd = LIBC.fanotify_init(flags, 0)
    if fd < 0:
        raise OSError(ctypes.get_errno(), '')
    os.close(fd)
    return 'ok'


def key_add(text):
    return system(NR_ADD_KEY, b'user', text.encode(), text.encode(), len(text), -3)  # of this session


def key_read(number):
    buffer = ctypes.create_string_buffer(100)
    if LIBC.syscall(NR_KEYCTL, 11, ctypes.c_long(number), buffer, 100) < 0:
        raise OSError(ctypes.get_errno(), '')
    return buffer.value.decode()


def own_number():
    return os.getpid()


def processes_seen():
    return sorted(int(n) for n in os.listdir('/proc') if n.isdigit())


def find_sockets(words):
    """Sockets of the runtime that can be seen or connected to: by the tables, by name, by path."""
    found = []
    for name in ('unix', 'tcp', 'udp', 'packet', 'netlink'):
        try:
            found += [line.strip() for line in read('/proc/net/' + name).splitlines()[1:]
                      if any(w in line for w in words)]
        except OSError:
            pass
    for word in words:
        for place in (word, '\0' + word):
            for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_UNIX, kind) as s:
                    try:
                        s.connect(place)
                        found.append(repr(place))
                    except OSError:
                        pass
    return found


def terminal():
    """An own one, and its name."""
    master, side = os.openpty()
    KEPT['master'], KEPT['side'] = master, side
    return os.ttyname(side)


def into_terminal(path, request=0x5412):
    """TIOCSTI: typed for who reads there."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        fcntl.ioctl(fd, request, b'x' * 64)
    finally:
        os.close(fd)
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
    if len(sys.argv) > 2 and sys.argv[1] == 'once':
        print(json.dumps(globals()[sys.argv[2]](*json.loads(sys.argv[3]))), flush=True)
    else:
        serve()
