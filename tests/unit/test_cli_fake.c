/* SPDX-License-Identifier: Apache-2.0 */
/* The fake libsandbox: policies are notes, sandboxes nothing, calls plain children (on a pty with a terminal). */
#include "test_cli_fake.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/util.h"
#include "nsbox.h"

int fake_show_calls, fake_start_stage, fake_start_errno, fake_gone;
const char *const *fake_events;
const char *fake_reason;

static struct buf notes;
static size_t next_event;

struct sandbox_error {
	int err, stage;
	char message[256];
};
struct sandbox_policy {
	int unused;
};
struct sandbox_runtime {
	int fd;
	unsigned n_open;
};
struct sandbox {
	sandbox_runtime *runtime;
	const char *name;
};
struct sandbox_command {
	const char *const *argv;
	bool terminal;
	unsigned rows, columns;
};
struct sandbox_output {
	size_t next;
};
struct sandbox_call {
	pid_t pid;
	int terminal, status;
	bool ended;
};
struct sandbox_event {
	const char *json;
	char name[32], call[32];
};

static int failed(sandbox_error **error, int err, int stage, const char *message)
{
	*error = calloc(1, sizeof(**error));
	(*error)->err = err;
	(*error)->stage = stage;
	snprintf((*error)->message, sizeof((*error)->message), "%s", message);
	return -err;
}

int sandbox_error_errno(const sandbox_error *e) { return e->err; }
int sandbox_error_stage(const sandbox_error *e) { return e->stage; }
const char *sandbox_error_message(const sandbox_error *e) { return e->message; }
void sandbox_error_free(sandbox_error *e) { free(e); }

int sandbox_policy_new(sandbox_policy **ret, sandbox_error **error)
{
	(void)error;
	*ret = calloc(1, sizeof(**ret));
	return 0;
}

void sandbox_policy_free(sandbox_policy *p) { free(p); }

int sandbox_policy_set_workdir(sandbox_policy *p, const char *dir, int force, sandbox_error **error)
{
	(void)p;
	(void)error;
	if (dir || force)
		buf_printf(&notes, "workdir %s %d\n", dir ? dir : "-", force);
	return 0;
}

int sandbox_policy_load_profile(sandbox_policy *p, const char *name, sandbox_error **error)
{
	(void)p;
	if (strcmp(name, "missing") == 0)
		return failed(error, ENOENT, SANDBOX_STAGE_POLICY, "there is no profile missing\x1b[31m");
	buf_printf(&notes, "profile %s\n", name);
	return 0;
}

/* Only git goes with a profile, and there is no project. */
int sandbox_profile_choose(const char *const *argv, char **ret, sandbox_error **error)
{
	(void)error;
	*ret = strdup(strcmp(argv[0], "git") == 0 ? "[{\"profile\":\"git\",\"by\":\"git\"}]" : "[]");
	return 0;
}

int sandbox_policy_load_project(sandbox_policy *p, int *ret_state, sandbox_error **error)
{
	(void)p;
	(void)error;
	*ret_state = SANDBOX_PROJECT_NONE;
	return 0;
}

int sandbox_call_take_stdio(sandbox_call *call, int which)
{
	(void)call;
	(void)which;
	return -1;
}

int sandbox_start(sandbox *box, const sandbox_command *command, sandbox_call **ret, sandbox_error **error)
{
	return sandbox_start_async(box, command, ret, error);
}

int sandbox_profile_list(char **ret, sandbox_error **error)
{
	(void)error;
	*ret = strdup("[{\"name\":\"git\",\"summary\":\"git\",\"commands\":\"git\"}]");
	return 0;
}

int sandbox_profile_text(const char *name, char **ret, sandbox_error **error)
{
	if (strcmp(name, "missing") == 0)
		return failed(error, ENOENT, SANDBOX_STAGE_POLICY, "there is no profile missing");
	*ret = strdup("[sandbox]\nversion = 1\n");
	return 0;
}

static const char *const project_old = "[a]\none\ntwo\n", *const project_new = "[a]\none\n2\x1b\ntwo\n";

