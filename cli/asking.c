/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the person at the terminal about requests and connections for which the policy has no rule.
 *
 * Theory of operation. Such a request waits under a ticket, as what nsbox approve answers. The question stands among
 * the output of the command, which is held back meanwhile, and what is typed goes to the question and not to the
 * command. An answer holds for the run as the line of a policy does that it becomes: `yes` for this method and path,
 * `always` and `no` for the scheme, host and port. A connection that is no HTTP is only these.
 *
 * The command chooses when a question comes, what was on the terminal before, and how the terminal draws. So an
 * answer is a whole word and a line of its own, nothing counts that was typed before a question could have been read,
 * and the terminal is told first to draw as usual.
 */
#include "asking.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "nsbox.h"

/* Whoever was typing for the command goes on for so long. */
#define QUIET_US 1000000u
/* Nobody reads more questions than this with care: what comes behind them is denied and recorded. */
#define MAX_PLACES 64u
#define MAX_SHOWN 300 /* bytes of a request */
#define AGAIN "nsbox: yes, always or no: "

/*
 * Out of whatever sequence was left open (CAN), the soft reset of margins, character sets and attributes, no output
 * held by the terminal itself, and the palette and the two default colours as they were: what is written next can be
 * read. Long lines wrap, all rows scroll, and what comes does so in the last one: beside and below it stands nothing
 * that the command drew.
 */
#define AS_USUAL                                                                   \
	"\030\033[!p\033[?2026l\033]104\033\\\033]110\033\\\033]111\033\\\017\033[0m" \
	"\033[?7h\033[r\033[999;1H"

struct asked {
	char *place; /* https://HOST[:PORT], or tcp://HOST:PORT */
	char *rule;  /* METHOD and the place with the path; of tcp the place */
};

static void asked_clear(struct asked *asked)
{
	free(asked->place);
	free(asked->rule);
}
#define _cleanup_asked_ _cleanup_(asked_clear)

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "";
}

/* From the grant that the question is about: one rule, METHOD SCHEME://HOST:PORT/PATH or tcp://HOST:PORT. False when it
 * has none. */
static bool read_question(const json_t *ticket, struct asked *ret)
{
	const json_t *grant = json_object_get(json_object_get(ticket, "question"), "grant");
	const char *rule = json_string_value(json_array_get(json_object_get(grant, "allow"), 0));
	const char *space = rule ? strchr(rule, ' ') : NULL, *target = space ? space + 1 : rule;
	const char *host = target ? strstr(target, "://") : NULL, *path = host ? strchr(host + 3, '/') : NULL;

	if (!host || !space != !path)
		return false;
	const char *usual = strncmp(target, "https:", 6) == 0 ? ":443" : strncmp(target, "http:", 5) == 0 ? ":80" : "/";
	size_t n = path ? (size_t)(path - target) : strlen(target), port = strlen(usual);
	if (n > port && memcmp(target + n - port, usual, port) == 0)
		n -= port;
	ret->place = strndup(target, n);
	if (ret->place && asprintf(&ret->rule, "%.*s%s%s", (int)(target - rule), rule, ret->place, path ? path : "") < 0)
		ret->rule = NULL;
	return ret->place && ret->rule;
}

/* A decision, or -1: it has to be asked about. */
static int known(const struct asking *a, const struct asked *asked)
{
	const json_t *said = json_object_get(a->answers, asked->place);
	const char *answer = text_of(said, "answer");

	if (strcmp(answer, "always") == 0 || json_object_get(json_object_get(said, "rules"), asked->rule))
		return SANDBOX_APPROVE;
	if (strcmp(answer, "no") == 0 || (!said && json_object_size(a->answers) >= MAX_PLACES))
		return SANDBOX_DENY;
	return -1;
}

static void put(const char *text)
{
	write_all(STDOUT_FILENO, text, strlen(text));
}

