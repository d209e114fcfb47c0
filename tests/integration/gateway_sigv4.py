#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway alone: requests signed for AWS. The server is the oracle: it checks, with a second implementation, that what
it got is signed with the real key, and nothing else is. usage: gateway_sigv4.py BUILD_DIR [PATTERN]"""
import base64
import gzip
import hashlib
import hmac
import os
import re
import sys
from urllib.parse import parse_qsl, quote, unquote

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from gateway_world import equal, exchange, main, test  # noqa: E402  (enters the namespace)
from harness.origin import Origin  # noqa: E402
from harness.registry import check, until  # noqa: E402
from gateway_http2 import World  # noqa: E402

ID, KEY = 'AKIDEXAMPLE0123456789', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
TOKEN = 'session-token-value/0123456789=='
TIME = '20150830T123600Z'
SECRETS = '''[secret AWS_ACCESS_KEY_ID]
source = env:A
allow = https://api.test/**
placeholder = AKIA{random:16}
[secret AWS_SECRET_ACCESS_KEY]
source = env:B
allow = https://api.test/**
inject = sigv4
key_id = AWS_ACCESS_KEY_ID
[secret AWS_SESSION_TOKEN]
source = env:C
allow = https://api.test/**
'''


def sha(data):
    return hashlib.sha256(data).hexdigest()


def signature(key, scope, method, path, query, headers, names, payload, time=TIME):
    """The one that such a request should have; query: raw."""
    date, region, service, _ = scope.split('/')
    pairs = sorted((quote(k, safe='~'), quote(v, safe='~')) for k, v in parse_qsl(query, keep_blank_values=True)
                   if k != 'X-Amz-Signature')
    lines = ''.join('%s:%s\n' % (n, ','.join(' '.join(v.split()) for k, v in headers if k.lower() == n)) for n in names)
    uri = quote(unquote(path), safe='/~') if service == 's3' else quote(path, safe='/~')
    canonical = '\n'.join([method, uri, '&'.join('%s=%s' % p for p in pairs), lines, ';'.join(names), payload])
    text = '\n'.join(['AWS4-HMAC-SHA256', time, scope, sha(canonical.encode())])
    k = b'AWS4' + key.encode()
    for word in (date, region, service, 'aws4_request', text):
        k = hmac.new(k, word.encode(), hashlib.sha256).digest()
    return k.hex()


class Client:
    def __init__(self, w, secrets=SECRETS, key=KEY, grant=None):
        self.w = w
        self.g = w.gateway('allow = api.test', 'allow = other.test', *w.connect_to('other.test')[:2], secrets=secrets,
                           values=[ID, key, TOKEN])
        self.c = self.g.call(grant=grant)
        self.id, self.key, self.token = [self.c.env[n] for n in ('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY',
                                                                 'AWS_SESSION_TOKEN')]

    def signed(self, method='GET', path='/', query='', headers=(), body=b'', service='service', payload=None, host='api.test',
               key=None, key_id=None, order='Credential, SignedHeaders, Signature', more=()):
        headers = [('Host', host), ('X-Amz-Date', TIME), *headers]
        if payload:
            headers.append(('X-Amz-Content-Sha256', payload))
        scope = '20150830/us-east-1/%s/aws4_request' % service
        names = sorted({n.lower() for n, _ in headers})
        parts = {'Credential': '%s/%s' % (key_id or self.id, scope), 'SignedHeaders': ';'.join(names),
                 'Signature': signature(key or self.key, scope, method, path, query, headers, names, payload or sha(body))}
        headers.append(('Authorization', 'AWS4-HMAC-SHA256 ' + ', '.join('%s=%s' % (n, parts[n]) for n in order.split(', '))))
        if body:
            headers.append(('Content-Length', str(len(body))))
        head = '%s %s%s HTTP/1.1\r\n' % (method, path, '?' + query if query else '')
        return (head + ''.join('%s: %s\r\n' % h for h in [*headers, *more]) + '\r\n').encode() + body

    def send(self, request, host='api.test', status=200):
        got = exchange(self.c.tls(host), request)
        check(got[0] in (status if isinstance(status, tuple) else (status,)), 'status %r of %r' % (got[0], got[2][:300]))
        return got

    def refused(self, request, reason, host='api.test'):
        before = len(self.w.origin.requests)
        status, headers, body = self.send(request, host, 403)
        equal(headers['x-nsbox-denied'], reason)
        equal(len(self.w.origin.requests), before, 'requests at the server')

    def check(self, payload=None, key=KEY, key_id=ID):
        """What the server got last is signed with the real key."""
        r = self.w.origin.requests[-1]
        parts = dict(x.strip().split('=', 1) for x in r.header('authorization')[0].split(' ', 1)[1].split(','))
        got_id, scope = parts['Credential'].split('/', 1)
        names = parts['SignedHeaders'].split(';')
        equal(got_id, key_id)
        payload = payload or (r.header('x-amz-content-sha256') or [sha(r.body)])[0]
        want = signature(key, scope, r.method, r.path, r.query, r.headers, names, payload)
        equal(parts['Signature'], want, 'signature of %r' % r.head)
        for secret in (self.id, self.key, KEY):
            assert secret.encode() not in self.w.origin.raw, 'at the server: ' + secret
        return names


@test
def header(w):
    k = Client(w)
    cases = [dict(), dict(path='/a%20b/c', query='b=2&a=1&a=0&c'), dict(path='/a%20b/x', service='s3', payload=sha(b'')),
             dict(method='POST', body=b'{"a": 1}', headers=[('Content-Type', 'application/x-amz-json-1.0')]),
             dict(method='PUT', body=b'x' * 20000, service='s3', payload='UNSIGNED-PAYLOAD'),
             dict(method='PUT', body=b'x' * 20000, service='s3', payload=sha(b'x' * 20000)),
             dict(method='POST', body=bytes(range(256)) * 1024), dict(headers=[('X-Amz-Meta', 'a   b'), ('x-amz-meta', 'c')]),
             dict(order='Signature, SignedHeaders, Credential'), dict(order='SignedHeaders, Credential, Signature')]
    for case in cases:
        k.send(k.signed(**case))
        k.check()
    use = {(r['name'], r['where']) for r in k.g.records if r['event'] == 'secret.use'}
    equal(use, {('AWS_ACCESS_KEY_ID', 'header'), ('AWS_SECRET_ACCESS_KEY', 'sigv4')})


@test
def session_token(w):
    """Replaced first, and then signed."""
    k = Client(w)
    k.send(k.signed(headers=[('X-Amz-Security-Token', k.token)]))
    equal(w.origin.requests[-1].header('x-amz-security-token'), [TOKEN])
    assert 'x-amz-security-token' in k.check()


@test
def fields_that_are_changed_on_the_way(w):
    """Rewritten ones are signed as they are sent, those that are not sent any more not at all."""
    k = Client(w)
    names = [('Accept-Encoding', 'identity, br'), ('Range', 'bytes=0-4'), ('Keep-Alive', '5')]
    k.send(k.signed(headers=names))
    kept = k.check()
    assert 'accept-encoding' in kept and 'keep-alive' not in kept and 'host' in kept, kept


@test
def presigned(w):
    k = Client(w)
    for service, payload in (('s3', 'UNSIGNED-PAYLOAD'), ('service', sha(b''))):
        scope = '20150830/us-east-1/%s/aws4_request' % service
        query = 'X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%s&X-Amz-Date=%s&X-Amz-Expires=60&' \
            'X-Amz-SignedHeaders=host&YX-Amz-Signature=%s&X-Amz-Security-Token=%s' \
            % (quote(k.id + '/' + scope, safe=''), TIME, 'a' * 64, k.token)
        s = signature(k.key, scope, 'GET', '/x', query, [('host', 'api.test')], ['host'], payload)
        k.send(b'GET /x?%s&X-Amz-Signature=%s HTTP/1.1\r\nHost: api.test\r\n\r\n' % (query.encode(), s.encode()))
        r = w.origin.requests[-1]
        got = dict(parse_qsl(r.query))
        equal((got['X-Amz-Credential'], got['X-Amz-Security-Token']), (ID + '/' + scope, TOKEN))
        equal(got['X-Amz-Signature'], signature(KEY, scope, 'GET', '/x', r.query, [('host', 'api.test')], ['host'], payload))
        equal(got['YX-Amz-Signature'], 'a' * 64)
        k.refused(b'GET /y?%s&X-Amz-Signature=%s HTTP/1.1\r\nHost: api.test\r\n\r\n' % (query.encode(), s.encode()),
                  'sigv4-signature')


@test
def presigned_for_long(w):
    """What is signed anew can be used by whoever sees it, so for five minutes at most."""
    k = Client(w)
    scope = '20150830/us-east-1/s3/aws4_request'

    def request(more):
        query = 'X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%s&X-Amz-Date=%s%s&X-Amz-SignedHeaders=host' \
            % (quote(k.id + '/' + scope, safe=''), TIME, more)
        s = signature(k.key, scope, 'GET', '/x', query, [('host', 'api.test')], ['host'], 'UNSIGNED-PAYLOAD')
        return ('GET /x?%s&X-Amz-Signature=%s HTTP/1.1\r\nHost: api.test\r\n\r\n' % (query, s)).encode()
    for more in ('', '&X-Amz-Expires=300', '&X-Amz-Expires=0'):
        k.send(request(more))
    for seconds in ('301', '86400', '4294967297', '99999999999999999999', '1e9', '-1'):
        k.refused(request('&X-Amz-Expires=' + seconds), 'sigv4-expires')
    for more in ('&X%2dAmz-Expires=86400', '&x-amz-expires=86400', '&X-Amz-Expires=%38%36400'):
        k.refused(request(more), 'sigv4-expires')
    k.refused(request('&X-Amz-Expires=60&X-Amz-%45xpires=86400'), 'sigv4-form')


@test
def queries_with_two_meanings(w):
    k = Client(w)
    k.send(k.signed(query='a=b%20c&d=e%2Bf'))
    k.check()
    for query in ('a=b+c', 'a=%', 'a=%4', 'a=%zz', '%=a', '+=a'):
        k.refused(k.signed(query=query), 'sigv4-form')
    # Of one that is not signed nobody says anything.
    k.send(b'GET /?a=b+c%zz HTTP/1.1\r\nHost: api.test\r\n\r\n')


def shows_requests(connection, request):
    """The whole head: in a header, in the body in small pieces, compressed, in a trailer."""
    said = request.target + ' ' + ' '.join(request.header('authorization'))
    text = said.encode() + b' ' + base64.b64encode(said.encode())
    if request.path == '/gzip':
        return Origin.reply(connection, body=gzip.compress(text), headers=[('Content-Encoding', 'gzip'), ('X-Saw', said)])
    pieces = b''.join(b'%x\r\n%s\r\n' % (len(text[i:i + 7]), text[i:i + 7]) for i in range(0, len(text), 7))
    connection.send(b'HTTP/1.1 403 SignatureDoesNotMatch\r\nTransfer-Encoding: chunked\r\nX-Saw: %s\r\n\r\n%s0\r\nX-End: %s\r\n\r\n'
                    % (said.encode(), pieces, said.encode()))


def signatures_seen(w, secrets, hidden):
    w.origin.handler = shows_requests
    k = Client(w, secrets)
    scope = '20150830/us-east-1/s3/aws4_request'
    query = 'X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%s&X-Amz-Date=%s&X-Amz-Expires=60&X-Amz-SignedHeaders=host' \
        % (quote(k.id + '/' + scope, safe=''), TIME)
    for path in ('/x', '/gzip'):
        own = signature(k.key, scope, 'GET', path, query, [('host', 'api.test')], ['host'], 'UNSIGNED-PAYLOAD')
        presigned = 'GET %s?%s&X-Amz-Signature=%s HTTP/1.1\r\nHost: api.test\r\n\r\n' % (path, query, own)
        for request in (k.signed(path=path), presigned.encode()):
            _, headers, body = k.send(request, status=(200, 403))
            r = w.origin.requests[-1]
            sent = re.search(r'Signature=([0-9a-f]{64})', r.target + ''.join(r.header('authorization')))[1]
            mine = re.search(rb'Signature=([0-9a-f]{64})', request)[1].decode()
            assert sent != mine, sent
            seen = str(headers).encode() + body + base64.b64decode(body.split(b' ')[-1] + b'==')
            equal((sent.encode() in seen, mine.encode() in seen), (not hidden, hidden), 'signatures in %r' % seen)
            equal(headers['x-saw'].count(mine), int(hidden), 'in a header')
    return k


@test
def signatures_that_are_shown(w):
    """What was made anew could be sent again from anywhere: the sandbox sees its own."""
    k = signatures_seen(w, SECRETS, True)
    k.g.wait_record('secret.scrub', name='AWS_SECRET_ACCESS_KEY', where='body')


@test
def signatures_that_may_be_shown(w):
    """The control: with scrub = no they are seen."""
    signatures_seen(w, SECRETS.replace('inject = sigv4', 'inject = sigv4\nscrub = no'), False)


@test
def over_http2(w):
    """From a client that speaks it to a server that does not; the body is longer than the first window."""
    k = Client(w)
    h = w.client_of(k.c)
    for body, status in ((b'', 200), (b'{}', 200), (b'x' * 48 * 1024, 200), (b'x' * (1 << 20), 200), (b'x', 200),
                         (b'x' * ((8 << 20) + 1), 403)):
        head, _, _ = k.signed('POST', '/x', 'b=2&a=1', body=body).partition(b'\r\n\r\n')
        fields = [tuple(line.lower().split(': ', 1)) if not line.startswith('Auth') else ('authorization', line.split(': ', 1)[1])
                  for line in head.decode().split('\r\n')[1:]]
        fields = [(n, TIME if n == 'x-amz-date' else v) for n, v in fields if n != 'host']
        m = h.answer(h.request('/x?b=2&a=1', 'POST', fields, body or None))
        equal((m.status, m.get('x-nsbox-denied')), (status, None if status == 200 else 'sigv4-body'), '%d bytes' % len(body))
        k.check()


@test
def payloads_that_cannot_be_signed(w):
    k = Client(w)
    for payload in ('STREAMING-AWS4-HMAC-SHA256-PAYLOAD', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER'):
        k.refused(k.signed('PUT', body=b'x', service='s3', payload=payload), 'sigv4-streaming')
    k.send(k.signed('PUT', body=b'1\r\nx\r\n0\r\n\r\n', service='s3', payload='STREAMING-UNSIGNED-PAYLOAD-TRAILER'))
    k.check()
    k.refused(k.signed('POST', body=b'x' * ((8 << 20) + 1)), 'sigv4-body')
    k.refused(k.signed('POST', more=[('Transfer-Encoding', 'chunked')]) + b'0\r\n\r\n', 'sigv4-body')


@test
def long_bodies_whose_hash_is_not_told(w):
    """They are held, so that the head can be signed; only so much of them, and only for who has the key."""
    k = Client(w)
    for size in ((256 << 10) + 1, 8 << 20):
        k.send(k.signed('POST', body=b'x' * size))
        equal(w.origin.requests[-1].body_length, size)
        k.check(sha(b'x' * size))
    k.refused(k.signed('POST', body=b'x' * (8 << 20))[:-1] + b'y', 'sigv4-signature')
    head = k.signed('POST', body=b'x' * (8 << 20)).partition(b'\r\n\r\n')[0] + b'\r\n\r\n'
    others = [k.c.tls('api.test') for _ in range(3)]
    for s in others[1:]:
        s.sendall(head + b'x')
    until(lambda: k.send(k.signed('POST', body=b'y' * 20000), status=(200, 503))[0] == 503, message='both are not held')
    got = exchange(others[0], k.signed('POST', body=b'x' * 20000))
    equal((got[0], got[1]['x-nsbox-denied']), (503, 'sigv4-busy'))
    # What needs no room, with the hash or small, is served.
    k.send(k.signed('POST', body=b'x' * 16384))
    k.check()
    k.send(k.signed('PUT', body=b'x' * 20000, service='s3', payload=sha(b'x' * 20000)))
    k.send(k.signed('POST', body=b'x' * 20000, key='own', key_id='OWN'))
    for s in others[1:]:
        s.close()
    until(lambda: k.send(k.signed('POST', body=b'z' * 20000), status=(200, 503))[0] == 200, message='no room was given back')
    k.check()


@test
def signed_by_somebody_else(w):
    """Without the placeholder of the key, of another request, in a bad form: nothing is signed."""
    k = Client(w)
    k.refused(k.signed(key='something else'), 'sigv4-signature')
    k.refused(k.signed(key=KEY), 'sigv4-signature')
    k.refused(k.signed('POST', body=b'abc')[:-3] + b'abd', 'sigv4-signature')
    k.refused(k.signed().replace(b'GET /', b'GET /other'), 'sigv4-signature')
    k.refused(k.signed().replace(b'SignedHeaders=host;x-amz-date', b'SignedHeaders=x-amz-date'), 'sigv4-form')
    k.refused(k.signed().replace(b'aws4_request', b'aws5_request'), 'sigv4-form')
    k.refused(k.signed(more=[('Authorization', 'AWS4-HMAC-SHA256 x')]), 'sigv4-form')
    other = k.g.call('c2', '100.64.0.3')
    k.refused(k.signed(key=other.env['AWS_SECRET_ACCESS_KEY'], key_id=other.env['AWS_ACCESS_KEY_ID']), 'secret-misuse')
    # A key of its own is nobody's business.
    k.send(k.signed(key='own', key_id='OWN'))
    k.check(key='own', key_id='OWN')


@test
def towards_another_host(w):
    k = Client(w)
    k.refused(k.signed(host='other.test'), 'secret-misuse', host='other.test')
    k.g.wait_record('secret.misuse', name='AWS_SECRET_ACCESS_KEY', where='sigv4', reason='target')


@test
def with_a_key_that_was_revoked(w):
    k = Client(w)
    k.send(k.signed())
    k.g.revoke_secret('AWS_SECRET_ACCESS_KEY')
    k.refused(k.signed(), 'secret-misuse')
    k.g.wait_record('secret.misuse', name='AWS_SECRET_ACCESS_KEY', where='sigv4', reason='revoked')


@test
def the_key_itself(w):
    """Its placeholder has no place in a request."""
    k = Client(w)
    k.refused(b'GET / HTTP/1.1\r\nHost: api.test\r\nX: %s\r\n\r\n' % k.key.encode(), 'secret-misuse')
    k.refused(k.signed(headers=[('X-Key', k.key)]), 'secret-misuse')


if __name__ == '__main__':
    main(World)
