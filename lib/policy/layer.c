/* SPDX-License-Identifier: Apache-2.0 */
/* Layers: policy files and built-in profiles, and what they extend. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "policy/internal.h"

#define FILE_BYTES_MAX (1u << 20)
#define DEPTH_MAX 8

int apply_file(struct policy *p, const struct ini_file *file, const struct setting *like, const char *shown,
	       struct error *e)
{
	char origin[ORIGIN_MAX + 1];
	bool version = false;
	int r = 0;

	for (size_t i = 0; i < file->n; i++)
		version = version || (strcmp(file->entry[i].section, "sandbox") == 0 &&
				      strcmp(file->entry[i].key, "version") == 0);
	if (!version)
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, shown, "%s:1: no '[sandbox]' with 'version = 1'", shown);
	/* What is extended comes first, wherever the line stands. */
	for (int pass = 0; pass < 2 && r == 0; pass++) {
		for (size_t i = 0; i < file->n && r == 0; i++) {
			const struct ini_entry *l = &file->entry[i];
			bool extends = strcmp(l->section, "sandbox") == 0 && strcmp(l->key, "extends") == 0;
			if (extends != (pass == 0))
				continue;
			size_t n = strlen(shown), max = sizeof(origin) - 16;
			snprintf(origin, sizeof(origin), "%s%s:%u", n > max ? "..." : "", shown + (n > max ? n - max + 3 : 0),
				 l->line);
			struct setting s = *like;
			s.section = l->section;
			s.key = l->key;
			s.value = l->value;
			s.name = "";
			s.origin = origin;
			r = policy_apply(p, &s, e);
		}
	}
	return r;
}

static int read_all(int fd, struct buf *out, const char *path, struct error *e)
{
	for (;;) {
		if (buf_reserve(out, 65536) < 0)
			return out_of_memory(e);
		ssize_t n = read(fd, out->data + out->len, 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(e, errno, SANDBOX_STAGE_POLICY, path, "cannot read the policy file %s", path);
		if (n == 0)
			return 0;
		out->len += (size_t)n;
		if (out->len > FILE_BYTES_MAX)
			return fail(e, EFBIG, SANDBOX_STAGE_POLICY, path, "the policy file %s is over %u bytes", path,
				    FILE_BYTES_MAX);
	}
}

/* Remember the file, to protect it, and to see a cycle: active ones are those of the current chain of extends. */
static int remember(struct policy *p, int fd, struct error *e)
{
	char link[64], path[4096];
	struct stat st;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	if (fstat(fd, &st) < 0 || n < 0 || path[0] != '/' || !S_ISREG(st.st_mode))
		return 0; /* a pipe has no place to protect */
	path[n] = '\0';
	struct policy_file *file = grow(&p->files, &p->n_files, sizeof(*file), 256, "policy files", "extends", e);
	if (!file)
		return -e->err;
	*file = (struct policy_file){ strdup(path), st.st_dev, st.st_ino };
	return file->path ? 0 : out_of_memory(e);
}

static int load_file(struct policy *p, const char *path, unsigned depth, struct error *e)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_(ini_done) struct ini_file file = { 0 };
	_cleanup_free_ char *dir = NULL;

	if (fd < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_POLICY, path, "cannot open the policy file %s", path);
	int r = read_all(fd, &text, path, e);
	if (r == 0)
		r = remember(p, fd, e);
	if (r == 0)
		r = ini_read(text.data ? (char *)text.data : "", text.len, path, &file, e);
	if (r < 0)
		return r;
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *part = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	if (!part)
		return out_of_memory(e);
	_cleanup_free_ char *cwd = part[0] == '/' ? NULL : getcwd(NULL, 0);
	r = absolute_path(cwd ? cwd : "/", part, &dir);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_POLICY, path, "cannot tell the directory of %s", path);
	return apply_file(p, &file, &(struct setting){ .file_base = dir, .depth = depth }, path, e);
}

