/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a call was granted of the sandbox's files, as the rules of one more Landlock layer. A rule holds for everything
 * below its path and others can only add to it. What a grant takes away below a path that it gives is therefore
 * covered by a mount in the call's own mount namespace (namespace/cover.h): hidden, or read-only as a whole.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "confine/landlock.h"
#include "namespace/cover.h"
#include "namespace/plan.h"
#include "policy/grant.h"
#include "supervisor/supervisor.h"

struct rules {
	struct buf *out, *covers;
	uint32_t n, n_covers;
	size_t views_len; /* of covers */
	unsigned execute; /* what goes with reading: LANDLOCK_GRANT_EXECUTE, or nothing where the grant names executables */
};

static int add(struct rules *r, const char *path, unsigned grants)
{
	int e = wire_put_str(r->out, path);
	r->n++;
	return e < 0 ? e : wire_put_u32(r->out, grants);
}

static int add_cover(struct rules *r, enum cover_kind kind, const char *path, struct error *e)
{
	if (path_is_at_or_below(path, "/dev") || !plan_path_ok(path))
		return fail(e, EOPNOTSUPP, SANDBOX_STAGE_MOUNT, path,
			    "%s cannot be hidden from a call or kept read-only for it: every call has its own /dev", path);
	if (++r->n_covers > COVERS_MAX)
		return fail(e, E2BIG, SANDBOX_STAGE_POLICY, path,
			    "a grant can hide, or keep read-only below what it lets write, %u paths at most", COVERS_MAX);
	int k = wire_put_u8(r->covers, (uint8_t)kind);
	if (k == 0)
		k = wire_put_str(r->covers, path);
	if (k < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, path, "out of memory");
	if (r->covers->len > COVERS_MAX_BYTES)
		return fail(e, E2BIG, SANDBOX_STAGE_POLICY, path,
			    "the paths that a grant hides or keeps read-only are together over %u KiB", COVERS_MAX_BYTES / 1024u);
	return 0;
}

static bool is_below(const char *path, const char *dir)
{
	size_t n = strcmp(dir, "/") == 0 ? 0 : strlen(dir);
	return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static bool lies_in(const char *path, const char *dir)
{
	return is_below(path, dir) && strcmp(path, dir) != 0;
}

static bool names_tree(const struct policy_path *path)
{
	return path->kind != PATH_HIDE && path->kind != PATH_PROTECT;
}

/* Level of the longest path of the policy that covers this one. */
static enum grant_level policy_level(const struct policy *p, const char *path)
{
	size_t n, best = 0;
	const struct policy_path *paths = policy_paths(p, &n);
	enum grant_level level = GRANT_NONE;

	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(paths[i].path);
		if (paths[i].kind == PATH_HIDE || paths[i].kind == PATH_PROTECT || !is_below(path, paths[i].path) ||
		    len < best)
			continue;
		best = len;
		level = paths[i].kind == PATH_READ ? GRANT_READ : GRANT_WRITE;
	}
	return level;
}

static enum grant_level level_of(const struct policy *p, const struct grant *g, const char *path)
{
	enum grant_level of_policy = policy_level(p, path), of_grant = grant_path_level(g, path);
	return of_policy < of_grant ? of_policy : of_grant;
}

/* Something below dir is granted less than the policy gives, and a rule on dir would give it back. */
static bool is_cut_below(const struct policy *p, const struct grant *g, const char *dir)
{
	size_t n_policy, n_files;
	const struct policy_path *paths = policy_paths(p, &n_policy);
	const struct grant_path *files = grant_files(g, &n_files);

	for (size_t i = 0; i < n_policy; i++) {
		if (is_below(paths[i].path, dir) && !grant_path_hidden(g, paths[i].path) &&
		    level_of(p, g, paths[i].path) < policy_level(p, paths[i].path))
			return true;
	}
	for (size_t i = 0; i < n_files; i++) {
		if (is_below(files[i].path, dir) && level_of(p, g, files[i].path) < policy_level(p, files[i].path))
			return true;
	}
	return false;
}

/* Missing on some machines, links on others. */
static const struct system_tree {
	const char *path;
	unsigned grants;
	bool needed; /* without it no program starts */
} system_trees[] = {
	{ "/usr", 0, true },  { "/etc", 0, true },   { "/bin", 0, true },   { "/sbin", 0, true },
	{ "/lib", 0, true },  { "/lib32", 0, true }, { "/lib64", 0, true }, { "/libx32", 0, true },
	{ "/opt", 0, false }, { "/sys", 0, false },  { "/run", LANDLOCK_GRANT_WRITE, false },
	{ "/dev/shm", LANDLOCK_GRANT_WRITE, false },
};

/* A grant that gives a workspace in part leaves out what holds that: a rule there would be one for the workspace too.
 * Without a grant: what one has that leaves out nothing. */
