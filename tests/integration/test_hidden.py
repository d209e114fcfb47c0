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
