# SPDX-License-Identifier: Apache-2.0
"""The room of the abuse table: servers that remember every byte, one sandbox whose gateway leads to them, and two hands
(abuse_hand.py), one in the sandbox and one on the host, that are told the same things."""
import base64
import json
import os
import re
import select
import shutil
import ssl
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'integration'))

import abuse_names                                    # noqa: E402
import abuse_servers                                  # noqa: E402
from harness.box import Box, INSIDE, PYTHON, peak_memory  # noqa: E402
from harness.http2 import Http2Origin                 # noqa: E402
from harness.origin import Origin, UdpListener        # noqa: E402
from harness.registry import until                    # noqa: E402
from test_scrub import FORMS, VALUE                   # noqa: E402

API, OTHER, H2 = 'api.example.com', 'other.example.com', 'h2.example.com'
# Names whose server has a certificate that must not do.
BAD = {'wrong.example.com': (['api.example.com'], {}), 'expired.example.com': (['expired.example.com'], {'expired': True}),
       'own.example.com': (['own.example.com'], {'self_signed': True}),
       'nobody.example.com': (['nobody.example.com'], {'authority': 'other'}),
       'cn.example.com': (['cn.example.com'], {'san': False})}
ADDRESSES = ('169.254.169.254', '10.0.0.1', '127.0.0.9', '100.100.100.200', '198.18.255.1', '192.0.0.192')
TWIN = re.compile(rb'GET /open/twin HTTP/1\.1\r\n(?:[^\r\n]+\r\n)*\r\n')
# What is the same of the value in base64 whatever stands before and behind it.
BASE64 = [base64.b64encode(b'-' * n + VALUE.encode())[4 if n else 0:-4] for n in range(3)]
SCRIPT = os.path.join(HERE, 'abuse_hand.py')

POLICY = """[sandbox]
version = 1
[network]
allow = https://{api}/open/**
allow = https://{api}/
allow = https://{api}/smuggled
allow = http://{api}/open/**
allow = GET https://read.example.com
allow = https://{other}
allow = https://old.example.com
allow = http://{other}
allow = https://{h2}
allow = *.{names}
{bad}
[secret KEY]
source = env:KEY
allow = https://{api}/open/**
allow = https://{h2}
{bad}
""".format(api=API, other=OTHER, h2=H2, names=abuse_names.DOMAIN, bad='\n'.join('allow = https://' + name for name in BAD))


class Void(Exception):
    """The control did not work, so the attempt shows nothing."""


class Hand:
    def __init__(self, process):
        self.process = process
        self.read()

    def read(self):
        if not select.select([self.process.stdout], [], [], 180)[0]:
            raise AssertionError('the hand does not answer')
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError('the hand is gone: %r' % self.process.stderr.read()[-500:])
        return json.loads(line)

    def do(self, code, key=None):
        self.process.stdin.write(json.dumps({'code': code, 'key': key}).encode() + b'\n')
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Seen:
    """What there is to see after an attempt that was not there before."""

    def __init__(self, raw, requests, streams, datagrams, result):
        self.raw, self.requests, self.streams, self.datagrams, self.result = raw, requests, streams, datagrams, result

    def tells(self):
        text = (self.result if isinstance(self.result, str) else json.dumps(self.result)).encode('latin-1', 'replace')
        text += text.replace(b'\\\\', b'\\')
        return any(form(VALUE) in text for _, form in FORMS) or any(part in text for part in BASE64)

    def anywhere(self, *words):
        everything = b''.join(self.raw.values()) + b''.join(repr(m.heads).encode() + m.body for m in self.streams)
        return any(w.encode() in everything for w in words)


