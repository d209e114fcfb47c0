/* SPDX-License-Identifier: Apache-2.0 */
/* libsandbox in a node process, by N-API: run(workdir) makes a sandbox with a gateway and gives the exit status. */
#include <sandbox/sandbox.h>

#include <node_api.h>
#include <stdio.h>

static int run(const char *workdir)
{
	static const char *const argv[] = { "sh", "-c", "exit 42", NULL };
	sandbox_runtime *runtime = NULL;
	sandbox_policy *policy = NULL;
	sandbox *box = NULL;
	sandbox_command *command = NULL;
	sandbox_call *call = NULL;
	sandbox_error *error = NULL;
	int status = -1;

	if (sandbox_runtime_new(&runtime, &error) == 0 && sandbox_policy_new(&policy, &error) == 0 &&
	    sandbox_policy_set_workdir(policy, workdir, 0, &error) == 0 && sandbox_create(runtime, policy, &box, &error) == 0 &&
	    sandbox_command_new(argv, &command, &error) == 0 && sandbox_start(box, command, &call, &error) == 0 &&
	    sandbox_call_wait(call, 20000, &error) == 0)
		status = sandbox_call_exit_status(call);
	if (error)
		fprintf(stderr, "%s\n", sandbox_error_message(error));
	sandbox_error_free(error);
	sandbox_call_free(call);
	sandbox_command_free(command);
	sandbox_free(box);
	sandbox_policy_free(policy);
	sandbox_runtime_free(runtime);
	return status;
}

static napi_value js_run(napi_env env, napi_callback_info info)
{
	size_t n = 1, length;
	napi_value argument, result;
	char workdir[4096];

	napi_get_cb_info(env, info, &n, &argument, NULL, NULL);
	napi_get_value_string_utf8(env, argument, workdir, sizeof(workdir), &length);
	napi_create_int32(env, run(workdir), &result);
	return result;
}

NAPI_MODULE_INIT()
{
	napi_value function;

	napi_create_function(env, "run", NAPI_AUTO_LENGTH, js_run, NULL, &function);
	napi_set_named_property(env, exports, "run", function);
	return exports;
}
