/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox help, --help and nsbox completion: written from the tables that the options are read by. */
#include <stdio.h>
#include <string.h>

#include "nsbox.h"

static void print_option(const struct option *o)
{
	char left[64], letter[8] = "";

	if (o->letter)
		snprintf(letter, sizeof(letter), "-%c, ", o->letter);
	snprintf(left, sizeof(left), "%4s--%s%s%s", letter, o->name, o->value ? " " : "", o->value ? o->value : "");
	if (strlen(left) <= 28)
		printf("  %-28s  %s\n", left, o->help);
	else
		printf("  %s\n  %-28s  %s\n", left, "", o->help);
}

static void print_overview(void)
{
	puts("Usage: nsbox COMMAND [OPTIONS] [ARGUMENTS]\n\n"
	     "Runs a command in Linux namespaces, with a gateway on the host as its only way out.\n");
	for (const struct command *const *c = commands; *c; c++) {
		if (!(*c)->internal)
			printf("  %-12s%s\n", (*c)->name, (*c)->summary);
	}
	puts("\nnsbox help COMMAND explains one of them; nsbox(1) is the manual.");
}

int help_print(const struct command *c)
{
	if (!c) {
		print_overview();
		return EXIT_YES;
	}
	if (c->subcommands) {
		printf("Usage: nsbox %s COMMAND\n\n%s.\n\n", c->name, c->summary);
		for (const struct command *const *s = c->subcommands; *s; s++)
			printf("  nsbox %s %s\n      %s\n", (*s)->name, (*s)->arguments, (*s)->summary);
		return EXIT_YES;
	}
	printf("Usage: nsbox %s%s%s\n\n%s.\n", c->name, *c->arguments ? " " : "", c->arguments, c->summary);
	if (c->options)
		puts("");
	for (const struct option *const *table = c->options; table && *table; table++) {
		for (const struct option *o = *table; o->name; o++)
			print_option(o);
	}
	if (c->text)
		printf("\n%s\n", c->text);
	return EXIT_YES;
}

static const struct command *find(const struct command *const *table, int argc, char **argv)
{
	for (; *table; table++) {
		const char *space = strrchr((*table)->name, ' ');
		if (strcmp(space ? space + 1 : (*table)->name, argv[0]) != 0)
			continue;
		if (argc == 1)
			return *table;
		return (*table)->subcommands ? find((*table)->subcommands, argc - 1, argv + 1) : NULL;
	}
	return NULL;
}

static int run_help(const struct command *self, int argc, char **argv)
{
	(void)self;
	if (argc == 0)
		return help_print(NULL);
	if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)
		return help_print(&command_help);
	const struct command *c = find(commands, argc, argv);
	if (!c)
		return refuse("there is no help on %s; nsbox help lists the commands", argv[argc - 1]);
	return help_print(c);
}

const struct command command_help = {
	.name = "help",
	.arguments = "[COMMAND]",
	.summary = "explain nsbox or one of its commands",
	.run = run_help,
};

static void print_words(const struct command *c)
{
	printf("\t\t'%s') words='", c->name);
	if (c->subcommands) {
		for (const struct command *const *s = c->subcommands; *s; s++)
			printf("%s ", strchr((*s)->name, ' ') + 1);
	}
	for (const struct option *const *table = c->options; table && *table; table++) {
		for (const struct option *o = *table; o->name; o++)
			printf("--%s ", o->name);
	}
	puts("--help' ;;");
}

/* Words before the command of `nsbox run` only: what follows is completed as a command line of its own. */
static int run_completion(const struct command *self, int argc, char **argv)
{
	if (argc == 1 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0))
		return help_print(self);
	if (argc != 1 || strcmp(argv[0], "bash") != 0)
		return refuse("nsbox completion needs the name of a shell: bash");
	puts("# bash completion for nsbox\n"
	     "_nsbox()\n{\n"
	     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} words='' key=${COMP_WORDS[1]}\n"
	     "\t[[ $key == @(audit|grant|profile) && $COMP_CWORD -gt 2 ]] && key+=\" ${COMP_WORDS[2]}\"\n"
	     "\tif [[ $COMP_CWORD -eq 1 ]]; then\n"
	     "\t\tkey=''");
	printf("\t\twords='");
	for (const struct command *const *c = commands; *c; c++) {
		if (!(*c)->internal)
			printf("%s ", (*c)->name);
	}
	puts("'\n\tfi\n\tcase $key in");
	for (const struct command *const *c = commands; *c; c++) {
		if ((*c)->internal)
			continue;
		print_words(*c);
		for (const struct command *const *s = (*c)->subcommands; s && *s; s++)
			print_words(*s);
	}
	puts("\tesac\n"
	     "\tif [[ $COMP_CWORD -eq 1 || $cur == -* || $key == @(audit|grant|profile) ]]; then\n"
	     "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	     "\telse\n"
	     "\t\tCOMPREPLY=($(compgen -c -f -- \"$cur\"))\n"
	     "\tfi\n"
	     "}\n"
	     "complete -o filenames -F _nsbox nsbox");
	return EXIT_YES;
}

const struct command command_completion = {
	.name = "completion",
	.arguments = "bash",
	.summary = "print a completion script for the shell",
	.run = run_completion,
};
