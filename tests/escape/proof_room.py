# SPDX-License-Identifier: Apache-2.0
"""What the cases of the sibling proof share: servers that write down what arrives, one named sandbox with two grants in
it, and agents (proof_inside.py) in calls of it, on the host, and below namespaces of their own."""
import glob
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

import box
import host

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))

from harness.origin import Origin  # noqa: E402
from harness.pki import Pki        # noqa: E402

A, B, PLAIN, DATA = 'a.example.com', 'b.example.com', 'plain.example.com', 'db.example.com'
VALUE_A, VALUE_B = 'sk-real-of-one-4c1fd0a7e2', 'sk-real-of-two-99b27a5310'
PLAIN_PORT, DATA_PORT = 8080, 5432
# Three names of one program: the templates bind by name.
AGENTS = ('agent-one', 'agent-two', 'agent')
AGENT_PARTS = ('proof_inside_base.py', 'proof_inside_files.py', 'proof_inside_net.py')

POLICY = """[sandbox]
version = 1
[network]
allow = {a}
allow = {b}
allow = http://{plain}:{plain_port}
allow = tcp://{data}:{data_port}
[secret KEY_A]
source = env:KEY_A
allow = https://{a}/**
inject = header, basic, query
[secret KEY_B]
source = env:KEY_B
allow = https://{b}/**
inject = header, basic, query
[grant one]
argv = agent-one *
allow = {a}
secret = KEY_A
[grant two]
argv = agent-two *
allow = {b}
allow = http://{plain}:{plain_port}
allow = tcp://{data}:{data_port}
secret = KEY_B
""".format(a=A, b=B, plain=PLAIN, data=DATA, plain_port=PLAIN_PORT, data_port=DATA_PORT)


OWN_NETWORK = """PATH=$PATH:/usr/sbin:/sbin
ip link set lo up
ip link add eth0 type veth peer name peer
ip address add 192.0.2.2/32 dev eth0
ip link set eth0 up
ip link set peer up
ip route add default dev eth0
exec "$0"
"""


class Void(Exception):
    """The control did not work here: nothing is shown by a refusal."""


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def equal(got, want, what):
    if got != want:
        raise AssertionError('%s: got %.300r, want %.200r' % (what, got, want))


class Echo:
    """Says y to each message; knows its connections by the first one."""

    def __init__(self):
        self.connections = {}
        self.accepted = 0
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            sock, _ = self.listener.accept()
            self.accepted += 1
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        try:
            first = sock.recv(65536)
            self.connections[first.decode('latin-1')] = sock
            while first:
                sock.sendall(b'y')
                first = sock.recv(65536)
        except OSError:
            pass


