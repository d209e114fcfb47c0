# SPDX-License-Identifier: Apache-2.0
"""The test registry and runner: each test in a process of its own, with a time limit and a check for what it left."""
import contextlib
import ctypes
import fnmatch
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

TESTS = []
SKIPPED = 77
LATE = 78
# So many tests of a layer may fail beside others and have it looked at again whether they fail alone.
SECOND_TIMES = 2
# But none of these: once is enough, where something is shown that must never happen.
NO_SECOND_TIME = ('auditor*', 'badinput*', 'children*', 'control*', 'fault*', 'grants*', 'hidden*', 'hide*', 'hostile*',
                  'inject*', 'mounts*', 'network*', 'protected*', 'revoke*', 'scrub*', 'secrets*', 'source*', 'view*')
PR_SET_CHILD_SUBREAPER = 36


class Skip(Exception):
    pass


class Timeout(BaseException):
    pass


class Late(AssertionError):
    """What was waited for did not come in its time."""


def test(function=None, *, timeout=60):
    """Register a test; it is called with a Context."""
    def register(f):
        TESTS.append((f.__module__.replace('test_', '') + '.' + f.__name__, f, timeout))
        return f
    return register(function) if function else register


def cases(values, **kwargs):
    """Register one test for each (name, arguments...) of the list."""
    def register(f):
        for name, *arguments in values:
            def one(t, arguments=arguments):
                f(t, *arguments)
            one.__module__, one.__name__ = f.__module__, f.__name__ + '.' + name
            test(one, **kwargs)
        return f
    return register


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def equal(got, want, what='value'):
    if got != want:
        raise AssertionError('%s: got %.1500r, want %.700r' % (what, got, want))


def until(condition, seconds=60, message='it did not happen in time'):
    """Wait until the condition holds; returns its value. A good machine needs a moment of the time, a loaded one all of
    it: only where the time itself is the point is it short."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Late(message)
        time.sleep(0.02)


def processes():
    """pid -> (parent, name, state) of all processes that can be seen."""
    table = {}
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            try:
                with open('/proc/%s/stat' % entry, 'rb') as f:
                    stat = f.read()
            except OSError:
                continue
            name, rest = stat[stat.index(b'(') + 1:stat.rindex(b')')], stat[stat.rindex(b')') + 2:].split()
            table[int(entry)] = (int(rest[1]), name.decode('latin-1'), rest[0].decode())
    return table


def marked(word):
    """pids of living processes with this word among their arguments: a call as the host sees it."""
    found = []
    for pid in processes():
        try:
            with open('/proc/%d/cmdline' % pid, 'rb') as f:
                words = f.read().split(b'\0')
            with open('/proc/%d/stat' % pid, errors='replace') as f:
                state = f.read().rsplit(') ', 1)[1][0]
        except OSError:
            continue
        if word.encode() in words and state not in 'ZX':
            found.append(pid)
    return found


def descendants(pid, table=None):
    """pid -> name of every living process below pid. Orphans count, since each test is a subreaper."""
    table = table or processes()
    found, grown = {}, True
    known = {pid}
    while grown:
        grown = False
        for child, (parent, name, state) in table.items():
            if parent in known and child not in known:
                known.add(child)
                grown = True
                if state not in 'ZX':
                    found[child] = name
    return found


class Context:
    """What a test gets: a directory of its own, the certificates, and where the build is."""

    def __init__(self, directory, options, pki):
        self.tmp = directory
        self.prefix = options.prefix
        self.slowness = getattr(options, 'slowness', 1.0)
        self.tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        self.pki = pki

    def path(self, *names):
        return os.path.join(self.tmp, *names)

    def write(self, name, content=''):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb' if isinstance(content, bytes) else 'w') as f:
            f.write(content)
        return path

    @staticmethod
    def skip(why):
        raise Skip(why)


def remove(directory):
    """And what is in it, whatever its mode, that of the work directory of an overlay is 000, and however deep."""
    with contextlib.suppress(RecursionError):
        shutil.rmtree(directory, ignore_errors=True)
    if os.path.exists(directory):
        subprocess.run(['chmod', '-R', 'u+rwX', directory], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(['rm', '-rf', directory], stderr=subprocess.DEVNULL, check=False)


def subreaper():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def leftovers(seconds):
    """Names of the processes below this one that do not end within the time; they are killed."""
    end = time.monotonic() + seconds
    while True:
        reap()
        left = descendants(os.getpid())
        if not left or time.monotonic() > end:
            break
        time.sleep(0.02)
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    return sorted(left.values())


def child(function, options, pki, report):
    """Run one test. Never returns."""
    os.setsid()
    subreaper()
    code = 0
    directory = tempfile.mkdtemp(prefix='nsbox-test-')

    def expire(number, frame):
        raise Timeout()

    signal.signal(signal.SIGTERM, expire)
    try:
        function(Context(directory, options, pki))
        grace = 5 * options.slowness
        left = leftovers(grace)
        if left:
            code = 1
            report.write('left behind %d s after the end: %s\n' % (grace, ', '.join(left)))
    except Skip as why:
        code = SKIPPED
        report.write('%s\n' % why)
    except Timeout:
        code = LATE
        traceback.print_exc()
        report.write('no end within its time\n')
    except (Late, subprocess.TimeoutExpired) as error:
        code = LATE
        traceback.print_exc()
        report.write('%s\n' % str(error)[:2000])
    except BaseException as error:
        code = 1
        traceback.print_exc()
        report.write('%s: %s\n' % (type(error).__name__, str(error).split('\n')[0][:2000]))
    finally:
        # Whatever fails here: this process is never the one that runs the other tests, and ends what they use.
        try:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            leftovers(0)
            if not (options.keep and code in (1, LATE)):
                remove(directory)
            else:
                report.write('kept: %s\n' % directory)
            report.flush()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


class Running:
    def __init__(self, test, options, pki):
        name, function, timeout = self.test = test
        self.name = name
        self.report = tempfile.TemporaryFile('w+')
        self.log = tempfile.TemporaryFile('w+')
        sys.stdout.flush()
        self.started = time.monotonic()
        self.deadline = self.started + timeout * options.slowness
        self.killed = False
        self.pid = os.fork()
        if self.pid == 0:
            null = os.open('/dev/null', os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(self.log.fileno(), 1)
            os.dup2(self.log.fileno(), 2)
            child(function, options, pki, self.report)

    def show_log(self):
        self.log.seek(0)
        for line in self.log.read().splitlines()[-60:]:
            print('#   ' + line[:2000])

    def poll(self):
        """None while it runs, else (verdict, reason)."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.report.seek(0)
            why = '; '.join(self.report.read().strip().splitlines())
            if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
                return 'ok', ''
            if os.WIFEXITED(status) and os.WEXITSTATUS(status) == SKIPPED:
                return 'skip', why
            late = os.WIFEXITED(status) and os.WEXITSTATUS(status) == LATE
            return 'late' if late else 'not ok', why or 'the test process died with status %d' % status
        now = time.monotonic()
        if now > self.deadline and not self.killed:
            self.killed = True
            os.kill(self.pid, signal.SIGTERM)
        elif now > self.deadline + 15:
            for victim in [*descendants(self.pid), self.pid]:
                try:
                    os.kill(victim, signal.SIGKILL)
                except OSError:
                    pass
        return None


