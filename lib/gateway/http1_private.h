/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the parts of the head parser: lines (http1_message.c), HTTP/2 fields (http2_head.c), and the meaning of
 * both (http1_semantics.c). */
#ifndef NSBOX_GATEWAY_HTTP1_PRIVATE_H
#define NSBOX_GATEWAY_HTTP1_PRIVATE_H

#include "gateway/http1_message.h"

/* Refuse the head; returns -EBADMSG. */
int http1_refuse(struct http1_head *h, const char *error, uint16_t status);

bool http1_is_token(const char *s, size_t len);
/* Bytes that a field's value may hold, and those of a request target. */
bool http1_is_text(const char *s, size_t len);
bool http1_is_target(const char *s, size_t len);

/* One more field: limits, meaning. */
int http1_add_field(struct http1_head *h, struct http1_field f);
/* The parts of a request, from wherever they came. */
int http1_set_method(struct http1_head *h, struct http1_slice method);
int http1_set_target(struct http1_head *h, struct http1_slice target);
int http1_set_host(struct http1_head *h, struct http1_slice host);

/* The first line, without CRLF. */
int http1_request_line(struct http1_head *h, uint32_t off, uint32_t len);
int http1_status_line(struct http1_head *h, uint32_t off, uint32_t len);
/* A field as it comes: what each kind of head must not hold, and what decides about framing and connection. */
int http1_field_meaning(struct http1_head *h, const struct http1_field *f);
/* The empty line has come. */
int http1_finish(struct http1_head *h);

/*
 * Next element of a comma-separated list, whitespace around it removed, empty elements passed over. *at starts as the
 * slice's offset. False at the end.
 */
bool http1_list_next(const struct http1_head *h, struct http1_slice list, uint32_t *at, struct http1_slice *ret);

#endif
