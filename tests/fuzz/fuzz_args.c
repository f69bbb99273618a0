/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arguments of queries: what was dropped is gone, what was set is there once,
 * whatever is escaped how.  The first line of an input is the name, the rest
 * the query.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "../../modules/rewrite/args.h"

enum { LEN_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned
count(struct span query, struct span name)
{
	struct span arg;
	unsigned n = 0;

	while (args_next(&query, &arg))
		n += args_is_called(arg, name);
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char name[LEN_MAX + 1], memory[4 * LEN_MAX + 16];
	const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
	const char *names[] = { name };
	const struct conf_strings list = { names, 1 };
	struct span query, want;
	struct str out;

	if (newline == NULL || size > LEN_MAX || newline == data ||
	    memchr(data, '\0', (size_t)(newline - data)) != NULL ||
	    newline[-1] == '*')
		return 0;
	memcpy(name, data, (size_t)(newline - data));
	name[newline - data] = '\0';
	want = span_cstr(name);
	query = span_of((const char *)newline + 1,
	    size - (size_t)(newline - data) - 1);
	str_init(&out, memory, sizeof(memory));
	args_drop(&out, query, &list);
	assert(!out.overflow && out.len <= query.len);
	assert(count(str_view(&out), want) == 0 || out.len == 0);
	args_add(&out, want, want);
	assert(!out.overflow && count(str_view(&out), want) == 1);
	for (size_t i = 0; i < out.len; i++)
		assert(memory[i] != '\n' || memchr(query.p, '\n', query.len));
	return 0;
}
