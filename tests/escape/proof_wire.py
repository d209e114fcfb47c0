# SPDX-License-Identifier: Apache-2.0
"""Cases of the sibling proof about authority on the wire: hosts, secrets, placeholders, connections, quotas. The oracle
is what the servers got and what the audit log says of whom; the control is the same by the call that has the right."""
import base64
import json
import os

import host
from proof_cases import DELEGATED, NO, case, worked
from proof_inside import question
from proof_room import A, B, DATA, DATA_PORT, PLAIN, PLAIN_PORT, VALUE_B, Void, check, equal

PLAIN_REQUEST = (PLAIN_PORT, 'GET', [], '', None, False)


def new_path():
    return '/' + host.word()


def may(answer, what):
    if answer != '200':
        raise Void('%s: %s' % (what, answer))


def denied(room, call, path, reason='grant'):
    """Recorded as a refusal of this call; else the decision would be somebody else's, or nobody's."""
    check(room.soon('http.deny', call=call.id, path=path, reason=reason), 'no record of the refusal of %s' % path)


@case(NO, NO, 'a host that only the sibling\'s grant has')
def other_host(room, p):
    right, wrong = new_path(), new_path()
    may(p.two('http', B, right), 'the sibling itself')
    equal(len(room.seen(room.b, right)), 1, 'requests of the sibling')
    p.one.do('http', B, wrong)
    denied(room, p.one, wrong)
    return worked(room.seen(room.b, wrong))


@case(NO, NO, 'a port for other protocols that only the sibling\'s grant has')
def other_port(room, p):
    if p.two.token('connect', 'c', DATA, DATA_PORT, 'of-two ' + p.two.id) != 'y':
        raise Void('the sibling itself gets no answer')
    before = room.echo.accepted
    p.one.do('connect', 'c', DATA, DATA_PORT, '\0\1\2\3\r\n\r\n')
    check(room.soon('net.deny', call=p.one.id, host=DATA), 'no record')
    return worked(room.echo.accepted != before)


@case(NO, NO, 'the address that stands for its host, dialled directly, with either name')
def address_of_its_host(room, p):
    right, wrong, lie = new_path(), new_path(), new_path()
    at = p.two('lookup', B)
    may(p.two('http', B, right, 443, 'GET', [], '', at), 'the sibling itself')
    p.one.do('http', B, wrong, 443, 'GET', [], '', at)
    p.one.do('http', A, lie, 443, 'GET', [], '', at)
    denied(room, p.one, wrong)
    return worked([r for r in room.b.requests if r.path in (wrong, lie)] or room.seen(room.a, lie))


@case(NO, NO, 'to be taken for the sibling by what is said: Forwarded, Host, the PROXY line')
def said_identity(room, p):
    right, wrong = new_path(), new_path()
    may(p.two('http', PLAIN, right, *PLAIN_REQUEST), 'the sibling itself')
    address = p.two('address')
    for header in ('X-Forwarded-For: %s', 'Forwarded: for=%s', 'X-Real-IP: %s', 'Via: 1.1 %s', 'X-Call: ' + p.two.id):
        name, _, value = header.partition(': ')
        value = value % address if '%' in value else value
        p.one.do('http', PLAIN, wrong, PLAIN_PORT, 'GET', [[name, value]], '', None, False)
    check(len(room.soon('http.deny', call=p.one.id, path=wrong)) == 5, 'records')
    line = 'PROXY TCP4 %s 192.0.2.1 1 %d\r\n' % (address, PLAIN_PORT)
    p.one.do('connect', 'proxied', PLAIN, PLAIN_PORT,
             line + 'GET %s HTTP/1.1\r\nHost: %s:%d\r\n\r\n' % (wrong, PLAIN, PLAIN_PORT))
    return worked(room.seen(room.plain, wrong))


@case(NO, NO, 'a session of TLS that the sibling saved')
def tls_session(room, p):
    path, before = room.file('session'), len(room.b.requests)
    may(p.two('tls_session', B, path, 'save'), 'the sibling itself')
    if not os.path.exists(path):
        # Nothing to steal: the gateway resumes nothing.
        may(p.two('tls_session', B, path, 'none'), 'a second one')
        return NO
    p.one.do('tls_session', B, path, 'use')
    return worked(len(room.b.requests) - before != 1)


