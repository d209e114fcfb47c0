/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. A place is a directory that sandboxes write into, held by descriptor since before the first call,
 * or the .git in it, opened anew each time without following a link. Its entries are names (policy/protect.c) at which
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
#include <linux/magic.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/util.h"
#include "overlay/tree.h"
#include "policy/nested.h"
#include "watch/internal.h"

#define LINKED_MAX (16u << 20) /* bytes of a file with several names that are compared */
#define HOOKS_MAX 64u	       /* names in a new directory of hooks that are looked at */

enum watch_rule {
	RULE_OBJECT, /* the same object as at the beginning, or none */
	RULE_GIT,    /* the same, or a directory that is looked into */
	RULE_HOOKS,  /* the same, or a directory with examples only */
	RULE_CONFIG,
};

struct entry {
	char *name;
	enum watch_rule rule;
	bool always; /* may change without a change of the directory */
	struct object was;
	uint8_t digest[SHA256_DIGEST_SIZE]; /* of a file with several names */
	struct config config;
};

struct place {
	char *path;
	int dir;	   /* -EBADF: .git of the place before it */
	bool local;	   /* its times are this kernel's own */
	struct object seen; /* the directory, when all its names were as they have to be */
	struct entry *entries;
	size_t n;
};

struct watch {
	struct keep keep;
	struct place *places;
	size_t n;
	struct nested_scan nested;
};

static const struct {
	const char *name;
	enum watch_rule rule;
} in_git[] = {
	{ "hooks", RULE_HOOKS },	 { "config", RULE_CONFIG }, { "config.worktree", RULE_CONFIG },
	{ "commondir", RULE_OBJECT }, { "gitdir", RULE_OBJECT },
};

static int is_local(int dir, bool *ret)
{
	static const unsigned long known[] = { EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, TMPFS_MAGIC,
					       F2FS_SUPER_MAGIC };
	struct statfs fs;

	if (fstatfs(dir, &fs) < 0)
		return -errno;
	*ret = false;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		*ret |= (unsigned long)fs.f_type == known[i];
	return 0;
}

/* Of a file with several names, which somebody may write through another one. */
static int digest_of(int dir, const char *name, uint8_t ret[SHA256_DIGEST_SIZE])
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
	if (digest_of(dir, entry->name, digest) < 0 || memcmp(digest, entry->digest, sizeof(digest)) != 0)
		return false;
	entry->was = *now;
	return true;
}

