# SPDX-License-Identifier: Apache-2.0
"""Writes style and script of the report as C, and the policy of the page that allows exactly these two by their digests:
embed.py OUTPUT report.css report.js"""
import base64
import hashlib
import sys


def literal(text):
    lines = text.replace('\\', '\\\\').replace('"', '\\"').splitlines()
    return '\n'.join('\t"%s\\n"' % line for line in lines)


def source(text):
    return "'sha256-%s'" % base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


output, css, js = sys.argv[1:]
with open(css, encoding='ascii') as f:
    css = f.read()
with open(js, encoding='ascii') as f:
    js = f.read()
if '</' in css or '</' in js or '<!--' in js:
    sys.exit('embed.py: the text would end its own element')
policy = "default-src 'none'; style-src %s; script-src %s; base-uri 'none'; form-action 'none'" % (source(css), source(js))
with open(output, 'w', encoding='ascii') as out:
    out.write('/* Generated from cli/page. */\n#include "report_html.h"\n\n')
    for name, text in (('report_css', literal(css)), ('report_js', literal(js)), ('report_policy', '\t"%s"' % policy)):
        out.write('const char %s[] =\n%s;\n' % (name, text))
