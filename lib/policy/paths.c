/* SPDX-License-Identifier: Apache-2.0 */
/* From paths as given to objects: canonical path, device and inode, in the order in which they take effect. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/user.h"
#include "policy/internal.h"
#include "policy/key_scan.h"

int check_path_bytes(const char *path)
{
	if (!*path)
		return -EINVAL;
	for (const unsigned char *c = (const unsigned char *)path; *c; c++) {
		if (*c < 0x20 || *c == 0x7f)
			return -EINVAL;
	}
	return 0;
}

static int passwd_home(char **ret)
{
	_cleanup_user_ struct user user = { 0 };

	int r = user_lookup(&user);
	if (r < 0 || !user.home)
		return r < 0 ? r : -ENOENT;
	*ret = TAKE_PTR(user.home);
	return 0;
}

int home_dir(char **ret)
{
	const char *home = getenv("HOME");

	if (!home || home[0] != '/')
		return passwd_home(ret);
	*ret = strdup(home);
	return *ret ? 0 : -ENOMEM;
}

/* Append a path to an absolute one without "." and empty parts; ".." stays, only the kernel can resolve it. */
static int append_clean(struct buf *b, const char *s)
{
	int r = 0;

	while (*s && r == 0) {
		size_t n = strcspn(s, "/");
		if (n && !(n == 1 && s[0] == '.')) {
			r = buf_putc(b, '/');
			if (r == 0)
				r = buf_append(b, s, n);
		}
		s += n + (s[n] == '/');
	}
	return r;
}

/* base NULL: a relative path stays relative (to the workdir, which may not be known yet). */
int absolute_path(const char *base, const char *text, char **ret)
{
	_cleanup_buf_ struct buf b = { 0 };
	_cleanup_free_ char *home = NULL;
	int r = 0;

	if (text[0] == '~' && (text[1] == '/' || !text[1])) {
		r = home_dir(&home);
		base = home;
		text++;
	} else if (text[0] == '/') {
		base = "/";
	} else if (!base) {
		*ret = strdup(text);
		return *ret ? 0 : -ENOMEM;
	}
	if (r == 0)
		r = append_clean(&b, base);
	if (r == 0)
		r = append_clean(&b, text);
	if (r == 0 && b.len == 0)
		r = buf_putc(&b, '/');
	if (r < 0)
		return r;
	if (b.len >= PATH_MAX)
		return -ENAMETOOLONG;
	const char *s = buf_str(&b);
	*ret = s ? strdup(s) : NULL;
	return *ret ? 0 : -ENOMEM;
}

int resolve_path(const char *path, struct object *ret, struct error *e)
{
	char link[64], target[PATH_MAX];
	struct stat st, again = { 0 };
	struct statfs fs;

	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_POLICY, path, "%s", path);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, target, sizeof(target) - 1);
	if (n >= 0)
		target[n] = '\0';
	if (n < 0 || fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0 ||
	    (target[0] == '/' && lstat(target, &again) < 0 && errno != ENOENT))
		return fail_errno(e, errno, SANDBOX_STAGE_POLICY, path, "cannot resolve %s through /proc/self/fd", path);
	/* Deleted, or outside of our root: then the text is not a path to it. */
	if (target[0] != '/' || again.st_dev != st.st_dev || again.st_ino != st.st_ino)
		return fail(e, ENOENT, SANDBOX_STAGE_POLICY, path, "%s was moved or removed while it was looked at", path);
	if (check_path_bytes(target) < 0)
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, path, "%s leads to a path with control bytes", path);
	/* /proc/PID/root and /proc/PID/fd of the host lead out of any sandbox. */
	if (fs.f_type == PROC_SUPER_MAGIC)
		return fail(e, EXDEV, SANDBOX_STAGE_POLICY, path, "%s is in /proc, which a sandbox has of its own", path);
	*ret = (struct object){ strdup(target), st.st_dev, st.st_ino, S_ISDIR(st.st_mode) };
	return ret->path ? 0 : out_of_memory(e);
}

/* Compare with every directory from home up to the root by identity: bind mounts and symlinks do not hide it. */
static bool home_chain_has(const char *home, dev_t dev, ino_t ino)
{
	_cleanup_close_ int fd = open(home, O_PATH | O_CLOEXEC | O_DIRECTORY);
	struct stat st, last = { 0 };

	/* In doubt it is: the question is only asked to refuse or warn. */
	if (fd < 0)
		return errno != ENOENT && errno != ENOTDIR && errno != EACCES;
	for (int depth = 0; fd >= 0 && depth < 256; depth++) {
		if (fstat(fd, &st) < 0)
			return true;
		if (st.st_dev == dev && st.st_ino == ino)
			return true;
		if (depth && st.st_dev == last.st_dev && st.st_ino == last.st_ino)
			return false;
		last = st;
		int up = openat(fd, "..", O_PATH | O_CLOEXEC | O_DIRECTORY);
		close(fd);
		fd = up;
	}
	return true;
}

