/* SPDX-License-Identifier: Apache-2.0 */
/* From what the gateway denied, and from what a person said, to rules: one for each path with its methods, or one for
 * all when there are many. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "learn.h"
#include "nsbox.h"
#include "report.h"

/* More than this many paths of one place become one rule for all of them. */
#define PATHS 8u

/* One line in the making: rule is METHOD[,METHOD] and place, or only the place. */
struct rule {
	const char *key;
	char *methods, *place;
	json_int_t times; /* 0: a person said yes to just this, so it is neither merged nor widened */
};

struct rules {
	struct rule *list;
	size_t n;
};

/* Whether the word is in the comma-separated list. */
static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word), len;

	for (;; list += len + 1) {
		len = strcspn(list, ",");
		if (len == n && memcmp(list, word, n) == 0)
			return true;
		if (!list[len])
			return false;
	}
}

static void add_methods(struct rule *rule, const char *methods)
{
	char *more = NULL;

	if (*methods && !has_word(rule->methods, methods) &&
	    asprintf(&more, "%s%s%s", rule->methods, *rule->methods ? "," : "", methods) >= 0) {
		free(rule->methods);
		rule->methods = more;
	}
}

static void add(struct rules *rules, const char *key, const char *methods, const char *place, json_int_t times)
{
	for (size_t i = 0; i < rules->n; i++) {
		struct rule *rule = &rules->list[i];
		if (strcmp(rule->key, key) != 0 || strcmp(rule->place, place) != 0 || !rule->times != !times)
			continue;
		add_methods(rule, methods);
		rule->times += times;
		return;
	}
	struct rule *list = reallocarray(rules->list, rules->n + 1, sizeof(*list));
	if (!list)
		return;
	rules->list = list;
	list[rules->n] = (struct rule){ key, strdup(methods), strdup(place), times };
	if (list[rules->n].methods && list[rules->n].place)
		rules->n++;
}

/* Where the path of a URL begins, or NULL. */
static const char *path_of(const char *place)
{
	const char *host = strstr(place, "://");

	return host ? strchr(host + 3, '/') : NULL;
}

static void free_rule(struct rule *rule)
{
	free(rule->methods);
	free(rule->place);
}

/* Denied, at a place (of len bytes) for all of whose paths one rule may stand. */
static bool is_at(const struct rule *rule, const char *key, const char *place, size_t len)
{
	return rule->times && strcmp(rule->key, key) == 0 && strncmp(rule->place, place, len) == 0;
}

/* All paths of a place that has many. */
static void gather(struct rules *rules)
{
	for (size_t i = 0; i < rules->n; i++) {
		const char *path = path_of(rules->list[i].place);
		size_t len = path && rules->list[i].times ? (size_t)(path - rules->list[i].place) : 0, same = 0, n = i + 1;
		for (size_t k = 0; k < rules->n && len; k++)
			same += is_at(&rules->list[k], rules->list[i].key, rules->list[i].place, len + 1);
		char *all;
		if (same <= PATHS || asprintf(&all, "%.*s/**", (int)len, rules->list[i].place) < 0)
			continue;
		for (size_t k = i + 1; k < rules->n; k++) {
			struct rule *other = &rules->list[k];
			if (!is_at(other, rules->list[i].key, all, len + 1)) {
				rules->list[n++] = *other;
				continue;
			}
			for (char *rest = other->methods, *method; (method = strsep(&rest, ","));)
				add_methods(&rules->list[i], method);
			rules->list[i].times += other->times;
			free_rule(other);
		}
		rules->n = n;
		free(rules->list[i].place);
		rules->list[i].place = all;
	}
}

static void tell_why_not(struct learn *learn, const json_t *denial)
{
	_cleanup_buf_ struct buf b = { 0 };

	denial_text(&b, denial);
	propose(&learn->network, NULL, buf_str(&b) ? strdup(buf_str(&b)) : NULL,
		"denied, and for no rule of this policy to change");
}

/* Whether what was said about its place decides it also when it is asked for again. */
static bool is_answered(const struct learn *learn, const char *key, const char *text)
{
	const char *space = strchr(text, ' '), *place = space ? space + 1 : text, *path = path_of(place);
	_cleanup_free_ char *host = strndup(place, path ? (size_t)(path - place) : strlen(place));
	const json_t *said = host ? json_object_get(learn->asking.answers, host) : NULL;
	const char *answer = json_string_value(json_object_get(said, "answer"));

	if (!answer || strcmp(answer, "no") == 0)
		return answer;
	/* No yes is one to private addresses. */
	return strcmp(key, "allow") == 0 &&
	       (strcmp(answer, "always") == 0 || json_object_get(json_object_get(said, "rules"), text));
}

/* `METHOD PLACE` or PLACE, as a rule has it. */
static void add_line(struct rules *rules, const char *key, const char *text, json_int_t times)
{
	const char *space = strchr(text, ' ');
	_cleanup_free_ char *methods = strndup(text, space ? (size_t)(space - text) : 0);

	if (methods)
		add(rules, key, methods, space ? space + 1 : text, times);
}

/* What a yes was said to. */
static void add_answer(struct learn *learn, struct rules *rules, const char *text)
{
	if (learn_is_line(learn, "network", "allow", text))
		add_line(rules, "allow", text, 0);
	else
		propose(&learn->network, NULL, strdup(text), "you said yes to it, and it is no rule");
}

static void take_answers(struct learn *learn, struct rules *rules)
{
	const char *place, *rule;
	json_t *said, *yes;

	json_object_foreach(learn->asking.answers, place, said) {
		const char *answer = json_string_value(json_object_get(said, "answer"));
		if (strcmp(answer, "always") == 0) {
			add_answer(learn, rules, place);
			continue;
		}
		json_object_foreach(json_object_get(said, "rules"), rule, yes)
			add_answer(learn, rules, rule);
		if (strcmp(answer, "no") == 0)
			propose(&learn->network, NULL, strdup(place), "was asked for, and you said no");
	}
}

static void take_denials(struct learn *learn, const json_t *denied, struct rules *rules)
{
	json_t *denial;
	size_t i;

	json_array_foreach(denied, i, denial) {
		_cleanup_buf_ struct buf line = { 0 };
		const char *event = json_string_value(json_object_get(denial, "event"));
		const char *key = event && strcmp(event, "path") != 0 ? denial_line(denial, &line) : NULL;
		const char *text = key ? buf_str(&line) : NULL;
		if (!text || !learn_is_line(learn, "network", key, text)) {
			tell_why_not(learn, denial);
			continue;
		}
		if (!is_answered(learn, key, text))
			add_line(rules, key, text, json_integer_value(json_object_get(denial, "count")));
	}
}

void learn_network(struct learn *learn, const json_t *denied)
{
	struct rules rules = { 0 };

	take_answers(learn, &rules);
	take_denials(learn, denied, &rules);
	gather(&rules);
	for (size_t i = 0; i < rules.n; i++) {
		struct rule *rule = &rules.list[i];
		char *value = NULL, reason[64] = "you said yes to it";
		if (rule->times)
			snprintf(reason, sizeof(reason), "was asked for %" JSON_INTEGER_FORMAT " time%s, and denied", rule->times,
				 rule->times == 1 ? "" : "s");
		if (asprintf(&value, "%s%s%s", rule->methods, *rule->methods ? " " : "", rule->place) >= 0)
			propose(&learn->network, rule->key, value, reason);
		free_rule(rule);
	}
	free(rules.list);
}
