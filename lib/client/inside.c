/* SPDX-License-Identifier: Apache-2.0 */
/* Calls within calls: the supervisor as the processes of a call see it. Needs nothing of an installation. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/util.h"
#include "client/client.h"

#define CONTROL "/run/nsbox/control"

static int control_connect(struct error *e)
{
	const struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = CONTROL };
	_cleanup_close_ int fd = above_stdio(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));

	if (fd < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_USAGE, CONTROL, "cannot make a socket");
	if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0)
		return TAKE_FD(fd);
	if (errno == ENOENT)
		return fail(e, ENOENT, SANDBOX_STAGE_USAGE, CONTROL,
			    "there is no " CONTROL ": this process is not in a sandbox, or its policy covers /run/nsbox");
	if (errno == ECONNREFUSED)
		return fail(e, EOPNOTSUPP, SANDBOX_STAGE_USAGE, CONTROL,
			    "calls of this sandbox cannot ask for calls: they share the network of the host (net = host), or the "
			    "kernel is older than 5.14, and so nobody can tell who asks");
	return fail_errno(e, errno, SANDBOX_STAGE_PROTOCOL, CONTROL, "cannot connect to the control socket " CONTROL);
}

int sandbox_check_outside(const struct sandbox *b, struct error *e)
{
	return b->inside ? fail(e, EOPNOTSUPP, SANDBOX_STAGE_USAGE, "sandbox",
				"this is for those outside of the sandbox: a call can start calls, signal and end them") :
			   0;
}

int sandbox_open_inside(sandbox_runtime *runtime, sandbox **ret_sandbox, sandbox_error **error)
{
	struct error e = { 0 };

	int fd = control_connect(&e);
	if (fd < 0)
		return error_publish(&e, error);
	struct sandbox *b = sandbox_new(runtime, &e);
	if (!b) {
		fd_close(fd);
		return error_publish(&e, error);
	}
	b->id[0] = '\0';
	b->inside = true;
	/* As in "the sandbox around this call has ended". */
	if (connection_adopt(runtime, "around this call", fd, &b->connection, &e) < 0) {
		sandbox_drop(b);
		return error_publish(&e, error);
	}
	connection_ref(b->connection);
	*ret_sandbox = b;
	return 0;
}
