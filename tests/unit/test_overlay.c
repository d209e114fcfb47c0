/* SPDX-License-Identifier: Apache-2.0 */
/* lib/overlay on layers made by hand, as overlayfs writes them and as it never would; on disk and in memory. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/util.h"
#include "overlay/commit.h"
#include "overlay/executed.h"
#include "overlay/tree.h"

#include <cmocka.h>

static const char *const places[] = { "/var/tmp", "/dev/shm" };

/* A layer and what it lies on; the current directory is the one that holds both. */
struct world {
	char dir[64];
	int layers;
	struct layer layer;
	struct changes changes;
};

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static bool holds(const char *path, const char *text)
{
	char have[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, have, sizeof(have));
	fd_close(fd);
	return n == (ssize_t)strlen(text) && memcmp(have, text, strlen(text)) == 0;
}

static bool is_there(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void whiteout(const char *path)
{
	assert_int_equal(mknod(path, S_IFCHR, makedev(0, 0)), 0);
}

#define UP "layers/k3f9x2m1/0/upper/"

/* Below it: a, b, d/x, d/sub/y. False where the file system cannot carry a layer. */
static bool world_make(struct world *w, const char *place)
{
	struct stat st;
	struct error e = { 0 };

	*w = (struct world){ .layer = LAYER_NONE };
	snprintf(w->dir, sizeof(w->dir), "%s/nsbox-overlay-XXXXXX", place);
	if (!mkdtemp(w->dir))
		return false;
	assert_int_equal(chdir(w->dir), 0);
	if (setxattr(".", "user.probe", "x", 1, 0) < 0) {
		rmdir(w->dir);
		return false;
	}
	assert_int_equal(mkdir("low", 0755) | mkdir("low/d", 0755) | mkdir("low/d/sub", 0755) | mkdir("layers", 0700), 0);
	put("low/a", "one\n");
	put("low/b", "two\n");
	put("low/d/x", "x\n");
	put("low/d/sub/y", "y\n");
	w->layers = open("layers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(stat("low", &st), 0);
	snprintf(w->layer.id, sizeof(w->layer.id), "k3f9x2m1");
	w->layer.name = strdup("");
	w->layer.workdir = strdup("/w");
	w->layer.audit = strdup("/log");
	assert_true(asprintf(&w->layer.roots[0].path, "%s/low", w->dir) > 0);
	w->layer.roots[0].dev = st.st_dev;
	w->layer.roots[0].ino = st.st_ino;
	w->layer.n_roots = 1;
	/* Clocks of file systems tick. */
	usleep(20000);
	assert_int_equal(layer_make(w->layers, &w->layer, &e), 0);
	usleep(20000);
	return true;
}

static void world_end(struct world *w)
{
	changes_free(&w->changes);
	layer_close(&w->layer);
	close(w->layers);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(tree_remove(AT_FDCWD, w->dir), 0);
}

static int scan(struct world *w, struct error *e)
{
	changes_free(&w->changes);
	int r = changes_scan(&w->layer, &w->changes, e);
	return r < 0 ? r : changes_select(&w->changes, NULL, e);
}

static const struct change *find(const struct world *w, const char *path)
{
	for (size_t i = 0; i < w->changes.n; i++) {
		if (strcmp(w->changes.v[i].path, path) == 0)
			return &w->changes.v[i];
	}
	return NULL;
}

static int commit(struct world *w, struct error *e)
{
	int r = scan(w, e);
	if (r == 0)
		r = commit_check(&w->changes, false, e);
	if (r == 0)
		r = commit_apply(&w->changes, NULL, e);
	return r < 0 ? r : changes_forget(&w->changes, e);
}

#define ON_EACH(w)                                                                       \
	size_t n_made = 0;                                                               \
	for (size_t place_ = 0; place_ < ARRAY_LEN(places); place_++)                    \
		for (bool made_ = world_make(&(w), places[place_]); made_; made_ = false, n_made++, world_end(&(w)))

static void every_kind_of_change(void **state)
{
	(void)state;
	struct world w;
	struct error e = { 0 };

	ON_EACH(w) {
		put(UP "a", "one\n"); /* copied up and not changed */
		put(UP "b", "changed\n");
		assert_int_equal(mkdir(UP "d", 0700), 0);
		whiteout(UP "d/x");
		whiteout(UP "gone");
		put(UP "d/sub", "a file now\n");
		assert_int_equal(mkdir(UP "new", 0755), 0);
		put(UP "new/in", "in\n");
		assert_int_equal(scan(&w, &e), 0);
		assert_null(find(&w, "a"));
		assert_null(find(&w, "gone"));
		assert_int_equal(find(&w, "b")->kind, CHANGE_MODIFIED);
		assert_int_equal(find(&w, "d")->kind, CHANGE_MODE);
		assert_int_equal(find(&w, "d/x")->kind, CHANGE_DELETED);
		assert_int_equal(find(&w, "d/sub")->kind, CHANGE_TYPE);
		assert_true(find(&w, "new")->implied);
		assert_int_equal(changes_count(&w.changes), 5);
		assert_int_equal(commit(&w, &e), 0);
		assert_true(holds("low/b", "changed\n") && holds("low/d/sub", "a file now\n") && holds("low/new/in", "in\n"));
		assert_false(is_there("low/d/x") || is_there("low/.nsbox-commit-k3f9x2m1"));
		assert_int_equal(scan(&w, &e), 0);
		assert_int_equal(w.changes.n, 0);
	}
	if (n_made == 0)
		skip();
}

/* binpash/try#163: what an opaque directory hides is deleted, in the directories in it too. */
static void opaque_directories_delete(void **state)
{
	(void)state;
	struct world w;
	struct error e = { 0 };
	const char *const part[] = { NULL, NULL };
	char path[128];

	ON_EACH(w) {
		assert_int_equal(mkdir(UP "d", 0755) | mkdir(UP "d/sub", 0755), 0);
		assert_int_equal(setxattr(UP "d", "user.overlay.opaque", "y", 1, 0), 0);
		put(UP "d/new", "new\n");
		assert_int_equal(scan(&w, &e), 0);
		assert_true(find(&w, "d/x")->kind == CHANGE_DELETED && find(&w, "d/sub/y")->kind == CHANGE_DELETED);
		/* One of it first: the rest must not come back, nor be lost. */
		snprintf(path, sizeof(path), "%s/low/d/new", w.dir);
		const char *const only[] = { path, NULL };
		(void)part;
		assert_int_equal(changes_select(&w.changes, only, &e), 0);
		assert_int_equal(commit_apply(&w.changes, NULL, &e), 0);
		assert_int_equal(changes_forget(&w.changes, &e), 0);
		assert_true(is_there("low/d/x") && is_there("low/d/sub/y") && holds("low/d/new", "new\n"));
		assert_int_equal(scan(&w, &e), 0);
		assert_int_equal(w.changes.n, 2);
		assert_int_equal(commit(&w, &e), 0);
		assert_false(is_there("low/d/x") || is_there("low/d/sub/y"));
		assert_true(is_there("low/d/sub") && holds("low/d/new", "new\n"));
	}
	if (n_made == 0)
		skip();
}

static void unknown_marks_are_refused(void **state)
{
	(void)state;
	static const char *const marks[][2] = { { "user.overlay.redirect", "/etc" }, { "user.overlay.metacopy", "" },
						{ "user.overlay.opaque", "x" } };
	struct world w;

	ON_EACH(w) {
		assert_int_equal(mkdir(UP "m", 0755), 0);
		for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
			struct error e = { 0 };
			assert_int_equal(setxattr(UP "m", marks[i][0], marks[i][1], strlen(marks[i][1]), 0), 0);
			assert_int_equal(scan(&w, &e), -EPROTO);
			assert_int_equal(removexattr(UP "m", marks[i][0]), 0);
		}
	}
	if (n_made == 0)
		skip();
}

/* A link in the place of a directory, on the host, between the scan and the writing. */
static void nothing_is_written_through_links(void **state)
{
	(void)state;
	struct world w;

	ON_EACH(w) {
		struct error e = { 0 };
		assert_int_equal(mkdir(UP "d", 0755) | mkdir("outside", 0755), 0);
		put(UP "d/x", "evil\n");
		put(UP "d/new", "evil\n");
		put("outside/x", "x\n");
		assert_int_equal(scan(&w, &e), 0);
		assert_int_equal(rename("low/d", "low/old") | symlink("../outside", "low/d"), 0);
		assert_true(commit_apply(&w.changes, NULL, &e) < 0);
		assert_true(holds("outside/x", "x\n") && !is_there("outside/new"));
		assert_true(holds("low/old/x", "x\n"));
		assert_false(is_there("low/.nsbox-commit-k3f9x2m1"));
	}
	if (n_made == 0)
		skip();
}

/* Changed between the scan and the writing. */
static void late_changes_of_the_host_are_kept(void **state)
{
	(void)state;
	struct world w;

	ON_EACH(w) {
		struct error e = { 0 };
		put(UP "b", "inside\n");
		whiteout(UP "d");
		put(UP "n", "inside\n");
		assert_int_equal(scan(&w, &e), 0);
		assert_int_equal(commit_check(&w.changes, false, &e), 0);
		put("low/b", "host\n");
		assert_int_equal(commit_apply(&w.changes, NULL, &e), -EEXIST);
		assert_true(holds("low/b", "host\n"));
		whiteout("low/w"); /* a change in a directory says nothing about what is in it */
		assert_int_equal(unlink(UP "b") | scan(&w, &e), 0);
		put("low/d/sub/late", "host\n");
		assert_int_equal(commit_apply(&w.changes, NULL, &e), -EEXIST);
		assert_true(holds("low/d/sub/late", "host\n") && holds("low/d/x", "x\n"));
		assert_int_equal(unlink("low/d/sub/late") | unlink(UP "d") | scan(&w, &e), 0);
		assert_int_equal(unlink("low/n"), 0); /* was committed before the conflict */
		assert_int_equal(scan(&w, &e), 0);
		put("low/n", "host\n");
		assert_int_equal(commit_apply(&w.changes, NULL, &e), -EEXIST);
		assert_true(holds("low/n", "host\n"));
	}
	if (n_made == 0)
		skip();
}

static void renames_are_found(void **state)
{
	(void)state;
	struct world w;
	struct error e = { 0 };

	ON_EACH(w) {
		whiteout(UP "a");
		put(UP "moved", "one\n");
		whiteout(UP "d");
		assert_int_equal(mkdir(UP "e", 0755) | mkdir(UP "e/sub", 0755), 0);
		put(UP "e/x", "x\n");
		put(UP "e/sub/y", "y\n");
		assert_int_equal(scan(&w, &e), 0);
		assert_int_equal(find(&w, "moved")->kind, CHANGE_RENAMED);
		assert_string_equal(w.changes.v[find(&w, "moved")->other].path, "a");
		assert_int_equal(find(&w, "e")->kind, CHANGE_RENAMED);
		assert_int_equal(changes_count(&w.changes), 2);
		/* Naming one half takes both. */
		char path[128];
		snprintf(path, sizeof(path), "%s/low/d", w.dir);
		const char *const only[] = { path, NULL };
		assert_int_equal(changes_select(&w.changes, only, &e), 0);
		assert_true(find(&w, "e/sub/y")->selected && find(&w, "d")->selected && !find(&w, "a")->selected);
	}
	if (n_made == 0)
		skip();
}

/* What is in a renamed directory, and what other names of a file say, counts for the one that is shown. */
static void marks_go_along(void **state)
{
	(void)state;
	struct world w;
	struct error e = { 0 };

	ON_EACH(w) {
		whiteout(UP "d");
		assert_int_equal(mkdir(UP ".vscode", 0755) | mkdir(UP ".vscode/sub", 0755), 0);
		put(UP ".vscode/x", "x\n");
		put(UP ".vscode/sub/y", "y\n");
		put(UP "Makefile", "all:\n");
		assert_int_equal(link(UP "Makefile", UP "notes.txt"), 0);
		assert_int_equal(mkdir(UP "bare", 0755) | mkdir(UP "bare/objects", 0755), 0);
		put(UP "bare/HEAD", "ref: x\n");
		assert_int_equal(scan(&w, &e), 0);
		assert_int_equal(find(&w, ".vscode")->kind, CHANGE_RENAMED);
		assert_int_equal(find(&w, ".vscode")->flags, EXECUTED_TOOL);
		assert_int_equal(find(&w, "notes.txt")->flags, EXECUTED_BUILD);
		assert_int_equal(find(&w, "bare/HEAD")->flags, EXECUTED_GIT);
		assert_int_equal(commit(&w, &e), -EPERM);
		assert_false(is_there("low/notes.txt"));
	}
	if (n_made == 0)
		skip();
}

/* A name that a call gives to a file which the host executes: the same file on the host, so it is marked as that is. */
static void links_to_what_is_executed(void **state)
{
	(void)state;
	struct world w;
	struct error e = { 0 };

	ON_EACH(w) {
		put("low/package.json", "{}\n");
		put(UP "package.json", "{}\n");
		assert_int_equal(link(UP "package.json", UP "notes.txt"), 0);
		assert_int_equal(scan(&w, &e), 0);
		assert_int_equal(w.changes.n, 1);
		assert_int_equal(find(&w, "notes.txt")->flags, EXECUTED_BUILD);
	}
	if (n_made == 0)
		skip();
}

static void deep_and_closed_trees_are_removed(void **state)
{
	(void)state;
	char dir[] = "/var/tmp/nsbox-overlay-XXXXXX";

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	for (int i = 0; i < 500; i++) {
		assert_int_equal(mkdir("d", 0700), 0);
		put("f", "x");
		assert_int_equal(chdir("d"), 0);
	}
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(chmod("d/d/d", 0) | symlink("/", "d/root"), 0);
	assert_int_equal(tree_remove(AT_FDCWD, dir), 0);
	assert_false(is_there(dir));
	assert_int_equal(chdir("/"), 0);
}

/* What a kill left under a temporary name is found by its note, whatever its directory begins with. */
static void temporary_names_are_removed(void **state)
{
	static const char *const dirs[] = { "  lead", "\tlead", "7", "d/sub" };
	struct world w;
	(void)state;

	ON_EACH(w) {
		struct error e = { 0 };
		char path[64], note[64];
		assert_int_equal(scan(&w, &e), 0);
		w.layer.call = 1;
		for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
			snprintf(path, sizeof(path), "low/%s", dirs[i]);
			assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
			snprintf(path, sizeof(path), "low/%s/" STAGING_PREFIX "k", dirs[i]);
			snprintf(note, sizeof(note), "0 %s/" STAGING_PREFIX "k", dirs[i]);
			put(path, "left");
			put("layers/k3f9x2m1/placing", note);
			commit_clean(&w.changes);
			assert_false(is_there(path) || is_there("layers/k3f9x2m1/placing"));
		}
	}
}

