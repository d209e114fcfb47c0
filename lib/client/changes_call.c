/* SPDX-License-Identifier: Apache-2.0 */
/* What single calls wrote into layers of their own (view = scratch): shown, merged into the working state, given up, taken
 * back. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "client/merged.h"
#include "overlay/commit.h"
#include "overlay/journal.h"
#include "overlay/patch.h"
#include "overlay/scratch.h"
#include "overlay/undo.h"
#include "overlay/writers.h"

/* The layer of a call, that of its sandbox, and the selected part of its changes. */
struct own {
	struct sandbox_runtime *runtime;
	struct layer of, layer;
	struct changes changes;
	int lock;
	bool half; /* a merging of it was killed, or failed on the way */
};

static void own_close(struct own *o)
{
	changes_free(&o->changes);
	layer_close(&o->layer);
	layer_close(&o->of);
	fd_close(o->lock);
}

#define OWN_NONE { .of = LAYER_NONE, .layer = LAYER_NONE, .lock = -EBADF }
#define _cleanup_own_ __attribute__((cleanup(own_close)))

/* ID.NUMBER, where ID may be the name of the sandbox. */
static int parse(const char *call, char **ret_name, uint32_t *ret_number, struct error *e)
{
	const char *dot = strrchr(call, '.');
	char same[16];

	unsigned long number = dot ? strtoul(dot + 1, NULL, 10) : 0;
	snprintf(same, sizeof(same), "%lu", number);
	if (number == 0 || number > UINT32_MAX || strcmp(same, dot + 1) != 0)
		return fail(e, EINVAL, SANDBOX_STAGE_USAGE, call, "'%.80s' is no id of a call: ID.NUMBER", call);
	*ret_name = strndup(call, (size_t)(dot - call));
	*ret_number = (uint32_t)number;
	return *ret_name ? 0 : fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, call, "out of memory");
}

/* The layer of the sandbox; change, or where it has ended: nobody else changes one of a call in it meanwhile. */
static int find_sandbox(struct sandbox_runtime *runtime, const char *call, bool change, struct own *o, uint32_t *ret_number,
			struct error *e)
{
	_cleanup_free_ char *name = NULL;

	o->runtime = runtime;
	int r = parse(call, &name, ret_number, e);
	_cleanup_close_ int layers = r < 0 ? -EBADF : layers_open(false, e);
	if (r < 0)
		return r;
	if (layers < 0)
		return layers != -ENOENT ? layers :
					   fail(e, ENOENT, SANDBOX_STAGE_OVERLAY, name, "there are no changes of a sandbox %s", name);
	r = layer_find(layers, name, false, &o->of, e);
	/* A merging can outlive the sandbox that it began under, whose overlays must not be mounted beside it. */
	if (r == 0 && (change || !o->of.in_use) && (o->lock = scratch_lock(&o->of, e)) < 0)
		r = o->lock;
	return r;
}

static int nothing_kept(const char *call, struct error *e)
{
	return fail(e, ENOENT, SANDBOX_STAGE_OVERLAY, call,
		    "nothing of a layer of its own is kept of call %s: it wrote nothing, its layer was given up already, or it was "
		    "not started with view = scratch and wrote into the layer that all calls of the sandbox share",
		    call);
}

static int find(struct sandbox_runtime *runtime, const char *call, bool change, struct own *o, struct error *e)
{
	uint32_t number = 0;

	int r = find_sandbox(runtime, call, change, o, &number, e);
	if (r < 0)
		return r;
	r = scratch_open(&o->of, number, SCRATCH_CALL, change, &o->layer, e);
	return r == -ENOENT ? nothing_kept(call, e) : r;
}

static int scan(struct own *o, const char *const *paths, bool change, struct error *e)
{
	__attribute__((cleanup(strv_freep))) char **absolute = NULL;

	int r = paths ? paths_absolute(paths, &absolute, e) : 0;
	if (r == 0)
		r = merged_open(o->runtime, &o->of, &o->layer, e);
	if (r == 0)
		r = changes_scan(&o->layer, &o->changes, e);
	if (r == 0 && change)
		commit_clean(&o->changes);
	return r < 0 ? r : changes_select(&o->changes, (const char *const *)absolute, e);
}

