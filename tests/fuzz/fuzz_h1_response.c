/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Response heads: where the bytes were split makes no difference, and what is
 * written from one is read as the same response.  The first byte chooses what
 * was asked.
 */
#include "base/arena.h"
#include "base/str.h"
#include "http/h1_parse.h"
#include "http/h1_write.h"
#include "http/hop.h"
#include "splits.h"
#include "../unit/http/render.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { TEXT = 1 << 17, LEN_MAX = 1 << 15 };

static const struct h1_limits usual = {
	.head_max = 32768, .line_max = 8192, .fields_max = 100
};
static const struct h1_limits small = {
	.head_max = 200, .line_max = 40, .fields_max = 5
};

struct outcome {
	enum h1_result result;
	struct h1_state state;
	struct http_response res;
	size_t used;
	char text[TEXT];
};

static struct h1_expected expected;

static void
parse(struct outcome *o, const uint8_t *bytes, size_t len,
    const struct h1_limits *limits, struct arena *arena)
{
	char *copy = malloc(len > 0 ? len : 1);
	struct str out;

	CHECK(copy != NULL);
	if (len > 0)
		memcpy(copy, bytes, len);
	o->result = h1_parse_response(&o->state, copy, len, limits, &expected,
	    &o->res, &o->used);
	str_init(&out, o->text, TEXT);
	if (o->result == H1_DONE) {
		CHECK(o->used <= len);
		h1_copy_response(arena, copy, o->used, 4, &o->res);
		memset(copy, '@', len);
		render_response(&out, &o->res);
		str_printf(&out, " used=%zu", o->used);
	} else if (o->result == H1_REFUSED) {
		CHECK(o->state.refusal != H1_REFUSAL_NONE);
		CHECK(o->state.offset <= len);
		render_refusal(&out, &o->state);
	} else {
		str_lit(&out, "more");
	}
	CHECK(!out.overflow);
	str_terminate(&out);
	free(copy);
}

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

static void
write_response(struct str *out, const struct http_response *res)
{
	struct h1_framing framing = {
		.framing = (enum http_framing)res->framing,
		.content_length = res->content_length,
		.close = !res->keep_alive,
		.upgrade_websocket = res->upgrade_websocket,
	};

	h1_write_response(out, res, &framing);
	CHECK(!out->overflow);
}

static void
render_rest(struct http_response *res, char *text)
{
	struct str out;

	CHECK(hop_strip_response(res) == H1_REFUSAL_NONE);
	for (uint32_t i = 0; i < res->fields.count; i++)
		res->fields.items[i].flags |= HTTP_FIELD_VERBATIM;
	str_init(&out, text, TEXT);
	render_fields(&out, &res->fields);
	str_terminate(&out);
}

static void
check_written(struct http_response *res, struct arena *arena)
{
	static const struct h1_limits limits = {
		.head_max = TEXT, .line_max = TEXT, .fields_max = 200
	};
	static char first[TEXT], second[TEXT], had[TEXT], has[TEXT];
	struct h1_state state = { .checked = 0 };
	struct http_response again;
	struct str out;
	size_t used;

	if (hop_strip_response(res) != H1_REFUSAL_NONE)
		return;
	str_init(&out, first, TEXT);
	write_response(&out, res);
	CHECK(h1_parse_response(&state, out.p, out.len, &limits, &expected,
	    &again, &used) == H1_DONE);
	CHECK(used == out.len);
	h1_copy_response(arena, out.p, used, 0, &again);
	CHECK(again.status == res->status);
	CHECK(span_eq(again.reason, res->reason));
	CHECK(again.framing == res->framing);
	CHECK(again.content_length == res->content_length);
	CHECK(again.upgrade_websocket == res->upgrade_websocket);
	CHECK(again.keep_alive == res->keep_alive);
	render_rest(res, had);
	render_rest(&again, has);
	CHECK(strcmp(had, has) == 0);
	str_init(&out, second, TEXT);
	write_response(&out, &again);
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
	if (whole.result == H1_DONE)
		check_written(&whole.res, arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const enum http_method methods[] = { HTTP_METHOD_GET,
		HTTP_METHOD_HEAD, HTTP_METHOD_POST, HTTP_METHOD_CONNECT };
	struct arena arena;

	if (len == 0 || len > LEN_MAX)
		return 0;
	expected.method = methods[bytes[0] & 3];
	expected.upgrade_websocket = (bytes[0] & 4) != 0;
	arena_init(&arena, NULL);
	run(bytes + 1, len - 1, &usual, &arena);
	run(bytes + 1, len - 1, &small, &arena);
	arena_fini(&arena);
	return 0;
}
