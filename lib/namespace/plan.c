/* SPDX-License-Identifier: Apache-2.0 */
/* Making the root plan from a policy: which host object goes where, and in which order. */
#include "namespace/plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "base/wire.h"
#include "namespace/plan_path.h"
#include "policy/policy.h"

/* One step while the plan is made; strings belong to the policy, except pins, which own theirs. */
struct draft {
	enum plan_kind kind;
	const char *path, *target;
	char *owned;
	uint64_t dev, ino, size;
	bool is_dir;
	size_t order; /* as given: the last of two for the same path wins */
};

struct drafts {
	struct draft *v;
	size_t n, cap;
};

static void drafts_clear(struct drafts *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->v[i].owned);
	free(d->v);
}

static int draft_add(struct drafts *d, struct draft draft)
{
	if (d->n == d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 32;
		struct draft *v = reallocarray(d->v, cap, sizeof(*v));
		if (!v)
			return -ENOMEM;
		d->v = v;
		d->cap = cap;
	}
	draft.order = d->n;
	d->v[d->n++] = draft;
	return 0;
}

static bool is_tree(enum plan_kind kind)
{
	return kind == PLAN_BIND_RO || kind == PLAN_BIND_RW || kind == PLAN_TMPFS || kind == PLAN_OVERLAY;
}

/*
 * Mounting order. Trees first, shorter paths before longer ones, so that the longest path lies on top; then links;
 * then pins from the top down; protect and hide last, because they win over everything.
 */
static int phase(enum plan_kind kind)
{
	switch (kind) {
	case PLAN_SYMLINK:
		return 1;
	case PLAN_PIN:
		return 2;
	case PLAN_PROTECT:
		return 3;
	case PLAN_HIDE:
		return 4;
	default:
		return 0;
	}
}

static int draft_compare(const void *pa, const void *pb)
{
	const struct draft *a = pa, *b = pb;
	size_t la = strlen(a->path), lb = strlen(b->path);

	if (phase(a->kind) != phase(b->kind))
		return phase(a->kind) < phase(b->kind) ? -1 : 1;
	if (la != lb)
		return la < lb ? -1 : 1;
	int r = strcmp(a->path, b->path);
	if (r != 0)
		return r;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* The tree that decides about a path: the longest at or above it. */
static const struct draft *tree_of(const struct drafts *d, const char *path)
{
	const struct draft *best = NULL;

	for (size_t i = 0; i < d->n; i++) {
		const struct draft *t = &d->v[i];
		if (!is_tree(t->kind) || !path_is_at_or_below(path, t->path))
			continue;
		if (!best || strlen(t->path) > strlen(best->path) ||
		    (strlen(t->path) == strlen(best->path) && t->order > best->order))
			best = t;
	}
	return best;
}

/*
 * In a writable tree the parent of a protected path could be renamed away and a new one put in its place, so each
 * directory in between becomes a mount point of itself: renaming a mount point is EBUSY.
 */
static int add_pins(struct drafts *d, const char *path)
{
	const struct draft *tree = tree_of(d, path);

	if (!tree || (tree->kind != PLAN_BIND_RW && tree->kind != PLAN_OVERLAY) || strcmp(tree->path, path) == 0)
		return 0;
	for (size_t at = strlen(tree->path) + 1; path[at]; at++) {
		if (path[at] != '/')
			continue;
		_cleanup_free_ char *pin = strndup(path, at);
		if (!pin)
			return -ENOMEM;
		int r = draft_add(d, (struct draft){ .kind = PLAN_PIN, .path = pin, .is_dir = true });
		if (r < 0)
			return r;
		d->v[d->n - 1].owned = TAKE_PTR(pin);
	}
	return 0;
}

static int refuse(const struct policy_path *p, struct error *e)
{
	if (!plan_path_ok(p->path))
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, p->path,
			    "%s cannot be mounted: name the directories below / that are needed", p->path);
	/* The host's /proc would show the host's processes, and their files through it. */
	if (path_is_at_or_below(p->path, "/proc") && p->kind != PATH_HIDE)
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, p->path,
			    "%s cannot be mounted: a sandbox has a /proc of its own", p->path);
	return 0;
}

static int add_path(struct drafts *d, const struct policy_path *p, uint64_t size, struct error *e)
{
	static const enum plan_kind kinds[] = {
		[PATH_READ] = PLAN_BIND_RO,    [PATH_WRITE] = PLAN_BIND_RW, [PATH_HIDE] = PLAN_HIDE,
		[PATH_PROTECT] = PLAN_PROTECT, [PATH_TMPFS] = PLAN_TMPFS, [PATH_OVERLAY] = PLAN_OVERLAY,
	};
	int r = refuse(p, e);
	if (r < 0)
		return r;
	bool tmpfs = p->kind == PATH_TMPFS;
	r = draft_add(d, (struct draft){
				 .kind = kinds[p->kind],
				 .path = p->path,
				 .dev = tmpfs ? 0 : p->dev,
				 .ino = tmpfs ? 0 : p->ino,
				 .is_dir = p->is_dir || tmpfs,
				 .size = size,
			 });
	if (r == 0 && p->given && strcmp(p->given, p->path) != 0 && plan_path_ok(p->given) &&
	    is_tree(kinds[p->kind]))
		r = draft_add(d, (struct draft){ .kind = PLAN_SYMLINK, .path = p->given, .target = p->path });
	return r;
}

