# SPDX-License-Identifier: Apache-2.0
"""What proof_inside.py does with files, keys, watches, terminals and /proc."""
import ctypes
import fcntl
import os
import select
import socket
import struct

from proof_inside_base import KEPT, LIBC, Descriptor, system

AARCH64 = os.uname().machine == 'aarch64'
NR_KEYCTL = 219 if AARCH64 else 250
NR_ADD_KEY = 217 if AARCH64 else 248


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
