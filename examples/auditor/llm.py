#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An auditor that asks a program of yours, for instance a client of a language model.

usage: llm.py [--person] [--timeout SECONDS] [--jobs N] [--op OP]... -- COMMAND...

    nsbox run --auditor 'exec:python3 llm.py -- my-model-client --prompt review.txt' -- my-agent

For each question COMMAND is started with the question, one JSON object, on its standard input (nsbox-auditor(7) lists the
members). The first line that it prints decides: allow, deny or ask, alone or with a colon and the reason behind it (`deny: it
pushes to a public repository`). Anything else, an exit status other than 0, or no end in time means deny. A model is killed when
its time is up, with all that it has started, and itself when the auditor is.

A model takes longer than the default deadline of an auditor: set `deadline` in [audit] to what yours needs (at most 60s),
and --timeout below it; and let it judge only what is worth it (--op, default: call.start and grant.raise).

--person: the model alone never allows anything. Where it says allow, the question is parked for a person
(nsbox approve) with the model's reason; where it says deny, it is denied, and nobody is bothered.

The question holds text that the agent chose, and the agent may have read something hostile: it can talk to the model. Tell
the model so, give it no tools, and keep the policy as tight as if it were not there: an auditor can only deny or narrow.
"""
import argparse
import concurrent.futures
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

OPS = ('call.start', 'http.request', 'net.connect', 'grant.raise', 'fs.commit')
MAX_PACKET = 65536
MAX_REASON = 500
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def end_with(parent):
    """In a child before its program: a session of its own is not killed with the auditor, so it has to end by itself."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def ask_model(command, question, seconds):
    """(decision, reason)"""
    if seconds <= 0:
        return 'deny', 'the model could not be asked in time'
    parent = os.getpid()
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
                                   preexec_fn=lambda: end_with(parent))
    except (OSError, subprocess.SubprocessError) as error:
        return 'deny', 'the model could not be asked: %s' % error
    try:
        out, _ = process.communicate(json.dumps(question).encode() + b'\n', timeout=seconds)
    except subprocess.TimeoutExpired:
        # With all that it has started: the answer is no, whatever still runs.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return 'deny', 'the model did not answer in time'
    if process.returncode != 0:
        return 'deny', 'the model could not be asked: exit status %d' % process.returncode
    line = (out.decode('utf-8', 'replace').strip().splitlines() or [''])[0]
    # Not the first word of a sentence: "allow me to explain why not".
    word, _, reason = line.partition(':')
    if word not in ('allow', 'deny', 'ask'):
        return 'deny', 'the model said neither allow, deny nor ask'
    return word, 'model: ' + (reason.strip()[:MAX_REASON] or word)


class Auditor:
    def __init__(self, sock, options):
        self.sock = sock
        self.options = options
        self.lock = threading.Lock()

    def send(self, packet):
        with self.lock:
            self.sock.send(json.dumps(packet).encode())

    def answer(self, question, received):
        # A little before the deadline, which waiting for a free job is a part of: a late answer is worth nothing.
        seconds = min(self.options.timeout, question.get('deadline_ms', 250) / 1000 * 0.95) - (time.monotonic() - received)
        try:
            decision, reason = ask_model(self.options.command, question, seconds)
        except Exception as error:  # an answer that never comes would be a denial too, only a slow one
            decision, reason = 'deny', 'the auditor failed: %s' % type(error).__name__
        if decision == 'allow' and self.options.person:
            decision = 'ask'
        try:
            self.send({'id': question['id'], 'decision': decision, 'reason': reason})
        except OSError:
            pass  # nobody is there any more

    def run(self):
        self.send({'hello': 'llm.py', 'version': 1, 'ops': self.options.op})
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            while True:
                data = self.sock.recv(MAX_PACKET + 1)
                if not data or len(data) > MAX_PACKET:
                    return
                question = json.loads(data)
                if 'id' in question:
                    pool.submit(self.answer, question, time.monotonic())
                elif question.get('version') != 1:
                    return


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--person', action='store_true', help='a person has to approve what the model allows')
    parser.add_argument('--timeout', type=float, default=55.0, metavar='SECONDS')
    parser.add_argument('--jobs', type=int, default=8, metavar='N', help='questions at once')
    parser.add_argument('--op', action='append', choices=OPS, help='what the model decides')
    parser.add_argument('command', nargs='+', metavar='COMMAND')
    options = parser.parse_args()
    options.op = options.op or ['call.start', 'grant.raise']
    sock = socket.socket(fileno=int(os.environ.get('NSBOX_AUDITOR_FD', '3')))
    # Not for the programs that are started: one that holds it could answer in our name.
    sock.set_inheritable(False)
    Auditor(sock, options).run()


if __name__ == '__main__':
    sys.exit(main())
