/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the auditor of a sandbox that has ended about a commit (nsbox-auditor(7), fs.commit).
 *
 * Theory of operation. Its supervisor is gone, so one is started for the time of the question, with a policy that says
 * who is asked and nothing else. It reaches and confines the auditor as always, writes into the sandbox's audit log, and
 * holds an entry of the registry, so that `nsbox approve` finds what is left to a person. Then it is gone again, before
 * this process goes on in the log. The layer is locked all the time, and the digest that was asked about is compared with
 * what was staged (overlay/commit.h): what was shown is what is committed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "client/changes.h"
#include "client/registry.h"
#include "overlay/executed.h"
#include "supervisor/protocol.h"

/* A question is one packet of AUDITOR_MAX_PACKET: a longer list goes into several. */
#define PART_BYTES (40u * 1024u)

struct summary {
	size_t files, kinds[CHANGE_TYPE + 1], executed;
	unsigned flags;
};

static bool is_told(const struct change *change)
{
	return change->selected && !change->implied;
}

static int put_summary(struct buf *b, const struct summary *s)
{
	static const char *const kinds[] = { "added", "modified", "deleted", "renamed", "mode", "type" };
	_cleanup_buf_ struct buf object = { 0 };

	int r = buf_putc(&object, '{');
	if (r == 0)
		r = json_member_int(&object, "files", (int64_t)s->files);
	for (size_t i = 0; i < ARRAY_LEN(kinds) && r == 0; i++)
		r = json_member_int(&object, kinds[i], (int64_t)s->kinds[i]);
	if (r == 0)
		r = json_member_int(&object, "executed_by_host", (int64_t)s->executed);
	if (r == 0)
		r = buf_putc(&object, '}');
	const char *text = r == 0 ? buf_str(&object) : NULL;
	return text ? json_member_raw(b, "summary", text) : -ENOMEM;
}

/* The changes as lists of JSON objects, each list with its NUL. */
static int put_lists(const struct changes *c, struct buf *lists, size_t *ret_n, struct summary *s)
{
	size_t begin = 0;
	int r = 0;

	for (size_t i = 0; i < c->n && r == 0; i++) {
		const struct change *change = &c->v[i];
		if (!is_told(change))
			continue;
		s->files++;
		s->kinds[change->kind]++;
		s->flags |= change->flags;
		s->executed += (change->flags & EXECUTED_ALL) != 0;
		if (lists->len > begin && lists->len - begin > PART_BYTES) {
			r = buf_putc(lists, '\0');
			begin = lists->len;
			(*ret_n)++;
		}
		if (r == 0)
			r = buf_puts(lists, lists->len > begin ? ",{" : "{");
		if (r == 0)
			r = changes_members(lists, c, change);
		if (r == 0)
			r = buf_putc(lists, '}');
	}
	(*ret_n)++;
	return r < 0 ? r : buf_putc(lists, '\0');
}

/* The questions, each with its NUL. */
static int put_questions(const struct changes *c, const char *digest, struct buf *out)
{
	_cleanup_buf_ struct buf lists = { 0 };
	struct summary s = { 0 };
	size_t n = 0;

	int r = put_lists(c, &lists, &n, &s);
	const char *list = (const char *)lists.data;
	for (size_t part = 1; part <= n && r == 0; part++, list += strlen(list) + 1) {
		_cleanup_buf_ struct buf b = { 0 };
		r = json_member_string(&b, "workdir", c->layer->workdir);
		if (r == 0)
			r = put_summary(&b, &s);
		if (r == 0)
			r = buf_printf(&b, ",\"entries\":[%s]", list);
		if (r == 0)
			r = changes_flags(&b, s.flags);
		if (r == 0)
			r = json_member_string(&b, "digest", digest);
		if (r == 0)
			r = json_member_int(&b, "part", (int64_t)part);
		if (r == 0)
			r = json_member_int(&b, "parts", (int64_t)n);
		if (r == 0)
			r = buf_putc(&b, '\0');
		if (r == 0)
			r = buf_append(out, b.data, b.len);
	}
	return r;
}

