/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox version. */
#include <stdio.h>

#include "base/util.h"
#include "nsbox.h"

enum { OPTION_JSON = OPTION_OWN };

static const struct option own_options[] = {
	{ .id = OPTION_JSON, .name = "json", .help = "one JSON object {version, api, landlock_abi, kernel}" },
	{ 0 },
};

static int run_version(const struct command *self, int argc, char **argv)
{
	struct option_reader r = { .command = self, .argc = argc, .argv = argv };
	bool json = false;
	int id;

	while ((id = option_next(&r)) != OPTIONS_END) {
		if (id == OPTION_BAD)
			return EXIT_NSBOX;
		if (id == OPTION_HELP)
			return help_print(self);
		json = true;
	}
	if (r.at < argc)
		return refuse("nsbox version takes no argument %s", argv[r.at]);
	if (!json) {
		printf("nsbox %s\n", sandbox_version());
		return EXIT_YES;
	}
	_cleanup_free_ char *text = NULL;
	if (sandbox_version_json(&text) < 0)
		return refuse("out of memory");
	puts(text);
	return EXIT_YES;
}

const struct command command_version = {
	.name = "version",
	.arguments = "[--json]",
	.summary = "print the version",
	.options = (const struct option *const[]){ own_options, NULL },
	.run = run_version,
};
