# SPDX-License-Identifier: Apache-2.0
"""nsbox run --learn on a terminal: what no rule allows waits for the person there, and becomes what was answered."""
import os
import re
import shutil
import signal
import time

from harness.box import Box
from harness.origin import Origin, TcpListener
from harness.registry import cases, check, equal, test
from harness.terminal import Terminal

HOST, OTHER = 'api.example.com', 'other.example.com'


class Learning:
    """A command on a terminal whose policy is learned."""

    def __init__(self, t, script, *flags):
        self.origin = Origin(t.pki.context([HOST, OTHER]))
        self.box = Box(t).connect(self.origin, HOST, OTHER)
        self.file = os.path.join(self.box.dir, 'learned.ini')
        self.flags = [*self.box.flags, *flags]
        self.script = script
        self.term = Terminal(self.box, 'run', '--rm', *self.flags, '--learn', self.file, '--', 'sh', '-c', script)

    def answer(self, word):
        """What is typed in the first second is not taken: type until it is."""
        end = time.monotonic() + 60
        self.term.expect(rb'allow it\? yes \(only this\), always \(all of [^)]*\), no \(nothing else of it\): ')
        while not re.search(re.escape(word.encode()) + rb'\r\n', self.term.seen):
            check(time.monotonic() < end, 'the answer is not taken: %r' % self.term.seen)
            self.term.type(word.encode() + b'\r')
            self.term.pump(0.3)

    def learned(self):
        """The lines that count, and the comments."""
        with open(self.file) as f:
            text = f.read().splitlines()
        return ([re.sub(r' ;.*', '', line) for line in text if line and line[0] not in ';['],
                [line[2:] for line in text if line.startswith(';')])

    def targets(self):
        return [(r.method, r.target) for r in self.origin.requests]


def curl(path, host=HOST, *options):
    return 'curl -s -o /dev/null -w "code %%{http_code}\\n" %s https://%s%s' % (' '.join(options), host, path)


@test
def yes_no_always(t):
    """A yes is for the request, an always for the host, a no for the host; nothing leaves before, and each becomes what
    the file has."""
    script = '; '.join([curl('/a'), curl('/a'), curl('/b'), curl('/c', HOST, '-X', 'POST'), curl('/d'),
                        curl('/x', OTHER), curl('/y', OTHER)])
    l = Learning(t, script)
    # In the last row, with nothing beside it.
    l.term.expect(rb'\x1b\[\?7h\x1b\[r\x1b\[999;1H\r\n\x1b\[Jnsbox: no rule allows GET https://api\.example\.com/a\r\n')
    equal(l.targets(), [], 'before the answer')
    l.answer('yes')
    for _ in range(2):
        l.term.expect(rb'code 200')
    l.term.expect(rb'no rule allows GET https://api\.example\.com/b\r\n')
    equal(l.targets(), [('GET', '/a')] * 2, 'the same request is not asked about twice')
    l.answer('always')
    for _ in range(3):
        l.term.expect(rb'code 200')
    l.term.expect(rb'no rule allows GET https://other\.example\.com/x\r\n')
    l.answer('no')
    for _ in range(2):
        l.term.expect(rb'code 403')
    equal(l.term.wait(), 0, 'exit status')
    equal(l.targets(), [('GET', '/a')] * 2 + [('GET', '/b'), ('POST', '/c'), ('GET', '/d')], 'what the origin saw')
    counted, comments = l.learned()
    equal([line for line in counted if not line.startswith(('connect_to', 'upstream_ca'))],
          ['version = 1', 'allow = https://api.example.com'], 'lines')
    check('https://other.example.com: was asked for, and you said no' in comments, 'comments: %r' % comments)
    # Under the file, without anybody at a terminal.
    again = l.box.nsbox('run', '-f', l.file, '--', 'sh', '-c', script)
    equal(again.out.split()[1::2], ['200'] * 5 + ['403'] * 2, 'under the policy (%r)' % again)


@test
def one_request_only(t):
    l = Learning(t, curl('/a?x=1') + '; ' + curl('/a', HOST, '-X', 'POST'))
    l.answer('yes')
    l.term.expect(rb'code 200')
    l.term.expect(rb'no rule allows POST https://api\.example\.com/a\r\n')
    l.answer('no')
    l.term.expect(rb'code 403')
    equal(l.term.wait(), 0, 'exit status')
    equal(l.targets(), [('GET', '/a?x=1')], 'what the origin saw')
    counted, comments = l.learned()
    check('allow = GET https://api.example.com/a' in counted, 'lines: %r' % counted)
    check(not any('POST' in line for line in counted), 'lines: %r' % counted)
    check('https://api.example.com: was asked for, and you said no' in comments, 'comments: %r' % comments)


