/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox audit report: one page of HTML from an audit log. */
#include "report_html.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit.h"
#include "base/util.h"
#include "nsbox.h"

#define CHUNK 65536u

static const struct option report_options[] = {
	{ .id = OPTION_FILE, .name = "file", .value = "FILE", .help = "this log file" },
	{ .id = OPTION_HEAD, .name = "head", .value = "HASH", .help = "the last record must have this hash" },
	{ .id = OPTION_OUTPUT, .letter = 'o', .name = "output", .value = "FILE",
	  .help = "write the page there, not to standard output" },
	{ 0 },
};

/* The whole lines in the buffer. One that is longer than any record is shown by its beginning and dropped. */
static void take_lines(struct report_model *m, struct buf *pending, bool *skip)
{
	size_t at = 0;

	for (const char *end; (end = memchr((const char *)pending->data + at, '\n', pending->len - at)) != NULL;) {
		const char *line = (const char *)pending->data + at;
		if (!*skip)
			report_take_line(m, line, (size_t)(end - line), true);
		*skip = false;
		at += (size_t)(end - line) + 1;
	}
	buf_consume(pending, at);
	if (pending->len <= REPORT_MAX_LINE)
		return;
	if (!*skip)
		report_take_line(m, (const char *)pending->data, pending->len, false);
	*skip = true;
	pending->len = 0;
}

static int read_log(struct report_model *m, const char *path)
{
	_cleanup_buf_ struct buf pending = { 0 };
	struct stat st;
	bool skip = false;

	/* Not waiting for the writer of a FIFO; those that never end are refused. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return refuse("cannot open the audit log %s: %s", path, strerrordesc_np(errno));
	if (!S_ISREG(st.st_mode))
		return refuse("the audit log %s is not a regular file", path);
	for (;;) {
		if (buf_reserve(&pending, CHUNK) < 0)
			return refuse("out of memory");
		ssize_t n = read(fd, pending.data + pending.len, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return refuse("cannot read the audit log %s: %s", path, strerrordesc_np(errno));
		if (n == 0)
			break;
		pending.len += (size_t)n;
		take_lines(m, &pending, &skip);
	}
	/* Without its newline it is cut off, however whole it looks. */
	if (pending.len && !skip)
		report_take_line(m, (const char *)pending.data, pending.len, false);
	return 0;
}

/* Beside the place it is for, then renamed: a full disk leaves no half page, and what was there stays. */
static int write_file(const char *path, const struct buf *page)
{
	_cleanup_free_ char *temporary = NULL;
	struct stat st;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		_cleanup_close_ int there = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		int r = there < 0 ? -errno : write_all(there, page->data, page->len);
		return r < 0 ? refuse("cannot write %s: %s", path, strerrordesc_np(-r)) : 0;
	}
	if (asprintf(&temporary, "%s.XXXXXX", path) < 0) {
		temporary = NULL;
		return refuse("out of memory");
	}
	/* Mode 0600, as the log: it holds command lines and paths. */
	int fd = mkostemp(temporary, O_CLOEXEC);
	int r = fd < 0 ? -errno : write_all(fd, page->data, page->len);
	if (fd >= 0 && close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0 && fd >= 0)
		unlink(temporary);
	return r < 0 ? refuse("cannot write %s: %s", path, strerrordesc_np(-r)) : 0;
}

static int report(const struct audit_args *a)
{
	_cleanup_(report_model_clear) struct report_model m;
	_cleanup_buf_ struct buf page = { 0 };
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	int ok = 0;

	report_model_init(&m);
	int r = read_log(&m, a->path);
	if (r)
		return r;
	/* Behind the reading, so that a record which a running sandbox adds now is verified and not shown, not the reverse. */
	if (sandbox_audit_verify(a->path, a->head, &ok, &text, &error) < 0)
		return refuse_error(error);
	report_page(&page, &m, &(struct report_verdict){ .intact = ok, .text = text ? text : "", .path = a->path });
	if (a->output) {
		r = write_file(a->output, &page);
	} else {
		int e = write_all(STDOUT_FILENO, page.data, page.len);
		r = e < 0 ? refuse("cannot write the page: %s", strerrordesc_np(-e)) : 0;
	}
	if (r == 0 && !ok)
		say("the log is NOT intact: %s", text ? text : "");
	return r;
}

static int run_report(const struct command *self, int argc, char **argv)
{
	struct audit_args a = { 0 };

	int r = audit_take_arguments(self, argc, argv, true, &a);
	if (r)
		r = r - 1;
	else if ((r = audit_check_head(a.head)) != 0)
		; /* said */
	else if (!a.output && isatty(STDOUT_FILENO))
		r = refuse("the page is not for a terminal: name a file with -o FILE");
	else
		r = report(&a);
	free(a.path);
	return r;
}

const struct command command_audit_report = {
	.name = "audit report",
	.arguments = "[ID | FILE | --file FILE] [--head HASH] [-o FILE]",
	.summary = "make one page of HTML from a log (default: the newest)",
	.text = "The page needs nothing else and loads nothing. A word with a slash or with .jsonl at its end is a file.\n"
		"A log that is not intact is reported too; the page and a message say so.",
	.options = (const struct option *const[]){ report_options, NULL },
	.run = run_report,
};
