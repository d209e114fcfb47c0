# SPDX-License-Identifier: Apache-2.0
"""examples/python against the installed library: policies, grants, errors, audit log."""
from harness.box import Box
from harness.python import PRELUDE, WITH_BOX, script
from harness.registry import equal, test


@test
def grants(t):
    result = script(t, PRELUDE + """
p = sb.Policy().set('network', 'allow', 'https://a.example.com/**')
p.set('secret KEY', 'allow', 'https://a.example.com/**').set('grant push', 'argv', 'git push *')
p.set('grant push', 'allow', 'POST https://a.example.com/x/**').set('limits', 'timeout', '1m')
push, top = p.grant('push'), sb.Grant()
mine = sb.Grant().set('allow', 'https://a.example.com/x/y').set('secret', 'KEY').set('uses', '3').check(p)
both = mine.intersect(push)
wide = sb.Grant().set('allow', 'https://a.example.com', '--allow').set('allow', 'b.example.com', '--allow')
out([p.grant_for(['git', 'push', 'x']), p.grant_for(['make']), push.excess(top), top.excess(push) is None,
     both.excess(mine), both.excess(push), both.check_url(p, 'https://a.example.com/x/y', 'POST').allowed,
     both.check_url(p, 'https://a.example.com/x/y').reason, both.check_secret(p, 'KEY').allowed,
     mine.check_secret(p, 'KEY').allowed, mine.check_path(p, '.', True).allowed, push.dump().splitlines()[:2],
     refused(wide.check, p), refused(p.grant, 'pull'), refused(top.set, 'argv', 'x')])
""")
    equal(result, ['push', None, None, False, None, None, True, 'grant', False, True, True,
                   ['[grant push]', 'argv = git push * ; bound to this command/api'],
                   ['EPERM', 'policy', 'b.example.com'], ['ENOENT', 'policy', 'pull'], ['EINVAL', 'policy', 'x']], 'grants')


@test
def errors(t):
    result = script(t, WITH_BOX + '''
open('plain', 'w').close()
e = None
try:
    box.run(['no-such-command'])
except OSError as error:
    e = error
out([isinstance(e, sb.SandboxError), errno.errorcode[e.errno], e.stage == sb.Stage.EXEC, 'no-such-command' in str(e),
     refused(box.run, ['./plain'])[:2], refused(box.run, [])[:2], refused(sb.Policy('/nonexistent').check)[0],
     refused(sb.Policy().set, 'network', 'allow', 'https://')[:2], refused(sb.Policy().load_profile, 'nix')[1],
     refused(sb.Policy().load_file, '/nonexistent.ini')[:1], refused(runtime.open, 'nobody')[:1],
     [sb.stage_name(s) for s in (sb.Stage.MOUNT, sb.Stage.USER_NAMESPACE, 99)], sb.version()])
box.close(); runtime.close()
''')
    equal(result, [True, 'ENOENT', True, True, ['EACCES', 'exec'], ['EINVAL', 'usage'], 'ENOENT', ['EINVAL', 'policy'],
                   'policy', ['ENOENT'], ['ENOENT'], ['mount', 'user-namespace', 'unknown'], '0.1.0'], 'errors')


@test
def arguments_of_the_wrong_kind(t):
    """Python's errors, before anything reaches C."""
    result = script(t, WITH_BOX + '''
kinds = []
for wrong in (lambda: box.run('ls -l'), lambda: box.run(['a\\0b']), lambda: box.run([1]),
              lambda: box.run(['true'], timeout=-1), lambda: sb.Policy('a\\0b'), lambda: box.run(['true'], colour=1),
              lambda: box.start(sb.Command(['true']), timeout=1), lambda: box.set_pool(-1),
              lambda: sb.Policy().set('network', None, 'x'), lambda: runtime.open(None)):
    try:
        wrong()
        kinds.append('no error')
    except (TypeError, ValueError) as e:
        kinds.append(type(e).__name__)
out(kinds)
box.close(); runtime.close()
''')
    equal(result, ['TypeError', 'ValueError', 'TypeError', 'ValueError', 'ValueError', 'TypeError', 'TypeError',
                   'ValueError', 'TypeError', 'TypeError'], 'kinds of errors')


