/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between our processes: encoding, hostile input, descriptors, sealed memory. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"
#include "base/wire.h"

#include <cmocka.h>

static char *words[] = { (char[]){ "one" }, (char[]){ "" }, (char[]){ "three" }, NULL };

static void put_all(struct buf *b)
{
	assert_int_equal(wire_put_u8(b, 0xab), 0);
	assert_int_equal(wire_put_u32(b, 0x01020304), 0);
	assert_int_equal(wire_put_u64(b, 0x1122334455667788), 0);
	assert_int_equal(wire_put_str(b, "text"), 0);
	assert_int_equal(wire_put_bytes(b, "a\0b", 3), 0);
	assert_int_equal(wire_put_strv(b, words), 0);
}

static bool get_all(const void *data, size_t len)
{
	struct wire_reader r = wire_reader(data, len);
	size_t n;

	uint8_t a = wire_get_u8(&r);
	uint32_t b = wire_get_u32(&r);
	uint64_t c = wire_get_u64(&r);
	_cleanup_free_ char *s = wire_get_str(&r);
	const void *bytes = wire_get_bytes(&r, &n);
	_cleanup_(strv_freep) char **v = wire_get_strv(&r, 3);
	if (!wire_done(&r))
		return false;
	assert_int_equal(a, 0xab);
	assert_int_equal(b, 0x01020304);
	assert_true(c == 0x1122334455667788);
	assert_string_equal(s, "text");
	assert_int_equal(n, 3);
	assert_memory_equal(bytes, "a\0b", 3);
	assert_int_equal(strv_len(v), 3);
	assert_string_equal(v[2], "three");
	return true;
}

static void test_round_trip(void **state)
{
	_cleanup_buf_ struct buf b = { 0 };
	(void)state;

	put_all(&b);
	/* The order of bytes is fixed: supervisor and library may be of different builds. */
	assert_memory_equal(b.data, "\xab\x04\x03\x02\x01\x88", 6);
	assert_true(get_all(b.data, b.len));
}

/* Every cut is refused, and so is anything behind the end. The copy has the exact size, so that a sanitizer sees an
 * access behind it. */
static void test_cut_at_every_offset(void **state)
{
	_cleanup_buf_ struct buf b = { 0 };
	(void)state;

	put_all(&b);
	for (size_t len = 0; len < b.len; len++) {
		_cleanup_free_ uint8_t *copy = malloc(len ? len : 1);
		memcpy(copy, b.data, len);
		assert_false(get_all(copy, len));
	}
	assert_int_equal(buf_putc(&b, 0), 0);
	assert_false(get_all(b.data, b.len));
}

/* Lengths and counts that lie, at every place where one could stand. */
static void test_lying_lengths(void **state)
{
	static const uint32_t lies[] = { 0xffffffff, 0x7fffffff, 0x80000000, 0x10000, 0xffffff00 };
	_cleanup_buf_ struct buf b = { 0 };
	(void)state;

	put_all(&b);
	for (size_t at = 13; at + 4 <= b.len; at++) {
		for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
			_cleanup_free_ uint8_t *copy = malloc(b.len);
			struct wire_reader r = wire_reader(copy, b.len);
			size_t n;
			memcpy(copy, b.data, b.len);
			memcpy(copy + at, &lies[i], 4);
			/* What is read may be another text; it must lie inside the message. */
			wire_get_u8(&r);
			wire_get_u32(&r);
			wire_get_u64(&r);
			free(wire_get_str(&r));
			const uint8_t *p = wire_get_bytes(&r, &n);
			assert_true(!p || (p >= copy && p + n <= copy + b.len));
			strv_free(wire_get_strv(&r, 1000000));
		}
	}
}

