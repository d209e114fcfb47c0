/* SPDX-License-Identifier: Apache-2.0 */
/* The page of a report, put together. */
#include <stdio.h>
#include <string.h>

#include "report_html.h"

static void put_head(struct buf *b, const struct report_model *m)
{
	html_put(b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		    "<meta http-equiv=\"Content-Security-Policy\" content=\"");
	html_put(b, report_policy);
	html_put(b, "\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		    "<meta name=\"referrer\" content=\"no-referrer\">\n<title>Audit report ");
	html_add(b, &m->sandbox);
	html_put(b, "</title>\n<style>");
	html_put(b, report_css);
	html_put(b, "</style>\n</head>\n<body>\n");
}

static void fact(struct buf *b, const char *name, const struct buf *html)
{
	if (!html->len)
		return;
	html_put(b, "<dt>");
	html_put(b, name);
	html_put(b, "</dt><dd class=\"m\">");
	html_add(b, html);
	html_put(b, "</dd>\n");
}

static void put_facts(struct buf *b, const struct report_model *m, const struct report_verdict *v)
{
	html_put(b, "<header>\n<h1>Sandbox ");
	html_add(b, &m->sandbox);
	html_put(b, v->intact ? " <span class=\"tag ok\" id=\"chain\">chain intact</span>" :
				" <span class=\"tag bad\" id=\"chain\">chain NOT intact</span>");
	html_put(b, "</h1>\n<dl class=\"facts card\">\n<dt>Chain</dt><dd>");
	/* The head has a line of its own. */
	const char *head = v->intact ? strstr(v->text, ", head ") : NULL;
	html_text(b, v->text, head ? (size_t)(head - v->text) : strlen(v->text), 400);
	html_put(b, "</dd>\n");
	if (m->head[0]) {
		html_put(b, "<dt>Head</dt><dd class=\"m\" id=\"head\">");
		html_put(b, m->head);
		html_put(b, "</dd>\n");
	}
	fact(b, "Workdir", &m->workdir);
	fact(b, "Network", &m->net);
	fact(b, "Without", &m->degraded);
	html_put(b, "<dt>Start</dt><dd>");
	html_date(b, m->start >= 0 ? m->start : m->first);
	html_put(b, m->start >= 0 ? "" : " (of the first record; the start is not in the log)");
	html_put(b, "</dd>\n<dt>End</dt><dd>");
	html_date(b, m->end >= 0 ? m->end : m->last);
	if (m->end < 0)
		html_put(b, " (of the last record; the sandbox had not ended)");
	else if (m->end_reason.len) {
		html_put(b, " (");
		html_add(b, &m->end_reason);
		html_put(b, ")");
	}
	int64_t from = m->start >= 0 ? m->start : m->first, to = m->end >= 0 ? m->end : m->last;
	html_put(b, "</dd>\n<dt>Duration</dt><dd>");
	html_duration(b, from >= 0 && to >= from ? to - from : -1);
	html_put(b, "</dd>\n<dt>Log</dt><dd class=\"m\">");
	html_text(b, v->path, strlen(v->path), 1000);
	html_put(b, "</dd>\n</dl>\n");
}

static void tile(struct buf *b, const char *id, const char *name, uint64_t value, bool bytes, bool bad)
{
	html_put(b, bad && value ? "<div class=\"tile card bad\"><b id=\"n-" : "<div class=\"tile card\"><b id=\"n-");
	html_put(b, id);
	html_put(b, "\">");
	if (bytes)
		html_bytes(b, value);
	else
		html_uint(b, value);
	html_put(b, "</b><span>");
	html_put(b, name);
	html_put(b, "</span></div>\n");
}

static void put_tiles(struct buf *b, const struct report_model *m)
{
	html_put(b, "<div class=\"tiles\">\n");
	tile(b, "records", "records", m->records, false, false);
	tile(b, "calls", "calls", m->calls_total, false, false);
	tile(b, "failed", "calls failed", m->calls_failed, false, true);
	tile(b, "requests", "requests", m->requests, false, false);
	tile(b, "denials", "denials", m->denials.total, false, true);
	tile(b, "up", "sent", m->bytes_up, true, false);
	tile(b, "down", "received", m->bytes_down, true, false);
	tile(b, "auditor", "auditor errors", m->auditor.total, false, true);
	html_put(b, "</div>\n</header>\n");
}

static void left_out(struct buf *b, uint64_t n, const char *what)
{
	if (!n)
		return;
	html_put(b, "<p class=\"note left-out\">");
	html_uint(b, n);
	html_put(b, " more ");
	html_put(b, what);
	html_put(b, " left out here; <code>nsbox audit show</code> prints all records.</p>\n");
}

