/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_callbacks - what OpenSSL asks while a client's handshake runs: the
 * certificate, the protocol, whether a ticket holds, early data, OCSP.
 *
 * A handshake may be suspended only while it signs, after all of these: what
 * they note in struct tls_io belongs to the handshake that runs.
 */
#include <openssl/evp.h>

#include "base/now.h"
#include "net/tls_private.h"

/*
 * First of all: the name, so that a ticket can be refused for another one, and
 * the certificates that it asks for.
 */
static int
on_client_hello(SSL *ssl, int *alert, void *arg)
{
	const struct tls_stream *t = SSL_get_app_data(ssl);
	struct tls_io *io = t->io;
	const unsigned char *p;
	size_t len;

	(void)arg;
	io->name[0] = '\0';
	io->choice = NULL;
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p,
	    &len) != 1)
		return SSL_CLIENT_HELLO_SUCCESS;
	if (tls_sni_parse(p, len, io->name) != 0) {
		*alert = SSL_AD_UNRECOGNIZED_NAME;
		return SSL_CLIENT_HELLO_ERROR;
	}
	io->choice = tls_sni_find(&t->server->sni, span_cstr(io->name));
	return SSL_CLIENT_HELLO_SUCCESS;
}

static int
on_certificate(SSL *ssl, void *arg)
{
	const struct tls_stream *t = SSL_get_app_data(ssl);
	const struct tls_choice *choice = t->io->choice;

	(void)arg;
	if (choice == NULL || choice == t->server->fallback)
		return 1;
	SSL_certs_clear(ssl);
	for (int i = 0; i < TLS_KEY_KINDS; i++) {
		if (choice->by_kind[i] != NULL &&
		    tls_cert_use(choice->by_kind[i], ssl) != 0)
			return 0;
	}
	return 1;
}

static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
	(void)ssl;
	(void)alert;
	(void)arg;
	return SSL_TLSEXT_ERR_OK; /* kept with the session */
}

static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
    const unsigned char *in, unsigned in_len, void *arg)
{
	const struct tls_server *s =
	    ((struct tls_stream *)SSL_get_app_data(ssl))->server;
	unsigned char *chosen = NULL;

	(void)arg;
	if (s->alpn_len == 0)
		return SSL_TLSEXT_ERR_NOACK;
	/* RFC 7301, section 3.2: nothing in common is the end. */
	if (SSL_select_next_proto(&chosen, out_len, s->alpn,
	    (unsigned)s->alpn_len, in, in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* A session of another server name is made anew. */
static SSL_TICKET_RETURN
on_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
    size_t len, SSL_TICKET_STATUS status, void *arg)
{
	const struct tls_stream *t = SSL_get_app_data(ssl);
	const char *host;

	(void)name;
	(void)len;
	(void)arg;
	switch (status) {
	case SSL_TICKET_SUCCESS:
	case SSL_TICKET_SUCCESS_RENEW:
		host = SSL_SESSION_get0_hostname(session);
		if (!span_ieq(span_cstr(host != NULL ? host : ""),
		    span_cstr(t->io->name)))
			return SSL_TICKET_RETURN_IGNORE_RENEW;
		return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE
		    : SSL_TICKET_RETURN_USE_RENEW;
	default:
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	}
}

static int
on_status(SSL *ssl, void *arg)
{
	const struct tls_server *s =
	    ((struct tls_stream *)SSL_get_app_data(ssl))->server;
	const X509 *cert = SSL_get_certificate(ssl);

	(void)arg;
	for (size_t i = 0; i < s->pair_count; i++) {
		const struct tls_pair *pair = &s->pairs[i];
		unsigned char *copy;

		if (pair->cert != cert || pair->ocsp == NULL ||
		    pair->ocsp_times.until_s * 1000 <=
		    (int64_t)now_wall_ms())
			continue;
		copy = OPENSSL_memdup(pair->ocsp, pair->ocsp_len);
		SSL_set_tlsext_status_ocsp_resp(ssl, copy,
		    (long)pair->ocsp_len);
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_NOACK;
}

void
tls_callbacks_set(SSL_CTX *ctx)
{
	SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
	SSL_CTX_set_cert_cb(ctx, on_certificate, NULL);
	SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	SSL_CTX_set_session_ticket_cb(ctx, NULL, on_ticket, NULL);
	SSL_CTX_set_tlsext_status_cb(ctx, on_status);
	SSL_CTX_set_allow_early_data_cb(ctx, tls_early_data_allow, NULL);
}
