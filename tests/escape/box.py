# SPDX-License-Identifier: Apache-2.0
"""A named sandbox for a test, and calls in it."""
import os
import subprocess

import host


class Box:
    """Made at once; close() removes it with everything that runs in it."""

    def __init__(self, nsbox, environment, work, options=()):
        self.nsbox = nsbox
        self.environment = environment
        self.work = work
        self.name = 'escape-' + host.word(12)
        self.command('create', '--name', self.name, '-C', work, *options, check=True)

    def command(self, *words, check=False, timeout=60):
        """Runs nsbox with these words: (status, stdout, stderr)."""
        done = subprocess.run([self.nsbox] + list(words), env=self.environment, cwd=self.work, timeout=timeout,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              errors='replace')
        if check and done.returncode:
            raise RuntimeError('nsbox %s ended with %d: %s' % (words[0], done.returncode, done.stderr.strip()[-300:]))
        return done.returncode, done.stdout, done.stderr

    def words(self, isolation, command, options=()):
        return [self.nsbox, 'exec', self.name, '--isolation', isolation] + list(options) + ['--'] + list(command)

    def run(self, isolation, command, options=(), timeout=60):
        return self.command(*self.words(isolation, command, options)[1:], timeout=timeout)

    def start(self, isolation, command, options=(), **keywords):
        keywords = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, **keywords}
        return subprocess.Popen(self.words(isolation, command, options), env=self.environment, cwd=self.work,
                                start_new_session=True, **keywords)

    def alive(self):
        return self.run('light', ['/usr/bin/true'])[0] == 0

    def close(self):
        return self.command('rm', '-f', self.name)


def numbers(pid):
    """The process numbers of a process of the host, outermost pid namespace first."""
    try:
        with open('/proc/%d/status' % pid) as f:
            for line in f:
                if line.startswith('NSpid:'):
                    return [int(n) for n in line.split()[1:]]
    except OSError:
        pass
    return []


def parent(pid):
    with open('/proc/%d/stat' % pid, errors='replace') as f:
        return int(f.read().rsplit(')', 1)[1].split()[1])


def comm(pid):
    try:
        with open('/proc/%d/comm' % pid, errors='replace') as f:
            return f.read().strip()
    except OSError:
        return ''


def supervisor(nsbox, environment, name):
    """The process number of a sandbox's supervisor."""
    done = subprocess.run([nsbox, 'ls'], env=environment, stdout=subprocess.PIPE, text=True)
    for line in done.stdout.splitlines():
        if line.split()[:1] == [name]:
            return int(line.split()[2])
    return 0


def descriptors(pid):
    try:
        return len(os.listdir('/proc/%d/fd' % pid))
    except OSError:
        return -1
