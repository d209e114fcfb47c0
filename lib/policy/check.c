/* SPDX-License-Identifier: Apache-2.0 */
/* The questions of `nsbox check`: what would happen to this URL, to this path? */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "policy/etc_hidden.h"
#include "policy/grant_internal.h"

static int bad_url(struct error *e, const char *url, const char *what)
{
	return fail(e, EINVAL, SANDBOX_STAGE_USAGE, url,
		    "'%.100s': %s; accepted: http://HOST[:PORT][/PATH], https://HOST[:PORT][/PATH], tcp://HOST:PORT", url, what);
}

static void decide(const struct policy *p, const struct grant *g, const struct net_target *t, struct net_verdict *ret)
{
	if (g)
		grant_decide(p, g, t, ret);
	else
		policy_decide(p, t, ret);
}

static int decide_url(const struct policy *p, const struct grant *g, struct net_target *t, const char *host,
		      struct net_verdict *ret)
{
	struct in6_addr addr;

	if (addr_from_text(host, &addr))
		t->addr = &addr;
	else
		t->host = host;
	if (t->host && t->proto == PROTO_HTTPS && policy_is_passthrough(p, host, t->port))
		t->proto = PROTO_PASSTHROUGH;
	decide(p, g, t, ret);
	ret->quotas = policy_quotas_of(p, t);
	/* tcp:// and ranges relay whatever is sent, HTTP too. */
	if (!ret->allowed && strcmp(ret->reason, "deny-rule") != 0 && strcmp(ret->reason, "grant-deny") != 0 &&
	    t->proto != PROTO_PASSTHROUGH) {
		struct net_target tcp = { .proto = PROTO_TCP, .host = t->host, .addr = t->addr, .port = t->port };
		struct net_verdict relayed;
		decide(p, g, &tcp, &relayed);
		if (relayed.allowed) {
			*ret = relayed;
			ret->quotas = policy_quotas_of(p, &tcp);
		}
	}
	return 0;
}

static int check_url(const struct policy *p, const struct grant *g, const char *url, const char *method,
		     struct net_verdict *ret, struct error *e)
{
	struct net_target t = { .method = method ? method : "GET" };
	char host[256];
	unsigned port;

	if (strncmp(url, "https://", 8) == 0)
		t.proto = PROTO_HTTPS;
	else if (strncmp(url, "tcp://", 6) == 0)
		t.proto = PROTO_TCP;
	else if (strncmp(url, "http://", 7) != 0)
		return bad_url(e, url, "no known scheme");
	const char *s = strstr(url, "://") + 3, *end = s + strcspn(s, "/?#");
	if (memchr(s, '@', (size_t)(end - s)))
		return bad_url(e, url, "a user name before the host is not accepted");
	const char *colon = end;
	while (colon > s && colon[-1] != ':' && colon[-1] != ']')
		colon--;
	port = t.proto == PROTO_HTTPS ? 443 : t.proto == PROTO_HTTP ? 80 : 0;
	const char *host_end = end;
	if (colon > s && colon[-1] == ':') {
		char digits[8] = "";
		uint32_t v;
		if (end - colon > 5 || end == colon)
			return bad_url(e, url, "the port is not a number from 1 to 65535");
		memcpy(digits, colon, (size_t)(end - colon));
		if (parse_count(digits, 65535, &v) < 0)
			return bad_url(e, url, "the port is not a number from 1 to 65535");
		port = v;
		host_end = colon - 1;
	}
	if (!port)
		return bad_url(e, url, "no port");
	t.port = (uint16_t)port;
	int r = host_canonical(s, (size_t)(host_end - s), true, host);
	if (r < 0)
		return bad_url(e, url, r == -ELIBACC ? "libidn2.so.0 is needed for a host that is not ASCII" : "not a host");

	size_t len = strcspn(end, "?#");
	_cleanup_free_ char *path = calloc(1, len + 2);
	if (!path)
		return out_of_memory(e);
	if (path_canonical(len ? end : "/", len ? len : 1, path) == 0)
		t.path = path;
	else if (path_opaque(end, len, path) < 0)
		return bad_url(e, url, "the gateway refuses this path (encoded separators, control bytes, or bad encoding)");
	if (p->mode != NET_GATEWAY) {
		*ret = (struct net_verdict){ .allowed = p->mode == NET_HOST, .rule = "",
					     .origin = p->mode_origin ? p->mode_origin : "",
					     .reason = p->mode == NET_HOST ? "net-host" : "net-none" };
		return 0;
	}
	return decide_url(p, g, &t, host, ret);
}

int policy_check_url(const struct policy *p, const char *url, const char *method, struct net_verdict *ret,
		     struct error *e)
{
	return check_url(p, NULL, url, method, ret, e);
}

int grant_check_url(const struct policy *p, const struct grant *g, const char *url, const char *method,
		    struct net_verdict *ret, struct error *e)
{
	return check_url(p, g, url, method, ret, e);
}

/* What every sandbox has in its own /dev, for reading and writing. */
static bool is_own_device(const char *path)
{
	static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty",
					       "/dev/ptmx", "/dev/pts", "/dev/pts/ptmx", "/dev/shm" };

	for (size_t i = 0; i < ARRAY_LEN(devices); i++) {
		if (strcmp(path, devices[i]) == 0)
			return true;
	}
	return false;
}

/* A directory of the sandbox's own in the place of the host's: empty and writable. What the host has there is not there
 * inside; anything else can be made. */
static void private_view(const char *path, const char *dir, struct path_verdict *ret)
{
	struct stat st;

	ret->reason = "private";
	ret->allowed = strcmp(path, dir) == 0 || is_own_device(path) || lstat(path, &st) < 0;
}

