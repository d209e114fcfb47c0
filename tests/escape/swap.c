/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempt 7. usage: swap WORK OUTSIDE PROBE STARTS
 * Starts sandboxes while another process exchanges WORK/flip, a directory, and WORK/link, a symbolic link to OUTSIDE.
 * Each sandbox gets something mounted below WORK/flip: a tmpfs, a read-only or a writable directory, or
 * a protected one. A start may fail; one that succeeds must show and write what lies in WORK. Prints the counts.
 */
#include <sandbox/sandbox.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static sandbox_error *error;

static pid_t flip(const char *work)
{
	char a[512], b[512];
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(a, sizeof(a), "%s/flip", work);
	snprintf(b, sizeof(b), "%s/link", work);
	/* Bursts, and pauses about as long as a start, so that each step of it sees both, and some starts get through. */
	for (unsigned i = 0, seed = 1;; i++) {
		renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
		if (rand_r(&seed) % 16 == 0)
			usleep((useconds_t)rand_r(&seed) % 12000);
	}
}

/* 0: right, 1: something of outside was there, 2: refused, -1: the test is broken. */
static int once(sandbox_runtime *runtime, const char *work, const char *probe, int kind)
{
	static const char *const keys[] = { "tmpfs", "read", "write", "protect" };
	char path[512];
	const char *argv[] = { probe, "@look", path, keys[kind], NULL };
	sandbox_policy *policy = NULL;
	sandbox_command *command = NULL;
	sandbox *box = NULL;
	sandbox_call *call = NULL;
	int result = -1;

	snprintf(path, sizeof(path), "%s/flip/x", work);
	if (!sandbox_policy_new(&policy, &error) && !sandbox_policy_set_workdir(policy, work, 0, &error) &&
	    !sandbox_policy_set(policy, "network", "mode", "none", NULL, &error) &&
	    !sandbox_command_new(argv, &command, &error) && !sandbox_command_set_stdio(command, -1, 1, 2)) {
		result = 2;
		if (!sandbox_policy_set(policy, "filesystem", keys[kind], path, NULL, &error) &&
		    !sandbox_create(runtime, policy, &box, &error) && !sandbox_start(box, command, &call, &error)) {
			result = -1;
			if (!sandbox_call_wait(call, 20000, &error))
				result = sandbox_call_exit_status(call);
		}
	}
	if (result == 2) { /* its text says which object was in the way */
		const char *why = error ? sandbox_error_message(error) : "";

		if (!strstr(why, "flip") && !strstr(why, "replaced"))
			fprintf(stderr, "refused: %s\n", why);
	} else if (result < 0 && error) {
		fprintf(stderr, "%s\n", sandbox_error_message(error));
	}
	sandbox_call_free(call);
	sandbox_free(box);
	sandbox_command_free(command);
	sandbox_policy_free(policy);
	sandbox_error_free(error);
	error = NULL;
	return result;
}

int main(int argc, char **argv)
{
	sandbox_runtime *runtime = NULL;
	int counts[4] = { 0 }, starts = argc == 5 ? atoi(argv[4]) : 0;

	if (!starts || sandbox_runtime_new(&runtime, &error))
		return 2;
	pid_t attacker = flip(argv[1]);
	for (int i = 0; i < starts; i++) {
		int r = once(runtime, argv[1], argv[3], i % 4);

		counts[r >= 0 && r <= 2 ? r : 3]++;
	}
	kill(attacker, SIGKILL);
	waitpid(attacker, NULL, 0);
	sandbox_runtime_free(runtime);
	printf("right %d outside %d refused %d broken %d\n", counts[0], counts[1], counts[2], counts[3]);
	return counts[1] || counts[3] ? 1 : 0;
}
