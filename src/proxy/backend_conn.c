/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend_conn - the backend's end of exchanges, over HTTP/1.
 *
 * An exchange may end inside any call made to it, and this connection with
 * it: after each such call bc->ex and bc->state are looked at again.  The
 * memory stays until the end of the turn.
 */
#include "proxy/backend_conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap_alloc.h"
#include "base/now.h"
#include "base/str.h"
#include "conf/template.h"
#include "http/h1_body.h"
#include "http/h1_write.h"
#include "http/hop.h"
#include "http/websocket.h"
#include "metrics/histogram.h"
#include "net/proxyproto.h"
#include "net/tls_stream.h"
#include "os/sock.h"
#include "proxy/backend_h2.h"
#include "proxy/exchange_private.h"
#include "proxy/proxy_private.h"
#include "proxy/queue.h"
#include "proxy/relay.h"
#include "proxy/route.h"
#include "upstream/group.h"
#include "upstream/pool.h"

enum { BACKEND_CONN_MAGIC = 0x62636f6e, SPARE_FIELDS = 8,
	CHUNK_LINE_MAX = 4096, NAME_MAX_BYTES = 256 };

enum backend_conn_state {
	STATE_CONNECTING,
	STATE_HANDSHAKE, /* of TLS */
	STATE_ACTIVE, /* has an exchange */
	STATE_IDLE,   /* in the pool */
	STATE_CLOSED, /* waits for the end of the turn */
};

struct backend_conn {
	struct conn conn;
	uint32_t magic;
	enum backend_conn_state state;
	struct pool_item item;
	struct proxy *proxy;
	struct exchange *ex;
	struct backend_conn *next_dead;
	struct loop_task task;  /* read on, outside of the current event */
	struct h1_body body;    /* of the response */
	struct h1_state h1;
	char *accept;           /* of a key of ours; in the exchange's arena */
	char *head;             /* an incomplete head; heap, or NULL */
	size_t head_len, head_size;
	char *old_head;         /* of the exchange that just left */
	uint64_t sent_before;   /* conn.sent when this exchange began */
	uint64_t given_before;
	char *name;             /* asked for in the handshake; heap, or NULL */
	uint64_t received_before;
	uint32_t interim_count;
	unsigned seen;          /* addresses of its name tried so far */
	struct addr *connecting_to; /* in the exchange's arena */
	uint32_t keep_alive_s;  /* the backend's Keep-Alive: timeout */
	bool head_done;
	bool chunked;           /* the request's framing */
	bool request_ended;
	bool tunnel_ended;      /* by the client */
	bool response_ended;
	bool keep_alive;
	bool is_limited;        /* counts against max_connections */
	bool for_h2;            /* so far: a connection for HTTP/2 */
	bool is_reading;        /* on the stack: resume has nothing to do */
};

size_t
backend_conn_bytes(void)
{
	return sizeof(struct backend_conn);
}

static struct backend_conn *
of_exchange(const struct exchange *ex)
{
	struct backend_conn *bc = ex->backend_conn;

	assert(bc->magic == BACKEND_CONN_MAGIC && bc->ex == ex);
	return bc;
}

/* ---- life and death ---- */

static void on_event(struct loop_watch *w, unsigned events);
static void on_deadline(struct deadline *d);
static void on_task(struct loop_task *t);

static struct backend_conn *
conn_new(struct proxy *proxy, const struct backend *backend, int fd)
{
	struct backend_conn *bc = slab_get(&proxy->backends);

	memset(bc, 0, sizeof(*bc));
	conn_init(&bc->conn, proxy->loop, &proxy->blocks, fd, on_event,
	    on_deadline);
	bc->magic = BACKEND_CONN_MAGIC;
	bc->proxy = proxy;
	bc->item.backend = backend;
	bc->item.is_parkable = backend->tls == NULL;
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

static void
leave_exchange(struct backend_conn *bc)
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
static void
die(struct backend_conn *bc)
{
	struct proxy *proxy = bc->proxy;

	leave_exchange(bc);
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

static void
drop(struct backend_conn *bc)
{
	if (bc->state == STATE_CLOSED)
		return;
	proxy_forget_out(bc->proxy, &bc->conn);
	conn_close(&bc->conn, false);
	die(bc);
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
			bc->magic = 0;
			slab_put(&proxy->backends, bc);
		}
		bc = next;
	}
}

/* This try is over for the exchange; the reason is the last word. */
static void
fail(struct backend_conn *bc, enum reason reason, const char *detail)
{
	struct exchange *ex = bc->ex;

	/* What was composed and not sent was not accepted. */
	proxy_forget_out(bc->proxy, &bc->conn);
	drop(bc);
	if (ex != NULL)
		exchange_on_backend_failed(ex, reason, detail);
}

