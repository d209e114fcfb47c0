/* SPDX-License-Identifier: Apache-2.0 */
/* What a run left where the host would execute it, and where that is now. */
#include <string.h>

#include "nsbox.h"
#include "report.h"

#define KEPT_MAX 256u

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "";
}

void report_add_protected(struct report *report, const char *event_json)
{
	static const char *const members[] = { "path", "kept", "keys", "restored", "failed", "reason", "call" };
	json_t *event = json_loads(event_json, 0, NULL), *one = json_object();

	if (!report->protected_paths)
		report->protected_paths = json_array();
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		json_t *value = json_object_get(event, members[i]);
		if (value)
			json_object_set(one, members[i], value);
	}
	/* Told once more: how it ended otherwise than it was meant to. */
	size_t n = json_array_size(report->protected_paths);
	if (n && strcmp(text_of(json_array_get(report->protected_paths, n - 1), "path"), text_of(one, "path")) == 0)
		json_array_set_new(report->protected_paths, n - 1, one);
	else if (n < KEPT_MAX)
		json_array_append_new(report->protected_paths, one);
	else
		json_decref(one);
	json_decref(event);
}

static void put_keys(struct buf *b, const json_t *keys)
{
	size_t i;
	json_t *key;

	json_array_foreach(keys, i, key)
		buf_printf(b, "%s%s", i ? ", " : "", json_string_value(key));
}

static void say_one(const json_t *one)
{
	_cleanup_buf_ struct buf b = { 0 };
	const json_t *keys = json_object_get(one, "keys");
	const char *kept = text_of(one, "kept"), *failed = text_of(one, "failed"), *path = text_of(one, "path");

	buf_printf(&b, "protected: %s is %s, and the host would execute ", path, text_of(one, "reason"));
	if (keys)
		put_keys(&b, keys);
	else
		buf_puts(&b, "it");
	if (*failed)
		buf_printf(&b, "; it could not be moved away (%s): look at it before you use the directory", failed);
	else if (keys)
		buf_printf(&b, ": taken out; the file as it was is %s", kept);
	else
		buf_printf(&b, ": moved to %s%s", kept, json_object_get(one, "restored") ? ", what was there before is back" : "");
	if (buf_str(&b))
		say("%s", buf_str(&b));
}

size_t report_protected(const struct report *report)
{
	size_t i, more = json_array_size(report->protected_paths);
	json_t *one;

	json_array_foreach(report->protected_paths, i, one) {
		if (i == REPORT_LINES - 1 && more > REPORT_LINES) {
			say("protected: %zu more: nsbox audit show %s", more - i, report->sandbox ? report->sandbox : "");
			return REPORT_LINES;
		}
		say_one(one);
	}
	return more;
}
