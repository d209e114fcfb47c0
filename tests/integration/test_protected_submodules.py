# SPDX-License-Identifier: Apache-2.0
"""Submodules: what an index names as a repository of its own, where the user's git runs by itself when it is asked for the
status of the outer one. A mark that such a git leaves is the oracle; the same commands without the sandbox are the control."""
import os
import subprocess
import time

from harness.box import Box
from harness.registry import cases, check, equal, test, until
from harness.work import Work
from test_protected import git, read
from test_protected_git import with_worktree
from test_protected_index import repository

MAKE = 'git init -q sub; git -C sub -c user.name=n -c user.email=e@x commit -q --allow-empty -m s; '
NAMED = MAKE + 'git update-index --add --cacheinfo 160000,$(git -C sub rev-parse HEAD),sub; '
KEY = 'git -C sub config core.fsmonitor "$1"; '
SPLIT = 'git update-index --split-index; echo f > f; git add f; git update-index --split-index; rm f; ' + MAKE.replace('sub', 'f') + \
    'git update-index --cacheinfo 160000,$(git -C f rev-parse HEAD),f; ' \
    'git -C f config core.fsmonitor "$1"; '
MODULE = NAMED + KEY + 'mkdir .git/modules; mv sub/.git .git/modules/nn; '
POINTER = 'echo "gitdir: ../.git/modules/nn" > sub/.git; '
LIST = 'git config -f .gitmodules submodule.nn.path sub; git config -f .gitmodules submodule.nn.url ./x; git add .gitmodules; '
HOOK = 'printf "#!/bin/sh\\n$1" > .git/modules/nn/hooks/post-checkout; chmod +x .git/modules/nn/hooks/post-checkout; '
# What a call makes ($1: what is executed), what is found of it below the workspace.
MADE = {
    'status': (NAMED + KEY, ['sub/.git/config']),
    'committed': (NAMED + 'git commit -q -m l; ' + KEY, ['sub/.git/config']),
    'deep': ('mkdir -p a/b/c/d/e; cd a/b/c/d/e; ' + NAMED.replace(',sub;', ',a/b/c/d/e/sub;') + KEY, ['a/b/c/d/e/sub/.git/config']),
    'included': (NAMED + 'git -C sub config include.path ../../ev; git config -f ev core.fsmonitor "$1"; ', ['sub/.git/config']),
    'commondir': (NAMED + 'cp -r sub/.git evil; git config -f evil/config core.fsmonitor "$1"; echo ../../evil > sub/.git/commondir; ',
                  ['sub/.git/commondir']),
    'file': (NAMED + KEY + 'mv sub/.git evil; echo "gitdir: ../evil" > sub/.git; ', ['sub/.git']),
    'file-absolute': (NAMED + KEY + 'mv sub/.git evil; echo "gitdir: $PWD/evil" > sub/.git; ', ['sub/.git']),
    'file-up': (NAMED + KEY + 'mkdir -p .git/modules; mv sub/.git evil; echo "gitdir: ../.git/modules/../../evil" > sub/.git; ',
                ['sub/.git']),
    'link': (NAMED + KEY + 'mv sub/.git evil; ln -s ../evil sub/.git; ', ['sub/.git']),
    'module': (MODULE + POINTER, ['.git/modules/nn/config']),
    'module-link': (NAMED + KEY + 'mkdir m; mv sub/.git m/nn; ln -s ../m .git/modules; ' + POINTER, ['.git/modules']),
    'module-linked': (NAMED + KEY + 'mkdir m .git/modules; mv sub/.git m/nn; ln -s ../../m/nn .git/modules/nn; ' + POINTER,
                      ['sub/.git', '.git/modules/nn']),
    'module-of-two': (MODULE.replace(KEY, '') + POINTER + 'mkdir two; cp sub/.git two; git update-index --add --cacheinfo '
                      '160000,$(git -C sub rev-parse HEAD),two; cd two; ' + NAMED.replace('sub', 'in') +
                      'git -C in config core.fsmonitor "$1"; ', ['two/.git']),
    'in-another': ('git init -q sub; cd sub; ' + NAMED.replace('sub', 'in') + 'git -c user.name=n -c user.email=e@x commit -qm in; git -C in config core.fsmonitor "$1"; '
                   'cd ..; ' + NAMED, ['sub/in/.git/config']),
    'split-index': (SPLIT, ['.git/index']),
    'shared-index': (NAMED + KEY + 'git update-index --split-index; ', ['sub/.git/config']),
    'sha256': (NAMED.replace('init', 'init --object-format=sha256') + KEY, ['sub/.git/config']),
    'closed': (NAMED + KEY + 'chmod 0 sub/.git; ', ['sub/.git/config']),
    'closed-above': ('mkdir -p a/b; cd a/b; ' + NAMED.replace(',sub;', ',a/b/sub;') + KEY + 'chmod 0 ../../a/b ../../a; ',
                     ['a/b/sub/.git/config']),
}