def closed(sock):
    """Whether the other side has, as the kernel knows it now."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return any(events & (select.POLLRDHUP | select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))


class Agent:
    """A process that does what it is told. What it says is believed of controls; else servers and records count."""

    def __init__(self, command, environment, directory, **keywords):
        self.process = subprocess.Popen(command, env=environment, cwd=directory, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                                        **keywords)
        self.id = self.mark = ''

    def __call__(self, name, *arguments):
        """What it got; AssertionError when it got an error."""
        result = self.do(name, *arguments)
        check('got' in result, '%s%r: %s' % (name, arguments, result))
        return result['got']

    def do(self, name, *arguments):
        try:
            self.process.stdin.write(json.dumps([name, *arguments]).encode() + b'\n')
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = b''
        if not line:
            raise RuntimeError('the agent has ended: %s' % self.process.stderr.read().decode()[-300:])
        return json.loads(line)

    def token(self, name, *arguments):
        """What it got, or the name of the error."""
        result = self.do(name, *arguments)
        return result.get('error') or result['got']

    def refused(self, name, *arguments):
        return 'error' in self.do(name, *arguments)

    def end(self):
        """Its exit status; returns when the end of the call was told."""
        if self.process.poll() is None:
            self.process.stdin.close()
        status = self.process.wait(60)
        self.process.stdout.close()
        self.process.stderr.close()
        return status

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Pair:
    """Calls of one isolation at once, with different grants."""

    def __init__(self, room, isolation):
        self.isolation = isolation
        self.one = room.call(isolation, 'one')
        self.two = room.call(isolation, 'two')
        # The same authority as two, and yet another call.
        self.three = room.call(isolation, 'two')

    def alive(self):
        return all(call.process.poll() is None for call in (self.one, self.two, self.three))

    def end(self):
        for call in (self.one, self.two, self.three):
            call.end()


class Room:
    def __init__(self, the_host):
        self.host = the_host
        self.place = host.Place(the_host, 'proof')
        self.pki_dir = tempfile.mkdtemp(prefix='pki-', dir=the_host.base)
        context = Pki(self.pki_dir).context([A, B])
        self.a, self.b, self.plain, self.echo = Origin(context), Origin(context), Origin(), Echo()
        self.work = self.place.work
        here = os.path.dirname(os.path.abspath(__file__))
        self.tools = os.path.join(self.work, 'tools')
        os.mkdir(self.tools)
        for name in AGENTS:
            shutil.copy(here + '/proof_inside.py', os.path.join(self.tools, name))
            os.chmod(os.path.join(self.tools, name), 0o755)
        for name in AGENT_PARTS:
            shutil.copy(os.path.join(here, name), self.tools)
        self.place.write('proof.ini', POLICY)
        # A state of its own: the records of no other sandbox are in it.
        self.place.environment.update(KEY_A=VALUE_A, KEY_B=VALUE_B, XDG_STATE_HOME=self.place.dir + '/state')
        options = ['-f', self.place.dir + '/proof.ini', '--upstream-ca', self.pki_dir + '/ca.pem']
        for name, port, origin in ((A, 443, self.a), (B, 443, self.b), (PLAIN, PLAIN_PORT, self.plain),
                                   (DATA, DATA_PORT, self.echo)):
            options += ['--connect-to', '%s:%d:127.0.0.1:%d' % (name, port, origin.port)]
        self.box = box.Box(the_host.nsbox, self.place.environment, self.work, options)
        self.agents = []
        self.outside = self.agent([self.tools + '/agent'], {**os.environ, 'KEY_B': 'outside'})
        self.apart = None

    def agent(self, command, environment=None, **keywords):
        agent = Agent(command, environment or self.place.environment, self.work, **keywords)
        self.agents.append(agent)
        return agent

    def call(self, isolation, grant=None, *options):
        """An agent in a call. The grants one and two are bound to their commands; None is all of the policy."""
        mark = 'proof-' + host.word()
        command = [self.tools + '/agent' + ('-' + grant if grant else ''), mark]
        agent = self.agent(self.box.words(isolation, command, options))
        agent('address')
        agent.mark = mark
        agent.id = [r['call'] for r in self.records('call.start') if mark in r['argv']][0]
        return agent

    def own_namespaces(self):
        """The control of what wants a capability: root of a network whose only wire ends in itself."""
        if not self.apart:
            self.apart = self.agent(['/usr/bin/unshare', '-Urn', '/bin/sh', '-ec', OWN_NETWORK, self.tools + '/agent'])
        try:
            self.apart('descriptors')
        except RuntimeError as e:
            raise Void('no network of its own: %s' % e)
        return self.apart

    def file(self, kind='file'):
        """A name in the workspace, which the calls share."""
        return os.path.join(self.work, '%s-%s' % (kind, host.word()))

    def records(self, event=None, **members):
        found = []
        for path in glob.glob(self.place.environment['XDG_STATE_HOME'] + '/nsbox/audit/*.jsonl'):
            with open(path) as f:
                found += [json.loads(line) for line in f if line.endswith('}\n')]
        return [r for r in found if event in (None, r['event']) and all(r.get(k) == v for k, v in members.items())]

    def soon(self, event, **members):
        """The same for what another process writes: it may take a moment."""
        host.wait_until(lambda: self.records(event, **members), 30)
        return self.records(event, **members)

    def seen(self, origin, path):
        """Requests for this path that arrived."""
        return [r for r in origin.requests if r.path == path]

    def close(self):
        for agent in self.agents:
            agent.kill()
        self.box.close()
        self.place.close()
