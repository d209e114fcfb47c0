# SPDX-License-Identifier: Apache-2.0
"""A host that has mounts below its system directories, as a container has: each test makes one in a mount namespace."""
import os

from harness.box import Box
from harness.mounts import with_mounts
from harness.registry import Skip, check, equal, test

SEEN = 'MOUNTED-OVER\n'


def places(t, *paths):
    """(source, place) for those that are on this machine: files with SEEN in them, directories with one file."""
    pairs = []
    for number, path in enumerate(paths):
        if os.path.islink(path) or not os.path.exists(path):
            continue
        name = 'over/%d' % number
        t.write(name + '/file' if os.path.isdir(path) else name, SEEN)
        source = t.path(name)
        os.chmod(source, 0o755)
        if not os.path.isdir(path):
            os.chmod(source, 0o644)
        pairs.append((source, path))
    os.chmod(t.path('over'), 0o755)
    return pairs


NAMES = 'find /etc -printf "%p %y\\n" 2>/dev/null | sort; true'
CONTAINER = '/etc/resolv.conf', '/etc/hosts', '/etc/hostname'


@test
def a_container(t):
    box = Box(t)
    pairs = places(t, *CONTAINER)
    check(pairs, 'nothing to mount over')
    mounted = with_mounts(pairs)
    for net in 'none', 'host', 'gateway':
        flags = ['--net', net] if net != 'gateway' else ['--allow', 'a.example.com']
        script = NAMES + '; cat /etc/passwd /etc/hostname'
        equal(box.sh(script, flags=flags, preexec_fn=mounted).ok().out, box.sh(script, flags=flags).ok().out, net)
    out = box.sh('cat /etc/hosts', flags=['--net', 'host'], preexec_fn=mounted).ok().out
    equal(out, SEEN if '/etc/hosts' in [p for _, p in pairs] else out, 'hosts with the network of the host')
    out = box.sh('cat /etc/hosts /etc/resolv.conf', flags=['--allow', 'a.example.com'], preexec_fn=mounted).ok().out
    check('nameserver 100.64.0.1' in out and SEEN not in out, 'with a gateway: %r' % out)


@test
def hidden_stays_hidden(t):
    """Mounts over what is hidden, over what is not, and in directories of which a part is hidden."""
    box = Box(t)
    hidden = places(t, '/etc/shadow', '/etc/gshadow', '/etc/ssl/private', '/etc/security/opasswd', '/etc/machine-id',
                    '/etc/fstab', '/etc/apt/auth.conf.d', '/etc/cron.d')
    check(hidden, 'nothing to mount over')
    mounted = with_mounts(hidden)
    script = NAMES + '; grep -rsF %s /etc; cat %s 2>&1' % (SEEN.strip(), ' '.join(p for _, p in hidden))
    equal(box.sh(script, preexec_fn=mounted).out, box.sh(script).out, 'the names below /etc')
    for _, path in hidden:
        check(not any(line.startswith(path + ' ') for line in box.sh(NAMES, preexec_fn=mounted).out.splitlines()), path)


@test
def private_files_of_root(t):
    """What not everybody may read is hidden from root, whose modes stop nobody; a user sees what his modes show."""
    box = Box(t)
    pairs = places(t, '/etc/hosts', '/etc/passwd')
    if len(pairs) < 2 or os.getuid():
        raise Skip('for root')
    os.chmod(pairs[1][0], 0o600)
    result = box.sh('ls /etc/passwd; cat /etc/passwd', preexec_fn=with_mounts(pairs))
    equal(result.out, '', 'what is seen (%r)' % result)
    os.chmod(pairs[1][0], 0o644)
    equal(box.sh('cat /etc/passwd', preexec_fn=with_mounts(pairs)).ok().out, SEEN, 'the twin')


@test
def shown_and_read_only(t):
    """As the host has them, in /etc and elsewhere, and nobody inside changes them."""
    box = Box(t)
    pairs = places(t, '/etc/group', '/etc/alternatives', '/etc/ssl/openssl.cnf', '/etc/ssl/certs', '/usr/share',
                   '/usr/lib/os-release', '/usr/local/bin', '/opt', *CONTAINER)
    # One below another, and on the mount's own file system.
    deep = [p for s, p in pairs if p == '/etc/alternatives']
    if deep:
        os.mkdir(pairs[1][0] + '/deep')
        pairs += [(pairs[1][0], deep[0] + '/deep')]
    mounted = with_mounts(pairs)
    shown = [p + '/file' if os.path.isdir(s) else p for s, p in pairs if p not in CONTAINER]
    check(len(shown) > 3, 'too little to mount over: %r' % shown)
    result = box.sh('cat "$@"; for f; do echo evil > "$f"; rm -f "$f"; chmod 777 "$f"; touch "$(dirname "$f")/evil"; '
                    'mv "$f" "$f.evil"; done 2>/dev/null; cat "$@"', *shown, preexec_fn=mounted)
    equal(result.out, SEEN * len(shown) * 2, 'what is seen (%r)' % result)
    for source, _ in pairs:
        if os.path.isdir(source):
            check(set(os.listdir(source)) <= {'file', 'deep'}, 'made: %r' % os.listdir(source))
            source += '/file'
        with open(source) as f:
            equal((f.read(), os.stat(source).st_mode & 0o7777), (SEEN, 0o644), source)


@test
def many_calls_of_a_named_one(t):
    box = Box(t)
    mounted = with_mounts(places(t, *CONTAINER, '/etc/group'))
    box.nsbox('create', '--net', 'none', '--name', 'x', preexec_fn=mounted).ok()
    try:
        for kind in 'light', 'full', 'light', 'full':
            equal(box.nsbox('exec', 'x', '--isolation', kind, '--', 'cat', '/etc/group').ok().out, SEEN, kind)
    finally:
        box.nsbox('rm', '-f', 'x')


@test
def key_store_of_another_form(t):
    """The gateway adds its authority to a key store that it can read, and to nothing else: that stays as it is."""
    place = '/etc/ssl/certs/java/cacerts'
    box = Box(t).add('--allow', 'a.example.com')
    pairs = places(t, place)
    if not pairs:
        raise Skip('no Java here')
    script = 'head -c 4 %s; tail -c 4 %s' % (place, place)
    with open(place, 'rb') as f:
        end = f.read()[-4:]
    got = box.sh(script).ok().out_bytes
    check(got[:4] == b'\xfe\xed\xfe\xed' and got[4:] != end, 'a key store, with another sum: %r' % got)
    equal(box.sh('cat ' + place, preexec_fn=with_mounts(pairs)).ok().out, SEEN, 'another form')
