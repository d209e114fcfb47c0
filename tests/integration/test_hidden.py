# SPDX-License-Identifier: Apache-2.0
"""Patterns of what is to be hidden, and credentials below a directory that is granted."""
import os

from harness.box import Box
from harness.registry import cases, check, equal, test

PLACES = ['.aws/credentials', '.config/gh/hosts.yml', '.netrc', '.npmrc', '.kube/config', '.docker/config.json',
          '.git-credentials', '.gnupg/private', '.cargo/credentials.toml', '.pypirc', '.config/gcloud/token']
LOOK = '''
found = {}
for name in sys.argv[1:]:
    try: found[name] = open(name).read()
    except OSError as e: found[name] = e.errno
out(found)'''


def fill(t, paths, top='box/home/'):
    for path in paths:
        t.write(top + path, 'CANARY\n')


def seen(box, paths, flags, **kwargs):
    """Content or errno of each, inside; what is hidden is empty, and closed to all but some."""
    found = box.python(LOOK, *paths, flags=flags, **kwargs).ok().json()
    return {path: 'hidden' if what in ('', 13) else what for path, what in found.items()}


@test
def patterns(t):
    hidden = ['.env', '.env.local', 'a/.env', 'a/b/c/.envrc', 'conf/key.pem', 'a/.env.d/x']
    others = ['env', 'a/env.txt', 'conf/key.pub', 'a/key.pem', 'a/b/c/x.env']
    box = Box(t)
    fill(t, hidden + others, 'box/work/')
    flags = ['--hide', '**/.env*', '--hide', 'conf/*.pem']
    control = seen(box, hidden + others, [])
    equal(set(control.values()), {'CANARY\n'}, 'the control: all of it is seen without')
    found = seen(box, hidden + others, flags)
    equal({p for p, text in found.items() if text == 'CANARY\n'}, set(others), 'seen')
    # And neither written nor moved out of the way.
    box.sh('for p; do echo evil > $p; rm -f $p; mv $p $p.x; done; mv a/b a/z; cat a/z/c/.envrc; true', *hidden, flags=flags)
    for path in hidden[:-1]:
        with open(os.path.join(box.work, path if os.path.exists(os.path.join(box.work, path)) else
                               path.replace('a/b', 'a/z'))) as f:
            equal(f.read(), 'CANARY\n', path)


@test
def patterns_in_a_policy_file(t):
    box = Box(t)
    fill(t, ['sub/.env', 'sub/ok'], 'box/work/')
    policy = t.write('box/p.ini', '[sandbox]\nversion = 1\n[filesystem]\nhide = **/.env\n')
    equal(seen(box, ['sub/.env', 'sub/ok'], ['-f', policy]), {'sub/.env': 'hidden', 'sub/ok': 'CANARY\n'}, 'seen')
    # A dry run names what was found, and is the same policy.
    text = box.nsbox('run', '-f', policy, '--dry-run').ok().out
    check('hide = %s/sub/.env ' % box.work in text, text)
    equal(seen(box, ['sub/.env'], ['-f', t.write('box/q.ini', text)]), {'sub/.env': 'hidden'}, 'of the dump')


@test
def nothing_matches(t):
    Box(t).sh('true', flags=['--hide', '**/.env*', '--hide', '*.pem']).ok()


@test
def a_name_with_such_characters(t):
    """What is there by this very name is meant itself."""
    box = Box(t)
    fill(t, ['a*b', 'axb'], 'box/work/')
    equal(seen(box, ['a*b', 'axb'], ['--hide', 'a*b']), {'a*b': 'hidden', 'axb': 'CANARY\n'}, 'seen')


@test
def what_a_link_leads_to(t):
    box = Box(t)
    fill(t, ['secrets/env', 'other'], 'box/work/')
    os.symlink('secrets/env', box.work + '/.env')
    os.symlink('/nowhere', box.work + '/.env.gone')
    os.symlink('.', box.work + '/loop')
    equal(seen(box, ['.env', 'secrets/env', 'other'], ['--hide', '**/.env*']),
          {'.env': 'hidden', 'secrets/env': 'hidden', 'other': 'CANARY\n'}, 'seen')


