/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kept output: pipes whose other ends are a call's standard output and error, read here into the sandbox's output file.
 * Not the file itself: what a call holds a descriptor of it can truncate. The file has a bound; past it the output is
 * read and dropped, so that the command does not block, and the file says so once.
 */
#include <errno.h>
#include <endian.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/util.h"
#include "supervisor/supervisor.h"

static uint8_t data[64 * 1024];

static void write_frame(struct sandbox *b, const struct call *call, uint8_t stream, size_t len)
{
	struct named *named = b->named;
	uint8_t head[OUTPUT_HEAD] = { 0 };
	uint32_t words[3];

	if (named->output < 0 || named->output_size > OUTPUT_MAX)
		return;
	if (named->output_size + OUTPUT_HEAD + len > OUTPUT_MAX) {
		stream = 0;
		len = 0;
		named->output_size = OUTPUT_MAX; /* the next addition passes it */
	}
	const char *number = strrchr(call->id, '.');
	words[0] = htole32(OUTPUT_MAGIC);
	words[1] = htole32((uint32_t)len);
	words[2] = htole32(number ? (uint32_t)strtoul(number + 1, NULL, 10) : 0);
	memcpy(head, words, sizeof(words));
	head[12] = stream;
	struct iovec v[2] = { { head, sizeof(head) }, { data, len } };
	ssize_t n = writev(named->output, v, 2);
	named->output_size += OUTPUT_HEAD + len;
	/* A full disk: half a frame is cut off again, and nothing more is kept. */
	if (n != (ssize_t)(OUTPUT_HEAD + len)) {
		if (n > 0 && ftruncate(named->output, (off_t)(named->output_size - OUTPUT_HEAD - len)) < 0)
			fd_close(TAKE_FD(named->output));
		named->output_size = OUTPUT_MAX + 1;
	}
}

/* How much; 0 at the end of the pipe, -EAGAIN when there is nothing now. */
static ssize_t take(struct capture *capture)
{
	struct call *call = capture->call;

	for (;;) {
		ssize_t n = read(capture->source.fd, data, sizeof(data));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		write_frame(call->sandbox, call, capture->stream, (size_t)n);
		/* One piece a round: a flood must not keep the others waiting. */
		return n;
	}
}

static void stop(struct supervisor *s, struct capture *capture)
{
	int fd = capture->source.fd;

	loop_remove(s, &capture->source);
	fd_close(fd);
}

static void capture_ready(struct supervisor *s, struct source *source, uint32_t events)
{
	struct capture *capture = SOURCE_OWNER(source, struct capture, source);
	ssize_t r = take(capture);

	(void)events;
	if (r == 0 || (r < 0 && r != -EAGAIN))
		stop(s, capture);
}

int output_open(struct call *call)
{
	for (size_t i = 0; i < ARRAY_LEN(call->captures); i++) {
		int pair[2];
		if (pipe2(pair, O_CLOEXEC) < 0)
			return -errno;
		call->start->stdio[i + 1] = pair[1];
		if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0 ||
		    loop_add(call->sandbox->supervisor, &call->captures[i].source, pair[0], capture_ready) < 0) {
			int err = errno;
			fd_close(pair[0]);
			call->captures[i].source.fd = -EBADF;
			return -err;
		}
	}
	return 0;
}

/* No process of the call lives, so what the pipes hold now is all that is its own. More may come for ever: it can have
 * given a pipe to another call. */
void output_close(struct call *call)
{
	for (size_t i = 0; i < ARRAY_LEN(call->captures); i++) {
		struct capture *capture = &call->captures[i];
		if (capture->source.fd < 0)
			continue;
		int left = 0;
		if (ioctl(capture->source.fd, FIONREAD, &left) < 0)
			left = 0;
		for (ssize_t n = 1; left > 0 && n > 0; left -= (int)n)
			n = take(capture);
		stop(call->sandbox->supervisor, capture);
	}
}
