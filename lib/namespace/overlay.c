/* SPDX-License-Identifier: Apache-2.0 */
#include "namespace/overlay.h"

#include <stdio.h>
#include <sys/mount.h>

#include "namespace/mount.h"

#define NAMES_SIZE 96u

/* As descriptors, which only Linux 6.13 takes directly, so through the links of /proc. They also keep the host's paths out
 * of the mount table that calls can read. The uppermost first; a negative one is left out. */
static void join(const char *proc, const int *dirs, size_t n, char ret[NAMES_SIZE])
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		if (dirs[i] >= 0)
			len += (size_t)snprintf(ret + len, NAMES_SIZE - len, "%s%s/self/fd/%d", len ? ":" : "", proc, dirs[i]);
	}
}

int overlay_new(const char *proc, int mask, int lower, int upper, int work)
{
	const int lowers[] = { mask, lower };
	char names[3][NAMES_SIZE];
	const char *options[] = { "lowerdir", names[0], "upperdir", names[1], "workdir", names[2], "userxattr", NULL, NULL };

	join(proc, lowers, 2, names[0]);
	snprintf(names[1], sizeof(names[1]), "%s/self/fd/%d", proc, upper);
	snprintf(names[2], sizeof(names[2]), "%s/self/fd/%d", proc, work);
	return tree_new("overlay", options, MOUNT_SAFE);
}

int overlay_read_only(const int lowers[OVERLAY_LOWERS])
{
	char names[NAMES_SIZE];
	const char *options[] = { "lowerdir", names, "userxattr", NULL, NULL };

	join("/proc", lowers, OVERLAY_LOWERS, names);
	return tree_new("overlay", options, MOUNT_SAFE | MOUNT_ATTR_RDONLY);
}
