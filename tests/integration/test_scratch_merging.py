# SPDX-License-Identifier: Apache-2.0
"""How the layer of a call becomes part of the working state: out of reach of other calls, all of it or nothing, also when
it is killed, fails or is changed half-way."""
import ctypes
import errno
import os
import struct
import subprocess

from harness.box import Box, PYTHON
from harness.fault import program
from harness.registry import cases, check, equal, test
from harness.work import refused
from test_scratch import EDIT, ENDED, SCRATCH, call, changed, kept, meanwhile, named, scratch_of


@test
def out_of_reach_in_the_merging(t):
    """What is merged into a directory that a running call may not look into is nowhere else on its way there."""
    with named(t) as box:
        call(box, 'echo old > p/g').ok()
        call(box, 'echo own > p/f; rm p/g; ln -s f p/s; mkdir p/d; echo own > p/d/new; ln p/d/new p/name', *SCRATCH).ok()
        log = t.path('log')
        look = 'for f in $(find . -name ".nsbox*"); do echo %s $f; %s; done'
        write = 'find $f -type f | while read g; do echo bad >> $g; done; [ -d $f ] && echo bad > $f/0'
        script = t.write('look', '\n'.join(
            ['cd ' + box.work] + ["%s exec x %s -- sh -c '%s' </dev/null >>%s 2>/dev/null" % (box.nsbox_path, flags, what, log)
                                  for flags, what in (('--hide p', 'echo hidden works; ' + look % ('hidden', write)),
                                                      ('', look % ('seen', ':')))]))
        result = meanwhile(box, '/bin/sh ' + script, 'commit', 'x.3')
        equal(result.returncode, 0, 'status (%r)' % result)
        with open(log) as f:
            seen = f.read().split('\n')
        check('hidden works' in seen, 'the call that it is kept from did not run')
        seen = [line for line in seen if line != 'hidden works']
        equal([line for line in seen if 'hidden' in line], [], 'what the call found that is kept from it')
        names = {line.split('/')[1] for line in seen if line}
        equal(names, {'p'}, 'the twin: one that may look into it, where it found something')
        equal(call(box, 'cat p/f p/d/new p/s; ls -A . p; stat -c %h p/name').out.split(),
              ['own'] * 3 + ['.:', '.env', 'a', 'd', 'new', 'p', 'p:', 'd', 'f', 'name', 's', '2'], 'the working state')


def without_unnamed_files():
    """As where the kernel or the file system has none: opening with O_TMPFILE fails."""
    nr = {'x86_64': 257, 'aarch64': 56}[os.uname().machine]
    program = ((0x20, 0, 0, 0), (0x15, 0, 3, nr), (0x20, 0, 0, 32), (0x45, 0, 1, 0o20000000),
               (0x06, 0, 0, 0x00050000 | errno.EOPNOTSUPP), (0x06, 0, 0, 0x7fff0000))
    code = ctypes.create_string_buffer(b''.join(struct.pack('=HBBI', *one) for one in program))
    bpf = struct.pack('HP', len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) < 0 or libc.prctl(22, 2, bpf, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), 'prctl')


@test
def merging_without_unnamed_files(t):
    with named(t) as box:
        call(box, EDIT, *SCRATCH).ok()
        unnamed = 'import os; os.open(".", os.O_TMPFILE | os.O_WRONLY)'
        twin = subprocess.run([PYTHON, '-c', unnamed], cwd=box.work, stderr=subprocess.PIPE, preexec_fn=without_unnamed_files)
        check(b'Errno %d]' % errno.EOPNOTSUPP in twin.stderr, 'such a file can be made: %r' % twin)
        box.nsbox('commit', 'x.2', preexec_fn=without_unnamed_files).ok()
        equal(call(box, 'cat a made/f; ls -A . made').out.split(),
              ['own'] * 2 + ['.:', '.env', 'a', 'link', 'made', 'p', 'made:', 'f'], 'the working state')


