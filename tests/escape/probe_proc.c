/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts 23-32: what /proc and /sys give away, and other processes as targets. */
#include "probe.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PTRACE_SEIZE
#define PTRACE_SEIZE 0x4206
#endif

static int try_read(const char *path)
{
	char buf[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, buf, sizeof(buf));
	int saved = errno;
	close(fd);
	errno = saved;
	return n < 0 ? -1 : 0;
}

/* The needle travels reversed, or the command line of the probe itself would contain it. */
static const char *needle(char *buf, size_t size, const char *key)
{
	const char *reversed = need(key);
	size_t len = strlen(reversed);

	for (size_t i = 0; i < len && i < size - 1; i++)
		buf[i] = reversed[len - 1 - i];
	buf[len < size - 1 ? len : size - 1] = '\0';
	return buf;
}

/* Looks for text in /proc/PID/file of every process that can be listed: "ok" when found. */
static void scan_all(const char *row, const char *file, const char *text)
{
	static char buf[1 << 20];
	DIR *d = opendir("/proc");
	const struct dirent *e;
	ssize_t len;
	int seen = 0;

	while (d && (e = readdir(d))) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		seen++;
		if (slurp(in(in("/proc", e->d_name), file), buf, sizeof(buf), &len) &&
		    memmem(buf, (size_t)len, text, strlen(text))) {
			result(row, "ok", "in process %s", e->d_name);
			closedir(d);
			return;
		}
	}
	if (d)
		closedir(d);
	result(row, "none", "%d processes listed", seen);
}

static void init_files(void)
{
	static const char *const read[] = { "environ", "maps", "auxv", "stack", "syscall", "mountinfo", "smaps" };
	static const char *const links[] = { "root", "cwd", "exe" };
	char dir[64], text[128], link[PATH_MAX];

	snprintf(dir, sizeof(dir), "/proc/%d", target_pid());
	for (size_t i = 0; i < sizeof(read) / sizeof(read[0]); i++)
		TRY(read[i], try_read(in(dir, read[i])));
	TRY("mem", try_open(in(dir, "mem"), O_RDONLY));
	TRY("fd", try_open(in(dir, "fd/0"), O_RDONLY));
	TRY("root-etc", try_open(in(dir, "root/etc/passwd"), O_RDONLY));
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		TRY(links[i], readlink(in(dir, links[i]), link, sizeof(link)));
	scan_all("secret-environ", "environ", needle(text, sizeof(text), "needle"));
	scan_all("secret-cmdline", "cmdline", needle(text, sizeof(text), "needle_argv"));
}

static void init_executable(void)
{
	char dir[64];

	snprintf(dir, sizeof(dir), "/proc/%d", target_pid());
	TRY("read", try_open(in(dir, "exe"), O_RDONLY));
	TRY("path", try_open(in(dir, "exe"), O_PATH));
	TRY("write", try_open(in(dir, "exe"), O_WRONLY));
	if (!outside())
		TRY("self-write", try_open("/proc/self/exe", O_RDWR));
	if (fact("product") && !outside())
		TRY("product-write", try_open(fact("product"), O_WRONLY));
}

