/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers that weirctl reads: nothing beyond the text, and no wild output. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "ctl/jsonread.h"
#include "ctl/show.h"
#include "splits.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);
	struct jsonread_value *v;
	struct arena arena;
	char *text = NULL;
	size_t text_len = 0;
	FILE *out;

	CHECK(copy != NULL);
	if (len > 0)
		memcpy(copy, bytes, len);
	arena_init(&arena, NULL);
	v = jsonread_parse(&arena, span_of(copy, len));
	if (v != NULL) {
		out = open_memstream(&text, &text_len);
		CHECK(out != NULL);
		show(v, out);
		CHECK(fclose(out) == 0);
		/* Only the text of a configuration may hold an escape. */
		if (jsonread_get(v, "text") == NULL)
			CHECK(memchr(text, 0x1b, text_len) == NULL);
		free(text);
	}
	arena_fini(&arena);
	free(copy);
	return 0;
}
