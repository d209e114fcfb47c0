/* SPDX-License-Identifier: Apache-2.0 */
/* The hash chain as bytes: what writer and reader of an audit log have to agree on. */
#ifndef NSBOX_AUDIT_CHAIN_H
#define NSBOX_AUDIT_CHAIN_H

#include <stddef.h>

#include "audit/log.h"

/* How every line ends: ,"prev":"<64 hex>","hash":"<64 hex>"} */
#define CHAIN_PREV ",\"prev\":\""
#define CHAIN_HASH "\",\"hash\":\""
#define CHAIN_END "\"}"
#define CHAIN_TAIL (sizeof(CHAIN_PREV) - 1 + AUDIT_HASH_TEXT + sizeof(CHAIN_HASH) - 1 + AUDIT_HASH_TEXT + sizeof(CHAIN_END) - 1)

/* Lower-case hex SHA-256 of the bytes followed by '}': a line up to, without, `,"hash"`. */
void chain_hash(const void *data, size_t len, char ret[AUDIT_HASH_TEXT + 1]);
/* The `prev` of the first record. */
void chain_start(char ret[AUDIT_HASH_TEXT + 1]);

#endif
