# SPDX-License-Identifier: Apache-2.0
"""Agents as their makers publish them, started in the sandbox under the profile that their name chooses.

They are hundreds of megabytes, so this is for `run.py --dir tests/interop --long 'agents.*'`. They are installed with
the npm configuration of the caller into a directory that is removed; started, they have no network outside, and a rule
that denies everything inside."""
import os
import shutil
import subprocess

from harness.box import Box
from harness.registry import cases, check, equal

AGENTS = [  # name, package, command, what --version prints
    ('claude_code', '@anthropic-ai/claude-code', 'claude'),
    ('codex', '@openai/codex', 'codex'),
    ('gemini_cli', '@google/gemini-cli', 'gemini'),
    ('opencode', 'opencode-ai', 'opencode'),
    ('qwen_code', '@qwen-code/qwen-code', 'qwen'),
    ('copilot_cli', '@github/copilot', 'copilot'),
    ('amp', '@sourcegraph/amp', 'amp'),
]


def outside(box, command, option):
    """Without a network, which is a namespace of its own here too."""
    return subprocess.run(['unshare', '--user', '--map-root-user', '--net', command, option], cwd=box.work, env=box.env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=100)


@cases(AGENTS, timeout=500)
def starts(t, package, command):
    if 'NSBOX_TEST_LONG' not in os.environ:
        t.skip('only with --long: it installs the agent with npm')
    for program in ('npm', 'node', 'unshare'):
        if not shutil.which(program):
            t.skip(program + ' is not installed')
    box = Box(t)
    place = t.path('agent')
    os.makedirs(place)
    # Not --prefix: npm then looks for its own configuration (the certificates it trusts) there too.
    with open(place + '/package.json', 'w') as f:
        f.write('{}')
    done = subprocess.run(['npm', 'install', '--no-audit', '--no-fund', '--loglevel=error', package],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
                          cwd=place, env={**os.environ, 'npm_config_cache': t.path('cache')})
    if done.returncode:
        t.skip('npm cannot install it: ' + done.stdout.decode('utf-8', 'replace').strip()[-200:])
    program = os.path.join(place, 'node_modules', '.bin', command)
    for option in ('--version', '--help'):
        plain = outside(box, program, option)
        inside = box.run(program, option, flags=['--read', place, '--deny', '*'], timeout=100)
        equal(plain.returncode, 0, 'outside: %r' % plain)
        equal(inside.code, 0, '%s: %r' % (option, inside))
        check('nsbox: profile ' in inside.err, 'a profile is chosen: %r' % inside)
        if option == '--version':
            equal(inside.out_bytes, plain.stdout, 'its version')
        check(inside.out.strip() or inside.err.strip(), 'it says something')
        asked = {r.get('host') for r in box.audit() if r['event'] in ('http.deny', 'net.deny', 'dns.query')}
        print(command, option, (inside.out or inside.err).strip().split('\n')[0], '- asked for', sorted(asked) or 'no host')