def run_all(options, pki):
    """
    Run the chosen tests, print a line for each; returns the number of failures. A limit that passes while others run says
    little: such a test runs again, alone, when they have ended. So do a few of those that fail otherwise: what only other
    tests of the same user disturb is told apart so from what is broken. Each first time is shown, in any case.
    """
    chosen = [x for x in TESTS if not options.patterns or
              any(fnmatch.fnmatch(x[0], p) or fnmatch.fnmatch(x[0], p + '.*') for p in options.patterns)]
    if not chosen:
        print('no test has such a name', file=sys.stderr)
        return 1
    if options.list:
        for name, _, _ in chosen:
            print(name)
        return 0
    waiting, running, failed = list(chosen), [], 0
    again, alone, second_times = [], False, 0
    while waiting or running or again:
        if not waiting and not running:
            waiting, again, alone = again, [], True
        while waiting and len(running) < (1 if alone else options.jobs):
            running.append(Running(waiting.pop(0), options, pki))
        for one in list(running):
            result = one.poll()
            if result is None:
                continue
            running.remove(one)
            verdict, why = result
            late = verdict == 'late'
            verdict = 'not ok' if late else verdict
            took = time.monotonic() - one.started
            final = second_times == SECOND_TIMES or any(fnmatch.fnmatch(one.name, p) for p in NO_SECOND_TIME)
            if verdict == 'not ok' and not alone and (late or not final):
                second_times += not late
                again.append(one.test)
                print('# first time: %s: %s' % (one.name, why))
            else:
                failed += verdict == 'not ok'
                print(verdict + ' ' + one.name + (': ' + why if why else '') + (' (%.1f s)' % took if took > 5 else ''))
            if verdict == 'not ok' or options.verbose:
                one.show_log()
            sys.stdout.flush()
        time.sleep(0.005)
    return failed
