/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside lib/policy. Theory of operation: every source (profile, file, flag, API) becomes settings `section, key,
 * value`; policy_apply() checks the form of one and appends it to the struct below, still unresolved. policy_finish()
 * resolves paths against the file system, takes defaults and checks that the whole fits together; index.c sorts the
 * rules for policy_decide(). Another process gets the finished policy by encode.c and checks all of it again.
 */
#ifndef NSBOX_POLICY_INTERNAL_H
#define NSBOX_POLICY_INTERNAL_H

#include "base/util.h"
#include "policy/policy.h"
#include "policy/profile.h"
#include "policy/rule.h"

/* Bounds of one policy: past them is an error, never a cut. */
#define ENTRIES_MAX 4096 /* paths, variables: each */
#define RULES_MAX 16384  /* network rules of one kind */
#define SECRETS_MAX POLICY_SECRETS_MAX
#define TARGETS_MAX 64   /* of one secret or quota */
#define QUOTAS_MAX POLICY_QUOTAS_MAX
#define QUOTA_REQUESTS_MAX 1000000000u
#define VALUE_MAX 65536
#define ORIGIN_MAX 255
#define PORTS_MAX 128

struct raw_path {
	enum path_kind kind;
	char *text;     /* absolute, or relative to the workdir */
	bool optional;  /* from a built-in profile: nothing there is no error */
	uint64_t size;
	char *origin;
};

struct net_rule {
	struct rule *rule;
	char *text;   /* canonical */
	char *origin;
	bool allow_private;
	bool optional; /* from a built-in profile: nothing to it without a gateway */
};

struct net_rules {
	struct net_rule *rule;
	size_t n;
	struct rule_index *index; /* index.c */
};

struct policy_file {
	char *path; /* canonical */
	dev_t dev;
	ino_t ino;
};

struct policy_registry {
	const char *client; /* static */
	char *origin;
};

enum limit_key { LIMIT_MEMORY = 0, LIMIT_DISK, LIMIT_CPUS, LIMIT_TIMEOUT, LIMIT_PIDS, LIMIT_OPEN_FILES, LIMIT_COUNT };

struct grant; /* grant.h */

struct policy {
	char *workdir; /* absolute; canonical when finished */
	char *home;    /* the caller's home directory as it names it, or NULL */
	bool workdir_force;
	bool finished;
	enum net_mode mode;
	char *mode_origin;
	struct raw_path *raw_paths;
	size_t n_raw_paths;
	struct policy_path *paths;
	size_t n_paths;
	struct net_rules allow, deny; /* allow: with passthrough and allow_private */
	struct policy_secret *secrets;
	size_t n_secrets;
	struct policy_connect_to *connect_tos;
	size_t n_connect_tos;
	struct policy_upstream_ca *cas;
	size_t n_cas;
	struct policy_client_cert *client_certs;
	size_t n_client_certs;
	struct policy_upstream_proxy proxy;
	struct policy_env *envs;
	size_t n_envs;
	struct policy_limits limits;
	char *limit_origins[LIMIT_COUNT];
	struct policy_quota *quotas;
	size_t n_quotas;
	struct policy_auditor auditor;
	char **degraded; /* sorted, NULL-terminated */
	size_t n_degraded;
	struct grant **grants; /* templates, as given */
	size_t n_grants;
	struct policy_file *files;
	size_t n_files;
	struct policy_registry *registries;
	size_t n_registries;
	char **profiles; /* applied already */
	size_t n_profiles;
	struct buf warnings;
};

/* One setting and where it came from. */
struct setting {
	const char *section, *key, *value;
	const char *name;   /* of [secret NAME], else "" */
	const char *base;   /* directory of relative paths; NULL: the workdir */
	const char *file_base; /* the same for upstream_ca, source = file: and extends = ./x */
	const char *origin;
	enum { FROM_USER = 0, FROM_BUILTIN, FROM_PROJECT } from; /* a profile built in; the project's own file */
	unsigned depth;     /* of extends */
};

