/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to and from helpers that run the commands of secrets. */
#include "gateway/secret_source.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/util.h"
#include "base/wire.h"
#include "source/protocol.h"

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
