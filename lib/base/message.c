/* SPDX-License-Identifier: Apache-2.0 */
/* One packet with descriptors over SOCK_SEQPACKET, and sealed memfds for payloads that are too large for one. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "base/util.h"
#include "base/wire.h"

/* For others to receive what they were sent. */
#define IN_FLIGHT_TRIES 200u
static const struct timespec in_flight_pause = { .tv_nsec = 1000000 };

#define MEMFD_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

union control {
	char bytes[CMSG_SPACE(sizeof(int) * WIRE_MAX_FDS)];
	struct cmsghdr align;
};

int msg_send(int sock, const void *data, size_t len, const int *fds, size_t n_fds)
{
	union control control = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds > WIRE_MAX_FDS || len > WIRE_MAX_PACKET)
		return -EMSGSIZE;
	if (n_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	for (unsigned tries = 0;;) {
		ssize_t n = sendmsg(sock, &msg, MSG_NOSIGNAL);
		if (n >= 0)
			return 0;
		/* Descriptors that are sent and not received yet are counted for all processes of a user together. */
		if (errno == ETOOMANYREFS && tries++ < IN_FLIGHT_TRIES)
			nanosleep(&in_flight_pause, NULL);
		else if (errno != EINTR)
			return -errno;
	}
}

/* Collect every descriptor of the message, closing those that do not fit; true when all fitted. */
static bool take_fds(struct msghdr *msg, int *fds, size_t max, size_t *ret_n)
{
	bool fits = true;
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (n < max) {
				fds[n++] = fd;
			} else {
				fd_close(fd);
				fits = false;
			}
		}
	}
	*ret_n = n;
	return fits;
}

ssize_t msg_recv_all(int sock, void *data, size_t cap, int *fds, size_t max_fds, size_t *ret_n_fds)
{
	union control control;
	struct iovec iov = { .iov_base = data, .iov_len = cap };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	bool again = true;
	ssize_t n;

	*ret_n_fds = 0;

	/* ECONNRESET once says that the other end closed without having read all that we sent; what it had sent before, as
	 * the reason for closing, is still to be read. */
	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && (errno == EINTR || (errno == ECONNRESET && again && !(again = false))));
	if (n < 0)
		return -errno;

	bool fits = take_fds(&msg, fds, max_fds, ret_n_fds);
	if (fits && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return n;
	return (msg.msg_flags & MSG_TRUNC) ? -EMSGSIZE : -EPROTO;
}

ssize_t msg_recv(int sock, void *data, size_t cap, int *fds, size_t max_fds, size_t *ret_n_fds)
{
	size_t n_fds;
	ssize_t r = msg_recv_all(sock, data, cap, fds, max_fds, &n_fds);

	/* An empty packet reads as the end of the connection, and nobody looks for descriptors there. */
	if (r <= 0) {
		for (size_t i = 0; i < n_fds; i++)
			fd_close(fds[i]);
		n_fds = 0;
	}
	if (ret_n_fds)
		*ret_n_fds = n_fds;
	return r;
}

int memfd_from_bytes(const char *name, const void *data, size_t len)
{
	_cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)data + done, len - done);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		done += (size_t)n;
	}
	if (fcntl(fd, F_ADD_SEALS, MEMFD_SEALS) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int memfd_read_sealed(int fd, size_t max, struct buf *ret)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	/* Without the seals the sender could change the bytes between our check and our use. */
	if (seals < 0 || (seals & MEMFD_SEALS) != MEMFD_SEALS)
		return -EPERM;
	if (fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	int r = buf_reserve(ret, (size_t)st.st_size);
	if (r < 0)
		return r;
	for (off_t at = 0; at < st.st_size;) {
		ssize_t n = pread(fd, ret->data + ret->len, (size_t)(st.st_size - at), at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += n;
		ret->len += (size_t)n;
	}
	return 0;
}
