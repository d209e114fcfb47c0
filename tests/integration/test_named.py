# SPDX-License-Identifier: Apache-2.0
"""Sandboxes that stay: made, found, used, and ended from the command line, by many processes at once."""
import glob
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time

from harness.named import Named, gone, lines, records, refused, within
from harness.registry import cases, check, descendants, equal, test, until


@test
def life(t):
    with Named(t) as box:
        box.create('first')
        entry = box.find('first')
        equal(sorted(entry), ['created', 'id', 'name', 'net', 'pid', 'state', 'workdir'], 'members of ls')
        equal((entry['state'], entry['workdir'], entry['net']), ('running', box.work, 'none'), 'entry')
        equal(box.exec('first', 'sh', '-c', 'echo one > f; exit 7').code, 7, 'exit status')
        equal(box.exec('first', 'cat', 'f').ok().out, 'one\n', 'what the second call sees')
        equal(box.exec(entry['id'], 'cat', 'f').ok().out, 'one\n', 'found by its id')
        equal(box.exec('first', 'no-such-command').code, 127, 'exit status of a command that is not there')
        equal(box.exec('first', '/etc/passwd').code, 126, 'exit status of what is no program')
        equal(box.exec('first', 'sh', '-c', 'kill -9 $$').code, 128 + 9, 'exit status after a signal')
        inside = box.inspect('first')
        equal((inside['id'], inside['pid'], inside['calls']), (entry['id'], entry['pid'], []), 'inspect')
        log = inside['audit']['path']
        equal(inside['audit']['head'], records(log)[-1]['hash'], 'head')
        table = box.nsbox('ls').ok().out.splitlines()
        equal((len(table), table[1].split()[:3]), (2, ['first', 'running', str(entry['pid'])]), 'the table of ls')
        box.nsbox('rm', 'first').ok()
        until(lambda: gone([entry['pid']]), 30, 'the supervisor has not ended')
        equal(records(log)[-1]['event'], 'sandbox.exit', 'last record')
        equal(box.nsbox('audit', 'verify', entry['id']).code, 0, 'the log after rm')
        refused(box.exec('first', 'true'), 'first', 'nsbox ls')
        refused(box.nsbox('rm', 'first'), 'first')
        equal(box.nsbox('rm', '-f', 'first').code, 0, 'rm -f of one that is not there')
        box.create('first')
        check(box.find('first')['id'] != entry['id'], 'the second of a name has an id of its own')


@test
def without_a_name(t):
    with Named(t) as box:
        name = box.nsbox('create', '--net', 'none').ok().out.strip()
        equal([(e['name'], e['id']) for e in box.ls()], [(name, name)], 'it is called by its id')
        equal(box.exec(name, 'echo', 'x').ok().out, 'x\n', 'output')


@cases([('dash', '-x'), ('dot', '.'), ('slash', 'a/b'), ('empty', ''), ('long', 'x' * 65), ('space', 'a b'),
        ('newline', 'a\nb'), ('lock', '.lock')])
def name_refused(t, name):
    with Named(t) as box:
        done = box.nsbox('create', '--net', 'none', '--name=' + name)
        refused(done)
        equal(box.left(), [], 'files left')


@test
def longest_name(t):
    with Named(t) as box:
        box.create('n' * 64)
        equal(box.exec('n' * 64, 'echo', 'x').ok().out, 'x\n', 'output')


@test
def run_with_a_name(t):
    with Named(t) as box:
        equal(box.nsbox('run', '--net', 'none', '--name', 'kept', '--', 'sh', '-c', 'echo hi > f; exit 3').code, 3,
              'status')
        equal(box.exec('kept', 'cat', 'f').ok().out, 'hi\n', 'it stays')
        refused(box.nsbox('run', '--net', 'none', '--name', 'kept', '--', 'touch', 'ran'), 'kept', 'nsbox rm kept')
        check(not os.path.exists(box.work + '/ran'), 'the command of a refused run does not run')
        equal(box.nsbox('run', '--net', 'none', '--name', 'other', '--', 'no-such').code, 127, 'status')
        equal(box.find('other'), None, 'one whose command never ran')
        equal(box.nsbox('run', '--net', 'none', '--name', 'other', '--rm', '--', 'true').code, 0, 'status')
        equal(box.find('other'), None, 'one with --rm, afterwards')


