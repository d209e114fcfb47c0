/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the configuration of the workspace's git has git run, at the top of the worktree, or read: as the user, or his
 * tools, set it up. Git reads it from more than one file: what is included, and of a linked worktree that of the
 * repository, which may lie elsewhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/git_config.h"
#include "policy/internal.h"

/* Of one repository; they may include one another. */
#define CONFIGS_MAX 16u

struct configured {
	struct policy *p;
	const char *top;
	unsigned configs;
	struct error *e;
};

/* Neither through a link at its end, nor waiting for one that is none. */
static int read_file(const char *path, struct buf *out)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	/* What watches it says so, or it is no configuration. */
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)GIT_CONFIG_MAX)
		return -ENOENT;
	if (buf_reserve(out, (size_t)st.st_size) < 0)
		return -ENOMEM;
	ssize_t n = read(fd, out->data, (size_t)st.st_size);
	if (n < 0)
		return -errno;
	out->len = (size_t)n;
	return 0;
}

/* The first word of a command, where that is a path: what a shell takes from elsewhere is none. */
static int program_of(const char *value, char **ret)
{
	value += strspn(value, "! \t");
	char quote = *value == '"' || *value == '\'' ? *value++ : '\0';
	size_t len = quote ? strcspn(value, (const char[]){ quote, '\0' }) : strcspn(value, " \t\n;&|<>()");

	*ret = NULL;
	if (len && memchr(value, '/', len))
		*ret = strndup(value, len);
	return len && memchr(value, '/', len) && !*ret ? -ENOMEM : 0;
}

static int take_config(struct configured *c, const char *path);

/* Relative to the file that says so, as the name of that was given. */
static int take_include(struct configured *c, const char *config, const char *value)
{
	_cleanup_free_ char *path = NULL, *dir = strndup(config, (size_t)(strrchr(config, '/') - config));

	if (!dir)
		return out_of_memory(c->e);
	if (absolute_path(*dir ? dir : "/", value, &path) < 0)
		return 0;
	int r = protect_target(c->p, path, false, c->e);
	return r < 0 ? r : take_config(c, path);
}

static int take_key(struct configured *c, const char *config, const struct git_key *key)
{
	_cleanup_free_ char *word = NULL, *path = NULL;

	if (!key->value || !*key->value)
		return 0;
	if (strncmp(key->name, "include", 7) == 0)
		return take_include(c, config, key->value);
	bool hooks = strcmp(key->name, "core.hookspath") == 0;
	if (!hooks && program_of(key->value, &word) < 0)
		return out_of_memory(c->e);
	if ((!hooks && !word) || absolute_path(c->top, hooks ? key->value : word, &path) < 0)
		return 0;
	return protect_target(c->p, path, !hooks, c->e);
}

static int take_config(struct configured *c, const char *path)
{
	_cleanup_git_keys_ struct git_keys keys = { 0 };
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_object_ struct object real = { 0 };
	struct error why;

	int r = resolve_path(path, &real, &why);
	if (r == 0)
		r = read_file(real.path, &text);
	if (r < 0)
		return r == -EXDEV || r == -EINVAL ? 0 : protect_look_failed(path, -r, c->e);
	if (c->configs++ >= CONFIGS_MAX)
		return c->configs > CONFIGS_MAX + 1 ? 0 :
		       warn(c->p, "%s: git has more than %u files of configuration; what the others have it execute is not "
			    "protected for it: include fewer, or name it with --protect", c->top, CONFIGS_MAX);
	r = git_config_read((const char *)text.data, text.len, &keys);
	if (r < 0)
		return r == -ENOMEM ? out_of_memory(c->e) : 0;
	for (size_t i = 0; i < keys.n && r == 0; i++)
		r = take_key(c, path, &keys.v[i]);
	return r;
}

static int take_config_in(struct configured *c, const char *dir, const char *name)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		path = NULL;
		return out_of_memory(c->e);
	}
	return take_config(c, path);
}

/* The directory that a file of one line names, against dir; dir itself, or else, when there is no such file. */
static int read_pointer(const char *dir, const char *name, const char *before, const char *otherwise, char **ret)
{
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_free_ char *path = NULL;
	size_t n = strlen(before);

	*ret = NULL;
	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	int r = read_file(path, &text);
	if (r < 0 && !is_unreachable(r))
		return r;
	const char *line = r == 0 ? buf_str(&text) : "";
	if (!line)
		return -ENOMEM;
	if (strncmp(line, before, n) == 0 && line[n]) {
		_cleanup_free_ char *first = strndup(line + n, strcspn(line + n, "\r\n"));
		r = first ? absolute_path(dir, first, ret) : -ENOMEM;
		if (r == 0 || r == -ENOMEM)
			return r;
	}
	*ret = strdup(otherwise ? otherwise : dir);
	return *ret ? 0 : -ENOMEM;
}

int protect_configured(struct policy *p, const char *top, struct error *e)
{
	struct configured c = { .p = p, .top = top, .e = e };
	_cleanup_free_ char *git = NULL, *own = NULL, *common = NULL;

	if (asprintf(&git, "%s/.git", top) < 0) {
		git = NULL;
		return out_of_memory(e);
	}
	int r = read_pointer(top, ".git", "gitdir: ", git, &own);
	if (r == 0)
		r = read_pointer(own, "commondir", "", NULL, &common);
	if (r < 0)
		return r == -ENOMEM ? out_of_memory(e) : protect_look_failed(git, -r, e);
	r = take_config_in(&c, common, "config");
	return r < 0 ? r : take_config_in(&c, own, "config.worktree");
}