/* A kill in the middle of replacing a layer loses no layer of a call. */
static void layers_of_calls_are_taken_over(void **state)
{
	struct world w;
	(void)state;

	ON_EACH(w) {
		_cleanup_layer_ struct layer again = LAYER_NONE;
		struct error e = { 0 };
		memcpy(again.id, w.layer.id, sizeof(again.id));
		assert_int_equal(mkdir("layers/.new.k3f9x2m1", 0700) | mkdir("layers/.new.k3f9x2m1/scratch", 0700), 0);
		put("layers/.new.k3f9x2m1/scratch/3", "kept");
		assert_int_equal(layer_begin(w.layers, &again, &e), 0);
		assert_true(holds("layers/k3f9x2m1/scratch/3", "kept"));
		/* Which are which nobody could tell. */
		put("layers/.new.k3f9x2m1/scratch/4", "kept too");
		layer_close(&again);
		memcpy(again.id, w.layer.id, sizeof(again.id));
		assert_int_equal(layer_begin(w.layers, &again, &e), -ENOTEMPTY);
		assert_true(holds("layers/.new.k3f9x2m1/scratch/4", "kept too"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_change),
		cmocka_unit_test(opaque_directories_delete),
		cmocka_unit_test(unknown_marks_are_refused),
		cmocka_unit_test(nothing_is_written_through_links),
		cmocka_unit_test(late_changes_of_the_host_are_kept),
		cmocka_unit_test(renames_are_found),
		cmocka_unit_test(marks_go_along),
		cmocka_unit_test(links_to_what_is_executed),
		cmocka_unit_test(deep_and_closed_trees_are_removed),
		cmocka_unit_test(layers_of_calls_are_taken_over),
		cmocka_unit_test(temporary_names_are_removed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
