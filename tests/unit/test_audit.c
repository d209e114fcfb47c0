/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log: form of a record, the chain against every kind of tampering, injection, full disk. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* cmocka.h last: its macro fail() would hide the function of base/error.h. */
#include "audit/chain.h"
#include "base/json.h"
#include "base/util.h"

#include <cmocka.h>

/* Two records whose hashes were computed with another implementation of SHA-256 (Python's hashlib). */
static const char vector[] =
	"{\"seq\":1,\"time\":\"2026-01-02T03:04:05.000006Z\",\"event\":\"sandbox.start\",\"sandbox\":\"k3f9x2m1\","
	"\"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\","
	"\"hash\":\"6e0b818e6091e8e6cc01b09200c09a428dcd3e1394337cc26f4326f54091cbe9\"}\n"
	"{\"seq\":2,\"time\":\"2026-01-02T03:04:05.000006Z\",\"event\":\"net.deny\",\"sandbox\":\"k3f9x2m1\","
	"\"call\":\"c1\",\"host\":\"a.example\",\"port\":443,"
	"\"prev\":\"6e0b818e6091e8e6cc01b09200c09a428dcd3e1394337cc26f4326f54091cbe9\","
	"\"hash\":\"7c15f2731fde7cb560e19653d590bf71bef35261319179f4c4a25b7f301d9ec6\"}\n";
#define VECTOR_HEAD "7c15f2731fde7cb560e19653d590bf71bef35261319179f4c4a25b7f301d9ec6"

static int empty_file(void)
{
	char path[] = "/tmp/test-audit-XXXXXX";
	int fd = mkostemp(path, O_APPEND | O_CLOEXEC);
	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

static int verify_bytes(const char *data, size_t len, const char *head, struct buf *text)
{
	_cleanup_close_ int fd = empty_file();
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	text->len = 0;
	int r = audit_verify(fd, head, text);
	assert_true(text->len > 0);
	return r;
}

static void read_all(int fd, struct buf *ret)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	ret->len = 0;
	assert_int_equal(buf_reserve(ret, (size_t)st.st_size + 1), 0);
	assert_int_equal(pread(fd, ret->data, (size_t)st.st_size, 0), st.st_size);
	ret->len = (size_t)st.st_size;
}

/* A log of five records in a file; ret_fd is a second descriptor of it. */
static struct audit_log *five_records(int *ret_fd)
{
	struct audit_log *log;
	struct error e = { 0 };
	int fd = empty_file();

	*ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	assert_int_equal(audit_log_new(fd, "k3f9x2m1", &log, &e), 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(audit_log_add(log, "net.deny", i ? "c1" : NULL, i ? "\"port\":443" : "", NULL), 0);
		assert_int_equal(audit_log_flush(log), 0);
	}
	return log;
}

static void free_log(struct audit_log **log)
{
	audit_log_free(*log);
}

