/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox cp: files between the host and a named sandbox. archive.h tells how. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "archive.h"
#include "base/util.h"
#include "named.h"
#include "nsbox.h"

/* A path as the directory that it is in and its last part, both in text. */
struct place {
	char *text, *dir, *name;
	char *sandbox; /* NULL: on the host */
};

static void place_done(struct place *p)
{
	free(p->text);
	free(p->dir);
	free(p->name);
	free(p->sandbox);
}

/* ID:PATH, or a path of the host; one with a ':' in its first part is written ./a:b. */
static int parse(const char *word, struct place *ret)
{
	size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
	bool inside = n && word[n] == ':';

	if (inside && !(ret->sandbox = strndup(word, n)))
		return refuse("out of memory");
	ret->text = strdup(inside ? word + n + 1 : word);
	if (!ret->text)
		return refuse("out of memory");
	size_t len = strlen(ret->text);
	while (len > 1 && ret->text[len - 1] == '/')
		ret->text[--len] = '\0';
	/* The root has no name; what is copied there keeps its own. */
	const char *slash = strrchr(ret->text, '/'), *last = slash ? slash + 1 : ret->text;
	if (strcmp(ret->text, "/") == 0)
		last = ".";
	if (!*last)
		return refuse("%s: a file or directory has to be named", word);
	ret->dir = slash ? strndup(ret->text, slash == ret->text ? 1 : (size_t)(slash - ret->text)) : strdup(".");
	ret->name = strdup(last);
	return ret->dir && ret->name ? 0 : refuse("out of memory");
}

/* No link on the way: a sandbox that writes there could lead it anywhere. */
static int open_directory(const char *path)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };

	return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

static int say_directory(const char *path)
{
	return errno == ELOOP ? refuse("a symbolic link is on the way to %s; name what it leads to", path) :
				refuse("cannot open the directory %s: %s", path, strerrordesc_np(errno));
}

/* Where a copy of name goes: into the directory to, or in the place of to. */
static int host_target(const struct place *to, const char *name, char **ret_name)
{
	bool dots = strcmp(to->name, ".") == 0 || strcmp(to->name, "..") == 0;
	int dir = open_directory(to->text);

	*ret_name = strdup(dir >= 0 ? name : to->name);
	if (dir < 0 && !dots)
		dir = errno == ELOOP ? dir : open_directory(to->dir);
	if (dir < 0)
		say_directory(to->text);
	return dir;
}

struct copy {
	struct opened opened;
	sandbox_command *command;
	sandbox_call *call;
};

static void copy_done(struct copy *c)
{
	sandbox_call_free(c->call);
	sandbox_command_free(c->command);
	c->call = NULL;
	c->command = NULL;
}

static int start(struct copy *c, const char *const *argv, int in, int out)
{
	sandbox_error *error = NULL;

	copy_done(c);
	if (sandbox_command_new(argv, &c->command, &error) < 0 || sandbox_command_set_stdio(c->command, in, out, STDERR_FILENO) < 0 ||
	    sandbox_start(c->opened.box, c->command, &c->call, &error) < 0)
		return refuse_error(error);
	return 0;
}

/* The exit status of what runs inside; -1 (said) when there is none. */
static int finish(struct copy *c)
{
	sandbox_error *error = NULL;

	if (sandbox_call_wait(c->call, -1, &error) < 0) {
		refuse_error(error);
		return -1;
	}
	return sandbox_call_exit_signal(c->call) ? 128 : sandbox_call_exit_status(c->call);
}

static int inside_failed(int status)
{
	return status < 0 ? EXIT_NSBOX : refuse("tar failed inside, with status %d", status);
}

