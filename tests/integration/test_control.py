# SPDX-License-Identifier: Apache-2.0
"""The control socket against programs inside that do not play by the rules: whose a connection is, what it may ask for,
and that nobody can stop or slow the supervisor of others with it."""
import os
import resource
import shutil
import subprocess
import time

from harness import wire
from harness.named import Named
from harness.registry import cases, check, equal, test, until

CONTROL = wire.control()
BOTH = [('light', ['--isolation', 'light']), ('full', ['--isolation', 'full'])]

# Hand a descriptor to another call, over a socket in a directory that both have.
HAND_OVER = '''
import os, sys, time
def give(path, fd):
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path + '.new')
    server.listen(1)
    os.rename(path + '.new', path)
    one, _ = server.accept()
    send(one, b'x', [fd])
    one.close()
def take(path):
    while not os.path.exists(path):
        time.sleep(0.02)
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    one.connect(path)
    _, control, _, _ = one.recvmsg(1, 1024)
    return socket.socket(fileno=struct.unpack('i', control[0][2][:4])[0])
def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.02)
'''


def python(script):
    return ['/usr/bin/python3', '-c', CONTROL + HAND_OVER + script]


def done(process, word=None):
    out, err = process.communicate(timeout=60)
    equal((process.returncode, word is None or word in out.decode()), (0, True), 'the script (%r, %r)' % (out[-500:], err[-900:]))
    return out.decode()


def others_are_served(box):
    """Another call, from outside, while all this goes on: in a time that is short against that for which they would be
    held up."""
    begin = time.monotonic()
    box.exec('x', 'true', timeout=60).ok()
    took = time.monotonic() - begin
    check(took < 20 * box.t.slowness, 'another call took %.1f s' % took)


@cases(BOTH)
def a_connection_is_of_whom_made_it(t, flags):
    """Passed on to another call, it still asks for the one that made it: narrow stays narrow, and it ends with that."""
    with Named(t) as box:
        box.create('x')
        # /var/tmp is every call's, also that of one which may not write the workspace.
        maker = box.start_exec('x', *python('''
s, raw = hello(), new()
give('/var/tmp/a', s.fileno())
give('/var/tmp/b', raw.fileno())
wait_for('/var/tmp/end')
'''), flags=['--read-only', *flags])
        taker = box.start_exec('x', *python('''
def run(s, name):
    start(s, ['touch', name], cwd=os.getcwd())
    reply(s)
    exit_of(s)
s, raw = take('/var/tmp/a'), take('/var/tmp/b')
run(s, 'as-maker')
run(hello(), 'as-taker')
open('/var/tmp/end', 'w').close()
print('closed', is_closed(s))
# Made by a call that is gone, connected now: nobody's.
time.sleep(0.2)
try:
    raw.connect(PATH)
    hello(raw)
    start(raw, ['touch', 'as-nobody'], cwd=os.getcwd())
    print('raw', reply(raw))
except OSError:
    print('raw None')
'''), flags=flags)
        done(maker)
        equal(done(taker).split('\n')[:2], ['closed True', 'raw None'], 'what the taker saw')
        equal(os.listdir(box.work), ['as-taker'], 'what was written')
        starts = box.audit('call.start')
        equal([(r['argv'][1], r['parent']) for r in starts if 'parent' in r], [('as-maker', starts_of(starts, 'give')),
                                                                                ('as-taker', starts_of(starts, 'take'))], 'parents')


def starts_of(starts, word):
    """The call whose script begins by giving, or by taking."""
    return next(r['call'] for r in starts if 'parent' not in r and ("give('/var" if word == 'give' else "take('/var") in r['argv'][2])


