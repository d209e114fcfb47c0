/* SPDX-License-Identifier: Apache-2.0 */
/* Upstream name resolution. */
#include "gateway/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "policy/policy.h"

#define HOSTS_MAX (1024u * 1024u)
#define HOSTS_ENTRIES_MAX 65536u
#define ATTEMPT_MS 2500
#define ATTEMPTS 3
#define PROBE_PORT 9
#define RESOLUTION_DELAY_US 50000u /* RFC 8305, 3 */

/* Outlives its asker: c-ares cannot forget a single question. */
struct resolution_query {
	struct resolution *asker; /* NULL: forgotten, or it has its answer */
	struct resolver *resolver;
	struct found found;
	const char *failure;	       /* the worst of both */
	unsigned pending;	       /* of the questions for A and AAAA */
	uint64_t due;		       /* goes on without the other one then; 0: not yet */
	struct resolution_query *next; /* with a time to be due */
};

static void v4_mapped(struct in6_addr *to, const void *v4)
{
	memset(to, 0, sizeof(*to));
	to->s6_addr[10] = to->s6_addr[11] = 0xff;
	memcpy(&to->s6_addr[12], v4, 4);
}

static int parse_address(const char *text, struct in6_addr *ret)
{
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		v4_mapped(ret, &v4);
		return 0;
	}
	return inet_pton(AF_INET6, text, ret) == 1 ? 0 : -EINVAL;
}

static int add_host(struct resolver *r, const char *name, const struct in6_addr *addr)
{
	char canonical[256];

	if (host_canonical(name, strlen(name), false, canonical) < 0 || r->n_hosts >= HOSTS_ENTRIES_MAX)
		return 0;
	if (r->n_hosts % 16 == 0) {
		struct host_entry *p = realloc(r->hosts, (r->n_hosts + 16) * sizeof(*p));
		if (!p)
			return -ENOMEM;
		r->hosts = p;
	}
	char *copy = strdup(canonical);
	if (!copy)
		return -ENOMEM;
	r->hosts[r->n_hosts++] = (struct host_entry){ .name = copy, .addr = *addr };
	return 0;
}

static int parse_hosts(struct resolver *r, char *text)
{
	char *line_state = NULL;

	for (char *line = strtok_r(text, "\n", &line_state); line; line = strtok_r(NULL, "\n", &line_state)) {
		char *state = NULL;
		struct in6_addr addr;
		line[strcspn(line, "#")] = '\0';
		char *word = strtok_r(line, " \t\r", &state);
		if (!word || parse_address(word, &addr) < 0)
			continue;
		while ((word = strtok_r(NULL, " \t\r", &state))) {
			int e = add_host(r, word, &addr);
			if (e < 0)
				return e;
		}
	}
	return 0;
}

