/* SPDX-License-Identifier: Apache-2.0 */
/* The registry as a whole: its lock, its entries, sweeping. */
#include "client/registry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "base/util.h"
#include "client/state.h"

#define LOCK_TIMEOUT_US 10000000u
#define MAX_ENTRIES 65536u

bool name_valid(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

	return n > 0 && n <= NAME_MAX_BYTES && name[n] == '\0' && name[0] != '-';
}

int name_check(const char *name, struct error *e)
{
	if (name_valid(name))
		return 0;
	return fail(e, EINVAL, SANDBOX_STAGE_USAGE, name,
		    "'%.80s' is no name for a sandbox: 1 to 64 letters, digits, '-' and '_', not beginning with '-'", name);
}

/* Whoever holds it does so for a few milliseconds, unless it was stopped in the middle. */
static int take_lock(struct registry *r, struct error *e)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	uint64_t end = now_us() + LOCK_TIMEOUT_US;

	r->lock = above_stdio(openat(r->dir, ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
	if (r->lock < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_USAGE, "sandboxes/.lock", "cannot open the lock of the named sandboxes");
	while (flock(r->lock, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return fail_errno(e, errno, SANDBOX_STAGE_USAGE, "sandboxes/.lock", "cannot lock the named sandboxes");
		if (now_us() >= end)
			return fail(e, ETIMEDOUT, SANDBOX_STAGE_USAGE, "sandboxes/.lock",
				    "another process has held the lock of the named sandboxes for ten seconds; it seems stopped");
		nanosleep(&pause, NULL);
	}
	return 0;
}

int registry_open(struct registry *ret, bool make, struct error *e)
{
	*ret = (struct registry)REGISTRY_NONE;
	_cleanup_close_ int root = state_open(make, e);
	if (root < 0)
		return root;
	ret->dir = state_open_in(root, "sandboxes", make, e);
	int r = ret->dir < 0 ? ret->dir : take_lock(ret, e);
	if (r < 0)
		registry_close(ret);
	return r;
}

void registry_unlock(struct registry *r)
{
	fd_close(TAKE_FD(r->lock));
}

void registry_close(struct registry *r)
{
	registry_unlock(r);
	fd_close(TAKE_FD(r->dir));
	for (size_t i = 0; i < r->n_entries; i++)
		entry_clear(&r->entries[i]);
	free(r->entries);
	r->entries = NULL;
	r->n_entries = 0;
}

/* True when nobody holds the entry's lock: its supervisor is dead, or it never got one. */
static bool is_dead(int dir)
{
	_cleanup_close_ int lock = openat(dir, "lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (lock < 0)
		return errno == ENOENT;
	return flock(lock, LOCK_EX | LOCK_NB) == 0;
}

bool registry_sweep(struct registry *r, const char *name)
{
	_cleanup_close_ int dir = openat(r->dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (dir < 0)
		return errno == ENOENT;
	if (!is_dead(dir))
		return false;
	entry_remove(r->dir, dir, name);
	return faccessat(r->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
}

static int load_one(struct registry *r, const char *name)
{
	_cleanup_close_ int dir = openat(r->dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct entry entry;

	if (dir < 0)
		return 0;
	if (is_dead(dir)) {
		entry_remove(r->dir, dir, name);
		return 0;
	}
	int k = entry_read(dir, &entry);
	if (k == -ENOMEM)
		return k;
	/* Being removed by its supervisor just now, or not ours to understand. */
	if (k < 0)
		return 0;
	struct entry *more = strcmp(entry.name, name) == 0 && r->n_entries < MAX_ENTRIES ?
				     reallocarray(r->entries, r->n_entries + 1, sizeof(*more)) :
				     NULL;
	if (!more) {
		k = strcmp(entry.name, name) == 0 ? -ENOMEM : 0;
		entry_clear(&entry);
		return k;
	}
	r->entries = more;
	r->entries[r->n_entries++] = entry;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

int registry_load(struct registry *r, struct error *e)
{
	int fd = openat(r->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *item;
	int k = 0;

	if (!d) {
		k = errno;
		fd_close(fd);
		return fail_errno(e, k, SANDBOX_STAGE_USAGE, "sandboxes", "cannot read the list of named sandboxes");
	}
	while (k == 0 && (item = readdir(d))) {
		if (name_valid(item->d_name))
			k = load_one(r, item->d_name);
	}
	closedir(d);
	if (k < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "sandboxes", "out of memory");
	if (r->n_entries)
		qsort(r->entries, r->n_entries, sizeof(*r->entries), by_name);
	return 0;
}

const struct entry *registry_find(const struct registry *r, const char *name)
{
	for (size_t i = 0; i < r->n_entries; i++) {
		if (strcmp(r->entries[i].name, name) == 0 || strcmp(r->entries[i].id, name) == 0)
			return &r->entries[i];
	}
	return NULL;
}

int registry_entry_dir(const char *name)
{
	struct error ignored;

	_cleanup_close_ int root = state_open(false, &ignored);
	_cleanup_close_ int all = root < 0 ? -EBADF : state_open_in(root, "sandboxes", false, &ignored);
	int dir = all < 0 ? -EBADF : above_stdio(openat(all, name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
	return dir < 0 ? -ENOENT : dir;
}

int registry_peek(const char *name, struct entry *ret)
{
	if (!name_valid(name))
		return -ENOENT;
	_cleanup_close_ int dir = registry_entry_dir(name);
	if (dir < 0 || entry_read(dir, ret) < 0)
		return -ENOENT;
	if (strcmp(ret->name, name) == 0)
		return 0;
	entry_clear(ret);
	return -ENOENT;
}

int registry_lookup(const char *name, struct entry *ret, struct error *e)
{
	_cleanup_registry_ struct registry registry = REGISTRY_NONE;

	int r = name_check(name, e);
	if (r == 0)
		r = registry_open(&registry, false, e);
	if (r == 0)
		r = registry_load(&registry, e);
	if (r < 0 && r != -ENOENT)
		return r;
	for (size_t i = 0; r == 0 && i < registry.n_entries; i++) {
		struct entry *found = &registry.entries[i];
		if (strcmp(found->name, name) != 0 && strcmp(found->id, name) != 0)
			continue;
		*ret = *found;
		*found = (struct entry){ 0 };
		return 0;
	}
	return fail(e, ENOENT, SANDBOX_STAGE_USAGE, name, "there is no sandbox %s (nsbox ls lists them)", name);
}
