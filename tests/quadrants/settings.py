# SPDX-License-Identifier: Apache-2.0
"""The three settings that a command is run in: without a sandbox; in a sandbox with one policy for everything that is
to be done in the session; in the same, with a grant for each call."""
import json
import os
import shutil
import subprocess
import sys

import files
import services
import world

HERE = os.path.dirname(os.path.abspath(__file__))
STATE = '/mnt/state'
SIBLING = 'CANARY-SIBLING'
VICTIM = ['/bin/cat', '-u']
LIMIT = 120             # seconds for a call on a loaded machine
MANY = 100              # processes of a sandbox

# What a session of programming needs in all: this is the policy, and each grant below is a part of it.
POLICY = '''[sandbox]
version = 1
[network]
allow = git.example.com
allow = cloud.example.com
allow = cloud-dev.example.com
allow = cloud-prod.example.com
allow = db.example.com
allow = store.example.com
allow = registry.example.com
allow = mail.example.com
allow = hooks.example.com
allow_private = *.cdn.example.com
[limits]
pids = %d
disk = 16M
'''
GRANTS = '''[grant read]
read_only = yes
[grant read-full]
read_only = yes
isolation = full
[grant source]
read = src
[grant edit]
write = src
[grant test]
write = build
[grant test-full]
write = build
isolation = full
[grant build]
write = build
write = vendor
allow = GET https://registry.example.com/**
[grant clone]
read_only = yes
allow = GET https://git.example.com/acme/shop.git/**
allow = POST https://git.example.com/acme/shop.git/git-upload-pack
secret = GIT_TOKEN
[grant push]
argv = git push *
read_only = yes
allow = GET,POST https://git.example.com/acme/shop.git/**
secret = GIT_TOKEN
[grant deploy]
argv = infra/deploy.sh *
argv = infra/release.sh *
read_only = yes
allow = POST https://git.example.com/api/repos/acme/shop/issues
secret = GIT_TOKEN
[grant issue]
read_only = yes
allow = POST https://git.example.com/api/repos/acme/shop/issues
secret = GIT_TOKEN
bytes_up = 64K
uses = 20
[grant alone]
read_only = yes
hide = ~
hide = /tmp
allow = POST https://git.example.com/api/repos/acme/shop/issues
secret = GIT_TOKEN
[grant most]
write = .
read = config
[grant cloud]
read_only = yes
allow = GET https://cloud.example.com/**
allow = POST https://cloud.example.com/graphql
secret = CLOUD_TOKEN
[grant jobs]
read_only = yes
allow = POST https://cloud.example.com/jobs
secret = CLOUD_TOKEN
uses = 5
[grant dev]
read_only = yes
allow = https://cloud-dev.example.com/**
allow = POST https://db.example.com/dev/**
allow = GET,PUT https://store.example.com/dev/**
secret = CLOUD_TOKEN
secret = DB_TOKEN
secret = STORE_TOKEN
bytes_up = 64K
[grant mail]
read_only = yes
allow = POST https://mail.example.com/send
secret = MAIL_TOKEN
uses = 3
[grant publish]
read_only = yes
allow = PUT https://registry.example.com/shop/**
secret = REGISTRY_TOKEN
uses = 2
[grant notify]
read_only = yes
allow = POST https://hooks.example.com/ci
[grant web]
read_only = yes
allow = GET https://*.cdn.example.com/**
uses = 20
'''


def policy(pki, grants):
    text = POLICY % MANY
    # Of the world's own addresses the gateway knows that they are this machine's: it dials them because it was told to.
    lines = ['upstream_ca = %s %s' % (pki.ca, host) for host in services.HOSTS]
    lines += ['connect_to = %s:%d:%s:%d' % (host, port, world.SERVERS, port)
              for host in services.HOSTS[:-1] for port in (80, 443)]
    text = text.replace('[limits]', '\n'.join(lines) + '\n[limits]')
    for secret in services.TOKENS:
        targets = [k for k, v in services.SERVICES.items() if v == secret]
        text += '[secret %s]\nsource = env:%s\n' % (secret, secret)
        text += ''.join('allow = https://%s.example.com/**\n' % t for t in targets)
    return text + (GRANTS if grants else '')


class Result:
    def __init__(self, code, out, err, victim=True):
        self.code, self.out, self.err, self.victim = code, out, err, victim

    def __repr__(self):
        return 'exit %d, stdout %.200r, stderr %.300r' % (self.code, self.out[-200:], self.err[-300:])


