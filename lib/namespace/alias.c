/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One tree may be mounted at several places: by the host, or by a policy that names both. What is covered at one would
 * still be there at the others. The kernel says of each mount which directory of its file system is its root, so
 * the place of an object under each of them can be computed, and is then looked up.
 */
#include "namespace/alias.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/util.h"
#include "namespace/mount.h"
#include "namespace/plan_path.h"

/* \ooo stands for a byte that would end the word. */
static void unescape(char *word)
{
	char *to = word;

	while (*word) {
		if (word[0] == '\\' && word[1] >= '0' && word[1] <= '3' && word[2] && word[3]) {
			*to++ = (char)((word[1] - '0') << 6 | (word[2] - '0') << 3 | (word[3] - '0'));
			word += 4;
		} else {
			*to++ = *word++;
		}
	}
	*to = '\0';
}

/* ID PARENT MAJOR:MINOR ROOT PLACE ... */
int mount_next(FILE *in, struct mount_line *m)
{
	size_t size = 0;
	char *rest = NULL;

	free(TAKE_PTR(m->line));
	if (getline(&m->line, &size, in) < 0)
		return ferror(in) ? -EIO : 0;
	const char *id = strtok_r(m->line, " ", &rest), *parent = strtok_r(NULL, " ", &rest);
	m->device = strtok_r(NULL, " ", &rest);
	m->root = strtok_r(NULL, " ", &rest);
	m->place = strtok_r(NULL, " ", &rest);
	if (!id || !parent || !m->place)
		return -EPROTO;
	m->id = strtoull(id, NULL, 10);
	unescape(m->root);
	unescape(m->place);
	return 1;
}

/* What of path is behind dir, which may be "/"; NULL: it does not lie there. */
static const char *behind(const char *path, const char *dir)
{
	if (strcmp(dir, "/") == 0)
		return strcmp(path, "/") == 0 ? "" : path;
	return path_is_at_or_below(path, dir) ? path + strlen(dir) : NULL;
}

static int join(const char *dir, const char *rest, char **ret)
{
	return asprintf(ret, "%s%s", strcmp(dir, "/") == 0 ? "" : dir, rest) < 0 ? -ENOMEM : 0;
}

static int locate(FILE *in, struct mount_line *m, int fd, const char *path, struct located *ret)
{
	struct statx stx;
	struct stat st;
	int r;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!(stx.stx_mask & STATX_MNT_ID))
		return -EOPNOTSUPP;
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	rewind(in);
	while ((r = mount_next(in, m)) > 0) {
		if (m->id != stx.stx_mnt_id)
			continue;
		const char *rest = behind(path, m->place);
		ret->device = strdup(m->device);
		return !rest ? -ESTALE : !ret->device ? -ENOMEM : join(m->root, rest, &ret->inside);
	}
	return r < 0 ? r : -ESTALE;
}

int alias_locate(FILE *mountinfo, int fd, const char *path, struct located *ret, struct error *e)
{
	struct mount_line m = { 0 };

	int r = locate(mountinfo, &m, fd, path, ret);
	free(m.line);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, path, "cannot find where %s lies in its file system", path) : 0;
}

void located_done(struct located *l)
{
	free(TAKE_PTR(l->device));
	free(TAKE_PTR(l->inside));
}

/* 1: what is seen there is the object itself, or (part) the root of this mount; and it can be written, if asked for. */
static int shows(const struct mount_line *m, int root, const char *place, const struct located *l, bool part, bool writable)
{
	struct statx stx;
	struct statvfs vfs;
	struct stat st;
	_cleanup_close_ int fd = open_in(root, place, false);

	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0 || fstatvfs(fd, &vfs) < 0 ||
	    statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0)
		return fd < 0 ? fd : -errno;
	bool seen = part ? stx.stx_mnt_id == m->id : st.st_dev == l->dev && st.st_ino == l->ino;
	return seen && (!writable || !(vfs.f_flag & ST_RDONLY));
}

/* Under this mount: 1 and the place, 0, or a negative errno. */
static int check_mount(const struct mount_line *m, int root, const struct located *l, const char *path, bool writable,
		       char **ret)
{
	const char *rest = behind(l->inside, m->root);
	/* Its root is the object or lies above it; or in it, and then it shows a part. */
	bool part = !rest && behind(m->root, l->inside);

	if (strcmp(m->device, l->device) != 0 || (!rest && !part))
		return 0;
	int r = join(m->place, rest ? rest : "", ret);
	if (r == 0 && !behind(*ret, path))
		r = shows(m, root, *ret, l, part, writable);
	if (r <= 0)
		free(TAKE_PTR(*ret));
	return r;
}

int alias_refuse(FILE *mountinfo, int root, const struct located *l, const char *path, bool writable, struct error *e)
{
	_cleanup_free_ char *place = NULL;
	struct mount_line m = { 0 };
	int r, found = 0;

	rewind(mountinfo);
	while ((r = mount_next(mountinfo, &m)) > 0 && found == 0)
		found = check_mount(&m, root, l, path, writable, &place);
	free(m.line);
	if (r < 0 || found < 0)
		return fail_errno(e, r < 0 ? -r : -found, SANDBOX_STAGE_MOUNT, path,
				  "cannot find where else the sandbox shows %s", path);
	return found == 0 ? 0 :
			    fail(e, EBUSY, SANDBOX_STAGE_MOUNT, path,
				 "the sandbox shows what is at %s, or a part of it, at %s too: name that place as well, or "
				 "leave it out of the policy",
				 path, place);
}
