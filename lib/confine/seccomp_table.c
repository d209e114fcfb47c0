/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which system calls a process may make: the one place to read and to change.
 *
 * call: an allow-list wide enough for compilers, browsers' engines, databases and debuggers. What makes namespaces,
 * mounts, devices, kernel code or keys is EPERM; what no list names (calls that did not exist when this was written,
 * calls no libc uses any more) is ENOSYS, so that a libc falls back to an older way. ptrace is allowed: Landlock keeps it inside
 * the call's own domain, the filter also holds for a traced process, and debuggers and leak checkers need it.
 *
 * No file gets a set-uid or set-gid bit, by whatever call has a mode: inside they mean nothing, but a file in a
 * workspace is one of the host's. A filter cannot see the mode of openat2, which is behind a pointer, so that is
 * ENOSYS, as before Linux 5.6: those who use it know the other way.
 */
#include "confine/seccomp_table.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#define ALL 0xffffffffu
#define EQ(n, v) { TEST_EQ, (n), ALL, (uint32_t)(v) }
#define MASK_EQ(n, m, v) { TEST_EQ, (n), (uint32_t)(m), (uint32_t)(v) }
#define MASK_ANY(n, m) { TEST_NE, (n), (uint32_t)(m), 0 }
#define WHEN(v, ...) { (v), { __VA_ARGS__ } }
#define RULE(call, other, ...) { .name = (call), .otherwise = (other), .clauses = { __VA_ARGS__ } }

#define NEW_NAMESPACES                                                                                     \
	(0x80u /* CLONE_NEWTIME */ | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
	 CLONE_NEWPID | CLONE_NEWNET)
/* In clone() the low byte is the exit signal. A child through CLONE_PARENT would be one of the launcher. */
#define CLONE_REFUSED ((NEW_NAMESPACES & ~0xffu) | CLONE_PARENT)

#define SOCK_TYPE 0xfu /* the rest are SOCK_NONBLOCK and SOCK_CLOEXEC */
#define INET_SOCKETS(family)                                                                                   \
	WHEN(VERDICT_ALLOW, EQ(0, family), MASK_EQ(1, SOCK_TYPE, SOCK_STREAM), EQ(2, 0)),                      \
		WHEN(VERDICT_ALLOW, EQ(0, family), MASK_EQ(1, SOCK_TYPE, SOCK_STREAM), EQ(2, IPPROTO_TCP)),    \
		WHEN(VERDICT_ALLOW, EQ(0, family), MASK_EQ(1, SOCK_TYPE, SOCK_DGRAM), EQ(2, 0)),               \
		WHEN(VERDICT_ALLOW, EQ(0, family), MASK_EQ(1, SOCK_TYPE, SOCK_DGRAM), EQ(2, IPPROTO_UDP))
#define OPTION_TCP_ULP 31
#define OPTION_FASTOPEN_CONNECT 30
#define FLAG_FASTOPEN 0x20000000u
#define LINUX_TIOCSTI 0x5412
#define LINUX_TIOCLINUX 0x541c
#define LINUX_TIOCSETD 0x5423
#define LINUX_F_SETDELEG 1040 /* Linux 6.19 */
#define PRIO_OF_USER 2
#define IOPRIO_OF_USER 3

#define SET_ID (S_ISUID | S_ISGID)
#define NO_SET_ID(call, mode) RULE(call, VERDICT_ALLOW, WHEN(VERDICT_EPERM, MASK_ANY(mode, SET_ID)))
/* Only a call that makes a file has a mode; the bit of O_TMPFILE that is no other flag's. */
#define MAKES_FILE (O_CREAT | 020000000)
#define NO_SET_ID_MADE(call, flags) \
	RULE(call, VERDICT_ALLOW, WHEN(VERDICT_EPERM, MASK_ANY(flags, MAKES_FILE), MASK_ANY((flags) + 1, SET_ID)))

