# SPDX-License-Identifier: Apache-2.0
"""The gateway verifies the origin before it sends anything: a secret never reaches the wrong server."""
import base64
import json
import os
import socket
import ssl
import threading

from harness.box import Box
from harness.origin import Origin, TcpListener
from harness.registry import cases, check, equal, test, until

HOST = 'api.example.com'
VALUE = 'sk-real-7f3a9c21e8b44d06a5'


def ask(t, origin, host=HOST, flags=('--upstream-ca', None)):
    box = Box(t).connect(origin, host, ca=False).add('--allow', host, '--secret', 'KEY@' + host, KEY=VALUE)
    box.add(*[f or t.pki.ca for f in flags])
    result = box.sh('curl -sS -i -H "Authorization: Bearer $KEY" https://%s/' % host)
    return box, result


@test
def good_certificate(t):
    """The control of all others."""
    origin = Origin(t.pki.context([HOST]))
    box, result = ask(t, origin)
    check(result.out.split(' ', 2)[1:2] == ['200'], '%r' % result)
    equal(origin.requests[0].header('authorization'), ['Bearer ' + VALUE], 'Authorization')


@cases([('wildcard', ['*.example.com'], HOST, {}), ('rsa_2048', [HOST], HOST, {'kind': 'rsa2048'}),
        ('second_name', ['x.example.org', HOST], HOST, {})])
def accepted(t, names, host, how):
    origin = Origin(t.pki.context(names, **how))
    box, result = ask(t, origin, host)
    check(result.out.split(' ', 2)[1:2] == ['200'], '%r' % result)


BAD = [
    ('wrong_host', ['other.example.com'], {}),
    ('expired', [HOST], {'expired': True}),
    ('self_signed', [HOST], {'self_signed': True}),
    ('unknown_authority', [HOST], {'authority': 'other'}),
    ('common_name_only', [HOST], {'san': False}),
    ('rsa_1024', [HOST], {'kind': 'rsa1024', 'weak': True}),
    ('sha1', [HOST], {'digest': 'sha1', 'weak': True}),
    ('wildcard_of_the_suffix', ['*.com'], {}),
    ('wildcard_too_deep', ['*.api.example.com'], {}),
    ('partial_wildcard', ['a*.example.com'], {}),
    ('tls_1_1', [HOST], {'weak': True, 'version': ssl.TLSVersion.TLSv1_1}),
]


@cases(BAD)
def refused(t, names, how):
    origin = Origin(t.pki.context(names, **how))
    box, result = ask(t, origin)
    check(result.out.split(' ', 2)[1:2] == ['502'], 'status: %r' % result)
    check('application/problem+json' in result.out.lower(), 'a readable answer: %r' % result)
    equal(origin.raw, b'', 'bytes at the origin')
    check(VALUE not in result.out + result.err, 'the value in the answer')
    check(box.audit('http.deny') or box.audit('http.request', status=502), 'a record: %r' % box.audit())


@test
def only_for_the_named_host(t):
    """--upstream-ca FILE@HOST trusts the file for that host only."""
    first, second = Origin(t.pki.context([HOST])), Origin(t.pki.context(['b.example.com']))
    box = Box(t).connect(first, HOST, ca=False).connect(second, 'b.example.com', ca=False)
    box.add('--allow', '*.example.com', '--upstream-ca', t.pki.ca + '@' + HOST)
    got = box.python('out([fetch("https://%s/" % h).status for h in ("api.example.com", "b.example.com")])').ok().json()
    equal(got, [200, 502], 'statuses')


@test
def without_any_extra_authority(t):
    origin = Origin(t.pki.context([HOST]))
    box, result = ask(t, origin, flags=())
    check(result.out.split(' ', 2)[1:2] == ['502'], '%r' % result)
    equal(origin.raw, b'', 'bytes at the origin')


