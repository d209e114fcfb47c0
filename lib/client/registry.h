/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry of named sandboxes: one directory each, sandboxes/NAME in the state directory.
 *
 *   lock    held (flock) by the supervisor; who can take it knows that the supervisor is dead
 *   info    what is to be known without asking: lines "key value"
 *   output  what calls wrote (supervisor/protocol.h)
 *
 * The socket NAME.sock is in the directory of the sockets, which info names. Making, sweeping and removing entries
 * happens under the lock of the whole registry, sandboxes/.lock, held for no longer than that takes. A supervisor that
 * ends in order removes its own entry while it still holds its lock: socket first, directory last.
 */
#ifndef NSBOX_CLIENT_REGISTRY_H
#define NSBOX_CLIENT_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "client/client.h"

struct entry {
	char name[NAME_MAX_BYTES + 1], id[ID_MAX];
	char created[32], net[16]; /* RFC 3339, UTC; mode of the network */
	char *workdir, *socket_dir, *audit;
	pid_t pid; /* of the supervisor, 0: not started yet */
	bool ready;
};

void entry_clear(struct entry *entry);

struct registry {
	int dir, lock;
	struct entry *entries; /* living ones, sorted by name, after registry_load() */
	size_t n_entries;
};

#define _cleanup_registry_ __attribute__((cleanup(registry_close)))
#define REGISTRY_NONE { .dir = -EBADF, .lock = -EBADF }

/* registry.c */
/* Open it and take its lock (at most ten seconds). make: make what is missing, else -ENOENT says that there is none. */
int registry_open(struct registry *ret, bool make, struct error *e);
void registry_unlock(struct registry *r);
void registry_close(struct registry *r);
/* Read all entries, sweeping the dead ones. */
int registry_load(struct registry *r, struct error *e);
/* By name or id among what was loaded, or NULL. */
const struct entry *registry_find(const struct registry *r, const char *name);
/* Remove the entry when its supervisor is dead; true when it is gone. */
bool registry_sweep(struct registry *r, const char *name);
/* Find one by its name without taking locks or sweeping; -ENOENT: registry_lookup() knows better. */
int registry_peek(const char *name, struct entry *ret);
/* The directory of an entry (O_PATH), or -ENOENT. */
int registry_entry_dir(const char *name);
/* The same with locks and sweeping, by name or id; ret is the caller's to clear. */
int registry_lookup(const char *name, struct entry *ret, struct error *e);
bool name_valid(const char *name);
int name_check(const char *name, struct error *e);

/* registry_entry.c */
int entry_read(int dir, struct entry *ret); /* 0, -ENOENT, -EBADMSG, -ENOMEM */
int entry_write(int dir, const struct entry *entry, struct error *e);
/* The files of it and its socket, then the directory itself in parent. */
void entry_remove(int parent, int dir, const char *name);

/* A new entry, as MSG_CREATE wants it. */
enum { PLACE_ENTRY, PLACE_LOCK, PLACE_SOCKET_DIR, PLACE_SOCKET, _PLACE_MAX };
/* Under the lock of the registry. entry->socket_dir is filled in. On failure nothing is left. */
int entry_make(struct registry *r, struct entry *entry, int place[_PLACE_MAX], struct error *e);
void place_close(int place[_PLACE_MAX]);

/* named_entry.c */
/* For a supervisor to leave after it said that its sandbox is gone. */
#define NAMED_END_MS 5000
/* Take the name (NULL: the one that b has, with its id as it is, else the id): from here on nobody else gets it, and this
 * process dying frees it again. */
int named_claim(struct sandbox *b, const char *name, const struct policy *p, struct entry *entry, int place[_PLACE_MAX],
		struct error *e);
void named_unclaim(const struct entry *entry, int place[_PLACE_MAX]);
/* Start it, and say so in the entry. */
int named_supervisor(struct sandbox *b, bool gateway, struct entry *entry, const int place[_PLACE_MAX], struct error *e);
/* One that was given no sandbox, or has none any more, leaves when its client does. */
void named_abandon(struct sandbox *b);

/* registry_socket.c: addresses have room for 108 bytes only, so both go through a descriptor of the directory. */
int socket_listen(int dir, const char *name, struct error *e);
/* A connection to it; its other end runs as we do. -ECONNREFUSED, -ENOENT: nobody is there. */
int socket_connect(const struct entry *entry, struct error *e);

#endif
