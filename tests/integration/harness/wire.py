# SPDX-License-Identifier: Apache-2.0
"""What tests that speak the protocol themselves have to know of it, as it was built."""
import os
import re


def version(build):
    """lib/base/wire.h."""
    with open(os.path.join(build, 'tests', 'integration', 'wire_version')) as f:
        return int(re.search(r'\bWIRE_VERSION (\d+)u', f.read())[1])
