# SPDX-License-Identifier: Apache-2.0
"""A closed world for one process and all that it starts: a network with nothing but loopback, on which every address of
the "internet" is, a resolver of its own, process ids of its own, and a tmpfs on /mnt. Nothing outside is touched, and all
of it goes with that process. Anybody can make one: an unprivileged user does it below a user namespace that maps him to himself."""
import array
import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess

LIBC = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUSER, NEWPID, NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, ATTR_RDONLY = 442, -100, 0x8000, 1
SIOCSIFADDR, SIOCSIFNETMASK, SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8916, 0x891c, 0x8913, 0x8914, 1
PR_SET_PDEATHSIG = 1
RTM_NEWROUTE, NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE = 24, 1, 4, 0x400
RT_TABLE_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL, RTA_DST, RTA_OIF, RTA_PREFSRC = 255, 3, 254, 2, 1, 4, 7

# Public to the eye of a gateway, which refuses what is private or reserved; here they lead nowhere else.
SERVERS, EVIL, METADATA = '44.0.0.1', '45.0.0.1', '169.254.169.254'


def call(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), '%s: %s' % (what, os.strerror(ctypes.get_errno())))


def mount(source, target, kind, flags, data=None):
    call(LIBC.mount(source and source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags),
                    data and data.encode()), 'mount ' + target)


def read_only(path, on=True):
    """For the mount at path; when it is made read-only, for all mounts below it too."""
    attributes = struct.pack('QQQQ', ATTR_RDONLY if on else 0, 0 if on else ATTR_RDONLY, 0, 0)
    call(LIBC.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, path.encode(), AT_RECURSIVE if on else 0, attributes,
                      len(attributes)), 'mount_setattr ' + path)


def unshare(flags):
    uid, gid = os.getuid(), os.getgid()
    if uid:
        flags |= NEWUSER
    call(LIBC.unshare(flags), 'unshare')
    if uid:
        for name, text in (('setgroups', 'deny'), ('uid_map', '%d %d 1' % (uid, uid)),
                           ('gid_map', '%d %d 1' % (gid, gid))):
            with open('/proc/self/' + name, 'w') as f:
                f.write(text)
    if flags & NEWNS:
        mount(None, '/', None, MS_REC | MS_PRIVATE)


def end_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def loopback(addresses):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        def request(name, number, payload):
            data = array.array('B', struct.pack('16s24s', name.encode(), payload))
            fcntl.ioctl(s, number, data)
            return data.tobytes()

        flags, = struct.unpack('H', request('lo', SIOCGIFFLAGS, b'')[16:18])
        request('lo', SIOCSIFFLAGS, struct.pack('H', flags | IFF_UP))
        for number, address in enumerate(addresses):
            for what, value in ((SIOCSIFADDR, address), (SIOCSIFNETMASK, '255.255.255.255')):
                request('lo:%d' % number, what, struct.pack('HH4s', socket.AF_INET, 0, socket.inet_aton(value)))


def foreign(address, source='127.0.0.1'):
    """In the world: a server may be at this address, but connections to it come from another. So it is none of the machine's
    own to somebody who asks the kernel, as a gateway does."""
    def attribute(kind, value):
        return struct.pack('HH', len(value) + 4, kind) + value
    route = struct.pack('8BI', socket.AF_INET, 32, 0, 0, RT_TABLE_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL, 0)
    route += attribute(RTA_DST, socket.inet_aton(address)) + attribute(RTA_PREFSRC, socket.inet_aton(source))
    route += attribute(RTA_OIF, struct.pack('I', socket.if_nametoindex('lo')))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        s.send(struct.pack('IHHII', 16 + len(route), RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, 1, 0) + route)
        error, = struct.unpack('i', s.recv(4096)[16:20])
    if error:
        raise OSError(-error, 'route to ' + address)


def go_on_as_init():
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
    end_with_parent()
    mount('proc', '/proc', 'proc', 0)


def enter(*disks):
    """Move this process, which must have one thread, into a world with these small disks below /mnt. What goes on is a
    child, with which everything in the world ends; the parent ends with its status."""
    unshare(NEWNET | NEWNS | NEWPID)
    go_on_as_init()
    loopback([SERVERS, EVIL, METADATA])
    mount('tmpfs', '/mnt', 'tmpfs', MS_NOSUID | MS_NODEV, 'size=96m,mode=755')
    for path in disks:
        os.mkdir(path)
        mount('tmpfs', path, 'tmpfs', MS_NOSUID | MS_NODEV, 'size=16m,mode=755')
    # A whole /etc, since its resolv.conf may be a link or not be there.
    os.mkdir('/mnt/etc')
    subprocess.run(['cp', '-a', '/etc/.', '/mnt/etc'], stderr=subprocess.DEVNULL)
    with contextlib.suppress(FileNotFoundError):
        os.unlink('/mnt/etc/resolv.conf')
    with open('/mnt/etc/resolv.conf', 'w') as f:
        f.write('nameserver 127.0.0.1\noptions timeout:2 attempts:2\n')
    mount('/mnt/etc', '/etc', None, MS_BIND)


def shield(writable):
    """Below an entered world, for what runs without a sandbox: a process-id space of its own, and everything read-only
    but these (directory, where it is to be). Returns in the child; the parent ends with its status."""
    unshare(NEWNS | NEWPID)
    read_only('/')
    for source, target in writable:
        mount(source, target, None, MS_BIND)
        read_only(target, False)
    go_on_as_init()
