# SPDX-License-Identifier: Apache-2.0
"""What the host would execute and cannot be mounted over: found after the call, moved, told. The workspace as the host
sees it afterwards is the oracle; the same commands without the sandbox leave what they wrote."""
import json
import os
import shutil
import subprocess

from harness.box import Box
from harness.named import Named
from harness.registry import cases, check, equal, test, until


def read(path):
    with open(path) as f:
        return f.read()


def git(box, *words, **kwargs):
    return subprocess.run(['git', *words], cwd=kwargs.pop('cwd', box.work), env=box.env, check=True, timeout=60, text=True,
                          stdout=subprocess.PIPE, **kwargs).stdout


def kept(box):
    """Everything that was moved, path below the state directory to content."""
    found = {}
    for top, dirs, files in os.walk(box.state + '/nsbox/protected'):
        for name in files + [d for d in dirs if os.path.islink(os.path.join(top, d))]:
            path = os.path.join(top, name)
            found[path] = 'link' if os.path.islink(path) else read(path)
    return found


MAKE = {
    'file': 'echo evil > $1',
    'directory': 'mkdir $1 && echo evil > $1/x',
    'symlink': 'echo evil > planted && ln -s planted $1',
    'dangling': 'ln -s /nowhere/planted $1',
    'hard link': 'echo evil > planted && ln planted $1',
    'renamed': 'echo evil > other && mv other $1',
    'exchanged': 'mkdir -p d && echo evil > d/x && mv d $1',
    'pipe': 'mkfifo $1',
    'closed': 'mkdir $1 && echo evil > $1/x && chmod 0 $1',
}
NAMES = ['.envrc', '.vscode', '.git/hooks', '.git/commondir', '.nsbox.ini']


@cases([(how.replace(' ', '-') + '-' + name.strip('.').replace('/', '-').replace('.', '-'), how, name)
         for how in MAKE for name in (NAMES if how in ('file', 'directory', 'symlink') else NAMES[:1] + NAMES[2:3])])
def missing_at_start(t, how, name):
    """Each way to make it, at each kind of name: gone after the call, kept, recorded, told."""
    outside, box = Box(t, 'outside'), Box(t)
    for b in (outside, box):
        git(b, 'init', '-q')
        subprocess.run(['rm', '-rf', b.work + '/.git/hooks'], check=True)
    subprocess.run(['/bin/sh', '-c', MAKE[how], 'sh', name], cwd=outside.work, check=True, timeout=60)
    check(os.path.lexists(os.path.join(outside.work, name)), 'the control: it can be made outside')
    result = box.sh(MAKE[how] + '; ls -d -- "$1" >/dev/null && echo made', name).ok()
    equal(result.out, 'made\n', 'inside it can be made')
    check(not os.path.lexists(os.path.join(box.work, name)), '%s is still there' % name)
    record, = box.audit('fs.protected')
    equal((record['path'], record['reason']), (os.path.join(box.work, name), 'new'), 'record')
    check(os.path.lexists(record['kept']), 'it is kept: %r' % record)
    check('protected: %s is new' % record['path'] in result.err and record['kept'] in result.err, '%r' % result)
    exits = [r['event'] for r in box.audit()]
    check(exits.index('fs.protected') < exits.index('call.exit'), 'before the end of the call: %r' % exits)


@test
def what_may_be_made(t):
    """git init with its examples, keys that execute nothing, other files: nothing is found, and git works on."""
    box = Box(t)
    result = box.sh('git init -q . && git config user.name n && git config user.email e@x.y && git remote add o https://x.y/z '
                    '&& git config branch.main.remote o && mkdir -p src/.vscode && echo x > src/.envrc && echo 1 > f '
                    '&& git add f && git commit -qm one && git log --oneline | wc -l').ok()
    equal(result.out, '1\n', 'commits')
    equal(box.audit('fs.protected'), [], 'found')
    equal(git(box, 'config', 'remote.o.url'), 'https://x.y/z\n', 'on the host')
    check(os.path.isdir(box.work + '/.git/hooks'), 'the examples are there')