int sandbox_project_state(const char *dir, int *ret_state, char **ret_text, char **ret_trusted, sandbox_error **error)
{
	(void)error;
	*ret_state = strcmp(dir, "changed") == 0 ? SANDBOX_PROJECT_CHANGED :
		     strcmp(dir, "new") == 0	 ? SANDBOX_PROJECT_UNKNOWN :
						   SANDBOX_PROJECT_NONE;
	*ret_text = *ret_state ? strdup(project_new) : NULL;
	*ret_trusted = *ret_state == SANDBOX_PROJECT_CHANGED ? strdup(project_old) : NULL;
	return 0;
}

int sandbox_project_trust(const char *dir, const char *text, sandbox_error **error)
{
	(void)error;
	printf("trusted %s: %d\n", dir, strcmp(text, project_new) == 0);
	return 0;
}

int sandbox_policy_load_file(sandbox_policy *p, const char *path, sandbox_error **error)
{
	(void)p;
	(void)error;
	buf_printf(&notes, "file %s\n", path);
	return 0;
}

int sandbox_policy_set(sandbox_policy *p, const char *section, const char *key, const char *value, const char *origin,
		       sandbox_error **error)
{
	(void)p;
	(void)error;
	buf_printf(&notes, "[%s] %s = %s (%s)\n", section, key, value, origin);
	return 0;
}

int sandbox_policy_set_audit_log(sandbox_policy *p, const char *path, sandbox_error **error)
{
	(void)p;
	(void)error;
	buf_printf(&notes, "audit log %s\n", path);
	return 0;
}

int sandbox_policy_check(sandbox_policy *p, sandbox_error **error)
{
	(void)p;
	(void)error;
	if (fake_show_calls && notes.len)
		write_all(2, notes.data, notes.len);
	return 0;
}

int sandbox_policy_dump(sandbox_policy *p, char **ret, sandbox_error **error)
{
	(void)p;
	(void)error;
	*ret = strdup("[sandbox]\nversion = 1\n");
	return 0;
}

static int decide(bool allowed, int *ret_allowed, char **ret_json)
{
	*ret_allowed = allowed;
	*ret_json = strdup(allowed ? "{\"decision\":\"allow\",\"rule\":\"a\",\"source\":\"--allow\",\"reason\":\"rule\"}" :
				     "{\"decision\":\"deny\",\"rule\":\"\",\"source\":\"\",\"reason\":\"no-rule\"}");
	return 0;
}

int sandbox_policy_check_url(sandbox_policy *p, const char *url, const char *method, int *ret_allowed, char **ret_json,
			     sandbox_error **error)
{
	(void)p;
	if (strcmp(url, "bad") == 0)
		return failed(error, EINVAL, SANDBOX_STAGE_USAGE, "bad is no URL");
	return decide(!method || strcmp(method, "GET") == 0, ret_allowed, ret_json);
}

int sandbox_policy_check_path(sandbox_policy *p, const char *path, int write, int *ret_allowed, char **ret_json,
			      sandbox_error **error)
{
	(void)p;
	(void)error;
	return decide(!write && !strstr(path, "denied"), ret_allowed, ret_json);
}

const char *sandbox_policy_warnings(const sandbox_policy *p)
{
	(void)p;
	return notes.len && strstr(buf_str(&notes), "allow = *") ? "* allows every public host\nsecond" : "";
}

/* A grant is what was asked of it. The policy has one, push, bound to git. */
struct sandbox_grant {
	int unused;
};

int sandbox_grant_from_template(sandbox_policy *p, const char *name, sandbox_grant **ret, sandbox_error **error)
{
	(void)p;
	if (strcmp(name, "push") != 0)
		return failed(error, ENOENT, SANDBOX_STAGE_POLICY, "the policy has no such grant");
	*ret = calloc(1, sizeof(**ret));
	return 0;
}

void sandbox_grant_free(sandbox_grant *g) { free(g); }

int sandbox_grant_dump(sandbox_grant *g, char **ret, sandbox_error **error)
{
	(void)g;
	(void)error;
	*ret = strdup("[grant push]\n");
	return 0;
}

