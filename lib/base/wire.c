/* SPDX-License-Identifier: Apache-2.0 */
/* Message encoding between our processes. */
#include "base/wire.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/util.h"

int wire_put_u8(struct buf *b, uint8_t v)
{
	return buf_append(b, &v, sizeof(v));
}

int wire_put_u32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	return buf_append(b, &v, sizeof(v));
}

int wire_put_u64(struct buf *b, uint64_t v)
{
	v = htole64(v);
	return buf_append(b, &v, sizeof(v));
}

int wire_put_bytes(struct buf *b, const void *data, size_t len)
{
	if (len > UINT32_MAX)
		return -EMSGSIZE;
	int r = wire_put_u32(b, (uint32_t)len);
	return r < 0 ? r : buf_append(b, data, len);
}

int wire_put_str(struct buf *b, const char *s)
{
	return wire_put_bytes(b, s, strlen(s));
}

int wire_put_strv(struct buf *b, char *const *v)
{
	size_t n = strv_len(v);
	int r = wire_put_u32(b, (uint32_t)n);
	for (size_t i = 0; i < n && r == 0; i++)
		r = wire_put_str(b, v[i]);
	return r;
}

struct wire_reader wire_reader(const void *data, size_t len)
{
	return (struct wire_reader){ .p = data, .end = (const uint8_t *)data + len };
}

static const uint8_t *take(struct wire_reader *r, size_t n)
{
	if (r->bad || (size_t)(r->end - r->p) < n) {
		r->bad = true;
		return NULL;
	}
	const uint8_t *p = r->p;
	r->p += n;
	return p;
}

uint8_t wire_get_u8(struct wire_reader *r)
{
	const uint8_t *p = take(r, 1);
	return p ? *p : 0;
}

uint32_t wire_get_u32(struct wire_reader *r)
{
	uint32_t v = 0;
	const uint8_t *p = take(r, sizeof(v));
	if (p)
		memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

uint64_t wire_get_u64(struct wire_reader *r)
{
	uint64_t v = 0;
	const uint8_t *p = take(r, sizeof(v));
	if (p)
		memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

const void *wire_get_bytes(struct wire_reader *r, size_t *ret_len)
{
	uint32_t len = wire_get_u32(r);
	const uint8_t *p = take(r, len);
	*ret_len = p ? len : 0;
	return p;
}

char *wire_get_str(struct wire_reader *r)
{
	size_t len;
	const char *p = wire_get_bytes(r, &len);
	if (!p || memchr(p, '\0', len)) {
		r->bad = true;
		return NULL;
	}
	char *s = strndup(p, len);
	if (!s)
		r->bad = true;
	return s;
}

char **wire_get_strv(struct wire_reader *r, size_t max)
{
	uint32_t n = wire_get_u32(r);
	/* Each entry takes at least its length word: a count that cannot fit is refused before it is allocated. */
	if (r->bad || n > max || n > (size_t)(r->end - r->p) / sizeof(uint32_t)) {
		r->bad = true;
		return NULL;
	}
	char **v = calloc((size_t)n + 1, sizeof(*v));
	if (!v) {
		r->bad = true;
		return NULL;
	}
	for (uint32_t i = 0; i < n; i++) {
		v[i] = wire_get_str(r);
		if (!v[i]) {
			strv_free(v);
			return NULL;
		}
	}
	return v;
}

bool wire_done(const struct wire_reader *r)
{
	return !r->bad && r->p == r->end;
}

int wire_put_error(struct buf *b, const struct error *e)
{
	int r = wire_put_u32(b, (uint32_t)e->err);
	if (r == 0)
		r = wire_put_u32(b, (uint32_t)e->stage);
	if (r == 0)
		r = wire_put_str(b, e->object);
	return r < 0 ? r : wire_put_str(b, e->message);
}

void wire_get_error(struct wire_reader *r, struct error *ret)
{
	uint32_t err = wire_get_u32(r);
	uint32_t stage = wire_get_u32(r);
	_cleanup_free_ char *object = wire_get_str(r);
	_cleanup_free_ char *message = wire_get_str(r);

	*ret = (struct error){ 0 };
	/* A failure without a sensible errno or stage would read as success further up. */
	ret->err = err > 0 && err <= 4095 ? (int32_t)err : EPROTO;
	ret->stage = stage < _SANDBOX_STAGE_MAX ? (int32_t)stage : SANDBOX_STAGE_PROTOCOL;
	snprintf(ret->object, sizeof(ret->object), "%s", object ? object : "");
	snprintf(ret->message, sizeof(ret->message), "%s", message ? message : "no message came with the error");
}

void strv_free(char **v)
{
	for (char **s = v; s && *s; s++)
		free(*s);
	free(v);
}

void strv_freep(char ***v)
{
	strv_free(*v);
}

size_t strv_len(char *const *v)
{
	size_t n = 0;
	while (v && v[n])
		n++;
	return n;
}
