# SPDX-License-Identifier: Apache-2.0
"""nsbox audit report: the page, also of hostile and of long logs, read by a parser and by a browser."""
import hashlib
import html.parser
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time

from harness.box import Box
from harness.origin import Origin
from harness.registry import check, equal, test

TAGS = {'html', 'head', 'meta', 'title', 'style', 'body', 'header', 'h1', 'h2', 'span', 'dl', 'dt', 'dd', 'div', 'b', 'main', 'p',
        'section', 'small', 'table', 'thead', 'tbody', 'tr', 'th', 'td', 'a', 'input', 'button', 'output', 'details',
        'summary', 'svg', 'rect', 'ul', 'li', 'code', 'footer', 'script'}
ATTRIBUTES = {'lang', 'charset', 'http-equiv', 'content', 'name', 'class', 'id', 'href', 'type', 'placeholder', 'aria-label',
              'autocomplete', 'aria-pressed', 'hidden', 'viewbox', 'preserveaspectratio', 'aria-hidden', 'x', 'y', 'width',
              'height'}
# What would run if one byte of it were not escaped; the last ones are for the places of attributes and of the head.
HOSTILE = ['<img src=x onerror="document.title=\'OWNED\'">', '</script><script>document.title="OWNED"</script>',
           '"><svg onload=document.title="OWNED">', "' onmouseover='document.title=1' x='", '</style></title><b id=OWNED>',
           '<!-- ', ']]>', '&lt;b&gt;', '\u2028\u202e\x1b[2J\x00\x7f', 'javascript:document.title="OWNED"', '`', '{{7*7}}']


