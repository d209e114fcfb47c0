/* SPDX-License-Identifier: Apache-2.0 */
/* Listing, committing and discarding what was written into overlays. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "client/changes.h"
#include "client/state.h"
#include "overlay/commit.h"
#include "overlay/digest.h"
#include "overlay/executed.h"
#include "overlay/patch.h"
#include "overlay/scratch.h"
#include "overlay/tree.h"

/* A layer and the selected part of its changes. */
struct view {
	int layers, lock;
	struct layer layer;
	struct changes changes;
};

static void view_close(struct view *v)
{
	changes_free(&v->changes);
	layer_close(&v->layer);
	fd_close(v->lock);
	fd_close(v->layers);
}

#define VIEW_NONE { .layers = -EBADF, .lock = -EBADF, .layer = LAYER_NONE }
#define _cleanup_view_ __attribute__((cleanup(view_close)))

static int view_find(const char *name, bool change, struct view *v, struct error *e)
{
	v->layers = layers_open(false, e);
	if (v->layers == -ENOENT)
		return fail(e, ENOENT, SANDBOX_STAGE_OVERLAY, name, "there are no changes of a sandbox %s", name);
	if (v->layers >= 0 && change)
		layers_sweep(v->layers);
	int r = v->layers < 0 ? v->layers : layer_find(v->layers, name, change, &v->layer, e);
	/* A merging of a call's layer can outlive the sandbox that it began under. */
	if (r == 0 && change && (v->lock = scratch_lock(&v->layer, e)) < 0)
		r = v->lock;
	return r;
}

static int view_open(const char *name, const char *const *paths, bool change, struct view *v, struct error *e)
{
	__attribute__((cleanup(strv_freep))) char **absolute = NULL;

	int r = view_find(name, change, v, e);
	if (r == 0 && paths)
		r = paths_absolute(paths, &absolute, e);
	if (r == 0)
		r = changes_scan(&v->layer, &v->changes, e);
	/* Before anything else is looked at: the next commit would remove it too. */
	if (r == 0 && change)
		commit_clean(&v->changes);
	return r < 0 ? r : changes_select(&v->changes, (const char *const *)absolute, e);
}

int sandbox_has_overlay(const sandbox *box)
{
	const struct policy_path *overlays[POLICY_OVERLAYS_MAX];

	return box->policy && policy_overlays(box->policy, overlays) > 0;
}

int sandbox_changes_list(char **ret_json, sandbox_error **error)
{
	_cleanup_names_ struct names ids = { 0 };
	_cleanup_buf_ struct buf b = { 0 };
	struct error e = { 0 };

	_cleanup_close_ int layers = layers_open(false, &e);
	int r = layers == -ENOENT ? 0 : layers;
	if (layers >= 0 && (r = names_read(layers, &ids)) < 0)
		fail_errno(&e, -r, SANDBOX_STAGE_OVERLAY, "layers", "cannot list the changes that are kept");
	if (r < 0)
		return error_publish(&e, error);
	r = buf_putc(&b, '[');
	for (size_t i = 0; i < ids.n && r == 0; i++) {
		_cleanup_layer_ struct layer l = LAYER_NONE;
		struct error ignored;
		if (ids.v[i][0] == '.' || strlen(ids.v[i]) >= LAYER_ID_MAX || layer_open(layers, ids.v[i], false, &l, &ignored) < 0)
			continue;
		/* Its sandbox was killed before it wrote anything. */
		if (!l.in_use && layer_is_empty(&l)) {
			layer_erase(layers, l.id);
			continue;
		}
		r = b.len > 1 ? buf_putc(&b, ',') : 0;
		if (r == 0)
			r = buf_putc(&b, '{');
		if (r == 0)
			r = layer_members(&b, &l);
		if (r == 0)
			r = buf_putc(&b, '}');
	}
	if (r == 0)
		r = buf_putc(&b, ']');
	if (r == 0 && buf_str(&b)) {
		*ret_json = (char *)TAKE_PTR(b.data);
		return 0;
	}
	fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, "layers", "out of memory");
	return error_publish(&e, error);
}

int sandbox_changes_count(const char *name, unsigned long *ret_count, sandbox_error **error)
{
	_cleanup_view_ struct view v = VIEW_NONE;
	struct error e = { 0 };

	if (view_open(name, NULL, false, &v, &e) < 0)
		return error_publish(&e, error);
	*ret_count = changes_count(&v.changes);
	return 0;
}

int sandbox_changes_read(const char *name, const char *const *paths, unsigned flags, char **ret_json,
			 sandbox_error **error)
{
	_cleanup_view_ struct view v = VIEW_NONE;
	_cleanup_buf_ struct buf b = { 0 };
	char digest[CHANGES_DIGEST_TEXT] = "";
	struct error e = { 0 };

	if (view_open(name, paths, false, &v, &e) < 0)
		return error_publish(&e, error);
	if (flags & SANDBOX_CHANGES_DIGEST && changes_digest(&v.changes, NULL, digest, &e) < 0)
		return error_publish(&e, error);
	if (changes_json(&b, &v.changes, flags & SANDBOX_CHANGES_LINES, digest) < 0 || !buf_str(&b)) {
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, name, "out of memory");
		return error_publish(&e, error);
	}
	*ret_json = (char *)TAKE_PTR(b.data);
	return 0;
}