int sandbox_grant_for_argv(sandbox_policy *p, const char *const *argv, char **ret_name, sandbox_error **error)
{
	(void)p;
	(void)error;
	*ret_name = strcmp(argv[0], "git") == 0 ? strdup("push") : NULL;
	return 0;
}

int sandbox_grant_check_url(sandbox_grant *g, sandbox_policy *p, const char *url, const char *method, int *ret_allowed,
			    char **ret_json, sandbox_error **error)
{
	(void)g;
	return sandbox_policy_check_url(p, url, method, ret_allowed, ret_json, error);
}

int sandbox_grant_check_path(sandbox_grant *g, sandbox_policy *p, const char *path, int write, int *ret_allowed,
			     char **ret_json, sandbox_error **error)
{
	(void)g;
	return sandbox_policy_check_path(p, path, write, ret_allowed, ret_json, error);
}

int sandbox_grant_check_secret(sandbox_grant *g, sandbox_policy *p, const char *name, int *ret_allowed, char **ret_json,
			       sandbox_error **error)
{
	(void)g;
	(void)p;
	(void)error;
	return decide(strcmp(name, "KEY") == 0, ret_allowed, ret_json);
}

int sandbox_runtime_set_events(sandbox_runtime *runtime, const char *names, sandbox_error **error)
{
	(void)runtime;
	(void)names;
	(void)error;
	return 0;
}

int sandbox_runtime_start(sandbox_runtime *runtime, int gateway, sandbox_error **error)
{
	(void)runtime;
	(void)gateway;
	(void)error;
	return 0;
}

int sandbox_runtime_new(sandbox_runtime **ret, sandbox_error **error)
{
	(void)error;
	*ret = calloc(1, sizeof(**ret));
	(*ret)->fd = -1;
	return 0;
}

void sandbox_runtime_free(sandbox_runtime *r)
{
	if (r)
		fd_close(r->fd);
	free(r);
}

int sandbox_runtime_fd(const sandbox_runtime *r) { return r->fd; }

/* The sandboxes that are open go one after the other. */
int sandbox_runtime_dispatch(sandbox_runtime *r, sandbox_error **error)
{
	(void)error;
	return r->n_open && fake_gone && r->n_open-- ? -ECONNRESET : 0;
}

int sandbox_runtime_next_event(sandbox_runtime *r, sandbox_event **ret)
{
	(void)r;
	*ret = NULL;
	if (!fake_events || !fake_events[next_event])
		return 0;
	sandbox_event *event = calloc(1, sizeof(*event));
	event->json = fake_events[next_event++];
	sscanf(strstr(event->json, "\"event\":\"") + 9, "%31[a-z.]", event->name);
	const char *call = strstr(event->json, "\"call\":\"");
	if (call)
		sscanf(call + 8, "%31[a-z0-9.]", event->call);
	*ret = event;
	return 0;
}

const char *sandbox_event_name(const sandbox_event *e) { return e->name; }
const char *sandbox_event_call(const sandbox_event *e) { return e->call; }
const char *sandbox_event_json(const sandbox_event *e) { return e->json; }
void sandbox_event_free(sandbox_event *e) { free(e); }

int sandbox_create(sandbox_runtime *r, sandbox_policy *p, sandbox **ret, sandbox_error **error)
{
	(void)p;
	(void)error;
	*ret = calloc(1, sizeof(**ret));
	(*ret)->runtime = r;
	return 0;
}

