/* SPDX-License-Identifier: Apache-2.0 */
/* Subset and intersection of two rules. */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "policy/rule.h"

static struct pattern_list paths_of(const struct rule *r)
{
	return (struct pattern_list){ r->paths, r->n_paths };
}

int rule_is_subset(const struct rule *a, const struct rule *b)
{
	if (!host_pattern_is_subset(&a->host, &b->host) || (a->methods & ~b->methods))
		return 0;
	for (int p = 0; p < PROTO_COUNT; p++) {
		if (a->ports[p].lo && (a->ports[p].lo < b->ports[p].lo || a->ports[p].hi > b->ports[p].hi))
			return 0;
	}
	struct pattern_list b_paths = paths_of(b);
	return pattern_lists_included(paths_of(a), &b_paths, 1);
}

/* Take over the patterns of from that do not follow from those of r already. */
static int add_paths(struct rule *r, const struct rule *from)
{
	for (size_t i = 0; i < from->n_paths; i++) {
		struct pattern_list one = { &from->paths[i], 1 };
		int implied = pattern_lists_included(paths_of(r), &one, 1);
		if (implied < 0 && implied != -E2BIG)
			return implied;
		if (implied == 1)
			continue;
		struct path_pattern **more = realloc(r->paths, (r->n_paths + 1) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		r->paths = more;
		r->paths[r->n_paths] = path_pattern_copy(from->paths[i]);
		if (!r->paths[r->n_paths])
			return -ENOMEM;
		r->n_paths++;
	}
	return 0;
}

/* Drop patterns that the later ones imply (add_paths looked only the other way). */
static int drop_implied(struct rule *r)
{
	for (size_t i = 0; i < r->n_paths && r->n_paths > 1;) {
		struct path_pattern *p = r->paths[i];
		struct pattern_list one = { &p, 1 };
		memmove(&r->paths[i], &r->paths[i + 1], (r->n_paths - i - 1) * sizeof(*r->paths));
		r->n_paths--;
		int implied = pattern_lists_included(paths_of(r), &one, 1);
		if (implied == 1) {
			free(p);
			continue;
		}
		memmove(&r->paths[i + 1], &r->paths[i], (r->n_paths - i) * sizeof(*r->paths));
		r->paths[i++] = p;
		r->n_paths++;
		if (implied < 0 && implied != -E2BIG)
			return implied;
	}
	return 0;
}

int rule_intersect(const struct rule *a, const struct rule *b, struct rule **ret)
{
	const struct host_pattern *host = host_pattern_intersect(&a->host, &b->host);
	bool any = false;

	*ret = NULL;
	if (!host || !(a->methods & b->methods))
		return 0;
	_cleanup_(rule_freep) struct rule *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->kind = a->kind;
	r->methods = a->methods & b->methods;
	for (int p = 0; p < PROTO_COUNT; p++) {
		uint16_t lo = a->ports[p].lo > b->ports[p].lo ? a->ports[p].lo : b->ports[p].lo;
		uint16_t hi = a->ports[p].hi < b->ports[p].hi ? a->ports[p].hi : b->ports[p].hi;
		if (!a->ports[p].lo || !b->ports[p].lo || lo > hi)
			continue;
		r->ports[p] = (struct port_range){ lo, hi };
		any = true;
	}
	if (!any)
		return 0;
	int err = host_pattern_copy(host, &r->host);
	if (err == 0)
		err = add_paths(r, a);
	if (err == 0)
		err = add_paths(r, b);
	if (err == 0)
		err = drop_implied(r);
	if (err == 0 && r->n_paths > 1)
		err = pattern_lists_included(paths_of(r), NULL, 0);
	if (err == 1) /* within nothing: empty */
		return 0;
	if (err < 0 && err != -E2BIG)
		return err;
	*ret = TAKE_PTR(r);
	return 1;
}
