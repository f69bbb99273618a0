/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relay_push - bodies on their way through the handlers of their phases.
 *
 * A handler may take a piece in parts, make more of it than came, or pause.
 * What it makes beyond the sink's room waits in it: the rest of its input is
 * kept until the sink has taken what it got, and no more is received.
 */
#include <assert.h>

#include "proxy/exchange_private.h"
#include "proxy/relay_private.h"

/* Bytes that handlers may make before others have their turn. */
enum { PUSH_BYTES = 1048576 };

const struct relay_path relay_push_request = {
	{ PHASE_REQUEST_BODY, PHASE_REQUEST_BODY }, 1,
	PHASE_BIT(PHASE_REQUEST_BODY), true };
const struct relay_path relay_push_response = {
	{ PHASE_UPSTREAM_RESPONSE_BODY, PHASE_RESPONSE_BODY }, 2,
	PHASE_BIT(PHASE_UPSTREAM_RESPONSE_BODY) |
	    PHASE_BIT(PHASE_RESPONSE_BODY), false };

static void defer_flush(struct exchange *ex);

/* Handler number at of the path's chains; NULL behind the last. */
static const struct phase_handler *
handler_at(const struct exchange *ex, const struct relay_path *path,
    uint32_t at)
{
	for (unsigned i = 0; i < path->phase_count; i++) {
		const struct phase_chain *chain =
		    relay_chain(ex, path->phases[i]);

		if (at < chain->count)
			return &chain->items[at];
		at -= chain->count;
	}
	return NULL;
}

static void
hold(struct exchange *ex, struct pipe *pipe, uint8_t *held_flags,
    struct span bytes, unsigned flags)
{
	pipe_put(pipe, &ex->proxy->blocks, bytes);
	*held_flags |= (uint8_t)flags;
}

static void
handler_failed(struct exchange *ex)
{
	if (ex->reason == REASON_NONE)
		exchange_note(ex, REASON_INTERNAL, "a body handler failed");
	ex->body_failed = true;
}

/* Will what handler number at emits find a place that is not just a queue? */
static bool
sink_has_room(struct exchange *ex, const struct relay_path *path, uint32_t at)
{
	const struct relay *r = relay_of(ex, path);

	if (r->is_paused && r->held_at > at)
		return false;
	if (!path->is_request)
		return ex->client_gone || ex->client_ops->room(ex) > 0;
	if (ex->discard_request)
		return true;
	if (!ex->up_head_sent)
		return r->waiting.len < ex->core->buffer;
	return ex->backend_conn == NULL || ex->backend_ops->room(ex) > 0;
}

/* In which of the path's phases handler number at is. */
static enum phase
phase_of(const struct exchange *ex, const struct relay_path *path,
    uint32_t at)
{
	bool is_first = at < relay_chain(ex, path->phases[0])->count;

	return path->phases[is_first ? 0 : 1];
}

static bool
is_skipped(const struct exchange *ex, const struct relay_path *path,
    const struct phase_handler *h)
{
	return !path->is_request && relay_push_is_skipped(ex, h);
}

/* One call of a handler; false if it failed. */
static bool
call(struct exchange *ex, enum phase phase, const struct phase_handler *h,
    struct body_piece *piece, enum verdict *verdict)
{
	ex->module_index = h->module_index;
	serving_call(ex->proxy->serving, ex, phase, h->module_index);
	*verdict = h->fn.body(ex, h->conf, piece);
	ex->proxy->serving->module = 0;
	if (*verdict == VERDICT_FAIL || *verdict == VERDICT_ANSWERED) {
		handler_failed(ex);
		return false;
	}
	if (!piece->is_changed) {
		piece->out[0] = piece->in;
		piece->out_count = 1;
		piece->taken = piece->in.len;
		piece->has_more = false;
	}
	assert(piece->taken <= piece->in.len &&
	    piece->out_count <= BODY_SPANS_MAX);
	/* It took nothing, made nothing, waits for nothing: without end. */
	if (*verdict == VERDICT_NEXT && piece->taken == 0 &&
	    piece->out_count == 0 &&
	    (piece->in.len > 0 || piece->has_more)) {
		handler_failed(ex);
		return false;
	}
	return true;
}

/* What handler number at - 1 made goes on. */
static void
push_out(struct exchange *ex, const struct relay_path *path, uint32_t at,
    const struct body_piece *piece, unsigned flags)
{
	unsigned count = piece->out_count;

	for (unsigned i = 0; i < count; i++)
		relay_push(ex, path, at, piece->out[i], i + 1 == count ? flags : 0);
	if (count == 0 && flags != 0)
		relay_push(ex, path, at, span_of(NULL, 0), flags);
}

/*
 * A piece reaches handler number at.  Recursion is as deep as a route has
 * body handlers, whatever the peers send.
 */
void
relay_push(struct exchange *ex, const struct relay_path *path, uint32_t at,
    struct span in, unsigned flags)
{
	struct relay *r = relay_of(ex, path);
	const struct phase_handler *h = handler_at(ex, path, at);

