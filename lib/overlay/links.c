/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of several names. In a layer a file has more than one name only when a call linked it, and what is one file
 * there becomes one file on the host: the host's own, where one of the names still stands for it (unchanged, or changed
 * in mode alone), else the copy made for the first name. So a name can be a change although its content is the host's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "overlay/changes.h"

static bool keeps_file(const struct change *c)
{
	return c->equal || c->kind == CHANGE_MODE;
}

/* Names of one file together, those that keep the host's file first. */
static int by_file(const void *pa, const void *pb)
{
	const struct change *a = *(struct change *const *)pa, *b = *(struct change *const *)pb;

	if (a->root != b->root)
		return a->root < b->root ? -1 : 1;
	if (a->now.st_dev != b->now.st_dev)
		return a->now.st_dev < b->now.st_dev ? -1 : 1;
	if (a->now.st_ino != b->now.st_ino)
		return a->now.st_ino < b->now.st_ino ? -1 : 1;
	if (keeps_file(a) != keeps_file(b))
		return keeps_file(a) ? -1 : 1;
	return a < b ? -1 : a > b;
}

static bool same_file(const struct change *a, const struct change *b)
{
	return a->root == b->root && a->now.st_dev == b->now.st_dev && a->now.st_ino == b->now.st_ino;
}

/* The names of one file: the first is what the others are linked to. */
static int settle(struct changes *c, struct change **v, size_t n)
{
	unsigned flags = 0;

	/* One file is what each of its names says: else a harmless name could later write to the other's. */
	for (size_t i = 0; i < n; i++)
		flags |= v[i]->flags;
	for (size_t i = 0; i < n; i++) {
		v[i]->flags = flags;
		v[i]->leader = (size_t)(v[0] - c->v);
		/* Another file on the host, and so far the same one. The files of an overlay have several devices. */
		if (i > 0 && keeps_file(v[i]) &&
		    (v[i]->was.st_dev != v[0]->was.st_dev || v[i]->was.st_ino != v[0]->was.st_ino)) {
			v[i]->kind = CHANGE_MODIFIED;
			v[i]->equal = false;
		}
	}
	if (!v[0]->equal)
		return 0;
	/* It will not be in the list. */
	char **more = reallocarray(c->hosts, c->n_hosts + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	c->hosts = more;
	more[c->n_hosts] = strdup(v[0]->path);
	if (!more[c->n_hosts])
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		v[i]->leader = CHANGES_NO_OTHER;
		v[i]->host = c->n_hosts;
	}
	c->n_hosts++;
	return 0;
}

/* What turned out to be no change leaves the list. */
static int drop_equal(struct changes *c)
{
	_cleanup_free_ size_t *to = calloc(c->n ? c->n : 1, sizeof(*to));
	size_t kept = 0;

	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < c->n; i++) {
		to[i] = kept;
		if (c->v[i].equal)
			free(c->v[i].path);
		else
			c->v[kept++] = c->v[i];
	}
	c->n = kept;
	for (size_t i = 0; i < c->n; i++) {
		if (c->v[i].leader != CHANGES_NO_OTHER)
			c->v[i].leader = to[c->v[i].leader];
	}
	return 0;
}

int changes_settle_links(struct changes *c)
{
	_cleanup_free_ struct change **v = calloc(c->n ? c->n : 1, sizeof(*v));
	size_t n = 0;
	int r = v ? 0 : -ENOMEM;

	for (size_t i = 0; i < c->n && r == 0; i++) {
		if (S_ISREG(c->v[i].now.st_mode) && c->v[i].now.st_nlink > 1)
			v[n++] = &c->v[i];
	}
	if (n)
		qsort(v, n, sizeof(struct change *), by_file);
	for (size_t i = 0, end; i < n && r == 0; i = end) {
		for (end = i + 1; end < n && same_file(v[i], v[end]); end++)
			;
		r = settle(c, v + i, end - i);
	}
	return r < 0 ? r : drop_equal(c);
}
