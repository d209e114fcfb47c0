/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to the auditor, and what follows from its answers.
 *
 * The start of a call: its guardian shows the program (guardian_program.c), so that what is asked about is what would
 * run; what the answer allows starts, a narrower grant is intersected with the one at hand. Requests and connections:
 * the gateway asks and waits (GATEWAY_ASK). `ask` parks either of them (approval.c).
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include <nettle/sha2.h>

#include "base/json.h"
#include "base/util.h"
#include "base/wire.h"
#include "policy/grant.h"
#include "supervisor/members.h"
#include "supervisor/decided.h"
#include "supervisor/question.h"
#include "supervisor/supervisor.h"

/* What a program does is decided by files that it opens later, or it runs what its arguments name. */
static bool is_interpreter(const char *path)
{
	static const char *const names[] = {
		"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "csh", "tcsh", "busybox", "toybox",
		"python", "pypy", "perl", "ruby", "node", "nodejs", "deno", "bun", "lua", "luajit", "php", "guile", "Rscript",
		"awk", "gawk", "mawk", "tclsh", "wish", "expect", "java", "sed", "ed", "vi", "vim", "nvim", "emacs",
		"env", "nice", "nohup", "timeout", "xargs", "setsid", "stdbuf", "setarch", "taskset", "chrt", "ionice",
		"flock", "script", "unshare", "nsenter", "setpriv", "chroot", "sudo", "su", "doas", "time", "watch",
		"parallel", "find", "ssh", "scp", "sftp", "rsync", "tar", "gdb", "lldb", "strace", "ltrace", "perf", "valgrind",
		"git", "make", "gmake", "cmake", "ninja", "meson", "gcc", "cc", "clang", "cargo", "go", "rustc", "npm", "npx",
		"yarn", "pnpm", "uv", "uvx", "pip", "pipx", "poetry", "mvn", "gradle", "bazel", "docker", "podman", "sqlite",
		"nsbox",
	};
	const char *name = strrchr(path, '/');
	name = name ? name + 1 : path;
	/* python3.11, lua5.4 */
	size_t len = strcspn(name, "0123456789.-");

	/* The loaders of the system, which run what their first argument names. */
	if (strncmp(name, "ld-linux", 8) == 0 || strncmp(name, "ld-musl", 7) == 0 || strcmp(name, "ld.so") == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strlen(names[i]) == len && strncmp(name, names[i], len) == 0)
			return true;
	}
	return false;
}

static int member_hex(struct buf *b, const char *key, const uint8_t *data, size_t len)
{
	char hex[2 * AUDITOR_DIGEST + 1];

	for (size_t i = 0; i < len; i++)
		snprintf(hex + 2 * i, 3, "%02x", data[i]);
	return json_member_string(b, key, hex);
}

int question_program_members(const struct shown *p, struct buf *m)
{
	int r = json_member_string(m, "exe", p->path);
	if (r == 0)
		r = member_hex(m, "exe_sha256", p->digest, sizeof(p->digest));
	return r < 0 ? r : json_member_raw(m, "interpreter", p->script || is_interpreter(p->path) ? "true" : "false");
}

static char **env_names(char *const *env)
{
	char **names = calloc(strv_len(env) + 1, sizeof(*names));

	for (size_t i = 0; names && env[i]; i++) {
		names[i] = strndup(env[i], strcspn(env[i], "="));
		if (!names[i]) {
			strv_free(names);
			return NULL;
		}
	}
	return names;
}

/* Of the bytes themselves, which no text of JSON has when they are not UTF-8, and of the whole grant. The id of the call
 * that asks for it is not among them, a new one each time; that there is one is. */