@test
def detached(t):
    with Named(t) as box:
        # It returns at once, and not after these ten minutes.
        done = box.nsbox('run', '-d', '--net', 'none', '--name', 'back', '--', 'sh', '-c',
                         'echo out; echo err >&2; sleep 0.5; echo late; sleep 600').ok()
        equal(done.out, 'back\n', 'what run -d prints')
        until(lambda: 'late' in box.nsbox('logs', 'back').ok().out, 30, 'no late output in logs')
        got = box.nsbox('logs', 'back').ok()
        equal((got.out, got.err), ('out\nlate\n', 'err\n'), 'the two streams')
        call = box.nsbox('exec', '-d', 'back', '--', 'echo', 'second').ok().out.strip()
        equal(call, box.find('back')['id'] + '.2', 'what exec -d prints')
        until(lambda: box.nsbox('logs', 'back', '--call', '2').ok().out == 'second\n', 30,
              'no output of the second call')
        # What it printed is there before its end.
        until(lambda: sorted(box.calls('back')) == ['sh'], 30, 'running calls')
        refused(box.nsbox('rm', 'back'), 'back', 'nsbox rm -f back')
        equal(sorted(box.calls('back')), ['sh'], 'running calls after a refused rm')
        box.nsbox('kill', 'back', '1').ok()
        within(30, lambda: not box.calls('back'), 'the killed call is gone')
        box.nsbox('rm', 'back').ok()


@test
def detached_until_it_ends(t):
    """-d --rm: the sandbox goes with its command, without anybody's help."""
    with Named(t) as box:
        box.nsbox('run', '-d', '--rm', '--net', 'none', '--name', 'once', '--', 'sh', '-c',
                  'until test -e go; do sleep 0.05; done').ok()
        check(box.find('once'), 'it is there while the command runs')
        t.write('box/work/go')
        within(30, lambda: not box.ls() and not box.left(), 'it is gone')
        within(30, lambda: not descendants(os.getpid()), 'its processes are gone')


@test
def options_of_exec(t):
    with Named(t) as box:
        box.create('x')
        os.mkdir(box.work + '/sub')
        got = box.exec('x', 'sh', '-c', 'echo $A $B $PWD',
                       flags=('--env', 'A=1', '--env', 'B', '--workdir', box.work + '/sub'),
                       env=dict(box.env, B='2', C='3')).ok()
        equal(got.out, '1 2 %s/sub\n' % box.work, 'environment and directory')
        equal(box.exec('x', 'sh', '-c', 'echo ${A-none}').ok().out, 'none\n', 'the next call')
        equal(box.exec('x', 'sleep', '600', flags=('--timeout', '300ms')).code, 124, 'timeout')
        got = box.exec('x', 'sh', '-c', 'echo $$; ls -d /proc/[0-9]* | wc -l', flags=('--isolation', 'full')).ok()
        # The guardian is 1, the command its first child, hidden but for what the call started.
        check(int(got.out.split()[0]) < 10, 'process ids of a full call: %r' % got)
        refused(box.exec('x', 'true', flags=('--allow', 'example.org')), '--allow')
        refused(box.exec('x', 'true', flags=('--workdir', '/no/such')), '/no/such')
        equal(box.exec('x', 'cat', input='through\n').ok().out, 'through\n', 'standard input')


@test
def background(t):
    with Named(t) as box:
        box.create('x')
        script = '(while sleep 0.05; do date +%N > beat; done) >/dev/null 2>&1 & echo started'
        box.exec('x', 'sh', '-c', script).ok()
        before = until_beats(box, False)
        box.exec('x', 'sh', '-c', script, flags=('--background',)).ok()
        check(until_beats(box, True) != before, 'with --background it goes on')
        box.nsbox('kill', 'x').ok()
        until(lambda: not box.inspect('x')['calls'], 30, 'the killed call is listed')
        until_beats(box, False)


