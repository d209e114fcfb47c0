/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nsbox-source: asks the command of a secret (source = exec:COMMAND) for its value when the gateway wants one, and runs
 * the one that ends it (revoke = COMMAND) when the gateway is gone, however that came.
 *
 * Theory of operation. The client library starts one for each such secret, with its own environment but for what other
 * secrets of the policy are read from, and gives the other end of the socket to the gateway. So a command runs as the
 * user who made the sandbox, also when that client has long gone, and what it prints passes nobody but this process. It
 * takes nothing from the gateway but that a value is wanted, and leaves when that cannot be wanted any more.
 *
 * usage: nsbox-source COMMAND REVOKE GRANT, with the socket as descriptor 3; REVOKE may be empty. GRANT is what COMMAND
 * gets on its standard input; REVOKE gets there what COMMAND printed last.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "base/wire.h"
#include "source/answer.h"
#include "source/protocol.h"

#define SOCKET 3
#define AGAIN_MS 1000 /* between two runs: whoever has the gateway shall not make a load of them */

struct output {
	char text[SOURCE_OUTPUT_MAX + 1]; /* one more tells "too long" from "just fits" */
	size_t len;
};

static struct output last; /* what is revoked */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static pid_t start(const char *command, int in, int out)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	/* A group of its own, to be killed as a whole. */
	setsid();
	signal(SIGPIPE, SIG_DFL);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0)
		_exit(126);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(126);
}

/* Feeds and reads until the output ends. NULL, or why not. */
static const char *converse(int *to, int from, const char *input, size_t len, bool revoking, struct output *out)
{
	int64_t end = now_ms() + SOURCE_COMMAND_S * 1000;
	size_t done = 0;

	for (;;) {
		struct pollfd p[3] = { { .fd = from, .events = POLLIN }, { .fd = *to, .events = POLLOUT },
				       { .fd = revoking ? -1 : SOCKET, .events = POLLRDHUP } };
		int64_t left = end - now_ms();
		if (left <= 0)
			return "it did not end within 30 s";
		if (poll(p, 3, (int)left) < 0 && errno != EINTR)
			return "it could not be waited for";
		if (p[2].revents)
			return "nobody waits for it any more";
		if (*to >= 0 && p[1].revents) {
			ssize_t n = write(*to, input + done, len - done);
			done += n > 0 ? (size_t)n : 0;
			/* One that does not read is as good. */
			if (done == len || (n < 0 && errno != EAGAIN && errno != EINTR))
				fd_close(TAKE_FD(*to));
		}
		if (!p[0].revents)
			continue;
		ssize_t n = read(from, out->text + out->len, sizeof(out->text) - out->len);
		if (n == 0)
			return NULL;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return "its output could not be read";
		out->len += n > 0 ? (size_t)n : 0;
		if (out->len == sizeof(out->text))
			return "it printed more than 64 KiB";
	}
}

/* A command from its beginning to its end. NULL, or why there is no output of it. */
static const char *run(const char *command, const char *input, size_t len, bool revoking, struct output *out)
{
	int in[2], from[2], status;

	out->len = 0;
	if (pipe2(in, O_CLOEXEC) < 0)
		return "no pipe could be made";
	_cleanup_close_ int to = in[1];
	_cleanup_close_ int theirs_in = in[0];
	if (pipe2(from, O_CLOEXEC) < 0)
		return "no pipe could be made";
	_cleanup_close_ int ours = from[0];
	_cleanup_close_ int theirs_out = from[1];
	if (fcntl(to, F_SETFL, O_NONBLOCK) < 0)
		return "no pipe could be made";
	pid_t pid = start(command, theirs_in, theirs_out);
	if (pid < 0)
		return "no process could be made";
	fd_close(TAKE_FD(theirs_in));
	fd_close(TAKE_FD(theirs_out));
	const char *why = converse(&to, ours, input, len, revoking, out);
	/* With its output closed it has nothing more to say. */
	for (int i = 0; !why && waitpid(pid, &status, WNOHANG) == 0; i++) {
		if (i == 100)
			why = "it closed its output and did not end";
		poll(NULL, 0, 10);
	}
	if (why) {
		kill(-pid, SIGKILL);
		waitpid(pid, &status, 0);
		return why;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? NULL : "it failed";
}

static int answer(const struct buf *value, uint64_t seconds, const char *why)
{
	struct buf m = { 0 };

	int r = wire_put_u32(&m, why ? SOURCE_FAILED : SOURCE_VALUE_IS);
	if (r == 0 && why)
		r = wire_put_str(&m, why);
	if (r == 0 && !why)
		r = wire_put_u64(&m, seconds);
	if (r == 0 && !why)
		r = wire_put_bytes(&m, value->data, value->len);
	if (r == 0)
		r = msg_send(SOCKET, m.data, m.len, NULL, 0);
	buf_wipe(&m);
	return r;
}

static int ask(const char *command, const char *grant)
{
	static struct output out;
	struct buf value = { 0 };
	uint64_t seconds = 0;

	const char *why = run(command, grant, strlen(grant), false, &out);
	if (!why)
		why = answer_parse(out.text, out.len, time(NULL), &value, &seconds);
	if (!why)
		last = out;
	int r = answer(&value, seconds, why);
	buf_wipe(&value);
	explicit_bzero(&out, sizeof(out));
	return r;
}

/* What the first run had to say, somebody may have read; who waits for the end of that shall not wait for ours. */
static int drop_stderr(void)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	return null < 0 || dup2(null, 2) < 0 ? -errno : 0;
}

static void serve(const char *command, const char *grant)
{
	uint8_t packet[16];

	for (;;) {
		ssize_t n = msg_recv(SOCKET, packet, sizeof(packet), NULL, 0, NULL);
		struct wire_reader in = wire_reader(packet, n > 0 ? (size_t)n : 0);
		if (n <= 0 || wire_get_u32(&in) != SOURCE_ASK || !wire_done(&in) || ask(command, grant) < 0)
			return;
		if (drop_stderr() < 0)
			return;
		poll(NULL, 0, AGAIN_MS);
	}
}

int main(int argc, char **argv)
{
	static struct output ignored;
	struct rlimit none = { 0, 0 };

	if (argc != 4 || prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
	    fcntl(SOCKET, F_SETFD, FD_CLOEXEC) < 0)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	serve(argv[1], argv[3]);
	if (*argv[2] && last.len)
		run(argv[2], last.text, last.len, true, &ignored);
	explicit_bzero(&last, sizeof(last));
	return 0;
}
