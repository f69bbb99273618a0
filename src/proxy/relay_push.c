/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relay_push - bodies on their way through the handlers of their phases.
 *
 * A handler may take a piece in parts, make more of it than came, or pause.
 * What it makes beyond the sink's room waits in it: the rest of its input is
 * kept until the sink has taken what it got, and no more is received.
 *
 * Any number of them may be stopped at once, each with what waits in front
 * of it, so that the order of the bytes does not depend on who goes on first.
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

static uint32_t
handler_count(const struct exchange *ex, const struct relay_path *path)
{
	uint32_t count = 0;

	for (unsigned i = 0; i < path->phase_count; i++)
		count += relay_chain(ex, path->phases[i])->count;
	return count;
}

static inline bool
is_stopped(const struct relay *r, uint32_t at)
{
	return r->stopped > 0 && r->stops[at].kind != RELAY_GOES;
}

/* Does a handler behind number at take nothing? */
static bool
is_any_stopped_behind(const struct relay *r, uint32_t at)
{
	for (uint32_t i = at + 1; r->stopped > 0 && i < r->stop_count; i++) {
		if (r->stops[i].kind != RELAY_GOES)
			return true;
	}
	return false;
}

/* What reaches a handler that is stopped. */
static void
hold(struct exchange *ex, struct relay_stop *stop, struct span bytes,
    unsigned flags)
{
	pipe_put(&stop->input, &ex->proxy->blocks, bytes);
	stop->flags |= (uint8_t)flags;
}

/* Handler number at takes nothing until it is let go. */
static void
stop_at(struct exchange *ex, const struct relay_path *path, uint32_t at,
    enum relay_stop_kind kind, struct span rest, unsigned flags)
{
	struct relay *r = relay_of(ex, path);

	if (r->stops == NULL) {
		r->stop_count = handler_count(ex, path);
		r->stops = arena_zalloc(&ex->arena,
		    r->stop_count * sizeof(*r->stops));
	}
	assert(r->stops[at].kind == RELAY_GOES);
	r->stops[at].kind = (uint8_t)kind;
	r->stopped++;
	r->full += kind == RELAY_FULL;
	hold(ex, &r->stops[at], rest, flags);
}

/* It goes on with what waits; it may be stopped again in here. */
static void
go_on(struct exchange *ex, const struct relay_path *path, uint32_t at)
{
	struct relay *r = relay_of(ex, path);
	struct relay_stop stop = r->stops[at];

	r->stops[at] = (struct relay_stop){ .kind = RELAY_GOES };
	r->stopped--;
	r->full -= stop.kind == RELAY_FULL;
	relay_push_pipe(ex, path, at, &stop.input, stop.flags);
}

/* Will what handler number at emits find a place that is not just a queue? */
static bool
sink_has_room(struct exchange *ex, const struct relay_path *path, uint32_t at)
{
	const struct relay *r = relay_of(ex, path);

	if (is_any_stopped_behind(r, at))
		return false;
	if (!path->is_request)
		return ex->client_gone || ex->client_ops->room(ex) > 0;
	if (ex->discard_request)
		return true;
	/* Nobody empties what is collected: one more byte is too large. */
	if (ex->core->buffer_request && ex->state <= EXCHANGE_COLLECT)
		return r->waiting.len <= relay_waiting_max(ex);
	if (!ex->up_head_sent)
		return r->waiting.len < relay_waiting_max(ex);
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
		relay_fail(ex, "a body handler failed");
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
		relay_fail(ex, "a body handler failed");
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
		relay_push(ex, path, at, piece->out[i],
		    i + 1 == count ? flags : 0);
	if (count == 0 && flags != 0)
		relay_push(ex, path, at, span_of(NULL, 0), flags);
}

/* Handler number at has a piece, until it is done or must stop. */
static void
handle(struct exchange *ex, const struct relay_path *path, uint32_t at,
    const struct phase_handler *h, struct span in, unsigned flags)
{
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
			stop_at(ex, path, at, RELAY_PAUSED, in, flags);
			return;
		}
		for (unsigned i = 0; i < piece.out_count; i++)
			made += piece.out[i].len;
		if (made > PUSH_BYTES || !sink_has_room(ex, path, at)) {
			/* With room, it goes on after the others' turn. */
			if (made > PUSH_BYTES)
				defer_flush(ex);
			stop_at(ex, path, at, RELAY_FULL, in, flags);
			return;
		}
	}
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
	if (h == NULL)
		relay_sink(ex, path, in, (flags & BODY_END) != 0);
	else if (is_stopped(r, at))
		hold(ex, &r->stops[at], in, flags);
	else
		handle(ex, path, at, h, in, flags);
}

static void
flush(struct exchange *ex, const struct relay_path *path)
{
	struct relay *r = relay_of(ex, path);
	bool was_full = r->full > 0;

	relay_push_full(ex, path);
	if (r->wants_flush && !r->in_ended)
		relay_push(ex, path, 0, span_of(NULL, 0), BODY_FLUSH);
	r->wants_flush = false;
	if (!was_full || r->full > 0 || r->in_ended)
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
	else if (!relay_wake(ex) && ex->response_body.out_ended)
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

void
relay_push_pipe(struct exchange *ex, const struct relay_path *path,
    uint32_t at, struct pipe *from, unsigned flags)
{
	struct block_pool *pool = &ex->proxy->blocks;
	unsigned end = flags & BODY_END;

	if (from->len == 0) {
		relay_push(ex, path, at, span_of(NULL, 0), flags);
		return;
	}
	while (from->len > 0) {
		struct span run = pipe_peek(from);

		relay_push(ex, path, at, run, run.len == from->len ? end : 0);
		pipe_drop(from, pool, run.len);
	}
	if (end == 0 && flags != 0)
		relay_push(ex, path, at, span_of(NULL, 0), flags);
}

void
relay_push_full(struct exchange *ex, const struct relay_path *path)
{
	struct relay *r = relay_of(ex, path);

	for (uint32_t at = r->stop_count; r->full > 0 && at-- > 0;) {
		if (r->stops[at].kind == RELAY_FULL &&
		    sink_has_room(ex, path, at))
			go_on(ex, path, at);
	}
}

void
relay_push_held(struct exchange *ex, const struct relay_path *path)
{
	struct relay *r = relay_of(ex, path);

	for (uint32_t at = r->stop_count; r->stopped > 0 && at-- > 0;) {
		if (r->stops[at].kind == RELAY_PAUSED)
			go_on(ex, path, at);
	}
	relay_push_full(ex, path);
}