static bool is_absent(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(etc_hidden); i++) {
		char hidden[64];
		snprintf(hidden, sizeof(hidden), "/etc/%s", etc_hidden[i]);
		if (path_below(path, hidden))
			return true;
	}
	return false;
}

bool system_view_has(const char *path)
{
	static const char *const system[] = { "/usr", "/opt", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
					      "/etc", "/proc", "/sys" };

	for (size_t i = 0; i < ARRAY_LEN(system); i++) {
		if (path_below(path, system[i]))
			return !is_absent(path);
	}
	return false;
}

static const char *const own_directories[] = { "/tmp", "/var/tmp", "/run", "/dev" };

/* The default root view (DESIGN 6 and 13): what is there without any entry of the policy. */
static void default_view(const char *path, bool write, struct path_verdict *ret)
{
	_cleanup_free_ char *home = NULL;

	if (is_absent(path)) {
		ret->reason = "absent";
		return;
	}
	if (system_view_has(path)) {
		ret->allowed = !write;
		ret->reason = "system";
		return;
	}
	/* First, because it may lie below one of the others. */
	if (home_dir(&home) == 0 && home[1] && path_below(path, home)) {
		private_view(path, home, ret);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(own_directories); i++) {
		if (path_below(path, own_directories[i])) {
			private_view(path, own_directories[i], ret);
			return;
		}
	}
}

/* Of the directories that are private and writable. */
static bool below_own(const char *path, const char *home)
{
	for (size_t i = 0; i < ARRAY_LEN(own_directories); i++) {
		if (path_below(path, own_directories[i]))
			return true;
	}
	return home && home[1] && path_below(path, home);
}

bool policy_path_fixed(const struct policy *p, const char *path)
{
	bool read = false;

	for (size_t i = 0; i < p->n_paths; i++) {
		if (!path_below(path, p->paths[i].path))
			continue;
		if (p->paths[i].kind == PATH_WRITE || p->paths[i].kind == PATH_OVERLAY || p->paths[i].kind == PATH_TMPFS)
			return false;
		read |= p->paths[i].kind == PATH_READ;
	}
	return system_view_has(path) || (read && !below_own(path, p->home));
}

/* Resolve the longest existing beginning, so that the answer is about the object, and keep the rest. */
static int canonical_part(const char *given, char **ret, struct error *e)
{
	_cleanup_free_ char *head = strdup(given), *real = NULL;
	struct stat st;

	if (!head)
		return out_of_memory(e);
	for (char *slash; head[1] && stat(head, &st) < 0;) {
		slash = strrchr(head, '/');
		slash[slash == head ? 1 : 0] = '\0';
	}
	const char *rest = given + (head[1] ? strlen(head) : 0);
	if (strstr(rest, "/../") || (strlen(rest) >= 3 && strcmp(rest + strlen(rest) - 3, "/..") == 0))
		return fail(e, EINVAL, SANDBOX_STAGE_USAGE, given, "%s: '..' behind a directory that does not exist", given);
	real = realpath(head, NULL);
	if (!real)
		return fail_errno(e, errno, SANDBOX_STAGE_USAGE, given, "cannot resolve %s", given);
	if (asprintf(ret, "%s%s", real[1] ? real : "", *rest ? rest : real[1] ? "" : "/") < 0) {
		*ret = NULL;
		return out_of_memory(e);
	}
	return 0;
}

int check_canonical(const char *path, char **ret, struct error *e)
{
	bool relative = path[0] != '/';
	_cleanup_free_ char *cwd = relative ? getcwd(NULL, 0) : NULL, *given = NULL;

	if (check_path_bytes(path) < 0)
		return fail(e, EINVAL, SANDBOX_STAGE_USAGE, "path", "the path is empty or has control bytes");
	if (relative && !cwd)
		return fail_errno(e, errno, SANDBOX_STAGE_USAGE, ".", "cannot find the current directory");
	int r = absolute_path(cwd, path, &given);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_USAGE, path, "%s", path);
	return canonical_part(given, ret, e);
}

int policy_check_path(const struct policy *p, const char *path, bool write, struct path_verdict *ret, struct error *e)
{
	static const char *const keys[] = { "read", "write", "overlay", "hide", "protect", "tmpfs" };
	_cleanup_free_ char *real = NULL;

	int r = check_canonical(path, &real, e);
	if (r < 0)
		return r;
	*ret = (struct path_verdict){ .origin = "default", .reason = "not-granted" };
	const struct policy_path *entry = effective_path(p, real);
	if (!entry) {
		default_view(real, write, ret);
		return 0;
	}
	snprintf(ret->rule, sizeof(ret->rule), "%s %s", keys[entry->kind], entry->given);
	snprintf(ret->origin, sizeof(ret->origin), "%s", entry->origin);
	switch (entry->kind) {
	case PATH_HIDE:
		ret->reason = "hide";
		break;
	case PATH_PROTECT:
		/* Readable only if what it protects is there at all. */
		ret->allowed = !write;
		ret->reason = "protect";
		break;
	case PATH_READ:
		ret->allowed = !write;
		ret->reason = write ? "read-only" : "rule";
		break;
	case PATH_WRITE:
	case PATH_OVERLAY:
	case PATH_TMPFS:
		ret->allowed = true;
		ret->reason = "rule";
		break;
	}
	return 0;
}

bool path_verdict_shows(const struct path_verdict *verdict)
{
	return verdict->allowed && strcmp(verdict->reason, "private") != 0 && strncmp(verdict->rule, "tmpfs ", 6) != 0;
}
