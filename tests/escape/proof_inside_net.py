# SPDX-License-Identifier: Apache-2.0
"""What proof_inside.py does to have another address or another way: sockets, options, netlink. All of it is refused in
a call, or changes nothing."""
import fcntl
import os
import socket
import struct

from proof_inside_base import KEPT, own_device, talk, tcp_socket

IP_PKTINFO, MSG_FASTOPEN = 8, 0x20000000


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


def open_socket(kind):
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
    """The own IPv6 addresses of the wire, but for those that are still being asked for (IFA_F_TENTATIVE)."""
    try:
        with open('/proc/net/if_inet6') as f:
            return [w[0] for w in map(str.split, f) if w[5] == own_device() and not int(w[4], 16) & 0x40]
    except OSError:
        return []
