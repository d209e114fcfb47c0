/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host with eight threads, each with a runtime of its own, and everything that can disturb a library: a SIGCHLD
 * handler, a thread that waits for any child, blocked signals, closed standard descriptors, a thousand open ones of many
 * kinds. usage: threads WORKDIR RESULT-FD STARTS [closed] [crowd] [nocldwait]
 *
 * Each thread makes sandboxes, without a name and with one, and calls in them, light and full, each with words, an exit
 * status, a directory and a limit of its own, and compares what comes back. Reports one JSON object on RESULT-FD.
 */
#include <sandbox/sandbox.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8
#define CROWD 1000
#define CALLS_IN_ONE 6

static const char *workdir;
static int starts, crowd_first;
static volatile sig_atomic_t children_signalled;
static volatile int over, reaped;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char why[1024];
static int failed, done;

static void count_child(int number)
{
	(void)number;
	children_signalled++;
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
	va_list arguments;

	pthread_mutex_lock(&lock);
	if (failed++ == 0) {
		va_start(arguments, format);
		vsnprintf(why, sizeof(why), format, arguments);
		va_end(arguments);
	}
	pthread_mutex_unlock(&lock);
}

static void note_error(const char *what, sandbox_error *error)
{
	note("%s: %s", what, error ? sandbox_error_message(error) : "no message");
	sandbox_error_free(error);
}

/* What a program that starts others in an old way does all the time. */
static void *wait_for_any(void *unused)
{
	(void)unused;
	while (!over) {
		if (waitpid(-1, NULL, WNOHANG) > 0)
			reaped++;
		usleep(200);
	}
	return NULL;
}

/* None of them is close-on-exec: whatever leaks shows inside. */
static void open_crowd(void)
{
	int pair[2];

	crowd_first = open("/dev/null", O_RDONLY);
	for (int i = 0; i < CROWD; i += 2) {
		switch (i / 2 % 8) {
		case 0:
			if (pipe(pair) < 0)
				abort();
			break;
		case 1:
			if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
				abort();
			break;
		case 2:
			open("/", O_RDONLY | O_DIRECTORY);
			open("/etc", O_PATH);
			break;
		case 3:
			eventfd(0, 0);
			timerfd_create(CLOCK_MONOTONIC, 0);
			break;
		case 4:
			memfd_create("crowd", 0);
			epoll_create(1);
			break;
		case 5:
			socket(AF_INET, SOCK_STREAM, 0);
			socket(AF_INET, SOCK_DGRAM, 0);
			break;
		case 6:
			open("/proc/self/status", O_RDONLY);
			open("/dev/zero", O_RDWR);
			break;
		default:
			open("/proc/self/exe", O_RDONLY);
			open("/proc/self/ns/net", O_RDONLY);
		}
	}
}

static ssize_t read_all(int fd, char *text, size_t size)
{
	size_t n = 0;
	ssize_t r;

	while (n < size - 1 && ((r = read(fd, text + n, size - 1 - n)) > 0 || (r < 0 && errno == EINTR)))
		n += r > 0 ? (size_t)r : 0;
	text[n] = '\0';
	return (ssize_t)n;
}

static void compare(int thread, int number, sandbox_call *call, int limit)
{
	sandbox_error *error = NULL;
	char text[512], want[512];
	int out = sandbox_call_take_stdio(call, 1);

	if (out < 3) {
		note("thread %d, call %d: its pipe is descriptor %d", thread, number, out);
		return;
	}
	read_all(out, text, sizeof(text));
	close(out);
	/* The open ones are 0, 1, 2 and the directory that ls reads. */
	snprintf(want, sizeof(want), "word-%d-%d %d %s 0 1 2 3\n", thread, number, limit, number % 2 ? "/tmp" : workdir);
	if (strcmp(text, want) != 0)
		note("thread %d, call %d: printed %s, not %s", thread, number, text, want);
	if (sandbox_call_wait(call, 30000, &error) < 0)
		note_error("wait", error);
	else if (sandbox_call_exit_status(call) != (thread * 16 + number % 16) || sandbox_call_exit_signal(call))
		note("thread %d, call %d: ended with %d", thread, number, sandbox_call_exit_status(call));
	pthread_mutex_lock(&lock);
	done++;
	pthread_mutex_unlock(&lock);
}

static sandbox_call *start(int thread, int number, sandbox *box)
{
	char word[64], status[16];
	const char *const argv[] = { "sh", "-c", "echo $1 $(ulimit -n) $PWD $(ls /proc/self/fd); exit $2", "sh", word, status,
				     NULL };
	sandbox_command *command = NULL;
	sandbox_call *call = NULL;
	sandbox_error *error = NULL;

	snprintf(word, sizeof(word), "word-%d-%d", thread, number);
	snprintf(status, sizeof(status), "%d", thread * 16 + number % 16);
	if (sandbox_command_new(argv, &command, &error) < 0 ||
	    sandbox_command_set_stdio(command, SANDBOX_STDIO_NULL, SANDBOX_STDIO_PIPE, SANDBOX_STDIO_NULL) < 0 ||
	    (number % 2 && sandbox_command_set_directory(command, "/tmp", &error) < 0) ||
	    (number % 3 == 0 && sandbox_command_set_isolation(command, "full", &error) < 0) ||
	    sandbox_start(box, command, &call, &error) < 0)
		note_error("start", error);
	sandbox_command_free(command);
	return call;
}

