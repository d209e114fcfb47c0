/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Grants that were decided before. A front end gives most of its calls one of a few grants, and what came of a request
 * by the same policy is the same again: what was computed of it is kept, for the next call that asks in the same bytes.
 * Only requests of clients, since those of a call are bounded by what that call has; and nothing outlives a change of the
 * policy.
 */
#include <string.h>

#include "base/util.h"
#include "policy/grant.h"
#include "supervisor/decided.h"

#define DECIDED_MAX 16u

struct decided {
	struct decided *next;
	unsigned users; /* the list, and the starts that have it */
	/* What was asked: the name of a template with its end, the client's grant, and what the command is bound to. */
	struct buf request;
	const struct grant *of_command;
	uint32_t asked_flags;
	/* What came of it: see struct start. */
	struct grant *grant;
	struct buf paths, covers;
	size_t seals_len;
	uint32_t n_paths;
	bool on_base;
	struct buf members, bytes; /* call_grant_members(), and grant_encode() */
};

void decided_unref(struct decided *d)
{
	if (!d || --d->users > 0)
		return;
	buf_free(&d->request);
	grant_free(d->grant);
	buf_free(&d->paths);
	buf_free(&d->covers);
	buf_free(&d->members);
	buf_free(&d->bytes);
	free(d);
}

static bool is_for(const struct decided *d, const struct start *start, const struct grant *of_command, const void *bytes,
		   size_t len)
{
	size_t n = strlen(start->template) + 1;

	return d->of_command == of_command && d->asked_flags == (start->flags & START_FULL) && d->request.len == n + len &&
	       memcmp(d->request.data, start->template, n) == 0 && (len == 0 || memcmp(d->request.data + n, bytes, len) == 0);
}

bool decided_find(struct sandbox *b, struct start *start, const void *bytes, size_t len)
{
	const struct grant *of_command = policy_grant_for_argv(b->policy, (const char *const *)start->argv);

	for (struct decided **at = &b->decided; *at; at = &(*at)->next) {
		struct decided *d = *at;
		if (!is_for(d, start, of_command, bytes, len))
			continue;
		if (buf_append(&start->paths, d->paths.data, d->paths.len) < 0 ||
		    buf_append(&start->covers, d->covers.data, d->covers.len) < 0) {
			start->paths.len = start->covers.len = 0;
			return false;
		}
		start->grant = grant_ref(d->grant);
		start->seals_len = d->seals_len;
		start->n_paths = d->n_paths;
		start->on_base = d->on_base;
		start->decided = d;
		d->users++;
		/* The one that was of use last is found first, and dropped last. */
		*at = d->next;
		d->next = b->decided;
		b->decided = d;
		return true;
	}
	return false;
}

static int fill(struct decided *d, const struct start *start, const void *bytes, size_t len)
{
	d->seals_len = start->seals_len;
	d->n_paths = start->n_paths;
	d->on_base = start->on_base;
	int r = buf_append(&d->request, start->template, strlen(start->template) + 1);
	if (r == 0)
		r = buf_append(&d->request, bytes, len);
	if (r == 0)
		r = buf_append(&d->paths, start->paths.data, start->paths.len);
	if (r == 0)
		r = buf_append(&d->covers, start->covers.data, start->covers.len);
	if (r == 0)
		r = grant_encode(start->grant, &d->bytes);
	return r < 0 ? r : call_grant_members(start->grant, &d->members);
}

void decided_keep(struct sandbox *b, const struct start *start, uint32_t asked_flags, const void *bytes, size_t len)
{
	struct decided *d = calloc(1, sizeof(*d));
	size_t n = 1;

	if (!d)
		return;
	d->users = 1;
	d->of_command = policy_grant_for_argv(b->policy, (const char *const *)start->argv);
	d->asked_flags = asked_flags & START_FULL;
	d->grant = grant_ref(start->grant);
	if (fill(d, start, bytes, len) < 0) {
		decided_unref(d); /* then it is computed once more the next time */
		return;
	}
	d->next = b->decided;
	b->decided = d;
	for (struct decided **at = &d->next; *at; n++) {
		struct decided *old = *at;
		if (n < DECIDED_MAX) {
			at = &old->next;
			continue;
		}
		*at = old->next;
		decided_unref(old);
	}
}

void decided_drop(struct sandbox *b)
{
	while (b->decided) {
		struct decided *d = b->decided;
		b->decided = d->next;
		decided_unref(d);
	}
}

int decided_members(const struct start *start, struct buf *members)
{
	const struct decided *d = start->decided;

	if (!d)
		return call_grant_members(start->grant, members);
	int r = members->len ? buf_putc(members, ',') : 0;
	return r < 0 ? r : buf_append(members, d->members.data, d->members.len);
}

int decided_bytes(const struct start *start, struct buf *bytes)
{
	const struct decided *d = start->decided;

	return d ? buf_append(bytes, d->bytes.data, d->bytes.len) : grant_encode(start->grant, bytes);
}
