/* SPDX-License-Identifier: BSD-2-Clause */
/* Heads that are composed, chunks, and copies that outlive their source. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "http/h1_write.h"
#include "http/hop.h"
#include "render.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct h1_limits limits = {
	.head_max = 32768, .line_max = 8192, .fields_max = 100
};

struct message {
	struct arena arena;
	struct http_request req;
	struct http_response res;
	char text[4096];
	struct str out;
};

static int
setup(void **state)
{
	static struct message m;

	arena_init(&m.arena, NULL);
	str_init(&m.out, m.text, sizeof(m.text));
	*state = &m;
	return 0;
}

static int
teardown(void **state)
{
	struct message *m = *state;

	arena_fini(&m->arena);
	return 0;
}

/* Parse from memory that is gone afterwards, as the scratch is. */
static void
read_request(struct message *m, const char *text)
{
	struct h1_state head = { .checked = 0 };
	size_t len = strlen(text), used;
	char *bytes = malloc(len);

	assert_non_null(bytes);
	memcpy(bytes, text, len);
	assert_int_equal(h1_parse_request(&head, bytes, len, &limits, &m->req,
	    &used), H1_DONE);
	h1_copy_request(&m->arena, bytes, used, 2, &m->req);
	memset(bytes, '@', len);
	free(bytes);
}

static void
read_response(struct message *m, const char *text, enum http_method method)
{
	struct h1_expected expected = { .method = method };
	struct h1_state head = { .checked = 0 };
	size_t len = strlen(text), used;
	char *bytes = malloc(len);

	assert_non_null(bytes);
	memcpy(bytes, text, len);
	assert_int_equal(h1_parse_response(&head, bytes, len, &limits,
	    &expected, &m->res, &used), H1_DONE);
	h1_copy_response(&m->arena, bytes, used, 2, &m->res);
	memset(bytes, '@', len);
	free(bytes);
}

static void
check(struct message *m, const char *want)
{
	assert_false(m->out.overflow);
	assert_string_equal(str_terminate(&m->out), want);
	str_init(&m->out, m->text, sizeof(m->text));
}

static void
test_copy(void **state)
{
	static const char *const rows[][2] = {
		{ "GET /a?b HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
		    "GET /a?b 1.1 authority=a path=/a query=b keep"
		    "|Host: a|X: y" },
		{ "\r\nGET http://A.b./ HTTP/1.1\r\nHost: a.B\r\n\r\n",
		    "GET http://A.b./ 1.1 scheme=http authority=A.b. host=a.b "
		    "path=/ keep|Host: a.B" },
		{ "OPTIONS https://A HTTP/1.1\r\nHost: a\r\n\r\n",
		    "OPTIONS https://A 1.1 scheme=https authority=A host=a "
		    "path=* keep|Host: a" },
		{ "GET /? HTTP/1.0\r\n\r\n", "GET /? 1.0 path=/ query=" },
		{ "CONNECT a:1 HTTP/1.0\r\n\r\n",
		    "CONNECT a:1 1.0 authority=a:1 host=a path=" },
	};
	struct message *m = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		read_request(m, rows[i][0]);
		render_request(&m->out, &m->req);
		check(m, rows[i][1]);
		assert_int_equal(m->req.fields.size, m->req.fields.count + 2);
	}
	read_response(m, "HTTP/1.1 200 Fine\r\nA: b\r\nC:d\r\n\r\n",
	    HTTP_METHOD_GET);
	render_response(&m->out, &m->res);
	check(m, "200 Fine 1.1 until-close|A: b|C=d");
}

static void
test_copy_fields(void **state)
{
	struct message *m = *state;
	struct http_fields fields = { .count = 0 };
	char *name = malloc(1), *value = malloc(2);

	assert_non_null(name);
	assert_non_null(value);
	*name = 'A';
	memcpy(value, "bc", 2);
	http_fields_add(&fields, &m->arena, span_of(name, 1),
	    span_of(value, 2));
	http_fields_add(&fields, &m->arena, SPAN("d_e"), SPAN(""));
	h1_copy_fields(&m->arena, &fields);
	free(name);
	free(value);
	h1_write_fields(&m->out, &fields);
	check(m, "A: bc\r\nd_e: \r\n");
	fields.count = 0;
	h1_copy_fields(&m->arena, &fields);
	h1_write_fields(&m->out, &fields);
	check(m, "");
}

