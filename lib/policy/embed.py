# SPDX-License-Identifier: Apache-2.0
"""Writes the built-in profiles as C: embed.py OUTPUT PROFILE.ini..."""
import os
import sys


def literal(data):
    return '\n'.join('\t\t"%s\\n"' % line.replace('\\', '\\\\').replace('"', '\\"') for line in data.splitlines())


with open(sys.argv[1], 'w', encoding='ascii') as out:
    out.write('/* Generated from cli/profiles. */\n#include "policy/internal.h"\n\n')
    out.write('const struct builtin_profile builtin_profiles[] = {\n')
    for path in sys.argv[2:]:
        with open(path, encoding='ascii') as f:
            name = os.path.splitext(os.path.basename(path))[0]
            out.write('\t{ "%s",\n%s },\n' % (name, literal(f.read())))
    out.write('\t{ NULL, NULL },\n};\n')
