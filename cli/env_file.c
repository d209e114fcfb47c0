/* SPDX-License-Identifier: Apache-2.0 */
/* Files of environment variables. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "nsbox.h"
#include "policy_args.h"

int env_file_each(const char *path, int (*f)(void *arg, const char *line, const char *origin), void *arg)
{
	_cleanup_free_ char *line = NULL;
	size_t cap = 0, number = 0;
	ssize_t len;
	int r = 0;

	FILE *file = fopen(path, "re");
	if (!file)
		return refuse("cannot open --env-file %s: %s", path, strerrordesc_np(errno));
	while (r == 0 && (len = getline(&line, &cap, file)) >= 0) {
		char origin[256];
		number++;
		if (len && line[len - 1] == '\n')
			line[--len] = '\0';
		if (strlen(line) != (size_t)len)
			r = refuse("%s line %zu: a NUL byte; give lines NAME=VALUE or NAME", path, number);
		if (r || line[0] == '\0' || line[0] == '#')
			continue;
		snprintf(origin, sizeof(origin), "--env-file %.200s line %zu", path, number);
		r = f(arg, line, origin);
	}
	if (r == 0 && ferror(file))
		r = refuse("cannot read --env-file %s: %s", path, strerrordesc_np(errno));
	fclose(file);
	return r;
}
