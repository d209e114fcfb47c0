/* SPDX-License-Identifier: Apache-2.0 */
/* [secret NAME] and --secret NAME[=SOURCE]@TARGET[,TARGET]. No message of this file may contain a source. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/internal.h"

#define SPEC_FORM "accepted: NAME[=SOURCE]@TARGET[,TARGET] with SOURCE = env:VARIABLE, file:PATH or exec:COMMAND"

void secret_done(struct policy_secret *s)
{
	free(s->name);
	free(s->source_arg);
	free(s->revoke);
	free(s->key_id);
	free(s->placeholder);
	free(s->origin);
	rules_free(s->allow, s->n_allow);
}

static struct policy_secret *find_secret(struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->n_secrets; i++) {
		if (strcmp(p->secrets[i].name, name) == 0)
			return &p->secrets[i];
	}
	return NULL;
}

static struct policy_secret *get_secret(struct policy *p, const struct setting *s, struct error *e)
{
	struct policy_secret *secret = find_secret(p, s->name);
	if (secret)
		return secret;
	secret = grow(&p->secrets, &p->n_secrets, sizeof(*secret), SECRETS_MAX, "secrets", s->origin, e);
	if (!secret)
		return NULL;
	*secret = (struct policy_secret){
		.name = strdup(s->name),
		.source = SOURCE_ENV,
		.source_arg = strdup(s->name),
		.inject = INJECT_HEADER | INJECT_BASIC | INJECT_QUERY,
		.scrub = true,
		.optional = s->from == FROM_BUILTIN,
		.origin = strdup(s->origin),
	};
	if (secret->name && secret->source_arg && secret->origin)
		return secret;
	secret_done(secret);
	p->n_secrets--;
	out_of_memory(e);
	return NULL;
}

static int set_source(struct policy_secret *secret, const struct setting *s, struct error *e)
{
	static const char *const kinds[] = { "env:", "file:", "exec:" };
	_cleanup_free_ char *path = NULL;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t n = strlen(kinds[i]);
		const char *arg = s->value + n;
		if (strncmp(s->value, kinds[i], n) != 0)
			continue;
		if (!*arg || (i == SOURCE_ENV && !variable_name_valid(arg, strlen(arg))))
			break;
		if (i == SOURCE_FILE) {
			if (absolute_path(s->file_base, arg, &path) < 0)
				break;
			arg = path;
		}
		secret->source = (enum secret_source)i;
		return replace(&secret->source_arg, arg, e);
	}
	return bad_setting(s, e, EINVAL, "the source has no known form (it is not shown, it may be the secret); accepted: "
			   "env:VARIABLE, file:PATH, exec:COMMAND");
}

static int add_target(struct policy *p, const struct setting *s, const char *item, struct error *e)
{
	struct policy_secret *secret = find_secret(p, s->name);
	struct rule *rule;
	struct error why;

	int r = rule_parse(item, RULE_SECRET, true, &rule, &why);
	if (r < 0) {
		/* Of a --secret only the part that failed: what stands before the first '@' may be a value. */
		struct setting shown = *s;
		shown.value = item;
		shown.key = "allow";
		return bad_setting_why(&shown, e, -r, &why);
	}
	struct rule **slot = grow(&secret->allow, &secret->n_allow, sizeof(*slot), TARGETS_MAX, "targets of a secret",
				  s->origin, e);
	if (!slot) {
		rule_free(rule);
		return -e->err;
	}
	*slot = rule;
	return 0;
}

static int add_inject(struct policy *p, const struct setting *s, const char *item, struct error *e)
{
	static const char *const places[] = { "header", "basic", "query", "path", "body", "sigv4" };
	struct policy_secret *secret = find_secret(p, s->name);

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (strcmp(item, places[i]) == 0) {
			secret->inject |= 1u << i;
			return 0;
		}
	}
	return bad_setting(s, e, EINVAL, "accepted: header, basic, query, path, body, or sigv4 alone");
}

/* Text with at most one {random:N}: visible ASCII that survives headers, URLs and shells unquoted. */
bool placeholder_valid(const char *s)
{
	const char *open = strchr(s, '{');
	size_t n = 0, fixed = strlen(s);

	if (fixed > 256 || !open || strncmp(open, "{random:", 8) != 0)
		return false;
	const char *digits = open + 8;
	for (; digits[n] >= '0' && digits[n] <= '9' && n < 4; n++)
		;
	uint32_t count;
	char text[8] = "";
	memcpy(text, digits, n);
	/* Fewer than 16 random characters (36^16 = 2^82) could be guessed or met by chance. */
	if (n == 0 || digits[n] != '}' || parse_count(text, 1024, &count) < 0 || count < 16)
		return false;
	for (const char *c = s; *c; c++) {
		if (c == open) {
			c = digits + n;
			continue;
		}
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || strchr("-_.", *c)))
			return false;
	}
	return true;
}

