/* SPDX-License-Identifier: Apache-2.0 */
/* Making and finding the layers of sandboxes. */
#include "client/changes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "client/registry.h"
#include "client/state.h"
#include "overlay/copy.h"
#include "overlay/tree.h"

int layers_open(bool make, struct error *e)
{
	_cleanup_close_ int root = state_open(make, e);
	if (root < 0)
		return root;
	return state_open_in(root, "layers", make, e);
}

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* Of the files that the policy was read from, those that a call could replace. */
static int add_protected(struct layer *l, const struct policy *policy)
{
	size_t n = 0, room = 0;

	while (policy_file_path(policy, room))
		room++;
	l->protect = calloc(room + 1, sizeof(*l->protect));
	if (!l->protect)
		return -ENOMEM;
	for (size_t i = 0; i < room; i++) {
		_cleanup_free_ char *path = realpath(policy_file_path(policy, i), NULL);
		for (size_t k = 0; path && k < l->n_roots; k++) {
			if (is_below(path, l->roots[k].path)) {
				l->protect[n++] = TAKE_PTR(path);
				break;
			}
		}
	}
	return 0;
}

static int describe(const struct sandbox *b, const struct policy *policy, const struct policy_path **overlays, size_t n,
		    struct layer *l)
{
	snprintf(l->id, sizeof(l->id), "%s", b->id);
	l->name = strdup(b->name);
	l->workdir = strdup(policy_workdir(policy));
	l->audit = realpath(b->log_path, NULL);
	bool ok = l->name && l->workdir && l->audit;
	const struct policy_auditor *auditor = policy_auditor(policy);
	if (auditor->spec)
		ok &= (l->auditor = strdup(auditor->spec)) != NULL;
	l->deadline_us = auditor->deadline_us;
	if (b->runtime->helper_dir)
		ok &= (l->helpers = realpath(b->runtime->helper_dir, NULL)) != NULL;
	for (size_t i = 0; i < n && ok; i++) {
		l->roots[i] = (struct layer_root){ strdup(overlays[i]->path), overlays[i]->dev, overlays[i]->ino };
		l->n_roots++;
		ok = l->roots[i].path;
	}
	return ok ? add_protected(l, policy) : -ENOMEM;
}

bool layers_match(const struct layer *a, const struct layer *b)
{
	bool same = a->n_roots == b->n_roots;

	for (size_t i = 0; i < a->n_roots && same; i++)
		same = strcmp(a->roots[i].path, b->roots[i].path) == 0 && a->roots[i].dev == b->roots[i].dev &&
		       a->roots[i].ino == b->roots[i].ino;
	return same;
}

/* wanted: of the new sandbox; its dir is set. */
static int fork_into(int layers, const char *name, const struct policy *policy, struct layer *wanted, struct error *e)
{
	_cleanup_layer_ struct layer from = LAYER_NONE, copy = LAYER_NONE;

	int r = layer_find(layers, name, true, &from, e);
	if (r < 0)
		return r;
	if (!layers_match(&from, wanted))
		return fail(e, EXDEV, SANDBOX_STAGE_OVERLAY, name,
			    "the changes of %s are of other directories (nsbox diff lists them): overlay the same ones", name);
	/* Inherited, so not yet looked at with this policy. */
	if (!wanted->auditor && from.auditor && (r = policy_check_auditor(policy, from.auditor, e)) < 0)
		return r;
	snprintf(copy.id, sizeof(copy.id), "%s", wanted->id);
	copy.name = TAKE_PTR(wanted->name);
	copy.audit = TAKE_PTR(wanted->audit);
	copy.auditor = TAKE_PTR(wanted->auditor);
	copy.deadline_us = wanted->deadline_us;
	copy.helpers = TAKE_PTR(wanted->helpers);
	r = layer_copy(layers, &from, false, &copy, e);
	if (r < 0)
		return r;
	wanted->dir = TAKE_FD(copy.dir);
	return 0;
}

int layer_make_for(struct sandbox *b, const struct sandbox_policy *policy, struct layer *ret, struct error *e)
{
	const struct policy_path *overlays[POLICY_OVERLAYS_MAX];
	_cleanup_layer_ struct layer l = LAYER_NONE;
	size_t n = policy_overlays(b->policy, overlays);

	_Static_assert(POLICY_OVERLAYS_MAX == LAYER_ROOTS_MAX, "every overlay has a place in the layer");
	if (n == 0 && policy->fork)
		return fail(e, EINVAL, SANDBOX_STAGE_USAGE, policy->fork,
			    "--fork %s: there is no overlaid directory to begin with its changes (--overlay DIR)", policy->fork);
	if (n == 0)
		return 0;
	_cleanup_close_ int layers = layers_open(true, e);
	if (layers < 0)
		return layers;
	int r = describe(b, policy->policy, overlays, n, &l);
	if (r < 0)
		return fail(e, -r, SANDBOX_STAGE_INTERNAL, b->id, "out of memory");
	r = policy->fork ? fork_into(layers, policy->fork, b->policy, &l, e) : layer_make(layers, &l, e);
	if (r < 0)
		return r;
	*ret = l;
	l = (struct layer)LAYER_NONE;
	return 0;
}

void layer_drop(struct layer *l)
{
	struct error ignored;

	_cleanup_close_ int layers = layers_open(false, &ignored);
	if (layers >= 0)
		layer_erase(layers, l->id);
}

void layer_drop_unused(const struct sandbox *b)
{
	const struct policy_path *overlays[POLICY_OVERLAYS_MAX];
	_cleanup_layer_ struct layer l = LAYER_NONE;
	struct error ignored;

	if (policy_overlays(b->policy, overlays) == 0)
		return;
	_cleanup_close_ int layers = layers_open(false, &ignored);
	if (layers >= 0 && layer_open(layers, b->id, true, &l, &ignored) == 0 && layer_is_empty(&l))
		layer_erase(layers, l.id);
}

/* Ids of the layers of sandboxes of that name, at most two. */
static size_t of_name(int layers, const struct names *ids, const char *name, const char *ret[2])
{
	struct error ignored;
	size_t n = 0;

	for (size_t i = 0; i < ids->n && n < 2; i++) {
		_cleanup_layer_ struct layer l = LAYER_NONE;
		if (name_valid(ids->v[i]) && strlen(ids->v[i]) < LAYER_ID_MAX &&
		    layer_open(layers, ids->v[i], false, &l, &ignored) == 0 && strcmp(l.name, name) == 0)
			ret[n++] = ids->v[i];
	}
	return n;
}

int layer_find(int layers, const char *name, bool change, struct layer *ret, struct error *e)
{
	_cleanup_names_ struct names ids = { 0 };
	const char *found[2] = { NULL, NULL };

	/* It becomes a file name. */
	int r = name_check(name, e);
	if (r < 0)
		return r;
	if (strlen(name) < LAYER_ID_MAX && faccessat(layers, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return layer_open(layers, name, change, ret, e);
	r = names_read(layers, &ids);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, name, "cannot list the changes that are kept");
	size_t n = of_name(layers, &ids, name, found);
	if (n == 0)
		return fail(e, ENOENT, SANDBOX_STAGE_OVERLAY, name,
			    "there are no changes of a sandbox %s (nsbox diff lists those that are kept)", name);
	if (n == 2)
		return fail(e, EEXIST, SANDBOX_STAGE_OVERLAY, name,
			    "several sandboxes were named %s: use the id of one, %s or %s (nsbox diff lists them)", name, found[0],
			    found[1]);
	return layer_open(layers, found[0], change, ret, e);
}
