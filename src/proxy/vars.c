/* SPDX-License-Identifier: BSD-2-Clause */
/* vars - reading of an exchange by templates. */
#include "proxy/vars.h"

#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/now.h"
#include "base/str.h"
#include "conf/tree.h"
#include "http/uri.h"
#include "net/conn.h"
#include "proxy/exchange.h"
#include "proxy/proxy_private.h"
#include "proxy/route.h"
#include "upstream/group.h"

#define VAR(fn) \
	static bool fn(const void *subject, struct span arg, struct str *out)
#define EX const struct exchange *ex = subject; (void)arg

static bool
put(struct str *out, struct span value)
{
	str_span(out, value);
	return value.len > 0;
}

static bool
put_number(struct str *out, uint64_t n)
{
	str_u64(out, n);
	return true;
}

/* A span of time between two points, of which later may not have come. */
static bool
put_seconds(struct str *out, uint64_t from_us, uint64_t to_us)
{
	if (from_us == 0 || to_us < from_us)
		return false;
	str_seconds(out, (to_us - from_us) / 1000);
	return true;
}

VAR(client_ip)
{
	EX;
	addr_ip_put(out, &ex->client_ip);
	return true;
}

VAR(client_port)
{
	EX;
	return put_number(out, ex->client_ops->peer(ex).port);
}

VAR(server_ip)
{
	struct addr addr;
	struct addr_ip ip;
	EX;

	ex->client_ops->local(ex, &addr);
	addr_ip_from(&ip, &addr);
	addr_ip_put(out, &ip);
	return true;
}

VAR(server_port)
{
	struct addr addr;
	struct addr_ip ip;
	EX;

	ex->client_ops->local(ex, &addr);
	addr_ip_from(&ip, &addr);
	return put_number(out, ip.port);
}

VAR(service_name)
{
	EX;
	return put(out, span_cstr(ex->service->name));
}

VAR(route_name)
{
	EX;
	return put(out, span_cstr(ex->route->name));
}

VAR(route_match)
{
	uint64_t n;
	EX;

	if (span_u64(arg, &n) != 0 || n >= ex->capture_count)
		return false;
	return put(out, span_of(ex->match_path.p + ex->captures[2 * n],
	    ex->captures[2 * n + 1] - ex->captures[2 * n]));
}

VAR(connection_id)
{
	EX;
	return put_number(out, ex->client_ops->connection_id(ex));
}

VAR(connection_requests)
{
	EX;
	return put_number(out, ex->client_ops->connection_requests(ex));
}

VAR(request_method)
{
	EX;
	return put(out, ex->req.method);
}

VAR(request_scheme)
{
	EX;
	return put(out, exchange_scheme(ex));
}

/* One function a row: a row has no argument of its own. */
#define TLS_VAR(name, fact)                                                  \
	VAR(name)                                                            \
	{                                                                    \
		EX;                                                          \
		return conn_fact(ex->client_ops->conn(ex), fact, out);       \
	}
TLS_VAR(tls_version, CONN_FACT_VERSION)
TLS_VAR(tls_cipher, CONN_FACT_CIPHER)
TLS_VAR(tls_sni, CONN_FACT_SERVER_NAME)
TLS_VAR(tls_alpn, CONN_FACT_ALPN)
TLS_VAR(tls_resumed, CONN_FACT_RESUMED)
VAR(tls_early)
{
	EX;

	return ex->is_secure && put(out, ex->is_early ? SPAN("1") : SPAN("0"));
}

TLS_VAR(tls_client_subject, CONN_FACT_PEER_SUBJECT)
TLS_VAR(tls_client_issuer, CONN_FACT_PEER_ISSUER)
TLS_VAR(tls_client_serial, CONN_FACT_PEER_SERIAL)
TLS_VAR(tls_client_fingerprint, CONN_FACT_PEER_FINGERPRINT)
TLS_VAR(tls_client_sans, CONN_FACT_PEER_NAMES)
TLS_VAR(tls_client_verify, CONN_FACT_PEER_VERIFY)

