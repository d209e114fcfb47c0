# SPDX-License-Identifier: Apache-2.0
"""The root inside and the path flags, with what the host has afterwards as the oracle."""
import os
import re
import socket
import subprocess

from harness.box import Box
from harness.registry import cases, check, equal, test


def read(path):
    with open(path) as f:
        return f.read()


@test
def home_is_empty_and_safe(t):
    box = Box(t)
    # Never rm -rf in a home that is not the one made for this test, should a broken build run this unconfined.
    result = box.sh('[ "$HOME" = "$1" ] || exit 99; ls -A ~; cat ~/.ssh/id_ed25519; cat ~/canary; '
                    'rm -rf ~ 2>/dev/null; rm -rf ~/* ~/.ssh; echo evil > ~/.bashrc; ls -A ~', box.home)
    check('CANARY' not in result.out + result.err, 'the home directory was read: %r' % result)
    equal(result.out.split(), ['.bashrc'], 'home: empty, then what the call wrote')
    equal(read(box.home + '/canary'), 'CANARY-HOME\n', 'canary')
    equal(sorted(os.listdir(box.home)), ['.ssh', 'canary'], 'home on the host')
    equal(os.listdir(box.home + '/.ssh'), ['id_ed25519'], '.ssh on the host')


@test
def workdir_below_home(t):
    box = Box(t)
    os.makedirs(box.home + '/src/app')
    t.write('box/home/src/other', 'beside\n')
    result = box.sh('pwd; touch made; ls -A ~ ~/src; touch ~/src/evil', cwd=box.home + '/src/app')
    equal(result.out.splitlines()[0], box.home + '/src/app', 'pwd')
    check('canary' not in result.out and 'other' not in result.out, 'neighbours are seen: %r' % result)
    equal(sorted(os.listdir(box.home + '/src')), ['app', 'other'], 'the directory above on the host')
    equal(os.listdir(box.home + '/src/app'), ['made'], 'the workdir on the host')


@test
def private_tmp_and_run(t):
    box = Box(t)
    name = os.path.basename(t.tmp) + '-inside'
    result = box.sh('ls -A /tmp /run; echo text-of-$1 > /tmp/$1; echo y > /run/$1; cat /tmp/$1', name)
    check('text-of-%s\n' % name in result.out, '/tmp is writable: %r' % result)
    equal(removed(['/tmp/' + name, '/run/' + name]), [], 'made on the host')
    inside = result.out.split('/run:')[0].split()
    for name in os.listdir('/tmp'):
        if name != os.path.basename(t.tmp):
            check(name not in inside, '%s of the host is seen' % name)


SYSTEM = ['/usr/bin', '/usr/lib', '/etc', '/bin', '/lib', '/boot', '/opt', '/var', '/srv', '', '/sys', '/proc', '/root',
          '/dev', '/home']


def removed(paths):
    """Those of the paths that exist on the host; they are removed."""
    found = [p for p in paths if os.path.lexists(p)]
    for path in found:
        os.unlink(path)
    return found


@test
def system_is_read_only(t):
    """The attempts are such that they would do no harm if they worked: a file that is removed again, a mode set to
    what it is, a file opened for writing and not written."""
    box = Box(t)
    paths = [d + '/' + os.path.basename(t.tmp) for d in SYSTEM]
    try:
        result = box.python('''
r = {}
for p in sys.argv[1:]:
    try: open(p, "x").close(); r[p] = "made"
    except OSError as e: r[p] = e.errno
for p in ("/etc/hosts", "/etc/passwd", "/usr/bin/env"):
    try: os.chmod(p, os.stat(p).st_mode & 0o7777); r["chmod " + p] = "worked"
    except OSError as e: r["chmod " + p] = e.errno
    try: os.close(os.open(p, os.O_WRONLY | os.O_APPEND)); r["append " + p] = "worked"
    except OSError as e: r["append " + p] = e.errno
out(r)''', *paths).ok().json()
    finally:
        found = removed(paths)
    equal(found, [], 'made on the host')
    for path in paths:
        if path.startswith(('/usr/', '/etc/', '/bin/', '/lib/', '/sys/', '/proc/')):
            check(result[path] != 'made', path + ' could be made inside')
    # The sandbox may write its own /etc/hosts and /etc/passwd (they are not the host's), never the programs.
    check(result['chmod /usr/bin/env'] != 'worked' and result['append /usr/bin/env'] != 'worked', '%r' % result)
    check(result['append /etc/passwd'] != 'worked', '%r' % result)


