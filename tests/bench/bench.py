#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The measurements behind tests/bench/run.sh: starts (start.py), calls (calls.py), requests (https_load.py; gateway.py
beside more peers), overlaid trees (overlay.py), where a start's time goes (stages.py). Every ratio is of values from the
same run, taken in turns."""
import argparse
import os
import platform
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import calls       # noqa: E402
import gateway     # noqa: E402
import https_load  # noqa: E402
import overlay     # noqa: E402
import stages      # noqa: E402
import start       # noqa: E402


class Targets:
    """Lines "what, target, measured, met or MISSED", printed at the end of each table."""

    def __init__(self):
        self.lines = []

    def add(self, what, measured, limit, unit='x', detail=''):
        verdict = 'met' if measured <= limit else 'MISSED'
        self.lines.append('%-72s %9s %11s  %-6s %s' % (
            what, '<= %g %s' % (limit, unit), '%.3f %s' % (measured, unit), verdict, detail))

    def show(self):
        if self.lines:
            print('%-72s %9s %11s' % ('target', 'at most', 'measured'))
            for line in self.lines:
                print(line)
            print()
        self.lines = []


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--prefix', required=True)
    parser.add_argument('--work', required=True)
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--only', choices=['start', 'calls', 'https', 'overlay', 'stages', 'gateway'])
    parser.add_argument('--rounds', type=int)
    parser.add_argument('--soak', type=int)
    options = parser.parse_args()
    options.nsbox = os.path.join(options.prefix, 'bin/nsbox')
    if not os.access(options.nsbox, os.X_OK):
        parser.error('no %s' % options.nsbox)
    # State, sockets and home of its own, so that the user's stay as they are.
    for name in ('home', 'state', 'runtime', 'job'):
        os.mkdir(os.path.join(options.work, name), 0o700)
    os.environ.update(HOME=options.work + '/home', XDG_STATE_HOME=options.work + '/state',
                      XDG_RUNTIME_DIR=options.work + '/runtime')
    print('%s, %s, %d processors, as %s%s\n' % (
        platform.release(), platform.machine(), os.cpu_count(), 'root' if os.getuid() == 0 else 'an ordinary user',
        ', --quick: too few rounds to compare' if options.quick else ''))
    parts = (('start', start), ('calls', calls), ('https', https_load), ('overlay', overlay), ('stages', stages))
    for name, part in parts:
        if options.only in (None, name):
            part.measure(options, Targets())
    # Its many processes and rules take their time, and https is the short form of it.
    if options.only == 'gateway':
        return 0 if gateway.measure(options, Targets()) else 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
