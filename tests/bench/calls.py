# SPDX-License-Identifier: Apache-2.0
"""What a call costs beside a plain process and beside bubblewrap for each command, interleaved (calls.c), for several
commands, at several concurrencies and pool depths; then the memory of one more idle sandbox."""
import os
import subprocess

import start

# DESIGN 14, for one call at a time with prepared calls.
LIMITS = {'true': 1.10, 'git status': 1.05, 'python3 -c pass': 1.01}
VARIANTS = 'spawn,spawn2,light,light-net,light-net-grant,full,full-net'
AUDITED = ',light-net-grant-audit,light-net-grant-remember'
# DESIGN 14, the same with an auditor.
AUDIT_LIMIT = 1.20


def commands(options):
    repository = options.work + '/job'
    if not os.path.isdir(repository + '/.git'):
        subprocess.run(['git', 'init', '-q', repository], check=True)
        for i in range(100):
            with open('%s/file%d' % (repository, i), 'w') as f:
                f.write('line\n' * 20)
    return {
        'true': ['/usr/bin/true'],
        'sh -c :': ['/bin/sh', '-c', ':'],
        'git status': ['/usr/bin/git', 'status'],
        'python3 -c pass': ['/usr/bin/python3', '-c', 'pass'],
    }


def auditors(options):
    """The example auditor in C with its own rules: asked about each call, and one whose answers are remembered."""
    source = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                          'examples/auditor/rules')
    found = {}
    for name, variable, flag in (('asked', 'BENCH_AUDITOR', ['-DCACHE_MS=0']), ('remember', 'BENCH_AUDITOR_REMEMBER', [])):
        program = options.work + '/' + name
        if not os.path.exists(program):
            with open(source + '/rules.c') as f:
                line = next(line for line in f if line.startswith(' *\tcc '))
            command = [program if word == 'rules' else word for word in line[3:].split()]
            if subprocess.run(command + flag, cwd=source, stderr=subprocess.DEVNULL).returncode != 0:
                return {}
        found[variable] = 'exec:exec %s %s/rules.ini' % (program, source)
    return found


def rows(options, argv, rounds, at_once, pool, pause, variants=VARIANTS, **env):
    """Name -> (p10, p50, p95, p99, mean, cpu, failures)."""
    audit = auditors(options)
    command = [options.work + '/calls', str(rounds), str(at_once), str(pool), str(pause), str(min(rounds, 200)),
               options.work + '/job', variants + (AUDITED if audit and variants == VARIANTS else '') +
               (',bwrap' if os.access(start.BWRAP, os.X_OK) and variants == VARIANTS else '')]
    if os.access(start.BWRAP, os.X_OK):
        command += ['--bwrap'] + start.bwrap_command(options.work + '/job') + ['--bwrap-end']
    done = subprocess.run(command + argv, stdout=subprocess.PIPE, text=True, cwd=options.work + '/job',
                          env={**os.environ, **audit, **env})
    found = {}
    for line in done.stdout.splitlines():
        words = line.split()
        found[words[0]] = [float(w) for w in words[1:]]
    return found


def show(found, at_once):
    base = found['spawn']
    print('%-26s %7s %7s %7s %7s %8s %8s %8s %9s' % (
        'us', 'p10', 'p50', 'p95', 'p99', 'cpu', 'x p10', 'x p50', 'failures'))
    for name, row in found.items():
        print('%-26s %7.0f %7.0f %7.0f %7.0f %8.0f %8.3f %8.3f %9.0f' % (
            name, *row[:4], row[5], row[0] / base[0], row[1] / base[1], row[6]))
    print()


