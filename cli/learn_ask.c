/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --learn on a terminal: a request that no rule allows waits for what the person says, instead of being denied.
 *
 * Theory of operation. The sandbox may have all public hosts, and the command gets a grant with no more than the rules of
 * the run's policy. What a grant lacks is a question to the auditor (grant.raise), and this one leaves every question to a
 * person (asker.c), who is asked in asking.c. What a deny rule names is not asked about, and no answer leads to private
 * addresses or lets a secret go anywhere else.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "learn.h"
#include "nsbox.h"

#define ORIGIN "--learn"

/* All public hosts, and who is asked. */
static int widen(sandbox_policy *policy)
{
	_cleanup_buf_ struct buf command = { 0 };
	sandbox_error *error = NULL;
	char self[PATH_MAX];

	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return refuse("--learn: cannot find the program of nsbox itself");
	self[n] = '\0';
	buf_puts(&command, "exec:exec ");
	quote_word(&command, self);
	buf_puts(&command, " asker");
	if (!buf_str(&command) || sandbox_policy_set(policy, "network", "allow", "*", ORIGIN, &error) < 0 ||
	    sandbox_policy_set(policy, "audit", "auditor", buf_str(&command), ORIGIN, &error) < 0 ||
	    /* It answers at once, but a machine may be busy. */
	    sandbox_policy_set(policy, "audit", "deadline", "60s", ORIGIN, &error) < 0)
		return refuse_error(error);
	return 0;
}

int learn_ask(struct learn *learn, struct policy_args *args, sandbox_policy **ret_policy)
{
	/* Without a gateway nothing is decided by rules. */
	if (!strstr(learn->effective, "\nmode = gateway"))
		return 0;
	learn->asking.answers = json_object();
	args->again = true;
	args->last = widen;
	return learn->asking.answers ? policy_args_apply(args, ret_policy) : refuse("out of memory");
}

/* A line of [network] in the dump that is a rule: its key in a grant and its value, or NULL. */
static const char *rule_of(char *line, const char **ret_value)
{
	static const char *const keys[][2] = { { "allow", "allow" }, { "allow_private", "allow" },
					       { "passthrough", "passthrough" }, { "deny", "deny" } };
	char *equals = strstr(line, " = "), *comment = equals ? strstr(equals, " ;") : NULL;

	if (!equals)
		return NULL;
	*equals = '\0';
	if (comment)
		*comment = '\0';
	*ret_value = equals + 3;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (strcmp(line, keys[i][0]) == 0)
			return keys[i][1];
	}
	return NULL;
}

int learn_ask_command(const struct learn *learn, sandbox_command *command)
{
	_cleanup_free_ char *text = strdup(learn->effective);
	sandbox_error *error = NULL;
	sandbox_grant *grant = NULL;
	bool network = false;

	int r = sandbox_grant_new(&grant, &error);
	if (r == 0)
		r = sandbox_grant_set(grant, "credentials", "any", ORIGIN, &error);
	if (r == 0)
		r = sandbox_grant_set(grant, "allow", "none", ORIGIN, &error);
	for (char *rest = text, *line; r == 0 && rest && (line = strsep(&rest, "\n"));) {
		if (line[0] == '[')
			network = strcmp(line, "[network]") == 0;
		const char *value, *key = network ? rule_of(line, &value) : NULL;
		if (key)
			r = sandbox_grant_set(grant, key, value, ORIGIN, &error);
	}
	if (r == 0)
		r = sandbox_command_set_grant(command, grant, &error);
	sandbox_grant_free(grant);
	return r < 0 || !text ? refuse_error(error) : 0;
}
