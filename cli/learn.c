/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nsbox run --learn FILE: a first policy for a command.
 *
 * Theory of operation. The command runs as it would without, under the same policy, with two differences: the
 * workspace is an overlay, and `nsbox watch` stands before it inside and writes down which paths it names (watch.c;
 * learning needs nothing from the supervisor and takes nothing off the sandbox). When it has ended, a second call in
 * the same sandbox hands out what was written down. With the gateway's records of what was denied and what was allowed
 * by which rule this becomes a policy: the lines of the run's own policy that were used, and one for each thing that
 * was missing, with its reason (learn_paths.c, learn_network.c, learn_file.c). It is read by the library like any other
 * before it gets its name, and never takes the place of a file.
 *
 * All of it is what the command wanted to have seen. Nothing is decided by it but what a person is shown.
 */
#include "learn.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/util.h"
#include "nsbox.h"
#include "watch.h"

#define PROGRAM "/run/nsbox/bin/nsbox" /* as sandboxes have it */
#define RECORD "/dev/shm/nsbox-watch-" /* private to the sandbox, and writable in each */
#define HAND_OUT_MS 20000u

/* The line that makes the workspace an overlay; its name is the origin that the line gets. */
static const struct option overlay_option = {
	.id = OPTION_POLICY, .name = "learn", .section = "filesystem", .key = "overlay",
};

void propose(struct proposals *list, const char *key, char *value, const char *reason)
{
	struct proposal *more = list->n < 2 * LEARN_MAX_LINES ? reallocarray(list->list, list->n + 1, sizeof(*more)) : NULL;
	size_t same = 0;

	if (more)
		list->list = more;
	for (size_t i = 0; i < list->n; i++)
		same += !list->list[i].key == !key;
	char *copy = more && same < LEARN_MAX_LINES ? strdup(reason) : NULL;
	if (!copy || (key && !value)) {
		list->left_out++;
		free(copy);
		free(value);
		return;
	}
	list->list[list->n++] = (struct proposal){ key, value, copy };
}

bool learn_is_line(const struct learn *learn, const char *section, const char *key, const char *value)
{
	sandbox_policy *policy = NULL;
	bool good = sandbox_policy_new(&policy, NULL) == 0 &&
		    sandbox_policy_set_workdir(policy, learn->workdir, 1, NULL) == 0 &&
		    sandbox_policy_set(policy, section, key, value, NULL, NULL) == 0 && sandbox_policy_check(policy, NULL) == 0;

	sandbox_policy_free(policy);
	return good;
}

int learn_begin(struct learn *learn, struct policy_args *args)
{
	const struct option_reader overlay = { .option = &overlay_option, .value = args->workdir ? args->workdir : "." };
	struct stat st;

	if (lstat(learn->file, &st) == 0)
		return refuse("--learn %s: it is there already, and nothing is overwritten; remove it or name another file",
			      learn->file);
	_cleanup_free_ char *dir = strdup(learn->file);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	if (slash)
		slash[slash == dir] = '\0';
	/* Not only when all is done. */
	if (access(slash ? dir : ".", W_OK | X_OK) < 0)
		return refuse("--learn %s: nothing can be written there: %s", learn->file, strerrordesc_np(errno));
	learn->workdir = args->workdir;
	learn->rules = json_object();
	return learn->rules ? policy_args_take(args, &overlay) : refuse("out of memory");
}

int learn_prepare(struct learn *learn, sandbox_policy *policy, char **argv)
{
	sandbox_error *error = NULL;
	static char program[] = PROGRAM, subcommand[] = "watch";
	uint64_t random;
	size_t n = 0;

	learn->command = argv;
	if (sandbox_policy_dump(policy, &learn->effective, &error) < 0)
		return refuse_error(error);
	/* Both know a call by its command, and would see another one. */
	if (strstr(learn->effective, "\n[grant ") || sandbox_policy_auditor(policy))
		return refuse("--learn does not go with [grant] sections or an auditor, which go by the command that is started: "
			      "leave them out to learn");
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return refuse("no random number for the name of a file");
	while (argv[n])
		n++;
	learn->argv = calloc(n + 4, sizeof(*learn->argv));
	if (!learn->argv || asprintf(&learn->record, RECORD "%016" PRIx64, random) < 0)
		return refuse("out of memory");
	learn->argv[0] = program;
	learn->argv[1] = subcommand;
	learn->argv[2] = learn->record;
	memcpy(learn->argv + 3, argv, n * sizeof(*argv));
	return 0;
}

