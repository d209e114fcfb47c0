# SPDX-License-Identifier: Apache-2.0
"""Auditors of real sandboxes: what they are asked before a call starts, what follows from each answer, and that nothing
follows from none."""
import json
import os
import tempfile
import threading
import time

from harness.asked import Asked, denied, digest
from harness.named import within
from harness.registry import cases, check, equal, test
from test_auditors import build_rules, examples

NET = ('--net', 'none')
SECRET = 'sk-real-7f3a9c21e8b44d06a5'


@test
def what_is_asked(t):
    with Asked(t) as box:
        box.add(*NET, '--env', 'MINE=' + SECRET)
        box.run('sh', '-c', 'true', 'word').ok()
        question, = box.auditor.questions
        equal(question['op'], 'call.start', 'op')
        equal(question['argv'], ['sh', '-c', 'true', 'word'], 'argv')
        equal((question['exe'], question['exe_sha256']), (os.path.realpath('/bin/sh'), digest('/bin/sh')), 'the program')
        equal((question['interpreter'], question['cwd'], question['grant']), (True, box.work, {}), 'the rest')
        check('MINE' in question['env_names'] and 'PATH' in question['env_names'], 'names: %r' % question['env_names'])
        check(not any(SECRET.encode() in p for p in box.auditor.packets), 'a value was told')
        start, = box.audit('call.start')
        equal((start['call'], start['exe_sha256'], start['decided_by']),
              (question['call'], question['exe_sha256'], 'the auditor'), 'record')
        box.run('true').ok()
        equal(box.auditor.questions[-1]['interpreter'], False, 'a program of its own')


@test
def grant_is_asked(t):
    with Asked(t) as box:
        box.add(*NET)
        box.create('x')
        box.exec('x', 'true', flags=('--read-only', '--ttl', '60s')).ok()
        equal(box.auditor.questions[0]['grant'], {'read_only': ['yes'], 'ttl': ['1m']}, 'grant')


@test
def denial(t):
    with Asked(t, lambda q: {'decision': 'deny', 'reason': 'not on a Friday'}) as box:
        box.add(*NET)
        record = denied(box, box.run(*box.marked()), 'not on a Friday')
        equal((record['reason'], record['argv'][0], record['exe']), ('not on a Friday', '/usr/bin/touch', '/usr/bin/touch'),
              'record')
        # The twin.
        box.auditor.handler = lambda q: {'decision': 'allow'}
        time.sleep(0.01)
        box.run(*box.marked()).ok()
        check(box.ran(), 'it runs when it is allowed')


def late(box):
    def handler(question):
        def answer():
            time.sleep(0.6)
            box['box'].auditor.send({'id': question['id'], 'decision': 'allow'})
        import threading
        threading.Thread(target=answer, daemon=True).start()
    return handler


def hang_up(box):
    def handler(question):
        box['box'].auditor.close()
    return handler


FAILURES = [
    ('dead', hang_up, '30s', 'auditor-gone'),
    ('slow', lambda box: lambda q: None, '300ms', 'auditor-timeout'),
    ('late', late, '300ms', 'auditor-timeout'),
    ('garbage', lambda box: lambda q: b'yes please', '30s', 'auditor-garbage'),
    ('no_decision', lambda box: lambda q: {'reason': 'x'}, '30s', 'auditor-garbage'),
    ('unknown_decision', lambda box: lambda q: {'decision': 'yes'}, '30s', 'auditor-garbage'),
    ('wrong_case', lambda box: lambda q: {'decision': 'Allow'}, '30s', 'auditor-garbage'),
    ('wrong_type', lambda box: lambda q: {'decision': True}, '30s', 'auditor-garbage'),
    ('twice_the_member', lambda box: lambda q: b'{"id":%d,"decision":"deny","decision":"allow"}' % q['id'], '30s',
     'auditor-garbage'),
    ('wrong_id', lambda box: lambda q: [{'id': q['id'] + 1, 'decision': 'allow'}], '30s', 'auditor-garbage'),
    ('oversize', lambda box: lambda q: b'{"id":%d,"decision":"allow","reason":"%s"}' % (q['id'], b'x' * 70000), '30s',
     'auditor-oversize'),
    ('second_hello', lambda box: lambda q: [{'hello': 'x', 'version': 1, 'ops': ['call.start']}], '30s',
     'auditor-garbage'),
    ('narrow_without_grant', lambda box: lambda q: {'decision': 'narrow'}, '30s', 'auditor-garbage'),
]


