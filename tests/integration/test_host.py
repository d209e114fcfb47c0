# SPDX-License-Identifier: Apache-2.0
"""Embedding: the library leaves its host process alone (invariant 9), and examples/c works."""
import errno
import json
import os
import subprocess
import sys

from harness.api import with_api
from harness.box import Box, without_asan
from harness.registry import check, equal, test

SANITIZED = 'NSBOX_SANITIZED' in os.environ


def build(t, source, output):
    """Compile against the installed library, as a user would."""
    env = dict(os.environ, PKG_CONFIG_PATH=t.prefix + '/lib/pkgconfig')
    flags = subprocess.run(['pkg-config', '--cflags', '--libs', 'libsandbox'], env=env, stdout=subprocess.PIPE,
                           check=True, timeout=60).stdout.decode().split()
    program = t.path(output)
    sanitize = ['-fsanitize=address,undefined', os.environ['NSBOX_SANITIZED']] if SANITIZED else []
    subprocess.run(['gcc', '-O1', '-Wall', '-Wextra', '-D_GNU_SOURCE', *sanitize, source, '-o', program, *flags],
                   check=True, timeout=120)
    return program


def host(t, box, megabytes, runs=3, **kwargs):
    program = t.path('host_safety')
    if not os.path.exists(program):
        build(t, t.tests + '/host_safety.c', 'host_safety')
    reader, writer = os.pipe()
    # A descriptor that survives `closed stdio`, where 0, 1 and 2 are free for the library to land on.
    high = os.dup2(writer, 200)
    os.set_inheritable(high, True)
    os.close(writer)
    done = subprocess.run([program, box.work, str(megabytes), str(high), str(runs)], env=box.env, timeout=100 * t.slowness,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          pass_fds=[high], **kwargs)
    os.close(high)
    with os.fdopen(reader) as f:
        text = f.read()
    check(text, 'the host died: status %d, %r' % (done.returncode, done.stderr))
    return json.loads(text), done


@test
def nothing_is_done_to_the_host(t):
    box = Box(t)
    result, done = host(t, box, 16, 5)
    equal((result['failed'], result['why']), (0, ''), 'runs that failed')
    equal(result['sigchld'], 0, 'SIGCHLD received')
    equal(result['waited'], 0, 'children that waitpid(-1) found')
    equal(result['threads'], 1, 'threads')
    equal(result['fds'], 0, 'descriptors left open')
    equal(result['signals_changed'], 0, 'signal handlers or mask changed')
    equal((done.stdout, without_asan(done.stderr)), (b'', ''), 'stdout and stderr')


@test
def closed_stdio(t):
    def close():
        for fd in (0, 1, 2):
            os.close(fd)

    box = Box(t)
    result, _ = host(t, box, 1, 3, preexec_fn=close)
    equal((result['failed'], result['why']), (0, ''), 'runs that failed')
    equal(result['fds'], 0, 'descriptors left open')
    for log in box.logs():
        with open(log) as f:
            for line in f:
                json.loads(line)


@test(timeout=120)
def start_does_not_depend_on_the_heap(t):
    """No fork of the host, which for 500 MB of touched small pages takes over 20 ms and leaves each of them to be copied."""
    if SANITIZED:
        t.skip('the sanitizers have pages of their own')
    got, _ = host(t, Box(t), 500, 15)
    equal((got['failed'], got['heap_kept']), (0, 1), 'runs that failed, heap as it was')
    check(got['faults_of_fork'] > 100000, 'the control: %d faults after a fork' % got['faults_of_fork'])
    check(got['faults'] < got['faults_of_fork'] / 10, '%d faults, after a fork %d' % (got['faults'], got['faults_of_fork']))


@test
def many_sandboxes_in_one_runtime(t):
    """One after another and four at a time, with and without gateway, in one process with one supervisor."""
    program = build(t, t.tests + '/many.c', 'many')
    box = Box(t)
    done = subprocess.run([program, box.work, '40'], env=box.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=50 * t.slowness)
    equal((done.returncode, done.stdout), (0, b'40 sandboxes, 40 calls\n'), 'result (%r)' % done.stderr)


