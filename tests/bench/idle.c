/* SPDX-License-Identifier: Apache-2.0 */
/* Makes idle sandboxes on demand: each line on stdin is how many there shall be; answers "ok" when they are there.
 * usage: idle WORKDIR none|gateway */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sandbox/sandbox.h>

int main(int argc, char **argv)
{
	sandbox_error *error = NULL;
	sandbox_runtime *runtime;
	sandbox_policy *policy;
	unsigned long have = 0, want;
	sandbox *box;

	if (argc != 3 || sandbox_runtime_new(&runtime, &error) < 0 || sandbox_policy_new(&policy, &error) < 0 ||
	    sandbox_policy_set_workdir(policy, argv[1], 0, &error) < 0 ||
	    sandbox_policy_set(policy, "network", "mode", argv[2], NULL, &error) < 0)
		return 1;
	while (scanf("%lu", &want) == 1) {
		/* Never freed: the runtime ends them all. */
		for (; have < want; have++) {
			if (sandbox_create(runtime, policy, &box, &error) < 0) {
				fprintf(stderr, "idle: %s\n", sandbox_error_message(error));
				return 1;
			}
		}
		sleep(1);
		printf("ok\n");
		fflush(stdout);
	}
	sandbox_runtime_free(runtime);
	return 0;
}