	if (ex->body_failed)
		return;
	while (h != NULL && is_skipped(ex, path, h))
		h = handler_at(ex, path, ++at);
	if (h == NULL) {
		relay_sink(ex, path, in, (flags & BODY_END) != 0);
		return;
	}
	if (r->is_paused && r->held_at == at) {
		hold(ex, &r->held, &r->held_flags, in, flags);
		return;
	}
	if (r->is_full && r->full_at == at) {
		hold(ex, &r->full, &r->full_flags, in, flags);
		return;
	}
	for (size_t made = 0;;) {
		struct body_piece piece = { .in = in, .taken = in.len,
			.flags = flags };
		enum verdict verdict;
		bool is_done;

		if (!call(ex, phase_of(ex, path, at), h, &piece, &verdict))
			return;
		in = span_of(in.p + piece.taken, in.len - piece.taken);
		is_done = in.len == 0 && !piece.has_more &&
		    verdict != VERDICT_WAIT;
		push_out(ex, path, at + 1, &piece, is_done ? flags : 0);
		if (is_done || ex->body_failed)
			return;
		if (verdict == VERDICT_WAIT) {
			r->is_paused = true;
			r->held_at = at;
			hold(ex, &r->held, &r->held_flags, in, flags);
			return;
		}
		for (unsigned i = 0; i < piece.out_count; i++)
			made += piece.out[i].len;
		if (made > PUSH_BYTES || !sink_has_room(ex, path, at)) {
			/* With room, it goes on after the others' turn. */
			if (made > PUSH_BYTES)
				defer_flush(ex);
			r->is_full = true;
			r->full_at = at;
			hold(ex, &r->full, &r->full_flags, in, flags);
			return;
		}
	}
}

static void
flush(struct exchange *ex, const struct relay_path *path)
{
	struct relay *r = relay_of(ex, path);
	bool was_full = r->is_full;

	relay_push_full(ex, path);
	if (r->wants_flush && !r->in_ended)
		relay_push(ex, path, 0, span_of(NULL, 0), BODY_FLUSH);
	r->wants_flush = false;
	if (!was_full || r->is_full || r->in_ended)
		return;
	if (path->is_request)
		ex->client_ops->resume(ex);
	else if (ex->backend_conn != NULL)
		ex->backend_ops->resume(ex);
}

static void
on_flush(struct loop_task *t)
{
	struct exchange *ex = LIST_OF(t, struct exchange, flush);
	struct proxy *proxy = ex->proxy;

	flush(ex, &relay_push_request);
	if (ex->state == EXCHANGE_STREAM)
		flush(ex, &relay_push_response);
	if (ex->body_failed)
		relay_after_push(ex);
	else if (ex->response_body.out_ended)
		exchange_settle(ex);
	proxy_flush(proxy);
}

static void
defer_flush(struct exchange *ex)
{
	if (ex->flush.is_queued)
		return;
	loop_task_init(&ex->flush, on_flush);
	loop_defer(ex->proxy->loop, &ex->flush);
}

void
relay_push_handlers(struct exchange *ex, const struct relay_path *path,
    struct span in, bool is_end)
{
	relay_push(ex, path, 0, in, is_end ? BODY_END : 0);
	if (is_end)
		return;
	relay_of(ex, path)->wants_flush = true;
	defer_flush(ex);
}

/* Feed the path from what waits in a pipe: one call at least. */
void
relay_push_pipe(struct exchange *ex, const struct relay_path *path,
    uint32_t at, struct pipe *from, unsigned flags)
{
	struct block_pool *pool = &ex->proxy->blocks;

	if (from->len == 0)
		relay_push(ex, path, at, span_of(NULL, 0), flags);
	while (from->len > 0) {
		struct span run = pipe_peek(from);

		relay_push(ex, path, at, run, run.len == from->len ? flags : 0);
		pipe_drop(from, pool, run.len);
	}
}

/* The sink has room again for a handler that had more. */
void
relay_push_full(struct exchange *ex, const struct relay_path *path)
{
	struct relay *r = relay_of(ex, path);
	struct pipe full = r->full;
	unsigned flags = r->full_flags;

	if (!r->is_full || !sink_has_room(ex, path, r->full_at))
		return;
	r->is_full = false;
	r->full_flags = 0;
	pipe_init(&r->full);
	relay_push_pipe(ex, path, r->full_at, &full, flags);
}

/* A handler that paused goes on. */
void
relay_push_held(struct exchange *ex, const struct relay_path *path)
{
	struct relay *r = relay_of(ex, path);
	struct pipe held = r->held;
	unsigned flags = r->held_flags;

	if (!r->is_paused)
		return;
	r->is_paused = false;
	r->held_flags = 0;
	pipe_init(&r->held);
	relay_push_pipe(ex, path, r->held_at, &held, flags);
	relay_push_full(ex, path);
}

