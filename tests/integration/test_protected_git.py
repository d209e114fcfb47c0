# SPDX-License-Identifier: Apache-2.0
"""Ways into the host's git beside hooks and .git/config: what a repository holds for linked worktrees, programs that its
configuration names, keys that give credentials away. The host's own git, which runs what it is led to, is the oracle; the
same commands without the sandbox are the control."""
import os
import subprocess

from harness.box import Box
from harness.registry import cases, check, equal, test
from test_protected import git, read


def with_worktree(t, name, where='../feat', main='.'):
    """A checkout with a linked worktree, mostly beside the workspace; it and the mark that what was executed leaves."""
    box = Box(t, name)
    git(box, 'init', '-q', *(['--bare'] if main.endswith('.git') else []), main)
    repository = os.path.join(box.work, main)
    tree = git(box, 'hash-object', '-t', 'tree', '-w', '/dev/null', cwd=repository).strip()
    made = git(box, '-c', 'user.name=n', '-c', 'user.email=e@x', 'commit-tree', '-m', 'one', tree, cwd=repository).strip()
    git(box, 'worktree', 'add', '-q', '-b', 'feat', os.path.join(box.work, where), made, cwd=repository)
    return box, os.path.normpath(os.path.join(box.work, where)), box.dir + '/mark'


EVIL = 'touch %s #'
# $1: what is executed, $2: the directory of git
COMMON = ('cp -r $2 evil; git --git-dir evil config core.fsmonitor "$1"; rm -f evil/config.worktree; '
          'for f in $2/worktrees/*/commondir; do echo "$PWD/evil" > $f; done; '
          'for f in $2/worktrees/*; do echo "$PWD/evil" > c; mv -f c $f/commondir; done; ')
OWN = ('git --git-dir $2 config extensions.worktreeConfig true; for d in $2/worktrees/*; do '
       'git config -f $d/config.worktree core.bare false; git config -f $d/config.worktree core.fsmonitor "$1"; done; ')
REPLACED = ('mv $2/worktrees w; mkdir $2/worktrees; cp -r w/* $2/worktrees; ' + COMMON)
LINKED = 'cp -r $2/worktrees evil-w; mv $2/worktrees w; ln -s $PWD/evil-w $2/worktrees; ' + COMMON
INNER = 'for d in $2/worktrees/*; do cp -r $d e; mv $d old && ln -s $PWD/e $d; done; ' + COMMON


@cases([('common', COMMON, '.'), ('own-config', OWN, '.'), ('replaced', REPLACED, '.'), ('link', LINKED, '.'),
        ('inner-link', INNER, '.'), ('nested-common', COMMON, 'sub'), ('nested-own', OWN, 'sub'),
        ('bare-common', COMMON, 'b.git'), ('bare-own', OWN, 'b.git')])
