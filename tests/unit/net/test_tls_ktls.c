/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is sent under kTLS, over a socket without it, so that we see the bytes:
 * the kernel ignores there which record a message asks for.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/list.h"
#include "net/tls_io.h"
#include "net/tls_ktls.h"
#include "net/tls_private.h"
#include "net/tls_stream.h"

enum { CHUNK = 8192, ALERT = 21, HANDSHAKE = 22 };

struct fixture {
	struct loop *loop;
	struct block_pool pool;
	struct tls_io io;
	struct tls_stream stream;
	struct conn conn;
	size_t sent;
	int peer;
};

static char chunk[CHUNK];
static _Atomic uint64_t stats[TLS_KTLS_ROWS];

static int
send_bytes(struct conn *c, struct span bytes)
{
	return tls_ktls_send(tls_stream_of(c), c, bytes);
}

/* As OpenSSL does: the type, then the record. */
static void
send_record(struct conn *c, unsigned char type, struct span bytes)
{
	struct tls_stream *t = tls_stream_of(c);

	t->io->stream = t;
	t->io->conn = c;
	assert_int_equal(tls_ktls_ctrl(t->io, 74, type, NULL), 1);
	tls_ktls_write(t, c, bytes);
	assert_int_equal(t->record_type, 0);
}

static void
close_send(struct conn *c)
{
	send_record(c, ALERT, span_of("\1\0", 2));
}

static void
drained(struct conn *c)
{
	tls_ktls_drained(tls_stream_of(c), c);
}

static void
free_nothing(struct conn *c)
{
	(void)c;
}

static const struct conn_stream_ops ops = {
	.send = send_bytes,
	.close_send = close_send,
	.drained = drained,
	.free = free_nothing,
};

static void
on_event(struct loop_watch *w, unsigned events)
{
	conn_note(LIST_OF(w, struct conn, watch), events);
}

static void
on_deadline(struct deadline *d)
{
	(void)d;
}

/* Two ends of a TCP connection; what one has sent fills up soon. */
static void
connect_pair(int fds[2])
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	int bytes = 65536;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	void *address = &in;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	assert_int_equal(bind(fd, address, sizeof(in)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, address, &len), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	assert_int_equal(connect(fds[0], address, sizeof(in)), 0);
	fds[1] = accept(fd, NULL, NULL);
	assert_true(fds[1] >= 0);
	close(fd);
	fd = fcntl(fds[0], F_GETFL);
	assert_int_equal(fcntl(fds[0], F_SETFL, fd | O_NONBLOCK), 0);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err;
	int fds[2];

	for (size_t i = 0; i < CHUNK; i++)
		chunk[i] = (char)('a' + i % 26);
	connect_pair(fds);
	f->loop = loop_new(LOOP_EPOLL, &err);
	block_pool_init(&f->pool, 1 << 20);
	f->stream.base.ops = &ops;
	f->stream.io = &f->io;
	f->stream.is_ktls = true;
	tls_ktls_count(&f->io, stats);
	conn_init(&f->conn, f->loop, &f->pool, fds[0], on_event,
	    on_deadline);
	conn_set_stream(&f->conn, &f->stream.base);
	f->peer = fds[1];
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	conn_close(&f->conn, true);
	close(f->peer);
	block_pool_fini(&f->pool);
	loop_free(f->loop);
	free(f);
	return 0;
}

/* Until it says that it must wait. */
static void
fill(struct fixture *f)
{
	while (conn_pending(&f->conn) == 0) {
		assert_true(f->sent < 64u << 20);
		assert_int_equal(conn_send(&f->conn, span_of(chunk, CHUNK)), 0);
		f->sent += CHUNK;
	}
}

/* The peer receives until its end; what waits is sent meanwhile. */
static void
receive_all(struct fixture *f)
{
	static char got[1 << 16];
	size_t at = 0;
	ssize_t n = 1;

	while (n != 0) {
		struct pollfd fd = { .fd = f->peer, .events = POLLIN };

		loop_turn(f->loop, 0);
		if (f->conn.writable)
			assert_int_equal(conn_flush(&f->conn), 0);
		assert_true(poll(&fd, 1, 10) >= 0);
		n = recv(f->peer, got, sizeof(got), MSG_DONTWAIT);
		for (ssize_t i = 0; i < n; i++, at++) {
			if (at < f->sent)
				assert_int_equal(got[i], chunk[at % CHUNK]);
			else
				assert_int_equal(got[i], at == f->sent);
		}
	}
	assert_int_equal(at, f->sent + 2);
}

/* All was taken, but without room nothing says that it leaves. */
static void
test_hold(void **state)
{
	struct fixture *f = *state;

	fill(f);
	assert_int_equal(f->conn.out.len, 0);
	assert_true(f->conn.is_held && !f->conn.writable);
	assert_int_equal(conn_pending(&f->conn), 1);
	conn_close_send(&f->conn);
	/* Nothing behind what may be lost, and no FIN. */
	assert_true(f->stream.owes_end);
	receive_all(f);
	assert_int_equal(conn_pending(&f->conn), 0);
	assert_false(f->stream.owes_end);
}

/* What the kernel refuses goes before the end, too. */
static void
test_end_behind_what_waits(void **state)
{
	struct fixture *f = *state;

	fill(f);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(conn_send(&f->conn, span_of(chunk, CHUNK)),
		    0);
		f->sent += CHUNK;
	}
	assert_int_equal(f->conn.out.len, 10 * CHUNK);
	conn_close_send(&f->conn);
	receive_all(f);
}

