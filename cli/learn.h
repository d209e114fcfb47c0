/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox run --learn: what a command used and did not get, as a proposal for its policy. See learn.c. */
#ifndef NSBOX_CLI_LEARN_H
#define NSBOX_CLI_LEARN_H

#include <jansson.h>
#include <sandbox/sandbox.h>
#include <stdbool.h>
#include <stddef.h>

#include "asking.h"
#include "base/buf.h"
#include "policy_args.h"

/* What else is to be told of a run that is learned from. */
#define LEARN_EVENTS ",http.request,net.allow,secret.use,approval.decided"

#define LEARN_MAX_LINES 256u /* that are proposed in one section, and as many that are only named */

/* A line of the file: `key = value`, or with no key a remark. */
struct proposal {
	const char *key;
	char *value, *reason;
};

struct proposals {
	struct proposal *list;
	size_t n, left_out;
};

struct learn {
	const char *file;      /* to be written */
	const char *workdir;   /* as given, NULL: the current directory */
	char *const *command;
	char *effective;       /* the policy of the run, as sandbox_policy_dump() gives it */
	char *record;	       /* inside: what nsbox watch writes down */
	char **argv;	       /* the command with nsbox watch before it; owns no word */
	json_t *rules;	       /* object: the rules ("read ~/x", "*.example.com") and secrets that were used */
	struct proposals paths, network;
	struct asking asking;  /* answers NULL: what no rule allows is denied and recorded, without a question */
};

/* Before the policy is made: may the file be written, and the workspace as an overlay. 0 or EXIT_NSBOX (said). */
int learn_begin(struct learn *learn, struct policy_args *args);
/* The command with who watches it. The same. */
int learn_prepare(struct learn *learn, sandbox_policy *policy, char **argv);
/* When it has ended: what it used, and then the file. The same. */
int learn_end(struct learn *learn, sandbox *box, sandbox_policy *policy, const json_t *used, const json_t *denied);
void learn_free(struct learn *learn);

/* learn_ask.c: after learn_prepare(), that a person is asked about requests that the policy has no rule for: the policy
 * for the sandbox instead, or NULL where there is no gateway. 0 or EXIT_NSBOX (said). */
int learn_ask(struct learn *learn, struct policy_args *args, sandbox_policy **ret_policy);
/* With that one: for the command no more than the run's policy has. The same. */
int learn_ask_command(const struct learn *learn, sandbox_command *command);

/* The value, whose ownership goes over (NULL: no memory), for a key (NULL: a remark). A list that is full counts. */
void propose(struct proposals *list, const char *key, char *value, const char *reason);
/* Whether a policy takes it, all by itself. */
bool learn_is_line(const struct learn *learn, const char *section, const char *key, const char *value);
/* learn_paths.c: from records of nsbox watch. */
void learn_paths(struct learn *learn, sandbox_policy *policy, const char *records, size_t len);
/* learn_network.c: from denials. */
void learn_network(struct learn *learn, const json_t *denied);
/* learn_secrets.c: whether credentials are likely to be at this absolute path, or below it; true also when there is too
 * much below it to be looked through. */
bool learn_is_secret(const char *path, const char *home);
bool learn_holds_secrets(const char *directory, const char *home);
/* Whether the host may execute, or take orders from, what is written there. */
bool learn_is_executed(const char *path, const char *home);
/* learn_file.c: the file as it is to be. */
int learn_text(const struct learn *learn, struct buf *out);

#endif
