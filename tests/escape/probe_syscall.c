/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts 71-73: one row for each system call, with arguments so bad that it has no effect where it is reachable
 * (then it fails with EFAULT, EBADF or EINVAL; a filter answers before the arguments are looked at). */
#include "probe.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROW(name, ...) { #name, SYS_##name, { __VA_ARGS__ } }
#define NEW(name, number, ...) { #name, number, { __VA_ARGS__ } }

struct row {
	const char *name;
	long number;
	long arg[6];
};

static const struct row table[] = {
	ROW(io_uring_setup, 1, 1),
	ROW(io_uring_enter, -1, 1),
	ROW(io_uring_register, -1, 0, 1),
	ROW(userfaultfd, -1),
	ROW(bpf, 0, 1, 8),
	ROW(perf_event_open, 1, 0, -1, -1),
	ROW(fanotify_init, -1, -1),
	ROW(fanotify_mark, -1, 0, 0, -1, 1),
	ROW(kexec_load, 0, 17, 1, -1),
	ROW(kexec_file_load, -1, -1, 0, 0, -1),
	ROW(init_module, 1, 1, 1),
	ROW(finit_module, -1, 1, -1),
	ROW(delete_module, 1, 0),
	ROW(open_by_handle_at, -1, 1, 0),
	ROW(swapon, 1, -1),
	ROW(swapoff, 1),
	ROW(reboot, 0, 0, 0, 0),
	ROW(acct, 1),
	ROW(quotactl, -1, 1, 0, 0),
	ROW(syslog, -1, 1, -1),
	ROW(kcmp, -1, -1, 0, 0, 0),
	ROW(move_pages, 1, 1, 1, 1, 1, 0),
	ROW(migrate_pages, 1, 1, 1, 1),
	ROW(personality, 0x0040000),
	ROW(pidfd_getfd, -1, -1, 0),
	ROW(add_key, 1, 1, 1, 1, 0),
	ROW(request_key, 1, 1, 1, 0),
	ROW(keyctl, 11, 0, 1, 1),
	ROW(mount, 1, 1, 1, 0, 0),
	ROW(umount2, 1, 0),
	ROW(pivot_root, 1, 1),
	ROW(setns, -1, 0),
	ROW(chroot, 1),
	ROW(process_vm_readv, -1, 1, 1, 1, 1, 0),
	ROW(process_vm_writev, -1, 1, 1, 1, 1, 0),
	ROW(settimeofday, 1, 0),
	ROW(clock_settime, 0, 1),
	ROW(adjtimex, 1),
	ROW(clock_adjtime, 0, 1),
	ROW(sethostname, 1, -1),
	ROW(setdomainname, 1, -1),
	ROW(nfsservctl, 0),
	ROW(lookup_dcookie, 0, 1, 1),
	NEW(process_madvise, 440, -1, 1, 1, 0, 0),
	NEW(fsopen, 430, 1, 0),
	NEW(fsconfig, 431, -1, 0, 0, 0, 0),
	NEW(fsmount, 432, -1, 0, 0),
	NEW(fspick, 433, -1, 1, 0),
	NEW(move_mount, 429, -1, 1, -1, 1, 0),
	NEW(open_tree, 428, -1, 1, 0),
	NEW(mount_setattr, 442, -1, 1, 0, 1, 32),
	NEW(quotactl_fd, 443, -1, -1, 0, 0),
	NEW(clone3, 435, 1, 64),
#ifdef __x86_64__
	ROW(ioperm, -1, 1, 1),
	ROW(iopl, 4),
	ROW(modify_ldt, 1, 1, 1),
	ROW(_sysctl, 1),
	ROW(create_module, 1, 1),
	ROW(uselib, 1),
	ROW(ustat, 0, 1),
	ROW(sysfs, 9, 1, 1),
#endif
	{ 0 },
};

static void one_call(const struct row *r)
{
	pid_t pid;
	int status;
	long rc;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		alarm(5);
		errno = 0;
		rc = syscall((int)r->number, r->arg[0], r->arg[1], r->arg[2], r->arg[3], r->arg[4], r->arg[5]);
		report(r->name, rc);
		_exit(0);
	}
	if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status))
		result(r->name, WTERMSIG(status) == SIGSYS ? "SIGSYS" : "SIGNAL", "signal %d", WTERMSIG(status));
}

static void each_call(void)
{
	for (const struct row *r = table; r->name; r++)
		one_call(r);
	/* all namespaces and a flag that does not exist: where it is reachable, EINVAL and no effect */
	one_call(&(struct row){ "unshare", SYS_unshare, { 0x7e020001 } });
}

static void unknown_numbers(void)
{
	char row[32];
	int odd = 0;

	for (int number = 500; number <= 600; number++) {
		errno = 0;
		if (syscall(number, 0, 0, 0, 0, 0, 0) != -1 || errno != ENOSYS) {
			odd++;
			snprintf(row, sizeof(row), "number-%d", number);
			report(row, errno ? -1 : 0);
		}
	}
	if (!odd)
		result("unknown", "ENOSYS", "500 to 600");
	one_call(&(struct row){ "minus-one", -1, { 0 } });
	one_call(&(struct row){ "2-to-30", 1L << 30, { 0 } });
	one_call(&(struct row){ "largest", 0x7fffffff, { 0 } });
	one_call(&(struct row){ "clone3", 435, { 1, 64 } });
}

#ifdef __x86_64__
static long int80(long number, long a, long b, long c)
{
	long rc;

	__asm__ volatile("int $0x80" : "=a"(rc) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
	if ((int)rc < 0 && (int)rc > -4096) {
		errno = -(int)rc;
		return -1;
	}
	return rc;
}

struct compat {
	const char *name;
	int number;
	long a, b, c;
	bool x32;
};

static int one_compat(void *data)
{
	const struct compat *c = data;
	long rc;

	errno = 0;
	rc = c->x32 ? syscall(c->number | 0x40000000, c->a, c->b, c->c) : int80(c->number, c->a, c->b, c->c);
	report(c->name, rc);
	return 0;
}

static void other_abis(void)
{
	static struct compat calls[] = {
		{ "i386-getpid", 20, 0, 0, 0, false },	     { "i386-mount", 21, 1, 1, 1, false },
		{ "i386-ptrace", 26, 0x4206, 0, 0, false },  { "i386-chroot", 61, 1, 0, 0, false },
		{ "i386-unshare", 310, 0x10000000, 0, 0, false }, { "i386-socketcall", 102, 1, 1, 0, false },
		{ "i386-keyctl", 288, 11, 0, 1, false },     { "i386-bpf", 357, 0, 1, 8, false },
		{ "i386-io-uring", 425, 1, 1, 0, false },    { "i386-clone3", 435, 1, 64, 0, false },
		{ "i386-setns", 346, -1, 0, 0, false },	     { "i386-add-key", 286, 1, 1, 1, false },
		{ "x32-getpid", 39, 0, 0, 0, true },	     { "x32-unshare", 272, 0x10000000, 0, 0, true },
		{ "x32-mount", 165, 1, 1, 1, true },
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		int rc = in_child(one_compat, &calls[i]);

		if (rc > 1000)
			result(calls[i].name, rc == 1000 + SIGSYS ? "SIGSYS" : "SIGNAL", "signal %d", rc - 1000);
	}
}
#else
static void other_abis(void)
{
	result("setup", "ENOTSUP", "no second system call interface on this architecture");
}
#endif

const struct attempt syscall_attempts[] = {
	{ 71, "other-abis", other_abis },
	{ 72, "unknown-numbers", unknown_numbers },
	{ 73, "each-call", each_call },
	{ 0 },
};
