/* SPDX-License-Identifier: Apache-2.0 */
/* What is done with changes, in the audit log of their sandbox, which has ended. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/log.h"
#include "base/json.h"
#include "base/util.h"
#include "client/changes.h"
#include "overlay/executed.h"

/* Paths told one by one, in bytes. */
#define RECORD_PATHS (64u * 1024u)

void changes_facts_free(struct changes_facts *f)
{
	strv_free(f->paths);
	*f = (struct changes_facts){ 0 };
}

int changes_facts(const struct changes *c, struct changes_facts *ret)
{
	size_t n = 0, cap = 0, bytes = 0;

	*ret = (struct changes_facts){ .paths = calloc(1, sizeof(*ret->paths)) };
	if (!ret->paths)
		return -ENOMEM;
	for (size_t i = 0; i < c->n; i++) {
		const struct change *change = &c->v[i];
		if (!change->selected || change->implied)
			continue;
		ret->executed += (change->flags & EXECUTED_ALL) != 0;
		if (ret->files++ > 0 && bytes > RECORD_PATHS)
			continue;
		if (n == cap) {
			cap = cap ? cap * 2 : 64;
			char **more = reallocarray(ret->paths, cap + 1, sizeof(*more));
			if (!more)
				return -ENOMEM;
			ret->paths = more;
		}
		ret->paths[n + 1] = NULL;
		if (asprintf(&ret->paths[n], "%s/%s", c->layer->roots[change->root].path, change->path) < 0) {
			ret->paths[n] = NULL;
			return -ENOMEM;
		}
		bytes += strlen(ret->paths[n++]) + 8;
	}
	return 0;
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
	char call[CALL_ID_MAX];
	struct audit_log *log = NULL;

	if (!buf_str(members))
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, l->id, "out of memory");
	snprintf(call, sizeof(call), "%s.%" PRIu32, l->id, l->call);
	int fd = changes_log_open(l, e);
	if (fd < 0)
		return fd;
	int r = audit_log_continue(fd, l->id, &log, e);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	r = audit_log_add(log, event, l->call ? call : NULL, buf_str(members), NULL);
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
	_cleanup_changes_facts_ struct changes_facts facts = { 0 };

	if (changes_facts(c, &facts) < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, l->id, "out of memory");
	*ret_n = facts.files;
	return changes_record_facts(l, &facts, event, more, e);
}

int changes_record_facts(const struct layer *l, const struct changes_facts *facts, const char *event, const char *more,
			 struct error *e)
{
	_cleanup_buf_ struct buf members = { 0 };

	int r = json_member_strv(&members, "paths", facts->paths);
	if (r == 0)
		r = json_member_int(&members, "files", (int64_t)facts->files);
	if (r == 0)
		r = json_member_int(&members, "executed_by_host", (int64_t)facts->executed);
	if (r == 0 && *more && (r = buf_putc(&members, ',')) == 0)
		r = buf_puts(&members, more);
	if (r < 0)
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