@test
def a_dead_call_asks_for_nothing(t):
    """What a connection says of itself makes no difference, and other sandboxes and the host have none."""
    with Named(t) as box:
        box.create('x')
        result = box.exec('x', *python('''
s = hello()
start(s, ['true'], box='x')
try:
    print(reply(s))
except RuntimeError as e:
    print('refused', 'no sandbox x' in str(e))
'''))
        equal(result.out, 'refused True\n', 'another name (%r)' % result)
        # From the host, through /proc of a process inside, with the same user.
        mark = '1000.%07d' % os.getpid()
        sleeper = box.start_exec('x', 'sleep', mark)
        pid = until(lambda: next((p for p in map(int, filter(str.isdigit, os.listdir('/proc')))
                                  if cmdline(p) == b'sleep\0%s\0' % mark.encode()), None), 20)
        scope = {}
        exec(compile(CONTROL, 'control', 'exec'), scope)
        scope['PATH'] = '/proc/%d/root/run/nsbox/control' % pid
        try:
            s = scope['hello']()
            scope['start'](s, ['touch', 'ran'], cwd=box.work)
            got = scope['reply'](s)
        except OSError as error:
            got = None
            check(error.errno != 2, 'the socket was not found')
        equal(got, None, 'an answer to the host')
        sleeper.kill()
        sleeper.communicate()
        check(not os.path.exists(box.work + '/ran'), 'nothing has run')


def cmdline(pid):
    try:
        with open('/proc/%d/cmdline' % pid, 'rb') as f:
            return f.read()
    except OSError:
        return b''


@cases(BOTH)
def not_a_siblings(t, flags):
    """A connection reaches the calls that it started, and nothing else of the sandbox."""
    with Named(t) as box:
        box.create('x')
        sibling = box.start_exec('x', 'sh', '-c', 'echo ready; sleep 1000', flags=flags)
        equal(sibling.stdout.readline(), b'ready\n', 'a sibling')
        name = box.inspect('x')['id']
        result = box.exec('x', *python('''
name = %r
def refused(data):
    s = hello()
    send(s, data)
    try:
        return 'answered' if reply(s) is not None else 'closed'
    except RuntimeError as e:
        return 'refused'
mine, other = hello(), hello()
start(mine, ['sleep', '1000'])
child = reply(mine)
def kill(s, call, signal=9):
    send(s, u32(SIGNAL, 7) + text(call) + u32(signal))
    try:
        reply(s)
        return 'sent'
    except RuntimeError:
        return 'refused'
print(kill(mine, name + '.1'), kill(mine, name), kill(mine, ''), kill(other, child), kill(mine, name + '.2'))
for data in (u32(DESTROY, 1) + text(name) + b'\\1', u32(INSPECT, 1) + text(name), u32(OPEN, 1), u32(POOL, 1) + text(name) + u32(9),
             u32(CREATE, 1) + text('y') + text('') + u32(0), u32(HELLO, VERSION) + text('') + b'\\0', u32(99), b'', b'x'):
    print(refused(data))
print(kill(mine, child), exit_of(mine) is not None)
''' % name))
        equal(result.out.split(), ['refused'] * 5 + ['closed'] * 9 + ['sent', 'True'], 'what was answered (%r)' % result)
        equal(sibling.poll(), None, 'the sibling goes on')
        sibling.kill()
        sibling.communicate()


@test(timeout=120)
def garbage(t):
    """Random packets, with and without descriptors, each on a new connection or on one that has greeted."""
    with Named(t) as box:
        box.create('x')
        noise = box.start_exec('x', *python('''
import random
r = random.Random(5)
null = os.open('/dev/null', os.O_RDWR)
for i in range(4000):
    s = new()
    s.connect(PATH)
    if i & 1:
        hello(s)
    data = bytes(r.randrange(256) for _ in range(r.randrange(200)))
    if i & 2:
        data = u32(r.choice([START, SIGNAL, CANCEL, HELLO])) + data
    try:
        send(s, data, [null] * r.randrange(253) if i & 4 else [])
        if i & 8:
            send(s, b'x' * r.choice([1, 1000, 140000]))
    except OSError:
        pass
    s.close()
print('end')
'''))
        while noise.poll() is None:
            others_are_served(box)
        done(noise, 'end')
        others_are_served(box)