static const char *const call_allow[] = {
	/* files */
	"access", "chdir", "chown", "close", "close_range", "copy_file_range", "dup", "dup2", "dup3", "faccessat",
	"faccessat2", "fadvise64", "fallocate", "fchdir", "fchown", "fchownat", "fdatasync", "fgetxattr",
	"flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync", "ftruncate", "futimesat",
	"getcwd", "getdents", "getdents64", "getxattr", "inotify_add_watch", "inotify_init", "inotify_init1",
	"inotify_rm_watch", "lchown", "lgetxattr", "link", "linkat", "listxattr", "llistxattr", "lremovexattr", "lseek",
	"lsetxattr", "lstat", "newfstatat", "pread64", "preadv", "preadv2", "pwrite64", "pwritev",
	"pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "removexattr", "rename", "renameat",
	"renameat2", "rmdir", "sendfile", "setxattr", "splice", "stat", "statfs", "statx", "symlink", "symlinkat",
	"sync", "sync_file_range", "syncfs", "tee", "truncate", "umask", "unlink", "unlinkat", "utime", "utimensat",
	"utimes", "vmsplice", "write", "writev",
	/* waiting for descriptors */
	"epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2",
	"io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit", "pipe", "pipe2", "poll",
	"ppoll", "pselect6", "select", "signalfd", "signalfd4", "timerfd_create", "timerfd_gettime", "timerfd_settime",
	/* memory */
	"brk", "get_mempolicy", "madvise", "mbind", "membarrier", "memfd_create", "memfd_secret", "mincore", "mlock",
	"mlock2", "mlockall", "mmap", "mprotect", "mremap", "msync", "munlock", "munlockall", "munmap", "pkey_alloc",
	"pkey_free", "pkey_mprotect", "remap_file_pages", "set_mempolicy", "set_mempolicy_home_node",
	/* processes and threads */
	"arch_prctl", "capget", "capset", "execve", "execveat", "exit", "exit_group", "fork", "futex", "futex_waitv",
	"get_robust_list", "getegid", "geteuid", "getgid", "getgroups", "getpgid", "getpgrp", "getpid", "getppid",
	"getpriority", "getresgid", "getresuid", "getrlimit", "getrusage", "getsid", "gettid", "getuid", "ioprio_get",
	"landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "pidfd_open", "pidfd_send_signal",
	"prctl", "ptrace", "restart_syscall", "rseq", "sched_get_priority_max", "sched_get_priority_min",
	"sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
	"sched_yield", "seccomp", "set_robust_list", "set_tid_address", "setfsgid", "setfsuid", "setgid", "setgroups",
	"setpgid", "setregid", "setresgid", "setresuid", "setreuid", "setsid", "setuid", "vfork", "wait4",
	"waitid", "getcpu",
	/* signals and time */
	"alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday", "kill", "nanosleep",
	"pause", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend",
	"rt_sigtimedwait", "rt_tgsigqueueinfo", "setitimer", "sigaltstack", "tgkill", "time", "timer_create",
	"timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime", "times", "tkill",
	/* sockets */
	"accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recvfrom",
	"recvmmsg", "recvmsg", "shutdown",
	/* System V and POSIX queues: of the sandbox's own ipc namespace */
	"mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink", "msgctl", "msgget",
	"msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmdt", "shmget",
	/* the machine */
	"getrandom", "sysinfo", "uname", NULL
};

static const char *const call_deny[] = {
	/* namespaces, mounts, roots */
	"chroot", "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount", "open_tree",
	"pivot_root", "setdomainname", "sethostname", "setns", "umount", "umount2",
	/* around path checks and other processes' memory or descriptors */
	"kcmp", "lookup_dcookie", "name_to_handle_at", "open_by_handle_at", "pidfd_getfd", "process_madvise",
	"process_mrelease", "process_vm_readv", "process_vm_writev",
	/* a second way to most calls, unseen by this filter */
	"io_uring_enter", "io_uring_register", "io_uring_setup",
	/* kernel code and its observation */
	"bpf", "create_module", "delete_module", "fanotify_init", "fanotify_mark", "finit_module", "get_kernel_syms",
	"init_module", "kexec_file_load", "kexec_load", "perf_event_open", "query_module", "syslog", "userfaultfd",
	/* keyrings are not namespaced by processes */
	"add_key", "keyctl", "request_key",
	/* the host's administration */
	"acct", "adjtimex", "clock_adjtime", "clock_settime", "ioperm", "iopl", "nfsservctl", "quotactl", "quotactl_fd",
	"reboot", "settimeofday", "stime", "swapoff", "swapon", "vhangup",
	/* old processor modes and formats */
	"modify_ldt", "uselib", "ustat", "sysfs", "vm86", "vm86old", "vserver", NULL
};

