/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a grant's paths become: compared, for random sets of them, with what the definitions say when each is looked at
 * with each other; and that many of them are no burden.
 */
#include "grant_fixture.h"
#include "random.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "namespace/cover.h"
#include "supervisor/supervisor.h"

static const char *const names[] = { "a", "a/a", "a/a/a", "a/a/b", "a/b", "a/b/a", "a/b/b", "a-b", "b", "b/a", "b/a/a", "b/b" };

static const char *below_w(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "w/%s", name);
	return path;
}

static int set_up_tree(void **state)
{
	if (setup(state) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (mkdir(in_dir(below_w(names[i])), 0700) < 0)
			return -1;
	}
	return 0;
}

/* All paths that policy and grant name: trees of the policy first, then what only the grant names. */
struct all {
	const struct policy *policy;
	const struct grant *grant;
	const char *path[64];
	const char *named[64]; /* with those that the policy hides or protects */
	const struct policy_path *tree[64];
	size_t n, n_trees, n_named;
};

static void collect(struct all *all)
{
	size_t n, n_files;
	const struct policy_path *paths = policy_paths(all->policy, &n);
	const struct grant_path *files = grant_files(all->grant, &n_files);

	for (size_t i = 0; i < n; i++) {
		all->named[all->n_named++] = paths[i].path;
		if (paths[i].kind == PATH_HIDE || paths[i].kind == PATH_PROTECT)
			continue;
		all->tree[all->n_trees++] = &paths[i];
		all->path[all->n++] = paths[i].path;
	}
	for (size_t i = 0; i < n_files; i++) {
		bool known = false;
		all->named[all->n_named++] = files[i].path;
		for (size_t k = 0; k < all->n_trees; k++)
			known |= strcmp(all->tree[k]->path, files[i].path) == 0;
		if (!known)
			all->path[all->n++] = files[i].path;
	}
	assert_true(all->n_named < 64);
}

static bool lies_in(const char *path, const char *dir)
{
	size_t n = strcmp(dir, "/") == 0 ? 0 : strlen(dir);
	return strncmp(path, dir, n) == 0 && path[n] == '/' && path[n + 1];
}

static enum grant_level policy_level(const struct all *all, const char *path)
{
	const struct policy_path *best = NULL;

	for (size_t i = 0; i < all->n_trees; i++) {
		const char *tree = all->tree[i]->path;
		if ((strcmp(path, tree) == 0 || lies_in(path, tree)) && (!best || strlen(tree) >= strlen(best->path)))
			best = all->tree[i];
	}
	return !best ? GRANT_NONE : best->kind == PATH_READ ? GRANT_READ : GRANT_WRITE;
}

static enum grant_level level(const struct all *all, const char *path)
{
	enum grant_level a = policy_level(all, path), b = grant_path_level(all->grant, path);
	return a < b ? a : b;
}

static bool cut(const struct all *all, const char *path)
{
	bool found = false;

	for (size_t i = 0; i < all->n_named; i++)
		found |= lies_in(path, all->named[i]) && level(all, path) < level(all, all->named[i]) &&
			 level(all, path) < policy_level(all, path);
	return found;
}

static bool given_back(const struct all *all, const char *path)
{
	bool found = false;

	for (size_t i = 0; i < all->n_named; i++)
		found |= lies_in(path, all->named[i]) && level(all, path) > level(all, all->named[i]) && cut(all, all->named[i]);
	return found;
}

static bool writable(const struct all *all, const char *path)
{
	return policy_level(all, path) == GRANT_WRITE && level(all, path) == GRANT_WRITE;
}

static bool sealed(const struct all *all, const char *tree)
{
	return policy_level(all, tree) == GRANT_WRITE && level(all, tree) < GRANT_WRITE && !grant_path_hidden(all->grant, tree) &&
	       !cut(all, tree);
}

static bool below_sealed(const struct all *all, const char *path)
{
	bool found = false;

	for (size_t i = 0; i < all->n_trees; i++)
		found |= lies_in(path, all->tree[i]->path) && sealed(all, all->tree[i]->path);
	return found;
}

/* Of every directory that it lies in, named or not. */
static bool below_writable(const struct all *all, const char *path)
{
	char above[4096];
	char *slash;
	bool found = false;

	snprintf(above, sizeof(above), "%s", path);
	while ((slash = strrchr(above, '/')) && slash != above) {
		*slash = '\0';
		found |= writable(all, above);
	}
	return found;
}

