# SPDX-License-Identifier: Apache-2.0
"""What the tests of the gateway alone share. Importing it enters their namespace. Each is a script:
gateway_NAME.py BUILD_DIR [PATTERN]"""
import base64
import fnmatch
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback

import gateway_driver as driver
from gateway_driver import exchange  # noqa: F401  (for the tests)

driver.enter_namespace()

from harness.origin import Origin  # noqa: E402
from harness.pki import Pki  # noqa: E402

TESTS = []


def test(f):
    TESTS.append(f)
    return f


class World:
    """Origins behind api.test (HTTPS 443, HTTP 80) and a gateway with one call."""

    def __init__(self, build, pki):
        self.build, self.pki = build, pki
        self.origin = Origin(pki.context(['api.test', 'other.test', '192.0.2.7']))
        self.plain = Origin()
        self.gateways = []

    def policy(self, *lines, secrets=''):
        return '[sandbox]\nversion = 1\n[network]\n%s\n%s' % ('\n'.join(lines), secrets)

    def connect_to(self, host='api.test'):
        return ['connect_to = %s:443:127.0.0.1:%d' % (host, self.origin.port),
                'connect_to = %s:80:127.0.0.1:%d' % (host, self.plain.port), 'upstream_ca = %s' % self.pki.ca]

    def gateway(self, *lines, secrets='', values=(), **kwargs):
        g = driver.Gateway(self.build, self.policy(*lines, *self.connect_to(), secrets=secrets), values, **kwargs)
        self.gateways.append(g)
        return g

    def close(self):
        for g in self.gateways:
            g.stop()
        self.origin.close()
        self.plain.close()


def get(host, path='/', method='GET', extra=''):
    return '%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n' % (method, path, host, extra)


def equal(got, want, what='value'):
    assert got == want, '%s: got %r, want %r' % (what, got, want)


SECRET = """[secret API_KEY]
source = env:API_KEY
allow = https://api.test/**
inject = header, basic, query
"""
VALUE = 'sk-real-value-0123456789abcdef'


def all_at_once(n):
    """A handler that answers when so many requests have come, each on a connection of its own."""
    barrier = threading.Barrier(n)

    def handler(connection, request):
        try:
            barrier.wait(60)
        except threading.BrokenBarrierError:
            return False
        return Origin.reply(connection)
    return handler


def basic(user, password):
    return base64.b64encode(('%s:%s' % (user, password)).encode()).decode()


class Nameserver:
    """Answers A and AAAA questions at the address that /etc/resolv.conf names, which is local in this namespace. answers:
    addresses of a name, or a function of the kind and the number of the question that gives them (None: no answer)."""

    def __init__(self, answers):
        with open('/etc/resolv.conf') as f:
            address = next(line.split()[1] for line in f if line.startswith('nameserver'))
        subprocess.run(['ip', 'address', 'replace', address + '/32', 'dev', 'lo'], check=True)
        self.answers, self.asked = answers, []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((address, 53))
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            query, peer = self.sock.recvfrom(4096)
            at, labels = 12, []
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            name, kind = '.'.join(labels), struct.unpack('>H', query[at + 1:at + 3])[0]
            self.asked.append((name, kind))
            addresses = self.answers.get(name, [])
            if callable(addresses):
                addresses = addresses(kind, self.asked.count((name, kind)))
            if addresses is None:
                continue
            found = [a for a in addresses if kind == (28 if ':' in a else 1)]
            code = 0 if name in self.answers else 3
            answer = query[:2] + struct.pack('>HHHHH', 0x8180 | code, 1, len(found), 0, 0) + query[12:at + 5]
            for address in found:
                packed = socket.inet_pton(socket.AF_INET6 if ':' in address else socket.AF_INET, address)
                answer += struct.pack('>HHHIH', 0xc00c, kind, 1, 0, len(packed)) + packed
            self.sock.sendto(answer, peer)


def main(world_class=World):
    """The tests of the script that runs; those of one that it imports run with that."""
    build = sys.argv[1]
    pattern = sys.argv[2] if len(sys.argv) > 2 else '*'
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        pki = Pki(directory)
        for f in TESTS:
            if f.__module__ != '__main__' or not fnmatch.fnmatch(f.__name__, pattern):
                continue
            world = world_class(build, pki)
            try:
                f(world)
                print('ok', f.__name__, flush=True)
            except Exception:
                failed += 1
                print('not ok', f.__name__, flush=True)
                traceback.print_exc()
                for g in world.gateways:
                    print('  records:', g.records[-8:], 'exit', g.process.poll())
            finally:
                world.close()
    sys.exit(1 if failed else 0)
