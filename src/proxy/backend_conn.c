/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend_conn - the backend's end of exchanges, over HTTP/1: its life, from
 * the connect to the pool and the end.
 *
 * An exchange may end inside any call made to it, and this connection with
 * it: after each such call bc->ex and bc->state are looked at again.  The
 * memory stays until the end of the turn.
 */
#include "proxy/backend_conn.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/backend_conn_private.h"
#include "proxy/backend_h2.h"
#include "proxy/queue.h"
#include "proxy/relay.h"

size_t
backend_conn_bytes(void)
{
	return sizeof(struct backend_conn);
}

/* ---- life and death ---- */

static void on_event(struct loop_watch *w, unsigned events);
static void on_deadline(struct deadline *d);
static void on_task(struct loop_task *t);

struct backend_conn *
backend_conn_new(struct proxy *proxy, const struct backend *backend, int fd,
    uint32_t tenancy)
{
	struct backend_conn *bc = slab_get(&proxy->backends);

	memset(bc, 0, sizeof(*bc));
	conn_init(&bc->conn, proxy->loop, &proxy->blocks, fd, on_event,
	    on_deadline);
	bc->magic = BACKEND_CONN_MAGIC;
	bc->proxy = proxy;
	bc->item.backend = backend;
	bc->item.tenancy = tenancy;
	/* Who is behind a hop, the lane's key does not say. */
	bc->item.is_parkable = backend->tls == NULL &&
	    !backend->group->conf->has_via;
	list_init(&bc->item.by_backend);
	list_init(&bc->item.by_age);
	loop_task_init(&bc->task, on_task);
	counter_add(&proxy->stats[PROXY_STAT_BACKEND_OPEN], 1);
	return bc;
}

/* What this exchange moved over the wire. */
static void
book_bytes(struct backend_conn *bc)
{
	if (bc->ex == NULL)
		return;
	bc->ex->up_bytes_out += conn_given(&bc->conn) - bc->given_before;
	bc->ex->up_bytes_in += bc->conn.received - bc->received_before;
	bc->ex->up_accepted = bc->conn.sent > bc->sent_before;
}

void
backend_conn_leave(struct backend_conn *bc)
{
	book_bytes(bc);
	if (bc->ex != NULL) {
		bc->ex->backend_conn = NULL;
		exchange_leave_backend(bc->ex);
	}
	bc->ex = NULL;
	h1_body_fini(&bc->body);
	/* The last piece of a body may lie there, and is still to be sent. */
	if (bc->head != NULL) {
		free(bc->old_head);
		bc->old_head = bc->head;
		bc->head = NULL;
	}
	bc->head_len = 0;
	bc->head_size = 0;
}

/* The one way to die; the descriptor is closed or given away already. */
void
backend_conn_die(struct backend_conn *bc)
{
	struct proxy *proxy = bc->proxy;

	backend_conn_leave(bc);
	if (bc->for_h2)
		backend_h2_connect_ended(proxy, bc->item.backend);
	bc->for_h2 = false;
	bc->state = STATE_CLOSED;
	bc->next_dead = proxy->dead_backends;
	proxy->dead_backends = bc;
	counter_sub(&proxy->stats[PROXY_STAT_BACKEND_OPEN], 1);
	loop_defer(proxy->loop, &proxy->bury);
	if (bc->is_limited) {
		bc->is_limited = false;
		backend_give_connection(bc->item.backend);
		queue_room(proxy, bc->item.backend);
	}
}

void
backend_conn_drop(struct backend_conn *bc)
{
	if (bc->state == STATE_CLOSED)
		return;
	proxy_forget_out(bc->proxy, &bc->conn);
	conn_close(&bc->conn, false);
	backend_conn_die(bc);
}

void
backend_conn_bury(struct proxy *proxy)
{
	struct backend_conn *bc = proxy->dead_backends;

	proxy->dead_backends = NULL;
	while (bc != NULL) {
		struct backend_conn *next = bc->next_dead;

		if (bc->task.is_queued) {
			/* Its turn comes; then it can go. */
			bc->next_dead = proxy->dead_backends;
			proxy->dead_backends = bc;
			loop_defer(proxy->loop, &proxy->bury);
		} else {
			free(bc->old_head);
			free(bc->name);
			free(bc->via);
			bc->magic = 0;
			slab_put(&proxy->backends, bc);
		}
		bc = next;
	}
}

/* This try is over for the exchange; the reason is the last word. */
void
backend_conn_fail(struct backend_conn *bc, enum reason reason,
    const char *detail)
{
	struct exchange *ex = bc->ex;

	/* What was composed and not sent was not accepted. */
	proxy_forget_out(bc->proxy, &bc->conn);
	backend_conn_drop(bc);
	if (ex != NULL)
		exchange_on_backend_failed(ex, reason, detail);
}