@test
def example_c(t):
    example = os.path.join(os.path.dirname(os.path.dirname(t.tests)), 'examples', 'c', 'run.c')
    box = Box(t)
    program = build(t, example, 'example')

    def run(*args):
        return subprocess.run([program, *args], env=box.env, cwd=box.work, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)

    done = run('sh', '-c', 'echo hello from inside; ls -A ~; exit 7')
    equal((done.returncode, done.stdout), (7, b'hello from inside\n'), 'exit status and stdout (%r)' % done.stderr)
    done = run('no-such-command')
    check(done.returncode != 0 and b'no-such-command' in done.stderr, 'an error is printed: %r' % done)


@test
def loads_into_python_and_node(t):
    """A process that carries OpenSSL can load it: no TLS library comes with it, and a run works."""
    script = '''
import ctypes, ssl, sys
lib = ctypes.CDLL(sys.argv[1])
for f in ("sandbox_create", "sandbox_start"): getattr(lib, f).restype = ctypes.c_int
P = ctypes.c_void_p
def new(name, *args):
    r = P(); e = P()
    if getattr(lib, name)(*args, ctypes.byref(r), ctypes.byref(e)) != 0:
        lib.sandbox_error_message.restype = ctypes.c_char_p
        raise SystemExit(lib.sandbox_error_message(e).decode())
    return r
rt, pol = new("sandbox_runtime_new"), new("sandbox_policy_new")
box = new("sandbox_create", rt, pol)
argv = (ctypes.c_char_p * 4)(b"sh", b"-c", b"exit 42", None)
cmd = new("sandbox_command_new", argv)
call = new("sandbox_start", box, cmd)
e = P(); assert lib.sandbox_call_wait(call, 20000, ctypes.byref(e)) == 0
print(lib.sandbox_call_exit_status(call), ssl.OPENSSL_VERSION.split()[0])
lib.sandbox_call_free(call); lib.sandbox_free(box); lib.sandbox_runtime_free(rt)
ssl.create_default_context()
'''
    if SANITIZED:
        t.skip('a sanitized library cannot be loaded into a plain python')
    box = Box(t)
    done = subprocess.run([sys.executable, '-c', script, t.prefix + '/lib/libsandbox.so'], env=box.env, cwd=box.work,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    equal(done.stdout, b'42 OpenSSL\n', 'stdout (%r)' % done.stderr)


def in_a_fork(t, function):
    """What it returns in a child, as JSON."""
    path = t.path('said')
    pid = os.fork()
    if pid == 0:
        try:
            said = function()
        except BaseException as error: # the parent's with statements are not for this process
            said = repr(error)
        with open(path, 'w') as f:
            json.dump(said, f)
        os._exit(0)
    os.waitpid(pid, 0)
    with open(path) as f:
        return json.load(f)


@test(timeout=60)
@with_api
def a_fork_has_no_say(t, api):
    """Handles in a child that the host forked: nothing works, freeing them ends nothing, and the parent goes on as before."""
    box = api.create()
    running = api.sh(box, 'read line; echo "$line"; exit 3', stdin=api.sb.PIPE)

    def child():
        errors = [api.refused(f, *arguments).errno for f, *arguments in (
            (api.sh, box, 'echo started'), (box.inspect,), (running.wait, 1), (api.create,))]
        running.close()
        box.close()
        api.runtime.close()
        return errors

    equal(in_a_fork(t, child), [errno.ECONNRESET] * 4, 'errors in the child')
    out, _ = running.communicate(b'here\n', timeout=60)
    equal((out, running.wait(10).status), (b'here\n', 3), 'the call that ran meanwhile')
    with api.sh(box, 'echo more') as call:
        equal(call.communicate(timeout=60)[0], b'more\n', 'another one')
