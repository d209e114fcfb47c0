/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comparing lines: the greedy algorithm of Myers ("An O(ND) Difference Algorithm and Its Variations", 1986), after what
 * is equal at both ends was set aside. Its cost grows with the square of the differences, so beyond a bound everything
 * between the equal ends counts as different.
 */
#include "overlay/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define DIFFERENCES_MAX 2000
#define CONTEXT 3u

void lines_free(struct lines *l)
{
	free(l->start);
	free(l->hash);
	free(l->changed);
	*l = (struct lines){ 0 };
}

int lines_split(const void *text, size_t len, struct lines *ret)
{
	struct lines l = { .text = text, .len = len };
	size_t at = 0;

	for (size_t i = 0; i < len; i++)
		l.n += l.text[i] == '\n' || i + 1 == len;
	l.start = calloc(l.n + 1, sizeof(*l.start));
	l.hash = calloc(l.n + 1, sizeof(*l.hash));
	l.changed = calloc(l.n + 1, sizeof(*l.changed));
	if (!l.start || !l.hash || !l.changed) {
		lines_free(&l);
		return -ENOMEM;
	}
	for (size_t i = 0; i < l.n; i++) {
		uint32_t hash = 2166136261u; /* FNV-1a: only to save comparisons */
		l.start[i] = at;
		do
			hash = (hash ^ l.text[at]) * 16777619u;
		while (l.text[at++] != '\n' && at < len);
		l.hash[i] = hash;
	}
	l.start[l.n] = len;
	*ret = l;
	return 0;
}

static bool equal(const struct lines *a, size_t i, const struct lines *b, size_t k)
{
	size_t n = a->start[i + 1] - a->start[i];

	return a->hash[i] == b->hash[k] && n == b->start[k + 1] - b->start[k] &&
	       memcmp(a->text + a->start[i], b->text + b->start[k], n) == 0;
}

/* What is left between the equal ends. */
struct middle {
	struct lines *a, *b;
	size_t from; /* in both */
	long n, m;   /* lines of a, of b */
};

/* v[d]: how far each diagonal got with d differences, 2d+1 of them. *ret_d: differences, or -1 when there are more
 * than the bound. */
static int search(const struct middle *x, int **v, int *ret_d)
{
	for (int d = 0; d <= DIFFERENCES_MAX; d++) {
		v[d] = malloc((2 * (size_t)d + 1) * sizeof(int));
		if (!v[d])
			return -ENOMEM;
		for (int k = -d; k <= d; k += 2) {
			int i = 0;
			if (d > 0) {
				/* v[d - 1] holds diagonals -(d-1) to d-1. */
				int down = k < d - 1 ? v[d - 1][k + 1 + d - 1] : -1;
				int right = k > -d + 1 ? v[d - 1][k - 1 + d - 1] + 1 : -1;
				i = k == -d || (k != d && right <= down) ? down : right;
			}
			while (i < x->n && i - k < x->m && i - k >= 0 &&
			       equal(x->a, x->from + (size_t)i, x->b, x->from + (size_t)(i - k)))
				i++;
			v[d][k + d] = i;
			if (i >= x->n && i - k >= x->m) {
				*ret_d = d;
				return 0;
			}
		}
	}
	*ret_d = -1;
	return 0;
}

static void trace_back(const struct middle *x, int **v, int d)
{
	int k = (int)(x->n - x->m);

	for (; d > 0; d--) {
		int down = k < d - 1 ? v[d - 1][k + 1 + d - 1] : -1;
		int right = k > -d + 1 ? v[d - 1][k - 1 + d - 1] + 1 : -1;
		if (k == -d || (k != d && right <= down)) {
			k++;
			x->b->changed[x->from + (size_t)(down - k)] = true;
		} else {
			k--;
			x->a->changed[x->from + (size_t)(right - 1)] = true;
		}
	}
}

