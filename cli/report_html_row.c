/* SPDX-License-Identifier: Apache-2.0 */
/* What one record looks like in a report. */
#include <string.h>

#include "base/util.h"
#include "nsbox.h"
#include "report_html.h"

bool report_is_denial(const char *event)
{
	return strcmp(event, "net.deny") == 0 || strcmp(event, "http.deny") == 0 || strcmp(event, "call.denied") == 0 ||
	       strcmp(event, "commit.denied") == 0 || strcmp(event, "secret.misuse") == 0;
}

void report_tag(struct buf *b, const char *event)
{
	const char *kind = report_is_denial(event) ? " bad" :
			   strcmp(event, "http.request") == 0 || strcmp(event, "net.allow") == 0 ||
					   strcmp(event, "secret.use") == 0 ?
						     " ok" :
			   strcmp(event, "limit.hit") == 0 || strcmp(event, "auditor.error") == 0 ||
					   strcmp(event, "gateway.exit") == 0 || strcmp(event, "fs.protected") == 0 ?
						     " odd" :
						     "";

	html_put(b, "<span class=\"tag");
	html_put(b, kind);
	html_put(b, "\">");
	html_text(b, event, strlen(event), 40);
	html_put(b, "</span>");
}

/* Members with a place of their own on the page; any other, also one of a later version, is shown as key=value. */
static bool has_place(const char *key)
{
	static const char *const keys[] = { "seq",    "time",   "event",  "sandbox",	 "call",       "prev", "hash", "host",
					    "port",   "addr",   "method", "path",	 "rule",       "reason", "status",
					    "bytes_up", "bytes_down", "ms", "proto", "name", "where" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (strcmp(keys[i], key) == 0)
			return true;
	}
	return false;
}

static void put_space(struct buf *b, size_t from)
{
	if (b->len > from)
		html_put(b, " ");
}

static void put_others(struct buf *b, json_t *record, size_t from)
{
	const char *key;
	json_t *value;
	size_t shown = 0;

	json_object_foreach(record, key, value) {
		if (has_place(key) || ++shown > 8)
			continue;
		put_space(b, from);
		html_text(b, key, strlen(key), 40);
		html_put(b, "=");
		if (json_is_string(value)) {
			html_text(b, json_string_value(value), json_string_length(value), REPORT_MAX_TEXT);
			continue;
		}
		char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		html_text(b, text ? text : "?", text ? strlen(text) : 1, REPORT_MAX_TEXT);
		free(text);
	}
}

void report_what(struct buf *b, json_t *record)
{
	const char *host = report_string(record, "host"), *addr = report_string(record, "addr");
	const char *event = report_string(record, "event"), *proto = report_string(record, "proto");
	uint64_t port = report_count(record, "port");
	size_t from = b->len;

	if (strncmp(event, "secret.", 7) == 0) {
		html_member(b, record, "name");
		html_put(b, *host || *addr ? " \xe2\x86\x92" : "");
	} else if (strncmp(event, "net.", 4) == 0) {
		html_text(b, proto, strlen(proto), 20);
	}
	if (*report_string(record, "method")) {
		put_space(b, from);
		html_member(b, record, "method");
	}
	if (*host || *addr) {
		put_space(b, from);
		html_member(b, record, *host ? "host" : "addr");
		if (port && (port != 443 || strncmp(event, "net.", 4) == 0) && !(port == 80 && strcmp(proto, "http") == 0)) {
			html_put(b, ":");
			html_uint(b, port);
		}
	}
	if (report_string(record, "path")[0] != '/')
		put_space(b, from);
	html_member(b, record, "path");
	if (*report_string(record, "where")) {
		html_put(b, " in ");
		html_member(b, record, "where");
	}
	put_others(b, record, from);
	if (*host && *addr && strcmp(host, addr) != 0) {
		html_put(b, " (");
		html_member(b, record, "addr");
		html_put(b, ")");
	}
}

static void number_cell(struct buf *b, const json_t *record, const char *key, bool bytes)
{
	html_put(b, "<td class=\"n\">");
	if (json_is_integer(json_object_get(record, key))) {
		if (bytes)
			html_bytes(b, report_count(record, key));
		else
			html_uint(b, report_count(record, key));
	}
	html_put(b, "</td>");
}

void report_reason(struct buf *b, const json_t *record)
{
	const char *rule = report_string(record, "rule");

	html_member(b, record, "reason");
	if (*rule) {
		html_put(b, *report_string(record, "reason") ? ": <span class=\"m\">" : "<span class=\"m\">");
		html_member(b, record, "rule");
		html_put(b, "</span>");
	}
}

void report_row(struct buf *b, json_t *record, int64_t time, int64_t base)
{
	const char *event = report_string(record, "event");

	html_put(b, report_is_denial(event) ? "<tr class=\"bad\"><td class=\"t\">" : "<tr><td class=\"t\">");
	html_clock(b, time, base);
	html_put(b, "</td><td>");
	report_tag(b, event);
	html_put(b, "</td><td class=\"w m\">");
	report_what(b, record);
	html_put(b, "</td>");
	number_cell(b, record, "status", false);
	number_cell(b, record, "bytes_up", true);
	number_cell(b, record, "bytes_down", true);
	number_cell(b, record, "ms", false);
	html_put(b, "<td class=\"r\">");
	report_reason(b, record);
	html_put(b, "</td></tr>\n");
}
