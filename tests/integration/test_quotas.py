# SPDX-License-Identifier: Apache-2.0
"""Quotas of the policy: counted for all calls together, by the rules that they name; and the rate of a grant."""
import json
import re

from harness.box import Box
from harness.http2 import Http2Origin
from harness.named import Named
from harness.origin import Origin, TcpListener
from harness.registry import cases, check, equal, test

HOST, OTHER = 'api.example.com', 'other.example.com'


def box_for(t, *flags, kind=Origin):
    box = Box(t).add('--allow', HOST, '--allow', OTHER, *flags)
    box.origin, box.other = kind(t.pki.context([HOST])), Origin(t.pki.context([OTHER]))
    return box.connect(box.origin, HOST).connect(box.other, OTHER)


def status(url, *options):
    return 'curl -s -o /dev/null -w "%%{http_code} " %s %s; ' % (' '.join(options), url)


@test
def requests_of_a_rule(t):
    box = box_for(t, '--quota', 'max_requests=2@POST https://%s/v1/**' % HOST)
    post = status('https://%s/v1/x' % HOST, '-X POST')
    result = box.sh(post * 3 + status('https://%s/v1/x' % HOST) + status('https://%s/v2' % HOST, '-X POST') +
                    status('https://%s/v1//x' % HOST, '-X POST') + status('https://%s/v1/x' % OTHER, '-X POST'))
    equal(result.out.split(), ['200', '200', '429', '200', '200', '429', '200'], 'statuses (%r)' % result)
    equal(len(box.origin.requests), 4, 'requests at the origin')
    records = box.audit('limit.hit')
    equal([(r['reason'], r['quota'], r['method']) for r in records], [('max-requests', 'flag1', 'POST')] * 2, 'records')
    # The twin: without the quota.
    box.flags = [f for f in box.flags if not f.startswith('max_requests') and f != '--quota']
    equal(box.sh(post * 3).out.split(), ['200'] * 3, 'without a quota')


@cases([('http1', '--http1.1', Origin), ('http2', '--http2', Http2Origin)])
def rate(t, option, kind):
    box = box_for(t, '--quota', 'rate=2/h', kind=kind)
    script = 'curl -s %s -D - https://%s/; echo; curl -s %s -D - https://%s/' % (option, HOST, option, HOST)
    out = box.sh(script).out.lower()
    check(' 200' in out and ' 429' in out, 'one passes: %r' % out)
    after = re.search(r'retry-after: (\d+)\r', out)
    check(after and 0 < int(after.group(1)) <= 1800, 'Retry-After: %r' % out)
    body = json.loads(out[out.rindex('{'):])
    equal((body['status'], body['reason']), (429, 'rate'), 'the problem')
    check('content-type: application/problem+json' in out and 'x-nsbox-denied: rate' in out, 'head: %r' % out)
    equal(box.audit('limit.hit')[0]['quota'], 'flag1', 'record')


@test
def bytes_of_a_rule(t):
    box = box_for(t, '--quota', 'max_up=100K@' + HOST)
    result = box.sh('head -c 60000 /dev/zero > /tmp/x; ' +
                    status('https://%s/a' % HOST, '--data-binary @/tmp/x', '-H "Expect:"') +
                    status('https://%s/b' % HOST, '--data-binary @/tmp/x', '-H "Expect:"') +
                    'cat /tmp/x /tmp/x | ' +
                    status('https://%s/c' % HOST, '--data-binary @-', '-H "Transfer-Encoding: chunked"') +
                    status('https://%s/d' % OTHER, '--data-binary @/tmp/x'))
    answers = result.out.split()
    equal((answers[:2], answers[3]), (['200', '429'], '200'), 'statuses (%r)' % result)
    check(answers[2] != '200', 'streamed past the bound: %r' % answers)
    check(sum(len(r.body) for r in box.origin.requests if r.body) <= 102400, 'bytes at the origin')
    check(box.audit('limit.hit', reason='max-up', quota='flag1'), 'record')