int lines_compare(struct lines *a, struct lines *b)
{
	_cleanup_free_ int **v = NULL;
	size_t front = 0, back = 0;
	int d = -1, r = 0;

	while (front < a->n && front < b->n && equal(a, front, b, front))
		front++;
	while (back < a->n - front && back < b->n - front && equal(a, a->n - 1 - back, b, b->n - 1 - back))
		back++;
	struct middle x = { a, b, front, (long)(a->n - front - back), (long)(b->n - front - back) };
	if (x.n > 0 && x.m > 0 && x.n < INT32_MAX / 2 && x.m < INT32_MAX / 2) {
		v = calloc(DIFFERENCES_MAX + 1, sizeof(*v));
		r = v ? search(&x, v, &d) : -ENOMEM;
		if (r == 0 && d >= 0)
			trace_back(&x, v, d);
		for (int i = 0; v && i <= DIFFERENCES_MAX; i++)
			free(v[i]);
	}
	if (r == 0 && d < 0) {
		memset(a->changed + front, 1, (size_t)x.n * sizeof(bool));
		memset(b->changed + front, 1, (size_t)x.m * sizeof(bool));
	}
	return r;
}

size_t lines_changed(const struct lines *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += l->changed[i];
	return n;
}

static int put_line(struct buf *out, char mark, const struct lines *l, size_t i)
{
	size_t n = l->start[i + 1] - l->start[i];

	int r = buf_putc(out, mark);
	if (r == 0)
		r = buf_append(out, l->text + l->start[i], n);
	if (r == 0 && l->text[l->start[i] + n - 1] != '\n')
		r = buf_puts(out, "\n\\ No newline at end of file\n");
	return r;
}

static int put_head(struct buf *out, char mark, size_t from, size_t n)
{
	/* An empty range is named by the line before it. */
	int r = buf_printf(out, " %c%zu", mark, n ? from + 1 : from);

	return r < 0 || n == 1 ? r : buf_printf(out, ",%zu", n);
}

/* Lines i to i_end of a against k to k_end of b. */
static int put_hunk(struct buf *out, const struct lines *a, size_t i, size_t i_end, const struct lines *b, size_t k,
		    size_t k_end)
{
	int r = buf_puts(out, "@@");

	if (r == 0)
		r = put_head(out, '-', i, i_end - i);
	if (r == 0)
		r = put_head(out, '+', k, k_end - k);
	if (r == 0)
		r = buf_puts(out, " @@\n");
	while ((i < i_end || k < k_end) && r == 0) {
		if (i < i_end && a->changed[i])
			r = put_line(out, '-', a, i++);
		else if (k < k_end && b->changed[k])
			r = put_line(out, '+', b, k++);
		else
			r = put_line(out, ' ', a, (k++, i++));
	}
	return r;
}

int lines_hunks(const struct lines *a, const struct lines *b, struct buf *out)
{
	size_t i = 0, k = 0;
	int r = 0;

	while (r == 0) {
		/* To the next difference; in between both go on together. */
		while (i < a->n && k < b->n && !a->changed[i] && !b->changed[k]) {
			i++;
			k++;
		}
		if (i == a->n && k == b->n)
			return 0;
		size_t lead = i < CONTEXT ? i : CONTEXT, from_i = i - lead, from_k = k - lead, same = 0;
		/* To where more than twice the context is equal. */
		while ((i < a->n || k < b->n) && same <= 2 * CONTEXT) {
			bool changed = false;
			for (; i < a->n && a->changed[i]; i++)
				changed = true;
			for (; k < b->n && b->changed[k]; k++)
				changed = true;
			same = changed ? 0 : same;
			if (i == a->n || k == b->n)
				break;
			i++;
			k++;
			same++;
		}
		size_t cut = same > CONTEXT ? same - CONTEXT : 0;
		r = put_hunk(out, a, from_i, i - cut, b, from_k, k - cut);
	}
	return r;
}
