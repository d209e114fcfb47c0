#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Try to escape: every attempt inside a sandbox, with an oracle on the host and a negative control outside.

usage: run.py --prefix DIR | --nsbox PATH --probe PATH   [--with bwrap] [-v] [NUMBER|NAME...]
Prints `ok escape-NN-name`, `not ok escape-NN-name: why` or `skip escape-NN-name: why` for each. An attempt counts only
when the same attempt succeeds outside (the control), so that a broken probe cannot pass: else it is skipped.
--with bwrap runs a usual bubblewrap instead, to see what an attempt finds there."""
import argparse
import os
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import hooks    # noqa: E402
import host     # noqa: E402
import special  # noqa: E402
import table    # noqa: E402

NO_STEPS = {'setup', 'prepare', 'end'}


class Run:
    """One run of the probe: its steps, and what the host saw."""

    def __init__(self, command, place, attempt, result_file=None, control=False):
        self.place = place
        started = time.monotonic()
        helper = None
        if attempt.during:
            helper = threading.Thread(target=attempt.during, args=(place, control))
            helper.start()
        self.status, self.out, self.err, terminal = hooks.run_command(command, place, attempt.tty, attempt.stdin)
        if helper:
            helper.join()
        self.seconds = time.monotonic() - started
        self.typed = self.terminal_change = None
        if terminal:
            self.terminal_change = terminal.change()
            self.typed = terminal.typed() if not self.terminal_change else None
            terminal.close()
        text = self.out
        if result_file and os.path.exists(result_file):
            with open(result_file, errors='replace') as f:
                text = f.read()
        self.steps = []
        self.ended = False
        for line in text.splitlines():
            words = line.split(' ', 4)
            if words[0] == 'RESULT' and len(words) >= 4:
                self.ended |= words[2] == 'end'
                self.steps.append((words[2], words[3], words[4] if len(words) > 4 else ''))

    def failure(self):
        for step, token, detail in self.steps:
            if step == 'setup' or (step == 'died' and token == 'EXIT'):
                return 'the probe could not try: %s %s' % (token, detail)
        if not self.ended:
            return 'no result (status %s): %s' % (self.status, (self.err or self.out).strip()[-300:])
        return None


class Runner:
    def __init__(self, the_host, options):
        self.host = the_host
        self.options = options

    def inside(self, place, options, tail):
        if self.options.wrapper == 'bwrap':
            flags = ['--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc', '--bind', place.work, place.work,
                     '--unshare-all', '--new-session', '--die-with-parent', '--chdir', place.work]
            return ['/usr/bin/bwrap'] + flags + ['--'] + tail
        return [self.host.nsbox, 'run', '-C', place.work, '--read', place.ro] + options + ['--'] + tail

    def wrap(self, attempt, place, command):
        if attempt.wrap == 'world':
            return [self.host.probe, '@world', place.dir + '/world.log', place.share, place.work] + command
        if attempt.wrap == 'caller':
            return [self.host.probe, '@caller'] + command
        return command

    def try_inside(self, attempt, place):
        values = {'work': place.work, 'share': place.share, 'port': self.host.listener.port}
        options = [o.format(**values) for o in attempt.options]
        facts = dict(attempt.facts)
        result_file = None
        if attempt.tty:
            result_file = place.work + '/result'
            facts['out'] = result_file
            options.append('-t' if attempt.tty == 'private' else '-T')
        tail = [place.work + '/probe', str(attempt.number)] + place.arguments(**facts)
        return Run(self.wrap(attempt, place, self.inside(place, options, tail)), place, attempt, result_file)

    def try_control(self, attempt, place, kind):
        facts = dict(attempt.facts, control=1)
        result_file = None
        if kind != 'host':
            facts[kind] = 1
        if attempt.tty:
            result_file = place.work + '/result'
            facts['out'] = result_file
        command = [place.work + '/probe', str(attempt.number)] + place.arguments(**facts)
        if kind == 'world' or attempt.wrap == 'caller':
            command = self.wrap(attempt, place, command)
        return Run(command, place, attempt, result_file, control=True)

    def proven(self, attempt, name):
        """Steps that succeed outside, and the reason to skip when the attempt cannot be prepared."""
        steps, problems = set(), []
        for kind in attempt.controls:
            place = host.Place(self.host, name + '-' + kind)
            try:
                why = attempt.before(place) if attempt.before else None
                if why:
                    return set(), [why]
                run = self.try_control(attempt, place, kind)
                if self.options.verbose:
                    show('control ' + kind, run)
                if run.failure():
                    problems.append('%s: %s' % (kind, run.failure()))
                if attempt.control_proof and attempt.control_proof(run):
                    steps.add('effect')
                for step, token, _ in run.steps:
                    good = token not in attempt.allowed_for(step) if attempt.reach else token == 'ok'
                    if good and step not in attempt.positive | attempt.ignore | NO_STEPS:
                        steps.add(step)
            finally:
                place.close()
        self.host.unix_contacts()
        return steps, problems

    def attempt(self, attempt):
        name = 'escape-%02d-%s' % (attempt.number, attempt.name)
        needs_control = bool(attempt.allowed_for('any step') or set(attempt.allowed) - attempt.ignore - {'*'})
        steps, problems = self.proven(attempt, name) if needs_control else (set(), [])
        if needs_control and not steps:
            print('skip %s: the control has not succeeded outside%s' % (
                name, ': ' + '; '.join(problems) if problems else ' as this user'), flush=True)
            return True
        place = host.Place(self.host, name)
        try:
            if attempt.before:
                attempt.before(place)
            hooks.remember_product(place)
            contacts = self.host.listener.contacts
            run = self.try_inside(attempt, place)
            if self.options.verbose:
                show('inside', run)
            wrong = self.judge(attempt, place, run, steps, self.host.listener.contacts - contacts)
        finally:
            place.close()
        if wrong:
            print('not ok %s: %s' % (name, '; '.join(wrong)), flush=True)
            return False
        tried = {step for step, _, _ in run.steps} - NO_STEPS
        print('ok %s (%d steps, %d of them proven)' % (name, len(tried), len(tried & steps)), flush=True)
        return True

    def judge(self, attempt, place, run, proven, contacts):
        wrong = []
        if run.failure():
            return [run.failure()]
        seen = {step for step, _, _ in run.steps}
        for step, token, detail in run.steps:
            if step in NO_STEPS or (step == 'died' and step not in attempt.allowed):
                if step == 'died':
                    wrong.append('the probe died: %s' % detail)
                continue
            allowed = attempt.allowed_for(step)
            if token not in allowed:
                wrong.append('%s gave %s (%s), allowed %s%s' % (
                    step, token, detail.strip(), ' '.join(sorted(allowed)) or 'nothing',
                    '' if step in proven or step in attempt.positive else ' [no control]'))
        for step in sorted((proven | attempt.positive) - seen - {'effect'}):
            if step.split('-')[0] not in ('pair', 'descriptor') and step not in ('descriptor', 'umount-work'):
                wrong.append('%s was not tried' % step)
        if contacts > attempt.contacts:
            wrong.append('the listener of the host was reached %d times' % contacts)
        if self.host.secret in run.out:
            wrong.append('a secret of the host came out')
        if place.facts.get('stolen') or place.facts.get('knocked'):
            wrong.append('a port was published or taken: %s' % place.facts)
        came = self.host.unix_contacts()
        if came:
            wrong.append('a unix socket of the host was reached %d times' % came)
        for why in (place.touched(), attempt.oracle(place, run) if attempt.oracle else None):
            if why:
                wrong.append('oracle: ' + why)
        return wrong


def show(title, run):
    print('--- %s: status %s' % (title, run.status))
    for step, token, detail in run.steps:
        print('    %-24s %-14s %s' % (step, token, detail))
    if run.err.strip():
        print('    stderr: ' + run.err.strip()[-400:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--prefix')
    parser.add_argument('--nsbox')
    parser.add_argument('--probe')
    parser.add_argument('--with', dest='wrapper', choices=['nsbox', 'bwrap'], default='nsbox')
    parser.add_argument('-v', '--verbose', action='store_true')
    parser.add_argument('which', nargs='*')
    options = parser.parse_args()
    nsbox = options.nsbox or (os.path.join(options.prefix, 'bin/nsbox') if options.prefix else None)
    probe = options.probe or (os.path.join(options.prefix, '../build/tests/escape/escape-probe')
                              if options.prefix else None)
    if not probe or not os.access(probe, os.X_OK) or (options.wrapper == 'nsbox' and not (
            nsbox and os.access(nsbox, os.X_OK))):
        parser.error('needs --nsbox and --probe, or --prefix of an installation beside its build')
    the_host = host.Host(os.path.realpath(nsbox or '/nonexistent/bin/nsbox'), os.path.realpath(probe), options.wrapper)
    good = True
    try:
        runner = Runner(the_host, options)
        for attempt in table.attempts(hooks):
            if chosen(options.which, attempt.number, attempt.name):
                good &= runner.attempt(attempt)
        for number, name, function in special.TESTS:
            if chosen(options.which, number, name):
                good &= one_special(runner, number, name, function)
    finally:
        the_host.close()
    return 0 if good else 1


def chosen(which, number, name):
    return not which or str(number) in which or name in which


def one_special(runner, number, name, function):
    name = 'escape-%02d-%s' % (number, name)
    place = host.Place(runner.host, name)
    try:
        result, why = function(runner, place)
    except subprocess.TimeoutExpired as e:
        result, why = 'not ok', str(e)
    finally:
        place.close()
    print('%s %s%s' % (result, name, (': ' if result != 'ok' else ' ') + why if why else ''), flush=True)
    return result != 'not ok'


if __name__ == '__main__':
    sys.exit(main())