@cases([(name, make, deadline, reason) for name, make, deadline, reason in FAILURES])
def failing(t, make, deadline, reason):
    """Each way to fail is a denial and on record; the twin, with an answer, runs."""
    place = {}
    with Asked(t, make(place), deadline) as box:
        place['box'] = box
        box.add(*NET)
        result = box.run(*box.marked())
        record = denied(box, result, reason)
        equal(record['reason'], reason, 'reason')
        check([r for r in box.audit('auditor.error') if r['reason'] == reason], 'errors: %r' % box.audit('auditor.error'))
    with Asked(t, name='twin') as box:
        box.add(*NET)
        box.run(*box.marked()).ok()
        check(box.ran(), 'the twin')


HELLOS = [('none', b''), ('garbage', b'hello'), ('version', {'hello': 'x', 'version': 2, 'ops': ['call.start']}),
          ('no_ops', {'hello': 'x', 'version': 1, 'ops': []})]


@cases(HELLOS[1:])
def hello(t, packet):
    """Without a hello that is one nothing starts, not even the sandbox."""
    with Asked(t, hello=packet) as box:
        box.add(*NET)
        result = box.run(*box.marked())
        equal(result.code, 125, 'exit status (%r)' % result)
        check('did not say hello' in result.err and 'unix:' in result.err, 'message: %r' % result.err)
        check(not box.ran(), 'it has run')
        equal(box.left(), [], 'what is left')


@test
def never_there(t):
    with Asked(t) as box:
        box.auditor.close()
        box.add(*NET)
        result = box.run(*box.marked())
        equal(result.code, 125, 'exit status (%r)' % result)
        check('auditor.sock' in result.err, 'message: %r' % result.err)
        check(not box.ran(), 'it has run')


@test
def gone_is_gone(t):
    """What runs goes on; what would start later is denied, also after another auditor listens there."""
    with Asked(t) as box:
        box.add(*NET)
        box.create('x')
        running = box.start_exec('x', 'sh', '-c', 'echo on; sleep 1; echo still')
        equal(running.stdout.readline(), b'on\n', 'it runs')
        box.auditor.close()
        for _ in range(2):
            result = box.exec('x', *box.marked())
            equal(result.code, 126, 'exit status (%r)' % result)
        check(not box.ran(), 'it has run')
        equal(running.communicate(timeout=60)[0], b'still\n', 'what ran before')


@test
def flood(t):
    """More questions at once than may wait: those over it are denied, none is lost, none runs unasked."""
    hold = []
    with Asked(t, lambda q: hold.append(q)) as box:
        box.add(*NET, '--pids', '4000')
        box.create('x')
        first = [box.start_exec('x', 'true') for _ in range(12)]
        within(60, lambda: len(hold) == 12, 'twelve questions at once')
        for q in hold:
            box.auditor.send({'id': q['id'], 'decision': 'allow'})
        equal([p.wait(30) for p in first], [0] * 12, 'exit statuses')
        equal(len({q['call'] for q in hold}), 12, 'calls')


@cases([('light', 'light'), ('full', 'full')])
def narrow(t, isolation):
    with Asked(t, lambda q: {'decision': 'narrow', 'grant': {'read_only': 'yes', 'uses': '3'}}) as box:
        box.add(*NET, '--isolation', isolation)
        result = box.sh('cat /etc/hostname >/dev/null && echo reads; touch ran 2>/dev/null || echo no-write')
        equal(result.out.split(), ['reads', 'no-write'], 'what works (%r)' % result)
        check(not box.ran(), 'nothing was written')
        granted = box.audit('call.start')[0]['granted']
        check(any('read_only' in line for line in granted) and any('uses = 3' in line for line in granted),
              'record: %r' % granted)


