/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ocsp - one fetch a certificate: resolve, connect, ask, check, hand over.
 *
 * Responders speak HTTP in clear text, and whatever they say is believed only
 * by its signature (net/tls_staple.h).  So many certificates may ask at once
 * that only some are let go; the others wait in a queue.
 */
#include "background/ocsp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/entropy.h"
#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"
#include "base/str.h"
#include "http/h1_body.h"
#include "http/h1_parse.h"
#include "metrics/counter.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/resolver.h"
#include "net/tls_staple.h"
#include "net/tls_watch.h"
#include "os/sock.h"
#include "os/sock_connect.h"
#include "proxy/stats.h"
#include "site/generation.h"
#include "upstream/backend.h"

enum {
	RUNNING_MAX = 8,
	TIMEOUT_MS = 10000,  /* of a whole fetch */
	SPREAD_MS = 200,     /* of the first ones */
	REFRESH_MIN_MS = 5000,
	RETRY_MIN_MS = 5000, /* then doubled */
	ARRIVED_MS = 30000,  /* then what was handed over is in use */
	RETRY_MAX_MS = 3600000,
	HEAD_MAX = 8192,
	FIELDS_MAX = 100,
	BUFFER_MAX = TLS_STAPLE_MAX + HEAD_MAX,
	ADDRESSES_MAX = 4,
};

enum fetch_state {
	FETCH_RESTING,    /* until its deadline */
	FETCH_QUEUED,     /* others first */
	FETCH_RESOLVING,
	FETCH_CONNECTING,
	FETCH_READING,
};

struct fetch {
	struct ocsp *owner;
	const struct listener_spec *spec;
	size_t pair;
	enum fetch_state state;
	struct deadline deadline; /* of the state; from RESOLVING on, of all */
	struct list queued;
	struct tls_staple_target target;
	struct resolver_query query;
	struct addr_ip addresses[ADDRESSES_MAX];
	unsigned address_count, tried;
	struct conn conn;         /* watch.fd -1: there is none */
	char *buffer;             /* heap, BUFFER_MAX: head, then body */
	size_t len, body_len;
	struct h1_state h1;
	struct h1_body body;
	bool head_done;
	int64_t fed_until_s;      /* of what was handed over; 0 = it arrived */
	unsigned failures;
	char why[256];            /* of the last one; "" = it was good */
};

struct ocsp {
	struct ocsp_config config;
	struct resolver *resolver;
	struct block_pool blocks;
	struct fetch *items;
	size_t count;
	struct list queue;
	struct loop_task task; /* the next ones of it */
	unsigned running;
	bool is_serving;
};

/* ---- when ---- */

static uint64_t
less_at_random(uint64_t ms, uint64_t random)
{
	return ms - random % (ms / 10 + 1);
}

uint64_t
ocsp_refresh_ms(int64_t now_s, int64_t until_s, uint64_t random)
{
	int64_t left_s = until_s > now_s ? until_s - now_s : 0;
	uint64_t ms = (uint64_t)left_s * 1000 / 2;

	ms = less_at_random(ms, random);
	return ms > REFRESH_MIN_MS ? ms : REFRESH_MIN_MS;
}

uint64_t
ocsp_retry_ms(unsigned failures, uint64_t random)
{
	uint64_t ms = RETRY_MIN_MS;

	for (unsigned i = 1; i < failures && ms < RETRY_MAX_MS; i++)
		ms *= 2;
	return less_at_random(ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS, random);
}

static void
rest(struct fetch *f, uint64_t ms)
{
	f->state = FETCH_RESTING;
	deadline_set(f->owner->config.loop, &f->deadline, now_ms() + ms);
}

/* ---- the end of one ---- */

static const char *
cert_of(const struct fetch *f)
{
	struct tls_watch_info info;

	tls_watch_describe(f->spec->tls, f->pair, &info);
	return info.cert;
}

static void
let_go(struct fetch *f)
{
	if (f->state == FETCH_RESOLVING)
		resolver_cancel(f->owner->resolver, &f->query);
	if (f->state == FETCH_QUEUED)
		list_remove(&f->queued);
	else if (f->state != FETCH_RESTING)
		f->owner->running--;
	if (f->conn.watch.fd >= 0)
		conn_close(&f->conn, false);
	f->conn.watch.fd = -1;
	if (f->head_done)
		h1_body_fini(&f->body);
	f->head_done = false;
	free(f->buffer);
	f->buffer = NULL;
	f->len = f->body_len = 0;
	f->h1 = (struct h1_state){ .checked = 0 };
	f->state = FETCH_RESTING;
}

