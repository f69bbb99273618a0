/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_session - the receiving half, and the life of a session. */
#include "http/h2_session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/heap_alloc.h"
#include "http/h2_session_private.h"
#include "http/hop.h"

enum { PRIORITY_UPDATE = 0x10, FRAME_HEAD = 9, PREFACE = 24 };

static struct h2_stream *
stream_of(nghttp2_session *ng, int32_t id)
{
	return id == 0 ? NULL : nghttp2_session_get_stream_user_data(ng, id);
}

/* ---- floods ---- */

void
h2_session_count(struct h2_session *s, enum h2_flood flood, uint32_t n)
{
	uint32_t limit = s->conf->floods_max[flood];

	if (s->is_flooded)
		return;
	s->floods[flood] += n;
	if (flood == H2_FLOOD_WINDOW)
		limit += s->window_credit;
	if (s->floods[flood] <= limit)
		return;
	s->is_flooded = true;
	(void)nghttp2_session_terminate_session(s->ng,
	    NGHTTP2_ENHANCE_YOUR_CALM);
	s->conf->events->on_flood(s->conf->owner, flood);
}

static void
count_frame(struct h2_session *s, unsigned type, unsigned flags, size_t len)
{
	bool is_ack = (flags & NGHTTP2_FLAG_ACK) != 0;

	switch (type) {
	case NGHTTP2_HEADERS:
		s->in_continuations = 0;
		break;
	case NGHTTP2_CONTINUATION:
		if (++s->in_continuations >
		    s->conf->floods_max[H2_FLOOD_CONTINUATION]) {
			s->floods[H2_FLOOD_CONTINUATION] = s->in_continuations;
			h2_session_count(s, H2_FLOOD_CONTINUATION, 0);
		}
		break;
	case NGHTTP2_DATA:
		if (len == 0 && (flags & NGHTTP2_FLAG_END_STREAM) == 0)
			h2_session_count(s, H2_FLOOD_EMPTY, 1);
		break;
	case NGHTTP2_SETTINGS:
		h2_session_count(s, H2_FLOOD_SETTINGS, is_ack ? 0 : 1);
		break;
	case NGHTTP2_PING:
		h2_session_count(s, H2_FLOOD_PING, is_ack ? 0 : 1);
		break;
	case NGHTTP2_PRIORITY:
	case PRIORITY_UPDATE:
		h2_session_count(s, H2_FLOOD_PRIORITY, 1);
		break;
	case NGHTTP2_WINDOW_UPDATE:
		h2_session_count(s, H2_FLOOD_WINDOW, 1);
		break;
	case NGHTTP2_RST_STREAM:
		h2_session_count(s, H2_FLOOD_RESET,
		    s->conf->is_client ? 0 : 1);
		break;
	case NGHTTP2_GOAWAY:
	case NGHTTP2_PUSH_PROMISE:
		break;
	default:
		h2_session_count(s, H2_FLOOD_EMPTY, 1);
		break;
	}
}

/*
 * Look at the heads of frames, wherever the bytes are cut: the library tells
 * nothing of frames that it passes over, and they cost as much.
 */
static void
count_frames(struct h2_session *s, struct span in)
{
	while (in.len > 0 && !s->is_flooded) {
		size_t n;

		if (s->frame_left > 0) {
			n = in.len < s->frame_left ? in.len : s->frame_left;
			s->frame_left -= n;
			in = span_of(in.p + n, in.len - n);
			continue;
		}
		n = FRAME_HEAD - s->frame_head_len;
		if (n > in.len)
			n = in.len;
		memcpy(s->frame_head + s->frame_head_len, in.p, n);
		s->frame_head_len += (uint32_t)n;
		in = span_of(in.p + n, in.len - n);
		if (s->frame_head_len < FRAME_HEAD)
			return;
		s->frame_head_len = 0;
		s->frame_left = (size_t)s->frame_head[0] << 16 |
		    (size_t)s->frame_head[1] << 8 | s->frame_head[2];
		count_frame(s, s->frame_head[3], s->frame_head[4],
		    s->frame_left);
	}
}

