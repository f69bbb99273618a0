/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client_begin - what comes on a client's connection before HTTP/1: the PROXY
 * protocol, TLS, and finding out that it is HTTP/2.
 */
#include "proxy/client_conn_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/heap_alloc.h"
#include "base/str.h"
#include "net/proxyproto.h"
#include "net/tls_ctx.h"
#include "net/tls_stream.h"
#include "proxy/client_addr.h"
#include "proxy/client_h2.h"

static void
begin_handshake(struct client_conn *c)
{
	struct conn_stream *stream =
	    tls_stream_accept(c->proxy->tls, c->spec->tls);

	c->state = STATE_HANDSHAKE;
	if (stream == NULL) {
		client_conn_drop(c, true);
		return;
	}
	conn_set_stream(&c->conn, stream);
	client_conn_arm(c, tls_ctx_handshake_ms(c->spec->tls));
	client_begin_shake(c);
}

/* The connection's own bytes begin. */
void
client_begin_stream(struct client_conn *c)
{
	if (c->spec->tls != NULL) {
		begin_handshake(c);
		return;
	}
	client_conn_set_idle(c);
	client_conn_arm(c,
	    client_conn_service(c)->core->client_header_timeout_ms);
	client_receive(c);
}

void
client_begin_refuse(struct client_conn *c, const char *why)
{
	char memory[64];
	struct str ip;

	counter_add(&c->proxy->stats[PROXY_STAT_PROXY_REFUSED], 1);
	str_init(&ip, memory, sizeof(memory));
	addr_ip_put(&ip, &c->peer);
	log_info(NULL, "conn %llu %.*s: PROXY protocol: %s",
	    (unsigned long long)c->id, (int)ip.len, ip.p, why);
	client_conn_drop(c, false);
}

/*
 * Take what has come of the head, and nothing behind it: that may be the
 * first bytes of TLS.
 */
void
client_begin_read_proxy(struct client_conn *c)
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
			client_conn_drop(c, false);
			return;
		}
		k->len += (size_t)n;
		result = proxyproto_read(span_of(k->bytes, k->len), &said);
		c->conn.readable = true; /* it was not read empty */
	}
	if (result == PROXYPROTO_BAD) {
		client_begin_refuse(c, "malformed");
		return;
	}
	if (result == PROXYPROTO_MORE)
		return;
	c->kept = NULL;
	if (!said.is_local) {
		const struct span words[CONN_SAYINGS] = {
			[CONN_SAID_AUTHORITY] = said.authority,
			[CONN_SAID_ALPN] = said.alpn,
			[CONN_SAID_UNIQUE_ID] = said.unique_id,
		};

		c->peer = said.client;
		conn_set_said(&c->conn, words);
	}
	free(k);
	counter_add(&c->proxy->stats[PROXY_STAT_PROXY_TAKEN], 1);
	client_begin_stream(c);
}

void
client_begin_proxy(struct client_conn *c)
{
	const struct core_conf *core = client_conn_service(c)->core;

	c->state = STATE_PROXY;
	if (!client_addr_is_trusted(core, &c->peer)) {
		client_begin_refuse(c, "the peer is none of trusted_proxies");
		return;
	}
	c->kept = heap_alloc(sizeof(*c->kept) + PROXYPROTO_MAX);
	memset(c->kept, 0, sizeof(*c->kept));
	c->kept->size = PROXYPROTO_MAX;
	client_conn_arm(c, core->client_header_timeout_ms);
	client_begin_read_proxy(c);
}

/* The connection goes on as one of HTTP/2; this struct ends. */
void
client_begin_h2(struct client_conn *c, struct span in)
{
	struct proxy *proxy = c->proxy;

	client_conn_leave_idle(c);
	c->state = STATE_CLOSED;
	list_remove(&c->all);
	list_remove(&c->unwatched);
	c->next_dead = proxy->dead_clients;
	proxy->dead_clients = c;
	loop_defer(proxy->loop, &proxy->bury);
	client_h2_take(proxy, &c->conn, c->spec, &c->peer, c->id, in);
}

void
client_begin_failed(struct client_conn *c, enum proxy_stat stat,
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
	client_conn_drop(c, false);
}

/* Go on with the handshake; what comes behind it is the first request. */
void
client_begin_shake(struct client_conn *c)
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
			client_begin_h2(c, span_of(NULL, 0));
			break;
		}
		client_conn_set_idle(c);
		client_conn_arm(c,
		    client_conn_service(c)->core->client_header_timeout_ms);
		client_receive(c);
		break;
	case CONN_AGAIN:
		break;
	default:
		client_begin_failed(c, PROXY_STAT_TLS_FAILED, "failed");
		break;
	}
}