@test
def example_becomes_a_hook(t):
    box = Box(t).add('--name', 'hooked')
    box.sh('git init -q .').ok()
    check(os.path.isdir(box.work + '/.git/hooks'), 'examples only stay')
    made = box.nsbox('exec', 'hooked', '--', '/bin/sh', '-c',
                     'cd .git/hooks && for f in *.sample; do mv $f ${f%.sample}; break; done')
    try:
        check(not os.path.exists(box.work + '/.git/hooks'), 'a hook is on the host: %r' % made)
        equal([r['path'] for r in box.audit('fs.protected')], [box.work + '/.git/hooks'], 'found')
    finally:
        box.nsbox('rm', '-f', 'hooked')


KEYS = ['core.hooksPath', 'core.fsmonitor', 'core.sshCommand', 'alias.st', 'filter.x.clean', 'credential.helper',
        'include.path', 'includeIf.gitdir:/.path', 'credential.https://x.y.helper', 'core.pager', 'diff.x.textconv',
        'merge.x.driver', 'gpg.program', 'remote.o.uploadpack']


@test
def keys_that_execute(t):
    box = Box(t)
    git(box, 'init', '-q')
    git(box, 'config', 'alias.mine', 'log')
    before = read(box.work + '/.git/config')
    # The control: outside, git takes such a key from there.
    git(box, 'config', '--file', box.dir + '/control', 'core.fsmonitor', 'evil')
    equal(git(box, 'config', '--file', box.dir + '/control', 'core.fsmonitor'), 'evil\n', 'control')
    result = box.sh(''.join('git config %s evil; ' % k for k in KEYS) + 'git config remote.o.url u').ok()
    text = read(box.work + '/.git/config')
    check('evil' not in text, 'on the host: %r' % text)
    equal(git(box, 'config', 'alias.mine'), 'log\n', 'what the user had')
    equal(git(box, 'config', 'remote.o.url'), 'u\n', 'what the call may set')
    record, = box.audit('fs.protected')
    equal((record['path'], record['reason']), (box.work + '/.git/config', 'changed'), 'record')
    equal(sorted(record['keys']), sorted(
        ['.'.join([k.split('.')[0].lower(), *k.split('.')[1:-1], k.split('.')[-1].lower()]) for k in KEYS]), 'keys')
    check('evil' in read(record['kept']), 'kept')
    check('core.fsmonitor' in result.err, '%r' % result)
    # Nothing more is found when it runs again.
    box.sh('git status >/dev/null; git config user.name n').ok()
    equal(box.audit('fs.protected'), [], 'the second time')
    check(before.split('[')[1] in read(box.work + '/.git/config'), 'the rest is as it was')


@test
def long_name_silences_nothing(t):
    """A key whose name is over what is told of it: told, and all that comes after it."""
    box = Box(t)
    git(box, 'init', '-q')
    result = box.sh("""{ printf '[alias "'; head -c 4000 /dev/zero | tr '\\0' A; printf '"]\\nx = !evil\\n'; } >>.git/config""").ok()
    check('evil' not in read(box.work + '/.git/config'), 'the key is still there')
    record, = box.audit('fs.protected')
    check(record['keys'][0].startswith('alias.AAA') and len(record['keys'][0]) <= 256, 'key %r' % record['keys'][0][:300])
    check(box.work + '/.git/config' in result.err, 'what is said: %.500r' % result.err)
    equal([r['event'] for r in box.audit()][-2:], ['call.exit', 'sandbox.exit'], 'the end of the log')


@cases([('long', """{ printf '[alias "'; head -c 5000 /dev/zero | tr '\\0' A; printf '"]\\nx = y\\n'; } >>.git/config"""),
       ('unreadable', 'echo "[core" >> .git/config'), ('zero', 'printf "[core]\\0" >> .git/config'),
       ('link', 'echo "[alias]" > c; ln -sf ../c .git/config'), ('directory', 'rm .git/config; mkdir .git/config'),
       ('mode', 'git config alias.x y; chmod 0 .git/config'), ('huge', 'head -c 3000000 /dev/zero >> .git/config'),
       ('renamed', 'printf "[alias]\\nx = y\\n[core" > .git/c; mv .git/c .git/config')])
