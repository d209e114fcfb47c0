# SPDX-License-Identifier: Apache-2.0
"""Runs the gateway binary alone: this process plays supervisor, launcher and calls, inside a user and network namespace
of its own in which every address is local. Calls are told apart by the source address they bind, as by their veth."""
import array
import ctypes
import fcntl
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading

from harness import wire

CONFIG, ATTACH, READY, CALL, CALL_READY, CALL_END, CALL_ENDED, RECORDS, WRITTEN, CALL_BIND, AUDIT, ASK, \
    DECIDED, ASK_CANCEL = range(64, 78)
CHANGED, SECRET, REVOKE = 80, 81, 2
OPS = ['call.start', 'http.request', 'net.connect', 'grant.raise', 'fs.commit']
GATEWAY = '100.64.0.1'
F_ADD_SEALS, ALL_SEALS = 1033, 15
IP_TRANSPARENT = 19


def enter_namespace():
    """Own user and network namespace with every IPv4 address on loopback (AnyIP)."""
    if os.environ.get('GATEWAY_TEST_NAMESPACE') != '1':
        os.environ['GATEWAY_TEST_NAMESPACE'] = '1'
        os.execvp('unshare', ['unshare', '-rn', '--', sys.executable] + sys.argv)
    for command in ('ip link set lo up', 'ip route add local 100.64.0.0/10 dev lo', 'ip route add local 198.18.0.0/15 dev lo',
                    'ip route add local 192.0.2.0/24 dev lo'):
        subprocess.run(command.split(), check=True)


def u32(value):
    return struct.pack('<I', value)


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return u32(len(data)) + data


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        self.at += n
        return self.data[self.at - n:self.at]

    def u8(self):
        return self.take(1)[0]

    def u32(self):
        return struct.unpack('<I', self.take(4))[0]

    def u64(self):
        return struct.unpack('<Q', self.take(8))[0]

    def text(self):
        return self.take(self.u32()).decode()


def die_with_parent():
    ctypes.CDLL(None).prctl(1, 9)