@test
def secret_system_files_absent(t):
    result = Box(t).sh('ls -d /etc/shadow /etc/gshadow /etc/sudoers /etc/sudoers.d /etc/ssh /etc/ssl/private '
                       '/etc/shadow- 2>/dev/null; cat /etc/shadow 2>/dev/null; true').ok()
    equal(result.out, '', 'files seen')


@test
def devices_are_few(t):
    box = Box(t)
    result = box.sh('ls /dev; echo x > /dev/null; head -c 4 /dev/urandom | wc -c; head -c 3 /dev/zero | wc -c').ok()
    names = set(result.out.split())
    check({'null', 'zero', 'full', 'random', 'urandom', 'tty', 'fd', 'stdin', 'stdout', 'stderr'} <= names,
          'devices: %r' % names)
    check(not names & {'mem', 'kmsg', 'sda', 'vda', 'nvme0n1', 'kvm', 'fuse', 'loop0', 'loop-control', 'mapper',
                       'net', 'vsock', 'tty0', 'console'}, 'devices: %r' % names)


@test
def mounts_of_the_host_not_listed(t):
    box = Box(t)
    result = box.sh('cat /proc/self/mountinfo').ok()
    for line in result.out.splitlines():
        point = line.split()[4]
        check('nosuid' in line.split()[5].split(',') or point.startswith('/dev/'), 'without nosuid: ' + line)


@cases([('directory', 'dir', 'dir/file'), ('file', 'dir/file', 'dir/file'), ('space', 'a dir', 'a dir/file')])
def read_grant(t, grant, target):
    box = Box(t)
    t.write('box/extra/' + target, 'granted\n')
    t.write('box/extra/not', 'hidden\n')
    path = box.dir + '/extra/'
    result = box.sh('cat "$1"; echo evil > "$1"; echo evil > "$(dirname "$1")/new"; ls "$2"', path + target, path,
                    flags=['--read', path + grant])
    check(result.out.startswith('granted\n'), 'not readable: %r' % result)
    equal(read(path + target), 'granted\n', 'the file on the host')
    check('not' not in result.out.splitlines()[1:], 'the neighbour is seen: %r' % result)


@test
def write_grant(t):
    box = Box(t)
    os.makedirs(box.dir + '/extra/dir')
    t.write('box/extra/file', 'old\n')
    result = box.sh('echo new > $1/dir/made && echo new > $1/file', box.dir + '/extra',
                    flags=['--write', box.dir + '/extra/dir', '--write', box.dir + '/extra/file']).ok()
    equal(read(box.dir + '/extra/dir/made'), 'new\n', 'made (%r)' % result)
    equal(read(box.dir + '/extra/file'), 'new\n', 'written')


@test
def longest_path_wins(t):
    box = Box(t)
    for name in ('out/in/deep', 'out/in/deep/last'):
        os.makedirs(os.path.join(box.dir, name))
    base = box.dir + '/out'
    result = box.python('''
r = []
for d in sys.argv[1:]:
    try: open(d + "/made", "w").close(); r.append("made")
    except OSError as e: r.append(e.errno)
out(r)''', base, base + '/in', base + '/in/deep',
                        flags=['--write', base, '--read', base + '/in', '--write', base + '/in/deep']).ok().json()
    equal([result[0], result[2]], ['made', 'made'], 'writable ones')
    check(result[1] in (13, 30), 'read-only one: %r' % result)
    check(not os.path.exists(base + '/in/made'), 'made on the host')


