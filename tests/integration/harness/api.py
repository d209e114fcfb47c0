# SPDX-License-Identifier: Apache-2.0
"""The C API from inside a test's own process, through the binding of examples/python."""
import functools
import importlib.util
import os
import sys

from .box import Box
from .registry import marked


def load(t):
    """The module, with the library of this build. Each test is a process of its own, so nothing is shared."""
    with open('/proc/self/maps') as f:
        if 'NSBOX_SANITIZED' in os.environ and 'libasan' not in f.read():
            t.skip('a sanitized library cannot be loaded into a plain python (run with LD_PRELOAD=libasan.so)')
    path = os.path.join(os.path.dirname(os.path.dirname(t.tests)), 'examples', 'python', 'libsandbox.py')
    spec = importlib.util.spec_from_file_location('libsandbox', path)
    module = sys.modules['libsandbox'] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.load(t.prefix + '/lib/libsandbox.so')
    return module


class Api:
    """A runtime, and policies for a user with a home and a workspace of its own."""

    def __init__(self, t, events=',', **kwargs):
        self.sb = load(t)
        self.box = Box(t)
        os.environ.clear()
        os.environ.update(self.box.env)
        os.chdir(self.box.work)
        self.t = t
        # An argument of sleep that no other process of this machine has.
        self.mark = '3141.%07d' % os.getpid()
        self.runtime = self.sb.Runtime(events=events, **kwargs)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.runtime.close()

    def policy(self, mode='none'):
        return self.sb.Policy().set('network', 'mode', mode)

    def wired(self, origin=None, *hosts, secret=None, value=b'value-of-the-secret-99'):
        """With a gateway, this origin for the hosts, and a secret KEY for the first of them."""
        policy = self.policy('gateway')
        for host in hosts:
            policy.set('network', 'allow', host)
            policy.set('network', 'connect_to', '%s:443:127.0.0.1:%d' % (host, origin.port))
        if hosts:
            policy.set('network', 'upstream_ca', self.t.pki.ca)
        if secret:
            policy.set('secret ' + secret, 'allow', hosts[0])
            policy.set_secret_value(secret, value)
        return policy

    def create(self, policy=None):
        return self.runtime.create(policy or self.policy())

    def sh(self, box, script, *args, **options):
        """A started call with pipes for output."""
        options = {'stdin': self.sb.NULL, 'stdout': self.sb.PIPE, 'stderr': self.sb.PIPE, **options}
        return box.start(['sh', '-c', script, 'sh', *[str(a) for a in args]], **options)

    def sh_async(self, box, script, *args, **options):
        options = {'stdin': self.sb.NULL, 'stdout': self.sb.PIPE, 'stderr': self.sb.PIPE, **options}
        return box.start_async(['sh', '-c', script, 'sh', *[str(a) for a in args]], **options)

    def refused(self, function, *args, **kwargs):
        """The SandboxError that this must raise."""
        try:
            function(*args, **kwargs)
        except self.sb.SandboxError as e:
            return e
        raise AssertionError('%s was not refused' % function.__name__)

    def supervisor(self):
        return self.box.helper('nsbox-supervisor')

    def marked(self, word=None):
        """pids of living processes with this word (or the mark) among their arguments: a call as the host sees it."""
        return marked(word or self.mark)


def with_api(function):
    """A test that gets a runtime, which is closed at its end."""
    @functools.wraps(function)
    def one(t, *arguments):
        with Api(t) as api:
            function(t, api, *arguments)
    return one
