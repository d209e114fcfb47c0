# SPDX-License-Identifier: Apache-2.0
"""What tests that speak the protocol themselves have to know of it, as it was built."""
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))


def version(build):
    """lib/base/wire.h."""
    with open(os.path.join(build, 'tests', 'integration', 'wire_version')) as f:
        return int(re.search(r'\bWIRE_VERSION (\d+)u', f.read())[1])


def control():
    """The text of control.py, for a script that runs inside. The build is beside the tests (tests/build.sh)."""
    with open(os.path.join(HERE, 'control.py')) as f:
        return 'VERSION = %d\n' % version(os.path.join(HERE, '..', '..', '..', 'build')) + f.read()
