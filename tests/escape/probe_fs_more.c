/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts 12-15, 20, 22, 60, 66: special files, private directories, descriptors and roots. */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static void set_uid_file(void)
{
	const char *file = in(need("work"), "suid");
	struct stat st;
	int status;
	pid_t pid;

	if (stat(file, &st) || !(st.st_mode & S_ISUID)) {
		report("prepare", -1);
		return;
	}
	pid = fork();
	if (!pid) {
		execl(file, file, "@euid", (char *)NULL);
		_exit(126);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		report("exec", -1);
	else if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
		result("exec", "EXIT", "status %#x", status);
	else /* the tool's answer: 1 when the effective user is the file's owner, not the caller */
		result("exec", WEXITSTATUS(status) ? "ok" : "ignored", "-");
	if (outside())
		return;
	/* set-uid and set-gid bits on a file made inside */
	file = in(need("work"), "suid-made");
	TRY("prepare", try_open(file, O_CREAT | O_WRONLY));
	TRY("set-uid", chmod(file, 04755));
	TRY("set-gid", chmod(file, 02755));
	TRY("make", mknod(in(need("work"), "suid-node"), S_IFREG | 06755, 0));
}

static void device_nodes(void)
{
	const char *work = need("work"), *existing = fact("node");

	TRY("char", mknod(in(work, "null"), S_IFCHR | 0600, makedev(1, 3)));
	TRY("block", mknod(in(work, "vda"), S_IFBLK | 0600, makedev(254, 0)));
	TRY("kmsg", mknod(in(work, "kmsg"), S_IFCHR | 0600, makedev(1, 11)));
	TRY("tmp", mknod("/tmp/nsbox-escape-mem", S_IFCHR | 0600, makedev(1, 1)));
	unlink("/tmp/nsbox-escape-mem");
	if (existing)
		TRY("open-existing", try_open(existing, O_RDWR));
}

static void dev_list(void)
{
	static const char *const gone[] = {
		"kmsg", "mem", "port", "fuse", "net/tun", "kvm", "vsock", "loop-control", "loop0", "vda", "sda",
		"nvme0", "uinput", "console", "tty0", "tty1", "hpet", "rtc0", "mapper/control", "vhost-net",
		"vhost-vsock", "userfaultfd", "btrfs-control", "cpu_dma_latency", "watchdog", "ttyS0", "snapshot",
		"autofs", "ppp", "raw/rawctl", "hugepages", "input", "bus", "disk", "block",
	};
	static const char *const allowed[] = {
		".", "..", "null", "zero", "full", "random", "urandom", "tty", "pts", "ptmx", "shm", "fd", "stdin",
		"stdout", "stderr", "mqueue", "console", "core",
	};
	struct stat st;
	DIR *d = opendir("/dev");
	const struct dirent *e;
	int extra = 0;
	char row[64];

	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
		snprintf(row, sizeof(row), "dev-%s", gone[i]);
		TRY(row, lstat(in("/dev", gone[i]), &st));
	}
	while (d && (e = readdir(d))) {
		size_t i = 0;

		while (i < sizeof(allowed) / sizeof(allowed[0]) && strcmp(allowed[i], e->d_name))
			i++;
		if (i == sizeof(allowed) / sizeof(allowed[0])) {
			extra++;
			result("extra", "ok", "/dev/%s", e->d_name);
		}
	}
	if (!extra)
		result("extra", "none", "-");
	if (d)
		closedir(d);
}

