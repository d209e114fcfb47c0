# SPDX-License-Identifier: Apache-2.0
"""examples/python against the installed library: calls, events, threads, and the examples."""
import subprocess
import sys

from harness.asked import Asked
from harness.box import Box
from harness.python import PRELUDE, SANITIZED, WITH_BOX, directory, script
from harness.registry import check, equal, test


@test
def start_and_wait(t):
    box = Box(t)
    result = script(t, WITH_BOX + '''
with box, box.start(['sh', '-c', 'echo data >file; exit 7'], stdin=sb.NULL, stdout=sb.NULL) as call:
    before = call.state
    end = call.wait()
    again = call.wait()
    out([before.name, call.state.name, end.status, end.signal, end.reason, again == end, end.shell_status,
         call.id == box.id + '.1', call.error, call.terminal, os.path.exists(box.audit_log)])
runtime.close()
''', box=box)
    equal(result, ['RUNNING', 'ENDED', 7, 0, 'exit', True, 7, True, None, None, True], 'call')
    with open(box.work + '/file') as f:
        equal(f.read(), 'data\n', 'the workspace')


@test
def what_waits_for_a_person(t):
    """Answered through the binding; and the reason of a denial carries nothing that a terminal would obey."""
    with Asked(t, lambda q: {'decision': 'ask' if 'wait' in q['argv'] else 'deny', 'reason': 'a\x1b[2Jb\x9bc'}) as box:
        result = script(t, PRELUDE + '''
p = policy().set('audit', 'auditor', 'unix:' + sys.argv[2]).set('audit', 'deadline', '60s')
with sb.Runtime(events='call.denied') as runtime, runtime.create(p) as box:
    said = []
    for decision in (sb.Decision.APPROVE, sb.Decision.DENY):
        call = box.start_async(['echo', 'wait'], stdin=sb.NULL, stdout=sb.NULL)
        while not box.approvals():
            time.sleep(0.01)
        one, = box.approvals()
        box.decide(one['ticket'], one['digest'], decision)
        try:
            said.append(call.wait().status)
        except sb.SandboxError as e:
            said.append(str(e))
    try:
        box.run(['true'])
    except sb.SandboxError as e:
        said.append(str(e))
    said.append([e.reason for e in runtime.events()])
    said.append(policy().check_url('https://a.example/').allowed)
    out(said)
''', box.auditor.path, box=box)
    approved, denied, message, reasons, allowed = result
    equal((approved, allowed), (0, False), 'the call, and what the policy says')
    check('a person said no' in denied, 'denied by a person: %r' % denied)
    check(message.endswith('a\\x1b[2Jb\\xc2\\x9bc'), 'denied by the auditor: %r' % message)
    equal(reasons, ['a person said no', 'a\\x1b[2Jb\\xc2\\x9bc'], 'reasons of the events')


@test
def stdio_pipes(t):
    result = script(t, WITH_BOX + '''
data = os.urandom(1 << 21)
done = box.run(['sh', '-c', 'cat; echo err >&2'], input=data)
with box.start(['sh', '-c', 'read a; echo "got $a"; read b; echo "then $b"'], stdin=sb.PIPE, stdout=sb.PIPE) as call:
    lines = []
    for word in (b'one', b'two'):
        call.stdin.write(word + b'\\n')
        call.stdin.flush()
        lines.append(call.stdout.readline().decode())
    end = call.wait()
    rest = call.stdout.read().decode()
    same = call.stdout is call.stdout
    none = call.stderr
# What is larger than a pipe while nobody in the call reads it.
unread = box.run(['sh', '-c', 'exec <&-; echo ok'], input=bytes(1 << 20))
nothing = box.run(['cat'])
out([done.stdout == data, done.stderr.decode(), done.exit.status, lines, end.status, rest, same, none,
     unread.stdout.decode(), nothing.stdout.decode()])
box.close(); runtime.close()
''')
    equal(result, [True, 'err\n', 0, ['got one\n', 'then two\n'], 0, '', True, None, 'ok\n', ''], 'pipes')