@test
def rules_are_not_asked_about(t):
    """What the policy allows goes on as without --learn, what it denies stays denied, and neither is a question."""
    l = Learning(t, curl('/v1/a') + '; ' + curl('/v1/no') + '; ' + curl('/', OTHER), '--allow',
                 'GET https://%s/v1/**' % HOST, '--deny', 'https://%s/v1/no' % HOST, '--deny', OTHER)
    l.term.expect(rb'code 200')
    for _ in range(2):
        l.term.expect(rb'code 403')
    equal(l.term.wait(), 0, 'exit status')
    check(b'allow it?' not in l.term.seen, 'asked: %r' % l.term.seen)
    equal(l.targets(), [('GET', '/v1/a')], 'what the origin saw')
    check('allow = GET https://%s/v1/**' % HOST in l.learned()[0], 'lines: %r' % l.learned()[0])


@test
def what_is_no_answer(t):
    """Another word and an answer of the terminal itself decide nothing; Ctrl-C is for the command, which ends with it."""
    l = Learning(t, curl('/a') + '; echo went on')
    l.term.expect(rb'allow it\?')
    time.sleep(1.5)
    l.term.type(b'y\r\x1b[24;80Ryes\ralways so\r\ry\x7fno way\r')
    for _ in range(5):
        l.term.expect(rb'yes, always or no: ')
    equal(len(l.box.audit('approval.asked')), 1, 'what waits')
    equal(l.box.audit('approval.decided'), [], 'what was decided')
    l.term.type(b'\x03')
    equal(l.term.wait(), 128 + signal.SIGINT, 'exit status')
    equal(l.targets(), [], 'what the origin saw')
    check(b'went on' not in l.term.seen, 'it went on: %r' % l.term.seen)
    equal([line for line in l.learned()[0] if 'allow' in line], [], 'rules')


@test
def output_waits_for_the_answer(t):
    """Nothing of the command comes between the question and the answer, and nothing of it is lost."""
    l = Learning(t, '(%s) & (while sleep 0.1; do echo tick; done) & wait $!' % curl('/a').replace('code', 'co""de'))
    l.term.expect(rb'allow it\?[^\n]*: ')
    time.sleep(1)
    l.term.pump()
    equal(l.term.seen, b'', 'behind the question')
    l.term.type(b'no\r')
    l.term.expect(rb'tick')
    l.term.type(b'\x03')
    l.term.wait()


@test
def nobody_waits_any_more(t):
    """The client has gone: its question is taken back, and the next one is asked."""
    l = Learning(t, curl('/a', HOST, '-m', '8') + '; ' + curl('/x', OTHER))
    l.term.expect(rb'no rule allows GET https://api\.example\.com/a\r\n')
    l.term.expect(rb'\(not waited for any more\)')
    l.term.expect(rb'no rule allows GET https://other\.example\.com/x\r\n')
    l.answer('yes')
    l.term.expect(rb'code 200')
    equal(l.term.wait(), 0, 'exit status')
    equal(l.targets(), [('GET', '/x')], 'what the origin saw')


@test
def where_nobody_is_asked(t):
    """Without a terminal, or with that of the caller, it is recorded; an auditor of one's own is refused as ever."""
    l = Learning(t, 'true')
    l.term.wait()
    script = curl('/a')
    for name, flags, inside in (('pipe', [], script), ('own', ['-T'], script)):
        file = os.path.join(l.box.dir, name)
        term = Terminal(l.box, 'run', '--rm', *l.flags, *flags, '--learn', file, '--', 'sh', '-c',
                        inside) if flags else None
        if term:
            term.expect(rb'code 403')
            term.wait()
            check(b'allow it?' not in term.seen, 'asked: %r' % term.seen)
        else:
            equal(l.box.nsbox('run', '--rm', *l.flags, '--learn', file, '--', 'sh', '-c', inside).out, 'code 403\n', name)
        with open(file) as f:
            check('allow = GET https://%s/a ; was asked for 1 time, and denied' % HOST in f.read(), name)
    term = Terminal(l.box, 'run', *l.flags, '--auditor', 'exec:/bin/false', '--learn', l.box.dir + '/x', '--', 'true')
    term.expect(rb'--learn does not go with')
    equal(term.wait(), 125, 'with an auditor')


