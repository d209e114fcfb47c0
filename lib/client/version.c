/* SPDX-License-Identifier: Apache-2.0 */
/* Version of the library and of what it runs on. */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "base/json.h"
#include "base/util.h"
#include "client/client.h"

#ifndef NSBOX_VERSION
#error "the build defines the version"
#endif

#define API_VERSION 1

const char *sandbox_version(void)
{
	return NSBOX_VERSION;
}

int sandbox_version_json(char **ret_json)
{
	struct buf b = { 0 };
	struct utsname system;
	/* landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION): a question, it makes nothing. */
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1u);

	if (uname(&system) < 0)
		return -errno;
	int r = buf_putc(&b, '{');
	if (r == 0)
		r = json_member_string(&b, "version", NSBOX_VERSION);
	if (r == 0)
		r = json_member_int(&b, "api", API_VERSION);
	if (r == 0)
		r = json_member_int(&b, "landlock_abi", abi < 0 ? 0 : abi);
	if (r == 0)
		r = json_member_string(&b, "kernel", system.release);
	if (r == 0)
		r = buf_putc(&b, '}');
	if (r < 0 || !buf_str(&b)) {
		buf_free(&b);
		return -ENOMEM;
	}
	*ret_json = (char *)b.data;
	return 0;
}
