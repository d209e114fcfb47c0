/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked into everything of a build with sanitizers: their options, since the helpers start with an empty environment.
 * No leak search: it needs ptrace, which the helpers close to themselves. A memory limit of a test must not stop ASan.
 */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
	return "detect_leaks=0:abort_on_error=1:handle_segv=0:disable_coredump=1:quarantine_size_mb=16";
}

const char *__ubsan_default_options(void)
{
	return "halt_on_error=1:abort_on_error=1:print_stacktrace=1";
}
