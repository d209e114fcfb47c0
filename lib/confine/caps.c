/* SPDX-License-Identifier: Apache-2.0 */
/* Capability sets by the bare system calls: the library keeps state and allocates, and this runs after vfork. */
#include "confine/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* KEEP_CAPS itself stays off; everything else on, and all of it locked. */
#define LOCKED_BITS                                                                                             \
	(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |        \
	 SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

static int caps_set(const struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int caps_keep(const int *caps, size_t n)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	data[0].inheritable = data[1].inheritable = 0;
	for (size_t i = 0; i < n; i++)
		data[caps[i] / 32].inheritable |= 1u << (caps[i] % 32);
	int r = caps_set(data);
	for (size_t i = 0; i < n && r == 0; i++)
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, caps[i], 0, 0) < 0)
			r = -errno;
	return r;
}

int caps_use(int cap, bool on)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	if (on)
		data[cap / 32].effective |= 1u << (cap % 32);
	else
		data[cap / 32].effective &= ~(1u << (cap % 32));
	return caps_set(data);
}

int caps_drop_all(void)
{
	static const struct __user_cap_data_struct none[2];

	if (prctl(PR_SET_SECUREBITS, LOCKED_BITS) < 0)
		return -errno;
	/* Entering a user namespace refills the bounding set. EINVAL marks the end of what this kernel knows. */
	for (int cap = 0; cap < 64; cap++)
		if (prctl(PR_CAPBSET_DROP, cap) < 0) {
			if (errno != EINVAL || cap <= CAP_AUDIT_READ)
				return -errno;
			break;
		}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	return caps_set(none);
}
