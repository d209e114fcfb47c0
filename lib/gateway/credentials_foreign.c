/* SPDX-License-Identifier: Apache-2.0 */
/* Headers that say who asks, without a placeholder of the call. */
#include "base/util.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"

struct own_search {
	const struct session *session;
	bool found;
};

static bool note_own(void *data, const struct placeholder *p, enum inject_place place, struct secret_value *ret)
{
	struct own_search *search = data;

	(void)place;
	(void)ret;
	const struct holder *h = p->call;
	search->found |= h->call == search->session->call;
	return false;
}

/* Headers whose whole purpose is to say who asks. */
static bool is_credential(const struct http1_head *h, struct http1_slice name)
{
	static const char *const names[] = { "authorization", "proxy-authorization", "cookie", "x-api-key", "api-key",
					     "apikey", "x-auth-token", "x-access-token", "private-token", "job-token",
					     "x-goog-api-key", "x-amz-security-token", "x-csrf-token", "x-session-token",
					     "x-vault-token", "x-github-token", "x-gitlab-token" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (http1_names_variable(h, name, names[i]))
			return true;
	}
	return false;
}

bool credentials_foreign(struct session *s)
{
	const struct http1_head *h = &s->x->request;
	struct buf none = { 0 };
	bool foreign = false;

	for (size_t i = 0; i < h->n_fields && !foreign; i++) {
		const struct http1_field *f = &h->fields[i];
		struct own_search search = { .session = s };
		struct inject in = { .table = &s->gw->secrets.table, .decide = note_own, .data = &search };
		if (!is_credential(h, f->name))
			continue;
		if (s->gw->secrets.table.n > 0)
			inject_header(&in, http1_text(h, f->name), f->name.len, http1_text(h, f->value), f->value.len, &none);
		foreign = !search.found;
	}
	buf_free(&none);
	return foreign;
}

bool credentials_named(const struct http1_head *trailers)
{
	for (size_t i = 0; i < trailers->n_fields; i++) {
		if (is_credential(trailers, trailers->fields[i].name))
			return true;
	}
	return false;
}