/* ---- heads ---- */

static int
on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_session *s = arg;
	const struct h2_events *events = s->conf->events;
	struct h2_stream *st = stream_of(ng, frame->hd.stream_id);
	enum h2_head_kind kind = s->conf->is_client ? H2_HEAD_RESPONSE
						    : H2_HEAD_REQUEST;

	if (st == NULL && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		st = events->open(s->conf->owner);
		memset(st, 0, sizeof(*st));
		st->session = s;
		st->id = frame->hd.stream_id;
		pipe_init(&st->out);
		list_push_back(&s->streams, &st->link);
		s->stream_count++;
		(void)nghttp2_session_set_stream_user_data(ng, st->id, st);
	}
	if (st != NULL && st->head_seen)
		kind = H2_HEAD_TRAILERS;
	s->in_head = true;
	h2_head_begin(&s->head, kind,
	    st != NULL && !st->is_reset ? events->arena(st) : NULL,
	    &s->conf->head);
	return 0;
}

static int
on_header(nghttp2_session *ng, const nghttp2_frame *frame,
    const uint8_t *name, size_t name_len, const uint8_t *value,
    size_t value_len, uint8_t flags, void *arg)
{
	struct h2_session *s = arg;
	size_t decoded;

	(void)ng;
	(void)frame;
	h2_head_add(&s->head, span_of((const char *)name, name_len),
	    span_of((const char *)value, value_len),
	    (flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0 ? HTTP_FIELD_SENSITIVE
						    : 0);
	decoded = s->head.decoded;
	if (decoded > s->conf->header_list_max && !s->is_flooded) {
		s->floods[H2_FLOOD_HEADER_LIST] = UINT32_MAX;
		h2_session_count(s, H2_FLOOD_HEADER_LIST, 0);
	}
	return 0;
}

static void
malformed(struct h2_session *s, struct h2_stream *st, enum h1_refusal why)
{
	s->conf->events->on_malformed(s->conf->owner, st,
	    h1_refusal_text(why));
	if (st != NULL)
		h2_stream_reset(st, H2_PROTOCOL_ERROR);
}

static void
end_request(struct h2_session *s, struct h2_stream *st, bool is_end)
{
	struct http_request req;
	enum h1_refusal refusal = h2_head_end_request(&s->head, is_end, &req);

	st->head_seen = true;
	st->method = req.method_id;
	if (refusal == H1_REFUSAL_NONE && req.upgrade_websocket &&
	    !s->conf->takes_connect)
		refusal = H1_REFUSAL_H2_PSEUDO;
	if (refusal != H1_REFUSAL_NONE && h1_refusal_status(refusal) == 400) {
		malformed(s, st, refusal);
		return;
	}
	st->upgrade_websocket = req.upgrade_websocket;
	s->conf->events->on_request(st, &req, refusal);
}

static void
end_response(struct h2_session *s, struct h2_stream *st, bool is_end)
{
	const struct h2_head_asked asked = {
		.method = (enum http_method)st->method,
		.upgrade_websocket = st->upgrade_websocket,
	};
	struct http_response res;
	enum h1_refusal refusal = h2_head_end_response(&s->head, is_end,
	    &asked, &res);

	if (refusal != H1_REFUSAL_NONE) {
		malformed(s, st, refusal);
		return;
	}
	st->head_seen = res.status >= 200 || res.status == 101;
	s->conf->events->on_response(st, &res);
}

static void
end_stream(struct h2_session *s, struct h2_stream *st)
{
	struct http_fields trailers = { .count = 0 };
	bool has = s->head.kind == H2_HEAD_TRAILERS && s->in_head;

	if (has && (h2_head_end_trailers(&s->head, &trailers) !=
	    H1_REFUSAL_NONE ||
	    hop_check_trailers(&trailers) != H1_REFUSAL_NONE)) {
		malformed(s, st, H1_REFUSAL_TRAILER_INVALID);
		return;
	}
	st->in_ended = true;
	s->conf->events->on_end(st, trailers.count > 0 ? &trailers : NULL);
}

static void
on_head(struct h2_session *s, struct h2_stream *st, bool is_end)
{
	if (s->head.kind == H2_HEAD_REQUEST)
		end_request(s, st, is_end);
	else if (s->head.kind == H2_HEAD_RESPONSE)
		end_response(s, st, is_end);
	if (is_end && st->session != NULL && !st->is_reset)
		end_stream(s, st);
}

static int
on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_session *s = arg;
	const struct h2_events *events = s->conf->events;
	struct h2_stream *st = stream_of(ng, frame->hd.stream_id);
	bool is_end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		if (st != NULL)
			st->bytes_in += s->head.bytes;
		if (st != NULL && !st->is_reset && !s->is_flooded)
			on_head(s, st, is_end);
		s->in_head = false;
		break;
	case NGHTTP2_DATA:
		if (st == NULL)
			break;
		if (is_end && !st->is_reset)
			end_stream(s, st);
		break;
	case NGHTTP2_SETTINGS:
		s->is_ready = true;
		if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0 &&
		    events->on_settings != NULL)
			events->on_settings(s->conf->owner);
		break;
	case NGHTTP2_PING:
		if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
			events->on_pong(s->conf->owner);
		break;
	case NGHTTP2_GOAWAY:
		if (events->on_goaway != NULL)
			events->on_goaway(s->conf->owner,
			    (uint32_t)frame->goaway.last_stream_id,
			    frame->goaway.error_code);
		break;
	default:
		break;
	}
	return 0;
}

