# SPDX-License-Identifier: Apache-2.0
"""The gateway beside its peers (gateway.sh): direct, this gateway with and without secrets and rules, haproxy (TLS ended,
verified TLS to the origin), squid with ssl-bump and mitmproxy. One origin, one load client, all of them in turns; each
proxy has one thread. And a soak: many requests through one gateway, and what its memory does."""
import os
import re
import resource
import shutil
import subprocess
import time

import https_load
from https_load import HAPROXY, HOST, Path, free_port, haproxy_config, median, processes, resident_kib, wait_port

CERTGEN = '/usr/lib/squid/security_file_certgen'
SQUID_CONFIG = '''http_port 127.0.0.1:{port} ssl-bump cert={work}/ca-both.pem generate-host-certificates=on \\
  dynamic_cert_mem_cache_size=4MB tls-dh=prime256v1
sslcrtd_program {certgen} -s {work}/squid-certs -M 4MB
sslcrtd_children 1
ssl_bump bump all
http_access allow all
cache deny all
via off
forwarded_for delete
tls_outgoing_options cafile={work}/ca.pem
hosts_file {work}/hosts
pid_filename {work}/squid.pid
access_log none
cache_log {work}/squid.log
netdb_filename none
pinger_enable off
max_filedescriptors 8192
shutdown_lifetime 1 second
'''
# Secrets that a call holds, one of which it sends, and rules, the last of which is the one; paths: rules for one host.
SECRETS, RULES = 100, 10000
# A table stops after so many seconds with the rounds it has by then: slow peers take the most of it.
TABLE_SECONDS = 150


def reset_peak(pid):
    """A user may not do so to the gateway, which is closed to others: then it is the peak since its start."""
    try:
        with open('/proc/%d/clear_refs' % pid, 'w') as f:
            f.write('5')
    except OSError:
        pass


def peak_kib(pid):
    with open('/proc/%d/status' % pid) as f:
        for line in f:
            if line.startswith('VmHWM:'):
                return int(line.split()[1])
    return 0


