/* SPDX-License-Identifier: BSD-2-Clause */
/* relay_trailers - a response's trailers on their way through handlers. */
#include "proxy/relay_private.h"

/* The next handler of the trailers, and its phase; NULL behind the last. */
static const struct phase_handler *
trailers_handler(const struct exchange *ex, enum phase *phase)
{
	static const enum phase phases[] = { PHASE_UPSTREAM_RESPONSE_TRAILERS,
		PHASE_RESPONSE_TRAILERS };
	uint32_t at = ex->response_body.trailers_at;

	for (unsigned i = 0; i < 2; i++) {
		const struct phase_chain *chain = relay_chain(ex, phases[i]);

		*phase = phases[i];
		if (at < chain->count)
			return &chain->items[at];
		at -= chain->count;
	}
	return NULL;
}

/* What one makes of the trailers, which may begin with more body. */
static enum verdict
call_trailers(struct exchange *ex, const struct phase_handler *h,
    enum phase phase)
{
	struct relay *r = &ex->response_body;
	struct span body = { NULL, 0 };
	enum verdict verdict;

	if (r->trailers == NULL)
		r->trailers = arena_zalloc(&ex->arena, sizeof(*r->trailers));
	ex->module_index = h->module_index;
	serving_call(ex->proxy->serving, ex, phase, h->module_index);
	verdict = h->fn.trailers(ex, h->conf, r->trailers, &body);
	ex->proxy->serving->module = 0;
	if (body.len > 0 && !ex->client_gone) {
		r->sent += body.len;
		ex->client_ops->send_body(ex, body);
	}
	return verdict;
}

bool
relay_trailers_filter(struct exchange *ex)
{
	struct relay *r = &ex->response_body;
	const struct phase_handler *h;
	enum phase phase;

	while ((h = trailers_handler(ex, &phase)) != NULL) {
		enum verdict verdict = VERDICT_NEXT;

		if (!relay_push_is_skipped(ex, h))
			verdict = call_trailers(ex, h, phase);
		if (verdict == VERDICT_WAIT) {
			r->trailers_wait = true;
			return false;
		}
		if (verdict != VERDICT_NEXT) {
			relay_fail(ex, "a trailers handler failed");
			return false;
		}
		r->trailers_at++;
	}
	return true;
}
