/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Targets, authorities, paths and queries: parts lie in their whole, and what
 * was decoded or resolved once stays as it is.
 */
#include "base/str.h"
#include "http/message.h"
#include "http/uri.h"
#include "splits.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { LEN_MAX = 1 << 14 };

static bool
is_inside(struct span part, struct span whole)
{
	return part.p >= whole.p && part.p + part.len <= whole.p + whole.len;
}

static void
check_authority(struct span s)
{
	static char memory[LEN_MAX];
	struct span host;

	if (!uri_is_authority(s))
		return;
	host = uri_host_of(s, memory);
	CHECK(host.len > 0 && host.len <= 255);
	for (size_t i = 0; i < host.len; i++)
		CHECK(host.p[i] > ' ' && host.p[i] != '@' &&
		    host.p[i] != '/' && host.p[i] != '%' &&
		    !(host.p[i] >= 'A' && host.p[i] <= 'Z'));
	CHECK(uri_is_authority(host));
	CHECK(uri_same_authority(s, s, 80));
	CHECK(uri_same_authority(host, s, uri_port_of(s, 80)));
	CHECK(uri_port_of(s, 80) != 0);
}

static void
check_path(struct span path)
{
	static char memory[3][LEN_MAX];
	enum uri_path_state state = uri_path_check(path);
	struct str decoded, again, resolved;

	str_init(&decoded, memory[0], LEN_MAX);
	str_init(&again, memory[1], LEN_MAX);
	str_init(&resolved, memory[2], LEN_MAX);
	uri_path_decode(path, &decoded);
	uri_path_resolve(path, &resolved);
	CHECK(!decoded.overflow && !resolved.overflow);
	CHECK(decoded.len <= path.len && resolved.len <= path.len + 1);
	if (state == URI_PATH_INVALID)
		return;
	uri_path_decode(str_view(&decoded), &again);
	CHECK(span_eq(str_view(&again), str_view(&decoded)));
	if (state == URI_PATH_PLAIN)
		CHECK(span_eq(str_view(&decoded), path));
	if (state == URI_PATH_ENCODED)
		CHECK(!span_eq(str_view(&decoded), path));
	if (path.len == 0 || path.p[0] != '/')
		return;
	CHECK((state == URI_PATH_DOTS) ==
	    (uri_path_check(str_view(&decoded)) == URI_PATH_DOTS));
	CHECK(resolved.len > 0 && resolved.p[0] == '/');
	CHECK(uri_path_check(str_view(&resolved)) != URI_PATH_DOTS);
	if (state == URI_PATH_PLAIN)
		CHECK(span_eq(str_view(&resolved), path));
	str_init(&again, memory[1], LEN_MAX);
	uri_path_resolve(str_view(&resolved), &again);
	CHECK(span_eq(str_view(&again), str_view(&resolved)));
}

static void
check_query(struct span query)
{
	struct span value;

	if (uri_query_get(query, SPAN("a"), &value))
		CHECK(is_inside(value, query) &&
		    (value.len == 0 ||
			memchr(value.p, '&', value.len) == NULL));
}

static void
check_target(struct span target, enum http_method method)
{
	struct http_request req = { .target = target,
		.method_id = (uint8_t)method };

	if (!uri_split_target(&req))
		return;
	for (size_t i = 0; i < target.len; i++)
		CHECK((unsigned char)target.p[i] > ' ' &&
		    target.p[i] != 0x7f && target.p[i] != '#');
	if (req.authority.len > 0) {
		CHECK(is_inside(req.authority, target));
		CHECK(uri_is_authority(req.authority));
	}
	if (method == HTTP_METHOD_CONNECT) {
		CHECK(req.path.len == 0 && req.authority.len == target.len);
		return;
	}
	CHECK(req.path.len > 0);
	CHECK(req.path.p[0] == '/' || span_eq(req.path, SPAN("*")));
	CHECK(req.has_query || req.query.len == 0);
	CHECK(memchr(req.path.p, '?', req.path.len) == NULL);
	CHECK(is_inside(req.query, target));
	check_path(req.path);
	check_query(req.query);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);
	struct span s = span_of(copy, len);

	CHECK(copy != NULL);
	if (len > 0)
		memcpy(copy, bytes, len);
	if (len < LEN_MAX - 1) {
		check_authority(s);
		check_path(s);
		check_query(s);
		check_target(s, HTTP_METHOD_GET);
		check_target(s, HTTP_METHOD_OPTIONS);
		check_target(s, HTTP_METHOD_CONNECT);
	}
	free(copy);
	return 0;
}