static void test_vectors(void **state)
{
	_cleanup_buf_ struct buf text = { 0 };
	char hash[AUDIT_HASH_TEXT + 1];
	(void)state;

	chain_hash("{", 1, hash); /* SHA-256 of "{}" */
	assert_string_equal(hash, "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
	assert_int_equal(verify_bytes(vector, strlen(vector), NULL, &text), 1);
	assert_int_equal(verify_bytes(vector, strlen(vector), VECTOR_HEAD, &text), 1);
	assert_non_null(strstr(buf_str(&text), "2 records"));
}

static void test_form_of_a_record(void **state)
{
	_cleanup_buf_ struct buf all = { 0 };
	_cleanup_close_ int fd = -1;
	_cleanup_(free_log) struct audit_log *log = five_records(&fd);
	const char *line;
	char time_text[32], expect[64];
	time_t from = time(NULL), to;
	struct tm tm;
	(void)state;

	assert_int_equal(audit_log_add(log, "call.exit", "c1", "\"exit\":0", &line), 0);
	to = time(NULL);
	read_all(fd, &all);
	size_t before = all.len;
	const char *last_line = strrchr(strndupa((const char *)all.data, all.len - 1), '\n') + 1;
	assert_string_equal(audit_log_head(log), strndupa(strstr(last_line, "\"hash\":\"") + 8, AUDIT_HASH_TEXT));

	/* Members in the order of the contract; time now, in UTC. */
	assert_int_equal(sscanf(line, "{\"seq\":6,\"time\":\"%27[0-9TZ:.-]\"", time_text), 1);
	assert_int_equal(strlen(time_text), 27);
	assert_int_equal(time_text[26], 'Z');
	/* Such texts are in the order of their times. */
	strftime(expect, sizeof(expect), "%Y-%m-%dT%H:%M:%S", gmtime_r(&from, &tm));
	assert_true(strcmp(time_text, expect) >= 0);
	to++;
	strftime(expect, sizeof(expect), "%Y-%m-%dT%H:%M:%S", gmtime_r(&to, &tm));
	assert_true(strcmp(time_text, expect) < 0);
	snprintf(expect, sizeof(expect), "{\"seq\":6,\"time\":\"%s\",", time_text);
	assert_memory_equal(line, expect, strlen(expect));
	static const char middle[] =
		"\"event\":\"call.exit\",\"sandbox\":\"k3f9x2m1\",\"call\":\"c1\",\"exit\":0,\"prev\":\"";
	assert_memory_equal(line + strlen(expect), middle, strlen(middle));
	assert_memory_equal(line + strlen(expect) + strlen(middle), audit_log_head(log), AUDIT_HASH_TEXT);

	/* Nothing is in the file before the flush, exactly the line after it. */
	_cleanup_free_ char *copy = strdup(line);
	assert_int_equal(audit_log_flush(log), 0);
	read_all(fd, &all);
	assert_int_equal(all.len, before + strlen(copy) + 1);
	assert_memory_equal(all.data + before, copy, strlen(copy));
	assert_int_equal(all.data[all.len - 1], '\n');
}

static void test_every_changed_byte_is_found(void **state)
{
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_close_ int fd = empty_file();
	(void)state;

	assert_int_equal(write(fd, vector, strlen(vector)), (ssize_t)strlen(vector));
	_cleanup_free_ char *name = NULL;
	assert_true(asprintf(&name, "/proc/self/fd/%d", fd) > 0);
	_cleanup_close_ int rw = open(name, O_RDWR | O_CLOEXEC);
	assert_true(rw >= 0);
	for (size_t i = 0; i < strlen(vector); i++) {
		char other = vector[i] == 'x' ? 'y' : 'x';
		assert_int_equal(pwrite(rw, &other, 1, (off_t)i), 1);
		text.len = 0;
		if (audit_verify(rw, NULL, &text) != 0)
			fail_msg("a change of byte %zu was not found", i);
		assert_int_equal(pwrite(rw, &vector[i], 1, (off_t)i), 1);
	}
	text.len = 0;
	assert_int_equal(audit_verify(rw, NULL, &text), 1);
}

/* Split the five lines and put some of them back in another order; -1 ends the list. */
static int verify_lines(const struct buf *all, const int *order, const char *head, struct buf *text)
{
	const char *lines[6], *p = (const char *)all->data;
	_cleanup_buf_ struct buf out = { 0 };

	for (int i = 0; i < 6; i++) {
		lines[i] = p;
		if (i < 5)
			p = (const char *)memchr(p, '\n', all->len) + 1;
	}
	for (; *order >= 0; order++)
		assert_int_equal(buf_append(&out, lines[*order], (size_t)(lines[*order + 1] - lines[*order])), 0);
	return verify_bytes(out.data ? (const char *)out.data : "", out.len, head, text);
}

static void test_removal_and_reordering(void **state)
{
	_cleanup_buf_ struct buf all = { 0 }, text = { 0 };
	_cleanup_close_ int fd = -1;
	_cleanup_(free_log) struct audit_log *log = five_records(&fd);
	const char *head = audit_log_head(log);
	(void)state;

	read_all(fd, &all);
	assert_int_equal(verify_lines(&all, (int[]){ 0, 1, 2, 3, 4, -1 }, head, &text), 1);
	assert_int_equal(verify_lines(&all, (int[]){ 1, 2, 3, 4, -1 }, NULL, &text), 0);
	assert_int_equal(verify_lines(&all, (int[]){ 0, 2, 3, 4, -1 }, NULL, &text), 0);
	assert_non_null(strstr(buf_str(&text), "record 2 "));
	assert_int_equal(verify_lines(&all, (int[]){ 0, 1, 2, 4, -1 }, NULL, &text), 0);
	assert_int_equal(verify_lines(&all, (int[]){ 0, 2, 1, 3, 4, -1 }, NULL, &text), 0);
	assert_int_equal(verify_lines(&all, (int[]){ 0, 1, 1, 2, 3, 4, -1 }, NULL, &text), 0);
	/* A lost tail shows only against a head kept elsewhere; an empty file is a lost tail too. */
	assert_int_equal(verify_lines(&all, (int[]){ 0, 1, 2, -1 }, NULL, &text), 1);
	assert_int_equal(verify_lines(&all, (int[]){ 0, 1, 2, -1 }, head, &text), 0);
	assert_int_equal(verify_lines(&all, (int[]){ -1 }, NULL, &text), 1);
	assert_int_equal(verify_lines(&all, (int[]){ -1 }, head, &text), 0);
}

static void test_older_head(void **state)
{
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_close_ int fd = -1;
	_cleanup_(free_log) struct audit_log *log = five_records(&fd);
	_cleanup_free_ char *head = strdup(audit_log_head(log));
	(void)state;

	assert_int_equal(audit_log_add(log, "call.exit", NULL, "", NULL), 0);
	assert_int_equal(audit_log_flush(log), 0);
	assert_int_equal(audit_verify(fd, head, &text), 0);
	assert_non_null(strstr(buf_str(&text), "record 5"));
	assert_int_equal(audit_verify(fd, "abc", &text), -EINVAL);
}

/* Somebody who can write the file computes the chain anew from a record on: only the head shows it. */
static void test_forged_chain_needs_the_head(void **state)
{
	_cleanup_buf_ struct buf text = { 0 }, forged = { 0 };
	char prev[AUDIT_HASH_TEXT + 1], hash[AUDIT_HASH_TEXT + 1];
	size_t first = (size_t)(strchr(vector, '\n') + 1 - vector);
	(void)state;

	memcpy(prev, strstr(vector, "\"hash\":\"") + 8, AUDIT_HASH_TEXT);
	prev[AUDIT_HASH_TEXT] = '\0';
	assert_int_equal(buf_append(&forged, vector, first), 0);
	assert_int_equal(buf_printf(&forged, "{\"seq\":2,\"time\":\"x\",\"event\":\"e\",\"prev\":\"%s\"", prev), 0);
	chain_hash(forged.data + first, forged.len - first, hash);
	assert_int_equal(buf_printf(&forged, ",\"hash\":\"%s\"}\n", hash), 0);
	assert_int_equal(verify_bytes((const char *)forged.data, forged.len, NULL, &text), 1);
	assert_int_equal(verify_bytes((const char *)forged.data, forged.len, VECTOR_HEAD, &text), 0);
}

static void test_cut_and_malformed(void **state)
{
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_free_ char *big = calloc(1, 3u << 20);
	(void)state;

	assert_non_null(big);
	for (size_t len = 1; len < strlen(vector); len++) {
		if (vector[len - 1] == '\n')
			continue;
		if (verify_bytes(vector, len, NULL, &text) != 0)
			fail_msg("a log cut at byte %zu was not found", len);
	}
	assert_int_equal(verify_bytes("\n", 1, NULL, &text), 0);
	assert_int_equal(verify_bytes("{}\n", 3, NULL, &text), 0);
	/* A line without end is refused before it fills the memory. */
	assert_int_equal(verify_bytes(big, 3u << 20, NULL, &text), 0);
	assert_non_null(strstr(buf_str(&text), "longer"));

	int fds[2];
	assert_int_equal(pipe(fds), 0);
	text.len = 0;
	assert_int_equal(audit_verify(fds[0], NULL, &text), -ESPIPE);
	close(fds[0]);
	close(fds[1]);
}

/* What was refused left no hole in the chain, and does not silence what comes after it. */
static void assert_goes_on(struct audit_log *log, int fd, uint64_t records)
{
	_cleanup_buf_ struct buf text = { 0 };

	assert_int_equal(audit_log_records(log), records);
	assert_int_equal(audit_log_add(log, "call.exit", "c1", "\"exit\":0", NULL), 0);
	assert_int_equal(audit_log_flush(log), 0);
	assert_int_equal(audit_log_records(log), records + 1);
	assert_int_equal(audit_verify(fd, audit_log_head(log), &text), 1);
}

static void test_injection(void **state)
{
	static const char hostile[] = "a\r\n{\"seq\":1}\n\x1b[2J\x9b\xc2\x9b\xff\xfe\x7f\"\\\0z";
	_cleanup_buf_ struct buf members = { 0 }, all = { 0 }, text = { 0 };
	_cleanup_close_ int fd = -1;
	_cleanup_(free_log) struct audit_log *log = five_records(&fd);
	(void)state;

	assert_int_equal(json_member_bytes(&members, "host", hostile, sizeof(hostile) - 1), 0);
	assert_int_equal(audit_log_add(log, "net.deny\n", "c\n1", buf_str(&members), NULL), 0);
	assert_int_equal(audit_log_flush(log), 0);
	read_all(fd, &all);
	size_t lines = 0;
	for (size_t i = 0; i < all.len; i++) {
		lines += all.data[i] == '\n';
		assert_true(all.data[i] == '\n' || (all.data[i] >= 0x20 && all.data[i] < 0x7f));
	}
	assert_int_equal(lines, 6);
	assert_int_equal(audit_verify(fd, audit_log_head(log), &text), 1);

	/* Ready-made members with a line break are refused, and the log goes on without. */
	assert_int_equal(audit_log_add(log, "net.deny", "c1", "\"host\":\"a\"}\n{\"seq\":8", NULL), -EINVAL);
	assert_goes_on(log, fd, 6);
}

static void test_oversized_record(void **state)
{
	_cleanup_buf_ struct buf members = { 0 };
	_cleanup_close_ int fd = -1;
	_cleanup_(free_log) struct audit_log *log = five_records(&fd);
	_cleanup_free_ char *big = malloc(AUDIT_MAX_LINE);
	(void)state;

	memset(big, 'a', AUDIT_MAX_LINE);
	assert_int_equal(json_member_bytes(&members, "path", big, AUDIT_MAX_LINE - 1), 0);
	assert_int_equal(audit_log_add(log, "net.deny", "c1", buf_str(&members), NULL), -EMSGSIZE);
	assert_goes_on(log, fd, 5);
}

/* In a child: a file size limit stands in for a full disk, the kernel writes what fits just the same. */
static int full_disk_child(void)
{
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_close_ int fd = -1;
	_cleanup_(free_log) struct audit_log *log = five_records(&fd);
	_cleanup_free_ char *head = strdup(audit_log_head(log));
	struct stat before, after;

	signal(SIGXFSZ, SIG_IGN);
	if (fstat(fd, &before) < 0)
		return 1;
	struct rlimit limit = { (rlim_t)before.st_size + 500, RLIM_INFINITY };
	if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
		return 2;
	for (int i = 0; i < 4; i++) {
		if (audit_log_add(log, "net.allow", "c1", "", NULL) < 0)
			return 3;
	}
	if (audit_log_flush(log) >= 0)
		return 4;
	if (fstat(fd, &after) < 0 || after.st_size != before.st_size)
		return 5;
	/* There is room again, but the chain has a hole: still nothing may be recorded. */
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
	if (audit_log_flush(log) >= 0 || audit_log_add(log, "net.allow", "c1", "", NULL) >= 0)
		return 6;
	if (strcmp(head, audit_log_head(log)) != 0 || audit_verify(fd, head, &text) != 1)
		return 7;
	return 0;
}

static void test_full_disk(void **state)
{
	int status;
	(void)state;

	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(full_disk_child());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_unusable_files(void **state)
{
	struct audit_log *log = NULL;
	struct error e = { 0 };
	int fds[2];
	(void)state;

	_cleanup_close_ int used = empty_file();
	assert_int_equal(write(used, "x", 1), 1);
	assert_int_equal(audit_log_new(used, "id", &log, &e), -EEXIST);
	assert_int_equal(e.stage, SANDBOX_STAGE_AUDIT);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(audit_log_new(fds[0], "id", &log, &e), -EINVAL);
	close(fds[0]);
	close(fds[1]);
	_cleanup_close_ int plain = empty_file();
	assert_int_equal(fcntl(plain, F_SETFL, 0), 0); /* no O_APPEND: another writer's bytes would be overwritten */
	assert_int_equal(audit_log_new(plain, "id", &log, &e), -EINVAL);
	assert_int_equal(audit_log_new(-1, "id", &log, &e), -EBADF);
	assert_null(log);
}

/* A log that is gone on with stays one chain; one whose last record is not whole is not gone on with. */
static void test_continue(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf text = { 0 }, all = { 0 };
	_cleanup_close_ int fd = -EBADF;
	_cleanup_(free_log) struct audit_log *log = five_records(&fd), *more = NULL;
	struct error e = { 0 };

	/* By somebody else only when its writer is gone. */
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	_cleanup_close_ int other = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
	assert_int_equal(audit_log_continue(other, "k3f9x2m1", &more, &e), -EBUSY);
	int again = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	assert_int_equal(audit_log_continue(again, "k3f9x2m1", &more, &e), 0);
	assert_string_equal(audit_log_head(more), audit_log_head(log));
	assert_int_equal(audit_log_add(more, "fs.commit", NULL, "\"files\":2", NULL), 0);
	assert_int_equal(audit_log_flush(more), 0);
	assert_int_equal(audit_log_records(more), 6);
	assert_int_equal(audit_verify(fd, audit_log_head(more), &text), 1);

	read_all(fd, &all);
	static const struct {
		size_t cut;
		const char *end;
	} rows[] = { { 1, "" }, { 2, "\n" }, { 20, "\n" }, { 0, "x" }, { 0, "\n" }, { 0, "{\"seq\":7}\n" } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct audit_log *bad = NULL;
		_cleanup_close_ int file = empty_file();
		assert_int_equal(write(file, all.data, all.len - rows[i].cut), (ssize_t)(all.len - rows[i].cut));
		assert_int_equal(write(file, rows[i].end, strlen(rows[i].end)), (ssize_t)strlen(rows[i].end));
		assert_int_equal(audit_log_continue(file, "k3f9x2m1", &bad, &e), -EBADMSG);
		assert_null(bad);
	}
	_cleanup_close_ int empty = empty_file();
	assert_int_equal(audit_log_continue(empty, "k3f9x2m1", &more, &e), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_form_of_a_record),
		cmocka_unit_test(test_every_changed_byte_is_found),
		cmocka_unit_test(test_removal_and_reordering),
		cmocka_unit_test(test_older_head),
		cmocka_unit_test(test_forged_chain_needs_the_head),
		cmocka_unit_test(test_cut_and_malformed),
		cmocka_unit_test(test_injection),
		cmocka_unit_test(test_oversized_record),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_unusable_files),
		cmocka_unit_test(test_continue),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
