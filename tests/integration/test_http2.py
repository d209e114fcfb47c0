# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 through the gateway with clients and servers that are not ours: curl, nghttp, h2load, node and nghttpd."""
import json
import os
import shutil
import socket
import subprocess

from harness.box import Box, peak_memory
from harness.http2 import Http2Origin
from harness.origin import Origin
from harness.registry import check, equal, test, until

HOST = 'api.example.com'
# Of the gateway's memory. AddressSanitizer needs a multiple of what the program does.
LIMIT = 32 << (20 if 'NSBOX_SANITIZED' not in os.environ else 23)


def need(t, *programs):
    for program in programs:
        if not shutil.which(program):
            t.skip('no ' + program)


def box_for(t, origin, host=HOST, allow=None):
    return Box(t).add('--allow', allow or host).connect(origin, host)


class Nghttpd:
    """nghttpd over TLS on loopback, with a directory to serve."""

    def __init__(self, t, *options):
        need(t, 'nghttpd')
        self.www = t.path('www')
        os.makedirs(self.www)
        certificate, key = t.pki.server([HOST])
        # Somebody else may take the port in between.
        for _ in range(5):
            with socket.create_server(('127.0.0.1', 0)) as s:
                self.port = s.getsockname()[1]
            self.process = subprocess.Popen(['nghttpd', '-a', '127.0.0.1', '-d', self.www, *options, str(self.port), key,
                                             certificate], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            until(self.answers_or_ended, message='nghttpd listens')
            if self.process.poll() is None:
                return
        check(False, 'nghttpd does not go on')

    def answers_or_ended(self):
        try:
            socket.create_connection(('127.0.0.1', self.port), 20).close()
            return True
        except OSError:
            return self.process.poll() is not None

    def write(self, name, data):
        with open(os.path.join(self.www, name), 'wb') as f:
            f.write(data)

    def close(self):
        self.process.terminate()
        self.process.wait()


def with_nghttpd(t, f, *options):
    server = Nghttpd(t, *options)
    try:
        return f(server)
    finally:
        server.close()


@test
def curl_both_ways(t):
    """curl over HTTP/2 and HTTP/1.1 to servers of either."""
    origins = {HOST: Http2Origin(t.pki.context([HOST])), 'old.example.com': Origin(t.pki.context(['old.example.com']))}
    box = Box(t)
    for host, origin in origins.items():
        box.add('--allow', host).connect(origin, host)
    for host, origin in origins.items():
        for version, flag in (('2', '--http2'), ('1.1', '--http1.1')):
            result = box.run('curl', '-sS', flag, '-w', '%{http_version} %{http_code}', 'https://%s/x' % host).ok()
            equal(result.out, 'origin says hello\n%s 200' % version, host)
        result = box.run('curl', '-sS', '--http2', '-d', 'a=b', '-w', ' %{http_version}',
                         'https://%s/count' % host).ok()
        equal(result.out, '3\n 2', 'POST')
        equal(len(origin.requests), 3, 'requests')
    record = [r for r in box.audit('http.request')][-1]
    equal((record['method'], record['status'], record['bytes_up'], record['bytes_down']), ('POST', 200, 3, 2), 'record')


@test
def refusals_are_readable(t):
    origin = Http2Origin(t.pki.context([HOST]))
    box = box_for(t, origin, allow='GET https://%s/v1/**' % HOST)
    for arguments, reason in ((['https://%s/v2' % HOST], 'path'), (['https://other.example.com/'], 'no-rule'),
                              (['-X', 'DELETE', 'https://%s/v1/x' % HOST], 'method')):
        result = box.run('curl', '-sS', '--http2', '-i', *arguments).ok()
        check(result.out.startswith('HTTP/2 403'), '%r' % result)
        check('x-nsbox-denied: %s\r\n' % reason in result.out, '%r' % result)
        check('application/problem+json' in result.out, '%r' % result)
        equal(box.audit('http.deny')[-1]['reason'], reason, 'record')
    result = box.run('curl', '-sS', '--http2', '-i', '-H', 'Host: evil.example.com', 'https://%s/v1/x' % HOST).ok()
    check(result.out.startswith('HTTP/2 421'), '%r' % result)
    equal(len(origin.requests), 0, 'requests at the origin')


@test
def placeholders(t):
    origin = Http2Origin(t.pki.context([HOST]))
    box = box_for(t, origin).add('--secret', 'KEY=env:REAL@' + HOST, REAL='the-real-value-0123456789')
    result = box.sh('curl -sS --http2 -H "Authorization: Bearer $KEY" https://%s/ && echo "$KEY"' % HOST).ok()
    check('the-real-value' not in result.out and 'nsbox_' in result.out, '%r' % result)
    equal(origin.requests[0].get('authorization'), 'Bearer the-real-value-0123456789', 'the header')
    result = box.sh('curl -sS --http2 -o /dev/null -w "%%{http_code}" -d "key=$KEY" https://%s/' % HOST).ok()
    equal(result.out, '403', 'in a body')
    equal(len(origin.requests), 1, 'requests at the origin')


@test
def nghttp_fetches(t):
    need(t, 'nghttp')

    def run(server):
        server.write('index.html', b'from nghttpd\n')
        box = box_for(t, server)
        result = box.run('nghttp', '-v', '-H', 'x-test: 1', 'https://%s/index.html' % HOST).ok()
        check('from nghttpd' in result.out and ':status: 200' in result.out, '%r' % result)
        result = box.run('curl', '-sS', '--http2', '-w', '%{http_version}', 'https://%s/index.html' % HOST).ok()
        equal(result.out, 'from nghttpd\n2', 'curl')
        # It would push with this.
        result = box.run('nghttp', '-nv', '--no-push', 'https://%s/index.html' % HOST).ok()
        check('PUSH_PROMISE' not in result.out, '%r' % result)
    with_nghttpd(t, run, '--push=/index.html=/pushed.css', '--trailer=x-end: 1')


@test(timeout=120)
def h2load_runs(t):
    """Many streams over few connections, every one of them allowed, recorded and counted."""
    need(t, 'h2load')

    def run(server):
        server.write('index.html', b'x' * 1000)
        box = box_for(t, server)
        for arguments in (['-n', '2000', '-c', '4', '-m', '50'], ['-n', '300', '-c', '1', '-m', '1'],
                          ['-n', '300', '-c', '4', '--h1']):
            result = box.run('h2load', *arguments, 'https://%s/index.html' % HOST, timeout=100).ok()
            n = arguments[1]
            check('%s succeeded, 0 failed, 0 errored' % n in result.out, '%r' % result)
            equal(len(box.audit('net.allow')), int(n), 'records')
            equal({r['status'] for r in box.audit('http.request')}, {200}, 'statuses')
    with_nghttpd(t, run)


@test(timeout=120)
def large_downloads_and_uploads(t):
    """More than fits into memory limits, in both directions, at the pace of the slower side."""
    def run(server):
        size = 96 << 20
        with open(os.path.join(server.www, 'big'), 'wb') as f:
            f.truncate(size)
        box = box_for(t, server)
        process = box.start('run', *box.flags, '--', '/bin/sh', '-c',
                            'curl -sS --http2 https://%s/big | wc -c; read line' % HOST, stdin=subprocess.PIPE)
        equal(process.stdout.readline(), b'%d\n' % size, 'size')
        check(peak_memory(box.helper('nsbox-gateway')) < LIMIT, 'memory of the gateway')
        process.communicate(b'\n')
        equal(process.returncode, 0, 'exit status')
        result = box.sh('head -c 50000000 /dev/zero | curl -sS --http2 -T - -o /dev/null -w "%%{http_version} '
                        '%%{size_upload}" https://%s/index.html' % HOST, timeout=100).ok()
        equal(result.out, '2 50000000', 'upload')
        equal(box.audit('http.request')[-1]['bytes_up'], 50000000, 'record')
    with_nghttpd(t, run)


NODE = '''
const http2 = require('http2'), session = http2.connect('https://%s');
session.on('error', e => { console.log('session', e.code); process.exit(1); });
let left = 20, log = [];
for (let i = 0; i < 20; i++) {
  const r = session.request({':path': '/trailers', ':method': 'POST',
    te: 'trailers', 'content-type': 'application/grpc'});
  let body = '', trailers = {};
  r.on('data', d => body += d); r.on('trailers', t => trailers = t);
  r.on('end', () => {
    log.push(body + trailers['grpc-status']);
    if (!--left) { console.log(JSON.stringify(log)); session.close(); }
  });
  r.end('x');
}
'''


@test
def node_streams(t):
    """Twenty requests at once over one connection of node's, answered with trailers as gRPC does."""
    need(t, 'node')
    origin = Http2Origin(t.pki.context([HOST]))
    result = box_for(t, origin).run('node', '-e', NODE % HOST).ok()
    equal(json.loads(result.out), ['body0'] * 20, 'answers')
    equal((len(origin.requests), len(origin.connections)), (20, 1), 'requests and connections')


@test
def server_sent_events(t):
    """Each event comes when it was sent."""
    def on_end(peer, m):
        peer.headers(m.stream, [(':status', '200'), ('content-type', 'text/event-stream')])
        origin.streams.append((peer, m.stream))
        peer.data(m.stream, b'data: 1\n\n')
    origin = Http2Origin(t.pki.context([HOST]), on_end=on_end)
    origin.streams = []
    box = box_for(t, origin)
    process = box.start('run', *box.flags, '--', 'curl', '-sSN', '--http2', 'https://%s/' % HOST)
    equal(process.stdout.readline(), b'data: 1\n', 'first event')
    peer, stream = origin.streams[0]
    for i in (2, 3):
        process.stdout.readline()
        peer.data(stream, b'data: %d\n\n' % i, i == 3)
        equal(process.stdout.readline(), b'data: %d\n' % i, 'event')
    process.communicate()
    equal(process.returncode, 0, 'exit status')
