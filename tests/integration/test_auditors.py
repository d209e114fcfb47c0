# SPDX-License-Identifier: Apache-2.0
"""The example auditors, with this test in the place of the supervisor."""
import json
import os
import shutil
import socket
import subprocess
import time

from harness.registry import cases, check, equal, test, until

HELLO = {'hello': 'nsbox', 'version': 1, 'ops': ['call.start', 'http.request', 'net.connect', 'grant.raise', 'fs.commit'],
         'deadline_ms': 250, 'max_packet': 65536, 'max_in_flight': 64}

AS_FD_3 = '\n'.join(('import os, sys', 'fd = int(sys.argv[1])', 'os.dup2(fd, 3)', 'fd == 3 or os.close(fd)',
                     'os.execv(sys.argv[2], sys.argv[2:])'))


class Supervisor:
    """The asking side of the protocol."""

    def __init__(self, sock, hello=HELLO):
        self.sock = sock
        self.sock.settimeout(60)
        self.last = 0
        if hello:
            self.send(hello)
            self.hello = self.receive()

    def send(self, packet):
        self.sock.send(packet if isinstance(packet, bytes) else json.dumps(packet).encode())

    def receive(self):
        """The next packet, None at the end of the connection."""
        try:
            data = self.sock.recv(65537)
        except ConnectionResetError:
            return None
        check(len(data) <= 65536, 'a packet is too large')
        return json.loads(data) if data else None

    def post(self, op, **members):
        self.last += 1
        self.send({'id': self.last, 'op': op, 'deadline_ms': 250, **members})
        return self.last

    def ask(self, op, **members):
        number = self.post(op, **members)
        answer = self.receive()
        equal(answer and answer['id'], number, 'id of the answer')
        return answer

    def decide(self, op, **members):
        return self.ask(op, **members)['decision']


