#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run the unit tests that meson built, and print one line for each test case.

The fuzz targets count too: they replay their corpus. usage: run.py [--slowness X] BUILD_DIR"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile


def lines(program, output):
    """cmocka's TAP as common lines; returns the verdicts seen and the number announced."""
    verdicts, announced, comments = [], None, []
    for line in output.splitlines():
        plan = re.match(r'1\.\.(\d+)$', line)
        # A skipped case is `not ok 3 # SKIP name` in cmocka 1.1.5, `ok 3 - name # SKIP` in later ones.
        skip = re.match(r'(?:not )?ok (\d+) (?:# SKIP (\S+)|- (\S+) # SKIP.*)', line, re.I)
        case = re.match(r'(not )?ok (\d+) - (.*)', line)
        plain = re.match(r'(not )?ok ([A-Za-z]\S*?):?( .*)?$', line)
        if plain:
            # A script of ours, which prints the common form already.
            verdicts.append(['not ok' if plain[1] else 'ok', plain[2], (plain[3] or '').strip()])
        elif plan:
            announced = (announced or 0) + int(plan[1])
        elif skip:
            verdicts.append(['skip', skip[2] or skip[3], 'skipped by the test itself: ' + '; '.join(comments[-2:])])
            comments = []
        elif case:
            verdicts.append(['not ok' if case[1] else 'ok', case[3].strip(), ''])
            comments = []
        elif line.startswith('#'):
            # The reason of a failure follows its line; that of a skip, printed by the test, comes before.
            text = line.lstrip('# ')
            if verdicts and verdicts[-1][0] == 'not ok' and not text.startswith(('ok', 'not ok')):
                verdicts[-1][2] += ('; ' if verdicts[-1][2] else '') + text
            comments.append(text)
        elif line.strip():
            comments.append(line.strip())
    return verdicts, announced


def run(test, slowness):
    program = os.path.basename(test['cmd'][0])
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT='TAP', **test['env'])
    try:
        done = subprocess.run(test['cmd'], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=max(test['timeout'], 60) * slowness,
                              cwd=tempfile.gettempdir())
        output, code = done.stdout.decode('utf-8', 'replace'), done.returncode
    except subprocess.TimeoutExpired as expired:
        output, code = (expired.stdout or b'').decode('utf-8', 'replace'), 'no end in its time'
    name = 'unit.' + test['name'].replace(' ', '-')
    if code == 77:
        print('skip %s: %s' % (name, (output.strip().splitlines() or ['no reason given'])[-1]))
        return True
    verdicts, announced = lines(program, output)
    for verdict, case, why in verdicts:
        print('%s %s.%s%s' % (verdict, name, case, ': ' + why if why else ''))
    good = all(v[0] != 'not ok' for v in verdicts)
    if announced is None and not verdicts:
        # Not a cmocka program: its exit status is the verdict.
        print('ok ' + name if code == 0 else 'not ok %s: exit status %s' % (name, code))
        good = code == 0
    elif announced not in (None, len(verdicts)) or (code != 0 and good):
        print('not ok %s: %d of %s cases reported, exit status %s' % (name, len(verdicts), announced, code))
        good = False
    if not good:
        for line in output.splitlines()[-40:]:
            print('#   ' + line)
    return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--slowness', type=float, default=1.0)
    parser.add_argument('build')
    options = parser.parse_args()
    with open(os.path.join(options.build, 'meson-info', 'intro-tests.json')) as f:
        tests = [t for t in json.load(f) if {'unit', 'fuzz'} & {s.split(':')[-1] for s in t['suite']}]
    if not tests:
        print('not ok unit: meson knows no tests')
        sys.exit(1)
    good = [run(test, options.slowness) for test in tests]
    sys.exit(0 if all(good) else 1)


if __name__ == '__main__':
    main()
