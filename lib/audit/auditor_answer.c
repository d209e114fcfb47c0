/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets from the auditor: its hello and its answers. Members that we do not know are for later versions and ignored;
 * a member that we know and that has another type than it should is no answer.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "audit/auditor_private.h"
#include "base/util.h"

static void decref(json_t **value)
{
	json_decref(*value);
}

/* One whole object: no bytes behind it, no name twice (which of the two would count?), no NUL in a string. */
static int parse(const void *data, size_t len, json_t **ret, const char **ret_problem)
{
	json_error_t e;

	*ret = json_loadb(data, len, JSON_REJECT_DUPLICATES, &e);
	if (!*ret && json_error_code(&e) == json_error_out_of_memory)
		return -ENOMEM;
	if (json_is_object(*ret))
		return 0;
	*ret_problem = "the packet is not one JSON object";
	return -EBADMSG;
}

static bool one_line(const char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	}
	return true;
}

/* Values become lines of a [grant] section: a line break in one would be a line of its own. */
static bool is_grant_value(const json_t *value)
{
	size_t i;
	json_t *one;

	if (json_is_string(value))
		return one_line(json_string_value(value));
	if (!json_is_array(value))
		return false;
	json_array_foreach((json_t *)value, i, one) {
		if (!json_is_string(one) || !one_line(json_string_value(one)))
			return false;
	}
	return true;
}

static bool is_grant(json_t *grant)
{
	const char *key;
	json_t *value;

	json_object_foreach(grant, key, value) {
		if (!*key || strspn(key, "abcdefghijklmnopqrstuvwxyz_") != strlen(key) || !is_grant_value(value))
			return false;
	}
	return json_object_size(grant) > 0;
}

static int decision_of(const json_t *value, enum auditor_decision *ret)
{
	static const char *const names[] = {
		[AUDITOR_DENY] = "deny",
		[AUDITOR_ALLOW] = "allow",
		[AUDITOR_ASK] = "ask",
		[AUDITOR_NARROW] = "narrow",
	};
	const char *text = json_string_value(value);

	for (size_t i = 0; text && i < ARRAY_LEN(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum auditor_decision)i;
			return 0;
		}
	}
	return -EBADMSG;
}

/* A copy of at most AUDITOR_MAX_REASON bytes, cut between characters. */
static char *cut_reason(const char *text)
{
	size_t len = strnlen(text, AUDITOR_MAX_REASON + 1);

	if (len > AUDITOR_MAX_REASON) {
		len = AUDITOR_MAX_REASON;
		while (len && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	return strndup(text, len);
}

static const char *problem_of(json_t *packet, struct auditor_answer *ret)
{
	const json_t *reason = json_object_get(packet, "reason"), *cache = json_object_get(packet, "cache_ms");
	json_t *grant = json_object_get(packet, "grant");

	if (decision_of(json_object_get(packet, "decision"), &ret->decision) < 0)
		return "decision is not allow, deny, ask or narrow";
	if (reason && !json_is_string(reason))
		return "reason is not a string";
	if (cache && (!json_is_integer(cache) || json_integer_value(cache) < 0))
		return "cache_ms is not a count of milliseconds";
	if (grant && !json_is_object(grant))
		return "grant is not an object";
	if (ret->decision == AUDITOR_NARROW && (!grant || !is_grant(grant)))
		return "narrow without a grant of strings and arrays of strings";
	return NULL;
}

int auditor_answer_parse(const void *data, size_t len, struct auditor_answer *ret)
{
	_cleanup_(decref) json_t *packet = NULL;

	*ret = (struct auditor_answer){ 0 };
	int r = parse(data, len, &packet, &ret->problem);
	if (r < 0)
		return r;
	const json_t *id = json_object_get(packet, "id");
	if (!json_is_integer(id) || json_integer_value(id) <= 0) {
		ret->problem = "the packet has no id of a question";
		return -EBADMSG;
	}
	ret->id = (uint64_t)json_integer_value(id);
	ret->problem = problem_of(packet, ret);
	if (ret->problem) {
		ret->decision = AUDITOR_DENY;
		return -EBADMSG;
	}
	const json_t *reason = json_object_get(packet, "reason"), *cache = json_object_get(packet, "cache_ms");
	if (cache)
		ret->cache_ms = (uint64_t)json_integer_value(cache);
	if (reason && !(ret->reason = cut_reason(json_string_value(reason))))
		return -ENOMEM;
	if (ret->decision == AUDITOR_NARROW &&
	    !(ret->grant = json_dumps(json_object_get(packet, "grant"), JSON_COMPACT)))
		return -ENOMEM;
	return 0;
}

void auditor_answer_clear(struct auditor_answer *answer)
{
	free(answer->reason);
	free(answer->grant);
	*answer = (struct auditor_answer){ 0 };
}

/* Names that we do not know are ops of later versions. */
static int ops_of(const json_t *list, unsigned *ret)
{
	size_t i;
	json_t *one;

	*ret = 0;
	if (!json_is_array(list))
		return -EBADMSG;
	json_array_foreach((json_t *)list, i, one) {
		const char *text = json_string_value(one);
		if (!text)
			return -EBADMSG;
		for (int op = 0; op < _AUDITOR_OP_MAX; op++) {
			if (strcmp(text, auditor_op_name((enum auditor_op)op)) == 0)
				*ret |= AUDITOR_OP(op);
		}
	}
	return 0;
}

int auditor_hello_parse(const void *data, size_t len, unsigned *ret_ops, const char **ret_problem)
{
	_cleanup_(decref) json_t *packet = NULL;

	*ret_ops = 0;
	int r = parse(data, len, &packet, ret_problem);
	if (r < 0)
		return r;
	const json_t *version = json_object_get(packet, "version"), *ops = json_object_get(packet, "ops");
	if (!json_is_string(json_object_get(packet, "hello")))
		*ret_problem = "the first packet is no hello";
	else if (!json_is_integer(version) || json_integer_value(version) != AUDITOR_VERSION)
		*ret_problem = "the auditor speaks another version of the protocol";
	else if (!ops || ops_of(ops, ret_ops) < 0)
		*ret_problem = "its hello has no ops, an array of strings";
	else
		return 0;
	return -EBADMSG;
}
