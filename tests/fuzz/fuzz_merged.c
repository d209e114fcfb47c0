/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nsbox-merged with a client that says anything, and mounts and copies that fail now and then. Each message has one answer,
 * and a descriptor only where one was asked for; names pass as they came; nothing is left open. The input is a list of
 * messages, each with its descriptors.
 */
#include <sched.h>
#include <string.h>

#include "base/util.h"
#include "base/wire.h"

/* The program itself, with our socket, and none of the namespaces. */
static ssize_t next_packet(void *data, size_t cap, int *fds, size_t max, size_t *ret_n);
static int answered(const void *data, size_t len, const int *fds, size_t n_fds);
int merged_main(void);
#define msg_recv(sock, data, cap, fds, max, n) next_packet(data, cap, fds, max, n)
#define msg_send(sock, data, len, fds, n) answered(data, len, fds, n)
#define unshare(flags) ((flags) ? 0 : -1)
#define main merged_main
#include "../../lib/namespace/merged.c"
#undef main

#include "fuzz.h"

static struct {
	const uint8_t *p, *end;
	unsigned asked, answers; /* one more: the first says that all is there */
	struct buf packet;	 /* the last that was said */
	size_t n_fds;
	uint8_t how;		/* what comes of it */
	bool called;		/* something was done for it */
	struct copy *copies[LAYER_ROOTS_MAX];
	size_t n_copies;
} w;

static uint8_t take(void)
{
	return w.p < w.end ? *w.p++ : 0;
}

/* ---- what it is asked ---- */

static void put_message(uint8_t what)
{
	uint32_t type = what & 1 ? MERGED_COPY : MERGED_MOUNT;

	w.packet.len = 0;
	if (what & 2) {
		for (size_t n = 1 + (take() & 31); n; n--)
			buf_putc(&w.packet, (char)take());
		return;
	}
	CHECK(wire_put_u32(&w.packet, type) == 0);
	if (type == MERGED_MOUNT)
		return;
	CHECK(wire_put_u32(&w.packet, take()) == 0);
	for (int i = 0; i < 2; i++) {
		char text[32];
		size_t n = take() & 31;
		for (size_t k = 0; k < n; k++)
			text[k] = (char)take();
		CHECK(wire_put_bytes(&w.packet, text, n) == 0);
	}
}

static ssize_t next_packet(void *data, size_t cap, int *fds, size_t max, size_t *ret_n)
{
	CHECK(w.answers == w.asked + 1);
	if (w.p >= w.end)
		return 0;
	uint8_t what = take();
	w.n_fds = what >> 2 & 7;
	w.how = what >> 5;
	w.called = false;
	put_message(what);
	/* As msg_recv() has it. */
	w.n_fds = w.n_fds < max ? w.n_fds : max;
	for (size_t i = 0; i < w.n_fds; i++) {
		fds[i] = open(i % 2 ? "/" : "/dev/null", O_PATH | O_CLOEXEC);
		CHECK(fds[i] >= 0);
	}
	*ret_n = w.n_fds;
	w.asked++;
	CHECK(w.packet.len <= cap);
	memcpy(data, w.packet.data, w.packet.len);
	return (ssize_t)w.packet.len;
}

static int answered(const void *data, size_t len, const int *fds, size_t n_fds)
{
	struct wire_reader in = wire_reader(data, len), asked = wire_reader(w.packet.data ? w.packet.data : data, w.packet.len);
	uint32_t err = wire_get_u32(&in), type = w.asked ? wire_get_u32(&asked) : 0;

	w.answers++;
	CHECK(wire_done(&in) && w.answers == w.asked + 1);
	CHECK(!err || n_fds == 0);
	CHECK(n_fds == (w.asked && !err && type == MERGED_MOUNT));
	CHECK(!w.asked || err || w.called);
	CHECK(!n_fds || fds[0] >= 0);
	return 0;
}

/* ---- what it does ---- */

int user_map_self(uid_t uid, gid_t gid)
{
	(void)uid;
	(void)gid;
	return 0;
}

int open_host(const char *path)
{
	return w.how == 1 ? -ELOOP : open(w.how == 2 ? "/tmp" : path, O_PATH | O_CLOEXEC);
}

int overlay_new(const char *proc, int mask, int lower, int upper, int work)
{
	CHECK(strcmp(proc, "/proc") == 0 && lower >= 0 && upper >= 0 && work >= 0 && (mask < 0 || w.n_fds == MERGED_FDS_MAX));
	CHECK(w.how != 1 && w.how != 2);
	w.called = true;
	/* Once more without its mask. */
	if (w.how == 3 || (w.how == 4 && mask >= 0))
		return w.how == 3 ? -EPERM : -ELOOP;
	return open("/dev/null", O_PATH | O_CLOEXEC);
}

int copy_object(struct copy *c, int from, int to, const char *name, const char *path)
{
	struct wire_reader in = wire_reader(w.packet.data, w.packet.len);
	size_t n = 0, m = 0;

	CHECK(wire_get_u32(&in) == MERGED_COPY && wire_get_u32(&in) == c->root && c->root < LAYER_ROOTS_MAX);
	const void *said_name = wire_get_bytes(&in, &n), *said_path = wire_get_bytes(&in, &m);
	CHECK(wire_done(&in) && strlen(name) == n && memcmp(name, said_name, n) == 0);
	CHECK(strlen(path) == m && memcmp(path, said_path, m) == 0);
	CHECK(from >= 0 && to >= 0 && c->to >= 0 && w.n_fds == MERGED_FDS);
	w.called = true;
	for (size_t i = 0; i < w.n_copies; i++) {
		if (w.copies[i] == c)
			return w.how ? -EACCES : 0;
	}
	w.copies[w.n_copies++] = c;
	return w.how ? -EACCES : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t before = n_descriptors();

	memset(&w, 0, sizeof(w));
	w.p = data;
	w.end = data + size;
	CHECK(merged_main() == 0);
	/* These end with the process. */
	for (size_t i = 0; i < w.n_copies; i++)
		fd_close(w.copies[i]->to);
	CHECK(n_descriptors() == before);
	buf_free(&w.packet);
	return 0;
}
