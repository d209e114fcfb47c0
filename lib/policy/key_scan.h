/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a credential stands in a configuration file. */
#ifndef NSBOX_POLICY_KEY_SCAN_H
#define NSBOX_POLICY_KEY_SCAN_H

#include <stdbool.h>
#include <stddef.h>

/* Whether this is the name of a file that programs keep settings in, and with them keys. */
bool is_configuration(const char *path);
/* Whether this file shows one; true also of what cannot be read, is no regular file, or is too large to be looked through. */
bool file_shows_key(int fd);
/* The same of its bytes. */
bool text_shows_key(const char *text, size_t len);

#endif
