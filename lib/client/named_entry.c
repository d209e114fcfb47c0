/* SPDX-License-Identifier: Apache-2.0 */
/* What makes a sandbox a named one: its entry in the registry, and a supervisor of its own. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "base/util.h"
#include "client/client.h"
#include "client/registry.h"

/* For a name whose entry is just being removed. */
#define CLAIM_TRIES 200
#define CLAIM_PAUSE_US 5000

static const char *const net_names[] = { "gateway", "none", "host" };

static int describe(const struct sandbox *b, const struct policy *p, struct entry *ret, struct error *e)
{
	time_t now = time(NULL);
	struct tm tm;

	snprintf(ret->name, sizeof(ret->name), "%s", b->name);
	snprintf(ret->id, sizeof(ret->id), "%s", b->id);
	snprintf(ret->net, sizeof(ret->net), "%s", net_names[policy_net_mode(p)]);
	strftime(ret->created, sizeof(ret->created), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	ret->workdir = strdup(policy_workdir(p));
	ret->audit = strdup("");
	return ret->workdir && ret->audit ? 0 : fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, b->name, "out of memory");
}

/* given: of a commit, whose name has its id. */
static int claim_once(struct sandbox *b, const char *name, bool given, const struct policy *p, struct entry *entry,
		      int place[_PLACE_MAX], struct error *e)
{
	_cleanup_registry_ struct registry registry = REGISTRY_NONE;

	int r = registry_open(&registry, true, e);
	if (r == 0)
		r = registry_load(&registry, e);
	if (r < 0)
		return r;
	if (given && (registry_find(&registry, b->name) || registry_find(&registry, b->id)))
		return fail(e, EEXIST, SANDBOX_STAGE_USAGE, b->name, "there is a sandbox %s or %s already: remove it first (nsbox "
			    "rm)", b->name, b->id);
	if (name && registry_find(&registry, name))
		return fail(e, EEXIST, SANDBOX_STAGE_USAGE, name,
			    "there is a sandbox %s already: use it (nsbox exec %s), or remove it first (nsbox rm %s)", name,
			    name, name);
	while (!given && (registry_find(&registry, b->id) || (name && strcmp(name, b->id) == 0))) {
		if (sandbox_id_new(b->id) < 0)
			return fail(e, EIO, SANDBOX_STAGE_INTERNAL, "sandbox", "no random numbers");
	}
	if (!given)
		snprintf(b->name, sizeof(b->name), "%s", name ? name : b->id);
	r = describe(b, p, entry, e);
	return r < 0 ? r : entry_make(&registry, entry, place, e);
}

int named_claim(struct sandbox *b, const char *name, const struct policy *p, struct entry *entry, int place[_PLACE_MAX],
		struct error *e)
{
	const struct timespec pause = { .tv_nsec = CLAIM_PAUSE_US * 1000 };
	bool given = b->name[0];

	for (int tries = CLAIM_TRIES;; tries--) {
		int r = claim_once(b, name, given, p, entry, place, e);
		if (r != -EBUSY || tries == 0)
			return r;
		/* Half of an entry is there: its supervisor is removing it, which takes a moment and the registry's lock. */
		entry_clear(entry);
		nanosleep(&pause, NULL);
	}
}

void named_unclaim(const struct entry *entry, int place[_PLACE_MAX])
{
	_cleanup_registry_ struct registry registry = REGISTRY_NONE;
	struct stat ours, there;
	struct error ignored;

	/* When the lock cannot be had, the entry is a dead one that the next command sweeps. The supervisor may have removed
	 * it already, and then the name can be somebody else's. */
	if (registry_open(&registry, false, &ignored) == 0 && fstat(place[PLACE_ENTRY], &ours) == 0 &&
	    fstatat(registry.dir, entry->name, &there, AT_SYMLINK_NOFOLLOW) == 0 && ours.st_ino == there.st_ino)
		entry_remove(registry.dir, place[PLACE_ENTRY], entry->name);
}

/* The number behind the pidfd; 0 when it is gone. */
static pid_t pid_of(int pidfd)
{
	char path[64], line[128];
	int pid = 0;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Pid: %d", &pid) == 1)
			break;
	}
	if (f)
		fclose(f);
	return pid > 0 ? pid : 0;
}

void named_abandon(struct sandbox *b)
{
	struct connection *c = b->connection;

	if (!c)
		return;
	c->told = true;
	shutdown(c->fd, SHUT_RDWR);
	fd_close(TAKE_FD(c->fd));
	c->lost = true;
	struct pollfd p = { .fd = c->pidfd, .events = POLLIN };
	while (poll(&p, 1, NAMED_END_MS) < 0 && errno == EINTR)
		;
}

int named_supervisor(struct sandbox *b, bool gateway, struct entry *entry, const int place[_PLACE_MAX], struct error *e)
{
	int r = connection_start(b->runtime, b->name, gateway, &b->connection, e);

	if (r < 0)
		return r;
	connection_ref(b->connection);
	entry->pid = pid_of(b->connection->pidfd);
	return entry_write(place[PLACE_ENTRY], entry, e);
}
