/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person changes about the authority of a sandbox that runs. The record comes first, then our own policy, which
 * later calls and grants are measured by, then the gateway, which cuts what is allowed no more; the client is answered
 * when the gateway has done it. Messages to the gateway keep their order, so a call that starts later meets the change.
 * A rule for a port that nobody listens on waits for the launcher first; those are added one after the other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "supervisor/decided.h"
#include "supervisor/supervisor.h"

#define MAX_CHANGES 64u /* of one sandbox at once */
#define MAX_ORIGIN 200u

enum change_state {
	CHANGE_QUEUED,	  /* for the one before it */
	CHANGE_LISTENING, /* the launcher makes its listeners */
	CHANGE_SENT,	  /* to the gateway */
};

struct change {
	struct change *next;
	uint32_t ticket;
	enum change_state state;
	struct client *client; /* NULL: gone */
	uint32_t request;
	enum rule_key key;
	char *rule, *origin; /* to add under it */
	char *secret;	     /* that is to be added; in our policy already */
	uint16_t ports[4];
	size_t n_ports;
};

static void unlink_change(struct sandbox *b, struct change *c)
{
	for (struct change **at = &b->changes; *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			break;
		}
	}
	free(c->rule);
	free(c->origin);
	free(c->secret);
	free(c);
}

/* failure NULL: it is done. */
static void finish(struct sandbox *b, struct change *c, const struct error *failure)
{
	client_reply(c->client, c->request, failure, "", NULL, 0);
	unlink_change(b, c);
}

static struct change *find(struct sandbox *b, uint32_t ticket, enum change_state state)
{
	struct change *c = b->changes;

	while (c && (c->ticket != ticket || c->state != state))
		c = c->next;
	return c;
}

static struct change *change_new(struct sandbox *b, struct client *client, uint32_t request, struct error *e)
{
	struct change **at = &b->changes;
	size_t n = 0;

	for (; *at; at = &(*at)->next)
		n++;
	if (n >= MAX_CHANGES) {
		fail(e, EBUSY, SANDBOX_STAGE_PROTOCOL, b->id, "the sandbox is being changed in %u ways already; try again",
		     MAX_CHANGES);
		return NULL;
	}
	struct change *c = calloc(1, sizeof(*c));
	if (!c) {
		fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, b->id, "out of memory");
		return NULL;
	}
	*c = (struct change){ .ticket = ++b->last_change, .client = client, .request = request };
	return *at = c;
}

/* Whoever opens the sandbox from here on gets this one. What was taken away is taken away also when that fails: then they
 * are told of the one before, by which nothing is decided. */
static int keep_policy(struct sandbox *b, struct error *e)
{
	decided_drop(b);
	if (!b->named)
		return 0;
	int fd = change_policy_fd(b);
	if (fd < 0)
		return fail_errno(e, -fd, SANDBOX_STAGE_INTERNAL, b->id, "cannot keep the changed policy");
	fd_close(b->policy_fd);
	b->policy_fd = fd;
	return 0;
}

/* key: of what it is about. */
static int record(struct sandbox *b, const char *what, const char *key, const char *value, const char *origin,
		  struct error *e)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = json_member_string(&m, "change", what);
	if (r == 0)
		r = json_member_string(&m, key, value);
	if (r == 0 && origin)
		r = json_member_string(&m, "source", origin);
	const char *members = r == 0 ? buf_str(&m) : NULL;
	if (members && record_write(b, "policy.change", NULL, NULL, members) == 0)
		return 0;
	return fail(e, EIO, SANDBOX_STAGE_AUDIT, b->id, "cannot write the audit log; without it nothing is changed");
}

/* c->key NONE: remove it. */
static int apply_rule(struct sandbox *b, struct change *c, const char *rule, const char *origin, const int *fds,
		      struct error *e)
{
	static const char *const names[] = { [RULE_KEY_NONE] = "allow.remove", [RULE_KEY_ALLOW] = "allow.add",
					     [RULE_KEY_PRIVATE] = "allow_private.add",
					     [RULE_KEY_PASSTHROUGH] = "passthrough.add" };
	bool add = c->key != RULE_KEY_NONE;

	int r = add ? policy_add_rule(b->policy, c->key, rule, origin, e) : policy_find_rule(b->policy, rule, e);

	if (r == 0) {
		r = record(b, names[c->key], "rule", rule, origin, e);
		if (r == 0 && !add)
			r = policy_remove_rule(b->policy, RULE_KEY_NONE, rule, e);
		if (r == 0 && keep_policy(b, e) < 0 && add)
			r = -e->err;
		/* Nothing has used it. */
		if (r < 0 && add)
			policy_remove_rule(b->policy, c->key, rule, NULL);
	}
	if (r < 0)
		return r;
	c->state = CHANGE_SENT;
	/* A failure shows as the gateway's end. */
	gateway_send_rule(b, c->ticket, c->key, rule, origin, c->ports, fds, c->n_ports);
	return 0;
}