/* What is asked of named sandboxes and calls, for those who look at stderr. */
static void show(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void show(const char *fmt, ...)
{
	va_list ap;

	if (!fake_show_calls)
		return;
	va_start(ap, fmt);
	vdprintf(2, fmt, ap);
	va_end(ap);
}

int sandbox_create_named(sandbox_runtime *r, sandbox_policy *p, const char *name, sandbox **ret, sandbox_error **error)
{
	if (name && strcmp(name, "taken") == 0)
		return failed(error, EEXIST, SANDBOX_STAGE_USAGE, "there is a sandbox taken already");
	show("create %s\n", name ? name : "-");
	sandbox_create(r, p, ret, error);
	(*ret)->name = name ? name : "k3f9x2m1";
	return 0;
}

int sandbox_open(sandbox_runtime *r, const char *name, sandbox **ret, sandbox_error **error)
{
	if (strcmp(name, "missing") == 0)
		return failed(error, ENOENT, SANDBOX_STAGE_USAGE, "there is no sandbox missing");
	show("open %s\n", name);
	*ret = calloc(1, sizeof(**ret));
	(*ret)->runtime = r;
	(*ret)->name = name;
	r->n_open++;
	if (fake_gone && r->fd < 0)
		r->fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* readable */
	return 0;
}

int sandbox_remove(sandbox *b, int force, sandbox_error **error)
{
	if (!force && strcmp(b->name, "busy") == 0)
		return failed(error, EBUSY, SANDBOX_STAGE_USAGE, "calls run");
	show("remove %s %d\n", b->name, force);
	return 0;
}

int sandbox_list(char **ret, sandbox_error **error)
{
	(void)error;
	*ret = strdup("[{\"name\":\"a\",\"id\":\"x1\",\"state\":\"running\",\"pid\":12,\"created\":"
		      "\"2026-01-02T03:04:05Z\",\"workdir\":\"/w\\u001b[2J\",\"net\":\"none\"},"
		      "{\"name\":\"missing\",\"id\":\"x2\",\"state\":\"starting\",\"pid\":1234567,\"created\":"
		      "\"2026-01-02T03:04:05Z\",\"workdir\":\"/v\",\"net\":\"gateway\"}]");
	return 0;
}

int sandbox_prune(char **ret, sandbox_error **error)
{
	(void)error;
	*ret = strdup("[\"a\",\"b\"]");
	return 0;
}

int sandbox_has_overlay(const sandbox *b)
{
	(void)b;
	return 0;
}

static int no_changes(const char *name, sandbox_error **error)
{
	return failed(error, ENOENT, SANDBOX_STAGE_OVERLAY, name);
}

int sandbox_changes_list(char **ret, sandbox_error **error)
{
	(void)error;
	*ret = strdup("[{\"id\":\"k3f9x2m1\",\"name\":\"b\",\"workdir\":\"/w\",\"roots\":[\"/w\\u001b[2J\"],\"in_use\":false}]");
	return 0;
}

int sandbox_changes_count(const char *name, unsigned long *ret, sandbox_error **error)
{
	(void)ret;
	return no_changes(name, error);
}

int sandbox_changes_patch(const char *name, const char *const *paths, int fd, sandbox_error **error)
{
	(void)paths;
	if (strcmp(name, "k3f9x2m1") != 0)
		return no_changes(name, error);
	return write(fd, "+\033[2J\tx\n", 8) == 8 ? 0 : -errno;
}

int sandbox_changes_read(const char *name, const char *const *paths, unsigned flags, char **ret, sandbox_error **error)
{
	(void)flags;
	if (strcmp(name, "k3f9x2m1") != 0)
		return no_changes(name, error);
	*ret = strdup(paths ? "{\"id\":\"k3f9x2m1\",\"workdir\":\"/w\",\"changes\":[]}" :
			      "{\"id\":\"k3f9x2m1\",\"workdir\":\"/w\",\"changes\":["
			      "{\"path\":\"/w/a\\u001b\",\"change\":\"added\",\"type\":\"directory\",\"mode\":\"0755\","
			      "\"flags\":[],\"conflict\":false},"
			      "{\"path\":\"/w/n\",\"from\":\"/x/o\",\"change\":\"renamed\",\"type\":\"file\",\"mode\":\"0755\","
			      "\"flags\":[\"build\",\"program\"],\"conflict\":true},"
			      "{\"path\":\"/w/m\",\"change\":\"mode\",\"type\":\"file\",\"mode\":\"0600\",\"old_mode\":\"0644\","
			      "\"flags\":[],\"conflict\":false}]}");
	return 0;
}

int sandbox_changes_commit_reviewed(const char *name, const char *const *paths, unsigned flags, const char *digest,
				    unsigned long *ret, sandbox_error **error)
{
	if (digest)
		show("digest %s\n", digest);
	if (strcmp(name, "k3f9x2m1") != 0)
		return no_changes(name, error);
	*ret = paths ? 1 : flags == SANDBOX_COMMIT_EXECUTABLE ? 3 : 2;
	return 0;
}

int sandbox_changes_snapshot(const char *name, const char *as, sandbox_error **error)
{
	show("snapshot %s %s\n", name, as);
	return strcmp(name, "k3f9x2m1") == 0 ? 0 : no_changes(name, error);
}

int sandbox_changes_call_read(sandbox_runtime *runtime, const char *call, const char *const *paths, unsigned flags, char **ret,
			      sandbox_error **error)
{
	(void)runtime;
	show("changes of call %s\n", call);
	return sandbox_changes_read("k3f9x2m1", paths, flags, ret, error);
}

int sandbox_changes_call_patch(sandbox_runtime *runtime, const char *call, const char *const *paths, int fd,
			       sandbox_error **error)
{
	(void)runtime;
	show("patch of call %s\n", call);
	return sandbox_changes_patch("k3f9x2m1", paths, fd, error);
}

static int of_call(const char *verb, const char *call, const char *digest, unsigned long *ret)
{
	show("%s call %s %s\n", verb, call, digest ? digest : "-");
	*ret = 2;
	return 0;
}

int sandbox_changes_call_commit(sandbox_runtime *runtime, const char *call, const char *digest, unsigned long *ret,
				sandbox_error **error)
{
	(void)runtime;
	(void)error;
	return of_call("commit", call, digest, ret);
}

int sandbox_changes_call_discard(sandbox_runtime *runtime, const char *call, unsigned long *ret, sandbox_error **error)
{
	(void)runtime;
	(void)error;
	return of_call("discard", call, NULL, ret);
}

int sandbox_changes_call_rollback(sandbox_runtime *runtime, const char *call, unsigned long *ret, sandbox_error **error)
{
	(void)runtime;
	(void)error;
	return of_call("rollback", call, NULL, ret);
}

int sandbox_changes_rollback(const char *name, const char *to, sandbox_error **error)
{
	show("rollback %s %s\n", name, to);
	return strcmp(name, "k3f9x2m1") == 0 ? 0 : no_changes(name, error);
}

int sandbox_policy_set_fork(sandbox_policy *p, const char *name, sandbox_error **error)
{
	(void)p;
	(void)error;
	show("fork %s\n", name);
	return 0;
}

int sandbox_changes_discard(const char *name, const char *const *paths, unsigned long *ret, sandbox_error **error)
{
	return sandbox_changes_commit_reviewed(name, paths, 0, NULL, ret, error);
}

int sandbox_inspect(sandbox *b, char **ret, sandbox_error **error)
{
	(void)b;
	(void)error;
	*ret = strdup("{\"id\":\"k3f9x2m1\"}");
	return 0;
}

int sandbox_signal(sandbox *b, int signal, sandbox_error **error)
{
	(void)error;
	show("signal %s %d\n", b->name, signal);
	return 0;
}

int sandbox_signal_call(sandbox *b, const char *call, int signal, sandbox_error **error)
{
	(void)b;
	(void)error;
	show("signal %s %d\n", call, signal);
	return 0;
}

int sandbox_revoke_call(sandbox *b, const char *call, sandbox_error **error)
{
	(void)b;
	(void)error;
	show("revoke %s\n", call);
	return 0;
}

static const struct {
	int stream;
	const char *call, *text;
} pieces[] = {
	{ 1, "k3f9x2m1.1", "one\n" },
	{ 2, "k3f9x2m1.2", "two\n" },
	{ 1, "k3f9x2m1.2", "three\n" },
	{ 0, "k3f9x2m1.2", "" },
};

int sandbox_output_open(const char *name, sandbox_output **ret, sandbox_error **error)
{
	if (strcmp(name, "missing") == 0)
		return failed(error, ENOENT, SANDBOX_STAGE_USAGE, "there is no sandbox missing");
	*ret = calloc(1, sizeof(**ret));
	return 0;
}

int sandbox_output_next(sandbox_output *o, int *stream, const char **call, const void **data, unsigned long *len)
{
	if (o->next == ARRAY_LEN(pieces))
		return 0;
	*stream = pieces[o->next].stream;
	*call = pieces[o->next].call;
	*data = pieces[o->next].text;
	*len = strlen(pieces[o->next++].text);
	return 1;
}

void sandbox_output_free(sandbox_output *o) { free(o); }

const char *sandbox_name(const sandbox *b) { return b->name ? b->name : ""; }

const char *sandbox_id(const sandbox *b)
{
	(void)b;
	return "k3f9x2m1";
}

void sandbox_free(sandbox *b) { free(b); }

int sandbox_command_set_stdio(sandbox_command *c, int in, int out, int err)
{
	(void)c;
	show("stdio %d %d %d\n", in, out, err);
	return 0;
}

int sandbox_command_set_directory(sandbox_command *c, const char *path, sandbox_error **error)
{
	(void)c;
	(void)error;
	show("directory %s\n", path);
	return 0;
}

int sandbox_command_set_env(sandbox_command *c, const char *name, const char *value, sandbox_error **error)
{
	(void)c;
	(void)error;
	show("env %s=%s\n", name, value);
	return 0;
}

int sandbox_command_set_isolation(sandbox_command *c, const char *isolation, sandbox_error **error)
{
	(void)c;
	(void)error;
	show("isolation %s\n", isolation);
	return 0;
}

int sandbox_command_set_timeout(sandbox_command *c, unsigned long ms)
{
	(void)c;
	show("timeout %lu\n", ms);
	return 0;
}

int sandbox_command_set_background(sandbox_command *c, int background)
{
	(void)c;
	show("background %d\n", background);
	return 0;
}

int sandbox_command_set_detached(sandbox_command *c, int detached)
{
	(void)c;
	show("detached %d\n", detached);
	return 0;
}

int sandbox_command_set_last(sandbox_command *c, int last)
{
	(void)c;
	show("last %d\n", last);
	return 0;
}

int sandbox_grant_new(sandbox_grant **ret, sandbox_error **error)
{
	(void)error;
	*ret = NULL;
	show("grant\n");
	return 0;
}

int sandbox_grant_from_sandbox(const sandbox *box, const char *name, sandbox_grant **ret, sandbox_error **error)
{
	(void)box;
	(void)error;
	*ret = NULL;
	show("grant %s\n", name);
	return 0;
}

int sandbox_grant_set(sandbox_grant *g, const char *key, const char *value, const char *origin, sandbox_error **error)
{
	(void)g;
	(void)error;
	show("grant set %s=%s from %s\n", key, value, origin);
	return 0;
}

int sandbox_open_inside(sandbox_runtime *r, sandbox **ret, sandbox_error **error)
{
	return sandbox_open(r, "inside", ret, error);
}

int sandbox_command_set_template(sandbox_command *c, const char *name, sandbox_error **error)
{
	(void)c;
	(void)error;
	show("template %s\n", name);
	return 0;
}

int sandbox_command_set_grant(sandbox_command *c, sandbox_grant *g, sandbox_error **error)
{
	(void)c;
	(void)g;
	(void)error;
	show("granted\n");
	return 0;
}

int sandbox_command_new(const char *const *argv, sandbox_command **ret, sandbox_error **error)
{
	(void)error;
	*ret = calloc(1, sizeof(**ret));
	(*ret)->argv = argv;
	return 0;
}

void sandbox_command_free(sandbox_command *c) { free(c); }

int sandbox_command_set_terminal(sandbox_command *c, unsigned rows, unsigned columns)
{
	c->terminal = true;
	c->rows = rows;
	c->columns = columns;
	return 0;
}

static void run_child(const sandbox_command *c, int slave, int report)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (slave >= 0) {
		ioctl(slave, TIOCSCTTY, 0);
		for (int fd = 0; fd < 3; fd++)
			dup2(slave, fd);
		close_range(3, (unsigned)report - 1, 0);
	}
	execvp(c->argv[0], (char *const *)(uintptr_t)c->argv);
	int err = errno;
	if (write(report, &err, sizeof(err)) < 0)
		_exit(2);
	_exit(1);
}

