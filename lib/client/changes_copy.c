/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of changes: layers under names of their own. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "client/changes.h"
#include "client/registry.h"
#include "overlay/copy.h"
#include "overlay/scratch.h"

static int open_layers(const char *name, struct error *e)
{
	int layers = layers_open(false, e);

	return layers == -ENOENT ? fail(e, ENOENT, SANDBOX_STAGE_OVERLAY, name, "there are no changes of a sandbox %s", name) :
				   layers;
}

static int snapshot(const char *name, const char *as, struct error *e)
{
	_cleanup_layer_ struct layer from = LAYER_NONE, taken = LAYER_NONE, copy = LAYER_NONE;
	struct error ignored;

	int r = name_check(as, e);
	_cleanup_close_ int layers = r < 0 ? r : open_layers(name, e);
	if (layers < 0)
		return layers;
	/* -EEXIST says that there are several already. */
	r = layer_find(layers, as, false, &taken, &ignored);
	if (r != -ENOENT)
		return fail(e, EEXIST, SANDBOX_STAGE_OVERLAY, as, "there are changes of the name %s already: discard them, or take "
			    "another name", as);
	r = layer_find(layers, name, false, &from, e);
	_cleanup_close_ int lock = r < 0 ? r : scratch_lock(&from, e);
	if (lock < 0)
		return lock;
	copy.name = strdup(as);
	if (!copy.name || sandbox_id_new(copy.id) < 0)
		return fail(e, copy.name ? EIO : ENOMEM, SANDBOX_STAGE_INTERNAL, as, "out of memory or random numbers");
	return layer_copy(layers, &from, false, &copy, e);
}

int sandbox_changes_snapshot(const char *name, const char *as, sandbox_error **error)
{
	struct error e = { 0 };

	int r = snapshot(name, as, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}

static int rollback(const char *name, const char *to, struct error *e)
{
	_cleanup_layer_ struct layer l = LAYER_NONE, from = LAYER_NONE, copy = LAYER_NONE;

	_cleanup_close_ int layers = open_layers(name, e);
	if (layers < 0)
		return layers;
	int r = layer_find(layers, name, true, &l, e);
	if (r == 0)
		r = layer_find(layers, to, true, &from, e);
	/* A merging of a call's layer can outlive the sandbox that it began under. */
	_cleanup_close_ int lock = r < 0 ? r : scratch_lock(&l, e);
	if (lock < 0)
		return lock;
	if (!layers_match(&l, &from))
		return fail(e, EXDEV, SANDBOX_STAGE_OVERLAY, to, "the changes of %s are of other directories than those of %s", to,
			    name);
	memcpy(copy.id, l.id, sizeof(copy.id));
	copy.name = strdup(l.name);
	copy.audit = strdup(l.audit);
	copy.auditor = l.auditor ? strdup(l.auditor) : NULL;
	copy.deadline_us = l.deadline_us;
	if (!copy.name || !copy.audit || (l.auditor && !copy.auditor))
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, name, "out of memory");
	r = changes_record_rollback(&l, to, e);
	return r < 0 ? r : layer_copy(layers, &from, true, &copy, e);
}

int sandbox_changes_rollback(const char *name, const char *to, sandbox_error **error)
{
	struct error e = { 0 };

	int r = rollback(name, to, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}
