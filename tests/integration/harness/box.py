# SPDX-License-Identifier: Apache-2.0
"""Running the built nsbox as a user with a home, a workspace and a state directory of its own."""
import glob
import json
import os
import re
import signal
import subprocess
import time

from .registry import check, descendants, equal, until

PYTHON = '/usr/bin/python3'
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'inside.py')) as source:
    INSIDE = source.read()


def without_asan(err):
    """ASan says this once where a child runs on a stack of its own, which is on purpose and harmless."""
    return re.sub(r'==\d+==WARNING: ASan is ignoring requested __asan_handle_no_return.*\n.*\n.*\n', '',
                  err.decode('utf-8', 'replace'))


class Result:
    def __init__(self, code, out, err, seconds):
        self.code = code
        self.out_bytes = out
        self.out = out.decode('utf-8', 'replace')
        self.err = without_asan(err)
        self.seconds = seconds

    def __repr__(self):
        return 'exit %r, stdout %.1200r, stderr %.1200r' % (self.code, self.out, self.err)

    def ok(self):
        equal(self.code, 0, 'exit status (%r)' % self)
        return self

    def json(self):
        """The last line of stdout, which the scripts that run inside print with out()."""
        lines = self.out.strip().splitlines()
        check(lines and lines[-1][:1] in '{["0123456789tfn-', 'no result printed: %r' % self)
        return json.loads(lines[-1])


class Box:
    def __init__(self, t, name='box'):
        self.t = t
        self.dir = t.path(name)
        self.home = os.path.join(self.dir, 'home')
        self.work = os.path.join(self.dir, 'work')
        self.state = os.path.join(self.dir, 'state')
        for directory in (self.home, self.work, self.state, self.dir + '/runtime', self.home + '/.ssh'):
            os.makedirs(directory, mode=0o700)
        t.write(name + '/home/.ssh/id_ed25519', 'CANARY-SSH-KEY\n')
        t.write(name + '/home/canary', 'CANARY-HOME\n')
        self.nsbox_path = os.path.join(t.prefix, 'bin', 'nsbox')
        self.flags = []
        self.env = {'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', 'HOME': self.home, 'LANG': 'C.UTF-8',
                    'XDG_STATE_HOME': self.state, 'XDG_RUNTIME_DIR': self.dir + '/runtime',
                    'LD_LIBRARY_PATH': os.path.join(t.prefix, 'lib')}

    def connect(self, origin, *hosts, port=443, ca=True):
        """Dial this origin for the hosts, and trust the test authority for them."""
        for host in hosts:
            self.flags += ['--connect-to', '%s:%d:127.0.0.1:%d' % (host, port, origin.port)]
        if ca and '--upstream-ca' not in self.flags:
            self.flags += ['--upstream-ca', self.t.pki.ca]
        return self

    def add(self, *flags, **env):
        self.flags += flags
        self.env.update(env)
        return self

    def start(self, *args, **kwargs):
        kwargs.setdefault('cwd', self.work)
        kwargs.setdefault('env', self.env)
        kwargs.setdefault('stdin', subprocess.DEVNULL)
        kwargs.setdefault('stdout', subprocess.PIPE)
        kwargs.setdefault('stderr', subprocess.PIPE)
        return subprocess.Popen([self.nsbox_path, *args], **kwargs)

    def nsbox(self, *args, input=None, timeout=50, **kwargs):
        """Any subcommand, to its end; so many seconds on a machine that is not slow."""
        timeout *= self.t.slowness
        if input is not None:
            kwargs['stdin'] = subprocess.PIPE
            input = input.encode() if isinstance(input, str) else input
        begin = time.monotonic()
        process = self.start(*args, **kwargs)
        try:
            out, err = process.communicate(input, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError('nsbox %r: no end in %d s, stdout %.800r, stderr %.800r'
                                 % (args[:1], timeout, out[-800:], err[-800:]))
        return Result(process.returncode, out or b'', err or b'', time.monotonic() - begin)

    def run(self, *command, flags=(), **kwargs):
        return self.nsbox('run', *self.flags, *flags, '--', *command, **kwargs)

    def sh(self, script, *args, **kwargs):
        return self.run('/bin/sh', '-c', script, 'sh', *args, **kwargs)

    def python_command(self, script, *args):
        return [PYTHON, '-c', INSIDE + '\n' + script, *[str(a) for a in args]]

    def python(self, script, *args, **kwargs):
        """Run a script inside, with the functions of inside.py at hand."""
        return self.run(*self.python_command(script, *args), **kwargs)

    def start_python(self, script, *args, **kwargs):
        return self.start('run', *self.flags, '--', *self.python_command(script, *args), **kwargs)

    def logs(self):
        return sorted(glob.glob(self.state + '/nsbox/audit/*.jsonl'), key=os.path.getmtime)

    def audit(self, event=None, **members):
        """Records of the newest log; all of them or those with this event and these members."""
        logs = self.logs()
        check(logs, 'there is no audit log below ' + self.state)
        with open(logs[-1]) as f:
            # Who reads while it is written may see a part of the last line.
            records = [json.loads(line) for line in f if line.endswith('\n')]
        return [r for r in records if (event is None or r['event'] == event) and
                all(r.get(k) == v for k, v in members.items())]

    def helper(self, name):
        """pid of this test's one helper process of that name (names are cut at 15 bytes)."""
        def named():
            return [pid for pid, n in descendants(os.getpid()).items() if n == name[:15]]
        # A copy that is being started has the name of its parent for a moment.
        until(lambda: len(named()) == 1, message='not one process %s' % name)
        return named()[0]


def peak_memory(pid):
    """VmHWM in bytes."""
    with open('/proc/%d/status' % pid) as f:
        for line in f:
            if line.startswith('VmHWM:'):
                return int(line.split()[1]) * 1024
    raise AssertionError('no VmHWM')
