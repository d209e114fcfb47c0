// SPDX-License-Identifier: Apache-2.0
// What node's HTTP server makes of streams of requests: in and out as in http1_messages.c, and whether it refused.
'use strict';
const http = require('http');
const { Duplex } = require('stream');

class Wire extends Duplex {
  _read() {}
  _write(chunk, encoding, done) { done(); }
  setTimeout() {}
  setNoDelay() {}
  setKeepAlive() {}
  ref() {}
  unref() {}
}

function one(data) {
  return new Promise((resolve) => {
    const messages = [];
    const server = http.createServer({ requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 0 });
    const wire = new Wire();
    let refused = null;
    let open = 0;
    const end = () => { wire.destroy(); resolve({ messages, refused, open }); };
    const take = (request, response) => {
      const parts = [];
      open++;
      request.on('data', (part) => parts.push(part));
      request.on('error', () => {});
      request.on('end', () => {
        open--;
        if (request.complete)
          messages.push([request.method, request.url, Buffer.concat(parts).toString('hex')]);
        response.end();
      });
    };
    server.on('request', take);
    server.on('checkContinue', take);
    server.on('checkExpectation', take);
    server.on('connect', () => { refused = 'connect'; });
    server.on('clientError', (error) => { refused = error.code || 'error'; });
    server.emit('connection', wire);
    wire.push(data);
    // All of it is taken in turns of the loop, without input from elsewhere.
    let turns = 8;
    const turn = () => (--turns ? setImmediate(turn) : end());
    setImmediate(turn);
  });
}

async function main() {
  const input = require('fs').readFileSync(0);
  const lines = [];
  for (let at = 0; at < input.length;) {
    const length = input.readUInt32LE(at);
    lines.push(JSON.stringify(await one(input.subarray(at + 4, at + 4 + length))));
    at += 4 + length;
  }
  process.stdout.write(lines.join('\n') + '\n');
}

main();