/* One line for a failure, however often it repeats. */
static void
fail(struct fetch *f, const char *why)
{
	struct ocsp *o = f->owner;

	let_go(f);
	counter_add(&o->config.counters[PROXY_STAT_OCSP_FAILED], 1);
	f->failures++;
	if (strncmp(f->why, why, sizeof(f->why) - 1) != 0)
		log_error(NULL, "OCSP response for %s from %s:%u: %s; it is "
		    "tried again", cert_of(f), f->target.host,
		    (unsigned)f->target.port, why);
	snprintf(f->why, sizeof(f->why), "%s", why);
	rest(f, ocsp_retry_ms(f->failures, entropy_fast()));
	loop_defer(o->config.loop, &o->task);
}

static void
succeed(struct fetch *f, int64_t until_s)
{
	struct ocsp *o = f->owner;
	int64_t now_s = (int64_t)(now_wall_ms() / 1000);
	uint64_t refresh_ms;

	let_go(f);
	counter_add(&o->config.counters[PROXY_STAT_OCSP_GOOD], 1);
	if (f->failures > 0)
		log_notice(NULL, "OCSP response for %s from %s:%u: there is "
		    "one again", cert_of(f), f->target.host,
		    (unsigned)f->target.port);
	f->failures = 0;
	f->why[0] = '\0';
	f->fed_until_s = until_s;
	refresh_ms = ocsp_refresh_ms(now_s, until_s, entropy_fast());
	rest(f, refresh_ms < ARRIVED_MS ? refresh_ms : ARRIVED_MS);
	loop_defer(o->config.loop, &o->task);
}

static void
take_answer(struct fetch *f)
{
	struct span der = span_of(f->buffer, f->body_len);
	const struct ocsp_config *config = &f->owner->config;
	struct error err;
	int64_t until_s = 0;

	if (tls_staple_check(f->spec->tls, f->pair, der, &until_s, &err) != 0)
		fail(f, err.text);
	else if (!generation_files_feed(config->generation, config->channel,
	    tls_staple_owner(f->spec->tls, f->pair), der))
		fail(f, "handing it over failed");
	else
		succeed(f, until_s);
}

/* ---- the answer ---- */

/* False when the fetch is over. */
static bool
feed_body(struct fetch *f, struct span in)
{
	static const struct h1_body_limits limits = {
		.chunk_line_max = 4096, .trailers_max = HEAD_MAX,
		.trailer_fields_max = FIELDS_MAX };

	for (;;) {
		struct span data;

		switch (h1_body_next(&f->body, &limits, &in, &data)) {
		case H1_BODY_MORE:
			f->len = f->body_len;
			if (f->len <= TLS_STAPLE_MAX)
				return true;
			fail(f, "the answer is too large");
			return false;
		case H1_BODY_DATA:
			memmove(f->buffer + f->body_len, data.p, data.len);
			f->body_len += data.len;
			break;
		case H1_BODY_END:
			take_answer(f);
			return false;
		case H1_BODY_REFUSED:
		default:
			fail(f, "the answer is no HTTP");
			return false;
		}
	}
}

static bool
on_head(struct fetch *f, const struct http_response *res, size_t used)
{
	struct span after = span_of(f->buffer + used, f->len - used);
	char why[64];

	if (res->status < 200) {
		memmove(f->buffer, after.p, after.len);
		f->len = after.len;
		f->h1 = (struct h1_state){ .checked = 0 };
		return true;
	}
	if (res->status != 200) {
		snprintf(why, sizeof(why), "it answers with status %u",
		    (unsigned)res->status);
		fail(f, why);
		return false;
	}
	h1_body_init(&f->body, (enum http_framing)res->framing,
	    res->content_length);
	f->head_done = true;
	return feed_body(f, after);
}

static bool
feed_head(struct fetch *f)
{
	static const struct h1_limits limits = { .head_max = HEAD_MAX,
		.line_max = HEAD_MAX, .fields_max = FIELDS_MAX };
	const struct h1_expected expected = {
		.method = http_method_lookup(SPAN("POST")) };

	while (!f->head_done && f->len > 0) {
		struct http_response res;
		size_t used;

		switch (h1_parse_response(&f->h1, f->buffer, f->len, &limits,
		    &expected, &res, &used)) {
		case H1_MORE:
			return true;
		case H1_DONE:
			if (!on_head(f, &res, used))
				return false;
			break;
		case H1_REFUSED:
		default:
			fail(f, "the answer is no HTTP");
			return false;
		}
	}
	return true;
}

static void
read_answer(struct fetch *f)
{
	while (f->state == FETCH_READING && f->conn.readable) {
		size_t from = f->len;
		ssize_t n = conn_receive(&f->conn, f->buffer + from,
		    BUFFER_MAX - from);

		if (n == CONN_AGAIN)
			return;
		if (n <= 0) {
			if (f->head_done && h1_body_may_end(&f->body))
				take_answer(f);
			else
				fail(f, "it closed before it had answered");
			return;
		}
		f->len += (size_t)n;
		if (f->head_done ? !feed_body(f, span_of(f->buffer + from,
		    (size_t)n)) : !feed_head(f))
			return;
	}
}