@test
def links_that_hide_too_much(t):
    """Planted by an earlier command: to the workspace itself, to the system, to settings outside."""
    box = Box(t)
    fill(t, ['kept', 'sub/kept'], 'box/work/')
    settings = t.write('box/settings', 'CANARY\n')
    for target in ('.', '/usr', 'sub', settings):
        os.symlink(target, box.work + '/.env')
        for flags in (['--hide', '**/.env*'], ['-p', 'base']):
            flags += ['--read', settings]
            result = box.sh('cat kept sub/kept ' + settings, flags=flags)
            equal((result.code, result.out), (0, 'CANARY\n' * 3), '%s, %r: %r' % (target, flags, result))
            check('.env is a link to ' in result.err, '%r' % result)
        refused = box.sh('true', flags=['--hide', '.env'])
        check(refused.code == 125 and 'name that itself' in refused.err, '%r' % refused)
        os.unlink(box.work + '/.env')
    # The twin: a file of the workspace is hidden through it.
    os.symlink('sub/kept', box.work + '/.env')
    equal(seen(box, ['.env', 'kept', 'sub/kept'], ['-p', 'base']),
          {'.env': 'hidden', 'kept': 'CANARY\n', 'sub/kept': 'hidden'}, 'through a link')


@cases([('matches', 513, 0, '**/.env*', 'paths match'), ('depth', 0, 130, '**/.env*', 'directories in one another'),
        # Each way through the tree counts, so that few directories suffice.
        ('names', 0, 40, '**/d/**/d/**/d/**/d/**/d/**/.env', 'names to look at')])
def bounds(t, files, depth, pattern, what):
    box = Box(t)
    os.makedirs(box.work + '/d' * depth, exist_ok=True)
    for i in range(files):
        os.close(os.open(box.work + '/.env%d' % i, os.O_CREAT | os.O_WRONLY))
    result = box.sh('true', flags=['--hide', pattern])
    equal(result.code, 125, 'status (%r)' % result)
    check(what in result.err and 'hide' in result.err, '%r' % result)


@cases([('writable', []), ('overlaid', ['--overlay', '.'])])
def below_the_top_under_a_profile(t, flags):
    hidden = ['.env', '.env.staging', 'a/.env', 'a/b/c/.env', 'a/b/.env.prod.local', 'a/.env.example.bak']
    others = ['a/.env.example', '.env.sample', 'a/.env.template', 'a/b/.env.dist', 'a/env', 'a/x.env', 'node_modules/p/.env']
    box = Box(t).add('--net', 'none', *flags)
    fill(t, hidden + others, 'box/work/')
    control = seen(box, hidden + others, [])
    equal(set(control.values()), {'CANARY\n'}, 'the control: all of it is seen without')
    found = seen(box, hidden + others, ['-p', 'base'])
    equal({p for p, text in found.items() if text == 'CANARY\n'}, set(others), 'seen')
    equal({found[p] for p in hidden}, {2 if flags else 'hidden'}, 'how')
    equal(box.sh('true', flags=['-p', 'base']).ok().err, '', 'nothing is left to say')


@cases([('names', 1100, 1), ('depth', 0, 20), ('directories', 0, 1)])
def bounds_of_a_profile(t, names, depth):
    """What lies near is hidden all the same, and that there may be more is said; asked for by the user, all of it is."""
    box = Box(t).add('--net', 'none')
    far = '/'.join(['d'] * depth) + '/far/.env.x'
    fill(t, ['large/.env', 'z/.env'] + (['d/far/.env.x'] if depth == 1 else [far]), 'box/work/')
    for i in range(names):
        os.close(os.open(box.work + '/large/%d' % i, os.O_CREAT | os.O_WRONLY))
    for i in range(0 if names or depth > 1 else 300):
        os.mkdir(box.work + '/large/%d' % i)
    result = box.sh('cat large/.env z/.env; true', flags=['-p', 'base'])
    check('CANARY' not in result.out and result.code == 0, 'near: %r' % result)
    check('in part' in result.err and "--hide '**/.env*'" in result.err, 'said: %r' % result)
    if depth > 1:
        equal(seen(box, [far], ['-p', 'base']), {far: 'CANARY\n'}, 'the control: behind the bound')
    result = box.sh('cat large/.env z/.env "$1"; true', far, flags=['-p', 'base', '--hide', '**/.env*'])
    equal((result.code, result.out, 'in part' in result.err), (0, '', False), 'all of it')


@cases([('%s-%o' % (name, mode), flags, mode) for mode in (0, 0o100, 0o400)
        for name, flags in (('profile', ['-p', 'base']), ('pattern', ['--hide', '**/.env']),
                            ('overlay', ['--overlay', '.', '-p', 'base']))])