/* It has started, or not, before it returns. */
int sandbox_start_async(sandbox *b, const sandbox_command *c, sandbox_call **ret, sandbox_error **error)
{
	struct winsize size = { .ws_row = (unsigned short)c->rows, .ws_col = (unsigned short)c->columns };
	int pty = -1, slave = -1, report[2], err;

	if (fake_start_stage)
		return failed(error, fake_start_errno, fake_start_stage, "it failed");
	if ((c->terminal && openpty(&pty, &slave, NULL, NULL, &size) < 0) || pipe2(report, O_CLOEXEC) < 0)
		return failed(error, errno, SANDBOX_STAGE_INTERNAL, "pty");
	pid_t pid = fork();
	if (pid == 0)
		run_child(c, slave, report[1]);
	close(report[1]);
	fd_close(slave);
	ssize_t n = read(report[0], &err, sizeof(err));
	close(report[0]);
	if (n > 0)
		return failed(error, err, SANDBOX_STAGE_EXEC, "cannot run it");
	b->runtime->fd = (int)syscall(SYS_pidfd_open, pid, 0);
	*ret = calloc(1, sizeof(**ret));
	(*ret)->pid = pid;
	(*ret)->terminal = pty;
	return 0;
}

const char *sandbox_call_id(const sandbox_call *c)
{
	(void)c;
	return "k3f9x2m1.1";
}

