#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the command, the supervisor, the gateway and the launcher at random moments: nothing may be left.

usage: kill9.py --prefix DIR | --nsbox PATH   [--runs 200] [--seconds 85] [--seed N] [-v]
Prints `ok kill9-WHO` or `not ok kill9-WHO: why` for each of the four, and for the state afterwards.

The test makes itself the subreaper of all it starts: what is below it in the tree is its own, whoever else runs nsbox
on this machine, and only that is looked at and killed."""
import argparse
import ctypes
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PR_SET_CHILD_SUBREAPER = 36
WHO = ('cli', 'supervisor', 'gateway', 'launcher')
# What is left after so many seconds stays. All is gone within a second, but for the few times in which a loaded machine
# did not let it.
LEFT = 20.0
SECOND = 1.0
# Something ordinary, something in a session of its own, and something that ignores being asked.
COMMAND = ['/bin/sh', '-c', 'echo x >made; (setsid sh -c "trap \\"\\" TERM HUP INT; sleep 61" &) ; sleep 60']


def process_table():
    """{pid: (parent, name, state)}"""
    table = {}
    for name in os.listdir('/proc'):
        if name.isdigit():
            try:
                with open('/proc/%s/stat' % name, errors='replace') as f:
                    text = f.read()
            except OSError:
                continue
            rest = text.rsplit(')', 1)[1].split()
            table[int(name)] = (int(rest[1]), text[text.index('(') + 1:text.rindex(')')], rest[0])
    return table


def mine():
    """{pid: (parent, name, state)} of everything below this process. Reaps what has ended."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                break
        except ChildProcessError:
            break
    table = process_table()
    found = {os.getpid()}
    while True:
        more = {p for p, entry in table.items() if entry[0] in found and p not in found}
        if not more:
            return {p: table[p] for p in found - {os.getpid()}}
        found |= more


def find(who, cli, table):
    """The pid of that process of this run, or None when there is none (yet)."""
    supervisors = [p for p, e in table.items() if e[1].startswith('nsbox-superv')]
    # The launcher is a copy of the supervisor: a child of one, whatever it calls itself.
    first = [p for p in supervisors if table[p][0] not in supervisors]
    if who == 'cli':
        return cli if cli in table else None
    if who == 'supervisor':
        return first[0] if first else None
    for p, (parent, name, state) in table.items():
        if parent in first and state != 'Z' and name.startswith('nsbox-gatew') == (who == 'gateway'):
            return p
    return None


def links():
    return set(os.listdir('/sys/class/net'))


def mounts(word):
    with open('/proc/self/mounts') as f:
        return [line for line in f if word in line or 'nsbox' in line]


def namespaces():
    """How many network namespaces the kernel has objects for (root only), or None."""
    try:
        with open('/proc/slabinfo') as f:
            for line in f:
                if line.startswith('net_namespace '):
                    return int(line.split()[1])
    except OSError:
        pass
    return None


def files(path):
    """Everything below, except the audit logs, which are kept on purpose."""
    found = []
    for directory, dirs, names in os.walk(path):
        for name in dirs + names:
            full = os.path.join(directory, name)
            if '/audit' not in full and name not in ('nsbox', 'version', 'format'):
                found.append(os.path.relpath(full, path))
    return sorted(found)


def chain_problem(path):
    """What is wrong with an audit log, or None. A last line cut off in the middle is the lost tail."""
    with open(path, 'rb') as f:
        lines = f.read().split(b'\n')[:-1]
    head = '0' * 64
    for n, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            body, _ = line.rsplit(b',"hash":"', 1)
        except ValueError as e:
            return 'line %d: %s' % (n, e)
        if record.get('prev') != head or record.get('hash') != hashlib.sha256(body + b'}').hexdigest():
            return 'line %d does not follow the one before it' % n
        head = record['hash']
    return None


def until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.003)
    return True


