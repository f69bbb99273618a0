/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_stream - the sending half of a session: heads, bodies, their frames. */
#include <assert.h>

#include "base/arena.h"
#include "base/str.h"
#include "http/h2_session_private.h"

enum { FRAME_HEAD = 9, OWN_FIELDS = 8 };

/* ---- heads ---- */

struct nvs {
	nghttp2_nv *items;
	size_t count;
	size_t bytes; /* of names and values, with separators */
	struct arena *arena;
};

static uint8_t *
bytes_of(struct span s)
{
	union { const char *in; uint8_t *out; } u = { .in = s.p };

	return u.out;
}

static void
add(struct nvs *to, struct span name, struct span value, uint8_t flags)
{
	to->bytes += name.len + value.len + 4;
	to->items[to->count++] = (nghttp2_nv){
		.name = bytes_of(name), .namelen = name.len,
		.value = bytes_of(value), .valuelen = value.len,
		.flags = flags };
}

/* Names go in lower case (RFC 9113, section 8.2). */
static struct span
lower(struct nvs *to, struct span name)
{
	size_t i = 0;
	char *p;

	while (i < name.len && span_lower((unsigned char)name.p[i]) ==
	    (unsigned char)name.p[i])
		i++;
	if (i == name.len)
		return name;
	p = arena_alloc(to->arena, name.len);
	for (i = 0; i < name.len; i++)
		p[i] = (char)span_lower((unsigned char)name.p[i]);
	return span_of(p, name.len);
}

static void
add_fields(struct nvs *to, const struct http_fields *fields, bool websocket)
{
	for (uint32_t i = 0; i < fields->count; i++) {
		const struct http_field *f = &fields->items[i];
		struct span name = http_field_name(f);

		if ((f->flags & HTTP_FIELD_DROPPED) != 0 ||
		    f->id == FIELD_HOST)
			continue;
		/* RFC 8441, section 5: HTTP/2 has no use for the two. */
		if (websocket && (span_ieq(name, SPAN("Sec-WebSocket-Key")) ||
		    span_ieq(name, SPAN("Sec-WebSocket-Accept"))))
			continue;
		add(to, lower(to, name), span_trim(http_field_value(f)),
		    (f->flags & HTTP_FIELD_SENSITIVE) != 0
		    ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE);
	}
}

static void
nvs_init(struct nvs *nvs, struct arena *arena,
    const struct http_fields *fields)
{
	nvs->arena = arena;
	nvs->count = 0;
	nvs->bytes = 0;
	nvs->items = arena_alloc(arena,
	    (fields->count + OWN_FIELDS) * sizeof(*nvs->items));
}

static void
add_length(struct nvs *to, const struct h2_framing *framing)
{
	struct str text;

	if (!framing->has_length)
		return;
	str_init(&text, arena_alloc(to->arena, 24), 24);
	str_u64(&text, framing->content_length);
	add(to, SPAN("content-length"), str_view(&text), 0);
}

/* ---- composing ---- */

static size_t
left_of(const struct h2_stream *st)
{
	return st->out.len + st->now.len;
}

/* What the next DATA frame of a stream holds. */
static ssize_t
on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t len,
    uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, id);
	size_t left;

	(void)buf;
	(void)source;
	(void)arg;
	if (st == NULL)
		return NGHTTP2_ERR_DEFERRED;
	left = left_of(st);
	if (left == 0 && !st->out_ended)
		return NGHTTP2_ERR_DEFERRED;
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (left > len)
		return (ssize_t)len;
	if (!st->out_ended)
		return (ssize_t)left;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (st->trailers != NULL) {
		struct nvs nvs = { .items = NULL };
		struct arena arena;

		arena_init(&arena, NULL);
		nvs_init(&nvs, &arena, st->trailers);
		add_fields(&nvs, st->trailers, false);
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		(void)nghttp2_submit_trailer(ng, id, nvs.items, nvs.count);
		arena_fini(&arena);
	}
	return (ssize_t)left;
}

