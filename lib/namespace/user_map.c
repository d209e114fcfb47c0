/* SPDX-License-Identifier: Apache-2.0 */
/* Writing uid_map and gid_map: one id each, the caller's, which needs no privilege and no helper program. */
#include "namespace/user_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

static int put(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int user_map_self(uid_t uid, gid_t gid)
{
	char text[64];

	snprintf(text, sizeof(text), "%u %u 1", uid, uid);
	int r = put("/proc/self/uid_map", text);
	/* Without it an unprivileged process may not write a gid_map (CVE-2014-8989: groups that deny access). */
	if (r == 0)
		r = put("/proc/self/setgroups", "deny");
	snprintf(text, sizeof(text), "%u %u 1", gid, gid);
	return r < 0 ? r : put("/proc/self/gid_map", text);
}
