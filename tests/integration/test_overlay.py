# SPDX-License-Identifier: Apache-2.0
"""Overlaid directories: what a call writes stays off the host until it is committed. The host's files are the oracle."""
import errno
import json
import os
import re
import shutil
import subprocess

from harness.api import Api
from harness.fault import chain_problem, program
from harness.overlay import difference, snapshot
from harness.registry import cases, check, equal, test, until
from harness.work import Work, refused


@test
def host_is_untouched_then_committed(t):
    box = Work(t)
    before = snapshot(box.work)
    result = box.sh('echo new > n; echo more >> a; rm b; rm -r d; mkdir d; echo z > d/z; chmod 600 keep; '
                    'cat a; ls; ls d').ok()
    equal(result.out.split(), ['one', 'more', 'a', 'd', 'keep', 'n', 'z'], 'what the call sees')
    equal(difference(snapshot(box.work), before), '', 'the host after the run')
    layer = box.layers()[0]
    equal(result.err, 'nsbox: 7 files changed: nsbox diff|commit|discard %s\n' % layer, 'stderr')
    equal(box.diff(layer), ['M  a', 'D  b', 'D  d/sub/', 'D  d/x', 'A  d/z', 'm  keep  (0644 -> 0600)', 'A  n'], 'diff')
    result = box.nsbox('commit', layer).ok()
    equal(result.err, 'nsbox: 7 files committed\n', 'stderr of commit')
    equal(box.get('a'), 'one\nmore\n', 'a')
    equal(sorted(os.listdir(box.work)), ['a', 'd', 'keep', 'n'], 'the workspace')
    equal(os.listdir(box.work + '/d'), ['z'], 'the directory that was made anew')
    equal(os.stat(box.work + '/keep').st_mode & 0o777, 0o600, 'mode')
    equal(box.layers(), [], 'layers')
    records = box.audit('fs.commit')
    equal((len(records), records[0]['files']), (1, 7), 'records')
    equal(chain_problem(box.logs()[-1]), None, 'the audit log')


@test
def nothing_written_leaves_nothing(t):
    box = Work(t)
    result = box.sh('cat a; touch a; chmod 644 a').ok()
    equal((result.err, box.layers()), ('', []), 'after a run that changed nothing')
    result = box.run('/bin/sh', '-c', 'echo x > n', flags=['--rm']).ok()
    equal((result.err, box.layers()), ('', []), 'after --rm')
    check(not os.path.exists(box.work + '/n'), 'it reached the host')


@test
def discard(t):
    box = Work(t)
    before = snapshot(box.work)
    layer = box.write('echo x > a; echo n > n; rm -r d; mkdir d; echo in > d/in; rm b')
    box.nsbox('discard', layer, 'b').ok()
    box.nsbox('discard', layer, box.work + '/d/sub').ok()
    equal(sorted(box.changes(layer)), ['a', 'd/in', 'd/x', 'n'], 'what is left')
    box.nsbox('discard', layer, 'a').ok()
    box.nsbox('commit', layer, 'd').ok()
    equal(sorted(os.listdir(box.work + '/d')), ['in', 'sub'], 'd after the commit of a part')
    equal(sorted(box.changes(layer)), ['n'], 'what is left')
    refused(box.nsbox('discard', layer, 'keep'), 'changed nothing at or below', 'keep')
    box.nsbox('discard', layer).ok()
    equal(box.layers(), [], 'layers')
    after = snapshot(box.work)
    for path in (b'a', b'b', b'keep', b'd/sub/y'):
        equal(after[path], before[path], path)
    check(b'n' not in after, 'what was discarded is on the host')
    equal([r['files'] for r in box.audit('fs.discard')], [1, 1, 1, 1], 'records')


