/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules. A section is a class of operations:
 *
 *	[push]
 *	decision = ask                 ; allow, ask or deny
 *	argv = git push*               ; calls: the words joined by blanks, or the same without the directory of the first
 *	method = POST                  ; requests: each kind of key that is given has to match
 *	host = *.git.example.com
 *	path = *-receive-pack
 *
 * Keys may repeat: one of them has to match. `*`, `?` and `[]` are those of a shell and match `/` too. More keys:
 * secret (the name of a secret that the request carries; alone in a class also of calls that may use it) and
 * known_host (matches when the host is none of them). Of commits: file (the path of a changed file) and flag (why the host
 * would execute it, a word of nsbox diff), both of the same file when both are given. A question in several classes gets the strictest of
 * their decisions; in none, that of [default], which is deny when the file has none, and at least ask for a commit of what
 * the host would execute and for what a call has no grant for (grant.raise), which is a request like others otherwise.
 *
 * Rules on argv hold accidents, not an attacker: a script can do the same without looking like it. What leaves through
 * the gateway is asked about as http.request and net.connect, whatever has made it.
 */
#include <errno.h>
#include <fnmatch.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"

enum kind { ARGV, METHOD, HOST, PATH, SECRET, KNOWN_HOST, FILE_PATH, FLAG, KINDS };

static const char *const kind_names[KINDS] = { "argv", "method", "host", "path", "secret", "known_host", "file",
					      "flag" };

struct pattern {
	struct pattern *next;
	char *text;
};

struct class {
	struct class *next;
	char *name;
	bool decided;
	enum decision decision;
	struct pattern *patterns[KINDS];
};

struct rules {
	struct class *classes;
	enum decision otherwise;
};

static struct class *class_named(struct rules *rules, const char *name)
{
	struct class *c = rules->classes;

	while (c && strcmp(c->name, name) != 0)
		c = c->next;
	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (!c || !(c->name = strdup(name))) {
		free(c);
		return NULL;
	}
	c->next = rules->classes;
	rules->classes = c;
	return c;
}

static bool decision_from(const char *text, enum decision *ret)
{
	static const char *const names[] = { "allow", "ask", "deny" };

	for (int i = 0; i < 3; i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum decision)i;
			return true;
		}
	}
	return false;
}

/* One line of the file; 0 = refused, in the words of inih. */
static int take_line(void *user, const char *section, const char *name, const char *value)
{
	struct rules *rules = user;

	if (strcmp(section, "default") == 0)
		return strcmp(name, "decision") == 0 && decision_from(value, &rules->otherwise);
	struct class *c = *section ? class_named(rules, section) : NULL;
	if (!c)
		return 0;
	if (strcmp(name, "decision") == 0)
		return c->decided = decision_from(value, &c->decision);
	for (int kind = 0; kind < KINDS; kind++) {
		if (strcmp(name, kind_names[kind]) != 0 || !*value)
			continue;
		struct pattern *p = malloc(sizeof(*p));
		if (!p || !(p->text = strdup(value))) {
			free(p);
			return 0;
		}
		p->next = c->patterns[kind];
		c->patterns[kind] = p;
		return 1;
	}
	return 0;
}

struct rules *rules_load(const char *path)
{
	struct rules *rules = calloc(1, sizeof(*rules));

	if (!rules)
		return NULL;
	rules->otherwise = DECISION_DENY;
	int line = ini_parse(path, take_line, rules);
	if (line < 0)
		fprintf(stderr, "rules: cannot read %s: %s\n", path, strerror(errno));
	else if (line > 0)
		fprintf(stderr, "rules: %s:%d: not a key and value of a class\n", path, line);
	for (const struct class *c = rules->classes; line == 0 && c; c = c->next) {
		bool empty = true;
		for (int kind = 0; kind < KINDS; kind++)
			empty &= !c->patterns[kind];
		/* A class that cannot match, or without a decision, would look like a rule and be none. */
		if (!c->decided || empty) {
			fprintf(stderr, "rules: %s: class %s needs a decision and a pattern\n", path, c->name);
			line = 1;
		}
	}
	if (line != 0) {
		rules_free(rules);
		return NULL;
	}
	return rules;
}

void rules_free(struct rules *rules)
{
	while (rules->classes) {
		struct class *c = rules->classes;
		rules->classes = c->next;
		for (int kind = 0; kind < KINDS; kind++) {
			while (c->patterns[kind]) {
				struct pattern *p = c->patterns[kind];
				c->patterns[kind] = p->next;
				free(p->text);
				free(p);
			}
		}
		free(c->name);
		free(c);
	}
	free(rules);
}

static bool any(const struct pattern *p, const char *text, int flags)
{
	for (; p; p = p->next) {
		if (fnmatch(p->text, text, flags) == 0)
			return true;
	}
	return false;
}

