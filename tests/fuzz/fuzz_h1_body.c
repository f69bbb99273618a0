/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Chunked bodies: where the bytes were split makes no difference, and what was
 * read, chunked anew, is read again as the same.
 */
#include "base/str.h"
#include "http/h1_body.h"
#include "http/h1_write.h"
#include "splits.h"
#include "../unit/http/render.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { TEXT = 1 << 18, LEN_MAX = 1 << 15 };

static const struct h1_body_limits usual = {
	.chunk_line_max = 4096, .trailers_max = 32768,
	.trailer_fields_max = 100
};
static const struct h1_body_limits small = {
	.chunk_line_max = 10, .trailers_max = 40, .trailer_fields_max = 2
};

struct outcome {
	enum h1_body_event event;
	enum h1_refusal refusal;
	size_t used;         /* where END or a refusal came */
	char text[TEXT];     /* data, then trailers */
	struct str out;
	size_t data_len;
	bool may_end;
};

/* One piece, from memory of just its size; true until the body ended. */
static bool
read_piece(struct outcome *o, struct h1_body *b,
    const struct h1_body_limits *limits, const uint8_t *bytes, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);
	struct span in = span_of(copy, len), data;

	CHECK(copy != NULL);
	if (len > 0)
		memcpy(copy, bytes, len);
	while ((o->event = h1_body_next(b, limits, &in, &data)) ==
	    H1_BODY_DATA) {
		CHECK(data.len > 0 && data.p >= copy &&
		    data.p + data.len <= in.p);
		str_span(&o->out, data);
	}
	CHECK(o->event != H1_BODY_MORE || in.len == 0);
	o->used += len - in.len;
	free(copy);
	return o->event == H1_BODY_MORE;
}

static void
decode(struct outcome *o, const struct h1_body_limits *limits,
    const uint8_t *bytes, size_t len, size_t most)
{
	uint64_t seed = splits_seed(bytes, len);
	struct h1_body b;
	size_t at = 0;

	h1_body_init(&b, HTTP_FRAMING_CHUNKED, 0);
	str_init(&o->out, o->text, TEXT);
	o->event = H1_BODY_MORE;
	o->used = 0;
	while (at < len) {
		size_t n = splits_next(&seed, most);

		if (n > len - at)
			n = len - at;
		if (!read_piece(o, &b, limits, bytes + at, n))
			break;
		at += n;
	}
	o->data_len = o->out.len;
	CHECK(b.total == o->data_len);
	o->may_end = h1_body_may_end(&b);
	CHECK(o->may_end == (o->event == H1_BODY_END));
	o->refusal = (enum h1_refusal)b.refusal;
	CHECK((o->event == H1_BODY_REFUSED) ==
	    (o->refusal != H1_REFUSAL_NONE));
	render_fields(&o->out, &b.trailers);
	CHECK(!o->out.overflow);
	h1_body_fini(&b);
}

/* Chunks of up to 20 bytes, then the trailers as they were read. */
static void
check_again(const struct outcome *o, const uint8_t *bytes, size_t len)
{
	static struct outcome again;
	static char memory[8 * TEXT];
	uint64_t seed = splits_seed(bytes, len);
	struct span in = span_of((const char *)bytes, len), data;
	struct h1_body b;
	struct str out;

	h1_body_init(&b, HTTP_FRAMING_CHUNKED, 0);
	while (h1_body_next(&b, &usual, &in, &data) == H1_BODY_DATA)
		;
	str_init(&out, memory, sizeof(memory));
	for (size_t at = 0; at < o->data_len; ) {
		size_t n = splits_next(&seed, 20);

		if (n > o->data_len - at)
			n = o->data_len - at;
		h1_write_chunk(&out, n);
		str_put(&out, o->text + at, n);
		str_lit(&out, "\r\n");
		at += n;
	}
	for (uint32_t i = 0; i < b.trailers.count; i++)
		CHECK(b.trailers.items[i].name_len > 0);
	h1_write_last_chunk(&out, &b.trailers);
	CHECK(!out.overflow);
	h1_body_fini(&b);
	decode(&again, &usual, (const uint8_t *)out.p, out.len, out.len);
	CHECK(again.event == H1_BODY_END && again.used == out.len);
	CHECK(again.data_len == o->data_len);
	CHECK(memcmp(again.text, o->text, o->data_len) == 0);
}

static void
run(const struct h1_body_limits *limits, const uint8_t *bytes, size_t len)
{
	static struct outcome whole, split;
	const size_t most[] = { 1 + len / 1024, 7, len + 1 };

	decode(&whole, limits, bytes, len, 1);
	for (size_t i = 0; i < sizeof(most) / sizeof(most[0]); i++) {
		decode(&split, limits, bytes, len, most[i]);
		CHECK(split.event == whole.event);
		CHECK(split.refusal == whole.refusal);
		CHECK(split.data_len == whole.data_len);
		CHECK(split.out.len == whole.out.len);
		CHECK(memcmp(split.text, whole.text, whole.out.len) == 0);
		if (whole.event == H1_BODY_END)
			CHECK(split.used == whole.used);
	}
	if (whole.event == H1_BODY_END)
		check_again(&whole, bytes, len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (len > LEN_MAX)
		return 0;
	run(&usual, bytes, len);
	run(&small, bytes, len);
	return 0;
}
