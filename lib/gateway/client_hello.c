/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a ClientHello (RFC 8446 4.1.2, RFC 6066 3, RFC 7301). */
#include "gateway/client_hello.h"

#include <string.h>

#define RECORD_HANDSHAKE 22
#define RECORD_MAX 16384u
#define HANDSHAKE_CLIENT_HELLO 1
#define EXT_SERVER_NAME 0
#define EXT_ALPN 16
#define EXT_SUPPORTED_VERSIONS 43
#define EXT_ECH 0xfe0d
#define NAME_HOST 0

struct cursor {
	const uint8_t *p, *end;
};

static size_t left(const struct cursor *c)
{
	return (size_t)(c->end - c->p);
}

/* A big-endian number of n bytes; false when they are not there. */
static bool number(struct cursor *c, size_t n, uint32_t *ret)
{
	if (left(c) < n)
		return false;
	*ret = 0;
	for (size_t i = 0; i < n; i++)
		*ret = *ret << 8 | *c->p++;
	return true;
}

/* A vector whose length stands before it in n bytes. */
static bool vector(struct cursor *c, size_t n, struct cursor *ret)
{
	uint32_t len;

	if (!number(c, n, &len) || left(c) < len)
		return false;
	*ret = (struct cursor){ c->p, c->p + len };
	c->p += len;
	return true;
}

/* Exactly one host_name: clients send one, and of two the gateway and the server could each take another. */
static const char *parse_sni(struct cursor c, struct client_hello *h)
{
	struct cursor list, name;
	uint32_t type;

	if (h->sni)
		return "sni-twice";
	if (!vector(&c, 2, &list) || left(&c) || !number(&list, 1, &type) || type != NAME_HOST ||
	    !vector(&list, 2, &name) || left(&list) || left(&name) == 0 || left(&name) > 255)
		return "sni-form";
	h->sni = name.p;
	h->sni_len = left(&name);
	return NULL;
}

static const char *parse_alpn(struct cursor c, struct client_hello *h)
{
	struct cursor list, name;

	if (h->alpn)
		return "alpn-twice";
	if (!vector(&c, 2, &list) || left(&c) || left(&list) == 0)
		return "alpn-form";
	h->alpn = true;
	while (left(&list)) {
		if (!vector(&list, 1, &name) || left(&name) == 0)
			return "alpn-form";
	}
	return NULL;
}

static const char *parse_versions(struct cursor c, struct client_hello *h)
{
	struct cursor list;
	uint32_t version;

	if (!vector(&c, 1, &list) || left(&c) || left(&list) % 2)
		return "versions-form";
	while (number(&list, 2, &version))
		h->tls13 |= version == 0x0304;
	return NULL;
}

static const char *parse_extensions(struct cursor c, struct client_hello *h)
{
	struct cursor body;
	uint32_t type;

	while (left(&c)) {
		const char *error = NULL;
		if (!number(&c, 2, &type) || !vector(&c, 2, &body))
			return "extension-form";
		if (type == EXT_SERVER_NAME)
			error = parse_sni(body, h);
		else if (type == EXT_ALPN)
			error = parse_alpn(body, h);
		else if (type == EXT_SUPPORTED_VERSIONS)
			error = parse_versions(body, h);
		else if (type == EXT_ECH)
			h->ech = true;
		if (error)
			return error;
	}
	return NULL;
}

static const char *parse_hello(struct cursor c, struct client_hello *h)
{
	struct cursor session, suites, compression, extensions;
	uint32_t version;

	if (!number(&c, 2, &version) || left(&c) < 32)
		return "hello-form";
	h->legacy_version = (uint16_t)version;
	c.p += 32;
	if (!vector(&c, 1, &session) || left(&session) > 32 || !vector(&c, 2, &suites) || left(&suites) % 2 ||
	    left(&suites) == 0 || !vector(&c, 1, &compression) || left(&compression) == 0)
		return "hello-form";
	if (left(&c) == 0)
		return NULL; /* TLS 1.2 without extensions: no name */
	if (!vector(&c, 2, &extensions) || left(&c))
		return "hello-form";
	return parse_extensions(extensions, h);
}

static enum client_hello_status bad(struct client_hello *h, const char *error)
{
	h->error = error;
	return CLIENT_HELLO_BAD;
}

/* Copies the handshake bytes of the records together; message and headers may be cut at any byte. */
enum client_hello_status client_hello_parse(const uint8_t *data, size_t len, struct client_hello *h)
{
	size_t have = 0, at = 0;

	h->sni = NULL;
	h->sni_len = 0;
	h->alpn = h->ech = h->tls13 = false;
	h->legacy_version = 0;
	h->error = NULL;
	for (;;) {
		if (have >= 4) {
			size_t need = 4 + ((size_t)h->message[1] << 16 | (size_t)h->message[2] << 8 | h->message[3]);
			if (need > sizeof(h->message))
				return bad(h, "too-long");
			if (have > need)
				return bad(h, "trailing-bytes");
			if (have == need) {
				h->error = parse_hello((struct cursor){ h->message + 4, h->message + need }, h);
				return h->error ? CLIENT_HELLO_BAD : CLIENT_HELLO_OK;
			}
		}
		/* What is there of the next header has to look like one already: garbage is refused at once. */
		if (at < len && data[at] != RECORD_HANDSHAKE)
			return bad(h, "not-tls");
		if (at + 1 < len && data[at + 1] != 3)
			return bad(h, "not-tls");
		if (at + 5 > len)
			return len > CLIENT_HELLO_MAX ? bad(h, "too-long") : CLIENT_HELLO_MORE;
		size_t record = (size_t)data[at + 3] << 8 | data[at + 4];
		if (record == 0 || record > RECORD_MAX)
			return bad(h, "record-length");
		size_t there = len - at - 5 < record ? len - at - 5 : record;
		if (have + there > sizeof(h->message))
			return bad(h, "too-long");
		memcpy(h->message + have, data + at + 5, there);
		have += there;
		if (have && h->message[0] != HANDSHAKE_CLIENT_HELLO)
			return bad(h, "not-client-hello");
		at += 5 + there;
		/* A flood of one-byte records would cost five bytes a byte. */
		if (at > CLIENT_HELLO_MAX)
			return bad(h, "too-long");
		if (there < record)
			return CLIENT_HELLO_MORE;
	}
}
