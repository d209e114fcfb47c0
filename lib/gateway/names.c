/* SPDX-License-Identifier: Apache-2.0 */
/* Synthetic addresses. */
#include "gateway/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/addresses.h"

static size_t bucket_of(const char *text)
{
	uint32_t h = 2166136261u;
	for (const char *p = text; *p; p++)
		h = (h ^ (uint8_t)*p) * 16777619u;
	return h % NAME_BUCKETS;
}

const struct name *names_find(const struct names *n, const char *canonical)
{
	const struct name *name = n->buckets[bucket_of(canonical)];
	while (name && strcmp(name->text, canonical) != 0)
		name = name->chain;
	return name;
}

const struct name *names_assign(struct names *n, const char *canonical)
{
	const struct name *known = names_find(n, canonical);
	if (known)
		return known;
	if (n->n > SYNTHETIC_LAST - SYNTHETIC_FIRST)
		return NULL;
	if (n->n == n->cap) {
		size_t cap = n->cap ? n->cap * 2 : 64;
		struct name **p = realloc(n->by_index, cap * sizeof(struct name *));
		if (!p)
			return NULL;
		n->by_index = p;
		n->cap = cap;
	}
	struct name *name = calloc(1, sizeof(*name) + strlen(canonical) + 1);
	if (!name)
		return NULL;
	strcpy(name->text, canonical);
	name->index = (uint32_t)n->n;
	struct name **bucket = &n->buckets[bucket_of(canonical)];
	name->chain = *bucket;
	*bucket = name;
	n->by_index[n->n++] = name;
	return name;
}

const struct name *names_by_addr(const struct names *n, uint32_t addr)
{
	if (addr < SYNTHETIC_FIRST || addr - SYNTHETIC_FIRST >= n->n)
		return NULL;
	return n->by_index[addr - SYNTHETIC_FIRST];
}

uint32_t name_addr(const struct name *name)
{
	return SYNTHETIC_FIRST + name->index;
}
