# SPDX-License-Identifier: Apache-2.0
"""Calls within calls: nsbox call, from inside. The oracle is outside: origins, the workspace on the host, the audit log."""
import os
import signal

from harness.api import with_api
from harness.box import Box
from harness.named import Named
from harness.registry import cases, check, equal, marked, test, until
from test_grants import HOST, OTHER, VALUE, Grants, status
from harness.terminal import Terminal

BOTH = [('light', ['--isolation', 'light']), ('full', ['--isolation', 'full'])]


def call(script, *options):
    return 'nsbox call %s -- ./free \'%s\'; ' % (' '.join(options), script)


@cases(BOTH)
def narrower(t, flags):
    box = Grants(t)
    both = status('https://%s/x' % HOST) + status('https://%s/x' % OTHER)
    result = box.as_free(call(both, '--allow', HOST) + call(both), flags=flags)
    equal(result.out.split(), ['200', '403', '200', '200'], 'narrowed, and the twin that is not (%r)' % result)
    equal((len(box.origin.requests), len(box.other.requests)), (2, 1), 'requests at the origins')
    starts = box.audit('call.start')
    equal([r.get('parent') for r in starts], [None, starts[0]['call'], starts[0]['call']], 'parents in the log')
    equal([r['isolation'] for r in starts], [flags[1]] * 3, 'isolation')


@cases(BOTH)
def files(t, flags):
    box = Grants(t)
    # ./free is not among what is granted.
    script = ('nsbox call --read src --write out -- sh -c "cat src/file; echo x > out/new && echo wrote; '
              'echo x > src/new || echo no"; nsbox call -- sh -c "echo x > src/twin && echo twin"')
    result = box.as_free(script, flags=flags)
    equal(result.out.split(), ['source', 'wrote', 'no', 'twin'], 'what works (%r)' % result)
    equal((sorted(os.listdir(box.work + '/src')), os.listdir(box.work + '/out')), (['file', 'twin'], ['new']),
          'the workspace on the host')


@cases(BOTH)
def wider_is_refused(t, flags):
    """A call that has a part asks for more, and for a command that is bound to nothing; the policy would allow both."""
    box = Grants(t, 'allow = GET https://%s/read/**' % HOST, 'secret = API_KEY', 'write = out')
    reach = status('https://%s/read/x' % HOST) + status('https://%s/' % OTHER)
    asks = [('--allow ' + OTHER, OTHER), ('--secret OTHER_KEY', 'OTHER_KEY'), ('--write src', '/src'),
            ('--credentials any', 'credentials')]
    script = call(reach) + ''.join(
        'nsbox call %s -- touch out/ran; echo $?; ' % option for option, _ in asks)
    with open(box.work + '/tool', 'w') as f:
        f.write('#!/bin/sh\nexec /bin/sh -c "$@"\n')
    result = box.as_tool(script, flags=flags)
    equal(result.out.split(), ['200', '403'] + ['125'] * len(asks), 'what works (%r)' % result)
    for _, word in asks:
        check(word in result.err, '%s is not named: %r' % (word, result.err))
    check(not os.path.exists(box.work + '/out/ran'), 'nothing has run')
    equal(box.other.requests, [], 'what the other origin saw')
    denied, parent = box.audit('call.denied'), box.audit('call.start')[0]['call']
    equal([r['call'] for r in denied], [parent] * len(asks), 'records name the asker')
    for record, (_, word) in zip(denied, asks):
        check(word in record['reason'], 'reason: %r' % record)


@cases(BOTH)
def placeholders(t, flags):
    """A child gets its own, and the asker's is worth nothing there."""
    box = Grants(t)
    use = status('https://%s/' % HOST, '-H "Authorization: Bearer $API_KEY"')
    stolen = status('https://%s/' % HOST, '-H "Authorization: Bearer $OLD"')
    result = box.as_free('export OLD="$API_KEY"; ' + use +
                         call(use + stolen + '[ "$OLD" != "$API_KEY" ] && echo own; echo ${OTHER_KEY-none}', '--secret',
                              'API_KEY', '--allow', HOST), flags=flags)
    equal(result.out.split(), ['200', '200', '403', 'own', 'none'], 'what works (%r)' % result)
    equal([r.header('authorization') for r in box.origin.requests], [['Bearer ' + VALUE]] * 2, 'at the origin')


@cases(BOTH)
def what_a_child_uses_is_used(t, flags):
    """A quota is not had once more by asking for a call."""
    box = Grants(t, 'allow = ' + HOST, 'uses = 3')
    with open(box.work + '/one', 'w') as f:
        f.write(status('https://%s/' % HOST))
    result = box.as_tool('nsbox call -- sh one; nsbox call -- nsbox call -- sh one; sh one; sh one', flags=flags)
    equal((result.out.split(), len(box.origin.requests)), (['200', '200', '200', '429'], 3), 'statuses (%r)' % result)