int sandbox_call_state(const sandbox_call *c)
{
	siginfo_t info = { 0 };

	if (!c->ended && waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == c->pid)
		return SANDBOX_CALL_ENDED;
	return c->ended ? SANDBOX_CALL_ENDED : SANDBOX_CALL_RUNNING;
}

int sandbox_call_terminal(const sandbox_call *c) { return c->terminal; }

int sandbox_call_signal(sandbox_call *c, int signal, sandbox_error **error)
{
	(void)error;
	return kill(-c->pid, signal) < 0 ? -errno : 0;
}

int sandbox_call_wait(sandbox_call *c, int timeout_ms, sandbox_error **error)
{
	(void)error;
	if (!c->ended && waitpid(c->pid, &c->status, timeout_ms == 0 ? WNOHANG : 0) == c->pid)
		c->ended = true;
	return c->ended ? 0 : -ETIMEDOUT;
}

int sandbox_call_cancel(sandbox_call *c, sandbox_error **error) { return sandbox_call_signal(c, SIGKILL, error); }
const char *sandbox_policy_auditor(const sandbox_policy *p) { (void)p; return NULL; }

int sandbox_approvals(sandbox *b, char **ret, sandbox_error **error)
{
	(void)b;
	(void)error;
	*ret = strdup("[]");
	return 0;
}