@test
def stdio_descriptors(t):
    box = Box(t)
    result = script(t, WITH_BOX + '''
with open('../out', 'wb') as file:
    box.start(['sh', '-c', 'echo to the file; echo and there >&2'], stdin=sb.NULL, stdout=file, stderr=sb.NULL).wait()
wrong = []
for value in (-1, -2, 9999):
    try:
        box.start(['true'], stdout=value)
        wrong.append('started')
    except ValueError:
        wrong.append('value')
    except sb.SandboxError as e:
        wrong.append(errno.errorcode[e.errno])
out(wrong)
box.close(); runtime.close()
''', box=box)
    equal(result, ['value', 'value', 'EBADF'], 'descriptors that are none')
    with open(box.dir + '/out') as f:
        equal(f.read(), 'to the file\n', 'the file')


@test
def start_async(t):
    result = script(t, WITH_BOX + '''
async def main():
    call = box.start_async(['sh', '-c', 'read line; exit 5'], stdin=sb.PIPE, stdout=sb.NULL)
    first = call.state
    await call.started_async()
    second = call.state
    call.stdin.close()
    end = await call.wait_async()
    missing = box.start_async(['no-such-command'], stdin=sb.NULL, stdout=sb.NULL)
    try:
        await missing.wait_async()
        said = 'no error'
    except sb.SandboxError as e:
        said = [errno.errorcode[e.errno], e.stage.name, missing.state.name, missing.error.message == e.message]
    # Twenty run at once: each ends when it has seen all of them.
    meet = 'touch at.%d; until test $(ls at.* | wc -l) = 20; do sleep 0.05; done; echo %d'
    done = await asyncio.gather(*(box.run_async(['sh', '-c', meet % (n, n)]) for n in range(20)))
    return [first.name, second.name, end.status, said, [int(d.stdout) for d in done] == list(range(20))]
out(asyncio.run(main()))
box.close(); runtime.close()
''')
    equal(result, ['STARTING', 'RUNNING', 5, ['ENOENT', 'EXEC', 'FAILED', True], True], 'asynchronous starts')


@test
def a_loop_of_ones_own(t):
    """fileno() and dispatch() with add_reader, beside an await of the binding on the same runtime."""
    result = script(t, WITH_BOX + '''
async def main():
    loop, seen = asyncio.get_running_loop(), []
    fd = runtime.fileno()
    call = box.start_async(['cat'], stdin=sb.PIPE, stdout=sb.NULL)
    ended = loop.create_future()

    def ready():
        runtime.dispatch()
        seen.append(call.state.name)
        if call.state is sb.State.ENDED and not ended.done():
            ended.set_result(call.wait(0).status)

    loop.add_reader(runtime, ready)
    other = await box.run_async(['echo', 'beside'])
    call.stdin.close()
    status = await ended
    loop.remove_reader(runtime)
    return [status, 'STARTING' in seen or 'RUNNING' in seen, other.stdout.decode(), fd == runtime.fileno()]
out(asyncio.run(main()))
box.close(); runtime.close()
''')
    equal(result, [0, True, 'beside\n', True], 'the loop')


@test
def cancel(t):
    result = script(t, WITH_BOX + '''
call = box.start(['sh', '-c', 'trap "" TERM; (sleep 60 & sleep 60) & sleep 60'], stdin=sb.NULL)
call.cancel()
end = call.wait(30)
call.cancel()  # of one that has ended: nothing
early = box.start_async(['sleep', '60'], stdin=sb.NULL)
early.cancel()
try:
    early.wait(30)
    over = True
except sb.SandboxTimeout:
    over = False
except sb.SandboxError:
    over = early.state is sb.State.FAILED

async def main():
    task = asyncio.ensure_future(box.run_async(['sleep', '60']))
    await asyncio.sleep(0.3)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return [c for c in box.inspect()['calls'] if c['state'] == 'running']
out([end.reason, end.signal, over, asyncio.run(main())])
box.close(); runtime.close()
''')
    equal(result, ['killed', 9, True, []], 'cancelled calls')


