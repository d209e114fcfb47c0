/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reader of audit logs: checks the chain. It compares bytes with the one form that log.c writes and parses no JSON, so
 * it holds for files that somebody made to mislead a parser, such as two members of one name.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "audit/chain.h"
#include "base/util.h"

#define PREV_LEN (sizeof(CHAIN_PREV) - 1)
#define HASH_LEN (sizeof(CHAIN_HASH) - 1)
#define TAIL_LEN CHAIN_TAIL
#define CHUNK 65536u

struct verifier {
	uint64_t records;
	uint64_t head_seen; /* number of the record whose hash is the head asked for, 0 = none */
	const char *head;
	char last[AUDIT_HASH_TEXT + 1];
	struct buf *text;
};

static bool is_hash(const char *s, size_t len)
{
	return len == AUDIT_HASH_TEXT && strspn(s, "0123456789abcdef") >= AUDIT_HASH_TEXT;
}

static int broken(struct verifier *v, uint64_t line, const char *what)
{
	int r = buf_printf(v->text, "record %" PRIu64 " %s", line, what);
	return r < 0 ? r : 0;
}

/* One line without its newline: 1 good, 0 not, negative errno. */
static int check_line(struct verifier *v, const char *line, size_t len)
{
	uint64_t number = v->records + 1;
	char start[64], hash[AUDIT_HASH_TEXT + 1];

	size_t start_len = (size_t)snprintf(start, sizeof(start), "{\"seq\":%" PRIu64 ",\"time\":\"", number);
	if (len < start_len + TAIL_LEN)
		return broken(v, number, "is not a record: it is too short");
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			return broken(v, number, "holds a control byte, which no record does");
	}

	const char *prev_key = line + len - TAIL_LEN;
	const char *prev = prev_key + PREV_LEN;
	const char *hash_key = prev + AUDIT_HASH_TEXT;
	const char *stored = hash_key + HASH_LEN;
	if (memcmp(prev_key, CHAIN_PREV, PREV_LEN) != 0 || memcmp(hash_key, CHAIN_HASH, HASH_LEN) != 0 ||
	    memcmp(stored + AUDIT_HASH_TEXT, CHAIN_END, sizeof(CHAIN_END) - 1) != 0)
		return broken(v, number, "does not end with its members prev and hash");
	/* The quote that ends prev belongs to the bytes hashed. */
	chain_hash(line, (size_t)(hash_key + 1 - line), hash);
	if (memcmp(hash, stored, AUDIT_HASH_TEXT) != 0)
		return broken(v, number, "was changed: its hash does not fit its content");
	if (memcmp(line, start, start_len) != 0)
		return broken(v, number, "has another number: records before it were removed, added or moved");
	if (memcmp(prev, v->last, AUDIT_HASH_TEXT) != 0)
		return broken(v, number, "does not continue the record before it: one was removed, replaced or moved");

	v->records = number;
	memcpy(v->last, hash, sizeof(v->last));
	if (v->head && strcmp(v->head, hash) == 0)
		v->head_seen = number;
	return 1;
}

/* Check and drop the whole lines in the buffer. */
static int check_lines(struct verifier *v, struct buf *pending)
{
	size_t at = 0;

	for (;;) {
		const char *line = (const char *)pending->data + at;
		const char *end = memchr(line, '\n', pending->len - at);
		if (!end)
			break;
		int r = check_line(v, line, (size_t)(end - line));
		if (r <= 0)
			return r;
		at = (size_t)(end + 1 - (const char *)pending->data);
	}
	buf_consume(pending, at);
	if (pending->len > AUDIT_MAX_LINE)
		return broken(v, v->records + 1, "is longer than any record");
	return 1;
}

static int check_end(struct verifier *v, const struct buf *pending)
{
	int r;

	if (pending->len)
		return broken(v, v->records + 1, "is cut off in the middle");
	if (v->head && strcmp(v->head, v->last) != 0) {
		if (v->head_seen)
			r = buf_printf(v->text, "the head given is record %" PRIu64 ", but %" PRIu64 " records follow it",
				       v->head_seen, v->records - v->head_seen);
		else
			r = buf_printf(v->text,
				       "the chain of %" PRIu64 " records is whole, but the head given is none of them: "
				       "the end is missing or was replaced",
				       v->records);
		return r < 0 ? r : 0;
	}
	r = buf_printf(v->text, "%" PRIu64 " records, chain intact, head %s", v->records, v->last);
	return r < 0 ? r : 1;
}

int audit_verify(int fd, const char *head, struct buf *text)
{
	struct verifier v = { .head = head, .text = text };
	_cleanup_buf_ struct buf pending = { 0 };
	off_t at = 0;

	chain_start(v.last);
	if (head && !is_hash(head, strlen(head))) {
		int r = buf_puts(text, "a head is 64 lower-case hex digits");
		return r < 0 ? r : -EINVAL;
	}
	for (;;) {
		int r = buf_reserve(&pending, CHUNK);
		if (r < 0)
			return r;
		ssize_t n = pread(fd, pending.data + pending.len, CHUNK, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			r = -errno;
			buf_printf(text, "cannot read the audit log: %s", strerrordesc_np(-r));
			return r;
		}
		if (n == 0)
			return check_end(&v, &pending);
		at += n;
		pending.len += (size_t)n;
		r = check_lines(&v, &pending);
		if (r <= 0)
			return r;
	}
}
