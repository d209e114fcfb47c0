/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy: what a sandbox may do at most. Built by layers (profiles, files, flags) through policy_set(), which every
 * source uses; resolved and checked once by policy_finish(); then read-only. It crosses process boundaries through
 * policy_encode()/policy_decode(), never as text, and never carries a secret's value.
 */
#ifndef NSBOX_POLICY_POLICY_H
#define NSBOX_POLICY_POLICY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

enum net_mode { NET_GATEWAY = 0, NET_NONE = 1, NET_HOST = 2 };

#define POLICY_OVERLAYS_MAX 64u

enum path_kind { PATH_READ = 0, PATH_WRITE, PATH_OVERLAY, PATH_HIDE, PATH_PROTECT, PATH_TMPFS };

struct policy_path {
	enum path_kind kind;
	char *path;    /* canonical absolute path on the host (symlinks resolved); for PATH_TMPFS as given, absolute */
	char *given;   /* absolute as the user wrote it; differs from path when a symlink was on the way */
	dev_t dev;     /* identity at the time of the check: the mounting side refuses another object */
	ino_t ino;
	bool is_dir;
	uint64_t size; /* PATH_TMPFS: bytes, 0 = default */
	char *origin;
};

struct rule; /* rule.h */

/* Each is a descriptor of one packet (WIRE_MAX_FDS), where others need room too. */
#define POLICY_SECRETS_MAX 128

enum secret_inject {
	INJECT_HEADER = 1,
	INJECT_BASIC = 2,
	INJECT_QUERY = 4,
	INJECT_PATH = 8,
	INJECT_BODY = 16,
	INJECT_SIGV4 = 32, /* alone: requests are signed with it */
};

enum secret_misuse { MISUSE_BLOCK = 0, MISUSE_KILL, MISUSE_PASS };

enum secret_source { SOURCE_ENV = 0, SOURCE_FILE, SOURCE_EXEC, SOURCE_VALUE };

struct policy_secret {
	char *name; /* [A-Za-z_][A-Za-z0-9_]* */
	enum secret_source source;
	char *source_arg;  /* variable, absolute path, command; "" for SOURCE_VALUE (given through the API) */
	char *revoke;	   /* command that ends what SOURCE_EXEC gave, or NULL */
	char *key_id;	   /* INJECT_SIGV4: name of the secret that is the id of this key, else NULL */
	char *placeholder; /* shape such as "sk-ant-{random:40}", or NULL for the default */
	uint32_t inject;   /* enum secret_inject bits */
	bool insecure;     /* also towards plain HTTP */
	bool scrub;
	bool optional;       /* of a built-in profile: nothing to it where its variable is not set */
	enum secret_misuse on_misuse;
	struct rule **allow; /* where it may go; no methods */
	size_t n_allow;
	char *origin;
};

struct policy_connect_to {
	char *host; /* canonical */
	uint16_t port;
	char *addr; /* address literal without brackets, or a host name */
	uint16_t addr_port;
	char *origin;
};

struct policy_upstream_ca {
	char *path; /* absolute; read by the gateway before it confines itself */
	char *host; /* canonical, or NULL: the hosts of connect_to */
	char *origin;
};

#define CLIENT_CERTS_MAX 16u

struct policy_client_cert {
	char *cert; /* absolute; PEM, read by the gateway before it confines itself */
	char *key;  /* absolute; opened by the client, and read by nobody but the gateway */
	char *host; /* canonical; the only one that gets to see it */
	char *origin;
};

struct policy_upstream_proxy {
	char *host; /* canonical */
	uint16_t port;
	enum secret_source source; /* SOURCE_ENV or SOURCE_FILE */
	char *source_arg;          /* of USER:PASSWORD; NULL: it asks for none */
	char *origin;
};

struct policy_env {
	char *name;
	char *value; /* NULL: pass on the caller's */
	char *origin;
};

struct policy_limits { /* 0 = the default of DESIGN 6 */
	uint64_t memory, disk; /* bytes */
	uint64_t cpus_milli;   /* thousandths of a cpu */
	uint64_t timeout_us;
	uint32_t pids, open_files;
};

/* Read as in [quota NAME]: 0 is no bound. */
enum quota_limit {
	QUOTA_REQUESTS = 0, /* requests, and connections that are relayed unopened */
	QUOTA_UP,	    /* bytes of their bodies and of relayed connections */
	QUOTA_RATE,	    /* requests an hour, evenly: at once at most those of a second, or one */
	QUOTA_LIMITS
};

