/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client_conn - the client's end of exchanges, over HTTP/1: its life, from the
 * accept to the end.
 *
 * As with backend_conn, an exchange and this connection may end inside any
 * call made to the exchange: c->ex and c->state are looked at again afterwards.
 */
#include "proxy/client_conn.h"

#include <stdlib.h>
#include <string.h>

#include "os/sock.h"
#include "proxy/client_conn_private.h"
#include "proxy/client_send.h"

size_t
client_conn_bytes(void)
{
	return sizeof(struct client_conn);
}

static void on_event(struct loop_watch *w, unsigned events);
static void on_deadline(struct deadline *d);
static void on_task(struct loop_task *t);

/* ---- life and death ---- */

/*
 * A whole request has come with the connection: until it is answered there is
 * nothing to wait for but the client's leaving.  Most are answered and closed
 * before that is worth a system call, so it is watched a little later.
 */
static void
watch_later(struct client_conn *c)
{
	struct proxy *proxy = c->proxy;

	if (list_is_empty(&proxy->unwatched))
		deadline_set(proxy->loop, &proxy->watch_late,
		    now_ms() + WATCH_LATE_MS);
	list_push_back(&proxy->unwatched, &c->unwatched);
}

void
client_conn_set_idle(struct client_conn *c)
{
	list_remove(&c->unwatched);
	c->state = STATE_IDLE;
	counter_add(&c->proxy->stats[PROXY_STAT_CONN_IDLE], 1);
	client_conn_arm(c, client_conn_service(c)->core->keepalive_timeout_ms);
}

/* The one way to die. */
void
client_conn_drop(struct client_conn *c, bool reset)
{
	struct proxy *proxy = c->proxy;

	if (c->state == STATE_CLOSED)
		return;
	client_conn_leave_idle(c);
	assert(c->ex == NULL);
	c->state = STATE_CLOSED;
	proxy_forget_out(proxy, &c->conn);
	conn_close(&c->conn, reset);
	list_remove(&c->all);
	list_remove(&c->unwatched);
	counter_sub(&proxy->stats[PROXY_STAT_CONN_OPEN], 1);
	c->next_dead = proxy->dead_clients;
	proxy->dead_clients = c;
	loop_defer(proxy->loop, &proxy->bury);
	proxy_client_gone(proxy, c->is_admin);
}

static void
give_up(struct client_conn *c)
{
	if (c->ex != NULL)
		exchange_on_client_failed(c->ex, REASON_CLIENT_GONE,
		    "no memory to watch it");
	if (c->ex == NULL)
		client_conn_drop(c, true);
}

void
client_conn_watch_late(struct proxy *proxy)
{
	LIST_EACH(&proxy->unwatched, node, after) {
		struct client_conn *c =
		    LIST_OF(node, struct client_conn, unwatched);

		if (client_conn_watch(c) != 0)
			give_up(c);
	}
	proxy_flush(proxy);
}

void
client_conn_bury(struct proxy *proxy)
{
	struct client_conn *c = proxy->dead_clients;

	proxy->dead_clients = NULL;
	while (c != NULL) {
		struct client_conn *next = c->next_dead;

		if (c->task.is_queued || c->is_reading) {
			c->next_dead = proxy->dead_clients;
			proxy->dead_clients = c;
			loop_defer(proxy->loop, &proxy->bury);
		} else {
			free(c->kept);
			c->magic = 0;
			slab_put(&proxy->clients, c);
		}
		c = next;
	}
}

void
client_conn_open(struct proxy *proxy, const struct listener_spec *spec,
    int fd, const struct addr *peer)
{
	struct client_conn *c = slab_get(&proxy->clients);

	memset(c, 0, sizeof(*c));
	conn_init(&c->conn, proxy->loop, &proxy->blocks, fd, on_event,
	    on_deadline);
	c->magic = CLIENT_CONN_MAGIC;
	c->proxy = proxy;
	c->spec = spec;
	c->is_admin = spec->is_admin;
	c->id = ++proxy->next_connection_id;
	addr_ip_from(&c->peer, peer);
	loop_task_init(&c->task, on_task);
	list_init(&c->unwatched);
	list_push_back(&proxy->client_list, &c->all);
	counter_add(&proxy->stats[PROXY_STAT_CONNECTIONS], 1);
	counter_add(&proxy->stats[PROXY_STAT_CONN_OPEN], 1);
	c->conn.readable = true; /* with TCP_DEFER_ACCEPT it mostly is */
	if (spec->proxy_protocol)
		client_begin_proxy(c);
	else
		client_begin_stream(c);
	if (c->state == STATE_EXCHANGE && c->body_done && !c->ex->is_tunnel &&
	    !c->conn.is_watched)
		watch_later(c);
	else if (c->state != STATE_CLOSED && client_conn_watch(c) != 0)
		give_up(c);
	proxy_flush(proxy);
}

/* ---- what an exchange asks of it ---- */

static void
resume(struct exchange *ex)
{
	struct client_conn *c = client_conn_of(ex);

	if (c->is_reading || c->task.is_queued)
		return;
	/* Not now: the scratch may be in use further up the stack. */
	if (c->conn.readable || (ex->is_tunnel && c->kept != NULL))
		loop_defer(c->proxy->loop, &c->task);
}

static void
cut(struct exchange *ex)
{
	client_conn_of(ex)->was_cut = true;
}

static struct addr_ip
peer(const struct exchange *ex)
{
	return client_conn_of(ex)->peer;
}

