/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bodies in base64: in pieces the same as whole, and what was encoded is
 * decoded to what it was.
 */
#include "../../modules/grpcweb/base64.h"
#include "splits.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { LEN_MAX = 4096 };

static int
decode(struct span in, uint64_t seed, struct str *out)
{
	struct base64_decoder d = { 0 };

	while (in.len > 0) {
		size_t n = seed == 0 ? in.len : splits_next(&seed, in.len);
		struct span part = span_of(in.p, n);

		in = span_of(in.p + n, in.len - n);
		while (part.len > 0) {
			char memory[48];
			struct str some;

			str_init(&some, memory,
			    seed == 0 ? sizeof(memory)
				      : 2 + splits_next(&seed, 40));
			if (base64_decode(&d, &part, &some) != 0)
				return -1;
			CHECK(!some.overflow);
			str_span(out, str_view(&some));
		}
	}
	return base64_is_complete(&d) ? 0 : -1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static char memory[3][2 * LEN_MAX];
	struct span in = span_of((const char *)bytes, len), rest = in;
	uint64_t seed = splits_seed(bytes, len);
	struct base64_encoder e = { 0 };
	struct str whole, pieces, text;
	int result;

	if (len > LEN_MAX)
		return 0;
	str_init(&whole, memory[0], sizeof(memory[0]));
	str_init(&pieces, memory[1], sizeof(memory[1]));
	result = decode(in, 0, &whole);
	CHECK(decode(in, seed, &pieces) == result);
	CHECK(result != 0 ||
	    span_eq(str_view(&whole), str_view(&pieces)));

	str_init(&text, memory[2], sizeof(memory[2]));
	base64_encode(&e, &rest, &text);
	base64_encode_end(&e, &text);
	CHECK(rest.len == 0 && !text.overflow && text.len % 4 == 0);
	pieces.len = 0;
	CHECK(decode(str_view(&text), seed, &pieces) == 0);
	CHECK(span_eq(str_view(&pieces), in));
	return 0;
}
