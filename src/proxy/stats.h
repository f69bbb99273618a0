/* SPDX-License-Identifier: BSD-2-Clause */
/* stats - what the proxy counts: rows for each process, route and upstream. */
#ifndef PROXY_STATS_H
#define PROXY_STATS_H

#include "http/h2_flood.h"
#include "metrics/counter.h"
#include "proxy/reason.h"

enum proxy_stat {
	PROXY_STAT_CONNECTIONS,       /* accepted, in all */
	PROXY_STAT_CONN_OPEN,         /* client connections now */
	PROXY_STAT_CONN_IDLE,         /* of them, between requests */
	PROXY_STAT_ACTIVE,            /* exchanges now */
	PROXY_STAT_REQUESTS,
	PROXY_STAT_STATUS_1XX,        /* final statuses, by class */
	PROXY_STAT_STATUS_2XX,
	PROXY_STAT_STATUS_3XX,
	PROXY_STAT_STATUS_4XX,
	PROXY_STAT_STATUS_5XX,
	PROXY_STAT_STATUS_NONE,       /* nothing was answered */
	PROXY_STAT_CLIENT_IN,         /* bytes */
	PROXY_STAT_CLIENT_OUT,
	PROXY_STAT_BACKEND_IN,
	PROXY_STAT_BACKEND_OUT,
	PROXY_STAT_RETRIES,
	PROXY_STAT_CONNECTS,          /* new backend connections */
	PROXY_STAT_CONNECT_FAILURES,
	PROXY_STAT_REUSED,            /* of this worker's pool */
	PROXY_STAT_TAKEN,             /* of another worker's, by a lane */
	PROXY_STAT_BACKEND_OPEN,      /* backend connections now */
	PROXY_STAT_UNEXPECTED_DATA,   /* idle backend connections that spoke */
	PROXY_STAT_QUEUED,            /* waited for a limited backend */
	PROXY_STAT_ACCEPT_PAUSED,
	PROXY_STAT_BODY_PAUSED,       /* no body_memory left */
	PROXY_STAT_SUPPRESSED_VALUES, /* template values with controls */
	PROXY_STAT_CUT_REQUESTS,      /* at the end of a drain */
	PROXY_STAT_CUT_TUNNELS,
	PROXY_STAT_CUT_IDLE,          /* connections between requests */
	PROXY_STAT_TLS_FULL,          /* handshakes with clients */
	PROXY_STAT_TLS_RESUMED,
	PROXY_STAT_TLS_FAILED,
	PROXY_STAT_TLS_TIMEOUT,
	PROXY_STAT_PROXY_TAKEN,       /* heads of the PROXY protocol */
	PROXY_STAT_PROXY_REFUSED,
	PROXY_STAT_H2_CONNECTIONS,    /* of clients, over HTTP/2 */
	PROXY_STAT_H2_STREAMS,        /* that they opened */
	PROXY_STAT_H2_BACKENDS,       /* connections to backends */
	PROXY_STAT_H2_MALFORMED,
	PROXY_STAT_H2_UNREAD,
	PROXY_STAT_H2_FLOODS,         /* one row a kind */
	PROXY_STAT_H2_FLOODS_LAST = PROXY_STAT_H2_FLOODS + H2_FLOOD_COUNT - 1,
	PROXY_STAT_TLS_EXPIRES,       /* the master's: of the first one */
	PROXY_STAT_TLS_DAYS,
	PROXY_STAT_FILES_TAKEN,       /* the master's, too */
	PROXY_STAT_FILES_REFUSED,
	PROXY_STAT_OCSP_GOOD,         /* the background process's */
	PROXY_STAT_OCSP_FAILED,
	PROXY_STAT_REASONS,           /* one row a reason */
	PROXY_STAT_COUNT = PROXY_STAT_REASONS + REASON_COUNT
};

enum route_stat {
	ROUTE_STAT_REQUESTS,
	ROUTE_STAT_STATUS_1XX,
	ROUTE_STAT_STATUS_2XX,
	ROUTE_STAT_STATUS_3XX,
	ROUTE_STAT_STATUS_4XX,
	ROUTE_STAT_STATUS_5XX,
	ROUTE_STAT_STATUS_NONE,
	METRIC_SPACE(ROUTE_STAT_DURATION),
	ROUTE_STAT_COUNT
};

enum upstream_stat {
	UPSTREAM_STAT_REQUESTS,
	UPSTREAM_STAT_FAILURES,
	UPSTREAM_STAT_CONNECTS,
	UPSTREAM_STAT_REUSED,
	UPSTREAM_STAT_TAKEN,
	METRIC_SPACE(UPSTREAM_STAT_FIRST_BYTE),
	UPSTREAM_STAT_COUNT
};

/* Of a backend: the rows of its upstream, and what it is now. */
enum backend_stat {
	BACKEND_STAT_UP = UPSTREAM_STAT_COUNT, /* 1 while it gets requests */
	BACKEND_STAT_IN_FLIGHT,
	BACKEND_STAT_OPEN,   /* connections that max_connections counts */
	BACKEND_STAT_WAITING, /* requests that wait for its upstream */
	BACKEND_STAT_WEIGHT,
	BACKEND_STAT_COUNT
};

extern const struct metric_set stats_proxy;
extern const struct metric_set stats_route;
extern const struct metric_set stats_upstream;
extern const struct metric_set stats_backend;

#endif