@test
def workdir_can_be_read_only(t):
    box = Box(t)
    t.write('box/work/file', 'old\n')
    result = box.sh('cat file; echo x > file; echo x > new', flags=['--read', box.work])
    check(result.out == 'old\n' and result.code != 0, '%r' % result)
    equal((read(box.work + '/file'), os.listdir(box.work)), ('old\n', ['file']), 'on the host')


@test
def hide(t):
    box = Box(t)
    t.write('box/work/.env', 'KEY=hidden\n')
    t.write('box/work/private/key', 'hidden\n')
    result = box.sh('cat .env private/key; ls -A private; mv private moved; mv .env env2; ls; cat moved/key env2; '
                    'echo evil > .env', flags=['--hide', '.env', '--hide', 'private'])
    check('hidden' not in result.out, 'hidden content seen: %r' % result)
    equal(read(box.work + '/.env'), 'KEY=hidden\n', '.env on the host')
    equal(read(box.work + '/private/key'), 'hidden\n', 'private/key on the host')


@test
def hide_wins_over_a_longer_write(t):
    box = Box(t)
    t.write('box/work/private/sub/key', 'hidden\n')
    result = box.sh('cat private/sub/key', flags=['--hide', 'private', '--write', 'private/sub'])
    check('hidden' not in result.out, '%r' % result)


@test
def hide_through_a_hard_link_name(t):
    """A second name of a hidden file is another path, so this only shows that the first stays hidden."""
    box = Box(t)
    t.write('box/work/.env', 'hidden\n')
    os.symlink('.env', box.work + '/link')
    result = box.sh('cat link; cat ./.env; cat $PWD/../work/.env; cat /proc/self/cwd/.env', flags=['--hide', '.env'])
    check('hidden' not in result.out, '%r' % result)


@test
def protect(t):
    box = Box(t)
    t.write('box/work/.github/workflows/ci.yml', 'original\n')
    result = box.sh('cat .github/workflows/ci.yml; echo evil > .github/workflows/ci.yml; rm -rf .github; '
                    'mv .github gone; mkdir -p .github/workflows; echo evil > .github/workflows/new; true',
                    flags=['--protect', '.github/workflows'])
    check(result.out.startswith('original\n'), 'not readable: %r' % result)
    equal(read(box.work + '/.github/workflows/ci.yml'), 'original\n', 'on the host')
    equal(os.listdir(box.work + '/.github/workflows'), ['ci.yml'], 'on the host')


@test
def git_hooks_protected_by_default(t):
    box = Box(t)
    subprocess.run(['git', 'init', '-q', box.work], check=True, timeout=60, env=box.env)
    box.sh('echo evil > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; mv .git/hooks .git/h2; '
           'mkdir .git/hooks; echo evil > .git/hooks/post-checkout; mv .git .git2; true')
    check(os.path.isdir(box.work + '/.git/hooks'), '.git/hooks is still there')
    names = os.listdir(box.work + '/.git/hooks')
    check('pre-commit' not in names and 'post-checkout' not in names, 'hooks on the host: %r' % names)


@test
def git_works_in_the_workdir(t):
    box = Box(t)
    box.add('--env', 'GIT_AUTHOR_NAME=a', '--env', 'GIT_AUTHOR_EMAIL=a@b.c', '--env', 'GIT_COMMITTER_NAME=a',
            '--env', 'GIT_COMMITTER_EMAIL=a@b.c')
    box.sh('git init -q . && echo x > file && git add file && git commit -qm one && git status --short').ok()
    box.sh('git checkout -qb other && git log --oneline | wc -l && rm -rf .git/index && git status >/dev/null').ok()


@test
def rename_and_link_between_directories(t):
    """As most tools that write a file aside do, in calls of both kinds."""
    script = """
os.makedirs("a/b"); os.makedirs("c")
open("a/b/f", "w").close()
os.rename("a/b/f", "c/f"); os.link("c/f", "a/l"); os.rename("a/b", "c/b")
out(sorted(os.listdir("c")) + sorted(os.listdir("a")))"""
    for isolation in ('light', 'full'):
        box = Box(t, isolation)
        equal(box.python(script, flags=['--isolation', isolation]).ok().json(), ['b', 'f', 'l'], isolation)
        equal(os.stat(box.work + '/a/l').st_nlink, 2, 'one file of two names on the host')


