/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The authority of a call. What its client asks for may only narrow: the template that its command is bound to, what
 * the call has that asks for it, if one does, and the policy above that. What asks for more is an error that names
 * the first excess, never a silent cut. What comes out goes to those that enforce it: rules, secrets and quotas to
 * the gateway, files and executables to the guardian, times to the loop.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <nettle/sha2.h>

#include "base/json.h"
#include "base/util.h"
#include "policy/grant.h"
#include "source/protocol.h"
#include "supervisor/decided.h"
#include "supervisor/supervisor.h"

/* For comparing what a call asks for with what it has, as steps of policy/path_pattern.h: some 40 ms. */
#define STEPS_OF_CALL (UINT64_C(1) << 22)
/* Of what was granted into a record. */
#define RECORD_LINES 64u
#define RECORD_BYTES 32768u

/* What a call may have at most, and how an excess over that is told. */
struct bound {
	struct grant *grant; /* NULL: all of the policy */
	char name[160];
};

static int tighten(struct bound *bound, const struct grant *by, const char *name, struct error *e)
{
	struct grant *both = NULL;

	int r = bound->grant ? grant_intersect(bound->grant, by, &both) : grant_copy(by, &both);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_POLICY, "grant", "cannot compute the grant of the call");
	grant_free(bound->grant);
	bound->grant = both;
	snprintf(bound->name, sizeof(bound->name), "%s", name);
	return 0;
}

/* The templates: that of the command, and the one that was asked for. */
static int tighten_templates(struct bound *bound, const struct policy *p, const struct start *start, struct error *e)
{
	const struct grant *of_command = policy_grant_for_argv(p, (const char *const *)start->argv);
	bool named = *start->template && strcmp(start->template, "*") != 0;
	const struct grant *asked = named ? policy_grant(p, start->template) : NULL;
	char name[160];
	int r = 0;

	if (*start->template && !named && !of_command)
		return fail(e, EPERM, SANDBOX_STAGE_POLICY, start->argv[0],
			    "no grant of the policy is bound to this command (%s ...): add `argv` to one, or leave "
			    "--template-by-argv away",
			    start->argv[0]);
	if (named && !asked)
		return fail(e, ENOENT, SANDBOX_STAGE_POLICY, start->template,
			    "the sandbox has no grant %s: it was made from a policy without [grant %s]", start->template,
			    start->template);
	if (of_command) {
		snprintf(name, sizeof(name), "grant %s, which this command is bound to,", grant_name(of_command));
		r = tighten(bound, of_command, name, e);
	}
	if (r == 0 && asked) {
		snprintf(name, sizeof(name), "grant %s", grant_name(asked));
		r = tighten(bound, asked, name, e);
	}
	return r;
}

static int narrow(const struct policy *p, const struct bound *bound, const struct grant *request, struct grant **ret,
		  struct error *e)
{
	_cleanup_(grant_freep) struct grant *all = NULL;
	struct grant_excess excess;
	bool in_policy = false;

	int r = bound->grant ? 0 : grant_of_policy(p, &all);
	if (r == 0)
		r = grant_within(p, request, &excess);
	if (r == 1) {
		in_policy = true;
		r = grant_narrow(all ? all : bound->grant, request, ret, &excess);
	}
	if (r == 1)
		return 0;
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_POLICY, "grant", "cannot compute the grant of the call") :
		       grant_excess_error(&excess, "the call", in_policy && bound->grant ? bound->name : "the policy", e);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a == 0 ? b : b == 0 || a < b ? a : b;
}

/* What the loop and the pool have to keep. */
static int take_bounds(struct start *start, struct error *e)
{
	const struct grant *g = start->grant;

	if (grant_full(g) || start->covers.len > 0)
		start->flags |= START_FULL;
	if (start->flags & START_BACKGROUND && !grant_background(g))
		return fail(e, EPERM, SANDBOX_STAGE_POLICY, "background",
			    "the grant of this call does not let processes go on behind it: leave --background away");
	start->timeout_us = smaller(start->timeout_us, grant_number(g, GRANT_TIMEOUT));
	start->ttl_us = grant_number(g, GRANT_TTL);
	start->open_files = (uint32_t)grant_number(g, GRANT_OPEN_FILES);
	return 0;
}

int call_grant_apply(const struct sandbox *b, struct start *start, struct error *e)
{
	if (grant_full(start->grant))
		start->flags |= START_FULL;
	start->paths.len = start->covers.len = start->seals_len = 0;
	start->n_paths = 0;
	start->on_base = false;
	int r = call_paths(b->policy, start, e);
	return r < 0 ? r : take_bounds(start, e);
}

/* start->grant, or NULL: all of the policy. */
static int decide(const struct sandbox *b, const struct call *asker, struct start *start, const void *bytes, size_t len,
		  struct error *e)
{
	_cleanup_(grant_freep) struct grant *request = NULL;
	struct bound bound = { 0 };

	int r = len ? grant_decode(bytes, len, &request, e) : 0;
	if (r == 0 && asker && asker->start->grant)
		r = tighten(&bound, asker->start->grant, "the call that asks for it", e);
	if (r == 0)
		r = tighten_templates(&bound, b->policy, start, e);
	if (r == 0 && request)
		r = narrow(b->policy, &bound, request, &start->grant, e);
	else if (r == 0)
		start->grant = TAKE_PTR(bound.grant);
	grant_free(bound.grant);
	return r;
}