/* Who is asked, and nothing more. */
static int policy_of(const struct layer *l, struct policy *p, struct error *e)
{
	char deadline[32];

	snprintf(deadline, sizeof(deadline), "%llums", (unsigned long long)l->deadline_us / 1000);
	int r = policy_set_workdir(p, l->roots[0].path, true, e);
	if (r == 0)
		r = policy_set(p, "network", "mode", "none", NULL, "commit", e);
	if (r == 0)
		r = policy_set(p, "audit", "auditor", l->auditor, NULL, "commit", e);
	if (r == 0 && l->deadline_us)
		r = policy_set(p, "audit", "deadline", deadline, NULL, "commit", e);
	return r < 0 ? r : policy_finish(p, e);
}

static int send_question(struct sandbox *b, const struct policy *p, const struct layer *l, const struct buf *questions,
			 const int place[_PLACE_MAX], char **ret_decided, struct error *e)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct request request = { 0 };

	_cleanup_close_ int policy_fd = policy_memfd(p, e);
	_cleanup_close_ int log_fd = policy_fd < 0 ? policy_fd : above_stdio(changes_log_open(l, e));
	if (log_fd < 0)
		return log_fd;
	_cleanup_close_ int list_fd = above_stdio(memfd_from_bytes("commit", questions->data, questions->len));
	if (list_fd < 0)
		return fail_errno(e, -list_fd, SANDBOX_STAGE_INTERNAL, b->id, "cannot pass on what is to be committed");
	int r = request_begin(b->connection, &m, MSG_REVIEW, &request);
	if (r == 0)
		r = wire_put_str(&m, b->id);
	if (r == 0)
		r = wire_put_str(&m, b->name);
	if (r < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, b->id, "out of memory");
	const int fds[] = { policy_fd, log_fd, list_fd, place[PLACE_ENTRY], place[PLACE_LOCK], place[PLACE_SOCKET_DIR],
			    place[PLACE_SOCKET] };
	return request_run(b->connection, &m, &request, fds, ARRAY_LEN(fds), ret_decided, NULL, e);
}

static int ask_in(struct sandbox *b, const struct policy *p, const struct layer *l, const struct buf *questions,
		  char **ret_decided, struct error *e)
{
	int place[_PLACE_MAX] = { -EBADF, -EBADF, -EBADF, -EBADF };
	struct entry entry = { 0 };

	int r = named_claim(b, NULL, p, &entry, place, e);
	if (r < 0) {
		entry_clear(&entry);
		return r;
	}
	/* Whoever decides has to find it at once. */
	entry.ready = true;
	free(entry.audit);
	entry.audit = strdup(l->audit);
	r = entry.audit ? named_supervisor(b, false, &entry, place, e) :
			  fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, b->id, "out of memory");
	if (r == 0)
		r = send_question(b, p, l, questions, place, ret_decided, e);
	named_abandon(b);
	named_unclaim(&entry, place);
	place_close(place);
	entry_clear(&entry);
	return r;
}

static int ask(struct sandbox_runtime *runtime, const struct policy *p, const struct layer *l, const struct buf *questions,
	       char **ret_decided, struct error *e)
{
	runtime->wanted = strdup(",");
	runtime->helper_dir = l->helpers ? strdup(l->helpers) : NULL;
	if (!runtime->wanted || (l->helpers && !runtime->helper_dir))
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, l->id, "out of memory");
	struct sandbox *b = sandbox_new(runtime, e);
	if (!b)
		return -ENOMEM;
	snprintf(b->id, sizeof(b->id), "%s", l->id);
	snprintf(b->name, sizeof(b->name), "commit-%s", l->id);
	int r = ask_in(b, p, l, questions, ret_decided, e);
	sandbox_drop(b);
	return r;
}

int review_ask(const struct changes *c, const char *digest, char **ret_decided, struct error *e)
{
	_cleanup_buf_ struct buf questions = { 0 };
	const struct layer *l = c->layer;
	sandbox_runtime *runtime = NULL;
	struct policy *p = NULL;

	if (!l->auditor) {
		*ret_decided = strdup("");
		return *ret_decided ? 0 : fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, l->id, "out of memory");
	}
	if (put_questions(c, digest, &questions) < 0 || policy_new(&p) < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, l->id, "out of memory");
	int r = policy_of(l, p, e);
	if (r == 0 && sandbox_runtime_new(&runtime, NULL) < 0)
		r = fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, l->id, "no memory or descriptors left");
	if (r == 0)
		r = ask(runtime, p, l, &questions, ret_decided, e);
	sandbox_runtime_free(runtime);
	policy_free(p);
	return r;
}
