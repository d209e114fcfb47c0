/* SPDX-License-Identifier: Apache-2.0 */
/* Loading of secret values. */
#include "gateway/secrets.h"

#include "policy/grant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "base/wire.h"
#include "gateway/calls.h"
#include "gateway/issue.h"
#include "gateway/scrub.h"
#include "gateway/secret_source.h"
#include "supervisor/protocol.h"

#define SCRUB_MIN 8u /* of a value that answers are searched for; as placeholder_check() says */
/* Half of a packet: arguments and the other variables have to find room beside them when the call is started. */
#define ENTRIES_MAX (WIRE_MAX_PACKET / 2)
#define ENTRY_EXTRA (4u + 1u) /* and the '=' */
#define TOO_LONG "is longer than 64 KiB; give a source that holds the value alone"

static int refuse(struct error *e, const char *name, int err, const char *why)
{
	return fail(e, err, SANDBOX_STAGE_SECRET, name, "Secret %s %s.", name, why);
}

static int no_pages(struct error *e, const char *name, int r)
{
	if (r != -EPERM)
		return refuse(e, name, -r, "could not be loaded, for lack of memory");
	return refuse(e, name, EPERM, "cannot be kept in locked memory: RLIMIT_MEMLOCK is used up; raise it (ulimit -l), or "
				      "accept that it may be swapped out by --allow-degraded locked-memory");
}

/* Twice the room, and nothing left where it was. */
static int grow_pages(struct locked *pages, bool unlocked)
{
	struct locked more;
	int r = locked_new(&more, pages->size * 2, unlocked);

	if (r < 0)
		return r;
	memcpy(more.data, pages->data, pages->size);
	locked_free(pages);
	*pages = more;
	return 0;
}

/* To the end; the length, or -errno with e filled. */
static ssize_t read_pipe(const struct secrets *s, int fd, struct locked *to, int parent_fd, const char *name,
			 struct error *e)
{
	size_t len = 0;

	for (;;) {
		if (source_wait(fd, parent_fd) < 0)
			return refuse(e, name, EIO, "could not be read");
		ssize_t n = read(fd, to->data + len, to->size - len);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return refuse(e, name, errno, "could not be read from its source");
		if (n == 0)
			return (ssize_t)len;
		len += (size_t)n;
		/* The longest value and its newline. */
		if (len > SECRET_MAX + 1)
			return refuse(e, name, EFBIG, TOO_LONG);
		int r = len == to->size ? grow_pages(to, s->unlocked) : 0;
		if (r < 0)
			return no_pages(e, name, r);
	}
}

static int check(const uint8_t *value, size_t len, const struct policy_secret *rule, struct error *e)
{
	const char *name = rule->name;

	if (len > SECRET_MAX)
		return refuse(e, name, EFBIG, TOO_LONG);
	if (!len)
		return refuse(e, name, EINVAL, "is empty; set its source, or remove it from the policy");
	for (size_t i = 0; i < len; i++) {
		if (value[i] == '\r' || value[i] == '\n' || value[i] == '\0')
			return refuse(e, name, EINVAL, "contains a line break or a NUL byte, which could be read as "
						       "another header line; give a source that holds one line");
	}
	return placeholder_check(name, rule->placeholder, len, rule->scrub, e);
}

static bool is_known(const struct secrets *s, size_t secret, const uint8_t *value, size_t len)
{
	for (size_t i = 0; i < s->values.n; i++) {
		const struct placeholder *p = s->values.all[i];
		if (p->secret == secret && p->len == len && memcmp(p->text, value, len) == 0)
			return true;
	}
	return false;
}

static bool in_use(const struct secret *x, const struct placeholder *p)
{
	return (p->len == x->len && memcmp(p->text, x->value, x->len) == 0) ||
	       (x->issuer && issuer_holds(x->issuer, p->text, p->len));
}

/* False: all are in use. */
static bool forget_oldest_known(struct secrets *s, size_t secret)
{
	const struct placeholder *oldest = NULL;
	struct secret *x = &s->v[secret];

	for (size_t i = 0; i < s->values.n; i++) {
		const struct placeholder *p = s->values.all[i];
		if (p->secret == secret && (!oldest || p->number < oldest->number) && !in_use(x, p))
			oldest = p;
	}
	if (!oldest)
		return false;
	x->n_known--;
	x->known_bytes -= oldest->len;
	placeholder_remove(&s->values, oldest);
	return true;
}

static int index_value(struct secrets *s, size_t secret, const uint8_t *value, size_t len)
{
	struct secret *x = &s->v[secret];

	if (!x->rule->scrub || is_known(s, secret, value, len))
		return 0;
	while (x->n_known >= KNOWN_VALUES_MAX || (x->n_known && x->known_bytes + len > KNOWN_BYTES_MAX)) {
		if (!forget_oldest_known(s, secret))
			break;
	}
	int r = x->n_known >= KNOWN_VALUES_MAX ? -ENOSPC : placeholder_add_text(&s->values, value, len, secret);
	x->n_known += r == 0;
	x->known_bytes += r == 0 ? len : 0;
	return r;
}

