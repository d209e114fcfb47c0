/* SPDX-License-Identifier: Apache-2.0 */
/* The way from a word to its function. The table is in table.c, that of the program inside in inside.c. */
#include <string.h>

#include "base/util.h"
#include "nsbox.h"

static const char *last_word(const char *name)
{
	const char *space = strrchr(name, ' ');
	return space ? space + 1 : name;
}

static int dispatch(const struct command *parent, const struct command *const *table, int argc, char **argv)
{
	const char *names[32], *prefix = parent ? parent->name : "", *space = parent ? " " : "";
	char hint[128];
	size_t n = 0;

	if (argc == 0)
		return refuse("no command given; see nsbox help%s%s", space, prefix);
	if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)
		return help_print(parent);
	for (; table[n] && n < ARRAY_LEN(names) - 1; n++) {
		const struct command *c = table[n];
		names[n] = last_word(c->name);
		if (strcmp(argv[0], names[n]) != 0)
			continue;
		return c->subcommands ? dispatch(c, c->subcommands, argc - 1, argv + 1) : c->run(c, argc - 1, argv + 1);
	}
	names[n] = NULL;
	return refuse("unknown command %s%s%s%s (see nsbox help%s%s)", prefix, space, argv[0],
		      nearest_hint(argv[0], "", names, hint, sizeof(hint)), space, prefix);
}

int commands_run(int argc, char **argv)
{
	return dispatch(NULL, commands, argc, argv);
}
