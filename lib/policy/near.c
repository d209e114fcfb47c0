/* SPDX-License-Identifier: Apache-2.0 */
/* Did you mean: the closest of some names, by edit distance. */
#include <string.h>

#include "policy/internal.h"

#define NAME_MAX_LEN 32

static unsigned distance(const char *a, const char *b)
{
	unsigned row[NAME_MAX_LEN + 1];
	size_t n = strlen(a), m = strlen(b);

	if (n > NAME_MAX_LEN || m > NAME_MAX_LEN)
		return NAME_MAX_LEN;
	for (size_t j = 0; j <= m; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned diagonal = row[0];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[m];
}

const char *near_name(const char *s, const char *const *list)
{
	const char *best = NULL;
	unsigned best_distance = 3;

	for (; *list; list++) {
		unsigned d = distance(s, *list);
		if (d < best_distance && d < strlen(*list)) {
			best_distance = d;
			best = *list;
		}
	}
	return best;
}
