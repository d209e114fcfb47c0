/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of /proc that are not about a process belong to the host's uid 0, and a caller who is that has no
 * capability here but is still their owner: core_pattern or sysrq-trigger would be writable by mode alone.
 */
#include "namespace/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "namespace/mount.h"

static const char *const read_only[] = { "sys", "irq", "bus", "fs", "acpi", "scsi", "driver", "asound", "tty",
					 "dynamic_debug", "pressure" };
/* Not listed: what asks for a capability itself (kcore, kmsg, mtrr) or hides its addresses without (kallsyms). */
static const char *const masked[] = { "keys",	    "timer_list",  "sysrq-trigger", "kpagecount",    "kpageflags",
				      "kpagecgroup", "cmdline",	    "config.gz",     "sched_debug",   "latency_stats",
				      "slabinfo",    "vmallocinfo", "pagetypeinfo",  "bootconfig" /* the command line again */ };

int proc_new(struct error *e)
{
	/* With Landlock this hides init, guardians and the processes of other calls. */
	static const char *const options[] = { "hidepid", "ptraceable", NULL };
	int tree = tree_new("proc", options, MOUNT_SAFE | MOUNT_ATTR_NOEXEC);

	if (tree == -EPERM)
		return fail(e, EPERM, SANDBOX_STAGE_MOUNT, "/proc",
			    "/proc cannot be mounted: parts of this machine's own /proc are hidden, as in a container "
			    "(run that container with its /proc unmasked)");
	return tree < 0 ? fail_errno(e, -tree, SANDBOX_STAGE_MOUNT, "/proc", "cannot make /proc") : tree;
}

static int lock_read_only(int root, const char *name, struct error *e)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%s", name);
	_cleanup_close_ int fd = open_in(root, path, false);
	if (fd == -ENOENT)
		return 0;
	_cleanup_close_ int tree = fd < 0 ? fd : tree_clone(fd, MOUNT_SAFE | MOUNT_ATTR_RDONLY, true);
	int r = tree < 0 ? tree : tree_attach(tree, fd);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, path, "cannot make %s read-only", path) : 0;
}

static int lock_masked(int root, int empty, const char *name, struct error *e)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%s", name);
	_cleanup_close_ int fd = open_in(root, path, false);
	if (fd == -ENOENT)
		return 0;
	/* What the mode keeps from everybody but the owner needs no mask unless the caller is the owner. */
	if (fd >= 0 && getuid() != 0 && fstat(fd, &st) == 0 && !(st.st_mode & 07))
		return 0;
	int r = fd < 0 ? fd : tree_mask(fd, empty);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, path, "cannot hide %s", path) : 0;
}

int proc_lock(int root, int empty, struct error *e)
{
	/* Others can open hardly any of these by mode: not worth a mount each. */
	size_t n_read_only = getuid() == 0 ? ARRAY_LEN(read_only) : 1;
	int r = 0;

	for (size_t i = 0; i < n_read_only && r == 0; i++)
		r = lock_read_only(root, read_only[i], e);
	for (size_t i = 0; i < ARRAY_LEN(masked) && r == 0; i++)
		r = lock_masked(root, empty, masked[i], e);
	return r;
}

/* The empty file that the sandbox's /proc is masked with, in this mount namespace: where init masked something. */
static int find_empty(int root)
{
	struct stat proc, st;
	char path[64];

	if (fstatat(root, "proc", &proc, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_LEN(masked); i++) {
		snprintf(path, sizeof(path), "/proc/%s", masked[i]);
		_cleanup_close_ int fd = open_in(root, path, false);
		if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev != proc.st_dev)
			return TAKE_FD(fd);
	}
	return -ENOENT;
}

int proc_renew(struct error *e)
{
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int empty = root < 0 ? -errno : find_empty(root);
	_cleanup_close_ int place = root < 0 ? -errno : open_in(root, "/proc", false);

	if (empty < 0 || place < 0)
		return fail_errno(e, empty < 0 ? -empty : -place, SANDBOX_STAGE_MOUNT, "/proc",
				  "cannot prepare the call's own /proc");
	_cleanup_close_ int tree = proc_new(e);
	if (tree < 0)
		return tree;
	int r = tree_attach(tree, place);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_MOUNT, "/proc", "cannot mount the call's own /proc");
	return proc_lock(root, empty, e);
}