def config_that_is_no_more(t, script):
    """Not to be taken apart key by key: what was there before comes back, to the byte."""
    box = Box(t)
    git(box, 'init', '-q')
    before = read(box.work + '/.git/config')
    result = box.sh(script)
    path = box.work + '/.git/config'
    check(os.path.isfile(path) and not os.path.islink(path), 'no file: %r' % result)
    # Root reads a file of any mode, and takes only the key out.
    equal(read(path).replace('[alias]\n\t\n', ''), before, 'on the host')
    record = box.audit('fs.protected')[-1]
    equal((record['path'], record.get('restored', 'keys' in record)), (path, True), 'record')


@test
def git_is_a_link_or_a_file(t):
    box = Box(t)
    for made in ('ln -s evil .git', 'echo "gitdir: evil" > .git'):
        result = box.sh('mkdir -p evil/hooks; printf "[core]\\nfsmonitor = x\\n" > evil/config; ' + made).ok()
        check(not os.path.lexists(box.work + '/.git'), '.git is there: %r' % result)
        equal([r['path'] for r in box.audit('fs.protected')], [box.work + '/.git'], 'found')
    # One that a linked worktree or a submodule has cannot be changed.
    t.write('box/work/.git', 'gitdir: ../elsewhere\n')
    box.sh('echo "gitdir: evil" > .git; rm -f .git; mv .git x; true')
    equal(read(box.work + '/.git'), 'gitdir: ../elsewhere\n', 'on the host')
    equal(box.audit('fs.protected'), [], 'found')


@test
def another_git_in_its_place(t):
    """Without hooks in it nothing holds .git where it is."""
    box = Box(t)
    git(box, 'init', '-q')
    subprocess.run(['rm', '-rf', box.work + '/.git/hooks'], check=True)
    box.sh('mv .git old; git init -q .; echo evil > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; '
           'git config alias.x evil').ok()
    check(not os.path.exists(box.work + '/.git/hooks') and 'evil' not in read(box.work + '/.git/config'), 'on the host')
    equal(sorted(r['path'] for r in box.audit('fs.protected')), [box.work + '/.git/config', box.work + '/.git/hooks'], 'found')


@test
def links_at_protected_names(t):
    """What a link leads to is mounted over, and the link itself is watched."""
    box = Box(t)
    t.write('box/work/conf/envrc', 'mine\n')
    os.symlink('conf/envrc', box.work + '/.envrc')
    os.symlink('nowhere', box.work + '/.mcp.json')
    box.sh('echo evil > conf/envrc; echo evil > .envrc; mv conf gone; echo evil > nowhere; true')
    equal(read(box.work + '/conf/envrc'), 'mine\n', 'through the link')
    equal(os.readlink(box.work + '/.envrc'), 'conf/envrc', 'the link')
    equal(box.audit('fs.protected'), [], 'found')
    box.sh('rm .envrc; ln -s planted .envrc; rm .mcp.json; echo evil > .mcp.json; true').ok()
    check(not os.path.lexists(box.work + '/.envrc') and not os.path.lexists(box.work + '/.mcp.json'), 'replaced')
    equal(sorted((os.path.basename(r['path']), r['reason']) for r in box.audit('fs.protected')),
          [('.envrc', 'changed'), ('.mcp.json', 'changed')], 'found')


@test
def a_second_name(t):
    """A hard link that was there before: the file is written through its other name."""
    box = Box(t)
    t.write('box/work/.envrc', 'mine\n')
    os.link(box.work + '/.envrc', box.work + '/other')
    box.sh('cat other; chmod 600 other').ok()
    equal(box.audit('fs.protected'), [], 'nothing has changed')
    check(os.path.exists(box.work + '/.envrc'), 'it stays')
    box.sh('echo evil > other').ok()
    check(not os.path.exists(box.work + '/.envrc'), 'it is moved')
    equal([(r['path'], r['reason']) for r in box.audit('fs.protected')], [(box.work + '/.envrc', 'changed')], 'found')


