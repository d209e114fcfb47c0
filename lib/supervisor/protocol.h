/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between client library and supervisor, launcher, guardians and gateway: one packet each, u32 type first,
 * encoded with base/wire.h. Every receiver checks the type against the state it is in; anything else closes the
 * connection.
 */
#ifndef NSBOX_SUPERVISOR_PROTOCOL_H
#define NSBOX_SUPERVISOR_PROTOCOL_H

/* Errors travel as: u32 errno, u32 stage, str object, str message (wire_put_error, wire_get_error). */

/* ---- client <-> supervisor (fd 3 of the supervisor, or a connection to the socket of a named sandbox) ----
 * A call is a client too, over the control socket of its sandbox: it may send MSG_HELLO, MSG_START with the sandbox id
 * "", MSG_SIGNAL to calls that it started over the same connection, and MSG_CANCEL. It hears of no events. */
enum client_message {
	/* c->s  u32 WIRE_VERSION, str events wanted (",name,name,", "" = all, "," = none), u8 a gateway will be needed.
	 *       First message, no answer but on mismatch (a failed MSG_REPLY to request 0) */
	MSG_HELLO = 1,
	/* s->c  u32 request (0, failed: the supervisor is about to end), u8 failed, [error | str payload] */
	MSG_REPLY = 2,
	/* c->s  u32 request, str sandbox id, str name ("": not a named one), u32 n_secrets; fds: policy memfd, audit log
	 *       (append), state directory, with a name the entry's directory, its lock (held), the directory of the socket and the
	 *       listening socket NAME.sock in it; then one pipe a secret, the key of each client_cert, and the password of
	 *       upstream_proxy when it has one (as a secret's), which n_secrets counts too; last, when the policy has overlays, the locked
	 *       directory of their layer (overlay/layer.h).  reply: "" */
	MSG_CREATE = 3,
	/* c->s  u32 request, str sandbox id, strv argv, strv env, str cwd, u32 start flags, u32 rows, u32 columns,
	 *       u64 time limit in us (0: none of its own), bytes grant (policy/grant.h; none: as the policy and what binds
	 *       the command), str template ("": the one that binds the command, if any; "*": one has to bind it; else the
	 *       name of one that holds too); fds: in, out, err; none with START_TERMINAL; only in with
	 *       START_LOG.  reply: call id; fd: terminal's other side */
	MSG_START = 4,
	/* c->s  u32 request, str id of a call or of a sandbox (then every running call), u32 signal (SIGKILL: every
	 *       process).  reply: "" */
	MSG_SIGNAL = 5,
	/* c->s  u32 request, str sandbox id, u8 also while calls run.  reply: "", when all of it is gone */
	MSG_DESTROY = 6,
	/* s->c  str event, str sandbox, str call, str reason, str json */
	MSG_EVENT = 7,
	/* s->c  str sandbox, str call, u32 exit status, u32 signal, str reason, u32 request: the MSG_START with START_ASYNC
	 *       that this answers too, or 0. To the client that started it. */
	MSG_CALL_EXIT = 8,
	/* c->s  u32 request.  reply: id of the named sandbox; fd: policy memfd */
	MSG_OPEN = 9,
	/* c->s  u32 request, str sandbox id.  reply: JSON object (sandbox_inspect) */
	MSG_INSPECT = 10,
	/* c->s  u32 request, str sandbox id, u32 depth of the pool of prepared calls.  reply: "" */
	MSG_POOL = 11,
	/* c->s  u32 request, u32 earlier MSG_START of the same connection: give it up, or kill it.  reply: "" */
	MSG_CANCEL = 12,
	/* c->s  u32 request, str sandbox id.  reply: "", fd: sealed memfd with a JSON array of what waits for a person */
	MSG_APPROVALS = 13,
	/* c->s  u32 request, str sandbox id, str ticket, str digest, u32 decision (enum approval).  reply: "" */
	MSG_DECIDE = 14,
	/* c->s  u32 request, str id of a call.  reply: "", when no process, connection or placeholder of it is left */
	MSG_REVOKE = 15,
	/* c->s  u32 request, str sandbox id, u8 key (enum rule_key of policy/policy.h, 0: remove it), str rule, str origin.
	 *       reply: "", when no connection is left that only it allowed */
	MSG_RULE = 16,
	/* c->s  u32 request, str sandbox id.  reply: "", fd: memfd of the policy as it is now */
	MSG_POLICY = 17,
	/* c->s  u32 request, str sandbox id, u8 how (enum secret_change), str name, bytes secret (policy_secret_encode(), only
	 *       to add); fd: where the value is read, a pipe or file, or the socket of its helper (source/protocol.h); none
	 *       to revoke, or to rotate one of a command.  reply: "", when it is in use, or worth
	 *       nothing */
	MSG_SECRET = 18,
	/* c->s  u32 request, str sandbox id, str name; fds: policy memfd (of it only who is asked), audit log (append,
	 *       readable), memfd of questions about a commit (JSON members, each with its NUL), and what a name comes with in
	 *       MSG_CREATE. The sandbox has ended.  reply, minutes later when a person is asked: who allowed it and why as JSON
	 *       members, "" when the auditor does not decide about commits; nothing of it is left then */
	MSG_REVIEW = 19,
	/* c->s  u32 request, str id of a call that has ended, u32 what will be done with what it wrote (enum working), strv
	 *       paths of that, u64 number of files, u64 of those that the host would execute.  reply: "", when it is in the
	 *       audit log; fd: of its sandbox, which has overlays, the directory with the working state of each, by its number */
	MSG_WORKING = 20,
};

