/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime handle.
 *
 * Theory of operation of lib/client. A policy is built, finished and checked in this process (lib/policy), sent to a
 * supervisor as a sealed memfd, and every action is one request with one answer over a packet socket. A runtime has a
 * supervisor of its own, which ends with it and runs what sandbox_create() makes, and one connection for every named
 * sandbox, whose supervisor stays (connection.h). What a supervisor says unasked (events, ends of calls) is taken in
 * whenever a message is read and kept in the handles and the queue of events, so no function calls back into the host
 * application. Named sandboxes are found through directories below the state directory (registry.h). Nothing secret is
 * kept: values go straight into pipes whose other ends pass to the gateway.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/util.h"
#include "client/client.h"

static int runtime_open(struct sandbox_runtime *r)
{
	struct epoll_event event = { .events = EPOLLIN };

	r->epoll = above_stdio(epoll_create1(EPOLL_CLOEXEC));
	r->wake = above_stdio(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (r->epoll < 0 || r->wake < 0 || epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->wake, &event) < 0)
		return -errno;
	r->packet = malloc(WIRE_MAX_PACKET);
	return r->packet ? 0 : -ENOMEM;
}

int sandbox_runtime_new(sandbox_runtime **ret_runtime, sandbox_error **error)
{
	struct error e;
	struct sandbox_runtime *r = calloc(1, sizeof(*r));
	int k = -ENOMEM;

	if (r) {
		r->epoll = r->wake = -EBADF;
		r->events_tail = &r->events;
		k = runtime_open(r);
	}
	if (k < 0) {
		sandbox_runtime_free(r);
		fail_errno(&e, -k, SANDBOX_STAGE_INTERNAL, "runtime", "cannot make a runtime");
		return error_publish(&e, error);
	}
	*ret_runtime = r;
	return 0;
}

int sandbox_runtime_start(sandbox_runtime *runtime, int gateway, sandbox_error **error)
{
	struct error e = { 0 };
	int r = connection_own(runtime, gateway != 0, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}

void sandbox_runtime_free(sandbox_runtime *runtime)
{
	if (!runtime)
		return;
	for (struct sandbox *b = runtime->sandboxes; b; b = b->next) {
		b->runtime = NULL;
		b->connection = NULL;
	}
	while (runtime->connections) {
		for (struct sandbox_call *c = runtime->connections->calls; c; c = c->next)
			c->connection = NULL;
		connection_free(runtime->connections);
	}
	events_drop(runtime);
	fd_close(runtime->epoll);
	fd_close(runtime->wake);
	free(runtime->packet);
	free(runtime->helper_dir);
	free(runtime->wanted);
	free(runtime);
}

int sandbox_runtime_set_helper_dir(sandbox_runtime *runtime, const char *dir, sandbox_error **error)
{
	struct error e;

	if (runtime->started) {
		fail(&e, EBUSY, SANDBOX_STAGE_USAGE, dir, "set the helpers' directory before the first sandbox");
		return error_publish(&e, error);
	}
	char *copy = strdup(dir);
	if (!copy || dir[0] != '/') {
		free(copy);
		fail(&e, dir[0] != '/' ? EINVAL : ENOMEM, SANDBOX_STAGE_USAGE, dir,
		     "the helpers' directory must be an absolute path");
		return error_publish(&e, error);
	}
	free(runtime->helper_dir);
	runtime->helper_dir = copy;
	return 0;
}

int sandbox_runtime_set_events(sandbox_runtime *runtime, const char *names, sandbox_error **error)
{
	struct error e;
	char *text;

	if (runtime->started) {
		fail(&e, EBUSY, SANDBOX_STAGE_USAGE, names, "choose the events before the first sandbox");
		return error_publish(&e, error);
	}
	if (!*names || strspn(names, "abcdefghijklmnopqrstuvwxyz.,") != strlen(names)) {
		fail(&e, EINVAL, SANDBOX_STAGE_USAGE, names,
		     "events are named as in the audit log and separated by commas, for example net.deny,http.deny");
		return error_publish(&e, error);
	}
	bool none = strcmp(names, ",") == 0;
	if (asprintf(&text, "%s%s,", none ? "" : ",", none ? "" : names) < 0) {
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, names, "out of memory");
		return error_publish(&e, error);
	}
	free(runtime->wanted);
	runtime->wanted = text;
	return 0;
}

int sandbox_runtime_fd(const sandbox_runtime *runtime)
{
	return runtime->epoll;
}

int sandbox_runtime_dispatch(sandbox_runtime *runtime, sandbox_error **error)
{
	struct connection *gone = NULL;

	if (runtime->woken) {
		eventfd_t count;
		eventfd_read(runtime->wake, &count);
		runtime->woken = false;
	}
	runtime->dispatching = true;
	for (struct connection *c = runtime->connections; c; c = c->next) {
		/* As many as the queue of events holds: one that never stops must not keep the host here. */
		for (unsigned i = 0; i < MAX_EVENTS && !c->lost && connection_take(c, 0, NULL) > 0; i++)
			;
		if (c->lost && c->fd >= 0 && !gone) {
			gone = c->told ? NULL : c;
			c->told = true;
			fd_close(TAKE_FD(c->fd)); /* readable until here; with another loss the next dispatch follows */
		}
	}
	runtime->dispatching = false;
	return gone ? error_publish(&gone->why, error) : 0;
}