@test
def tmpfs(t):
    box = Box(t)
    os.makedirs(box.work + '/cache')
    t.write('box/work/cache/old', 'host\n')
    result = box.python('''
r = {"listed": os.listdir("cache")}
try:
    with open("cache/big", "wb") as f:
        for i in range(64): f.write(bytes(1 << 20)); f.flush()
    r["end"] = "all"
except OSError as e: r["end"] = e.errno
r["size"] = os.path.getsize("cache/big")
out(r)''', flags=['--tmpfs', 'cache:16M']).ok().json()
    equal((result['listed'], result['end']), ([], 28), 'empty and bounded')
    check(14 << 20 <= result['size'] <= 16 << 20, 'size %d' % result['size'])
    equal(os.listdir(box.work + '/cache'), ['old'], 'on the host')


@test
def links_out_of_the_workdir(t):
    box = Box(t)
    os.symlink(box.home + '/canary', box.work + '/read-me')
    os.symlink(box.home, box.work + '/up')
    result = box.sh('cat read-me; cat up/canary; ls up; echo evil > read-me; echo evil > up/new; '
                    'ln -s /etc/shadow s; cat s; ln $1/canary hard; cat hard', box.home)
    check('CANARY' not in result.out, 'read through a link: %r' % result)
    equal(read(box.home + '/canary'), 'CANARY-HOME\n', 'canary')
    equal(sorted(os.listdir(box.home)), ['.ssh', 'canary'], 'home on the host')


@test
def files_made_inside_behave(t):
    Box(t).python('''
import fcntl, mmap
os.mkdir("d"); os.rename("d", "e"); os.symlink("x", "l")
f = open("f", "w+b"); f.write(b"abc"); f.flush(); os.fsync(f.fileno()); os.ftruncate(f.fileno(), 100)
fcntl.flock(f, fcntl.LOCK_EX); m = mmap.mmap(f.fileno(), 100); m[0:2] = b"zz"; m.flush()
os.link("f", "g"); os.utime("f", ns=(10**18 + 1, 10**18 + 1))
assert os.stat("f").st_mtime_ns == 10**18 + 1 and os.stat("f").st_nlink == 2
a = open("f", "ab"); a.write(b"end"); a.close(); assert open("g", "rb").read().endswith(b"end")
os.fsync(os.open(".", os.O_RDONLY)); os.chmod("f", 0o640); os.mkfifo("p")
try: os.setxattr("f", "user.x", b"1"); assert os.getxattr("f", "user.x") == b"1"
except OSError as e: assert e.errno == 95
''').ok()


# Each way to a set-uid or set-gid bit, with the mode as its argument. SYS_openat2 takes it in a structure.
SET_ID = '''
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)

def checked(result):
    if result < 0: raise OSError(ctypes.get_errno(), "")
    return result

def made(name): os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600)); return name
def fchmod(name, mode): fd = os.open(made(name), os.O_RDONLY); os.fchmod(fd, mode); os.close(fd)
def temporary(name, mode):
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR, mode)
    os.link("/proc/self/fd/%d" % fd, name, src_dir_fd=fd, follow_symlinks=True); os.close(fd)
def openat2(name, mode):
    how = struct.pack("QQQ", os.O_CREAT | os.O_WRONLY, mode, 0)
    os.close(checked(libc.syscall(437, -100, name.encode(), how, len(how))))
ways = {
    "chmod": lambda n, m: os.chmod(made(n), m), "fchmod": fchmod,
    "fchmodat": lambda n, m: checked(libc.fchmodat(-100, made(n).encode(), m, 0)),
    "fchmodat2": lambda n, m: checked(libc.syscall(452, -100, made(n).encode(), m, 0)),
    "directory": lambda n, m: (os.mkdir(n), os.chmod(n, m)),
    "mknod": lambda n, m: os.mknod(n, 0o100000 | m), "open": lambda n, m: os.close(os.open(n, os.O_CREAT, m)),
    "creat": lambda n, m: os.close(checked(libc.creat(n.encode(), m))), "temporary": temporary, "openat2": openat2,
}
os.umask(0)
for way, function in ways.items():
    for mode in (0o4755, 0o2755, 0o6711, 0o755, 0o1777):
        try: function("%s-%o" % (way, mode), mode)
        except OSError as e: print(way, "%o" % mode, e.errno)
'''


