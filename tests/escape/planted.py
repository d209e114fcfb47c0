#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway's own confinement, by attack: planted.c takes the place of a bug that gives its process away.

usage: planted.py --prefix DIR --build DIR [-v] [NAME...]
A sandbox runs with the planted gateway. Every attempt is made from inside the confined process and must be refused; what
it is after (files, a process, sockets) is looked at on the host. The control is the same attempt of the same program
unconfined; where that does not work either, the attempt is skipped. At the end the gateway is made to crash: the network
of the sandbox has to be gone for good, and a record to say so."""
import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'integration'))
sys.dont_write_bytecode = True

from harness import registry                 # noqa: E402
from harness.api import Api                  # noqa: E402
from harness.box import INSIDE, PYTHON       # noqa: E402
from harness.origin import Origin            # noqa: E402
from harness.pki import Pki                  # noqa: E402
from harness.registry import until           # noqa: E402

HOST = 'api.example.com'
VALUE = 'value-of-the-secret-99'
FILES = ('open_secret', 'open_passwd', 'open_audit', 'open_memory', 'open_environ', 'open_root', 'open_created', 'open_how',
         'open_tree_of_host', 'list_directory', 'remove_file', 'rename_file', 'make_directory', 'make_link', 'change_mode',
         'cut_file', 'change_directory', 'change_root')
PROGRAMS = ('run_program', 'run_by_descriptor', 'make_child', 'make_raw_child', 'make_child_3')
PROCESSES = ('attach', 'be_traced', 'read_process', 'write_process', 'kill_process', 'kill_thread', 'kill_any_thread',
             'queue_signal', 'signal_by_socket', 'open_process', 'limit_process', 'slow_process', 'pin_process')
SOCKETS = ('connect_path', 'connect_abstract', 'netlink', 'raw_socket', 'packet_socket', 'listen_on_host')
KERNEL = ('mount_something', 'unmount', 'new_mount', 'new_user', 'new_network', 'join_namespace', 'load_bpf', 'make_ring',
          'count_events', 'handle_faults', 'memory_file', 'add_key', 'change_user', 'raise_limit')
ITSELF = ('dumpable', 'outlive', 'new_code', 'code_of_data')
ATTEMPTS = FILES + PROGRAMS + PROCESSES + SOCKETS + KERNEL + ITSELF
# Judged by what became of its victim only: the kernel says nothing of a signal that it does not deliver.
SILENT = ('signal_by_socket',)
# Controls that would change more than what the test has made.
IN_NAMESPACES = ('mount_something', 'unmount')

ATTACK = '''
got = []
for message in sys.argv[2:]:
    try:
        s = connect(sys.argv[1], 80, 10); s.sendall(message.encode() + b"\\n"); got.append(s.makefile().readline().strip())
        s.close()
    except OSError as e: got.append(type(e).__name__)
got.append(attempt(lambda: fetch("https://%s/" % sys.argv[1]).status))
out(got)'''


class Target:
    """What the attacker is after: files, a process and sockets of the user on the host."""

    def __init__(self, t, audit):
        self.dir = t.path('target')
        os.mkdir(self.dir, 0o755)
        self.t, self.audit, self.victim = t, audit, None
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.path = socket.socket(socket.AF_UNIX)
        self.path.bind(self.dir + '/socket')
        self.name = 'nsbox-planted-%d' % os.getpid()
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind('\0' + self.name)
        for s in (self.path, self.abstract):
            s.listen(64)
            s.setblocking(False)
        self.restore()

    def restore(self):
        """Everything as it was, and nothing waiting at the sockets."""
        for name in os.listdir(self.dir):
            path = os.path.join(self.dir, name)
            if name != 'socket':
                os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        self.t.write('target/file', 'as it was\n')
        os.chmod(self.dir + '/file', 0o600)
        for s in (self.path, self.abstract):
            self.contacts(s)
        if self.victim:
            self.victim.kill()
            self.victim.wait()
        self.victim = subprocess.Popen(['sleep', '1000'])
        with open('/proc/%d/maps' % self.victim.pid) as f:
            self.address = until(lambda: [line.split('-')[0] for line in f if '[stack]' in line], 30)[0]

    @staticmethod
    def contacts(s):
        n = 0
        try:
            while True:
                s.accept()[0].close()
                n += 1
        except OSError:
            return n

    def facts(self):
        return ['secret=' + self.t.path('secret'), 'audit=' + self.audit, 'dir=' + self.dir, 'file=' + self.dir + '/file',
                'new=' + self.dir + '/new', 'socket=' + self.dir + '/socket', 'abstract=' + self.name,
                'victim=%d' % self.victim.pid, 'address=0x' + self.address,
                'port=%d' % self.listener.getsockname()[1]]

    def changes(self):
        """What is not as it was."""
        found = []
        if sorted(os.listdir(self.dir)) != ['file', 'socket']:
            found.append('files: %r' % os.listdir(self.dir))
        else:
            with open(self.dir + '/file') as f:
                if f.read() != 'as it was\n' or os.stat(self.dir + '/file').st_mode & 0o777 != 0o600:
                    found.append('the file')
        if self.victim.poll() is not None:
            found.append('the process has ended')
        elif os.getpriority(os.PRIO_PROCESS, self.victim.pid) != os.getpriority(os.PRIO_PROCESS, 0) or \
                os.sched_getaffinity(self.victim.pid) != os.sched_getaffinity(0):
            found.append('the scheduling of the process')
        for name, s in (('path', self.path), ('abstract', self.abstract)):
            if self.contacts(s):
                found.append('a connection to the %s socket' % name)
        return found

    def close(self):
        self.victim.kill()
        self.victim.wait()


class Attack:
    def __init__(self, t, planted):
        self.t, self.planted, self.good = t, planted, True
        helpers = t.path('helpers')
        shutil.copytree(os.path.join(t.prefix, 'libexec', 'nsbox'), helpers)
        shutil.copy(planted, helpers + '/nsbox-gateway')
        self.origin = Origin(t.pki.context([HOST]))
        self.api = Api(t, helper_dir=helpers)
        with open(t.write('secret', VALUE), 'rb'):
            os.chmod(t.path('secret'), 0o600)
        policy = self.api.wired(self.origin, HOST)
        policy.set('secret KEY', 'allow', HOST)
        policy.set('secret KEY', 'source', 'file:' + t.path('secret'))
        self.box = self.api.create(policy)
        self.target = Target(t, self.api.box.logs()[-1])

    def say(self, verdict, name, why=''):
        print('%s planted-%s%s' % (verdict, name, ': ' + why if why else ''), flush=True)
        self.good &= verdict != 'not ok'

    def inside(self, *messages):
        """What the gateway answered to each, and the status of a good request after them."""
        call = self.box.start([PYTHON, '-c', INSIDE + ATTACK, HOST, *messages], stdin=self.api.sb.NULL,
                              stdout=self.api.sb.PIPE, stderr=self.api.sb.PIPE)
        out = call.stdout.read()
        call.wait()
        if not out:
            raise AssertionError('the call said nothing: %r' % call.stderr.read()[-500:])
        return last_line(out)

    def control(self, name):
        self.target.restore()
        command = [self.planted, name, *self.target.facts()]
        if name in IN_NAMESPACES:
            command = ['unshare', '-rm', '--', *command]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        got = done.stdout.decode().split()[1:] or [done.stderr.decode().strip()[:100]]
        if name in SILENT:
            try:
                until(lambda: self.target.changes(), 30)
            except AssertionError:
                return 'without effect'
        return got[0]

    def attempts(self, names):
        controls = {name: self.control(name) for name in names}
        self.target.restore()
        facts = ' '.join(self.target.facts())
        *got, status = self.inside(*['PLANTED %s %s' % (name, facts) for name in names])
        rows = []
        for name, answer in zip(names, got):
            outcome = answer.partition(' ')[2]
            if controls[name] != 'ok':
                self.say('skip', name, 'the control did not work: ' + controls[name])
            elif outcome in ('EPERM', 'EACCES') or name in SILENT and outcome == 'ok':
                self.say('ok', name)
            else:
                self.say('not ok', name, 'from inside the gateway: %r' % answer)
            rows.append((name, controls[name], outcome))
        changes = self.target.changes()
        self.say('not ok' if changes else 'ok', 'nothing-changed', ', '.join(changes))
        self.say('ok' if status == 200 else 'not ok', 'goes-on', '' if status == 200 else 'a good request got %r' % status)
        return rows

    def reach(self):
        """What stays possible, since the gateway is there for it: TCP connections from the host's network."""
        got = self.inside('PLANTED connect_host ' + ' '.join(self.target.facts()))[0]
        self.say('ok' if got == 'connect_host ok' else 'not ok', 'connect-host-is-open', '' if got.endswith('ok') else got)
        return 'connect_host', 'ok', got.partition(' ')[2]

    def crash(self):
        requests = len(self.origin.requests)
        got = self.inside('PLANTED crash x=y')
        again = self.api.refused(self.inside, 'PLANTED open_passwd x=y')
        dead = 'crash ok' not in got and 200 not in got and 'gateway' in str(again)
        until(lambda: self.api.box.audit('gateway.exit'), 30, 'no record gateway.exit')
        reached = len(self.origin.requests) - requests
        self.say('ok' if dead and not reached else 'not ok', 'crash-ends-the-network',
                 '' if dead and not reached else '%r, then %r; %d requests came' % (got, again, reached))
        done = self.api.box.nsbox('audit', 'verify', '--file', self.api.box.logs()[-1])
        self.say('ok' if done.code == 0 else 'not ok', 'crash-is-recorded', '' if done.code == 0 else repr(done))

    def close(self):
        self.target.close()
        self.api.runtime.close()


def last_line(out):
    return json.loads(out.decode().strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--prefix', required=True)
    parser.add_argument('--build', required=True)
    parser.add_argument('names', nargs='*')
    options = parser.parse_args()
    planted = os.path.join(options.build, 'tests', 'escape', 'nsbox-gateway-planted')
    if not os.access(planted, os.X_OK):
        print('skip planted: this build has no planted gateway (meson option planted)')
        return 0
    registry.subreaper()
    directory = tempfile.mkdtemp(prefix='nsbox-planted-')
    os.chmod(directory, 0o700)
    good = False
    try:
        attack = Attack(registry.Context(directory, options, Pki(directory + '/pki')), planted)
        try:
            rows = attack.attempts([n for n in ATTEMPTS if not options.names or n in options.names])
            rows.append(attack.reach())
            attack.crash()
        finally:
            attack.close()
        print('\n| attempt | unconfined | from inside the confined gateway |\n|---|---|---|')
        for row in rows:
            print('| %s | %s | %s |' % row)
        good = attack.good
    finally:
        registry.leftovers(3)
        registry.remove(directory)
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