def until_beats(box, want):
    """The beat file changes, or (want False) does not: what it says at the end."""
    def beat():
        try:
            with open(box.work + '/beat') as f:
                return f.read()
        except OSError:
            return ''
    first = beat()
    if want:
        until(lambda: beat() not in ('', first), 30, 'nothing in the background')
    else:
        time.sleep(0.4)
        equal(beat(), first, 'the file that the background process writes')
    return beat()


@test
def kill(t):
    with Named(t) as box:
        box.create('x')
        script = 'trap "echo got; exit 5" TERM; echo ready; while :; do sleep 0.1; done'
        one, two = [box.start_exec('x', 'sh', '-c', script) for _ in range(2)]
        equal(lines(one, 1) + lines(two, 1), ['ready\n'] * 2, 'first lines')
        numbers = sorted(c['id'] for c in box.inspect('x')['calls'])
        box.nsbox('kill', 'x', numbers[0], '-s', 'TERM').ok()
        ended = one if numbers[0].endswith('.1') else two
        until(lambda: one.poll() is not None or two.poll() is not None, 30, 'no call has ended')
        box.nsbox('kill', 'x', '-s', 'SIGTERM').ok()
        equal((one.wait(30), two.wait(30)), (5, 5), 'exit statuses')
        equal((one.stdout.read(), two.stdout.read()), (b'got\n', b'got\n'), 'outputs')
        check(ended.returncode == 5, 'the one that was meant')
        refused(box.nsbox('kill', 'x', '1'), 'ended')
        refused(box.nsbox('kill', 'x', '-s', 'NOSUCH'), 'NOSUCH')
        box.nsbox('kill', 'x').ok()


@test(timeout=90)
def many_create_one_name(t):
    with Named(t) as box:
        started = [box.start('create', '--net', 'none', '--name', 'same') for _ in range(20)]
        results = [(p, *p.communicate(timeout=60)) for p in started]
        winners = [out for p, out, err in results if p.returncode == 0]
        equal(winners, [b'same\n'], 'winners')
        for p, out, err in results:
            if p.returncode != 0:
                check(p.returncode == 125 and b'there is a sandbox same already' in err,
                      'a loser: %r' % ((p.returncode, err),))
        equal([e['name'] for e in box.ls()], ['same'], 'list')
        equal(box.exec('same', 'echo', 'x').ok().out, 'x\n', 'it works')


