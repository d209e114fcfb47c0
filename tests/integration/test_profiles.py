# SPDX-License-Identifier: Apache-2.0
"""Profiles that go with a command, the policy file of a project, and package registries out of configuration."""
import json
import os
import re
import shutil
import subprocess

from harness.agents import AGENTS, ASKS, KEY_FORMS
from harness.box import Box
from harness.named import refused
from harness.origin import Origin
from harness.registry import cases, check, equal, test
from harness.terminal import Terminal

# A stand-in that does what the agent does with its files, and tries what it must not.
STAND_IN = '''#!/bin/sh
cd "$HOME" || exit 1
for path in $1; do echo state >>"$path" && echo kept; done
for path in $2; do
	grep -q settings "$path" && echo read
	{ echo evil >>"$path"; } 2>/dev/null && echo changed
	{ echo evil >"$path.new" && mv "$path.new" "$path"; } 2>/dev/null && echo changed
done
for path in $3 .ssh/id_ed25519; do grep -q CANARY "$path" 2>/dev/null && echo stolen; done
for path in $4; do mkdir -p "$(dirname "$path")" && echo own >"$path" && echo wrote; done
exit 0
'''


def read(path):
    with open(path) as f:
        return f.read()


def as_agents_write(path):
    return re.sub('[^a-zA-Z0-9]', '-', path)


def files(top):
    """Their texts, by their paths below top."""
    return {os.path.relpath(os.path.join(directory, name), top): read(os.path.join(directory, name))
            for directory, _, names in os.walk(top) for name in names}


@cases([(name, *agent) for name, agent in AGENTS.items()])
def agent(t, command, state, settings, login, own):
    counts = [len(paths) for paths in (state, settings, login, own)]
    outside, box = boxes = Box(t, 'outside'), Box(t)
    words = {b: [' '.join(paths).replace('{workdir}', as_agents_write(b.work)) for paths in (state, settings, login, own)]
             for b in boxes}
    for b in boxes:
        for paths, text in zip(words[b], ('old\n', 'settings\n', 'CANARY\n')):
            for path in paths.split():
                t.write(b.home + '/' + path, text)
        t.write('%s/bin/%s' % (b.dir, command), STAND_IN)
        os.chmod('%s/bin/%s' % (b.dir, command), 0o755)
    # The control: outside it does all of it.
    done = subprocess.run([outside.dir + '/bin/' + command, *words[outside]], env=outside.env,
                          stdout=subprocess.PIPE).stdout.decode().split()
    equal([done.count(w) for w in ('kept', 'read', 'changed', 'stolen', 'wrote')],
          [counts[0], counts[1], 2 * counts[1], counts[2] + 1, counts[3]], 'outside')

    before = files(box.home)
    box.add('--read', box.dir + '/bin')
    words = words[box]
    result = box.run(box.dir + '/bin/' + command, *words).ok()
    done = result.out.split()
    equal([done.count(w) for w in ('kept', 'read', 'changed', 'stolen', 'wrote')],
          [counts[0], counts[1], 0, 0, counts[3]], 'inside (%r)' % result)
    check('nsbox: profile ' in result.err and '--profile none' in result.err, 'it is said: %r' % result)
    for path in words[0].split():
        before[path] += 'state\n'
    equal(files(box.home), before, 'on the host')
    # One that a call could have put there chooses nothing.
    shutil.copy(box.dir + '/bin/' + command, box.work)
    check('nsbox: profile ' not in box.run(box.work + '/' + command, *words).err, 'chosen by a name in the workspace')
    check('nsbox: profile ' not in box.run(box.work + '/' + command, *words, flags=['-C', box.work], cwd=box.home).err,
          'chosen by a name in the workspace of another directory')
    none = box.run(box.dir + '/bin/' + command, *words, flags=['-p', 'none'])
    check('read' not in none.out.split() and 'nsbox: ' not in none.err, 'without the profile: %r' % none)


SESSIONS = 'ls ~/.claude/projects; cat ~/.claude/projects/*/* 2>/dev/null; echo mine >>~/.claude/projects/"$1"/s; true'