int sandbox_changes_call_read(sandbox_runtime *runtime, const char *call, const char *const *paths, unsigned flags,
			      char **ret_json, sandbox_error **error)
{
	_cleanup_own_ struct own o = OWN_NONE;
	_cleanup_buf_ struct buf b = { 0 };
	char digest[CHANGES_DIGEST_TEXT] = "";
	struct error e = { 0 };

	int r = find(runtime, call, false, &o, &e);
	if (r == 0)
		r = scan(&o, paths, false, &e);
	if (r == 0 && flags & SANDBOX_CHANGES_DIGEST)
		r = changes_digest(&o.changes, NULL, digest, &e);
	if (r == 0 && (changes_json(&b, &o.changes, flags & SANDBOX_CHANGES_LINES, digest) < 0 || !buf_str(&b)))
		r = fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, call, "out of memory");
	if (r < 0)
		return error_publish(&e, error);
	*ret_json = (char *)TAKE_PTR(b.data);
	return 0;
}

int sandbox_changes_call_patch(sandbox_runtime *runtime, const char *call, const char *const *paths, int fd,
			       sandbox_error **error)
{
	_cleanup_own_ struct own o = OWN_NONE;
	struct error e = { 0 };

	int r = find(runtime, call, false, &o, &e);
	if (r == 0)
		r = scan(&o, paths, false, &e);
	if (r == 0)
		r = patch_write(&o.changes, fd, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}

/* ---- changing ---- */

static int record(const struct own *o, enum working what, unsigned long *ret_count, struct error *e)
{
	_cleanup_changes_facts_ struct changes_facts facts = { 0 };

	if (changes_facts(&o->changes, &facts) < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, o->of.id, "out of memory");
	*ret_count = facts.files;
	return merged_record(o->runtime, &o->of, &o->layer, what, &facts, e);
}

/* Into the working state, as the doing of the call; others that run meanwhile are named beside it. */
static int merge(struct own *o, const char *digest, struct error *e)
{
	writers_note(o->of.dir, o->layer.call, true);
	int r = commit_apply(&o->changes, digest, e);
	writers_note(o->of.dir, o->layer.call, false);
	if (r < 0 && !o->changes.begun && !o->half)
		(void)scratch_erase(&o->of, o->layer.call, SCRATCH_UNDO);
	return r;
}

static int erase(const struct own *o, enum scratch which, struct error *e)
{
	int r = scratch_erase(&o->of, o->layer.call, which);

	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, o->of.id, "cannot remove the layer of call %s.%" PRIu32, o->of.id,
				  o->layer.call) :
		       0;
}

/* What it is taken back with is there already when a merging was killed. Before that began it is of no use. */
static int find_half(struct own *o, struct error *e)
{
	_cleanup_layer_ struct layer undo = LAYER_NONE;

	int r = scratch_open(&o->of, o->layer.call, SCRATCH_UNDO, true, &undo, e);
	o->half = r == 0 && journal_exists(&o->layer);
	return r == -ENOENT ? 0 : r < 0 || o->half ? r : erase(o, SCRATCH_UNDO, e);
}

/* The merging is over. From now on only taking it back needs anything. */
static int settle(const struct own *o, struct error *e)
{
	_cleanup_layer_ struct layer undo = LAYER_NONE;

	int r = scratch_open(&o->of, o->layer.call, SCRATCH_UNDO, true, &undo, e);
	if (r == 0 && (r = scratch_stamp(&undo)) < 0)
		fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, o->of.id, "cannot write that call %s.%" PRIu32 " was merged", o->of.id,
			   o->layer.call);
	return r < 0 ? r : erase(o, SCRATCH_CALL, e);
}

int sandbox_changes_call_commit(sandbox_runtime *runtime, const char *call, const char *digest, unsigned long *ret_count,
				sandbox_error **error)
{
	_cleanup_own_ struct own o = OWN_NONE;
	struct error e = { 0 };
	unsigned long n = 0;

	int r = find(runtime, call, true, &o, &e);
	if (r == 0)
		r = find_half(&o, &e);
	if (r == 0)
		r = scan(&o, NULL, true, &e);
	/* What the host would execute is looked at when it comes to the host. */
	if (r == 0)
		r = commit_check(&o.changes, true, &e);
	/* Before anything is recorded; what is merged is looked at once more when it is staged. */
	if (r == 0 && digest)
		r = changes_digest_check(&o.changes, NULL, digest, &e);
	if (r == 0)
		r = record(&o, WORKING_COMMIT, &n, &e);
	if (r == 0)
		r = o.half ? 0 : merged_undo(runtime, &o.of, &o.changes, &e);
	if (r == 0)
		r = merge(&o, digest, &e);
	if (r == 0)
		r = settle(&o, &e);
	if (r < 0)
		return error_publish(&e, error);
	*ret_count = n;
	return 0;
}

