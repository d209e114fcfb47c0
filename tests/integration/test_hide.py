# SPDX-License-Identifier: Apache-2.0
"""What a grant takes away below what it gives: hidden or read-only in the call's own mount namespace."""
import contextlib
import functools
import os
import subprocess

from harness.box import Box
from harness.mounts import with_mounts
from harness.registry import cases, check, equal, test

SECRET = 'CANARY-HIDDEN'


@contextlib.contextmanager
def workspace(t, policy=()):
    """A named sandbox x over a workspace with a hidden-to-be directory and file."""
    box = Box(t)
    os.makedirs(box.work + '/a/secret/deep')
    for name in ('a/secret/file', 'a/secret/deep/file', 'a/key', 'key'):
        with open(box.work + '/' + name, 'w') as f:
            f.write(SECRET + '\n')
    with open(box.work + '/a/open', 'w') as f:
        f.write('open\n')
    box.policy = t.write('p.ini', '\n'.join(['[sandbox]', 'version = 1', *policy]) + '\n')
    box.nsbox('create', '--net', 'none', '-f', box.policy, '--name', 'x').ok()
    try:
        yield box
    finally:
        box.nsbox('rm', '-f', 'x')


def call(box, script, *flags):
    return box.nsbox('exec', 'x', *flags, '--', 'sh', '-c', script)


def refused(box, word, *flags):
    result = box.nsbox('exec', 'x', *flags, '--', 'touch', 'ran')
    equal((result.code, result.out), (125, ''), 'exit status and output (%r)' % result)
    check(word in result.err, 'message: %r' % result.err)
    check(not os.path.exists(box.work + '/ran'), 'nothing has run')


def contents(box):
    found = {}
    for base, _, files in os.walk(box.work):
        for name in files:
            with open(os.path.join(base, name)) as f:
                found[os.path.relpath(os.path.join(base, name), box.work)] = f.read()
    return found


HIDE = ('--hide', 'a/secret', '--hide', 'key')


@test
def hidden(t):
    with workspace(t) as box:
        script = 'ls -A a/secret; cat key a/secret/file; cat a/open; grep -rs CANARY .; echo x > a/new'
        result = call(box, script, *HIDE)
        equal(result.out.split(), ['open', './a/key:' + SECRET], 'what is seen (%r)' % result)
        equal(contents(box)['a/new'], 'x\n', 'what is given is writable')
        equal(contents(box)['a/secret/file'], SECRET + '\n', 'the file on the host')
        start = box.audit('call.start')[-1]
        equal(start['isolation'], 'full', 'isolation')
        check('hide = %s/a/secret' % box.work in start['granted'], 'record: %r' % start['granted'])
        # The twin: a call of the same sandbox, before and after, without it.
        equal(call(box, 'cat key a/secret/file').out.split(), [SECRET] * 2, 'without')


@test
def together_with_other_paths(t):
    """Within a Landlock layer: what is hidden takes away from what is given, not the other way round."""
    with workspace(t) as box:
        result = call(box, 'cat a/open; ls -A a/secret; cat a/key; cat key; echo x > a/new; echo x > new',
                      '--read', 'a', '--write', 'a', '--hide', 'a/secret')
        equal(result.out.split(), ['open', SECRET], 'what is seen (%r)' % result)
        check('a/new' in contents(box) and 'new' not in contents(box), 'what is written')


@test
def nested_and_many(t):
    with workspace(t) as box:
        os.makedirs(box.work + '/many')
        for i in range(200):
            with open('%s/many/%d' % (box.work, i), 'w') as f:
                f.write(SECRET)
        flags = [x for i in range(200) for x in ('--hide', 'many/%d' % i)]
        result = call(box, 'ls a/secret a/secret/deep 2>&1; cat many/* 2>/dev/null | wc -c',
                      '--hide', 'a/secret/deep', '--hide', 'a/secret', '--hide', 'a/secret/file', *flags)
        check('CANARY' not in result.out and result.out.split()[-1] == '0', 'what is seen (%r)' % result)
        refused(box, '256', *[x for i in range(200) for x in ('--hide', 'many/%d' % i)],
                *[x for i in range(100) for x in ('--hide', link(box, i))])


