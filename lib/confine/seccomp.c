/* SPDX-License-Identifier: Apache-2.0 */
/* Installing a filter that the build made. */
#include "confine/seccomp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "seccomp_filters.h"

int seccomp_load(enum seccomp_profile profile)
{
	/* The kernel copies the program; its structure just lacks the const. */
	const struct sock_fprog programs[_SECCOMP_PROFILE_MAX] = {
		[SECCOMP_CALL] = { ARRAY_LEN(filter_call), (struct sock_filter *)filter_call },
		[SECCOMP_INIT] = { ARRAY_LEN(filter_init), (struct sock_filter *)filter_init },
		[SECCOMP_GATEWAY] = { ARRAY_LEN(filter_gateway), (struct sock_filter *)filter_gateway },
	};

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &programs[profile]) < 0 ? -errno : 0;
}