/* What was written down, as a call in the same sandbox hands it out. */
static int hand_out(const struct learn *learn, sandbox *box, struct buf *ret)
{
	const char *const argv[] = { PROGRAM, "watch", "--show", learn->record, NULL };
	sandbox_error *error = NULL;
	sandbox_command *command = NULL;
	sandbox_call *call = NULL;
	ssize_t n = -1;
	int r = EXIT_YES;

	if (sandbox_command_new(argv, &command, &error) < 0 ||
	    sandbox_command_set_stdio(command, SANDBOX_STDIO_NULL, SANDBOX_STDIO_PIPE, SANDBOX_STDIO_NULL) < 0 ||
	    sandbox_command_set_timeout(command, HAND_OUT_MS) < 0)
		r = refuse_error(error);
	/* It reads what the command wrote. */
	if (r == EXIT_YES && learn->asking.answers)
		r = learn_ask_command(learn, command);
	if (r == EXIT_YES && sandbox_start(box, command, &call, &error) < 0)
		r = refuse_error(error);
	_cleanup_close_ int pipe = call ? sandbox_call_take_stdio(call, STDOUT_FILENO) : -EBADF;
	while (r == EXIT_YES && n != 0 && ret->len < WATCH_MAX_BYTES) {
		if (buf_reserve(ret, 65536) < 0) {
			r = refuse("out of memory");
			break;
		}
		n = read(pipe, ret->data + ret->len, 65536);
		if (n < 0)
			break;
		ret->len += (size_t)n;
	}
	fd_close(TAKE_FD(pipe));
	if (r == EXIT_YES && (sandbox_call_wait(call, -1, NULL) < 0 || sandbox_call_exit_status(call) != 0))
		r = EXIT_NSBOX;
	sandbox_call_free(call);
	sandbox_command_free(command);
	return r;
}

/* The rules and secrets that were used, beside the lines for paths. */
static void take_used(struct learn *learn, const json_t *used)
{
	json_t *one;
	size_t i;

	json_array_foreach(used, i, one) {
		const char *rule = json_string_value(json_object_get(one, "rule"));
		const char *secret = json_string_value(json_object_get(one, "secret"));
		char *key = NULL;
		if (rule)
			json_object_set_new(learn->rules, rule, json_true());
		else if (secret && asprintf(&key, "secret %s", secret) >= 0)
			json_object_set_new(learn->rules, key, json_true());
		free(key);
	}
}

/* As it will be read later. */
static int check(const struct learn *learn, const char *file)
{
	sandbox_policy *policy = NULL;
	sandbox_error *error = NULL;

	int r = sandbox_policy_new(&policy, &error);
	if (r == 0)
		r = sandbox_policy_set_workdir(policy, learn->workdir, 1, &error);
	if (r == 0)
		r = sandbox_policy_load_file(policy, file, &error);
	if (r == 0)
		r = sandbox_policy_check(policy, &error);
	sandbox_policy_free(policy);
	return r < 0 ? refuse_error(error) : 0;
}

/* Beside its place first, and there only whole, readable and when the place is still free. */
static int write_file(const struct learn *learn, const struct buf *text)
{
	_cleanup_free_ char *name = NULL;

	if (asprintf(&name, "%s.XXXXXX", learn->file) < 0) {
		name = NULL;
		return refuse("out of memory");
	}
	_cleanup_close_ int fd = mkostemp(name, O_CLOEXEC);
	int r = fd < 0 ? -errno : write_all(fd, text->data, text->len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	int status = r < 0 ? refuse("cannot write %s: %s", fd < 0 ? learn->file : name, strerrordesc_np(-r)) :
			     check(learn, name);
	if (status == 0 && renameat2(AT_FDCWD, name, AT_FDCWD, learn->file, RENAME_NOREPLACE) < 0)
		status = refuse("cannot name it %s: %s", learn->file, strerrordesc_np(errno));
	if (status && fd >= 0)
		unlink(name);
	return status;
}

static size_t lines(const struct proposals *list, bool count_remarks)
{
	size_t n = count_remarks ? list->left_out : 0;

	for (size_t i = 0; i < list->n; i++)
		n += !list->list[i].key == count_remarks;
	return n;
}

int learn_end(struct learn *learn, sandbox *box, sandbox_policy *policy, const json_t *used, const json_t *denied)
{
	_cleanup_buf_ struct buf records = { 0 }, text = { 0 };

	if (hand_out(learn, box, &records))
		say("--learn: which paths the command named is not known: what it was written down in is gone");
	take_used(learn, used);
	learn_paths(learn, policy, (const char *)records.data, records.len);
	learn_network(learn, denied);
	if (learn_text(learn, &text) < 0)
		return refuse("out of memory");
	int r = write_file(learn, &text);
	if (r == 0)
		say("%s: lines for what was missing: %zu, only named in comments: %zu; read it before you use it (-f %s)",
		    learn->file, lines(&learn->paths, false) + lines(&learn->network, false),
		    lines(&learn->paths, true) + lines(&learn->network, true), learn->file);
	return r;
}

static void free_proposals(struct proposals *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->list[i].value);
		free(list->list[i].reason);
	}
	free(list->list);
}

void learn_free(struct learn *learn)
{
	free_proposals(&learn->paths);
	free_proposals(&learn->network);
	json_decref(learn->rules);
	json_decref(learn->asking.answers);
	free(learn->effective);
	free(learn->record);
	free(learn->argv);
}
