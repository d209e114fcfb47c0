# SPDX-License-Identifier: Apache-2.0
"""Grants: a call whose command is bound to a template has that authority and no more; other calls keep the policy's."""
import json
import os
import threading
import time

from harness.box import Box
from harness.origin import Origin
from harness.registry import cases, check, equal, test, until

HOST, OTHER = 'api.example.com', 'other.example.com'
VALUE, OTHER_VALUE = 'sk-real-7f3a9c21e8b44d06a5', 'sk-real-0011223344556677aa'


class Grants(Box):
    """A workspace with two origins, two secrets, and templates; `narrow` is bound to the command tool, `wide` is not."""

    def __init__(self, t, *lines, policy=()):
        super().__init__(t)
        context = t.pki.context([HOST, OTHER])
        self.origin, self.other = Origin(context), Origin(context)
        self.connect(self.origin, HOST).connect(self.other, OTHER)
        os.makedirs(self.work + '/src')
        os.makedirs(self.work + '/out')
        with open(self.work + '/src/file', 'w') as f:
            f.write('source\n')
        # Two names of one program: the template binds by name.
        for name in ('tool', 'free'):
            with open(self.work + '/' + name, 'w') as f:
                f.write('#!/bin/sh\nexec /bin/sh -c "$@"\n')
            os.chmod(self.work + '/' + name, 0o755)
        self.policy = t.write('grants.ini', '\n'.join([
            '[sandbox]', 'version = 1', '[network]', 'allow = ' + HOST, 'allow = ' + OTHER,
            '[secret API_KEY]', 'source = env:API_KEY', 'allow = https://%s/**' % HOST,
            '[secret OTHER_KEY]', 'source = env:OTHER_KEY', 'allow = https://%s/**' % OTHER,
            *policy, '[grant narrow]', 'argv = tool *', *lines]) + '\n')
        self.add('-f', self.policy, API_KEY=VALUE, OTHER_KEY=OTHER_VALUE)

    def as_tool(self, script, **kwargs):
        return self.run('./tool', script, 'sh', **kwargs)

    def as_free(self, script, **kwargs):
        return self.run('./free', script, 'sh', **kwargs)


def status(url, *options):
    return 'curl -s -o /dev/null -w "%%{http_code} " %s %s; ' % (' '.join(options), url)


@test
def rules(t):
    box = Grants(t, 'allow = GET https://%s/read/**' % HOST)
    script = (status('https://%s/read/x' % HOST) + status('https://%s/write' % HOST) +
              status('https://%s/read/x' % HOST, '-X POST') + status('https://%s/' % OTHER))
    equal(box.as_tool(script).out.split(), ['200', '403', '403', '403'], 'bound to the template')
    equal([r.target for r in box.origin.requests], ['/read/x'], 'what the origin saw')
    equal(box.other.requests, [], 'what the other origin saw')
    denied = box.audit('http.deny')
    equal({r['reason'] for r in denied}, {'grant'}, 'reasons')
    # The twin: the same without the template.
    equal(box.as_free(script).out.split(), ['200', '200', '200', '200'], 'with the policy')


@test
def nothing_named_is_nothing_granted(t):
    box = Grants(t)
    equal(box.as_tool(status('https://%s/' % HOST) + 'env').out.split()[0], '403', 'no rule')
    check('API_KEY' not in box.as_tool('env').out, 'no placeholder')
    equal(box.origin.requests, [], 'what the origin saw')


@test
def secrets(t):
    box = Grants(t, 'allow = ' + HOST, 'allow = ' + OTHER, 'secret = API_KEY')
    out = box.as_tool('env').ok().out
    check('API_KEY=' in out and 'OTHER_KEY' not in out, 'placeholders: %r' % out)
    box.as_tool(status('https://%s/' % HOST, '-H "Authorization: Bearer $API_KEY"')).ok()
    equal(box.origin.requests[-1].header('authorization'), ['Bearer ' + VALUE], 'Authorization')
    check('OTHER_KEY=' in box.as_free('env').ok().out, 'the policy gives both')


@test
def foreign_credentials(t):
    """What was found in some file is not sent, what was issued to the call is."""
    box = Grants(t, 'allow = ' + HOST, 'secret = API_KEY')
    foreign = [('Authorization: Bearer found-in-a-file', '403'), ('Cookie: session=1', '403'), ('X-Api-Key: k', '403'),
               ('X-Other: fine', '200'), ('Authorization: Bearer $API_KEY', '200')]
    script = ''.join(status('https://%s/' % HOST, '-H "%s"' % h) for h, _ in foreign)
    result = box.as_tool(script + 'false')
    equal(result.out.split(), [s for _, s in foreign], 'statuses')
    check('no credential but its own' in result.err and '--allow' not in result.err, 'the hint: %r' % result)
    equal(len(box.origin.requests), 2, 'requests at the origin')
    equal(len(box.audit('http.deny', reason='foreign-credential')), 3, 'records')
    # The twin: with the policy alone the caller may send what he has.
    equal(box.as_free(script).out.split(), ['200'] * 5, 'with the policy')


