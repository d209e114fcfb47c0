# SPDX-License-Identifier: Apache-2.0
"""Calls with a layer of their own (view = scratch): what they write is seen by no other call until it is accepted, and can be
taken back afterwards. The oracle is what another call sees of the working state, and the host's files."""
import contextlib
import fcntl
import glob
import json
import os
import subprocess

from harness.box import Box
from harness.fault import chain_problem, program
from harness.registry import cases, check, equal, test, until
from harness.work import refused

SCRATCH = ('--view', 'scratch')


@contextlib.contextmanager
def named(t, *flags, name='box', files=True, policy=None):
    """A named sandbox x over an overlaid workspace that one call has written to."""
    box = Box(t, name)
    for path, content in (('a', 'host'), ('gone', 'host'), ('d/in', 'host'), ('.env', 'CANARY-ENV'),
                          ('p/f', 'host')) if files else ():
        os.makedirs(os.path.dirname(os.path.join(box.work, path)), exist_ok=True)
        with open(os.path.join(box.work, path), 'w') as f:
            f.write(content + '\n')
    if policy:
        flags += ('-f', t.write(name + '.ini', '\n'.join(['[sandbox]', 'version = 1', *policy]) + '\n'))
    box.nsbox('create', '--net', 'none', '--overlay', '.', *flags, '--name', 'x').ok()
    try:
        if files:
            call(box, 'echo working > a; rm gone; echo working > new').ok()
        yield box
    finally:
        box.nsbox('rm', '-f', 'x')


def call(box, script, *flags):
    return box.nsbox('exec', 'x', *flags, '--', 'sh', '-c', script)


def state(box):
    """What a call sees of the files: mode, attributes and content of each."""
    return call(box, 'find . | sort | xargs -d "\\n" stat -c "%n %F %a %s"; find . -type f | sort | xargs -d "\\n" cat').ok().out


def changed(box, layer):
    found = json.loads(box.nsbox('diff', '--json', layer).ok().out)['changes']
    return {c['path'][len(box.work) + 1:]: c for c in found}


def kept(box):
    return json.loads(box.nsbox('diff', '--json').ok().out)[0]['own']


EDIT = 'echo own > a; rm new; mkdir made; echo own > made/f; rm -r d; chmod 700 .env; ln -s a link'


@test
def seen_by_no_other(t):
    with named(t) as box:
        before = state(box)
        result = call(box, 'cat a new d/in; %s; cat a made/f; ls -A' % EDIT, *SCRATCH).ok()
        equal(result.out.split(), ['working', 'working', 'host', 'own', 'own', '.env', 'a', 'link', 'made', 'p'], 'what it sees')
        layer = kept(box)
        equal(len(layer), 1, 'layers')
        equal(result.err, 'nsbox: 6 files changed in a layer of its own: nsbox diff|commit|discard %s\n' % layer[0], 'stderr')
        equal(state(box), before, 'what another call sees')
        result = call(box, 'cat a; ls -A; echo other > other', *SCRATCH)
        equal(result.out.split(), ['working', '.env', 'a', 'd', 'new', 'p'], 'what another one with a layer sees')
        equal(box.nsbox('diff', 'x.3').ok().out.splitlines(),
              ['m  .env  (0644 -> 0700)  [program]', 'M  a', 'D  d/', 'A  link', 'A  made/f', 'D  new'], 'diff of the call')
        equal(sorted(changed(box, 'x')), ['a', 'gone', 'new'], 'diff of the sandbox')
        check('+own' in box.nsbox('diff', '--patch', 'x.3', 'made').ok().out, 'patch')
        equal(sorted(changed(box, 'x.3'))[:2], ['.env', 'a'], 'JSON')
        equal(call(box, 'true', *SCRATCH).err, '', 'of a call that wrote nothing')
        equal(kept(box)[0], layer[0], 'kept')
        start = [r for r in box.audit('call.start') if 'view = scratch' in r.get('granted', [])]
        equal([r['isolation'] for r in start], ['full'] * 3, 'records')
        # The host has nothing of it; the twin: without the view all is seen.
        with open(box.work + '/a') as f:
            equal(f.read(), 'host\n', 'the host')
        call(box, EDIT).ok()
        check(state(box) != before, 'a working call changed nothing')


