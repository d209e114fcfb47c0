/* SPDX-License-Identifier: Apache-2.0 */
/* Named sandboxes: making, finding, listing and ending them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "client/client.h"
#include "client/registry.h"
#include "supervisor/protocol.h"

#define MAX_POLICY (16u << 20)

static int create_in(struct sandbox *b, const struct sandbox_policy *policy, struct entry *entry,
		     int place[_PLACE_MAX], bool *ret_made, struct error *e)
{
	int r = named_supervisor(b, policy_net_mode(policy->policy) == NET_GATEWAY, entry, place, e);
	if (r == 0)
		r = sandbox_request_create(b, policy, place, e);
	if (r < 0)
		return r;
	*ret_made = true;
	free(entry->audit);
	entry->audit = realpath(b->log_path, NULL);
	if (!entry->audit)
		return fail_errno(e, errno, SANDBOX_STAGE_AUDIT, b->log_path, "cannot find the audit log %s", b->log_path);
	entry->ready = true;
	r = entry_write(place[PLACE_ENTRY], entry, e);
	/* It listens already, so it can also be gone already: made, and removed by somebody else. */
	return r == -ENOENT ? 0 : r;
}

int sandbox_create_named(sandbox_runtime *runtime, sandbox_policy *policy, const char *name, sandbox **ret_sandbox,
			 sandbox_error **error)
{
	int place[_PLACE_MAX] = { -EBADF, -EBADF, -EBADF, -EBADF };
	struct entry entry = { 0 };
	struct error e = { 0 };

	if (name && name_check(name, &e) < 0)
		return error_publish(&e, error);
	int r = sandbox_policy_check(policy, error);
	if (r < 0)
		return r;
	struct sandbox *b = sandbox_new(runtime, &e);
	if (!b)
		return error_publish(&e, error);
	r = named_claim(b, name, policy->policy, &entry, place, &e);
	if (r == 0) {
		bool made = false;
		r = create_in(b, policy, &entry, place, &made, &e);
		if (r < 0) {
			if (made)
				sandbox_request_destroy(b, true, NULL);
			named_abandon(b);
			named_unclaim(&entry, place);
		}
	}
	place_close(place);
	entry_clear(&entry);
	if (r < 0) {
		sandbox_drop(b);
		return error_publish(&e, error);
	}
	*ret_sandbox = b;
	return 0;
}

/* A connected socket, and the entry that led to it. */
static int reach(const char *name, struct entry *ret, struct error *e)
{
	/* By name in the usual case: nothing is locked, nothing else looked at. */
	int r = registry_peek(name, ret);
	for (int tries = 0;; tries++) {
		if (r < 0)
			r = registry_lookup(name, ret, e);
		if (r < 0)
			return r;
		int fd = socket_connect(ret, e);
		if (fd >= 0)
			return fd;
		entry_clear(ret);
		/* It died a moment ago, or removes itself just now: looking again sweeps it and says so. */
		if ((fd != -ECONNREFUSED && fd != -ENOENT) || tries)
			return fd;
		r = -EAGAIN;
	}
}

static int ask_open(struct sandbox *b, const struct entry *entry, struct error *e)
{
	_cleanup_buf_ struct buf m = { 0 }, bytes = { 0 };
	_cleanup_free_ char *id = NULL;
	struct request request = { 0 };
	int fd = -EBADF;

	int r = request_begin(b->connection, &m, MSG_OPEN, &request);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_INTERNAL, entry->name, "cannot open sandbox %s", entry->name);
	r = request_run(b->connection, &m, &request, NULL, 0, &id, &fd, e);
	if (r < 0)
		return r;
	_cleanup_close_ int policy_fd = fd;
	/* The registry was changed under us, or the socket is another's. */
	if (strcmp(id, entry->id) != 0)
		return fail(e, ESTALE, SANDBOX_STAGE_PROTOCOL, entry->name, "sandbox %s was replaced by another one just now",
			    entry->name);
	r = memfd_read_sealed(policy_fd, MAX_POLICY, &bytes);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_PROTOCOL, entry->name, "cannot read the policy of sandbox %s", entry->name);
	return policy_decode(bytes.data, bytes.len, &b->policy, e);
}

int sandbox_open(sandbox_runtime *runtime, const char *name, sandbox **ret_sandbox, sandbox_error **error)
{
	struct entry entry = { 0 };
	struct error e = { 0 };

	int fd = reach(name, &entry, &e);
	if (fd < 0)
		return error_publish(&e, error);
	struct sandbox *b = sandbox_new(runtime, &e);
	if (!b) {
		fd_close(fd);
		entry_clear(&entry);
		return error_publish(&e, error);
	}
	snprintf(b->id, sizeof(b->id), "%s", entry.id);
	snprintf(b->name, sizeof(b->name), "%s", entry.name);
	b->log_path = TAKE_PTR(entry.audit);
	int r = connection_adopt(runtime, b->name, fd, &b->connection, &e);
	if (r == 0) {
		connection_ref(b->connection);
		r = ask_open(b, &entry, &e);
	}
	entry_clear(&entry);
	if (r < 0) {
		sandbox_drop(b);
		return error_publish(&e, error);
	}
	*ret_sandbox = b;
	return 0;
}

