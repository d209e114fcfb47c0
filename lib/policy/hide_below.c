/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of a built-in profile for all directories of the workspace, as in base.ini: nobody asked for them, so they may
 * neither cost what the tree is large nor refuse a start. All of them are looked for in one walk with bounds, what lies near
 * the top first; where a bound was passed it is said, with the flag that looks through all of it (hide_glob.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "policy/internal.h"
#include "policy/levels.h"

#define NAMES_MAX 4096u
#define IN_ONE_MAX 1024u /* so that one large directory does not use up all of them */
#define DIRS_MAX 256u
#define DEPTH_MAX 16u
#define FOUND_MAX 64u /* each is a mount */

struct below {
	struct policy *p;
	struct levels levels;
	struct found found;
	const char *top; /* "" for the root */
	struct error *e;
};

bool hides_below(const struct raw_path *raw)
{
	return raw->optional && raw->kind == PATH_HIDE && strncmp(raw->text, "**/", 3) == 0 && !strchr(raw->text + 3, '/');
}

/* There to be read and copied, without a secret. */
static bool is_example(const char *name)
{
	static const char *const endings[] = { ".example", ".sample", ".template", ".dist" };
	size_t len = strlen(name);

	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		size_t n = strlen(endings[i]);
		if (len > n && strcmp(name + len - n, endings[i]) == 0)
			return true;
	}
	return false;
}

/* Of others, and large: what tools fetch and git keeps. */
static bool is_left_out(const char *name)
{
	static const char *const names[] = { ".git", ".hg", ".svn", "node_modules", ".venv" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

static const struct raw_path *first_pattern(const struct policy *p)
{
	for (size_t i = 0; i < p->n_raw_paths; i++) {
		if (hides_below(&p->raw_paths[i]))
			return &p->raw_paths[i];
	}
	return NULL;
}

static int found_one(struct below *b, const struct raw_path *raw, const struct level *level, const char *name)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s%s%s", b->top, level->path, *level->path ? "/" : "", name) < 0)
		return out_of_memory(b->e);
	/* No policy holds such a path; an earlier command may have made the name. */
	if (check_path_bytes(path) < 0) {
		b->found.cut = true;
		return 0;
	}
	return hide_found(b->p, raw, path, b->p->workdir, &b->found, b->e);
}

/* item NULL: names without a pattern are asked for, which may be among those of a large directory that were not read. */
static int look(struct below *b, const struct level *level, int dir, const struct dirent *item)
{
	struct stat st;
	int r = 0;

	for (size_t i = 0; i < b->p->n_raw_paths && r == 0; i++) {
		const struct raw_path *raw = &b->p->raw_paths[i];
		const char *name = raw->text + 3;
		if (!hides_below(raw) || is_pattern(name) == !item)
			continue;
		if (item ? fnmatch(name, item->d_name, 0) == 0 && !is_example(item->d_name) :
			   fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			r = found_one(b, raw, level, item ? item->d_name : name);
	}
	return r;
}

static int take_name(void *arg, const struct level *level, int dir, const struct dirent *item)
{
	struct below *b = arg;
	const struct raw_path *first = first_pattern(b->p);
	_cleanup_free_ char *path = NULL;

	if (dir < 0) {
		if (asprintf(&path, "%s/%s", b->top, level->path) < 0)
			return out_of_memory(b->e);
		return hide_closed(b->p, first, path, &b->found, b->e);
	}
	int r = look(b, level, dir, item);
	if (r < 0 || !item || !levels_is_dir(dir, item) || is_left_out(item->d_name))
		return r;
	if (level->depth == DEPTH_MAX) {
		b->levels.cut = true;
		return 0;
	}
	return levels_add(&b->levels, level->path, item->d_name, level->depth + 1);
}

/* By the flag that the warning names. */
static bool looks_through_all(const struct policy *p)
{
	static const char flag[] = "**/.env*";
	size_t n = strlen(p->workdir);

	for (size_t i = 0; i < p->n_raw_paths; i++) {
		const struct raw_path *raw = &p->raw_paths[i];
		bool below = strncmp(raw->text, p->workdir, n) == 0 && raw->text[n] == '/';
		if (raw->kind == PATH_HIDE && !raw->optional && strcmp(raw->text + (below ? n + 1 : 0), flag) == 0)
			return true;
	}
	return false;
}

int hide_below(struct policy *p, struct error *e)
{
	const struct raw_path *first = first_pattern(p);
	struct below b = {
		.p = p,
		.levels = { .names_max = NAMES_MAX, .in_one_max = IN_ONE_MAX, .dirs_max = DIRS_MAX },
		.found.max = FOUND_MAX,
		.top = strcmp(p->workdir, "/") == 0 ? "" : p->workdir,
		.e = e,
	};

	if (!first)
		return 0;
	int r = levels_each(&b.levels, p->workdir, take_name, &b);
	if (b.levels.failed)
		return fail_errno(e, b.levels.failed, SANDBOX_STAGE_POLICY, p->workdir, "%s: hide = %s: cannot look through %s",
				  first->origin, first->text, p->workdir);
	if (r < 0)
		return r == -ENOMEM ? out_of_memory(e) : r;
	if ((b.levels.cut || b.found.cut) && !looks_through_all(p))
		warn(p, "%s: hide = %s: %s was looked through in part (%u names, %u directories, %zu hidden), so what is further "
		     "down may be seen: --hide '**/.env*' looks through all of it", first->origin, first->text, p->workdir,
		     b.levels.names, b.levels.dirs, b.found.n);
	return 0;
}
