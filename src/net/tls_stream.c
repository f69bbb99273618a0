/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_stream - TLS over a conn: handshake, receiving, sending, the end.
 *
 * OpenSSL has the worker's BIO (tls_io), so that it never makes a system call,
 * and never finds that it cannot write: what the kernel refuses waits in
 * conn->out.  What OpenSSL did not take because the caller had no room for more
 * is kept in `raw` until the caller asks again.
 */
#include "net/tls_stream.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/heap_alloc.h"
#include "base/now.h"
#include "base/str.h"
#include "net/tls_early.h"
#include "net/tls_keys.h"
#include "net/tls_private.h"

enum {
	IN_LEAST = 17408, /* a whole record, however little is asked for */
};

static const struct conn_stream_ops ops;

/* ---- a turn of one connection ---- */

static void
enter(struct tls_stream *t, struct conn *c)
{
	struct tls_io *io = t->io;

	assert(io->in.len == 0 && io->out_len == 0);
	/* What others left there would be taken for ours. */
	if (ERR_peek_error() != 0)
		ERR_clear_error();
	io->conn = c;
	io->stream = t;
}

/* What was not taken waits in `raw`; what was written leaves. */
static void
leave(struct tls_stream *t, struct conn *c)
{
	struct tls_io *io = t->io;

	if (io->in.len > 0) {
		pipe_put(&t->raw, c->pool, io->in);
		io->in = span_of(NULL, 0);
		c->readable = true;
	}
	tls_io_flush(io);
	io->conn = NULL;
	io->stream = NULL;
}

/* The bytes that were left over, or those of one receive. */
static ssize_t
fetch(struct tls_stream *t, struct conn *c, size_t len)
{
	struct tls_io *io = t->io;
	uint64_t received = c->received;
	ssize_t n;

	assert(io->in.len == 0);
	if (t->raw.len > 0) {
		size_t at = 0;

		while (t->raw.len > 0 && at < TLS_IO_IN_BYTES) {
			struct span run = pipe_peek(&t->raw);

			if (run.len > TLS_IO_IN_BYTES - at)
				run.len = TLS_IO_IN_BYTES - at;
			memcpy(io->in_memory + at, run.p, run.len);
			pipe_drop(&t->raw, c->pool, run.len);
			at += run.len;
		}
		io->in = span_of(io->in_memory, at);
		return (ssize_t)at;
	}
	if (len < IN_LEAST)
		len = IN_LEAST;
	n = conn_receive_raw(c, io->in_memory,
	    len < TLS_IO_IN_BYTES ? len : TLS_IO_IN_BYTES);
	c->received = received; /* counted when it is given to the owner */
	if (n > 0)
		io->in = span_of(io->in_memory, (size_t)n);
	return n;
}

static void
note(struct tls_stream *t, const char *why)
{
	if (t->why == NULL)
		t->why = strdup(why);
}

/* OpenSSL refuses to go on. */
static void
break_off(struct tls_stream *t, const char *otherwise)
{
	t->is_broken = true;
	if (ERR_peek_error() != 0)
		note(t, tls_verify_error());
	else
		note(t, otherwise);
	ERR_clear_error();
}

/* ---- handshake ---- */

/* As SSL_do_handshake(), until early data is over or there is none. */
static int
read_early(struct tls_stream *t, struct conn *c)
{
	struct tls_io *io = t->io;
	size_t n = 0;

	if (io->early_memory == NULL)
		io->early_memory = heap_alloc(TLS_EARLY_BYTES);
	for (;;) {
		switch (SSL_read_early_data(t->ssl, io->early_memory,
		    TLS_EARLY_BYTES, &n)) {
		case SSL_READ_EARLY_DATA_SUCCESS:
			pipe_put(&t->early, c->pool,
			    span_of(io->early_memory, n));
			break;
		case SSL_READ_EARLY_DATA_FINISH:
			t->reads_early = false;
			tls_early_data_over(t);
			return SSL_do_handshake(t->ssl);
		case SSL_READ_EARLY_DATA_ERROR:
		default:
			return -1;
		}
	}
}

