# SPDX-License-Identifier: Apache-2.0
"""Git's index, whose paths the user's git writes wherever they lead. What it writes outside of the worktree is the oracle;
the same index that no sandbox has made is the control. What git itself makes is never taken away."""
import os
import subprocess

from harness.box import Box
from harness.registry import cases, check, equal, test
from harness.work import Work
from test_protected import git

# Gives an entry another path, and writes version 2 with what is asked for behind. argv: the index, old, new, size of a hash
FORGE = r'''
import struct, sys
path, old, new, size = sys.argv[1], sys.argv[2].encode(), sys.argv[3].encode(), int(sys.argv[4])
data = open(path, 'rb').read()
at, entries, fixed = 12, [], 40 + size + 2
for _ in range(struct.unpack('>I', data[8:12])[0]):
    name = data[at + fixed:data.index(b'\0', at + fixed)]
    entries.append((new if name == old else name, data[at:at + fixed - 2]))
    at += (fixed + len(name) + 8) // 8 * 8
out = b'DIRC' + struct.pack('>II', 2, len(entries))
for name, rest in sorted(entries):
    entry = rest + struct.pack('>H', len(name)) + name
    out += entry + bytes((len(entry) + 8) // 8 * 8 - len(entry))
import hashlib
open(path + '.new', 'wb').write(out + hashlib.new('sha1' if size == 20 else 'sha256', out).digest())
import os
os.rename(path + '.new', path)
'''
STAGE = 'b=$(echo evil | git hash-object -w --stdin); git update-index --add --cacheinfo 100755,$b,xx/x; '


def repository(box, *words, where='.'):
    git(box, 'init', '-q', '-b', 'main', *words, where)
    for key in 'name', 'email':
        git(box, 'config', 'user.' + key, 'n', cwd=os.path.join(box.work, where))
    git(box, 'commit', '-q', '--allow-empty', '-m', '1', cwd=os.path.join(box.work, where))


@cases([('hook', '.git/hooks/pre-commit', [], '.'), ('outside', '../out', [], '.'), ('sha256', '../out', ['--object-format=sha256'], '.'),
        ('nested', '.git/hooks/pre-commit', [], 'sub'), ('worktree', '../out', [], 'own')])
def paths_elsewhere(t, path, words, where):
    """git checkout -- . of the user writes what the index names: nothing of a call's outside of the worktree, or in .git."""
    for sandboxed in False, True:
        box = Box(t, 'box' if sandboxed else 'outside')
        repository(box, *words, where='.' if where == 'own' else where)
        script = 'git worktree add -q own; cd own; ' if where == 'own' else 'cd ' + where + '; '
        top = os.path.join(box.work, '.git/worktrees/own' if where == 'own' else os.path.join(where, '.git'))
        script += STAGE + 'exec /usr/bin/python3 -c "$1" $2/index xx/x $3 $4'
        arguments = FORGE, top, path, '32' if words else '20'
        if sandboxed:
            box.sh(script, *arguments).ok()
        else:
            subprocess.run(['/bin/sh', '-c', script, 'sh', *arguments], cwd=box.work, env=box.env, timeout=60, check=True)
        tree = os.path.join(box.work, where)
        subprocess.run(['git', 'checkout', '--', '.'], cwd=tree, env=box.env, timeout=60, stderr=subprocess.DEVNULL)
        equal(os.path.exists(os.path.join(tree, path)), not sandboxed, 'written')
    record, = box.audit('fs.protected')
    equal((record['path'], os.path.exists(record['kept'])), (os.path.normpath(top + '/index'), True), 'found')
    git(box, 'reset', '-q', cwd=tree)
    git(box, 'status', cwd=tree)


@cases([('index', False), ('shared', True)])
def overlaid(t, shared):
    """In a copy-on-write workspace it is marked and needs a yes; what git makes does not."""
    box = Work(t)
    repository(box)
    box.nsbox('commit', box.write('git add a')).ok()
    equal(git(box, 'ls-files'), 'a\n', 'the control: one that git made')
    forged = STAGE + 'python3 -c "$1" $PWD/.git/index xx/x ../out 20; '
    name = '.git/sharedindex.1234' if shared else '.git/index'
    layer = box.write(forged + ('mv .git/index $2; git reset -q' if shared else ''), FORGE, name)
    flags = {path: change['flags'] for path, change in box.changes(layer).items()}
    equal(flags, {**flags, name: ['git'], **({'.git/index': []} if shared else {})}, 'marked')
    equal(box.nsbox('commit', layer).code, 125, 'commit')
    git(box, 'checkout', '--', '.')
    check(not os.path.exists(box.dir + '/out'), 'written')


