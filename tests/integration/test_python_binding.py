# SPDX-License-Identifier: Apache-2.0
"""examples/python: the binding covers the whole API as the headers have it, and finds the library."""
import ast
import ctypes
import glob
import importlib.util
import re
import sys

from harness.python import directory, script
from harness.registry import check, equal, test


def binding(t):
    """The module; nothing is loaded by importing it."""
    spec = importlib.util.spec_from_file_location('libsandbox', directory(t) + '/libsandbox.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def headers(t):
    """The installed public headers without comments."""
    paths = sorted(glob.glob(t.prefix + '/include/sandbox/*.h'))
    check(len(paths) >= 8, 'headers %r' % paths)
    text = ''
    for path in paths:
        with open(path) as f:
            text += f.read()
    return re.sub(r'//[^\n]*|/\*.*?\*/', ' ', text, flags=re.S)


def functions(t):
    """name -> [type of the result, type of each argument]: the words and stars of each, without its name."""
    def type_of(declaration):
        words = re.findall(r'\w+|\*', declaration)
        return ' '.join(words[:-1] if len(words) > 1 and words[-1] != '*' else words)

    found = {}
    for result, name, arguments in re.findall(r'SANDBOX_API\s+([^;()]*?)(\w+)\s*\(([^)]*)\)\s*;', headers(t)):
        listed = [] if arguments.strip() == 'void' else [type_of(a) for a in arguments.split(',')]
        found[name] = [' '.join(re.findall(r'\w+|\*', result))] + listed
    return found


def expected_type(c):
    """What ctypes has to be told about this C type. Handles are addresses; a handle out is the address of one."""
    known = {'void': None, 'int': ctypes.c_int, 'unsigned': ctypes.c_uint, 'unsigned long': ctypes.c_ulong,
             'const char *': ctypes.c_char_p, 'const void *': ctypes.c_void_p,
             'const char * const *': ctypes.POINTER(ctypes.c_char_p),
             'const char * *': ctypes.POINTER(ctypes.c_char_p),
             'char * *': ctypes.POINTER(ctypes.c_void_p), 'const void * *': ctypes.POINTER(ctypes.c_void_p),
             'int *': ctypes.POINTER(ctypes.c_int), 'unsigned long *': ctypes.POINTER(ctypes.c_ulong)}
    if c in known:
        return known[c]
    if re.fullmatch(r'(const )?sandbox(_\w+)? \*', c):
        return ctypes.c_void_p
    if re.fullmatch(r'sandbox(_\w+)? \* \*', c):
        return ctypes.POINTER(ctypes.c_void_p)
    raise AssertionError('the test does not know the C type %r' % c)


# ---- The binding and the headers

@test
def every_function_is_bound(t):
    api = functions(t)
    # Nothing is overlooked: the word stands once more in each #define, of which there are two.
    equal(len(api), headers(t).count('SANDBOX_API') - 2, 'declarations understood')
    module = binding(t)
    equal(sorted(module.PROTOTYPES), sorted(api), 'functions')
    for name, types in api.items():
        bound = module.PROTOTYPES[name]
        equal(len(bound) - 1, len(types) - 1, 'arguments of ' + name)
        for at, (ours, theirs) in enumerate(zip(bound, types)):
            equal(ours, expected_type(theirs), '%s of %s (%s)' % (at or 'result', name, theirs))


@test
def every_function_is_used(t):
    """A prototype alone helps nobody: each function stands somewhere in the code of a method too."""
    with open(directory(t) + '/libsandbox.py') as f:
        text = f.read()
    code = text[text.index('# ---- The library and its errors'):]
    composed = {'sandbox_event_' + member for member in ('name', 'sandbox', 'call', 'reason', 'json')}
    check("_function('sandbox_event_' + member)" in code, 'members of events')
    for name in set(functions(t)) - composed:
        check("'%s'" % name in code, '%s is used nowhere' % name)


@test
def constants_are_the_same(t):
    module, text = binding(t), headers(t)
    for kind, pattern in ((module.Stage, r'\bSANDBOX_STAGE_(\w+) = (\d+)'),
                          (module.State, r'\bSANDBOX_CALL_(\w+) = (\d+)'),
                          (module.Stdio, r'#define SANDBOX_STDIO_(\w+) \((-\d+)\)')):
        equal({m.name: m.value for m in kind}, {n: int(v) for n, v in re.findall(pattern, text)}, kind.__name__)


@test
def only_the_standard_library_and_python_3_9(t):
    for path in glob.glob(directory(t) + '/*.py'):
        with open(path) as f:
            text = f.read()
        tree = ast.parse(text, feature_version=(3, 9))
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else \
                [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                check(name == 'libsandbox' or name.split('.')[0] in sys.stdlib_module_names, path + ' imports ' + name)
        check('os.environ' not in text and 'getenv' not in text, path + ' reads the environment')


# ---- Finding the library

FIND = 'import json, libsandbox; print(json.dumps(libsandbox.version_info()))'


@test
def found_through_pkg_config(t):
    found = script(t, FIND, PKG_CONFIG_PATH=t.prefix + '/lib/pkgconfig', LD_LIBRARY_PATH='')
    equal(sorted(found), ['api', 'kernel', 'landlock_abi', 'version'], 'version')
    equal(found['version'], '0.1.0', 'version')


@test
def not_found(t):
    said = script(t, '''
import json, sys, libsandbox
found = []
for path in ("/nonexistent/libsandbox.so", "libc.so.6"):
    try:
        libsandbox.load(path)
    except OSError as error:
        found.append([error.errno, path in str(error)])
print(json.dumps(found))''')
    equal(said, [[2, True], [2, True]], 'errors')