@case(NO, NO, 'the connection from the gateway to a server, kept open for the sibling')
def upstream_connection(room, p):
    paths = [new_path() for _ in range(3)]
    for path in paths[:2]:
        may(p.two('http', B, path), 'the sibling itself')
    may(p.three('http', B, paths[2]), 'another call')
    first, again, other = (room.seen(room.b, path)[0].connection for path in paths)
    return worked(other in (first, again))


@case(NO, NO, 'the secret of the sibling\'s grant, by its name')
def secret_by_name(room, p):
    path = new_path()
    check(p.two('env', 'KEY_B'), 'the sibling itself has none')
    may(p.one('http', A, path, 443, 'GET', [['X-Word', 'KEY_B ${KEY_B} $KEY_B']]), 'the request itself')
    raw = room.seen(room.a, path)[0].head.decode()
    return worked(p.one('env', 'KEY_B') or VALUE_B in raw)


def escaped(text):
    return ''.join('%%%02X' % ord(c) for c in text)


def places(placeholder):
    """(path, headers, body) with it in every form that is looked for."""
    basic = base64.b64encode(('user:' + placeholder).encode()).decode()
    return [('', [['Authorization', 'Bearer ' + placeholder]], ''), ('', [['Authorization', 'Basic ' + basic]], ''),
            ('', [['X-Note', 'in the middle ' + placeholder + ' of it']], ''), ('?key=' + placeholder, [], ''),
            ('?key=' + escaped(placeholder), [], ''), ('/' + placeholder, [], ''), ('', [], 'key=' + placeholder),
            ('', [], base64.b64encode(placeholder.encode()).decode()),
            ('', [], json.dumps({'key': placeholder}).replace('nsbox', '\\u006esbox'))]


def in_use(room, call, name='KEY_B'):
    """The placeholder of a call that works for it: the server gets the value."""
    placeholder, path = call('env', name), new_path()
    may(call('http', B, path, 443, 'GET', [['Authorization', 'Bearer ' + placeholder]]), 'the call itself')
    equal(room.seen(room.b, path)[0].header('authorization'), ['Bearer ' + VALUE_B], 'what the server got')
    return placeholder


def use_of(room, thief, placeholder, target=B):
    """Whether any form of it got anywhere when another call sends it. Its own one has worked there."""
    mark, before = host.word(), len(room.records('secret.misuse', call=thief.id))
    for number, (tail, headers, body) in enumerate(places(placeholder)):
        thief.do('http', target, '/%s-%d%s' % (mark, number, tail), 443, 'POST' if body else 'GET', headers, body)
    arrived = [r for origin in (room.a, room.b) for r in origin.requests if mark in r.target]
    if not arrived:
        got = {r['reason'] for r in room.records('secret.misuse', call=thief.id)[before:]}
        equal(len(room.records('secret.misuse', call=thief.id)) - before, len(places(placeholder)), 'records of misuse')
        check(got <= {'other-call', 'ended-call', 'wrong-target'}, 'reasons: %s' % got)
    return worked(arrived)


@case(NO, NO, 'a placeholder that the sibling wrote into a file')
def placeholder_from_file(room, p):
    path = room.file('key')
    in_use(room, p.two)
    in_use(room, p.three)
    p.two('write', path, p.two('env', 'KEY_B'))
    return use_of(room, p.three, p.three('read', path))


@case(NO, NO, 'a placeholder that came through a pipe, to the caller\'s own host')
def placeholder_through_pipe(room, p):
    path = room.file('pipe')
    in_use(room, p.two)
    p.two('put_into_pipe', path, p.two('env', 'KEY_B'))
    return use_of(room, p.one, p.one('out_of_pipe', path), A)


