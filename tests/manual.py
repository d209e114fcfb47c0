#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The man pages fit the headers: each public function has one, declared as there; they format without warnings; and
the code of their examples compiles.

usage: manual.py PREFIX, where the library is installed. Run by headers.sh."""
import glob
import os
import re
import shutil
import subprocess
import sys

failed = False


def result(name, why=None):
    global failed
    failed = failed or why is not None
    print('ok ' + name if why is None else 'not ok %s: %s' % (name, (why.strip().splitlines() or ['?'])[0]))


def squeeze(declaration):
    return ' '.join(re.findall(r'\w+|[^\w\s]', declaration))


def declared(prefix):
    """name -> declaration, of the installed headers."""
    text = ''
    for path in sorted(glob.glob(prefix + '/include/sandbox/*.h')):
        with open(path) as f:
            text += re.sub(r'/\*.*?\*/', ' ', f.read(), flags=re.S)
    return {name: squeeze(whole) for whole, name in
            re.findall(r'SANDBOX_API\s+([^;()]*?(\w+)\s*\([^)]*\))\s*;', text)}


def plain(line):
    """A line of a page as it is read: a request for fonts loses its name and quotes, escapes become characters."""
    macro = re.match(r'\.(BI|BR|IB|IR|RB|RI|B|I)\b ?(.*)', line)
    if macro:
        words = re.findall(r'"([^"]*)"|(\S+)', macro.group(2))
        joined = ' ' if len(macro.group(1)) == 1 else ''
        line = joined.join(a or b for a, b in words)
    line = re.sub(r'\\f.', '', line.replace('\\&', ''))
    for escape, character in (('\\-', '-'), ('\\(aq', "'"), ('\\(dq', '"'), ('\\(ha', '^'), ('\\(ti', '~'),
                              ('\\(ga', '`'), ('\\~', ' '), ('\\e', '\\')):
        line = line.replace(escape, character)
    return line


def section(text, name):
    found = re.search(r'^\.SH %s\n(.*?)(?=^\.SH |\Z)' % name, text, flags=re.M | re.S)
    return found.group(1) if found else ''


def check_function(man3, name, declaration):
    """Its page, by its own name, has it under NAME and declares it under SYNOPSIS."""
    path = '%s/%s.3' % (man3, name)
    if not os.path.exists(path):
        return 'there is no page or link %s.3' % name
    with open(path) as f:
        text = f.read()
    names = [plain(line) for line in section(text, 'NAME').splitlines()]
    if name not in re.findall(r'\w+', ' '.join(names).split(' - ')[0]):
        return 'it is not under NAME of %s' % os.path.realpath(path)
    lines = [plain(line) for line in section(text, 'SYNOPSIS').splitlines() if not re.match(r'\.(nf|fi|PP)', line)]
    said = {squeeze(d) for d in re.findall(r'[^;#>]*\([^)]*\)(?=;)', ' '.join(lines))}
    return None if declaration in said else 'SYNOPSIS does not say: ' + declaration


def check_format(path):
    done = subprocess.run(['groff', '-man', '-ww', '-z', '-Tutf8', '-Kutf8', path], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout.decode(errors='replace') or ('groff failed' if done.returncode else None)


def check_examples(path, flags):
    with open(path) as f:
        blocks = re.findall(r'^\.EX\n(.*?)^\.EE', section(f.read(), 'EXAMPLES'), flags=re.M | re.S)
    if not blocks:
        return 'it has no example'
    for number, block in enumerate(blocks, 1):
        code = '\n'.join(plain(line) for line in block.splitlines()) + '\n'
        done = subprocess.run(['gcc', '-std=c11', '-D_POSIX_C_SOURCE=200809L', '-O1', '-Wall', '-Wextra', '-Wpedantic',
                               '-Werror', '-x', 'c', '-c', '-o', '/dev/null', *flags, '-'], input=code.encode(),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            errors = [line for line in done.stdout.decode().splitlines() if 'error' in line]
            return 'example %d: %s' % (number, (errors or ['gcc failed'])[0])
    return None


def main():
    prefix = sys.argv[1]
    man3 = prefix + '/share/man/man3'
    pages = sorted(path for path in glob.glob(man3 + '/*.3') if not os.path.islink(path))
    functions = declared(prefix)
    result('manual.pages', None if len(pages) >= 10 and len(functions) > 50 else
           '%d pages in %s, %d functions in the headers' % (len(pages), man3, len(functions)))
    for name, declaration in sorted(functions.items()):
        result('manual.' + name, check_function(man3, name, declaration))
    strangers = [n for n in (os.path.basename(p)[:-2] for p in glob.glob(man3 + '/*.3') if os.path.islink(p))
                 if n not in functions]
    result('manual.links', 'links to functions that are none: ' + ', '.join(strangers) if strangers else None)

    for path in pages + sorted(glob.glob(prefix + '/share/man/man[17]/*.[17]')):
        if shutil.which('groff'):
            result('manual.format.' + os.path.basename(path), check_format(path))
        else:
            print('skip manual.format.%s: groff is not installed' % os.path.basename(path))
    flags = subprocess.run(['pkg-config', '--cflags', 'libsandbox'], stdout=subprocess.PIPE, check=True,
                           env=dict(os.environ, PKG_CONFIG_PATH=prefix + '/lib/pkgconfig')).stdout.decode().split()
    for path in pages:
        result('manual.examples.' + os.path.basename(path), check_examples(path, flags))
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
