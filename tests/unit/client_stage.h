/* SPDX-License-Identifier: Apache-2.0 */
/* The client library against a supervisor that the test plays at the other end of a socket. */
#ifndef CLIENT_STAGE_H
#define CLIENT_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/client.h"
#include "supervisor/protocol.h"

#include <cmocka.h>

struct stage {
	sandbox_runtime *runtime;
	struct connection *connection;
	sandbox *box;
	sandbox_command *command;
	int peer;
};

/* A sandbox at one end, the test at the other. name NULL: as of sandbox_create(). */
void stage_open(struct stage *s, const char *name);
void stage_close(struct stage *s);

/* What the client sent next; its descriptors are closed. */
struct got {
	uint32_t type, request;
	struct wire_reader in;
	uint8_t bytes[WIRE_MAX_PACKET];
	int fds[16];
	size_t n_fds;
};

struct got *receive(struct stage *s);
/* The number of the request. */
uint32_t receive_start(struct stage *s);

void reply(struct stage *s, uint32_t request, const char *text, int fd);
void reply_error(struct stage *s, uint32_t request, int err, int stage, const char *text);
void send_exit(struct stage *s, const char *id, uint32_t status, uint32_t sig, const char *reason);
void send_event(struct stage *s, const char *name);
bool readable(int fd);

#endif
