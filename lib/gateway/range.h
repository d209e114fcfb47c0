/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A part of an answer that is searched for secrets. So that a value across its border is found, the server is asked for
 * more on both sides, and only what was asked for goes on: the client sees the same bytes as those of the whole. Sans IO.
 */
#ifndef NSBOX_GATEWAY_RANGE_H
#define NSBOX_GATEWAY_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANGE_TEXT_MAX 80u

enum range_form { RANGE_NONE = 0, RANGE_BETWEEN, RANGE_FROM, RANGE_LAST };

struct range {
	enum range_form form;
	uint64_t first, last; /* bytes; RANGE_FROM has no last one, of RANGE_LAST it is how many */
	uint64_t margin;      /* by the caller: how much more is asked for on each side */
};

/* The value of Range when it is one range of bytes; anything else is false. */
bool range_parse(const char *text, size_t len, struct range *ret);
/* The value of Range that the server gets. */
void range_widened(const struct range *r, char ret[RANGE_TEXT_MAX]);

/* What the server says that it sent. */
struct range_part {
	uint64_t first, last;
	uint64_t size; /* of the whole; 0: it does not say */
};

/* The value of Content-Range: 0 or -EBADMSG. */
int range_part_parse(const char *text, size_t len, struct range_part *ret);

struct range_cut {
	uint64_t skip, left;		 /* of the payload, what does not go on and how much of what follows does */
	char content_range[RANGE_TEXT_MAX]; /* the value for the client */
};

/* 0; -ERANGE: the whole is shorter than that; -EBADMSG: it is not what was asked for. */
int range_cut(const struct range *r, const struct range_part *part, struct range_cut *ret);
/*
 * A part that nobody asked for by bytes: is it the whole, or (by_number: the client asked for part N, and the server
 * knows them) one as those who store in parts make them? S3 and its like take none below 5 MiB but for the last, so where
 * it ends is no choice of the reader.
 */
bool range_part_is_sound(const struct range_part *part, bool by_number);

#endif
