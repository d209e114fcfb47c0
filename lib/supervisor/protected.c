/* SPDX-License-Identifier: Apache-2.0 */
/* Looking after what the host would execute (lib/watch): when, the records of it, and what inspect says. */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "supervisor/supervisor.h"
#include "watch/watch.h"

/* A look that takes longer is had at the ends of children for a tenth of the time only. */
#define LOOK_US 5000u
#define TOLD_MAX (64u * 1024u) /* bytes for inspect; the audit log has all of them */

struct finding {
	struct sandbox *sandbox;
	const char *call;
};

int protected_start(struct sandbox *b, int state, struct error *e)
{
	return watch_new(b->policy, state, b->id, &b->watch, e);
}

bool protected_is_cut(const struct sandbox *b)
{
	return b->watch && watch_is_cut(b->watch);
}

static int put_members(const struct watch_found *f, struct buf *m)
{
	int r = json_member_bytes(m, "path", f->path, strlen(f->path));

	if (r == 0 && f->kept)
		r = json_member_bytes(m, "kept", f->kept, strlen(f->kept));
	if (r == 0 && f->keys)
		r = json_member_strv(m, "keys", f->keys);
	if (r == 0 && f->restored)
		r = json_member_raw(m, "restored", "true");
	if (r == 0 && f->failed)
		r = json_member_string(m, "failed", strerrordesc_np(f->failed));
	return r;
}

static void told(struct sandbox *b, const struct finding *finding, const struct watch_found *f, const char *members)
{
	_cleanup_buf_ struct buf one = { 0 };

	if (b->found_protected.len > TOLD_MAX || buf_printf(&one, "{%s", members) < 0 ||
	    json_member_string(&one, "reason", f->what) < 0 ||
	    (finding->call && *finding->call && json_member_string(&one, "call", finding->call) < 0) || buf_putc(&one, '}') < 0)
		return;
	if (b->found_protected.len && buf_putc(&b->found_protected, ',') < 0)
		return;
	buf_append(&b->found_protected, one.data, one.len);
}

/* That it cannot be written down is no reason to leave it. */
static void report(void *arg, const struct watch_found *f)
{
	const struct finding *finding = arg;
	_cleanup_buf_ struct buf m = { 0 };
	const char *members = put_members(f, &m) == 0 ? buf_str(&m) : NULL;

	record_write(finding->sandbox, "fs.protected", finding->call, f->what, members ? members : "");
	if (members)
		told(finding->sandbox, finding, f, members);
}

void protected_check(struct sandbox *b, const char *call)
{
	struct finding finding = { b, call };

	if (!b->watch || !b->log)
		return;
	const uint64_t begin = now_us();
	watch_check(b->watch, report, &finding);
	const uint64_t end = now_us();
	b->look_again = end - begin > LOOK_US ? end + 9 * (end - begin) : 0;
	b->look_due = 0;
}

/* A child's asker goes on, and can put there what it likes in the next moment; and both of them choose how much there is to
 * read, and how often a child ends. */
void protected_check_end(const struct call *call)
{
	struct sandbox *b = call->sandbox;

	if (!call->parent_number || b->look_again <= now_us()) {
		protected_check(b, call->id);
		return;
	}
	b->look_due = b->look_again;
	loop_deadline(b->supervisor, b->look_due);
}

bool protected_expire(struct sandbox *b, uint64_t now)
{
	if (!b->look_due || b->look_due > now)
		return false;
	protected_check(b, NULL);
	return true;
}

int protected_member(const struct sandbox *b, struct buf *out)
{
	_cleanup_buf_ struct buf list = { 0 };

	int r = buf_putc(&list, '[');
	if (r == 0)
		r = buf_append(&list, b->found_protected.data, b->found_protected.len);
	if (r == 0)
		r = buf_putc(&list, ']');
	const char *text = r == 0 ? buf_str(&list) : NULL;
	return text ? json_member_raw(out, "protected", text) : -ENOMEM;
}

void protected_free(struct sandbox *b)
{
	watch_free(b->watch);
	buf_free(&b->found_protected);
}