static void
write_out(struct h2_session *s, struct span bytes)
{
	s->conf->write(s->conf->owner, bytes);
}

static ssize_t
on_send(nghttp2_session *ng, const uint8_t *data, size_t len, int flags,
    void *arg)
{
	struct h2_session *s = arg;

	(void)ng;
	(void)flags;
	if (!s->conf->has_room(s->conf->owner))
		return NGHTTP2_ERR_WOULDBLOCK;
	write_out(s, span_of((const char *)data, len));
	return (ssize_t)len;
}

static void
move_body(struct h2_session *s, struct h2_stream *st, size_t len)
{
	while (len > 0 && st->out.len > 0) {
		struct span run = pipe_peek(&st->out);

		if (run.len > len)
			run.len = len;
		write_out(s, run);
		pipe_drop(&st->out, s->conf->pool, run.len);
		s->waiting -= run.len;
		len -= run.len;
	}
	assert(len <= st->now.len);
	if (len == 0)
		return;
	write_out(s, span_of(st->now.p, len));
	st->now = span_of(st->now.p + len, st->now.len - len);
}

static int
on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head,
    size_t len, nghttp2_data_source *source, void *arg)
{
	struct h2_session *s = arg;
	struct h2_stream *st = nghttp2_session_get_stream_user_data(ng,
	    frame->hd.stream_id);

	(void)source;
	if (st == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (!s->conf->has_room(s->conf->owner))
		return NGHTTP2_ERR_WOULDBLOCK;
	assert(frame->data.padlen == 0);
	write_out(s, span_of((const char *)head, FRAME_HEAD));
	move_body(s, st, len);
	st->sent += len;
	return 0;
}

/* Resets that a peer's errors make us send; not those we decide upon. */
static bool
is_made(uint32_t error)
{
	return error == NGHTTP2_PROTOCOL_ERROR ||
	    error == NGHTTP2_FLOW_CONTROL_ERROR ||
	    error == NGHTTP2_STREAM_CLOSED ||
	    error == NGHTTP2_FRAME_SIZE_ERROR ||
	    error == NGHTTP2_REFUSED_STREAM;
}

static int
on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_session *s = arg;
	struct h2_stream *st = frame->hd.stream_id == 0 ? NULL
	    : nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);

	if (frame->hd.type == NGHTTP2_RST_STREAM && !s->conf->is_client &&
	    is_made(frame->rst_stream.error_code))
		h2_session_count(s, H2_FLOOD_RESET_MADE, 1);
	if (frame->hd.type == NGHTTP2_DATA)
		s->window_credit += H2_UPDATES_PER_FRAME;
	if (st == NULL || (frame->hd.type != NGHTTP2_DATA &&
	    frame->hd.type != NGHTTP2_HEADERS))
		return 0;
	st->head_sent = true;
	if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
		return 0;
	st->end_sent = true;
	/* RFC 9113, section 8.1: the rest of the request is not needed. */
	if (st->wants_no_more && !st->in_ended)
		h2_stream_reset(st, H2_NO_ERROR);
	return 0;
}

void
h2_stream_set_callbacks(nghttp2_session_callbacks *callbacks)
{
	nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
	nghttp2_session_callbacks_set_send_data_callback(callbacks,
	    on_send_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks,
	    on_sent);
}

/* ---- what the owner asks for ---- */

int
h2_stream_request(struct h2_session *s, struct h2_stream *st,
    const struct http_request *req, struct span target, struct span host,
    struct span scheme, const struct h2_framing *framing)
{
	nghttp2_data_provider body = { .read_callback = on_read };
	struct nvs nvs;