/* "ORIGIN: key = value: what"; a secret's value is never in it. */
int bad_setting(const struct setting *s, struct error *e, int err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The same around the reason that a parser left in why. */
int bad_setting_why(const struct setting *s, struct error *e, int err, const struct error *why);
int out_of_memory(struct error *e);

int policy_apply(struct policy *p, const struct setting *s, struct error *e);
/* upstream.c */
int set_client_cert(struct policy *p, const struct setting *s, struct error *e);
/* The files are there. */
int check_client_certs(const struct policy *p, struct error *e);
int dump_client_certs(const struct policy *p, struct buf *out);
void client_certs_free(struct policy *p);
int set_upstream_proxy(struct policy *p, const struct setting *s, struct error *e);
/* Its password stays out of the sandbox. */
int check_upstream_proxy(const struct policy *p, struct error *e);
int dump_upstream_proxy(const struct policy *p, struct buf *out);
void upstream_proxy_done(struct policy_upstream_proxy *proxy);
/* set_network.c: HOST:PORT of exactly one host at s, up to len; brackets around IPv6. Its length, or -EINVAL. */
ssize_t host_and_port(const char *s, size_t len, char host[256], uint16_t *port);

/* By section; the key is known. */
int set_filesystem(struct policy *p, const struct setting *s, struct error *e);
int set_network(struct policy *p, const struct setting *s, struct error *e);
int set_secret(struct policy *p, const struct setting *s, struct error *e);
int set_env(struct policy *p, const struct setting *s, struct error *e);
int set_limit(struct policy *p, const struct setting *s, struct error *e);
int set_quota(struct policy *p, const struct setting *s, struct error *e);
int set_audit(struct policy *p, const struct setting *s, struct error *e);
int set_sandbox(struct policy *p, const struct setting *s, struct error *e);
/* Known section? Then its keys as "a, b, c" in ret_keys (may be NULL). name: what follows "secret ". */
bool section_known(const char *section, const char **ret_name);
const char *section_list(void);
bool variable_name_valid(const char *s, size_t len);
bool placeholder_valid(const char *s);

/* An element more, zeroed, or NULL with the error filled: out of memory, or over max. */
void *grow(void *array, size_t *n, size_t element, size_t max, const char *what, const char *origin, struct error *e);
int replace(char **slot, const char *value, struct error *e);
/* Call f with each part of a comma-separated list, blanks around it removed. */
int each_in_list(const struct setting *s, struct error *e,
		 int (*f)(struct policy *p, const struct setting *s, const char *item, struct error *e), struct policy *p);

/* values.c: forms of numbers */
int parse_size(const char *s, uint64_t *ret);
int parse_duration(const char *s, uint64_t *ret_us);
int parse_milli(const char *s, uint64_t *ret);
int parse_count(const char *s, uint64_t max, uint32_t *ret);
void format_size(uint64_t v, char ret[32]);
void format_duration(uint64_t us, char ret[32]);
/* N/s, N/m or N/h as so many an hour. */
#define RATE_MAX_SECOND 100000u
#define RATE_MAX (RATE_MAX_SECOND * UINT64_C(3600))
#define RATE_FORM "accepted: a whole number a second, minute or hour, as in 10/s, 300/m or 5/h, at most 100000/s"
int parse_rate(const char *s, uint64_t *ret);
void format_rate(uint64_t per_hour, char ret[32]);

/* near.c: the name in a NULL-terminated list that s is probably a slip of, or NULL */
const char *near_name(const char *s, const char *const *list);

/* ini.c */
struct ini_entry {
	char *section, *key, *value; /* key "": the section [grant NAME] begins here */
	unsigned line;
};
struct ini_file {
	struct ini_entry *entry;
	size_t n;
};
int ini_read(const char *text, size_t len, const char *name, struct ini_file *ret, struct error *e);
void ini_done(struct ini_file *f);

/* layer.c */
int load_layer(struct policy *p, const char *name, const char *file_base, unsigned depth, const struct setting *by,
	       struct error *e);
/* Settings of a file in its own order, what it extends first. */
int apply_file(struct policy *p, const struct ini_file *file, const struct setting *like, const char *shown,
	       struct error *e);

/* paths.c, protect.c, fit.c: parts of policy_finish() */
int check_path_bytes(const char *path);
int absolute_path(const char *base, const char *text, char **ret);
int home_dir(char **ret);
bool is_home_or_above(dev_t dev, ino_t ino);
int finish_workdir(struct policy *p, struct error *e);
int finish_paths(struct policy *p, struct error *e);
int add_default_protection(struct policy *p, struct error *e);
/* An error that says that there is nothing, or nothing that anybody here can reach. */
bool is_unreachable(int r);
/* What path leads to. file_only: no directory. */
int protect_target(struct policy *p, const char *path, bool file_only, struct error *e);
/* 0 for what is unreachable. */
int protect_look_failed(const char *path, int err, struct error *e);
/* protect_git.c: what the configuration of git has it execute in the worktree top. */
int protect_configured(struct policy *p, const char *top, struct error *e);
/* credentials.c: what of them a grant above would show. */
int hide_credentials(struct policy *p, struct error *e);
/* What is at a path now: the canonical one, its identity and kind. */
struct object {
	char *path;
	dev_t dev;
	ino_t ino;
	bool is_dir;
};
static inline void object_free(struct object *o)
{
	free(o->path);
}
#define _cleanup_object_ _cleanup_(object_free)
/* closed.c: nobody but its owner can open it, who runs what is inside. */
struct stat;
bool is_closed(const struct stat *st);
/* 1: that directory keeps us from path; 0: something else does. */
int closed_on_way(const char *path, struct object *ret, struct error *e);
/* hide_glob.c: one that was found is hidden, within a bound. tree: where links may lead. */
struct found {
	size_t n, max;
	bool cut, warned, closed; /* warned of the first link that leads elsewhere, and of the first closed directory */
};
/* As a whole, since what is in it is not known. */
int hide_closed(struct policy *p, const struct raw_path *raw, const char *path, struct found *found, struct error *e);
int hide_found(struct policy *p, const struct raw_path *raw, const char *path, const char *tree, struct found *found,
	       struct error *e);
/* A name with * ? [, and what there is that it matches. given: raw's, absolute. */
bool is_pattern(const char *path);
int hide_matching(struct policy *p, const struct raw_path *raw, const char *given, struct error *e);
/* hide_below.c: of a built-in profile, for all of the workspace; looked for together, when all paths are known. */
bool hides_below(const struct raw_path *raw);
int hide_below(struct policy *p, struct error *e);
/* own_place.c: a path that ends in {workdir}, or has that elsewhere. */
bool is_own_place(const char *text);
bool names_own_place(const char *text);
/* *path, absolute: made to what is meant, or NULL where there is nothing to resolve now. */
int finish_own_place(struct policy *p, const struct raw_path *raw, char **path, struct error *e);
/* Those that policy_make_own_places() would make, as comments. */
int dump_own_places(const struct policy *p, struct buf *out);
/* worktree.c: what git needs of the repository of a workdir that is a linked worktree. */
int add_worktree(struct policy *p, struct error *e);
/* Where path is mounted from: last effective entry that covers it, or NULL. */
const struct policy_path *effective_path(const struct policy *p, const char *path);
bool path_below(const char *path, const char *dir);
void paths_free(struct policy_path *paths, size_t n);
void sort_paths(struct policy *p);
int check_links(const struct policy *p, const struct policy_path *path, struct error *e);
int resolve_path(const char *path, struct object *ret, struct error *e);
/* hide_glob.c: whether path is a link to a directory, or to a file outside of tree. */
bool hides_too_much(const char *path, const struct object *at, const char *tree);
/* An entry that nobody wrote as it is: for what is there, resolved. */
int add_object(struct policy *p, enum path_kind kind, const struct object *at, const char *given, const char *origin,
	       struct error *e);
/* host_place.c: something that is used on the host, by name, while the sandbox lives. */
struct host_use {
	const char *what, *name; /* for messages */
	int stage;
	const char *dir; /* where its commands run, "" for the root */
	bool hides_words; /* of its commands */
};
/* -EPERM: the sandbox can change where an absolute path leads to, or what is there; else real (PATH_MAX bytes) is where. */
int place_check_file(const struct policy *p, const struct host_use *use, const char *path, char *real, struct error *e);
int place_check_command(const struct policy *p, const struct host_use *use, const char *command, struct error *e);
int check_fit(struct policy *p, struct error *e);
/* The part of check_fit() that looks at nothing outside of the policy. */
int check_contradictions(struct policy *p, struct error *e);
/* check.c: is a canonical path read-only there in every sandbox, without being named? And the canonical form of a path
 * that may be missing at its end. */
bool system_view_has(const char *path);
int check_canonical(const char *path, char **ret, struct error *e);
/* The key and the bytes of a value of [grant NAME]. */
int check_grant_line(const struct setting *s, struct error *e);
/* dump.c: one line with why it is there and where it was written; and lines of comments. */
int dump_line(struct buf *out, const char *key, const char *value, const char *reason, const char *origin);
int dump_comment(struct buf *out, const char *text);
int warn(struct policy *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* policy.c */
void net_rules_done(struct net_rules *rules);

/* index.c */
int rules_index(struct net_rules *rules);
void rules_index_free(struct rule_index *index);
/* The first rule that matches, as rules_each() goes; NULL. ret_private (may be NULL): does one that matches, also if it is
 * not the first, let the name lead to a private address? The cost hardly grows with the number of rules. */
const struct net_rule *rules_match(const struct net_rules *rules, const struct net_target *t, bool *ret_private);
/* As rules_each(), but of all rules for a host that differ in nothing but their path only the first that has one. */
bool rules_each_kind(const struct net_rules *rules, const struct net_target *t,
		     bool (*f)(const struct net_rule *rule, const struct net_target *t, void *arg), void *arg);
/* Is there one for the endpoint of t, whatever its method and path; and one without any of these? */
bool rules_match_endpoint(const struct net_rules *rules, const struct net_target *t);
bool rules_match_whole(const struct net_rules *rules, const struct net_target *t);
/* Call f for every rule whose host contains that of t, most specific first, until it returns true. */
bool rules_each(const struct net_rules *rules, const struct net_target *t,
		bool (*f)(const struct net_rule *rule, const struct net_target *t, void *arg), void *arg);
/* The rules that have something of that host, into room for all of them; for a name without looking at the others. */
size_t rules_meeting(const struct net_rules *rules, const struct host_pattern *host, struct rule **ret);

/* registries.c: [network] registries = CLIENT, resolved when the paths are. */
int add_registry(struct policy *p, const struct setting *s, const char *item, struct error *e);
int finish_registries(struct policy *p, struct error *e);

int add_net_rule(struct net_rules *to, struct rule *rule, bool allow_private, const char *origin, struct error *e);
void secret_done(struct policy_secret *s);

/* set_quota.c */
extern const char *const quota_keys[QUOTA_LIMITS];
void quota_done(struct policy_quota *q);
void quota_limit_text(enum quota_limit which, uint64_t v, char ret[32]);

#endif