static int set_switch(const struct setting *s, bool *ret, struct error *e)
{
	if (strcmp(s->value, "yes") != 0 && strcmp(s->value, "no") != 0)
		return bad_setting(s, e, EINVAL, "accepted: yes, no");
	*ret = s->value[0] == 'y';
	return 0;
}

static int set_on_misuse(struct policy_secret *secret, const struct setting *s, struct error *e)
{
	static const char *const ways[] = { [MISUSE_BLOCK] = "block", [MISUSE_KILL] = "kill", [MISUSE_PASS] = "pass" };

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		if (strcmp(s->value, ways[i]) == 0) {
			secret->on_misuse = (enum secret_misuse)i;
			return 0;
		}
	}
	return bad_setting(s, e, EINVAL, "accepted: block, kill, pass");
}

int set_secret(struct policy *p, const struct setting *s, struct error *e)
{
	struct policy_secret *secret = get_secret(p, s, e);

	if (!secret)
		return -e->err;
	/* Asked for by somebody: then it has to be there. */
	secret->optional = secret->optional && s->from == FROM_BUILTIN;
	if (strcmp(s->key, "source") == 0)
		return set_source(secret, s, e);
	if (strcmp(s->key, "allow") == 0)
		return each_in_list(s, e, add_target, p);
	if (strcmp(s->key, "inject") == 0) {
		secret->inject = 0;
		return each_in_list(s, e, add_inject, p);
	}
	if (strcmp(s->key, "insecure") == 0)
		return set_switch(s, &secret->insecure, e);
	if (strcmp(s->key, "scrub") == 0)
		return set_switch(s, &secret->scrub, e);
	if (strcmp(s->key, "placeholder") == 0) {
		if (!placeholder_valid(s->value))
			return bad_setting(s, e, EINVAL, "accepted: letters, digits, '-', '_', '.' around one {random:N}, "
					   "N from 16 to 1024, as in sk-ant-{random:40}");
		return replace(&secret->placeholder, s->value, e);
	}
	if (strcmp(s->key, "on_misuse") == 0)
		return set_on_misuse(secret, s, e);
	if (strcmp(s->key, "key_id") == 0)
		return variable_name_valid(s->value, strlen(s->value)) ? replace(&secret->key_id, s->value, e) :
									   bad_setting(s, e, EINVAL, "accepted: the name of a secret");
	/* The command of a shell; as the source it may hold what is not to be shown. */
	return *s->value ? replace(&secret->revoke, s->value, e) : bad_setting(s, e, EINVAL, "accepted: a command");
}

int policy_add_secret_spec(struct policy *p, const char *spec, const char *base, const char *origin, struct error *e)
{
	_cleanup_free_ char *section = NULL, *cwd = NULL;
	const char *at = strchr(spec, '@'), *eq = strchr(spec, '=');
	struct setting whole = { "secret", "spec", spec, "", base, base, origin ? origin : "--secret", false, 0 };

	if (!at)
		return bad_setting(&whole, e, EINVAL, "no '@TARGET'; " SPEC_FORM);
	if (eq > at)
		eq = NULL;
	const char *end = eq ? eq : at;
	if (!variable_name_valid(spec, (size_t)(end - spec)))
		return bad_setting(&whole, e, EINVAL, "the name is not a variable's name; " SPEC_FORM);
	if (!base) {
		base = cwd = getcwd(NULL, 0);
		if (!cwd)
			return fail_errno(e, errno, SANDBOX_STAGE_POLICY, ".", "cannot find the current directory");
	}
	if (asprintf(&section, "secret %.*s", (int)(end - spec), spec) < 0) {
		section = NULL;
		return out_of_memory(e);
	}
	struct setting part = { section, "source", "", "", base, base, whole.origin, false, 0 };
	if (eq) {
		_cleanup_free_ char *source = strndup(eq + 1, (size_t)(at - eq - 1));
		if (!source)
			return out_of_memory(e);
		part.value = source;
		int r = policy_apply(p, &part, e);
		explicit_bzero(source, strlen(source));
		if (r < 0)
			return r;
	}
	part.key = "allow";
	part.value = at + 1;
	if (!*part.value)
		return bad_setting(&whole, e, EINVAL, "no target behind '@'; " SPEC_FORM);
	return policy_apply(p, &part, e);
}