/* ---- the pool's side ---- */

static void
pool_close(struct pool_item *item)
{
	drop(LIST_OF(item, struct backend_conn, item));
}

static int
pool_detach(struct pool_item *item)
{
	struct backend_conn *bc = LIST_OF(item, struct backend_conn, item);
	int fd = conn_detach(&bc->conn);

	die(bc);
	return fd;
}

const struct pool_ops backend_conn_pool_ops = {
	.close = pool_close,
	.detach = pool_detach,
};

/* ---- opening ---- */

static const struct backend_ops ops;

static void
attach(struct backend_conn *bc, struct exchange *ex)
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
	ex->backend_ops = &ops;
	exchange_enter_backend(ex);
}

static void
count(struct exchange *ex, enum proxy_stat stat, enum upstream_stat up)
{
	counter_add(&ex->proxy->stats[stat], 1);
	proxy_count_upstream(ex, up);
}

/*
 * The name to ask a backend's TLS for, in memory or borrowed; empty = none.
 * An address is no name (RFC 6066, section 3).
 */
static struct span
server_name(struct exchange *ex, char *memory)
{
	const struct backend *b = ex->backend;
	const struct template *sni = b->tls_conf->sni;
	struct addr_ip ip;
	struct str out;

	if (sni == NULL)
		return b->is_name ? span_cstr(b->spec->host)
				  : span_of(NULL, 0);
	str_init(&out, memory, NAME_MAX_BYTES);
	template_eval(sni, ex, &out);
	if (out.overflow || addr_ip_parse(str_view(&out), &ip) == 0)
		return span_of(NULL, 0);
	return str_view(&out);
}

/*
 * The worker's own idle one that was made under the same terms: where the name
 * follows from the request, for the same name.
 */
static struct pool_item *
take_item(struct exchange *ex)
{
	struct pool *pool = ex->proxy->pool;
	char memory[NAME_MAX_BYTES];
	struct span text;

	if (ex->backend->tls == NULL || ex->backend->tls_conf->sni == NULL ||
	    template_is_constant(ex->backend->tls_conf->sni, &text))
		return pool_take(pool, ex->backend);
	return pool_take_terms(pool, ex->backend, server_name(ex, memory));
}

static bool
take_idle(struct exchange *ex)
{
	struct proxy *proxy = ex->proxy;
	struct pool_item *item;
	struct backend_conn *bc;
	struct lane_meta meta;
	int fd;

	while ((item = take_item(ex)) != NULL) {
		bc = LIST_OF(item, struct backend_conn, item);
		if (bc->conn.readable || bc->conn.peer_closed) {
			drop(bc); /* its close was seen in this turn */
			continue;
		}
		bc->state = STATE_ACTIVE;
		attach(bc, ex);
		count(ex, PROXY_STAT_REUSED, UPSTREAM_STAT_REUSED);
		return true;
	}
	if (ex->backend->tls != NULL)
		return false;
	fd = pool_take_parked(proxy->pool, ex->backend, &meta);
	if (fd < 0)
		return false;
	bc = conn_new(proxy, ex->backend, fd);
	bc->item.served = meta.served;
	bc->item.peer = meta.peer;
	bc->state = STATE_ACTIVE;
	if (conn_watch(&bc->conn) != 0) {
		drop(bc);
		return false;
	}
	attach(bc, ex);
	count(ex, PROXY_STAT_TAKEN, UPSTREAM_STAT_TAKEN);
	return true;
}

static enum reason
reason_of_errno(int error)
{
	switch (error) {
	case ECONNREFUSED:
	case ENOENT:
		return REASON_CONNECT_REFUSED;
	case ETIMEDOUT:
		return REASON_CONNECT_TIMEOUT;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
		return REASON_OUT_OF_RESOURCES;
	default:
		return REASON_CONNECT_FAILED;
	}
}

static const char *
errno_detail(struct exchange *ex, int error)
{
	return arena_strdup(&ex->arena, strerror(error));
}

/*
 * Begin a connect to the next address that is left; 0 or an errno.  *pending:
 * the loop will tell.
 */
static int
connect_next(struct exchange *ex, struct backend_conn **out,
    unsigned *seen, bool *pending)
{
	struct proxy *proxy = ex->proxy;
	struct addr addr;
	int error = EHOSTUNREACH;

	while (group_address(ex->group, ex->backend, seen, &addr) == 0) {
		struct backend_conn *bc;
		int fd = sock_connect(&addr, pending);

		if (fd < 0) {
			error = errno;
			group_address_failed(ex->group, ex->backend, &addr);
			continue;
		}
		bc = conn_new(proxy, ex->backend, fd);
		addr_ip_from(&bc->item.peer, &addr);
		bc->seen = *seen;
		bc->connecting_to = arena_alloc(&ex->arena, sizeof(addr));
		*bc->connecting_to = addr;
		if (conn_watch(&bc->conn) != 0) {
			error = errno;
			drop(bc);
			return error;
		}
		*out = bc;
		return 0;
	}
	return error;
}