bool is_home_or_above(dev_t dev, ino_t ino)
{
	_cleanup_free_ char *home = NULL, *pw_home = NULL;

	if (home_dir(&home) == 0 && home_chain_has(home, dev, ino))
		return true;
	/* HOME may be changed by whoever starts us; the user's own is the other place to keep whole. */
	return passwd_home(&pw_home) == 0 && home_chain_has(pw_home, dev, ino);
}

int finish_workdir(struct policy *p, struct error *e)
{
	_cleanup_free_ char *given = p->workdir ? strdup(p->workdir) : getcwd(NULL, 0);
	_cleanup_object_ struct object at = { 0 };

	if (!given)
		return fail_errno(e, errno, SANDBOX_STAGE_POLICY, ".", "cannot find the current directory; use --workdir DIR");
	int r = resolve_path(given, &at, e);
	if (r < 0) {
		struct error why = e ? *e : (struct error){ 0 };
		return fail(e, -r, SANDBOX_STAGE_POLICY, given, "the working directory: %s", why.message);
	}
	if (!at.is_dir)
		return fail(e, ENOTDIR, SANDBOX_STAGE_POLICY, at.path, "the working directory %s is not a directory", at.path);
	if (!p->workdir_force && (strcmp(at.path, "/") == 0 || is_home_or_above(at.dev, at.ino)))
		return fail(e, EPERM, SANDBOX_STAGE_POLICY, at.path,
			    "the working directory %s is the root, the home directory or above it: name a project with "
			    "--workdir DIR, or insist with --workdir-force",
			    at.path);
	free(p->workdir);
	p->workdir = TAKE_PTR(at.path);
	return 0;
}

static struct policy_path *add_path(struct policy *p, const struct raw_path *raw, struct error *e)
{
	struct policy_path *out = grow(&p->paths, &p->n_paths, sizeof(*out), ENTRIES_MAX + 1024, "paths", raw->origin, e);

	if (!out)
		return NULL;
	out->kind = raw->kind;
	out->size = raw->size;
	out->origin = strdup(raw->origin);
	if (!out->origin) {
		out_of_memory(e);
		return NULL;
	}
	return out;
}

int add_object(struct policy *p, enum path_kind kind, const struct object *at, const char *given, const char *origin,
	       struct error *e)
{
	struct policy_path *out = grow(&p->paths, &p->n_paths, sizeof(*out), ENTRIES_MAX + 1024, "paths", origin, e);

	if (!out)
		return -e->err;
	*out = (struct policy_path){ .kind = kind, .path = strdup(at->path), .given = strdup(given), .dev = at->dev,
				     .ino = at->ino, .is_dir = at->is_dir, .origin = strdup(origin) };
	return out->path && out->given && out->origin ? 0 : out_of_memory(e);
}

static const char *const kind_names[] = { "read", "write", "overlay", "hide", "protect", "tmpfs" };

static int finish_tmpfs(struct policy *p, const struct raw_path *raw, const char *given, struct error *e)
{
	static const char *const taken[] = { "/proc", "/sys", "/dev" };
	const char *s = given;

	for (size_t n; *s; s += n + (s[n] == '/')) {
		n = strcspn(s, "/");
		if (n == 2 && s[0] == '.' && s[1] == '.')
			return fail(e, EINVAL, SANDBOX_STAGE_POLICY, given, "%s: tmpfs %s: '..' is not accepted here", raw->origin,
				    given);
	}
	for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
		if (path_below(given, taken[i]) || strcmp(given, "/") == 0)
			return fail(e, EINVAL, SANDBOX_STAGE_POLICY, given, "%s: tmpfs %s: the sandbox has its own there",
				    raw->origin, given);
	}
	struct policy_path *out = add_path(p, raw, e);
	if (!out)
		return -ENOMEM;
	out->path = strdup(given);
	out->given = strdup(given);
	out->is_dir = true;
	return out->path && out->given ? 0 : out_of_memory(e);
}

