/* SPDX-License-Identifier: Apache-2.0 */
/* Theory of operation: journal.h. Records with a NUL at the end: the digest, then "KIND ROOT DIGEST PATH". */
#include "overlay/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/util.h"
#include "overlay/content.h"
#include "overlay/tree.h"

#define NAME "journal"
#define NEW_NAME ".journal"
#define JOURNAL_MAX (512u << 20)

enum kind { KIND_WAS = 'w', KIND_CHANGE = 'c' };

struct record {
	enum kind kind;
	size_t root;
	const char *path, *digest;
};

struct journal {
	struct buf text;
	const char *digest; /* "": none */
	struct record *v;
	size_t n;
};

void journal_free(struct journal *j)
{
	if (!j)
		return;
	buf_free(&j->text);
	free(j->v);
	free(j);
}

static void journal_freep(struct journal **j)
{
	journal_free(*j);
}

static int by_place(const void *pa, const void *pb)
{
	const struct record *a = pa, *b = pb;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->root != b->root)
		return a->root < b->root ? -1 : 1;
	return strcmp(a->path, b->path);
}

/* Cuts the record up. */
static int parse_one(char *text, struct record *ret)
{
	char kind;
	int at = 0;

	if (sscanf(text, "%c %zu %n", &kind, &ret->root, &at) != 2 || at == 0 || (kind != KIND_WAS && kind != KIND_CHANGE))
		return -EPROTO;
	char *digest = text + at;
	size_t n = strcspn(digest, " ");
	if (n != CHANGES_DIGEST_TEXT - 1 || digest[n] != ' ')
		return -EPROTO;
	digest[n] = '\0';
	ret->kind = (enum kind)kind;
	ret->digest = digest;
	ret->path = digest + n + 1;
	return 0;
}

static int parse(struct journal *j)
{
	char *text = (char *)j->text.data, *end = text + j->text.len;
	size_t n = 0;

	if (j->text.len == 0 || end[-1] != '\0')
		return -EPROTO;
	j->digest = text;
	for (char *p = text + strlen(text) + 1; p < end; p += strlen(p) + 1)
		n++;
	j->v = calloc(n ? n : 1, sizeof(*j->v));
	if (!j->v)
		return -ENOMEM;
	for (char *p = text + strlen(text) + 1, *next; p < end; p = next) {
		next = p + strlen(p) + 1;
		int r = parse_one(p, &j->v[j->n++]);
		if (r < 0)
			return r;
	}
	qsort(j->v, j->n, sizeof(*j->v), by_place);
	return 0;
}

