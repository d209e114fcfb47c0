/* SPDX-License-Identifier: Apache-2.0 */
/* Theory of operation: scratch.h. */
#include "overlay/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "overlay/copy.h"
#include "overlay/tree.h"

#define NAME_SIZE 24

static int open_all(int layer)
{
	return tree_open(layer, "scratch", O_RDONLY | O_DIRECTORY);
}

static void name_of(uint32_t call, enum scratch which, char ret[NAME_SIZE])
{
	snprintf(ret, NAME_SIZE, "%" PRIu32 "%s", call, which == SCRATCH_UNDO ? ".undo" : "");
}

/* As name_of() writes it, with nothing else and no zeros in front; 0: it is not. */
static uint32_t number_of(const char *name)
{
	char same[NAME_SIZE];
	char *end;

	unsigned long n = strtoul(name, &end, 10);
	if (n == 0 || n > UINT32_MAX)
		return 0;
	name_of((uint32_t)n, strcmp(end, ".undo") == 0 ? SCRATCH_UNDO : SCRATCH_CALL, same);
	return strcmp(name, same) == 0 ? (uint32_t)n : 0;
}

int scratch_take(int layer, uint32_t slot, uint32_t call)
{
	char from[NAME_SIZE], to[NAME_SIZE];

	snprintf(from, sizeof(from), ".%" PRIu32, slot);
	name_of(call, SCRATCH_CALL, to);
	_cleanup_close_ int all = open_all(layer);
	_cleanup_close_ int own = all < 0 ? all : tree_open(all, from, O_RDONLY | O_DIRECTORY);
	if (own < 0)
		return own;
	if (flock(own, LOCK_EX | LOCK_NB) < 0 || renameat2(all, from, all, to, RENAME_NOREPLACE) < 0)
		return -errno;
	return TAKE_FD(own);
}

/* Of any of the directories; N/work is the kernel's. */
static bool wrote_nothing(int own)
{
	_cleanup_names_ struct names roots = { 0 };
	bool nothing = names_read(own, &roots) == 0;

	for (size_t i = 0; i < roots.n && nothing; i++) {
		_cleanup_names_ struct names in = { 0 };
		_cleanup_close_ int root = tree_open(own, roots.v[i], O_PATH | O_DIRECTORY);
		_cleanup_close_ int upper = root < 0 ? root : tree_open(root, "upper", O_RDONLY | O_DIRECTORY);
		if (root != -ENOTDIR)
			nothing = upper >= 0 && names_read(upper, &in) == 0 && in.n == 0;
	}
	return nothing;
}

void scratch_end(int layer, uint32_t call)
{
	char name[NAME_SIZE];

	name_of(call, SCRATCH_CALL, name);
	_cleanup_close_ int all = open_all(layer);
	_cleanup_close_ int own = all < 0 ? all : tree_open(all, name, O_RDONLY | O_DIRECTORY);
	if (own >= 0 && wrote_nothing(own))
		tree_remove(all, name);
}

void scratch_drop(int layer, uint32_t slot)
{
	char name[NAME_SIZE];

	snprintf(name, sizeof(name), ".%" PRIu32, slot);
	_cleanup_close_ int all = open_all(layer);
	if (all >= 0)
		tree_remove(all, name);
}