@test
def timeouts(t):
    result = script(t, WITH_BOX + '''
call = box.start(['sleep', '600'], stdin=sb.NULL)
try:
    call.wait(0.05)
    early = 'ended'
except sb.SandboxTimeout as e:
    early = [isinstance(e, TimeoutError), errno.errorcode[e.errno], call.state.name, call.poll()]
call.cancel()
begin = time.monotonic()
end = box.start(['sleep', '600'], stdin=sb.NULL, timeout=0.3).wait()
took = time.monotonic() - begin
# Output read before the time was up is there at the second try.
slow = box.start(['sh', '-c', 'echo first; until test -e go; do sleep 0.05; done; echo second'], stdin=sb.NULL,
                 stdout=sb.PIPE, stderr=sb.NULL)
try:
    slow.communicate(timeout=0.2)
    whole = 'ended'
except TimeoutError:
    open('go', 'w').close()
    whole = slow.communicate()[0].decode()
out([early, end.reason, end.shell_status, took > 0.25, whole])
box.close(); runtime.close()
''')
    equal(result, [[True, 'ETIMEDOUT', 'RUNNING', None], 'timeout', 124, True, 'first\nsecond\n'], 'timeouts')


@test
def signals(t):
    result = script(t, WITH_BOX + '''
def ready(script):
    call = box.start(['sh', '-c', script], stdin=sb.NULL, stdout=sb.PIPE)
    call.stdout.readline()
    return call

trapped = ready('trap "exit 9" USR1; echo ready; while :; do sleep 0.05; done')
trapped.signal(signal.SIGUSR1)
plain = ready('echo ready; sleep 60')
plain.signal(signal.SIGKILL)
ends = [trapped.wait(30), plain.wait(30)]
gone = refused(plain.signal, signal.SIGTERM)
several = [ready('echo ready; exec sleep 60') for _ in range(3)]
box.signal(signal.SIGTERM)
out([[e.status, e.signal, e.reason] for e in ends] + [gone[:1], [c.wait(30).signal for c in several]])
box.signal(signal.SIGTERM)  # none runs: nothing
box.close(); runtime.close()
''')
    equal(result, [[9, 0, 'exit'], [0, 9, 'killed'], ['ESRCH'], [15, 15, 15]], 'signals')


@test
def environment_and_directory(t):
    result = script(t, WITH_BOX + '''
done = box.run(['sh', '-c', 'pwd; printf "%s\\\\n" "$A" "$B" "$HOST_ONLY"'], directory='/tmp',
               env={'A': 'one = 1', 'B': 'zwei \\u00fc'})
default = box.run(['pwd'])
out([done.stdout.decode().splitlines(), default.stdout.decode().strip() == os.getcwd(),
     refused(box.run, ['true'], directory='relative')[:2], refused(box.run, ['true'], env={'A=B': 'x'})[:2]])
box.close(); runtime.close()
''', HOST_ONLY='stays outside')
    equal(result, [['/tmp', 'one = 1', 'zwei \u00fc', ''], True, ['EINVAL', 'usage'], ['EINVAL', 'usage']], 'options')


@test
def terminal(t):
    result = script(t, WITH_BOX + '''
call = box.start(['sh', '-c', 'stty size; test -t 0 && test -t 1 && echo a terminal'], terminal=(33, 99))
text = b''
while True:
    try:
        part = os.read(call.terminal, 4096)
    except OSError:  # EIO: the other side is closed
        break
    if not part:
        break
    text += part
out([text.decode().split('\\r\\n'), call.wait(30).status, call.stdout])
box.close(); runtime.close()
''')
    equal(result, [['33 99', 'a terminal', ''], 0, None], 'terminal')