VAR(proxy_protocol_authority)
{
	EX;
	return put(out, conn_said(ex->client_ops->conn(ex),
	    CONN_SAID_AUTHORITY));
}

VAR(proxy_protocol_alpn)
{
	EX;
	return put(out, conn_said(ex->client_ops->conn(ex), CONN_SAID_ALPN));
}

static bool
is_printable(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	}
	return true;
}

/* As it is if that is text, else in hexadecimal. */
VAR(proxy_protocol_unique_id)
{
	static const char digits[] = "0123456789abcdef";
	struct span id;
	EX;

	id = conn_said(ex->client_ops->conn(ex), CONN_SAID_UNIQUE_ID);
	if (is_printable(id))
		return put(out, id);
	for (size_t i = 0; i < id.len; i++) {
		str_char(out, digits[(unsigned char)id.p[i] >> 4]);
		str_char(out, digits[(unsigned char)id.p[i] & 15]);
	}
	return true;
}

VAR(request_host)
{
	EX;
	return put(out, ex->req.host);
}

VAR(request_path)
{
	EX;
	return put(out, ex->req.path);
}

VAR(request_query)
{
	EX;
	return put(out, ex->req.query);
}

VAR(request_target)
{
	EX;
	return put(out, ex->req.target);
}

VAR(request_version)
{
	EX;
	if (ex->req.is_h2)
		return put(out, SPAN("HTTP/2.0"));
	return put(out, ex->req.minor >= 1 ? SPAN("HTTP/1.1")
					   : SPAN("HTTP/1.0"));
}

VAR(request_line)
{
	EX;
	if (ex->req.method.len == 0)
		return false;
	str_span(out, ex->req.method);
	str_char(out, ' ');
	str_span(out, ex->req.target);
	str_char(out, ' ');
	return request_version(subject, arg, out);
}

VAR(request_bytes)
{
	EX;
	return put_number(out, ex->client_bytes_in);
}

VAR(request_body_bytes)
{
	EX;
	return put_number(out, ex->request_body.bytes);
}

/* All fields of that name, as one list (RFC 9110, section 5.3). */
static bool
put_field(struct str *out, const struct http_fields *fields,
    struct span name)
{
	const struct http_field *f = http_fields_find(fields, name);
	bool first = true;

	for (; f != NULL; f = http_fields_next(fields, f)) {
		if (!first)
			str_lit(out, ", ");
		first = false;
		str_span(out, http_field_value(f));
	}
	return !first;
}

VAR(request_header)
{
	EX;
	return put_field(out, &ex->req.fields, arg);
}

VAR(request_arg)
{
	struct span value;
	EX;

	return uri_query_get(ex->req.query, arg, &value) && put(out, value);
}

VAR(request_cookie)
{
	EX;
	for (const struct http_field *f =
	    http_fields_get(&ex->req.fields, FIELD_COOKIE); f != NULL;
	    f = http_fields_next(&ex->req.fields, f)) {
		struct span rest = http_field_value(f);

		while (rest.len > 0) {
			const char *end = memchr(rest.p, ';', rest.len);
			size_t len = end != NULL ? (size_t)(end - rest.p)
						 : rest.len;
			struct span pair = span_trim(span_of(rest.p, len));

			if (pair.len > arg.len && pair.p[arg.len] == '=' &&
			    span_eq(span_of(pair.p, arg.len), arg))
				return put(out, span_of(pair.p + arg.len + 1,
				    pair.len - arg.len - 1));
			if (end == NULL)
				break;
			rest = span_of(end + 1, rest.len - len - 1);
		}
	}
	return false;
}

VAR(response_status)
{
	EX;
	if (ex->res.status == 0 ||
	    (ex->state == EXCHANGE_DONE && !ex->head_sent))
		return false;
	return put_number(out, ex->res.status);
}

