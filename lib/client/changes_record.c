/* SPDX-License-Identifier: Apache-2.0 */
/* What is done with changes, in the audit log of their sandbox, which has ended. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "audit/log.h"
#include "base/json.h"
#include "base/util.h"
#include "client/changes.h"
#include "overlay/executed.h"

/* Paths told one by one, in bytes. */
#define RECORD_PATHS (64u * 1024u)

static int put_record(const struct changes *c, struct buf *b, size_t *ret_n)
{
	size_t n = 0, executed = 0;
	int r = buf_puts(b, "\"paths\":[");

	for (size_t i = 0; i < c->n && r == 0; i++) {
		const struct change *change = &c->v[i];
		if (!change->selected || change->implied)
			continue;
		executed += (change->flags & EXECUTED_ALL) != 0;
		if (n++ > 0 && b->len > RECORD_PATHS)
			continue;
		_cleanup_free_ char *path = NULL;
		if (n > 1)
			r = buf_putc(b, ',');
		if (asprintf(&path, "%s/%s", c->layer->roots[change->root].path, change->path) < 0)
			return -ENOMEM;
		if (r == 0)
			r = json_text(b, path, strlen(path));
	}
	if (r == 0)
		r = buf_putc(b, ']');
	if (r == 0)
		r = json_member_int(b, "files", (int64_t)n);
	if (r == 0)
		r = json_member_int(b, "executed_by_host", (int64_t)executed);
	*ret_n = n;
	return r;
}

int changes_log_open(const struct layer *l, struct error *e)
{
	int fd = open(l->audit, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);

	return fd < 0 ? fail_errno(e, errno, SANDBOX_STAGE_AUDIT, l->audit,
				   "cannot open the audit log %s of the sandbox, in which this must be recorded", l->audit) :
			fd;
}

/* Written before anything takes effect; what cannot be written down does not happen. */
static int write_record(const struct layer *l, const char *event, struct buf *members, struct error *e)
{
	struct audit_log *log = NULL;

	if (!buf_str(members))
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, l->id, "out of memory");
	int fd = changes_log_open(l, e);
	if (fd < 0)
		return fd;
	int r = audit_log_continue(fd, l->id, &log, e);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	r = audit_log_add(log, event, NULL, buf_str(members), NULL);
	if (r == 0)
		r = audit_log_flush(log);
	audit_log_free(log);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_AUDIT, l->audit, "cannot write the audit log %s",
				  l->audit) :
		       0;
}

int changes_record(const struct layer *l, const struct changes *c, const char *event, const char *more, size_t *ret_n,
		   struct error *e)
{
	_cleanup_buf_ struct buf members = { 0 };

	if (put_record(c, &members, ret_n) < 0 || (*more && (buf_putc(&members, ',') < 0 || buf_puts(&members, more) < 0)))
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, l->id, "out of memory");
	return write_record(l, event, &members, e);
}

int changes_record_rollback(const struct layer *l, const char *to, struct error *e)
{
	_cleanup_buf_ struct buf members = { 0 };

	if (json_member_string(&members, "rollback", to) < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, l->id, "out of memory");
	return write_record(l, "fs.discard", &members, e);
}