static void
local(const struct exchange *ex, struct addr *addr)
{
	sock_local(client_conn_of(ex)->conn.watch.fd, addr);
}

static const struct conn *
conn_of(const struct exchange *ex)
{
	return &client_conn_of(ex)->conn;
}

static uint64_t
connection_id(const struct exchange *ex)
{
	return client_conn_of(ex)->id;
}

static uint32_t
connection_requests(const struct exchange *ex)
{
	return client_conn_of(ex)->requests;
}

const struct client_ops client_conn_ops = {
	.send_interim = client_send_interim,
	.send_head = client_send_head,
	.send_body = client_send_body,
	.send_end = client_send_end,
	.room = client_send_room,
	.resume = resume,
	.cut = cut,
	.book_bytes = client_finish_book_bytes,
	.finished = client_finish,
	.peer = peer,
	.local = local,
	.conn = conn_of,
	.connection_id = connection_id,
	.connection_requests = connection_requests,
};

/* ---- events ---- */

static void
on_task(struct loop_task *t)
{
	struct client_conn *c = LIST_OF(t, struct client_conn, task);
	struct proxy *proxy = c->proxy;

	if (c->state != STATE_CLOSED)
		client_receive(c);
	proxy_flush(proxy);
}

static void
on_event(struct loop_watch *w, unsigned events)
{
	struct client_conn *c = LIST_OF(w, struct client_conn, conn.watch);
	struct proxy *proxy = c->proxy;

	assert(c->magic == CLIENT_CONN_MAGIC);
	if (c->state == STATE_CLOSED)
		return;
	conn_note(&c->conn, events);
	if ((events & (LOOP_WRITABLE | LOOP_FAILED)) != 0)
		client_send_rest(c);
	if (c->state == STATE_PROXY && c->conn.readable)
		client_begin_read_proxy(c);
	else if (c->state == STATE_HANDSHAKE && c->conn.readable)
		client_begin_shake(c);
	else if (c->state != STATE_CLOSED && c->conn.readable)
		client_receive(c);
	/* Waiting for the backend, nothing is read: the loop tells of a FIN. */
	if (c->state == STATE_EXCHANGE && (c->conn.failed ||
	    (c->conn.peer_closed && c->body_done &&
	    !c->ex->is_tunnel && !c->ex->core->half_close)))
		exchange_on_client_failed(c->ex, REASON_CLIENT_GONE,
		    c->conn.failed ? "connection reset"
				   : "connection closed");
	proxy_flush(proxy);
}

static void
on_deadline(struct deadline *d)
{
	struct client_conn *c =
	    LIST_OF(d, struct client_conn, conn.deadline);
	struct proxy *proxy = c->proxy;

	assert(c->magic == CLIENT_CONN_MAGIC);
	switch (c->state) {
	case STATE_PROXY:
		client_begin_refuse(c, "took too long");
		break;
	case STATE_HANDSHAKE:
		client_begin_failed(c, PROXY_STAT_TLS_TIMEOUT, "took too long");
		break;
	case STATE_HEAD:
		client_receive_timed_out(c);
		break;
	case STATE_EXCHANGE:
		client_wait_expired(&c->wait, c->ex, &c->conn.deadline,
		    c->conn.sent, c->body_done);
		break;
	case STATE_LAST:
		client_conn_drop(c, true);
		break;
	case STATE_IDLE:
	case STATE_LINGER:
		client_conn_drop(c, false);
		break;
	case STATE_CLOSED:
	default:
		break;
	}
	proxy_flush(proxy);
}

/* ---- the end of a drain ---- */

bool
client_conn_serves_admin(const struct proxy *proxy)
{
	LIST_EACH(&proxy->client_list, node, after) {
		const struct client_conn *c =
		    LIST_OF(node, struct client_conn, all);

		if (c->is_admin && c->state < STATE_LINGER &&
		    (c->state != STATE_IDLE || c->requests == 0))
			return true;
	}
	return false;
}

static void
cut_exchange(struct client_conn *c)
{
	c->was_cut = true;
	exchange_on_client_failed(c->ex, REASON_DRAIN_CUT, NULL);
}

void
client_conn_cut_all(struct proxy *proxy, struct proxy_cut *cut)
{
	LIST_EACH(&proxy->client_list, node, after) {
		struct client_conn *c = LIST_OF(node, struct client_conn, all);

		bool is_idle_admin = c->is_admin && c->state == STATE_IDLE;

		if (c->ex == NULL) {
			cut->idle += !c->spec->is_admin;
		} else {
			cut->requests += !c->ex->is_tunnel;
			cut->tunnels += c->ex->is_tunnel;
			cut_exchange(c);
		}
		client_conn_drop(c, !is_idle_admin);
	}
	proxy_flush(proxy);
}

unsigned
client_conn_cut_tunnels(struct proxy *proxy, uint64_t drained_ms)
{
	unsigned count = 0;

	LIST_EACH(&proxy->client_list, node, after) {
		struct client_conn *c = LIST_OF(node, struct client_conn, all);
		uint64_t most;

		if (c->ex == NULL || !c->ex->is_tunnel)
			continue;
		most = c->ex->core->tunnel_shutdown_timeout_ms;
		if (most == 0 || drained_ms < most)
			continue;
		cut_exchange(c);
		client_conn_drop(c, true);
		count++;
	}
	proxy_flush(proxy);
	return count;
}