/* heads: what stands over the cells that the model made. */
static void put_table(struct buf *b, const struct report_model *m, const struct report_table *t, const char *id, const char *title, const char *heads)
{
	if (!t->n)
		return;
	html_put(b, "<section id=\"");
	html_put(b, id);
	html_put(b, "\"><h2>");
	html_put(b, title);
	html_put(b, "<small>");
	html_uint(b, t->total);
	html_put(b, "</small></h2>\n<div class=\"scroll card\"><table class=\"list\"><thead><tr>");
	html_put(b, heads);
	html_put(b, "<th class=\"n\">Times</th><th>First</th><th>Call</th></tr></thead>\n<tbody>\n");
	for (size_t i = 0; i < t->n; i++) {
		const struct report_group *g = &t->v[i];
		html_put(b, "<tr>");
		html_add(b, &g->cells);
		html_put(b, "<td class=\"n\">");
		html_uint(b, g->count);
		html_put(b, "</td><td class=\"t\">");
		html_clock(b, g->first, m->first);
		html_put(b, "</td><td>");
		if (g->call) {
			html_put(b, "<a href=\"#c");
			html_uint(b, g->call);
			html_put(b, "\">");
			html_uint(b, g->call);
			html_put(b, "</a>");
		}
		html_put(b, "</td></tr>\n");
	}
	html_put(b, "</tbody></table></div>\n");
	left_out(b, t->left_out, "records are");
	html_put(b, "</section>\n");
}

static void put_rows(struct buf *b, const struct report_call *c)
{
	if (c->n_rows) {
		html_put(b, "<div class=\"scroll\"><table><thead><tr><th>Time</th><th>Event</th><th>What</th>"
			    "<th class=\"n\">Status</th><th class=\"n\">Sent</th><th class=\"n\">Received</th>"
			    "<th class=\"n\">ms</th><th>Reason, rule</th></tr></thead>\n<tbody>\n");
		html_add(b, &c->rows);
		html_put(b, "</tbody></table></div>\n");
	} else if (!c->rows_left) {
		html_put(b, "<p class=\"none\">No request, no connection, no other event.</p>\n");
	}
	left_out(b, c->rows_left, "events of this call are");
}

static void put_outcome(struct buf *b, const struct report_call *c)
{
	char text[64];

	if (c->denied) {
		html_put(b, "<span class=\"tag bad\">denied</span>");
	} else if (!c->exited) {
		html_put(b, "<span class=\"tag odd\">no end in the log</span>");
	} else if (!c->has_exit) {
		html_put(b, "<span class=\"tag bad\">no exit status</span>");
	} else {
		/* An exit of 0 is green, whatever was denied on the way. */
		snprintf(text, sizeof(text), "<span class=\"tag %s\">%s %lld</span>", c->signal || c->exit ? "bad" : "ok",
			 c->signal ? "signal" : "exit", (long long)(c->signal ? c->signal : c->exit));
		html_put(b, text);
	}
}

/* Where in the life of the sandbox it ran; presentation attributes, so that the policy needs no inline style. */
static void put_bar(struct buf *b, const struct report_model *m, const struct report_call *c)
{
	int64_t from = m->start >= 0 ? m->start : m->first, to = m->end >= 0 ? m->end : m->last;
	int64_t end = c->end >= 0 ? c->end : to;
	char text[256];

	if (c->start < 0 || from < 0 || to <= from || c->start < from || end > to || end < c->start)
		return;
	double x = (double)(c->start - from) * 1000 / (double)(to - from);
	double width = (double)(end - c->start) * 1000 / (double)(to - from);
	if (width < 2)
		width = 2;
	if (x + width > 1000)
		x = 1000 - width;
	snprintf(text, sizeof(text),
		 "<svg class=\"bar%s\" viewBox=\"0 0 1000 5\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
		 "<rect x=\"%.1f\" y=\"0\" width=\"%.1f\" height=\"5\"/></svg>",
		 c->bad ? " bad" : "", x, width);
	html_put(b, text);
}

static void count_of(struct buf *b, uint64_t n, const char *one, const char *more)
{
	if (!n)
		return;
	html_put(b, "<span>");
	html_uint(b, n);
	html_put(b, n == 1 ? one : more);
	html_put(b, "</span>");
}

