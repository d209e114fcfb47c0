/* SPDX-License-Identifier: Apache-2.0 */
/* Named sandboxes: the registry and what is found through it, with supervisors that run nothing. */
#include "named_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "client/registry.h"
#include "fake_supervisor.h"

static void a_named_sandbox_is_found_and_removed(void **state)
{
	sandbox *made = NULL, *found = NULL;
	sandbox_error *error = NULL;
	sandbox_call *call = NULL;
	sandbox_command *command = NULL;
	static const char *const argv[] = { "true", NULL };
	(void)state;

	expect_list("");
	sandbox_runtime *maker = runtime_new(), *other = runtime_new();
	assert_int_equal(create(maker, "work", &made, NULL), 0);
	assert_string_equal(sandbox_name(made), "work");
	assert_true(sandbox_id(made)[0] >= 'a' && sandbox_id(made)[0] <= 'z');
	expect_list("work");
	assert_true(exists("r/nsbox/work.sock"));
	_cleanup_free_ char *json = NULL, *id = strdup(sandbox_id(made)), *log = strdup(sandbox_audit_log(made)), *path = NULL;
	assert_int_equal(sandbox_list(&json, NULL), 0);
	assert_non_null(strstr(json, "\"state\":\"running\""));
	assert_non_null(strstr(json, "\"net\":\"none\""));
	assert_non_null(strstr(json, "/w\""));
	/* It stays when its maker goes. */
	sandbox_free(made);
	sandbox_runtime_free(maker);
	expect_list("work");

	assert_int_equal(sandbox_open(other, id, &found, NULL), 0);
	assert_string_equal(sandbox_name(found), "work");
	sandbox_free(found);
	assert_int_equal(sandbox_open(other, "work", &found, NULL), 0);
	assert_string_equal(sandbox_id(found), id);
	assert_string_equal(sandbox_audit_log(found), log);
	assert_int_equal(sandbox_command_new(argv, &command, NULL), 0);
	assert_int_equal(sandbox_start(found, command, &call, NULL), 0);
	assert_int_equal(sandbox_call_wait(call, -1, NULL), 0);
	assert_int_equal(sandbox_call_exit_status(call), 5);
	sandbox_call_free(call);
	/* Its log goes by its name while it lives, by its id ever after. */
	assert_int_equal(sandbox_audit_path("work", &path, NULL), 0);
	assert_string_equal(path, log);

	assert_int_equal(sandbox_remove(found, 0, NULL), 0);
	expect_list("");
	assert_false(exists("r/nsbox/work.sock"));
	assert_false(exists("s/nsbox/sandboxes/work"));
	assert_int_equal(sandbox_runtime_dispatch(other, NULL), 0); /* an end that was asked for is no loss */
	assert_int_equal(sandbox_remove(found, 0, NULL), -ECONNRESET);
	assert_int_equal(sandbox_start(found, command, &call, NULL), -ECONNRESET);
	sandbox_free(found);
	assert_int_equal(sandbox_open(other, "work", &found, &error), -ENOENT);
	assert_non_null(strstr(sandbox_error_message(error), "nsbox ls"));
	sandbox_error_free(error);
	free(TAKE_PTR(path));
	assert_int_equal(sandbox_audit_path(id, &path, NULL), 0);
	assert_string_equal(path, log);
	sandbox_command_free(command);
	sandbox_runtime_free(other);
}

static void names_are_checked_and_unique(void **state)
{
	static const char *const bad[] = { "", "-x", "a/b", "..", ".lock", "a b", "a\n", "\xc3\xa4",
					   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	sandbox *box = NULL, *second = NULL;
	sandbox_error *error = NULL;
	(void)state;

	sandbox_runtime *r = runtime_new();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(create(r, bad[i], &box, NULL), -EINVAL);
		assert_int_equal(sandbox_open(r, bad[i], &box, NULL), -EINVAL);
	}
	assert_false(exists("s")); /* nothing was made for them */
	assert_int_equal(create(r, NULL, &box, NULL), 0);
	assert_string_equal(sandbox_name(box), sandbox_id(box));
	assert_int_equal(create(r, "two", &second, NULL), 0);
	assert_int_equal(create(r, "two", &second, &error), -EEXIST);
	assert_non_null(strstr(sandbox_error_message(error), "nsbox exec two"));
	assert_non_null(strstr(sandbox_error_message(error), "nsbox rm two"));
	sandbox_error_free(error);
	/* Nor the id of another. */
	_cleanup_free_ char *id = strdup(sandbox_id(second));
	assert_int_equal(create(r, id, &second, NULL), -EEXIST);
	assert_int_equal(sandbox_remove(box, 1, NULL), 0);
	sandbox_free(box);
	assert_int_equal(sandbox_remove(second, 1, NULL), 0);
	sandbox_free(second);
	sandbox_runtime_free(r);
}

