/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts 61-65, 67, 69, 70: namespaces, what they hold, and their first process. */
#include "probe.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static const struct {
	const char *name;
	unsigned long flag;
} kinds[] = {
	{ "user", CLONE_NEWUSER }, { "mnt", CLONE_NEWNS },   { "pid", CLONE_NEWPID },	    { "net", CLONE_NEWNET },
	{ "ipc", CLONE_NEWIPC },   { "uts", CLONE_NEWUTS },  { "cgroup", CLONE_NEWCGROUP }, { "time", CLONE_NEWTIME },
};

static int do_unshare(void *flag)
{
	return unshare((int)(unsigned long)flag) ? errno : 0;
}

/* A raw clone: glibc's would need a stack. 0 or -1 with errno, the child is reaped. */
static int do_clone(unsigned long flags)
{
	long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);

	if (!pid)
		_exit(0);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, __WALL);
	return pid < 0 ? -1 : 0;
}

static int do_clone3(unsigned long long flags)
{
	struct clone_args args = { .flags = flags, .exit_signal = SIGCHLD };
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (!pid)
		_exit(0);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, __WALL);
	return pid < 0 ? -1 : 0;
}

static void new_namespaces(void)
{
	char row[48];

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		snprintf(row, sizeof(row), "unshare-%s", kinds[i].name);
		errno = in_child(do_unshare, (void *)kinds[i].flag);
		report(row, errno ? -1 : 0);
		if (kinds[i].flag != CLONE_NEWTIME) { /* its bit is part of the exit signal of clone() */
			snprintf(row, sizeof(row), "clone-%s", kinds[i].name);
			TRY(row, do_clone(kinds[i].flag));
		}
		snprintf(row, sizeof(row), "clone3-%s", kinds[i].name);
		TRY(row, do_clone3(kinds[i].flag));
		snprintf(row, sizeof(row), "clone-user-%s", kinds[i].name);
		if (kinds[i].flag != CLONE_NEWTIME)
			TRY(row, do_clone(kinds[i].flag | CLONE_NEWUSER));
	}
}

static void join_namespaces(void)
{
	char row[48], dir[64];
	int fd;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		snprintf(row, sizeof(row), "own-%s", kinds[i].name);
		fd = open(in("/proc/self/ns", kinds[i].name), O_RDONLY | O_CLOEXEC);
		TRY(row, setns(fd, 0));
		if (fd >= 0)
			close(fd);
		snprintf(row, sizeof(row), "open-%s", kinds[i].name);
		snprintf(dir, sizeof(dir), "/proc/%d/ns", in_own_namespaces() ? 1 : target_pid());
		TRY(row, try_open(in(dir, kinds[i].name), O_RDONLY));
	}
	fd = (int)syscall(SYS_pidfd_open, in_own_namespaces() ? 1 : target_pid(), 0);
	report("pidfd", fd);
	TRY("pidfd-join", setns(fd, CLONE_NEWUTS | CLONE_NEWIPC));
	/* PIDFD_GET_*_NAMESPACE: a namespace descriptor without /proc (6.11); own pidfd */
	fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	TRY("pidfd-self-join", setns(fd, CLONE_NEWUTS));
}

static int set_groups(void *unused)
{
	gid_t group = 0;

	(void)unused;
	return setgroups(1, &group) ? errno : 0;
}

static int set_ids(void *unused)
{
	(void)unused;
	return setresuid(12345, 12345, 12345) ? errno : 0;
}

static void groups_and_maps(void)
{
	errno = in_child(set_groups, NULL);
	report("setgroups", errno ? -1 : 0);
	errno = in_child(set_ids, NULL);
	report("setresuid", errno ? -1 : 0);
	if (outside())
		return;
	TRY("uid-map", try_write_file("/proc/self/uid_map", "0 0 4294967295"));
	TRY("gid-map", try_write_file("/proc/self/gid_map", "0 0 4294967295"));
	TRY("map-of-init", try_open("/proc/1/uid_map", O_WRONLY));
	TRY("setgroups-file", try_write_file("/proc/self/setgroups", "allow"));
}

static void inodes(void)
{
	struct stat st;
	char token[32];

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) - 1; i++) {
		if (stat(in("/proc/self/ns", kinds[i].name), &st)) {
			report(kinds[i].name, -1);
			continue;
		}
		snprintf(token, sizeof(token), "%lu", (unsigned long)st.st_ino);
		result(kinds[i].name, token, "-");
	}
}

