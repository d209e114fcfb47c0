# SPDX-License-Identifier: Apache-2.0
"""HTTP and HTTPS through the gateway: rules, identity, keep-alive, streaming in both directions."""
import json
import os
import subprocess
import threading
import time

from harness.box import Box, peak_memory
from harness.origin import Origin
from harness.registry import cases, check, equal, test, until

HOST = 'api.example.com'
# Of the gateway's memory. AddressSanitizer needs a multiple of what the program does.
LIMIT = 32 << (20 if 'NSBOX_SANITIZED' not in os.environ else 23)


def https_box(t, *hosts, allow=None, handler=None):
    origin = Origin(t.pki.context(list(hosts or (HOST,))), handler=handler)
    box = Box(t)
    for rule in allow if allow is not None else hosts or (HOST,):
        box.add('--allow', rule)
    return box.connect(origin, *(hosts or (HOST,))), origin


@cases([('https', 'https://api.example.com/'), ('http', 'http://api.example.com/')])
def allowed(t, url):
    secure = Origin(t.pki.context([HOST]))
    plain = Origin()
    box = Box(t).add('--allow', HOST).connect(secure, HOST).connect(plain, HOST, port=80)
    result = box.run('curl', '-sS', '-i', url).ok()
    check(result.out.split(' ', 2)[1:2] == ['200'] and result.out.endswith('origin says hello\n'), '%r' % result)
    equal((len(secure.requests), len(plain.requests)), (1, 0) if 'https' in url else (0, 1), 'requests')
    record = box.audit('http.request')[0]
    equal((record['host'], record['method'], record['path'], record['status']), (HOST, 'GET', '/', 200), 'record')


@test
def what_the_origin_receives(t):
    """The request is written anew: nothing that the client did not mean, everything that it did."""
    box, origin = https_box(t)
    box.python('''
out(fetch("https://api.example.com/a%20b/c?x=1&y=%2F", "POST", [("X-One", "1"), ("x-one", "2"), ("Accept", "*/*"),
    ("Cookie", "a=b"), ("Proxy-Authorization", "Basic eDp5"), ("Keep-Alive", "5"), ("TE", "trailers")], b"body").status)
''').ok()
    request = origin.requests[0]
    equal((request.method, request.target, request.version), ('POST', '/a%20b/c?x=1&y=%2F', 'HTTP/1.1'), 'line')
    equal(request.header('host'), [HOST], 'Host')
    equal(request.header('x-one'), ['1', '2'], 'repeated header')
    equal(request.header('cookie'), ['a=b'], 'Cookie')
    equal(request.header('proxy-authorization'), [], 'hop-by-hop headers are not forwarded')
    equal(request.body, b'body', 'body')
    check(b'nsbox' not in request.head.lower() and not request.header('via') and
          not request.header('x-forwarded-for'), 'the gateway does not announce itself: %r' % request.head)


@test
def connection_named_headers_are_dropped(t):
    box, origin = https_box(t)
    box.python('''
out(fetch("https://api.example.com/", headers=[("Connection", "X-Hop, keep-alive"), ("X-Hop", "1"), ("X-End", "2")])
    .status)''').ok()
    request = origin.requests[0]
    equal((request.header('x-hop'), request.header('x-end')), ([], ['2']), 'X-Hop and X-End')


RULES = [
    ('method', ['GET,HEAD https://api.example.com/v1/**'],
     [('GET', '/v1/x', 200), ('HEAD', '/v1', 200), ('POST', '/v1/x', 403), ('GET', '/v2', 403), ('GET', '/', 403)]),
    ('exact_path', ['https://api.example.com/v1'], [('GET', '/v1', 200), ('GET', '/v1/', 403), ('GET', '/V1', 403)]),
    ('segment', ['https://api.example.com/r/*/issues'],
     [('GET', '/r/a/issues', 200), ('GET', '/r/a/b/issues', 403), ('GET', '/r/issues', 403)]),
    ('decoded', ['https://api.example.com/v1/**'],
     [('GET', '/%76%31/x', 200), ('GET', '/v1/../admin', 403), ('GET', '/v1/%2e%2e/admin', 403),
      ('GET', '/x/../v1/a', 200), ('GET', '/v1/a%2fb', 400), ('GET', '/v1/%00', 400), ('GET', '/v1/%5c', 400)]),
    ('query', ['https://api.example.com/v1'], [('GET', '/v1?a=/../b', 200)]),
]


