/* SPDX-License-Identifier: Apache-2.0 */
/* The policy file of a project: bytes that were read once are what is compared, shown and applied. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "policy/internal.h"

#define PROJECT_BYTES_MAX (256u << 10)

int project_read(const char *dir, struct buf *ret, struct error *e)
{
	_cleanup_close_ int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (at < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_POLICY, dir, "cannot open the directory %s", dir);
	/* A link could lead to another file each time. */
	_cleanup_close_ int fd = openat(at, PROJECT_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ELOOP)
		return fail(e, ELOOP, SANDBOX_STAGE_POLICY, dir, "%s/%s is a symbolic link; the file itself has to be there", dir,
			    PROJECT_FILE);
	if (fd < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_POLICY, dir, "cannot open %s/%s", dir, PROJECT_FILE);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > PROJECT_BYTES_MAX)
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, dir, "%s/%s is no regular file of at most %u bytes", dir,
			    PROJECT_FILE, PROJECT_BYTES_MAX);
	for (;;) {
		if (buf_reserve(ret, 65536) < 0)
			return out_of_memory(e);
		ssize_t n = read(fd, ret->data + ret->len, 65536);
		if (n < 0 && errno != EINTR)
			return fail_errno(e, errno, SANDBOX_STAGE_POLICY, dir, "cannot read %s/%s", dir, PROJECT_FILE);
		if (n == 0)
			return 0;
		ret->len += n > 0 ? (size_t)n : 0;
		if (ret->len > PROJECT_BYTES_MAX)
			return fail(e, EFBIG, SANDBOX_STAGE_POLICY, dir, "%s/%s is over %u bytes", dir, PROJECT_FILE,
				    PROJECT_BYTES_MAX);
	}
}

int policy_load_project(struct policy *p, const struct buf *text, struct error *e)
{
	_cleanup_(ini_done) struct ini_file file = { 0 };

	if (p->finished)
		return fail(e, EBUSY, SANDBOX_STAGE_POLICY, PROJECT_FILE, "the policy is finished and cannot be changed");
	int r = ini_read(text->data ? (const char *)text->data : "", text->len, PROJECT_FILE, &file, e);
	struct setting like = { .from = FROM_PROJECT, .file_base = p->workdir ? p->workdir : "." };
	return r < 0 ? r : apply_file(p, &file, &like, PROJECT_FILE, e);
}
