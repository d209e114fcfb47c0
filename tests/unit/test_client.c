/* SPDX-License-Identifier: Apache-2.0 */
/* The client library without a supervisor: events, commands, the environment of a call, checks of arguments. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "client/client.h"

#include <cmocka.h>

static sandbox_runtime *runtime_new(void)
{
	sandbox_runtime *r = NULL;
	assert_int_equal(sandbox_runtime_new(&r, NULL), 0);
	return r;
}

static void events_come_in_order_and_are_bounded(void **state)
{
	sandbox_runtime *r = runtime_new();
	sandbox_event *event = NULL;
	char name[32];
	(void)state;

	for (unsigned i = 0; i < MAX_EVENTS + 3; i++) {
		snprintf(name, sizeof(name), "net.deny.%u", i);
		event_push(r, name, "box", "box.1", "no-rule", "{}");
	}
	/* The oldest three are gone, and that is told first. */
	assert_int_equal(sandbox_runtime_next_event(r, &event), 0);
	assert_string_equal(sandbox_event_name(event), "events.lost");
	assert_string_equal(sandbox_event_json(event), "{\"event\":\"events.lost\",\"count\":3}");
	sandbox_event_free(event);
	for (unsigned i = 3; i < MAX_EVENTS + 3; i++) {
		assert_int_equal(sandbox_runtime_next_event(r, &event), 0);
		snprintf(name, sizeof(name), "net.deny.%u", i);
		assert_string_equal(sandbox_event_name(event), name);
		assert_string_equal(sandbox_event_call(event), "box.1");
		assert_string_equal(sandbox_event_reason(event), "no-rule");
		sandbox_event_free(event);
	}
	assert_int_equal(sandbox_runtime_next_event(r, &event), 0);
	assert_null(event);
	event_push(r, "left", "box", "", "", "{}"); /* freed with the runtime */
	sandbox_runtime_free(r);
}

static void event_names_are_checked(void **state)
{
	sandbox_runtime *r = runtime_new();
	sandbox_error *error = NULL;
	(void)state;

	assert_int_equal(sandbox_runtime_set_events(r, "net.deny,http.deny", &error), 0);
	assert_string_equal(r->wanted, ",net.deny,http.deny,");
	assert_null(error);
	assert_int_equal(sandbox_runtime_set_events(r, "net.deny, http.deny", &error), -EINVAL);
	assert_int_equal(sandbox_error_stage(error), SANDBOX_STAGE_USAGE);
	assert_non_null(strstr(sandbox_error_message(error), "separated by commas"));
	sandbox_error_free(error);
	assert_int_equal(sandbox_runtime_set_events(r, "", NULL), -EINVAL);
	sandbox_runtime_free(r);
}

static void commands_are_checked(void **state)
{
	static const char *const nothing[] = { NULL }, *const empty[] = { "", NULL }, *const good[] = { "a", "b", NULL };
	sandbox_command *c = NULL;
	(void)state;

	assert_int_equal(sandbox_command_new(nothing, &c, NULL), -EINVAL);
	assert_int_equal(sandbox_command_new(empty, &c, NULL), -EINVAL);
	assert_int_equal(sandbox_command_new(good, &c, NULL), 0);
	assert_int_equal(sandbox_command_set_env(c, "", "x", NULL), -EINVAL);
	assert_int_equal(sandbox_command_set_env(c, "A=B", "x", NULL), -EINVAL);
	assert_int_equal(sandbox_command_set_env(c, "A", "x=y", NULL), 0);
	assert_string_equal(c->env[0], "A=x=y");
	assert_int_equal(sandbox_command_set_directory(c, "relative", NULL), -EINVAL);
	assert_int_equal(sandbox_command_set_directory(c, "/tmp", NULL), 0);
	assert_int_equal(sandbox_command_set_terminal(c, 70000, 80), -EINVAL);
	assert_false(c->terminal);
	sandbox_command_free(c);
	sandbox_command_free(NULL);
}

static const char *value_of(char *const *env, const char *name)
{
	size_t len = strlen(name);
	const char *found = NULL;

	for (; *env; env++) {
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=') {
			assert_null(found); /* no name twice */
			found = *env + len + 1;
		}
	}
	return found;
}

static sandbox_policy *policy_in_tmp(const char *mode)
{
	sandbox_policy *p = NULL;

	assert_int_equal(sandbox_policy_new(&p, NULL), 0);
	assert_int_equal(sandbox_policy_set_workdir(p, "/usr/share", 0, NULL), 0);
	assert_int_equal(sandbox_policy_set(p, "network", "mode", mode, NULL, NULL), 0);
	return p;
}

static int build(sandbox_policy *p, char *const *extra, char ***ret_env, struct error *e)
{
	_cleanup_(strv_freep) char **base = NULL;
	char *const nothing[] = { NULL };

	int r = environment_build(p->policy, "someone", &base, e);
	return r < 0 ? r : environment_add(p->policy, base, extra ? extra : nothing, ret_env, e);
}

