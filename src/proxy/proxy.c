/* SPDX-License-Identifier: BSD-2-Clause */
/* proxy - a worker's proxy: accepting, output, drain, counters. */
#include "proxy/proxy.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "metrics/histogram.h"
#include "net/listener.h"
#include "net/tls_early_data.h"
#include "net/tls_keys.h"
#include "net/tls_ktls.h"
#include "net/tls_stream.h"
#include "os/helpers.h"
#include "proxy/backend_conn.h"
#include "proxy/backend_h2.h"
#include "proxy/client_conn.h"
#include "proxy/client_h2.h"
#include "proxy/exchange.h"
#include "proxy/proxy_private.h"
#include "proxy/queue.h"
#include "proxy/relay.h"
#include "proxy/route.h"
#include "upstream/backend_zone.h"
#include "upstream/group.h"

enum {
	ACCEPT_BATCH = 64,     /* connections for each event of a listener */
	ACCEPT_PAUSE_MS = 100, /* before trying again without descriptors */
	TUNNEL_TICK_MS = 250,  /* how often a drain looks at tunnels */
	SPARE_CHUNKS = 1024,   /* arena chunks kept warm: 4 MB */
};

static void on_bury(struct loop_task *t);
static void on_retry_accept(struct deadline *d);
static void on_watch_late(struct deadline *d);
static void on_tunnel_tick(struct deadline *d);

static void
open_module_stats(struct proxy *p)
{
	const struct proxy_boot *boot = &p->boot;

	p->module_stats = heap_alloc_zeroed(boot->module_count + 1,
	    sizeof(*p->module_stats));
	for (size_t i = 0; i < boot->module_count; i++) {
		if (boot->module_sets[i] != NULL)
			p->module_stats[i] = metrics_block(boot->metrics,
			    boot->module_sets[i], boot->metrics_slot, 0);
	}
}

struct proxy *
proxy_new(const struct proxy_boot *boot, struct error *err)
{
	struct proxy *p = heap_alloc_zeroed(1, sizeof(*p));
	struct pool_options options;
	struct backend_cell *cells;

	(void)err;
	p->boot = *boot;
	p->loop = boot->loop;
	p->module_count = boot->module_count;
	p->module_worker.log_ring = boot->log_ring;
	p->module_worker.slot = boot->slot;
	p->module_worker.process = boot->metrics_slot;
	p->module_memory = heap_alloc_zeroed(p->module_count + 1,
	    sizeof(*p->module_memory));
	p->scratch = heap_alloc(SCRATCH_BYTES);
	p->out_memory = heap_alloc(OUT_BYTES);
	p->tls = tls_io_new(boot->loop, boot->tls_sessions,
	    metrics_block(boot->metrics, &tls_keys_client_metrics,
	    boot->metrics_slot, 0));
	tls_early_data_count(p->tls, metrics_block(boot->metrics,
	    &tls_early_data_metrics, boot->metrics_slot, 0));
	tls_ktls_count(p->tls, metrics_block(boot->metrics,
	    &tls_ktls_metrics, boot->metrics_slot, 0));
	p->connections_max = boot->connections_max;
	p->accepting = true;
	p->serving = boot->serving != NULL ? boot->serving : &p->unread;
	block_pool_init(&p->blocks, boot->body_memory_bytes);
	relay_starved_init(p);
	p->arenas.spare_max = SPARE_CHUNKS;
	slab_init(&p->clients, client_conn_bytes());
	slab_init(&p->backends, backend_conn_bytes());
	slab_init(&p->exchanges, sizeof(struct exchange));
	slab_init(&p->h2_clients, client_h2_bytes());
	slab_init(&p->h2_streams, client_h2_stream_bytes());
	slab_init(&p->h2_backends, backend_h2_bytes());
	slab_init(&p->h2_backend_streams, backend_h2_stream_bytes());
	list_init(&p->h2_backend_list);
	p->h2_pool_count = backend_zone_slots(boot->backends);
	p->h2_pools = heap_alloc_zeroed(p->h2_pool_count,
	    sizeof(*p->h2_pools));
	list_init(&p->client_list);
	list_init(&p->h2_client_list);
	list_init(&p->unwatched);
	deadline_init(&p->watch_late, on_watch_late);
	deadline_init(&p->tunnel_tick, on_tunnel_tick);
	loop_task_init(&p->bury, on_bury);
	deadline_init(&p->retry_accept, on_retry_accept);
	p->stats = metrics_block(boot->metrics, &stats_proxy,
	    boot->metrics_slot, 0);
	p->route_stats =
	    heap_alloc_zeroed(boot->routes_max, sizeof(*p->route_stats));
	p->backend_stats = heap_alloc_zeroed(
	    backend_zone_slots(boot->backends), sizeof(*p->backend_stats));
	p->group_stats =
	    heap_alloc_zeroed(boot->group_count, sizeof(*p->group_stats));
	cells = backend_zone_join(boot->backends);
	open_module_stats(p);
	for (size_t i = 0; i < boot->group_count; i++) {
		group_start(boot->groups[i], cells);
		p->group_stats[i] = metrics_block(boot->metrics,
		    &stats_upstream, boot->metrics_slot,
		    boot->group_metric_index[i]);
	}
	options = (struct pool_options){
		.loop = p->loop,
		.ops = &backend_conn_pool_ops,
		.lanes = boot->lanes,
		.slots = backend_zone_slots(boot->backends),
		.idle_max = boot->pool_idle_max,
		.counts = &p->pool_counts,
	};
	p->pool = pool_new(&options);
	p->queues = queue_open(p);
	return p;
}