/* 0 also with early data, which is for the owner before all else. */
static int
shake(struct tls_stream *t, struct conn *c)
{
	for (;;) {
		int result = t->reads_early ? read_early(t, c)
					    : SSL_do_handshake(t->ssl);
		ssize_t n;

		if (result == 1) {
			t->is_done = true;
			/* Nothing is signed any more: no more jobs. */
			SSL_clear_mode(t->ssl, SSL_MODE_ASYNC);
			/* Early data may have come with all that follows it. */
			if (t->early.len > 0) {
				t->base.is_early = true;
				c->readable = true;
			}
			return 0;
		}
		switch (SSL_get_error(t->ssl, result)) {
		case SSL_ERROR_WANT_READ:
			break;
		case SSL_ERROR_WANT_ASYNC:
			return CONN_AGAIN; /* the signer's answer wakes it */
		case SSL_ERROR_WANT_ASYNC_JOB:
			break_off(t, "too many handshakes wait for the "
			    "signer");
			return CONN_FAILED;
		default:
			break_off(t, "handshake failed");
			return t->is_unverified ? CONN_REFUSED : CONN_FAILED;
		}
		n = t->raw.len == 0 && !c->readable ? CONN_AGAIN
						    : fetch(t, c, 0);
		if (n == CONN_AGAIN && t->early.len > 0) {
			t->base.is_early = true;
			c->readable = true;
			return 0;
		}
		if (n == CONN_AGAIN)
			return CONN_AGAIN;
		if (n <= 0) {
			note(t, n == CONN_EOF ? "closed in the handshake"
					      : "reset in the handshake");
			return (int)n;
		}
	}
}

static int
handshake(struct conn *c)
{
	struct tls_stream *t = tls_stream_of(c);
	int result;

	if (t->is_done)
		return 0;
	if (t->is_broken)
		return CONN_FAILED;
	/* What comes meanwhile waits in the socket. */
	if (tls_keys_client_is_waiting(t))
		return c->failed ? CONN_FAILED : CONN_AGAIN;
	enter(t, c);
	if (t->raw.len > 0 || c->readable) {
		ssize_t n = fetch(t, c, 0);

		if (n == CONN_EOF || n == CONN_FAILED) {
			note(t, "closed in the handshake");
			leave(t, c);
			return CONN_FAILED;
		}
	}
	result = shake(t, c);
	leave(t, c);
	/* An end says CONN_EOF, which is 0 as well. */
	if (result == 0 && (c->failed || (!t->is_done && !t->base.is_early)))
		return CONN_FAILED;
	return result;
}

/* ---- receiving ---- */

/* Records of what was fetched, as far as p has room. */
static size_t
take(struct tls_stream *t, char *p, size_t len)
{
	size_t got = 0;

	while (got < len && !t->is_ended && !t->is_broken) {
		size_t n = 0;
		int result = SSL_read_ex(t->ssl, p + got, len - got, &n);

		if (tls_ktls_must_end(t)) {
			t->is_ended = true;
			t->is_cut = true;
			note(t, "new keys were demanded, which kTLS has not");
		}
		if (result == 1) {
			got += n;
			if (t->io->in.len == 0 && SSL_pending(t->ssl) == 0)
				break;
			continue;
		}
		switch (SSL_get_error(t->ssl, result)) {
		case SSL_ERROR_WANT_READ:
			return got;
		case SSL_ERROR_ZERO_RETURN:
			t->is_ended = true;
			break;
		default:
			break_off(t, "broken record");
			break;
		}
	}
	return got;
}

/* Nothing more will come, or nothing came this time. */
static ssize_t
end(struct tls_stream *t, struct conn *c, ssize_t n)
{
	if (t->is_broken) {
		c->failed = true;
		errno = EPROTO;
		return CONN_FAILED;
	}
	if (t->is_ended) {
		c->peer_closed = true;
		c->is_truncated = t->is_cut;
		return CONN_EOF;
	}
	if (n == CONN_EOF)
		c->is_truncated = true;
	return n;
}

