/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe_h2 - one stream of one session.
 *
 * The session tells of it from inside of h2_session_receive(), where nothing
 * may be freed: what comes is noted, and judged by the caller afterwards.
 */
#include "background/probe_h2.h"

#include <stdlib.h>
#include <string.h>

#include "base/heap_alloc.h"
#include "base/now.h"
#include "conf/template.h"
#include "http/h2_session.h"
#include "http/hop.h"
#include "net/conn.h"
#include "upstream/check_conf.h"

enum {
	HEAD_MAX = 32768,
	FIELDS_MAX = 200,
	WINDOW = 65536,
	FRAMES_MAX = 1000, /* of a kind, for one answer */
};

struct probe_h2 {
	struct h2_conf conf;
	struct h2_session *session;
	struct h2_stream stream;
	struct arena arena; /* of heads */
	struct conn *conn;
	char *body;         /* heap */
	size_t len, body_max;
	unsigned status;
	bool is_ended, has_failed;
	const char *why;
};

static struct probe_h2 *
of_stream(struct h2_stream *st)
{
	return LIST_OF(st, struct probe_h2, stream);
}

static void
fail(struct probe_h2 *h, const char *why)
{
	h->has_failed = true;
	if (h->why == NULL)
		h->why = why;
}

/* ---- what the session tells ---- */

static struct arena *
arena(struct h2_stream *st)
{
	return &of_stream(st)->arena;
}

static void
on_response(struct h2_stream *st, const struct http_response *res)
{
	if (res->status >= 200)
		of_stream(st)->status = res->status;
}

static void
on_body(struct h2_stream *st, struct span bytes)
{
	struct probe_h2 *h = of_stream(st);
	size_t room = h->body_max - h->len;
	size_t n = bytes.len < room ? bytes.len : room;

	memcpy(h->body + h->len, bytes.p, n);
	h->len += n;
	h2_stream_consumed(st, bytes.len);
}

static void
on_end(struct h2_stream *st, struct http_fields *trailers)
{
	(void)trailers;
	of_stream(st)->is_ended = true;
}

static void
on_close(struct h2_stream *st)
{
	struct probe_h2 *h = of_stream(st);

	if (!h->is_ended)
		fail(h, "the stream was reset");
}

static void
on_malformed(void *owner, struct h2_stream *st, const char *detail)
{
	(void)st;
	(void)detail; /* of the session's memory */
	fail(owner, "malformed HTTP/2");
}

static void
on_flood(void *owner, enum h2_flood flood)
{
	(void)flood;
	fail(owner, "too many frames of HTTP/2");
}

static void
on_goaway(void *owner, uint32_t last_id, uint32_t error)
{
	struct probe_h2 *h = owner;

	(void)error;
	if (last_id < (uint32_t)h->stream.id)
		fail(h, "it takes no requests (GOAWAY)");
}

static void
on_nothing(void *owner)
{
	(void)owner;
}

static const struct h2_events events = {
	.arena = arena,
	.on_response = on_response,
	.on_body = on_body,
	.on_end = on_end,
	.on_close = on_close,
	.on_malformed = on_malformed,
	.on_flood = on_flood,
	.on_settings = on_nothing,
	.on_goaway = on_goaway,
	.on_pong = on_nothing,
};

static void
write_out(void *owner, struct span bytes)
{
	struct probe_h2 *h = owner;

	(void)!conn_send(h->conn, bytes);
}

/* A request and a few acknowledgements: conn keeps what has to wait. */
static bool
has_room(void *owner)
{
	const struct probe_h2 *h = owner;

	return !h->conn->failed;
}

/* ---- the request ---- */

static void
fill_conf(struct probe_h2 *h, struct block_pool *pool)
{
	h->conf = (struct h2_conf){
		.events = &events,
		.owner = h,
		.pool = pool,
		.write = write_out,
		.has_room = has_room,
		.head = { .bytes_max = HEAD_MAX, .line_max = HEAD_MAX,
		    .fields_max = FIELDS_MAX },
		.header_list_max = 2 * HEAD_MAX,
		.stream_window = WINDOW,
		.window = WINDOW,
		.is_client = true,
	};
	for (unsigned i = 0; i < H2_FLOOD_COUNT; i++)
		h->conf.floods_max[i] = FRAMES_MAX;
}

static void
add_fields(struct probe_h2 *h, const struct check_conf *conf,
    struct http_request *req)
{
	http_fields_add(&req->fields, &h->arena, SPAN("User-Agent"),
	    SPAN("weir-health"));
	for (size_t i = 0; i < conf->headers.count; i++) {
		struct span value = { NULL, 0 };

		(void)template_is_constant(conf->headers.items[i].value,
		    &value);
		http_fields_add(&req->fields, &h->arena,
		    span_cstr(conf->headers.items[i].name), value);
	}
	/* HTTP/2 has no place for those of a connection (RFC 9113, 8.2.2). */
	(void)hop_strip_request(req);
}

static int
ask(struct probe_h2 *h, const struct probe_h2_request *r)
{
	static const struct h2_framing none = { .is_end = true };
	struct span method = span_cstr(r->conf->method);
	struct http_request req = { .method = method,
		.method_id = (uint8_t)http_method_lookup(method) };

	add_fields(h, r->conf, &req);
	return h2_stream_request(h->session, &h->stream, &req,
	    span_cstr(r->conf->path), r->host,
	    r->is_secure ? SPAN("https") : SPAN("http"), &none);
}

struct probe_h2 *
probe_h2_new(struct conn *conn, struct block_pool *pool,
    const struct probe_h2_request *r)
{
	struct probe_h2 *h = heap_alloc_zeroed(1, sizeof(*h));

	h->conn = conn;
	h->body_max = r->body_max;
	h->body = heap_alloc(r->body_max);
	arena_init(&h->arena, NULL);
	fill_conf(h, pool);
	h->session = h2_session_new(&h->conf);
	if (h->session == NULL || ask(h, r) != 0) {
		probe_h2_free(h);
		return NULL;
	}
	h2_session_compose(h->session);
	return h;
}

void
probe_h2_free(struct probe_h2 *h)
{
	if (h == NULL)
		return;
	h2_session_free(h->session);
	arena_fini(&h->arena);
	free(h->body);
	free(h);
}

/* ---- the answer ---- */

enum probe_h2_state
probe_h2_receive(struct probe_h2 *h, struct span bytes)
{
	h2_session_receive(h->session, bytes, now_ms());
	h2_session_compose(h->session);
	if (h->is_ended || (h->status != 0 && h->len == h->body_max))
		return PROBE_H2_ENDED;
	if (h2_session_is_over(h->session))
		fail(h, "not HTTP/2");
	return h->has_failed ? PROBE_H2_FAILED : PROBE_H2_MORE;
}

unsigned
probe_h2_status(const struct probe_h2 *h)
{
	return h->status;
}

struct span
probe_h2_body(const struct probe_h2 *h)
{
	return span_of(h->body, h->len);
}

const char *
probe_h2_why(const struct probe_h2 *h)
{
	return h->why;
}
