# SPDX-License-Identifier: Apache-2.0
"""Runs in which one system call of the set-up fails, and what has to hold for each of them."""
import collections
import hashlib
import json
import os
import random
import shutil
import subprocess
import time

from .box import Box, without_asan
from .registry import check, descendants, equal, reap

SANITIZED = 'NSBOX_SANITIZED' in os.environ
EVERY = 'NSBOX_FAULT_ALL' in os.environ
# Where the tests run as two users (run.sh), each takes one half of the sample: the system calls are nearly the same.
SHARE, SHARES = map(int, os.environ.get('NSBOX_TEST_SHARE', '0/1').split('/'))
Hit = collections.namedtuple('Hit', 'call process arguments path')

# Those that say only that something is gone: right when the talk between two processes was what failed.
VAGUE = ('has ended unexpectedly', 'was lost', 'Connection reset')

# With sanitizers only what their own code does not call; it would end the process.
NOT_OF_SANITIZERS = {
    'fsopen', 'fsconfig', 'fsmount', 'move_mount', 'open_tree', 'mount_setattr', 'pivot_root', 'umount2', 'openat2',
    'mkdirat',
    'symlinkat', 'mknodat', 'fchdir', 'fchmod', 'sethostname', 'clone3', 'unshare', 'setns', 'execveat', 'setsid',
    'capset',
    'capget', 'seccomp', 'landlock_create_ruleset', 'landlock_add_rule', 'landlock_restrict_self', 'close_range',
    'socketpair', 'memfd_create', 'epoll_create1', 'epoll_ctl', 'signalfd4', 'dup3', 'sendmsg', 'recvmsg', 'bind',
    'listen',
    'setsockopt', 'getsockopt', 'accept4', 'connect', 'fdatasync', 'flock', 'renameat', 'faccessat2'}


def program(t, name):
    path = os.path.join(os.path.dirname(t.prefix), 'build', 'tests', 'integration', name)
    check(os.access(path, os.X_OK), '%s was not built' % path)
    return path


def chain_problem(path):
    """What is wrong with an audit log, or None."""
    with open(path, 'rb') as f:
        data = f.read()
    head = '0' * 64
    for n, line in enumerate(data.split(b'\n')[:-1], 1):
        body = line.rsplit(b',"hash":"', 1)[0]
        record = json.loads(line)
        if record['prev'] != head or record['hash'] != hashlib.sha256(body + b'}').hexdigest():
            return 'record %d does not follow the one before it' % n
        head = record['hash']
    return None if data.endswith(b'\n') or not data else 'half a record at the end'


def host_state():
    with open('/proc/self/mountinfo') as f:
        mounts = f.read()
    return mounts, set(os.listdir('/sys/class/net'))


