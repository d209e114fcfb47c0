/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of `nsbox cp` on their way, as a ustar archive of one tree. Theory of operation: inside, tar makes or reads
 * it, confined as every call. On the host it is made and read here, by descriptors only and without following a symbolic
 * link, since who wrote the tree may change it meanwhile, and who wrote the archive is not trusted.
 */
#ifndef NSBOX_CLI_ARCHIVE_H
#define NSBOX_CLI_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#define ARCHIVE_BLOCK 512u
#define ARCHIVE_DEPTH_MAX 128u
#define ARCHIVE_ENTRIES_MAX (1u << 20)
#define ARCHIVE_NAME_MAX 4095u /* of a path, and of what a link leads to */

/* POSIX.1-1988 with the ustar extension; of GNU's, the entries L and K before one, whose data is its long name or link. */
struct archive_header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6], version[2],
		user[32], group[32], major[8], minor[8], prefix[155], unused[12];
};
_Static_assert(sizeof(struct archive_header) == ARCHIVE_BLOCK, "a header is one block");

/* The sum of its bytes, those of the checksum taken as blanks. */
unsigned archive_checksum(const struct archive_header *h);

/* Say how many parts were left out; EXIT_NO, or 0 when there were none. */
int archive_end(unsigned long left_out);
/* Write what is called name in dir to out, as the tree called top. 0, EXIT_NO (parts were left out) or EXIT_NSBOX, said. */
int archive_write(int out, int dir, const char *name, const char *top);
/* Read the tree called top from in, and make it in dir under name. The same. */
int archive_read(int in, int dir, const char *name, const char *top);

#endif
