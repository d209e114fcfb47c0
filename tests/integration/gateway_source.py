#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway alone, this process being the helper that runs the command of a secret, which goes away while requests wait
for it. usage: gateway_source.py BUILD_DIR [PATTERN]"""
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from gateway_driver import Reader, read_answer, text, u32  # noqa: E402
from gateway_world import equal, exchange, get, main, test  # noqa: E402  (enters the namespace)
from gateway_sigv4 import SECRETS, Client  # noqa: E402

ASK, VALUE_IS = 96, 97
VALUE = 'value-of-the-command-0123456789'
SECRET = """[secret API_KEY]
source = exec:never-run
allow = https://api.test/**
"""


class Helper:
    def __init__(self):
        self.socket, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(60)
        self.give(1, VALUE)  # for the sandbox, before there is a call

    def give(self, number, value):
        self.socket.send(u32(VALUE_IS) + u32(number) + struct.pack('<Q', 0) + text(value))

    def asked(self):
        """The number under which the command was asked."""
        while True:
            message = Reader(self.socket.recv(1 << 16))
            if message.u32() == ASK:
                return message.u32()


def begin(w):
    """A call with a grant, which has a value of its own, so that the first is not its."""
    helper = Helper()
    g = w.gateway('allow = api.test', secrets=SECRET + '[grant some]\nallow = https://api.test/**\nsecret = API_KEY\n',
                  values=[helper.theirs])
    equal(helper.asked(), 1, 'asked at the start')
    return helper, g, g.call(grant='some')


def request(c, path='/'):
    return get('api.test', path, extra='A: %s\r\n' % c.env['API_KEY']).encode()


def still_works(g):
    """In another call: the process does not spin."""
    equal(exchange(g.call('other', '100.64.0.9').tls('api.test'), get('api.test'))[0], 200, 'another call')


@test
def a_value_that_is_given(w):
    helper, g, c = begin(w)
    s = c.tls('api.test')
    s.sendall(request(c))
    helper.give(helper.asked(), VALUE + '-2')
    equal(read_answer(s)[0], 200)
    equal(w.origin.requests[-1].header('a'), [VALUE + '-2'])


@test
def the_helper_goes_while_requests_wait(w):
    helper, g, c = begin(w)
    waiting = [c.tls('api.test') for _ in range(3)]
    for s in waiting:
        s.sendall(request(c))
    helper.asked()
    helper.socket.close()
    for s in waiting:
        status, headers, body = read_answer(s)
        equal(status, 502)
        assert b'"reason":"secret-unavailable"' in body and b'helper is gone' in body, body
    equal(exchange(c.tls('api.test'), request(c))[0], 502, 'one that comes later')
    equal(w.origin.requests, [], 'at the server')
    still_works(g)


@test
def revoked_while_requests_wait(w):
    helper, g, c = begin(w)
    s = c.tls('api.test')
    s.sendall(request(c))
    helper.asked()
    g.revoke_secret('API_KEY')
    status, headers, body = read_answer(s)
    equal((status, headers['x-nsbox-denied']), (403, 'secret-misuse'))
    g.wait_record('secret.misuse', name='API_KEY', reason='revoked')
    equal(w.origin.requests, [], 'at the server')
    still_works(g)


@test
def a_signature_waits_for_a_key_that_is_revoked(w):
    helper = Helper()
    k = Client(w, secrets=SECRETS.replace('env:B', 'exec:never-run') + '[grant some]\nallow = https://api.test/**\n'
               'secret = AWS_ACCESS_KEY_ID\nsecret = AWS_SECRET_ACCESS_KEY\n', key=helper.theirs, grant='some')
    helper.asked()
    s = k.c.tls('api.test')
    s.sendall(k.signed())
    helper.asked()
    k.g.revoke_secret('AWS_SECRET_ACCESS_KEY')
    status, headers, body = read_answer(s)
    equal((status, headers['x-nsbox-denied']), (403, 'secret-misuse'))
    k.g.wait_record('secret.misuse', name='AWS_SECRET_ACCESS_KEY', where='sigv4', reason='revoked')
    equal(w.origin.requests, [], 'at the server')
    still_works(k.g)


if __name__ == '__main__':
    main()
