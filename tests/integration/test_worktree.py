# SPDX-License-Identifier: Apache-2.0
"""A workdir that is a linked worktree of git: git works in it, its siblings and what executes are not to be written; and
a .git file that somebody planted grants nothing."""
import os
import shutil
import subprocess

from harness.box import Box
from harness.registry import cases, check, equal, test

IDENTITY = ['-c', 'user.name=a', '-c', 'user.email=a@b.c']


def read(path):
    with open(path) as f:
        return f.read()


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)


class Linked(Box):
    """main: the repository with its own worktree; work: a linked one; sibling: another."""

    def __init__(self, t):
        super().__init__(t)
        self.main = self.home + '/src/main'
        self.common = self.main + '/.git'
        os.makedirs(self.main)
        os.rmdir(self.work)
        self.git('init', '-q', '-b', 'trunk', cwd=self.main)
        self.git(*IDENTITY, 'commit', '-q', '--allow-empty', '-m', 'one', cwd=self.main)
        self.git('worktree', 'add', '-q', '-b', 'feature', self.work, cwd=self.main)
        self.git('worktree', 'add', '-q', '-b', 'sibling', self.dir + '/sibling', cwd=self.main)
        self.add('--net', 'none', '--env', 'GIT_AUTHOR_NAME=a', '--env', 'GIT_AUTHOR_EMAIL=a@b.c', '--env',
                 'GIT_COMMITTER_NAME=a', '--env', 'GIT_COMMITTER_EMAIL=a@b.c')

    def git(self, *words, cwd=None):
        return subprocess.run(['git', *words], cwd=cwd or self.work, env=self.env, check=True, timeout=60, text=True,
                              stdout=subprocess.PIPE).stdout


@test
def git_works(t):
    box = Linked(t)
    box.sh('set -e; git status -sb; echo x > f; git add f; git commit -qm two; git branch new; git branch -d new; '
           'echo y >> f; git stash -q; git stash pop -q; git commit -qam three; git tag t; git checkout -q -b other; '
           'git merge -q feature; git rebase -q feature; git reset -q --hard HEAD~1; git pack-refs --all').ok()
    equal(box.git('log', '--format=%s', 'feature', cwd=box.main), 'three\ntwo\none\n', 'seen from the main worktree')
    equal(box.git('rev-parse', '--abbrev-ref', 'HEAD', cwd=box.main), 'trunk\n', 'its own branch')
    equal(box.audit('fs.protected'), [], 'found')
    # Nested, the directory stays where it is; and nothing of the main worktree's files is there.
    os.mkdir(box.work + '/sub')
    result = box.sh('pwd; ls -A ' + box.main + '; touch ../out', cwd=box.work + '/sub')
    equal(result.out.splitlines()[0], box.work + '/sub', 'pwd')
    check(not os.path.exists(box.work + '/out'), 'the workdir was widened: %r' % result)


@test
def what_is_not_its_own(t):
    box = Linked(t)
    paths = ['hooks/pre-commit', 'HEAD', 'config', 'index', 'worktrees/sibling/HEAD', 'worktrees/sibling/new',
             'worktrees/new', 'worktrees/work/commondir', 'worktrees/work/gitdir']
    write(box.common + '/hooks/post-commit', '#!/bin/sh\n')
    box.git('status', cwd=box.main)
    outside = shutil.copytree(box.common, box.dir + '/copy', symlinks=True)
    script = 'cd "$1" || exit 99; shift; for p; do echo evil >> $p; mv $p moved; rm -f $p; done; mv hooks h; mv worktrees w; true'
    subprocess.run(['/bin/sh', '-c', script, 'sh', outside, *paths], check=True, timeout=60, stderr=subprocess.DEVNULL)
    check(not os.path.exists(outside + '/worktrees'), 'the control: outside it works')
    before = {p: read(os.path.join(box.common, p)) for p in paths if os.path.isfile(os.path.join(box.common, p)) and
              p != 'index'}
    box.sh(script, box.common, *paths).ok()
    for path in paths:
        if path in before:
            equal(read(os.path.join(box.common, path)), before[path], path)
        elif path != 'index':
            check(not os.path.exists(os.path.join(box.common, path)), path + ' is on the host')
    equal(read(box.work + '/.git'), 'gitdir: %s/worktrees/work\n' % box.common, '.git')
    # What is not there yet is found.
    box.sh('cd $1; mkdir -p d; echo x > commondir; printf "[alias]\\nx = y\\n" > config.worktree', box.common).ok()
    equal(sorted(os.path.basename(r['path']) for r in box.audit('fs.protected')), ['commondir', 'config.worktree'], 'found')
    equal(box.git('log', '--format=%s', cwd=box.main), 'one\n', 'git on the host')


@test
def sibling_is_not_there(t):
    box = Linked(t)
    write(box.dir + '/sibling/secret', 'CANARY\n')
    result = box.sh('cat $1/sibling/secret; echo x > $1/sibling/new', box.dir)
    check('CANARY' not in result.out and not os.path.exists(box.dir + '/sibling/new'), '%r' % result)


