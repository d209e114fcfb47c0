# SPDX-License-Identifier: Apache-2.0
"""Tools of developers do the same inside as outside: what they print and every file that they make."""
import ensurepip
import glob
import hashlib
import io
import json
import os
import re
import shutil
import stat
import subprocess
import tarfile
import zipfile

from harness.box import Box, PYTHON
from harness.origin import Origin
from harness.registry import check, equal, test

PATH = '/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin'
GIT = {'GIT_%s_%s' % (who, what): value for who in ('AUTHOR', 'COMMITTER')
       for what, value in (('NAME', 'A'), ('EMAIL', 'a@example.com'), ('DATE', '1700000000 +0000'))}


def need(t, *programs, path=PATH):
    for program in programs:
        if not shutil.which(program, path=path):
            t.skip(program + ' is not installed')


def tree(top, leave_out):
    """Names, kinds, permissions and contents; of what the pattern finds only the name."""
    found = {}
    for directory, names, files in os.walk(top):
        for name in names + files:
            path = os.path.join(directory, name)
            short = os.path.relpath(path, top)
            st = os.lstat(path)
            if stat.S_ISLNK(st.st_mode):
                found[short] = ['link', os.readlink(path)]
            elif stat.S_ISREG(st.st_mode) and not re.search(leave_out, short):
                with open(path, 'rb') as f:
                    found[short] = [oct(st.st_mode), hashlib.sha256(f.read()).hexdigest()]
            else:
                found[short] = [oct(st.st_mode)]
    return found


def compare(t, box, files, script, leave_out='^$', flags=(), timeout=100, outside=None, **variables):
    """The script in the same place outside and inside, from the same files. outside: variables instead of flags."""
    results = []
    box.env.update(variables)
    for inside in (False, True):
        shutil.rmtree(box.work)
        os.makedirs(box.work, mode=0o700)
        for name, text in files.items():
            t.write('box/work/' + name, text)
        if inside:
            passed = [word for name in variables for word in ('--env', name)]
            done = box.sh(script, flags=[*passed, *flags], timeout=timeout)
            out = done.out
        else:
            done = subprocess.run(['/bin/sh', '-c', script], cwd=box.work, timeout=timeout, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  env={**box.env, 'SHELL': '/bin/sh', **(outside or {})})
            out = done.stdout.decode()
            if done.returncode:
                t.skip('it does not work outside either: ' + done.stderr.decode().strip()[-200:])
        code = done.code if inside else done.returncode
        results.append((code, out, tree(box.work, leave_out), done))
    outside, inside = results
    equal(inside[:2], outside[:2], 'exit status and output (%r)' % inside[3])
    for name in sorted(set(outside[2]) | set(inside[2])):
        equal(inside[2].get(name), outside[2].get(name), name)
    check(outside[2], 'nothing was made')
    return outside[1]


@test(timeout=120)
def git(t):
    need(t, 'git')
    script = '''set -e
git init -q -b main app && cd app
for i in 1 2 3; do echo $i > f$i; git add f$i; git commit -q -m "commit $i"; done
git checkout -q -b side && git mv f1 g1 && chmod +x f2 && git commit -q -a -m side
git checkout -q main && echo more >> f3 && git commit -q -a -m more && git merge -q -m merge side
echo dirty > f3 && git stash -q && git stash pop -q && git diff --stat && git status --short
git tag -a -m tag v1 && git gc -q && git fsck --full 2>/dev/null && git log --format='%H %s' --all
git clone -q . ../copy && git -C ../copy log --oneline && git worktree add -q ../tree v1 && cat ../tree/g1
git config alias.x status && git x --short && git archive HEAD | sha256sum'''
    out = compare(t, Box(t), {}, script, r'(^|/)index$|/objects/pack/|/logs/|ORIG_HEAD', ['-p', 'git'], **GIT)
    check('merge' in out, out)


SOURCES = {'main.c': '#include <stdio.h>\n#include "f.h"\nint main(void) { printf("%d\\n", f(20)); return 0; }\n',
           'f.c': '#include <math.h>\n#include "f.h"\nint f(int x) { return (int)sqrt(x * x) * 2; }\n',
           'f.h': 'int f(int x);\n'}


