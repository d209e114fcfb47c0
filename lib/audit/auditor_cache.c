/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers remembered by the digest of their question. Sets of eight entries, the least recently used of a set makes
 * room: of constant size and cost, without lists. Whoever could fill one set on purpose makes the auditor be asked again,
 * nothing else.
 */
#include <stdlib.h>
#include <string.h>

#include "audit/auditor_private.h"

#define WAYS 8u
#define SETS (AUDITOR_CACHE_ENTRIES / WAYS)

struct entry {
	uint8_t digest[AUDITOR_DIGEST];
	uint64_t until; /* 0: free */
	uint64_t used;	/* counter of the cache */
	enum auditor_decision decision;
	char *reason; /* NULL: "" */
};

struct auditor_cache {
	uint64_t uses;
	struct entry entries[SETS][WAYS];
};

struct auditor_cache *auditor_cache_new(void)
{
	return calloc(1, sizeof(struct auditor_cache));
}

void auditor_cache_free(struct auditor_cache *cache)
{
	if (!cache)
		return;
	for (size_t s = 0; s < SETS; s++) {
		for (size_t w = 0; w < WAYS; w++)
			free(cache->entries[s][w].reason);
	}
	free(cache);
}

static struct entry *set_of(struct auditor_cache *cache, const uint8_t digest[AUDITOR_DIGEST])
{
	return cache->entries[(digest[0] | (unsigned)digest[1] << 8) % SETS];
}

const char *auditor_cache_get(struct auditor_cache *cache, const uint8_t digest[AUDITOR_DIGEST], uint64_t now,
			      enum auditor_decision *ret)
{
	struct entry *set = set_of(cache, digest);

	for (size_t w = 0; w < WAYS; w++) {
		if (set[w].until <= now || memcmp(set[w].digest, digest, AUDITOR_DIGEST) != 0)
			continue;
		set[w].used = ++cache->uses;
		*ret = set[w].decision;
		return set[w].reason ? set[w].reason : "";
	}
	return NULL;
}

void auditor_cache_put(struct auditor_cache *cache, const uint8_t digest[AUDITOR_DIGEST],
		       enum auditor_decision decision, const char *reason, uint64_t now, uint64_t until)
{
	struct entry *set = set_of(cache, digest), *best = NULL;

	/* The same question, else one that has expired, else the one not used for the longest time. */
	for (size_t w = 0; w < WAYS; w++) {
		if (set[w].until && memcmp(set[w].digest, digest, AUDITOR_DIGEST) == 0) {
			best = &set[w];
			break;
		}
		if (set[w].until <= now)
			set[w].used = 0;
		if (!best || set[w].used < best->used)
			best = &set[w];
	}
	free(best->reason);
	*best = (struct entry){ .until = until, .used = ++cache->uses, .decision = decision };
	memcpy(best->digest, digest, AUDITOR_DIGEST);
	/* Without memory for its text a decision is still a decision. */
	if (reason && *reason)
		best->reason = strdup(reason);
}
