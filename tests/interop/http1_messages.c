/* SPDX-License-Identifier: Apache-2.0 */
/* What our parser makes of streams of requests, for test_http1_parsers.py: reads each as 4 bytes of length and the bytes,
 * prints one line of JSON for it: [["METHOD", "PATH?QUERY", "BODY IN HEX"], ...], all messages that were accepted. */
#include <stdint.h>
#include <stdio.h>

#include "../unit/http1_feed.h"
#include "base/json.h"

static int put_message(struct buf *out, const struct message *m)
{
	const struct http1_head *h = &m->head;

	const char *path = http1_text(h, h->path);
	/* The query stands right behind its path. */
	size_t len = h->has_query ? h->query.off + h->query.len - h->path.off : h->path.len;

	int r = buf_puts(out, "[");
	if (r == 0)
		r = json_text(out, http1_text(h, h->method), h->method.len);
	if (r == 0)
		r = buf_puts(out, ",");
	if (r == 0)
		r = json_text(out, path, len);
	if (r == 0)
		r = buf_puts(out, ",\"");
	for (size_t i = 0; i < m->payload.len && r == 0; i++)
		r = buf_printf(out, "%02x", m->payload.data[i]);
	return r < 0 ? r : buf_puts(out, "\"]");
}

static int put_stream(struct buf *out, const char *data, size_t len)
{
	int r = buf_puts(out, "[");

	for (size_t at = 0, n = 0; at < len && r == 0; n++) {
		struct message m = { .head = { .kind = HTTP1_REQUEST } };

		message_feed(&m, data + at, len - at);
		at += m.consumed;
		bool whole = !m.error && m.started_body && m.body.done;
		/* What follows a message that ends its connection is not looked at, nor what follows one that asks for another
		 * protocol: others wait for that, and the gateway sends on only the request for WebSocket, on its own. */
		if (!whole || !m.head.keep_alive || m.head.upgrade)
			len = at;
		if (whole && n)
			r = buf_puts(out, ",");
		if (whole && r == 0)
			r = put_message(out, &m);
		message_free(&m);
	}
	return r < 0 ? r : buf_puts(out, "]\n");
}

int main(void)
{
	uint32_t len;

	while (fread(&len, sizeof(len), 1, stdin) == 1) {
		struct buf out = { 0 };
		char *data = malloc(len + 1u);

		if (!data || fread(data, 1, len, stdin) != len || put_stream(&out, data, len) < 0)
			return 1;
		fwrite(out.data, 1, out.len, stdout);
		buf_free(&out);
		free(data);
	}
	return 0;
}
