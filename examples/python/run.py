#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run a command in a sandbox: its output as it comes, then how it ended and what happened.

usage: run.py [--library FILE] [--workdir DIR] [--allow RULE]... [--timeout SECONDS] COMMAND [ARGUMENT]..."""
import argparse
import sys

import libsandbox


def run(options):
    policy = libsandbox.Policy(options.workdir)  # the workdir, no network
    for rule in options.allow:
        policy.set('network', 'allow', rule, '--allow')
    with libsandbox.Runtime() as runtime, runtime.create(policy) as box:
        # Standard input, output and error are handed on as they are.
        with box.start([options.command, *options.arguments], timeout=options.timeout) as call:
            end = call.wait()
        print('call %s: status %d, signal %d, %s' % (box.id, end.status, end.signal, end.reason), file=sys.stderr)
        for event in runtime.events():
            print('event %s %s' % (event.name, event.reason), file=sys.stderr)
        print('log %s' % box.audit_log, file=sys.stderr)
        return end.shell_status


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--library', help='libsandbox.so, when the system does not find it')
    parser.add_argument('--workdir', help='the workspace; default: the current directory')
    parser.add_argument('--allow', action='append', default=[], metavar='RULE')
    parser.add_argument('--timeout', type=float, metavar='SECONDS')
    parser.add_argument('command')
    parser.add_argument('arguments', nargs=argparse.REMAINDER)
    options = parser.parse_args()
    libsandbox.load(options.library)
    try:
        return run(options)
    except libsandbox.SandboxError as error:
        print('%s: %s' % (libsandbox.stage_name(error.stage), error), file=sys.stderr)
        return 125


if __name__ == '__main__':
    sys.exit(main())
