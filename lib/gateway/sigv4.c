/* SPDX-License-Identifier: Apache-2.0 */
/* AWS Signature Version 4. */
#include "gateway/sigv4.h"

#include <errno.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"

#define TERMINATION "aws4_request"
#define TIME_LEN 16u /* 20150830T123600Z */
#define DATE_LEN 8u
#define PARAMETERS_MAX 1024u

static bool text_is(struct sigv4_text t, const char *s)
{
	return t.len == strlen(s) && memcmp(t.p, s, t.len) == 0;
}

static bool starts(struct sigv4_text t, const char *s)
{
	return t.len >= strlen(s) && memcmp(t.p, s, strlen(s)) == 0;
}

/* Up to the separator, which is passed over; the whole rest when there is none. */
static struct sigv4_text cut(struct sigv4_text *rest, char separator)
{
	const char *end = rest->len ? memchr(rest->p, separator, rest->len) : NULL;
	struct sigv4_text part = { rest->p, end ? (size_t)(end - rest->p) : rest->len };
	size_t taken = part.len + (end ? 1 : 0);

	rest->p += taken;
	rest->len -= taken;
	return part;
}

static bool digits(struct sigv4_text t, size_t n)
{
	for (size_t i = 0; i < t.len; i++) {
		if (t.p[i] < '0' || t.p[i] > '9')
			return false;
	}
	return t.len == n;
}

/* key/20150830/us-east-1/iam/aws4_request; a key may hold slashes itself, so from behind. */
static int take_credential(struct sigv4_text t, struct sigv4_claim *c)
{
	struct sigv4_text parts[4];
	size_t end = t.len;

	for (size_t i = 4; i-- > 0;) {
		size_t at = end;
		while (at && t.p[at - 1] != '/')
			at--;
		if (!at)
			return -EINVAL;
		parts[i] = (struct sigv4_text){ t.p + at, end - at };
		end = at - 1;
	}
	c->key_id = (struct sigv4_text){ t.p, end };
	c->date = parts[0];
	c->region = parts[1];
	c->service = parts[2];
	c->scope = (struct sigv4_text){ parts[0].p, t.len - (size_t)(parts[0].p - t.p) };
	return end && digits(c->date, DATE_LEN) && c->region.len && c->service.len && text_is(parts[3], TERMINATION) ? 0 :
														       -EINVAL;
}

static int check_claim(const struct sigv4_claim *c)
{
	if (!c->key_id.len || !c->headers.len || c->signature.len != SIGV4_HEX)
		return -EINVAL;
	for (size_t i = 0; i < c->headers.len; i++) {
		char h = c->headers.p[i];
		if (h <= ' ' || h >= 0x7f || (h >= 'A' && h <= 'Z'))
			return -EINVAL;
	}
	return 1;
}

