/* SPDX-License-Identifier: Apache-2.0 */
/* One setting: is its section and key known, has the value a form at all; then to the section's own code. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/grant_internal.h"

struct section {
	const char *name;
	bool named; /* [NAME ...] carries a name of its own */
	int (*set)(struct policy *p, const struct setting *s, struct error *e);
	const char *keys[24];
};

static const struct section sections[] = {
	{ "sandbox", false, set_sandbox, { "version", "extends", "allow_degraded" } },
	{ "filesystem", false, set_filesystem, { "read", "write", "overlay", "hide", "protect", "tmpfs" } },
	{ "network", false, set_network,
	  { "mode", "allow", "deny", "allow_private", "passthrough", "connect_to", "upstream_ca", "client_cert", "upstream_proxy",
	    "registries" } },
	{ "secret", true, set_secret,
	  { "source", "allow", "inject", "placeholder", "insecure", "scrub", "on_misuse", "revoke", "key_id" } },
	{ "quota", true, set_quota, { "match", "max_requests", "max_up", "rate" } },
	{ "env", false, set_env, { "pass", "set" } },
	{ "limits", false, set_limit, { "memory", "cpus", "pids", "timeout", "disk", "open_files" } },
	{ "audit", false, set_audit, { "auditor", "deadline" } },
	{ "grant", true, set_grant,
	  { "argv", "allow", "deny", "passthrough", "secret", "read", "write", "read_only", "hide", "exec", "view", "timeout",
	    "ttl", "open_files", "uses", "bytes_up", "rate", "isolation", "background", "credentials" } },
};

const char *section_list(void)
{
	return "[sandbox], [filesystem], [network], [secret NAME], [quota NAME], [env], [limits], [audit], [grant NAME]";
}

bool variable_name_valid(const char *s, size_t len)
{
	if (len == 0 || len > 64 || (s[0] >= '0' && s[0] <= '9'))
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = s[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
			return false;
	}
	return true;
}

static const struct section *find_section(const char *section, const char **ret_name)
{
	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		const struct section *s = &sections[i];
		size_t n = strlen(s->name);
		*ret_name = "";
		if (!s->named && strcmp(section, s->name) == 0)
			return s;
		if (s->named && strncmp(section, s->name, n) == 0 && section[n] == ' ' && section[n + 1]) {
			*ret_name = section + n + 1;
			return s;
		}
	}
	return NULL;
}

bool section_known(const char *section, const char **ret_name)
{
	return find_section(section, ret_name) != NULL;
}

int out_of_memory(struct error *e)
{
	return fail_errno(e, ENOMEM, SANDBOX_STAGE_POLICY, NULL, "cannot store the policy");
}

int bad_setting(const struct setting *s, struct error *e, int err, const char *fmt, ...)
{
	struct error why;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why.message, sizeof(why.message), fmt, ap);
	va_end(ap);
	return bad_setting_why(s, e, err, &why);
}

int bad_setting_why(const struct setting *s, struct error *e, int err, const struct error *why)
{
	/* What stands where a source is expected may be the secret itself, and the value of a variable too. */
	bool hidden = strcmp(s->key, "source") == 0 || strcmp(s->key, "set") == 0 || strcmp(s->key, "spec") == 0 ||
		      strcmp(s->key, "revoke") == 0 || strcmp(s->key, "upstream_proxy") == 0;
	/* A flag is its own key. */
	bool flag = strncmp(s->origin, "--", 2) == 0;
	char shown[112];

	if (hidden)
		shown[0] = '\0';
	else
		snprintf(shown, sizeof(shown), " = %.100s%s", s->value, strlen(s->value) > 100 ? "..." : "");
	if (flag)
		return fail(e, err, SANDBOX_STAGE_POLICY, hidden ? s->key : s->value, "%s%s: %s", s->origin,
			    hidden ? "" : shown + 2, why->message);
	return fail(e, err, SANDBOX_STAGE_POLICY, hidden ? s->key : s->value, "%s: [%s] %s%s: %s", s->origin, s->section,
		    s->key, shown, why->message);
}

void *grow(void *array, size_t *n, size_t element, size_t max, const char *what, const char *origin, struct error *e)
{
	char **slot = array;

	if (*n >= max) {
		fail(e, E2BIG, SANDBOX_STAGE_POLICY, what, "%s: more than %zu %s in one policy", origin, max, what);
		return NULL;
	}
	/* Room doubles at powers of two, so no capacity has to be stored. */
	if ((*n & (*n - 1)) == 0) {
		void *more = realloc(*slot, (*n ? *n * 2 : 1) * element);
		if (!more) {
			out_of_memory(e);
			return NULL;
		}
		*slot = more;
	}
	return memset(*slot + (*n)++ * element, 0, element);
}

int replace(char **slot, const char *value, struct error *e)
{
	char *copy = strdup(value);

	if (!copy)
		return out_of_memory(e);
	free(*slot);
	*slot = copy;
	return 0;
}

