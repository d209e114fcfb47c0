/* SPDX-License-Identifier: Apache-2.0 */
/* What commands of secrets print: a value or a reason, never both, and no reason holds a part of the value. */
#include <stdlib.h>
#include <string.h>

#include "source/answer.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf value = { 0 };
	char *copy = malloc(size + 1);
	uint64_t seconds;

	if (!copy)
		abort();
	memcpy(copy, data, size);
	const char *why = answer_parse(copy, size, 1800000000, &value, &seconds);
	if (!why == !value.len || value.len > size)
		abort();
	free(copy);
	return 0;
}