/* A small buffer (send_buffer) may be full after less than in others. */
static void
test_small_buffer(void **state)
{
	struct fixture *f = *state;
	struct pollfd room = { .fd = f->conn.watch.fd, .events = POLLOUT };
	int bytes = 2048;

	assert_int_equal(setsockopt(f->conn.watch.fd, SOL_SOCKET, SO_SNDBUF,
	    &bytes, sizeof(bytes)), 0);
	/* Nobody receives: the peer's window is soon closed. */
	do {
		assert_int_equal(conn_send(&f->conn, span_of(chunk, 1500)),
		    0);
		f->sent += 1500;
	} while (poll(&room, 1, 0) == 1);
	assert_true(conn_pending(&f->conn) > 0);
}

/* With room there is nothing to wait for, whatever was sent. */
static void
test_end_at_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(conn_send(&f->conn, span_of(chunk, CHUNK)), 0);
	f->sent = CHUNK;
	assert_int_equal(conn_pending(&f->conn), 0);
	conn_close_send(&f->conn);
	assert_int_equal(conn_pending(&f->conn), 0);
	receive_all(f);
}

/* A ticket or an alert without room is left out, and breaks nothing. */
static void
test_records_without_room(void **state)
{
	struct fixture *f = *state;
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	f->stream.ssl = SSL_new(ctx); /* TLS 1.3, until it is less */
	while (send(f->conn.watch.fd, chunk, CHUNK, 0) > 0)
		continue;
	send_record(&f->conn, HANDSHAKE, span_of("ticket", 6));
	send_record(&f->conn, ALERT, span_of("\1\144", 2));
	assert_false(f->conn.failed || f->stream.owes_end);
	assert_int_equal(f->conn.out.len, 0);
	SSL_free(f->stream.ssl);
	SSL_CTX_free(ctx);
}

/* Where it cannot be, OpenSSL is told so, and nothing has changed. */
static void
test_refused_keys(void **state)
{
	struct fixture *f = *state;
	const uint16_t unknown[2] = { TLS1_3_VERSION, 9999 };
	union { const uint16_t *in; void *out; } keys = { .in = unknown };
	uint64_t before = stats[TLS_KTLS_REFUSED];

	f->stream.is_ktls = false;
	f->io.stream = &f->stream;
	f->io.conn = &f->conn;
	assert_int_equal(tls_ktls_ctrl(&f->io, 72, 0, keys.out), 0);
	assert_int_equal(stats[TLS_KTLS_REFUSED], before);
	assert_int_equal(tls_ktls_ctrl(&f->io, 72, 1, keys.out), 0);
	assert_int_equal(tls_ktls_ctrl(&f->io, 73, 0, NULL), 0);
	assert_int_equal(stats[TLS_KTLS_REFUSED], before + 1);
	assert_false(f->conn.failed);
}

/* Waits: what was sent is there in the end. */
static ssize_t
receive(struct conn *c, char *p, size_t len)
{
	ssize_t n;

	do {
		c->readable = true;
		n = conn_receive(c, p, len);
	} while (n == CONN_AGAIN);
	return n;
}

/* Who shows a certificate of his own. */
static SSL *
new_peer(int fd)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	SSL *ssl;

	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	SSL_set_accept_state(ssl);
	X509_free(cert);
	EVP_PKEY_free(key);
	SSL_CTX_free(ctx);
	return ssl;
}

/*
 * Who demands new keys may not be done: what came before is no whole answer, as
 * without close_notify.
 */
static void
test_demanded_keys_cut(void **state)
{
	struct fixture *f = *state;
	const struct tls_client_conf conf = { .verify = false };
	struct tls_client client = { .conf = &conf,
		.ctx = SSL_CTX_new(TLS_client_method()) };
	struct tls_io *io = tls_io_new(f->loop, NULL, NULL);
	uint64_t before = stats[TLS_KTLS_REKEYED];
	SSL *peer = new_peer(f->peer);
	char got[16];

	tls_ktls_count(io, stats);
	assert_int_equal(fcntl(f->peer, F_SETFL, O_NONBLOCK), 0);
	f->conn.stream = tls_stream_connect(io, &client, SPAN("b"),
	    span_of(NULL, 0));
	while (conn_handshake(&f->conn) == CONN_AGAIN ||
	    !SSL_is_init_finished(peer)) {
		(void)SSL_do_handshake(peer);
		f->conn.readable = true;
	}
	/* As if the kernel had taken them. */
	tls_stream_of(&f->conn)->is_ktls = true;
	assert_int_equal(SSL_write(peer, "half", 4), 4);
	assert_int_equal(SSL_key_update(peer, SSL_KEY_UPDATE_REQUESTED), 1);
	assert_int_equal(SSL_do_handshake(peer), 1);
	assert_int_equal(receive(&f->conn, got, sizeof(got)), 4);
	assert_int_equal(receive(&f->conn, got, sizeof(got)), CONN_EOF);
	assert_true(f->conn.is_truncated);
	assert_int_equal(stats[TLS_KTLS_REKEYED], before + 1);
	conn_close(&f->conn, true);
	tls_io_free(io);
	SSL_CTX_free(client.ctx);
	SSL_free(peer);
}

static void
test_told(void **state)
{
	const char *text = tls_ktls_text();

	(void)state;
	assert_int_equal(strncmp(text, "usable", 6) == 0,
	    tls_ktls_in_kernel() && tls_ktls_in_library());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hold, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_behind_what_waits,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_small_buffer, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_end_at_once, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_records_without_room,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_keys, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_demanded_keys_cut, setup,
		    teardown),
		cmocka_unit_test(test_told),
	};

	return cmocka_run_group_tests_name("tls_ktls", tests, NULL, NULL);
}
