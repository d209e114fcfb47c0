/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closing what a sandbox sent. The last close of a descriptor can sleep: that of a TCP socket with SO_LINGER as long
 * as its maker chose, also when the socket only lay unread in the queue of another one. A call could so stop the
 * supervisor of others. So these descriptors are closed by a thread that does nothing else; the supervisor is one
 * thread in all other respects. The thread takes the waiting off sockets that it sees; since their maker may put it
 * back in between, a timer interrupts every close besides.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/util.h"
#include "supervisor/supervisor.h"

/* Then nothing more is taken from calls before it has caught up. */
#define BEHIND 256u
#define INTERRUPT_NS 1000000
#define STACK_SIZE (64u * 1024u)

static struct {
	bool running;
	int in, out; /* a pipe of descriptor numbers */
	atomic_uint waiting;
} closer;

static void wake_up(int signal)
{
	(void)signal;
}

static void close_one(int fd, timer_t timer, bool has_timer)
{
	static const struct itimerspec on = { .it_value.tv_nsec = INTERRUPT_NS, .it_interval.tv_nsec = INTERRUPT_NS };
	static const struct itimerspec off;
	const struct linger none = { 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)); /* ENOTSOCK for most */
	if (has_timer)
		timer_settime(timer, 0, &on, NULL);
	fd_close(fd);
	if (has_timer)
		timer_settime(timer, 0, &off, NULL);
}

static void *serve(void *unused)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM };
	timer_t timer;
	sigset_t alarm;
	ssize_t n;
	int fd;

	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	bool has_timer = timer_create(CLOCK_MONOTONIC, &event, &timer) == 0;
	while ((n = read(closer.out, &fd, sizeof(fd))) == sizeof(fd) || (n < 0 && errno == EINTR)) {
		if (n < 0)
			continue;
		close_one(fd, timer, has_timer);
		atomic_fetch_sub(&closer.waiting, 1);
	}
	return unused;
}

static int start_thread(void)
{
	const struct sigaction action = { .sa_handler = wake_up };
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;

	/* Not with SA_RESTART. It is sent to the thread alone. */
	if (sigaction(SIGALRM, &action, NULL) < 0)
		return -errno;
	int r = pthread_attr_init(&attr);
	if (r == 0) {
		pthread_attr_setstacksize(&attr, STACK_SIZE);
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		r = pthread_create(&thread, &attr, serve, NULL);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		pthread_attr_destroy(&attr);
	}
	return -r;
}

int closer_start(void)
{
	int pair[2];

	if (closer.running)
		return 0;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	closer.out = pair[0];
	closer.in = pair[1];
	int r = fcntl(closer.in, F_SETFL, O_NONBLOCK) < 0 ? -errno : start_thread();
	if (r < 0) {
		fd_close(closer.in);
		fd_close(closer.out);
	}
	closer.running = r == 0;
	return r;
}

void closer_close(int fd)
{
	if (fd < 0)
		return;
	if (!closer.running) {
		fd_close(fd); /* of a listener that nobody was accepted from */
		return;
	}
	atomic_fetch_add(&closer.waiting, 1);
	/* The pipe holds sixteen thousand, of which BEHIND and those of one turn are used. */
	if (write(closer.in, &fd, sizeof(fd)) != sizeof(fd)) {
		atomic_fetch_sub(&closer.waiting, 1);
		fd_close(fd);
	}
}

bool closer_is_behind(void)
{
	return closer.running && atomic_load(&closer.waiting) > BEHIND;
}
