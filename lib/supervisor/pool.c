/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prepared calls. Making a network namespace, a wire and a guardian takes a few milliseconds, so it is done before
 * anybody asks. A prepared call is used once and by one command: when none is left the next command waits, it never
 * shares. A sandbox that idles holds one; the depth doubles when a command had to wait and falls back after a pause.
 * What was taken is made anew when a call has ended, or after a tenth of a second of a long one: two milliseconds of work
 * on another processor slow a short call down by one (they often share a core), and between calls there is time. Not at
 * the end of a call itself, nor is that taken apart then: on a busy processor all of it would run before the client
 * that was just told.
 */
#include <errno.h>

#include "base/util.h"
#include "policy/grant.h"
#include "supervisor/decided.h"
#include "supervisor/question.h"
#include "supervisor/supervisor.h"

#define ADAPTIVE_MAX 32u
#define SHRINK_AFTER_US (5u * 1000000u)
#define REFILL_AFTER_US (100u * 1000u)
#define AFTER_END_US 1000u

static unsigned kind_of(const struct call *call)
{
	return call->full ? KIND_FULL : KIND_LIGHT;
}

static unsigned kind_wanted(const struct sandbox *b, const struct start *start)
{
	return start->flags & START_FULL || !b->supervisor->scopes ? KIND_FULL : KIND_LIGHT;
}

/* Nobody else can take what was prepared for it. */
static void drop_own(struct start *start)
{
	struct call *own = TAKE_PTR(start->own);

	if (!own)
		return;
	own->promised = NULL;
	call_drop(own);
}

void start_close_stdio(struct start *start)
{
	for (size_t i = 0; i < 3; i++) {
		int fd = TAKE_FD(start->stdio[i]);
		if (start->parent_number)
			closer_close(fd);
		else
			fd_close(fd);
	}
}

void start_free(struct start *start)
{
	if (!start)
		return;
	drop_own(start);
	start_close_stdio(start);
	free(start->template);
	strv_free(start->argv);
	strv_free(start->env);
	free(start->cwd);
	grant_free(start->grant);
	decided_unref(start->decided);
	buf_free(&start->paths);
	free(start->decided_by);
	shown_free(start->agreed);
	buf_free(&start->covers);
	free(start);
}

void start_unqueue(struct sandbox *b, struct start *start)
{
	for (struct start **at = &b->waiting; *at; at = &(*at)->next) {
		if (*at == start) {
			*at = start->next;
			if (!*at)
				b->waiting_tail = at;
			start->next = NULL;
			return;
		}
	}
}

static struct call *prepared(struct sandbox *b, unsigned kind)
{
	for (struct call *c = b->calls; c; c = c->next) {
		if (c->state == CALL_PREPARED && !c->promised && kind_of(c) == kind)
			return c;
	}
	return NULL;
}

static struct call *prepared_for(struct sandbox *b, const struct start *w)
{
	if (w->covers.len == 0)
		return prepared(b, kind_wanted(b, w));
	return w->own && w->own->state == CALL_PREPARED ? w->own : NULL;
}

static void refuse_one(struct sandbox *b, struct start *w, const struct error *failure)
{
	start_unqueue(b, w);
	client_reply(w->client, w->asked, failure, "", NULL, 0);
	start_free(w);
}

/* Whoever waits longest is told; without anybody it is not tried again before somebody asks. */
static void refuse_longest(struct sandbox *b, unsigned kind, const struct error *failure)
{
	b->broken[kind] = true;
	for (struct start *w = b->waiting; w; w = w->next) {
		if (w->covers.len > 0 || kind_wanted(b, w) != kind)
			continue;
		refuse_one(b, w, failure);
		/* The others that wait are tried anew, each until it fails by itself. */
		b->broken[kind] = false;
		return;
	}
}

/* own: for this one alone, or NULL. */
static void prepare_one(struct sandbox *b, unsigned kind, struct start *own)
{
	struct call *call = call_new(b, kind == KIND_FULL);
	struct error e;

	if (!call) {
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, b->id,
		     "no memory, or no address in the network of this sandbox, is left for another call; make a new sandbox");
		if (own)
			refuse_one(b, own, &e);
		else
			refuse_longest(b, kind, &e);
		return;
	}
	call->promised = own;
	call->scratched = own && b->layer >= 0 && own->grant && grant_view(own->grant) == GRANT_VIEW_SCRATCH;
	if (own)
		own->own = call;
	bool asked = launcher_send_slot(call) == 0;
	if (asked && b->gateway == GATEWAY_UP)
		asked = gateway_send_call(call) == 0;
	/* Before the gateway is up sandbox_progress() asks for the placeholders. */
	call->has_placeholders = b->gateway == GATEWAY_NONE;
	if (!asked) {
		fail(&e, EIO, SANDBOX_STAGE_PROTOCOL, b->id, "cannot ask for a call: a part of the sandbox is gone");
		pool_failed(call, &e);
	}
}

