/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command of the fault tests: writes everything that holds it into a file, so that a weaker sandbox differs. Lines
 * "key value"; those of namespaces are compared with the host's, all others with a run in which nothing failed.
 * Linked statically, so that it makes few system calls of its own. usage: fault_canary FILE [HOST-FILE]
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LAST_MARK 0x6e736270 /* fault_inject.c: the set-up is over */

static FILE *out;

/* Lines of a file that begin with one of these words, or all. */
static void copy(const char *path, const char *key, const char *const *words)
{
	char line[4096];
	FILE *f = fopen(path, "re");

	if (!f) {
		fprintf(out, "%s errno %d\n", key, errno);
		return;
	}
	while (fgets(line, sizeof(line), f)) {
		int wanted = words == NULL;
		for (const char *const *w = words; w && *w; w++)
			wanted |= strncmp(line, *w, strlen(*w)) == 0;
		if (wanted)
			fprintf(out, "%s %s", key, line);
	}
	fclose(f);
}

/* Mount point, its flags, and type: without the numbers and host paths that differ from run to run. */
static void mounts(void)
{
	char line[4096], root[1024], point[1024], flags[512], rest[2048];
	FILE *f = fopen("/proc/self/mountinfo", "re");

	while (f && fgets(line, sizeof(line), f)) {
		const char *dash = strstr(line, " - ");
		if (!dash || sscanf(line, "%*s %*s %*s %1023s %1023s %511s", root, point, flags) != 3 ||
		    sscanf(dash + 3, "%2047s", rest) != 1)
			continue;
		fprintf(out, "mount %s %s %s\n", point, flags, rest);
	}
	if (f)
		fclose(f);
}

static void namespaces(void)
{
	static const char *const names[] = { "user", "mnt", "pid", "net", "ipc", "uts", "cgroup", NULL };

	for (const char *const *n = names; *n; n++) {
		char path[64];
		struct stat st;
		snprintf(path, sizeof(path), "/proc/self/ns/%s", *n);
		fprintf(out, "ns %s %lu\n", *n, stat(path, &st) < 0 ? 0 : (unsigned long)st.st_ino);
	}
}

static void descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *item;
	char path[300], target[300];

	while (dir && (item = readdir(dir))) {
		if (item->d_name[0] == '.' || atoi(item->d_name) == dirfd(dir) || atoi(item->d_name) == fileno(out))
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%s", item->d_name);
		ssize_t n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		fprintf(out, "fd %s %.4s\n", item->d_name, target);
	}
	if (dir)
		closedir(dir);
}

static void attempt(const char *what, long result)
{
	fprintf(out, "try %s %d\n", what, result < 0 ? errno : 0);
}

/* Each is refused by one control and by no other. */
static void attempts(const char *host_file)
{
	errno = 0;
	attempt("seccomp: user namespace", syscall(SYS_unshare, 0x10000000));
	attempt("seccomp: key", syscall(SYS_keyctl, 0, -3, 0));
	attempt("seccomp: vsock", socket(40, SOCK_STREAM, 0));
	attempt("landlock scope: init", kill(1, 0));
	attempt("landlock scope: guardian", kill(getppid(), 0));
	attempt("landlock: device", mknod("/tmp/device", S_IFCHR | 0600, 0));
	attempt("landlock: / ", mkdir("/new", 0700));
	attempt("mount: /usr", open("/usr/new", O_CREAT | O_WRONLY, 0600));
	attempt("root: host file", open(host_file, O_RDONLY));
	attempt("root: shadow", open("/etc/shadow", O_RDONLY));
	attempt("caps: chroot", chroot("/"));
	attempt("pids: priority", setpriority(PRIO_PROCESS, 0, -5));
}

/* What a policy hides or protects, and what nobody should see of /etc. */
static void paths(void)
{
	static const char *const secret[] = {
		"/etc/gshadow", "/etc/ssh", "/etc/sudoers", "/etc/ssl/private", "/etc/fstab", "/etc/machine-id",
		"/etc/crontab", "/etc/security/opasswd", "/etc/private-of-test", ".env",
		"hidden/file", ".state/nsbox/format", NULL };
	static const char *const kept[] = {
		".git/hooks/post-commit", ".git/hooks/new", ".git/config", ".envrc", ".claude/settings.json",
		".vscode/tasks.json", "kept/file", "kept/new", "read-only/file", "/usr/local/new", "/etc/new",
		"/new", NULL };
	char what[300];

	for (const char *const *s = secret; *s; s++) {
		snprintf(what, sizeof(what), "read %s", *s);
		attempt(what, open(*s, O_RDONLY));
	}
	for (const char *const *k = kept; *k; k++) {
		snprintf(what, sizeof(what), "write %s", *k);
		attempt(what, open(*k, O_WRONLY | O_CREAT, 0600));
	}
	attempt("write free", open("free", O_WRONLY | O_CREAT, 0600));
}

static void limits(void)
{
	static const int which[] = { RLIMIT_CORE, RLIMIT_NOFILE, RLIMIT_NPROC };
	struct rlimit l;

	for (size_t i = 0; i < sizeof(which) / sizeof(*which); i++)
		if (getrlimit(which[i], &l) == 0)
			fprintf(out, "limit %d %lu %lu\n", which[i], (unsigned long)l.rlim_cur,
				(unsigned long)l.rlim_max);
}

static void process(void)
{
	char name[256] = "", cwd[4096] = "";
	int death = 0;

	gethostname(name, sizeof(name));
	prctl(PR_GET_PDEATHSIG, &death);
	mode_t mask = umask(0);
	umask(mask);
	fprintf(out, "process host %s umask %03o session %d death %d securebits %d cwd %s\n", name, (unsigned)mask,
		getsid(0) == getpid(), death, prctl(PR_GET_SECUREBITS), getcwd(cwd, sizeof(cwd)));
}

int main(int argc, char **argv)
{
	static const char *const status[] = { "Uid:",	 "Gid:",    "Cap",     "NoNewPrivs:",
					      "Seccomp", "SigBlk:", "SigIgn:", NULL };
	char path[4096], final[4096];

	close(LAST_MARK);
	/* The second one of a sandbox writes beside the first. */
	const char *second = argc >= 2 && access(argv[1], F_OK) == 0 ? ".2" : "";
	if (argc < 2 || snprintf(path, sizeof(path), "%s.part", argv[1]) >= (int)sizeof(path) ||
	    snprintf(final, sizeof(final), "%s%s", argv[1], second) >= (int)sizeof(final))
		return 96;
	out = fopen(path, "we");
	if (!out)
		return 96;
	copy("/proc/self/status", "status", status);
	copy("/proc/self/uid_map", "uid_map", NULL);
	copy("/proc/self/gid_map", "gid_map", NULL);
	copy("/proc/self/setgroups", "setgroups", NULL);
	copy("/proc/sys/net/ipv6/conf/default/disable_ipv6", "ipv6", NULL);
	copy("/proc/sys/kernel/pid_max", "pid_max", NULL);
	copy("/proc/net/route", "route", NULL);
	copy("/etc/resolv.conf", "resolver", NULL);
	copy("/etc/passwd", "passwd", NULL);
	mounts();
	namespaces();
	descriptors();
	attempts(argc > 2 ? argv[2] : "/");
	paths();
	limits();
	process();
	/* Under its name only when whole. */
	return fclose(out) == 0 && rename(path, final) == 0 ? 0 : 96;
}
