# SPDX-License-Identifier: Apache-2.0
"""nsbox run -t, seen from the terminal outside: the pty module stands for the user's terminal."""
import os
import signal
import termios
import time

from harness.box import Box
from harness.registry import check, equal, marked, test, until
from harness.terminal import Terminal


def unique():
    """So many seconds to sleep as no other process of this machine has among its arguments."""
    return '3142.%07d' % os.getpid()


def in_front(term, number):
    """Whether the sleep of this number is what the terminal inside would send signals to; shows meanwhile what comes."""
    term.pump(0)
    for pid in marked(number):
        with open('/proc/%d/stat' % pid, errors='replace') as f:
            fields = f.read().rsplit(') ', 1)[1].split()
        group, foreground = fields[2], fields[5]
        with open('/proc/%d/comm' % pid, errors='replace') as f:
            if f.read() == 'sleep\n' and group == foreground:
                return True
    return False


@test
def terminal_inside_is_a_private_one(t):
    box = Box(t)
    term = Terminal(box, 'run', '-t', '--', 'sh', '-c', 'tty; test -t 0 && test -t 1 && test -t 2 && echo all; stty size')
    term.expect(rb'/dev/pts/\d+')
    term.expect(rb'all')
    term.expect(rb'40 100')
    equal(term.wait(), 0, 'exit status')


@test
def terminal_by_default_on_a_terminal(t):
    term = Terminal(Box(t), 'run', '--', 'sh', '-c', 'test -t 0 && echo has one')
    term.expect(rb'has one')
    equal(term.wait(), 0, 'exit status')


@test
def no_terminal_with_capital_t(t):
    term = Terminal(Box(t), 'run', '-T', '--', 'sh', '-c', 'tty </dev/tty; echo "status $?"')
    term.expect(rb'status [1-9]')
    term.wait()


@test
def terminal_without_one_outside(t):
    result = Box(t).run('sh', '-c', 'test -t 1 && echo has one', flags=['-t'])
    check('has one' in result.out or (result.code == 125 and '-t' in result.err), '%r' % result)


@test
def terminal_ctrl_c(t):
    number = unique()
    term = Terminal(Box(t), 'run', '-t', '--', 'sh', '-c',
                    'trap "echo caught" INT; echo ready; sleep %s; echo after' % number)
    term.expect(rb'ready')
    until(lambda: in_front(term, number), 60, 'it does not sleep')
    term.type(b'\x03')
    term.expect(rb'caught')
    term.expect(rb'after')
    equal(term.wait(), 0, 'exit status')


@test
def terminal_ctrl_c_ends_a_plain_command(t):
    term = Terminal(Box(t), 'run', '-t', '--', 'sh', '-c', 'echo ready; exec sleep 600')
    term.expect(rb'ready')
    term.type(b'\x03')
    equal(term.wait(), 128 + signal.SIGINT, 'exit status')


@test
def terminal_ctrl_d(t):
    term = Terminal(Box(t), 'run', '-t', '--', 'sh', '-c', 'echo ready; cat; echo ended')
    term.expect(rb'ready')
    term.type(b'hello\n')
    term.expect(rb'hello\r\nhello')
    term.type(b'\x04')
    term.expect(rb'ended')
    equal(term.wait(), 0, 'exit status')


@test
def terminal_job_control(t):
    term = Terminal(Box(t), 'run', '-t', '--', '/bin/bash', '--norc', '--noprofile', '-i')
    term.expect(rb'\$ |# ')
    check(b'no job control' not in term.seen, 'bash has job control')
    number = unique()
    sleeps = b'sleep ' + number.encode()
    term.type(sleeps + b'\n')
    until(lambda: in_front(term, number), 60, 'it does not sleep')
    term.type(b'\x1a')
    term.expect(rb'Stopped\s+' + sleeps)
    term.type(b'bg; jobs\n')
    term.expect(rb'Running\s+' + sleeps)
    term.type(b'fg\n')
    term.expect(rb'fg\r\n' + sleeps)
    until(lambda: in_front(term, number), 60, 'it is not in the foreground')
    term.type(b'\x03')
    term.type(b'echo st$((1+1))ill here\n')
    term.expect(rb'st2ill here')
    term.type(b'exit 6\n')
    equal(term.wait(), 6, 'exit status')


@test
def terminal_resize(t):
    term = Terminal(Box(t), 'run', '-t', '--', 'bash', '-c',
                    'trap "stty size; exit" WINCH; echo ready; while :; do sleep 0.2; done')
    term.expect(rb'ready')
    term.size(33, 77)
    term.expect(rb'33 77')
    term.wait()


@test
def terminal_settings_restored(t):
    term = Terminal(Box(t), 'run', '-t', '--', 'sh', '-c', 'stty raw -echo; echo raw')
    term.expect(rb'raw')
    equal(term.wait(), 0, 'exit status')
    equal(termios.tcgetattr(term.fd), term.before, 'settings of the outer terminal')


@test
def terminal_settings_restored_after_a_signal(t):
    term = Terminal(Box(t), 'run', '-t', '--', 'sh', '-c', 'echo ready; sleep 600')
    term.expect(rb'ready')
    check(termios.tcgetattr(term.fd) != term.before, 'the outer terminal is raw while the command runs')
    os.kill(term.pid, signal.SIGTERM)
    term.wait()
    equal(termios.tcgetattr(term.fd), term.before, 'settings of the outer terminal')


@test
def terminal_large_output(t):
    term = Terminal(Box(t), 'run', '-t', '--', 'sh', '-c', 'seq 1 200000; echo the end')
    total = 0
    end = time.monotonic() + 60
    tail = b''
    while b'the end' not in tail and time.monotonic() < end:
        term.pump()
        total += len(term.seen)
        tail = (tail + term.seen)[-200:]
        term.seen = b''
    check(b'200000\r\nthe end' in tail, 'the end of the output arrived: %r' % tail)
    equal(term.wait(), 0, 'exit status')
    check(total > 1400000, 'all %d bytes' % total)


@test
def terminal_output_just_before_exit(t):
    for _ in range(5):
        term = Terminal(Box(t, 'box%d' % _), 'run', '-t', '--', 'sh', '-c', 'printf "%0500d" 7 | tr 0 Q; exit 3')
        equal(term.wait(), 3, 'exit status')
        while term.pump(0.05) and not term.seen.endswith(b'7'):
            pass
        equal(term.seen.count(b'Q'), 499, 'bytes on the terminal')


@test
def terminal_input_cannot_be_faked(t):
    """TIOCSTI would type into the user's shell; it is closed inside."""
    script = '''
import fcntl, termios
for number in (termios.TIOCSTI, 0x541c):
    try:
        fcntl.ioctl(0, number, b"x"); print("worked")
    except OSError as e:
        print("errno", e.errno)
'''
    term = Terminal(Box(t), 'run', '-t', '--', '/usr/bin/python3', '-c', script)
    term.expect(rb'errno 1\b')
    term.expect(rb'errno (1|25)\b')
    term.wait()
    check(b'worked' not in term.seen, 'worked')


@test
def outer_terminal_not_reachable(t):
    """The call has no way to the terminal of the user: /dev/tty is its own, and no outer pts is in sight."""
    term = Terminal(Box(t), 'run', '-t', '--', 'sh', '-c', 'ls /dev/pts | tr "\\n" " "; echo listed; tty </dev/tty')
    listed = term.expect(rb'((?:\S+ )*)listed')
    check(set(listed[1].split()) <= {b'0', b'ptmx'}, 'terminals seen: %r' % listed[1])
    term.wait()

