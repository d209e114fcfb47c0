# SPDX-License-Identifier: Apache-2.0
"""Speaks to the control socket of a sandbox byte by byte, as a hostile program inside would. Runs inside, standalone, with
VERSION before it (harness/wire.py)."""
import array
import errno
import socket
import struct
import time

PATH = '/run/nsbox/control'
HELLO, REPLY, CREATE, START, SIGNAL, DESTROY, EXIT, OPEN, INSPECT, POOL, CANCEL = 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12


def u32(*numbers):
    return struct.pack('<%dI' % len(numbers), *numbers)


def text(s):
    data = s if isinstance(s, bytes) else s.encode()
    return u32(len(data)) + data


def texts(words):
    return u32(len(words)) + b''.join(text(w) for w in words)


def new():
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(s, data, fds=()):
    # Descriptors on their way are counted for all processes of a user; other tests may send many.
    for tries in range(400):
        try:
            s.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else [])
            return
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS or tries == 399:
                raise
            time.sleep(0.02)


def hello(s=None):
    if s is None:
        s = new()
        s.connect(PATH)
    send(s, u32(HELLO, VERSION) + text('') + b'\0')
    return s


def start(s, argv, request=1, fds=(0, 1, 2), box='', flags=0, cwd='/', template='', env=('PATH=/usr/bin:/bin',), grant=b''):
    send(s, u32(START, request) + text(box) + texts(argv) + texts(list(env)) + text(cwd) + u32(flags, 24, 80) +
         struct.pack('<Q', 0) + text(grant) + text(template), fds)


def receive(s):
    """(type, rest) or None at the end."""
    try:
        data = s.recv(1 << 17)
    except (ConnectionResetError, BrokenPipeError):
        return None
    return (struct.unpack('<I', data[:4])[0], data[4:]) if data else None


def reply(s):
    """The text of an answer, or an exception with the error's message; None at the end of the connection."""
    while True:
        got = receive(s)
        if got is None:
            return None
        if got[0] == REPLY:
            break
    rest = got[1][4:]
    if rest[0]:
        raise RuntimeError(rest[1:].decode('utf-8', 'replace'))
    return rest[5:5 + struct.unpack('<I', rest[1:5])[0]].decode()


def exit_of(s):
    while True:
        got = receive(s)
        if got is None or got[0] == EXIT:
            return got


def is_closed(s):
    return receive(s) is None
