/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program of a call: found by its name, and, when somebody decides about it first, shown before it runs.
 *
 * What was shown is what runs. It is opened once, and described by what the descriptor says; the supervisor then says
 * whether that may run as it is, because nothing in the sandbox can change it, or as a sealed copy in memory, whose
 * digest is that of the very bytes that are executed.
 *
 * This runs in memory that is shared with the sleeping guardian, so it allocates nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "base/wire.h"
#include "namespace/guardian.h"
#include "namespace/lookup.h"
#include "supervisor/protocol.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010u /* Linux 6.3 */
#endif

#define PROGRAM_MAX (1ull << 30) /* bytes that are read or copied to show it */
#define CHUNK (64u * 1024u)

static uint8_t chunk[CHUNK], shown[8192];

struct found {
	int fd;
	bool unreadable;
};

static const char *path_of(char *const *env)
{
	for (; *env; env++)
		if (strncmp(*env, "PATH=", 5) == 0)
			return *env + 5;
	return "/usr/local/bin:/usr/bin:/bin";
}

static int program_search(const struct call_request *q, int (*try)(const char *file, void *arg), void *arg)
{
	char file[4096];
	const char *name = q->argv[0];
	int best = ENOENT;

	if (strchr(name, '/'))
		return try(name, arg);
	for (const char *dir = path_of(q->env); *name; dir++) {
		size_t n = strcspn(dir, ":");
		int len = snprintf(file, sizeof(file), "%.*s/%s", (int)n, n ? dir : ".", name);
		if (n == 0)
			len = snprintf(file, sizeof(file), "./%s", name);
		if (len > 0 && (size_t)len < sizeof(file)) {
			int err = try(file, arg);
			if (err != ENOENT && err != ENOTDIR && err != EACCES)
				return err;
			if (err == EACCES)
				best = EACCES;
		}
		dir += n;
		if (!*dir)
			break;
	}
	return best;
}

static int try_open(const char *file, void *arg)
{
	struct found *f = arg;
	struct stat st;

	_cleanup_close_ int fd = open(file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && errno == EACCES)
		f->unreadable |= faccessat(AT_FDCWD, file, X_OK, AT_EACCESS) == 0;
	if (fd < 0)
		return errno == ENXIO ? EACCES : errno; /* a socket: not a program either */
	if (fstat(fd, &st) < 0)
		return errno;
	if (!S_ISREG(st.st_mode) || faccessat(fd, "", X_OK, AT_EACCESS | AT_EMPTY_PATH) < 0)
		return EACCES;
	f->fd = TAKE_FD(fd);
	return 0;
}

/* Where the file is inside. Through a magic link (/proc/self/fd/N) it may be one that has no path here, or another than
 * what the path leads to: the path has to lead to this very file, without any link. */
static int find_path(struct program *p)
{
	char link[64];
	struct stat st, there;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", p->file);
	ssize_t n = readlink(link, p->path, sizeof(p->path) - 1);
	if (n <= 0 || (size_t)n >= sizeof(p->path) - 1)
		return -ENAMETOOLONG;
	p->path[n] = '\0';
	_cleanup_close_ int fd = lookup_without_links(p->path);
	if (fd < 0)
		return fd;
	if (fstat(fd, &there) < 0 || fstat(p->file, &st) < 0)
		return -errno;
	return there.st_dev == st.st_dev && there.st_ino == st.st_ino ? 0 : -ENOENT;
}

static int look_up(const struct call_request *q, struct program *p, struct error *e)
{
	const char *name = q->argv[0];
	struct found f = { .fd = -EBADF };

	int err = program_search(q, try_open, &f);
	if (f.unreadable)
		return fail(e, EACCES, SANDBOX_STAGE_EXEC, name,
			    "%s may be executed and not read, so it cannot be shown to the auditor", name);
	if (err == ENOENT || err == ENOTDIR)
		return fail(e, ENOENT, SANDBOX_STAGE_EXEC, name, "%s was not found inside the sandbox", name);
	if (err)
		return fail_errno(e, err, SANDBOX_STAGE_EXEC, name, "cannot execute %s inside the sandbox", name);
	p->file = f.fd;
	int r = find_path(p);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_EXEC, name, "cannot tell where %s is inside the sandbox", name) : 0;
}

static bool is_script(int fd)
{
	char magic[2];

	return pread(fd, magic, sizeof(magic), 0) == 2 && magic[0] == '#' && magic[1] == '!';
}

/* What identifies the bytes of the file, and whether nobody in the sandbox can change them. */
static int describe(const struct program *p, struct expected *ret, bool *ret_fixed)
{
	struct statvfs vfs;
	struct stat st;

	if (fstat(p->file, &st) < 0 || fstatvfs(p->file, &vfs) < 0)
		return -errno;
	/* Who owns a file can always make it writable for himself, by another of its names too. */
	bool writable = st.st_uid == geteuid() || st.st_mode & (S_IWGRP | S_IWOTH);
	*ret_fixed = (vfs.f_flag & ST_RDONLY) && (!writable || st.st_nlink == 1);
	*ret = (struct expected){ .path = p->path, .dev = st.st_dev, .ino = st.st_ino, .size = (uint64_t)st.st_size,
				  .ctime_ns = (uint64_t)st.st_ctim.tv_sec * 1000000000u + (uint64_t)st.st_ctim.tv_nsec };
	return 0;
}

