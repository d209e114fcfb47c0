# SPDX-License-Identifier: Apache-2.0
"""Attempt 53: messages that the socket of a named sandbox, and the gateway, have to survive. As in special.py each
function returns ('ok' | 'not ok' | 'skip', why)."""
import os
import socket
import struct
import subprocess
import time

import box
import host
import special


def socket_path(place, b):
    path = os.path.join(place.environment['XDG_RUNTIME_DIR'], 'nsbox', b.name + '.sock')
    return path if os.path.exists(path) else None


def text_field(s):
    return struct.pack('<I', len(s)) + s


HELLO_TYPE, CREATE_TYPE, START_TYPE, SIGNAL_TYPE, DESTROY_TYPE, OPEN_TYPE, INSPECT_TYPE = 1, 3, 4, 5, 6, 9, 10


def hellos():
    """One for each version there may be."""
    for version in range(1, 64):
        yield struct.pack('<II', HELLO_TYPE, version) + text_field(b',') + b'\0'


def connect(path):
    """AF_UNIX paths are short: through a descriptor of the directory."""
    fd = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
    try:
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.settimeout(60)
        s.connect('/proc/self/fd/%d/%s' % (fd, os.path.basename(path)))
        return s
    finally:
        os.close(fd)


def dropped(s):
    """Whether the other side closed the connection, within some time."""
    s.settimeout(60)
    try:
        return s.recv(1 << 16) == b'' or s.recv(1 << 16) == b''
    except ConnectionError:
        return True
    except socket.timeout:
        return False


def find_hello(path):
    for hello in hellos():
        s = connect(path)
        try:
            s.sendall(hello)
            s.sendall(struct.pack('<II', OPEN_TYPE, 7))
            answer = s.recv(1 << 16)
            if answer[:9] == struct.pack('<IIB', 2, 7, 0):
                return hello, answer[13:].decode()
        except OSError:
            pass
        finally:
            s.close()
    return None, None


