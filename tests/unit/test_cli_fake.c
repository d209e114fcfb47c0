/* SPDX-License-Identifier: Apache-2.0 */
/* The fake libsandbox: sandboxes are nothing, their events and output what a test says. And how a test runs nsbox. */
#include "test_cli_fake.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "nsbox.h"
#include "test_cli_fake_private.h"

int fake_show_calls, fake_start_stage, fake_start_errno, fake_gone;
const char *const *fake_events;
const char *fake_reason;

static size_t next_event;

struct sandbox_error {
	int err, stage;
	char message[256];
};
struct sandbox_output {
	size_t next;
};
struct sandbox_event {
	const char *json;
	char name[32], call[32];
};

int fake_failed(sandbox_error **error, int err, int stage, const char *message)
{
	*error = calloc(1, sizeof(**error));
	(*error)->err = err;
	(*error)->stage = stage;
	snprintf((*error)->message, sizeof((*error)->message), "%s", message);
	return -err;
}

void fake_show(const char *fmt, ...)
{
	va_list ap;

	if (!fake_show_calls)
		return;
	va_start(ap, fmt);
	vdprintf(2, fmt, ap);
	va_end(ap);
}

int sandbox_error_errno(const sandbox_error *e) { return e->err; }
int sandbox_error_stage(const sandbox_error *e) { return e->stage; }
const char *sandbox_error_message(const sandbox_error *e) { return e->message; }
void sandbox_error_free(sandbox_error *e) { free(e); }

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

int sandbox_create_named(sandbox_runtime *r, sandbox_policy *p, const char *name, sandbox **ret, sandbox_error **error)
{
	if (name && strcmp(name, "taken") == 0)
		return fake_failed(error, EEXIST, SANDBOX_STAGE_USAGE, "there is a sandbox taken already");
	fake_show("create %s\n", name ? name : "-");
	sandbox_create(r, p, ret, error);
	(*ret)->name = name ? name : "k3f9x2m1";
	return 0;
}

int sandbox_open(sandbox_runtime *r, const char *name, sandbox **ret, sandbox_error **error)
{
	if (strcmp(name, "missing") == 0)
		return fake_failed(error, ENOENT, SANDBOX_STAGE_USAGE, "there is no sandbox missing");
	fake_show("open %s\n", name);
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
		return fake_failed(error, EBUSY, SANDBOX_STAGE_USAGE, "calls run");
	fake_show("remove %s %d\n", b->name, force);
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
	fake_show("signal %s %d\n", b->name, signal);
	return 0;
}

int sandbox_signal_call(sandbox *b, const char *call, int signal, sandbox_error **error)
{
	(void)b;
	(void)error;
	fake_show("signal %s %d\n", call, signal);
	return 0;
}

int sandbox_revoke_call(sandbox *b, const char *call, sandbox_error **error)
{
	(void)b;
	(void)error;
	fake_show("revoke %s\n", call);
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
		return fake_failed(error, ENOENT, SANDBOX_STAGE_USAGE, "there is no sandbox missing");
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

int sandbox_open_inside(sandbox_runtime *r, sandbox **ret, sandbox_error **error)
{
	return sandbox_open(r, "inside", ret, error);
}

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
	return fake_failed(error, EEXIST, SANDBOX_STAGE_POLICY, rule);
}

int sandbox_disallow(sandbox *b, const char *rule, sandbox_error **error)
{
	(void)b;
	return fake_failed(error, ENOENT, SANDBOX_STAGE_POLICY, rule);
}

int sandbox_add_secret(sandbox *b, sandbox_policy *p, const char *name, sandbox_error **error)
{
	(void)b;
	(void)p;
	return fake_failed(error, EEXIST, SANDBOX_STAGE_SECRET, name);
}

int sandbox_rotate_secret(sandbox *b, sandbox_policy *p, const char *name, sandbox_error **error)
{
	(void)b;
	(void)p;
	return fake_failed(error, ENOENT, SANDBOX_STAGE_SECRET, name);
}

int sandbox_revoke_secret(sandbox *b, const char *name, sandbox_error **error)
{
	(void)b;
	return fake_failed(error, ENOENT, SANDBOX_STAGE_SECRET, name);
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
	return fake_failed(error, ENOENT, SANDBOX_STAGE_USAGE, ticket);
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
		return fake_failed(error, ENOENT, SANDBOX_STAGE_AUDIT, "there is no audit log of it");
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