@test
def isolation_and_background(t):
    result = script(t, WITH_BOX + '''
full = box.run(['sh', '-c', 'echo $$'], isolation='full')
left = box.run(['sh', '-c', 'sleep 60 </dev/null >/dev/null 2>&1 & echo $! >pid'])
kept = box.run(['sh', '-c', '(sleep 0.5; echo late >late) </dev/null >/dev/null 2>&1 &'], background=True)
for _ in range(600):
    if os.path.exists('late'):
        break
    time.sleep(0.05)
out([int(full.stdout) < 10, left.exit.status, kept.exit.status, os.path.exists('late'),
     refused(box.run, ['true'], isolation='thick')[:2]])
box.close(); runtime.close()
''')
    equal(result, [True, 0, 0, True, ['EINVAL', 'usage']], 'isolation and background')


@test
def pool_and_inspect(t):
    result = script(t, WITH_BOX + '''
box.set_pool(3)
with box.start(['sleep', '60'], stdin=sb.NULL) as call:
    seen = box.inspect()
running = [c for c in box.inspect()['calls'] if c['state'] == 'running']
tail = [json.loads(line) for line in open(box.audit_log)][-1]
out([[seen['id'] == box.id, seen['name'], seen['workdir'] == os.getcwd(), seen['net'],
      [[c['id'], c['argv'], c['state'], c['isolation']] for c in seen['calls']] == [
          [box.id + '.1', ['sleep', '60'], 'running', seen['calls'][0]['isolation']]],
      seen['calls'][0]['isolation'] in ('light', 'full'), seen['audit']['path'] == box.audit_log,
      len(seen['audit']['head'])], running, box.inspect()['audit']['head'] == tail['hash'],
      refused(box.set_pool, 257)[:1]])
box.close(); runtime.close()
''')
    equal(result, [[True, '', True, 'none', True, True, True, 64], [], True, ['EINVAL']], 'inspect')


# ---- Events, threads, forgetting

@test
def events(t):
    result = script(t, PRELUDE + '''
with sb.Runtime(events=['call.start', 'call.exit']) as runtime, runtime.create(policy()) as box:
    box.run(['sh', '-c', 'exit 3'])
    first = [[e.name, e.sandbox == box.id, e.call == box.id + '.1', e.record['event'] == e.name]
             for e in runtime.events()]
    none = runtime.next_event()

    async def main():
        names = []
        task = asyncio.ensure_future(box.run_async(['sleep', '0.2']))
        async for event in runtime.events_async():
            names.append(event.name)
            if event.name == 'call.exit':
                break
        await task
        return names
    names = asyncio.run(main())
with sb.Runtime() as runtime:
    runtime.start()
    late = refused(runtime._call, 'sandbox_runtime_set_events', runtime._pointer, b'call.exit')
out([first, none, names, late[:2], refused(sb.Runtime, events='CALL exit')[:2]])
''')
    equal(result, [[['call.start', True, True, True], ['call.exit', True, True, True]], None,
                   ['call.start', 'call.exit'], ['EBUSY', 'usage'], ['EINVAL', 'usage']], 'events')


@test
def threads(t):
    """One runtime in many threads: waits do not hold each other up, and none misses its end."""
    result = script(t, WITH_BOX + '''
results = []

def one(n):
    for k in range(5):
        results.append(box.run(['sh', '-c', 'sleep 0.%d; echo %d' % (n % 3, n)]).stdout == b'%d\\n' % n)

threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
blocked = box.start(['sleep', '60'], stdin=sb.NULL)
waiter = threading.Thread(target=lambda: results.append(blocked.wait().signal))
waiter.start()
for x in threads: x.start()
for x in threads: x.join()
blocked.cancel()
waiter.join(30)
out([results.count(True), results[-1], len(results)])
box.close(); runtime.close()
''')
    equal(result, [40, 9, 41], 'results')


