/* SPDX-License-Identifier: Apache-2.0 */
/* What a guardian is told. First byte: number of descriptors; then the packet. What is accepted encodes to itself. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "base/wire.h"
#include "namespace/guardian.h"
#include "supervisor/protocol.h"
#include "fuzz.h"

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_request(const struct call_request *q, size_t n_fds, const uint8_t *data, size_t size)
{
	struct buf b = { 0 };
	bool terminal = q->flags & START_TERMINAL;

	check(q->argv[0] && q->env && q->cwd && q->flags <= _START_FLAGS);
	check(n_fds == (terminal ? 0u : 3u));
	check(wire_put_u32(&b, GUARDIAN_EXEC) == 0 && wire_put_strv(&b, q->argv) == 0 && wire_put_strv(&b, q->env) == 0 &&
	      wire_put_str(&b, q->cwd) == 0 && wire_put_u32(&b, q->flags) == 0 && wire_put_u32(&b, q->rows) == 0 &&
	      wire_put_u32(&b, q->columns) == 0 && wire_put_u32(&b, q->open_files) == 0);
	size_t on_base = b.len;
	check(wire_put_u8(&b, q->on_base) == 0 && wire_put_u32(&b, q->paths.n) == 0);
	for (uint32_t i = 0; i < q->paths.n; i++)
		check(q->paths.path[i].path[0] == '/' && wire_put_str(&b, q->paths.path[i].path) == 0 &&
		      wire_put_u32(&b, q->paths.path[i].grants) == 0);
	const struct expected *x = &q->expected;
	const uint64_t numbers[] = { x->dev, x->ino, x->size, x->ctime_ns };
	for (size_t i = 0; i < ARRAY_LEN(numbers) && q->flags & START_EXPECT; i++)
		check((i > 0 || wire_put_str(&b, x->path) == 0) && wire_put_u64(&b, numbers[i]) == 0);
	if (q->on_base && b.len == size)
		b.data[on_base] = data[on_base]; /* any byte but 0 */
	check(b.len == size && memcmp(b.data, data, size) == 0);
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct call_request q = { 0 };

	if (size == 0)
		return 0;
	size_t n_fds = data[0] % 4;
	data++;
	size--;
	int signal = call_signal_parse(data, size);
	check(signal < 0 || (signal > 0 && signal <= 64 && size == 8));
	if (call_request_parse(data, size, n_fds, &q) < 0)
		return 0;
	check(signal < 0);
	check_request(&q, n_fds, data, size);
	return 0;
}