@test(timeout=120)
def make(t):
    need(t, 'make', 'gcc')
    files = {**SOURCES, 'Makefile': 'all: prog\n\t./prog\nprog: main.o f.o\n\t$(CC) -o $@ $^ -lm\n%.o: %.c f.h\n'
                                    '\t$(CC) -c -g -O2 -o $@ $<\nclean:\n\trm -f *.o prog\n'}
    script = 'make -j2 2>&1 | sort && touch f.h && make && make -q; echo $?; make clean && make -s'
    out = compare(t, Box(t), files, script, flags=['-p', 'c'])
    check('40' in out, out)


@test(timeout=180)
def cmake(t):
    need(t, 'cmake', 'make', 'gcc')
    files = {**SOURCES, 'CMakeLists.txt': 'cmake_minimum_required(VERSION 3.13)\nproject(p C)\n'
             'add_executable(prog main.c f.c)\ntarget_link_libraries(prog m)\nenable_testing()\n'
             'add_test(NAME runs COMMAND prog)\n'
             'install(TARGETS prog DESTINATION bin)\n'}
    script = '''cmake -S . -B build -DCMAKE_INSTALL_PREFIX="$PWD/out" >/dev/null && cmake --build build >/dev/null &&
(cd build && ctest >/dev/null) && cmake --install build >/dev/null && out/bin/prog'''
    equal(compare(t, Box(t), files, script, r'\.log$|Log\.yaml$|\.make$|\.make\.internal$|\.bin$|/Testing/|CostData',
                  flags=['-p', 'c'], timeout=150), '40\n', 'the program')


def package(name, version, code):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode='w:gz') as archive:
        for member, text in (('package.json', json.dumps({'name': name, 'version': version, 'main': 'index.js'})),
                             ('index.js', code)):
            info = tarfile.TarInfo('package/' + member)
            info.size, info.mode = len(text), 0o644
            archive.addfile(info, io.BytesIO(text.encode()))
    return data.getvalue()


@test(timeout=120)
def npm(t):
    """One dependency from a directory, one from a registry, which is a stand-in on loopback."""
    need(t, 'npm', 'node')
    body = package('left', '1.2.3', 'module.exports = (s) => "left " + s;\n')

    def registry(connection, request):
        if request.path == '/left':
            dist = {'tarball': 'http://%s/left/-/left-1.2.3.tgz' % request.header('host')[0],
                    'shasum': hashlib.sha1(body).hexdigest()}
            Origin.reply(connection, body=json.dumps({'name': 'left', 'dist-tags': {'latest': '1.2.3'}, 'versions': {
                '1.2.3': {'name': 'left', 'version': '1.2.3', 'dist': dist}}}),
                         headers=[('Content-Type', 'application/json')])
        elif request.path == '/left/-/left-1.2.3.tgz':
            Origin.reply(connection, body=body, headers=[('Content-Type', 'application/octet-stream')])
        else:
            Origin.reply(connection, '404 Not Found', '{}')

    origin = Origin(handler=registry)
    box = Box(t).connect(origin, 'packages.example.com', port=80, ca=False)
    t.write('box/home/.npmrc', 'registry=http://packages.example.com/\nfetch-retries=0\n')
    files = {'package.json': json.dumps({'name': 'app', 'version': '1.0.0',
                                         'dependencies': {'left': '^1.0.0', 'own': 'file:./own'},
                                         'scripts': {'start': 'node main.js', 'postinstall': 'echo ran > ran'}}),
             'own/package.json': json.dumps({'name': 'own', 'version': '0.1.0'}),
             'own/index.js': 'module.exports = 7;\n',
             'main.js': 'console.log(require("left")("x"), require("own"));\n'}
    script = 'npm install --no-audit --no-fund --loglevel=error >/dev/null && npm ls --all && npm start --silent'
    out = compare(t, box, files, script, r'package-lock\.json$', ['-p', 'node'],
                  outside={'npm_config_registry': 'http://127.0.0.1:%d/' % origin.port, 'NO_UPDATE_NOTIFIER': '1'})
    check('left x 7' in out and 'left@1.2.3' in out, out)


