/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_keys_client - handshakes of this process that wait for signatures.
 *
 * A handshake runs as a job of OpenSSL's, on a stack of its own.  When it needs
 * a signature, the request is queued and the job suspended; when the answer has
 * come, the connection's own event is called, the handshake goes on inside the
 * job, and the signature is there.  What waits lies on the job's stack: it ends
 * with the answer, the time, or the connection, whose stream lets the job run
 * to its end before it goes.
 *
 * When the signer dies, what was sent is sent once more to its successor.
 */
#include <assert.h>
#include <errno.h>
#include <openssl/async.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"
#include "net/tls_keys_private.h"
#include "os/deadline.h"
#include "os/fdpass.h"
#include "os/loop.h"

enum { TRIES_MAX = 2, RECONNECT_MS = 50 };

struct tls_keys_client {
	struct tls_keys *keys;
	struct tls_io *io;
	struct loop *loop;
	struct loop_watch watch; /* -1: not connected */
	struct deadline again;   /* to connect */
	struct list waiting;     /* struct tls_keys_wait, oldest first */
	struct list sent;
	unsigned on_way;         /* sent, also for who has gone meanwhile */
	unsigned count;          /* of both */
	uint32_t sequence;
	_Atomic uint64_t *stats;
	_Atomic uint64_t no_stats[TLS_KEYS_ROWS];
};

enum wait_state { WAIT_QUEUED, WAIT_SENT, WAIT_DONE, WAIT_FAILED };

struct tls_keys_wait {
	struct list node;
	struct tls_keys_client *client;
	struct tls_stream *stream;
	struct conn *conn;
	const struct tls_keys_request *request;
	struct deadline deadline;
	enum wait_state state;
	unsigned tries;
	uint32_t sequence;
	unsigned char *signature;
	size_t len, size;
};

static const struct metric rows[TLS_KEYS_ROWS] = {
	[TLS_KEYS_SIGNED] = { .name = "signed_total",
		.help = "Signatures that the signer made." },
	[TLS_KEYS_REFUSED] = { .name = "failed_total",
		.help = "Handshakes without the signature, by reason.",
		.label = "reason=\"refused\"" },
	[TLS_KEYS_TIMED_OUT] = { .name = "failed_total",
		.label = "reason=\"timeout\"" },
	[TLS_KEYS_FULL] = { .name = "failed_total",
		.label = "reason=\"queue_full\"" },
	[TLS_KEYS_LOST] = { .name = "failed_total",
		.label = "reason=\"signer_died\"" },
	[TLS_KEYS_WAITING] = { .name = "waiting",
		.help = "Handshakes that wait for the signer.",
		.type = METRIC_GAUGE },
};

const struct metric_set tls_keys_client_metrics =
    METRIC_SET("keys", METRIC_SCOPE_PROCESS, rows);

static void pump(struct tls_keys_client *c);

/* ---- one that waits ---- */

static void
take_off(struct tls_keys_wait *w)
{
	struct tls_keys_client *c = w->client;

	list_remove(&w->node);
	deadline_stop(c->loop, &w->deadline);
	c->count--;
	counter_set(&c->stats[TLS_KEYS_WAITING], c->count);
}

/* It goes on, from its connection's own event; w is gone afterwards. */
static void
resume(struct tls_keys_wait *w, enum wait_state state)
{
	struct conn *conn = w->conn;

	take_off(w);
	w->state = state;
	conn->readable = true;
	conn->watch.on_event(&conn->watch, LOOP_READABLE);
}

static void
fail(struct tls_keys_wait *w, unsigned row, const char *why)
{
	counter_add(&w->client->stats[row], 1);
	if (w->stream->why == NULL)
		w->stream->why = strdup(why);
	resume(w, WAIT_FAILED);
}

static void
on_timeout(struct deadline *d)
{
	fail(LIST_OF(d, struct tls_keys_wait, deadline), TLS_KEYS_TIMED_OUT,
	    "the signer did not answer in time");
}

/* ---- the connection with the signer ---- */

static void
disconnect(struct tls_keys_client *c)
{
	if (c->watch.fd < 0)
		return;
	loop_remove(c->loop, &c->watch);
	close(c->watch.fd);
	c->watch.fd = -1;
	c->on_way = 0;
}

/* The signer has gone: what it had is for the next one, but once only. */
static void
on_lost(struct tls_keys_client *c)
{
	struct list dead;

	disconnect(c);
	list_init(&dead);
	while (!list_is_empty(&c->sent)) {
		struct tls_keys_wait *w = LIST_OF(c->sent.prev,
		    struct tls_keys_wait, node);

		list_remove(&w->node);
		w->state = WAIT_QUEUED;
		list_push_front(w->tries < TRIES_MAX ? &c->waiting : &dead,
		    &w->node);
	}
	while (!list_is_empty(&dead))
		fail(LIST_OF(dead.next, struct tls_keys_wait, node),
		    TLS_KEYS_LOST, "the signer has died");
	pump(c);
}

static void
on_answer(struct tls_keys_client *c,
    const struct tls_keys_response *response)
{
	LIST_EACH(&c->sent, node, after) {
		struct tls_keys_wait *w = LIST_OF(node, struct tls_keys_wait,
		    node);

		if (w->sequence != response->sequence)
			continue;
		if (response->len == 0 || response->len > w->size) {
			fail(w, TLS_KEYS_REFUSED, "the signer refused");
			return;
		}
		memcpy(w->signature, response->signature, response->len);
		w->len = response->len;
		counter_add(&c->stats[TLS_KEYS_SIGNED], 1);
		resume(w, WAIT_DONE);
		return;
	}
}