def closed_by_an_earlier_command(t, flags, mode):
    """What is in such a directory cannot be looked for, and a command, which runs as its owner, could open it again."""
    box = Box(t).add('--net', 'none')
    fill(t, ['a/b/.env', 'a/.env', 'open/.env'], 'box/work/')
    script = 'chmod -R u+rwx a 2>/dev/null; cat a/.env a/b/.env open/.env; true'
    for where in 'a/b', 'a':
        os.chmod(os.path.join(box.work, where), mode)
        result = box.sh(script, flags=flags)
        check('CANARY' not in result.out and result.code == 0, '%s: %r' % (where, result))
        equal('is closed to its owner' in result.err, os.geteuid() != 0, 'said: %r' % result)
        os.chmod(os.path.join(box.work, where), 0o700)
    os.chmod(box.work + '/a', mode)
    equal(box.sh(script, flags=['--overlay', '.']).out, 'CANARY\n' * 3, 'the control')
    os.chmod(box.work + '/a', 0o700)


@test
def closed_places_of_credentials(t):
    box = Box(t).add('--net', 'none')
    fill(t, ['.config/gh/hosts.yml', '.config/tool'])
    os.chmod(box.home + '/.config', 0)
    flags = ['-C', box.home, '--workdir-force']
    check('CANARY' not in box.sh('chmod 700 .config; cat .config/gh/hosts.yml; true', flags=flags).out, 'hidden')
    os.chmod(box.home + '/.config', 0)
    if os.geteuid() != 0:
        refused = box.sh('true', flags=['--write', '~/.config'])
        check(refused.code == 125 and 'is closed to its owner' in refused.err, '%r' % refused)
    os.chmod(box.home + '/.config', 0o700)
    equal(box.sh('cat .config/tool', flags=flags).ok().out, 'CANARY\n', 'the control')


@test
def names_that_no_policy_holds(t):
    """Made by an earlier command below the top: no start is refused for them under a profile, and it is said."""
    box = Box(t).add('--net', 'none')
    fill(t, ['a\nb/.env', 'c/.env'], 'box/work/')
    result = box.sh('cat c/.env; true', flags=['-p', 'base'])
    check(result.code == 0 and 'CANARY' not in result.out and 'in part' in result.err, '%r' % result)


@test
def many_that_a_profile_would_hide(t):
    """Planted by an earlier command: no start is refused for it, and it is said."""
    box = Box(t).add('--net', 'none')
    fill(t, ['%d/.env' % i for i in range(80)], 'box/work/')
    result = box.sh('cat */.env | wc -l', flags=['-p', 'base'])
    check(result.code == 0 and 'in part' in result.err, '%r' % result)


@cases([('end', 'a/**'), ('above', '*/../x'), ('inside', 'a**b')])
def bad_patterns(t, pattern):
    box = Box(t)
    os.mkdir(box.work + '/a')
    equal(box.sh('true', flags=['--hide', pattern]).code, 125, 'status')


@test
def home_as_workdir(t):
    """Forced: everything of it is there but credentials."""
    box = Box(t)
    fill(t, PLACES + ['src/x', '.config/tool'])
    names = PLACES + ['src/x', '.config/tool', '.ssh/id_ed25519']
    refused = box.sh('true', flags=['-C', box.home])
    check(refused.code == 125 and '--workdir-force' in refused.err, 'refused, with the reason: %r' % refused)
    equal(box.sh('cat .ssh/id_ed25519; cat canary', flags=['-C', box.home, '--workdir-force']).out, 'CANARY-HOME\n', 'forced')
    found = seen(box, names, ['-C', box.home, '--workdir-force'])
    equal({p for p, text in found.items() if text == 'CANARY\n'}, {'src/x', '.config/tool'}, 'seen')
    box.sh('for p; do echo evil > $p; rm -rf $p; done; mv .aws a; mv .config c; true', *names,
           flags=['-C', box.home, '--workdir-force'])
    check(os.path.exists(box.home + '/.aws/credentials'), 'still there')


