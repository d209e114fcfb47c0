# SPDX-License-Identifier: Apache-2.0
"""The case of the sibling proof about the end: a hundred calls, each with a daemon, an open connection and a
placeholder in a file, and in the moment when the end of one is told, nothing of it works."""
import queue
import threading

import host
from proof_cases import NO, case, worked
from proof_room import B, DATA, DATA_PORT, Void, closed
from proof_wire import in_use

CALLS, AT_ONCE = 100, 4


def one_end(room, isolation, thief, lock):
    """What of one call still was there when its end had been told; None when it never was."""
    mark, path = 'end-' + host.word(), room.file('key')
    call = room.agent(room.box.words(isolation, [room.tools + '/agent-two', mark]))
    try:
        if call('leave', mark, DATA, DATA_PORT, path) != 'ok':
            return None
        sock = room.echo.connections.get(mark)
        with open(path) as f:
            placeholder = f.read()
        # The client, the agent, what it left.
        there = host.wait_until(lambda: len(host.own_processes(mark)) > 2, 30)
        if not sock or closed(sock) or not there or not placeholder:
            return None
        # Told when nsbox exec ends, which waits for it.
        call.end()
        left = [w for w, there in (('connection', not closed(sock)), ('process', host.own_processes(mark))) if there]
        with lock:
            thief.do('http', B, '/' + mark, 443, 'GET', [['Authorization', 'Bearer ' + placeholder]])
        if room.seen(room.b, '/' + mark):
            left.append('placeholder')
        return left, placeholder
    finally:
        call.kill()


@case(NO, NO, 'processes, connections and placeholders of 100 calls, at once when the end of each was told')
def hundred_ends(room, p):
    in_use(room, p.two)
    todo, ends, lock = queue.SimpleQueue(), [], threading.Lock()
    for number in range(CALLS):
        todo.put(number)

    def work():
        while True:
            try:
                todo.get_nowait()
            except queue.Empty:
                return
            ends.append(one_end(room, p.isolation, p.three, lock))

    threads = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(ends) != CALLS or None in ends:
        raise Void('%d of %d calls left nothing to look for' % (ends.count(None) + CALLS - len(ends), CALLS))
    left = [what for what, _ in ends if what]
    if left:
        raise AssertionError('left by %d of %d: %s' % (len(left), CALLS, left[:3]))
    return worked(len({placeholder for _, placeholder in ends}) != CALLS)
