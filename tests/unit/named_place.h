/* SPDX-License-Identifier: Apache-2.0 */
/* A place for the named sandboxes of a test, whose supervisors are fakes. */
#ifndef NAMED_PLACE_H
#define NAMED_PLACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/client.h"

#include <cmocka.h>

extern char top[64], helpers[128];

int setup(void **state);
int teardown(void **state);
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

sandbox_runtime *runtime_new(void);
sandbox_policy *policy_new_at(const char *dir);
int create(sandbox_runtime *r, const char *name, sandbox **ret, sandbox_error **error);
/* Below top. */
bool exists(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Their names with a blank between them. */
void expect_list(const char *names);
pid_t pid_listed(void);
void kill_supervisor(pid_t pid);

#endif
