/* SPDX-License-Identifier: BSD-2-Clause */
/* conn - receiving, sending and closing of one byte stream. */
#include "net/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/heap_alloc.h"
#include "os/sock.h"

enum { RUNS_MAX = 16 }; /* blocks in one sendmsg */

struct conn_said {
	struct span values[CONN_SAYINGS]; /* in bytes */
	char bytes[];
};

void
conn_init(struct conn *c, struct loop *loop, struct block_pool *pool, int fd,
    loop_event_fn *on_event, deadline_fn *on_deadline)
{
	c->watch = (struct loop_watch){ .on_event = on_event, .fd = fd };
	deadline_init(&c->deadline, on_deadline);
	c->loop = loop;
	c->pool = pool;
	c->stream = NULL;
	c->said = NULL;
	pipe_init(&c->out);
	c->received = 0;
	c->sent = 0;
	c->readable = false;
	c->writable = true;
	c->peer_closed = false;
	c->failed = false;
	c->is_watched = false;
	c->send_closed = false;
	c->is_truncated = false;
	c->is_held = false;
}

void
conn_set_stream(struct conn *c, struct conn_stream *stream)
{
	assert(c->stream == NULL);
	c->stream = stream;
}

int
conn_handshake(struct conn *c)
{
	return c->stream != NULL ? c->stream->ops->handshake(c) : 0;
}

struct span
conn_alpn(const struct conn *c)
{
	return c->stream != NULL ? c->stream->ops->alpn(c)
				 : span_of(NULL, 0);
}

bool
conn_fact(const struct conn *c, enum conn_fact fact, struct str *out)
{
	return c->stream != NULL && c->stream->ops->fact(c, fact, out);
}

void
conn_set_said(struct conn *c, const struct span said[CONN_SAYINGS])
{
	size_t len = 0;

	assert(c->said == NULL);
	for (int i = 0; i < CONN_SAYINGS; i++)
		len += said[i].len;
	if (len == 0)
		return;
	c->said = heap_alloc(sizeof(*c->said) + len);
	len = 0;
	for (int i = 0; i < CONN_SAYINGS; i++) {
		if (said[i].len > 0)
			memcpy(c->said->bytes + len, said[i].p, said[i].len);
		c->said->values[i] = span_of(c->said->bytes + len,
		    said[i].len);
		len += said[i].len;
	}
}

struct span
conn_said(const struct conn *c, enum conn_saying what)
{
	return c->said != NULL ? c->said->values[what] : span_of("", 0);
}

int
conn_move(struct conn *to, struct conn *from, loop_event_fn *on_event,
    deadline_fn *on_deadline)
{
	bool was_watched = from->is_watched;
	int fd = from->watch.fd;

	if (was_watched)
		loop_remove(from->loop, &from->watch);
	deadline_stop(from->loop, &from->deadline);
	*to = *from;
	to->watch = (struct loop_watch){ .on_event = on_event, .fd = fd };
	deadline_init(&to->deadline, on_deadline);
	to->is_watched = false;
	from->watch.fd = -1;
	from->is_watched = false;
	from->stream = NULL;
	from->said = NULL;
	pipe_init(&from->out);
	return was_watched ? conn_watch(to) : 0;
}

int
conn_watch(struct conn *c)
{
	if (c->is_watched)
		return 0;
	if (loop_add_stream(c->loop, &c->watch, c->watch.fd) != 0)
		return -1;
	c->is_watched = true;
	return 0;
}

void
conn_note(struct conn *c, unsigned events)
{
	if ((events & (LOOP_READABLE | LOOP_PEER_CLOSED | LOOP_FAILED)) != 0)
		c->readable = true;
	if ((events & (LOOP_WRITABLE | LOOP_FAILED)) != 0)
		c->writable = true;
	if ((events & LOOP_PEER_CLOSED) != 0)
		c->peer_closed = true;
	if ((events & LOOP_FAILED) != 0)
		c->failed = true;
}

static void
block(struct conn *c, unsigned events)
{
	if (c->is_watched)
		loop_blocked(c->loop, &c->watch, events);
}

ssize_t
conn_receive(struct conn *c, void *p, size_t len)
{
	if (c->stream != NULL)
		return c->stream->ops->receive(c, p, len);
	return conn_receive_raw(c, p, len);
}

