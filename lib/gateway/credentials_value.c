/* SPDX-License-Identifier: Apache-2.0 */
/* The values of a request's secrets: one for all calls, or what a command gives this one. */
#include <errno.h>

#include "gateway/authority.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/issue.h"

int credentials_value(struct session *s, struct holder *h, struct secret_value *ret)
{
	const struct secret *secret = &s->gw->secrets.v[h->placeholder->secret];
	struct exchange *x = s->x;

	*ret = (struct secret_value){ .data = secret->value, .len = secret->len };
	int r = secret->issuer ? issue_value(s->gw, h, ret) : 0;
	/* What has begun to go out cannot wait. */
	if (r == -EINPROGRESS && (x->state == EXCHANGE_FORWARD || x->state == EXCHANGE_TUNNEL))
		r = -ENOKEY;
	if (r == -EINPROGRESS)
		x->awaits = h;
	else if (r < 0)
		x->lacks = h;
	return r;
}

int credentials_fetch(struct session *s)
{
	struct secret_value v;

	if (s->x->body_seen || (s->x->request.framing == HTTP1_BODY_NONE && !s->x->request.websocket))
		return 0;
	for (struct holder *h = s->call->holders; h; h = h->next) {
		const struct secret *secret = &s->gw->secrets.v[h->placeholder->secret];
		if (secret->issuer && secret->rule->inject & INJECT_BODY && !secret->revoked &&
		    authority_secret(s->call, secret->rule, &s->x->target) && credentials_value(s, h, &v) == -EINPROGRESS)
			return -EINPROGRESS;
	}
	/* One that was not given may not be needed. */
	s->x->lacks = NULL;
	return 0;
}
