/* SPDX-License-Identifier: Apache-2.0 */
/* Rules, hosts and paths from any text: canonical forms are stable, and a rule is within itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rule.h"
#include "fuzz.h"

static void check(int truth)
{
	if (!truth)
		abort();
}

static void one_rule(const char *text, enum rule_kind kind)
{
	struct rule *r, *again, *both;
	struct buf a = { 0 }, b = { 0 };

	if (rule_parse(text, kind, false, &r, NULL) < 0)
		return;
	check(rule_text(r, &a) == 0 && buf_str(&a));
	check(rule_parse(buf_str(&a), kind, false, &again, NULL) == 0);
	check(rule_text(again, &b) == 0 && buf_str(&b) && strcmp(buf_str(&a), buf_str(&b)) == 0);
	check(rule_is_subset(r, again) == 1);
	int n = rule_intersect(r, again, &both);
	check(n == 1);
	rule_free(both);
	rule_free(r);
	rule_free(again);
	buf_free(&a);
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char host[256], again[256];

	if (size > 2000)
		return 0;
	char *text = strndup((const char *)data, size);
	check(text != NULL);
	for (int kind = RULE_ALLOW; kind <= RULE_SECRET; kind++)
		one_rule(text, (enum rule_kind)kind);
	if (host_canonical((const char *)data, size, false, host) == 0)
		check(host_canonical(host, strlen(host), false, again) == 0 && strcmp(host, again) == 0);
	/* Exactly the room that the contract asks for. */
	char *path = malloc(size + 1);
	check(path != NULL);
	if (path_canonical((const char *)data, size, path) == 0)
		check(path[0] == '/' && strlen(path) <= size && !strstr(path, "/../") && !strstr(path, "/./"));
	free(path);
	free(text);
	return 0;
}
