# SPDX-License-Identifier: Apache-2.0
"""Scripts that use examples/python, as the tests run them."""
import json
import os
import subprocess
import sys

from harness.box import Box
from harness.registry import equal

SANITIZED = 'NSBOX_SANITIZED' in os.environ

# What the scripts begin with. `box` has no network, so no gateway starts.
PRELUDE = '''
import asyncio, errno, json, os, signal, sys, threading, time
import libsandbox as sb
sb.load(sys.argv[1])

def out(value):
    print(json.dumps(value), flush=True)

def policy():
    return sb.Policy().set('network', 'mode', 'none')

def refused(function, *arguments, **options):
    """errno, stage and object of the error that this must be."""
    try:
        function(*arguments, **options)
    except sb.SandboxError as e:
        return [errno.errorcode[e.errno], sb.stage_name(e.stage), e.object]
    return 'no error'
'''
WITH_BOX = PRELUDE + '''
runtime = sb.Runtime()
box = runtime.create(policy())
'''


def directory(t):
    return os.path.join(os.path.dirname(os.path.dirname(t.tests)), 'examples', 'python')


def script(t, text, *args, box=None, code=0, timeout=100, **env):
    """Run a script with the binding; what its last line says."""
    if SANITIZED:
        t.skip('a sanitized library cannot be loaded into a plain python')
    box = box or Box(t)
    done = subprocess.run([sys.executable, '-X', 'dev', '-B', '-c', text, t.prefix + '/lib/libsandbox.so', *args],
                          env=dict(box.env, PYTHONPATH=directory(t), **env), cwd=box.work, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
    equal(done.returncode, code, 'exit status (%r, %r)' % (done.stdout[-500:], done.stderr[-1500:]))
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout else None
