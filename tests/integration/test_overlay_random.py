# SPDX-License-Identifier: Apache-2.0
"""A commit, also one that is killed, makes of the host what the same random changes without an overlay made of it."""
import os
import random
import subprocess
import tempfile

from harness.box import Box
from harness.fault import program
from harness.overlay import OPERATIONS, difference, random_tree, snapshot
from harness.registry import cases, check, equal, remove
from harness.work import Work


def contents(tree):
    """What must never be seen by halves: files and links; directories change in steps."""
    return {k: v[:1] + v[1:4] if v[0] == 'file' else v for k, v in tree.items() if v[0] != 'directory'}


def commit_in_pieces(box, layer, before, after, seed):
    """Kill the commit at points all over its way; after each kill every file is as before or as after."""
    r = random.Random(seed)
    command = [program(box.t, 'kill_at')]
    low = 1
    for n in range(12):
        at = low if n < 4 else r.randrange(low, low + 60)
        low = at + r.randrange(1, 25)
        result = subprocess.run([*command, str(at), box.nsbox_path, 'commit', '--accept-executable', layer], env=box.env,
                                cwd=box.work, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        code = result.returncode
        now = {k: v for k, v in contents(snapshot(box.work)).items() if not k.startswith(b'.nsbox-commit-')}
        for key in set(before) | set(after) | set(now):
            check(now.get(key) in (before.get(key), after.get(key)),
                  'killed at %d: %r is %.300r, neither %.200r nor %.200r' %
                  (at, key, now.get(key), before.get(key), after.get(key)))
        if code == 0 or layer not in box.layers():
            return
        equal(code, 137, 'status of the commit that was killed at %d (%r)' % (at, result.stderr))


def one_sequence(t, where, seed, kill):
    box, direct = Work(t, where + '/overlay', False), Box(t, where + '/direct')
    for one in (box, direct):
        random_tree(one.work, seed)
    first = contents(snapshot(box.work))
    a = box.python(OPERATIONS, seed, 40).json()
    b = direct.python(OPERATIONS, seed, 40, flags=['--net', 'none']).json()
    equal(a, b, 'what the operations returned (seed %s)' % seed)
    layers = box.layers()
    if layers and not kill:
        # A copy of the layer serves as well, and a sandbox goes on from it.
        box.nsbox('snapshot', layers[0], 'first').ok()
        box.nsbox('discard', layers[0]).ok()
        a = box.python(OPERATIONS, seed + '+', 30, flags=['--fork', 'first']).json()
        b = direct.python(OPERATIONS, seed + '+', 30, flags=['--net', 'none']).json()
        equal(a, b, 'what the operations in the copy returned (seed %s)' % seed)
        box.nsbox('discard', 'first').ok()
        layers = box.layers()
    want = snapshot(direct.work)
    if layers and kill:
        commit_in_pieces(box, layers[0], first, contents(want), seed)
    if box.layers():
        box.nsbox('commit', '--accept-executable', layers[0]).ok()
    equal(difference(snapshot(box.work), want), '', 'seed %s: after the commit' % seed)
    equal(box.layers(), [], 'layers')


@cases([('disk', None, False), ('disk_killed', None, True), ('memory', '/dev/shm', False), ('memory_killed', '/dev/shm', True)],
       timeout=240)
def random_changes(t, where, kill):
    """A commit makes of the host what the same operations would have made of it."""
    if where:
        t.tmp = tempfile.mkdtemp(prefix='nsbox-test-', dir=where)
    try:
        try:
            os.setxattr(t.tmp, 'user.probe', b'x')
        except OSError as error:
            t.skip('no user attributes on the file system of %s: %s' % (t.tmp, error))
        for n in range(int(os.environ.get('NSBOX_TEST_SEQUENCES', '10'))):
            one_sequence(t, 's%d' % n, '%s-%d' % (os.environ.get('NSBOX_TEST_SEED', 'fixed'), n), kill)
    finally:
        if where:
            remove(t.tmp)