int journal_load(const struct layer *l, struct journal **ret)
{
	*ret = NULL;
	_cleanup_close_ int fd = openat(l->dir, NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	_cleanup_(journal_freep) struct journal *j = calloc(1, sizeof(*j));
	int r = j ? content_read(fd, JOURNAL_MAX, &j->text) : -ENOMEM;
	if (r == 0)
		r = parse(j);
	if (r == 0)
		*ret = TAKE_PTR(j);
	return r;
}

bool journal_exists(const struct layer *l)
{
	return faccessat(l->dir, NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

void journal_remove(const struct layer *l)
{
	unlinkat(l->dir, NAME, 0);
}

static const struct record *find(const struct journal *j, enum kind kind, size_t root, const char *path)
{
	const struct record key = { .kind = kind, .root = root, .path = path };

	return bsearch(&key, j->v, j->n, sizeof(*j->v), by_place);
}

bool journal_has(const struct journal *j, size_t root, const char *path, int dir, const char *name,
		 const struct stat *st)
{
	const struct record *was = find(j, KIND_WAS, root, path);
	char now[CHANGES_DIGEST_TEXT];

	return was && digest_object(dir, name, st, now) == 0 && strcmp(was->digest, now) == 0;
}

bool journal_is_of(const struct journal *j, const char *digest)
{
	return *digest && strcmp(j->digest, digest) == 0;
}

bool journal_has_change(const struct journal *j, const struct change *change, const char *digest)
{
	const struct record *one = find(j, KIND_CHANGE, change->root, change->path);

	return one && strcmp(one->digest, digest) == 0;
}

/* ---- writing ---- */

static int put(struct buf *b, enum kind kind, size_t root, const char *digest, const char *path)
{
	int r = b->len > JOURNAL_MAX - 2 * CHANGES_PATH_MAX ? -E2BIG :
							       buf_printf(b, "%c %zu %s %s", (char)kind, root, digest, path);

	return r < 0 ? r : buf_putc(b, '\0');
}

/* What the merging may stamp, of what is called name in dir, with all that is in it. */
static int put_was(struct buf *b, const struct changes *c, size_t root, const char *path, int dir, const char *name,
		   unsigned depth)
{
	_cleanup_names_ struct names names = { 0 };
	char digest[CHANGES_DIGEST_TEXT];
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	bool is_dir = S_ISDIR(st.st_mode);
	if ((!is_dir && st.st_nlink == 1) || depth > CHANGES_DEPTH_MAX)
		return 0;
	int r = digest_object(dir, name, &st, digest);
	/* Changed by others just now: without a record that is seen. */
	if (r == 0 && (is_dir || !changes_touched(c, root, path, dir, name, &st)))
		r = put(b, KIND_WAS, root, digest, path);
	if (r < 0 || !is_dir)
		return r;
	_cleanup_close_ int fd = tree_open(dir, name, O_RDONLY | O_DIRECTORY);
	/* One that cannot be looked into counts as changed. */
	if (fd == -EACCES)
		return 0;
	r = fd < 0 ? fd : names_read(fd, &names);
	for (size_t i = 0; i < names.n && r == 0; i++) {
		_cleanup_free_ char *below = NULL;
		r = asprintf(&below, "%s/%s", path, names.v[i]) < 0 ? -ENOMEM :
								       put_was(b, c, root, below, fd, names.v[i], depth + 1);
	}
	return r;
}

static int put_change(struct buf *b, const struct changes *c, const struct staging *staging, size_t i, bool reviewed)
{
	const struct change *change = &c->v[i];
	char digest[CHANGES_DIGEST_TEXT];
	const char *name;
	int r = 0;

	if (reviewed && (r = changes_digest_one(c, staging, i, digest)) == 0)
		r = put(b, KIND_CHANGE, change->root, digest, change->path);
	if (r < 0 || change->was.st_mode == 0 || (change->kind == CHANGE_MODE && S_ISDIR(change->was.st_mode)))
		return r;
	_cleanup_close_ int dir = tree_open_parent(c->lower[change->root], change->path, &name);
	/* In what was replaced just now: a conflict, which is seen when it is applied. */
	return dir < 0 ? 0 : put_was(b, c, change->root, change->path, dir, name, 0);
}

static int store(const struct layer *l, const struct buf *b)
{
	_cleanup_close_ int fd = openat(l->dir, NEW_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	for (size_t at = 0; at < b->len;) {
		ssize_t n = write(fd, b->data + at, b->len - at);
		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) < 0 || renameat(l->dir, NEW_NAME, l->dir, NAME) < 0 || fsync(l->dir) < 0 ? -errno : 0;
}

int journal_begin(struct changes *c, const struct staging *staging, const char *digest, struct error *e)
{
	_cleanup_buf_ struct buf b = { 0 };

	int r = buf_puts(&b, digest ? digest : "");
	if (r == 0)
		r = buf_putc(&b, '\0');
	for (size_t i = 0; i < c->n && r == 0; i++) {
		if (c->v[i].selected)
			r = put_change(&b, c, staging, i, digest != NULL);
	}
	if (r == 0)
		r = store(c->layer, &b);
	if (r == 0)
		r = journal_load(c->layer, &c->journal);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, c->layer->id,
				  "nothing was changed: cannot write down what the merging begins with") :
		       0;
}
