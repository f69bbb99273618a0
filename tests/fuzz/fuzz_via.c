/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answers of a next hop to CONNECT: in pieces the result is the same as at
 * once, but that bytes behind a good answer may come later.
 */
#include <string.h>

#include "base/str.h"
#include "splits.h"
#include "upstream/via.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static enum via_result
feed(struct via_answer *a, const uint8_t *bytes, size_t len, uint64_t *seed)
{
	enum via_result result = VIA_MORE;
	size_t at = 0;

	while (at < len && result == VIA_MORE) {
		size_t room = sizeof(a->bytes) - a->len;
		size_t n = seed != NULL ? splits_next(seed, 64) : len;
		char memory[256];
		struct str why;

		if (n > len - at)
			n = len - at;
		if (n > room)
			n = room;
		if (n == 0)
			return VIA_REFUSED;
		str_init(&why, memory, sizeof(memory));
		memcpy(a->bytes + a->len, bytes + at, n);
		a->len += n;
		at += n;
		result = via_answer_parse(a, &why);
		CHECK((result == VIA_REFUSED) == (why.len > 0));
		CHECK(a->len <= sizeof(a->bytes));
	}
	return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	uint64_t seed = splits_seed(bytes, len);
	struct via_answer *whole = via_answer_new();
	struct via_answer *pieces = via_answer_new();
	enum via_result at_once = feed(whole, bytes, len, NULL);
	enum via_result in_pieces = feed(pieces, bytes, len, &seed);

	CHECK(at_once == in_pieces ||
	    (at_once == VIA_REFUSED && in_pieces == VIA_OPEN));
	CHECK(at_once != VIA_OPEN || in_pieces == VIA_OPEN);
	free(whole);
	free(pieces);
	return 0;
}
