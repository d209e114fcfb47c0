/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DIR/{workdir}: the part of a directory that belongs to the workdir, by the name that agents give it: the path with a '-' for
 * each character that is no letter or digit of ASCII. So an agent keeps its sessions of this project and sees no others. What
 * is to be written is made when a sandbox is, so that the first session is kept too; never by looking at the policy.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/internal.h"

#define NAME_BYTES_MAX 200u /* longer ones agents cut, each in its own way */

static const char own_part[] = "{workdir}";

bool names_own_place(const char *text)
{
	return strstr(text, own_part);
}

bool is_own_place(const char *text)
{
	size_t n = strlen(text), len = sizeof(own_part) - 1;

	return n > len + 1 && strcmp(text + n - len, own_part) == 0 && text[n - len - 1] == '/' &&
	       strstr(text, own_part) == text + n - len;
}

/* A character of four bytes is two where agents count. */
static int put_name(struct buf *b, const char *workdir)
{
	int r = 0;

	for (const unsigned char *c = (const unsigned char *)workdir; *c && r == 0; c++) {
		bool word = (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
		if (word || *c < 0x80 || *c >= 0xc0)
			r = buf_putc(b, word ? (char)*c : '-');
		if (r == 0 && *c >= 0xf0)
			r = buf_putc(b, '-');
	}
	return r;
}

static int own_place_path(char **path, const char *workdir)
{
	_cleanup_buf_ struct buf b = { 0 };
	size_t dir = strlen(*path) - (sizeof(own_part) - 1);

	int r = buf_append(&b, *path, dir);
	if (r == 0)
		r = put_name(&b, workdir);
	char *name = r == 0 ? strdup(buf_str(&b) ? buf_str(&b) : "") : NULL;
	if (!name)
		return -ENOMEM;
	free(*path);
	*path = name;
	return strlen(name) - dir <= NAME_BYTES_MAX ? 0 : -ENAMETOOLONG;
}

int finish_own_place(struct policy *p, const struct raw_path *raw, char **path, struct error *e)
{
	struct stat st;

	int r = own_place_path(path, p->workdir);
	if (r == -ENOMEM)
		return out_of_memory(e);
	bool there = r == 0 && lstat(*path, &st) == 0;
	/* A link could have been planted where another sandbox was given more. */
	const char *why = r < 0 ? "the path of the workdir is too long for a name" :
			  there && !S_ISDIR(st.st_mode) ? "what is there is no directory" : NULL;
	if (why && !raw->optional)
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, *path, "%s: %s: %s", raw->origin, raw->text, why);
	if (why)
		warn(p, "%s: %s is left out: %s", raw->origin, raw->text, why);
	/* To be written: it will be made. */
	if (why || (!there && raw->kind == PATH_WRITE)) {
		free(*path);
		*path = NULL;
	}
	return 0;
}

/* Not there, and to be made: its path, else NULL in *ret. */
static int missing(const struct policy *p, const struct raw_path *raw, char **ret)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;

	*ret = NULL;
	if (raw->kind != PATH_WRITE || !is_own_place(raw->text))
		return 0;
	int r = absolute_path(p->workdir, raw->text, &path);
	if (r == 0)
		r = own_place_path(&path, p->workdir);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	if (lstat(path, &st) < 0 && errno == ENOENT)
		*ret = TAKE_PTR(path);
	return 0;
}

int dump_own_places(const struct policy *p, struct buf *out)
{
	int r = 0;

	for (size_t i = 0; i < p->n_raw_paths && r == 0; i++) {
		_cleanup_free_ char *path = NULL, *line = NULL;
		r = missing(p, &p->raw_paths[i], &path);
		if (r < 0 || !path)
			continue;
		if (asprintf(&line, "write = %s, made at the start", path) < 0)
			return -ENOMEM;
		r = dump_comment(out, line);
	}
	return r;
}

static int make(struct policy *p, const struct raw_path *raw, const char *path, struct error *e)
{
	_cleanup_object_ struct object parent = { 0 }, at = { 0 };
	_cleanup_free_ char *dir = strndup(path, (size_t)(strrchr(path, '/') - path)), *real = NULL;
	struct error why;

	if (!dir)
		return out_of_memory(e);
	int r = resolve_path(*dir ? dir : "/", &parent, &why);
	/* Without it the agent has never been used here. */
	if (r < 0 && raw->optional)
		return 0;
	if (r < 0)
		return fail(e, -r, SANDBOX_STAGE_POLICY, dir, "%s: write = %s: the directory must exist: %s", raw->origin, raw->text,
			    why.message);
	if (asprintf(&real, "%s%s", parent.path, strrchr(path, '/')) < 0)
		return out_of_memory(e);
	const struct policy_path *now = effective_path(p, real);
	if (now && (now->kind == PATH_HIDE || now->kind == PATH_PROTECT))
		return 0;
	struct policy_path wanted = { .kind = PATH_WRITE, .path = real, .given = (char *)path, .origin = raw->origin };
	r = check_links(p, &wanted, e);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = open(parent.path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || (mkdirat(fd, strrchr(path, '/') + 1, 0700) < 0 && errno != EEXIST))
		return fail_errno(e, errno, SANDBOX_STAGE_POLICY, real, "%s: write = %s: cannot make %s", raw->origin, raw->text, real);
	r = resolve_path(real, &at, e);
	if (r < 0)
		return r;
	if (!at.is_dir || strcmp(at.path, real) != 0)
		return fail(e, ENOTDIR, SANDBOX_STAGE_POLICY, real, "%s: write = %s: %s became something else than a directory",
			    raw->origin, raw->text, real);
	return add_object(p, PATH_WRITE, &at, path, raw->origin, e);
}

int policy_make_own_places(struct policy *p, struct error *e)
{
	size_t before = p->n_paths;
	int r = 0;

	for (size_t i = 0; i < p->n_raw_paths && r == 0; i++) {
		_cleanup_free_ char *path = NULL;
		r = missing(p, &p->raw_paths[i], &path);
		if (r < 0)
			return out_of_memory(e);
		if (path)
			r = make(p, &p->raw_paths[i], path, e);
	}
	if (r == 0 && p->n_paths > before)
		sort_paths(p);
	return r;
}
