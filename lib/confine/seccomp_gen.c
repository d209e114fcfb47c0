/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles the lists of seccomp_table.c to BPF, at build time: seccomp_gen PROFILE... writes a header with one array a
 * profile for each architecture.
 *
 * libseccomp gives the system call numbers of both architectures. Its own code generator is not used: it cannot say
 * "EPERM unless one of these combinations of arguments" beside a different default. Here numbers with the same verdict
 * become ranges and the ranges a binary tree, because loading a filter costs what running it once per number costs.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confine/seccomp_table.h"

#define MAX_NUMBER 1024
#define MAX_CODE 2048
#define X32_BIT 0x40000000u

struct range {
	unsigned from;
	enum verdict verdict;
	const struct arg_rule *rule;
};

struct code {
	struct sock_filter op[MAX_CODE];
	size_t n;
};

static void die(const char *what, const char *name)
{
	fprintf(stderr, "seccomp_gen: %s: %s\n", what, name);
	exit(1);
}

static size_t emit(struct code *c, uint16_t op, uint32_t k, size_t jt, size_t jf)
{
	if (c->n == MAX_CODE || jt > 255 || jf > 255)
		die("filter too long", "split it");
	c->op[c->n] = (struct sock_filter){ op, (uint8_t)jt, (uint8_t)jf, k };
	return c->n++;
}

static void emit_verdict(struct code *c, enum verdict v)
{
	static const uint32_t actions[] = {
		[VERDICT_ALLOW] = SECCOMP_RET_ALLOW,
		[VERDICT_EPERM] = SECCOMP_RET_ERRNO | EPERM,
		[VERDICT_ENOSYS] = SECCOMP_RET_ERRNO | ENOSYS,
		[VERDICT_KILL] = SECCOMP_RET_KILL_PROCESS,
		[VERDICT_DONE] = SECCOMP_RET_ERRNO | 0,
	};

	emit(c, BPF_RET | BPF_K, actions[v], 0, 0);
}

/* Both architectures are little-endian: the low half comes first. */
static uint32_t half_of(uint8_t arg)
{
	return arg < SECCOMP_HIGH(0) ? 8u * arg : 8u * (arg - SECCOMP_HIGH(0)) + 4u;
}

static void emit_clause(struct code *c, const struct clause *clause)
{
	size_t fails[MAX_TESTS], n = 0;

	for (size_t i = 0; i < MAX_TESTS && clause->tests[i].op != TEST_NONE; i++) {
		const struct arg_test *t = &clause->tests[i];
		emit(c, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, args) + half_of(t->arg), 0, 0);
		if (t->mask != 0xffffffffu)
			emit(c, BPF_ALU | BPF_AND | BPF_K, t->mask, 0, 0);
		fails[n++] = emit(c, BPF_JMP | BPF_JEQ | BPF_K, t->value, 0, 0);
	}
	emit_verdict(c, clause->verdict);
	for (size_t i = 0; i < n; i++) {
		uint8_t away = (uint8_t)(c->n - fails[i] - 1);
		if (clause->tests[i].op == TEST_EQ)
			c->op[fails[i]].jf = away;
		else
			c->op[fails[i]].jt = away;
	}
}

static void emit_leaf(struct code *c, const struct range *r)
{
	if (r->rule) {
		for (size_t i = 0; i < MAX_CLAUSES && r->rule->clauses[i].tests[0].op != TEST_NONE; i++)
			emit_clause(c, &r->rule->clauses[i]);
		emit_verdict(c, r->rule->otherwise);
	} else {
		emit_verdict(c, r->verdict);
	}
}

/* The accumulator holds the number until a leaf. */
static void emit_tree(struct code *c, const struct range *r, size_t n)
{
	if (n == 1) {
		emit_leaf(c, r);
		return;
	}
	size_t half = n / 2, start = c->n;
	size_t test = emit(c, BPF_JMP | BPF_JGE | BPF_K, r[half].from, 0, 0);
	emit_tree(c, r, half);
	if (c->n - test - 1 <= 255) {
		c->op[test].jt = (uint8_t)(c->n - test - 1);
	} else {
		/* Too far for a conditional jump: again, with a long one in front. */
		c->n = start;
		emit(c, BPF_JMP | BPF_JGE | BPF_K, r[half].from, 0, 1);
		size_t over = emit(c, BPF_JMP | BPF_JA, 0, 0, 0);
		emit_tree(c, r, half);
		c->op[over].k = (uint32_t)(c->n - over - 1);
	}
	emit_tree(c, r + half, n - half);
}

