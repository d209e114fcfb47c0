# SPDX-License-Identifier: Apache-2.0
"""An auditor that a test plays itself, on a unix: socket, and sandboxes that ask it."""
import hashlib
import json
import os
import socket
import threading

from .named import Named
from .registry import check, equal

OPS = ['call.start', 'http.request', 'net.connect', 'grant.raise']


def once(pairs):
    """An object that has no member twice: which of them counts would be for its reader to choose."""
    names = [name for name, _ in pairs]
    equal(sorted(names), sorted(set(names)), 'names of the members of %r' % pairs)
    return dict(pairs)


class Auditor:
    """Answers each question by handler(question), which returns members of an answer, bytes to send as they are, or
    None for nothing. Connections one after the other; questions are kept."""

    def __init__(self, path, handler=None, hello=None, ops=OPS):
        self.path = path
        self.handler = handler or (lambda question: {'decision': 'allow'})
        self.hello = hello if hello is not None else {'hello': 'test', 'version': 1, 'ops': ops}
        self.questions, self.packets, self.sock = [], [], None
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            self.sock = sock
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            if self.hello:
                self.send(self.hello, sock)
            while True:
                packet = sock.recv(65537)
                if not packet:
                    break
                self.packets.append(packet)
                question = json.loads(packet, object_pairs_hook=once)
                if 'id' in question:
                    self.questions.append(question)
                    self._answer(sock, question)
        except OSError:
            pass
        finally:
            sock.close()

    def _answer(self, sock, question):
        answer = self.handler(question)
        if isinstance(answer, dict):
            answer = {'id': question['id'], **answer}
        for one in answer if isinstance(answer, list) else [answer]:
            if one is not None:
                self.send(one, sock)

    def send(self, packet, sock=None):
        (sock or self.sock).send(packet if isinstance(packet, bytes) else json.dumps(packet).encode())

    def of(self, op):
        return [q for q in self.questions if q['op'] == op]

    def close(self):
        if self.listener.fileno() < 0:
            return
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        if self.sock:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Asked(Named):
    """A box whose sandboxes ask the test."""

    def __init__(self, t, handler=None, deadline='60s', name='box', **kwargs):
        super().__init__(t, name)
        self.auditor = Auditor(self.dir + '/auditor.sock', handler, **kwargs)
        self.policy = t.write(name + '.ini', '[sandbox]\nversion = 1\n[audit]\ndeadline = %s\n' % deadline)
        self.add('-f', self.policy, '--auditor', 'unix:' + self.auditor.path)

    def __exit__(self, *exception):
        self.auditor.close()
        return super().__exit__(*exception)

    def create(self, name):
        equal(self.nsbox('create', '--name', name, *self.flags).ok().out, name + '\n', 'what create prints')

    def waiting(self):
        """What `nsbox approve --json` lists."""
        return json.loads(self.nsbox('approve', '--json').ok().out)

    def program(self, name, text='#!/bin/sh\necho "$@"\n'):
        path = os.path.join(self.work, name)
        with open(path + '.new', 'w') as f:
            f.write(text)
        os.chmod(path + '.new', 0o755)
        os.rename(path + '.new', path)
        return path

    def marked(self):
        """A command that leaves a mark on the host when it runs."""
        return ['/usr/bin/touch', self.work + '/ran']

    def ran(self):
        return os.path.exists(self.work + '/ran')


def digest(path):
    with open(path, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()


def denied(box, result, word=''):
    equal(result.code, 126, 'exit status (%r)' % result)
    check(word in result.err, '%r is not in %r' % (word, result.err))
    check(not box.ran(), 'it has run')
    records = box.audit('call.denied')
    check(records and not box.audit('call.start'), 'records: %r' % box.audit())
    return records[-1]
