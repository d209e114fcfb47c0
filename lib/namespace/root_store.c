/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sources of overlays, kept for calls with a view of their own (view.h). A copy of a mount can only be made from a
 * namespace that has it, and in the sandbox they would be seen: the mount table tells where the host keeps what. So they
 * are put into a mount namespace of their own, which no process stays in.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "namespace/mount.h"
#include "namespace/root.h"

/* The host's directory below an overlay, read-only, as N. */
static int add_lower(int store, const struct plan_step *s, struct error *e)
{
	char name[16];
	_cleanup_close_ int source = root_open_source(s, e);

	if (source < 0)
		return source;
	snprintf(name, sizeof(name), "%u", (unsigned)s->size);
	int r = mkdirat(store, name, 0700) < 0 ? -errno : 0;
	_cleanup_close_ int place = r < 0 ? r : open_in(store, name, false);
	_cleanup_close_ int tree = place < 0 ? place : tree_clone(source, MOUNT_SAFE | MOUNT_ATTR_RDONLY, false);
	r = tree < 0 ? tree : tree_attach(tree, place);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, s->path, "cannot keep %s for views of it", s->path) : 0;
}

/* What is hidden, to lie above the host's directory: as N.mask, and as N.kept what was hidden from a sandbox whose
 * changes this one goes on from. Neither where nothing is. */
static int add_masks(int store, const struct root *root, const struct plan *plan, const struct plan_step *s)
{
	char name[24];

	snprintf(name, sizeof(name), "%u", (unsigned)s->size);
	_cleanup_close_ int lower = open_in(store, name, false);
	_cleanup_close_ int layer = lower < 0 ? lower : root_open_layer(root);
	snprintf(name, sizeof(name), "%u/mask", (unsigned)s->size);
	_cleanup_close_ int kept = layer < 0 ? layer : open_in(layer, name, false);
	snprintf(name, sizeof(name), "%u.mask", (unsigned)s->size);
	int r = layer < 0 ? layer : mkdirat(store, name, 0700) < 0 ? -errno : 0;
	_cleanup_close_ int mask = r < 0 ? r : openat(store, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = r < 0 ? r : mask < 0 ? -errno : root_hidden_committed(plan, s, lower, mask);
	if (r == 0 && kept == -ENOENT && unlinkat(store, name, AT_REMOVEDIR) < 0)
		r = -errno;
	if (r < 0 || kept < 0)
		return r >= 0 && kept != -ENOENT ? kept : r;
	snprintf(name, sizeof(name), "%u.kept", (unsigned)s->size);
	r = mkdirat(store, name, 0700) < 0 ? -errno : 0;
	_cleanup_close_ int place = r < 0 ? r : open_in(store, name, false);
	_cleanup_close_ int tree = place < 0 ? place : tree_clone(kept, MOUNT_SAFE | MOUNT_ATTR_RDONLY, false);
	return tree < 0 ? tree : tree_attach(tree, place);
}

static int add_hidden(int store, const struct root *root, const struct plan *plan, const struct plan_step *s,
		      struct error *e)
{
	int r = add_masks(store, root, plan, s);

	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, s->path, "cannot keep what is hidden in %s for views of it",
				  s->path) :
		       0;
}

/* Where calls with view = scratch make a layer of their own, each below its number. */
static int add_scratch(int store, const struct root *root, struct error *e)
{
	int r = mkdirat(store, "scratch", 0700) < 0 ? -errno : 0;
	_cleanup_close_ int layer = r < 0 ? r : root_open_layer(root);
	_cleanup_close_ int source = layer < 0 ? layer : open_in(layer, "scratch", false);
	_cleanup_close_ int tree = source < 0 ? source : tree_clone(source, MOUNT_SAFE, false);
	_cleanup_close_ int place = tree < 0 ? tree : open_in(store, "scratch", false);

	r = place < 0 ? place : tree_attach(tree, place);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, "scratch", "cannot keep the place for layers of calls") : 0;
}

/* What the sandbox has mounted in it, read-only for instance, is not for who works on it from outside. */
static int take_overlays(const struct root *root, const struct plan *plan, int trees[PLAN_MAX_STEPS], struct error *e)
{
	for (size_t i = 0; i < plan->n_steps; i++) {
		const struct plan_step *s = &plan->steps[i];
		if (s->kind != PLAN_OVERLAY)
			continue;
		_cleanup_close_ int fd = open_in(root->fd, s->path, false);
		trees[i] = fd < 0 ? fd : tree_clone(fd, MOUNT_SAFE, false);
		if (trees[i] < 0)
			return fail_errno(e, -trees[i], SANDBOX_STAGE_MOUNT, s->path, "cannot keep the overlay of %s", s->path);
	}
	return 0;
}