/* Make one and leave: the exit status of a child. */
static int create_and_exit(const char *name)
{
	sandbox_runtime *r = NULL;
	sandbox *box = NULL;

	if (sandbox_runtime_new(&r, NULL) < 0 || sandbox_runtime_set_helper_dir(r, helpers, NULL) < 0)
		return 9;
	int k = create(r, name, &box, NULL);
	return k == 0 ? 0 : k == -EEXIST ? 1 : 2;
}

static void creators_wait_for_the_lock(void **state)
{
	char path[160];
	int status;
	(void)state;

	assert_int_equal(create_and_exit("first"), 0);
	snprintf(path, sizeof(path), "%s/s/nsbox/sandboxes/.lock", top);
	int lock = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(lock, LOCK_EX), 0);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		close(lock);
		_exit(create_and_exit("second"));
	}
	usleep(300000);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	assert_false(exists("s/nsbox/sandboxes/second"));
	close(lock);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	expect_list("first second");
	_cleanup_free_ char *removed = NULL;
	assert_int_equal(sandbox_prune(&removed, NULL), 0);
	assert_string_equal(removed, "[\"first\",\"second\"]");
}

/* Many processes at once, half of them after one name. */
static void one_of_many_creators_wins(void **state)
{
	pid_t pids[16];
	int won = 0, own = 0;
	(void)state;

	fflush(stdout);
	for (int i = 0; i < 16; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			char name[16];
			snprintf(name, sizeof(name), i % 2 ? "same" : "own%d", i);
			_exit(create_and_exit(name));
		}
	}
	for (int i = 0; i < 16; i++) {
		int status;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status));
		assert_true(WEXITSTATUS(status) <= 1);
		won += i % 2 && WEXITSTATUS(status) == 0;
		own += i % 2 == 0 && WEXITSTATUS(status) == 0;
	}
	assert_int_equal(won, 1);
	assert_int_equal(own, 8);
	expect_list("own0 own10 own12 own14 own2 own4 own6 own8 same");
	_cleanup_free_ char *removed = NULL;
	assert_int_equal(sandbox_prune(&removed, NULL), 0);
	expect_list("");
}

static void the_dead_are_swept_and_the_living_are_not(void **state)
{
	sandbox *box = NULL, *living = NULL;
	(void)state;

	sandbox_runtime *r = runtime_new();
	assert_int_equal(create(r, "dead", &box, NULL), 0);
	kill_supervisor(pid_listed());
	sandbox_error *error = NULL;
	assert_int_equal(sandbox_runtime_dispatch(r, &error), -ECONNRESET);
	assert_non_null(strstr(sandbox_error_message(error), "dead"));
	sandbox_error_free(error);
	sandbox_free(box);
	assert_true(exists("s/nsbox/sandboxes/dead/info"));
	/* The name is free at once. */
	assert_int_equal(create(r, "dead", &box, NULL), 0);
	assert_int_equal(create(r, "living", &living, NULL), 0);
	struct entry entry = { 0 };
	assert_int_equal(registry_peek("dead", &entry), 0);
	kill_supervisor(entry.pid);
	entry_clear(&entry);
	sandbox_free(box);
	assert_int_equal(sandbox_open(r, "dead", &box, NULL), -ENOENT); /* looking for it swept it */
	assert_false(exists("s/nsbox/sandboxes/dead"));
	assert_false(exists("r/nsbox/dead.sock"));
	expect_list("living");
	/* Left by somebody who died in the middle: without a lock, without a word about itself. */
	char path[160];
	snprintf(path, sizeof(path), "%s/s/nsbox/sandboxes/half", top);
	assert_int_equal(mkdir(path, 0700), 0);
	expect_list("living");
	assert_false(exists("s/nsbox/sandboxes/half"));
	assert_true(exists("r/nsbox/living.sock"));
	assert_int_equal(sandbox_remove(living, 0, NULL), 0);
	sandbox_free(living);
	sandbox_runtime_free(r);
}

