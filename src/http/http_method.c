/* SPDX-License-Identifier: BSD-2-Clause */
/* http_method - the methods that weir itself tells apart. */
#include "http/message.h"

static const struct {
	struct span name;
	enum http_method method;
} methods[] = {
	{ { "GET", 3 }, HTTP_METHOD_GET },
	{ { "POST", 4 }, HTTP_METHOD_POST },
	{ { "HEAD", 4 }, HTTP_METHOD_HEAD },
	{ { "PUT", 3 }, HTTP_METHOD_PUT },
	{ { "DELETE", 6 }, HTTP_METHOD_DELETE },
	{ { "OPTIONS", 7 }, HTTP_METHOD_OPTIONS },
	{ { "PATCH", 5 }, HTTP_METHOD_PATCH },
	{ { "CONNECT", 7 }, HTTP_METHOD_CONNECT },
	{ { "TRACE", 5 }, HTTP_METHOD_TRACE },
};

enum http_method
http_method_lookup(struct span method)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (span_eq(method, methods[i].name))
			return methods[i].method;
	}
	return HTTP_METHOD_OTHER;
}

bool
http_method_is_safe(enum http_method m)
{
	return m == HTTP_METHOD_GET || m == HTTP_METHOD_HEAD ||
	    m == HTTP_METHOD_OPTIONS || m == HTTP_METHOD_TRACE;
}

bool
http_method_is_idempotent(enum http_method m)
{
	return http_method_is_safe(m) || m == HTTP_METHOD_PUT ||
	    m == HTTP_METHOD_DELETE;
}
