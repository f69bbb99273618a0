/* SPDX-License-Identifier: BSD-2-Clause */
/* core_conf - the table of the proxy's own options. */
#include "proxy/core_conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <errno.h>

#include "base/arena.h"
#include "conf/template.h"

#define KB UINT64_C(1024)
#define MB (1024 * KB)
#define GB (1024 * MB)
#define DAY_MS UINT64_C(86400000)

enum { PAGE_FILE_MAX = 1048576 };

static const struct conf_enum dot_segments[] = {
	{ "refuse", CORE_DOTS_REFUSE },
	{ "resolve", CORE_DOTS_RESOLVE },
	{ NULL, 0 },
};

static const struct conf_enum underscore_fields[] = {
	{ "drop", CORE_UNDERSCORE_DROP },
	{ "pass", CORE_UNDERSCORE_PASS },
	{ "refuse", CORE_UNDERSCORE_REFUSE },
	{ NULL, 0 },
};

static const struct conf_enum forwarded[] = {
	{ "x-forwarded", CORE_FORWARDED_X },
	{ "forwarded", CORE_FORWARDED_RFC7239 },
	{ "both", CORE_FORWARDED_X | CORE_FORWARDED_RFC7239 },
	{ "off", CORE_FORWARDED_OFF },
	{ NULL, 0 },
};

/* A page is a template or the bytes of a file, read once. */
static int
page_check(struct conf_ctx *ctx, const struct conf_node *node, void *conf)
{
	struct core_error_page *page = conf;
	FILE *file;
	char *bytes;
	size_t len;

	for (size_t i = 0; i < page->statuses.count; i++) {
		if (page->statuses.items[i] < 400 ||
		    page->statuses.items[i] > 599) {
			conf_report_error(ctx->report, &node->place,
			    "error_pages: status %u is no error (400 to 599)",
			    page->statuses.items[i]);
			return -1;
		}
	}
	if ((page->body == NULL) == (page->file == NULL)) {
		conf_report_error(ctx->report, &node->place,
		    "error_pages: give either body or file");
		return -1;
	}
	if (page->file == NULL)
		return 0;
	file = fopen(page->file, "rbe");
	if (file == NULL) {
		conf_report_error(ctx->report, &node->place,
		    "error_pages: cannot read %s: %s", page->file,
		    strerror(errno));
		return -1;
	}
	bytes = arena_alloc(ctx->arena, PAGE_FILE_MAX);
	len = fread(bytes, 1, PAGE_FILE_MAX, file);
	if (len == PAGE_FILE_MAX)
		conf_report_warning(ctx->report, &node->place,
		    "error_pages: %s is cut at 1 MB", page->file);
	fclose(file);
	page->file_bytes = span_of(bytes, len);
	return 0;
}

static const struct conf_item page_items[] = {
	CONF_VALUE("status", UINTS, struct core_error_page, statuses, NULL,
	    CONF_REQUIRED, "statuses of answers that get this page"),
	CONF_VALUE("body", TEMPLATE, struct core_error_page, body, NULL, 0,
	    "text of the page"),
	CONF_VALUE("file", STRING, struct core_error_page, file, NULL, 0,
	    "file with the page, read at load"),
	CONF_VALUE("content_type", STRING, struct core_error_page,
	    content_type, "text/html; charset=utf-8", 0, "Content-Type"),
	CONF_END,
};

static const struct conf_table page_table = {
	.name = "error_pages",
	.items = page_items,
	.struct_bytes = sizeof(struct core_error_page),
	.check = page_check,
};

