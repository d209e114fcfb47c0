/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program of a call that somebody decides about: what its guardian has shown, and whether the file itself or a sealed
 * copy is to run. A file that nobody in the sandbox can write runs as it is, and its digest is remembered by what
 * identifies its bytes; of any other a copy is made, and the digest is that of the copy.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "policy/grant.h"
#include "supervisor/supervisor.h"

void shown_free(struct shown *p)
{
	if (!p)
		return;
	free(p->path);
	free(p);
}

static bool same_file(const struct known_program *k, const struct shown *p)
{
	return k->dev == p->dev && k->ino == p->ino && k->size == p->size && k->ctime_ns == p->ctime_ns;
}

static bool is_known(const struct supervisor *s, struct shown *p)
{
	uint32_t n = s->n_known < MAX_DIGESTS ? s->n_known : MAX_DIGESTS;

	for (uint32_t i = 0; i < n; i++) {
		if (same_file(&s->known[i], p)) {
			memcpy(p->digest, s->known[i].digest, sizeof(p->digest));
			return true;
		}
	}
	return false;
}

static void remember(struct supervisor *s, const struct shown *p)
{
	struct known_program *k = &s->known[s->n_known++ % MAX_DIGESTS];

	*k = (struct known_program){ .dev = p->dev, .ino = p->ino, .size = p->size, .ctime_ns = p->ctime_ns };
	memcpy(k->digest, p->digest, sizeof(k->digest));
}

/* A script is opened by its interpreter, by name, after everything was decided. */
static bool needs_copy(const struct sandbox *b, const struct shown *p)
{
	return !p->fixed || (p->script && !policy_path_fixed(b->policy, p->path));
}

/* A copy is no file of the sandbox, so the kernel would not compare it with the paths that may be executed. */
static bool may_execute(const struct call *call)
{
	return !call->start->grant || grant_may_execute(call->start->grant, call->shown->path);
}

static int first_look(struct call *call)
{
	struct shown *p = call->shown;
	struct error e;

	if (!may_execute(call)) {
		fail(&e, EACCES, SANDBOX_STAGE_EXEC, p->path, "the grant of this call does not let it execute %s", p->path);
		call_denied(call, &e, e.message);
		return 0;
	}
	p->copied = needs_copy(call->sandbox, p);
	if (p->copied || !is_known(call->sandbox->supervisor, p))
		return guardian_send_program(call, p->copied) < 0 ? -EPROTO : 0;
	p->read = true;
	question_call(call);
	return 0;
}

int program_shown(struct call *call, struct shown *shown)
{
	struct shown *before = call->shown;

	if (!before) {
		call->shown = shown;
		return shown->read ? -EPROTO : first_look(call);
	}
	bool wanted = !before->read && shown->read && strcmp(before->path, shown->path) == 0;
	if (wanted) {
		memcpy(before->digest, shown->digest, sizeof(before->digest));
		before->read = true;
		/* Written to while it was read: by somebody outside, since nobody inside can. */
		bool still = before->ctime_ns == shown->ctime_ns && before->size == shown->size;
		if (!before->copied && still)
			remember(call->sandbox->supervisor, before);
	}
	shown_free(shown);
	if (!wanted)
		return -EPROTO;
	question_call(call);
	return 0;
}