WIDER = [('path', {'write': '/srv'}), ('rule', {'allow': 'https://evil.example/**'}), ('secret', {'secret': 'NO_SUCH'}),
         ('path_of_a_full_one', {'write': '/srv', 'isolation': 'full'})]


@cases(WIDER)
def widening(t, grant):
    """An answer that names more than the call would have denies it."""
    with Asked(t, lambda q: {'decision': 'narrow', 'grant': grant}) as box:
        denied(box, box.run(*box.marked()), 'more than the call allows')
        check('more than' in box.audit('auditor.error')[0]['reason'], 'record')
        box.auditor.handler = lambda q: {'decision': 'narrow', 'grant': {'uses': '5'}}
        time.sleep(0.01)
        box.run(*box.marked()).ok()


@test
def widening_a_grant(t):
    """What the policy has and the grant of the call does not is more, too."""
    with Asked(t, lambda q: {'decision': 'narrow', 'grant': {'uses': '50'}}) as box:
        box.create('x')
        equal(box.exec('x', *box.marked(), flags=('--uses', '5')).code, 126, 'more uses')
        check(not box.ran(), 'it has run')


@cases([('unknown_key', {'no_such_key': 'x'}), ('bad_value', {'uses': 'many'}), ('view', {'view': 'all'})])
def unusable_grant(t, grant):
    with Asked(t, lambda q: {'decision': 'narrow', 'grant': grant}) as box:
        box.add(*NET)
        denied(box, box.run(*box.marked()))
        check(box.audit('auditor.error'), 'no record of the error')


def swap(box, how):
    """What the call was shown is replaced before the answer."""
    def handler(question):
        path = box['box'].work + '/tool'
        if how == 'rename':
            box['box'].program('tool', '#!/bin/sh\necho SWAPPED\n')
        elif how == 'write':
            with open(path, 'r+') as f:
                f.write('#!/bin/sh\necho SWAPPED\n')
        else:
            os.unlink(path)
            os.symlink('/usr/bin/false', path)
        return {'decision': 'allow'}
    return handler


@cases([('rename', 'rename'), ('write', 'write'), ('symlink', 'symlink')])
def what_was_shown_is_what_runs(t, how):
    place = {}
    with Asked(t, swap(place, how)) as box:
        place['box'] = box
        box.add(*NET)
        path = box.program('tool', '#!/bin/sh\necho SHOWN # and a line that is longer than the other\n')
        shown = digest(path)
        result = box.run('./tool')
        equal((result.code, result.out), (0, 'SHOWN\n'), 'what ran (%r)' % result)
        equal(box.auditor.questions[0]['exe_sha256'], shown, 'digest')
        # The control: the host's file is another one by now.
        check(digest(path) != shown, 'the file was not swapped')


@test
def programs_of_the_workspace(t):
    """Scripts and binaries that the sandbox could write run as copies; those of the system as they are."""
    with Asked(t) as box:
        box.add(*NET)
        box.program('script', '#!/bin/sh\necho "$0" "$@"\n')
        out = box.run('./script', 'a b', 'c').ok().out
        check(out.startswith('/dev/fd/') and out.endswith('a b c\n'), 'a script: %r' % out)
        with open('/usr/bin/readlink', 'rb') as f, open(box.work + '/own', 'wb') as to:
            to.write(f.read())
        os.chmod(box.work + '/own', 0o755)
        check('memfd:program' in box.run('./own', '/proc/self/exe').ok().out, 'a binary')
        equal(box.run('readlink', '/proc/self/exe').ok().out.strip(), os.path.realpath('/usr/bin/readlink'), 'of the system')
        equal([q['exe'] for q in box.auditor.questions],
              [box.work + '/script', box.work + '/own', os.path.realpath('/usr/bin/readlink')], 'what was asked')


