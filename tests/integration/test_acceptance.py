# SPDX-License-Identifier: Apache-2.0
"""What users of such tools expect of files, tools and policies: numbers 34 to 56 of the list of acceptance cases. Each is
tried outside first, where it has to work, and then inside. The others of the list are elsewhere:

35 files.links_out_of_the_workdir, escape 6, cp.links_are_not_followed      37 overlay.*
38 files.home_is_empty_and_safe, hidden.*, files.unix_sockets_of_the_host  39, 40 hidden.*
42 worktree.*            43 profiles.project_file*, badinput.policy_file*   44 files.devices_are_few, escape 12 to 14
45 cp.there_and_back     46, 47 escape 23 to 32, 61 to 81                   48 run.pids_limit, escape 91, 95
52, 54 profiles.*        53 run.environment_*                               56 cli.doctor_without_user_namespaces"""
import os
import shutil
import subprocess
import threading

from harness.box import Box
from harness.registry import cases, check, equal, test


def read(path):
    with open(path) as f:
        return f.read()


class Pair:
    """The same in two workspaces, outside and inside."""

    def __init__(self, t, *flags):
        self.out, self.box = Box(t, 'outside'), Box(t)
        self.box.add('--net', 'none', *flags)

    def run(self, script, *args):
        """Output of a shell script that has to end well in both, which has to be the same."""
        outside = subprocess.run(['/bin/sh', '-c', script, 'sh', *args], cwd=self.out.work, env=self.out.env, timeout=150,
                                 text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        check(outside.returncode == 0, 'the control: outside it gives %d: %s' % (outside.returncode, outside.stdout[-600:]))
        inside = self.box.sh(script + '\n', *args).ok()
        equal(inside.out.replace(self.box.work, 'WORK'), outside.stdout.replace(self.out.work, 'WORK'), 'output')
        return inside.out

    def python(self, script, *args):
        for box in (self.out, self.box):
            box.t.write(os.path.basename(box.dir) + '/work/.script.py', script)
        return self.run('exec /usr/bin/python3 .script.py "$@" 2>&1', *args)


@test
def grants_of_every_shape(t):
    """34: read-only and writable, with blanks in names, single files, one in another, several levels."""
    pair = Pair(t)
    box = pair.box
    for name in ('ro dir/file', 'ro dir/rw dir/file', 'ro dir/rw dir/ro again/file', 'one/alone', 'one/beside', 'not/at all'):
        t.write('box/' + name, 'host\n')
    paths = [os.path.join(box.dir, p) for p in (
        'ro dir/file', 'ro dir/rw dir/file', 'ro dir/rw dir/ro again/file', 'one/alone', 'one/beside', 'not/at all')]
    for path in paths:
        with open(path, 'a') as f:
            f.write('outside\n')
    flags = ['--read', box.dir + '/ro dir', '--write', box.dir + '/ro dir/rw dir', '--read', box.dir + '/ro dir/rw dir/ro again',
             '--write', box.dir + '/one/alone']
    result = box.sh('for p; do [ -r "$p" ] && printf r; (echo inside >>"$p") 2>/dev/null && printf w; printf .; done', *paths,
                    flags=flags)
    # What is not given may be made in a private directory; of the host's nothing is read.
    equal([r.count('r') for r in result.out.split('.')[:6]], [1, 1, 1, 1, 0, 0], 'read: %r' % result)
    equal(result.out.split('.')[:4], ['r', 'rw', 'r', 'rw'], 'rights: %r' % result)
    written = ['inside' in read(p) for p in paths]
    equal(written, [False, True, False, True, False, False], 'on the host')


@cases([('root', '/'), ('proc', '/proc/self'), ('proc-net', '/proc/net')])
def places_that_are_refused(t, place):
    """34: where nothing of the host may be mounted."""
    os.stat(place)
    result = Box(t).sh('echo ran', flags=['--write', place])
    equal((result.code, result.out), (125, ''), 'status (%r)' % result)


FILES = r'''
import fcntl, mmap, os, sys
def say(*words): print(*words)
open("a", "w").write("x" * 100)
os.truncate("a", 10); say(os.stat("a").st_size); os.truncate("a", 5000); say(open("a").read().count("\0"))
fd = os.open("a", os.O_WRONLY | os.O_APPEND); os.lseek(fd, 0, 0); os.write(fd, b"end"); os.close(fd); say(open("a").read()[-3:])
os.link("a", "hard"); say(os.stat("a").st_nlink); os.symlink("a", "soft"); say(os.readlink("soft"), open("soft").read(2))
os.mkdir("d"); os.mkdir("e"); open("d/f", "w").write("deep"); reader = open("d/f")
os.rename("d", "e/d2"); say(reader.read(), os.listdir("e")); os.rename("e/d2/f", "g"); say(sorted(os.listdir(".")))
one, two = open("a"), open("a")
fcntl.flock(one, fcntl.LOCK_EX)
try: fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError as e: say("locked", e.errno)
fcntl.lockf(open("hard", "r+"), fcntl.LOCK_EX)
with open("a", "r+b") as f:
    m = mmap.mmap(f.fileno(), 0); m[0:3] = b"map"; m.flush(); say(open("a").read(3))
os.setxattr("a", "user.k", b"v"); say(os.getxattr("a", "user.k"), os.listxattr("a"))
os.utime("a", ns=(1234567890123456789, 1234567890123456789)); say(os.stat("a").st_mtime_ns)
os.chmod("a", 0o640); say(oct(os.stat("a").st_mode)); fd = os.open(".", os.O_RDONLY); os.fsync(fd); os.fsync(reader.fileno())
os.replace("g", "hard"); say(open("hard").read(), os.stat("a").st_nlink)
os.mkfifo("pipe"); say(os.stat("pipe").st_mode & 0o170000)
big = "n" * 255; open(big, "w").close(); say(os.path.exists(big)); open("ünï\ncode", "w").close()
os.posix_fallocate(os.open("sparse", os.O_RDWR | os.O_CREAT), 0, 4096); say(os.stat("sparse").st_size)
say(sorted(os.listdir("."))[:4])
'''


@test
def file_operations(t):
    """36: what editors, package managers and databases do to files."""
    Pair(t).python(FILES)


@test
def git_operations(t):
    """36: with renaming locks, checkouts between trees, merges and packing."""
    if not shutil.which('git'):
        t.skip('no git')
    pair = Pair(t, '--env', 'GIT_CONFIG_NOSYSTEM=1')
    pair.run('''set -e
export GIT_AUTHOR_DATE="2001-01-01T00:00:00Z" GIT_COMMITTER_DATE="2001-01-01T00:00:00Z"
git init -q -b trunk . && git config user.name n && git config user.email e@x.y
mkdir -p src/deep && echo 1 > src/deep/a && ln -s a src/deep/l && git add . && git commit -qm one
git checkout -q -b side && git mv src/deep src/moved && echo 2 >> src/moved/a && git commit -qam two
git checkout -q trunk && test -f src/deep/a && echo 3 > b && git add b && git commit -qm three && git merge -q --no-edit side
git rm -q b && git stash -q && git stash pop -q && git commit -qm four && git gc -q && git fsck --strict 2>/dev/null
git clone -q . copy && git -C copy log --format=%s%H && git status --short && ls -A .git | grep -c lock || true''')


@test
def sockets_of_the_host(t):
    """41: neither an abstract one nor one in a directory that is not granted; of container engines and D-Bus none is there."""
    import socket
    box = Box(t).add('--net', 'none')
    name = 'nsbox-test-' + os.path.basename(t.tmp)
    abstract, path = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    abstract.bind('\0' + name)
    path.bind(box.dir + '/socket')
    for s in (abstract, path):
        s.listen(8)
    script = '''
import socket, sys
for a in ("\\0" + sys.argv[1], sys.argv[2], "/var/run/docker.sock", "/run/podman/podman.sock", "/run/dbus/system_bus_socket",
          "/run/user/%d/bus" % __import__("os").getuid(), "/run/systemd/private"):
    s = socket.socket(socket.AF_UNIX)
    try: s.connect(a); print("connected", repr(a))
    except OSError as e: print(e.errno in (1, 2, 13, 111))
'''
    outside = subprocess.run(['/usr/bin/python3', '-c', script, name, box.dir + '/socket'], text=True, timeout=60,
                             stdout=subprocess.PIPE).stdout
    check(outside.count('connected') >= 2, 'the control: %s' % outside)
    equal(box.run('/usr/bin/python3', '-c', script, name, box.dir + '/socket').ok().out, 'True\n' * 7, 'inside')


@test
def a_repository_above(t):
    """42: a .git above the workdir widens nothing, whether it is one or only looks like one."""
    box = Box(t)
    t.write('box/repo/secret', 'CANARY\n')
    os.makedirs(box.dir + '/repo/sub')
    for made in (['git', 'init', '-q', box.dir + '/repo'], ['/bin/sh', '-c', 'rm -rf "$1/.git"; mkdir "$1/.git"', 'sh',
                                                           box.dir + '/repo']):
        subprocess.run(made, check=True, timeout=60, env=box.env)
        equal(subprocess.run(['cat', '../secret'], cwd=box.dir + '/repo/sub', stdout=subprocess.PIPE, text=True).stdout,
              'CANARY\n', 'the control')
        result = box.sh('cat ../secret; ls -A ..; echo x > ../made; pwd', cwd=box.dir + '/repo/sub')
        equal(result.out, 'sub\n%s/repo/sub\n' % box.dir, 'inside')
        check(not os.path.exists(box.dir + '/repo/made'), 'written')


@test
def the_policy_of_the_project(t):
    """43: not to be written, but where it is none, or where the user says so."""
    box = Box(t).add('-p', 'none')
    t.write('box/work/.nsbox.ini', '[sandbox]\nversion = 1\n')
    script = 'echo evil >> .nsbox.ini; mkdir -p sub; echo fine > sub/.nsbox.ini; mv .nsbox.ini x; true'
    box.sh(script)
    equal((read(box.work + '/.nsbox.ini'), read(box.work + '/sub/.nsbox.ini')), ('[sandbox]\nversion = 1\n', 'fine\n'), 'files')
    box.sh('echo evil >> .nsbox.ini', flags=['--write', '.nsbox.ini']).ok()
    check('evil' in read(box.work + '/.nsbox.ini'), 'opted out')


@test
def semaphores(t):
    """49: of POSIX, through multiprocessing, and of System V."""
    Pair(t).python('''
import ctypes, multiprocessing
def work(n): return n * n
if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool: print(sum(pool.map(work, range(100))))
    lock = multiprocessing.Semaphore(1); print(lock.acquire(), lock.acquire(False))
    libc = ctypes.CDLL(None, use_errno=True)
    i = libc.semget(0, 1, 0o600); print(i >= 0, libc.semctl(i, 0, 0) == 0)
    i = libc.shmget(0, 4096, 0o600); print(i >= 0, libc.shmctl(i, 0, None) == 0)
    libc.shm_open.restype = ctypes.c_int; print(libc.shm_open(b"/x", 0o102, 0o600) >= 0, libc.shm_unlink(b"/x"))
''')


TOOLS = [
    ('make-and-cc', ['cc', 'make', 'ar'], '''set -e
printf 'int f(void){return 41;}\\n' > f.c; printf 'int f(void); int main(void){return f()+1;}\\n' > m.c
printf 'm: m.o libf.a\\n\\tcc -o m m.o libf.a\\nlibf.a: f.o\\n\\tar rc libf.a f.o\\n' > Makefile
make -s -j2; ./m || echo $?'''),
    ('cmake', ['cmake', 'cc'], '''set -e
printf 'cmake_minimum_required(VERSION 3.5)\\nproject(x C)\\nadd_executable(x x.c)\\n' > CMakeLists.txt
printf 'int main(void){return 7;}\\n' > x.c; cmake -S . -B b >/dev/null; cmake --build b >/dev/null; b/x || echo $?'''),
    ('python-venv', ['python3'], '''/usr/bin/python3 -c 'import ensurepip' 2>/dev/null || { echo none; exit 0; }
/usr/bin/python3 -m venv --without-pip v && v/bin/python -c 'import sys; print(sys.prefix != sys.base_prefix)' '''),
    ('node', ['node'], 'node -e "require(\'fs\').writeFileSync(\'n\', \'x\'); console.log(1 + 1)"'),
    ('go', ['go'], '''set -e; export GOFLAGS=-mod=mod GOPROXY=off HOME="$PWD" GOCACHE="$PWD/c"
printf 'package main\\nimport "fmt"\\nfunc main() { fmt.Println(42) }\\n' > m.go; go run m.go'''),
    ('cargo', ['cargo', 'rustc', 'cc'], '''set -e; export CARGO_HOME="$PWD/h"
cargo new -q --vcs none x 2>/dev/null; cd x; cargo run -q --offline 2>/dev/null'''),
    ('perl', ['perl'], 'perl -e "open F, q(>p); print F 1; close F; print -s q(p), qq(\\n)"'),
    ('java', ['javac', 'java'], '''set -e
printf 'class A { public static void main(String[] a) { System.out.println(6*7); } }\\n' > A.java
javac A.java && java -XX:+UseSerialGC -cp . A'''),
]


@cases([(name, needs, script) for name, needs, script in TOOLS])
def tool_chain(t, needs, script):
    """50: gives the same inside."""
    pair = Pair(t)
    missing = [n for n in needs if not any(os.access(d + '/' + n, os.X_OK) for d in ('/usr/bin', '/usr/local/bin', '/bin'))]
    if missing:
        t.skip('no ' + ', '.join(missing))
    pair.run(script)


@test
def a_dry_run_is_the_same_each_time(t):
    """51: byte for byte, also of many at once; and starts nothing."""
    box = Box(t)
    os.mkdir(box.work + '/.vscode')
    flags = ['run', '--dry-run', '--allow', 'b.example', '--allow', 'a.example', '--read', '/usr/share', '--hide', '**/.env*',
             '--', 'touch', 'made']
    out = []
    threads = [threading.Thread(target=lambda: out.append(box.nsbox(*flags).ok().out)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(len(set(out)), 1, 'different texts')
    check(len(out) == 8 and 'a.example' in out[0] and not os.path.exists(box.work + '/made'), out[0])


@cases([('missing', 'missing', 'exist'), ('newline', 'a\nb', 'control'), ('control', 'a\x01b', 'control'), ('empty', '', ''),
        ('tilde-user', '~nobody/x', '~'), ('long', 'x' * 5000, 'long')])
def paths_that_are_refused(t, path, word):
    """55: with the reason, and nothing runs."""
    box = Box(t)
    for flag in ('--read', '--write', '--hide', '--protect'):
        result = box.sh('echo ran', flags=[flag, path])
        equal((result.code, result.out), (125, ''), '%s (%r)' % (flag, result))
        check(word in result.err and '\x01' not in result.err, '%s: %r' % (flag, result))


@cases([('quotes', 'a\'b"c'), ('shell', 'a&b;c|d$e`f'), ('blank', ' a b '), ('percent', 'a%2fb'), ('unicode', 'ünï'),
        ('dash', '-a'), ('backslash', 'a\\b'), ('equals', 'a=b')])
def paths_that_are_taken_as_they_are(t, name):
    """55: nothing in a name has a meaning."""
    box = Box(t)
    t.write('box/given/' + name + '/file', 'seen\n')
    path = os.path.join(box.dir, 'given', name)
    equal(read(path + '/file'), 'seen\n', 'the control')
    equal(box.sh('cat "$1/file"; echo x > "$1/made"', path, flags=['--read', path]).out, 'seen\n', 'read')
    box.sh('echo x > "$1/made"', path, flags=['--write', path]).ok()
    equal(read(path + '/made'), 'x\n', 'written')
