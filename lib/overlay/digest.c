/* SPDX-License-Identifier: Apache-2.0 */
/* Every part goes in with its length, so that no two sets of changes are one text. */
#include "overlay/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "overlay/attr.h"
#include "overlay/journal.h"
#include "overlay/tree.h"

static void put(struct sha256_ctx *sha, const void *data, size_t len)
{
	const uint64_t n = len;

	sha256_update(sha, sizeof(n), (const uint8_t *)&n);
	sha256_update(sha, len, data);
}

static void put_text(struct sha256_ctx *sha, const char *text)
{
	put(sha, text, strlen(text));
}

static void finish(struct sha256_ctx *sha, char ret[CHANGES_DIGEST_TEXT])
{
	uint8_t digest[SHA256_DIGEST_SIZE];

	sha256_digest(sha, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

/* one: of a change alone, of which a part may be done already: a directory is there then, whose mode is to come. */
static void put_numbers(struct sha256_ctx *sha, const struct change *change, bool one)
{
	const struct stat *st = &change->now;
	const int64_t numbers[] = { one ? -1 : (int64_t)change->kind, (int64_t)change->root, st->st_mode, st->st_gid,
				    st->st_mtim.tv_sec, st->st_mtim.tv_nsec };

	/* What comes into a directory sets its time, which is committed for new ones only. */
	bool timeless = S_ISDIR(st->st_mode) && (one || change->kind == CHANGE_MODE);
	put(sha, numbers, timeless ? 4 * sizeof(*numbers) : sizeof(numbers));
}

static void put_attribute(void *arg, const char *name, const void *value, size_t len)
{
	put_text(arg, name);
	put(arg, value, len);
}

static int put_attributes(struct sha256_ctx *sha, int fd)
{
	int r = attr_each(fd, put_attribute, sha);

	put_text(sha, "");
	return r;
}

static int put_content(struct sha256_ctx *sha, int fd)
{
	struct sha256_ctx content;
	uint8_t chunk[16384], digest[SHA256_DIGEST_SIZE];
	ssize_t n;

	sha256_init(&content);
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		sha256_update(&content, (size_t)n, chunk);
	if (n < 0)
		return -errno;
	sha256_digest(&content, sizeof(digest), digest);
	put(sha, digest, sizeof(digest));
	return 0;
}

static int put_link(struct sha256_ctx *sha, int dir, const char *path)
{
	char target[PATH_MAX];
	_cleanup_close_ int place = tree_open(dir, path, O_PATH);
	ssize_t n = place < 0 ? -1 : readlinkat(place, "", target, sizeof(target));

	if (n < 0)
		return place < 0 ? place : -errno;
	put(sha, target, (size_t)n);
	return 0;
}

/* Of a file that is to be a second name of another one that is all there is to say. */
static bool put_other_name(struct sha256_ctx *sha, const struct changes *c, const struct change *change, bool one)
{
	bool of_host = change->host != CHANGES_NO_OTHER;
	const struct change *leader = change->leader != CHANGES_NO_OTHER ? &c->v[change->leader] : change;

	if (!of_host && (leader == change || (!leader->selected && leader->kind != CHANGE_MODE)))
		return false;
	put_text(sha, one ? "" : of_host ? "host" : "name");
	put_text(sha, of_host ? c->hosts[change->host] : leader->path);
	return true;
}

/* Its owner may have no right to read it. What is staged goes away; in the layer its mode must come back. */
static int put_file(struct sha256_ctx *sha, const struct changes *c, const struct staging *s, size_t i, const char *path)
{
	const struct change *change = &c->v[i];
	_cleanup_close_ int place = -EBADF, staged = s ? tree_open(s->dir[change->root], path, O_PATH) : -EBADF;
	_cleanup_close_ int fd = s ? (staged < 0 ? staged : tree_reopen(staged, O_RDONLY, 0600)) :
				     stage_open_source(c, change, &place);
	int r = fd < 0 ? fd : put_attributes(sha, fd);

	if (r == 0)
		r = put_content(sha, fd);
	if (s && staged >= 0)
		tree_chmod(staged, change->now.st_mode & 07777);
	else if (place >= 0)
		stage_close_source(c, change, place);
	return r;
}

static int put_change(struct sha256_ctx *sha, const struct changes *c, const struct staging *s, size_t i, bool one)
{
	const struct change *change = &c->v[i];
	/* A mode is not staged, but set on what is there. */
	const struct staging *from = change->kind == CHANGE_MODE ? NULL : s;
	int dir = from ? from->dir[change->root] : c->upper[change->root];
	char name[STAGED_NAME_MAX];

	staged_name(i, name);
	const char *path = from ? name : change->path;
	put_numbers(sha, change, one);
	put_text(sha, change->path);
	if (change->kind == CHANGE_DELETED)
		return 0;
	if (S_ISLNK(change->now.st_mode))
		return put_link(sha, dir, path);
	if (S_ISDIR(change->now.st_mode)) {
		_cleanup_close_ int fd = tree_open(dir, path, O_RDONLY | O_DIRECTORY);
		return fd < 0 ? fd : put_attributes(sha, fd);
	}
	if (!S_ISREG(change->now.st_mode) || change->kind == CHANGE_MODE || put_other_name(sha, c, change, one))
		return 0;
	return put_file(sha, c, from, i, path);
}

int changes_digest(const struct changes *c, const struct staging *staging, char ret[CHANGES_DIGEST_TEXT],
		   struct error *e)
{
	struct sha256_ctx sha;

	sha256_init(&sha);
	for (size_t i = 0; i < c->layer->n_roots; i++)
		put_text(&sha, c->layer->roots[i].path);
	for (size_t i = 0; i < c->n; i++) {
		int r = c->v[i].selected ? put_change(&sha, c, staging, i, false) : 0;
		if (r < 0)
			return fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, c->v[i].path, "cannot read %s to take its digest",
					  c->v[i].path);
	}
	finish(&sha, ret);
	return 0;
}

int changes_digest_one(const struct changes *c, const struct staging *staging, size_t i, char ret[CHANGES_DIGEST_TEXT])
{
	struct sha256_ctx sha;

	sha256_init(&sha);
	int r = put_change(&sha, c, staging, i, true);
	finish(&sha, ret);
	return r;
}

/* Of what its owner may not read only size and time can be told. */
static int put_unread(struct sha256_ctx *sha, const struct stat *st)
{
	const int64_t numbers[] = { st->st_size, st->st_mtim.tv_sec, st->st_mtim.tv_nsec };

	put(sha, numbers, sizeof(numbers));
	return 0;
}

int digest_object(int dir, const char *name, const struct stat *st, char ret[CHANGES_DIGEST_TEXT])
{
	const int64_t mode = S_ISDIR(st->st_mode) ? S_IFDIR : (int64_t)st->st_mode;
	struct sha256_ctx sha;
	int r = 0;

	sha256_init(&sha);
	put(&sha, &mode, sizeof(mode));
	if (S_ISLNK(st->st_mode))
		r = put_link(&sha, dir, name);
	_cleanup_close_ int fd = S_ISREG(st->st_mode) ? tree_open(dir, name, O_RDONLY) : -EBADF;
	if (fd >= 0 && (r = put_attributes(&sha, fd)) == 0)
		r = put_content(&sha, fd);
	else if (S_ISREG(st->st_mode))
		r = fd == -EACCES ? put_unread(&sha, st) : fd < 0 ? fd : r;
	finish(&sha, ret);
	return r;
}

int changes_digest_compare(const char *found, const char *wanted, struct error *e)
{
	if (strcmp(found, wanted) == 0)
		return 0;
	return fail(e, ESTALE, SANDBOX_STAGE_OVERLAY, wanted,
		    "nothing was committed: the changes are not those that the digest was taken of; review them again (nsbox diff "
		    "--digest gives the new one)");
}

int changes_digest_check(const struct changes *c, const struct staging *staging, const char *wanted, struct error *e)
{
	char found[CHANGES_DIGEST_TEXT];
	int r = 0;

	if (!c->journal || !journal_is_of(c->journal, wanted)) {
		r = changes_digest(c, staging, found, e);
		return r < 0 ? r : changes_digest_compare(found, wanted, e);
	}
	for (size_t i = 0; i < c->n && r == 0; i++) {
		if (c->v[i].selected && (r = changes_digest_one(c, staging, i, found)) == 0 &&
		    !journal_has_change(c->journal, &c->v[i], found))
			return changes_digest_compare("", wanted, e);
	}
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, c->layer->id, "cannot take the digest of the changes") : 0;
}