class Test:
    def __init__(self, options):
        self.options = options
        self.base = tempfile.mkdtemp(prefix='nsbox-kill9-', dir='/tmp')
        for name in ('home', 'state', 'runtime', 'tmp', 'work'):
            os.mkdir(os.path.join(self.base, name), 0o700)
        self.work = self.base + '/work'
        self.environment = {'PATH': '/usr/bin:/bin', 'HOME': self.base + '/home', 'TMPDIR': self.base + '/tmp',
                            'XDG_STATE_HOME': self.base + '/state', 'XDG_RUNTIME_DIR': self.base + '/runtime',
                            **{k: v for k, v in os.environ.items() if k.endswith('SAN_OPTIONS')}}
        self.logs = set()
        self.failures = {who: [] for who in WHO}
        self.runs = dict.fromkeys(WHO, 0)
        self.missed = dict.fromkeys(WHO, 0)
        self.took = []

    def command(self, tail, network=True):
        return [self.options.nsbox, 'run', '-T', '-C', self.work] + ([] if network else ['--net', 'none']) + ['--'] + tail

    def plain_start(self):
        """A start after all the killing must work: None, or what it said."""
        process = subprocess.Popen(self.command(['/bin/true']), env=self.environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            return 'the next start did not end'
        return None if process.returncode == 0 else 'the next start gave %s: %s' % (process.returncode, err[-200:])

    def one(self, who, early):
        """Kills one; a list of what was wrong."""
        delay = random.uniform(0, 0.02) if early else random.uniform(0.02, 0.09)
        process = subprocess.Popen(self.command(COMMAND, network=who == 'gateway' or random.random() < 0.7),
                                   env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(delay)
        target = None
        for _ in range(300):
            target = find(who, process.pid, mine())
            if target:
                break
            time.sleep(0.001)
        if not target:
            self.missed[who] += 1
            target = process.pid
        try:
            os.kill(target, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if who == 'gateway':
            # The network of the sandbox is gone for good, the rest of it goes on: now end that in one of both ways.
            time.sleep(random.uniform(0, 0.02))
            try:
                os.kill(process.pid, random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
            except ProcessLookupError:
                pass
        killed = time.monotonic()
        clean = until(lambda: not mine(), LEFT)
        self.took.append(time.monotonic() - killed)
        process.returncode = process.returncode or 0  # reaped by mine()
        wrong = []
        if not clean:
            left = mine()
            wrong.append('after %d seconds still there: %s' % (LEFT, ', '.join('%s(%d, %s)' % (e[1], p, e[2])
                                                                        for p, e in left.items())))
            self.end_all()
        return ['%s run %d, %.1f ms after the start: %s' % (who, self.runs[who], delay * 1e3, w)
                for w in wrong + self.look()]

    def look(self):
        wrong = []
        if not until(lambda: links() <= self.links_before, LEFT):
            wrong.append('interfaces left: %s' % (links() - self.links_before))
        if not until(lambda: not mounts(self.base), LEFT):
            wrong.append('mounts left: %s' % mounts(self.base)[:2])
        audit = self.base + '/state/nsbox/audit'
        for name in sorted(set(os.listdir(audit)) - self.logs) if os.path.isdir(audit) else []:
            self.logs.add(name)
            problem = chain_problem(os.path.join(audit, name))
            if problem:
                wrong.append('audit log: ' + problem)
        return wrong

    def end_all(self):
        while True:
            left = mine()
            if not left:
                return
            for p in left:
                try:
                    os.kill(p, signal.SIGKILL)
                except OSError:
                    pass
            time.sleep(0.01)

    def verify_logs(self):
        """The product's own check of every log; one whose last line was cut off may be refused."""
        audit = self.base + '/state/nsbox/audit'
        bad = []
        for name in sorted(self.logs):
            path = os.path.join(audit, name)
            with open(path, 'rb') as f:
                data = f.read()
            if data and not data.endswith(b'\n'):
                continue
            process = subprocess.Popen([self.options.nsbox, 'audit', 'verify', name.rsplit('.', 1)[0]],
                                       env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            out, _ = process.communicate()
            if process.returncode:
                bad.append('%s: %s' % (name, out.decode().strip()))
        return bad

    def run(self):
        self.links_before = links()
        namespaces_before = namespaces()
        first = self.plain_start()
        if first:
            for who in WHO:
                print('not ok kill9-%s: %s' % (who, first))
            return False
        self.end_all()
        files_before = files(self.base + '/runtime') + files(self.base + '/state') + files(self.base + '/tmp')
        started = time.monotonic()
        for n in range(self.options.runs):
            if time.monotonic() - started > self.options.seconds:
                break
            who = WHO[n % len(WHO)]
            self.failures[who] += self.one(who, early=n % 8 < 4)
            self.runs[who] += 1
            if sum(map(len, self.failures.values())) > 10:
                break
            if n % 20 == 19:
                again = self.plain_start()
                if again:
                    self.failures[who].append(again)
        again = self.plain_start()
        until(lambda: not mine(), LEFT)
        good = True
        for who in WHO:
            if self.failures[who] or not self.runs[who]:
                good = False
                print('not ok kill9-%s: %s' % (who, '; '.join(self.failures[who][:3]) or 'no run'))
            else:
                print('ok kill9-%s (%d runs, %d of them without one to kill)' % (who, self.runs[who], self.missed[who]))
        after = [again] if again else []
        late = sum(took > SECOND for took in self.took)
        if late > len(self.took) / 10:
            after.append('%d of %d clean-ups took longer than a second' % (late, len(self.took)))
        left = [f for f in files(self.base + '/runtime') + files(self.base + '/state') + files(self.base + '/tmp')
                if f not in files_before]
        if left:
            after.append('files left after the next start: %s' % left[:5])
        # Others of this machine make some too, and these come and go; what this run left would stay.
        if namespaces_before is not None and not until(lambda: namespaces() <= namespaces_before + 60, 180):
            after.append('network namespaces: %d, before %d' % (namespaces(), namespaces_before))
        after += ['audit verify: ' + b for b in self.verify_logs()[:3]]
        if not self.logs:
            after.append('no audit log was written')
        if after:
            good = False
        print('%s kill9-afterwards%s' % ('not ok' if after else 'ok', ': ' + '; '.join(after) if after else
                                         ' (%d logs verified, slowest clean-up %.2f s, %.0f s in all)' % (
                                             len(self.logs), max(self.took, default=0), time.monotonic() - started)))
        return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--prefix')
    parser.add_argument('--nsbox')
    parser.add_argument('--runs', type=int, default=200)
    parser.add_argument('--seconds', type=float, default=85)
    parser.add_argument('--seed', type=int, default=None)
    options = parser.parse_args()
    options.nsbox = options.nsbox or (os.path.join(options.prefix, 'bin/nsbox') if options.prefix else None)
    if not options.nsbox or not os.access(options.nsbox, os.X_OK):
        parser.error('needs --prefix or --nsbox')
    options.seed = random.randrange(1 << 30) if options.seed is None else options.seed
    random.seed(options.seed)
    print('kill9: --seed %d' % options.seed)
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        print('skip kill9: this process cannot become a subreaper')
        return 0
    test = Test(options)
    try:
        return 0 if test.run() else 1
    finally:
        test.end_all()
        shutil.rmtree(test.base, ignore_errors=True)


if __name__ == '__main__':
    sys.exit(main())
