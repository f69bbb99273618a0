/* SPDX-License-Identifier: BSD-2-Clause */
/* stats - the rows' names and help, beside the enums in stats.h. */
#include "proxy/stats.h"

#define STATUS_HELP "Requests by class of their final status."
#define BYTES_HELP "Bytes on the wire, by side and direction."

static const struct metric proxy_rows[PROXY_STAT_COUNT] = {
	[PROXY_STAT_CONNECTIONS] = { .name = "connections_total",
		.help = "Client connections accepted." },
	[PROXY_STAT_CONN_OPEN] = { .name = "connections",
		.help = "Client connections open now.",
		.type = METRIC_GAUGE, .label = "state=\"open\"" },
	[PROXY_STAT_CONN_IDLE] = { .name = "connections",
		.type = METRIC_GAUGE, .label = "state=\"idle\"" },
	[PROXY_STAT_ACTIVE] = { .name = "requests_active",
		.help = "Requests being served now.", .type = METRIC_GAUGE },
	[PROXY_STAT_CUT_REQUESTS] = { .name = "drain_cut_total",
		.help = "What a drain had to cut at its deadline.",
		.label = "what=\"request\"" },
	[PROXY_STAT_CUT_TUNNELS] = { .name = "drain_cut_total",
		.label = "what=\"tunnel\"" },
	[PROXY_STAT_CUT_IDLE] = { .name = "drain_cut_total",
		.label = "what=\"idle\"" },
	[PROXY_STAT_REQUESTS] = { .name = "requests_total",
		.help = "Requests that have ended." },
	[PROXY_STAT_STATUS_1XX] = { .name = "responses_total",
		.help = STATUS_HELP, .label = "code=\"1xx\"" },
	[PROXY_STAT_STATUS_2XX] = { .name = "responses_total",
		.label = "code=\"2xx\"" },
	[PROXY_STAT_STATUS_3XX] = { .name = "responses_total",
		.label = "code=\"3xx\"" },
	[PROXY_STAT_STATUS_4XX] = { .name = "responses_total",
		.label = "code=\"4xx\"" },
	[PROXY_STAT_STATUS_5XX] = { .name = "responses_total",
		.label = "code=\"5xx\"" },
	[PROXY_STAT_STATUS_NONE] = { .name = "responses_total",
		.label = "code=\"none\"" },
	[PROXY_STAT_CLIENT_IN] = { .name = "bytes_total", .help = BYTES_HELP,
		.label = "side=\"client\",direction=\"in\"" },
	[PROXY_STAT_CLIENT_OUT] = { .name = "bytes_total",
		.label = "side=\"client\",direction=\"out\"" },
	[PROXY_STAT_BACKEND_IN] = { .name = "bytes_total",
		.label = "side=\"backend\",direction=\"in\"" },
	[PROXY_STAT_BACKEND_OUT] = { .name = "bytes_total",
		.label = "side=\"backend\",direction=\"out\"" },
	[PROXY_STAT_RETRIES] = { .name = "retries_total",
		.help = "Attempts after the first." },
	[PROXY_STAT_CONNECTS] = { .name = "backend_connects_total",
		.help = "Connections made to backends." },
	[PROXY_STAT_CONNECT_FAILURES] = {
		.name = "backend_connect_failures_total",
		.help = "Connections to backends that failed." },
	[PROXY_STAT_REUSED] = { .name = "backend_reuses_total",
		.help = "Requests on a kept backend connection.",
		.label = "from=\"own\"" },
	[PROXY_STAT_TAKEN] = { .name = "backend_reuses_total",
		.label = "from=\"shared\"" },
	[PROXY_STAT_BACKEND_OPEN] = { .name = "backend_connections",
		.help = "Backend connections open now.",
		.type = METRIC_GAUGE },
	[PROXY_STAT_UNEXPECTED_DATA] = {
		.name = "backend_unexpected_data_total",
		.help = "Idle backend connections closed because of data." },
	[PROXY_STAT_QUEUED] = { .name = "queued_total",
		.help = "Requests that waited because of max_connections." },
	[PROXY_STAT_ACCEPT_PAUSED] = { .name = "accept_paused_total",
		.help = "Times that accepting paused for want of descriptors." },
	[PROXY_STAT_BODY_PAUSED] = { .name = "body_paused_total",
		.help = "Times that a body paused for want of body_memory." },
	[PROXY_STAT_SUPPRESSED_VALUES] = { .name = "values_dropped_total",
		.help = "Field values dropped because of control characters." },
	[PROXY_STAT_TLS_FULL] = { .name = "tls_handshakes_total",
		.help = "TLS handshakes with clients, by their outcome.",
		.label = "outcome=\"full\"" },
	[PROXY_STAT_TLS_RESUMED] = { .name = "tls_handshakes_total",
		.label = "outcome=\"resumed\"" },
	[PROXY_STAT_TLS_FAILED] = { .name = "tls_handshakes_total",
		.label = "outcome=\"failed\"" },
	[PROXY_STAT_TLS_TIMEOUT] = { .name = "tls_handshakes_total",
		.label = "outcome=\"timeout\"" },
	[PROXY_STAT_PROXY_TAKEN] = { .name = "proxy_protocol_total",
		.help = "Heads of the PROXY protocol, by what became of them.",
		.label = "outcome=\"taken\"" },
	[PROXY_STAT_PROXY_REFUSED] = { .name = "proxy_protocol_total",
		.label = "outcome=\"refused\"" },
	[PROXY_STAT_H2_CONNECTIONS] = { .name = "h2_connections_total",
		.help = "Client connections that spoke HTTP/2." },
	[PROXY_STAT_H2_STREAMS] = { .name = "h2_streams_total",
		.help = "Streams that clients opened." },
	[PROXY_STAT_H2_BACKENDS] = {
		.name = "h2_backend_connections_total",
		.help = "Connections to backends that spoke HTTP/2." },
	[PROXY_STAT_H2_MALFORMED] = { .name = "h2_malformed_total",
		.help = "Malformed frames and messages of HTTP/2 clients." },
	[PROXY_STAT_H2_UNREAD] = { .name = "h2_unread_total",
		.help = "Streams reset because their client did not take the "
		    "end of an answer." },
	[PROXY_STAT_TLS_EXPIRES] = {
		.name = "tls_certificate_expires_seconds",
		.help = "When the first certificate expires, since 1970; "
		    "0 = there are none.", .type = METRIC_GAUGE },
	[PROXY_STAT_TLS_DAYS] = { .name = "tls_certificate_days",
		.help = "Days until the first certificate expires.",
		.type = METRIC_GAUGE },
	[PROXY_STAT_FILES_TAKEN] = { .name = "files_changed_total",
		.help = "Files that changed while weir served, by whether "
		    "the new one is used.", .label = "used=\"yes\"" },
	[PROXY_STAT_FILES_REFUSED] = { .name = "files_changed_total",
		.label = "used=\"no\"" },
	[PROXY_STAT_OCSP_GOOD] = { .name = "ocsp_fetches_total",
		.help = "OCSP responses fetched to be stapled, by their "
		    "outcome.", .label = "outcome=\"good\"" },
	[PROXY_STAT_OCSP_FAILED] = { .name = "ocsp_fetches_total",
		.label = "outcome=\"failed\"" },
#define X(id, name_, help_)                                                   \
	[PROXY_STAT_H2_FLOODS + H2_FLOOD_##id] = { .name = "h2_floods_total", \
		.help = "HTTP/2 connections closed for too many frames of a " \
		    "kind.",                                                  \
		.label = "kind=\"" name_ "\"" },
	H2_FLOOD_LIST(X)
#undef X
#define X(id, name_, status, blame, proxy_status, cause, advice)              \
	[PROXY_STAT_REASONS + REASON_##id] = { .name = "errors_total",        \
		.help = "Requests by the reason why they ended.",             \
		.label = "reason=\"" name_ "\"" },
	REASON_LIST(X)
#undef X
};

