/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files, before the process gives up file access. */
#ifndef NSBOX_GATEWAY_FILE_H
#define NSBOX_GATEWAY_FILE_H

#include "base/buf.h"

/* A regular file, appended; -EFBIG when it is longer than max. */
int file_read(const char *path, size_t max, struct buf *out);
/* To the end of the descriptor. Memory that out has is used before it grows. */
int file_read_fd(int fd, size_t max, struct buf *out);

#endif
