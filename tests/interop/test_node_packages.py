# SPDX-License-Identifier: Apache-2.0
"""Packages that agents of node are made of, through the gateway with nothing but the environment that a run sets: undici,
grpc-js, ws, and the SDKs of OpenAI and Anthropic against a stand-in for their servers.

The packages are fetched once, into a cache of the user who tests; without npm or a way to its packages these are skipped."""
import base64
import fcntl
import hashlib
import json
import os
import shutil
import struct
import subprocess
import time

from harness.box import Box
from harness.http2 import Http2Origin
from harness.origin import Origin
from harness.registry import check, equal, test

PACKAGES = ['undici@6.21.3', '@grpc/grpc-js@1.14.7', 'ws@8.23.0', 'openai@7.59.0', '@anthropic-ai/sdk@1.14.0']
VALUE = 'sk-real-of-a-node-program-0123456789'


def packages(t):
    """The directory that has node_modules."""
    for program in ('node', 'npm'):
        if not shutil.which(program, path='/usr/local/bin:/usr/bin:/bin'):
            t.skip(program + ' is not installed')
    home = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    name = hashlib.sha256(' '.join(PACKAGES).encode()).hexdigest()[:12]
    cache = os.path.join(home, 'nsbox-tests', 'npm-' + name)
    os.makedirs(cache, exist_ok=True)
    with open(cache + '/.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(cache + '/complete'):
            install(t, cache)
    return cache


def install(t, cache):
    """Nothing of a package runs here: its install scripts are left out."""
    shutil.rmtree(cache + '/node_modules', ignore_errors=True)
    # Not --prefix: npm then looks for its own configuration (the certificates it trusts) there too.
    with open(cache + '/package.json', 'w') as f:
        f.write('{}')
    command = ['npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock',
               '--fetch-retries=1', '--fetch-timeout=15000', *PACKAGES]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90,
                              cwd=cache)
    except subprocess.TimeoutExpired:
        t.skip('npm did not get the packages in time')
    if done.returncode:
        t.skip('npm cannot install: ' + done.stdout.decode('utf-8', 'replace').strip().splitlines()[0][:200])
    with open(cache + '/complete', 'w'):
        pass


def node(t, script, *hosts, origin, secret=None):
    """stdout of the script, which finds the packages as its own."""
    cache = packages(t)
    box = Box(t).connect(origin, *hosts).add('--read', cache)
    for host in hosts:
        box.add('--allow', host)
    if secret:
        box.add('--secret', '%s@%s' % (secret, hosts[0]), **{secret: VALUE})
    os.symlink(cache + '/node_modules', box.work + '/node_modules')
    t.write('box/work/script.js', script)
    return box.run('node', 'script.js').ok(), box


@test(timeout=150)
def undici(t):
    """HTTP/1.1 with pipelining and HTTP/2; the first of these tests to run may fetch the packages."""
    origin = Http2Origin(t.pki.context(['api.example.com']))
    first, _ = node(t, '''
const { request, Agent } = require('undici');
(async () => {
  const dispatcher = new Agent({ allowH2: true });
  const all = await Promise.all([...Array(20)].map((_, i) => request('https://api.example.com/' + i, { dispatcher })));
  const texts = await Promise.all(all.map((r) => r.body.text()));
  console.log(texts.filter((x) => x === 'origin says hello\\n').length);
  await dispatcher.close();
})();''', 'api.example.com', origin=origin)
    equal(first.out, '20\n', 'answers')
    equal(len(origin.requests), 20, 'requests at the origin')