static void test_hostile_strings(void **state)
{
	_cleanup_buf_ struct buf b = { 0 }, many = { 0 }, liar = { 0 };
	(void)state;

	/* A NUL inside would make two programs read two different texts. */
	assert_int_equal(wire_put_bytes(&b, "a\0b", 3), 0);
	struct wire_reader r = wire_reader(b.data, b.len);
	assert_null(wire_get_str(&r));
	assert_false(wire_done(&r));

	assert_int_equal(wire_put_strv(&many, words), 0);
	r = wire_reader(many.data, many.len);
	assert_null(wire_get_strv(&r, 2));
	assert_false(wire_done(&r));
	/* An error is sticky: later reads give nothing. */
	assert_int_equal(wire_get_u8(&r), 0);
	assert_null(wire_get_str(&r));

	/* A count of 4 billion in a message of four bytes is refused before memory is asked for. */
	assert_int_equal(wire_put_u32(&liar, 0xffffffff), 0);
	r = wire_reader(liar.data, liar.len);
	assert_null(wire_get_strv(&r, SIZE_MAX));
	assert_false(wire_done(&r));
}

static void test_errors(void **state)
{
	struct error e = { 0 }, back;
	_cleanup_buf_ struct buf b = { 0 }, bad = { 0 };
	(void)state;

	assert_int_equal(fail_errno(&e, ENOENT, SANDBOX_STAGE_MOUNT, "/x", "cannot open %s", "/x"), -ENOENT);
	assert_string_equal(e.message, "cannot open /x: No such file or directory");
	assert_int_equal((fail)(NULL, EPERM, SANDBOX_STAGE_NONE, NULL, "x"), -EPERM);
	assert_int_equal(wire_put_error(&b, &e), 0);
	struct wire_reader r = wire_reader(b.data, b.len);
	wire_get_error(&r, &back);
	assert_true(wire_done(&r));
	assert_int_equal(back.err, ENOENT);
	assert_int_equal(back.stage, SANDBOX_STAGE_MOUNT);
	assert_string_equal(back.object, "/x");
	assert_string_equal(back.message, e.message);

	/* An error record that says "no error" is one all the same, and over-long texts are cut. */
	_cleanup_free_ char *big = calloc(1, 5001);
	memset(big, 'x', 5000);
	wire_put_u32(&bad, 0);
	wire_put_u32(&bad, 0xffff);
	wire_put_str(&bad, big);
	wire_put_str(&bad, big);
	r = wire_reader(bad.data, bad.len);
	wire_get_error(&r, &back);
	assert_int_equal(back.err, EPROTO);
	assert_int_equal(back.stage, SANDBOX_STAGE_PROTOCOL);
	assert_int_equal(strlen(back.object), sizeof(back.object) - 1);
	r = wire_reader(bad.data, 3);
	wire_get_error(&r, &back);
	assert_false(wire_done(&r));
	assert_int_not_equal(back.err, 0);
	/* Formatting a message as long as the record does not run over it. */
	assert_int_equal(fail_errno(&e, EIO, SANDBOX_STAGE_NONE, big, "%s", big), -EIO);
	assert_int_equal(strlen(e.message), sizeof(e.message) - 1);
}

