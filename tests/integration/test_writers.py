# SPDX-License-Identifier: Apache-2.0
"""Which call changed what of an overlaid directory. Calls say themselves what they wrote; only they are the oracle."""
import contextlib
import os
import signal
import subprocess

from harness.box import Box
from harness.registry import check, equal, test, until
from harness.work import changes


@contextlib.contextmanager
def named(t):
    box = Box(t)
    for name in ('a', 'b', 'c', 'deleted', 'both', 'd/x', 'd/y'):
        os.makedirs(os.path.dirname(os.path.join(box.work, name)), exist_ok=True)
        with open(os.path.join(box.work, name), 'w') as f:
            f.write('host\n')
    box.nsbox('create', '--net', 'none', '--overlay', '.', '--name', 'x').ok()
    box.id = box.nsbox('ls', '--json').json()[0]['id']
    try:
        yield box
    finally:
        box.nsbox('rm', '-f', 'x')


def call(box, script):
    # Past the tick of the clock that files are stamped with, so that no two calls share one.
    return box.nsbox('exec', 'x', '--', 'sh', '-c', 'sleep 0.03; ' + script + '; sleep 0.03').ok()


def writers(box):
    return {path: [c.split('.')[-1] for c in change['calls']] for path, change in changes(box, box.id).items()}


@test
def one_after_the_other(t):
    with named(t) as box:
        call(box, 'echo one > a; echo one > new; mkdir made; echo one > both')
        call(box, 'echo two > b; echo two > made/in; chmod 700 d; rm c; echo two > both')
        call(box, 'echo three > made/three; cat a b > /dev/null; ls -R > /dev/null')
        call(box, 'touch d/x; mv new moved; rm deleted')
        want = {'a': ['1'], 'moved': ['4'], 'both': ['2'], 'b': ['2'], 'made/in': ['2'], 'made/three': ['3']}
        found = writers(box)
        equal({p: found[p] for p in want}, want, 'who changed what')
        # Two deletions are names of one mark, and a directory is stamped by what comes into it.
        equal(set(found['c']), {'2', '3', '4'}, 'the first deletion')
        check('4' in found['deleted'], 'the second deletion: %r' % found)
        check('2' in found['d'], 'the mode of a directory: %r' % found)
        check('d/x' not in found, 'touched only: %r' % found)
        lines = box.nsbox('diff', 'x').ok().out.splitlines()
        check('M  a  (call 1)' in lines and 'A  made/in  (call 2)' in lines and
              'D  c  (call 2, 3 or 4)' in lines, 'lines: %r' % lines)
        box.nsbox('rm', 'x').ok()
        equal(writers(box), found, 'after its end')
        box.nsbox('commit', box.id, 'a').ok()
        check('a' not in writers(box) and writers(box)['b'] == ['2'], 'after a commit of a part')


@test
def at_the_same_time(t):
    """Two that ran when it was written are both named, and nobody else."""
    with named(t) as box:
        call(box, 'echo before > a')
        script = 'sleep 0.03; echo $0 > $0; echo; read go; sleep 0.03'
        both = [box.start('exec', 'x', '--', 'sh', '-c', script, name, stdin=subprocess.PIPE) for name in ('b', 'c')]
        for process in both:
            process.stdout.readline()
        with box.start('exec', 'x', '--', 'sh', '-c', 'echo also > both', stdin=subprocess.PIPE) as third:
            third.communicate()
        for process in both:
            process.communicate(b'go\n')
        call(box, 'echo after > d/y')
        found = writers(box)
        equal((found['a'], found['d/y']), (['1'], ['5']), 'alone')
        check(set(found['both']) == {'2', '3', '4'}, 'three at once: %r' % found)
        check(set(found['b']) | set(found['c']) <= {'2', '3', '4'}, 'two at once: %r' % found)


@test
def a_call_cannot_choose_the_time(t):
    with named(t) as box:
        call(box, 'echo one > a')
        call(box, 'echo two > b; touch -d 2001-01-01 b; touch -r a b; cp -p a c')
        found = writers(box)
        equal((found['a'], found['b'], found['c']), (['1'], ['2'], ['2']), 'who changed what')


@test
def in_the_background(t):
    """What a command leaves running still counts as its call."""
    with named(t) as box:
        box.nsbox('exec', 'x', '--background', '--', 'sh', '-c', '(sleep 0.3; echo late > a; exec sleep 1000) >/dev/null 2>&1 &').ok()
        until(lambda: 'a' in changes(box, box.id), 30, 'nothing was written')
        equal(writers(box)['a'], ['1'], 'written after the end of the command')


@test
def nobody_knows(t):
    """A call that was running when its supervisor was killed; and copies, which are of nobody."""
    with named(t) as box:
        call(box, 'echo one > a')
        box.nsbox('snapshot', 'x', 'copy').ok()
        equal([c['calls'] for c in changes(box, 'copy').values()], [[]], 'of a copy')
    box = Box(t, 'killed')
    process = box.start('run', '--net', 'none', '--overlay', '.', '--', 'sh', '-c', 'echo x > n; echo; exec sleep 1000')
    process.stdout.readline()
    layer = os.listdir(box.state + '/nsbox/layers')[0]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    equal([c['calls'] for c in changes(box, layer).values()], [[layer + '.1']], 'of a killed sandbox')
