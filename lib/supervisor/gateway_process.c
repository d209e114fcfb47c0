/* SPDX-License-Identifier: Apache-2.0 */
/* The process of a gateway: nsbox-gateway, with an empty environment. */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "base/util.h"
#include "supervisor/process.h"
#include "supervisor/supervisor.h"

static void become_gateway(const void *arg)
{
	static char *const argv[] = { (char *)"nsbox-gateway", NULL };
	static char *const env[] = { NULL };
	const int *helper_dir = arg;

	syscall(SYS_execveat, *helper_dir, "nsbox-gateway", argv, env, AT_SYMLINK_NOFOLLOW);
}

static int start_process(struct supervisor *s, int *ret_sock, int *ret_pidfd)
{
	_cleanup_close_ int helper_dir = fcntl(s->helper_dir, F_DUPFD_CLOEXEC, PROCESS_KEPT);
	const struct process p = { .become = become_gateway, .arg = &helper_dir };

	return helper_dir < 0 ? -errno : process_start(&p, ret_sock, ret_pidfd);
}

void gateway_prepare(struct supervisor *s)
{
	start_process(s, &s->spare_sock, &s->spare_pidfd);
}

int gateway_process(struct supervisor *s, int *ret_sock, int *ret_pidfd)
{
	if (s->spare_sock < 0)
		return start_process(s, ret_sock, ret_pidfd);
	*ret_sock = TAKE_FD(s->spare_sock);
	*ret_pidfd = TAKE_FD(s->spare_pidfd);
	return 0;
}
