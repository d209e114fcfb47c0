/* SPDX-License-Identifier: Apache-2.0 */
/* The form of the system call lists that seccomp_gen.c compiles. Used at build time and by the unit test only. */
#ifndef NSBOX_CONFINE_SECCOMP_TABLE_H
#define NSBOX_CONFINE_SECCOMP_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* What happens to a call. DONE: it returns 0, and nothing was done. */
enum verdict { VERDICT_ALLOW = 0, VERDICT_EPERM, VERDICT_ENOSYS, VERDICT_KILL, VERDICT_DONE };

/* (argument & mask) == or != value, on the low 32 bits: nearly every argument tested here is an int or a mask of low bits,
 * and the kernel drops the upper half too, so a test that looked at it could be passed by setting it. SECCOMP_HIGH(n) is
 * the upper half of a pointer. */
#define SECCOMP_HIGH(n) ((n) + 6)
enum test_op { TEST_NONE = 0, TEST_EQ, TEST_NE };
struct arg_test {
	enum test_op op;
	uint8_t arg;
	uint32_t mask, value;
};

#define MAX_TESTS 4
#define MAX_CLAUSES 12

/* The first clause whose tests all hold decides, else `otherwise`. A clause without tests ends the list. */
struct clause {
	enum verdict verdict;
	struct arg_test tests[MAX_TESTS];
};
struct arg_rule {
	const char *name;
	enum verdict otherwise;
	struct clause clauses[MAX_CLAUSES];
};

struct profile {
	const char *name;
	const char *const *allow, *const *deny; /* names, NULL at the end; deny is EPERM */
	const struct arg_rule *rules;
	size_t n_rules;
	enum verdict otherwise; /* calls in no list */
	enum verdict foreign;   /* another architecture's entry, x32 too */
};

extern const struct profile seccomp_profiles[];
extern const size_t seccomp_n_profiles;

#endif
