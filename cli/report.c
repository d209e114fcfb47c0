/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a run. */
#include "report.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "nsbox.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "";
}

/* "events.lost" comes unasked too. */
static bool is_denial(const char *event)
{
	const char *at = strstr("," REPORT_DENIALS ",", event);
	return at && at[-1] == ',' && at[strlen(event)] == ',';
}

/* Into the list, or one more of what is in it. False when it is full. */
static bool add_event(json_t *list, json_t *one)
{
	json_t *kept;
	size_t i;

	json_array_foreach(list, i, kept) {
		json_int_t count = json_integer_value(json_object_get(kept, "count"));
		json_t *other = json_object_get(kept, "call");
		json_object_set_new(one, "count", json_integer(count));
		/* The same by another call counts with the first one's. */
		bool same = false;
		if (other && json_object_get(one, "call")) {
			json_t *copy = json_copy(one);
			json_object_set(copy, "call", other);
			same = json_equal(copy, kept);
			json_decref(copy);
		}
		if (same || json_equal(one, kept)) {
			json_object_set_new(kept, "count", json_integer(count + 1));
			return true;
		}
	}
	json_object_set_new(one, "count", json_integer(1));
	return json_array_size(list) < REPORT_MAX_DENIALS && json_array_append(list, one) == 0;
}

void report_add_denial(struct report *report, const char *event_json)
{
	/* What differs between two tries of the same thing. */
	static const char *const volatile_members[] = { "seq", "time", "sandbox", "prev", "hash", "ms", "bytes_up",
							"bytes_down" };
	json_t *one = json_loads(event_json, 0, NULL);

	if (!report->denied)
		report->denied = json_array();
	if (!one || !report->denied) {
		json_decref(one);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(volatile_members); i++)
		json_object_del(one, volatile_members[i]);
	report->left_out += !add_event(report->denied, one);
	json_decref(one);
}

/* Of what was allowed only by which line. */
static void add_used(struct report *report, const char *event_json)
{
	json_t *event = json_loads(event_json, 0, NULL);
	const char *rule = text_of(event, "rule"), *secret = text_of(event, "name");
	bool of_secret = strcmp(text_of(event, "event"), "secret.use") == 0;
	json_t *one = json_pack("{s:s}", of_secret ? "secret" : "rule", of_secret ? secret : rule);

	if (one)
		add_event(report->used, one);
	json_decref(one);
	json_decref(event);
}

static void say_asked(const char *event_json)
{
	json_t *event = json_loads(event_json, 0, NULL);

	say("waits for a person: nsbox approve %s (%s%s%s)", text_of(event, "ticket"), text_of(event, "op"),
	    *text_of(event, "reason") ? ": " : "", text_of(event, "reason"));
	json_decref(event);
}

void report_take_events(struct report *report, sandbox_runtime *runtime)
{
	sandbox_event *event;

	while (sandbox_runtime_next_event(runtime, &event) == 0 && event) {
		bool ours = !report->call || strcmp(sandbox_event_call(event), report->call) == 0;
		bool approval = strncmp(sandbox_event_name(event), "approval.", 9) == 0;
		if (ours && is_denial(sandbox_event_name(event)))
			report_add_denial(report, sandbox_event_json(event));
		else if (ours && strcmp(sandbox_event_name(event), "fs.protected") == 0)
			report_add_protected(report, sandbox_event_json(event));
		else if (report->used && !approval)
			add_used(report, sandbox_event_json(event));
		/* Any event: those of what waits may be among the lost ones. */
		if (report->asking)
			report->asking->look = true;
		/* Before it has started, a call has no id that would tell its own from others. */
		else if (strcmp(sandbox_event_name(event), "approval.asked") == 0 && (ours || !report->started))
			say_asked(sandbox_event_json(event));
		sandbox_event_free(event);
	}
}

