/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nsbox watch: inside of a sandbox, run a command and note which paths it and its children name (nsbox run --learn).
 *
 * Theory of operation. The command gets one more seccomp filter, whose only verdict is to tell this process, its parent,
 * of system calls that name a path; each is answered with "go on", so nothing is decided here and the filters of the
 * sandbox hold as before (of several verdicts the kernel takes the stricter one). The name is read from the memory of
 * whoever called, made absolute, and written down with what it is for and whether something is there inside: before the
 * call happens, so that what the command makes itself is not taken for what it was given.
 *
 * What is written down is what the command wants to have written down: it can end this process, change the name after it
 * was read, and name whatever it likes. It is material for a proposal, and decides about nothing.
 */
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/util.h"
#include "base/wire.h"
#include "nsbox.h"
#include "watch_calls.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5) /* Linux 5.19 */
#endif

#define SLOTS (4u * WATCH_MAX_RECORDS)

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

static const struct option own_options[] = {
	{ .id = OPTION_OWN, .name = "show", .value = "FILE", .help = "print what was written down" },
	{ 0 },
};

struct watch {
	int out, listener, command; /* the record; who names paths; pidfd */
	char workdir[WATCH_MAX_PATH];
	char *record[SLOTS]; /* a hash table of what is written down */
	size_t n;
	bool full;
};

/* ---- the filter, in the process that becomes the command ---- */

static int install_filter(void)
{
	struct sock_filter code[WATCH_MAX_CALLS + 6];
	size_t n = 0, calls = watch_n_calls;

	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	/* Other entries are refused by the sandbox's own filter. */
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 0, (uint8_t)(calls + 1));
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < calls; i++)
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)watch_calls[i].number,
							 (uint8_t)(calls - i), 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	const struct sock_fprog program = { (unsigned short)n, code };
	unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
	/* Signals come late then, and not as an interruption of the call: a runtime that sends many would never get on. */
	int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);
	if (fd < 0 && errno == EINVAL)
		fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	return fd < 0 ? -errno : fd;
}

