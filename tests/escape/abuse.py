#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The abuse table: what a hostile program inside does to the gateway, case by case.

usage: abuse.py --prefix DIR [NAME...]     NAME: GROUP or GROUP-CASE
Each case runs three times: inside, where it must have no effect that a server on the host or the program sees; on the
host straight to the servers, where it must have it (the control, else the case is skipped); and after it a good request,
or the same with a made-up placeholder, has to come through the same gateway. The table of all of them is printed. "The
host" is a closed world with a network of its own, in which the names of servers lead where the test says."""
import argparse
import fnmatch
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, '..', 'quadrants')]
sys.dont_write_bytecode = True

import abuse_room                  # noqa: E402  (finds the harness)
import abuse_requests              # noqa: E402,F401
import abuse_http2                 # noqa: E402,F401
import abuse_names                 # noqa: E402
import abuse_secrets               # noqa: E402,F401
import world                       # noqa: E402
from abuse_cases import CASES      # noqa: E402
from harness import registry       # noqa: E402
from harness.pki import Pki        # noqa: E402

MEMORY = 64 << (20 if 'NSBOX_SANITIZED' not in os.environ else 23)


def came_back(result):
    """What the program inside got, in a word or two."""
    if isinstance(result, list) and len(result) == 2 and isinstance(result[0], str):
        first = result[0].split(' ', 2)
        status = first[1] if result[0].startswith('HTTP/1.1') and len(first) > 1 else 'nothing'
        return '%s, %s' % (status, result[1])
    if isinstance(result, dict):
        if 'error' in result:
            return result['error'].split(':')[0]
        return ', '.join('%s %s' % (k, v) for k, v in result.items() if v not in (None, False, 0)) or 'nothing'
    if isinstance(result, str):
        return 'an answer without it' if result else 'nothing'
    return str(result)


class Table:
    def __init__(self):
        self.rows, self.good = [], True

    def add(self, case, verdict, why, result=None):
        name = '%s-%s' % (case.group, case.name)
        print('%s abuse-%s%s' % (verdict, name, ': ' + why if why else ''), flush=True)
        self.good &= verdict != 'not ok'
        self.rows.append((name, case.what, verdict, came_back(result).replace('|', '/')[:60]))

    def attempt(self, room, case):
        try:
            room.control(case)
            seen = room.attack(case)
            if case.effect(seen):
                return self.add(case, 'not ok', 'it had its effect: servers %r, inside %.300r' % (
                    {n: bytes(b[:200]) for n, b in seen.raw.items() if b}, seen.result), seen.result)
            if case.alive and not case.alive(seen):
                return self.add(case, 'not ok', 'what is allowed of it did not come through', seen.result)
            if case.twin == 'key':
                room.twin(case)
            return self.add(case, 'ok', '', seen.result)
        except abuse_room.Void as e:
            return self.add(case, 'skip', str(e)[:300])
        except (AssertionError, OSError, ValueError) as e:
            return self.add(case, 'not ok', '%s: %s' % (type(e).__name__, str(e)[:500]))

    def show(self):
        print('\n| case | what is tried | verdict | what the sandbox got |\n|---|---|---|---|')
        for name, what, verdict, result in self.rows:
            print('| %s | %s | %s | %s |' % (name, what, 'refused' if verdict == 'ok' else verdict, result))


def chosen(names):
    return [c for c in CASES if not names or
            any(fnmatch.fnmatch(w, n) for n in names for w in (c.group, c.group + '-' + c.name))]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--prefix', required=True)
    parser.add_argument('names', nargs='*')
    options = parser.parse_args()
    world.enter()
    world.foreign(abuse_names.PUBLIC)
    registry.subreaper()
    directory = tempfile.mkdtemp(prefix='nsbox-abuse-')
    table = Table()
    try:
        room = abuse_room.Room(registry.Context(directory, options, Pki(directory + '/pki')))
        try:
            for case in chosen(options.names):
                table.attempt(room, case)
            peak, limit = room.memory(), MEMORY
            print('%s abuse-memory: the gateway had %d MiB at most' % ('ok' if peak < limit else 'not ok', peak >> 20))
            table.good &= peak < limit
        finally:
            room.close()
        table.show()
    finally:
        registry.leftovers(3)
        registry.remove(directory)
    return 0 if table.good else 1


if __name__ == '__main__':
    sys.exit(main())
