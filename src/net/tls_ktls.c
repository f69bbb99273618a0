/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_ktls - giving a connection's keys to the kernel, and what follows.
 *
 * OpenSSL asks its BIO for it (the BIO_CTRL_*_KTLS_* of bio.h), whose keys
 * come in the kernel's own form.  From then on bytes go to the socket as they
 * are, and what is not application data (alerts, tickets) in a message that
 * names its type.
 *
 * Hard: the kernel can take bytes of which TCP has no room for the record.  It
 * sends that later, but forgets it when the socket is shut down or closed
 * before.  So once enough was sent since the last look, we look whether TCP has
 * room; where it has none the connection counts as one with bytes waiting
 * (conn_hold()), and close_notify, whose record pushes what is before it, goes
 * out only when there is room again.
 *
 * The kernel cannot be given further keys (before Linux 6.14), which a peer may
 * demand (KeyUpdate, RFC 8446, section 4.6.3): we then hear no more of it, as
 * if it had closed without close_notify.
 */
#include "net/tls_ktls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef __has_include
#if __has_include(<linux/tls.h>)
#include <linux/tls.h>
#endif
#endif

#include "net/tls_private.h"

#if defined(TLS_SET_RECORD_TYPE) && defined(SSL_OP_ENABLE_KTLS) && \
    !defined(OPENSSL_NO_KTLS)
#define IS_BUILT 1
#else
#define IS_BUILT 0
#endif

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

/* Reserved by bio.h, which tells them in a comment. */
enum {
	CTRL_SET_KEYS = 72,
	CTRL_IS_SENDING = 73,
	CTRL_SET_TYPE = 74,
	CTRL_CLEAR_TYPE = 75,
};

enum {
	RECORD_ALERT = 21,
	RECORD_HANDSHAKE = 22,
	UNSURE_BYTES = 8192, /* at most, from one look to the next */
	/* of its buffer, of which a third was free at the last look */
	UNSURE_PART = 10,
	CONNECT_MS = 500, /* at most, to ourselves */
};

static const unsigned char close_notify[2] = { 1, 0 };

static const struct metric rows[TLS_KTLS_ROWS] = {
	[TLS_KTLS_STARTED] = { .name = "connections_total",
		.help = "Connections whose records the kernel makes." },
	[TLS_KTLS_REFUSED] = { .name = "refused_total",
		.help = "Connections with ktls on that the kernel did not "
		    "take." },
	[TLS_KTLS_REKEYED] = { .name = "key_updates_total",
		.help = "Connections that ended since the peer demanded "
		    "new keys." },
};

const struct metric_set tls_ktls_metrics =
    METRIC_SET("ktls", METRIC_SCOPE_PROCESS, rows);

/* ---- is it there? ---- */

bool
tls_ktls_in_kernel(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is_there;

	if (fd < 0)
		return false;
	/* Known: ENOTCONN, for it wants a connection.  Unknown: ENOENT. */
	is_there = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls",
	    sizeof("tls") - 1) == 0 || errno == ENOTCONN;
	close(fd);
	return is_there;
}

#if IS_BUILT

/* Two ends of a connection with ourselves; -1 if there is none. */
static int
connect_pair(int fds[2])
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	void *address = &in;
	socklen_t len = sizeof(in);
	const int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
	int fd = socket(AF_INET, type, 0);
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	fds[0] = socket(AF_INET, type, 0);
	fds[1] = -1;
	/* Whoever else may have come does no harm. */
	if (fd >= 0 && fds[0] >= 0 && bind(fd, address, len) == 0 &&
	    listen(fd, 1) == 0 && getsockname(fd, address, &len) == 0 &&
	    (connect(fds[0], address, len) == 0 || errno == EINPROGRESS) &&
	    poll(&wait, 1, CONNECT_MS) == 1)
		fds[1] = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	if (fds[1] < 0 && fds[0] >= 0)
		close(fds[0]);
	return fds[1] < 0 ? -1 : 0;
}

/* Keys of zeros, which encrypt nothing. */
static void
prepare_cipher(uint16_t cipher, socklen_t len)
{
	union {
		struct tls_crypto_info info;
		char bytes[128];
	} keys = { .info = { .version = TLS_1_2_VERSION,
		.cipher_type = cipher } };
	int fds[2];

	if (connect_pair(fds) != 0)
		return;
	if (setsockopt(fds[1], IPPROTO_TCP, TCP_ULP, "tls",
	    sizeof("tls") - 1) == 0)
		(void)setsockopt(fds[1], SOL_TLS, TLS_TX, &keys, len);
	close(fds[0]);
	close(fds[1]);
}