def start(t, command, **env):
    """As nsbox starts an `exec:` auditor: the socket as descriptor 3, hardly any environment."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(['/usr/bin/python3', '-c', AS_FD_3, str(theirs.fileno()), *command],
                               pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                               env={'PATH': '/usr/local/bin:/usr/bin:/bin', 'NSBOX_AUDITOR_FD': '3', **env})
    theirs.close()
    return ours, process


def stop(sock, process):
    """An auditor ends when its connection does."""
    sock.close()
    try:
        equal(process.wait(60), 0, 'exit status of the auditor')
    finally:
        process.kill()
        process.wait()


def examples(t):
    return os.path.join(os.path.dirname(os.path.dirname(t.tests)), 'examples', 'auditor')


def build_rules(t):
    """By the command in the comment of rules.c."""
    if not shutil.which('cc'):
        t.skip('there is no C compiler')
    with open(examples(t) + '/rules/rules.c') as f:
        line = next(line for line in f if line.startswith(' *\tcc '))
    program = t.path('rules')
    command = line[3:].split()
    command[command.index('rules')] = program
    subprocess.run(command, cwd=examples(t) + '/rules', check=True)
    return program


def commit(*entries):
    """Members of a question about one."""
    return {'entries': [{'path': path, 'change': 'added', 'flags': flags} for path, flags in entries],
            'flags': sorted({flag for _, flags in entries for flag in flags})}


@test
def rules_of_the_example(t):
    sock, process = start(t, [build_rules(t), examples(t) + '/rules/rules.ini'])
    s = Supervisor(sock)
    equal((s.hello['version'], s.hello['ops']), (1, HELLO['ops']), 'hello')
    for want, op, members in (
            ('allow', 'call.start', {'argv': ['ls', '-l']}),
            ('ask', 'call.start', {'argv': ['rm', '-rf', '/srv']}),
            ('ask', 'call.start', {'argv': ['/bin/rm', '-r', 'x']}),
            ('ask', 'call.start', {'argv': ['sh', '-c', 'cd x && rm -rf y']}),
            ('ask', 'call.start', {'argv': ['git', 'push', 'origin', 'main']}),
            ('deny', 'call.start', {'argv': ['git', 'push', '--force', 'origin']}),
            ('deny', 'call.start', {'argv': ['npm', 'publish']}),
            ('ask', 'call.start', {'argv': ['ls'], 'grant': {'secret': ['PROD_TOKEN']}}),
            ('allow', 'call.start', {'argv': ['ls'], 'grant': {'secret': ['OTHER']}}),
            ('ask', 'call.start', {'argv': ['ls'], 'grant': {}, 'env_names': ['HOME', 'PROD_TOKEN']}),
            ('allow', 'call.start', {'argv': ['ls'], 'grant': {'secret': ['OTHER']}, 'env_names': ['PROD_MODE']}),
            ('ask', 'grant.raise', {'method': 'GET', 'host': 'docs.python.org', 'path': '/3/', 'secrets': []}),
            ('ask', 'grant.raise', {'method': 'DELETE', 'host': 'evil.example', 'path': '/', 'secrets': ['PROD_A']}),
            ('ask', 'grant.raise', {'host': 'db.example', 'port': 5432, 'proto': 'tcp'}),
            ('allow', 'http.request', {'method': 'GET', 'host': 'docs.python.org', 'path': '/3/', 'secrets': []}),
            ('ask', 'http.request', {'method': 'DELETE', 'host': 'api.github.com', 'path': '/repos/x'}),
            ('ask', 'http.request', {'method': 'POST', 'host': 'github.com', 'path': '/a/b.git/git-receive-pack'}),
            ('ask', 'http.request', {'method': 'GET', 'host': 'evil.example', 'path': '/'}),
            ('allow', 'http.request', {'method': 'GET', 'host': 'API.GitHub.com', 'path': '/'}),
            ('ask', 'http.request', {'method': 'GET', 'host': 'github.com', 'path': '/', 'secrets': ['PROD_A']}),
            ('ask', 'net.connect', {'host': 'db.example', 'port': 5432}),
            ('allow', 'net.connect', {'host': 'github.com', 'port': 22}),
            ('allow', 'fs.commit', commit(('/w/plain', []))),
            ('ask', 'fs.commit', commit(('/w/plain', []), ('/w/Makefile', ['build']))),
            ('deny', 'fs.commit', commit(('/w/Makefile', ['build']), ('/w/.git/hooks/x', ['git']))),
            ('deny', 'fs.commit', commit(('/home/u/.ssh/config', []))),
            ('deny', 'fs.commit', {'entries': [{'path': '/w/x', 'from': '/home/u/.ssh/x', 'flags': []}], 'flags': []}),
            ('deny', 'what', {})):
        answer = s.ask(op, **members)
        equal(answer['decision'], want, '%s %r (%s)' % (op, members, answer['reason']))
        equal('cache_ms' in answer, want == 'allow', 'only allows are to be remembered')
    # Many at once, each with its own id.
    numbers = [s.post('call.start', argv=['npm', 'publish'] if i % 2 else ['ls']) for i in range(64)]
    for number in numbers:
        answer = s.receive()
        equal((answer['id'], answer['decision']), (number, 'allow' if number % 2 == numbers[0] % 2 else 'deny'), 'answer')
    stop(sock, process)


@test
def rules_without_a_default_deny(t):
    ini = t.write('r.ini', '[ok]\ndecision = allow\nargv = true\n[both]\ndecision = ask\nhost = a.example\nmethod = POST\n')
    sock, process = start(t, [build_rules(t), ini])
    s = Supervisor(sock)
    equal(s.decide('call.start', argv=['true']), 'allow')
    equal(s.decide('call.start', argv=['true', 'x']), 'deny')
    equal(s.decide('call.start', argv=[]), 'deny')
    equal(s.decide('call.start'), 'deny')
    equal(s.decide('call.start', argv='true'), 'deny')
    equal(s.decide('call.start', argv=[1, None]), 'deny')
    equal(s.decide('http.request', host='a.example', method='POST', path='/'), 'ask')
    equal(s.decide('http.request', host='a.example', method='GET', path='/'), 'deny')
    equal(s.decide('http.request', method='POST', path='/'), 'deny')
    equal(s.decide('fs.commit', **commit(('/w/x', []))), 'deny')
    stop(sock, process)


@test
def rules_hold_for_what_is_raised(t):
    ini = t.write('r.ini', '[default]\ndecision = allow\n[host]\ndecision = allow\nhost = ok.example\n'
                           '[method]\ndecision = deny\nmethod = DELETE\n[path]\ndecision = deny\npath = /admin/*\n'
                           '[secret]\ndecision = deny\nsecret = PROD_*\n')
    sock, process = start(t, [build_rules(t), ini])
    s = Supervisor(sock)
    grant = {'allow': ['GET https://ok.example:443/x']}
    equal(s.decide('grant.raise', grant=grant, host='ok.example', method='GET', path='/x'), 'allow')
    equal(s.decide('grant.raise', grant=grant, host='other.example', method='GET', path='/x'), 'ask')
    for members in ({'method': 'DELETE'}, {'path': '/admin/x'}, {'secrets': ['PROD_A']}):
        equal(s.decide('grant.raise', **{'grant': grant, 'host': 'ok.example', 'method': 'GET', 'path': '/x', **members}), 'deny')
    stop(sock, process)


@test
def rules_that_say_nothing_of_commits(t):
    ini = t.write('r.ini', '[default]\ndecision = allow\n[x]\ndecision = deny\nargv = x\n')
    sock, process = start(t, [build_rules(t), ini])
    s = Supervisor(sock)
    equal(s.decide('fs.commit', **commit(('/w/x', []))), 'allow')
    equal(s.decide('fs.commit', **commit(('/w/x', ['program']))), 'ask')
    stop(sock, process)


@test
def rules_of_files_and_flags(t):
    """Both have to be of the same file."""
    ini = t.write('r.ini', '[default]\ndecision = allow\n[x]\ndecision = deny\nfile = */a\nflag = program\n')
    sock, process = start(t, [build_rules(t), ini])
    s = Supervisor(sock)
    equal(s.decide('fs.commit', **commit(('/w/a', ['program']))), 'deny')
    equal(s.decide('fs.commit', **commit(('/w/a', []), ('/w/b', ['program']))), 'ask')
    equal(s.decide('call.start', argv=['/w/a']), 'allow')
    stop(sock, process)


@test
def rules_refuse_bad_files(t):
    program = build_rules(t)
    for name, text in (('decision', '[a]\ndecision = maybe\nargv = x\n'), ('key', '[a]\ndecision = deny\nargw = x\n'),
                       ('none', '[a]\nargv = x\n'), ('empty', '[a]\ndecision = deny\n'), ('line', '[a]\nwhat\n'),
                       ('value', '[a]\ndecision = deny\nargv =\n'), ('default', '[default]\nargv = x\n')):
        path = t.write(name + '.ini', text)
        done = subprocess.run([program, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        check(done.returncode == 1 and path.encode() in done.stderr, '%s: %r' % (name, done))
    equal(subprocess.run([program, t.path('missing')], stderr=subprocess.DEVNULL).returncode, 1)


@test
def rules_close_on_garbage(t):
    program = build_rules(t)
    for garbage in (b'x', b'[]', b'{}', b'{"id":"1","op":"call.start"}', b'{"hello":"x","version":2}',
                    b'{"id":1,"id":2,"op":"call.start"}', b'{"a":"' + b'a' * 65600 + b'"}'):
        sock, process = start(t, [program, examples(t) + '/rules/rules.ini'])
        s = Supervisor(sock)
        s.send(garbage)
        equal(s.receive(), None, 'after %.40r' % garbage)
        stop(sock, process)


@test
def rules_for_many(t):
    path = t.path('socket')
    process = subprocess.Popen([build_rules(t), '--listen', path, examples(t) + '/rules/rules.ini'])
    try:
        until(lambda: os.path.exists(path))
        equal(os.stat(path).st_mode & 0o777, 0o600, 'mode of the socket')
        clients = []
        for _ in range(20):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            until(lambda: sock.connect_ex(path) == 0)
            clients.append(Supervisor(sock))
        clients[3].sock.close()
        clients[5].send(b'garbage')
        equal(clients[5].receive(), None, 'one that sends garbage')
        for i, s in enumerate(clients):
            if i not in (3, 5):
                equal(s.decide('call.start', argv=['npm', 'publish']), 'deny')
        equal(process.poll(), None, 'the auditor goes on')
    finally:
        process.kill()
        process.wait()


def ended(pid):
    try:
        with open('/proc/%d/stat' % pid, errors='replace') as f:
            return f.read().split()[2] == 'Z'
    except (FileNotFoundError, ProcessLookupError):
        return True


def start_llm(t, script, *flags):
    program = t.write('model', '#!/bin/sh\n' + script)
    os.chmod(program, 0o755)
    sock, process = start(t, ['/usr/bin/python3', examples(t) + '/llm.py', *flags, '--', program])
    return Supervisor(sock), sock, process


@cases([('allow', 'echo allow: it is harmless', (), 'allow', 'model: it is harmless'),
        ('deny', 'echo deny', (), 'deny', 'model: deny'),
        ('ask', 'echo "ask:  a person"; echo allow', (), 'ask', 'model: a person'),
        ('nothing', 'true', (), 'deny', 'neither'),
        ('other_word', 'echo allowed', (), 'deny', 'neither'),
        ('sentence', 'echo allow me to explain why not', (), 'deny', 'neither'),
        ('sentence_with_colon', 'echo "allow this? No: it deletes all"', (), 'deny', 'neither'),
        ('upper_case', 'echo ALLOW', (), 'deny', 'neither'),
        ('bytes', r"printf '\377\376'", (), 'deny', 'neither'),
        ('exit_status', 'echo allow; exit 1', (), 'deny', 'exit status 1'),
        ('timeout', 'sleep 60; echo allow', (), 'deny', 'in time'),
        ('early_word', 'echo allow; sleep 60', (), 'deny', 'in time'),
        ('person', 'echo allow: fine', ('--person',), 'ask', 'model: fine'),
        ('person_deny', 'echo deny', ('--person',), 'deny', 'model: deny'),
        ('person_failure', 'exit 3', ('--person',), 'deny', 'exit status 3')])
def llm(t, script, flags, decision, reason):
    s, sock, process = start_llm(t, script, *flags)
    equal((s.hello['version'], s.hello['ops']), (1, ['call.start', 'grant.raise']), 'hello')
    begin = time.monotonic()
    number = s.post('call.start', argv=['x'], deadline_ms=400 if 'time' in reason else 50000)
    answer = s.receive()
    equal((answer['id'], answer['decision']), (number, decision), repr(answer))
    check(reason in answer['reason'], repr(answer))
    # The models that are late sleep for a minute.
    check(time.monotonic() - begin < 50, 'it took too long')
    stop(sock, process)


@test
def llm_sees_the_question(t):
    s, sock, process = start_llm(t, 'read -r line; case $line in *\'"argv": ["rm", "a b"]\'*) echo deny: rm;; *) echo allow;; esac',
                                 '--op', 'http.request', '--op', 'call.start')
    equal(s.hello['ops'], ['http.request', 'call.start'])
    equal(s.ask('call.start', argv=['rm', 'a b'], deadline_ms=50000)['reason'], 'model: rm')
    equal(s.decide('http.request', host='x', deadline_ms=50000), 'allow')
    stop(sock, process)


@test
def llm_asks_many_at_once(t):
    # None answers before all have been asked.
    mark = t.path('mark')
    s, sock, process = start_llm(t, 'echo x >>{0}; until [ $(wc -l <{0}) -ge 8 ]; do sleep 0.1; done; echo allow'.format(mark),
                                 '--jobs', '8')
    numbers = {s.post('call.start', deadline_ms=50000) for _ in range(8)}
    answers = [s.receive() for _ in range(8)]
    equal({a['id'] for a in answers}, numbers, 'ids')
    equal([a['decision'] for a in answers], ['allow'] * 8, 'they were asked one after the other')
    stop(sock, process)


@test
def llm_kills_a_model_that_is_late(t):
    mark = t.path('mark')
    s, sock, process = start_llm(t, 'sleep 1000 & echo $! >%s.new; mv %s.new %s; wait' % (mark, mark, mark))
    for deadline in 1000, 5000, 20000:
        s.post('call.start', deadline_ms=deadline)
        equal(s.receive()['decision'], 'deny')
        if os.path.exists(mark):
            break
        # It was late before it had begun.
    with open(mark) as f:
        pid = int(f.read())
    until(lambda: ended(pid), message='what the model started still runs')
    stop(sock, process)


@test
def llm_takes_its_model_along(t):
    """Killed with its process group, as nsbox does it: the model is in another one."""
    mark = t.path('mark')
    s, sock, process = start_llm(t, 'echo $$ >%s.new; mv %s.new %s; exec sleep 1000' % (mark, mark, mark))
    s.post('call.start', deadline_ms=50000)
    until(lambda: os.path.exists(mark), message='the model does not start')
    with open(mark) as f:
        pid = int(f.read())
    process.kill()
    process.wait()
    until(lambda: ended(pid), message='the model still runs')
    sock.close()


@test
def llm_counts_from_the_receipt(t):
    """What waited for a free job too long is not asked any more."""
    mark = t.path('mark')
    s, sock, process = start_llm(t, 'echo x >>%s; sleep 5; echo allow' % mark, '--jobs', '1')
    first, second = s.post('call.start', deadline_ms=50000), s.post('call.start', deadline_ms=1000)
    answers = {}
    for _ in range(2):
        answer = s.receive()
        answers[answer['id']] = (answer['decision'], answer['reason'])
    equal(answers[first][0], 'allow', 'the first')
    equal(answers[second], ('deny', 'the model could not be asked in time'), 'the second')
    with open(mark) as f:
        equal(f.read(), 'x\n', 'how often the model was started')
    stop(sock, process)


@test
def example_of_the_manual(t):
    with open(t.prefix + '/share/man/man7/nsbox-auditor.7') as f:
        code = f.read().split('.SH EXAMPLES')[1].split('.EX\n')[1].split('.EE')[0]
    sock, process = start(t, ['/usr/bin/python3', t.write('example.py', code)])
    s = Supervisor(sock)
    equal((s.hello['version'], s.hello['ops']), (1, ['call.start']), 'hello')
    equal(s.decide('call.start', argv=['git', 'push']), 'allow')
    equal(s.decide('call.start', argv=['rm']), 'deny')
    equal(s.decide('call.start'), 'deny')
    stop(sock, process)