static const char *
why(struct backend_conn *bc)
{
	char memory[1024];
	struct str out;

	str_init(&out, memory, sizeof(memory));
	if (!conn_fact(&bc->conn, CONN_FACT_WHY, &out))
		return NULL;
	return arena_dup(&bc->ex->arena, str_view(&out));
}

/* The connection stands: it may be one for HTTP/2. */
static void
established(struct backend_conn *bc)
{
	struct exchange *ex = bc->ex;

	bc->state = STATE_ACTIVE;
	bc->sent_before = bc->conn.sent;
	deadline_clear(&bc->conn.deadline);
	if (backend_h2_is_spoken(ex, &bc->conn)) {
		leave_exchange(bc);
		backend_h2_take(ex, &bc->conn, bc->is_limited);
		bc->is_limited = false;
		die(bc);
	} else if (bc->for_h2) {
		bc->for_h2 = false;
		backend_h2_connect_ended(bc->proxy, ex->backend);
	}
}

static void
shake(struct backend_conn *bc)
{
	struct exchange *ex = bc->ex;

	switch (conn_handshake(&bc->conn)) {
	case 0:
		established(bc);
		exchange_on_connected(ex, false);
		break;
	case CONN_AGAIN:
		break;
	case CONN_REFUSED:
		ex->force_close = true;
		fail(bc, REASON_BACKEND_CERTIFICATE, why(bc));
		break;
	default:
		fail(bc, REASON_BACKEND_TLS_FAILED, why(bc));
		break;
	}
}

/* Say who the client is, before anything else; a failure shows later. */
static void
say_proxy(struct backend_conn *bc)
{
	struct exchange *ex = bc->ex;
	unsigned version = ex->group->conf->proxy_protocol;
	char memory[PROXYPROTO_V1_MAX + 1];
	struct addr_ip server;
	struct addr local;
	struct str out;

	if (version == 0)
		return;
	ex->client_ops->local(ex, &local);
	addr_ip_from(&server, &local);
	str_init(&out, memory, sizeof(memory));
	proxyproto_write(&out, version, &ex->client_ip, &server);
	(void)!conn_send(&bc->conn, str_view(&out));
	bc->sent_before = bc->conn.sent;
	bc->given_before = conn_given(&bc->conn);
}

/* The connection stands; 0, or an errno.  The loop will tell the rest. */
static int
begin_handshake(struct backend_conn *bc)
{
	struct exchange *ex = bc->ex;
	const struct backend *b = ex->backend;
	char memory[NAME_MAX_BYTES];
	struct span name = server_name(ex, memory);
	struct conn_stream *stream = tls_stream_connect(bc->proxy->tls,
	    b->tls, b->name, name);

	if (stream == NULL)
		return ENOMEM;
	if (ex->group->conf->protocol != GROUP_H1 &&
	    !backend_h2_is_wanted(ex))
		tls_stream_offer_h1(stream);
	conn_set_stream(&bc->conn, stream);
	bc->given_before = 0;
	bc->state = STATE_HANDSHAKE;
	if (b->tls_conf->sni != NULL && name.len > 0 &&
	    name.p == memory) {
		bc->name = heap_alloc(name.len);
		memcpy(bc->name, name.p, name.len);
		bc->item.terms = span_of(bc->name, name.len);
	}
	deadline_set(bc->proxy->loop, &bc->conn.deadline,
	    now_ms() + ex->route->timeouts.connect_ms);
	/* It only sends: an answer cannot have come yet. */
	(void)conn_handshake(&bc->conn);
	return 0;
}

/* May there be one more connection?  An idle one of other terms makes room. */
static bool
take_room(struct exchange *ex)
{
	const struct backend *b = ex->backend;

	return backend_take_connection(b) ||
	    (pool_close_one(ex->proxy->pool, b) &&
	    backend_take_connection(b));
}

/* EBUSY: there is no room. */
static int
connect_fresh(struct exchange *ex, unsigned seen, bool *pending)
{
	struct backend_conn *bc = NULL;
	bool is_limited = ex->backend->limit != 0;
	int error;

	if (is_limited && !take_room(ex))
		return EBUSY;
	error = connect_next(ex, &bc, &seen, pending);
	if (error != 0) {
		if (is_limited)
			backend_give_connection(ex->backend);
		return error;
	}
	bc->is_limited = is_limited;
	attach(bc, ex);
	if (backend_h2_is_wanted(ex)) {
		bc->for_h2 = true;
		backend_h2_connect_began(ex->proxy, ex->backend);
	}
	if (!*pending)
		say_proxy(bc);
	if (!*pending && ex->backend->tls != NULL) {
		*pending = true;
		error = begin_handshake(bc);
		if (error != 0)
			drop(bc);
		return error;
	}
	if (*pending) {
		bc->state = STATE_CONNECTING;
		bc->conn.writable = false;
		deadline_set(ex->proxy->loop, &bc->conn.deadline,
		    now_ms() + ex->route->timeouts.connect_ms);
	} else {
		established(bc);
	}
	return 0;
}