VAR(response_bytes)
{
	EX;
	return put_number(out, ex->client_bytes_out);
}

VAR(response_body_bytes)
{
	EX;
	return put_number(out, ex->req.method_id == HTTP_METHOD_HEAD
	    ? 0 : ex->response_body.sent);
}

VAR(response_header)
{
	EX;
	return put_field(out, &ex->res.fields, arg);
}

VAR(upstream_name)
{
	EX;
	return ex->group != NULL && put(out, ex->group->name);
}

VAR(upstream_address)
{
	EX;
	if (ex->backend == NULL)
		return false;
	backend_put_address(ex->backend, out);
	return true;
}

VAR(upstream_status)
{
	EX;
	return ex->up_status != 0 && put_number(out, ex->up_status);
}

VAR(upstream_tries)
{
	EX;
	return put_number(out, ex->attempts);
}

VAR(upstream_reused)
{
	EX;
	return put_number(out, ex->reused ? 1 : 0);
}

VAR(upstream_connect_time)
{
	EX;
	return put_seconds(out, ex->selected_us, ex->connected_us);
}

VAR(upstream_first_byte_time)
{
	EX;
	return put_seconds(out, ex->sent_us, ex->head_us);
}

VAR(upstream_time)
{
	EX;
	return put_seconds(out, ex->selected_us, ex->ended_us);
}

static bool
put_time(struct str *out, const char *format, uint64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;
	char text[64];

	if (gmtime_r(&t, &tm) == NULL)
		return false;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	return put(out, span_of(text,
	    strftime(text, sizeof(text), format, &tm)));
#pragma GCC diagnostic pop
}

VAR(time_iso8601)
{
	EX;
	(void)ex;
	return put_time(out, "%Y-%m-%dT%H:%M:%SZ", now_wall_ms() / 1000);
}

VAR(time_common)
{
	EX;
	(void)ex;
	return put_time(out, "%d/%b/%Y:%H:%M:%S +0000",
	    now_wall_ms() / 1000);
}

VAR(time_epoch)
{
	EX;
	(void)ex;
	return put_number(out, now_wall_ms() / 1000);
}

VAR(time_msec)
{
	EX;
	(void)ex;
	str_seconds(out, now_wall_ms());
	return true;
}

VAR(duration)
{
	EX;
	return put_seconds(out, ex->started_us,
	    ex->ended_us != 0 ? ex->ended_us : now_us());
}

VAR(rewrite_group)
{
	uint64_t n;
	EX;

	if (span_u64(arg, &n) != 0 || n >= ex->rewrite_group_count)
		return false;
	return put(out, ex->rewrite_groups[n]);
}

VAR(request_id)
{
	EX;
	return put(out, ex->request_id);
}

VAR(trace_id)
{
	EX;
	return put(out, ex->trace_id);
}

VAR(auth_identity)
{
	EX;
	return put(out, ex->identity);
}

VAR(auth_scopes)
{
	EX;
	return put(out, ex->auth_scopes);
}

VAR(auth_method)
{
	EX;
	return put(out, ex->auth_method);
}

VAR(error_reason)
{
	EX;
	return ex->reason != REASON_NONE &&
	    put(out, span_cstr(reason_name(ex->reason)));
}

VAR(error_phase)
{
	EX;
	return ex->reason != REASON_NONE &&
	    put(out, span_cstr(exchange_failed_in(ex)));
}

VAR(error_detail)
{
	EX;
	return ex->detail != NULL && ex->reason != REASON_NONE &&
	    put(out, span_cstr(ex->detail));
}

static const struct conf_node *
custom_node(const struct conf_node *group, struct span name)
{
	const struct conf_node *node = group != NULL ? group->first : NULL;

	while (node != NULL && !span_eq(span_cstr(node->name), name))
		node = node->next;
	return node;
}