int each_in_list(const struct setting *s, struct error *e,
		 int (*f)(struct policy *p, const struct setting *s, const char *item, struct error *e), struct policy *p)
{
	for (const char *at = s->value;; at++) {
		size_t n = strcspn(at, ",");
		const char *from = at, *to = at + n;
		while (from < to && *from == ' ')
			from++;
		while (to > from && to[-1] == ' ')
			to--;
		if (from == to)
			return bad_setting(s, e, EINVAL, "an empty item in the list");
		_cleanup_free_ char *item = strndup(from, (size_t)(to - from));
		if (!item)
			return out_of_memory(e);
		int r = f(p, s, item, e);
		if (r < 0)
			return r;
		at += n;
		if (!*at)
			return 0;
	}
}

static int unknown_key(const struct section *section, const struct setting *s, struct error *e)
{
	const char *near = near_name(s->key, section->keys);
	char list[256];
	size_t n = 0;

	if (section->set == set_grant && strcmp(s->key, "allow_private") == 0)
		return bad_setting(s, e, EINVAL, "accepted: allow; whether a target may be at a private address stays the policy's "
				   "decision ([network] allow_private)");
	for (size_t i = 0; section->keys[i]; i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i ? ", " : "", section->keys[i]);
	return fail(e, EINVAL, SANDBOX_STAGE_POLICY, s->key, "%s: unknown key '%.50s' in [%s]%s%s%s; accepted: %s", s->origin,
		    s->key, s->section, near ? ", did you mean '" : "", near ? near : "", near ? "'" : "", list);
}

/* Key and bytes of a value, as far as they are the same for every section. */
static int check_line(const struct section *section, const struct setting *s, struct error *e)
{
	size_t len = strlen(s->value);
	bool known = false;

	for (size_t i = 0; section->keys[i]; i++)
		known = known || strcmp(s->key, section->keys[i]) == 0;
	if (!known)
		return unknown_key(section, s, e);
	if (len > VALUE_MAX)
		return fail(e, E2BIG, SANDBOX_STAGE_POLICY, s->key, "%s: the value of %s is over %d bytes", s->origin, s->key,
			    VALUE_MAX);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s->value[i];
		/* Variables may hold any text; everything else ends up in messages and in other parsers. */
		if ((c < 0x20 || c == 0x7f) && section->set != set_env)
			return fail(e, EINVAL, SANDBOX_STAGE_POLICY, s->key,
				    "%s: the value of %s has a control byte (0x%02x at byte %zu)", s->origin, s->key, c, i + 1);
	}
	return len ? 0 : bad_setting(s, e, EINVAL, "the value is empty");
}

int check_grant_line(const struct setting *s, struct error *e)
{
	const char *name;

	return check_line(find_section("grant x", &name), s, e);
}

static bool starts_command(const struct setting *s)
{
	return strncmp(s->value, "exec:", 5) == 0 || strcmp(s->key, "revoke") == 0 ||
	       (strcmp(s->key, "upstream_proxy") == 0 && strstr(s->value, "exec:"));
}

int policy_apply(struct policy *p, const struct setting *s, struct error *e)
{
	struct setting own = *s;
	const struct section *section = find_section(s->section, &own.name);
	int r = 0;

	if (p->finished)
		return fail(e, EBUSY, SANDBOX_STAGE_POLICY, s->key, "%s: the policy is finished and cannot be changed",
			    s->origin);
	if (!section)
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, s->section, "%s: unknown section [%.60s]; accepted: %s", s->origin,
			    s->section, section_list());
	/* A grant without a line is one too, so the reader reports the section itself, as a line without a key. */
	if (section->set != set_grant || *s->key)
		r = check_line(section, &own, e);
	if (r < 0)
		return r;
	if (section->set == set_secret && !variable_name_valid(own.name, strlen(own.name)))
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, s->section,
			    "%s: a secret's name is a variable's name of up to 64 letters, digits and '_'", s->origin);
	if (section->set == set_grant && !grant_name_valid(own.name))
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, s->section,
			    "%s: a grant's name is 1 to 64 letters, digits, '-' and '_'", s->origin);
	if (section->set == set_quota && !grant_name_valid(own.name))
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, s->section,
			    "%s: a quota's name is 1 to 64 letters, digits, '-' and '_'", s->origin);
	/* What it starts on the host may be what an earlier run put into the project. */
	if (s->from == FROM_PROJECT && starts_command(s))
		return bad_setting(&own, e, EPERM, "a project's file starts no command on the host: give it with --policy or a flag");
	return section->set(p, &own, e);
}

int policy_set(struct policy *p, const char *section, const char *key, const char *value, const char *base,
	       const char *origin, struct error *e)
{
	_cleanup_free_ char *cwd = NULL;

	if (!base) {
		base = cwd = getcwd(NULL, 0);
		if (!cwd)
			return fail_errno(e, errno, SANDBOX_STAGE_POLICY, ".", "cannot find the current directory");
	}
	struct setting s = { section, key, value, "", base, base, origin ? origin : "api", false, 0 };
	if (strlen(s.origin) > ORIGIN_MAX)
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, key, "the origin of a setting is over %d bytes", ORIGIN_MAX);
	if (strcmp(section, "secret") == 0 && strcmp(key, "spec") == 0)
		return policy_add_secret_spec(p, value, base, s.origin, e);
	if (strcmp(section, "quota") == 0 && strcmp(key, "spec") == 0)
		return policy_add_quota_spec(p, value, base, s.origin, e);
	return policy_apply(p, &s, e);
}