enum backend_conn_result
backend_conn_open(struct exchange *ex, bool may_reuse, enum reason *reason,
    const char **detail)
{
	bool pending = false;
	int error;

	if (backend_h2_is_wanted(ex)) {
		switch (backend_h2_open(ex, may_reuse)) {
		case BACKEND_H2_READY:
			proxy_count_upstream(ex, UPSTREAM_STAT_REQUESTS);
			count(ex, PROXY_STAT_REUSED, UPSTREAM_STAT_REUSED);
			return BACKEND_CONN_READY;
		case BACKEND_H2_PENDING:
			proxy_count_upstream(ex, UPSTREAM_STAT_REQUESTS);
			return BACKEND_CONN_PENDING;
		case BACKEND_H2_CONNECT:
		default:
			break;
		}
	}
	if (may_reuse && (ex->group->conf->protocol != GROUP_H2 ||
	    ex->up_h1_only) && take_idle(ex)) {
		proxy_count_upstream(ex, UPSTREAM_STAT_REQUESTS);
		ex->reused = true;
		return BACKEND_CONN_READY;
	}
	error = connect_fresh(ex, 0, &pending);
	if (error == EBUSY && ex->backend->limit != 0)
		return BACKEND_CONN_FULL;
	proxy_count_upstream(ex, UPSTREAM_STAT_REQUESTS);
	if (error != 0) {
		counter_add(&ex->proxy->stats[PROXY_STAT_CONNECT_FAILURES], 1);
		*reason = reason_of_errno(error);
		*detail = errno_detail(ex, error);
		return BACKEND_CONN_FAILED;
	}
	count(ex, PROXY_STAT_CONNECTS, UPSTREAM_STAT_CONNECTS);
	return pending ? BACKEND_CONN_PENDING : BACKEND_CONN_READY;
}

void
backend_conn_connect(struct exchange *ex)
{
	bool pending = false;
	int error = connect_fresh(ex, 0, &pending);

	if (error != 0) {
		counter_add(&ex->proxy->stats[PROXY_STAT_CONNECT_FAILURES], 1);
		exchange_on_backend_failed(ex, reason_of_errno(error),
		    errno_detail(ex, error));
		return;
	}
	count(ex, PROXY_STAT_CONNECTS, UPSTREAM_STAT_CONNECTS);
	if (!pending)
		exchange_on_connected(ex, false);
}

/* The connect has come to an end, well or not. */
static void
connect_ended(struct backend_conn *bc)
{
	struct exchange *ex = bc->ex;
	int error = sock_error(bc->conn.watch.fd);
	unsigned seen = bc->seen;
	bool pending = false;
	int again;

	if (error == 0)
		say_proxy(bc);
	if (error == 0 && ex->backend->tls != NULL) {
		bc->conn.failed = false;
		error = begin_handshake(bc);
		if (error == 0)
			return;
	} else if (error == 0) {
		bc->conn.failed = false;
		established(bc);
		exchange_on_connected(ex, false);
		return;
	}
	group_address_failed(ex->group, ex->backend, bc->connecting_to);
	drop(bc);
	again = connect_fresh(ex, seen, &pending);
	if (again == 0 && !pending)
		exchange_on_connected(ex, false);
	if (again == 0)
		return;
	counter_add(&ex->proxy->stats[PROXY_STAT_CONNECT_FAILURES], 1);
	exchange_on_backend_failed(ex, reason_of_errno(error),
	    errno_detail(ex, error));
}

/* ---- sending ---- */

static void
arm(struct backend_conn *bc, uint64_t wait_ms)
{
	deadline_set(bc->proxy->loop, &bc->conn.deadline, now_ms() + wait_ms);
}

/* Will the pool take the connection back after this request? */
static bool
keeps(const struct backend_conn *bc)
{
	const struct group_keepalive *k = &bc->ex->group->conf->keepalive;

	return k->idle_timeout_ms != 0 && k->idle_max != 0 &&
	    bc->ex->group->conf->proxy_protocol == 0 &&
	    (k->requests_max == 0 || bc->item.served + 1 < k->requests_max);
}