/* A profile of comments only is there to say why there is none. */
static int explain(const struct builtin_profile *profile, const char *origin, struct error *e)
{
	char text[512] = "";
	size_t n = 0;

	for (const char *c = profile->text; *c && n + 1 < sizeof(text); c++) {
		if (c[0] == ';' && c[1] == ' ' && (c == profile->text || c[-1] == '\n'))
			c++;
		else
			text[n++] = *c == '\n' ? ' ' : *c;
	}
	while (n && text[n - 1] == ' ')
		text[--n] = '\0';
	return fail(e, EOPNOTSUPP, SANDBOX_STAGE_POLICY, profile->name, "%s: profile %s: %s", origin, profile->name, text);
}

static int load_builtin(struct policy *p, const char *name, unsigned depth, const struct setting *by, struct error *e)
{
	const char *names[64] = { 0 };
	const struct builtin_profile *found = NULL;
	char list[448] = "", shown[96];

	for (size_t i = 0; builtin_profiles[i].name && i + 1 < ARRAY_LEN(names); i++) {
		names[i] = builtin_profiles[i].name;
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "", names[i]);
		if (strcmp(names[i], name) == 0)
			found = &builtin_profiles[i];
	}
	const char *origin = by ? by->origin : "--profile";
	if (!found) {
		const char *near = near_name(name, names);
		return fail(e, ENOENT, SANDBOX_STAGE_POLICY, name,
			    "%s: no profile '%.60s'%s%s%s; built in: %s; a file is named with a '/', as in ./%.40s.ini", origin,
			    name, near ? ", did you mean '" : "", near ? near : "", near ? "'" : "", list, name);
	}
	/* Once is enough: profiles share their bases. */
	for (size_t i = 0; i < p->n_profiles; i++) {
		if (strcmp(p->profiles[i], name) == 0)
			return 0;
	}
	char **slot = grow(&p->profiles, &p->n_profiles, sizeof(*slot), 256, "profiles", origin, e);
	if (!slot || !(*slot = strdup(name)))
		return out_of_memory(e);

	_cleanup_(ini_done) struct ini_file file = { 0 };
	snprintf(shown, sizeof(shown), "profile %s", name);
	int r = ini_read(found->text, strlen(found->text), shown, &file, e);
	if (r == 0 && file.n == 0)
		return explain(found, origin, e);
	return r < 0 ? r : apply_file(p, &file, &(struct setting){ .from = FROM_BUILTIN, .depth = depth }, shown, e);
}

int load_layer(struct policy *p, const char *name, const char *file_base, unsigned depth, const struct setting *by,
	       struct error *e)
{
	_cleanup_free_ char *path = NULL;

	/* A cycle of files ends here too; built-in profiles are applied once, so they cannot make one. */
	if (depth > DEPTH_MAX)
		return bad_setting(by, e, ELOOP, "extends is nested more than %d deep, or in a cycle", DEPTH_MAX);
	if (!strchr(name, '/'))
		return load_builtin(p, name, depth, by, e);
	if (!file_base)
		return bad_setting(by, e, EINVAL, "a built-in profile extends only built-in profiles");
	if (by->from == FROM_PROJECT)
		return bad_setting(by, e, EINVAL, "a project's file extends only built-in profiles: another file was not trusted "
				   "with it");
	int r = absolute_path(file_base, name, &path);
	if (r < 0)
		return bad_setting(by, e, -r, "the path cannot be used");
	struct error why;
	r = load_file(p, path, depth, &why);
	if (r == -ENOENT || r == -EACCES || r == -EISDIR)
		return bad_setting_why(by, e, -r, &why);
	if (r < 0 && e)
		*e = why;
	return r;
}

int policy_load_profile(struct policy *p, const char *name, struct error *e)
{
	if (p->finished)
		return fail(e, EBUSY, SANDBOX_STAGE_POLICY, name, "the policy is finished and cannot be changed");
	return load_builtin(p, name, 0, NULL, e);
}

int policy_load_file(struct policy *p, const char *path, struct error *e)
{
	if (p->finished)
		return fail(e, EBUSY, SANDBOX_STAGE_POLICY, path, "the policy is finished and cannot be changed");
	if (check_path_bytes(path) < 0)
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, "policy file",
			    "the policy file's path is empty or has control bytes");
	return load_file(p, path, 0, e);
}
