/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a call costs beside a plain process: every round runs each variant once, in a random order, as a batch of N at
 * once, and takes the time from the first spawn to the last end. Then blocks of the same variant give the processor
 * time of the whole machine for one (what else runs there is in it too). PAUSE_US lies before every batch: a front end
 * thinks between its calls, and what was used up is prepared anew in that time; 0 measures back to back.
 *
 * usage: calls ROUNDS AT_ONCE POOL PAUSE_US CPU_CALLS WORKDIR VARIANT[,VARIANT...] [--bwrap WORD... --bwrap-end]
 *	COMMAND... [--next COMMAND...]
 * With several commands each round takes the next of them: a trace.
 * VARIANT: spawn spawn2 light full light-net full-net bwrap, or these with more words behind '-'. light and full are
 * without a network; -net has a gateway; -grant gives each call a grant besides; -audit asks the auditor of the
 * environment variable BENCH_AUDITOR, -remember one that lets its answers be remembered (BENCH_AUDITOR_REMEMBER).
 * BENCH_RULES: so many rules in the policy.
 * Prints a line each: VARIANT p10 p50 p95 p99 mean (us of a batch) cpu (us a call) failures
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sandbox/sandbox.h>

#define MAX_AT_ONCE 256
#define MAX_VARIANTS 12
#define MAX_COMMANDS 8

extern char **environ;

enum kind { SPAWN, LIGHT, FULL, BWRAP };

struct variant {
	const char *name;
	enum kind kind;
	sandbox *box;
	sandbox_command *command[MAX_COMMANDS];
	double *us;
	double cpu_us;
	unsigned long failures;
};

static unsigned at_once;
static size_t n_commands, turn; /* which one it is */
static char **command[MAX_COMMANDS], *bwrap[MAX_COMMANDS][512];

