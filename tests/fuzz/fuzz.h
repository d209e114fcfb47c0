/* SPDX-License-Identifier: Apache-2.0 */
/* What fuzz targets share. */
#ifndef NSBOX_TESTS_FUZZ_H
#define NSBOX_TESTS_FUZZ_H

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

/* Of ours, and what it takes to count them: for comparing. */
static inline size_t n_descriptors(void)
{
	size_t n = 0;
	DIR *dir = opendir("/proc/self/fd");

	while (dir && readdir(dir))
		n++;
	closedir(dir);
	return n;
}

#endif
