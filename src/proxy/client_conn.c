/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client_conn - the client's end of exchanges, over HTTP/1.
 *
 * Bytes are received into the worker's scratch and looked at there; only an
 * incomplete head, or what follows a request, is kept (`kept`, at most the
 * header limit), and nothing more is read until the answer is done.  As with
 * backend_conn, an exchange and this connection may end inside any call made
 * to the exchange: c->ex and c->state are looked at again afterwards.
 */
#include "proxy/client_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/heap_alloc.h"
#include "base/str.h"
#include "net/proxyproto.h"
#include "net/tls_ctx.h"
#include "net/tls_stream.h"
#include "os/sock.h"
#include "proxy/client_addr.h"
#include "proxy/client_conn_private.h"
#include "proxy/client_h2.h"
#include "proxy/client_send.h"
#include "proxy/relay.h"

static const struct client_ops ops;

size_t
client_conn_bytes(void)
{
	return sizeof(struct client_conn);
}

static void on_event(struct loop_watch *w, unsigned events);
static void on_deadline(struct deadline *d);
static void on_task(struct loop_task *t);
static void serve(struct client_conn *c);
static void shake(struct client_conn *c);

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

static void
set_idle(struct client_conn *c)
{
	list_remove(&c->unwatched);
	c->state = STATE_IDLE;
	counter_add(&c->proxy->stats[PROXY_STAT_CONN_IDLE], 1);
	client_conn_arm(c, client_conn_service(c)->core->keepalive_timeout_ms);
}

static void
leave_idle(struct client_conn *c)
{
	if (c->state == STATE_IDLE)
		counter_sub(&c->proxy->stats[PROXY_STAT_CONN_IDLE], 1);
}