@test
def what_is_left_in_the_background(t):
    """A process that goes on puts it back for ever: the last word is said when it is dead."""
    box = Box(t)
    box.nsbox('create', '--name', 'long', '--net', 'none').ok()
    loop = '(while :; do mkdir .vscode; echo x > .vscode/a; echo x > .envrc; done) >/dev/null 2>&1 & sleep 0.2; echo left'
    box.nsbox('exec', 'long', '--background', '--', '/bin/sh', '-c', loop).ok()
    until(lambda: box.audit('fs.protected'), 30, 'nothing was found while it went on')
    box.nsbox('rm', '-f', 'long').ok()
    equal([n for n in os.listdir(box.work) if n in ('.vscode', '.envrc')], [], 'after the end')


@test
def the_client_is_killed(t):
    """The supervisor sees the end of its pipe, ends what runs, and looks after that."""
    box = Box(t)
    process = box.start('run', '--net', 'none', '--', '/bin/sh', '-c',
                        'echo ready; while :; do echo x > .envrc; mkdir -p .idea; done')
    process.stdout.readline()
    until(lambda: os.path.exists(box.work + '/.envrc'), 30, 'it did not begin')
    process.kill()
    process.wait()
    until(lambda: box.audit('sandbox.exit'), 30, 'the sandbox did not end')
    equal([n for n in os.listdir(box.work) if n in ('.envrc', '.idea')], [], 'after the end')
    check(box.audit('fs.protected'), 'recorded')


@test
def json_events_and_inspect(t):
    box = Box(t)
    result = box.sh('echo x > .envrc', flags=['--json']).ok()
    one, = json.loads(result.err.strip().splitlines()[-1])['protected']
    equal((one['path'], one['reason'], one['call'].split('.')[1]), (box.work + '/.envrc', 'new', '1'), '--json')
    box.nsbox('create', '--name', 'seen', '--net', 'none').ok()
    box.nsbox('exec', 'seen', '--', '/bin/sh', '-c', 'echo x > .envrc').ok()
    equal([p['path'] for p in box.nsbox('inspect', 'seen').ok().json()['protected']], [box.work + '/.envrc'], 'inspect')
    box.nsbox('rm', '-f', 'seen')


@test
def named_as_writable(t):
    """The user decided: nothing is moved, and what is on the way of a read-only grant is none of it."""
    box = Box(t)
    os.mkdir(box.work + '/.vscode')
    box.sh('echo x > .vscode/a; echo y > .envrc', flags=['--write', '.vscode']).ok()
    equal(read(box.work + '/.vscode/a'), 'x\n', 'written')
    equal([r['path'] for r in box.audit('fs.protected')], [box.work + '/.envrc'], 'found')


@test
def on_another_file_system(t):
    """The state directory cannot take it by renaming: it gets another name at once; a file is then copied."""
    box = Box(t)
    other = '/dev/shm/' + os.path.basename(t.tmp)
    os.makedirs(other + '/work')
    try:
        if os.stat(other).st_dev == os.stat(box.state).st_dev:
            t.skip('no second file system')
        work = other + '/work'
        box.sh('echo evil > .envrc; ln -s /x .mcp.json; mkdir .vscode; echo evil > .vscode/a', cwd=work).ok()
        records = {os.path.basename(r['path']): r for r in box.audit('fs.protected')}
        equal(sorted(records), ['.envrc', '.mcp.json', '.vscode'], 'found')
        equal(sorted(n for n in os.listdir(work) if n in records), [], 'at the names')
        equal(read(records['.envrc']['kept']), 'evil\n', 'copied')
        check(records['.envrc']['kept'].startswith(box.state), 'where it is: %r' % records['.envrc'])
        equal(os.readlink(records['.mcp.json']['kept']), '/x', 'a link')
        equal(read(records['.vscode']['kept'] + '/a'), 'evil\n', 'a directory stays beside')
        check(records['.vscode']['kept'].startswith(work + '/.nsbox-protected-'), '%r' % records['.vscode'])
    finally:
        subprocess.run(['rm', '-rf', other], check=True)


@test
def older_finding_stays(t):
    """What an earlier call left at the place where the next finding would go."""
    with Named(t) as box:
        box.create('x')
        name = box.audit('sandbox.start')[0]['sandbox']
        old = t.write(box.state + '/nsbox/protected/%s/1-.envrc' % name, 'older\n')
        box.exec('x', 'sh', '-c', 'echo evil > .envrc')
        equal(read(old), 'older\n', 'the older one')
        check(not os.path.lexists(box.work + '/.envrc'), 'at the name')
        kept = [n for n in os.listdir(box.work) if n.startswith('.nsbox-protected-')]
        equal([read(box.work + '/' + n) for n in kept], ['evil\n'], 'beside')
        shutil.rmtree(box.state + '/nsbox/protected')


