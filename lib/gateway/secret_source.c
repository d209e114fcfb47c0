/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to and from helpers that run the commands of secrets. */
#include "gateway/secret_source.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "base/wire.h"
#include "source/protocol.h"

/* So long before the end of one the next is asked for, in time for a slow command and a second try. */
#define EARLY_US (60 * SECOND_US)
/* Longer is as good as for ever, and fits a clock of microseconds. */
#define SECONDS_MAX (100ull * 365 * 86400)

int source_wait(int fd, int parent_fd)
{
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = parent_fd, .events = POLLRDHUP } };
	int r;

	do
		r = poll(p, 2, -1);
	while (r < 0 && errno == EINTR);
	if (r >= 0 && p[1].revents)
		_exit(0);
	return r < 0 ? -errno : 0;
}

void source_times(uint64_t now, uint64_t seconds, uint64_t *ret_expires, uint64_t *ret_next)
{
	uint64_t time = (seconds < SECONDS_MAX ? seconds : SECONDS_MAX) * SECOND_US;

	*ret_expires = seconds ? now + time : 0;
	*ret_next = seconds ? *ret_expires - (time > 5 * EARLY_US ? EARLY_US : time / 5) : 0;
}

static int send_number(int fd, enum source_message type, uint32_t number, const char *text)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = wire_put_u32(&m, type);
	if (r == 0)
		r = wire_put_u32(&m, number);
	if (r == 0 && text)
		r = wire_put_str(&m, text);
	return r < 0 ? r : msg_send(fd, m.data, m.len, NULL, 0);
}

int source_ask(int fd, uint32_t number, const char *call)
{
	return send_number(fd, SOURCE_ASK, number, call);
}

int source_end(int fd, uint32_t number)
{
	return send_number(fd, SOURCE_END, number, NULL);
}

static bool decode(struct source_answer *a, size_t n)
{
	struct wire_reader in = wire_reader(a->pages.data, n);
	uint32_t type = wire_get_u32(&in);

	a->number = wire_get_u32(&in);
	a->ended = type == SOURCE_ENDED;
	if (type == SOURCE_VALUE_IS) {
		a->seconds = wire_get_u64(&in);
		a->value = wire_get_bytes(&in, &a->len);
	} else if (type == SOURCE_FAILED || type == SOURCE_ENDED) {
		a->why = wire_get_str(&in);
	}
	if (!wire_done(&in) || (!a->value && !a->why))
		return false;
	if (a->ended && !*a->why)
		free(TAKE_PTR(a->why));
	return true;
}

int source_read(int fd, bool unlocked, struct source_answer *ret)
{
	uint8_t probe;
	ssize_t n = recv(fd, &probe, 1, MSG_PEEK | MSG_TRUNC);

	*ret = (struct source_answer){ 0 };
	if (n <= 0)
		return n == 0 ? -EPIPE : errno == EAGAIN || errno == EINTR ? -EAGAIN : -EPIPE;
	if (n > (ssize_t)SOURCE_OUTPUT_MAX + 64)
		return -EPROTO;
	int r = locked_new(&ret->pages, (size_t)n, unlocked);
	if (r < 0)
		return r;
	n = recv(fd, ret->pages.data, (size_t)n, 0);
	if (decode(ret, n > 0 ? (size_t)n : 0))
		return 0;
	source_answer_free(ret);
	return -EPROTO;
}

void source_answer_free(struct source_answer *a)
{
	locked_free(&a->pages);
	free(a->why);
	*a = (struct source_answer){ 0 };
}