int sandbox_add_rule(sandbox *b, const char *key, const char *rule, sandbox_error **error)
{
	(void)b;
	(void)key;
	return failed(error, EEXIST, SANDBOX_STAGE_POLICY, rule);
}

int sandbox_disallow(sandbox *b, const char *rule, sandbox_error **error)
{
	(void)b;
	return failed(error, ENOENT, SANDBOX_STAGE_POLICY, rule);
}

int sandbox_add_secret(sandbox *b, sandbox_policy *p, const char *name, sandbox_error **error)
{
	(void)b;
	(void)p;
	return failed(error, EEXIST, SANDBOX_STAGE_SECRET, name);
}

int sandbox_rotate_secret(sandbox *b, sandbox_policy *p, const char *name, sandbox_error **error)
{
	(void)b;
	(void)p;
	return failed(error, ENOENT, SANDBOX_STAGE_SECRET, name);
}

int sandbox_revoke_secret(sandbox *b, const char *name, sandbox_error **error)
{
	(void)b;
	return failed(error, ENOENT, SANDBOX_STAGE_SECRET, name);
}

int sandbox_rules(sandbox *b, char **ret, sandbox_error **error)
{
	(void)b;
	(void)error;
	*ret = strdup("[]");
	return 0;
}

int sandbox_decide(sandbox *b, const char *ticket, const char *digest, int decision, sandbox_error **error)
{
	(void)b;
	(void)digest;
	(void)decision;
	return failed(error, ENOENT, SANDBOX_STAGE_USAGE, ticket);
}