def linked_worktree(t, script, main):
    """git status of the user in a worktree beside the workspace executes nothing that a call left."""
    where = main if main.endswith('.git') else os.path.normpath(main + '/.git')
    outside, feat, mark = with_worktree(t, 'outside', main=main)
    subprocess.run(['/bin/sh', '-c', script, 'sh', EVIL % mark, where], cwd=outside.work, env=outside.env, timeout=60,
                   stderr=subprocess.DEVNULL)
    subprocess.run(['git', 'status'], cwd=feat, env=outside.env, timeout=60, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    check(os.path.exists(mark), 'the control: it is executed outside')
    box, feat, mark = with_worktree(t, 'box', main=main)
    box.sh(script + 'true', EVIL % mark, where).ok()
    # mv copies where it cannot rename, and removes what it can: then git refuses.
    subprocess.run(['git', 'status'], cwd=feat, env=box.env, timeout=60, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    check(not os.path.exists(mark), 'it is executed')
    own = os.path.join(box.work, where, 'worktrees/feat')
    equal((read(own + '/commondir'), read(own + '/gitdir')), ('../..\n', feat + '/.git\n'), 'pointers')
    if script in (OWN, COMMON):
        git(box, 'status', cwd=feat)
    if script is OWN:
        found = [r['path'] for r in box.audit('fs.protected')]
        check(own + '/config.worktree' in found and os.path.join(box.work, where, 'config') in found, 'found %r' % found)


@test
def worktree_of_a_call(t):
    """git worktree add works and stays; what leads it to other configuration is taken away, whatever it is."""
    box, feat, mark = with_worktree(t, 'box')
    box.add('--name', 'made')
    box.sh('git worktree add -q -b own ./own feat && git -C own status --short').ok()
    try:
        equal(box.audit('fs.protected'), [], 'nothing is found in what git makes')
        git(box, 'status', cwd=box.work + '/own')
        result = box.nsbox('exec', 'made', '--', '/bin/sh', '-c',
                           'cd .git/worktrees; git config -f own/config.worktree core.fsmonitor "$1"; '
                           'git config -f own/config core.fsmonitor "$1"; mkdir own/hooks; echo ../../../evil > own/commondir; '
                           'rm own/gitdir; ln -s /tmp/x own/gitdir; ln -s ../../evil more; mkdir dark; echo /evil > dark/commondir; '
                           'chmod 0 dark; git -C ../../own worktree list >/dev/null; true', 'sh', EVIL % mark).ok()
        top = box.work + '/.git/worktrees/'
        # Once more when the first check found a configuration whose key it takes out.
        equal(sorted({r['path'][len(top):] for r in box.audit('fs.protected')}),
              ['dark/commondir', 'more', 'own/commondir', 'own/config', 'own/config.worktree', 'own/gitdir', 'own/hooks'],
              '%r' % result)
        for name in ('own/commondir', 'own/gitdir', 'own/hooks', 'more', 'dark/commondir'):
            check(not os.path.lexists(top + name), name)
        check('fsmonitor' not in read(top + 'own/config.worktree') + read(top + 'own/config'), 'keys')
        git(box, 'status', cwd=feat)
        check(not os.path.exists(mark), 'it is executed')
    finally:
        box.nsbox('rm', '-f', 'made')


@test
def many_worktrees(t):
    """Past the bound nothing is mounted, said in the record; what is written there is found all the same."""
    box, feat, mark = with_worktree(t, 'box')
    for i in range(70):
        os.mkdir('%s/.git/worktrees/a%d' % (box.work, i))
    box.sh('for d in .git/worktrees/*; do echo "$PWD/evil" > $d/commondir; '
           'git config -f $d/config.worktree core.fsmonitor "$1"; done 2>/dev/null; true', EVIL % mark).ok()
    check('unwatched' in box.audit('sandbox.start')[0], 'record: %r' % box.audit('sandbox.start'))
    for name in os.listdir(box.work + '/.git/worktrees'):
        top = '%s/.git/worktrees/%s/' % (box.work, name)
        check(not os.path.exists(top + 'commondir') or read(top + 'commondir') == '../..\n', name)
        check('evil' not in read(top + 'config.worktree') and 'touch' not in read(top + 'config.worktree'), name)


@test
def more_worktrees_than_anybody_has(t):
    """None of a thousand is looked for the one that executes: all are moved."""
    box = Box(t)
    git(box, 'init', '-q')
    box.sh('mkdir .git/worktrees; cd .git/worktrees; mkdir $(seq 1100); echo "$PWD" > 1100/commondir').ok()
    check(not os.path.lexists(box.work + '/.git/worktrees'), 'it is there')
    record, = box.audit('fs.protected')
    equal((record['path'], len(os.listdir(record['kept']))), (box.work + '/.git/worktrees', 1100), 'record')


# $1: what is executed, $2: the worktree, $3: the directory of git
BEGUN = 'cd $2; GIT_SEQUENCE_EDITOR="printf \'break\\nexec %s\\nx %s\\n\' \\"$1\\" \\"$1\\" >" git rebase -q -i --root; '
WRITTEN = 'cd $2; GIT_SEQUENCE_EDITOR="echo break >" git rebase -q -i --root; echo "exec $1" >> $3/rebase-merge/git-rebase-todo; '
MOVED = BEGUN + 'mv $3/rebase-merge ./r; ln -s $PWD/r $3/rebase-merge; '


@cases([(place + '-' + name, place, script) for place in ('top', 'nested', 'worktree', 'new-worktree')
        for name, script in (('begun', BEGUN), ('written', WRITTEN), ('moved', MOVED))])
def rebase(t, place, script):
    """The user's git goes on with a rebase that a call began, and runs nothing that the call had put into it."""
    for sandboxed in False, True:
        box, feat, mark = with_worktree(t, 'box' if sandboxed else 'outside', where='feat', main='sub' if place == 'nested' else '.')
        for key in 'name', 'email':
            git(box, 'config', 'user.' + key, 'n', cwd=feat)
        made = 'git worktree add -q -b own own refs/heads/feat; ' if place == 'new-worktree' else ''
        tree, top = {'top': ('.', '.git'), 'nested': ('sub', 'sub/.git'), 'worktree': ('feat', '.git/worktrees/feat'),
                     'new-worktree': ('own', '.git/worktrees/own')}[place]
        git(box, 'reset', '-q', '--hard', 'refs/heads/feat', cwd=os.path.join(box.work, 'sub' if place == 'nested' else '.'))
        words = ['touch ' + mark, tree, os.path.join(box.work, top)]
        if sandboxed:
            box.sh(made + script + 'true', *words).ok()
            check(not os.path.lexists(mark), 'executed inside')
        else:
            subprocess.run(['/bin/sh', '-c', made + script, 'sh', *words], cwd=box.work, env=box.env, timeout=60,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run(['git', 'rebase', '--continue'], cwd=os.path.join(box.work, tree), env=box.env, timeout=60,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        equal(os.path.exists(mark), not sandboxed, 'executed')
    found = {r['path'][len(box.work) + 1:]: r.get('keys') for r in box.audit('fs.protected')}
    if script == MOVED:
        equal(found, {top + '/rebase-merge': None}, 'found')
    else:
        equal(found, {top + '/rebase-merge/git-rebase-todo': ['exec touch ' + mark] * (1 + (script == BEGUN))},
              'found')
        check(not os.path.exists(os.path.join(box.work, top, 'rebase-merge')), 'it went on to its end')


# Up to a conflict. $1: the directory of git, in which the strategy is then named
PICKED = ('git checkout -q -b f; echo 2 > a; git commit -qam 2; echo b > b; git add b; git commit -qm b; '
          'git checkout -q main; echo 3 > a; git commit -qam 3; ')
STRATEGY = {
    'rebase': (PICKED + 'git checkout -q f; git rebase main; echo /x > $1/rebase-merge/strategy; ', 'rebase-merge/strategy'),
    'cherry-pick': (PICKED + 'git cherry-pick main..f; git config -f $1/sequencer/opts options.strategy /x; ', 'sequencer/opts'),
}


@cases([('%s-%s' % (what, place), what, place) for what in STRATEGY for place in ('top', 'new-worktree')])
def strategy_of_a_merge(t, what, place):
    """Git runs git-merge-STRATEGY, which with a slash is a file of the worktree: not what a call has left under way."""
    script, name = STRATEGY[what]
    evil = 'mkdir git-merge-; printf "#!/bin/sh\ntouch %s\n" > git-merge-/x; chmod +x git-merge-/x; echo 2 > a; git add a; true'
    for sandboxed in False, True:
        box, mark = Box(t, 'box' if sandboxed else 'outside'), t.path('mark')
        git(box, 'init', '-q', '-b', 'main')
        for key in 'name', 'email':
            git(box, 'config', 'user.' + key, 'n')
        t.write(box.work + '/a', '1\n')
        git(box, 'add', 'a')
        git(box, 'commit', '-q', '-m', '1')
        tree, top, made = '.', '.git', ''
        if place != 'top':
            tree, top, made = 'own', '.git/worktrees/own', 'git checkout -q --detach; git worktree add -q own main; cd own; '
        words = made + script + evil % mark, os.path.join(box.work, top)
        if sandboxed:
            box.sh(*words).ok()
        else:
            subprocess.run(['/bin/sh', '-c', words[0], 'sh', words[1]], cwd=box.work, env=box.env, timeout=60,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run(['git', what, '--continue'], cwd=os.path.join(box.work, tree), env=dict(box.env, GIT_EDITOR='true'),
                       timeout=60, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        equal(os.path.exists(mark), not sandboxed, 'executed')
        if not sandboxed:
            os.unlink(mark)
    equal([r['path'] for r in box.audit('fs.protected')], [os.path.join(box.work, top, name)], 'found')


# $1: a file that is not git's
PATCHED = ('for i in 1 2 3; do echo $i > f$i; git add .; git commit -q -m $i; done; git format-patch -q -o p HEAD~2; '
           'git reset -q --hard HEAD~2; echo c > f2; git add f2; git commit -q -m c; git am p/*; '
           "echo \"'-p1' '--build-fake-ancestor=$1'\" > .git/rebase-apply/apply-opt; echo 2 > f2; git add f2; true")


@test
def patches_under_way(t):
    """The user's git goes on with git am, whose options a call wrote: one of them writes an index to any file."""
    for sandboxed in True, False:
        box = Box(t, 'box' if sandboxed else 'outside')
        precious = t.write(box.dir + '/precious', 'mine\n')
        git(box, 'init', '-q', '-b', 'main')
        for key in 'name', 'email':
            git(box, 'config', 'user.' + key, 'n')
        if sandboxed:
            box.sh(PATCHED, precious).ok()
        else:
            subprocess.run(['/bin/sh', '-c', PATCHED, 'sh', precious], cwd=box.work, env=box.env, timeout=60,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        git(box, 'am', '--continue')
        with open(precious, 'rb') as f:
            equal(f.read() == b'mine\n', sandboxed, 'the file')
        equal(git(box, 'log', '--format=%s').split(), ['3', '2', 'c', '1'], 'it went on')
        if sandboxed:
            equal([r['path'] for r in box.audit('fs.protected')], [box.work + '/.git/rebase-apply/apply-opt'], 'found')


@test
def rebase_of_the_user(t):
    """His commands stay in it, and a call that goes on with it runs them inside."""
    box, _, mark = with_worktree(t, 'box', where='feat')
    for key in 'name', 'email':
        git(box, 'config', 'user.' + key, 'n')
    git(box, 'reset', '-q', '--hard', 'refs/heads/feat')
    box.env['GIT_SEQUENCE_EDITOR'] = "printf 'break\\nexec touch mine\\nbreak\\nx touch %s\\n' >" % mark
    git(box, 'rebase', '-q', '-i', '--root')
    box.sh('git rebase --continue').ok()
    check(os.path.exists(box.work + '/mine'), 'inside')
    equal(box.audit('fs.protected'), [], 'nothing is found')
    git(box, 'rebase', '--continue')
    check(os.path.exists(mark), 'outside')


@cases([('above', 'a', 'a/sub/.git', 0), ('readable', 'a', 'a/sub/.git', 0o400), ('checkout', 'a/sub', 'a/sub/.git', 0),
        ('itself', 'a/sub/.git', 'a/sub/.git', 0), ('top', '.git', '.git', 0), ('bare', 'a/b.git', 'a/b.git', 0)])
def closed_by_an_earlier_call(t, closed, where, mode):
    """What is in such a directory cannot be protected one by one, and the next call, its owner, could open it again."""
    box, outside = Box(t), Box(t, 'outside')
    script = 'chmod u+rwx $1; echo evil >> $2/hooks/pre-commit; git config -f $2/config core.fsmonitor evil; ' \
        'mv $2/hooks h; mkdir $2/hooks; echo evil > $2/hooks/post-commit; true'
    for b in box, outside:
        git(b, 'init', '-q')
        git(b, 'init', '-q', 'a/sub')
        git(b, 'init', '-q', '--bare', 'a/b.git')
        t.write('%s/%s/hooks/pre-commit' % (b.work, where), 'mine\n')
        os.chmod(os.path.join(b.work, closed), mode)
    box.sh(script, closed, where)
    subprocess.run(['/bin/sh', '-c', script, 'sh', closed, where], cwd=outside.work, stderr=subprocess.DEVNULL)
    for b in box, outside:
        os.chmod(os.path.join(b.work, closed), 0o755)
        top = os.path.join(b.work, where)
        found = [not os.path.exists(top + '/hooks/pre-commit'), 'evil' in read(top + '/config'),
                 os.path.exists(top + '/hooks/post-commit')]
        equal(found, [b is outside] * 3, 'changed')
    equal(read(os.path.join(box.work, where) + '/hooks/pre-commit'), 'mine\n', 'hook')


OTHERS = ['.lfsconfig', '.lazygit.yml', '.git/lazygit.yml', '.qwen', 'opencode.jsonc', '.npmrc', '.pdbrc', '.github/hooks', '.hg/hgrc', '.jj/repo/config.toml']


@cases([(name.strip('.').replace('/', '-').replace('.', '-'), name) for name in OTHERS])
def other_names(t, name):
    """There: not to be written. Missing: found, also when a directory on the way is a link that is new."""
    box = Box(t)
    path = os.path.join(box.work, name)
    top, middle = name.split('/')[0], os.path.dirname(name)
    box.sh('mkdir -p ./$2 && echo evil > $1', name, middle).ok()
    check(not os.path.lexists(path), 'it is there')
    equal([r['path'] for r in box.audit('fs.protected')], [path], 'found')
    if middle:
        box.sh('rm -rf $2; mkdir -p real; echo evil > real/$(basename $1); mkdir -p $(dirname $2); ln -s "$PWD/real" $2',
               name, middle).ok()
        check(not os.path.lexists(path), 'through a link')
        check(os.path.exists(os.path.join(box.work, 'real', os.path.basename(name))), 'what a link leads to is left')
        equal([r['path'] for r in box.audit('fs.protected')], [os.path.join(box.work, middle)], 'the link')
    os.makedirs(os.path.dirname(path), exist_ok=True)
    t.write('box/work/' + name, 'mine\n')
    box.sh('echo evil > $1; rm -f $1; echo evil > other; mv -f other $1; mv $2 elsewhere; true', name, top).ok()
    equal(read(path), 'mine\n', 'on the host')


@test
def programs_that_keys_name(t):
    """Of the configuration that was there: the first word, where it is a file of the workspace."""
    box, outside = Box(t), t.write('box/outside.sh', 'mine\n')
    keys = {'core.fsmonitor': './tools/fsm.sh', 'filter.f.clean': 'tools/clean.sh %f', 'alias.x': '!"tools/al ias.sh" a',
            'credential.helper': '!  ' + box.work + '/tools/cred.sh; true', 'diff.external': 'tools/link.sh',
            'merge.m.driver': '../outside.sh', 'core.editor': 'tools', 'core.pager': './tools', 'core.askpass': './gone'}
    git(box, 'init', '-q')
    names = ['fsm.sh', 'clean.sh', 'al ias.sh', 'cred.sh', 'linked.sh']
    for name in names + ['free.sh']:
        t.write('box/work/tools/' + name, 'mine\n')
    os.symlink('linked.sh', box.work + '/tools/link.sh')
    for key, value in keys.items():
        git(box, 'config', key, value)
    box.sh('for f in tools/*.sh; do echo evil > "$f"; done; mv tools t; true').ok()
    equal([n for n in names if read(box.work + '/tools/' + n) != 'mine\n'], [], 'written')
    equal((read(box.work + '/tools/free.sh'), read(outside)), ('evil\n', 'mine\n'), 'what none names, and what is outside')
    box.sh('echo new > tools/new').ok()


def mine(t, *names):
    for name in names:
        t.write(name, 'mine\n')


def attack(box, work, *names):
    """What a call can write of them."""
    box.sh('for f; do echo evil > "$f"; rm -f "$f"; echo evil > "$f"; mv "${f%/*}" gone && mkdir "${f%/*}" && '
           'echo evil > "$f"; done 2>/dev/null; true', *names, flags=['--workdir', work])
    return [name for name in names if read(os.path.join(work, name)) != 'mine\n']


@cases([('included', '.git/config'), ('of-a-worktree', '.git/config.worktree')])
def files_of_configuration(t, name):
    """Git reads more than .git/config: what is named in a file that another one includes, relative to that, counts too."""
    box = Box(t)
    git(box, 'init', '-q')
    git(box, 'config', 'extensions.worktreeConfig', 'true')
    git(box, 'config', '-f', name, 'include.path', '../conf/a')
    os.makedirs(box.work + '/conf/sub')
    git(box, 'config', '-f', 'conf/a', 'includeIf.gitdir:**.path', 'sub/b')
    git(box, 'config', '-f', 'conf/sub/b', 'core.hooksPath', 'ci/hooks')
    git(box, 'config', '-f', 'conf/sub/b', 'diff.external', 'ci/diff.sh')
    mine(t, 'box/work/ci/hooks/pre-commit', 'box/work/ci/diff.sh', 'box/work/ci/free.sh')
    equal(git(box, 'rev-parse', '--git-path', 'hooks').strip(), 'ci/hooks', 'the control: git takes it from there')
    equal(attack(box, box.work, 'ci/hooks/pre-commit', 'ci/diff.sh', 'ci/free.sh'), ['ci/free.sh'], 'written')
    box.sh('git config -f conf/a core.pager evil; git config -f conf/sub/b core.pager evil; true').ok()
    check('evil' not in read(box.work + '/conf/a') + read(box.work + '/conf/sub/b'), 'what is included')
    # One after the other without end, which git refuses.
    git(box, 'config', '-f', 'conf/sub/b', 'include.path', '../a')
    box.sh('true').ok()


@test
def configuration_of_the_repository(t):
    """A linked worktree has hooks of its own when its repository, which lies elsewhere, has a relative core.hooksPath."""
    box, feat, _ = with_worktree(t, 'box')
    git(box, 'config', 'core.hooksPath', 'ci/hooks')
    equal(git(box, 'rev-parse', '--git-path', 'hooks', cwd=feat).strip(), 'ci/hooks', 'the control: git takes it from there')
    mine(t, 'box/feat/ci/hooks/pre-commit', 'box/feat/ci/free.sh')
    equal(attack(box, feat, 'ci/hooks/pre-commit', 'ci/free.sh'), ['ci/free.sh'], 'written')


@test
def more_configuration_than_anybody_has(t):
    box = Box(t)
    git(box, 'init', '-q')
    for i in range(20):
        git(box, 'config', '--add', 'include.path', '../c%d' % i)
        git(box, 'config', '-f', 'c%d' % i, 'core.hooksPath', 'h%d' % i)
        mine(t, 'box/work/h%d/pre-commit' % i)
    result = box.sh('for d in h*; do echo evil > $d/pre-commit; done 2>/dev/null; true')
    equal(result.err.count('more than 16 files of configuration'), 1, result)
    # The first of them is .git/config.
    equal([i for i in range(20) if read(box.work + '/h%d/pre-commit' % i) == 'mine\n'], list(range(15)), 'kept')


GIVEN_AWAY = ['http.proxy', 'http.https://a.b.proxy', 'http.sslVerify', 'http.https://a.b.sslCAInfo', 'url.https://evil/.insteadOf',
              'url.https://evil/.pushInsteadOf', 'remote.o.proxy', 'credential.protectProtocol']


@test
def keys_that_give_credentials_away(t):
    box = Box(t)
    git(box, 'init', '-q')
    git(box, 'config', 'http.version', 'HTTP/1.1')
    script = 'git remote add o https://a.b/x; ' + ''.join('git config %s evil; ' % k for k in GIVEN_AWAY) + 'git init -q src; ' \
        'git -C src -c user.name=n -c user.email=e@x commit -q --allow-empty -m one; git clone -q src copy'
    box.sh(script).ok()
    text = read(box.work + '/.git/config')
    check('= evil' not in text, text)
    equal((git(box, 'config', 'remote.o.url'), git(box, 'config', 'http.version')), ('https://a.b/x\n', 'HTTP/1.1\n'), 'others')
    record, = box.audit('fs.protected')
    equal(len(record['keys']), len(GIVEN_AWAY), 'keys: %r' % record)
    equal(git(box, 'config', 'remote.origin.url', cwd=box.work + '/copy'), box.work + '/src\n', 'a clone')
