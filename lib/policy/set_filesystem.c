/* SPDX-License-Identifier: Apache-2.0 */
/* [filesystem], [env], [limits] and [sandbox]: form of one value, stored unresolved. */
#include <errno.h>
#include <string.h>

#include "policy/internal.h"

static int split_tmpfs(const struct setting *s, char *path, uint64_t *size, struct error *e)
{
	char *colon = strrchr(path, ':');

	*size = 0;
	if (!colon)
		return 0;
	if (parse_size(colon + 1, size) < 0)
		return bad_setting(s, e, EINVAL, "accepted: PATH[:SIZE] with SIZE = digits and K, M, G or T, as in /var/cache:512M");
	*colon = '\0';
	return 0;
}

int set_filesystem(struct policy *p, const struct setting *s, struct error *e)
{
	static const char *const kinds[] = { "read", "write", "overlay", "hide", "protect", "tmpfs" };
	_cleanup_free_ char *text = NULL, *given = strdup(s->value);
	unsigned kind = 0;
	uint64_t size = 0;

	if (!given)
		return out_of_memory(e);
	while (strcmp(s->key, kinds[kind]) != 0)
		kind++;
	if (kind == PATH_TMPFS) {
		int r = split_tmpfs(s, given, &size, e);
		if (r < 0)
			return r;
	}
	if (given[0] == '~' && given[1] && given[1] != '/')
		return bad_setting(s, e, EINVAL, "accepted: a path, absolute, relative, or below ~/ (your own home directory)");
	if (names_own_place(given) && !(is_own_place(given) && (kind == PATH_READ || kind == PATH_WRITE)))
		return bad_setting(s, e, EINVAL, "accepted with {workdir}: read and write of DIR/{workdir}, with nothing behind it");
	int r = absolute_path(s->base, given, &text);
	if (r < 0)
		return bad_setting(s, e, -r, r == -ENAMETOOLONG ? "the path is too long" : "no home directory to put for '~'");
	struct raw_path *path = grow(&p->raw_paths, &p->n_raw_paths, sizeof(*path), ENTRIES_MAX, "paths", s->origin, e);
	if (!path)
		return -e->err;
	*path = (struct raw_path){ (enum path_kind)kind, TAKE_PTR(text), s->from == FROM_BUILTIN, size, strdup(s->origin) };
	return path->origin ? 0 : out_of_memory(e);
}

static int add_env(struct policy *p, const struct setting *s, const char *name, size_t len, const char *value,
		   struct error *e)
{
	struct policy_env *env = NULL;

	if (!variable_name_valid(name, len))
		return bad_setting(s, e, EINVAL, value ? "accepted: NAME=VALUE" : "accepted: NAME[,NAME] of variables");
	for (size_t i = 0; i < p->n_envs && !env; i++) {
		if (strlen(p->envs[i].name) == len && memcmp(p->envs[i].name, name, len) == 0)
			env = &p->envs[i];
	}
	if (!env)
		env = grow(&p->envs, &p->n_envs, sizeof(*env), ENTRIES_MAX, "variables", s->origin, e);
	if (!env)
		return -e->err;
	/* The last one given counts. */
	free(env->name);
	free(env->value);
	free(env->origin);
	env->name = strndup(name, len);
	env->value = value ? strdup(value) : NULL;
	env->origin = strdup(s->origin);
	return env->name && env->origin && (env->value || !value) ? 0 : out_of_memory(e);
}

static int pass_env(struct policy *p, const struct setting *s, const char *item, struct error *e)
{
	return add_env(p, s, item, strlen(item), NULL, e);
}

int set_env(struct policy *p, const struct setting *s, struct error *e)
{
	const char *eq = strchr(s->value, '=');

	if (strcmp(s->key, "pass") == 0)
		return each_in_list(s, e, pass_env, p);
	if (!eq)
		return bad_setting(s, e, EINVAL, "accepted: NAME=VALUE (pass = NAME passes the caller's value on)");
	return add_env(p, s, s->value, (size_t)(eq - s->value), eq + 1, e);
}

int set_limit(struct policy *p, const struct setting *s, struct error *e)
{
	struct policy_limits *l = &p->limits;
	enum limit_key key;
	const char *form;
	int r;

	if (strcmp(s->key, "memory") == 0 || strcmp(s->key, "disk") == 0) {
		key = s->key[0] == 'm' ? LIMIT_MEMORY : LIMIT_DISK;
		r = parse_size(s->value, key == LIMIT_MEMORY ? &l->memory : &l->disk);
		form = "a size above 0: digits and K, M, G or T, as in 512M";
	} else if (strcmp(s->key, "cpus") == 0) {
		key = LIMIT_CPUS;
		r = parse_milli(s->value, &l->cpus_milli);
		form = "a number of CPUs above 0, as in 2 or 1.5";
	} else if (strcmp(s->key, "timeout") == 0) {
		key = LIMIT_TIMEOUT;
		r = parse_duration(s->value, &l->timeout_us);
		form = "a time above 0: digits and ms, s, m, h or d, as in 10m; without unit seconds";
	} else if (strcmp(s->key, "pids") == 0) {
		key = LIMIT_PIDS;
		r = parse_count(s->value, 4194304, &l->pids);
		form = "a whole number from 1 to 4194304";
	} else {
		key = LIMIT_OPEN_FILES;
		r = parse_count(s->value, 1048576, &l->open_files);
		form = "a whole number from 1 to 1048576";
	}
	if (r < 0)
		return bad_setting(s, e, -r, "accepted: %s", form);
	return replace(&p->limit_origins[key], s->origin, e);
}

static int extend(struct policy *p, const struct setting *s, const char *item, struct error *e)
{
	return load_layer(p, item, s->file_base, s->depth + 1, s, e);
}

static int allow_degraded(struct policy *p, const struct setting *s, const char *item, struct error *e)
{
	size_t at = 0;

	if (strlen(item) > 32 || item[strspn(item, "abcdefghijklmnopqrstuvwxyz0123456789-_")])
		return bad_setting(s, e, EINVAL, "accepted: names of controls as nsbox doctor lists them");
	while (at < p->n_degraded && strcmp(p->degraded[at], item) < 0)
		at++;
	if (at < p->n_degraded && strcmp(p->degraded[at], item) == 0)
		return 0;
	char *copy = strdup(item);
	char **more = copy && p->n_degraded < 64 ? realloc(p->degraded, (p->n_degraded + 2) * sizeof(*more)) : NULL;
	if (!more) {
		free(copy);
		return p->n_degraded < 64 ? out_of_memory(e) : bad_setting(s, e, E2BIG, "more than 64 controls");
	}
	p->degraded = more;
	memmove(&more[at + 1], &more[at], (p->n_degraded - at) * sizeof(*more));
	more[at] = copy;
	more[++p->n_degraded] = NULL;
	return 0;
}

int set_sandbox(struct policy *p, const struct setting *s, struct error *e)
{
	if (strcmp(s->key, "extends") == 0)
		return each_in_list(s, e, extend, p);
	if (strcmp(s->key, "allow_degraded") == 0)
		return each_in_list(s, e, allow_degraded, p);
	if (strcmp(s->value, "1") != 0)
		return bad_setting(s, e, EINVAL, "accepted: version = 1");
	return 0;
}
