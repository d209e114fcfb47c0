/* SPDX-License-Identifier: Apache-2.0 */
/* Policies with grants, in a directory with something to grant. */
#ifndef GRANT_FIXTURE_H
#define GRANT_FIXTURE_H

#include "policy_fixture.h"

#include "policy/grant_internal.h"

/* That of policy_fixture.h, and in its workdir src, src/vendor, docs, .vscode and the file secret.env; beside it out. */
int grant_setup(void **state);
#define GRANT_TEST(f) cmocka_unit_test_setup_teardown(f, grant_setup, teardown)

#define POLICY                                                \
	HEAD "; ends at line 21\n"                            \
	     "[filesystem]\n"                                 \
	     "hide = secret.env\n"                            \
	     "read = docs\n"                                  \
	     "tmpfs = /var/cache\n"                           \
	     "[network]\n"                                    \
	     "allow = https://git.example.com/**\n"           \
	     "allow = *.example.org\n"                        \
	     "allow_private = http://build.corp.example/**\n" \
	     "allow = tcp://db.example.com:5432\n"            \
	     "passthrough = pinned.example.com\n"             \
	     "deny = evil.example.org\n"                      \
	     "deny = https://git.example.com/admin/**\n"      \
	     "[secret API_KEY]\n"                             \
	     "allow = https://git.example.com/**\n"           \
	     "[secret OTHER]\n"                               \
	     "allow = https://a.example.org/**\n"             \
	     "[limits]\n"                                     \
	     "timeout = 10m\n"

/* NULL: it cannot be read. */
struct policy *load(const char *text);
struct policy *finished(const char *text);

#endif
