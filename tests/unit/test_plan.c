/* SPDX-License-Identifier: Apache-2.0 */
/* The root plan: order and pins made from a policy, and a decoder that takes no nonsense. */
#include "base/util.h"
#include "base/wire.h"
#include "namespace/plan.h"
#include "namespace/plan_path.h"
#include "policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char top[64], work[128], hooks[160], git[160], link_path[128];

static int make_tree(void **state)
{
	(void)state;
	strcpy(top, "/tmp/test_plan.XXXXXX");
	if (!mkdtemp(top))
		return -1;
	char real[4096];
	if (!realpath(top, real))
		return -1;
	snprintf(top, sizeof(top), "%.60s", real);
	snprintf(work, sizeof(work), "%s/work", top);
	snprintf(git, sizeof(git), "%s/a", work);
	snprintf(hooks, sizeof(hooks), "%s/a/b", work);
	snprintf(link_path, sizeof(link_path), "%s/link", top);
	return mkdir(work, 0755) < 0 || mkdir(git, 0755) < 0 || mkdir(hooks, 0755) < 0 || symlink(git, link_path) < 0 ? -1 : 0;
}

static int remove_tree(void **state)
{
	(void)state;
	unlink(link_path);
	rmdir(hooks);
	rmdir(git);
	rmdir(work);
	return rmdir(top);
}

static int build(const char *const *sets, struct plan *ret, struct error *e)
{
	_cleanup_buf_ struct buf b = { 0 };
	struct policy *p = NULL;

	assert_int_equal(policy_new(&p), 0);
	int r = policy_set_workdir(p, work, false, e);
	for (; r == 0 && sets && sets[0]; sets += 2)
		r = policy_set(p, "filesystem", sets[0], sets[1], NULL, "test", e);
	if (r == 0)
		r = policy_finish(p, e);
	if (r == 0)
		r = root_plan_build(p, &b, e);
	policy_free(p);
	return r < 0 ? r : plan_decode(b.data, b.len, ret);
}

static long at(const struct plan *plan, enum plan_kind kind, const char *path)
{
	for (size_t i = 0; i < plan->n_steps; i++)
		if (plan->steps[i].kind == kind && strcmp(plan->steps[i].path, path) == 0)
			return (long)i;
	return -1;
}

static void workdir_is_writable_with_its_identity(void **state)
{
	(void)state;
	struct plan plan = { 0 };
	struct error e = { 0 };
	struct stat st;

	assert_int_equal(build(NULL, &plan, &e), 0);
	long i = at(&plan, PLAN_BIND_RW, work);
	assert_true(i >= 0);
	assert_int_equal(stat(work, &st), 0);
	assert_int_equal(plan.steps[i].ino, st.st_ino);
	assert_int_equal(plan.steps[i].dev, st.st_dev);
	assert_true(plan_path_ok(plan.home));
	plan_clear(&plan);
}

static void longer_paths_come_later_and_hide_wins(void **state)
{
	(void)state;
	const char *const sets[] = { "hide", git, "read", hooks, "read", git, NULL };
	struct plan plan = { 0 };
	struct error e = { 0 };

	assert_int_equal(build(sets, &plan, &e), 0);
	long w = at(&plan, PLAN_BIND_RW, work), a = at(&plan, PLAN_BIND_RO, git), b = at(&plan, PLAN_BIND_RO, hooks);
	long hide = at(&plan, PLAN_HIDE, git);
	assert_true(w >= 0 && a > w && b > a && hide > b);
	plan_clear(&plan);
}

static void the_last_of_two_wins(void **state)
{
	(void)state;
	const char *const sets[] = { "write", git, "read", git, NULL };
	struct plan plan = { 0 };
	struct error e = { 0 };

	assert_int_equal(build(sets, &plan, &e), 0);
	assert_true(at(&plan, PLAN_BIND_RO, git) >= 0);
	assert_int_equal(at(&plan, PLAN_BIND_RW, git), -1);
	plan_clear(&plan);
}

static void parents_of_protected_paths_are_pinned(void **state)
{
	(void)state;
	const char *const sets[] = { "protect", hooks, NULL };
	const char *const read_only[] = { "protect", hooks, "read", git, NULL };
	struct plan plan = { 0 };
	struct error e = { 0 };

	assert_int_equal(build(sets, &plan, &e), 0);
	long pin = at(&plan, PLAN_PIN, git), protect = at(&plan, PLAN_PROTECT, hooks);
	assert_true(pin > at(&plan, PLAN_BIND_RW, work) && protect > pin);
	assert_int_equal(at(&plan, PLAN_PIN, work), -1);
	plan_clear(&plan);
	/* In a read-only tree nothing can be renamed. */
	assert_int_equal(build(read_only, &plan, &e), 0);
	assert_int_equal(at(&plan, PLAN_PIN, git), -1);
	plan_clear(&plan);
}