/* A client over HTTP/2 has no key: weir asks in its place. */
static void
ask_with_key(struct backend_conn *bc)
{
	struct exchange *ex = bc->ex;
	struct http_fields *fields = &ex->up_req.fields;
	char key[WEBSOCKET_KEY_BYTES + 1];

	bc->accept = NULL;
	if (!ex->up_req.upgrade_websocket || !ex->req.is_h2)
		return;
	websocket_key(key);
	http_fields_set(fields, &ex->arena, SPAN("Sec-WebSocket-Key"),
	    span_cstr(arena_strdup(&ex->arena, key)));
	bc->accept = arena_alloc(&ex->arena, WEBSOCKET_ACCEPT_BYTES + 1);
	websocket_accept(span_of(key, WEBSOCKET_KEY_BYTES), bc->accept);
}

/* Did the backend understand it? */
static bool
is_key_answered(const struct backend_conn *bc,
    const struct http_response *res)
{
	const struct http_field *f;

	if (res->status != 101 || bc->accept == NULL)
		return true;
	f = http_fields_find(&res->fields, SPAN("Sec-WebSocket-Accept"));
	return f != NULL && span_eq(http_field_value(f),
	    span_cstr(bc->accept));
}

static void
send_head(struct exchange *ex)
{
	struct backend_conn *bc = of_exchange(ex);
	struct str *out = proxy_out(ex->proxy, &bc->conn);
	const struct http_request *req = &ex->up_req;
	struct h1_framing framing = {
		.framing = (enum http_framing)req->framing,
		.content_length = req->content_length,
		.upgrade_websocket = req->upgrade_websocket,
		.te_trailers = req->te_trailers,
		.close = !keeps(bc),
	};

	ask_with_key(bc);
	/* Handlers may change a body's length. */
	if (req->framing == HTTP_FRAMING_LENGTH &&
	    ex->route->phases.chains[PHASE_REQUEST_BODY].count > 0)
		framing.framing = HTTP_FRAMING_CHUNKED;
	bc->chunked = framing.framing == HTTP_FRAMING_CHUNKED;
	h1_write_request(out, req, ex->up_target, ex->up_host, &framing);
	arm(bc, ex->route->timeouts.first_byte_ms);
}

static void
send_body(struct exchange *ex, struct span bytes)
{
	struct backend_conn *bc = of_exchange(ex);
	struct proxy *proxy = ex->proxy;

	if (bc->conn.failed || bytes.len == 0)
		return; /* the response may still come: keep reading */
	if (bc->chunked && !bc->request_ended)
		h1_write_chunk(proxy_out(proxy, &bc->conn), bytes.len);
	proxy_out_bytes(proxy, &bc->conn, bytes);
	if (bc->chunked && !bc->request_ended)
		str_lit(proxy_out(proxy, &bc->conn), "\r\n");
	arm(bc, ex->is_tunnel ? ex->core->tunnel_idle_timeout_ms
			      : ex->route->timeouts.first_byte_ms);
}

static void
send_end(struct exchange *ex, struct http_fields *trailers)
{
	struct backend_conn *bc = of_exchange(ex);

	bc->request_ended = true;
	if (bc->chunked && !bc->conn.failed)
		h1_write_last_chunk(proxy_out(ex->proxy, &bc->conn),
		    trailers);
	arm(bc, ex->is_tunnel ? ex->core->tunnel_idle_timeout_ms
			      : ex->route->timeouts.first_byte_ms);
}

/* FIN, behind what still waits. */
static void
end_tunnel(struct exchange *ex)
{
	struct backend_conn *bc = of_exchange(ex);

	bc->tunnel_ended = true;
	proxy_send_out(ex->proxy);
	if (conn_pending(&bc->conn) == 0)
		conn_close_send(&bc->conn);
}

static size_t
room(struct exchange *ex)
{
	struct backend_conn *bc = of_exchange(ex);
	size_t pending = conn_pending(&bc->conn);
	size_t buffer = (size_t)ex->core->buffer;

	if (bc->conn.failed)
		return SIZE_MAX; /* read on and drop */
	if (pending == 0)
		return SIZE_MAX;
	return pending < buffer ? buffer - pending : 0;
}

static void
resume(struct exchange *ex)
{
	struct backend_conn *bc = of_exchange(ex);

	if (bc->is_reading || !bc->conn.readable || bc->task.is_queued)
		return;
	/* Not now: the scratch may be in use further up the stack. */
	loop_defer(ex->proxy->loop, &bc->task);
}

static void
abort_try(struct exchange *ex)
{
	drop(of_exchange(ex));
}

static const struct backend_ops ops = {
	.send_head = send_head,
	.send_body = send_body,
	.send_end = send_end,
	.end_tunnel = end_tunnel,
	.room = room,
	.resume = resume,
	.abort = abort_try,
};

/* ---- receiving ---- */