/* False: what it takes away it gives back below. */
static bool defined_covers(const struct all *all, struct buf *out)
{
	_cleanup_buf_ struct buf rest = { 0 };
	size_t n;
	const struct grant_path *hides = grant_hides(all->grant, &n);

	for (size_t i = 0; i < all->n; i++) {
		if (grant_path_hidden(all->grant, all->path[i]))
			continue;
		if (given_back(all, all->path[i]))
			return false;
		if (cut(all, all->path[i]))
			buf_printf(&rest, "%d %s\n", level(all, all->path[i]) == GRANT_NONE ? COVER_HIDE : COVER_READ_ONLY, all->path[i]);
	}
	for (size_t i = 0; i < n; i++)
		buf_printf(&rest, "%d %s\n", COVER_HIDE, hides[i].path);
	for (size_t i = 0; i < all->n_trees && rest.len; i++) {
		if (sealed(all, all->tree[i]->path) && !below_sealed(all, all->tree[i]->path))
			buf_printf(out, "%d %s\n", COVER_READ_ONLY, all->tree[i]->path);
	}
	for (size_t i = 0; i < all->n && rest.len; i++) {
		if (writable(all, all->path[i]) && below_sealed(all, all->path[i]) && !below_writable(all, all->path[i]))
			buf_printf(out, "%d %s\n", COVER_KEEP, all->path[i]);
	}
	buf_append(out, rest.data, rest.len);
	return true;
}

static void read_covers(const struct buf *covers, struct buf *out)
{
	struct wire_reader in = wire_reader(covers->data, covers->len);

	while (!in.bad && !wire_done(&in)) {
		unsigned kind = wire_get_u8(&in);
		_cleanup_free_ char *path = wire_get_str(&in);
		buf_printf(out, "%u %s\n", kind, path);
	}
	assert_true(wire_done(&in));
}

static struct grant *new_grant(void)
{
	struct grant *g;

	assert_int_equal(grant_new(&g), 0);
	return g;
}

static void add(struct grant *g, const char *key, const char *path)
{
	if (grant_set(g, key, path, in_dir("w"), "--flag", &e) < 0)
		fail_msg("%s", e.message);
}

static void start_done(struct start *start)
{
	buf_free(&start->paths);
	buf_free(&start->covers);
	grant_free(start->grant);
}

static void random_sets(void **state)
{
	static const char *const of_policy[] = { "read", "write", "hide", "protect", "tmpfs" };
	static const char *const of_grant[] = { "read", "write", "hide" };
	unsigned refused = 0, covered = 0;
	(void)state;

	for (unsigned round = 0; round < 3000; round++) {
		_cleanup_buf_ struct buf want = { 0 }, got = { 0 };
		struct policy *p = new_policy();
		assert_int_equal(policy_set_workdir(p, in_dir("w"), false, &e), 0);
		for (unsigned i = below(5); i > 0; i--)
			set(p, "filesystem", PICK(of_policy), in_dir(below_w(PICK(names))));
		finish(p);
		struct start start = { .grant = new_grant() };
		if (below(3))
			add(start.grant, of_grant[below(2)], below(2) ? "." : PICK(names));
		for (unsigned i = below(7); i > 0; i--)
			add(start.grant, PICK(of_grant), PICK(names));
		assert_int_equal(grant_finish(start.grant, &e), 0);
		struct all all = { .policy = p, .grant = start.grant };
		collect(&all);
		bool good = grant_inherits_files(start.grant) || defined_covers(&all, &want);
		int r = call_paths(p, &start, &e);
		assert_int_equal(r == 0, good);
		refused += !good;
		if (good && !grant_inherits_files(start.grant)) {
			read_covers(&start.covers, &got);
			if (strcmp(got.len ? buf_str(&got) : "", want.len ? buf_str(&want) : "") != 0)
				fail_msg("round %u\n%s\nnot\n%s", round, got.len ? buf_str(&got) : "", want.len ? buf_str(&want) : "");
			covered += got.len > 0;
		}
		start_done(&start);
		policy_free(p);
	}
	print_message("%u refused, %u with covers\n", refused, covered);
	assert_true(refused > 20 && covered > 500);
}

/* As many as a grant can name: a call may ask for a child with them again and again, and everybody waits meanwhile. */
static void many_paths(void **state)
{
	struct timespec begin, end;
	char path[32];
	(void)state;

	struct policy *p = new_policy();
	assert_int_equal(policy_set_workdir(p, in_dir("w"), false, &e), 0);
	finish(p);
	struct start start = { .grant = new_grant() };
	add(start.grant, "read", ".");
	for (unsigned i = 0; i < GRANT_PATHS_MAX - 1; i++) {
		snprintf(path, sizeof(path), "b/%03u", i);
		assert_int_equal(mkdir(in_dir(below_w(path)), 0700), 0);
		add(start.grant, "write", path);
	}
	assert_int_equal(grant_finish(start.grant, &e), 0);
	/* Of this process, so that a loaded machine changes nothing. */
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	assert_int_equal(call_paths(p, &start, &e), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	double ms = (double)(end.tv_sec - begin.tv_sec) * 1e3 + (double)(end.tv_nsec - begin.tv_nsec) / 1e6;
	print_message("%.1f ms for %u paths\n", ms, GRANT_PATHS_MAX);
	assert_true(ms < 150);
	start_done(&start);
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(random_sets, set_up_tree, teardown),
		cmocka_unit_test_setup_teardown(many_paths, set_up_tree, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
