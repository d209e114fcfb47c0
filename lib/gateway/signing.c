/* SPDX-License-Identifier: Apache-2.0 */
/* Signing requests again. */
#include "gateway/signing.h"

#include <errno.h>
#include <openssl/mem.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gateway/authority.h"
#include "gateway/gateway.h"
#include "gateway/sigv4.h"

#define UNSIGNED "UNSIGNED-PAYLOAD"
/* Chunks and a checksum behind them, none of which is signed: as good as the former. */
#define UNSIGNED_CHUNKS "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
#define STREAMING "STREAMING-"
/* What a query signs is good for so long for whoever sees it: a server can show it, and the call end meanwhile. */
#define PRESIGNED_SECONDS_MAX 300u

_Static_assert(sizeof(((struct resigned *)0)->is) == SIGV4_HEX, "signatures are kept without a NUL");

struct signing {
	struct sigv4_claim claim;
	struct sigv4_request request; /* as it came, then as it is sent */
	const struct placeholder *key; /* the placeholder that it was signed with */
	struct secret_value value;     /* of it */
	char payload[SIGV4_HEX + 1], received[SIGV4_HEX + 1];
	struct buf head; /* a copy that request points into */
};

static struct sigv4_text slice(const struct http1_head *h, struct http1_slice t)
{
	return (struct sigv4_text){ http1_text(h, t), t.len };
}

static bool any_key(const struct session *s)
{
	for (const struct holder *h = s->call->holders; h; h = h->next) {
		if (s->gw->secrets.v[h->placeholder->secret].rule->inject & INJECT_SIGV4)
			return true;
	}
	return false;
}

static int claim_of(const struct http1_head *h, struct sigv4_claim *ret)
{
	size_t i = http1_find(h, "Authorization", 0);
	int r = i < h->n_fields ? sigv4_claim_header(slice(h, h->fields[i].value), ret) : 0;

	/* A second one would be sent as it is, whoever believes it. */
	if (r > 0 && http1_find(h, "Authorization", i + 1) < h->n_fields)
		return -EINVAL;
	return r == 0 && h->has_query ? sigv4_claim_query(slice(h, h->query), ret) : r;
}

static int unsignable(struct session *s, const char *why)
{
	s->x->unsignable = why;
	return -ENOTSUP;
}

/* The key whose id is this placeholder of the call. */
static struct holder *find_key(const struct session *s, struct sigv4_text id)
{
	const char *name = NULL;

	for (const struct holder *h = s->call->holders; h && !name; h = h->next) {
		if (h->placeholder->len == id.len && memcmp(h->placeholder->text, id.p, id.len) == 0)
			name = s->gw->secrets.v[h->placeholder->secret].rule->name;
	}
	for (struct holder *h = s->call->holders; h && name; h = h->next) {
		const struct policy_secret *rule = s->gw->secrets.v[h->placeholder->secret].rule;
		if (rule->inject & INJECT_SIGV4 && strcmp(rule->key_id, name) == 0)
			return h;
	}
	return NULL;
}

/* Bodies that are held, of all requests. */
static size_t held;

static bool may_be_held(const struct http1_head *h)
{
	return h->framing == HTTP1_BODY_LENGTH && h->content_length <= SIGNED_BODY && !h->expect_continue;
}

bool signing_wants_body(struct session *s)
{
	struct exchange *x = s->x;
	const struct http1_head *h = &x->request;
	struct sigv4_claim claim = { 0 };

	if (!may_be_held(h) || !any_key(s) || http1_find(h, "X-Amz-Content-Sha256", 0) < h->n_fields)
		return false;
	bool wants = claim_of(h, &claim) > 0 && !(claim.presigned && sigv4_is_s3(&claim)) && find_key(s, claim.key_id);
	sigv4_claim_free(&claim);
	if (!wants || h->content_length > SIGNED_TOGETHER - held)
		return false;
	x->held_body = (size_t)h->content_length;
	held += x->held_body;
	return true;
}

void signing_release(struct exchange *x)
{
	held -= x->held_body;
	x->held_body = 0;
}

