#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The end of a call is the end of everything it started, whatever that does to live on.

usage: sibling_end.py --prefix DIR | --nsbox PATH --probe PATH   [NAME...]
Each command leaves processes behind (leave.c), and when its end has been reported none of them may be there. The
control leaves the same ones outside, where they stay."""
import argparse
import os
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import box      # noqa: E402
import host     # noqa: E402
import special  # noqa: E402

KINDS = ('daemon', 'stopped', 'traced', 'nested', 'subreaper', 'headless', 'vfork', 'all')
PORT = 8080


class Ends:
    def __init__(self, the_host):
        self.host = the_host
        self.place = host.Place(the_host, 'ends')
        self.box = box.Box(the_host.nsbox, self.place.environment, self.place.work,
                           ['--allow', 'http://canary.invalid:%d' % PORT])
        self.probe = self.place.work + '/probe'

    def close(self):
        self.box.close()
        self.place.close()

    def leave(self, kind, mark, *more):
        return [self.probe, '@leave', kind, mark] + list(more)

    def control(self, kind, *more):
        """Whether the same processes stay outside; ends them."""
        mark = 'mark-' + host.word()
        process = subprocess.Popen(self.leave(kind, mark, *more), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True)
        process.wait(60)
        time.sleep(0.1)
        stay = len(host.own_processes(mark))
        for _ in range(50):
            special.kill_left(mark)
            if special.gone(mark, 0.2):
                break
        return stay > 0

    def kind(self, kind, isolation):
        if not self.control(kind):
            return 'skip', 'outside nothing of it stays'
        mark = 'mark-' + host.word()
        status, out, err = self.box.run(isolation, self.leave(kind, mark))
        left = host.own_processes(mark)
        if status != 7:
            return 'not ok', 'status %d %s' % (status, err.strip()[-200:])
        return ('not ok', 'left: %s' % left) if left else ('ok', '')

    def forking(self, isolation):
        """500 processes that fork all the time: none escapes the one signal that ends them."""
        if not self.control('forking', '3', 'slowly'):
            return 'skip', 'outside nothing of it stays'
        # Until it was fast once, and looked at, on a machine that others use.
        for _ in range(3):
            left, most, seconds = self.storm(isolation)
            if left or most >= 200 and seconds < 15:
                break
        if left:
            return 'not ok', left
        if most < 200:
            return 'not ok', 'only %d processes were seen' % most
        # Nor is it heard late: its command takes a second or so, the storm would last for half a minute.
        return ('not ok', 'the end was told after %.0f s' % seconds) if seconds > 15 else ('ok', '%d at once' % most)

    def storm(self, isolation):
        """What is wrong with its end; how many processes were seen, and for how long."""
        # Too short-lived to be listed one by one.
        before, most = processes(), 0
        supervisor = box.supervisor(self.host.nsbox, self.place.environment, self.box.name)
        mark = 'mark-' + host.word()
        started = time.monotonic()
        process = self.box.start(isolation, self.leave('forking', mark, '500'))
        while process.poll() is None:
            most = max(most, processes() - before)
        left = [p for p in host.descendants(supervisor) if box.comm(p) == 'probe']
        if drain(process) != 7 or left or host.own_processes(mark):
            return 'status %s, left %s, %s' % (process.returncode, left, host.own_processes(mark)), most, 0
        return '', most, time.monotonic() - started

    def forking_killed(self, isolation):
        """The time limit holds in such a storm."""
        for _ in range(3):
            mark = 'mark-' + host.word()
            started = time.monotonic()
            process = self.box.start(isolation, self.leave('forking', mark, '200', 'stay'), ['--timeout', '1s'])
            status, seconds = drain(process), time.monotonic() - started
            left = len(host.own_processes(mark))
            if status != 124 or left:
                break
            if seconds < 15:
                return 'ok', ''
        return 'not ok', 'status %d after %.0f s, left %d' % (status, seconds, left)

    def killer(self, isolation):
        """A call that kills its own command: reported as that, and the killer is gone too."""
        mark = 'mark-' + host.word()
        status, _, err = self.box.run(isolation, self.leave('killer', mark))
        left = host.own_processes(mark)
        if status != 137 or left:
            return 'not ok', 'status %d, left %s %s' % (status, left, err.strip()[-100:])
        return 'ok', ''

    def client_killed(self, isolation):
        """kill -9 of nsbox exec: the call ends, its sandbox stays."""
        mark = 'mark-' + host.word()
        process = self.box.start(isolation, ['/bin/sh', '-c', '"$@"; sleep 1000', 'sh'] + self.leave('all', mark))
        if not host.wait_until(lambda: len(host.own_processes(mark)) > 10, 60):
            return 'not ok', 'it did not start'
        process.kill()
        drain(process)
        gone = special.gone(mark)
        if not gone or not self.box.alive():
            return 'not ok', 'left: %s' % host.own_processes(mark)
        return 'ok', ''

    def many(self, isolation):
        """64 calls at once, each leaving some of every kind."""
        mark = 'mark-' + host.word()
        calls = [self.box.start(isolation, self.leave('all', '%s-%d' % (mark, i)), stdin=subprocess.DEVNULL)
                 for i in range(64)]
        results = []
        threads = [threading.Thread(target=lambda c=c, i=i: results.append(
            (drain(c), host.own_processes('%s-%d ' % (mark, i))))) for i, c in enumerate(calls)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        bad = [r for r in results if r[0] != 7 or r[1]]
        if bad or len(results) != 64:
            return 'not ok', '%d of %d: %s' % (len(bad), len(results), str(bad[:2])[:300])
        if host.own_processes(mark) or not self.box.alive():
            return 'not ok', 'left: %s' % host.own_processes(mark)
        return 'ok', ''

    def background(self, isolation):
        """--background: what is left goes on, as part of its call, until the sandbox is removed."""
        b = box.Box(self.host.nsbox, self.place.environment, self.place.work)
        mark, wrong = 'mark-' + host.word(), []
        try:
            status = self.in_background(b, isolation, mark)
            before = len(host.own_processes(mark))
            time.sleep(0.3)
            if status != 7 or before < 10 or len(host.own_processes(mark)) < before:
                wrong.append('status %d, %d processes stay of %d' % (status, len(host.own_processes(mark)), before))
            # A usual call beside it ends as usual.
            if self.kind_in(b, isolation):
                wrong.append(self.kind_in(b, isolation))
        finally:
            status, _, err = b.close()
        left = host.own_processes(mark)
        if status or left:
            wrong.append('nsbox rm -f: %d %s, left %s' % (status, err.strip()[-100:], left))
        return ('not ok', '; '.join(wrong)) if wrong else ('ok', '')

    def in_background(self, b, isolation, mark):
        """Without a pipe, whose end would wait for who is left."""
        process = b.start(isolation, self.leave('all', mark), ['--background'], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return process.wait(60)

    def kind_in(self, b, isolation):
        mark = 'mark-' + host.word()
        status, _, err = b.run(isolation, self.leave('daemon', mark))
        left = host.own_processes(mark)
        return 'beside it: status %d, left %s' % (status, left) if status != 7 or left else None

    def detached(self, isolation):
        """-d, and a signal to the call: everything of it ends, nothing of its sibling."""
        one, two = 'mark-' + host.word(), 'mark-' + host.word()
        b = box.Box(self.host.nsbox, self.place.environment, self.place.work)
        try:
            names = []
            for mark in (one, two):
                command = ['/bin/sh', '-c', '"$@"; sleep 1000', 'sh'] + self.leave('all', mark)
                names.append(b.run(isolation, command, ['-d'])[1].strip())
            if not host.wait_until(lambda: min(len(host.own_processes(m)) for m in (one, two)) > 10, 60):
                return 'not ok', 'they did not start: %s' % names
            status, _, err = b.command('kill', b.name, names[0])
            if not special.gone(one) or status:
                return 'not ok', 'left: %s %s' % (host.own_processes(one), err)
            if len(host.own_processes(two)) < 10:
                return 'not ok', 'the sibling was hit'
        finally:
            b.close()
        return ('ok', '') if special.gone(two) else ('not ok', 'left after nsbox rm -f: %s' % host.own_processes(two))

    def supervisor_killed(self, isolation):
        """kill -9 of the supervisor ends all calls within a second."""
        # Until it was fast once, on a machine that others use.
        for _ in range(5):
            b = box.Box(self.host.nsbox, self.place.environment, self.place.work)
            mark = 'mark-' + host.word()
            self.in_background(b, isolation, mark)
            process = b.start(isolation, self.leave('forking', mark, '50'))
            time.sleep(0.05)
            os.kill(box.supervisor(self.host.nsbox, self.place.environment, b.name), signal.SIGKILL)
            started = time.monotonic()
            gone, seconds = special.gone(mark), time.monotonic() - started
            drain(process)
            b.close()
            if not gone:
                return 'not ok', 'left: %d' % len(host.own_processes(mark))
            if seconds < 1:
                return 'ok', ''
        return 'not ok', 'they lived for %.1f s' % seconds

    def lent_sockets(self, isolation):
        """A socket that a call passed to another works as long as the call lives, and for nothing afterwards."""
        path = '/tmp/lent-' + host.word()
        borrower = self.box.start(isolation, [self.probe, '@borrow', path, str(PORT)])
        borrower.stdout.readline()
        lender = self.box.start(isolation, [self.probe, '@lend', path])
        lender.stdout.readline()
        first = b''
        while b'TRIED' not in first:
            line = borrower.stdout.readline()
            if not line:
                break
            first += line
        lender.stdin.close()
        lender.stdin = None
        drain(lender)
        out = first.decode() + borrower.communicate(b'go\n', timeout=60)[0].decode()
        rows = special.steps(out)
        if rows.get('alive') != 'ok':
            return 'skip', 'the gateway did not answer while the call lived: %s' % rows
        wrong = [r for r in ('kept-connection', 'new-connection', 'question') if rows.get(r, 'ok') == 'ok']
        return ('not ok', 'still of use: %s %s' % (wrong, rows)) if wrong else ('ok', '')


def processes():
    """Of the whole machine."""
    with open('/proc/loadavg') as f:
        return int(f.read().split()[3].split('/')[1])


def drain(process):
    """The exit status; the pipes of it are read and closed."""
    try:
        process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    return process.returncode


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--prefix')
    parser.add_argument('--nsbox')
    parser.add_argument('--probe')
    parser.add_argument('which', nargs='*')
    options = parser.parse_args()
    the_host = host.from_options(parser, options)
    good = True
    try:
        ends = Ends(the_host)
        try:
            tests = [('end-' + k, lambda isolation, k=k: ends.kind(k, isolation)) for k in KINDS]
            tests += [('end-' + f.__name__.replace('_', '-'), f) for f in (
                ends.forking, ends.forking_killed, ends.killer, ends.client_killed, ends.many, ends.background,
                ends.detached, ends.supervisor_killed, ends.lent_sockets)]
            for name, function in tests:
                for isolation in ('light', 'full'):
                    if options.which and name not in options.which:
                        continue
                    try:
                        result, why = function(isolation)
                    except Exception as e:  # noqa: BLE001  # whatever it is, the others are to run
                        result, why = 'not ok', '%s: %s' % (type(e).__name__, e)
                    print('%s %s-%s%s' % (result, name, isolation, ': ' + why if why else ''), flush=True)
                    good &= result != 'not ok'
        finally:
            ends.close()
    finally:
        the_host.close()
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
