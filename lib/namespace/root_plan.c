/* SPDX-License-Identifier: Apache-2.0 */
/* Carrying out the root plan, and the Landlock ruleset that says the same a second time. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "namespace/mount.h"
#include "namespace/root.h"
#include "namespace/session_rules.h"

static const struct {
	const char *path;
	mode_t mode;
} private_dirs[] = { { "/tmp", 01777 }, { "/var/tmp", 01777 }, { "/run", 0755 }, { "/dev/shm", 01777 } };

int root_open_source(const struct plan_step *s, struct error *e)
{
	struct stat st;
	_cleanup_close_ int fd = open_host(s->path);

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(e, fd < 0 ? -fd : errno, SANDBOX_STAGE_MOUNT, s->path,
				  "cannot open %s on the host%s", s->path,
				  fd == -EACCES && getuid() == 0 ? " (inside, uid 0 has no capability to pass by modes)" : "");
	/* Between the check of the policy and now somebody may have put another object there. */
	if ((s->dev || s->ino) && (st.st_dev != s->dev || st.st_ino != s->ino))
		return fail(e, ESTALE, SANDBOX_STAGE_MOUNT, s->path,
			    "%s was replaced by another object while the sandbox was starting", s->path);
	return TAKE_FD(fd);
}

static int bind_host(struct root *root, const struct plan_step *s, struct error *e)
{
	uint64_t attrs = MOUNT_SAFE | (s->kind == PLAN_BIND_RO ? MOUNT_ATTR_RDONLY : 0);
	struct stat st;
	_cleanup_close_ int fd = root_open_source(s, e);

	if (fd < 0)
		return fd;
	int tree = fstat(fd, &st) < 0 ? -errno : tree_clone(fd, attrs, true);
	if (tree < 0)
		return fail_errno(e, -tree, SANDBOX_STAGE_MOUNT, s->path, "cannot copy the mount of %s", s->path);
	return root_mount(root, tree, s->path, S_ISDIR(st.st_mode), e);
}

static int add_tmpfs(struct root *root, const struct plan_step *s, struct error *e)
{
	char size[32];
	const char *options[] = { "size", size, "nr_inodes", ROOT_INODES, "mode", "0755", NULL };
	struct stat st;

	if (s->size == 0)
		return root_private_dir(root, s->path, 0755, e);
	if (root->n_own == ROOT_MAX_TMPFS)
		return fail(e, E2BIG, SANDBOX_STAGE_MOUNT, s->path, "more than %u tmpfs with a size",
			    ROOT_MAX_TMPFS - 1);
	snprintf(size, sizeof(size), "%llu", (unsigned long long)s->size);
	int tree = tree_new("tmpfs", options, MOUNT_SAFE);
	if (tree < 0 || fstat(tree, &st) < 0)
		return fail_errno(e, tree < 0 ? -tree : errno, SANDBOX_STAGE_MOUNT, s->path,
				  "cannot make a tmpfs of %s bytes for %s", size, s->path);
	root->own[root->n_own++] = st.st_dev;
	return root_mount(root, tree, s->path, true, e);
}

static int add_symlink(struct root *root, const struct plan_step *s, struct error *e)
{
	struct stat here, there;
	_cleanup_close_ int found = open_in(root->fd, s->path, true);
	_cleanup_close_ int target = open_in(root->fd, s->target, true);

	/* The link may be inside a tree that was mounted with it. */
	if (found >= 0 && target >= 0 && fstat(found, &here) == 0 && fstat(target, &there) == 0 &&
	    here.st_dev == there.st_dev && here.st_ino == there.st_ino)
		return 0;
	const char *name = strrchr(s->path, '/') + 1;
	_cleanup_free_ char *parent = strndup(s->path, (size_t)(name - s->path));
	if (!parent)
		return fail_errno(e, ENOMEM, SANDBOX_STAGE_MOUNT, s->path, "cannot link %s", s->path);
	_cleanup_close_ int dir = root_dest(root, parent, true, e);
	if (dir < 0)
		return dir;
	if (symlinkat(s->target, dir, name) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_MOUNT, s->path, "cannot link %s to %s", s->path, s->target);
	return 0;
}

/* Steps on what is visible by now; what is not visible needs no protection. */
static int cover(struct root *root, const struct plan_step *s, struct error *e)
{
	_cleanup_close_ int fd = open_in(root->fd, s->path, false);

	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd < 0)
		return fail_errno(e, -fd, SANDBOX_STAGE_MOUNT, s->path, "cannot open %s in the sandbox", s->path);
	if (s->kind == PLAN_HIDE)
		return root_mask(root, fd, s->path, e);
	_cleanup_close_ int tree =
		tree_clone(fd, MOUNT_SAFE | (s->kind == PLAN_PROTECT ? MOUNT_ATTR_RDONLY : 0), true);
	int r = tree < 0 ? tree : tree_attach(tree, fd);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, s->path, "cannot protect %s", s->path) : 0;
}

int root_add_private(struct root *root, struct error *e)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(private_dirs) && r == 0; i++)
		r = root_private_dir(root, private_dirs[i].path, private_dirs[i].mode, e);
	return r;
}

int root_apply(struct root *root, const struct plan *plan, struct error *e)
{
	int r = root_private_dir(root, plan->home, 0700, e);

	for (size_t i = 0; i < plan->n_steps && r == 0; i++) {
		const struct plan_step *s = &plan->steps[i];
		switch (s->kind) {
		case PLAN_BIND_RO:
		case PLAN_BIND_RW:
			r = bind_host(root, s, e);
			break;
		case PLAN_OVERLAY:
			r = root_add_overlay(root, plan, s, e);
			break;
		case PLAN_TMPFS:
			r = add_tmpfs(root, s, e);
			break;
		case PLAN_SYMLINK:
			r = add_symlink(root, s, e);
			break;
		default:
			r = cover(root, s, e);
		}
	}
	return r;
}

int root_ruleset(const struct plan *plan, int *ret, struct error *e)
{
	_cleanup_free_ const char **writable = calloc(plan->n_steps + ARRAY_LEN(private_dirs) + 1, sizeof(*writable));
	size_t n = 0;

	if (!writable)
		return fail_errno(e, ENOMEM, SANDBOX_STAGE_LANDLOCK, "landlock", "cannot make a Landlock ruleset");
	for (size_t i = 0; i < ARRAY_LEN(private_dirs); i++)
		writable[n++] = private_dirs[i].path;
	writable[n++] = plan->home;
	for (size_t i = 0; i < plan->n_steps; i++)
		if (plan->steps[i].kind == PLAN_BIND_RW || plan->steps[i].kind == PLAN_TMPFS ||
		    plan->steps[i].kind == PLAN_OVERLAY)
			writable[n++] = plan->steps[i].path;
	return session_ruleset(writable, n, ret, e);
}