enum working { WORKING_LOOK = 0, WORKING_COMMIT = 1, WORKING_DISCARD = 2, WORKING_ROLLBACK = 3 };
#define WORKING_PATHS_MAX 65536u

enum secret_change { CHANGE_ADD = 0, CHANGE_ROTATE = 1, CHANGE_REVOKE = 2 };

enum approval_decision { APPROVAL_NO = 0, APPROVAL_YES = 1, APPROVAL_ALWAYS = 2 };

enum start_flag {
	START_TERMINAL = 1,
	START_FULL = 2,	      /* own pid and mount namespaces */
	START_BACKGROUND = 4, /* what its command leaves goes on */
	START_DETACHED = 8,   /* goes on without its client (named sandboxes) */
	START_LOG = 16,	      /* standard output and error into the sandbox's output file */
	START_REMOVES = 32,   /* the named sandbox ends with this call */
	START_DROPS = 64,     /* with START_REMOVES: and nobody wants what is in its overlays */
	START_ASYNC = 128,    /* not with a terminal: the reply may come as late as with the end, or START_ASYNC_US */
	START_SHOW = 256,     /* supervisor to guardian only: show the program, and wait for GUARDIAN_GO */
	START_EXPECT = 512,   /* the same: run the program that is described, and nothing else */
	_START_CLIENT_FLAGS = 255,
	_START_FLAGS = 1023,
};

/* From the start of a command to the news of it, when nobody waits for that. Longer than most that are short. */
#define START_ASYNC_US 2000u

/* The file "output" in the entry of a named sandbox: frames of this head (little-endian) and its bytes. */
#define OUTPUT_MAGIC 0x3154554fu /* "OUT1" */
#define OUTPUT_HEAD 16u		 /* u32 magic, u32 length, u32 number of the call, u8 stream (0: full), 3 bytes zero */
#define OUTPUT_MAX (64u << 20)