@test(timeout=120)
def churn(t):
    """Everything at once on three names for ten seconds, or until enough happened on a machine with other work. Each
    command ends, and well or with a reason that fits."""
    fine = ('there is no sandbox', 'there is a sandbox', 'commands run in sandbox', 'has ended',
            'is starting or ending',
            'was replaced', 'was cancelled', 'the sandbox ended', 'is ending', 'cannot connect to sandbox')
    names, problems, count = ['a', 'b', 'c'], [], {}
    end = time.monotonic() + 10

    def enough():
        return all(count.get((what, 0), 0) >= 5 for what in ('create', 'exec'))

    def loop(box, number):
        n = number
        while time.monotonic() < (end if enough() else end + 50) and not problems:
            n += 1
            name = names[n % 3]
            what, *args = [('create', '--net', 'none', '--name', name), ('exec', name, '--', 'true'), ('ls', '--json'),
                           ('rm', '-f', name), ('exec', name, '--', 'sh', '-c', 'sleep 0.05'), ('inspect', name),
                           ('rm', name), ('prune',)][(n * (number + 1) + n // 3) % 8]
            try:
                got = box.nsbox(what, *args)
            except AssertionError as e:
                problems.append(str(e))
                return
            count[what, got.code] = count.get((what, got.code), 0) + 1
            killed = what == 'exec' and got.code in (137, 125)
            if got.code and not killed and not (got.code == 125 and any(f in got.err for f in fine)):
                problems.append('%s %r: %r' % (what, args, got))
            if got.code == 125 and not any(f in got.err for f in fine):
                problems.append('%s %r: %r' % (what, args, got))
            if what == 'ls' and got.code == 0 and not {e['name'] for e in got.json()} <= set(names):
                problems.append('ls: %r' % got)

    with Named(t) as box:
        threads = [threading.Thread(target=loop, args=(box, i)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(problems[:3], [], 'problems (of %r)' % count)
        check(enough(), 'too little happened: %r' % count)
        for name in names:
            box.nsbox('rm', '-f', name).ok()
        within(30, lambda: not descendants(os.getpid()), 'all processes are gone')
        print('churn: %r' % count)


@test
def follow_logs(t):
    with Named(t) as box:
        box.create('x')
        follower = box.start('logs', 'x', '-f')
        box.nsbox('exec', '-d', 'x', '--', 'sh', '-c', 'for i in 1 2 3; do echo $i; sleep 0.2; done').ok()
        equal(lines(follower, 3), ['1\n', '2\n', '3\n'], 'output while it comes')
        equal(follower.poll(), None, 'it goes on')
        box.nsbox('exec', '-d', 'x', '--', 'printf', 'no newline').ok()
        until(lambda: not box.inspect('x')['calls'], 30)
        box.nsbox('rm', 'x').ok()
        out, err = follower.communicate(timeout=30)
        equal((follower.returncode, out), (0, b'no newline'), 'its end (%r)' % err)


@test(timeout=90)
def full_log(t):
    """64 MiB are kept, the call goes on without being held up, and the reader is told."""
    with Named(t) as box:
        box.create('x')
        box.nsbox('exec', '-d', 'x', '--', 'sh', '-c', 'head -c 70000000 /dev/zero; echo done > done').ok()
        within(60, lambda: os.path.exists(box.work + '/done'), 'the call went on')
        until(lambda: not box.inspect('x')['calls'], 30)
        kept = os.stat(box.state + '/nsbox/sandboxes/x/output').st_size
        # Behind the last bytes comes the mark that it is full.
        check(60 << 20 < kept <= (64 << 20) + 16, 'kept: %d bytes' % kept)
        got = box.nsbox('logs', 'x').ok()
        check(60 << 20 < len(got.out_bytes) <= kept and 'output is full' in got.err, 'logs: %d bytes, %r'
              % (len(got.out_bytes), got.err))


class Watcher:
    """nsbox events, read while it prints."""

    def __init__(self, box, *args):
        self.process, self.events = box.start('events', *args), []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def seen(self, member):
        return {e[member] for e in list(self.events)}

    def end(self):
        """All of them, when it has ended by itself."""
        equal(self.process.wait(30), 0, 'exit status')
        self.reader.join()
        return self.events


@test
def events(t):
    with Named(t) as box:
        box.create('x')
        box.create('y')
        x, y = box.find('x')['id'], box.find('y')['id']
        both, one = Watcher(box), Watcher(box, 'x')

        def listen():
            for name in 'x', 'y':
                box.exec(name, 'true').ok()
            return both.seen('sandbox') == {x, y} and one.seen('sandbox')

        # Nothing but what they print says that they have begun.
        until(listen, 30, 'the watchers print nothing')
        call = box.start_exec('x', 'sh', '-c', 'exit 4')
        equal(call.wait(30), 4, 'exit status')
        two = Watcher(box, 'x', '--count', '2')
        until(lambda: box.exec('x', 'true').ok() and two.process.poll() is not None, 30, 'two events were not enough')
        for name in 'x', 'y':
            box.nsbox('rm', name).ok()
        all_of_x, everything, counted = one.end(), both.end(), two.end()
        equal({e['sandbox'] for e in all_of_x}, {x}, 'whose events')
        exits = [i for i, e in enumerate(all_of_x) if e.get('exit') == 4]
        equal(len(exits), 1, 'the end of the call is told once: %r' % all_of_x)
        start, end = all_of_x[exits[0] - 1:exits[0] + 1]
        equal((start['event'], end['event'], start['call']), ('call.start', 'call.exit', end['call']), 'one call')
        equal([e['event'] for e in all_of_x].count('sandbox.exit'), 1, 'the end of the sandbox')
        mine = [e for e in everything if e['sandbox'] == x]
        n = min(len(mine), len(all_of_x))
        equal(mine[-n:], all_of_x[-n:], 'the same among all')
        equal({e['sandbox'] for e in everything if e['event'] == 'sandbox.exit'}, {x, y}, 'all events')
        check(len(counted) == 2 and any(all_of_x[i:i + 2] == counted for i in range(len(all_of_x))), 'two of them: %r' % counted)
        refused(box.nsbox('events'), 'nsbox create')


@test
def prune(t):
    with Named(t) as box:
        for name in ('idle', 'busy', 'dead'):
            box.create(name)
        box.nsbox('exec', '-d', 'busy', '--', 'sleep', '50').ok()
        dead = box.find('dead')['pid']
        os.kill(dead, signal.SIGKILL)
        until(lambda: gone([dead]), 30)
        equal(box.nsbox('prune').ok().out, 'idle\n', 'what prune removed')
        equal([e['name'] for e in box.ls()], ['busy'], 'what is left')
        check('dead' not in os.listdir(box.state + '/nsbox/sandboxes'), 'the dead entry is swept')


@test
def removed_while_calls_run(t):
    with Named(t) as box:
        box.create('x')
        client = box.start_exec('x', 'sh', '-c', 'echo ready; setsid sleep 50 & sleep 50')
        equal(lines(client, 1), ['ready\n'], 'first line')
        refused(box.nsbox('rm', 'x'), 'nsbox rm -f x')
        equal(client.poll(), None, 'the call goes on')
        box.nsbox('rm', '-f', 'x').ok()
        equal(descendants(os.getpid()).get(client.pid, 'nsbox'), 'nsbox', 'the client')
        check('sleep' not in descendants(os.getpid()).values(), 'processes of the call when rm returned')
        out, err = client.communicate(timeout=30)
        equal(client.returncode, 137, 'its client (%r)' % err)
        log = records(box.logs()[-1])
        equal([(r['event'], r.get('signal')) for r in log[-2:]], [('call.exit', 9), ('sandbox.exit', None)],
              'last records')


@test
def gateway_of_a_named_one(t):
    """Its network works through all its calls, and the placeholders of each are its own."""
    from harness.origin import Origin
    origin = Origin(t.pki.context(['api.example.com']))
    with Named(t) as box:
        box.connect(origin, 'api.example.com')
        box.env['KEY'] = 'value-of-the-key-1234'
        box.nsbox('create', '--name', 'x', '--allow', 'api.example.com', '--secret', 'KEY@api.example.com',
                  *box.flags).ok()
        del box.env['KEY']
        seen = [box.exec('x', 'sh', '-c', 'curl -sS -H "X-Key: $KEY" https://api.example.com/ >&2; echo $KEY').ok().out
                for _ in range(3)]
        equal(len(set(seen)), 3, 'different placeholders')
        equal([r.header('x-key') for r in origin.requests], [['value-of-the-key-1234']] * 3, 'at the origin')
        # None of it is kept where the next command, or anybody, could read it.
        for path in glob.glob(box.state + '/**', recursive=True):
            if os.path.isfile(path):
                with open(path, 'rb') as f:
                    check(b'value-of-the-key' not in f.read(), 'the value is in ' + path)


def forward(listener, path, ready):
    """Stand between a client and the supervisor, and let the client say that it speaks the next version."""
    ready.set()
    client, _ = listener.accept()
    with client, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.connect(path)
        hello = client.recv(65536)
        kind, version = struct.unpack_from('<II', hello)
        server.send(struct.pack('<II', kind, version + 1) + hello[8:])
        client.send(server.recv(65536))
        client.settimeout(30)
        while client.recv(65536):
            pass


@test
def other_version(t):
    """Client and supervisor of different builds: neither works with the other, and the client says why."""
    with Named(t) as box:
        box.create('x')
        path = box.dir + '/runtime/nsbox/x.sock'
        os.rename(path, path + '.real')
        os.chdir(os.path.dirname(path))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind('x.sock')
            listener.listen()
            ready = threading.Event()
            thread = threading.Thread(target=forward, args=(listener, 'x.sock.real', ready), daemon=True)
            thread.start()
            ready.wait()
            refused(box.exec('x', 'touch', 'ran'), 'nsbox-supervisor', 'protocol', 'install both from one build',
                    'make the sandbox anew')
            thread.join(30)
        os.rename(path + '.real', path)
        check(not os.path.exists(box.work + '/ran'), 'nothing ran')
        equal(box.exec('x', 'echo', 'x').ok().out, 'x\n', 'the sandbox is as it was')


@test
def reached_from_a_sandbox(t):
    """A command inside has the same user id: it must not reach the sockets of sandboxes, not even when shown them."""
    with Named(t) as box:
        box.create('x')
        path = box.dir + '/runtime/nsbox/x.sock'
        got = box.run('/usr/bin/python3', '-c', '''
import os, socket, sys
try:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1]); print("connected", s.recv(10))
except OSError as e: print(type(e).__name__)''', path, flags=('--net', 'none', '--read', box.dir + '/runtime')).ok()
        check('connected' not in got.out or got.out == "connected b''\n", 'what a command inside gets: %r' % got)


@test
def stopped_supervisor(t):
    """One that is stopped (or stuck) is waited for by those who ask it, but holds up nobody else."""
    with Named(t) as box:
        box.create('x')
        pid = box.find('x')['pid']
        os.kill(pid, signal.SIGSTOP)
        try:
            got = box.nsbox('ls', '--json').ok()
            equal([e['name'] for e in got.json()], ['x'], 'ls')
            box.create('y')
            equal(box.exec('y', 'echo', 'y').ok().out, 'y\n', 'another sandbox')
            asking = box.start_exec('x', 'echo', 'late')
            time.sleep(0.3)
            equal(asking.poll(), None, 'the one who asks waits')
        finally:
            os.kill(pid, signal.SIGCONT)
        out, err = asking.communicate(timeout=30)
        equal((asking.returncode, out), (0, b'late\n'), 'when it goes on (%r)' % err)


@test
def survives_the_end_of_the_session(t):
    """Made in a session whose leader and terminal are gone."""
    with Named(t) as box:
        leader = subprocess.Popen(['/bin/sh', '-c', '"$0" create --net none --name x >/dev/null && '
                                   '"$0" exec -d x -- sleep 50; '
                                   'echo done; sleep 60', box.nsbox_path], env=box.env, cwd=box.work,
                                   start_new_session=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        equal(lines(leader, 2)[1], 'done\n', 'what the session says')
        until(lambda: box.find('x') and box.calls('x'), 30, 'no sandbox')
        os.killpg(leader.pid, signal.SIGKILL)
        leader.wait()
        time.sleep(0.2)
        equal(list(box.calls('x')), ['sleep'], 'its call')


@test
def unnamed_is_not_listed(t):
    """A sandbox without a name is not listed, found or removed."""
    with Named(t) as box:
        process = box.start('run', '--net', 'none', '--', 'sh', '-c', 'echo ready; sleep 50')
        equal(lines(process, 1), ['ready\n'], 'first line')
        equal(box.ls(), [], 'ls')
        name = os.path.basename(box.logs()[-1])[:-6]
        refused(box.exec(name, 'true'), name)
        equal(box.nsbox('prune').ok().out, '', 'prune')
        process.terminate()
        equal(process.wait(30), 143, 'exit status')