@test
def sessions_of_a_workspace(t):
    """Kept from the first one on, seen by the next, and by no other workspace."""
    box = Box(t).add('--net', 'none')
    box.work = os.path.join(box.work, 'a b_\u00e9\U0001f600')
    name = as_agents_write(box.work.replace('\U0001f600', '--'))
    os.makedirs(box.work)
    t.write('box/home/.claude/projects/-other/s', 'CANARY\n')
    flags = ['-C', box.work, '-p', 'claude-code']
    text = box.nsbox('run', *flags, '--dry-run', '--', 'true').ok().out
    check('/.claude/projects/%s, made at the start' % name in text, text)
    equal(os.listdir(box.home + '/.claude/projects'), ['-other'], 'looking makes nothing')
    equal(box.sh(SESSIONS, name, flags=flags).ok().out, name + '\n', 'the first')
    equal(box.sh(SESSIONS, name, flags=flags).ok().out, name + '\nmine\n', 'the next')
    equal(files(box.home + '/.claude/projects'), {'-other/s': 'CANARY\n', name + '/s': 'mine\nmine\n'}, 'on the host')
    # The control: all of them, where that is asked for.
    check('CANARY' in box.sh(SESSIONS, name, flags=flags + ['--read', '~/.claude/projects']).out, 'control')
    elsewhere = box.sh(SESSIONS, 'x', flags=['-C', box.dir + '/work', '-p', 'claude-code']).ok()
    check('mine' not in elsewhere.out and 'CANARY' not in elsewhere.out, 'another workspace: %r' % elsewhere)
    none = Box(t, 'none')
    none.sh('mkdir -p ~/.claude/projects/x; echo >~/.claude/projects/x/y', flags=['-p', 'claude-code']).ok()
    equal(files(none.home), {'canary': 'CANARY-HOME\n', '.ssh/id_ed25519': read(none.home + '/.ssh/id_ed25519')}, 'never used')


@test
def sessions_through_a_link(t):
    """Planted in the place of the workspace's own: not followed, and said."""
    box = Box(t).add('--net', 'none')
    t.write('box/home/secrets/s', 'CANARY\n')
    name = as_agents_write(box.work)
    os.makedirs(box.home + '/.claude/projects')
    os.symlink('../../secrets', box.home + '/.claude/projects/' + name)
    result = box.sh(SESSIONS, name, flags=['-p', 'claude-code']).ok()
    check('CANARY' not in result.out and 'is no directory' in result.err, '%r' % result)
    equal(read(box.home + '/secrets/s'), 'CANARY\n', 'on the host')
    refused(box.sh('true', flags=['--write', '~/.claude/projects/{workdir}']), 'is no directory')
    refused(box.sh('true', flags=['--hide', '~/.claude/projects/{workdir}']), 'read and write of DIR/{workdir}')
    os.unlink(box.home + '/.claude/projects/' + name)
    box.sh('echo mine >~/.claude/projects/"$1"/s', name, flags=['--write', '~/.claude/projects/{workdir}']).ok()
    refused(box.sh('true', flags=['--write', '~/.none/{workdir}']), 'must exist')
    hidden = box.sh(SESSIONS, name, flags=['-p', 'claude-code', '--hide', '~/.claude']).ok()
    check('mine' not in hidden.out, 'hide wins: %r' % hidden)


@test
def keys_in_settings(t):
    """A setting of an agent or a tool that has a key in it is left out and named; without one it is there."""
    with_key = {'.claude.json': '{"primaryApiKey": "CANARY"}', '.gitconfig': '[http]\n\textraHeader = X-A: CANARY\n'}
    for keys in (with_key, {path: '{}' for path in with_key}):
        box = Box(t, 'box%d' % (keys is with_key))
        for path, text in keys.items():
            t.write(box.home + '/' + path, text)
        script = 'cat ~/.claude.json ~/.gitconfig; true'
        result = box.sh(script, flags=['-p', 'claude-code']).ok()
        named = box.sh(script, flags=['-p', 'claude-code', '--read', '~/.claude.json']).ok()
        for path in keys:
            equal('/%s is left out' % path in result.err, keys is with_key, '%s: %r' % (path, result))
        equal((result.out, named.out), ('', with_key['.claude.json']) if keys is with_key else ('{}' * 2,) * 2, 'inside')


