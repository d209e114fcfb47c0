/* SPDX-License-Identifier: Apache-2.0 */
/* Reading options by table. */
#include "options.h"

#include <string.h>

#include "base/util.h"
#include "nsbox.h"

static const struct option help_option = { .id = OPTION_HELP, .letter = 'h', .name = "help" };

/* The first table wins, but for a form that only a later one has (nsbox check: --write there, --write=PATH here). */
static const struct option *find_long(const struct command *c, const char *name, size_t len, bool with_value)
{
	const struct option *found = NULL;

	if (len == 4 && memcmp(name, "help", 4) == 0)
		return &help_option;
	for (const struct option *const *table = c->options; table && *table; table++) {
		for (const struct option *o = *table; o->name; o++) {
			if (strlen(o->name) != len || memcmp(o->name, name, len) != 0)
				continue;
			if (!found || (with_value && !found->value && o->value))
				found = o;
		}
	}
	return found;
}

static const struct option *find_short(const struct command *c, char letter)
{
	if (letter == 'h')
		return &help_option;
	for (const struct option *const *table = c->options; table && *table; table++) {
		for (const struct option *o = *table; o->name; o++) {
			if (o->letter == letter)
				return o;
		}
	}
	return NULL;
}

static int unknown(const struct command *c, const char *word, size_t len)
{
	const char *names[128];
	char name[64] = "", hint[128];
	size_t n = 0;

	if (word[1] == '-' && len - 2 < sizeof(name))
		memcpy(name, word + 2, len - 2);
	for (const struct option *const *table = c->options; table && *table; table++) {
		for (const struct option *o = *table; o->name && n < ARRAY_LEN(names) - 1; o++)
			names[n++] = o->name;
	}
	names[n] = NULL;
	nearest_hint(name, "--", names, hint, sizeof(hint));
	/* Only the name: the value behind '=' may be a secret. */
	say("unknown option %.*s%s (see nsbox help %s)", (int)len, word, hint, c->name);
	return OPTION_BAD;
}

int option_next(struct option_reader *r)
{
	r->option = NULL;
	r->value = NULL;
	if (r->at >= r->argc || r->ended)
		return OPTIONS_END;

	char *word = r->argv[r->at];
	if (word[0] != '-' || word[1] == '\0')
		return OPTIONS_END;
	r->at++;
	if (strcmp(word, "--") == 0) {
		r->ended = true;
		return OPTIONS_END;
	}

	if (word[1] == '-') {
		size_t len = strcspn(word + 2, "=");
		if (word[2 + len] == '=')
			r->value = word + 2 + len + 1;
		r->option = find_long(r->command, word + 2, len, r->value != NULL);
		if (!r->option)
			return unknown(r->command, word, len + 2);
	} else {
		r->option = find_short(r->command, word[1]);
		if (!r->option)
			return unknown(r->command, word, 2);
		if (word[2])
			r->value = word + 2;
	}

	if (r->value && !r->option->value) {
		say("option --%s takes no value", r->option->name);
		return OPTION_BAD;
	}
	if (r->option->value && !r->value) {
		if (r->at >= r->argc) {
			say("option --%s needs a value: --%s %s", r->option->name, r->option->name, r->option->value);
			return OPTION_BAD;
		}
		r->value = r->argv[r->at++];
	}
	return r->option->id;
}
