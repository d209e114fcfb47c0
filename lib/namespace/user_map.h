/* SPDX-License-Identifier: Apache-2.0 */
/* The id map of a new user namespace. */
#ifndef NSBOX_NAMESPACE_USER_MAP_H
#define NSBOX_NAMESPACE_USER_MAP_H

#include <sys/types.h>

/* Called in the new namespace by its first process: the given ids, as seen in the parent namespace, stay themselves. */
int user_map_self(uid_t uid, gid_t gid);

#endif