@test
def conflicts(t):
    """What the host changed meanwhile is reported, and nothing of it is overwritten."""
    box = Work(t)
    for name in ('c', 'e', 'f', 'g', 'h', 'type'):
        box.put(name, name)
    layer = box.write('for i in a b c e type; do echo inside > $i; done; rm f keep; rm -r d; echo g > new; chmod 600 h; '
                      'rm type; mkdir type')
    box.put('a', 'host\n')                              # written
    os.replace(box.work + '/g', box.work + '/b')        # replaced by an older file
    os.chmod(box.work + '/c', 0o600)                    # mode alone
    os.utime(box.work + '/e', (0, 0))                   # times set back
    box.put('f', 'host\n')                              # deleted inside
    box.put('d/sub/later', 'host\n')                    # came into a directory that was deleted inside
    box.put('new', 'host\n')                            # new on both sides
    box.put('type', 'host\n')
    os.chmod(box.work + '/h', 0o640)
    before = snapshot(box.work)
    found = box.changes(layer)
    equal(sorted(p for p in found if found[p]['conflict']), ['a', 'b', 'c', 'd', 'e', 'f', 'h', 'new', 'type'], 'conflicts')
    for path in ('a', 'b', 'c', 'd', 'e', 'f', 'h', 'new', 'type'):
        refused(box.nsbox('commit', layer, path), path, 'changed on the host')
    refused(box.nsbox('commit', layer), 'nothing was committed', 'and 4 more')
    equal(difference(snapshot(box.work), before), '', 'the host')
    box.nsbox('commit', layer, 'keep').ok()             # deleted, and nobody touched it
    check(not os.path.exists(box.work + '/keep'), 'keep is still there')


EXECUTED = [
    ('git_hook', '.git/hooks/post-checkout', 'git'), ('git_config', '.git/config', 'git'),
    ('git_file', 'vendor/x/.git', 'git'), ('git_module', '.git/modules/m/config', 'git'), ('ci', '.github/workflows/a.yml', 'ci'),
    ('ci_case', '.GitHub/Workflows/a.yml', 'ci'), ('gitlab', '.gitlab-ci.yml', 'ci'), ('make', 'src/Makefile', 'build'),
    ('npm', 'package.json', 'build'), ('python', 'setup.py', 'build'), ('rust', 'build.rs', 'build'),
    ('vscode', '.vscode/tasks.json', 'tool'), ('claude', 'sub/.claude/settings.json', 'tool'), ('agents', 'AGENTS.md', 'tool'),
    ('envrc', '.envrc', 'tool'), ('bashrc', '.bashrc', 'shell'), ('husky', '.husky/pre-commit', 'tool'),
]


@cases(EXECUTED)
def executed_by_host(t, path, flag):
    box = Work(t)
    layer = box.write('mkdir -p "$(dirname "$1")"; echo evil > "$1"; echo fine > fine.c', path)
    found = box.changes(layer)
    check(flag in found[path]['flags'], 'flags: %r' % found[path])
    equal(found['fine.c']['flags'], [], 'flags of an ordinary file')
    refused(box.nsbox('commit', layer), 'nothing was committed', path, '--accept-executable')
    check(not os.path.exists(box.work + '/' + path) and not os.path.exists(box.work + '/fine.c'), 'it is on the host')
    box.nsbox('commit', layer, 'fine.c').ok()
    check(not os.path.exists(box.work + '/' + path), 'it is on the host')
    box.nsbox('commit', '--accept-executable', layer, path).ok()
    equal(box.get(path), 'evil\n', 'committed with a yes')


@test
def executed_by_kind(t):
    box = Work(t)
    layer = box.write('echo x > run; chmod 755 run; ln -s /etc/passwd abs; '
                      'ln -s ../../out up; ln -s d/../../b through; ln -s b fine; ln -s ../b d/fine; mkfifo pipe; '
                      'mkdir -p bare/objects; echo r > bare/HEAD; echo c > bare/config; ln -s $PWD/b inside')
    found = box.changes(layer)
    equal({p: c['flags'] for p, c in found.items() if c['flags']},
          {'run': ['program'], 'abs': ['link'], 'up': ['link'], 'through': ['link'],
           'pipe': ['special'], 'bare/config': ['git'], 'bare/HEAD': ['git']}, 'flags')
    refused(box.nsbox('commit', '--accept-executable', layer), 'pipe', 'discard it')
    box.nsbox('discard', layer, 'pipe').ok()
    box.nsbox('commit', '--accept-executable', layer).ok()
    check(os.access(box.work + '/run', os.X_OK), 'run was not committed')