def named_socket(runner, place):
    """53: the socket of a named sandbox takes no nonsense: the connection is dropped, the sandbox goes on."""
    b = box.Box(runner.host.nsbox, place.environment, place.work)
    wrong = []
    try:
        path = socket_path(place, b)
        pid = box.supervisor(runner.host.nsbox, place.environment, b.name)
        hello, sandbox = find_hello(path)
        if not hello:
            return 'skip', 'no hello was understood (the control)'
        before = box.descriptors(pid)
        u32 = lambda *n: struct.pack('<%dI' % len(n), *n)  # noqa: E731
        name = text_field(sandbox.encode())
        start = u32(START_TYPE, 9) + name + u32(1) + text_field(b'/usr/bin/true') + u32(0) + text_field(b'/')
        bad = {
            'nothing': [b'\0'], 'no hello': [u32(OPEN_TYPE, 1)], 'two hellos': [hello, hello],
            'other version': [u32(HELLO_TYPE, 0xffffffff) + text_field(b',') + b'\0', u32(OPEN_TYPE, 1)],
            'unknown type': [hello, u32(99, 1)],
            'answer of the supervisor': [hello, u32(2, 1) + b'\0' + text_field(b'')],
            'launcher message': [hello, u32(32, 1)], 'guardian message': [hello, u32(51, 0, 0) + b'\0'],
            'gateway message': [hello, u32(66) + b'\0'], 'short': [hello, u32(OPEN_TYPE)],
            'long': [hello, u32(OPEN_TYPE, 1) + b'more'], 'huge length': [hello, u32(INSPECT_TYPE, 1, 0xffffffff)],
            'NUL in a name': [hello, u32(INSPECT_TYPE, 1) + text_field(b'a\0b')],
            'huge count': [hello, u32(START_TYPE, 9) + name + u32(0xfffffff0)],
            'argv of nothing': [hello, u32(START_TYPE, 9) + name + u32(0) + u32(0) + text_field(b'/') +
                                u32(0, 0, 0) + struct.pack('<Q', 0)],
            'start without descriptors': [hello, start + u32(0, 0, 0) + struct.pack('<Q', 0)],
            'unknown flags': [hello, start + u32(0xffffffff, 0, 0) + struct.pack('<Q', 0)],
            'create in a named one': [hello, u32(CREATE_TYPE, 1) + text_field(b'x') + text_field(b'') + u32(0)],
            'create without descriptors': [hello, u32(CREATE_TYPE, 1) + text_field(b'x') + text_field(b'y') + u32(0)],
            'secrets without pipes': [hello, u32(CREATE_TYPE, 1) + text_field(b'x') + text_field(b'') + u32(64)],
            'signal 0': [hello, u32(SIGNAL_TYPE, 1) + name + u32(0)],
            'signal 65': [hello, u32(SIGNAL_TYPE, 1) + name + u32(65)],
            'random': [hello, os.urandom(4096)], 'random first': [os.urandom(64)],
        }
        kept = 0
        for what, packets in bad.items():
            s = connect(path)
            try:
                for packet in packets:
                    s.sendall(packet)
            except OSError:
                pass
            # An error in the answer is as good as the end of the connection, as long as nothing has been done.
            s.settimeout(60)
            try:
                answer = s.recv(1 << 16)
                if answer and answer[:4] == u32(2) and len(answer) > 8 and answer[8:9] == b'\1':
                    kept += 1
                elif answer and what not in ('signal 0',):
                    wrong.append('%s: answered %r' % (what, answer[:40]))
            except ConnectionError:
                pass
            except socket.timeout:
                wrong.append('%s: no answer and no end' % what)
            s.close()
        wrong += oversize(path, hello) + flood_of_descriptors(path, hello) + slow(path, hello, b)
        if not b.alive():
            wrong.append('the sandbox takes no calls any more')
        if box.supervisor(runner.host.nsbox, place.environment, b.name) != pid:
            wrong.append('the supervisor is another one')
        host.wait_until(lambda: box.descriptors(pid) <= before, 30)
        if box.descriptors(pid) > before + 8:
            wrong.append('descriptors of the supervisor: %d, were %d' % (box.descriptors(pid), before))
    finally:
        b.close()
    return ('not ok', '; '.join(wrong)) if wrong else ('ok', '%d ways, %d answered with an error' % (len(bad), kept))


def oversize(path, hello):
    s = connect(path)
    try:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        s.sendall(hello)
        s.send(b'\4\0\0\0' + b'A' * (2 << 20))
    except OSError:
        return []  # the kernel or the other side refused
    finally:
        gone = dropped(s)
        s.close()
    return [] if gone else ['oversize: the connection stays']


def flood_of_descriptors(path, hello):
    """More descriptors than any message has, with messages that want none."""
    wrong = []
    null = os.open('/dev/null', os.O_RDONLY)
    for count in (1, 3, 250):
        s = connect(path)
        try:
            s.sendall(hello)
            for _ in range(20):
                socket.send_fds(s, [struct.pack('<II', OPEN_TYPE, 1)], [null] * count)
        except OSError:
            pass
        s.close()
    os.close(null)
    return wrong


def slow(path, hello, b):
    """Clients that say half of nothing and wait, and one that never reads."""
    wrong = []
    idle = []
    try:
        for _ in range(40):
            idle.append(connect(path))
        deaf = connect(path)
        idle.append(deaf)
        deaf.sendall(hello)
        deaf.settimeout(0.2)
        for _ in range(20000):
            try:
                deaf.send(struct.pack('<II', OPEN_TYPE, 1))
            except OSError:
                break
        started = time.monotonic()
        if not b.alive() or time.monotonic() - started > 30:
            wrong.append('others wait for slow clients: %.1f s' % (time.monotonic() - started))
    except OSError as e:
        wrong.append('slow: %s' % e)
    finally:
        for s in idle:
            s.close()
    return wrong