/* ---- the pool's side ---- */

static void
pool_close(struct pool_item *item)
{
	backend_conn_drop(LIST_OF(item, struct backend_conn, item));
}

static int
pool_detach(struct pool_item *item)
{
	struct backend_conn *bc = LIST_OF(item, struct backend_conn, item);
	int fd = conn_detach(&bc->conn);

	backend_conn_die(bc);
	return fd;
}

const struct pool_ops backend_conn_pool_ops = {
	.close = pool_close,
	.detach = pool_detach,
};

void
backend_conn_attach(struct backend_conn *bc, struct exchange *ex)
{
	bc->ex = ex;
	bc->sent_before = bc->conn.sent;
	bc->given_before = conn_given(&bc->conn);
	bc->received_before = bc->conn.received;
	bc->h1 = (struct h1_state){ .checked = 0 };
	bc->interim_count = 0;
	bc->head_done = false;
	bc->request_ended = false;
	bc->tunnel_ended = false;
	bc->response_ended = false;
	bc->keep_alive = false;
	bc->keep_alive_s = 0;
	ex->backend_conn = bc;
	ex->backend_ops = &backend_conn_send_ops;
	exchange_enter_backend(ex);
}

/* ---- events ---- */

static void
on_task(struct loop_task *t)
{
	struct backend_conn *bc = LIST_OF(t, struct backend_conn, task);
	struct proxy *proxy = bc->proxy;

	if (bc->state == STATE_ACTIVE)
		backend_conn_receive(bc);
	else if (bc->state == STATE_VIA)
		backend_conn_open_via(bc);
	proxy_flush(proxy);
}

static void
on_idle_event(struct backend_conn *bc)
{
	ssize_t n;
	char byte;

	if (!bc->conn.readable)
		return;
	n = conn_receive(&bc->conn, &byte, 1);
	if (n == CONN_AGAIN)
		return; /* TLS of its own: a ticket */
	pool_remove(bc->proxy->pool, &bc->item);
	if (n > 0)
		counter_add(&bc->proxy->stats[PROXY_STAT_UNEXPECTED_DATA], 1);
	backend_conn_drop(bc);
}

static void
on_event(struct loop_watch *w, unsigned events)
{
	struct backend_conn *bc =
	    LIST_OF(w, struct backend_conn, conn.watch);
	struct proxy *proxy = bc->proxy;

	assert(bc->magic == BACKEND_CONN_MAGIC);
	conn_note(&bc->conn, events);
	switch (bc->state) {
	case STATE_CONNECTING:
		if ((events & (LOOP_WRITABLE | LOOP_FAILED)) != 0)
			backend_conn_open_ended(bc);
		break;
	case STATE_VIA:
		if (bc->conn.writable)
			(void)conn_flush(&bc->conn);
		if (bc->conn.readable)
			backend_conn_open_via(bc);
		break;
	case STATE_HANDSHAKE:
		if (bc->conn.writable)
			(void)conn_flush(&bc->conn);
		if (bc->conn.readable)
			backend_conn_open_shake(bc);
		break;
	case STATE_ACTIVE:
		if ((events & LOOP_WRITABLE) != 0 && bc->ex != NULL)
			backend_conn_send_rest(bc);
		if (bc->state == STATE_ACTIVE && bc->conn.readable)
			backend_conn_receive(bc);
		break;
	case STATE_IDLE:
		on_idle_event(bc);
		break;
	case STATE_CLOSED:
	default:
		break;
	}
	proxy_flush(proxy);
}

static void
on_deadline(struct deadline *d)
{
	struct backend_conn *bc =
	    LIST_OF(d, struct backend_conn, conn.deadline);
	struct proxy *proxy = bc->proxy;
	struct exchange *ex = bc->ex;

	assert(bc->magic == BACKEND_CONN_MAGIC);
	if (ex == NULL)
		return;
	if (bc->state < STATE_ACTIVE) {
		backend_conn_open_late(bc);
	} else if (ex->is_tunnel) {
		backend_conn_fail(bc, REASON_BACKEND_READ_TIMEOUT,
		    "idle tunnel");
	} else if (conn_pending(&bc->conn) > 0) {
		backend_conn_fail(bc, REASON_BACKEND_WRITE_TIMEOUT, NULL);
	} else if (!bc->head_done && bc->request_ended) {
		backend_conn_fail(bc, REASON_BACKEND_FIRST_BYTE_TIMEOUT, NULL);
	} else if (bc->head_done && !bc->response_ended &&
	    relay_response_room(ex) > 0) {
		backend_conn_fail(bc, REASON_BACKEND_READ_TIMEOUT, NULL);
	} else {
		/* It is the client that we wait for, and it has its own. */
		backend_conn_arm(bc, ex->route->timeouts.between_bytes_ms);
	}
	proxy_flush(proxy);
}