@test
def policy_file(t):
    """A call that writes the policy of the next run."""
    box = Work(t)
    box.put('box.ini', '[sandbox]\nversion = 1\n')
    result = box.run('/bin/sh', '-c', 'echo "[network]" >> box.ini; echo x > n', flags=['-f', 'box.ini']).ok()
    check('2 files changed' in result.err, 'stderr: %r' % result)
    layer = box.layers()[0]
    equal(box.changes(layer)['box.ini']['flags'], ['policy'], 'flags')
    refused(box.nsbox('commit', layer), 'box.ini')
    box.nsbox('discard', layer).ok()
    box.run('/bin/rm', 'box.ini', flags=['-f', 'box.ini']).ok()
    refused(box.nsbox('commit', box.layers()[0]), 'box.ini')


XATTR = '/usr/bin/python3 -c "import os; os.setxattr(\'%s\', \'user.x\', b\'y\')"'
TAMPER = [
    ('content', 'touch -r a ../t; printf X | dd of=a bs=1 conv=notrunc 2>/dev/null; touch -r ../t a'), ('mode', 'chmod 640 a'),
    ('time', 'touch -d 2020-01-01 a'), ('more', 'echo x > more'), ('less', 'rm n'), ('link', 'ln -sfn b l'),
    ('attribute', XATTR % 'a'), ('attribute_of_a_directory', XATTR % 'made'),
    ('mode_of_a_directory', 'chmod 750 made'), ('name', 'mv n m'),
    ('unreadable', 'touch -r closed ../t; chmod 600 closed; echo x > closed; chmod 0 closed; touch -r ../t closed'),
]


@cases(TAMPER)
def commit_of_what_was_reviewed(t, script):
    """Somebody writes into the layer after the review: over a descriptor that a call gave away, say."""
    box = Work(t)
    layer = box.write('echo uno > a; echo in > n; ln -s a l; mkdir made; echo x > made/x; rm keep; echo s > closed; '
                      'chmod 0 closed; ln n second; chmod 600 d/x')
    upper = '%s/nsbox/layers/%s/0/upper' % (box.state, layer)
    before = snapshot(box.work)
    digest = box.nsbox('diff', '--digest', layer).ok().out.strip()
    check(re.fullmatch('[0-9a-f]{64}', digest), 'digest: %r' % digest)
    equal(box.nsbox('diff', '--digest', layer).ok().out.strip(), digest, 'asked again')
    subprocess.run(['sh', '-c', script], cwd=upper, check=True)
    check(box.nsbox('diff', '--digest', layer).ok().out.strip() != digest, 'the digest of something else is the same')
    refused(box.nsbox('commit', '--digest', digest, layer), 'nothing was committed', '--digest')
    equal(difference(snapshot(box.work), before), '', 'the host')
    # The twin: as it was, it is committed; and what was refused, without a digest.
    part = box.nsbox('diff', '--digest', layer, 'd').ok().out.strip()
    check(part != digest, 'the digest of a part')
    box.nsbox('commit', '--digest', part, layer, 'd').ok()
    box.nsbox('commit', layer).ok()
    equal(os.stat(box.work + '/d/x').st_mode & 0o777, 0o600, 'committed')


