# SPDX-License-Identifier: Apache-2.0
"""examples/python: the binding covers the whole API, and works against the installed library."""
import ast
import ctypes
import glob
import importlib.util
import json
import os
import re
import subprocess
import sys

from harness.box import Box
from harness.registry import check, equal, test

SANITIZED = 'NSBOX_SANITIZED' in os.environ

# What the scripts begin with. `box` has no network, so no gateway starts.
PRELUDE = '''
import asyncio, errno, json, os, signal, sys, threading, time
import libsandbox as sb
sb.load(sys.argv[1])

def out(value):
    print(json.dumps(value), flush=True)

def policy():
    return sb.Policy().set('network', 'mode', 'none')

def refused(function, *arguments, **options):
    """errno, stage and object of the error that this must be."""
    try:
        function(*arguments, **options)
    except sb.SandboxError as e:
        return [errno.errorcode[e.errno], sb.stage_name(e.stage), e.object]
    return 'no error'
'''
WITH_BOX = PRELUDE + '''
runtime = sb.Runtime()
box = runtime.create(policy())
'''


def directory(t):
    return os.path.join(os.path.dirname(os.path.dirname(t.tests)), 'examples', 'python')


def binding(t):
    """The module; nothing is loaded by importing it."""
    spec = importlib.util.spec_from_file_location('libsandbox', directory(t) + '/libsandbox.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def headers(t):
    """The installed public headers without comments."""
    paths = sorted(glob.glob(t.prefix + '/include/sandbox/*.h'))
    check(len(paths) >= 8, 'headers %r' % paths)
    text = ''
    for path in paths:
        with open(path) as f:
            text += f.read()
    return re.sub(r'//[^\n]*|/\*.*?\*/', ' ', text, flags=re.S)


def functions(t):
    """name -> [type of the result, type of each argument]: the words and stars of each, without its name."""
    def type_of(declaration):
        words = re.findall(r'\w+|\*', declaration)
        return ' '.join(words[:-1] if len(words) > 1 and words[-1] != '*' else words)

    found = {}
    for result, name, arguments in re.findall(r'SANDBOX_API\s+([^;()]*?)(\w+)\s*\(([^)]*)\)\s*;', headers(t)):
        listed = [] if arguments.strip() == 'void' else [type_of(a) for a in arguments.split(',')]
        found[name] = [' '.join(re.findall(r'\w+|\*', result))] + listed
    return found


def expected_type(c):
    """What ctypes has to be told about this C type. Handles are addresses; a handle out is the address of one."""
    known = {'void': None, 'int': ctypes.c_int, 'unsigned': ctypes.c_uint, 'unsigned long': ctypes.c_ulong,
             'const char *': ctypes.c_char_p, 'const void *': ctypes.c_void_p,
             'const char * const *': ctypes.POINTER(ctypes.c_char_p),
             'const char * *': ctypes.POINTER(ctypes.c_char_p),
             'char * *': ctypes.POINTER(ctypes.c_void_p), 'const void * *': ctypes.POINTER(ctypes.c_void_p),
             'int *': ctypes.POINTER(ctypes.c_int), 'unsigned long *': ctypes.POINTER(ctypes.c_ulong)}
    if c in known:
        return known[c]
    if re.fullmatch(r'(const )?sandbox(_\w+)? \*', c):
        return ctypes.c_void_p
    if re.fullmatch(r'sandbox(_\w+)? \* \*', c):
        return ctypes.POINTER(ctypes.c_void_p)
    raise AssertionError('the test does not know the C type %r' % c)


def script(t, text, *args, box=None, code=0, timeout=40, **env):
    """Run a script with the binding; what its last line says."""
    if SANITIZED:
        t.skip('a sanitized library cannot be loaded into a plain python')
    box = box or Box(t)
    done = subprocess.run([sys.executable, '-X', 'dev', '-B', '-c', text, t.prefix + '/lib/libsandbox.so', *args],
                          env=dict(box.env, PYTHONPATH=directory(t), **env), cwd=box.work, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
    equal(done.returncode, code, 'exit status (%r, %r)' % (done.stdout[-500:], done.stderr[-1500:]))
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout else None


# ---- The binding and the headers

@test
def every_function_is_bound(t):
    api = functions(t)
    # Nothing is overlooked: the word stands once more in each #define, of which there are two.
    equal(len(api), headers(t).count('SANDBOX_API') - 2, 'declarations understood')
    module = binding(t)
    equal(sorted(module.PROTOTYPES), sorted(api), 'functions')
    for name, types in api.items():
        bound = module.PROTOTYPES[name]
        equal(len(bound) - 1, len(types) - 1, 'arguments of ' + name)
        for at, (ours, theirs) in enumerate(zip(bound, types)):
            equal(ours, expected_type(theirs), '%s of %s (%s)' % (at or 'result', name, theirs))


@test
def every_function_is_used(t):
    """A prototype alone helps nobody: each function stands somewhere in the code of a method too."""
    with open(directory(t) + '/libsandbox.py') as f:
        text = f.read()
    code = text[text.index('# ---- The library and its errors'):]
    composed = {'sandbox_event_' + member for member in ('name', 'sandbox', 'call', 'reason', 'json')}
    check("_function('sandbox_event_' + member)" in code, 'members of events')
    for name in set(functions(t)) - composed:
        check("'%s'" % name in code, '%s is used nowhere' % name)


@test
def constants_are_the_same(t):
    module, text = binding(t), headers(t)
    for kind, pattern in ((module.Stage, r'\bSANDBOX_STAGE_(\w+) = (\d+)'),
                          (module.State, r'\bSANDBOX_CALL_(\w+) = (\d+)'),
                          (module.Stdio, r'#define SANDBOX_STDIO_(\w+) \((-\d+)\)')):
        equal({m.name: m.value for m in kind}, {n: int(v) for n, v in re.findall(pattern, text)}, kind.__name__)


@test
def only_the_standard_library_and_python_3_9(t):
    for path in glob.glob(directory(t) + '/*.py'):
        with open(path) as f:
            text = f.read()
        tree = ast.parse(text, feature_version=(3, 9))
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else \
                [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                check(name == 'libsandbox' or name.split('.')[0] in sys.stdlib_module_names, path + ' imports ' + name)
        check('os.environ' not in text and 'getenv' not in text, path + ' reads the environment')


# ---- Finding the library

FIND = 'import json, libsandbox; print(json.dumps(libsandbox.version_info()))'


@test
def found_through_pkg_config(t):
    found = script(t, FIND, PKG_CONFIG_PATH=t.prefix + '/lib/pkgconfig', LD_LIBRARY_PATH='')
    equal(sorted(found), ['api', 'kernel', 'landlock_abi', 'version'], 'version')
    equal(found['version'], '0.1.0', 'version')


@test
def not_found(t):
    said = script(t, '''
import json, sys, libsandbox
found = []
for path in ("/nonexistent/libsandbox.so", "libc.so.6"):
    try:
        libsandbox.load(path)
    except OSError as error:
        found.append([error.errno, path in str(error)])
print(json.dumps(found))''')
    equal(said, [[2, True], [2, True]], 'errors')


# ---- Grants

@test
def grants(t):
    result = script(t, PRELUDE + """
p = sb.Policy().set('network', 'allow', 'https://a.example.com/**')
p.set('secret KEY', 'allow', 'https://a.example.com/**').set('grant push', 'argv', 'git push *')
p.set('grant push', 'allow', 'POST https://a.example.com/x/**').set('limits', 'timeout', '1m')
push, top = p.grant('push'), sb.Grant()
mine = sb.Grant().set('allow', 'https://a.example.com/x/y').set('secret', 'KEY').set('uses', '3').check(p)
both = mine.intersect(push)
wide = sb.Grant().set('allow', 'https://a.example.com', '--allow').set('allow', 'b.example.com', '--allow')
out([p.grant_for(['git', 'push', 'x']), p.grant_for(['make']), push.excess(top), top.excess(push) is None,
     both.excess(mine), both.excess(push), both.check_url(p, 'https://a.example.com/x/y', 'POST').allowed,
     both.check_url(p, 'https://a.example.com/x/y').reason, both.check_secret(p, 'KEY').allowed,
     mine.check_secret(p, 'KEY').allowed, mine.check_path(p, '.', True).allowed, push.dump().splitlines()[:2],
     refused(wide.check, p), refused(p.grant, 'pull'), refused(top.set, 'argv', 'x')])
""")
    equal(result, ['push', None, None, False, None, None, True, 'grant', False, True, True,
                   ['[grant push]', 'argv = git push * ; bound to this command/api'],
                   ['EPERM', 'policy', 'b.example.com'], ['ENOENT', 'policy', 'pull'], ['EINVAL', 'policy', 'x']], 'grants')


# ---- Calls

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
    call = box.start_async(['sh', '-c', 'sleep 0.2; exit 5'], stdin=sb.NULL, stdout=sb.NULL)
    first = call.state
    await call.started_async()
    second = call.state
    end = await call.wait_async()
    missing = box.start_async(['no-such-command'], stdin=sb.NULL, stdout=sb.NULL)
    try:
        await missing.wait_async()
        said = 'no error'
    except sb.SandboxError as e:
        said = [errno.errorcode[e.errno], e.stage.name, missing.state.name, missing.error.message == e.message]
    # Twenty at once take about as long as one.
    begin = time.monotonic()
    done = await asyncio.gather(*(box.run_async(['sh', '-c', 'sleep 0.5; echo %d' % n]) for n in range(20)))
    return [first.name, second.name, end.status, said, [int(d.stdout) for d in done] == list(range(20)),
            time.monotonic() - begin < 8]
out(asyncio.run(main()))
box.close(); runtime.close()
''')
    equal(result, ['STARTING', 'RUNNING', 5, ['ENOENT', 'EXEC', 'FAILED', True], True, True], 'asynchronous starts')


@test
def a_loop_of_ones_own(t):
    """fileno() and dispatch() with add_reader, beside an await of the binding on the same runtime."""
    result = script(t, WITH_BOX + '''
async def main():
    loop, seen = asyncio.get_running_loop(), []
    fd = runtime.fileno()
    call = box.start_async(['sh', '-c', 'sleep 0.3'], stdin=sb.NULL)
    ended = loop.create_future()

    def ready():
        runtime.dispatch()
        seen.append(call.state.name)
        if call.state is sb.State.ENDED and not ended.done():
            ended.set_result(call.wait(0).status)

    loop.add_reader(runtime, ready)
    other = await box.run_async(['echo', 'beside'])
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
end = call.wait(10)
call.cancel()  # of one that has ended: nothing
early = box.start_async(['sleep', '60'], stdin=sb.NULL)
early.cancel()
try:
    early.wait(10)
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
begin = time.monotonic()
call = box.start(['sleep', '60'], stdin=sb.NULL, timeout=0.3)
try:
    call.wait(0.05)
    early = 'ended'
except sb.SandboxTimeout as e:
    early = [isinstance(e, TimeoutError), errno.errorcode[e.errno], call.state.name, call.poll()]
end = call.wait()
took = time.monotonic() - begin
# Output read before the time was up is there at the second try.
slow = box.start(['sh', '-c', 'echo first; sleep 0.6; echo second'], stdin=sb.NULL, stdout=sb.PIPE, stderr=sb.NULL)
try:
    slow.communicate(timeout=0.2)
    whole = 'ended'
except TimeoutError:
    whole = slow.communicate()[0].decode()
out([early, end.reason, end.shell_status, 0.25 < took < 6, whole])
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
ends = [trapped.wait(10), plain.wait(10)]
gone = refused(plain.signal, signal.SIGTERM)
several = [ready('echo ready; exec sleep 60') for _ in range(3)]
box.signal(signal.SIGTERM)
out([[e.status, e.signal, e.reason] for e in ends] + [gone[:1], [c.wait(10).signal for c in several]])
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
out([text.decode().split('\\r\\n'), call.wait(10).status, call.stdout])
box.close(); runtime.close()
''')
    equal(result, [['33 99', 'a terminal', ''], 0, None], 'terminal')


@test
def isolation_and_background(t):
    result = script(t, WITH_BOX + '''
full = box.run(['sh', '-c', 'echo $$'], isolation='full')
left = box.run(['sh', '-c', 'sleep 60 </dev/null >/dev/null 2>&1 & echo $! >pid'])
kept = box.run(['sh', '-c', '(sleep 0.5; echo late >late) </dev/null >/dev/null 2>&1 &'], background=True)
for _ in range(200):
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
waiter.join(10)
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
forwarded = call.wait(20).status
call = box.start(['sleep', '60'], stdin=sb.NULL)
def stop(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, stop)
signal.alarm(1)
try:
    call.wait(20)
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
            with open('/proc/%s/stat' % pid) as f:
                name, rest = f.read().rsplit(')', 1)
        except OSError:
            continue
        if name.endswith('(nsbox-superviso') and int(rest.split()[1]) == os.getppid():
            os.kill(int(pid), signal.SIGKILL)

async def main():
    call = box.start(['sleep', '60'], stdin=sb.NULL)
    asyncio.get_running_loop().call_later(0.3, kill_supervisor)
    try:
        return 'ended', await asyncio.wait_for(call.wait_async(), 10)
    except sb.SandboxError as e:
        first = [errno.errorcode[e.errno], call.state.name != 'RUNNING']
    try:
        return 'ended again', call.wait(10)
    except sb.SandboxError as e:
        return first + [errno.errorcode[e.errno]]
out(asyncio.run(main()))
box.close(); runtime.close()
''')
    equal(result, ['ECONNRESET', True, 'ECONNRESET'], 'what the waits said')


# ---- Policies and errors

@test
def errors(t):
    result = script(t, WITH_BOX + '''
open('plain', 'w').close()
e = None
try:
    box.run(['no-such-command'])
except OSError as error:
    e = error
out([isinstance(e, sb.SandboxError), errno.errorcode[e.errno], e.stage == sb.Stage.EXEC, 'no-such-command' in str(e),
     refused(box.run, ['./plain'])[:2], refused(box.run, [])[:2], refused(sb.Policy('/nonexistent').check)[0],
     refused(sb.Policy().set, 'network', 'allow', 'https://')[:2], refused(sb.Policy().load_profile, 'nix')[1],
     refused(sb.Policy().load_file, '/nonexistent.ini')[:1], refused(runtime.open, 'nobody')[:1],
     [sb.stage_name(s) for s in (sb.Stage.MOUNT, sb.Stage.USER_NAMESPACE, 99)], sb.version()])
box.close(); runtime.close()
''')
    equal(result, [True, 'ENOENT', True, True, ['EACCES', 'exec'], ['EINVAL', 'usage'], 'ENOENT', ['EINVAL', 'policy'],
                   'policy', ['ENOENT'], ['ENOENT'], ['mount', 'user-namespace', 'unknown'], '0.1.0'], 'errors')


@test
def arguments_of_the_wrong_kind(t):
    """Python's errors, before anything reaches C."""
    result = script(t, WITH_BOX + '''
kinds = []
for wrong in (lambda: box.run('ls -l'), lambda: box.run(['a\\0b']), lambda: box.run([1]),
              lambda: box.run(['true'], timeout=-1), lambda: sb.Policy('a\\0b'), lambda: box.run(['true'], colour=1),
              lambda: box.start(sb.Command(['true']), timeout=1), lambda: box.set_pool(-1),
              lambda: sb.Policy().set('network', None, 'x'), lambda: runtime.open(None)):
    try:
        wrong()
        kinds.append('no error')
    except (TypeError, ValueError) as e:
        kinds.append(type(e).__name__)
out(kinds)
box.close(); runtime.close()
''')
    equal(result, ['TypeError', 'ValueError', 'TypeError', 'ValueError', 'ValueError', 'TypeError', 'TypeError',
                   'ValueError', 'TypeError', 'TypeError'], 'kinds of errors')


@test
def policies(t):
    box = Box(t)
    t.write('box/policy.ini', '[sandbox]\nversion = 1\n[network]\nallow = https://api.example.com/v1/**\n')
    result = script(t, PRELUDE + '''
p = sb.Policy(os.getcwd()).load_profile('base').load_file('../policy.ini')
p.set('network', 'deny', 'https://api.example.com/v1/admin/**', '--deny')
p.set('secret TOKEN', 'allow', 'https://api.example.com/**').set_secret_value('TOKEN', b'0123456789abcdef')
p.check()
yes, no = p.check_url('https://api.example.com/v1/x', 'POST'), p.check_url('https://api.example.com/v1/admin/x')
path = p.check_path(os.getcwd() + '/file', write=True)
dump = p.dump()
out([yes.allowed, no.allowed, no.source, path.allowed, 'version = 1' in dump, '0123456789abcdef' in dump, p.warnings,
     refused(p.set_secret_value, 'TOKEN', b'two\\nlines')[:2]])
p.close()
''', box=box)
    equal(result, [True, False, '--deny', True, True, False, [], ['EINVAL', 'secret']], 'policy')


@test
def profiles_and_projects(t):
    box = Box(t)
    text = '[sandbox]\nversion = 1\n[filesystem]\nhide = x\n'
    t.write('box/work/x', '')
    result = script(t, PRELUDE + '''
p = sb.Policy(os.getcwd())
before = [sb.project_state('.'), p.load_project()]
open('.nsbox.ini', 'w').write(sys.argv[2])
unknown = [sb.project_state('.'), p.load_project()]
sb.trust_project('.', sys.argv[2])
trusted = [sb.project_state('.')[0], p.load_project(), p.check_path('x').allowed]
open('.nsbox.ini', 'a').write(';')
changed = [sb.project_state('.'), refused(sb.Policy(os.getcwd()).load_project)[:2]]
out([before, unknown, trusted, changed, 'git' in [x['name'] for x in sb.profiles()], 'version = 1' in sb.profile_text('git'),
     refused(sb.profile_text, 'gti')[:2], sb.profiles_for(['nice', 'git', 'x']), sb.profiles_for(['x'])])
''', text, box=box)
    equal(result, [[['none', None, None], 'none'], [['unknown', text, None], 'unknown'], ['trusted', 'trusted', False],
                   [['changed', text + ';', text], ['ESTALE', 'policy']], True, True, ['ENOENT', 'policy'],
                   [{'profile': 'git', 'by': 'git'}], []], 'profiles and projects')


@test
def audit(t):
    result = script(t, WITH_BOX + '''
box.run(['true'])
name, path = box.id, box.audit_log
box.close(); runtime.close()
head = [json.loads(line)['hash'] for line in open(path)][-1]
intact = [sb.audit_verify(path), sb.audit_verify(path, head), sb.audit_verify(path, '0' * 64)]
elsewhere = sb.Policy().set_audit_log('../elsewhere.jsonl').set('network', 'mode', 'none')
with sb.Runtime() as runtime, runtime.create(elsewhere) as box:
    box.run(['true'])
out([sb.audit_path(name) == path, sb.audit_path() == path, [ok for ok, _ in intact], all(text for _, text in intact),
     os.path.exists('../elsewhere.jsonl'), refused(sb.audit_path, 'nosuchid')[:2]])
''')
    equal(result, [True, True, [True, True, False], True, True, ['ENOENT', 'audit']], 'audit')


@test(timeout=90)
def doctor(t):
    result = script(t, PRELUDE + '''
with sb.Runtime() as runtime:
    ok, controls = runtime.doctor()
out([ok, sorted(controls[0]), {c['status'] for c in controls} <= {'ok', 'missing', 'degraded'}])
''', timeout=80)
    equal(result, [True, ['control', 'fix', 'status'], True], 'doctor')


# ---- Named sandboxes

@test(timeout=120)
def named_sandboxes(t):
    box = Box(t)
    try:
        result = script(t, PRELUDE + '''
def names():
    return [entry['name'] for entry in sb.list_sandboxes()]

with sb.Runtime() as runtime, runtime.create_named(policy(), 'one') as box:
    box.run(['sh', '-c', 'echo kept >/tmp/note'])
    taken = refused(runtime.create_named, policy(), 'one')[0]
    wrong = refused(runtime.create_named, policy(), '-x')[0]
    first = [box.name, box.inspect()['name']]
    unnamed = runtime.create_named(policy())
    by_id = unnamed.name == unnamed.id
    unnamed.remove()
    unnamed.close()
there = names()
entry = sorted(sb.list_sandboxes()[0])
with sb.Runtime() as runtime, runtime.open('one') as box:
    found = box.run(['cat', '/tmp/note']).stdout.decode()
    same = runtime.open(box.id).id == box.id
    call = box.start(['sleep', '60'], stdin=sb.NULL)
    busy = refused(box.remove)[0]
    # One that another runtime has started.
    with sb.Runtime() as other, other.open('one') as again:
        second = again.start(['sleep', '60'], stdin=sb.NULL)
        box.signal_call(second.id, signal.SIGTERM)
        signalled = [second.wait(10).signal, refused(box.signal_call, second.id, signal.SIGTERM)[0]]
    box.remove(force=True)
    call.close()
out([first, taken, wrong, by_id, there, entry, found, same, busy, signalled, names()])
''', box=box, timeout=100)
        equal(result, [['one', 'one'], 'EEXIST', 'EINVAL', True, ['one'],
                       ['created', 'id', 'name', 'net', 'pid', 'state', 'workdir'], 'kept\n', True, 'EBUSY',
                       [15, 'ESRCH'], []], 'named sandboxes')
    finally:
        sweep(t, box)


@test(timeout=120)
def output_is_kept(t):
    """A detached call goes on without its runtime, and what it printed is read later."""
    box = Box(t)
    try:
        result = script(t, PRELUDE + '''
with sb.Runtime() as runtime, runtime.create_named(policy(), 'logged') as box:
    call = box.start(['sh', '-c', 'echo now; sleep 0.7; echo later; echo error >&2; echo done >end'], stdin=sb.NULL,
                     stdout=sb.LOG, stderr=sb.LOG, detached=True)
    number = call.id
for _ in range(200):
    if os.path.exists('end'):
        break
    time.sleep(0.05)
time.sleep(0.3)
text = {1: b'', 2: b''}
calls = set()
with sb.Output('logged') as output:
    for piece in output:
        text[piece.stream] += piece.data
        calls.add(piece.call)
    more = output.next()
pruned = sb.prune()
plain = None
with sb.Runtime() as runtime, runtime.create(policy()) as box:
    plain = refused(box.start, ['true'], stdout=sb.LOG) != 'no error'
out([text[1].decode(), text[2].decode(), calls == {number}, more, pruned, sb.list_sandboxes(), plain,
     refused(sb.Output, 'logged')[0]])
''', box=box, timeout=100)
        equal(result, ['now\nlater\n', 'error\n', True, None, ['logged'], [], True, 'ENOENT'], 'output')
    finally:
        sweep(t, box)


def sweep(t, box):
    """Named sandboxes outlive a script that failed."""
    if not SANITIZED:
        script(t, PRELUDE + '''
for entry in sb.list_sandboxes():
    with sb.Runtime() as runtime, runtime.open(entry['name']) as box:
        box.remove(force=True)
''', box=box)


# ---- The examples

def example(t, box, name, *args):
    if SANITIZED:
        t.skip('a sanitized library cannot be loaded into a plain python')
    return subprocess.run([sys.executable, '-X', 'dev', '-B', directory(t) + '/' + name, '--library',
                           t.prefix + '/lib/libsandbox.so', *args], env=box.env, cwd=box.work,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=50)


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
