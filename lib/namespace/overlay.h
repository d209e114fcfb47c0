/* SPDX-License-Identifier: Apache-2.0 */
/* Making overlays. */
#ifndef NSBOX_NAMESPACE_OVERLAY_H
#define NSBOX_NAMESPACE_OVERLAY_H

/*
 * A detached overlay of three directories, which must be of mounts of the own namespace: its descriptor, or a negative
 * errno. mask: of root_hidden.c, or
 * -EBADF. proc: where /proc is ("proc" for one below the current directory). The kernel writes into upper and work as whoever
 * made it, so CAP_DAC_OVERRIDE, if it is in effect, counts: work/work has mode 000, and marks go to files that
 * their owner made read-only.
 */
int overlay_new(const char *proc, int mask, int lower, int upper, int work);
/* One that nothing can be written in, of at least two directories, the uppermost first; a negative one is left out. */
#define OVERLAY_LOWERS 3u
int overlay_read_only(const int lowers[OVERLAY_LOWERS]);

#endif