/* Profiles give configuration, never keys: a file that has one is for the user to name. Nothing inside puts one in. */
static bool gives_key(const char *path, const struct object *at)
{
	struct stat st;

	if (at->is_dir || !is_configuration(path))
		return false;
	_cleanup_close_ int fd = open(at->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 || fstat(fd, &st) < 0 || st.st_dev != at->dev || st.st_ino != at->ino || file_shows_key(fd);
}

static int finish_path(struct policy *p, const struct raw_path *raw, struct error *e)
{
	_cleanup_free_ char *given = NULL;
	_cleanup_object_ struct object at = { 0 };
	struct error why;
	struct stat st;

	int r = absolute_path(p->workdir, raw->text, &given);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_POLICY, raw->text, "%s: %s", raw->origin, raw->text);
	if (raw->kind == PATH_TMPFS)
		return finish_tmpfs(p, raw, given, e);
	if (hides_below(raw))
		return 0;
	if (is_own_place(raw->text) && ((r = finish_own_place(p, raw, &given, e)) < 0 || !given))
		return r;
	if (raw->kind == PATH_HIDE && is_pattern(given) && access(given, F_OK) < 0)
		return hide_matching(p, raw, given, e);
	r = resolve_path(given, &at, &why);
	if (r < 0 && raw->optional)
		return 0;
	if (r < 0)
		return fail(e, -r, SANDBOX_STAGE_POLICY, given, "%s: %s = %s: the path must exist: %s", raw->origin,
			    kind_names[raw->kind], raw->text, why.message);
	if (raw->kind == PATH_HIDE && path_below(given, p->workdir) && hides_too_much(given, &at, p->workdir)) {
		if (!raw->optional)
			return fail(e, EPERM, SANDBOX_STAGE_POLICY, given, "%s: hide = %s is a link to %s: name that itself if it "
				    "is meant", raw->origin, raw->text, at.path);
		warn(p, "%s: %s is a link to %s, which is not hidden for it", raw->origin, raw->text, at.path);
		return 0;
	}
	if (raw->optional && raw->kind == PATH_READ && gives_key(given, &at)) {
		warn(p, "%s: %s is left out, since it may have a key in it; --read %s gives it all the same", raw->origin, raw->text,
		     raw->text);
		return 0;
	}
	if (strcmp(at.path, "/") == 0)
		return fail(e, EPERM, SANDBOX_STAGE_POLICY, at.path, "%s: %s = %s: the root as a whole cannot be named, only "
			    "directories in it", raw->origin, kind_names[raw->kind], raw->text);
	if (raw->kind == PATH_OVERLAY && !at.is_dir)
		return fail(e, ENOTDIR, SANDBOX_STAGE_POLICY, at.path, "%s: overlay = %s: only a directory can be overlaid",
			    raw->origin, raw->text);
	if ((raw->kind == PATH_READ || raw->kind == PATH_WRITE) && at.is_dir && is_home_or_above(at.dev, at.ino))
		warn(p, "%s: %s = %s gives the whole home directory, with every key in it", raw->origin, kind_names[raw->kind],
		     raw->text);
	if ((raw->kind == PATH_WRITE || raw->kind == PATH_OVERLAY) && stat(at.path, &st) == 0 && is_closed(&st))
		return fail(e, EACCES, SANDBOX_STAGE_POLICY, at.path, "%s: %s = %s is closed to its owner, so that what is to be "
			    "protected in it cannot be looked for: chmod u+rx %s", raw->origin, kind_names[raw->kind], raw->text,
			    at.path);
	struct policy_path *out = add_path(p, raw, e);
	if (!out)
		return -ENOMEM;
	out->dev = at.dev;
	out->ino = at.ino;
	out->is_dir = at.is_dir;
	out->given = strdup(strstr(given, "/../") || strcmp(given + strlen(given) - 2, "..") == 0 ? at.path : given);
	out->path = TAKE_PTR(at.path);
	return out->given ? 0 : out_of_memory(e);
}

void paths_free(struct policy_path *paths, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(paths[i].path);
		free(paths[i].given);
		free(paths[i].origin);
	}
	free(paths);
}

static int rank(enum path_kind kind)
{
	return kind == PATH_HIDE ? 2 : kind == PATH_PROTECT ? 1 : 0;
}

static int by_effect(const void *x, const void *y)
{
	const struct policy_path *a = x, *b = y;

	if (rank(a->kind) != rank(b->kind))
		return rank(a->kind) - rank(b->kind);
	return strcmp(a->path, b->path);
}

/* Parents before what lies in them, hide and protect last: the order in which they can be mounted. */
void sort_paths(struct policy *p)
{
	if (p->n_paths)
		qsort(p->paths, p->n_paths, sizeof(*p->paths), by_effect);
}

/* Of several for one path in one rank the last given counts. */
static void drop_shadowed(struct policy *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_paths; i++) {
		bool later = false;
		for (size_t j = i + 1; j < p->n_paths && !later; j++)
			later = rank(p->paths[i].kind) == rank(p->paths[j].kind) &&
				strcmp(p->paths[i].path, p->paths[j].path) == 0;
		if (later) {
			free(p->paths[i].path);
			free(p->paths[i].given);
			free(p->paths[i].origin);
			continue;
		}
		p->paths[n++] = p->paths[i];
	}
	p->n_paths = n;
}