static void check_entry(const struct check *c, const struct place *p, int dir, struct entry *entry)
{
	struct object now;

	if (entry->rule == RULE_CONFIG) {
		config_check(c, &entry->config, dir, p->path, entry->name);
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
	if (still_the_same(entry, dir, &now))
		return;
	bool directory = now.kind == OBJECT_DIRECTORY;
	if (entry->rule == RULE_GIT && directory)
		return;
	if (entry->rule == RULE_HOOKS && directory && entry->was.kind == OBJECT_MISSING && only_examples(dir, entry->name)) {
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

/* -ENOENT: there is none, or what is there is no directory and looked at as such. */
static int open_git(int dir)
{
	int git = openat(dir, ".git", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return git >= 0 ? git : errno == ENOTDIR || errno == ELOOP ? -ENOENT : -errno;
}

void watch_check(struct watch *w, watch_report report, void *arg)
{
	const struct check c = { .keep = &w->keep, .report = report, .arg = arg };

	for (size_t i = 0; i < w->n; i++) {
		struct place *p = &w->places[i];
		_cleanup_close_ int git = p->dir < 0 ? open_git(w->places[i - 1].dir) : -EBADF;
		if (p->dir >= 0 || git >= 0)
			check_place(&c, p, p->dir >= 0 ? p->dir : git);
		else if (git != -ENOENT)
			cannot_look(&c, w->places[i - 1].path, ".git", git);
	}
}

static int add_entry(const struct policy *policy, struct place *p, int dir, const char *name, enum watch_rule rule)
{
	_cleanup_free_ char *path = NULL;
	bool mounted;

	if (asprintf(&path, "%s/%s", p->path, name) < 0)
		return -ENOMEM;
	if (!policy_watches(policy, path, &mounted))
		return 0;
	struct entry *more = reallocarray(p->entries, p->n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	p->entries = more;
	struct entry *entry = &p->entries[p->n++];
	*entry = (struct entry){ .name = strdup(name), .rule = rule, .always = rule == RULE_CONFIG,
				 .config = { .readable = true, .mode = 0644 } };
	if (!entry->name)
		return -ENOMEM;
	if (dir < 0)
		return 0;
	if (rule == RULE_CONFIG) {
		int k = config_begin(&entry->config, dir, name);
		/* Then any other bytes are a change. */
		return k == -EFBIG && mounted ? 0 : k;
	}
	int r = object_look(dir, name, &entry->was);
	if (r == 0 && entry->was.kind == OBJECT_FILE && entry->was.nlink > 1) {
		entry->always = true;
		r = digest_of(dir, name, entry->digest);
	}
	return r;
}

static void place_done(struct place *p)
{
	for (size_t k = 0; k < p->n; k++) {
		free(p->entries[k].name);
		config_done(&p->entries[k].config);
	}
	free(p->entries);
	free(p->path);
	fd_close(p->dir);
}

static struct place *add_place(struct watch *w, const char *path, int dir)
{
	struct place *more = reallocarray(w->places, w->n + 1, sizeof(*more));

	if (!more)
		return NULL;
	w->places = more;
	w->places[w->n] = (struct place){ .path = strdup(path), .dir = dir };
	return w->places[w->n].path ? &w->places[w->n++] : NULL;
}

static int add_git_entries(const struct policy *policy, struct place *p, int dir)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(in_git) && r == 0; i++)
		r = add_entry(policy, p, dir, in_git[i].name, in_git[i].rule);
	return r;
}

/* .git of the last place. */
static int add_git(const struct policy *policy, struct watch *w)
{
	_cleanup_free_ char *path = NULL;

	_cleanup_close_ int git = open_git(w->places[w->n - 1].dir);
	if (git < 0 && git != -ENOENT)
		return git;
	if (asprintf(&path, "%s/.git", w->places[w->n - 1].path) < 0)
		return -ENOMEM;
	struct place *p = add_place(w, path, -EBADF);
	if (!p)
		return -ENOMEM;
	p->local = w->places[w->n - 2].local;
	return add_git_entries(policy, p, git);
}

/* Takes the descriptor over. */
static int add_dir(const struct policy *policy, struct watch *w, const char *path, int fd)
{
	struct object head;
	struct place *p = add_place(w, path, fd);

	if (!p) {
		fd_close(fd);
		return -ENOMEM;
	}
	int r = is_local(fd, &p->local);
	for (size_t i = 0; policy_protected_name(i) && r == 0; i++) {
		const char *name = policy_protected_name(i);
		if (!strchr(name, '/'))
			r = add_entry(policy, p, fd, name, RULE_OBJECT);
	}
	if (r == 0)
		r = add_entry(policy, p, fd, ".git", RULE_GIT);
	/* A directory of git itself: a bare one, or that of linked worktrees. */
	if (r == 0 && object_look(fd, "HEAD", &head) == 0 && head.kind == OBJECT_FILE)
		r = add_git_entries(policy, p, fd);
	return r < 0 ? r : add_git(policy, w);
}

static int add_writable(const struct policy *policy, struct watch *w, const struct policy_path *path)
{
	struct stat st;
	_cleanup_close_ int dir = open(path->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0 || fstat(dir, &st) < 0)
		return -errno;
	/* Whoever mounts it finds the same, and says so better. */
	if (st.st_dev != path->dev || st.st_ino != path->ino)
		return -ESTALE;
	return add_dir(policy, w, path->path, TAKE_FD(dir));
}

struct nested {
	const struct policy *policy;
	struct watch *w;
};

static bool has_place(const struct watch *w, const char *path)
{
	for (size_t i = 0; i < w->n; i++) {
		if (strcmp(w->places[i].path, path) == 0)
			return true;
	}
	return false;
}

static int add_git_dir(const struct policy *policy, struct watch *w, const char *path, int fd)
{
	struct place *p = add_place(w, path, fd);

	if (!p) {
		fd_close(fd);
		return -ENOMEM;
	}
	int r = is_local(fd, &p->local);
	return r < 0 ? r : add_git_entries(policy, p, fd);
}

/* An earlier call could have made one that cannot be looked at, so that is no reason to refuse the start. */
static int add_nested(void *arg, const char *path, bool git_dir)
{
	const struct nested *n = arg;
	size_t before = n->w->n;

	if (has_place(n->w, path))
		return 0;
	int fd = tree_open_host(path);
	int r = fd < 0 ? fd : git_dir ? add_git_dir(n->policy, n->w, path, fd) : add_dir(n->policy, n->w, path, fd);
	if (r < 0 && !nested_look_failed(-r)) {
		while (n->w->n > before)
			place_done(&n->w->places[--n->w->n]);
		n->w->nested.cut = true;
		return 0;
	}
	return r;
}

/* Behind the writable directories, which have their places then. */
static int add_all_nested(const struct policy *policy, struct watch *w, struct error *e)
{
	struct nested nested = { policy, w };
	size_t n;
	const struct policy_path *paths = policy_paths(policy, &n);
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (paths[i].kind == PATH_WRITE && paths[i].is_dir)
			r = nested_each(&w->nested, paths[i].path, add_nested, &nested);
	}
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_INTERNAL, "watch", "cannot look for repositories below the workspace") : 0;
}

bool watch_is_cut(const struct watch *w)
{
	return w->nested.cut;
}

static bool has_entry(const struct watch *w, const char *path)
{
	for (size_t i = 0; i < w->n; i++) {
		size_t len = strlen(w->places[i].path);
		for (size_t k = 0; k < w->places[i].n && strncmp(path, w->places[i].path, len) == 0 && path[len] == '/'; k++) {
			if (strcmp(path + len + 1, w->places[i].entries[k].name) == 0)
				return true;
		}
	}
	return false;
}

/* A mount keeps one name of a file from being written, not its others. */
static int add_linked(const struct policy *policy, struct watch *w, const struct policy_path *path)
{
	struct object now;
	const char *name = strrchr(path->path, '/') + 1;
	_cleanup_free_ char *parent = strndup(path->path, (size_t)(name - 1 - path->path));
	_cleanup_close_ int dir = parent ? open(*parent ? parent : "/", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -EBADF;

	if (!parent || dir < 0)
		return parent ? -errno : -ENOMEM;
	int r = object_look(dir, name, &now);
	if (r < 0 || now.kind != OBJECT_FILE || now.nlink < 2 || has_entry(w, path->path))
		return r;
	struct place *p = add_place(w, parent, dir);
	if (!p)
		return -ENOMEM;
	int fd = TAKE_FD(dir);
	return add_entry(policy, p, fd, name, RULE_OBJECT);
}

static int look_failed(const struct policy_path *path, int r, struct error *e)
{
	if (r == -EFBIG)
		return fail(e, EFBIG, SANDBOX_STAGE_POLICY, path->path,
			    "in %s a configuration of git is over %u KiB, or a protected file of several names is over %u MiB: "
			    "keep it from being written with --protect FILE, or give the file one name",
			    path->path, GIT_CONFIG_MAX >> 10, LINKED_MAX >> 20);
	return fail_errno(e, -r, SANDBOX_STAGE_POLICY, path->path, "cannot look at what the host would execute in %s",
			  path->path);
}

static int add_all(const struct policy *p, struct watch *w, struct error *e)
{
	size_t n, n_dirs = 0;
	const struct policy_path *paths = policy_paths(p, &n);
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (paths[i].kind == PATH_WRITE && paths[i].is_dir && ++n_dirs > WATCH_DIRS_MAX)
			return fail(e, E2BIG, SANDBOX_STAGE_POLICY, paths[i].path,
				    "more than %u writable directories cannot be watched for what the host would execute: "
				    "name one above them, or fewer", WATCH_DIRS_MAX);
		if (paths[i].kind == PATH_WRITE && paths[i].is_dir)
			r = add_writable(p, w, &paths[i]);
		/* These come behind the directories. */
		else if (paths[i].kind == PATH_PROTECT && !paths[i].is_dir && n_dirs)
			r = add_linked(p, w, &paths[i]);
		if (r < 0)
			return look_failed(&paths[i], r, e);
	}
	return 0;
}

int watch_new(const struct policy *p, int state, const char *id, struct watch **ret, struct error *e)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, id, "out of memory");
	w->keep = (struct keep){ .state = -EBADF, .dir = -EBADF, .id = id };
	int r = add_all(p, w, e);
	if (r == 0)
		r = add_all_nested(p, w, e);
	if (r == 0 && w->n && (w->keep.state = fcntl(state, F_DUPFD_CLOEXEC, 3)) < 0)
		r = fail_errno(e, errno, SANDBOX_STAGE_INTERNAL, id, "cannot keep the state directory open");
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
	fd_close(w->keep.state);
	fd_close(w->keep.dir);
	free(w);
}