@cases(RULES)
def rule(t, rules, requests):
    box, origin = https_box(t, allow=rules)
    got = box.python('''
out([attempt(lambda: fetch("https://api.example.com" + p, m).status) for m, p in json.loads(sys.argv[1])])''',
                     json.dumps([r[:2] for r in requests])).ok().json()
    for (method, path, want), status in zip(requests, got):
        if want == 400:
            check(status in (400, 403), '%s %s: %r' % (method, path, status))
        else:
            equal(status, want, method + ' ' + path)
    equal(len(origin.requests), len([r for r in requests if r[2] == 200]), 'requests at the origin')
    for request in origin.requests:
        check('..' not in request.path and '%2e' not in request.path.lower(),
              'the origin gets the path that was matched: ' + request.target)


@test
def deny_beats_allow(t):
    box, origin = https_box(t, HOST, 'www.example.com', allow=['*.example.com'])
    box.add('--deny', 'https://api.example.com/admin/**', '--deny', 'www.example.com')
    got = box.python('''
out([fetch(u).status for u in ("https://api.example.com/", "https://api.example.com/admin/x",
                               "https://www.example.com/", "https://example.com/")])''').ok().json()
    equal(got, [200, 403, 403, 403], 'statuses (the last is the apex)')
    equal(len(origin.requests), 1, 'requests at the origin')


@test
def denied_paths_in_other_spellings(t):
    """What a lax server takes for the denied path is denied; what is allowed is that path alone. Control: without the
    rules all of it reaches the server, as it was written."""
    spellings = ['/v1/admin', '/V1/Admin', '/v1/admin/', '//v1//admin', '/v1/admin;x=1', '/v1/%61dmin', '/v1/./admin',
                 '/v1/;x/admin', '/v1//;/ADMIN;/', '/v1/%41dmin/.', '/v1/x/../admin']
    code = 'out([send(tls("%s"), "GET %%s HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" %% p).status for p in %r])'
    more = ['/v1/user', '/v1/admin/x', '/v1/admins']
    rule = 'https://%s/v1/admin' % HOST
    box, origin = https_box(t, allow=[])
    for deny, allow, beside in (((), HOST, 200), (('--deny', rule), HOST, 200), ((), rule, 403)):
        before = len(origin.requests)
        got = box.python(code % (HOST, HOST, spellings + more), flags=('--allow', allow, *deny)).ok().json()
        equal(got[len(spellings):], [beside] * len(more), 'statuses beside it')
        want = {403} if deny else {200} if beside == 200 else None
        if want:
            equal(set(got[:len(spellings)]), want, 'statuses')
        else:
            plain = [p for p in spellings if p in ('/v1/admin', '/v1/%61dmin', '/v1/./admin', '/v1/x/../admin')]
            equal([p for p, s in zip(spellings, got) if s == 200], plain, 'allowed')
        equal(len(origin.requests) - before, got.count(200), 'requests at the origin')


@test
def methods_and_paths_of_headers(t):
    """A server may believe them more than the request line: what they name has to be allowed too."""
    box, origin = https_box(t, allow=['GET,POST,PUT https://%s/v1/**' % HOST])
    asks = [('POST', 'X-HTTP-Method-Override', 'PUT', 200), ('POST', 'X-HTTP-Method-Override', 'DELETE', 403),
            ('POST', 'x-http-method', 'MERGE', 403), ('POST', 'X-Method-Override', 'POST', 200),
            ('POST', 'X_HTTP-Method_Override', 'DELETE', 403), ('GET', 'X-Method-Override', '', 403),
            ('GET', 'X-Method-Override', 'put', 403), ('GET', 'X-Original-URL', '/v1/x', 200),
            ('GET', 'X-Original-URL', '/v1/%78?y', 200), ('GET', 'X-Original-URL', '/v2', 403),
            ('GET', 'X-Rewrite-URL', '/v1/x/..%2fy', 403), ('GET', 'X-Rewrite-URL', '', 403)]
    code = """out([(fetch("https://%s/v1/x", m, [(h, v)]).status) for m, h, v in %%r])""" % HOST
    got = box.python(code % [a[:3] for a in asks]).ok().json()
    equal(got, [a[3] for a in asks], 'statuses')
    equal(len(origin.requests), got.count(200), 'requests at the origin')
    # What a deny rule names, too.
    got = box.python(code % [('POST', 'X-HTTP-Method-Override', m) for m in ('PUT', 'put', 'PURGE')],
                     flags=('--allow', HOST, '--deny', 'PUT ' + HOST)).ok().json()
    equal(got, [403, 403, 200], 'statuses beside a denial')


