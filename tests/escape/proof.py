#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The sibling proof: what one call of a sandbox can get of another, which runs or has ended, case by case.

usage: proof.py --prefix DIR | --nsbox PATH --probe PATH   [--table] [-v] [NAME...]
Each case is tried between light and between full calls and must end as documented; the oracle is a server, a canary or
the audit log on the host; the same attempt has to work for who has the right (the control), else the case is skipped.
Without names the measurement of sibling.py runs first, and its rows become cases. The table at the end is the one that
SECURITY.md has in short."""
import argparse
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import host          # noqa: E402
import proof_room    # noqa: E402
import proof_wire    # noqa: E402,F401
import proof_forge   # noqa: E402,F401
import proof_shared  # noqa: E402,F401
import proof_end     # noqa: E402,F401
import sibling       # noqa: E402
from proof_cases import CASES  # noqa: E402

ISOLATIONS = ('light', 'full')


class Proof:
    def __init__(self, verbose):
        self.good = True
        self.table = []
        self.verbose = verbose

    def say(self, name, isolation, documented, outcome, why=''):
        """One line of result; returns what the table shows."""
        if outcome is None:
            print('skip proof-%s-%s: %s' % (name, isolation, why), flush=True)
            return 'skipped'
        if why or outcome != documented:
            why = why or 'documented as "%s", and the outcome is "%s"' % (documented, outcome)
            print('not ok proof-%s-%s: %s' % (name, isolation, why), flush=True)
            self.good = False
            return outcome
        print('ok proof-%s-%s' % (name, isolation), flush=True)
        return outcome

    def attempt(self, room, case, pair):
        documented = case.documented[pair.isolation]
        try:
            return self.say(case.name, pair.isolation, documented, case.function(room, pair))
        except proof_room.Void as e:
            return self.say(case.name, pair.isolation, documented, None, 'the control did not work: %s' % e)
        except Exception as e:  # noqa: BLE001  # whatever it is, the others are to run
            return self.say(case.name, pair.isolation, documented, 'failed', '%s: %s' % (type(e).__name__, e))

    def run(self, room, names):
        cases = [c for c in CASES if not names or c.name in names]
        outcomes = {c.name: {} for c in cases}
        for isolation in ISOLATIONS:
            try:
                self.between(room, isolation, cases, outcomes)
            except RuntimeError as e:
                self.say('calls', isolation, '', 'failed', 'no more calls can be made: %s' % e)
        self.table += [(c, outcomes[c.name]) for c in cases]

    def between(self, room, isolation, cases, outcomes):
        pair = proof_room.Pair(room, isolation)
        for case in cases:
            if not pair.alive():
                pair = proof_room.Pair(room, isolation)
            outcomes[case.name][isolation] = self.attempt(room, case, pair)
        pair.end()

    def rows(self, siblings):
        """What sibling.py measured between calls of the same kind, in groups."""
        for case in proof_shared.GROUPS:
            outcomes = {}
            for isolation in ISOLATIONS:
                measured = siblings.measured.get((isolation, isolation, 'target'))
                outcome, why = proof_shared.of_rows(case, measured, siblings.proven)
                outcomes[isolation] = self.say(case.name, isolation, case.documented[isolation], outcome, why)
            self.table.append((case, outcomes))

    def print_table(self):
        print('\n| case | between light calls | between full calls | documented | what is tried |\n|%s' % ('---|' * 5))
        for case, outcomes in self.table:
            documented = [case.documented[i] for i in ISOLATIONS]
            print('| %s | %s | %s | %s | %s |' % (
                case.name, outcomes.get('light', '-'), outcomes.get('full', '-'),
                documented[0] if documented[0] == documented[1] else ', '.join(documented), case.why))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--prefix')
    parser.add_argument('--nsbox')
    parser.add_argument('--probe')
    parser.add_argument('-v', '--verbose', action='store_true')
    parser.add_argument('names', nargs='*')
    options = parser.parse_args()
    the_host = host.from_options(parser, options)
    proof = Proof(options.verbose)
    try:
        if not options.names:
            siblings = sibling.Siblings(the_host, options.verbose)
            try:
                proof.good &= siblings.run()
                proof.rows(siblings)
            finally:
                siblings.close()
        room = proof_room.Room(the_host)
        try:
            proof.run(room, options.names)
        finally:
            room.close()
        proof.print_table()
    finally:
        the_host.close()
    return 0 if proof.good else 1


if __name__ == '__main__':
    sys.exit(main())
