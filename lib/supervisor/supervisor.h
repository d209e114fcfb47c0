/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the supervisor share: its objects and the calls between its parts. Theory of operation: main.c. */
#ifndef NSBOX_SUPERVISOR_SUPERVISOR_H
#define NSBOX_SUPERVISOR_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "audit/log.h"
#include "policy/policy.h"
#include "supervisor/link.h"
#include "supervisor/protocol.h"

/* Bounds on what a client can ask of one supervisor. */
#define MAX_SANDBOXES 4096u
#define MAX_CALLS 1024u /* at once in one sandbox */
#define MAX_ARGS 65536u
#define MAX_EVENTS_WAITING 4096u
#define MAX_POLICY (16u << 20)
/* A gateway waits for its secret sources; one that never ends would hang the caller. */
#define GATEWAY_READY_US (60u * 1000000u)
/* Between TERM and KILL of a call that ran out of time. */
#define KILL_AFTER_US (5u * 1000000u)

struct supervisor;

/* A descriptor in the epoll set, first member of what it belongs to. */
struct source {
	int fd;
	uint32_t events; /* what epoll watches it for now */
	void (*ready)(struct supervisor *s, struct source *source, uint32_t events);
};

enum call_state {
	CALL_WAITS_GATEWAY, /* the gateway makes its placeholders */
	CALL_WAITS_LAUNCHER,
	CALL_RUNNING,
	CALL_WAITS_CUT, /* all its processes are dead; the gateway cuts its connections */
};

struct call {
	struct call *next;
	struct sandbox *sandbox;
	uint32_t number;
	char *id;
	enum call_state state;
	uint32_t request; /* to answer when it has started, 0 = answered */
	char **argv, **env;
	char *cwd;
	bool terminal;
	uint32_t rows, columns, address;
	int stdio[3];
	uint64_t deadline; /* now_us() value, 0 = none */
	bool timed_out, killed;
	uint32_t exit_status, exit_signal;
};

enum sandbox_state { SANDBOX_STARTING, SANDBOX_READY, SANDBOX_ENDING };
enum gateway_state { GATEWAY_NONE, GATEWAY_STARTING, GATEWAY_UP, GATEWAY_DEAD };

struct sandbox {
	struct sandbox *next;
	struct supervisor *supervisor;
	uint32_t number;
	char *id;
	enum sandbox_state state;
	uint32_t request; /* CREATE or DESTROY to answer, 0 = none */
	struct policy *policy;
	struct audit_log *log;
	struct call *calls;
	size_t n_calls;
	bool launched; /* the launcher has made it, so it has to be told to end it */
	bool ended; /* the launcher has nothing of it any more */
	bool exit_recorded;

	enum gateway_state gateway;
	struct source gateway_source, gateway_exit;
	struct link gateway_link;
	int gateway_pidfd;
	uint64_t gateway_deadline;
};

struct supervisor {
	int epoll;
	int helper_dir;
	struct source client_source, launcher_source;
	struct link client, launcher;
	int launcher_pidfd;
	bool launcher_dead;
	bool greeted, done;
	int spare_sock, spare_pidfd; /* a gateway started ahead of the first sandbox, -EBADF = none */
	char *wanted; /* ",name,name,": events that the client wants, NULL = all */
	struct sandbox *sandboxes;
	size_t n_sandboxes;
	uint32_t last_number; /* of sandboxes and calls; 0 is never used */
	uint32_t next_address;
	uint64_t events_lost;
};

/* loop.c */
int loop_add(struct supervisor *s, struct source *source, int fd,
	     void (*ready)(struct supervisor *, struct source *, uint32_t));
void loop_remove(struct supervisor *s, struct source *source);
/* Ask for POLLOUT as long as the link has packets waiting. */
void loop_want_write(struct supervisor *s, struct source *source, const struct link *l);
int loop_run(struct supervisor *s);

/* client_link.c */
int client_link_start(struct supervisor *s, int fd);
void client_reply(struct supervisor *s, uint32_t request, const struct error *failure, const int *fds, size_t n_fds);
void client_event(struct supervisor *s, const struct sandbox *sandbox, const char *event, const char *call,
		  const char *reason, const char *json);
void client_call_exit(struct supervisor *s, const struct call *call, const char *reason);

/* launcher_link.c */
int launcher_link_start(struct supervisor *s, int sock, int pidfd);
int launcher_send_sandbox(struct sandbox *sandbox, struct error *e);
int launcher_send_call(struct call *call, struct error *e);
int launcher_send_signal(struct call *call, uint32_t signal);
int launcher_send_end(struct sandbox *sandbox);

/* gateway_link.c */
/* Start one ahead: its program start overlaps with the client's reading of policies. A failure shows when it is used. */
void gateway_prepare(struct supervisor *s);
int gateway_spawn(struct sandbox *sandbox, int policy_fd, const int *secret_fds, size_t n_secrets, struct error *e);
int gateway_attach(struct sandbox *sandbox, const int *fds, size_t n_fds, struct error *e);
int gateway_send_call(struct call *call, struct error *e);
int gateway_send_call_end(struct call *call);
/* Kill it; sandbox_part_gone() tells when it is gone. */
void gateway_stop(struct sandbox *sandbox);
/* Kill it and do not wait: the end of the supervisor, or of a sandbox that nobody asks for any more. */
void gateway_forget(struct sandbox *sandbox);

/* sandbox.c: takes policy_fd, log_fd and secret_fds as borrowed. */
void sandbox_start(struct supervisor *s, uint32_t request, const char *id, int policy_fd, int log_fd,
		   const int *secret_fds, size_t n_secrets);
struct sandbox *sandbox_by_id(struct supervisor *s, const char *id);
struct sandbox *sandbox_by_number(struct supervisor *s, uint32_t number);
/* A step of the start is done, or failed (failure != NULL). */
void sandbox_progress(struct sandbox *sandbox);
void sandbox_start_failed(struct sandbox *sandbox, const struct error *failure);
void sandbox_gateway_died(struct sandbox *sandbox);
void sandbox_end(struct sandbox *sandbox, uint32_t request);
/* The launcher says that nothing of it is left there. */
void sandbox_ended(struct sandbox *sandbox);
/* Its gateway is gone. */
void sandbox_part_gone(struct sandbox *sandbox);
/* Client or launcher gone: write the last records; no answers. */
void sandbox_abandon_all(struct supervisor *s, const char *reason);

/* call.c: takes over argv, env, cwd and stdio of the half-made call, whatever happens. */
void call_start(struct call *call);
struct call *call_by_number(struct supervisor *s, uint32_t number);
struct call *call_by_id(struct supervisor *s, const char *id);
void call_gateway_ready(struct call *call, char **env);
void call_started(struct call *call, const struct error *failure, int terminal_fd);
void call_exited(struct call *call, uint32_t status, uint32_t signal);
void call_cut(struct call *call);
void call_expire(struct call *call);
void call_free(struct call *call);

/* record.c: one audit record, flushed, and its event to the client. reason may be NULL. */
int record_write(struct sandbox *sandbox, const char *event, const char *call, const char *reason,
		 const char *members);
/* The same without flush, for batches from the gateway. */
int record_add(struct sandbox *sandbox, const char *event, const char *call, const char *reason, const char *members);

#endif
