/* SPDX-License-Identifier: Apache-2.0 */
/* What the grants of confine/landlock.h let a confined process do, on real files. */
#include "base/util.h"
#include "confine/landlock.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

static char top[64];

static int make_tree(void **state)
{
	(void)state;
	strcpy(top, "/tmp/test_landlock.XXXXXX");
	if (!mkdtemp(top) || chdir(top) < 0)
		return -1;
	if (mkdir("read", 0755) < 0 || mkdir("write", 0755) < 0 || mkdir("content", 0755) < 0 || mkdir("none", 0755) < 0)
		return -1;
	const char *const files[] = { "read/f", "write/f", "content/f", "none/f" };
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		int fd = open(files[i], O_CREAT | O_WRONLY, 0644);
		if (fd < 0)
			return -1;
		close(fd);
	}
	return 0;
}

static int remove_tree(void **state)
{
	(void)state;
	const char *const files[] = { "read/f", "write/f", "content/f", "none/f", "write/g", "write/d" };
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		remove(files[i]);
	const char *const dirs[] = { "read", "write", "content", "none", top };
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		rmdir(dirs[i]);
	return 0;
}

static int allow(int ruleset, const char *path, unsigned grants)
{
	struct stat st;
	int fd = open(path, O_PATH | O_CLOEXEC);
	int r = fd < 0 || fstat(fd, &st) < 0 ? -errno : landlock_allow(ruleset, landlock_abi(), fd, S_ISDIR(st.st_mode), grants);

	fd_close(fd);
	return r;
}

static int enter(void)
{
	int ruleset = landlock_new(landlock_abi());

	if (ruleset < 0 || allow(ruleset, "read", LANDLOCK_GRANT_READ) < 0 ||
	    allow(ruleset, "write", LANDLOCK_GRANT_READ | LANDLOCK_GRANT_WRITE) < 0 ||
	    allow(ruleset, "content", LANDLOCK_GRANT_READ | LANDLOCK_GRANT_CONTENT) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return landlock_enter(ruleset);
}

static int try_open(const char *path, int flags)
{
	int fd = open(path, flags, 0644);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

/* Runs in the child; a wrong answer is the line number. */
#define WANT(expression, value)           \
	do {                              \
		if ((expression) != (value)) \
			_exit(__LINE__ & 0x7f ? __LINE__ & 0x7f : 1); \
	} while (0)

static void check_files(void)
{
	WANT(try_open("read/f", O_RDONLY), 0);
	WANT(try_open("read/f", O_WRONLY), EACCES);
	WANT(try_open("read/new", O_CREAT | O_WRONLY), EACCES);
	WANT(unlink("read/f"), -1);
	WANT(try_open("write/f", O_RDWR), 0);
	WANT(try_open("write/g", O_CREAT | O_WRONLY), 0);
	WANT(mkdir("write/d", 0755), 0);
	WANT(rename("write/g", "write/d/g"), landlock_abi() >= 2 ? 0 : -1);
	WANT(rename("write/d/g", "write/g"), landlock_abi() >= 2 ? 0 : -1);
	WANT(rename("write/f", "content/x"), -1);
	WANT(try_open("content/f", O_WRONLY), 0);
	WANT(try_open("content/f", O_WRONLY | O_TRUNC), 0);
	WANT(try_open("content/new", O_CREAT | O_WRONLY), EACCES);
	WANT(unlink("content/f"), -1);
	WANT(try_open("none/f", O_RDONLY), EACCES);
	WANT(try_open(".", O_RDONLY | O_DIRECTORY), EACCES);
	WANT(try_open("/etc/passwd", O_RDONLY), EACCES);
	WANT(mknod("write/dev", S_IFCHR | 0600, 0), -1);
}

static int in_child(void (*check)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (enter() < 0)
			_exit(126);
		check();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void grants_hold(void **state)
{
	(void)state;
	if (landlock_abi() < 1)
		skip();
	assert_int_equal(in_child(check_files), 0);
	/* The same without Landlock is allowed, so the refusals above were its. */
	assert_int_equal(try_open("none/f", O_RDONLY), 0);
	assert_int_equal(try_open("read/f", O_WRONLY), 0);
}

static void signal_parent(void)
{
	WANT(kill(getppid(), 0), -1);
	WANT(errno, EPERM);
	WANT(kill(getpid(), 0), 0);
}

static const struct sockaddr_un abstract = { .sun_family = AF_UNIX, .sun_path = "\0nsbox-test-landlock" };

static void connect_abstract(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	WANT(connect(fd, (const struct sockaddr *)&abstract, sizeof(abstract)), -1);
	WANT(errno, EPERM);
}

static void scopes_hold(void **state)
{
	(void)state;
	if (landlock_abi() < 6)
		skip();
	assert_int_equal(in_child(signal_parent), 0);

	int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(listener, (const struct sockaddr *)&abstract, sizeof(abstract)), 0);
	assert_int_equal(listen(listener, 4), 0);
	assert_int_equal(in_child(connect_abstract), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&abstract, sizeof(abstract)), 0);
	close(fd);
	close(listener);
}

static void older_abis_make_rulesets(void **state)
{
	(void)state;
	int now = landlock_abi();

	if (now < 1)
		skip();
	assert_true(now <= LANDLOCK_KNOWN_ABI);
	for (int abi = 1; abi <= now; abi++) {
		int fd = landlock_new(abi), dir = open("write", O_PATH | O_CLOEXEC), file = open("write/f", O_PATH | O_CLOEXEC);
		assert_true(fd >= 0);
		unsigned all = LANDLOCK_GRANT_READ | LANDLOCK_GRANT_WRITE | LANDLOCK_GRANT_DEVICE | LANDLOCK_GRANT_CONTENT;
		assert_int_equal(landlock_allow(fd, abi, dir, true, all), 0);
		assert_int_equal(landlock_allow(fd, abi, file, false, all), 0);
		close(file);
		close(dir);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(older_abis_make_rulesets),
		cmocka_unit_test(grants_hold),
		cmocka_unit_test(scopes_hold),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
