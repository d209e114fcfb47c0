/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main() of a fuzz target without libFuzzer: every file of the directories given, and every file cut short: everywhere in
 * its first bytes, and then here and there, as the time for all cuts of a long file grows with the square of its size.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

#define CUT_EVERYWHERE 4096
#define CUT_STEP 61 /* odd, and no divisor of the sizes that formats like */

static long next_cut(long n, long size)
{
	if (n < CUT_EVERYWHERE || n >= size - CUT_STEP)
		return n + 1;
	return n + CUT_STEP;
}

static int replay(const char *dir, const char *name)
{
	char path[4096];
	uint8_t *data = NULL;
	long size;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "rb");
	if (!f || fseek(f, 0, SEEK_END) < 0 || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) < 0)
		return -1;
	for (long n = 0; n <= size; n = next_cut(n, size)) {
		/* Of its own size, so that a sanitizer sees the first byte read too many. */
		data = malloc(n ? (size_t)n : 1);
		rewind(f);
		if (!data || fread(data, 1, (size_t)n, f) != (size_t)n)
			return -1;
		LLVMFuzzerTestOneInput(data, (size_t)n);
		free(data);
	}
	fclose(f);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned n = 0;

	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		if (!dir)
			return 1;
		for (struct dirent *d; (d = readdir(dir)) != NULL;) {
			if (d->d_name[0] == '.')
				continue;
			if (replay(argv[i], d->d_name) < 0) {
				fprintf(stderr, "cannot read %s/%s\n", argv[i], d->d_name);
				return 1;
			}
			n++;
		}
		closedir(dir);
	}
	printf("%u files\n", n);
	return n == 0;
}
