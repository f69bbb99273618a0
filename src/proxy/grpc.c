/* SPDX-License-Identifier: BSD-2-Clause */
/* grpc - deadlines and statuses of gRPC calls. */
#include "proxy/grpc.h"

#include "base/str.h"

enum { TIMEOUT_DIGITS_MAX = 8 };

enum grpc_status {
	GRPC_UNKNOWN = 2,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_UNAUTHENTICATED = 16,
};

bool
grpc_is_call(const struct exchange *ex)
{
	static const struct span type = { "application/grpc", 16 };
	const struct http_field *f;
	struct span value;

	if (!http_fields_may_have(&ex->req.fields, FIELD_CONTENT_TYPE))
		return false;
	f = http_fields_get(&ex->req.fields, FIELD_CONTENT_TYPE);
	if (f == NULL)
		return false;
	value = http_field_value(f);
	return value.len >= type.len &&
	    span_ieq(span_of(value.p, type.len), type) &&
	    (value.len == type.len || value.p[type.len] == '+' ||
		value.p[type.len] == ';');
}

uint64_t
grpc_parse_timeout(struct span value)
{
	uint64_t n;

	if (value.len < 2 || value.len > TIMEOUT_DIGITS_MAX + 1 ||
	    span_u64(span_of(value.p, value.len - 1), &n) != 0)
		return 0;
	switch (value.p[value.len - 1]) {
	case 'H':
		return n * 3600000;
	case 'M':
		return n * 60000;
	case 'S':
		return n * 1000;
	case 'm':
		return n;
	case 'u':
		return (n + 999) / 1000;
	case 'n':
		return (n + 999999) / 1000000;
	default:
		return 0;
	}
}

uint64_t
grpc_total_ms(const struct exchange *ex, uint64_t total_ms)
{
	const struct http_field *f;
	uint64_t ms;

	if (!grpc_is_call(ex))
		return total_ms;
	f = http_fields_find(&ex->req.fields, SPAN("grpc-timeout"));
	ms = f != NULL ? grpc_parse_timeout(http_field_value(f)) : 0;
	return ms != 0 && (total_ms == 0 || ms < total_ms) ? ms : total_ms;
}

/* As gRPC maps statuses of HTTP, but for what weir knows better. */
static enum grpc_status
status_of(const struct exchange *ex, unsigned status)
{
	if (ex->reason == REASON_TOTAL_TIMEOUT)
		return GRPC_DEADLINE_EXCEEDED;
	switch (status) {
	case 400:
		return GRPC_INTERNAL;
	case 401:
		return GRPC_UNAUTHENTICATED;
	case 403:
		return GRPC_PERMISSION_DENIED;
	case 404:
		return GRPC_UNIMPLEMENTED;
	case 413:
	case 431:
		return GRPC_RESOURCE_EXHAUSTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return GRPC_UNAVAILABLE;
	default:
		return GRPC_UNKNOWN;
	}
}

void
grpc_dress(struct exchange *ex, unsigned status)
{
	struct http_response *res = &ex->res;

	if (status < 400 || !grpc_is_call(ex))
		return;
	res->status = 200;
	res->reason = http_status_phrase(200);
	ex->answer = span_of(NULL, 0);
	http_fields_set(&res->fields, &ex->arena, SPAN("Content-Type"),
	    SPAN("application/grpc"));
	http_fields_add(&res->fields, &ex->arena, SPAN("grpc-status"),
	    span_cstr(arena_printf(&ex->arena, "%d",
	    (int)status_of(ex, status))));
	http_fields_add(&res->fields, &ex->arena, SPAN("grpc-message"),
	    ex->reason != REASON_NONE
	    ? span_cstr(reason_info(ex->reason)->cause)
	    : http_status_phrase(status));
}
