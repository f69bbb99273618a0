/* SPDX-License-Identifier: BSD-2-Clause */
/* heads - each input is parsed from memory of just its size. */
#include "heads.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "render.h"

struct parser {
	heads_parse_fn *parse;
	const struct h1_limits *limits;
	const struct head_row *row;
	struct h1_state state;
	char text[65536];
	struct str out;
};

/* Bytes behind len are not there: a sanitizer sees it if they are read. */
static enum h1_result
parse_first(struct parser *p, size_t len)
{
	char *bytes = malloc(len > 0 ? len : 1);
	enum h1_result result;
	size_t used = 0;

	assert_non_null(bytes);
	if (len > 0)
		memcpy(bytes, p->row->input.p, len);
	str_init(&p->out, p->text, sizeof(p->text));
	result = p->parse(&p->state, bytes, len, p->limits, &p->out,
	    &used);
	if (result == H1_DONE && used < p->row->input.len)
		str_printf(&p->out, " +%zu", p->row->input.len - used);
	if (result == H1_REFUSED)
		render_refusal(&p->out, &p->state);
	else if (result == H1_MORE)
		str_lit(&p->out, "more");
	assert_false(p->out.overflow);
	str_terminate(&p->out);
	free(bytes);
	return result;
}

static void
check(struct parser *p, const char *how, size_t at)
{
	if (strcmp(p->text, p->row->want) == 0)
		return;
	fail_msg("%s, %s %zu:\n  is   %s\n  want %s", p->row->name, how, at,
	    p->text, p->row->want);
}

/*
 * A byte that may stand nowhere is refused as soon as it is there, and CR
 * without LF with the byte behind it.
 */
static void
check_early(const struct parser *p, size_t len)
{
	size_t need = p->state.offset;

	if (p->state.refusal == H1_REFUSAL_CONTROL ||
	    p->state.refusal == H1_REFUSAL_BARE_LF)
		need += 1;
	else if (p->state.refusal == H1_REFUSAL_BARE_CR)
		need += 2;
	else
		return;
	if (len != need)
		fail_msg("%s: refused with %zu bytes, needs %zu", p->row->name,
		    len, need);
}

static void
run_bytewise(struct parser *p)
{
	enum h1_result result = H1_MORE;
	size_t len = 0;

	p->state = (struct h1_state){ .checked = 0 };
	while (result == H1_MORE && len <= p->row->input.len)
		result = parse_first(p, len++);
	check(p, "byte", len - 1);
	if (result == H1_REFUSED)
		check_early(p, len - 1);
}

static void
run_split(struct parser *p, size_t at)
{
	p->state = (struct h1_state){ .checked = 0 };
	if (parse_first(p, at) == H1_MORE)
		parse_first(p, p->row->input.len);
	check(p, "split at", at);
}

void
heads_run(const struct head_row *rows, size_t count,
    const struct h1_limits *limits, heads_parse_fn *parse)
{
	static struct parser p;

	for (size_t i = 0; i < count; i++) {
		size_t len = rows[i].input.len;
		size_t step = len > 2000 ? 97 : 1;

		p.parse = parse;
		p.limits = limits;
		p.row = &rows[i];
		run_split(&p, len);
		for (size_t at = 0; at < len; at += step)
			run_split(&p, at);
		if (len <= 2000)
			run_bytewise(&p);
	}
}
