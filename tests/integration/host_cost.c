/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What making a sandbox and a call cost a host with a heap of so many megabytes, all touched; and what a fork of the
 * host in the middle of it does. usage: host_cost WORKDIR MEGABYTES ROUNDS | host_cost WORKDIR fork
 */
#include <sandbox/sandbox.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static sandbox_error *error;

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void must(int r, const char *what)
{
	if (r == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, error ? sandbox_error_message(error) : "failed");
	_exit(3);
}

static sandbox *make(sandbox_runtime *runtime, const char *workdir)
{
	sandbox_policy *policy;
	sandbox *box;

	must(sandbox_policy_new(&policy, &error), "policy");
	must(sandbox_policy_set_workdir(policy, workdir, 0, &error), "workdir");
	must(sandbox_policy_set(policy, "network", "mode", "none", NULL, &error), "mode");
	must(sandbox_create(runtime, policy, &box, &error), "create");
	sandbox_policy_free(policy);
	return box;
}

static int run(sandbox *box, const char *const *argv)
{
	sandbox_command *command;
	sandbox_call *call;

	must(sandbox_command_new(argv, &command, &error), "command");
	must(sandbox_command_set_stdio(command, -1, -1, -1), "stdio");
	must(sandbox_start(box, command, &call, &error), "start");
	must(sandbox_call_wait(call, 20000, &error), "wait");
	int status = sandbox_call_exit_status(call);
	sandbox_call_free(call);
	sandbox_command_free(command);
	return status;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int cost(const char *workdir, size_t bytes, int rounds)
{
	static const char *const argv[] = { "true", NULL };
	double starts[100], calls[100];
	char *heap = mmap(NULL, bytes ? bytes : 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (heap == MAP_FAILED)
		return 2;
	madvise(heap, bytes, MADV_NOHUGEPAGE);
	memset(heap, 1, bytes);
	for (int i = 0; i < rounds && i < 100; i++) {
		sandbox_runtime *runtime;
		double begin = now_ms();
		must(sandbox_runtime_new(&runtime, &error), "runtime");
		sandbox *box = make(runtime, workdir);
		starts[i] = now_ms() - begin;
		run(box, argv);
		calls[i] = 1e9;
		for (int k = 0; k < 5; k++) {
			begin = now_ms();
			run(box, argv);
			double took = now_ms() - begin;
			calls[i] = took < calls[i] ? took : calls[i];
		}
		sandbox_free(box);
		sandbox_runtime_free(runtime);
	}
	qsort(starts, (size_t)rounds, sizeof(*starts), compare);
	qsort(calls, (size_t)rounds, sizeof(*calls), compare);
	printf("{\"start\": %.3f, \"call\": %.3f}\n", starts[0], calls[0]);
	return 0;
}

/* A child that goes on with everything it has got from the host, knowing nothing of the library. */
static pid_t fork_child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		sleep(30);
		_exit(0);
	}
	return pid;
}

/* While it lives the host uses its runtime, and ends it: the child must not keep anything alive or waiting. */
static int with_fork(const char *workdir)
{
	static const char *const seven[] = { "sh", "-c", "exit 7", NULL }, *const sleeper[] = { "sleep", "60", NULL };
	sandbox_runtime *runtime;
	sandbox_command *command;
	sandbox_call *call;
	pid_t children[3];
	int status;

	must(sandbox_runtime_new(&runtime, &error), "runtime");
	sandbox *box = make(runtime, workdir);
	children[0] = fork_child();
	if (run(box, seven) != 7)
		return 4;
	must(sandbox_command_new(sleeper, &command, &error), "command");
	must(sandbox_command_set_stdio(command, -1, -1, -1), "stdio");
	must(sandbox_start(box, command, &call, &error), "start");
	children[1] = fork_child();
	sandbox *second = make(runtime, workdir);
	children[2] = fork_child();
	/* A child that ends in the usual way, with exit(). */
	pid_t plain = fork();
	if (plain == 0)
		exit(9);
	if (waitpid(plain, &status, 0) != plain || WEXITSTATUS(status) != 9)
		return 5;
	if (sandbox_call_wait(call, 0, NULL) == 0 || run(second, seven) != 7)
		return 6;
	double begin = now_ms();
	sandbox_call_free(call);
	sandbox_command_free(command);
	sandbox_free(box);
	sandbox_free(second);
	sandbox_runtime_free(runtime);
	double took = now_ms() - begin;
	for (int i = 0; i < 3; i++) {
		/* Still there: it was in nobody's way. */
		if (kill(children[i], SIGKILL) < 0 || waitpid(children[i], &status, 0) < 0 || !WIFSIGNALED(status))
			return 7;
	}
	printf("{\"end\": %.3f}\n", took);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[2], "fork") == 0)
		return with_fork(argv[1]);
	return argc == 4 ? cost(argv[1], strtoul(argv[2], NULL, 10) << 20, atoi(argv[3])) : 2;
}
