/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_io - the scratch and the one BIO of all TLS connections of a process.
 *
 * The BIO knows whose turn it is: it reads from what was just received and
 * gathers what is to be sent.  Where the kernel makes the records (tls_ktls),
 * nothing is gathered any more.
 */
#include "net/tls_io.h"

#include <assert.h>
#include <openssl/bio.h>
#include <stdlib.h>

#include "base/heap_alloc.h"
#include "net/tls_keys.h"
#include "net/tls_private.h"

enum { OUT_BYTES = 131072 };

static int
bio_read(BIO *bio, char *p, int len)
{
	struct tls_io *io = BIO_get_data(bio);
	size_t n = io->in.len < (size_t)len ? io->in.len : (size_t)len;

	BIO_clear_retry_flags(bio);
	if (n == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(p, io->in.p, n);
	io->in = span_of(io->in.p + n, io->in.len - n);
	return (int)n;
}

void
tls_io_flush(struct tls_io *io)
{
	size_t len = io->out_len;

	io->out_len = 0;
	if (len > 0 && !io->conn->failed)
		(void)conn_send_raw(io->conn, span_of(io->out_memory, len));
}

static int
bio_write(BIO *bio, const char *p, int len)
{
	struct tls_io *io = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (len <= 0)
		return 0;
	if (io->stream->is_ktls) {
		tls_ktls_write(io->stream, io->conn, span_of(p, (size_t)len));
		return len;
	}
	assert(len <= OUT_BYTES);
	if (io->out_len + (size_t)len > OUT_BYTES)
		tls_io_flush(io);
	memcpy(io->out_memory + io->out_len, p, (size_t)len);
	io->out_len += (size_t)len;
	return len;
}

static long
bio_ctrl(BIO *bio, int command, long number, void *p)
{
	struct tls_io *io = BIO_get_data(bio);

	/* It is written when the turn is over, and never refused. */
	if (command == BIO_CTRL_FLUSH)
		return 1;
	return io->stream != NULL ? tls_ktls_ctrl(io, command, number, p) : 0;
}

struct tls_io *
tls_io_new(struct loop *loop, struct tls_session_zone *sessions,
    _Atomic uint64_t *keys_stats)
{
	struct tls_io *io = heap_alloc_zeroed(1, sizeof(*io));

	io->loop = loop;
	io->sessions = sessions;
	io->keys_stats = keys_stats;
	io->in_memory = heap_alloc(TLS_IO_IN_BYTES);
	io->out_memory = heap_alloc(OUT_BYTES);
	io->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK,
	    "weir");
	if (io->method == NULL)
		abort();
	BIO_meth_set_read(io->method, bio_read);
	BIO_meth_set_write(io->method, bio_write);
	BIO_meth_set_ctrl(io->method, bio_ctrl);
	io->bio = BIO_new(io->method);
	if (io->bio == NULL)
		abort();
	BIO_set_data(io->bio, io);
	BIO_set_init(io->bio, 1);
	return io;
}

void
tls_io_free(struct tls_io *io)
{
	if (io == NULL)
		return;
	tls_keys_client_free(io->keys);
	BIO_free(io->bio);
	BIO_meth_free(io->method);
	free(io->in_memory);
	free(io->early_memory);
	free(io->out_memory);
	free(io);
}