static int lock(struct layer *l, uint32_t call, bool change, struct error *e)
{
	if (flock(l->dir, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return fail_errno(e, errno, SANDBOX_STAGE_OVERLAY, l->id, "cannot lock the changes of call %s.%" PRIu32, l->id, call);
	l->in_use = true;
	return !change ? 0 :
			 fail(e, EBUSY, SANDBOX_STAGE_OVERLAY, l->id,
			      "call %s.%" PRIu32 " still runs, or another command works on its changes: wait for it, or end it "
			      "(nsbox kill)",
			      l->id, call);
}

int scratch_open(const struct layer *of, uint32_t call, enum scratch which, bool change, struct layer *ret,
		 struct error *e)
{
	_cleanup_layer_ struct layer l = LAYER_NONE;
	char name[NAME_SIZE];
	struct stat st;

	name_of(call, which, name);
	_cleanup_close_ int all = open_all(of->dir);
	l.dir = all < 0 ? all : tree_open(all, name, O_RDONLY | O_DIRECTORY);
	if (l.dir == -ENOENT)
		return -ENOENT;
	if (l.dir < 0)
		return fail_errno(e, -l.dir, SANDBOX_STAGE_OVERLAY, of->id, "cannot open the changes of call %s.%" PRIu32, of->id,
				  call);
	memcpy(l.id, of->id, sizeof(l.id));
	l.call = call;
	int r = lock(&l, call, change, e);
	if (r < 0)
		return r;
	if (fstatat(l.dir, "since", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_OVERLAY, of->id, "the changes of call %s.%" PRIu32 " cannot be read",
				  of->id, call);
	l.name = strdup(of->name);
	if (!l.name || layer_copy_facts(of, &l) < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, of->id, "out of memory");
	l.since = st.st_mtim;
	*ret = l;
	l = (struct layer)LAYER_NONE;
	return 0;
}

int scratch_erase(const struct layer *of, uint32_t call, enum scratch which)
{
	char name[NAME_SIZE], gone[NAME_SIZE + 8];

	name_of(call, which, name);
	snprintf(gone, sizeof(gone), ".old.%s", name);
	_cleanup_close_ int all = open_all(of->dir);
	if (all < 0)
		return all;
	if (renameat(all, name, all, gone) < 0)
		return errno == ENOENT ? 0 : -errno;
	return tree_remove(all, gone);
}

static int by_number(const void *pa, const void *pb)
{
	const uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;

	return a < b ? -1 : a > b;
}

int scratch_list(const struct layer *of, uint32_t **ret, size_t *ret_n)
{
	_cleanup_names_ struct names names = { 0 };
	size_t n = 0;

	_cleanup_close_ int all = open_all(of->dir);
	int r = all == -ENOENT ? 0 : all < 0 ? all : names_read(all, &names);
	uint32_t *v = r < 0 ? NULL : calloc(names.n + 1, sizeof(*v));
	if (!v)
		return r < 0 ? r : -ENOMEM;
	for (size_t i = 0; i < names.n; i++) {
		uint32_t number = strchr(names.v[i], '.') ? 0 : number_of(names.v[i]);
		if (number)
			v[n++] = number;
	}
	qsort(v, n, sizeof(*v), by_number);
	*ret = v;
	*ret_n = n;
	return 0;
}

bool scratch_is_empty(const struct layer *of)
{
	_cleanup_names_ struct names names = { 0 };
	bool empty = true;

	_cleanup_close_ int all = open_all(of->dir);
	if (all < 0 || names_read(all, &names) < 0)
		return all == -ENOENT;
	for (size_t i = 0; i < names.n; i++)
		empty &= strchr(names.v[i], '.') || number_of(names.v[i]) == 0;
	return empty;
}

/* What killed processes left: half erased; where no sandbox runs, also half made. */
static void sweep(int all, bool in_use)
{
	_cleanup_names_ struct names names = { 0 };

	if (names_read(all, &names) < 0)
		return;
	for (size_t i = 0; i < names.n; i++) {
		if (strncmp(names.v[i], in_use ? ".old." : ".", in_use ? 5 : 1) == 0)
			tree_remove(all, names.v[i]);
	}
}

int scratch_lock(const struct layer *of, struct error *e)
{
	_cleanup_close_ int all = open_all(of->dir);

	if (all >= 0 && flock(all, LOCK_EX | LOCK_NB) == 0) {
		sweep(all, of->in_use);
		return TAKE_FD(all);
	}
	if (all >= 0 && errno == EWOULDBLOCK)
		return fail(e, EBUSY, SANDBOX_STAGE_OVERLAY, of->id,
			    "another command works on the layers of calls of sandbox %s: wait for its end", of->id);
	return fail_errno(e, all < 0 ? -all : errno, SANDBOX_STAGE_OVERLAY, of->id,
			  "cannot work on the layers of calls of sandbox %s", of->id);
}

static void unfinished_name(uint32_t call, char ret[NAME_SIZE])
{
	snprintf(ret, NAME_SIZE, ".undo.%" PRIu32, call);
}

int scratch_begin(const struct layer *of, uint32_t call)
{
	char name[NAME_SIZE];

	unfinished_name(call, name);
	_cleanup_close_ int all = open_all(of->dir);
	int r = all < 0 ? all : tree_remove(all, name);
	if (r == 0 && mkdirat(all, name, 0700) < 0)
		r = -errno;
	_cleanup_close_ int dir = r < 0 ? r : tree_open(all, name, O_RDONLY | O_DIRECTORY);
	_cleanup_close_ int since =
		dir < 0 ? dir : openat(dir, "since", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return since < 0 ? (dir < 0 ? dir : -errno) : TAKE_FD(dir);
}

int scratch_finish(const struct layer *of, uint32_t call)
{
	char from[NAME_SIZE], to[NAME_SIZE];

	unfinished_name(call, from);
	name_of(call, SCRATCH_UNDO, to);
	_cleanup_close_ int all = open_all(of->dir);
	if (all < 0 || syncfs(all) < 0 || renameat2(all, from, all, to, RENAME_NOREPLACE) < 0 || fsync(all) < 0)
		return all < 0 ? all : -errno;
	return 0;
}

int scratch_stamp(const struct layer *undo)
{
	/* Of what is written in the same tick of the clock of file systems nobody could tell that it came later. */
	const struct timespec tick = { .tv_nsec = 20000000 };

	if (utimensat(undo->dir, "since", NULL, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	nanosleep(&tick, NULL);
	return fsync(undo->dir) < 0 ? -errno : 0;
}