static const struct policy_path *writable_at(const struct policy *p, dev_t dev, ino_t ino)
{
	for (size_t i = 0; i < p->n_paths; i++) {
		const struct policy_path *c = &p->paths[i];
		if ((c->kind == PATH_WRITE || c->kind == PATH_OVERLAY) && c->is_dir && c->dev == dev && c->ino == ino)
			return c;
	}
	return NULL;
}

static bool writable_already(const struct policy *p, const struct policy_path *path)
{
	for (size_t i = 0; i < p->n_paths; i++) {
		const struct policy_path *c = &p->paths[i];
		if (c != path && c->kind == PATH_WRITE && path_below(path->path, c->path))
			return true;
	}
	return false;
}

/*
 * A command of an earlier run may have planted the link: what is named in a directory that sandboxes write into must
 * lie in it. The directory is compared by identity, since its own name may lead through links, which are the user's.
 */
int check_links(const struct policy *p, const struct policy_path *path, struct error *e)
{
	/* What is hidden has been looked at: hides_too_much(). Protecting something else than was named would be no protection. */
	if (strcmp(path->given, path->path) == 0 || path->kind == PATH_TMPFS || path->kind == PATH_HIDE ||
	    writable_already(p, path))
		return 0;
	_cleanup_free_ char *at = strdup(path->given);
	if (!at)
		return out_of_memory(e);
	for (char *slash = strrchr(at, '/'); slash && slash != at; slash = strrchr(at, '/')) {
		struct stat st;
		*slash = '\0';
		const struct policy_path *in = stat(at, &st) == 0 ? writable_at(p, st.st_dev, st.st_ino) : NULL;
		if (in && !path_below(path->path, in->path))
			return fail(e, EPERM, SANDBOX_STAGE_POLICY, path->given,
				    "%s: %s = %s leads out of %s, which commands can write, through a symbolic link to %s; "
				    "name that itself if it is meant",
				    path->origin, kind_names[path->kind], path->given, in->path, path->path);
	}
	return 0;
}

/* What would be written there nobody could see, nor could the directory of its mount be reached. */
static int check_overlay_is_seen(const struct policy *p, const struct policy_path *overlay, struct error *e)
{
	for (size_t i = 0; i < p->n_paths; i++) {
		const struct policy_path *c = &p->paths[i];
		if (c->kind == PATH_HIDE && c->is_dir && strcmp(c->path, overlay->path) != 0 && path_below(overlay->path, c->path))
			return fail(e, EINVAL, SANDBOX_STAGE_POLICY, overlay->path,
				    "%s: overlay = %s lies in %s, which is hidden (%s): hide only what is beside it, or take one of "
				    "both away", overlay->origin, overlay->given, c->given, c->origin);
	}
	return 0;
}

static int check_overlays(const struct policy *p, struct error *e)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_paths; i++) {
		if (p->paths[i].kind != PATH_OVERLAY)
			continue;
		int r = check_overlay_is_seen(p, &p->paths[i], e);
		if (r < 0)
			return r;
		if (++n > POLICY_OVERLAYS_MAX)
			return fail(e, E2BIG, SANDBOX_STAGE_POLICY, p->paths[i].path,
				    "%s: overlay = %s: more than %u overlaid directories", p->paths[i].origin, p->paths[i].given,
				    POLICY_OVERLAYS_MAX);
	}
	return 0;
}

int finish_paths(struct policy *p, struct error *e)
{
	char origin[] = "default";
	struct raw_path workdir = { PATH_WRITE, p->workdir, false, 0, origin };

	int r = finish_path(p, &workdir, e);
	/* Forced onto the root: then only the system's own view is there. */
	if (r == -EPERM && strcmp(p->workdir, "/") == 0)
		r = 0;
	for (size_t i = 0; i < p->n_raw_paths && r == 0; i++)
		r = finish_path(p, &p->raw_paths[i], e);
	if (r == 0)
		r = hide_below(p, e);
	if (r == 0)
		r = add_worktree(p, e);
	for (size_t i = 0; i < p->n_paths && r == 0; i++)
		r = check_links(p, &p->paths[i], e);
	if (r == 0) {
		drop_shadowed(p);
		r = check_overlays(p, e);
	}
	if (r == 0)
		r = add_default_protection(p, e);
	if (r == 0)
		r = hide_credentials(p, e);
	if (r == 0)
		sort_paths(p);
	return r;
}