/* Nobody else may decide who is there: what a process holds the lock of is never swept, whatever it says. */
static void a_held_lock_protects_an_entry(void **state)
{
	char path[160];
	sandbox *box = NULL;
	(void)state;

	expect_list("");
	sandbox_runtime *r = runtime_new();
	assert_int_equal(create(r, "x", &box, NULL), 0); /* makes the directories */
	snprintf(path, sizeof(path), "%s/s/nsbox/sandboxes/held", top);
	assert_int_equal(mkdir(path, 0700), 0);
	strcat(path, "/lock");
	int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(flock(lock, LOCK_EX), 0);
	expect_list("x");
	assert_true(exists("s/nsbox/sandboxes/held/lock"));
	close(lock);
	expect_list("x");
	assert_false(exists("s/nsbox/sandboxes/held"));
	assert_int_equal(sandbox_remove(box, 0, NULL), 0);
	sandbox_free(box);
	sandbox_runtime_free(r);
}

static void failed_creation_leaves_nothing(void **state)
{
	sandbox *box = NULL;
	sandbox_error *error = NULL;
	(void)state;

	sandbox_runtime *r = runtime_new();
	assert_int_equal(create(r, "refuse-it", &box, &error), -ENOTSUP);
	assert_string_equal(sandbox_error_message(error), "it was refused");
	sandbox_error_free(error);
	assert_false(exists("s/nsbox/sandboxes/refuse-it"));
	assert_false(exists("r/nsbox/refuse-it.sock"));
	assert_int_equal(create(r, "crash", &box, NULL), -ECONNRESET);
	assert_false(exists("s/nsbox/sandboxes/crash"));
	assert_false(exists("r/nsbox/crash.sock"));
	assert_int_equal(sandbox_runtime_dispatch(r, NULL), 0);
	/* No empty logs either. */
	_cleanup_free_ char *path = NULL;
	assert_int_equal(sandbox_audit_path(NULL, &path, NULL), -ENOENT);
	sandbox_runtime_free(r);

	r = NULL;
	assert_int_equal(sandbox_runtime_new(&r, NULL), 0);
	assert_int_equal(sandbox_runtime_set_helper_dir(r, "/nonexistent", NULL), 0);
	assert_int_equal(create(r, "work", &box, NULL), -ENOENT);
	assert_false(exists("s/nsbox/sandboxes/work"));
	assert_false(exists("r/nsbox/work.sock"));
	sandbox_runtime_free(r);
}

static void what_a_supervisor_leaves_is_swept(void **state)
{
	sandbox *box = NULL;
	(void)state;

	sandbox_runtime *r = runtime_new();
	assert_int_equal(create(r, "untidy", &box, NULL), 0);
	assert_int_equal(sandbox_remove(box, 0, NULL), 0);
	assert_false(exists("s/nsbox/sandboxes/untidy"));
	assert_false(exists("r/nsbox/untidy.sock"));
	sandbox_free(box);
	sandbox_runtime_free(r);
}

static void busy_ones_need_force(void **state)
{
	sandbox *box = NULL, *idle = NULL;
	_cleanup_free_ char *removed = NULL;
	(void)state;

	sandbox_runtime *r = runtime_new();
	assert_int_equal(create(r, "busy", &box, NULL), 0);
	assert_int_equal(create(r, "idle", &idle, NULL), 0);
	assert_int_equal(sandbox_remove(box, 0, NULL), -EBUSY);
	assert_int_equal(sandbox_prune(&removed, NULL), 0);
	assert_string_equal(removed, "[\"idle\"]");
	expect_list("busy");
	assert_int_equal(sandbox_remove(box, 1, NULL), 0);
	expect_list("");
	sandbox_free(box);
	sandbox_free(idle);
	sandbox_runtime_free(r);
}

int main(int argc, char **argv)
{
	(void)argc;
	fake_supervisor_main(argv);
	const struct CMUnitTest tests[] = {
		TEST(a_named_sandbox_is_found_and_removed),
		TEST(names_are_checked_and_unique),
		TEST(creators_wait_for_the_lock),
		TEST(one_of_many_creators_wins),
		TEST(the_dead_are_swept_and_the_living_are_not),
		TEST(a_held_lock_protects_an_entry),
		TEST(failed_creation_leaves_nothing),
		TEST(what_a_supervisor_leaves_is_swept),
		TEST(busy_ones_need_force),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
