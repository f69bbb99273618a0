/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe - the steps of a health check.
 *
 * A kept connection that breaks before it has answered says nothing about the
 * backend: the check begins again on a new one.
 */
#include "background/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "background/probe_h2.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/now.h"
#include "base/str.h"
#include "conf/regex.h"
#include "conf/template.h"
#include "net/proxyproto.h"
#include "net/tls_stream.h"
#include "os/sock.h"
#include "upstream/backend.h"
#include "upstream/check_conf.h"
#include "upstream/group.h"
#include "upstream/group_socket.h"
#include "upstream/via.h"

enum {
	REQUEST_MAX = 16384,
	HEAD_MAX = 32768,
	ANSWER_MAX = 65536, /* of a head, and then of a body */
	FIELDS_MAX = 200,
	HOST_MAX = 1024,
};

static void on_event(struct loop_watch *w, unsigned events);
static void on_conn_deadline(struct deadline *d);
static void on_timeout(struct deadline *d);

void
probe_init(struct probe *p, const struct probe_env *env,
    const struct backend *b, probe_fn *on_result)
{
	memset(p, 0, sizeof(*p));
	p->backend = b;
	p->conf = &b->group->conf->health_check;
	p->loop = env->loop;
	p->pool = env->pool;
	p->tls = env->tls;
	p->on_result = on_result;
	p->conn.watch.fd = -1;
	deadline_init(&p->timeout, on_timeout);
}

static void
close_conn(struct probe *p)
{
	if (p->conn.watch.fd >= 0)
		conn_close(&p->conn, false);
	p->conn.watch.fd = -1;
	free(p->via);
	p->via = NULL;
	p->is_connecting = false;
	p->is_shaking = false;
}

static void
free_answer(struct probe *p)
{
	if (p->head_done)
		h1_body_fini(&p->body);
	probe_h2_free(p->h2);
	p->h2 = NULL;
	free(p->buffer);
	p->buffer = NULL;
	p->len = 0;
	p->body_len = 0;
	p->head_done = false;
	p->h1 = (struct h1_state){ .checked = 0 };
}

void
probe_stop(struct probe *p)
{
	p->is_running = false;
	close_conn(p);
	free_answer(p);
	deadline_stop(p->loop, &p->timeout);
}

static void
finish(struct probe *p, enum health_why why, const char *detail)
{
	bool keep = why == HEALTH_PASSED && p->conf->reuse && p->keep_alive &&
	    !p->conn.peer_closed && tls_stream_is_current(&p->conn);

	p->is_running = false;
	deadline_clear(&p->timeout);
	free_answer(p);
	if (!keep)
		close_conn(p);
	p->on_result(p, why, detail);
}

static void
on_timeout(struct deadline *d)
{
	struct probe *p = LIST_OF(d, struct probe, timeout);

	finish(p, HEALTH_TIMEOUT, p->is_connecting ? "connecting" :
	    p->via != NULL ? "the next hop" :
	    p->is_shaking ? "TLS handshake" : NULL);
}

/* Nothing has one: the check as a whole does. */
static void
on_conn_deadline(struct deadline *d)
{
	(void)d;
}

/* ---- connecting ---- */

static void
set_port(struct addr *a, uint32_t port)
{
	if (port == 0)
		return;
	if (a->u.sa.sa_family == AF_INET)
		a->u.in.sin_port = htons((uint16_t)port);
	else if (a->u.sa.sa_family == AF_INET6)
		a->u.in6.sin6_port = htons((uint16_t)port);
}

/* The next address that this check has not tried; false = there is none. */
static bool
next_address(struct probe *p, struct addr *a)
{
	struct backend_addresses list;
	unsigned at = p->seen++;

	if (!p->backend->is_name) {
		if (at > 0)
			return false;
		*a = p->backend->spec->addr;
	} else {
		if (!backend_addresses(p->backend, &list) || at >= list.count)
			return false;
		backend_address_of(a, &list.items[at], p->backend->spec->port);
	}
	set_port(a, p->conf->port);
	return true;
}

