# SPDX-License-Identifier: Apache-2.0
"""The host's part of single attempts: what it does before, in the middle of, and after the command in the sandbox.
before(place) may return a reason to skip; during(place, control) runs beside the command; oracle(place, run) returns
what is wrong, or None."""
import fcntl
import glob
import hashlib
import os
import socket
import struct
import subprocess
import termios
import time

import host

GROUPS = 'empty 65534, ' + ''.join('%d,' % g for g in os.getgroups())
IDS = '%d:%d' % (os.getuid(), os.getgid())
OK_FOR_ROOT = 'ok' if os.getuid() == 0 else ''


def wait_ready(place):
    return host.wait_until(lambda: os.path.exists(place.work + '/ready'), 60)


def go(place):
    with open(place.work + '/go', 'w'):
        pass


def move_out(place, _control):
    if wait_ready(place):
        os.rename(place.work + '/sub', place.outside + '/moved')
        place.before = place.look()
        go(place)


def moved_untouched(place, _run):
    if not os.path.exists(place.outside + '/moved/deep/file'):
        return 'the host could not move the directory away'
    return None


def make_set_uid(place):
    """A set-uid and set-gid program of somebody else: only root can make one for the test."""
    path = place.work + '/suid'
    with open(place.host.probe, 'rb') as f, open(path, 'wb') as copy:
        copy.write(f.read())
    if os.getuid():
        return 'only root can make a set-user-ID file of another user'
    os.chown(path, 65534, 65534)
    os.chmod(path, 0o6755)
    return None


def make_node(place):
    if os.getuid() == 0:
        os.mknod(place.work + '/node', 0o20666, os.makedev(1, 3))
        os.chmod(place.work + '/node', 0o666)
        place.facts['node'] = place.work + '/node'
    return None


def nothing_made(place, run):
    for name in ['/tmp/made-', '/dev/shm/made-', '/var/tmp/made-']:
        if os.path.exists(name + place.host.mark):
            return name + '... is on the host'
    return None


def owned_by_caller(place, _run):
    for name in ('owned', 'owned.d'):
        st = os.lstat(os.path.join(place.work, name))
        if (st.st_uid, st.st_gid) != (os.getuid(), os.getgid()):
            return '%s belongs to %d:%d' % (name, st.st_uid, st.st_gid)
    return None


def product_digest(place):
    digest = hashlib.sha256()
    prefix = os.path.dirname(os.path.dirname(place.host.nsbox))
    for path in sorted([place.host.nsbox] + glob.glob(prefix + '/libexec/nsbox/*') + glob.glob(prefix + '/lib*/*.so*')):
        if os.path.isfile(path):
            with open(path, 'rb') as f:
                digest.update(f.read())
    return digest.hexdigest()


_product = {}


def product_unchanged(place, _run):
    if place.host.nsbox not in _product:
        _product[place.host.nsbox] = product_digest(place)
        return None
    return None if product_digest(place) == _product[place.host.nsbox] else 'a program of nsbox was changed'


def remember_product(place):
    product_unchanged(place, None)


def world_silent(place, _run):
    """Nothing at all may have arrived in the world."""
    with open(place.dir + '/world.log') as f:
        came = f.read().split('\n')[:-1]
    return 'arrived outside: %s' % ', '.join(sorted(set(came))) if came else None


def pick_port(place):
    s = socket.socket()
    s.bind(('127.0.0.1', 0))
    place.facts['listen_port'] = s.getsockname()[1]
    s.close()


def knock(place, control):
    """Tries to reach the port that the command listens on, at every address of the host."""
    place.facts['knocked'] = False
    if not wait_ready(place):
        return
    for address in ['127.0.0.1', place.host.address]:
        try:
            if address:
                socket.create_connection((address, place.facts['listen_port']), 0.5).close()
                place.facts['knocked'] = True
        except OSError:
            pass
    if not control:
        # a client of the host's own listener must get the host's listener
        with socket.create_connection(('127.0.0.1', place.host.listener.port), 2) as s:
            place.facts['stolen'] = s.recv(100) != b'canary\n'
    go(place)


def work_socket(place):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(place.work + '/w.sock')
    s.listen(8)
    s.settimeout(0.3)
    place.peer = s


