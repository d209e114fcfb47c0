# SPDX-License-Identifier: Apache-2.0
"""What must not leave: addresses, ports, names, protocols. The oracles are listeners on the loopback of the host."""
import json
import os
import socket
import subprocess
import sys

from harness.box import Box
from harness.origin import Origin, TcpListener, UdpListener
from harness.registry import cases, check, equal, test, until


@test
def default_reaches_nothing(t):
    box = Box(t)
    result = box.python('''
out([attempt(fetch, "http://example.com/"), attempt(fetch, "https://example.com/")])''').ok().json()
    for answer in result:
        equal(answer.get('status'), 403, 'answer %r' % answer)
        equal(answer['headers'].get('content-type'), 'application/problem+json', 'content type')
        check(answer['headers'].get('x-nsbox-denied'), 'header X-Nsbox-Denied')
        text = answer['body']
        check('example.com' in text and '--allow' in text, 'the body names host and flag: %r' % text)
        json.loads(text)
    equal(len(box.audit('http.deny') + box.audit('net.deny')), 2, 'records of denial')


@test
def net_none_has_only_loopback(t):
    result = Box(t).add('--net', 'none').python('''
out({"if": sorted(os.listdir("/sys/class/net")) if os.path.isdir("/sys/class/net") else
     sorted(l.split(":")[0].strip() for l in open("/proc/net/dev").readlines()[2:]),
     "lo": attempt(lambda: (lambda s: (s.bind(("127.0.0.1", 0)), s.listen(),
     socket.create_connection(s.getsockname()) and "works")[2])(socket.socket())),
     "out": attempt(connect, "198.51.100.7", 80, 3), "name": attempt(socket.gethostbyname, "example.com")})''').ok().json()
    equal(result['if'], ['lo'], 'interfaces')
    equal(result['lo'], 'works', 'loopback')
    check('error' in result['out'] and 'error' in result['name'], 'reached: %r' % result)


@test
def net_host_reaches_the_host(t):
    listener = TcpListener(greeting=b'hello')
    result = Box(t).add('--net', 'host').python(
        'out(attempt(lambda: connect("127.0.0.1", int(sys.argv[1])).recv(5).decode()))', listener.port)
    equal(result.json(), 'hello', 'from the listener of the host')


@test
def loopback_of_the_host(t):
    box = Box(t).add('--allow', '*')
    tcp, udp = TcpListener(greeting=b'hi'), UdpListener()
    socket.create_connection(('127.0.0.1', tcp.port)).close()
    until(lambda: tcp.accepted == 1, 30)
    result = box.python('''
r = {}
for host in ("127.0.0.1", "localhost", "0.0.0.0", "::1", "::ffff:127.0.0.1", "100.64.0.1", "127.0.0.2"):
    r[host] = attempt(lambda: connect(host, int(sys.argv[1]), 5).recv(2).decode())
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for host in ("127.0.0.1", "100.64.0.1"):
    attempt(s.sendto, b"leak", (host, int(sys.argv[2])))
out(r)''', tcp.port, udp.port).ok().json()
    for host, got in result.items():
        check(got != 'hi', '%s reached the listener of the host' % host)
    equal((tcp.accepted, udp.received), (1, []), 'connections and packets that arrived')


@cases([('public', '203.0.113.9'), ('metadata', '169.254.169.254'), ('private', '10.0.0.1'), ('self', '198.18.255.1')])
def raw_address(t, address):
    box = Box(t).add('--allow', '*')
    result = box.python('''
a = sys.argv[1]
out({"http": attempt(lambda: send(connect(a, 80), "GET / HTTP/1.1\\r\\nHost: " + a + "\\r\\n\\r\\n")),
     "tls": attempt(lambda: tls(a, 443, verify=False) and "connected"),
     "named": attempt(lambda: send(connect(a, 80), "GET / HTTP/1.1\\r\\nHost: example.com\\r\\n\\r\\n"))})
''', address).ok().json()
    equal(result['http'].get('status'), 403, 'HTTP to the raw address: %r' % result['http'])
    check(result['tls'] != 'connected', 'TLS to the raw address: %r' % result)
    check(result['named'].get('status') in (403, 421), 'HTTP with the Host of a name: %r' % result)
    denied = box.audit('net.deny') + box.audit('http.deny')
    check(any(address in json.dumps(r) for r in denied), 'a record names the address')


