/* SPDX-License-Identifier: Apache-2.0 */
/* Answers to requests that were allowed, and cannot be sent: no server, no value of a secret. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/issue.h"

void request_unreachable(struct session *s)
{
	static const struct {
		const char *token;
		int status;
		const char *detail;
	} table[] = {
		{ "private-address", 403, "The name leads to a private or local address, which needs a rule of its own." },
		{ "denied-address", 403, "The name leads to an address that a deny rule forbids." },
		{ "no-such-host", 502, "The name does not exist in the DNS of the host." },
		{ "resolver-timeout", 504, "The DNS of the host did not answer in time." },
		{ "resolver-error", 502, "The name could not be resolved on the host." },
		{ "connect-failed", 502, "The server could not be reached." },
		{ "connect-timeout", 504, "The server did not accept a connection in time." },
		{ "upstream-proxy", 502, "The proxy that leads to all servers did not connect to this one." },
		{ "certificate", 502, "The certificate of the server was not accepted." },
		{ "tls-handshake", 502, "The TLS handshake with the server failed." },
		{ "tls-timeout", 504, "The server did not finish the TLS handshake in time." },
	};
	struct upstream *u = s->up;
	struct exchange *x = s->x;
	const char *reason = u->failure, *detail = "The server could not be reached.";
	int status = 502;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (strcmp(table[i].token, reason) == 0) {
			status = table[i].status;
			detail = table[i].detail;
		}
	}
	request_refuse(s, status == 403 ? "http.deny" : NULL, status, reason, detail);
	if (u->detail) {
		/* "The server could not be reached: Connection refused." */
		buf_printf(&x->detail, "%.*s: %s.", (int)strlen(detail) - 1, detail, u->detail);
		x->problem.detail = buf_str(&x->detail);
	}
	if (status != 403)
		request_record(s, "http.request", reason, true);
}

void request_without_secret(struct session *s)
{
	const struct holder *h = s->x->lacks;
	const char *name = s->gw->secrets.v[h->placeholder->secret].rule->name;
	const char *why, *reason = issue_failure(s->gw, h, &why);
	bool expired = strcmp(reason, "secret-expired") == 0;

	request_refuse(s, "http.deny", 502, reason, "The command of a secret of the request has not given it.");
	buf_printf(&s->x->detail, "Secret %s %s its command%s%s.", name,
		   expired ? "has expired, and another one was not given by" : "was not given by", why ? ": " : "",
		   why ? why : "");
	s->x->problem.detail = buf_str(&s->x->detail) ? buf_str(&s->x->detail) : "";
}