/* HOST, [IPv6], with the port unless a bare host means it too. */
static void put_place(struct buf *b, const char *host, json_int_t port)
{
	bool v6 = strchr(host, ':') && host[0] != '[';

	buf_printf(b, "%s%s%s", v6 ? "[" : "", host, v6 ? "]" : "");
	if (port && port != 80 && port != 443)
		buf_printf(b, ":%" JSON_INTEGER_FORMAT, port);
}

/* The log has it decoded; in a rule some characters mean something, and blanks, quotes and the like cannot stand. */
static void put_path(struct buf *b, const char *path)
{
	static const char literal[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/:@!$&()+=";

	for (; *path; path++) {
		if (strchr(literal, *path))
			buf_putc(b, *path);
		else
			buf_printf(b, "%%%02X", (unsigned char)*path);
	}
}

/* `METHOD https://host/path` for requests, the bare place for connections. */
static void put_rule(struct buf *b, const json_t *denial)
{
	const char *host = text_of(denial, "host"), *method = text_of(denial, "method"), *path = text_of(denial, "path");
	json_int_t port = json_integer_value(json_object_get(denial, "port"));

	if (*method && *path == '/') {
		const char *scheme = text_of(denial, "scheme");
		if (!*scheme)
			scheme = port == 80 ? "http" : "https";
		buf_printf(b, "%s %s://", method, scheme);
		/* A URL means one port only, so 80 under https has to be said. */
		put_place(b, host, 0);
		if (port && port != (strcmp(scheme, "http") == 0 ? 80 : 443))
			buf_printf(b, ":%" JSON_INTEGER_FORMAT, port);
		put_path(b, path);
	} else {
		put_place(b, host, port);
	}
}

static void put_tcp(struct buf *b, const json_t *denial)
{
	const char *host = text_of(denial, "host");

	buf_puts(b, "tcp://");
	put_place(b, host, 0);
	buf_printf(b, ":%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(denial, "port")));
}

const unsigned short report_opaque_ports[] = {
	21,   22,   23,	  25,	53,   110,  119,  143,	389,  465,  587,  636,	853,  873,  990,   993,	  995,	1433, 1521,
	1883, 2049, 3306, 3389, 5222, 5432, 5671, 5672, 5900, 6379, 8883, 9042, 9092, 9418, 11211, 27017, 0,
};

static bool speaks_http(json_int_t port)
{
	for (const unsigned short *other = report_opaque_ports; *other; other++) {
		if (port == *other)
			return false;
	}
	return true;
}

/* Whether the policy decided so, and not the form of what was sent, somebody else, or a failure. */
static bool by_policy(const char *reason)
{
	static const char *const reasons[] = { "no-rule", "method", "path", "grant", "no-listener", "raw-address",
					       "private-address" };

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		if (strcmp(reason, reasons[i]) == 0)
			return true;
	}
	return !*reason;
}

/* What is protected of itself is given by its name; what a line of the policy takes stays taken, and the system's too. */
static const char *path_key(const json_t *denial)
{
	const char *reason = text_of(denial, "reason");
	bool own = strcmp(reason, "protect") == 0 && strcmp(text_of(denial, "source"), "default") != 0;

	if (own || strcmp(reason, "hide") == 0 || strcmp(reason, "absent") == 0 || strcmp(reason, "system") == 0)
		return NULL;
	return strcmp(text_of(denial, "op"), "write") == 0 ? "write" : "read";
}

const char *denial_line(const json_t *denial, struct buf *b)
{
	const char *event = text_of(denial, "event"), *host = text_of(denial, "host"), *addr = text_of(denial, "addr");
	const char *reason = text_of(denial, "reason");
	json_int_t port = json_integer_value(json_object_get(denial, "port"));

	if (strcmp(event, "path") == 0) {
		buf_puts(b, text_of(denial, "at"));
		return path_key(denial);
	}
	/* Neither TLS nor HTTP, or most likely not. */
	bool closed = strcmp(reason, "no-listener") == 0 || strcmp(reason, "grant") == 0;
	if (*host && (strcmp(reason, "unknown-protocol") == 0 ||
		      (closed && !speaks_http(port) && strcmp(text_of(denial, "proto"), "udp") != 0))) {
		put_tcp(b, denial);
		return "allow";
	}
	/*
	 * A deny rule beats every flag; neither a misused secret nor somebody else's credential is to be allowed by a hint;
	 * a name that is not the one that was asked for is never believed; UDP never leaves.
	 */
	if (!by_policy(reason) || strcmp(event, "secret.misuse") == 0 || strcmp(event, "call.denied") == 0 ||
	    strcmp(text_of(denial, "proto"), "udp") == 0)
		return NULL;
	if (*host) {
		put_rule(b, denial);
		return strcmp(reason, "private-address") == 0 ? "allow_private" : "allow";
	}
	if (!*addr || !port)
		return NULL;
	bool v6 = strchr(addr, ':') != NULL;
	buf_printf(b, "%s%s%s/%d:%" JSON_INTEGER_FORMAT, v6 ? "[" : "", addr, v6 ? "]" : "", v6 ? 128 : 32, port);
	return "allow";
}

bool denial_flag(const json_t *denial, struct buf *b)
{
	_cleanup_buf_ struct buf line = { 0 };
	const char *key = denial_line(denial, &line);

	if (!key || !buf_str(&line))
		return false;
	buf_printf(b, "--%s ", strcmp(key, "allow_private") == 0 ? "allow-private" : key);
	quote_word(b, buf_str(&line));
	return true;
}

/* A client that did not take the sandbox's certificate, or something that could not be read as a request. */
static bool put_other_way(struct buf *b, const json_t *denial)
{
	const char *host = text_of(denial, "host");
	json_int_t port = json_integer_value(json_object_get(denial, "port"));

	if (*host && strcmp(text_of(denial, "reason"), "tls-handshake") == 0) {
		buf_puts(b, "if the program trusts only certificates of its own: --passthrough ");
		put_place(b, host, port);
	} else if (*host && strcmp(text_of(denial, "event"), "http.deny") == 0 && !*text_of(denial, "method")) {
		buf_puts(b, "it is not well-formed HTTP; for another protocol: --allow ");
		put_tcp(b, denial);
	} else {
		return false;
	}
	return true;
}

/* Why no flag of the sandbox would allow it, and what else would. */
static void put_no_flag(struct buf *b, const json_t *denial)
{
	const char *reason = text_of(denial, "reason");
	_cleanup_buf_ struct buf flag = { 0 };

	if (strcmp(reason, "grant") == 0 && denial_flag(denial, &flag) && buf_str(&flag) &&
	    strncmp(buf_str(&flag), "--allow ", 8) == 0)
		buf_printf(b, "the grant of the call does not allow it, %s of nsbox exec would", buf_str(&flag));
	else if (strncmp(reason, "grant", 5) == 0)
		buf_puts(b, "the grant of the call does not allow it");
	else if (strcmp(reason, "foreign-credential") == 0)
		buf_puts(b, "the grant of the call takes no credential but its own placeholders");
	else if (strcmp(text_of(denial, "event"), "secret.misuse") == 0)
		buf_puts(b, "a secret goes only to the targets of its own --secret");
	else if (strcmp(reason, "hide") == 0)
		buf_puts(b, "what is hidden stays hidden, whatever else is given");
	else if (strcmp(reason, "protect") == 0)
		buf_puts(b, "what the policy protects stays protected");
	else if (strcmp(reason, "system") == 0)
		buf_puts(b, "the system's directories are read-only");
	else if (strcmp(reason, "deny-rule") == 0)
		buf_puts(b, "a deny rule beats every allow rule");
	else if (!put_other_way(b, denial))
		buf_puts(b, "no flag allows it");
}

void denial_text(struct buf *b, const json_t *denial)
{
	const char *event = text_of(denial, "event"), *host = text_of(denial, "host"), *rule = text_of(denial, "rule");
	bool misuse = strcmp(event, "secret.misuse") == 0;

	buf_puts(b, misuse ? "blocked: placeholder of secret " : "denied: ");
	if (misuse)
		buf_printf(b, "%s sent to ", text_of(denial, "name"));
	else if (strcmp(event, "path") == 0)
		buf_printf(b, "%s ", text_of(denial, "op"));
	else if (strcmp(event, "net.deny") == 0)
		buf_puts(b, "connect to ");
	if (*text_of(denial, "method"))
		buf_printf(b, "%s ", text_of(denial, "method"));
	/* Of a path the whole object follows. */
	if (strcmp(event, "path") != 0)
		buf_puts(b, *host ? host : *text_of(denial, "addr") ? text_of(denial, "addr") : event);
	json_int_t port = json_integer_value(json_object_get(denial, "port"));
	if (port)
		buf_printf(b, ":%" JSON_INTEGER_FORMAT, port);
	buf_puts(b, text_of(denial, "path"));
	if (*text_of(denial, "reason"))
		buf_printf(b, " (%s%s%s)", text_of(denial, "reason"), *rule ? ": " : "", rule);
	if (*text_of(denial, "call"))
		buf_printf(b, " by call %s", text_of(denial, "call"));
	json_int_t count = json_integer_value(json_object_get(denial, "count"));
	if (count > 1)
		buf_printf(b, ", %" JSON_INTEGER_FORMAT " times", count);
}

static void put_hint(struct buf *b, const json_t *denial, bool fixed)
{
	denial_text(b, denial);
	buf_puts(b, "; ");
	size_t before = b->len;
	/* What the policy allows is not allowed by another flag of the sandbox. */
	bool granted = strncmp(text_of(denial, "reason"), "grant", 5) == 0;
	buf_puts(b, fixed ? "allowed in a sandbox that is made with " : "allow it with ");
	if (granted || !denial_flag(denial, b)) {
		b->len = before;
		put_no_flag(b, denial);
	}
}

void report_hints(const struct report *report, size_t lines)
{
	size_t i, more = json_array_size(report->denied);
	json_t *denial;

	if (lines == 0)
		return;

	json_array_foreach(report->denied, i, denial) {
		_cleanup_buf_ struct buf b = { 0 };
		/* The last line may have to say how many are not shown. */
		if (i == lines - 1 && more > lines) {
			say("%zu more denials: nsbox audit show %s", more - i, report->sandbox ? report->sandbox : "");
			return;
		}
		/* That the command itself was not let start is said already. */
		if (!report->started && strcmp(text_of(denial, "event"), "call.denied") == 0)
			continue;
		put_hint(&b, denial, report->fixed);
		if (buf_str(&b))
			say("%s", buf_str(&b));
	}
}

void report_json(const struct report *report)
{
	json_t *object = json_object(), *denied = report->denied ? json_incref(report->denied) : json_array(), *one;
	size_t i;

	json_array_foreach(denied, i, one) {
		_cleanup_buf_ struct buf flag = { 0 };
		if (denial_flag(one, &flag) && buf_str(&flag))
			json_object_set_new(one, "allow", json_string(buf_str(&flag)));
	}
	json_object_set_new(object, "sandbox", report->sandbox ? json_string(report->sandbox) : json_null());
	json_object_set_new(object, "started", json_boolean(report->started));
	json_object_set_new(object, "exit", json_integer(report->exit));
	json_object_set_new(object, "signal", json_integer(report->signal));
	json_object_set_new(object, "reason", json_string(report->reason ? report->reason : "error"));
	json_object_set_new(object, "denied", denied);
	json_object_set_new(object, "protected",
			    report->protected_paths ? json_incref(report->protected_paths) : json_array());
	if (report->left_out)
		json_object_set_new(object, "denied_left_out", json_integer((json_int_t)report->left_out));
	char *text = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);
	if (text) {
		write_all(STDERR_FILENO, text, strlen(text));
		write_all(STDERR_FILENO, "\n", 1);
	}
	free(text);
	json_decref(object);
}

void report_free(struct report *report)
{
	json_decref(report->denied);
	json_decref(report->used);
	json_decref(report->protected_paths);
	free(report->sandbox);
}
