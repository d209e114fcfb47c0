/* SPDX-License-Identifier: Apache-2.0 */
/* The root view under construction in nsbox-init, shared by the files that build it. Theory of operation: init.c. */
#ifndef NSBOX_NAMESPACE_ROOT_H
#define NSBOX_NAMESPACE_ROOT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "namespace/init_protocol.h"
#include "namespace/plan.h"

#define ROOT_MAX_TMPFS 64u
/* An inode costs about a kilobyte of kernel memory that the size of a tmpfs does not count. */
#define ROOT_INODES "500000"

struct root {
	int fd;    /* the new root, attached where the host's /proc was */
	int store; /* a directory of it that ends up below /proc, out of sight: private directories come from here */
	int empty_file, empty_dir;
	int pid_max; /* pid_ceiling.h */
	int inside; /* the program of calls that ask for calls, on the host; -ENOENT: not installed */
	int layer; /* where overlays keep what is written (root_overlay.c); -EBADF: there are none */
	unsigned stored;
	dev_t own[ROOT_MAX_TMPFS]; /* file systems where directories may be made: all others are the host's */
	size_t n_own;
};

/* root.c: the tmpfs, and moving into it. */
int root_make(struct root *root, struct error *e);
int root_enter(struct root *root, struct error *e);

/* root_dest.c */
/* O_PATH of the destination; made when missing, but only on a file system of our own. */
int root_dest(struct root *root, const char *path, bool is_dir, struct error *e);
/* Mount a detached tree there. Takes the tree over. */
int root_mount(struct root *root, int tree, const char *path, bool is_dir, struct error *e);
/* A new, private, writable directory there, within the bounds of the one tmpfs. */
int root_private_dir(struct root *root, const char *path, mode_t mode, struct error *e);
/* The empty file or directory over what fd refers to. */
int root_mask(struct root *root, int fd, const char *path, struct error *e);

/* root_system.c: /usr and its links, /dev, /proc, /sys. */
int root_add_system(struct root *root, struct error *e);
int root_add_dev(struct root *root, struct error *e);
int root_add_proc(struct root *root, struct error *e);

/* root_control.c: /run/nsbox, where calls ask for narrower ones: the control socket and the program. */
/* O_PATH of the program. While /proc is still the host's. */
int root_open_inside(void);
int root_add_control(struct root *root, int *ret_socket, struct error *e);

/* root_etc.c: /etc and what programs believe there. What depends on no plan comes first. */
int root_prepare_etc(struct root *root, struct error *e);
/* ret_trust: with NET_GATEWAY, files for the authorities that programs inside believe (O_RDWR), empty and in place. */
int root_add_etc(struct root *root, uint8_t net, int ret_trust[static INIT_TRUST], struct error *e);
/* root_etc_parts.c: over the layer, the host's /etc and the layer as an overlay would show them. */
int root_etc_parts(int layer);

/* root_overlay.c */
/* The directory that came as root->layer, opened by way of the own mount namespace. */
int root_open_layer(const struct root *root);
int root_add_overlay(struct root *root, const struct plan *plan, const struct plan_step *s, struct error *e);
/* root_hidden.c: what takes hidden names out of an overlay, to lie above the host's directory lower; dir: of the overlay in
 * the layer. *ret: -errno where nothing is hidden. */
int root_hidden(const struct plan *plan, const struct plan_step *overlay, int lower, int dir, int *ret);
/* The same for calls that see what the host has: into the empty directory mask, which gets mode and times of the host's.
 * How many names it takes out, or -errno. */
int root_hidden_committed(const struct plan *plan, const struct plan_step *overlay, int lower, int mask);
/* root_store.c: a mount namespace with what the overlays are made of (view.h), and a directory in it with each overlay,
 * by its number, without what is mounted in it. */
int root_store(const struct root *root, const struct plan *plan, int *ret, int *ret_working, struct error *e);

/* root_plan.c */
/* O_PATH of the host's object of a step; -ESTALE when it is another than the policy was checked with. */
int root_open_source(const struct plan_step *s, struct error *e);
int root_add_private(struct root *root, struct error *e);
int root_apply(struct root *root, const struct plan *plan, struct error *e);
/* The session's Landlock ruleset over the finished root; the caller has entered it. */
int root_ruleset(const struct plan *plan, int *ret, struct error *e);

#endif
