# SPDX-License-Identifier: Apache-2.0
"""What a user sees when one of our processes dies. kill9.py kills them all at random moments and looks at what is left."""
import json
import os
import signal
import time

from harness.box import Box
from harness.registry import cases, check, descendants, equal, processes, test, until


@test
def supervisor_dies_call_dies(t):
    box = Box(t)
    process = box.start('run', '--', 'sh', '-c', 'setsid sh -c "while :; do date +%N > beat; sleep 0.02; done" & '
                        'echo ready; wait')
    equal(process.stdout.readline(), b'ready\n', 'first line')
    until(lambda: os.path.exists(box.work + '/beat'), message='the daemon writes')
    os.kill(box.helper('nsbox-supervisor'), signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    equal(process.returncode, 125, 'exit status (%r)' % err)
    check(b'nsbox: ' in err, 'a message: %r' % err)
    until(lambda: not descendants(os.getpid()), message='all of it is gone')
    with open(box.work + '/beat') as f:
        before = f.read()
    time.sleep(0.3)
    with open(box.work + '/beat') as f:
        equal(f.read(), before, 'the file that the daemon writes')


@cases([('init', 'init'), ('guardian', 'guardian')])
def part_dies_and_says_so(t, part):
    """137 as of a command that was killed, but not without a word."""
    box = Box(t)
    # It may run before the news of that has come; then the start is what fails, and that is said too.
    for _ in range(5):
        process = box.start('run', '--net', 'none', '--json', '--', 'sh', '-c', 'echo ready; sleep 50')
        equal(process.stdout.readline(), b'ready\n', 'first line')
        table = processes()
        mine = descendants(os.getpid(), table)
        guardians = {p for p, name in mine.items() if name == 'nsbox-guardian'}
        victim = [table[p][0] for p, name in mine.items() if name == 'sh' and table[p][0] in guardians] \
            if part == 'guardian' else [p for p, name in mine.items() if name == 'nsbox-init']
        equal(len(victim), 1, 'who is to be killed')
        os.kill(victim[0], signal.SIGKILL)
        err = process.communicate(timeout=60)[1].decode()
        check('nsbox: the sandbox ended' in err, 'message: %r' % err)
        told = json.loads(err.splitlines()[-1])
        if told['started']:
            equal((process.returncode, told['reason']), (137, 'lost'), 'exit status, and reason')
            return
    t.skip('the command was killed each time before it was known to run')


@test
def killed_command_says_nothing(t):
    """The negative control: a command that kills itself is its own affair."""
    result = Box(t).run('sh', '-c', 'kill -KILL $$', flags=['--net', 'none'])
    equal((result.code, result.err), (137, ''), 'status and message')


TRACED = '''
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
signal.signal(signal.SIGUSR1, lambda *_: print('handled', flush=True))
print(libc.ptrace(0, 0, 0, 0), flush=True)
os.kill(os.getpid(), signal.SIGUSR1)
%s
'''


@cases([('goes_on', 'os._exit(3)', 3), ('executes', "os.execv('/bin/sh', ['sh', '-c', 'exit 4'])", 4),
        ('dies', 'os.kill(os.getpid(), signal.SIGTERM)', 128 + 15),
        ('dies_later', "os.execv('/bin/sh', ['sh', '-c', '(sleep 0.1; kill -USR2 $$) & exec sleep 30'])", 128 + 12)])
def traced_by_its_guardian(t, how, want):
    """A command may ask to be traced by its parent, which is ours: a signal that stops it for that is not its end."""
    result = Box(t).run('/usr/bin/python3', '-c', TRACED % how, flags=['--net', 'none'])
    equal((result.code, result.out), (want, '0\nhandled\n'), 'status and output (%r)' % result.err)