static void
connect_failed(struct probe *p, int error)
{
	finish(p, error == ECONNREFUSED || error == ENOENT ? HEALTH_REFUSED :
	    error == ETIMEDOUT ? HEALTH_TIMEOUT : HEALTH_UNREACHABLE,
	    error == ECONNREFUSED ? NULL : strerror(error));
}

static void on_connected(struct probe *p);

static void
connect_next(struct probe *p, int error)
{
	const struct group_conf *conf = p->backend->group->conf;
	const struct addr *to = conf->has_via ? &conf->via.address->addr :
	    &p->to;

	while (next_address(p, &p->to)) {
		bool pending = false;
		int fd = group_socket_connect(conf, to, false, &pending);

		if (fd < 0) {
			error = errno;
			continue;
		}
		conn_init(&p->conn, p->loop, p->pool, fd, on_event,
		    on_conn_deadline);
		p->is_connecting = pending;
		p->is_reused = false;
		if (conn_watch(&p->conn) != 0) {
			finish(p, HEALTH_UNREACHABLE, strerror(errno));
			return;
		}
		if (pending)
			p->conn.writable = false;
		else
			on_connected(p);
		return;
	}
	if (p->backend->is_name && p->seen == 1)
		finish(p, HEALTH_UNRESOLVED, NULL);
	else
		connect_failed(p, error);
}

/* A kept connection died before it answered: once more, with a new one. */
static bool
begin_again(struct probe *p)
{
	if (!p->is_reused || p->len > 0)
		return false;
	close_conn(p);
	free_answer(p);
	connect_next(p, ECONNREFUSED);
	return true;
}

/* ---- asking ---- */

static void
put_host(const struct probe *p, struct str *out)
{
	const struct check_conf *conf = p->conf;

	if (conf->host != NULL)
		str_cstr(out, conf->host);
	else if (p->backend->spec->addr.u.sa.sa_family == AF_UNIX &&
	    !p->backend->is_name)
		str_lit(out, "localhost");
	else
		str_span(out, p->backend->text);
}

static void
put_request(const struct probe *p, struct str *out)
{
	const struct check_conf *conf = p->conf;

	str_printf(out, "%s %s HTTP/1.1\r\nHost: ", conf->method, conf->path);
	put_host(p, out);
	str_lit(out, "\r\nUser-Agent: weir-health\r\n");
	if (!conf->reuse)
		str_lit(out, "Connection: close\r\n");
	for (size_t i = 0; i < conf->headers.count; i++) {
		struct span value = { NULL, 0 };

		(void)template_is_constant(conf->headers.items[i].value,
		    &value);
		str_printf(out, "%s: %.*s\r\n", conf->headers.items[i].name,
		    SPAN_ARG(value));
	}
	str_lit(out, "\r\n");
}

/* Another port is one for checks, and HTTP/1.1 is what those have in common. */
static bool
is_h2(const struct probe *p)
{
	return p->conf->type == CHECK_CONF_HTTP && p->conf->port == 0 &&
	    p->backend->group->conf->protocol == GROUP_H2;
}

static void
talk_h2(struct probe *p)
{
	char memory[HOST_MAX];
	struct probe_h2_request request = { .conf = p->conf,
		.is_secure = conn_is_secure(&p->conn),
		.body_max = ANSWER_MAX };
	struct str host;

	p->keep_alive = false;
	if (conn_is_secure(&p->conn) &&
	    !span_eq(conn_alpn(&p->conn), SPAN("h2"))) {
		finish(p, HEALTH_NOT_HTTP, "HTTP/2 was not agreed on");
		return;
	}
	str_init(&host, memory, sizeof(memory));
	put_host(p, &host);
	request.host = str_view(&host);
	p->buffer = heap_alloc(ANSWER_MAX);
	p->h2 = probe_h2_new(&p->conn, p->pool, &request);
	if (p->h2 == NULL)
		finish(p, HEALTH_NOT_HTTP, "the request cannot be sent");
	else if (p->conn.failed)
		finish(p, HEALTH_CLOSED, NULL);
}

