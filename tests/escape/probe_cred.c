/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts 82-85, 87, 88: what a call inherits: identity, environment, descriptors, signals, limits. */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void status_line(const char *text, const char *key)
{
	char line[64] = "";
	const char *p = strstr(text, key);

	if (p)
		sscanf(p + strlen(key), ":%*[ \t]%60[^\n]", line);
	for (char *c = line; *c; c++)
		if (*c == ' ' || *c == '\t')
			*c = ',';
	result(key, *line ? line : "empty", "-");
}

static void privileges(void)
{
	static const char *const keys[] = { "NoNewPrivs", "Seccomp", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
					    "Groups" };
	char text[8192], token[32];

	if (!slurp("/proc/self/status", text, sizeof(text), NULL)) {
		report("status", -1);
		return;
	}
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		status_line(text, keys[i]);
	snprintf(token, sizeof(token), "%#x", prctl(PR_GET_SECUREBITS));
	result("securebits", token, "-");
	snprintf(token, sizeof(token), "%d:%d", getuid(), getgid());
	result("ids", token, "-");
}

static int gain(void *which)
{
	long rc = !strcmp(which, "setuid-0") ? setuid(0) :
		  !strcmp(which, "setuid-other") ? setuid(getuid() + 1) :
		  !strcmp(which, "setgid-0") ? setgid(getgid() ? 0 : 1) :
		  !strcmp(which, "setresuid") ? setresuid((uid_t)-1, getuid() + 1, (uid_t)-1) :
						setgroups(0, NULL);

	return rc ? errno : 0;
}

/* A set-user-ID program started by the loader in secure mode ignores LD_SHOW_AUXV; without a gain it prints it. */
static void system_set_uid(const char *row, const char *program)
{
	char command[256], line[256];
	bool shown = false;
	unsigned long euid = 0;
	FILE *f;

	if (access(program, X_OK)) {
		report(row, -1);
		return;
	}
	snprintf(command, sizeof(command), "LD_SHOW_AUXV=1 %s --help 2>&1 </dev/null", program);
	f = popen(command, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "AT_EUID: %lu", &euid) == 1)
			shown = true;
	if (f)
		pclose(f);
	result(row, shown && euid == getuid() ? "ignored" : "ok", "auxv %s, euid %lu", shown ? "shown" : "hidden", euid);
}

static void more_privileges(void)
{
	static const char *const ways[] = { "setuid-0", "setuid-other", "setgid-0", "setresuid", "setgroups" };

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		errno = in_child(gain, (void *)(uintptr_t)ways[i]);
		report(ways[i], errno ? -1 : 0);
	}
	system_set_uid("su", "/usr/bin/su");
	system_set_uid("newuidmap", "/usr/bin/newuidmap");
	system_set_uid("passwd", "/usr/bin/passwd");
	system_set_uid("mount", "/usr/bin/mount");
}

/* Everything that is not on the documented list, and each trap that the caller has set. */
static void environment(void)
{
	static const char *const traps[] = { "LD_LIBRARY_PATH", "GCONV_PATH", "BASH_ENV", "ENV", "GIT_DIR", "GIT_SSH",
					     "SSH_AUTH_SOCK", "ESCAPE_SECRET", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH",
					     "NODE_OPTIONS", "PERL5LIB", "http_proxy", "DBUS_SESSION_BUS_ADDRESS",
					     "DISPLAY", "XDG_RUNTIME_DIR", "MALLOC_PERTURB_", "GLIBC_TUNABLES" };
	static const char *const allowed[] = { "PATH", "HOME", "TMPDIR", "USER", "LOGNAME", "SHELL", "TERM", "COLORTERM",
					       "LANG", "TZ", "NO_COLOR", "NSBOX", "PWD", "SSL_CERT_FILE", "SSL_CERT_DIR",
					       "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
					       "GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "DENO_CERT",
					       "PIP_CERT", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "NIX_SSL_CERT_FILE",
					       "NODE_USE_SYSTEM_CA", "DENO_TLS_CA_STORE", "UV_NATIVE_TLS",
					       "UV_SYSTEM_CERTS", "HEX_CACERTS_PATH", "SSL_CA_BUNDLE",
					       "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "JAVA_TOOL_OPTIONS",
					       "npm_config_cafile", "PERL_LWP_SSL_CA_FILE" };
	extern char **environ;
	char name[128];
	int extra = 0;

	for (size_t i = 0; i < sizeof(traps) / sizeof(traps[0]); i++)
		result(traps[i], getenv(traps[i]) ? "ok" : "none", "-");
	for (char **e = environ; *e; e++) {
		size_t i = 0;

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(*e, "="), *e);
		while (i < sizeof(allowed) / sizeof(allowed[0]) && strcmp(name, allowed[i]))
			i++;
		if (i == sizeof(allowed) / sizeof(allowed[0]) && strncmp(name, "LC_", 3)) {
			extra++;
			result("extra", "ok", "%s", name);
		}
	}
	if (!extra)
		result("extra", "none", "-");
}