static int copy_in(struct copy *c, const struct place *from, const struct place *to)
{
	int status = start(c, (const char *const[]){ "test", "-d", to->text, NULL }, SANDBOX_STDIO_NULL, SANDBOX_STDIO_NULL);
	int is_directory = status ? -1 : finish(c);

	if (is_directory < 0)
		return EXIT_NSBOX;
	_cleanup_close_ int dir = open_directory(from->dir);
	if (dir < 0)
		return say_directory(from->dir);
	if (faccessat(dir, from->name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return refuse("cannot open %s: %s", from->text, strerrordesc_np(errno));
	status = start(c, (const char *const[]){ "tar", "-x", "-o", "-f", "-", "-C", is_directory == 0 ? to->text : to->dir, NULL },
		       SANDBOX_STDIO_PIPE, SANDBOX_STDIO_NULL);
	if (status)
		return status;
	int pipe = sandbox_call_take_stdio(c->call, STDIN_FILENO);
	status = archive_write(pipe, dir, from->name, is_directory == 0 ? from->name : to->name);
	close(pipe);
	int inside = finish(c);
	return status != EXIT_NSBOX && inside ? inside_failed(inside) : status;
}

static int copy_out(struct copy *c, const struct place *from, const struct place *to)
{
	_cleanup_free_ char *name = NULL;
	_cleanup_close_ int dir = host_target(to, from->name, &name);

	if (dir < 0 || !name)
		return EXIT_NSBOX;
	/* Hard links as files of their own: on the host a link could lead to another file than the one that was sent. */
	int status = start(c, (const char *const[]){ "tar", "-c", "--format=gnu", "--hard-dereference", "-f", "-", "-C",
						     from->dir, "--", from->name, NULL },
			   SANDBOX_STDIO_NULL, SANDBOX_STDIO_PIPE);
	if (status)
		return status;
	int pipe = sandbox_call_take_stdio(c->call, STDOUT_FILENO);
	status = archive_read(pipe, dir, name, from->name);
	/* What follows the end is of no interest, but tar has to come to its own. */
	for (char rest[4096]; status != EXIT_NSBOX && read(pipe, rest, sizeof(rest)) > 0;)
		;
	close(pipe);
	if (status == EXIT_NSBOX)
		sandbox_call_cancel(c->call, NULL);
	int inside = finish(c);
	return status != EXIT_NSBOX && inside ? inside_failed(inside) : status;
}

static int copy(const struct place *from, const struct place *to)
{
	struct copy c = { 0 };
	sandbox_error *error = NULL;

	if (!from->sandbox == !to->sandbox)
		return refuse("one of the two has to be in a sandbox, as ID:PATH");
	const struct place *named = from->sandbox ? from : to;
	if (strcmp(from->name, ".") == 0 || strcmp(from->name, "..") == 0)
		return refuse("%s: a file or directory has to be named", from->text);
	if (named_open(named->sandbox, ",", &c.opened, &error) < 0)
		return refuse_error(error);
	/* tar inside may end first; writing to it then is an error and no signal. */
	signal(SIGPIPE, SIG_IGN);
	int status = to->sandbox ? copy_in(&c, from, to) : copy_out(&c, from, to);
	copy_done(&c);
	named_close(&c.opened);
	return status;
}

static int run_cp(const struct command *self, int argc, char **argv)
{
	_cleanup_(place_done) struct place from = { 0 }, to = { 0 };
	struct words words;

	int status = named_words(self, argc, argv, NULL, NULL, &words);
	if (status)
		return status - 1;
	if (words.n != 2)
		return refuse("nsbox cp needs where from and where to: nsbox cp PATH ID:PATH, or nsbox cp ID:PATH PATH");
	status = parse(words.word[0], &from);
	if (status == 0)
		status = parse(words.word[1], &to);
	return status ? status : copy(&from, &to);
}

const struct command command_cp = {
	.name = "cp",
	.arguments = "PATH ID:PATH | ID:PATH PATH",
	.summary = "copy a file or directory into a named sandbox, or out of it",
	.text = "Into a directory that is there, else under the new name. No symbolic link is followed on the host; those that\n"
		"are copied out are kept where they stay inside of what is copied. Exit status: 1 when parts were left out.",
	.run = run_cp,
};