@test(timeout=120)
def floods(t):
    """Connections without end, requests whose answers are never read, asks that are refused: others are served."""
    with Named(t) as box:
        box.create('x')
        flood = box.start_exec('x', *python('''
import signal
end = time.monotonic() + 6
if os.fork() == 0:
    while time.monotonic() < end:
        s = new()
        try:
            s.connect(PATH)
        except OSError:
            pass
    os._exit(0)
if os.fork() == 0:
    while time.monotonic() < end:
        s = hello()
        s.setblocking(False)
        try:
            while True:
                send(s, u32(CANCEL, 1, 1))
        except OSError:
            time.sleep(0.001)
    os._exit(0)
refusals = 0
try:
    while time.monotonic() < end:
        s = hello()
        for i in range(50):
            start(s, ['true'], request=i, box='other')
            try:
                if reply(s) is None:
                    break
            except RuntimeError:
                refusals += 1
        for i in range(50):
            start(s, ['true'], request=i, template='absent')
            try:
                if reply(s) is None:
                    break
            except RuntimeError:
                refusals += 1
except OSError:
    pass
while time.monotonic() < end:
    time.sleep(0.1)
os.wait(), os.wait()
print('end', refusals)
'''))
        while flood.poll() is None:
            others_are_served(box)
        done(flood, 'end')
        others_are_served(box)
        denied = len(box.audit('call.denied'))
        check(denied <= 1000, 'records of refusals: %d' % denied)


# A connection with data that its other end does not take, which is waited for when it is closed.
LINGER = '''
def lingering(seconds):
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    server.bind(('127.0.0.1', 0))
    server.listen(1)
    c = socket.create_connection(server.getsockname())
    peer, _ = server.accept()
    c.setblocking(False)
    try:
        while True:
            c.send(b'x' * 65536)
    except BlockingIOError:
        pass
    c.setblocking(True)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, seconds))
    lingering.keep.append((server, peer))
    return c
lingering.keep = []
def nested(fd):
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    send(a, b'x', [fd])
    a.close()
    return b
'''


WAYS = [('unread', 's = new(); s.connect(PATH); send(s, b"x", [fd])'),
        ('unformed', 's = hello(); send(s, u32(START, 1), [fd])'),
        ('many', 's = hello(); send(s, u32(START, 1), [fd] * 253)'),
        ('as_stdio', 's = hello(); start(s, ["true"], fds=[fd] * 3); time.sleep(0.1)'),
        ('as_stdio_left', 's = hello(); start(s, ["sleep", "100"], fds=[fd] * 3)'),
        ('nested_stdio', 's = hello(); n = nested(fd); start(s, ["true"], fds=[n.fileno()] * 3); time.sleep(0.1)'),
        ('nested_unread', 's = new(); s.connect(PATH); n = nested(fd); send(s, b"x", [n.fileno()])')]


@cases(WAYS, timeout=150)
def descriptors_that_are_slow_to_close(t, way):
    """The last close of such a socket sleeps for as long as its maker likes; whose it is must not be the supervisor's."""
    with Named(t) as box:
        box.create('x')
        twin = box.exec('x', *python(LINGER + '''
c, begin = lingering(3), time.monotonic()
c.close()
print(time.monotonic() - begin)
''')).ok()
        check(float(twin.out) > 2, 'closing one waits (%r)' % twin)
        # Who sends it dies, which never waits: then the last copy is the one that was sent.
        hostile = box.start_exec('x', *python(LINGER + '''
for i in range(8):
    c = lingering(600)
    fd, (out, go) = c.fileno(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(out, 1)
        %s
        os._exit(0)
    c.close()
    os.write(go, b'x')
    os.waitpid(pid, 0)
    print('sent', flush=True)
time.sleep(2)
''' % way))
        for _ in range(8):
            equal(hostile.stdout.readline(), b'sent\n', 'the hostile call')
            others_are_served(box)
        done(hostile)
        others_are_served(box)


# A grant that is slow to compare, as the bytes that travel: a segment `a`, then one of each length, can be anywhere.
SLOW_GRANT = '''
def slow_grant(n):
    rules = b''.join(b'\\0' + text('https://api.example.com/v1/**/a' + '/*' * 11 + '/%d' % i) + u32(0) + text('here')
                     for i in range(n))
    values = (struct.pack('<Q', 0) + text('')) * VALUES
    return (u32(0x32545247) + b'\\2' + text('') + text('') + u32(n) + rules + u32(0, 0) + b'\\2' + text('') + u32(0, 0, 0) +
            values + u32(0))
'''


