# SPDX-License-Identifier: Apache-2.0
"""nsbox cp both ways, with links that lead out as the attack."""
import os
import signal

from harness.named import Named, refused
from harness.registry import check, equal, test, until


def read(path):
    with open(path) as f:
        return f.read()


def tree(path):
    found = {}
    for directory, dirs, files in os.walk(path):
        for name in dirs + files:
            full = os.path.join(directory, name)
            found[os.path.relpath(full, path)] = (os.readlink(full) if os.path.islink(full) else
                                                  'dir' if os.path.isdir(full) else read(full),
                                                  os.lstat(full).st_mode & 0o777)
    return found


@test
def there_and_back(t):
    with Named(t) as box:
        box.create('work')
        name = 'a file with a name that is long: ' + 'x' * 90
        t.write('box/src/sub/' + name, 'text\n' * 30000)
        t.write('box/src/empty', '')
        t.write('box/src/tool', '#!/bin/sh\n')
        os.chmod(box.dir + '/src/tool', 0o750)
        os.symlink('tool', box.dir + '/src/link')
        os.symlink('sub/' + name, box.dir + '/src/long link')
        box.nsbox('cp', box.dir + '/src', 'work:/tmp/new').ok()
        box.nsbox('cp', box.dir + '/src', 'work:/tmp').ok()
        equal(box.exec('work', 'sh', '-c', 'cd /tmp && diff -r new src && ls -d new src').ok().out, 'new\nsrc\n', 'inside')
        box.nsbox('cp', 'work:/tmp/new', box.dir + '/back').ok()
        equal(tree(box.dir + '/back'), tree(box.dir + '/src'), 'back')
        box.nsbox('cp', 'work:/tmp/src/tool', box.dir + '/back/empty').ok()
        equal(read(box.dir + '/back/empty'), '#!/bin/sh\n', 'one file over another')
        box.nsbox('cp', 'work:/tmp/new', box.dir + '/back').ok()
        equal(tree(box.dir + '/back/new'), tree(box.dir + '/src'), 'into a directory')
        # Without a directory in the word: the workspace inside, the current directory outside.
        t.write('box/work/one', 'one\n')
        box.nsbox('cp', 'one', 'work:two').ok()
        box.nsbox('cp', 'work:two', 'three').ok()
        equal(read(box.work + '/three'), 'one\n', 'in the workspace')


@test
def links_are_not_followed(t):
    """In: a link of the workspace leads to a key of the home directory. Out: a link inside, and one planted in the
    place where the copy goes."""
    with Named(t) as box:
        box.create('work')
        key = box.home + '/.ssh/id_ed25519'
        check(box.exec('work', 'ln', '-s', key, 'key').ok(), 'planted')
        box.exec('work', 'ln', '-s', box.home, 'home').ok()
        equal(read(box.work + '/key'), 'CANARY-SSH-KEY\n', 'the control: outside it is followed')
        box.nsbox('cp', 'key', 'work:/tmp/got')
        box.nsbox('cp', box.work, 'work:/tmp/all')
        refused(box.nsbox('cp', 'home/canary', 'work:/tmp/got2'), 'symbolic link')
        inside = box.exec('work', 'sh', '-c', 'cat /tmp/got /tmp/all/key /tmp/all/home/canary /tmp/got2; true').ok()
        check('CANARY' not in inside.out, 'it came in: %r' % inside)

        box.exec('work', 'sh', '-c', 'mkdir -p /tmp/tree/d; cd /tmp/tree; ln -s /etc/passwd abs; ln -s ../../x up; '
                 'ln -s d/../../x sly; ln -s d good; echo data > file; chmod 755 file; mkfifo pipe').ok()
        done = box.nsbox('cp', 'work:/tmp/tree', box.dir + '/out')
        check(done.code == 1 and 'not complete: 4 left out' in done.err, '%r' % done)
        equal(sorted(tree(box.dir + '/out')), ['d', 'file', 'good'], 'what came out')
        equal(os.stat(box.dir + '/out/file').st_mode & 0o7777, 0o755, 'mode')
        for name in ('abs', 'up', 'sly', 'pipe'):
            check('nsbox: %s is left out' % name in done.err, '%s: %r' % (name, done))
        # A link where the copy goes.
        os.symlink(key, box.work + '/file')
        refused(box.nsbox('cp', 'work:/tmp/tree/file', box.work + '/file'), 'symbolic link')
        box.nsbox('cp', 'work:/tmp/tree/file', box.work).ok()
        equal((read(key), read(box.work + '/file')), ('CANARY-SSH-KEY\n', 'data\n'), 'replaced, not written through')
        refused(box.nsbox('cp', 'work:/tmp/tree/file', box.work + '/home'), 'symbolic link')
        refused(box.nsbox('cp', 'work:/tmp/tree/file', box.work + '/home/canary'), 'symbolic link')
        equal(sorted(os.listdir(box.home)), ['.ssh', 'canary'], 'home on the host')
        equal(read(box.home + '/canary'), 'CANARY-HOME\n', 'canary')


