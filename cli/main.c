/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nsbox: the command line of libsandbox.
 *
 * Theory of operation. A table of subcommands, one file each; of the sandbox it uses nothing but the public API
 * (lib/base is linked for its buffers only), so everything it can do, a program with the library can do. Options come
 * from tables (options.h) that --help and the shell completion are made from too. stdout belongs to the command that
 * runs, or to the answer that was asked for; all that nsbox itself has to say goes to stderr.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nsbox.h"

int main(int argc, char **argv)
{
	char version[] = "version";

	if (argc > 1 && strcmp(argv[1], "--version") == 0)
		argv[1] = version;
	int status = commands_run(argc > 0 ? argc - 1 : 0, argv + 1);
	/* An answer that did not reach its file is no answer. */
	if (fflush(stdout) != 0 || ferror(stdout))
		return refuse("cannot write to standard output: %s", strerrordesc_np(errno));
	return status;
}
