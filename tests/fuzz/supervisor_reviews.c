/* SPDX-License-Identifier: Apache-2.0 */
/* Commits that are decided about (supervisor/review.c): what clients ask, and that no yes is said that nobody gave. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "audit/log.h"
#include "base/util.h"
#include "supervisor_steps.h"

/* As the log of a sandbox that has ended is found: with its last record. */
static int ended_log(struct peers *w, const char *id)
{
	int log = steps_log(w);
	struct audit_log *chain = NULL;
	struct error e;

	if (log == steps_null())
		return log;
	int fd = fcntl(log, F_DUPFD_CLOEXEC, 3);
	if (audit_log_new(fd, id, &chain, &e) < 0 || audit_log_add(chain, "sandbox.exit", NULL, "", NULL) < 0 ||
	    audit_log_flush(chain) < 0)
		abort();
	audit_log_free(chain);
	return log;
}

/* n questions, each with a key of its own; bad: the last is one that no client may send. */
static int question_list(uint32_t key, unsigned n, unsigned bad)
{
	static const char *const wrong[] = { "\"call\":\"a.1\"", "\"op\":\"call.start\"", "", "]", "\"a\":1,\"a\":2", "\"sandbox\":\"x\"" };
	_cleanup_buf_ struct buf b = { 0 };

	for (unsigned i = 0; i < n; i++)
		buf_printf(&b, "\"host\":\"%u\",\"entries\":[{\"path\":\"a\\u00e9\"}]%c", key + i, '\0');
	if (bad)
		buf_printf(&b, "%s%c", wrong[bad % ARRAY_LEN(wrong)], '\0');
	/* Or one that does not end. */
	int fd = memfd_from_bytes("questions", b.data, b.len - (bad == 7));
	if (fd < 0)
		abort();
	return fd;
}

void review_step(struct input *in, struct peer_client *c, uint8_t how)
{
	struct peers *w = in->w;
	uint8_t form = take(in);
	unsigned n = 1 + (how >> 1 & 3), bad = form >= 248 ? form & 7 : 0;
	int fds[3 + 4];
	char id[16], name[16];

	if (w->n_reviews == MAX_REVIEWS || !steps_entry(fds + 3, name))
		return;
	uint32_t number = steps_request(w, c, MSG_REVIEW);
	struct peer_review *v = &w->reviews[w->n_reviews++];
	*v = (struct peer_review){ .request = number, .key = KEY_REVIEW + 8 * (uint32_t)w->n_reviews, .n = n, .auditor = -1,
				   .bad = bad };
	snprintf(id, sizeof(id), "r%zu", w->n_reviews);
	memcpy(v->id, id, sizeof(id));
	fds[0] = how & 1 ? fake_policy(false) : fake_audited_policy();
	fds[1] = how & 16 ? steps_null() : how & 8 ? steps_log(w) : ended_log(w, id);
	fds[2] = question_list(v->key, n, bad);
	fake_send(c->sock, fds, ARRAY_LEN(fds), "uuss", MSG_REVIEW, number, id, name);
	for (size_t i = 2; i < ARRAY_LEN(fds); i++)
		fd_close(fds[i]);
}

void reviews_find(struct peers *w)
{
	for (size_t i = 0; i < w->n_reviews; i++) {
		const struct sandbox *b = sandbox_by_id(&w->f.s, w->reviews[i].id);
		if (b && b->auditor)
			w->reviews[i].auditor = auditor_of(w, b);
	}
}

int review_auditor(const struct peers *w, const char *id)
{
	for (size_t i = 0; i < w->n_reviews; i++) {
		if (strcmp(w->reviews[i].id, id) == 0)
			return w->reviews[i].auditor;
	}
	return -1;
}

void got_review(struct peers *w, const struct peer_request *q, const char *decided)
{
	const struct peer_review *v = w->reviews;

	while (v->request != q->number)
		v++;
	const struct peer_auditor *a = v->auditor >= 0 ? &w->auditors[v->auditor] : NULL;
	peers_require(a && a->greeted && !v->bad, "a commit was decided about without an auditor");
	peers_require((a->ops & AUDITOR_OP(AUDITOR_FS_COMMIT)) == (*decided ? AUDITOR_OP(AUDITOR_FS_COMMIT) : 0),
		      "a commit was allowed that was not decided about, or the other way round");
	for (unsigned i = 0; *decided && i < v->n; i++)
		use_permit(w, v->auditor, v->key + i);
}