@test
def protected_and_hidden(t):
    with named(t, '--hide', '.env', '--protect', 'd/in', '--tmpfs', 'p') as box:
        result = call(box, 'exec 2>/dev/null; cat .env; echo x > d/in; mv d e; rm -r d; cat d/in; umount d/in; umount .; '
                           'cat .env; echo x > p/t && echo y > d/free && cat p/t d/free', *SCRATCH)
        equal(result.out.split(), ['host', 'x', 'y'], 'what is seen and written (%r)' % result)
        equal(sorted(changed(box, 'x.2')), ['d/free'], 'changes')
        box.nsbox('commit', 'x.2').ok()
        equal(call(box, 'cat d/free d/in').out.split(), ['y', 'host'], 'below a directory that is kept in its place')
        # The twin.
        with named(t, name='twin') as twin:
            equal(call(twin, 'cat .env; echo x > d/in; cat d/in', *SCRATCH).out.split(), ['CANARY-ENV', 'x'], 'without')


@test
def follows_the_working_state(t):
    """What others write meanwhile is seen where the call has not written itself."""
    with named(t) as box:
        other = box.start('exec', 'x', *SCRATCH, '--', 'sh', '-c',
                          'echo own > mine; echo ready > /tmp/ready; while ! [ -e /tmp/go ]; do sleep 0.02; done; cat later mine')
        call(box, 'while ! [ -e /tmp/ready ]; do sleep 0.02; done; echo later > later; ls mine; echo > /tmp/go')
        out, _ = other.communicate(timeout=60)
        equal(out.decode().split(), ['later', 'own'], 'what it sees')


ENDED = [('while_it_runs', False), ('when_it_has_ended', True)]


def end(box, ended):
    """The name of its layer, whether the sandbox is to run or not."""
    layer = json.loads(box.nsbox('diff', '--json').ok().out)[0]['id']
    if ended:
        box.nsbox('rm', 'x').ok()
    return layer


@cases(ENDED)
def accepted_and_taken_back(t, ended):
    with named(t) as box:
        before = call(box, 'cat a new d/in; ls -A').out.split()
        call(box, EDIT, *SCRATCH).ok()
        layer = end(box, ended)
        number = layer + '.3'
        result = box.nsbox('commit', number).ok()
        equal(result.err, 'nsbox: 6 files committed to the working state\n', 'stderr')
        found = changed(box, layer)
        equal(sorted(found), ['.env', 'a', 'd', 'gone', 'link', 'made/f'], 'changes')
        for path in ('a', 'link', 'made/f', '.env'):
            equal(found[path]['calls'], [number], 'who wrote %s' % path)
        # All that is deleted has one mark, so who deleted it is known less exactly.
        check(number in found['d']['calls'], 'who deleted d: %r' % found['d'])
        if not ended:
            equal(call(box, 'cat a made/f; ls -A').out.split(), ['own', 'own', '.env', 'a', 'link', 'made', 'p'], 'what is seen')
        refused(box.nsbox('diff', number), 'nothing of a layer of its own')
        result = box.nsbox('rollback', layer, '3').ok()
        equal(result.err, 'nsbox: 6 files taken back\n', 'stderr of rollback')
        equal(sorted(changed(box, layer)), ['a', 'gone', 'new'], 'changes')
        refused(box.nsbox('rollback', layer, '3'), 'taken back already')
        if not ended:
            equal(call(box, 'cat a new d/in; ls -A').out.split(), before, 'the state before')
        records = [(r['event'], r['call'], r['files'], r.get('rollback')) for r in box.audit() if r['event'].startswith('fs.')]
        equal(records, [('fs.commit', number, 6, None), ('fs.discard', number, 6, number)], 'records')
        equal(chain_problem(box.logs()[-1]), None, 'the audit log')


