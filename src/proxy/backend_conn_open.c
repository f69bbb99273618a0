/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend_conn_open - a connection to a backend for an exchange: an idle one,
 * one that any worker parked, or a new one with all that comes before HTTP.
 */
#include "proxy/backend_conn_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap_alloc.h"
#include "base/str.h"
#include "conf/template.h"
#include "net/proxyproto.h"
#include "net/tls_stream.h"
#include "os/sock.h"
#include "proxy/backend_h2.h"
#include "upstream/group_socket.h"
#include "upstream/via.h"

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
	str_init(&out, memory, BACKEND_CONN_NAME_MAX);
	template_eval(sni, ex, &out);
	if (out.overflow || addr_ip_parse(str_view(&out), &ip) == 0)
		return span_of(NULL, 0);
	return str_view(&out);
}

static bool
name_follows_from_request(const struct exchange *ex)
{
	struct span text;

	return ex->backend->tls != NULL &&
	    ex->backend->tls_conf->sni != NULL &&
	    !template_is_constant(ex->backend->tls_conf->sni, &text);
}

struct span
backend_conn_open_name(struct exchange *ex, char memory[BACKEND_CONN_NAME_MAX])
{
	return name_follows_from_request(ex) ? server_name(ex, memory)
					     : span_of(NULL, 0);
}

/*
 * The worker's own idle one that was made under the same terms: where the name
 * follows from the request, for the same name.
 */
static struct pool_item *
take_item(struct exchange *ex)
{
	struct pool *pool = ex->proxy->pool;
	char memory[BACKEND_CONN_NAME_MAX];

	if (!name_follows_from_request(ex))
		return pool_take(pool, ex->backend);
	return pool_take_terms(pool, ex->backend, server_name(ex, memory));
}

/*
 * The request was to say which name the backend's certificate must be for, and
 * says none: any certificate would do, by the client's choice.
 */
static bool
lacks_name(struct exchange *ex)
{
	const struct tls_client_conf *conf = ex->backend->tls_conf;
	char memory[BACKEND_CONN_NAME_MAX];

	return name_follows_from_request(ex) && conf->verify &&
	    conf->verify_hostname && conf->alternative_cn == NULL &&
	    server_name(ex, memory).len == 0;
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
		if (bc->conn.readable || bc->conn.peer_closed ||
		    !tls_stream_is_current(&bc->conn)) {
			/* Its close was seen in this turn, or terms change. */
			backend_conn_drop(bc);
			continue;
		}
		bc->state = STATE_ACTIVE;
		backend_conn_attach(bc, ex);
		count(ex, PROXY_STAT_REUSED, UPSTREAM_STAT_REUSED);
		return true;
	}
	if (ex->backend->tls != NULL || ex->group->conf->has_via)
		return false;
	fd = pool_take_parked(proxy->pool, ex->backend, &meta);
	if (fd < 0)
		return false;
	bc = backend_conn_new(proxy, ex->backend, fd, meta.tenancy);
	bc->item.served = meta.served;
	bc->item.peer = meta.peer;
	bc->state = STATE_ACTIVE;
	if (conn_watch(&bc->conn) != 0) {
		backend_conn_drop(bc);
		return false;
	}
	backend_conn_attach(bc, ex);
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

