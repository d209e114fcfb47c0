# SPDX-License-Identifier: Apache-2.0
"""A hostile client inside: every malformed request is refused cleanly with one record, and the gateway stays up."""
import os
import subprocess
import time

from harness.box import Box, peak_memory
from harness.origin import Origin
from harness.registry import cases, check, equal, test, until

HOST = 'api.example.com'
H = 'Host: api.example.com\r\n'
END = '\r\n'
SMUGGLED = 'GET /smuggled HTTP/1.1\r\n' + H + END

# name, the bytes sent: all must be refused, and `/smuggled` must never be a request of its own.
REFUSED = [
    ('nul_in_line', 'GET /a\0b HTTP/1.1\r\n' + H + END),
    ('nul_in_header', 'GET / HTTP/1.1\r\n' + H + 'X: a\0b\r\n' + END),
    ('nul_in_name', 'GET / HTTP/1.1\r\n' + H + 'X\0Y: a\r\n' + END),
    ('bare_cr_in_value', 'GET / HTTP/1.1\r\n' + H + 'X: a\rY: b\r\n' + END),
    ('bare_cr_line_end', 'GET / HTTP/1.1\r' + H + END),
    ('bare_lf', 'GET / HTTP/1.1\n' + H.replace('\r', '') + '\n'),
    ('bare_lf_in_headers', 'GET / HTTP/1.1\r\n' + H + 'X: a\nY: b\r\n' + END),
    ('cl_te', 'POST / HTTP/1.1\r\n' + H + 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' + SMUGGLED),
    ('te_cl', 'POST / HTTP/1.1\r\n' + H + 'Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n' + SMUGGLED +
     '0\r\n\r\n'),
    ('te_identity', 'POST / HTTP/1.1\r\n' + H + 'Transfer-Encoding: identity\r\n\r\n' + SMUGGLED),
    ('te_twice', 'POST / HTTP/1.1\r\n' + H + 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
    ('te_xchunked', 'POST / HTTP/1.1\r\n' + H + 'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'),
    ('te_chunked_gzip', 'POST / HTTP/1.1\r\n' + H + 'Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n'),
    ('te_in_http_1_0', 'POST / HTTP/1.0\r\n' + H + 'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
    ('cl_twice', 'POST / HTTP/1.1\r\n' + H + 'Content-Length: 0\r\nContent-Length: 40\r\n\r\n' + SMUGGLED),
    ('cl_list', 'POST / HTTP/1.1\r\n' + H + 'Content-Length: 5, 5\r\n\r\nhello'),
    ('cl_plus', 'POST / HTTP/1.1\r\n' + H + 'Content-Length: +5\r\n\r\nhello'),
    ('cl_negative', 'POST / HTTP/1.1\r\n' + H + 'Content-Length: -1\r\n\r\nhello'),
    ('cl_hex', 'POST / HTTP/1.1\r\n' + H + 'Content-Length: 0x5\r\n\r\nhello'),
    ('cl_overflow', 'POST / HTTP/1.1\r\n' + H + 'Content-Length: 18446744073709551617\r\n\r\nx'),
    ('cl_empty', 'POST / HTTP/1.1\r\n' + H + 'Content-Length: \r\n\r\nx'),
    ('obs_fold', 'GET / HTTP/1.1\r\n' + H + 'X: a\r\n b\r\n' + END),
    ('obs_fold_first', 'GET / HTTP/1.1\r\n ' + H + END),
    ('space_before_colon', 'POST / HTTP/1.1\r\n' + H + 'Content-Length : 5\r\n\r\nhello'),
    ('no_colon', 'GET / HTTP/1.1\r\n' + H + 'garbage\r\n' + END),
    ('empty_name', 'GET / HTTP/1.1\r\n' + H + ': x\r\n' + END),
    ('no_host', 'GET / HTTP/1.1\r\nX: y\r\n' + END),
    ('two_hosts', 'GET / HTTP/1.1\r\n' + H + 'Host: other.example.com\r\n' + END),
    ('two_equal_hosts', 'GET / HTTP/1.1\r\n' + H + H + END),
    ('empty_host', 'GET / HTTP/1.1\r\nHost:\r\n' + END),
    ('host_list', 'GET / HTTP/1.1\r\nHost: api.example.com, other.example.com\r\n' + END),
    ('host_userinfo', 'GET / HTTP/1.1\r\nHost: a@api.example.com\r\n' + END),
    ('host_port_0', 'GET / HTTP/1.1\r\nHost: api.example.com:0\r\n' + END),
    ('host_port_65536', 'GET / HTTP/1.1\r\nHost: api.example.com:65979\r\n' + END),
    ('absolute_form_elsewhere', 'GET http://other.example.com/ HTTP/1.1\r\n' + H + END),
    ('absolute_form_and_host_elsewhere', 'GET http://other.example.com/ HTTP/1.1\r\nHost: other.example.com\r\n' + END),
    ('absolute_userinfo', 'GET http://api.example.com@other.example.com/ HTTP/1.1\r\n' + H + END),
    ('authority_form', 'CONNECT other.example.com:443 HTTP/1.1\r\nHost: other.example.com:443\r\n' + END),
    ('connect_self', 'CONNECT api.example.com:443 HTTP/1.1\r\n' + H + END),
    ('no_slash', 'GET index HTTP/1.1\r\n' + H + END),
    ('fragment', 'GET /#x HTTP/1.1\r\n' + H + END),
    ('space_in_target', 'GET /a b HTTP/1.1\r\n' + H + END),
    ('tab_separator', 'GET\t/ HTTP/1.1\r\n' + H + END),
    ('two_spaces', 'GET  / HTTP/1.1\r\n' + H + END),
    ('byte_over_127_in_target', 'GET /\xff HTTP/1.1\r\n' + H + END),
    ('http_0_9', 'GET /\r\n'),
    ('http_2_preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    ('http_1_2', 'GET / HTTP/1.2\r\n' + H + END),
    ('http_lower_case', 'GET / http/1.1\r\n' + H + END),
    ('method_with_colon', 'GE:T / HTTP/1.1\r\n' + H + END),
    ('line_too_long', 'GET /' + 'a' * 100000 + ' HTTP/1.1\r\n' + H + END),
    ('header_too_long', 'GET / HTTP/1.1\r\n' + H + 'X: ' + 'a' * 200000 + '\r\n' + END),
    ('too_many_headers', 'GET / HTTP/1.1\r\n' + H + 'X: a\r\n' * 5000 + END),
    ('name_too_long', 'GET / HTTP/1.1\r\n' + H + 'X' * 70000 + ': a\r\n' + END),
    ('chunk_not_hex', 'POST / HTTP/1.1\r\n' + H + 'Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n'),
    ('chunk_negative', 'POST / HTTP/1.1\r\n' + H + 'Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n'),
    ('chunk_0x', 'POST / HTTP/1.1\r\n' + H + 'Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n'),
    ('chunk_space', 'POST / HTTP/1.1\r\n' + H + 'Transfer-Encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n'),
    ('chunk_overflow', 'POST / HTTP/1.1\r\n' + H + 'Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\nx\r\n'),
    ('chunk_wrong_end', 'POST / HTTP/1.1\r\n' + H + 'Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n'),
    ('chunk_bare_lf', 'POST / HTTP/1.1\r\n' + H + 'Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n'),
    ('chunk_ext_long', 'POST / HTTP/1.1\r\n' + H + 'Transfer-Encoding: chunked\r\n\r\n1;' + 'a' * 70000 + '\r\nx\r\n'),
    ('trailer_forbidden', 'POST / HTTP/1.1\r\n' + H +
     'Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\nHost: other.example.com\r\n\r\n'),
    ('upgrade_h2c', 'GET / HTTP/1.1\r\n' + H + 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n'
     'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n' + END),
]
# These may reach the origin without what makes them odd.
HARMLESS = {'upgrade_h2c', 'trailer_forbidden', 'fragment', 'te_identity', 'chunk_bare_lf'}
# 421 is about a request that was understood, so the connection may go on.
GOES_ON = HARMLESS | {'absolute_form_and_host_elsewhere'}

SEND = '''
data = sys.stdin.buffer.read()
def talk(s):
    s.settimeout(float(sys.argv[1]))
    try:
        for i in range(0, len(data), 65536): s.sendall(data[i:i + 65536])
    except OSError: pass
    try:
        if not isinstance(s, ssl.SSLSocket): s.shutdown(socket.SHUT_WR)
    except OSError: pass
    answer, how = rest(s)
    return {"first": answer[:400].decode("latin-1"), "count": answer.count(b"HTTP/1.1 2"), "how": how}
r = {"tls": attempt(lambda: talk(tls("api.example.com"))), "plain": attempt(lambda: talk(connect("api.example.com", 80)))}
r["after"] = [attempt(lambda: fetch(u).status) for u in ("https://api.example.com/after", "http://api.example.com/after")]
out(r)'''


def hostile_box(t):
    secure, plain = Origin(t.pki.context([HOST])), Origin()
    other = Origin()
    box = Box(t).add('--allow', HOST).connect(secure, HOST).connect(plain, HOST, port=80)
    box.connect(other, 'other.example.com', port=80, ca=False)
    return box, secure, plain, other


@cases(REFUSED, timeout=90)
def request(t, data):
    name = [n for n, d in REFUSED if d is data][0]
    box, secure, plain, other = hostile_box(t)
    got = box.python(SEND, 5 if name in GOES_ON else 60, input=data.encode('latin-1')).ok().json()
    for way in ('tls', 'plain'):
        first = got[way].get('first', '')
        if name in HARMLESS:
            continue
        check('error' in got[way] or first == '' or first.split(' ')[1][:2] in ('40', '41', '42', '43', '50'),
              '%s: not refused: %r' % (way, got[way]))
        equal(got[way].get('count', 0), 0, way + ': good answers')
        check(got[way].get('how') != 'timeout' or name in GOES_ON and ' 421 ' in first, way + ': left open: %r' % got[way])
    equal(got['after'], [200, 200], 'the gateway still works')
    for origin in (secure, plain):
        paths = [r.path for r in origin.requests]
        check('/smuggled' not in paths, 'a smuggled request arrived: %r' % paths)
        if name not in HARMLESS:
            bad = [r for r in origin.requests if r.path != '/after' and not b'chunked' in r.head]
            equal(bad, [], 'requests at the origin')
    equal(other.accepted, 0, 'connections to the other origin')
    if name not in HARMLESS:
        denials = box.audit('http.deny') + box.audit('net.deny')
        equal(len(denials), 2, 'records, one for each connection: %r' % denials)


@test
def no_sni(t):
    box, secure, plain, other = hostile_box(t)
    got = box.python('''
c = context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE
def f():
    s = c.wrap_socket(connect("api.example.com")); return send(s, "GET / HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n")
out([attempt(f), attempt(lambda: fetch("https://api.example.com/").status)])''').ok().json()
    # The dialled address already says which name was meant; with or without an answer, nothing else may be reached.
    check(got[0].get('status') in (200, 400, 403, 421) or 'error' in got[0], '%r' % got)
    equal(got[1], 200, 'the gateway still works')


@test
def fragmented_client_hello(t):
    """One byte at a time, and split over many TLS records: the same verdict as in one piece."""
    box, secure, plain, other = hostile_box(t)
    got = box.python('''
def hello(name, cut):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    c = context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE
    o = c.wrap_bio(incoming, outgoing, server_hostname=name)
    s = connect("api.example.com"); first = True
    while True:
        try: o.do_handshake(); done = True
        except ssl.SSLWantReadError: done = False
        data = outgoing.read()
        if data and first:
            first = False
            if cut == "records":
                body = data[5:]; data = b""
                for i in range(0, len(body), 7): data += b"\\x16\\x03\\x01" + len(body[i:i+7]).to_bytes(2, "big") + body[i:i+7]
                s.sendall(data)
            else:
                for b in data: s.sendall(bytes([b])); time.sleep(0.0005)
        elif data: s.sendall(data)
        if done: break
        part = s.recv(65536)
        if not part: return "closed"
        incoming.write(part)
    o.write(b"GET / HTTP/1.1\\r\\nHost: " + name.encode() + b"\\r\\nConnection: close\\r\\n\\r\\n"); s.sendall(outgoing.read())
    while True:
        try: return o.read(100).decode("latin-1").split()[1]
        except ssl.SSLWantReadError:
            part = s.recv(65536)
            if not part: return "closed"
            incoming.write(part)
out([attempt(hello, n, c) for n in ("api.example.com", "other.example.com") for c in ("bytes", "records")])''').ok().json()
    equal(got[:2], ['200', '200'], 'the right name')
    for answer in got[2:]:
        check(answer in ('421', '403', 'closed') or isinstance(answer, dict), 'the wrong name: %r' % got)
    equal(other.accepted, 0, 'connections to the other origin')


@cases([('http_on_443', 443, b'GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n'), ('tls_garbage', 443, b'\x16\x03\x01\xff\xff' + b'A' * 70000),
        ('ssl2', 443, b'\x80\x2e\x01\x00\x02' + bytes(60)), ('zeros', 80, bytes(100000)), ('ssh', 443, b'SSH-2.0-x\r\n'),
        ('ssh_on_80', 80, b'SSH-2.0-x\r\n\r\n'), ('nothing', 443, b''), ('one_byte', 443, b'\x16'),
        ('hello_too_large', 443, b'\x16\x03\x01\x40\x00\x01\x0f\xff\xff' + bytes(200000))])
def bytes_that_are_no_protocol(t, port, data):
    box, secure, plain, other = hostile_box(t)
    got = box.python('''
data = sys.stdin.buffer.read(); s = connect("api.example.com", int(sys.argv[1]))
try: s.sendall(data); s.shutdown(socket.SHUT_WR)
except OSError: pass
r = rest(s)
out([len(r[0]), r[1], fetch("https://api.example.com/").status])''', port, input=data).ok().json()
    check(got[1] in ('closed', 'reset'), 'how it ended: %r' % got)
    equal(got[2], 200, 'the gateway still works')
    equal([r.path for r in secure.requests], ['/'], 'requests at the origin')
    # Plain HTTP on the port of https is answered or refused, but never sent to the origin in the clear.
    equal(len(plain.requests), 0, 'requests at the plain origin')


@test(timeout=150)
def slowloris(t):
    """Headers that never end hold a connection for a bounded time, and other requests go on."""
    box, secure, plain, other = hostile_box(t)
    got = box.python('''
slow = []
for i in range(50):
    s = connect("api.example.com", 80); s.sendall(b"GET / HTTP/1.1\\r\\nHost: api.example.com\\r\\nX: "); slow.append(s)
start = time.time(); quick = [fetch("https://api.example.com/").status for i in range(5)]; took = time.time() - start
alive = len(slow); end = time.time() + 100
while alive and time.time() < end:
    time.sleep(1); alive = 0
    for s in slow:
        try: s.sendall(b"a"); s.setblocking(False); alive += s.recv(1000) == b"never" or 0
        except BlockingIOError: alive += 1
        except OSError: pass
        s.setblocking(True)
out({"quick": quick, "took": took, "alive": alive, "after": time.time() - start})''', timeout=140).ok().json()
    equal(got['quick'], [200] * 5, 'other requests')
    check(got['took'] < 20 * t.slowness, 'other requests took %.1f s' % got['took'])
    equal(got['alive'], 0, 'slow connections after %.0f s' % got['after'])
    equal(plain.requests, [], 'requests at the origin')


@test(timeout=120)
def thousand_connections(t):
    box, secure, plain, other = hostile_box(t)
    box.add('--open-files', '4000')
    process = box.start_python('''
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4000, 4000))
held = []; failed = 0
for i in range(1000):
    try:
        s = connect("api.example.com", 443 if i % 2 else 80); held.append(s)
        if i % 4 == 0: s.sendall(b"GET / HT")
        if i % 4 == 1: s.sendall(b"\\x16\\x03\\x01\\x02\\x00\\x01")
    except OSError: failed += 1
out([len(held), failed]); sys.stdin.readline()
for s in held: s.close()
end = time.time() + 60; r = 0  # until the gateway has seen that they are closed
while r != 200 and time.time() < end: time.sleep(0.1); r = attempt(lambda: fetch("https://api.example.com/").status)
out(r)
sys.stdin.readline()''', stdin=subprocess.PIPE)
    counts = process.stdout.readline()
    peak = peak_memory(box.helper('nsbox-gateway'))
    process.stdin.write(b'\n')
    process.stdin.flush()
    equal(process.stdout.readline(), b'200\n', 'a request after they closed')
    process.communicate(b'\n', timeout=60)
    check(peak < 64 << (20 if 'NSBOX_SANITIZED' not in os.environ else 23), 'peak memory of the gateway with %r: %d KiB' % (counts, peak >> 10))


@test(timeout=90)
def connections_in_quick_succession(t):
    box, secure, plain, other = hostile_box(t)
    got = box.python('''
n = 0
for i in range(3000):
    try: s = connect("api.example.com", 80, 20); s.close(); n += 1
    except OSError: pass
out([n, fetch("https://api.example.com/").status])''', timeout=80).ok().json()
    equal(got[1], 200, 'a request after %d connections' % got[0])


@test(timeout=90)
def dead_gateway_means_no_network(t):
    box, secure, plain, other = hostile_box(t)
    process = box.start_python('''
print(fetch("https://api.example.com/").status, flush=True); sys.stdin.readline()
out([attempt(fetch, "https://api.example.com/"), attempt(socket.gethostbyname, "api.example.com")])''', stdin=subprocess.PIPE)
    equal(process.stdout.readline(), b'200\n', 'before')
    os.kill(box.helper('nsbox-gateway'), 9)
    time.sleep(0.3)
    out, err = process.communicate(b'\n', timeout=60)
    check(b'"error"' in out and b'"status"' not in out, 'after: %r %r' % (out, err))
    equal(len(secure.requests), 1, 'requests at the origin')
    until(lambda: box.audit('gateway.exit'), message='a record of its end')


@test
def dns_garbage(t):
    box, secure, plain, other = hostile_box(t)
    got = box.python('''
import random
random.seed(7); s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.001)
for i in range(3000):
    s.sendto(bytes(random.randrange(256) for _ in range(random.randrange(0, 600))), ("100.64.0.1", 53))
    q = bytearray(b"\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\3api\\7example\\3com\\0\\0\\1\\0\\1"); q[random.randrange(len(q))] = random.randrange(256)
    s.sendto(bytes(q), ("100.64.0.1", 53))
for raw in (b"", b"\\0", b"\\xff\\xff", b"\\0\\x05abc"):
    c = connect("100.64.0.1", 53); c.sendall(raw); c.close()
out(fetch("https://api.example.com/").status)''').ok().json()
    equal(got, 200, 'the gateway still works')
