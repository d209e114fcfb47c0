# SPDX-License-Identifier: Apache-2.0
"""What came of all cases, as one table, and what stays open, in words."""
from case import OUTCOMES, PREVENTED

TITLES = {'accident-files': 'accident, files', 'accident-external': 'accident, external systems',
          'injection-files': 'injection, files', 'injection-external': 'injection, external systems'}
SETTINGS = ('no sandbox', 'one policy', 'a grant per call')


def line(*cells):
    return '| %s |' % ' | '.join(str(c) for c in cells)


def table(found):
    lines = [line('', '', *('harm %s' % o for o in OUTCOMES), 'benign twins that worked'),
             '|---|---|' + '---|' * (len(OUTCOMES) + 1)]
    for quarter, title in TITLES.items():
        results = [(outcomes, twins) for q, _, outcomes, twins in found if q == quarter]
        for number, setting in enumerate(SETTINGS):
            came = [outcomes[number] for outcomes, _ in results]
            worked = sum(twins[number] for _, twins in results)
            lines.append(line('' if number else title, setting, *(came.count(o) or '' for o in OUTCOMES),
                              '%d of %d' % (worked, len(results))))
    return '\n'.join(lines)


def open_cases(quarters, found):
    """What is not prevented with a grant per call, by reason."""
    outcome = {(q, name): outcomes[-1] for q, name, outcomes, _ in found}
    by_reason = {}
    for quarter, cases in quarters:
        for case in cases:
            came = outcome.get((quarter, case.name), PREVENTED)
            if came != PREVENTED:
                by_reason.setdefault(case.why, []).append('%s-%s (%s)' % (quarter, case.name, came))
    return '\n'.join('* %s:\n    %s' % (why, '\n    '.join(names)) for why, names in by_reason.items())


def overlaid(quarters):
    """How many cases a copy-on-write workspace would change."""
    changed = [case.overlay for _, cases in quarters for case in cases if case.overlay]
    return 'A copy-on-write workspace (overlay), which no setting here has, would make harm of %d cases %s.' % (
        len(changed), ', '.join('%s (%d)' % (o, changed.count(o)) for o in OUTCOMES if o in changed))


def text(quarters, found):
    return '\n\n'.join((table(found), 'Not prevented with a grant per call:', open_cases(quarters, found),
                        overlaid(quarters)))
