/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. A place is a directory that sandboxes write into, held by descriptor since before the first call,
 * or one like the .git in it, opened anew each time without following a link. Its entries are names (policy/protect.c) at which
 * the host would execute something, each with the object that was there at the beginning. A check runs in the supervisor,
 * outside of every sandbox, when a call has ended: names that have another object now are moved to the state directory by
 * renaming, which takes whatever is there at that moment, so nothing is decided about one object and done to another. What
 * goes on in other calls meanwhile can put something there again: that is found at the next end, and the last check comes
 * when every process is dead.
 *
 * The cost does not grow with the tree: names appear only with a new time of change of their directory, so where that
 * stands still one system call answers for all names in it.
 */
#include "watch/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "overlay/tree.h"
#include "watch/internal.h"

#define HOOKS_MAX 64u /* names in a new directory of hooks that are looked at */

int digest_of(int dir, const char *name, uint8_t ret[SHA256_DIGEST_SIZE])
{
	_cleanup_buf_ struct buf bytes = { 0 };
	struct sha256_ctx ctx;

	int r = object_read(dir, name, LINKED_MAX, &bytes);
	if (r < 0)
		return r;
	sha256_init(&ctx);
	sha256_update(&ctx, bytes.len, bytes.data);
	sha256_digest(&ctx, SHA256_DIGEST_SIZE, ret);
	return 0;
}

void take_away(const struct check *c, int dir, const char *dir_path, const char *name, const char *what,
	       const struct config *before)
{
	_cleanup_free_ char *path = NULL, *kept = NULL, *elsewhere = NULL;
	char to[64];

	if (asprintf(&path, "%s/%s", dir_path, name) < 0)
		path = NULL;
	keep_begin(c->keep, name, to, &kept);
	elsewhere = kept ? strdup(kept) : NULL;
	struct watch_found found = { .path = path ? path : name, .what = what, .kept = kept,
				     .restored = before && before->text.len };
	c->report(c->arg, &found);
	int r = keep_move(c->keep, dir, dir_path, name, to, &elsewhere);
	/* It lies where nobody was told, or still where it was. */
	bool moved = r == 0 && elsewhere && (!kept || strcmp(elsewhere, kept) != 0);
	if (r == 0 && before)
		r = config_restore(before, dir, name);
	found.failed = -r;
	found.kept = elsewhere;
	if (r < 0 || moved)
		c->report(c->arg, &found);
}

void cannot_look(const struct check *c, const char *dir_path, const char *name, int r)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s", dir_path, name) < 0)
		path = NULL;
	c->report(c->arg, &(struct watch_found){ .path = path ? path : name, .what = "changed", .failed = -r });
}

/* Only regular files *.sample, which git never runs. */
static bool only_examples(int dir, const char *name)
{
	_cleanup_names_ struct names names = { 0 };
	_cleanup_close_ int hooks = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct object o;

	if (hooks < 0 || names_read(hooks, &names) < 0 || names.n > HOOKS_MAX)
		return false;
	for (size_t i = 0; i < names.n; i++) {
		size_t len = strlen(names.v[i]);
		if (len <= 7 || strcmp(names.v[i] + len - 7, ".sample") != 0 || object_look(hooks, names.v[i], &o) < 0 ||
		    o.kind != OBJECT_FILE)
			return false;
	}
	return true;
}

static bool still_the_same(struct entry *entry, int dir, const struct object *now)
{
	uint8_t digest[SHA256_DIGEST_SIZE];

	if (!object_same(&entry->was, now))
		return false;
	if (now->kind != OBJECT_FILE || !entry->always || object_untouched(&entry->was, now))
		return true;
	const bool settles = object_settles(dir, entry->name, now);
	if (digest_of(dir, entry->name, digest) < 0 || memcmp(digest, entry->digest, sizeof(digest)) != 0)
		return false;
	/* Otherwise read each time. */
	if (settles && object_settled(dir, entry->name, now))
		entry->was = *now;
	return true;
}

/* As git looks at it: what it does not need itself may be that of another one. */
static bool is_git_dir(int dir, const struct object *head)
{
	struct object objects, refs, common;

	return head->kind != OBJECT_MISSING && object_look(dir, "objects", &objects) == 0 && object_look(dir, "refs", &refs) == 0 &&
	       object_look(dir, "commondir", &common) == 0 &&
	       (common.kind != OBJECT_MISSING || (objects.kind != OBJECT_MISSING && refs.kind != OBJECT_MISSING));
}

/* true: nothing is left to be said of it. */
static bool is_looked_into(const struct check *c, struct place *p, int dir, struct entry *entry, const struct object *now)
{
	const bool directory = now->kind == OBJECT_DIRECTORY;

	if (entry->rule == RULE_WORKTREES && directory)
		worktrees_check(c, dir, p->path);
	if (entry->rule == RULE_WORKTREES)
		return now->kind != OBJECT_LINK;
	if (entry->rule == RULE_HEAD) {
		p->now_git = !p->was_git && is_git_dir(dir, now);
		return true;
	}
	if (entry->rule == RULE_MODULES && directory)
		entry->always = p->modules = true;
	return directory && (entry->rule == RULE_MODULES || entry->rule == RULE_DIRECTORY || entry->rule == RULE_CHECKOUT);
}

