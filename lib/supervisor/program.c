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
#include "supervisor/question.h"
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

/* What decides which file a command is: the same sandbox, so the same files in the same places, unless they changed. */
struct found {
	char *name, *path, *cwd; /* argv[0], PATH, directory */
	struct shown *shown;
};

static void found_free(struct found *f)
{
	if (!f)
		return;
	free(f->name);
	free(f->path);
	free(f->cwd);
	shown_free(f->shown);
	free(f);
}

void programs_free(struct sandbox *b)
{
	for (size_t i = 0; i < MAX_FOUND; i++)
		found_free(TAKE_PTR(b->found[i]));
}

static struct shown *copy_shown(const struct shown *p)
{
	struct shown *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *p;
	copy->path = strdup(p->path);
	if (!copy->path) {
		free(copy);
		return NULL;
	}
	return copy;
}

static const char *path_of(const struct start *start)
{
	for (size_t i = 0; i < start->n_env; i++) {
		if (strncmp(start->env[i], "PATH=", 5) == 0)
			return start->env[i] + 5;
	}
	return "";
}

static struct found **find(struct sandbox *b, const struct start *start)
{
	for (size_t i = 0; i < MAX_FOUND; i++) {
		const struct found *f = b->found[i];
		if (f && strcmp(f->name, start->argv[0]) == 0 && strcmp(f->path, path_of(start)) == 0 &&
		    strcmp(f->cwd, start->cwd) == 0)
			return &b->found[i];
	}
	return NULL;
}

/* Only what runs by its path, as it is: of anything else the copy is what counts. */
static void remember_found(struct call *call)
{
	struct sandbox *b = call->sandbox;
	const struct start *start = call->start;
	const struct shown *p = call->shown;

	if (p->copied || !policy_path_fixed(b->policy, p->path) || find(b, start))
		return;
	struct found *f = calloc(1, sizeof(*f));
	if (!f || !(f->name = strdup(start->argv[0])) || !(f->path = strdup(path_of(start))) ||
	    !(f->cwd = strdup(start->cwd)) || !(f->shown = copy_shown(p))) {
		found_free(f); /* then it is shown each time */
		return;
	}
	struct found **slot = &b->found[b->n_found++ % MAX_FOUND];
	found_free(*slot);
	*slot = f;
}

/* A script is opened by its interpreter, by name, after everything was decided. */
static bool needs_copy(const struct sandbox *b, const struct shown *p)
{
	return !p->fixed || (p->script && !policy_path_fixed(b->policy, p->path));
}

/* A copy is no file of the sandbox, so the kernel would not compare it with the paths that may be executed. */
bool program_denied(struct call *call)
{
	const char *path = call->shown->path;
	struct error e;

	if (!call->start->grant || grant_may_execute(call->start->grant, path))
		return false;
	fail(&e, EACCES, SANDBOX_STAGE_EXEC, path, "the grant of this call does not let it execute %s", path);
	call_denied(call, &e, e.message);
	return true;
}

/* Who decides has seen it, unless it is what was agreed to when it was shown before, byte by byte. */
static void decide_about(struct call *call)
{
	const struct shown *p = call->shown, *agreed = call->start->agreed;
	bool same = agreed && strcmp(agreed->path, p->path) == 0 && memcmp(agreed->digest, p->digest, sizeof(p->digest)) == 0;

	shown_free(TAKE_PTR(call->start->agreed));
	if (same) {
		call_go(call);
		return;
	}
	free(TAKE_PTR(call->start->decided_by));
	question_call(call);
}

static int first_look(struct call *call)
{
	struct shown *p = call->shown;

	if (program_denied(call))
		return 0;
	p->copied = needs_copy(call->sandbox, p);
	if (p->copied || !is_known(call->sandbox->supervisor, p))
		return guardian_send_program(call, p->copied) < 0 ? -EPROTO : 0;
	p->read = true;
	remember_found(call);
	decide_about(call);
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
	remember_found(call);
	decide_about(call);
	return 0;
}

bool program_expected(struct call *call)
{
	struct found **f = call->start->shows ? NULL : find(call->sandbox, call->start);

	if (!f || !(call->shown = copy_shown((*f)->shown)))
		return false;
	if (!program_denied(call))
		question_call(call);
	return true;
}

void program_changed(struct call *call)
{
	struct found **f = find(call->sandbox, call->start);

	if (f)
		found_free(TAKE_PTR(*f));
}