@cases([(name, name, *ask) for name, ask in ASKS.items()])
def agent_asks(t, name, key, requests, without):
    """The hosts of an agent get its key, which it never has; others get nothing, and the key not even when allowed."""
    hosts = sorted({r.split('/')[2] for r in requests + without})
    origin = Origin(t.pki.context(hosts + ['telemetry.example.com', 'allowed.example.com']))
    value = KEY_FORMS.get(key, '') + 'the-value-of-the-key-0123456789'
    box = Box(t).connect(origin, *hosts, 'telemetry.example.com', 'allowed.example.com').add(**{key: value})
    script = '''
import os
key = os.environ[sys.argv[1]]
for request in sys.argv[2:]:
    bare, method, url = request.split()
    headers = [] if bare == "bare" else [("Authorization", "Bearer " + key)]
    out([fetch(url, method=method, headers=headers).status, key])
'''
    others = ['POST https://telemetry.example.com/x', 'POST https://allowed.example.com/x']
    others += ['POST ' + w[4:] for w in without]
    result = box.python(script, key, *('key ' + r for r in requests), *('bare ' + r for r in without),
                        *('key ' + r for r in others), flags=['-p', name, '--allow', 'allowed.example.com']).ok()
    lines = [json.loads(line) for line in result.out.splitlines()]
    equal([status for status, _ in lines], [200] * len(requests + without) + [403] * len(others), 'answers')
    check(value not in result.out and lines[0][1].startswith(KEY_FORMS.get(key, '')), 'the key inside: %r' % lines[0])
    equal([r.header('authorization') for r in origin.requests],
          [['Bearer ' + value]] * len(requests) + [[]] * len(without), 'at the origins')


@test
def agent_behind_a_wrapper(t):
    box = Box(t)
    result = box.run('env', 'A=b', 'nice', 'timeout', '9', 'claude', flags=['--dry-run']).ok()
    check('profile claude-code, since the command is claude' in result.err, '%r' % result)
    check('api.anthropic.com' in result.out, '%r' % result)
    equal(box.run('sh', '-c', 'claude', flags=['--dry-run']).ok().err, '', 'no profile for sh')


@test
def secret_of_a_profile(t):
    """The key is a placeholder inside, and the value at the origin; and nothing of it without the profile."""
    origin = Origin(t.pki.context(['api.anthropic.com']))
    box = Box(t).connect(origin, 'api.anthropic.com').add(ANTHROPIC_API_KEY='sk-ant-the-value-of-the-key')
    script = '''
import os
answer = fetch("https://api.anthropic.com/v1/x", headers=[("X-Api-Key", os.environ["ANTHROPIC_API_KEY"])])
out([os.environ["ANTHROPIC_API_KEY"], answer.status])'''
    value, status = box.python(script, flags=['-p', 'claude-code']).ok().json()
    check('value' not in value and status == 200, 'inside: %r, %r' % (value, status))
    equal(origin.requests[0].header('x-api-key'), ['sk-ant-the-value-of-the-key'], 'at the origin')


@test
def docker_is_explained(t):
    refused(Box(t).run('docker', 'ps'), 'root on the host', 'docker-client')


@test
def registry_from_configuration(t):
    """npm's own configuration opens its registry for reading; the project's does not."""
    box = Box(t)
    t.write('box/home/.npmrc', 'registry=http://npm.corp.example/\n//npm.corp.example/:_authToken=TOKEN\n')
    t.write('box/work/.npmrc', 'registry=http://evil.example/\n')
    origin = Origin()
    for host in ('npm.corp.example', 'evil.example'):
        box.connect(origin, host, port=80, ca=False)
    result = box.python('''
import os
r = [fetch("http://npm.corp.example/x").status, fetch("http://npm.corp.example/x", method="PUT").status,
     fetch("http://evil.example/x").status, os.environ["NPM_CONFIG_REGISTRY"], os.path.exists(os.path.expanduser("~/.npmrc"))]
out(r)''', flags=['-p', 'node']).ok().json()
    equal(result, [200, 403, 403, 'http://npm.corp.example/', False], 'inside')


