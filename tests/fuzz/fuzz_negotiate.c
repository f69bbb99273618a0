/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accept-Encoding: weights in their range, and what is chosen is accepted and
 * liked no less than all others.  Lines of an input are fields.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "../../modules/compress/negotiate.h"
#include "base/arena.h"

enum { LEN_MAX = 4096, FIELDS_MAX = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
add_fields(struct http_fields *fields, struct arena *a, struct span text)
{
	for (int i = 0; i < FIELDS_MAX && text.len > 0; i++) {
		const char *end = memchr(text.p, '\n', text.len);
		size_t len = end != NULL ? (size_t)(end - text.p) : text.len;

		http_fields_add_id(fields, a, FIELD_ACCEPT_ENCODING,
		    span_of(text.p, len));
		len += end != NULL;
		text = span_of(text.p + len, text.len - len);
	}
}

static int
weight_of(const struct http_fields *fields, enum coder_kind kind)
{
	int weight = negotiate_weight(fields, span_cstr(coder_name(kind)));

	assert(weight >= NEGOTIATE_Q_NONE && weight <= NEGOTIATE_Q_MAX);
	return weight;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum coder_kind kinds[] = { CODER_ZSTD, CODER_BROTLI,
		CODER_GZIP };
	struct http_fields fields = { .count = 0 };
	enum coder_kind chosen;
	struct arena arena;

	if (size > LEN_MAX)
		return 0;
	arena_init(&arena, NULL);
	add_fields(&fields, &arena, span_of((const char *)data, size));
	if (negotiate_choose(&fields, kinds, 3, &chosen)) {
		assert(weight_of(&fields, chosen) > 0);
		assert(negotiate_accepts(&fields,
		    span_cstr(coder_name(chosen))));
		for (int i = 0; i < 3; i++)
			assert(weight_of(&fields, kinds[i]) <=
			    weight_of(&fields, chosen));
	} else {
		for (int i = 0; i < 3; i++)
			(void)weight_of(&fields, kinds[i]);
	}
	(void)negotiate_weight(&fields, SPAN("identity"));
	arena_fini(&arena);
	return 0;
}
