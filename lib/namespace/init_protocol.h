/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between launcher and nsbox-init: u32 type first, base/wire.h. */
#ifndef NSBOX_NAMESPACE_INIT_PROTOCOL_H
#define NSBOX_NAMESPACE_INIT_PROTOCOL_H

#define INIT_SOCKET 3

/* What programs inside believe, in the order of their descriptors: the certificate bundle, and the key store of Java. */
enum init_trust { INIT_BUNDLE, INIT_KEY_STORE, INIT_TRUST };
#define INIT_MAX_FDS (2 + INIT_TRUST + 2) /* of INIT_READY */

enum init_message {
	/* l->i  u32 ceiling of processes (0: the default), bytes root plan (plan.h); fd: the layer, when the plan has
	 *       overlays */
	INIT_ROOT = 1,
	/* i->l  u8 failed, [error | -]; fds: Landlock ruleset of the session, unless calls share the host's network the
	 *       control socket, with a gateway those of init_trust; last, when the plan has overlays, the mount namespace of
	 *       their sources (view.h) and the directory of their working states, N of the N-th */
	INIT_READY = 2,
};

#endif