static int collect(const struct policy *p, struct drafts *d, struct error *e)
{
	const char *workdir = policy_workdir(p);
	size_t n;
	const struct policy_path *paths = policy_paths(p, &n);
	int r = 0;

	bool named = false;
	for (size_t i = 0; i < n; i++)
		named |= strcmp(paths[i].path, workdir) == 0 && paths[i].kind != PATH_HIDE &&
			 paths[i].kind != PATH_PROTECT;
	if (!named) {
		struct policy_path whole = { .kind = PATH_WRITE, .path = (char *)workdir, .is_dir = true };
		r = add_path(d, &whole, 0, e);
	}
	uint64_t n_overlays = 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		r = add_path(d, &paths[i], paths[i].kind == PATH_OVERLAY ? n_overlays++ : paths[i].size, e);
	}
	for (size_t i = 0, given = d->n; i < given && r == 0; i++)
		if (d->v[i].kind == PLAN_PROTECT)
			r = add_pins(d, d->v[i].path);
	return r;
}

/* Of several steps of one phase for one path only the last given one stays. */
static void drop_doubles(struct drafts *d)
{
	size_t kept = 0;

	for (size_t i = 0; i < d->n; i++) {
		const struct draft *next = i + 1 < d->n ? &d->v[i + 1] : NULL;
		if (next && phase(next->kind) == phase(d->v[i].kind) && strcmp(next->path, d->v[i].path) == 0)
			free(d->v[i].owned);
		else
			d->v[kept++] = d->v[i];
	}
	d->n = kept;
}

static int put_draft(struct buf *b, const struct draft *t)
{
	int r = wire_put_u8(b, (uint8_t)t->kind);
	if (r == 0)
		r = wire_put_str(b, t->path);
	if (r == 0)
		r = wire_put_str(b, t->target ? t->target : "");
	if (r == 0)
		r = wire_put_u64(b, t->dev);
	if (r == 0)
		r = wire_put_u64(b, t->ino);
	if (r == 0)
		r = wire_put_u8(b, t->is_dir);
	if (r == 0)
		r = wire_put_u64(b, t->size);
	return r;
}

void plan_home(const struct policy *p, char ret[PLAN_MAX_PATH + 1])
{
	const char *home = policy_home(p);
	size_t len = home ? strlen(home) : 0;

	while (len > 1 && home[len - 1] == '/')
		len--;
	if (len <= PLAN_MAX_PATH) {
		snprintf(ret, PLAN_MAX_PATH + 1, "%.*s", (int)len, home ? home : "");
		/* Not below what init mounts over or what belongs to the machine. */
		if (plan_path_ok(ret) && !path_is_at_or_below(ret, "/proc") && !path_is_at_or_below(ret, "/dev"))
			return;
	}
	snprintf(ret, PLAN_MAX_PATH + 1, "/home/%u", getuid());
}

int root_plan_build(const struct policy *p, struct buf *out, struct error *e)
{
	_cleanup_(drafts_clear) struct drafts d = { 0 };
	char home[PLAN_MAX_PATH + 1];
	size_t start = out->len;

	int r = collect(p, &d, e);
	if (r == -ENOMEM)
		return fail_errno(e, ENOMEM, SANDBOX_STAGE_INTERNAL, NULL, "cannot plan the root of the sandbox");
	if (r < 0)
		return r;
	qsort(d.v, d.n, sizeof(*d.v), draft_compare);
	drop_doubles(&d);
	if (d.n > PLAN_MAX_STEPS)
		return fail(e, E2BIG, SANDBOX_STAGE_POLICY, NULL, "more than %u paths in the policy", PLAN_MAX_STEPS);

	plan_home(p, home);
	r = wire_put_u32(out, PLAN_VERSION);
	if (r == 0)
		r = wire_put_u8(out, (uint8_t)policy_net_mode(p));
	if (r == 0)
		r = wire_put_str(out, home);
	if (r == 0)
		r = wire_put_u32(out, (uint32_t)d.n);
	for (size_t i = 0; i < d.n && r == 0; i++)
		r = put_draft(out, &d.v[i]);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_INTERNAL, NULL, "cannot plan the root of the sandbox");
	if (out->len - start > PLAN_MAX_BYTES)
		return fail(e, E2BIG, SANDBOX_STAGE_POLICY, NULL, "the paths of the policy are together over %u KiB",
			    PLAN_MAX_BYTES / 1024u);
	return 0;
}