static int add_tree(struct rules *r, const struct policy *p, const struct grant *g, const char *path, unsigned grants)
{
	if (g && is_cut_below(p, g, path))
		return 0;
	return add(r, path, LANDLOCK_GRANT_LOOK | LANDLOCK_GRANT_OPTIONAL | r->execute | grants);
}

static int add_system(struct rules *r, const struct policy *p, const struct grant *g)
{
	const unsigned look = LANDLOCK_GRANT_LOOK | LANDLOCK_GRANT_OPTIONAL;
	int k = 0;

	for (const struct system_tree *t = system_trees; t < system_trees + ARRAY_LEN(system_trees) && k == 0; t++)
		k = add_tree(r, p, g, t->path, t->grants);
	if (k == 0)
		k = add(r, "/dev", look | LANDLOCK_GRANT_DEVICE);
	return k < 0 ? k : add(r, "/proc", look | (getuid() != 0 ? LANDLOCK_GRANT_CONTENT : 0));
}

/* Where workspaces usually are. */
static int add_places(struct rules *r, const struct policy *p, const struct grant *g)
{
	char home[PLAN_MAX_PATH + 1];

	plan_home(p, home);
	int k = add_tree(r, p, g, "/tmp", LANDLOCK_GRANT_WRITE);
	if (k == 0)
		k = add_tree(r, p, g, "/var/tmp", LANDLOCK_GRANT_WRITE);
	return k < 0 ? k : add_tree(r, p, g, home, LANDLOCK_GRANT_WRITE);
}

/* Whether the grant leaves out nothing of the system, and what it may not leave out. */
static int check_system(const struct policy *p, const struct grant *g, bool *ret_whole, struct error *e)
{
	*ret_whole = true;
	for (const struct system_tree *t = system_trees; t < system_trees + ARRAY_LEN(system_trees); t++) {
		if (!is_cut_below(p, g, t->path))
			continue;
		*ret_whole = false;
		if (t->needed)
			return fail(e, EOPNOTSUPP, SANDBOX_STAGE_LANDLOCK, t->path,
				    "what a grant narrows cannot lie below %s: use a workspace elsewhere", t->path);
	}
	return 0;
}

int call_paths_base(const struct policy *p, struct buf *ret)
{
	_cleanup_buf_ struct buf paths = { 0 };
	struct rules r = { .out = &paths, .execute = LANDLOCK_GRANT_EXECUTE };

	int k = add_system(&r, p, NULL);
	if (k == 0)
		k = wire_put_u32(ret, r.n);
	return k < 0 ? k : buf_append(ret, paths.data, paths.len);
}

/*
 * The grant gives less here than the rule of what lies above it would. What the policy keeps read-only is mounted so.
 *
 * A level costs a walk over all paths, and a call chooses how many the grant has: here and below one is looked up for the
 * path itself and for the few that it lies in, never for each.
 */
static bool is_cut(const struct policy *p, const struct grant *g, const char *path)
{
	size_t n_policy, n_files;
	const struct policy_path *paths = policy_paths(p, &n_policy);
	const struct grant_path *files = grant_files(g, &n_files);
	enum grant_level here = level_of(p, g, path);
	bool cut = false;

	if (here >= policy_level(p, path))
		return false;
	for (size_t i = 0; i < n_policy && !cut; i++)
		cut = lies_in(path, paths[i].path) && here < level_of(p, g, paths[i].path);
	for (size_t i = 0; i < n_files && !cut; i++)
		cut = lies_in(path, files[i].path) && here < level_of(p, g, files[i].path);
	return cut;
}

/* A cover is for all that lies below, so nothing there can be given back. */
static int check_given_back(const struct policy *p, const struct grant *g, const char *path, enum grant_level level,
			    const char *above, struct error *e)
{
	if (!lies_in(path, above) || level <= level_of(p, g, above) || !is_cut(p, g, above))
		return 0;
	return fail(e, EOPNOTSUPP, SANDBOX_STAGE_LANDLOCK, path,
		    "the grant takes writing away from %s and gives it back below, at %s, which cannot be enforced: name "
		    "what can be written instead",
		    above, path);
}

static int add_path(struct rules *r, const struct policy *p, const struct grant *g, const char *path, struct error *e)
{
	size_t n_policy, n_files;
	const struct policy_path *paths = policy_paths(p, &n_policy);
	const struct grant_path *files = grant_files(g, &n_files);
	enum grant_level level = level_of(p, g, path);
	int k = 0;

	if (grant_path_hidden(g, path))
		return 0;
	for (size_t i = 0; i < n_policy && k == 0; i++)
		k = check_given_back(p, g, path, level, paths[i].path, e);
	for (size_t i = 0; i < n_files && k == 0; i++)
		k = check_given_back(p, g, path, level, files[i].path, e);
	if (k == 0 && is_cut(p, g, path))
		k = add_cover(r, level == GRANT_NONE ? COVER_HIDE : COVER_READ_ONLY, path, e);
	if (k < 0 || level == GRANT_NONE)
		return k;
	k = add(r, path, LANDLOCK_GRANT_LOOK | r->execute | (level == GRANT_WRITE ? LANDLOCK_GRANT_WRITE : 0));
	return k < 0 ? fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, path, "out of memory") : 0;
}

