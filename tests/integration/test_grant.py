# SPDX-License-Identifier: Apache-2.0
"""Grants in policy files, and the questions of `nsbox grant`: nothing is started."""
import json
import os

from harness.box import Box
from harness.registry import cases, check, equal, test

POLICY = '''[sandbox]
version = 1
[network]
allow = https://git.example.com/**
deny = https://git.example.com/admin/**
[secret API_KEY]
allow = https://git.example.com/**
[limits]
timeout = 10m
'''
PUSH = POLICY + '''[grant push]
argv = git push *
allow = POST https://git.example.com/acme/**
secret = API_KEY
write = src
exec = /usr/bin
[grant rest]
argv = git *
'''


def made(t, text):
    box = Box(t)
    os.mkdir(box.work + '/src')
    with open(box.dir + '/p.ini', 'w') as f:
        f.write(text)
    return box, ['-f', box.dir + '/p.ini']


QUESTIONS = [
    ('method', ['push', '--url', 'https://git.example.com/acme/x', '--method', 'POST'], 'allow', 'rule'),
    ('default_method', ['push', '--url', 'https://git.example.com/acme/x'], 'deny', 'grant'),
    ('of_the_policy', ['push', '--url', 'https://git.example.com/admin/x', '--method', 'POST'], 'deny', 'deny-rule'),
    ('nothing_named', ['rest', '--url', 'https://git.example.com/acme/x', '--method', 'POST'], 'deny', 'grant'),
    ('writable', ['push', '--path', 'src/x', '--write'], 'allow', 'rule'),
    ('read_only', ['push', '--path', 'x', '--write'], 'deny', 'grant'),
    ('readable', ['push', '--path', 'x'], 'allow', 'rule'),
    ('secret', ['push', '--secret', 'API_KEY'], 'allow', 'rule'),
    ('secret_not_named', ['rest', '--secret', 'API_KEY'], 'deny', 'grant'),
    ('secret_of_none', ['push', '--secret', 'OTHER'], 'deny', 'no-secret'),
]


@cases(QUESTIONS)
def grant_check(t, words, decision, reason):
    box, policy = made(t, PUSH)
    result = box.nsbox('grant', 'check', *policy, *words, '--json')
    equal(result.code, 0 if decision == 'allow' else 1, 'exit status (%r)' % result)
    said = json.loads(result.out)
    equal([said['decision'], said['reason']], [decision, reason], 'answer')
    plain = box.nsbox('grant', 'check', *policy, *words)
    check(plain.out.startswith(decision + ': '), 'stdout %r' % plain)


@test
def grant_of_a_command(t):
    box, policy = made(t, PUSH)
    for words, code, out in ((['--', 'git', 'push'], 0, 'push\n'), (['--', '/usr/bin/git', 'log'], 0, 'rest\n'),
                             (['push', '--', 'git', 'push', 'x'], 0, 'push\n'), (['rest', '--', 'git', 'push'], 1, 'push\n'),
                             (['--', 'make'], 1, 'no grant\n')):
        result = box.nsbox('grant', 'check', *policy, *words)
        equal([result.code, result.out], [code, out], 'answer to %r' % words)


@test
def grant_show_is_a_section(t):
    """What is printed stands for the section: with it in its place, the same is printed."""
    box, policy = made(t, PUSH)
    first = box.nsbox('grant', 'show', *policy, 'push')
    equal(first.code, 0, 'exit status (%r)' % first)
    with open(box.dir + '/again.ini', 'w') as f:
        f.write(POLICY + first.out)
    again = box.nsbox('grant', 'show', '-f', box.dir + '/again.ini', 'push')
    strip = [[line.split(' ; ')[0] for line in text.splitlines()] for text in (first.out, again.out)]
    equal(strip[1], strip[0], 'printed again')
    check('timeout = 10m' in first.out, 'the limit of the policy: %r' % first.out)
    dry = box.nsbox('run', *policy, '--dry-run')
    check('[grant push]\n' in dry.out and '[grant rest]\n' in dry.out, 'dry run: %r' % dry)


@test
def grant_over_the_policy_is_refused(t):
    box, policy = made(t, PUSH + 'allow = https://git.example.com/**\n')
    for words in (['run', *policy, '--', 'true'], ['grant', 'show', *policy, 'push'],
                  ['check', *policy, '--path', '.']):
        result = box.nsbox(*words)
        equal(result.code, 125, 'exit status (%r)' % result)
        check('p.ini:18: [grant rest] allow = https://git.example.com is more than the policy allows; accepted: the '
              'same with deny = https://git.example.com/admin/** beside it' in result.err, 'stderr: %r' % result)
