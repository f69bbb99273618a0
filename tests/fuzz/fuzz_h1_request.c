/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Request heads: where the bytes were split makes no difference, what is
 * accepted holds no byte that it must not, and what is written from it is
 * read as the same request.
 */
#include "base/arena.h"
#include "base/str.h"
#include "http/h1_parse.h"
#include "http/h1_write.h"
#include "http/hop.h"
#include "http/uri.h"
#include "splits.h"
#include "../unit/http/render.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { TEXT = 1 << 17, LEN_MAX = 1 << 15 };

static const struct h1_limits usual = {
	.head_max = 32768, .line_max = 8192, .fields_max = 100
};
static const struct h1_limits small = {
	.head_max = 200, .line_max = 60, .fields_max = 5
};

struct outcome {
	enum h1_result result;
	struct h1_state state;
	struct http_request req;
	size_t used;
	char text[TEXT];
};

/* From memory of just that size. */
static void
parse(struct outcome *o, const uint8_t *bytes, size_t len,
    const struct h1_limits *limits, struct arena *arena)
{
	char *copy = malloc(len > 0 ? len : 1);
	struct str out;

	CHECK(copy != NULL);
	if (len > 0)
		memcpy(copy, bytes, len);
	o->result = h1_parse_request(&o->state, copy, len, limits, &o->req,
	    &o->used);
	str_init(&out, o->text, TEXT);
	if (o->result == H1_DONE) {
		CHECK(o->used <= len);
		h1_copy_request(arena, copy, o->used, 4, &o->req);
		memset(copy, '@', len);
		render_request(&out, &o->req);
		str_printf(&out, " used=%zu", o->used);
	} else if (o->result == H1_REFUSED) {
		CHECK(o->state.refusal != H1_REFUSAL_NONE);
		CHECK(o->state.offset <= len);
		CHECK(h1_refusal_status(o->state.refusal) >= 400);
		render_refusal(&out, &o->state);
	} else {
		str_lit(&out, "more");
	}
	CHECK(!out.overflow);
	str_terminate(&out);
	free(copy);
}

/* Whole, then in pieces of up to `most` bytes. */
static void
check_splits(const struct outcome *whole, const uint8_t *bytes, size_t len,
    const struct h1_limits *limits, size_t most, struct arena *arena)
{
	static struct outcome o;
	uint64_t seed = splits_seed(bytes, len);
	size_t have = 0;

	o.state = (struct h1_state){ .checked = 0 };
	do {
		have += splits_next(&seed, most);
		if (have > len)
			have = len;
		parse(&o, bytes, have, limits, arena);
	} while (o.result == H1_MORE && have < len);
	CHECK(o.result == whole->result);
	CHECK(strcmp(o.text, whole->text) == 0);
}

/* Bytes of an accepted head, without knowing its grammar. */
static void
check_bytes(const uint8_t *bytes, size_t used)
{
	CHECK(used >= 4 && memcmp(bytes + used - 4, "\r\n\r\n", 4) == 0);
	for (size_t i = 0; i < used; i++) {
		uint8_t c = bytes[i];

		if (c == '\r')
			CHECK(i + 1 < used && bytes[i + 1] == '\n');
		else if (c == '\n')
			CHECK(i > 0 && bytes[i - 1] == '\r');
		else
			CHECK((c >= 32 && c != 127) || c == '\t');
	}
}

static struct span
target_of(const struct http_request *req, struct str *memory)
{
	str_span(memory, req->path);
	if (req->has_query) {
		str_lit(memory, "?");
		str_span(memory, req->query);
	}
	CHECK(!memory->overflow);
	return str_view(memory);
}

static void
write_request(struct str *out, const struct http_request *req)
{
	static char memory[TEXT];
	struct h1_framing framing = {
		.framing = (enum http_framing)req->framing,
		.content_length = req->content_length,
		.close = !req->keep_alive,
		.upgrade_websocket = req->upgrade_websocket,
		.te_trailers = req->te_trailers,
	};
	struct str target;

	str_init(&target, memory, sizeof(memory));
	h1_write_request(out, req, target_of(req, &target), req->authority,
	    &framing);
	CHECK(!out->overflow);
}

/* The fields but Host and those that the writer made. */
static void
render_rest(struct http_request *req, char *text)
{
	struct str out;

	CHECK(hop_strip_request(req) == H1_REFUSAL_NONE);
	http_fields_remove_id(&req->fields, FIELD_HOST);
	for (uint32_t i = 0; i < req->fields.count; i++)
		req->fields.items[i].flags |= HTTP_FIELD_VERBATIM;
	str_init(&out, text, TEXT);
	render_fields(&out, &req->fields);
	str_terminate(&out);
}

static void
check_written(struct http_request *req, struct arena *arena)
{
	static const struct h1_limits limits = {
		.head_max = TEXT, .line_max = TEXT, .fields_max = 200
	};
	static char first[TEXT], second[TEXT], had[TEXT], has[TEXT];
	struct h1_state state = { .checked = 0 };
	struct http_request again;
	struct str out;
	size_t used;

	CHECK(!req->path_is_plain ||
	    uri_path_check(req->path) == URI_PATH_PLAIN);
	/* CONNECT is answered, and without Host nothing can be written. */
	if (req->authority.len == 0 || req->path.len == 0 ||
	    hop_strip_request(req) != H1_REFUSAL_NONE)
		return;
	str_init(&out, first, TEXT);
	write_request(&out, req);
	CHECK(h1_parse_request(&state, out.p, out.len, &limits, &again,
	    &used) == H1_DONE);
	CHECK(used == out.len);
	h1_copy_request(arena, out.p, used, 0, &again);
	CHECK(span_eq(again.method, req->method));
	CHECK(again.method_id == req->method_id);
	CHECK(span_eq(again.path, req->path));
	CHECK(span_eq(again.query, req->query));
	CHECK(again.has_query == req->has_query);
	CHECK(span_eq(again.host, req->host));
	CHECK(again.framing == req->framing);
	CHECK(again.content_length == req->content_length);
	CHECK(again.keep_alive == req->keep_alive);
	CHECK(again.te_trailers == req->te_trailers);
	CHECK(again.upgrade_websocket == req->upgrade_websocket);
	render_rest(req, had);
	render_rest(&again, has);
	CHECK(strcmp(had, has) == 0);
	str_init(&out, second, TEXT);
	write_request(&out, &again);
	CHECK(out.len == used && memcmp(first, second, used) == 0);
}

static void
run(const uint8_t *bytes, size_t len, const struct h1_limits *limits,
    struct arena *arena)
{
	static struct outcome whole;

	whole.state = (struct h1_state){ .checked = 0 };
	parse(&whole, bytes, len, limits, arena);
	check_splits(&whole, bytes, len, limits, 1 + len / 256, arena);
	check_splits(&whole, bytes, len, limits, 16, arena);
	check_splits(&whole, bytes, len, limits, len + 1, arena);
	if (whole.result != H1_DONE)
		return;
	check_bytes(bytes, whole.used);
	check_written(&whole.req, arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct arena arena;

	if (len > LEN_MAX)
		return 0;
	arena_init(&arena, NULL);
	run(bytes, len, &usual, &arena);
	run(bytes, len, &small, &arena);
	arena_fini(&arena);
	return 0;
}
