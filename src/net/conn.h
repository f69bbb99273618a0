/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn - one byte stream of a peer, watched by the loop.
 *
 * Remembers readiness between edges, holds what the kernel did not take, and
 * has the one deadline of its state.  Who makes the bytes (plain, later TLS)
 * is hidden behind conn_receive() and conn_send().
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

struct conn_stream_ops;

struct conn {
	struct loop_watch watch; /* watch.fd is the socket, -1 = closed */
	struct deadline deadline;
	struct loop *loop;
	struct block_pool *pool; /* of `out` */
	struct pipe out;         /* bytes that the kernel refused so far */
	uint64_t received;       /* bytes, in all */
	uint64_t sent;           /* bytes that the kernel took, in all */
	bool readable;
	bool writable;
	bool peer_closed;  /* FIN seen by the loop; data may still wait */
	bool failed;       /* reset or other error: reads and writes fail */
	bool is_watched;
	bool send_closed;  /* we sent FIN */
};

enum { CONN_EOF = 0, CONN_AGAIN = -1, CONN_FAILED = -2 };

/* Takes fd.  Not yet watched: conn_watch() when it first has to wait. */
void conn_init(struct conn *c, struct loop *loop, struct block_pool *pool,
    int fd, loop_event_fn *on_event, deadline_fn *on_deadline);
/* -1 with errno: out of memory for watches. */
int conn_watch(struct conn *c);
/* Note what the loop reported. */
void conn_note(struct conn *c, unsigned events);

/*
 * Receive at most len bytes: > 0, or CONN_EOF, CONN_AGAIN, CONN_FAILED (errno
 * kept).  A short read counts as drained, unless the peer closed.
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
	return c->out.len;
}
/* No more will be sent: FIN, once `out` is empty (the caller sees to it). */
void conn_close_send(struct conn *c);
/* Closes; with reset the peer sees RST rather than FIN. */
void conn_close(struct conn *c, bool reset);
/* Give the descriptor away, unwatched; the conn is then closed. */
int conn_detach(struct conn *c);

#endif
