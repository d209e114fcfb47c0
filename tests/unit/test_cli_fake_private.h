/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the fake libsandbox share. */
#ifndef TEST_CLI_FAKE_PRIVATE_H
#define TEST_CLI_FAKE_PRIVATE_H

#include <sandbox/sandbox.h>
#include <stdbool.h>
#include <sys/types.h>

struct sandbox_runtime {
	int fd;
	unsigned n_open;
};
struct sandbox {
	sandbox_runtime *runtime;
	const char *name;
};

int fake_failed(sandbox_error **error, int err, int stage, const char *message);
/* What is asked of sandboxes and calls, for those who look at stderr. */
void fake_show(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
