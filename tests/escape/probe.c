/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The escape probe: tries to get out and says what happened. Theory of operation: one static binary, so that it runs
 * in any root. `probe N[,N] KEY=VALUE...` makes the attempts with these numbers, each in a child of its own (a filter
 * may kill it), and prints one RESULT line for each step; what is allowed is decided by run.py. With control=1 it is
 * the negative control: the same attempt outside, which must succeed; userns=1 gives it namespaces of its own first,
 * for attempts that need a capability. `probe @TOOL` are the host's parts in C.
 */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ATTEMPT_SECONDS 60

static char **facts;
static int out_fd = 1;
static const struct attempt *current;
struct itimerval inherited_timer;

static const struct attempt *const groups[] = {
	fs_attempts, fs_more_attempts, proc_attempts, net_attempts, wire_attempts, ipc_attempts, tty_attempts,
	ns_attempts, seccomp_attempts, syscall_attempts, cred_attempts, rs_attempts, sibling_attempts, more_attempts,
};

const char *fact(const char *key)
{
	size_t len = strlen(key);

	for (char **f = facts; f && *f; f++)
		if (!strncmp(*f, key, len) && (*f)[len] == '=')
			return *f + len + 1;
	return NULL;
}

const char *need(const char *key)
{
	const char *value = fact(key);

	if (!value) {
		result("setup", "EINVAL", "no %s= given", key);
		_exit(2);
	}
	return value;
}

long need_number(const char *key)
{
	return strtol(need(key), NULL, 10);
}

const char *in(const char *dir, const char *name)
{
	static char buffers[16][PATH_MAX];
	static unsigned next;
	char *buf = buffers[next++ % 16];

	snprintf(buf, PATH_MAX, "%s/%s", dir, name);
	return buf;
}

bool outside(void)
{
	return fact("control") != NULL;
}

bool in_own_namespaces(void)
{
	return fact("userns") != NULL;
}

bool on_host(void)
{
	return outside() && !in_own_namespaces() && !fact("world");
}

void keep_host_safe(void)
{
	if (on_host()) {
		result("setup", "EINVAL", "not on the host");
		_exit(2);
	}
}

const char *errno_name(int e)
{
	const char *name = strerrorname_np(e);

	return name ? name : "E?";
}

void result(const char *row, const char *token, const char *format, ...)
{
	char line[2048];
	va_list ap;
	int n = snprintf(line, sizeof(line), "RESULT %d %s %s ", current ? current->number : 0, row, token);

	va_start(ap, format);
	n += vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, ap);
	va_end(ap);
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	for (int i = 0; i < n; i++)
		if ((unsigned char)line[i] < ' ')
			line[i] = ' ';
	line[n++] = '\n';
	if (write(out_fd, line, (size_t)n) != n)
		_exit(3);
}

void report(const char *row, long rc)
{
	if (rc == -1)
		result(row, errno_name(errno), "-");
	else
		result(row, "ok", "%ld", rc);
}

int try_openat(int dir, const char *path, int flags)
{
	int fd = openat(dir, path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);

	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

int try_open(const char *path, int flags)
{
	return try_openat(AT_FDCWD, path, flags);
}

int try_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	int saved = errno;
	close(fd);
	errno = saved;
	return n < 0 ? -1 : 0;
}

bool slurp(const char *path, char *buf, size_t size, ssize_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t got = 0;
	ssize_t n = 0;

	if (fd < 0)
		return false;
	while (got < size - 1 && (n = read(fd, buf + got, size - 1 - got)) > 0)
		got += (size_t)n;
	int saved = errno;
	close(fd);
	errno = saved;
	buf[got] = '\0';
	if (ret_len)
		*ret_len = (ssize_t)got;
	return n >= 0;
}

void meet_host(const char *dir)
{
	int fd = open(in(dir, "ready"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	for (int i = 0; i < 2000 && access(in(dir, "go"), F_OK); i++)
		usleep(5000);
}

int in_child(int (*fn)(void *), void *arg)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -1;
	if (!pid)
		_exit(fn(arg));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

pid_t target_pid(void)
{
	return outside() ? (pid_t)need_number("victim") : 1;
}

int loopback_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc = fd < 0 ? -1 : ioctl(fd, SIOCSIFFLAGS, &ifr);

	if (fd >= 0)
		close(fd);
	return rc;
}

/* Leaves the caller as the first process of a full set of namespaces of its own, with every capability over them. */
int enter_own_namespaces(void)
{
	char map[64];
	uid_t uid = getuid();
	gid_t gid = getgid();
	pid_t pid;
	int status;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
		    CLONE_NEWCGROUP))
		return -1;
	try_write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	if (try_write_file("/proc/self/uid_map", map))
		return -1;
	snprintf(map, sizeof(map), "0 %u 1", gid);
	if (try_write_file("/proc/self/gid_map", map))
		return -1;
	pid = fork();
	if (pid < 0)
		return -1;
	if (pid) {
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("proc", "/proc", "proc", 0, NULL))
		return -1;
	return loopback_up();
}

static const struct attempt *find_attempt(int number)
{
	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
		for (const struct attempt *a = groups[g]; a->number; a++)
			if (a->number == number)
				return a;
	return NULL;
}

static int run_current(void *unused)
{
	(void)unused;
	alarm(ATTEMPT_SECONDS);
	current->run();
	return 0;
}

void set_facts(char **all)
{
	facts = all;
}

void run_attempt(int number)
{
	int rc;

	current = find_attempt(number);
	if (!current) {
		result("setup", "EINVAL", "no attempt %d", number);
		return;
	}
	rc = in_child(run_current, NULL);
	if (rc > 1000)
		result("died", rc == 1000 + SIGSYS ? "SIGSYS" : "SIGNAL", "signal %d", rc - 1000);
	else if (rc)
		result("died", "EXIT", "status %d", rc);
	result("end", "ok", "-");
	current = NULL;
}

int main(int argc, char **argv)
{
	if (argc >= 2 && argv[1][0] == '@') {
		for (const struct tool *t = tools; t->name; t++)
			if (!strcmp(t->name, argv[1] + 1))
				return t->run(argc - 2, argv + 2);
		dprintf(2, "probe: no tool %s\n", argv[1]);
		return 2;
	}
	if (argc < 2) {
		for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
			for (const struct attempt *a = groups[g]; a->number; a++)
				printf("%d %s\n", a->number, a->name);
		return 0;
	}
	facts = argv + 2;
	getitimer(ITIMER_REAL, &inherited_timer);
	if (fact("out")) /* an attempt may hang up the terminal */
		signal(SIGHUP, SIG_IGN);
	if (atoi(argv[1]) == 200) /* it signals everybody */
		signal(SIGRTMIN + 1, SIG_IGN);
	for (int s = 1; fact("stubborn") && s < 32; s++)
		signal(s, SIG_IGN);
	if (fact("out")) {
		out_fd = open(fact("out"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		if (out_fd < 0)
			return 3;
	}
	if (in_own_namespaces() && enter_own_namespaces()) {
		result("setup", errno_name(errno), "no namespaces of my own");
		return 2;
	}
	for (char *save = NULL, *s = strtok_r(argv[1], ",", &save); s; s = strtok_r(NULL, ",", &save))
		run_attempt(atoi(s));
	return 0;
}