static void put_call(struct buf *b, const struct report_model *m, size_t i)
{
	const struct report_call *c = &m->calls[i];

	html_put(b, c->bad ? "<details class=\"call card bad\" id=\"c" : "<details class=\"call card\" id=\"c");
	html_uint(b, i + 1);
	html_put(b, "\"><summary><span class=\"argv m\">");
	html_put(b, c->argv.len ? "" : "(its start is not in the log)");
	html_add(b, &c->argv);
	html_put(b, "</span><span class=\"side\">");
	put_outcome(b, c);
	html_put(b, "</span>");
	put_bar(b, m, c);
	html_put(b, "<span class=\"meta\"><span>");
	html_text(b, c->id, strlen(c->id), 100);
	html_put(b, "</span><span>");
	html_clock(b, c->start, m->first);
	if (c->end >= 0 && !c->denied) {
		html_put(b, " \xe2\x80\x93 ");
		html_clock(b, c->end, m->first);
	}
	html_put(b, "</span>");
	if (c->start >= 0 && c->end >= c->start) {
		html_put(b, "<span>");
		html_duration(b, c->end - c->start);
		html_put(b, "</span>");
	}
	if (c->reason.len) {
		html_put(b, "<span>");
		html_add(b, &c->reason);
		html_put(b, "</span>");
	}
	html_add(b, &c->facts);
	count_of(b, c->requests, " request", " requests");
	count_of(b, c->denials, " denied", " denied");
	if (c->bytes_up || c->bytes_down) {
		html_put(b, "<span>\xe2\x86\x91 ");
		html_bytes(b, c->bytes_up);
		html_put(b, " \xe2\x86\x93 ");
		html_bytes(b, c->bytes_down);
		html_put(b, "</span>");
	}
	html_put(b, "</span></summary>\n");
	put_rows(b, c);
	html_put(b, "</details>\n");
}

static void put_calls(struct buf *b, const struct report_model *m)
{
	html_put(b, "<section id=\"calls\"><h2>Calls<small>");
	html_uint(b, m->calls_total);
	html_put(b, "</small></h2>\n<div class=\"tools\" id=\"tools\" hidden>"
		    "<input type=\"search\" id=\"filter\" placeholder=\"Filter: words of a command, host, rule, reason\" "
		    "aria-label=\"Filter\" autocomplete=\"off\">"
		    "<button type=\"button\" id=\"bad\" aria-pressed=\"false\">Failed or denied</button>"
		    "<button type=\"button\" id=\"open\">Open all</button>"
		    "<button type=\"button\" id=\"close\">Close all</button><output id=\"count\"></output></div>\n");
	if (!m->n_calls)
		html_put(b, "<p class=\"none card\">No call.</p>\n");
	for (size_t i = 0; i < m->n_calls; i++)
		put_call(b, m, i);
	left_out(b, m->calls_left, "calls are");
	if (m->outside.n_rows || m->outside.rows_left) {
		html_put(b, "<h2>Outside of calls</h2>\n<div class=\"card\">\n");
		put_rows(b, &m->outside);
		html_put(b, "</div>\n");
	}
	html_put(b, "</section>\n");
}

static void put_bad_lines(struct buf *b, const struct report_model *m)
{
	if (!m->bad_lines)
		return;
	html_put(b, "<section id=\"bad-lines\"><h2>Lines that are no records<small>");
	html_uint(b, m->bad_lines);
	html_put(b, "</small></h2>\n<ul class=\"card\">\n");
	html_add(b, &m->bad_samples);
	html_put(b, "</ul>\n");
	left_out(b, m->bad_lines > REPORT_MAX_BAD_LINES ? m->bad_lines - REPORT_MAX_BAD_LINES : 0, "lines are");
	html_put(b, "</section>\n");
}

void report_page(struct buf *b, const struct report_model *m, const struct report_verdict *verdict)
{
	static const char heads[] = "<th>Event</th><th>What</th><th>Reason, rule</th>";
	static const char denial_heads[] =
		"<th>Event</th><th>What</th><th>Reason, rule</th><th>Would be allowed by</th>";

	put_head(b, m);
	put_facts(b, m, verdict);
	put_tiles(b, m);
	html_put(b, "<main>\n");
	if (!m->denials.n)
		html_put(b, "<p class=\"note\">Nothing was denied.</p>\n");
	put_table(b, m, &m->denials, "denials", "Denied", denial_heads);
	put_table(b, m, &m->secrets, "secrets", "Secrets", heads);
	put_table(b, m, &m->limits, "limits", "Limits", heads);
	put_table(b, m, &m->auditor, "auditor", "Auditor errors", heads);
	put_table(b, m, &m->files, "files", "Files and grants", heads);
	put_calls(b, m);
	put_bad_lines(b, m);
	html_put(b, "</main>\n<footer>Made by <code>nsbox audit report</code> from the audit log. Times are in UTC. An end of the "
		    "log that was cut off or computed anew shows only against a head kept elsewhere "
		    "(<code>--head</code>).</footer>\n<script>");
	html_put(b, report_js);
	html_put(b, "</script>\n</body>\n</html>\n");
}
