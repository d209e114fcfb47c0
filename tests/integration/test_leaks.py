# SPDX-License-Identifier: Apache-2.0
"""Nothing grows with the number of calls and sandboxes that there have been: memory, descriptors, namespaces,
interfaces, processes. With --long ten thousand calls, ten thousand sandboxes,
and a thousand at once; else a few hundred."""
import collections
import os
import subprocess

from harness.box import Box
from harness.registry import cases, check, descendants, equal, until
from test_host import SANITIZED, build

LONG = 'NSBOX_TEST_LONG' in os.environ


def status(pid, *names):
    with open('/proc/%d/status' % pid) as f:
        values = dict(line.split(':', 1) for line in f)
    return [int(values[n].split()[0]) for n in names]


def descriptors(pid):
    """Open ones; of what is not dumpable an ordinary user only sees how large the table is."""
    try:
        return len(os.listdir('/proc/%d/fd' % pid))
    except PermissionError:
        return status(pid, 'FDSize')[0]


def kernel_objects(name):
    """How many of a kind the kernel has, or None (root only)."""
    try:
        with open('/proc/slabinfo') as f:
            return next((int(line.split()[1]) for line in f if line.startswith(name + ' ')), None)
    except PermissionError:
        return None


def proportional(pids):
    """PSS of the processes in KiB; for an ordinary user, who may not see that, the anonymous memory alone."""
    total = 0
    for pid in pids:
        try:
            with open('/proc/%d/smaps_rollup' % pid) as f:
                total += next(int(line.split()[1]) for line in f if line.startswith('Pss:'))
        except PermissionError:
            total += status(pid, 'RssAnon')[0]
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


class Driver:
    def __init__(self, t):
        self.box = Box(t)
        program = build(t, t.tests + '/leaks.c', 'leaks')
        self.process = subprocess.Popen([program, self.box.work], env=self.box.env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.process.stdin.close()
        if kind is None:
            equal(self.process.wait(60), 0, 'exit status')
        else:
            self.process.kill()

    @staticmethod
    def below():
        """The driver and all that it started; what it does not own any more came to this process."""
        return descendants(os.getpid())

    def do(self, *words):
        """Milliseconds that it took."""
        self.process.stdin.write(' '.join(map(str, words)) + '\n')
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split(None, 1)
        check(answer and answer[0] == 'ok', '%r: %r' % (words, ' '.join(answer)))
        return float(answer[1])

    def idle(self, sandboxes=1):
        """Wait until what is made ahead is there, one call of each kind, and what has ended is gone; the number of
        processes of each name then."""
        last = [None, 0]

        def settled():
            now = collections.Counter(self.below().values())
            last[:] = [now, last[1] + 1 if now == last[0] else 0]
            # A prepared call is a guardian and the process that becomes the command.
            return last[1] > 40 and now['nsbox-guardian'] <= 2 * 2 * sandboxes
        until(settled, message='the processes do not settle: %r' % last)
        return dict(last[0])

    def measure(self):
        """process -> (resident KiB, descriptors)"""
        found = {}
        for pid, name in self.below().items():
            if name in ('leaks', 'nsbox-superviso', 'nsbox-launcher', 'nsbox-gateway'):
                found[name] = (status(pid, 'VmRSS')[0], descriptors(pid))
        check(len(found) >= 3, 'host, supervisor and launcher are there: %r' % found)
        return found


def no_growth(driver, before, after, what):
    check(set(before) == set(after), 'processes %r and %r' % (before, after))
    for name in before:
        grown = after[name][0] - before[name][0]
        check(grown < (1024 if not SANITIZED else 1 << 20), '%s: %s grew by %d KiB, %r to %r'
              % (what, name, grown, before, after))
        # What is made ahead may differ by a few; a table doubles once when more were open at some moment.
        most = before[name][1] + 16 if os.getuid() == 0 else before[name][1] * 2
        check(after[name][1] <= most, '%s: %s has %d descriptors, before %d'
              % (what, name, after[name][1], before[name][1]))


def grow(t, mode, what, n, warm):
    with Driver(t) as driver:
        driver.do('mode', mode)
        driver.do(what, warm)
        names, before, spaces = driver.idle(), driver.measure(), kernel_objects('net_namespace')
        took = driver.do(what, n)
        after_names, after = driver.idle(), driver.measure()
        check(after_names['nsbox-guardian'] <= 4, 'prepared calls: %r' % after_names)
        equal(dict(after_names, **{'nsbox-guardian': 0}), dict(names, **{'nsbox-guardian': 0}), 'processes')
        no_growth(driver, before, after, '%d %s, %s' % (n, what, mode))
        if spaces is not None:
            # Others on this machine have some too, a thousand for a while.
            until(lambda: kernel_objects('net_namespace') <= spaces + 200, 100, 'network namespaces: %r, before %r'
                  % (kernel_objects('net_namespace'), spaces))
        print('%d %s, %s: %.2f ms each; %s' % (n, what, mode, took / n, ', '.join(
            '%s %+d KiB %+d fds' % (k, after[k][0] - before[k][0], after[k][1] - before[k][1]) for k in before)))


@cases([('none', 'none'), ('gateway', 'gateway')], timeout=1200 if LONG else 120)
def calls(t, mode):
    grow(t, mode, 'calls', 10000 if LONG else 300, 1000 if LONG else 150)


@cases([('none', 'none'), ('gateway', 'gateway')], timeout=1200 if LONG else 120)
def sandboxes(t, mode):
    grow(t, mode, 'boxes', (10000 if mode == 'none' else 2000) if LONG else 60, 200 if LONG else 30)


@cases([('none', 'none', 1000, 1024), ('gateway', 'gateway', 100, 2048)], timeout=600 if LONG else 120)
def at_once(t, mode, most, limit):
    """Many idle ones in one runtime, and what one more costs."""
    with Driver(t) as driver:
        few, more = (most - 50, most) if LONG else (10, 30)
        driver.do('mode', mode)
        names = driver.idle()
        took = driver.do('hold', few)
        driver.idle(few + 1)
        first = proportional(driver.below())
        driver.do('hold', more)
        count = sum(driver.idle(more + 1).values())
        one = (proportional(driver.below()) - first) / (more - few)
        equal(driver.do('calls', 3) >= 0, True, 'calls beside them')
        down = driver.do('hold', 0)
        after = driver.idle()
        equal(dict(after, **{'nsbox-guardian': 0}), dict(names, **{'nsbox-guardian': 0}),
              'processes after all were removed')
        print('%d idle sandboxes at once, %s: %d processes, made in %.1f ms each, removed in %.1f ms each; '
              'one more has %.0f KiB (%s)' % (more, mode, count, took / few, down / more, one,
                                              'PSS' if os.geteuid() == 0 else 'anonymous, shared ones too'))
        if not SANITIZED and os.geteuid() == 0:
            # The target is the limit; here only what would be a leak of pages fails.
            check(one < 2 * limit, 'one more idle sandbox has %.0f KiB' % one)