/* It was the hop that could not be connected to, where there is one. */
static enum reason
reason_of(const struct exchange *ex, int error)
{
	enum reason reason = reason_of_errno(error);

	if (!ex->group->conf->has_via || reason == REASON_OUT_OF_RESOURCES)
		return reason;
	return reason == REASON_CONNECT_TIMEOUT ? REASON_VIA_TIMEOUT
						: REASON_VIA_FAILED;
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
	/* Before the address: what has gone since is seen. */
	uint32_t tenancy = backend_tenancy(ex->backend);
	const struct group_conf *conf = ex->group->conf;
	struct addr addr;
	const struct addr *to = conf->has_via ? &conf->via.address->addr :
	    &addr;
	int error = EHOSTUNREACH;

	while (group_address(ex->group, ex->backend, seen, &addr) == 0) {
		struct backend_conn *bc;
		int fd = group_socket_connect(conf, to,
		    ex->backend->tls != NULL, pending);

		if (fd < 0) {
			error = errno;
			group_address_failed(ex->group, ex->backend, &addr);
			continue;
		}
		bc = backend_conn_new(proxy, ex->backend, fd, tenancy);
		addr_ip_from(&bc->item.peer, &addr);
		bc->seen = *seen;
		bc->connecting_to = arena_alloc(&ex->arena, sizeof(addr));
		*bc->connecting_to = addr;
		if (conn_watch(&bc->conn) != 0) {
			error = errno;
			backend_conn_drop(bc);
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

/* When this try must be through with all that comes before HTTP. */
static uint64_t
end_of_try(const struct exchange *ex)
{
	uint64_t total_ms = ex->route->timeouts.connect_total_ms;

	return total_ms != 0 ? ex->selected_us / 1000 + total_ms : UINT64_MAX;
}

/* The next step has its time, and no more than all of them have left. */
static void
arm(struct backend_conn *bc)
{
	uint64_t end = end_of_try(bc->ex);
	uint64_t step = now_ms() + bc->ex->route->timeouts.connect_ms;

	deadline_set(bc->proxy->loop, &bc->conn.deadline,
	    step < end ? step : end);
}

void
backend_conn_open_late(struct backend_conn *bc)
{
	const char *detail = now_ms() >= end_of_try(bc->ex) ?
	    "timeouts.connect_total" : NULL;

	backend_conn_fail(bc, bc->state == STATE_HANDSHAKE ?
	    REASON_BACKEND_TLS_TIMEOUT : reason_of(bc->ex, ETIMEDOUT), detail);
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
		backend_conn_leave(bc);
		backend_h2_take(ex, &bc->conn, bc->is_limited,
		    bc->item.tenancy);
		bc->is_limited = false;
		backend_conn_die(bc);
	} else if (bc->for_h2) {
		bc->for_h2 = false;
		backend_h2_connect_ended(bc->proxy, ex->backend);
	}
}

void
backend_conn_open_shake(struct backend_conn *bc)
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
		backend_conn_fail(bc, REASON_BACKEND_CERTIFICATE, why(bc));
		break;
	default:
		backend_conn_fail(bc, REASON_BACKEND_TLS_FAILED, why(bc));
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
	char memory[BACKEND_CONN_NAME_MAX];
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
	arm(bc);
	/* It only sends: an answer cannot have come yet. */
	(void)conn_handshake(&bc->conn);
	return 0;
}

/* Ask the next hop for the backend: 0, and the loop will tell the rest. */
static int
ask_hop(struct backend_conn *bc)
{
	char memory[VIA_REQUEST_MAX];
	struct str out;

	str_init(&out, memory, sizeof(memory));
	via_put_request(&bc->ex->group->conf->via, bc->connecting_to, &out);
	bc->via = via_answer_new();
	bc->state = STATE_VIA;
	arm(bc);
	/* A failure shows when its answer is read. */
	(void)!conn_send(&bc->conn, str_view(&out));
	if (bc->conn.readable || bc->conn.failed) {
		bc->conn.readable = true;
		loop_defer(bc->proxy->loop, &bc->task);
	}
	return 0;
}

/*
 * There is a way to the backend: what comes before HTTP.  0 or an errno;
 * *pending: the loop will tell the rest.
 */
static int
begin(struct backend_conn *bc, bool *pending)
{
	*pending = bc->ex->backend->tls != NULL;
	say_proxy(bc);
	if (*pending)
		return begin_handshake(bc);
	established(bc);
	return 0;
}

/* The socket is connected. */
static int
on_connected(struct backend_conn *bc, bool *pending)
{
	bc->conn.failed = false;
	if (!bc->ex->group->conf->has_via)
		return begin(bc, pending);
	*pending = true;
	return ask_hop(bc);
}

/* May there be one more connection?  An idle one of other terms makes room. */
static bool
take_room(struct exchange *ex)
{
	const struct backend *b = ex->backend;

	return backend_take_connection(b) ||
	    ((pool_close_one(ex->proxy->pool, b) ||
	    backend_h2_close_one(ex->proxy, b)) &&
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
	backend_conn_attach(bc, ex);
	if (backend_h2_is_wanted(ex)) {
		bc->for_h2 = true;
		backend_h2_connect_began(ex->proxy, ex->backend);
	}
	if (*pending) {
		bc->state = STATE_CONNECTING;
		bc->conn.writable = false;
		arm(bc);
		return 0;
	}
	error = on_connected(bc, pending);
	if (error != 0)
		backend_conn_drop(bc);
	return error;
}

enum backend_conn_result
backend_conn_open(struct exchange *ex, bool may_reuse, enum reason *reason,
    const char **detail)
{
	bool pending = false;
	int error;

	if (lacks_name(ex)) {
		*reason = REASON_MISDIRECTED;
		*detail = "no name to verify the backend's certificate by";
		return BACKEND_CONN_FAILED;
	}
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
		*reason = reason_of(ex, error);
		*detail = errno_detail(ex, error);
		return BACKEND_CONN_FAILED;
	}
	count(ex, PROXY_STAT_CONNECTS, UPSTREAM_STAT_CONNECTS);
	return pending ? BACKEND_CONN_PENDING : BACKEND_CONN_READY;
}

void
backend_conn_open_new(struct exchange *ex)
{
	bool pending = false;
	int error = connect_fresh(ex, 0, &pending);

	if (error == EBUSY && ex->backend->limit != 0) {
		exchange_on_full(ex);
		return;
	}
	if (error != 0) {
		counter_add(&ex->proxy->stats[PROXY_STAT_CONNECT_FAILURES], 1);
		exchange_on_backend_failed(ex, reason_of(ex, error),
		    errno_detail(ex, error));
		return;
	}
	count(ex, PROXY_STAT_CONNECTS, UPSTREAM_STAT_CONNECTS);
	if (!pending)
		exchange_on_connected(ex, false);
}

/* This address was none: the next one of the backend, or the try fails. */
static void
try_next(struct backend_conn *bc, enum reason reason, const char *detail)
{
	struct exchange *ex = bc->ex;
	unsigned seen = bc->seen;
	bool pending = false;
	int again;

	group_address_failed(ex->group, ex->backend, bc->connecting_to);
	backend_conn_drop(bc);
	again = connect_fresh(ex, seen, &pending);
	if (again == 0 && !pending)
		exchange_on_connected(ex, false);
	if (again == 0)
		return;
	counter_add(&ex->proxy->stats[PROXY_STAT_CONNECT_FAILURES], 1);
	exchange_on_backend_failed(ex, reason, detail);
}

/* The connect has come to an end, well or not. */
void
backend_conn_open_ended(struct backend_conn *bc)
{
	struct exchange *ex = bc->ex;
	int error = sock_error(bc->conn.watch.fd);
	bool pending = false;

	if (error == 0)
		error = on_connected(bc, &pending);
	if (error != 0)
		try_next(bc, reason_of(ex, error), errno_detail(ex, error));
	else if (!pending)
		exchange_on_connected(ex, false);
}

/* The hop's answer, or a part of it. */
void
backend_conn_open_via(struct backend_conn *bc)
{
	struct exchange *ex = bc->ex;
	char memory[256];
	struct str why;
	bool pending = false;
	int error;

	str_init(&why, memory, sizeof(memory));
	switch (via_answer_receive(bc->via, &bc->conn, &why)) {
	case VIA_MORE:
		return;
	case VIA_OPEN:
		break;
	case VIA_REFUSED:
	default:
		try_next(bc, REASON_VIA_FAILED,
		    arena_dup(&ex->arena, str_view(&why)));
		return;
	}
	free(bc->via);
	bc->via = NULL;
	bc->received_before = bc->conn.received;
	bc->given_before = conn_given(&bc->conn);
	error = begin(bc, &pending);
	if (error != 0)
		try_next(bc, reason_of_errno(error), errno_detail(ex, error));
	else if (!pending)
		exchange_on_connected(ex, false);
}
