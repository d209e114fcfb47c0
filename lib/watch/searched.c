/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large indexes in which there is no link, from one sandbox to the next: to search one takes longer than all else that a start
 * looks at, and few change in between. Their list is a file in the state directory, which no sandbox sees, and what identifies
 * an index there no call can bring about again: the kernel sets the time of change. Without the file, or with a broken one,
 * each is searched.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/util.h"
#include "base/wire.h"
#include "watch/internal.h"

#define FILE_NAME "indexes"
#define NEW_NAME "indexes.new"
#define VERSION 1u
#define SEARCHED_MAX 64u /* the last ones */
#define FILE_MAX (1u << 16)

static int put(struct buf *b, const struct object *o)
{
	const uint64_t numbers[] = {
		o->dev_major, o->dev_minor, o->nlink, o->ino, o->size, (uint64_t)o->birth.tv_sec, o->birth.tv_nsec,
		(uint64_t)o->change.tv_sec, o->change.tv_nsec,
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(numbers) && r == 0; i++)
		r = wire_put_u64(b, numbers[i]);
	return r;
}

/* The next one; false at the end, and where it is broken. */
static bool get(struct wire_reader *r, struct object *ret)
{
	*ret = (struct object){
		.kind = OBJECT_FILE,
		.dev_major = (uint32_t)wire_get_u64(r),
		.dev_minor = (uint32_t)wire_get_u64(r),
		.nlink = (uint32_t)wire_get_u64(r),
		.ino = wire_get_u64(r),
		.size = wire_get_u64(r),
	};
	ret->birth.tv_sec = (int64_t)wire_get_u64(r);
	ret->birth.tv_nsec = (uint32_t)wire_get_u64(r);
	ret->change.tv_sec = (int64_t)wire_get_u64(r);
	ret->change.tv_nsec = (uint32_t)wire_get_u64(r);
	return !r->bad;
}

static struct wire_reader read_list(int state, struct buf *bytes)
{
	const bool whole = object_read(state, FILE_NAME, FILE_MAX, bytes) == 0;
	struct wire_reader r = wire_reader(bytes->data, whole ? bytes->len : 0);

	if (wire_get_u32(&r) != VERSION)
		r.bad = true;
	return r;
}

bool index_is_searched(const struct keep *k, const struct object *now)
{
	_cleanup_buf_ struct buf bytes = { 0 };
	struct wire_reader list = read_list(k->state, &bytes);
	struct object o;

	while (get(&list, &o)) {
		if (object_untouched(&o, now))
			return true;
	}
	return false;
}

/* First, since those at the end go; in the place of what it was before. */
void index_searched(const struct keep *k, const struct object *now)
{
	_cleanup_buf_ struct buf bytes = { 0 }, list = { 0 };
	struct wire_reader old = read_list(k->state, &bytes);
	struct object o;

	int r = wire_put_u32(&list, VERSION);
	if (r == 0)
		r = put(&list, now);
	for (unsigned n = 1; n < SEARCHED_MAX && r == 0 && get(&old, &o);) {
		if (object_same(&o, now))
			continue;
		r = put(&list, &o);
		n++;
	}
	if (r == 0)
		r = write_new(k->state, NEW_NAME, 0600, list.data, list.len);
	/* Not written: it is searched again. One that a kill or another supervisor left goes, too. */
	if (r < 0 || renameat(k->state, NEW_NAME, k->state, FILE_NAME) < 0)
		unlinkat(k->state, NEW_NAME, 0);
}
