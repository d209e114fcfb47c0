/* SPDX-License-Identifier: Apache-2.0 */
/* An allocator that leaves nothing behind. */
#include "gateway/http2_memory.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static void *allocate(size_t size, void *user)
{
	(void)user;
	return malloc(size);
}

static void *allocate_clear(size_t n, size_t size, void *user)
{
	(void)user;
	return calloc(n, size);
}

static void give_back(void *p, void *user)
{
	(void)user;
	if (p)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

/* realloc() would leave the old bytes where they were. */
static void *change_size(void *p, size_t size, void *user)
{
	size_t old = p ? malloc_usable_size(p) : 0;
	void *fresh = malloc(size);

	if (!fresh)
		return NULL;
	if (old)
		memcpy(fresh, p, old < size ? old : size);
	give_back(p, user);
	return fresh;
}

nghttp2_mem *http2_memory(void)
{
	static nghttp2_mem memory = {
		.malloc = allocate, .free = give_back, .calloc = allocate_clear, .realloc = change_size,
	};

	return &memory;
}