@test
def only_yes_trusts(t):
    """A whole line that says so, and no other that begins with the letter."""
    box = Box(t)
    t.write('box/work/.nsbox.ini', '[sandbox]\nversion = 1\n')
    for answer, code in (b'yellow', 1), (b'yn', 1), (b'', 1), (b'yes', 0):
        terminal = Terminal(box, 'profile', 'trust')
        terminal.expect(rb'trust it\? \[y/N\] ')
        terminal.type(answer + b'\n')
        equal(terminal.wait(), code, 'exit status after %r' % answer)


@test
def project_file(t):
    box = Box(t)
    t.write('box/work/secret', 'hidden\n')
    path = t.write('box/work/.nsbox.ini', '[sandbox]\nversion = 1\n[filesystem]\nhide = secret\n')
    script = 'cat secret; echo evil >> .nsbox.ini; mv .nsbox.ini x; rm -f .nsbox.ini; ln -sf /etc/passwd .nsbox.ini; true'
    first = box.sh(script)
    check('hidden' in first.out and 'not trusted' in first.err, 'untrusted: %r' % first)
    refused(box.nsbox('profile', 'trust'), '--yes')
    check('not trusted' in box.sh('true').err, 'asking is not trusting')
    shown = box.nsbox('profile', 'trust', '--yes').ok()
    check('hide = secret' in shown.out, '%r' % shown)
    second = box.sh(script)
    check('hidden' not in second.out and 'nsbox: .nsbox.ini' not in second.err, 'trusted: %r' % second)
    equal(read(path), '[sandbox]\nversion = 1\n[filesystem]\nhide = secret\n', 'the file on the host')
    check('trust' not in box.sh('ls -A ' + box.state, flags=['--read', box.dir]).out, 'what was trusted is not seen')

    # The control: outside it can be changed, and then nothing runs under it unseen, nor without it.
    t.write('box/work/.nsbox.ini', '[sandbox]\nversion = 1\n[network]\nallow = evil.example\n')
    for command in (['run', 'true'], ['check', '--path', 'secret'], ['create']):
        refused(box.nsbox(*command), 'not what was trusted')
    box.sh('true', flags=['-p', 'none']).ok()
    change = box.nsbox('profile', 'trust', '--yes').ok()
    equal(change.out, '-[filesystem]\n-hide = secret\n+[network]\n+allow = evil.example\n', 'the change')
    check('allow = evil.example' in box.run('true', flags=['--dry-run']).ok().out, 'trusted again')
    # So it is when it is gone, or says nothing any more, until that was seen.
    kept = read(path)
    for change in lambda: os.unlink(path), lambda: t.write('box/work/.nsbox.ini', ''):
        change()
        for command in (['run', 'true'], ['check', '--path', 'secret'], ['create']):
            refused(box.nsbox(*command), 'not what was trusted')
    box.sh('true', flags=['-p', 'none']).ok()
    equal(box.nsbox('profile', 'trust', '--yes').ok().out, ''.join('-%s\n' % line for line in kept.splitlines()), 'removal')
    box.sh('true').ok()
    os.unlink(path)
    check('hidden' in box.sh('cat secret').ok().out, 'the control: it is forgotten')
    t.write('box/work/.nsbox.ini', kept)
    check('not trusted' in box.sh('true').err, 'forgotten')
    # Trust is for this place.
    other = Box(t, 'other')
    other.env['XDG_STATE_HOME'] = box.state
    t.write('other/work/.nsbox.ini', read(path))
    check('not trusted' in other.sh('true').err, 'elsewhere')


@test
def project_file_is_no_way_out(t):
    """Even a trusted one starts nothing on the host, and names no other file."""
    box = Box(t)
    head = '[sandbox]\nversion = 1\n'
    t.write('box/work/x', '#!/bin/sh\ntouch %s/ran\n' % box.dir)
    os.chmod(box.work + '/x', 0o755)
    for line in ('[network]\nupstream_proxy = http://127.0.0.1:1 exec:./x\n',
                 '[secret K]\nsource = exec:./x\nallow = a.example\n', '[audit]\nauditor = exec:%s/x\n' % box.work):
        t.write('box/work/.nsbox.ini', head + line)
        box.nsbox('profile', 'trust', '--yes').ok()
        refused(box.sh('true'), 'starts no command on the host')
    t.write('box/work/.nsbox.ini', head + 'extends = ./other.ini\n')
    box.nsbox('profile', 'trust', '--yes').ok()
    refused(box.sh('true'), 'only built-in profiles')
    os.unlink(box.work + '/.nsbox.ini')
    os.symlink('/etc/passwd', box.work + '/.nsbox.ini')
    refused(box.sh('true'), 'symbolic link')
    check(not os.path.exists(box.dir + '/ran'), 'it ran')


