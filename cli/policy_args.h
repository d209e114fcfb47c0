/* SPDX-License-Identifier: Apache-2.0 */
/* The policy flags of run, create and check: collected first, applied in the order profiles and files, then single
 * settings. */
#ifndef NSBOX_CLI_POLICY_ARGS_H
#define NSBOX_CLI_POLICY_ARGS_H

#include <sandbox/sandbox.h>
#include <stdbool.h>
#include <stddef.h>

#include "options.h"

struct policy_arg {
	const struct option *option;
	const char *value;
};

struct policy_args {
	struct policy_arg *list;
	size_t n;
	const char *workdir;
	const char *const *command; /* what is to run, NULL: not known; its name may choose a profile */
	int workdir_force;
	bool again; /* what there is to say about them was said */
	int (*last)(sandbox_policy *policy, const void *arg); /* after all of them, NULL: nothing. 0 or EXIT_NSBOX (said) */
	const void *last_arg;
};

extern const struct option policy_options[];

/* The option just read. 0 or EXIT_NSBOX (said). */
int policy_args_take(struct policy_args *args, const struct option_reader *r);
/* Make the policy and print its warnings. 0 or EXIT_NSBOX (said). */
int policy_args_apply(const struct policy_args *args, sandbox_policy **ret_policy);
/* True unless --net says otherwise; policy files have not been looked into. */
bool policy_args_gateway(const struct policy_args *args);
void policy_args_free(struct policy_args *args);

/* env_file.c: call f with every line of an environment file that says something, "NAME=VALUE" or "NAME", and where it
 * was. 0 or EXIT_NSBOX (said). */
int env_file_each(const char *path, int (*f)(void *arg, const char *line, const char *origin), void *arg);

#endif
