/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting secret values in the place of placeholders: header values, Basic credentials, query, path, body. Each function does all
 * for its piece of a request: it substitutes what may be substituted, and any placeholder that is left, in whatever
 * form, is misuse. Values are not scanned again: a value that happens to contain another placeholder stays as it is.
 */
#ifndef NSBOX_GATEWAY_PLACEHOLDER_INJECT_H
#define NSBOX_GATEWAY_PLACEHOLDER_INJECT_H

#include "gateway/placeholder_scan.h"

/* Bits: enum secret_inject of policy.h. Names of fields take no values. */
enum inject_place { PLACE_HEADER = 1, PLACE_BASIC = 2, PLACE_QUERY = 4, PLACE_PATH = 8, PLACE_BODY = 16,
		    PLACE_SIGV4 = 32 /* of a signature: the value itself goes nowhere */ };

struct secret_value {
	const void *data; /* borrowed: memory that the caller has locked */
	size_t len;
};

/*
 * May this placeholder get its value in this place of this request (right call, right target, place listed in inject,
 * TLS)? Fill *ret and return true, or return false: misuse.
 */
typedef bool (*inject_fn)(void *data, const struct placeholder *p, enum inject_place place, struct secret_value *ret);

/* One that may not be here: true lets it stand as the text that it is, false is misuse. */
typedef bool (*inject_pass_fn)(void *data, const struct placeholder *p, enum inject_place place);

struct inject {
	const struct placeholder_table *table;
	inject_fn decide;
	inject_pass_fn passes; /* NULL: never */
	void *data;
	/* Set when a function returns -EACCES. */
	struct placeholder_hit misuse; /* offsets are of the piece, or of the decoded credentials */
	enum inject_place misuse_place;
};

/*
 * All return 0: no placeholder there, out untouched, use the original; 1: the new text was appended to out; -EACCES:
 * misuse; -EINVAL: the value cannot stand in this place (CR, LF, NUL or another control byte); -ENOMEM. After a
 * failure out is as before. out may hold a secret: buf_wipe().
 */
int inject_header(struct inject *in, const char *name, size_t name_len, const char *value, size_t value_len,
		  struct buf *out);
/* query: raw, without '?'. */
int inject_query(struct inject *in, const char *query, size_t len, struct buf *out);
/* path: raw, with its slashes. A value in it is always a part of one segment. */
int inject_path(struct inject *in, const char *path, size_t len, struct buf *out);
/* What a body is made of: how a value in it has to be escaped. */
enum body_form { BODY_PLAIN, BODY_JSON, BODY_FORM };
/* Append the value as it has to stand in such a body in the place of this hit, which is no base64. 0 or -ENOMEM. */
int inject_body_value(enum body_form form, const struct placeholder_hit *hit, const struct secret_value *value,
		      struct buf *out);
/* Places that take no value: 0 or -EACCES or -ENOMEM. place is what misuse_place will say. */
int inject_nothing(struct inject *in, enum inject_place place, const void *data, size_t len);

#endif