@test
def as_the_user_says(t):
    """Read-only, and not at all."""
    box = Linked(t)
    result = box.sh('git log --format=%s; git commit -q --allow-empty -m two', flags=['--read', '.'])
    equal(result.out, 'one\n', 'read: %r' % result)
    result = box.sh('git log --format=%s', flags=['--hide', box.common])
    check('one' not in result.out, 'hidden: %r' % result)
    equal(box.git('log', '--format=%s', 'feature'), 'one\n', 'on the host')


@test
def copy_on_write(t):
    box = Linked(t)
    result = box.sh('echo x > f && git add f && git commit -qm two && git log --format=%s', flags=['--overlay', '.']).ok()
    equal(result.out, 'two\none\n', 'inside')
    equal(box.git('log', '--format=%s', 'feature'), 'one\n', 'on the host')


def plant(box, target, **files):
    """A directory as a hostile repository could bring it, and the .git file that names it."""
    for name, text in files.items():
        path = os.path.join(target, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write(path, text)


def ssh_keys(box):
    return box.home + '/.ssh'


def foreign(box):
    """Another project of the user, a whole repository."""
    path = box.dir + '/foreign'
    os.mkdir(path)
    box.git('init', '-q', cwd=path)
    return path + '/.git'


def sibling(box):
    return box.common + '/worktrees/sibling'


def link_to_the_keys(box):
    """Everything in its place, and a link where the repository should be."""
    top = box.dir + '/planted'
    os.makedirs(top + '/a/worktrees')
    plant(box, top + '/real.git/worktrees/x', gitdir=box.work + '/.git\n', commondir=box.home + '/.ssh\n')
    plant(box, top + '/real.git', HEAD='ref: refs/heads/x\n')
    for name in ('objects', 'refs'):
        os.mkdir(top + '/real.git/' + name)
    return top + '/real.git/worktrees/x'


def parts_are_links(box):
    top = box.dir + '/planted/x.git'
    plant(box, top + '/worktrees/x', gitdir=box.work + '/.git\n', commondir='../..\n')
    plant(box, top, HEAD='ref: refs/heads/x\n')
    os.mkdir(top + '/refs')
    os.symlink(box.home, top + '/objects')
    return top + '/worktrees/x'


def home_as_repository(box):
    """Unpacked into the home directory, over what is there."""
    plant(box, box.home + '/worktrees/x', gitdir=box.work + '/.git\n', commondir='../..\n')
    plant(box, box.home, HEAD='ref: refs/heads/x\n')
    for name in ('objects', 'refs'):
        os.mkdir(box.home + '/' + name)
    return box.home + '/worktrees/x'


def name_of_anything(box):
    top = box.home + '/documents'
    plant(box, top + '/worktrees/x', gitdir=box.work + '/.git\n', commondir='../..\n')
    plant(box, top, HEAD='ref: refs/heads/x\n', secret='CANARY-SSH-KEY\n')
    for name in ('objects', 'refs'):
        os.mkdir(top + '/' + name)
    return top + '/worktrees/x'


def not_a_worktree(box):
    top = box.dir + '/planted.git/other/x'
    plant(box, top, gitdir=box.work + '/.git\n', commondir='../..\n')
    return top


@cases([(f.__name__.replace('_', '-'), f) for f in (
    ssh_keys, foreign, sibling, link_to_the_keys, parts_are_links, home_as_repository, name_of_anything, not_a_worktree)])
def planted_file(t, make):
    """Nothing of it is granted, by either spelling, and the run goes on."""
    box = Linked(t)
    target = make(box)
    own = box.common + '/worktrees/work'
    for gitdir in (target, os.path.relpath(target, box.work)):
        write(box.work + '/.git', 'gitdir: %s\n' % gitdir)
        result = box.sh('cat $1/id_ed25519 $2/HEAD $2/config $2/../../secret $2/../../HEAD; ls -A $2; echo evil > $2/evil; '
                        'echo evil > $1/evil; true', box.home + '/.ssh', target).ok()
        equal(result.out, '', 'seen inside')
        check(not os.path.exists(target + '/evil') and not os.path.exists(box.home + '/.ssh/evil'), 'written')
        check(make in (ssh_keys, foreign) or 'is not granted' in result.err, 'a warning: %r' % result)
    # The control: with the file that git made it is granted.
    write(box.work + '/.git', 'gitdir: %s\n' % own)
    result = box.sh('cat $1/HEAD', own).ok()
    equal(result.out, 'ref: refs/heads/feature\n', 'control')


@test
def stale(t):
    """The repository is gone, or has forgotten this worktree: a run as in any directory."""
    box = Linked(t)
    shutil.rmtree(box.common + '/worktrees/work')
    result = box.sh('echo runs; git log').out
    equal(result, 'runs\n', 'forgotten')
    shutil.rmtree(box.main)
    equal(box.sh('echo runs').ok().out, 'runs\n', 'gone')
