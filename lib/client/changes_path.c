/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths that name changes. They may hold any byte but NUL, and what they name need not be there on the host; so the
 * directory is resolved as far as it exists, and the last component is kept as it is, since a changed link is meant
 * itself.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "client/changes.h"

/* Without "." and empty components. */
static char *clean(const char *path)
{
	char *out = malloc(strlen(path) + 2), *to = out;

	if (!out)
		return NULL;
	for (size_t n; *path; path += n + (path[n] == '/')) {
		n = strcspn(path, "/");
		if (n == 0 || (n == 1 && path[0] == '.'))
			continue;
		*to++ = '/';
		memcpy(to, path, n);
		to += n;
	}
	if (to == out)
		*to++ = '/';
	*to = '\0';
	return out;
}

static int make_absolute(const char *path, char **ret)
{
	_cleanup_free_ char *whole = NULL, *cwd = NULL;
	_cleanup_user_ struct user user = { 0 };
	const char *base = "";

	if (!*path)
		return -EINVAL;
	if (path[0] == '~' && (path[1] == '/' || !path[1])) {
		base = getenv("HOME");
		if ((!base || base[0] != '/') && user_lookup(&user) == 0)
			base = user.home;
		if (!base)
			return -ENOENT;
		path++;
	} else if (path[0] != '/') {
		base = cwd = getcwd(NULL, 0);
		if (!cwd)
			return -errno;
	}
	if (asprintf(&whole, "%s/%s", base, path) < 0)
		return -ENOMEM;
	*ret = clean(whole);
	return *ret ? 0 : -ENOMEM;
}

static bool ends_in_dots(const char *path)
{
	size_t n = strlen(path);

	return n >= 3 && strcmp(path + n - 3, "/..") == 0;
}

static int path_absolute(const char *path, char **ret)
{
	_cleanup_free_ char *given = NULL, *head = NULL, *real = NULL;

	int r = make_absolute(path, &given);
	if (r < 0)
		return r;
	head = strdup(given);
	if (!head)
		return -ENOMEM;
	/* The longest beginning that is there, without the last component unless it leads up. */
	if (!ends_in_dots(head))
		*strrchr(head, '/') = '\0';
	while (*head && !(real = realpath(head, NULL))) {
		if (errno != ENOENT && errno != ENOTDIR)
			return -errno;
		*strrchr(head, '/') = '\0';
	}
	const char *rest = given + strlen(head);
	if (strstr(rest, "/../") || ends_in_dots(rest))
		return -EINVAL;
	const char *front = !real || strcmp(real, "/") == 0 ? "" : real;
	if (asprintf(ret, "%s%s", front, *front || strcmp(rest, "/") != 0 ? rest : "/") < 0)
		return -ENOMEM;
	return 0;
}

int paths_absolute(const char *const *paths, char ***ret, struct error *e)
{
	size_t n = 0;

	while (paths[n])
		n++;
	char **v = calloc(n + 1, sizeof(*v));
	int r = v ? 0 : -ENOMEM;
	for (size_t i = 0; i < n && r == 0; i++)
		r = path_absolute(paths[i], &v[i]);
	if (r == 0) {
		*ret = v;
		return 0;
	}
	strv_free(v);
	return fail_errno(e, -r, SANDBOX_STAGE_USAGE, "paths", "cannot make the paths absolute");
}