def link(box, i):
    path = '%s/more%d' % (box.work, i)
    with open(path, 'w'):
        pass
    return path


UNDO = [
    ('umount', 'umount {d}; umount -l {d}; umount -l {f}'),
    ('remount', 'mount -o remount,bind,rw {d}; mount --bind / /tmp; mount -t tmpfs x a'),
    ('new_user_namespace', 'unshare -Urm sh -c "umount -l {d}; umount -l {f}; cat {d}/file {f}"'),
    ('rename', 'mv {d} moved; mv {f} moved2; mv a b; mv b/secret b/moved'),
    ('remove', 'rm -rf {d}; rmdir {d}; rm -f {f}'),
    ('hard_link', 'ln {f} linked; ln {d}/file linked2; cat linked linked2'),
    ('symbolic_link', 'ln -s $PWD/{f} l; ln -s $PWD/a/secret m; cat l m/file'),
    ('dot_dot', 'cat {d}/../secret/file a/../{f} {d}/deep/../file'),
    ('through_proc', 'for p in /proc/[0-9]*; do cat $p/root$PWD/{f} $p/cwd/{f} $p/root$PWD/{d}/file; done'),
    ('own_root', 'cat /proc/self/root$PWD/{f} /proc/self/cwd/{f} /proc/1/root$PWD/{f} /proc/1/cwd$PWD/{f}'),
    ('descriptors', 'for f in /proc/[0-9]*/fd/* /proc/[0-9]*/fd/*/file; do [ -f $f ] && cat $f; done'),
    ('overwrite', 'echo x > {f}; echo x > {d}/file; echo x > {d}/new; touch {d}'),
    ('chmod', 'chmod 777 {f} {d}; chmod -R 777 a; cat {f} {d}/file'),
    ('nsenter', 'nsenter -t 1 -m cat $PWD/{f}; for p in /proc/[0-9]*; do nsenter -m$p/ns/mnt cat $PWD/{f}; done'),
]


@cases(UNDO)
def cannot_be_undone(t, script):
    """With a sibling that has all of it, in another call of the same sandbox, at the same time."""
    with workspace(t) as box:
        script = '(' + script.format(d='a/secret', f='key') + ') 2>/dev/null; cat key a/secret/file 2>/dev/null; true'
        sibling = box.start('exec', 'x', '--', 'sh', '-c', 'exec 5<key 6<a/secret; cat key; echo; read x; cat <&5',
                            stdin=subprocess.PIPE)
        check(SECRET.encode() in sibling.stdout.readline(), 'the sibling has it')
        before = contents(box)
        result = call(box, script, *HIDE)
        check('CANARY' not in result.out, 'what was hidden is seen: %r' % result)
        after = contents(box)
        for name in ('key', 'a/secret/file', 'a/secret/deep/file'):
            equal(after.get(name), before[name], name + ' on the host')
        equal(sibling.communicate(b'\n', timeout=60)[0].split(), [SECRET.encode()], 'the sibling still has it')
        # The twin: the same from a call without it sees the file.
        check('CANARY' in call(box, 'cat key a/secret/file').out, 'without')


@test
def hard_links_are_refused(t):
    """Another name of a hidden file would still show it."""
    with workspace(t) as box:
        os.link(box.work + '/key', box.work + '/a/other')
        refused(box, 'hard links', '--hide', 'key')
        # The twin: as a file of its own it is hidden.
        os.unlink(box.work + '/a/other')
        equal(call(box, 'cat key', '--hide', 'key').out, '', 'one name')


@test
def links_lead_to_what_is_hidden(t):
    with workspace(t) as box:
        os.symlink('a/secret', box.work + '/link')
        result = call(box, 'ls -A link/ a/secret/', '--hide', 'link')
        check('file' not in result.out.split(), 'named by a link: %r' % result)


@test
def what_cannot_be_hidden_is_refused(t):
    with workspace(t) as box:
        refused(box, 'no-such', '--hide', 'no-such')
        refused(box, 'root as a whole', '--hide', '/')
        refused(box, '/dev', '--hide', '/dev/null')
        # On the host, but not in the sandbox.
        refused(box, 'there is no', '--hide', box.home + '/canary')