@test
def names_are_compared_without_case(t):
    box, origin = https_box(t, allow=['API.Example.COM.'])
    got = box.python('''
r = [fetch("https://api.example.com/").status]
s = tls("API.EXAMPLE.COM"); r.append(send(s, "GET / HTTP/1.1\\r\\nHost: Api.Example.Com\\r\\n\\r\\n").status)
s = tls("api.example.com.", verify=False); r.append(send(s, "GET / HTTP/1.1\\r\\nHost: api.example.com.:443\\r\\n\\r\\n").status)
out(r)''').ok().json()
    equal(got[:2], [200, 200], 'statuses')
    check(got[2] in (200, 421), 'a trailing dot: %r' % got)


@test
def misdirected(t):
    """SNI or Host that is not the name of the dialled address: 421, at the origin nothing."""
    box, origin = https_box(t, HOST, 'b.example.com')
    plain = Origin()
    box.connect(plain, HOST, 'b.example.com', port=80)
    got = box.python('''
def host(h): return send(tls("api.example.com"), "GET / HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % h)
def plain(h): return send(connect("api.example.com", 80), "GET / HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % h)
def sni(n, h):
    return send(tls("api.example.com", sni=n, verify=False), "GET / HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % h)
out([attempt(host, "b.example.com"), attempt(host, "api.example.com:444"), attempt(plain, "b.example.com"),
     attempt(sni, "b.example.com", "b.example.com"), attempt(sni, "b.example.com", "api.example.com"),
     attempt(host, "unlisted.example.org"), attempt(host, "api.example.com@evil")])''').ok().json()
    for number, answer in enumerate(got):
        check(answer.get('status') in (421, 400, 403) or 'error' in answer, 'attempt %d: %r' % (number, answer))
    for number in (0, 2, 3):
        equal(got[number].get('status'), 421, 'attempt %d' % number)
    equal(len(origin.requests) + len(plain.requests), 0, 'requests at the origins')


@test
def keep_alive(t):
    box, origin = https_box(t)
    got = box.python('''
s = tls("api.example.com"); r = []
for i in range(20):
    r.append(send(s, "GET /headers?%d HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n" % i).status)
out(r)''').ok().json()
    equal(got, [200] * 20, 'statuses')
    equal((len(origin.requests), len(origin.connections)), (20, 1), 'requests and connections at the origin')


@test
def pipelined(t):
    box, origin = https_box(t)
    got = box.python('''
s = tls("api.example.com")
s.sendall(b"".join(b"GET /count?%d HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n" % i for i in range(5)))
s.sendall(b"GET /last HTTP/1.1\\r\\nHost: api.example.com\\r\\nConnection: close\\r\\n\\r\\n")
out(rest(s)[0].count(b"HTTP/1.1 200"))''').ok().json()
    equal(got, 6, 'answers')
    equal([r.target for r in origin.requests], ['/count?%d' % i for i in range(5)] + ['/last'], 'in order')


@test
def origin_closes_between_requests(t):
    """A connection that the origin closed meanwhile is not used for the next request."""
    count = []

    def handler(connection, request):
        count.append(1)
        Origin.reply(connection, body='%d' % len(count))
        return False    # closes without announcing it

    box, origin = https_box(t, handler=handler)
    got = box.python('''
s = tls("api.example.com"); r = []
for i in range(5):
    r.append(send(s, "GET / HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n").status); time.sleep(0.1)
out(r)''').ok().json()
    equal(got, [200] * 5, 'statuses')