/* ---- supervisor <-> launcher ---- */
enum launcher_message {
	/* s->l  u32 sandbox, u8 net_mode, u32 pids, u32 open files, u32 n_ports, u32 ports..., bytes root plan
	 *       (namespace/plan.h), bytes what every grant has of the files (u32 n, n times: str path, u32 what is granted
	 *       there: confine/landlock.h); fd: the layer, when the plan has overlays */
	LAUNCHER_SANDBOX = 32,
	/* l->s  u32 sandbox, u8 failed, [error | -]; fds (only NET_GATEWAY): bundle file and key store of Java (O_RDWR,
	 *       empty, already in place inside), UDP 53, TCP 53, packet socket, then one TCP listener a port in the order
	 *       asked */
	LAUNCHER_SANDBOX_READY = 33,
	/* s->l  u32 sandbox, u32 slot, u32 address (0 without gateway), u8 full, bytes covers (namespace/cover.h; only with
	 *       full): prepare a call; also before the sandbox is ready */
	LAUNCHER_SLOT = 34,
	/* l->s  u32 sandbox, u32 slot, u8 failed, [error | u64 cookie of its network namespace, 0 when it has none of its
	 *       own]; fd: connection to its guardian */
	LAUNCHER_SLOT_READY = 35,
	/* l->s  u32 sandbox; fd: its control socket, bound and not listening. Before LAUNCHER_SANDBOX_READY, unless calls
	 *       share the network namespace of the host, where nobody can tell them apart */
	LAUNCHER_CONTROL = 36,
	/* l->s  u32 sandbox; fd: the directory with the working state of each, by its number. Before LAUNCHER_SANDBOX_READY, when it has overlays */
	LAUNCHER_WORKING = 42,
	/* s->l  u32 sandbox, u32 ticket, u32 n_ports, u32 ports...: more listeners */
	LAUNCHER_LISTEN = 37,
	/* l->s  u32 sandbox, u32 ticket, u8 failed, [error | -]; fds: the listeners, in the order asked */
	LAUNCHER_LISTENING = 41,
	/* s->l  u32 sandbox: kill everything in it */
	LAUNCHER_END = 38,
	/* l->s  u32 sandbox: gone. Also sent unasked when its init died. */
	LAUNCHER_ENDED = 39,
	/* l->s  error: it cannot go on, and ends with everything below it */
	LAUNCHER_FAILED = 40,
};

/* ---- supervisor <-> guardian of a call (namespace/guardian.c) ---- */
enum guardian_message {
	/* s->u  strv argv, strv env, str cwd, u32 start flags, u32 rows, u32 columns, u32 limit of open files
	 *       (0: the sandbox's), u8 the layer begins with what every grant has, u32 n, n times: str path, u32 what is
	 *       granted there; with neither, files are as in the sandbox; with START_EXPECT (not with
	 *       START_SHOW) str path, u64 dev, u64 ino, u64 size, u64 ctime in ns of the program. fds: in, out, err, except
	 *       with START_TERMINAL. Once. */
	GUARDIAN_EXEC = 48,
	/* u->s  u8 failed, [error | -]; fd: terminal's other side when one was asked. With failed the guardian is at its
	 *       end and nothing has run; also sent unasked when it cannot be prepared. With START_ASYNC GUARDIAN_EXIT may
	 *       come in its place. */
	GUARDIAN_STARTED = 49,
	/* s->u  u32 signal, to the command's process group; SIGKILL to every process of the call */
	GUARDIAN_SIGNAL = 50,
	/* u->s  u32 exit status, u32 signal, u8 some of it goes on (only with START_BACKGROUND), u8 a packet has left the
	 *       call. The command has ended, and with nothing that goes on every process of the call is dead. The
	 *       guardian leaves when the connection is closed. */
	GUARDIAN_EXIT = 51,
	/* u->s  after GUARDIAN_EXIT with processes left: now all are dead */
	GUARDIAN_DONE = 52,
	/* u->s  with START_SHOW, in the place of starting: str path without links, u8 nobody in the sandbox can write it
	 *       (the mount is read-only and no other name of it is in reach), u8 a script, u64 dev, u64 ino, u64 size,
	 *       u64 ctime in ns, bytes digest (none, or SHA-256) */
	GUARDIAN_SHOWN = 53,
	/* s->u  u8 as a sealed copy, which then runs: read it and show it again with its digest. Once. */
	GUARDIAN_PROGRAM = 54,
	/* s->u  u8 by its path, u32 limit of open files, u8, u32 n, n times a path and what is granted there, as in
	 *       GUARDIAN_EXEC, in whose place these are: run what was shown */
	GUARDIAN_GO = 55,
};

