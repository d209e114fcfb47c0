/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts 1-6, 9-11, 16-18: reading and writing files that were not granted. */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef MOUNT_ATTR_RDONLY
#define MOUNT_ATTR_RDONLY 1
#endif
#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

static int try_opendir(const char *path)
{
	DIR *d = opendir(path);

	if (!d)
		return -1;
	closedir(d);
	return 0;
}

static void read_secret(void)
{
	const char *out = need("out_dir");
	struct stat st;

	TRY("open", try_open(in(out, "secret"), O_RDONLY));
	TRY("stat", stat(in(out, "secret"), &st));
	TRY("list", try_opendir(out));
	TRY("path-open", try_open(in(out, "secret"), O_PATH));
	TRY("truncate-open", try_open(in(out, "secret"), O_RDWR));
}

static void write_canary(void)
{
	const char *out = need("out_dir");

	TRY("write", try_write_file(in(out, "canary"), "x"));
	TRY("append", try_open(in(out, "canary"), O_WRONLY | O_APPEND));
	TRY("truncate", truncate(in(out, "canary"), 1));
	TRY("create", try_open(in(out, "made"), O_WRONLY | O_CREAT | O_EXCL));
	TRY("mkdir", mkdir(in(out, "made.d"), 0700));
	TRY("symlink", symlink("x", in(out, "made.l")));
	TRY("chmod", chmod(in(out, "canary"), 0777));
	TRY("link-in", link(in(out, "canary"), in(need("work"), "linked")));
	TRY("rename-over", rename(in(need("work"), "plain"), in(out, "canary2")));
	TRY("rename", rename(in(out, "canary"), in(out, "gone")));
	TRY("unlink", unlink(in(out, "canary3")));
	TRY("rmdir", rmdir(in(out, "empty.d")));
}

static int set_mount_writable(const char *path)
{
	struct {
		unsigned long long set, clear, propagation, userns;
	} attr = { .clear = MOUNT_ATTR_RDONLY };

	return (int)syscall(SYS_mount_setattr, AT_FDCWD, path, 0, &attr, sizeof(attr));
}