/* The connection stands, with TLS where the backend has it. */
static void
talk(struct probe *p)
{
	char memory[REQUEST_MAX];
	struct str out;

	if (p->conf->type != CHECK_CONF_HTTP) {
		finish(p, HEALTH_PASSED, NULL);
		return;
	}
	if (is_h2(p)) {
		talk_h2(p);
		return;
	}
	str_init(&out, memory, sizeof(memory));
	put_request(p, &out);
	p->buffer = heap_alloc(ANSWER_MAX);
	if (conn_send(&p->conn, str_view(&out)) != 0 && !begin_again(p))
		finish(p, HEALTH_CLOSED, NULL);
}

/* ---- TLS ---- */

static void
shake(struct probe *p)
{
	struct str why;

	switch (conn_handshake(&p->conn)) {
	case 0:
		p->is_shaking = false;
		talk(p);
		return;
	case CONN_AGAIN:
		return;
	default:
		str_init(&why, p->detail, sizeof(p->detail));
		finish(p, HEALTH_TLS, conn_fact(&p->conn, CONN_FACT_WHY,
		    &why) ? str_terminate(&why) : NULL);
		return;
	}
}

/*
 * The name to ask for: as for requests, but for what follows from a request,
 * of which there is none here.
 */
static struct span
server_name(const struct backend *b)
{
	struct span name;

	if (b->tls_conf->sni == NULL)
		return b->is_name ? span_cstr(b->spec->host) :
		    span_of(NULL, 0);
	return template_is_constant(b->tls_conf->sni, &name) ? name :
	    span_of(NULL, 0);
}

/* A backend that waits for the PROXY protocol: there is no client behind. */
static void
say_proxy(struct probe *p)
{
	static const struct addr_ip nobody = { .family = AF_UNIX };
	unsigned version = p->backend->group->conf->proxy_protocol;
	char memory[PROXYPROTO_V1_MAX + 1];
	struct str out;

	if (version == 0 || p->conf->port != 0)
		return;
	str_init(&out, memory, sizeof(memory));
	proxyproto_write(&out, version, &nobody, &nobody);
	(void)!conn_send(&p->conn, str_view(&out));
}

/* There is a way to the backend. */
static void
begin(struct probe *p)
{
	const struct backend *b = p->backend;
	struct conn_stream *stream;

	say_proxy(p);
	if (b->tls == NULL || p->conf->type == CHECK_CONF_TCP) {
		talk(p);
		return;
	}
	stream = tls_stream_connect(p->tls, b->tls, b->name, server_name(b));
	if (stream == NULL) {
		finish(p, HEALTH_TLS, "out of memory");
		return;
	}
	/* What talk() speaks, whatever requests do. */
	if (p->conf->type == CHECK_CONF_HTTP && !is_h2(p) &&
	    b->group->conf->protocol != GROUP_H1)
		tls_stream_offer_h1(stream);
	conn_set_stream(&p->conn, stream);
	p->is_shaking = true;
	shake(p);
}

/* The hop's answer, or a part of it. */
static void
read_via(struct probe *p)
{
	struct str why;

	str_init(&why, p->detail, sizeof(p->detail));
	str_lit(&why, "next hop: ");
	switch (via_answer_receive(p->via, &p->conn, &why)) {
	case VIA_MORE:
		return;
	case VIA_OPEN:
		free(p->via);
		p->via = NULL;
		begin(p);
		return;
	case VIA_REFUSED:
	default:
		finish(p, HEALTH_UNREACHABLE, str_terminate(&why));
		return;
	}
}

