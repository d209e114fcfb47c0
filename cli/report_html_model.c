/* SPDX-License-Identifier: Apache-2.0 */
/* Records of a log, taken one by one, become what a report shows. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "nsbox.h"
#include "report.h"
#include "report_html.h"

static void *must(void *p)
{
	if (!p) {
		refuse("out of memory");
		exit(EXIT_NSBOX);
	}
	return p;
}

void report_model_init(struct report_model *m)
{
	*m = (struct report_model){ .start = -1, .end = -1, .first = -1, .last = -1 };
	m->index = must(json_object());
	m->calls = must(calloc(REPORT_MAX_CALLS, sizeof(*m->calls)));
	m->outside.start = m->outside.end = -1;
}

static void call_clear(struct report_call *c)
{
	free(c->id);
	buf_free(&c->argv);
	buf_free(&c->facts);
	buf_free(&c->reason);
	buf_free(&c->rows);
}

static void table_clear(struct report_table *t)
{
	json_decref(t->index);
	for (size_t i = 0; i < t->n; i++)
		buf_free(&t->v[i].cells);
	free(t->v);
}

void report_model_clear(struct report_model *m)
{
	struct report_table *const tables[] = { &m->denials, &m->secrets, &m->limits, &m->auditor, &m->files };
	struct buf *const texts[] = { &m->sandbox, &m->workdir, &m->net, &m->degraded, &m->end_reason, &m->bad_samples };

	for (size_t i = 0; i < m->n_calls; i++)
		call_clear(&m->calls[i]);
	call_clear(&m->outside);
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		table_clear(tables[i]);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		buf_free(texts[i]);
	json_decref(m->index);
	free(m->calls);
}

/* The call of this id, a new one when there is room; NULL: it is left out. */
static struct report_call *call_of(struct report_model *m, const char *id)
{
	/* No honest id is that long, and ids are kept. */
	if (!*id || strlen(id) > REPORT_MAX_ID)
		return &m->outside;
	const json_t *known = json_object_get(m->index, id);
	if (known)
		return &m->calls[json_integer_value(known)];
	if (m->n_calls >= REPORT_MAX_CALLS)
		return NULL;
	struct report_call *c = &m->calls[m->n_calls];
	*c = (struct report_call){ .id = must(strdup(id)), .start = -1, .end = -1 };
	if (json_object_set_new_nocheck(m->index, id, json_integer((json_int_t)m->n_calls)) < 0)
		must(NULL);
	m->n_calls++;
	return c;
}

static void table_add(struct report_table *t, struct buf *cells, int64_t time, size_t call)
{
	t->total++;
	if (!t->index) {
		t->index = must(json_object());
		t->v = must(calloc(REPORT_MAX_GROUPS, sizeof(*t->v)));
	}
	const char *key = must((void *)(uintptr_t)buf_str(cells));
	const json_t *known = json_object_get(t->index, key);
	if (known) {
		t->v[json_integer_value(known)].count++;
	} else if (t->n >= REPORT_MAX_GROUPS || t->bytes >= REPORT_MAX_TABLE_BYTES) {
		t->left_out++;
	} else {
		if (json_object_set_new_nocheck(t->index, key, json_integer((json_int_t)t->n)) < 0)
			must(NULL);
		t->bytes += cells->len;
		t->v[t->n++] = (struct report_group){ .cells = *cells, .count = 1, .first = time, .call = call };
		*cells = (struct buf){ 0 };
	}
}

static void start_cells(struct buf *b, json_t *record)
{
	html_put(b, "<td>");
	report_tag(b, report_string(record, "event"));
	html_put(b, "</td><td class=\"w m\">");
	report_what(b, record);
	html_put(b, "</td><td class=\"r\">");
	report_reason(b, record);
	html_put(b, "</td>");
}