	memset(st, 0, sizeof(*st));
	pipe_init(&st->out);
	st->session = s;
	st->method = req->method_id;
	st->upgrade_websocket = req->upgrade_websocket;
	nvs_init(&nvs, s->conf->events->arena(st), &req->fields);
	add(&nvs, SPAN(":method"), req->upgrade_websocket ? SPAN("CONNECT")
							  : req->method, 0);
	add(&nvs, SPAN(":scheme"), scheme, 0);
	add(&nvs, SPAN(":authority"), host, 0);
	add(&nvs, SPAN(":path"), target, 0);
	if (req->upgrade_websocket)
		add(&nvs, SPAN(":protocol"), SPAN("websocket"), 0);
	add_fields(&nvs, &req->fields, req->upgrade_websocket);
	if (req->te_trailers)
		add(&nvs, SPAN("te"), SPAN("trailers"), 0);
	add_length(&nvs, framing);
	st->bytes_out = nvs.bytes;
	st->out_ended = framing->is_end;
	st->id = nghttp2_submit_request(s->ng, NULL, nvs.items, nvs.count,
	    framing->is_end ? NULL : &body, st);
	if (st->id < 0) {
		st->session = NULL;
		return -1;
	}
	list_push_back(&s->streams, &st->link);
	s->stream_count++;
	return 0;
}

void
h2_stream_respond(struct h2_stream *st, const struct http_response *res,
    const struct h2_framing *framing)
{
	nghttp2_data_provider body = { .read_callback = on_read };
	bool is_tunnel = res->status == 101;
	unsigned status = is_tunnel ? 200 : res->status;
	char digits[4];
	struct nvs nvs;

	if (st->session == NULL || st->is_reset)
		return;
	nvs_init(&nvs, st->session->conf->events->arena(st), &res->fields);
	digits[0] = (char)('0' + status / 100 % 10);
	digits[1] = (char)('0' + status / 10 % 10);
	digits[2] = (char)('0' + status % 10);
	add(&nvs, SPAN(":status"), span_of(digits, 3), 0);
	add_fields(&nvs, &res->fields, is_tunnel);
	if (status < 200) {
		(void)nghttp2_submit_headers(st->session->ng,
		    NGHTTP2_FLAG_NONE, st->id, NULL, nvs.items, nvs.count,
		    NULL);
		return;
	}
	add_length(&nvs, framing);
	st->bytes_out += nvs.bytes;
	st->out_ended = framing->is_end;
	(void)nghttp2_submit_response(st->session->ng, st->id, nvs.items,
	    nvs.count, framing->is_end ? NULL : &body);
}

static void
keep_body(struct h2_stream *st, struct span bytes)
{
	pipe_put(&st->out, st->session->conf->pool, bytes);
	st->session->waiting += bytes.len;
}

void
h2_stream_body(struct h2_stream *st, struct span bytes)
{
	struct h2_session *s = st->session;

	if (s == NULL || st->is_reset || st->out_ended || bytes.len == 0)
		return;
	st->bytes_out += bytes.len;
	if (bytes.len < H2_NOW_MIN || st->out.len > 0 ||
	    h2_session_is_busy(s)) {
		keep_body(st, bytes);
		(void)nghttp2_session_resume_data(s->ng, st->id);
		return;
	}
	/* From where it lies into frames, as far as the windows reach. */
	st->now = bytes;
	(void)nghttp2_session_resume_data(s->ng, st->id);
	h2_session_compose(s);
	bytes = st->now;
	st->now = span_of(NULL, 0);
	if (st->session != NULL)
		keep_body(st, bytes);
}

void
h2_stream_end(struct h2_stream *st, const struct http_fields *trailers)
{
	if (st->session == NULL || st->is_reset || st->out_ended)
		return;
	st->out_ended = true;
	if (trailers != NULL && trailers->count > 0) {
		/* They may wait longer than their owner lives. */
		arena_init(&st->trailer_arena, NULL);
		st->trailers = arena_alloc(&st->trailer_arena,
		    sizeof(*st->trailers));
		*st->trailers = *trailers;
		h1_copy_fields(&st->trailer_arena, st->trailers);
	}
	(void)nghttp2_session_resume_data(st->session->ng, st->id);
}

