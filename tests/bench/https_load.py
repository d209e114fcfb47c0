# SPDX-License-Identifier: Apache-2.0
"""HTTPS requests: direct, through the gateway of a sandbox, and through haproxy doing the same (TLS ended, verified TLS
to the origin). One origin; the load client is the call in the sandbox; all paths take turns. CPU is the run time of the
proxy's threads (schedstat, nanoseconds), for the gateway together with its supervisor, which writes the records."""
import ctypes
import os
import socket
import subprocess
import time

HOST = 'api.bench.test'
HAPROXY = '/usr/sbin/haproxy'


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def make_certificates(work):
    def openssl(*arguments):
        subprocess.run(['openssl', *arguments], check=True, cwd=work, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    ec = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes')
    openssl('req', '-x509', *ec, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=bench CA')
    openssl('req', *ec, '-keyout', 'origin.key', '-out', 'origin.csr', '-subj', '/CN=' + HOST)
    with open(work + '/ext', 'w') as f:
        f.write('subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth\n' % HOST)
    openssl('x509', '-req', '-in', 'origin.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2',
            '-extfile', 'ext', '-out', 'origin.pem')
    for out, names in (('front.pem', ('origin.pem', 'origin.key')), ('ca-both.pem', ('ca.pem', 'ca.key'))):
        with open(os.path.join(work, out), 'w') as f:
            for name in names:
                with open(os.path.join(work, name)) as part:
                    f.write(part.read())


def become_subreaper():
    """The supervisor is nobody's child on purpose; this way it is ours, and nsbox of others is not taken for it."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def processes(word):
    """The processes below this one with this name."""
    parents, names = {}, {}
    for name in os.listdir('/proc'):
        if name.isdigit():
            try:
                with open('/proc/%s/stat' % name, errors='replace') as f:
                    text = f.read()
            except OSError:
                continue
            parents[int(name)] = int(text.rsplit(')', 1)[1].split()[1])
            names[int(name)] = text[text.index('('):text.rindex(')')]
    found = {os.getpid()}
    while True:
        more = {p for p, parent in parents.items() if parent in found and p not in found}
        if not more:
            return [p for p in found if word in names[p]]
        found |= more


def cpu_us(pids):
    total = 0
    for pid in pids:
        for task in os.listdir('/proc/%d/task' % pid):
            with open('/proc/%d/task/%s/schedstat' % (pid, task)) as f:
                total += int(f.read().split()[0])
    return total / 1000


def resident_kib(pid):
    with open('/proc/%d/status' % pid) as f:
        for line in f:
            if line.startswith('VmRSS:'):
                return int(line.split()[1])
    return 0


class Path:
    """A way to the origin: a load client, and the processes whose CPU counts for it."""

    def __init__(self, name, command, pids=(), environment=None):
        self.name = name
        self.pids = list(pids)
        self.client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                       env=environment)
        self.ready = self.client.stdout.readline().strip()

    def ask(self, line):
        """(requests per second, p50, p99, proxy CPU per request) or None."""
        before = cpu_us(self.pids)
        try:
            self.client.stdin.write(line + '\n')
            self.client.stdin.flush()
            answer = self.client.stdout.readline().split()
        except (BrokenPipeError, OSError):
            answer = ['error', 'gone']
        # what is written after the answer, such as the record of the last request, counts too
        time.sleep(0.05)
        after = cpu_us(self.pids) if answer[:1] == ['ok'] else 0
        if answer[:1] != ['ok']:
            print('  %s: %s: %s' % (self.name, line, ' '.join(answer)))
            return None
        n, seconds, p50, p99 = (float(x) for x in answer[1:5])
        return n / seconds, p50, p99, (after - before) / n

    def close(self):
        self.client.stdin.close()
        try:
            self.client.wait(10)
        except subprocess.TimeoutExpired:
            self.client.kill()
            self.client.wait()


def haproxy_config(work, origin, front, generated):
    text = '''global
  maxconn 7000
  nbthread 1
  ssl-server-verify required
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend static
  bind 127.0.0.1:%d ssl crt %s/front.pem alpn http/1.1
  default_backend origin
frontend generated
  bind 127.0.0.1:%d ssl crt %s/front.pem generate-certificates ca-sign-file %s/ca-both.pem alpn http/1.1
  default_backend origin
backend origin
  server o 127.0.0.1:%d ssl verify required ca-file %s/ca.pem sni str(%s) verifyhost %s check-ssl pool-purge-delay 60s
''' % (front, work, generated, work, work, origin, work, HOST, HOST)
    with open(work + '/haproxy.cfg', 'w') as f:
        f.write(text)
    return work + '/haproxy.cfg'


def wait_port(port):
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            socket.create_connection(('127.0.0.1', port), 1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False


def median(values):
    values = sorted(v for v in values if v is not None)
    return values[len(values) // 2] if values else float('nan')


class Bench:
    def __init__(self, options):
        self.work = options.work
        self.quick = options.quick
        self.started = []
        make_certificates(self.work)
        self.origin_port = free_port()
        self.start(self.work + '/origin', str(self.origin_port), 'origin.pem', 'origin.key')
        wait_port(self.origin_port)
        load = self.work + '/load'
        self.paths = {'direct': Path('direct', [load, HOST, str(self.origin_port), self.work + '/ca.pem', '127.0.0.1'])}
        become_subreaper()
        job = self.work + '/job'
        with open(load, 'rb') as f, open(job + '/load', 'wb') as copy:
            copy.write(f.read())
        os.chmod(job + '/load', 0o755)
        gateway = Path('gateway', [
            options.nsbox, 'run', '-T', '-C', job, '--allow', 'https://%s/**' % HOST,
            '--connect-to', '%s:443:127.0.0.1:%d' % (HOST, self.origin_port), '--upstream-ca', self.work + '/ca.pem',
            '--', './load', HOST, '443', '/etc/ssl/certs/ca-certificates.crt'])
        self.gateway = processes('nsbox-gateway')[:1]
        # the launcher is a copy of the supervisor and idle here
        self.supervisor = processes('nsbox-super')
        gateway.pids = self.gateway + self.supervisor
        self.paths['gateway'] = gateway
        if os.access(HAPROXY, os.X_OK):
            front, generated = free_port(), free_port()
            proxy = self.start(HAPROXY, '-db', '-q', '-f', haproxy_config(self.work, self.origin_port, front, generated))
            if wait_port(front):
                self.haproxy = proxy.pid
                for name, port in (('haproxy', front), ('haproxy generated', generated)):
                    self.paths[name] = Path(name, [load, HOST, str(port), self.work + '/ca.pem', '127.0.0.1'],
                                            [proxy.pid])

    def start(self, *command):
        process = subprocess.Popen(command, cwd=self.work, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        self.started.append(process)
        return process

    def close(self):
        for path in self.paths.values():
            path.close()
        for process in self.started:
            process.kill()
            process.wait()

    def compare(self, title, line, rounds, names, warm=True):
        """Median over rounds in turns of each column, printed; {name: (rps, p50, p99, cpu)}."""
        rows = {}
        for r in range(rounds + warm):
            for i in range(len(names)):
                name = names[(r + i) % len(names)]
                got = self.paths[name].ask(line)
                if got and r >= warm:
                    rows.setdefault(name, []).append(got)
        print(title)
        print('  %-20s %12s %10s %10s %16s' % ('', 'requests/s', 'p50 us', 'p99 us', 'proxy CPU us/req'))
        result = {}
        for name in names:
            if name in rows:
                result[name] = tuple(median([row[c] for row in rows[name]]) for c in range(4))
                print('  %-20s %12.0f %10.1f %10.1f %16.1f' % (name, *result[name]))
        print()
        return result


def idle_memory(bench, targets):
    count = 50 if bench.quick else 400
    pids = {'gateway': bench.gateway, 'haproxy': [getattr(bench, 'haproxy', None)]}
    print('Memory (resident, KiB); idle connections: client side and origin side both open')
    for name, (pid,) in ((n, p) for n, p in pids.items() if p and p[0]):
        before = resident_kib(pid)
        bench.paths[name].ask('idle 1')
        one = resident_kib(pid)
        held = bench.paths[name].ask('idle %d' % count)
        many = resident_kib(pid)
        if held:
            each = (many - one) / (count - 1)
            print('  %-12s after the load %6d, with 1 idle %6d, with %d idle %6d: %.1f KiB each' % (
                name, before, one, count, many, each))
            if name == 'gateway':
                targets.add('memory of one idle TLS connection, both legs', each, 12, 'KiB')
    print()


def measure(options, targets):
    if not os.access(options.work + '/load', os.X_OK):
        print('no load client: skipped the https measurements\n')
        return
    bench = Bench(options)
    try:
        names = ['direct', 'gateway'] + [n for n in ('haproxy',) if n in bench.paths]
        if bench.paths['gateway'].ready != 'ready' or not bench.gateway:
            print('no gateway to measure: %r\n' % bench.paths['gateway'].ready)
            return
        print('Gateway at start: %d KiB resident' % resident_kib(bench.gateway[0]))
        many, rounds = (500, 2) if options.quick else (5000, 7)
        one = bench.compare('Small requests, 1 connection kept open, %d requests x %d rounds' % (many, rounds),
                            'keep 1 %d 100' % many, rounds, names)
        wide = bench.compare('Small requests, 32 connections kept open, %d x %d' % (4 * many, rounds),
                             'keep 32 %d 100' % (4 * many), rounds, names)
        new_names = names + [n for n in ('haproxy generated',) if n in bench.paths]
        fresh = bench.compare('Every request on a new TLS connection, 4 at a time, %d x %d' % (many // 10, rounds),
                              'new 4 %d 100' % (many // 10), rounds, new_names)
        big = bench.compare('1 MiB bodies, 4 connections kept open, %d x %d' % (many // 25, rounds),
                            'keep 4 %d 1048576' % (many // 25), rounds, names)
        if 'gateway' in one:
            targets.add('latency added by the gateway, keep-alive, p50', one['gateway'][1] - one['direct'][1], 100, 'us',
                        'p99 %.0f us' % (one['gateway'][2] - one['direct'][2]) +
                        (', haproxy adds %.0f us' % (one['haproxy'][1] - one['direct'][1]) if 'haproxy' in one else ''))
        for what, rows, base in (('CPU per request, 1 connection / haproxy', one, 'haproxy'),
                                 ('CPU per request, 32 connections / haproxy', wide, 'haproxy'),
                                 ('CPU per new TLS connection / haproxy, generated certificate', fresh,
                                  'haproxy generated'),
                                 ('CPU per MiB streamed / haproxy', big, 'haproxy')):
            if base in rows and 'gateway' in rows:
                targets.add(what, rows['gateway'][3] / rows[base][3], 1.0)
        idle_memory(bench, targets)
        targets.show()
    finally:
        bench.close()
