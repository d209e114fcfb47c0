# SPDX-License-Identifier: Apache-2.0
"""outside.py FD COMMAND...: the command as it would run without a sandbox, on the spare files, where it can do no harm
to anything else. Beside it runs somebody else's process; whether that is still alive in the end is written to FD."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'integration'))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import files     # noqa: E402
import settings  # noqa: E402
import world     # noqa: E402


def main():
    tell = int(sys.argv[1])
    world.end_with_parent()
    world.shield([(files.SPARE, files.LIVE), ('/mnt/tmp', '/tmp')])
    victim = settings.Victim(settings.VICTIM, {'SIBLING_KEY': settings.SIBLING})
    done = subprocess.run(sys.argv[2:], cwd=files.WORK)
    os.write(tell, b'alive' if victim.alive() else b'dead')
    victim.end()
    # What it left running goes on, as it does for a user.
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
    sys.exit(done.returncode if done.returncode >= 0 else 128 - done.returncode)


if __name__ == '__main__':
    main()