class Faults:
    """One command, run again and again with another fault each time."""

    def __init__(self, t, command, marks=('-e',)):
        self.t = t
        self.box = Box(t)
        self.box.env['HOME'] = self.box.home
        self.inject = program(t, 'fault_inject')
        self.canary = self.box.work + '/fault_canary'
        shutil.copy(program(t, 'fault_canary'), self.canary)
        self.result = self.box.work + '/result'
        for name in ('.git/hooks/post-commit', '.git/config', '.envrc', '.claude/settings.json', '.vscode/tasks.json',
                     'kept/file', 'read-only/file', '.env', 'hidden/file', 'inner/file'):
            t.write('box/work/' + name, 'of the workspace\n')
        self.report = t.path('report')
        self.secret = t.write('outside', 'not for the sandbox\n')
        self.command = command(self)
        self.marks = list(marks)
        self.host = {}
        for name in os.listdir('/proc/self/ns'):
            self.host[name] = str(os.stat('/proc/self/ns/' + name).st_ino)
        self.before = host_state()
        self.quiet = False  # a program that says on stdout what failed, and ends with 95
        self.baseline = None
        self.seen = collections.Counter()   # (what happened, call, process, error) -> how often

    def canary_command(self):
        return [self.canary, self.result, self.secret]

    def run(self, call, error, when):
        """(exit status, stdout, stderr, hit or None, {call: how often})"""
        for path in (self.result, self.result + '.2', self.result + '.part', self.result + '.2.part', self.report):
            if os.path.exists(path):
                os.unlink(path)
        done = subprocess.run([self.inject, *self.marks, self.report, call, error, str(when), *self.command],
                              env=self.box.env, cwd=self.box.work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=180)
        hit, counts = None, {}
        with open(self.report) as f:
            for line in f:
                words = line.split()
                if words[0] == 'hit':
                    hit = Hit(words[1], ' '.join(words[2:-4]), tuple(int(w) for w in words[-4:-1]), words[-1])
                else:
                    counts[words[1]] = int(words[2])
        return done.returncode, done.stdout.decode(), without_asan(done.stderr), hit, counts

    def what_holds(self, suffix=''):
        """What the canary wrote: (everything that has to be the same, namespaces), or None."""
        try:
            with open(self.result + suffix) as f:
                lines = f.read().splitlines()
        except FileNotFoundError:
            return None
        spaces = {line.split()[1]: line.split()[2] for line in lines if line.startswith('ns ')}
        return [line for line in lines if not line.startswith('ns ')], spaces

    def weaker(self, may_differ=(), suffix=''):
        """How what held the canary differs from the baseline: '' when all is in force."""
        held, spaces = self.what_holds(suffix)
        held = [line for line in held if not line.startswith(may_differ)] if may_differ else held
        shared = [name for name in ('user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup')
                  if spaces.get(name, '0') in ('0', self.host[name])]
        missing = [line for line in self.baseline
                   if line not in held and not (may_differ and line.startswith(may_differ))]
        # More of /proc may be hidden when it could not be looked at.
        more = [line for line in held if line not in self.baseline and
                not (line.startswith('mount /proc/') and ' ro,' in line)]
        if not (shared or missing or more):
            return ''
        return 'weaker: shares %r, lacks %r, has instead %r' % (shared, missing[:5], more[:5])

    def measure(self, calls):
        """The baseline, and how often each call happens: the middle of some runs, as what is made ahead varies."""
        seen = collections.defaultdict(list)
        for _ in range(5):
            status, out, err, _, counts = self.run(','.join(calls), 'EPERM', 0)
            equal(status, 0, 'a run without a fault (%r, %r)' % (out, err))
            held = self.what_holds()
            check(held, 'the canary wrote nothing')
            check(self.baseline in (None, held[0]), 'two runs without a fault differ: %r'
                  % sorted(set(self.baseline or []) ^ set(held[0])))
            self.baseline = held[0]
            equal(self.weaker(), '', 'a run without a fault')
            for call, n in counts.items():
                seen[call].append(n)
            equal(self.left(), [], 'left after a run without a fault')
        return {call: sorted(n)[len(n) // 2] for call, n in seen.items()}

    def left(self):
        """What a run left on the host."""
        found, end = [], time.monotonic() + 10
        while True:
            reap()
            left = descendants(os.getpid())
            if not left or time.monotonic() > end:
                break
            time.sleep(0.002)
        found += ['process ' + n for n in left.values()]
        for root in (self.box.state, self.box.dir + '/runtime'):
            for directory, _, names in os.walk(root):
                for name in names:
                    path = os.path.join(directory, name)
                    inside = os.path.relpath(path, root)
                    if inside == 'nsbox/format':
                        continue
                    problem = chain_problem(path) if inside.startswith('nsbox/audit/') else 'left behind'
                    if problem:
                        found.append('%s: %s' % (inside, problem))
                    os.unlink(path)
        return found

    def recorded(self):
        """Whether the audit log says why the sandbox, or its call, ended as it did."""
        records = self.box.audit('sandbox.exit') + self.box.audit('limit.hit') if self.box.logs() else []
        return any(r.get('reason') for r in records)

    def one(self, call, error, when, rules):
        """What is wrong with this case, or None."""
        status, out, err, hit, _ = self.run(call, error, when)
        held = self.what_holds()
        problem = self.weaker(rules.may_differ(hit)) if held else ''
        if hit is None:
            kind = 'missed'
            problem = problem or ('' if status == 0 else 'it failed without a fault: %r' % err)
        elif status in (98, 99):
            kind = 'hang'
            problem = problem or ('no end in time' if status == 98 else 'processes were left')
        elif status == 0:
            kind = 'good'
            if not held:
                # A call that was killed with its sandbox is one that ended, for a program that only prints it.
                problem = '' if self.quiet and ' ok 0 9' in out and self.recorded() else 'success without a canary'
            elif not problem and error != 'EINTR' and not rules.optional(hit) and not (
                    rules.ended_later(hit) and self.recorded()):
                problem = 'as if nothing had failed'
        else:
            kind = 'late' if held else 'refused'
            problem = problem or self.unclear(status, err, hit, rules)
        if os.path.exists(self.result + '.2'):
            problem = problem or self.weaker(rules.may_differ(hit), '.2')
        problem = problem or (hit and rules.judge(hit, status, out))
        left = self.left()
        if left:
            problem = (problem + '; ' if problem else '') + 'left: %r' % left[:3]
        self.seen[kind] += 1
        if os.environ.get('NSBOX_FAULT_LOG') and hit:
            with open(os.environ['NSBOX_FAULT_LOG'], 'a') as f:
                f.write('%s %s %s %s %r %s %r %r\n' % (kind, call, error, hit.process, hit.arguments, hit.path,
                                                       err[-200:], problem))
        if not problem:
            return None
        return '%s %d fails with %s (%s): exit %d, %r: %s' % (
            call, when, error, '%s %r %s' % hit[1:] if hit else 'not met', status, err.strip()[-300:], problem)

    def unclear(self, status, err, hit, rules):
        """What is wrong with how the failure was told, or ''."""
        if self.quiet:
            return '' if status == 95 and not err else 'exit status %d' % status
        if status == 127 and 'error while loading shared libraries' in err and hit.process in ('nsbox', 'fault_call'):
            return ''  # said by the loader, before our first instruction
        if status == 137 and (not err or err.startswith('nsbox: the sandbox ended, and the command with it: ')):
            return '' if self.recorded() else 'killed, and the log does not say why'
        if status not in ((125, 126, 127) if hit.call == 'execve' else (125,)):
            return 'exit status %d' % status
        lines = [line for line in err.splitlines() if not line.startswith('nsbox: warning: ')]
        if len(lines) != 1 or not lines[0].startswith('nsbox: '):
            return 'not one message'
        if any(word in lines[0] for word in VAGUE) and not rules.vague(hit):
            return 'does not say what failed'
        return ''

    def all(self, plan, seed, most, rules, seconds):
        """plan: {call: errors}. The first of each kind, then a sample of the rest, at most so many cases; of them the
        share of this run."""
        if SANITIZED:
            plan = {call: errors for call, errors in plan.items() if call in NOT_OF_SANITIZERS}
        counts = self.measure(list(plan))
        first, rest = [], []
        for call, errors in plan.items():
            for error in errors:
                for when in range(1, counts[call] + 1):
                    (first if when in (1, counts[call]) else rest).append((call, error, when))
        random.Random(seed).shuffle(rest)
        # The rest evenly over the calls: some are made a hundred times.
        by_call = collections.defaultdict(list)
        for case in rest:
            by_call[case[:2]].append(case)
        random.Random(seed).shuffle(first)
        chosen = list(dict.fromkeys(first))
        while len(chosen) < most and any(by_call.values()):
            for cases in by_call.values():
                if cases and len(chosen) < most:
                    chosen.append(cases.pop())
        if not EVERY:
            chosen = chosen[SHARE::SHARES]
        problems, end = [], time.monotonic() + seconds
        for done, case in enumerate(chosen):
            if time.monotonic() > end or len(problems) >= 40:
                break
            problem = self.one(*case, rules)
            if problem:
                problems.append(problem)
        else:
            done = len(chosen)
        print('%d of %d cases, %r' % (done, sum(counts[c] * len(e) for c, e in plan.items()), dict(self.seen)))
        for problem in problems:
            print(problem)
        equal(problems[:1], [], '%d problems in %d cases, the first' % (len(problems), done))
        check(self.seen['missed'] < done / 2 + 3, 'too many were not met: %r' % self.seen)
        # A machine that has no time gets fewer of them, in an order that is always the same.
        check(done >= min(len(chosen), 40), 'only %d of %d cases in time' % (done, len(chosen)))
        mounts, links = host_state()
        equal(mounts, self.before[0], 'mounts of the host')
        check(links <= self.before[1], 'interfaces on the host: %r' % (links - self.before[1]))
