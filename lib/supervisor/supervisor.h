/* SPDX-License-Identifier: Apache-2.0 */
/* The calls between the parts of the supervisor, by the file that has them. Theory of operation: main.c. */
#ifndef NSBOX_SUPERVISOR_SUPERVISOR_H
#define NSBOX_SUPERVISOR_SUPERVISOR_H

#include "supervisor/objects.h"

/* loop.c */
int loop_add(struct supervisor *s, struct source *source, int fd,
	     void (*ready)(struct supervisor *, struct source *, uint32_t));
void loop_remove(struct supervisor *s, struct source *source);
void loop_pause(struct supervisor *s, struct source *source, bool paused);
/* Ask for POLLOUT as long as the link has packets waiting. */
void loop_want_write(struct supervisor *s, struct source *source, const struct link *l);
void loop_want(struct supervisor *s, struct source *source, bool write);
/* Some object's deadline is now this. */
void loop_deadline(struct supervisor *s, uint64_t at);
/* One event, or what is due: 1. Nothing to do, or (wait) nothing until the next deadline: 0. */
int loop_step(struct supervisor *s, bool wait);
int loop_run(struct supervisor *s);

/* client_link.c: connections, and what goes to clients. client may be NULL. */
int client_add(struct supervisor *s, int fd);
/* Of a call. */
int client_add_inside(struct call *asker, int fd);
void clients_reap(struct supervisor *s);
void client_reply(struct client *client, uint32_t request, const struct error *failure, const char *payload,
		  const int *fds, size_t n_fds);
void client_event(struct supervisor *s, const struct sandbox *sandbox, const char *event, const char *call,
		  const char *reason, const char *json);
void client_call_exit(struct call *call, const char *reason);

/* client_request.c: one message; a negative errno when it is out of form. */
struct client_message_in {
	struct wire_reader in;
	int fds[WIRE_MAX_FDS];
	size_t n_fds;
};
int client_request(struct supervisor *s, struct client *client, struct client_message_in *m);

/* inspect.c: the answer to MSG_INSPECT, or -ENOMEM. */
int inspect_sandbox(const struct sandbox *b, struct buf *out);

/* launcher_link.c */
int launcher_link_start(struct supervisor *s, int sock, int pidfd);
int launcher_send_sandbox(struct sandbox *sandbox, struct error *e);
int launcher_send_slot(const struct call *call);
int launcher_send_end(struct sandbox *sandbox);
int launcher_send_listen(struct sandbox *sandbox, uint32_t ticket, const uint16_t *ports, size_t n_ports);

/* guardian_link.c */
int guardian_attach(struct call *call, int sock);
int guardian_send_exec(struct call *call, struct error *e);
/* Read what was shown; run it (with START_SHOW). */
int guardian_send_program(struct call *call, bool copied);
int guardian_send_go(struct call *call);
int guardian_send_signal(struct call *call, uint32_t signal);
void guardian_close(struct call *call);

/* gateway_process.c */
/* Start one ahead: its program start overlaps with the client's reading of policies. A failure shows when it is used. */
void gateway_prepare(struct supervisor *s);
/* The one started ahead, or a new one: our end of its socket, and its pidfd. */
int gateway_process(struct supervisor *s, int *ret_sock, int *ret_pidfd);

/* gateway_link.c */
int gateway_spawn(struct sandbox *sandbox, int policy_fd, const int *secret_fds, size_t n_secrets, struct error *e);
int gateway_attach(struct sandbox *sandbox, const int *fds, size_t n_fds, struct error *e);
int gateway_send_call(struct call *call);
/* Its grant, before it starts. */
int gateway_send_bind(struct call *call, const char *about);
int gateway_send_call_end(struct call *call);
/* Of one that sent nothing: the gateway hears of it when it matters. */
int gateway_send_quiet_end(struct call *call);
/* What it has to ask about: before the first call, and when that becomes more. */
int gateway_send_audit(struct sandbox *sandbox);
void gateway_send_decided(struct sandbox *sandbox, uint64_t ticket, bool allowed, bool always, const char *reason);
void gateway_send_rule(struct sandbox *sandbox, uint32_t ticket, enum rule_key key, const char *rule, const char *origin,
		       const uint16_t *ports, const int *fds, size_t n_ports);
void gateway_send_secret(struct sandbox *sandbox, uint32_t ticket, uint8_t how, const char *name, const void *bytes,
			 size_t len, int fd);
/* Kill it; sandbox_part_gone() tells when it is gone. */
void gateway_stop(struct sandbox *sandbox);
/* Kill it and do not wait: the end of the supervisor, or of a sandbox that nobody asks for any more. */
void gateway_forget(struct sandbox *sandbox);

/* protected.c: what the host would execute, before the first call and after each (lib/watch) */
int protected_start(struct sandbox *sandbox, int state_fd, struct error *e);
/* Not everything was looked through for repositories. */
bool protected_is_cut(const struct sandbox *sandbox);
/* call: whose end it is, or NULL. */
void protected_check(struct sandbox *sandbox, const char *call);
/* At the end of this call, or soon, where it is a child. */
void protected_check_end(const struct call *call);
/* One that was put off: true when it was due. */
bool protected_expire(struct sandbox *sandbox, uint64_t now);
/* What was found, for inspect. */
int protected_member(const struct sandbox *sandbox, struct buf *out);
void protected_free(struct sandbox *sandbox);

