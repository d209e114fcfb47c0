/* SPDX-License-Identifier: Apache-2.0 */
/* Non-blocking packet connection with a queue. */
#include "supervisor/link.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/util.h"

struct packet {
	struct packet *next;
	struct buf data;
	int fds[WIRE_MAX_FDS];
	size_t n_fds;
};

static void packet_free(struct packet *p)
{
	for (size_t i = 0; i < p->n_fds; i++)
		fd_close(p->fds[i]);
	buf_free(&p->data);
	free(p);
}

int link_init(struct link *l, int fd)
{
	*l = (struct link){ .fd = fd };
	l->tail = &l->head;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

void link_close(struct link *l)
{
	while (l->head) {
		struct packet *p = l->head;
		l->head = p->next;
		packet_free(p);
	}
	l->tail = &l->head;
	l->queued = 0;
	fd_close(TAKE_FD(l->fd));
}

static int enqueue(struct link *l, const struct buf *message, const int *fds, size_t n_fds)
{
	struct packet *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	if (buf_append(&p->data, message->data, message->len) < 0) {
		packet_free(p);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n_fds; i++) {
		int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
		if (fd < 0) {
			int err = errno;
			packet_free(p);
			return -err;
		}
		p->fds[p->n_fds++] = fd;
	}
	*l->tail = p;
	l->tail = &p->next;
	l->queued++;
	return 0;
}

int link_send(struct link *l, const struct buf *message, const int *fds, size_t n_fds)
{
	if (l->fd < 0)
		return -EPIPE;
	if (n_fds > WIRE_MAX_FDS || message->len > WIRE_MAX_PACKET)
		return -EMSGSIZE;
	if (!l->head) {
		int r = msg_send(l->fd, message->data, message->len, fds, n_fds);
		if (r != -EAGAIN)
			return r;
	}
	return enqueue(l, message, fds, n_fds);
}

int link_flush(struct link *l)
{
	while (l->head) {
		struct packet *p = l->head;
		int r = msg_send(l->fd, p->data.data, p->data.len, p->fds, p->n_fds);
		if (r == -EAGAIN)
			return 0;
		if (r < 0)
			return r;
		l->head = p->next;
		if (!l->head)
			l->tail = &l->head;
		l->queued--;
		packet_free(p);
	}
	return 0;
}
