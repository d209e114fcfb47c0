/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Path patterns of rules: literal bytes, `*` (any run of bytes without '/', also an empty one), and the segment `**`
 * ("/" and anything, or nothing). Kept as a list of tokens that is an automaton without further work: position i is
 * the state before token i.
 */
#ifndef NSBOX_POLICY_PATH_PATTERN_H
#define NSBOX_POLICY_PATH_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

#define PATTERN_MAX 383 /* tokens */
#define PATTERN_WORDS 6 /* 64 * 6 > PATTERN_MAX */

enum { /* below 256: that byte */
	TOKEN_STAR = 256,
	TOKEN_DEEP = 257, /* a whole segment of two stars: nothing, or '/' and then what TOKEN_ANY takes; always followed by it */
	TOKEN_ANY = 258,
};

struct path_pattern {
	size_t n;
	uint16_t token[];
};

/* A set of positions. */
struct pattern_set {
	uint64_t w[PATTERN_WORDS];
};

int path_pattern_parse(const char *s, size_t len, struct path_pattern **ret, struct error *e);
int path_pattern_text(const struct path_pattern *p, struct buf *out);
/* The pattern of a denial is kept in lower case (of ASCII). */
void path_pattern_fold(struct path_pattern *p);
uint8_t path_fold(uint8_t c);
/*
 * How servers may read a path. A denial holds for what any of them would take for the path that it names, so it is asked
 * in the last two ways; what is allowed is read in the first one.
 */
enum path_reading {
	READ_EXACT = 0,
	READ_FOLDED, /* in any letter case */
	READ_LOOSE,  /* and slashes merged, ";parameters" of segments dropped; a '/' at the end makes no difference */
};
/* deny: the pattern is folded, and matched as a denial. */
bool path_pattern_matches(const struct path_pattern *p, const char *path, bool deny);
/* The bytes of a path as they are matched. */
struct path_reader {
	const char *path;
	enum path_reading reading;
};
/* The next one; 0 at the end, before which READ_LOOSE leaves out the last '/'. */
uint8_t path_next(struct path_reader *r);
bool path_pattern_equal(const struct path_pattern *a, const struct path_pattern *b);
struct path_pattern *path_pattern_copy(const struct path_pattern *p);

void pattern_start(const struct path_pattern *p, struct pattern_set *set);
/* False when nothing is left to match. */
bool pattern_step(const struct path_pattern *p, struct pattern_set *set, uint8_t c);
bool pattern_accepts(const struct path_pattern *p, const struct pattern_set *set);
/* At the end of READ_LOOSE: here, or with a '/' more. */
bool pattern_accepts_loose(const struct path_pattern *p, const struct pattern_set *set);

/* A conjunction of patterns; loose: each folded, and as a denial reads it. */
struct pattern_list {
	struct path_pattern *const *p;
	size_t n;
	bool loose;
};
/* Whether every path in all of a is in all patterns of at least one of b. 1, 0, -ENOMEM, -E2BIG. */
int pattern_lists_included(struct pattern_list a, const struct pattern_list *b, size_t n_b);
/* The same for the paths that are in both lists of a. */
int pattern_pair_included(const struct pattern_list a[2], const struct pattern_list *b, size_t n_b);
/* What this thread may spend on inclusions from now on, in steps of one position over one byte (some 5 to 10 ns); then
 * all that need a search are -E2BIG. For questions about what somebody else wrote. False: a bound holds already, and goes
 * on to; the one who set it ends it. */
bool pattern_budget_begin(uint64_t steps);
void pattern_budget_end(void);

#endif