/*
 * ---- supervisor <-> gateway (fd 3 of the gateway). A call is its address. ----
 * Quiet messages come by a socket of their own, which wakes nobody, as most calls never use the network: the gateway takes
 * what is there before it believes an address, and before any other message but GATEWAY_WRITTEN. Once that socket was full
 * they come like the others.
 */
enum gateway_message {
	/* s->g  u32 WIRE_VERSION, str sandbox id, u32 n_secrets; fds: policy memfd, one pipe a secret (policy order), then
	 *       the key of each client_cert, and the password of upstream_proxy when it has one */
	GATEWAY_CONFIG = 64,
	/* s->g  u32 n_ports, u32 ports...; fds: bundle file, key store of Java, UDP 53, TCP 53, packet socket, socket of
	 *       quiet messages, listeners */
	GATEWAY_ATTACH = 65,
	/* g->s  u8 failed, [error | -]: once, after both of the above; the gateway is confined by then */
	GATEWAY_READY = 66,
	/* s->g  u32 address.   g->s GATEWAY_CALL_READY  u32 address, strv env (NAME=placeholder) */
	GATEWAY_CALL = 67,
	GATEWAY_CALL_READY = 68,
	/* s->g  u32 address, u32 address of the call that asked for it (0: none; what this one uses counts against that one
	 *       too), bytes grant (policy/grant.h; none: all of the policy), str what commands of secrets are told of the call (a
	 *       JSON object; "": it has no secret of one): before its command runs. Quiet */
	GATEWAY_CALL_BIND = 73,
	/* s->g  u32 address: cut its connections, forget its placeholders.   g->s GATEWAY_CALL_ENDED  u32 address, when
	 *       what commands of secrets gave it is revoked too, or after five seconds. Quiet for a call that sent nothing */
	GATEWAY_CALL_END = 69,
	GATEWAY_CALL_ENDED = 70,
	/* g->s  u64 ticket (0: no answer wanted), u32 n, n times: str event, u32 address of the call (0: none), str reason,
	 *       str members (JSON).  s->g GATEWAY_WRITTEN u64 ticket, u8 failed: written in order, so a ticket answers
	 *       all before it. With failed every waiting and later decision is a denial. */
	GATEWAY_RECORDS = 71,
	GATEWAY_WRITTEN = 72,
	/* s->g  u32 ops, AUDITOR_OP() bits of audit/auditor.h: ask before doing these. Before the first call runs; without
	 *       it nothing is asked. Again when the auditor came back with more of them. */
	GATEWAY_AUDIT = 74,
	/* g->s  u64 ticket (never used twice), u32 op (a request, a connection, more than the grant), u32 address of the
	 *       call, str members of the question (JSON without braces, names and digests only).  s->g GATEWAY_DECIDED u64
	 *       ticket, u8 allowed, u8 also for equal questions of this call, str reason (may be ""): exactly one, after
	 *       minutes when a person is asked, but for a ticket that was given up */
	GATEWAY_ASK = 75,
	GATEWAY_DECIDED = 76,
	/* g->s  u64 ticket: nobody waits for it any more */
	GATEWAY_ASK_CANCEL = 77,
	/* g->s  u32 address: it misused a secret whose policy is that this ends it */
	GATEWAY_CALL_KILL = 78,
	/* s->g  u32 ticket, u8 key (as in MSG_RULE), str rule, str origin, u32 n_ports, u32 ports...; fds: a listener each. The
	 *       policy is another one from here on, and what only a removed rule allowed is cut.  g->s GATEWAY_CHANGED
	 *       u32 ticket, u8 failed, [error | -]: done, or nothing is changed */
	GATEWAY_RULE = 79,
	GATEWAY_CHANGED = 80,
	/* s->g  u32 ticket, u8 how (enum secret_change), str name, bytes secret (only to add); fd: as in MSG_SECRET.  g->s
	 *       GATEWAY_CALL_READY of each call that is not bound, with the placeholder that was added, then GATEWAY_CHANGED */
	GATEWAY_SECRET = 81,
};

/* Of one gateway: those that were revoked count. */
#define SECRETS_EVER 1024u

#endif
