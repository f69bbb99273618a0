/* SPDX-License-Identifier: BSD-2-Clause */
/* serving - filling a record, and reading one that a dead process left. */
#include "proxy/serving.h"

#include <string.h>

#include "base/span.h"
#include "base/str.h"
#include "proxy/phase.h"

static uint8_t
copy(char *to, size_t room, struct span from)
{
	size_t len = from.len < room ? from.len : room;

	/* A request that was refused early may have no target yet. */
	if (len > 0)
		memcpy(to, from.p, len);
	return (uint8_t)len;
}

void
serving_fill(struct serving *s, const struct exchange *ex)
{
	/* Who dies in between has no line rather than another's. */
	s->method_len = s->target_len = 0;
	s->owner = (uintptr_t)ex;
	s->phase = (uint32_t)ex->phase;
	s->module = 0;
	s->route = ex->route->metric_index;
	s->client = ex->client_ip;
	s->target_len = copy(s->target, sizeof(s->target), ex->req.target);
	s->method_len = copy(s->method, sizeof(s->method), ex->req.method);
}

static void
put_names(struct str *out, const struct serving *s,
    const struct serving_names *names)
{
	const char *module = s->module > 0
	    ? names->module(names->arg, s->module - 1) : NULL;
	const char *route = names->route(names->arg, s->route);

	if (s->phase < PHASE_COUNT)
		str_printf(out, " in phase %s",
		    phase_name((enum phase)s->phase));
	if (module != NULL)
		str_printf(out, ", module %s", module);
	if (route != NULL)
		str_printf(out, ", route %s", route);
}

void
serving_describe(const struct serving *s, const struct serving_names *names,
    struct str *out)
{
	struct serving copy_of = *s;
	size_t method_len = copy_of.method_len < SERVING_METHOD_MAX
	    ? copy_of.method_len : SERVING_METHOD_MAX;
	size_t target_len = copy_of.target_len < SERVING_TARGET_MAX
	    ? copy_of.target_len : SERVING_TARGET_MAX;

	if (copy_of.what == SERVING_HEAD)
		str_lit(out, "the head of a request");
	if (copy_of.what != SERVING_EXCHANGE)
		return;
	if (method_len > 0) {
		str_escaped(out, span_of(copy_of.method, method_len));
		str_lit(out, " ");
		str_escaped(out, span_of(copy_of.target, target_len));
	} else {
		str_lit(out, "a request");
	}
	str_lit(out, " for ");
	addr_ip_put(out, &copy_of.client);
	put_names(out, &copy_of, names);
}
