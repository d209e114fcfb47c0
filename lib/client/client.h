/* SPDX-License-Identifier: Apache-2.0 */
/* The objects behind the public handles, shared by the files of lib/client. Theory of operation: runtime.c. */
#ifndef NSBOX_CLIENT_CLIENT_H
#define NSBOX_CLIENT_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <sandbox/sandbox.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/user.h"
#include "base/wire.h"
#include "client/connection.h"
#include "policy/policy.h"

#define MAX_EVENTS 4096u
#define ID_MAX 16u   /* of a sandbox, with the NUL */
#define NAME_MAX_BYTES 64u /* of a named sandbox */
#define CALL_ID_MAX 32u

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
	char *fork; /* whose changes to begin with; NULL: none */
};

struct sandbox_runtime {
	char *helper_dir; /* NULL: the compiled-in one */
	char *wanted;	  /* ",name,name,", NULL: all events */
	int epoll;	  /* all connections, and wake */
	int wake;	  /* eventfd: something was taken in where dispatch was not asked */
	bool woken, dispatching;
	bool started; /* a connection was made once: too late for settings */
	uint8_t *packet; /* receive buffer of every connection, used up before the next message: WIRE_MAX_PACKET */
	struct connection *own; /* the supervisor of sandbox_create(), NULL before the first */
	struct connection *connections;
	struct sandbox_event *events, **events_tail;
	uint32_t n_events, n_lost;
	struct sandbox *sandboxes;
	const struct sandbox_call *awaited; /* by whoever reads just now: its news wake nobody */
};

struct sandbox {
	struct sandbox *next;
	struct sandbox_runtime *runtime;       /* NULL once the runtime is gone */
	struct connection *connection;	       /* NULL with the runtime */
	struct policy *policy; /* decoded copy: the caller may free or change its own */
	bool inside; /* the one around this process; no policy, no id */
	char **env; /* of every call; made with the first, since making it takes longer than all else of a start here */
	bool removed;
	char id[ID_MAX], name[NAME_MAX_BYTES + 1]; /* name "": not a named one */
	char *log_path;
};

struct sandbox_grant {
	struct grant *grant;
};

struct sandbox_command {
	char **argv, **env; /* env: NAME=VALUE */
	char *cwd;
	int stdio[3];
	bool terminal, full, background, detached, last, drops;
	unsigned rows, columns;
	uint64_t timeout_us;
	struct buf grant; /* encoded; empty: nothing narrower is asked for */
	char *template;	  /* of MSG_START; NULL: the one that binds the command, if any */
};

struct sandbox_call {
	struct sandbox_call *next;
	struct connection *connection; /* NULL once the runtime is gone */
	struct request request;	       /* its MSG_START, in the connection's list while it is starting */
	enum sandbox_call_state state;
	bool detached, lost; /* lost: nobody can say any more how it ended */
	char id[CALL_ID_MAX];
	int terminal_fd, pipes[3];
	int exit_status, exit_signal;
	char *reason;
	struct sandbox_error *error;
};

/* error.c: make a public error of a record; returns the negative errno of it. */
int error_publish(const struct error *e, sandbox_error **ret);

/* policy_api.c: an answer of the functions that decide. quotas: JSON array of names, or NULL; ret_json may be NULL. */
int decision_json(bool allowed, const char *rule, const char *source, const char *reason, const char *quotas,
		  int *ret_allowed, char **ret_json, sandbox_error **error);
/* The quotas of a verdict as that array, appended: NULL without any. */
const char *quotas_json(const struct policy *p, uint64_t quotas, struct buf *b);

/* sandbox.c */
int sandbox_id_new(char ret[ID_MAX]);
struct sandbox *sandbox_new(struct sandbox_runtime *r, struct error *e);
/* Give up the handle and its share of the connection; asks nothing of anybody. */
void sandbox_drop(struct sandbox *b);
/* 0, or the error that this cannot be asked for from inside. */
int sandbox_check_outside(const struct sandbox *b, struct error *e);
/* As it is sent: a sealed memfd. */
int policy_memfd(const struct policy *p, struct error *e);
/* Ask for the sandbox over its connection. place: entry, lock, socket directory and socket of a named one, or NULL. */
int sandbox_request_create(struct sandbox *b, const struct sandbox_policy *policy, const int place[4], struct error *e);
/* Ask for its end; force: also while calls run. */
int sandbox_request_destroy(struct sandbox *b, bool force, struct error *e);

/* call.c: what messages and losses do to a call */
void call_started(struct sandbox_call *call, const char *id, int terminal_fd);
void call_failed(struct sandbox_call *call, const struct error *e);
void call_ended(struct sandbox_call *call, uint32_t status, uint32_t signal, const char *reason);
void call_lost(struct sandbox_call *call);

/* stdio.c: the descriptors of a call. fds: what goes into the message; owned: of those, what is closed behind it. */
struct call_stdio {
	int fds[3], owned[3];
	size_t n, n_owned;
	bool has_null;
	size_t null; /* index in owned */
};
int call_stdio_open(const struct sandbox_command *command, bool named, struct sandbox_call *call, struct call_stdio *ret,
		    struct error *e);
void call_stdio_close(struct call_stdio *s);

/* event.c: takes nothing over. */
void event_push(struct sandbox_runtime *r, const char *name, const char *sandbox, const char *call, const char *reason,
		const char *json);
void events_drop(struct sandbox_runtime *r);

/* secret.c: one descriptor per secret of the policy, in its order, from which its value can be read to the end; of a
 * command, a socket to what runs it (source/protocol.h). */
int secrets_open(const struct sandbox *b, const struct sandbox_policy *policy, int *fds, size_t max, size_t *ret_n,
		 struct error *e);
/* What else the gateway gets to see alone, in the order of the wire: the keys of client certificates, the
 * password of upstream_proxy. */
int upstream_secrets_open(const struct sandbox *b, const struct policy *policy, int *fds, size_t max, size_t *ret_n, struct error *e);

/* Of one secret of it, for a sandbox that runs by present. The descriptor, or -errno. */
int secret_open(const struct sandbox *b, const struct sandbox_policy *policy, const struct policy *present,
		const struct policy_secret *s, struct error *e);

/* environment.c: the environment of every call in a sandbox, without the placeholders; and with more entries. */
int environment_build(const struct policy *p, const char *user, char ***ret_env, struct error *e);
int environment_add(const struct policy *p, char *const *base, char *const *extra, char ***ret_env, struct error *e);
/* Of a call within a call: that of this process. Placeholders in it are dropped by the supervisor. */
int environment_inherit(char ***ret_env, struct error *e);

/* audit_file.c: make the audit log at a path of the caller's choice; as state_audit_open(). */
int audit_file_open(const struct policy *p, const char *given, char **ret_path, struct error *e);

/* limits.c: refuse limits that cannot be applied here. */
int limits_check(const struct policy *p, struct error *e);

#endif
