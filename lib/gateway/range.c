/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of bytes. */
#include "gateway/range.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"

#define DIGITS_MAX 18u /* of a number that fits, with all that is added to it */
#define STORED_PART_MIN (UINT64_C(5) << 20)

/* 1*DIGIT at *at; false when there is none, or too many. */
static bool number(const char *text, size_t len, size_t *at, uint64_t *ret)
{
	size_t from = *at;

	*ret = 0;
	while (*at < len && text[*at] >= '0' && text[*at] <= '9' && *at - from <= DIGITS_MAX)
		*ret = *ret * 10 + (uint64_t)(text[(*at)++] - '0');
	return *at > from && *at - from <= DIGITS_MAX;
}

static bool literal(const char *text, size_t len, size_t *at, const char *what)
{
	size_t n = strlen(what);

	if (len - *at < n || strncasecmp(text + *at, what, n) != 0)
		return false;
	*at += n;
	return true;
}

bool range_parse(const char *text, size_t len, struct range *ret)
{
	struct range r = { .form = RANGE_BETWEEN };
	size_t at = 0;

	if (!literal(text, len, &at, "bytes="))
		return false;
	if (literal(text, len, &at, "-")) {
		r.form = RANGE_LAST;
		if (!number(text, len, &at, &r.last) || r.last == 0)
			return false;
	} else {
		if (!number(text, len, &at, &r.first) || !literal(text, len, &at, "-"))
			return false;
		if (at == len)
			r.form = RANGE_FROM;
		else if (!number(text, len, &at, &r.last) || r.last < r.first)
			return false;
	}
	*ret = r;
	return at == len;
}

static uint64_t less(uint64_t n, uint64_t by)
{
	return n > by ? n - by : 0;
}

void range_widened(const struct range *r, char ret[RANGE_TEXT_MAX])
{
	uint64_t first = less(r->first, r->margin), last = r->last + r->margin;

	if (r->form == RANGE_LAST)
		snprintf(ret, RANGE_TEXT_MAX, "bytes=-%" PRIu64, last);
	else if (r->form == RANGE_FROM)
		snprintf(ret, RANGE_TEXT_MAX, "bytes=%" PRIu64 "-", first);
	else
		snprintf(ret, RANGE_TEXT_MAX, "bytes=%" PRIu64 "-%" PRIu64, first, last);
}

int range_part_parse(const char *text, size_t len, struct range_part *ret)
{
	size_t at = 0;

	if (!literal(text, len, &at, "bytes ") || !number(text, len, &at, &ret->first) || !literal(text, len, &at, "-") ||
	    !number(text, len, &at, &ret->last) || !literal(text, len, &at, "/") || ret->last < ret->first)
		return -EBADMSG;
	ret->size = 0;
	if (!literal(text, len, &at, "*") && (!number(text, len, &at, &ret->size) || ret->size <= ret->last))
		return -EBADMSG;
	return at == len ? 0 : -EBADMSG;
}

static bool is_last(const struct range_part *part)
{
	return part->size && part->last == part->size - 1;
}

int range_cut(const struct range *r, const struct range_part *part, struct range_cut *ret)
{
	uint64_t first = r->first, last = part->last;
	bool ends = is_last(part);

	if (r->form == RANGE_LAST) {
		if (!ends || part->first != less(part->size, r->last + r->margin))
			return -EBADMSG;
		first = less(part->size, r->last);
	} else {
		/* With less of a margin than was asked for, only where the whole has no more. */
		if (part->first != less(r->first, r->margin) ||
		    (!ends && (r->form == RANGE_FROM || part->last != r->last + r->margin)) ||
		    (r->form == RANGE_BETWEEN && part->last > r->last + r->margin))
			return -EBADMSG;
		if (r->form == RANGE_BETWEEN && r->last < last)
			last = r->last;
		if (first > last)
			return -ERANGE;
	}
	ret->skip = first - part->first;
	ret->left = last - first + 1;
	if (part->size)
		snprintf(ret->content_range, RANGE_TEXT_MAX, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first, last, part->size);
	else
		snprintf(ret->content_range, RANGE_TEXT_MAX, "bytes %" PRIu64 "-%" PRIu64 "/*", first, last);
	return 0;
}

bool range_part_is_sound(const struct range_part *part, bool by_number)
{
	bool begins = part->first == 0, ends = is_last(part);

	if (begins && ends)
		return true;
	return by_number && (begins || part->first >= STORED_PART_MIN) &&
	       (ends || part->last - part->first + 1 >= STORED_PART_MIN);
}