#endif

bool
tls_ktls_prepare(void)
{
	if (!tls_ktls_in_kernel())
		return false;
#if IS_BUILT
	prepare_cipher(TLS_CIPHER_AES_GCM_128,
	    sizeof(struct tls12_crypto_info_aes_gcm_128));
#ifdef TLS_CIPHER_CHACHA20_POLY1305
	prepare_cipher(TLS_CIPHER_CHACHA20_POLY1305,
	    sizeof(struct tls12_crypto_info_chacha20_poly1305));
#endif
#endif
	return true;
}

bool
tls_ktls_in_library(void)
{
	return IS_BUILT;
}

const char *
tls_ktls_text(void)
{
	static const char *const texts[2][2] = {
		{ "not usable (kernel: no, OpenSSL: no)",
		    "not usable (kernel: no, OpenSSL: yes)" },
		{ "not usable (kernel: yes, OpenSSL: no)",
		    "usable (kernel: yes, OpenSSL: yes)" },
	};

	return texts[tls_ktls_in_kernel()][tls_ktls_in_library()];
}

/* ---- counting ---- */

void
tls_ktls_count(struct tls_io *io, _Atomic uint64_t *stats)
{
	io->ktls_stats = stats;
}

static void
count(const struct tls_io *io, int row)
{
	if (io->ktls_stats != NULL)
		counter_add(&io->ktls_stats[row], 1);
}

#if !IS_BUILT

void
tls_ktls_want(struct tls_stream *t)
{
	(void)t;
}

long
tls_ktls_ctrl(struct tls_io *io, int command, long number, void *p)
{
	(void)io;
	(void)command;
	(void)number;
	(void)p;
	return 0;
}

void
tls_ktls_write(struct tls_stream *t, struct conn *c, struct span bytes)
{
	(void)t;
	(void)bytes;
	c->failed = true;
}

int
tls_ktls_send(struct tls_stream *t, struct conn *c, struct span bytes)
{
	(void)t;
	(void)c;
	(void)bytes;
	return -1;
}

void
tls_ktls_drained(struct tls_stream *t, struct conn *c)
{
	(void)t;
	(void)c;
}

bool
tls_ktls_must_end(struct tls_stream *t)
{
	(void)t;
	return false;
}

#else

/* ---- the keys ---- */

void
tls_ktls_want(struct tls_stream *t)
{
	if (!t->io->lacks_ktls)
		SSL_set_options(t->ssl, SSL_OP_ENABLE_KTLS);
}

/* How much the kernel wants to see of it; 0: not a cipher that we know. */
static socklen_t
keys_len(const struct tls_crypto_info *info)
{
	switch (info->cipher_type) {
	case TLS_CIPHER_AES_GCM_128:
		return sizeof(struct tls12_crypto_info_aes_gcm_128);
	case TLS_CIPHER_AES_GCM_256:
		return sizeof(struct tls12_crypto_info_aes_gcm_256);
	case TLS_CIPHER_AES_CCM_128:
		return sizeof(struct tls12_crypto_info_aes_ccm_128);
#ifdef TLS_CIPHER_CHACHA20_POLY1305
	case TLS_CIPHER_CHACHA20_POLY1305:
		return sizeof(struct tls12_crypto_info_chacha20_poly1305);
#endif
	default:
		return 0;
	}
}

/* What is sent from now on is for the kernel to encrypt; or false. */
static bool
give_keys(struct tls_io *io, const struct tls_crypto_info *info)
{
	struct conn *c = io->conn;
	socklen_t len = keys_len(info);

	/* These are records already: they go first, or it is too late. */
	tls_io_flush(io);
	if (len == 0 || c->failed || conn_pending(c) > 0)
		return false;
	if (setsockopt(c->watch.fd, IPPROTO_TCP, TCP_ULP, "tls",
	    sizeof("tls") - 1) != 0) {
		io->lacks_ktls = errno == ENOENT || errno == ENOPROTOOPT;
		return false;
	}
	/* Refused, the socket goes on as it was. */
	return setsockopt(c->watch.fd, SOL_TLS, TLS_TX, info, len) == 0;
}