def once(room, isolation, placeholder, how):
    """A new call that was given it when it was started."""
    path = new_path()
    url = 'https://%s%s' % (B, path)
    script = 'exec curl -s -o /dev/null -m 8 -w "%%{http_code}" -H "Authorization: Bearer %s" "$1"'
    words, options = [url], []
    if how == 'argv':
        words.append(placeholder)
        script %= '$2'
    else:
        options += ['--env', 'COPY=' + placeholder]
        script %= '$COPY'
    _, out, err = room.box.run(isolation, ['/bin/sh', '-c', script, 'sh'] + words, ['--grant', 'two'] + options)
    equal(out.strip() or err, '403', 'status')
    call = [r['call'] for r in room.records('call.start') if url in r['argv']][0]
    equal({r['reason'] for r in room.soon('secret.misuse', call=call)}, {'other-call'}, 'records of misuse')
    return worked(room.seen(room.b, path))


@case(NO, NO, 'a placeholder as an argument of another call\'s command')
def placeholder_in_argv(room, p):
    placeholder = in_use(room, p.two)
    return once(room, p.isolation, placeholder, 'argv')


@case(NO, NO, 'a placeholder copied from one environment into another')
def placeholder_in_environment(room, p):
    placeholder = in_use(room, p.two)
    return once(room, p.isolation, placeholder, 'env')


@case(NO, NO, 'a placeholder of a call that has ended, by its equals then running and later started')
def placeholder_of_the_dead(room, p):
    dead = room.call(p.isolation, 'two')
    placeholder = in_use(room, dead)
    dead.end()
    later = room.call(p.isolation, 'two')
    check(later('env', 'KEY_B') != placeholder, 'a later call has got the same one')
    in_use(room, later)
    results = {use_of(room, call, placeholder) for call in (p.three, later)} | {use_of(room, p.one, placeholder, A)}
    later.end()
    return worked(results != {NO})


def answers(call, n, path, body=''):
    return [str(call.token('http', B, path, 443, 'POST' if body else 'GET', [], body)).split()[0] for _ in range(n)]


@case(NO, NO, 'requests of the sibling\'s quota (uses)')
def quota_of_uses(room, p):
    first, second = (room.call(p.isolation, 'two', '--uses', '3') for _ in range(2))
    one, two = new_path(), new_path()
    equal(answers(first, 2, one), ['200', '200'], 'the first one\'s')
    got = answers(second, 5, two)
    left = answers(first, 2, one)
    equal((len(room.seen(room.b, one)), len(room.seen(room.b, two))), (3, 3), 'requests at the server')
    check(room.records('limit.hit', call=first.id, reason='uses'), 'no record')
    first.end(), second.end()
    return worked(got != ['200'] * 3 + ['429'] * 2 or left != ['200', '429'])


@case(NO, NO, 'bytes of the sibling\'s quota (bytes_up)')
def quota_of_bytes(room, p):
    first, second = (room.call(p.isolation, 'two', '--bytes-up', '50K') for _ in range(2))
    one, two, body = new_path(), new_path(), 'x' * 20000
    equal(answers(first, 1, one, body), ['200'], 'the first one\'s')
    got = answers(second, 3, two, body)
    left = answers(first, 2, one, body)
    equal((len(room.seen(room.b, one)), len(room.seen(room.b, two))), (2, 2), 'requests at the server')
    check(room.records('limit.hit', call=first.id, reason='bytes-up'), 'no record')
    first.end(), second.end()
    return worked(got[:2] != ['200', '200'] or got[2] == '200' or left[0] != '200' or left[1] == '200')


@case(NO, NO, 'names, of which a call may ask for 4096: the sibling keeps all of its own')
def quota_of_names(room, p):
    first = room.call(p.isolation, 'two')
    code = first('ask_many', 4097, 'of-%s.example.com' % host.word())
    equal(code, 'code 2', 'the answer to one too many')
    check(room.soon('limit.hit', call=first.id, reason='too-many-names'), 'no record')
    path = new_path()
    answer = p.three.token('ask', 'new-%s.example.com' % host.word()), p.three.token('http', B, path)
    first.end()
    return worked(answer != (1, '200'))