static int put_exact(const struct call *call, char *const *names, struct buf *m)
{
	const struct start *start = call->start;
	uint8_t digest[SHA256_DIGEST_SIZE];
	_cleanup_buf_ struct buf exact = { 0 };
	struct sha256_ctx sha;

	int r = wire_put_strv(&exact, start->argv);
	if (r == 0)
		r = wire_put_str(&exact, call->shown->path);
	if (r == 0)
		r = wire_put_bytes(&exact, call->shown->digest, sizeof(call->shown->digest));
	if (r == 0)
		r = wire_put_str(&exact, start->cwd);
	if (r == 0)
		r = wire_put_strv(&exact, names);
	if (r == 0)
		r = wire_put_u8(&exact, start->parent_number != 0);
	if (r == 0 && start->grant)
		r = decided_bytes(start, &exact);
	if (r < 0)
		return r;
	sha256_init(&sha);
	sha256_update(&sha, exact.len, exact.data);
	sha256_digest(&sha, sizeof(digest), digest);
	return member_hex(m, "start_sha256", digest, sizeof(digest));
}

/* All that an answer may depend on; the id of the call is not among it, a new one each time. */
static int put_start(const struct call *call, struct buf *m)
{
	const struct start *start = call->start;
	_cleanup_(strv_freep) char **names = env_names(start->env);

	int r = names ? json_member_strv(m, "argv", start->argv) : -ENOMEM;
	if (r == 0)
		r = question_program_members(call->shown, m);
	if (r == 0)
		r = json_member_string(m, "cwd", start->cwd);
	if (r == 0)
		r = json_member_strv(m, "env_names", names);
	if (r == 0)
		r = call_grant_object(start->grant, m);
	return r < 0 ? r : put_exact(call, names, m);
}

static int put_ids(const struct sandbox *b, const char *call, const char *rest, struct buf *m)
{
	int r = json_member_string(m, "sandbox", b->id);
	if (r == 0)
		r = json_member_string(m, "call", call);
	if (r == 0 && *rest)
		r = buf_putc(m, ',');
	return r < 0 ? r : buf_puts(m, rest);
}

/* ---- answers to the start of a call ---- */

static void deny_call(struct call *call, const char *by, const char *reason)
{
	struct error e;
	const char *name = call->start->argv[0];

	fail(&e, EACCES, SANDBOX_STAGE_AUDITOR, name, "%s denied %s%s%s", by, name, *reason ? ": " : "", reason);
	call_denied(call, &e, *reason ? reason : by);
}

/* From the object of an answer: keys of a [grant] section. */
static int grant_of_answer(const struct sandbox *b, const char *text, struct grant **ret, struct error *e)
{
	_cleanup_(grant_freep) struct grant *g = NULL;
	json_t *object = json_loads(text, 0, NULL), *value, *item;
	const char *key;
	size_t i;

	int r = object ? grant_new(&g) : -EBADMSG;
	if (r < 0)
		fail(e, -r, SANDBOX_STAGE_AUDITOR, "narrow", "the grant of the answer cannot be read");
	json_object_foreach(object, key, value) {
		if (r == 0 && json_is_string(value))
			r = grant_set(g, key, json_string_value(value), policy_workdir(b->policy), "auditor", e);
		json_array_foreach(value, i, item) {
			if (r == 0)
				r = grant_set(g, key, json_string_value(item), policy_workdir(b->policy), "auditor", e);
		}
	}
	json_decref(object);
	if (r == 0)
		r = grant_finish(g, e);
	if (r == 0)
		*ret = TAKE_PTR(g);
	return r;
}

/* Another view, more covers, or an own pid namespace: what the prepared call that was taken does not have. */
static bool needs_another(const struct call *call, const struct buf *covers)
{
	const struct start *start = call->start;

	return (start->flags & START_FULL && !call->full) || start->covers.len != covers->len ||
	       (covers->len > 0 && memcmp(start->covers.data, covers->data, covers->len) != 0);
}

/* An answer that names more than the call would have is one of somebody who takes it for another call: refused whole.
 * 1: it can go on in another prepared call only. */