static void names_and_clocks(void)
{
	struct timex tx = { .modes = 0 };
	struct timespec ts;

	if (!on_host()) {
		TRY("sethostname", sethostname("escaped", 7));
		TRY("setdomainname", setdomainname("escaped", 7));
	}
	TRY("settimeofday", syscall(SYS_settimeofday, NULL, NULL)); /* changes nothing, but is checked */
	adjtimex(&tx);
	tx.modes = ADJ_FREQUENCY; /* to what it is */
	TRY("adjtimex", adjtimex(&tx));
	tx.modes = ADJ_FREQUENCY;
	TRY("clock-adjtime", clock_adjtime(CLOCK_REALTIME, &tx));
	if (!outside()) {
		clock_gettime(CLOCK_REALTIME, &ts);
		TRY("clock-settime", clock_settime(CLOCK_REALTIME, &ts));
	}
}

static void propagation(void)
{
	static char buf[1 << 18];
	ssize_t len;
	const char *share = need("share");

	TRY("before", try_open(in(share, "early"), O_RDONLY));
	/* the host mounts DIR/late now */
	meet_host(need("work"));
	TRY("late-mount", try_open(in(share, "late/file"), O_RDONLY));
	if (!slurp("/proc/self/mountinfo", buf, sizeof(buf), &len))
		report("mountinfo", -1);
	else
		result("mountinfo", strstr(buf, " shared:") ? "ok" : strstr(buf, " master:") ? "master" : "none", "-");
	if (!outside())
		TRY("mount", mount("tmpfs", in(share, "late"), "tmpfs", 0, NULL));
}

static int clone_parent(void *unused)
{
	long pid = syscall(SYS_clone, (unsigned long)(CLONE_PARENT | SIGCHLD), 0, 0, 0, 0);

	(void)unused;
	if (!pid) {
		prctl(PR_SET_NAME, "nsbox-escapee");
		sleep(10);
		_exit(0);
	}
	if (pid > 0 && outside())
		kill((pid_t)pid, SIGKILL);
	return pid < 0 ? errno : 0;
}

static void clone_tricks(void)
{
	/* As a grandchild the new process would only become a child of this one; from here, a child of init's. */
	errno = clone_parent(NULL);
	report("clone-parent", errno ? -1 : 0);
	TRY("clone-ptrace", do_clone(CLONE_PTRACE));
	TRY("clone-untraced", do_clone(CLONE_UNTRACED));
	TRY("kill-init", kill(outside() ? target_pid() : 1, SIGTERM));
	TRY("pdeathsig", prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0));
	TRY("thread-in-new-ns", syscall(SYS_clone, (unsigned long)(CLONE_THREAD | CLONE_NEWUSER), 0, 0, 0, 0));
}

/* Many orphans: without a first process that reaps, the sandbox would run out of processes. */
static void orphans(void)
{
	int failed = 0, zombies = 0;
	DIR *d;
	const struct dirent *e;
	char buf[512];

	for (int i = 0; i < 5000 && failed < 5; i++) {
		pid_t pid = fork();

		if (!pid) {
			pid = fork();
			_exit(pid < 0 ? 1 : 0);
		}
		int status = 1;

		if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
			failed++;
	}
	sleep(1);
	d = opendir("/proc");
	while (d && (e = readdir(d)))
		if (isdigit((unsigned char)e->d_name[0]) && slurp(in(in("/proc", e->d_name), "stat"), buf, sizeof(buf), NULL) &&
		    strstr(buf, ") Z "))
			zombies++;
	if (d)
		closedir(d);
	result("orphans", failed ? "EAGAIN" : zombies > 3 ? "zombies" : "ok", "%d failed, %d zombies", failed, zombies);
}

static void init_signals(void)
{
	pid_t pid = target_pid();

	TRY("stop", kill(pid, SIGSTOP));
	TRY("continue", kill(pid, SIGCONT));
	TRY("hangup", kill(pid, SIGHUP));
	TRY("queue", syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, &(siginfo_t){ .si_code = SI_QUEUE }));
	TRY("kill", kill(pid, SIGKILL));
	if (outside())
		return;
	usleep(100000);
	TRY("alive", fork() ? 0 : (_exit(0), 0));
	orphans();
}

const struct attempt ns_attempts[] = {
	{ 61, "new-namespaces", new_namespaces },
	{ 62, "join-namespaces", join_namespaces },
	{ 63, "groups-and-maps", groups_and_maps },
	{ 64, "namespace-inodes", inodes },
	{ 65, "names-and-clocks", names_and_clocks },
	{ 67, "propagation", propagation },
	{ 69, "clone-tricks", clone_tricks },
	{ 70, "init-signals", init_signals },
	{ 0 },
};
