/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rule language (DESIGN 8). A rule is a set of requests: a product of hosts, port ranges by protocol, methods and
 * paths. Products are closed under intersection, and every dimension has an exact subset test, so questions about
 * whole rules are decidable; path patterns are compared as automata.
 */
#ifndef NSBOX_POLICY_RULE_H
#define NSBOX_POLICY_RULE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "policy/path_pattern.h"
#include "policy/policy.h"

/*
 * How the same text is read: a denied HOST covers every protocol and port, an allowed one HTTP on 80 and HTTPS on 443;
 * RULE_PASSTHROUGH is HOST[:PORT] only; RULE_SECRET is RULE_ALLOW without methods, TCP, ranges and "*".
 */
enum rule_kind { RULE_ALLOW = 0, RULE_DENY, RULE_PASSTHROUGH, RULE_SECRET };

enum host_kind { HOST_NAME = 0, HOST_SUFFIX, HOST_ANY, HOST_ADDR };

struct host_pattern {
	enum host_kind kind;
	char *name;           /* HOST_NAME: canonical; HOST_SUFFIX: what follows "*."; else NULL */
	struct in6_addr addr; /* HOST_ADDR: v4 as mapped, bits beyond the prefix are zero */
	uint8_t prefix;       /* 0-128; 96 + N for IPv4 */
	bool v4;              /* IPv4 and IPv6 are separate worlds: [::/0] does not cover mapped addresses */
};

/* Ports of one protocol; lo = 0: none. */
struct port_range {
	uint16_t lo, hi;
};

#define PROTO_COUNT 4
#define RULE_METHODS_ANY UINT32_MAX
#define RULE_TEXT_MAX 2048 /* above the longest canonical text: all methods, a name, and a path of %XX */

struct rule {
	enum rule_kind kind;
	struct host_pattern host;
	struct port_range ports[PROTO_COUNT]; /* by enum net_proto */
	uint32_t methods;                     /* bits of rule_method_bit(); only for HTTP and HTTPS */
	/* All must match; none = any path. The parser makes at most one, intersection adds. A rule with methods or
	 * paths has only HTTP and HTTPS ports, so the dimensions stay independent. */
	struct path_pattern **paths;
	size_t n_paths;
};

/* Parse; idna: names may be non-ASCII. The error's message is the bare reason with the accepted form. */
int rule_parse(const char *text, enum rule_kind kind, bool idna, struct rule **ret, struct error *e);
/* Digits only: strtoul would take signs, spaces and overflow. */
int parse_number(const char *s, size_t len, unsigned max, unsigned *ret);
void rule_free(struct rule *r);
void rule_freep(struct rule **r);
/* Canonical text: equal rules have equal text, and parsing it gives the same rule (unless n_paths > 1). */
int rule_text(const struct rule *r, struct buf *out);

bool rule_matches(const struct rule *r, const struct net_target *t);
/* Only host, protocol and port of t are looked at. */
bool rule_matches_endpoint(const struct rule *r, const struct net_target *t);
/* No method and no path restricts it. */
bool rule_is_unrestricted(const struct rule *r);
/* 0 and below for unknown methods: bit 31 stands for all of them. fold: any letter case. */
uint32_t rule_method_bit(const char *method, bool fold);

/* 1 yes, 0 no, -ENOMEM, -E2BIG when the patterns are too entangled to decide within bounds (take it for no). */
int rule_is_subset(const struct rule *a, const struct rule *b);
/* 1 and the rule, 0 when nothing is in both, negative errno. */
int rule_intersect(const struct rule *a, const struct rule *b, struct rule **ret);
/*
 * Whether all of a, as far as the denial cut takes it (NULL: all), is in b: exact, also where several of its rules cover a
 * only together. Where b holds denials, they take what they match (any letter case of a method, paths read loosely), which is more than the same text allows.
 */
int rule_is_covered(const struct rule *a, const struct rule *cut, struct rule *const *b, size_t n_b);
/* With the array. */
void rules_free(struct rule **rules, size_t n);

/* ---- hosts (host.c, addr.c) ---- */
/* A host as in a rule: exact, *.suffix, *, or a literal. -EINVAL, or -ELIBACC: non-ASCII and no libidn2. */
int host_pattern_parse(const char *s, size_t len, bool idna, struct host_pattern *ret, struct error *e);
/* host (canonical) or addr, as in struct net_target. */
bool host_pattern_matches(const struct host_pattern *h, const char *host, const struct in6_addr *addr);
bool host_pattern_is_subset(const struct host_pattern *a, const struct host_pattern *b);
/* Hosts are nested or disjoint: the intersection is one of the two, or NULL. */
const struct host_pattern *host_pattern_intersect(const struct host_pattern *a, const struct host_pattern *b);
int host_pattern_copy(const struct host_pattern *from, struct host_pattern *ret);
int host_pattern_text(const struct host_pattern *h, bool cidr, struct buf *out);
/* -EINVAL when s is not a host; then says in e what is wrong with it. */
int host_explain(const char *s, size_t len, int r, struct error *e);
/* An address literal (as host_canonical writes it) to v4-mapped or v6. */
bool addr_from_text(const char *text, struct in6_addr *ret);
void addr_mask(struct in6_addr *addr, unsigned prefix);
bool addr_in_prefix(const struct in6_addr *addr, const struct in6_addr *net, unsigned prefix);

#endif
