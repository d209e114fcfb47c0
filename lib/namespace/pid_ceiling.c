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

/*
 * Once the numbers have been used up to here the kernel gives none below it again, since on a host they are those of its
 * first daemons. A pid_max of N would leave N - 300 processes then.
 */
#define RESERVED_PIDS 300u

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
	int fd = openat(root, "proc/sys/kernel", O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

static int set(int dir, const char *name, uint32_t value)
{
	char text[16];

	_cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	int n = snprintf(text, sizeof(text), "%u", value);
	return write(fd, text, (size_t)n) == n ? 0 : -errno;
}

int pid_ceiling_set(int fd, uint32_t pids, struct error *e)
{
	if (getuid() != 0)
		return 0; /* the user namespace's ceiling holds */
	if (fd < 0 && fd != -EBADF)
		return fail_errno(e, -fd, SANDBOX_STAGE_LIMITS, "pid_max", "cannot limit the number of processes");
	if (fd < 0)
		return pids == 0 ? 0 :
				   fail(e, EOPNOTSUPP, SANDBOX_STAGE_LIMITS, "pids",
					"for root a limit of processes needs Linux 6.14: run as another user, or without "
					"--pids");
	int r = set(fd, "pid_max", (pids ? pids : DEFAULT_PIDS) + RESERVED_PIDS);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_LIMITS, "pids", "cannot limit the number of processes");
	/* So that the reserved numbers do not count from the start; a kernel without the file allows them once more. */
	(void)set(fd, "ns_last_pid", RESERVED_PIDS);
	return 0;
}
