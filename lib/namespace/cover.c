/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Covering what a call was not granted. The mounts are made before the call's capabilities are gone, and nothing in it
 * can take them away: it has no capability, its filter refuses the system calls, and its pid namespace shows no process
 * that stands in another mount namespace.
 *
 * A mount lies on an object, so the way to it must stay: where the call could rename a directory above, that is
 * made a mount point of itself first, and renaming or removing a mount point is EBUSY for everybody in this
 * namespace. Whoever else may write there can still put another object in the place, as he could copy it.
 */
#include "namespace/cover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/util.h"
#include "base/wire.h"
#include "namespace/alias.h"
#include "namespace/mount.h"
#include "namespace/plan_path.h"
#include "namespace/session_rules.h"
#include "namespace/view.h"

struct one {
	enum cover_kind kind;
	char *path;
	struct located object;
	int kept; /* COVER_KEEP: a detached copy */
	uint32_t number; /* COVER_COMMITTED, COVER_SCRATCH: of the overlay */
};

struct covers {
	struct one all[COVERS_MAX];
	size_t n;
	int root, store;
	uint32_t call;
	int empty_file, empty_dir;
	FILE *mountinfo; /* from before something may lie on it */
};

/* They come from a file system that the call's own /dev/pts is mounted over, so nothing of it is left in sight. */
static int make_empty(struct covers *c, struct error *e)
{
	static const char *const options[] = { "size", "16k", "nr_inodes", "8", "mode", "0555", NULL };
	_cleanup_close_ int place = open_in(c->root, "/dev/pts", false);
	_cleanup_close_ int tree = place < 0 ? place : tree_new("tmpfs", options, MOUNT_SAFE | MOUNT_ATTR_NOEXEC);

	int r = tree < 0 ? tree : tree_attach(tree, place);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_MOUNT, "tmpfs", "cannot prepare what hides paths from the call");
	_cleanup_close_ int file = openat(tree, "file", O_CREAT | O_EXCL | O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (file >= 0 && mkdirat(tree, "dir", 0555) == 0) {
		c->empty_file = openat(tree, "file", O_PATH | O_NOFOLLOW | O_CLOEXEC);
		c->empty_dir = openat(tree, "dir", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	return c->empty_file >= 0 && c->empty_dir >= 0 ?
		       0 :
		       fail_errno(e, errno, SANDBOX_STAGE_MOUNT, "tmpfs", "cannot prepare what hides paths from the call");
}

/* Neither can it be renamed by the call as it is, nor is it one already. */
static int needs_pin(int fd, bool *ret)
{
	struct statx st;
	struct statvfs vfs;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &st) < 0 || fstatvfs(fd, &vfs) < 0)
		return -errno;
	*ret = !(st.stx_attributes & STATX_ATTR_MOUNT_ROOT) && !(vfs.f_flag & ST_RDONLY);
	return 0;
}

/* Pins what fd refers to; then fd is the mount. */
static int pin(int *fd)
{
	bool wanted = false;
	int r = needs_pin(*fd, &wanted);

	if (r < 0 || !wanted)
		return r;
	_cleanup_close_ int tree = tree_clone(*fd, MOUNT_SAFE, true);
	r = tree < 0 ? tree : tree_attach(tree, *fd);
	if (r < 0)
		return r;
	fd_close(*fd);
	*fd = TAKE_FD(tree);
	return 0;
}

/* Component by component without following a link, so that what is pinned is what is walked through. */
static int reach(const struct covers *c, const char *path)
{
	char name[256];
	_cleanup_close_ int at = fcntl(c->root, F_DUPFD_CLOEXEC, 3);

	if (at < 0)
		return -errno;
	while (*path) {
		size_t n = strcspn(++path, "/");
		if (n >= sizeof(name))
			return -ENAMETOOLONG;
		memcpy(name, path, n);
		name[n] = '\0';
		path += n;
		int next = open_in(at, name, false);
		if (next < 0)
			return next;
		fd_close(at);
		at = next;
		int r = *path ? pin(&at) : 0;
		if (r < 0)
			return r;
	}
	return TAKE_FD(at);
}

static int hide(const struct covers *c, int fd, const char *path, struct error *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_MOUNT, path, "cannot hide %s from the call", path);
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1)
		return fail(e, EMLINK, SANDBOX_STAGE_MOUNT, path,
			    "%s has %llu names (hard links), and the others would still show it: hide the directories that "
			    "hold them, or make it a file of its own",
			    path, (unsigned long long)st.st_nlink);
	int r = tree_mask(fd, S_ISDIR(st.st_mode) ? c->empty_dir : c->empty_file);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, path, "cannot hide %s from the call", path) : 0;
}

/* Nothing is pinned for it: what lies above is read-only when it is put back. */
static int keep(const struct covers *c, struct one *o, struct error *e)
{
	_cleanup_close_ int fd = open_in(c->root, o->path, false);

	o->kept = fd < 0 ? fd : tree_clone(fd, MOUNT_SAFE, true);
	return o->kept < 0 ? fail_errno(e, -o->kept, SANDBOX_STAGE_MOUNT, o->path,
					"cannot keep %s writable for the call", o->path) :
			     0;
}