/* The string, or one of the array of them. */
static bool any_of(const struct pattern *p, json_t *value)
{
	size_t i;
	json_t *one;

	if (json_is_string(value))
		return any(p, json_string_value(value), 0);
	json_array_foreach(value, i, one) {
		if (json_is_string(one) && any(p, json_string_value(one), 0))
			return true;
	}
	return false;
}

/* The words with blanks between them; NULL when they are none. */
static char *joined(json_t *argv)
{
	size_t i, len = 1;
	json_t *one;
	char *text, *at;

	json_array_foreach(argv, i, one)
		len += json_string_length(one) + 1;
	if (!json_array_size(argv) || !(text = at = malloc(len)))
		return NULL;
	json_array_foreach(argv, i, one) {
		if (i)
			*at++ = ' ';
		if (json_is_string(one))
			at = stpcpy(at, json_string_value(one));
	}
	*at = '\0';
	return text;
}

/* Without a word about secrets in its grant a call has all of the policy, each as a variable. */
static bool secret_matches(const struct class *c, json_t *question)
{
	json_t *granted = json_object_get(json_object_get(question, "grant"), "secret");

	return any_of(c->patterns[SECRET], granted ? granted : json_object_get(question, "env_names"));
}

static bool call_matches(const struct class *c, json_t *question)
{
	bool only_secret = c->patterns[SECRET] && !c->patterns[ARGV] && !c->patterns[METHOD] && !c->patterns[HOST] &&
			   !c->patterns[PATH] && !c->patterns[KNOWN_HOST] && !c->patterns[FILE_PATH] && !c->patterns[FLAG];

	if (c->patterns[ARGV]) {
		char *text = joined(json_object_get(question, "argv"));
		if (!text)
			return false;
		/* "/usr/bin/git push" is a "git push" too. */
		size_t word = strcspn(text, " ");
		const char *base = memrchr(text, '/', word);
		bool found = any(c->patterns[ARGV], text, 0) || (base && any(c->patterns[ARGV], base + 1, 0));
		free(text);
		return found && (!c->patterns[SECRET] || secret_matches(c, question));
	}
	return only_secret && secret_matches(c, question);
}

static bool request_matches(const struct class *c, json_t *question)
{
	const char *method = json_string_value(json_object_get(question, "method"));
	const char *host = json_string_value(json_object_get(question, "host"));
	const char *path = json_string_value(json_object_get(question, "path"));

	if (!c->patterns[METHOD] && !c->patterns[HOST] && !c->patterns[PATH] && !c->patterns[SECRET] &&
	    !c->patterns[KNOWN_HOST])
		return false;
	/* A connection without a name: its address is what a rule can be about. */
	if (!host)
		host = json_string_value(json_object_get(question, "addr"));
	if (c->patterns[METHOD] && !(method && any(c->patterns[METHOD], method, 0)))
		return false;
	if (c->patterns[HOST] && !(host && any(c->patterns[HOST], host, FNM_CASEFOLD)))
		return false;
	if (c->patterns[PATH] && !(path && any(c->patterns[PATH], path, 0)))
		return false;
	if (c->patterns[SECRET] && !any_of(c->patterns[SECRET], json_object_get(question, "secrets")))
		return false;
	return !c->patterns[KNOWN_HOST] || !host || !any(c->patterns[KNOWN_HOST], host, FNM_CASEFOLD);
}

/* One of the files: a rename is of both its names. */
static bool commit_matches(const struct class *c, json_t *question)
{
	json_t *entries = json_object_get(question, "entries"), *one;
	size_t i;

	if (!c->patterns[FILE_PATH] && !c->patterns[FLAG])
		return false;
	json_array_foreach(entries, i, one) {
		if (c->patterns[FILE_PATH] && !any_of(c->patterns[FILE_PATH], json_object_get(one, "path")) &&
		    !any_of(c->patterns[FILE_PATH], json_object_get(one, "from")))
			continue;
		if (!c->patterns[FLAG] || any_of(c->patterns[FLAG], json_object_get(one, "flags")))
			return true;
	}
	return false;
}

enum decision rules_decide(const struct rules *rules, json_t *question, const char **ret_class)
{
	const char *op = json_string_value(json_object_get(question, "op"));
	bool raise = op && strcmp(op, "grant.raise") == 0;
	bool request = raise || (op && (strcmp(op, "http.request") == 0 || strcmp(op, "net.connect") == 0));
	bool commit = op && strcmp(op, "fs.commit") == 0;
	const struct class *found = NULL;

	for (const struct class *c = rules->classes; c; c = c->next) {
		if (!(commit ? commit_matches(c, question) : request ? request_matches(c, question) : call_matches(c, question)))
			continue;
		if (!found || c->decision > found->decision ||
		    (c->decision == found->decision && strcmp(c->name, found->name) < 0))
			found = c;
	}
	*ret_class = found ? found->name : "default";
	bool sensitive = raise || (commit && json_array_size(json_object_get(question, "flags")));
	if (!found && sensitive && rules->otherwise == DECISION_ALLOW)
		return DECISION_ASK;
	return found ? found->decision : rules->otherwise;
}
