/* SPDX-License-Identifier: Apache-2.0 */
/* The layers of sandboxes with overlays, layers/ID in the state directory, as the client library handles them. */
#ifndef NSBOX_CLIENT_CHANGES_H
#define NSBOX_CLIENT_CHANGES_H

#include "client/client.h"
#include "overlay/changes.h"

/* A layer for the overlays of the sandbox; ret stays empty when there are none. policy: the caller's, not yet encoded. */
int layer_make_for(struct sandbox *b, const struct sandbox_policy *policy, struct layer *ret, struct error *e);
/* Erase it. */
void layer_drop(struct layer *l);
/* The sandbox has ended: its layer goes when nothing was written. */
void layer_drop_unused(const struct sandbox *b);

/* Of the same directories. */
bool layers_match(const struct layer *a, const struct layer *b);
/* layers/ (O_PATH); make: else -ENOENT when there is none. */
int layers_open(bool make, struct error *e);
/* Of a sandbox by its id, or by its name when there is only one of that name. */
int layer_find(int layers, const char *name, bool change, struct layer *ret, struct error *e);

/* What a record tells of the selected changes: their paths, as far as there is room, and how many there are. */
struct changes_facts {
	char **paths;
	size_t files, executed;
};

void changes_facts_free(struct changes_facts *f);
#define _cleanup_changes_facts_ __attribute__((cleanup(changes_facts_free)))

/* changes_record.c: fs.commit or fs.discard of the selected changes; more members (JSON, may be ""); what is lost by a rollback.
 * -ENOMEM: free what is in ret all the same. */
int changes_facts(const struct changes *c, struct changes_facts *ret);
int changes_record_facts(const struct layer *l, const struct changes_facts *facts, const char *event, const char *more,
			 struct error *e);
int changes_record(const struct layer *l, const struct changes *c, const char *event, const char *more, size_t *ret_n,
		   struct error *e);
int changes_record_rollback(const struct layer *l, const char *to, struct error *e);

/* The audit log of the sandbox, to go on in. */
int changes_log_open(const struct layer *l, struct error *e);

/* review.c: ask the auditor of the sandbox about a commit of the selected changes, which have that digest. *ret_decided:
 * who allowed it and why, members for the record; "": nobody has to be asked. A denial is an error. */
int review_ask(const struct changes *c, const char *digest, char **ret_decided, struct error *e);

/* changes_path.c: absolute and canonical, but for the last component. */
int paths_absolute(const char *const *paths, char ***ret, struct error *e);

/* changes_json.c: members about the layer; an object with those and the selected changes,
 * with lines also with how many lines came and went; digest: "" for none. */
int layer_members(struct buf *b, const struct layer *l);
/* Members of one change that are known from the layer alone, and the flags, as member flags. */
int changes_members(struct buf *b, const struct changes *c, const struct change *change);
int changes_flags(struct buf *b, unsigned flags);
int changes_json(struct buf *b, const struct changes *c, bool lines, const char *digest);

#endif