static int read_hosts(struct resolver *r)
{
	_cleanup_close_ int fd = open("/etc/hosts", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	_cleanup_free_ char *text = malloc(HOSTS_MAX + 1);
	if (!text)
		return -ENOMEM;
	size_t len = 0;
	while (len < HOSTS_MAX) {
		ssize_t n = read(fd, text + len, HOSTS_MAX - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
	return parse_hosts(r, text);
}

static void socket_ready(struct source *source, uint32_t events)
{
	struct resolver_socket *s = (struct resolver_socket *)source;
	int fd = source->fd;
	bool error = events & (EPOLLERR | EPOLLHUP);

	ares_process_fd(s->resolver->channel, (events & EPOLLIN) || error ? fd : ARES_SOCKET_BAD,
			events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
}

/* c-ares opens and closes its sockets itself; it tells here what it waits for. */
static void socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
	struct resolver *r = data;
	struct resolver_socket *slot = NULL, *empty = NULL;
	uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);

	for (size_t i = 0; i < RESOLVER_SOCKETS; i++) {
		if (r->sockets[i].in_use && r->sockets[i].source.fd == fd)
			slot = &r->sockets[i];
		else if (!r->sockets[i].in_use && !empty)
			empty = &r->sockets[i];
	}
	if (!events) {
		if (slot) {
			epoll_ctl(r->loop->epoll, EPOLL_CTL_DEL, fd, NULL);
			slot->in_use = false;
			slot->source.fd = -EBADF;
		}
		return;
	}
	if (slot) {
		loop_change(r->loop, &slot->source, events);
		return;
	}
	/* No free slot: the question runs into its timeout. */
	if (!empty)
		return;
	*empty = (struct resolver_socket){ .source = { .fd = fd, .ready = socket_ready }, .resolver = r, .in_use = true };
	if (loop_add(r->loop, &empty->source, events) < 0)
		empty->in_use = false;
}

int resolver_init(struct resolver *r, struct loop *l, struct error *e)
{
	*r = (struct resolver){ .loop = l };
	struct ares_options options = {
		.timeout = ATTEMPT_MS,
		.tries = ATTEMPTS,
		.lookups = (char *)"b",
		.sock_state_cb = socket_state,
		.sock_state_cb_data = r,
	};
	int status = ares_library_init(ARES_LIB_INIT_ALL);
	if (status == ARES_SUCCESS)
		status = ares_init_options(&r->channel, &options,
					   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
						   ARES_OPT_SOCK_STATE_CB);
	if (status != ARES_SUCCESS)
		return fail(e, EIO, SANDBOX_STAGE_GATEWAY, "/etc/resolv.conf", "The resolver could not be set up: %s.",
			    ares_strerror(status));
	int err = read_hosts(r);
	return err < 0 ? fail_errno(e, -err, SANDBOX_STAGE_GATEWAY, "/etc/hosts", "Cannot read /etc/hosts") : 0;
}

void found_add(struct found *f, const struct in6_addr *addr)
{
	unsigned family = IN6_IS_ADDR_V4MAPPED(addr);

	if (f->n[family] < RESOLVE_MAX_ADDRS)
		f->addrs[family][f->n[family]++] = *addr;
}

void found_interleave(const struct found *f, struct resolution *q)
{
	q->n_addrs = 0;
	for (size_t i = 0; i < RESOLVE_MAX_ADDRS; i++) {
		for (size_t family = 0; family < 2; family++) {
			if (i < f->n[family] && q->n_addrs < RESOLVE_MAX_ADDRS)
				q->addrs[q->n_addrs++] = f->addrs[family][i];
		}
	}
}

static void take_addresses(struct found *found, const struct ares_addrinfo *info)
{
	struct in6_addr addr;

	for (const struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next) {
		if (n->ai_family == AF_INET)
			v4_mapped(&addr, &((const struct sockaddr_in *)(const void *)n->ai_addr)->sin_addr);
		else if (n->ai_family == AF_INET6)
			addr = ((const struct sockaddr_in6 *)(const void *)n->ai_addr)->sin6_addr;
		else
			continue;
		found_add(found, &addr);
	}
}

/* A server that does not answer for one family says nothing about the name: that reason comes before "not there". */
static const char *worse(const char *failure, int status)
{
	if (status == ARES_ENOTFOUND || status == ARES_ENODATA || status == ARES_SUCCESS)
		return failure ? failure : "no-such-host";
	return status == ARES_ETIMEOUT ? "resolver-timeout" : "resolver-error";
}

static void unlink_due(struct resolution_query *query)
{
	struct resolution_query **at = &query->resolver->due;

	while (*at && *at != query)
		at = &(*at)->next;
	if (*at)
		*at = query->next;
	query->due = 0;
}

static void finish(struct resolution_query *query)
{
	struct resolution *q = TAKE_PTR(query->asker);

	unlink_due(query);
	if (q) {
		q->query = NULL;
		found_interleave(&query->found, q);
		q->failure = q->n_addrs ? NULL : query->failure;
	}
	if (!query->pending)
		free(query);
	if (q && q->done)
		q->done(q);
}

/* For A or AAAA. With addresses of one family the other is waited for as RFC 8305 says, and not as long as a server that
 * drops such questions would have it. */
static void answered(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct resolution_query *query = arg;
	struct resolver *r = query->resolver;

	(void)timeouts;
	r->active--;
	query->pending--;
	if (status == ARES_SUCCESS && info)
		take_addresses(&query->found, info);
	if (info)
		ares_freeaddrinfo(info);
	query->failure = worse(query->failure, status);
	if (!query->pending) {
		finish(query);
	} else if (query->asker && query->found.n[0] + query->found.n[1]) {
		query->due = r->loop->now + RESOLUTION_DELAY_US;
		query->next = r->due;
		r->due = query;
	}
}

static void ask_family(struct resolver *r, int family, const char *absolute, struct resolution_query *query)
{
	/* NOSORT: sorting would open a socket for each address to ask the kernel for its route. */
	struct ares_addrinfo_hints hints = { .ai_family = family, .ai_flags = ARES_AI_NOSORT };

	r->active++;
	ares_getaddrinfo(r->channel, absolute, NULL, &hints, answered, query);
}

int resolver_ask(struct resolver *r, struct resolution *q, const char *host)
{
	q->n_addrs = 0;
	q->failure = NULL;
	if (parse_address(host, &q->addrs[0]) == 0) {
		q->n_addrs = 1;
		return 1;
	}
	struct found found = { 0 };
	for (size_t i = 0; i < r->n_hosts; i++) {
		if (strcmp(r->hosts[i].name, host) == 0)
			found_add(&found, &r->hosts[i].addr);
	}
	found_interleave(&found, q);
	if (q->n_addrs)
		return 1;

	struct resolution_query *query = calloc(1, sizeof(*query));
	if (!query)
		return -ENOMEM;
	/* The trailing dot keeps the search list of resolv.conf out: only this very name was decided about. */
	char absolute[256 + 1];
	size_t len = strlen(host);
	if (len + 2 > sizeof(absolute)) {
		free(query);
		return -EINVAL;
	}
	memcpy(absolute, host, len);
	memcpy(absolute + len, ".", 2);
	query->resolver = r;
	query->pending = 2;
	/* c-ares may answer from within (no server, out of sockets): the asker hears of it by the return value. */
	void (*done)(struct resolution *) = q->done;
	q->done = NULL;
	q->query = query;
	query->asker = q;
	ask_family(r, AF_INET6, absolute, query);
	ask_family(r, AF_INET, absolute, query);
	q->done = done;
	return q->query ? 0 : 1;
}

void resolver_forget(struct resolution *q)
{
	if (q->query)
		q->query->asker = NULL;
	q->query = NULL;
}

int resolver_timeout(struct resolver *r, int max)
{
	struct timeval longest = { .tv_sec = 10 }, tv;

	if (!r->active)
		return max;
	struct timeval *next = ares_timeout(r->channel, &longest, &tv);
	int ms = (int)(next->tv_sec * 1000 + (next->tv_usec + 999) / 1000);
	uint64_t now = now_us();
	for (const struct resolution_query *x = r->due; x; x = x->next) {
		int left = x->due > now ? (int)((x->due - now + 999) / 1000) : 0;
		ms = left < ms ? left : ms;
	}
	return max < 0 || ms < max ? ms : max;
}

void resolver_tick(struct resolver *r)
{
	if (r->active)
		ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	/* From the beginning after each: whoever goes on may ask again. */
	for (struct resolution_query *x = r->due; x;) {
		bool is_due = x->due <= r->loop->now;
		if (is_due)
			finish(x);
		x = is_due ? r->due : x->next;
	}
}

bool addr_is_own(const struct in6_addr *addr)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_addr = *addr, .sin6_port = htons(PROBE_PORT) };
	struct sockaddr_in to4 = { .sin_family = AF_INET, .sin_port = htons(PROBE_PORT) };
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	bool v4 = IN6_IS_ADDR_V4MAPPED(addr);

	/* A connected UDP socket sends nothing; the kernel picks as source for a local destination that same address. */
	memcpy(&to4.sin_addr, &addr->s6_addr[12], 4);
	_cleanup_close_ int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return true;
	if (connect(fd, v4 ? (struct sockaddr *)&to4 : (struct sockaddr *)&to, v4 ? sizeof(to4) : sizeof(to)) < 0)
		return false; /* no route: the dialling will say so */
	if (getsockname(fd, (struct sockaddr *)&from, &len) < 0)
		return true;
	if (v4)
		return ((struct sockaddr_in *)&from)->sin_addr.s_addr == to4.sin_addr.s_addr;
	return memcmp(&((struct sockaddr_in6 *)&from)->sin6_addr, addr, sizeof(*addr)) == 0;
}
