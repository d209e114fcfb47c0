/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a call was granted of the sandbox's files, as the rules of one more Landlock layer. A rule holds for everything
 * below its path and others can only add to it. So a grant that takes away something below a path that it gives is
 * refused here: a layer cannot say that, and less than what was asked for is never started.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "confine/landlock.h"
#include "namespace/plan.h"
#include "policy/grant.h"
#include "supervisor/supervisor.h"

struct rules {
	struct buf *out;
	uint32_t n;
	unsigned execute; /* what goes with reading: LANDLOCK_GRANT_EXECUTE, or nothing where the grant names executables */
};

static int add(struct rules *r, const char *path, unsigned grants)
{
	int e = wire_put_str(r->out, path);
	r->n++;
	return e < 0 ? e : wire_put_u32(r->out, grants);
}

static bool is_below(const char *path, const char *dir)
{
	size_t n = strcmp(dir, "/") == 0 ? 0 : strlen(dir);
	return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
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
		if (is_below(paths[i].path, dir) && level_of(p, g, paths[i].path) < policy_level(p, paths[i].path))
			return true;
	}
	for (size_t i = 0; i < n_files; i++) {
		if (is_below(files[i].path, dir) && level_of(p, g, files[i].path) < policy_level(p, files[i].path))
			return true;
	}
	return false;
}

/* Missing on some machines, links on others. */
static int add_system(struct rules *r, const struct policy *p, const struct grant *g, struct error *e)
{
	static const struct {
		const char *path;
		unsigned grants;
		bool needed; /* without it no program starts */
	} trees[] = {
		{ "/usr", 0, true },  { "/etc", 0, true },  { "/bin", 0, true },   { "/sbin", 0, true },
		{ "/lib", 0, true },  { "/lib32", 0, true }, { "/lib64", 0, true }, { "/libx32", 0, true },
		{ "/opt", 0, false }, { "/sys", 0, false }, { "/var/tmp", LANDLOCK_GRANT_WRITE, false },
		{ "/tmp", LANDLOCK_GRANT_WRITE, false },    { "/run", LANDLOCK_GRANT_WRITE, false },
		{ "/dev/shm", LANDLOCK_GRANT_WRITE, false },
	};
	const unsigned look = LANDLOCK_GRANT_LOOK | LANDLOCK_GRANT_OPTIONAL;
	char home[PLAN_MAX_PATH + 1];
	int k = 0;

	/* /tmp or the home directory that hold a workspace which is granted in part only are left out: a rule there would
	 * be one for the workspace too. */
	for (size_t i = 0; i < ARRAY_LEN(trees) && k == 0; i++) {
		bool cut = is_cut_below(p, g, trees[i].path);
		if (cut && trees[i].needed)
			return fail(e, EOPNOTSUPP, SANDBOX_STAGE_LANDLOCK, trees[i].path,
				    "what a grant narrows cannot lie below %s: use a workspace elsewhere", trees[i].path);
		if (!cut)
			k = add(r, trees[i].path, look | r->execute | trees[i].grants);
	}
	if (k == 0)
		k = add(r, "/dev", look | LANDLOCK_GRANT_DEVICE);
	if (k == 0)
		k = add(r, "/proc", look | (getuid() != 0 ? LANDLOCK_GRANT_CONTENT : 0));
	plan_home(p, home);
	if (k == 0 && !is_cut_below(p, g, home))
		k = add(r, home, look | r->execute | LANDLOCK_GRANT_WRITE);
	return k < 0 ? fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "grant", "out of memory") : 0;
}

/* A path at which the grant gives less than the rule of something above it would. */
static int check_nesting(const struct policy *p, const struct grant *g, const char *path, const char *above,
			 struct error *e)
{
	enum grant_level here = level_of(p, g, path), there = level_of(p, g, above);

	/* What the policy itself keeps read-only is mounted so. */
	if (strcmp(path, above) == 0 || !is_below(path, above) || here >= there || here == policy_level(p, path))
		return 0;
	return fail(e, EOPNOTSUPP, SANDBOX_STAGE_LANDLOCK, path,
		    "the grant gives %s and takes away from it below %s, which cannot be enforced: name what is granted "
		    "in %s instead",
		    above, path, above);
}

static int add_path(struct rules *r, const struct policy *p, const struct grant *g, const char *path, struct error *e)
{
	size_t n_policy, n_files;
	const struct policy_path *paths = policy_paths(p, &n_policy);
	const struct grant_path *files = grant_files(g, &n_files);
	enum grant_level level = level_of(p, g, path);
	int k = 0;

	for (size_t i = 0; i < n_policy && k == 0; i++)
		k = check_nesting(p, g, path, paths[i].path, e);
	for (size_t i = 0; i < n_files && k == 0; i++)
		k = check_nesting(p, g, path, files[i].path, e);
	if (k < 0 || level == GRANT_NONE)
		return k;
	k = add(r, path, LANDLOCK_GRANT_LOOK | r->execute | (level == GRANT_WRITE ? LANDLOCK_GRANT_WRITE : 0));
	return k < 0 ? fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, path, "out of memory") : 0;
}

static int add_files(struct rules *r, const struct policy *p, const struct grant *g, struct error *e)
{
	size_t n;
	const struct policy_path *paths = policy_paths(p, &n);
	int k = 0;

	for (size_t i = 0; i < n && k == 0; i++) {
		if (paths[i].kind != PATH_HIDE && paths[i].kind != PATH_PROTECT)
			k = add_path(r, p, g, paths[i].path, e);
	}
	const struct grant_path *files = grant_files(g, &n);
	for (size_t i = 0; i < n && k == 0; i++)
		k = add_path(r, p, g, files[i].path, e);
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

int call_paths(const struct policy *p, const struct grant *g, struct buf *out, uint32_t *ret_n, struct error *e)
{
	struct rules r = { .out = out, .execute = grant_inherits_exec(g) ? LANDLOCK_GRANT_EXECUTE : 0 };
	size_t n;

	*ret_n = 0;
	grant_hides(g, &n);
	if (n > 0)
		return fail(e, EOPNOTSUPP, SANDBOX_STAGE_LANDLOCK, "hide",
			    "hide in a grant is not available in this version: name what is granted with read and write");
	if (grant_inherits_files(g) && grant_inherits_exec(g))
		return 0;
	int k = add_system(&r, p, g, e);
	if (k < 0)
		return k;
	if (!grant_inherits_exec(g) && add_executables(&r, g) < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "grant", "out of memory");
	k = add_files(&r, p, g, e);
	*ret_n = r.n;
	return k;
}
