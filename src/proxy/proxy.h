/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proxy - everything of one worker that serves clients.
 *
 * The worker process owns it and tells it when a listener is readable and
 * when to drain; it owns connections, exchanges, scratch and pools.
 */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backend_zone;
struct conf_node;
struct error;
struct group;
struct lane_set;
struct listener_spec;
struct logring;
struct loop;
struct metric_set;
struct metrics;
struct proxy;
struct service;
struct serving;
struct tls_session_zone;

struct proxy_boot {
	struct loop *loop;
	size_t connections_max;
	size_t body_memory_bytes;
	uint32_t pool_idle_max; /* upstream_keepalive_pool_size */
	struct group *const *groups; /* all upstreams of the generation */
	size_t group_count;
	const uint32_t *group_metric_index; /* by group->number */
	size_t routes_max;           /* indices of routes are below */
	size_t module_count;
	unsigned helper_threads, helper_queue; /* see helpers_new() */
	/* What modules count, by module index; NULL = nothing. */
	const struct metric_set *const *module_sets;
	struct metrics *metrics;
	uint32_t metrics_slot;       /* of this process */
	const struct lane_set *lanes; /* NULL with one worker */
	struct backend_zone *backends;
	struct tls_session_zone *tls_sessions; /* NULL: no backend has TLS */
	struct serving *serving;     /* of this process; NULL = nobody reads */
	struct logring *log_ring;
	const struct conf_node *custom; /* of the configuration, or NULL */
	unsigned slot;               /* worker slot, from 0 */
	unsigned workers;
	/* Stop or go on watching the listeners (descriptors, connections). */
	void (*set_accepting)(void *arg, bool accepting);
	void *arg;
};

/* What was cut. */
struct proxy_cut {
	unsigned requests;
	unsigned tunnels;
	unsigned idle; /* connections between two requests */
};

/* In the worker, after the fork.  NULL and err on failure. */
struct proxy *proxy_new(const struct proxy_boot *boot, struct error *err);
void proxy_free(struct proxy *p);
/* The listener is readable: accept what waits, a bounded batch. */
void proxy_accept(struct proxy *p, const struct listener_spec *spec, int fd);
/*
 * No new work: answers carry Connection: close from now on.  is_stop: all of
 * weir stops, so that nobody is left to reuse idle backend connections; else
 * they go to whoever follows.  May be called again.
 */
void proxy_drain(struct proxy *p, bool is_stop);
/* It is about to go: /healthz says so, all else goes on. */
void proxy_announce_drain(struct proxy *p);
bool proxy_is_draining(const struct proxy *p);
/* True once no client connection but the admin's is left. */
bool proxy_is_drained(const struct proxy *p);
/*
 * True while a connection of the admin's has a request, or may have the first
 * on its way.
 */
bool proxy_serves_admin(const struct proxy *p);
/*
 * fn is called, once, when it becomes drained during a drain, or when it is and
 * a connection of the admin's ends.
 */
void proxy_on_drained(struct proxy *p, void (*fn)(void *arg), void *arg);
/* Cut what is left, and count it. */
void proxy_cut(struct proxy *p, struct proxy_cut *cut);
size_t proxy_connections(const struct proxy *p);

#endif
