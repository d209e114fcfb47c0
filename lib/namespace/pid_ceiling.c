/* SPDX-License-Identifier: Apache-2.0 */
/* Writing pid_max of the own pid namespace, where that is one. */
#include "namespace/pid_ceiling.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/util.h"

/* The kernel refuses less: 300 numbers are reserved for its own start. */
#define LOWEST_PID_MAX 301u

/* Before 6.14 the file is the host's own, and the host's root may write it. */
static bool has_own_pid_max(void)
{
	struct utsname name;
	char *end;

	if (uname(&name) < 0)
		return false;
	unsigned long major = strtoul(name.release, &end, 10);
	unsigned long minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
	return major > 6 || (major == 6 && minor >= 14);
}

int pid_ceiling_open(int root)
{
	if (getuid() != 0 || !has_own_pid_max())
		return -EBADF;
	int fd = openat(root, "proc/sys/kernel/pid_max", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int pid_ceiling_set(int fd, uint32_t pids, struct error *e)
{
	char text[16];

	if (getuid() != 0)
		return 0; /* the user namespace's ceiling holds */
	if (fd < 0 && fd != -EBADF)
		return fail_errno(e, -fd, SANDBOX_STAGE_LIMITS, "pid_max", "cannot limit the number of processes");
	if (fd < 0)
		return pids == 0 ? 0 :
				   fail(e, EOPNOTSUPP, SANDBOX_STAGE_LIMITS, "pids",
					"for root a limit of processes needs Linux 6.14: run as another user, or without "
					"--pids");
	uint32_t max = (pids ? pids : DEFAULT_PIDS) + 1;
	if (max < LOWEST_PID_MAX)
		return fail(e, EINVAL, SANDBOX_STAGE_LIMITS, "pids",
			    "for root the lowest limit of processes is %u: ask for more, or run as another user",
			    LOWEST_PID_MAX - 1);
	int n = snprintf(text, sizeof(text), "%u", max);
	return write(fd, text, (size_t)n) == n ? 0 :
						 fail_errno(e, errno, SANDBOX_STAGE_LIMITS, "pids",
							    "cannot limit the number of processes");
}