@test
def profile_commands(t):
    box = Box(t)
    shown = {p['name']: p for p in box.nsbox('profile', 'ls', '--json').ok().json()}
    for name in ('base', 'git', 'browser', *AGENTS):
        check(shown[name]['summary'], name)
        text = box.nsbox('profile', 'show', name).ok().out
        check('[sandbox]' in text, text)
        box.nsbox('profile', 'check', name).ok()
    equal(box.nsbox('profile', 'check', 'docker-client').code, 1, 'docker-client')
    refused(box.nsbox('profile', 'show', 'claude-cod'), "did you mean 'claude-code'")
    t.write('box/work/p.ini', '[sandbox]\nversion = 1\n[filesystem]\nread = none\n')
    equal(box.nsbox('profile', 'check', './p.ini').code, 1, 'a file that cannot be used')
    t.write('box/work/p.ini', '[sandbox]\nversion = 1\nextends = nosuch\n')
    equal(box.nsbox('profile', 'check', './p.ini').code, 1, 'a file that extends what is not there')
    equal(box.nsbox('profile', 'check', './nosuch.ini').code, 125, 'no file')


@test
def report_of_paths(t):
    """A failed command's words that are on the host and not inside, each with the flag that gives it."""
    box = Box(t)
    outside = t.write('box/out/a file', 'text\n')
    t.write('box/work/hidden', 'x')
    tool = t.write('box/bin/tool', '#!/bin/sh\necho tool\n')
    os.chmod(tool, 0o755)
    failed = box.run('cat', outside, './hidden', '--x=' + outside, flags=['--hide', 'hidden'])
    flag = "--read '%s'" % outside
    call = box.audit('call.start')[0]['call']
    check("nsbox: denied: read %s (private) by call %s, 2 times; allow it with %s\n" % (outside, call, flag) in failed.err,
          '%r' % failed)
    check('read ./hidden (hide: hide %s/hidden) by call %s; what is hidden stays hidden' % (box.work, call) in failed.err,
          '%r' % failed)
    equal(box.run('cat', outside, flags=['--read', outside]).ok().out, 'text\n', 'with that flag')
    equal(box.run('cat', '/dev/null', 'nothing/there').err.count('nsbox: '), 0, 'what is not there either way')
    equal(box.run('test', '-e', box.work, '-a', '-e', '/x').err.count('nsbox: '), 0, 'what is there inside')
    summary = box.run('cat', outside, flags=['--json']).err.splitlines()[-1]
    denied = json.loads(summary)['denied']
    equal([(d['event'], d['op'], d['path'], d['allow']) for d in denied], [('path', 'read', outside, flag)], 'denied')

    # The command itself, where the caller's PATH finds it.
    box.env['PATH'] = os.path.dirname(tool) + ':' + box.env['PATH']
    missing = box.run('tool')
    equal(missing.code, 127, '%r' % missing)
    check('denied: execute %s (private); allow it with --read %s' % (tool, tool) in missing.err, '%r' % missing)
    named = box.run('tool', flags=['--read', tool])
    check('%s is there inside' % tool in named.err and 'name it by its path' in named.err, '%r' % named)
    equal(box.run(tool, flags=['--read', tool]).ok().out, 'tool\n', 'by its path')


@test
def report_of_calls(t):
    """Each denial names the operation, the object, the call and the flag."""
    box = Box(t)
    failed = box.python('fetch("http://denied.example.com/x", method="POST"); sys.exit(3)')
    call = box.audit('http.deny')[0]['call']
    check("denied: POST denied.example.com:80/x (no-rule) by call %s; allow it with --allow 'POST http://denied.example.com/x'"
          % call in failed.err, '%r' % failed)


