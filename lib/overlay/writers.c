/* SPDX-License-Identifier: Apache-2.0 */
/* The file "calls" of a layer. Theory of operation: writers.h. */
#include "overlay/writers.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

/* How many are looked at for one answer: a call that runs all the time makes every later one a candidate. */
#define STEPS_MAX 256u

void writers_note(int layer, uint32_t number, bool begins)
{
	struct timespec now;
	struct stat st;
	char line[64];

	_cleanup_close_ int fd = openat(layer, "calls", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > WRITERS_BYTES_MAX ||
	    clock_gettime(begins ? CLOCK_REALTIME_COARSE : CLOCK_REALTIME, &now) < 0)
		return;
	int n = snprintf(line, sizeof(line), "%s %" PRIu32 " %lld.%09ld\n", begins ? "start" : "end", number,
			 (long long)now.tv_sec, now.tv_nsec);
	/* A part of a line is taken for none. */
	if (write(fd, line, (size_t)n) != n)
		return;
}

static bool is_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

static int add(struct writers *w, size_t *cap, const struct writer *writer)
{
	if (w->n == *cap) {
		size_t more = *cap ? *cap * 2 : 64;
		struct writer *v = reallocarray(w->v, more, sizeof(*v));
		if (!v)
			return -ENOMEM;
		w->v = v;
		*cap = more;
	}
	w->v[w->n++] = *writer;
	return 0;
}

/* The one that runs: an id is given once. */
static void end(struct writers *w, uint32_t number, const struct timespec *at)
{
	for (size_t i = w->n; i-- > 0;) {
		if (w->v[i].number == number) {
			w->v[i].end = *at;
			return;
		}
	}
}

static int take_line(struct writers *w, size_t *cap, const char *line)
{
	/* One that has no end was running when its supervisor was killed. */
	struct writer writer = { .end = { .tv_sec = INT64_MAX } };
	char word[8];
	long long seconds;
	int len = 0;

	if (sscanf(line, "%7s %" SCNu32 " %lld.%9ld%n", word, &writer.number, &seconds, &writer.start.tv_nsec, &len) != 4 ||
	    strcmp(line + len, "\n") != 0 || seconds < 0 || writer.start.tv_nsec < 0)
		return 0;
	writer.start.tv_sec = seconds;
	if (strcmp(word, "start") == 0)
		return add(w, cap, &writer);
	if (strcmp(word, "end") == 0)
		end(w, writer.number, &writer.start);
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct writer *x = a, *y = b;

	return is_before(&x->start, &y->start) ? -1 : is_before(&y->start, &x->start) ? 1 : 0;
}

static int put_in_order(struct writers *w)
{
	qsort(w->v, w->n, sizeof(*w->v), by_start);
	w->latest = calloc(w->n + 1, sizeof(*w->latest));
	if (!w->latest)
		return -ENOMEM;
	for (size_t i = 0; i < w->n; i++)
		w->latest[i] = i > 0 && is_before(&w->v[i].end, &w->latest[i - 1]) ? w->latest[i - 1] : w->v[i].end;
	return 0;
}

int writers_read(const struct layer *l, struct writers *ret)
{
	struct writers w = { 0 };
	size_t cap = 0;
	char line[64];
	int r = 0;

	_cleanup_close_ int fd = openat(l->dir, "calls", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	FILE *in = fd < 0 ? NULL : fdopen(fd, "re");
	if (in)
		TAKE_FD(fd);
	while (in && r == 0 && fgets(line, sizeof(line), in))
		r = take_line(&w, &cap, line);
	if (in)
		fclose(in);
	if (r == 0 && w.n > 0)
		r = put_in_order(&w);
	if (r < 0)
		writers_free(&w);
	else
		*ret = w;
	return r;
}

void writers_free(struct writers *w)
{
	free(w->v);
	free(w->latest);
	*w = (struct writers){ 0 };
}

unsigned writers_between(const struct writers *w, const struct timespec *from, const struct timespec *to,
			 uint32_t ret[WRITERS_SHOWN], bool *ret_more)
{
	size_t low = 0, high = w->n;
	unsigned n = 0, steps = 0;

	/* Behind the last that started in time. */
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (is_before(to, &w->v[mid].start))
			high = mid;
		else
			low = mid + 1;
	}
	*ret_more = false;
	for (size_t i = low; i-- > 0 && !is_before(&w->latest[i], from);) {
		if (steps++ == STEPS_MAX) {
			*ret_more = true;
			break;
		}
		if (is_before(&w->v[i].end, from))
			continue;
		if (n == WRITERS_SHOWN) {
			*ret_more = true;
			break;
		}
		ret[n++] = w->v[i].number;
	}
	return n;
}