@test
def a_wait_can_be_interrupted(t):
    """Python's own signal handlers run during a wait, may use the runtime, and may end it."""
    result = script(t, WITH_BOX + '''
call = box.start(['sh', '-c', 'trap "exit 4" TERM; echo ready; while :; do sleep 0.05; done'], stdin=sb.NULL,
                 stdout=sb.PIPE)
call.stdout.readline()
signal.signal(signal.SIGALRM, lambda *_: call.signal(signal.SIGTERM))
signal.alarm(1)
forwarded = call.wait(30).status
call = box.start(['sleep', '60'], stdin=sb.NULL)
def stop(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, stop)
try:
    signal.alarm(1)
    call.wait(30)
    interrupted = False
except KeyboardInterrupt:
    interrupted = call.state.name
out([forwarded, interrupted])
box.close(); runtime.close()
''')
    equal(result, [4, 'RUNNING'], 'interrupted waits')


@test
def closed_and_forgotten(t):
    result = script(t, WITH_BOX + '''
import gc
call = box.start(['sleep', '60'], stdin=sb.NULL)
del call
gc.collect()
box.run(['true'])  # the next use of the runtime closes what was forgotten
left = [c for c in box.inspect()['calls'] if c['state'] == 'running']
call = box.start(['sleep', '60'], stdin=sb.NULL)
call.close(); call.close()
errors = []
for use in (lambda: call.state, lambda: call.wait(), lambda: call.signal(9)):
    try:
        use()
    except ValueError as e:
        errors.append(str(e))
other = box.start(['sleep', '60'], stdin=sb.NULL)
runtime.close()     # before its sandbox and its call
late = refused(other._exit)
other.close(); box.close(); runtime.close()
out([left, errors, late[:1]])
''')
    equal(result, [[], ['this call is closed'] * 3, ['ECONNRESET']], 'closed objects')


@test
def supervisor_dies(t):
    """Both kinds of waits end with an error when nobody is left to answer."""
    result = script(t, WITH_BOX + '''
def kill_supervisor():
    # It is no child of this process; the test that started this one adopts it.
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/stat' % pid, errors='replace') as f:
                name, rest = f.read().rsplit(')', 1)
        except OSError:
            continue
        if name.endswith('(nsbox-superviso') and int(rest.split()[1]) == os.getppid():
            os.kill(int(pid), signal.SIGKILL)

async def main():
    call = box.start(['sleep', '60'], stdin=sb.NULL)
    asyncio.get_running_loop().call_later(0.3, kill_supervisor)
    try:
        return 'ended', await asyncio.wait_for(call.wait_async(), 30)
    except sb.SandboxError as e:
        first = [errno.errorcode[e.errno], call.state.name != 'RUNNING']
    try:
        return 'ended again', call.wait(30)
    except sb.SandboxError as e:
        return first + [errno.errorcode[e.errno]]
out(asyncio.run(main()))
box.close(); runtime.close()
''')
    equal(result, ['ECONNRESET', True, 'ECONNRESET'], 'what the waits said')


# ---- The examples

def example(t, box, name, *args):
    if SANITIZED:
        t.skip('a sanitized library cannot be loaded into a plain python')
    return subprocess.run([sys.executable, '-X', 'dev', '-B', directory(t) + '/' + name, '--library',
                           t.prefix + '/lib/libsandbox.so', *args], env=box.env, cwd=box.work,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=100)


@test
def example_run(t):
    box = Box(t)
    done = example(t, box, 'run.py', 'sh', '-c', 'echo hello from inside; ls -A ~; exit 7')
    equal((done.returncode, done.stdout), (7, b'hello from inside\n'), 'exit status and stdout (%r)' % done.stderr)
    check(b'event call.exit' in done.stderr, 'events: %r' % done.stderr)
    done = example(t, box, 'run.py', 'no-such-command')
    check(done.returncode == 125 and done.stderr.startswith(b'exec: '), 'an error is printed: %r' % done)


@test
def example_tools(t):
    done = example(t, Box(t), 'tools.py')
    equal((done.returncode, done.stdout.splitlines()[-1:]), (0, [b'all as expected']),
          'exit status and last line (%r)' % done)