/*
 * The response is whole.  A connection that is fit for more goes to the pool
 * before the exchange hears of it, so that the next request may take it.
 */
static void
response_end(struct backend_conn *bc, struct span last, bool surplus)
{
	struct exchange *ex = bc->ex;
	struct http_fields *trailers = NULL;

	bc->response_ended = true;
	if (bc->body.trailers.count > 0) {
		if (hop_check_trailers(&bc->body.trailers) !=
		    H1_REFUSAL_NONE) {
			fail(bc, REASON_BACKEND_BAD_RESPONSE,
			    h1_refusal_text(H1_REFUSAL_TRAILER_INVALID));
			return;
		}
		trailers = arena_alloc(&ex->arena, sizeof(*trailers));
		*trailers = bc->body.trailers;
		h1_copy_fields(&ex->arena, trailers);
	}
	if (!bc->request_ended || conn_pending(&bc->conn) > 0 ||
	    proxy_out_pending(bc->proxy, &bc->conn) > 0) {
		/* Full duplex: the request is still on its way. */
		bc->keep_alive = false;
		relay_on_response_body(ex, last, true, trailers);
		return;
	}
	if (ex->group->conf->proxy_protocol != 0)
		bc->keep_alive = false; /* it is this client's */
	leave_exchange(bc);
	bc->item.served++;
	if (bc->keep_alive && !surplus && !bc->conn.readable &&
	    !bc->conn.failed && !bc->proxy->is_stopping &&
	    !(bc->is_limited && queue_wants(bc->proxy, bc->item.backend))) {
		bc->state = STATE_IDLE;
		deadline_clear(&bc->conn.deadline);
		if (!pool_put(bc->proxy->pool, &bc->item,
		    (uint64_t)bc->keep_alive_s * 1000))
			drop(bc);
		else if (bc->is_limited)
			queue_room(bc->proxy, bc->item.backend);
	} else {
		drop(bc);
	}
	relay_on_response_body(ex, last, true, trailers);
}

/* Body bytes; true = the connection still serves the same exchange. */
static bool
feed_body(struct backend_conn *bc, struct span in)
{
	struct exchange *ex = bc->ex;
	const struct h1_body_limits limits = {
		.chunk_line_max = CHUNK_LINE_MAX,
		.trailers_max = (size_t)ex->group->conf->
		    response_header_max_bytes,
		.trailer_fields_max = ex->group->conf->response_fields_max,
	};
	struct span piece = { NULL, 0 };

	for (;;) {
		struct span data;
		enum h1_body_event event =
		    h1_body_next(&bc->body, &limits, &in, &data);

		if (event == H1_BODY_END) {
			response_end(bc, piece, in.len > 0);
			return false;
		}
		if (piece.len > 0) {
			relay_on_response_body(ex, piece, false, NULL);
			if (bc->ex != ex)
				return false;
			piece = span_of(NULL, 0);
		}
		if (event == H1_BODY_REFUSED) {
			fail(bc, REASON_BACKEND_BAD_RESPONSE, h1_refusal_text(
			    (enum h1_refusal)bc->body.refusal));
			return false;
		}
		if (event == H1_BODY_MORE)
			return true;
		piece = data;
	}
}

static bool
on_interim(struct backend_conn *bc, struct http_response *res)
{
	struct exchange *ex = bc->ex;

	if (++bc->interim_count > ex->group->conf->interim_responses_max) {
		fail(bc, REASON_BACKEND_BAD_RESPONSE,
		    "too many interim responses");
		return false;
	}
	if (hop_strip_response(res) != H1_REFUSAL_NONE) {
		fail(bc, REASON_BACKEND_BAD_RESPONSE,
		    "malformed Connection field");
		return false;
	}
	exchange_on_interim(ex, res);
	bc->h1 = (struct h1_state){ .checked = 0 };
	return bc->ex == ex;
}

static bool
on_final(struct backend_conn *bc, const char *p, size_t used,
    struct http_response *res)
{
	struct exchange *ex = bc->ex;
	uint64_t first_byte_us = now_us() - ex->sent_us;

	h1_copy_response(&ex->arena, p, used, SPARE_FIELDS, res);
	if (hop_strip_response(res) != H1_REFUSAL_NONE) {
		fail(bc, REASON_BACKEND_BAD_RESPONSE,
		    "malformed Connection field");
		return false;
	}
	if (!is_key_answered(bc, res)) {
		fail(bc, REASON_BACKEND_BAD_RESPONSE,
		    "101 without the right Sec-WebSocket-Accept");
		return false;
	}
	bc->head_done = true;
	bc->keep_alive = res->keep_alive;
	bc->keep_alive_s = res->keep_alive_timeout;
	h1_body_init(&bc->body, res->status == 101
	    ? HTTP_FRAMING_CLOSE : (enum http_framing)res->framing,
	    res->content_length);
	arm(bc, res->status == 101 ? ex->core->tunnel_idle_timeout_ms
				   : ex->route->timeouts.between_bytes_ms);
	histogram_observe(&proxy_upstream_stats(bc->proxy,
	    ex)[UPSTREAM_STAT_FIRST_BYTE], first_byte_us);
	histogram_observe(&proxy_backend_stats(bc->proxy,
	    ex)[UPSTREAM_STAT_FIRST_BYTE], first_byte_us);
	exchange_on_response(ex, res);
	return bc->ex == ex;
}

