/* SPDX-License-Identifier: BSD-2-Clause */
/* admin - weir's answers about itself. */
#include "proxy/admin.h"

#include "metrics/render.h"
#include "proxy/exchange.h"
#include "proxy/proxy_private.h"

enum { TEXT_MAX = 16 * 1048576 };

/* What was rendered so far, growing in the exchange's arena. */
struct text {
	struct exchange *ex;
	struct str out;
};

static bool
take(void *arg, struct span piece)
{
	struct text *t = arg;

	if (t->out.len + piece.len > t->out.cap) {
		size_t cap = t->out.cap * 2;
		char *p;

		if (cap > TEXT_MAX)
			return false;
		while (cap < t->out.len + piece.len)
			cap *= 2;
		p = arena_alloc(&t->ex->arena, cap);
		memcpy(p, t->out.p, t->out.len);
		t->out.p = p;
		t->out.cap = cap;
	}
	str_span(&t->out, piece);
	return true;
}

enum verdict
admin_metrics(struct exchange *ex)
{
	struct text t = { .ex = ex };

	str_init(&t.out, arena_alloc(&ex->arena, RENDER_PIECE_MAX * 4),
	    RENDER_PIECE_MAX * 4);
	if (!render_all(ex->proxy->boot.metrics, take, &t))
		return exchange_fail(ex, REASON_INTERNAL,
		    "the metrics exceed 16 MB");
	return exchange_answer_body(ex, 200, SPAN(RENDER_CONTENT_TYPE),
	    str_view(&t.out));
}

enum verdict
admin_healthz(struct exchange *ex)
{
	if (ex->proxy->draining || ex->proxy->is_leaving)
		return exchange_answer_body(ex, 503, SPAN("text/plain"),
		    SPAN("draining\n"));
	return exchange_answer_body(ex, 200, SPAN("text/plain"),
	    SPAN("ok\n"));
}
