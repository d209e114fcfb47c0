/* SPDX-License-Identifier: Apache-2.0 */
/* Setting the limits that need no cgroup. The ceiling on processes belongs to the user namespace: launcher. */
#include "confine/rlimits.h"

#include <errno.h>
#include <sys/resource.h>

int rlimits_apply(uint32_t open_files)
{
	struct rlimit now;
	struct rlimit files = { .rlim_cur = OPEN_FILES_SOFT, .rlim_max = OPEN_FILES_HARD };

	if (getrlimit(RLIMIT_NOFILE, &now) < 0)
		return -errno;
	if (open_files) {
		if (open_files > now.rlim_max)
			return -EPERM;
		files.rlim_cur = files.rlim_max = open_files;
	} else if (files.rlim_max > now.rlim_max / 4 * 3) {
		/* Passing descriptors fails for whoever has a limit below what all of the user's processes have on their way: that
		 * of calls, and not that of those who serve them. */
		files.rlim_max = now.rlim_max / 4 * 3;
	}
	if (files.rlim_cur > files.rlim_max)
		files.rlim_cur = files.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &files) < 0 ? -errno : 0;
}