class Bench(https_load.Bench):
    """The paths of https_load.py, and more of them."""

    def __init__(self, options, peers=True):
        self.options, self.work, self.quick = options, options.work, options.quick
        self.started, self.paths, self.fast, self.proxies = [], {}, {}, {}
        # As many descriptors as 1,000 connections take on both sides, for all that start here.
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
        https_load.become_subreaper()
        https_load.make_certificates(self.work)
        self.origin_port = free_port()
        self.start(self.work + '/origin', str(self.origin_port), 'origin.pem', 'origin.key')
        wait_port(self.origin_port)
        self.client('direct', self.origin_port)
        secrets, rules = self.most(SECRETS, RULES) if peers else (0, 1)
        if peers and (secrets, rules) != (SECRETS, RULES):
            print('A policy takes %d secrets and %d rules: so many instead of %d and %d.' % (secrets, rules, SECRETS, RULES))
        self.sandbox('gateway', 0, 1)
        if peers:
            self.sandbox('gateway, %d secrets' % secrets, secrets, 1)
            self.sandbox('gateway, %d rules' % rules, 0, rules)
            self.sandbox('gateway, both', secrets, rules)
            self.sandbox('gateway, %d paths' % rules, 0, rules, True)
        if peers:
            self.haproxy()
            self.squid()
            self.mitmproxy()

    def client(self, name, port, pids=(), ca='ca.pem', tunnel=()):
        self.paths[name] = Path(name, [self.work + '/load', HOST, str(port), os.path.join(self.work, ca), '127.0.0.1', *tunnel],
                                pids)
        self.fast[name] = 1
        if pids:
            self.proxies[name] = pids[0]

    def left_out(self, name, why):
        print('%s is left out: %s' % (name, why))

    def most(self, secrets, rules):
        """What a policy takes of them. Its own words tell where it ends."""
        for _ in range(3):
            policy = self.policy(secrets, rules)
            done = subprocess.run([self.options.nsbox, 'run', '--dry-run', '-C', self.work + '/job', '-f', policy],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                  env={**os.environ, **self.values})
            least = re.search(r'more than (\d+) (secrets|rules)', done.stderr)
            if not least:
                break
            secrets, rules = (int(least[1]), rules) if least[2] == 'secrets' else (secrets, int(least[1]))
        return secrets, rules

    def policy(self, secrets, rules, one_host=False):
        """Rules for many hosts, or for paths of the one."""
        kind = 'https://' + HOST + '/not/%d/**' if one_host else 'https://host-%d.bench.test/**'
        lines = ['[sandbox]', 'version = 1', '[network]', 'upstream_ca = %s/ca.pem' % self.work,
                 'connect_to = %s:443:127.0.0.1:%d' % (HOST, self.origin_port)]
        lines += ['allow = ' + kind % i for i in range(rules - 1)] + ['allow = https://%s/*' % HOST]
        self.values = {}
        for i in range(secrets):
            key = 'LOAD_KEY' if i == 0 else 'KEY_%d' % i
            lines += ['[secret %s]' % key, 'source = env:' + key, 'allow = https://%s/**' % HOST]
            self.values[key] = 'value-%03d-of-a-secret-%s' % (i, os.urandom(8).hex())
        path = '%s/policy-%d-%d.ini' % (self.work, secrets, rules)
        with open(path, 'w') as f:
            f.write('\n'.join(lines) + '\n')
        return path

    def sandbox(self, name, secrets, rules, one_host=False):
        job = self.work + '/job-%d-%d-%d' % (secrets, rules, one_host)
        os.mkdir(job, 0o700)
        shutil.copy(self.work + '/load', job + '/load')
        policy = self.policy(secrets, rules, one_host)
        before = set(processes('nsbox-gateway')), set(processes('nsbox-super'))
        path = Path(name, [self.options.nsbox, 'run', '-T', '-C', job, '-f', policy, '--open-files', '4096', '--', './load',
                           HOST, '443', '/etc/ssl/certs/ca-certificates.crt'], (), {**os.environ, **self.values})
        gateways = [p for p in processes('nsbox-gateway') if p not in before[0]]
        if path.ready != 'ready' or len(gateways) != 1:
            self.left_out(name, 'its sandbox does not start: %r' % path.ready)
            path.close()
            return
        path.pids = gateways + [p for p in processes('nsbox-super') if p not in before[1]]
        self.paths[name], self.fast[name], self.proxies[name] = path, 1, gateways[0]

    def haproxy(self):
        if not os.access(HAPROXY, os.X_OK):
            return self.left_out('haproxy', 'not installed')
        front, generated = free_port(), free_port()
        proxy = self.start(HAPROXY, '-db', '-q', '-f', haproxy_config(self.work, self.origin_port, front, generated))
        if not wait_port(front):
            return self.left_out('haproxy', 'it does not start')
        self.client('haproxy', front, [proxy.pid])
        self.client('haproxy generated', generated, [proxy.pid])

    def squid(self):
        if not os.access('/usr/sbin/squid', os.X_OK) or not os.access(CERTGEN, os.X_OK):
            return self.left_out('squid', 'not installed with ssl-bump')
        port = free_port()
        with open(self.work + '/hosts', 'w') as f:
            f.write('127.0.0.1 %s\n' % HOST)
        with open(self.work + '/squid.conf', 'w') as f:
            f.write(SQUID_CONFIG.format(port=port, work=self.work, certgen=CERTGEN))
        subprocess.run([CERTGEN, '-c', '-s', self.work + '/squid-certs', '-M', '4MB'], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=True)
        if os.getuid() == 0:  # it gives root up for this user
            os.chmod(self.work, 0o755)
            subprocess.run(['chown', '-R', 'proxy', self.work + '/squid-certs'], check=True)
            open(self.work + '/squid.log', 'w').close()
            subprocess.run(['chown', 'proxy', self.work + '/squid.log'], check=True)
            subprocess.run(['chmod', 'a+r', self.work + '/ca-both.pem', self.work + '/hosts', self.work + '/ca.pem'], check=True)
        self.start('/usr/sbin/squid', '-N', '-f', self.work + '/squid.conf')
        if not wait_port(port):
            return self.left_out('squid', 'it does not start')
        self.client('squid', port, [self.started[-1].pid], tunnel=['%s:%d' % (HOST, self.origin_port)])
        self.fast['squid'] = 0.5

    def mitmproxy(self):
        program = shutil.which('mitmdump')
        if not program:
            return self.left_out('mitmproxy', 'not installed')
        port = free_port()
        os.mkdir(self.work + '/mitm')
        shutil.copy(self.work + '/ca-both.pem', self.work + '/mitm/mitmproxy-ca.pem')
        # Its address of the origin is no name, so it cannot verify one: that spares it work.
        proxy = self.start(program, '-q', '--set', 'confdir=' + self.work + '/mitm', '--ssl-insecure', '--listen-host', '127.0.0.1',
                           '-p', str(port), '--mode', 'reverse:https://127.0.0.1:%d' % self.origin_port, '--set', 'keep_host_header=true',
                           '--set', 'flow_detail=0')
        if not wait_port(port):
            return self.left_out('mitmproxy', 'it does not start')
        self.client('mitmproxy', port, [proxy.pid])
        self.fast['mitmproxy'] = 0.1

    def table(self, title, mode, connections, requests, size, names, rounds):
        """Medians of the rounds, all in turns and as many for each, added latency against direct.
        {name: (rps, p50, p99, cpu)}"""
        rows, failed, begin, done = {}, {}, time.monotonic(), 0
        for pid in self.proxies.values():
            reset_peak(pid)
        for r in range(rounds + 1):  # the first one warms up
            for i in range(len(names)):
                name = names[(r + i) % len(names)]
                if failed.get(name, 0) > 1:
                    continue  # each failure may take ten seconds
                n = max(2 * connections, int(requests * self.fast[name]))
                # While the others had their turns connections to the origin were closed, by the gateway after 30 s:
                # to open a thousand of them is ten times the work of as many requests, and belongs to another table.
                warm = mode != 'keep' or self.paths[name].ask(
                    'keep %d %d %d' % (connections, max(connections, n // 10), size))
                got = warm and self.paths[name].ask('%s %d %d %d' % (mode, connections, n, size))
                failed[name] = failed.get(name, 0) + (not got)
                if got and r:
                    rows.setdefault(name, []).append(got)
            done = r
            if r and time.monotonic() - begin > TABLE_SECONDS:
                break
        print(title + (' (%d rounds in the time there is)' % done if done < rounds else ''))
        print('  %-22s %11s %9s %11s %11s %15s %9s %9s %7s' % ('', 'requests/s', 'MB/s', 'p50 added', 'p99 added',
                                                             'CPU us/request', '/ haproxy', 'peak MiB', 'rounds'))
        result = {n: tuple(median([row[c] for row in rows[n]]) for c in range(4)) for n in names if n in rows}
        base = result.get('direct', (0, 0, 0, 0))
        peer = result.get('haproxy') or result.get('haproxy generated')
        for name, (rps, p50, p99, cpu) in result.items():
            peak = peak_kib(self.proxies[name]) / 1024 if name in self.proxies else 0
            print('  %-22s %11.0f %9.1f %11.0f %11.0f %15.1f %9s %9.1f %7d' % (
                name, rps, rps * size / 1e6, p50 - base[1], p99 - base[2], cpu,
                '%.2f' % (cpu / peer[3]) if peer and cpu else '', peak, len(rows[name])))
        print(flush=True)
        return result


def ratios(targets, what, rows, base):
    """Looking for secrets may cost a little more."""
    if base in rows:
        for name in rows:
            if name.startswith('gateway'):
                limit = 1.3 if 'secrets' in name or 'both' in name else 1.0
                targets.add('%s: %s / %s' % (what, name, base), rows[name][3] / rows[base][3], limit)


def idle(bench, count):
    print('Idle TLS connections, both sides open (KiB each)')
    for name, pid in bench.proxies.items():
        if name == 'haproxy generated':
            continue
        bench.paths[name].ask('idle 1')
        one = resident_kib(pid)
        if bench.paths[name].ask('idle %d' % count):
            print('  %-22s %8.1f   (%d connections)' % (name, (resident_kib(pid) - one) / (count - 1), count))
            bench.paths[name].ask('idle 1')
    print(flush=True)


def compare(options, targets):
    bench = Bench(options)
    try:
        names = [n for n in bench.paths if n != 'haproxy generated']
        rounds, n = options.rounds or (1 if options.quick else 5), 400 if options.quick else 4000
        print('Rounds: %d. Latencies in microseconds, added to those of direct.\n' % rounds)
        # First: later there is memory of connections that are gone.
        idle(bench, 100 if options.quick else 500)
        for connections in (1, 64, 1000):
            rows = bench.table('%d connection%s kept open, small answers' % (connections, 's' * (connections > 1)), 'keep',
                               connections, max(4 * connections, n * (1 if connections == 1 else 4)), 100, names, rounds)
            ratios(targets, 'CPU per request, %d connections' % connections, rows, 'haproxy')
            if connections == 1 and 'gateway' in rows:
                targets.add('latency added at p50, 1 connection', rows['gateway'][1] - rows['direct'][1], 100, 'us')
        rows = bench.table('A new TLS connection for each request, 4 at a time', 'new', 4, n // 8, 100,
                           [n for n in names if n != 'haproxy'] + [n for n in ('haproxy generated',) if n in bench.paths], rounds)
        ratios(targets, 'CPU per new TLS connection', rows, 'haproxy generated')
        rows = bench.table('Streaming: answers of 4 MiB, 4 connections', 'keep', 4, max(8, n // 100), 4 << 20, names, rounds)
        ratios(targets, 'CPU per MiB', rows, 'haproxy')
        targets.show()
    finally:
        bench.close()


def soak(options):
    """Requests in blocks over 64 connections, some of them new; the memory of the gateway after each."""
    bench = Bench(options, peers=False)
    try:
        path, pid = bench.paths['gateway'], bench.proxies['gateway']
        done, block, after, begin = 0, 20000, [], time.monotonic()
        while done < options.soak:
            n = min(block, options.soak - done)
            # A few connections of their own, so that what they leave behind is seen too.
            if not path.ask('keep 64 %d 100' % n) or not path.ask('new 8 200 100'):
                print('not ok soak: the requests failed after %d' % done)
                return False
            done += n
            after.append(resident_kib(pid))
            if len(after) % 5 == 1 or done >= options.soak:
                print('  %9d requests, %6.0f s: %d KiB resident' % (done, time.monotonic() - begin, after[-1]), flush=True)
        # What the first block needed stays. After it nothing may grow with the requests.
        settled = after[min(2, len(after) - 1)]
        flat = after[-1] <= settled * 1.05 + 256
        print('%s soak: %d requests, resident %d KiB after %d of them, %d KiB at the end, peak %d KiB' % (
            'ok' if flat else 'not ok', done, settled, min(3 * block, done), after[-1], peak_kib(pid)))
        return flat
    finally:
        bench.close()


def measure(options, targets):
    """False when a soak found growing memory."""
    if not os.access(options.work + '/load', os.X_OK):
        print('no load client: nothing measured')
        return True
    if options.soak:
        return soak(options)
    compare(options, targets)
    return True
