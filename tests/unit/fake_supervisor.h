/* SPDX-License-Identifier: Apache-2.0 */
/* A supervisor that runs nothing: the test program itself, started under the supervisor's name. What it does depends on
 * the name of the sandbox: "refuse..." and "crash..." are not made, "busy..." has a call that never ends, "untidy..."
 * leaves its files behind. */
#ifndef FAKE_SUPERVISOR_H
#define FAKE_SUPERVISOR_H

/* For the start of main(): does not return when the program was started as a supervisor. */
void fake_supervisor_main(char **argv);
/* A directory of helpers with it, made in dir. */
void fake_supervisor_install(const char *dir);

#endif
