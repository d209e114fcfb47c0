/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page that nsbox audit report makes of an audit log.
 *
 * Theory of operation. The log is read once, line by line. What a record says becomes HTML at once, in the buffer of its
 * call or as a line of a table in which equal ones are counted; then the page is put together from these. Everything
 * has a bound, and what does not fit is counted and said on the page, so a log of any length gives a page
 * of a few megabytes.
 *
 * All text of a log is hostile. It reaches the page through html_text() only, which leaves no byte that could begin
 * markup, and the page carries a policy (CSP) that allows its own style and script by their digests and nothing
 * else: should anything slip through, it does not run and loads nothing.
 */
#ifndef NSBOX_CLI_REPORT_HTML_H
#define NSBOX_CLI_REPORT_HTML_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define REPORT_MAX_LINE (1u << 20) /* bytes; no record is longer */
#define REPORT_MAX_CALLS 1000u
#define REPORT_MAX_ROWS 10000u	   /* of all calls */
#define REPORT_MAX_CALL_ROWS 500u
#define REPORT_MAX_ROW_BYTES (6u << 20)
#define REPORT_MAX_GROUPS 500u	   /* different lines of one table */
#define REPORT_MAX_TABLE_BYTES (1u << 20)
#define REPORT_MAX_BAD_LINES 20u
#define REPORT_MAX_ID 128u
#define REPORT_MAX_TEXT 300u	   /* bytes of one text in a table */
#define REPORT_MAX_ARGV 2000u

/* page/: generated. */
extern const char report_css[], report_js[], report_policy[];

/* Equal lines of a table, counted. */
struct report_group {
	struct buf cells; /* HTML */
	uint64_t count;
	int64_t first; /* us since the epoch, -1: unknown */
	size_t call;   /* of the first one: its number on the page, 0: none */
};

struct report_table {
	json_t *index; /* cells -> place in v */
	struct report_group *v;
	size_t n, bytes;
	uint64_t total, left_out; /* records */
};

struct report_call {
	char *id;
	struct buf argv, facts, reason, rows; /* HTML */
	int64_t start, end;		      /* us since the epoch, -1: unknown */
	bool exited, has_exit, denied, bad;
	json_int_t exit, signal;
	uint64_t requests, denials, bytes_up, bytes_down, rows_left;
	size_t n_rows;
};

struct report_model {
	struct buf sandbox, workdir, net, degraded, end_reason; /* HTML */
	int64_t start, end, first, last;
	char head[65]; /* of the last record */
	uint64_t records, bad_lines;
	struct buf bad_samples; /* HTML */
	json_t *index;		/* id of a call -> place in calls */
	struct report_call *calls;
	size_t n_calls;
	struct report_call outside; /* what belongs to no call */
	size_t n_rows, row_bytes;
	uint64_t calls_total, calls_failed, calls_left, requests, bytes_up, bytes_down;
	struct report_table denials, secrets, limits, auditor, files;
};

/* report_html_text.c. Out of memory ends the program: nothing has been written then. */
void html_put(struct buf *b, const char *markup);
void html_add(struct buf *b, const struct buf *html);
/* Escaped, what a terminal would obey too; cut at max bytes. */
void html_text(struct buf *b, const char *text, size_t len, size_t max);
void html_member(struct buf *b, const json_t *record, const char *key); /* when it is a string */
void html_uint(struct buf *b, uint64_t v);
void html_bytes(struct buf *b, uint64_t v);	 /* "1.2 kB" */
void html_duration(struct buf *b, int64_t us);	 /* "1.24 s" */
void html_date(struct buf *b, int64_t us);	 /* with the time, in UTC; "?" for -1 */
void html_clock(struct buf *b, int64_t us, int64_t base); /* the time; the day too when it is not that of base */
int64_t report_time(const json_t *record);	 /* its member time, -1 when out of form */
const char *report_string(const json_t *record, const char *key);
uint64_t report_count(const json_t *record, const char *key);

/* report_html_row.c */
/* What it is about, in words: `GET host/path`. */
void report_what(struct buf *b, json_t *record);
/* A row in the table of a call. */
void report_row(struct buf *b, json_t *record, int64_t time, int64_t base);
/* `reason: rule`, as far as it has them. */
void report_reason(struct buf *b, const json_t *record);
bool report_is_denial(const char *event);
/* The coloured word for an event. */
void report_tag(struct buf *b, const char *event);

/* report_html_model.c */
void report_take_line(struct report_model *m, const char *line, size_t len, bool whole);
void report_model_init(struct report_model *m);
void report_model_clear(struct report_model *m);

/* report_html_page.c */
struct report_verdict {
	bool intact;
	const char *text; /* of the verification */
	const char *path;
};
void report_page(struct buf *b, const struct report_model *m, const struct report_verdict *verdict);

#endif
