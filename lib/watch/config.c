/* SPDX-License-Identifier: Apache-2.0 */
/* Git's configuration, and the list of a rebase: programs have to write them, and some of what is in them executes. Only that
 * is taken out. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/util.h"
#include "watch/internal.h"

#define KEYS_TOLD 16u

int config_begin(struct config *c, int dir, const char *name)
{
	struct stat st;

	int r = object_look(dir, name, &c->seen);
	if (r < 0 || c->seen.kind != OBJECT_FILE)
		return r;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		c->mode = st.st_mode & 0777;
	r = object_read(dir, name, GIT_CONFIG_MAX, &c->text);
	/* One that nobody can read executes nothing either. */
	if (r == -EACCES || r == -ENOENT)
		return 0;
	if (r == 0)
		r = c->read((const char *)c->text.data, c->text.len, &c->keys);
	c->readable = r == 0;
	return r == -EBADMSG ? 0 : r;
}

int config_new(struct config *c, const char *worktree)
{
	_cleanup_buf_ struct buf text = { 0 };
	int r = worktree ? buf_puts(&text, "[core]\nworktree = \"") : 0;

	for (const char *p = worktree; p && *p && r == 0; p++) {
		/* Git writes it so that it stays on its line. */
		if (*p == '"' || *p == '\\' || *p == '\n')
			r = buf_putc(&text, '\\');
		if (r == 0)
			r = buf_putc(&text, *p == '\n' ? 'n' : *p);
	}
	if (r == 0)
		r = buf_printf(&text, "%s[extensions]\nobjectformat = sha256\n", worktree ? "\"\n" : "");
	git_keys_free(&c->keys);
	return r == 0 ? git_config_read((const char *)text.data, text.len, &c->keys) : r;
}

void config_done(struct config *c)
{
	buf_free(&c->text);
	git_keys_free(&c->keys);
}

/* In one step, so that a kill at any point leaves one file or the other. */
static int put_text(int dir, const char *name, mode_t mode, const void *data, size_t len)
{
	char fresh[48];
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return -EIO;
	snprintf(fresh, sizeof(fresh), ".nsbox-config-%016llx", (unsigned long long)number);
	int r = write_new(dir, fresh, mode, data, len);
	if (r == 0 && renameat(dir, fresh, dir, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dir, fresh, 0);
	return r;
}

int config_restore(const struct config *c, int dir, const char *name)
{
	return c->text.len ? put_text(dir, name, c->mode, c->text.data, c->text.len) : 0;
}

/* Another object in its place, or one that cannot be told apart key by key: what was there before comes back. */
static void replace_all(const struct check *c, struct config *config, int dir, const char *dir_path, const char *name)
{
	take_away(c, dir, dir_path, name, config->text.len ? "changed" : "new", config);
	config->seen = (struct object){ 0 };
}

static void take_out(const struct check *c, struct config *config, int dir, const char *dir_path, const char *name,
		     const struct buf *was, const struct buf *left, char *const *keys)
{
	_cleanup_free_ char *path = NULL, *kept = NULL;
	char to[64];

	if (asprintf(&path, "%s/%s", dir_path, name) < 0)
		path = NULL;
	int r = keep_begin(c->keep, name, to, &kept);
	struct watch_found found = { .path = path ? path : name, .what = config->text.len ? "changed" : "new", .kept = kept,
				     .keys = keys };
	c->report(c->arg, &found);
	if (r == 0)
		r = write_new(c->keep->dir, to, 0600, was->data, was->len);
	/* What it was is worth keeping, but not at the price of leaving it. */
	int k = put_text(dir, name, config->mode, left->data, left->len);
	found.failed = k < 0 ? -k : -r;
	if (found.failed)
		c->report(c->arg, &found);
	config->seen = (struct object){ 0 };
}

/* Errors that say something of what is there, and not of this process. */
static bool is_of_the_file(int r)
{
	return r == -EACCES || r == -EFBIG || r == -EISDIR || r == -ELOOP || r == -EAGAIN || r == -ENXIO;
}

void config_check(const struct check *c, struct config *config, int dir, const char *dir_path, const char *name)
{
	_cleanup_buf_ struct buf text = { 0 }, left = { 0 };
	char *keys[KEYS_TOLD + 1] = { 0 };
	struct object now;
	size_t n = 0;

	int r = object_look(dir, name, &now);
	if (r == 0 && (now.kind == OBJECT_MISSING || object_untouched(&config->seen, &now)))
		return;
	if (r == 0 && now.kind == OBJECT_LINK && object_same(&config->seen, &now))
		return;
	const bool settles = r == 0 && object_settles(dir, name, &now);
	if (r == 0)
		r = now.kind == OBJECT_FILE ? object_read(dir, name, GIT_CONFIG_MAX, &text) : -EISDIR;
	if (r == -ENOENT)
		return;
	if (r < 0 && !is_of_the_file(r)) {
		cannot_look(c, dir_path, name, r);
		return;
	}
	if (r == 0 && !config->readable)
		r = text.len == config->text.len && text.len && memcmp(text.data, config->text.data, text.len) == 0 ? 0 : -EBADMSG;
	else if (r == 0)
		r = git_config_filter(config->read, (const char *)text.data, text.len, &config->keys, &left, &n, keys, KEYS_TOLD);
	if (r == -ENOMEM)
		cannot_look(c, dir_path, name, r);
	else if (r < 0)
		replace_all(c, config, dir, dir_path, name);
	else if (n > 0)
		take_out(c, config, dir, dir_path, name, &text, &left, keys);
	else
		config->seen = settles && object_settled(dir, name, &now) ? now : (struct object){ 0 };
	for (size_t i = 0; i < KEYS_TOLD; i++)
		free(keys[i]);
}
