# SPDX-License-Identifier: Apache-2.0
"""The host's side of the escape tests: canaries, secrets, listeners and processes to attack, and whether they were
touched. Each attempt gets directories and processes of its own, the negative control gets another set."""
import ctypes
import hashlib
import os
import random
import select
import shutil
import signal
import socket
import stat
import string
import subprocess
import tempfile
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
SYS_ADD_KEY, SYS_KEYCTL = 248, 250


def word(length=16):
    return ''.join(random.choice(string.ascii_lowercase) for _ in range(length))


def tree(path):
    """Everything below path that a sandbox must not change."""
    found = {}
    for directory, dirs, files in os.walk(path):
        for name in dirs + files + ['.']:
            full = os.path.join(directory, name)
            st = os.lstat(full)
            entry = [stat.S_IFMT(st.st_mode), stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_nlink]
            if stat.S_ISREG(st.st_mode):
                with open(full, 'rb') as f:
                    entry += [st.st_size, st.st_mtime_ns, hashlib.sha256(f.read()).hexdigest()]
                entry.append(sorted(os.listxattr(full)))
            elif stat.S_ISLNK(st.st_mode):
                entry.append(os.readlink(full))
            found[os.path.relpath(full, path)] = entry
    return found


def difference(before, after):
    for name in sorted(set(before) | set(after)):
        if before.get(name) != after.get(name):
            what = 'changed' if name in before and name in after else 'gone' if name in before else 'new'
            return '%s %s' % (name, what)
    return None


class Listener:
    """Answers "canary" on TCP and UDP, IPv4 and IPv6, and counts who came."""

    def __init__(self):
        self.contacts = 0
        self.sockets = []
        self.port = 0
        for family, kind in ((socket.AF_INET, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_DGRAM),
                             (socket.AF_INET6, socket.SOCK_STREAM), (socket.AF_INET6, socket.SOCK_DGRAM)):
            s = socket.socket(family, kind)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                s.bind(('::' if family == socket.AF_INET6 else '0.0.0.0', self.port))
            except OSError:
                continue  # no IPv6 here
            self.port = s.getsockname()[1]
            if kind == socket.SOCK_STREAM:
                s.listen(16)
            self.sockets.append(s)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            for s in select.select(self.sockets, [], [])[0]:
                try:
                    if s.type == socket.SOCK_STREAM:
                        c, _ = s.accept()
                        self.contacts += 1
                        c.sendall(b'canary\n')
                        c.shutdown(socket.SHUT_WR)
                        c.settimeout(0.2)
                        c.recv(1000)
                        c.close()
                    else:
                        _, peer = s.recvfrom(1000)
                        self.contacts += 1
                        s.sendto(b'canary\n', peer)
                except OSError:
                    pass