@test
def commit_by_its_digest(t):
    box = Work(t)
    layer = box.write('echo uno > a; echo in > n; ln n second; ln -s a l; mkdir made; echo x > made/x; rm -r d; '
                      'mv keep kept; echo s > closed; chmod 0 closed; mkdir -p shut/in; echo x > shut/in/x; chmod 0 shut; mkfifo p; rm p')
    found = json.loads(box.nsbox('diff', '--json', layer).ok().out)
    check('digest' not in found, 'a digest that nobody asked for')
    digest = box.nsbox('diff', '--digest', layer).ok().out.strip()
    refused(box.nsbox('commit', '--digest', digest[:-1], layer), 'nothing was committed')
    refused(box.nsbox('commit', '--digest', '', layer), 'nothing was committed')
    box.nsbox('commit', '--digest', digest, layer).ok()
    equal(box.get('a') + box.get('second') + box.get('kept'), 'uno\nin\nkept\n', 'committed')
    equal(os.stat(box.work + '/closed').st_mode & 0o777, 0, 'mode of the closed file')
    equal(box.layers(), [], 'layers')


@test
def commit_follows_no_link(t):
    """Between run and commit the host's directory becomes a link to somewhere else."""
    box = Work(t)
    outside = t.path('outside')
    os.makedirs(outside + '/sub')
    layer = box.write('echo evil > d/x; echo evil > d/new; rm -r d/sub')
    shutil.rmtree(box.work + '/d')
    os.symlink(outside, box.work + '/d')
    result = box.nsbox('commit', layer)
    check(result.code == 125, 'committed: %r' % result)
    equal(sorted(os.listdir(outside)), ['sub'], 'outside')
    # And the whole root replaced.
    os.rename(box.work, box.work + '.old')
    os.symlink(outside, box.work)
    result = box.nsbox('commit', layer, cwd=t.tmp)
    check(result.code == 125, 'committed: %r' % result)
    equal(sorted(os.listdir(outside)), ['sub'], 'outside')


@test
def busy_while_it_runs(t):
    box = Work(t)
    box.nsbox('run', *box.flags, '--name', 'stays', '--', '/bin/sh', '-c', 'echo x > n').ok()
    layer = box.layers()[0]
    equal(list(box.changes(layer)), ['n'], 'diff while it runs')
    for command in ('commit', 'discard'):
        refused(box.nsbox(command, layer), 'still runs', 'nsbox rm')
    result = box.nsbox('exec', 'stays', '--', '/bin/sh', '-c', 'cat n; echo y > m').ok()
    equal(result.out, 'x\n', 'the second call sees what the first wrote')
    result = box.nsbox('rm', 'stays').ok()
    equal(result.err, 'nsbox: 2 files changed: nsbox diff|commit|discard %s\n' % layer, 'stderr of rm')
    box.nsbox('commit', 'stays').ok()
    equal((box.get('n'), box.get('m')), ('x\n', 'y\n'), 'committed by name')


@test
def detached_and_dropped(t):
    box = Work(t)
    name = box.nsbox('run', *box.flags, '-d', '--rm', '--', '/bin/sh', '-c', 'echo x > n').ok().out.strip()
    until(lambda: name not in box.nsbox('ls').out and not box.layers(), 30, 'after -d --rm')
    check(not os.path.exists(box.work + '/n'), 'it reached the host')


@test
def killed_run_keeps_its_layer(t):
    box = Work(t)
    process = box.start('run', *box.flags, '--', '/bin/sh', '-c', 'echo x > n; echo ready; sleep 1000')
    equal(process.stdout.readline(), b'ready\n', 'output')
    process.kill()
    process.communicate()
    layer = box.layers()[0]
    until(lambda: box.nsbox('commit', layer).code == 0, 30, 'it cannot be committed')
    equal(box.get('n'), 'x\n', 'committed')


@test
def several_and_nested(t):
    box = Work(t)
    os.makedirs(box.dir + '/second')
    box.put('d/plain/host')
    result = box.sh('echo 1 > d/one; echo 2 > "$1/two"; echo 3 > d/plain/three; echo 4 > four', box.dir + '/second',
                    flags=['--overlay', box.dir + '/second', '--overlay', 'd', '--write', 'd/plain'])
    check('3 files changed' in result.err, 'stderr: %r' % result)
    equal(box.get('d/plain/three'), '3\n', 'what is below a writable directory')
    layer = box.layers()[0]
    equal(sorted(c['path'] for c in json.loads(box.nsbox('diff', '--json', layer).out)['changes']),
          sorted([box.work + '/d/one', box.dir + '/second/two', box.work + '/four']), 'paths')
    box.nsbox('commit', layer).ok()
    equal(box.get('d/one') + box.get('four'), '1\n4\n', 'committed')
    with open(box.dir + '/second/two') as f:
        equal(f.read(), '2\n', 'the other directory')


