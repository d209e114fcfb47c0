/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system call filters, one row a call: a forked child loads the filter, makes the call with arguments that change nothing even
 * where they are let through, and the errno says whether the kernel or the filter answered.
 */
#include "base/util.h"
#include "confine/seccomp.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#define PASSED (-1)  /* anything but the filter's own answers */
#define REFUSED (-2) /* either of them: whether the library that made the filter knows the number */
#define DONE 0	     /* without having done anything */

struct row {
	const char *name;
	long nr;
	long args[6];
	int expect; /* errno, or PASSED */
};

#define ROW(call, expect, ...) { #call, SYS_##call, { __VA_ARGS__ }, expect }
#define BAD (-1L)

static const struct row call_rows[] = {
	/* namespaces and mounts; a bad pointer or descriptor would give EFAULT, EBADF or EINVAL without the filter */
	ROW(unshare, EPERM, CLONE_NEWUSER), ROW(unshare, EPERM, CLONE_NEWNET), ROW(unshare, EPERM, CLONE_NEWNS),
	ROW(unshare, EPERM, 0x80 /* CLONE_NEWTIME */), ROW(unshare, PASSED, 0), ROW(unshare, PASSED, CLONE_FILES),
	ROW(setns, EPERM, BAD, 0), ROW(clone3, ENOSYS, 0, 0), ROW(openat2, ENOSYS, BAD, BAD, 0, 0), ROW(mount, EPERM, 0, BAD, 0, 0, 0),
	ROW(umount2, EPERM, BAD, 0), ROW(pivot_root, EPERM, BAD, BAD), ROW(chroot, EPERM, BAD), ROW(fsopen, EPERM, BAD, 0),
	ROW(fsconfig, EPERM, BAD), ROW(fsmount, EPERM, BAD), ROW(fspick, EPERM, BAD), ROW(move_mount, EPERM, BAD, BAD, BAD),
	ROW(open_tree, EPERM, BAD, BAD), ROW(mount_setattr, EPERM, BAD, BAD), ROW(sethostname, EPERM, BAD, 1),
	ROW(setdomainname, EPERM, BAD, 1),
	/* clone: invalid combination (thread without shared handlers), so that nothing is made when it passes */
	ROW(clone, EPERM, CLONE_NEWUSER | CLONE_THREAD), ROW(clone, EPERM, CLONE_NEWPID | CLONE_THREAD),
	ROW(clone, EPERM, CLONE_PARENT | CLONE_THREAD), ROW(clone, EINVAL, CLONE_THREAD),
	ROW(clone, EPERM, CLONE_NEWCGROUP | CLONE_THREAD), ROW(clone, EPERM, CLONE_NEWUTS | CLONE_THREAD),
	/* other processes */
	ROW(kcmp, EPERM, 1, 1, BAD), ROW(pidfd_getfd, EPERM, BAD, BAD), ROW(process_vm_readv, EPERM, 1, 0, 0, 0, 0, BAD),
	ROW(process_vm_writev, EPERM, 1, 0, 0, 0, 0, BAD), ROW(process_madvise, EPERM, BAD, 0, 0, BAD),
	ROW(process_mrelease, EPERM, BAD), ROW(name_to_handle_at, EPERM, BAD, BAD), ROW(open_by_handle_at, EPERM, BAD, BAD),
	ROW(prlimit64, EPERM, 1, 0, 0, 0), ROW(prlimit64, PASSED, 0, 7, 0, 0), ROW(setpriority, EPERM, 0, 1, 0),
	/* RLIMIT_CORE is read, and not set; a pointer is two halves */
	ROW(prlimit64, PASSED, 0, 4, 0, BAD), ROW(prlimit64, DONE, 0, 4, BAD, 0), ROW(prlimit64, EPERM, 0, 4, BAD, BAD),
	ROW(prlimit64, EPERM, 0, 4, 1L << 32, 1L << 32), ROW(prlimit64, DONE, 0, 4, 1L << 32, 0), ROW(prlimit64, EPERM, 1, 4, 0, 0),
	ROW(setrlimit, DONE, 4, BAD), ROW(setrlimit, PASSED, 7, BAD), ROW(fcntl, EPERM, BAD, F_SETLEASE, F_WRLCK),
	ROW(fcntl, EPERM, BAD, 1040 /* F_SETDELEG */, BAD), ROW(fcntl, PASSED, BAD, F_GETLEASE),
	ROW(setpriority, EPERM, 2, 0, 0), ROW(setpriority, PASSED, 0, 0, 0), ROW(ioprio_set, EPERM, 1, 1, BAD),
	ROW(ioprio_set, EPERM, 3, 0, BAD), ROW(ioprio_set, PASSED, 1, 0, BAD), ROW(sched_setaffinity, EPERM, 1, 8, BAD),
	ROW(sched_setaffinity, PASSED, 0, 8, BAD), ROW(sched_setscheduler, EPERM, 1, 0, BAD),
	ROW(sched_setscheduler, PASSED, 0, 99, BAD), ROW(sched_setparam, EPERM, 1, BAD), ROW(sched_setattr, EPERM, 1, BAD, 0),
	ROW(migrate_pages, EPERM, 1, 0, BAD, BAD), ROW(move_pages, EPERM, 1, 1, BAD, BAD, BAD, BAD),
	ROW(ptrace, PASSED, BAD, BAD, 0, 0),
	/* kernel surface */
	ROW(io_uring_setup, EPERM, 1, BAD), ROW(io_uring_enter, EPERM, BAD), ROW(io_uring_register, EPERM, BAD),
	ROW(bpf, EPERM, BAD, 0, 0), ROW(userfaultfd, EPERM, BAD), ROW(perf_event_open, EPERM, BAD, 0, 0, 0, 0),
	ROW(fanotify_init, EPERM, BAD, 0), ROW(fanotify_mark, EPERM, BAD), ROW(add_key, EPERM, BAD, BAD, 0, 0, 0),
	ROW(request_key, EPERM, BAD, BAD, 0, 0), ROW(keyctl, EPERM, BAD), ROW(init_module, EPERM, BAD),
	ROW(finit_module, EPERM, BAD), ROW(delete_module, EPERM, BAD), ROW(kexec_load, EPERM, 0, BAD),
	ROW(syslog, EPERM, BAD), ROW(personality, EPERM, 0x0040000), ROW(personality, EPERM, 8),
	ROW(personality, PASSED, 0xffffffffL), ROW(personality, PASSED, 0),
	/* the host's administration */
	ROW(swapon, EPERM, BAD), ROW(swapoff, EPERM, BAD), ROW(reboot, EPERM, 0), ROW(acct, EPERM, BAD),
	ROW(quotactl, EPERM, BAD), ROW(settimeofday, EPERM, BAD, BAD), ROW(clock_settime, EPERM, BAD, BAD),
	ROW(clock_adjtime, EPERM, BAD, BAD), ROW(adjtimex, EPERM, BAD), ROW(vhangup, EPERM, 0),
	/* sockets */
	ROW(socket, PASSED, AF_UNIX, SOCK_STREAM, 0), ROW(socket, PASSED, AF_INET, SOCK_STREAM, 0),
	ROW(socket, PASSED, AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 6), ROW(socket, PASSED, AF_INET6, SOCK_DGRAM, 17),
	ROW(socket, PASSED, AF_NETLINK, SOCK_RAW, 0), ROW(socket, EPERM, AF_NETLINK, SOCK_RAW, 12 /* NETFILTER */),
	ROW(socket, EPERM, AF_NETLINK, SOCK_RAW, 15 /* KOBJECT_UEVENT */), ROW(socket, EPERM, AF_INET, SOCK_STREAM, 262),
	ROW(socket, EPERM, AF_INET, SOCK_RAW, 1), ROW(socket, EPERM, AF_INET, SOCK_DGRAM, 1),
	ROW(socket, EPERM, AF_INET6, SOCK_STREAM, 132), ROW(socket, EPERM, AF_INET, SOCK_SEQPACKET, 0),
	ROW(socket, EPERM, AF_PACKET, SOCK_RAW, 0), ROW(socket, EPERM, 40 /* VSOCK */, SOCK_STREAM, 0),
	ROW(socket, EPERM, 38 /* ALG */, SOCK_SEQPACKET, 0), ROW(socket, EPERM, 44 /* XDP */, SOCK_RAW, 0),
	ROW(socket, EPERM, 30 /* TIPC */, SOCK_SEQPACKET, 0), ROW(socket, EPERM, 15 /* KEY */, SOCK_RAW, 2),
	/* the upper half of an int argument is nothing to the kernel, so it must be nothing to the filter */
	ROW(socket, EPERM, (long)(0x100000000ULL | AF_PACKET), SOCK_RAW, 0),
	ROW(socketpair, EPERM, 30, SOCK_SEQPACKET, 0, BAD), ROW(socketpair, PASSED, AF_UNIX, SOCK_STREAM, 0, BAD),
	ROW(sendto, EPERM, BAD, 0, 0, 0x20000000, 0, 0), ROW(sendto, EBADF, BAD, 0, 0, 0, 0, 0),
	ROW(sendmsg, EPERM, BAD, 0, 0x20000000), ROW(sendmsg, EBADF, BAD, 0, 0),
	ROW(sendmmsg, EPERM, BAD, 0, 0, 0x20000000), ROW(setsockopt, EPERM, BAD, 6, 30, 0, 0),
	ROW(setsockopt, EPERM, BAD, 6, 31, 0, 0), ROW(setsockopt, EBADF, BAD, 6, 1, 0, 0), ROW(setsockopt, EBADF, BAD, 1, 30, 0, 0),
	/* set-uid and set-gid bits, by everything that has a mode; the paths are bad */
	ROW(fchmod, EPERM, BAD, 04755), ROW(fchmod, EPERM, BAD, 02755), ROW(fchmod, EBADF, BAD, 01777),
	ROW(fchmod, EPERM, BAD, (long)0x100000000ULL | 04000), ROW(fchmodat, EPERM, BAD, BAD, 06000),
	ROW(fchmodat, PASSED, BAD, BAD, 01777), ROW(mkdirat, EPERM, BAD, BAD, 02755), ROW(mkdirat, PASSED, BAD, BAD, 01777),
	ROW(mknodat, EPERM, BAD, BAD, S_IFREG | 04755, 0), ROW(mknodat, PASSED, BAD, BAD, S_IFREG | 0755, 0),
	ROW(openat, EPERM, BAD, BAD, O_CREAT, 04755), ROW(openat, EPERM, BAD, BAD, O_CREAT | O_EXCL | O_RDWR, 02000),
	ROW(openat, EPERM, BAD, BAD, O_TMPFILE | O_RDWR, 04755), ROW(openat, PASSED, BAD, BAD, O_TMPFILE | O_RDWR, 0755),
	ROW(openat, PASSED, BAD, BAD, O_CREAT, 01777), ROW(openat, PASSED, BAD, BAD, O_RDONLY | O_DIRECTORY, 06000),
	ROW(openat, EPERM, BAD, BAD, (long)0x100000000ULL | O_CREAT, 04755),
	{ "fchmodat2", 452, { BAD, BAD, 04755, 0 }, REFUSED },
	/* terminals */
	ROW(ioctl, EPERM, BAD, 0x5412, 0), ROW(ioctl, EPERM, BAD, 0x541c, 0), ROW(ioctl, EPERM, BAD, 0x5423, 0),
	ROW(ioctl, EPERM, BAD, (long)0x100005412ULL, 0), ROW(ioctl, EBADF, BAD, 0x5413, 0),
	/* no such numbers */
	{ "500", 500, { 0 }, ENOSYS }, { "600", 600, { 0 }, ENOSYS }, { "-1", -1, { 0 }, ENOSYS },
	{ "2^31", 0x80000000L, { 0 }, ENOSYS }, { "2^16", 0x10000, { 0 }, ENOSYS },
#ifdef __x86_64__
	/* x32: getpid by its other number */
	{ "x32 getpid", 0x40000000L | SYS_getpid, { 0 }, ENOSYS }, { "x32 unshare", 0x40000000L | SYS_unshare, { CLONE_NEWUSER }, ENOSYS },
	ROW(chmod, EPERM, BAD, 04755), ROW(chmod, PASSED, BAD, 0755), ROW(creat, EPERM, BAD, 02755), ROW(creat, PASSED, BAD, 0755),
	ROW(open, EPERM, BAD, O_CREAT, 04755), ROW(open, PASSED, BAD, 0, 04755), ROW(open, PASSED, BAD, O_CREAT, 0755),
	ROW(mkdir, EPERM, BAD, 02755), ROW(mkdir, PASSED, BAD, 0755), ROW(mknod, EPERM, BAD, S_IFREG | 04755, 0),
	ROW(mknod, PASSED, BAD, S_IFREG | 0755, 0),
	ROW(modify_ldt, EPERM, BAD, 0, 0), ROW(ioperm, EPERM, BAD, 0, 0), ROW(iopl, EPERM, BAD), ROW(uselib, EPERM, BAD),
#endif
	/* what programs need */
	ROW(openat, PASSED, BAD, BAD, 0), ROW(getpid, PASSED, 0), ROW(futex, PASSED, BAD, 1 /* FUTEX_WAKE */, 1), ROW(rseq, PASSED, BAD, 0, 0, 0),
	ROW(membarrier, PASSED, 0, 0), ROW(memfd_create, PASSED, BAD, 0), ROW(execve, PASSED, BAD, 0, 0),
	ROW(landlock_create_ruleset, PASSED, 0, 0, 1), ROW(seccomp, PASSED, BAD, 0, 0), ROW(pidfd_open, PASSED, BAD, 0),
	ROW(inotify_init1, PASSED, BAD), ROW(epoll_create1, PASSED, BAD), ROW(statx, PASSED, BAD, BAD, 0, 0, 0),
	ROW(getrandom, PASSED, BAD, 0, BAD), ROW(pkey_alloc, PASSED, BAD, 0), ROW(mq_open, PASSED, BAD, 0), ROW(semget, PASSED, BAD, 0, 0),
};

