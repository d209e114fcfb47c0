# SPDX-License-Identifier: Apache-2.0
"""Cases of the sibling proof about the address by which the gateway knows a call: forged, added, or gone around, and
about namespaces and processes that were passed on. The control has the capabilities that a call lacks."""
import socket

import host
from proof_cases import NO, case, worked
from proof_room import A, B, Void, check, equal
from proof_wire import denied, hand_over, may, new_path

IP_FREEBIND, IP_TRANSPARENT, SO_MARK = 15, 19, 36
ELSEWHERE = '192.0.2.9'


def control(agent, name, *arguments, also=()):
    """Something that has to work where the right is there; that it has been done before is as good."""
    token = agent.token(name, *arguments)
    if token not in ('ok', 'EEXIST', *also) and not isinstance(token, (int, list)):
        raise Void('%s %r gave %s' % (name, arguments, token))


def as_sibling(room, p, path):
    """After an attempt: whether a request or connection was taken for the sibling's."""
    return [r for event in ('http.request', 'http.deny', 'net.allow', 'net.deny', 'dns.query')
            for r in room.records(event, call=p.two.id) if path in (r.get('path'), r.get('host'))]


def all_refused(room, p, attempts, apart=True):
    """Each of them works in the control and not in the call."""
    other = room.own_namespaces() if apart else room.outside
    wrong = []
    for name, *arguments in attempts:
        control(other, name, *arguments)
        if not p.one.refused(name, *arguments):
            wrong.append((name, arguments))
    return worked(wrong)


@case(NO, NO, 'the sibling\'s address as the source: bind, IP_FREEBIND, IP_TRANSPARENT')
def forged_source(room, p):
    apart, address, at = room.own_namespaces(), p.two('address'), p.one('lookup', B)
    control(apart, 'bind_as', address, IP_TRANSPARENT)
    # Nobody is there, but the packets leave.
    control(apart, 'kept_connect', 'bound', ELSEWHERE, 443, also=('TimeoutError', 'EHOSTUNREACH'))
    before = len(room.b.requests), room.b.accepted
    reached = []
    for option in (None, IP_FREEBIND, IP_TRANSPARENT):
        for port in (443, 80):
            if p.one.token('bind_as', address, option) == 'ok' and not p.one.refused('kept_connect', 'bound', at, port):
                reached.append((option, port))
    may(p.two('http', B, new_path()), 'the sibling goes on')
    return worked(reached or len(room.b.requests) != before[0] + 1)


@case(NO, NO, 'a datagram with the sibling\'s address as its source (IP_PKTINFO)')
def forged_datagram(room, p):
    address = p.two('address')
    control(room.own_namespaces(), 'send_as', address, ELSEWHERE, 53, IP_TRANSPARENT)
    return worked(not all(p.one.refused('send_as', address, '100.64.0.1', 53, option)
                          for option in (IP_FREEBIND, IP_TRANSPARENT)))


@case(NO, NO, 'raw sockets, IPv4 and IPv6')
def raw_socket(room, p):
    return all_refused(room, p, [('open_socket', kind) for kind in ('raw', 'raw-tcp', 'raw6')])


@case(NO, NO, 'packet sockets: to write frames, and to read the sibling\'s')
def packet_socket(room, p):
    return all_refused(room, p, [('open_socket', kind) for kind in ('packet', 'packet-dgram')])


@case(NO, NO, 'the sibling\'s address as a second one on eth0 (RTM_NEWADDR, SIOCSIFADDR), the own one removed')
def second_address(room, p):
    address = p.two('address')
    control(room.own_namespaces(), 'configure', 'address', address)
    result = worked(not p.one.refused('configure', 'address', address) or not p.one.refused('ioctl_address', address) or
                    not p.one.refused('configure', 'address-del', p.one('address')))
    control(room.own_namespaces(), 'ioctl_address', '192.0.2.3')
    control(room.own_namespaces(), 'configure', 'address-del', address)
    path = new_path()
    may(p.one('http', A, path), 'the caller goes on')
    equal([r['call'] for r in room.soon('net.allow', path=path)], [p.one.id], 'whose request it is')
    return result


@case(NO, NO, 'routes and rules (RTM_NEWROUTE, RTM_NEWRULE)')
def changed_routes(room, p):
    return all_refused(room, p, [('configure', 'route', p.two('address')), ('configure', 'rule')])


@case(NO, NO, 'neighbours and hardware addresses (ARP, ND): there is no ARP on the wire')
def neighbours(room, p):
    address = p.two('address')
    return all_refused(room, p, [('configure', 'neighbour', address), ('ioctl_arp', address),
                                 ('configure', 'hardware-address')])


@case(NO, NO, 'other devices: macvlan on eth0, eth0 down, eth0 moved')
def devices(room, p):
    macvlan = [] if room.own_namespaces().refused('configure', 'macvlan') else [('macvlan',)]
    result = worked([k for k in ('macvlan', 'down', 'move') if not p.one.refused('configure', k)])
    # The control of what is not to be broken for the other cases: down and move would end its network.
    if not macvlan:
        control(room.own_namespaces(), 'configure', 'route', '192.0.2.78')
    return result


