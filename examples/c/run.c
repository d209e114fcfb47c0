/* SPDX-License-Identifier: Apache-2.0 */
/* Run a command in a sandbox that may reach one host: the shortest useful program with libsandbox. */
#include <sandbox/sandbox.h>

#include <stdio.h>

int main(int argc, char **argv)
{
	sandbox_runtime *runtime = NULL;
	sandbox_policy *policy = NULL;
	sandbox_command *command = NULL;
	sandbox_call *call = NULL;
	sandbox *box = NULL;
	sandbox_error *error = NULL;
	int status = 125;

	if (argc < 2)
		return status;
	if (sandbox_runtime_new(&runtime, &error) == 0 &&
	    sandbox_policy_new(&policy, &error) == 0 && /* the current directory, no network */
	    sandbox_policy_set(policy, "network", "allow", "https://api.example.com/v1/**", NULL, &error) == 0 &&
	    sandbox_create(runtime, policy, &box, &error) == 0 &&
	    sandbox_command_new((const char *const *)argv + 1, &command, &error) == 0 &&
	    sandbox_start(box, command, &call, &error) == 0 &&
	    sandbox_call_wait(call, -1, &error) == 0)
		status = sandbox_call_exit_signal(call) ? 128 + sandbox_call_exit_signal(call) :
							  sandbox_call_exit_status(call);
	else
		fprintf(stderr, "%s: %s\n", sandbox_stage_name(sandbox_error_stage(error)), sandbox_error_message(error));

	sandbox_call_free(call);
	sandbox_command_free(command);
	sandbox_free(box);
	sandbox_policy_free(policy);
	sandbox_runtime_free(runtime);
	sandbox_error_free(error);
	return status;
}
