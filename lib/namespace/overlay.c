/* SPDX-License-Identifier: Apache-2.0 */
#include "namespace/overlay.h"

#include <stdio.h>
#include <sys/mount.h>

#include "namespace/mount.h"

/* As descriptors, which only Linux 6.13 takes directly, so through the links of /proc. They also keep the host's paths out
 * of the mount table that calls can read. */
int overlay_new(const char *proc, int mask, int lower, int upper, int work)
{
	char names[3][96];
	const char *options[] = { "lowerdir", names[0], "upperdir", names[1], "workdir", names[2], "userxattr", NULL, NULL };

	if (mask >= 0)
		snprintf(names[0], sizeof(names[0]), "%s/self/fd/%d:%s/self/fd/%d", proc, mask, proc, lower);
	else
		snprintf(names[0], sizeof(names[0]), "%s/self/fd/%d", proc, lower);
	snprintf(names[1], sizeof(names[1]), "%s/self/fd/%d", proc, upper);
	snprintf(names[2], sizeof(names[2]), "%s/self/fd/%d", proc, work);
	return tree_new("overlay", options, MOUNT_SAFE);
}
