/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reason - why an exchange or a connection ended other than well.
 *
 * One registry: from it come the status, the log field error.reason, the
 * metric label, the Proxy-Status error (RFC 9209) and weir-errors(7).
 */
#ifndef PROXY_REASON_H
#define PROXY_REASON_H

#include <stdint.h>

#include "http/h1_parse.h"

enum blame { BLAME_NOBODY, BLAME_CLIENT, BLAME_BACKEND, BLAME_PROXY };

/* X(id, name, status, blame, Proxy-Status error, cause, advice) */
#define REASON_LIST(X)                                                        \
	X(NONE, "none", 0, NOBODY, "", "no error", "nothing to do")           \
	X(BAD_REQUEST, "bad_request", 400, CLIENT, "http_request_error",      \
	    "the request could not be read one way only",                     \
	    "look at the log line's detail for the rule and the byte")        \
	X(BAD_PATH, "bad_path", 400, CLIENT, "http_request_error",            \
	    "dot segments would change the path",                             \
	    "dot_segments = \"resolve\" resolves them instead")               \
	X(BAD_BODY, "bad_body", 400, CLIENT, "http_request_error",            \
	    "the request body's framing is invalid",                          \
	    "look at the client")                                             \
	X(LINE_TOO_LONG, "line_too_long", 414, CLIENT, "http_request_error",  \
	    "the request line exceeds request_line_max",                      \
	    "raise request_line_max if such targets are legitimate")          \
	X(HEADER_TOO_LARGE, "header_too_large", 431, CLIENT,                  \
	    "http_request_error",                                             \
	    "the header block exceeds header_size_max or fields_max",         \
	    "raise the limit, or look for runaway cookies")                   \
	X(BODY_TOO_LARGE, "body_too_large", 413, CLIENT,                      \
	    "http_request_denied",                                            \
	    "the body exceeds body_size_max or buffer_request_max",           \
	    "raise the limit on that route")                                  \
	X(CODING_UNKNOWN, "coding_unknown", 501, CLIENT,                      \
	    "http_request_error", "unknown transfer coding",                  \
	    "weir knows chunked only")                                        \
	X(VERSION_UNSUPPORTED, "version_unsupported", 505, CLIENT,            \
	    "http_request_error", "unsupported major version of HTTP",        \
	    "look at the client")                                             \
	X(EXPECTATION, "expectation_failed", 417, CLIENT,                     \
	    "http_request_error", "an expectation other than 100-continue",   \
	    "look at the client")                                             \
	X(METHOD_REFUSED, "method_refused", 405, CLIENT,                      \
	    "http_request_denied", "CONNECT, TRACE or a method no route takes", \
	    "see the route's methods")                                        \
	X(NO_ROUTE, "no_route", 404, CLIENT, "destination_not_found",         \
	    "no route matches the request", "see weir -T for the routes")     \
	X(MISDIRECTED, "misdirected", 421, CLIENT, "http_request_denied",     \
	    "the Host differs from the name that the client certificate "     \
	    "was shown to",                                                   \
	    "the client has to use one connection for each name")             \
	X(TOO_EARLY, "too_early", 425, CLIENT, "http_request_denied",         \
	    "a request that must not be replayed came as early data",         \
	    "the client has to send it again after the handshake")            \
	X(HEAD_TIMEOUT, "client_header_timeout", 408, CLIENT,                 \
	    "http_request_error", "the request head took too long",           \
	    "client_header_timeout bounds it")                                \
	X(BODY_TIMEOUT, "client_body_timeout", 408, CLIENT,                   \
	    "http_request_error", "the request body came too slowly",         \
	    "client_body_timeout and client_body_min_rate bound it")          \
	X(WRITE_TIMEOUT, "client_write_timeout", 0, CLIENT, "",               \
	    "the client did not read its response",                           \
	    "client_write_timeout bounds it")                                 \
	X(KEEPALIVE_TIMEOUT, "keepalive_timeout", 0, NOBODY, "",              \
	    "an idle client connection was closed",                           \
	    "nothing: keepalive_timeout bounds it")                           \
	X(CLIENT_GONE, "client_gone", 499, CLIENT, "",                        \
	    "the client went away before the end",                            \
	    "look for slow backends or short client timeouts")                \
	X(DENIED, "denied", 403, CLIENT, "http_request_denied",               \
	    "refused by a rule", "see the module named in the log")           \
	X(AUTH_MISSING, "auth_missing", 401, CLIENT, "http_request_denied",   \
	    "the request has no credentials",                                 \
	    "see auth: the log line's detail says what was asked for")        \
	X(AUTH_INVALID, "auth_invalid", 401, CLIENT, "http_request_denied",   \
	    "the credentials are not good",                                   \
	    "the log line's detail says what is wrong with them")             \
	X(AUTH_EXPIRED, "auth_expired", 401, CLIENT, "http_request_denied",   \
	    "the API key has expired",                                        \
	    "give the client another one with weirctl apikey add")            \
	X(AUTH_FORBIDDEN, "auth_forbidden", 403, CLIENT,                      \
	    "http_request_denied",                                            \
	    "who it is was found, and may not have this",                     \
	    "see require of auth; the detail says what does not hold")        \
	X(AUTH_BUSY, "auth_busy", 503, PROXY, "proxy_internal_error",         \
	    "too many passwords wait to be checked",                          \
	    "raise helper_threads or helper_queue, or use cheaper hashes")    \
	X(LIMITED, "limited", 429, CLIENT, "http_request_denied",             \
	    "a limit of ratelimit has no room for the request",               \
	    "the log line's detail names the limit")                          \
	X(NO_BACKEND, "no_backend", 502, BACKEND, "destination_unavailable",  \
	    "no backend of the upstream can be used",                         \
	    "look at the backends' state and names")                          \
	X(QUEUE_FULL, "queue_full", 503, BACKEND, "connection_limit_reached", \
	    "all backends have max_connections and the queue is full",        \
	    "more backends, or raise max_connections or queue.size")          \
	X(QUEUE_TIMEOUT, "queue_timeout", 503, BACKEND,                       \
	    "connection_limit_reached",                                       \
	    "all backends had max_connections until the queue's timeout",     \
	    "more backends, or raise max_connections or queue.timeout")       \
	X(CONNECT_REFUSED, "connect_refused", 502, BACKEND,                   \
	    "connection_refused", "the backend refused the connection",       \
	    "is it running and listening there?")                             \
	X(CONNECT_FAILED, "connect_failed", 502, BACKEND,                     \
	    "destination_ip_unroutable", "the backend cannot be reached",     \
	    "look at routes and firewalls")                                   \
	X(CONNECT_TIMEOUT, "connect_timeout", 504, BACKEND,                   \
	    "connection_timeout", "the backend did not take the connection",  \
	    "timeouts.connect and connect_total bound it")                    \
	X(VIA_FAILED, "via_failed", 502, BACKEND, "connection_refused",       \
	    "the next hop did not connect to the backend",                    \
	    "look at the log line's detail and the hop's log")                \
	X(VIA_TIMEOUT, "via_timeout", 504, BACKEND, "connection_timeout",     \
	    "the next hop took too long to connect to the backend",           \
	    "timeouts.connect and connect_total bound it")                    \
	X(BACKEND_TLS_FAILED, "backend_tls_failed", 502, BACKEND,             \
	    "tls_protocol_error", "the TLS handshake with the backend failed", \
	    "look at the detail: versions, ciphers, does it speak TLS?")      \
	X(BACKEND_CERTIFICATE, "backend_certificate", 502, BACKEND,           \
	    "tls_certificate_error",                                          \
	    "the backend's certificate could not be verified",                \
	    "look at the detail for the check and the certificate")           \
	X(BACKEND_TLS_TIMEOUT, "backend_tls_timeout", 504, BACKEND,           \
	    "connection_timeout",                                             \
	    "the TLS handshake with the backend took too long",               \
	    "timeouts.connect and connect_total bound it")                    \
	X(BACKEND_RESET, "backend_reset", 502, BACKEND,                       \
	    "connection_terminated",                                          \
	    "the backend closed before its response head",                    \
	    "look at the backend's log")                                      \
	X(BACKEND_REFUSED, "backend_refused", 502, BACKEND,                   \
	    "connection_terminated",                                          \
	    "the backend refused the HTTP/2 stream unprocessed",              \
	    "look at the backend's limit of streams")                         \
	X(BACKEND_BAD_RESPONSE, "backend_bad_response", 502, BACKEND,         \
	    "http_protocol_error", "the backend's response is malformed",     \
	    "look at the log line's detail")                                  \
	X(BACKEND_HEADER_TOO_LARGE, "backend_header_too_large", 502, BACKEND, \
	    "http_response_header_section_size",                              \
	    "the response head exceeds response_header_max",                  \
	    "raise response_header_max of the upstream")                      \
	X(BACKEND_FIRST_BYTE_TIMEOUT, "backend_first_byte_timeout", 504,      \
	    BACKEND, "http_response_timeout",                                 \
	    "the backend did not begin its response in time",                 \
	    "timeouts.first_byte bounds it")                                  \
	X(BACKEND_READ_TIMEOUT, "backend_read_timeout", 504, BACKEND,         \
	    "http_response_timeout", "the backend paused too long",           \
	    "timeouts.between_bytes bounds it")                               \
	X(BACKEND_WRITE_TIMEOUT, "backend_write_timeout", 504, BACKEND,       \
	    "connection_write_timeout", "the backend did not read the request", \
	    "look at the backend")                                            \
	X(TOTAL_TIMEOUT, "total_timeout", 504, BACKEND,                       \
	    "http_response_timeout", "the whole exchange took too long",      \
	    "timeouts.total bounds it")                                       \
	X(BACKEND_TRUNCATED, "backend_truncated", 502, BACKEND,               \
	    "http_response_incomplete",                                       \
	    "the backend's response broke off", "look at the backend's log")  \
	X(OUT_OF_RESOURCES, "out_of_resources", 503, PROXY,                   \
	    "proxy_internal_error", "out of descriptors or memory",           \
	    "raise LimitNOFILE or body_memory")                               \
	X(INTERNAL, "internal", 500, PROXY, "proxy_internal_error",           \
	    "a module or weir itself failed", "see the error log")            \
	X(DRAIN_CUT, "drain_cut", 503, PROXY, "proxy_internal_error",         \
	    "cut at the end of a drain", "shutdown_timeout bounds it")

enum reason {
#define X(id, name, status, blame, proxy_status, cause, advice) REASON_##id,
	REASON_LIST(X)
#undef X
	REASON_COUNT
};

struct reason_info {
	const char *name;
	uint16_t status; /* default for the client; 0 = nothing is sent */
	uint8_t blame;   /* enum blame */
	const char *proxy_status; /* RFC 9209, section 2.3; "" = none */
	const char *cause;
	const char *advice;
};

const struct reason_info *reason_info(enum reason r);
const char *reason_name(enum reason r);
/* The reason for a request head or body that the parser refused. */
enum reason reason_of_refusal(enum h1_refusal refusal);

#endif
