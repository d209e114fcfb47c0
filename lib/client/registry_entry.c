/* SPDX-License-Identifier: Apache-2.0 */
/* One entry of the registry: what it says, and its life as files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/util.h"
#include "client/registry.h"
#include "client/state.h"

#define INFO_FORMAT "1"
#define INFO_MAX 16384u

void entry_clear(struct entry *entry)
{
	free(entry->workdir);
	free(entry->socket_dir);
	free(entry->audit);
	*entry = (struct entry){ 0 };
}

/* Lines "key value": each key once, nothing else, so that half a file or another version's is never taken for one. */
struct field {
	const char *key;
	char *text; /* fixed room of this size, or */
	size_t size;
	char **fresh; /* a string of any length */
	bool seen;
};

static int take_line(struct field *fields, size_t n, char *line)
{
	char *space = strchr(line, ' ');

	if (!space)
		return -EBADMSG;
	*space = '\0';
	for (size_t i = 0; i < n; i++) {
		struct field *f = &fields[i];
		if (strcmp(f->key, line) != 0)
			continue;
		if (f->seen || (f->text && strlen(space + 1) >= f->size))
			return -EBADMSG;
		f->seen = true;
		if (f->text) {
			memcpy(f->text, space + 1, strlen(space + 1) + 1);
			return 0;
		}
		*f->fresh = strdup(space + 1);
		return *f->fresh ? 0 : -ENOMEM;
	}
	return -EBADMSG;
}

static int parse_info(char *text, struct entry *ret)
{
	char format[8], pid[16], ready[8];
	struct field fields[] = {
		{ "format", format, sizeof(format), NULL, false },
		{ "name", ret->name, sizeof(ret->name), NULL, false },
		{ "id", ret->id, sizeof(ret->id), NULL, false },
		{ "pid", pid, sizeof(pid), NULL, false },
		{ "created", ret->created, sizeof(ret->created), NULL, false },
		{ "net", ret->net, sizeof(ret->net), NULL, false },
		{ "ready", ready, sizeof(ready), NULL, false },
		{ "workdir", NULL, 0, &ret->workdir, false },
		{ "socket_dir", NULL, 0, &ret->socket_dir, false },
		{ "audit", NULL, 0, &ret->audit, false },
	};
	char *end;

	while (*text) {
		end = strchr(text, '\n');
		if (!end)
			return -EBADMSG;
		*end = '\0';
		int r = take_line(fields, ARRAY_LEN(fields), text);
		if (r < 0)
			return r;
		text = end + 1;
	}
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (!fields[i].seen)
			return -EBADMSG;
	}
	long number = strtol(pid, &end, 10);
	if (strcmp(format, INFO_FORMAT) != 0 || *end || number < 0 || !name_valid(ret->name) || !name_valid(ret->id) ||
	    ret->socket_dir[0] != '/')
		return -EBADMSG;
	ret->pid = (pid_t)number;
	ret->ready = strcmp(ready, "1") == 0;
	return 0;
}

