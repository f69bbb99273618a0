/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Templates: what compiles evaluates within any bounds, to the same text.
 *
 * The first byte is the size of a small buffer: what fits into it must be the
 * beginning of what a large one gets.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "conf/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { INPUT_MAX = 4096, LARGE = 16 * INPUT_MAX };

static bool
put_ip(const void *subject, struct span arg, struct str *out)
{
	(void)subject;
	(void)arg;
	str_lit(out, "192.0.2.1");
	return true;
}

static bool
put_nothing(const void *subject, struct span arg, struct str *out)
{
	(void)subject;
	(void)arg;
	(void)out;
	return true;
}

/* Writes, and then has no value after all. */
static bool
put_half(const void *subject, struct span arg, struct str *out)
{
	(void)subject;
	str_span(out, arg);
	return arg.len % 2 == 0;
}

static int
check_number(const void *context, struct span arg, struct error *err)
{
	uint64_t n;

	(void)context;
	if (span_u64(arg, &n) == 0)
		return 0;
	return error_set(err, "%.*s is no number", SPAN_ARG(arg));
}

static const struct template_var items[] = {
	{ "client.ip", put_ip, "", NULL },
	{ "request.path", put_nothing, "", NULL },
	{ "request.header.", put_half, "", NULL },
	{ "request.header.x.", put_ip, "", NULL },
	{ "route.match.", put_half, "", check_number },
};

static const struct template_vars vars = {
	.items = items, .count = sizeof(items) / sizeof(items[0]),
};

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
count_var(void *arg, struct span name)
{
	require(name.len > 0);
	++*(size_t *)arg;
}

static void
check(const struct template *t, struct span text, size_t small_cap)
{
	static char large_memory[LARGE];
	char small_memory[256];
	struct str large, small;
	struct span constant;
	size_t variables = 0;

	require(span_eq(template_text(t), text));
	str_init(&large, large_memory, sizeof(large_memory));
	template_eval(t, NULL, &large);
	require(!large.overflow);
	str_init(&small, small_memory, small_cap);
	template_eval(t, NULL, &small);
	require(small.overflow == (large.len > small_cap));
	require(span_starts(str_view(&large), str_view(&small)));
	template_each_var(t, count_var, &variables);
	if (!template_is_constant(t, &constant))
		require(variables > 0);
	else
		require(variables == 0 &&
		    span_eq(constant, str_view(&large)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct template *t;
	struct arena arena;
	struct error err;
	struct span text;

	if (len == 0 || len > INPUT_MAX)
		return 0;
	arena_init(&arena, NULL);
	text = span_of((const char *)bytes + 1, len - 1);
	memset(&err, 0, sizeof(err));
	t = template_compile(&arena, text, &vars, &err);
	if (t != NULL)
		check(t, text, bytes[0]);
	else
		require(err.text[0] != '\0');
	arena_fini(&arena);
	return 0;
}