@test
def hidden_system_path(t):
    with workspace(t) as box:
        equal(call(box, 'ls /usr/share | head -1; ls -d /usr/bin', '--hide', '/usr/share').out.split(), ['/usr/bin'],
              'a directory of the system')
        check(call(box, 'ls /usr/share').ok().out, 'without')


@cases([('all_of_it', '.', '--read', ['--hide', 'a'], ['--hide', 'alias/a'], 0),
        ('a_file', '.', '--read', ['--hide', 'a/file'], ['--hide', 'alias/a/file'], 1),
        ('a_part', 'a/part', '--read', ['--hide', 'a'], ['--hide', 'alias'], 0),
        ('writable', 'a', '--write', ['--write', '.', '--write', 'alias', '--read', 'a'], None, 3)])
def other_mount_of_the_same_tree_is_refused(t, source, kind, flags, more, seen):
    """The host shows one directory at two places: what is taken away at one of them would still be at the other."""
    box = Box(t)
    os.makedirs(box.work + '/a/part')
    os.makedirs(box.dir + '/alias')
    for name in ('a/file', 'a/part/file'):
        with open(box.work + '/' + name, 'w') as f:
            f.write(SECRET)
    flags, more = (words and [x.replace('alias', box.dir + '/alias') for x in words] for words in (flags, more))
    mounted = with_mounts([(os.path.join(box.work, source), box.dir + '/alias')])
    box.start = functools.partial(box.start, preexec_fn=mounted)
    box.nsbox('create', '--net', 'none', kind, box.dir + '/alias', '--name', 'x').ok()
    try:
        refused(box, 'alias', *flags)
        # The twin: with both places named, or nothing taken away.
        script = 'cat a/file a/part/file %s/file %s/a/file; ls %s' % ((box.dir + '/alias',) * 3)
        out = call(box, script, *(flags[:-2] if more is None else flags + more)).out
        equal(out.count(SECRET), seen, 'both places (%r)' % out)
    finally:
        box.nsbox('rm', '-f', 'x')


@cases([('directory', 'a/secret', 'a/secret/file'), ('file', 'a/key', 'a/key')])
def read_only_below_write(t, path, file):
    with workspace(t) as box:
        script = ('cat {0}; echo x > {0}; rm -rf {1}; mv {1} elsewhere; mv a b && mkdir -p a; ln {0} linked && echo x > linked; '
                  'echo x > a/new; echo x > new').format(file, path)
        result = call(box, script, '--write', '.', '--read', path)
        equal(result.out.split()[0], SECRET, 'it can be read (%r)' % result)
        after = contents(box)
        equal(after[file], SECRET + '\n', 'the file on the host')
        equal((after['a/new'], after['new']), ('x\n', 'x\n'), 'the rest is writable')
        call(box, 'echo x > ' + file, '--write', '.').ok()
        equal(contents(box)[file], 'x\n', 'the twin')


@test
def given_back_below_is_refused(t):
    with workspace(t) as box:
        refused(box, 'cannot be enforced', '--write', '.', '--read', 'a', '--write', 'a/secret')


@test
def a_template_hides(t):
    with workspace(t, ['[grant narrow]', 'argv = cat *', 'hide = key']) as box:
        result = box.nsbox('exec', 'x', '--', 'cat', 'key', 'a/open')
        equal(result.out.split(), ['open'], 'bound (%r)' % result)
        result = box.nsbox('exec', 'x', '--hide', 'a/open', '--', 'cat', 'key', 'a/open')
        equal(result.out.split(), [], 'what is asked for is added')
        equal(box.nsbox('exec', 'x', '--', 'head', 'key').out.split(), [SECRET], 'the twin')


@test
def the_pool_is_left_alone(t):
    """A call that hides is prepared for itself: none of the others gets its view, nor it theirs."""
    with workspace(t) as box:
        waiting = [box.start('exec', 'x', *(HIDE if i % 2 else ()), '--', 'cat', 'key') for i in range(12)]
        for i, process in enumerate(waiting):
            out = process.communicate(timeout=40)[0].decode()
            equal(out, '' if i % 2 else SECRET + '\n', 'call %d' % i)


