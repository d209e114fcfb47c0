/* SPDX-License-Identifier: Apache-2.0 */
/* Loading the prebuilt seccomp filters. The lists are in seccomp_table.c, seccomp_gen.c compiles them at build time. */
#ifndef NSBOX_CONFINE_SECCOMP_H
#define NSBOX_CONFINE_SECCOMP_H

enum seccomp_profile {
	SECCOMP_CALL = 0, /* untrusted programs */
	SECCOMP_INIT,     /* nsbox-init once everything is mounted */
	SECCOMP_GATEWAY,  /* the gateway once it has its secrets */
	_SECCOMP_PROFILE_MAX
};

/* Needs no_new_privs. 0 or a negative errno. */
int seccomp_load(enum seccomp_profile profile);

#endif
