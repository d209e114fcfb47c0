/* SPDX-License-Identifier: Apache-2.0 */
/* The Landlock ruleset of a sandbox's root. */
#include "namespace/session_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "confine/landlock.h"

static int allow_path(int ruleset, int abi, const char *path, unsigned grants, struct error *e)
{
	struct stat st;
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT)
		return 0;
	int r = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;
	if (r == 0)
		r = landlock_allow(ruleset, abi, fd, S_ISDIR(st.st_mode), grants);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_LANDLOCK, path, "cannot add a Landlock rule for %s", path) : 0;
}

int session_ruleset(const char *const *writable, size_t n, int *ret, struct error *e)
{
	int abi = landlock_abi();
	if (abi < 1)
		return fail(e, EOPNOTSUPP, SANDBOX_STAGE_LANDLOCK, "landlock",
			    "this kernel has no Landlock: enable CONFIG_SECURITY_LANDLOCK and add landlock to the lsm= "
			    "list of the kernel command line");
	_cleanup_close_ int ruleset = landlock_new(abi);
	if (ruleset < 0)
		return fail_errno(e, -ruleset, SANDBOX_STAGE_LANDLOCK, "landlock", "cannot make a Landlock ruleset");

	int r = allow_path(ruleset, abi, "/", LANDLOCK_GRANT_READ, e);
	if (r == 0)
		r = allow_path(ruleset, abi, "/dev", LANDLOCK_GRANT_DEVICE, e);
	/* oom_score_adj, comm, coredump_filter; not where the caller owns the host's files of /proc. */
	if (r == 0 && getuid() != 0)
		r = allow_path(ruleset, abi, "/proc", LANDLOCK_GRANT_CONTENT, e);
	for (size_t i = 0; i < n && r == 0; i++)
		r = allow_path(ruleset, abi, writable[i], LANDLOCK_GRANT_WRITE, e);
	if (r == 0)
		*ret = TAKE_FD(ruleset);
	return r;
}
