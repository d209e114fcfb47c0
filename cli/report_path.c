/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File denials that can be known. The kernel tells nobody which file a program did not get, but a word of a failed command
 * that is a path on the host and is not there inside is most likely it.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "nsbox.h"
#include "report.h"

#define WORDS_MAX 64u

/* Is it on the host and not there inside? Then a denial of op. True when it is there inside. */
static bool look(struct report *report, sandbox_policy *policy, const char *path, const char *op)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	const char *rule = "", *reason = "";
	int allowed;

	/* Of /dev the common devices are there, which the policy's answer does not know. */
	if (access(path, F_OK) < 0 || strncmp(path, "/dev/", 5) == 0)
		return false;
	if (sandbox_policy_check_path(policy, path, 0, &allowed, &text, &error) < 0) {
		sandbox_error_free(error);
		return false;
	}
	json_t *answer = allowed ? NULL : json_loads(text, 0, NULL), *denial = NULL;
	if (answer && json_unpack(answer, "{s:s, s:s}", "rule", &rule, "reason", &reason) == 0)
		denial = json_pack("{s:s, s:s, s:s, s:s, s:s}", "event", "path", "op", op, "path", path, "rule", rule, "reason",
				   reason);
	char *line = denial ? json_dumps(denial, JSON_COMPACT) : NULL;
	if (line)
		report_add_denial(report, line);
	free(line);
	json_decref(denial);
	json_decref(answer);
	return allowed;
}

/* A command that was not found inside, where the caller would find it. */
static void look_for_command(struct report *report, sandbox_policy *policy, const char *name)
{
	const char *search = getenv("PATH");

	for (size_t n; search && *search; search += n + (search[n] == ':')) {
		_cleanup_free_ char *path = NULL;
		n = strcspn(search, ":");
		if (search[0] != '/')
			continue;
		if (asprintf(&path, "%.*s/%s", (int)n, search, name) < 0) {
			path = NULL;
			return;
		}
		if (access(path, X_OK) < 0)
			continue;
		if (look(report, policy, path, "execute"))
			say("%s is there inside, but its directory is not in PATH: name it by its path", path);
		return;
	}
}

void report_paths(struct report *report, sandbox_policy *policy, const char *workdir, char *const *argv)
{
	if (!argv[0])
		return;
	if (!strchr(argv[0], '/') && !report->started)
		look_for_command(report, policy, argv[0]);
	for (size_t i = 0; argv[i] && i < WORDS_MAX; i++) {
		_cleanup_free_ char *path = NULL;
		const char *word = argv[i], *equals = strchr(word, '=');
		if (i && word[0] == '-' && equals)
			word = equals + 1;
		if (!strchr(word, '/'))
			continue;
		/* The command stands in the workspace, nsbox perhaps elsewhere. */
		bool relative = word[0] != '/' && workdir;
		if (asprintf(&path, "%s%s%s", relative ? workdir : "", relative ? "/" : "", word) < 0) {
			path = NULL;
			return;
		}
		look(report, policy, path, i ? "read" : "execute");
	}
}
