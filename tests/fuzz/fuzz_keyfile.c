/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files of API keys: what was read is written and read as the same, and the
 * table has each entry.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "../../modules/auth/keys.h"

enum { LINE_ROOM = 2048 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_line(struct span line)
{
	struct keyfile_entry e, same;
	char memory[LINE_ROOM];
	struct error err;
	unsigned column = 0;
	struct span again;
	struct str out;
	int got = keyfile_parse(line, &e, &column, &err);

	assert(got >= 0 || (column >= 1 && column <= line.len));
	if (got != 1)
		return;
	str_init(&out, memory, sizeof(memory));
	keyfile_put(&out, &e);
	assert(!out.overflow && memory[out.len - 1] == '\n');
	again = span_of(memory, out.len - 1);
	got = keyfile_parse(again, &same, &column, &err);
	assert(got == 1 && span_eq(e.identity, same.identity));
	assert(span_eq(e.scopes, same.scopes));
	assert(e.expires_s == same.expires_s);
	assert(memcmp(e.hash, same.hash, sizeof(e.hash)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of((const char *)data, size), rest = text,
	    line;
	struct error err;
	struct keys *k;

	while (keyfile_next_line(&rest, &line))
		check_line(line);
	k = keys_parse(text, NULL, &err);
	for (uint32_t i = 0; k != NULL && i < k->count; i++)
		assert(keys_find(k, k->entries[i].hash) == &k->entries[i]);
	keys_free(k);
	return 0;
}
