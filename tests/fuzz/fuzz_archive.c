/* SPDX-License-Identifier: Apache-2.0 */
/* Archives out of a sandbox: only the one tree is made, and nothing in it is set-user-ID or a link that leads out. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "archive.h"
#include "base/util.h"
#include "nsbox.h"
#include "fuzz.h"

/* In the place of message.c, which would write every refusal to stderr. */
void say(const char *fmt, ...) { (void)fmt; }
int refuse(const char *fmt, ...) { return fmt ? EXIT_NSBOX : 0; }

int write_all(int fd, const void *data, size_t len)
{
	return write(fd, data, len) == (ssize_t)len ? 0 : -1;
}

static char root[] = "/dev/shm/fuzz_archive.XXXXXX"; /* in memory: each input makes files */

static int look(const char *path, const struct stat *st, int type, struct FTW *at)
{
	char target[4096];

	CHECK(!(st->st_mode & 06000));
	if (type == FTW_SL) {
		ssize_t n = readlink(path, target, sizeof(target) - 1);
		CHECK(n > 0 && target[0] != '/' && at->level >= 2);
		target[n] = '\0';
		int up = 0;
		for (const char *t = target; strncmp(t, "../", 3) == 0; t += 3)
			up++;
		CHECK(up <= at->level - 2);
	}
	return 0;
}

static int drop(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	return at->level ? remove(path) : 0;
}

static unsigned entries(const char *path, const char *only)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	CHECK(d);
	for (struct dirent *e; (e = readdir(d));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		CHECK(strcmp(e->d_name, only) == 0);
		n++;
	}
	closedir(d);
	return n;
}

static void clean(void)
{
	char to[64];

	snprintf(to, sizeof(to), "%s/to", root);
	nftw(to, drop, 16, FTW_DEPTH | FTW_PHYS);
	rmdir(to);
	rmdir(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool made;
	char to[64];

	if (!made) {
		CHECK(mkdtemp(root));
		snprintf(to, sizeof(to), "%s/to", root);
		CHECK(mkdir(to, 0700) == 0 && atexit(clean) == 0);
		made = true;
	}
	snprintf(to, sizeof(to), "%s/to", root);
	_cleanup_close_ int in = memfd_create("archive", MFD_CLOEXEC), dir = open(to, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(in >= 0 && dir >= 0);
	/* Checksums come right, or nothing behind them would be reached. */
	for (size_t i = 0; i < size; i += ARCHIVE_BLOCK) {
		struct archive_header h = { 0 };
		size_t n = size - i < sizeof(h) ? size - i : sizeof(h);
		memcpy(&h, data + i, n);
		if (memcmp(h.magic, "ustar", 5) == 0)
			snprintf(h.checksum, sizeof(h.checksum), "%06o", archive_checksum(&h) & 0777777u);
		CHECK(write_all(in, &h, n) == 0);
	}
	lseek(in, 0, SEEK_SET);
	(void)archive_read(in, dir, "n", "t");
	CHECK(entries(root, "to") == 1 && entries(to, "n") <= 1);
	nftw(to, look, 16, FTW_PHYS);
	nftw(to, drop, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