# Modes, times and attributes of a file, as far as the arguments name one; the file system may have no attributes.
CHANGE = '''import os, sys
for path in sys.argv[1:]:
    for way in (lambda: os.chmod(path, 0o711), lambda: os.utime(path, (1, 1)), lambda: os.setxattr(path, "user.x", b"1"),
                lambda: os.chown(path, os.getuid(), os.getgid())):
        try: way()
        except OSError as e: print(e.errno)
'''


def changed(box, *names):
    """Those whose mode, times or attributes are not as this function leaves them."""
    found = []
    for name in names:
        path = box.work + '/' + name
        stat = os.stat(path)
        if stat.st_mode & 0o777 == 0o711 or stat.st_mtime == 1 or 'user.x' in os.listxattr(path):
            found.append(name)
            with contextlib.suppress(OSError):
                os.removexattr(path, 'user.x')
        os.chmod(path, 0o755 if os.path.isdir(path) else 0o644)
        os.utime(path, (10**9, 10**9))
    return found


def change(box, names, *flags):
    changed(box, *names)
    result = box.nsbox('exec', 'x', *flags, '--', '/usr/bin/python3', '-c', CHANGE, *names)
    equal(result.code, 0, 'exit status (%r)' % result)
    return changed(box, *names)


FULL = ('--isolation', 'full')
ALL = ['.', 'a', 'a/open', 'a/secret', 'a/secret/deep/file', 'key']


@cases([('read_only', ['--read-only'], []), ('read', ['--read', 'a'], []), ('read_of_all', ['--read', '.'], []),
        ('write', ['--write', 'a/secret'], ['a/secret', 'a/secret/deep/file']),
        ('write_of_a_file', ['--write', 'a/open'], ['a/open']),
        ('read_below', ['--write', 'a', '--read', 'a/secret'], ['a', 'a/open']),
        ('read_and_write', ['--read', 'a', '--write', 'a/secret/deep'], ['a/secret/deep/file']),
        ('with_hide', ['--write', 'a', '--hide', 'a/secret'], ['a', 'a/open']), ('nothing', [], ALL)])
def modes_of_what_is_not_granted(t, flags, open_ones):
    """In a full call; a light one, or one without a grant, is the control."""
    with workspace(t) as box:
        equal(change(box, ALL, *FULL, *flags), open_ones, 'changed')
        if '--hide' not in flags and len(flags) < 4:
            equal(change(box, ALL, *flags), ALL, 'changed by a light call')


@test
def sealed_is_used_as_before(t):
    """What is granted beside and below what is sealed can be written, made and removed; the rest read."""
    with workspace(t) as box:
        script = ('cat key a/key a/open; echo x > a/secret/deep/new && mkdir a/secret/d && '
                  'mv a/secret/deep/new a/secret/d/ && rm a/secret/file && cat a/secret/d/new; echo x > new; echo x > a/new; rm key; mv a b; '
                  'touch /run/y /dev/shm/y && echo private')
        result = call(box, script, *FULL, '--write', 'a/secret')
        equal(result.out.split(), [SECRET, SECRET, 'open', 'x', 'private'], 'output (%r)' % result)
        after = contents(box)
        equal((after['a/secret/d/new'], 'a/secret/file' in after, 'new' in after, 'a/new' in after, 'key' in after),
              ('x\n', False, False, False, True), 'the host')


@test
def policy_paths_are_sealed(t):
    """Several trees of the policy, one in another; one of them is granted."""
    more = t.path('more')
    os.makedirs(more + '/in/deep')
    for name in ('/in/file', '/in/deep/file', '/file'):
        with open(more + name, 'w') as f:
            f.write('x\n')
    paths = [more, more + '/file', more + '/in', more + '/in/file', more + '/in/deep', more + '/in/deep/file']
    with workspace(t, ['[filesystem]', 'write = ' + more, 'read = %s/in' % more, 'write = %s/in/deep' % more]) as box:
        inside = [os.path.relpath(p, box.work) for p in paths]
        deep = inside[4:]
        equal(change(box, inside, *FULL), [p for p in inside if p not in inside[2:4]], 'without a grant')
        equal(change(box, inside, *FULL, '--read-only'), [], 'read-only')
        equal(change(box, inside, *FULL, '--write', paths[4]), deep, 'one in another')
        equal(change(box, ALL, *FULL, '--write', paths[4]), [], 'the workspace beside it')