@test
def no_trace_inside(t):
    """A call neither sees nor reaches its layer, and cannot forge overlayfs' marks."""
    box = Work(t)
    result = box.python('''
found = {'mounts': [l for l in open('/proc/self/mountinfo') if sys.argv[1] in l.split()[4]]}
found['state'] = os.path.exists(sys.argv[2])
def mark(name):
    os.setxattr('d', name, b'y')
for name in ('user.overlay.opaque', 'user.overlay.redirect', 'user.overlay.metacopy', 'trusted.overlay.opaque'):
    found[name] = attempt(mark, name)
found['whiteout'] = attempt(lambda: os.mknod('w', 0o020000, 0))
open('d/n', 'w').close()
out(found)
''', box.work, box.state).ok()
    found = result.json()
    check(box.state not in ''.join(found['mounts']) and found['mounts'], 'mounts: %r' % found['mounts'])
    check(not found['state'], 'the state directory is seen')
    check(found['whiteout'].get('errno') in (1, 13), 'making a whiteout: %r' % found['whiteout'])
    layer = box.layers()[0]
    equal(box.diff(layer), ['A  d/n'], 'diff')
    box.nsbox('commit', layer).ok()
    equal(sorted(os.listdir(box.work + '/d')), ['n', 'sub', 'x'], 'd: nothing was hidden by a forged mark')
    equal([n for n in os.listxattr(box.work + '/d') if 'overlay' in n], [], 'marks on the host')


@test
def state_inside_the_overlay(t):
    """The directory that holds nsbox's own state: the call sees nothing of it, nor does the diff."""
    box = Work(t)
    box.add(XDG_STATE_HOME=box.work + '/state')
    os.mkdir(box.work + '/state', 0o700)
    result = box.sh('ls -A state/nsbox; rm -rf state; echo x > n')
    equal(result.out, '', 'the state directory inside')
    layer = os.listdir(box.work + '/state/nsbox/layers')[0]
    equal(box.diff(layer), ['A  n'], 'diff')
    box.nsbox('commit', layer).ok()
    equal(box.get('n'), 'x\n', 'committed')


@test
def deep_and_odd_layers(t):
    """Depths, modes and kinds that stop a tool which walks a tree as its owner made it."""
    box = Work(t)
    layer = box.write('''/usr/bin/python3 -c "
import os
for i in range(150):
    os.mkdir('deep'); os.chdir('deep')
open('end', 'w').close()
"
mkdir closed; echo x > closed/in; chmod 000 closed/in closed; mkdir ro; echo y > ro/in; chmod 555 ro''')
    box.nsbox('commit', layer).ok()
    check(os.path.exists(box.work + '/deep' * 150 + '/end'), 'the deep file')
    equal([os.stat(box.work + '/' + n).st_mode & 0o777 for n in ('closed', 'ro')], [0, 0o555], 'modes')
    os.chmod(box.work + '/closed', 0o755)
    equal(os.stat(box.work + '/closed/in').st_mode & 0o777, 0, 'mode of the closed file')
    layer = box.write('''/usr/bin/python3 -c "
import os
for i in range(3000):
    os.mkdir('e'); os.chdir('e')
"''')
    refused(box.nsbox('diff', layer), '200 directories')
    check('kept, but cannot be listed' in box.sh('i=0; while [ $i -lt 300 ]; do mkdir e; cd e; i=$((i+1)); done').err, 'said')
    box.nsbox('discard', [x for x in box.layers() if x != layer][0]).ok()
    # It cannot be listed, but it can be given up.
    box.nsbox('discard', layer).ok()
    equal(box.layers(), [], 'layers')