static bool policy_names(const struct policy *p, const char *path)
{
	size_t n;
	const struct policy_path *paths = policy_paths(p, &n);

	for (size_t i = 0; i < n; i++) {
		if (names_tree(&paths[i]) && strcmp(paths[i].path, path) == 0)
			return true;
	}
	return false;
}

static int add_files(struct rules *r, const struct policy *p, const struct grant *g, struct error *e)
{
	size_t n;
	const struct policy_path *paths = policy_paths(p, &n);
	int k = 0;

	for (size_t i = 0; i < n && k == 0; i++) {
		if (names_tree(&paths[i]))
			k = add_path(r, p, g, paths[i].path, e);
	}
	const struct grant_path *files = grant_files(g, &n);
	for (size_t i = 0; i < n && k == 0; i++) {
		if (!policy_names(p, files[i].path))
			k = add_path(r, p, g, files[i].path, e);
	}
	return k;
}

/* The kernel opens the loader of a program for execution too. */
static int add_executables(struct rules *r, const struct grant *g)
{
	static const char *const loaders[] = { "/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1",
					       "/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-aarch64.so.1" };
	size_t n;
	const struct grant_path *execs = grant_execs(g, &n);
	int k = 0;

	for (size_t i = 0; i < n && k == 0; i++)
		k = add(r, execs[i].path, LANDLOCK_GRANT_EXECUTE);
	for (size_t i = 0; i < ARRAY_LEN(loaders) && k == 0; i++)
		k = add(r, loaders[i], LANDLOCK_GRANT_EXECUTE | LANDLOCK_GRANT_OPTIONAL | LANDLOCK_GRANT_FOLLOW);
	return k;
}

/* Last: what is read-only as a whole is mounted before anything is hidden in it. */
static int add_hides(struct rules *r, const struct grant *g, struct error *e)
{
	size_t n;
	const struct grant_path *hides = grant_hides(g, &n);
	int k = 0;

	for (size_t i = 0; i < n && k == 0; i++)
		k = add_cover(r, COVER_HIDE, hides[i].path, e);
	return k;
}

static bool is_writable(const struct policy *p, const struct grant *g, const char *path)
{
	return policy_level(p, path) == GRANT_WRITE && level_of(p, g, path) == GRANT_WRITE;
}

/* A tree that the policy lets be written and the grant does not. What is_cut() says of is covered without this. */
static bool is_sealed(const struct policy *p, const struct grant *g, const struct policy_path *tree)
{
	return names_tree(tree) && policy_level(p, tree->path) == GRANT_WRITE && level_of(p, g, tree->path) < GRANT_WRITE &&
	       !grant_path_hidden(g, tree->path) && !path_is_at_or_below(tree->path, "/dev") && !is_cut(p, g, tree->path);
}

static bool is_below_sealed(const struct policy *p, const struct grant *g, const char *path)
{
	size_t n;
	const struct policy_path *paths = policy_paths(p, &n);
	bool below = false;

	for (size_t i = 0; i < n && !below; i++)
		below = lies_in(path, paths[i].path) && is_sealed(p, g, &paths[i]);
	return below;
}

/* Levels change at what is named only, so nothing else has to be looked at. */
static bool is_below_writable(const struct policy *p, const struct grant *g, const char *path)
{
	size_t n_policy, n_files;
	const struct policy_path *paths = policy_paths(p, &n_policy);
	const struct grant_path *files = grant_files(g, &n_files);
	bool below = false;

	for (size_t i = 0; i < n_policy && !below; i++)
		below = lies_in(path, paths[i].path) && is_writable(p, g, paths[i].path);
	for (size_t i = 0; i < n_files && !below; i++)
		below = lies_in(path, files[i].path) && is_writable(p, g, files[i].path);
	return below;
}

/* What the grant lets be written in a sealed tree, but for what lies in such a place itself. */
static int keep_below_sealed(struct rules *r, const struct policy *p, const struct grant *g, const char *path,
			     struct error *e)
{
	if (!is_writable(p, g, path) || !is_below_sealed(p, g, path) || is_below_writable(p, g, path))
		return 0;
	return add_cover(r, COVER_KEEP, path, e);
}