/* Counted for all calls of a sandbox together. */
struct policy_quota {
	char *name;
	struct rule **match; /* of kind RULE_DENY: what any of them matches; none: everything */
	size_t n_match;
	uint64_t limits[QUOTA_LIMITS];
	char *limit_origins[QUOTA_LIMITS];
	char *origin;
};

#define POLICY_QUOTAS_MAX 64u

struct policy_auditor {
	char *spec; /* unix:PATH or exec:COMMAND (audit/auditor_spec.h), NULL: nobody is asked */
	char *origin;
	uint64_t deadline_us; /* of an answer, 0 = the default */
	char *deadline_origin;
};

struct policy; /* private to lib/policy; the accessors below are the interface */

/* ---- building (client side) ---- */
int policy_new(struct policy **ret);
void policy_free(struct policy *p);
int policy_set_workdir(struct policy *p, const char *dir, bool force, struct error *e);
int policy_load_profile(struct policy *p, const char *name, struct error *e);
int policy_load_file(struct policy *p, const char *path, struct error *e);
/* As a line `key = value` of [section]. Relative paths are against base (NULL: the current directory). */
int policy_set(struct policy *p, const char *section, const char *key, const char *value, const char *base,
	       const char *origin, struct error *e);
/* --secret NAME[=SOURCE]@TARGET[,TARGET]. The same as policy_set("secret", "spec", spec): no message shows the source. */
int policy_add_secret_spec(struct policy *p, const char *spec, const char *base, const char *origin, struct error *e);
/* --quota LIMIT=VALUE[,LIMIT=VALUE][@RULE], under a name of its own. The same as policy_set("quota", "spec", spec). */
int policy_add_quota_spec(struct policy *p, const char *spec, const char *base, const char *origin, struct error *e);
/* Resolve paths, take defaults, check that everything fits together (DESIGN 6, 8, 9). Idempotent; after it only
 * reading. */
int policy_finish(struct policy *p, struct error *e);
/* Of a finished one: the directories that write = DIR/{workdir} names and that are not there. */
int policy_make_own_places(struct policy *p, struct error *e);
int policy_dump(struct policy *p, struct buf *out);
/* In a finished policy: keep a directory of nsbox's own, or a file, out of view. Nothing to do when it is missing or not
 * visible anyway; -EPERM, with why, when something in it is granted. */
int policy_hide(struct policy *p, const char *dir, const char *why, struct error *e);
/* In a finished policy: hide the files that secrets are read from. -EPERM when a call could change one of them, a command
 * of a secret, or a file that says whom the gateway trusts. */
int policy_guard_sources(struct policy *p, struct error *e);
/* The same for a secret that is to come to a sandbox that runs, where nothing can be hidden any more. */
int policy_check_source(const struct policy *p, const struct policy_secret *s, struct error *e);
/* Whether no call can change where an absolute path leads to, or what is there. */
bool policy_keeps(const struct policy *p, const char *path);
const char *policy_warnings(const struct policy *p);

/* ---- crossing processes; decode checks every value again ---- */
int policy_encode(const struct policy *p, struct buf *out);
int policy_decode(const void *data, size_t len, struct policy **ret, struct error *e);

/* ---- reading a finished policy ---- */
enum net_mode policy_net_mode(const struct policy *p);
const char *policy_workdir(const struct policy *p);
/* The caller's home directory as it was named (may hold links and trailing slashes), or NULL when unknown. */
const char *policy_home(const struct policy *p);
/* In the order in which they take effect: parents before what lies in them (the workdir is among them), then
 * PATH_PROTECT, then PATH_HIDE. */
const struct policy_path *policy_paths(const struct policy *p, size_t *ret_n);
/* Of those the overlaid directories; the place of one in the array is its number in the layer (lib/overlay). */
size_t policy_overlays(const struct policy *p, const struct policy_path *ret[POLICY_OVERLAYS_MAX]);
/* What is protected by default in writable directories, one or two components below them; NULL behind the last. */
const char *policy_protected_name(size_t n);
/* Whether something at this path of a writable directory, where the host would execute it, is nobody's wish.
 * *ret_mounted: what is there cannot be written inside. */
