# SPDX-License-Identifier: Apache-2.0
"""A workspace that is overlaid, and what calls changed in it."""
import json
import os

from harness.box import Box
from harness.registry import check, equal


def changes(box, layer):
    """path below the workspace -> change."""
    found = json.loads(box.nsbox('diff', '--json', layer).ok().out)
    return {c['path'][len(box.work) + 1:]: c for c in found['changes']}


class Work(Box):
    """A workspace with a few files, overlaid."""

    def __init__(self, t, name='box', filled=True):
        super().__init__(t, name)
        self.add('--net', 'none', '--overlay', '.')
        files = (('a', 'one\n'), ('b', 'two\n'), ('d/x', 'x\n'), ('d/sub/y', 'y\n'), ('keep', 'kept\n'))
        for path, content in files if filled else ():
            self.put(path, content)

    def put(self, path, content=''):
        path = os.path.join(self.work, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as f:
            f.write(content)

    def get(self, path):
        with open(os.path.join(self.work, path)) as f:
            return f.read()

    def layers(self):
        where = self.state + '/nsbox/layers'
        return sorted(n for n in os.listdir(where) if n[0] != '.') if os.path.isdir(where) else []

    def write(self, script, *args, **kwargs):
        """Run a script; the id of the layer that it left."""
        before = set(self.layers())
        self.sh(script, *args, **kwargs).ok()
        new = set(self.layers()) - before
        equal(len(new), 1, 'new layers')
        return new.pop()

    def diff(self, layer, *args):
        return self.nsbox('diff', layer, *args).ok().out.splitlines()

    def changes(self, layer):
        return changes(self, layer)


def refused(result, *words):
    equal(result.code, 125, 'exit status (%r)' % result)
    for word in words:
        check(word in result.err, '%r is not in %r' % (word, result))