/* A field that nghttp2 would let pass unseen is an error here. */
static int
on_invalid_header(nghttp2_session *ng, const nghttp2_frame *frame,
    const uint8_t *name, size_t name_len, const uint8_t *value,
    size_t value_len, uint8_t flags, void *arg)
{
	struct h2_session *s = arg;
	struct h2_stream *st = stream_of(ng, frame->hd.stream_id);

	(void)value;
	(void)value_len;
	(void)flags;
	(void)snprintf(s->detail, sizeof(s->detail), "invalid field %.*s",
	    (int)(name_len < 64 ? name_len : 64), (const char *)name);
	for (char *p = s->detail; *p != '\0'; p++) {
		if (*p < ' ' || *p > '~')
			*p = '?';
	}
	s->conf->events->on_malformed(s->conf->owner, st, s->detail);
	if (st != NULL)
		h2_stream_reset(st, H2_PROTOCOL_ERROR);
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int
on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int error,
    void *arg)
{
	struct h2_session *s = arg;
	struct h2_stream *st = stream_of(ng, frame->hd.stream_id);

	s->conf->events->on_malformed(s->conf->owner, st,
	    s->detail[0] != '\0' ? s->detail : nghttp2_strerror(error));
	s->detail[0] = '\0';
	return 0;
}

static int
on_error(nghttp2_session *ng, int error, const char *text, size_t len,
    void *arg)
{
	struct h2_session *s = arg;

	(void)ng;
	(void)error;
	(void)snprintf(s->detail, sizeof(s->detail), "%.*s", (int)len, text);
	return 0;
}

/* ---- bodies and ends ---- */

static int
on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data,
    size_t len, void *arg)
{
	struct h2_session *s = arg;
	struct h2_stream *st = stream_of(ng, id);

	(void)flags;
	if (st == NULL || st->is_reset) {
		(void)nghttp2_session_consume(ng, id, len);
		return 0;
	}
	st->unconsumed += len;
	s->held += len;
	st->bytes_in += len;
	s->conf->events->on_body(st, span_of((const char *)data, len));
	return 0;
}

