# SPDX-License-Identifier: Apache-2.0
"""Secrets that commands give (source = exec:), for as long as they hold. The server is the oracle for which value was in
use, files that the commands write for when they ran and what they were told."""
import json
import os
import resource
import time

from harness.box import Box
from harness.origin import Origin
from harness.registry import cases, check, equal, test

HOST = 'api.example.com'
VALUE = 'token-7f3a9c21e8b44d06a5-'


def setup(t, source, more='', **env):
    """The source is a script: it may use $d, a directory of the host's."""
    origin = Origin(t.pki.context([HOST]))
    box = Box(t).connect(origin, HOST)
    d = t.path('source')
    os.mkdir(d)
    script = t.write('source.sh', 'd=%s\n%s' % (d, source))
    policy = t.write('policy.ini', '[sandbox]\nversion = 1\n[network]\nallow = https://%s\n[secret KEY]\nsource = exec:sh %s\n'
                     'allow = https://%s/v1/**\n%s' % (HOST, script, HOST, more.replace('$d', d)))
    return box.add('-f', policy, **env), origin, d


# A number more each time, good for so many seconds.
COUNTS = '''n=$(($(cat $d/n 2>/dev/null) + 1)); echo $n > $d/n; cat > $d/told
printf '{"value":"%s%%d","expires_at":%%d}' $n $(($(date +%%s) + %d))
'''
ASK = 'curl -sS -o /dev/null -w "%{http_code} " -H "A: $KEY" https://api.example.com/v1/x; '


def read(*path):
    with open(os.path.join(*path)) as f:
        return f.read()


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, 'not in time')
        time.sleep(0.05)


@test
def bare_line_and_what_it_is_told(t):
    box, origin, d = setup(t, 'cat > $d/told; env > $d/env; echo %s1' % VALUE, more='[secret OTHER]\nsource = env:OTHER_REAL\n'
                           'allow = https://%s\n' % HOST, OTHER_REAL='the-other-value-1234', VISIBLE='yes')
    equal(box.sh(ASK).ok().out, '200 ', 'status')
    equal(origin.requests[0].header('a'), [VALUE + '1'], 'value')
    told = json.loads(read(d, 'told'))
    equal((told['secret'], told['allow']), ('KEY', ['https://%s/v1/**' % HOST]), 'what the command is told')
    env = read(d, 'env')
    check('VISIBLE=yes' in env and 'the-other-value' not in env, 'the environment of the command: %r' % env)


@test
def proxy_password_is_not_for_commands(t):
    policy = t.write('proxy.ini', '[sandbox]\nversion = 1\n[network]\nupstream_proxy = http://127.0.0.1:1 env:PROXY_LOGIN\n')
    box, origin, d = setup(t, 'env > $d/env; echo %s1' % VALUE, PROXY_LOGIN='user:password-of-the-proxy', VISIBLE='yes')
    box.sh('true', flags=['-f', policy]).ok()
    env = read(d, 'env')
    check('VISIBLE=yes' in env and 'password-of-the-proxy' not in env, 'the environment of the command: %r' % env)


@test
def asked_again_before_it_expires(t):
    box, origin, d = setup(t, COUNTS % (VALUE, 5))
    process = box.start_python('''
while not os.path.exists("enough"):
    out(fetch("https://api.example.com/v1/x", headers=[("A", os.environ["KEY"])]).status)
    time.sleep(0.2)
''')
    wait_for(lambda: len({r.header('a')[0] for r in list(origin.requests)}) > 1, 60)
    t.write('box/work/enough')
    out, err = process.communicate(timeout=60)
    values = [r.header('a')[0] for r in origin.requests]
    check(all(v.startswith(VALUE) for v in values), 'values: %r' % values)
    numbers = [int(v[len(VALUE):]) for v in values]
    check(numbers == sorted(numbers), 'values: %r' % values)
    # None was used after its end; 502 says so on a machine that stood still for so long.
    check(set(out.split()) == {b'200'} or box.audit('limit.hit', reason='secret-expired'), 'statuses: %r, %r' % (out, err))