@test
def snapshot_rollback_fork(t):
    box = Work(t)
    layer = box.write('echo 1 > n; rm -r d; mkdir d; echo 1 > d/n; ln n n2; mkfifo pipe')
    box.nsbox('snapshot', layer, 'early').ok()
    refused(box.nsbox('snapshot', layer, 'early'), 'early already')
    refused(box.nsbox('snapshot', layer, 'a/b'), 'no name')
    refused(box.nsbox('snapshot', 'nothing', 'x'), 'nothing')
    equal(box.diff('early'), box.diff(layer), 'the copy')
    # Another sandbox goes on from there, and the snapshot stays as it is.
    result = box.sh('cat n d/n; ls d; echo 2 >> n; rm pipe; echo late > b', flags=['--fork', 'early']).ok()
    equal(result.out.split(), ['1', '1', 'n'], 'what a forked sandbox sees')
    fork = [x for x in box.layers() if x not in (layer,) and 'early' not in box.nsbox('diff').out.split(x)[1].split('\n')[0]][0]
    equal(sorted(box.changes(fork)), ['b', 'd/n', 'd/sub', 'd/x', 'n', 'n2'], 'changes of the fork')
    equal(sorted(box.changes('early')), ['d/n', 'd/sub', 'd/x', 'n', 'n2', 'pipe'], 'changes of the snapshot')
    # Back, and forth.
    box.nsbox('snapshot', fork, 'late').ok()
    box.nsbox('rollback', fork, 'early').ok()
    equal(box.diff(fork), box.diff('early'), 'after the rollback')
    box.nsbox('rollback', fork, 'late').ok()
    box.nsbox('commit', fork).ok()
    equal((box.get('n'), box.get('n2'), box.get('b'), os.listdir(box.work + '/d')), ('1\n2\n', '1\n2\n', 'late\n', ['n']), 'host')
    equal(os.stat(box.work + '/n').st_ino, os.stat(box.work + '/n2').st_ino, 'one file of two names')
    # The host has moved on: what the snapshot was made on is not there any more.
    refused(box.nsbox('commit', 'early'), 'changed on the host')
    refused(box.nsbox('rollback', fork, 'late'), fork)
    refused(box.sh('true', flags=['--fork', 'nothing']), 'nothing')
    refused(box.nsbox('run', '--net', 'none', '--fork', 'early', '--', 'true'), '--overlay')
    refused(box.nsbox('run', '--net', 'none', '--overlay', 'd', '--fork', 'early', '--', 'true'), 'other directories')
    equal([r.get('rollback') for r in box.audit('fs.discard')], ['early', 'late'], 'records')


@test
def snapshot_while_it_runs(t):
    box = Work(t)
    box.nsbox('run', *box.flags, '--name', 'stays', '--', '/bin/sh', '-c', 'echo 1 > n').ok()
    box.nsbox('snapshot', 'stays', 'one').ok()
    box.nsbox('exec', 'stays', '--', '/bin/sh', '-c', 'echo 2 > n; echo 3 > m').ok()
    refused(box.nsbox('rollback', 'stays', 'one'), 'still runs')
    box.nsbox('rm', 'stays').ok()
    box.nsbox('rollback', 'stays', 'one').ok()
    box.nsbox('commit', 'stays').ok()
    equal((box.get('n'), os.path.exists(box.work + '/m')), ('1\n', False), 'the host')


@test
def git_in_an_overlay(t):
    """A commit of git's, made inside, is whole on the host afterwards, and needs no yes."""
    if not shutil.which('git'):
        t.skip('no git on this machine')
    box = Work(t)
    git = ['git', '-c', 'user.name=n', '-c', 'user.email=e@example.org', '-c', 'init.defaultBranch=main']
    for words in (['init', '-q'], ['add', '.'], ['commit', '-q', '-m', 'one']):
        subprocess.run([*git, *words], cwd=box.work, env=box.env, check=True)
    layer = box.write('echo more >> a; git mv b c; git -c user.name=n -c user.email=e@example.org commit -q -a -m two; '
                      'git checkout -q -b topic; git -c gc.autoDetach=false gc -q')
    box.nsbox('commit', layer).ok()

    def out(*words):
        return subprocess.run([*git, *words], cwd=box.work, env=box.env, check=True, stdout=subprocess.PIPE).stdout.decode()
    equal(out('log', '--format=%s', 'topic').split(), ['two', 'one'], 'log')
    equal(out('status', '--porcelain'), '', 'status')
    out('fsck', '--strict')