int sandbox_changes_patch(const char *name, const char *const *paths, int fd, sandbox_error **error)
{
	_cleanup_view_ struct view v = VIEW_NONE;
	struct error e = { 0 };

	int r = view_open(name, paths, false, &v, &e);
	if (r == 0)
		r = patch_write(&v.changes, fd, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}

/* ---- changing ---- */

static int erase(const struct view *v, struct error *e)
{
	int r = layer_erase(v->layers, v->layer.id);

	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, v->layer.id, "cannot remove the layer of sandbox %s",
				  v->layer.id) :
		       0;
}

/* Out of the layer; the layer itself goes when nothing is left in it, and of no call either. */
static int forget(struct view *v, struct error *e)
{
	bool all = true;

	for (size_t i = 0; i < v->changes.n; i++)
		all &= v->changes.v[i].selected;
	return all && scratch_is_empty(&v->layer) ? erase(v, e) : changes_forget(&v->changes, e);
}

int sandbox_changes_commit(const char *name, const char *const *paths, unsigned flags, unsigned long *ret_count,
			   sandbox_error **error)
{
	return sandbox_changes_commit_reviewed(name, paths, flags, NULL, ret_count, error);
}

/* Whether it may be done, and the digest of what then has to be done; *ret_decided: of review_ask(). */
static int decide(const struct view *v, bool accept, const char *wanted, char ret_digest[CHANGES_DIGEST_TEXT],
		  char **ret_decided, struct error *e)
{
	/* What nobody's yes lets pass is not asked about. */
	int r = commit_check(&v->changes, accept || v->layer.auditor, e);
	if (r == 0 && v->layer.auditor)
		r = changes_digest(&v->changes, NULL, ret_digest, e);
	if (r == 0 && v->layer.auditor && wanted)
		r = changes_digest_compare(ret_digest, wanted, e);
	if (r == 0)
		r = review_ask(&v->changes, ret_digest, ret_decided, e);
	/* A yes to what the host would execute. */
	return r < 0 ? r : commit_check(&v->changes, accept || **ret_decided, e);
}

int sandbox_changes_commit_reviewed(const char *name, const char *const *paths, unsigned flags, const char *digest,
				    unsigned long *ret_count, sandbox_error **error)
{
	_cleanup_free_ char *decided = NULL;
	char asked[CHANGES_DIGEST_TEXT] = "";
	_cleanup_view_ struct view v = VIEW_NONE;
	struct error e = { 0 };
	size_t n = 0;

	int r = flags & ~SANDBOX_COMMIT_EXECUTABLE ? fail(&e, EINVAL, SANDBOX_STAGE_USAGE, name, "unknown flags") : 0;
	if (r == 0)
		r = view_open(name, paths, true, &v, &e);
	if (r == 0)
		r = decide(&v, flags & SANDBOX_COMMIT_EXECUTABLE, digest, asked, &decided, &e);
	if (r == 0)
		r = changes_record(&v.layer, &v.changes, "fs.commit", decided, &n, &e);
	/* Only what was asked about. */
	if (r == 0)
		r = commit_apply(&v.changes, *asked ? asked : digest, &e);
	if (r == 0)
		r = forget(&v, &e);
	if (r < 0)
		return error_publish(&e, error);
	*ret_count = n;
	return 0;
}

/* All of it, also when it cannot be looked at: made so by a call, or the host's directory is gone. */
static int discard_all(struct view *v, size_t *ret_n, struct error *e)
{
	struct error ignored;

	if (changes_scan(&v->layer, &v->changes, &ignored) == 0) {
		commit_clean(&v->changes);
		changes_select(&v->changes, NULL, NULL);
	} else {
		v->changes.layer = NULL;
	}
	int r = changes_record(&v->layer, &v->changes, "fs.discard", "", ret_n, e);
	return r < 0 ? r : erase(v, e);
}

int sandbox_changes_discard(const char *name, const char *const *paths, unsigned long *ret_count, sandbox_error **error)
{
	_cleanup_view_ struct view v = VIEW_NONE;
	struct error e = { 0 };
	size_t n = 0;

	int r = paths ? view_open(name, paths, true, &v, &e) : view_find(name, true, &v, &e);
	if (r == 0 && !paths) {
		r = discard_all(&v, &n, &e);
	} else if (r == 0) {
		r = changes_record(&v.layer, &v.changes, "fs.discard", "", &n, &e);
		if (r == 0)
			r = forget(&v, &e);
	}
	if (r < 0)
		return error_publish(&e, error);
	*ret_count = n;
	return 0;
}
