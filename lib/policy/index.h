/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of one host, in the three orders that decisions need. */
#ifndef NSBOX_POLICY_INDEX_H
#define NSBOX_POLICY_INDEX_H

#include "policy/internal.h"

struct path_entry {
	const struct path_pattern *pattern; /* the first of the rule */
	const struct net_rule *rule;
};

struct host_group {
	const struct net_rule **rules; /* as given */
	const struct net_rule **kinds; /* of those that differ in nothing but the path the first one; as given */
	struct path_entry *paths;      /* those with a path, by its tokens */
	size_t n, n_paths, n_kinds;
};

/* Fill paths and kinds, for which there is room for all rules. */
void host_group_sort(struct host_group *g);

struct group_match {
	const struct net_target *t;
	const struct net_rule *first; /* as given, that matches */
	bool private;		      /* one that matches is fine with a private address */
};

/* All rules of the group that match. */
void host_group_match(const struct host_group *g, struct group_match *m);

#endif
