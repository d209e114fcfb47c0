/* SPDX-License-Identifier: Apache-2.0 */
/* The auditors around a supervisor: what they are asked, and what they say. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "audit/auditor_private.h"
#include "base/util.h"
#include "supervisor_steps.h"

#define OPS (AUDITOR_OP(AUDITOR_CALL_START) | AUDITOR_OP(AUDITOR_HTTP_REQUEST) | AUDITOR_OP(AUDITOR_NET_CONNECT) | \
	     AUDITOR_OP(AUDITOR_GRANT_RAISE) | AUDITOR_OP(AUDITOR_FS_COMMIT))

void auditors_find(struct peers *w)
{
	size_t n;
	const struct fake_auditor *all = fake_auditors(&n);

	for (; w->n_auditors < n; w->n_auditors++)
		w->auditors[w->n_auditors] = (struct peer_auditor){ .sock = all[w->n_auditors].sock };
}

int auditor_of(const struct peers *w, const struct sandbox *b)
{
	size_t n;
	const struct fake_auditor *all = fake_auditors(&n);

	(void)w;
	/* The newest: numbers of descriptors are used again. */
	while (b->auditor && n-- > 0) {
		if (all[n].theirs == auditor_fd(b->auditor))
			return (int)n;
	}
	peers_require(!policy_auditor(b->policy)->spec, "a sandbox without its auditor");
	return -1;
}

uint32_t key_of(const char *json)
{
	json_t *packet = json_loads(json, 0, NULL);
	const char *start = json_string_value(json_array_get(json_object_get(packet, "argv"), 1));
	const char *host = json_string_value(json_object_get(packet, "host"));
	const char *text = start ? start : host ? host : "0";
	uint32_t key = (uint32_t)strtoul(text, NULL, 10);

	json_decref(packet);
	return key;
}

/* An answer counts when it was given to a question that was asked. */
static void count_permit(struct peers *w, struct peer_auditor *a, uint64_t id)
{
	if (!a->questions[id - 1].seen || !a->questions[id - 1].allows)
		return;
	struct peer_permit *p = permit(w, (int)(a - w->auditors), a->questions[id - 1].key);
	if (p) {
		p->allowed++;
		p->lasting |= a->questions[id - 1].lasting;
	}
}

static void asked(struct peers *w, struct peer_auditor *a, const char *text)
{
	json_t *packet = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	json_int_t id = json_integer_value(json_object_get(packet, "id"));
	const char *op = json_string_value(json_object_get(packet, "op"));
	const char *call = json_string_value(json_object_get(packet, "call"));
	bool commit = op && strcmp(op, "fs.commit") == 0;

	peers_require(packet && a->greeted && op && !call == commit, "a question out of form");
	if (id > MAX_QUESTIONS) {
		w->overflow = true;
		json_decref(packet);
		return;
	}
	peers_require(id > (json_int_t)a->n_questions, "numbers of questions");
	/* Those between were taken back before they were sent. */
	while ((json_int_t)a->n_questions + 1 < id)
		a->questions[a->n_questions++].answered = true;
	a->n_questions++;
	bool start = strcmp(op, "call.start") == 0;
	peers_require(!start || (json_string_value(json_object_get(packet, "exe")) &&
				 json_string_length(json_object_get(packet, "exe_sha256")) == 64 &&
				 json_is_object(json_object_get(packet, "grant")) && *call),
		      "a question about a start that does not say what starts");
	a->questions[id - 1].seen = true;
	a->questions[id - 1].start = start;
	a->questions[id - 1].key = key_of(text);
	snprintf(a->questions[id - 1].call, sizeof(a->questions[id - 1].call), "%s", commit ? "" : call);
	json_decref(packet);
	count_permit(w, a, (uint64_t)id);
	size_t open = 0;
	for (size_t i = 0; i < a->n_questions; i++)
		open += !a->questions[i].answered;
	peers_require(open <= AUDITOR_MAX_IN_FLIGHT, "more questions at once than promised");
}

bool read_auditor(struct peers *w, struct peer_auditor *a)
{
	static char text[AUDITOR_MAX_PACKET + 1];

	if (a->sock < 0)
		return false;
	ssize_t n = recv(a->sock, text, sizeof(text) - 1, MSG_DONTWAIT);
	if (n < 0)
		return false;
	if (n == 0) {
		fd_close(TAKE_FD(a->sock));
		return true;
	}
	text[n] = '\0';
	if (a->asked_hello)
		asked(w, a, text);
	else
		peers_require(strncmp(text, "{\"hello\":", 9) == 0, "the hello to an auditor");
	a->asked_hello = true;
	return true;
}

