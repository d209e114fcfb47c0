# SPDX-License-Identifier: Apache-2.0
"""Calls side by side in one sandbox: each is alone with its output, address and placeholders, and dead when its end is
told. Checked from the host: its /proc, and the server at the other end of the connections."""
import errno
import os
import random
import select
import signal
import socket
import threading
import time

from harness.api import with_api
from harness.origin import Origin
from harness.registry import check, descendants, equal, processes, test, until

HOST = 'api.example.com'
PYTHON = '/usr/bin/python3'


def guardians():
    """Those of this test, each once: the command of a prepared call has not got its own name yet."""
    table = processes()
    mine = descendants(os.getpid(), table)
    return [p for p, name in mine.items() if name == 'nsbox-guardian' and table[table[p][0]][1] != 'nsbox-guardian']


def finish(call, out=None):
    """Its end and what it printed."""
    with call:
        got, err = call.communicate(timeout=60)
        end = call.wait(60)
    if out is not None:
        equal((got.decode(), err), (out, b''), 'output')
    return end


@test(timeout=90)
@with_api
def sixty_four_at_once(t, api):
    with api.create(api.wired(Origin(t.pki.context([HOST])), HOST, secret='KEY')) as box:
        calls = [api.sh_async(box, 'echo ready $(hostname -I) $KEY; read go; echo $1 $go; echo err $1 >&2; exit $1', i,
                              stdin=api.sb.PIPE) for i in range(64)]
        first = [c.stdout.readline().split() for c in calls]
        equal([line[0] for line in first], [b'ready'] * 64, 'all run at the same time')
        equal(len({line[1] for line in first}), 64, 'different addresses')
        equal(len({line[2] for line in first}), 64, 'different placeholders')
        # A start that nobody waits for is answered a little later.
        until(lambda: api.runtime.dispatch() or '' not in {c.id for c in calls}, message='an id for each')
        equal(len({c.id for c in calls}), 64, 'different ids')
        equal(len(box.inspect()['calls']), 64, 'calls that inspect knows')
        for i in random.Random(1).sample(range(64), 64):
            calls[i].stdin.write(b'word-%d\n' % i)
            calls[i].stdin.close()
        for i, call in enumerate(calls):
            out, err = call.communicate(timeout=60)
            equal((out, err), (b'%d word-%d\n' % (i, i), b'err %d\n' % i), 'output')
            equal(call.wait(60), (i, 0, 'exit'), 'end')
            call.close()
        equal(box.inspect()['calls'], [], 'calls left')
    starts, exits = api.box.audit('call.start'), api.box.audit('call.exit')
    equal((len(starts), {r['call']: r['exit'] for r in exits}), (64, {r['call']: int(r['argv'][4]) for r in starts}),
          'records')


