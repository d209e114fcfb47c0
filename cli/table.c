/* SPDX-License-Identifier: Apache-2.0 */
/* The table of subcommands. */
#include "nsbox.h"

const struct command *const commands[] = {
	&command_run,	&command_create, &command_exec,	 &command_call,	  &command_ls,	  &command_inspect, &command_kill,
	&command_rm,	&command_prune,	 &command_logs,	 &command_events, &command_cp,	   &command_check,
	&command_profile, &command_doctor,
	&command_audit, &command_grant,  &command_allow, &command_secret,	 &command_approve, &command_diff,   &command_commit, &command_discard, &command_snapshot,
	&command_rollback, &command_version, &command_help, &command_completion, &command_asker, NULL,
};