@cases(ENDED)
def given_up(t, ended):
    with named(t) as box:
        call(box, EDIT, *SCRATCH).ok()
        call(box, EDIT, *SCRATCH).ok()
        before = state(box)
        layer = end(box, ended)
        equal(box.nsbox('discard', layer + '.2').ok().err, 'nsbox: 6 files discarded\n', 'discard')
        equal(box.nsbox('rollback', layer, layer + '.3').ok().err, 'nsbox: 6 files taken back\n', 'rollback')
        equal(kept(box), [], 'layers')
        equal(sorted(changed(box, layer)), ['a', 'gone', 'new'], 'changes')
        if not ended:
            equal(state(box), before, 'the working state')
        equal([(r['call'], r.get('rollback')) for r in box.audit('fs.discard')],
              [(layer + '.2', None), (layer + '.3', layer + '.3')], 'records')
        refused(box.nsbox('discard', layer + '.2'), 'nothing of a layer of its own')
        refused(box.nsbox('commit', layer + '.2', 'a'), 'as a whole')
        for wrong in ('x.', 'x.0', 'x.-1', 'x.1x', 'x.99999999999', '../x.1', 'x/.1'):
            refused(box.nsbox('discard', wrong), 'no id of a call' if wrong.startswith('x.') else 'nsbox')


@cases(ENDED)
def conflicts(t, ended):
    """What was changed since is reported, and nothing of anything is overwritten."""
    with named(t) as box:
        call(box, EDIT, *SCRATCH).ok()
        call(box, 'echo later > a; echo later > made; echo later > d/more').ok()
        before = state(box)
        layer = end(box, ended)
        found = changed(box, layer + '.2')
        equal(sorted(p for p in found if found[p]['conflict']), ['a', 'd', 'made'], 'conflicts')
        refused(box.nsbox('commit', layer + '.2'), 'nothing was committed', 'a was changed in the sandbox since', 'd was')
        equal(sorted(changed(box, layer)), ['a', 'd/more', 'gone', 'made', 'new'], 'changes')
        equal(kept(box), [layer + '.2'], 'kept')
        if not ended:
            equal(state(box), before, 'the working state')
    with named(t, name='second') as box:
        call(box, EDIT, *SCRATCH).ok()
        box.nsbox('commit', 'x.2').ok()
        call(box, 'echo later > a; echo later > made/more; mkdir d').ok()
        before = state(box)
        layer = end(box, ended)
        refused(box.nsbox('rollback', layer, '2'), 'a was changed in the sandbox since', 'made was')
        # And nobody before: the next call, which reads the state, may begin in the same tick of the file system's clock.
        equal(changed(box, layer)['a']['calls'][:1], [layer + '.3'], 'who wrote a last')
        if not ended:
            equal(state(box), before, 'the working state')


def meanwhile(box, script, *words):
    """nsbox, while the script is run before each of its system calls that change files; its own commands are not followed."""
    return subprocess.run([program(box.t, 'kill_at'), '0', box.nsbox_path, *words], env=dict(box.env, AT_EACH=script), cwd=box.work,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)


def scratch_of(box):
    path, = glob.glob(box.state + '/nsbox/layers/*/scratch')
    return path


@cases(ENDED)
def written_after_the_digest(t, ended):
    """By somebody with a descriptor of a file of the call's layer, when its digest was compared already."""
    with named(t) as box:
        call(box, 'echo own > a', *SCRATCH).ok()
        number = end(box, ended) + '.2'
        scratch = scratch_of(box)
        digest = box.nsbox('diff', '--digest', number).ok().out.strip()
        late = 'cd %s && [ -e .undo.2 -o -e 2.undo ] && echo bad > 2/0/upper/a' % scratch
        result = meanwhile(box, late, 'commit', number, '--digest', digest)
        equal(result.returncode, 125, 'status (%r)' % result)
        check(b'not those that the digest was taken of' in result.stderr, 'stderr: %r' % result)
        check('2.undo' not in os.listdir(scratch), 'what takes it back is left: %r' % os.listdir(scratch))
        check('bad' in box.nsbox('diff', '--patch', number).ok().out, 'the twin: it was written too late to be seen')
        refused(box.nsbox('commit', number, '--digest', digest), 'not those that the digest was taken of')
        box.nsbox('commit', number).ok()