@case(NO, NO, 'connections, of which a call may have 1,024: the sibling gets its own')
def quota_of_connections(room, p):
    first, path = room.call(p.isolation, 'two'), new_path()
    first('hold', 1100, PLAIN, PLAIN_PORT)
    host.wait_until(lambda: first('held') <= 1024, 30)
    check(1000 <= first('held') <= 1024, '%d connections' % first('held'))
    check(room.soon('net.deny', call=first.id, reason='too-many-connections'), 'no record')
    answer = p.three.token('http', PLAIN, path, *PLAIN_REQUEST)
    first.end()
    return worked(answer != '200')


@case(NO, NO, 'the resolver: all the connections to it that there are')
def quota_of_resolver(room, p):
    first = room.call(p.isolation, 'two')
    if p.three.token('ask', 'a.example.com', 'tcp') != 1:
        raise Void('it does not answer by TCP')
    first('hold', 400, '100.64.0.1', 53)
    host.wait_until(lambda: first('held') <= 256, 30)
    answer = p.three.token('ask', 'a.example.com', 'tcp')
    first.end()
    return worked(answer != 1)


def hand_over(room, giver, taker, name):
    path = room.file('socket')
    taker('wait_at', path)
    giver('give', name, path)
    taker('take', name, path)


def by_whom(room, path, giver, taker):
    """The outcome for a request that one call made through something of another."""
    if not room.seen(room.plain, path):
        return NO
    calls = {r['call'] for r in room.soon('net.allow', path=path)}
    check(calls == {giver.id}, 'it was recorded for %s, not for the giver %s' % (calls, giver.id))
    check(not room.records('http.deny', call=taker.id, path=path), 'both')
    return DELEGATED


@case(DELEGATED, DELEGATED, 'a connection that the sibling passed on: recorded, and counted, as its own')
def lent_connection(room, p):
    right, wrong, lent = new_path(), new_path(), new_path()
    p.one.do('http', PLAIN, wrong, *PLAIN_REQUEST)
    equal(room.seen(room.plain, wrong), [], 'requests without it')
    p.two('connect', 'lent', PLAIN, PLAIN_PORT)
    named = '%s:%d' % (PLAIN, PLAIN_PORT)
    may(p.two('kept_request', 'lent', named, right), 'the sibling itself')
    hand_over(room, p.two, p.one, 'lent')
    p.one.do('kept_request', 'lent', named, lent)
    return by_whom(room, lent, p.two, p.one)


@case(DELEGATED, DELEGATED, 'a socket that the sibling made and passed on, connected by the caller')
def lent_socket(room, p):
    lent = new_path()
    p.two('make', 'fresh', 'tcp')
    hand_over(room, p.two, p.one, 'fresh')
    p.one.do('kept_connect', 'fresh', PLAIN, PLAIN_PORT)
    p.one.do('kept_request', 'fresh', '%s:%d' % (PLAIN, PLAIN_PORT), lent)
    return by_whom(room, lent, p.two, p.one)


@case(NO, NO, 'the caller\'s own placeholder through a socket of the sibling, and the other way round')
def placeholder_over_lent_socket(room, p):
    lent, before = new_path(), [len(room.records('secret.misuse', call=c.id)) for c in (p.two, p.one)]
    for name, placeholder in (('mine', p.one('env', 'KEY_A')), ('its', p.three('env', 'KEY_B'))):
        p.two('make', name, 'tcp')
        hand_over(room, p.two, p.one, name)
        p.one('kept_connect', name, PLAIN, PLAIN_PORT)
        p.one.do('kept_request', name, '%s:%d' % (PLAIN, PLAIN_PORT), lent, [['X-Key', placeholder]])
    # Of the connection, whoever wrote into it.
    equal(len(room.soon('secret.misuse', call=p.two.id)) - before[0], 2, 'records of misuse by who has the connection')
    equal(len(room.records('secret.misuse', call=p.one.id)) - before[1], 0, 'records of misuse by who used it')
    return worked(room.seen(room.plain, lent))