static const struct row gateway_rows[] = {
	ROW(openat, EPERM, BAD, BAD, 0), ROW(execve, EPERM, BAD, 0, 0), ROW(ptrace, EPERM, BAD, 0, 0, 0),
	ROW(socket, PASSED, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ROW(socket, PASSED, AF_INET6, SOCK_DGRAM, 0),
	ROW(socket, EPERM, AF_UNIX, SOCK_STREAM, 0), ROW(socket, EPERM, AF_NETLINK, SOCK_RAW, 0), ROW(clone, EPERM, SIGCHLD),
	ROW(io_uring_setup, EPERM, 1, BAD), ROW(kill, EPERM, 0, 0), ROW(recvmsg, EBADF, BAD, 0, 0),
	ROW(epoll_create1, PASSED, BAD), ROW(mmap, PASSED, 0, 0, 0, 0, 0, 0), ROW(prlimit64, EPERM, 0, 7, 0, 0),
	ROW(mmap, EPERM, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	ROW(mprotect, EPERM, 0, 0, PROT_EXEC), ROW(mprotect, PASSED, 0, 0, PROT_READ), ROW(prctl, EPERM, PR_SET_PDEATHSIG, 0),
	ROW(tgkill, EPERM, BAD, BAD, 0), ROW(listen, EPERM, BAD, 0), ROW(fcntl, EPERM, BAD, F_SETOWN, 0),
	ROW(fcntl, EPERM, BAD, F_SETOWN_EX, 0), ROW(fcntl, EPERM, BAD, F_SETSIG, 0), ROW(fcntl, EBADF, BAD, F_GETFL, 0),
};

/* The answers come back through shared memory: the filtered child only makes the call. */
static void run_rows(enum seccomp_profile profile, const struct row *rows, size_t n)
{
	int *answers = mmap(NULL, (n + 1) * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(answers, MAP_FAILED);

	pid_t pid = fork();
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_load(profile) < 0)
			_exit(1);
		for (size_t i = 0; i < n; i++) {
			const long *a = rows[i].args;
			errno = 0;
			long r = syscall(rows[i].nr, a[0], a[1], a[2], a[3], a[4], a[5]);
			answers[i] = r == -1 ? errno : 0;
		}
		answers[n] = 1;
		_exit(0);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	size_t wrong = 0;
	for (size_t i = 0; i < n; i++) {
		bool refused = answers[i] == EPERM || answers[i] == ENOSYS;
		bool right = rows[i].expect == PASSED  ? !refused :
			     rows[i].expect == REFUSED ? refused :
							 answers[i] == rows[i].expect;
		if (!right) {
			print_error("%s(%#lx, %#lx, %#lx): errno %d, expected %d\n", rows[i].name, rows[i].args[0],
				    rows[i].args[1], rows[i].args[2], answers[i], rows[i].expect);
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
	assert_int_equal(answers[n], 1);
	munmap(answers, (n + 1) * sizeof(int));
}

static void calls_are_filtered(void **state)
{
	(void)state;
	run_rows(SECCOMP_CALL, call_rows, ARRAY_LEN(call_rows));
}

static void gateway_is_filtered(void **state)
{
	(void)state;
	run_rows(SECCOMP_GATEWAY, gateway_rows, ARRAY_LEN(gateway_rows));
}

static int status_of(enum seccomp_profile profile, void (*act)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_load(profile) < 0)
			_exit(99);
		act();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void reap_and_leave(void)
{
	kill(getppid(), 0);
	waitpid(-1, NULL, WNOHANG);
}

static void open_something(void)
{
	syscall(SYS_openat, -1, "/", 0);
}

static void reap_only(void)
{
	waitpid(-1, NULL, WNOHANG);
}

static void kill_something(void)
{
	kill(1 << 29, 0);
}

static void init_is_killed_for_anything_else(void **state)
{
	(void)state;
#ifdef __SANITIZE_ADDRESS__
	print_message("AddressSanitizer makes system calls of its own\n");
	skip();
#endif
	assert_int_equal(status_of(SECCOMP_INIT, reap_only), 0);
	int status = status_of(SECCOMP_INIT, open_something);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	status = status_of(SECCOMP_INIT, kill_something);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	/* getppid is not in its list */
	status = status_of(SECCOMP_INIT, reap_and_leave);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

#ifdef __x86_64__
static void call_through_i386(void)
{
	long r;

	/* i386 getpid is 20; without the filter it is the pid, or SIGSEGV where the kernel has no such entry. */
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
	_exit(r == -ENOSYS ? 42 : 1);
}

static void i386_entry_answers_nothing(void **state)
{
	(void)state;
	int status = status_of(SECCOMP_CALL, call_through_i386);
	assert_true((WIFEXITED(status) && WEXITSTATUS(status) == 42) ||
		    (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
}
#endif

static void make_child(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(7);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 7)
		_exit(1);
}

static void threads_and_children_work(void **state)
{
	(void)state;
	assert_int_equal(status_of(SECCOMP_CALL, make_child), 0);
}

static void needs_no_new_privs(void **state)
{
	(void)state;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 || getuid() == 0)
		skip(); /* has the right to load one anyway */
	assert_int_equal(seccomp_load(SECCOMP_CALL), -EACCES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_are_filtered),
		cmocka_unit_test(gateway_is_filtered),
		cmocka_unit_test(init_is_killed_for_anything_else),
#ifdef __x86_64__
		cmocka_unit_test(i386_entry_answers_nothing),
#endif
		cmocka_unit_test(threads_and_children_work),
		cmocka_unit_test(needs_no_new_privs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