@test
def through_the_api(t):
    with Api(t) as api:
        sb = api.sb
        with open('old', 'w') as f:
            f.write('one\n')
        policy = api.policy().set('filesystem', 'overlay', '.')
        with api.runtime.create(policy) as box:
            check(box.has_overlay, 'has_overlay')
            equal(box.run(['sh', '-c', 'echo two >> old; echo x > new; echo y > Makefile']).exit.status, 0, 'status')
            id = box.id
            equal([(layer['id'], layer['in_use']) for layer in sb.list_changes()], [(id, True)], 'layers')
            try:
                sb.commit(id)
                raise AssertionError('committed while it runs')
            except sb.SandboxError as e:
                equal((e.errno, e.stage), (errno.EBUSY, sb.Stage.OVERLAY), 'error')
        equal(sb.count_changes(id), 3, 'count')
        found = sb.changes(id, ['old'], lines=True)['changes'][0]
        equal((found['change'], found['lines_added'], found['lines_removed']), ('modified', 1, 0), 'lines')
        with open('patch', 'wb') as f:
            sb.write_patch(id, f, ['new'])
        equal(open('patch').read().splitlines()[-1], '+x', 'patch')
        try:
            sb.commit(id)
            raise AssertionError('committed what the host would execute')
        except sb.SandboxError as e:
            equal((e.errno, e.stage, e.object), (errno.EPERM, sb.Stage.OVERLAY, 'Makefile'), 'error')
        equal(sb.commit(id, ['old', 'new']), 2, 'committed')
        equal(sb.discard(id), 1, 'discarded')
        equal((open('old').read(), os.path.exists('Makefile'), sb.list_changes()), ('one\ntwo\n', False, []), 'the end')
        with api.runtime.create(api.policy()) as box:
            check(not box.has_overlay, 'has_overlay')


@test
def cost_follows_the_changes(t):
    """The number of files that are there and not changed does not matter: counted in system calls, not in time."""
    counts = []
    for name, files in (('small', 20), ('big', 4000)):
        box = Work(t, name)
        for n in range(files):
            box.put('many/%d/%d' % (n % 40, n))
        layer = box.write('for i in 1 2 3; do echo x > many/$i/$i; done; rm a')
        result = subprocess.run([program(t, 'kill_at'), '0', box.nsbox_path, 'commit', layer], env=box.env, cwd=box.work,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        equal(result.returncode, 0, 'commit')
        counts.append(int(re.findall(rb'\d+', result.stderr)[-1]))
    equal(counts[0], counts[1], 'changing system calls of the commit')


@test
def copy_of_a_running_sandbox(t):
    """Its audit log has one writer: a copy is committed or discarded when the sandbox has ended."""
    box = Work(t)
    box.nsbox('create', '--name', 'live', '--net', 'none', '--overlay', '.').ok()
    try:
        box.nsbox('exec', 'live', '--', 'touch', 'fresh').ok()
        box.nsbox('snapshot', 'live', 'copy').ok()
        for command in ('commit', 'discard'):
            refused(box.nsbox(command, 'copy'), 'still writes its audit log')
        check(not os.path.exists(box.work + '/fresh'), 'nothing was committed')
        box.nsbox('exec', 'live', '--', 'true').ok()
    finally:
        box.nsbox('rm', '-f', 'live').ok()
    box.nsbox('commit', 'copy').ok()
    check(os.path.exists(box.work + '/fresh'), 'committed')
    box.nsbox('audit', 'verify', '--file', box.logs()[-1]).ok()
