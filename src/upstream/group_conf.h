/* SPDX-License-Identifier: BSD-2-Clause */
/* group_conf - what the configuration says of an upstream. */
#ifndef UPSTREAM_GROUP_CONF_H
#define UPSTREAM_GROUP_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/item.h"
#include "net/tls_conf.h"
#include "os/sock_tune.h"
#include "upstream/check_conf.h"
#include "upstream/retry.h"
#include "upstream/via.h"

struct backend_conf;
struct sock_source;

enum {
	GROUP_RETRIES_MAX = 16,
	GROUP_BACKENDS_MAX = 4096,
};

enum group_balance {
	GROUP_ROUND_ROBIN,
	GROUP_RANDOM,
	GROUP_LEAST_CONNECTIONS,
	GROUP_POWER_OF_TWO,
	GROUP_HASH,
};

/* What is spoken with backends; auto: what TLS negotiates. */
enum group_protocol { GROUP_H1, GROUP_H2, GROUP_AUTO };

/* Where a route sets none of its own. */
struct group_timeouts {
	uint64_t connect_ms;
	uint64_t connect_total_ms; /* with its handshakes; 0 = off */
	uint64_t first_byte_ms;    /* request sent until response head */
	uint64_t between_bytes_ms;
	uint64_t total_ms;         /* 0 = off */
};

struct group_keepalive {
	uint64_t idle_timeout_ms; /* 0 = connections are not kept */
	uint32_t idle_max;        /* per backend and worker */
	uint32_t requests_max;    /* per connection, 0 = no limit */
};

/* Where requests wait while all backends have max_connections. */
struct group_queue {
	uint32_t size;       /* over all workers */
	uint64_t timeout_ms;
};

/* How long answers for the names of backends are good. */
struct group_resolve {
	uint64_t ttl_min_ms;
	uint64_t ttl_max_ms;
	uint32_t addresses_max; /* of a name, each a backend; 0 = 1 */
};

/* Of the sockets; 0 = as the kernel has it. */
struct group_tcp {
	uint64_t keepalive_ms, keepalive_interval_ms;
	uint32_t keepalive_count;
	uint64_t user_timeout_ms;
	bool fast_open;
	uint64_t receive_buffer, send_buffer;
	uint32_t dscp;
};

/* upstreams = ( { … } ) */
struct group_conf {
	const char *name;
	uint32_t balance;          /* enum group_balance */
	const struct template *hash_key; /* of GROUP_HASH, else NULL */
	uint32_t hash_load_max;    /* percent of a fair share, 0 = off */
	struct conf_list backends; /* of struct backend_conf */
	const struct template *host; /* NULL: the client's goes through */
	struct group_timeouts timeouts;
	uint32_t retries; /* further attempts after the first */
	struct retry_budget_conf retry_budget;
	struct group_resolve resolve;
	uint32_t max_connections;  /* to each backend, 0 = no limit */
	struct group_queue queue;
	uint32_t max_fails;        /* in a row; 0 = off */
	uint64_t fail_window_ms;
	uint64_t fail_timeout_ms;
	bool has_check;
	struct check_conf health_check;
	struct group_keepalive keepalive;
	uint64_t pool_share_after_ms;
	uint64_t response_header_max_bytes;
	uint32_t response_fields_max;
	uint32_t interim_responses_max;
	uint32_t protocol;         /* enum group_protocol */
	uint32_t proxy_protocol;   /* version to send, 0 = none */
	struct conf_strings bind;  /* addresses to connect from; empty = any */
	bool bind_fallback;
	struct group_tcp tcp;
	/* What follows from these: see group_socket_check(). */
	struct sock_source *sources;
	size_t source_count;
	struct sock_tune tune;
	bool has_via;
	struct via_conf via;       /* the next hop that connects for us */
	uint32_t h2_streams_max;   /* exchanges on one connection */
	uint64_t h2_ping_interval_ms; /* 0 = off */
	uint64_t h2_ping_timeout_ms;
	bool has_tls;
	struct tls_client_conf tls;
};

extern const struct conf_table group_conf_table;

/* How many backends one of the configuration is: a name is several. */
uint32_t group_conf_places(const struct group_conf *conf,
    const struct backend_conf *backend);
uint32_t group_conf_all_places(const struct group_conf *conf);

#endif