@test
def not_to_be_shown(t):
    with Asked(t) as box:
        box.add(*NET)
        box.program('mute', '#!/bin/sh\necho ran\n')
        os.chmod(box.work + '/mute', 0o111)
        result = box.run('./mute')
        equal(result.code, 126, 'one that cannot be read (%r)' % result)
        check('cannot be shown' in result.err, 'message: %r' % result.err)
        for command, code in ((['no-such-program'], 127), (['./'], 126), (['/etc/passwd'], 126), (['/proc/self/fd/3'], 126)):
            result = box.run(*command)
            equal(result.code, code, '%r (%r)' % (command, result))
        equal(box.auditor.questions, [], 'nobody was asked about what cannot run')


@test
def executables_of_a_grant(t):
    """A copy in memory is no way around the paths that a grant lets execute."""
    with Asked(t) as box:
        box.add(*NET)
        box.program('tool', '#!/bin/sh\necho ran\n')
        box.create('x')
        result = box.exec('x', './tool', flags=('--exec', '/usr/bin'))
        equal((result.code, result.out), (126, ''), 'outside of what is granted (%r)' % result)
        box.exec('x', 'true', flags=('--exec', '/usr/bin')).ok()


@test
def remembered_answers(t):
    with Asked(t, lambda q: {'decision': 'allow', 'cache_ms': 60000}) as box:
        box.add(*NET)
        box.create('x')
        for _ in range(3):
            box.exec('x', 'true').ok()
        equal(len(box.auditor.questions), 1, 'questions about equal calls')
        box.exec('x', 'true', 'other').ok()
        box.exec('x', 'true', flags=('--read-only',)).ok()
        equal(len(box.auditor.questions), 3, 'questions about others')
        box.program('tool', '#!/bin/sh\n')
        box.exec('x', './tool').ok()
        box.exec('x', './tool').ok()
        equal(len(box.auditor.questions), 4, 'the same bytes')
        box.program('tool', '#!/bin/sh\ntrue\n')
        box.exec('x', './tool').ok()
        equal(len(box.auditor.questions), 5, 'other bytes')


@test
def only_what_it_decides(t):
    """An auditor that does not list call.start is not asked about it."""
    with Asked(t, ops=['net.connect']) as box:
        box.add(*NET)
        box.run(*box.marked()).ok()
        equal(box.auditor.questions, [], 'questions')


CONFINED = '''
import json, os, signal, socket, sys
s = socket.socket(fileno=int(os.environ["NSBOX_AUDITOR_FD"]))
s.send(json.dumps({"hello": "confined", "version": 1, "ops": ["call.start"]}).encode())
def attempt(f):
    try:
        f()
        return "done"
    except OSError as e:
        return e.strerror
while True:
    packet = s.recv(65536)
    if not packet:
        break
    q = json.loads(packet)
    if "id" in q:
        found = [attempt(lambda: open(os.path.join(%(work)r, "by-auditor"), "w")),
                 attempt(lambda: open("/tmp/by-auditor-%(pid)d", "w")), attempt(lambda: os.kill(%(pid)d, 0)),
                 attempt(lambda: os.kill(os.getppid(), 0)), attempt(lambda: open("/dev/null", "w").write("x")),
                 attempt(lambda: open(%(readable)r).read()), attempt(lambda: open(%(shared)r, "w")),
                 attempt(lambda: open(%(terminal)r, "w")), sorted(os.environ)]
        s.send(json.dumps({"id": q["id"], "decision": "deny", "reason": json.dumps(found)}).encode())
'''


def confined_to(box, program, places):
    box.add(*NET, '--auditor', 'exec:exec /usr/bin/python3 ' + program)
    denied(box, box.run(*box.marked()))
    work, tmp, us, parent, null, read, shared, terminal, names = json.loads(box.audit('call.denied')[0]['reason'])
    no = 'Permission denied', 'Operation not permitted', 'Read-only file system'
    check(work in no and tmp in no and us in no and parent in no and shared in no and terminal in no,
          'done: %r' % [work, tmp, us, parent, shared, terminal])
    equal((null, read), ('done', 'done'), 'what it needs')
    check(set(names) <= {'PATH', 'HOME', 'NSBOX_AUDITOR_FD', 'LC_CTYPE', 'PWD', 'SHLVL', '_', 'OLDPWD'}, 'names: %r' % names)
    check(not os.path.exists(box.work + '/by-auditor'), 'a file in the workspace')
    # The control: outside of its confinement they are written.
    for path in places['shared'], places['terminal']:
        with open(path, 'w') as f:
            f.write('x')
    equal(os.system("echo x > '%s/by-auditor'" % box.work), 0, 'outside it is written')