/* ---- the question ---- */

static void
ask(struct fetch *f)
{
	char memory[TLS_STAPLE_PATH_MAX + TLS_STAPLE_HOST_MAX + 256];
	const struct tls_staple_target *t = &f->target;
	struct error err;
	struct str head;
	size_t len = 0;
	char *der = NULL;

	if (tls_staple_request(f->spec->tls, f->pair, &der, &len, &err) !=
	    0) {
		fail(f, err.text);
		return;
	}
	str_init(&head, memory, sizeof(memory));
	str_printf(&head, "POST %s HTTP/1.1\r\nHost: %s", t->path, t->host);
	if (t->port != 80)
		str_printf(&head, ":%u", (unsigned)t->port);
	str_printf(&head, "\r\nUser-Agent: weir\r\nConnection: close\r\n"
	    "Content-Type: application/ocsp-request\r\n"
	    "Content-Length: %zu\r\n\r\n", len);
	f->state = FETCH_READING;
	f->buffer = heap_alloc(BUFFER_MAX);
	if (conn_send(&f->conn, str_view(&head)) != 0 ||
	    conn_send(&f->conn, span_of(der, len)) != 0)
		fail(f, "it closed before it was asked");
	free(der);
}

static void
on_event(struct loop_watch *w, unsigned events);

/* Nothing has one: the fetch as a whole does. */
static void
on_conn_deadline(struct deadline *d)
{
	(void)d;
}

static void
connect_next(struct fetch *f, int error)
{
	while (f->tried < f->address_count) {
		bool pending = false;
		struct addr a;
		int fd;

		backend_address_of(&a, &f->addresses[f->tried++],
		    f->target.port);
		fd = sock_connect(&a, &pending);
		if (fd < 0) {
			error = errno;
			continue;
		}
		conn_init(&f->conn, f->owner->config.loop, &f->owner->blocks,
		    fd, on_event, on_conn_deadline);
		if (conn_watch(&f->conn) != 0) {
			error = errno;
			break;
		}
		f->state = FETCH_CONNECTING;
		if (pending)
			f->conn.writable = false;
		else
			ask(f);
		return;
	}
	fail(f, strerror(error));
}

static void
on_event(struct loop_watch *w, unsigned events)
{
	struct fetch *f = LIST_OF(w, struct fetch, conn.watch);

	conn_note(&f->conn, events);
	if (f->state == FETCH_CONNECTING) {
		int error;

		if ((events & (LOOP_WRITABLE | LOOP_FAILED)) == 0)
			return;
		error = sock_error(f->conn.watch.fd);
		if (error != 0) {
			conn_close(&f->conn, false);
			f->conn.watch.fd = -1;
			connect_next(f, error);
			return;
		}
		f->conn.failed = false;
		ask(f);
	} else if ((events & LOOP_WRITABLE) != 0) {
		(void)conn_flush(&f->conn);
	}
	read_answer(f);
}

static void
on_resolved(struct resolver_query *q, const struct resolver_answer *answer)
{
	struct fetch *f = LIST_OF(q, struct fetch, query);

	f->address_count = 0;
	while (f->address_count < answer->count &&
	    f->address_count < ADDRESSES_MAX) {
		f->addresses[f->address_count] =
		    answer->items[f->address_count];
		f->address_count++;
	}
	f->state = FETCH_CONNECTING;
	if (f->address_count == 0)
		fail(f, answer->why != NULL ? answer->why
		    : "its name has no address");
	else
		connect_next(f, EHOSTUNREACH);
}

static void
begin(struct fetch *f)
{
	struct ocsp *o = f->owner;
	struct error err;

	o->running++;
	f->state = FETCH_CONNECTING;
	f->tried = 0;
	deadline_set(o->config.loop, &f->deadline, now_ms() + TIMEOUT_MS);
	if (tls_staple_target(f->spec->tls, f->pair, &f->target, &err) != 0) {
		fail(f, err.text);
		return;
	}
	if (addr_ip_parse(span_cstr(f->target.host), &f->addresses[0]) == 0) {
		f->address_count = 1;
		connect_next(f, EHOSTUNREACH);
		return;
	}
	f->state = FETCH_RESOLVING;
	resolver_start(o->resolver, &f->query, f->target.host);
}

static void
on_task(struct loop_task *t)
{
	struct ocsp *o = LIST_OF(t, struct ocsp, task);

	while (o->is_serving && o->running < RUNNING_MAX &&
	    !list_is_empty(&o->queue)) {
		struct fetch *f = LIST_OF(o->queue.next, struct fetch,
		    queued);

		list_remove(&f->queued);
		begin(f);
	}
}

/*
 * What was fetched has come back from the master, to all: it rests until it is
 * half over.  Else it got lost, and is fetched once more.
 */
