/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A grant: the authority of one call. Theory of operation:
 *
 * A grant is a filter on what the policy allows, so it can only narrow: every decision asks the policy first and then
 * the grant, and no grant is ever asked alone. Where it says nothing it lets the policy through ("inherits"); the grant
 * that says nothing is the top element, and grant_of_policy() is that with the policy's limits.
 *
 * Its parts, each with an exact order and an exact intersection:
 *
 *   network    (everything, or a union of rules) without a union of denials. Whether a target may be at a private
 *              address stays the policy's decision.
 *   secrets    everything, or a set of names
 *   files      a level (none, read, write) for every path: that of the longest path named, as in the policy, else the
 *              base: read when only `write` is named, none when `read` is named, write when neither is. It applies to
 *              what the policy names; the system directories and the sandbox's private ones stay as they are.
 *   hide       paths that are not there, whatever else says so, the system directories too
 *   exec       everything, or a set of paths at or below which a file may be executed. The loaders and interpreters
 *              that the kernel opens for it are not among them: whoever enforces adds them.
 *   numbers    timeout, ttl (microseconds), open_files, uses (requests), bytes_up, rate (requests an
 *              hour): 0 means no bound of its own
 *   choices    isolation (full is narrower), background (no is), credentials (placeholders-only is), view of overlaid
 *              directories (scratch is: what it writes is for nobody else; committed is still more: it sees what the host has, and
 *              writes nothing there)
 *
 * Two orders: grant_is_subset() compares two grants as they are, so one that inherits is above one that names
 * something. grant_within() and grant_narrow() ask what a request asks: is everything that it names inside, since what
 * it does not name it inherits. There, naming a path means it as far as the other side goes: what is hidden, read-only
 * or protected inside stays so. A rule that a denial cuts is an excess in both.
 *
 * Life: grant_new(), grant_set() per line, grant_finish() once (paths become canonical); after it only reading. A
 * template, [grant NAME], is made by policy_set() and finished by policy_finish(), which refuses one that is not
 * within the policy. In a template network and secrets are always set: what is not named is not granted. Grants cross
 * processes by grant_encode()/grant_decode(), templates inside the encoded policy.
 */
#ifndef NSBOX_POLICY_GRANT_H
#define NSBOX_POLICY_GRANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "policy/policy.h"

/* Bounds of one grant: past them is an error (E2BIG), never a cut. */
#define GRANT_RULES_MAX 1024 /* allow; and as many deny */
#define GRANT_SECRETS_MAX POLICY_SECRETS_MAX
#define GRANT_PATHS_MAX 256 /* of each list */
#define GRANT_ARGV_MAX 16   /* patterns */
#define GRANT_WORDS_MAX 64  /* of one pattern */
#define GRANT_TEMPLATES_MAX 128

struct grant;

enum grant_level { GRANT_NONE = 0, GRANT_READ, GRANT_WRITE };

/* Canonical when the grant was finished: who opens it later must not follow links. */
struct grant_path {
	char *path;
	enum grant_level level; /* of files; else 0 */
	char *origin;
};

struct grant_secret {
	char *name, *origin;
};

enum grant_view { GRANT_VIEW_WORKING = 0, GRANT_VIEW_SCRATCH, GRANT_VIEW_COMMITTED };

enum grant_number { GRANT_TIMEOUT = 0, GRANT_TTL, GRANT_OPEN_FILES, GRANT_USES, GRANT_BYTES_UP, GRANT_RATE };

/* The first thing in which one side exceeds the other. */
struct grant_excess {
	const char *field;   /* the key, for example "allow" */
	char item[512];      /* what exceeds, as text; "" when nothing is named where a bound is needed */
	char origin[256];    /* where it was written, or "" */
	char accepted[512];  /* what would be accepted */
};

/* ---- building ---- */
int grant_new(struct grant **ret);
void grant_free(struct grant *g);
/* For one user more, who frees it too. Nobody changes it any more. */
struct grant *grant_ref(struct grant *g);
void grant_freep(struct grant **g);
/* As the line `key = value` of [grant NAME], but for argv, which only templates have. Relative paths are against base
 * (NULL: the current directory). `none` in a list sets it without an item. */
int grant_set(struct grant *g, const char *key, const char *value, const char *base, const char *origin,
	      struct error *e);
/* Resolve paths and check that the parts fit together. Needed before anything below; again after more grant_set(). */
int grant_finish(struct grant *g, struct error *e);
int grant_of_policy(const struct policy *p, struct grant **ret);
int grant_copy(const struct grant *g, struct grant **ret);
/* A copy of g, with the policy's limits where it names none. */
int grant_effective(const struct policy *p, const struct grant *g, struct grant **ret);

/* ---- order; all of finished grants ---- */
/* Each question has a bound, since who asks for a grant may write it so that it is slow to compare. From here to the end
 * all questions of this thread together have this one, in steps of path_pattern.h. */
