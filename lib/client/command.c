/* SPDX-License-Identifier: Apache-2.0 */
/* Commands: what a call is to run, built step by step. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "client/client.h"

static int publish(sandbox_error **error, int err, const char *object, const char *text)
{
	struct error e;
	fail(&e, err, SANDBOX_STAGE_USAGE, object, "%s", text);
	return error_publish(&e, error);
}

int sandbox_command_new(const char *const *argv, sandbox_command **ret_command, sandbox_error **error)
{
	size_t n = strv_len((char *const *)argv);

	if (n == 0 || !*argv[0])
		return publish(error, EINVAL, "argv", "a command needs at least a non-empty name");
	struct sandbox_command *c = calloc(1, sizeof(*c));
	char **copy = calloc(n + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < n; i++) {
		copy[i] = strdup(argv[i]);
		if (!copy[i]) {
			strv_free(copy);
			copy = NULL;
		}
	}
	if (!c || !copy) {
		free(c);
		strv_free(copy);
		return publish(error, ENOMEM, "argv", "out of memory");
	}
	c->argv = copy;
	for (int i = 0; i < 3; i++)
		c->stdio[i] = i;
	*ret_command = c;
	return 0;
}

void sandbox_command_free(sandbox_command *command)
{
	if (!command)
		return;
	strv_free(command->argv);
	strv_free(command->env);
	free(command->cwd);
	buf_free(&command->grant);
	free(command->template);
	free(command);
}

int sandbox_command_set_stdio(sandbox_command *command, int in, int out, int err)
{
	if (in < SANDBOX_STDIO_PIPE || out < SANDBOX_STDIO_LOG || err < SANDBOX_STDIO_LOG)
		return -EINVAL;
	command->stdio[0] = in;
	command->stdio[1] = out;
	command->stdio[2] = err;
	command->terminal = false;
	return 0;
}

int sandbox_command_set_terminal(sandbox_command *command, unsigned rows, unsigned columns)
{
	if (rows > UINT16_MAX || columns > UINT16_MAX)
		return -EINVAL;
	command->terminal = true;
	command->rows = rows;
	command->columns = columns;
	return 0;
}

int sandbox_command_set_directory(sandbox_command *command, const char *path, sandbox_error **error)
{
	if (path[0] != '/')
		return publish(error, EINVAL, path, "the directory of a command must be an absolute path inside the sandbox");
	char *copy = strdup(path);
	if (!copy)
		return publish(error, ENOMEM, path, "out of memory");
	free(command->cwd);
	command->cwd = copy;
	return 0;
}

int sandbox_command_set_env(sandbox_command *command, const char *name, const char *value, sandbox_error **error)
{
	size_t n = strv_len(command->env);

	if (!*name || strchr(name, '='))
		return publish(error, EINVAL, name, "the name of an environment variable must not be empty or hold '='");
	char **env = reallocarray(command->env, n + 2, sizeof(*env));
	if (env)
		command->env = env;
	if (!env || asprintf(&env[n], "%s=%s", name, value) < 0) {
		if (env)
			env[n] = NULL;
		return publish(error, ENOMEM, name, "out of memory");
	}
	env[n + 1] = NULL;
	return 0;
}

int sandbox_command_set_isolation(sandbox_command *command, const char *isolation, sandbox_error **error)
{
	bool full = strcmp(isolation, "full") == 0;

	if (!full && strcmp(isolation, "light") != 0)
		return publish(error, EINVAL, isolation, "the isolation of a call is \"light\" or \"full\"");
	command->full = full;
	return 0;
}

int sandbox_command_set_timeout(sandbox_command *command, unsigned long milliseconds)
{
	if (__builtin_mul_overflow((uint64_t)milliseconds, (uint64_t)1000, &command->timeout_us))
		return -EINVAL;
	return 0;
}

int sandbox_command_set_background(sandbox_command *command, int background)
{
	command->background = background != 0;
	return 0;
}

int sandbox_command_set_detached(sandbox_command *command, int detached)
{
	command->detached = detached != 0;
	return 0;
}

int sandbox_command_set_last(sandbox_command *command, int last)
{
	command->last = last != 0;
	command->drops = last == SANDBOX_LAST_DROPS;
	return 0;
}
