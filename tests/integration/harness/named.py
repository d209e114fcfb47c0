# SPDX-License-Identifier: Apache-2.0
"""Named sandboxes of one test: removed at its end, whatever happened, and then nothing of them may be left."""
import json
import os
import time

from .box import Box
from .registry import check, equal, until

# What stays for good in a state directory, and what the audit logs are.
KEPT = {'format', 'audit', 'sandboxes', 'sandboxes/.lock', 'run'}


class Named(Box):
    """with Named(t) as box: ..."""

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for entry in self.ls():
            self.nsbox('rm', '-f', entry['name'])
        if kind is None:
            equal(self.ls(), [], 'sandboxes after all were removed')
            until(lambda: not self.left(), 20, 'left in the state and runtime directories: %r' % self.left())
            for log in self.logs():
                done = self.nsbox('audit', 'verify', '--file', log)
                equal(done.code, 0, 'audit verify of %s (%r)' % (log, done))
        return False

    def ls(self):
        return self.nsbox('ls', '--json').ok().json()

    def find(self, name):
        return next((e for e in self.ls() if e['name'] == name), None)

    def create(self, name, *flags):
        done = self.nsbox('create', '--name', name, '--net', 'none', *flags).ok()
        equal(done.out, name + '\n', 'what create prints')

    def exec(self, name, *command, flags=(), **kwargs):
        return self.nsbox('exec', name, *flags, '--', *command, **kwargs)

    def start_exec(self, name, *command, flags=(), **kwargs):
        return self.start('exec', name, *flags, '--', *command, **kwargs)

    def inspect(self, name):
        return self.nsbox('inspect', name).ok().json()

    def calls(self, name):
        """Those that run, by argv[0]."""
        return {c['argv'][0]: c for c in self.inspect(name)['calls'] if c['state'] == 'running'}

    def left(self):
        """Files that nobody needs any more, as paths below the state or the runtime directory."""
        found = []
        for root in (self.state + '/nsbox', self.dir + '/runtime/nsbox'):
            for directory, dirs, names in os.walk(root):
                found += [os.path.relpath(os.path.join(directory, n), root) for n in dirs + names]
        return sorted(f for f in found if f not in KEPT and not f.startswith('audit/'))


def gone(pids):
    """Whether none of the processes runs any more."""
    for pid in pids:
        try:
            with open('/proc/%d/stat' % pid, errors='replace') as f:
                if f.read().rsplit(') ', 1)[1][0] not in 'ZX':
                    return False
        except OSError:
            pass
    return True


def within(seconds, condition, what):
    """The time that it took."""
    begin = time.monotonic()
    until(condition, seconds, '%s: not within %.1f s' % (what, seconds))
    return time.monotonic() - begin


def lines(process, n):
    """The next n lines of its stdout."""
    return [process.stdout.readline().decode() for _ in range(n)]


def refused(result, *words):
    """It failed with one message that names all of these."""
    equal(result.code, 125, 'exit status (%r)' % result)
    check(result.err.startswith('nsbox: '), 'a message: %r' % result)
    for word in words:
        check(word in result.err, '%r is not in the message: %r' % (word, result))


def records(path):
    with open(path) as f:
        return [json.loads(line) for line in f]