VAR(custom)
{
	EX;
	const struct conf_node *node =
	    custom_node(ex->proxy->boot.custom, arg);

	if (node == NULL)
		return false;
	switch (node->type) {
	case CONF_NODE_STRING:
		return put(out, node->v.string);
	case CONF_NODE_INT:
		str_printf(out, "%lld", (long long)node->v.integer);
		return true;
	case CONF_NODE_FLOAT:
		str_printf(out, "%g", node->v.real);
		return true;
	case CONF_NODE_BOOL:
		return put(out, node->v.boolean ? SPAN("true")
						: SPAN("false"));
	case CONF_NODE_GROUP:
	case CONF_NODE_LIST:
	case CONF_NODE_ARRAY:
	default:
		return false;
	}
}

VAR(hostname)
{
	static char name[256];
	EX;

	(void)ex;
	if (name[0] == '\0' && gethostname(name, sizeof(name) - 1) != 0)
		return false;
	return put(out, span_cstr(name));
}

VAR(pid)
{
	EX;
	(void)ex;
	return put_number(out, (uint64_t)getpid());
}

static int
check_token(const void *context, struct span arg, struct error *err)
{
	(void)context;
	if (http_is_token(arg))
		return 0;
	return error_set(err, "\"%.*s\" is no field name", SPAN_ARG(arg));
}

static int
check_number(const void *context, struct span arg, struct error *err)
{
	uint64_t n;

	(void)context;
	if (span_u64(arg, &n) == 0 && n < ROUTE_CAPTURES_MAX)
		return 0;
	return error_set(err, "\"%.*s\" is no number of a capture (0 to %d)",
	    SPAN_ARG(arg), ROUTE_CAPTURES_MAX - 1);
}

static int
check_custom(const void *context, struct span arg, struct error *err)
{
	if (custom_node(context, arg) != NULL)
		return 0;
	return error_set(err, "the group custom has no \"%.*s\"",
	    SPAN_ARG(arg));
}

