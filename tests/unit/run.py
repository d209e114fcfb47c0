#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run the unit tests that meson built, and print one line for each test case.

The fuzz targets count too: they replay their corpus. A program that fails beside others, of the same user in other
layers too, runs again alone, and only what fails then has failed; the first time is shown.
usage: run.py [-j N] [--slowness X] BUILD_DIR"""
import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile
import time

# So many programs may have it looked at again whether they fail alone.
SECOND_TIMES = 2


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
    """(whether all is good, the lines to print)"""
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT='TAP', **test['env'])
    begin = time.monotonic()
    try:
        done = subprocess.run(test['cmd'], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=max(test['timeout'], 60) * slowness,
                              cwd=tempfile.gettempdir())
        output, code = done.stdout.decode('utf-8', 'replace'), done.returncode
    except subprocess.TimeoutExpired as expired:
        output, code = (expired.stdout or b'').decode('utf-8', 'replace'), 'no end in its time'
    except OSError as error:
        output, code = '', str(error)
    name = 'unit.' + test['name'].replace(' ', '-')
    good, said = judge(name, os.path.basename(test['cmd'][0]), output, code)
    took = time.monotonic() - begin
    if took > 5:
        said.append('# %s took %.1f s' % (name, took))
    return good, said


def judge(name, program, output, code):
    """What the output and the exit status of a program mean, in the common form."""
    if code == 77:
        return True, ['skip %s: %s' % (name, (output.strip().splitlines() or ['no reason given'])[-1])]
    verdicts, announced = lines(program, output)
    said = ['%s %s.%s%s' % (verdict, name, case, ': ' + why if why else '') for verdict, case, why in verdicts]
    good = all(v[0] != 'not ok' for v in verdicts)
    if announced is None and not verdicts:
        # Not a cmocka program: its exit status is the verdict.
        said.append('ok ' + name if code == 0 else 'not ok %s: exit status %s' % (name, code))
        good = code == 0
    elif announced not in (None, len(verdicts)) or (code != 0 and good):
        said.append('not ok %s: %d of %s cases reported, exit status %s' % (name, len(verdicts), announced, code))
        good = False
    if not good:
        said += ['#   ' + line for line in output.splitlines()[-40:]]
    return good, said


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('-j', '--jobs', type=int, default=2)
    parser.add_argument('--slowness', type=float, default=1.0)
    parser.add_argument('build')
    options = parser.parse_args()
    with open(os.path.join(options.build, 'meson-info', 'intro-tests.json')) as f:
        tests = [t for t in json.load(f) if {'unit', 'fuzz'} & {s.split(':')[-1] for s in t['suite']}]
    if not tests:
        print('not ok unit: meson knows no tests')
        sys.exit(1)
    # Those that may take long come first, so that none of them is alone at the end.
    tests.sort(key=lambda t: -t['timeout'])
    all_good, again = True, []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        started = {pool.submit(run, t, options.slowness): t for t in tests}
        for done in concurrent.futures.as_completed(started):
            good, said = done.result()
            if not good and len(again) < SECOND_TIMES:
                again.append(started[done])
                said = [re.sub('^not ok ', '# first time: ', line) for line in said if not line.startswith(('ok ', 'skip '))]
            print('\n'.join(said), flush=True)
            all_good &= good or started[done] in again
    for test in again:
        good, said = run(test, options.slowness)
        print('\n'.join(said), flush=True)
        all_good &= good
    sys.exit(0 if all_good else 1)


if __name__ == '__main__':
    main()