static const struct metric route_rows[ROUTE_STAT_COUNT] = {
	[ROUTE_STAT_REQUESTS] = { .name = "requests_total",
		.help = "Requests of a route that have ended." },
	[ROUTE_STAT_STATUS_1XX] = { .name = "responses_total",
		.help = STATUS_HELP, .label = "code=\"1xx\"" },
	[ROUTE_STAT_STATUS_2XX] = { .name = "responses_total",
		.label = "code=\"2xx\"" },
	[ROUTE_STAT_STATUS_3XX] = { .name = "responses_total",
		.label = "code=\"3xx\"" },
	[ROUTE_STAT_STATUS_4XX] = { .name = "responses_total",
		.label = "code=\"4xx\"" },
	[ROUTE_STAT_STATUS_5XX] = { .name = "responses_total",
		.label = "code=\"5xx\"" },
	[ROUTE_STAT_STATUS_NONE] = { .name = "responses_total",
		.label = "code=\"none\"" },
	[ROUTE_STAT_DURATION] = { .name = "duration_seconds",
		.help = "From the request's head to the response's end.",
		.type = METRIC_HISTOGRAM },
};

/* The same of an upstream and of each of its backends. */
#define UPSTREAM_ROWS(of)                                                    \
	[UPSTREAM_STAT_REQUESTS] = { .name = "requests_total",               \
		.help = "Attempts at " of "." },                             \
	[UPSTREAM_STAT_FAILURES] = { .name = "failures_total",               \
		.help = "Attempts that ended without a whole response." },   \
	[UPSTREAM_STAT_CONNECTS] = { .name = "connects_total",               \
		.help = "Attempts on a new connection." },                   \
	[UPSTREAM_STAT_REUSED] = { .name = "reuses_total",                   \
		.help = "Attempts on a kept connection.",                    \
		.label = "from=\"own\"" },                                   \
	[UPSTREAM_STAT_TAKEN] = { .name = "reuses_total",                    \
		.label = "from=\"shared\"" },                                \
	[UPSTREAM_STAT_FIRST_BYTE] = { .name = "first_byte_seconds",         \
		.help = "From the request's head to the response's.",        \
		.type = METRIC_HISTOGRAM }

