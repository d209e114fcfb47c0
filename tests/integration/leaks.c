/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes sandboxes and calls on demand, and lets the test look in between. usage: leaks WORKDIR; lines on stdin:
 *   calls N    in the one sandbox that stays, every tenth full, every seventh cancelled
 *   boxes N    made, used once, removed
 *   hold N     from now on so many idle ones
 *   mode M     of all sandboxes from now on; the one that stays is made anew
 * Each is answered with "ok MILLISECONDS", or a message.
 */
#include <sandbox/sandbox.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_HELD 2000
#define AT_ONCE 4

static sandbox_runtime *runtime;
static sandbox_policy *policy;
static sandbox_error *error;
static sandbox *stays, *held[MAX_HELD];
static int n_held;

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int failed(const char *what)
{
	printf("%s: %s\n", what, error ? sandbox_error_message(error) : "wrong");
	sandbox_error_free(error);
	error = NULL;
	return -1;
}

/* A few at a time; the events of each are pulled, as a host would. */
static int run_calls(sandbox *box, int n)
{
	static const char *const argv[] = { "sh", "-c", "exit 3", NULL }, *const sleeper[] = { "sleep", "9", NULL };
	sandbox_call *calls[AT_ONCE] = { NULL };
	sandbox_command *command;
	sandbox_event *event;

	for (int i = 0; i < n + AT_ONCE; i++) {
		sandbox_call **slot = &calls[i % AT_ONCE];
		int cancel = (i - AT_ONCE) % 7 == 6;
		if (*slot && cancel && sandbox_call_cancel(*slot, &error) < 0)
			return failed("cancel");
		if (*slot && (sandbox_call_wait(*slot, 30000, &error) < 0 ||
			      sandbox_call_exit_status(*slot) != (cancel ? 0 : 3)))
			return failed("wait");
		sandbox_call_free(*slot);
		*slot = NULL;
		while (sandbox_runtime_next_event(runtime, &event) == 0 && event)
			sandbox_event_free(event);
		if (i >= n)
			continue;
		if (sandbox_command_new(i % 7 == 6 ? sleeper : argv, &command, &error) < 0 ||
		    sandbox_command_set_stdio(command, SANDBOX_STDIO_NULL, SANDBOX_STDIO_PIPE, SANDBOX_STDIO_NULL) < 0 ||
		    (i % 10 == 9 && sandbox_command_set_isolation(command, "full", &error) < 0) ||
		    sandbox_start(box, command, slot, &error) < 0)
			return failed("start");
		sandbox_command_free(command);
	}
	return 0;
}

static int run_boxes(int n)
{
	for (int i = 0; i < n; i++) {
		sandbox *box;
		if (sandbox_create(runtime, policy, &box, &error) < 0)
			return failed("create");
		if (run_calls(box, i % 3) < 0)
			return -1;
		sandbox_free(box);
	}
	return 0;
}

static int hold(int n)
{
	for (; n_held < n && n_held < MAX_HELD; n_held++)
		if (sandbox_create(runtime, policy, &held[n_held], &error) < 0)
			return failed("create");
	while (n_held > n)
		sandbox_free(held[--n_held]);
	return 0;
}

static int set_mode(const char *mode)
{
	sandbox_free(stays);
	stays = NULL;
	if (sandbox_policy_set(policy, "network", "mode", mode, NULL, &error) < 0 ||
	    sandbox_create(runtime, policy, &stays, &error) < 0)
		return failed("mode");
	return 0;
}

int main(int argc, char **argv)
{
	char line[128], what[16], word[16];

	if (argc != 2 || sandbox_runtime_new(&runtime, &error) < 0 || sandbox_policy_new(&policy, &error) < 0 ||
	    sandbox_policy_set_workdir(policy, argv[1], 0, &error) < 0)
		return 2;
	while (fgets(line, sizeof(line), stdin) && sscanf(line, "%15s %15s", what, word) == 2) {
		double begin = now_ms();
		int r = strcmp(what, "mode") == 0  ? set_mode(word) :
			strcmp(what, "calls") == 0 ? run_calls(stays, atoi(word)) :
			strcmp(what, "boxes") == 0 ? run_boxes(atoi(word)) :
						     hold(atoi(word));
		if (r == 0)
			printf("ok %.0f\n", now_ms() - begin);
		fflush(stdout);
	}
	sandbox_runtime_free(runtime);
	sandbox_policy_free(policy);
	return 0;
}
