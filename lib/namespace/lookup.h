/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a path from the root without openat2, which the filter of a call takes away. */
#ifndef NSBOX_NAMESPACE_LOOKUP_H
#define NSBOX_NAMESPACE_LOOKUP_H

/* O_PATH of an absolute path, or a negative errno: -ELOOP when any part of it is a link, -EINVAL with "..". */
int lookup_without_links(const char *path);

#endif