static void take_received(struct signing *g, const struct http1_head *h)
{
	g->request.method = slice(h, h->method);
	g->request.path = slice(h, h->path);
	g->request.query = h->has_query ? slice(h, h->query) : (struct sigv4_text){ 0 };
	for (size_t i = 0; i < h->n_fields && g->request.n_fields < SIGV4_FIELDS_MAX; i++)
		g->request.fields[g->request.n_fields++] = (struct sigv4_field){ slice(h, h->fields[i].name),
										 slice(h, h->fields[i].value) };
	/* HTTP/2 has it in another place. */
	if (!sigv4_field(&g->request, "host").p && g->request.n_fields < SIGV4_FIELDS_MAX)
		g->request.fields[g->request.n_fields++] = (struct sigv4_field){
			{ "host", 4 }, slice(h, h->host_value.len ? h->host_value : h->authority) };
}

/* What is signed of the body: what the request says, or the hash of what is sent. */
static int find_payload(struct session *s, struct signing *g, const void *body, size_t len, struct sigv4_text *ret)
{
	const struct http1_head *h = &s->x->request;
	struct sigv4_text said = sigv4_field(&g->request, "x-amz-content-sha256");

	if (said.p) {
		bool streaming = said.len >= strlen(STREAMING) && memcmp(said.p, STREAMING, strlen(STREAMING)) == 0;
		if (streaming && (said.len != strlen(UNSIGNED_CHUNKS) || memcmp(said.p, UNSIGNED_CHUNKS, said.len) != 0))
			return unsignable(s, "sigv4-streaming");
		*ret = said;
		return 0;
	}
	if (g->claim.presigned && sigv4_is_s3(&g->claim)) {
		*ret = (struct sigv4_text){ UNSIGNED, strlen(UNSIGNED) };
		return 0;
	}
	if (h->framing != HTTP1_BODY_NONE && !(h->framing == HTTP1_BODY_LENGTH && !h->content_length) && !s->x->body_seen)
		return unsignable(s, may_be_held(h) ? "sigv4-busy" : "sigv4-body");
	sigv4_hash(body, len, g->payload);
	*ret = (struct sigv4_text){ g->payload, SIGV4_HEX };
	return 0;
}

/* Without X-Amz-Expires it is good for as long as one that is signed in a header. */
static bool lasts_too_long(const struct sigv4_claim *c)
{
	unsigned seconds = 0;

	for (size_t i = 0; i < c->expires.len && seconds <= PRESIGNED_SECONDS_MAX; i++) {
		if (c->expires.p[i] < '0' || c->expires.p[i] > '9')
			return true;
		seconds = seconds * 10 + (unsigned)(c->expires.p[i] - '0');
	}
	return seconds > PRESIGNED_SECONDS_MAX;
}

/* Signed by the one who holds the placeholder, and as we understand it. */
static int check_received(struct session *s, struct signing *g)
{
	struct exchange *x = s->x;
	struct sigv4_text payload;

	int r = find_payload(s, g, x->body_seen ? iobuf_head(&s->client.in) : NULL,
			     x->body_seen ? (size_t)x->request.content_length : 0, &payload);
	if (r == 0)
		r = sigv4_sign(&g->claim, &g->request, payload, g->key->text, g->key->len, g->received);
	if (r == -EINVAL || r == -ENOENT)
		return unsignable(s, "sigv4-form");
	if (r == 0 && CRYPTO_memcmp(g->received, g->claim.signature.p, SIGV4_HEX) != 0)
		return unsignable(s, "sigv4-signature");
	return r;
}

static int begin(struct session *s, struct signing *g, size_t *ret_secret)
{
	const struct http1_head *h = &s->x->request;

	int r = claim_of(h, &g->claim);
	if (r < 0)
		return r == -ENOMEM ? r : unsignable(s, "sigv4-form");
	struct holder *key = r ? find_key(s, g->claim.key_id) : NULL;
	if (!key)
		return 0;
	const struct secret *secret = &s->gw->secrets.v[key->placeholder->secret];
	*ret_secret = key->placeholder->secret;
	g->key = key->placeholder;
	if (secret->revoked || !s->x->verdict.allowed || !authority_secret(s->call, secret->rule, &s->x->target) ||
	    (!s->tls && !secret->rule->insecure))
		return -EACCES;
	if (lasts_too_long(&g->claim))
		return unsignable(s, "sigv4-expires");
	r = credentials_value(s, key, &g->value);
	if (r < 0)
		return r;
	take_received(g, h);
	return check_received(s, g);
}

