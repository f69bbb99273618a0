/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * regex - PCRE2 with its memory in the generation's arena.
 *
 * What the interpreter asks for while it matches comes from there too; PCRE2
 * keeps and reuses it, so that it stays below twice the heap limit.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "conf/regex.h"

#include <pcre2.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/log.h"

static void *
from_arena(size_t len, void *arena)
{
	return arena_alloc(arena, len);
}

static void
keep(void *p, void *arena)
{
	(void)p;
	(void)arena;
}

/* A path or a field holds no newline, and `$` shall mean the end. */
static pcre2_code *
compile(pcre2_general_context *general, struct span text, size_t *offset,
    struct error *err)
{
	const uint32_t options = PCRE2_NEVER_UTF | PCRE2_NEVER_UCP |
	    PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY;
	pcre2_compile_context *context =
	    pcre2_compile_context_create(general);
	PCRE2_UCHAR why[256];
	pcre2_code *code;
	int code_of_error;

	pcre2_set_max_pattern_length(context, CONF_REGEX_PATTERN_MAX);
	code = pcre2_compile((PCRE2_SPTR)(text.len > 0 ? text.p : ""),
	    text.len, options, &code_of_error, offset, context);
	if (code != NULL)
		return code;
	if (*offset > text.len)
		*offset = text.len;
	pcre2_get_error_message(code_of_error, why, sizeof(why));
	error_set(err, "at byte %zu of the pattern: %s", *offset + 1,
	    (const char *)why);
	return NULL;
}

/*
 * The interpreter does the same, more slowly.  Where PCRE2 has a compiler, it
 * was refused memory that can be written and executed.
 */
static void
say_interpreted(void)
{
	static bool was_said;
	uint32_t has_jit = 0;

	if (was_said || pcre2_config(PCRE2_CONFIG_JIT, &has_jit) < 0 ||
	    has_jit == 0)
		return;
	was_said = true;
	log_notice(NULL, "regular expressions are interpreted: code cannot "
	    "be made at run time (MemoryDenyWriteExecute or the like)");
}

struct conf_regex *
conf_regex_compile(struct arena *a, struct span text, size_t *offset,
    struct error *err)
{
	pcre2_general_context *general =
	    pcre2_general_context_create(from_arena, keep, a);
	pcre2_match_context *context;
	struct conf_regex *re;
	pcre2_code *code = compile(general, text, offset, err);

	if (code == NULL)
		return NULL;
	if (pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) != 0)
		say_interpreted();
	context = pcre2_match_context_create(general);
	pcre2_set_match_limit(context, CONF_REGEX_STEPS_MAX);
	pcre2_set_heap_limit(context, CONF_REGEX_HEAP_KB);
	re = arena_zalloc(a, sizeof(*re));
	re->text = arena_dup(a, text);
	re->code = code;
	pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &re->captures);
	re->match_data = pcre2_match_data_create_from_pattern(code, general);
	re->match_context = context;
	return re;
}

void
conf_regex_free_all(struct conf_regex *first)
{
	for (struct conf_regex *re = first; re != NULL; re = re->next)
		pcre2_code_free(re->code);
}

int
conf_regex_match(const struct conf_regex *re, struct span subject,
    struct span *captures, size_t count)
{
	const char *p = subject.len > 0 ? subject.p : "";
	int found = pcre2_match(re->code, (PCRE2_SPTR)p, subject.len, 0, 0,
	    re->match_data, re->match_context);
	const size_t *ends = pcre2_get_ovector_pointer(re->match_data);

	if (found < 0)
		return found == PCRE2_ERROR_NOMATCH ? 0 : -1;
	for (size_t i = 0; i < count; i++) {
		captures[i] = span_of(NULL, 0);
		if (i < (size_t)found && ends[2 * i] != PCRE2_UNSET)
			captures[i] = span_of(p + ends[2 * i],
			    ends[2 * i + 1] - ends[2 * i]);
	}
	return 1;
}