/* The outermost trees, for what is mounted below is sealed with them; then what can be written in them all the same. */
static int add_seals(struct rules *r, const struct policy *p, const struct grant *g, struct error *e)
{
	size_t n_policy, n_files;
	const struct policy_path *paths = policy_paths(p, &n_policy);
	const struct grant_path *files = grant_files(g, &n_files);
	int k = 0;

	for (size_t i = 0; i < n_policy && k == 0; i++) {
		if (is_sealed(p, g, &paths[i]) && !is_below_sealed(p, g, paths[i].path))
			k = add_cover(r, COVER_READ_ONLY, paths[i].path, e);
	}
	for (size_t i = 0; i < n_policy && k == 0; i++) {
		if (names_tree(&paths[i]))
			k = keep_below_sealed(r, p, g, paths[i].path, e);
	}
	for (size_t i = 0; i < n_files && k == 0; i++) {
		if (!policy_names(p, files[i].path))
			k = keep_below_sealed(r, p, g, files[i].path, e);
	}
	return k;
}

/* In front of the other covers, which lie in what is sealed or kept. */
static int seal(struct rules *r, const struct policy *p, struct start *start, struct error *e)
{
	_cleanup_buf_ struct buf rest = { 0 };

	if (buf_append(&rest, start->covers.data + r->views_len, start->covers.len - r->views_len) < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "grant", "out of memory");
	start->covers.len = r->views_len;
	int k = add_seals(r, p, start->grant, e);
	start->seals_len = start->covers.len;
	if (k == 0 && rest.len > 0 && buf_append(&start->covers, rest.data, rest.len) < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "grant", "out of memory");
	return k;
}

/* What the root plan has mounted writable, but for the overlaid directories, which have views of their own. */
static int add_writable(struct rules *r, const struct policy *p, struct error *e)
{
	size_t n;
	const struct policy_path *paths = policy_paths(p, &n);
	bool named = false;
	int k = 0;

	for (size_t i = 0; i < n && k == 0; i++) {
		named |= names_tree(&paths[i]) && strcmp(paths[i].path, policy_workdir(p)) == 0;
		if ((paths[i].kind == PATH_WRITE || paths[i].kind == PATH_TMPFS) && !path_is_at_or_below(paths[i].path, "/dev"))
			k = add_cover(r, COVER_WRITABLE, paths[i].path, e);
	}
	return k < 0 || named ? k : add_cover(r, COVER_WRITABLE, policy_workdir(p), e);
}

/* First of all: everything else is about what the call sees then. Overlaid directories are numbered as in the plan of
 * the root. */
static int add_views(struct rules *r, const struct policy *p, struct start *start, struct error *e)
{
	const struct policy_path *overlays[POLICY_OVERLAYS_MAX];
	const enum grant_view view = grant_view(start->grant);
	const bool committed = view == GRANT_VIEW_COMMITTED;
	size_t n = policy_overlays(p, overlays);
	char home[PLAN_MAX_PATH + 1];
	int k = 0;

	if (view == GRANT_VIEW_WORKING || n == 0)
		return 0;
	plan_home(p, home);
	const char *const places[] = { "/tmp", "/var/tmp", home };
	for (size_t i = 0; i < ARRAY_LEN(places) && k == 0; i++)
		k = add_cover(r, committed ? COVER_FRESH : COVER_WRITABLE, places[i], e);
	if (k == 0)
		k = add_writable(r, p, e);
	for (size_t i = 0; i < n && k == 0; i++) {
		k = add_cover(r, committed ? COVER_COMMITTED : COVER_SCRATCH, overlays[i]->path, e);
		if (k == 0 && wire_put_u32(r->covers, (uint32_t)i) < 0)
			k = fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "grant", "out of memory");
	}
	r->views_len = start->seals_len = start->covers.len;
	return k;
}

int call_paths(const struct policy *p, struct start *start, struct error *e)
{
	const struct grant *g = start->grant;
	struct rules r = { .out = &start->paths, .covers = &start->covers,
			   .execute = grant_inherits_exec(g) ? LANDLOCK_GRANT_EXECUTE : 0 };

	bool whole;
	int k = add_views(&r, p, start, e);
	if (k < 0 || (grant_inherits_files(g) && grant_inherits_exec(g)))
		return k < 0 ? k : add_hides(&r, g, e);
	k = check_system(p, g, &whole, e);
	if (k < 0)
		return k;
	start->on_base = whole && grant_inherits_exec(g);
	if ((!start->on_base && add_system(&r, p, g) < 0) || add_places(&r, p, g) < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "grant", "out of memory");
	if (!grant_inherits_exec(g) && add_executables(&r, g) < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "grant", "out of memory");
	k = add_files(&r, p, g, e);
	if (k == 0)
		k = add_hides(&r, g, e);
	if (k == 0 && (start->covers.len > 0 || start->flags & START_FULL))
		k = seal(&r, p, start, e);
	start->n_paths = r.n;
	return k;
}
