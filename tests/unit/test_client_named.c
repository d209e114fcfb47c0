/* SPDX-License-Identifier: Apache-2.0 */
/* Named sandboxes: the registry and what is found through it, with supervisors that run nothing. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/util.h"
#include "client/client.h"
#include "client/registry.h"
#include "client/state.h"
#include "fake_supervisor.h"
#include "supervisor/protocol.h"

#include <cmocka.h>

static char top[64], helpers[128];

static int remove_item(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

/* A place of its own for every test: state below top/s, sockets below top/r, a workdir. */
static int setup(void **state)
{
	char path[128];
	(void)state;

	snprintf(top, sizeof(top), "/tmp/test-named-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	snprintf(helpers, sizeof(helpers), "%s/helpers", top);
	fake_supervisor_install(helpers);
	snprintf(path, sizeof(path), "%s/w", top);
	if (mkdir(path, 0700) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/s", top);
	setenv("XDG_STATE_HOME", path, 1);
	snprintf(path, sizeof(path), "%s/r", top);
	setenv("XDG_RUNTIME_DIR", path, 1);
	alarm(120);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return nftw(top, remove_item, 16, FTW_DEPTH | FTW_PHYS);
}

static sandbox_runtime *runtime_new(void)
{
	sandbox_runtime *r = NULL;
	assert_int_equal(sandbox_runtime_new(&r, NULL), 0);
	assert_int_equal(sandbox_runtime_set_helper_dir(r, helpers, NULL), 0);
	return r;
}

static sandbox_policy *policy_new_at(const char *dir)
{
	char path[160];
	sandbox_policy *p = NULL;

	snprintf(path, sizeof(path), "%s/%s", top, dir);
	assert_int_equal(sandbox_policy_new(&p, NULL), 0);
	assert_int_equal(sandbox_policy_set_workdir(p, path, 0, NULL), 0);
	assert_int_equal(sandbox_policy_set(p, "network", "mode", "none", NULL, NULL), 0);
	return p;
}

static int create(sandbox_runtime *r, const char *name, sandbox **ret, sandbox_error **error)
{
	sandbox_policy *p = policy_new_at("w");
	int k = sandbox_create_named(r, p, name, ret, error);
	sandbox_policy_free(p);
	return k;
}

static bool exists(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static bool exists(const char *fmt, ...)
{
	char path[512];
	struct stat st;
	va_list ap;
	int n = snprintf(path, sizeof(path), "%s/", top);

	va_start(ap, fmt);
	vsnprintf(path + n, sizeof(path) - (size_t)n, fmt, ap);
	va_end(ap);
	return lstat(path, &st) == 0;
}

static void expect_list(const char *names)
{
	_cleanup_free_ char *json = NULL;
	char seen[256] = "";

	assert_int_equal(sandbox_list(&json, NULL), 0);
	for (const char *at = json; (at = strstr(at, "{\"name\":\"")); at++)
		sscanf(at + 9, "%63[^\"]", strcat(seen, *seen ? " " : "") + strlen(seen));
	assert_string_equal(seen, names);
}

static pid_t pid_listed(void)
{
	_cleanup_free_ char *json = NULL;
	int pid = 0;

	assert_int_equal(sandbox_list(&json, NULL), 0);
	assert_non_null(strstr(json, "\"pid\":"));
	sscanf(strstr(json, "\"pid\":"), "\"pid\":%d", &pid);
	assert_true(pid > 1);
	return pid;
}

/* Dead, and its lock free. */
static void kill_supervisor(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	while (kill(pid, 0) == 0) {
		char path[64], line[256] = "";
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		FILE *f = fopen(path, "re");
		bool zombie = f && fgets(line, sizeof(line), f) && strstr(line, ") Z ");
		if (f)
			fclose(f);
		if (zombie)
			break;
		usleep(1000);
	}
}

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

static void expect_refused(int err, const char *text)
{
	sandbox_error *error = NULL;
	sandbox *box = NULL;
	sandbox_runtime *r = runtime_new();

	assert_int_equal(create(r, "work", &box, &error), -err);
	if (!strstr(sandbox_error_message(error), text))
		fail_msg("'%s' has no '%s'", sandbox_error_message(error), text);
	sandbox_error_free(error);
	sandbox_runtime_free(r);
}

static void places_of_others_are_refused(void **state)
{
	char path[160], aside[160];
	sandbox *box = NULL;
	(void)state;

	sandbox_runtime *r = runtime_new();
	assert_int_equal(create(r, "x", &box, NULL), 0);
	assert_int_equal(sandbox_remove(box, 1, NULL), 0);
	sandbox_free(box);
	sandbox_runtime_free(r);
	static const char *const dirs[] = { "s/nsbox", "s/nsbox/sandboxes", "r/nsbox" };
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", top, dirs[i]);
		snprintf(aside, sizeof(aside), "%s/aside", top);
		assert_int_equal(chmod(path, 0750), 0);
		expect_refused(EPERM, "chmod 700");
		assert_int_equal(chmod(path, 0700), 0);
		if (geteuid() == 0) {
			assert_int_equal(chown(path, 12345, 0), 0);
			expect_refused(EPERM, "belongs to uid 12345");
			assert_int_equal(chown(path, 0, 0), 0);
		}
		assert_int_equal(rename(path, aside), 0);
		assert_int_equal(symlink(aside, path), 0);
		expect_refused(ENOTDIR, "no link to one");
		assert_int_equal(unlink(path), 0);
		assert_int_equal(rename(aside, path), 0);
	}
	assert_false(exists("s/nsbox/sandboxes/work"));
}

/* The directory is ours, but what listens there is not. */
static void a_socket_of_somebody_else_is_refused(void **state)
{
	char path[160];
	struct error e = { 0 };
	(void)state;

	if (geteuid() != 0)
		skip(); /* needs another user */
	snprintf(path, sizeof(path), "%s/sockets", top);
	assert_int_equal(mkdir(path, 0700), 0);
	int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int listener = socket_listen(dir, "work", NULL);
	assert_true(listener >= 0);
	struct entry entry = { .name = "work", .socket_dir = path };
	int fd = socket_connect(&entry, &e);
	assert_true(fd >= 0);
	close(fd);
	/* Who listened last is the peer. */
	assert_int_equal(seteuid(12345), 0);
	int listening = listen(listener, 4);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(listening, 0);
	assert_int_equal(socket_connect(&entry, &e), -EPERM);
	assert_non_null(strstr(e.message, "another user"));
	close(listener);
	assert_int_equal(socket_connect(&entry, &e), -ECONNREFUSED);
	close(dir);
}

/* The address of a socket has room for 108 bytes. */
static void long_paths_work(void **state)
{
	char path[512], part[101];
	sandbox *box = NULL, *found = NULL;
	(void)state;

	memset(part, 'p', 100);
	part[100] = '\0';
	snprintf(path, sizeof(path), "%s/%s/%s", top, part, part);
	setenv("XDG_RUNTIME_DIR", path, 1);
	sandbox_runtime *r = runtime_new();
	static const char name[] = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn";
	assert_int_equal(create(r, name, &box, NULL), 0);
	assert_true(exists("%s/%s/nsbox/%s.sock", part, part, name));
	/* Wherever this process thinks that sockets are: the entry says where this one is. */
	unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(sandbox_open(r, name, &found, NULL), 0);
	assert_int_equal(sandbox_remove(found, 0, NULL), 0);
	assert_false(exists("%s/%s/nsbox/%s.sock", part, part, name));
	sandbox_free(found);
	sandbox_free(box);
	/* Without a place for sockets, and with a useless one, they are beside the rest. */
	assert_int_equal(create(r, "a", &box, NULL), 0);
	assert_true(exists("s/nsbox/run/a.sock"));
	assert_int_equal(sandbox_remove(box, 0, NULL), 0);
	sandbox_free(box);
	setenv("XDG_RUNTIME_DIR", "relative", 1);
	assert_int_equal(create(r, "b", &box, NULL), 0);
	assert_true(exists("s/nsbox/run/b.sock"));
	assert_int_equal(sandbox_remove(box, 0, NULL), 0);
	sandbox_free(box);
	sandbox_runtime_free(r);
}

static void info_is_read_strictly(void **state)
{
	static const char good[] = "format 1\nname work\nid abc\npid 7\ncreated 2026-01-01T00:00:00Z\nnet none\nready 1\n"
				   "workdir /a b\nsocket_dir /r\naudit /l\n";
	static const char *const bad[] = { "", "format 1\n", "nonsense", "\n\n" };
	char path[160], text[512];
	struct entry entry;
	(void)state;

	int dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/info", top);
	for (size_t i = 0; i <= sizeof(good) - 1 + ARRAY_LEN(bad); i++) {
		/* Every part of a good one that is not the whole, then others. */
		const char *t = i < sizeof(good) ? good : bad[i - sizeof(good)];
		size_t len = i < sizeof(good) ? i : strlen(t);
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		assert_int_equal(write(fd, t, len), (ssize_t)len);
		close(fd);
		assert_int_equal(entry_read(dir, &entry), len == sizeof(good) - 1 ? 0 : -EBADMSG);
		if (len == sizeof(good) - 1) {
			assert_string_equal(entry.workdir, "/a b");
			assert_int_equal(entry.pid, 7);
			assert_true(entry.ready);
			entry_clear(&entry);
		}
	}
	static const char *const extra[] = { "id again\n", "unknown x\n" };
	for (size_t i = 0; i < ARRAY_LEN(extra); i++) {
		snprintf(text, sizeof(text), "%s%s", good, extra[i]);
		int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
		assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
		close(fd);
		assert_int_equal(entry_read(dir, &entry), -EBADMSG);
	}
	close(dir);
}

static void put_frame(int fd, uint32_t magic, uint32_t len, uint32_t call, uint8_t stream, const char *data)
{
	uint8_t head[OUTPUT_HEAD] = { 0 };
	memcpy(head, &magic, 4);
	memcpy(head + 4, &len, 4);
	memcpy(head + 8, &call, 4);
	head[12] = stream;
	assert_int_equal(write(fd, head, sizeof(head)), sizeof(head));
	assert_int_equal(write(fd, data, strlen(data)), (ssize_t)strlen(data));
}

static void output_is_read_frame_by_frame(void **state)
{
	char path[160], expected[64];
	sandbox_output *output = NULL;
	sandbox *box = NULL;
	const char *call;
	const void *data;
	unsigned long len;
	int stream;
	(void)state;

	sandbox_runtime *r = runtime_new();
	assert_int_equal(create(r, "work", &box, NULL), 0);
	assert_int_equal(sandbox_output_open("other", &output, NULL), -ENOENT);
	assert_int_equal(sandbox_output_open("work", &output, NULL), 0);
	assert_int_equal(sandbox_output_next(output, &stream, &call, &data, &len), 0); /* no file yet */
	snprintf(path, sizeof(path), "%s/s/nsbox/sandboxes/work/output", top);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_int_equal(sandbox_output_next(output, &stream, &call, &data, &len), 0);
	put_frame(fd, OUTPUT_MAGIC, 5, 3, 1, "hello");
	put_frame(fd, OUTPUT_MAGIC, 6, 4, 2, "wor"); /* half of it so far */
	assert_int_equal(sandbox_output_next(output, &stream, &call, &data, &len), 1);
	snprintf(expected, sizeof(expected), "%s.3", sandbox_id(box));
	assert_int_equal(stream, 1);
	assert_string_equal(call, expected);
	assert_int_equal(len, 5);
	assert_memory_equal(data, "hello", 5);
	assert_int_equal(sandbox_output_next(output, &stream, &call, &data, &len), 0);
	assert_int_equal(write(fd, "ld\n", 3), 3);
	assert_int_equal(sandbox_output_next(output, &stream, &call, &data, &len), 1);
	assert_int_equal(stream, 2);
	assert_memory_equal(data, "world\n", 6);
	put_frame(fd, OUTPUT_MAGIC, 0, 4, 0, "");
	assert_int_equal(sandbox_output_next(output, &stream, &call, &data, &len), 1);
	assert_int_equal(stream, 0);
	assert_int_equal(len, 0);
	assert_int_equal(sandbox_output_next(output, &stream, &call, &data, &len), 0);
	put_frame(fd, OUTPUT_MAGIC + 1, 1, 4, 1, "x");
	assert_int_equal(sandbox_output_next(output, &stream, &call, &data, &len), -EBADMSG);
	assert_int_equal(sandbox_output_next(output, &stream, &call, &data, &len), -EBADMSG);
	sandbox_output_free(output);

	static const struct {
		uint32_t len;
		uint8_t stream;
	} bad[] = { { 1, 3 }, { OUTPUT_MAX + 1, 1 }, { 1, 0 }, { 0, 1 } };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(ftruncate(fd, 0), 0);
		put_frame(fd, OUTPUT_MAGIC, bad[i].len, 1, bad[i].stream, "x");
		assert_int_equal(sandbox_output_open(sandbox_id(box), &output, NULL), 0);
		assert_int_equal(sandbox_output_next(output, &stream, &call, &data, &len), -EBADMSG);
		sandbox_output_free(output);
	}
	/* Open, it is read on after the sandbox is gone. */
	assert_int_equal(ftruncate(fd, 0), 0);
	put_frame(fd, OUTPUT_MAGIC, 4, 1, 1, "last");
	close(fd);
	assert_int_equal(sandbox_output_open("work", &output, NULL), 0);
	assert_int_equal(sandbox_remove(box, 1, NULL), 0);
	assert_int_equal(sandbox_output_next(output, &stream, &call, &data, &len), 1);
	assert_memory_equal(data, "last", 4);
	sandbox_output_free(output);
	sandbox_free(box);
	sandbox_runtime_free(r);
}

static bool is_hidden(const struct policy *p, const char *dir)
{
	char path[160];
	size_t n;
	const struct policy_path *paths = policy_paths(p, &n);

	snprintf(path, sizeof(path), "%s/%s", top, dir);
	for (size_t i = 0; i < n; i++) {
		if (paths[i].kind == PATH_HIDE && strcmp(paths[i].path, path) == 0)
			return true;
	}
	return false;
}

static void our_own_directories_are_hidden(void **state)
{
	sandbox_error *error = NULL;
	char path[160];
	(void)state;

	/* The whole place as the workspace: state and sockets would be seen in it. Missing now, made by the first sandbox. */
	sandbox_policy *p = policy_new_at("."), *none = policy_new_at("w");
	assert_int_equal(sandbox_policy_check(p, NULL), 0);
	assert_false(exists("s"));
	assert_int_equal(state_hide(p->policy, true, NULL), 0);
	assert_true(is_hidden(p->policy, "s/nsbox"));
	assert_true(is_hidden(p->policy, "r/nsbox"));
	int allowed = 1;
	snprintf(path, sizeof(path), "%s/s/nsbox/audit", top);
	assert_int_equal(sandbox_policy_check_path(p, path, 0, &allowed, NULL, NULL), 0);
	assert_int_equal(allowed, 0);
	/* Once is enough, and it survives the way to the supervisor. */
	size_t before, after;
	policy_paths(p->policy, &before);
	assert_int_equal(sandbox_policy_check(p, NULL), 0);
	policy_paths(p->policy, &after);
	assert_int_equal(before, after);
	_cleanup_buf_ struct buf bytes = { 0 };
	struct policy *copy = NULL;
	assert_int_equal(policy_encode(p->policy, &bytes), 0);
	assert_int_equal(policy_decode(bytes.data, bytes.len, &copy, NULL), 0);
	assert_true(is_hidden(copy, "s/nsbox"));
	policy_free(copy);
	sandbox_policy_free(p);

	/* Where nothing shows them, nothing is to be hidden. */
	assert_int_equal(sandbox_policy_check(none, NULL), 0);
	assert_int_equal(state_hide(none->policy, true, NULL), 0);
	assert_false(is_hidden(none->policy, "s/nsbox"));
	assert_false(is_hidden(none->policy, "r/nsbox"));
	sandbox_policy_free(none);

	/* Asked for by name: refused, not silently empty. */
	p = policy_new_at("s/nsbox");
	assert_int_equal(sandbox_policy_check(p, &error), -EPERM);
	assert_non_null(strstr(sandbox_error_message(error), "--workdir"));
	sandbox_error_free(error);
	sandbox_policy_free(p);
	p = policy_new_at("w");
	snprintf(path, sizeof(path), "%s/r/nsbox", top);
	assert_int_equal(sandbox_policy_set(p, "filesystem", "read", path, NULL, NULL), 0);
	assert_int_equal(sandbox_policy_check(p, NULL), -EPERM);
	sandbox_policy_free(p);
}

int main(int argc, char **argv)
{
	(void)argc;
	fake_supervisor_main(argv);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_named_sandbox_is_found_and_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(names_are_checked_and_unique, setup, teardown),
		cmocka_unit_test_setup_teardown(creators_wait_for_the_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(one_of_many_creators_wins, setup, teardown),
		cmocka_unit_test_setup_teardown(the_dead_are_swept_and_the_living_are_not, setup, teardown),
		cmocka_unit_test_setup_teardown(a_held_lock_protects_an_entry, setup, teardown),
		cmocka_unit_test_setup_teardown(failed_creation_leaves_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_supervisor_leaves_is_swept, setup, teardown),
		cmocka_unit_test_setup_teardown(busy_ones_need_force, setup, teardown),
		cmocka_unit_test_setup_teardown(places_of_others_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_socket_of_somebody_else_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(long_paths_work, setup, teardown),
		cmocka_unit_test_setup_teardown(info_is_read_strictly, setup, teardown),
		cmocka_unit_test_setup_teardown(output_is_read_frame_by_frame, setup, teardown),
		cmocka_unit_test_setup_teardown(our_own_directories_are_hidden, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