/* Keep an incomplete head; it is contiguous already when it lies in head. */
static void
keep_head(struct backend_conn *bc, struct span in)
{
	if (bc->head != NULL) {
		memmove(bc->head, in.p, in.len);
		bc->head_len = in.len;
		return;
	}
	if (in.len == 0)
		return;
	bc->head_size = in.len < 1024 ? 2048 : in.len * 2;
	bc->head = heap_alloc(bc->head_size);
	memcpy(bc->head, in.p, in.len);
	bc->head_len = in.len;
}

/* Heads, then body; true = read on for the same exchange. */
static bool
feed(struct backend_conn *bc, struct span in)
{
	struct exchange *ex = bc->ex;
	const struct h1_limits limits = {
		.head_max = (size_t)ex->group->conf->response_header_max_bytes,
		.line_max = (size_t)ex->group->conf->response_header_max_bytes,
		.fields_max = ex->group->conf->response_fields_max,
	};
	const struct h1_expected expected = {
		.method = (enum http_method)ex->up_req.method_id,
		.upgrade_websocket = ex->up_req.upgrade_websocket,
	};

	while (!bc->head_done) {
		struct http_response res;
		size_t used = 0;
		enum h1_result result = h1_parse_response(&bc->h1, in.p,
		    in.len, &limits, &expected, &res, &used);

		if (result == H1_MORE) {
			keep_head(bc, in);
			return true;
		}
		if (result == H1_REFUSED) {
			enum h1_refusal why = bc->h1.refusal;

			fail(bc, why == H1_REFUSAL_HEAD_TOO_LARGE ||
			    why == H1_REFUSAL_LINE_TOO_LONG ||
			    why == H1_REFUSAL_FIELDS_TOO_MANY
			    ? REASON_BACKEND_HEADER_TOO_LARGE
			    : REASON_BACKEND_BAD_RESPONSE,
			    h1_refusal_text(why));
			return false;
		}
		if (res.status < 200 && res.status != 101) {
			if (!on_interim(bc, &res))
				return false;
		} else if (!on_final(bc, in.p, used, &res)) {
			return false;
		}
		in = span_of(in.p + used, in.len - used);
	}
	return feed_body(bc, in);
}

static void
on_eof(struct backend_conn *bc, bool failed)
{
	struct exchange *ex = bc->ex;

	if (bc->response_ended) {
		fail(bc, REASON_BACKEND_RESET, NULL);
		return;
	}
	if (!bc->head_done) {
		fail(bc, REASON_BACKEND_RESET, failed
		    ? "connection reset" : "connection closed");
		return;
	}
	if (failed || !h1_body_may_end(&bc->body) ||
	    (bc->conn.is_truncated && !ex->is_tunnel)) {
		fail(bc, REASON_BACKEND_TRUNCATED, failed
		    ? "connection reset" : bc->conn.is_truncated
		    ? "closed without the end of TLS" : "connection closed");
		return;
	}
	if (ex->is_tunnel) {
		/* Half of the tunnel: the other half may go on. */
		bc->response_ended = true;
		bc->conn.readable = false;
		relay_on_response_body(ex, span_of(NULL, 0), true, NULL);
		return;
	}
	bc->keep_alive = false;
	response_end(bc, span_of(NULL, 0), false);
}

/* Where the next bytes go, and how many may come; NULL = none are wanted. */
static char *
receive_place(struct backend_conn *bc, size_t *len)
{
	struct exchange *ex = bc->ex;
	size_t head_max = (size_t)ex->group->conf->response_header_max_bytes;
	size_t wanted;

	if (bc->response_ended) {
		*len = SCRATCH_BYTES; /* surplus: read and judged, not kept */
		return bc->proxy->scratch;
	}
	if (bc->head_done) {
		wanted = relay_response_room(ex);
		*len = wanted < SCRATCH_BYTES ? wanted : SCRATCH_BYTES;
		return *len > 0 ? bc->proxy->scratch : NULL;
	}
	if (bc->head == NULL) {
		*len = head_max < SCRATCH_BYTES ? head_max : SCRATCH_BYTES;
		return bc->proxy->scratch;
	}
	if (bc->head_len == bc->head_size) {
		bc->head_size *= 2;
		bc->head = heap_alloc_grow(bc->head, bc->head_size, 1);
	}
	*len = bc->head_size - bc->head_len;
	return bc->head + bc->head_len;
}