def measure_latency(options, targets):
    rounds = options.rounds or (20 if options.quick else 1000)
    plan = [(1, 64, 5000), (1, 0, 5000), (4, 64, 20000), (4, 0, 5000), (16, 64, 50000), (16, 0, 5000)]
    for at_once, pool, pause in plan[:2] if options.quick else plan:
        for name, argv in commands(options).items():
            n = rounds if at_once == 1 else max(20, rounds // (2 * at_once))
            found = rows(options, argv, n, at_once, pool, pause)
            print('`%s`, %d at once, pool of %d prepared calls, %d rounds, %d ms between batches' % (
                name, at_once, pool, n, pause // 1000))
            if 'spawn' not in found:
                print('FAILED\n')
                continue
            show(found, at_once)
            if at_once == 1 and pool and name in LIMITS:
                for variant in ('light', 'light-net', 'light-net-grant', 'light-net-grant-audit'):
                    if variant not in found:
                        continue
                    targets.add('call of `%s`, %s / posix_spawn, p50' % (name, variant),
                                found[variant][1] / found['spawn'][1],
                                AUDIT_LIMIT if 'audit' in variant else LIMITS[name], 'x',
                                'p10 %.3f x, noise of posix_spawn itself %.3f x' % (
                                    found[variant][0] / found['spawn'][0], found['spawn2'][1] / found['spawn'][1]))


def measure_trace(options, targets):
    """A thousand calls of different commands, one after the other."""
    rounds = options.rounds or (20 if options.quick else 1000)
    argv = []
    for one in commands(options).values():
        argv += (['--next'] if argv else []) + one
    found = rows(options, argv, rounds, 1, 64, 5000)
    print('a trace of %d calls, the commands in turns: milliseconds in all' % rounds)
    for name, row in found.items():
        print('%-26s %9.1f %8.3f x' % (name, row[4] * rounds / 1e3, row[4] / found['spawn'][4]))
    print()


def measure_growth(options, targets):
    """The cost of a call does not grow with rules or files: the same call, at both ends, each beside posix_spawn."""
    rounds = options.rounds or (20 if options.quick else 500)
    few, many = (1, 1000) if options.quick else (1, 10000)
    variants = 'spawn,spawn2,light-net,light-net-grant'
    for n in (few, many):
        found = rows(options, ['/usr/bin/true'], rounds, 1, 64, 5000, variants, BENCH_RULES=str(n))
        for name in ('light-net', 'light-net-grant'):
            print('%6d rules: %-16s %.3f x posix_spawn, p50' % (n, name, found[name][1] / found['spawn'][1]))
    many = 1000 if options.quick else 1000000
    for n in (10, many):
        directory = options.work + '/job/tree'
        for i in range(0, n, 1000):
            os.makedirs('%s/%d' % (directory, i))
            for k in range(min(n - i, 1000)):
                os.close(os.open('%s/%d/%d' % (directory, i, k), os.O_CREAT | os.O_WRONLY, 0o600))
        found = rows(options, ['/usr/bin/true'], rounds, 1, 64, 5000, variants)
        for name in ('light-net', 'light-net-grant'):
            print('%7d files: %-16s %.3f x posix_spawn, p50' % (n, name, found[name][1] / found['spawn'][1]))
        subprocess.run(['rm', '-rf', directory], check=True)
    print()


def pss(pids):
    total = 0
    for pid in pids:
        try:
            with open('/proc/%s/smaps_rollup' % pid) as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith('Pss:'))
        except OSError:
            pass  # not ours to read, or gone
    return total


def helpers():
    """Processes of ours: everything below our runtime is named like that."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/comm' % pid, errors='replace') as f:
                if f.read().startswith('nsbox-'):
                    found.append(pid)
        except OSError:
            pass
    return found


def measure_memory(options, targets):
    if os.getuid() != 0:
        print('memory of idle sandboxes: only root can read the memory maps of processes that nothing may trace\n')
        return
    for net, limit in (('none', 1024), ('gateway', 2048)):
        command = [options.work + '/idle', options.work + '/job', net]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        totals = []
        for n in (20, 70):
            process.stdin.write('%d\n' % n)
            process.stdin.flush()
            process.stdout.readline()
            totals.append(pss(helpers()))
        process.stdin.close()
        process.wait()
        each = (totals[1] - totals[0]) / 50
        print('one more idle sandbox, net %s: %.0f KiB PSS of all its processes' % (net, each))
        targets.add('memory of one more idle sandbox, net %s (KiB)' % net, each, limit, 'KiB')
    print()


def measure(options, targets):
    measure_latency(options, targets)
    targets.show()
    measure_trace(options, targets)
    measure_growth(options, targets)
    measure_memory(options, targets)
    targets.show()