@test
def opaque_tcp_rule(t):
    listener = TcpListener(greeting=b'SSH-2.0-test\r\n')
    other = TcpListener(greeting=b'no')
    box = Box(t).add('--allow', 'tcp://db.example.com:5432')
    box.add('--connect-to', 'db.example.com:5432:127.0.0.1:%d' % listener.port,
            '--connect-to', 'other.example.com:5432:127.0.0.1:%d' % other.port)
    result = box.python('''
def talk(host):
    s = connect(host, 5432); s.sendall(b"\\x00\\x01raw"); return s.recv(100).decode("latin-1")
out([attempt(talk, "db.example.com"), attempt(talk, "other.example.com")])''').ok().json()
    check(str(result[0]).startswith('SSH-2.0'), 'the allowed one: %r' % result)
    check(isinstance(result[1], dict) or result[1] == '', 'the other one: %r' % result)
    until(lambda: listener.received.endswith(b'raw'), 30, 'bytes at the listener')
    equal(other.accepted, 0, 'connections at the other')
    check(box.audit('net.allow', host='db.example.com', port=5432), 'record of the connection')
    check(box.audit('net.deny', host='other.example.com'), 'record of the refusal')


@test
def opaque_tcp_streams_both_ways(t):
    listener = TcpListener(greeting=b'>')
    box = Box(t).add('--allow', 'tcp://db.example.com:5432')
    box.add('--connect-to', 'db.example.com:5432:127.0.0.1:%d' % listener.port)
    result = box.python('''
import threading
s = connect("db.example.com", 5432); n = 0
data = bytes(1 << 20)
def push():
    for i in range(16): s.sendall(data)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=push).start()
while True:
    part = s.recv(1 << 16)
    if not part: break
    n += len(part)
out(n)''').ok().json()
    equal(result, (16 << 20) + 1, 'bytes echoed')