TRAILER = """python3 -c '
import socket, ssl
s = ssl.create_default_context().wrap_socket(socket.create_connection(("%s", 443)), server_hostname="%s")
s.sendall(b"POST / HTTP/1.1\\r\\nHost: %s\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n1\\r\\nx\\r\\n0\\r\\n%%s: k\\r\\n\\r\\n")
print(s.recv(100).split()[1].decode())'
""" % (HOST, HOST, HOST)


@test
def foreign_credentials_in_trailers(t):
    """Where the head was looked at already: the body is not complete then. With the policy alone they go on."""
    box = Grants(t, 'allow = ' + HOST, 'secret = API_KEY')
    script = TRAILER % 'X-Api-Key' + TRAILER % 'X_Api-Key' + TRAILER % 'X-Sum'
    equal(box.as_tool(script).out.split(), ['403', '403', '200'], 'statuses')
    equal(len(box.audit('http.deny', reason='foreign-credential')), 2, 'records')
    check(b'Api-Key' not in box.origin.raw and b'X-Sum' in box.origin.raw, 'what the origin saw')
    equal(box.as_free(script).out.split(), ['200'] * 3, 'with the policy')
    check(b'X-Api-Key' in box.origin.raw, 'the origin sees it')


@test
def uses_are_counted(t):
    box = Grants(t, 'allow = ' + HOST, 'uses = 3')
    script = status('https://%s/' % HOST) * 5
    equal(box.as_tool(script).out.split(), ['200', '200', '200', '429', '429'], 'statuses')
    equal(len(box.origin.requests), 3, 'requests at the origin')
    check(box.audit('limit.hit', reason='uses'), 'record')
    equal(box.as_free(script).out.split(), ['200'] * 5, 'with the policy')


@test
def bytes_up_are_counted(t):
    box = Grants(t, 'allow = ' + HOST, 'bytes_up = 100K')
    script = ('head -c 60000 /dev/zero > /tmp/x; ' +
              status('https://%s/a' % HOST, '--data-binary @/tmp/x', '-H "Expect:"') +
              status('https://%s/b' % HOST, '--data-binary @/tmp/x', '-H "Expect:"') +
              status('https://%s/c' % HOST, '--data-binary @-', '-H "Transfer-Encoding: chunked"') .replace(
                  'curl', 'cat /tmp/x /tmp/x | curl', 1))
    answers = box.as_tool(script).out.split()
    equal(answers[:2], ['200', '429'], 'statuses')
    check(answers[2] != '200', 'streamed past the bound: %r' % answers)
    check(sum(len(r.body) for r in box.origin.requests if r.body) <= 102400, 'bytes at the origin')
    check(box.audit('limit.hit', reason='bytes-up'), 'record')
    equal(box.as_free(script).out.split(), ['200'] * 3, 'with the policy')


@cases([('light', []), ('full', ['isolation = full'])])
def files(t, lines):
    """/tmp holds the workspace here, so a rule for all of /tmp would be one for the workspace: it is left out."""
    box = Grants(t, 'write = out', 'read = src', *lines)
    script = ('cat src/file; echo x > out/new && echo wrote; '
              'echo x > src/new 2>/dev/null || echo no-write-in-src; cat tool >/dev/null 2>&1 || echo no-read-elsewhere; '
              'echo x > here 2>/dev/null || echo no-write-elsewhere; echo x > /var/tmp/x && echo tmp; '
              'echo x > /tmp/x 2>/dev/null || echo no-tmp; ls /usr >/dev/null && echo usr')
    with open(box.work + '/tool', 'w') as f:
        f.write('unused')
    result = box.run('/bin/sh', '-c', script, flags=('-f', bind(t, box)))
    equal(result.out.split(), ['source', 'wrote', 'no-write-in-src', 'no-read-elsewhere', 'no-write-elsewhere', 'tmp',
                               'no-tmp', 'usr'],
          'what works (%r)' % result)
    equal(sorted(os.listdir(box.work)), ['free', 'out', 'src', 'tool'], 'the workspace on the host')
    equal(os.listdir(box.work + '/out'), ['new'], 'what was granted is written')
    # The twin, bound to nothing.
    twin = box.run('/usr/bin/env', 'sh', '-c', script, flags=('-f', box.policy))
    check('no-' not in twin.out, 'with the policy: %r' % twin)


