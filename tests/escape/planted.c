/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway that was taken over: nsbox-gateway linked with this file (meson option `planted`; never installed), where
 * plain bytes "PLANTED NAME KEY=VALUE ...\n" from inside stand for the bug that gives an attacker its process. It then
 * tries NAME from inside the confined process and answers "NAME ok" or "NAME ERRNO". Started with the same words as
 * arguments, it tries unconfined instead, each in a child: the control.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "gateway/stream.h"

bool __real_stream_fill(struct stream *s, size_t limit);
bool __wrap_stream_fill(struct stream *s, size_t limit);
int __real_main(int argc, char **argv);
int __wrap_main(int argc, char **argv);

static char facts[4096];

/* The value of a fact, or "". Valid until the eighth call after it. */
static const char *fact(const char *key)
{
	static char ring[8][512];
	static unsigned at;
	size_t n = strlen(key);

	for (const char *p = facts; (p = strstr(p, key)); p++) {
		if (p > facts && p[-1] == ' ' && p[n] == '=') {
			char *to = ring[at++ % 8];
			snprintf(to, sizeof(ring[0]), "%.*s", (int)strcspn(p + n + 1, " \n"), p + n + 1);
			return to;
		}
	}
	return "";
}

static pid_t pid_of(const char *key)
{
	return (pid_t)atoi(fact(key));
}

/* Of a system call: 0 or the errno. */
static int done(long r)
{
	return r < 0 ? errno : 0;
}

static int opened(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	int r = done(fd);

	if (fd >= 0)
		close(fd);
	return r;
}

static int open_secret(void) { return opened(fact("secret"), O_RDONLY); }
static int open_passwd(void) { return opened("/etc/passwd", O_RDONLY); }
static int open_audit(void) { return opened(fact("audit"), O_WRONLY | O_APPEND); }
static int open_memory(void) { return opened("/proc/self/mem", O_RDWR); }
static int open_environ(void) { return opened("/proc/self/environ", O_RDONLY); }
static int open_root(void) { return opened("/", O_PATH | O_DIRECTORY); }
static int open_created(void) { return opened(fact("new"), O_WRONLY | O_CREAT | O_EXCL); }

static int open_how(void)
{
	uint64_t how[3] = { O_RDONLY, 0, 0 };

	return done(syscall(SYS_openat2, AT_FDCWD, fact("secret"), how, sizeof(how)));
}

static int open_tree_of_host(void) { return done(syscall(SYS_open_tree, AT_FDCWD, "/", 0)); }
static int list_directory(void) { return opened(fact("dir"), O_RDONLY | O_DIRECTORY); }
static int remove_file(void) { return done(unlink(fact("file"))); }
static int rename_file(void) { return done(rename(fact("file"), fact("new"))); }
static int make_directory(void) { return done(mkdir(fact("new"), 0700)); }
static int make_link(void) { return done(symlink("/", fact("new"))); }
static int change_mode(void) { return done(chmod(fact("file"), 0666)); }
static int cut_file(void) { return done(truncate(fact("file"), 0)); }
static int change_directory(void) { return done(chdir("/tmp")); }
static int change_root(void) { return done(chroot("/tmp")); }

static int run_program(void)
{
	char *argv[] = { (char *)"true", NULL };

	execve("/bin/true", argv, argv + 1);
	return errno;
}

static int run_by_descriptor(void)
{
	char *argv[] = { (char *)"true", NULL };

	syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, argv + 1, 0);
	return errno;
}

/* The child of a fork that worked ends at once. */
static int forked(long pid)
{
	if (pid == 0)
		_exit(0);
	int r = done(pid);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, __WALL);
	return r;
}

static int make_child(void) { return forked(fork()); }
static int make_raw_child(void) { return forked(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); }

static int make_child_3(void)
{
	uint64_t args[8] = { [4] = SIGCHLD };

	return forked(syscall(SYS_clone3, args, sizeof(args)));
}

static int attach(void)
{
	long r = ptrace(PTRACE_ATTACH, pid_of("victim"), NULL, NULL);
	int e = done(r);

	if (r == 0) {
		waitpid(pid_of("victim"), NULL, __WALL);
		ptrace(PTRACE_DETACH, pid_of("victim"), NULL, NULL);
	}
	return e;
}