int sandbox_call_exit_status(const sandbox_call *c) { return WIFEXITED(c->status) ? WEXITSTATUS(c->status) : 0; }
int sandbox_call_exit_signal(const sandbox_call *c) { return WIFSIGNALED(c->status) ? WTERMSIG(c->status) : 0; }

const char *sandbox_call_reason(const sandbox_call *c)
{
	return fake_reason ? fake_reason : WIFEXITED(c->status) ? "exit" : "signal";
}

void sandbox_call_free(sandbox_call *c)
{
	if (c)
		fd_close(c->terminal);
	free(c);
}

int sandbox_doctor(sandbox_runtime *r, char **ret_json, int *ret_ok, sandbox_error **error)
{
	(void)r;
	(void)error;
	*ret_ok = 0;
	*ret_json = strdup("[{\"control\":\"user namespaces\",\"status\":\"ok\",\"fix\":\"\"},"
			   "{\"control\":\"landlock\",\"status\":\"missing\",\"fix\":\"boot with lsm=landlock\"}]");
	return 0;
}

const char *sandbox_version(void) { return "1.2.3"; }

int sandbox_version_json(char **ret)
{
	*ret = strdup("{\"version\":\"1.2.3\"}");
	return 0;
}

int sandbox_audit_path(const char *id, char **ret, sandbox_error **error)
{
	if (!id || strcmp(id, "known") != 0)
		return failed(error, ENOENT, SANDBOX_STAGE_AUDIT, "there is no audit log of it");
	*ret = strdup("/dev/null");
	return 0;
}

int sandbox_audit_verify(const char *path, const char *head, int *ret_ok, char **ret_text, sandbox_error **error)
{
	(void)path;
	(void)error;
	*ret_ok = head == NULL;
	*ret_text = strdup("text");
	return 0;
}

static int child(const char *const *words, int in, int out, int err)
{
	int n = 0;

	dup2(in, 0);
	dup2(out, 1);
	dup2(err, 2);
	close_range(3, ~0U, 0);
	while (words[n])
		n++;
	n = commands_run(n, (char **)(uintptr_t)words);
	fflush(stdout);
	return n;
}

void run_nsbox(const char *const *words, const char *in, struct outcome *ret)
{
	int out[2], err[2], input[2], status;

	*ret = (struct outcome){ 0 };
	fflush(stdout);
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 || pipe2(input, O_CLOEXEC) < 0)
		abort();
	pid_t pid = fork();
	if (pid == 0) {
		close(input[1]);
		_exit(child(words, input[0], out[1], err[1]));
	}
	close(out[1]);
	close(err[1]);
	close(input[0]);
	if (in)
		write_all(input[1], in, strlen(in));
	close(input[1]);
	struct pollfd p[2] = { { .fd = out[0], .events = POLLIN }, { .fd = err[0], .events = POLLIN } };
	struct buf *to[2] = { &ret->out, &ret->err };
	while (p[0].fd >= 0 || p[1].fd >= 0) {
		poll(p, 2, -1);
		for (int i = 0; i < 2; i++) {
			if (p[i].fd < 0 || !p[i].revents)
				continue;
			buf_reserve(to[i], 4096);
			ssize_t n = read(p[i].fd, to[i]->data + to[i]->len, 4096);
			if (n > 0)
				to[i]->len += (size_t)n;
			else
				p[i].fd = -1;
		}
	}
	close(out[0]);
	close(err[0]);
	waitpid(pid, &status, 0);
	ret->status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	buf_str(&ret->out);
	buf_str(&ret->err);
}

void outcome_free(struct outcome *o)
{
	buf_free(&o->out);
	buf_free(&o->err);
}