static void
on_readable(struct loop_watch *watch, unsigned events)
{
	struct tls_keys_client *c = LIST_OF(watch, struct tls_keys_client,
	    watch);
	const size_t head = offsetof(struct tls_keys_response, signature);
	struct tls_keys_response response;

	(void)events;
	for (int i = 0; i < TLS_KEYS_SENT_MAX && c->watch.fd >= 0; i++) {
		ssize_t n = recv(c->watch.fd, &response, sizeof(response),
		    MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < (ssize_t)head || c->on_way == 0 ||
		    (size_t)n != head + response.len) {
			on_lost(c);
			return;
		}
		c->on_way--;
		on_answer(c, &response);
	}
	pump(c);
}

static int
connect_signer(struct tls_keys_client *c)
{
	int fds[2];

	if (fdpass_pair(fds) != 0)
		return -1;
	if (fdpass_send(c->keys->desk[0], "", 1, &fds[1], 1) != 0 ||
	    loop_add_reader(c->loop, &c->watch, fds[0], false) != 0) {
		close(fds[0]);
		close(fds[1]);
		return -1;
	}
	c->watch.fd = fds[0];
	close(fds[1]);
	return 0;
}

/* False: later. */
static bool
send_one(struct tls_keys_client *c, struct tls_keys_wait *w)
{
	struct tls_keys_request request = *w->request;
	size_t len = offsetof(struct tls_keys_request, input) + request.len;

	request.sequence = ++c->sequence;
	if (send(c->watch.fd, &request, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return false;
	list_remove(&w->node);
	list_push_back(&c->sent, &w->node);
	w->state = WAIT_SENT;
	w->sequence = request.sequence;
	w->tries++;
	c->on_way++;
	return true;
}

/* Send what may be sent; the rest goes with the next answer. */
static void
pump(struct tls_keys_client *c)
{
	while (!list_is_empty(&c->waiting) &&
	    c->on_way < TLS_KEYS_SENT_MAX) {
		if (c->watch.fd < 0 && (c->again.at_ms != DEADLINE_NEVER ||
		    connect_signer(c) != 0)) {
			/* A successor may come, until they time out. */
			if (c->again.at_ms == DEADLINE_NEVER)
				deadline_set(c->loop, &c->again,
				    now_ms() + RECONNECT_MS);
			return;
		}
		if (!send_one(c, LIST_OF(c->waiting.next,
		    struct tls_keys_wait, node)))
			return; /* its death, or an answer, comes next */
	}
}

static void
on_again(struct deadline *d)
{
	pump(LIST_OF(d, struct tls_keys_client, again));
}

/* ---- in a job ---- */

static int
refuse(struct tls_stream *t, const char *why)
{
	if (t->why == NULL)
		t->why = strdup(why);
	return -1;
}

int
tls_keys_client_sign(struct tls_keys *k,
    const struct tls_keys_request *request, unsigned char *signature,
    size_t *len, size_t size)
{
	struct tls_keys_client *c = k->client;
	struct tls_stream *t = c != NULL && c->io != NULL
	    ? c->io->stream : NULL;
	struct tls_keys_wait w = { .client = c, .stream = t,
		.request = request, .signature = signature, .size = size };

	if (t == NULL || ASYNC_get_current_job() == NULL)
		return -1;
	if (t->is_leaving)
		return -1;
	if (c->count >= TLS_KEYS_WAIT_MAX) {
		counter_add(&c->stats[TLS_KEYS_FULL], 1);
		return refuse(t, "too many handshakes wait for the signer");
	}
	w.conn = c->io->conn;
	deadline_init(&w.deadline, on_timeout);
	deadline_set(c->loop, &w.deadline, now_ms() + TLS_KEYS_TIMEOUT_MS);
	list_push_back(&c->waiting, &w.node);
	c->count++;
	counter_set(&c->stats[TLS_KEYS_WAITING], c->count);
	t->signing = &w;
	pump(c);
	while (w.state < WAIT_DONE)
		ASYNC_pause_job();
	t->signing = NULL;
	*len = w.len;
	return w.state == WAIT_DONE ? 0 : -1;
}

bool
tls_keys_client_is_waiting(const struct tls_stream *t)
{
	return t->signing != NULL && t->signing->state < WAIT_DONE;
}

void
tls_keys_client_cancel(struct tls_stream *t)
{
	struct tls_keys_wait *w = t->signing;

	if (w == NULL)
		return;
	if (w->state < WAIT_DONE)
		take_off(w);
	w->state = WAIT_FAILED;
}

/* ---- life ---- */

struct tls_keys_client *
tls_keys_client_new(struct tls_keys *k, struct tls_io *io, struct loop *loop,
    _Atomic uint64_t *stats)
{
	struct tls_keys_client *c;

	assert(k->client == NULL);
	c = heap_alloc_zeroed(1, sizeof(*c));
	c->keys = k;
	c->io = io;
	c->loop = loop;
	c->stats = stats != NULL ? stats : c->no_stats;
	c->watch = (struct loop_watch){ .on_event = on_readable, .fd = -1 };
	deadline_init(&c->again, on_again);
	deadline_clear(&c->again);
	list_init(&c->waiting);
	list_init(&c->sent);
	/* One job more than can wait: it finds out that it is one too many. */
	if (ASYNC_init_thread(TLS_KEYS_WAIT_MAX + 1, 0) != 1)
		abort();
	k->client = c;
	return c;
}

void
tls_keys_client_free(struct tls_keys_client *c)
{
	if (c == NULL)
		return;
	disconnect(c);
	deadline_stop(c->loop, &c->again);
	c->keys->client = NULL;
	/* A job that is suspended would be lost with its stack. */
	if (c->count == 0)
		ASYNC_cleanup_thread();
	free(c);
}