static int be_traced(void) { return done(ptrace(PTRACE_TRACEME, 0, NULL, NULL)); }

static int moved(long call)
{
	char here[8] = { 0 };
	struct iovec mine = { here, sizeof(here) };
	struct iovec theirs = { (void *)strtoul(fact("address"), NULL, 0), sizeof(here) };

	return done(syscall(call, pid_of("victim"), &mine, 1, &theirs, 1, 0));
}

static int read_process(void) { return moved(SYS_process_vm_readv); }
static int write_process(void) { return moved(SYS_process_vm_writev); }
static int kill_process(void) { return done(kill(pid_of("victim"), SIGTERM)); }
static int kill_thread(void) { return done(syscall(SYS_tgkill, pid_of("victim"), pid_of("victim"), SIGTERM)); }
static int kill_any_thread(void) { return done(syscall(SYS_tkill, pid_of("victim"), SIGTERM)); }

static int queue_signal(void)
{
	siginfo_t info = { .si_signo = SIGTERM, .si_code = SI_QUEUE };

	return done(syscall(SYS_rt_sigqueueinfo, pid_of("victim"), SIGTERM, &info));
}

/* The kernel sends the signal when the socket is ready: judged by what became of the victim. */
static int signal_by_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(to);

	if (fd < 0 || fcntl(fd, F_SETOWN, pid_of("victim")) < 0 || fcntl(fd, F_SETSIG, SIGTERM) < 0 ||
	    fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK) < 0 || bind(fd, (struct sockaddr *)&to, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&to, &len) < 0 || sendto(fd, "x", 1, 0, (struct sockaddr *)&to, len) < 0)
		return errno;
	return 0;
}

static int open_process(void) { return done(syscall(SYS_pidfd_open, pid_of("victim"), 0)); }
static int limit_process(void) { return done(prlimit(pid_of("victim"), RLIMIT_CPU, NULL, &(struct rlimit){ 0, 0 })); }
static int slow_process(void) { return done(setpriority(PRIO_PROCESS, (id_t)pid_of("victim"), 19)); }
static int pin_process(void)
{
	cpu_set_t set = { 0 };

	CPU_SET(0, &set);
	return done(sched_setaffinity(pid_of("victim"), sizeof(set), &set));
}

static int connect_unix(bool abstract)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const char *name = fact(abstract ? "abstract" : "socket");

	if (fd < 0)
		return errno;
	memcpy(to.sun_path + abstract, name, strnlen(name, sizeof(to.sun_path) - 2));
	int r = done(connect(fd, (struct sockaddr *)&to, (socklen_t)(sizeof(sa_family_t) + abstract + strlen(name))));
	close(fd);
	return r;
}

static int connect_path(void) { return connect_unix(false); }
static int connect_abstract(void) { return connect_unix(true); }

static int socket_of(int family, int type, int protocol)
{
	int fd = socket(family, type | SOCK_CLOEXEC, protocol);
	int r = done(fd);

	if (fd >= 0)
		close(fd);
	return r;
}

static int netlink(void) { return socket_of(AF_NETLINK, SOCK_RAW, 0); }
static int raw_socket(void) { return socket_of(AF_INET, SOCK_RAW, IPPROTO_TCP); }
static int packet_socket(void) { return socket_of(AF_PACKET, SOCK_RAW, 0); }
static int mount_something(void) { return done(mount("none", "/tmp", "tmpfs", 0, NULL)); }
static int unmount(void)
{
	mount("none", "/tmp", "tmpfs", 0, NULL);
	return done(umount2("/tmp", MNT_DETACH));
}


static int new_mount(void) { return done(syscall(SYS_fsopen, "tmpfs", 0)); }
static int new_user(void) { return done(unshare(CLONE_NEWUSER)); }
static int new_network(void) { return done(unshare(CLONE_NEWNET)); }
static int join_namespace(void) { return done(setns(0, 0)) == EINVAL ? 0 : errno; }

static int load_bpf(void)
{
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1 };

	return done(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)));
}

static int make_ring(void)
{
	struct io_uring_params params = { 0 };

	return done(syscall(SYS_io_uring_setup, 4, &params));
}

static int count_events(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .exclude_kernel = 1 };

	return done(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
}