static const struct template_var all[] = {
	{ "client.ip", client_ip, "address of the client, after "
	    "trusted_proxies", NULL },
	{ "client.port", client_port, "port of the connection's peer", NULL },
	{ "server.ip", server_ip, "local address of the connection", NULL },
	{ "server.port", server_port, "local port of the connection", NULL },
	{ "service.name", service_name, "name of the service", NULL },
	{ "route.name", route_name, "name of the route", NULL },
	{ "route.match.", route_match, "capture N of path_regex, 0 = all",
	    check_number },
	{ "connection.id", connection_id, "number of the client connection "
	    "in its worker", NULL },
	{ "connection.requests", connection_requests,
	    "number of the request on its connection", NULL },
	{ "tls.version", tls_version, "version of TLS, empty without", NULL },
	{ "tls.cipher", tls_cipher, "cipher suite", NULL },
	{ "tls.sni", tls_sni, "server name that the client asked for", NULL },
	{ "tls.alpn", tls_alpn, "protocol that was negotiated", NULL },
	{ "tls.resumed", tls_resumed, "1 if the session was resumed, else 0",
	    NULL },
	{ "tls.early", tls_early, "1 if the request came as early data, else "
	    "0", NULL },
	{ "tls.client.subject", tls_client_subject,
	    "subject of the client's valid certificate", NULL },
	{ "tls.client.issuer", tls_client_issuer, "its issuer", NULL },
	{ "tls.client.serial", tls_client_serial, "its serial number, "
	    "hexadecimal", NULL },
	{ "tls.client.fingerprint", tls_client_fingerprint,
	    "its SHA-256 fingerprint, hexadecimal", NULL },
	{ "tls.client.sans", tls_client_sans, "its alternative names, "
	    "DNS:a,IP:b", NULL },
	{ "tls.client.verify", tls_client_verify, "ok, none, or what is "
	    "wrong with the client's certificate", NULL },
	{ "proxy_protocol.authority", proxy_protocol_authority,
	    "server name that a proxy in front was asked for", NULL },
	{ "proxy_protocol.alpn", proxy_protocol_alpn,
	    "protocol that it negotiated", NULL },
	{ "proxy_protocol.unique_id", proxy_protocol_unique_id,
	    "what it calls the connection", NULL },
	{ "request.method", request_method, "method", NULL },
	{ "request.scheme", request_scheme, "http or https", NULL },
	{ "request.host", request_host, "host, lower case, without port",
	    NULL },
	{ "request.path", request_path, "path as it is forwarded", NULL },
	{ "request.query", request_query, "query without its ?", NULL },
	{ "request.target", request_target, "request target as received",
	    NULL },
	{ "request.version", request_version, "HTTP/1.0, HTTP/1.1 or HTTP/2.0", NULL },
	{ "request.line", request_line, "the whole request line", NULL },
	{ "request.bytes", request_bytes, "bytes received for the request",
	    NULL },
	{ "request.body_bytes", request_body_bytes,
	    "bytes of the request's body", NULL },
	{ "request.header.", request_header, "value of a request field",
	    check_token },
	{ "request.arg.", request_arg, "value of a query argument, as sent",
	    NULL },
	{ "request.cookie.", request_cookie, "value of a cookie",
	    check_token },
	{ "response.status", response_status, "status sent to the client",
	    NULL },
	{ "response.bytes", response_bytes, "bytes sent for the response",
	    NULL },
	{ "response.body_bytes", response_body_bytes,
	    "bytes of the response's body", NULL },
	{ "response.header.", response_header, "value of a response field",
	    check_token },
	{ "upstream.name", upstream_name, "name of the upstream", NULL },
	{ "upstream.address", upstream_address, "backend of the last attempt",
	    NULL },
	{ "upstream.status", upstream_status, "status the backend sent",
	    NULL },
	{ "upstream.tries", upstream_tries, "attempts made", NULL },
	{ "upstream.reused", upstream_reused,
	    "1 if the backend connection was a kept one", NULL },
	{ "upstream.connect_time", upstream_connect_time,
	    "seconds until the connection stood", NULL },
	{ "upstream.first_byte_time", upstream_first_byte_time,
	    "seconds from the request's head to the response's", NULL },
	{ "upstream.time", upstream_time,
	    "seconds from the choice of the backend to the end", NULL },
	{ "upstream.header.", response_header,
	    "value of a field the backend sent", check_token },
	{ "time.iso8601", time_iso8601, "now, 2026-01-31T12:00:00Z", NULL },
	{ "time.common", time_common, "now, 31/Jan/2026:12:00:00 +0000",
	    NULL },
	{ "time.epoch", time_epoch, "now, seconds since 1970", NULL },
	{ "time.msec", time_msec, "now, the same with milliseconds", NULL },
	{ "duration", duration, "seconds from the head to the end", NULL },
	{ "rewrite.", rewrite_group, "group N of a rewrite rule's regex, in "
	    "that rule", check_number },
	{ "request.id", request_id, "the request's name, by requestid", NULL },
	{ "trace.id", trace_id, "the trace that it is part of, by requestid",
	    NULL },
	{ "auth.identity", auth_identity, "who the client is, after auth",
	    NULL },
	{ "auth.method", auth_method, "by what that was found", NULL },
	{ "auth.scopes", auth_scopes, "what its key may be used for", NULL },
	{ "error.reason", error_reason, "why it failed; see weir-errors(7)",
	    NULL },
	{ "error.phase", error_phase, "in which phase or state it failed",
	    NULL },
	{ "error.detail", error_detail, "the particulars", NULL },
	{ "custom.", custom, "a value of the group custom", check_custom },
	{ "hostname", hostname, "name of this machine", NULL },
	{ "pid", pid, "number of the worker process", NULL },
};

const struct template_vars vars_all = {
	.items = all,
	.count = sizeof(all) / sizeof(*all),
};