/* By the parsers of the supervisor, which have a target of their own: any bytes may be an answer. */
void auditor_says(struct peers *w, struct peer_auditor *a, const void *data, size_t len)
{
	struct auditor_answer answer;
	const char *problem;
	unsigned ops;

	if (len == 0 || a->sock < 0 || send(a->sock, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
	if (!a->spoke) {
		a->spoke = true;
		a->greeted = auditor_hello_parse(data, len, &ops, &problem) == 0 && ops & OPS;
		a->ops = a->greeted ? ops & OPS : 0;
		return;
	}
	if (auditor_answer_parse(data, len, &answer) == 0 && answer.id <= MAX_QUESTIONS &&
	    !a->questions[answer.id - 1].answered) {
		a->questions[answer.id - 1].answered = true;
		a->questions[answer.id - 1].allows = answer.decision == AUDITOR_ALLOW || answer.decision == AUDITOR_NARROW;
		a->questions[answer.id - 1].lasting = answer.cache_ms > 0;
		count_permit(w, a, answer.id);
	} else if (answer.id > 0 && answer.id <= a->n_questions) {
		a->questions[answer.id - 1].answered = true;
	}
	auditor_answer_clear(&answer);
}

void auditor_hello(struct peers *w, struct peer_auditor *a, unsigned ops)
{
	char text[256];
	int len = snprintf(text, sizeof(text), "{\"hello\":\"f\",\"version\":1,\"ops\":[\"later.op\"");

	for (unsigned op = 0; op < _AUDITOR_OP_MAX; op++) {
		if (ops & AUDITOR_OP(op))
			len += snprintf(text + len, sizeof(text) - (size_t)len, ",\"%s\"", auditor_op_name((enum auditor_op)op));
	}
	len += snprintf(text + len, sizeof(text) - (size_t)len, "]}");
	auditor_says(w, a, text, (size_t)len);
}

void auditor_answers(struct peers *w, struct peer_auditor *a, uint64_t id, enum peer_answer answer, unsigned grant)
{
	static const char *const grants[] = {
		"{\"read\":[\"/usr\"],\"background\":\"no\"}",	  /* rules for files */
		"{\"ttl\":\"1s\",\"uses\":\"1\"}",		  /* ends */
		"{\"isolation\":\"full\"}",			  /* too late for that */
		"{\"hide\":[\"/tmp\"]}",			  /* and for that */
		"{\"allow\":[\"https://example.org/a\"]}",	  /* within */
		"{\"allow\":[\"https://example.com\"]}",	  /* not within */
		"{\"nothing\":\"1\"}",
		"{\"exec\":[\"/usr/bin\"],\"open_files\":\"64\"}",
	};
	static const char *const rest[] = {
		[ANSWER_ALLOW] = "\"allow\"",
		[ANSWER_DENY] = "\"deny\",\"reason\":\"no\\n\\u009b\"",
		[ANSWER_ASK] = "\"ask\",\"reason\":\"\\\"\"",
		[ANSWER_NARROW] = "\"narrow\",\"grant\":",
		[ANSWER_CACHED] = "\"allow\",\"cache_ms\":3600000",
		[ANSWER_BAD] = "\"maybe\"",
	};
	char text[256];

	int len = snprintf(text, sizeof(text), "{\"id\":%llu,\"decision\":%s%s}", (unsigned long long)id, rest[answer],
			   answer == ANSWER_NARROW ? grants[grant % ARRAY_LEN(grants)] : "");
	auditor_says(w, a, text, (size_t)len);
}

bool auditor_answers_all(struct peers *w, struct peer_auditor *a)
{
	if (a->sock < 0)
		return false;
	if (!a->spoke) {
		auditor_hello(w, a, OPS);
		return true;
	}
	bool any = false;
	for (size_t i = 0; i < a->n_questions; i++) {
		if (a->questions[i].answered)
			continue;
		auditor_answers(w, a, i + 1, i % 2 ? ANSWER_DENY : ANSWER_ALLOW, 0);
		any = true;
	}
	return any && a->greeted;
}

/* The number of the nth one that is open, or of one that is not. */
static uint64_t some_question(const struct peer_auditor *a, uint8_t which)
{
	size_t open = 0, nth;

	for (size_t i = 0; i < a->n_questions; i++)
		open += !a->questions[i].answered;
	if (!open || which >= 248)
		return 1 + which % 16u;
	nth = which % open;
	for (size_t i = 0; i < a->n_questions; i++) {
		if (!a->questions[i].answered && nth-- == 0)
			return i + 1;
	}
	return 1;
}

void auditor_step(struct input *in, uint8_t what)
{
	static const unsigned decides[] = { OPS, AUDITOR_OP(AUDITOR_CALL_START), AUDITOR_OP(AUDITOR_HTTP_REQUEST), 0 };
	uint8_t which = take(in), how = take(in);
	struct peer_auditor *a = in->w->n_auditors ? &in->w->auditors[which % in->w->n_auditors] : NULL;
	size_t len = how;

	if (!a || a->sock < 0)
		return;
	if (what == 0) {
		auditor_hello(in->w, a, decides[how % ARRAY_LEN(decides)]);
	} else if (what == 1 || what == 2) {
		enum peer_answer answer = take(in) % (ANSWER_BAD + 1u);
		auditor_answers(in->w, a, some_question(a, how), answer, take(in));
	} else if (what == 3) {
		const uint8_t *p = take_bytes(in, &len);
		auditor_says(in->w, a, p, len);
	} else if (what == 4) {
		a->deaf = !a->deaf;
	} else if (what == 5) {
		fd_close(TAKE_FD(a->sock));
	} else {
		auditor_answers_all(in->w, a);
	}
}
