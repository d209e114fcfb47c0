# SPDX-License-Identifier: Apache-2.0
"""Random changes in layers of calls, accepted, given up and taken back in pieces: the working state is as without them."""
import json
import os
import random
import re
import subprocess

from harness.box import Box
from harness.fault import program
from harness.overlay import OPERATIONS, difference, random_tree, snapshot
from harness.registry import cases, check, equal
from test_scratch import SCRATCH, end, kept

# Before the layer: of a file of several names below it an overlay changes only the one that is written by.
FIRST = OPERATIONS.replace('mode, mode, link, symlink', 'mode, mode, symlink')


def operate(box, operations, seed, count, *flags):
    return box.nsbox('exec', 'x', *flags, '--', *box.python_command(operations, seed, count)).ok().json()


DONE = 'nothing of a layer|taken back already'


def in_pieces(box, words, seed):
    """Kill a command at points all over its way, then let it come through."""
    r = random.Random(seed)
    at = 0
    for n in range(8):
        at += 1 + r.randrange(0, 2 if n < 3 else 60)
        result = subprocess.run([program(box.t, 'kill_at'), str(at), box.nsbox_path, *words], env=box.env, cwd=box.work,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        # Killed when all of it was done.
        if result.returncode == 0 or re.search(DONE.encode(), result.stderr):
            return
        equal(result.returncode, 137, 'status of %s, killed at %d (%r)' % (words, at, result.stderr))
    result = box.nsbox(*words)
    check(result.code == 0 or re.search(DONE, result.err), 'when it is not killed: %r' % result)


def half(box, words, seed):
    """Kill it once somewhere, so that it is taken back from there; it may have come through."""
    at = random.Random(seed).randrange(1, 120)
    subprocess.run([program(box.t, 'kill_at'), str(at), box.nsbox_path, *words], env=box.env, cwd=box.work,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def without_links(tree):
    """What is put back is put back under its own name: it is no other name of a file that stayed."""
    return {k: v[:-1] if v[0] == 'file' else v for k, v in tree.items()}


def one_sequence(t, where, seed, ended, back, kill):
    box, direct = Box(t, where + '/overlay'), Box(t, where + '/direct')
    for one in (box, direct):
        random_tree(one.work, seed)
    box.nsbox('create', '--net', 'none', '--overlay', '.', '--name', 'x').ok()
    try:
        same = direct.add('--net', 'none').python(FIRST, seed, 20).json()
        equal(operate(box, FIRST, seed, 20), same, 'what the first operations returned (seed %s)' % seed)
        want = snapshot(direct.work)
        same = direct.python(OPERATIONS, seed + '+', 30).json()
        equal(operate(box, OPERATIONS, seed + '+', 30, *SCRATCH), same, 'what the operations in the layer returned (seed %s)' % seed)
        layer = end(box, ended)
        for words in [['commit', layer + '.2']] + ([['rollback', layer, '2']] if back else []):
            if not kill:
                box.nsbox(*words).ok()
            elif back and words[0] == 'commit':
                half(box, words, seed)
            else:
                in_pieces(box, words, seed)
    finally:
        box.nsbox('rm', '-f', 'x')
    if json.loads(box.nsbox('diff', '--json').ok().out):
        equal(kept(box), [], 'layers of calls')
        box.nsbox('commit', '--accept-executable', layer).ok()
    got, want = snapshot(box.work), want if back else snapshot(direct.work)
    if back:
        got, want = without_links(got), without_links(want)
    equal(difference(got, want), '', 'seed %s' % seed)


@cases([('accepted', False, False, False), ('accepted_after_the_end', True, False, False),
        ('taken_back', False, True, False), ('taken_back_after_the_end', True, True, False),
        ('accepted_killed', True, False, True), ('taken_back_killed', False, True, True)], timeout=240)
def random_changes(t, ended, back, kill):
    """Accepting makes of the working state what the same operations would have made of it; taking back undoes that."""
    for n in range(int(os.environ.get('NSBOX_TEST_SEQUENCES', '2'))):
        one_sequence(t, 's%d' % n, '%s-%d' % (os.environ.get('NSBOX_TEST_SEED', 'fixed'), n), ended, back, kill)
