/* SPDX-License-Identifier: BSD-2-Clause */
/* Bodies of each framing, whole, byte by byte, and split at each place. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/h1_body.h"
#include "render.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define ROW(name, framing, input, want) \
	{ name, HTTP_FRAMING_##framing, { input, sizeof(input) - 1 }, want }

enum { LENGTH = 3 };

static const struct h1_body_limits limits = {
	.chunk_line_max = 32, .trailers_max = 40, .trailer_fields_max = 2
};

struct row {
	const char *name;
	enum http_framing framing;
	struct span input;
	/*
	 * The data, then "." for a whole message, "~" for one that the end of
	 * the connection would end, "-" for one that it would cut; trailers;
	 * " +N" for bytes behind.  Or the data and the refusal.
	 */
	const char *want;
};

static const struct row plain[] = {
	ROW("none", NONE, "abc", ". +3"),
	ROW("length", LENGTH, "abc", "abc."),
	ROW("length, more behind (pingora 162)", LENGTH, "abcd", "abc. +1"),
	ROW("length, cut", LENGTH, "ab", "ab-"),
	ROW("length, nothing", LENGTH, "", "-"),
	ROW("until close", CLOSE, "abc", "abc~"),
	ROW("until close, nothing", CLOSE, "", "~"),
};

static const struct row chunked[] = {
	ROW("empty (pingora 163)", CHUNKED, "0\r\n\r\n", "."),
	ROW("one", CHUNKED, "3\r\nabc\r\n0\r\n\r\n", "abc."),
	ROW("two", CHUNKED, "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "abc."),
	ROW("capitals", CHUNKED, "A\r\n0123456789\r\n0\r\n\r\n",
	    "0123456789."),
	ROW("zeros", CHUNKED, "0000000000000003\r\nabc\r\n000\r\n\r\n",
	    "abc."),
	ROW("behind (pingora 169)", CHUNKED, "0\r\n\r\nabcd", ". +4"),
	ROW("extension (pingora 165)", CHUNKED,
	    "3;a;b=c;d=\"e;f\"\r\nabc\r\n0;aaaa\r\n\r\n", "abc."),
	ROW("blanks before an extension", CHUNKED,
	    "3 \t;a = b\r\nabc\r\n0\r\n\r\n", "abc."),
	ROW("extension above 127", CHUNKED, "0;\xe9\r\n\r\n", "."),
	ROW("extension at its limit", CHUNKED,
	    "0;012345678901234567890123456789\r\n\r\n", "."),
	ROW("trailers (pingora 170)", CHUNKED,
	    "0\r\nabc: hi\r\ndef:bye\r\n\r\nX", ".|abc: hi|def=bye +1"),
	ROW("63 bits", CHUNKED, "7fffffffffffffff\r\nab", "ab-"),
	ROW("nothing", CHUNKED, "", "-"),
	ROW("cut in the size", CHUNKED, "3", "-"),
	ROW("cut before the data", CHUNKED, "3\r\n", "-"),
	ROW("cut in the data", CHUNKED, "3\r\nab", "ab-"),
	ROW("cut after the data (pingora 167)", CHUNKED, "3\r\nabc\r\n",
	    "abc-"),
	ROW("cut before the end (pingora 147)", CHUNKED, "0\r\n", "-"),
	ROW("cut in trailers", CHUNKED, "0\r\nabc: hi\r\n", "-"),
};

static const struct row refused[] = {
	ROW("letter", CHUNKED, "g\r\n", "400 invalid chunk size"),
	ROW("no size", CHUNKED, "\r\n", "400 invalid chunk size"),
	ROW("no size, extension", CHUNKED, ";a\r\n", "400 invalid chunk size"),
	ROW("minus", CHUNKED, "-1\r\n", "400 invalid chunk size"),
	ROW("plus", CHUNKED, "+1\r\n", "400 invalid chunk size"),
	ROW("0x", CHUNKED, "0x1\r\n", "400 invalid chunk size"),
	ROW("space before", CHUNKED, " 1\r\n", "400 invalid chunk size"),
	ROW("space behind", CHUNKED, "1 \r\n", "400 invalid chunk size"),
	ROW("space inside", CHUNKED, "1 0\r\n", "400 invalid chunk size"),
	ROW("comma", CHUNKED, "1,1\r\n", "400 invalid chunk size"),
	ROW("bare LF", CHUNKED, "1\na\r\n", "400 LF without CR"),
	ROW("bare LF first", CHUNKED, "\n", "400 LF without CR"),
	ROW("bare CR", CHUNKED, "1\ra\r\n", "400 CR without LF"),
	ROW("NUL", CHUNKED, "1\0\r\n", "400 control character"),
	ROW("64 bits", CHUNKED, "8000000000000000\r\n",
	    "400 invalid chunk size"),
	ROW("17 digits", CHUNKED, "10000000000000000\r\n",
	    "400 invalid chunk size"),
	ROW("17 zeros", CHUNKED, "00000000000000001\r\n",
	    "400 invalid chunk size"),
	ROW("extension too long", CHUNKED,
	    "0;0123456789012345678901234567890\r\n",
	    "400 chunk extension too long"),
	ROW("extension with NUL", CHUNKED, "1;a=\0\r\n",
	    "400 control character"),
	ROW("extension with bare LF", CHUNKED, "1;a\nb\r\n",
	    "400 LF without CR"),
	ROW("extension with bare CR", CHUNKED, "1;a\rb\r\n",
	    "400 CR without LF"),
	ROW("data too long", CHUNKED, "1\r\nab\r\n",
	    "a400 chunk data not followed by CRLF"),
	ROW("LF after data", CHUNKED, "1\r\na\n0\r\n",
	    "a400 chunk data not followed by CRLF"),
	ROW("CR after data (pingora 166)", CHUNKED, "1\r\na\rn",
	    "a400 chunk data not followed by CRLF"),
	ROW("second chunk", CHUNKED, "1\r\na\r\ng",
	    "a400 invalid chunk size"),
	ROW("end (pingora 164)", CHUNKED, "0\r\nr\n",
	    "400 invalid trailer section"),
	ROW("bare LF at the end", CHUNKED, "0\r\n\n",
	    "400 invalid trailer section"),
	ROW("bare CR at the end", CHUNKED, "0\r\n\rx",
	    "400 invalid trailer section"),
	ROW("bare CR in a trailer (pingora 170)", CHUNKED,
	    "0\r\nabc: hi\rn\r\n\r\n", "400 invalid trailer section"),
	ROW("folded trailer", CHUNKED, "0\r\nA: b\r\n c\r\n\r\n",
	    "400 invalid trailer section"),
	ROW("trailer of framing", CHUNKED, "0\r\nContent-Length: 5\r\n\r\n",
	    "400 invalid trailer section"),
	ROW("trailer of routing", CHUNKED, "0\r\nhost: a\r\n\r\n",
	    "400 invalid trailer section"),
	ROW("three trailers", CHUNKED, "0\r\na: b\r\nc: d\r\ne: f\r\n\r\n",
	    "431 trailer section too large"),
	ROW("trailers too large (pingora 170)", CHUNKED,
	    "0\r\na: 0123456789012345678901234567890123456789\r\n\r\n",
	    "431 trailer section too large"),
};

struct reader {
	struct h1_body body;
	char text[4096];
	struct str out;
	enum h1_body_event event;
};

static void
reader_init(struct reader *r, const struct row *row)
{
	h1_body_init(&r->body, row->framing, LENGTH);
	str_init(&r->out, r->text, sizeof(r->text));
	r->event = H1_BODY_MORE;
}

/* Read from memory of just that size; how much was left. */
static size_t
reader_read(struct reader *r, const char *p, size_t len)
{
	char *bytes = malloc(len > 0 ? len : 1);
	struct span in = span_of(bytes, len), data;

	assert_non_null(bytes);
	if (len > 0)
		memcpy(bytes, p, len);
	while ((r->event = h1_body_next(&r->body, &limits, &in, &data)) ==
	    H1_BODY_DATA) {
		assert_true(data.len > 0);
		assert_true(data.p >= bytes && data.p + data.len <= in.p);
		str_span(&r->out, data);
	}
	if (r->event == H1_BODY_MORE)
		assert_int_equal(in.len, 0);
	free(bytes);
	return in.len;
}

static void
reader_end(struct reader *r, size_t behind)
{
	struct span in = span_of("x", 1), data;
	enum h1_refusal refusal = (enum h1_refusal)r->body.refusal;

	assert_int_equal(r->body.total, r->out.len);
	if (r->event == H1_BODY_REFUSED)
		str_printf(&r->out, "%u %s", h1_refusal_status(refusal),
		    h1_refusal_text(refusal));
	else if (r->event == H1_BODY_END)
		str_lit(&r->out, ".");
	else
		str_cstr(&r->out, h1_body_may_end(&r->body) ? "~" : "-");
	if (r->event == H1_BODY_END)
		assert_true(h1_body_may_end(&r->body));
	render_fields(&r->out, &r->body.trailers);
	if (r->event != H1_BODY_MORE) {
		assert_int_equal(h1_body_next(&r->body, &limits, &in, &data),
		    r->event);
		assert_int_equal(in.len, 1);
	}
	if (r->event == H1_BODY_END && behind > 0)
		str_printf(&r->out, " +%zu", behind);
	h1_body_fini(&r->body);
	str_terminate(&r->out);
}

static void
check(const struct reader *r, const struct row *row, const char *how,
    size_t at)
{
	if (strcmp(r->text, row->want) != 0)
		fail_msg("%s, %s %zu:\n  is   %s\n  want %s", row->name, how,
		    at, r->text, row->want);
}

/* Pieces of `step` bytes after a first one of `first`. */
static void
run_pieces(const struct row *row, const char *how, size_t first, size_t step)
{
	struct reader r;
	size_t at = 0, left = 0;

	reader_init(&r, row);
	for (size_t len = first; r.event == H1_BODY_MORE; len = step) {
		if (len > row->input.len - at)
			len = row->input.len - at;
		left = reader_read(&r, row->input.p + at, len);
		at += len - left;
		if (at == row->input.len && r.event == H1_BODY_MORE)
			break;
	}
	/* A message that ends with its bytes says so when asked again. */
	if (r.event == H1_BODY_MORE)
		reader_read(&r, NULL, 0);
	reader_end(&r, row->input.len - at);
	check(&r, row, how, first);
}

static void
run_rows(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t len = rows[i].input.len;

		run_pieces(&rows[i], "whole", len, 1);
		run_pieces(&rows[i], "byte by byte", 1, 1);
		for (size_t at = 0; at < len; at++)
			run_pieces(&rows[i], "split at", at, len);
		for (size_t at = 0; at < len; at++)
			run_pieces(&rows[i], "bytes after", at, 1);
	}
}

static void
test_rows(void **state)
{
	(void)state;
	run_rows(plain, COUNT(plain));
	run_rows(chunked, COUNT(chunked));
	run_rows(refused, COUNT(refused));
}

/* A gigabyte of a body is counted, not kept. */
static void
test_large(void **state)
{
	static char piece[65536];
	struct h1_body b;
	uint64_t size = UINT64_C(5) << 30;
	struct span data;
	uint64_t sent = 0;

	(void)state;
	h1_body_init(&b, HTTP_FRAMING_LENGTH, size);
	while (sent < size) {
		struct span in = span_of(piece, sizeof(piece));

		assert_int_equal(h1_body_next(&b, &limits, &in, &data),
		    H1_BODY_DATA);
		assert_int_equal(data.len, sizeof(piece));
		sent += data.len;
	}
	assert_int_equal(b.total, size);
	assert_int_equal(b.left, 0);
	assert_true(h1_body_may_end(&b));
	h1_body_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
