/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to a supervisor: one that this runtime started for itself, or one of a named sandbox. Requests wait in
 * its list for their answers in any order, with what is to become of them; messages that nobody asked for come between.
 */
#ifndef NSBOX_CLIENT_CONNECTION_H
#define NSBOX_CLIENT_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

struct sandbox_runtime;
struct sandbox_call;

struct answer {
	bool came;
	int result; /* 0, or the negative errno of e */
	char *text;
	int fd;
	struct error e;
};

struct request {
	struct request *next;
	uint32_t number;
	struct answer *answer;	   /* who waits for it */
	struct sandbox_call *call; /* or the call that it starts */
};

struct connection {
	struct connection *next;
	struct sandbox_runtime *runtime;
	char *name; /* of the named sandbox at its other end, NULL: the supervisor of this runtime alone */
	int fd, pidfd; /* pidfd: of a supervisor that we started */
	pid_t owner; /* the process that opened it, and no child that it forked */
	bool lost, told; /* told: dispatch has reported it, or it was to end */
	unsigned users;	 /* handles of sandboxes and calls */
	uint32_t last_request;
	struct request *requests;
	struct sandbox_call *calls;
	struct error why; /* of the loss */
};

/* supervisor.c. The first starts the runtime's own or finds it started; gateway: one will be needed soon. */
int connection_own(struct sandbox_runtime *r, bool gateway, struct error *e);
/* Start a supervisor for one named sandbox; or take over a socket that is connected to one, and greet. */
int connection_start(struct sandbox_runtime *r, const char *name, bool gateway, struct connection **ret, struct error *e);
int connection_adopt(struct sandbox_runtime *r, const char *name, int fd, struct connection **ret, struct error *e);
/* Move a descriptor of ours out of the way of a host that closed 0, 1 or 2. */
int above_stdio(int fd);

/* connection.c */
struct connection *connection_new(struct sandbox_runtime *r, const char *name);
void connection_ref(struct connection *c);
/* Closed and freed with its last user. Accepts NULL. */
void connection_unref(struct connection *c);
void connection_free(struct connection *c);
/* Say that the other end will go: that is no loss then. Waits for it, at most timeout_ms. */
void connection_await_end(struct connection *c, int timeout_ms);
/* In a child that the host forked the connection is as lost: it stays the parent's, which notices nothing. */
bool connection_is_ours(struct connection *c);
/* Take in one message, waiting at most timeout_ms: 1 taken, 0 none, -errno when the connection is lost. */
int connection_take(struct connection *c, int timeout_ms, struct error *e);

/* request.c. Begin a request, to which the caller appends. */
int request_begin(struct connection *c, struct buf *m, uint32_t type, struct request *ret);
/* Send it; it waits in the list from then on, also when this fails with a loss. */
int request_send(struct connection *c, const struct buf *m, struct request *request, const int *fds, size_t n_fds,
		 struct error *e);
/* Send it and wait for its answer: ret_text and ret_fd (each may be NULL) get what came with it. */
int request_run(struct connection *c, const struct buf *m, struct request *request, const int *fds, size_t n_fds,
		char **ret_text, int *ret_fd, struct error *e);
/* The answer to the request has come, or never will. */
void request_complete(struct connection *c, struct request *request, const struct error *failure, char *text, int fd);

#endif