void
proxy_free(struct proxy *p)
{
	struct proxy_cut cut = { .requests = 0 };

	if (p == NULL)
		return;
	client_conn_cut_all(p, &cut);
	client_h2_cut_all(p, &cut);
	backend_h2_fini(p);
	pool_free(p->pool);
	client_conn_bury(p);
	client_h2_bury(p);
	backend_conn_bury(p);
	queue_close(p->queues);
	backend_h2_bury(p);
	deadline_stop(p->loop, &p->retry_accept);
	deadline_stop(p->loop, &p->watch_late);
	deadline_stop(p->loop, &p->starved_look);
	deadline_stop(p->loop, &p->tunnel_tick);
	for (size_t i = 0; i < p->boot.group_count; i++)
		group_stop(p->boot.groups[i]);
	block_pool_fini(&p->blocks);
	arena_cache_fini(&p->arenas);
	slab_fini(&p->clients);
	slab_fini(&p->backends);
	slab_fini(&p->exchanges);
	tls_io_free(p->tls);
	slab_fini(&p->h2_clients);
	slab_fini(&p->h2_streams);
	slab_fini(&p->h2_backends);
	slab_fini(&p->h2_backend_streams);
	free(p->group_stats);
	free(p->backend_stats);
	free(p->module_stats);
	free(p->route_stats);
	/* Jobs that nobody waits for any more. */
	helpers_free(p->helpers);
	digest_free(p->digest);
	for (size_t i = 0; i < p->module_count; i++)
		free(p->module_memory[i]);
	free(p->module_memory);
	free(p->scratch);
	free(p->out_memory);
	free(p);
}

static void
on_bury(struct loop_task *t)
{
	struct proxy *p = LIST_OF(t, struct proxy, bury);

	client_conn_bury(p);
	client_h2_bury(p);
	backend_conn_bury(p);
	backend_h2_bury(p);
}

/* ---- accepting ---- */

static void
set_accepting(struct proxy *p, bool accepting)
{
	if (p->accepting == accepting)
		return;
	p->accepting = accepting;
	p->boot.set_accepting(p->boot.arg, accepting);
}

static void
on_retry_accept(struct deadline *d)
{
	struct proxy *p = LIST_OF(d, struct proxy, retry_accept);

	if (p->connections < p->connections_max)
		set_accepting(p, true);
}

static void
on_watch_late(struct deadline *d)
{
	client_conn_watch_late(LIST_OF(d, struct proxy, watch_late));
}

void
proxy_pause_accept(struct proxy *p)
{
	if (!p->accepting)
		return;
	counter_add(&p->stats[PROXY_STAT_ACCEPT_PAUSED], 1);
	set_accepting(p, false);
	deadline_set(p->loop, &p->retry_accept, now_ms() + ACCEPT_PAUSE_MS);
}

/* False if a module of the service wants nothing of that peer. */
static bool
is_welcome(const struct proxy *p, const struct listener_spec *spec,
    const struct addr *peer)
{
	const struct service *service = spec->service;
	struct addr_ip ip;

	if (service->guard_count == 0)
		return true;
	addr_ip_from(&ip, peer);
	for (size_t i = 0; i < service->guard_count; i++) {
		const struct service_guard *g = &service->guards[i];

		if (!g->on_connection(g->conf, &ip,
		    p->module_stats[g->module_index]))
			return false;
	}
	return true;
}