KNOCK = '''
import os, socket, struct, sys
fd = os.open(sys.argv[1], os.O_PATH | os.O_DIRECTORY)
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(60)
try:
    s.connect('/proc/self/fd/%d/%s' % (fd, sys.argv[2]))
    s.sendall(bytes.fromhex(sys.argv[3]))
    s.sendall(struct.pack('<II', 9, 7))
    print('answer' if s.recv(65536) else 'closed')
except OSError as e:
    print(type(e).__name__)
'''


def socket_from_inside(runner, place):
    """53: the sockets' directory cannot be granted; a socket that is shown all the same hears nobody from inside."""
    directory = os.path.join(place.environment['XDG_RUNTIME_DIR'], 'nsbox')
    wrong = []
    b = box.Box(runner.host.nsbox, place.environment, place.work)
    python = ['/usr/bin/python3', '-c', KNOCK, place.work, 'linked.sock']
    try:
        path = socket_path(place, b)
        hello, _ = find_hello(path)
        if not hello:
            return 'skip', 'no hello was understood (the control)'
        os.link(path, place.work + '/linked.sock')
        outside = subprocess.run(python + [hello.hex()], stdout=subprocess.PIPE, text=True).stdout.strip()
        if outside != 'answer':
            return 'skip', 'outside it gave %s (the control)' % outside
        other = box.Box(runner.host.nsbox, place.environment, place.work)
        try:
            for isolation in ('light', 'full'):
                for where in (b, other):
                    status, out, err = where.run(isolation, python + [hello.hex()])
                    if status or out.strip() not in ('closed', 'ConnectionResetError', 'BrokenPipeError'):
                        wrong.append('%s: %s %s' % (isolation, out.strip(), err.strip()[-100:]))
        finally:
            other.close()
        if not b.alive():
            wrong.append('the sandbox takes no calls any more')
    finally:
        b.close()
    for flag in ('--read', '--write'):
        done = subprocess.run([runner.host.nsbox, 'run', '-C', place.work, flag, directory, '--', '/usr/bin/true'],
                              env=place.environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode != 125 or 'no sandbox may see it' not in done.stderr:
            wrong.append('%s of the directory gave %d %s' % (flag, done.returncode, done.stderr.strip()[-100:]))
        # A directory above it: then it is empty there.
        done = subprocess.run([runner.host.nsbox, 'run', '-C', place.work, flag, os.path.dirname(directory), '--',
                               '/bin/ls', '-A', directory], env=place.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.stdout.strip():
            wrong.append('%s of the directory above shows %s' % (flag, done.stdout.strip()[:100]))
    return ('not ok', '; '.join(wrong)) if wrong else ('ok', '')


def garbage_to_gateway(runner, place):
    """53: what the gateway is sent from inside does not end it, nor what serves it."""
    b = box.Box(runner.host.nsbox, place.environment, place.work, ['--allow', 'https://canary.invalid:8443', '--allow',
                                                                    'http://canary.invalid:8080'])
    wrong = []
    try:
        for isolation in ('light', 'full'):
            for port in ('8443', '8080'):
                status, out, err = b.run(isolation, [place.work + '/probe', '@garbage', port])
                rows = special.steps(out)
                if status or rows.get('resolver') != 'ok' or (port == '8080' and rows.get('gateway') != 'ok'):
                    wrong.append('%s, port %s: %d %s %s' % (isolation, port, status, rows, err.strip()[-100:]))
        if not b.alive():
            wrong.append('the sandbox takes no calls any more')
    finally:
        b.close()
    return ('not ok', '; '.join(wrong)) if wrong else ('ok', '')


TESTS = [
    (53, 'named-socket', named_socket),
    (53, 'socket-from-inside', socket_from_inside),
    (53, 'garbage-to-gateway', garbage_to_gateway),
]