/* The terminal is raw. */
static void show(struct asking *a, json_t *ticket, const struct asked *asked, uint64_t now)
{
	_cleanup_buf_ struct buf b = { 0 }, rule = { 0 }, place = { 0 };

	a->shown = json_incref(ticket);
	a->shown_us = now;
	a->len = 0;
	escape_text(&rule, asked->rule, strlen(asked->rule));
	escape_text(&place, asked->place, strlen(asked->place));
	buf_printf(&b, AS_USUAL "\r\n\033[Jnsbox: no rule allows %.*s%s\r\n", MAX_SHOWN, rule.len ? buf_str(&rule) : "",
		   rule.len > MAX_SHOWN ? "..." : "");
	buf_printf(&b, "nsbox: allow it? yes (only this), always (all of %s), no (nothing else of it): ",
		   place.len ? buf_str(&place) : "");
	write_all(STDOUT_FILENO, b.data, b.len);
}

static void hide(struct asking *a)
{
	json_decref(TAKE_PTR(a->shown));
}

void asking_look(struct asking *a, uint64_t now)
{
	_cleanup_free_ char *text = NULL;
	bool shown_waits = false;
	json_t *ticket;
	size_t i;

	if (!a->look || sandbox_approvals(a->box, &text, NULL) < 0)
		return;
	a->look = false;
	json_t *all = json_loads(text, 0, NULL);
	json_array_foreach(all, i, ticket)
		shown_waits |= a->shown && strcmp(text_of(ticket, "ticket"), text_of(a->shown, "ticket")) == 0;
	if (a->shown && !shown_waits) {
		put("(not waited for any more)\r\n");
		hide(a);
	}
	json_array_foreach(all, i, ticket) {
		_cleanup_asked_ struct asked asked = { 0 };
		int decision = read_question(ticket, &asked) ? known(a, &asked) : SANDBOX_DENY;
		/* One that is gone meanwhile is nobody's any more. */
		if (decision >= 0)
			sandbox_decide(a->box, text_of(ticket, "ticket"), text_of(ticket, "digest"), decision, NULL);
		else if (!a->shown)
			show(a, ticket, &asked, now);
	}
	json_decref(all);
}

static bool is_answer(const char *line)
{
	return strcmp(line, "yes") == 0 || strcmp(line, "no") == 0 || strcmp(line, "always") == 0;
}

/* What waits for it is let go, or not, when it is looked at next. */
static void take_answer(struct asking *a)
{
	_cleanup_asked_ struct asked asked = { 0 };

	if (!read_question(a->shown, &asked))
		return;
	json_t *said = json_object_get(a->answers, asked.place);
	if (!said) {
		said = json_pack("{s:{}}", "rules");
		json_object_set_new(a->answers, asked.place, said);
	}
	json_object_set_new(said, "answer", json_string(a->line));
	if (strcmp(a->line, "yes") == 0)
		json_object_set_new(json_object_get(said, "rules"), asked.rule, json_true());
	hide(a);
	a->look = true;
}

static void end_line(struct asking *a)
{
	a->line[a->len] = '\0';
	a->len = 0;
	put("\r\n");
	if (is_answer(a->line))
		take_answer(a);
	else
		put(AGAIN);
}

void asking_take(struct asking *a, const char *typed, size_t n, uint64_t now)
{
	if (now - a->shown_us < QUIET_US)
		return;
	for (size_t i = 0; i < n && a->shown; i++) {
		unsigned char c = (unsigned char)typed[i];
		if (c == '\r' || c == '\n') {
			end_line(a);
		} else if (c == 0x7f || c == '\b') {
			put(a->len ? "\b \b" : "");
			a->len -= a->len > 0;
		} else if (c == 3) {
			/* Ctrl-C, which the command gets: whoever types it wants nothing of what was typed before. */
			a->len = 0;
			put("\r\n" AGAIN);
		} else if (a->len < sizeof(a->line) - 1) {
			/* What a terminal answers to a sequence that the command wrote is no word. */
			a->line[a->len] = isprint(c) ? (char)c : '?';
			write_all(STDOUT_FILENO, &a->line[a->len++], 1);
		}
	}
}

void asking_end(struct asking *a)
{
	if (a->shown)
		put("\r\n");
	hide(a);
}