@test
def parts_left_out_on_the_way_in(t):
    with Named(t) as box:
        box.create('work')
        os.makedirs(box.dir + '/src')
        os.mkfifo(box.dir + '/src/pipe')
        t.write('box/src/file', 'data')
        done = box.nsbox('cp', box.dir + '/src', 'work:/tmp')
        check(done.code == 1 and 'not complete: 1 left out' in done.err, '%r' % done)
        equal(box.exec('work', 'ls', '/tmp/src').ok().out, 'file\n', 'inside')


@test
def the_root_is_a_directory(t):
    """A copy into / is tried: whether it may be written is told by who is asked to."""
    with Named(t) as box:
        box.create('work')
        name = 'nsbox-test-%d' % os.getpid()
        t.write('box/work/' + name, 'text')
        into = box.nsbox('cp', name, 'work:/')
        check('has to be named' not in into.err, '%r' % into)
        equal(into.code == 0, box.exec('work', 'test', '-e', '/' + name).code == 0, 'inside (%r)' % into)
        try:
            out = box.nsbox('cp', 'work:' + box.work + '/' + name, '/')
            check('has to be named' not in out.err, '%r' % out)
            equal(out.code == 0, os.path.exists('/' + name), 'on the host (%r)' % out)
        finally:
            if os.path.exists('/' + name):
                os.unlink('/' + name)


@test
def interrupted(t):
    """The file that was being made is gone."""
    with Named(t) as box:
        box.create('work')
        box.exec('work', 'truncate', '-s', '2G', '/tmp/big').ok()
        os.makedirs(box.dir + '/to')
        for number in (signal.SIGTERM, signal.SIGINT):
            for _ in range(5):
                copy = box.start('cp', 'work:/tmp/big', box.dir + '/to')
                until(lambda: os.listdir(box.dir + '/to'), message='no copy begins')
                copy.send_signal(number)
                code = copy.wait(60)
                if code != 0:
                    break
                # It was all there before the signal came.
                os.unlink(box.dir + '/to/big')
            equal(code, -number, 'how it ends')
            equal(os.listdir(box.dir + '/to'), [], 'left')


@test
def refusals(t):
    with Named(t) as box:
        box.create('work')
        t.write('box/work/f', 'f')
        for words in (['f', 'g'], ['work:f', 'work:g'], ['f'], ['work:/', 'x'], ['work:..', 'x'], ['f', 'work:'],
                      ['f', 'nosuch:/tmp'], ['nosuch', 'work:/tmp'], ['f', 'work:/nosuch/x'], ['work:nosuch', 'x'],
                      ['work:f', 'nosuch/x'], ['f', 'work:/usr/x']):
            result = box.nsbox('cp', *words)
            check(result.code == 125 and 'nsbox: ' in result.err, '%r: %r' % (words, result))
        equal(sorted(os.listdir(box.work)), ['f'], 'the workspace')
        t.write('box/work/a:b', 'colon')
        box.nsbox('cp', './a:b', 'work:/tmp/').ok()
        equal(box.exec('work', 'cat', '/tmp/a:b').ok().out, 'colon', 'a name with a colon')
