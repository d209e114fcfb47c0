# SPDX-License-Identifier: Apache-2.0
"""Where the entries and sockets of sandboxes that stay lie, and what is refused there."""
import os
import stat

from harness.named import Named, refused
from harness.registry import cases, check, equal, test


@cases([('unset', None), ('long', 'r' * 200 + '/' + 'q' * 200), ('relative', 'relative/path'),
        ('spaces', 'with a space')])
def runtime_directory(t, place):
    with Named(t) as box:
        if place is None:
            del box.env['XDG_RUNTIME_DIR']
        else:
            box.env['XDG_RUNTIME_DIR'] = place if place == 'relative/path' else box.dir + '/runtime/' + place
        box.create('x')
        sockets = [os.path.join(d, n) for d, _, names in os.walk(box.dir) for n in names if n == 'x.sock']
        want = box.state + '/nsbox/run' if place in (None, 'relative/path') else box.env['XDG_RUNTIME_DIR'] + '/nsbox'
        equal([os.path.dirname(s) for s in sockets], [want], 'place of the socket')
        equal(stat.S_IMODE(os.stat(sockets[0]).st_mode), 0o600, 'mode of the socket')
        equal(stat.S_IMODE(os.stat(want).st_mode), 0o700, 'mode of its directory')
        equal(box.exec('x', 'echo', 'x').ok().out, 'x\n', 'output')
        # Found with other settings too: the entry says where its socket is.
        elsewhere = dict(box.env, XDG_RUNTIME_DIR=box.dir + '/elsewhere')
        equal(box.nsbox('exec', 'x', '--', 'echo', 'y', env=elsewhere).ok().out, 'y\n', 'output')


@test
def long_state_directory(t):
    with Named(t) as box:
        box.env['XDG_STATE_HOME'] = box.state = os.path.join(box.dir, 's' * 200, 't' * 200)
        del box.env['XDG_RUNTIME_DIR']
        box.create('x')
        equal(box.exec('x', 'echo', 'x').ok().out, 'x\n', 'output')


@cases([('state', 'state/nsbox'), ('sandboxes', 'state/nsbox/sandboxes'), ('runtime', 'runtime/nsbox')])
def open_to_others(t, place):
    """A directory that others could write in, or read in, is refused and not repaired: who knows what is in it."""
    with Named(t) as box:
        box.create('x')
        path = os.path.join(box.dir, place)
        for mode in (0o755, 0o770, 0o701, 0o702):
            os.chmod(path, mode)
            refused(box.nsbox('create', '--net', 'none', '--name', 'y'), place.split('/')[-1], 'open to others')
            refused(box.exec('x', 'touch', 'ran'))
            equal(stat.S_IMODE(os.stat(path).st_mode), mode, 'mode')
        check(not os.path.exists(box.work + '/ran'), 'nothing ran')
        os.chmod(path, 0o700)
        equal([e['name'] for e in box.ls()], ['x'], 'with the right mode again')


@cases([('state', 'state/nsbox'), ('sandboxes', 'state/nsbox/sandboxes'), ('runtime', 'runtime/nsbox')])
def of_another_owner(t, place):
    if os.geteuid() != 0:
        t.skip('only root can give a directory away')
    with Named(t) as box:
        box.create('x')
        path = os.path.join(box.dir, place)
        os.chown(path, 65534, 65534)
        refused(box.nsbox('create', '--net', 'none', '--name', 'y'), 'belongs to uid 65534')
        refused(box.exec('x', 'true'), 'belongs to uid 65534')
        os.chown(path, 0, 0)


@cases([('state', 'state/nsbox'), ('sandboxes', 'state/nsbox/sandboxes'), ('runtime', 'runtime/nsbox')])
def link_in_its_place(t, place):
    with Named(t) as box:
        box.create('x')
        path = os.path.join(box.dir, place)
        os.rename(path, path + '-moved')
        os.symlink(path + '-moved', path)
        refused(box.nsbox('create', '--net', 'none', '--name', 'y'), 'link')
        refused(box.exec('x', 'true'))
        os.unlink(path)
        os.rename(path + '-moved', path)