/* Also when it cannot be looked at. */
static int drop(struct own *o, enum working what, unsigned long *ret_count, struct error *e)
{
	struct error ignored;

	if (scan(o, NULL, false, &ignored) < 0) {
		changes_free(&o->changes);
		o->changes.layer = NULL;
	}
	int r = record(o, what, ret_count, e);
	return r < 0 ? r : erase(o, SCRATCH_CALL, e);
}

/* When a merging of it was killed, what is still to be done must not have been changed by others. */
static int half_merged(struct own *o, struct error *e)
{
	_cleanup_layer_ struct layer undo = LAYER_NONE;

	int r = find_half(o, e);
	if (r < 0 || !o->half)
		return r;
	r = scratch_open(&o->of, o->layer.call, SCRATCH_UNDO, true, &undo, e);
	/* By a rollback that was killed too: it looked before it began. */
	if (r < 0 || journal_exists(&undo))
		return r;
	r = scan(o, NULL, true, e);
	if (r == 0)
		r = commit_check(&o->changes, true, e);
	if (r == 0 && (r = scratch_stamp(&undo)) < 0)
		fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, o->of.id, "cannot take call %s.%" PRIu32 " back", o->of.id, o->layer.call);
	return r;
}

static int give_up(struct own *o, const char *call, unsigned long *ret_count, struct error *e)
{
	int r = find_half(o, e);

	if (r == 0 && !o->half)
		return drop(o, WORKING_DISCARD, ret_count, e);
	return r < 0 ? r :
		       fail(e, EBUSY, SANDBOX_STAGE_OVERLAY, call,
			    "call %s is merged in part, by a command that was killed: nsbox commit %s does the rest, nsbox rollback "
			    "takes it back",
			    call, call);
}

int sandbox_changes_call_discard(sandbox_runtime *runtime, const char *call, unsigned long *ret_count, sandbox_error **error)
{
	_cleanup_own_ struct own o = OWN_NONE;
	struct error e = { 0 };

	int r = find(runtime, call, true, &o, &e);
	if (r == 0)
		r = give_up(&o, call, ret_count, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}

/* What the merging replaced comes back. */
static int take_back(struct own *o, unsigned long *ret_count, struct error *e)
{
	int r = scan(o, NULL, true, e);

	if (r < 0)
		return r;
	undo_settle(&o->changes);
	r = commit_check(&o->changes, true, e);
	if (r == 0)
		r = record(o, WORKING_ROLLBACK, ret_count, e);
	if (r == 0)
		r = commit_apply(&o->changes, NULL, e);
	if (r == 0)
		r = erase(o, SCRATCH_CALL, e);
	return r < 0 ? r : erase(o, SCRATCH_UNDO, e);
}

static int rollback(struct sandbox_runtime *runtime, const char *call, unsigned long *ret_count, struct error *e)
{
	_cleanup_own_ struct own o = OWN_NONE, undo = OWN_NONE;
	uint32_t number = 0;

	int r = find_sandbox(runtime, call, true, &o, &number, e);
	if (r < 0)
		return r;
	r = scratch_open(&o.of, number, SCRATCH_CALL, true, &o.layer, e);
	if (r == 0)
		r = half_merged(&o, e);
	if (r == 0 && !o.half)
		return drop(&o, WORKING_ROLLBACK, ret_count, e);
	if (r < 0 && r != -ENOENT)
		return r;
	/* Its working state is opened once more, and the lock goes over. */
	changes_free(&o.changes);
	layer_close(&o.layer);
	undo = (struct own){ .runtime = runtime, .of = o.of, .layer = LAYER_NONE, .lock = TAKE_FD(o.lock) };
	o.of = (struct layer)LAYER_NONE;
	r = scratch_open(&undo.of, number, SCRATCH_UNDO, true, &undo.layer, e);
	if (r == -ENOENT)
		return fail(e, ENOENT, SANDBOX_STAGE_OVERLAY, call,
			    "call %s cannot be taken back alone: it wrote nothing, was taken back already, or was not started with view "
			    "= scratch and wrote into the layer that all calls of the sandbox share, where its changes cannot be told "
			    "from those of others. Start such calls with --view scratch, or take a copy before them (nsbox snapshot ID "
			    "NAME) and go back to that (nsbox rollback ID NAME)",
			    call);
	return r < 0 ? r : take_back(&undo, ret_count, e);
}

int sandbox_changes_call_rollback(sandbox_runtime *runtime, const char *call, unsigned long *ret_count, sandbox_error **error)
{
	struct error e = { 0 };

	int r = rollback(runtime, call, ret_count, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}
