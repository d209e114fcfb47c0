/* SPDX-License-Identifier: Apache-2.0 */
/* Putting placeholders in the place of secret values. */
#include "gateway/scrub.h"

#include <errno.h>
#include <string.h>

#include "gateway/placeholder_base64.h"

static int wanted(void *data, const struct placeholder_hit *hit)
{
	const struct scrub *s = data;

	return s->stand_in(s->data, hit->secret) != NULL;
}

static int cut(void *data, const struct placeholder_hit *hit)
{
	const struct scrub *s = data;

	return s->texts && wanted(data, hit) ? -EXDEV : 0;
}

/* So many of its characters escaped, the rest as they are. */
static int put_escaped(struct buf *out, const uint8_t *text, size_t len, bool json, size_t escapes)
{
	int r = 0;

	for (size_t i = 0; i < len && i < escapes && r == 0; i++)
		r = json ? buf_printf(out, "\\u%04x", text[i]) : buf_printf(out, "%%%02X", text[i]);
	return r == 0 && escapes < len ? buf_append(out, text + escapes, len - escapes) : r;
}

/* As many characters of base64 as stood there, whatever the lengths: what follows keeps its place in its group. */
static int base64_text(const struct placeholder_hit *hit, const struct placeholder *p, struct buf *ret)
{
	struct buf raw = { 0 }, text = { 0 };
	size_t from = ((size_t)hit->shift * 8 + 5) / 6, value = hit->owner_len;

	int r = buf_append(&raw, "\0\0", hit->shift);
	for (size_t n = 0; n < value && r == 0; n += p->len)
		r = buf_append(&raw, p->text, p->len < value - n ? p->len : value - n);
	if (r == 0)
		r = base64_encode(&text, raw.data, raw.len, false, false);
	if (r == 0)
		r = buf_append(ret, text.data + from, hit->len);
	buf_free(&raw);
	buf_free(&text);
	return r;
}

static int wide_text(const struct placeholder *p, struct buf *ret)
{
	int r = 0;

	for (size_t i = 0; i < p->len && r == 0; i++)
		r = buf_append(ret, (const char[]){ '\0', p->text[i] } + !i, 2 - !i);
	return r;
}

static int replace(void *data, const struct placeholder_hit *hit, struct buf *out)
{
	const struct scrub *s = data;
	const struct placeholder *p = s->stand_in(s->data, hit->secret);
	size_t width = (size_t)(hit->end - hit->start), before = out->len;
	_cleanup_buf_ struct buf coded = { 0 };
	const uint8_t *text = (const uint8_t *)p->text;
	size_t len = p->len;
	int r = 0;

	if (hit->form == PLACEHOLDER_BASE64 || hit->wide) {
		r = hit->wide ? wide_text(p, &coded) : base64_text(hit, p, &coded);
		text = coded.data;
		len = coded.len;
	}
	/* Of characters outside of ASCII fewer than there were: nothing has to be escaped. */
	if (r == 0 && hit->escape == PLACEHOLDER_PERCENT)
		r = put_escaped(out, text, len, false, (width - hit->len) / 2);
	else if (r == 0 && hit->escape == PLACEHOLDER_JSON)
		r = put_escaped(out, text, len, true, width > hit->len ? (width - hit->len) / 5 : 0);
	else if (r == 0)
		r = buf_append(out, text, len);
	return r == 0 && s->same_length && out->len - before != width ? -EBADMSG : r;
}

int scrub_take(struct scrub *s, const void *data, size_t len, bool last, struct buf *out)
{
	s->rewrite.table = s->values;
	s->rewrite.wanted = wanted;
	s->rewrite.replace = replace;
	s->rewrite.cut = cut;
	s->rewrite.data = s;
	return rewrite_take(&s->rewrite, data, len, last, out);
}

int scrub_feed(struct scrub *s, const void *data, size_t len, bool last, struct buf *out)
{
	int r = scrub_take(s, data, len, last, out);

	return r > 0 ? buf_append(out, data, len) : r;
}

int scrub_text(const struct placeholder_table *values, scrub_fn stand_in, void *fn_data, const void *text, size_t len,
	       struct buf *out)
{
	struct scrub s = { .values = values, .stand_in = stand_in, .data = fn_data };

	int r = placeholder_each(values, text, len, wanted, &s);
	if (r <= 0)
		return r;
	r = scrub_feed(&s, text, len, true, out);
	scrub_reset(&s);
	return r < 0 ? r : 1;
}

void scrub_next(struct scrub *s)
{
	rewrite_next(&s->rewrite);
}

void scrub_reset(struct scrub *s)
{
	rewrite_reset(&s->rewrite);
}

bool scrub_is_plain(const void *value, size_t len)
{
	const uint8_t *v = value;

	/* A short escape of JSON (\/), of the value or of its base64, has no equal among the characters of placeholders. */
	for (size_t i = 0; i < len; i++) {
		if (v[i] < ' ' || v[i] > '~' || v[i] == '"' || v[i] == '\\' || v[i] == '/' || v[i] == '?')
			return false;
	}
	return true;
}
