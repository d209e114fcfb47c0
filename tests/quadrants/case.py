# SPDX-License-Identifier: Apache-2.0
"""What a case is: something harmful that an agent could run, its benign twin, and how the host sees that it happened.

A case expects one outcome with one policy for the session and one with a grant for the call; without a sandbox the
harm has to happen, or the case shows nothing. Outcomes, from the best:
  prevented    the host sees no harm
  recoverable  harm, and the repository still has all that was damaged
  surfaced     harm, and the audit log has a record that the twin does not leave: who reads it finds the deed
  happened     harm, and the log looks like that of the twin"""
import os

import files

PREVENTED, RECOVERABLE, SURFACED, HAPPENED = OUTCOMES = ('prevented', 'recoverable', 'surfaced', 'happened')
P, R, S, H = OUTCOMES


class Case:
    """grant: of the call, both of the twin and of the harmful one. bad, good: a shell script, a command as a list, or
    several of (grant, script or list), one call each. harm, done: functions of a View; without done the exit status
    says whether the twin worked. why: what remains open, or what would close it. overlay: what a copy-on-write
    workspace, which none of the settings has, would make of the harm where it happens now."""

    def __init__(self, name, grant, bad, harm, good, expect, done=None, why='', overlay=None, recorded=True,
                 late=False):
        self.name, self.harm, self.expect, self.why, self.overlay = name, harm, expect, why, overlay
        self.bad, self.good = self.steps(grant, bad), self.steps(grant, good)
        self.done = done or (lambda u: True)
        self.recorded = recorded     # whether what is prevented leaves a record
        self.late = late             # whether the harm comes after the end of the call

    @staticmethod
    def steps(grant, what):
        several = isinstance(what, list) and isinstance(what[0], tuple)
        pairs = what if several else [(grant, what)]
        return [(g, ['/bin/sh', '-c', w] if isinstance(w, str) else w) for g, w in pairs]


class View:
    """What the host sees after a run."""

    def __init__(self, root, changed, results, services):
        self.root, self.changed, self.services = root, changed, services
        self.out = ''.join(r.out + r.err for r in results)
        self.victim = all(r.victim for r in results)
        self.full = os.statvfs(root).f_bavail == 0

    def text(self, name):
        return (files.read(os.path.join(self.root, name)) or b'').decode('utf-8', 'replace')


def touched(*patterns):
    return lambda u: files.matches(u.changed, patterns)


def holds(name, text):
    return lambda u: text in u.text(name)


def says(*texts):
    return lambda u: all(t in u.out for t in texts)


def did(host, method, path, times=1):
    return lambda u: len(u.services.did(host, method, path)) >= times


def leaked(text):
    return lambda u: u.services.attacker_has(text)
