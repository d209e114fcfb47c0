/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking the user up. The file first: getpwuid() reads nsswitch.conf, asks nscd and loads modules, which costs a
 * start more than building its policy. Users of a directory service are still found by it.
 */
#include "base/user.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int take(const struct passwd *entry, struct user *ret)
{
	ret->name = strdup(entry->pw_name);
	ret->home = entry->pw_dir[0] == '/' ? strdup(entry->pw_dir) : NULL;
	return ret->name && (ret->home || entry->pw_dir[0] != '/') ? 0 : -ENOMEM;
}

int user_lookup(struct user *ret)
{
	struct passwd entry, *found = NULL;
	char text[4096];

	*ret = (struct user){ 0 };
	FILE *f = fopen("/etc/passwd", "re");
	while (f && fgetpwent_r(f, &entry, text, sizeof(text), &found) == 0) {
		if (entry.pw_uid == getuid()) {
			fclose(f);
			return take(&entry, ret);
		}
	}
	if (f)
		fclose(f);
	if (getpwuid_r(getuid(), &entry, text, sizeof(text), &found) != 0 || !found)
		return -ENOENT;
	return take(found, ret);
}

void user_clear(struct user *u)
{
	free(u->name);
	free(u->home);
	*u = (struct user){ 0 };
}
