/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox diff: what sandboxes wrote into overlaid directories. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/util.h"
#include "changes.h"
#include "nsbox.h"

enum { OPTION_JSON = OPTION_OWN, OPTION_PATCH, OPTION_STAT, OPTION_DIGEST };

static const struct option diff_options[] = {
	{ .id = OPTION_PATCH, .name = "patch", .help = "a unified diff, as git apply takes it" },
	{ .id = OPTION_STAT, .name = "stat", .help = "how many lines came and went in each file" },
	{ .id = OPTION_DIGEST, .name = "digest",
	  .help = "one number for all that a commit would do, for nsbox commit --digest" },
	{ .id = OPTION_JSON, .name = "json",
	  .help = "a JSON object {id, name, workdir, roots, in_use, auditor, own, calls, changes, count}" },
	{ 0 },
};

struct diff {
	bool json, patch, stat, digest;
};

static int take_diff(void *arg, const struct option_reader *r)
{
	struct diff *diff = arg;

	diff->json |= r->option->id == OPTION_JSON;
	diff->patch |= r->option->id == OPTION_PATCH;
	diff->stat |= r->option->id == OPTION_STAT;
	diff->digest |= r->option->id == OPTION_DIGEST;
	return 0;
}

/* Below the directory it is said from that alone, else whole. */
static void put_path(struct buf *b, const char *path, const char *workdir)
{
	size_t n = workdir ? strlen(workdir) : 0;

	if (n > 1 && strncmp(path, workdir, n) == 0 && path[n] == '/')
		path += n + 1;
	escape_text(b, path, strlen(path));
}

static void put_marks(struct buf *b, const json_t *change)
{
	const json_t *flags = json_object_get(change, "flags"), *flag;
	size_t i;

	json_array_foreach(flags, i, flag)
		buf_printf(b, "%s%s", i ? ", " : "  [", json_string_value(flag));
	if (json_array_size(flags))
		buf_puts(b, "]");
	if (json_is_true(json_object_get(change, "conflict")))
		buf_puts(b, "  [conflict: changed on the host too]");
}

/* Which calls changed it last, by the number in their ids. */
static void put_calls(struct buf *b, const json_t *change)
{
	const json_t *calls = json_object_get(change, "calls"), *call;
	bool more = json_is_true(json_object_get(change, "more_calls"));
	size_t i, n = json_array_size(calls);

	json_array_foreach(calls, i, call) {
		const char *number = strrchr(json_string_value(call), '.');
		buf_printf(b, "%s%s", i == 0 ? "  (call " : i + 1 == n && !more ? " or " : ", ", number ? number + 1 : "?");
	}
	if (n > 0)
		buf_puts(b, more ? " or another)" : ")");
}

/* One line a change: a letter, the path, what a person should know. */
static void print_change(const json_t *change, const char *workdir, bool several)
{
	static const struct {
		const char *change;
		char letter;
	} letters[] = { { "added", 'A' }, { "modified", 'M' }, { "deleted", 'D' },
			{ "renamed", 'R' }, { "mode", 'm' }, { "type", 'T' } };
	const char *kind = json_string_value(json_object_get(change, "change"));
	const char *from = json_string_value(json_object_get(change, "from"));
	const char *old_mode = json_string_value(json_object_get(change, "old_mode"));
	const char *mode = json_string_value(json_object_get(change, "mode"));
	const char *type = json_string_value(json_object_get(change, "type"));
	_cleanup_buf_ struct buf line = { 0 };
	char letter = '?';

	for (size_t i = 0; i < ARRAY_LEN(letters); i++)
		letter = strcmp(kind, letters[i].change) == 0 ? letters[i].letter : letter;
	buf_printf(&line, "%c  ", letter);
	if (from) {
		put_path(&line, from, workdir);
		buf_puts(&line, " -> ");
	}
	put_path(&line, json_string_value(json_object_get(change, "path")), workdir);
	if (strcmp(type, "directory") == 0)
		buf_puts(&line, "/");
	if (old_mode && mode && strcmp(old_mode, mode) != 0 && letter != 'T' && letter != 'R')
		buf_printf(&line, "  (%s -> %s)", old_mode, mode);
	if (several)
		put_calls(&line, change);
	put_marks(&line, change);
	puts(buf_str(&line) ? buf_str(&line) : "");
}

static int print_changes(const char *text)
{
	json_t *all = json_loads(text, 0, NULL), *change;
	const char *workdir = json_string_value(json_object_get(all, "workdir"));
	bool several = json_integer_value(json_object_get(all, "calls")) > 1;
	size_t i;

	json_array_foreach(json_object_get(all, "changes"), i, change)
		print_change(change, workdir, several);
	json_decref(all);
	return EXIT_YES;
}

static int print_stat(const char *text)
{
	json_t *all = json_loads(text, 0, NULL), *change;
	const char *workdir = json_string_value(json_object_get(all, "workdir"));
	json_int_t added = 0, removed = 0;
	size_t i;

	json_array_foreach(json_object_get(all, "changes"), i, change) {
		const json_t *plus = json_object_get(change, "lines_added"), *minus = json_object_get(change, "lines_removed");
		_cleanup_buf_ struct buf line = { 0 };
		put_path(&line, json_string_value(json_object_get(change, "path")), workdir);
		if (plus)
			buf_printf(&line, " | +%" JSON_INTEGER_FORMAT " -%" JSON_INTEGER_FORMAT, json_integer_value(plus),
				   json_integer_value(minus));
		else
			buf_printf(&line, " | %" JSON_INTEGER_FORMAT " bytes", json_integer_value(json_object_get(change, "size")));
		added += json_integer_value(plus);
		removed += json_integer_value(minus);
		puts(buf_str(&line) ? buf_str(&line) : "");
	}
	printf("%zu file%s changed, +%" JSON_INTEGER_FORMAT " -%" JSON_INTEGER_FORMAT "\n", i, i == 1 ? "" : "s", added,
	       removed);
	json_decref(all);
	return EXIT_YES;
}