@test
def expires_without_another(t):
    """502 and a record; what the server was sent before is still taken out of its answers."""
    box, origin, d = setup(t, 'test ! -e $d/once || exit 1; touch $d/once; ' + COUNTS % (VALUE, 6))
    origin.handler = lambda c, r: Origin.reply(c, body='saw %s1' % VALUE)
    result = box.sh(ASK + 'sleep 7; ' + ASK + 'curl -sS -H "A: $KEY" https://api.example.com/v1/x; '
                    'curl -sS https://api.example.com/v1/x').ok()
    equal(result.out.split(' ')[:2], ['200', '502'], 'statuses')
    check('secret-expired' in result.out, 'the reason: %r' % result.out)
    check(VALUE not in result.out, 'the value came in: %r' % result.out)
    equal([r.header('a') for r in origin.requests], [[VALUE + '1'], []], 'requests')
    # It is asked for again now and then.
    equal(list(dict.fromkeys(r['reason'] for r in box.audit('limit.hit'))), ['secret-refresh', 'secret-expired'], 'records')
    check({'secret-expired'} <= {r['reason'] for r in box.audit('http.deny')}, 'record of the request')


@cases([('ends', ''), ('killed', 'kill')])
def revoked(t, how):
    """At the end of the sandbox, with what the source said last, also when everything was killed."""
    box, origin, d = setup(t, COUNTS % (VALUE, 3600), more='revoke = sh -c "cat > $d/revoked.new; mv $d/revoked.new $d/revoked"\n')
    process = box.start('run', *box.flags, '--', 'sh', '-c', ASK + 'echo; sleep %d' % (60 if how else 0))
    equal(process.stdout.readline(), b'200 \n', 'status')
    if how:
        check(not os.path.exists(os.path.join(d, 'revoked')), 'revoked too early')
        os.kill(box.helper('nsbox-supervisor'), 9)
    process.communicate(timeout=60)
    wait_for(lambda: os.path.exists(os.path.join(d, 'revoked')))
    equal(json.loads(read(d, 'revoked'))['value'], VALUE + '1', 'what was revoked')
    equal(read(d, 'n').strip(), '1', 'how often the command was asked')


@cases([('fails', 'echo why >&2; exit 3', 'it failed'), ('nothing', 'true', 'printed nothing'),
        ('long', 'head -c 70000 /dev/zero | tr "\\0" x', 'more than 64 KiB'),
        ('expired', 'echo \'{"value":"%s","expires_at":5}\'' % VALUE, 'expired already'),
        ('two_lines', 'printf "%s\\nx\\n"' % VALUE, 'line break')])
def unusable(t, source, why):
    box, origin, d = setup(t, source)
    result = box.sh('true')
    equal(result.code, 125, 'exit status')
    check('KEY' in result.err and why in result.err, 'message: %r' % result.err)
    check(VALUE not in result.err, 'the value is in the message')


@test
def locked_memory(t):
    """The kernel's count is the oracle; without a limit to lock in nothing starts, unless that is accepted."""
    if 'NSBOX_SANITIZED' in os.environ:
        t.skip('a program with AddressSanitizer locks no memory: it makes mlock() do nothing')

    def run(limit, *flags):
        origin = Origin(t.pki.context([HOST]))
        box = Box(t, 'box%d' % (limit + len(flags))).connect(origin, HOST)
        box.add('--allow', HOST, '--secret', 'KEY@' + HOST, *flags, KEY=VALUE)
        process = box.start('run', *box.flags, '--', 'sh', '-c', 'echo ready; sleep 600',
                            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit)))
        line = process.stdout.readline()
        locked = None
        if line:
            with open('/proc/%d/status' % box.helper('nsbox-gateway')) as f:
                locked = [int(x.split()[1]) for x in f if x.startswith('VmLck')][0]
        process.terminate()
        out, err = process.communicate(timeout=60)
        return line, locked, process.returncode, err.decode()

    line, locked, code, err = run(65536)
    check(line == b'ready\n' and locked >= 4, 'locked: %r kB, %r' % (locked, err))
    if os.geteuid() != 0:  # CAP_IPC_LOCK needs no limit
        line, locked, code, err = run(0)
        equal((line, code), (b'', 125), 'start without memory to lock')
        check('RLIMIT_MEMLOCK' in err and 'locked-memory' in err, 'message: %r' % err)
        line, locked, code, err = run(0, '--allow-degraded', 'locked-memory')
        equal((line, locked), (b'ready\n', 0), 'start when it is accepted')