static int add_overlays(int store, const struct plan *plan, const int trees[PLAN_MAX_STEPS], struct error *e)
{
	int r = mkdirat(store, "working", 0700) < 0 ? -errno : 0;
	_cleanup_close_ int working = r < 0 ? r : open_in(store, "working", false);

	for (size_t i = 0; i < plan->n_steps && working >= 0 && r == 0; i++) {
		char name[16];
		if (plan->steps[i].kind != PLAN_OVERLAY)
			continue;
		snprintf(name, sizeof(name), "%u", (unsigned)plan->steps[i].size);
		r = mkdirat(working, name, 0700) < 0 ? -errno : 0;
		_cleanup_close_ int place = r < 0 ? r : open_in(working, name, false);
		r = place < 0 ? place : tree_attach(trees[i], place);
	}
	if (r == 0 && working < 0)
		r = working;
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, "working", "cannot keep the overlays") : 0;
}

/* In the new namespace, which is a copy of that with the host's files; nothing of those stays. */
static int fill(const struct root *root, const struct plan *plan, const int trees[PLAN_MAX_STEPS], int *ret_working,
		struct error *e)
{
	static const char *const options[] = { "size", "64k", "nr_inodes", ROOT_INODES, "mode", "0700", NULL };
	_cleanup_close_ int place = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int store = place < 0 ? -errno : tree_new("tmpfs", options, MOUNT_SAFE | MOUNT_ATTR_NOEXEC);
	int r = store < 0 ? store : tree_attach(store, place);
	if (r == 0 && mkdirat(store, "fresh", 0700) < 0)
		r = -errno;

	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_MOUNT, "tmpfs", "cannot keep the sources of overlays");
	for (size_t i = 0; i < plan->n_steps && r == 0; i++)
		r = plan->steps[i].kind == PLAN_OVERLAY ? add_lower(store, &plan->steps[i], e) : 0;
	for (size_t i = 0; i < plan->n_steps && r == 0; i++)
		r = plan->steps[i].kind == PLAN_OVERLAY ? add_hidden(store, root, plan, &plan->steps[i], e) : 0;
	if (r == 0)
		r = add_scratch(store, root, e);
	if (r == 0)
		r = add_overlays(store, plan, trees, e);
	if (r < 0)
		return r;
	if (fchdir(store) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_MOUNT, "/", "cannot keep the sources of overlays");
	*ret_working = open_in(store, "working", false);
	return *ret_working < 0 ? fail_errno(e, -*ret_working, SANDBOX_STAGE_MOUNT, "working", "cannot keep the overlays") : 0;
}

static int make(const struct root *root, const struct plan *plan, const int trees[PLAN_MAX_STEPS], int *ret,
		int *ret_working, struct error *e)
{
	/* Through the new root's /proc, which lies over the host's. */
	_cleanup_close_ int own = openat(root->fd, "proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

	if (own < 0 || unshare(CLONE_NEWNS) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_NAMESPACE, "unshare", "cannot make a mount namespace for views");
	_cleanup_close_ int made = openat(root->fd, "proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	int r = made < 0 ? fail_errno(e, errno, SANDBOX_STAGE_NAMESPACE, "/proc", "cannot keep a mount namespace for views") :
			   fill(root, plan, trees, ret_working, e);
	if (setns(own, CLONE_NEWNS) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_NAMESPACE, "setns", "cannot come back to the sandbox");
	if (r == 0)
		*ret = TAKE_FD(made);
	return r;
}

int root_store(const struct root *root, const struct plan *plan, int *ret, int *ret_working, struct error *e)
{
	int trees[PLAN_MAX_STEPS];

	for (size_t i = 0; i < plan->n_steps; i++)
		trees[i] = -EBADF;
	int r = take_overlays(root, plan, trees, e);
	if (r == 0)
		r = make(root, plan, trees, ret, ret_working, e);
	for (size_t i = 0; i < plan->n_steps; i++)
		fd_close(trees[i]);
	return r;
}