int signing_begin(struct session *s, struct signing **ret, size_t *ret_secret)
{
	*ret = NULL;
	if (!any_key(s))
		return 0;
	struct signing *g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	int r = begin(s, g, ret_secret);
	if (r == 0 && g->key)
		*ret = g;
	else
		signing_free(g);
	return r;
}

/* The lines of the head that is sent, back into their parts; what follows each name is ": ". */
static int take_sent(struct signing *g, const struct buf *sent)
{
	int r = buf_append(&g->head, sent->data, sent->len);
	const char *at = (const char *)g->head.data, *end = at + g->head.len;
	const char *space = r == 0 ? memchr(at, ' ', g->head.len) : NULL;
	const char *eol = r == 0 ? memmem(at, g->head.len, " HTTP/1.1\r\n", 11) : NULL;

	if (!space || !eol || space >= eol)
		return r < 0 ? r : -EINVAL;
	g->request = (struct sigv4_request){ .method = { at, (size_t)(space - at) } };
	struct sigv4_text target = { space + 1, (size_t)(eol - space - 1) };
	const char *question = memchr(target.p, '?', target.len);
	g->request.path = (struct sigv4_text){ target.p, question ? (size_t)(question - target.p) : target.len };
	if (question)
		g->request.query = (struct sigv4_text){ question + 1, (size_t)(eol - question - 1) };
	for (at = eol + 11; at < end && *at != '\r'; at = eol + 2) {
		eol = memmem(at, (size_t)(end - at), "\r\n", 2);
		const char *colon = eol ? memchr(at, ':', (size_t)(eol - at)) : NULL;
		if (!colon || g->request.n_fields == SIGV4_FIELDS_MAX)
			return -EINVAL;
		g->request.fields[g->request.n_fields++] = (struct sigv4_field){ { at, (size_t)(colon - at) },
										 { colon + 2, (size_t)(eol - colon - 2) } };
	}
	return 0;
}

/* The fields that are not sent, or not any more (they are for one hop), cannot be signed. */
static int still_sent(const struct signing *g, struct sigv4_text headers, struct buf *ret)
{
	int r = 0;

	for (size_t at = 0; at < headers.len && r == 0;) {
		const char *end = memchr(headers.p + at, ';', headers.len - at);
		size_t len = end ? (size_t)(end - headers.p) - at : headers.len - at;
		bool sent = false;
		for (size_t i = 0; i < g->request.n_fields && !sent; i++)
			sent = g->request.fields[i].name.len == len &&
			       strncasecmp(g->request.fields[i].name.p, headers.p + at, len) == 0;
		if (sent && ret->len)
			r = buf_putc(ret, ';');
		if (sent && r == 0)
			r = buf_append(ret, headers.p + at, len);
		at += len + 1;
	}
	return r;
}

/* x->head once more, with this in the place of that, which is in g->head. */
static int put_claim(struct session *s, const struct signing *g, struct sigv4_text old, const char *text, size_t len)
{
	struct buf head = { 0 };
	const char *base = (const char *)g->head.data;
	size_t at = (size_t)(old.p - base);

	int r = buf_append(&head, base, at);
	if (r == 0)
		r = buf_append(&head, text, len);
	if (r == 0)
		r = buf_append(&head, base + at + old.len, g->head.len - at - old.len);
	if (r < 0) {
		buf_wipe(&head);
		return r;
	}
	buf_wipe(&s->x->head);
	s->x->head = head;
	return 0;
}

/* Where the query says it: the whole name, not the end of another. */
static struct sigv4_text query_signature(struct sigv4_text query)
{
	static const char name[] = "X-Amz-Signature=";
	const char *at = query.p, *end = query.p + query.len;

