/* SPDX-License-Identifier: Apache-2.0 */
/* Audit records of a sandbox: into its log first, then to the client as an event. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "supervisor/supervisor.h"

/* The reason once more, as text that can be printed. */
static void tell(struct sandbox *sandbox, const char *event, const char *call, const char *reason, const char *line)
{
	size_t size = 4 * strlen(reason) + 1;
	_cleanup_free_ char *text = malloc(size);

	if (text)
		escape_controls(reason, text, size);
	client_event(sandbox->supervisor, sandbox, event, call, text ? text : "", line);
}

int record_add(struct sandbox *sandbox, const char *event, const char *call, const char *reason, const char *members)
{
	const char *line;
	_cleanup_buf_ struct buf b = { 0 };

	int r = buf_puts(&b, members);
	if (r == 0 && reason && *reason)
		r = json_member_string(&b, "reason", reason);
	const char *all = r == 0 ? buf_str(&b) : NULL;
	if (!all)
		return -ENOMEM;
	r = audit_log_add(sandbox->log, event, call && *call ? call : NULL, all, &line);
	if (r < 0)
		return r;
	tell(sandbox, event, call ? call : "", reason ? reason : "", line);
	return 0;
}

int record_write(struct sandbox *sandbox, const char *event, const char *call, const char *reason,
		 const char *members)
{
	int r = record_add(sandbox, event, call, reason, members);
	return r < 0 ? r : audit_log_flush(sandbox->log);
}
