/* SPDX-License-Identifier: Apache-2.0 */
/* Where an auditor is: the texts, and connecting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "audit/auditor_spec.h"
#include "base/util.h"

#include <cmocka.h>

static void test_specs(void **state)
{
	static const struct {
		const char *text;
		int kind; /* -1: refused */
		const char *value;
	} specs[] = {
		{ "unix:/run/a", AUDITOR_UNIX, "/run/a" },
		{ "unix:/run/a b", AUDITOR_UNIX, "/run/a b" },
		{ "exec:/bin/a --x 'y z'", AUDITOR_EXEC, "/bin/a --x 'y z'" },
		{ "exec:a", AUDITOR_EXEC, "a" },
		{ "", -1, NULL },
		{ "unix:", -1, NULL },
		{ "unix:a", -1, NULL },
		{ "unix:./a", -1, NULL },
		{ "unix:@abstract", -1, NULL },
		{ "Unix:/a", -1, NULL },
		{ "exec:", -1, NULL },
		{ "exec:   ", -1, NULL },
		{ "/run/a", -1, NULL },
		{ "tcp:1.2.3.4:5", -1, NULL },
		{ "exec:a\nb", -1, NULL },
		{ "unix:/a\x7f", -1, NULL },
	};
	struct auditor_spec spec;
	struct error e;
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		memset(&e, 0, sizeof(e));
		int r = auditor_spec_parse(specs[i].text, &spec, &e);
		assert_int_equal(r, specs[i].kind < 0 ? -EINVAL : 0);
		if (r == 0) {
			assert_int_equal((int)spec.kind, specs[i].kind);
			assert_string_equal(spec.value, specs[i].value);
		} else {
			assert_int_equal(e.stage, SANDBOX_STAGE_AUDITOR);
			assert_non_null(strstr(e.message, "exec:COMMAND"));
			assert_null(strchr(e.message, '\n'));
		}
	}
	char path[200] = "unix:/";
	memset(path + 6, 'a', 107);
	assert_int_equal(auditor_spec_parse(path, &spec, NULL), -EINVAL); /* 108 bytes */
	path[5 + 107] = '\0';
	assert_int_equal(auditor_spec_parse(path, &spec, NULL), 0);
}

static void test_deadlines(void **state)
{
	static const struct {
		const char *text;
		uint64_t us; /* 0: refused */
	} deadlines[] = {
		{ "5ms", 5000 },   { "250ms", 250000 }, { "1s", 1000000 }, { "60s", 60000000 }, { "1m", 60000000 },
		{ "60000ms", 60000000 }, { "4ms", 0 }, { "0s", 0 }, { "61s", 0 }, { "2m", 0 }, { "60001ms", 0 },
		{ "250", 0 }, { "", 0 }, { "ms", 0 }, { "-5ms", 0 }, { "+5ms", 0 }, { " 5ms", 0 }, { "5ms ", 0 },
		{ "5 ms", 0 }, { "0x5ms", 0 }, { "5.0ms", 0 }, { "5us", 0 }, { "1h", 0 }, { "99999999999999999999s", 0 },
		{ "18446744073709551621ms", 0 },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(deadlines); i++) {
		uint64_t us = 0;
		struct error e = { 0 };
		assert_int_equal(auditor_deadline_parse(deadlines[i].text, &us, &e), deadlines[i].us ? 0 : -EINVAL);
		assert_int_equal(us, deadlines[i].us);
		assert_true(deadlines[i].us || e.message[0]);
	}
}

static int listener(const char *path, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void test_connect(void **state)
{
	char dir[] = "/tmp/nsbox-auditor-XXXXXX", path[64];
	struct error e = { 0 };
	int fds[16], n = 0;
	(void)state;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	assert_int_equal(auditor_connect(path, &fds[0], &e), -ENOENT);
	assert_non_null(strstr(e.message, path));

	int stream = listener(path, SOCK_STREAM);
	assert_int_equal(listen(stream, 1), 0);
	assert_int_equal(auditor_connect(path, &fds[0], &e), -EPROTOTYPE);
	close(stream);

	int packets = listener(path, SOCK_SEQPACKET);
	assert_int_equal(auditor_connect(path, &fds[0], &e), -ECONNREFUSED);
	assert_int_equal(listen(packets, 1), 0);
	assert_int_equal(auditor_connect(path, &fds[n++], &e), 0);
	int peer = accept(packets, NULL, NULL);
	assert_int_equal(send(fds[0], "x", 1, 0), 1);
	assert_true(peer >= 0);
	/* One that does not accept is an error, not a wait. */
	int r = 0;
	while (n < 16 && (r = auditor_connect(path, &fds[n], &e)) == 0)
		n++;
	assert_int_equal(r, -EAGAIN);
	while (n > 0)
		close(fds[--n]);
	close(peer);
	close(packets);

	/* Somebody else's: the credentials are those of the time of listen(). */
	if (geteuid() == 0) {
		packets = listener(path, SOCK_SEQPACKET);
		assert_int_equal(seteuid(65534), 0);
		assert_int_equal(listen(packets, 1), 0);
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(auditor_connect(path, &fds[0], &e), -EPERM);
		assert_non_null(strstr(e.message, "another user"));
		close(packets);
	}
	unlink(path);
	rmdir(dir);
}

static void test_command(void **state)
{
	struct auditor_spec spec;
	struct auditor_command c;
	(void)state;

	assert_int_equal(auditor_spec_parse("exec:a 'b c'", &spec, NULL), 0);
	auditor_spec_command(&spec, &c);
	assert_string_equal(c.argv[0], "/bin/sh");
	assert_string_equal(c.argv[1], "-c");
	assert_string_equal(c.argv[2], "a 'b c'");
	assert_null(c.argv[3]);
	assert_string_equal(c.env[1], "NSBOX_AUDITOR_FD=3");
	assert_null(c.env[2]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_specs),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_command),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
