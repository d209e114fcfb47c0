/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls within calls. Between the processes there is no nesting: a child is a call of its own beside the one that
 * asked for it, with its own namespaces, address and placeholders. What makes it a child is kept here: it has at
 * most what the asker has (call_grant.c), and it lives no longer. It is killed when its connection closes and when
 * the asker's last process is dead; the end of the asker is told when all of it is gone.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "supervisor/supervisor.h"

static unsigned depth_of(const struct call *call)
{
	unsigned depth = 0;

	while (call && call->parent_number) {
		call = call_by_number(call->sandbox, call->parent_number);
		depth++;
	}
	return depth;
}

static size_t n_children(const struct sandbox *b)
{
	size_t n = 0;

	for (const struct start *w = b->waiting; w; w = w->next)
		n += w->parent_number != 0;
	for (const struct call *c = b->calls; c; c = c->next)
		n += c->parent_number != 0;
	return n;
}

/* An ask that waits has its standard descriptors here, a call its guardian's socket, and until it has started both. */
bool children_have_descriptors(const struct supervisor *s, size_t more)
{
	size_t n = more;

	for (const struct client *c = s->clients; c; c = c->next)
		n += c->inside != NULL;
	for (const struct sandbox *b = s->sandboxes; b; b = b->next) {
		for (const struct start *w = b->waiting; w; w = w->next)
			n += w->parent_number ? 3 : 0;
		for (const struct call *c = b->calls; c; c = c->next)
			n += !c->parent_number ? 0 : c->state < CALL_RUNNING ? 4 : 1;
	}
	return s->open_files == 0 || n <= s->open_files / 4;
}

/* The asker's placeholders are of no use to the child, which gets its own for the secrets that it has. */
static void drop_placeholders(const struct policy *p, char **env)
{
	size_t n;
	const struct policy_secret *secrets = policy_secrets(p, &n);
	char **to = env;

	for (char **from = env; *from; from++) {
		bool drop = false;
		for (size_t i = 0; i < n && !drop; i++) {
			size_t len = strlen(secrets[i].name);
			drop = strncmp(*from, secrets[i].name, len) == 0 && (*from)[len] == '=';
		}
		if (drop)
			free(*from);
		else
			*to++ = *from;
	}
	*to = NULL;
}

const char *child_ask(struct call *asker, struct start *start)
{
	if (asker->killed || asker->expired)
		return "the call that asks is at its end";
	if (depth_of(asker) + 1 > MAX_DEPTH)
		return "calls within calls are at most 8 deep";
	if (n_children(asker->sandbox) >= MAX_CHILDREN)
		return "calls have asked for 512 calls in this sandbox already; wait for one to end";
	if (!children_have_descriptors(asker->sandbox->supervisor, 4))
		return "calls have asked for as many calls as the limit of open files leaves room for; wait for one to end";
	if (start->flags & START_BACKGROUND && !(asker->start->flags & START_BACKGROUND))
		return "a call that may not leave processes in the background cannot let another one: leave --background away";
	if (asker->full)
		start->flags |= START_FULL;
	drop_placeholders(asker->sandbox->policy, start->env);
	return NULL;
}

/* Each is a record, and nobody else could bound those. */
void child_refused(struct call *asker, const char *why)
{
	record_write(asker->sandbox, "call.denied", asker->id, why, "");
	if (++asker->refusals < MAX_REFUSALS)
		return;
	record_write(asker->sandbox, "limit.hit", asker->id, "refused calls; it may not ask for any more", "");
	for (struct client *c = asker->sandbox->supervisor->clients; c; c = c->next)
		c->gone |= c->asker == asker;
}

void child_taken(struct call *call)
{
	const struct call *parent = call_by_number(call->sandbox, call->start->parent_number);

	call->parent_number = call->start->parent_number;
	call->parent = parent ? parent->address : 0;
}

int child_member(const struct call *call, struct buf *members)
{
	const struct call *parent = call_by_number(call->sandbox, call->parent_number);

	return parent ? json_member_string(members, "parent", parent->id) : 0;
}

static void end_waiting(struct call *call)
{
	struct sandbox *b = call->sandbox;
	struct error e;

	fail(&e, ECANCELED, SANDBOX_STAGE_EXEC, call->id, "the call that asked for it has ended");
	for (struct start *w = b->waiting, *next; w; w = next) {
		next = w->next;
		if (w->parent_number != call->number)
			continue;
		start_unqueue(b, w);
		client_reply(w->client, w->asked, &e, "", NULL, 0);
		start_free(w);
	}
}

void children_end(struct call *call)
{
	end_waiting(call);
	for (struct call *c = call->sandbox->calls, *next; c; c = next) {
		next = c->next; /* one that an auditor is still asked about is freed at once */
		if (c->parent_number == call->number)
			call_signal(c, SIGKILL);
	}
	for (struct client *c = call->sandbox->supervisor->clients; c; c = c->next) {
		if (c->asker == call) {
			c->asker = NULL;
			c->gone = true;
		}
	}
}

bool children_left(const struct call *call)
{
	for (const struct call *c = call->sandbox->calls; c; c = c->next) {
		if (c->parent_number == call->number)
			return true;
	}
	return false;
}

void child_gone(struct call *call)
{
	children_end(call);
	call->sandbox->supervisor->child_ended |= call->parent_number != 0;
}

static struct call *find_ended(const struct supervisor *s)
{
	for (const struct sandbox *b = s->sandboxes; b; b = b->next) {
		for (struct call *c = b->calls; c; c = c->next) {
			if (c->awaits_children && !children_left(c))
				return c;
		}
	}
	return NULL;
}

/* At the end of a turn of the loop, when nobody up the stack holds a call any more. */
void children_reap(struct supervisor *s)
{
	while (s->child_ended) {
		struct call *ended = find_ended(s);
		s->child_ended = ended != NULL;
		if (ended) {
			ended->awaits_children = false;
			call_cut(ended);
		}
	}
}
