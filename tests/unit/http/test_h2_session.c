/* SPDX-License-Identifier: BSD-2-Clause */
/* A client's and a server's session, and the bytes between them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/block.h"
#include "http/h2_session.h"
#include "base/str.h"

enum { WIRE_BYTES = 1 << 20 };

/* One end: what it wrote, and what it was told. */
struct end {
	struct h2_session *session;
	struct h2_conf conf;
	struct h2_stream stream;
	struct arena arena;
	char *wire;
	size_t wire_len;
	char told[4096];
	struct str out;
	bool is_full;      /* its socket takes nothing */
	bool keeps;        /* body is not acknowledged */
};

static struct block_pool blocks;

static struct end *
of_h2(struct h2_stream *st)
{
	return (struct end *)(void *)((char *)st -
	    offsetof(struct end, stream));
}

static struct h2_stream *
on_open(void *owner)
{
	return &((struct end *)owner)->stream;
}

static struct arena *
arena_of(struct h2_stream *st)
{
	return &of_h2(st)->arena;
}

static void
on_request(struct h2_stream *st, const struct http_request *req,
    enum h1_refusal refusal)
{
	str_printf(&of_h2(st)->out, "[%.*s %.*s %d]", SPAN_ARG(req->method),
	    SPAN_ARG(req->target), (int)refusal);
}

static void
on_response(struct h2_stream *st, const struct http_response *res)
{
	str_printf(&of_h2(st)->out, "[%u]", res->status);
}

static void
on_body(struct h2_stream *st, struct span bytes)
{
	struct end *end = of_h2(st);

	if (bytes.len < 100)
		str_span(&end->out, bytes);
	else
		str_printf(&end->out, "<%zu>", bytes.len);
	if (!end->keeps)
		h2_stream_consumed(st, bytes.len);
}

static void
on_end(struct h2_stream *st, struct http_fields *trailers)
{
	str_lit(&of_h2(st)->out, "[end");
	for (uint32_t i = 0; trailers != NULL && i < trailers->count; i++)
		str_printf(&of_h2(st)->out, " %.*s",
		    SPAN_ARG(http_field_name(&trailers->items[i])));
	str_lit(&of_h2(st)->out, "]");
}

static void
on_close(struct h2_stream *st)
{
	str_printf(&of_h2(st)->out, "[close %u]", st->error);
}

static void
on_malformed(void *owner, struct h2_stream *st, const char *detail)
{
	(void)st;
	(void)detail;
	str_lit(&((struct end *)owner)->out, "[malformed]");
}

static void
on_flood(void *owner, enum h2_flood flood)
{
	str_printf(&((struct end *)owner)->out, "[flood %d]", (int)flood);
}

static void
on_pong(void *owner)
{
	str_lit(&((struct end *)owner)->out, "[pong]");
}

static const struct h2_events events = {
	.open = on_open,
	.arena = arena_of,
	.on_request = on_request,
	.on_response = on_response,
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
	struct end *end = owner;

	assert_true(end->wire_len + bytes.len <= WIRE_BYTES);
	if (bytes.len > 0)
		memcpy(end->wire + end->wire_len, bytes.p, bytes.len);
	end->wire_len += bytes.len;
}

static bool
has_room(void *owner)
{
	return !((struct end *)owner)->is_full;
}

static void
begin_with(struct end *end, bool is_client, uint32_t stream_window,
    uint32_t window)
{
	memset(end, 0, sizeof(*end));
	arena_init(&end->arena, NULL);
	end->wire = malloc(WIRE_BYTES);
	str_init(&end->out, end->told, sizeof(end->told));
	end->conf = (struct h2_conf){
		.events = &events, .owner = end, .pool = &blocks,
		.write = write_out, .has_room = has_room,
		.head = { .bytes_max = 4096, .line_max = 1024,
			.fields_max = 32 },
		.header_list_max = 16384, .streams_max = 10,
		.stream_window = stream_window, .window = window,
		.is_client = is_client,
	};
	for (unsigned i = 0; i < H2_FLOOD_COUNT; i++)
		end->conf.floods_max[i] = 20;
	end->session = h2_session_new(&end->conf);
	assert_non_null(end->session);
	h2_session_compose(end->session);
}

