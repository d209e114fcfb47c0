/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The auditor of `nsbox run --learn` on a terminal (nsbox-auditor(7)): started by the supervisor, it leaves what a call
 * has no grant for to a person, and decides about nothing else.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "nsbox.h"

#define AUDITOR_SOCKET 3 /* as every auditor has it */
#define PACKET_BYTES 65536u

static int send_object(json_t *object)
{
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	int r = text && send(AUDITOR_SOCKET, text, strlen(text), MSG_NOSIGNAL) >= 0 ? 0 : -EIO;

	free(text);
	json_decref(object);
	return r;
}

static int run_asker(const struct command *self, int argc, char **argv)
{
	static char packet[PACKET_BYTES];
	int r;

	(void)self;
	(void)argv;
	r = send_object(json_pack("{s:s, s:i, s:[s]}", "hello", "nsbox", "version", 1, "ops", "grant.raise"));
	if (r < 0 || argc > 0)
		return refuse("asker is no command for people: a sandbox of --learn starts it, as its auditor");
	while (r == 0) {
		ssize_t n = recv(AUDITOR_SOCKET, packet, sizeof(packet), 0);
		if (n <= 0)
			break;
		json_t *question = json_loadb(packet, (size_t)n, 0, NULL), *id = json_object_get(question, "id");
		/* Their hello has none. */
		if (id)
			r = send_object(json_pack("{s:O, s:s, s:s}", "id", id, "decision", "ask", "reason",
						  "the policy that is learned from has no rule for it"));
		json_decref(question);
	}
	return r < 0 ? EXIT_NSBOX : EXIT_YES;
}

const struct command command_asker = {
	.name = "asker",
	.arguments = "",
	.summary = "leave to a person what nsbox run --learn has no rule for",
	.internal = true,
	.run = run_asker,
};