/* The one way to die. */
static void
drop(struct client_conn *c, bool reset)
{
	struct proxy *proxy = c->proxy;

	if (c->state == STATE_CLOSED)
		return;
	leave_idle(c);
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
		drop(c, true);
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

static void
begin_handshake(struct client_conn *c)
{
	struct conn_stream *stream =
	    tls_stream_accept(c->proxy->tls, c->spec->tls);

	c->state = STATE_HANDSHAKE;
	if (stream == NULL) {
		drop(c, true);
		return;
	}
	conn_set_stream(&c->conn, stream);
	client_conn_arm(c, tls_ctx_handshake_ms(c->spec->tls));
	shake(c);
}

/* The connection's own bytes begin. */
static void
begin_stream(struct client_conn *c)
{
	if (c->spec->tls != NULL) {
		begin_handshake(c);
		return;
	}
	set_idle(c);
	client_conn_arm(c,
	    client_conn_service(c)->core->client_header_timeout_ms);
	serve(c);
}

static void
refuse_proxy(struct client_conn *c, const char *why)
{
	char memory[64];
	struct str ip;

	counter_add(&c->proxy->stats[PROXY_STAT_PROXY_REFUSED], 1);
	str_init(&ip, memory, sizeof(memory));
	addr_ip_put(&ip, &c->peer);
	log_info(NULL, "conn %llu %.*s: PROXY protocol: %s",
	    (unsigned long long)c->id, (int)ip.len, ip.p, why);
	drop(c, false);
}

/*
 * Take what has come of the head, and nothing behind it: that may be the
 * first bytes of TLS.
 */
static void
read_proxy(struct client_conn *c)
{
	struct kept *k = c->kept;
	struct proxyproto said;
	enum proxyproto_result result = PROXYPROTO_MORE;

	while (result == PROXYPROTO_MORE && c->conn.readable) {
		char *p = k->bytes + k->len;
		ssize_t n = recv(c->conn.watch.fd, p, k->size - k->len,
		    MSG_PEEK);

		if (n > 0)
			n = conn_receive_raw(&c->conn, p, proxyproto_wanted(
			    span_of(k->bytes, k->len), span_of(p, (size_t)n)));
		else
			n = conn_receive_raw(&c->conn, p, 1);
		if (n == CONN_AGAIN)
			return;
		if (n == CONN_EOF || n == CONN_FAILED) {
			drop(c, false);
			return;
		}
		k->len += (size_t)n;
		result = proxyproto_read(span_of(k->bytes, k->len), &said);
		c->conn.readable = true; /* it was not read empty */
	}
	if (result == PROXYPROTO_BAD) {
		refuse_proxy(c, "malformed");
		return;
	}
	if (result == PROXYPROTO_MORE)
		return;
	c->kept = NULL;
	free(k);
	if (!said.is_local)
		c->peer = said.client;
	counter_add(&c->proxy->stats[PROXY_STAT_PROXY_TAKEN], 1);
	begin_stream(c);
}

static void
begin_proxy(struct client_conn *c)
{
	const struct core_conf *core = client_conn_service(c)->core;

	c->state = STATE_PROXY;
	if (!client_addr_is_trusted(core, &c->peer)) {
		refuse_proxy(c, "the peer is none of trusted_proxies");
		return;
	}
	c->kept = heap_alloc(sizeof(*c->kept) + PROXYPROTO_MAX);
	memset(c->kept, 0, sizeof(*c->kept));
	c->kept->size = PROXYPROTO_MAX;
	client_conn_arm(c, core->client_header_timeout_ms);
	read_proxy(c);
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
		begin_proxy(c);
	else
		begin_stream(c);
	if (c->state == STATE_EXCHANGE && c->body_done && !c->ex->is_tunnel &&
	    !c->conn.is_watched)
		watch_later(c);
	else if (c->state != STATE_CLOSED && client_conn_watch(c) != 0)
		give_up(c);
	proxy_flush(proxy);
}

/* The connection goes on as one of HTTP/2; this struct ends. */
static void
hand_over(struct client_conn *c, struct span in)
{
	struct proxy *proxy = c->proxy;

	leave_idle(c);
	c->state = STATE_CLOSED;
	list_remove(&c->all);
	list_remove(&c->unwatched);
	c->next_dead = proxy->dead_clients;
	proxy->dead_clients = c;
	loop_defer(proxy->loop, &proxy->bury);
	client_h2_take(proxy, &c->conn, c->spec, &c->peer, c->id, in);
}

static void
handshake_failed(struct client_conn *c, enum proxy_stat stat,
    const char *otherwise)
{
	char memory[1024];
	struct str out;

	counter_add(&c->proxy->stats[stat], 1);
	if (log_get_level() >= LOG_LEVEL_INFO) {
		str_init(&out, memory, sizeof(memory));
		str_printf(&out, "conn %llu ", (unsigned long long)c->id);
		addr_ip_put(&out, &c->peer);
		str_lit(&out, ": TLS handshake: ");
		if (!conn_fact(&c->conn, CONN_FACT_WHY, &out))
			str_cstr(&out, otherwise);
		log_info(NULL, "%s", str_terminate(&out));
	}
	drop(c, false);
}

/* Go on with the handshake; what comes behind it is the first request. */
static void
shake(struct client_conn *c)
{
	char memory[2];
	struct str resumed;

	switch (conn_handshake(&c->conn)) {
	case 0:
		str_init(&resumed, memory, sizeof(memory));
		(void)conn_fact(&c->conn, CONN_FACT_RESUMED, &resumed);
		counter_add(&c->proxy->stats[memory[0] == '1'
		    ? PROXY_STAT_TLS_RESUMED : PROXY_STAT_TLS_FULL], 1);
		if (span_eq(conn_alpn(&c->conn), SPAN("h2"))) {
			hand_over(c, span_of(NULL, 0));
			break;
		}
		set_idle(c);
		client_conn_arm(c,
		    client_conn_service(c)->core->client_header_timeout_ms);
		serve(c);
		break;
	case CONN_AGAIN:
		break;
	default:
		handshake_failed(c, PROXY_STAT_TLS_FAILED, "failed");
		break;
	}
}

/* Everything was sent that will be: FIN, then read what still comes. */
static void
linger(struct client_conn *c)
{
	if (c->conn.peer_closed && !c->conn.readable) {
		drop(c, false);
		return;
	}
	if (client_conn_watch(c) != 0) {
		drop(c, false);
		return;
	}
	c->state = STATE_LINGER;
	c->wait.bytes = 0;
	conn_close_send(&c->conn);
	client_conn_arm(c, LINGER_MS);
	c->conn.readable = true;
	if (!c->task.is_queued)
		loop_defer(c->proxy->loop, &c->task);
}

/* The exchange is gone and said "close": flush, then FIN. */
static void
finish_last(struct client_conn *c)
{
	c->state = STATE_LAST;
	proxy_send_out(c->proxy);
	if (c->conn.failed) {
		drop(c, true);
		return;
	}
	if (conn_pending(&c->conn) > 0) {
		client_conn_arm(c, client_conn_service(c)->core->client_write_timeout_ms);
		return;
	}
	if (c->was_cut && c->until_close) {
		/* Its end would look like the answer's. */
		drop(c, true);
		return;
	}
	if (c->body_done && c->kept == NULL && !c->conn.readable) {
		/* Nothing of the client's is unread: no reset can follow. */
		drop(c, false);
		return;
	}
	linger(c);
}

/* Bytes that were given out for sending, whether the kernel took them yet. */
static uint64_t
bytes_out(const struct client_conn *c)
{
	return conn_given(&c->conn) +
	    proxy_out_pending(c->proxy, &c->conn);
}

static void
book_bytes(struct exchange *ex)
{
	struct client_conn *c = client_conn_of(ex);
	uint64_t behind = c->kept != NULL && c->body_done ? c->kept->len : 0;
	uint64_t received = c->conn.received - behind;
	uint64_t out = bytes_out(c);

	ex->client_bytes_in = received - c->received_before;
	ex->client_bytes_out = out - c->sent_before;
	c->received_before = received;
	c->sent_before = out;
}

static void
finished(struct exchange *ex)
{
	struct client_conn *c = client_conn_of(ex);
	bool keep = !c->close_after && !ex->force_close && !c->was_cut &&
	    !ex->client_gone && c->body_done && !ex->is_tunnel &&
	    ex->head_sent && !c->conn.failed;

	proxy_send_out(c->proxy);
	h1_body_fini(c->body);
	c->ex = NULL;
	c->body = NULL;
	c->wait.since_ms = 0;
	if (c->state == STATE_CLOSED)
		return;
	if (ex->client_gone || (ex->reason != REASON_NONE && !ex->head_sent)) {
		drop(c, ex->reason == REASON_WRITE_TIMEOUT);
		return;
	}
	if (!keep) {
		finish_last(c);
		return;
	}
	set_idle(c);
	if (conn_watch(&c->conn) != 0) {
		drop(c, true);
		return;
	}
	/* What came behind the request is the next one. */
	if ((c->kept != NULL || c->conn.readable) && !c->is_reading &&
	    !c->task.is_queued)
		loop_defer(c->proxy->loop, &c->task);
}

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

static const struct client_ops ops = {
	.send_interim = client_send_interim,
	.send_head = client_send_head,
	.send_body = client_send_body,
	.send_end = client_send_end,
	.room = client_send_room,
	.resume = resume,
	.cut = cut,
	.book_bytes = book_bytes,
	.finished = finished,
	.peer = peer,
	.local = local,
	.conn = conn_of,
	.connection_id = connection_id,
	.connection_requests = connection_requests,
};

/* ---- receiving ---- */

static void
keep(struct client_conn *c, struct span in)
{
	struct kept *k = c->kept;

	if (in.len == 0)
		return;
	if (k != NULL && in.p >= k->bytes && in.p <= k->bytes + k->size) {
		memmove(k->bytes, in.p, in.len);
		k->len = in.len;
		return;
	}
	assert(k == NULL || k->len == 0);
	free(k);
	k = heap_alloc(sizeof(*k) + in.len * 2 + 256);
	k->h1 = (struct h1_state){ .checked = 0 };
	k->size = in.len * 2 + 256;
	k->len = in.len;
	memcpy(k->bytes, in.p, in.len);
	c->kept = k;
}

/* Pieces of the current request's body; returns what is behind its end. */
static struct span
feed_body(struct client_conn *c, struct span in)
{
	const struct core_conf *core = client_conn_service(c)->core;
	const struct h1_body_limits limits = {
		.chunk_line_max = CHUNK_LINE_MAX,
		.trailers_max = (size_t)core->header_size_max,
		.trailer_fields_max = core->fields_max,
	};
	struct exchange *ex = c->ex;
	struct span piece = { NULL, 0 };

	for (;;) {
		struct span data;
		enum h1_body_event event =
		    h1_body_next(c->body, &limits, &in, &data);
		struct http_fields *trailers = NULL;

		if (event == H1_BODY_END) {
			if (c->body->trailers.count > 0) {
				trailers = arena_alloc(&ex->arena,
				    sizeof(*trailers));
				*trailers = c->body->trailers;
				h1_copy_fields(&ex->arena, trailers);
			}
			h1_body_fini(c->body);
			c->body_done = true;
			relay_on_request_body(ex, piece, true, trailers);
			return in;
		}
		if (piece.len > 0) {
			relay_on_request_body(ex, piece, false, NULL);
			if (c->ex != ex)
				return span_of(NULL, 0);
			piece = span_of(NULL, 0);
		}
		if (event == H1_BODY_REFUSED) {
			enum h1_refusal why =
			    (enum h1_refusal)c->body->refusal;

			h1_body_fini(c->body);
			c->close_after = true;
			exchange_on_client_failed(ex, REASON_BAD_BODY,
			    h1_refusal_text(why));
			return span_of(NULL, 0);
		}
		if (event == H1_BODY_MORE)
			return in;
		piece = data;
	}
}

static void
begin_exchange(struct client_conn *c, struct arena *arena,
    const struct http_request *req)
{
	struct exchange *ex;

	leave_idle(c);
	c->state = STATE_EXCHANGE;
	c->requests++;
	c->close_after = false;
	c->chunked_out = false;
	c->no_body = false;
	c->body_done = false;
	c->fin_wanted = false;
	c->until_close = false;
	c->wait.is_reader_slow = false;
	c->wait.since_ms = 0;
	c->wait.waited_ms = 0;
	deadline_clear(&c->conn.deadline);
	ex = exchange_new(c->proxy, client_conn_service(c), &ops, c, arena, req);
	c->ex = ex;
	c->body = arena_alloc(&ex->arena, sizeof(*c->body));
	h1_body_init(c->body, (enum http_framing)req->framing,
	    req->content_length);
}

/* A head is whole; returns what follows the request, as far as it came. */
static struct span
on_head(struct client_conn *c, struct span in, size_t used,
    struct http_request *req)
{
	struct arena arena;
	struct exchange *ex;
	struct span rest;

	arena_init(&arena, &c->proxy->arenas);
	h1_copy_request(&arena, in.p, used, SPARE_FIELDS, req);
	begin_exchange(c, &arena, req);
	ex = c->ex;
	exchange_start(ex);
	rest = span_of(in.p + used, in.len - used);
	if (c->ex == ex)
		rest = feed_body(c, rest);
	if (c->ex == ex)
		exchange_release(ex);
	return rest;
}

static void
refuse_head(struct client_conn *c, const struct h1_state *h1)
{
	struct http_request req;
	struct arena arena;
	struct exchange *ex;
	const char *detail;

	memset(&req, 0, sizeof(req));
	req.minor = 1;
	arena_init(&arena, &c->proxy->arenas);
	detail = arena_printf(&arena, "%s at byte %zu",
	    h1_refusal_text(h1->refusal), h1->offset);
	begin_exchange(c, &arena, &req);
	ex = c->ex;
	ex->is_held = false;
	exchange_start_failed(ex, reason_of_refusal(h1->refusal), detail);
}

/* An incomplete head: what there is of it is kept. */
static void
await_head(struct client_conn *c, struct span in)
{
	if (c->state == STATE_IDLE) {
		leave_idle(c);
		c->state = STATE_HEAD;
		client_conn_arm(c, client_conn_service(c)->core->
		    client_header_timeout_ms);
	}
	keep(c, in);
}

/* Is it HTTP/2, or may it be?  Then the bytes are taken care of. */
static bool
feed_preface(struct client_conn *c, struct span in)
{
	switch (client_h2_preface(in)) {
	case CLIENT_H2_IS:
		hand_over(c, in);
		return true;
	case CLIENT_H2_MAYBE:
		await_head(c, in);
		return true;
	case CLIENT_H2_NOT:
	default:
		return false;
	}
}

/* Bytes of heads and bodies, until all is used or an exchange must end. */
static void
feed(struct client_conn *c, struct span in)
{
	const struct core_conf *core = client_conn_service(c)->core;
	const struct h1_limits limits = {
		.head_max = (size_t)core->header_size_max,
		.line_max = (size_t)core->request_line_max,
		.fields_max = core->fields_max,
	};

	if (c->spec->h2c && c->requests == 0 && in.len > 0 &&
	    feed_preface(c, in))
		return;
	while (in.len > 0 && (c->state == STATE_IDLE ||
	    c->state == STATE_HEAD)) {
		struct h1_state fresh = { .checked = 0 };
		struct h1_state *h1 = c->kept != NULL ? &c->kept->h1 : &fresh;
		struct http_request req;
		size_t used = 0;
		enum h1_result result;

		c->proxy->serving->what = SERVING_HEAD;
		result = h1_parse_request(h1, in.p, in.len, &limits, &req,
		    &used);

		if (result == H1_MORE) {
			fresh = *h1;
			await_head(c, in);
			c->kept->h1 = fresh;
			return;
		}
		if (result == H1_REFUSED) {
			refuse_head(c, h1);
			return;
		}
		if (c->kept != NULL)
			c->kept->h1 = (struct h1_state){ .checked = 0 };
		in = on_head(c, in, used, &req);
	}
	if (c->state == STATE_CLOSED || in.len == 0) {
		if (c->kept != NULL)
			c->kept->len = 0;
		return;
	}
	/* Behind a request whose answer is not done. */
	keep(c, in);
	c->kept->h1 = (struct h1_state){ .checked = 0 };
}

/* The client has gone, or has ended its sending side. */
static void
on_eof(struct client_conn *c, bool failed)
{
	struct exchange *ex = c->ex;

	c->conn.readable = false;
	if (c->state != STATE_EXCHANGE) {
		drop(c, false);
		return;
	}
	if (ex->is_tunnel && !failed && c->body_done) {
		relay_on_tunnel(ex, span_of(NULL, 0), true);
		return;
	}
	if (!failed && c->body_done && ex->core->half_close)
		return;
	exchange_on_client_failed(ex, REASON_CLIENT_GONE,
	    failed ? "connection reset" : "connection closed");
}

/* Where the next bytes go, and how many may come; NULL = none are wanted. */
static char *
receive_place(struct client_conn *c, size_t *len)
{
	size_t head_max = (size_t)client_conn_service(c)->core->header_size_max;
	struct kept *k = c->kept;
	size_t wanted;

	switch (c->state) {
	case STATE_IDLE:
	case STATE_HEAD:
		if (k == NULL || k->len == 0) {
			*len = head_max;
			return c->proxy->scratch;
		}
		if (k->len == k->size) {
			size_t size = k->size * 2;

			k = heap_alloc_grow(k, sizeof(*k) + size, 1);
			k->size = size;
			c->kept = k;
		}
		*len = k->size - k->len;
		return k->bytes + k->len;
	case STATE_EXCHANGE:
		if (c->body_done && !c->ex->is_tunnel)
			return NULL;
		wanted = relay_request_room(c->ex);
		*len = wanted < SCRATCH_BYTES ? wanted : SCRATCH_BYTES;
		return *len > 0 ? c->proxy->scratch : NULL;
	case STATE_LINGER:
		*len = SCRATCH_BYTES;
		return c->proxy->scratch;
	default:
		return NULL;
	}
}

/* Bytes while an exchange is on: of its body, of its tunnel, or behind it. */
static void
feed_exchange(struct client_conn *c, struct span in)
{
	if (!c->body_done) {
		client_wait_progressed(&c->wait);
		in = feed_body(c, in);
	}
	if (in.len == 0 || c->state == STATE_CLOSED)
		return;
	if (c->state == STATE_EXCHANGE && c->ex->is_tunnel) {
		client_conn_arm(c, c->ex->core->tunnel_idle_timeout_ms);
		relay_on_tunnel(c->ex, in, false);
		return;
	}
	keep(c, in);
}

/* What came behind the request before it became a tunnel. */
static void
feed_tunnel(struct client_conn *c)
{
	struct kept *k = c->kept;

	c->kept = NULL;
	relay_on_tunnel(c->ex, span_of(k->bytes, k->len), false);
	free(k);
}

/* One receive, and what follows from it; false = nothing more for now. */
static bool
receive(struct client_conn *c, size_t *turn)
{
	size_t len = 0;
	char *p = receive_place(c, &len);
	ssize_t n;

	if (p == NULL)
		return false;
	n = conn_receive(&c->conn, p, len);
	if (n == CONN_AGAIN)
		return false;
	if (n == CONN_EOF || n == CONN_FAILED) {
		on_eof(c, n == CONN_FAILED);
		return false;
	}
	*turn += (size_t)n;
	if (c->state == STATE_LINGER) {
		c->wait.bytes += (uint64_t)n;
		if (c->wait.bytes > LINGER_BYTES)
			drop(c, true);
	} else if (c->state == STATE_EXCHANGE) {
		feed_exchange(c, span_of(p, (size_t)n));
	} else if (c->kept != NULL && c->kept->len > 0) {
		c->kept->len += (size_t)n;
		feed(c, span_of(c->kept->bytes, c->kept->len));
	} else {
		feed(c, span_of(p, (size_t)n));
	}
	return true;
}

/* Read and serve as long as there is something to read and room for it. */
static void
serve(struct client_conn *c)
{
	size_t turn = 0;

	c->is_reading = true;
	for (;;) {
		if (c->state == STATE_EXCHANGE && c->ex->is_tunnel &&
		    c->body_done && c->kept != NULL && c->kept->len > 0)
			feed_tunnel(c);
		if (c->state == STATE_IDLE && c->kept != NULL &&
		    c->kept->len > 0) {
			/* A request that came behind the one before it. */
			feed(c, span_of(c->kept->bytes, c->kept->len));
			if (c->state == STATE_IDLE)
				continue;
		}
		if (c->state == STATE_CLOSED || c->state == STATE_LAST ||
		    !c->conn.readable)
			break;
		if (turn >= TURN_BYTES) {
			if (!c->task.is_queued)
				loop_defer(c->proxy->loop, &c->task);
			break;
		}
		if (!receive(c, &turn))
			break;
	}
	c->is_reading = false;
	if (c->kept != NULL && c->kept->len == 0) {
		free(c->kept);
		c->kept = NULL;
	}
	if (c->state != STATE_EXCHANGE || c->body_done)
		return;
	if (!c->conn.readable && relay_request_room(c->ex) > 0)
		client_wait_sender(&c->wait, c->ex, &c->conn.deadline);
	else
		/* It is the backend that we wait for. */
		client_wait_progressed(&c->wait);
}

static void
on_task(struct loop_task *t)
{
	struct client_conn *c = LIST_OF(t, struct client_conn, task);
	struct proxy *proxy = c->proxy;

	if (c->state != STATE_CLOSED)
		serve(c);
	proxy_flush(proxy);
}

static void
on_writable(struct client_conn *c)
{
	if (conn_pending(&c->conn) == 0 || !c->conn.writable)
		return;
	if (conn_flush(&c->conn) != 0) {
		if (c->ex != NULL)
			exchange_on_client_failed(c->ex, REASON_CLIENT_GONE,
			    "connection reset");
		else
			drop(c, true);
		return;
	}
	if (c->state == STATE_LAST) {
		if (conn_pending(&c->conn) == 0)
			finish_last(c);
		else
			client_conn_arm(c, client_conn_service(c)->core->client_write_timeout_ms);
		return;
	}
	if (c->ex == NULL)
		return;
	if (conn_pending(&c->conn) == 0) {
		c->wait.is_reader_slow = false;
		c->wait.since_ms = 0;
		c->wait.waited_ms = 0;
		if (c->fin_wanted)
			conn_close_send(&c->conn);
		else if (!c->ex->is_tunnel)
			deadline_clear(&c->conn.deadline);
	} else if (c->ex->is_tunnel) {
		client_conn_arm(c, c->ex->core->tunnel_idle_timeout_ms);
	} else {
		client_wait_reader(&c->wait, c->ex, &c->conn.deadline,
		    c->conn.sent, true);
	}
	if (conn_pending(&c->conn) <= c->ex->core->buffer / 2)
		relay_on_client_writable(c->ex);
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
		on_writable(c);
	if (c->state == STATE_PROXY && c->conn.readable)
		read_proxy(c);
	else if (c->state == STATE_HANDSHAKE && c->conn.readable)
		shake(c);
	else if (c->state != STATE_CLOSED && c->conn.readable)
		serve(c);
	/* Waiting for the backend, nothing is read: the loop tells of a FIN. */
	if (c->state == STATE_EXCHANGE && (c->conn.failed ||
	    (c->conn.peer_closed && c->body_done &&
	    !c->ex->is_tunnel && !c->ex->core->half_close)))
		exchange_on_client_failed(c->ex, REASON_CLIENT_GONE,
		    c->conn.failed ? "connection reset"
				   : "connection closed");
	proxy_flush(proxy);
}

/* ---- deadlines ---- */

/* A head that took too long is answered and logged (RFC 9110, 15.5.9). */
static void
on_head_deadline(struct client_conn *c)
{
	struct http_request req;
	struct arena arena;

	memset(&req, 0, sizeof(req));
	req.minor = 1;
	arena_init(&arena, &c->proxy->arenas);
	begin_exchange(c, &arena, &req);
	c->ex->is_held = false;
	exchange_start_failed(c->ex, REASON_HEAD_TIMEOUT, NULL);
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
		refuse_proxy(c, "took too long");
		break;
	case STATE_HANDSHAKE:
		handshake_failed(c, PROXY_STAT_TLS_TIMEOUT, "took too long");
		break;
	case STATE_HEAD:
		on_head_deadline(c);
		break;
	case STATE_EXCHANGE:
		client_wait_expired(&c->wait, c->ex, &c->conn.deadline,
		    c->conn.sent, c->body_done);
		break;
	case STATE_LAST:
		drop(c, true);
		break;
	case STATE_IDLE:
	case STATE_LINGER:
		drop(c, false);
		break;
	case STATE_CLOSED:
	default:
		break;
	}
	proxy_flush(proxy);
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

		if (c->ex == NULL) {
			cut->idle += !c->spec->is_admin;
		} else {
			cut->requests += !c->ex->is_tunnel;
			cut->tunnels += c->ex->is_tunnel;
			cut_exchange(c);
		}
		drop(c, true);
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
		drop(c, true);
		count++;
	}
	proxy_flush(proxy);
	return count;
}