@test(timeout=180)
def slow_requests(t):
    """Sixteen connections that ask without end for what is slow to decide about. In the meantime another call comes to its
    turn before they have had many, whatever the machine makes of that in seconds."""
    with Named(t) as box:
        box.nsbox('create', '--name', 'x', '--allow', 'https://api.example.com/v1/**').ok()
        flood = box.start_exec('x', *python(SLOW_GRANT.replace('VALUES', '10') + '''
import select
grant = slow_grant(30)
sockets = [hello() for _ in range(16)]
for s in sockets:
    start(s, ['true'], grant=grant)
answers = open('answers', 'w', buffering=1)
while not os.path.exists('end'):
    for s in select.select(sockets, [], [], 1)[0]:
        if receive(s)[0] == REPLY:
            print(time.clock_gettime(time.CLOCK_MONOTONIC), file=answers)
            start(s, ['true'], grant=grant)
print('end')
'''))
        path = os.path.join(box.work, 'answers')
        until(lambda: os.path.exists(path) and len(open(path).readlines()) > 16, seconds=60)
        spans = []
        # Three times, as this test itself may not be run for a while.
        for _ in range(3):
            begin = time.monotonic()
            for _ in range(2):
                box.exec('x', 'true', timeout=120).ok()
            spans.append((begin, time.monotonic()))
        open(os.path.join(box.work, 'end'), 'w').close()
        done(flood, 'end')
        answers = [float(at) for at in open(path)]
        meanwhile = [sum(begin <= at <= end for at in answers) for begin, end in spans]
        print('%r answers in %r of two other calls' % (meanwhile, spans))
        check(min(meanwhile) < 30, '%r answers before two other calls had run' % meanwhile)


@test(timeout=180)
def slow_ends(t):
    """What a call left where the host would execute it is looked for at its end. A call that makes that slow, and lets children
    end again and again, has only a part of its children looked after; what one put there is found all the same."""
    with Named(t) as box:
        for name in ['.'] + ['r%d' % i for i in range(6)]:
            subprocess.run(['git', 'init', '-q', name], cwd=box.work, check=True)
        box.create('x')
        asker = box.start_exec('x', *python('''
import glob
configs = ['.git/config'] + glob.glob('r*/.git/config')
much = ''.join('[remote "%d"]\\n\\turl = %d\\n' % (i, i) for i in range(33000))
for path in configs:
    with open(path, 'a') as f:
        f.write(much)
s = hello()
took = []
for i in range(9):
    for path in configs:
        os.utime(path)
    begin = time.monotonic()
    start(s, ['sh', '-c', 'echo true > .envrc' if i == 8 else 'true'], cwd=os.getcwd())
    exit_of(s)
    took.append(time.monotonic() - begin)
print('took', sorted(took)[4] / max(took), flush=True)
while os.path.exists('.envrc'):
    time.sleep(0.05)
print('end')
'''))
        out = done(asker, 'end')
        check(float(out.split()[1]) < 1 / 3, 'a usual child took as long as those that are looked after: ' + out)
        equal([r['path'] for r in box.audit('fs.protected')], [box.work + '/.envrc'], 'records')
        shutil.rmtree(box.state + '/nsbox/protected')


@test(timeout=120)
def few_descriptors(t):
    """Where the supervisor may have few of them, what calls ask for does not take those that it needs for the launcher."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
    with Named(t) as box:
        box.create('x')
        equal(box.exec('x', 'sh', '-c', 'ulimit -Hn').ok().out, '768\n', 'those of a call')
        flood = box.start_exec('x', *python('''
sockets = [hello() for _ in range(15)]
for s in sockets:
    s.setblocking(False)
answers = set()
seen, end = False, time.monotonic() + 100
while time.monotonic() < end:
    for s in sockets:
        try:
            start(s, ['sleep', '1000'])
        except OSError:
            pass
        try:
            data = s.recv(1 << 17)
            if data[:4] == u32(REPLY):
                answers.add(data[9:].decode('utf-8', 'replace')[-200:])
        except BlockingIOError:
            pass
        except OSError: # after a thousand refusals
            end = 0
    if not seen and any('the limit of open files' in a for a in answers):
        seen, end = True, min(end, time.monotonic() + 2)
    time.sleep(0.001)
print('end', seen)
'''))
        done(flood, 'end True')
        others_are_served(box)
