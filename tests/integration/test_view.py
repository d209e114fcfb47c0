# SPDX-License-Identifier: Apache-2.0
"""Views of overlaid directories: what a call sees of what others wrote there. The host's files are the oracle."""
import contextlib
import os
import subprocess

from harness.box import Box
from harness.registry import cases, check, equal, test


@contextlib.contextmanager
def named(t, *flags, policy=None, overlay=True, name='box'):
    """A named sandbox x over an overlaid workspace that one call has written to."""
    box = Box(t, name)
    for path, content in (('a', 'host'), ('gone', 'host'), ('d/in', 'host'), ('.env', 'CANARY-ENV'), ('p/f', 'host'),
                          ('p/cache/below', 'host')):
        os.makedirs(os.path.dirname(os.path.join(box.work, path)), exist_ok=True)
        with open(os.path.join(box.work, path), 'w') as f:
            f.write(content + '\n')
    if policy:
        flags += ('-f', t.write(name + '.ini', '\n'.join(['[sandbox]', 'version = 1', *policy]) + '\n'))
    box.nsbox('create', '--net', 'none', *(['--overlay', '.'] if overlay else []), *flags, '--name', 'x').ok()
    try:
        if overlay:
            call(box, 'echo evil > a; rm gone; echo evil > new; echo evil > d/in; mkdir made; echo evil > made/x').ok()
        yield box
    finally:
        box.nsbox('rm', '-f', 'x')


def call(box, script, *flags):
    return box.nsbox('exec', 'x', *flags, '--', 'sh', '-c', script)


COMMITTED = ('--view', 'committed')


@test
def committed(t):
    """Only what the host has, and nothing can be written."""
    with named(t) as box:
        result = call(box, 'cat a gone d/in; ls', *COMMITTED).ok()
        equal(result.out.split(), ['host'] * 3 + ['a', 'd', 'gone', 'p'], 'what is seen')
        # The twin: another call, before and after.
        equal(call(box, 'cat a d/in new').out.split(), ['evil'] * 3, 'without')
        result = call(box, 'exec 2>&1; echo x > a; echo x > d/more; rm -r d; mv gone b; mkdir e; chmod 777 a; touch -d @0 a; '
                           'ln a c; ln -s a s; truncate -s 0 a; :', *COMMITTED).ok()
        check(result.out.count('Read-only file system') >= 9, 'errors: %r' % result.out)
        equal(call(box, 'cat a d/in new; ls').out.split(), ['evil'] * 3 + ['a', 'd', 'made', 'new', 'p'], 'the working layer')
        with open(box.work + '/a') as f:
            equal(f.read(), 'host\n', 'the host')
        start = box.audit('call.start')[1]
        check('view = committed' in start['granted'], 'record: %r' % start['granted'])
        equal(start['isolation'], 'full', 'isolation')


@test
def committed_follows_the_host(t):
    with named(t) as box:
        with open(box.work + '/a', 'w') as f:
            f.write('reviewed\n')
        equal(call(box, 'cat a', *COMMITTED).out, 'reviewed\n', 'a file changed since')


@test
def committed_keeps_what_is_hidden_hidden(t):
    with named(t, '--hide', '.env', '--write', 'p', '--tmpfs', 'p/cache', '--protect', 'a') as box:
        result = call(box, 'exec 2>/dev/null; cat .env d/in a; ls -A p/cache; echo x > p/new; echo y > a; mv d e; '
                           'umount .env; umount .; cat .env', *COMMITTED)
        equal(result.out.split(), ['host', 'host'], 'what is seen (%r)' % result)
        check(os.path.exists(box.work + '/p/new'), 'a directory that the policy lets be written is not')
        result = call(box, 'cat .env d/in', *COMMITTED, '--hide', 'd/in', '--read', '.')
        check('CANARY' not in result.out and 'host' not in result.out, 'hidden by the grant too: %r' % result)
        # The twin: the file is there on the host, and a sandbox without --hide shows it.
        with named(t, name='twin') as twin:
            equal(call(twin, 'cat .env', *COMMITTED).out, 'CANARY-ENV\n', 'without --hide')


def replace(path):
    """As editors save: another file gets the name."""
    with open(path + '.new', 'w') as f:
        f.write('CANARY-NEW\n')
    os.rename(path + '.new', path)


REPLACED = [('plain', None), ('not_ours', lambda box: other_group(box.work + '/s')), ('mount_below', None),
            ('attribute', lambda box: os.setxattr(box.work + '/s', 'user.x', b'y')),
            ('state_inside', lambda box: box.env.update(XDG_STATE_HOME=box.work + '/state')),
            ('closed', lambda box: os.chmod(box.work + '/s', 0o311))]


def other_group(path):
    groups = [g for g in ([1] if os.geteuid() == 0 else os.getgroups()) if g != os.getegid()]
    if groups:
        os.chown(path, -1, groups[0])
    return bool(groups)


