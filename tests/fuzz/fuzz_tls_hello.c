/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What clients send first, through the whole of it: records, ClientHello, and
 * the callbacks that look at its server name, its protocols, its ticket and
 * its wish for an OCSP response.  All at once, and in pieces.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "conf/report.h"
#include "net/tls_ctx.h"
#include "net/tls_private.h"
#include "net/tls_stream.h"
#include "os/loop.h"
#include "pair.h"
#include "splits.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { PIECES = 5, BYTES_MAX = 65536 };

static struct loop *loop;
static struct block_pool blocks;
static struct tls_io *io;
static struct tls_server *server;

static void
write_file(char *path, const char *text)
{
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void
make_server(void)
{
	static const char *const alpn[] = { "h2", "http/1.1", NULL };
	static char cert[] = "/tmp/weir-fuzz-XXXXXX";
	static char key[] = "/tmp/weir-fuzz-XXXXXX";
	static const struct tls_server_conf conf = {
		.pair = { .cert = cert, .key = key },
		.policy.profile = TLS_PROFILE_INTERMEDIATE,
		.tickets = true,
		.handshake_timeout_ms = 1000,
	};
	struct tls_ctx_about about = { .name = "fuzz", .alpn = alpn,
		.report = conf_report_new() };
	struct error err;

	write_file(cert, pair_cert);
	write_file(key, pair_key);
	server = tls_ctx_server_new(&conf, &about);
	CHECK(server != NULL);
	unlink(cert);
	unlink(key);
	conf_report_free(about.report);
	loop = loop_new(LOOP_POLL, &err);
	CHECK(loop != NULL);
	block_pool_init(&blocks, 1 << 20);
	io = tls_io_new(loop, NULL, NULL);
}

static void
ignore_event(struct loop_watch *w, unsigned events)
{
	(void)w;
	(void)events;
}

static void
ignore_deadline(struct deadline *d)
{
	(void)d;
}

/* An alert or the server's part of the handshake: nobody reads it. */
static void
shake(const uint8_t *bytes, size_t len, unsigned pieces)
{
	struct conn c;
	int fds[2], result;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	conn_init(&c, loop, &blocks, fds[0], ignore_event, ignore_deadline);
	conn_set_stream(&c, tls_stream_accept(io, server));
	for (unsigned i = 0; i < pieces; i++) {
		size_t n = i + 1 < pieces ? len / pieces : len;

		CHECK(send(fds[1], bytes, n, MSG_NOSIGNAL) == (ssize_t)n);
		bytes += n;
		len -= n;
		c.readable = true;
		/* No key is agreed on by what was written down before. */
		result = conn_handshake(&c);
		CHECK(result != 0);
		if (result != CONN_AGAIN)
			break;
	}
	conn_close(&c, false);
	close(fds[1]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (len > BYTES_MAX)
		return 0;
	if (server == NULL)
		make_server();
	shake(bytes, len, 1);
	shake(bytes, len, PIECES);
	return 0;
}