class Page(html.parser.HTMLParser):
    """What a page consists of; anything that the report never makes is an error."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.calls, self.rows, self.open, self.scripts = 0, 0, [], 0
        self.pieces, self.by_id = [], {}
        self.feed(text)
        self.close()
        self.text = ''.join(self.pieces)
        self.ids = {identity: ''.join(data) for identity, data in self.by_id.items()}

    def handle_starttag(self, tag, attributes):
        check(tag in TAGS, 'element <%s>' % tag)
        for name, value in attributes:
            check(name in ATTRIBUTES, 'attribute %s of <%s>' % (name, tag))
            check(name != 'href' or re.fullmatch(r'#c\d+', value), 'link to %r' % value)
        attributes = dict(attributes)
        self.scripts += tag == 'script'
        self.calls += tag == 'details'
        self.rows += tag == 'tr'
        if tag not in ('meta', 'input', 'rect'):
            self.open.append((tag, attributes.get('id')))

    def handle_endtag(self, tag):
        if tag != 'rect':
            equal(self.open and self.open[-1][0], tag, 'end tag')
            self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1][0] not in ('script', 'style'):
            self.pieces.append(data)
        for _, identity in self.open:
            if identity:
                self.by_id.setdefault(identity, []).append(data)

    def handle_comment(self, data):
        raise AssertionError('comment %r' % data)


def write_log(path, records, raw=b''):
    """A log with a true chain; records: (event, call, members)."""
    previous = '0' * 64
    begin = 1795750000
    with open(path, 'wb') as f:
        for number, (event, call, members) in enumerate(records, 1):
            now = begin + number / 1000
            stamp = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now)) + '.%06dZ' % (number % 1000 * 1000)
            record = {'seq': number, 'time': stamp, 'event': event, 'sandbox': members.pop('sandbox', 'abcd1234')}
            if call:
                record['call'] = call
            body = json.dumps({**record, **members, 'prev': previous}, separators=(',', ':')).encode()
            previous = hashlib.sha256(body).hexdigest()
            f.write(body[:-1] + b',"hash":"' + previous.encode() + b'"}\n')
        f.write(raw)
    return previous


def hostile_records():
    records = []
    for i, evil in enumerate(HOSTILE):
        call = 'call%d %s' % (i, evil)
        records += [
            ('sandbox.start', None, {'sandbox': evil, 'workdir': evil, 'net': evil, 'degraded': [evil]}),
            ('call.start', call, {'argv': [evil, evil], 'cwd': evil, 'isolation': evil, 'grant': evil}),
            ('http.request', call, {'host': evil, 'port': 443, 'method': evil, 'path': evil, 'rule': evil, 'proto': evil,
                                    'status': 200, 'bytes_up': 1, 'bytes_down': 2, 'ms': 3, evil: evil, 'x': {evil: [evil]}}),
            ('http.deny', call, {'host': evil, 'method': evil, 'path': '/' + evil, 'reason': evil, 'rule': evil}),
            ('net.deny', call, {'addr': evil, 'port': 5, 'proto': evil, 'reason': evil}),
            ('secret.misuse', call, {'name': evil, 'host': evil, 'where': evil, 'reason': evil}),
            ('limit.hit', call, {'limit': evil, 'reason': evil}),
            ('auditor.error', call, {'detail': evil, 'reason': evil}),
            ('fs.protected', call, {'path': evil}),
            (evil, call, {'path': evil}),
            ('call.exit', call, {'exit': 1, 'signal': 0, 'reason': evil}),
            ('sandbox.exit', None, {'reason': evil})]
    return records


def report(box, *args):
    return box.nsbox('audit', 'report', *args)


def page_of(path):
    with open(path, encoding='utf-8') as f:
        text = f.read()
    page = Page(text)
    equal(page.open, [], 'elements that are not closed')
    equal(page.scripts, 1, 'number of scripts')
    return page


@test
def of_a_run(t):
    origin = Origin(t.pki.context(['api.example.com']))
    box = Box(t).add('--allow', 'api.example.com').connect(origin, 'api.example.com')
    box.sh('curl -sS https://api.example.com/v1/models; curl -sS http://other.example.com/x; exit 3')
    name = os.path.basename(box.logs()[-1])[:-6]
    out = t.path('page.html')
    equal(report(box, '-o', out).ok().err, '', 'messages')
    equal(os.stat(out).st_mode & 0o777, 0o600, 'mode of the page')
    page = page_of(out)
    equal(page.ids['chain'], 'chain intact')
    equal(page.ids['head'], box.audit()[-1]['hash'], 'head')
    equal((page.calls, page.ids['n-calls'], page.ids['n-failed'], page.ids['n-requests']), (1, '1', '1', '1'), 'counts')
    for word in ('Sandbox ' + name, box.work, 'GET api.example.com/v1/models', 'exit 3', 'other.example.com',
                 'isolation light' if 'light' in page.ids['calls'] else 'isolation full', "/bin/sh -c 'curl"):
        check(word in page.text, 'no %r in %r' % (word, page.text))
    check('--allow' in page.ids['denials'], 'the flag that would allow it')
    # By its id, by its file, to standard output: the same page.
    with open(out, 'rb') as f:
        whole = f.read()
    for args in ((name,), (box.logs()[-1],), ('--file', box.logs()[-1])):
        equal(report(box, *args).ok().out_bytes, whole, 'page of %r' % (args,))
    equal(report(box, '--head', page.ids['head'], '-o', out).ok().err, '', 'with the right head')
    check('NOT intact' in report(box, '--head', '1' * 64, '-o', out).ok().err, 'with a wrong head')
    equal(page_of(out).ids['chain'], 'chain NOT intact')


@test
def hostile_log(t):
    box = Box(t)
    log, out = t.path('hostile.jsonl'), t.path('page.html')
    raw = b''.join(b'\xff\xfe' + e.encode('utf-8', 'replace').replace(b'\n', b'') + b'\n' for e in HOSTILE)
    write_log(log, hostile_records(), raw + b'{"seq":1,"event":"<i>cut')
    result = report(box, log, '-o', out).ok()
    check('NOT intact' in result.err, repr(result))
    page = page_of(out)
    equal(page.ids['chain'], 'chain NOT intact')
    equal(page.calls, len(HOSTILE), 'calls')
    # Shown, not swallowed.
    for evil in HOSTILE[:7]:
        check(evil in page.text, 'no %r in the text' % evil)
    check('\\x1b[2J' in page.text and '\x1b' not in page.text and '\u202e' not in page.text, 'controls')
    equal(page.ids['bad-lines'].count('\\xff\\xfe'), len(HOSTILE), 'lines that are no records')
    check('<i>cut' in page.ids['bad-lines'], 'the line that was cut')


@test
def changed_and_cut_logs(t):
    box = Box(t)
    log, out = t.path('a.jsonl'), t.path('page.html')
    head = write_log(log, [('sandbox.start', None, {'workdir': '/w', 'net': 'none'}),
                           ('call.start', 'a.1', {'argv': ['x'], 'cwd': '/', 'isolation': 'light'}),
                           ('call.exit', 'a.1', {'exit': 0, 'signal': 0, 'reason': 'exit'})])
    with open(log, 'rb') as f:
        whole = f.read()
    equal(report(box, log, '-o', out).ok().err, '')
    page = page_of(out)
    equal((page.ids['chain'], page.ids['head']), ('chain intact', head))
    check('the sandbox had not ended' in page.text, 'a log without an end')
    for name, data in (('changed', whole.replace(b'"x"', b'"y"')), ('cut', whole[:-1]), ('middle', whole[:-40]),
                       ('removed', b''.join(whole.splitlines(True)[1:])), ('garbage', b'\x00' * 5000),
                       ('long', b'a' * 3000000 + b'\n' + whole)):
        with open(log, 'wb') as f:
            f.write(data)
        check('NOT intact' in report(box, log, '-o', out).ok().err, name)
        page = page_of(out)
        equal(page.ids['chain'], 'chain NOT intact', name)
        check(os.path.getsize(out) < 100000, 'size of the page (%s)' % name)
    t.write('a.jsonl', '')
    report(box, log, '-o', out).ok()
    equal(page_of(out).calls, 0, 'calls of an empty log')


@test
def errors(t):
    box = Box(t)
    log = t.path('a.jsonl')
    write_log(log, [('sandbox.start', None, {})])
    os.mkfifo(t.path('fifo.jsonl'))
    os.mkdir(t.path('dir'))
    for args, word in ((['nothere'], 'nothere'), ([t.path('missing.jsonl')], 'missing.jsonl'), ([t.path('dir')], 'regular'),
                       ([t.path('fifo.jsonl')], 'regular'), (['a', '--file', log], 'not both'), ([log, 'b'], 'one'),
                       ([log, '--head', 'x'], '--head'), ([log, '-o', t.path('no/where')], 'cannot write'),
                       ([log, '-o', t.path('dir')], 'cannot write'), ([log, '-o', '/dev/full'], 'cannot write'),
                       (['/dev/null'], 'regular')):
        result = report(box, *args)
        check(result.code == 125 and word in result.err and not result.out, '%r: %r' % (args, result))
    # An old page is replaced as a whole, or stays.
    out = t.write('page.html', 'old')
    report(box, log, '-o', out).ok()
    check('old' != open(out).read(), 'the new page')
    report(box, log, '-o', '/dev/null').ok()
    check(stat.S_ISCHR(os.stat('/dev/null').st_mode), '/dev/null is still a device')
    equal([n for n in os.listdir(t.tmp) if 'page.html.' in n], [], 'temporary files')


@test(timeout=120)
def a_hundred_thousand_records(t):
    box = Box(t)
    log, out = t.path('big.jsonl'), t.path('page.html')
    records = [('sandbox.start', None, {'workdir': '/w', 'net': 'gateway'})]
    for i in range(5000):
        call = 'a.%d' % i
        records.append(('call.start', call, {'argv': ['make', 'target%d' % i], 'cwd': '/w', 'isolation': 'light'}))
        for k in range(17):
            records.append(('http.request', call, {'host': 'h%d.example' % k, 'port': 443, 'method': 'GET', 'path': '/%d' % i,
                                                   'status': 200, 'bytes_up': 10, 'bytes_down': 1000, 'ms': 5}))
        records.append(('net.deny', call, {'host': 'evil%d.example' % (i % 700), 'port': 25, 'reason': 'no-rule'}))
        records.append(('call.exit', call, {'exit': 0, 'signal': 0, 'reason': 'exit'}))
    write_log(log, records)
    took = report(box, log, '-o', out).ok().seconds
    check(took < 30 * t.slowness, 'it took %.1f s' % took)
    check(os.path.getsize(out) < 6000000, 'size of the page: %d' % os.path.getsize(out))
    page = page_of(out)
    equal((page.ids['n-records'], page.ids['n-calls'], page.ids['n-requests'], page.ids['n-denials'], page.ids['n-up']),
          ('100001', '5000', '85000', '5000', '850.0 kB'), 'counts are of all records')
    equal(page.calls, 1000, 'calls on the page')
    for text in ('4000 more calls are left out here', 'more events of this call are left out here',
                 'more records are left out here'):
        check(text in page.text, 'no %r' % text)


def browse(t, path):
    """The document that a browser makes of the page, scripts run."""
    chromium = shutil.which('chromium') or shutil.which('chromium-browser')
    if not chromium:
        t.skip('chromium is not installed')
    profile = t.path('profile')
    process = subprocess.Popen(
        [chromium, '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-breakpad',
         '--disable-dev-shm-usage', '--user-data-dir=' + profile, '--virtual-time-budget=3000', '--dump-dom', 'file://' + path],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, cwd=t.tmp,
        env={'PATH': '/usr/bin:/bin', 'HOME': t.tmp, 'XDG_CONFIG_HOME': t.tmp, 'XDG_CACHE_HOME': t.tmp, 'LANG': 'C.UTF-8'})
    try:
        out, err = process.communicate(timeout=100)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    dom = out.decode('utf-8')
    check('</html>' in dom, 'no document: %r' % err[-500:])
    return dom


@test(timeout=150)
def browser_shows_it(t):
    box = Box(t)
    log, out = t.path('a.jsonl'), t.path('page.html')
    records = [('sandbox.start', None, {'workdir': '/w', 'net': 'gateway'})]
    for i in range(12):
        records += [('call.start', 'a.%d' % i, {'argv': ['make', str(i)], 'cwd': '/w', 'isolation': 'light'}),
                    ('http.request', 'a.%d' % i, {'host': 'h.example', 'method': 'GET', 'path': '/%d' % i, 'status': 200}),
                    ('http.deny', 'a.%d' % i, {'host': 'e.example', 'method': 'GET', 'path': '/', 'reason': 'no-rule'}),
                    ('call.exit', 'a.%d' % i, {'exit': 0, 'signal': 0, 'reason': 'exit'})]
    write_log(log, records)
    report(box, log, '-o', out).ok()
    dom = browse(t, out)
    equal(len(re.findall('<details ', dom)), 12, 'calls')
    # Head and two rows for each call, head and one line for what was denied.
    equal(len(re.findall('<tr[ >]', dom)), 12 * 3 + 2, 'rows')
    tools = re.search('<div class="tools"[^>]*>', dom).group()
    check('hidden' not in tools, 'our own script did not run: ' + tools)


@test(timeout=150)
def browser_filters(t):
    box = Box(t)
    log, out = t.path('a.jsonl'), t.path('page.html')
    records = []
    for i in range(6):
        records += [('call.start', 'a.%d' % i, {'argv': ['make', 'word%d' % i]}),
                    ('dns.query', 'a.%d' % i, {'host': 'even.example' if i % 2 == 0 else 'odd.example'}),
                    ('dns.query', 'a.%d' % i, {'host': 'both.example'}),
                    ('call.exit', 'a.%d' % i, {'exit': i % 3, 'signal': 0, 'reason': 'exit'})]
    write_log(log, records)
    report(box, log, '-o', out).ok()
    # By a script behind our own, on a copy without the policy.
    free = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', '', open(out).read())

    def shown(words, bad):
        act = '<script>filter.value=%s;filter.dispatchEvent(new Event("input"));%s</script></body>' % (
            json.dumps(words), 'document.getElementById("bad").click();' if bad else '')
        dom = browse(t, t.write('filter.html', free.replace('</body>', act)))
        calls = re.findall(r'<details ([^>]*)>(.*?)</details>', dom, re.S)
        equal(len(calls), 6, 'calls in the document')
        visible = [body for attributes, body in calls if 'hidden' not in attributes]
        return [re.search(r'word(\d)', body).group(1) for body in visible], \
            sum(len(re.findall('<tr(?! hidden)[ >]', body)) - 1 for body in visible)
    equal(shown('', False), (list('012345'), 12), 'nothing typed')
    equal(shown('EVEN', False), (list('024'), 3), 'a host')
    equal(shown('word3', False), (['3'], 2), 'a word of the command keeps the rows')
    equal(shown('make odd', False)[0], list('135'), 'words of command and row')
    equal(shown('', True)[0], list('1245'), 'failed ones')


@test(timeout=150)
def browser_runs_nothing_of_the_log(t):
    box = Box(t)
    log, out = t.path('a.jsonl'), t.path('page.html')
    write_log(log, hostile_records())
    report(box, log, '-o', out).ok()
    dom = browse(t, out)
    check('<img' not in dom and '<b id="OWNED"' not in dom, 'an element of the log')
    check('OWNED' in dom, 'the text of the log is shown')
    title = re.search('<title>(.*?)</title>', dom, re.S).group(1)
    check(title.startswith('Audit report &lt;img'), 'title %r' % title)
    equal(len(re.findall('<script', dom)), 1, 'scripts')
    equal(len(re.findall('<details ', dom)), len(HOSTILE), 'calls')


@test(timeout=150)
def policy_holds_what_escaping_would_miss(t):
    """Markup put into the finished page, as an error of ours would: the policy keeps it from running."""
    box = Box(t)
    log, out = t.path('a.jsonl'), t.path('page.html')
    write_log(log, [('sandbox.start', None, {'workdir': '/w', 'net': 'none'})])
    report(box, log, '-o', out).ok()
    with open(out) as f:
        text = f.read()
    evil = '<main><img src="x" onerror="document.title=\'OWNED\'"><script>document.title="OWNED"</script>' \
           '<svg onload="document.title=\'OWNED\'"></svg><style>main { display: none }</style>'
    dom = browse(t, t.write('evil.html', text.replace('<main>', evil)))
    check('<title>OWNED' not in dom and '<img src="x"' in dom, 'a script of the page ran: ' + dom[-3000:])
    # The same without the policy: this test would see it.
    free = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', '', text)
    check('<title>OWNED' in browse(t, t.write('free.html', free.replace('<main>', evil))), 'the control did not run')