static void environment_is_a_list(void **state)
{
	char *extra[] = { (char *)"FROM_CALL=1", (char *)"LANG=xx", NULL };
	char **env = NULL;
	(void)state;

	setenv("SECRET_OF_HOST", "leaks", 1);
	setenv("LC_TIME", "C", 1);
	setenv("LANG", "C.UTF-8", 1);
	sandbox_policy *p = policy_in_tmp("gateway");
	assert_int_equal(sandbox_policy_set(p, "env", "set", "CI=1", NULL, NULL), 0);
	assert_int_equal(sandbox_policy_check(p, NULL), 0);
	assert_int_equal(build(p, extra, &env, NULL), 0);
	assert_null(value_of(env, "SECRET_OF_HOST"));
	assert_string_equal(value_of(env, "LC_TIME"), "C");
	assert_string_equal(value_of(env, "LANG"), "xx"); /* the caller's word is the last */
	assert_string_equal(value_of(env, "CI"), "1");
	assert_string_equal(value_of(env, "FROM_CALL"), "1");
	assert_string_equal(value_of(env, "NSBOX"), "1");
	assert_string_equal(value_of(env, "SHELL"), "/bin/sh");
	assert_string_equal(value_of(env, "TMPDIR"), "/tmp");
	assert_string_equal(value_of(env, "SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt");
	strv_free(env);
	sandbox_policy_free(p);

	/* Without the gateway nothing points at its authority. */
	p = policy_in_tmp("none");
	assert_int_equal(sandbox_policy_check(p, NULL), 0);
	assert_int_equal(build(p, NULL, &env, NULL), 0);
	assert_null(value_of(env, "SSL_CERT_FILE"));
	strv_free(env);
	sandbox_policy_free(p);
}

static void secret_and_variable_of_one_name_are_refused(void **state)
{
	char *extra[] = { (char *)"API_KEY=x", NULL };
	struct error e = { 0 };
	char **env = NULL;
	(void)state;

	sandbox_policy *p = policy_in_tmp("gateway");
	assert_int_equal(sandbox_policy_set(p, "secret API_KEY", "source", "env:API_KEY", NULL, NULL), 0);
	assert_int_equal(sandbox_policy_set(p, "secret API_KEY", "allow", "https://api.example.com", NULL, NULL), 0);
	assert_int_equal(sandbox_policy_set(p, "network", "allow", "https://api.example.com", NULL, NULL), 0);
	assert_int_equal(sandbox_policy_check(p, NULL), 0);
	assert_int_equal(build(p, extra, &env, &e), -EINVAL);
	assert_int_equal(e.stage, SANDBOX_STAGE_SECRET);
	sandbox_policy_free(p);
}

static void secret_values_are_checked(void **state)
{
	(void)state;

	sandbox_policy *p = policy_in_tmp("gateway");
	assert_int_equal(sandbox_policy_set_secret_value(p, "K", "abc\ndef", 7, NULL), -EINVAL);
	assert_int_equal(sandbox_policy_set_secret_value(p, "K", "abc\rdef", 7, NULL), -EINVAL);
	assert_int_equal(sandbox_policy_set_secret_value(p, "K", "abc\0def", 7, NULL), -EINVAL);
	assert_int_equal(sandbox_policy_set_secret_value(p, "K", "", 0, NULL), -EINVAL);
	assert_int_equal(sandbox_policy_set_secret_value(p, "K", "abcdefgh", 8, NULL), 0);
	sandbox_policy_free(p);
}

static void limits_that_cannot_be_applied_are_refused(void **state)
{
	sandbox_error *error = NULL;
	(void)state;

	sandbox_policy *p = policy_in_tmp("none");
	assert_int_equal(sandbox_policy_set(p, "limits", "memory", "1G", NULL, NULL), 0);
	assert_int_equal(sandbox_policy_check(p, &error), -ENOTSUP);
	assert_non_null(strstr(sandbox_error_message(error), "--allow-degraded memory"));
	sandbox_error_free(error);
	sandbox_policy_free(p);

	p = policy_in_tmp("none");
	assert_int_equal(sandbox_policy_set(p, "limits", "memory", "1G", NULL, NULL), 0);
	assert_int_equal(sandbox_policy_set(p, "sandbox", "allow_degraded", "memory", NULL, NULL), 0);
	assert_int_equal(sandbox_policy_check(p, NULL), 0);
	sandbox_policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_come_in_order_and_are_bounded),
		cmocka_unit_test(event_names_are_checked),
		cmocka_unit_test(commands_are_checked),
		cmocka_unit_test(environment_is_a_list),
		cmocka_unit_test(secret_and_variable_of_one_name_are_refused),
		cmocka_unit_test(secret_values_are_checked),
		cmocka_unit_test(limits_that_cannot_be_applied_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