void
h2_stream_reset(struct h2_stream *st, enum h2_error error)
{
	if (st->session == NULL || st->is_reset)
		return;
	st->is_reset = true;
	(void)nghttp2_submit_rst_stream(st->session->ng, NGHTTP2_FLAG_NONE,
	    st->id, error);
	h2_stream_consumed(st, st->unconsumed);
}

/*
 * The library gives window once half of it was consumed.  Where streams that
 * stall hold the other half that never comes: then what there is goes earlier.
 */
static void
open_window(struct h2_session *s)
{
	int32_t window = nghttp2_session_get_effective_local_window_size(s->ng);
	int32_t taken =
	    nghttp2_session_get_effective_recv_data_length(s->ng);
	int64_t consumed = (int64_t)taken - (int64_t)s->held;

	if (taken > window / 4 * 3 && consumed >= window / 32)
		(void)nghttp2_submit_window_update(s->ng, NGHTTP2_FLAG_NONE,
		    0, (int32_t)consumed);
}

void
h2_stream_let_go(struct h2_session *s, struct h2_stream *st)
{
	s->held -= st->unconsumed;
	if (st->unconsumed > 0) {
		(void)nghttp2_session_consume_connection(s->ng,
		    st->unconsumed);
		open_window(s);
	}
	st->unconsumed = 0;
	st->session = NULL;
	s->stream_count--;
	s->waiting -= st->out.len;
	list_remove(&st->link);
	pipe_fini(&st->out, s->conf->pool);
	st->now = span_of(NULL, 0);
	if (st->trailers != NULL) {
		arena_fini(&st->trailer_arena);
		st->trailers = NULL;
	}
}

void
h2_stream_forget(struct h2_stream *st, enum h2_error error)
{
	struct h2_session *s = st->session;

	if (s == NULL)
		return;
	if (!st->in_ended || !st->end_sent)
		h2_stream_reset(st, error);
	(void)nghttp2_session_set_stream_user_data(s->ng, st->id, NULL);
	h2_stream_let_go(s, st);
}

void
h2_stream_consumed(struct h2_stream *st, size_t len)
{
	/* A reset has given back all of it already. */
	if (len > st->unconsumed)
		len = st->unconsumed;
	if (st->session == NULL || len == 0)
		return;
	st->unconsumed -= len;
	st->session->held -= len;
	(void)nghttp2_session_consume(st->session->ng, st->id, len);
	open_window(st->session);
}

size_t
h2_stream_window(const struct h2_stream *st)
{
	int32_t own, all;

	if (st->session == NULL)
		return 0;
	own = nghttp2_session_get_stream_remote_window_size(st->session->ng,
	    st->id);
	all = nghttp2_session_get_remote_window_size(st->session->ng);
	if (all < own)
		own = all;
	return own > 0 ? (size_t)own : 0;
}

/* "u=3, i": a dictionary of RFC 8941, of which two members matter. */
void
h2_stream_priority(struct h2_stream *st, struct span value)
{
	nghttp2_extpri priority = { NGHTTP2_EXTPRI_DEFAULT_URGENCY, 0 };
	struct span item;

	if (st->session == NULL || st->session->conf->is_client)
		return;
	while (span_next_item(&value, &item)) {
		if (item.len == 3 && item.p[0] == 'u' && item.p[1] == '=' &&
		    item.p[2] >= '0' && item.p[2] <= '7')
			priority.urgency = (uint32_t)(item.p[2] - '0');
		else if (span_eq(item, SPAN("i")) ||
		    span_eq(item, SPAN("i=?1")))
			priority.inc = 1;
	}
	(void)nghttp2_session_change_extpri_stream_priority(
	    st->session->ng, st->id, &priority, 1);
}
