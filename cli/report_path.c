/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File denials that can be known. The kernel tells nobody which file a program did not get, but a word of a failed command
 * that is a path on the host and is not there inside is most likely it, and so is one that the command would write and the
 * policy does not let it. Of a shell's script each word counts; what stands behind '>' would be written.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "nsbox.h"
#include "report.h"

#define WORDS_MAX 64u

struct look {
	struct report *report;
	sandbox_policy *policy;
	const char *workdir; /* NULL: the current directory */
	unsigned words;
};

enum operation { OP_READ, OP_WRITE, OP_EXECUTE };

/* What the policy says of a path: the answer {decision, rule, source, reason}, or NULL. */
static json_t *ask(const struct look *l, const char *path, bool write, bool *ret_allowed)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	int allowed;

	if (sandbox_policy_check_path(l->policy, path, write, &allowed, &text, &error) < 0) {
		sandbox_error_free(error);
		return NULL;
	}
	*ret_allowed = allowed;
	return json_loads(text, 0, NULL);
}

/* at: what a flag would have to name. */
static void deny(const struct look *l, const char *op, const char *path, const char *at, json_t *answer)
{
	const char *rule = "", *reason = "", *source = "";
	json_t *denial = NULL;

	if (json_unpack(answer, "{s:s, s:s, s:s}", "rule", &rule, "reason", &reason, "source", &source) == 0)
		denial = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "event", "path", "op", op, "path", path, "rule", rule,
				   "reason", reason, "source", source, "at", at);
	if (denial && l->report->started && l->report->call_id)
		json_object_set_new(denial, "call", json_string(l->report->call_id));
	char *line = denial ? json_dumps(denial, JSON_COMPACT) : NULL;
	if (line)
		report_add_denial(l->report, line);
	free(line);
	json_decref(denial);
}

/* Is it on the host and not there inside? Then a denial of op. True when it is there inside. */
static bool look_for(const struct look *l, const char *path, const char *op)
{
	bool allowed = false;

	/* Of /dev the common devices are there, which the policy's answer does not know. */
	if (access(path, F_OK) < 0 || strncmp(path, "/dev/", 5) == 0)
		return false;
	json_t *answer = ask(l, path, false, &allowed);
	if (answer && !allowed)
		deny(l, op, path, path, answer);
	json_decref(answer);
	return allowed;
}

/* Can it not be written, or is not even its directory there? A private place takes everything. */
static void look_to_write(const struct look *l, const char *path)
{
	_cleanup_free_ char *dir = strdup(path);
	bool allowed = true, exists = access(path, F_OK) == 0;
	char *slash = dir ? strrchr(dir, '/') : NULL;

	if (!dir || strncmp(path, "/dev/", 5) == 0)
		return;
	if (slash)
		slash[slash == dir] = '\0';
	const char *parent = slash ? dir : ".";
	if (access(parent, F_OK) < 0)
		return;
	json_t *answer = ask(l, parent, false, &allowed);
	if (answer && allowed) {
		json_decref(answer);
		answer = ask(l, path, true, &allowed);
		const char *reason = json_string_value(json_object_get(answer, "reason"));
		allowed = allowed || (reason && strcmp(reason, "private") == 0);
	}
	if (answer && !allowed)
		deny(l, "write", path, exists ? path : parent, answer);
	json_decref(answer);
}

/* A command that was not found inside, where the caller would find it. */
static void look_for_command(const struct look *l, const char *name)
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
		if (look_for(l, path, "execute"))
			say("%s is there inside, but its directory is not in PATH: name it by its path", path);
		return;
	}
}

/* A word as a path, seen from where the command stands, which nsbox perhaps does not. */
static void look_at(struct look *l, const char *word, size_t len, enum operation op)
{
	static const char *const homes[] = { "~/", "$HOME/", "${HOME}/" };
	const char *home = getenv("HOME"), *base = NULL;
	_cleanup_free_ char *path = NULL;

	if (l->words++ >= WORDS_MAX || !memchr(word, '/', len))
		return;
	for (size_t i = 0; i < ARRAY_LEN(homes) && home && op != OP_EXECUTE; i++) {
		size_t n = strlen(homes[i]);
		if (len >= n && memcmp(word, homes[i], n) == 0) {
			base = home;
			word += n;
			len -= n;
			break;
		}
	}
	if (!base && word[0] != '/')
		base = l->workdir;
	if (asprintf(&path, "%s%s%.*s", base ? base : "", base ? "/" : "", (int)len, word) < 0) {
		path = NULL;
		return;
	}
	if (op == OP_WRITE)
		look_to_write(l, path);
	else
		look_for(l, path, op == OP_EXECUTE ? "execute" : "read");
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static bool is_one_of(const char *name, const char *const *names)
{
	while (*names && strcmp(name, *names) != 0)
		names++;
	return *names != NULL;
}

static const char *script_of(char *const *argv)
{
	static const char *const shells[] = { "sh", "bash", "dash", "ash", "ksh", "zsh", NULL };

	if (!is_one_of(last_part(argv[0]), shells))
		return NULL;
	for (size_t i = 1; argv[i] && argv[i][0] == '-' && argv[i][1] != '-'; i++) {
		if (strchr(argv[i], 'c'))
			return argv[i + 1];
	}
	return NULL;
}

/* No parser of shells: quotes and everything that can stand between two words part them. */
static void look_at_script(struct look *l, const char *script)
{
	while (*script) {
		size_t gap = strspn(script, " \t\n;|&()<>`\"'="), len = strcspn(script + gap, " \t\n;|&()<>`\"'=");
		look_at(l, script + gap, len, memchr(script, '>', gap) ? OP_WRITE : OP_READ);
		script += gap + len;
	}
}

/* What a command of this name would do with the word at i. */
static enum operation operation(char *const *argv, size_t i)
{
	static const char *const all[] = { "touch", "tee", "mkdir", "rmdir", "rm", "truncate", NULL };
	static const char *const last[] = { "cp", "mv", "ln", "install", NULL };
	const char *name = last_part(argv[0]);

	if (i == 0)
		return OP_EXECUTE;
	return is_one_of(name, all) || (is_one_of(name, last) && !argv[i + 1]) ? OP_WRITE : OP_READ;
}

void report_paths(struct report *report, sandbox_policy *policy, const char *workdir, char *const *argv)
{
	struct look l = { .report = report, .policy = policy, .workdir = workdir };

	if (!argv[0])
		return;
	if (!strchr(argv[0], '/') && !report->started)
		look_for_command(&l, argv[0]);
	const char *script = script_of(argv);
	for (size_t i = 0; argv[i]; i++) {
		const char *word = argv[i], *equals = strchr(word, '=');
		if (word == script) {
			look_at_script(&l, script);
			continue;
		}
		if (i && word[0] == '-' && equals)
			word = equals + 1;
		look_at(&l, word, strlen(word), operation(argv, i));
	}
}
