/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times commands against each other: timer ROUNDS --- NAME COMMAND... [--- NAME COMMAND...]... Every round runs each
 * once, beginning with another one each time, so that what else the machine does hits all alike. posix_spawn to wait4,
 * monotonic. Prints one line each: NAME rounds p50 p95 mean min (microseconds) failures.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_COMMANDS 16

extern char **environ;

struct command {
	const char *name;
	char **argv;
	double *us;
	int n, failures;
};

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void run(struct command *c, const posix_spawn_file_actions_t *quiet, int keep)
{
	double start = now_us();
	struct rusage ru;
	int status = -1;
	pid_t pid;

	if (posix_spawn(&pid, c->argv[0], quiet, NULL, c->argv, environ) || wait4(pid, &status, 0, &ru) != pid || status)
		c->failures++;
	if (keep)
		c->us[c->n++] = now_us() - start;
}

static void print(struct command *c)
{
	double sum = 0;

	qsort(c->us, (size_t)c->n, sizeof(*c->us), ascending);
	for (int i = 0; i < c->n; i++)
		sum += c->us[i];
	printf("%s %d %.0f %.0f %.0f %.0f %d\n", c->name, c->n, c->us[c->n / 2], c->us[c->n * 95 / 100], sum / c->n,
	       c->us[0], c->failures);
}

int main(int argc, char **argv)
{
	struct command commands[MAX_COMMANDS] = { 0 };
	posix_spawn_file_actions_t quiet;
	int n = 0, rounds = argc > 1 ? atoi(argv[1]) : 0;

	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "---"))
			continue;
		if (n == MAX_COMMANDS || i + 2 >= argc)
			return 2;
		argv[i] = NULL; /* ends the command before it */
		commands[n].name = argv[i + 1];
		commands[n].argv = argv + i + 2;
		commands[n++].us = calloc((size_t)rounds, sizeof(double));
	}
	if (rounds <= 0 || !n) {
		fprintf(stderr, "usage: timer ROUNDS --- NAME COMMAND... [--- NAME COMMAND...]...\n");
		return 2;
	}
	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
	for (int i = 0; i < 5 * n; i++)
		run(&commands[i % n], &quiet, 0);
	for (int r = 0; r < rounds; r++)
		for (int i = 0; i < n; i++)
			run(&commands[(r + i) % n], &quiet, 1);
	for (int i = 0; i < n; i++) {
		print(&commands[i]);
		free(commands[i].us);
	}
	return 0;
}