bool policy_watches(const struct policy *p, const char *path, bool *ret_mounted);
/* Path of the n-th policy file that this one was read from, or NULL; unknown in a decoded policy. */
const char *policy_file_path(const struct policy *p, size_t n);
const struct policy_secret *policy_secrets(const struct policy *p, size_t *ret_n);
const struct policy_connect_to *policy_connect_tos(const struct policy *p, size_t *ret_n);
const struct policy_upstream_ca *policy_upstream_cas(const struct policy *p, size_t *ret_n);
const struct policy_client_cert *policy_client_certs(const struct policy *p, size_t *ret_n);
/* NULL: servers are reached directly. */
const struct policy_upstream_proxy *policy_upstream_proxy(const struct policy *p);
const struct policy_env *policy_envs(const struct policy *p, size_t *ret_n);
const struct policy_limits *policy_limits(const struct policy *p);
/* At most POLICY_QUOTAS_MAX; the place of one in the array is its bit in policy_quotas_of(). */
const struct policy_quota *policy_quotas(const struct policy *p, size_t *ret_n);
const struct policy_auditor *policy_auditor(const struct policy *p);
/* True when the control (for example "memory") was named by --allow-degraded ([sandbox] allow_degraded = ...). */
bool policy_degraded_allowed(const struct policy *p, const char *control);
/* All degraded controls named, sorted; for the start message and the log. */
char *const *policy_degraded(const struct policy *p);
/* TCP ports the gateway has to listen on: 80, 443 and every port that a rule names. Sorted, unique; at most 128
 * (more = policy_finish fails, naming the limit). */
size_t policy_ports(const struct policy *p, uint16_t *ports, size_t max);

/* ---- changing a finished policy, while a sandbox runs by it. What fails changes nothing. ---- */
enum rule_key { RULE_KEY_NONE = 0, RULE_KEY_ALLOW = 1, RULE_KEY_PRIVATE = 2, RULE_KEY_PASSTHROUGH = 3 };
/* RULE_KEY_NONE: no such one is added to what runs. */
enum rule_key policy_rule_key(const char *key);
/* The text that such a line is kept as; names may be non-ASCII. */
int policy_rule_canonical(enum rule_key key, const char *text, struct buf *ret, struct error *e);
/* Of a line `key = text`: the single ports that it names, at most 4 (PROTO_COUNT). */
int policy_rule_ports(enum rule_key key, const char *text, uint16_t ports[4], size_t *ret_n, struct error *e);
/* As that line. -EEXIST: it is there already. */
int policy_add_rule(struct policy *p, enum rule_key key, const char *text, const char *origin, struct error *e);
/* allow, allow_private and passthrough of this text. -ENOENT: there is none. */
int policy_find_rule(const struct policy *p, const char *text, struct error *e);
/* All of those. Texts and origins of verdicts by them are gone with them. */
int policy_remove_rule(struct policy *p, enum rule_key key, const char *text, struct error *e);
/* Of one name; NULL: there is none. */
const struct policy_secret *policy_find_secret(const struct policy *p, const char *name);
/* What is in it is taken over when that works. -EEXIST: there is one of this name. */
int policy_add_secret(struct policy *p, struct policy_secret *s, struct error *e);
int policy_remove_secret(struct policy *p, const char *name, struct error *e);
void policy_secret_free(struct policy_secret *s);
void policy_secret_freep(struct policy_secret **s);
/* One secret alone; decode checks every value again. */
int policy_secret_encode(const struct policy_secret *s, struct buf *out);
int policy_secret_decode(const void *data, size_t len, struct policy_secret **ret);
/* Every rule by its key, in the order of the policy, until f returns other than 0. */
int policy_rules_each(const struct policy *p, int (*f)(void *arg, const char *key, const char *text, const char *origin),
		      void *arg);

/* Whether a canonical path leads to the same file all the time, whatever runs inside: no directory on the way can be
 * changed or moved there. (Whether the file can is its mount's and its mode's business.) */
bool policy_path_fixed(const struct policy *p, const char *path);

/* ---- deciding (client for `check`, gateway for real; allocation-free, cost at most logarithmic in rules) ---- */
enum net_proto { PROTO_HTTP = 0, PROTO_HTTPS, PROTO_TCP, PROTO_PASSTHROUGH };

struct net_target {
	enum net_proto proto;
	const char *host;         /* canonical name (host_canonical), or NULL when addr was dialled raw */
	const struct in6_addr *addr; /* raw address (v4-mapped for IPv4), only when host is NULL */
	uint16_t port;
	const char *method;       /* HTTP only, upper case as sent */
	const char *path;         /* HTTP only: decoded and normalised by path_canonical(), without query; NULL: not known,
				   * which rules that allow paths do not match, and rules that deny some do */
};