/* What the descriptor refers to, with the digest of its bytes once they were read. */
static int send_shown(const struct program *p, const uint8_t *digest)
{
	struct buf m = { .data = shown, .cap = sizeof(shown) }; /* never grows: PATH_MAX and a few numbers */
	struct expected x;
	bool fixed;

	int r = describe(p, &x, &fixed);
	if (r < 0)
		return r;
	wire_put_u32(&m, GUARDIAN_SHOWN);
	wire_put_str(&m, x.path);
	wire_put_u8(&m, fixed);
	wire_put_u8(&m, is_script(p->file));
	wire_put_u64(&m, x.dev);
	wire_put_u64(&m, x.ino);
	wire_put_u64(&m, x.size);
	wire_put_u64(&m, x.ctime_ns);
	wire_put_bytes(&m, digest, digest ? SHA256_DIGEST_SIZE : 0);
	return msg_send(GUARDIAN_SOCKET, m.data, m.len, NULL, 0);
}

static int copy(int from, int to)
{
	uint64_t total = 0;
	ssize_t n;

	while ((n = read(from, chunk, sizeof(chunk))) > 0) {
		total += (uint64_t)n;
		if (total > PROGRAM_MAX)
			return -EFBIG;
		for (ssize_t done = 0, w; done < n; done += w) {
			w = write(to, chunk + done, (size_t)(n - done));
			if (w < 0)
				return -errno;
		}
	}
	return n < 0 ? -errno : 0;
}

/* From here on the file may change as it likes. */
static int seal(struct program *p)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;

	_cleanup_close_ int to = (int)memfd_create("program", flags | MFD_EXEC);
	if (to < 0 && errno == EINVAL)
		to = (int)memfd_create("program", flags); /* always executable, before Linux 6.3 */
	if (to < 0)
		return -errno;
	int r = copy(p->file, to);
	if (r < 0)
		return r;
	/* Not through this descriptor: a file that is open for writing cannot be executed. */
	char link[64];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", to);
	if (fcntl(to, F_ADD_SEALS, seals) < 0 || (p->fd = open(link, O_RDONLY | O_CLOEXEC)) < 0)
		return -errno;
	return 0;
}

static int digest_of(int fd, uint8_t digest[SHA256_DIGEST_SIZE])
{
	struct sha256_ctx sha;
	uint64_t at = 0;
	ssize_t n;

	sha256_init(&sha);
	while ((n = pread(fd, chunk, sizeof(chunk), (off_t)at)) > 0) {
		sha256_update(&sha, (size_t)n, chunk);
		at += (uint64_t)n;
		if (at > PROGRAM_MAX)
			return -EFBIG;
	}
	sha256_digest(&sha, SHA256_DIGEST_SIZE, digest);
	return n < 0 ? -errno : 0;
}

static int read_program(struct program *p, bool copied, struct error *e)
{
	uint8_t digest[SHA256_DIGEST_SIZE];

	int r = copied ? seal(p) : 0;
	if (r == 0)
		r = digest_of(p->fd, digest);
	if (r == -EFBIG)
		return fail(e, EFBIG, SANDBOX_STAGE_AUDITOR, p->path,
			    "%s is over %llu MiB, too large to be shown to the auditor", p->path, PROGRAM_MAX >> 20);
	if (r == 0)
		r = send_shown(p, digest);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_AUDITOR, p->path, "cannot show %s to the auditor", p->path) : 0;
}

int program_show(struct call_request *q, struct program *p, struct error *e)
{
	bool copied = false;

	int r = look_up(q, p, e);
	if (r < 0)
		return r;
	p->fd = p->file;
	r = send_shown(p, NULL);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_AUDITOR, p->path, "cannot show %s to the auditor", p->path);
	while ((r = program_message_receive(q, &copied, &p->by_path)) == GUARDIAN_PROGRAM) {
		/* Once: a second copy would be of other bytes. */
		if (p->fd != p->file)
			return fail(e, EPROTO, SANDBOX_STAGE_PROTOCOL, p->path, "%s was asked for twice", p->path);
		r = read_program(p, copied, e);
		if (r < 0)
			return r;
	}
	if (r != GUARDIAN_GO)
		return fail(e, ECANCELED, SANDBOX_STAGE_AUDITOR, q->argv[0], "%s is not to run", q->argv[0]);
	return 0;
}

int program_expect(const struct call_request *q, struct program *p, struct error *e)
{
	const struct expected *want = &q->expected;
	struct expected x = { 0 };
	bool fixed = false;

	int r = look_up(q, p, e);
	if (r < 0)
		return r;
	r = describe(p, &x, &fixed);
	if (r < 0 || !fixed || strcmp(x.path, want->path) != 0 || x.dev != want->dev || x.ino != want->ino ||
	    x.size != want->size || x.ctime_ns != want->ctime_ns)
		return fail(e, ESTALE, SANDBOX_STAGE_AUDITOR, p->path, "%s is not what was decided about", p->path);
	p->by_path = true;
	return 0;
}

static int try_execute(const char *file, void *arg)
{
	const struct call_request *q = arg;

	execve(file, q->argv, q->env);
	return errno;
}

int program_execute(struct call_request *q, const struct program *p)
{
	if (!(q->flags & (START_SHOW | START_EXPECT)))
		return program_search(q, try_execute, q);
	if (p->by_path)
		return try_execute(p->path, q);
	/* The interpreter of a script opens it as /dev/fd/N, so that has to be there. */
	if (p->fd != p->file && is_script(p->fd) && fcntl(p->fd, F_SETFD, 0) < 0)
		return errno;
	syscall(SYS_execveat, p->fd, "", q->argv, q->env, AT_EMPTY_PATH);
	return errno;
}
