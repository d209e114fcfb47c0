/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of a test; what cannot be read fails it. */
#ifndef RULE_FIXTURE_H
#define RULE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/rule.h"

#include <cmocka.h>

static inline struct rule *parse(const char *text, enum rule_kind kind)
{
	struct rule *r = NULL;
	struct error e = { 0 };
	if (rule_parse(text, kind, true, &r, &e) < 0)
		fail_msg("%s: %s", text, e.message);
	return r;
}

#endif
