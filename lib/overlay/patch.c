/* SPDX-License-Identifier: Apache-2.0 */
/* Writing patches. */
#include "overlay/patch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/util.h"
#include "overlay/lines.h"
#include "overlay/tree.h"

#define FLUSH_AT (256u * 1024u)
/* As git: text has no NUL near its beginning. */
#define LOOK_FOR_NUL 8000u

struct patch {
	const struct changes *c;
	struct buf out;
	int fd;
};

/* One side of a difference; mode 0: nothing is there. */
struct side {
	mode_t mode;
	struct buf content;
	bool binary;
};

/* What was there and what is. */
struct sides {
	struct side v[2];
};

static void sides_free(struct sides *s)
{
	buf_free(&s->v[0].content);
	buf_free(&s->v[1].content);
}

static int flush(struct patch *p, size_t at)
{
	size_t done = 0;

	if (p->out.len < at)
		return 0;
	while (done < p->out.len) {
		ssize_t n = write(p->fd, p->out.data + done, p->out.len - done);
		if (n < 0 && errno == EAGAIN)
			poll(&(struct pollfd){ .fd = p->fd, .events = POLLOUT }, 1, -1);
		else if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	p->out.len = 0;
	return 0;
}

static int load(int dir, const char *path, const struct stat *st, struct side *ret)
{
	ret->mode = st->st_mode;
	if (S_ISLNK(st->st_mode)) {
		char target[PATH_MAX];
		_cleanup_close_ int place = tree_open(dir, path, O_PATH);
		ssize_t n = place < 0 ? -1 : readlinkat(place, "", target, sizeof(target));
		return n < 0 ? 0 : buf_append(&ret->content, target, (size_t)n);
	}
	_cleanup_close_ int fd = st->st_size > (off_t)PATCH_FILE_MAX ? -EFBIG : tree_open(dir, path, O_RDONLY);
	int r = fd < 0 ? fd : buf_reserve(&ret->content, (size_t)st->st_size + 1);
	while (r == 0 && ret->content.len < PATCH_FILE_MAX + 1) {
		r = buf_reserve(&ret->content, 65536);
		ssize_t n = r < 0 ? r : read(fd, ret->content.data + ret->content.len, 65536);
		if (n <= 0)
			break;
		ret->content.len += (size_t)n;
	}
	if (r == -ENOMEM)
		return r;
	size_t look = ret->content.len < LOOK_FOR_NUL ? ret->content.len : LOOK_FOR_NUL;
	ret->binary = r < 0 || ret->content.len > PATCH_FILE_MAX || (look && memchr(ret->content.data, 0, look));
	return 0;
}

/* As git quotes names: only where a byte needs it. */
static int put_name(struct buf *b, const char *prefix, const char *root, const char *path)
{
	_cleanup_buf_ struct buf name = { 0 };
	bool quote = false;

	int r = buf_printf(&name, "%s%s%s%s", prefix, root, *root ? "/" : "", path);
	for (size_t i = 0; i < name.len; i++)
		quote |= name.data[i] < 0x20 || name.data[i] >= 0x7f || name.data[i] == '"' || name.data[i] == '\\';
	if (r < 0 || !quote)
		return r < 0 ? r : buf_append(b, name.data, name.len);
	r = buf_putc(b, '"');
	for (size_t i = 0; i < name.len && r == 0; i++) {
		uint8_t c = name.data[i];
		if (c == '"' || c == '\\')
			r = buf_printf(b, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			r = buf_printf(b, "\\%03o", c);
		else
			r = buf_putc(b, (char)c);
	}
	return r < 0 ? r : buf_putc(b, '"');
}

/* With one root below that, else below /. */
static const char *root_of(const struct patch *p, size_t root)
{
	return p->c->layer->n_roots == 1 ? "" : p->c->layer->roots[root].path + 1;
}

static unsigned git_mode(mode_t mode)
{
	return S_ISLNK(mode) ? 0120000 : mode & 0100 ? 0100755 : 0100644;
}

static int put_modes(struct buf *b, const struct side *v)
{
	if (!v[0].mode)
		return buf_printf(b, "new file mode %o\n", git_mode(v[1].mode));
	if (!v[1].mode)
		return buf_printf(b, "deleted file mode %o\n", git_mode(v[0].mode));
	if (git_mode(v[0].mode) == git_mode(v[1].mode))
		return 0;
	return buf_printf(b, "old mode %o\nnew mode %o\n", git_mode(v[0].mode), git_mode(v[1].mode));
}

static int put_git_line(struct patch *p, size_t root, const char *from, const char *to)
{
	struct buf *b = &p->out;

	int r = buf_puts(b, "diff --git ");
	if (r == 0)
		r = put_name(b, "a/", root_of(p, root), from);
	if (r == 0)
		r = buf_putc(b, ' ');
	if (r == 0)
		r = put_name(b, "b/", root_of(p, root), to);
	return r < 0 ? r : buf_putc(b, '\n');
}

static int put_side_line(struct patch *p, const char *mark, const char *prefix, size_t root, const char *path,
			 bool there)
{
	int r = buf_puts(&p->out, mark);

	if (r == 0)
		r = there ? put_name(&p->out, prefix, root_of(p, root), path) : buf_puts(&p->out, "/dev/null");
	return r < 0 ? r : buf_putc(&p->out, '\n');
}

static int put_difference(struct patch *p, size_t root, const char *path, struct side *v)
{
	struct lines a = { 0 }, b = { 0 };

	int r = put_git_line(p, root, path, path);
	if (r == 0)
		r = put_modes(&p->out, v);
	bool equal = v[0].content.len == v[1].content.len && !v[0].binary && !v[1].binary &&
		     (v[0].content.len == 0 || memcmp(v[0].content.data, v[1].content.data, v[0].content.len) == 0);
	if (r < 0 || equal)
		return r < 0 ? r : flush(p, FLUSH_AT);
	if (v[0].binary || v[1].binary) {
		r = buf_puts(&p->out, "Binary files differ\n");
		return r < 0 ? r : flush(p, FLUSH_AT);
	}
	r = put_side_line(p, "--- ", "a/", root, path, v[0].mode);
	if (r == 0)
		r = put_side_line(p, "+++ ", "b/", root, path, v[1].mode);
	if (r == 0)
		r = lines_split(v[0].content.data, v[0].content.len, &a);
	if (r == 0)
		r = lines_split(v[1].content.data, v[1].content.len, &b);
	if (r == 0)
		r = lines_compare(&a, &b);
	if (r == 0)
		r = lines_hunks(&a, &b, &p->out);
	lines_free(&a);
	lines_free(&b);
	return r < 0 ? r : flush(p, FLUSH_AT);
}

/* A file of the host that goes, or all of a directory that does. */
static int put_gone(struct patch *p, size_t root, int dir, const char *name, const char *path, const struct stat *st,
		    unsigned depth)
{
	_cleanup_names_ struct names names = { 0 };
	int r = 0;

	if (!S_ISDIR(st->st_mode)) {
		_cleanup_(sides_free) struct sides s = { 0 };
		if (!S_ISREG(st->st_mode) && !S_ISLNK(st->st_mode))
			return 0;
		r = load(dir, name, st, &s.v[0]);
		return r < 0 ? r : put_difference(p, root, path, s.v);
	}
	_cleanup_close_ int sub = depth > CHANGES_DEPTH_MAX ? -ELOOP : tree_open(dir, name, O_RDONLY | O_DIRECTORY);
	if (sub < 0 || names_read(sub, &names) < 0)
		return 0;
	for (size_t i = 0; i < names.n && r == 0; i++) {
		_cleanup_buf_ struct buf below = { 0 };
		struct stat in;
		if (fstatat(sub, names.v[i], &in, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		r = buf_printf(&below, "%s/%s", path, names.v[i]);
		if (r == 0)
			r = buf_str(&below) ? put_gone(p, root, sub, names.v[i], buf_str(&below), &in, depth + 1) : -ENOMEM;
	}
	return r;
}

static int put_rename(struct patch *p, const struct change *change)
{
	const char *from = p->c->v[change->other].path, *root = root_of(p, change->root);

	int r = put_git_line(p, change->root, from, change->path);
	if (r == 0)
		r = buf_puts(&p->out, "similarity index 100%\nrename from ");
	if (r == 0)
		r = put_name(&p->out, "", root, from);
	if (r == 0)
		r = buf_puts(&p->out, "\nrename to ");
	if (r == 0)
		r = put_name(&p->out, "", root, change->path);
	return r < 0 ? r : buf_putc(&p->out, '\n');
}

static int put_change(struct patch *p, const struct change *change)
{
	const struct changes *c = p->c;
	_cleanup_(sides_free) struct sides s = { 0 };
	struct side *v = s.v;
	int r = 0;

	if (change->kind == CHANGE_RENAMED && !S_ISDIR(change->now.st_mode))
		return put_rename(p, change);
	/* The other half of that; of a renamed directory both halves are told file by file. */
	if (change->kind == CHANGE_DELETED && change->implied && !S_ISDIR(change->was.st_mode))
		return 0;
	if (change->kind == CHANGE_DELETED || change->kind == CHANGE_TYPE)
		r = put_gone(p, change->root, c->lower[change->root], change->path, change->path, &change->was, 0);
	if (r < 0 || change->kind == CHANGE_DELETED || (!S_ISREG(change->now.st_mode) && !S_ISLNK(change->now.st_mode)))
		return r;
	if (change->was.st_mode && change->kind != CHANGE_TYPE)
		r = load(c->lower[change->root], change->path, &change->was, &v[0]);
	if (r == 0)
		r = load(c->upper[change->root], change->path, &change->now, &v[1]);
	return r < 0 ? r : put_difference(p, change->root, change->path, v);
}

int patch_write(const struct changes *c, int fd, struct error *e)
{
	struct patch p = { .c = c, .fd = fd };
	int r = 0;

	for (size_t i = 0; i < c->n && r == 0; i++) {
		if (c->v[i].selected)
			r = put_change(&p, &c->v[i]);
	}
	if (r == 0)
		r = flush(&p, 1);
	buf_free(&p.out);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, c->layer->id, "cannot write the patch") : 0;
}

bool patch_count(const struct changes *c, const struct change *change, size_t *ret_added, size_t *ret_removed)
{
	_cleanup_(sides_free) struct sides s = { 0 };
	struct side *v = s.v;
	struct lines a = { 0 }, b = { 0 };
	int r = 0;

	*ret_added = *ret_removed = 0;
	if (change->kind == CHANGE_RENAMED || S_ISDIR(change->now.st_mode) || S_ISDIR(change->was.st_mode))
		return true;
	if (change->was.st_mode)
		r = load(c->lower[change->root], change->path, &change->was, &v[0]);
	if (r == 0 && change->now.st_mode)
		r = load(c->upper[change->root], change->path, &change->now, &v[1]);
	if (r < 0 || v[0].binary || v[1].binary)
		return false;
	bool ok = lines_split(v[0].content.data, v[0].content.len, &a) == 0 &&
		  lines_split(v[1].content.data, v[1].content.len, &b) == 0 && lines_compare(&a, &b) == 0;
	if (ok) {
		*ret_removed = lines_changed(&a);
		*ret_added = lines_changed(&b);
	}
	lines_free(&a);
	lines_free(&b);
	return ok;
}