@test
def relayed_connections(t):
    listener = TcpListener(greeting=b'hi')
    box = Box(t).add('--allow', 'tcp://db.example.com:5432', '--connect-to',
                     'db.example.com:5432:127.0.0.1:%d' % listener.port, '--quota', 'max_requests=2,max_up=100@*')
    result = box.python('''
def talk(n):
    try:
        s = connect("db.example.com", 5432)
        s.settimeout(30)
        if s.recv(2) != b"hi":
            return "closed"
        s.sendall(b"x" * n)
        return len(s.recv(1000)) == n and "answered"
    except OSError:
        return "reset"
out([talk(50), talk(60), talk(1)])''')
    equal([a == 'answered' for a in result.json()], [True, False, False], 'connections (%r)' % result)
    equal(listener.received, b'x' * 50, 'bytes at the origin')
    equal(listener.accepted, 2, 'connections at the origin')
    equal([r['reason'] for r in box.audit('limit.hit')], ['max-up', 'max-requests'], 'records')


@test
def all_calls_share_it(t):
    origin = Origin(t.pki.context([HOST]))
    with Named(t) as box:
        box.add('--allow', HOST, '--quota', 'max_requests=3').connect(origin, HOST)
        box.nsbox('create', '--name', 'x', *box.flags).ok()
        answers = [box.exec('x', 'sh', '-c', status('https://%s/' % HOST) * 2).out.split() for _ in range(2)]
        equal(answers, [['200', '200'], ['200', '429']], 'two calls, one quota')
        equal(len(origin.requests), 3, 'requests at the origin')


@test
def rate_of_a_grant(t):
    origin = Origin(t.pki.context([HOST]))
    script = status('https://%s/' % HOST) * 3
    with Named(t) as box:
        box.add('--allow', HOST).connect(origin, HOST)
        box.nsbox('create', '--name', 'x', *box.flags).ok()
        equal(box.exec('x', 'sh', '-c', script, flags=('--rate', '1/h')).out.split(), ['200', '429', '429'], 'narrowed')
        records = box.audit('limit.hit')
        equal([('quota' in r, r['reason']) for r in records], [(False, 'rate')] * 2, 'records')
        equal(box.exec('x', 'sh', '-c', script).out.split(), ['200'] * 3, 'the next call')


@test
def the_file_and_the_flags(t):
    """What --dry-run prints is a policy file that says the same; check names what counts."""
    box = Box(t)
    base = t.write('base.ini', '[sandbox]\nversion = 1\n[quota api]\nmatch = https://%s/**\nmax_requests = 5\nrate = 60/m\n'
                   % HOST)
    policy = t.write('p.ini', '[sandbox]\nversion = 1\nextends = ./base.ini\n[network]\nallow = %s\n'
                     '[quota api]\nmax_requests = 7\n' % HOST)
    flags = ('-f', policy, '--quota', 'max_up=1M')
    first = box.nsbox('run', *flags, '--dry-run', '--', 'true').ok().out
    check('[quota api]\nmatch = https://%s ' % HOST in first and '\nmax_requests = 7 ' in first and
          '\nrate = 1/s ' in first and '[quota flag1]\n; match: everything\nmax_up = 1M ' in first, first)
    again = t.write('again.ini', first)
    strip = re.compile(r' ; .*')
    second = box.nsbox('run', '-f', again, '--dry-run', '--', 'true').ok().out
    equal(strip.sub('', second), strip.sub('', first), 'the dump of the dump')
    result = box.nsbox('check', *flags, '--url', 'https://%s/x' % HOST).ok()
    check(result.out.rstrip().endswith('counts against quota api, flag1'), 'check: %r' % result)
    equal(box.nsbox('check', *flags, '--url', 'https://%s/x' % HOST, '--json').ok().json()['quotas'], ['api', 'flag1'], 'JSON')
    refused = box.nsbox('run', '--quota', 'requests=5', '--', 'true')
    equal(refused.code, 125, 'an unknown limit')
    check("'requests' is no limit; accepted: max_requests=N" in refused.err, refused.err)