/* The response has ended before the request: its end is still read for. */
static bool
is_uploading(const struct backend_conn *bc, const struct exchange *ex)
{
	return bc->state == STATE_ACTIVE && bc->ex == ex && bc->response_ended;
}

static void
read_response(struct backend_conn *bc)
{
	size_t turn = 0;

	bc->is_reading = true;
	while (bc->state == STATE_ACTIVE && bc->conn.readable) {
		const struct exchange *ex = bc->ex;
		size_t len;
		char *p = receive_place(bc, &len);
		ssize_t n;

		if (p == NULL)
			break;
		if (turn >= TURN_BYTES) {
			loop_defer(bc->proxy->loop, &bc->task);
			break;
		}
		n = conn_receive(&bc->conn, p, len);
		if (n == CONN_AGAIN)
			break;
		if (n == CONN_EOF || n == CONN_FAILED) {
			on_eof(bc, n == CONN_FAILED);
			break;
		}
		turn += (size_t)n;
		if (bc->response_ended) {
			/* It speaks unasked: nothing of it is to be trusted. */
			bc->keep_alive = false;
			continue;
		}
		if (bc->head_done)
			arm(bc, bc->ex->is_tunnel
			    ? bc->ex->core->tunnel_idle_timeout_ms
			    : bc->ex->route->timeouts.between_bytes_ms);
		if (bc->head != NULL && !bc->head_done) {
			bc->head_len += (size_t)n;
			if (!feed(bc, span_of(bc->head, bc->head_len)) &&
			    !is_uploading(bc, ex))
				break;
			free(bc->old_head);
			bc->old_head = NULL;
			if (bc->head_done) {
				free(bc->head);
				bc->head = NULL;
			}
		} else if (!feed(bc, span_of(p, (size_t)n)) &&
		    !is_uploading(bc, ex)) {
			break;
		}
	}
	bc->is_reading = false;
	if (bc->old_head != NULL) {
		free(bc->old_head);
		bc->old_head = NULL;
	}
}

static void
on_task(struct loop_task *t)
{
	struct backend_conn *bc = LIST_OF(t, struct backend_conn, task);
	struct proxy *proxy = bc->proxy;

	if (bc->state == STATE_ACTIVE)
		read_response(bc);
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
	drop(bc);
}

static void
on_writable(struct backend_conn *bc)
{
	bool waited = conn_pending(&bc->conn) > 0;

	if (!waited || conn_flush(&bc->conn) != 0)
		return; /* a failure shows when reading */
	if (conn_pending(&bc->conn) > bc->ex->core->buffer / 2)
		return;
	if (bc->tunnel_ended &&
	    conn_pending(&bc->conn) == 0)
		conn_close_send(&bc->conn);
	arm(bc, bc->ex->is_tunnel ? bc->ex->core->tunnel_idle_timeout_ms
				  : bc->ex->route->timeouts.first_byte_ms);
	relay_on_backend_writable(bc->ex);
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
			connect_ended(bc);
		break;
	case STATE_HANDSHAKE:
		if (bc->conn.writable)
			(void)conn_flush(&bc->conn);
		if (bc->conn.readable)
			shake(bc);
		break;
	case STATE_ACTIVE:
		if ((events & LOOP_WRITABLE) != 0 && bc->ex != NULL)
			on_writable(bc);
		if (bc->state == STATE_ACTIVE && bc->conn.readable)
			read_response(bc);
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
	if (bc->state == STATE_CONNECTING) {
		fail(bc, REASON_CONNECT_TIMEOUT, NULL);
	} else if (bc->state == STATE_HANDSHAKE) {
		fail(bc, REASON_BACKEND_TLS_TIMEOUT, NULL);
	} else if (ex->is_tunnel) {
		fail(bc, REASON_BACKEND_READ_TIMEOUT, "idle tunnel");
	} else if (conn_pending(&bc->conn) > 0) {
		fail(bc, REASON_BACKEND_WRITE_TIMEOUT, NULL);
	} else if (!bc->head_done && bc->request_ended) {
		fail(bc, REASON_BACKEND_FIRST_BYTE_TIMEOUT, NULL);
	} else if (bc->head_done && !bc->response_ended &&
	    relay_response_room(ex) > 0) {
		fail(bc, REASON_BACKEND_READ_TIMEOUT, NULL);
	} else {
		/* It is the client that we wait for, and it has its own. */
		arm(bc, ex->route->timeouts.between_bytes_ms);
	}
	proxy_flush(proxy);
}