static bool
has_arrived(struct fetch *f)
{
	int64_t now_s = (int64_t)(now_wall_ms() / 1000);
	int64_t fed_until_s = f->fed_until_s, from_s, until_s;

	f->fed_until_s = 0;
	tls_staple_times(f->spec->tls, f->pair, &from_s, &until_s);
	if (fed_until_s == 0 || until_s != fed_until_s ||
	    ocsp_refresh_ms(now_s, until_s, 0) <= ARRIVED_MS)
		return false;
	rest(f, ocsp_refresh_ms(now_s, until_s, entropy_fast()));
	return true;
}

static void
on_deadline(struct deadline *d)
{
	struct fetch *f = LIST_OF(d, struct fetch, deadline);

	if (f->state != FETCH_RESTING) {
		fail(f, f->state == FETCH_READING ? "it does not answer"
		    : "it cannot be reached in time");
		return;
	}
	if (has_arrived(f))
		return;
	f->state = FETCH_QUEUED;
	list_push_back(&f->owner->queue, &f->queued);
	loop_defer(f->owner->config.loop, &f->owner->task);
}

/* ---- all ---- */

static void
add(struct ocsp *o, const struct listener_spec *spec, size_t pair)
{
	struct fetch *f;

	o->items = heap_alloc_grow(o->items, o->count + 1,
	    sizeof(*o->items));
	f = &o->items[o->count++];
	*f = (struct fetch){ .owner = o, .spec = spec, .pair = pair,
		.conn.watch.fd = -1 };
}

static void
find_all(struct ocsp *o)
{
	size_t count;
	const struct listener_spec *specs =
	    generation_listeners(o->config.generation, &count);

	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; specs[i].tls != NULL &&
		    k < tls_watch_count(specs[i].tls); k++) {
			if (tls_staple_is_wanted(specs[i].tls, k))
				add(o, &specs[i], k);
		}
	}
	/* They stay where they are from here on. */
	for (size_t i = 0; i < o->count; i++) {
		deadline_init(&o->items[i].deadline, on_deadline);
		o->items[i].query.on_answer = on_resolved;
	}
}

int
ocsp_start(struct ocsp **out, const struct ocsp_config *config,
    struct error *err)
{
	struct ocsp *o = heap_alloc_zeroed(1, sizeof(*o));

	*out = NULL;
	o->config = *config;
	list_init(&o->queue);
	loop_task_init(&o->task, on_task);
	find_all(o);
	if (o->count == 0) {
		free(o);
		return 0;
	}
	block_pool_init(&o->blocks, TLS_STAPLE_MAX);
	o->resolver = resolver_new(config->loop, NULL, err);
	*out = o;
	return o->resolver != NULL ? 0 : -1;
}

void
ocsp_serve(struct ocsp *o, bool is_serving)
{
	int64_t now_s = (int64_t)(now_wall_ms() / 1000);

	if (o == NULL || o->is_serving == is_serving)
		return;
	o->is_serving = is_serving;
	for (size_t i = 0; i < o->count; i++) {
		struct fetch *f = &o->items[i];
		int64_t from_s = 0, until_s = 0;

		let_go(f);
		deadline_clear(&f->deadline);
		if (!is_serving)
			continue;
		tls_staple_times(f->spec->tls, f->pair, &from_s, &until_s);
		rest(f, until_s > now_s ? ocsp_refresh_ms(now_s, until_s,
		    entropy_fast()) : entropy_fast() % SPREAD_MS);
	}
}

void
ocsp_cert_changed(struct ocsp *o)
{
	if (o == NULL || !o->is_serving)
		return;
	for (size_t i = 0; i < o->count; i++) {
		struct fetch *f = &o->items[i];
		int64_t from_s = 0, until_s = 0;

		tls_staple_times(f->spec->tls, f->pair, &from_s, &until_s);
		if (until_s != 0)
			continue;
		/* What is on its way was asked for the one before. */
		let_go(f);
		rest(f, entropy_fast() % SPREAD_MS);
	}
}

void
ocsp_stop(struct ocsp *o)
{
	if (o == NULL)
		return;
	for (size_t i = 0; i < o->count; i++) {
		let_go(&o->items[i]);
		deadline_stop(o->config.loop, &o->items[i].deadline);
	}
	loop_cancel(o->config.loop, &o->task);
	resolver_free(o->resolver);
	block_pool_fini(&o->blocks);
	free(o->items);
	free(o);
}

const char *
ocsp_why(const struct ocsp *o, const struct listener_spec *spec, size_t pair)
{
	for (size_t i = 0; o != NULL && i < o->count; i++) {
		const struct fetch *f = &o->items[i];

		if (f->spec == spec && f->pair == pair)
			return f->why[0] != '\0' ? f->why : NULL;
	}
	return NULL;
}
