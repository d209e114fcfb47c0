# SPDX-License-Identifier: Apache-2.0
"""Revoking a call: whatever it does, nothing of it is left when that returns. Looked at from the host and the origin."""
import threading

from harness.api import with_api
from harness.origin import Origin
from harness.registry import cases, check, equal, test, until

HOST = 'api.example.com'

# Each leaves something that an end has to reach, and then goes on for ever.
BUSY = {
    'sleeping': 'sleep $1',
    'deaf': 'trap "" TERM HUP INT QUIT; while :; do sleep $1; done',
    'daemon': '(setsid sleep $1 &); setsid sh -c "sleep $1 & wait" & sleep $1',
    'stopped': 'sleep $1 & kill -STOP $!; sleep $1',
    'forking': 'sleep $1 & while :; do (sleep 0.01 &); done',
}


class Streams:
    """An origin that sends, or takes, without end, and knows when each of its connections was cut."""

    def __init__(self, t, host):
        self.cut = {}
        self.origin = Origin(t.pki.context([host]), self.handle)

    def handle(self, connection, request):
        if not request.path.startswith('/stream'):
            connection.send(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
            return True
        cut = self.cut.setdefault(request.path, threading.Event())
        try:
            connection.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
            while True:
                connection.send(b'4000\r\n' + b'x' * 16384 + b'\r\n')
        finally:
            cut.set()

    def is_cut(self, path, seconds):
        return self.cut[path].wait(seconds)


def stream(path):
    return 'curl -sN https://%s%s | (head -c 65536 >/dev/null; echo streaming; cat >/dev/null)' % (HOST, path)


@cases([(i + '_' + name, i, script) for i in ('light', 'full') for name, script in BUSY.items()])
@with_api
def processes(t, api, isolation, script):
    with api.create() as box:
        mark = api.mark + '1'
        other = api.sh(box, 'exec sleep $1', mark)
        until(lambda: api.marked(mark), 30, 'another call runs')
        call = api.sh(box, script, api.mark, isolation=isolation)
        until(api.marked, 30, 'it runs')
        call.revoke()
        equal(api.marked(), [], 'alive when it returned')
        equal(call.wait(30), (0, 9, 'revoked'), 'end')
        equal([r['reason'] for r in api.box.audit('call.exit')], ['revoked'], 'record')
        call.revoke()  # once more is no error
        equal(len(api.marked(mark)), 1, 'another call goes on')
        other.cancel()
        equal(other.wait(30), (0, 9, 'killed'), 'the twin: what was only killed')


@test
@with_api
def live_connections(t, api):
    """The origin sees its stream cut, that of another call goes on; the placeholder is dead, wherever it was copied to."""
    streams = Streams(t, HOST)
    with api.create(api.wired(streams.origin, HOST, secret='KEY')) as box:
        call = api.sh(box, 'echo "$KEY" > key; ' + stream('/stream/revoked'))
        other = api.sh(box, stream('/stream/other'))
        equal(call.stdout.readline(), b'streaming\n', 'the call')
        equal(other.stdout.readline(), b'streaming\n', 'another call')
        with open(api.box.work + '/key') as f:
            placeholder = f.read().strip()
        check(placeholder, 'it has a placeholder')
        call.revoke()
        check(streams.is_cut('/stream/revoked', 30), 'the origin sees the end')
        equal(call.wait(30), (0, 9, 'revoked'), 'end')
        check(not streams.is_cut('/stream/other', 0.5), "another call's stream was cut")
        seen = len(streams.origin.requests)
        status = 'curl -s -o /dev/null -w "%%{http_code}" -H "Authorization: Bearer %s" https://%s/after'
        later = api.sh(box, status % (placeholder, HOST))
        equal(later.stdout.read(), b'403', 'its placeholder in another call')
        equal(len(streams.origin.requests), seen, 'requests at the origin')
        later.wait(30)
        twin = api.sh(box, status % ('$KEY', HOST))
        equal(twin.stdout.read(), b'200', 'the twin: a placeholder of its own')
        equal(streams.origin.requests[-1].header('authorization'), ['Bearer value-of-the-secret-99'], 'at the origin')
        twin.wait(30)
        other.cancel()
        check(streams.is_cut('/stream/other', 30), 'the other stream, in the end')
        other.wait(30)


@test
@with_api
def in_the_background(t, api):
    """What the command left behind, after its end was reported."""
    streams = Streams(t, HOST)
    with api.create(api.wired(streams.origin, HOST)) as box:
        script = '(setsid sh -c \'trap "" TERM; %s\' </dev/null >/dev/null 2>&1; sleep $1) & sleep $1 >/dev/null 2>&1 &'
        call = api.sh(box, script % stream('/stream/left'), api.mark, background=True)
        equal(call.wait(30).reason, 'exit', 'its command')
        until(lambda: '/stream/left' in streams.cut, 30, 'no stream')
        until(api.marked, 30, 'nothing goes on')
        check(not streams.is_cut('/stream/left', 0.3), 'the twin: it goes on')
        call.revoke()
        equal(api.marked(), [], 'alive when it returned')
        check(streams.is_cut('/stream/left', 30), 'the origin sees the end')
        equal([r['reason'] for r in api.box.audit('call.exit')], ['exit', 'revoked'], 'records')


@test
@with_api
def by_command(t, api):
    """nsbox grant revoke, and what it says of calls that are not there."""
    box = api.box
    box.nsbox('create', '--net', 'none', '--name', 'x').ok()
    try:
        process = box.start('exec', 'x', '--', 'sh', '-c', 'trap "" TERM; echo started; sleep %s; sleep %s' % ((api.mark,) * 2))
        equal(process.stdout.readline(), b'started\n', 'it runs')
        until(api.marked, 30, 'it runs')
        box.nsbox('grant', 'revoke', 'x.1').ok()
        equal(api.marked(), [], 'alive when it returned')
        process.communicate(timeout=60)
        equal(process.returncode, 137, 'exit status of the one who waited')
        equal([r['reason'] for r in box.audit('call.exit')], ['revoked'], 'record')
        for word, message in (('x.1', 'ended'), ('x.77', 'ended'), ('absent.1', 'absent'), ('x', 'ID.NUMBER')):
            result = box.nsbox('grant', 'revoke', word)
            equal(result.code, 125, word)
            check(message in result.err, 'message for %s: %r' % (word, result.err))
    finally:
        box.nsbox('rm', '-f', 'x')
