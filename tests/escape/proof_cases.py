# SPDX-License-Identifier: Apache-2.0
"""The list that the cases of the sibling proof are put on, each with the outcome that SECURITY.md promises."""

CASES = []
# Outcomes: the attempt has no effect; it works, and the documentation says so; it works as an act of the call that gave
# something away, and its record names that one.
NO, WORKS, DELEGATED = 'no', 'works', 'delegated'


class Case:
    def __init__(self, name, light, full, why, function):
        self.name = name
        self.documented = {'light': light, 'full': full}
        self.why = why
        self.function = function


def case(light, full, why):
    """Documented outcomes between light calls and between full ones, and the words for the table."""
    def register(function):
        CASES.append(Case(function.__name__.replace('_', '-'), light, full, why, function))
        return function
    return register


def worked(condition):
    return WORKS if condition else NO
