/* SPDX-License-Identifier: Apache-2.0 */
/* Slots: the launcher's part of a call, from its network namespace to the end of its guardian. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/util.h"
#include "namespace/launcher_state.h"
#include "policy/policy.h"

static void slot_free(struct slot *slot)
{
	for (struct slot **at = &slot->sandbox->slots; *at; at = &(*at)->next)
		if (*at == slot) {
			*at = slot->next;
			break;
		}
	watch_remove(&slot->watch);
	fd_close(slot->net);
	fd_close(slot->pidfd);
	buf_free(&slot->covers);
	free(slot);
}

/* A guardian that is at its end has said goodbye to the supervisor. One that was killed has left processes behind,
 * which only the end of the sandbox reaches. */
static void on_guardian_dead(void *owner)
{
	struct slot *slot = owner;
	struct sandbox *s = slot->sandbox;
	bool orderly = guardian_reap(slot->pidfd);

	slot_free(slot);
	if (!orderly)
		sandbox_kill(s);
}

static void slot_failed(struct slot *slot, const struct error *e)
{
	send_slot_outcome(slot, e, -EBADF);
	slot_free(slot);
}

static void slot_start(struct slot *slot)
{
	struct error e = { 0 };
	int sock = -EBADF;

	if (guardian_start(slot->sandbox, slot, &sock, &e) < 0) {
		slot_failed(slot, &e);
		return;
	}
	/* Without the watch its end would go unseen, so none is started like that. */
	if (watch_add(&slot->watch, slot->pidfd, slot, on_guardian_dead) < 0) {
		fail_errno(&e, errno, SANDBOX_STAGE_INTERNAL, "epoll", "cannot watch the call");
		fd_close(sock);
		guardian_reap(slot->pidfd);
		slot_failed(slot, &e);
		return;
	}
	send_slot_outcome(slot, NULL, sock);
	fd_close(sock);
}

/* The one made ahead for the first call, a new one for each later one. */
static int slot_net(struct slot *slot, uint32_t address, struct error *e)
{
	struct sandbox *s = slot->sandbox;
	bool first = !s->init_net_taken;

	if (s->net_mode == NET_HOST)
		return 0;
	slot->net_cookie = s->init.net_cookie;
	slot->net = first ? fcntl(s->init.net, F_DUPFD_CLOEXEC, 3) : net_new(&slot->net_cookie, e);
	if (slot->net < 0)
		return first ? fail_errno(e, errno, SANDBOX_STAGE_NETWORK, "dup", "no descriptor left") : slot->net;
	if (first) {
		fd_close(TAKE_FD(s->init.net));
		s->init_net_taken = true;
	}
	return s->net_mode == NET_GATEWAY ? wire_connect(&s->wire, slot->net, address, first, e) : 0;
}

void slot_new(struct sandbox *s, uint32_t number, uint32_t address, bool full, const void *covers, size_t covers_len)
{
	struct error e = { 0 };
	struct slot *slot = calloc(1, sizeof(*slot));

	if (!slot) {
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, "slot", "out of memory");
		slot = &(struct slot){ .sandbox = s, .number = number };
		send_slot_outcome(slot, &e, -EBADF);
		return;
	}
	*slot = (struct slot){ .sandbox = s, .number = number, .full = full, .net = -EBADF, .pidfd = -EBADF };
	slot->watch.fd = -EBADF;
	/* At the end: the order of asking is the order of starting. */
	struct slot **at = &s->slots;
	while (*at)
		at = &(*at)->next;
	*at = slot;
	if (buf_append(&slot->covers, covers, covers_len) < 0) {
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, "slot", "out of memory");
		slot_failed(slot, &e);
	} else if (slot_net(slot, address, &e) < 0)
		slot_failed(slot, &e);
	else if (s->state == SANDBOX_READY)
		slot_start(slot);
}

void slots_start(struct sandbox *s)
{
	for (struct slot *slot = s->slots, *next; slot; slot = next) {
		next = slot->next;
		if (slot->pidfd < 0)
			slot_start(slot);
	}
}

void slots_free(struct sandbox *s)
{
	while (s->slots) {
		struct slot *slot = s->slots;
		if (slot->pidfd >= 0)
			guardian_reap(slot->pidfd);
		slot_free(slot);
	}
}
