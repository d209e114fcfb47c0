# SPDX-License-Identifier: Apache-2.0
"""What calls changed in the workspace of a box, when that is overlaid."""
import json


def changes(box, layer):
    """path below the workspace -> change."""
    found = json.loads(box.nsbox('diff', '--json', layer).ok().out)
    return {c['path'][len(box.work) + 1:]: c for c in found['changes']}
