/* SPDX-License-Identifier: Apache-2.0 */
/* What encode.c and decode.c agree on. */
#ifndef NSBOX_POLICY_ENCODE_H
#define NSBOX_POLICY_ENCODE_H

#include <errno.h>

#include "base/wire.h"
#include "policy/grant_internal.h"

#define POLICY_MAGIC 0x334c4f50u /* "POL3" */
#define GRANT_MAGIC 0x32545247u /* "GRT2" */
#define POLICY_BYTES_MAX (16u << 20)
#define GRANT_BYTES_MAX (8u << 20)

/* The first failure of a sequence of puts. */
#define PUT(r, call)               \
	do {                       \
		if ((r) == 0)      \
			(r) = call; \
	} while (0)

/* decode.c: values that are checked as they are read. */
/* A count, refused when even empty elements of that many bytes could not follow. */
uint32_t checked_count(struct wire_reader *r, uint32_t max, size_t element);
/* Without control bytes; may be empty. */
char *checked_text(struct wire_reader *r, size_t max);
/* NULL for "". */
char *checked_optional(struct wire_reader *r, size_t max);
/* Absolute and canonical. */
char *checked_path(struct wire_reader *r);
/* Canonical; NULL for "" when that may be. */
char *checked_host(struct wire_reader *r, bool optional);
uint16_t checked_port(struct wire_reader *r);
/* The text must parse and be canonical. */
struct rule *checked_rule(struct wire_reader *r, enum rule_kind kind, const char *text);

/* upstream.c */
int put_client_certs(struct buf *out, const struct policy *p);
void get_client_certs(struct wire_reader *r, struct policy *p);
int put_upstream_proxy(struct buf *out, const struct policy *p);
void get_upstream_proxy(struct wire_reader *r, struct policy *p);

#endif
