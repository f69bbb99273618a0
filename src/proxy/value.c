/* SPDX-License-Identifier: BSD-2-Clause */
/* value - evaluating templates for fields, and refusing what breaks them. */
#include "proxy/value.h"

#include "base/arena.h"
#include "base/str.h"
#include "conf/template.h"
#include "http/field.h"
#include "proxy/exchange.h"
#include "proxy/proxy_private.h"
#include "proxy/stats.h"

bool
value_field(struct exchange *ex, const struct template *t,
    struct span *value)
{
	char memory[VALUE_BYTES_MAX];
	struct span text;
	struct str out;

	if (template_is_constant(t, &text)) {
		*value = span_trim(text);
		return true; /* checked at load */
	}
	str_init(&out, memory, sizeof(memory));
	template_eval(t, ex, &out);
	text = span_trim(str_view(&out));
	if (out.overflow || !http_is_field_value(text)) {
		value_count_dropped(ex);
		return false;
	}
	*value = span_of(arena_dup(&ex->arena, text), text.len);
	return true;
}

void
value_count_dropped(struct exchange *ex)
{
	counter_add(&ex->proxy->stats[PROXY_STAT_SUPPRESSED_VALUES], 1);
}