def user(box, *words):
    return subprocess.run(['git', *words], cwd=box.work, env=box.env, timeout=20, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


def call(t, box, script, *arguments):
    """In a sandbox or, as the control, without one."""
    if box.work.startswith(t.path('outside')):
        subprocess.run(['/bin/sh', '-c', script, 'sh', *arguments], cwd=box.work, env=box.env, timeout=20)
    else:
        box.sh(script + 'true', *arguments).ok()


def gone(mark):
    if os.path.exists(mark):
        os.unlink(mark)


def found(box):
    return [r['path'][len(box.work) + 1:] for r in box.audit('fs.protected')]


def boxes(t, *words):
    """The control first."""
    for name in 'outside', 'box':
        box = Box(t, name)
        repository(box, *words)
        yield box, name == 'outside', box.dir + '/mark'


@cases([(name, name) for name in MADE])
def status_of_the_user(t, name):
    script, paths = MADE[name]
    for box, outside, mark in boxes(t, *(['--object-format=sha256'] if name == 'sha256' else [])):
        call(t, box, script, 'touch %s; false' % mark)
        # He opens it when he finds it closed.
        for path in ['sub/.git'] if name == 'closed' else ['a', 'a/b'] if name == 'closed-above' else []:
            os.chmod(os.path.join(box.work, path), 0o755)
        check(not os.path.exists(mark) or outside, 'executed inside')
        gone(mark)
        for words in ['status'], ['diff'], ['diff', '--submodule=log'], ['fetch', '--recurse-submodules', '.'], ['add', '-u'], ['status']:
            user(box, *words)
        equal(os.path.exists(mark), outside, 'executed')
    equal(found(box), paths, 'found')


AT_START = {
    'not-checked-out': ('rm -rf sub; ', MAKE + KEY),
    'deep': ('', 'cd a/b/c/d/e; ' + KEY),
    'listed': (LIST + MODULE.replace(KEY, '') + POINTER, KEY),
    'replaced': ('rm -r sub/.git/hooks; ', 'mv sub old; ' + MAKE + KEY),
}


@cases([(name, name) for name in AT_START])
def named_at_the_start(t, name):
    """The index has it already, and the call does not write that. Without hooks nothing in it is mounted, and it can be moved."""
    before, script = AT_START[name]
    top = 'a/b/c/d/e/' if name == 'deep' else ''
    for box, outside, mark in boxes(t):
        made = 'mkdir -p a/b/c/d/e; cd a/b/c/d/e; ' + NAMED.replace(',sub;', ',a/b/c/d/e/sub;') if top else NAMED
        made = before if name == 'listed' else made + before
        subprocess.run(['/bin/sh', '-c', made], cwd=box.work, env=box.env, timeout=20, check=True)
        user(box, 'config', '-f', top + 'sub/.git/config', 'alias.mine', 'log')
        call(t, box, 'git status; ' + script, 'touch %s; false' % mark)
        gone(mark)
        user(box, 'status')
        equal(os.path.exists(mark), outside, 'executed')
    config = '.git/modules/nn/config' if name == 'listed' else top + 'sub/.git/config'
    check(config in found(box), 'found: %r' % found(box))
    if name == 'deep':
        equal(user(box, '-C', top + 'sub', 'config', 'alias.mine'), 'log\n', 'what the user had')


@test
def of_a_linked_worktree(t):
    """Its index is in the repository, elsewhere."""
    for sandboxed in False, True:
        box, feat, mark = with_worktree(t, 'box' if sandboxed else 'outside')
        box.work = feat
        if sandboxed:
            box.sh(NAMED + KEY, 'touch %s; false' % mark, flags=['--workdir', feat]).ok()
        else:
            call(t, box, NAMED + KEY, 'touch %s; false' % mark)
        gone(mark)
        user(box, 'status')
        equal(os.path.exists(mark), not sandboxed, 'executed')
    equal(found(box), ['sub/.git/config'], 'found')


@test
def replaced_below(t):
    """Of a checkout in the workspace, in which no index names it, another one is there after the call."""
    for box, outside, mark in boxes(t):
        git(box, 'init', '-q', '--template=', 'sub/in')
        call(t, box, 'mv sub old; git init -q sub/in; cd sub/in; git config core.fsmonitor "$1"; ', 'touch %s; false' % mark)
        gone(mark)
        user(box, '-C', 'sub/in', 'status')
        equal(os.path.exists(mark), outside, 'executed')
    equal(found(box), ['sub/in/.git/config'], 'found')


BARE = 'rm -rf .git; git init -q --bare x; mv x/* ./$2; rmdir x; cd ./$2; '
WORKS = 'git config -f config core.bare false; git config -f config core.worktree "$PWD"; git config -f config core.fsmonitor "$1"; '


@cases([(name, name) for name in ('empty', 'nested', 'hook')])
def becomes_bare(t, name):
    """The workspace, which is none, or a checkout in it: with git's own names at its top git takes it for a repository."""
    top = 'sub' if name == 'nested' else '.'
    for outside in True, False:
        box = Box(t, 'outside' if outside else 'box')
        mark = box.dir + '/mark'
        if top == 'sub':
            git(box, 'init', '-q', '--template=', 'sub')
        script = BARE.replace('.git', top + '/.git') + WORKS
        if name == 'hook':
            script = BARE + 'printf "#!/bin/sh\n$1" > hooks/post-update; chmod +x hooks/post-update; '
        call(t, box, script, 'touch ' + mark if name == 'hook' else 'touch %s; false' % mark, top)
        gone(mark)
        if name == 'hook':
            repository(box, where='../other')
            user(box, '-C', '../other', 'push', box.work, 'main')
        else:
            user(box, '-C', top, 'status')
        equal(os.path.exists(mark), outside, 'executed')
    where = '' if top == '.' else top + '/'
    equal(found(box), [where + ('hooks' if name == 'hook' else 'config')], 'found')


@test
def bare_of_a_call(t):
    """As git makes it, and made again: it stays."""
    box = Box(t).add('--name', 'bare')
    box.sh('git init -q --bare .; rm HEAD').ok()
    try:
        for script in 'git init -q --bare .', 'rm HEAD', 'git init -q --bare .; git config core.fsmonitor evil':
            box.nsbox('exec', 'bare', '--', '/bin/sh', '-c', script).ok()
        equal([r['keys'] for r in box.audit('fs.protected')], [['core.fsmonitor']], 'found')
        equal(user(box, 'rev-parse', '--is-bare-repository'), 'true\n', 'on the host')
    finally:
        box.nsbox('rm', '-f', 'bare')


@test
def file_of_several_names(t):
    """A protected file in the directory, which has another name, is not all there is to look after."""
    for box, outside, mark in boxes(t):
        git(box, 'init', '-q', 'sub')
        t.write(box.work + '/sub/.envrc', 'mine\n')
        os.link(box.work + '/sub/.envrc', box.work + '/other')
        call(t, box, NAMED + KEY, 'touch %s; false' % mark)
        gone(mark)
        user(box, 'status')
        equal(os.path.exists(mark), outside, 'executed')
    equal(found(box), ['sub/.git/config'], 'found')


SPARSE = 'mkdir d e; echo x > d/f; echo y > e/g; git add .; git -c user.name=n -c user.email=e@x commit -qm two; ' \
    'git sparse-checkout set --cone --sparse-index e; '
# Git itself makes no such entry of a directory with a submodule in it.
FORGED = 'python3 -c "$3" $(git rev-parse HEAD:d) $( (git ls-tree HEAD:d; ' \
    'printf "160000 commit $(git -C $2 rev-parse HEAD)\\tsub\\n") | git mktree --missing) .git/index; '
FORGE = r'''
import hashlib, sys
old, new = (bytes.fromhex(x) for x in sys.argv[1:3])
data = open(sys.argv[3], 'rb').read()[:-20].replace(old, new, 1)
open(sys.argv[3], 'wb').write(data + hashlib.sha1(data).digest())
'''


@cases([(name, name) for name in ('planted', 'hidden', 'made')])
def sparse_index(t, name):
    """It has one entry for a whole directory, in which git finds submodules when that is there after all."""
    for box, outside, mark in boxes(t):
        git(box, 'config', 'extensions.worktreeConfig', 'true')
        words = 'touch %s; false' % mark, box.work + '/s', FORGE
        made = SPARSE + MAKE.replace('sub', 's') + FORGED
        plant = 'mkdir -p d; cp -r s d/sub; git -C d/sub config core.fsmonitor "$1"; '
        if name == 'hidden':
            plant += 'mkdir -p d/a d/b; for i in $(seq 3000); do echo > d/a/$i; done; '
        if name != 'made':
            subprocess.run(['/bin/sh', '-c', made, 'sh', *words], cwd=box.work, env=box.env, timeout=20, check=True)
            equal(git(box, 'ls-files', '--sparse').split(), ['d/', 'e/g'], 'the form is there')
        call(t, box, (made if name == 'made' else '') + plant, *words)
        gone(mark)
        user(box, 'status')
        equal(os.path.exists(mark), outside, 'executed')
    equal(found(box), ['.git/index'], 'found')


@test
def sparse_index_of_the_user(t):
    """With what is left in a directory that is not checked out, it stays."""
    box = Box(t)
    repository(box)
    git(box, 'config', 'extensions.worktreeConfig', 'true')
    subprocess.run(['/bin/sh', '-c', SPARSE], cwd=box.work, env=box.env, timeout=20, check=True)
    equal(git(box, 'ls-files', '--sparse').split(), ['d/', 'e/g'], 'the form is there')
    t.write('box/work/d/left/over', 'x')
    box.sh('echo 2 > e/g; git add e/g; git -c user.name=n -c user.email=e@x commit -qm three').ok()
    equal(found(box), [], 'found')


@test
def checked_out_by_the_user(t):
    """A call leaves the repository of a submodule, and `git submodule update` of the user checks that out."""
    for box, outside, mark in boxes(t):
        call(t, box, LIST + MODULE.replace(KEY, '') + HOOK, 'touch ' + mark)
        user(box, 'submodule', 'update', '--init')
        equal(os.path.exists(mark), outside, 'executed')
    equal(found(box), ['.git/modules/nn/hooks'], 'found')


@test
def made_after_the_index(t):
    """By another call, or by one that only makes a directory what it was not."""
    box, mark = Box(t).add('--name', 'later'), t.path('mark')
    repository(box)
    steps = [NAMED + 'mv sub/.git sub/x', 'mv sub/x sub/.git; ' + KEY, 'mv sub/.git sub/x; mkdir d; mv sub d/sub; ln -s d/sub sub',
             'rm sub; mv d/sub sub; mv sub/x sub/.git; ' + KEY]
    try:
        for i, step in enumerate(steps):
            if i == 0:
                box.sh(step).ok()
            else:
                box.nsbox('exec', 'later', '--', '/bin/sh', '-c', step, 'sh', 'touch %s; false' % mark).ok()
            gone(mark)
            user(box, 'status')
            check(not os.path.exists(mark), 'executed after step %d' % i)
        equal(found(box), ['sub/.git/config'] * 2, 'found')
    finally:
        box.nsbox('rm', '-f', 'later')


@test
def what_git_makes(t):
    """Submodules that a call adds work on the host, with what git writes into their configuration."""
    box = Box(t)
    repository(box)
    repository(box, where='src')
    git(box, 'commit', '-q', '--allow-empty', '-m', 'two', cwd=box.work + '/src')
    script = 'git -c protocol.file.allow=always submodule --quiet add $PWD/src a/sub && ' \
        'git -C a/sub -c protocol.file.allow=always submodule --quiet add $PWD/src in && git -C a/sub add . && ' \
        'git -C a/sub -c user.name=n -c user.email=e@x commit -qm in && git add a && git commit -qm l && ' \
        'git config -f .git/modules/a/sub/config core.worktree'
    equal(box.sh(script).ok().out, '../../../../a/sub\n', 'made')
    equal(found(box), [], 'found')
    equal(user(box, 'config', '-f', '.git/modules/a/sub/config', 'core.worktree'), '../../../../a/sub\n', 'on the host')
    equal(user(box, 'status', '-s'), '?? src/\n', 'status')
    equal(user(box, 'submodule', 'status', '--recursive').count('\n'), 2, 'submodules')
    box.sh('git -C a/sub/in status; git submodule deinit -qf a/sub; git submodule --quiet update --init').ok()
    equal(found(box), [], 'of those that were there')
    # Not where somebody else's files are.
    box.sh('git config -f .git/modules/a/sub/config core.worktree /').ok()
    equal([r['keys'] for r in box.audit('fs.protected')], [['core.worktree']], 'found')


@test
def more_than_anybody_has(t):
    """So many that they could hide one: the index goes, as one that names paths elsewhere."""
    for box, outside, mark in boxes(t):
        call(t, box, 'for i in $(seq 600); do echo "160000 1111111111111111111111111111111111111111 0\ta/$i"; done | '
             'git update-index --index-info; ' + NAMED + KEY, 'touch %s; false' % mark)
        user(box, 'status')
        equal(os.path.exists(mark), outside, 'executed')
    equal(found(box), ['.git/index'], 'found')


@test
def of_the_user(t):
    """What his submodules have stays, however many; more than are looked after is said at the start."""
    box = Box(t)
    repository(box)
    git(box, 'update-index', '--index-info', input=''.join(
        '160000 %s 0\ta/b/c/d/e/%d\n' % ('1' * 40, i) for i in range(600)))
    for i in 7, 598:
        git(box, 'init', '-q', 'a/b/c/d/e/%d' % i)
        git(box, 'config', 'core.fsmonitor', 'false', cwd=box.work + '/a/b/c/d/e/%d' % i)
    before = os.stat(box.work + '/.git/index').st_size
    box.sh('echo x > x; git add x').ok()
    equal(found(box), [], 'found')
    check(os.stat(box.work + '/.git/index').st_size > before, 'the index is what the call made of it')
    check(box.audit('sandbox.start')[0].get('unwatched'), 'said')


@test
def overlaid(t):
    """In a copy-on-write workspace the repository itself is marked, wherever it is, and needs a yes."""
    box = Work(t, filled=False)
    repository(box)
    for name in 'status', 'deep', 'file', 'module', 'link':
        layer = box.write(MADE[name][0].replace('"$1"', '"touch $1; false"'), box.dir + '/mark')
        flags = {path for path, change in box.changes(layer).items() if 'git' in change['flags']}
        missing = [p for p in MADE[name][1] if p not in flags]
        equal(missing, [], 'marked: %r' % flags)
        equal(box.nsbox('commit', layer).code, 125, 'commit')
        box.nsbox('discard', layer)
    git(box, 'status')
    check(not os.path.exists(box.dir + '/mark'), 'executed')


@test
def large_index_is_searched_once(t):
    """And again when it has changed; a list of such indexes that is broken counts for nothing."""
    box = Box(t)
    repository(box)
    mark, listed = box.dir + '/mark', box.state + '/nsbox/indexes'
    many = 'blob=$(git hash-object -w --stdin </dev/null); seq 6000 | sed "s/.*/100644 $blob\tmany\/file-of-a-long-name-&/" | ' \
           'git update-index --index-info'
    subprocess.run(['/bin/sh', '-c', many], cwd=box.work, env=box.env, check=True)
    old_enough(box)
    # What a kill left is in the way once.
    box.sh('true').ok()
    os.rename(listed, listed + '.new')
    for _ in range(2):
        box.sh('true').ok()
    check(not os.path.exists(listed + '.new'), 'left behind')
    first = os.stat(listed)
    box.sh('true').ok()
    equal(os.stat(listed).st_ino, first.st_ino, 'the list, when nothing was searched')
    script = 'mkdir -p a/b/c/d/e; cd a/b/c/d/e; ' + NAMED.replace(',sub;', ',a/b/c/d/e/sub;')
    subprocess.run(['/bin/sh', '-c', script], cwd=box.work, env=box.env, check=True)
    for content in None, b'', b'\1\0\0\0', os.urandom(4 + 72):
        if content is not None:
            with open(listed, 'wb') as f:
                f.write(content)
        old_enough(box)
        box.sh('cd a/b/c/d/e; git -C sub config core.fsmonitor "$1"', 'touch %s; false' % mark).ok()
        equal(found(box), ['a/b/c/d/e/sub/.git/config'], 'found, list %r' % content)
        user(box, 'status')
        check(not os.path.exists(mark), 'executed')


def old_enough(box):
    """What has just been changed is not believed for a second."""
    until(lambda: time.time() - os.stat(box.work + '/.git/index').st_ctime > 2.1)