/* sandbox.c: descriptors of the request are borrowed but for named, which is taken over. */
struct create_request {
	struct client *client;
	uint32_t request;
	const char *id;
	int policy_fd, log_fd, state_fd, layer_fd; /* layer_fd: -EBADF for none */
	struct named *named;
	const int *secret_fds;
	size_t n_secrets;
};
void sandbox_start(struct supervisor *s, const struct create_request *q);
/* In the list, and nothing else of it. NULL: out of memory. */
struct sandbox *sandbox_new(struct supervisor *s, const struct create_request *q);
void sandbox_free(struct sandbox *sandbox);
/* Policy and audit log, the latter new or gone on in. */
int sandbox_load(struct sandbox *sandbox, int policy_fd, int log_fd, bool goes_on, struct error *e);
struct sandbox *sandbox_by_id(struct supervisor *s, const char *id);
struct sandbox *sandbox_by_number(struct supervisor *s, uint32_t number);
/* A step of the start is done, or failed (failure != NULL). */
void sandbox_progress(struct sandbox *sandbox);
void sandbox_start_failed(struct sandbox *sandbox, const struct error *failure);
void sandbox_gateway_died(struct sandbox *sandbox);
void sandbox_end(struct sandbox *sandbox, struct client *client, uint32_t request);
/* Who made a named one has gone: it ends when its entry is not complete. */
void sandbox_forget_creator(struct sandbox *sandbox);
/* The launcher says that nothing of it is left there. */
void sandbox_ended(struct sandbox *sandbox);
/* Its gateway is gone. */
void sandbox_part_gone(struct sandbox *sandbox);
/* Client or launcher gone: write the last records; no answers. */
void sandbox_abandon_all(struct supervisor *s, const char *reason);

/* named.c */
/* Takes all descriptors over, also when it fails (NULL). */
struct named *named_new(const char *name, const int fds[4]);
int named_listen(struct sandbox *sandbox);
/* Clients are let in again after a lack of descriptors: true when it was due. */
bool named_expire(struct supervisor *s, uint64_t now);
/* Its entry says that it is starting. */
bool named_unfinished(const struct named *named);
/* The entry goes; the audit log stays. */
void named_remove(struct sandbox *sandbox);
void named_free(struct supervisor *s, struct named *named);

/* pool.c */
/* Start what waits and prepare what is missing. */
void pool_match(struct sandbox *sandbox);
void pool_set_depth(struct sandbox *sandbox, uint32_t depth);
/* A deadline of the pool is due: true when something was. */
bool pool_expire(struct sandbox *sandbox, uint64_t now);
/* Nothing runs that refilling would slow down. */
void pool_ended(struct sandbox *sandbox);
/* A part of a call's preparation is there. */
void pool_progress(struct call *call);
/* It cannot be prepared: whoever waits longest gets the error. Frees the call. */
void pool_failed(struct call *call, const struct error *failure);
void start_free(struct start *start);
/* Our copies: they would keep a pipe's other end from seeing its end. */
void start_close_stdio(struct start *start);
/* Take it out of the queue of those that wait. */
void start_unqueue(struct sandbox *sandbox, struct start *start);

/* call.c */
/* Takes start over, whatever happens. */
void call_ask(struct sandbox *sandbox, struct start *start);
struct call *call_new(struct sandbox *sandbox, bool full);
/* Let the prepared call run this. */
void call_take(struct call *call, struct start *start);
struct call *call_by_number(struct sandbox *sandbox, uint32_t number);
struct call *call_by_address(struct sandbox *sandbox, uint32_t address);
struct call *call_by_id(struct supervisor *s, const char *id);
bool call_is_running(const struct call *call);
void call_started(struct call *call, const struct error *failure, int terminal_fd);
/* To its start, once. */
void call_answer(struct call *call, const struct error *failure, int terminal);
/* What is held: all that was for the gateway has left; or it never will. */
void calls_release(struct sandbox *sandbox);
/* Without telling its client, who hears of it with the end (call_starts_async). */
void call_runs(struct call *call);
bool call_starts_async(const struct call *call);
/* Somebody decided about the program that its guardian has shown. */
void call_go(struct call *call);
/* The same, in another prepared call: what it may do became less than this one is prepared for. */
void call_move(struct call *call);
void call_denied(struct call *call, const struct error *failure, const char *reason);
/* It cannot be shown: not there, not executable. Nobody decided anything. */
void call_not_shown(struct call *call, const struct error *failure);
void call_signal(struct call *call, uint32_t signal);
/* Its command has ended; left: something of it goes on. */
void call_exited(struct call *call, uint32_t status, uint32_t signal, bool left);
/* Nothing of it lives any more. */
void call_done(struct call *call);
void call_cut(struct call *call);
/* Of one that is over. */
void call_forget(struct call *call);
/* The gateway may keep no trace of it; nobody hears of it. */
void call_drop(struct call *call);
/* The sandbox is dead, and so is the call. */
void call_lost(struct call *call);
void call_expire(struct call *call);
void call_free(struct call *call);

