# SPDX-License-Identifier: Apache-2.0
"""What the parts of proof_inside.py share: things that are kept under a name, and calls of the system."""
import ctypes
import errno
import os
import socket

LIBC = ctypes.CDLL(None, use_errno=True)
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


def tcp_socket(timeout=20):
    s = socket.socket()
    s.settimeout(timeout)
    return s


def talk(name, text):
    if not text:
        return ''
    KEPT[name].sendall(text.encode('latin-1'))
    return KEPT[name].recv(65536).decode('latin-1') or 'closed'


def own_device():
    """The wire of a call or of the control; on the host, where nothing is changed, just one that is there."""
    return 'eth0' if 'eth0' in (name for _, name in socket.if_nameindex()) else 'lo'
