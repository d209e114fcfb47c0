/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of the sandbox, known by the address of their veth: what each holds and how much of it. */
#ifndef NSBOX_GATEWAY_CALLS_H
#define NSBOX_GATEWAY_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "gateway/quota.h"

#define CALL_BUCKETS 1024u
#define CALL_MAX_CONNECTIONS 1024u
#define CALL_MAX_LANES 1024u /* streams of HTTP/2 connections */
#define CALL_MAX_NAMES 4096u
#define CALL_MAX_IDLE_UPSTREAMS 32u /* and as many as it has connections of its own */
#define CALL_MAX_DNS_CONNECTIONS 16u

struct gateway;
struct session;
struct upstream;
struct name;
struct holder;
struct grant;
struct remembered;

struct call {
	struct call *chain; /* bucket by address */
	uint32_t addr; /* host byte order; what the supervisor knows it by too */
	struct grant *grant;    /* NULL: all of the policy */
	struct usage *usage;
	bool bound;
	bool used; /* something has come from it: its command runs */
	char *about; /* for commands of secrets: a JSON object, or NULL */
	struct holder *holders; /* its placeholders */
	struct session *sessions;
	size_t n_sessions, n_lanes, n_dns_connections;
	struct upstream *idle; /* kept-alive upstream connections, most recent first */
	size_t n_idle;
	struct upstream *shared; /* HTTP/2 connections, and those that may become one; most recent first */
	size_t n_shared;
	uint8_t *names_seen; /* bit i: has asked for the name with index i */
	size_t names_seen_len, n_names;
	bool limit_recorded;
	struct remembered *remembered; /* answers of the auditor that hold on */
	size_t n_remembered;
};

struct calls {
	struct call *buckets[CALL_BUCKETS];
	size_t n;
};

struct call *calls_by_addr(struct calls *c, uint32_t addr);
/* Add a call and make its placeholders; env gets NAME=placeholder entries (strv_free). */
int calls_add(struct gateway *gw, uint32_t addr, char ***ret_env);
/* It starts, asked for by parent (NULL: by no call), with this grant (NULL: all of the policy) and what commands of
 * secrets are told, both taken over when it works. 0, or -EINVAL for one that was bound before or would be its own ancestor. */
int calls_bind(struct gateway *gw, struct call *call, struct call *parent, struct grant *grant,
	       char *about);
/* Cut everything the call has, kill its placeholders, forget it. True: as issues_end(). */
bool calls_end(struct gateway *gw, struct call *call);
/* A name that nobody has asked for takes an address for the sandbox's life, so it counts against the calls above, too:
 * children are no way to more of them. */
bool call_may_make_name(const struct call *call);
void call_made_name(struct call *call);
bool call_has_seen(const struct call *call, const struct name *name);
/* Only for one it has not seen. 0 or -ENOMEM. */
int call_sees_name(struct call *call, const struct name *name);

#endif