static void die(const char *what, sandbox_error *error)
{
	fprintf(stderr, "calls: %s: %s\n", what, error ? sandbox_error_message(error) : strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void spawn_batch(struct variant *v, char *const *argv)
{
	pid_t pids[MAX_AT_ONCE];
	posix_spawn_file_actions_t actions;

	posix_spawn_file_actions_init(&actions);
	for (int fd = 0; fd < 3; fd++)
		posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
	for (unsigned i = 0; i < at_once; i++)
		if (posix_spawnp(&pids[i], argv[0], &actions, NULL, argv, environ) != 0)
			die(argv[0], NULL);
	for (unsigned i = 0; i < at_once; i++) {
		int status;
		if (waitpid(pids[i], &status, 0) != pids[i] || status != 0)
			v->failures++;
	}
	posix_spawn_file_actions_destroy(&actions);
}

static void call_batch(struct variant *v)
{
	sandbox_call *calls[MAX_AT_ONCE];
	sandbox_error *error = NULL;

	for (unsigned i = 0; i < at_once; i++)
		if (sandbox_start_async(v->box, v->command[turn], &calls[i], &error) < 0)
			die(v->name, error);
	for (unsigned i = 0; i < at_once; i++) {
		if (sandbox_call_wait(calls[i], 60000, &error) < 0)
			die(v->name, error);
		v->failures += sandbox_call_exit_status(calls[i]) != 0;
		sandbox_call_free(calls[i]);
	}
}

static void batch(struct variant *v)
{
	if (v->kind == SPAWN)
		spawn_batch(v, command[turn]);
	else if (v->kind == BWRAP)
		spawn_batch(v, bwrap[turn]);
	else
		call_batch(v);
}

static int set(sandbox_policy *p, const char *section, const char *key, const char *value)
{
	sandbox_error *error = NULL;

	if (sandbox_policy_set(p, section, key, value, NULL, &error) < 0)
		die(value, error);
	return 0;
}

static sandbox_policy *make_policy(const struct variant *v, const char *workdir)
{
	const char *rules = getenv("BENCH_RULES"), *auditor = getenv("BENCH_AUDITOR");
	sandbox_error *error = NULL;
	sandbox_policy *p;
	char rule[64];

	if (sandbox_policy_new(&p, &error) < 0 || sandbox_policy_set_workdir(p, workdir, 0, &error) < 0)
		die(v->name, error);
	if (!strstr(v->name, "-net"))
		set(p, "network", "mode", "none");
	for (long n = rules && strstr(v->name, "-net") ? atol(rules) : 1; n > 0 && strstr(v->name, "-net"); n--) {
		snprintf(rule, sizeof(rule), "https://host%ld.example.com/v1/**", n);
		set(p, "network", "allow", rule);
	}
	if (strstr(v->name, "-remember"))
		auditor = getenv("BENCH_AUDITOR_REMEMBER");
	if (strstr(v->name, "-audit") || strstr(v->name, "-remember"))
		set(p, "audit", "auditor", auditor ? auditor : "exec:false");
	return p;
}

/* What a tool might be given: its host, the workspace, bounds. */
static void grant(sandbox_command *c, const char *workdir)
{
	static const char *const lines[][2] = { { "allow", "https://host1.example.com/v1/**" }, { "write", NULL },
						{ "uses", "20" }, { "bytes_up", "1M" }, { "ttl", "10m" } };
	sandbox_error *error = NULL;
	sandbox_grant *g;

	if (sandbox_grant_new(&g, &error) < 0)
		die("grant", error);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (sandbox_grant_set(g, lines[i][0], lines[i][1] ? lines[i][1] : workdir, NULL, &error) < 0)
			die(lines[i][0], error);
	if (sandbox_command_set_grant(c, g, &error) < 0)
		die("grant", error);
	sandbox_grant_free(g);
}

static void prepare(struct variant *v, sandbox_runtime *runtime, const char *workdir, int pool)
{
	sandbox_error *error = NULL;

	v->kind = strncmp(v->name, "light", 5) == 0 ? LIGHT : strncmp(v->name, "full", 4) == 0 ? FULL :
		  strcmp(v->name, "bwrap") == 0 ? BWRAP : SPAWN;
	if (v->kind != LIGHT && v->kind != FULL)
		return;
	sandbox_policy *policy = make_policy(v, workdir);
	if (sandbox_create(runtime, policy, &v->box, &error) < 0)
		die(v->name, error);
	sandbox_policy_free(policy);
	for (size_t i = 0; i < n_commands; i++) {
		sandbox_command *c;
		if (sandbox_command_new((const char *const *)command[i], &c, &error) < 0 ||
		    sandbox_command_set_stdio(c, SANDBOX_STDIO_NULL, SANDBOX_STDIO_NULL, SANDBOX_STDIO_NULL) < 0 ||
		    sandbox_command_set_isolation(c, v->kind == FULL ? "full" : "light", &error) < 0)
			die(v->name, error);
		if (strstr(v->name, "-grant"))
			grant(c, workdir);
		v->command[i] = c;
	}
	batch(v); /* also tells a full pool that full calls are wanted */
	if (pool >= 0 && sandbox_set_pool(v->box, (unsigned)pool, &error) < 0)
		die("pool", error);
}

/* Busy microseconds of all processors since the start of the machine. */
static double machine_busy(void)
{
	double user, nice, sys, idle, iowait, irq, softirq;
	FILE *f = fopen("/proc/stat", "re");

	if (!f || fscanf(f, "cpu %lf %lf %lf %lf %lf %lf %lf", &user, &nice, &sys, &idle, &iowait, &irq, &softirq) != 7)
		die("/proc/stat", NULL);
	fclose(f);
	return (user + nice + sys + irq + softirq) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static void measure_cpu(struct variant *v, unsigned long calls)
{
	unsigned long done = 0;
	double before = machine_busy();

	for (; done < calls; done += at_once)
		batch(v);
	usleep(200000); /* the kernel is still taking namespaces apart, and pools are filled again */
	v->cpu_us = done ? (machine_busy() - before) / (double)done : 0;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static void print(struct variant *v, unsigned long rounds)
{
	static const double points[] = { 0.10, 0.50, 0.95, 0.99 };
	double sum = 0;

	qsort(v->us, rounds, sizeof(*v->us), compare);
	printf("%s", v->name);
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
		printf(" %.0f", v->us[(size_t)((double)rounds * points[i])]);
	for (unsigned long i = 0; i < rounds; i++)
		sum += v->us[i];
	printf(" %.0f %.0f %lu\n", sum / (double)rounds, v->cpu_us, v->failures);
}

static size_t read_variants(char *names, struct variant *variants)
{
	size_t n = 0;
	char *rest = NULL;

	for (char *name = strtok_r(names, ",", &rest); name && n < MAX_VARIANTS; name = strtok_r(NULL, ",", &rest))
		variants[n++].name = name;
	return n;
}

/* What stands between --bwrap and --bwrap-end, then the commands. */
static void read_commands(char **argv)
{
	char **prefix = argv;
	size_t n_prefix = 0;

	if (*argv && strcmp(*argv, "--bwrap") == 0) {
		for (prefix = ++argv; *argv && strcmp(*argv, "--bwrap-end") != 0; argv++)
			n_prefix++;
		argv += *argv != NULL;
	}
	while (*argv && n_commands < MAX_COMMANDS) {
		size_t n = 0;
		for (; n < n_prefix && n < 256; n++)
			bwrap[n_commands][n] = prefix[n];
		command[n_commands] = argv;
		for (; *argv && strcmp(*argv, "--next") != 0 && n < 511; argv++)
			bwrap[n_commands][n++] = *argv;
		n_commands++;
		if (*argv)
			*argv++ = NULL;
	}
}

int main(int argc, char **argv)
{
	struct variant variants[MAX_VARIANTS] = { 0 };
	sandbox_error *error = NULL;
	sandbox_runtime *runtime;

	if (argc < 9)
		return 125;
	unsigned long rounds = strtoul(argv[1], NULL, 10), cpu_calls = strtoul(argv[5], NULL, 10);
	useconds_t pause_us = (useconds_t)strtoul(argv[4], NULL, 10);
	at_once = (unsigned)strtoul(argv[2], NULL, 10);
	read_commands(argv + 8);
	if (rounds < 1 || at_once < 1 || at_once > MAX_AT_ONCE || n_commands < 1)
		return 125;
	size_t n = read_variants(argv[7], variants);
	if (sandbox_runtime_new(&runtime, &error) < 0 || sandbox_runtime_set_events(runtime, "events.lost", &error) < 0)
		die("runtime", error);
	for (size_t i = 0; i < n; i++) {
		variants[i].us = calloc(rounds, sizeof(double));
		prepare(&variants[i], runtime, argv[6], atoi(argv[3]));
	}
	usleep(300000);
	srandom(1);
	for (unsigned long round = 0; round < rounds; round++) {
		size_t first = (size_t)random() % n;
		turn = round % n_commands;
		for (size_t k = 0; k < n; k++) {
			struct variant *v = &variants[(first + k) % n];
			if (pause_us)
				usleep(pause_us);
			double start = now();
			batch(v);
			v->us[round] = now() - start;
		}
	}
	for (size_t i = 0; i < n; i++) {
		measure_cpu(&variants[i], cpu_calls);
		print(&variants[i], rounds);
	}
	sandbox_runtime_free(runtime);
	return 0;
}