def run(words, environment, cwd='/', **more):
    with subprocess.Popen(words, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, start_new_session=True, **more) as process:
        try:
            out, err = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise RuntimeError('no end within %d s: %r' % (LIMIT, words[-1][:200]))
    return Result(process.returncode, out.decode('utf-8', 'replace'), err.decode('utf-8', 'replace'))


class Victim:
    """A process of somebody else, which answers as long as it lives."""

    def __init__(self, words, environment):
        self.process = subprocess.Popen(words, env=environment, cwd=files.WORK, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, start_new_session=True)
        if not self.alive():
            raise RuntimeError('it does not answer: %r' % words)

    def alive(self):
        try:
            self.process.stdin.write(b'?')
            self.process.stdin.flush()
            return self.process.stdout.read(1) == b'?'
        except BrokenPipeError:
            return False

    def end(self):
        self.process.kill()
        self.process.wait()


class Outside:
    """No sandbox: as the same user, with the real secrets in the environment, in a place where it does no harm."""
    name, root, title = 'outside', files.SPARE, 'no sandbox'

    def __init__(self, pki):
        self.environment = {'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', 'HOME': files.HOME,
                            'LANG': 'C.UTF-8', 'CURL_CA_BUNDLE': pki.ca, 'GIT_SSL_CAINFO': pki.ca, 'TMPDIR': '/tmp', **services.TOKENS}

    def prepare(self):
        shutil.rmtree('/mnt/tmp', ignore_errors=True)
        os.mkdir('/mnt/tmp')

    def run(self, _grant, command):
        told, tell = os.pipe()
        with os.fdopen(told) as f:
            try:
                result = run([sys.executable, HERE + '/outside.py', str(tell), *command], self.environment,
                             pass_fds=(tell,))
            finally:
                os.close(tell)
            result.victim = f.read() == 'alive'
        return result

    def records(self):
        return set()

    def close(self):
        pass


class Sandbox:
    """A named sandbox, and in it, all the time, a call of somebody else."""
    root = files.LIVE

    def __init__(self, pki, nsbox, name, title, grants):
        self.nsbox, self.name, self.title, self.grants = nsbox, name, title, grants
        self.environment = {'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', 'HOME': files.HOME,
                            'LANG': 'C.UTF-8', 'XDG_STATE_HOME': STATE, 'XDG_RUNTIME_DIR': STATE + '/run', **services.TOKENS}
        path = '/mnt/%s.ini' % name
        files.write(path, policy(pki, grants))
        self.nsbox_run('create', '--name', name, '-C', files.WORK, '-f', path)
        self.log = json.loads(self.nsbox_run('inspect', name).out)['audit']['path']
        self.seen = 0
        self.sibling = self.new_sibling()

    def prepare(self):
        pass

    def nsbox_run(self, *words):
        result = run([self.nsbox, *words], self.environment, files.WORK)
        if result.code:
            raise RuntimeError('nsbox %s: %r' % (words[0], result))
        return result

    def new_sibling(self):
        return Victim([self.nsbox, 'exec', self.name, '--env', 'SIBLING_KEY=' + SIBLING, '--', *VICTIM],
                      self.environment)

    def run(self, grant, command):
        flags = ['--grant', grant] if self.grants and grant else []
        result = run([self.nsbox, 'exec', self.name, *flags, '--', *command], self.environment, files.WORK)
        result.victim = self.sibling.alive()
        if not result.victim:
            self.sibling.end()
            self.sibling = self.new_sibling()
        if result.code == 125 and result.err.startswith('nsbox: '):
            raise RuntimeError('the call was not made: %r' % result)
        return result

    def records(self):
        """What the log tells since the last time, without what every call leaves there."""
        with open(self.log) as f:
            lines = f.readlines()
        new, self.seen = lines[self.seen:], len(lines)
        records = [json.loads(line) for line in new]
        return {tuple(str(r.get(k)) for k in ('event', 'method', 'host', 'addr', 'port', 'path', 'reason', 'name'))
                for r in records if not r['event'].startswith(('call.', 'sandbox.'))}

    def close(self):
        run([self.nsbox, 'rm', '-f', self.name], self.environment, files.WORK)
        self.sibling.end()


def make(pki, nsbox):
    os.makedirs(STATE + '/run', mode=0o700)
    return [Outside(pki), Sandbox(pki, nsbox, 'policy', 'one policy', False),
            Sandbox(pki, nsbox, 'grants', 'grant per call', True)]