@test
def a_directory_above_credentials(t):
    box = Box(t)
    fill(t, PLACES + ['.config/tool'])
    home = [os.path.join(box.home, p) for p in ('.config/gh/hosts.yml', '.config/tool', '.config/gcloud/token')]
    for flag in ('--read', '--write', '--overlay'):
        found = seen(box, home, [flag, '~/.config'])
        equal({p for p, text in found.items() if text == 'CANARY\n'}, {home[1]}, flag)
    # Only naming it shows it, as a whole or a part of it.
    for named in ('~/.config/gh', '~/.config/gh/hosts.yml'):
        equal(seen(box, home[:1], ['--read', '~/.config', '--read', named]), {home[0]: 'CANARY\n'}, named)
    t.write('box/home/.config/gh/other', 'CANARY\n')
    equal(seen(box, [box.home + '/.config/gh/other'], ['--read', '~/.config', '--read', '~/.config/gh/hosts.yml']),
          {box.home + '/.config/gh/other': 2}, 'beside what was named')


@test
def the_ssh_client_in_the_home_directory(t):
    box = Box(t)
    fill(t, ['.ssh/config', '.ssh/known_hosts'])
    found = seen(box, ['.ssh/config', '.ssh/known_hosts', '.ssh/id_ed25519'],
                 ['-C', box.home, '--workdir-force', '-p', 'ssh-client'])
    equal(found, {'.ssh/config': 'CANARY\n', '.ssh/known_hosts': 'CANARY\n', '.ssh/id_ed25519': 2}, 'seen')


@test
def credentials_that_are_links(t):
    box = Box(t)
    fill(t, ['vault/aws/credentials', 'vault/x'])
    os.symlink('vault/aws', box.home + '/.aws')
    found = seen(box, ['.aws/credentials', 'vault/aws/credentials', 'vault/x'], ['-C', box.home, '--workdir-force'])
    equal({p for p, text in found.items() if text == 'CANARY\n'}, {'vault/x'}, 'seen')


# What a look at a name says, in every way that there is: listed, there, of a size, opened.
FIND = '''
found = {}
for path in sys.argv[1:]:
    top, name = os.path.split(path)
    try: listed = name in os.listdir(top or '.')
    except OSError as e: listed = e.errno
    codes = []
    for look in (os.lstat, os.readlink, lambda p: os.close(os.open(p, os.O_RDONLY)), lambda p: os.listxattr(p)):
        try: look(path); codes.append(0)
        except OSError as e: codes.append(e.errno)
    found[path] = [listed] + codes
out(found)'''
NOTHING = [False, 2, 2, 2, 2]


def overlay(t, *hide):
    box = Box(t)
    fill(t, ['.env', 'a/.env', 'a/b/.env', 'a/b/open', 'dir/secret/x', 'dir/secret/deep/y', 'only/.env'], 'box/work/')
    os.chmod(box.work + '/a', 0o550)
    os.utime(box.work + '/a', (1e9, 1e9))
    flags = [x for path in hide or ('**/.env', 'dir/secret') for x in ('--hide', path)]
    return box.add('--net', 'none', '--overlay', '.', *flags)


HIDDEN = ['.env', 'a/.env', 'a/b/.env', 'dir/secret', 'dir/secret/x', 'only/.env']


@test
def invisible_in_an_overlay(t):
    box = overlay(t)
    found = box.python(FIND, *HIDDEN).ok().json()
    found.pop('dir/secret/x')
    equal(found, {p: NOTHING for p in found}, 'what is found of hidden names')
    # The directories on the way are as on the host, and what is beside is there.
    result = box.python('st = os.stat("a"); out([oct(st.st_mode), st.st_mtime, sorted(os.listdir("a")), os.listdir("a/b"),'
                        ' os.listdir("dir"), os.listdir("only"), open("a/b/open").read()])').ok().json()
    equal(result, ['0o40550', 1e9, ['b'], ['open'], [], [], 'CANARY\n'], 'the rest')
    # The control: without, all are listed; elsewhere than in an overlay a hidden name is listed, and closed.
    box.flags = ['--net', 'none', '--overlay', '.']
    found = box.python(FIND, *HIDDEN).ok().json()
    check(all(f[0] is True and f[1] == 0 for f in found.values()), 'the control: %r' % found)
    box.flags = ['--net', 'none', '--hide', '**/.env']
    check(box.python(FIND, 'a/.env').ok().json()['a/.env'][0] is True, 'a writable directory')


