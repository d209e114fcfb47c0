/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --learn on a terminal: a request or connection that no rule allows waits for what the person says, instead of being
 * denied.
 *
 * Theory of operation. The sandbox may have all public hosts, and the command gets a grant with no more than the
 * rules of the run's policy. What a grant lacks is a question to the auditor (grant.raise), and this one leaves every
 * question to a person (asker.c), who is asked in asking.c. What a deny rule names is not asked about, and no answer
 * leads to private addresses or lets a secret go anywhere else.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "learn.h"
#include "nsbox.h"
#include "report.h"

#define ORIGIN "--learn"

/* Where HTTP is spoken beside 80 and 443. */
static const unsigned short http_ports[] = { 3000, 5000, 8000, 8080, 8443, 8888 };

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

/* Those of the run's policy, until f returns something else than 0. */
static int each_rule(const struct learn *learn, int (*f)(void *arg, const char *key, const char *value), void *arg)
{
	_cleanup_free_ char *text = strdup(learn->effective);
	bool network = false;
	int r = text ? 0 : -ENOMEM;

	for (char *rest = text, *line; r == 0 && rest && (line = strsep(&rest, "\n"));) {
		if (line[0] == '[')
			network = strcmp(line, "[network]") == 0;
		const char *value, *key = network ? rule_of(line, &value) : NULL;
		if (key)
			r = f(arg, key, value);
	}
	return r;
}

static int has_port(void *port, const char *key, const char *value)
{
	size_t n = strlen(port);

	(void)key;
	for (; (value = strstr(value, port)); value++) {
		if (value[n] < '0' || value[n] > '9')
			return 1;
	}
	return 0;
}

/* Of all public hosts. A port that the run's policy knows is as it says: what would be asked about there could be
 * something else than what it has rules for. */
static int open_port(sandbox_policy *policy, const struct learn *learn, const char *kind, unsigned port,
		     sandbox_error **error)
{
	char known[16], rule[32];

	snprintf(known, sizeof(known), ":%u", port);
	int r = each_rule(learn, has_port, known);
	snprintf(rule, sizeof(rule), "%s*%s", kind, known);
	return r ? r < 0 ? r : 0 : sandbox_policy_set(policy, "network", "allow", rule, ORIGIN, error);
}

/* All public hosts, and who is asked. */
static int widen(sandbox_policy *policy, const void *arg)
{
	const struct learn *learn = arg;
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
	int r = buf_str(&command) ? sandbox_policy_set(policy, "network", "allow", "*", ORIGIN, &error) : -ENOMEM;
	for (size_t i = 0; i < ARRAY_LEN(http_ports) && r == 0; i++)
		r = open_port(policy, learn, "", http_ports[i], &error);
	for (size_t i = 0; report_opaque_ports[i] && r == 0; i++)
		r = open_port(policy, learn, "tcp://", report_opaque_ports[i], &error);
	if (r == 0)
		r = sandbox_policy_set(policy, "audit", "auditor", buf_str(&command), ORIGIN, &error);
	if (r == 0) /* It answers at once, but a machine may be busy. */
		r = sandbox_policy_set(policy, "audit", "deadline", "60s", ORIGIN, &error);
	return r < 0 ? refuse_error(error) : 0;
}

int learn_ask(struct learn *learn, struct policy_args *args, sandbox_policy **ret_policy)
{
	/* Without a gateway nothing is decided by rules. */
	if (!strstr(learn->effective, "\nmode = gateway"))
		return 0;
	learn->asking.answers = json_object();
	args->again = true;
	args->last = widen;
	args->last_arg = learn;
	return learn->asking.answers ? policy_args_apply(args, ret_policy) : refuse("out of memory");
}

struct granting {
	sandbox_grant *grant;
	sandbox_error *error;
};

static int grant_rule(void *arg, const char *key, const char *value)
{
	struct granting *g = arg;

	return sandbox_grant_set(g->grant, key, value, ORIGIN, &g->error);
}

int learn_ask_command(const struct learn *learn, sandbox_command *command)
{
	struct granting g = { 0 };

	int r = sandbox_grant_new(&g.grant, &g.error);
	if (r == 0)
		r = grant_rule(&g, "credentials", "any");
	if (r == 0)
		r = grant_rule(&g, "allow", "none");
	if (r == 0)
		r = each_rule(learn, grant_rule, &g);
	if (r == 0)
		r = sandbox_command_set_grant(command, g.grant, &g.error);
	sandbox_grant_free(g.grant);
	return r < 0 ? refuse_error(g.error) : 0;
}
