/* SPDX-License-Identifier: Apache-2.0 */
/* The objects behind the public handles, shared by the files of lib/client. Theory of operation: runtime.c. */
#ifndef NSBOX_CLIENT_CLIENT_H
#define NSBOX_CLIENT_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <sandbox/sandbox.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/wire.h"
#include "policy/policy.h"

#define MAX_EVENTS 4096u

struct sandbox_error {
	struct error e;
};

struct sandbox_event {
	struct sandbox_event *next;
	char *name, *sandbox, *call, *reason, *json;
};

struct secret_value {
	struct secret_value *next;
	char *name;
	struct buf value; /* wiped on free */
};

struct sandbox_policy {
	struct policy *policy;
	struct secret_value *values;
	char *audit_log; /* NULL: in the state directory */
};

struct sandbox_runtime {
	char *helper_dir; /* NULL: the compiled-in one */
	char *wanted;	  /* ",name,name,", NULL: all events */
	int fd, pidfd;	  /* -EBADF before the supervisor starts and after it is gone */
	bool lost;
	uint32_t last_request;
	struct sandbox_event *events, **events_tail;
	uint32_t n_events, n_lost;
	struct sandbox_call *calls;
	struct sandbox *sandboxes;
};

struct sandbox {
	struct sandbox *next;
	struct sandbox_runtime *runtime; /* NULL once the runtime is gone */
	struct policy *policy; /* decoded copy: the caller may free or change its own */
	char id[16];
	char *log_path;
	uint32_t n_calls;
};

struct sandbox_command {
	char **argv, **env; /* env: NAME=VALUE */
	char *cwd;
	int stdio[3];
	bool terminal;
	unsigned rows, columns;
};

struct sandbox_call {
	struct sandbox_call *next;
	struct sandbox_runtime *runtime; /* NULL once the runtime is gone */
	char sandbox_id[16], id[32];
	int terminal_fd;
	bool ended;
	int exit_status, exit_signal;
	char *reason;
};

/* error.c: make a public error of a record; returns the negative errno of it. */
int error_publish(const struct error *e, sandbox_error **ret);

/* connection.c */
/* gateway: one will be needed soon. */
int connection_open(struct sandbox_runtime *r, bool gateway, struct error *e);
void connection_close(struct sandbox_runtime *r);
/* Begin a request; the caller appends its payload. */
int request_begin(struct sandbox_runtime *r, struct buf *m, uint32_t type, uint32_t *ret_request);
/* Send it and take messages in until its answer came. *ret_fd (may be NULL) gets the descriptor of the answer. */
int request_run(struct sandbox_runtime *r, const struct buf *m, uint32_t request, const int *fds, size_t n_fds,
		int *ret_fd, struct error *e);
/* Take in one message, waiting at most timeout_ms: 1 taken, 0 none, -errno. */
int connection_take(struct sandbox_runtime *r, int timeout_ms, struct error *e);

/* call.c */
void call_note_exit(struct sandbox_runtime *r, const char *id, uint32_t status, uint32_t signal, const char *reason);
/* event.c: takes nothing over. */
void event_push(struct sandbox_runtime *r, const char *name, const char *sandbox, const char *call, const char *reason,
		const char *json);
void events_drop(struct sandbox_runtime *r);

/* state.c: where state lives, made when missing, 0700. */
int state_audit_open(const char *id, char **ret_path, struct error *e); /* new empty log, descriptor */
int state_audit_dir(char **ret_path, struct error *e);			/* path only, nothing is made */

/* secret.c: one descriptor per secret of the policy, in its order, from which its value can be read to the end. */
int secrets_open(const struct sandbox_policy *policy, int *fds, size_t max, size_t *ret_n, struct error *e);

/* environment.c: the environment of a call, without the placeholders. */
int environment_build(const struct policy *p, char *const *extra, char ***ret_env, struct error *e);

/* audit_file.c: make the audit log at a path of the caller's choice; as state_audit_open(). */
int audit_file_open(const struct policy *p, const char *given, char **ret_path, struct error *e);

/* limits.c: refuse limits that cannot be applied here. */
int limits_check(const struct policy *p, struct error *e);

#endif
