/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what the command of a secret printed. */
#include "source/answer.h"

#include <jansson.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define YEAR_MIN 1970
#define YEAR_MAX 9999

/* Digits of a fixed width, and what stands behind them ('\0': anything). */
static bool number(const char **at, size_t width, char behind, int *ret)
{
	*ret = 0;
	for (size_t i = 0; i < width; i++, (*at)++) {
		if (**at < '0' || **at > '9')
			return false;
		*ret = *ret * 10 + (**at - '0');
	}
	if (!behind)
		return true;
	return *(*at)++ == behind;
}

/* "Z", "+01:00": seconds east of UTC. */
static bool offset(const char **at, int *ret)
{
	int hours, minutes, sign = **at == '-' ? -1 : 1;

	*ret = 0;
	if (**at == 'Z' || **at == 'z') {
		(*at)++;
		return true;
	}
	if (**at != '+' && **at != '-')
		return false;
	(*at)++;
	if (!number(at, 2, ':', &hours) || !number(at, 2, '\0', &minutes) || hours > 23 || minutes > 59)
		return false;
	*ret = sign * (hours * 3600 + minutes * 60);
	return true;
}

static bool parse_time(const char *text, time_t *ret)
{
	struct tm t = { 0 };
	int east;

	if (!number(&text, 4, '-', &t.tm_year) || !number(&text, 2, '-', &t.tm_mon) || !number(&text, 2, '\0', &t.tm_mday) ||
	    (*text != 'T' && *text != 't' && *text != ' '))
		return false;
	text++;
	if (!number(&text, 2, ':', &t.tm_hour) || !number(&text, 2, ':', &t.tm_min) || !number(&text, 2, '\0', &t.tm_sec))
		return false;
	if (*text == '.') {
		size_t digits = strspn(text + 1, "0123456789");
		if (!digits)
			return false;
		text += 1 + digits;
	}
	if (!offset(&text, &east) || *text || t.tm_year < YEAR_MIN || t.tm_year > YEAR_MAX || t.tm_mon < 1 || t.tm_mon > 12 ||
	    t.tm_mday < 1 || t.tm_mday > 31 || t.tm_hour > 23 || t.tm_min > 59 || t.tm_sec > 60)
		return false;
	t.tm_year -= 1900;
	t.tm_mon--;
	*ret = timegm(&t) - east;
	return true;
}

static const char *parse_expiry(const json_t *at, time_t now, uint64_t *ret_seconds)
{
	time_t end;

	*ret_seconds = 0;
	if (!at || json_is_null(at))
		return NULL;
	if (json_is_integer(at))
		end = (time_t)json_integer_value(at);
	else if (!json_is_string(at) || !parse_time(json_string_value(at), &end))
		return "\"expires_at\" is neither a number of seconds since 1970 nor a time like 2030-01-31T12:00:00Z";
	if (end <= now)
		return "it has expired already";
	*ret_seconds = (uint64_t)(end - now);
	return NULL;
}

static void wipe_free(void *p)
{
	if (p)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

const char *answer_parse(const char *text, size_t len, time_t now, struct buf *ret, uint64_t *ret_seconds)
{
	const char *why = NULL;

	json_set_alloc_funcs(malloc, wipe_free);
	*ret_seconds = 0;
	json_t *root = len && *text == '{' ? json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const json_t *value = root ? json_object_get(root, "value") : NULL;
	if (json_is_string(value)) {
		why = parse_expiry(json_object_get(root, "expires_at"), now, ret_seconds);
		text = json_string_value(value);
		len = json_string_length(value);
	} else if (len && *text == '{') {
		/* Never as a value: it may hold one, and what must not be sent. */
		why = "it printed neither one line nor an object with the text \"value\" (a line that begins with { goes into "
		      "one)";
	} else if (len && text[len - 1] == '\n') {
		len--;
	}
	if (!why && !len)
		why = "it printed nothing";
	if (!why && buf_append(ret, text, len) < 0)
		why = "no memory is left";
	json_decref(root);
	return why;
}
