/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host application as difficult as they come: counts SIGCHLD, waits for any child, holds a large heap, blocks and
 * handles signals, counts its threads and descriptors. Runs a sandbox through the library and reports one JSON object
 * on the descriptor given. usage: host_safety WORKDIR MEGABYTES RESULT-FD RUNS
 */
#include <sandbox/sandbox.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t children_signalled;

static void count_child(int signal)
{
	(void)signal;
	children_signalled++;
}

static int entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Page faults of writing to each page. A fork leaves all of them read-only, whatever became of the child. */
static long write_heap(char *heap, size_t size)
{
	struct rusage before, after;

	getrusage(RUSAGE_SELF, &before);
	for (size_t i = 0; i < size; i += 4096)
		((volatile char *)heap)[i] = 1;
	getrusage(RUSAGE_SELF, &after);
	return after.ru_minflt - before.ru_minflt;
}

static long write_heap_after_fork(char *heap, size_t size)
{
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	return write_heap(heap, size);
}

struct dispositions {
	void (*handler[65])(int);
	sigset_t mask;
};

static void read_dispositions(struct dispositions *d)
{
	memset(d, 0, sizeof(*d));
	for (int i = 1; i <= 64; i++) {
		struct sigaction action;

		if (sigaction(i, NULL, &action) == 0)
			d->handler[i] = action.sa_handler;
	}
	sigprocmask(SIG_SETMASK, NULL, &d->mask);
}

static int children_waited(void)
{
	int n = 0;

	while (waitpid(-1, NULL, WNOHANG) > 0)
		n++;
	return n;
}

/* One runtime, one sandbox, one call of `true`. */
static int run_once(const char *workdir, int *waited, int *threads, char *why, size_t why_size)
{
	static const char *const argv[] = { "true", NULL };
	sandbox_error *error = NULL;
	sandbox_runtime *runtime = NULL;
	sandbox_policy *policy = NULL;
	sandbox *box = NULL;
	sandbox_command *command = NULL;
	sandbox_call *call = NULL;
	int status = -1;

	if (sandbox_runtime_new(&runtime, &error) < 0 || sandbox_policy_new(&policy, &error) < 0 ||
	    sandbox_policy_set_workdir(policy, workdir, 0, &error) < 0 ||
	    sandbox_command_new(argv, &command, &error) < 0 ||
	    sandbox_command_set_stdio(command, -1, -1, -1) < 0)
		goto out;
	if (sandbox_create(runtime, policy, &box, &error) < 0)
		goto out;
	*waited += children_waited();
	if (sandbox_start(box, command, &call, &error) < 0)
		goto out;
	*waited += children_waited();
	*threads = entries("/proc/self/task") - 2;
	if (sandbox_call_wait(call, 20000, &error) < 0)
		goto out;
	status = sandbox_call_exit_status(call);
out:
	if (error)
		snprintf(why, why_size, "%s", sandbox_error_message(error));
	sandbox_error_free(error);
	sandbox_call_free(call);
	sandbox_command_free(command);
	sandbox_free(box);
	sandbox_policy_free(policy);
	sandbox_runtime_free(runtime);
	*waited += children_waited();
	return status;
}

int main(int argc, char **argv)
{
	struct dispositions before, after;
	struct sigaction action = { .sa_handler = count_child, .sa_flags = SA_RESTART };
	int waited = 0, threads = 0, failed = 0, fds_before, fds_after, runs, result_fd;
	char why[512] = "";
	size_t heap_size;
	char *heap;
	sigset_t blocked;

	if (argc != 5)
		return 2;
	heap_size = strtoul(argv[2], NULL, 10) << 20;
	result_fd = atoi(argv[3]);
	runs = atoi(argv[4]);
	heap = mmap(NULL, heap_size ? heap_size : 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (heap == MAP_FAILED)
		return 2;
	/* Small pages, all touched: what a fork would have to copy. */
	madvise(heap, heap_size, MADV_NOHUGEPAGE);
	memset(heap, 1, heap_size);
	sigaction(SIGCHLD, &action, NULL);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigaddset(&blocked, SIGRTMIN + 3);
	sigprocmask(SIG_BLOCK, &blocked, NULL);

	read_dispositions(&before);
	fds_before = entries("/proc/self/fd");
	for (int i = 0; i < runs; i++)
		failed += run_once(argv[1], &waited, &threads, why, sizeof(why)) != 0;
	fds_after = entries("/proc/self/fd");
	read_dispositions(&after);
	for (char *p = why; *p; p++)
		if (*p == '"' || *p == '\\' || (unsigned char)*p < 32)
			*p = '\'';
	dprintf(result_fd, "{\"failed\": %d, \"why\": \"%s\", \"sigchld\": %d, \"waited\": %d, \"threads\": %d, "
		"\"fds\": %d, \"signals_changed\": %d, \"heap_kept\": %d, ",
		failed, why, (int)children_signalled, waited, threads, fds_after - fds_before,
		memcmp(&before, &after, sizeof(before)) != 0, heap_size == 0 || heap[heap_size - 1] == 1);
	const long faults = write_heap(heap, heap_size);
	dprintf(result_fd, "\"faults\": %ld, \"faults_of_fork\": %ld}\n", faults, write_heap_after_fork(heap, heap_size));
	return failed != 0;
}