/* Two messages at most: the listener, and the errno when the command could not be executed. */
static _Noreturn void become(char **argv, int sock, const sigset_t *mask)
{
	int fd = install_filter();
	int32_t err = fd < 0 ? -fd : 0;

	if (msg_send(sock, &err, sizeof(err), &fd, fd < 0 ? 0 : 1) < 0 || fd < 0)
		_exit(EXIT_NSBOX);
	close(fd);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(argv[0], argv);
	err = errno;
	msg_send(sock, &err, sizeof(err), NULL, 0);
	_exit(err == ENOENT || err == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

/* ---- writing down ---- */

static uint32_t hash(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h;
}

static enum watch_state look(const char *path)
{
	char dir[WATCH_MAX_PATH];
	struct stat st;

	if (lstat(path, &st) == 0)
		return WATCH_THERE;
	snprintf(dir, sizeof(dir), "%s", path);
	char *slash = strrchr(dir, '/');
	slash[slash == dir] = '\0';
	return stat(dir, &st) == 0 ? WATCH_MISSING : WATCH_NOWHERE;
}

static bool below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return n > 0 && strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static bool below_any(const char *path, const char *const *dirs)
{
	while (*dirs && !below(path, *dirs))
		dirs++;
	return *dirs != NULL;
}

/* What every sandbox has would fill the record with what nobody asks about. */
static bool is_plain_use(const struct watch *w, enum watch_use use, enum watch_state state, const char *path)
{
	static const char *const systems[] = { "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", NULL };

	return use != WATCH_WRITE && state == WATCH_THERE && (below_any(path, systems) || below(path, w->workdir));
}

static void write_down(struct watch *w, enum watch_use use, const char *path)
{
	const char full[] = { WATCH_FULL, '\0' };
	char line[WATCH_MAX_PATH + 4];
	static const char *const kernels[] = { "/proc", "/sys", "/dev", NULL };

	if (below_any(path, kernels))
		return;
	enum watch_state state = look(path);
	int len = snprintf(line, sizeof(line), "%c%c%s", use, state, path);
	uint32_t at = hash(line) % SLOTS;

	while (w->record[at] && strcmp(w->record[at], line) != 0)
		at = (at + 1) % SLOTS;
	if (w->record[at] || w->full || is_plain_use(w, use, state, path))
		return;
	w->full = w->n == WATCH_MAX_RECORDS;
	w->record[at] = w->full ? NULL : strdup(line);
	w->n++;
	/* What does not fit is said, once. */
	if (write_all(w->out, w->full ? full : line, w->full ? sizeof(full) : (size_t)len + 1) < 0)
		w->full = true;
}

/* A name from the memory of a stopped thread. It ends with its page at the latest where the next one is not there. */
static bool read_name(int memory, uint64_t at, char name[WATCH_MAX_PATH])
{
	size_t n = 0;

	while (n < WATCH_MAX_PATH) {
		size_t chunk = 4096 - (at + n) % 4096;
		if (chunk > WATCH_MAX_PATH - n)
			chunk = WATCH_MAX_PATH - n;
		ssize_t got = pread(memory, name + n, chunk, (off_t)(at + n));
		if (got <= 0)
			return false;
		if (memchr(name + n, '\0', (size_t)got))
			return true;
		n += (size_t)got;
	}
	return false;
}

/* Collapse "//", "/./" and "/../". By the letter: what a link on the way leads to is found out by who reads this. */
static bool make_absolute(pid_t tid, int dir, const char *name, char path[WATCH_MAX_PATH])
{
	char link[64];
	size_t n = 0;

	if (name[0] != '/') {
		if (dir == AT_FDCWD)
			snprintf(link, sizeof(link), "/proc/%d/cwd", tid);
		else
			snprintf(link, sizeof(link), "/proc/%d/fd/%d", tid, dir);
		ssize_t got = readlink(link, path, WATCH_MAX_PATH - 1);
		if (got <= 0 || path[0] != '/')
			return false;
		n = got == 1 ? 0 : (size_t)got;
	}
	while (*name) {
		size_t len = strcspn(name, "/");
		if (len == 2 && name[0] == '.' && name[1] == '.') {
			while (n > 0 && path[--n] != '/')
				;
		} else if (len > 0 && !(len == 1 && name[0] == '.')) {
			if (n + 1 + len >= WATCH_MAX_PATH)
				return false;
			path[n++] = '/';
			memcpy(path + n, name, len);
			n += len;
		}
		name += len + (name[len] == '/');
	}
	if (n == 0)
		path[n++] = '/';
	path[n] = '\0';
	return true;
}

static enum watch_use use_of(const struct watch_call *call, const __u64 *args)
{
	if (call->flags < 0)
		return call->use;
	__u64 flags = args[call->flags];
	if ((flags & O_PATH) == O_PATH)
		return WATCH_LOOK;
	if ((flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC))
		return WATCH_WRITE;
	return flags & O_DIRECTORY ? WATCH_LIST : call->use;
}

static void note(struct watch *w, const struct seccomp_notif *notif, const struct watch_call *call)
{
	char file[64], name[WATCH_MAX_PATH], path[WATCH_MAX_PATH];
	const __u64 *args = notif->data.args;

	snprintf(file, sizeof(file), "/proc/%u/mem", notif->pid);
	_cleanup_close_ int memory = open(file, O_RDONLY | O_CLOEXEC);
	if (memory < 0 || !read_name(memory, args[call->name], name) || !name[0])
		return;
	if (!make_absolute((pid_t)notif->pid, call->dir < 0 ? AT_FDCWD : (int)args[call->dir], name, path))
		return;
	/* Only now it is known that all of this was of the one that called, and not of a later one with its number. */
	if (ioctl(w->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &notif->id) < 0)
		return;
	write_down(w, use_of(call, args), path);
}

/* False when nobody is left who could name a path. */
static bool answer_one(struct watch *w)
{
	struct seccomp_notif notif = { 0 };

	if (ioctl(w->listener, SECCOMP_IOCTL_NOTIF_RECV, &notif) < 0)
		return errno == EINTR || errno == ENOENT;
	for (size_t i = 0; i < watch_n_calls; i++) {
		if (watch_calls[i].number == notif.data.nr)
			note(w, &notif, &watch_calls[i]);
	}
	struct seccomp_notif_resp answer = { .id = notif.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
	ioctl(w->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	return true;
}

/* ---- the life of the command ---- */

/* Until the command has ended. */
static void watch(struct watch *w, int sock, int32_t *ret_err)
{
	struct pollfd p[] = { { .fd = w->command, .events = POLLIN }, { .fd = w->listener, .events = POLLIN },
			      { .fd = sock, .events = POLLIN } };

	while (!(p[0].revents & POLLIN)) {
		if (poll(p, ARRAY_LEN(p), -1) < 0 && errno != EINTR)
			return;
		if (p[1].revents && (!(p[1].revents & POLLIN) || !answer_one(w)))
			p[1].fd = -1;
		/* Its end: the command is executed. */
		if (p[2].revents && msg_recv(sock, ret_err, sizeof(*ret_err), NULL, 0, NULL) != sizeof(*ret_err))
			p[2].fd = -1;
	}
}

/* As the command ended, so does this: whoever waits sees no difference. */
static int end_as(const siginfo_t *info)
{
	const struct rlimit none = { 0 };
	sigset_t mask;

	if (info->si_code == CLD_EXITED)
		return info->si_status;
	setrlimit(RLIMIT_CORE, &none);
	signal(info->si_status, SIG_DFL);
	sigemptyset(&mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	raise(info->si_status);
	return 128 + info->si_status;
}

static int start(struct watch *w, char **argv, int *ret_sock)
{
	sigset_t all, old;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return refuse("cannot make a socket: %s", strerrordesc_np(errno));
	/* Signals go to the process group: they are the command's. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid_t pid = fork();
	if (pid == 0)
		become(argv, pair[1], &old);
	close(pair[1]);
	_cleanup_close_ int sock = pair[0];
	if (pid < 0)
		return refuse("cannot make a process: %s", strerrordesc_np(errno));
	/* A watch that was killed must not leave a command that waits for it for ever. */
	w->command = (int)syscall(SYS_pidfd_open, pid, 0);
	int32_t err = 0;
	size_t n = 0;
	if (w->command < 0 || msg_recv(sock, &err, sizeof(err), &w->listener, 1, &n) != sizeof(err) || n != 1)
		return refuse("cannot watch the command: %s", strerrordesc_np(err ? err : errno));
	*ret_sock = TAKE_FD(sock);
	return 0;
}

static int watch_command(char **argv, int out)
{
	static struct watch w;
	_cleanup_close_ int sock = -EBADF;
	int32_t err = 0;
	siginfo_t info;

	w.out = out;
	/* "": nowhere that has a name */
	if (!getcwd(w.workdir, sizeof(w.workdir)) || w.workdir[0] != '/' || !w.workdir[1])
		w.workdir[0] = '\0';
	int r = start(&w, argv, &sock);
	if (r)
		return r;
	watch(&w, sock, &err);
	if (waitid(P_PIDFD, (id_t)w.command, &info, WEXITED) < 0)
		return refuse("cannot wait for the command: %s", strerrordesc_np(errno));
	if (err)
		say(err == ENOENT || err == ENOTDIR ? "%s was not found inside the sandbox" :
						      "cannot execute %s inside the sandbox: %s",
		    argv[0], strerrordesc_np(err));
	return end_as(&info);
}

/* For a second call, since nothing else that is inside is sure to end: anything may be in the place of the file by now. */
static int show(const char *file)
{
	_cleanup_close_ int fd = open(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char chunk[65536];
	struct stat st;
	ssize_t n = 0;
	int r = 0;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return refuse("%s is not there any more", file);
	for (size_t all = 0; all < WATCH_MAX_BYTES && r == 0 && (n = read(fd, chunk, sizeof(chunk))) > 0; all += (size_t)n)
		r = write_all(STDOUT_FILENO, chunk, (size_t)n);
	return n < 0 || r < 0 ? refuse("cannot read %s: %s", file, strerrordesc_np(r < 0 ? -r : errno)) : EXIT_YES;
}

static int run_watch(const struct command *self, int argc, char **argv)
{
	struct option_reader r = { .command = self, .argc = argc, .argv = argv };
	const char *shown = NULL;
	int id;

	while ((id = option_next(&r)) != OPTIONS_END) {
		if (id == OPTION_BAD)
			return EXIT_NSBOX;
		if (id == OPTION_HELP)
			return help_print(self);
		shown = r.value;
	}
	if (shown && r.at == argc)
		return show(shown);
	if (shown || argc - r.at < 2)
		return refuse("nsbox watch needs a new file for what it sees, and a command: nsbox watch FILE COMMAND [ARGUMENTS]");
	_cleanup_close_ int out = open(argv[r.at], O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0)
		return refuse("cannot make %s: %s", argv[r.at], strerrordesc_np(errno));
	return watch_command(argv + r.at + 1, out);
}

const struct command command_watch = {
	.name = "watch",
	.arguments = "FILE COMMAND [ARGUMENTS] | --show FILE",
	.summary = "inside of a sandbox: run COMMAND and write down in FILE which paths it names (nsbox run --learn)",
	.options = (const struct option *const[]){ own_options, NULL },
	.run = run_watch,
};
