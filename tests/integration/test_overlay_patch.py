# SPDX-License-Identifier: Apache-2.0
"""The changes in an overlay as a patch."""
import random
import shutil
import subprocess

from harness.overlay import difference, snapshot
from harness.registry import check, equal, test
from harness.work import Work


EDIT = r"""
import random
r = random.Random(sys.argv[1])
for n in range(12):
    path = r.choice(['one', 'two', 'sub/three', 'sub/four', 'new %d' % n, 'n\t\xe9"\\\\%d' % n])
    lines = open(path).read().splitlines(True) if os.path.exists(path) else []
    for _ in range(r.choice([1, 1, 2, 5, 60])):
        at = r.randrange(len(lines) + 1)
        kind = r.randrange(3)
        if kind == 0:
            lines[at:at + r.randrange(4)] = []
        elif kind == 1:
            lines[at:at] = ['new %d\n' % r.randrange(5)] * r.randrange(1, 4)
        elif at < len(lines):
            lines[at] = 'changed %d\n' % r.randrange(9)
    text = ''.join(lines)
    with open(path, 'w') as f:
        f.write(text[:-1] if text and r.random() < 0.3 else text)
if r.random() < 0.5:
    os.unlink(r.choice(['one', 'two']))
if r.random() < 0.5:
    os.rename('sub/four', 'sub/five')
if r.random() < 0.5:
    os.symlink('one', 'link'); os.chmod('sub/three', 0o755)
"""


@test(timeout=120)
def patch_is_what_changed(t):
    """git applies the patch to a copy of the workspace, and then that is as the commit makes the workspace."""
    if not shutil.which('git'):
        t.skip('no git on this machine')
    for n in range(8):
        box = Work(t, 'p%d' % n, False)
        r = random.Random(n)
        for name in ('one', 'two', 'sub/three', 'sub/four'):
            box.put(name, ''.join('line %d\n' % r.randrange(30) for _ in range(r.choice([0, 5, 200, 3000]))))
        shutil.copytree(box.work, box.dir + '/copy')
        box.python(EDIT, n).ok()
        layer = box.layers()[0]
        patch = box.nsbox('diff', '--patch', layer).ok().out_bytes
        result = subprocess.run(['git', 'apply', '-'], input=patch, cwd=box.dir + '/copy', stderr=subprocess.PIPE,
                                env=dict(box.env, GIT_CEILING_DIRECTORIES=box.dir))
        check(result.returncode == 0, 'git apply: %r, %r' % (result.stderr, patch[:3000]))
        stat = box.nsbox('diff', '--stat', layer).ok().out.splitlines()
        box.nsbox('commit', '--accept-executable', layer).ok()
        equal(difference(snapshot(box.dir + '/copy'), snapshot(box.work)), '', 'after the patch (%d)' % n)
        plus = sum(1 for line in patch.split(b'\n') if line[:1] == b'+' and line[:4] != b'+++ ')
        check(('+%d ' % plus) in stat[-1], '%r, but %d lines of the patch begin with +' % (stat, plus))


@test
def patch_of_what_is_no_text(t):
    box = Work(t)
    layer = box.write('printf "a\\0b" > bin; printf "\\033[2Jhidden\\n" > esc; rm -r d; head -c 9000000 /dev/zero > big')
    result = box.nsbox('diff', '--patch', layer).ok()
    equal(result.out.count('Binary files differ'), 2, 'binary files')
    check('deleted file mode 100644\n--- a/d/sub/y\n+++ /dev/null\n@@ -1 +0,0 @@\n-y\n' in result.out, 'patch: %r' % result)
    # On a terminal nothing of it is obeyed.
    if not shutil.which('script'):
        t.skip('no script(1) on this machine, which makes the terminal')
    shown = subprocess.run(['script', '-qec', '%s diff --patch %s esc' % (box.nsbox_path, layer), '/dev/null'],
                           cwd=box.work, env=box.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout
    check(b'\\x1b[2Jhidden' in shown and b'\x1b[2J' not in shown, 'on a terminal: %r' % shown)