def bind(t, box):
    """The same policy, its template bound to sh."""
    with open(box.policy) as f:
        text = f.read().replace('argv = tool *', 'argv = sh *')
    box.flags.remove('-f')
    box.flags.remove(box.policy)
    return t.write('bound.ini', text)


@test
def executables(t):
    box = Grants(t, 'exec = /usr/bin/dash', 'exec = /usr/bin/cat')
    result = box.run('/bin/sh', '-c', 'cat src/file; /usr/bin/id; echo after', flags=('-f', bind(t, box)))
    equal(result.out.split(), ['source', 'after'], 'only what is named is executed (%r)' % result)
    twin = box.run('/usr/bin/env', 'sh', '-c', '/usr/bin/id', flags=('-f', box.policy))
    check('uid=' in twin.out, 'with the policy: %r' % twin)


@test
def time_to_live(t):
    box = Grants(t, 'ttl = 700ms')
    result = box.as_tool('trap "" TERM; (setsid sleep 300 &); sleep 300')
    equal(result.code, 137, 'exit status (%r)' % result)
    check(result.seconds < 45, 'ended after %.1f s' % result.seconds)
    equal([r['reason'] for r in box.audit('call.exit')], ['expired'], 'reason')
    check(box.audit('limit.hit', reason='ttl'), 'record')
    equal(box.as_free('sleep 1.4; echo still here').ok().out, 'still here\n', 'with the policy')


@test
def time_to_live_of_connections(t):
    """What goes on in the background ends with the grant, its connection and its placeholder too."""
    cut = threading.Event()

    def stream(connection, request):
        if request.path != '/stream':
            return Origin.answer(box.origin, connection, request)
        try:
            connection.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
            while True:
                connection.send(b'4000\r\n' + b'x' * 16384 + b'\r\n')
                time.sleep(0.01)
        finally:
            cut.set()

    box = Grants(t, 'allow = ' + HOST, 'secret = API_KEY', 'ttl = 8s', 'background = yes')
    box.origin.handler = stream
    named(box)
    try:
        script = ('echo "$API_KEY" > key; (trap "" TERM; curl -sN https://%s/stream >/dev/null 2>&1; : > out/over) '
                  '>/dev/null 2>&1 &' % HOST)
        box.nsbox('exec', 'x', '--background', '--', './tool', script).ok()
        until(lambda: [r for r in box.origin.requests if r.path == '/stream'], 60, 'no stream in the background')
        check(cut.wait(60), 'the origin sees the end')
        until(lambda: box.audit('limit.hit', reason='ttl'), 60, 'record')
        until(lambda: box.audit('call.exit', reason='background-ended'), 60, 'record of the end')
        seen = len(box.origin.requests)
        later = status('https://%s/' % HOST, '-H "Authorization: Bearer $(cat key)"')
        equal(box.nsbox('exec', 'x', '--', './free', later).out.split(), ['403'], 'its placeholder')
        equal(len(box.origin.requests), seen, 'requests at the origin')
        equal(os.listdir(box.work + '/out'), [], 'the process was killed, it did not go on')
    finally:
        box.nsbox('rm', '-f', 'x')


@cases([('not_named', [], 125, False), ('yes', ['background = yes'], 0, True), ('no', ['background = no'], 125, False)])
def background_is_granted(t, lines, code, goes_on):
    """Only a grant that says so lets what is left go on; without the option nothing goes on anyway."""
    box = Grants(t, *lines)
    named(box)
    try:
        script = '(sleep 0.5; echo x > out/%s) >/dev/null 2>&1 &'
        box.nsbox('exec', 'x', '--', './tool', script % 'unasked').ok()
        result = box.nsbox('exec', 'x', '--background', '--', './tool', script % 'bound')
        equal(result.code, code, 'exit status (%r)' % result)
        check(code == 0 or 'background' in result.err, 'message: %r' % result.err)
        # The twin, later than the others: bound to nothing.
        box.nsbox('exec', 'x', '--background', '--', './free', script % 'free').ok()
        until(lambda: 'free' in os.listdir(box.work + '/out'), 60, 'the twin does not go on')
        if goes_on:
            until(lambda: 'bound' in os.listdir(box.work + '/out'), 60, 'it does not go on')
        equal(sorted(os.listdir(box.work + '/out')), ['bound', 'free'] if goes_on else ['free'], 'what went on')
    finally:
        box.nsbox('rm', '-f', 'x')


@test
def record_of_the_grant(t):
    box = Grants(t, 'allow = GET https://%s/**' % HOST, 'secret = API_KEY', 'uses = 3')
    box.as_tool('true').ok()
    start = box.audit('call.start')[0]
    equal(start['grant'], 'narrow', 'name')
    text = '\n'.join(start['granted'])
    for word in ('GET https://%s' % HOST, 'API_KEY', 'uses = 3'):
        check(word in text, '%r is not in %r' % (word, text))
    check(VALUE not in json.dumps(box.audit()), 'a value is in the log')
    box.as_free('true').ok()
    check('grant' not in box.audit('call.start')[0], 'no grant where none binds')