@test
def no_set_id_bits(t):
    """By every way, in the workspace; the same script outside is the control. What is written loses them."""
    box = Box(t)
    refused = box.python(SET_ID).ok().out.split('\n')[:-1]
    names = set(os.listdir(box.work))
    for name in names:
        check(not os.lstat(box.work + '/' + name).st_mode & 0o6000, 'set on the host: ' + name)
    for way in ('chmod', 'fchmod', 'fchmodat', 'directory', 'mknod', 'open', 'creat', 'temporary'):
        for mode in ('4755', '2755', '6711'):
            check('%s %s 1' % (way, mode) in refused, '%s %s: %r' % (way, mode, refused))
        for mode in (0o755, 0o1777):
            path = '%s/%s-%o' % (box.work, way, mode)
            equal('%o' % (os.lstat(path).st_mode & 0o7777), '%o' % mode, path)
    check('openat2 755 38' in refused, 'openat2: %r' % refused)

    os.mkdir(box.dir + '/outside')
    out = subprocess.run(['/usr/bin/python3', '-c', SET_ID], cwd=box.dir + '/outside', stdout=subprocess.PIPE).stdout
    for way in ('chmod', 'fchmod', 'fchmodat', 'directory', 'mknod', 'open', 'creat', 'temporary', 'openat2'):
        check(os.lstat('%s/outside/%s-4755' % (box.dir, way)).st_mode & 0o4000, 'the control: %s: %r' % (way, out))

    t.write('box/work/theirs', 'x\n')
    os.chmod(box.work + '/theirs', 0o6755)
    box.sh('echo evil >> theirs').ok()
    equal(os.stat(box.work + '/theirs').st_mode & 0o6000, 0, 'bits after a write')


@test
def unix_sockets_of_the_host(t):
    box = Box(t)
    path = box.home + '/agent.sock'
    seen = socket.socket(socket.AF_UNIX)
    seen.bind(path)
    seen.listen(1)
    abstract = socket.socket(socket.AF_UNIX)
    name = 'nsbox-test-%d' % os.getpid()
    abstract.bind('\0' + name)
    abstract.listen(1)
    for address in (path, '\0' + name):
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(address)
    result = box.python('''
r = []
for a in (sys.argv[1], "\\0" + sys.argv[2]):
    try: socket.socket(socket.AF_UNIX).connect(a); r.append("connected")
    except OSError as e: r.append(e.errno)
out(r)''', path, name).ok().json()
    check('connected' not in result, '%r' % result)


@test
def proc_and_sys_are_bounded(t):
    box = Box(t)
    result = box.python('''
r = {}
for p in ("/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches", "/proc/sys/kernel/core_pattern",
          "/proc/1/mem"):
    try: os.close(os.open(p, os.O_WRONLY)); r[p] = "worked"   # opened, not written: harmless if it works
    except OSError as e: r[p] = e.errno
for p in ("/proc/kcore", "/proc/keys", "/proc/kmsg", "/proc/1/environ", "/proc/1/root/etc"):
    try: r[p] = "read" if (os.listdir(p) if p.endswith("etc") else open(p, "rb").read(16)) else "empty"
    except OSError as e: r[p] = e.errno
out(r)''').ok().json()
    check(not [k for k, v in result.items() if v == 'worked'], 'opened for writing: %r' % result)
    for name in ('/proc/kcore', '/proc/kmsg', '/proc/1/environ'):
        check(result[name] != 'read', name + ' could be read')


@test
def working_directory_is_the_same_object(t):
    box = Box(t)
    result = box.sh('stat -c "%i" .').ok()
    equal(int(result.out), os.stat(box.work).st_ino, 'inode')
    check(re.match(r'\d+$', result.out.strip()), result.out)