long
tls_ktls_ctrl(struct tls_io *io, int command, long number, void *p)
{
	struct tls_stream *t = io->stream;

	switch (command) {
	case CTRL_SET_KEYS:
		if (number == 0)
			return 0; /* those of the receiving direction */
		t->is_ktls = give_keys(io, p);
		count(io, t->is_ktls ? TLS_KTLS_STARTED : TLS_KTLS_REFUSED);
		return t->is_ktls;
	case CTRL_IS_SENDING:
		return t->is_ktls;
	case CTRL_SET_TYPE:
		t->record_type = (unsigned char)number;
		return 1;
	case CTRL_CLEAR_TYPE:
		t->record_type = 0;
		return 1;
	default:
		return 0;
	}
}

/* ---- sending ---- */

/* One record that is no application data: true, or false and errno. */
static bool
send_record(struct conn *c, unsigned char type, struct span bytes)
{
	union { const char *in; void *out; } content = { .in = bytes.p };
	union {
		char bytes[CMSG_SPACE(sizeof(type))];
		struct cmsghdr align;
	} control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = content.out, .iov_len = bytes.len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
	ssize_t n;

	head->cmsg_level = SOL_TLS;
	head->cmsg_type = TLS_SET_RECORD_TYPE;
	head->cmsg_len = CMSG_LEN(sizeof(type));
	memcpy(CMSG_DATA(head), &type, sizeof(type));
	do
		n = sendmsg(c->watch.fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)bytes.len)
		return true;
	if (n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
		c->failed = true;
	return false;
}

/* With room in TCP, all that the kernel has taken is or can be on its way. */
static void
look_for_room(struct tls_stream *t, struct conn *c)
{
	struct pollfd fd = { .fd = c->watch.fd, .events = POLLOUT };

	t->unsure_bytes = 0;
	if (poll(&fd, 1, 0) == 0)
		(void)conn_hold(c);
}

/* The last record, when all before it is the kernel's. */
static void
send_end(struct tls_stream *t, struct conn *c)
{
	if (c->out.len == 0 && t->unsure_bytes > 0)
		look_for_room(t, c);
	t->owes_end = conn_pending(c) > 0;
	if (t->owes_end || send_record(c, RECORD_ALERT,
	    span_of((const char *)close_notify, sizeof(close_notify))) ||
	    c->failed)
		return;
	t->owes_end = true;
	(void)conn_hold(c);
}

void
tls_ktls_write(struct tls_stream *t, struct conn *c, struct span bytes)
{
	unsigned char type = t->record_type;

	t->record_type = 0;
	if (c->failed)
		return;
	if (type == 0) {
		(void)tls_ktls_send(t, c, bytes);
		return;
	}
	if (type == RECORD_ALERT && bytes.len == sizeof(close_notify) &&
	    bytes.p[1] == 0) {
		send_end(t, c);
		return;
	}
	/*
	 * Passes bytes that wait, which belong to other records.  An alert or a
	 * ticket for which there is no room is left out; a handshake cannot be.
	 */
	if (!send_record(c, type, bytes) && type == RECORD_HANDSHAKE &&
	    SSL_version(t->ssl) < TLS1_3_VERSION)
		c->failed = true;
}

/* Less than this TCP has room for, when it had room at the last look. */
static size_t
unsure_max(const struct conn *c)
{
	int bytes = 0;
	socklen_t len = sizeof(bytes);

	if (getsockopt(c->watch.fd, SOL_SOCKET, SO_SNDBUF, &bytes, &len) !=
	    0 || bytes / UNSURE_PART < 1)
		return 1;
	return bytes / UNSURE_PART < UNSURE_BYTES
	    ? (size_t)(bytes / UNSURE_PART) : UNSURE_BYTES;
}

int
tls_ktls_send(struct tls_stream *t, struct conn *c, struct span bytes)
{
	if (conn_send_raw(c, bytes) != 0)
		return -1;
	t->unsure_bytes += bytes.len;
	/* Once: it may grow, but does not get smaller. */
	if (t->unsure_max == 0)
		t->unsure_max = unsure_max(c);
	if (c->out.len == 0 && t->unsure_bytes >= t->unsure_max)
		look_for_room(t, c);
	return 0;
}

void
tls_ktls_drained(struct tls_stream *t, struct conn *c)
{
	if (!t->is_ktls)
		return;
	look_for_room(t, c);
	if (t->owes_end)
		send_end(t, c);
}

/* ---- receiving ---- */

bool
tls_ktls_must_end(struct tls_stream *t)
{
	if (!t->is_ktls ||
	    SSL_get_key_update_type(t->ssl) == SSL_KEY_UPDATE_NONE)
		return false;
	count(t->io, TLS_KTLS_REKEYED);
	return true;
}

#endif