void grant_budget_begin(uint64_t steps);
void grant_budget_end(void);
/* 1 yes, 0 no (then first says why; may be NULL), negative errno. Rules too entangled to decide count as no. */
int grant_is_subset(const struct grant *a, const struct grant *b, struct grant_excess *first);
/* The greatest grant below both. -E2BIG when it would be over the bounds. */
int grant_intersect(const struct grant *a, const struct grant *b, struct grant **ret);
/* Everything that g names is in the finished policy. Looks at nothing outside of the two. */
int grant_within(const struct policy *p, const struct grant *g, struct grant_excess *first);
/* What a child gets that asks a parent for request: 1 and the intersection, 0 when request names more (first), or
 * negative errno. */
int grant_narrow(const struct grant *parent, const struct grant *request, struct grant **ret,
		 struct grant_excess *first);
/* The excess as an error, -EPERM: "ORIGIN: WHAT key = item: more than THAN allows; accepted: ...". */
int grant_excess_error(const struct grant_excess *x, const char *what, const char *than, struct error *e);

/* ---- crossing processes; decode checks every value again ---- */
int grant_encode(const struct grant *g, struct buf *out);
int grant_decode(const void *data, size_t len, struct grant **ret, struct error *e);

/* ---- templates of a finished policy ---- */
/* NULL: there is none of this name. Owned by the policy. */
const struct grant *policy_grant(const struct policy *p, const char *name);
/* In the order of the file. */
const struct grant *const *policy_grants(const struct policy *p, size_t *ret_n);
/* The first one that an argv pattern of matches, or NULL. argv[0] is taken as it is: what it leads to is for the caller
 * to check (`exec` of the grant). */
const struct grant *policy_grant_for_argv(const struct policy *p, const char *const *argv);

/* ---- deciding; allocation-free, cost at most logarithmic in rules ---- */
/* The policy's decision and the grant's. Where only the grant says no, the reason is "grant-deny", and rule and origin
 * are its denial (as "deny-rule" final: nothing may be relayed instead), or "grant", and they are the nearest rule,
 * which missed by method or path, or "" and where the grant was made. Where both say yes they are those of the grant,
 * if it names any. The verdict's texts live as long as both. */
void grant_decide(const struct policy *p, const struct grant *g, const struct net_target *t, struct net_verdict *ret);
/* As policy_host_possible() and policy_addr_denied(), of both. */
bool grant_host_possible(const struct policy *p, const struct grant *g, enum net_proto proto, const char *host,
			 const struct in6_addr *addr, uint16_t port);
bool grant_addr_denied(const struct policy *p, const struct grant *g, enum net_proto proto, const struct in6_addr *addr,
		       uint16_t port);
bool grant_has_secret(const struct grant *g, const char *name);
/* The grant holds the secret, and the secret may go there. The request itself is decided by grant_decide(). */
bool grant_secret_allowed(const struct grant *g, const struct policy_secret *s, const struct net_target *t);
/* Of a canonical path: the level of files named by the policy (GRANT_WRITE: as the policy has it). Hidden: GRANT_NONE. */
enum grant_level grant_path_level(const struct grant *g, const char *path);
bool grant_path_hidden(const struct grant *g, const char *path);
bool grant_may_execute(const struct grant *g, const char *path);

/* ---- questions of `nsbox grant check`; as policy_check_url() and policy_check_path(), reason "grant" as above ---- */
int grant_check_url(const struct policy *p, const struct grant *g, const char *url, const char *method,
		    struct net_verdict *ret, struct error *e);
int grant_check_path(const struct policy *p, const struct grant *g, const char *path, bool write,
		     struct path_verdict *ret, struct error *e);

/* ---- reading a finished grant ---- */
const char *grant_name(const struct grant *g);   /* of the template, or "" */
const char *grant_origin(const struct grant *g); /* where it was begun, or "" */
bool grant_inherits_files(const struct grant *g); /* no path is named and nothing is read-only */
bool grant_inherits_exec(const struct grant *g);
const struct grant_path *grant_files(const struct grant *g, size_t *ret_n); /* parents first */
const struct grant_path *grant_hides(const struct grant *g, size_t *ret_n);
const struct grant_path *grant_execs(const struct grant *g, size_t *ret_n);
uint64_t grant_number(const struct grant *g, enum grant_number which);
bool grant_full(const struct grant *g);              /* isolation = full is demanded */
bool grant_background(const struct grant *g);        /* what the call leaves may go on */
bool grant_placeholders_only(const struct grant *g); /* no credential but this call's placeholders */
enum grant_view grant_view(const struct grant *g);

/* The grant as [grant NAME] of a policy file (NAME: "call" where it has none), each line with its reason and source as
 * a comment; stable byte for byte. What is inherited is said in comments. */
int grant_dump(const struct grant *g, struct buf *out);

/* What a finished grant names, for who decides about it: every value as it is, also one that no line of a policy file can
 * hold; those of one key one after the other. What is inherited is not named. Ends with the first of fn that is not 0. */
typedef int (*grant_item_fn)(void *context, const char *key, const char *value);
int grant_items(const struct grant *g, grant_item_fn fn, void *context);

#endif