static void take_denial(struct report_model *m, json_t *record, int64_t time, size_t call)
{
	_cleanup_buf_ struct buf cells = { 0 }, flag = { 0 };

	start_cells(&cells, record);
	html_put(&cells, "<td class=\"w m\">");
	if (denial_flag(record, &flag))
		html_text(&cells, (const char *)flag.data, flag.len, REPORT_MAX_TEXT);
	html_put(&cells, "</td>");
	table_add(&m->denials, &cells, time, call);
}

static void take_other(struct report_table *t, json_t *record, int64_t time, size_t call)
{
	_cleanup_buf_ struct buf cells = { 0 };

	start_cells(&cells, record);
	table_add(t, &cells, time, call);
}

static void put_argv(struct buf *b, const json_t *record)
{
	_cleanup_buf_ struct buf words = { 0 };
	const json_t *argv = json_object_get(record, "argv"), *one;
	size_t i;

	json_array_foreach((json_t *)argv, i, one) {
		if (i)
			buf_putc(&words, ' ');
		if (json_is_string(one))
			quote_word(&words, json_string_value(one));
		if (words.len > REPORT_MAX_ARGV)
			break;
	}
	html_text(b, words.data ? (const char *)words.data : "", words.len, REPORT_MAX_ARGV);
	if (report_count(record, "argv_left_out")) {
		html_put(b, " \xe2\x80\xa6 and ");
		html_uint(b, report_count(record, "argv_left_out"));
		html_put(b, " more words");
	}
}

/* One of the facts below the words of a call. */
static void put_fact(struct buf *b, const char *name, const json_t *record, const char *key)
{
	if (!*report_string(record, key))
		return;
	html_put(b, "<span>");
	html_put(b, name);
	html_put(b, " <span class=\"m\">");
	html_member(b, record, key);
	html_put(b, "</span></span>");
}

static void call_started(struct report_call *c, const json_t *record, int64_t time)
{
	c->start = time;
	c->argv.len = c->facts.len = 0;
	put_argv(&c->argv, record);
	put_fact(&c->facts, "in", record, "cwd");
	put_fact(&c->facts, "isolation", record, "isolation");
	put_fact(&c->facts, "grant", record, "grant");
	put_fact(&c->facts, "view", record, "view");
	put_fact(&c->facts, "exe", record, "exe");
}

static void call_exited(struct report_model *m, struct report_call *c, const json_t *record, int64_t time)
{
	const char *reason = report_string(record, "reason");
	json_int_t exit_status = json_integer_value(json_object_get(record, "exit"));
	json_int_t signal = json_integer_value(json_object_get(record, "signal"));
	/* What it left in the background has ended: the command did before. */
	bool again = strcmp(reason, "background-ended") == 0;
	/* Without an exit status: it never ran, or nobody was left to see its end. */
	bool failed = !again && (exit_status || signal || !json_is_integer(json_object_get(record, "exit")));

	m->calls_failed += failed;
	if (!c)
		return;
	c->end = time;
	c->exited = true;
	c->bad |= failed;
	if (!again) {
		c->has_exit = json_is_integer(json_object_get(record, "exit"));
		c->exit = exit_status;
		c->signal = signal;
		c->reason.len = 0;
		if (strcmp(reason, "exit") != 0)
			html_member(&c->reason, record, "reason");
	}
}

static void add_row(struct report_model *m, struct report_call *c, json_t *record, int64_t time)
{
	size_t before = c->rows.len;

	if (c->n_rows >= REPORT_MAX_CALL_ROWS || m->n_rows >= REPORT_MAX_ROWS || m->row_bytes >= REPORT_MAX_ROW_BYTES) {
		c->rows_left++;
		return;
	}
	c->n_rows++;
	m->n_rows++;
	report_row(&c->rows, record, time, m->first);
	m->row_bytes += c->rows.len - before;
}