int sandbox_remove(sandbox *box, int force, sandbox_error **error)
{
	_cleanup_registry_ struct registry registry = REGISTRY_NONE;
	struct error e = { 0 };

	if (!box->connection || box->removed) {
		fail(&e, ECONNRESET, SANDBOX_STAGE_PROTOCOL, box->id, "%s",
		     box->removed ? "the sandbox has been removed" : "the runtime of the sandbox has been freed");
		return error_publish(&e, error);
	}
	if (sandbox_check_outside(box, &e) < 0)
		return error_publish(&e, error);
	int r = sandbox_request_destroy(box, force != 0, &e);
	/* It died instead of answering, or somebody else is removing it just now: gone is gone. */
	bool gone = r < 0 && box->name[0] && (box->connection->lost || r == -ENOENT);
	if (r < 0 && !gone)
		return error_publish(&e, error);
	box->removed = true;
	if (!box->name[0])
		return 0;
	connection_await_end(box->connection, NAMED_END_MS);
	/* What it could not remove itself. */
	if (registry_open(&registry, false, &e) == 0)
		registry_sweep(&registry, box->name);
	return 0;
}

static int put_entry(struct buf *b, const struct entry *entry)
{
	int r = b->data[b->len - 1] == '[' ? 0 : buf_putc(b, ',');
	if (r == 0)
		r = buf_putc(b, '{');
	if (r == 0)
		r = json_member_string(b, "name", entry->name);
	if (r == 0)
		r = json_member_string(b, "id", entry->id);
	if (r == 0)
		r = json_member_string(b, "state", entry->ready ? "running" : "starting");
	if (r == 0)
		r = json_member_int(b, "pid", entry->pid);
	if (r == 0)
		r = json_member_string(b, "created", entry->created);
	if (r == 0)
		r = json_member_string(b, "workdir", entry->workdir);
	if (r == 0)
		r = json_member_string(b, "net", entry->net);
	return r < 0 ? r : buf_putc(b, '}');
}

/* The living entries; none when there is no registry yet. */
static int load(struct registry *registry, struct error *e)
{
	int r = registry_open(registry, false, e);

	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : registry_load(registry, e);
}

static int give_array(struct buf *b, int r, char **ret_json, sandbox_error **error)
{
	struct error e;

	if (r == 0)
		r = buf_putc(b, ']');
	if (r == 0 && buf_str(b)) {
		*ret_json = (char *)TAKE_PTR(b->data);
		return 0;
	}
	fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, "sandboxes", "out of memory");
	return error_publish(&e, error);
}

int sandbox_list(char **ret_json, sandbox_error **error)
{
	_cleanup_registry_ struct registry registry = REGISTRY_NONE;
	_cleanup_buf_ struct buf b = { 0 };
	struct error e = { 0 };

	int r = load(&registry, &e);
	if (r < 0)
		return error_publish(&e, error);
	r = buf_putc(&b, '[');
	for (size_t i = 0; i < registry.n_entries && r == 0; i++)
		r = put_entry(&b, &registry.entries[i]);
	return give_array(&b, r, ret_json, error);
}

/* 1 removed, 0 there are calls in it (or it went by itself), -errno. */
static int prune_one(sandbox_runtime *runtime, const char *name)
{
	sandbox *box;

	int r = sandbox_open(runtime, name, &box, NULL);
	if (r < 0)
		return 0;
	r = sandbox_remove(box, 0, NULL);
	sandbox_free(box);
	return r == 0;
}

int sandbox_prune(char **ret_json, sandbox_error **error)
{
	_cleanup_registry_ struct registry registry = REGISTRY_NONE;
	_cleanup_buf_ struct buf b = { 0 };
	sandbox_runtime *runtime;
	struct error e = { 0 };

	int r = load(&registry, &e);
	if (r < 0)
		return error_publish(&e, error);
	/* Removing takes it for each. */
	registry_unlock(&registry);
	r = sandbox_runtime_new(&runtime, error);
	if (r < 0)
		return r;
	runtime->wanted = strdup(",");
	r = buf_putc(&b, '[');
	for (size_t i = 0; i < registry.n_entries && r == 0; i++) {
		const struct entry *entry = &registry.entries[i];
		if (!entry->ready || !prune_one(runtime, entry->name))
			continue;
		if (b.len > 1)
			r = buf_putc(&b, ',');
		if (r == 0)
			r = json_text(&b, entry->name, strlen(entry->name));
	}
	sandbox_runtime_free(runtime);
	return give_array(&b, r, ret_json, error);
}