static size_t
take_early(struct tls_stream *t, struct conn *c, char *p, size_t len)
{
	size_t got = 0;

	while (got < len && t->early.len > 0) {
		struct span run = pipe_peek(&t->early);
		size_t n = run.len < len - got ? run.len : len - got;

		memcpy(p + got, run.p, n);
		pipe_drop(&t->early, c->pool, n);
		got += n;
	}
	c->received += got;
	return got;
}

/*
 * While the handshake is not over: early data, else the handshake goes on.  > 0
 * bytes; 0: it is over; else as receive().
 */
static ssize_t
receive_early(struct tls_stream *t, struct conn *c, void *p, size_t len)
{
	int result = 0;

	if (t->early.len == 0 && !t->is_done) {
		enter(t, c);
		result = shake(t, c);
		leave(t, c);
	}
	if (t->early.len > 0) {
		c->readable = true;
		return (ssize_t)take_early(t, c, p, len);
	}
	if (result == 0 && t->is_done) {
		t->base.is_early = false;
		return 0;
	}
	if (result == CONN_EOF) {
		c->is_truncated = true;
		return CONN_EOF;
	}
	if (result == CONN_AGAIN)
		return CONN_AGAIN;
	c->failed = true;
	errno = EPROTO;
	return CONN_FAILED;
}

static ssize_t
receive(struct conn *c, void *p, size_t len)
{
	struct tls_stream *t = tls_stream_of(c);
	size_t got = 0;
	ssize_t n = CONN_AGAIN;

	if (t->base.is_early) {
		n = receive_early(t, c, p, len);
		if (n != 0 || t->base.is_early)
			return n;
		n = CONN_AGAIN;
	}
	if (!t->is_done || t->is_ended || t->is_broken)
		return end(t, c, CONN_AGAIN);
	enter(t, c);
	if (SSL_pending(t->ssl) > 0)
		got = take(t, p, len);
	while (got == 0 && !t->is_ended && !t->is_broken &&
	    (c->readable || t->raw.len > 0)) {
		n = fetch(t, c, len);
		if (n <= 0)
			break;
		got = take(t, p, len);
	}
	/* The owner asks again only while it is told that there is more. */
	if (SSL_pending(t->ssl) > 0 ||
	    (got > 0 && (t->is_ended || t->is_broken)))
		c->readable = true;
	if (t->is_ended || t->is_broken)
		t->io->in = span_of(NULL, 0);
	leave(t, c);
	c->received += got;
	if (got > 0)
		return (ssize_t)got;
	return end(t, c, n > 0 ? CONN_AGAIN : n);
}

/* ---- sending ---- */

static int
send_bytes(struct conn *c, struct span bytes)
{
	struct tls_stream *t = tls_stream_of(c);

	if (bytes.len == 0)
		return 0;
	if (t->is_broken || c->failed ||
	    (!t->is_done && !t->base.is_early))
		return -1;
	t->base.given += bytes.len;
	if (t->is_ktls)
		return tls_ktls_send(t, c, bytes);
	enter(t, c);
	while (bytes.len > 0) {
		size_t n = 0;

		if ((t->is_done
		    ? SSL_write_ex(t->ssl, bytes.p, bytes.len, &n)
		    : SSL_write_early_data(t->ssl, bytes.p, bytes.len, &n)) !=
		    1) {
			break_off(t, "cannot encrypt");
			c->failed = true;
			break;
		}
		bytes = span_of(bytes.p + n, bytes.len - n);
	}
	leave(t, c);
	return c->failed ? -1 : 0;
}

static void
close_send(struct conn *c)
{
	struct tls_stream *t = tls_stream_of(c);

	/* The alert that broke it off has said all. */
	if (!t->is_done || t->is_broken)
		return;
	enter(t, c);
	(void)SSL_shutdown(t->ssl);
	ERR_clear_error();
	leave(t, c);
}

/* ---- what can be told ---- */

static struct span
alpn(const struct conn *c)
{
	const unsigned char *p = NULL;
	unsigned len = 0;

	SSL_get0_alpn_selected(tls_stream_of(c)->ssl, &p, &len);
	return span_of((const char *)p, len);
}

