/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration of git, or the list of a rebase, before a call and after it, with NUL between them; or an index. */
#include <stdlib.h>
#include <string.h>

#include "policy/git_config.h"
#include "policy/git_index.h"
#include "fuzz.h"

/* After what was taken out nothing more is to be taken out, and where nothing was, not a byte has changed. */
static void check_left(git_reader read, const struct git_keys *before, const struct buf *left, size_t removed, const char *text,
		       size_t len)
{
	_cleanup_buf_ struct buf again = { 0 };
	size_t n;

	if (git_config_filter(read, (const char *)left->data, left->len, before, &again, &n, NULL, 0) < 0 || n != 0 ||
	    again.len != left->len || (again.len && memcmp(again.data, left->data, again.len) != 0))
		abort();
	if (removed ? left->len >= len : left->len != len || (len && memcmp(left->data, text, len) != 0))
		abort();
}

static void run(git_reader read, const char *first, size_t first_len, const char *second, size_t len)
{
	_cleanup_git_keys_ struct git_keys before = { 0 };
	_cleanup_buf_ struct buf left = { 0 };
	char *names[4] = { 0 };
	size_t n = 0;

	if (read(first, first_len, &before) < 0)
		return;
	for (size_t i = 0; i < before.n; i++) {
		if ((read == git_config_read && !git_key_executes(before.v[i].name, before.v[i].value)) ||
		    before.v[i].begin >= before.v[i].end || before.v[i].end > first_len)
			abort();
	}
	if (git_config_filter(read, second, len, &before, &left, &n, names, 4) == 0)
		check_left(read, &before, &left, n, second, len);
	for (size_t i = 0; i < 4; i++)
		free(names[i]);
}

/* Links are whole names, and asking for them changes nothing but what is refused because of them. */
static void check_index(const uint8_t *data, size_t size, size_t hash)
{
	_cleanup_buf_ struct buf links = { 0 };
	char shared[GIT_SHARED_NAME];

	int r = git_index_check(data, size, hash, shared, &links);
	if (links.len && links.data[links.len - 1] != '\0')
		abort();
	for (size_t at = 0; at < links.len; at += strlen((const char *)links.data + at) + 1) {
		if (!links.data[at] || links.data[at] == '/')
			abort();
	}
	if (r == 0 && git_index_check(data, size, hash, shared, NULL) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *first = (const char *)data;
	const char *end = size ? memchr(first, '\0', size) : NULL;
	const char *second = end ? end + 1 : first;
	size_t before = end ? (size_t)(end - first) : 0, len = size - (size_t)(second - first);

	run(git_config_read, first, before, second, len);
	run(git_todo_read, first, before, second, len);
	run(git_strategy_read, first, before, second, len);
	run(git_apply_options_read, first, before, second, len);
	check_index(data, size, GIT_SHA1);
	check_index(data, size, GIT_SHA256);
	return 0;
}