static int
on_stream_close(nghttp2_session *ng, int32_t id, uint32_t error, void *arg)
{
	struct h2_session *s = arg;
	struct h2_stream *st = stream_of(ng, id);

	if (st == NULL)
		return 0;
	/* Nothing of it left us: the peer cannot have acted on it. */
	if (s->conf->is_client && !st->head_sent)
		error = NGHTTP2_REFUSED_STREAM;
	st->error = error;
	h2_stream_let_go(s, st);
	s->conf->events->on_close(st);
	return 0;
}

/* ---- life ---- */

static nghttp2_session_callbacks *
make_callbacks(void)
{
	nghttp2_session_callbacks *c;

	if (nghttp2_session_callbacks_new(&c) != 0)
		return NULL;
	nghttp2_session_callbacks_set_on_begin_headers_callback(c,
	    on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(c, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(c,
	    on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c,
	    on_invalid_frame);
	nghttp2_session_callbacks_set_error_callback2(c, on_error);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(c,
	    on_stream_close);
	h2_stream_set_callbacks(c);
	return c;
}

static nghttp2_option *
make_options(const struct h2_conf *conf)
{
	nghttp2_option *o;

	if (nghttp2_option_new(&o) != 0)
		return NULL;
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_max_send_header_block_length(o, 512 * 1024);
	if (!conf->is_client)
		nghttp2_option_set_builtin_recv_extension_type(o,
		    PRIORITY_UPDATE);
	return o;
}

static int
submit_settings(struct h2_session *s)
{
	const struct h2_conf *conf = s->conf;
	nghttp2_settings_entry e[8];
	size_t n = 0;

	e[n++] = (nghttp2_settings_entry){
		NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, conf->stream_window };
	e[n++] = (nghttp2_settings_entry){
		NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
		(uint32_t)conf->header_list_max };
	if (conf->is_client) {
		e[n++] = (nghttp2_settings_entry){
			NGHTTP2_SETTINGS_ENABLE_PUSH, 0 };
	} else {
		e[n++] = (nghttp2_settings_entry){
			NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
			conf->streams_max };
		e[n++] = (nghttp2_settings_entry){
			NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 };
		if (conf->takes_connect)
			e[n++] = (nghttp2_settings_entry){
				NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 };
	}
	if (nghttp2_submit_settings(s->ng, NGHTTP2_FLAG_NONE, e, n) != 0)
		return -1;
	return nghttp2_session_set_local_window_size(s->ng,
	    NGHTTP2_FLAG_NONE, 0, (int32_t)conf->window);
}

/* Callbacks and options are the same for all: made once a process. */
static int
make_session(struct h2_session *s)
{
	static nghttp2_session_callbacks *callbacks;
	static nghttp2_option *options[2];
	nghttp2_option **o = &options[s->conf->is_client ? 1 : 0];

	if (callbacks == NULL)
		callbacks = make_callbacks();
	if (*o == NULL)
		*o = make_options(s->conf);
	if (callbacks == NULL || *o == NULL)
		return -1;
	return s->conf->is_client
	    ? nghttp2_session_client_new2(&s->ng, callbacks, s, *o)
	    : nghttp2_session_server_new2(&s->ng, callbacks, s, *o);
}

struct h2_session *
h2_session_new(const struct h2_conf *conf)
{
	struct h2_session *s = heap_alloc_zeroed(1, sizeof(*s));

	s->conf = conf;
	s->frame_left = conf->is_client ? 0 : PREFACE;
	list_init(&s->streams);
	if (make_session(s) != 0 || submit_settings(s) != 0) {
		nghttp2_session_del(s->ng);
		free(s);
		return NULL;
	}
	return s;
}

void
h2_session_free(struct h2_session *s)
{
	if (s == NULL)
		return;
	assert(!h2_session_is_busy(s));
	s->in_receive = true;
	while (!list_is_empty(&s->streams)) {
		struct h2_stream *st = LIST_OF(s->streams.next,
		    struct h2_stream, link);

		(void)nghttp2_session_set_stream_user_data(s->ng, st->id,
		    NULL);
		st->error = st->in_ended && st->end_sent ? H2_NO_ERROR
							 : H2_CANCEL;
		h2_stream_let_go(s, st);
		s->conf->events->on_close(st);
	}
	nghttp2_session_del(s->ng);
	free(s);
}

/* What goes by time: ten seconds are a new count. */
static void
begin_window(struct h2_session *s, uint64_t now_ms)
{
	if (now_ms < s->flood_until_ms)
		return;
	s->flood_until_ms = now_ms + H2_FLOOD_WINDOW_MS;
	memset(s->floods, 0, sizeof(s->floods));
	s->window_credit = 0;
}

void
h2_session_receive(struct h2_session *s, struct span bytes, uint64_t now_ms)
{
	ssize_t n;

	assert(!h2_session_is_busy(s));
	begin_window(s, now_ms);
	count_frames(s, bytes);
	s->in_receive = true;
	n = nghttp2_session_mem_recv(s->ng, (const uint8_t *)bytes.p,
	    bytes.len);
	s->in_receive = false;
	if (n >= 0)
		return;
	s->has_failed = true;
	if (s->in_continuations > 0 && !s->is_flooded) {
		/* The library has a bound of its own. */
		s->floods[H2_FLOOD_CONTINUATION] = UINT32_MAX;
		h2_session_count(s, H2_FLOOD_CONTINUATION, 0);
	}
}

/* The library has given up: the peer is told why all the same. */
static void
write_goaway(struct h2_session *s)
{
	uint32_t id = (uint32_t)nghttp2_session_get_last_proc_stream_id(s->ng);
	char frame[17] = { 0, 0, 8, NGHTTP2_GOAWAY };

	for (unsigned i = 0; i < 4; i++)
		frame[9 + i] = (char)(id >> (24 - 8 * i) & 0xff);
	frame[16] = s->is_flooded ? H2_ENHANCE_YOUR_CALM : H2_PROTOCOL_ERROR;
	s->conf->write(s->conf->owner, span_of(frame, sizeof(frame)));
}

void
h2_session_compose(struct h2_session *s)
{
	if (h2_session_is_busy(s))
		return;
	s->in_compose = true;
	if (!s->has_failed)
		s->has_failed = nghttp2_session_send(s->ng) != 0;
	if (s->has_failed && !s->said_why) {
		s->said_why = true;
		write_goaway(s);
	}
	s->in_compose = false;
}

bool
h2_session_is_busy(const struct h2_session *s)
{
	return s->in_receive || s->in_compose;
}

bool
h2_session_is_over(const struct h2_session *s)
{
	return s->has_failed || (!nghttp2_session_want_read(s->ng) &&
	    !nghttp2_session_want_write(s->ng));
}

bool
h2_session_in_head(const struct h2_session *s)
{
	return s->in_head;
}

bool
h2_session_is_ready(const struct h2_session *s)
{
	return s->is_ready;
}

uint32_t
h2_session_streams(const struct h2_session *s)
{
	return s->stream_count;
}

size_t
h2_session_waiting(const struct h2_session *s)
{
	return s->waiting;
}

size_t
h2_session_held(const struct h2_session *s)
{
	return s->held;
}

uint32_t
h2_session_peer_streams_max(const struct h2_session *s)
{
	return nghttp2_session_get_remote_settings(s->ng,
	    NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

bool
h2_session_peer_takes_connect(const struct h2_session *s)
{
	return nghttp2_session_get_remote_settings(s->ng,
	    NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

void
h2_session_shut_down(struct h2_session *s, bool is_notice)
{
	if (is_notice && !s->conf->is_client)
		(void)nghttp2_submit_shutdown_notice(s->ng);
	else
		(void)nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE,
		    nghttp2_session_get_last_proc_stream_id(s->ng),
		    NGHTTP2_NO_ERROR, NULL, 0);
}

void
h2_session_terminate(struct h2_session *s, enum h2_error error)
{
	(void)nghttp2_session_terminate_session(s->ng, error);
}

void
h2_session_ping(struct h2_session *s)
{
	(void)nghttp2_submit_ping(s->ng, NGHTTP2_FLAG_NONE, NULL);
}
