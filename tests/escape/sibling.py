#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One call against another of the same sandbox: every way to reach a process of the same user, measured.

usage: sibling.py --prefix DIR | --nsbox PATH --probe PATH   [--table] [-v]
Prints one result line for each kind of target and isolation; with --table also what was measured, row by row. A row
counts as denied only when the same attempt succeeds in a control: by a process of the target's own call, on the host,
or below a user namespace of its own. What is open is in OPEN; anything else that works is a failure, and so is
anything that the target noticed and that OPEN does not explain."""
import argparse
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import box      # noqa: E402
import host     # noqa: E402

REFUSALS = set('EPERM EACCES ENOENT ESRCH ECONNREFUSED ECONNRESET ENETUNREACH EHOSTUNREACH EBADF EINVAL EIDRM ENOSYS '
               'none'.split())

# What works between calls, and what the target sees of it: row -> (class, notice).
FILES = 'the file systems of the sandbox are shared by its calls'
OBJECTS = 'the ipc namespace and the terminals of the sandbox are shared by its light calls'
TOLD = 'says only that, or how, a process runs, to who can name it'
OPEN = {
    'path-socket': (FILES, 'contact-path'), 'tmp-file': (FILES, 'tmp-file'), 'dev-shm-file': (FILES, 'shm-file'),
    'terminal-open': (OBJECTS, ''), 'terminal-write': (OBJECTS, 'terminal'), 'sysv-shm-key': (OBJECTS, ''),
    'sysv-shm': (OBJECTS, 'sysv-shm'), 'sysv-sem': (OBJECTS, 'sysv-sem'), 'sysv-msg': (OBJECTS, 'sysv-msg'),
    **{row: (TOLD, '') for row in (
        'pidfd-open', 'pidfd-info', 'getpriority', 'ioprio-get', 'sched-getaffinity', 'sched-getscheduler',
        'sched-getattr', 'getpgid', 'getsid', 'cpu-clock', 'all-pids-exist')},
}
# The directory of a hidden process can be looked at while the kernel's cache has it, because the process itself did.
SOMETIMES = {'proc-stat-of-directory': (TOLD, '')}


def is_open(row, attacker, target, kind):
    why = OPEN.get(row, SOMETIMES.get(row, (None, '')))[0]
    return why == FILES or (why == TOLD and (attacker == 'light' or kind == 'own-guardian')) or (
        why == OBJECTS and attacker == target == 'light')


def parse(text):
    rows, seen = {}, []
    for line in text.splitlines():
        words = line.split(' ', 4)
        if words[0] == 'RESULT' and len(words) > 3:
            rows[words[2]] = words[3]
        elif words[0] == 'SEEN':
            seen = [w for w in line[5:].split(',') if w and w != 'end']
    # Naming a receiver is allowed to everybody; what counts is whether the signal arrives.
    # The same for a signal to everybody, which always finds the sender's own, and where the gateway takes connections.
    for row, signal in (('owner-of-descriptor', 'signal-29'), ('owner-of-descriptor-ex', 'signal-29'),
                        ('kill-all', 'signal-35'), ('address-gateway-port', 'contact-gateway-port')):
        if rows.get(row) == 'ok':
            rows[row] = 'ok' if signal in seen else 'none'
    return rows, seen


class Siblings:
    def __init__(self, the_host, verbose):
        self.host = the_host
        self.verbose = verbose
        self.place = host.Place(the_host, 'siblings')
        self.box = box.Box(the_host.nsbox, self.place.environment, self.place.work,
                           ['--allow', 'https://canary.invalid:8443'])
        self.probe = self.place.work + '/probe'
        self.measured = {}
        self.proven = {}

    def close(self):
        self.box.close()
        self.place.close()

    def control(self):
        for kind, command in (
                ('own call', self.box.words('light', [self.probe, '@pair', 'own-' + host.word()])),
                ('host', [self.probe, '@pair', 'host-' + host.word(), 'control=1']),
                ('userns', [self.probe, '@pair', 'userns-' + host.word(), 'control=1', 'userns=1'])):
            done = subprocess.run(command, env=self.place.environment, cwd=self.place.work, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
            rows, _ = parse(done.stdout)
            self.measured[kind] = rows
            for row, token in rows.items():
                if token == 'ok':
                    self.proven.setdefault(row, kind)

    def find(self, mark):
        """The target's process on the host, and the number of it and of its guardian in the sandbox."""
        def look():
            found = [p for p in host.own_processes(mark)
                     if box.numbers(p) and box.comm(p) == 'probe' and box.comm(box.parent(p)) == 'probe']
            return found[0] if found else None
        host.wait_until(look, 30)
        return look()

    def attack(self, attacker, target, kind, daemon=False, older=False):
        """Tokens by row, and what the target noticed."""
        mark = 'target-' + host.word()
        facts = ['daemon=1'] if daemon else []
        if kind != 'target':
            facts.append('at=process')
        waiting = None
        if older:
            waiting = self.box.start(attacker, [self.probe, '@wait'] + facts)
            waiting.stdout.readline()
        victim = self.box.start(target, [self.probe, '@target', mark])
        try:
            where = victim.stdout.readline().decode()
            pid = self.find(mark)
            if not where.startswith('TARGET') or not pid:
                raise RuntimeError('no target: %s %s' % (where, victim.stderr.read()[-200:]))
            guardian = box.parent(box.parent(pid))
            depth = -2 if target == 'full' else -1
            numbers = {'target': box.numbers(pid)[depth], 'guardian': box.numbers(guardian)[depth],
                       'own-guardian': 'guardian', 'init': 1}
            facts += [w for w in where.split()[1:] if not w.startswith('pid=')] + ['pid=%s' % numbers[kind]]
            if waiting:
                out = waiting.communicate((' '.join(facts) + '\n').encode(), timeout=60)[0].decode()
            else:
                _, out, _ = self.box.run(attacker, [self.probe, '200'] + facts)
            seen = victim.communicate(timeout=60)[0].decode()
        finally:
            for process in (waiting, victim):
                if process:
                    process.kill()
                    process.wait()
        rows, noticed = parse(out + seen)
        if 'end' not in rows:
            raise RuntimeError('the attack did not come to its end: %s' % out[-300:])
        return rows, noticed

    def judge(self, title, rows, noticed, plan):
        wrong = []
        attacker, target, kind = plan
        explained = {OPEN[r][1] for r in OPEN if is_open(r, attacker, target, kind)}
        for row, token in sorted(rows.items()):
            if row in ('end', 'setup'):
                continue
            if is_open(row, attacker, target, kind):
                if token != 'ok' and row not in SOMETIMES:
                    wrong.append('%s is said to be open, and gave %s' % (row, token))
            elif token not in REFUSALS:
                wrong.append('%s gave %s' % (row, token))
        for what in noticed:
            if what not in explained:
                wrong.append('the target noticed %s' % what)
        if 'setup' in rows or 'died' in rows:
            wrong.append('the attack could not be made: %s' % rows)
        tried = [r for r in rows if r not in ('end', 'setup')]
        proven = [r for r in tried if r in self.proven]
        if self.verbose:
            print('--- %s' % title)
            for row in tried:
                print('    %-24s %-14s %s' % (row, rows[row], self.proven.get(row, 'no control')))
        if not proven:
            print('skip %s: no attempt has succeeded in a control' % title, flush=True)
            return True
        if wrong:
            print('not ok %s: %s' % (title, '; '.join(wrong)), flush=True)
            return False
        print('ok %s (%d steps, %d of them proven)' % (title, len(tried), len(proven)), flush=True)
        return True

    def run(self):
        self.control()
        good = True
        plans = [(a, t, kind, daemon, older)
                 for a, t in (('light', 'light'), ('full', 'full'), ('light', 'full'), ('full', 'light'))
                 for kind, daemon, older in (('target', False, False), ('target', True, True),
                                             ('guardian', False, False), ('own-guardian', False, False),
                                             ('own-guardian', True, False), ('init', False, False))
                 # pid 1 of a full call is its guardian; what is one's own does not depend on the target
                 if not (a == 'full' and kind == 'init') and not (a != t and kind in ('own-guardian', 'init'))]
        for attacker, target, kind, daemon, older in plans:
            title = 'sibling-%s-by-%s%s' % (
                kind if kind in ('own-guardian', 'init') else '%s-%s' % (target, kind), attacker,
                '-daemon' if daemon else '')
            try:
                rows, noticed = self.attack(attacker, target, kind, daemon, older)
            except Exception as e:  # noqa: BLE001  # whatever it is, the others are to run
                print('not ok %s: %s: %s' % (title, type(e).__name__, e), flush=True)
                good = False
                continue
            good &= self.judge(title, rows, noticed, (attacker, target, kind))
            if not daemon:
                self.measured[(attacker, target, kind)] = rows
        good &= self.still_there()
        return good

    def still_there(self):
        if self.box.alive():
            print('ok sibling-sandbox-lives', flush=True)
            return True
        print('not ok sibling-sandbox-lives: the sandbox does not take calls any more', flush=True)
        return False

    def table(self):
        """Rows with the same outcome in one line."""
        columns = [('light, light', ('light', 'light', 'target')), ('light, full', ('light', 'full', 'target')),
                   ('full, light', ('full', 'light', 'target')), ('full, full', ('full', 'full', 'target')),
                   ('its guardian', ('light', 'light', 'guardian')),
                   ('own guardian', ('light', 'light', 'own-guardian')), ('init', ('light', 'light', 'init'))]
        lines = {}
        for row in self.measured[('light', 'light', 'target')]:
            if row not in ('end', 'setup'):
                cells = [self.measured['own call'].get(row) == 'ok' or '', row in self.proven or '']
                cells += [self.measured.get(c[1], {}).get(row, '-') for c in columns]
                cells = ['works' if c in ('ok', True) else c if c in ('', '-') else 'no' for c in cells]
                lines.setdefault(tuple(cells), []).append(row)
        print('\n| attempt | own call | any control | %s |\n|---|---|---|%s' % (
            ' | '.join(c[0] for c in columns), '---|' * len(columns)))
        for cells, rows in sorted(lines.items(), key=lambda i: i[0].count('works')):
            print('| %s | %s |' % (', '.join(rows), ' | '.join(c or 'no' for c in cells)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--prefix')
    parser.add_argument('--nsbox')
    parser.add_argument('--probe')
    parser.add_argument('--table', action='store_true')
    parser.add_argument('-v', '--verbose', action='store_true')
    options = parser.parse_args()
    the_host = host.from_options(parser, options)
    try:
        siblings = Siblings(the_host, options.verbose)
        try:
            good = siblings.run()
            if options.table:
                siblings.table()
        finally:
            siblings.close()
    finally:
        the_host.close()
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