class Gateway:
    """A running gateway. policy: the text of a policy file; secrets: values in the order of the policy; ask: names
    of what it asks about. answer(question) decides: True, False or (allowed, equal, reason); None leaves it open for
    decide()."""

    def __init__(self, build, policy, secrets=(), ports=(80, 443, 8443, 5432), ready=True, env=None,
                 ask=()):
        self.build = build
        self.records, self.events = [], threading.Condition()
        self.names = {}  # address -> name: the gateway knows addresses only
        self.calls, self.ended, self.changed = {}, set(), {}
        self.hold = False      # keep acknowledgements back
        self.fail_writes = False
        self.tickets = []
        self.questions, self.packets, self.cancelled = [], [], []
        self.answer = lambda question: None
        self.policy = policy
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.error = None
        fd = theirs.fileno()

        def child():
            die_with_parent()
            os.dup2(fd, 3)

        self.process = subprocess.Popen([os.path.join(build, 'lib/gateway/nsbox-gateway')], preexec_fn=child,
                                        close_fds=False, stdin=subprocess.DEVNULL, env=env or {})
        theirs.close()
        self._configure(secrets)
        self._attach(ports)
        message = self._receive()
        assert message.u32() == READY
        if message.u8():
            message.take(8)
            self.error = (message.text(), message.text())
            if ready:
                raise AssertionError(self.error)
            self.sock.shutdown(socket.SHUT_RDWR)
            self.process.wait(60)
            return
        if ask:
            self._send(u32(AUDIT) + u32(sum(1 << OPS.index(op) for op in ask)))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _encode(self, *grant):
        with tempfile.NamedTemporaryFile('w', suffix='.ini') as f:
            f.write(self.policy)
            f.flush()
            return subprocess.run([os.path.join(self.build, 'tests/integration/encode_policy'), f.name, *grant],
                                  stdout=subprocess.PIPE, check=True).stdout

    def _configure(self, secrets):
        encoded = self._encode()
        memfd = os.memfd_create('policy', os.MFD_ALLOW_SEALING)
        os.write(memfd, encoded)
        fcntl.fcntl(memfd, F_ADD_SEALS, ALL_SEALS)
        fds = [memfd]
        for value in secrets:
            if isinstance(value, socket.socket):
                fds.append(value.detach())  # to what runs a command
                continue
            r, w = os.pipe()
            threading.Thread(target=self._fill, args=(w, value), daemon=True).start()
            fds.append(r)
        self._send(u32(CONFIG) + u32(wire.version(self.build)) + text('box') + u32(len(secrets)), fds)
        for fd in fds:
            os.close(fd)

    @staticmethod
    def _fill(pipe, value):
        """In a thread: the value may be longer than a pipe holds."""
        with open(pipe, 'wb') as f:
            try:
                f.write(value if isinstance(value, bytes) else value.encode())
                f.flush()
            except BrokenPipeError:
                pass

    def _attach(self, ports):
        self.bundle, self.key_store = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        udp.bind((GATEWAY, 53))
        self.listeners = [self._listener(GATEWAY, 53)]
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        packets.bind(('lo', 0x0800))
        self.listeners += [udp, packets]
        tcp = [self._listener('0.0.0.0', p) for p in ports]
        self.quiet, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        self.listeners.append(theirs)
        fds = [s.fileno() for s in (self.bundle, self.key_store, udp, self.listeners[0], packets, theirs)]
        self._send(u32(ATTACH) + u32(len(ports)) + b''.join(u32(p) for p in ports), fds + [s.fileno() for s in tcp])
        for s in self.listeners + tcp:
            s.close()

    @staticmethod
    def _listener(address, port):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # a server of the test may have the port elsewhere
        s.bind((address, port))
        s.listen(1024)
        return s

    def _send(self, data, fds=()):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
        self.sock.sendmsg([data], ancillary)

    def _receive(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise EOFError('the gateway is gone')
        return Reader(data)

    def _serve(self):
        while True:
            try:
                message = self._receive()
            except (OSError, EOFError):
                return
            kind = message.u32()
            with self.events:
                if kind == RECORDS:
                    try:
                        self._on_records(message)
                    except BrokenPipeError:
                        return
                elif kind == CALL_READY:
                    name = self.names[message.u32()]
                    self.calls[name] = dict(message.text().split('=', 1) for _ in range(message.u32()))
                elif kind == CALL_ENDED:
                    self.ended.add(self.names[message.u32()])
                elif kind == ASK:
                    self._on_ask(message)
                elif kind == CHANGED:
                    ticket = message.u32()
                    self.changed[ticket] = message.u8() == 0
                elif kind == ASK_CANCEL:
                    self.cancelled.append(message.u64())
                self.events.notify_all()

    def _on_records(self, message):
        ticket = message.u64()
        for _ in range(message.u32()):
            event, call = message.text(), self.names.get(message.u32(), '')
            reason, members = message.text(), message.text()
            record = json.loads('{' + members + '}')
            record.update(event=event, call=call, reason=reason)
            self.records.append(record)
        if ticket:
            if self.hold:
                self.tickets.append(ticket)
            else:
                self._send(u32(WRITTEN) + struct.pack('<QB', ticket, self.fail_writes))

    def _on_ask(self, message):
        self.packets.append(message.data)
        ticket, op, call = message.u64(), OPS[message.u32()], self.names[message.u32()]
        question = json.loads('{' + message.text() + '}')
        assert not {'ticket', 'op', 'call'} & set(question), question
        question.update(ticket=ticket, op=op, call=call)
        self.questions.append(question)
        answer = self.answer(question)
        if answer is not None:
            self.decide(question, *(answer if isinstance(answer, tuple) else (answer,)))

    def decide(self, question, allowed, equal=False, reason=''):
        self._send(u32(DECIDED) + struct.pack('<QBB', question['ticket'], allowed, equal) + text(reason))

    def wait_question(self, n=1, seconds=60):
        """The n-th question that was asked, the first being 1."""
        self.wait(lambda: len(self.questions) >= n, seconds)
        return self.questions[n - 1]

    def release(self):
        with self.events:
            self.hold = False
            for ticket in self.tickets:
                self._send(u32(WRITTEN) + struct.pack('<QB', ticket, self.fail_writes))
            self.tickets = []

    def wait(self, condition, seconds=60):
        with self.events:
            assert self.events.wait_for(condition, seconds), 'not in time; records: %r' % self.records[-20:]

    def wait_record(self, event, **members):
        """The first record of that kind with these members; removes nothing."""
        found = []

        def look():
            found[:] = [r for r in self.records
                        if r['event'] == event and all(r.get(k) == v for k, v in members.items())]
            return found
        self.wait(look)
        return found[0]

    def call(self, name='c1', address='100.64.0.2', grant=None, parent=None):
        """grant: name of a template; parent: the call that asks for it."""
        number = struct.unpack('>I', socket.inet_aton(address))[0]
        self.names[number] = name
        self._send(u32(CALL) + u32(number))
        self.wait(lambda: name in self.calls)
        if grant or parent:
            above = struct.unpack('>I', socket.inet_aton(parent.address))[0] if parent else 0
            encoded = self._encode(grant) if grant else b''
            self.quiet.send(u32(CALL_BIND) + u32(number) + u32(above) + text(encoded) + text(""))
        return Call(self, name, address)

    def revoke_secret(self, name, ticket=1):
        self._send(u32(SECRET) + u32(ticket) + bytes([REVOKE]) + text(name) + text(b''))
        self.wait(lambda: ticket in self.changed)
        assert self.changed[ticket]

    def ca(self):
        data = os.pread(self.bundle.fileno(), 1 << 24, 0).decode()
        return data[:data.index('-----END CERTIFICATE-----')] + '-----END CERTIFICATE-----\n'

    def stop(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        code = self.process.wait(60)
        self.bundle.close()
        self.key_store.close()
        return code

    def memory(self):
        """Resident kB; 0 under a sanitizer, which keeps what was freed."""
        with open('/proc/%d/maps' % self.process.pid) as f:
            if 'libasan' in f.read():
                return 0
        with open('/proc/%d/status' % self.process.pid) as f:
            for line in f:
                if line.startswith('VmRSS'):
                    return int(line.split()[1])
        return 0

    def cpu(self):
        with open('/proc/%d/stat' % self.process.pid, errors='replace') as f:
            fields = f.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Call:
    """What a program of one call can do: look up names and connect, from its address."""

    def __init__(self, gateway, name, address):
        self.gateway, self.name, self.address = gateway, name, address
        self.env = gateway.calls[name]

    def end(self):
        self.gateway._send(u32(CALL_END) + socket.inet_aton(self.address)[::-1])
        self.gateway.wait(lambda: self.name in self.gateway.ended)

    def ask(self, query, seconds=60):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((self.address, 0))
            s.settimeout(seconds)
            s.sendto(query, (GATEWAY, 53))
            return s.recv(4096)

    @staticmethod
    def query(name, kind=1, number=0x1234):
        labels = b''.join(bytes([len(x)]) + x.encode() for x in name.split('.') if x)
        return struct.pack('>HHHHHH', number, 0x100, 1, 0, 0, 0) + labels + b'\0' + struct.pack('>HH', kind, 1)

    def resolve(self, name, kind=1):
        """(rcode, first address or None)."""
        query = self.query(name, kind)
        answer = self.ask(query)
        address = socket.inet_ntoa(answer[len(query) + 12:len(query) + 16]) if answer[7] else None
        return answer[3] & 15, address

    def connect(self, host, port=443, seconds=60):
        address = host if host[0].isdigit() else self.resolve(host)[1]
        s = socket.socket()
        s.settimeout(seconds)
        s.bind((self.address, 0))
        s.connect((address, port))
        return s

    def context(self):
        c = ssl.create_default_context(cadata=self.gateway.ca())
        c.verify_flags |= ssl.VERIFY_X509_STRICT
        return c

    def tls(self, host, port=443, sni=None, alpn=None, seconds=60):
        c = self.context()
        if alpn:
            c.set_alpn_protocols(alpn)
        return c.wrap_socket(self.connect(host, port, seconds), server_hostname=sni or host)


def read_answer(sock, method='GET'):
    import http.client
    r = http.client.HTTPResponse(sock, method=method)
    r.begin()
    return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()


def exchange(sock, data, method='GET'):
    sock.sendall(data if isinstance(data, bytes) else data.encode('latin-1'))
    return read_answer(sock, method)