static const struct metric upstream_rows[UPSTREAM_STAT_COUNT] = {
	UPSTREAM_ROWS("an upstream's backends"),
};

static const struct metric backend_rows[BACKEND_STAT_COUNT] = {
	UPSTREAM_ROWS("a backend"),
	[BACKEND_STAT_UP] = { .name = "up", .type = METRIC_GAUGE,
		.help = "1 while the backend may get requests, else 0." },
	[BACKEND_STAT_IN_FLIGHT] = { .name = "in_flight",
		.type = METRIC_GAUGE, .help = "Requests it has now." },
	[BACKEND_STAT_OPEN] = { .name = "limited_connections",
		.type = METRIC_GAUGE,
		.help = "Its connections now, where max_connections is set." },
	[BACKEND_STAT_WAITING] = { .name = "queued", .type = METRIC_GAUGE,
		.help = "Requests that wait for a connection to one of the "
		    "upstream; at its first backend." },
	[BACKEND_STAT_WEIGHT] = { .name = "weight", .type = METRIC_GAUGE,
		.help = "Its share relative to the other backends." },
};

const struct metric_set stats_proxy =
    METRIC_SET("proxy", METRIC_SCOPE_PROCESS, proxy_rows);
const struct metric_set stats_route =
    METRIC_SET("route", METRIC_SCOPE_ROUTE, route_rows);
const struct metric_set stats_upstream =
    METRIC_SET("upstream", METRIC_SCOPE_UPSTREAM, upstream_rows);
const struct metric_set stats_backend =
    METRIC_SET("backend", METRIC_SCOPE_BACKEND, backend_rows);
