/* SPDX-License-Identifier: Apache-2.0 */
/* What no sandbox may see, whatever was granted: the directories that nsbox keeps its own state in, files of secrets. */
#include <errno.h>
#include <string.h>

#include "policy/internal.h"

static int refuse_grants_in(const struct policy *p, const char *dir, const char *why, struct error *e)
{
	for (size_t i = 0; i < p->n_paths; i++) {
		const struct policy_path *path = &p->paths[i];
		if (path->kind == PATH_HIDE || path->kind == PATH_TMPFS || path->kind == PATH_PROTECT ||
		    !path_below(path->path, dir))
			continue;
		if (strcmp(path->path, p->workdir) == 0)
			return fail(e, EPERM, SANDBOX_STAGE_POLICY, path->path,
				    "the working directory %s is in %s: %s; name another with --workdir DIR", path->path, dir, why);
		return fail(e, EPERM, SANDBOX_STAGE_POLICY, path->path,
			    "%s: %s is in %s, or the same: %s; no sandbox may see it", path->origin, path->path, dir, why);
	}
	return 0;
}

int policy_hide(struct policy *p, const char *dir, const char *why, struct error *e)
{
	_cleanup_object_ struct object at = { 0 };
	struct path_verdict verdict;

	int r = resolve_path(dir, &at, e);
	/* What is not there, or out of our own reach, needs no hiding. */
	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR || r == -EACCES ? 0 : r;
	r = refuse_grants_in(p, at.path, why, e);
	if (r == 0)
		r = policy_check_path(p, at.path, false, &verdict, e);
	if (r < 0 || !path_verdict_shows(&verdict))
		return r;
	/* Hidden entries come last, so the order stays right at the end; the verdict says that it is not among them. Not by
	 * grow(): a decoded policy has no room to spare. */
	struct policy_path *more = reallocarray(p->paths, p->n_paths + 1, sizeof(*more));
	if (!more)
		return out_of_memory(e);
	p->paths = more;
	struct policy_path *out = &p->paths[p->n_paths++];
	*out = (struct policy_path){
		.kind = PATH_HIDE, .path = TAKE_PTR(at.path), .given = strdup(dir), .dev = at.dev, .ino = at.ino,
		.is_dir = at.is_dir, .origin = strdup("default"),
	};
	return out->given && out->origin ? 0 : out_of_memory(e);
}
