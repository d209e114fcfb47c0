/* SPDX-License-Identifier: Apache-2.0 */
/* Names with letters beyond ASCII. A file of its own, since programs that can load no library have another one. */
#ifndef NSBOX_POLICY_IDNA_H
#define NSBOX_POLICY_IDNA_H

/* The name in ASCII (A-labels). -ELIBACC without the library that knows, -EINVAL when it is no name. */
int idna_to_a_label(const char *utf8, char ret[256]);

#endif
