/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads on their way into HTTP/2: the list of fields that HPACK is given. What goes on and what does not is decided
 * where HTTP/1 decides it (http1_write.h). Sans IO.
 */
#ifndef NSBOX_GATEWAY_HTTP2_WRITE_H
#define NSBOX_GATEWAY_HTTP2_WRITE_H

#include "gateway/http1_write.h"

struct http2_field {
	uint32_t name, name_len, value, value_len; /* offsets into bytes */
};

/* Zero-initialised is empty. May hold a secret: http2_fields_free() wipes it. */
struct http2_fields {
	struct buf bytes;
	struct http2_field *v;
	size_t n, cap;
};

/* All return 0 or -ENOMEM, http2_write_request() also -EINVAL. The name is written in lower case. */
int http2_fields_add(struct http2_fields *f, const char *name, size_t name_len, const char *value, size_t value_len);
void http2_fields_free(struct http2_fields *f);

/*
 * A request as http1_write_request() wrote it, secrets in place, line by line. It was written before it was known which
 * protocol the server speaks, and by nobody but us: a text that is not exactly of that form is -EINVAL.
 */
int http2_write_request(struct http2_fields *f, const char *text, size_t len);
/* Also for 1xx. how->http10 and how->keep_alive mean nothing here. */
int http2_write_response(struct http2_fields *f, const struct http1_head *h, const struct http1_response_out *how);
int http2_write_trailers(struct http2_fields *f, const struct http1_head *trailers);

#endif