@cases([('touch', ['touch', '{ro}/new'], 'write {ro}/new (read-only: read {ro})', '--write {ro}'),
        ('copy_to', ['cp', '/etc/hostname', '{ro}/file'], 'write {ro}/file (read-only: read {ro})', '--write {ro}/file'),
        ('redirect', ['sh', '-c', 'echo x >{ro}/file'], 'write {ro}/file (read-only: read {ro})', '--write {ro}/file'),
        ('no_directory', ['tee', '{out}/new'], 'write {out}/new (private)', '--write {out}'),
        ('in_script', ['bash', '-ec', 'cat "{out}/file" | sort; false'], 'read {out}/file (private)', '--read {out}/file'),
        ('change_directory', ['sh', '-c', 'cd ~/sub && ls'], 'read {home}/sub (private)', '--read {home}/sub'),
        ('protected', ['touch', '.git/hooks/new'], 'write .git/hooks/new (protect: protect {work}/.git/hooks)',
         '--write .git/hooks'),
        ('system', ['touch', '/usr/lib/new'], 'write /usr/lib/new (system)', None)])
def report_of_writes(t, command, denied, flag):
    """What a failed command would write or its script names, with a flag under which it works."""
    box = Box(t)
    names = {'ro': t.path('box/ro'), 'out': t.path('box/out'), 'home': box.home, 'work': box.work}
    for path in ('ro/file', 'out/file', 'home/sub/file', 'work/.git/hooks/old'):
        t.write('box/' + path, 'text\n')
    command = [word.format(**names) for word in command]
    failed = box.run(*command, flags=['--read', names['ro']])
    check(failed.code != 0, '%r' % failed)
    hints = [line for line in failed.err.splitlines() if line.startswith('nsbox: denied: ')]
    equal(len(hints), 1, 'hints (%r)' % failed)
    check(hints[0].startswith('nsbox: denied: ' + denied.format(**names) + ' by call '), hints[0])
    if flag is None:
        check('read-only' in hints[0] and '--' not in hints[0], hints[0])
        return
    check(hints[0].endswith('; allow it with ' + flag.format(**names)), hints[0])
    again = box.run(*command, flags=['--read', names['ro'], *flag.format(**names).split()])
    check('false' in command[-1] or again.code == 0, 'with that flag: %r' % again)
    check('nsbox: denied' not in again.err, 'with that flag: %r' % again)


@test
def report_has_five_lines(t):
    """However much was denied, the last line says where the rest is; and what good commands were denied is not told."""
    box = Box(t)
    script = 'for i in range(9):\n    fetch("http://h%d.example.com/" % i)\n'
    failed = box.python(script + 'sys.exit(3)')
    lines = failed.err.splitlines()
    equal(len(lines), 5, 'lines (%r)' % failed)
    check(lines[4].startswith('nsbox: 5 more denials: nsbox audit show '), lines[4])
    equal(box.python(script).ok().err, '', 'of a good command')
    # What was found where the host would execute it has its place among them.
    both = box.python(script + 'open(".envrc", "w").write("x")\nsys.exit(3)')
    lines = [line.split()[1] for line in both.err.splitlines()]
    equal(lines, ['protected:', *['denied:'] * 3, '6'], 'lines (%r)' % both)


@test
def hints_are_rules(t):
    """What is suggested for a request works, also where its path has what means something in a rule."""
    origin = Origin()
    box = Box(t).connect(origin, 'a.example.com', port=80, ca=False)
    command = box.python_command('sys.exit(fetch("http://a.example.com/x%20y%2a%3b%2c%25/z").status != 200)')
    failed = box.run(*command)
    equal(failed.code, 1, '%r' % failed)
    rule = failed.err.split("--allow '")[1].split("'")[0]
    box.run(*command, flags=['--allow', rule]).ok()
    other = box.python_command('sys.exit(fetch("http://a.example.com/x%20yZ%3b%2c%25/z").status != 200)')
    equal(box.run(*other, flags=['--allow', rule]).code, 1, 'the star is a star')
    # A port of another protocol.
    script = 'import socket; socket.create_connection(("a.example.com", 22))'
    check('--allow tcp://a.example.com:22' in box.python(script).err, 'ssh')
