#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Accident or injection, by files or by external systems: every case without a sandbox, with one policy for the
session, and with a grant for each call, each beside a benign twin that must work.

usage: run.py --prefix DIR [-j N] [--table] [-v] [PATTERN...]
Prints `ok NAME`, `not ok NAME: why` for each case, and then the table; --table prints the table alone."""
import argparse
import fnmatch
import os
import pickle
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'integration'))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import accident_external    # noqa: E402
import accident_files       # noqa: E402
import files                # noqa: E402
import injection_external   # noqa: E402
import injection_files      # noqa: E402
import settings             # noqa: E402
import table                # noqa: E402
import world                # noqa: E402
from case import HAPPENED, PREVENTED, RECOVERABLE, SURFACED, View   # noqa: E402

QUARTERS = [('accident-files', accident_files.CASES), ('accident-external', accident_external.CASES),
            ('injection-files', injection_files.CASES), ('injection-external', injection_external.CASES)]
LEAST = 20


class Judge:
    """Runs cases in a world, which this process has entered."""

    def __init__(self, options):
        from harness.pki import Pki
        from services import Services
        self.verbose = options.verbose
        for root in (files.LIVE, files.SPARE):
            files.make(root)
        self.wanted = files.look(files.LIVE)
        pki = Pki('/mnt/pki')
        self.services = Services(pki, '/mnt/git')
        nsbox = os.path.realpath(os.path.join(options.prefix, 'bin/nsbox'))
        files.restore(files.SPARE, self.wanted)
        self.settings = settings.make(pki, nsbox)

    def close(self):
        for setting in self.settings:
            setting.close()

    def run(self, setting, steps, late=False):
        """A View of what came of the steps, the results, and the records of them."""
        files.restore(setting.root, self.wanted)
        self.services.reset()
        setting.prepare()
        setting.records()
        results = [setting.run(grant, command) for grant, command in steps]
        # Without a sandbox what was left running has been waited for; in one there is nothing to wait for.
        time.sleep(1 if late and setting.root == files.LIVE else 0)
        self.services.settle()
        changed = files.differences(self.wanted, files.look(setting.root))
        return View(setting.root, changed, results, self.services), results, setting.records()

    def judge(self, quarter, case, setting):
        """(outcome, whether the twin worked, what is wrong)"""
        wrong = []
        view, results, usual = self.run(setting, case.good)
        twin = all(r.code == 0 for r in results) and bool(case.done(view))
        if not twin:
            wrong.append('%s: the twin did not work: %r' % (setting.title, results))
        harmed = case.harm(view)
        if harmed:
            wrong.append('%s: the twin does the harm itself' % setting.title)
        view, results, records = self.run(setting, case.bad, case.late)
        outcome = self.outcome(quarter, case, setting, view, records - usual)
        # Of files the kernel refuses, and tells nobody.
        if (outcome == PREVENTED and setting.root == files.LIVE and case.recorded and quarter.endswith('external') and
                not records - usual):
            wrong.append('%s: nothing is recorded of what was prevented' % setting.title)
        if self.verbose:
            print('# %s, %s: %s\n#   %r\n#   %s\n#   changed %s' % (
                case.name, setting.title, outcome, results, sorted(records - usual), view.changed[:8]), flush=True)
        return outcome, twin, wrong

    def outcome(self, quarter, case, setting, view, new):
        if not case.harm(view):
            return PREVENTED
        if quarter == 'accident-files' and files.recoverable(setting.root, self.wanted, view.changed, '/mnt/recovered'):
            return RECOVERABLE
        return SURFACED if new else HAPPENED

    def case(self, quarter, case):
        """(quarter, name, outcomes, twins, what is wrong)"""
        outcomes, twins, wrong = [], [], []
        for setting, expected in zip(self.settings, (HAPPENED, *case.expect)):
            outcome, twin, problems = self.judge(quarter, case, setting)
            outcomes.append(outcome)
            twins.append(twin)
            wrong += problems
            if outcome == expected != PREVENTED and setting is self.settings[-1] and not case.why:
                wrong.append('it does not say why it is not prevented')
            if outcome != expected:
                wrong.append('%s: %s, not %s' % (setting.title, outcome, expected))
        return quarter, case.name, outcomes, twins, wrong


def worker(cases, options, out):
    """In a process of its own: judge these cases, and write what came of each to out."""
    world.end_with_parent()
    world.enter(files.LIVE, files.SPARE)
    judge = Judge(options)
    try:
        for quarter, case in cases:
            try:
                result = judge.case(quarter, case)
            except Exception as e:  # noqa: BLE001  # whatever it is, the others are to run
                if options.verbose:
                    traceback.print_exc()
                result = quarter, case.name, [], [], ['%s: %s' % (type(e).__name__, e)]
            pickle.dump(result, out)
            out.flush()
    finally:
        judge.close()


def start(cases, options):
    told, tell = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        os.close(told)
        status = 1
        try:
            with os.fdopen(tell, 'wb') as out:
                worker(cases, options, out)
            status = 0
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    os.close(tell)
    return pid, os.fdopen(told, 'rb')


def results(workers):
    for pid, source in workers:
        try:
            while True:
                yield pickle.load(source)
        except EOFError:
            pass
        _, status = os.waitpid(pid, 0)
        if status:
            yield 'quadrants', 'worker', [], [], ['a worker ended with status %d' % status]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--prefix', required=True)
    parser.add_argument('-j', '--jobs', type=int, default=2)
    parser.add_argument('--table', action='store_true')
    parser.add_argument('-v', '--verbose', action='store_true')
    parser.add_argument('patterns', nargs='*')
    options = parser.parse_args()
    chosen = [(quarter, case) for quarter, cases in QUARTERS for case in cases
              if not options.patterns or any(fnmatch.fnmatch(quarter + '-' + case.name, p) for p in options.patterns)]
    begin = time.monotonic()
    found, failed = [], 0
    for quarter, name, outcomes, twins, wrong in results(
            [start(chosen[n::options.jobs], options) for n in range(options.jobs)]):
        if outcomes:
            found.append((quarter, name, outcomes, twins))
        failed += bool(wrong)
        if wrong:
            print('not ok %s-%s: %s' % (quarter, name, '; '.join(wrong)), flush=True)
        elif not options.table:
            print('ok %s-%s (%s)' % (quarter, name, ', '.join(outcomes)), flush=True)
    for quarter, cases in QUARTERS:
        if len(cases) < LEAST:
            failed += 1
            print('not ok %s: only %d cases' % (quarter, len(cases)))
    if not options.patterns:
        print((table.table(found) if options.table else '\n' + table.text(QUARTERS, found)))
    if not options.table:
        print('# %d cases in %.0f s' % (len(chosen), time.monotonic() - begin))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
