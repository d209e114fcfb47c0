/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing JSON (reading is jansson's). Writers append to a buf and remember the first failure in it by returning it;
 * callers may ignore all but the last result of a sequence because a failed buf_reserve keeps failing for that size.
 * Text that is not UTF-8 comes out with U+FFFD for each bad byte, control bytes as \u00XX: a log line can carry no
 * terminal escape and no line break.
 */
#ifndef NSBOX_BASE_JSON_H
#define NSBOX_BASE_JSON_H

#include "base/buf.h"

/* "text" with quotes and escapes. */
int json_text(struct buf *b, const char *s, size_t len);
/* Length of the character at s, left > 0, when json_text() writes it as it is; 0: escaped, or not UTF-8. */
size_t json_plain(const char *s, size_t left);
/* How many of the bytes at s are such characters of ASCII. */
size_t json_run(const char *s, size_t left);
/* text without what a terminal would obey, for people: control bytes, and bytes that are no UTF-8, as \xNN. NUL-terminated, and
 * cut where size ends. */
void escape_controls(const char *text, char *ret, size_t size);
/* Members for an object being written: `"key":value`, with a comma before it unless b ends in '{' or is empty. */
int json_member_string(struct buf *b, const char *key, const char *value);
int json_member_bytes(struct buf *b, const char *key, const char *value, size_t len);
int json_member_int(struct buf *b, const char *key, int64_t value);
/* value must be valid JSON already. */
int json_member_raw(struct buf *b, const char *key, const char *value);
int json_member_strv(struct buf *b, const char *key, char *const *v);

#endif