static const struct arg_rule call_rules[] = {
	NO_SET_ID("chmod", 1), NO_SET_ID("fchmod", 1), NO_SET_ID("fchmodat", 2), NO_SET_ID("fchmodat2", 2),
	NO_SET_ID("mkdir", 1), NO_SET_ID("mkdirat", 2), NO_SET_ID("mknod", 1), NO_SET_ID("mknodat", 2), NO_SET_ID("creat", 1),
	NO_SET_ID_MADE("open", 1), NO_SET_ID_MADE("openat", 2),
	/* No vsock, alg, packet, xdp, tipc ...; within IP only TCP and UDP by number: MPTCP (262) would pass the gateway's
	 * view of a connection, raw and ping sockets make packets of their own. */
	RULE("socket", VERDICT_EPERM, WHEN(VERDICT_ALLOW, EQ(0, AF_UNIX)), INET_SOCKETS(AF_INET), INET_SOCKETS(AF_INET6),
	     WHEN(VERDICT_ALLOW, EQ(0, AF_NETLINK), EQ(2, 0 /* NETLINK_ROUTE */))),
	RULE("socketpair", VERDICT_EPERM, WHEN(VERDICT_ALLOW, EQ(0, AF_UNIX))),
	RULE("clone", VERDICT_ALLOW, WHEN(VERDICT_EPERM, MASK_ANY(0, CLONE_REFUSED))),
	RULE("unshare", VERDICT_ALLOW, WHEN(VERDICT_EPERM, MASK_ANY(0, NEW_NAMESPACES))),
	/* Its flags are behind a pointer: ENOSYS makes every libc use clone. */
	{ .name = "clone3", .otherwise = VERDICT_ENOSYS },
	/* Typing into a terminal, pasting into a console, loading a line discipline (the n_gsm and n_hdlc bugs). */
	RULE("ioctl", VERDICT_ALLOW, WHEN(VERDICT_EPERM, EQ(1, LINUX_TIOCSTI)), WHEN(VERDICT_EPERM, EQ(1, LINUX_TIOCLINUX)),
	     WHEN(VERDICT_EPERM, EQ(1, LINUX_TIOCSETD))),
	/* Data in the SYN would be sent to a port before anybody decided. */
	RULE("sendto", VERDICT_ALLOW, WHEN(VERDICT_EPERM, MASK_ANY(3, FLAG_FASTOPEN))),
	RULE("sendmsg", VERDICT_ALLOW, WHEN(VERDICT_EPERM, MASK_ANY(2, FLAG_FASTOPEN))),
	RULE("sendmmsg", VERDICT_ALLOW, WHEN(VERDICT_EPERM, MASK_ANY(3, FLAG_FASTOPEN))),
	/* TCP_ULP: kernel TLS and friends (CVE-2023-0461); TLS libraries work without. */
	RULE("setsockopt", VERDICT_ALLOW, WHEN(VERDICT_EPERM, EQ(1, IPPROTO_TCP), EQ(2, OPTION_FASTOPEN_CONNECT)),
	     WHEN(VERDICT_EPERM, EQ(1, IPPROTO_TCP), EQ(2, OPTION_TCP_ULP))),
	/* Landlock has no hook for these: on another process they would reach siblings and init. */
	RULE("prlimit64", VERDICT_EPERM, WHEN(VERDICT_ALLOW, EQ(0, 0), EQ(1, RLIMIT_CORE), EQ(2, 0), EQ(SECCOMP_HIGH(2), 0)),
	     WHEN(VERDICT_DONE, EQ(0, 0), EQ(1, RLIMIT_CORE), EQ(3, 0), EQ(SECCOMP_HIGH(3), 0)),
	     WHEN(VERDICT_EPERM, EQ(1, RLIMIT_CORE)), WHEN(VERDICT_ALLOW, EQ(0, 0))),
	/* It stays as it is (supervisor/main.c). Some do not start when they cannot switch core dumps off: they are. */
	RULE("setrlimit", VERDICT_ALLOW, WHEN(VERDICT_DONE, EQ(0, RLIMIT_CORE))),
	/* A lease or delegation makes everybody else on the host wait who opens the file. */
	RULE("fcntl", VERDICT_ALLOW, WHEN(VERDICT_EPERM, EQ(1, F_SETLEASE)), WHEN(VERDICT_EPERM, EQ(1, LINUX_F_SETDELEG))),
	RULE("setpriority", VERDICT_EPERM, WHEN(VERDICT_EPERM, EQ(0, PRIO_OF_USER)), WHEN(VERDICT_ALLOW, EQ(1, 0))),
	RULE("ioprio_set", VERDICT_EPERM, WHEN(VERDICT_EPERM, EQ(0, IOPRIO_OF_USER)), WHEN(VERDICT_ALLOW, EQ(1, 0))),
	RULE("sched_setaffinity", VERDICT_EPERM, WHEN(VERDICT_ALLOW, EQ(0, 0))),
	RULE("sched_setattr", VERDICT_EPERM, WHEN(VERDICT_ALLOW, EQ(0, 0))),
	RULE("sched_setparam", VERDICT_EPERM, WHEN(VERDICT_ALLOW, EQ(0, 0))),
	RULE("sched_setscheduler", VERDICT_EPERM, WHEN(VERDICT_ALLOW, EQ(0, 0))),
	RULE("migrate_pages", VERDICT_EPERM, WHEN(VERDICT_ALLOW, EQ(0, 0))),
	RULE("move_pages", VERDICT_EPERM, WHEN(VERDICT_ALLOW, EQ(0, 0))),
	/* 0xffffffff only asks. */
	RULE("personality", VERDICT_EPERM, WHEN(VERDICT_ALLOW, EQ(0, 0)), WHEN(VERDICT_ALLOW, EQ(0, ALL))),
};