/* Ports that it needs and that nobody listens on yet are asked for, and stay when that fails. */
static int ask_ports(struct sandbox *b, struct change *c, struct error *e)
{
	size_t n = 0;

	int r = policy_rule_ports(c->key, c->rule, c->ports, &c->n_ports, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < c->n_ports; i++) {
		bool there = false;
		for (size_t k = 0; k < b->n_ports && !there; k++)
			there = b->ports[k] == c->ports[i];
		if (!there)
			c->ports[n++] = c->ports[i];
	}
	c->n_ports = n;
	if (b->n_ports + n > ARRAY_LEN(b->ports))
		return fail(e, E2BIG, SANDBOX_STAGE_POLICY, c->rule,
			    "the rules of a sandbox name at most %zu different ports in its life; make a new one",
			    ARRAY_LEN(b->ports));
	if (n == 0)
		return 0;
	c->state = CHANGE_LISTENING;
	return launcher_send_listen(b, c->ticket, c->ports, n) < 0 ?
		       fail(e, EIO, SANDBOX_STAGE_NETWORK, b->id, "cannot ask for another port") : 0;
}

/* The next one that is to be added, unless one waits for the launcher. */
static void run_queue(struct sandbox *b)
{
	for (struct change *c = b->changes, *next; c; c = next) {
		struct error e = { 0 };
		next = c->next;
		if (c->state == CHANGE_LISTENING)
			return;
		if (c->state != CHANGE_QUEUED)
			continue;
		int r = ask_ports(b, c, &e);
		if (r == 0 && c->n_ports == 0)
			r = apply_rule(b, c, c->rule, c->origin, NULL, &e);
		if (r < 0)
			finish(b, c, &e);
		else if (c->state == CHANGE_LISTENING)
			return;
	}
}

static int usable(const struct sandbox *b, struct error *e)
{
	if (b->state != SANDBOX_READY)
		return fail(e, EBUSY, SANDBOX_STAGE_PROTOCOL, b->id, "the sandbox is starting or ending");
	if (policy_net_mode(b->policy) != NET_GATEWAY)
		return fail(e, EINVAL, SANDBOX_STAGE_USAGE, b->id,
			    "the sandbox has no gateway: rules and secrets need one, so make it without --net none or host");
	if (b->gateway != GATEWAY_UP)
		return fail(e, ECONNRESET, SANDBOX_STAGE_GATEWAY, b->id,
			    "the gateway of this sandbox has ended, and with it its network; make a new sandbox");
	return 0;
}

void change_rule(struct sandbox *b, struct client *client, uint32_t request, enum rule_key key, const char *rule,
		 const char *origin)
{
	struct error e = { 0 };
	struct change *c = NULL;

	int r = usable(b, &e);
	if (r == 0 && (strlen(origin) > MAX_ORIGIN || !*origin))
		r = fail(&e, EINVAL, SANDBOX_STAGE_USAGE, "origin", "where the rule comes from is to be said in 1 to %u bytes",
			 MAX_ORIGIN);
	if (r == 0)
		r = (c = change_new(b, client, request, &e)) ? 0 : -e.err;
	if (r == 0)
		c->key = key;
	if (r == 0 && key != RULE_KEY_NONE) {
		c->rule = strdup(rule);
		c->origin = strdup(origin);
		if (!c->rule || !c->origin)
			r = fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, b->id, "out of memory");
	} else if (r == 0) {
		r = apply_rule(b, c, rule, origin, NULL, &e);
	}
	if (r < 0 && c)
		finish(b, c, &e);
	else if (r < 0)
		client_reply(client, request, &e, "", NULL, 0);
	else
		run_queue(b);
}

/* What was prepared with it would begin with a placeholder that is worth nothing. */
static void drop_placeholders(struct sandbox *b, const char *name)
{
	size_t len = strlen(name);

	for (struct call *c = b->calls; c; c = c->next) {
		char **to = c->placeholders;
		for (char **from = to; from && *from; from++) {
			if (strncmp(*from, name, len) == 0 && (*from)[len] == '=')
				free(*from);
			else
				*to++ = *from;
		}
		if (to)
			*to = NULL;
	}
}

static const struct policy_secret *find_secret(struct sandbox *b, const char *name, struct error *e)
{
	const struct policy_secret *s = policy_find_secret(b->policy, name);

	for (const struct change *c = b->changes; c && s; c = c->next) {
		if (c->secret && strcmp(c->secret, name) == 0) {
			fail(e, EBUSY, SANDBOX_STAGE_SECRET, name, "secret %s is being added just now; try again", name);
			return NULL;
		}
	}
	if (!s)
		fail(e, ENOENT, SANDBOX_STAGE_SECRET, name, "the sandbox has no secret %s", name);
	return s;
}