@test
def too_large_to_look_at(t):
    box = Box(t)
    git(box, 'init', '-q')
    with open(box.work + '/.git/config', 'a') as f:
        f.write('; ' + 'x' * (1 << 20) + '\n')
    result = box.sh('true')
    equal(result.code, 125, 'status')
    check('--protect' in result.err and '1024 KiB' in result.err, '%r' % result)
    box.sh('true', flags=['--protect', '.git/config']).ok()


@test
def what_git_is_configured_to_run(t):
    """By the user, before: hooks and configuration elsewhere in the workspace."""
    box = Box(t)
    git(box, 'init', '-q')
    t.write('box/work/scripts/hooks/pre-commit', 'mine\n')
    t.write('box/work/conf/shared', '[user]\n\tname = n\n')
    git(box, 'config', 'core.hooksPath', 'scripts/hooks')
    git(box, 'config', 'include.path', '../conf/shared')
    equal(git(box, 'config', 'user.name'), 'n\n', 'the control: git reads it')
    box.sh('echo evil > scripts/hooks/pre-commit; echo evil > scripts/hooks/new; mv scripts s; echo evil > conf/shared; '
           'rm -f conf/shared; mv conf c; git config user.email e; echo x > scripts/other')
    equal(sorted(os.listdir(box.work + '/scripts')), ['hooks', 'other'], 'beside it')
    equal(os.listdir(box.work + '/scripts/hooks'), ['pre-commit'], 'hooks')
    equal((read(box.work + '/scripts/hooks/pre-commit'), read(box.work + '/conf/shared')),
          ('mine\n', '[user]\n\tname = n\n'), 'files')
    equal(git(box, 'config', 'core.hooksPath'), 'scripts/hooks\n', 'the key stays')
    equal(box.audit('fs.protected'), [], 'found')


@test
def a_second_name_of_what_was_named(t):
    """--protect is a mount over one name."""
    box = Box(t)
    t.write('box/work/dir/file', 'mine\n')
    os.link(box.work + '/dir/file', box.work + '/other')
    box.sh('echo evil > dir/file; true', flags=['--protect', 'dir/file'])
    equal(read(box.work + '/dir/file'), 'mine\n', 'through its name')
    box.sh('echo evil > other', flags=['--protect', 'dir/file']).ok()
    check(not os.path.exists(box.work + '/dir/file'), 'it is moved')
    equal([(r['path'], r['reason']) for r in box.audit('fs.protected')], [(box.work + '/dir/file', 'changed')], 'found')


def nested(box, how):
    """A repository below the workspace of that kind: its worktree, and its directory of git. Paths below the workspace."""
    if how == 'checkout':
        os.makedirs(box.work + '/vendor/lib')
        git(box, 'init', '-q', 'vendor/lib')
        return 'vendor/lib', 'vendor/lib/.git'
    if how == 'bare':
        git(box, 'init', '-q', '--bare', 'stuff/bare')
        return None, 'stuff/bare'
    source = box.dir + '/source'
    git(box, 'init', '-q', source)
    git(box, '-c', 'user.name=n', '-c', 'user.email=e@x', 'commit', '-q', '--allow-empty', '-m', 'one', cwd=source)
    git(box, 'init', '-q')
    git(box, '-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', source, 'deps/sub')
    return 'deps/sub', '.git/modules/deps/sub'


