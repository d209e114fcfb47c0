/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox version. */
#include <stdio.h>

#include "base/util.h"
#include "named.h"
#include "nsbox.h"

enum { OPTION_JSON = OPTION_OWN };

static const struct option own_options[] = {
	{ .id = OPTION_JSON, .name = "json", .help = "one JSON object {version, api, landlock_abi, kernel}" },
	{ 0 },
};

static int run_version(const struct command *self, int argc, char **argv)
{
	struct words words;
	bool json = false;

	int status = named_words(self, argc, argv, words_flag, &json, &words);
	if (status)
		return status - 1;
	if (words.n)
		return refuse("nsbox version takes no argument %s", words.word[0]);
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