@cases([(name, name, change) for name, change in REPLACED])
def committed_hides_what_the_host_replaces(t, name, change):
    """Renaming over a file that is covered takes the cover away; in a call that runs, and before one starts."""
    box = Box(t)
    os.makedirs(box.work + '/s/dir/deep')
    for path in ('s/.env', 's/dir/x', 'a'):
        with open(os.path.join(box.work, path), 'w') as f:
            f.write('CANARY-OLD\n' if path != 'a' else 'host\n')
    if change and change(box) is False:
        t.skip('this user has one group only')
    flags = ['--tmpfs', 's/dir/deep'] if name == 'mount_below' else []
    script = 'cat a; echo; read line; cat s/.env s/dir/x a 2>/dev/null; true'
    for hide in (['--hide', 's/.env', '--hide', 's/dir'], []):
        box.nsbox('create', '--net', 'none', '--overlay', '.', *hide, *flags, '--name', 'x').ok()
        try:
            running = box.start('exec', 'x', *COMMITTED, '--', 'sh', '-c', script, stdin=subprocess.PIPE)
            equal([running.stdout.readline() for _ in range(2)], [b'host\n', b'\n'], 'a call that runs')
            replace(box.work + '/s/.env')
            os.rename(box.work + '/s/dir', box.work + '/s/moved%d' % len(hide))
            os.makedirs(box.work + '/s/dir/deep')
            replace(box.work + '/s/dir/x')
            out, err = running.communicate(b'\n', timeout=60)
            later = box.nsbox('exec', 'x', *COMMITTED, '--', 'sh', '-c', script, input='\n').ok().out
            if hide:
                equal(out.decode(), 'host\n', 'the call that ran (%r)' % err)
                equal(later, 'host\n\nhost\n', 'one that came later')
            else:
                check('CANARY-NEW' in later, 'the twin: %r' % later)
        finally:
            box.nsbox('rm', '-f', 'x')


@cases([('itself', ['--overlay', 'd'], 'd'), ('in_another', ['--overlay', '.', '--overlay', 'd'], 'd'),
        ('tmpfs', ['--overlay', 'd', '--tmpfs', 'd'], None)])
def hidden_as_a_whole(t, flags, hide):
    """An overlaid directory that the sandbox does not show is shown by no view."""
    box = Box(t)
    t.write('box/work/d/sub/key', 'CANARY\n')
    look = 'cat d/sub/key d/key; ls -A d; :'
    for hidden in ([*flags, '--hide', hide] if hide else flags, flags[:2]):
        box.nsbox('create', '--net', 'none', *hidden, '--name', 'x').ok()
        try:
            for view in 'working', 'committed', 'scratch':
                seen = call(box, look, '--view', view).ok().out
                equal('sub' in seen or 'CANARY' in seen, hidden == flags[:2], 'what %s with %s shows: %r' % (view, hidden, seen))
        finally:
            box.nsbox('rm', '-f', 'x')


@test
def committed_of_what_goes_on(t):
    """What was hidden from the sandbox whose changes it goes on from, and what those removed, without names for it."""
    box = Box(t)
    for path in ('.env', 'd/key', 'd/open'):
        t.write('box/work/' + path, 'CANARY\n')
    os.setxattr(box.work + '/d', 'user.x', b'y')
    box.nsbox('run', '--net', 'none', '--overlay', '.', '--hide', '.env', '--', 'rm', '-r', 'd').ok()
    layer = box.nsbox('diff', '--json').ok().json()[0]['id']
    look = 'ls -A . d; cat .env d/key d/open; :'
    for hide, seen in (['--hide', 'd/key'], ['.:', 'd', '', 'd:', 'open', 'CANARY']), ([], ['.:', 'd', '', 'd:', 'key', 'open',
                                                                                         'CANARY', 'CANARY']):
        box.nsbox('create', '--net', 'none', '--overlay', '.', '--fork', layer, *hide, '--name', 'x').ok()
        try:
            equal(call(box, look, *COMMITTED).out.split('\n')[:-1], seen, 'with %r' % hide)
        finally:
            box.nsbox('rm', '-f', 'x')


@test
def committed_has_its_own_home(t):
    """What another call left in the home and temporary directories steers no privileged one."""
    with named(t) as box:
        plant = 'for d in ~ /tmp /var/tmp; do echo evil > $d/planted || exit 1; done'
        call(box, plant).ok()
        result = call(box, 'ls -A ~ /tmp /var/tmp | grep planted; echo x > ~/.conf; mkdir /tmp/y && stat -c %a /tmp ~; pwd', *COMMITTED)
        equal(result.out.split(), ['1777', '700', box.work], 'what is seen (%r)' % result)
        equal(call(box, 'cat ~/planted /tmp/planted; ls -A ~/.conf /tmp/y 2>/dev/null').out.split(), ['evil'] * 2, 'the twin')


