/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a call was granted of the sandbox's files, as one Landlock layer more. Most of its rules are the same for every
 * grant: the system's directories. They are made ahead of time, into a ruleset that one call uses, so that a call whose
 * grant leaves them as they are adds only its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/util.h"
#include "confine/landlock.h"
#include "namespace/guardian.h"
#include "namespace/lookup.h"

/* Links are not followed: what was a directory when the grant was checked may have been replaced since by another call.
 * Only the loaders of programs are found through some. */
static int open_granted(const char *path, uint32_t grants)
{
	if (!(grants & LANDLOCK_GRANT_FOLLOW))
		return lookup_without_links(path);
	int fd = open(path, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int add(int ruleset, int abi, const struct call_paths *list, struct error *e)
{
	for (uint32_t i = 0; i < list->n; i++) {
		const char *path = list->path[i].path;
		uint32_t grants = list->path[i].grants;
		struct stat st;
		_cleanup_close_ int fd = open_granted(path, grants);
		if ((fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP) && grants & LANDLOCK_GRANT_OPTIONAL)
			continue;
		int r = fd < 0 ? fd : fstat(fd, &st) < 0 ? -errno : 0;
		if (r == 0)
			r = landlock_allow(ruleset, abi, fd, S_ISDIR(st.st_mode), grants);
		if (r < 0)
			return fail_errno(e, -r, SANDBOX_STAGE_LANDLOCK, path, "cannot grant %s to the call", path);
	}
	return 0;
}

int paths_prepare(const void *base, size_t len, struct error *e)
{
	struct call_paths list;
	int abi = landlock_abi();

	if (call_paths_parse(base, len, &list) < 0)
		return fail(e, EPROTO, SANDBOX_STAGE_PROTOCOL, "base", "the paths that every grant has are broken");
	_cleanup_close_ int ruleset = landlock_new(abi);
	if (ruleset < 0)
		return fail_errno(e, -ruleset, SANDBOX_STAGE_LANDLOCK, "landlock", "cannot make the call's Landlock ruleset");
	int r = add(ruleset, abi, &list, e);
	return r < 0 ? r : TAKE_FD(ruleset);
}

int paths_enter(const struct call_request *q, struct error *e)
{
	int abi = landlock_abi();
	_cleanup_close_ int made = q->on_base ? -EBADF : landlock_new(abi);
	int ruleset = q->on_base ? GUARDIAN_BASE : made;

	if (ruleset < 0)
		return fail_errno(e, -ruleset, SANDBOX_STAGE_LANDLOCK, "landlock", "cannot make the call's Landlock ruleset");
	int r = add(ruleset, abi, &q->paths, e);
	if (r < 0)
		return r;
	r = landlock_enter(ruleset);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_LANDLOCK, "landlock", "cannot enter the call's Landlock domain") : 0;
}