@test(timeout=150)
def ws(t):
    """A WebSocket: text, binary, ping, and a proper close."""
    def echo(connection, request):
        key = request.header('sec-websocket-key')[0] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        connection.send(('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                         'Sec-WebSocket-Accept: %s\r\n\r\n' % accept).encode())
        return serve_frames(connection)

    origin = Origin(t.pki.context(['api.example.com']), handler=echo)
    result, _ = node(t, '''
const WebSocket = require('ws');
const w = new WebSocket('wss://api.example.com/socket');
const got = [];
w.on('open', () => { w.send('text'); w.send(Buffer.alloc(70000, 7)); w.ping('p'); });
w.on('pong', (data) => { got.push('pong ' + data); if (got.length === 3) w.close(1000); });
w.on('message', (data, binary) => { got.push(binary ? 'binary ' + data.length : String(data)); if (got.length === 3) w.close(1000); });
w.on('close', (code) => console.log(JSON.stringify([...got.sort(), code])));
w.on('error', (e) => console.log(String(e)));''', 'api.example.com', origin=origin)
    equal(json.loads(result.out), ['binary 70000', 'pong p', 'text', 1000], 'what came')


def serve_frames(connection):
    """Frames come back as they were, without the mask; ping becomes pong."""
    def exactly(n):
        data = b''
        while len(data) < n:
            data += connection.some(n - len(data))
        return data

    while True:
        first, second = exactly(2)
        length = second & 127
        if length > 125:
            length = struct.unpack('>H' if length == 126 else '>Q', exactly(2 if length == 126 else 8))[0]
        mask = exactly(4)
        data = bytes(b ^ mask[i % 4] for i, b in enumerate(exactly(length)))
        first = 0x8a if first & 15 == 9 else first
        size = bytes([len(data)]) if len(data) < 126 else b'\x7e' + struct.pack('>H', len(data)) if len(data) < 65536 \
            else b'\x7f' + struct.pack('>Q', len(data))
        connection.send(bytes([first]) + size + data)
        if first & 15 == 8:
            return False


@test(timeout=150)
def grpc_js(t):
    """gRPC: one answer, a stream of answers, a status without an answer, and a deadline."""
    def message(text):
        return b'\0' + struct.pack('>I', len(text)) + text

    def on_end(peer, m):
        peer_headers = [(':status', '200'), ('content-type', 'application/grpc')]
        if m.path.endswith('/Missing'):
            peer.headers(m.stream, peer_headers + [('grpc-status', '5'), ('grpc-message', 'no')], end=True)
            return
        if m.path.endswith('/Never'):
            return
        peer.headers(m.stream, peer_headers)
        for i in range(5 if m.path.endswith('/Count') else 1):
            peer.data(m.stream, message(b'%d' % i) if m.path.endswith('/Count') else bytes(m.body))
        peer.headers(m.stream, [('grpc-status', '0')], end=True)

    origin = Http2Origin(t.pki.context(['grpc.example.com']), on_end=on_end)
    result, _ = node(t, '''
const grpc = require('@grpc/grpc-js');
const client = new grpc.Client('grpc.example.com:443', grpc.credentials.createSsl());
const same = (x) => x;
const unary = (path, options = {}) => new Promise((done) =>
  client.makeUnaryRequest(path, same, same, Buffer.from('ping'), new grpc.Metadata(), options,
    (error, answer) => done(error ? error.code : String(answer))));
const stream = (path) => new Promise((done) => {
  const got = [];
  const call = client.makeServerStreamRequest(path, same, same, Buffer.from('x'));
  call.on('data', (data) => got.push(String(data)));
  call.on('error', (error) => done(error.code));
  call.on('end', () => done(got.join('')));
});
(async () => {
  const got = [await unary('/s.S/Echo'), await stream('/s.S/Count'), await unary('/s.S/Missing'),
    await unary('/s.S/Never', { deadline: Date.now() + 700 })];
  console.log(JSON.stringify(got));
  client.close();
})();''', 'grpc.example.com', origin=origin)
    equal(json.loads(result.out), ['ping', '01234', 5, 4], 'answers and codes')


def stream_of(connection, events):
    connection.send(b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n')
    for event in events:
        data = event.encode()
        connection.send(b'%x\r\n%s\r\n' % (len(data), data))
        time.sleep(0.02)
    connection.send(b'0\r\n\r\n')


@test(timeout=150)
def openai(t):
    def answer(connection, request):
        if request.header('authorization') != ['Bearer ' + VALUE]:
            return Origin.reply(connection, '401 Unauthorized', '{"error": {"message": "who are you"}}',
                                [('Content-Type', 'application/json')])
        chunk = {'id': 'c', 'object': 'chat.completion', 'created': 1, 'model': 'm'}
        if json.loads(request.body).get('stream'):
            return stream_of(connection, ['data: %s\n\n' % json.dumps(dict(chunk, object='chat.completion.chunk', choices=[
                {'index': 0, 'delta': {'content': w}, 'finish_reason': None}])) for w in ('streamed ', 'words')] +
                ['data: [DONE]\n\n'])
        chunk['choices'] = [{'index': 0, 'finish_reason': 'stop', 'message': {'role': 'assistant', 'content': 'whole'}}]
        Origin.reply(connection, body=json.dumps(chunk), headers=[('Content-Type', 'application/json')])

    origin = Origin(t.pki.context(['api.openai.com']), handler=answer)
    result, box = node(t, '''
const OpenAI = require('openai').default;
const client = new OpenAI({ maxRetries: 0 });
const ask = { model: 'm', messages: [{ role: 'user', content: 'hi' }] };
(async () => {
  const whole = await client.chat.completions.create(ask);
  console.log(whole.choices[0].message.content);
  let text = '';
  for await (const part of await client.chat.completions.create({ ...ask, stream: true }))
    text += part.choices[0].delta.content;
  console.log(text);
})();''', 'api.openai.com', origin=origin, secret='OPENAI_API_KEY')
    equal(result.out, 'whole\nstreamed words\n', 'answers')
    equal(len(box.audit('secret.use', name='OPENAI_API_KEY')), 2, 'uses of the key')


@test(timeout=150)
def anthropic(t):
    def answer(connection, request):
        # Versions differ in which of the two they send.
        if (request.header('x-api-key') or request.header('authorization')) not in ([VALUE], ['Bearer ' + VALUE]):
            return Origin.reply(connection, '401 Unauthorized', '{"type": "error", "error": {"type": "authentication_error", '
                                '"message": "no"}}', [('Content-Type', 'application/json')])
        message = {'id': 'm', 'type': 'message', 'role': 'assistant', 'model': 'm', 'content': [], 'stop_reason': None,
                   'stop_sequence': None, 'usage': {'input_tokens': 1, 'output_tokens': 1}}
        if json.loads(request.body).get('stream'):
            events = [{'type': 'message_start', 'message': message},
                      {'type': 'content_block_start', 'index': 0, 'content_block': {'type': 'text', 'text': ''}}]
            events += [{'type': 'content_block_delta', 'index': 0, 'delta': {'type': 'text_delta', 'text': w}}
                       for w in ('streamed ', 'words')]
            events += [{'type': 'content_block_stop', 'index': 0},
                       {'type': 'message_delta', 'delta': {'stop_reason': 'end_turn', 'stop_sequence': None},
                        'usage': {'output_tokens': 2}}, {'type': 'message_stop'}]
            return stream_of(connection, ['event: %s\ndata: %s\n\n' % (e['type'], json.dumps(e)) for e in events])
        message['content'] = [{'type': 'text', 'text': 'whole'}]
        message['stop_reason'] = 'end_turn'
        Origin.reply(connection, body=json.dumps(message), headers=[('Content-Type', 'application/json')])

    origin = Origin(t.pki.context(['api.anthropic.com']), handler=answer)
    result, box = node(t, '''
const Anthropic = require('@anthropic-ai/sdk').default;
const client = new Anthropic({ maxRetries: 0 });
const ask = { model: 'm', max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] };
(async () => {
  const whole = await client.messages.create(ask);
  console.log(whole.content[0].text);
  const last = await client.messages.stream(ask).finalMessage();
  console.log(last.content[0].text);
})();''', 'api.anthropic.com', origin=origin, secret='ANTHROPIC_API_KEY')
    equal(result.out, 'whole\nstreamed words\n', 'answers')
    equal(len(box.audit('secret.use', name='ANTHROPIC_API_KEY')), 2, 'uses of the key')
    check(VALUE not in result.out + result.err, 'the key was shown')