@test
def committed_may_write_what_the_policy_names(t):
    """Also where directories of its own lie above; and no more than any other call."""
    with named(t, '--overlay', 'd', '--write', 'p', '--tmpfs', '/srv/t', overlay=False) as box:
        script = ('exec 2>/dev/null; for d in . p /srv/t /run /dev/shm /tmp ~ d /usr/lib /etc; do '
                  'mkdir $d/made && echo $d; done; true')
        working = call(box, script)
        equal(working.out.split(), ['.', 'p', '/srv/t', '/run', '/dev/shm', '/tmp', box.home, 'd'], 'a working call')
        call(box, 'rmdir made p/made /srv/t/made /run/made /dev/shm/made').ok()
        equal(call(box, script, *COMMITTED).out.split(), working.out.split()[:-1], 'a committed one')
    with named(t, '--read', '.', '--overlay', 'd', overlay=False, name='second') as box:
        equal(call(box, 'mkdir made || echo no', *COMMITTED).out, 'no\n', 'a read-only workspace')
        result = call(box, 'touch -d @0 a', *COMMITTED)
        check(result.code != 0, 'its times: %r' % result)


@test
def committed_by_template(t):
    with named(t, policy=['[grant push]', 'argv = ./push *', 'view = committed', '[grant wide]', 'argv = none-such']) as box:
        with open(box.work + '/push', 'w') as f:
            f.write('#!/bin/sh\ncat a\necho x > a\n')
        os.chmod(box.work + '/push', 0o755)
        # What was bound to the grant is not to be replaced by what a call writes: the program is the host's too.
        call(box, 'printf "#!/bin/sh\necho stolen\n" > push').ok()
        result = box.nsbox('exec', 'x', '--', './push', 'origin')
        equal(result.out, 'host\n', 'the bound command (%r)' % result)
        result = box.nsbox('exec', 'x', '--view', 'working', '--', './push', 'origin')
        equal((result.code, result.out), (125, ''), 'asking for more')
        check('view = working is more than' in result.err, 'message: %r' % result.err)
        check(box.nsbox('grant', 'check', '-f', t.path('box.ini'), '--overlay', '.', 'push', '--path', 'a').code == 0, 'read')
        result = box.nsbox('grant', 'check', '-f', t.path('box.ini'), '--overlay', '.', 'push', '--path', 'a', '--write')
        equal(result.code, 1, 'writing (%r)' % result)
        check('view = committed' in result.out, 'the rule: %r' % result.out)


@test
def a_child_inherits_it(t):
    with named(t) as box:
        result = call(box, '/run/nsbox/bin/nsbox call -- cat a; /run/nsbox/bin/nsbox call --view working -- cat a', *COMMITTED)
        equal(result.out, 'host\n', 'the child (%r)' % result)


@test
def without_an_overlay(t):
    """What others write is the host's at once: there is nothing else to be seen."""
    with named(t, overlay=False) as box:
        call(box, 'echo new > a').ok()
        equal(call(box, 'cat a', *COMMITTED).out, 'new\n', 'what is seen')


@test
def several_and_nested(t):
    box = Box(t)
    other = t.path('other')
    for path in (box.work + '/d', other, box.work + '/d/sub'):
        os.makedirs(path, exist_ok=True)
        with open(path + '/f', 'w') as f:
            f.write('host\n')
    box.nsbox('create', '--net', 'none', '--overlay', '.', '--overlay', 'd', '--overlay', other, '--name', 'x').ok()
    try:
        script = 'cat d/f d/sub/f %s/f' % other
        call(box, 'for f in d/f d/sub/f %s/f; do echo evil > $f; done' % other).ok()
        equal(call(box, script).out.split(), ['evil'] * 3, 'the twin')
        equal(call(box, script, *COMMITTED).out.split(), ['host'] * 3, 'all of them')
    finally:
        box.nsbox('rm', '-f', 'x')


UNDO = [
    ('umount', 'umount .; umount -l $PWD; umount -R /; cat a new'),
    ('new_namespace', 'unshare -Urm sh -c "umount -l $PWD; cat a new"'),
    ('nsenter', 'for p in /proc/[0-9]*; do nsenter -m$p/ns/mnt cat $PWD/new $PWD/a; done'),
    ('through_proc', 'for p in /proc/[0-9]*; do cat $p/root$PWD/new $p/cwd/new; done'),
    ('mount', 'mount -t overlay x -o lowerdir=/,upperdir=/tmp,workdir=/var/tmp /dev/shm; mount -o remount,rw .'),
    ('dot_dot', 'cat $PWD/../work/new ../work/new'),
]


@cases(UNDO)
def cannot_be_left(t, script):
    """With a sibling that sees the working layer, at the same time."""
    with named(t) as box:
        sibling = box.start('exec', 'x', '--', 'sh', '-c', 'cd /; sleep 100')
        try:
            result = call(box, 'exec 2>/dev/null; ' + script, *COMMITTED)
            check('evil' not in result.out, 'the working layer is seen: %r' % result)
            equal(call(box, 'cat a').out, 'evil\n', 'the twin')
        finally:
            sibling.kill()
            sibling.communicate()


@test
def no_trace_of_the_layer(t):
    with named(t) as box:
        result = call(box, 'cat /proc/self/mountinfo; ls -A /dev/pts', *COMMITTED).ok()
        check(box.state not in result.out and 'fresh' not in result.out, 'mounts: %r' % result.out)
        check(box.work in result.out, 'no mounts: %r' % result.out)