	while (at < end && (at = memmem(at, (size_t)(end - at), name, strlen(name)))) {
		const char *value = at + strlen(name);
		if ((at == query.p || at[-1] == '&') && end - value >= (ptrdiff_t)SIGV4_HEX &&
		    (end - value == (ptrdiff_t)SIGV4_HEX || value[SIGV4_HEX] == '&'))
			return (struct sigv4_text){ value, SIGV4_HEX };
		at = value;
	}
	return (struct sigv4_text){ 0 };
}

/* What check_received() has found to be the client's. */
static void note_signature(struct session *s, const struct signing *g, const char *signature)
{
	struct resigned *r = &s->x->resigned;

	*r = (struct resigned){ .made = true, .secret = g->key->secret };
	memcpy(r->was, g->received, SIGV4_HEX);
	memcpy(r->is, signature, SIGV4_HEX);
}

static int sign_query(struct session *s, struct signing *g, const struct sigv4_claim *claim, struct sigv4_text payload)
{
	struct sigv4_text old = query_signature(g->request.query);
	char signature[SIGV4_HEX + 1];

	if (!old.p)
		return -EINVAL;
	int r = sigv4_sign(claim, &g->request, payload, g->value.data, g->value.len, signature);
	if (r == 0)
		note_signature(s, g, signature);
	return r < 0 ? r : put_claim(s, g, old, signature, SIGV4_HEX);
}

static int sign_header(struct session *s, struct signing *g, const struct sigv4_claim *claim, struct sigv4_text payload)
{
	struct sigv4_text credential = { claim->key_id.p, claim->key_id.len + 1 + claim->scope.len };
	struct buf text = { 0 };
	char signature[SIGV4_HEX + 1];

	int r = sigv4_sign(claim, &g->request, payload, g->value.data, g->value.len, signature);
	if (r == 0)
		note_signature(s, g, signature);
	if (r == 0)
		r = buf_puts(&text, SIGV4_ALGORITHM " Credential=");
	if (r == 0)
		r = buf_append(&text, credential.p, credential.len);
	if (r == 0)
		r = buf_printf(&text, ", SignedHeaders=%.*s, Signature=%s", (int)claim->headers.len, claim->headers.p, signature);
	if (r == 0)
		r = put_claim(s, g, sigv4_field(&g->request, "authorization"), (const char *)text.data, text.len);
	buf_wipe(&text);
	return r;
}

int signing_end(struct session *s, struct signing *g)
{
	struct exchange *x = s->x;
	struct sigv4_claim sent = { 0 };
	struct sigv4_text payload;
	_cleanup_buf_ struct buf headers = { 0 };
	const void *body = x->small_body.len ? x->small_body.data : x->body_seen ? iobuf_head(&s->client.in) : NULL;
	size_t len = x->small_body.len ? x->small_body.len : x->body_seen ? (size_t)x->request.content_length : 0;

	int r = take_sent(g, &x->head);
	if (r == 0)
		r = find_payload(s, g, body, len, &payload);
	/* With the real id of the key by now. */
	if (r == 0)
		r = g->claim.presigned ? sigv4_claim_query(g->request.query, &sent) :
					 sigv4_claim_header(sigv4_field(&g->request, "authorization"), &sent);
	if (r > 0)
		r = still_sent(g, sent.headers, &headers);
	else if (r == 0)
		r = -EINVAL;
	/* Of a query the list cannot be changed without its being another query. */
	if (r == 0 && sent.presigned)
		r = headers.len == sent.headers.len ? sign_query(s, g, &sent, payload) : -EINVAL;
	else if (r == 0) {
		sent.headers = (struct sigv4_text){ (const char *)headers.data, headers.len };
		r = sign_header(s, g, &sent, payload);
	}
	sigv4_claim_free(&sent);
	return r == -EINVAL || r == -ENOENT ? unsignable(s, "sigv4-form") : r;
}

void signing_free(struct signing *g)
{
	if (!g)
		return;
	sigv4_claim_free(&g->claim);
	buf_wipe(&g->head);
	free(g);
}