int sigv4_claim_header(struct sigv4_text t, struct sigv4_claim *ret)
{
	*ret = (struct sigv4_claim){ 0 };
	if (!starts(t, SIGV4_ALGORITHM " "))
		return 0;
	t.p += strlen(SIGV4_ALGORITHM) + 1;
	t.len -= strlen(SIGV4_ALGORITHM) + 1;
	while (t.len) {
		struct sigv4_text item = cut(&t, ',');
		while (item.len && item.p[0] == ' ') {
			item.p++;
			item.len--;
		}
		struct sigv4_text name = cut(&item, '=');
		if (text_is(name, "Credential") && !ret->key_id.p) {
			if (take_credential(item, ret) < 0)
				return -EINVAL;
		} else if (text_is(name, "SignedHeaders") && !ret->headers.p) {
			ret->headers = item;
		} else if (text_is(name, "Signature") && !ret->signature.p) {
			ret->signature = item;
		} else {
			return -EINVAL;
		}
	}
	return check_claim(ret);
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int decode(struct buf *out, struct sigv4_text t)
{
	int r = 0;

	for (size_t i = 0; i < t.len && r == 0; i++) {
		char c = t.p[i];
		if (c == '%' && i + 2 < t.len && hex(t.p[i + 1]) >= 0 && hex(t.p[i + 2]) >= 0) {
			c = (char)(hex(t.p[i + 1]) << 4 | hex(t.p[i + 2]));
			i += 2;
		}
		r = buf_putc(out, c);
	}
	return r;
}

static int encode(struct buf *out, struct sigv4_text t, bool slashes)
{
	int r = 0;

	for (size_t i = 0; i < t.len && r == 0; i++) {
		unsigned char c = (unsigned char)t.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
			     c == '.' || c == '_' || c == '~' || (c == '/' && !slashes);
		r = plain ? buf_putc(out, (char)c) : buf_printf(out, "%%%02X", c);
	}
	return r;
}

/* What it should be, however it is written. */
static int encode_again(struct buf *out, struct sigv4_text t, bool slashes)
{
	_cleanup_buf_ struct buf plain = { 0 };
	int r = decode(&plain, t);

	return r < 0 ? r : encode(out, (struct sigv4_text){ (const char *)plain.data, plain.len }, slashes);
}

int sigv4_claim_query(struct sigv4_text query, struct sigv4_claim *ret)
{
	static const char *const names[] = { "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Signature",
					     "X-Amz-Date", "X-Amz-Expires" };
	_cleanup_buf_ struct buf plain = { 0 };
	size_t at[ARRAY_LEN(names)], len[ARRAY_LEN(names)] = { 0 };
	bool found[ARRAY_LEN(names)] = { 0 };
	struct sigv4_text values[ARRAY_LEN(names)] = { 0 };
	int r = 0;

	*ret = (struct sigv4_claim){ .presigned = true };
	while (query.len && r == 0) {
		struct sigv4_text value = cut(&query, '&'), name = cut(&value, '=');
		plain.len = 0;
		r = decode(&plain, name);
		/* However it is written: a server may know it. */
		for (size_t i = 0; i < ARRAY_LEN(names) && r == 0; i++) {
			if (plain.len != strlen(names[i]) || strncasecmp((const char *)plain.data, names[i], plain.len) != 0)
				continue;
			at[i] = ret->texts.len;
			r = found[i] ? -EINVAL : decode(&ret->texts, value);
			len[i] = ret->texts.len - at[i];
			found[i] = true;
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (found[i])
			values[i] = (struct sigv4_text){ (const char *)ret->texts.data + at[i], len[i] };
	}
	if (r == 0 && (!found[0] || !text_is(values[0], SIGV4_ALGORITHM))) {
		sigv4_claim_free(ret);
		return 0;
	}
	if (r == 0)
		r = found[1] ? take_credential(values[1], ret) : -EINVAL;
	ret->headers = values[2];
	ret->signature = values[3];
	ret->time = values[4];
	ret->expires = values[5];
	r = r < 0 ? r : check_claim(ret);
	if (r < 0)
		sigv4_claim_free(ret);
	return r;
}

void sigv4_claim_free(struct sigv4_claim *c)
{
	buf_free(&c->texts);
	*c = (struct sigv4_claim){ 0 };
}

static bool same_name(struct sigv4_text a, struct sigv4_text b)
{
	return a.len == b.len && strncasecmp(a.p, b.p, a.len) == 0;
}

struct sigv4_text sigv4_field(const struct sigv4_request *r, const char *name)
{
	for (size_t i = 0; i < r->n_fields; i++) {
		if (same_name(r->fields[i].name, (struct sigv4_text){ name, strlen(name) }))
			return r->fields[i].value;
	}
	return (struct sigv4_text){ 0 };
}

bool sigv4_is_s3(const struct sigv4_claim *c)
{
	return starts(c->service, "s3");
}

static void put_hex(const uint8_t sum[SHA256_DIGEST_LENGTH], char ret[SIGV4_HEX + 1])
{
	static const char digit[] = "0123456789abcdef";

	for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++) {
		ret[2 * i] = digit[sum[i] >> 4];
		ret[2 * i + 1] = digit[sum[i] & 15];
	}
	ret[SIGV4_HEX] = '\0';
}

void sigv4_hash(const void *data, size_t len, char ret[SIGV4_HEX + 1])
{
	uint8_t sum[SHA256_DIGEST_LENGTH];

	SHA256(len ? data : "", len, sum);
	put_hex(sum, ret);
}

/* Runs of spaces count as one. */
static int put_value(struct buf *out, struct sigv4_text t)
{
	int r = 0;

	for (size_t i = 0; i < t.len && r == 0; i++) {
		if (t.p[i] != ' ' || (i && t.p[i - 1] != ' '))
			r = buf_putc(out, t.p[i]);
	}
	return r;
}

static int put_headers(struct buf *out, const struct sigv4_claim *c, const struct sigv4_request *request)
{
	struct sigv4_text names = c->headers;
	bool host = false;
	int r = 0;

	while (names.len && r == 0) {
		struct sigv4_text name = cut(&names, ';');
		bool found = false;
		host |= text_is(name, "host");
		r = buf_append(out, name.p, name.len);
		for (size_t i = 0; i < request->n_fields && r == 0; i++) {
			if (!same_name(request->fields[i].name, name))
				continue;
			r = buf_putc(out, found ? ',' : ':');
			found = true;
			if (r == 0)
				r = put_value(out, request->fields[i].value);
		}
		if (r == 0)
			r = found ? buf_putc(out, '\n') : -ENOENT;
	}
	return r == 0 && !host ? -EINVAL : r;
}

struct parameter {
	size_t name, name_len, value, value_len; /* in the texts */
};

static const uint8_t *sort_texts; /* qsort() passes nothing on, and there is one thread */

static int compare(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	int r = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return r ? r : (a_len > b_len) - (a_len < b_len);
}

static int by_name(const void *a, const void *b)
{
	const struct parameter *x = a, *y = b;
	int r = compare(sort_texts + x->name, x->name_len, sort_texts + y->name, y->name_len);

	return r ? r : compare(sort_texts + x->value, x->value_len, sort_texts + y->value, y->value_len);
}

/* '+' and '%' without two digits mean one thing to some servers, and another to others. */
static bool has_one_meaning(struct sigv4_text query)
{
	for (size_t i = 0; i < query.len; i++) {
		if (query.p[i] == '+' ||
		    (query.p[i] == '%' && (i + 2 >= query.len || hex(query.p[i + 1]) < 0 || hex(query.p[i + 2]) < 0)))
			return false;
	}
	return true;
}

static int put_query(struct buf *out, const struct sigv4_claim *c, struct sigv4_text query)
{
	_cleanup_buf_ struct buf texts = { 0 }, list = { 0 };
	int r = has_one_meaning(query) ? buf_reserve(&texts, 1) : -EINVAL;

	while (query.len && r == 0) {
		struct sigv4_text value = cut(&query, '&'), name = cut(&value, '=');
		struct parameter p = { .name = texts.len };
		if (!name.len || (c->presigned && text_is(name, "X-Amz-Signature")))
			continue;
		r = encode_again(&texts, name, true);
		p.name_len = texts.len - p.name;
		p.value = texts.len;
		if (r == 0)
			r = encode_again(&texts, value, true);
		p.value_len = texts.len - p.value;
		if (r == 0)
			r = list.len / sizeof(p) < PARAMETERS_MAX ? buf_append(&list, &p, sizeof(p)) : -EINVAL;
	}
	struct parameter *v = (struct parameter *)(void *)list.data;
	size_t n = list.len / sizeof(*v);
	sort_texts = texts.data;
	if (r == 0 && n)
		qsort(v, n, sizeof(*v), by_name);
	for (size_t i = 0; i < n && r == 0; i++) {
		r = i ? buf_putc(out, '&') : 0;
		if (r == 0)
			r = buf_append(out, texts.data + v[i].name, v[i].name_len);
		if (r == 0)
			r = buf_putc(out, '=');
		if (r == 0)
			r = buf_append(out, texts.data + v[i].value, v[i].value_len);
	}
	/* May hold a session's token. */
	buf_wipe(&texts);
	return r;
}

static int put_line(struct buf *out, struct sigv4_text t)
{
	int r = buf_append(out, t.p, t.len);

	return r < 0 ? r : buf_putc(out, '\n');
}

static int canonical_request(struct buf *out, const struct sigv4_claim *c, const struct sigv4_request *request,
			     struct sigv4_text payload)
{
	int r = put_line(out, request->method);

	/* S3: as it should be written. Others: as it is, and that written as a text once more. */
	if (r == 0)
		r = sigv4_is_s3(c) ? encode_again(out, request->path, false) : encode(out, request->path, false);
	if (r == 0)
		r = buf_putc(out, '\n');
	if (r == 0)
		r = put_query(out, c, request->query);
	if (r == 0)
		r = buf_putc(out, '\n');
	if (r == 0)
		r = put_headers(out, c, request);
	if (r == 0)
		r = buf_putc(out, '\n');
	if (r == 0)
		r = put_line(out, c->headers);
	return r < 0 ? r : buf_append(out, payload.p, payload.len);
}

static int string_to_sign(struct buf *out, const struct sigv4_claim *c, const struct sigv4_request *request,
			  struct sigv4_text payload)
{
	struct buf canonical = { 0 };
	struct sigv4_text time = c->presigned ? c->time : sigv4_field(request, "x-amz-date");
	char hash[SIGV4_HEX + 1];

	if (time.len != TIME_LEN)
		return -ENOENT;
	if (memcmp(time.p, c->date.p, DATE_LEN) != 0)
		return -EINVAL;
	int r = canonical_request(&canonical, c, request, payload);
	sigv4_hash(canonical.data, canonical.len, hash);
	buf_wipe(&canonical);
	if (r == 0)
		r = buf_puts(out, SIGV4_ALGORITHM "\n");
	if (r == 0)
		r = put_line(out, time);
	if (r == 0)
		r = put_line(out, c->scope);
	return r < 0 ? r : buf_append(out, hash, SIGV4_HEX);
}

static bool derive(uint8_t key[SHA256_DIGEST_LENGTH], const void *with, size_t with_len, struct sigv4_text text)
{
	unsigned len;

	return HMAC(EVP_sha256(), with, with_len, (const uint8_t *)text.p, text.len, key, &len) != NULL;
}

int sigv4_sign(const struct sigv4_claim *c, const struct sigv4_request *request, struct sigv4_text payload,
	       const void *secret, size_t secret_len, char ret[SIGV4_HEX + 1])
{
	_cleanup_buf_ struct buf text = { 0 };
	struct buf key = { 0 };
	uint8_t k[SHA256_DIGEST_LENGTH];

	int r = string_to_sign(&text, c, request, payload);
	if (r == 0)
		r = buf_puts(&key, "AWS4");
	if (r == 0)
		r = buf_append(&key, secret, secret_len);
	const struct sigv4_text words[] = { c->date, c->region, c->service, { TERMINATION, strlen(TERMINATION) },
					    { (const char *)text.data, text.len } };
	for (size_t i = 0; i < ARRAY_LEN(words) && r == 0; i++)
		r = derive(k, i ? k : key.data, i ? sizeof(k) : key.len, words[i]) ? 0 : -ENOMEM;
	if (r == 0)
		put_hex(k, ret);
	OPENSSL_cleanse(k, sizeof(k));
	buf_wipe(&key);
	return r;
}