@test
def confined(t):
    """What nsbox starts as an auditor writes nothing and signals nobody; reading and its socket are left."""
    with Asked(t) as box:
        box.flags = [f for f in box.flags if not f.startswith('unix:') and f != '--auditor']
        readable = t.write('readable', 'x')
        ours, terminal = os.openpty()
        with tempfile.NamedTemporaryFile(dir='/dev/shm') as shared:
            places = {'work': box.work, 'pid': os.getpid(), 'readable': readable, 'shared': shared.name,
                      'terminal': os.ttyname(terminal)}
            program = t.write('auditor.py', CONFINED % places)
            confined_to(box, program, places)
        os.close(ours)
        os.close(terminal)


@test
def ends_with_its_sandbox(t):
    with Asked(t) as box:
        box.flags = [f for f in box.flags if not f.startswith('unix:') and f != '--auditor']
        mark = 'mark-%d' % os.getpid()
        program = t.write('stay.py', CONFINED.split('while True')[0] + 'import time\ntime.sleep(600) # ' + mark)
        box.add(*NET, '--auditor', 'exec:/usr/bin/python3 %s %s; true' % (program % {'work': '', 'pid': 0}, mark))

        def alive():
            found = []
            for pid in filter(str.isdigit, os.listdir('/proc')):
                try:
                    with open('/proc/%s/cmdline' % pid, 'rb') as f:
                        line = f.read()
                except OSError:
                    continue
                if mark.encode() in line and b'stay.py' in line and b'nsbox\0create' not in line:
                    found.append(pid)
            return found
        box.create('x')
        check(alive(), 'it runs')
        box.nsbox('rm', '-f', 'x').ok()
        within(60, lambda: not alive(), 'the auditor and what it started are gone')


@test
def example_with_rules(t):
    """The example in C in its place: what its rules leave to a person waits, what they deny does not run."""
    with Asked(t) as box:
        box.flags = [f for f in box.flags if not f.startswith('unix:') and f != '--auditor']
        box.add(*NET, '--auditor', 'exec:exec %s %s/rules/rules.ini' % (build_rules(t), examples(t)))
        box.run(*box.marked()).ok()
        check(box.ran(), 'what is harmless runs')
        result = box.run('git', 'push', '--force', 'origin')
        equal(result.code, 126, 'exit status (%r)' % result)
        check('class force-push' in result.err, 'message: %r' % result.err)
        run = box.start('run', *box.flags, '--', 'rm', '-rf', box.work + '/ran')
        within(60, box.waiting, 'what deletes waits')
        equal(box.waiting()[0]['reason'], 'class delete', 'reason')
        check(box.ran(), 'nothing is deleted meanwhile')
        box.nsbox('approve', box.waiting()[0]['ticket'], '--yes').ok()
        equal(run.wait(60), 0, 'exit status')
        check(not box.ran(), 'then it is')


@test
def child_is_asked(t):
    """A call that asks for another one: the auditor is told for whom, and its no is the child's alone."""
    with Asked(t, lambda q: {'decision': 'deny' if 'no' in q['argv'] else 'allow'}) as box:
        box.add(*NET)
        result = box.sh('nsbox call -- echo yes; nsbox call -- echo no; echo $?')
        equal(result.out.split(), ['yes', '126'], 'what runs (%r)' % result)
        first, *children = box.auditor.questions
        equal([q.get('parent') for q in box.auditor.questions], [None] + [first['call']] * 2, 'parents in the questions')
