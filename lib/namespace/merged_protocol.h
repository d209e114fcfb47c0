/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between client library and nsbox-merged: u32 type first, base/wire.h. Each is answered, in order: u32 errno; and
 * before any has come, whether there are the namespaces that all need. */
#ifndef NSBOX_NAMESPACE_MERGED_PROTOCOL_H
#define NSBOX_NAMESPACE_MERGED_PROTOCOL_H

#define MERGED_FDS 3u
#define MERGED_FDS_MAX 4u
#define MERGED_MAX 8192u /* bytes of a message */

enum merged_message {
	/* -; fds: the host's directory, upper and work of the layer, and its mask (namespace/root_hidden.c) when it has one.  answer: with a fd, the overlay of them */
	MERGED_MOUNT = 1,
	/* u32 root, str name, str path; fds: a directory with name in it, the directory of path, the top of that tree: copy it as
	 * copy_object() of overlay/copy.h does, whatever its mode says */
	MERGED_COPY = 2,
};

#endif
