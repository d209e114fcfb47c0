# SPDX-License-Identifier: Apache-2.0
"""HPACK (RFC 7541), written for tests: the encoder writes what it is told to, also what is wrong."""

STATIC = [(n, v) for n, _, v in (entry.partition(' ') for entry in (
    ':authority', ':method GET', ':method POST', ':path /', ':path /index.html', ':scheme http', ':scheme https',
    ':status 200', ':status 204', ':status 206', ':status 304', ':status 400', ':status 404', ':status 500',
    'accept-charset', 'accept-encoding gzip, deflate', 'accept-language', 'accept-ranges', 'accept',
    'access-control-allow-origin', 'age', 'allow', 'authorization', 'cache-control', 'content-disposition',
    'content-encoding', 'content-language', 'content-length', 'content-location', 'content-range', 'content-type',
    'cookie', 'date', 'etag', 'expect', 'expires', 'from', 'host', 'if-match', 'if-modified-since', 'if-none-match',
    'if-range', 'if-unmodified-since', 'last-modified', 'link', 'location', 'max-forwards', 'proxy-authenticate',
    'proxy-authorization', 'range', 'referer', 'refresh', 'retry-after', 'server', 'set-cookie',
    'strict-transport-security', 'transfer-encoding', 'user-agent', 'vary', 'via', 'www-authenticate',
))]

# Code lengths of RFC 7541 appendix B, symbol by symbol (count*length): the code is canonical, so they say all.
LENGTHS = """
1*13 1*23 7*28 1*24 1*30 2*28 1*30 8*28 1*30 9*28 1*6 2*10 1*12 1*13 1*6 1*8 1*11 2*10 1*8 1*11 1*8 3*6 3*5
7*6 1*7 1*8 1*15 1*6 1*12 1*10 1*13 1*6 22*7 1*8 1*7 1*8 1*13 1*19 1*13 1*14 1*6 1*15 1*5 1*6 1*5 1*6 1*5
3*6 1*5 2*7 3*6 1*5 1*6 1*7 1*6 2*5 1*6 5*7 1*15 1*11 1*14 1*13 1*28 1*20 1*22 2*20 3*22 1*23 1*22 5*23 1*24
1*23 2*24 1*22 1*23 1*24 4*23 1*21 1*22 1*23 1*22 2*23 1*24 1*22 1*21 1*20 2*22 2*23 1*21 1*23 2*22 1*24
1*21 1*22 2*23 2*21 1*22 1*21 1*23 1*22 2*23 1*20 3*22 1*23 2*22 1*23 2*26 1*20 1*19 1*22 1*23 1*22 1*25
3*26 2*27 1*26 1*24 1*25 1*19 1*21 1*26 2*27 1*26 1*27 1*24 2*21 2*26 1*28 3*27 1*20 1*24 1*20 1*21 1*22
2*21 1*23 2*22 2*25 2*24 1*26 1*23 1*26 1*27 2*26 5*27 1*28 5*27 1*26 1*30
"""


def codes():
    lengths = []
    for run in LENGTHS.split():
        count, length = run.split('*')
        lengths += [int(length)] * int(count)
    table, code, last = {}, 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths)):
        code <<= length - last
        last = length
        table[(length, code)] = symbol
        code += 1
    return table


CODES = codes()


def unhuffman(data):
    out, code, length = bytearray(), 0, 0
    for byte in data:
        for bit in range(7, -1, -1):
            code, length = code << 1 | (byte >> bit & 1), length + 1
            symbol = CODES.get((length, code))
            if symbol is not None:
                if symbol == 256:
                    raise ValueError('EOS inside a string')
                out.append(symbol)
                code = length = 0
    if length > 7 or code != (1 << length) - 1:
        raise ValueError('bad padding')
    return bytes(out)


def integer(value, bits, first=0):
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = bytearray([first | most]), value - most
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    return bytes(out) + bytes([value])


def string(text):
    data = text if isinstance(text, bytes) else text.encode('latin-1')
    return integer(len(data), 7) + data


def literal(name, value, first=0):
    """first: 0 without indexing, 0x10 never indexed, 0x40 with incremental indexing."""
    return bytes([first]) + string(name) + string(value)


def encode(fields):
    return b''.join(literal(n, v) for n, v in fields)


class Decoder:
    def __init__(self, size=4096):
        self.size, self.table = size, []

    def _integer(self, data, at, bits):
        most = (1 << bits) - 1
        value, at, shift = data[at] & most, at + 1, 0
        if value < most:
            return value, at
        while True:
            value += (data[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if not data[at - 1] & 128:
                return value, at

    def _string(self, data, at):
        huffman = data[at] & 128
        length, at = self._integer(data, at, 7)
        text = data[at:at + length]
        return (unhuffman(text) if huffman else text).decode('latin-1'), at + length

    def _entry(self, index):
        return STATIC[index - 1] if index <= len(STATIC) else self.table[index - len(STATIC) - 1]

    def _add(self, field):
        self.table.insert(0, field)
        while sum(len(n) + len(v) + 32 for n, v in self.table) > self.size:
            self.table.pop()

    def decode(self, data):
        """[(name, value, first byte of its representation)]"""
        fields, at = [], 0
        while at < len(data):
            first = data[at]
            if first & 0x80:
                index, at = self._integer(data, at, 7)
                fields.append((*self._entry(index), 0x80))
                continue
            if first & 0xe0 == 0x20:
                self.size, at = self._integer(data, at, 5)
                while sum(len(n) + len(v) + 32 for n, v in self.table) > self.size:
                    self.table.pop()
                continue
            kind = 0x40 if first & 0x40 else first & 0x10
            index, at = self._integer(data, at, 6 if kind == 0x40 else 4)
            if index:
                name = self._entry(index)[0]
            else:
                name, at = self._string(data, at)
            value, at = self._string(data, at)
            if kind == 0x40:
                self._add((name, value))
            fields.append((name, value, kind))
        return fields