static void take_sandbox(struct report_model *m, json_t *record, const char *event, int64_t time)
{
	if (strcmp(event, "sandbox.start") == 0 && m->start < 0) {
		m->start = time;
		html_member(&m->workdir, record, "workdir");
		html_member(&m->net, record, "net");
		json_t *degraded = json_object_get(record, "degraded"), *one;
		size_t i;
		json_array_foreach(degraded, i, one) {
			const char *text = json_string_value(one);
			if (i && i < 20)
				html_put(&m->degraded, ", ");
			if (text && i < 20)
				html_text(&m->degraded, text, strlen(text), 60);
		}
	} else if (strcmp(event, "sandbox.exit") == 0) {
		m->end = time;
		m->end_reason.len = 0;
		html_member(&m->end_reason, record, "reason");
	}
}

/* Events with a table of their own, by the beginning of their names. */
static struct report_table *table_of(struct report_model *m, const char *event)
{
	if (strncmp(event, "secret.", 7) == 0)
		return &m->secrets;
	if (strcmp(event, "limit.hit") == 0 || strcmp(event, "gateway.exit") == 0)
		return &m->limits;
	if (strncmp(event, "auditor.", 8) == 0)
		return &m->auditor;
	if (strncmp(event, "fs.", 3) == 0 || strncmp(event, "grant.", 6) == 0)
		return &m->files;
	return NULL;
}

static void take_traffic(struct report_model *m, struct report_call *c, const json_t *record, const char *event)
{
	uint64_t up = report_count(record, "bytes_up"), down = report_count(record, "bytes_down");

	m->bytes_up += up;
	m->bytes_down += down;
	m->requests += strcmp(event, "http.request") == 0;
	if (!c)
		return;
	c->bytes_up += up;
	c->bytes_down += down;
	c->requests += strcmp(event, "http.request") == 0;
}

static void take_record(struct report_model *m, json_t *record)
{
	const char *event = report_string(record, "event"), *id = report_string(record, "call");
	const char *hash = report_string(record, "hash");
	int64_t time = report_time(record);

	m->records++;
	if (m->first < 0)
		m->first = time;
	if (time >= 0)
		m->last = time;
	if (!m->sandbox.len)
		html_member(&m->sandbox, record, "sandbox");
	if (strlen(hash) == 64 && strspn(hash, "0123456789abcdef") == 64)
		memcpy(m->head, hash, sizeof(m->head));
	if (strncmp(event, "sandbox.", 8) == 0) {
		take_sandbox(m, record, event, time);
		return;
	}

	bool start = strcmp(event, "call.start") == 0, denied = strcmp(event, "call.denied") == 0;
	struct report_call *c = call_of(m, id);
	size_t number = c && c != &m->outside ? (size_t)(c - m->calls) + 1 : 0;
	m->calls_total += start || denied;
	m->calls_left += !c && (start || denied);
	if (start || denied) {
		if (c && c != &m->outside)
			call_started(c, record, time);
	} else if (strcmp(event, "call.exit") == 0) {
		call_exited(m, c == &m->outside ? NULL : c, record, time);
	} else if (c) {
		add_row(m, c, record, time);
	}
	take_traffic(m, c, record, event);
	struct report_table *t = table_of(m, event);
	if (t)
		take_other(t, record, time, number);
	if (report_is_denial(event))
		take_denial(m, record, time, number);
	if (c && (report_is_denial(event) || t == &m->limits || t == &m->auditor)) {
		c->denials += report_is_denial(event);
		c->denied |= denied;
		c->bad = true;
	}
}

void report_take_line(struct report_model *m, const char *line, size_t len, bool whole)
{
	json_t *record = whole ? json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL) : NULL;

	if (json_is_object(record) && *report_string(record, "event")) {
		take_record(m, record);
	} else {
		if (m->bad_lines++ < REPORT_MAX_BAD_LINES) {
			html_put(&m->bad_samples, "<li class=\"m\">");
			html_text(&m->bad_samples, line, len, 200);
			html_put(&m->bad_samples, "</li>\n");
		}
	}
	json_decref(record);
}
