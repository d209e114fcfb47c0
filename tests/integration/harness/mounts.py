# SPDX-License-Identifier: Apache-2.0
"""Bind mounts as a host has them, in a mount namespace of their own: other tests do not see them."""
import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUSER, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x10000000, 4096, 16384, 1 << 18


def call(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), what)


def with_mounts(pairs):
    """For preexec_fn: a mount namespace where these (source, place) are mounted. An unprivileged user makes them in a
    user namespace, from which nsbox sees them as mounts that it may not take away, as in a container."""
    def enter():
        uid, gid = os.getuid(), os.getgid()
        call(LIBC.unshare(NEWNS | (NEWUSER if uid else 0)), 'unshare')
        if uid:
            for name, text in (('setgroups', 'deny'), ('uid_map', '%d %d 1' % (uid, uid)),
                               ('gid_map', '%d %d 1' % (gid, gid))):
                with open('/proc/self/' + name, 'w') as f:
                    f.write(text)
        call(LIBC.mount(None, b'/', None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), 'private')
        for source, place in pairs:
            call(LIBC.mount(source.encode(), place.encode(), None, ctypes.c_ulong(MS_BIND), None), place)
    return enter