@test
def one_at_a_time(t):
    """A merging that outlives its sandbox keeps others away from what it works on."""
    with named(t) as box:
        call(box, 'echo own > own', *SCRATCH).ok()
        layer = end(box, True)
        merging = os.open(scratch_of(box), os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(merging, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for words in (('commit', layer), ('discard', layer), ('snapshot', layer, 'copy'), ('diff', layer + '.2'),
                      ('commit', layer + '.2')):
            refused(box.nsbox(*words), 'another command works on the layers of calls')
        os.close(merging)
        box.nsbox('snapshot', layer, 'copy').ok()
        merging = os.open('%s/nsbox/layers/%s/scratch' % (box.state, layer), os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(merging, fcntl.LOCK_EX | fcntl.LOCK_NB)
        refused(box.nsbox('rollback', layer, 'copy'), 'another command works on the layers of calls')
        os.close(merging)
        box.nsbox('rollback', layer, 'copy').ok()
        own = {one['id']: one['own'] for one in json.loads(box.nsbox('diff', '--json').ok().out)}
        equal(own[layer], [layer + '.2'], 'layers of calls')
        box.nsbox('commit', layer + '.2').ok()
        box.nsbox('commit', layer).ok()


@test
def names_like_ours(t):
    """What a call puts under a name that looks like that of a merging's place is shown like anything else."""
    with named(t) as box:
        layer = json.loads(box.nsbox('diff', '--json').ok().out)[0]['id']
        names = ['.nsbox-commit-', '.nsbox-commit-x', '.nsbox-commit-' + layer + 'x', 'd/.nsbox-commit-' + layer]
        for flags, number in (SCRATCH, '.2'), ((), ''):
            call(box, 'for d in %s; do mkdir $d; echo x > $d/f; done; echo x > .nsbox-commit-%s' % (' '.join(names), layer),
                 *flags).ok()
            found = changed(box, layer + number)
            check({n + '/f' for n in names} | {'.nsbox-commit-' + layer} <= set(found), 'changes: %r' % sorted(found))


@test
def of_the_shared_layer(t):
    """A call that wrote where all do cannot be taken back alone, and the error names the ways out."""
    with named(t) as box:
        before = state(box)
        refused(box.nsbox('rollback', 'x', '1'), '--view scratch', 'nsbox snapshot', 'share')
        refused(box.nsbox('rollback', 'x', 'x.1'), '--view scratch')
        box.nsbox('snapshot', 'x', '7').ok()
        # A snapshot of that name is meant then.
        refused(box.nsbox('rollback', 'x', '7'), 'still runs')
        equal(state(box), before, 'the working state')


@test
def a_running_call_is_left_alone(t):
    with named(t) as box:
        call(box, 'mkfifo /tmp/ready').ok()
        other = box.start('exec', 'x', *SCRATCH, '--', 'sh', '-c', 'echo 1 > a; echo $$ > /tmp/ready; sleep 100')
        call(box, 'cat /tmp/ready').ok()
        # Its layer gets its name when the supervisor hears that it runs.
        until(lambda: kept(box), 20, 'no layer')
        own = kept(box)
        equal(len(own), 1, 'layers')
        for words in (('commit', own[0]), ('discard', own[0]), ('rollback', 'x', own[0])):
            refused(box.nsbox(*words), 'still runs')
        box.nsbox('kill', 'x').ok()
        other.communicate(timeout=60)
        # What was killed is kept like anything else.
        box.nsbox('commit', own[0]).ok()
        equal(call(box, 'cat a').out, '1\n', 'after the commit')


@test
def kept_when_the_sandbox_ends(t):
    """Also when nothing else was changed, and when all of that is committed."""
    box = Box(t)
    for n, script in enumerate(('true', 'echo x > b')):
        box.nsbox('create', '--net', 'none', '--overlay', '.', '--name', 'x').ok()
        call(box, script).ok()
        call(box, 'echo own > own', *SCRATCH).ok()
        result = box.nsbox('rm', 'x').ok()
        layer = json.loads(box.nsbox('diff', '--json').ok().out)[0]
        check('commit|discard CALL, for %s.2\n' % layer['id'] in result.err, 'stderr: %r' % result)
        if n:
            box.nsbox('commit', layer['id']).ok()
        box.nsbox('commit', layer['id'] + '.2').ok()
        box.nsbox('commit', layer['id']).ok()
        with open(box.work + '/own') as f:
            equal(f.read(), 'own\n', 'the host')
        equal(box.nsbox('diff', '--json').ok().out, '[]\n', 'layers')
        os.unlink(box.work + '/own')


@test
def cannot_be_widened(t):
    """committed sees less than scratch, and scratch less than working: what a call has it can pass on, and no more."""
    nsbox = '/run/nsbox/bin/nsbox call'
    with named(t, policy=['[grant try]', 'argv = ./try *', 'view = scratch']) as box:
        result = call(box, 'echo own > a; %s -- cat a; %s --view committed -- cat a; %s --view working -- cat a || echo no'
                      % (nsbox, nsbox, nsbox), *SCRATCH)
        equal(result.out.split(), ['working', 'host', 'no'], 'children of a call with a layer (%r)' % result)
        check('view = working is more than' in result.err, 'message: %r' % result)
        result = call(box, '%s --view scratch -- cat a || echo no' % nsbox, '--view', 'committed')
        equal(result.out.split(), ['no'], 'a child of a committed call (%r)' % result)
        call(box, 'printf "#!/bin/sh\necho try > a; cat a" > try; chmod 755 try').ok()
        equal(box.nsbox('exec', 'x', '--', './try', 'it').out, 'try\n', 'the bound command')
        refused(box.nsbox('exec', 'x', '--view', 'working', '--', './try', 'it'), 'view = working is more than')
        equal(call(box, 'cat a').out, 'working\n', 'the working state')


@test
def several_directories(t):
    box = Box(t)
    other = t.path('other')
    for path in (box.work + '/d', other):
        os.makedirs(path, exist_ok=True)
        with open(path + '/f', 'w') as f:
            f.write('host\n')
    box.nsbox('create', '--net', 'none', '--overlay', '.', '--overlay', 'd', '--overlay', other, '--name', 'x').ok()
    try:
        script = 'for f in g d/f %s/f; do echo own > $f; done' % other
        call(box, script, *SCRATCH).ok()
        equal(call(box, 'cat d/f %s/f; ls' % other).out.split(), ['host', 'host', 'd'], 'another call')
        box.nsbox('commit', 'x.1').ok()
        equal(call(box, 'cat g d/f %s/f' % other).out.split(), ['own'] * 3, 'accepted')
        box.nsbox('rollback', 'x', '1').ok()
        equal(call(box, 'cat d/f %s/f; ls' % other).out.split(), ['host', 'host', 'd'], 'taken back')
    finally:
        box.nsbox('rm', '-f', 'x')


UNDO = [
    ('umount', 'umount .; umount -l $PWD; umount -R /; cat a'),
    ('through_proc', 'for p in /proc/[0-9]*; do cat $p/root$PWD/a $p/cwd/a; done'),
    ('write_through_proc', 'for p in /proc/[0-9]*; do echo stolen > $p/root$PWD/a; done'),
    ('dev_pts', 'find /dev/pts; for d in /dev/pts/working/0 /dev/pts/scratch; do echo stolen > $d/a; done'),
]


@cases(UNDO)
def cannot_be_left(t, script):
    """With a sibling that sees the working layer, at the same time."""
    with named(t) as box:
        sibling = box.start('exec', 'x', '--', 'sh', '-c', 'cd /; sleep 100')
        try:
            result = call(box, 'exec 2>/dev/null; echo own > a; ' + script, *SCRATCH)
            check('working' not in result.out and 'scratch' not in result.out, 'the working layer is seen: %r' % result)
            equal(call(box, 'cat a').out, 'working\n', 'the working state')
            equal(call(box, 'echo stolen > a; cat a').out, 'stolen\n', 'the twin')
        finally:
            sibling.kill()
            sibling.communicate()
