# SPDX-License-Identifier: Apache-2.0
"""What a user sees when one of our processes dies. kill9.py kills them all at random moments and looks at what is left."""
import os
import signal
import time

from harness.box import Box
from harness.registry import check, equal, test


@test
def supervisor_dies_call_dies(t):
    box = Box(t)
    process = box.start('run', '--', 'sh', '-c', 'setsid sh -c "while :; do date +%N > beat; sleep 0.02; done" & '
                        'echo ready; wait')
    equal(process.stdout.readline(), b'ready\n', 'first line')
    time.sleep(0.2)
    os.kill(box.helper('nsbox-supervisor'), signal.SIGKILL)
    out, err = process.communicate(timeout=10)
    equal(process.returncode, 125, 'exit status (%r)' % err)
    check(b'nsbox: ' in err, 'a message: %r' % err)
    time.sleep(0.3)
    with open(box.work + '/beat') as f:
        before = f.read()
    time.sleep(0.3)
    with open(box.work + '/beat') as f:
        equal(f.read(), before, 'the file that the daemon writes')
