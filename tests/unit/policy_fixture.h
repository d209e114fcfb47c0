/* SPDX-License-Identifier: Apache-2.0 */
/* Policies in a directory of the test's own, with a workdir and a home; what goes wrong fails the test. */
#ifndef POLICY_FIXTURE_H
#define POLICY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/internal.h"

#include <cmocka.h>

extern struct error e; /* of what was refused last */

int setup(void **state);
int teardown(void **state);
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* In the directory: a workdir "w", a home "h". One of four buffers. */
const char *in_dir(const char *name);
void put_file(const char *name, const char *text, size_t len);

struct policy *new_policy(void);
void set(struct policy *p, const char *section, const char *key, const char *value);
void finish(struct policy *p);
/* It is not finished, for this reason; and freed. */
void finish_refused(struct policy *p, const char *message);
char *dump(struct policy *p);
/* Of a dump, in its place. */
void strip_comments(char *text);
/* NULL: none of this kind. */
const struct policy_path *entry(struct policy *p, enum path_kind kind, const char *path);

/* A file of these bytes is not loaded, for this reason behind its name. */
void refused_bytes(const char *text, size_t len, const char *message);
#define HEAD "[sandbox]\nversion = 1\n"
#define REFUSED(text, message) refused_bytes(text, sizeof(text) - 1, message)

#endif
