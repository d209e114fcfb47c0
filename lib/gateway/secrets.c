/* SPDX-License-Identifier: Apache-2.0 */
/* Loading of secret values. */
#include "gateway/secrets.h"

#include "policy/grant.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>

#include "base/util.h"
#include "base/wire.h"
#include "gateway/calls.h"

#define TOO_LONG "is longer than 64 KiB; give a source that holds the value alone"

static int refuse(struct error *e, const char *name, int err, const char *why)
{
	return fail(e, err, SANDBOX_STAGE_SECRET, name, "Secret %s %s.", name, why);
}

/* Read to the end; the length, or -errno with e filled. */
static ssize_t read_pipe(int fd, uint8_t *to, size_t cap, int parent_fd, const char *name, struct error *e)
{
	size_t len = 0;

	for (;;) {
		struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = parent_fd, .events = POLLRDHUP } };
		if (poll(p, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return refuse(e, name, errno, "could not be read");
		}
		if (p[1].revents)
			_exit(0);
		ssize_t n = read(fd, to + len, cap - len);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return refuse(e, name, errno, "could not be read from its source");
		if (n == 0)
			return (ssize_t)len;
		len += (size_t)n;
		if (len == cap)
			return refuse(e, name, EFBIG, TOO_LONG);
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

/* Pages of their own: nothing else of the process is locked or left out of dumps for them. */
static uint8_t *locked_pages(size_t len)
{
	uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	madvise(p, len, MADV_DONTDUMP);
	/* May fail where RLIMIT_MEMLOCK is small: a swapped page is then the host's own swap, not the sandbox's view. */
	(void)mlock(p, len);
	return p;
}

/* The table of the values themselves. */
static int index_values(struct secrets *s)
{
	unsigned window = 16;
	int r = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (s->v[i].rule->scrub && s->v[i].len < window)
			window = (unsigned)s->v[i].len;
	}
	s->values.window = window;
	for (size_t i = 0; i < s->n && r == 0; i++) {
		if (s->v[i].rule->scrub)
			r = placeholder_add_text(&s->values, s->v[i].value, s->v[i].len, i);
	}
	return r;
}

int secrets_read(struct secrets *s, const struct policy *policy, int *fds, size_t n_fds, int parent_fd, struct error *e)
{
	size_t n;
	const struct policy_secret *rules = policy_secrets(policy, &n);

	if (n != n_fds)
		return fail(e, EPROTO, SANDBOX_STAGE_PROTOCOL, "secrets", "The policy names %zu secrets, but %zu came.", n,
			    n_fds);
	if (!n)
		return 0;
	s->v = calloc(n, sizeof(*s->v));
	if (!s->v)
		return fail(e, ENOMEM, SANDBOX_STAGE_SECRET, "secrets", "No memory for the secrets.");
	for (size_t i = 0; i < n; i++) {
		/* Room for the longest value, its newline, and one byte that tells "too long" from "just fits". */
		size_t cap = SECRET_MAX + 2;
		uint8_t *value = locked_pages(cap);
		if (!value)
			return refuse(e, rules[i].name, ENOMEM, "could not be loaded, for lack of memory");
		ssize_t len = read_pipe(fds[i], value, cap, parent_fd, rules[i].name, e);
		fd_close(TAKE_FD(fds[i]));
		if (len < 0)
			return (int)len;
		/* Locked pages count from the first on: give back those that the value does not need. */
		size_t page = (size_t)sysconf(_SC_PAGESIZE), used = ((size_t)len + page) / page * page;
		if (used < cap)
			munmap(value + used, (cap + page - 1) / page * page - used);
		if (len > 0 && value[len - 1] == '\n')
			len--;
		int r = check(value, (size_t)len, &rules[i], e);
		if (r < 0)
			return r;
		s->v[i] = (struct secret){ .rule = &rules[i], .value = value, .len = (size_t)len };
		s->n++;
	}
	if (index_values(s) < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_SECRET, "secrets", "No memory for the secrets.");
	return 0;
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
	int r = placeholder_add(&s->table, rule->placeholder, s->v[i].len, h, i, &h->placeholder);
	if (r < 0) {
		free(h);
		return r;
	}
	h->next = call->holders;
	call->holders = h;
	r = buf_printf(entry, "%s=%s", rule->name, h->placeholder->text);
	return r < 0 ? r : buf_putc(entry, '\0');
}

int secrets_open_call(struct secrets *s, struct call *call, char ***ret_env)
{
	char **env = calloc(s->n + 1, sizeof(*env));

	if (!env)
		return -ENOMEM;
	if (!s->dead_tail)
		s->dead_tail = &s->dead;
	for (size_t i = 0; i < s->n; i++) {
		struct buf entry = { 0 };
		int r = open_one(s, i, call, &entry);
		if (r < 0) {
			buf_free(&entry);
			strv_free(env);
			secrets_close_call(s, call);
			return r;
		}
		env[i] = (char *)entry.data;
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