static int add_secret(struct sandbox *b, struct change *c, const char *name, struct policy_secret *s, struct error *e)
{
	if (!s || strcmp(s->name, name) != 0)
		return fail(e, EINVAL, SANDBOX_STAGE_PROTOCOL, name, "the secret is out of form");
	c->secret = strdup(name);
	if (!c->secret)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, b->id, "out of memory");
	int r = policy_add_secret(b->policy, s, e);
	if (r < 0) {
		free(TAKE_PTR(c->secret)); /* another one of this name stays */
		return r;
	}
	return record(b, "secret.add", "name", name, NULL, e);
}

/* Not added after all. */
static void take_back(struct sandbox *b, const struct change *c)
{
	struct error e;

	if (!c->secret)
		return;
	policy_remove_secret(b->policy, c->secret, &e);
	drop_placeholders(b, c->secret);
	keep_policy(b, &e);
}

static int apply_secret(struct sandbox *b, struct change *c, uint8_t how, const char *name, struct policy_secret *added,
			bool has_value, struct error *e)
{
	const struct policy_secret *s = how == CHANGE_ADD ? NULL : find_secret(b, name, e);

	if (how == CHANGE_ADD) {
		int r = add_secret(b, c, name, added, e);
		return r < 0 ? r : keep_policy(b, e);
	}
	if (!s)
		return -e->err;
	if (how == CHANGE_ROTATE && has_value == (s->source == SOURCE_EXEC))
		return fail(e, EINVAL, SANDBOX_STAGE_SECRET, name,
			    has_value ? "secret %s comes from a command: rotate it without a source, and that is asked anew" :
					"secret %s does not come from a command: its other value has to be given", name);
	int r = record(b, how == CHANGE_ROTATE ? "secret.rotate" : "secret.revoke", "name", name, NULL, e);
	if (r < 0 || how == CHANGE_ROTATE)
		return r;
	policy_remove_secret(b->policy, name, e);
	drop_placeholders(b, name);
	keep_policy(b, e);
	return 0;
}

void change_secret(struct sandbox *b, struct client *client, uint32_t request, uint8_t how, const char *name,
		   const void *bytes, size_t len, int fd)
{
	_cleanup_(policy_secret_freep) struct policy_secret *added = NULL;
	struct error e = { 0 };
	struct change *c = NULL;

	int r = usable(b, &e);
	if (r == 0 && len && policy_secret_decode(bytes, len, &added) < 0)
		r = fail(&e, EINVAL, SANDBOX_STAGE_PROTOCOL, name, "the secret is out of form");
	if (r == 0)
		r = (c = change_new(b, client, request, &e)) ? 0 : -e.err;
	if (r == 0)
		r = apply_secret(b, c, how, name, added, fd >= 0, &e);
	if (r < 0) {
		if (c)
			take_back(b, c);
		if (c)
			finish(b, c, &e);
		else
			client_reply(client, request, &e, "", NULL, 0);
		return;
	}
	c->state = CHANGE_SENT;
	gateway_send_secret(b, c->ticket, how, name, bytes, len, fd);
}

void change_listening(struct sandbox *b, uint32_t ticket, const struct error *failure, const int *fds, size_t n_fds)
{
	struct change *c = find(b, ticket, CHANGE_LISTENING);
	struct error e = { 0 };
	int r = -ECANCELED;

	if (!c)
		return;
	if (failure || n_fds != c->n_ports) {
		e = failure ? *failure : (struct error){ 0 };
	} else {
		/* They are made, whatever becomes of the rule. */
		memcpy(b->ports + b->n_ports, c->ports, c->n_ports * sizeof(*c->ports));
		b->n_ports += c->n_ports;
		r = apply_rule(b, c, c->rule, c->origin, fds, &e);
	}
	if (r < 0)
		finish(b, c, &e);
	run_queue(b);
}

int change_done(struct sandbox *b, uint32_t ticket, const struct error *failure)
{
	struct change *c = find(b, ticket, CHANGE_SENT);

	if (!c)
		return -EPROTO;
	if (failure)
		take_back(b, c);
	finish(b, c, failure);
	return 0;
}

void changes_drop(struct sandbox *b)
{
	struct error e;

	fail(&e, ECONNRESET, SANDBOX_STAGE_GATEWAY, b->id, "the gateway of the sandbox has ended, and with it its network");
	while (b->changes)
		finish(b, b->changes, &e);
}

void changes_forget(struct sandbox *b, const struct client *client)
{
	for (struct change *c = b->changes; c; c = c->next) {
		if (c->client == client)
			c->client = NULL;
	}
}

int change_policy_fd(const struct sandbox *b)
{
	_cleanup_buf_ struct buf bytes = { 0 };

	int r = policy_encode(b->policy, &bytes);
	return r < 0 ? r : memfd_from_bytes("policy", bytes.data, bytes.len);
}
