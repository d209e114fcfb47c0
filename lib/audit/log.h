/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit log of one sandbox: JSON Lines with a hash chain (DESIGN 12). One writer, the supervisor. Records are
 * added, then flushed with one write: a decision may take effect only after audit_log_flush() returned 0.
 */
#ifndef NSBOX_AUDIT_LOG_H
#define NSBOX_AUDIT_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

#define AUDIT_HASH_TEXT 64
/* A longer record is refused: the largest honest one is call.start with an argv of one packet, escaped. */
#define AUDIT_MAX_LINE (1u << 20)

struct audit_log;

/* fd: a regular file opened by the caller with O_APPEND, mode 0600, empty (anything else is refused); taken over on
 * success, and locked (flock): -EBUSY, somebody else writes it. sandbox: its id. */
int audit_log_new(int fd, const char *sandbox, struct audit_log **ret, struct error *e);
/* Go on in the log of a sandbox that has ended: fd as above but readable too, and its last record whole. */
int audit_log_continue(int fd, const char *sandbox, struct audit_log **ret, struct error *e);
void audit_log_free(struct audit_log *log);
/*
 * Queue one record. call may be NULL (the member is then left out); members: further JSON members written with
 * json_member_*(), without leading comma, may be "". ret_line, when given, points at the finished line without newline
 * until the next add. Members with a control byte or of more than AUDIT_MAX_LINE / 2 are refused, and nothing else is:
 * -EINVAL, -EMSGSIZE. After any other failure every later add and flush fails too: the chain would have a hole.
 */
int audit_log_add(struct audit_log *log, const char *event, const char *call, const char *members,
		  const char **ret_line);
/* Write what was added, with one write(2). When it does not fit, what was written of it is cut off again. */
int audit_log_flush(struct audit_log *log);
/* Hex hash of the last flushed record (64 zeros when none). */
const char *audit_log_head(const struct audit_log *log);
/* Where its file is now, as a symbolic link of /proc says; NUL-terminated. 0 or -errno. */
int audit_log_path(const struct audit_log *log, char *ret, size_t size);
/* How many records were added. */
uint64_t audit_log_records(const struct audit_log *log);

/* Reading, from the start of the file: 1 intact, 0 not intact, negative errno on a read error or when head is not 64
 * hex digits; text gets one sentence either way. head may be NULL. */
int audit_verify(int fd, const char *head, struct buf *text);

#endif
