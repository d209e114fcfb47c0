/* SPDX-License-Identifier: Apache-2.0 */
/* Doing something in other namespaces without leaving one's own. */
#ifndef NSBOX_NAMESPACE_ASIDE_H
#define NSBOX_NAMESPACE_ASIDE_H

/*
 * Run work(arg) in a child that shares memory and descriptors, and wait for it. The launcher could leave the host's
 * network namespace but never come back (it has no capability over it), and sandboxes with the host's network need it
 * there. Returns what work returned, or a negative errno; -ECHILD when it was killed.
 */
int aside(int (*work)(void *arg), void *arg);

#endif
