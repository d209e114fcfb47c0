#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Try to escape: every attempt inside a sandbox, with an oracle on the host and a negative control outside.

usage: run.py --prefix DIR | --nsbox PATH --probe PATH   [--with bwrap] [--isolation light|full] [-v] [NUMBER|NAME...]
Prints `ok escape-NN-name`, `not ok escape-NN-name: why` or `skip escape-NN-name: why` for each. An attempt counts only
when the same attempt succeeds outside (the control), so that a broken probe cannot pass: else it is skipped.
--with bwrap runs a usual bubblewrap instead, to see what an attempt finds there. --isolation makes the attempts whose
outcome depends on it in a call of a named sandbox instead of nsbox run; the names end in -light or -full then."""
import argparse
import os
import shlex
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import box      # noqa: E402
import hooks    # noqa: E402
import host     # noqa: E402
import special  # noqa: E402
import special_more    # noqa: E402
import special_socket  # noqa: E402
import table    # noqa: E402

# Files, processes, /proc, network, IPC, terminals, namespaces, credentials; system calls meet the same filter in both.
BY_ISOLATION = {1, 2, 3, 4, 13, 14, 16, 17, 20} | set(range(23, 71)) | {77, 78} | set(range(82, 91)) | {91, 95}
# What nsbox exec knows; the rest is for nsbox create.
CALL_OPTIONS = ('-t', '-T', '--timeout')
# These make sandboxes and calls of both kinds, or are about nsbox run.
BOTH_BY_ITSELF = {name for _, name, _ in special_more.TESTS + special_socket.TESTS} | {'bad-directories'}
# One command for both, since a wrapper makes its surroundings for one. Arguments: nsbox, name, a file with the options
# for nsbox create, then those of nsbox exec.
CREATE_AND_EXEC = (
    'nsbox=$1 name=$2 options=$3; shift 3; '
    'eval "$nsbox create --name $name $(cat "$options")" >/dev/null || exit 125; '
    '"$nsbox" exec "$name" "$@"; status=$?; "$nsbox" rm -f "$name"; exit $status')

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

    def inside(self, place, options, tail, wrapped=False):
        if self.options.wrapper == 'bwrap':
            flags = ['--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc', '--bind', place.work, place.work,
                     '--unshare-all', '--new-session', '--die-with-parent', '--chdir', place.work]
            return ['/usr/bin/bwrap'] + flags + ['--'] + tail
        policy = ['-C', place.work, '--read', place.ro]
        if not self.options.isolation:
            return [self.host.nsbox, 'run'] + policy + options + ['--'] + tail
        call = ['--isolation', self.options.isolation]
        options = list(options)
        while options:
            word = options.pop(0)
            into = call if word in CALL_OPTIONS else policy
            into.append(word)
            if word not in ('-t', '-T'):
                into.append(options.pop(0))
        if not wrapped:
            return self.box(place, policy).words(self.options.isolation, tail, call[2:])
        with open(place.dir + '/options', 'w') as f:
            f.write(shlex.join(policy))
        return ['/bin/sh', '-c', CREATE_AND_EXEC, 'sh', self.host.nsbox, 'escape-' + host.word(12),
                place.dir + '/options', *call, '--', *tail]

    def box(self, place, policy):
        """A sandbox that is removed with the place."""
        made = box.Box(self.host.nsbox, place.environment, place.work, policy[2:])
        place.boxes.append(made)
        return made

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
        command = self.inside(place, options, tail, attempt.wrap)
        return Run(self.wrap(attempt, place, command), place, attempt, result_file)

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

    def title(self, number, name):
        return 'escape-%02d-%s%s' % (number, name, '-' + self.options.isolation if self.options.isolation else '')

    def attempt(self, attempt):
        name = self.title(attempt.number, attempt.name)
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
    parser.add_argument('--isolation', choices=['light', 'full'])
    parser.add_argument('-v', '--verbose', action='store_true')
    parser.add_argument('which', nargs='*')
    options = parser.parse_args()
    the_host = host.from_options(parser, options)
    good = True
    try:
        runner = Runner(the_host, options)
        for attempt in table.attempts(hooks):
            if chosen(options, attempt.number, attempt.name):
                try:
                    good &= runner.attempt(attempt)
                except Exception as e:  # noqa: BLE001
                    print('not ok %s: %s: %s' % (runner.title(attempt.number, attempt.name), type(e).__name__, e))
                    good = False
        for number, name, function in special.TESTS + special_more.TESTS + special_socket.TESTS:
            if chosen(options, number, name) and not (options.isolation and name in BOTH_BY_ITSELF):
                good &= one_special(runner, number, name, function)
    finally:
        the_host.close()
    return 0 if good else 1


def chosen(options, number, name):
    if options.isolation and number not in BY_ISOLATION:
        return False
    return not options.which or str(number) in options.which or name in options.which


def one_special(runner, number, name, function):
    name = runner.title(number, name)
    place = host.Place(runner.host, name)
    try:
        result, why = function(runner, place)
    except Exception as e:  # noqa: BLE001  # whatever it is, the other attempts are to be made
        result, why = 'not ok', '%s: %s' % (type(e).__name__, e)
    finally:
        place.close()
    print('%s %s%s' % (result, name, (': ' if result != 'ok' else ' ') + why if why else ''), flush=True)
    return result != 'not ok'


if __name__ == '__main__':
    sys.exit(main())
