/* SPDX-License-Identifier: Apache-2.0 */
/* Who runs us, from the password database. */
#ifndef NSBOX_BASE_USER_H
#define NSBOX_BASE_USER_H

struct user {
	char *name, *home; /* home is absolute, or NULL */
};

/* The entry of the real uid. 0, -ENOENT, -ENOMEM. Clear with user_clear, also after a failure. */
int user_lookup(struct user *ret);
void user_clear(struct user *u);

#define _cleanup_user_ __attribute__((cleanup(user_clear)))

#endif
