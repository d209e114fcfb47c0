# SPDX-License-Identifier: Apache-2.0
"""Attempts whose both halves are on the host: comparing namespaces, scanning the memory and command lines of the
sandbox's processes, ending what does not want to end. Each returns ('ok' | 'not ok' | 'skip', why)."""
import os
import signal
import subprocess
import threading
import time

import box
import host
import hooks

NAMESPACES = ('user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup')


def steps(text):
    return {w[2]: w[3] for w in (line.split(' ', 4) for line in text.splitlines()) if w[0] == 'RESULT' and len(w) > 3}


def namespace_inodes(runner, place):
    """64: all seven differ from the host's."""
    tail = [place.work + '/probe', '64'] + place.arguments()
    control = steps(subprocess.run(tail + ['control=1'], stdout=subprocess.PIPE, text=True, timeout=60).stdout)
    own = {n: str(os.stat('/proc/self/ns/' + n).st_ino) for n in NAMESPACES}
    if any(control.get(n) != own[n] for n in NAMESPACES):
        return 'skip', 'the control has other namespaces than the test: %s' % control
    status, out, err, _ = hooks.run_command(runner.inside(place, [], tail), place)
    inside = steps(out)
    shared = [n for n in NAMESPACES if inside.get(n, own[n]) == own[n]]
    if shared:
        return 'not ok', 'shared or not shown: %s (status %s) %s' % (' '.join(shared), status, err[-200:])
    return 'ok', ''


def bad_directories(runner, place):
    """86: a working directory that is a trick is refused before anything runs."""
    flag = place.work + '/has-run'
    fd = os.open('/', os.O_RDONLY | os.O_DIRECTORY)
    gone = place.dir + '/gone'
    os.mkdir(gone)
    gone_fd = os.open(gone, os.O_RDONLY | os.O_DIRECTORY)
    os.rmdir(gone)

    def run(directory):
        done = subprocess.run([runner.host.nsbox, 'run', '-C', directory, '--', '/usr/bin/touch', flag],
                              env=place.environment, pass_fds=(fd, gone_fd), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60, cwd='/')
        return done.returncode, done.stderr
    try:
        status, err = run(place.work)
        if status or not os.path.exists(flag):
            return 'not ok', 'a usual directory was refused: %s' % err
        os.unlink(flag)
        wrong = []
        for directory in ('/proc/self/fd/%d' % fd, '/proc/self/fd/%d' % gone_fd, '/proc/1/cwd', '/proc/self/root', gone,
                          '/', place.home, os.path.dirname(place.home), '/proc', place.work + '/plain', '',
                          place.work + '\n', place.work + '/../../../../../..'):
            status, err = run(directory)
            if status != 125 or not err.startswith('nsbox: ') or os.path.exists(flag):
                wrong.append('%r gave %d %s' % (directory, status, err.strip()[-100:]))
        return ('not ok', '; '.join(wrong)) if wrong else ('ok', '')
    finally:
        os.close(fd)
        os.close(gone_fd)


def memory_has(pid, needle):
    """Whether needle is in the memory of pid; None when it cannot be read."""
    try:
        with open('/proc/%d/maps' % pid) as maps, open('/proc/%d/mem' % pid, 'rb', 0) as mem:
            read = False
            for line in maps:
                area, rights = line.split()[:2]
                if not rights.startswith('r') or line.rstrip().endswith(('[vvar]', '[vsyscall]', '[vvar_vclock]')):
                    continue
                start, end = (int(x, 16) for x in area.split('-'))
                try:
                    mem.seek(start)
                    data = mem.read(min(end - start, 64 << 20))
                except (OSError, ValueError, OverflowError):
                    continue
                read = True
                if needle in data:
                    return True
            return False if read else None
    except OSError:
        return None


