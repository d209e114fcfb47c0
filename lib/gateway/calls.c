/* SPDX-License-Identifier: Apache-2.0 */
/* Table of calls. */
#include "gateway/calls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/addresses.h"
#include "base/util.h"
#include "gateway/gateway.h"
#include "gateway/issue.h"
#include "gateway/session.h"
#include "policy/grant.h"

static struct call **bucket_of(struct calls *c, uint32_t addr)
{
	return &c->buckets[addr % CALL_BUCKETS];
}

struct call *calls_by_addr(struct calls *c, uint32_t addr)
{
	struct call *call = *bucket_of(c, addr);
	while (call && call->addr != addr)
		call = call->chain;
	return call;
}

static void usage_unref(struct usage *u)
{
	while (u && --u->refs == 0) {
		struct usage *parent = u->parent;
		free(u);
		u = parent;
	}
}

static void call_free(struct call *call)
{
	if (!call)
		return;
	questions_forget(call);
	usage_unref(call->usage);
	free(call->names_seen);
	grant_free(call->grant);
	free(call->about);
	free(call);
}

int calls_add(struct gateway *gw, uint32_t addr, char ***ret_env)
{
	if (addr < CALL_ADDR_FIRST || addr > CALL_ADDR_LAST || calls_by_addr(&gw->calls, addr))
		return -EINVAL;
	struct call *call = calloc(1, sizeof(*call));
	if (!call)
		return -ENOMEM;
	call->addr = addr;
	call->usage = calloc(1, sizeof(*call->usage));
	if (!call->usage) {
		call_free(call);
		return -ENOMEM;
	}
	call->usage->refs = 1;
	int r = secrets_open_call(&gw->secrets, call, ret_env);
	if (r < 0) {
		call_free(call);
		return r;
	}
	struct call **bucket = bucket_of(&gw->calls, addr);
	call->chain = *bucket;
	*bucket = call;
	gw->calls.n++;
	return 0;
}

int calls_bind(struct gateway *gw, struct call *call, struct call *parent, struct grant *grant,
	       char *about)
{
	struct usage *own = call->usage;

	if (call->bound)
		return -EINVAL;
	/* A circle would be counted round for ever. */
	for (const struct usage *u = parent ? parent->usage : NULL; u; u = u->parent) {
		if (u == own)
			return -EINVAL;
	}
	call->bound = true;
	if (parent) {
		own->parent = parent->usage;
		own->parent->refs++;
	}
	call->grant = grant;
	call->about = about;
	if (grant) {
		own->max_requests = grant_number(grant, GRANT_USES);
		own->max_bytes_up = grant_number(grant, GRANT_BYTES_UP);
		usage_set_rate(own, grant_number(grant, GRANT_RATE));
		secrets_narrow_call(&gw->secrets, call, grant);
	}
	return 0;
}

bool calls_end(struct gateway *gw, struct call *call)
{
	while (call->sessions)
		session_abort(call->sessions);
	dns_drop_call(gw, call);
	upstream_drop_idle(call);
	bool waits = issues_end(gw, call);
	secrets_close_call(&gw->secrets, call);
	struct call **p = bucket_of(&gw->calls, call->addr);
	while (*p != call)
		p = &(*p)->chain;
	*p = call->chain;
	gw->calls.n--;
	call_free(call);
	return waits;
}

bool call_may_make_name(const struct call *call)
{
	const struct usage *u = call->usage;

	while (u && u->names < CALL_MAX_NAMES)
		u = u->parent;
	return !u;
}

void call_made_name(struct call *call)
{
	for (struct usage *u = call->usage; u; u = u->parent)
		u->names++;
}

bool call_has_seen(const struct call *call, const struct name *name)
{
	size_t byte = name->index / 8;
	return byte < call->names_seen_len && (call->names_seen[byte] >> (name->index % 8) & 1);
}

int call_sees_name(struct call *call, const struct name *name)
{
	size_t byte = name->index / 8;

	if (byte >= call->names_seen_len) {
		size_t len = byte < 32 ? 64 : byte * 2;
		uint8_t *p = realloc(call->names_seen, len);
		if (!p)
			return -ENOMEM;
		memset(p + call->names_seen_len, 0, len - call->names_seen_len);
		call->names_seen = p;
		call->names_seen_len = len;
	}
	call->names_seen[byte] |= (uint8_t)(1u << (name->index % 8));
	call->n_names++;
	return 0;
}
