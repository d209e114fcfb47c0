# SPDX-License-Identifier: Apache-2.0
"""Secrets in paths and bodies, for those who ask for it. The oracle is what the origin received."""
import json
from urllib.parse import quote

from harness.box import Box
from harness.origin import Origin
from harness.registry import cases, check, equal, test

HOST, OTHER = 'api.example.com', 'other.example.com'
VALUE = 'sk-real-7f3a9c21e8b44d06a5'
ODD = 'a/b"c+d=e f%g\\h?ij0123456789'


def setup(t, value, inject):
    origin, other = Origin(t.pki.context([HOST])), Origin(t.pki.context([OTHER]))
    path = t.write('policy.ini', '[sandbox]\nversion = 1\n[network]\nallow = https://%s\nallow = https://%s\n'
                  '[secret KEY]\nsource = env:KEY\nallow = https://%s\ninject = %s\n' % (HOST, OTHER, HOST, inject))
    return Box(t).connect(origin, HOST).connect(other, OTHER).add('-f', path, KEY=value), origin, other


def wheres(box, event):
    return [(r['name'], r['host'], r['where']) for r in box.audit(event)]


@cases([('token', VALUE), ('odd', ODD)])
def path(t, value):
    box, origin, other = setup(t, value, 'path')
    box.sh('curl -sSf https://%s/bot$KEY/send?a=1' % HOST).ok()
    equal(origin.requests[0].target, '/bot' + quote(value, safe='') + '/send?a=1', 'target')
    equal(wheres(box, 'secret.use'), [('KEY', HOST, 'path')], 'records')
    equal([r['path'] for r in box.audit('http.request') if value in r['path']], [], 'paths in the log that tell it')


@test
def path_that_would_climb(t):
    """A value is never a segment that means another one."""
    origin = Origin(t.pki.context([HOST]))
    policy = t.write('policy.ini', '[sandbox]\nversion = 1\n[network]\nallow = https://%s\n[secret KEY]\n'
                     'source = env:KEY\nallow = https://%s\ninject = path\nscrub = no\n' % (HOST, HOST))
    box = Box(t).connect(origin, HOST).add('-f', policy, KEY='..')
    result = box.sh('curl -sS -o /dev/null -w "%%{http_code}" https://%s/a/$KEY/b' % HOST)
    equal((result.out, origin.requests), ('403', []), 'status and requests')


@cases([('header', '-H "X: $KEY"', '/'), ('query', '', '/?key=$KEY'), ('body', '-d "$KEY"', '/')])
def only_where_asked(t, flags, target):
    box, origin, other = setup(t, VALUE, 'path')
    result = box.sh('curl -sS -o /dev/null -w "%%{http_code}" %s "https://%s%s"' % (flags, HOST, target)).ok()
    equal((result.out, origin.requests), ('403', []), 'status and requests')


@cases([('path', '', '/$KEY'), ('body', '-d "$KEY"', '/'),
        ('long_body', '-d "$KEY$(head -c 40000 /dev/zero | tr "\\0" x)"', '/')])
def other_host(t, flags, target):
    box, origin, other = setup(t, VALUE, 'path, body')
    result = box.sh('curl -sS -o /dev/null -w "%%{http_code}" %s "https://%s%s"' % (flags, OTHER, target))
    check(result.out.startswith('403'), 'status: %r' % result)
    check(b'nsbox_' not in other.raw and VALUE.encode() not in other.raw, 'it went out')
    equal(len(box.audit('secret.misuse')), 1, 'records')


# name, Content-Type, body around the placeholder, body around the value
def as_form(value):
    return quote(value, safe='')


def as_json(value):
    return json.dumps(value)[1:-1]


BODIES = [('form', 'application/x-www-form-urlencoded', 'a=1&key=%s&b=2', as_form),
          ('json', 'application/json; charset=utf-8', '{"a": "%s", "b": 2}', as_json),
          ('json_suffix', 'application/vnd.api+json', '{"a": "%s"}', as_json),
          ('multipart', 'multipart/form-data; boundary=b',
           '--b\r\nContent-Disposition: form-data; name="k"\r\n\r\n%s\r\n--b--\r\n', str), ('text', 'text/plain', 'key: %s.', str)]
SEND = '''
kind, text, length, way = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
body = text.replace("%s", os.environ["KEY"]).encode() + b"." * length
headers = [("Content-Type", kind)]
if way == "chunks":
    s = tls("api.example.com")
    s.sendall(b"POST / HTTP/1.1\\r\\nHost: api.example.com\\r\\nContent-Type: " + kind.encode() +
              b"\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
    for c in body:
        s.sendall(b"1\\r\\n" + bytes([c]) + b"\\r\\n")
    s.sendall(b"0\\r\\n\\r\\n")
    out(read_answer(s).status)
else:
    out(fetch("https://api.example.com/", "POST", headers=headers, body=body).status)
'''


@cases([('%s_%s_%s' % (b[0], kind, way), b, value, length, way) for b in BODIES
        for kind, value in (('token', VALUE), ('odd', ODD))
        for way, length in (('small', 0), ('large', 70000), ('chunks', 0)) if way != 'chunks' or b[0] == 'json'])
def body(t, b, value, length, way):
    name, kind, text, escape = b
    box, origin, other = setup(t, value, 'body')
    equal(box.python(SEND, kind, text, length, way).ok().json(), 200, 'status')
    request = origin.requests[0]
    equal(request.body[:len(text) + 100].decode().rstrip('.'), (text % escape(value)).rstrip('.'), 'body')
    equal(request.body_length, len((text % escape(value)).encode()) + length, 'length')
    same = way == 'small' or (way == 'large' and len(escape(value)) == len(value))
    framing = 'content-length' if same else 'transfer-encoding'
    equal(len(request.header(framing)), 1, 'fields ' + framing)
    equal(wheres(box, 'secret.use'), [('KEY', HOST, 'body')], 'records')


@test
def base64_in_a_body(t):
    box, origin, other = setup(t, VALUE, 'body')
    result = box.sh('printf %%s "x$KEY" | base64 -w0 | '
                    'curl -sS -o /dev/null -w "%%{http_code}" --data-binary @- https://%s' % HOST)
    equal((result.out, origin.requests), ('403', []), 'status and requests')


@test
def connection_goes_on(t):
    """Bodies that change their length leave the requests behind them where they were."""
    box, origin, other = setup(t, ODD, 'body')
    result = box.python('''
s = tls("api.example.com")
key = os.environ["KEY"].encode()
one = lambda b: (b"POST /x HTTP/1.1\\r\\nHost: api.example.com\\r\\nContent-Type: application/json\\r\\n"
                 b"Content-Length: " + str(len(b)).encode() + b"\\r\\n\\r\\n" + b)
s.sendall(one(b'"' + key + b'"') + one(b'"' + key + b'"' + b" " * 20000) + one(b"3"))
out([read_answer(s).status for _ in range(3)])''').ok()
    equal(result.json(), [200, 200, 200], 'answers')
    equal([r.body.rstrip() for r in origin.requests], [json.dumps(ODD).encode()] * 2 + [b'3'], 'bodies')
