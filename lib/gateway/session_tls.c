/* SPDX-License-Identifier: Apache-2.0 */
/* TLS with a client inside: the name it asks for, the certificate for that, the protocol, the handshake. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/bytestring.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "gateway/authority.h"
#include "gateway/gateway.h"
#include "gateway/session.h"

/* The name in the ClientHello that BoringSSL is about to answer: 0, -ENOENT without one, -EINVAL when it is no name. */
static int hello_name(const SSL_CLIENT_HELLO *hello, char ret[256])
{
	const uint8_t *data;
	size_t len;
	CBS ext, list, name;
	uint8_t type;

	if (!SSL_early_callback_ctx_extension_get(hello, TLSEXT_TYPE_server_name, &data, &len))
		return -ENOENT;
	CBS_init(&ext, data, len);
	/* One name of type host_name and nothing else, as BoringSSL itself demands right after. */
	if (!CBS_get_u16_length_prefixed(&ext, &list) || CBS_len(&ext) || !CBS_get_u8(&list, &type) || type != 0 ||
	    !CBS_get_u16_length_prefixed(&list, &name) || CBS_len(&list))
		return -EINVAL;
	return host_canonical((const char *)CBS_data(&name), CBS_len(&name), false, ret);
}

static enum ssl_select_cert_result_t select_certificate(const SSL_CLIENT_HELLO *hello)
{
	struct session *s = SSL_get_app_data(hello->ssl);
	char name[256], text[INET_ADDRSTRLEN];

	int r = hello_name(hello, name);
	if (r == -ENOENT && !s->name) {
		/* Clients send no name for an address literal (RFC 6066). */
		strcpy(name, session_host(s, text));
	} else if (r < 0) {
		free(TAKE_PTR(s->sni));
		return ssl_select_cert_error;
	} else if (strcmp(name, session_host(s, text)) != 0) {
		s->misdirected = true;
	}
	free(s->sni);
	s->sni = strdup(name);
	/* The certificate is for the name that the client asked for, so that it can read the refusal. */
	return s->sni && ca_present(&s->gw->ca, hello->ssl, name) == 0 ? ssl_select_cert_success : ssl_select_cert_error;
}

static int select_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in, unsigned in_len, void *arg)
{
	static const char *const spoken[] = { "h2", "http/1.1", "http/1.0" };
	(void)ssl;
	(void)arg;

	/* The first that the client names and we speak. */
	for (unsigned i = 0; i < in_len && i + 1 + in[i] <= in_len; i += 1u + in[i]) {
		for (size_t p = 0; p < ARRAY_LEN(spoken); p++) {
			if (in[i] != strlen(spoken[p]) || memcmp(in + i + 1, spoken[p], in[i]) != 0)
				continue;
			*out = in + i + 1;
			*out_len = in[i];
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

void session_start_tls(struct session *s)
{
	SSL_CTX *ctx = s->gw->ca.server;

	SSL_CTX_set_select_certificate_cb(ctx, select_certificate);
	SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
	SSL *ssl = SSL_new(ctx);
	if (!ssl) {
		session_abort(s);
		return;
	}
	SSL_set_app_data(ssl, s);
	SSL_set_accept_state(ssl);
	if (stream_start_tls(&s->client, ssl) < 0) {
		session_abort(s);
		return;
	}
	s->tls = true;
	s->state = SESSION_HANDSHAKE;
}

bool session_handshake(struct session *s)
{
	int r = stream_handshake(&s->client);

	if (r > 0) {
		const uint8_t *proto;
		unsigned len = 0;
		const int now = 1;
		SSL_get0_alpn_selected(s->client.ssl, &proto, &len);
		/* Nothing is sent here that could carry the ACK of the client's Finished. A client with Nagle's algorithm
		 * holds its request back until then, 40 ms when the ACK is delayed. */
		setsockopt(s->client.source.fd, IPPROTO_TCP, TCP_QUICKACK, &now, sizeof(now));
		s->state = SESSION_HTTP;
		session_timeout(s, 0);
		if (len == 2 && http2_server_start(s) < 0)
			session_abort(s);
		return true;
	}
	if (r == 0)
		return false;
	/* BoringSSL has sent its alert. A client that went away by itself (a pinned certificate, a port scan) shows up
	 * too: without a record nobody would know why a program fails. */
	_cleanup_buf_ struct buf members = { 0 };
	session_members(s, &members);
	json_member_string(&members, "proto", "https");
	bool no_name = !s->sni && !s->client.broken && s->client.read_bytes;
	records_add(&s->gw->records, "net.deny", s->call, no_name && !s->client.eof ? "no-sni" : "tls-handshake", &members);
	session_finish(s);
	return true;
}
