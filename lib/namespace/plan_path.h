/* SPDX-License-Identifier: Apache-2.0 */
/* What a path in a root plan may look like: shared by the side that makes plans and the side that reads them. */
#ifndef NSBOX_NAMESPACE_PLAN_PATH_H
#define NSBOX_NAMESPACE_PLAN_PATH_H

#include <stdbool.h>
#include <string.h>

#define PLAN_MAX_PATH 4095u

/* Absolute, not "/", every component non-empty and neither "." nor "..", no "/" at the end. */
static inline bool plan_path_ok(const char *path)
{
	if (!path || path[0] != '/' || strlen(path) > PLAN_MAX_PATH)
		return false;
	for (const char *p = path; *p;) {
		const char *name = p + 1;
		size_t n = strcspn(name, "/");
		if (n == 0 || (n == 1 && name[0] == '.') || (n == 2 && name[0] == '.' && name[1] == '.'))
			return false;
		p = name + n;
	}
	return true;
}

static inline bool path_is_at_or_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

#endif