@test(timeout=90)
@with_api
def outputs_do_not_mix(t, api):
    with api.create() as box:
        calls = [api.sh_async(box, 'head -c 2000000 /dev/zero | tr "\\0" "$1"', chr(97 + i)) for i in range(16)]
        got = [None] * 16

        def read(i):
            got[i] = calls[i].stdout.read()

        threads = [threading.Thread(target=read, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for i in range(16):
            check(got[i] == bytes([97 + i]) * 2000000, 'output of call %d' % i)
            equal(calls[i].wait(60).status, 0, 'status')
            calls[i].close()


LEAVERS = {
    'plain': 'sleep $1 & sleep $1 &',
    'sessions': 'setsid sleep $1 & setsid setsid sleep $1 &',
    'daemons': '(setsid sh -c "sleep $1 & sleep $1 &" &) ; (setsid sleep $1 &)',
    'deaf': 'setsid sh -c "trap \\"\\" TERM HUP INT QUIT; sleep $1; sleep $1" & sleep 0.05',
    'stopped': 'sh -c "kill -STOP \\$\\$; sleep $1" & sleep $1 &',
    'forking': 'for i in 1 2 3 4; do setsid sh -c "while :; do setsid sleep $1 & : ; sleep 0.002; done" & done; '
               'sleep 0.3',
    'orphan tree': '(sleep $1 & (sleep $1 & (sleep $1 &))) &',
}


@test(timeout=90)
@with_api
def nothing_lives_when_wait_returns(t, api):
    """Looked at through /proc of the host in the same instant."""
    with api.create() as box:
        beside = '2718.%07d' % os.getpid()
        other = api.sh(box, 'echo ready; sleep ' + beside)
        equal(other.stdout.readline(), b'ready\n', 'another call')
        for isolation in ('light', 'full'):
            for name, script in LEAVERS.items():
                for _ in range(3):
                    call = api.sh(box, script + '\necho started; read end', api.mark, stdin=api.sb.PIPE,
                                  isolation=isolation)
                    equal(call.stdout.readline(), b'started\n', name)
                    until(lambda: len(api.marked()) >= 2, message='%s: it started nothing' % name)
                    call.stdin.write(b'end\n')
                    call.stdin.flush()
                    end = call.wait(60)
                    left = api.marked()
                    equal(left, [], '%s, %s: alive when wait returned' % (isolation, name))
                    equal(end.status, 0, name)
                    call.close()
        equal(len(api.marked(beside)), 1, 'the other call goes on')
        other.cancel()
        equal(other.wait(60), (0, 9, 'killed'), 'end of the other call')
        equal(api.marked(beside), [], 'alive when wait returned')
        other.close()


def ended_now(sock):
    """Readable is its end: a client has nothing more to say. Whoever serves it may have closed it by then."""
    try:
        return bool(select.select([sock], [], [], 0)[0])
    except (OSError, ValueError):
        return True


def closed_now(sock):
    """Whether the other side has closed, without waiting for it."""
    sock.setblocking(False)
    try:
        while True:
            if not sock.recv(65536):
                return True
    except BlockingIOError:
        return False
    except OSError:
        return True


@test(timeout=90)
@with_api
def connections_end_with_the_call(t, api):
    """Seen by the server: what a process of an ended call had open is closed when wait returns."""
    server = socket.create_server(('127.0.0.1', 0))
    policy = api.policy('gateway').set('network', 'allow', 'tcp://%s:5432' % HOST)
    policy.set('network', 'connect_to', '%s:5432:127.0.0.1:%d' % (HOST, server.getsockname()[1]))
    script = '''
import os, socket, sys, time
s = [socket.create_connection(("api.example.com", 5432)) for _ in range(5)]
for x in s: x.sendall(b"hello\\n")
for x in s: x.recv(1)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            for x in s:
                try: x.sendall(b"more")
                except OSError: pass
            time.sleep(0.001)
    os._exit(0)
print("ready", flush=True)
sys.stdin.readline()'''
    with api.create(policy) as box:
        for how in ('exit', 'exit', 'cancel', 'timeout'):
            call = box.start([PYTHON, '-c', script], stdin=api.sb.PIPE, stdout=api.sb.PIPE,
                             timeout=8 if how == 'timeout' else None)
            accepted = [server.accept()[0] for _ in range(5)]
            for sock in accepted:
                sock.sendall(b'y')
            equal(call.stdout.readline(), b'ready\n', 'first line')
            check(not any(closed_now(s) for s in accepted), 'open while the call runs')
            if how == 'exit':
                call.stdin.write(b'\n')
                call.stdin.flush()
            elif how == 'cancel':
                call.cancel()
            end = call.wait(60)
            equal([closed_now(s) for s in accepted], [True] * 5, '%s: closed when wait returned' % how)
            equal(end.reason, {'cancel': 'killed'}.get(how, how), 'reason')
            call.close()
            for sock in accepted:
                sock.close()


@test(timeout=60)
@with_api
def requests_end_with_the_call(t, api):
    """The same for HTTPS in the middle of an answer."""
    origin = Origin(t.pki.context([HOST]))
    with api.create(api.wired(origin, HOST)) as box:
        call = api.sh(box, '(setsid curl -sSN "https://api.example.com/events?n=1000&every=0.05" >&2 &) ; '
                      'echo ready; read x',
                      stdin=api.sb.PIPE)
        until(lambda: origin.connections, message='no connection')
        check(call.stderr.read1(100), 'a part of the answer')
        sock = origin.connections[0].sock
        check(not ended_now(sock), 'the connection while the call runs')
        call.stdin.write(b'\n')
        call.stdin.flush()
        call.wait(60)
        check(ended_now(sock), 'still open at the origin when wait returned')
        call.close()


@test(timeout=60)
@with_api
def placeholders_end_with_the_call(t, api):
    """What another call left in a file works for nobody: not while it runs, not afterwards."""
    origin = Origin(t.pki.context([HOST]))
    ask = ('curl -sS -o /dev/null -w "%{http_code}" -H "Authorization: Bearer $(cat key)" '
           'https://api.example.com/stolen')
    with api.create(api.wired(origin, HOST, secret='KEY')) as box:
        first = api.sh(box, 'echo $KEY > key; curl -sS -H "X: $KEY" https://api.example.com/own >/dev/null; '
                       'echo ready; read x',
                       stdin=api.sb.PIPE)
        equal(first.stdout.readline(), b'ready\n', 'first line')
        equal(finish(api.sh(box, ask), '403').status, 0, 'the second call, while the first runs')
        first.stdin.write(b'\n')
        first.stdin.flush()
        equal(first.wait(60).status, 0, 'end of the first')
        equal(finish(api.sh(box, ask), '403').status, 0, 'the second call, afterwards')
        first.close()
        # One that never sent anything, and one in a namespace of its own.
        for isolation in ('light', 'full'):
            finish(api.sh(box, 'echo $KEY > key', isolation=isolation), '')
            equal(finish(api.sh(box, ask, isolation=isolation), '403').status, 0, 'after one that sent nothing')
    equal([r.path for r in origin.requests], ['/own'], 'requests at the origin')
    equal(len(api.box.audit('secret.misuse')), 4, 'records of misuse')


@test(timeout=120)
@with_api
def empty_pool_waits(t, api):
    """Whatever is prepared ahead: a start may have to wait, and never gets what another call had."""
    with api.create(api.wired(Origin(t.pki.context([HOST])), HOST, secret='KEY')) as box:
        seen = []
        for depth in (0, 1, 5):
            box.set_pool(depth)
            calls = [api.sh_async(box, 'echo $(hostname -I) $KEY') for _ in range(64)]
            for call in calls:
                seen.append(call.stdout.readline().split())
                equal(finish(call).status, 0, 'status')
            # One that was taken is made anew a moment later.
            until(lambda: len(guardians()) == depth, message='depth %d: %d prepared' % (depth, len(guardians())))
        equal(len({line[0] for line in seen}), 3 * 64, 'different addresses')
        equal(len({line[1] for line in seen}), 3 * 64, 'different placeholders')
        e = api.refused(box.set_pool, 257)
        equal((e.errno, e.stage), (errno.EINVAL, api.sb.Stage.USAGE), 'too deep a pool')


@test(timeout=60)
@with_api
def pool_adapts(t, api):
    with api.create() as box:
        until(lambda: len(guardians()) == 1, message='one is prepared')
        calls = [api.sh_async(box, 'read end', stdin=api.sb.PIPE) for _ in range(40)]
        # At most forty are for these; it is looked from the beginning, as those that are more go again after a pause.
        until(lambda: api.runtime.dispatch() or len(guardians()) > 41, message='more when many were asked for')
        for call in calls:
            call.stdin.close()
            equal(finish(call).status, 1, 'status')
        until(lambda: len(guardians()) == 1, message='back to one after a pause')


@test(timeout=60)
@with_api
def cancelled_while_waiting(t, api):
    """Given up at any moment: either it never ran, or it was killed; nothing else is touched by it."""
    with api.create() as box:
        box.set_pool(0)
        rng, kinds, rounds = random.Random(5), {}, 0
        # On a machine that is slow to start anything, until that was in time once.
        while rounds < 60 or (rounds < 300 and not (kinds.get('killed') and kinds.get('ECANCELED'))):
            rounds += 1
            calls = [api.sh_async(box, 'echo run >> log; sleep $1', api.mark) for _ in range(3)]
            last = api.sh_async(box, 'echo last')
            time.sleep(rng.uniform(0, 0.012 if rounds <= 60 else rng.choice((0.001, 0.5))))
            for call in calls:
                call.cancel()
            for call in calls:
                try:
                    end = call.wait(60)
                    equal(end, (0, 9, 'killed'), 'end')
                    kind = 'killed'
                except api.sb.SandboxError as e:
                    check(e.errno in (errno.ECANCELED, errno.ECHILD), 'error: %r' % e)
                    kind = errno.errorcode[e.errno]
                kinds[kind] = kinds.get(kind, 0) + 1
            equal(api.marked(), [], 'alive after the cancelled calls ended')
            finish(last, 'last\n')
            for call in calls:
                call.close()
        check(kinds.get('killed') and kinds.get('ECANCELED'), 'both ways were seen: %r' % kinds)
        equal(box.inspect()['calls'], [], 'calls')
    # What was told to have never started has not run.
    started = len(api.box.audit('call.start'))
    check(started >= kinds['killed'] + rounds, 'records: %d of %r' % (started, kinds))


@test(timeout=60)
@with_api
def closed_handle_kills(t, api):
    with api.create() as box:
        for _ in range(20):
            api.sh_async(box, 'setsid sleep $1 & sleep $1', api.mark).close()
            equal(api.marked(), [], 'alive after the handle was closed')


@test(timeout=60)
@with_api
def timeouts(t, api):
    policy = api.policy().set('limits', 'timeout', '10s')
    with api.create(policy) as box:
        begin = time.monotonic()
        own = api.sh(box, 'sleep 50', timeout=0.3)
        limit = api.sh(box, 'sleep 50')
        longer = api.sh(box, 'sleep 50', timeout=60)
        # These have to come to what they do about the signal.
        deaf = api.sh(box, 'trap "" TERM; (setsid sleep $1 &) ; while :; do sleep 0.1; done', api.mark, timeout=4)
        polite = api.sh(box, 'trap "exit 3" TERM; while :; do sleep 0.05; done', timeout=4)
        equal(own.wait(60), (0, 15, 'timeout'), 'its own limit')
        check(time.monotonic() - begin < 9.9, 'after %.2f s' % (time.monotonic() - begin))
        equal(polite.wait(60), (3, 0, 'timeout'), 'one that ends well when asked')
        equal(deaf.wait(60), (0, 9, 'timeout'), 'one that does not listen')
        took = time.monotonic() - begin
        check(8.9 < took < 60, 'after %.2f s' % took)
        equal((limit.wait(60), longer.wait(60)), ((0, 15, 'timeout'),) * 2, 'the limit of the policy')
        took = time.monotonic() - begin
        check(9.9 < took < 45, 'after %.2f s' % took)
        equal(api.marked(), [], 'alive when wait returned')
        for call in (own, limit, longer, deaf, polite):
            call.close()
        equal(finish(api.sh(box, 'echo on'), 'on\n').status, 0, 'the next call')
    equal(len(api.box.audit('limit.hit')), 5, 'records')


@test
@with_api
def signals(t, api):
    script = '''trap 'echo USR1' USR1; trap 'echo TERM; exit 4' TERM; (sleep $1; echo late) & echo ready
                while :; do sleep 0.02; done'''
    with api.create() as box:
        one, two = [api.sh(box, script, api.mark) for _ in range(2)]
        for call in (one, two):
            equal(call.stdout.readline(), b'ready\n', 'first line')
        one.signal(signal.SIGUSR1)
        equal(one.stdout.readline(), b'USR1\n', 'the signal')
        one.signal(signal.SIGTERM)
        equal(one.wait(60), (4, 0, 'exit'), 'end of one')
        e = api.refused(one.signal, signal.SIGTERM)
        equal(e.errno, errno.ESRCH, 'a signal for what has ended')
        one.cancel()
        for bad in (0, 65, -1):
            equal(api.refused(two.signal, bad).errno, errno.EINVAL, 'signal %d' % bad)
        equal(two.poll(), None, 'the other goes on')
        box.signal(signal.SIGKILL)
        equal(two.wait(60), (0, 9, 'killed'), 'end of two')
        equal(api.marked(), [], 'alive when wait returned')
        equal(two.stdout.read(), b'', 'what two printed')
        self_inflicted = api.sh(box, 'kill -SEGV $$')
        equal(self_inflicted.wait(60), (0, 11, 'signal'), 'a signal of its own')
        box.signal(signal.SIGTERM)
        for call in (one, two, self_inflicted):
            call.close()


@test
@with_api
def environment_and_directory(t, api):
    os.makedirs('sub/deep')
    with api.create() as box:
        script = 'echo ${A-none} ${B-none} $PWD'
        calls = [api.sh_async(box, script, env={'A': str(i)}, directory=api.box.work + '/sub') for i in range(20)]
        plain = api.sh_async(box, script)
        for i, call in enumerate(calls):
            finish(call, '%d none %s/sub\n' % (i, api.box.work))
        finish(plain, 'none none %s\n' % api.box.work)
        e = api.refused(api.sh, box, 'touch ran', directory=api.box.work + '/missing')
        equal((e.errno, e.stage, e.object), (errno.ENOENT, api.sb.Stage.USAGE, api.box.work + '/missing'),
              'no directory')
        e = api.refused(api.sh, box, 'touch ran', directory='/proc/self/fd/0')
        equal((e.errno, e.stage), (errno.ENOTDIR, api.sb.Stage.USAGE), 'a magic link')
        outside = os.open('/', os.O_RDONLY | os.O_DIRECTORY)
        tricks = [api.refused(api.sh, box, 'touch ran; ls', directory='/proc/self/fd/%d' % fd, stdin=outside).errno
                  for fd in range(3, 20)]
        os.close(outside)
        check(errno.EACCES in tricks, 'a magic link to a directory of the host was met: %r' % tricks)
        check(not os.path.exists('ran'), 'nothing ran')
        # What one call does to its own surroundings is its own.
        finish(api.sh(box, 'cd /; umask 077; ulimit -n 64; export A=x'), '')
        finish(api.sh(box, 'umask; ulimit -n; ' + script), '0022\n1024\nnone none %s\n' % api.box.work)


@test(timeout=60)
@with_api
def background(t, api):
    """What is left goes on with its network and placeholder, and ends with the sandbox at the latest."""
    origin = Origin(t.pki.context([HOST]))
    script = '''(while [ ! -e stop ]; do
                 curl -s -o /dev/null -H "X: $KEY" https://api.example.com/beat; sleep 0.05; done;
             : $1) >/dev/null 2>&1 & (setsid sleep $1 >/dev/null 2>&1 &) ; exit 6'''
    with api.create(api.wired(origin, HOST, secret='KEY')) as box:
        call = api.sh(box, script, api.mark, background=True)
        equal(call.wait(60), (6, 0, 'exit'), 'end of its command')
        check(len(api.marked()) >= 1, 'it goes on')
        seen = len(origin.requests)
        until(lambda: len(origin.requests) >= seen + 5, message='no requests from the background')
        equal({r.header('x')[0] for r in origin.requests}, {'value-of-the-secret-99'}, 'placeholders go on')
        finish(api.sh(box, 'echo other'), 'other\n')
        ended = api.sh(box, 'sleep 0.3 >/dev/null 2>&1 &', background=True)
        equal(ended.wait(60).status, 0, 'end of its command')
        until(lambda: api.box.audit('call.exit', reason='background-ended'), message='no record of its end')
        killed = api.sh(box, 'sleep 999 >/dev/null 2>&1 & echo $KEY > key', background=True)
        killed.wait(60)
        for c in (call, ended, killed):
            c.close()
        check(api.marked(), 'closing the handle of an ended call leaves its background alone')
    equal(api.marked(), [], 'alive when the sandbox was closed')


@test(timeout=60)
@with_api
def full_isolation(t, api):
    with api.create() as box:
        light = api.sh(box, 'touch /tmp/of-light; echo ready; exec sleep $1', api.mark)
        equal(light.stdout.readline(), b'ready\n', 'first line')
        # All alive until the last has answered: the number of a namespace that is gone is given again.
        namespaces = ('readlink /proc/self/ns/pid /proc/self/ns/mnt /proc/self/ns/net /proc/self/ns/user; '
                      'exec sleep $1')
        calls = [api.sh(box, namespaces, api.mark, isolation=i) for i in ('light', 'light', 'full', 'full')]
        a, b, c, d = ([call.stdout.readline().decode().strip() for _ in range(4)] for call in calls)
        for call in calls:
            call.cancel()
            call.wait(60)
            call.close()
        equal(a[:2], b[:2], 'two light calls share pid and mount namespaces')
        equal(len({x[0] for x in (a, c, d)}), 3, 'pid namespaces of full calls')
        equal(len({x[1] for x in (a, c, d)}), 3, 'mount namespaces of full calls')
        equal(len({x[2] for x in (a, b, c, d)}), 4, 'every call has a network namespace of its own')
        equal(len({x[3] for x in (a, b, c, d)}), 1, 'one user namespace')
        call = api.sh(box, 'ls -d /tmp/of-light; ls /proc | grep -c "^[0-9]"; kill -0 -1 2>&1; echo $$',
                      isolation='full')
        out = call.communicate()[0].decode().split('\n')
        equal(out[0], '/tmp/of-light', '/tmp is that of all calls')
        check(int(out[1]) <= 6, 'processes that a full call sees: %r' % out)
        finish(call)
        equal(light.poll(), None, 'the light call goes on')
        light.cancel()
        light.wait(60)
        light.close()


@test(timeout=120)
@with_api
def most_at_once(t, api):
    """1,024 calls; one more is refused by name of the limit, and works when one has ended."""
    with api.create() as box:
        calls, over = [], []
        for _ in range(1024 + 8):
            calls.append(box.start_async(['sleep', api.mark], stdin=api.sb.NULL, stdout=api.sb.NULL,
                                         stderr=api.sb.NULL))
        for call in calls[:1024]:
            while call.state == api.sb.State.STARTING:
                select.select([api.runtime], [], [], 30)
                api.runtime.dispatch()
            equal((call.state, call.error), (api.sb.State.RUNNING, None), 'state')
        for call in calls[1024:]:
            e = api.refused(call.wait, 60)
            over.append((e.errno, '1024 calls' in str(e)))
        equal(over, [(errno.EBUSY, True)] * 8, 'those over the limit')
        equal(len(api.marked()), 1024, 'processes')
        calls[0].cancel()
        calls[0].wait(60)
        finish(api.sh(box, 'echo room'), 'room\n')
        begin = time.monotonic()
    check(time.monotonic() - begin < 20 * t.slowness, 'ending them took %.1f s' % (time.monotonic() - begin))
    equal(api.marked(), [], 'alive when the sandbox was closed')
    for call in calls:
        call.close()