static const struct conf_item items[] = {
	CONF_DURATION("client_header_timeout", struct core_conf,
	    client_header_timeout_ms, 1, DAY_MS, "10s", CONF_NOT_IN_ROUTE,
	    "time for a whole request head"),
	CONF_DURATION("keepalive_timeout", struct core_conf,
	    keepalive_timeout_ms, 1, DAY_MS, "75s", CONF_NOT_IN_ROUTE,
	    "how long an idle client connection is kept"),
	CONF_UINT("keepalive_requests", struct core_conf, keepalive_requests,
	    0, UINT32_MAX, "0", NULL, CONF_NOT_IN_ROUTE,
	    "requests on one client connection, 0 = no limit"),
	CONF_SIZE("header_size_max", struct core_conf, header_size_max, 256,
	    192 * KB, "32KB", CONF_NOT_IN_ROUTE, "bytes of a request head"),
	CONF_UINT("fields_max", struct core_conf, fields_max, 1, 1000, "100",
	    NULL, CONF_NOT_IN_ROUTE, "fields of a request head"),
	CONF_SIZE("request_line_max", struct core_conf, request_line_max, 64,
	    128 * KB, "8KB", CONF_NOT_IN_ROUTE, "bytes of a request line"),
	CONF_SIZE("body_size_max", struct core_conf, body_size_max, 0,
	    INT64_MAX, "1GB", 0, "bytes of a request body, 0 = no limit"),
	CONF_DURATION("client_body_timeout", struct core_conf,
	    client_body_timeout_ms, 1, DAY_MS, "30s", 0,
	    "wait for the next piece of a request body"),
	CONF_UINT("client_body_min_rate", struct core_conf,
	    client_body_min_rate, 0, UINT32_MAX, "240", "bytes per second", 0,
	    "least rate of a request body or of a reader, 0 = off"),
	CONF_DURATION("client_body_min_rate_after", struct core_conf,
	    client_body_min_rate_after_ms, 0, DAY_MS, "10s", 0,
	    "waiting time after which the least rate counts"),
	CONF_DURATION("client_write_timeout", struct core_conf,
	    client_write_timeout_ms, 1, DAY_MS, "30s", 0,
	    "wait for a client that does not read its response"),
	CONF_BOOL("streaming", struct core_conf, streaming, "false", 0,
	    "long-lived bodies: stream_idle_timeout holds from the start"),
	CONF_DURATION("stream_idle_timeout", struct core_conf,
	    stream_idle_timeout_ms, 1, 365 * DAY_MS, "5m", 0,
	    "silence allowed to a client's body once the response began"),
	CONF_SIZE("buffer", struct core_conf, buffer, 4 * KB, 16 * MB, "64KB",
	    0, "bytes of a body held in each direction"),
	CONF_SIZE("retry_buffer", struct core_conf, retry_buffer, 0, MB,
	    "64KB", 0, "bytes of a request body kept for a retry"),
	CONF_BOOL("buffer_request", struct core_conf, buffer_request, "false",
	    0, "collect the request's body before a backend is picked"),
	CONF_SIZE("buffer_request_max", struct core_conf, buffer_request_max,
	    1, GB, "1MB", 0, "bytes of a body that buffer_request collects"),
	CONF_BOOL("half_close", struct core_conf, half_close, "false",
	    CONF_NOT_IN_ROUTE,
	    "a client that ends its sending side still gets its response"),
	CONF_BOOL("finish_on_abort", struct core_conf, finish_on_abort,
	    "false", 0, "let the backend finish when the client has gone"),
	CONF_ENUM("dot_segments", struct core_conf, dot_segments,
	    dot_segments, "refuse", CONF_NOT_IN_ROUTE,
	    "paths that dot segments would change"),
	CONF_ENUM("underscore_fields", struct core_conf, underscore_fields,
	    underscore_fields, "drop", CONF_NOT_IN_ROUTE,
	    "request fields with an underscore"),
	CONF_VALUE("trusted_proxies", RANGES, struct core_conf,
	    trusted_proxies, NULL, CONF_NOT_IN_ROUTE,
	    "peers whose word about the client is believed"),
	CONF_VALUE("client_ip_from", STRING, struct core_conf, client_ip_from,
	    "X-Forwarded-For", CONF_FIELD_NAME | CONF_NOT_IN_ROUTE,
	    "field in which trusted proxies name the client"),
	CONF_ENUM("forwarded", struct core_conf, forwarded, forwarded,
	    "x-forwarded", 0, "which fields tell the backend of the client"),
	CONF_BOOL("via", struct core_conf, via, "true", 0,
	    "add Via to requests"),
	CONF_BOOL("proxy_status", struct core_conf, proxy_status, "false", 0,
	    "add Proxy-Status to weir's own error answers"),
	CONF_LIST("error_pages", struct core_conf, error_pages, &page_table,
	    0, "pages for error answers of weir's own"),
	CONF_BOOL("websocket", struct core_conf, websocket, "true", 0,
	    "allow Upgrade: websocket"),
	CONF_DURATION("tunnel_idle_timeout", struct core_conf,
	    tunnel_idle_timeout_ms, 1, 365 * DAY_MS, "1h", 0,
	    "silence allowed in a tunnel"),
	CONF_DURATION("tunnel_shutdown_timeout", struct core_conf,
	    tunnel_shutdown_timeout_ms, 0, 365 * DAY_MS, "0", 0,
	    "how long a drain leaves tunnels alone; 0 = shutdown_timeout"),
	CONF_UINT("h2_streams_max", struct core_conf, h2_streams_max, 1,
	    10000, "100", NULL, CONF_NOT_IN_ROUTE,
	    "requests at once on one HTTP/2 connection"),
	CONF_SIZE("h2_buffer", struct core_conf, h2_buffer, 64 * KB, GB,
	    "1MB", CONF_NOT_IN_ROUTE,
	    "bytes of bodies that one HTTP/2 connection holds a direction"),
	CONF_SIZE("h2_header_list_max", struct core_conf, h2_header_list_max,
	    4 * KB, 256 * KB, "64KB", CONF_NOT_IN_ROUTE,
	    "bytes of a decoded header list, beyond which HTTP/2 is closed"),
	CONF_UINT("h2_resets_max", struct core_conf, h2_resets_max, 1, 1000,
	    "200", "in 10 s", CONF_NOT_IN_ROUTE,
	    "streams that an HTTP/2 client may reset, or make weir reset"),
	CONF_UINT("h2_settings_max", struct core_conf, h2_settings_max, 1,
	    1000, "32", "in 10 s", CONF_NOT_IN_ROUTE,
	    "SETTINGS frames of an HTTP/2 client"),
	CONF_UINT("h2_pings_max", struct core_conf, h2_pings_max, 1, 100000,
	    "100", "in 10 s", CONF_NOT_IN_ROUTE,
	    "PING frames of an HTTP/2 client"),
	CONF_UINT("h2_priorities_max", struct core_conf, h2_priorities_max, 1,
	    1000000, "1000", "in 10 s", CONF_NOT_IN_ROUTE,
	    "PRIORITY frames of an HTTP/2 client"),
	CONF_UINT("h2_empty_frames_max", struct core_conf,
	    h2_empty_frames_max, 1, 100000, "100", "in 10 s",
	    CONF_NOT_IN_ROUTE,
	    "empty and unknown frames of an HTTP/2 client"),
	CONF_UINT("h2_window_updates_max", struct core_conf,
	    h2_window_updates_max, 1, 1000000, "1000", "in 10 s",
	    CONF_NOT_IN_ROUTE,
	    "WINDOW_UPDATE frames beyond ten for each DATA frame sent"),
	CONF_UINT("h2_continuations_max", struct core_conf,
	    h2_continuations_max, 1, 8, "8", "of one head",
	    CONF_NOT_IN_ROUTE, "CONTINUATION frames of an HTTP/2 client"),
	CONF_END,
};

const struct conf_table core_conf_table = {
	.name = "core",
	.items = items,
	.struct_bytes = sizeof(struct core_conf),
};