void
proxy_accept(struct proxy *p, const struct listener_spec *spec, int fd)
{
	for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
		struct addr peer;
		int client;

		if (p->connections >= p->connections_max && !spec->is_admin) {
			log_warn(NULL, "accepting: connections_max (%zu) "
			    "reached", p->connections_max);
			proxy_pause_accept(p);
			return;
		}
		peer.len = sizeof(peer.u);
		client = accept4(fd, &peer.u.sa, &peer.len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client < 0) {
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			if (errno == EAGAIN || errno == EWOULDBLOCK)
				return;
			log_warn(NULL, "accepting on %s: %s", spec->text,
			    strerror(errno));
			proxy_pause_accept(p);
			return;
		}
		if (!is_welcome(p, spec, &peer)) {
			close(client);
			continue;
		}
		p->connections++;
		if (spec->is_admin)
			p->admin_connections++;
		client_conn_open(p, spec, client, &peer);
	}
}

void
proxy_client_gone(struct proxy *p, bool is_admin)
{
	p->connections--;
	if (is_admin)
		p->admin_connections--;
	/* The retry timer stays in charge after a want of descriptors. */
	if (!p->accepting && p->connections + 1 == p->connections_max)
		set_accepting(p, true);
	if (p->draining && proxy_is_drained(p) && p->on_drained != NULL) {
		void (*fn)(void *arg) = p->on_drained;

		p->on_drained = NULL;
		fn(p->on_drained_arg);
	}
}

/* ---- output ---- */

void
proxy_send_out(struct proxy *p)
{
	struct conn *c = p->out_conn;

	p->out_conn = NULL;
	if (c == NULL || p->out.len == 0)
		return;
	if (c->failed || conn_send(c, str_view(&p->out)) != 0) {
		if (p->failed_count < FAILED_MAX)
			p->failed[p->failed_count++] = c;
	}
}

struct str *
proxy_out(struct proxy *p, struct conn *c)
{
	if (p->out_conn != c) {
		proxy_send_out(p);
		p->out_conn = c;
		str_init(&p->out, p->out_memory, OUT_BYTES);
	} else if (p->out.len > OUT_JOIN_MAX) {
		proxy_send_out(p);
		p->out_conn = c;
		p->out.len = 0;
	}
	return &p->out;
}

void
proxy_out_bytes(struct proxy *p, struct conn *c, struct span bytes)
{
	struct str *out = proxy_out(p, c);

	if (out->len + bytes.len <= OUT_JOIN_MAX) {
		str_span(out, bytes);
		return;
	}
	proxy_send_out(p);
	if (!c->failed && conn_send(c, bytes) != 0 &&
	    p->failed_count < FAILED_MAX)
		p->failed[p->failed_count++] = c;
}

void
proxy_forget_out(struct proxy *p, struct conn *c)
{
	if (p->out_conn == c)
		p->out_conn = NULL;
	for (unsigned i = 0; i < p->failed_count; i++) {
		if (p->failed[i] == c)
			p->failed[i] = NULL;
	}
}

void
proxy_flush(struct proxy *p)
{
	proxy_send_out(p);
	while (p->failed_count > 0) {
		struct conn *c = p->failed[--p->failed_count];

		/* Ends with proxy_flush() itself, of what is left. */
		if (c != NULL && c->watch.fd >= 0)
			c->watch.on_event(&c->watch, LOOP_FAILED);
		proxy_send_out(p);
	}
	p->serving->what = SERVING_NOTHING;
}

/* ---- drain ---- */

void
proxy_drain(struct proxy *p, bool is_stop)
{
	struct lane_counts *counts = &p->pool_counts.lane;

	if (!p->draining) {
		p->draining_since_ms = now_ms();
		deadline_set(p->loop, &p->tunnel_tick,
		    now_ms() + TUNNEL_TICK_MS);
	}
	p->draining = true;
	client_h2_drain(p);
	backend_h2_drain(p);
	if (!is_stop) {
		pool_drain(p->pool);
		return;
	}
	/*
	 * Nobody is left to reuse them: a backend that drains too (one of
	 * weir's own services, say) should not wait for them to expire.
	 */
	p->is_stopping = true;
	pool_close_idle(p->pool);
	while (p->boot.lanes != NULL && lane_reap(p->boot.lanes,
	    p->boot.backends, UINT64_MAX, counts) > 0)
		continue;
}

bool
proxy_is_draining(const struct proxy *p)
{
	return p->draining;
}

