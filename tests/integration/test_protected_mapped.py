# SPDX-License-Identifier: Apache-2.0
"""A file that a call has mapped: once its page is dirty, writing to it changes no time (mmap(2)). What is looked at while that
can happen counts for nothing. A mark that the user's git leaves is the oracle, the same without a sandbox the control."""
import os
import shutil
import subprocess
import time

from harness.box import Box
from harness.named import Named
from harness.registry import cases, equal, test
from test_protected import git

# argv: the file, and two texts of one length: what is in it, what is to be in it. A line on stdin is the word to write it.
MAPPED = r'''
import mmap, sys
path, before, after = sys.argv[1], *(bytes.fromhex(x) for x in sys.argv[2:4])
f = open(path, 'r+b')
m = mmap.mmap(f.fileno(), 0)
at = m.find(before)
f.close()
m[at:at + 1] = before[:1]
print('mapped', flush=True)
sys.stdin.readline()
m[at:at + len(after)] = after
'''


def mapped(box, path, before, after, sandboxed):
    """The bytes change after a look at the file, at a time when it no longer is new."""
    command = ['/usr/bin/python3', '-c', MAPPED, path, before.hex(), after.hex()]
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE}
    call = box.start_exec('x', *command, **pipes) if sandboxed else subprocess.Popen(command, cwd=box.work, **pipes)
    equal(call.stdout.readline(), b'mapped\n', 'what it says')
    time.sleep(2.5)
    if sandboxed:
        box.exec('x', 'true').ok()
    call.communicate(b'\n', timeout=60)
    equal(call.returncode, 0, 'exit status')


@cases([('config', 'config'), ('index', 'index')])
def changes_no_time(t, what):
    for sandboxed in False, True:
        box = Named(t, 'box' if sandboxed else 'outside')
        git(box, 'init', '-q', '-b', 'main')
        if what == 'config':
            evil = b'[core]\n\tfsmonitor = touch ../mark; false\n'
            before = b'#' + b'x' * (len(evil) - 2) + b'\n'
            # The call's own, and harmless: git does not mind.
            command = ['sh', '-c', 'printf "%s\\n" "$0" >>.git/config', before[:-1].decode()]
        else:
            evil, before = b'../mark\0', b'abcmark\0'
            subprocess.run(['sh', '-c', 'echo a >abcmark; git add abcmark'], cwd=box.work, check=True)
            command = ['sh', '-c', 'echo b >abcmark; git add abcmark']
        if sandboxed:
            box.create('x')
            box.exec('x', *command).ok()
        else:
            subprocess.run(command, cwd=box.work, check=True)
        mapped(box, '.git/' + what, before, evil, sandboxed)
        subprocess.run(['git', 'status'] if what == 'config' else ['git', 'checkout', '--', '.'], cwd=box.work, env=box.env,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=False)
        equal(os.path.exists(os.path.dirname(box.work) + '/mark'), not sandboxed, 'executed or written')
    record = box.audit('fs.protected')[-1]
    equal(record['path'], box.work + '/.git/' + what, 'found')
    box.nsbox('rm', '-f', 'x').ok()


READ_FIRST = r'''
import mmap, sys
path, before, after = sys.argv[1], *(bytes.fromhex(x) for x in sys.argv[2:4])
f = open(path, 'r+b')
m = mmap.mmap(f.fileno(), 0)
at = m.find(before)
m[at:at + len(after)] = after
'''


@test
def memory_tells_no_time(t):
    """On a tmpfs a page that was read through the mapping can be written without any change of time."""
    workspace = '/dev/shm/%s-%d' % (os.path.basename(t.tmp), os.getpid())
    for sandboxed in False, True:
        box = Box(t, 'box' if sandboxed else 'outside')
        os.mkdir(workspace)
        try:
            git(box, 'init', '-q', '-b', 'main', cwd=workspace)
            evil = b'[core]\n\tfsmonitor = touch ../mark; false\n'.replace(b'../mark', b'.git/mark')
            before = b'#' + b'x' * (len(evil) - 2) + b'\n'
            with open(workspace + '/.git/config', 'ab') as f:
                f.write(before)
            time.sleep(2.5)
            was = os.stat(workspace + '/.git/config').st_ctime_ns
            command = ['/usr/bin/python3', '-c', READ_FIRST, '.git/config', before.hex(), evil.hex()]
            if sandboxed:
                box.nsbox('run', '--net', 'none', '-C', workspace, '--', *command).ok()
                record, = box.audit('fs.protected')
                equal(record['path'], workspace + '/.git/config', 'found')
            else:
                subprocess.run(command, cwd=workspace, check=True)
                equal(os.stat(workspace + '/.git/config').st_ctime_ns, was, 'time of change')
            subprocess.run(['git', 'status'], cwd=workspace, env=box.env, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, timeout=60, check=False)
            equal(os.path.exists(workspace + '/.git/mark'), not sandboxed, 'executed')
        finally:
            shutil.rmtree(workspace)