/* Calls wrote what is in it: a terminal is shown it and obeys nothing in it. */
static int print_escaped(int fd)
{
	_cleanup_buf_ struct buf out = { 0 };
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	FILE *f = fdopen(fd, "r");
	if (!f) {
		close(fd);
		return refuse("out of memory");
	}
	rewind(f);
	while ((n = getline(&line, &cap, f)) > 0) {
		bool whole = line[n - 1] == '\n';
		for (char *at = line, *end = line + n - whole;;) {
			char *tab = memchr(at, '\t', (size_t)(end - at));
			escape_text(&out, at, (size_t)((tab ? tab : end) - at));
			if (!tab)
				break;
			buf_putc(&out, '\t');
			at = tab + 1;
		}
		if (whole)
			buf_putc(&out, '\n');
		fwrite(out.data, 1, out.len, stdout);
		out.len = 0;
	}
	free(line);
	fclose(f);
	return EXIT_YES;
}

static int patch(const char *id, const char *const *paths, int fd, sandbox_error **error)
{
	sandbox_runtime *runtime = NULL;

	if (!changes_of_call(id))
		return sandbox_changes_patch(id, paths, fd, error);
	int r = sandbox_runtime_new(&runtime, error);
	if (r == 0)
		r = sandbox_changes_call_patch(runtime, id, paths, fd, error);
	sandbox_runtime_free(runtime);
	return r;
}

static int print_patch(const char *name, const char *const *paths)
{
	sandbox_error *error = NULL;

	if (!isatty(STDOUT_FILENO))
		return patch(name, paths, STDOUT_FILENO, &error) < 0 ? refuse_error(error) : EXIT_YES;
	int fd = memfd_create("patch", MFD_CLOEXEC);
	if (fd < 0)
		return refuse("cannot keep the patch: %s", strerrordesc_np(errno));
	if (patch(name, paths, fd, &error) < 0) {
		close(fd);
		return refuse_error(error);
	}
	return print_escaped(fd);
}

static int list_layers(bool json)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;

	if (sandbox_changes_list(&text, &error) < 0)
		return refuse_error(error);
	if (json) {
		puts(text);
		return EXIT_YES;
	}
	json_t *all = json_loads(text, 0, NULL), *one, *root;
	size_t i, k;
	json_array_foreach(all, i, one) {
		_cleanup_buf_ struct buf line = { 0 };
		buf_printf(&line, "%s", json_string_value(json_object_get(one, "id")));
		json_array_foreach(json_object_get(one, "roots"), k, root) {
			buf_puts(&line, "  ");
			escape_text(&line, json_string_value(root), strlen(json_string_value(root)));
		}
		if (*json_string_value(json_object_get(one, "name")))
			buf_printf(&line, "  (%s)", json_string_value(json_object_get(one, "name")));
		if (json_is_true(json_object_get(one, "in_use")))
			buf_puts(&line, "  running");
		if (json_array_size(json_object_get(one, "own")) > 0)
			buf_puts(&line, "  own layers of calls: ");
		changes_put_own(&line, json_object_get(one, "own"));
		puts(buf_str(&line) ? buf_str(&line) : "");
	}
	json_decref(all);
	return EXIT_YES;
}

static int print_digest(const char *text)
{
	json_t *all = json_loads(text, 0, NULL);

	puts(json_string_value(json_object_get(all, "digest")));
	json_decref(all);
	return EXIT_YES;
}

static int read_changes(const char *id, const char *const *paths, unsigned flags, char **ret_text, sandbox_error **error)
{
	sandbox_runtime *runtime = NULL;

	if (!changes_of_call(id))
		return sandbox_changes_read(id, paths, flags, ret_text, error);
	int r = sandbox_runtime_new(&runtime, error);
	if (r == 0)
		r = sandbox_changes_call_read(runtime, id, paths, flags, ret_text, error);
	sandbox_runtime_free(runtime);
	return r;
}

static int run_diff(const struct command *self, int argc, char **argv)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	struct diff diff = { 0 };
	struct words words;

	int status = named_words(self, argc, argv, take_diff, &diff, &words);
	if (status)
		return status - 1;
	if (words.n == 0)
		return list_layers(diff.json);
	if (diff.json + diff.patch + diff.stat + diff.digest > 1)
		return refuse("--json, --patch, --stat and --digest exclude each other");
	if (diff.patch)
		return print_patch(words.word[0], changes_paths(&words));
	unsigned flags = diff.stat ? SANDBOX_CHANGES_LINES : diff.digest ? SANDBOX_CHANGES_DIGEST : 0;
	if (read_changes(words.word[0], changes_paths(&words), flags, &text, &error) < 0)
		return refuse_error(error);
	if (diff.digest)
		return print_digest(text);
	if (diff.json)
		puts(text);
	return diff.json ? EXIT_YES : diff.stat ? print_stat(text) : print_changes(text);
}

const struct command command_diff = {
	.name = "diff",
	.arguments = "[ID|CALL [PATH...]]",
	.summary = "show what a sandbox changed in its overlaid directories; without ID list the sandboxes with changes",
	.text = "A added, M modified, D deleted, R renamed, m mode, T another type of file. In brackets: why the host would\n"
		"execute it (commit wants --accept-executable then), or a conflict with a change on the host. CALL is ID.NUMBER, a\n"
		"call that ran with --view scratch: what it changed of the sandbox's working state.",
	.options = (const struct option *const[]){ diff_options, NULL },
	.run = run_diff,
};