static void
begin(struct end *end, bool is_client)
{
	begin_with(end, is_client, 65535, 1 << 20);
}

static void
finish(struct end *end)
{
	h2_session_free(end->session);
	arena_fini(&end->arena);
	free(end->wire);
}

/* Bytes go over in pieces, until nobody has any. */
static void
exchange(struct end *a, struct end *b, size_t piece)
{
	for (int turn = 0; turn < 100; turn++) {
		struct end *from = turn % 2 == 0 ? a : b;
		struct end *to = turn % 2 == 0 ? b : a;
		size_t len = from->wire_len;

		for (size_t at = 0; at < len; at += piece)
			h2_session_receive(to->session,
			    span_of(from->wire + at,
			    len - at < piece ? len - at : piece), 1);
		from->wire_len = 0;
		h2_session_compose(to->session);
		if (a->wire_len == 0 && b->wire_len == 0 && turn > 1)
			return;
	}
	fail_msg("they do not come to an end");
}

static void
ask(struct end *client, bool is_end)
{
	static struct http_request req;
	const struct h2_framing framing = { .is_end = is_end };

	req.method = SPAN("POST");
	assert_int_equal(h2_stream_request(client->session, &client->stream,
	    &req, SPAN("/a"), SPAN("host"), SPAN("http"), &framing), 0);
}

static void
told(struct end *end, const char *want)
{
	str_terminate(&end->out);
	assert_string_equal(end->told, want);
	end->out.len = 0;
}

/* Whatever the pieces, the same is told. */
static void
test_round_trip(void **state)
{
	static const size_t pieces[] = { 1, 2, 7, 100000 };
	const struct h2_framing open = { .is_end = false };
	struct http_response res = { .status = 200 };
	struct http_field item = { .name = "x-t", .name_len = 3,
		.value = "v", .value_len = 1 };
	struct http_fields trailers = { .items = &item, .count = 1 };

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct end client, server;

		begin(&client, true);
		begin(&server, false);
		ask(&client, false);
		h2_stream_body(&client.stream, SPAN("abc"));
		h2_stream_end(&client.stream, NULL);
		h2_session_compose(client.session);
		exchange(&client, &server, pieces[i]);
		told(&server, "[POST /a 0]abc[end]");
		h2_stream_respond(&server.stream, &res, &open);
		h2_stream_body(&server.stream, SPAN("xy"));
		h2_stream_end(&server.stream, &trailers);
		h2_session_compose(server.session);
		exchange(&client, &server, pieces[i]);
		told(&client, "[200]xy[end x-t][close 0]");
		told(&server, "[close 0]");
		finish(&client);
		finish(&server);
	}
}

/* Without acknowledgement no more than a window comes. */
static void
test_windows_follow_what_is_consumed(void **state)
{
	static char body[200000];
	struct end client, server;
	size_t kept;

	(void)state;
	begin(&client, true);
	begin(&server, false);
	server.keeps = true;
	ask(&client, false);
	h2_stream_body(&client.stream, span_of(body, sizeof(body)));
	h2_session_compose(client.session);
	exchange(&client, &server, 100000);
	kept = server.stream.unconsumed;
	assert_int_equal(kept, 65535);
	assert_int_equal(h2_session_waiting(client.session),
	    sizeof(body) - kept);
	h2_stream_consumed(&server.stream, kept);
	h2_session_compose(server.session);
	exchange(&client, &server, 100000);
	assert_int_equal(server.stream.unconsumed, 65535);
	finish(&client);
	finish(&server);
}

