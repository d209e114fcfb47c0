/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The secret values, read from their pipes into locked memory that no dump contains, and the placeholders that stand
 * for them in each call. Of commands each call gets a value of its own (issue.h).
 */
#ifndef NSBOX_GATEWAY_SECRETS_H
#define NSBOX_GATEWAY_SECRETS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "gateway/locked.h"
#include "gateway/placeholder.h"
#include "policy/policy.h"

struct call;
struct grant;
struct source_answer;

#define SECRET_MAX (64u * 1024u)

struct secret {
	const struct policy_secret *rule;
	bool revoked; /* for good: its placeholders are known, and worth nothing */
	struct issuer *issuer; /* SOURCE_EXEC: it has a value for each call, and none here; NULL: one for all */
	const uint8_t *value; /* NULL: it was revoked */
	size_t len;
	struct locked pages; /* where it lies */
	size_t usual; /* length of the last one, for placeholders */
	bool resizes; /* an answer in which a placeholder stands for this one or an earlier one may have another length */
	size_t n_known, known_bytes; /* of it in secrets.values */
};

/* Values of one secret that answers are searched for: beyond either the oldest that is not in use goes, and when all are,
 * there is no new one. A server may take, and show, one that was replaced as long as it likes. */
#define KNOWN_VALUES_MAX 1024u
#define KNOWN_BYTES_MAX (1024u * 1024u)

/* Who holds a placeholder; outlives the call, so that the string is still known for what it was. */
struct holder {
	struct call *call; /* NULL: the call has ended */
	const struct placeholder *placeholder;
	struct issue *issue; /* what its call was given, when that differs; NULL: nothing yet */
	struct holder *next;
};

/* Placeholders of ended calls that are remembered, the oldest forgotten first: with 24 random characters they mean
 * nothing to anybody; what is kept serves the audit log. */
#define DEAD_MAX 4096u
#define DEAD_BYTES_MAX (1024u * 1024u)

struct secrets {
	struct secret *v;
	size_t n;
	struct placeholder_table table;
	struct placeholder_table values; /* what answers are searched for */
	bool unlocked;	  /* --allow-degraded locked-memory */
	struct holder *dead, **dead_tail;
	size_t n_dead, dead_bytes;
};

/*
 * Read every pipe to its end (one for each secret, in the order of the policy; the descriptors are closed), and ask
 * every command. Waits for the writers, but no longer than the supervisor at parent_fd lives.
 */
int secrets_read(struct secrets *s, const struct policy *policy, int *fds, size_t n_fds, int parent_fd, struct error *e);

/* A value that may be one, in locked memory of its own; answers are searched for it too. */
int secrets_keep(struct secrets *s, size_t secret, const uint8_t *value, size_t len, struct locked *ret, struct error *e);
/* Another value: from here on it is used, and answers are searched for it too. On failure the old one stays. */
int secrets_set(struct secrets *s, size_t secret, const uint8_t *value, size_t len, struct error *e);
/* One more, with its first value; rule is taken over when that works, for as long as the gateway lives. */
int secrets_add(struct secrets *s, struct policy_secret *rule, const uint8_t *value, size_t len, struct error *e);
/* The same for one of a command: its first answer, and the socket, which is taken over too when it works. */
int secrets_add_command(struct secrets *s, struct policy_secret *rule, int fd, const struct source_answer *first,
			struct error *e);
/* Of those that are not revoked; -ENOENT. */
ssize_t secrets_find(const struct secrets *s, const char *name);
void secrets_revoke(struct secrets *s, size_t secret);

/* Placeholders for a new call: call->holders, and NAME=placeholder entries for its environment (strv_free). */
int secrets_open_call(struct secrets *s, struct call *call, char ***ret_env);
/* The same for one secret: its entry. */
int secrets_open_one(struct secrets *s, size_t secret, struct call *call, char **ret_entry);
/* They are worth nothing from here on. */
/* Only what the grant holds stays alive. */
void secrets_narrow_call(struct secrets *s, struct call *call, const struct grant *grant);
void secrets_close_call(struct secrets *s, struct call *call);

#endif