static void sysctl_files(void)
{
	static const char *const files[] = {
		"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug",
		"/proc/sys/kernel/sysrq", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname",
		"/proc/sys/kernel/randomize_va_space", "/proc/sys/kernel/unprivileged_bpf_disabled",
		"/proc/sys/kernel/ns_last_pid", "/proc/sys/kernel/shmmax", "/proc/sys/kernel/msgmax",
		"/proc/sys/kernel/keys/maxkeys", "/proc/sys/fs/protected_symlinks", "/proc/sys/fs/suid_dumpable",
		"/proc/sys/fs/mqueue/msg_max", "/proc/sys/vm/overcommit_memory", "/proc/sys/vm/drop_caches",
		"/proc/sys/vm/mmap_min_addr", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/ip_unprivileged_port_start",
		"/proc/sys/net/ipv4/ping_group_range", "/proc/sys/net/ipv4/conf/all/route_localnet",
		"/proc/sys/net/ipv6/conf/all/disable_ipv6", "/proc/sys/net/core/somaxconn",
		"/proc/sys/user/max_user_namespaces", "/proc/sys/fs/binfmt_misc/register", "/proc/sysrq-trigger",
		"/sys/kernel/uevent_helper", "/sys/power/state", "/sys/module/printk/parameters/time",
		"/proc/acpi/wakeup", "/proc/irq/default_smp_affinity", "/proc/mtrr",
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		TRY(strchr(files[i] + 1, '/') + 1, try_open(files[i], O_WRONLY));
}

/* Kernel addresses other than zero: enough to defeat KASLR. */
static void kernel_symbols(void)
{
	char buf[4096];
	ssize_t len;

	if (!slurp("/proc/iomem", buf, sizeof(buf), &len))
		report("iomem", -1);
	else
		result("iomem", strspn(buf, "0-") >= 17 ? "zero" : "ok", "%.17s", buf);
	if (!slurp("/proc/kallsyms", buf, sizeof(buf), &len))
		report("kallsyms", -1);
	else
		result("kallsyms", strspn(buf, "0") >= 8 ? "zero" : "ok", "%.16s", buf);
}

static void kernel_files(void)
{
	static const char *const files[] = {
		"kcore", "kpagecount", "kpageflags", "kpagecgroup", "timer_list", "sched_debug", "latency_stats",
		"vmallocinfo", "slabinfo", "pagetypeinfo", "acpi", "scsi", "bus/pci/devices", "keys", "key-users",
		"vmcore", "config.gz", "swaps", "modules", "interrupts",
	};

	char buf[64];
	ssize_t len;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		const char *path = in("/proc", files[i]);

		if (!strcmp(files[i], "keys") || !strcmp(files[i], "key-users")) {
			if (slurp(path, buf, sizeof(buf), &len) && !len)
				result(files[i], "empty", "-");
			else
				TRY(files[i], try_read(path));
		} else {
			struct stat st;

			TRY(files[i], !stat(path, &st) && S_ISDIR(st.st_mode) ? try_open(path, O_RDONLY) : try_read(path));
		}
	}
	TRY("kmsg", try_open("/proc/kmsg", O_RDONLY)); /* not read: that would take messages away from the host */
	kernel_symbols();
}

static void host_process(void)
{
	pid_t pid = (pid_t)need_number("victim");
	struct rlimit rl;
	cpu_set_t one;
	char text[128];

	scan_all("listed", "cmdline", needle(text, sizeof(text), "needle_argv"));
	TRY("stat", access(in("/proc", need("victim")), F_OK));
	TRY("kill-0", kill(pid, 0));
	TRY("kill-cont", kill(pid, SIGCONT));
	TRY("tgkill", syscall(SYS_tgkill, pid, pid, SIGCONT));
	TRY("pidfd-open", syscall(SYS_pidfd_open, pid, 0));
	TRY("getpriority", getpriority(PRIO_PROCESS, (id_t)pid) == -1 && errno ? -1 : 0);
	TRY("setpriority", setpriority(PRIO_PROCESS, (id_t)pid, 7));
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	TRY("setaffinity", sched_setaffinity(pid, sizeof(one), &one));
	TRY("prlimit-get", prlimit(pid, RLIMIT_NOFILE, NULL, &rl));
	rl.rlim_cur = rl.rlim_max = 100;
	TRY("prlimit-set", prlimit(pid, RLIMIT_NOFILE, &rl, NULL));
	TRY("kill-group", kill(-pid, SIGCONT));
}

static int fresh_user_namespace(void *unused)
{
	char map[64];
	uid_t uid = getuid();

	(void)unused;
	if (unshare(CLONE_NEWUSER)) {
		report("setup", -1);
		return 1;
	}
	TRY("setgroups", try_write_file("/proc/self/setgroups", "deny"));
	snprintf(map, sizeof(map), "0 %u 1", uid);
	TRY("uid-map", try_write_file("/proc/self/uid_map", map));
	snprintf(map, sizeof(map), "0 %u 1", getgid());
	TRY("gid-map", try_write_file("/proc/self/gid_map", map));
	return 0;
}

static void own_maps(void)
{
	char dir[64];

	snprintf(dir, sizeof(dir), "/proc/%d", target_pid());
	TRY("oom-other", try_open(in(dir, "oom_score_adj"), O_WRONLY));
	TRY("coredump-other", try_open(in(dir, "coredump_filter"), O_WRONLY));
	TRY("clear-refs-other", try_open(in(dir, "clear_refs"), O_WRONLY));
	TRY("timerslack-other", try_write_file(in(dir, "timerslack_ns"), "50000"));
	if (outside()) {
		in_child(fresh_user_namespace, NULL);
		return;
	}
	TRY("uid-map", try_write_file("/proc/self/uid_map", "0 0 1"));
	TRY("gid-map", try_write_file("/proc/self/gid_map", "0 0 1"));
	TRY("setgroups", try_write_file("/proc/self/setgroups", "allow"));
	TRY("projid-map", try_write_file("/proc/self/projid_map", "0 0 1"));
	TRY("ns-write", try_open("/proc/self/ns/user", O_WRONLY));
	TRY("attr", try_write_file("/proc/self/attr/current", "x"));
}