int call_grant_decide(struct sandbox *b, struct start *start, const void *bytes, size_t len, struct error *e)
{
	const struct call *asker = call_by_number(b, start->parent_number);
	const uint32_t flags = start->flags;

	if (!start->parent_number && decided_find(b, start, bytes, len))
		return take_bounds(start, e);
	if (start->parent_number)
		grant_budget_begin(STEPS_OF_CALL);
	int r = decide(b, asker, start, bytes, len, e);
	if (start->parent_number)
		grant_budget_end();
	if (r < 0 || !start->grant)
		return r;
	r = call_grant_apply(b, start, e);
	if (r == 0 && !start->parent_number)
		decided_keep(b, start, flags, bytes, len);
	return r;
}

/* Lines `key = value`, as many as a record has room for. */
struct lines {
	char *line[RECORD_LINES + 1];
	size_t n, bytes, left_out;
};

static int put_line(void *context, const char *key, const char *value)
{
	struct lines *l = context;
	size_t bytes = l->bytes + strlen(key) + strlen(value);

	if (l->left_out || l->n == RECORD_LINES || bytes > RECORD_BYTES) {
		l->left_out++;
		return 0;
	}
	if (asprintf(&l->line[l->n], "%s = %s", key, value) < 0) {
		l->line[l->n] = NULL;
		return -ENOMEM;
	}
	l->n++;
	l->bytes = bytes;
	return 0;
}

int call_grant_members(const struct grant *grant, struct buf *members)
{
	struct lines l = { 0 };

	int r = grant_items(grant, put_line, &l);
	if (r == 0)
		r = json_member_string(members, "grant", grant_name(grant)[0] ? grant_name(grant) : "call");
	if (r == 0)
		r = json_member_strv(members, "granted", l.line);
	if (r == 0 && l.left_out)
		r = json_member_int(members, "granted_left_out", (int64_t)l.left_out);
	for (size_t i = 0; i < l.n; i++)
		free(l.line[i]);
	return r;
}

/* Members of an object, each an array that is open until the next key. */
struct object {
	struct buf text;
	const char *key;
};

static int put_value(void *context, const char *key, const char *value)
{
	struct object *o = context;
	int r;

	if (o->key && strcmp(o->key, key) == 0)
		r = buf_putc(&o->text, ',');
	else
		r = buf_printf(&o->text, "%s\"%s\":[", o->key ? "]," : "", key);
	o->key = key;
	return r < 0 ? r : json_text(&o->text, value, strlen(value));
}

int call_grant_object(const struct grant *grant, struct buf *members)
{
	struct object o = { 0 };

	int r = buf_putc(&o.text, '{');
	if (r == 0 && grant)
		r = grant_items(grant, put_value, &o);
	if (r == 0)
		r = buf_puts(&o.text, o.key ? "]}" : "}");
	const char *value = r == 0 ? buf_str(&o.text) : NULL;
	r = value ? json_member_raw(members, "grant", value) : -ENOMEM;
	buf_free(&o.text);
	return r;
}

static bool has_commands(const struct call *call)
{
	size_t n;
	const struct policy_secret *secrets = policy_secrets(call->sandbox->policy, &n);
	bool has = false;

	for (size_t i = 0; i < n && !has; i++)
		has = secrets[i].source == SOURCE_EXEC &&
		      (!call->start->grant || grant_has_secret(call->start->grant, secrets[i].name));
	return has;
}

/* Of the arguments with their ends, so that no two commands have the same. */
static int put_digest(char *const *argv, struct buf *members)
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	char hex[2 * SHA256_DIGEST_SIZE + 1];
	struct sha256_ctx sha;

	sha256_init(&sha);
	for (; *argv; argv++)
		sha256_update(&sha, strlen(*argv) + 1, (const uint8_t *)*argv);
	sha256_digest(&sha, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	return json_member_string(members, "argv_sha256", hex);
}

/* {id, parent, argv_sha256, grant}; nothing when it has no secret of a command. -EMSGSIZE: too much. */
static int put_about(const struct call *call, struct buf *ret)
{
	if (!has_commands(call))
		return 0;
	int r = buf_putc(ret, '{');
	if (r == 0)
		r = json_member_string(ret, "id", call->id);
	if (r == 0)
		r = child_member(call, ret);
	if (r == 0)
		r = put_digest(call->start->argv, ret);
	if (r == 0)
		r = call_grant_object(call->start->grant, ret);
	if (r == 0)
		r = buf_putc(ret, '}');
	return r == 0 && ret->len > SOURCE_CALL_MAX ? -EMSGSIZE : r;
}

int call_bind(struct call *call, struct error *e)
{
	_cleanup_buf_ struct buf about = { 0 };

	int r = call->address ? put_about(call, &about) : 0;
	if (r == -EMSGSIZE)
		return fail(e, E2BIG, SANDBOX_STAGE_POLICY, call->id,
			    "the grant of this call is over 32 KiB as text, and the command of a secret has to be told it: grant "
			    "less, or not that secret");
	if (r == 0 && call->address && (call->start->grant || about.len))
		r = buf_str(&about) ? gateway_send_bind(call, buf_str(&about)) : -ENOMEM;
	return r < 0 ? fail(e, EIO, SANDBOX_STAGE_GATEWAY, call->id, "cannot tell the gateway what the call was granted") : 0;
}