static size_t open_fds(void)
{
	size_t n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_descriptors(void **state)
{
	int pair[2], got[4], fds[3] = { 0, 1, 2 };
	char data[16];
	size_t n;
	(void)state;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	size_t before = open_fds();
	assert_int_equal(msg_send(pair[0], "hello", 5, fds, 3), 0);
	assert_int_equal(msg_recv(pair[1], data, sizeof(data), got, 4, &n), 5);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(fcntl(got[i], F_GETFD), FD_CLOEXEC);
		close(got[i]);
	}
	/* More than wanted, a packet longer than wanted: refused, and nothing stays open. */
	assert_int_equal(msg_send(pair[0], "hello", 5, fds, 3), 0);
	assert_int_equal(msg_recv(pair[1], data, sizeof(data), got, 2, &n), -EPROTO);
	assert_int_equal(n, 0);
	assert_int_equal(msg_send(pair[0], "0123456789abcdefgh", 18, fds, 1), 0);
	assert_int_equal(msg_recv(pair[1], data, sizeof(data), got, 4, &n), -EMSGSIZE);
	assert_int_equal(msg_send(pair[0], "x", 1, fds, 1), 0);
	assert_int_equal(msg_recv(pair[1], data, sizeof(data), NULL, 0, NULL), -EPROTO);
	/* Reads as the end, where nobody looks for descriptors. */
	assert_int_equal(msg_send(pair[0], "", 0, fds, 3), 0);
	assert_int_equal(msg_recv(pair[1], data, sizeof(data), got, 4, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(open_fds(), before);

	assert_int_equal(msg_send(pair[0], data, WIRE_MAX_PACKET + 1, NULL, 0), -EMSGSIZE);
	assert_int_equal(msg_send(pair[0], data, 1, fds, WIRE_MAX_FDS + 1), -EMSGSIZE);
	close(pair[0]);
	assert_int_equal(msg_recv(pair[1], data, sizeof(data), NULL, 0, NULL), 0);
	assert_int_equal(msg_send(pair[1], "x", 1, NULL, 0), -EPIPE); /* and no SIGPIPE */
	close(pair[1]);
}

/* Why the other end closed is read, although it left something of ours unread. */
static void test_last_words(void **state)
{
	char text[16];
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(msg_send(pair[0], "question", 8, NULL, 0), 0);
	assert_int_equal(msg_send(pair[1], "because", 7, NULL, 0), 0);
	fd_close(pair[1]);
	assert_int_equal(msg_recv(pair[0], text, sizeof(text), NULL, 0, NULL), 7);
	assert_memory_equal(text, "because", 7);
	assert_int_equal(msg_recv(pair[0], text, sizeof(text), NULL, 0, NULL), 0);
	fd_close(pair[0]);
}

/* In a process of its own that may have few on their way: 0 when more could be sent though the receiver was late. */
static int send_many(unsigned few)
{
	const struct rlimit limit = { few, few };
	const int count = (int)few + 24;
	const struct timespec late = { .tv_nsec = 50000000 };
	char byte = 'x';
	int pair[2], fd;

	/* Who may exceed all limits is not stopped by this one. */
	if ((geteuid() == 0 && setresuid(65534, 65534, 65534) < 0) || setrlimit(RLIMIT_NOFILE, &limit) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return 1;
	pid_t pid = fork();
	if (pid == 0) {
		fd_close(pair[0]);
		nanosleep(&late, NULL);
		for (int i = 0; i < count && msg_recv(pair[1], &byte, 1, &fd, 1, NULL) == 1; i++)
			fd_close(fd);
		_exit(0);
	}
	int r = 0;
	for (int i = 0; i < count && r == 0; i++)
		r = msg_send(pair[0], &byte, 1, pair + 1, 1);
	fd_close(pair[0]);
	waitpid(pid, NULL, 0);
	return r < 0 ? 2 : 0;
}

static void test_many_on_their_way(void **state)
{
	int status = -1;

	(void)state;
	/* The kernel counts for the user: what his other processes have on their way stands in the way. */
	for (int i = 0; i < 20 && status != 0; i++) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(send_many(16U << i % 4));
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
	assert_int_equal(status, 0);
}

static void test_sealed_memory(void **state)
{
	_cleanup_buf_ struct buf b = { 0 };
	(void)state;

	_cleanup_close_ int fd = memfd_from_bytes("test", "content", 7);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 1), -1);
	assert_int_equal(ftruncate(fd, 100), -1);
	assert_int_equal(memfd_read_sealed(fd, 7, &b), 0);
	assert_int_equal(b.len, 7);
	assert_memory_equal(b.data, "content", 7);
	b.len = 0;
	assert_int_equal(memfd_read_sealed(fd, 6, &b), -EFBIG);

	/* The sender could still change these under the reader. */
	_cleanup_close_ int open_one = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(write(open_one, "x", 1), 1);
	assert_int_equal(memfd_read_sealed(open_one, 7, &b), -EPERM);
	assert_int_equal(fcntl(open_one, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK), 0);
	assert_int_equal(memfd_read_sealed(open_one, 7, &b), -EPERM); /* not SEAL_SEAL */
	_cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(memfd_read_sealed(null, 7, &b), -EPERM);
	assert_int_equal(b.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_cut_at_every_offset),
		cmocka_unit_test(test_lying_lengths), cmocka_unit_test(test_hostile_strings),
		cmocka_unit_test(test_errors),	      cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_sealed_memory), cmocka_unit_test(test_last_words),
		cmocka_unit_test(test_many_on_their_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