static void inherited_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *e;
	char link[PATH_MAX], token[32];
	int extra = 0;
	ssize_t n;
	struct stat st;

	while (d && (e = readdir(d))) {
		int fd = atoi(e->d_name);

		if (e->d_name[0] == '.' || fd <= 2 || fd == dirfd(d))
			continue;
		n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = '\0';
		/* the probe's own result file, when there is one */
		if (fact("out") && strstr(link, "result"))
			continue;
		if (extra++ < 10)
			result("descriptor", "ok", "%d %s", fd, link);
	}
	if (d)
		closedir(d);
	/* without /proc, should its listing be filtered */
	for (int fd = 3; fd < 1024; fd++)
		if (!fact("out") && fcntl(fd, F_GETFD) >= 0 && extra++ < 10)
			result("descriptor", "ok", "%d", fd);
	snprintf(token, sizeof(token), extra ? "%d" : "none", extra);
	result("count", token, "-");
	if (stat(".", &st))
		report("cwd", -1);
	else if (!getcwd(link, sizeof(link)))
		report("cwd", -1);
	else
		result("cwd", !strncmp(link, need("work"), strlen(need("work"))) ? "work" : "elsewhere", "%s", link);
}

static void number_row(const char *row, long long value)
{
	char token[32];

	snprintf(token, sizeof(token), "%lld", value);
	result(row, token, "-");
}

static void inherited_state(void)
{
	char text[8192];
	struct rlimit rl;
	sigset_t pending;
	int signal_at_death = -1;
	mode_t mask = umask(0);
	static const struct {
		const char *row;
		int resource;
	} limits[] = { { "core", RLIMIT_CORE }, { "open-files", RLIMIT_NOFILE }, { "file-size", RLIMIT_FSIZE },
		       { "cpu", RLIMIT_CPU },	{ "data", RLIMIT_DATA } };

	umask(mask);
	if (slurp("/proc/self/status", text, sizeof(text), NULL)) {
		status_line(text, "SigBlk");
		status_line(text, "SigIgn");
		status_line(text, "SigCgt");
	}
	snprintf(text, sizeof(text), "%03o", mask);
	result("umask", text, "-");
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		getrlimit(limits[i].resource, &rl);
		number_row(limits[i].row, rl.rlim_cur == RLIM_INFINITY ? -1 : (long long)rl.rlim_cur);
	}
	number_row("timer", inherited_timer.it_value.tv_sec);
	sigpending(&pending);
	number_row("pending", sigismember(&pending, SIGUSR1));
	prctl(PR_GET_PDEATHSIG, &signal_at_death);
	number_row("session-leader", getsid(0) == getpid() || getsid(0) == getppid());
	number_row("dumpable", prctl(PR_GET_DUMPABLE));
}

static int crash(void *unused)
{
	struct rlimit rl = { RLIM_INFINITY, RLIM_INFINITY };

	(void)unused;
	if (setrlimit(RLIMIT_CORE, &rl)) {
		getrlimit(RLIMIT_CORE, &rl);
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_CORE, &rl);
	}
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	abort();
}

static int set_core_limit(rlim_t limit)
{
	struct rlimit rl = { limit, limit };

	if (setrlimit(RLIMIT_CORE, &rl) < 0 || getrlimit(RLIMIT_CORE, &rl) < 0)
		return -1;
	errno = EPERM;
	return rl.rlim_cur == limit ? 0 : -1;
}

static void core_dump(void)
{
	int status;
	pid_t pid;

	if (chdir(need("work")))
		report("prepare", -1);
	/* Said to be done is not done. */
	TRY("raise-limit", set_core_limit(4096));
	/* 0 would let the host's handler start. */
	TRY("lower-limit", set_core_limit(0));
	pid = fork();
	if (!pid)
		_exit(crash(NULL));
	if (pid > 0 && waitpid(pid, &status, 0) == pid)
		result("dumped", WIFSIGNALED(status) && WCOREDUMP(status) ? "ok" : "none", "status %#x", status);
}

const struct attempt cred_attempts[] = {
	{ 82, "privileges", privileges },
	{ 83, "more-privileges", more_privileges },
	{ 84, "environment", environment },
	{ 85, "inherited-descriptors", inherited_descriptors },
	{ 87, "inherited-state", inherited_state },
	{ 88, "core-dump", core_dump },
	{ 0 },
};
