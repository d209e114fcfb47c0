/* SPDX-License-Identifier: Apache-2.0 */
/* The three Landlock system calls and the sets of rights behind our grants. */
#include "confine/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"

#define FS_EXECUTE (1u << 0)
#define FS_WRITE_FILE (1u << 1)
#define FS_READ_FILE (1u << 2)
#define FS_READ_DIR (1u << 3)
#define FS_REMOVE_DIR (1u << 4)
#define FS_REMOVE_FILE (1u << 5)
#define FS_MAKE_DIR (1u << 7)
#define FS_MAKE_REG (1u << 8)
#define FS_MAKE_SOCK (1u << 9)
#define FS_MAKE_FIFO (1u << 10)
#define FS_MAKE_SYM (1u << 12)
#define FS_ABI1 ((1u << 13) - 1) /* with MAKE_CHAR and MAKE_BLOCK, which no grant holds */
#define FS_REFER (1u << 13)      /* ABI 2 */
#define FS_TRUNCATE (1u << 14)   /* ABI 3 */
#define FS_IOCTL_DEV (1u << 15)  /* ABI 5 */

#define SCOPE_ABSTRACT_UNIX (1u << 0) /* ABI 6 */
#define SCOPE_SIGNAL (1u << 1)

#define CREATE_VERSION 1u
#define RULE_PATH_BENEATH 1

struct ruleset_attr {
	uint64_t fs, net, scoped;
};

struct path_attr {
	uint64_t access;
	int32_t parent;
} __attribute__((packed));

static uint64_t rights_of(int abi)
{
	return FS_ABI1 | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) | (abi >= 5 ? FS_IOCTL_DEV : 0);
}

int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);

	if (abi < 1)
		return 0;
	return abi > LANDLOCK_KNOWN_ABI ? LANDLOCK_KNOWN_ABI : (int)abi;
}

int landlock_new(int abi)
{
	struct ruleset_attr attr = { .fs = rights_of(abi) };
	size_t size = sizeof(attr.fs);

	/* A kernel refuses a longer structure than its own only when the rest is not zero, but older ones (5.13 to
	 * 6.6) get exactly theirs anyway. */
	if (abi >= 4)
		size = sizeof(attr.fs) + sizeof(attr.net);
	if (abi >= LANDLOCK_SCOPE_ABI) {
		size = sizeof(attr);
		attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
	}
	long fd = syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	return fd < 0 ? -errno : (int)fd;
}

int landlock_new_scope(void)
{
	struct ruleset_attr attr = { .fs = FS_REFER, .scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL };

	_cleanup_close_ int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* Each layer denies renaming and linking to another directory unless it allows it, also one that is silent about
	 * files. What may be renamed is for the layers below to say. */
	struct path_attr refer = { .access = FS_REFER, .parent = root };
	if (fd < 0 || root < 0 || syscall(SYS_landlock_add_rule, fd, RULE_PATH_BENEATH, &refer, 0) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int landlock_allow(int ruleset, int abi, int fd, bool is_dir, unsigned grants)
{
	uint64_t access = 0;

	if (grants & (LANDLOCK_GRANT_READ | LANDLOCK_GRANT_LOOK))
		access |= FS_READ_FILE | FS_READ_DIR;
	if (grants & (LANDLOCK_GRANT_READ | LANDLOCK_GRANT_EXECUTE))
		access |= FS_EXECUTE;
	if (grants & LANDLOCK_GRANT_WRITE)
		access |= FS_WRITE_FILE | FS_TRUNCATE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG |
			  FS_MAKE_SOCK | FS_MAKE_FIFO | FS_MAKE_SYM | FS_REFER;
	if (grants & LANDLOCK_GRANT_DEVICE)
		access |= FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV;
	if (grants & LANDLOCK_GRANT_CONTENT)
		access |= FS_WRITE_FILE | FS_TRUNCATE;
	access &= rights_of(abi);
	/* Rights that only mean something for directories are EINVAL on a file. */
	if (!is_dir)
		access &= FS_EXECUTE | FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV;
	struct path_attr attr = { .access = access, .parent = fd };
	return syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &attr, 0) < 0 ? -errno : 0;
}

int landlock_enter(int ruleset)
{
	return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}