@cases([('rule', ['allow = not.in.policy.example'], 'not.in.policy.example'), ('secret', ['secret = NO_SUCH'], 'NO_SUCH'),
        ('path', ['write = /srv'], '/srv'), ('view', ['view = all'], 'all')])
def more_than_the_policy(t, lines, word):
    box = Grants(t, *lines)
    result = box.as_tool('touch ran')
    equal((result.code, result.out), (125, ''), 'exit status and output (%r)' % result)
    check(word in result.err and 'grants.ini' in result.err, 'the error names it: %r' % result.err)
    check(not os.path.exists(box.work + '/ran'), 'nothing has run')


def named(box):
    box.nsbox('create', *box.flags, '--name', 'x').ok()


@test
def narrowed_by_options(t):
    """nsbox exec: each option takes away, and one that asks for more is refused with what would be accepted."""
    box = Grants(t)
    named(box)
    try:
        script = status('https://%s/a' % HOST) + status('https://%s/a' % OTHER)
        equal(box.nsbox('exec', 'x', '--allow', HOST, '--', './free', script).out.split(), ['200', '403'], '--allow')
        equal(box.nsbox('exec', 'x', '--', './free', script).out.split(), ['200', '200'], 'without')
        out = box.nsbox('exec', 'x', '--secret', 'API_KEY', '--', 'env').ok().out
        check('API_KEY=' in out and 'OTHER_KEY' not in out, '--secret: %r' % out)
        result = box.nsbox('exec', 'x', '--read-only', '--', './free', 'touch here; cat src/file')
        check('source' in result.out and not os.path.exists(box.work + '/here'), '--read-only: %r' % result)
        result = box.nsbox('exec', 'x', '--uses', '1', '--', './free', script)
        equal(result.out.split(), ['200', '429'], '--uses')
        for flags, word in ((['--allow', 'more.example.com'], 'more.example.com'), (['--secret', 'NO_SUCH'], 'NO_SUCH'),
                            (['--write', '/srv'], '/srv'), (['--grant', 'absent'], 'absent'), (['--view', 'all'], 'view')):
            result = box.nsbox('exec', 'x', *flags, '--', './free', 'touch ran')
            equal(result.code, 125, 'exit status of %r (%r)' % (flags, result))
            check(word in result.err, 'message for %r: %r' % (flags, result.err))
        check(not os.path.exists(box.work + '/ran'), 'nothing has run')
        check(box.audit('call.denied'), 'a refused grant is recorded')
    finally:
        box.nsbox('rm', '-f', 'x')


@test
def template_by_name_and_by_command(t):
    """--grant NAME gives a template to any command; a command that is bound to one cannot get out of it."""
    box = Grants(t, 'allow = ' + HOST)
    named(box)
    try:
        script = status('https://%s/a' % HOST) + status('https://%s/a' % OTHER)
        equal(box.nsbox('exec', 'x', '--grant', 'narrow', '--', './free', script).out.split(), ['200', '403'], 'by name')
        result = box.nsbox('exec', 'x', '--allow', OTHER, '--', './tool', script)
        equal((result.code, result.out), (125, ''), 'a bound command asks for more (%r)' % result)
        check('narrow' in result.err and OTHER in result.err, 'message: %r' % result.err)
    finally:
        box.nsbox('rm', '-f', 'x')


@test
def siblings_keep_what_they_have(t):
    """Two calls at once: the narrow one cannot use what the wide one has, and the other way round nothing is lost."""
    box = Grants(t)
    named(box)
    try:
        wide = box.start('exec', 'x', '--', './free', 'echo "$API_KEY" > key; while [ ! -e go ]; do '
                         'sleep 0.1; done; ' + status('https://%s/w' % HOST))
        while not os.path.exists(box.work + '/key') or not open(box.work + '/key').read().strip():
            check(wide.poll() is None, 'the wide call goes on')
        stolen = status('https://%s/n' % HOST, '-H "Authorization: Bearer $(cat key)"')
        narrow = box.nsbox('exec', 'x', '--allow', HOST, '--secret', 'OTHER_KEY', '--', './free', stolen)
        equal(narrow.out.split(), ['403'], 'a placeholder of another call')
        open(box.work + '/go', 'w').close()
        equal(wide.communicate(timeout=60)[0].split(), [b'200'], 'the call that it belongs to')
        equal([r.target for r in box.origin.requests], ['/w'], 'what the origin saw')
        equal([r['reason'] for r in box.audit('secret.misuse')], ['other-call'], 'record')
    finally:
        box.nsbox('rm', '-f', 'x')
