/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what SANDBOX_STDIO_LOG kept: frames that the supervisor of the sandbox appends while we read. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "client/client.h"
#include "client/registry.h"
#include "supervisor/protocol.h"

struct sandbox_output {
	int dir, fd; /* fd: -EBADF until something was written */
	off_t at;
	char id[ID_MAX], call[CALL_ID_MAX];
	uint8_t *data;
	size_t cap;
};

int sandbox_output_open(const char *name, sandbox_output **ret_output, sandbox_error **error)
{
	_cleanup_(entry_clear) struct entry entry = { 0 };
	struct error e = { 0 };

	int r = registry_peek(name, &entry);
	if (r < 0)
		r = registry_lookup(name, &entry, &e);
	if (r < 0)
		return error_publish(&e, error);
	struct sandbox_output *o = calloc(1, sizeof(*o));
	if (!o) {
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, name, "out of memory");
		return error_publish(&e, error);
	}
	o->fd = -EBADF;
	snprintf(o->id, sizeof(o->id), "%s", entry.id);
	o->dir = registry_entry_dir(entry.name);
	if (o->dir < 0) {
		sandbox_output_free(o);
		fail(&e, ENOENT, SANDBOX_STAGE_USAGE, name, "there is no sandbox %s (nsbox ls lists them)", name);
		return error_publish(&e, error);
	}
	/* Now rather than with the first piece: open, it can be read to its end also after the sandbox was removed. */
	o->fd = above_stdio(openat(o->dir, "output", O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
	*ret_output = o;
	return 0;
}

/* 1 all of it, 0 not there yet, -errno. */
static int read_whole(const sandbox_output *o, void *data, size_t len, off_t at)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(o->fd, (char *)data + done, len - done, at + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		done += (size_t)n;
	}
	return 1;
}

static uint32_t word(const uint8_t *head, size_t at)
{
	uint32_t v;

	memcpy(&v, head + at, sizeof(v));
	return le32toh(v);
}

static int make_room(sandbox_output *o, size_t len)
{
	if (len <= o->cap)
		return 0;
	uint8_t *more = realloc(o->data, len);
	if (!more)
		return -ENOMEM;
	o->data = more;
	o->cap = len;
	return 0;
}

int sandbox_output_next(sandbox_output *output, int *ret_stream, const char **ret_call, const void **ret_data,
			unsigned long *ret_length)
{
	uint8_t head[OUTPUT_HEAD];

	if (output->fd < 0)
		output->fd = above_stdio(openat(output->dir, "output", O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
	if (output->fd < 0)
		return errno == ENOENT ? 0 : -errno;
	int r = read_whole(output, head, sizeof(head), output->at);
	if (r <= 0)
		return r;
	uint32_t len = word(head, 4), number = word(head, 8);
	uint8_t stream = head[12];
	if (word(head, 0) != OUTPUT_MAGIC || stream > 2 || head[13] || head[14] || head[15] || len > OUTPUT_MAX ||
	    (stream == 0) != (len == 0))
		return -EBADMSG;
	r = make_room(output, len);
	if (r == 0)
		r = read_whole(output, output->data, len, output->at + (off_t)sizeof(head));
	if (r <= 0)
		return r;
	output->at += (off_t)(sizeof(head) + len);
	snprintf(output->call, sizeof(output->call), "%s.%u", output->id, number);
	*ret_stream = stream;
	*ret_call = output->call;
	*ret_data = output->data;
	*ret_length = len;
	return 1;
}

void sandbox_output_free(sandbox_output *output)
{
	if (!output)
		return;
	fd_close(output->dir);
	fd_close(output->fd);
	free(output->data);
	free(output);
}