static void read_only_mount(void)
{
	const char *ro = need("ro");

	/* The control in its own namespaces makes the read-only bind first, or there would be nothing to undo. */
	if (in_own_namespaces()) {
		TRY("prepare", mount(ro, ro, NULL, MS_BIND, NULL));
		TRY("prepare", mount(NULL, ro, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
		TRY("remount", mount(NULL, ro, NULL, MS_REMOUNT | MS_BIND, NULL));
		TRY("setattr", set_mount_writable(ro));
		return;
	}
	TRY("write", try_write_file(in(ro, "file"), "x"));
	TRY("create", try_open(in(ro, "made"), O_WRONLY | O_CREAT | O_EXCL));
	TRY("unlink", unlink(in(ro, "victim")));
	TRY("rename", rename(in(ro, "file2"), in(ro, "file3")));
	TRY("mkdir", mkdir(in(ro, "made.d"), 0700));
	TRY("truncate", truncate(in(ro, "file"), 0));
	if (outside())
		return;
	TRY("remount", mount(NULL, ro, NULL, MS_REMOUNT | MS_BIND, NULL));
	TRY("setattr", set_mount_writable(ro));
	TRY("usr-remount", mount(NULL, "/usr", NULL, MS_REMOUNT | MS_BIND, NULL));
	TRY("usr-create", try_open("/usr/nsbox-escape", O_WRONLY | O_CREAT | O_EXCL));
	TRY("etc-create", try_open("/etc/nsbox-escape", O_WRONLY | O_CREAT | O_EXCL));
	TRY("passwd-write", try_open("/etc/passwd", O_WRONLY));
	TRY("after", try_write_file(in(ro, "file"), "x"));
}

static void unmount(void)
{
	const char *work = need("work");
	int fd;

	keep_host_safe();
	if (in_own_namespaces()) {
		TRY("prepare", mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
		TRY("prepare", mkdir("/tmp/a", 0700));
		TRY("prepare", mount("tmpfs", "/tmp/a", "tmpfs", 0, NULL));
		TRY("prepare", mkdir("/tmp/a/old", 0700));
		work = "/tmp";
	}
	TRY("mount-over", mount("tmpfs", "/proc/sys", "tmpfs", 0, NULL));
	TRY("bind-root", mount("/", "/mnt", NULL, MS_BIND | MS_REC, NULL));
	fd = (int)syscall(SYS_open_tree, AT_FDCWD, "/proc", 1 | O_CLOEXEC | 0x8000);
	report("open-tree", fd);
	TRY("umount-proc", umount2("/proc", MNT_DETACH));
	if (in_own_namespaces() && (chdir("/tmp/a") || syscall(SYS_pivot_root, ".", "old")))
		report("pivot", -1);
	else if (in_own_namespaces())
		report("pivot", 0);
	else
		TRY("pivot", syscall(SYS_pivot_root, ".", "."));
	if (in_own_namespaces()) {
		TRY("umount-work", umount2("/old/tmp", MNT_DETACH));
		TRY("umount-root", umount2("/old", MNT_DETACH));
		return;
	}
	TRY("umount-work", umount2(work, 0));
	TRY("umount-work", umount2(work, MNT_DETACH));
	TRY("umount-root", umount2("/", MNT_DETACH));
	TRY("umount-etc", umount2("/etc", MNT_DETACH));
}

static void dot_dot(void)
{
	char path[PATH_MAX] = "";
	struct stat root, top;
	int fd = open(in(need("work"), "sub/deep"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int moved;

	TRY("relative", try_open(in(need("work"), need("rel")), O_RDONLY));
	for (int i = 0; i < 64; i++)
		strcat(path, "../");
	moved = openat(fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (moved < 0 || stat("/", &root) || fstat(moved, &top))
		report("climb", -1);
	else
		result("climb", root.st_dev == top.st_dev && root.st_ino == top.st_ino ? "root" : "elsewhere", "-");
	if (moved >= 0)
		TRY("climb-then-down", try_openat(moved, in(need("out_dir"), "secret") + 1, O_RDONLY));
	/* The host now renames work/sub out of the tree: the kernel must not let ".." follow it there. */
	meet_host(need("work"));
	TRY("moved-up", try_openat(fd, "../../secret", O_RDONLY));
	TRY("moved-up-more", try_openat(fd, "../../../outside/secret", O_RDONLY));
	if (!fchdir(fd))
		TRY("moved-chdir", chdir("../.."));
	else
		report("moved-chdir", -1);
}

static void symlinks(void)
{
	const char *work = need("work");

	TRY("absolute", try_open(in(work, "abs"), O_RDONLY));
	TRY("relative", try_open(in(work, "rel"), O_RDONLY));
	TRY("through-dir", try_open(in(work, "dir/secret"), O_RDONLY));
	TRY("write-through", try_write_file(in(work, "canary-link"), "x"));
	TRY("create-through", try_open(in(work, "dir/made"), O_WRONLY | O_CREAT | O_EXCL));
	TRY("create-dangling", try_open(in(work, "dangling"), O_WRONLY | O_CREAT));
	/* made inside, to the same places */
	TRY("prepare", symlink(in(need("out_dir"), "secret"), in(work, "abs-inside")));
	TRY("absolute-inside", try_open(in(work, "abs-inside"), O_RDONLY));
}

/* 9: what is there is read-only and cannot be moved away, by itself or by a parent. */
static void protected_states(void)
{
	const char *work = need("work");

	TRY("file-write", try_write_file(in(work, "pfile"), "x"));
	TRY("file-truncate", truncate(in(work, "pfile"), 0));
	TRY("file-unlink", unlink(in(work, "pfile")));
	TRY("file-rename", rename(in(work, "pfile"), in(work, "pfile-away")));
	TRY("file-replace", rename(in(work, "plain"), in(work, "pfile")));
	TRY("file-chmod", chmod(in(work, "pfile"), 0777));
	TRY("dir-create", try_open(in(work, "pdir/made"), O_WRONLY | O_CREAT | O_EXCL));
	TRY("dir-write", try_write_file(in(work, "pdir/file"), "x"));
	TRY("dir-rename", rename(in(work, "pdir"), in(work, "pdir-away")));
	TRY("dir-rmdir", rmdir(in(work, "pdir")));
	TRY("link-target-write", try_write_file(in(work, "plink"), "x"));
	TRY("deep-write", try_write_file(in(work, "a/b/pdeep"), "x"));
	TRY("parent-rename", rename(in(work, "a/b"), in(work, "a/b-away")));
	TRY("grandparent-rename", rename(in(work, "a"), in(work, "a-away")));
}

static void link_exchange(void)
{
	const char *work = need("work");

	TRY("link-over", link(in(work, "evil"), in(work, "pdir/hard")));
	TRY("link-from", link(in(work, "pfile"), in(work, "hard")));
	TRY("link-write", try_write_file(in(work, "hard"), "x"));
	TRY("exchange-file", renameat2(AT_FDCWD, in(work, "evil"), AT_FDCWD, in(work, "pfile"), RENAME_EXCHANGE));
	TRY("exchange-dir", renameat2(AT_FDCWD, in(work, "evil.d"), AT_FDCWD, in(work, "pdir"), RENAME_EXCHANGE));
	TRY("exchange-parent", renameat2(AT_FDCWD, in(work, "evil.d"), AT_FDCWD, in(work, "a"), RENAME_EXCHANGE));
	TRY("parent-rename", rename(in(work, "a"), in(work, "a-away")));
}

static void git_hooks(void)
{
	const char *work = need("work");

	TRY("hook-create", try_open(in(work, ".git/hooks/pre-commit"), O_WRONLY | O_CREAT | O_EXCL));
	TRY("hook-write", try_write_file(in(work, ".git/hooks/post-merge"), "#!/bin/sh\n"));
	TRY("hooks-rename", rename(in(work, ".git/hooks"), in(work, ".git/hooks2")));
	TRY("hooks-exchange",
	    renameat2(AT_FDCWD, in(work, "evil.d"), AT_FDCWD, in(work, ".git/hooks"), RENAME_EXCHANGE));
	TRY("git-rename", rename(in(work, ".git"), in(work, ".git2")));
}

static void inode_times(void)
{
	const char *file = in(need("ro"), "file");
	static const char *const devices[] = { "null", "zero", "full", "random", "urandom", "tty" };
	struct timespec ts[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	struct stat st;
	char row[32];

	TRY("utimensat", utimensat(AT_FDCWD, file, ts, 0));
	TRY("chmod", chmod(file, 0640));
	TRY("chown", chown(file, getuid(), getgid()));
	TRY("setxattr", setxattr(file, "user.nsbox", "x", 1, 0));
	TRY("removexattr", removexattr(file, "user.present"));
	/* The device nodes are the host's too: a chmod as root would break it for everybody. Only to what it is. */
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
		snprintf(row, sizeof(row), "chmod-%s", devices[i]);
		TRY(row, stat(in("/dev", devices[i]), &st) || chmod(in("/dev", devices[i]), st.st_mode & 07777) ? -1 : 0);
		snprintf(row, sizeof(row), "touch-%s", devices[i]);
		TRY(row, utimensat(AT_FDCWD, in("/dev", devices[i]), NULL, 0));
	}
}

static void reopen_proc_fd(void)
{
	const char *ro = need("ro");
	int fd = open(in(ro, "file"), O_RDONLY | O_CLOEXEC), path = open(in(ro, "file"), O_PATH | O_CLOEXEC);
	char link[64];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	TRY("from-read", try_open(link, O_WRONLY));
	TRY("truncate", truncate(link, 0));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", path);
	TRY("from-path", try_open(link, O_RDWR));
	TRY("chdir", chdir(ro));
	TRY("cwd", try_open("/proc/self/cwd/file", O_WRONLY));
	TRY("root", try_open(in("/proc/thread-self/root", in(ro, "file")), O_WRONLY));
	TRY("cwd-create", try_open("/proc/self/cwd/made", O_WRONLY | O_CREAT | O_EXCL));
	close(fd);
	close(path);
}

/* Written through memory: with the most rights that the open gives. */
static void map_shared(void)
{
	const char *file = in(need("ro"), "file");
	int fd = open(file, O_RDWR | O_CLOEXEC);
	char *p;

	if (fd < 0)
		fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		report("prepare", -1);
		return;
	}
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	report("mmap", p == MAP_FAILED ? -1 : 0);
	if (p != MAP_FAILED)
		p[0] = 'X';
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		report("mprotect", -1);
		return;
	}
	TRY("mprotect", mprotect(p, 4096, PROT_READ | PROT_WRITE));
	close(fd);
}

const struct attempt fs_attempts[] = {
	{ 1, "read-secret", read_secret },
	{ 2, "write-canary", write_canary },
	{ 3, "read-only-mount", read_only_mount },
	{ 4, "unmount", unmount },
	{ 5, "dot-dot", dot_dot },
	{ 6, "symlinks", symlinks },
	{ 9, "protected-states", protected_states },
	{ 10, "link-exchange", link_exchange },
	{ 11, "git-hooks", git_hooks },
	{ 16, "inode-times", inode_times },
	{ 17, "reopen-proc-fd", reopen_proc_fd },
	{ 18, "map-shared", map_shared },
	{ 0 },
};
