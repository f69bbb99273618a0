/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn - one byte stream of a peer, watched by the loop.
 *
 * Remembers readiness between edges, holds what the kernel did not take, and
 * has the one deadline of its state.  The bytes are the socket's own, or those
 * of a stream laid over it (TLS: tls_stream.h), which nobody above needs to
 * know: conn_receive() and conn_send() are the same.  What waits in `out` is
 * what goes on the wire: a stream has made its records of it already.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/pipe.h"
#include "base/span.h"
#include "os/loop.h"

struct conn;
struct str;

/* What can be told of a stream; see conn_fact(). */
enum conn_fact {
	CONN_FACT_VERSION,     /* "TLSv1.3" */
	CONN_FACT_CIPHER,
	CONN_FACT_SERVER_NAME, /* that the client asked for */
	CONN_FACT_ALPN,
	CONN_FACT_RESUMED,     /* "1" or "0" */
	CONN_FACT_PEER_SUBJECT, /* of the peer's certificate, RFC 2253 */
	CONN_FACT_PEER_ISSUER,
	CONN_FACT_PEER_SERIAL, /* hexadecimal */
	CONN_FACT_PEER_FINGERPRINT, /* SHA-256, hexadecimal */
	CONN_FACT_PEER_NAMES,  /* "DNS:a,IP:b": its alternative names */
	CONN_FACT_PEER_VERIFY, /* "ok", "none", or what is wrong */
	CONN_FACT_WHY,         /* what went wrong with the stream */
};

/* How a stream over the socket works; it is the first member of its struct. */
struct conn_stream_ops {
	/* As conn_handshake(), _receive(), _send(). */
	int (*handshake)(struct conn *c);
	ssize_t (*receive)(struct conn *c, void *p, size_t len);
	int (*send)(struct conn *c, struct span bytes);
	/* Its own end of sending, before FIN. */
	void (*close_send)(struct conn *c);
	/* `out` is empty and there is room: before FIN.  May conn_hold(). */
	void (*drained)(struct conn *c);
	void (*free)(struct conn *c);
	struct span (*alpn)(const struct conn *c);
	bool (*fact)(const struct conn *c, enum conn_fact fact,
	    struct str *out);
};

struct conn_stream {
	const struct conn_stream_ops *ops;
	uint64_t given; /* bytes that conn_send() was given */
	/* What comes was sent before the handshake was over (RFC 8446, 2.3). */
	bool is_early;
};

/* What a proxy in front has said of its client's connection. */
enum conn_saying {
	CONN_SAID_AUTHORITY, /* the server name that was asked for */
	CONN_SAID_ALPN,
	CONN_SAID_UNIQUE_ID, /* any bytes */
	CONN_SAYINGS,
};

struct conn_said;

struct conn {
	struct loop_watch watch; /* watch.fd is the socket, -1 = closed */
	struct deadline deadline;
	struct loop *loop;
	struct block_pool *pool; /* of `out` */
	struct conn_stream *stream; /* NULL: the socket's bytes as they are */
	struct conn_said *said;  /* heap, mostly NULL */
	struct pipe out;         /* bytes that the kernel refused so far */
	uint64_t received;       /* bytes given to the owner, in all */
	uint64_t sent;           /* bytes that the kernel took, in all */
	bool readable;
	bool writable;
	bool peer_closed;  /* FIN seen by the loop; data may still wait */
	bool failed;       /* reset or other error: reads and writes fail */
	bool is_watched;
	bool send_closed;  /* we sent FIN, or will once `out` is empty */
	bool is_truncated; /* it ended without the stream's own end */
	bool is_held;      /* see conn_hold() */
};

enum { CONN_EOF = 0, CONN_AGAIN = -1, CONN_FAILED = -2,
	CONN_REFUSED = -3 }; /* of a handshake: the certificate is no good */

/* Takes fd.  Not yet watched: conn_watch() when it first has to wait. */
void conn_init(struct conn *c, struct loop *loop, struct block_pool *pool,
    int fd, loop_event_fn *on_event, deadline_fn *on_deadline);
/* -1 with errno: out of memory for watches. */
int conn_watch(struct conn *c);
/*
 * Lay a stream over the socket, before the first byte; takes it.  Then call
 * conn_handshake() until it is done, before anything is received or sent.
 */
void conn_set_stream(struct conn *c, struct conn_stream *stream);
/*
 * 0 = done, CONN_AGAIN (call again when readable), CONN_FAILED (also an end of
 * the peer's), CONN_REFUSED; CONN_FACT_WHY tells more.  What it sends and the
 * kernel refuses waits in `out`.  A plain conn is done.
 */
int conn_handshake(struct conn *c);
/*
 * Give a live connection to another struct: descriptor, stream, readiness, and
 * what waits in `out`.  `from` is then as if closed.  -1 with errno: no memory
 * to watch it; `to` is then to be closed.
 */
int conn_move(struct conn *to, struct conn *from, loop_event_fn *on_event,
    deadline_fn *on_deadline);
/* Is it encrypted? */
static inline bool
conn_is_secure(const struct conn *c)
{
	return c->stream != NULL;
}
/* May what comes now be a replay? */
static inline bool
conn_is_early(const struct conn *c)
{
	return c->stream != NULL && c->stream->is_early;
}
/* The protocol that was negotiated; empty if none was, or without TLS. */
struct span conn_alpn(const struct conn *c);
/* Write a fact of the stream; false if there is none, or it is empty. */
bool conn_fact(const struct conn *c, enum conn_fact fact, struct str *out);
/* Keep copies of what was said; nothing if all are empty. */
void conn_set_said(struct conn *c, const struct span said[CONN_SAYINGS]);
/* Empty if nothing was said. */
struct span conn_said(const struct conn *c, enum conn_saying what);
/* Note what the loop reported. */
void conn_note(struct conn *c, unsigned events);

/*
 * Receive at most len bytes: > 0, or CONN_EOF, CONN_AGAIN, CONN_FAILED (errno
 * kept).  A short read counts as drained, unless the peer closed.  At CONN_EOF
 * is_truncated says that somebody on the way may have cut it (RFC 8446, 6.1).
 */
ssize_t conn_receive(struct conn *c, void *p, size_t len);
/*
 * Send, or keep what the kernel refuses in c->out (all of it, while something
 * waits there already), watched from then on.  0, or -1 when the stream has
 * failed.
 */
int conn_send(struct conn *c, struct span bytes);
/* Send from c->out what the kernel takes.  0, or -1 as above. */
int conn_flush(struct conn *c);
static inline size_t
conn_pending(const struct conn *c)
{
	return c->out.len + (c->is_held ? 1 : 0);
}
/* Bytes that conn_send() was given, whether they have left or not. */
static inline uint64_t
conn_given(const struct conn *c)
{
	return c->stream != NULL ? c->stream->given : c->sent + c->out.len;
}
/* No more will be sent: FIN, once `out` is empty. */
void conn_close_send(struct conn *c);
/* Closes; with reset the peer sees RST rather than FIN. */
void conn_close(struct conn *c, bool reset);
/* Give the descriptor of a plain conn away, unwatched; it is then closed. */
int conn_detach(struct conn *c);

/* ---- for streams: the socket's own bytes ---- */

ssize_t conn_receive_raw(struct conn *c, void *p, size_t len);
int conn_send_raw(struct conn *c, struct span bytes);
/*
 * What the kernel took may still be lost: the connection is as one with bytes
 * pending until the socket is writable again.  -1: no memory to watch it.
 */
int conn_hold(struct conn *c);

#endif
