/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signature Version 4 of AWS: reading what a request says about its own, and computing the one that it should have.
 * Sans IO; what is pointed at has to outlive the result.
 */
#ifndef NSBOX_GATEWAY_SIGV4_H
#define NSBOX_GATEWAY_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define SIGV4_ALGORITHM "AWS4-HMAC-SHA256"
#define SIGV4_HEX 64u /* of a hash */
#define SIGV4_FIELDS_MAX 256u

struct sigv4_text {
	const char *p; /* not terminated; NULL: none */
	size_t len;
};

/* What a request says. */
struct sigv4_claim {
	bool presigned; /* in the query, not in Authorization */
	struct sigv4_text key_id, date, region, service; /* of the credential scope */
	struct sigv4_text scope;   /* date/region/service/aws4_request */
	struct sigv4_text headers; /* names, lower case, ';' between them */
	struct sigv4_text signature;
	struct sigv4_text time; /* of the query; NULL: X-Amz-Date says it */
	struct sigv4_text expires; /* of the query: seconds; NULL: not said */
	struct buf texts;	/* private */
};

struct sigv4_field {
	struct sigv4_text name, value; /* value without the white space around it */
};

struct sigv4_request {
	struct sigv4_text method, path, query; /* as on the wire; query without '?' */
	struct sigv4_field fields[SIGV4_FIELDS_MAX];
	size_t n_fields;
};

/* 1: it is signed this way, *ret is set; 0: it is not; -EINVAL: it says so and is out of form; -ENOMEM. */
int sigv4_claim_header(struct sigv4_text authorization, struct sigv4_claim *ret);
int sigv4_claim_query(struct sigv4_text query, struct sigv4_claim *ret);
void sigv4_claim_free(struct sigv4_claim *c);

/* The value of the first field of this name (lower case), or NULL. */
struct sigv4_text sigv4_field(const struct sigv4_request *r, const char *name);
/* Services whose paths are signed as they are, and whose payload need not be. */
bool sigv4_is_s3(const struct sigv4_claim *c);
void sigv4_hash(const void *data, size_t len, char ret[SIGV4_HEX + 1]);
/*
 * payload: what the signature is to say of the body, a hash in hexadecimal or a word for another way. 0; -ENOENT: a
 * field that is to be signed is not there, or the time is not; -EINVAL, also for a query that can be read in two ways;
 * -ENOMEM.
 */
int sigv4_sign(const struct sigv4_claim *c, const struct sigv4_request *r, struct sigv4_text payload,
	       const void *secret, size_t secret_len, char ret[SIGV4_HEX + 1]);

#endif
