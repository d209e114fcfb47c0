# SPDX-License-Identifier: Apache-2.0
"""Frames of WebSockets, made and read one by one, well-formed or not."""
import os
import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(payload, opcode=TEXT, fin=True, mask=True, reserved=0, length=None):
    """length: how it is written: 7, 16 or 64 bits; None: the shortest."""
    payload = payload.encode() if isinstance(payload, str) else payload
    n = len(payload)
    bits = length or (7 if n < 126 else 16 if n < 65536 else 64)
    head = bytes([fin << 7 | reserved << 4 | opcode])
    small = n if bits == 7 else 126 if bits == 16 else 127
    head += bytes([bool(mask) << 7 | small])
    head += b'' if bits == 7 else struct.pack('>H' if bits == 16 else '>Q', n)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + xor(payload, key)


def xor(data, key):
    whole = key * (len(data) // 4 + 1)
    return (int.from_bytes(data, 'big') ^ int.from_bytes(whole[:len(data)], 'big')).to_bytes(len(data), 'big')


class Frames:
    """Reads frames; receive: a function that gives some bytes, or none at the end."""

    def __init__(self, receive, buffer=b''):
        self.receive, self.buffer = receive, buffer

    def take(self, n):
        while len(self.buffer) < n:
            data = self.receive()
            if not data:
                raise EOFError('the end inside a frame, after %r' % self.buffer)
            self.buffer += data
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def frame(self):
        """(opcode, fin, masked, payload)"""
        first, second = self.take(2)
        n = second & 127
        n = struct.unpack('>H', self.take(2))[0] if n == 126 else struct.unpack('>Q', self.take(8))[0] if n == 127 else n
        key = self.take(4) if second & 128 else b'\0\0\0\0'
        assert not first & 0x70, 'reserved bits'
        return first & 15, bool(first & 128), bool(second & 128), xor(self.take(n), key)

    def message(self):
        """(opcode, payload) of the next message or control frame, and keep an eye on the fragments."""
        opcode, fin, _, payload = self.frame()
        while not fin:
            more, fin, _, part = self.frame()
            assert more == CONTINUATION, more
            payload += part
        return opcode, payload