struct net_verdict {
	bool allowed;
	bool allow_private;  /* a resolution to a private address is acceptable (allow_private rule matched) */
	const char *rule;    /* canonical text of the deciding rule, or "" */
	const char *origin;  /* where it was written, or "" */
	uint64_t quotas;     /* of policy_check_url(): policy_quotas_of() the target */
	const char *reason;  /* stable token: "rule", "deny-rule", "no-rule", "method", "path", "passthrough" */
};

void policy_decide(const struct policy *p, const struct net_target *t, struct net_verdict *ret);
/* Whether a deny rule names this address on this port with this protocol: for what a name resolved to. */
bool policy_addr_denied(const struct policy *p, enum net_proto proto, const struct in6_addr *addr, uint16_t port);
/* Whether any rule could allow some request to this host (or address) and port with this protocol: used before TLS
 * is answered. Never says no where policy_decide could say yes. */
bool policy_host_possible(const struct policy *p, enum net_proto proto, const char *host, const struct in6_addr *addr,
			  uint16_t port);
/* True when the name is passthrough on this port (TLS is relayed, not opened). */
bool policy_is_passthrough(const struct policy *p, const char *host, uint16_t port);
bool secret_allowed(const struct policy_secret *s, const struct net_target *t);
/* Whether it may go to the host of t at all, on some path: what was sent to one path may be read at another. */
bool secret_reaches(const struct policy_secret *s, const struct net_target *t);
/* Those that a request or connection counts against, as bits. */
uint64_t policy_quotas_of(const struct policy *p, const struct net_target *t);
const struct policy_connect_to *policy_connect_to(const struct policy *p, const char *host, uint16_t port);

/* ---- questions of `nsbox check`, on a finished policy ---- */
struct path_verdict {
	bool allowed;
	char rule[320];     /* "write /work", or "" */
	char origin[256];   /* where it was written, or "default" */
	const char *reason; /* "rule", "read-only", "protect", "hide", "system", "private", "absent", "not-granted" */
};
/* http://, https:// or tcp://. Reasons as in policy_decide, also "net-none" and "net-host". Pointers live as long as p. */
int policy_check_url(const struct policy *p, const char *url, const char *method, struct net_verdict *ret,
		     struct error *e);
/* Absolute, relative to the current directory, or below ~/. */
int policy_check_path(const struct policy *p, const char *path, bool write, struct path_verdict *ret, struct error *e);
/* What the host has there is there inside, not something of the sandbox's own under that name (/tmp, a tmpfs). */
bool path_verdict_shows(const struct path_verdict *verdict);
/* -EPERM when something in the sandbox could take the place of the auditor that spec names, or see its socket. */
int policy_check_auditor(const struct policy *p, const char *spec, struct error *e);

/* ---- names and paths shared by parser, DNS and HTTP so that the same bytes are compared ---- */
/*
 * Canonical host: lower case, one trailing dot removed, IDNA to A-labels only when idna (client side), LDH labels of
 * 1-63 bytes, at most 253 in all; an IPv4 or IPv6 literal (brackets removed) in its canonical text. ret holds 256
 * bytes. 0, -EINVAL, -ELIBACC (non-ASCII, idna, and no libidn2 on this machine). Everything else (NUL, %, underscore first label... ) is refused; "127.1", "0x7f.1" and the like
 * are refused too.
 */
int host_canonical(const char *s, size_t len, bool idna, char ret[256]);
/* Percent-decode once, remove dot segments, refuse encoded '/', '\\', NUL, control bytes and a raw '\\'. path starts
 * with '/', has no query. ret is at most len bytes + NUL. 0, -EINVAL. */
int path_canonical(const char *path, size_t len, char *ret);
/* A path that has no such form only because of encoded slashes, as it is: no rule about paths can speak of it, so a
 * target has it as a path that is not known (NULL). 0, -EINVAL, -ENOMEM. */
int path_opaque(const char *path, size_t len, char *ret);
/* Private, loopback, link-local, CGNAT, multicast, mapped, embedded, metadata: research/proxy.md 1.4. v4 as mapped. */
bool addr_is_private(const struct in6_addr *addr);
/* As text, a mapped one as that of IPv4. 0 or -EINVAL. */
int addr_text(const struct in6_addr *addr, char ret[64]);

#endif