static int number_of(uint32_t arch, const char *name)
{
	/* Newer than the library: without a number it falls under the profile's default, which is a refusal. */
	static const char *const newer[] = { "fchmodat2", NULL };
	int nr = seccomp_syscall_resolve_name_arch(arch, name);

	if (nr != __NR_SCMP_ERROR)
		return nr;
	for (size_t i = 0; newer[i]; i++)
		if (strcmp(newer[i], name) == 0)
			return nr;
	die("no such system call", name);
	return nr;
}

static void fill(struct range *all, uint32_t arch, const char *name, enum verdict v, const struct arg_rule *rule)
{
	int nr = number_of(arch, name);

	if (nr < 0)
		return; /* not on this architecture */
	if (nr >= MAX_NUMBER)
		die("number out of range", name);
	if (all[nr].from)
		die("listed twice", name);
	all[nr] = (struct range){ .from = 1, .verdict = v, .rule = rule };
}

static size_t make_ranges(const struct profile *p, uint32_t arch, struct range *ranges)
{
	struct range all[MAX_NUMBER + 1] = { 0 };
	size_t n = 0;

	for (size_t i = 0; p->allow[i]; i++)
		fill(all, arch, p->allow[i], VERDICT_ALLOW, NULL);
	for (size_t i = 0; p->deny[i]; i++)
		fill(all, arch, p->deny[i], VERDICT_EPERM, NULL);
	for (size_t i = 0; i < p->n_rules; i++)
		fill(all, arch, p->rules[i].name, VERDICT_ALLOW, &p->rules[i]);
	for (unsigned nr = 0; nr <= MAX_NUMBER; nr++) {
		struct range here = all[nr].from ? all[nr] : (struct range){ .verdict = p->otherwise };
		here.from = nr;
		if (n == 0 || here.rule || ranges[n - 1].rule || here.verdict != ranges[n - 1].verdict)
			ranges[n++] = here;
	}
	return n;
}

static void compile(struct code *c, const struct profile *p, uint32_t scmp_arch, uint32_t audit_arch)
{
	struct range ranges[MAX_NUMBER + 1];
	size_t n = make_ranges(p, scmp_arch, ranges);

	emit(c, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, arch), 0, 0);
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, audit_arch, 1, 0);
	emit_verdict(c, p->foreign);
	emit(c, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, nr), 0, 0);
	if (audit_arch == AUDIT_ARCH_X86_64) {
		/* x32 shares the architecture value; -1 has the bit too and is nobody's number. */
		emit(c, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 3);
		emit(c, BPF_JMP | BPF_JEQ | BPF_K, 0xffffffffu, 0, 1);
		emit_verdict(c, p->otherwise);
		emit_verdict(c, p->foreign);
	}
	emit_tree(c, ranges, n);
}

static void print(const struct profile *p, const struct code *c)
{
	printf("static const struct sock_filter filter_%s[] = {\n", p->name);
	for (size_t i = 0; i < c->n; i++)
		printf("\t{ 0x%02x, %u, %u, 0x%08x },\n", c->op[i].code, c->op[i].jt, c->op[i].jf, c->op[i].k);
	printf("};\n");
}

static const struct profile *find(const char *name)
{
	for (size_t i = 0; i < seccomp_n_profiles; i++)
		if (strcmp(seccomp_profiles[i].name, name) == 0)
			return &seccomp_profiles[i];
	die("no such profile", name);
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *macro;
		uint32_t scmp, audit;
	} arches[] = {
		{ "__x86_64__", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64 },
		{ "__aarch64__", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64 },
	};
	static struct code code;

	printf("/* Made by seccomp_gen from seccomp_table.c: do not edit. */\n#include <linux/filter.h>\n");
	for (size_t a = 0; a < sizeof(arches) / sizeof(arches[0]); a++) {
		printf("#%s defined(%s)\n", a ? "elif" : "if", arches[a].macro);
		for (int i = 1; i < argc; i++) {
			const struct profile *p = find(argv[i]);
			code.n = 0;
			compile(&code, p, arches[a].scmp, arches[a].audit);
			print(p, &code);
		}
	}
	printf("#else\n#error \"no system call lists for this architecture\"\n#endif\n");
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