def on_a_small_disk(box, size):
    """Its state directory becomes a file system of that size, in a mount namespace that all its commands run in."""
    flags = ['-m'] if os.geteuid() == 0 else ['-U', '-m', '--map-current-user', '--keep-caps']
    holder = subprocess.Popen(['unshare', *flags, 'sh', '-c', 'mount -t tmpfs -o size=%s,mode=700 small %s && echo && exec cat'
                               % (size, box.state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if holder.stdout.readline() != b'\n':
        box.t.skip('no file system can be mounted here')
    enter = ['-m'] if os.geteuid() == 0 else ['-U', '-m', '--preserve-credentials']
    box.nsbox_path = box.t.write('inside', '#!/bin/sh\nexec nsenter -t %d %s --wd="$PWD" %s "$@"\n'
                                 % (holder.pid, ' '.join(enter), box.nsbox_path))
    os.chmod(box.nsbox_path, 0o755)
    return holder


@test
def no_room_for_the_merging(t):
    """There is for what is staged, but not to give it its place: then nothing of it is merged."""
    box = Box(t)
    with on_a_small_disk(box, '4m') as disk:
        box.nsbox('create', '--net', 'none', '--overlay', '.', '--name', 'x').ok()
        call(box, 'echo small > a; head -c 1500000 /dev/zero | tr "\\0" x > b', *SCRATCH).ok()
        refused(box.nsbox('commit', 'x.1'), 'nothing was changed', 'No space')
        equal(call(box, 'ls').out, '', 'the working state')
        call(box, 'head -c 1000000 /dev/zero | tr "\\0" x > b', *SCRATCH).ok()
        box.nsbox('discard', 'x.1').ok()
        box.nsbox('commit', 'x.3').ok()
        equal(call(box, 'stat -c %s b').out, '1000000\n', 'the twin')
        box.nsbox('rm', '-f', 'x')
        disk.stdin.close()


@test
def conflict_in_the_merging(t):
    """It leaves nothing by which the next one would take a forged time for that of an unchanged file."""
    with named(t) as box:
        call(box, 'echo own > a', *SCRATCH).ok()
        scratch, number = scratch_of(box), kept(box)[0]
        done = t.path('done')
        late = 'cd %s && [ -e 2.undo ] && ! [ -e %s ] && : > %s && cd %s && %s exec x -- sh -c "echo later > a" </dev/null' % (
            scratch, done, done, box.work, box.nsbox_path)
        result = meanwhile(box, late, 'commit', number)
        equal(result.returncode, 125, 'status (%r)' % result)
        check(b'was changed in the sandbox just now' in result.stderr, 'stderr: %r' % result)
        call(box, 'touch -d "2001-01-01" a').ok()
        refused(box.nsbox('commit', number), 'a was changed in the sandbox since')
        equal(call(box, 'cat a').out, 'later\n', 'the working state')
        equal(sorted(os.listdir(scratch)), ['2'], 'what is kept')


def killed_half_way(t, box, words, look, half):
    """At the first point where a call sees it so."""
    script = t.write('half', 'cd %s; [ "$(%s exec x -- sh -c "%s" </dev/null 2>/dev/null)" = "$(printf "%s")" ] && exit 137\n'
                     % (box.work, box.nsbox_path, look, half))
    equal(meanwhile(box, '/bin/sh ' + script, *words).returncode, 137, 'status of what is killed when it is half done')
    equal(call(box, look).out, half, 'the working state')


FORGE = 'echo %s > %s; touch -d "2001-01-01" %s'


@cases([('working_file', 'echo own > a; echo own > new', 'cat a new', 'own\nworking\n', 'new', None),
        # What is left has another ctime then, since it lost a name.
        ('name_of_a_file', 'echo own > m1; rm m2', 'cat m1 m2', 'own\nmany\n', 'm2', None),
        ('in_a_directory', 'echo own > m1; rm -r p', 'cat m1 p/m3', 'own\nmany\n', 'p/m3', None),
        ('taken_back', 'echo own > a; echo own > new', 'cat a new', 'working\nown\n', 'new', 'rollback'),
        ('name_taken_back', 'echo own > m1; echo own > m2; ln m1 new1; ln -f m1 new', 'cat m1 m2 new', 'many\nown\nown\n', 'new',
         'rollback')])
def changed_after_a_kill(t, script, look, half, path, back):
    """What others change when a merging was killed is told by more than the time that they leave on it."""
    for forged in (False, True):
        with named(t, name='box%d' % forged) as box:
            call(box, 'echo many > m1; ln m1 m2; ln m1 p/m3').ok()
            call(box, script, *SCRATCH).ok()
            number = kept(box)[0]
            words = ['commit', number]
            if back:
                box.nsbox(*words).ok()
                words = ['rollback', number[:-2], number]
            killed_half_way(t, box, words, look, half)
            if forged:
                call(box, FORGE % ('later', path, path)).ok()
                refused(box.nsbox(*words), '%s was changed in the sandbox since' % path.split('/')[0])
                equal(call(box, 'cat ' + path).out, 'later\n', 'what the other call wrote')
            else:
                box.nsbox(*words).ok()
                check(call(box, look).out != half, 'the twin: nothing came of finishing it')


@test
def failed_half_way(t):
    """By a conflict that came up meanwhile, and that its maker then makes look old."""
    with named(t) as box:
        call(box, 'echo own > a; echo own > new', *SCRATCH).ok()
        number = kept(box)[0]
        run = '%s exec x -- sh -c' % box.nsbox_path
        late = t.write('late', 'cd %s; exec </dev/null >/dev/null 2>&1\n%s "grep -q own a && ! grep -q later new" && %s "%s"\n'
                       % (box.work, run, run, FORGE.replace('"', "'") % ('later', 'new', 'new')))
        result = meanwhile(box, '/bin/sh ' + late, 'commit', number)
        check(result.returncode == 125 and b'new was changed in the sandbox just now' in result.stderr, '%r' % result)
        equal(call(box, 'cat a new').out, 'own\nlater\n', 'the working state')
        refused(box.nsbox('commit', number), 'new was changed in the sandbox since')
        equal(call(box, 'cat new').out, 'later\n', 'what the other call wrote')


@cases(ENDED)
def digest_after_a_kill(t, ended):
    """What was reviewed is what finishes it, and nothing else does."""
    with named(t) as box:
        call(box, 'echo own > a; mkdir made; echo own > made/f; ln made/f made/g; ln -s a made/l; rm -r d; echo own > new', *SCRATCH).ok()
        number = kept(box)[0]
        digest = box.nsbox('diff', '--digest', number).ok().out.strip()
        words = ['commit', number, '--digest', digest]
        killed_half_way(t, box, words, 'cat a new', 'own\nworking\n')
        if ended:
            box.nsbox('rm', 'x').ok()
        refused(box.nsbox('commit', number, '--digest', '0' * 64), 'not those that the digest was taken of')
        layer = os.path.join(scratch_of(box), number.split('.')[1], '0/upper')
        before = os.stat(layer + '/new')
        for text, good in (('bad\n', False), ('own\n', True)):
            with open(layer + '/new', 'r+') as f:
                f.write(text)
            os.utime(layer + '/new', ns=(before.st_atime_ns, before.st_mtime_ns))
            if not good:
                refused(box.nsbox(*words), 'not those that the digest was taken of')
        box.nsbox(*words).ok()
        equal(sorted(changed(box, number.split('.')[0])), ['a', 'd', 'gone', 'made/f', 'made/g', 'made/l', 'new'], 'changes')