class Room:
    def __init__(self, t):
        self.t = t
        self.names = [API, OTHER, 'read.example.com']
        context = t.pki.context(self.names)
        self.servers = {'api': Origin(context, handler=abuse_servers.answer), 'other': Origin(context),
                        'plain': Origin(), 'plain other': Origin(), 'address': Origin(), 'address tls': Origin(context)}
        for name, (names, how) in BAD.items():
            self.servers[name] = Origin(t.pki.context(names, **how))
        names = t.pki.context(['*.' + abuse_names.DOMAIN])
        for name, address, port in (('public', abuse_names.PUBLIC, 80), ('public tls', abuse_names.PUBLIC, 443),
                                    ('private', abuse_names.PRIVATE, 80), ('private tls', abuse_names.PRIVATE, 443),
                                    ('private six', '::1', 80), ('private metadata', abuse_names.METADATA, 80)):
            self.servers[name] = Origin(names if port == 443 else None, handler=abuse_servers.close, address=(address, port))
        self.h2 = Http2Origin(t.pki.context([H2]), on_end=abuse_servers.answer_h2)
        old = t.pki.context(['old.example.com'], weak=True)
        old.set_ciphers('ALL:@SECLEVEL=0')
        old.minimum_version = ssl.TLSVersion.TLSv1
        self.servers['old'] = Origin(old)
        self.udp = UdpListener()
        self.resolver = abuse_servers.Resolver()
        self.known, self.requests = {n: set() for n in [*self.servers, 'h2']}, {}
        self.box = self.make_box()
        there = self.there()
        for f in ('__init__.py', 'http2.py', 'hpack.py'):
            os.makedirs(self.box.work + '/harness', exist_ok=True)
            shutil.copy(os.path.join(HERE, '..', 'integration', 'harness', f), self.box.work + '/harness/' + f)
        with open(SCRIPT) as f:
            script = INSIDE + '\n' + f.read()
        self.inside = Hand(self.box.start('run', *self.box.flags, '--', PYTHON, '-c', script, '{}', '0',
                                          stdin=subprocess.PIPE))
        self.outside = Hand(subprocess.Popen(
            [PYTHON, '-c', script, json.dumps(there), str(self.h2.port)], cwd=self.box.work, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={'PATH': '/usr/bin:/bin', 'SSL_CERT_FILE': t.pki.ca, 'KEY': VALUE, 'PYTHONDONTWRITEBYTECODE': '1'}))
        self.gateway = self.box.helper('nsbox-gateway')
        self.mark()

    def there(self):
        """HOST:PORT -> port of the server, as the hand on the host finds it."""
        at = {name + ':443': self.servers['api'].port for name in self.names}
        at[OTHER + ':443'] = self.servers['other'].port
        at[API + ':80'], at[OTHER + ':80'] = self.servers['plain'].port, self.servers['plain other'].port
        at[H2 + ':80'], at['old.example.com:443'] = self.servers['plain'].port, self.servers['old'].port
        for name in BAD:
            at[name + ':443'] = self.servers[name].port
        for address in ADDRESSES + ('closed.example.com',):
            at[address + ':80'], at[address + ':443'] = self.servers['address'].port, self.servers['address tls'].port
        at['resolver:53'] = 53
        at['quic:443'] = self.udp.port
        return at

    def make_box(self):
        box = Box(self.t)
        for name, port in self.there().items():
            if 'resolver' not in name and 'quic' not in name:
                box.flags += ['--connect-to', '%s:127.0.0.1:%d' % (name, port)]
        box.flags += ['--connect-to', '%s:443:127.0.0.1:%d' % (H2, self.h2.port), '--upstream-ca', self.t.pki.ca]
        box.flags += ['--upstream-ca', '%s@turns-tls.%s' % (self.t.pki.ca, abuse_names.DOMAIN)]
        path = self.t.write('policy.ini', POLICY)
        box.env['LANG'] = 'C.UTF-8'
        return box.add('-f', path, KEY=VALUE)

    def mark(self):
        """What was seen so far is not looked at again, nor what still comes on connections from the host."""
        for name, server in self.servers.items():
            with server.lock:
                for c in server.connections:
                    del c.raw[:]
                self.requests[name] = len(server.requests)
        self.streams, self.datagrams = len(self.h2.requests), len(self.udp.received)

    def forget(self):
        """The connections so far are the host's: what is late on them is not the sandbox's."""
        for name, server in self.servers.items():
            self.known[name] |= set(range(self.connected[name], len(server.connections)))
        self.known['h2'] |= set(range(self.connected['h2'], len(self.h2.connections)))

    def since(self, result):
        raw, requests = {}, []
        for name, server in self.servers.items():
            with server.lock:
                raw[name] = b''.join(bytes(c.raw) for c in server.connections if c.number not in self.known[name])
                requests += [r for r in server.requests[self.requests[name]:] if r.connection not in self.known[name]]
        return Seen(raw, requests, [m for m in self.h2.requests[self.streams:] if m.connection not in self.known['h2']],
                    self.udp.received[self.datagrams:], result)

    def attack(self, case):
        """The abuse from inside: what was seen of it, when a good request behind it has come through."""
        self.mark()
        result = self.inside.do(case.code)
        status = self.inside.do('r = fetch("https://api.example.com/open/twin").status')
        seen = self.since(result)
        good = TWIN.findall(seen.raw['api'])
        if status != 200 or len(good) != 1:
            raise AssertionError('a good request after it got %r, and came %d times' % (status, len(good)))
        seen.raw['api'] = TWIN.sub(b'', seen.raw['api'])
        seen.requests = [r for r in seen.requests if r.target != '/open/twin']
        return seen

    def control(self, case):
        """The same on the host, straight to the servers."""
        self.mark()
        self.connected = {n: len(s.connections) for n, s in [*self.servers.items(), ('h2', self.h2)]}
        result = self.outside.do(case.code)
        try:
            until(lambda: case.effect(self.since(result)), 30)
        except AssertionError:
            raise Void('on the host it has no effect: %r' % (result,))
        finally:
            self.forget()

    def twin(self, case):
        """The same through the gateway with a key that means nothing."""
        self.mark()
        made_up = 'nsbox_' + 'q' * (len(VALUE) - 6)
        result = self.inside.do(case.code, made_up)
        try:
            until(lambda: case.effect(self.since(result)) or self.since(result).anywhere(made_up), 30)
        except AssertionError:
            raise Void('with a made-up placeholder it does not come through: %r' % (result,))

    def memory(self):
        return peak_memory(self.gateway)

    def close(self):
        self.inside.close()
        self.outside.close()
