# SPDX-License-Identifier: Apache-2.0
"""The audit log of a whole run, and nsbox audit show and verify."""
import hashlib
import json
import os
import re
import resource
import signal
import subprocess

from harness.box import Box, Result
from harness.origin import Origin
from harness.registry import cases, check, equal, test, until


def run(t):
    origin = Origin(t.pki.context(['api.example.com']))
    box = Box(t).add('--allow', 'api.example.com').connect(origin, 'api.example.com')
    box.sh('curl -sS https://api.example.com/v1/models?key=query-value; curl -sS http://other.example.com/x; exit 3')
    return box


@test
def events_and_form(t):
    box = run(t)
    path = box.logs()[-1]
    equal(os.stat(path).st_mode & 0o777, 0o600, 'mode of the log')
    equal(os.stat(box.state + '/nsbox').st_mode & 0o777, 0o700, 'mode of the state directory')
    with open(path, 'rb') as f:
        lines = f.read().splitlines()
    records = [json.loads(line) for line in lines]
    events = [r['event'] for r in records]
    for event in ('sandbox.start', 'call.start', 'dns.query', 'http.request', 'call.exit', 'sandbox.exit'):
        check(event in events, 'no %s in %r' % (event, events))
    check('http.deny' in events or 'net.deny' in events, 'no denial in %r' % events)
    equal((events[0], events[-1]), ('sandbox.start', 'sandbox.exit'), 'first and last')
    previous = '0' * 64
    for number, (line, record) in enumerate(zip(lines, records)):
        equal(list(record)[:4], ['seq', 'time', 'event', 'sandbox'], 'order of members')
        equal(list(record)[-2:], ['prev', 'hash'], 'last members')
        check(re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z', record['time']), 'time ' + record['time'])
        equal(record['seq'], records[0]['seq'] + number, 'seq')
        equal(record['prev'], previous, 'prev of record %d' % number)
        body = line[:line.rindex(b',"hash"')] + b'}'
        equal(record['hash'], hashlib.sha256(body).hexdigest(), 'hash of record %d' % number)
        previous = record['hash']
    call = [r for r in records if r['event'] == 'call.exit'][0]
    equal((call['exit'], call['signal']), (3, 0), 'exit of the call')
    request = [r for r in records if r['event'] == 'http.request'][0]
    equal((request['host'], request['port'], request['method'], request['path'], request['status']),
          ('api.example.com', 443, 'GET', '/v1/models', 200), 'request')
    check(all(k in request for k in ('bytes_up', 'bytes_down', 'ms', 'call')), 'members %r' % request)
    check(b'query-value' not in b''.join(lines).split(b'"argv"')[0] and 'query-value' not in json.dumps(request),
          'the query is not logged')


@test
def verify_and_edits(t):
    box = run(t)
    path = box.logs()[-1]
    name = os.path.basename(path)[:-6]
    equal(box.nsbox('audit', 'verify', name).code, 0, 'an untouched log by its id')
    equal(box.nsbox('audit', 'verify').code, 0, 'the newest log')
    with open(path, 'rb') as f:
        original = f.read()
    head = json.loads(original.splitlines()[-1])['hash']
    lines = original.splitlines(True)
    edits = {
        'changed': original.replace(b'other.example.com', b'0ther.example.com', 1),
        'removed': b''.join(lines[:2] + lines[3:]),
        'reordered': b''.join([lines[0], lines[2], lines[1]] + lines[3:]),
        'first_removed': b''.join(lines[1:]),
        'added': original + lines[-1],
        'half_a_line': original[:-10],
    }
    for what, data in edits.items():
        with open(path, 'wb') as f:
            f.write(data)
        result = box.nsbox('audit', 'verify', name)
        equal(result.code, 1, what + ' (%r)' % result)
    with open(path, 'wb') as f:
        f.write(b''.join(lines[:-1]))
    equal(box.nsbox('audit', 'verify', name).code, 0, 'a lost tail cannot be seen from the file alone')
    equal(box.nsbox('audit', 'verify', name, '--head', head).code, 1, 'but with the head kept elsewhere')
    with open(path, 'wb') as f:
        f.write(original)
    equal(box.nsbox('audit', 'verify', name, '--head', head).code, 0, 'head of the whole log')
    equal(box.nsbox('audit', 'verify', name, '--head', 'xyz').code, 125, 'a head that is none')
    equal(box.nsbox('audit', 'verify', 'nosuchid').code, 125, 'an unknown id')
    equal(box.nsbox('audit', 'verify', '../../../etc/passwd').code, 125, 'an id with a path')
    os.mkfifo(os.path.dirname(path) + '/fifo.jsonl')
    result = box.nsbox('audit', 'verify', 'fifo', timeout=60)
    check(result.code == 125 and 'not a regular file' in result.err, 'what nobody writes into (%r)' % result)


@test
def show(t):
    box = run(t)
    name = os.path.basename(box.logs()[-1])[:-6]
    shown = box.nsbox('audit', 'show', name, '--json').ok()
    with open(box.logs()[-1]) as f:
        equal(shown.out, f.read(), 'JSON Lines as they are')
    text = box.nsbox('audit', 'show').ok().out
    check('other.example.com' in text and 'api.example.com' in text, 'for people: %r' % text)


@test
def show_is_safe_for_a_terminal(t):
    box = Box(t)
    box.run('sh', '-c', 'true', 'x\x1b]0;evil\x07', 'ü\x9b31m')
    for flags in ((), ('--json',)):
        data = box.nsbox('audit', 'show', *flags).ok().out_bytes
        check(b'\x1b' not in data and b'\x07' not in data, 'control bytes: %r' % data)


@test
def log_cannot_be_reached_inside(t):
    box = Box(t)
    result = box.sh('ls -R "$1" 2>/dev/null; find / -name "*.jsonl" 2>/dev/null; true', box.state).ok()
    equal(result.out, '', 'what the call found')


@test
def records_name_the_rule(t):
    box = run(t)
    record = box.audit('http.request')[0]
    allow = box.audit('net.allow')
    check(any('api.example.com' in r.get('rule', '') for r in [record] + allow), 'rule in %r' % [record, allow])
    denied = (box.audit('http.deny') + box.audit('net.deny'))[0]
    check(denied['reason'] and denied['host'] == 'other.example.com', 'denial %r' % denied)


@test
def decision_is_written_before_it_takes_effect(t):
    """When the origin sees a request, its record is already in the file."""
    seen = []
    box = Box(t)

    def handler(connection, request):
        seen.append([r['event'] for r in box.audit()])
        Origin.reply(connection, body='x')

    origin = Origin(t.pki.context(['api.example.com']), handler=handler)
    box.add('--allow', 'api.example.com', '--secret', 'KEY@api.example.com', KEY='long-enough-value')
    box.connect(origin, 'api.example.com')
    box.sh('curl -sS -H "A: $KEY" https://api.example.com/').ok()
    check('net.allow' in seen[0] and 'secret.use' in seen[0], 'events when the request arrived: %r' % seen)


@cases([('none', ['--net', 'none']), ('host', ['--net', 'host'])])
def without_gateway(t, flags):
    box = Box(t).add(*flags)
    box.sh('exit 0').ok()
    events = [r['event'] for r in box.audit()]
    equal([events[0], events[-1]], ['sandbox.start', 'sandbox.exit'], 'first and last event')
    check('call.start' in events and 'call.exit' in events, 'events %r' % events)


@test(timeout=90)
def none_is_lost_under_load(t):
    box = Box(t)
    result = box.python('''
import threading
n = []
def one(k):
    for i in range(50):
        try: n.append(fetch("http://h%d-%d.example.com/" % (k, i)).status)
        except OSError: n.append(0)
threads = [threading.Thread(target=one, args=(k,)) for k in range(20)]
[x.start() for x in threads]; [x.join() for x in threads]; out([len(n), n.count(403)])''', timeout=80).ok().json()
    equal(result, [1000, 1000], 'answers')
    hosts = {r['host'] for r in box.audit('http.deny') + box.audit('net.deny')}
    equal(len([h for h in hosts if h.startswith('h')]), 1000, 'hosts with a record')
    equal(box.nsbox('audit', 'verify').code, 0, 'verify')


@test
def unwritable_log_stops_decisions(t):
    """A log that reaches the file size limit: from then on every request is denied, and the run says why."""
    origin = Origin(t.pki.context(['api.example.com']))
    box = Box(t).add('--allow', 'api.example.com').connect(origin, 'api.example.com')
    process = box.start_python('''
sys.stdin.readline()
r = []
for i in range(50):
    a = attempt(lambda: fetch("https://api.example.com/%d" % i).status); r.append(a if isinstance(a, int) else 0)
out(r)''', stdin=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN))
    until(lambda: box.logs() and box.audit('call.start'), 30, 'the call does not start')
    resource.prlimit(box.helper('nsbox-supervisor'), resource.RLIMIT_FSIZE, (8000, 8000))
    out, err = process.communicate(b'go\n', timeout=60)
    result = Result(process.returncode, out, err, 0)
    equal(result.code, 125, 'exit status (%r)' % result)
    check('the audit log of' in result.err, 'what is said: %r' % result)
    statuses = result.json()
    good = statuses.count(200)
    check(0 < good < 40, 'requests that went out: %d' % good)
    check(len(origin.requests) <= good + 1, 'requests at the origin %d, answers %d' % (len(origin.requests), good))
    check(200 not in statuses[good:], 'none after the first refusal')