@test(timeout=120)
def python_venv(t):
    need(t, 'python3', path='/usr/bin')
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, 'w') as z:
        z.writestr('thing.py', 'def main():\n    print("thing", __name__)\n')
        info = 'thing-1.0.dist-info/'
        z.writestr(info + 'METADATA', 'Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n')
        z.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\nGenerator: own\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
        z.writestr(info + 'entry_points.txt', '[console_scripts]\nthing = thing:main\n')
        z.writestr(info + 'RECORD', ''.join('%s,,\n' % n for n in ('thing.py', info + 'METADATA', info + 'WHEEL',
                                                                      info + 'entry_points.txt', info + 'RECORD')))
    # pip out of its own wheel: making a venv with it takes several times as long.
    pip = glob.glob('/usr/share/python-wheels/pip-*.whl')
    pip += glob.glob(os.path.dirname(ensurepip.__file__) + '/_bundled/pip-*.whl')
    if not pip:
        t.skip('there is no wheel of pip on this machine')
    script = PYTHON + ' -m venv --without-pip v && v/bin/python %s/pip' % pip[0] + ''' \
install -q --no-index --no-compile ./thing-1.0-py3-none-any.whl &&
v/bin/thing && v/bin/python -c 'import sys, sqlite3, ssl, ctypes, multiprocessing as m
print(sys.prefix, sys.version)
with m.Pool(2) as p: print(p.map(abs, [-1, -2]))' '''
    out = compare(t, Box(t), {'thing-1.0-py3-none-any.whl': wheel.getvalue()}, script,
                  r'__pycache__|\.pyc$|direct_url\.json$', ['-p', 'python'], PYTHONDONTWRITEBYTECODE='1')
    check('thing thing' in out and '[1, 2]' in out, out)


@test(timeout=180)
def cargo(t):
    """A build without the network; the toolchain is one below the home directory or of the system."""
    home = os.path.expanduser('~')
    path = home + '/.cargo/bin:' + PATH
    need(t, 'cargo', 'gcc', path=path)
    own = os.path.exists(home + '/.cargo/bin/cargo')
    files = {'Cargo.toml': '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2018"\n'
                           '[dependencies]\nown = { path = "own" }\n',
             'src/main.rs': 'fn main() { println!("{}", own::twice(21)); }\n'
                            '#[test] fn t() { assert_eq!(own::twice(2), 4); }\n',
             'own/Cargo.toml': '[package]\nname = "own"\nversion = "0.1.0"\nedition = "2018"\n',
             'own/src/lib.rs': 'pub fn twice(x: i32) -> i32 { x * 2 }\n'}
    flags = ['-p', 'rust', '--env', 'PATH']
    flags += ['--read', home + '/.rustup', '--read', home + '/.cargo/bin'] if own else []
    box = Box(t).add(PATH=path)
    variables = {'CARGO_INCREMENTAL': '0', **({'RUSTUP_HOME': home + '/.rustup'} if own else {})}
    script = ('cargo build -q --offline && target/debug/app && '
              'cargo test -q --offline 2>/dev/null | grep passed | sed "s/finished.*//"')
    out = compare(t, box, files, script, r'^target/', flags, timeout=150, **variables)
    check(out.startswith('42\n'), out)


@test(timeout=180)
def go(t):
    path = PATH + ':/usr/local/go/bin'
    need(t, 'go', path=path)
    files = {'go.mod': 'module app\ngo 1.18\n',
             'main.go': 'package main\nimport "app/own"\nfunc main() { println(own.Twice(21)) }\n',
             'own/own.go': 'package own\nfunc Twice(x int) int { return x * 2 }\n',
             'own/own_test.go': 'package own\nimport "testing"\n'
                                'func TestTwice(t *testing.T) { if Twice(2) != 4 { t.Fail() } }\n'}
    box = Box(t).add(PATH=path)
    script = 'go build -trimpath -o app . && ./app 2>&1 && go vet ./... && go test ./... | cut -c1-10'
    variables = {'GOFLAGS': '-mod=mod', 'GOPROXY': 'off'}
    # Compiling the standard library takes longer than all else, so it is in the caches that both begin with.
    cache, other = t.path('cache'), t.path('cache-outside')
    for name, text in files.items():
        t.write('first/' + name, text.replace('app', 'first'))
    done = subprocess.run(['/bin/sh', '-c', script], cwd=t.path('first'), env={**box.env, **variables, 'GOCACHE': cache},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=150)
    if done.returncode:
        t.skip('it does not work outside: ' + done.stdout.decode().strip()[-200:])
    shutil.copytree(cache, other)
    compare(t, box, files, script, r'^$', ['-p', 'go', '--env', 'PATH', '--write', cache], timeout=150,
            outside={'GOCACHE': other}, GOCACHE=cache, **variables)
