/* SPDX-License-Identifier: Apache-2.0 */
/* Many sandboxes in one runtime, up to four at a time, every second one with a gateway. usage: many WORKDIR N */
#include <sandbox/sandbox.h>

#include <stdio.h>
#include <stdlib.h>

#define AT_ONCE 4

static sandbox_error *error;

static int start(sandbox_runtime *runtime, const char *workdir, const char *mode, sandbox **ret_box,
		 sandbox_call **ret_call)
{
	static const char *const argv[] = { "sh", "-c", "exit 9", NULL };
	sandbox_policy *policy = NULL;
	sandbox_command *command = NULL;
	int r = sandbox_policy_new(&policy, &error);

	if (r == 0)
		r = sandbox_policy_set_workdir(policy, workdir, 0, &error);
	if (r == 0)
		r = sandbox_policy_set(policy, "network", "mode", mode, NULL, &error);
	if (r == 0)
		r = sandbox_create(runtime, policy, ret_box, &error);
	if (r == 0)
		r = sandbox_command_new(argv, &command, &error);
	if (r == 0)
		r = sandbox_start(*ret_box, command, ret_call, &error);
	sandbox_command_free(command);
	sandbox_policy_free(policy);
	return r;
}

int main(int argc, char **argv)
{
	sandbox_runtime *runtime = NULL;
	sandbox *boxes[AT_ONCE] = { NULL };
	sandbox_call *calls[AT_ONCE] = { NULL };
	int n = argc == 3 ? atoi(argv[2]) : 0, made = 0, ended = 0, r = sandbox_runtime_new(&runtime, &error);

	for (int i = 0; r == 0 && i < n + AT_ONCE; i++) {
		int slot = i % AT_ONCE;
		if (calls[slot]) {
			r = sandbox_call_wait(calls[slot], 20000, &error);
			ended += r == 0 && sandbox_call_exit_status(calls[slot]) == 9;
		}
		sandbox_call_free(calls[slot]);
		sandbox_free(boxes[slot]);
		calls[slot] = NULL;
		boxes[slot] = NULL;
		if (r == 0 && i < n) {
			r = start(runtime, argv[1], i % 2 ? "gateway" : "none", &boxes[slot], &calls[slot]);
			made += r == 0;
		}
	}
	if (r < 0)
		fprintf(stderr, "%s\n", sandbox_error_message(error));
	printf("%d sandboxes, %d calls\n", made, ended);
	sandbox_error_free(error);
	sandbox_runtime_free(runtime);
	return made == n && ended == n ? 0 : 1;
}