ssize_t
conn_receive_raw(struct conn *c, void *p, size_t len)
{
	ssize_t n;

	do
		n = recv(c->watch.fd, p, len, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		c->received += (uint64_t)n;
		if ((size_t)n < len && !c->peer_closed && !c->failed) {
			c->readable = false;
			block(c, LOOP_READABLE);
		}
		return n;
	}
	if (n == 0) {
		c->peer_closed = true;
		return CONN_EOF;
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK) {
		c->readable = false;
		block(c, LOOP_READABLE);
		return CONN_AGAIN;
	}
	c->failed = true;
	return CONN_FAILED;
}

/* What the kernel takes of one run: its length, 0 = none now, -1 = failed. */
static ssize_t
send_run(struct conn *c, struct span bytes)
{
	ssize_t n;

	do
		n = send(c->watch.fd, bytes.p, bytes.len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
		c->failed = true;
		return -1;
	}
	if (n < 0)
		n = 0;
	c->sent += (uint64_t)n;
	if ((size_t)n < bytes.len) {
		c->writable = false;
		block(c, LOOP_WRITABLE);
	}
	return n;
}

int
conn_send(struct conn *c, struct span bytes)
{
	if (c->stream != NULL)
		return c->stream->ops->send(c, bytes);
	return conn_send_raw(c, bytes);
}

int
conn_send_raw(struct conn *c, struct span bytes)
{
	ssize_t n = 0;

	if (bytes.len == 0)
		return 0;
	if (c->out.len == 0 && c->writable) {
		n = send_run(c, bytes);
		if (n < 0)
			return -1;
	}
	if ((size_t)n < bytes.len) {
		pipe_put(&c->out, c->pool, span_of(bytes.p + n,
		    bytes.len - (size_t)n));
		/* From now on it waits: without a watch it would for ever. */
		return conn_watch(c);
	}
	return 0;
}

int
conn_hold(struct conn *c)
{
	c->is_held = true;
	c->writable = false;
	block(c, LOOP_WRITABLE);
	return conn_watch(c);
}

int
conn_flush(struct conn *c)
{
	if (c->writable)
		c->is_held = false;
	while (c->out.len > 0 && c->writable) {
		struct span runs[RUNS_MAX];
		struct iovec iov[RUNS_MAX];
		struct msghdr msg = { .msg_iov = iov };
		size_t count = pipe_peek_many(&c->out, runs, RUNS_MAX);
		size_t total = 0;
		ssize_t n;

		for (size_t i = 0; i < count; i++) {
			union { const char *in; void *out; } u = {
				.in = runs[i].p };

			iov[i].iov_base = u.out;
			iov[i].iov_len = runs[i].len;
			total += runs[i].len;
		}
		msg.msg_iovlen = count;
		do
			n = sendmsg(c->watch.fd, &msg, MSG_NOSIGNAL);
		while (n < 0 && errno == EINTR);
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
			c->failed = true;
			return -1;
		}
		if (n > 0) {
			c->sent += (uint64_t)n;
			pipe_drop(&c->out, c->pool, (size_t)n);
		}
		if (n < 0 || (size_t)n < total) {
			c->writable = false;
			block(c, LOOP_WRITABLE);
		}
	}
	if (c->writable && c->stream != NULL && !c->failed)
		c->stream->ops->drained(c);
	if (c->send_closed && conn_pending(c) == 0)
		(void)shutdown(c->watch.fd, SHUT_WR);
	return 0;
}

void
conn_close_send(struct conn *c)
{
	if (c->send_closed)
		return;
	c->send_closed = true;
	if (c->stream != NULL && !c->failed)
		c->stream->ops->close_send(c);
	if (conn_pending(c) == 0)
		(void)shutdown(c->watch.fd, SHUT_WR);
}

/* All but the descriptor, which is closed next or given away. */
static void
let_go(struct conn *c)
{
	c->is_watched = false;
	c->watch.fd = -1;
	deadline_stop(c->loop, &c->deadline);
	if (c->stream != NULL)
		c->stream->ops->free(c);
	c->stream = NULL;
	free(c->said);
	c->said = NULL;
	pipe_fini(&c->out, c->pool);
}

void
conn_close(struct conn *c, bool reset)
{
	int fd = c->watch.fd;

	if (fd < 0)
		return;
	if (c->stream != NULL && !reset && !c->send_closed && !c->failed)
		c->stream->ops->close_send(c);
	if (c->is_watched)
		loop_forget(c->loop, &c->watch);
	let_go(c);
	if (reset)
		sock_reset(fd);
	else
		close(fd);
}

int
conn_detach(struct conn *c)
{
	int fd = c->watch.fd;

	assert(c->stream == NULL);
	if (c->is_watched)
		loop_remove(c->loop, &c->watch);
	let_go(c);
	return fd;
}