@cases([(how + ('-no-hooks' if bare else ''), how, bare) for how in ('checkout', 'submodule', 'bare') for bare in (False, True)])
def nested_repositories(t, how, bare):
    """Hooks, configuration and the way to them, where a directory below is a repository: with hooks, and without any."""
    box = Box(t)
    worktree, git_dir = nested(box, how)
    top = os.path.join(box.work, git_dir)
    if bare:
        subprocess.run(['rm', '-rf', top + '/hooks'], check=True)
    before = read(top + '/config')
    # The control: git takes such a hook and such a key from there.
    git(box, '--git-dir', top, 'config', 'core.fsmonitor', 'evil')
    equal(git(box, '--git-dir', top, 'config', 'core.fsmonitor'), 'evil\n', 'control')
    with open(top + '/config', 'w') as f:
        f.write(before)
    script = ('mkdir -p $1/hooks; echo evil >$1/hooks/pre-commit; chmod +x $1/hooks/pre-commit; '
              'git --git-dir $1 config core.fsmonitor evil; git --git-dir $1 config user.name n; echo evil >$1/commondir; ')
    if worktree:
        script += 'echo evil >$2/.envrc; '
    if how == 'submodule':
        script += 'echo "gitdir: /tmp/x" >$2/.git; mv $2/.git $2/old; mv $2 $2.x; '
    box.sh(script + 'true', git_dir, worktree or '').ok()
    check(not os.path.exists(top + '/hooks/pre-commit'), 'a hook')
    check('evil' not in read(top + '/config') and 'name = n' in read(top + '/config'), 'config: %r' % read(top + '/config'))
    check(not os.path.exists(top + '/commondir'), 'commondir')
    if worktree:
        check(not os.path.exists(os.path.join(box.work, worktree, '.envrc')), '.envrc')
    if how == 'submodule':
        check('modules' in read(box.work + '/deps/sub/.git'), 'where its git is')
    found = {r['path'][len(box.work) + 1:] for r in box.audit('fs.protected')}
    check({git_dir + '/config', git_dir + '/commondir'} <= found, 'found: %r' % found)
    equal(git_dir + '/hooks' in found, bare, 'hooks are found where they could not be mounted: %r' % found)
    check('unwatched' not in box.audit('sandbox.start')[0], 'all was looked through')


@cases([('names', 3000, 0), ('directories', 0, 200)])
def more_than_is_looked_through(t, files, dirs):
    """The search is bounded, near the top first, and the record says so."""
    box = Box(t)
    git(box, 'init', '-q', 'lib')
    os.mkdir(box.work + '/many')
    for i in range(files):
        os.close(os.open('%s/many/%d' % (box.work, i), os.O_CREAT | os.O_WRONLY))
    for i in range(dirs):
        os.mkdir('%s/many/%d' % (box.work, i))
    box.sh('git -C lib config core.fsmonitor evil').ok()
    check('evil' not in read(box.work + '/lib/.git/config'), 'near the top')
    check('unwatched' in box.audit('sandbox.start')[0], 'record: %r' % box.audit('sandbox.start'))


@test
def a_nested_one_that_is_broken(t):
    """A call could have made it: the next start is not refused."""
    box = Box(t)
    git(box, 'init', '-q', 'lib')
    with open(box.work + '/lib/.git/config', 'a') as f:
        f.write('; ' + 'x' * (1 << 20) + '\n')
    os.makedirs(box.work + '/odd/.git/config')
    os.symlink('/nowhere', box.work + '/odd/.git/hooks')
    os.symlink('lib', box.work + '/link')
    box.sh('true').ok()
    check('unwatched' in box.audit('sandbox.start')[0], 'record: %r' % box.audit('sandbox.start'))


@cases([('broken', lambda box: (git(box, 'init', '-q', 'a'), open(box.work + '/a/.git/config', 'a').write('; ' + 'x' * (1 << 20)))),
        ('looks-like-git', lambda box: [open(box.work + '/b/' + n, 'w').close() for n in ('HEAD', 'objects', 'refs')])])
def nothing_hides_another(t, make):
    """What an earlier call can leave does not keep the repositories beside and below it from being protected."""
    box = Box(t)
    os.makedirs(box.work + '/b/c')
    git(box, 'init', '-q', 'b/c/lib')
    git(box, 'init', '-q', 'z')
    make(box)
    for place in ('b/c/lib', 'z'):
        box.sh('git -C %s config core.fsmonitor ./evil; mkdir -p %s/.git/hooks; echo evil > %s/.git/hooks/pre-commit' % (
            place, place, place))
        check('evil' not in read('%s/%s/.git/config' % (box.work, place)), 'configuration of %s' % place)
        check(not os.path.exists('%s/%s/.git/hooks/pre-commit' % (box.work, place)), 'a hook in %s' % place)