static void links_are_remade(void **state)
{
	(void)state;
	const char *const sets[] = { "read", link_path, NULL };
	struct plan plan = { 0 };
	struct error e = { 0 };

	assert_int_equal(build(sets, &plan, &e), 0);
	long link = at(&plan, PLAN_SYMLINK, link_path);
	assert_true(link > at(&plan, PLAN_BIND_RO, git));
	assert_string_equal(plan.steps[link].target, git);
	plan_clear(&plan);
}

/* Also where one is inside the other: each has its own number in the layer, parents first. */
static void overlays_are_trees_with_numbers(void **state)
{
	(void)state;
	const char *const sets[] = { "overlay", git, "overlay", work, "protect", hooks, NULL };
	struct plan plan = { 0 };
	struct error e = { 0 };
	struct stat st;

	assert_int_equal(build(sets, &plan, &e), 0);
	long outer = at(&plan, PLAN_OVERLAY, work), inner = at(&plan, PLAN_OVERLAY, git);
	assert_true(outer >= 0 && inner > outer);
	assert_int_equal(at(&plan, PLAN_BIND_RW, work), -1);
	assert_int_equal(plan.steps[outer].size, 0);
	assert_int_equal(plan.steps[inner].size, 1);
	assert_int_equal(stat(work, &st), 0);
	assert_int_equal(plan.steps[outer].ino, st.st_ino);
	assert_true(at(&plan, PLAN_PROTECT, hooks) > inner);
	plan_clear(&plan);
}

static void refusals_name_the_path(void **state)
{
	(void)state;
	static const struct {
		const char *key, *value;
		int err;
	} rows[] = { { "read", "/", EINVAL }, { "read", "/proc/self", EINVAL } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *value = rows[i].value;
		const char *const sets[] = { rows[i].key, value, NULL };
		struct plan plan = { 0 };
		struct error e = { 0 };
		int r = build(sets, &plan, &e);
		assert_true(r < 0);
		assert_true(e.message[0] != '\0');
		plan_clear(&plan);
	}
}

static void paths(void **state)
{
	(void)state;
	static const char *const good[] = { "/a", "/a/b", "/a/..b", "/.a", "/a b\n" };
	static const char *const bad[] = { "", "a", "/", "//", "/a/", "/a//b", "/.", "/..", "/a/../b", "/a/." };

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(plan_path_ok(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(plan_path_ok(bad[i]));
	assert_true(path_is_at_or_below("/a/b", "/a"));
	assert_false(path_is_at_or_below("/ab", "/a"));
}

static void put(struct buf *b, unsigned version, const char *home, unsigned n, unsigned kind, const char *path,
		const char *target)
{
	b->len = 0;
	wire_put_u32(b, version);
	wire_put_u8(b, 1);
	wire_put_str(b, home);
	wire_put_u32(b, n);
	wire_put_u8(b, (uint8_t)kind);
	wire_put_str(b, path);
	wire_put_str(b, target);
	wire_put_u64(b, 0);
	wire_put_u64(b, 0);
	wire_put_u8(b, 1);
	wire_put_u64(b, 0);
}

static void broken_plans_are_refused(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf b = { 0 };
	struct plan plan = { 0 };
	static const struct {
		unsigned version;
		const char *home;
		unsigned n, kind;
		const char *path, *target;
	} rows[] = {
		{ 2, "/h", 1, PLAN_BIND_RO, "/a", "" },	    { 1, "h", 1, PLAN_BIND_RO, "/a", "" },
		{ 1, "/h", 2, PLAN_BIND_RO, "/a", "" },	    { 1, "/h", 0, PLAN_BIND_RO, "/a", "" },
		{ 1, "/h", 1, _PLAN_KIND_MAX, "/a", "" },   { 1, "/h", 1, 255, "/a", "" },
		{ 1, "/h", 1, PLAN_BIND_RO, "/a/..", "" },  { 1, "/h", 1, PLAN_BIND_RO, "a", "" },
		{ 1, "/h", 1, PLAN_BIND_RO, "/a", "/b" },   { 1, "/h", 1, PLAN_SYMLINK, "/a", "" },
		{ 1, "/h", 1, PLAN_BIND_RW, "/proc/1", "" }, { 1, "/h", 0xffffffffu, PLAN_BIND_RO, "/a", "" },
	};

	put(&b, 1, "/h", 1, PLAN_BIND_RO, "/a", "");
	assert_int_equal(plan_decode(b.data, b.len, &plan), 0);
	plan_clear(&plan);
	/* Every shorter one is broken too. */
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(plan_decode(b.data, n, &plan), -EPROTO);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		put(&b, rows[i].version, rows[i].home, rows[i].n, rows[i].kind, rows[i].path, rows[i].target);
		assert_int_equal(plan_decode(b.data, b.len, &plan), -EPROTO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths),
		cmocka_unit_test(workdir_is_writable_with_its_identity),
		cmocka_unit_test(longer_paths_come_later_and_hide_wins),
		cmocka_unit_test(the_last_of_two_wins),
		cmocka_unit_test(parents_of_protected_paths_are_pinned),
		cmocka_unit_test(links_are_remade),
		cmocka_unit_test(overlays_are_trees_with_numbers),
		cmocka_unit_test(refusals_name_the_path),
		cmocka_unit_test(broken_plans_are_refused),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