static void refill(struct sandbox *b)
{
	uint32_t have[KIND_MAX] = { 0 }, want[KIND_MAX], total = 0;

	/* Without its gateway a sandbox starts nothing any more, and no placeholders come. */
	if (b->gateway == GATEWAY_DEAD)
		return;
	for (unsigned k = 0; k < KIND_MAX; k++)
		want[k] = b->depth[k];
	for (const struct start *w = b->waiting; w; w = w->next)
		want[kind_wanted(b, w)] += w->covers.len == 0;
	for (const struct call *c = b->calls; c; c = c->next) {
		total++;
		if (!c->promised && (c->state == CALL_PREPARING || c->state == CALL_PREPARED))
			have[kind_of(c)]++;
	}
	for (unsigned k = 0; k < KIND_MAX; k++) {
		while (have[k] < want[k] && total < MAX_CALLS + MAX_POOL && !b->broken[k] &&
		       b->state != SANDBOX_ENDING) {
			have[k]++;
			total++;
			prepare_one(b, k, NULL);
		}
	}
}

/* Somebody had to wait: prepare more from now on. */
static void grow(struct sandbox *b, unsigned kind)
{
	if (b->depth_fixed)
		return;
	b->depth[kind] = b->depth[kind] == 0 ? 1 : b->depth[kind] * 2 < ADAPTIVE_MAX ? b->depth[kind] * 2 : ADAPTIVE_MAX;
	b->pool_deadline = now_us() + SHRINK_AFTER_US;
	loop_deadline(b->supervisor, b->pool_deadline);
}

void pool_match(struct sandbox *b)
{
	if (b->state != SANDBOX_READY)
		return;
	for (struct start *w = b->waiting, *next; w; w = next) {
		next = w->next;
		struct call *call = prepared_for(b, w);
		if (!call)
			continue;
		start_unqueue(b, w);
		call_take(call, w);
	}
	if (b->waiting || b->refill_deadline == 0)
		refill(b);
}

static void pool_idle(struct sandbox *b)
{
	b->refill_deadline = 0;
	for (struct call *c = b->calls, *next; c; c = next) {
		next = c->next;
		if (c->state == CALL_OVER)
			call_forget(c);
	}
	pool_match(b);
}

void pool_ended(struct sandbox *b)
{
	uint64_t at = now_us() + AFTER_END_US;

	if (b->waiting) {
		pool_idle(b); /* for the room that it takes */
		return;
	}
	if (!b->refill_deadline || b->refill_deadline > at)
		b->refill_deadline = at;
	loop_deadline(b->supervisor, b->refill_deadline);
}

void call_ask(struct sandbox *b, struct start *start)
{
	unsigned kind = kind_wanted(b, start);

	*b->waiting_tail = start;
	b->waiting_tail = &start->next;
	if (start->covers.len > 0) {
		prepare_one(b, KIND_FULL, start);
		return;
	}
	b->broken[kind] = false;
	if (!prepared(b, kind))
		grow(b, kind);
	else if (b->pool_deadline)
		b->pool_deadline = now_us() + SHRINK_AFTER_US;
	if (b->refill_deadline == 0) {
		b->refill_deadline = now_us() + REFILL_AFTER_US;
		loop_deadline(b->supervisor, b->refill_deadline);
	}
	pool_match(b);
}

/* Prepared calls that are more than the depth asks for. */
static void shrink(struct sandbox *b)
{
	uint32_t have[KIND_MAX] = { 0 };

	for (struct call *c = b->calls, *next; c; c = next) {
		next = c->next;
		if (c->state == CALL_PREPARED && !c->promised && ++have[kind_of(c)] > b->depth[kind_of(c)])
			call_drop(c);
	}
}

void pool_progress(struct call *call)
{
	if (call->state != CALL_PREPARING || !call->has_placeholders || call->guardian.fd < 0)
		return;
	struct sandbox *b = call->sandbox;
	call->state = CALL_PREPARED;
	pool_match(b);
	/* It may have been asked for when more were wanted. */
	shrink(b);
}

void pool_failed(struct call *call, const struct error *failure)
{
	struct sandbox *b = call->sandbox;
	unsigned kind = kind_of(call);
	struct start *own = TAKE_PTR(call->promised);

	if (own)
		own->own = NULL;
	call_drop(call);
	/* In a sandbox that is ending whoever waits is told of that, not of what it broke on the way. */
	if (b->state == SANDBOX_ENDING)
		return;
	if (own)
		refuse_one(b, own, failure);
	else
		refuse_longest(b, kind, failure);
	pool_match(b);
}

void pool_set_depth(struct sandbox *b, uint32_t depth)
{
	b->depth_fixed = true;
	b->pool_deadline = 0;
	b->depth[b->supervisor->scopes ? KIND_LIGHT : KIND_FULL] = depth;
	if (b->depth[KIND_FULL])
		b->depth[KIND_FULL] = depth;
	shrink(b);
	pool_match(b);
}

bool pool_expire(struct sandbox *b, uint64_t now)
{
	if (b->refill_deadline && b->refill_deadline <= now) {
		pool_idle(b);
		return true;
	}
	if (!b->pool_deadline || b->pool_deadline > now)
		return false;
	b->pool_deadline = 0;
	for (unsigned k = 0; k < KIND_MAX; k++) {
		if (b->depth[k] > 1)
			b->depth[k] = 1;
	}
	shrink(b);
	return true;
}
