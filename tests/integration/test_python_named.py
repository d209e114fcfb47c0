# SPDX-License-Identifier: Apache-2.0
"""examples/python against the installed library: sandboxes that stay."""
from harness.box import Box
from harness.python import PRELUDE, SANITIZED, script
from harness.registry import equal, test


@test(timeout=120)
def named_sandboxes(t):
    box = Box(t)
    try:
        result = script(t, PRELUDE + '''
def names():
    return [entry['name'] for entry in sb.list_sandboxes()]

with sb.Runtime() as runtime, runtime.create_named(policy(), 'one') as box:
    box.run(['sh', '-c', 'echo kept >/tmp/note'])
    taken = refused(runtime.create_named, policy(), 'one')[0]
    wrong = refused(runtime.create_named, policy(), '-x')[0]
    first = [box.name, box.inspect()['name']]
    unnamed = runtime.create_named(policy())
    by_id = unnamed.name == unnamed.id
    unnamed.remove()
    unnamed.close()
there = names()
entry = sorted(sb.list_sandboxes()[0])
with sb.Runtime() as runtime, runtime.open('one') as box:
    found = box.run(['cat', '/tmp/note']).stdout.decode()
    same = runtime.open(box.id).id == box.id
    call = box.start(['sleep', '60'], stdin=sb.NULL)
    busy = refused(box.remove)[0]
    # One that another runtime has started.
    with sb.Runtime() as other, other.open('one') as again:
        second = again.start(['sleep', '60'], stdin=sb.NULL)
        box.signal_call(second.id, signal.SIGTERM)
        signalled = [second.wait(30).signal, refused(box.signal_call, second.id, signal.SIGTERM)[0]]
    box.remove(force=True)
    call.close()
out([first, taken, wrong, by_id, there, entry, found, same, busy, signalled, names()])
''', box=box, timeout=100)
        equal(result, [['one', 'one'], 'EEXIST', 'EINVAL', True, ['one'],
                       ['created', 'id', 'name', 'net', 'pid', 'state', 'workdir'], 'kept\n', True, 'EBUSY',
                       [15, 'ESRCH'], []], 'named sandboxes')
    finally:
        sweep(t, box)


@test(timeout=120)
def output_is_kept(t):
    """A detached call goes on without its runtime, and what it printed is read later."""
    box = Box(t)
    try:
        result = script(t, PRELUDE + '''
with sb.Runtime() as runtime, runtime.create_named(policy(), 'logged') as box:
    call = box.start(['sh', '-c', 'echo now; sleep 0.7; echo later; echo error >&2; echo done >end'], stdin=sb.NULL,
                     stdout=sb.LOG, stderr=sb.LOG, detached=True)
    number = call.id
with sb.Runtime() as runtime, runtime.open('logged') as box:
    for _ in range(600):
        if not box.inspect()['calls']:
            break
        time.sleep(0.05)
ended = os.path.exists('end')
text = {1: b'', 2: b''}
calls = set()
with sb.Output('logged') as output:
    for piece in output:
        text[piece.stream] += piece.data
        calls.add(piece.call)
    more = output.next()
pruned = sb.prune()
plain = None
with sb.Runtime() as runtime, runtime.create(policy()) as box:
    plain = refused(box.start, ['true'], stdout=sb.LOG) != 'no error'
out([ended, text[1].decode(), text[2].decode(), calls == {number}, more, pruned, sb.list_sandboxes(), plain,
     refused(sb.Output, 'logged')[0]])
''', box=box, timeout=100)
        equal(result, [True, 'now\nlater\n', 'error\n', True, None, ['logged'], [], True, 'ENOENT'], 'output')
    finally:
        sweep(t, box)


def sweep(t, box):
    """Named sandboxes outlive a script that failed."""
    if not SANITIZED:
        script(t, PRELUDE + '''
for entry in sb.list_sandboxes():
    with sb.Runtime() as runtime, runtime.open(entry['name']) as box:
        box.remove(force=True)
''', box=box)