@test
def udp_goes_nowhere(t):
    udp = UdpListener()
    box = Box(t).add('--allow', '*').add('--connect-to', 'example.com:443:127.0.0.1:%d' % udp.port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        control.sendto(b'control', ('127.0.0.1', udp.port))
    until(lambda: udp.received == [b'control'], 30)
    result = box.python('''
r = []
for host, port in (("example.com", 443), ("203.0.113.5", 53), ("203.0.113.5", 123), ("100.64.0.1", int(sys.argv[1]))):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)
    try: s.connect((host, port)); s.send(b"leak"); s.recv(10); r.append("answered")
    except OSError as e: r.append(e.errno)
out(r)''', udp.port).ok().json()
    equal(result, [111] * 4, 'refused, not dropped')
    equal(udp.received, [b'control'], 'packets at the listener')
    check([r for r in box.audit('net.deny') if r.get('port') in (443, 123)], 'the attempts are in the audit log')


@test
def dns(t):
    box = Box(t).add('--allow', 'listed.example.com')
    script = '''
def ask(name, kind, tcp=False):
    q = b"\\x12\\x34\\x01\\0\\0\\1\\0\\0\\0\\0\\0\\0" + b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\\0"
    q += bytes([kind >> 8, kind & 255]) + b"\\0\\1"
    if tcp:
        s = connect("100.64.0.1", 53); s.sendall(len(q).to_bytes(2, "big") + q)
        n = int.from_bytes(s.recv(2), "big"); a = s.recv(n)
    else:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(30); s.sendto(q, ("100.64.0.1", 53))
        a = s.recv(4096)
    assert a[:2] == b"\\x12\\x34", a
    return {"rcode": a[3] & 15, "answers": int.from_bytes(a[6:8], "big"), "last": list(a[-4:])}
r = {}
for name, kind in (("listed.example.com", 1), ("UnListed.example.com", 1), ("unlisted.example.com", 1), ("a.b", 28),
                   ("a.b", 16), ("a.b", 15), ("a.b", 65), ("single", 1), ("1.2.0.192.in-addr.arpa", 12)):
    r[name + " %d" % kind] = attempt(ask, name, kind)
r["tcp"] = attempt(ask, "listed.example.com", 1, True)
r["conf"] = open("/etc/resolv.conf").read()
r["again"] = [socket.gethostbyname("listed.example.com"), socket.gethostbyname("listed.example.com.")]
r["localhost"] = socket.gethostbyname("localhost")
out(r)'''
    got = box.python(script).ok().json()
    for name in ('listed.example.com 1', 'UnListed.example.com 1', 'tcp'):
        equal((got[name]['rcode'], got[name]['answers']), (0, 1), name)
        check(got[name]['last'][0] == 198 and got[name]['last'][1] in (18, 19), name + ' is synthetic: %r' % got[name])
    equal(got['UnListed.example.com 1']['last'], got['unlisted.example.com 1']['last'], 'case does not matter')
    check(got['listed.example.com 1']['last'] != got['unlisted.example.com 1']['last'], 'names differ')
    equal(got['listed.example.com 1']['last'], got['tcp']['last'], 'the same over TCP')
    for name in ('a.b 28', 'a.b 16', 'a.b 15', 'a.b 65'):
        equal((got[name]['rcode'], got[name]['answers']), (0, 0), name)
    for name in ('single 1', '1.2.0.192.in-addr.arpa 12'):
        equal(got[name]['rcode'], 3, name)
    equal(got['again'][0], got['again'][1], 'trailing dot')
    equal(got['localhost'], '127.0.0.1', 'localhost')
    check('nameserver 100.64.0.1' in got['conf'], 'resolv.conf: %r' % got['conf'])
    check(box.audit('dns.query'), 'queries are in the audit log')


@test
def dns_never_leaves(t):
    """With a listener in the place of each of the host's resolvers this would need a namespace; the gateway is watched
    instead: it must not open a socket for a name that no rule allows."""
    box = Box(t).add('--allow', 'listed.example.com')
    process = box.start_python('''
for i in range(50): attempt(socket.gethostbyname, "exfil-%d.example.org" % i)
print("asked", flush=True); sys.stdin.read()''', stdin=subprocess.PIPE)
    equal(process.stdout.readline(), b'asked\n', 'first line')
    pid = box.helper('nsbox-gateway')
    udp = []
    try:
        inodes = set()
        for fd in os.listdir('/proc/%d/fd' % pid):
            try:
                link = os.readlink('/proc/%d/fd/%s' % (pid, fd))
            except FileNotFoundError:  # closed meanwhile
                continue
            if link.startswith('socket:['):
                inodes.add(link[8:-1])
        with open('/proc/%d/net/udp' % pid) as f:
            udp = [line for line in f.readlines()[1:] if line.split()[9] in inodes]
    except PermissionError:
        pass
    process.communicate(b'', timeout=60)
    equal(udp, [], 'UDP sockets of the gateway in the network of the host')


@test
def dns_many_names(t):
    result = Box(t).python('''
first = None; n = 0
try:
    for i in range(5000):
        a = socket.gethostbyname("n%d.example.com" % i); n += 1
        assert a not in ("127.0.0.1",)
except OSError as e:
    first = str(e)
out({"n": n, "error": first, "old": attempt(socket.gethostbyname, "n1.example.com")})''', timeout=50).ok().json()
    check(4000 <= result['n'] <= 4096, 'names given: %r' % result)
    check(isinstance(result['old'], str), 'an old name still resolves: %r' % result)


@test
def unlisted_port(t):
    origin = Origin()
    box = Box(t).add('--allow', 'example.com').connect(origin, 'example.com', port=80)
    result = box.python('''
r = {"listed": attempt(fetch, "http://example.com/")}
for port in (22, 25, 8080, 8443, 65535):
    # At once: a second later it would be the answer to a second packet. Until it was, on a machine that others use.
    for _ in range(5):
        start = time.time(); r[str(port)] = attempt(connect, "example.com", port, 30)
        r[str(port)]["seconds"] = time.time() - start
        if r[str(port)]["seconds"] < 1: break
out(r)''').ok().json()
    equal(result.pop('listed').get('status'), 200, 'port 80')
    for port, got in result.items():
        check(got['errno'] == 111 and got['seconds'] < 1, 'port %s: %r' % (port, got))
    check([r for r in box.audit('net.deny') if r.get('port') == 8443], 'the attempt is in the audit log')


@test
def listed_port_of_another_host(t):
    origin = Origin()
    box = Box(t).add('--allow', 'http://api.example.com:8080').connect(origin, 'api.example.com', 'b.example.com',
                                                                       port=8080)
    result = box.python('''
out([attempt(fetch, "http://%s:8080/" % h).get("status") if isinstance(attempt(fetch, "http://%s:8080/" % h), dict)
     else None for h in ("api.example.com", "b.example.com")])''').ok().json()
    equal(result, [200, 403], 'statuses')


@test
def icmp_and_raw_sockets(t):
    result = Box(t).python('''
r = {}
for name, family, kind, proto in (("raw", socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
                                  ("packet", 17, socket.SOCK_RAW, 0), ("vsock", 40, socket.SOCK_STREAM, 0),
                                  ("alg", 38, socket.SOCK_SEQPACKET, 0), ("sctp", socket.AF_INET, socket.SOCK_STREAM, 132),
                                  ("mptcp", socket.AF_INET, socket.SOCK_STREAM, 262)):
    try: socket.socket(family, kind, proto); r[name] = "made"
    except OSError as e: r[name] = e.errno
out(r)''').ok().json()
    check('made' not in result.values(), '%r' % result)


@test
def two_sandboxes_cannot_meet(t):
    first, second = Box(t, 'a'), Box(t, 'b')
    server = first.start_python('''
s = socket.socket(); s.bind(("0.0.0.0", 8080)); s.listen()
ip = [l.split()[0] for l in open("/proc/net/fib_trie").read().split("|--") if l.split() and l.split()[0].startswith("100.64")]
print(json.dumps(ip), flush=True); s.settimeout(8)
try: s.accept(); print("reached")
except OSError: print("alone")''')
    addresses = json.loads(server.stdout.readline())
    got = second.python('out([str(attempt(connect, "100.64.0.%d" % i, 8080, 2)) for i in range(1, 6)])').ok().json()
    out, _ = server.communicate(timeout=60)
    equal(out, b'alone\n', 'the server in the first sandbox (%r, its addresses %r)' % (got, addresses))


IN_THE_GATEWAYS_NAMESPACE = '''
import ctypes, fcntl, glob, os, socket, sys
pid = int(sys.argv[1])
libc, names = ctypes.CDLL(None, use_errno=True), []
pidfd = libc.syscall(434, pid, 0)                        # pidfd_open
for path in glob.glob("/proc/%d/fd/*" % pid):
    if not os.readlink(path).startswith("socket:"):
        continue
    fd = libc.syscall(438, pidfd, int(path.rsplit("/", 1)[1]), 0)   # pidfd_getfd
    s = socket.socket(fileno=fd)
    if s.family != socket.AF_INET or s.type != socket.SOCK_STREAM:
        continue
    net = fcntl.ioctl(fd, 0x894c)                        # SIOCGSKNS
    if libc.setns(net, 0x40000000) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    for device in sorted(os.listdir("/proc/sys/net/ipv4/conf")):
        with open("/proc/sys/net/ipv4/conf/%s/rp_filter" % device) as f:
            print(device, f.read().strip())
    break
'''


@test
def source_addresses_are_checked_strictly(t):
    """Whatever the host has for new devices: the larger number counts, and 2 is looser."""
    if os.geteuid() != 0:
        t.skip('only root may enter the namespace of the gateway')
    box = Box(t)
    running = box.start('run', '--', 'sh', '-c', 'echo up; read x', stdin=subprocess.PIPE)
    equal(running.stdout.readline(), b'up\n', 'the call')
    out = subprocess.run([sys.executable, '-c', IN_THE_GATEWAYS_NAMESPACE, str(box.helper('nsbox-gateway'))],
                         stdout=subprocess.PIPE, check=True).stdout.decode()
    running.communicate(b'\n', timeout=60)
    values = dict(line.split() for line in out.splitlines())
    check('gw0' in values, 'devices: %r' % values)
    equal({d: v for d, v in values.items() if d != 'lo'}, dict.fromkeys(set(values) - {'lo'}, '1'), 'rp_filter')


@test
def proxy_variables_do_not_matter(t):
    origin = Origin(t.pki.context(['api.example.com']))
    box = Box(t).add('--allow', 'api.example.com').connect(origin, 'api.example.com')
    box.env['http_proxy'] = box.env['HTTPS_PROXY'] = 'http://127.0.0.1:1'
    result = box.run('curl', '-sS', 'https://api.example.com/').ok()
    equal(result.out, 'origin says hello\n', 'body')


@test
def denied_address_behind_an_allowed_name(t):
    """A deny rule on addresses counts for what an allowed name leads to."""
    origin = Origin(t.pki.context(['a.example.com']))
    box = Box(t).connect(origin, 'a.example.com').add('--allow', 'a.example.com')
    script = 'curl -s -w "%{http_code}" https://a.example.com/'
    denied = box.sh(script, flags=('--deny', '127.0.0.0/8:443'))
    check(denied.out.endswith('403') and 'denied-address' in denied.out, 'answer: %r' % denied)
    equal(origin.requests, [], 'what the origin saw')
    check(box.audit('http.deny', reason='denied-address'), 'record')
    # The twins: another address denied, and another port.
    check(box.sh(script, flags=('--deny', '10.0.0.0/8:443')).out.endswith('200'), 'another address')
    check(box.sh(script, flags=('--deny', '127.0.0.0/8:444')).out.endswith('200'), 'another port')
