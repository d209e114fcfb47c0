/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories that are closed to their owner, as whom the sandbox runs: what lies in them cannot be looked for, and what runs
 * inside could open them again. An earlier call can have closed them for that. So they are never left out: where something is
 * to be hidden they are hidden as a whole, where something is to be protected they are read-only, which keeps them closed.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/internal.h"

bool is_closed(const struct stat *st)
{
	uid_t user = geteuid();

	return user != 0 && S_ISDIR(st->st_mode) && st->st_uid == user && (st->st_mode & 0500) != 0500;
}

int closed_on_way(const char *path, struct object *ret, struct error *e)
{
	_cleanup_free_ char *at = strdup(path);
	struct stat st;

	if (!at)
		return out_of_memory(e);
	for (char *slash; (slash = strrchr(at, '/')) && slash != at;) {
		*slash = '\0';
		if (stat(at, &st) < 0) {
			if (errno == EACCES)
				continue;
			return 0;
		}
		if (!is_closed(&st))
			return 0;
		int r = resolve_path(at, ret, e);
		return r < 0 ? (is_unreachable(r) ? 0 : r) : 1;
	}
	return 0;
}
