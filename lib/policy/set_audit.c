/* SPDX-License-Identifier: Apache-2.0 */
/* [audit]: who is asked before something happens, and for how long it is waited for. */
#include <stdio.h>
#include <string.h>

#include "audit/auditor_spec.h"
#include "policy/internal.h"

/* The auditor is looked for by another process, which stands in another directory. */
static int absolute_spec(const struct setting *s, char **ret, struct error *e)
{
	_cleanup_free_ char *path = NULL;

	if (strncmp(s->value, "unix:", 5) != 0 || !s->value[5]) {
		*ret = strdup(s->value);
		return *ret ? 0 : out_of_memory(e);
	}
	int r = absolute_path(s->file_base, s->value + 5, &path);
	if (r < 0)
		return bad_setting(s, e, -r, "the path of the socket cannot be used");
	return asprintf(ret, "unix:%s", path) < 0 ? out_of_memory(e) : 0;
}

static int set_auditor(struct policy *p, const struct setting *s, struct error *e)
{
	_cleanup_free_ char *spec = NULL;
	struct auditor_spec parsed;
	struct error why;

	int r = absolute_spec(s, &spec, e);
	if (r < 0)
		return r;
	r = auditor_spec_parse(spec, &parsed, &why);
	if (r < 0)
		return bad_setting_why(s, e, -r, &why);
	r = replace(&p->auditor.spec, spec, e);
	return r < 0 ? r : replace(&p->auditor.origin, s->origin, e);
}

int set_audit(struct policy *p, const struct setting *s, struct error *e)
{
	struct error why;

	if (strcmp(s->key, "auditor") == 0)
		return set_auditor(p, s, e);
	int r = auditor_deadline_parse(s->value, &p->auditor.deadline_us, &why);
	return r < 0 ? bad_setting_why(s, e, -r, &why) : replace(&p->auditor.deadline_origin, s->origin, e);
}