bool
proxy_is_drained(const struct proxy *p)
{
	return p->connections == p->admin_connections;
}

bool
proxy_serves_admin(const struct proxy *p)
{
	return p->admin_connections > 0 && client_conn_serves_admin(p);
}

void
proxy_on_drained(struct proxy *p, void (*fn)(void *arg), void *arg)
{
	p->on_drained = fn;
	p->on_drained_arg = arg;
}

void
proxy_cut(struct proxy *p, struct proxy_cut *cut)
{
	*cut = (struct proxy_cut){ .requests = 0 };
	client_conn_cut_all(p, cut);
	client_h2_cut_all(p, cut);
	counter_add(&p->stats[PROXY_STAT_CUT_REQUESTS], cut->requests);
	counter_add(&p->stats[PROXY_STAT_CUT_TUNNELS], cut->tunnels);
	counter_add(&p->stats[PROXY_STAT_CUT_IDLE], cut->idle);
}

/* Tunnels whose own time in a drain is over. */
static void
on_tunnel_tick(struct deadline *d)
{
	struct proxy *p = LIST_OF(d, struct proxy, tunnel_tick);
	uint64_t drained_ms = now_ms() - p->draining_since_ms;
	unsigned count = client_conn_cut_tunnels(p, drained_ms) +
	    client_h2_cut_tunnels(p, drained_ms);

	counter_add(&p->stats[PROXY_STAT_CUT_TUNNELS], count);
	if (count > 0)
		log_notice(NULL, "draining: %u tunnel%s cut", count,
		    count == 1 ? " was" : "s were");
	deadline_set(p->loop, d, now_ms() + TUNNEL_TICK_MS);
}

void
proxy_announce_drain(struct proxy *p)
{
	p->is_leaving = true;
}

size_t
proxy_connections(const struct proxy *p)
{
	return p->connections;
}

/* ---- counters ---- */

static unsigned
status_row(const struct exchange *ex)
{
	if (!ex->head_sent)
		return 5;
	return ex->res.status / 100U - 1;
}

_Atomic uint64_t *
proxy_upstream_stats(struct proxy *p, const struct exchange *ex)
{
	return ex->group == NULL ? NULL : p->group_stats[ex->group->number];
}

_Atomic uint64_t *
proxy_backend_stats(struct proxy *p, const struct exchange *ex)
{
	uint32_t slot = ex->backend->slot;

	if (p->backend_stats[slot] == NULL)
		p->backend_stats[slot] = metrics_block(p->boot.metrics,
		    &stats_backend, p->boot.metrics_slot,
		    ex->backend->metric_index);
	return p->backend_stats[slot];
}

void
proxy_count_upstream(struct exchange *ex, enum upstream_stat row)
{
	counter_add(&ex->proxy->group_stats[ex->group->number][row], 1);
	counter_add(&proxy_backend_stats(ex->proxy, ex)[row], 1);
}

static _Atomic uint64_t *
route_stats(struct proxy *p, uint32_t index)
{
	assert(index < p->boot.routes_max);
	if (p->route_stats[index] == NULL)
		p->route_stats[index] = metrics_block(p->boot.metrics,
		    &stats_route, p->boot.metrics_slot, index);
	return p->route_stats[index];
}

void
proxy_count_exchange(struct exchange *ex)
{
	struct proxy *p = ex->proxy;
	unsigned row = status_row(ex);
	_Atomic uint64_t *route;

	counter_add(&p->stats[PROXY_STAT_REQUESTS], 1);
	counter_add(&p->stats[PROXY_STAT_STATUS_1XX + row], 1);
	counter_add(&p->stats[PROXY_STAT_CLIENT_IN], ex->client_bytes_in);
	counter_add(&p->stats[PROXY_STAT_CLIENT_OUT], ex->client_bytes_out);
	counter_add(&p->stats[PROXY_STAT_BACKEND_IN], ex->up_bytes_in);
	counter_add(&p->stats[PROXY_STAT_BACKEND_OUT], ex->up_bytes_out);
	if (ex->reason != REASON_NONE)
		counter_add(&p->stats[PROXY_STAT_REASONS + ex->reason], 1);
	route = route_stats(p, ex->route->metric_index);
	counter_add(&route[ROUTE_STAT_REQUESTS], 1);
	counter_add(&route[ROUTE_STAT_STATUS_1XX + row], 1);
	histogram_observe(&route[ROUTE_STAT_DURATION],
	    ex->ended_us - ex->started_us);
}
