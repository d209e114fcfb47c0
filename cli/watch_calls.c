/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls that name a path. openat2 is not among them: commands do not have it (lib/confine). */
#include "watch_calls.h"

#include <sys/syscall.h>

#define PATH(call, use) { SYS_##call, 0, -1, -1, use }
#define SECOND(call, use) { SYS_##call, 1, -1, -1, use }
#define AT(call, use) { SYS_##call, 1, 0, -1, use }

const struct watch_call watch_calls[] = {
	{ SYS_openat, 1, 0, 2, WATCH_READ },
	AT(newfstatat, WATCH_LOOK),
	AT(statx, WATCH_LOOK),
	AT(faccessat, WATCH_LOOK),
	AT(faccessat2, WATCH_LOOK),
	AT(readlinkat, WATCH_LOOK),
	PATH(execve, WATCH_EXECUTE),
	AT(execveat, WATCH_EXECUTE),
	PATH(chdir, WATCH_LIST),
	PATH(statfs, WATCH_LOOK),
	PATH(getxattr, WATCH_LOOK),
	PATH(lgetxattr, WATCH_LOOK),
	PATH(listxattr, WATCH_LOOK),
	PATH(llistxattr, WATCH_LOOK),
	SECOND(inotify_add_watch, WATCH_LOOK),
	PATH(truncate, WATCH_WRITE),
	AT(unlinkat, WATCH_WRITE),
	AT(mkdirat, WATCH_WRITE),
	AT(mknodat, WATCH_WRITE),
	AT(renameat2, WATCH_WRITE),
	{ SYS_renameat2, 3, 2, -1, WATCH_WRITE },
	AT(linkat, WATCH_READ),
	{ SYS_linkat, 3, 2, -1, WATCH_WRITE },
	{ SYS_symlinkat, 2, 1, -1, WATCH_WRITE },
	AT(fchmodat, WATCH_WRITE),
	AT(fchownat, WATCH_WRITE),
	AT(utimensat, WATCH_WRITE),
	PATH(setxattr, WATCH_WRITE),
	PATH(lsetxattr, WATCH_WRITE),
	PATH(removexattr, WATCH_WRITE),
	PATH(lremovexattr, WATCH_WRITE),
#ifdef SYS_renameat
	AT(renameat, WATCH_WRITE),
	{ SYS_renameat, 3, 2, -1, WATCH_WRITE },
#endif
#ifdef SYS_open /* the calls of x86-64 that newer architectures do not have */
	{ SYS_open, 0, -1, 1, WATCH_READ },
	PATH(stat, WATCH_LOOK),
	PATH(lstat, WATCH_LOOK),
	PATH(access, WATCH_LOOK),
	PATH(readlink, WATCH_LOOK),
	PATH(creat, WATCH_WRITE),
	PATH(unlink, WATCH_WRITE),
	PATH(mkdir, WATCH_WRITE),
	PATH(rmdir, WATCH_WRITE),
	PATH(mknod, WATCH_WRITE),
	PATH(rename, WATCH_WRITE),
	SECOND(rename, WATCH_WRITE),
	PATH(link, WATCH_READ),
	SECOND(link, WATCH_WRITE),
	SECOND(symlink, WATCH_WRITE),
	PATH(chmod, WATCH_WRITE),
	PATH(chown, WATCH_WRITE),
	PATH(lchown, WATCH_WRITE),
	PATH(utime, WATCH_WRITE),
	PATH(utimes, WATCH_WRITE),
	AT(futimesat, WATCH_WRITE),
#endif
};

const size_t watch_n_calls = sizeof(watch_calls) / sizeof(watch_calls[0]);
_Static_assert(sizeof(watch_calls) / sizeof(watch_calls[0]) <= WATCH_MAX_CALLS, "the filter's jumps reach that far");