/*
 * What is held stays out of the window, and all that is not held is in it: also
 * where more than half is held.
 */
static void
test_window_is_what_is_not_held(void **state)
{
	static char body[400000];
	struct end client, server;

	(void)state;
	begin(&client, true);
	begin_with(&server, false, 400000, 100000);
	server.keeps = true;
	exchange(&client, &server, 100000);
	ask(&client, false);
	h2_stream_body(&client.stream, span_of(body, sizeof(body)));
	h2_session_compose(client.session);
	exchange(&client, &server, 100000);
	assert_int_equal(h2_session_held(server.session), 100000);
	for (int i = 0; i < 5; i++) {
		h2_stream_consumed(&server.stream, 20000);
		assert_int_equal(h2_session_held(server.session), 80000);
		h2_session_compose(server.session);
		exchange(&client, &server, 100000);
		assert_int_equal(h2_session_held(server.session), 100000);
	}
	assert_int_equal(h2_session_waiting(client.session),
	    sizeof(body) - 200000);
	finish(&client);
	finish(&server);
}

/* A full socket stops composing; what waits is counted. */
static void
test_no_room(void **state)
{
	struct end client, server;

	(void)state;
	begin(&client, true);
	begin(&server, false);
	exchange(&client, &server, 100000);
	client.is_full = true;
	ask(&client, false);
	h2_stream_body(&client.stream, SPAN("abc"));
	h2_session_compose(client.session);
	assert_int_equal(client.wire_len, 0);
	assert_int_equal(h2_session_waiting(client.session), 3);
	client.is_full = false;
	h2_session_compose(client.session);
	assert_true(client.wire_len > 0);
	assert_int_equal(h2_session_waiting(client.session), 0);
	finish(&client);
	finish(&server);
}

static void
test_reset_and_refusal(void **state)
{
	struct end client, server;

	(void)state;
	begin(&client, true);
	begin(&server, false);
	ask(&client, false);
	h2_session_compose(client.session);
	exchange(&client, &server, 100000);
	h2_stream_reset(&server.stream, H2_REFUSED_STREAM);
	h2_session_compose(server.session);
	exchange(&client, &server, 100000);
	told(&client, "[close 7]");
	told(&server, "[POST /a 0][close 7]");
	finish(&client);
	finish(&server);
}

static void
test_floods_end_the_session(void **state)
{
	static const char ping[] = "\0\0\10\6\0\0\0\0\0" "12345678";
	struct end client, server;

	(void)state;
	begin(&client, true);
	begin(&server, false);
	exchange(&client, &server, 100000);
	for (int i = 0; i < 21; i++)
		h2_session_receive(server.session,
		    span_of(ping, sizeof(ping) - 1), 2);
	told(&server, "[flood 3]");
	h2_session_compose(server.session);
	assert_true(h2_session_is_over(server.session));
	finish(&client);
	finish(&server);
}

static void
test_goaway(void **state)
{
	struct end client, server;

	(void)state;
	begin(&client, true);
	begin(&server, false);
	exchange(&client, &server, 100000);
	h2_session_ping(client.session);
	h2_session_compose(client.session);
	exchange(&client, &server, 3);
	told(&client, "[pong]");
	h2_session_shut_down(server.session, false);
	h2_session_compose(server.session);
	exchange(&client, &server, 3);
	assert_true(h2_session_is_over(server.session));
	assert_true(h2_session_is_over(client.session));
	finish(&client);
	finish(&server);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_windows_follow_what_is_consumed),
		cmocka_unit_test(test_window_is_what_is_not_held),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_reset_and_refusal),
		cmocka_unit_test(test_floods_end_the_session),
		cmocka_unit_test(test_goaway),
	};
	int result;

	block_pool_init(&blocks, 1 << 24);
	result = cmocka_run_group_tests(tests, NULL, NULL);
	block_pool_fini(&blocks);
	return result;
}
