/* SPDX-License-Identifier: Apache-2.0 */
/* What a guardian is told. First byte: number of descriptors; then the packet. What is accepted encodes to itself. */
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "namespace/guardian.h"
#include "supervisor/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	      wire_put_u32(&b, q->columns) == 0 && wire_put_u32(&b, q->open_files) == 0 &&
	      wire_put_u32(&b, q->n_paths) == 0);
	for (uint32_t i = 0; i < q->n_paths; i++)
		check(q->paths[i].path[0] == '/' && wire_put_str(&b, q->paths[i].path) == 0 &&
		      wire_put_u32(&b, q->paths[i].grants) == 0);
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