@test
def revoked_with_the_asker(t):
    mark = '1729.%07d' % os.getpid()
    with Named(t) as box:
        box.create('x')
        asker = box.start_exec('x', 'sh', '-c', 'nsbox call -- sleep ' + mark)
        until(lambda: len(marked(mark)) == 2, 60, 'the child runs')
        box.nsbox('grant', 'revoke', box.inspect('x')['id'] + '.1').ok()
        equal(marked(mark), [], 'living processes')
        asker.communicate(timeout=60)


@test
def by_template(t):
    box = Grants(t, 'allow = ' + HOST)
    both = status('https://%s/x' % HOST) + status('https://%s/x' % OTHER)
    result = box.as_free('export PATH=.:$PATH; nsbox call --template-by-argv -- tool \'%s\' sh; ' % both +
                         'nsbox call --grant narrow -- ./free \'%s\'; ' % both +
                         'nsbox call --template-by-argv -- ./free "touch ran"; echo $?; '
                         'nsbox call --grant absent -- ./free "touch ran"; echo $?')
    equal(result.out.split(), ['200', '403', '200', '403', '125', '125'], 'what works (%r)' % result)
    check('bound to this command (./free' in result.err and 'no grant absent' in result.err, 'messages: %r' % result.err)
    check(not os.path.exists(box.work + '/ran'), 'nothing has run')


@cases(BOTH)
def what_is_inherited(t, flags):
    box = Box(t)
    os.mkdir(box.work + '/sub')
    result = box.sh('cd sub; export WORD="a b"; echo data | nsbox call -- sh -c \'cat; pwd; echo "$WORD"; echo err >&2; '
                    'exit 7\' | tr a-z A-Z; nsbox call -- sh -c "exit 7"; echo $?; '
                    'nsbox call -- sh -c "kill -KILL \\$\\$"; echo $?; nsbox call -- no-such-program; echo $?; '
                    'nsbox call --env WORD=c -w / -- sh -c \'pwd; echo $WORD\'; nsbox call; echo $?',
                    flags=[*flags, '--net', 'none'])
    equal(result.out.splitlines(), ['DATA', (box.work + '/sub').upper(), 'A B', '7', '137', '127', '/', 'c', '125'],
          'output (%r)' % result)
    check('err\n' in result.err and 'no-such-program' in result.err, 'standard error: %r' % result.err)


@cases(BOTH)
def signals(t, flags):
    box = Box(t)
    result = box.sh('nsbox call -- sh -c \'trap "echo got; exit 5" TERM; touch ready; while :; do sleep 0.02; done\' & '
                    'while [ ! -e ready ]; do sleep 0.02; done; kill -TERM $!; wait $!; echo $?',
                    flags=[*flags, '--net', 'none'])
    equal(result.out.split(), ['got', '5'], 'a signal is passed on (%r)' % result)


@cases(BOTH)
def terminals(t, flags):
    box = Box(t)
    terminal = Terminal(box, 'run', '-t', *flags, '--net', 'none', '--', 'sh', '-c',
                        'nsbox call -- sh -c "stty size; tty; read x; echo got-\\$x"; '
                        'nsbox call -T -- sh -c "test -t 0 && echo handed-on"; echo end')
    terminal.expect(rb'40 100\r\n/dev/pts/\d+')
    os.write(terminal.fd, b'word\n')
    for word in (rb'got-word', rb'handed-on', rb'end'):
        terminal.expect(word)
    os.waitpid(terminal.pid, 0)


@test(timeout=90)
@with_api
def none_outlives_the_asker(t, api):
    """Looked at in the same instant in which the end of the asker is told; a grandchild and a child's daemon too."""
    inner = 'setsid sleep $1 & nsbox call -- sh -c "setsid sleep $1 & echo ready; sleep $1"'
    with api.create() as box:
        for isolation in ('light', 'full'):
            for end in ('exit', 'signal', 'background'):
                one = api.sh(box, 'nsbox call -- sh -c \'%s\' sh $1 & read end' % inner, api.mark, stdin=api.sb.PIPE,
                             isolation=isolation)
                equal(one.stdout.readline(), b'ready\n', 'the grandchild runs')
                check(len(api.marked()) >= 4, 'processes of child and grandchild: %r' % api.marked())
                if end == 'signal':
                    one.signal(signal.SIGKILL)
                else:
                    one.stdin.close()
                one.wait(60)
                equal(api.marked(), [], '%s, %s: living processes' % (isolation, end))
                equal(box.inspect()['calls'], [], 'calls left')
                one.close()
    records = api.box.audit()
    ends = [r['call'] for r in records if r['event'] == 'call.exit']
    parents = {r['call']: r.get('parent') for r in records if r['event'] == 'call.start'}
    equal(len(ends), len(parents), 'each has its end in the log')
    for name, parent in parents.items():
        check(parent is None or ends.index(name) < ends.index(parent), '%s ends before %s' % (name, parent))
    equal(sorted(list(parents.values()).count(p) for p in set(parents.values()) - {None}), [1] * 12, 'generations')