static void trace(void)
{
	pid_t pid = target_pid();
	char buf[8], dir[64];
	struct iovec local = { buf, 1 }, remote = { (void *)0x1000, 1 };
	long rc;
	int fd;

	errno = 0;
	rc = ptrace(PTRACE_SEIZE, pid, NULL, NULL);
	report("seize", rc);
	if (!rc)
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
	/* An address that is not mapped: EFAULT says that access was granted. */
	errno = 0;
	rc = process_vm_readv(pid, &local, 1, &remote, 1, 0);
	report("vm-readv", rc < 0 && errno == EFAULT ? 0 : rc);
	errno = 0;
	rc = process_vm_writev(pid, &local, 1, &remote, 1, 0);
	report("vm-writev", rc < 0 && errno == EFAULT ? 0 : rc);
	snprintf(dir, sizeof(dir), "/proc/%d", pid);
	TRY("mem", try_open(in(dir, "mem"), O_RDWR));
	TRY("kcmp", syscall(SYS_kcmp, getpid(), pid, 0, 0, 0));
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	TRY("pidfd-getfd", syscall(SYS_pidfd_getfd, fd, 0, 0));
	TRY("process-madvise", syscall(SYS_process_madvise, fd, &remote, 1, 21, 0) < 0 && errno != EFAULT ? -1 : 0);
	close(fd);
	/* last: it stops the target */
	errno = 0;
	rc = ptrace(PTRACE_ATTACH, pid, NULL, NULL);
	report("attach", rc);
	if (!rc) {
		waitpid(pid, NULL, __WALL);
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
	}
}

static void cgroup_files(void)
{
	static const char *const files[] = { "release_agent", "notify_on_release", "cgroup.procs", "tasks",
					     "devices.allow", "memory.max", "memory.limit_in_bytes", "pids.max",
					     "cgroup.subtree_control", "cgroup.kill" };
	static const char *const dirs[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/devices",
					    "/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd" };
	char row[128];
	DIR *d = opendir("/sys/fs/cgroup");
	int entries = 0;

	while (d && readdir(d))
		entries++;
	if (!d)
		report("list", -1);
	else
		result("list", entries > 2 ? "ok" : "empty", "%d", entries);
	if (d)
		closedir(d);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		for (size_t j = 0; j < sizeof(files) / sizeof(files[0]); j++) {
			snprintf(row, sizeof(row), "%s/%s", dirs[i] + 8, files[j]);
			TRY(row, try_open(in(dirs[i], files[j]), O_WRONLY));
		}
	TRY("mkdir", mkdir("/sys/fs/cgroup/nsbox-escape", 0700));
	rmdir("/sys/fs/cgroup/nsbox-escape");
	if (on_host())
		return;
	TRY("mount-v1", mount("cgroup", "/tmp", "cgroup", 0, "memory"));
	TRY("mount-v2", mount("cgroup2", "/tmp", "cgroup2", 0, NULL));
}

static void mount_again(void)
{
	static const char *const types[] = { "proc", "sysfs", "cgroup2", "tmpfs", "devpts", "mqueue", "debugfs", "bpf",
					     "tracefs", "overlay", "ramfs", "fuse", "securityfs" };
	char row[64];

	keep_host_safe();
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		snprintf(row, sizeof(row), "mount-%s", types[i]);
		TRY(row, mount(types[i], "/tmp", types[i], 0, NULL));
		if (outside())
			umount2("/tmp", MNT_DETACH);
		snprintf(row, sizeof(row), "fsopen-%s", types[i]);
		TRY(row, syscall(SYS_fsopen, types[i], 1));
	}
}

static void sys_files(void)
{
	static const char *const files[] = {
		"/sys/kernel/debug", "/sys/kernel/tracing", "/sys/kernel/security", "/sys/kernel/vmcoreinfo",
		"/sys/kernel/notes", "/sys/firmware/efi", "/sys/firmware/acpi", "/sys/firmware/dmi",
		"/sys/class/dmi/id/product_serial", "/sys/class/dmi/id/board_serial", "/sys/class/net", "/sys/block",
		"/sys/bus/pci", "/sys/module", "/sys/fs/bpf", "/sys/power", "/sys/kernel/mm/ksm",
	};
	struct stat st;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		TRY(files[i] + 1, stat(files[i], &st));
}

const struct attempt proc_attempts[] = {
	{ 23, "init-files", init_files },
	{ 24, "init-executable", init_executable },
	{ 25, "sysctl-files", sysctl_files },
	{ 26, "kernel-files", kernel_files },
	{ 27, "host-process", host_process },
	{ 28, "own-maps", own_maps },
	{ 29, "trace", trace },
	{ 30, "cgroup-files", cgroup_files },
	{ 31, "mount-again", mount_again },
	{ 32, "sys-files", sys_files },
	{ 0 },
};
