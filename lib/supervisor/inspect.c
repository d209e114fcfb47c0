/* SPDX-License-Identifier: Apache-2.0 */
/* What a sandbox says of itself (sandbox_inspect). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/util.h"
#include "supervisor/supervisor.h"

#define SHOWN_ARGS 64u
#define SHOWN_RULES 256u /* all are to be had by MSG_POLICY */

static int member_time(struct buf *b, const char *key, uint64_t us)
{
	time_t seconds = (time_t)(us / 1000000u);
	struct tm tm;
	char text[64];

	gmtime_r(&seconds, &tm);
	size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, sizeof(text) - n, ".%06uZ", (unsigned)(us % 1000000u));
	return json_member_string(b, key, text);
}

static int put_call(struct buf *b, const struct call *call)
{
	char *shown[SHOWN_ARGS + 1] = { 0 };

	for (size_t i = 0; i < SHOWN_ARGS && call->start->argv[i]; i++)
		shown[i] = call->start->argv[i];
	int r = buf_puts(b, b->data[b->len - 1] == '[' ? "{" : ",{");
	if (r == 0)
		r = json_member_string(b, "id", call->id);
	if (r == 0)
		r = json_member_strv(b, "argv", shown);
	if (r == 0)
		r = json_member_string(b, "state", call->state == CALL_LEFT ? "background" : "running");
	if (r == 0)
		r = json_member_string(b, "isolation", call->full ? "full" : "light");
	if (r == 0)
		r = member_time(b, "started", call->started_us);
	return r < 0 ? r : buf_putc(b, '}');
}

static int put_calls(struct buf *out, const struct sandbox *b)
{
	_cleanup_buf_ struct buf list = { 0 };

	int r = buf_putc(&list, '[');
	for (const struct call *c = b->calls; c && r == 0; c = c->next) {
		if (call_is_running(c) && c->start)
			r = put_call(&list, c);
	}
	if (r == 0)
		r = buf_putc(&list, ']');
	const char *text = r == 0 ? buf_str(&list) : NULL;
	return text ? json_member_raw(out, "calls", text) : -ENOMEM;
}

static int put_audit(struct buf *out, const struct sandbox *b)
{
	_cleanup_buf_ struct buf audit = { 0 };
	char path[4096];

	int r = buf_putc(&audit, '{');
	if (r == 0 && audit_log_path(b->log, path, sizeof(path)) == 0)
		r = json_member_string(&audit, "path", path);
	if (r == 0)
		r = json_member_string(&audit, "head", audit_log_head(b->log));
	if (r == 0)
		r = json_member_int(&audit, "records", (int64_t)audit_log_records(b->log));
	if (r == 0)
		r = buf_putc(&audit, '}');
	const char *text = r == 0 ? buf_str(&audit) : NULL;
	return text ? json_member_raw(out, "audit", text) : -ENOMEM;
}

struct rule_list {
	struct buf json;
	unsigned n;
};

static int put_rule(void *arg, const char *key, const char *text, const char *origin)
{
	_cleanup_buf_ struct buf line = { 0 };
	struct rule_list *l = arg;

	(void)origin;
	if (l->n++ >= SHOWN_RULES)
		return 0;
	int r = buf_printf(&line, "%s = %s", key, text);
	if (r == 0)
		r = buf_putc(&l->json, l->n > 1 ? ',' : '[');
	return r < 0 ? r : json_text(&l->json, (char *)line.data, line.len);
}

/* As they are now. */
static int put_authority(struct buf *out, const struct policy *p)
{
	struct rule_list l = { 0 };
	_cleanup_buf_ struct buf names = { 0 };
	size_t n;
	const struct policy_secret *secrets = policy_secrets(p, &n);

	int r = policy_rules_each(p, put_rule, &l);
	if (r == 0)
		r = buf_puts(&l.json, l.n ? "]" : "[]");
	const char *rules = r == 0 ? buf_str(&l.json) : NULL;
	r = rules ? json_member_raw(out, "rules", rules) : -ENOMEM;
	if (r == 0 && l.n > SHOWN_RULES)
		r = json_member_int(out, "rules_left", (int64_t)(l.n - SHOWN_RULES));
	buf_free(&l.json);
	if (r == 0)
		r = buf_putc(&names, '[');
	for (size_t i = 0; i < n && r == 0; i++) {
		r = i ? buf_putc(&names, ',') : 0;
		if (r == 0)
			r = json_text(&names, secrets[i].name, strlen(secrets[i].name));
	}
	if (r == 0)
		r = buf_putc(&names, ']');
	const char *list = r == 0 ? buf_str(&names) : NULL;
	return list ? json_member_raw(out, "secrets", list) : -ENOMEM;
}

int inspect_sandbox(const struct sandbox *b, struct buf *out)
{
	static const char *const modes[] = { [NET_GATEWAY] = "gateway", [NET_NONE] = "none", [NET_HOST] = "host" };
	static const char *const states[] = { [SANDBOX_STARTING] = "starting", [SANDBOX_READY] = "running",
					      [SANDBOX_ENDING] = "ending", [SANDBOX_REVIEWED] = "deciding" };
	static const char *const gateways[] = { [GATEWAY_NONE] = "none", [GATEWAY_STARTING] = "starting",
						[GATEWAY_UP] = "running", [GATEWAY_DEAD] = "dead" };

	_Static_assert(ARRAY_LEN(states) == SANDBOX_STATES && ARRAY_LEN(gateways) == GATEWAY_STATES, "each state has a name");
	int r = buf_putc(out, '{');
	if (r == 0)
		r = json_member_string(out, "id", b->id);
	if (r == 0)
		r = json_member_string(out, "name", b->named ? b->named->name : "");
	if (r == 0)
		r = json_member_string(out, "state", states[b->state]);
	if (r == 0)
		r = json_member_int(out, "pid", getpid());
	if (r == 0)
		r = member_time(out, "created", b->created_us);
	if (r == 0)
		r = json_member_string(out, "workdir", policy_workdir(b->policy));
	if (r == 0)
		r = json_member_string(out, "net", modes[policy_net_mode(b->policy)]);
	if (r == 0)
		r = json_member_string(out, "gateway", gateways[b->gateway]);
	if (r == 0)
		r = json_member_strv(out, "degraded", policy_degraded(b->policy));
	if (r == 0)
		r = put_authority(out, b->policy);
	if (r == 0)
		r = put_calls(out, b);
	if (r == 0)
		r = protected_member(b, out);
	if (r == 0)
		r = put_audit(out, b);
	return r < 0 ? r : buf_putc(out, '}');
}