static void check_entry(const struct check *c, struct place *p, int dir, struct entry *entry)
{
	struct object now;

	if (entry->config.read) {
		config_check(c, &entry->config, dir, p->path, entry->name);
		return;
	}
	if (entry->rule == RULE_INDEX) {
		/* How a repository that a call made is hashed another call could change. */
		if (entry->fresh)
			entry->was = (struct object){ 0 };
		index_check(c, (size_t)(p - c->watch->places), &entry->was, dir, p->path);
		return;
	}
	int r = object_look(dir, entry->name, &now);
	if (r < 0) {
		cannot_look(c, p->path, entry->name, r);
		return;
	}
	if (now.kind == OBJECT_MISSING) {
		entry->was = now;
		return;
	}
	if (is_looked_into(c, p, dir, entry, &now) || still_the_same(entry, dir, &now))
		return;
	if (entry->rule == RULE_CHECKOUT) {
		checkout_check(c, p, dir, &now);
		return;
	}
	if (entry->rule == RULE_HOOKS && now.kind == OBJECT_DIRECTORY && entry->was.kind == OBJECT_MISSING &&
	    only_examples(dir, entry->name)) {
		entry->always = true;
		return;
	}
	take_away(c, dir, p->path, entry->name, entry->was.kind == OBJECT_MISSING ? "new" : "changed", NULL);
	entry->was = (struct object){ 0 };
}

static void check_place(const struct check *c, struct place *p, int dir)
{
	struct object now = { 0 };

	/* Before the names: what changes from here on has a later time. */
	bool still = object_look(dir, "", &now) == 0 && p->local && object_untouched(&p->seen, &now);
	/* A call may have closed what belongs to its user, and open it for the next. */
	if (!(now.mode & 0100))
		tree_chmod(dir, now.mode | 0700);
	p->seen = now;
	for (size_t i = 0; i < p->n; i++) {
		if (!still || p->entries[i].always)
			check_entry(c, p, dir, &p->entries[i]);
	}
}

int place_open(const struct watch *w, size_t i)
{
	const struct place *p = &w->places[i], *parent = &w->places[p->parent];
	_cleanup_close_ int opened = parent->dir < 0 ? place_open(w, p->parent) : -EBADF;

	if (parent->dir < 0 && opened < 0)
		return opened;
	const char *name = p->path + strlen(parent->path) + 1;
	const int from = parent->dir < 0 ? opened : parent->dir, flags = O_PATH | O_DIRECTORY;
	int fd = strchr(name, '/') ? tree_open(from, name, flags) : openat(from, name, flags | O_NOFOLLOW | O_CLOEXEC);
	fd = fd == -1 ? -errno : fd;
	return fd == -ENOTDIR || fd == -ELOOP ? -ENOENT : fd;
}

/* A call may have closed what leads to it, too. */
static int open_up(const struct watch *w, size_t i)
{
	const struct place *p = &w->places[i], *parent = &w->places[p->parent];
	_cleanup_close_ int at = parent->dir < 0 ? place_open(w, p->parent) : fcntl(parent->dir, F_DUPFD_CLOEXEC, 3);
	_cleanup_free_ char *way = strdup(p->path + strlen(parent->path) + 1);
	char *rest = way, *name;

	while (at >= 0 && (name = strsep(&rest, "/"))) {
		int next = tree_open_up(at, name);
		fd_close(at);
		at = next;
	}
	return !way ? -ENOMEM : at == -ENOTDIR || at == -ELOOP ? -ENOENT : TAKE_FD(at);
}

static void check_at(const struct check *c, size_t i)
{
	struct watch *w = c->watch;
	struct place *p = &w->places[i];
	_cleanup_close_ int opened = p->dir < 0 ? place_open(w, i) : -EBADF;

	if (opened == -EACCES)
		opened = open_up(w, i);
	if (p->dir >= 0 || opened >= 0)
		check_place(c, p, p->dir >= 0 ? p->dir : opened);
	else if (opened != -ENOENT)
		cannot_look(c, w->places[p->parent].path, strrchr(p->path, '/') + 1, opened);
}

static void check_again(const struct check *c, size_t i)
{
	if (!c->watch->places[i].now_git)
		return;
	int r = places_git(c->watch, i);
	if (r < 0)
		cannot_look(c, c->watch->places[i].path, "HEAD", r);
	check_at(c, i);
}

static void find_modules(const struct check *c, size_t i)
{
	if (!c->watch->places[i].modules)
		return;
	c->watch->places[i].modules = false;
	modules_check(c, i);
}

/* What a look finds is looked at in the same check. Modules come last, since a submodule that names its own says what is
 * to be in there. */
void watch_check(struct watch *w, watch_report report, void *arg)
{
	const struct check c = { .watch = w, .keep = &w->keep, .report = report, .arg = arg };

	for (size_t i = 0, k = 0; i < w->n || k < w->n;) {
		const size_t at = i < w->n ? i : k;
		if (i < w->n) {
			check_at(&c, i);
			check_again(&c, i++);
		} else {
			find_modules(&c, k++);
		}
		int r = submodules_take(w, true);
		if (r < 0)
			cannot_look(&c, w->places[at].path, "modules", r);
	}
}

bool watch_is_cut(const struct watch *w)
{
	return w->nested.levels.cut || w->skipped;
}

int watch_new(const struct policy *p, int state, const char *id, struct watch **ret, struct error *e)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, id, "out of memory");
	w->policy = p;
	w->keep = (struct keep){ .state = fcntl(state, F_DUPFD_CLOEXEC, 3), .dir = -EBADF, .id = id };
	int r = w->keep.state < 0 ?
			fail_errno(e, errno, SANDBOX_STAGE_INTERNAL, id, "cannot keep the state directory open") :
			places_add(w, e);
	if (r < 0 || !w->n)
		watch_free(w);
	else
		*ret = w;
	return r;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->n; i++)
		place_done(&w->places[i]);
	free(w->places);
	submodules_done(w);
	fd_close(w->keep.state);
	fd_close(w->keep.dir);
	free(w);
}