static int cover(const struct covers *c, struct one *o, struct error *e)
{
	const char *path = o->path;
	_cleanup_close_ int fd = reach(c, path);

	if (fd == -ENOENT)
		return fail(e, ENOENT, SANDBOX_STAGE_MOUNT, path,
			    "there is no %s in the sandbox: only what exists there can be hidden or kept read-only for a call",
			    path);
	if (fd < 0)
		return fail_errno(e, -fd, SANDBOX_STAGE_MOUNT, path, "cannot reach %s for the call's own view of it", path);
	if (o->kind == COVER_KEEP) {
		int k = tree_attach(o->kept, fd);
		return k < 0 ? fail_errno(e, -k, SANDBOX_STAGE_MOUNT, path, "cannot keep %s writable for the call", path) : 0;
	}
	int r = alias_locate(c->mountinfo, fd, path, &o->object, e);
	if (r < 0 || o->kind == COVER_HIDE)
		return r < 0 ? r : hide(c, fd, path, e);
	_cleanup_close_ int tree = tree_clone(fd, MOUNT_SAFE | MOUNT_ATTR_RDONLY, true);
	r = tree < 0 ? tree : tree_attach(tree, fd);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, path, "cannot make %s read-only for the call", path) : 0;
}

static int read_all(struct covers *c, struct wire_reader *in, struct error *e)
{
	while (in->p < in->end && !in->bad && c->n < COVERS_MAX) {
		struct one *o = &c->all[c->n++];
		o->kind = wire_get_u8(in);
		o->path = wire_get_str(in);
		o->kept = -EBADF;
		o->number = o->kind == COVER_COMMITTED || o->kind == COVER_SCRATCH ? wire_get_u32(in) : 0;
		/* /dev/pts is not renewed yet, and the call cannot start without the rest of /dev. */
		in->bad |= o->kind == 0 || o->kind >= _COVER_KIND_MAX || !plan_path_ok(o->path) ||
			   path_is_at_or_below(o->path, "/dev");
	}
	return wire_done(in) ? 0 : fail(e, EPROTO, SANDBOX_STAGE_PROTOCOL, "covers", "the list of what to cover is broken");
}

static int view_all(const struct covers *c, struct error *e)
{
	struct views v;

	if (c->store < 0)
		return 0;
	int r = views_open(&v, c->root, c->store, c->call, c->mountinfo, e);
	for (size_t i = 0; i < c->n && r == 0; i++) {
		const struct one *o = &c->all[i];
		if (o->kind == COVER_FRESH)
			r = view_fresh(&v, o->path, e);
		else if (o->kind == COVER_COMMITTED)
			r = view_committed(&v, o->path, o->number, e);
		else if (o->kind == COVER_SCRATCH)
			r = view_scratch(&v, o->path, o->number, e);
	}
	int closed = views_close(&v, r < 0 ? NULL : e);
	return r < 0 ? r : closed;
}

static bool is_view(const struct one *o)
{
	return o->kind == COVER_FRESH || o->kind == COVER_WRITABLE || o->kind == COVER_COMMITTED || o->kind == COVER_SCRATCH;
}

static int cover_all(struct covers *c, struct error *e)
{
	int r = 0;

	for (size_t i = 0; i < c->n && r == 0; i++)
		r = c->all[i].kind == COVER_KEEP ? keep(c, &c->all[i], e) : 0;
	for (size_t i = 0; i < c->n && r == 0; i++)
		r = is_view(&c->all[i]) ? 0 : cover(c, &c->all[i], e);
	/* Behind all of them, since one may cover what another is seen by too. */
	for (size_t i = 0; i < c->n && r == 0; i++)
		if (c->all[i].kind != COVER_KEEP && !is_view(&c->all[i]))
			r = alias_refuse(c->mountinfo, c->root, &c->all[i].object, c->all[i].path,
					 c->all[i].kind == COVER_READ_ONLY, e);
	return r;
}

bool covers_have_view(const void *data, size_t len)
{
	return len > 0 && is_view(&(struct one){ .kind = *(const uint8_t *)data });
}

/* A rule holds for an object, and fresh directories and those below a layer of the call's own are new ones. Added to the ruleset of all calls, they would stay in it
 * for every later one to carry. */
static int own_ruleset(const struct covers *c, int *ret, struct error *e)
{
	const char *writable[COVERS_MAX + 2] = { "/run", "/dev/shm" };
	size_t n = 2;
	bool wanted = false;

	for (size_t i = 0; i < c->n; i++) {
		enum cover_kind kind = c->all[i].kind;
		wanted |= kind == COVER_FRESH || kind == COVER_SCRATCH;
		if (kind == COVER_FRESH || kind == COVER_WRITABLE || kind == COVER_SCRATCH)
			writable[n++] = c->all[i].path;
	}
	return wanted ? session_ruleset(writable, n, ret, e) : 0;
}

int cover_paths(const void *data, size_t len, int store, uint32_t call, int *ret_ruleset, struct error *e)
{
	static struct covers c = { .empty_file = -EBADF, .empty_dir = -EBADF };
	struct wire_reader in = wire_reader(data, len);

	if (len == 0)
		return 0;
	c.store = store;
	c.call = call;
	c.root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	c.mountinfo = fopen("/proc/self/mountinfo", "re");
	int r = c.root < 0 || !c.mountinfo ? fail_errno(e, errno, SANDBOX_STAGE_MOUNT, "/", "cannot look at the root") :
					     read_all(&c, &in, e);
	if (r == 0)
		r = view_all(&c, e);
	if (r == 0)
		r = make_empty(&c, e);
	if (r == 0)
		r = cover_all(&c, e);
	if (r == 0)
		r = own_ruleset(&c, ret_ruleset, e);
	for (size_t i = 0; i < c.n; i++) {
		free(c.all[i].path);
		fd_close(c.all[i].kept);
		located_done(&c.all[i].object);
	}
	if (c.mountinfo)
		fclose(c.mountinfo);
	fd_close(c.root);
	fd_close(c.empty_file);
	fd_close(c.empty_dir);
	return r;
}
