/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named sandboxes: the socket that their clients come to, and the entry in the registry, which the client library
 * makes (lib/client/registry.c) and the supervisor holds by its lock and removes at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "supervisor/supervisor.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define PAUSE_US 10000u

struct named *named_new(const char *name, const int fds[4])
{
	struct named *n = calloc(1, sizeof(*n));

	if (n)
		n->name = strdup(name);
	if (!n || !n->name) {
		free(n);
		for (size_t i = 0; i < 4; i++)
			fd_close(fds[i]);
		return NULL;
	}
	n->dir = fds[0];
	n->lock = fds[1];
	n->socket_dir = fds[2];
	n->listener.fd = fds[3];
	n->output = openat(n->dir, "output", O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return n;
}

/*
 * Only the same user, and only from our own network namespace: a command in a sandbox has the same user id, and should a
 * policy ever show it the socket, its network namespace gives it away.
 */
static bool may_come(const struct supervisor *s, int fd)
{
	struct ucred peer;
	uint64_t cookie = 0;
	socklen_t len = sizeof(peer), cookie_len = sizeof(cookie);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.uid != geteuid())
		return false;
	/* Kernels before 5.14 have no cookie to compare. */
	if (s->net_cookie == 0)
		return true;
	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &cookie_len) == 0 && cookie == s->net_cookie;
}

static void pause_all(struct supervisor *s, bool paused)
{
	for (struct sandbox *b = s->sandboxes; b; b = b->next) {
		if (b->named && b->named->listener.ready)
			loop_pause(s, &b->named->listener, paused);
	}
}

bool named_expire(struct supervisor *s, uint64_t now)
{
	if (s->listeners_resume == 0 || s->listeners_resume > now)
		return false;
	s->listeners_resume = 0;
	pause_all(s, false);
	return true;
}

static void listener_ready(struct supervisor *s, struct source *source, uint32_t events)
{
	(void)events;
	_cleanup_close_ int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		/* No descriptor or memory left: else this would be asked again at once. */
		s->listeners_resume = now_us() + PAUSE_US;
		loop_deadline(s, s->listeners_resume);
		pause_all(s, true);
	}
	if (fd < 0)
		return;
	if (s->n_clients < MAX_CLIENTS && may_come(s, fd) && client_add(s, fd) == 0)
		TAKE_FD(fd);
}

int named_listen(struct sandbox *b)
{
	int fd = b->named->listener.fd;

	b->named->listener.fd = -EBADF;
	int r = fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : loop_add(b->supervisor, &b->named->listener, fd, listener_ready);
	if (r < 0)
		fd_close(fd);
	return r;
}

bool named_unfinished(const struct named *n)
{
	static const char ready[] = "\nready 1\n";
	char text[16384];

	_cleanup_close_ int fd = openat(n->dir, "info", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text));
	/* What cannot be read says nothing. */
	return len > 0 && !memmem(text, (size_t)len, ready, strlen(ready));
}

void named_remove(struct sandbox *b)
{
	static const char *const files[] = { "info", "output", "lock" };
	struct named *n = b->named;
	char socket_name[80];

	snprintf(socket_name, sizeof(socket_name), "%s.sock", n->name);
	unlinkat(n->socket_dir, socket_name, 0);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		unlinkat(n->dir, files[i], 0);
	/* The directory only under the lock of the registry: somebody may be making the name anew. Else the next command
	 * sweeps it. */
	_cleanup_close_ int all = openat(n->dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int lock = all < 0 ? -1 : openat(all, ".lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat ours, there;
	if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0 && fstat(n->dir, &ours) == 0 &&
	    fstatat(all, n->name, &there, AT_SYMLINK_NOFOLLOW) == 0 && ours.st_ino == there.st_ino)
		unlinkat(all, n->name, AT_REMOVEDIR);
}

void named_free(struct supervisor *s, struct named *n)
{
	if (!n)
		return;
	int listener = n->listener.fd;
	if (n->listener.ready)
		loop_remove(s, &n->listener);
	fd_close(listener);
	fd_close(n->output);
	fd_close(n->socket_dir);
	fd_close(n->dir);
	fd_close(n->lock);
	free(n->name);
	free(n);
}