/* The socket is connected. */
static void
on_connected(struct probe *p)
{
	char memory[VIA_REQUEST_MAX];
	struct str out;

	p->is_connecting = false;
	p->conn.failed = false;
	if (!p->backend->group->conf->has_via) {
		begin(p);
		return;
	}
	str_init(&out, memory, sizeof(memory));
	via_put_request(&p->backend->group->conf->via, &p->to, &out);
	p->via = via_answer_new();
	/* A failure shows when its answer is read. */
	(void)!conn_send(&p->conn, str_view(&out));
	if (p->conn.readable)
		read_via(p);
}

/* ---- the answer ---- */

static void
judge_text(struct probe *p, struct span body)
{
	const struct conf_regex *re = p->conf->body_match;

	if (re == NULL || conf_regex_match(re, body, NULL, 0) == 1)
		finish(p, HEALTH_PASSED, NULL);
	else
		finish(p, HEALTH_BODY, NULL);
}

static void
judge_body(struct probe *p)
{
	judge_text(p, span_of(p->buffer, p->body_len));
}

static void
refuse_status(struct probe *p, unsigned status)
{
	snprintf(p->detail, sizeof(p->detail), "%u", status);
	finish(p, HEALTH_STATUS, p->detail);
}

/*
 * Bytes of the body stand behind those decoded so far; they move up.  False
 * when the check is over.
 */
static bool
feed_body(struct probe *p, struct span in)
{
	static const struct h1_body_limits limits = {
		.chunk_line_max = 4096, .trailers_max = HEAD_MAX,
		.trailer_fields_max = FIELDS_MAX };

	for (;;) {
		struct span data;

		switch (h1_body_next(&p->body, &limits, &in, &data)) {
		case H1_BODY_MORE:
			p->len = p->body_len;
			if (p->len < ANSWER_MAX)
				return true;
			/* Longer than anybody wants to search. */
			p->keep_alive = false;
			judge_body(p);
			return false;
		case H1_BODY_DATA:
			memmove(p->buffer + p->body_len, data.p, data.len);
			p->body_len += data.len;
			break;
		case H1_BODY_END:
			if (in.len > 0)
				p->keep_alive = false;
			judge_body(p);
			return false;
		case H1_BODY_REFUSED:
		default:
			finish(p, HEALTH_NOT_HTTP, NULL);
			return false;
		}
	}
}

static bool
on_head(struct probe *p, const struct http_response *res, size_t used)
{
	struct span rest = span_of(p->buffer + used, p->len - used);

	if (res->status < 200) {
		memmove(p->buffer, rest.p, rest.len);
		p->len = rest.len;
		p->h1 = (struct h1_state){ .checked = 0 };
		return true;
	}
	p->keep_alive = res->keep_alive;
	h1_body_init(&p->body, (enum http_framing)res->framing,
	    res->content_length);
	p->head_done = true;
	if (!check_conf_expects(p->conf, res->status)) {
		refuse_status(p, res->status);
		return false;
	}
	if (p->conf->body_match == NULL && !p->conf->reuse) {
		finish(p, HEALTH_PASSED, NULL);
		return false;
	}
	return feed_body(p, rest);
}

/* False when the check is over. */
static bool
feed_head(struct probe *p)
{
	static const struct h1_limits limits = { .head_max = HEAD_MAX,
		.line_max = HEAD_MAX, .fields_max = FIELDS_MAX };
	const struct h1_expected expected = {
		.method = http_method_lookup(span_cstr(p->conf->method)) };

	while (!p->head_done && p->len > 0) {
		struct http_response res;
		size_t used;

		switch (h1_parse_response(&p->h1, p->buffer, p->len, &limits,
		    &expected, &res, &used)) {
		case H1_MORE:
			return true;
		case H1_DONE:
			if (!on_head(p, &res, used))
				return false;
			break;
		case H1_REFUSED:
		default:
			finish(p, HEALTH_NOT_HTTP,
			    h1_refusal_text(p->h1.refusal));
			return false;
		}
	}
	return true;
}