@case(NO, NO, 'IPv6: a link-local address, and the sibling or gateway by one')
def link_local(room, p):
    apart = room.own_namespaces()
    # Made with the device; usable when nobody else was found to have it.
    if not host.wait_until(lambda: apart('links6'), 30):
        raise Void('no link-local addresses here')
    own = apart('links6')
    control(apart, 'configure', 'address6')
    text = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(own[0]))
    control(apart, 'link_local', text, 443, also=('ECONNREFUSED', 'TimeoutError', 'EHOSTUNREACH'))
    tried = [p.one.refused('configure', 'address6'), *(p.one.refused('link_local', a, 443) for a in (text, 'ff02::1'))]
    tried.append(p.one.refused('write', '/proc/sys/net/ipv6/conf/eth0/disable_ipv6', '0'))
    return worked(not all(tried) or p.one('links6'))


@case(NO, NO, 'MPTCP, whose further addresses no filter of connect() sees')
def multipath(room, p):
    return all_refused(room, p, [('open_socket', 'mptcp'), ('open_socket', 'mptcp6')])


@case(NO, NO, 'TCP Fast Open past the decision: what only the sibling may reach gets no byte')
def fast_open(room, p):
    mark = 'fast ' + host.word()
    port = room.outside('make', 'listening', 'listening')
    control(room.outside, 'fast_open', '127.0.0.1', port, mark)
    control(room.outside, 'fast_open_connect', '127.0.0.1', port, mark)
    if p.two.token('connect', 'slow', 'db.example.com', 5432, 'of-two ' + mark) != 'y':
        raise Void('nothing of the sibling itself arrives')
    before = room.echo.accepted
    at = p.one('lookup', 'db.example.com')
    p.one.do('fast_open', at, 5432, mark)
    p.one.do('fast_open_connect', at, 5432, mark)
    p.one.do('fast_open', p.two('address'), 5432, mark)
    check(not as_sibling(room, p, mark), 'records of the sibling')
    return worked(room.echo.accepted != before or [c for c in room.echo.connections if c.startswith(mark)])


@case(NO, NO, 'another way by SO_BINDTODEVICE: allowed, and leads where it led before')
def bound_to_device(room, p):
    path = new_path()
    text = 'GET %s HTTP/1.1\r\nHost: plain.example.com:8080\r\n\r\n' % path
    got = p.two('bound_to_device', 'eth0', 'plain.example.com', 8080, text)
    if ' 200 ' not in got:
        raise Void('it does not work for the sibling itself: %s' % got[:40])
    for device in ('eth0', 'lo'):
        p.one.do('bound_to_device', device, 'plain.example.com', 8080, text + ' ')
    denied(room, p.one, path)
    return worked(len(room.seen(room.plain, path)) != 1)


@case(NO, NO, 'marks, for rules of the host (SO_MARK)')
def mark(room, p):
    return all_refused(room, p, [('option', socket.SOL_SOCKET, SO_MARK, 7)])


@case(NO, NO, 'the namespace behind an own socket (SIOCGSKNS), to enter or to name others by')
def socket_namespace(room, p):
    return all_refused(room, p, [('socket_namespace',)])


@case(NO, NO, 'to enter the sibling\'s network by a descriptor that it passed on')
def lent_namespace(room, p):
    apart = room.own_namespaces()
    apart('make', 'net', '/proc/self/ns/net')
    control(apart, 'enter_kept', 'net')
    p.two('make', 'net', '/proc/self/ns/net')
    hand_over(room, p.two, p.one, 'net')
    before = p.one('address')
    entered = not p.one.refused('enter_kept', 'net')
    equal(p.one('address'), before, 'address')
    return worked(entered)


def process_control(room):
    room.outside('make', 'self', 'pidfd')
    for what in ('signal', 'getfd'):
        control(room.outside, 'kept_process', 'self', what)


@case(NO, NO, 'signals, descriptors and namespaces of the sibling by a pidfd that it passed on')
def lent_pidfd(room, p):
    process_control(room)
    p.two('make', 'self', 'pidfd')
    hand_over(room, p.two, p.one, 'self')
    return worked([w for w in ('signal', 'getfd', 'setns', 'netns') if not p.one.refused('kept_process', 'self', w)])


@case(NO, NO, 'the same by the pidfd of who is at the other end of a Unix socket (SO_PEERPIDFD)')
def peer_pidfd(room, p):
    process_control(room)
    path = room.file('socket')
    room.outside('wait_at', path)
    room.outside('call_at', path)
    room.outside('take_peer', path)
    control(room.outside, 'peer_process', 'signal')
    path = room.file('socket')
    p.one('wait_at', path)
    p.two('call_at', path)
    p.one('take_peer', path)
    return worked([w for w in ('signal', 'getfd', 'setns', 'netns') if not p.one.refused('peer_process', w)])
