/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox-inside: what sandboxes have as nsbox. Of the subcommands those that a call can use, in one static program,
 * since inside there are neither our library nor the place where it is installed. */
#include <errno.h>

#include "base/user.h"
#include "nsbox.h"
#include "policy/idna.h"

const struct command *const commands[] = { &command_call, &command_watch, &command_help, NULL };

/* A static program that loads modules of another C library's version breaks in strange ways. So it converts no names
 * with letters beyond ASCII, and does not ask the user database: HOME is always set inside. */
int idna_to_a_label(const char *utf8, char ret[256])
{
	(void)utf8;
	(void)ret;
	return -ELIBACC;
}

int user_lookup(struct user *ret)
{
	*ret = (struct user){ 0 };
	return -ENOENT;
}

void user_clear(struct user *user)
{
	(void)user;
}