static sandbox *make(sandbox_runtime *runtime, int thread, int round, int limit)
{
	sandbox_policy *policy = NULL;
	sandbox_error *error = NULL;
	sandbox *box = NULL;
	char text[16], name[32];

	snprintf(text, sizeof(text), "%d", limit);
	snprintf(name, sizeof(name), "box-%d-%d", thread, round);
	int r = sandbox_policy_new(&policy, &error);
	if (r == 0)
		r = sandbox_policy_set_workdir(policy, workdir, 0, &error);
	if (r == 0)
		r = sandbox_policy_set(policy, "network", "mode", (thread + round) % 4 == 0 ? "gateway" : "none", NULL, &error);
	if (r == 0)
		r = sandbox_policy_set(policy, "limits", "open_files", text, NULL, &error);
	if (r == 0)
		r = round % 2 ? sandbox_create_named(runtime, policy, name, &box, &error) :
				sandbox_create(runtime, policy, &box, &error);
	if (r < 0)
		note_error("create", error);
	sandbox_policy_free(policy);
	return box;
}

/* One sandbox and some calls in it, two of them at once. */
static int one_round(sandbox_runtime *runtime, int thread, int round, int left)
{
	int limit = 100 + thread * 10 + round % 10, n = left < CALLS_IN_ONE ? left : CALLS_IN_ONE;
	sandbox *box = make(runtime, thread, round, limit);
	sandbox_call *calls[CALLS_IN_ONE] = { NULL };
	sandbox_error *error = NULL;

	for (int i = 0; box && i < n; i++) {
		calls[i] = start(thread, round * CALLS_IN_ONE + i, box);
		if (i % 2 == 0 && i + 1 < n)
			continue;
		for (int k = i - i % 2; k <= i; k++)
			if (calls[k])
				compare(thread, round * CALLS_IN_ONE + k, calls[k], limit);
	}
	for (int i = 0; i < n; i++)
		sandbox_call_free(calls[i]);
	if (box && round % 2 && sandbox_remove(box, 1, &error) < 0)
		note_error("remove", error);
	sandbox_free(box);
	return n;
}

static void *work(void *arg)
{
	int thread = *(int *)arg, left = starts / THREADS + (thread < starts % THREADS);
	sandbox_runtime *runtime = NULL;
	sandbox_error *error = NULL;

	if (sandbox_runtime_new(&runtime, &error) < 0) {
		note_error("runtime", error);
		return NULL;
	}
	for (int round = 0; left > 0; round++) {
		left -= one_round(runtime, thread, round, left);
		/* A new one now and then. */
		if (round % 4 == 3) {
			sandbox_runtime_free(runtime);
			if (sandbox_runtime_new(&runtime, &error) < 0) {
				note_error("runtime", error);
				return NULL;
			}
		}
	}
	sandbox_runtime_free(runtime);
	return NULL;
}

/* How many of 0, 1 and 2 are open: the library may use them for nothing. */
static int standard_open(void)
{
	int n = 0;

	for (int fd = 0; fd < 3; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int highest(void)
{
	int top = 0;

	for (int fd = 0; fd < 8192; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			top++;
	return top;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = count_child };
	int numbers[THREADS], result_fd, closed = 0, before, after;
	pthread_t threads[THREADS], waiter;
	sigset_t blocked;

	if (argc < 4)
		return 2;
	workdir = argv[1];
	result_fd = atoi(argv[2]);
	starts = atoi(argv[3]);
	for (int i = 4; i < argc; i++) {
		closed |= strcmp(argv[i], "closed") == 0;
		if (strcmp(argv[i], "crowd") == 0)
			open_crowd();
		if (strcmp(argv[i], "nocldwait") == 0)
			action.sa_flags |= SA_NOCLDWAIT;
	}
	for (int fd = 0; fd < 3 && closed; fd++)
		close(fd);
	sigaction(SIGCHLD, &action, NULL);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &blocked, NULL);
	before = highest();
	pthread_create(&waiter, NULL, wait_for_any, NULL);
	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		pthread_create(&threads[i], NULL, work, &numbers[i]);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	over = 1;
	pthread_join(waiter, NULL);
	after = highest();
	for (char *p = why; *p; p++)
		if (*p == '"' || *p == '\\' || (unsigned char)*p < 32)
			*p = '\'';
	dprintf(result_fd, "{\"failed\": %d, \"why\": \"%s\", \"calls\": %d, \"sigchld\": %d, \"reaped\": %d, \"fds\": %d, "
		"\"standard\": %d, \"crowd\": %d}\n", failed, why, done, (int)children_signalled, reaped, after - before,
		standard_open(), crowd_first > 0);
	return failed != 0;
}
