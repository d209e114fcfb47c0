# SPDX-License-Identifier: Apache-2.0
"""Overlaid workspaces: a start, a call and the review of ten changed files, in a small and in a large tree, in turns."""
import os
import subprocess
import time

# What was changed counts, not what is there.
LIMIT = 1.2
CHANGED = 10


def make_tree(directory, files):
    for i in range(0, files, 1000):
        os.makedirs('%s/%d' % (directory, i))
        for k in range(min(files - i, 1000)):
            with open('%s/%d/%d' % (directory, i, k), 'w') as f:
                f.write('line\n')


class Tree:
    def __init__(self, options, files):
        self.nsbox, self.files = options.nsbox, files
        self.directory = '%s/tree%d' % (options.work, files)
        self.name = 'bench%d' % files
        make_tree(self.directory, files)
        self.run('create', '--net', 'none', '--overlay', '.', '--name', self.name)
        self.run('exec', self.name, '--', 'sh', '-c', 'for i in $(seq %d); do echo x >> 0/$i; done' % CHANGED)

    def run(self, *words):
        begin = time.monotonic()
        done = subprocess.run([self.nsbox, *words], cwd=self.directory, stdout=subprocess.PIPE,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise SystemExit('nsbox %s failed' % words[0])
        return (time.monotonic() - begin) * 1e6, done.stdout

    def remove(self):
        self.run('rm', '-f', self.name)
        self.run('discard', self.name)
        subprocess.run(['rm', '-rf', self.directory], check=True)


def median(values):
    return sorted(values)[len(values) // 2]


def measure(options, targets):
    rounds = options.rounds or (10 if options.quick else 300)
    small, large = Tree(options, 100), Tree(options, 2000 if options.quick else 200000)
    work = {
        'start, nsbox run --overlay': lambda t: ('run', '--net', 'none', '--overlay', '.', '--', 'true'),
        'call, nsbox exec': lambda t: ('exec', t.name, '--', 'true'),
        'call, --view committed': lambda t: ('exec', '--view', 'committed', t.name, '--', 'true'),
        'review, nsbox diff': lambda t: ('diff', t.name),
    }
    print('overlaid trees of %d and %d files, %d of them changed, %d rounds in turns, p50 (us)' % (
        small.files, large.files, CHANGED, rounds))
    try:
        if len(large.run('diff', large.name)[1].splitlines()) != CHANGED:
            raise SystemExit('the diff is not of the changed files')
        for what, words in work.items():
            times = {small: [], large: []}
            for _ in range(rounds):
                for tree, found in times.items():
                    found.append(tree.run(*words(tree))[0])
            few, many = median(times[small]), median(times[large])
            print('%-28s %9.0f %9.0f %8.3f x' % (what, few, many, many / few))
            targets.add('%s, %d files / %d files' % (what, large.files, small.files), many / few, LIMIT)
    finally:
        small.remove()
        large.remove()
    print()
    targets.show()
