# SPDX-License-Identifier: Apache-2.0
"""Cases of the abuse table: names under a rule whose owner has them lead to private servers, now or later."""
import itertools

from abuse_cases import case

PUBLIC, DEAD, PRIVATE, METADATA = '44.0.1.1', '45.0.0.1', '127.0.0.9', '169.254.169.254'
DOMAIN = 'rebind.example'
DAY = 86400


def turns(*answers):
    """A different one for each question, and from the first again."""
    return lambda n: answers[(n - 1) % len(answers)]


# What the name leads to, by the number of the question for that kind of address; the time that an answer is good for;
# does something of it lead to the public server?
NAMES = {
    'turns': ('first public, then private', turns([PUBLIC], [PRIVATE]), 60, True),
    'turns-ttl-0': ('the same with answers that are good for no time', turns([PUBLIC], [PRIVATE]), 0, True),
    'turns-long': ('the same with answers that are good for a day', turns([PUBLIC], [PRIVATE]), DAY, True),
    'turns-tls': ('first public, then private, over TLS', turns([PUBLIC], [PRIVATE]), 0, True),
    'metadata': ('first public, then the address of metadata', turns([PUBLIC], [METADATA]), 0, True),
    'six': ('public as A, private as AAAA', turns([PUBLIC, '::1']), 0, True),
    'four': ('private as A, public as AAAA', turns([PRIVATE, '2600::1']), 0, False),
    'later-six': ('public as A; private as AAAA the second time', turns([PUBLIC], [PUBLIC, '::1']), 0, True),
    'both': ('public and private in one answer', turns([PUBLIC, PRIVATE], [PRIVATE, PUBLIC]), 0, True),
    'dead': ('public, where nobody listens, and private', turns([DEAD, PRIVATE]), 0, False),
    'mapped': ('private as AAAA, mapped', turns(['::ffff:' + PRIVATE]), 0, False),
    'private': ('private from the first', turns([PRIVATE]), 60, False),
}
asked = {}


def answer(name, kind):
    """(addresses, how long they are good for) for a question; None: the name is none of these."""
    label, _, domain = name.partition('.')
    if domain != DOMAIN or label not in NAMES:
        return None
    _, addresses, ttl, _ = NAMES[label]
    count = asked.setdefault((label, kind), itertools.count(1))
    return [a for a in addresses(next(count)) if (kind == 28) == (':' in a)], ttl


def private_reached(seen):
    return any(raw for name, raw in seen.raw.items() if name.startswith('private'))


def public_reached(seen):
    return any(raw for name, raw in seen.raw.items() if name.startswith('public'))


for name, (what, _, _, some) in NAMES.items():
    case('rebind', name, 'a name that leads to ' + what, 'r = by_name("%s.%s", %r)' % (name, DOMAIN, name.endswith('tls')),
         private_reached, alive=public_reached if some else None)