@test
def plain_server_on_the_tls_port(t):
    origin = TcpListener(greeting=b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    box, result = ask(t, origin)
    check(result.out.split(' ', 2)[1:2] == ['502'], '%r' % result)
    check(VALUE.encode() not in origin.received and b'HTTP/' not in origin.received, 'a request in the clear')


@test(timeout=120)
def silent_server(t):
    """A server that accepts and says nothing: 504 in bounded time."""
    origin = TcpListener()
    box, result = ask(t, origin)
    check(result.out.split(' ', 2)[1:2] == ['504'], '%r' % result)
    check(VALUE.encode() not in origin.received and b'HTTP/' not in origin.received, 'a request in the clear')


@test
def client_checks_the_name_too(t):
    """The leaf that the client sees carries the name that was asked for, no other."""
    origin = Origin(t.pki.context([HOST, 'b.example.com']))
    box = Box(t).connect(origin, HOST, 'b.example.com').add('--allow', '*.example.com')
    got = box.python('''
out(sorted(x[1] for x in tls("api.example.com").getpeercert()["subjectAltName"]))''').ok().json()
    equal(got, [HOST], 'names')


@test
def client_certificate(t):
    """A policy names certificate and key for one host: that host sees it, and nobody else sees the key."""
    context, seen = t.pki.context([HOST]), []
    context.load_verify_locations(t.pki.ca)
    context.verify_mode = ssl.CERT_REQUIRED

    def handler(connection, request):
        seen.append(dict(x[0] for x in connection.sock.getpeercert()['subject'])['commonName'])
        Origin.reply(connection, body='hello\n')
    cert, key = t.pki.client('nsbox')
    box = Box(t).connect(Origin(context, handler), HOST).add('--allow', HOST)
    equal(box.sh('curl -sS -o /dev/null -w "%%{http_code}" https://%s/' % HOST).out, '502', 'without a certificate')
    policy = t.write('cert.ini', '[sandbox]\nversion = 1\n[network]\nclient_cert = %s %s %s\n' % (cert, key, HOST))
    box.add('-f', policy)
    equal(box.sh('curl -sS -o /dev/null -w "%%{http_code}" https://%s/; test ! -e %s' % (HOST, key)).ok().out, '200')
    equal(seen, ['nsbox'])
    with open(key) as f:
        line = f.read().split('\n')[1]
    check(line not in repr(box.audit()), 'the key in the audit log')
    check(line not in box.nsbox('run', '-f', policy, '--allow', HOST, '--dry-run', 'true').ok().out, 'the key in the policy')


@test
def client_certificate_with_another_key(t):
    cert, key = t.pki.client('nsbox')[0], t.pki.client('other')[1]
    policy = t.write('cert.ini', '[sandbox]\nversion = 1\n[network]\nclient_cert = %s %s %s\n' % (cert, key, HOST))
    result = Box(t).add('-f', policy).run('true')
    equal(result.code, 125)
    check('is not the key of the certificate' in result.err, '%r' % result)


def through_proxy(t, source, name='box', **env):
    """A box, what the proxy was asked, and the server; the proxy connects everything to that."""
    heads = []

    def answer(connection, request):
        Origin.reply(connection, body='hello', headers=[('Connection', 'close')])
        return False
    origin = Origin(t.pki.context([HOST]), handler=answer)

    def serve(sock):
        head = sock.recv(65536)
        heads.append(head.decode())
        server = socket.create_connection(('127.0.0.1', origin.port))
        sock.sendall(b'HTTP/1.1 200 OK\r\n\r\n')
        for a, b in ((sock, server), (server, sock)):
            threading.Thread(target=copy, args=(a, b), daemon=True).start()

    def copy(a, b):
        try:
            while True:
                data = a.recv(65536)
                if not data:
                    return b.shutdown(socket.SHUT_WR)
                b.sendall(data)
        except OSError:
            pass

    def accept():
        while True:
            serve(listener.accept()[0])
    listener = socket.create_server(('127.0.0.1', 0))
    threading.Thread(target=accept, daemon=True).start()
    policy = t.write(name + '.ini', '[sandbox]\nversion = 1\n[network]\nupstream_proxy = http://127.0.0.1:%d %s\n'
                     % (listener.getsockname()[1], source))
    box = Box(t, name).add('-f', policy, '--allow', HOST, '--upstream-ca', t.pki.ca + '@' + HOST, **env)
    return box, heads, origin


def login(head):
    """What the proxy was shown."""
    fields = [f.split(' ')[2] for f in head.split('\r\n') if f.startswith('Proxy-Authorization: Basic ')]
    return base64.b64decode(fields[0]).decode() if fields else None


@test
def proxy(t):
    """Everything goes through the proxy of the policy, which gets a password that the sandbox does not have."""
    box, heads, _ = through_proxy(t, 'env:PROXY_LOGIN', PROXY_LOGIN='me:' + VALUE)
    result = box.sh('curl -sS -o /dev/null -w "%%{http_code}" https://%s/; env' % HOST).ok()
    check(result.out.startswith('200') and VALUE not in result.out, '%r' % result)
    equal([h.split('\r\n')[0] for h in heads], ['CONNECT %s:443 HTTP/1.1' % HOST])
    equal(login(heads[0]), 'me:' + VALUE, 'the password at the proxy')
    check(VALUE not in repr(box.audit()), 'the password in the audit log')
    box = through_proxy(t, 'env:PROXY_LOGIN', 'unset')[0]
    result = box.run('true')
    equal(result.code, 125)
    check('PROXY_LOGIN' in result.err, '%r' % result)


# A number more each time, good for so many seconds.
COUNTS = '''n=$(($(cat $d/n 2>/dev/null) + 1)); test $n -le $most || exit 1; echo $n > $d/n; cat > $d/told
printf '{"value":"me:%s-%%d","expires_at":%%d}' $n $(($(date +%%s) + %d))
'''


def with_command(t, text, most=100):
    d = t.path('source')
    os.mkdir(d)
    script = t.write('login.sh', 'd=%s; most=%d\n%s' % (d, most, text))
    return through_proxy(t, 'exec:sh ' + script), d


@test
def proxy_with_a_command(t):
    """It is asked before the sandbox starts, and again before what it gave expires."""
    (box, heads, origin), d = with_command(t, COUNTS % (VALUE, 5))
    process = box.start_python('''
while not os.path.exists("enough"):
    out(fetch("https://%s/").status)
    time.sleep(0.2)
''' % HOST)
    until(lambda: len(set(heads)) > 1, 60, 'logins: %r' % heads)
    t.write('box/work/enough')
    out, err = process.communicate(timeout=60)
    # Of a machine that stood still for so long.
    expired = [r for r in box.audit('limit.hit') if r['reason'] == 'secret-expired']
    check(set(out.split()) == {b'200'} or expired, 'statuses: %r, %r' % (out, err))
    logins = [login(h) for h in heads]
    check(all(x.startswith('me:%s-' % VALUE) for x in logins), 'logins: %r' % logins)
    numbers = [int(x.rpartition('-')[2]) for x in logins]
    check(numbers == sorted(numbers), 'logins: %r' % logins)
    with open(os.path.join(d, 'told')) as f:
        told = json.load(f)
    equal((told['secret'], told['allow']), ('upstream_proxy', []), 'what the command is told')
    check(VALUE not in repr(box.audit()) and VALUE.encode() not in out, 'the password in the audit log, or inside')
    check({'upstream_proxy'} == {r['name'] for r in box.audit('secret.ask')}, 'records: %r' % box.audit())


@test
def proxy_whose_command_fails_later(t):
    """502, and the proxy is asked for nothing without a login."""
    (box, heads, origin), d = with_command(t, COUNTS % (VALUE, 6), most=1)
    curl = 'curl -sS -w " %%{http_code}\\n" https://%s/;' % HOST
    result = box.sh('%s sleep 7; %s' % (curl, curl)).ok()
    check(' 200\n' in result.out and result.out.endswith(' 502\n'), '%r' % result)
    check('upstream-proxy' in result.out and 'expired' in result.out, 'the reason: %r' % result.out)
    equal([login(h) for h in heads], ['me:%s-1' % VALUE], 'what the proxy was shown')
    equal(len(origin.requests), 1, 'requests')
    # It is asked for again now and then.
    equal(list(dict.fromkeys(r['reason'] for r in box.audit('limit.hit'))), ['secret-refresh', 'secret-expired'], 'records')


@cases([('fails', 'exit 3', 'it failed'), ('form', 'echo %s' % VALUE, 'USER:PASSWORD'),
        ('control', 'printf "me:%s\\001"' % VALUE, 'control bytes'),
        ('long', 'printf "me:%s%%02000d" 1' % VALUE, '1024 bytes')])
def proxy_with_an_unusable_command(t, text, why):
    (box, heads, _), d = with_command(t, text)
    result = box.sh('true')
    equal(result.code, 125, '%r' % result)
    check('upstream_proxy' in result.err and why in result.err and VALUE not in result.err, '%r' % result)
