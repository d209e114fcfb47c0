/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the two halves of the head parser: lines (http1_message.c) and their meaning (http1_semantics.c). */
#ifndef NSBOX_GATEWAY_HTTP1_PRIVATE_H
#define NSBOX_GATEWAY_HTTP1_PRIVATE_H

#include "gateway/http1_message.h"

/* Refuse the head; returns -EBADMSG. */
int http1_refuse(struct http1_head *h, const char *error, uint16_t status);

bool http1_is_token(const char *s, size_t len);

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
