/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime handle.
 *
 * Theory of operation of lib/client. A policy is built, finished and checked in this process (lib/policy), sent to the
 * supervisor as a sealed memfd, and every action is one request with one answer over a private socket. What the
 * supervisor says unasked (events, ends of calls) is taken in whenever a message is read and queued here, so no
 * function calls back into the host application. Nothing secret is kept: values go straight into pipes whose other
 * ends pass to the gateway.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "client/client.h"

int sandbox_runtime_new(sandbox_runtime **ret_runtime, sandbox_error **error)
{
	struct error e;
	struct sandbox_runtime *r = calloc(1, sizeof(*r));

	if (!r) {
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, "runtime", "out of memory");
		return error_publish(&e, error);
	}
	r->fd = r->pidfd = -EBADF;
	r->events_tail = &r->events;
	*ret_runtime = r;
	return 0;
}

int sandbox_runtime_start(sandbox_runtime *runtime, int gateway, sandbox_error **error)
{
	struct error e = { 0 };
	int r = connection_open(runtime, gateway != 0, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}

void sandbox_runtime_free(sandbox_runtime *runtime)
{
	if (!runtime)
		return;
	connection_close(runtime);
	for (struct sandbox_call *c = runtime->calls; c; c = c->next)
		c->runtime = NULL;
	for (struct sandbox *b = runtime->sandboxes; b; b = b->next)
		b->runtime = NULL;
	events_drop(runtime);
	free(runtime->helper_dir);
	free(runtime->wanted);
	free(runtime);
}

int sandbox_runtime_set_helper_dir(sandbox_runtime *runtime, const char *dir, sandbox_error **error)
{
	struct error e;

	if (runtime->fd >= 0) {
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

	if (runtime->fd >= 0) {
		fail(&e, EBUSY, SANDBOX_STAGE_USAGE, names, "choose the events before the first sandbox");
		return error_publish(&e, error);
	}
	if (!*names || strspn(names, "abcdefghijklmnopqrstuvwxyz.,") != strlen(names)) {
		fail(&e, EINVAL, SANDBOX_STAGE_USAGE, names,
		     "events are named as in the audit log and separated by commas, for example net.deny,http.deny");
		return error_publish(&e, error);
	}
	if (asprintf(&text, ",%s,", names) < 0) {
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, names, "out of memory");
		return error_publish(&e, error);
	}
	free(runtime->wanted);
	runtime->wanted = text;
	return 0;
}

int sandbox_runtime_fd(const sandbox_runtime *runtime)
{
	return runtime->fd;
}

int sandbox_runtime_dispatch(sandbox_runtime *runtime, sandbox_error **error)
{
	struct error e;
	int k;

	if (runtime->fd < 0 && !runtime->lost)
		return 0;
	do
		k = connection_take(runtime, 0, &e);
	while (k > 0);
	return k < 0 ? error_publish(&e, error) : 0;
}
