/* SPDX-License-Identifier: Apache-2.0 */
/* An archive from inside as a tree on the host. Every byte of it may be the attacker's. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive.h"
#include "base/util.h"
#include "nsbox.h"

struct reader {
	int in, dir; /* dir: where the tree is made */
	const char *name, *top;
	unsigned long made, left_out;
	char path[ARCHIVE_NAME_MAX + 1], link[ARCHIVE_NAME_MAX + 1]; /* of the next entry, "": in its header */
};

/* The file that is being made, for a signal that ends us. */
static volatile struct unfinished {
	int dir;
	const char *name;
} unfinished = { -1, NULL };

static void end_by_signal(int number)
{
	if (unfinished.name)
		unlinkat(unfinished.dir, unfinished.name, 0);
	/* Blocked until we return, and then it ends us. */
	raise(number);
}

static void take_signals(void)
{
	static const int numbers[] = { SIGHUP, SIGINT, SIGTERM };
	struct sigaction now, end = { .sa_handler = end_by_signal, .sa_flags = (int)SA_RESETHAND };

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		if (sigaction(numbers[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL)
			sigaction(numbers[i], &end, NULL);
	}
}

/* Exactly len bytes, or 0 at the end before the first; -errno. */
static ssize_t read_full(int fd, void *to, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)to + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return done ? -EPROTO : 0;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* Octal digits, ended by a blank, a NUL or the field. */
static bool number(const char *field, size_t len, uint64_t *ret)
{
	size_t i = 0;

	*ret = 0;
	for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
		*ret = *ret << 3 | (uint64_t)(field[i] - '0');
	return i > 0 && (i == len || field[i] == ' ' || field[i] == '\0');
}

/* Name and link of an entry, where none came before it. Of GNU's own format ("ustar " with a blank) the prefix is no
 * name. */
static void take_names(struct reader *r, const struct archive_header *h)
{
	int prefix = h->magic[5] ? 0 : (int)strnlen(h->prefix, sizeof(h->prefix));

	if (!r->path[0])
		snprintf(r->path, sizeof(r->path), "%.*s%s%.*s", prefix, h->prefix, prefix ? "/" : "",
			 (int)strnlen(h->name, sizeof(h->name)), h->name);
	if (!r->link[0])
		snprintf(r->link, sizeof(r->link), "%.*s", (int)strnlen(h->link, sizeof(h->link)), h->link);
	size_t n = strlen(r->path);
	while (n > 1 && r->path[n - 1] == '/')
		r->path[--n] = '\0';
}

/* The data of an entry that names the next one. */
static int take_long(struct reader *r, char *to, uint64_t size)
{
	char rest[ARCHIVE_BLOCK];
	size_t odd = (size_t)(size % ARCHIVE_BLOCK);

	if (size == 0 || size > ARCHIVE_NAME_MAX || read_full(r->in, to, (size_t)size) <= 0 ||
	    (odd && read_full(r->in, rest, ARCHIVE_BLOCK - odd) <= 0))
		return refuse("the copy ends: what came is no archive of tar");
	to[size] = '\0';
	return 0;
}

/* The directory that the last part of path is in, opened part by part, and that part. The first part is the tree's own
 * name. -1 (said) when it is none of the tree. */
static int open_parent(const struct reader *r, char *path, const char **ret_last, unsigned *ret_depth)
{
	int dir = fcntl(r->dir, F_DUPFD_CLOEXEC, 3);
	unsigned depth = 0;

	for (char *part = path, *slash; dir >= 0; part = slash + 1, depth++) {
		slash = strchr(part, '/');
		if (slash)
			*slash = '\0';
		if (!*part || strcmp(part, ".") == 0 || strcmp(part, "..") == 0 || depth > ARCHIVE_DEPTH_MAX ||
		    (depth == 0 && strcmp(part, r->top) != 0)) {
			say("the copy ends: it names something outside of itself, at %s", part);
			break;
		}
		const char *as = depth ? part : r->name;
		if (!slash) {
			*ret_last = as;
			*ret_depth = depth;
			return dir;
		}
		int next = openat(dir, as, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			say("the copy ends: %s is no directory on the host (a link is not followed)", as);
		close(dir);
		dir = next;
	}
	if (dir >= 0)
		close(dir);
	return -1;
}

/* A link that stays in the tree: up at its beginning only, where the directories are real ones, and not above the top. */
static bool link_stays(const char *target, unsigned depth)
{
	unsigned up = 0;
	bool down = false;

	if (!depth || !*target || target[0] == '/')
		return false;
	for (size_t n; *target; target += n + (target[n] == '/')) {
		n = strcspn(target, "/");
		if (n == 2 && target[0] == '.' && target[1] == '.') {
			if (down || ++up >= depth)
				return false;
		} else if (n && !(n == 1 && target[0] == '.')) {
			down = true;
		}
	}
	return true;
}

/* Made under another name and moved into place: an old file, or a link in its place, is replaced and never written
 * through. */
static int place(int dir, const char *aside, const char *name)
{
	if (renameat(dir, aside, dir, name) == 0)
		return 0;
	int err = errno;
	unlinkat(dir, aside, 0);
	return refuse("cannot replace %s: %s", name, strerrordesc_np(err));
}

static int make_file(struct reader *r, int dir, const char *name, const char *aside, mode_t mode, uint64_t size)
{
	_cleanup_close_ int fd = openat(dir, aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	char data[65536];
	int status = fd < 0 ? refuse("cannot make %s: %s", name, strerrordesc_np(errno)) : 0;

	for (uint64_t left = size; left && status == 0;) {
		size_t want = left < sizeof(data) ? (size_t)left : sizeof(data);
		ssize_t n = read_full(r->in, data, want);
		int w = n > 0 ? write_all(fd, data, want) : 0;
		if (n <= 0 || w < 0)
			status = refuse("cannot copy %s: %s", name, n <= 0 ? "the archive ends in it" : strerrordesc_np(-w));
		left -= want;
	}
	size_t odd = (size_t)(size % ARCHIVE_BLOCK);
	if (status == 0 && odd && read_full(r->in, data, ARCHIVE_BLOCK - odd) <= 0)
		status = refuse("cannot copy %s: the archive ends in it", name);
	/* Never set-user-ID: the content is not the user's. */
	if (status == 0 && fchmod(fd, mode & 0777) < 0)
		status = refuse("cannot set the mode of %s: %s", name, strerrordesc_np(errno));
	if (status && fd >= 0)
		unlinkat(dir, aside, 0);
	return status ? status : place(dir, aside, name);
}

static int make_directory(int dir, const char *name, mode_t mode)
{
	struct stat st;

	if (mkdirat(dir, name, (mode & 0777) | 0700) == 0)
		return 0;
	if (errno == EEXIST && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		return 0;
	return refuse("cannot make the directory %s: %s", name, strerrordesc_np(errno));
}

static int make_link(struct reader *r, int dir, const char *name, const char *aside, unsigned depth)
{
	const char *target = r->link;

	if (!link_stays(target, depth)) {
		r->left_out++;
		say("%s is left out: it is a link to %s, out of what is copied", name, target);
		return 0;
	}
	if (symlinkat(target, dir, aside) < 0)
		return refuse("cannot make the link %s: %s", name, strerrordesc_np(errno));
	return place(dir, aside, name);
}

static int make_at(struct reader *r, char type, mode_t mode, uint64_t size)
{
	char aside[64];
	const char *name = "";
	unsigned depth = 0;

	_cleanup_close_ int dir = open_parent(r, r->path, &name, &depth);
	if (dir < 0)
		return EXIT_NSBOX;
	snprintf(aside, sizeof(aside), ".nsbox-cp.%d.%lu", (int)getpid(), r->made);
	switch (type) {
	case '0':
		unfinished = (struct unfinished){ dir, aside };
		int status = make_file(r, dir, name, aside, mode, size);
		unfinished = (struct unfinished){ -1, NULL };
		return status;
	case '5':
		return make_directory(dir, name, mode);
	case '2':
		return make_link(r, dir, name, aside, depth);
	default:
		r->left_out++;
		say("%s is left out: it is no file, directory or link", name);
		return 0;
	}
}

static int make_entry(struct reader *r, const struct archive_header *h)
{
	bool names = h->type == 'L' || h->type == 'K';
	uint64_t mode, size;

	if (++r->made > ARCHIVE_ENTRIES_MAX)
		return refuse("the copy ends: more than %u files", ARCHIVE_ENTRIES_MAX);
	if (!number(h->mode, sizeof(h->mode), &mode) || !number(h->size, sizeof(h->size), &size) ||
	    (h->type != '0' && !names && size))
		return refuse("the copy ends: what came is no archive of tar");
	if (names)
		return take_long(r, h->type == 'L' ? r->path : r->link, size);
	take_names(r, h);
	int status = make_at(r, h->type, (mode_t)mode, size);
	r->path[0] = r->link[0] = '\0';
	return status;
}

int archive_read(int in, int dir, const char *name, const char *top)
{
	struct reader r = { .in = in, .dir = dir, .name = name, .top = top };
	struct archive_header h;
	uint64_t sum;

	take_signals();
	for (;;) {
		ssize_t n = read_full(in, &h, sizeof(h));
		if (n == 0 && r.made == 0)
			return EXIT_NSBOX; /* tar has said why */
		/* A block of zeros ends it. */
		if (n > 0 && !h.name[0])
			return r.made ? archive_end(r.left_out) : refuse("nothing came");
		if (n <= 0 || memcmp(h.magic, "ustar", 5) != 0 || !number(h.checksum, sizeof(h.checksum), &sum) ||
		    sum != archive_checksum(&h))
			return refuse("the copy ends: what came is no archive of tar");
		int status = make_entry(&r, &h);
		if (status)
			return status;
	}
}
