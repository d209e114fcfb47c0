/* SPDX-License-Identifier: Apache-2.0 */
/* An auditor that says anything: one packet a line, to the parsers alone and to a connection with open questions. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "audit/auditor_private.h"
#include "fuzz.h"

static unsigned open_questions;

static void check(int truth)
{
	if (!truth)
		abort();
}

static void done(void *context, uint64_t ticket, const struct auditor_result *r)
{
	(void)context;
	check(ticket >= 1 && ticket <= 3);
	check(r->reason && strlen(r->reason) <= AUDITOR_MAX_REASON);
	check(r->source == AUDITOR_ANSWER || r->decision == AUDITOR_DENY || r->source == AUDITOR_UNDECIDED);
	check((r->grant != NULL) == (r->decision == AUDITOR_NARROW));
	open_questions--;
}

static void packet(const uint8_t *data, size_t len)
{
	struct auditor_answer answer;
	const char *problem = NULL;
	unsigned ops;

	if (auditor_answer_parse(data, len, &answer) == 0) {
		check(answer.id > 0 && !answer.problem);
		check((answer.grant != NULL) == (answer.decision == AUDITOR_NARROW));
		if (answer.grant) {
			json_t *grant = json_loads(answer.grant, JSON_REJECT_DUPLICATES, NULL);
			check(json_is_object(grant) && json_object_size(grant) > 0);
			json_decref(grant);
		}
	} else {
		check(answer.problem != NULL && answer.decision == AUDITOR_DENY && !answer.grant);
	}
	auditor_answer_clear(&answer);
	if (auditor_hello_parse(data, len, &ops, &problem) != 0)
		check(problem != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char hello[] = "{\"hello\":\"f\",\"version\":1,\"ops\":[\"call.start\",\"http.request\"]}";
	struct auditor *a;
	uint64_t ticket;
	int fds[2];

	if (size > 100000 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds) < 0)
		return 0;
	check(auditor_new(fds[0], &(struct auditor_config){ .ops = 3 }, 1, &a) == 0);
	/* With an odd first byte the input has to bring its own hello. */
	if (size && data[0] % 2 == 0)
		check(send(fds[1], hello, sizeof(hello) - 1, 0) > 0);
	auditor_readable(a, 1);
	open_questions = 0;
	for (int i = 0; i < 3; i++) {
		struct auditor_question q = { .op = i ? AUDITOR_CALL_START : AUDITOR_HTTP_REQUEST, .members = "",
					      .significant = i ? "k" : NULL, .done = done };
		struct auditor_result r;
		if (auditor_ask(a, &q, 2, &ticket, &r) == 0)
			open_questions++;
	}
	for (size_t at = size ? 1 : 0; at < size;) {
		const uint8_t *end = memchr(data + at, '\n', size - at);
		size_t len = end ? (size_t)(end - data) - at : size - at;
		packet(data + at, len);
		if (send(fds[1], data + at, len, MSG_NOSIGNAL) >= 0)
			auditor_readable(a, 3);
		at += len + 1;
	}
	auditor_expire(a, 1000000000);
	check(open_questions == 0);
	auditor_free(a);
	close(fds[1]);
	return 0;
}
