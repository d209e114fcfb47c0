/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: each has a number, waits in the list of its connection, and ends with its answer or with the connection. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "client/client.h"

int request_begin(struct connection *c, struct buf *m, uint32_t type, struct request *ret)
{
	ret->number = ++c->last_request;
	int k = wire_put_u32(m, type);
	return k < 0 ? k : wire_put_u32(m, ret->number);
}

void request_complete(struct connection *c, struct request *request, const struct error *failure, char *text, int fd)
{
	for (struct request **at = &c->requests; *at; at = &(*at)->next) {
		if (*at == request) {
			*at = request->next;
			break;
		}
	}
	request->next = NULL;
	if (request->call && failure) {
		call_failed(request->call, failure);
	} else if (request->call) {
		call_started(request->call, text, fd);
		fd = -EBADF;
	} else if (request->answer) {
		struct answer *answer = request->answer;
		answer->came = true;
		if (failure) {
			answer->e = *failure;
			answer->result = -failure->err;
		} else {
			answer->text = TAKE_PTR(text);
			answer->fd = TAKE_FD(fd);
		}
	}
	free(text);
	fd_close(fd);
}

static int send_all(struct connection *c, const struct buf *m, const int *fds, size_t n_fds)
{
	for (;;) {
		int k = msg_send(c->fd, m->data, m->len, fds, n_fds);
		if (k != -EAGAIN)
			return k;
		/* The supervisor may be waiting for us to read: take in while it cannot take more. */
		struct pollfd p = { .fd = c->fd, .events = POLLIN | POLLOUT };
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return -errno;
		if (p.revents & POLLIN) {
			k = connection_take(c, 0, NULL);
			if (k < 0)
				return k;
		}
	}
}

int request_send(struct connection *c, const struct buf *m, struct request *request, const int *fds, size_t n_fds,
		 struct error *e)
{
	if (m->len > WIRE_MAX_PACKET)
		return fail(e, E2BIG, SANDBOX_STAGE_USAGE, "request",
			    "the arguments and the environment are together over %u KiB", WIRE_MAX_PACKET / 1024u);
	int k = !connection_is_ours(c) || c->lost ? -ECONNRESET : 0;
	if (k == 0) {
		struct request **at = &c->requests;
		while (*at)
			at = &(*at)->next;
		*at = request;
		k = send_all(c, m, fds, n_fds);
	}
	/* A supervisor that gave up has said why before it closed: read on to hear it. */
	while (!c->lost && (k == -EPIPE || k == -ECONNRESET) && connection_take(c, -1, NULL) >= 0)
		;
	if (k < 0 && !c->lost) {
		/* The packet did not leave, the connection is as it was. */
		struct error why;
		if (k == -EBADF)
			fail(&why, EBADF, SANDBOX_STAGE_USAGE, "stdio", "a descriptor for the command is not open");
		else
			fail_errno(&why, -k, SANDBOX_STAGE_PROTOCOL, "nsbox-supervisor", "cannot send to the supervisor");
		request_complete(c, request, &why, NULL, -EBADF);
		if (e)
			*e = why;
		return k;
	}
	if (k < 0 && e)
		*e = c->why;
	return k < 0 ? -c->why.err : 0;
}

int request_run(struct connection *c, const struct buf *m, struct request *request, const int *fds, size_t n_fds,
		char **ret_text, int *ret_fd, struct error *e)
{
	struct answer answer = { .fd = -EBADF };

	request->answer = &answer;
	int k = request_send(c, m, request, fds, n_fds, e);
	if (k < 0)
		return k;
	/* The end of the connection answers too. */
	while (!answer.came)
		connection_take(c, -1, NULL);
	request->answer = NULL;
	if (answer.result < 0) {
		if (e)
			*e = answer.e;
		return answer.result;
	}
	if (ret_text)
		*ret_text = TAKE_PTR(answer.text);
	if (ret_fd)
		*ret_fd = TAKE_FD(answer.fd);
	free(answer.text);
	fd_close(answer.fd);
	return 0;
}