def running(runner, place, options, look):
    """Calls look(client pid, processes below it) while a command waits inside."""
    tail = [place.work + '/probe', '@meet', place.work]
    before = {p for p in os.listdir('/proc') if p.isdigit()}
    process = subprocess.Popen(runner.inside(place, options, tail), env=place.environment, cwd=place.work,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        if not hooks.wait_ready(place):
            process.kill()
            return 'the command did not start: %s' % process.communicate()[0].decode()[-300:]
        # The supervisor is nobody's child, so what counts is what is new and belongs to us by its program. Another run
        # of these attempts may be at work, whose probe has, as a control, just read what this user's processes have.
        mine = set()
        for name in os.listdir('/proc'):
            if not name.isdigit() or name in before:
                continue
            try:
                with open('/proc/%s/cmdline' % name, errors='replace') as f:
                    words = f.read()
            except OSError:
                continue
            if box.comm(int(name)).startswith('nsbox') or place.work + '/probe' in words:
                mine.add(int(name))
        return look(process.pid, mine)
    finally:
        hooks.go(place)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def secret_in_memory(runner, place):
    """89: the value is in nobody's memory but the client's (its source), the gateway's, and the helper's that is gone."""
    # The comparison value: bytes, never in an environment of a process started for the sandbox but the client.
    needle = runner.host.secret.encode()
    place.environment['REAL_KEY'] = runner.host.secret + '-real'
    if not memory_has(place.victim.pid, needle):
        return 'skip', 'the memory of a process of this user cannot be read (the control)'

    def look(client, mine):
        found, unreadable, looked = [], [], 0
        for pid in mine - {client}:
            comm = box.comm(pid)
            if not comm or comm.startswith('nsbox-gateway'):
                continue
            has = memory_has(pid, needle)
            looked += has is not None
            if has:
                found.append('%s (%d)' % (comm, pid))
            if has is None:
                unreadable.append(comm)
        if found:
            return 'the secret is in the memory of ' + ', '.join(found)
        if not looked and os.getuid() == 0:
            return 'no process could be looked at: %s' % unreadable
        return None
    why = running(runner, place, ['--secret', 'REAL_KEY@https://api.invalid/**', '--allow', 'https://api.invalid/**'],
                  look)
    return ('not ok', why) if why else ('ok', '')


def secret_in_arguments(runner, place):
    """90: no command line and no environment of a process of the sandbox has the value."""
    needle = runner.host.secret.encode()
    place.environment['REAL_KEY'] = runner.host.secret + '-real'
    with open('/proc/%d/environ' % place.victim.pid, 'rb') as f:
        if needle not in f.read():
            return 'skip', 'the environment of a process of this user cannot be read (the control)'

    def look(client, mine):
        found, looked = [], 0
        for pid in mine:
            for name in ('cmdline', 'environ'):
                if pid == client and name == 'environ':
                    continue
                try:
                    with open('/proc/%d/%s' % (pid, name), 'rb') as f:
                        looked += 1
                        if needle in f.read():
                            found.append('%s of %s' % (name, box.comm(pid)))
                except OSError:
                    pass
        if found:
            return 'the secret is in ' + ', '.join(found)
        return None if looked >= 3 else 'only %d files could be looked at' % looked
    why = running(runner, place, ['--secret', 'REAL_KEY@https://api.invalid/**', '--allow', 'https://api.invalid/**'],
                  look)
    return ('not ok', why) if why else ('ok', '')


def stays(command, environment, seconds):
    """The control: outside, this goes on although it was asked to end. Ends it."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    time.sleep(0.3)
    for pid in host.descendants(process.pid):
        os.kill(pid, signal.SIGTERM)
    time.sleep(seconds)
    try:
        return process.poll() is None
    finally:
        process.kill()
        process.wait()


def gone(marker, seconds=30):
    return host.wait_until(lambda: not host.own_processes(marker), seconds)


def kill_left(marker):
    for pid in host.own_processes(marker):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass


def limited(runner, place, tail, limit):
    """A run with a time limit: how it ended, and when."""
    started = time.monotonic()
    done = subprocess.run(runner.inside(place, ['--timeout', '%ds' % limit], tail), env=place.environment, cwd=place.work,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    return done, time.monotonic() - started


def stubborn_tree(runner, place):
    """98: nobody ends by being asked; --timeout and a signal to nsbox end all of it within the grace time."""
    marker = 'marker-' + host.word()
    tail = [place.work + '/probe', '98'] + place.arguments(stubborn=marker)
    if not stays(tail + ['control=1'], place.environment, 0.5):
        return 'skip', 'the tree ended by itself outside'
    kill_left(marker)
    # Long enough for the tree to grow deaf, on a machine that others use. Then it is KILL that ends it, 5 s later.
    for limit in (1, 5, 20):
        done, seconds = limited(runner, place, tail, limit)
        if seconds > limit + 4:
            break
    wrong = []
    if done.returncode != 124 or not limit + 4 < seconds < limit + 25:
        wrong.append('--timeout %ds ended with %d after %.1f s %s' % (limit, done.returncode, seconds, done.stderr[-200:]))
    if not gone(marker):
        wrong.append('left after the time limit: %s' % host.own_processes(marker))
        kill_left(marker)
    process = subprocess.Popen(runner.inside(place, [], tail), env=place.environment, cwd=place.work,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    if not gone(marker):
        wrong.append('left after nsbox was killed: %s' % host.own_processes(marker))
        kill_left(marker)
    return ('not ok', '; '.join(wrong)) if wrong else ('ok', '')


def burn(runner, place, tail):
    """A run with a limit of a second: how it ended, when, and the longest time that a thread of the host did not run."""
    longest = [0.0]
    stop = threading.Event()

    def watch():
        while not stop.is_set():
            before = time.monotonic()
            time.sleep(0.01)
            longest[0] = max(longest[0], time.monotonic() - before)
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        done, seconds = limited(runner, place, tail, 1)
    finally:
        stop.set()
        thread.join()
    return done, seconds, longest[0]


def burning_tree(runner, place):
    """97: all processors busy; the time limit ends it, and the host answers meanwhile."""
    marker = 'marker-' + host.word()
    tail = [place.work + '/probe', '97'] + place.arguments(burn=marker)
    wrong = []
    # Until it was fast once, on a machine that others use.
    for _ in range(5):
        done, seconds, longest = burn(runner, place, tail)
        if done.returncode != 124 or seconds < 0.9:
            wrong.append('--timeout 1s ended with %d after %.1f s' % (done.returncode, seconds))
        if wrong or seconds < 4 and longest < 1:
            break
    else:
        wrong.append('the limit of 1 s ended it after %.1f s, and the host did not run for %.1f s' % (seconds, longest))
    if not gone(marker):
        wrong.append('left: %s' % host.own_processes(marker))
        kill_left(marker)
    return ('not ok', '; '.join(wrong)) if wrong else ('ok', '')


def processes_return(runner, place):
    """91: after a bomb in the sandbox, the number of processes on the host is what it was."""
    marker = 'marker-' + host.word()
    tail = [place.work + '/probe', '91'] + place.arguments(bomb=5000, marker=marker)
    done = subprocess.run(runner.inside(place, [], tail), env=place.environment, cwd=place.work,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=90)
    made = steps(done.stdout.decode(errors='replace')).get('processes')
    if made != 'EAGAIN':
        return 'not ok', 'the default limit (4096) did not hold: %s %s' % (made, done.stderr[-200:])
    if not gone(marker):
        left = len(host.own_processes(marker))
        kill_left(marker)
        return 'not ok', '%d processes left' % left
    return 'ok', ''


TESTS = [
    (64, 'namespace-inodes', namespace_inodes),
    (86, 'bad-directories', bad_directories),
    (89, 'secret-in-memory', secret_in_memory),
    (90, 'secret-in-arguments', secret_in_arguments),
    (91, 'default-process-limit', processes_return),
    (97, 'burning-tree', burning_tree),
    (98, 'stubborn-tree', stubborn_tree),
]
