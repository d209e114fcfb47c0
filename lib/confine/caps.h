/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities of the calling thread: keeping a few across an exec, and giving up all for good. */
#ifndef NSBOX_CONFINE_CAPS_H
#define NSBOX_CONFINE_CAPS_H

#include <stdbool.h>
#include <stddef.h>

/* Make these survive the next exec (inheritable and ambient). 0 or a negative errno. */
int caps_keep(const int *caps, size_t n);
/* Take one of the permitted capabilities into use, or out of it. 0 or a negative errno. */
int caps_use(int cap, bool on);
/*
 * Give up everything: securebits locked, bounding, ambient, inheritable, permitted and effective sets empty. Needs
 * CAP_SETPCAP in the current user namespace. 0 or a negative errno; after an error do not go on.
 */
int caps_drop_all(void);

#endif