@case(DELEGATED, DELEGATED, 'the quota of who passed a socket on, not the caller\'s, pays for it')
def quota_of_lent_socket(room, p):
    giver = room.call(p.isolation, 'two', '--uses', '2')
    named, lent = '%s:%d' % (PLAIN, PLAIN_PORT), new_path()
    giver('connect', 'paid', PLAIN, PLAIN_PORT)
    hand_over(room, giver, p.one, 'paid')
    got = [str(p.one.token('kept_request', 'paid', named, lent)).split()[0] for _ in range(3)]
    own = answers(giver, 1, lent)
    equal((got, own), (['200', '200', '429'], ['429']), 'statuses')
    result = by_whom(room, lent, giver, p.one)
    giver.end()
    return result


@case(DELEGATED, DELEGATED, 'a socket for the resolver, passed on')
def lent_resolver(room, p):
    name = '%s.of-two.example.com' % host.word()
    p.two('connect', 'resolver', '100.64.0.1', 53, '', 'udp')
    hand_over(room, p.two, p.one, 'resolver')
    p.one.do('talk', 'resolver', question(name).decode('latin-1'))
    calls = {r['call'] for r in room.soon('dns.query', host=name)}
    equal(calls, {p.two.id}, 'whose question it is')
    return DELEGATED


@case(NO, NO, 'connections into the caller\'s network by a listening socket of the sibling: only its own reach it')
def lent_listener(room, p):
    port = p.two('make', 'listening', 'listening')
    hand_over(room, p.two, p.one, 'listening')
    p.one.do('connect', 'x', '127.0.0.1', port)
    p.three.do('connect', 'x', p.two('address'), port)
    stray = p.one.token('kept_accept', 'listening')
    # The control: who shares the network of the socket gets through.
    p.two('connect', 'own', '127.0.0.1', port)
    if p.one.token('kept_accept', 'listening') != '127.0.0.1':
        raise Void('nobody reaches it')
    return worked(stray not in ('TimeoutError', 'EAGAIN'))


@case(NO, NO, 'sockets of a call that has ended, also once another call has started')
def sockets_of_the_dead(room, p):
    dead, lent, named = room.call(p.isolation, 'two'), new_path(), '%s:%d' % (PLAIN, PLAIN_PORT)
    dead('connect', 'kept', PLAIN, PLAIN_PORT)
    dead('make', 'fresh', 'tcp')
    dead('connect', 'asked', '100.64.0.1', 53, '', 'udp')
    for name in ('kept', 'fresh', 'asked'):
        hand_over(room, dead, p.one, name)
    equal(p.one.token('kept_request', 'kept', named, lent), '200', 'while the call lives')
    dead.end()
    later = [room.call(p.isolation, 'two') for _ in range(3)]
    wrong = new_path()
    p.one.do('kept_request', 'kept', named, wrong)
    p.one.do('kept_connect', 'fresh', PLAIN, PLAIN_PORT)
    p.one.do('kept_request', 'fresh', named, wrong)
    asked = p.one.token('talk', 'asked', '\x12\x34\1\0\0\1\0\0\0\0\0\0\4dead\7example\3com\0\0\1\0\1')
    for call in later:
        equal(room.records('http.request', call=call.id), [], 'requests of a later call')
        call.end()
    return worked(room.seen(room.plain, wrong) or room.records('dns.query', host='dead.example.com') or
                  asked not in ('TimeoutError', 'ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ENETDOWN', 'EPIPE'))


@case(NO, NO, 'the address of a call that has ended: no later one gets it')
def address_of_the_dead(room, p):
    dead = room.call(p.isolation, 'two')
    address = dead('address')
    may(dead('http', B, new_path()), 'while the call lives')
    dead.end()
    if p.one.token('bind_as', address, 15) == 'ok':  # IP_FREEBIND
        check(p.one.refused('kept_connect', 'bound', p.one('lookup', B), 443), 'packets leave with it')
    later = [room.call(p.isolation, 'two') for _ in range(8)]
    addresses = [call('address') for call in later]
    equal(len(set(addresses)), len(addresses), 'different addresses')
    for call in later:
        call.end()
    return worked(address in addresses)