static int handle_faults(void) { return done(syscall(SYS_userfaultfd, 1 /* UFFD_USER_MODE_ONLY */)); }
static int memory_file(void) { return done(memfd_create("x", 0)); }
static int add_key(void) { return done(syscall(SYS_add_key, "user", "x", "y", 1, -3 /* the process's */)); }
static int change_user(void) { return done(setresuid(65534, 65534, 65534)); }
static int raise_limit(void) { return done(setrlimit(RLIMIT_CORE, &(struct rlimit){ 1, 1 })); }
static int dumpable(void) { return done(prctl(PR_SET_DUMPABLE, 1)); }
static int outlive(void) { return done(prctl(PR_SET_PDEATHSIG, 0)); }

static int new_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : 0;
}

static int code_of_data(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : done(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int listen_on_host(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	int r = done(bind(fd, (struct sockaddr *)&at, sizeof(at)));
	if (!r)
		r = done(listen(fd, 1));
	close(fd);
	return r;
}

/* Not refused: it is what the gateway is for. */
static int connect_host(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons((uint16_t)atoi(fact("port"))) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	int r = done(connect(fd, (struct sockaddr *)&to, sizeof(to)));
	close(fd);
	return r;
}

static int crash(void)
{
	__builtin_trap();
}

static const struct {
	const char *name;
	int (*run)(void);
} attempts[] = {
#define A(name) { #name, name }
	A(open_secret), A(open_passwd), A(open_audit), A(open_memory), A(open_environ), A(open_root), A(open_created),
	A(open_how), A(open_tree_of_host), A(list_directory), A(remove_file), A(rename_file), A(make_directory),
	A(make_link), A(change_mode), A(cut_file), A(change_directory), A(change_root), A(run_program),
	A(run_by_descriptor), A(make_child), A(make_raw_child), A(make_child_3), A(attach), A(be_traced), A(read_process),
	A(write_process), A(kill_process), A(kill_thread), A(kill_any_thread), A(queue_signal), A(signal_by_socket),
	A(open_process), A(limit_process), A(slow_process), A(pin_process), A(connect_path), A(connect_abstract),
	A(netlink), A(raw_socket), A(packet_socket), A(mount_something), A(unmount), A(new_mount),
	A(new_user), A(new_network), A(join_namespace), A(load_bpf), A(make_ring), A(count_events), A(handle_faults),
	A(memory_file), A(add_key), A(change_user), A(raise_limit), A(dumpable), A(outlive), A(new_code), A(code_of_data),
	A(listen_on_host), A(connect_host), A(crash),
};

static int run(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		if (strcmp(attempts[i].name, name) == 0) {
			errno = 0;
			return attempts[i].run();
		}
	}
	return -1;
}

bool __wrap_stream_fill(struct stream *s, size_t limit)
{
	bool moved_on = __real_stream_fill(s, limit);
	size_t len = iobuf_len(&s->in);
	char name[64], text[128];

	if (s->ssl || len < 8 || memcmp(iobuf_head(&s->in), "PLANTED ", 8) != 0 || iobuf_head(&s->in)[len - 1] != '\n')
		return moved_on;
	snprintf(facts, sizeof(facts), "%.*s", (int)len, (const char *)iobuf_head(&s->in));
	iobuf_consume(&s->in, len);
	if (sscanf(facts, "PLANTED %63s", name) != 1)
		return moved_on;
	int r = run(name);
	int n = snprintf(text, sizeof(text), "%s %s\n", name, r < 0 ? "unknown" : r ? strerrorname_np(r) : "ok");
	send(s->source.fd, text, (size_t)n, MSG_NOSIGNAL);
	return moved_on;
}

int __wrap_main(int argc, char **argv)
{
	int status;

	if (argc < 2)
		return __real_main(argc, argv);
	for (int i = 1; i < argc; i++)
		snprintf(facts + strlen(facts), sizeof(facts) - strlen(facts), " %s", argv[i]);
	pid_t pid = fork();
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 1 });
		_exit(run(argv[1]));
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		printf("%s SIG%s\n", argv[1], sigabbrev_np(WTERMSIG(status)));
	else
		printf("%s %s\n", argv[1], WEXITSTATUS(status) ? strerrorname_np(WEXITSTATUS(status)) : "ok");
	return 0;
}
