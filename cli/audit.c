/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox audit: show a log, verify its chain (and report_html.c: make a page of it). */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "audit.h"
#include "base/util.h"

static const struct option show_options[] = {
	{ .id = OPTION_FILE, .name = "file", .value = "FILE", .help = "this log file" },
	{ .id = OPTION_JSON, .name = "json", .help = "the JSON Lines as they are in the file" },
	{ 0 },
};

static const struct option verify_options[] = {
	{ .id = OPTION_FILE, .name = "file", .value = "FILE", .help = "this log file" },
	{ .id = OPTION_HEAD, .name = "head", .value = "HASH",
	  .help = "the last record must have this hash: shows a lost or rewritten end" },
	{ 0 },
};

static bool names_a_file(const char *word)
{
	size_t len = strlen(word);

	return strchr(word, '/') || (len > 6 && strcmp(word + len - 6, ".jsonl") == 0);
}

int audit_take_arguments(const struct command *self, int argc, char **argv, bool id_or_file, struct audit_args *a)
{
	struct option_reader r = { .command = self, .argc = argc, .argv = argv };
	sandbox_error *error = NULL;

	for (;;) {
		int id = option_next(&r);
		if (id == OPTION_BAD)
			return EXIT_NSBOX + 1;
		if (id == OPTION_HELP)
			return help_print(self) + 1;
		if (id == OPTION_FILE)
			a->file = r.value;
		else if (id == OPTION_HEAD)
			a->head = r.value;
		else if (id == OPTION_OUTPUT)
			a->output = r.value;
		else if (id == OPTION_JSON)
			a->json = true;
		else if (r.at >= argc)
			break;
		else if (a->id) /* options may stand behind the id too: no command follows */
			return refuse("nsbox %s takes one sandbox id, not also %s", self->name, argv[r.at]) + 1;
		else
			a->id = argv[r.at++];
	}
	if (id_or_file && a->id && !a->file && names_a_file(a->id)) {
		a->file = a->id;
		a->id = NULL;
	}
	if (a->id && a->file)
		return refuse("give a sandbox id or --file FILE, not both") + 1;
	if (a->file)
		a->path = strdup(a->file);
	else if (sandbox_audit_path(a->id, &a->path, &error) < 0)
		return refuse_error(error) + 1;
	return a->path ? 0 : refuse("out of memory") + 1;
}

static void put_value(struct buf *b, const json_t *value)
{
	const char *text = json_string_value(value);

	if (text) {
		quote_word(b, text);
	} else if (json_is_array(value)) {
		size_t i;
		json_t *one;
		buf_putc(b, '[');
		json_array_foreach((json_t *)value, i, one) {
			if (i)
				buf_putc(b, ' ');
			put_value(b, one);
		}
		buf_putc(b, ']');
	} else {
		char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
		if (dump)
			buf_puts(b, dump);
		free(dump);
	}
}

static const char *take_text(json_t *record, const char *key, struct buf *b)
{
	const char *text = json_string_value(json_object_get(record, key));

	b->len = 0;
	if (text)
		escape_text(b, text, strlen(text));
	json_object_del(record, key);
	return buf_str(b) ? buf_str(b) : "";
}

/* Time, call, event, then the other members in the order of the log. */
static void print_record(const char *line, size_t len)
{
	static const char *const chain[] = { "seq", "sandbox", "prev", "hash" };
	_cleanup_buf_ struct buf b = { 0 }, time = { 0 }, call = { 0 }, event = { 0 };
	json_t *record = json_loadb(line, len, 0, NULL), *value;
	const char *key;

	if (!json_is_object(record)) {
		buf_puts(&b, "not a record: ");
		escape_text(&b, line, len);
	} else {
		for (size_t i = 0; i < ARRAY_LEN(chain); i++)
			json_object_del(record, chain[i]);
		take_text(record, "time", &time);
		take_text(record, "call", &call);
		take_text(record, "event", &event);
		buf_printf(&b, "%s  %-12s %-14s", buf_str(&time), buf_str(&call), buf_str(&event));
		json_object_foreach(record, key, value) {
			buf_putc(&b, ' ');
			escape_text(&b, key, strlen(key));
			buf_putc(&b, '=');
			put_value(&b, value);
		}
	}
	json_decref(record);
	buf_putc(&b, '\n');
	fwrite(b.data, 1, b.len, stdout);
}

static int show(const struct audit_args *a)
{
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	int r = 0;

	/* Not followed into a device or FIFO that never ends. */
	int fd = open(a->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f) {
		fd_close(fd);
		return refuse("cannot open the audit log %s: %s", a->path, strerrordesc_np(errno));
	}
	while ((len = getline(&line, &cap, f)) > 0) {
		if (a->json)
			fwrite(line, 1, (size_t)len, stdout);
		else
			print_record(line, (size_t)len - (line[len - 1] == '\n'));
	}
	if (ferror(f))
		r = refuse("cannot read the audit log %s: %s", a->path, strerrordesc_np(errno));
	fclose(f);
	return r;
}

static int run_show(const struct command *self, int argc, char **argv)
{
	struct audit_args a = { 0 };

	int r = audit_take_arguments(self, argc, argv, false, &a);
	r = r ? r - 1 : show(&a);
	free(a.path);
	return r;
}

int audit_check_head(const char *head)
{
	if (head && (strlen(head) != 64 || strspn(head, "0123456789abcdef") != 64))
		return refuse("--head needs the hash of the last record: 64 lower-case hex digits");
	return 0;
}

static int verify(const struct audit_args *a)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	int ok;

	if (audit_check_head(a->head))
		return EXIT_NSBOX;
	if (sandbox_audit_verify(a->path, a->head, &ok, &text, &error) < 0)
		return refuse_error(error);
	printf("%s: %s\n", ok ? "intact" : "NOT intact", text ? text : "");
	return ok ? EXIT_YES : EXIT_NO;
}

static int run_verify(const struct command *self, int argc, char **argv)
{
	struct audit_args a = { 0 };

	int r = audit_take_arguments(self, argc, argv, false, &a);
	r = r ? r - 1 : verify(&a);
	free(a.path);
	return r;
}

static const struct command command_show = {
	.name = "audit show",
	.arguments = "[ID | --file FILE] [--json]",
	.summary = "print the records of a sandbox (default: the newest log)",
	.options = (const struct option *const[]){ show_options, NULL },
	.run = run_show,
};

static const struct command command_verify = {
	.name = "audit verify",
	.arguments = "[ID | --file FILE] [--head HASH]",
	.summary = "check that no record was changed, removed or moved",
	.text = "The chain has no key: an end that was cut off or computed anew shows only with --head.\n"
		"Exit status: 0 intact, 1 not intact, 125 error.",
	.options = (const struct option *const[]){ verify_options, NULL },
	.run = run_verify,
};

const struct command command_audit = {
	.name = "audit",
	.arguments = "COMMAND",
	.summary = "read, verify and report audit logs",
	.subcommands = (const struct command *const[]){ &command_show, &command_verify, &command_audit_report, NULL },
};
