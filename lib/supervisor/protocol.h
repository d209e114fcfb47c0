/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between client library and supervisor, launcher and gateway: one packet each, u32 type first, encoded with
 * base/wire.h. Every receiver checks the type against the state it is in; anything else closes the connection.
 */
#ifndef NSBOX_SUPERVISOR_PROTOCOL_H
#define NSBOX_SUPERVISOR_PROTOCOL_H

/* Errors travel as: u32 errno, u32 stage, str object, str message (wire_put_error, wire_get_error). */

/* ---- client <-> supervisor (fd 3 of the supervisor) ---- */
enum client_message {
	/* c->s  u32 WIRE_VERSION, str events wanted (",name,name,", "" = all), u8 a gateway will be needed. First message, no answer but on mismatch (a failed MSG_REPLY to request 0) */
	MSG_HELLO = 1,
	/* s->c  u32 request, u8 failed, [error | payload] */
	MSG_REPLY = 2,
	/* c->s  u32 request, str sandbox id, u32 n_secrets; fds: policy memfd, audit log (append), one pipe a secret.
	 *       reply payload: empty */
	MSG_CREATE = 3,
	/* c->s  u32 request, str sandbox id, str call id, strv argv, strv env, str cwd, u8 terminal, u32 rows, u32 cols;
	 *       fds: in, out, err, except with terminal.  reply: empty; fd: terminal's other side */
	MSG_START = 4,
	/* c->s  u32 request, str call id, u32 signal */
	MSG_SIGNAL = 5,
	/* c->s  u32 request, str sandbox id */
	MSG_DESTROY = 6,
	/* s->c  str event, str sandbox, str call, str reason, str json */
	MSG_EVENT = 7,
	/* s->c  str sandbox, str call, u32 exit status, u32 signal, str reason */
	MSG_CALL_EXIT = 8,
};

/* ---- supervisor <-> launcher ---- */
enum launcher_message {
	/* s->l  u32 sandbox, u8 net_mode, u32 pids, u32 n_ports, u32 ports..., bytes root plan (namespace/plan.h) */
	LAUNCHER_SANDBOX = 32,
	/* l->s  u32 sandbox, u8 failed, [error | -]; fds (only NET_GATEWAY): bundle file (O_RDWR, empty, already in
	 *       place inside), UDP 53, TCP 53, packet socket, then one TCP listener a port in the order asked */
	LAUNCHER_SANDBOX_READY = 33,
	/* s->l  u32 sandbox, u32 call, u32 address (0 without gateway), strv argv, strv env, str cwd, u8 terminal,
	 *       u32 rows, u32 cols, u32 open_files; fds: in, out, err, except with terminal */
	LAUNCHER_CALL = 34,
	/* l->s  u32 call, u8 failed, [error | -]; fd: terminal's other side when one was asked */
	LAUNCHER_CALL_STARTED = 35,
	/* s->l  u32 call, u32 signal */
	LAUNCHER_SIGNAL = 36,
	/* l->s  u32 call, u32 exit status, u32 signal. By then every process of the call is dead. */
	LAUNCHER_CALL_EXIT = 37,
	/* s->l  u32 sandbox: kill everything in it */
	LAUNCHER_END = 38,
	/* l->s  u32 sandbox: gone. Also sent unasked when its init died; calls have had their exits before. */
	LAUNCHER_ENDED = 39,
};

/* ---- supervisor <-> gateway (fd 3 of the gateway) ---- */
enum gateway_message {
	/* s->g  u32 WIRE_VERSION, str sandbox id, u32 n_secrets; fds: policy memfd, one pipe a secret (policy order) */
	GATEWAY_CONFIG = 64,
	/* s->g  u32 n_ports, u32 ports...; fds: bundle file, UDP 53, TCP 53, packet socket, listeners */
	GATEWAY_ATTACH = 65,
	/* g->s  u8 failed, [error | -]: once, after both of the above; the gateway is confined by then */
	GATEWAY_READY = 66,
	/* s->g  str call id, u32 address.   g->s GATEWAY_CALL_READY  str call id, strv env (NAME=placeholder) */
	GATEWAY_CALL = 67,
	GATEWAY_CALL_READY = 68,
	/* s->g  str call id: cut its connections, forget its placeholders.   g->s GATEWAY_CALL_ENDED  str call id */
	GATEWAY_CALL_END = 69,
	GATEWAY_CALL_ENDED = 70,
	/* g->s  u64 ticket (0: no answer wanted), u32 n, n times: str event, str call (may be ""), str reason,
	 *       str members (JSON).  s->g GATEWAY_WRITTEN u64 ticket, u8 failed: written in order, so a ticket answers
	 *       all before it. With failed every waiting and later decision is a denial. */
	GATEWAY_RECORDS = 71,
	GATEWAY_WRITTEN = 72,
};

#endif