static void
test_request(void **state)
{
	struct message *m = *state;
	struct h1_framing none = { .framing = HTTP_FRAMING_NONE };
	struct h1_framing length = { .framing = HTTP_FRAMING_LENGTH,
		.content_length = 18446744073709551615u, .close = true };
	struct h1_framing chunked = { .framing = HTTP_FRAMING_CHUNKED,
		.te_trailers = true };
	struct h1_framing websocket = { .framing = HTTP_FRAMING_NONE,
		.upgrade_websocket = true, .te_trailers = true };

	read_request(m, "PUT /a?b HTTP/1.0\r\nA: 1\r\nB:2 \r\nhost: x\r\n"
	    "C: 3\r\nConnection: D\r\nD: 4\r\nE: 5\r\nF: 6\r\n\r\n");
	assert_int_equal(hop_strip_request(&m->req), H1_REFUSAL_NONE);
	h1_write_request(&m->out, &m->req, SPAN("/a?b"), SPAN("up"), &none);
	check(m, "PUT /a?b HTTP/1.1\r\nHost: up\r\nA: 1\r\nB: 2\r\nC: 3\r\n"
	    "E: 5\r\nF: 6\r\n\r\n");
	http_fields_add(&m->req.fields, &m->arena, SPAN("Via"), SPAN("1.0 w"));
	http_fields_set(&m->req.fields, &m->arena, SPAN("E"), SPAN("7"));
	h1_write_request(&m->out, &m->req, SPAN("*"), SPAN("up"), &length);
	check(m, "PUT * HTTP/1.1\r\nHost: up\r\nA: 1\r\nB: 2\r\nC: 3\r\n"
	    "E: 7\r\nF: 6\r\nVia: 1.0 w\r\n"
	    "Content-Length: 18446744073709551615\r\n"
	    "Connection: close\r\n\r\n");
	m->req.fields.count = 0;
	h1_write_request(&m->out, &m->req, SPAN("/"), span_of(
	    "0123456789abcdef01234567890123456789", 20), &none);
	check(m, "PUT / HTTP/1.1\r\nHost: 0123456789abcdef0123\r\n\r\n");
	h1_write_request(&m->out, &m->req, SPAN("/"), SPAN("up"), &chunked);
	check(m, "PUT / HTTP/1.1\r\nHost: up\r\nTransfer-Encoding: chunked\r\n"
	    "TE: trailers\r\nConnection: TE\r\n\r\n");
	h1_write_request(&m->out, &m->req, SPAN("/"), SPAN("up"), &websocket);
	check(m, "PUT / HTTP/1.1\r\nHost: up\r\nUpgrade: websocket\r\n"
	    "TE: trailers\r\nConnection: Upgrade, TE\r\n\r\n");
}

static void
test_response(void **state)
{
	struct message *m = *state;
	struct h1_framing length = { .framing = HTTP_FRAMING_LENGTH,
		.content_length = 0 };
	struct h1_framing until_close = { .framing = HTTP_FRAMING_CLOSE,
		.close = true };
	struct h1_framing kept = { .framing = HTTP_FRAMING_NONE,
		.keep_alive = true };

	read_response(m, "HTTP/1.0 404 Gone fishing\r\nServer: a\r\n"
	    "Host: b\r\nContent-Length: 0\r\n\r\n", HTTP_METHOD_GET);
	assert_int_equal(hop_strip_response(&m->res), H1_REFUSAL_NONE);
	h1_write_response(&m->out, &m->res, &length);
	check(m, "HTTP/1.1 404 Gone fishing\r\nServer: a\r\nHost: b\r\n"
	    "Content-Length: 0\r\n\r\n");
	h1_write_response(&m->out, &m->res, &until_close);
	check(m, "HTTP/1.1 404 Gone fishing\r\nServer: a\r\nHost: b\r\n"
	    "Connection: close\r\n\r\n");

	read_response(m, "HTTP/1.1 200\r\nContent-Length: 9\r\n\r\n",
	    HTTP_METHOD_HEAD);
	assert_int_equal(hop_strip_response(&m->res), H1_REFUSAL_NONE);
	h1_write_response(&m->out, &m->res, &kept);
	check(m, "HTTP/1.1 200 \r\nContent-Length: 9\r\n"
	    "Connection: keep-alive\r\n\r\n");
}

static void
test_chunks(void **state)
{
	struct message *m = *state;
	struct http_fields trailers = { .count = 0 };

	h1_write_chunk(&m->out, 1);
	check(m, "1\r\n");
	h1_write_chunk(&m->out, 0xabcdef0123);
	check(m, "abcdef0123\r\n");
	h1_write_chunk(&m->out, UINT64_MAX);
	check(m, "ffffffffffffffff\r\n");
	h1_write_last_chunk(&m->out, NULL);
	check(m, "0\r\n\r\n");
	http_fields_add(&trailers, &m->arena, SPAN("A"), SPAN("b"));
	http_fields_add(&trailers, &m->arena, SPAN("C"), SPAN("d"));
	trailers.items[0].flags |= HTTP_FIELD_DROPPED;
	h1_write_last_chunk(&m->out, &trailers);
	check(m, "0\r\nC: d\r\n\r\n");
}

/* A head that does not fit is marked, never written beyond. */
static void
test_small_memory(void **state)
{
	struct message *m = *state;
	struct h1_framing close = { .framing = HTTP_FRAMING_CHUNKED,
		.close = true };
	struct http_response res = { .status = 200, .reason = SPAN("OK") };
	size_t need;

	read_request(m, "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB:2\r\n\r\n");
	h1_write_request(&m->out, &m->req, SPAN("/"), SPAN("a"), &close);
	need = m->out.len;
	for (size_t cap = 0; cap <= need; cap++) {
		char *memory = malloc(cap > 0 ? cap : 1);
		struct str out;

		assert_non_null(memory);
		str_init(&out, memory, cap);
		h1_write_request(&out, &m->req, SPAN("/"), SPAN("a"), &close);
		assert_int_equal(out.overflow, cap < need);
		str_init(&out, memory, cap);
		h1_write_response(&out, &res, &close);
		assert_int_equal(out.overflow, cap < sizeof("HTTP/1.1 200 OK"
		    "\r\nTransfer-Encoding: chunked\r\n"
		    "Connection: close\r\n\r\n") - 1);
		free(memory);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_copy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_copy_fields, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_request, setup, teardown),
		cmocka_unit_test_setup_teardown(test_response, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_chunks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_small_memory, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
