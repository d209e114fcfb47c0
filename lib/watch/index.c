/* SPDX-License-Identifier: Apache-2.0 */
/* Git's index: programs have to write it, and git writes what it names wherever that is (policy/git_index.h). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "watch/internal.h"

#define LISTED_BYTES (256u << 10) /* a smaller one is sooner searched than looked up (searched.c) */

/* dir: of a repository, or what it has for a linked worktree. No call can change what a configuration that was there says of
 * it. */
static size_t hash_of(int dir)
{
	_cleanup_close_ int common = openat(dir, "../..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_git_keys_ struct git_keys keys = { 0 };
	_cleanup_buf_ struct buf text = { 0 };
	struct object linked;

	if (object_look(dir, "commondir", &linked) < 0 ||
	    object_read(linked.kind == OBJECT_MISSING ? dir : common, "config", GIT_CONFIG_MAX, &text) < 0 ||
	    git_config_read((const char *)text.data, text.len, &keys) < 0)
		return GIT_SHA1;
	for (size_t i = 0; i < keys.n; i++) {
		if (strcmp(keys.v[i].name, "extensions.objectformat") == 0 && keys.v[i].value &&
		    strcmp(keys.v[i].value, "sha256") == 0)
			return GIT_SHA256;
	}
	return GIT_SHA1;
}

static int look_at(int dir, const char *name, char shared[GIT_SHARED_NAME], struct buf *links)
{
	_cleanup_buf_ struct buf bytes = { 0 };

	int r = object_read(dir, name, GIT_INDEX_MAX, &bytes);
	return r < 0 ? r : git_index_check(bytes.data, bytes.len, hash_of(dir), shared, links);
}

/* Both of its files. Without the other one it says nothing, until somebody makes that. */
static int look_at_all(int dir, char shared[GIT_SHARED_NAME], struct buf *links)
{
	int r = look_at(dir, "index", shared, links);

	if (r == 0 && shared[0])
		r = look_at(dir, shared, NULL, links);
	return r == -ENOENT && shared[0] ? -EPERM : r;
}

/* Four bytes, of which the one at rare stands seldom in an index. */
static bool has_bytes(const uint8_t *data, size_t len, const char *four, size_t rare)
{
	const uint8_t *p = data + rare, *end = data + len - (3 - rare);

	while (p < end && (p = memchr(p, (uint8_t)four[rare], (size_t)(end - p)))) {
		if (memcmp(p - rare, four, 4) == 0)
			return true;
		p++;
	}
	return false;
}

/* The mode of a link, or the name of an extension: that has entries elsewhere, or says that there are directories. A large
 * index is sooner searched for these than read, and hardly any has one. */
static bool may_have_links(int dir)
{
	_cleanup_close_ int fd = openat(dir, "index", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	uint8_t block[1 << 16];
	size_t have = 0;

	for (;;) {
		ssize_t n = fd < 0 ? -1 : read(fd, block + have, sizeof(block) - have);
		if (n < 0 && fd >= 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0;
		have += (size_t)n;
		if (have < 4)
			continue;
		if (has_bytes(block, have, "\0\0\xe0\0", 2) || has_bytes(block, have, "link", 3) ||
		    has_bytes(block, have, "sdir", 1))
			return true;
		memmove(block, block + have - 3, 3);
		have = 3;
	}
}

int index_links(const struct keep *k, int dir, const struct object *now, bool local, struct buf *links)
{
	const bool listed = local && now->size >= LISTED_BYTES;
	char shared[GIT_SHARED_NAME] = "";

	if (listed && index_is_searched(k, now))
		return 0;
	const bool settles = listed && object_settles(dir, "index", now);
	if (!may_have_links(dir)) {
		if (settles && object_settled(dir, "index", now))
			index_searched(k, now);
		return 0;
	}
	int r = look_at_all(dir, shared, links);
	return r == -ENOMEM || r == -E2BIG ? r : 0;
}

void index_check(const struct check *c, size_t at, struct object *was, int dir, const char *dir_path)
{
	_cleanup_buf_ struct buf links = { 0 };
	char shared[GIT_SHARED_NAME] = "";
	struct object now;

	int r = object_look(dir, "index", &now);
	if (r == 0 && (now.kind == OBJECT_MISSING || object_untouched(was, &now) ||
		       (now.kind == OBJECT_LINK && object_same(was, &now))))
		return;
	const bool settles = r == 0 && object_settles(dir, "index", &now);
	if (r == 0)
		r = now.kind == OBJECT_FILE ? look_at_all(dir, shared, at == NO_PLACE ? NULL : &links) : -EPERM;
	if (r == 0)
		r = submodules_note(c->watch, at, &links);
	/* There were more at the start. */
	if (r == -E2BIG && c->watch->full)
		r = 0;
	/* Gone, being written, or as large as it was: looked at when everything has ended, or not at all. */
	if (r == -ENOENT || r == -EAGAIN || (r == -EFBIG && was->size > GIT_INDEX_MAX))
		return;
	if (r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EIO)
		cannot_look(c, dir_path, "index", r);
	else if (r < 0)
		take_away(c, dir, dir_path, "index", "changed", NULL);
	/* Of the other file nobody would tell that it changes, nor what comes to be in such a directory. */
	const bool kept = r == 0 && !shared[0] && !submodules_sparse(&links) && settles;
	*was = kept && object_settled(dir, "index", &now) ? now : (struct object){ 0 };
}
