# SPDX-License-Identifier: Apache-2.0
"""Calls when a process that they need is killed: all of them end, and their clients are told."""
import errno
import os
import signal

from harness.api import with_api
from harness.origin import Origin
from harness.registry import check, descendants, equal, processes, test, until
from test_calls import finish

HOST = 'api.example.com'


def kill_helper(api, name, many=False):
    pids = [p for p, n in descendants(os.getpid()).items() if n == name[:15]]
    check(many or len(pids) == 1, '%s: %r' % (name, pids))
    os.kill(pids[0], signal.SIGKILL)


@test(timeout=60)
@with_api
def gateway_killed(t, api):
    """The network is gone for good; what runs goes on without; a new call is refused, as it would have no network."""
    origin = Origin(t.pki.context([HOST]))
    with api.create(api.wired(origin, HOST)) as box:
        box.set_pool(0)
        call = api.sh(box, 'curl -sS https://api.example.com/before >/dev/null; echo ready; read x; '
                      'curl -s -m 5 https://api.example.com/after; echo $?; echo kept > file; read y; exit 9',
                      stdin=api.sb.PIPE)
        equal(call.stdout.readline(), b'ready\n', 'first line')
        waiting = [api.sh_async(box, 'touch ran') for _ in range(3)]
        kill_helper(api, 'nsbox-gateway')
        for w in waiting:
            try:
                w.wait(60)
            except api.sb.SandboxError as e:
                check('gateway' in str(e), 'one that waited: %r' % e)
            w.close()
        call.stdin.write(b'\n')
        call.stdin.flush()
        status = call.stdout.readline()
        check(status not in (b'0\n', b''), 'the running call has no network: curl %r' % status)
        until(lambda: os.path.exists('file'), message='the running call goes on')
        until(lambda: box.inspect()['gateway'] != 'running', message='the supervisor knows')
        e = api.refused(api.sh, box, 'touch ran2')
        equal((e.errno, e.object), (errno.EBUSY, box.id), 'a new call: %r' % e)
        check('gateway' in str(e) and 'make a new sandbox' in str(e), 'message: %r' % str(e))
        check(not os.path.exists('ran2'), 'it did not run')
        call.stdin.write(b'\n')
        call.stdin.flush()
        equal(call.wait(60), (9, 0, 'exit'), 'end of the running call')
        call.close()
        equal(len(api.box.audit('gateway.exit')), 1, 'record')
        with api.create(api.wired(origin, HOST)) as fresh:
            equal(finish(api.sh(fresh, 'curl -sS https://api.example.com/fresh >/dev/null')).status, 0,
                  'a new sandbox')
    equal([r.path for r in origin.requests], ['/before', '/fresh'], 'requests at the origin')
    equal(api.box.nsbox('audit', 'verify').code, 0, 'audit verify')


@test(timeout=60)
@with_api
def part_killed(t, api):
    """init, or a guardian, killed from outside: this sandbox ends and says so, its neighbour goes on."""
    with api.create() as neighbour:
        quiet = api.sh(neighbour, 'echo ready; read x; echo on', stdin=api.sb.PIPE)
        equal(quiet.stdout.readline(), b'ready\n', 'first line')
        for name in ('nsbox-init', 'nsbox-guardian'):
            before = set(descendants(os.getpid()))
            with api.create() as box:
                calls = [api.sh(box, '(setsid sleep $1 &) ; echo ready; sleep $1', api.mark) for _ in range(3)]
                for call in calls:
                    equal(call.stdout.readline(), b'ready\n', 'first line')
                table = processes()
                new = [p for p, n in descendants(os.getpid(), table).items() if p not in before and n == name]
                # A guardian with a running call has a child of another name.
                victims = [p for p in new if name == 'nsbox-init' or
                           any(parent == p and n != name for parent, n, _ in table.values())]
                check(victims, 'no %s among %r' % (name, new))
                os.kill(victims[0], signal.SIGKILL)
                equal([c.wait(60) for c in calls], [(0, 9, 'lost')] * 3, name + ': ends of its calls')
                equal(api.marked(), [], name + ': alive when wait returned')
                e = api.refused(api.sh, box, 'true')
                check(e.errno in (errno.ENOENT, errno.EBUSY), 'the next call: %r' % e)
                for call in calls:
                    call.close()
            equal(api.box.audit()[-1]['event'], 'sandbox.exit', 'last record')
        quiet.stdin.close()
        equal(quiet.stdout.read(), b'on\n', 'the neighbour')
        equal(quiet.wait(60).status, 0, 'the neighbour')
        quiet.close()


@test(timeout=60)
@with_api
def supervisor_killed(t, api):
    box = api.create(api.policy('gateway'))
    calls = [api.sh(box, '(setsid sleep $1 &) ; echo ready; sleep $1', api.mark) for _ in range(3)]
    for call in calls:
        equal(call.stdout.readline(), b'ready\n', 'first line')
    waiting = api.sh_async(box, 'sleep $1', api.mark)
    os.kill(api.supervisor(), signal.SIGKILL)
    for call in (*calls, waiting):
        equal(api.refused(call.wait, 60).errno, errno.ECONNRESET, 'wait')
    # That it takes less than a second is shown by kill9.py, many times.
    until(lambda: not api.marked() and not descendants(os.getpid()), message='alive after the supervisor')
    equal(api.refused(api.sh, box, 'true').errno, errno.ECONNRESET, 'the next call')
    equal(api.refused(api.create).errno, errno.ECONNRESET, 'the next sandbox of this runtime')
    for handle in (*calls, waiting, box):
        handle.close()
    with api.sb.Runtime() as fresh, fresh.create(api.policy()) as box:
        equal(box.run(['echo', 'x']).stdout, b'x\n', 'another runtime')