static bool
fact_of(const struct conn *c, enum conn_fact fact, struct str *out)
{
	const struct tls_stream *t = tls_stream_of(c);
	size_t before = out->len;

	switch (fact) {
	case CONN_FACT_VERSION:
		str_cstr(out, SSL_get_version(t->ssl));
		break;
	case CONN_FACT_CIPHER:
		str_cstr(out, SSL_get_cipher_name(t->ssl));
		break;
	case CONN_FACT_SERVER_NAME:
		str_span(out, span_cstr(SSL_get_servername(t->ssl,
		    TLSEXT_NAMETYPE_host_name)));
		break;
	case CONN_FACT_ALPN:
		str_span(out, alpn(c));
		break;
	case CONN_FACT_RESUMED:
		str_char(out, SSL_session_reused(t->ssl) ? '1' : '0');
		break;
	case CONN_FACT_WHY:
		str_span(out, span_cstr(t->why));
		break;
	case CONN_FACT_PEER_SUBJECT:
	case CONN_FACT_PEER_ISSUER:
	case CONN_FACT_PEER_SERIAL:
	case CONN_FACT_PEER_FINGERPRINT:
	case CONN_FACT_PEER_NAMES:
	case CONN_FACT_PEER_VERIFY:
	default:
		return tls_verify_fact(t->ssl, fact, out);
	}
	return out->len > before;
}

static void
drained(struct conn *c)
{
	tls_ktls_drained(tls_stream_of(c), c);
}

/* A suspended handshake runs to its end, where its stack is given back. */
static void
end_job(struct tls_stream *t, struct conn *c)
{
	struct tls_io *io = t->io;

	if (t->signing == NULL)
		return;
	t->is_leaving = true;
	tls_keys_client_cancel(t);
	enter(t, c);
	(void)SSL_do_handshake(t->ssl);
	ERR_clear_error();
	io->in = span_of(NULL, 0);
	io->out_len = 0;
	io->conn = NULL;
	io->stream = NULL;
}

static void
free_stream(struct conn *c)
{
	struct tls_stream *t = tls_stream_of(c);

	end_job(t, c);
	SSL_free(t->ssl);
	pipe_fini(&t->raw, c->pool);
	pipe_fini(&t->early, c->pool);
	free(t->why);
	free(t);
}

static const struct conn_stream_ops ops = {
	.handshake = handshake,
	.receive = receive,
	.send = send_bytes,
	.close_send = close_send,
	.drained = drained,
	.free = free_stream,
	.alpn = alpn,
	.fact = fact_of,
};

/* ---- opening ---- */

static struct tls_stream *
stream_new(struct tls_io *io, SSL_CTX *ctx, struct tls_keys *keys)
{
	struct tls_stream *t;
	SSL *ssl = SSL_new(ctx);

	if (ssl == NULL) {
		ERR_clear_error();
		return NULL;
	}
	t = heap_alloc_zeroed(1, sizeof(*t));
	t->base.ops = &ops;
	t->ssl = ssl;
	t->io = io;
	pipe_init(&t->raw);
	pipe_init(&t->early);
	SSL_set_app_data(ssl, t);
	if (keys != NULL) {
		SSL_set_mode(ssl, SSL_MODE_ASYNC);
		if (io->keys == NULL)
			io->keys = tls_keys_client_new(keys, io, io->loop,
			    io->keys_stats);
	}
	BIO_up_ref(io->bio);
	SSL_set_bio(ssl, io->bio, io->bio); /* one reference for both */
	return t;
}

struct conn_stream *
tls_stream_accept(struct tls_io *io, const struct tls_server *server)
{
	struct tls_stream *t = stream_new(io, server->ctx,
	    server->keys);

	if (t == NULL)
		return NULL;
	t->server = server;
	t->reads_early = server->early != NULL;
	if (server->conf->ktls)
		tls_ktls_want(t);
	SSL_set_accept_state(t->ssl);
	return &t->base;
}

