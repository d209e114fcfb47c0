# SPDX-License-Identifier: Apache-2.0
"""Trees as values, and random changes to them: for comparing what an overlay and a commit made of them."""
import os
import random
import stat

# Runs inside, in an overlay or on the files themselves: the same seed makes the same changes. Prints what each
# operation returned, so that a difference shows where it begins.
OPERATIONS = r'''
import random, shutil
seed, count = sys.argv[1], int(sys.argv[2])
r = random.Random(seed)
NAMES = [b'a', b'A', b'b.txt', b'c', b'-n', b'sp ace', b'tail ', b'new\nline', b'\xc3\xa9', b'e\xcc\x81', b'\xff\xfe',
         b'back\\slash', b'x' * 200, b'.hidden', b'q"q', b'$(id)', b'd1', b'd2', b'd3']

def walk():
    found = [b'.']
    for top, dirs, files in os.walk(b'.'):
        dirs.sort()
        found += [os.path.join(top, d) for d in dirs] + [os.path.join(top, f) for f in sorted(files)]
    return sorted(found)

def somewhere(kinds):
    all = [p for p in walk() if kinds(p)]
    return r.choice(all) if all else None

is_dir = lambda p: os.path.isdir(p) and not os.path.islink(p)
is_file = lambda p: os.path.isfile(p) and not os.path.islink(p)
other = lambda p: p != b'.'

def fresh():
    return os.path.join(somewhere(is_dir), r.choice(NAMES))

def data():
    return bytes(r.getrandbits(8) for _ in range(r.choice([0, 1, 10, 5000])))

def write():
    p, d = fresh(), data()
    with open(p, 'wb') as f: f.write(d)
def append():
    p, d = somewhere(is_file), data()
    with open(p, 'ab') as f: f.write(d)
def sparse():
    p, d = fresh(), data()
    with open(p, 'wb') as f:
        f.seek(r.choice([1 << 20, 3 << 20])); f.write(d); f.truncate(5 << 20)
def remove():
    os.unlink(somewhere(lambda p: other(p) and not is_dir(p)))
def remove_tree():
    shutil.rmtree(somewhere(lambda p: other(p) and is_dir(p)))
def again():
    p = somewhere(lambda p: other(p) and is_dir(p))
    shutil.rmtree(p); os.mkdir(p)
def make_dir():
    os.mkdir(fresh())
def move():
    a, b = somewhere(lambda p: other(p) and not is_dir(p)), fresh()
    os.rename(a, b)
def move_tree():
    a, b = somewhere(lambda p: other(p) and is_dir(p)), fresh()
    if b.startswith(a + b'/') or os.path.lexists(b): raise OSError(22, '')
    shutil.copytree(a, b, symlinks=True); shutil.rmtree(a)
def mode():
    # Of a file of two names overlayfs may go on judging the second by the mode that it had.
    p = somewhere(lambda p: other(p) and not os.path.islink(p) and (is_dir(p) or os.lstat(p).st_nlink == 1))
    os.chmod(p, r.choice([0o700, 0o755, 0o750] if is_dir(p) else [0o644, 0o600, 0o444, 0o755, 0o000, 0o640]))
def link():
    a, b = somewhere(is_file), fresh()
    os.link(a, b)
def symlink():
    p = fresh()
    os.symlink(r.choice([b'a', b'../b.txt', b'nowhere', b'd1/a', b'new\nline']), p)
def attr():
    p = somewhere(lambda p: other(p) and not os.path.islink(p))
    os.setxattr(p, r.choice(['user.one', 'user.two']), data()[:100])
def no_attr():
    os.removexattr(somewhere(lambda p: other(p) and not os.path.islink(p)), 'user.one')
def other_kind():
    p = somewhere(other)
    kind = r.randrange(3)
    if is_dir(p): shutil.rmtree(p)
    else: os.unlink(p)
    if kind == 0: os.mkdir(p); open(p + b'/in', 'wb').close()
    elif kind == 1: os.symlink(b'a', p)
    else: open(p, 'wb').close()

OPS = [write] * 5 + [append] * 3 + [sparse, remove, remove, remove_tree, again, make_dir, make_dir, move, move, move_tree,
       mode, mode, link, symlink, attr, attr, no_attr, other_kind]
log = []
for _ in range(count):
    f = r.choice(OPS)
    try:
        f(); log.append(f.__name__)
    except (OSError, shutil.Error, TypeError) as e:
        log.append('%s %s' % (f.__name__, getattr(e, 'errno', None) if isinstance(e, OSError) else 'skipped'))
out(log)
'''


def snapshot(root, mode=True):
    """path -> (kind, ...) of everything below root. Files of several names are told by the first of these names."""
    found, first = {}, {}
    root = os.fsencode(root)
    for top, dirs, files in os.walk(root):
        dirs.sort()
        for name in sorted(dirs) + sorted(files):
            path = os.path.join(top, name)
            key = os.path.relpath(path, root)
            st = os.lstat(path)
            if stat.S_ISLNK(st.st_mode):
                found[key] = ('link', os.readlink(path))
                continue
            kind = 'directory' if stat.S_ISDIR(st.st_mode) else 'file'
            permissions = stat.S_IMODE(st.st_mode) if mode else None
            with Readable(path, st):
                attributes = {n: os.getxattr(path, n) for n in os.listxattr(path) if n.startswith('user.')}
                if kind == 'directory':
                    found[key] = (kind, permissions, attributes)
                    continue
                with open(path, 'rb') as f:
                    content = f.read()
            same = first.setdefault(st.st_ino, key)
            found[key] = (kind, permissions, attributes, content, same)
    return found


class Readable:
    """Read a file of ours that has no mode for it."""

    def __init__(self, path, st):
        self.path, self.mode = path, stat.S_IMODE(st.st_mode)
        self.needed = not self.mode & 0o400 and os.geteuid() != 0

    def __enter__(self):
        if self.needed:
            os.chmod(self.path, self.mode | 0o400)

    def __exit__(self, *_):
        if self.needed:
            os.chmod(self.path, self.mode)


def difference(got, want):
    """The first few differences of two snapshots as text, or ''."""
    lines = []
    for key in sorted(set(got) | set(want)):
        if got.get(key) != want.get(key):
            lines.append('%r: %.300r, not %.300r' % (key, got.get(key), want.get(key)))
    return '; '.join(lines[:4])


def random_tree(root, seed):
    r = random.Random(seed)
    dirs = [root]
    for _ in range(8):
        dirs.append(os.path.join(r.choice(dirs), 'd%d' % r.randrange(1, 4)))
        os.makedirs(dirs[-1], exist_ok=True)
    for n in range(25):
        path = os.path.join(r.choice(dirs), r.choice(['a', 'b.txt', 'c', 'f%d' % n]))
        if os.path.isdir(path):
            continue
        if os.path.lexists(path):
            os.unlink(path)
        if r.random() < 0.15:
            os.symlink(r.choice(['a', '../c', 'none']), path)
            continue
        with open(path, 'wb') as f:
            f.write(r.randbytes(r.choice([0, 3, 4096, 70000])))
        os.chmod(path, r.choice([0o644, 0o600, 0o755]))
        if r.random() < 0.3:
            os.setxattr(path, 'user.one', b'host')