@test
def shared_index(t):
    """The other file of a split index, which may be written when the index itself is not."""
    box = Box(t)
    repository(box)
    t.write(box.work + '/a', '1\n')
    git(box, 'update-index', '--split-index', '--add', 'a')
    box.sh('echo 2 > b; git add b').ok()
    equal(box.audit('fs.protected'), [], 'nothing is found in what git makes')
    script = 'for f in .git/sharedindex.*; do cp $f s; python3 -c "$1" $PWD/s a ../out 20; cat s > $f; done'
    box.sh(script, FORGE).ok()
    equal([r['path'] for r in box.audit('fs.protected')], [box.work + '/.git/index'], 'found')


FORMS = {
    'plain': [],
    'version-3': ['git add --intent-to-add n'],
    'version-4': ['git update-index --index-version 4'],
    'split': ['git update-index --split-index'],
    'untracked': ['git update-index --untracked-cache --force-untracked-cache; git status'],
    'blocks': ['git config index.threads 2', 'git update-index --index-version 4'],
    'sparse': ['git sparse-checkout init --cone --sparse-index; git sparse-checkout set a'],
    'conflict': ['git checkout -q -b f; echo 2 > a/f; git commit -qam 2; git checkout -q main; echo 3 > a/f; git commit -qam 3; '
                 'git merge f; git checkout -m a/f'],
}


@cases([(name, name) for name in FORMS])
def forms_of_git(t, name):
    """What git makes inside stays, in all of its forms."""
    box = Box(t)
    repository(box)
    git(box, 'config', 'extensions.worktreeConfig', 'true')
    script = 'mkdir -p a b/c; echo 1 > a/f; echo 1 > b/c/f; echo n > n; git add a b; git commit -qm 2; '
    if name == 'blocks':
        script += 'o=$(git hash-object -w a/f); for i in $(seq 25000); do echo "100644 $o 0\td$((i / 100))/$i"; done > list; '
        script = 'git config index.threads 2; ' + script + 'git update-index --index-info < list; '
    script += ''.join('(%s) >/dev/null 2>&1; ' % command for command in FORMS[name]) + 'git ls-files --sparse | wc -l'
    listed = box.sh(script, timeout=60).ok().out
    equal(box.audit('fs.protected'), [], 'found')
    equal(git(box, 'ls-files', '--sparse').count('\n'), int(listed), 'entries')
    with open(box.work + '/.git/index', 'rb') as f:
        data = f.read()
    mark = {'split': b'link', 'untracked': b'UNTR', 'blocks': b'IEOT', 'sparse': b'sdir', 'version-3': b'DIRC\0\0\0\3',
            'version-4': b'DIRC\0\0\0\4'}.get(name, b'DIRC')
    check(mark in data, 'the form is there')


@test
def repository_of_a_call(t):
    """One that a call makes may have another hash; of one that is there nobody changes that."""
    box = Box(t)
    box.sh('git init -q --object-format=sha256; echo 1 > a; git add a').ok()
    equal((git(box, 'ls-files'), box.audit('fs.protected')), ('a\n', []), 'made')
    repository(box, where='sub')
    box.sh('cd sub; git config extensions.objectFormat sha256').ok()
    equal([r['keys'] for r in box.audit('fs.protected')], [['extensions.objectformat']], 'of one that was there')
    git(box, 'status', cwd=box.work + '/sub')


@test
def index_of_the_user(t):
    """A link that was there is left; one that a call makes is not."""
    box = Box(t)
    repository(box)
    os.rename(box.work + '/.git/index', box.work + '/.git/one')
    os.symlink('one', box.work + '/.git/index')
    box.sh('git status').ok()
    equal(box.audit('fs.protected'), [], 'a link of his')
    box.sh('rm .git/index; ln -s ../evil .git/index').ok()
    equal([r['path'] for r in box.audit('fs.protected')], [box.work + '/.git/index'], 'another one')
