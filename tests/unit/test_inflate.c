/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed answers: in steps, to their end, and not too many that look far back. */
#include <brotli/encode.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "base/util.h"
#include "gateway/inflate.h"

#include <cmocka.h>

static void deflated(struct buf *out, const void *data, size_t len, int bits)
{
	z_stream z = { 0 };

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(buf_reserve(out, deflateBound(&z, len)), 0);
	z.next_in = (Bytef *)data;
	z.avail_in = (uInt)len;
	z.next_out = out->data + out->len;
	z.avail_out = (uInt)(out->cap - out->len);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->len += z.total_out;
	deflateEnd(&z);
}

/* As a server would have it: zlib and gzip by their window bits, br and zstd by name. */
enum packing { DEFLATE = 15, GZIP = 31, BROTLI, ZSTD };

static void pack(struct buf *out, enum packing how, const void *data, size_t len)
{
	size_t bound = how == BROTLI ? BrotliEncoderMaxCompressedSize(len) : ZSTD_compressBound(len);

	if (how == DEFLATE || how == GZIP) {
		deflated(out, data, len, how);
		return;
	}
	assert_int_equal(buf_reserve(out, bound), 0);
	if (how == BROTLI) {
		assert_true(BrotliEncoderCompress(5, BROTLI_MAX_WINDOW_BITS, BROTLI_MODE_GENERIC, len, data, &bound,
						  out->data + out->len));
	} else {
		bound = ZSTD_compress(out->data + out->len, bound, data, len, 3);
		assert_false(ZSTD_isError(bound));
	}
	out->len += bound;
}

static void inflates(void **state)
{
	enum { LEN = 8 << 20 };
	static const enum packing all[] = { DEFLATE, GZIP, BROTLI, ZSTD };
	char *plain = calloc(1, LEN);
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct buf packed = { 0 }, out = { 0 };
		struct inflater f;
		size_t total = 0;
		bool several = all[i] == GZIP || all[i] == ZSTD;
		pack(&packed, all[i], plain, LEN);
		if (several)
			pack(&packed, all[i], "second member", 13);
		assert_int_equal(inflater_init(&f, all[i] == BROTLI ? INFLATE_BROTLI : all[i] == ZSTD ? INFLATE_ZSTD :
													 INFLATE_GZIP), 0);
		assert_int_equal(inflater_end(&f), 0);
		/* 8 MiB out of some KiB, and never more than a step at once. */
		assert_int_equal(inflater_give(&f, packed.data, packed.len - 1), 0);
		while (inflater_waiting(&f)) {
			out.len = 0;
			assert_int_equal(inflater_step(&f, &out), 0);
			assert_true(out.len <= INFLATE_STEP && out.cap <= 2 * INFLATE_STEP);
			total += out.len;
		}
		assert_int_equal(inflater_end(&f), -EBADMSG);
		assert_int_equal(inflater_give(&f, packed.data + packed.len - 1, 1), 0);
		out.len = 0;
		while (inflater_waiting(&f))
			assert_int_equal(inflater_step(&f, &out), 0);
		total += out.len;
		assert_int_equal(inflater_end(&f), 0);
		assert_int_equal(total, LEN + (several ? 13 : 0));
		assert_int_equal(inflater_give(&f, "garbage", 7), 0);
		assert_int_equal(inflater_step(&f, &out), -EBADMSG);
		inflater_free(&f);
		buf_free(&packed);
		buf_free(&out);
	}
	free(plain);
}

/* What they look back at is much: only so many at once, and one that asks for more of it is refused. */
static void wide_windows_are_counted(void **state)
{
	static const uint8_t window_16m[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x70, 0x09, 0x00, 0x00, 'a' };
	struct inflater all[INFLATE_WIDE_MAX], gzip, more;
	struct buf out = { 0 };
	(void)state;

	for (size_t i = 0; i < INFLATE_WIDE_MAX; i++)
		assert_int_equal(inflater_init(&all[i], i % 2 ? INFLATE_BROTLI : INFLATE_ZSTD), 0);
	assert_int_equal(inflater_init(&more, INFLATE_BROTLI), -EBUSY);
	inflater_free(&more);
	assert_int_equal(inflater_init(&more, INFLATE_ZSTD), -EBUSY);
	inflater_free(&more);
	assert_int_equal(inflater_init(&gzip, INFLATE_GZIP), 0);
	inflater_free(&gzip);
	inflater_free(&all[0]);
	assert_int_equal(inflater_init(&all[0], INFLATE_ZSTD), 0);
	assert_int_equal(inflater_give(&all[0], window_16m, sizeof(window_16m)), 0);
	assert_int_equal(inflater_step(&all[0], &out), -EBADMSG);
	for (size_t i = 0; i < INFLATE_WIDE_MAX; i++)
		inflater_free(&all[i]);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inflates),
		cmocka_unit_test(wide_windows_are_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
