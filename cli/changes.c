/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of changes that are kept, and how the commands for them name them. */
#include "changes.h"

#include <errno.h>

#include "base/util.h"
#include "nsbox.h"

const char *const *changes_paths(struct words *words)
{
	if (words->n < 2)
		return NULL;
	/* argv ends in NULL, and words were moved to the front. */
	words->word[words->n] = NULL;
	return (const char *const *)words->word + 1;
}

void changes_put_own(struct buf *b, const json_t *own)
{
	const json_t *call;
	size_t i;

	json_array_foreach(own, i, call)
		buf_printf(b, "%s%s", i ? ", " : "", json_string_value(call));
}

static void tell_own(const json_t *own)
{
	_cleanup_buf_ struct buf line = { 0 };

	changes_put_own(&line, own);
	if (buf_str(&line))
		say("layers of calls are kept: nsbox diff|commit|discard CALL, for %s", buf_str(&line));
}

void changes_tell(const char *id, bool drop)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	unsigned long n = 0;

	int r = drop ? 0 : sandbox_changes_read(id, NULL, 0, &text, &error);
	/* Nothing was written. */
	if (r == -ENOENT) {
		sandbox_error_free(error);
		return;
	}
	if (r < 0) {
		say("what changed is kept, but cannot be listed (nsbox discard %s): %s", id, sandbox_error_message(error));
		sandbox_error_free(error);
		return;
	}
	json_t *all = text ? json_loads(text, 0, NULL) : NULL;
	if (text && !all) {
		say("what changed is kept, but cannot be listed (nsbox discard %s): out of memory", id);
		return;
	}
	const json_t *own = json_object_get(all, "own");
	n = (unsigned long)json_integer_value(json_object_get(all, "count"));
	if (n > 0)
		say("%lu file%s changed: nsbox diff|commit|discard %s", n, n == 1 ? "" : "s", id);
	if (json_array_size(own) > 0)
		tell_own(own);
	else if (n == 0)
		sandbox_changes_discard(id, NULL, &n, NULL);
	json_decref(all);
}

void changes_tell_call(sandbox_runtime *runtime, const char *call)
{
	_cleanup_free_ char *text = NULL;

	/* Mostly there is none. */
	if (sandbox_changes_call_read(runtime, call, NULL, 0, &text, NULL) < 0)
		return;
	json_t *all = json_loads(text, 0, NULL);
	unsigned long n = (unsigned long)json_integer_value(json_object_get(all, "count"));
	say("%lu file%s changed in a layer of its own: nsbox diff|commit|discard %s", n, n == 1 ? "" : "s", call);
	json_decref(all);
}
