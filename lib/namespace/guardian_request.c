/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the command of a call, without allocating: the reader shares its memory with the sleeping guardian. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/util.h"
#include "base/wire.h"
#include "confine/landlock.h"
#include "namespace/guardian.h"
#include "supervisor/protocol.h"

/* Each string has a head of four bytes in the packet, which its terminating zero replaces here. */
#define MAX_PATHS 2048u
#define MAX_STRINGS (WIRE_MAX_PACKET / 4u)

static uint8_t packet[WIRE_MAX_PACKET];
static char text[WIRE_MAX_PACKET];
static char *strings[MAX_STRINGS + 2]; /* the ends of both vectors */
static char path_text[WIRE_MAX_PACKET]; /* apart: they may come in a later packet */
static struct call_path paths[MAX_PATHS];

struct arena {
	char *text;
	size_t strings;
};

static char *take_string(struct wire_reader *in, struct arena *a)
{
	size_t len = 0;
	const char *from = wire_get_bytes(in, &len);

	if (!from || memchr(from, '\0', len)) {
		in->bad = true;
		return NULL;
	}
	char *to = a->text;
	memcpy(to, from, len);
	to[len] = '\0';
	a->text += len + 1;
	return to;
}

static char **take_strings(struct wire_reader *in, struct arena *a)
{
	uint32_t n = wire_get_u32(in);
	char **v = strings + a->strings;

	/* The check bounds the loop; what is not there fails in it. */
	if (n > MAX_STRINGS - a->strings)
		in->bad = true;
	for (uint32_t i = 0; i < n && !in->bad; i++)
		strings[a->strings++] = take_string(in, a);
	strings[a->strings++] = NULL;
	return v;
}

static void take_paths(struct wire_reader *in, struct call_paths *ret)
{
	struct arena a = { .text = path_text };
	uint32_t n = wire_get_u32(in);

	in->bad |= n > MAX_PATHS;
	for (uint32_t i = 0; i < n && !in->bad; i++) {
		paths[i].path = take_string(in, &a);
		paths[i].grants = wire_get_u32(in);
		in->bad |= !in->bad && (paths[i].path[0] != '/' || paths[i].grants & ~(uint32_t)LANDLOCK_GRANTS);
	}
	*ret = (struct call_paths){ n, paths };
}

static void take_limits(struct wire_reader *in, struct call_request *ret)
{
	ret->open_files = wire_get_u32(in);
	ret->on_base = wire_get_u8(in);
	take_paths(in, &ret->paths);
}

int call_paths_parse(const void *data, size_t len, struct call_paths *ret)
{
	struct wire_reader in = wire_reader(data, len);

	take_paths(&in, ret);
	return wire_done(&in) ? 0 : -EPROTO;
}

static void take_expected(struct wire_reader *in, struct arena *a, struct expected *ret)
{
	ret->path = take_string(in, a);
	ret->dev = wire_get_u64(in);
	ret->ino = wire_get_u64(in);
	ret->size = wire_get_u64(in);
	ret->ctime_ns = wire_get_u64(in);
	in->bad |= !in->bad && ret->path[0] != '/';
}

int call_request_parse(const void *data, size_t len, size_t n_fds, struct call_request *ret)
{
	struct wire_reader in = wire_reader(data, len);
	struct arena a = { .text = text };

	if (wire_get_u32(&in) != GUARDIAN_EXEC)
		return -EPROTO;
	ret->argv = take_strings(&in, &a);
	ret->env = in.bad ? NULL : take_strings(&in, &a);
	ret->cwd = in.bad ? NULL : take_string(&in, &a);
	ret->flags = wire_get_u32(&in);
	ret->rows = wire_get_u32(&in);
	ret->columns = wire_get_u32(&in);
	take_limits(&in, ret);
	if (ret->flags & START_EXPECT && !in.bad)
		take_expected(&in, &a, &ret->expected);
	return wire_done(&in) && ret->argv[0] && ret->flags <= _START_FLAGS &&
		       (ret->flags & (START_SHOW | START_EXPECT)) != (START_SHOW | START_EXPECT) &&
		       n_fds == (ret->flags & START_TERMINAL ? 0u : 3u) ?
		       0 :
		       -EPROTO;
}

int call_signal_parse(const void *data, size_t len)
{
	struct wire_reader in = wire_reader(data, len);
	uint32_t type = wire_get_u32(&in), signal = wire_get_u32(&in);

	return wire_done(&in) && type == GUARDIAN_SIGNAL && signal > 0 && signal < NSIG ? (int)signal : -EPROTO;
}

int call_request_receive(struct call_request *ret)
{
	size_t n_fds = 0;

	ssize_t n = msg_recv(GUARDIAN_SOCKET, packet, sizeof(packet), ret->stdio, ARRAY_LEN(ret->stdio), &n_fds);
	return n <= 0 ? -ECONNRESET : call_request_parse(packet, (size_t)n, n_fds, ret);
}

static int program_message_parse(const void *data, size_t len, struct call_request *request, bool *ret_copied, bool *ret_by_path)
{
	struct wire_reader in = wire_reader(data, len);
	uint32_t type = wire_get_u32(&in);

	if (type == GUARDIAN_PROGRAM) {
		*ret_copied = wire_get_u8(&in);
	} else if (type == GUARDIAN_GO) {
		*ret_by_path = wire_get_u8(&in);
		take_limits(&in, request);
	} else {
		return -EPROTO;
	}
	return wire_done(&in) ? (int)type : -EPROTO;
}

int program_message_receive(struct call_request *request, bool *ret_copied, bool *ret_by_path)
{
	ssize_t n = msg_recv(GUARDIAN_SOCKET, packet, sizeof(packet), NULL, 0, NULL);

	return n <= 0 ? -ECONNRESET : program_message_parse(packet, (size_t)n, request, ret_copied, ret_by_path);
}

void call_request_touch(void)
{
	explicit_bzero(packet, 8 * 1024);
	explicit_bzero(text, 8 * 1024);
	explicit_bzero(strings, 4 * 1024);
}
