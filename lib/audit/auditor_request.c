/* SPDX-License-Identifier: Apache-2.0 */
/* Packets to the auditor. */
#include <nettle/sha2.h>
#include <string.h>

#include "audit/auditor_private.h"
#include "base/json.h"

static const char *const op_names[_AUDITOR_OP_MAX] = {
	[AUDITOR_CALL_START] = "call.start",   [AUDITOR_HTTP_REQUEST] = "http.request",
	[AUDITOR_NET_CONNECT] = "net.connect", [AUDITOR_GRANT_RAISE] = "grant.raise",
	[AUDITOR_FS_COMMIT] = "fs.commit",
};

const char *auditor_op_name(enum auditor_op op)
{
	return (unsigned)op < _AUDITOR_OP_MAX ? op_names[op] : NULL;
}

/* A deadline under a millisecond must not read as "none left". */
static int64_t whole_ms(uint64_t us)
{
	uint64_t ms = us / 1000 + (us % 1000 != 0);
	return ms > INT32_MAX ? INT32_MAX : (int64_t)ms;
}

int auditor_put_hello(struct buf *b, unsigned ops, uint64_t deadline_us)
{
	char *names[_AUDITOR_OP_MAX + 1] = { 0 };
	size_t n = 0;

	for (int op = 0; op < _AUDITOR_OP_MAX; op++) {
		if (ops & AUDITOR_OP(op))
			names[n++] = (char *)op_names[op];
	}
	int r = buf_putc(b, '{');
	if (r == 0)
		r = json_member_string(b, "hello", "nsbox");
	if (r == 0)
		r = json_member_int(b, "version", AUDITOR_VERSION);
	if (r == 0)
		r = json_member_strv(b, "ops", names);
	if (r == 0)
		r = json_member_int(b, "deadline_ms", whole_ms(deadline_us));
	if (r == 0)
		r = json_member_int(b, "max_packet", AUDITOR_MAX_PACKET);
	if (r == 0)
		r = json_member_int(b, "max_in_flight", AUDITOR_MAX_IN_FLIGHT);
	return r < 0 ? r : buf_putc(b, '}');
}

int auditor_put_question(struct buf *b, uint64_t id, enum auditor_op op, uint64_t left_us, const char *members)
{
	int r = buf_puts(b, "{\"id\":");

	if (r == 0)
		r = buf_put_uint(b, id);
	if (r == 0)
		r = json_member_string(b, "op", op_names[op]);
	if (r == 0)
		r = json_member_int(b, "deadline_ms", whole_ms(left_us));
	if (r == 0 && *members)
		r = buf_putc(b, ',');
	if (r == 0)
		r = buf_puts(b, members);
	return r < 0 ? r : buf_putc(b, '}');
}

size_t auditor_question_len(const char *members)
{
	static const char longest[] =
		"{\"id\":18446744073709551615,\"op\":\"http.request\",\"deadline_ms\":2147483647,}";
	return sizeof(longest) - 1 + strlen(members);
}

void auditor_digest(enum auditor_op op, const char *significant, uint8_t ret[AUDITOR_DIGEST])
{
	struct sha256_ctx ctx;

	_Static_assert(AUDITOR_DIGEST == SHA256_DIGEST_SIZE, "size of a digest");
	sha256_init(&ctx);
	/* With its NUL: no name runs into the text behind it. */
	sha256_update(&ctx, strlen(op_names[op]) + 1, (const uint8_t *)op_names[op]);
	sha256_update(&ctx, strlen(significant), (const uint8_t *)significant);
	sha256_digest(&ctx, AUDITOR_DIGEST, ret);
}
