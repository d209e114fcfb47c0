/* SPDX-License-Identifier: Apache-2.0 */
/* The public list of built-in profiles, and the choice by a command. */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "client/client.h"
#include "policy/profile.h"

static int finish(int r, struct buf *b, char **ret, sandbox_error **error)
{
	struct error e;

	if (r < 0 || !buf_str(b)) {
		buf_free(b);
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, "profile", "out of memory");
		return error_publish(&e, error);
	}
	*ret = (char *)b->data;
	return 0;
}

/* The first line of its comment, to the first full stop that ends a sentence. */
static int summary(const char *text, struct buf *out)
{
	const char *from = text + strspn(text, "; "), *stop = strstr(from, ". ");
	size_t n = strcspn(from, "\n");

	return buf_append(out, from, stop && (size_t)(stop - from) < n ? (size_t)(stop - from) : n);
}

static int put_profile(struct buf *b, const struct builtin_profile *profile)
{
	_cleanup_buf_ struct buf text = { 0 }, names = { 0 };

	int r = summary(profile->text, &text);
	if (r == 0)
		r = profile_names(profile->name, &names);
	if (r == 0 && (!buf_str(&text) || !buf_str(&names)))
		r = -ENOMEM;
	if (r == 0)
		r = buf_putc(b, '{');
	if (r == 0)
		r = json_member_string(b, "name", profile->name);
	if (r == 0)
		r = json_member_string(b, "summary", buf_str(&text));
	if (r == 0)
		r = json_member_string(b, "commands", buf_str(&names));
	return r < 0 ? r : buf_putc(b, '}');
}

int sandbox_profile_list(char **ret_json, sandbox_error **error)
{
	struct buf b = { 0 };
	int r = buf_putc(&b, '[');

	for (const struct builtin_profile *p = builtin_profiles; p->name && r == 0; p++) {
		r = p == builtin_profiles ? 0 : buf_putc(&b, ',');
		if (r == 0)
			r = put_profile(&b, p);
	}
	if (r == 0)
		r = buf_putc(&b, ']');
	return finish(r, &b, ret_json, error);
}

int sandbox_profile_text(const char *name, char **ret_text, sandbox_error **error)
{
	struct policy *nothing = NULL;
	struct buf b = { 0 };
	struct error e = { 0 };

	for (const struct builtin_profile *p = builtin_profiles; p->name; p++) {
		if (strcmp(p->name, name) == 0)
			return finish(buf_puts(&b, p->text), &b, ret_text, error);
	}
	/* With the names that there are, and the near one. */
	int r = policy_new(&nothing);
	if (r == 0)
		r = policy_load_profile(nothing, name, &e);
	else
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, "profile", "out of memory");
	policy_free(nothing);
	return r < 0 ? error_publish(&e, error) : 0;
}

int sandbox_profile_choose(const char *const *argv, const char *workdir, char **ret_json, sandbox_error **error)
{
	struct profile_choice choice;
	struct buf b = { 0 };
	int r = buf_putc(&b, '[');

	profile_choose(argv, workdir, &choice);
	for (size_t i = 0; i < PROFILES_CHOSEN && choice.profile[i] && r == 0; i++) {
		r = buf_puts(&b, i ? ",{" : "{");
		if (r == 0)
			r = json_member_string(&b, "profile", choice.profile[i]);
		if (r == 0)
			r = json_member_string(&b, "by", choice.by[i]);
		if (r == 0)
			r = buf_putc(&b, '}');
	}
	if (r == 0)
		r = buf_putc(&b, ']');
	return finish(r, &b, ret_json, error);
}
