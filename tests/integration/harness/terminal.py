# SPDX-License-Identifier: Apache-2.0
"""nsbox as it is seen from the terminal outside: the pty module stands for the user's terminal."""
import errno
import fcntl
import os
import pty
import re
import select
import struct
import termios
import time

from .registry import check


class Terminal:
    """nsbox as the foreground job on a terminal of our own."""

    def __init__(self, box, *args, rows=40, columns=100):
        self.seen = b''
        ready_out, ready_in = os.pipe()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.close(ready_in)
            os.read(ready_out, 1)
            os.chdir(box.work)
            os.execve(box.nsbox_path, [box.nsbox_path, *args], box.env)
        os.close(ready_out)
        self.size(rows, columns)
        self.before = termios.tcgetattr(self.fd)
        os.close(ready_in)
        self.code = None

    def size(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def pump(self, seconds=0.1):
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if ready:
            try:
                self.seen += os.read(self.fd, 65536)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                return False
        return True

    def expect(self, pattern, seconds=60):
        """Wait for the pattern; what came up to its end is consumed."""
        end = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.seen)
            if match:
                self.seen = self.seen[match.end():]
                return match
            if time.monotonic() > end:
                raise AssertionError('no %r on the terminal, but %r' % (pattern, self.seen[-800:]))
            if not self.pump():
                check(re.search(pattern, self.seen), 'the terminal closed before %r: %r' % (pattern, self.seen[-800:]))

    def type(self, text):
        os.write(self.fd, text)

    def wait(self, seconds=60):
        end = time.monotonic() + seconds
        while self.code is None and time.monotonic() < end:
            self.pump(0.02)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        check(self.code is not None, 'nsbox did not end; last seen %r' % self.seen[-400:])
        return self.code