/* Does the environment of a call hold a placeholder for each, when this one has a value of this length? */
static bool entries_fit(const struct secrets *s, const struct secret *one, size_t len)
{
	size_t sum = 0;

	for (size_t i = 0; i < s->n + (one == &s->v[s->n]); i++) {
		const struct secret *x = &s->v[i];
		size_t usual = x == one ? len : x->usual;
		if (usual && !x->revoked)
			sum += ENTRY_EXTRA + strlen(x->rule->name) + placeholder_length(x->rule->placeholder, usual);
	}
	return sum <= ENTRIES_MAX;
}

int secrets_keep(struct secrets *s, size_t secret, const uint8_t *value, size_t len, struct locked *ret, struct error *e)
{
	struct secret *x = &s->v[secret];
	struct locked pages;

	int r = x->revoked ? refuse(e, x->rule->name, ENOENT, "was revoked") : check(value, len, x->rule, e);
	if (r == 0 && !entries_fit(s, x, len))
		r = refuse(e, x->rule->name, E2BIG, "is too long: placeholders are as long as values, and those of all secrets "
						    "together may take 64 KiB in the environment; give it a shape (placeholder)");
	if (r < 0)
		return r;
	r = locked_new(&pages, len, s->unlocked);
	if (r < 0)
		return no_pages(e, x->rule->name, r);
	memcpy(pages.data, value, len);
	r = index_value(s, secret, pages.data, len);
	if (r < 0) {
		locked_free(&pages);
		return refuse(e, x->rule->name, -r, r == -ENOSPC ? "has too many values in use" :
								   "could not be loaded, for lack of memory");
	}
	x->resizes |= (x->usual && x->usual != len) || !scrub_is_plain(value, len);
	x->usual = len;
	*ret = pages;
	return 0;
}

int secrets_set(struct secrets *s, size_t secret, const uint8_t *value, size_t len, struct error *e)
{
	struct secret *x = &s->v[secret];
	struct locked pages;

	int r = secrets_keep(s, secret, value, len, &pages, e);
	if (r < 0)
		return r;
	locked_free(&x->pages);
	x->pages = pages;
	x->value = pages.data;
	x->len = len;
	return 0;
}

static int make_room(struct secrets *s, struct policy_secret *rule, struct error *e)
{
	if (s->n >= SECRETS_EVER)
		return refuse(e, rule->name, E2BIG, "is one too many in the life of this sandbox; make a new one");
	struct secret *v = realloc(s->v, (s->n + 1) * sizeof(*v));
	if (!v)
		return no_pages(e, rule->name, -ENOMEM);
	s->v = v;
	v[s->n] = (struct secret){ .rule = rule };
	return 0;
}

int secrets_add(struct secrets *s, struct policy_secret *rule, const uint8_t *value, size_t len, struct error *e)
{
	int r = make_room(s, rule, e);

	if (r == 0)
		r = secrets_set(s, s->n, value, len, e);
	s->n += r == 0;
	return r;
}

/* What came for number 1, when it is a value. */
static int take_first(struct secrets *s, size_t i, int fd, const struct source_answer *first, struct error *e)
{
	const char *name = s->v[i].rule->name;

	if (first->value && first->number == 1)
		return issuer_new(s, i, fd, first, e);
	return fail(e, ENOKEY, SANDBOX_STAGE_SECRET, name, "Secret %s was not given by its command: %s.", name,
		    first->why ? first->why : "its helper is gone");
}

int secrets_add_command(struct secrets *s, struct policy_secret *rule, int fd, const struct source_answer *first,
			struct error *e)
{
	int r = make_room(s, rule, e);

	if (r == 0)
		r = take_first(s, s->n, fd, first, e);
	s->n += r == 0;
	return r;
}

ssize_t secrets_find(const struct secrets *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++) {
		if (!s->v[i].revoked && strcmp(s->v[i].rule->name, name) == 0)
			return (ssize_t)i;
	}
	return -ENOENT;
}

/* Answers are searched on for what it was: a server may still show it. */
void secrets_revoke(struct secrets *s, size_t secret)
{
	struct secret *x = &s->v[secret];

	x->revoked = true;
	locked_free(&x->pages);
	x->value = NULL;
	x->len = 0;
	if (x->issuer)
		issuer_close(x->issuer);
}

static int read_one(struct secrets *s, size_t i, int fd, int parent_fd, struct error *e)
{
	const char *name = s->v[i].rule->name;
	struct locked pages;

	int r = locked_new(&pages, 1, s->unlocked);
	if (r < 0)
		return no_pages(e, name, r);
	ssize_t len = read_pipe(s, fd, &pages, parent_fd, name, e);
	if (len > 0 && pages.data[len - 1] == '\n')
		len--;
	r = len < 0 ? (int)len : secrets_set(s, i, pages.data, (size_t)len, e);
	locked_free(&pages);
	return r;
}

/* All are asked at once: none waits for another's command. */
static int ask_commands(struct secrets *s, const int *fds, struct error *e)
{
	for (size_t i = 0; i < s->n; i++) {
		int r = s->v[i].rule->source == SOURCE_EXEC ? source_ask(fds[i], 1, "") : 0;
		if (r < 0)
			return refuse(e, s->v[i].rule->name, -r, "could not be asked for: its helper is gone");
	}
	return 0;
}