static void file_handles(void)
{
	union {
		struct file_handle handle;
		char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = { .handle.handle_bytes = MAX_HANDLE_SZ };
	int mount_id, dir;
	const char *path = outside() ? need("out_dir") : "/etc";

	if (in_own_namespaces()) {
		TRY("prepare", mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
		path = "/tmp";
	}
	if (name_to_handle_at(AT_FDCWD, path, &u.handle, &mount_id, 0)) {
		/* refused already, or a file system without handles: the walk starts with a made-up root handle */
		u.handle.handle_bytes = 8;
		u.handle.handle_type = 1;
		memcpy(u.handle.f_handle, "\2\0\0\0\0\0\0\0", 8);
	}
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	TRY("open-by-handle", open_by_handle_at(dir, &u.handle, O_RDONLY | O_CLOEXEC));
	close(dir);
}

static void private_dirs(void)
{
	const char *mark = need("mark");
	char name[128];

	TRY("host-tmp", try_open(need("tmp_file"), O_RDONLY));
	TRY("host-home", try_open(in(need("home"), "note"), O_RDONLY));
	TRY("host-ssh", try_open(in(need("home"), ".ssh/id_ed25519"), O_RDONLY));
	TRY("host-shm", try_open(need("shm_file"), O_RDONLY));
	if (fact("run_file"))
		TRY("host-run", try_open(need("run_file"), O_RDONLY));
	if (outside())
		return;
	snprintf(name, sizeof(name), "/tmp/made-%s", mark);
	TRY("make-tmp", try_open(name, O_WRONLY | O_CREAT));
	snprintf(name, sizeof(name), "made-%s", mark);
	TRY("make-home", try_open(in(need("home"), name), O_WRONLY | O_CREAT));
	TRY("make-home-rc", try_open(in(need("home"), ".bashrc"), O_WRONLY | O_CREAT));
	snprintf(name, sizeof(name), "/dev/shm/made-%s", mark);
	TRY("make-shm", try_open(name, O_WRONLY | O_CREAT));
	snprintf(name, sizeof(name), "/var/tmp/made-%s", mark);
	TRY("make-var-tmp", try_open(name, O_WRONLY | O_CREAT));
}

static void file_owner(void)
{
	const char *file = in(need("work"), "owned");
	struct stat st;

	TRY("create", try_open(file, O_WRONLY | O_CREAT | O_EXCL));
	TRY("mkdir", mkdir(in(need("work"), "owned.d"), 0755));
	if (stat(file, &st))
		report("seen", -1);
	else
		result("seen", st.st_uid == getuid() && st.st_gid == getgid() ? "own" : "other", "%u:%u", st.st_uid,
		       st.st_gid);
	TRY("chown-other", chown(file, getuid() + 1, (gid_t)-1));
	TRY("chown-root", chown(file, getuid() ? 0 : 1, (gid_t)-1));
}

/* 0 is a file of the host opened for reading only, 3.. nothing; the rest of the rights must stay out of reach. */
static void reopen_stdin(void)
{
	TRY("write", write(0, "x", 1));
	TRY("reopen-write", try_open("/proc/self/fd/0", O_WRONLY));
	TRY("reopen-rdwr", try_open("/dev/stdin", O_RDWR));
	TRY("truncate", truncate("/proc/self/fd/0", 0));
}

static void directory_stdin(void)
{
	TRY("openat", try_openat(0, "secret", O_RDONLY));
	TRY("openat-up", try_openat(0, "../outside/secret", O_RDONLY));
	TRY("write", try_openat(0, "canary", O_WRONLY));
	TRY("create", try_openat(0, "made", O_WRONLY | O_CREAT));
	TRY("unlink", unlinkat(0, "canary3", 0));
	TRY("proc-path", try_open("/proc/self/fd/0/secret", O_RDONLY));
	if (fchdir(0))
		report("fchdir-open", -1);
	else
		TRY("fchdir-open", try_open("secret", O_RDONLY));
}

static void descriptors(void)
{
	if (fact("stdin_dir"))
		directory_stdin();
	else
		reopen_stdin();
}

static void double_chroot(void)
{
	const char *dir = in(need("work"), "sub");
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	TRY("chroot", chroot(dir));
	TRY("chroot-root", chroot("/"));
	TRY("fd-up", try_openat(fd, in("../../../..", in(need("out_dir"), "secret") + 1), O_RDONLY));
	close(fd);
}

const struct attempt fs_more_attempts[] = {
	{ 12, "set-uid-file", set_uid_file },
	{ 13, "device-nodes", device_nodes },
	{ 14, "dev-list", dev_list },
	{ 15, "file-handles", file_handles },
	{ 20, "private-dirs", private_dirs },
	{ 22, "file-owner", file_owner },
	{ 60, "stdio-reopen", descriptors },
	{ 66, "double-chroot", double_chroot },
	{ 0 },
};
