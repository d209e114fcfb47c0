/* SPDX-License-Identifier: Apache-2.0 */
/* Where named sandboxes are kept: whose the places are, what is in them, and who must not see them. */
#include "named_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "client/registry.h"
#include "client/state.h"
#include "fake_supervisor.h"
#include "supervisor/protocol.h"

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
		TEST(places_of_others_are_refused),
		TEST(a_socket_of_somebody_else_is_refused),
		TEST(long_paths_work),
		TEST(info_is_read_strictly),
		TEST(output_is_read_frame_by_frame),
		TEST(our_own_directories_are_hidden),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