def peer_is_caller(place, _run):
    try:
        c, _ = place.peer.accept()
    except OSError:
        return None
    _, uid, gid = struct.unpack('3i', c.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    c.close()
    return None if (uid, gid) == (os.getuid(), os.getgid()) else 'the host saw %d:%d' % (uid, gid)


def no_shm(place, _run):
    return 'its segment is on the host' if os.path.exists('/dev/shm/%s-inside' % place.host.mark) else None


def nothing_typed(_place, run):
    return 'typed into the caller\'s terminal: %r' % run.typed if run.typed else None


def terminal_same(_place, run):
    return 'the caller\'s terminal was changed: %s' % run.terminal_change if run.terminal_change else None


def settings_same(_place, run):
    """For a terminal that the call shares: its size is the emulator's to set again, and putting back an old one would
    undo a resize that happened meanwhile; SECURITY.md says so."""
    change = run.terminal_change or ''
    return 'the caller\'s terminal was changed: %s' % change if change.startswith('settings') else None


def any_step(run):
    return any(token == 'ok' and step != 'end' for step, token, _ in run.steps)


def terminal_changed(run):
    return run.terminal_change is not None


def no_escapee(_place, _run):
    def left():
        for name in os.listdir('/proc'):
            try:
                if name.isdigit() and open('/proc/%s/comm' % name, errors='replace').read() == 'nsbox-escapee\n':
                    return True
            except OSError:
                pass
        return False
    # That of another run of this attempt, as the other user, counts too.
    return None if host.wait_until(lambda: not left(), 60) else 'a process of the sandbox lives on'


def no_core(place, _run):
    found = glob.glob(place.work + '/core*')
    return 'a core file was written: %s' % found if found else None


def responsive(_place, run):
    return 'it took %.1f s' % run.seconds if run.seconds > 60 else None


class Terminal:
    """A terminal whose controlling process is the child; knows what it was like and what was typed into it."""

    def __init__(self):
        self.master, self.slave = os.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack('4H', 24, 80, 0, 0))
        self.before = self.look()

    def look(self):
        attributes = termios.tcgetattr(self.slave)
        return attributes, fcntl.ioctl(self.slave, termios.TIOCGWINSZ, b'\0' * 8)

    def adopt(self):
        """In the child, before exec."""
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def change(self):
        try:
            after = self.look()
        except (OSError, termios.error) as e:
            return 'gone: %s' % e
        for name, old, new in zip(('settings', 'size'), self.before, after):
            if old != new:
                return '%s: %r, was %r' % (name, new, old)
        return None

    def typed(self):
        """Characters waiting for the next reader of the terminal."""
        attributes = termios.tcgetattr(self.slave)
        attributes[3] &= ~(termios.ICANON | termios.ECHO)
        termios.tcsetattr(self.slave, termios.TCSANOW, attributes)
        n = struct.unpack('i', fcntl.ioctl(self.slave, termios.FIONREAD, b'\0' * 4))[0]
        return os.read(self.slave, n) if n else b''

    def close(self):
        os.close(self.master)
        os.close(self.slave)


def run_command(command, place, tty=None, stdin=None, timeout=90):
    """Runs it and gives (status, stdout, stderr, terminal)."""
    keywords = {'env': place.environment, 'cwd': place.work}
    terminal = None
    if tty:
        terminal = Terminal()
        process = subprocess.Popen(command, stdin=terminal.slave, stdout=terminal.slave, stderr=terminal.slave,
                                   preexec_fn=terminal.adopt, **keywords)
    else:
        source = subprocess.DEVNULL
        if stdin == 'file':
            source = os.open(place.outside + '/canary', os.O_RDONLY)
        elif stdin == 'directory':
            source = os.open(place.outside, os.O_RDONLY | os.O_DIRECTORY)
        process = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   start_new_session=True, **keywords)
        if isinstance(source, int) and source >= 0:
            os.close(source)
    out = err = b''
    try:
        if terminal:
            end = time.monotonic() + timeout
            os.set_blocking(terminal.master, False)
            while process.poll() is None and time.monotonic() < end:
                try:
                    out += os.read(terminal.master, 65536)
                except BlockingIOError:
                    time.sleep(0.01)
                except OSError:
                    time.sleep(0.01)
            process.wait(0.1)
            try:
                out += os.read(terminal.master, 1 << 20)
            except OSError:
                pass
        else:
            out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return -1, out.decode(errors='replace'), 'no end after %d s' % timeout, terminal
    return process.returncode, out.decode(errors='replace'), err.decode(errors='replace'), terminal