def outward_address():
    """An address of this machine that is not loopback (nothing is sent), or None."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.connect(('192.0.2.1', 9))
        address = s.getsockname()[0]
        return None if address.startswith('127.') else address
    except OSError:
        return None
    finally:
        s.close()


class Host:
    """What all attempts share."""

    def __init__(self, nsbox, probe, wrapper=None):
        self.nsbox = nsbox
        self.probe = probe
        self.wrapper = wrapper
        self.root = os.getuid() == 0
        self.mark = 'nsbox-escape-' + word(10)
        self.secret = 'sk-' + word(32)
        self.base = tempfile.mkdtemp(prefix='nsbox-escape-', dir='/tmp')
        os.chmod(self.base, 0o755)
        self.listener = Listener()
        self.address = outward_address()
        self.files = []
        self.unix = []
        self.tmp_file = self.make_file('/tmp/' + self.mark)
        self.shm_file = self.make_file('/dev/shm/' + self.mark)
        self.run_file = self.run_socket = None
        if self.root:
            self.run_file = self.make_file('/run/' + self.mark)
            self.run_socket = self.listen('/run/' + self.mark + '.sock')
        self.tmp_socket = self.listen('/tmp/' + self.mark + '.sock')
        self.abstract = self.listen('\0' + self.mark)
        self.abstract_dgram = self.listen('\0' + self.mark + '-d', socket.SOCK_DGRAM)
        self.ipc_key = random.randrange(1 << 20, 1 << 30)
        done = subprocess.run([probe, '@ipc', 'make', str(self.ipc_key), '/' + self.mark], stdout=subprocess.PIPE)
        self.shm_id = int(done.stdout or -1)
        # A keyring of this process, so that the test's key is nobody else's.
        LIBC.syscall(SYS_KEYCTL, 1, None)
        self.key = LIBC.syscall(SYS_ADD_KEY, b'user', self.mark.encode(), b'secret', 6, ctypes.c_int(-3))

    def make_file(self, path):
        with open(path, 'w') as f:
            f.write('canary\n')
        os.chmod(path, 0o666)
        self.files.append(path)
        return path

    def listen(self, name, kind=socket.SOCK_STREAM):
        s = socket.socket(socket.AF_UNIX, kind)
        s.bind(name)
        if kind == socket.SOCK_STREAM:
            s.listen(16)
        self.unix.append(s)
        if name[0] != '\0':
            os.chmod(name, 0o777)
            self.files.append(name)
        return name.lstrip('\0')

    def unix_contacts(self):
        """How many came to the sockets that nobody inside may reach; takes them off."""
        count = 0
        for s in self.unix:
            while select.select([s], [], [], 0)[0]:
                count += 1
                if s.type == socket.SOCK_STREAM:
                    s.accept()[0].close()
                else:
                    s.recv(100)
        return count

    def close(self):
        subprocess.run([self.probe, '@ipc', 'remove', str(self.ipc_key), '/' + self.mark])
        for path in self.files:
            try:
                os.unlink(path)
            except OSError:
                pass
        shutil.rmtree(self.base, ignore_errors=True)

    def environment(self, home):
        """A host environment full of things that must not get in."""
        return {
            'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', 'HOME': home, 'LANG': 'C.UTF-8', 'TERM': 'xterm',
            'USER': 'tester', 'XDG_STATE_HOME': os.path.join(self.base, 'state'),
            'XDG_RUNTIME_DIR': os.path.join(self.base, 'runtime'),
            'LD_LIBRARY_PATH': '/nonexistent', 'GCONV_PATH': '/nonexistent', 'BASH_ENV': '/nonexistent',
            'ENV': '/nonexistent', 'GIT_DIR': '/nonexistent', 'GIT_SSH': '/nonexistent',
            'SSH_AUTH_SOCK': self.tmp_socket, 'ESCAPE_SECRET': self.secret, 'AWS_SECRET_ACCESS_KEY': self.secret,
            'PYTHONPATH': '/nonexistent', 'NODE_OPTIONS': '--inspect', 'PERL5LIB': '/nonexistent',
            'http_proxy': 'http://127.0.0.1:1', 'DBUS_SESSION_BUS_ADDRESS': 'unix:path=/nonexistent',
            'DISPLAY': ':0', 'GLIBC_TUNABLES': 'glibc.malloc.tcache_count=7', 'MALLOC_PERTURB_': '1',
            **{k: v for k, v in os.environ.items() if k in ('ASAN_OPTIONS', 'UBSAN_OPTIONS', 'LSAN_OPTIONS')},
        }


class Victim:
    """A process of the host with a secret in its environment, and what it looked like before."""

    def __init__(self, host, environment):
        self.name = 'victim-' + word()
        self.process = subprocess.Popen([host.probe, '@victim', self.name], stdout=subprocess.PIPE, env=environment,
                                        start_new_session=True)
        self.memfd = self.process.stdout.readline().decode().strip()
        self.pid = self.process.pid
        self.before = self.look()

    def look(self):
        try:
            with open('/proc/%d/status' % self.pid) as f:
                lines = [line.replace('R (running)', 'S (sleeping)') for line in f
                         if line.split(':')[0] in ('State', 'Cpus_allowed_list', 'Uid', 'TracerPid')]
            with open('/proc/%d/stat' % self.pid, errors='replace') as f:
                nice = f.read().rsplit(')', 1)[1].split()[16]
            with open('/proc/%d/limits' % self.pid) as f:
                lines += [line for line in f if line.startswith('Max open files')]
            with open('/proc/%d/oom_score_adj' % self.pid) as f:
                return lines, nice, f.read()
        except OSError:
            return None

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


class Place:
    """The directories of one attempt (or of its control) and what the probe is told about them."""

    def __init__(self, host, name):
        self.host = host
        self.dir = os.path.join(host.base, name)
        self.work, self.ro, self.outside, self.home, self.share = (
            os.path.join(self.dir, n) for n in ('work', 'ro', 'outside', 'home', 'share'))
        for path in (self.work, self.ro, self.outside, self.home, self.share):
            os.makedirs(path)
        for name in ('canary', 'canary2', 'canary3'):
            self.write('outside/' + name, 'canary ' + name)
        self.write('outside/secret', host.secret)
        os.mkdir(os.path.join(self.outside, 'empty.d'))
        for name in ('file', 'file2', 'victim'):
            self.write('ro/' + name, name * 2000)
        try:
            os.setxattr(os.path.join(self.ro, 'file'), 'user.present', b'1')
        except OSError:
            pass
        self.write('home/note', 'private')
        self.write('home/.ssh/id_ed25519', host.secret)
        self.home_socket = socket.socket(socket.AF_UNIX)
        self.home_socket.bind(os.path.join(self.home, 'agent.sock'))
        self.home_socket.listen(4)
        self.write('work/plain', 'plain')
        self.write('work/evil', '#!/bin/sh\n')
        self.write('work/evil.d/hook', '#!/bin/sh\n')
        self.write('work/pfile', 'protected')
        self.write('work/pdir/file', 'protected')
        self.write('work/a/b/pdeep', 'protected')
        self.write('work/sub/deep/file', 'x')
        self.write('work/.git/config', '[core]\n\tbare = false\n')
        self.write('work/.git/HEAD', 'ref: refs/heads/main\n')
        self.write('work/.git/hooks/post-merge', '#!/bin/sh\n', 0o755)
        for name, target in (('plink', 'pfile'), ('abs', self.outside + '/secret'), ('rel', '../outside/secret'),
                             ('dir', self.outside), ('canary-link', self.outside + '/canary'),
                             ('dangling', self.outside + '/dangling')):
            os.symlink(target, os.path.join(self.work, name))
        shutil.copy(host.probe, os.path.join(self.work, 'probe'))
        self.environment = host.environment(self.home)
        self.victim = Victim(host, self.environment)
        self.before = self.look()
        self.facts = {}
        self.boxes = []

    def write(self, name, text, mode=0o600):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as f:
            f.write(text)
        os.chmod(path, mode)

    def look(self):
        return {n: tree(os.path.join(self.dir, n)) for n in ('outside', 'ro', 'home', 'work/pdir', 'work/.git/hooks')}

    def touched(self):
        """What of the host changed although it must not have, or None."""
        after = self.look()
        for name, before in self.before.items():
            what = difference(before, after[name])
            if what:
                return '%s: %s' % (name, what)
        with open(os.path.join(self.work, 'pfile')) as f:
            if f.read() != 'protected':
                return 'work/pfile changed'
        if select.select([self.home_socket], [], [], 0)[0]:
            return 'the socket in the home directory was reached'
        if self.victim.process.poll() is not None:
            return 'a process of the host ended'
        if self.victim.look() != self.victim.before:
            return 'a process of the host changed: %s' % (self.victim.look(),)
        return None

    def arguments(self, **more):
        host = self.host
        facts = {
            'work': self.work, 'ro': self.ro, 'out_dir': self.outside, 'home': self.home, 'share': self.share,
            'rel': '../outside/secret', 'mark': host.mark, 'port': host.listener.port, 'victim': self.victim.pid,
            'memfd': self.victim.memfd, 'needle': host.secret[::-1], 'needle_argv': self.victim.name[::-1],
            'tmp_file': host.tmp_file, 'shm_file': host.shm_file, 'tmp_socket': host.tmp_socket,
            'abstract': host.abstract, 'abstract_dgram': host.abstract_dgram, 'ipc_key': host.ipc_key,
            'shm_id': host.shm_id, 'key_id': host.key, 'product': host.nsbox,
        }
        if host.address:
            facts['host_addr'] = host.address
        if host.run_file:
            facts['run_file'] = host.run_file
            facts['run_socket'] = host.run_socket
        facts.update(self.facts)
        facts.update(more)
        return ['%s=%s' % item for item in facts.items()]

    def close(self):
        for box in self.boxes:
            box.close()
        self.victim.end()
        self.home_socket.close()
        subprocess.run(['chmod', '-R', 'u+rwX', self.dir], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.dir, ignore_errors=True)


def from_options(parser, options):
    """The host for the options --prefix, or --nsbox and --probe."""
    nsbox = options.nsbox or (os.path.join(options.prefix, 'bin/nsbox') if options.prefix else None)
    probe = options.probe or (os.path.join(options.prefix, '../build/tests/escape/escape-probe')
                              if options.prefix else None)
    wrapper = getattr(options, 'wrapper', None)
    needed = [probe] + ([nsbox] if wrapper != 'bwrap' else [])
    if not all(path and os.access(path, os.X_OK) for path in needed):
        parser.error('needs --nsbox and --probe, or --prefix of an installation beside its build')
    return Host(os.path.realpath(nsbox or '/nonexistent/bin/nsbox'), os.path.realpath(probe), wrapper)


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())


def command_line(pid):
    """Of a process; of any thread of it, should the first be gone."""
    with open('/proc/%s/cmdline' % pid, 'rb') as f:
        line = f.read()
    for thread in os.listdir('/proc/%s/task' % pid) if not line else ():
        with open('/proc/%s/task/%s/cmdline' % (pid, thread), 'rb') as f:
            line += f.read()
    return line


def own_processes(mark):
    """Processes whose command line contains mark, except this one: {pid: command line}."""
    found = {}
    for name in os.listdir('/proc'):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            line = command_line(name)
        except OSError:
            continue
        if mark.encode() in line:
            found[int(name)] = line.replace(b'\0', b' ').decode(errors='replace')
    return found


def descendants(pid):
    """pid and every process below it, by the parent numbers in /proc."""
    parents = {}
    for name in os.listdir('/proc'):
        if name.isdigit():
            try:
                with open('/proc/%s/stat' % name, errors='replace') as f:
                    parents[int(name)] = int(f.read().rsplit(')', 1)[1].split()[1])
            except OSError:
                pass
    found = {pid}
    while True:
        more = {p for p, parent in parents.items() if parent in found and p not in found}
        if not more:
            return found
        found |= more
