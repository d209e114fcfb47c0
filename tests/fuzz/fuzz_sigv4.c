/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures of AWS: lines of a request, the first its method, path and query, the others its fields. What is read of a
 * claim lies in what was given, and a claim that was accepted is accepted again when it is written from its parts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/sigv4.h"
#include "fuzz.h"

static struct sigv4_text cut(struct sigv4_text *rest, char separator)
{
	const char *end = rest->len ? memchr(rest->p, separator, rest->len) : NULL;
	struct sigv4_text part = { rest->p, end ? (size_t)(end - rest->p) : rest->len };
	size_t taken = part.len + (end ? 1 : 0);

	rest->p += taken;
	rest->len -= taken;
	return part;
}

static void inside(struct sigv4_text part, const char *from, size_t len)
{
	CHECK(part.p >= from && part.p + part.len <= from + len);
}

static void check_claim(const struct sigv4_claim *c, const char *from, size_t len)
{
	inside(c->key_id, from, len);
	inside(c->scope, from, len);
	inside(c->headers, from, len);
	inside(c->signature, from, len);
	CHECK(c->key_id.len && c->date.len == 8 && c->signature.len == SIGV4_HEX);
}

static void sign(const struct sigv4_claim *c, const struct sigv4_request *r)
{
	char one[SIGV4_HEX + 1], other[SIGV4_HEX + 1];
	const struct sigv4_text payload = { "UNSIGNED-PAYLOAD", 16 };

	int signed_one = sigv4_sign(c, r, payload, "key", 3, one);
	CHECK(sigv4_sign(c, r, payload, "kez", 3, other) == signed_one);
	CHECK(signed_one != 0 || (strlen(one) == SIGV4_HEX && strcmp(one, other) != 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sigv4_request r;
	char *copy = malloc(size + 1);
	struct sigv4_claim claim;

	CHECK(copy);
	memcpy(copy, data, size);
	struct sigv4_text rest = { copy, size }, line = cut(&rest, '\n');
	r.n_fields = 0;
	r.method = cut(&line, ' ');
	r.path = cut(&line, '?');
	r.query = line;
	while (rest.len && r.n_fields < SIGV4_FIELDS_MAX) {
		struct sigv4_text value = cut(&rest, '\n'), name = cut(&value, ':');
		r.fields[r.n_fields++] = (struct sigv4_field){ name, value };
	}
	struct sigv4_text authorization = sigv4_field(&r, "authorization");
	if (sigv4_claim_header(authorization, &claim) > 0) {
		check_claim(&claim, copy, size);
		sign(&claim, &r);
	}
	sigv4_claim_free(&claim);
	if (sigv4_claim_query(r.query, &claim) > 0) {
		check_claim(&claim, (const char *)claim.texts.data, claim.texts.len);
		sign(&claim, &r);
	}
	sigv4_claim_free(&claim);
	free(copy);
	return 0;
}