static int narrow_call(struct call *call, const char *text, struct error *e)
{
	const struct policy *policy = call->sandbox->policy;
	struct start *start = call->start;
	_cleanup_(grant_freep) struct grant *answer = NULL;
	_cleanup_(grant_freep) struct grant *all = NULL;
	struct grant *both = NULL;
	struct grant_excess excess;

	int r = grant_of_answer(call->sandbox, text, &answer, e);
	if (r < 0)
		return r;
	r = start->grant ? 0 : grant_of_policy(policy, &all);
	if (r == 0)
		r = grant_within(policy, answer, &excess);
	if (r == 1)
		r = grant_narrow(start->grant ? start->grant : all, answer, &both, &excess);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_AUDITOR, "narrow", "cannot compute the narrower grant");
	if (r == 0)
		return grant_excess_error(&excess, "the answer", "the call", e);
	grant_free(start->grant);
	start->grant = both;
	decided_unref(TAKE_PTR(start->decided)); /* which is of another one */
	_cleanup_buf_ struct buf covers = start->covers;
	start->covers = (struct buf){ 0 };
	r = call_grant_apply(call->sandbox, start, e);
	return r < 0 ? r : needs_another(call, &covers);
}

void question_decided(struct call *call, enum auditor_decision decision, const char *by, const char *reason,
		      const char *grant)
{
	struct error e = { 0 };
	int r = 0;

	/* Whatever the answer is, nothing starts there: call_lost() tells it. */
	if (call->sandbox->state == SANDBOX_ENDING)
		return;
	if (decision == AUDITOR_NARROW) {
		r = narrow_call(call, grant, &e);
		if (r < 0) {
			record_write(call->sandbox, "auditor.error", call->id, e.message, "");
			deny_call(call, by, e.message);
			return;
		}
		if (program_denied(call))
			return;
	} else if (decision != AUDITOR_ALLOW) {
		deny_call(call, by, reason);
		return;
	}
	if (!call->start->decided_by)
		call->start->decided_by = strdup(by);
	if (r > 0)
		call_move(call);
	else
		call_go(call);
}

static void call_answered(void *context, uint64_t ticket, const struct auditor_result *result)
{
	struct call *call = context;
	_cleanup_buf_ struct buf m = { 0 }, all = { 0 };

	(void)ticket;
	call->question = 0;
	if (result->decision != AUDITOR_ASK) {
		question_decided(call, result->decision, "the auditor", result->reason, result->grant);
		return;
	}
	const char *significant = put_start(call, &m) == 0 ? buf_str(&m) : NULL;
	bool put = significant && buf_puts(&all, significant) == 0 && child_member(call, &all) == 0;
	const char *members = put ? buf_str(&all) : NULL;
	const struct park park = { .op = AUDITOR_CALL_START, .call = call, .call_id = call->id, .members = members,
				   .significant = significant, .key = call->shown->path, .reason = result->reason };
	if (!members || !approval_park(call->sandbox, &park))
		question_decided(call, AUDITOR_DENY, "the auditor", AUDITOR_OVERLOADED, NULL);
}

void question_call(struct call *call)
{
	struct sandbox *b = call->sandbox;
	_cleanup_buf_ struct buf m = { 0 }, all = { 0 };
	struct auditor_result result;

	const char *significant = put_start(call, &m) == 0 ? buf_str(&m) : NULL;
	/* A new one each time, like its own id. */
	bool put = significant && put_ids(b, call->id, significant, &all) == 0 && child_member(call, &all) == 0;
	const char *members = put ? buf_str(&all) : NULL;
	if (!members) {
		deny_call(call, "the auditor", AUDITOR_FAILED);
		return;
	}
	if (approval_always(b, AUDITOR_CALL_START, significant)) {
		question_decided(call, AUDITOR_ALLOW, "a person, always", "", NULL);
		return;
	}
	const struct auditor_question q = { .op = AUDITOR_CALL_START, .members = members, .significant = significant,
					    .done = call_answered, .context = call };
	if (auditor_ask(b->auditor, &q, now_us(), &call->question, &result) == 1)
		call_answered(call, 0, &result);
	auditor_settled(b);
}

