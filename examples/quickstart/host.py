# SPDX-License-Identifier: Apache-2.0
"""The host's side of the quickstart: servers on loopback, the sandbox, and what the host finds afterwards."""
import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# The servers and certificates are those of the tests.
sys.path.insert(0, os.path.join(HERE, '..', '..', 'tests', 'integration'))
from harness.origin import Origin, TcpListener, UdpListener, git_handler, git_repository  # noqa: E402
from harness.pki import Pki  # noqa: E402

API_KEY = 'sk-real-51b7e20f9d3c4a86'
GIT_TOKEN = 'ghp-real-8c1d77e0a4f2b95e63'


class Quickstart:
    def __init__(self, prefix, lines):
        self.nsbox = os.path.join(prefix, 'bin', 'nsbox')
        self.lines = lines
        self.failures = 0
        self.dir = tempfile.mkdtemp(prefix='nsbox-quickstart-')
        self.home = self.dir + '/home'
        # Beside the home directory: what is below it and granted would really go with `rm -rf ~`.
        self.work = self.dir + '/project'
        os.mkdir(self.work)
        os.mkdir(self.home)
        os.mkdir(self.home + '/.ssh', 0o700)
        self.write('.ssh/id_ed25519', '-----BEGIN OPENSSH PRIVATE KEY-----\n')
        self.write('thesis.tex', 'three years of work\n')
        shutil.copy(HERE + '/agent.py', self.work)
        self.env = {'PATH': os.environ.get('PATH', '/usr/bin:/bin'), 'LANG': 'C.UTF-8', 'HOME': self.home,
                    'XDG_STATE_HOME': self.dir + '/state', 'XDG_RUNTIME_DIR': self.dir,
                    'LD_LIBRARY_PATH': os.path.join(prefix, 'lib')}
        self.pki = Pki(self.dir + '/pki')

    def write(self, name, text):
        with open(os.path.join(self.home, name), 'w') as f:
            f.write(text)

    def read(self, name):
        try:
            with open(os.path.join(self.home, name)) as f:
                return f.read()
        except OSError:
            return None

    @staticmethod
    def title(text):
        print('\n%s\n%s' % (text, '-' * len(text)), flush=True)

    def verify(self, what, good, shown=''):
        self.failures += not good
        if self.lines:
            print(('ok' if good else 'not ok') + ' quickstart.' + what.replace(' ', '-') + ('' if good else ': ' + shown),
                  flush=True)
        else:
            print('  [%s] %s%s' % ('ok' if good else 'FAILED', what, ': ' + shown if shown else ''), flush=True)

    def run(self, *args, show=True, **env):
        command = ['nsbox', *args]
        if show:
            shown = ' '.join(shlex.quote(a) for a in command).replace(' --', ' \\\n      --').replace('\\\n      -- ', '-- ')
            print('$ ' + shown, flush=True)
        return subprocess.run([self.nsbox, *args], env=dict(self.env, **env), cwd=self.work, stdin=subprocess.DEVNULL,
                              timeout=120).returncode

    def agent(self):
        api, logs, evil = (Origin(self.pki.context([h])) for h in ('api.example.com', 'logs.example.net',
                                                                     'evil.example.org'))
        tcp, udp = TcpListener(), UdpListener()
        self.title('1. An agent with an API key, let loose in a sandbox')
        print('Its home is %s, its workspace %s.\n'
              'API_KEY is in the environment of nsbox; the agent gets a placeholder.' % (self.home, self.work))
        status = self.run(
            'run', '--allow', 'https://api.example.com/v1/**', '--allow', 'logs.example.net',
            '--secret', 'API_KEY@https://api.example.com/**',
            '--connect-to', 'api.example.com:443:127.0.0.1:%d' % api.port,
            '--connect-to', 'logs.example.net:443:127.0.0.1:%d' % logs.port,
            '--connect-to', 'evil.example.org:443:127.0.0.1:%d' % evil.port,
            '--upstream-ca', self.pki.ca, '--', '/usr/bin/python3', 'agent.py', str(tcp.port), str(udp.port),
            self.home,
            API_KEY=API_KEY)
        time.sleep(0.2)

        self.title('2. What the host finds afterwards')
        seen = json.loads(self.read('../project/seen.json') or '{"key": ""}')['key']
        received = [r.header('authorization') for r in api.requests]
        self.verify('the agent ran to its end', status == 0, 'exit status %d' % status)
        self.verify('its work is in the workspace', bool(self.read('../project/fib.py')), 'project/fib.py')
        self.verify('the home directory is intact', self.read('thesis.tex') == 'three years of work\n', 'thesis.tex')
        self.verify('the SSH key is intact', bool(self.read('.ssh/id_ed25519')))
        self.verify('no config was planted', not os.path.exists(self.home + '/.config'), '~/.config does not exist')
        self.verify('the API received the real key', received == [['Bearer ' + API_KEY]], 'Authorization: %s' % received)
        self.verify('the agent never saw it', seen.startswith('nsbox_') and API_KEY not in seen, 'it saw ' + seen)
        self.verify('the other allowed host received nothing', logs.requests == [] and logs.raw == b'',
                    '%d requests' % len(logs.requests))
        self.verify('the unlisted host received nothing', evil.accepted == 0, '%d connections' % evil.accepted)
        self.verify('the loopback of the host was not reached', tcp.accepted == 0 and udp.received == [],
                    '%d connections, %d packets' % (tcp.accepted, len(udp.received)))

        self.title('3. The audit log of it')
        shown = self.run('audit', 'show')
        self.verify('it can be shown', shown == 0, 'exit status %d' % shown)
        intact = self.run('audit', 'verify')
        self.verify('its hash chain is intact', intact == 0, 'exit status %d' % intact)

    def git(self):
        root = git_repository(self.dir)
        server = Origin(self.pki.context(['git.example.com']), handler=git_handler(root, 'token', GIT_TOKEN))
        self.title('4. The same with a real command: git clone with a token')
        status = self.run(
            'run', '--allow', 'https://git.example.com/acme/**', '--secret', 'GIT_TOKEN@https://git.example.com/acme/**',
            '--connect-to', 'git.example.com:443:127.0.0.1:%d' % server.port, '--upstream-ca', self.pki.ca, '--',
            'sh', '-c', 'git clone https://token:$GIT_TOKEN@git.example.com/acme/app.git', GIT_TOKEN=GIT_TOKEN)
        self.verify('git clone worked', status == 0 and self.read('../project/app/README') == 'the application\n',
                    'project/app/README is there')
        config = self.read('../project/app/.git/config') or ''
        self.verify('the token is not in the clone', bool(config) and GIT_TOKEN not in config,
                    '.git/config holds the placeholder, which is dead by now')
        self.verify('the git server received the token',
                    any(r.header('authorization') for r in server.requests), 'Basic authentication succeeded')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--prefix', required=True)
    parser.add_argument('--lines', action='store_true', help='results as the tests count them')
    options = parser.parse_args()
    quickstart = Quickstart(options.prefix, options.lines)
    try:
        quickstart.agent()
        quickstart.git()
    finally:
        shutil.rmtree(quickstart.dir, ignore_errors=True)
    if not options.lines:
        print('\n' + ('All as it should be.' if not quickstart.failures else '%d things are not as they should be.'
                      % quickstart.failures))
    sys.exit(1 if quickstart.failures else 0)


if __name__ == '__main__':
    main()