static int take_answer(struct secrets *s, size_t i, int *fd, int parent_fd, struct error *e)
{
	struct secret *x = &s->v[i];
	struct source_answer answer = { 0 };

	if (source_wait(*fd, parent_fd) < 0)
		return refuse(e, x->rule->name, EIO, "could not be read");
	int r = source_read(*fd, s->unlocked, &answer);
	if (r == -EPERM || r == -ENOMEM)
		return no_pages(e, x->rule->name, r);
	if (r < 0)
		return refuse(e, x->rule->name, EIO, "was not given by its command, whose helper is gone");
	r = take_first(s, i, *fd, &answer, e);
	if (r == 0)
		TAKE_FD(*fd);
	source_answer_free(&answer);
	return r;
}

int secrets_read(struct secrets *s, const struct policy *policy, int *fds, size_t n_fds, int parent_fd, struct error *e)
{
	size_t n;
	const struct policy_secret *rules = policy_secrets(policy, &n);

	if (n != n_fds)
		return fail(e, EPROTO, SANDBOX_STAGE_PROTOCOL, "secrets", "The policy names %zu secrets, but %zu came.", n,
			    n_fds);
	s->unlocked = policy_degraded_allowed(policy, "locked-memory");
	s->values.texts = true;
	if (!n)
		return 0;
	s->v = calloc(n, sizeof(*s->v));
	if (!s->v)
		return fail(e, ENOMEM, SANDBOX_STAGE_SECRET, "secrets", "No memory for the secrets.");
	for (; s->n < n; s->n++)
		s->v[s->n] = (struct secret){ .rule = &rules[s->n] };
	int r = ask_commands(s, fds, e);
	for (size_t i = 0; i < n && r == 0; i++) {
		bool command = rules[i].source == SOURCE_EXEC;
		r = command ? take_answer(s, i, &fds[i], parent_fd, e) : read_one(s, i, fds[i], parent_fd, e);
		fd_close(TAKE_FD(fds[i]));
	}
	return r;
}

static void forget_oldest(struct secrets *s)
{
	struct holder *h = s->dead;

	s->dead = h->next;
	if (!s->dead)
		s->dead_tail = &s->dead;
	s->n_dead--;
	s->dead_bytes -= h->placeholder->len;
	placeholder_remove(&s->table, h->placeholder);
	free(h);
}

static int open_one(struct secrets *s, size_t i, struct call *call, struct buf *entry)
{
	const struct policy_secret *rule = s->v[i].rule;
	struct holder *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->call = call;
	int r = placeholder_add(&s->table, rule->placeholder, s->v[i].usual, h, i, &h->placeholder);
	if (r < 0) {
		free(h);
		return r;
	}
	h->next = call->holders;
	call->holders = h;
	r = buf_printf(entry, "%s=%s", rule->name, h->placeholder->text);
	return r < 0 ? r : buf_putc(entry, '\0');
}

int secrets_open_one(struct secrets *s, size_t secret, struct call *call, char **ret_entry)
{
	struct buf entry = { 0 };

	int r = open_one(s, secret, call, &entry);
	if (r < 0)
		buf_free(&entry);
	*ret_entry = (char *)entry.data;
	return r;
}

int secrets_open_call(struct secrets *s, struct call *call, char ***ret_env)
{
	char **env = calloc(s->n + 1, sizeof(*env));
	size_t n = 0;

	if (!env)
		return -ENOMEM;
	if (!s->dead_tail)
		s->dead_tail = &s->dead;
	for (size_t i = 0; i < s->n; i++) {
		int r = s->v[i].revoked ? 0 : secrets_open_one(s, i, call, &env[n]);
		if (r < 0) {
			strv_free(env);
			secrets_close_call(s, call);
			return r;
		}
		n += !s->v[i].revoked;
	}
	*ret_env = env;
	return 0;
}

/* Remembered for a while as what it was, so that its use is seen as misuse and not as text. */
static void bury(struct secrets *s, struct holder *h)
{
	h->call = NULL;
	h->next = NULL;
	*s->dead_tail = h;
	s->dead_tail = &h->next;
	s->n_dead++;
	s->dead_bytes += h->placeholder->len;
}

static void forget_surplus(struct secrets *s)
{
	while (s->n_dead > DEAD_MAX || s->dead_bytes > DEAD_BYTES_MAX)
		forget_oldest(s);
}

void secrets_narrow_call(struct secrets *s, struct call *call, const struct grant *grant)
{
	for (struct holder **at = &call->holders; *at;) {
		struct holder *h = *at;
		if (grant_has_secret(grant, s->v[h->placeholder->secret].rule->name)) {
			at = &h->next;
			continue;
		}
		*at = h->next;
		bury(s, h);
	}
	forget_surplus(s);
}

void secrets_close_call(struct secrets *s, struct call *call)
{
	while (call->holders) {
		struct holder *h = call->holders;
		call->holders = h->next;
		bury(s, h);
	}
	forget_surplus(s);
}