/* ---- questions of the gateway ---- */

struct gateway_question {
	struct gateway_question *next;
	struct sandbox *sandbox;
	uint64_t ticket, question; /* the gateway's, the auditor's */
	enum auditor_op op;
	char *call, *members; /* its id, what was asked */
};

static void question_forget(struct gateway_question *g)
{
	for (struct gateway_question **at = &g->sandbox->asked; *at; at = &(*at)->next) {
		if (*at == g) {
			*at = g->next;
			break;
		}
	}
	free(g->call);
	free(g->members);
	free(g);
}

/* The place of the request, by which the difference to what was allowed before is told. */
static const char *place(const char *members)
{
	const char *host = strstr(members, "\"host\":");

	return host ? host : members;
}

static void gateway_answered(void *context, uint64_t ticket, const struct auditor_result *result)
{
	struct gateway_question *g = context;
	const struct park park = { .op = g->op, .gateway = g->ticket, .call_id = g->call, .members = g->members,
				   .significant = g->members, .key = place(g->members), .reason = result->reason };

	(void)ticket;
	if (result->decision == AUDITOR_ASK) {
		if (!approval_park(g->sandbox, &park))
			gateway_send_decided(g->sandbox, g->ticket, false, false, AUDITOR_OVERLOADED);
	} else {
		/* A narrower grant cannot be had for what is under way. */
		bool allowed = result->decision == AUDITOR_ALLOW;
		gateway_send_decided(g->sandbox, g->ticket, allowed, false,
				     result->decision == AUDITOR_NARROW ? AUDITOR_GARBAGE : result->reason);
	}
	question_forget(g);
}

int question_gateway(struct sandbox *b, uint64_t ticket, uint32_t op, const struct call *call, const char *members)
{
	_cleanup_buf_ struct buf all = { 0 };
	struct auditor_result result;

	/* What else is asked is not the gateway's to ask: an auditor believes that the call is as the question says. */
	bool its_own = op == AUDITOR_HTTP_REQUEST || op == AUDITOR_NET_CONNECT || op == AUDITOR_GRANT_RAISE;
	if (!its_own || !b->auditor || !members_are_question(members))
		return -EPROTO;
	struct gateway_question *g = calloc(1, sizeof(*g));
	if (!g || !(g->call = strdup(call ? call->id : "")) || !(g->members = strdup(members)) ||
	    put_ids(b, g->call, members, &all) < 0 || !buf_str(&all)) {
		free(g ? g->call : NULL);
		free(g ? g->members : NULL);
		free(g);
		return -ENOMEM;
	}
	g->sandbox = b;
	g->ticket = ticket;
	g->op = (enum auditor_op)op;
	g->next = b->asked;
	b->asked = g;
	/* The call is in it: another one's answer may be another one. */
	const struct auditor_question q = { .op = g->op, .members = (const char *)all.data,
					    .significant = (const char *)all.data, .done = gateway_answered, .context = g };
	if (auditor_ask(b->auditor, &q, now_us(), &g->question, &result) == 1)
		gateway_answered(g, 0, &result);
	auditor_settled(b);
	return 0;
}

void question_gateway_cancel(struct sandbox *b, uint64_t ticket)
{
	for (struct gateway_question *g = b->asked; g; g = g->next) {
		if (g->ticket != ticket)
			continue;
		auditor_cancel(b->auditor, g->question);
		question_forget(g);
		return;
	}
	approval_drop_gateway(b, ticket);
}

/* The gateway is gone, or the sandbox. */
void questions_drop(struct sandbox *b)
{
	while (b->asked) {
		auditor_cancel(b->auditor, b->asked->question);
		question_forget(b->asked);
	}
}
