# SPDX-License-Identifier: Apache-2.0
"""What a case of the abuse table is, and the list that all of them are put on."""

CASES = []


class Case:
    """code runs in the hand (abuse_hand.py), inside and outside; effect(seen) says whether the abuse had its effect, from
    what the servers and the hand saw. twin: what has to work through the same gateway: a plain request, or ('key') the
    same abuse with a made-up placeholder, so that only the secret makes the difference. alive(seen): the part of it that
    is allowed came through."""

    def __init__(self, group, name, what, code, effect, twin, alive):
        self.group, self.name, self.what, self.code = group, name, what, code
        self.effect, self.twin, self.alive = effect, twin, alive


def reached(seen):
    """Any byte at any server."""
    return any(seen.raw.values()) or bool(seen.datagrams)


def told(seen):
    """The sandbox, or whoever stands there, saw the secret in one of its forms."""
    return seen.tells()


def case(group, name, what, code, effect=reached, twin='plain', alive=None):
    CASES.append(Case(group, name, what, code, effect, twin, alive))
