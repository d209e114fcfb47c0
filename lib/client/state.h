/* SPDX-License-Identifier: Apache-2.0 */
/* Where state lives: $XDG_STATE_HOME/nsbox (or ~/.local/state/nsbox) and the directory of the sockets, both 0700. */
#ifndef NSBOX_CLIENT_STATE_H
#define NSBOX_CLIENT_STATE_H

#include <stdbool.h>

#include "base/error.h"
#include "policy/policy.h"

int state_audit_dir(char **ret, struct error *e);
/* $XDG_RUNTIME_DIR/nsbox, or "run" in the state directory where there is none. Path only. */
int state_socket_path(char **ret, struct error *e);

/* New empty audit log: descriptor and path. */
int state_audit_open(const char *id, char **ret_path, struct error *e);

/*
 * The state directory, one in it, the directory of the sockets: a descriptor (O_PATH) after a check that nobody else
 * can write or read there. make: make it when it is missing, else -ENOENT.
 */
int state_open(bool make, struct error *e);
int state_open_in(int dir, const char *name, bool make, struct error *e);
int state_socket_open(const char *path, bool make, struct error *e);

/* Keep both directories out of view in a finished policy, or refuse one that grants something in them. make: also where
 * they are missing now and would be seen once they are made. */
int state_hide(struct policy *p, bool make, struct error *e);

#endif
