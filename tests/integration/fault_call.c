/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One sandbox and calls in it through the API, for the fault tests. Prints one line for each step:
 * "STEP ok STATUS" or "STEP failed ERRNO STAGE OBJECT: MESSAGE".
 * usage: fault_call WORKDIR MODE ISOLATION WHEN COMMAND...
 *
 * WHEN "start": faults are armed after the sandbox has been made and nothing is prepared, so that they meet the start
 * of the call; then a second call follows, which must work. "all": from the beginning.
 */
#include <sandbox/sandbox.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MARK 0x6e73626f /* fault_inject.c */

static sandbox_error *error;

static int step(const char *name, int r)
{
	if (r < 0) {
		printf("%s failed %d %s %s: %s\n", name, sandbox_error_errno(error),
		       sandbox_stage_name(sandbox_error_stage(error)), sandbox_error_object(error),
		       sandbox_error_message(error));
		sandbox_error_free(error);
		error = NULL;
	}
	return r;
}

static int run(sandbox *box, const char *const *argv, const char *isolation, const char *name)
{
	sandbox_command *command = NULL;
	sandbox_call *call = NULL;

	int r = sandbox_command_new(argv, &command, &error);
	if (r == 0)
		r = sandbox_command_set_isolation(command, isolation, &error);
	if (r == 0)
		r = sandbox_command_set_stdio(command, SANDBOX_STDIO_NULL, 1, 2);
	if (r == 0)
		r = sandbox_start(box, command, &call, &error);
	if (r == 0)
		r = sandbox_call_wait(call, 15000, &error);
	if (r == 0)
		printf("%s ok %d %d\n", name, sandbox_call_exit_status(call), sandbox_call_exit_signal(call));
	else
		step(name, r);
	sandbox_call_free(call);
	sandbox_command_free(command);
	return r;
}

int main(int argc, char **argv)
{
	sandbox_runtime *runtime = NULL;
	sandbox_policy *policy = NULL;
	sandbox *box = NULL;

	if (argc < 6)
		return 96;
	const char *const *command = (const char *const *)(argv + 5);
	int late = strcmp(argv[4], "start") == 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	int r = step("runtime", sandbox_runtime_new(&runtime, &error));
	if (r == 0)
		r = step("policy", sandbox_policy_new(&policy, &error));
	if (r == 0)
		r = step("workdir", sandbox_policy_set_workdir(policy, argv[1], 0, &error));
	if (r == 0)
		r = step("mode", sandbox_policy_set(policy, "network", "mode", argv[2], NULL, &error));
	if (r == 0)
		r = step("create", sandbox_create(runtime, policy, &box, &error));
	if (r == 0 && late)
		r = step("pool", sandbox_set_pool(box, 0, &error));
	if (r == 0 && late)
		close(MARK);
	if (r == 0) {
		r = run(box, command, argv[3], "call");
		if (late)
			run(box, command, argv[3], "again");
	}
	sandbox_free(box);
	sandbox_policy_free(policy);
	sandbox_runtime_free(runtime);
	return r < 0 ? 95 : 0;
}
