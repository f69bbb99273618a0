/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * core_conf - the options of the proxy itself, legal at http, service and
 * route level and inherited downwards.
 */
#ifndef PROXY_CORE_CONF_H
#define PROXY_CORE_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/item.h"

enum core_dot_segments { CORE_DOTS_REFUSE, CORE_DOTS_RESOLVE };
enum core_underscore {
	CORE_UNDERSCORE_DROP,
	CORE_UNDERSCORE_PASS,
	CORE_UNDERSCORE_REFUSE,
};
enum core_forwarded { /* bits */
	CORE_FORWARDED_OFF = 0,
	CORE_FORWARDED_X = 1,
	CORE_FORWARDED_RFC7239 = 2,
};

/* A page for error answers of these statuses. */
struct core_error_page {
	struct conf_uints statuses;
	const struct template *body;
	const char *file;
	const char *content_type;
	struct span file_bytes; /* read at load */
};

struct core_conf {
	uint64_t client_header_timeout_ms;
	uint64_t keepalive_timeout_ms;
	uint64_t header_size_max;
	uint64_t request_line_max;
	uint64_t body_size_max; /* 0 = no limit */
	uint64_t client_body_timeout_ms;
	uint64_t client_body_min_rate_after_ms;
	uint64_t client_write_timeout_ms;
	uint64_t stream_idle_timeout_ms;
	uint64_t tunnel_idle_timeout_ms;
	uint64_t tunnel_shutdown_timeout_ms; /* 0 = as all else */
	uint64_t buffer;       /* bytes a direction */
	uint64_t retry_buffer; /* bytes */
	uint64_t buffer_request_max; /* bytes */
	uint32_t keepalive_requests; /* 0 = no limit */
	uint32_t fields_max;
	uint32_t client_body_min_rate; /* bytes per second, 0 = off */
	uint32_t dot_segments;
	uint32_t underscore_fields;
	uint32_t forwarded;
	uint64_t h2_buffer; /* bytes a direction, over all streams */
	uint64_t h2_header_list_max;
	uint32_t h2_streams_max;
	/* In ten seconds, on one connection: */
	uint32_t h2_resets_max;
	uint32_t h2_settings_max;
	uint32_t h2_pings_max;
	uint32_t h2_priorities_max;
	uint32_t h2_empty_frames_max;
	uint32_t h2_window_updates_max;
	uint32_t h2_continuations_max; /* of one head */
	const char *client_ip_from;
	struct conf_ranges trusted_proxies;
	struct conf_list error_pages; /* struct core_error_page */
	bool buffer_request; /* the whole body before a backend is picked */
	bool streaming;
	bool half_close;
	bool finish_on_abort;
	bool via;
	bool proxy_status;
	bool websocket;
};

extern const struct conf_table core_conf_table;

#endif
