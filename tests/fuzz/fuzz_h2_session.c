/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server's HTTP/2 session under arbitrary bytes: however they are cut, no
 * message is told that HTTP/1 would not take, and no byte of a body is lost.
 * The first byte chooses the cuts; what follows comes behind the preface.
 */
#include <stdlib.h>

#include "base/arena.h"
#include "base/block.h"
#include "http/h2_session.h"
#include "http/uri.h"
#include "splits.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { STREAMS_MAX = 64 };

struct stream {
	struct h2_stream h2;
	struct arena arena;
	struct stream *next;
	bool is_asked, is_closed;
};

struct peer {
	struct h2_session *session;
	struct stream *streams;
	size_t written;
};

static struct h2_stream *
on_open(void *owner)
{
	struct peer *peer = owner;
	struct stream *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	arena_init(&s->arena, NULL);
	s->next = peer->streams;
	peer->streams = s;
	return &s->h2;
}

static struct stream *
of_h2(struct h2_stream *st)
{
	return (struct stream *)(void *)st;
}

static struct arena *
arena_of(struct h2_stream *st)
{
	return &of_h2(st)->arena;
}

static void
check_fields(const struct http_fields *fields)
{
	for (uint32_t i = 0; i < fields->count; i++) {
		CHECK(http_is_token(http_field_name(&fields->items[i])));
		CHECK(http_is_field_value(
		    http_field_value(&fields->items[i])));
	}
}

static void
on_request(struct h2_stream *st, const struct http_request *req,
    enum h1_refusal refusal)
{
	struct http_response res = { .status = 200 };
	const struct h2_framing framing = { .is_end = false };

	CHECK(!of_h2(st)->is_asked);
	of_h2(st)->is_asked = true;
	if (refusal == H1_REFUSAL_NONE) {
		CHECK(http_is_token(req->method));
		CHECK(uri_is_authority(req->authority) && req->host.len > 0);
		CHECK(req->method_id == HTTP_METHOD_CONNECT ||
		    req->target.p[0] == '/' || req->target.len == 1);
		for (size_t i = 0; i < req->target.len; i++)
			CHECK((unsigned char)req->target.p[i] > ' ');
		check_fields(&req->fields);
	}
	h2_stream_respond(st, &res, &framing);
	h2_stream_body(st, SPAN("body"));
	h2_stream_end(st, NULL);
}

static void
on_body(struct h2_stream *st, struct span body)
{
	CHECK(of_h2(st)->is_asked && !st->in_ended);
	h2_stream_consumed(st, body.len);
}

static void
on_end(struct h2_stream *st, struct http_fields *trailers)
{
	CHECK(of_h2(st)->is_asked);
	if (trailers != NULL)
		check_fields(trailers);
}

static void
on_close(struct h2_stream *st)
{
	CHECK(!of_h2(st)->is_closed && st->session == NULL);
	of_h2(st)->is_closed = true;
}

static void
on_malformed(void *owner, struct h2_stream *st, const char *detail)
{
	(void)owner;
	(void)st;
	CHECK(detail != NULL && detail[0] != '\0');
}

static void
on_flood(void *owner, enum h2_flood flood)
{
	(void)owner;
	CHECK(flood < H2_FLOOD_COUNT);
}

static void
on_pong(void *owner)
{
	(void)owner;
}

static const struct h2_events events = {
	.open = on_open,
	.arena = arena_of,
	.on_request = on_request,
	.on_body = on_body,
	.on_end = on_end,
	.on_close = on_close,
	.on_malformed = on_malformed,
	.on_flood = on_flood,
	.on_pong = on_pong,
};

static void
write_out(void *owner, struct span bytes)
{
	struct peer *peer = owner;

	peer->written += bytes.len;
}

static bool
has_room(void *owner)
{
	(void)owner;
	return true;
}

static void
feed(struct peer *peer, struct span in)
{
	if (h2_session_is_over(peer->session))
		return;
	h2_session_receive(peer->session, in, 1);
	h2_session_compose(peer->session);
}

static void
run(struct span in, size_t piece)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	    "\0\0\0\4\0\0\0\0";
	struct block_pool pool;
	struct peer peer = { .session = NULL };
	struct h2_conf conf = {
		.events = &events, .owner = &peer, .pool = &pool,
		.write = write_out, .has_room = has_room,
		.head = { .bytes_max = 4096, .line_max = 1024,
			.fields_max = 32 },
		.header_list_max = 16384, .streams_max = STREAMS_MAX,
		.stream_window = 65535, .window = 262144,
		.takes_connect = true,
	};

	for (unsigned i = 0; i < H2_FLOOD_COUNT; i++)
		conf.floods_max[i] = 100;
	conf.floods_max[H2_FLOOD_CONTINUATION] = 8;
	block_pool_init(&pool, 1 << 22);
	peer.session = h2_session_new(&conf);
	CHECK(peer.session != NULL);
	feed(&peer, span_of(preface, sizeof(preface)));
	while (in.len > 0) {
		size_t n = in.len < piece ? in.len : piece;

		feed(&peer, span_of(in.p, n));
		in = span_of(in.p + n, in.len - n);
	}
	h2_session_free(peer.session);
	while (peer.streams != NULL) {
		struct stream *s = peer.streams;

		CHECK(s->is_closed);
		peer.streams = s->next;
		arena_fini(&s->arena);
		free(s);
	}
	block_pool_fini(&pool);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (len < 1)
		return 0;
	run(span_of((const char *)bytes + 1, len - 1),
	    bytes[0] == 0 ? len : bytes[0]);
	return 0;
}