@test
def policies(t):
    box = Box(t)
    t.write('box/policy.ini', '[sandbox]\nversion = 1\n[network]\nallow = https://api.example.com/v1/**\n')
    result = script(t, PRELUDE + '''
p = sb.Policy(os.getcwd()).load_profile('base').load_file('../policy.ini')
p.set('network', 'deny', 'https://api.example.com/v1/admin/**', '--deny')
p.set('secret TOKEN', 'allow', 'https://api.example.com/**').set_secret_value('TOKEN', b'0123456789abcdef')
p.check()
yes, no = p.check_url('https://api.example.com/v1/x', 'POST'), p.check_url('https://api.example.com/v1/admin/x')
path = p.check_path(os.getcwd() + '/file', write=True)
dump = p.dump()
out([yes.allowed, no.allowed, no.source, path.allowed, 'version = 1' in dump, '0123456789abcdef' in dump, p.warnings,
     refused(p.set_secret_value, 'TOKEN', b'two\\nlines')[:2]])
p.close()
''', box=box)
    equal(result, [True, False, '--deny', True, True, False, [], ['EINVAL', 'secret']], 'policy')


@test
def profiles_and_projects(t):
    box = Box(t)
    text = '[sandbox]\nversion = 1\n[filesystem]\nhide = x\n'
    t.write('box/work/x', '')
    result = script(t, PRELUDE + '''
p = sb.Policy(os.getcwd())
before = [sb.project_state('.'), p.load_project()]
open('.nsbox.ini', 'w').write(sys.argv[2])
unknown = [sb.project_state('.'), p.load_project()]
sb.trust_project('.', sys.argv[2])
trusted = [sb.project_state('.')[0], p.load_project(), p.check_path('x').allowed]
open('.nsbox.ini', 'a').write(';')
changed = [sb.project_state('.'), refused(sb.Policy(os.getcwd()).load_project)[:2]]
out([before, unknown, trusted, changed, 'git' in [x['name'] for x in sb.profiles()], 'version = 1' in sb.profile_text('git'),
     refused(sb.profile_text, 'gti')[:2], sb.profiles_for(['nice', 'git', 'x']), sb.profiles_for(['x'])])
''', text, box=box)
    equal(result, [[['none', None, None], 'none'], [['unknown', text, None], 'unknown'], ['trusted', 'trusted', False],
                   [['changed', text + ';', text], ['ESTALE', 'policy']], True, True, ['ENOENT', 'policy'],
                   [{'profile': 'git', 'by': 'git'}], []], 'profiles and projects')


@test
def audit(t):
    result = script(t, WITH_BOX + '''
box.run(['true'])
name, path = box.id, box.audit_log
box.close(); runtime.close()
head = [json.loads(line)['hash'] for line in open(path)][-1]
intact = [sb.audit_verify(path), sb.audit_verify(path, head), sb.audit_verify(path, '0' * 64)]
elsewhere = sb.Policy().set_audit_log('../elsewhere.jsonl').set('network', 'mode', 'none')
with sb.Runtime() as runtime, runtime.create(elsewhere) as box:
    box.run(['true'])
out([sb.audit_path(name) == path, sb.audit_path() == path, [ok for ok, _ in intact], all(text for _, text in intact),
     os.path.exists('../elsewhere.jsonl'), refused(sb.audit_path, 'nosuchid')[:2]])
''')
    equal(result, [True, True, [True, True, False], True, True, ['ENOENT', 'audit']], 'audit')


@test(timeout=90)
def doctor(t):
    result = script(t, PRELUDE + '''
with sb.Runtime() as runtime:
    ok, controls = runtime.doctor()
out([ok, sorted(controls[0]), {c['status'] for c in controls} <= {'ok', 'missing', 'degraded'},
     [c for c in controls if c['status'] == 'missing']])
''', timeout=80)
    equal(result, [True, ['control', 'fix', 'status'], True, []], 'doctor')