/* What the certificate must be for; a name with '_' also in its other form. */
static int
expect_name(struct tls_stream *t, struct span name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
	const struct tls_client_conf *conf = t->client->conf;
	const char *dot = name.len > 0 ? memchr(name.p, '.', name.len) : NULL;
	char plain[256];

	if (!conf->verify || !conf->verify_hostname)
		return 0;
	X509_VERIFY_PARAM_set_hostflags(param,
	    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (name.len > 0 &&
	    X509_VERIFY_PARAM_add1_host(param, name.p, name.len) != 1)
		return -1;
	if (conf->alternative_cn != NULL)
		name = span_cstr(conf->alternative_cn);
	for (int pass = 0; pass < 2 && name.len > 0 && name.len < 256;
	     pass++) {
		/* A wildcard stands for letters, digits and '-' only. */
		memcpy(plain, name.p, name.len);
		dot = memchr(plain, '.', name.len);
		if (pass == 1 && dot != NULL &&
		    memchr(dot + 1, '.', name.len -
		    (size_t)(dot + 1 - plain)) != NULL) {
			for (char *p = plain; p < dot; p++)
				*p = *p == '_' ? '-' : *p;
		}
		if (X509_VERIFY_PARAM_add1_host(param, plain, name.len) != 1)
			return -1;
	}
	return 0;
}

static void
find_session(struct tls_stream *t, struct span backend, struct span name)
{
	unsigned char bytes[TLS_SESSION_BYTES];
	const unsigned char *p = bytes;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	SSL_SESSION *session;
	size_t len;

	EVP_DigestInit_ex(md, EVP_sha256(), NULL);
	EVP_DigestUpdate(md, t->client->terms, TLS_SESSION_KEY);
	EVP_DigestUpdate(md, backend.p, backend.len);
	EVP_DigestUpdate(md, "", 1);
	EVP_DigestUpdate(md, name.p, name.len);
	EVP_DigestFinal_ex(md, t->session_key, NULL);
	EVP_MD_CTX_free(md);
	len = tls_session_get(t->io->sessions, t->session_key, bytes);
	if (len == 0)
		return;
	session = d2i_SSL_SESSION(NULL, &p, (long)len);
	if (session != NULL)
		SSL_set_session(t->ssl, session);
	SSL_SESSION_free(session);
}

/* A ticket has come, in TLS 1.3 any time after the handshake. */
static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	const struct tls_stream *t = SSL_get_app_data(ssl);
	unsigned char bytes[TLS_SESSION_BYTES];
	unsigned char *p = bytes;
	int len = i2d_SSL_SESSION(session, NULL);

	if (t == NULL || t->io->sessions == NULL ||
	    !t->client->conf->resume || !SSL_SESSION_is_resumable(session) ||
	    len <= 0 || len > TLS_SESSION_BYTES)
		return 0;
	i2d_SSL_SESSION(session, &p);
	tls_session_put(t->io->sessions, t->session_key, bytes, (size_t)len,
	    now_ms());
	return 0; /* we keep no reference */
}

void
tls_stream_set_client_callbacks(SSL_CTX *ctx)
{
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT |
	    SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
}

struct conn_stream *
tls_stream_connect(struct tls_io *io, const struct tls_client *client,
    struct span backend, struct span name)
{
	struct tls_stream *t = stream_new(io, client->ctx,
	    client->keys);
	char text[256];

	if (t == NULL)
		return NULL;
	t->client = client;
	t->version = client->version;
	if (client->conf->ktls)
		tls_ktls_want(t);
	if (client->conf->resume && io->sessions != NULL)
		find_session(t, backend, name);
	SSL_set_connect_state(t->ssl);
	if (name.len > 0 && name.len < sizeof(text)) {
		memcpy(text, name.p, name.len);
		text[name.len] = '\0';
		SSL_set_tlsext_host_name(t->ssl, text);
	}
	(void)expect_name(t, name);
	ERR_clear_error();
	return &t->base;
}

void
tls_stream_offer_h1(struct conn_stream *stream)
{
	static const unsigned char h1[] = "\10http/1.1";
	struct tls_stream *t = (struct tls_stream *)(void *)stream;

	SSL_set_alpn_protos(t->ssl, h1, sizeof(h1) - 1);
}

bool
tls_stream_is_current(const struct conn *c)
{
	const struct tls_stream *t;

	if (c->stream == NULL || c->stream->ops != &ops)
		return true;
	t = tls_stream_of(c);
	return t->client == NULL || t->version == t->client->version;
}