/* pid 1 of a sandbox: it waits and reaps. Anything else means that it was taken over. */
static const char *const init_allow[] = {
	"close", "exit", "exit_group", "poll", "ppoll", "read", "restart_syscall", "rt_sigprocmask", "rt_sigreturn",
	"wait4", "waitid", NULL
};

/* Sockets, timers and memory; no files, no programs, no other processes. No prctl: a gateway that was taken over could
 * make itself outlive the supervisor. No tgkill: abort() ends the process without it too. */
static const char *const gateway_allow[] = {
	"accept4", "bind", "brk", "clock_getres", "clock_gettime", "clock_nanosleep", "close", "connect", "dup",
	"epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd2", "exit", "exit_group",
	"fstat", "fsync", "ftruncate", "futex", "getegid", "geteuid", "getgid", "getpeername", "getpid", "getppid",
	"getrandom", "getrusage", "getsockname", "getsockopt", "gettid", "gettimeofday", "getuid", "lseek",
	"madvise", "mlock", "mlock2", "mremap", "munlock", "munmap", "nanosleep", "newfstatat", "pipe2",
	"poll", "ppoll", "pread64", "pwrite64", "read", "readv", "recvfrom", "recvmmsg", "recvmsg",
	"restart_syscall", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sched_yield", "sendmmsg", "sendmsg",
	"sendto", "set_robust_list", "setsockopt", "shutdown", "sigaltstack", "splice", "sysinfo", "time",
	"timerfd_create", "timerfd_gettime", "timerfd_settime", "uname", "wait4", "write", "writev", NULL
};

static const struct arg_rule gateway_rules[] = {
	RULE("socket", VERDICT_EPERM, INET_SOCKETS(AF_INET), INET_SOCKETS(AF_INET6)),
	/* Nothing becomes code that was not there when the gateway was started. */
	RULE("mmap", VERDICT_ALLOW, WHEN(VERDICT_EPERM, MASK_ANY(2, PROT_EXEC))),
	RULE("mprotect", VERDICT_ALLOW, WHEN(VERDICT_EPERM, MASK_ANY(2, PROT_EXEC))),
	/* A signal to another process when a socket is ready. */
	RULE("fcntl", VERDICT_ALLOW, WHEN(VERDICT_EPERM, EQ(1, F_SETOWN)), WHEN(VERDICT_EPERM, EQ(1, F_SETOWN_EX)),
	     WHEN(VERDICT_EPERM, EQ(1, F_SETSIG))),
};

static const char *const nothing[] = { NULL };

#define RULES(r) .rules = (r), .n_rules = sizeof(r) / sizeof((r)[0])

const struct profile seccomp_profiles[] = {
	/* A foreign entry answers ENOSYS to everything: such programs cannot run, and nothing probing for x32 dies. */
	{ .name = "call", .allow = call_allow, .deny = call_deny, RULES(call_rules), .otherwise = VERDICT_ENOSYS,
	  .foreign = VERDICT_ENOSYS },
	{ .name = "init", .allow = init_allow, .deny = nothing, .otherwise = VERDICT_KILL, .foreign = VERDICT_KILL },
	{ .name = "gateway", .allow = gateway_allow, .deny = nothing, RULES(gateway_rules), .otherwise = VERDICT_EPERM,
	  .foreign = VERDICT_KILL },
};
const size_t seccomp_n_profiles = sizeof(seccomp_profiles) / sizeof(seccomp_profiles[0]);
