/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /etc: an overlay of our own layer on the host's, read-only. The layer holds whiteouts for what only the host needs and a
 * few files of its own. It is the directory that the overlay is then mounted on, so nothing of it is left in sight.
 * Where the host has mounts below /etc the same is put together without an overlay: root_etc_parts.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/addresses.h"
#include "base/key_stores.h"
#include "base/util.h"
#include "namespace/mount.h"
#include "namespace/root.h"
#include "policy/etc_hidden.h"
#include "policy/policy.h"

#define MAX_COPY 65536

/* The certificate bundles of the common distributions; those that exist are replaced by the gateway's. */
static const char *const bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/ssl/cert.pem",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/certs/ca-bundle.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
};

static int whiteout(int etc, const char *name)
{
	char dir[64], host[320];
	const char *slash = strchr(name, '/');

	/* Making one costs five times as much as looking. */
	snprintf(host, sizeof(host), "/etc/%s", name);
	if (faccessat(AT_FDCWD, host, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -errno;
	/* Directories above are made and merge with the host's. */
	while (slash) {
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - name), name);
		if (mkdirat(etc, dir, 0755) < 0 && errno != EEXIST)
			return -errno;
		slash = strchr(slash + 1, '/');
	}
	return mknodat(etc, name, S_IFCHR, 0) < 0 && errno != EEXIST ? -errno : 0;
}

/* For a caller that is the owner of the host's files, modes protect nothing: hide what not everybody may read. */
static int hide_private(int etc)
{
	DIR *dir = opendir("/etc");
	const struct dirent *d;
	struct stat st;
	int r = 0;

	if (!dir)
		return -errno;
	/* What cannot be looked at is not known to be harmless. */
	while (r == 0 && (errno = 0, d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		if (fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			r = errno == ENOENT ? 0 : -errno;
		else if (!S_ISLNK(st.st_mode) && !(st.st_mode & S_IROTH))
			r = whiteout(etc, d->d_name);
	}
	if (r == 0 && errno)
		r = -errno;
	closedir(dir);
	return r;
}

static int put_file(int etc, const char *name, const char *text, size_t len)
{
	_cleanup_close_ int fd = openat(etc, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	while (len) {
		ssize_t n = write(fd, text, len);
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

static int put_text(int etc, const char *name, const char *text)
{
	return put_file(etc, name, text, strlen(text));
}

/* On many hosts these are links to where the sandbox cannot look. */
static int copy_host(int etc, const char *name)
{
	static char text[MAX_COPY];
	char path[64];
	size_t len = 0;

	snprintf(path, sizeof(path), "/etc/%s", name);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	while (fd >= 0 && len < sizeof(text)) {
		ssize_t n = read(fd, text + len, sizeof(text) - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	return put_file(etc, name, text, len);
}

int root_prepare_etc(struct root *root, struct error *e)
{
	_cleanup_close_ int etc = openat(root->fd, "etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = etc < 0 ? -errno : getuid() == 0 ? hide_private(etc) : 0;

	for (size_t i = 0; i < ARRAY_LEN(etc_hidden) && r == 0; i++)
		r = whiteout(etc, etc_hidden[i]);
	if (r == 0)
		r = put_text(etc, "hostname", "nsbox\n");
	if (r == 0)
		r = put_text(etc, "nsswitch.conf",
			     "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\nprotocols: files\n"
			     "services: files\nethers: files\nrpc: files\n");
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, "/etc", "cannot prepare /etc") : 0;
}

static int put_names(int etc, uint8_t net)
{
	if (net == NET_HOST) {
		int r = copy_host(etc, "resolv.conf");
		return r < 0 ? r : copy_host(etc, "hosts");
	}
	int r = put_text(etc, "hosts", "127.0.0.1 localhost nsbox\n::1 localhost ip6-localhost ip6-loopback\n");
	return r < 0 ? r : put_text(etc, "resolv.conf", net == NET_GATEWAY ? "nameserver " GATEWAY_ADDR_TEXT "\n" : "");
}

/*
 * What is believed is written by the gateway after all this, so it lies on the host's files as a mount: a file that changes
 * below an overlay is undefined there. It is opened through a mount of its own (away), since a writer would keep the
 * root from becoming read-only.
 */
static int add_trusted(struct root *root, int away, const char *name, const char *const *places, size_t n, struct error *e)
{
	fd_close(openat(root->store, name, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0644));
	_cleanup_close_ int source = openat(root->store, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_close_ int fd = openat(away, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (source < 0 || fd < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_MOUNT, "/etc/ssl/certs", "cannot make the %s", name);

	for (size_t i = 0; i < n; i++) {
		/* A link leads to another one of the list. */
		_cleanup_close_ int dest = open_in(root->fd, places[i], false);
		if (dest == -ENOENT || dest == -ELOOP || dest == -ENOTDIR)
			continue;
		_cleanup_close_ int tree = dest < 0 ? dest : tree_clone(source, MOUNT_SAFE | MOUNT_ATTR_RDONLY, false);
		int r = tree < 0 ? tree : tree_attach(tree, dest);
		if (r < 0)
			return fail_errno(e, -r, SANDBOX_STAGE_MOUNT, places[i], "cannot mount %s", places[i]);
	}
	return TAKE_FD(fd);
}

static int add_trust(struct root *root, int *ret, struct error *e)
{
	const char *key_store;

	/* While / is the host's. */
	int r = key_store_of_host(&key_store);
	_cleanup_close_ int away = r < 0 ? r : tree_clone(root->store, MOUNT_SAFE, false);
	if (away < 0)
		return fail_errno(e, -away, SANDBOX_STAGE_MOUNT, "/etc/ssl/certs", "cannot make the list of authorities");
	ret[INIT_BUNDLE] = add_trusted(root, away, "certificate bundle", bundles, ARRAY_LEN(bundles), e);
	if (ret[INIT_BUNDLE] < 0)
		return ret[INIT_BUNDLE];
	ret[INIT_KEY_STORE] = add_trusted(root, away, "key store", &key_store, key_store != NULL, e);
	return ret[INIT_KEY_STORE] < 0 ? ret[INIT_KEY_STORE] : 0;
}

int root_add_etc(struct root *root, uint8_t net, int ret_trust[static INIT_TRUST], struct error *e)
{
	static const char *const options[] = { "lowerdir", "etc:/etc", "userxattr", NULL, NULL };

	_cleanup_close_ int etc = openat(root->fd, "etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = etc < 0 ? -errno : put_names(etc, net);
	/* The overlay takes its lower directories as paths: ours is relative to the root. */
	if (r == 0 && fchdir(root->fd) < 0)
		r = -errno;
	_cleanup_close_ int tree = r < 0 ? r : tree_new("overlay", options, MOUNT_SAFE | MOUNT_ATTR_RDONLY);
	if (chdir("/") < 0)
		r = -errno;
	if (r == 0)
		r = tree == -EINVAL ? root_etc_parts(etc) : tree < 0 ? tree : tree_attach(tree, etc);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_MOUNT, "/etc", "cannot make /etc of the host's, without what is hidden");
	return net == NET_GATEWAY ? add_trust(root, ret_trust, e) : 0;
}
