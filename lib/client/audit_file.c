/* SPDX-License-Identifier: Apache-2.0 */
/* An audit log where the caller wants it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/util.h"
#include "client/client.h"

int audit_file_open(const struct policy *p, const char *given, char **ret_path, struct error *e)
{
	struct path_verdict verdict;

	/* The log is evidence against what runs inside: there it must be neither written nor read. */
	int r = policy_check_path(p, given, false, &verdict, e);
	if (r < 0)
		return r;
	if (path_verdict_shows(&verdict))
		return fail(e, EINVAL, SANDBOX_STAGE_AUDIT, given,
			    "the audit log %s lies where the sandbox can see it (%s); name a file outside", given,
			    verdict.rule[0] ? verdict.rule : verdict.reason);
	_cleanup_free_ char *path = strdup(given);
	if (!path)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, given, "out of memory");
	/* A chain starts in an empty file, and an old log is not to be lost. */
	int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_AUDIT, given,
				  "cannot make the audit log %s, which must be a new file", given);
	*ret_path = TAKE_PTR(path);
	return fd;
}