static void
on_end(struct probe *p)
{
	if (p->head_done && h1_body_may_end(&p->body)) {
		p->keep_alive = false;
		judge_body(p);
	} else if (!begin_again(p)) {
		finish(p, HEALTH_CLOSED, NULL);
	}
}

static void
read_answer(struct probe *p)
{
	while (p->is_running && p->conn.readable) {
		ssize_t n = conn_receive(&p->conn, p->buffer + p->len,
		    ANSWER_MAX - p->len);
		size_t from = p->len;

		if (n == CONN_AGAIN)
			return;
		if (n <= 0) {
			on_end(p);
			return;
		}
		p->len += (size_t)n;
		if (p->head_done ? !feed_body(p, span_of(p->buffer + from,
		    (size_t)n)) : !feed_head(p))
			return;
	}
}

/* ---- the answer over HTTP/2 ---- */

/* False when the check is over. */
static bool
judge_h2(struct probe *p, enum probe_h2_state state)
{
	unsigned status = probe_h2_status(p->h2);

	if (status == 0 && state == PROBE_H2_MORE)
		return true;
	if (status == 0)
		finish(p, HEALTH_NOT_HTTP, probe_h2_why(p->h2));
	else if (!check_conf_expects(p->conf, status))
		refuse_status(p, status);
	else if (p->conf->body_match == NULL)
		finish(p, HEALTH_PASSED, NULL);
	else if (state == PROBE_H2_ENDED)
		judge_text(p, probe_h2_body(p->h2));
	else if (state == PROBE_H2_FAILED)
		finish(p, HEALTH_CLOSED, probe_h2_why(p->h2));
	else
		return true;
	return false;
}

static void
read_h2(struct probe *p)
{
	while (p->is_running && p->conn.readable) {
		ssize_t n = conn_receive(&p->conn, p->buffer, ANSWER_MAX);

		if (n == CONN_AGAIN)
			return;
		if (n <= 0) {
			finish(p, HEALTH_CLOSED, NULL);
			return;
		}
		if (!judge_h2(p, probe_h2_receive(p->h2,
		    span_of(p->buffer, (size_t)n))))
			return;
	}
}

static void
on_event(struct loop_watch *w, unsigned events)
{
	struct probe *p = LIST_OF(w, struct probe, conn.watch);

	conn_note(&p->conn, events);
	if (!p->is_running) {
		close_conn(p); /* a kept one that ended, or spoke unasked */
		return;
	}
	if (p->is_connecting) {
		int error;

		if ((events & (LOOP_WRITABLE | LOOP_FAILED)) == 0)
			return;
		error = sock_error(p->conn.watch.fd);
		if (error == 0) {
			on_connected(p);
		} else {
			close_conn(p);
			connect_next(p, error);
		}
	} else if ((events & LOOP_WRITABLE) != 0) {
		(void)conn_flush(&p->conn);
	}
	if (p->is_running && p->via != NULL && p->conn.readable)
		read_via(p);
	if (p->is_running && p->is_shaking && p->conn.readable)
		shake(p);
	if (p->is_running && p->h2 != NULL)
		read_h2(p);
	else if (p->is_running && p->buffer != NULL)
		read_answer(p);
}

void
probe_start(struct probe *p)
{
	p->is_running = true;
	p->seen = 0;
	deadline_set(p->loop, &p->timeout, now_ms() + p->conf->timeout_ms);
	/* Trust may have changed meanwhile. */
	if (p->conn.watch.fd >= 0 && !tls_stream_is_current(&p->conn))
		close_conn(p);
	if (p->conn.watch.fd >= 0) {
		p->is_reused = true;
		talk(p);
	} else {
		connect_next(p, EHOSTUNREACH);
	}
}