@test
def hidden_names_are_not_committed(t):
    """They can be used inside; the host's stay as they are, and nothing says what is in them."""
    box = overlay(t)
    box.sh('echo mine >.env; mkdir dir/secret; echo mine >dir/secret/x; rmdir only; chmod 750 a; rm -rf a/b; mkdir a/b; echo ok >plain; true')
    layer, = [e['id'] for e in box.nsbox('diff', '--json').ok().json()]
    flags = {c['path'][len(box.work) + 1:]: c['flags'] for c in box.nsbox('diff', '--json', layer).ok().json()['changes']}
    for path in ('.env', 'dir/secret/x', 'only'):
        check('hidden' in flags[path], '%s: %r' % (path, flags))
    check('hidden' not in flags['plain'], 'flags: %r' % flags)
    result = box.nsbox('commit', '--accept-executable', layer)
    check(result.code == 125 and 'hidden from the sandbox' in result.err, '%r' % result)
    # Neither is a copy of it, by its paths.
    box.nsbox('snapshot', layer, 'copy').ok()
    for name in (layer, 'copy'):
        for path in ('.env', 'only', 'dir', 'a'):
            equal(box.nsbox('commit', name, path).code, 125, path)
    box.nsbox('commit', layer, 'plain').ok()
    for path in ('.env', 'a/b/.env', 'dir/secret/x', 'only/.env'):
        with open(os.path.join(box.work, path)) as f:
            equal(f.read(), 'CANARY\n', path)
    check(os.path.exists(box.work + '/plain'), 'the rest was committed')


@test
def overlay_in_what_is_hidden(t):
    box = Box(t)
    fill(t, ['d/sub/x', 'd/beside'], 'box/work/')
    box.add('--net', 'none', '--overlay', 'd/sub')
    refused = box.sh('true', flags=['--hide', 'd'])
    check(refused.code == 125 and 'd/sub lies in ' in refused.err and 'which is hidden (--hide)' in refused.err, '%r' % refused)
    equal(seen(box, ['d/sub/x', 'd/beside'], ['--hide', 'd/beside']), {'d/sub/x': 'CANARY\n', 'd/beside': 'hidden'}, 'beside it')


@test
def hidden_in_a_fork(t):
    """What one sandbox was not shown, one that goes on from its changes is not shown either."""
    box = overlay(t)
    box.sh('echo >plain').ok()
    layer, = [e['id'] for e in box.nsbox('diff', '--json').ok().json()]
    box.flags = ['--net', 'none', '--overlay', '.', '--fork', layer, '--hide', 'a/b/open']
    names = ['.env', 'a/b/.env', 'a/b/open', 'dir/secret']
    equal(box.python(FIND, *names).ok().json(), {p: NOTHING for p in names}, 'what is found')


@test
def hidden_in_the_committed_view(t):
    """The host's directories, without those names; the way to them is as on the host."""
    box = overlay(t)
    os.chmod(box.work, 0o710)
    policy = t.write('box/v.ini', '[sandbox]\nversion = 1\n[grant look]\nargv = /usr/bin/python3 *\nview = committed\n')
    box.add('-f', policy)
    found = box.python(FIND, *HIDDEN).ok().json()
    found.pop('dir/secret/x')
    equal(found, {p: NOTHING for p in found}, 'what is found of hidden names')
    result = box.python('st = os.stat("a"); out([oct(st.st_mode), st.st_mtime, oct(os.stat(".").st_mode), sorted(os.listdir("a")),'
                        ' open("a/b/open").read(), os.stat("a/b/open").st_ino])').ok().json()
    equal(result, ['0o40550', 1e9, '0o40710', ['b'], 'CANARY\n', os.stat(box.work + '/a/b/open').st_ino], 'the rest')


@cases([('not_ours', 'chgrp'), ('attribute', 'setfattr'), ('mount_below', 'mount')])
def covered_where_it_cannot_be_had(t, how):
    """A directory that the mask cannot stand for, or a mount below: hidden as elsewhere, never shown."""
    box = overlay(t)
    os.chmod(box.work + '/a', 0o750)
    if how == 'chgrp':
        groups = [g for g in ([1] if os.geteuid() == 0 else os.getgroups()) if g != os.getegid()]
        if not groups:
            t.skip('this user has one group only')
        os.chown(box.work + '/a', -1, groups[0])
    elif how == 'setfattr':
        os.setxattr(box.work + '/a', 'user.x', b'y')
    else:
        box.add('--tmpfs', box.work + '/dir/secret/deep')
    found = seen(box, ['a/.env', 'a/b/.env', 'dir/secret/x'], [])
    check('CANARY\n' not in found.values(), 'seen: %r' % found)
    if how != 'mount':
        equal([found['a/.env'], found['a/b/.env']], ['hidden'] * 2, 'seen')