/* control_link.c: connections of calls to the supervisor. */
/* Takes sock over. */
int control_open(struct sandbox *sandbox, int sock, struct error *e);
void control_close(struct sandbox *sandbox);
/* Read nothing from calls for a moment. */
void control_pause(struct supervisor *s);
/* What a call of this sandbox asked for has kept the loop for so long. */
void control_spent(struct sandbox *sandbox, uint64_t us);
/* A pause is over: true when one was due. */
bool control_expire(struct supervisor *s, uint64_t now);

/* child.c: calls that calls asked for. They end with the one that asked, and before it. */
/* What start asks for is not possible: why, as for client_request.c, or NULL and start belongs to the asker. */
const char *child_ask(struct call *asker, struct start *start);
void child_refused(struct call *asker, const char *why);
/* Whether so many more, for what calls ask for, leave enough to all others: without descriptors the launcher cannot be heard,
 * and then everything ends. */
bool children_have_descriptors(const struct supervisor *s, size_t more);
/* The call takes start over: whose child it is, also for its record. */
void child_taken(struct call *call);
int child_member(const struct call *call, struct buf *members);
/* Nothing of this call lives any more: end what it asked for. */
void children_end(struct call *call);
bool children_left(const struct call *call);
/* The call is about to be freed. */
void child_gone(struct call *call);
/* Those that only waited for their children have ended. */
void children_reap(struct supervisor *s);

/* closer.c: closing what a sandbox sent us. */
/* Before the first; does nothing when it was. */
int closer_start(void);
void closer_close(int fd);
bool closer_is_behind(void);

/* call_grant.c: what start may do: what its client asked for (encoded, or nothing), within the template that its command
 * is bound to, within what the call that asks has, within the policy. An excess is an error that names it. */
int call_grant_decide(struct sandbox *sandbox, struct start *start, const void *bytes, size_t len,
		      struct error *e);
/* Once more after the grant became narrower: what of it is not the gateway's. */
int call_grant_apply(const struct sandbox *sandbox, struct start *start, struct error *e);
/* Member grant: an object of the keys of a [grant] section, each with an array; grant NULL: empty. */
int call_grant_object(const struct grant *grant, struct buf *members);
/* The same for the record: members grant and granted. */
int call_grant_members(const struct grant *grant, struct buf *members);
/* Tell the gateway what the call has, before it starts: that looks for it before it takes a connection of the call. */
int call_bind(struct call *call, struct error *e);
/* call_paths.c: the files of the grant as rules of a Landlock layer (none: as in the sandbox), and as covers where it
 * takes away below what it gives. For a call that is full (by its flags, or because of a cover) also as seals, covers
 * over what the grant does not let it write: Landlock has no right for modes, times and attributes. */
int call_paths(const struct policy *p, struct start *start, struct error *e);
/* The rules that every grant has that leaves the system's directories as they are: for LAUNCHER_SANDBOX. */
int call_paths_base(const struct policy *p, struct buf *ret);

/* revoke.c: end it whatever it does. The client is answered when nothing of it is left: by call_revoked(). */
int call_revoke(struct call *call, struct client *client, uint32_t request);
void call_revoked(struct call *call);
void call_forget_revoker(struct call *call, const struct client *client);

/* change.c: the client is answered when it is done, or with what is wrong. */
/* key: RULE_KEY_NONE to remove it, of whatever key. */
void change_rule(struct sandbox *sandbox, struct client *client, uint32_t request, enum rule_key key, const char *rule,
		 const char *origin);
/* how: enum secret_change; bytes: the secret to add; fd: of its value, the caller's. */
void change_secret(struct sandbox *sandbox, struct client *client, uint32_t request, uint8_t how, const char *name,
		   const void *bytes, size_t len, int fd);
/* The launcher's and the gateway's answers. The descriptors stay the caller's. */
void change_listening(struct sandbox *sandbox, uint32_t ticket, const struct error *failure, const int *fds, size_t n_fds);
int change_done(struct sandbox *sandbox, uint32_t ticket, const struct error *failure);
/* They fail: nobody is there to do them. */
void changes_drop(struct sandbox *sandbox);
void changes_forget(struct sandbox *sandbox, const struct client *client);
/* A memfd of the policy as it is now, or -errno. */
int change_policy_fd(const struct sandbox *sandbox);

/* output.c: pipes instead of the standard output and error of start; then what is in them. */
int output_open(struct call *call);
void output_close(struct call *call);

/* record.c: one audit record, flushed, and its event to the clients. reason may be NULL. */
int record_write(struct sandbox *sandbox, const char *event, const char *call, const char *reason,
		 const char *members);
/* The same without flush, for batches from the gateway. */
int record_add(struct sandbox *sandbox, const char *event, const char *call, const char *reason, const char *members);

#endif