@test
def head_and_empty_answers(t):
    box, origin = https_box(t)
    got = box.python('''
s = tls("api.example.com"); r = []
for m, p in (("HEAD", "/"), ("GET", "/count"), ("OPTIONS", "/"), ("DELETE", "/"), ("PATCH", "/")):
    a = send(s, "%s %s HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n" % (m, p), m); r.append([a.status, len(a.body)])
out(r)''').ok().json()
    equal([g[0] for g in got], [200] * 5, 'statuses')
    equal(got[0][1], 0, 'HEAD has no body')


@test
def events_arrive_as_they_are_sent(t):
    seen = threading.Semaphore(0)

    def handler(connection, request):
        connection.send(b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n')
        for number in range(5):
            connection.send(b'8\r\nevent %d\n\r\n' % number)
            if not seen.acquire(timeout=60):  # the next one only when this has arrived
                return False
        connection.send(b'0\r\n\r\n')

    box, origin = https_box(t, handler=handler)
    process = box.start('run', *box.flags, '--', 'curl', '-sSN', 'https://api.example.com/')
    for number in range(5):
        equal(process.stdout.readline(), b'event %d\n' % number, 'event')
        seen.release()
    process.communicate(timeout=60)
    equal(process.returncode, 0, 'exit status')


@test
def upload_arrives_as_it_is_sent(t):
    box, origin = https_box(t)
    process = box.start_python('''
s = tls("api.example.com")
s.sendall(b"POST / HTTP/1.1\\r\\nHost: api.example.com\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
for i in range(4):
    s.sendall(b"4\\r\\npart\\r\\n"); sys.stdin.readline()
s.sendall(b"0\\r\\n\\r\\n"); out(read_answer(s).status)''', stdin=subprocess.PIPE)
    for number in range(4):
        # The next one is only sent when this has arrived.
        until(lambda: origin.requests and origin.requests[0].body == b'part' * (number + 1), message='part %d' % number)
        process.stdin.write(b'\n')
        process.stdin.flush()
    equal(process.communicate(timeout=60)[0], b'200\n', 'status')
    equal(origin.requests[0].body, b'part' * 4, 'body')


@test
def chunked_with_trailers(t):
    box, origin = https_box(t)
    result = box.python('''
s = tls("api.example.com")
s.sendall(b"GET /chunked HTTP/1.1\\r\\nHost: api.example.com\\r\\nTE: trailers\\r\\n\\r\\n")
raw = b""
while not raw.endswith(b"\\r\\n\\r\\n") or b"\\r\\n0\\r\\n" not in raw: raw += s.recv(4096)
s.sendall(b"POST /count HTTP/1.1\\r\\nHost: api.example.com\\r\\nTransfer-Encoding: chunked\\r\\nTrailer: X-Sum\\r\\n\\r\\n"
          b"6;ext=1\\r\\nabcdef\\r\\n3\\r\\nghi\\r\\n0\\r\\nX-Sum: 7\\r\\n\\r\\n")
out([raw.decode(), read_answer(s).body.decode()])''').ok().json()
    check('first ' in result[0] and 'third' in result[0] and 'X-Sum: 42' in result[0], 'answer: %r' % result[0])
    equal(result[1], '9\n', 'length at the origin')
    request = origin.requests[1]
    equal(request.body, b'abcdefghi', 'body')
    equal(request.trailers, [('X-Sum', '7')], 'trailers')
    check(b'ext=1' not in origin.raw, 'chunk extensions are not forwarded')
    equal(len(origin.connections), 1, 'connections')


@test
def answer_until_close(t):
    box, origin = https_box(t)
    equal(box.run('curl', '-sS', 'https://api.example.com/until-close').ok().out, 'all until the end\n', 'body')


@test
def cut_answer_is_seen_as_cut(t):
    box, origin = https_box(t)
    for version, codes in (('--http1.1', (18, 56)), ('--http2', (92,))):
        result = box.run('curl', '-sS', version, 'https://api.example.com/cut')
        check(result.code in codes, 'curl sees that the answer is not complete: %r' % result)


@test
def answer_with_two_lengths(t):
    box, origin = https_box(t)
    result = box.run('curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', 'https://api.example.com/split').ok()
    equal(result.out, '502', 'status')


@test
def expect_continue(t):
    box, origin = https_box(t)
    got = box.python('''
s = tls("api.example.com")
s.sendall(b"POST /count HTTP/1.1\\r\\nHost: api.example.com\\r\\nContent-Length: 5\\r\\nExpect: 100-continue\\r\\n\\r\\n")
first = s.recv(1000); s.sendall(b"hello"); out([first.decode(), read_answer(s).body.decode()])''').ok().json()
    check(got[0].startswith('HTTP/1.1 100'), 'the first answer: %r' % got)
    equal(got[1], '5\n', 'the second answer')
    check(origin.requests[0].body_waited, 'the body came after 100')


@test
def expect_refused(t):
    box, origin = https_box(t)
    got = box.python('''
s = tls("api.example.com")
s.sendall(b"POST /refuse-expect HTTP/1.1\\r\\nHost: api.example.com\\r\\nContent-Length: 5\\r\\nExpect: 100-continue\\r\\n\\r\\n")
out(read_answer(s).status)''').ok().json()
    equal(got, 417, 'status')
    equal(origin.requests[0].body_length, 0, 'body at the origin')


@test(timeout=180)
def large_download(t):
    size = 1 << 29
    box, origin = https_box(t)
    process = box.start('run', *box.flags, '--', 'sh', '-c',
                        'curl -sS -o /dev/null -w "%%{size_download}\\n" "https://api.example.com/big?bytes=%d"; cat'
                        % size, stdin=subprocess.PIPE)
    equal(process.stdout.readline(), b'%d\n' % size, 'bytes received')
    peak = peak_memory(box.helper('nsbox-gateway'))
    process.communicate(b'', timeout=60)
    check(peak < LIMIT, 'peak memory of the gateway: %d KiB' % (peak >> 10))
    equal(box.audit('http.request')[0]['bytes_down'] >= size, True, 'bytes_down')


@test(timeout=180)
def large_upload(t):
    size = 1 << 29
    box, origin = https_box(t)
    with open(box.work + '/sparse', 'wb') as f:
        f.truncate(size)
    process = box.start('run', *box.flags, '--', 'sh', '-c',
                        'curl -sS -H "Content-Type: application/octet-stream" -T sparse '
                        'https://api.example.com/count; cat', stdin=subprocess.PIPE)
    equal(process.stdout.readline(), b'%d\n' % size, 'bytes that the origin counted')
    peak = peak_memory(box.helper('nsbox-gateway'))
    process.communicate(b'', timeout=60)
    check(peak < LIMIT, 'peak memory of the gateway: %d KiB' % (peak >> 10))


@test
def slow_reader_holds_the_origin_back(t):
    """A client that does not read: the gateway must not swallow the body into memory."""
    box, origin = https_box(t)
    process = box.start_python('''
s = tls("api.example.com")
s.sendall(b"GET /big?bytes=300000000 HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n"); s.recv(1000)
print("waiting", flush=True); sys.stdin.read()''', stdin=subprocess.PIPE)
    equal(process.stdout.readline(), b'waiting\n', 'first line')
    time.sleep(2)
    peak = peak_memory(box.helper('nsbox-gateway'))
    process.communicate(b'', timeout=60)
    check(peak < LIMIT, 'peak memory of the gateway: %d KiB' % (peak >> 10))


@test
def many_requests_at_once(t):
    box, origin = https_box(t)
    got = box.python('''
import threading
r = []
def one(i):
    s = tls("api.example.com", timeout=60)
    for k in range(5): r.append(send(s, "GET /%d HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n" % i).status)
threads = [threading.Thread(target=one, args=(i,)) for i in range(40)]
[x.start() for x in threads]; [x.join() for x in threads]
out([len(r), r.count(200)])''').ok().json()
    equal(got, [200, 200], 'answers')
    until(lambda: len(box.audit('http.request')) == 200, message='one record for each request')


@test
def redirect_to_an_unlisted_host(t):
    box, origin = https_box(t, HOST, 'evil.example.org', allow=[HOST])
    result = box.run('curl', '-sS', '-L', '-i', 'https://api.example.com/redirect?to=https://evil.example.org/x').ok()
    check('/2 302 ' in result.out and '/2 403 ' in result.out, '%r' % result.out)
    equal(len(origin.requests), 1, 'requests at the origin')


@test
def upstream_refuses(t):
    import socket
    # Nobody else gets the port while it is bound.
    closed = socket.socket()
    closed.bind(('127.0.0.1', 0))
    port = closed.getsockname()[1]
    box = Box(t).add('--allow', HOST, '--connect-to', '%s:443:127.0.0.1:%d' % (HOST, port), '--connect-to',
                     '%s:80:127.0.0.1:%d' % (HOST, port))
    got = box.python('out([fetch("https://api.example.com/").dict(), fetch("http://api.example.com/").dict()])').ok()
    for answer in got.json():
        equal(answer['status'], 502, 'status')
        equal(answer['headers']['content-type'], 'application/problem+json', 'content type')


@test
def private_resolution_is_refused(t):
    """`localhost.` style: a listed name whose only address is the loopback of the host is refused, unless the rule
    says that private addresses are meant."""
    origin = Origin()
    name = own_name()
    if not name:
        t.skip('this machine has no name of two labels that resolves to a private address')
    for rule, want in (('--allow', 403), ('--allow-private', 200)):
        box = Box(t, rule.strip('-')).add('--allow', 'http://%s:%d' % (name, origin.port))
        if rule == '--allow-private':
            box.add(rule, 'http://%s:%d' % (name, origin.port))
        got = box.python('out(attempt(fetch, "http://%s:%s/" % (sys.argv[1], sys.argv[2])))', name, origin.port)
        status = got.ok().json().get('status')
        check(status == want or (want == 403 and status == 502), '%s: %r' % (rule, got))
        equal(len(origin.requests), 1 if want == 200 else 0, 'requests at the origin after ' + rule)


def own_name():
    """A dotted name that this machine resolves to 127.0.0.1 without asking anybody."""
    with open('/etc/hosts') as f:
        for line in f:
            words = line.split('#')[0].split()
            if words and words[0] == '127.0.0.1':
                for word in words[1:]:
                    if '.' in word:
                        return word
    return None


@test
def client_leaves_in_the_middle(t):
    box, origin = https_box(t)
    got = box.python('''
for i in range(20):
    s = tls("api.example.com"); s.sendall(b"GET /big?bytes=5000000 HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n")
    s.recv(100); s.close()
out(fetch("https://api.example.com/").status)''').ok().json()
    equal(got, 200, 'status after that')


@test
def tls_versions_and_names(t):
    box, origin = https_box(t)
    got = box.python('''
s = tls("api.example.com"); c = s.getpeercert()
out({"version": s.version(), "san": c["subjectAltName"], "alpn": s.selected_alpn_protocol(),
     "issuer": str(c["issuer"])})''').ok().json()
    equal(got['san'], [['DNS', HOST]], 'names of the leaf')
    check(got['version'] in ('TLSv1.2', 'TLSv1.3'), 'version: %r' % got)
    check('test authority' not in got['issuer'], 'the leaf comes from the authority of the sandbox')
    result = box.run('openssl', 's_client', '-connect', HOST + ':443', '-servername', HOST, '-tls1_1',
                     '-cipher', 'DEFAULT:@SECLEVEL=0', input='')
    check(result.code != 0, 'TLS 1.1 to the gateway: %r' % result)


@test
def passthrough(t):
    """The TLS of a passthrough host is not opened: the client sees the certificate of the origin itself."""
    box, origin = https_box(t, allow=[])
    box.add('--passthrough', HOST)
    got = box.python('''
c = ssl.create_default_context(cafile=None); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE
s = c.wrap_socket(connect("api.example.com"), server_hostname="api.example.com")
import hashlib
d = hashlib.sha256(s.getpeercert(True)).hexdigest()
s.sendall(b"GET / HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n"); out([d, read_answer(s).status])''').ok().json()
    import hashlib
    import ssl
    with open(t.pki.server([HOST])[0]) as f:
        want = hashlib.sha256(ssl.PEM_cert_to_DER_cert(f.read())).hexdigest()
    equal(got, [want, 200], 'certificate and status')
    other = box.python('out(attempt(lambda: str(tls("api.example.com", sni="evil.example.com", verify=False))))').json()
    check(isinstance(other, dict), 'another SNI to the passthrough address: %r' % other)
