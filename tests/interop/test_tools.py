# SPDX-License-Identifier: Apache-2.0
"""curl with each version of HTTP, and the tools of nghttp2, with nothing but the environment that a run sets."""
import re
import shutil

from harness.box import Box
from harness.http2 import Http2Origin
from harness.origin import Origin
from harness.registry import cases, check, equal, test

HOST = 'api.example.com'
PATH = '/usr/local/bin:/usr/bin:/bin'


def boxed(t, origin, program):
    if not shutil.which(program, path=PATH):
        t.skip(program + ' is not installed')
    return Box(t).add('--allow', HOST).connect(origin, HOST)


@cases([(way.strip('-') + '_to_' + kind, way, kind) for way in ('--http1.0', '--http1.1', '--http2', '--tls-max 1.2')
        for kind in ('http1', 'http2')])
def curl(t, way, kind):
    origin = (Origin if kind == 'http1' else Http2Origin)(t.pki.context([HOST]))
    result = boxed(t, origin, 'curl').sh('curl -sS %s https://%s/ && head -c 100000 /dev/zero >big && curl -sS %s -T big '
                                         '-w "%%{http_code}" https://%s/count' % (way, HOST, way, HOST)).ok()
    equal(result.out, 'origin says hello\n100000\n200', 'answers')


@test
def nghttp(t):
    origin = Http2Origin(t.pki.context([HOST]))
    result = boxed(t, origin, 'nghttp').run('nghttp', '-v', 'https://%s/trailers' % HOST).ok()
    check('body' in result.out and 'grpc-message: ok' in re.sub(r'\x1b\[[0-9;]*m', '', result.out), '%r' % result)


@test
def h2load(t):
    """A thousand requests, a hundred at a time, on four connections."""
    origin = Http2Origin(t.pki.context([HOST]))
    result = boxed(t, origin, 'h2load').run('h2load', '-n1000', '-c4', '-m25', 'https://%s/' % HOST).ok()
    check('1000 succeeded, 0 failed, 0 errored' in result.out, '%r' % result)
    equal(len(origin.requests), 1000, 'requests at the origin')


@test
def h2load_to_http1(t):
    origin = Origin(t.pki.context([HOST]))
    result = boxed(t, origin, 'h2load').run('h2load', '-n500', '-c4', '-m25', 'https://%s/' % HOST).ok()
    check('500 succeeded, 0 failed, 0 errored' in result.out, '%r' % result)


@test
def wget_with_a_body(t):
    origin = Origin(t.pki.context([HOST]))
    result = boxed(t, origin, 'wget').sh('wget -q -O - --post-data=abc https://%s/count https://%s/chunked' % (HOST, HOST)).ok()
    check(result.out.startswith('3\n'), '%r' % result)