@test
def nsbox_in_the_workspace(t):
    """The one who is asked would be a program that the command can change: nobody is, and it is recorded."""
    l = Learning(t, 'true')
    equal(l.term.wait(), 0, 'the control')
    shutil.copy(l.box.nsbox_path, l.box.work + '/nsbox')
    l.box.nsbox_path, l.file = l.box.work + '/nsbox', l.box.dir + '/second.ini'
    term = Terminal(l.box, 'run', '--rm', *l.flags, '--learn', l.file, '--', 'sh', '-c', curl('/a'))
    term.expect(rb'nobody is asked, and what no rule allows is denied and recorded: the auditor exec:')
    term.expect(rb'code 403')
    equal(term.wait(), 0, 'exit status')
    check(b'allow it?' not in term.seen, 'asked: %r' % term.seen)
    check('allow = GET https://%s/a' % HOST in l.learned()[0], 'lines: %r' % l.learned()[0])


@test
def calls_inside_ask_too(t):
    """A call that the command starts inside has no more than the command."""
    l = Learning(t, 'nsbox call -- ' + curl('/a'))
    l.term.expect(rb'no rule allows GET https://api\.example\.com/a\r\n')
    equal(l.targets(), [], 'before the answer')
    l.answer('no')
    l.term.expect(rb'code 403')
    equal(l.term.wait(), 0, 'exit status')
    equal(l.targets(), [], 'what the origin saw')


@test
def beside_rules_of_every_kind(t):
    """Rules that are opaque, private, by address or of a secret stay as they are, and the rest is asked about."""
    l = Learning(t, curl('/a'), '--passthrough', 'pinned.example.com', '--allow', 'tcp://db.example.com:443',
                 '--allow', '192.0.2.0/24:443', '--allow-private', 'build.example.com',
                 '--allow', 'GET,HEAD https://*.example.org/v1/**',
                 '--deny', 'evil.example.com', '--secret', 'KEY=exec:echo a-value-of-a-key@https://api.example.com/x')
    l.answer('yes')
    l.term.expect(rb'code 200')
    equal(l.term.wait(), 0, 'exit status')
    counted, comments = l.learned()
    for line in ('allow = GET https://api.example.com/a', 'deny = evil.example.com'):
        check(line in counted, '%s in %r' % (line, counted))
    check('not used: passthrough = pinned.example.com' in comments, 'comments: %r' % comments)


@cases([('none', 'none'), ('host', 'host')])
def without_a_gateway(t, mode):
    """Nothing is decided by rules, so nobody is asked."""
    box = Box(t)
    policy = t.write('box/p.ini', '[sandbox]\nversion = 1\n[network]\nmode = %s\n' % mode)
    term = Terminal(box, 'run', '--rm', '-f', policy, '--learn', box.dir + '/learned.ini', '--', 'echo', 'fine')
    term.expect(rb'fine')
    equal(term.wait(), 0, 'exit status')
    check(os.path.exists(box.dir + '/learned.ini'), 'no file')


@test
def other_ports(t):
    """SSH, a database and HTTP on a port of its own are asked about too; a port that nobody knows is recorded."""
    listener = TcpListener(greeting=b'hello')
    plain = Origin()
    knock = """python3 -c 'import socket, sys
s = socket.create_connection(("%s", %d), 100)
s.sendall(b"hi")
sys.exit(not s.recv(1))' 2>/dev/null && echo yes %d || echo no %d"""
    script = '\n'.join([knock % (HOST, port, port, port) for port in (22, 22, 5432, 4567)] +
                       ['curl -s -o /dev/null -w "code %%{http_code}\\n" http://%s:8080/x' % OTHER])
    places = [(HOST, 22, listener), (HOST, 5432, listener), (OTHER, 8080, plain)]
    l = Learning(t, script, *('--connect-to=%s:%d:127.0.0.1:%d' % (host, port, to.port) for host, port, to in places))
    l.term.expect(rb'no rule allows tcp://api\.example\.com:22\r\n')
    equal(listener.accepted, 0, 'before the answer')
    l.answer('yes')
    for _ in range(2):
        l.term.expect(rb'yes 22\r\n')
    l.term.expect(rb'no rule allows tcp://api\.example\.com:5432\r\n')
    equal(listener.accepted, 2, 'the same place is not asked about twice')
    l.answer('no')
    l.term.expect(rb'no 5432')
    l.term.expect(rb'no 4567')
    l.term.expect(rb'no rule allows GET http://other\.example\.com:8080/x\r\n')
    l.answer('always')
    l.term.expect(rb'code 200')
    equal(l.term.wait(), 0, 'exit status')
    equal(listener.accepted, 2, 'connections')
    counted, comments = l.learned()
    equal(sorted(line for line in counted if line.startswith('allow')),
          ['allow = ' + rule for rule in ('api.example.com:4567', 'http://other.example.com:8080', 'tcp://api.example.com:22')],
          'rules')
    check('tcp://api.example.com:5432: was asked for, and you said no' in comments, 'comments: %r' % comments)