@test
def killed_asker(t):
    """kill -9 of nsbox call inside; and of the nsbox outside that all of it belongs to."""
    box, mark = Box(t), '2718.%07d' % os.getpid()
    process = box.start('run', '--net', 'none', '--', 'sh', '-c',
                        'nsbox call -- sleep $1 & read x; kill -9 $!; read x; nsbox call -- sleep $1', 'sh', mark, stdin=-1)
    # Three: the shell with the mark, nsbox call, and the command.
    until(lambda: len(marked(mark)) == 4, 60, 'the child runs')
    process.stdin.write(b'\n')
    process.stdin.flush()
    until(lambda: len(marked(mark)) == 2, 60, 'the child is gone with its nsbox call: %r' % marked(mark))
    process.stdin.write(b'\n')
    process.stdin.flush()
    until(lambda: len(marked(mark)) == 4, 60, 'another child runs')
    process.kill()
    process.communicate(timeout=60)
    until(lambda: not marked(mark), 60, 'all is gone')


@test
def background(t):
    """Only where the asker has it; and never longer than the asker."""
    mark = '1618.%07d' % os.getpid()
    with Named(t) as box:
        box.create('x')
        leave = 'nsbox call --background -- sh -c "setsid sleep %s & :"; echo $?; ' % mark
        result = box.exec('x', 'sh', '-c', leave)
        equal(result.out, '125\n', 'without (%r)' % result)
        check('background' in result.err, 'message: %r' % result.err)
        result = box.exec('x', 'sh', '-c', leave + 'pgrep -f %s >/dev/null; sleep 0.1; echo on' % mark, flags=['--background'])
        equal(result.out.split(), ['0', 'on'], 'with (%r)' % result)
        equal(marked(mark), [], 'the asker has ended, and left nothing of its own')


@test(timeout=120)
def depth_and_number(t):
    box = Box(t)
    result = box.sh('cat > deep <<"EOF"\n#!/bin/sh\n[ $1 = 0 ] && { echo bottom; exit; }\nexec nsbox call -- ./deep $(($1 - 1))\n'
                    'EOF\nchmod +x deep; ./deep 8; echo $?; ./deep 9; echo $?', flags=['--net', 'none'], timeout=100)
    equal(result.out.split(), ['bottom', '0', '125'], 'depth (%r)' % result)
    check('8 deep' in result.err, 'message: %r' % result.err)
    script = 'mkfifo fifo; for i in $(seq 18); do nsbox call -- sh -c "echo run; cat" < fifo 2>> err & done; exec 3> fifo; ' \
             'until [ $(grep -c connections err) -gt 1 ] || [ $((n = n + 1)) -gt 3000 ]; do sleep 0.02; done; exec 3>&-; wait'
    result = box.sh(script, flags=['--net', 'none'], timeout=100)
    equal(len(result.out.split()), 16, 'calls of one asker at once (%r)' % result)
    with open(box.work + '/err') as f:
        err = f.read()
    equal(err.count('16 connections of this call'), 2, 'messages: %r' % err)


@test
def without_identity(t):
    """Where calls share the host's network nobody could tell who asks."""
    box = Box(t)
    result = box.run('/run/nsbox/bin/nsbox', 'call', '--', 'true', flags=['--net', 'host'])
    equal(result.code, 125, 'exit status (%r)' % result)
    check('net = host' in result.err, 'message: %r' % result.err)
    outside = box.nsbox('call', '--', 'true')
    equal(outside.code, 125, 'outside (%r)' % outside)
    check('not in a sandbox' in outside.err, 'message: %r' % outside.err)


@cases(BOTH)
def place_is_fixed(t, flags):
    """Nobody can put a socket or a program of its own where others ask."""
    box = Box(t)
    result = box.sh('cd /run; for c in "rm nsbox/control" "mv nsbox old" "mv nsbox/control nsbox/x" "rm nsbox/bin/nsbox" '
                    '"cp /bin/true nsbox/bin/nsbox" "touch nsbox/x" "chmod 777 nsbox/control" "ln -sf /bin/true nsbox/bin/y" '
                    '"rm -rf nsbox"; do $c 2>/dev/null && echo "$c"; done; mkdir twin && mv twin old && rmdir old && echo twin; '
                    'nsbox call -- echo still', flags=[*flags, '--net', 'none'])
    equal(result.out.split(), ['twin', 'still'], 'what works (%r)' % result)