int entry_read(int dir, struct entry *ret)
{
	char text[INFO_MAX + 1];

	*ret = (struct entry){ 0 };
	_cleanup_close_ int fd = openat(dir, "info", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? -ENOENT : -EBADMSG;
	ssize_t n = read(fd, text, sizeof(text));
	if (n < 0 || (size_t)n == sizeof(text) || memchr(text, '\0', (size_t)n))
		return -EBADMSG;
	text[n] = '\0';
	int r = parse_info(text, ret);
	if (r < 0)
		entry_clear(ret);
	return r;
}

int entry_write(int dir, const struct entry *entry, struct error *e)
{
	_cleanup_buf_ struct buf b = { 0 };

	if (strchr(entry->workdir, '\n') || strchr(entry->socket_dir, '\n') || strchr(entry->audit, '\n'))
		return fail(e, EINVAL, SANDBOX_STAGE_USAGE, entry->name, "a path of a named sandbox must have no line break");
	int r = buf_printf(&b,
			   "format " INFO_FORMAT "\nname %s\nid %s\npid %d\ncreated %s\nnet %s\nready %d\nworkdir %s\n"
			   "socket_dir %s\naudit %s\n",
			   entry->name, entry->id, (int)entry->pid, entry->created, entry->net, entry->ready, entry->workdir,
			   entry->socket_dir, entry->audit);
	if (r == 0 && b.len > INFO_MAX)
		r = -ENAMETOOLONG;
	/* Written aside and renamed: a reader sees all of it or what was there before. Only the holder of the entry's lock
	 * writes, so the name aside is free. */
	_cleanup_close_ int fd = r < 0 ? -EBADF :
					 openat(dir, "info.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (r == 0 && fd < 0)
		r = -errno;
	if (r == 0 && write(fd, b.data, b.len) != (ssize_t)b.len)
		r = errno ? -errno : -ENOSPC;
	if (r == 0 && renameat(dir, "info.new", dir, "info") < 0)
		r = -errno;
	return r == 0 ? 0 : fail_errno(e, -r, SANDBOX_STAGE_USAGE, entry->name, "cannot write the entry of sandbox %s",
				       entry->name);
}

void entry_remove(int parent, int dir, const char *name)
{
	static const char *const files[] = { "output", "info.new", "info", "lock" };
	_cleanup_free_ char *fallback = NULL;
	char socket_name[NAME_MAX_BYTES + 8];
	struct error ignored;
	struct entry entry;

	int r = entry_read(dir, &entry);
	if (r < 0)
		state_socket_path(&fallback, &ignored);
	const char *path = r == 0 ? entry.socket_dir : fallback;
	_cleanup_close_ int sockets = path ? state_socket_open(path, false, &ignored) : -EBADF;
	snprintf(socket_name, sizeof(socket_name), "%s.sock", name);
	if (sockets >= 0)
		unlinkat(sockets, socket_name, 0);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		unlinkat(dir, files[i], 0);
	unlinkat(parent, name, AT_REMOVEDIR);
	if (r == 0)
		entry_clear(&entry);
}

void place_close(int place[_PLACE_MAX])
{
	for (int i = 0; i < _PLACE_MAX; i++)
		fd_close(TAKE_FD(place[i]));
}

static int fill_place(struct registry *r, struct entry *entry, int place[_PLACE_MAX], struct error *e)
{
	place[PLACE_ENTRY] = above_stdio(openat(r->dir, entry->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
	if (place[PLACE_ENTRY] < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_USAGE, entry->name, "cannot open the entry of sandbox %s", entry->name);
	place[PLACE_LOCK] = above_stdio(openat(place[PLACE_ENTRY], "lock", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
	if (place[PLACE_LOCK] < 0 || flock(place[PLACE_LOCK], LOCK_EX | LOCK_NB) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_USAGE, entry->name, "cannot lock the entry of sandbox %s", entry->name);
	place[PLACE_SOCKET_DIR] = state_socket_open(entry->socket_dir, true, e);
	if (place[PLACE_SOCKET_DIR] < 0)
		return place[PLACE_SOCKET_DIR];
	place[PLACE_SOCKET] = socket_listen(place[PLACE_SOCKET_DIR], entry->name, e);
	if (place[PLACE_SOCKET] < 0)
		return place[PLACE_SOCKET];
	return entry_write(place[PLACE_ENTRY], entry, e);
}

int entry_make(struct registry *r, struct entry *entry, int place[_PLACE_MAX], struct error *e)
{
	for (int i = 0; i < _PLACE_MAX; i++)
		place[i] = -EBADF;
	int k = state_socket_path(&entry->socket_dir, e);
	if (k < 0)
		return k;
	if (mkdirat(r->dir, entry->name, 0700) < 0) {
		if (errno == EEXIST)
			return fail(e, EBUSY, SANDBOX_STAGE_USAGE, entry->name, "sandbox %s is just being removed; try again",
				    entry->name);
		return fail_errno(e, errno, SANDBOX_STAGE_USAGE, entry->name, "cannot make the entry of sandbox %s", entry->name);
	}
	k = fill_place(r, entry, place, e);
	if (k == 0)
		return 0;
	if (place[PLACE_ENTRY] >= 0)
		entry_remove(r->dir, place[PLACE_ENTRY], entry->name);
	else
		unlinkat(r->dir, entry->name, AT_REMOVEDIR);
	place_close(place);
	return k;
}
