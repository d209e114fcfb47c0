#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an agent front end does: one sandbox, and the tool calls of a model in it, several at a time.

usage: tools.py [--library FILE] [--workdir DIR]
Prints a line for each tool call, and ends with 0 when all went as they should."""
import argparse
import asyncio
import os
import signal
import sys

import libsandbox


class Tools:
    """Tool calls as a front end sees them: words in, a small report out; nothing a tool does is an exception here."""

    def __init__(self, box):
        self.box = box

    async def call(self, *argv, **options):
        try:
            done = await self.box.run_async(argv, **options)
        except libsandbox.SandboxError as error:  # it never ran
            return {'error': libsandbox.stage_name(error.stage), 'message': str(error)}
        return {'status': done.exit.status, 'signal': done.exit.signal, 'reason': done.exit.reason,
                'stdout': done.stdout.decode(errors='replace'), 'stderr': done.stderr.decode(errors='replace')}

    async def shell(self, command, **options):
        return await self.call('sh', '-c', command, **options)


async def session(runtime, box, show):
    """A turn of the model: a few calls at once, each with its own end."""
    tools = Tools(box)
    several = {
        'output': tools.shell('echo to stdout; echo to stderr >&2; exit 3'),
        'input': tools.call('tr', 'a-z', 'A-Z', input=b'what the tool reads\n'),
        'options': tools.shell('pwd; echo $GREETING', directory='/tmp', env={'GREETING': 'hello'}),
        'timeout': tools.shell('sleep 60', timeout=0.5),
        'isolated': tools.shell('ls /proc | grep -c "^[0-9]*$"', isolation='full'),
        'missing': tools.call('no-such-tool'),
    }
    for name, result in zip(several, await asyncio.gather(*several.values())):
        show(name, result)

    # The user presses stop: the task is cancelled, and with it everything that the tool has started.
    task = asyncio.ensure_future(tools.shell('sleep 60 & sleep 60'))
    await asyncio.sleep(0.3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    running = [call for call in box.inspect()['calls'] if call['state'] != 'ended']
    show('stopped', {'cancelled': task.cancelled(), 'running': len(running)})

    # One that is asked to end, and says something while it does.
    with box.start_async(['sh', '-c', 'trap "echo bye; exit 0" TERM; echo ready; while :; do sleep 0.1; done'],
                         stdin=libsandbox.NULL, stdout=libsandbox.PIPE) as call:
        await call.started_async()
        # In a thread, since it blocks; it says one line only, so nothing more is in the buffer of the file.
        first = await asyncio.get_running_loop().run_in_executor(None, call.stdout.readline)
        call.signal(signal.SIGTERM)
        out, _ = await call.communicate_async()
        end = await call.wait_async()
        show('asked', {'status': end.status, 'reason': end.reason, 'stdout': (first + out).decode()})

    # The audit log has all of this; as events they come without reading it.
    for event in runtime.events():
        if event.name == 'call.exit':
            show('event', {'name': event.name, 'call': event.call, 'exit': event.record.get('exit')})


def named(policy, show):
    """A sandbox that outlives this program's runtime, as between two commands of a user."""
    name = 'tools-%d' % os.getpid()
    with libsandbox.Runtime() as runtime, runtime.create_named(policy, name) as box:
        box.run(['sh', '-c', 'echo kept between runs >/tmp/note'])
    show('listed', {'there': name in [entry['name'] for entry in libsandbox.list_sandboxes()]})
    with libsandbox.Runtime() as runtime, runtime.open(name) as box:
        try:
            show('found', {'note': box.run(['cat', '/tmp/note']).stdout.decode()})
        finally:
            box.remove(force=True)
    show('removed', {'there': name in [entry['name'] for entry in libsandbox.list_sandboxes()]})


EXPECTED = {
    'output': {'status': 3, 'stdout': 'to stdout\n', 'stderr': 'to stderr\n', 'reason': 'exit'},
    'input': {'status': 0, 'stdout': 'WHAT THE TOOL READS\n'},
    'options': {'status': 0, 'stdout': '/tmp\nhello\n'},
    'timeout': {'reason': 'timeout'},
    'isolated': {'status': 0},
    'missing': {'error': 'exec'},
    'stopped': {'cancelled': True, 'running': 0},
    'asked': {'status': 0, 'reason': 'exit', 'stdout': 'ready\nbye\n'},
    'event': {'name': 'call.exit'},
    'listed': {'there': True},
    'found': {'note': 'kept between runs\n'},
    'removed': {'there': False},
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--library', help='libsandbox.so, when the system does not find it')
    parser.add_argument('--workdir', help='the workspace; default: the current directory')
    options = parser.parse_args()
    libsandbox.load(options.library)
    seen, wrong = set(), []

    def show(name, result):
        seen.add(name)
        good = all(result.get(key) == value for key, value in EXPECTED[name].items())
        if not good:
            wrong.append(name)
        print('%-9s %s%s' % (name, result, '' if good else '   <- not as expected'), flush=True)

    try:
        policy = libsandbox.Policy(options.workdir).set('network', 'mode', 'none')
        with libsandbox.Runtime(events='call.exit') as runtime, runtime.create(policy) as box:
            asyncio.run(session(runtime, box, show))
        named(policy, show)
    except libsandbox.SandboxError as error:
        print('%s: %s' % (libsandbox.stage_name(error.stage), error), file=sys.stderr)
        return 125
    wrong += sorted(set(EXPECTED) - seen)
    print('not as expected: ' + ', '.join(wrong) if wrong else 'all as expected')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
