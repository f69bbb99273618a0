/* SPDX-License-Identifier: BSD-2-Clause */
/* http_field - known field names: one slot of a table for each. */
#include "http/http_field_private.h"

const struct span http_field_spellings[FIELD_ID_COUNT] = {
#define X(id, text) [FIELD_##id] = { text, sizeof(text) - 1 },
	HTTP_FIELD_LIST(X)
#undef X
};

/* With the first and the last letter of each name, for its hash. */
const struct http_field_slot http_field_slots[HTTP_FIELD_SLOTS] = {
#define ROW(id, name, first, last)                                      \
	[HTTP_FIELD_HASH(sizeof(name) - 1, (first), (last))] = {        \
		name ":", FIELD_##id }
	ROW(ACCEPT, "accept", 'a', 't'),
	ROW(ACCEPT_ENCODING, "accept-encoding", 'a', 'g'),
	ROW(ACCEPT_RANGES, "accept-ranges", 'a', 's'),
	ROW(AGE, "age", 'a', 'e'),
	ROW(ALLOW, "allow", 'a', 'w'),
	ROW(AUTHORIZATION, "authorization", 'a', 'n'),
	ROW(CACHE_CONTROL, "cache-control", 'c', 'l'),
	ROW(CONNECTION, "connection", 'c', 'n'),
	ROW(CONTENT_ENCODING, "content-encoding", 'c', 'g'),
	ROW(CONTENT_LENGTH, "content-length", 'c', 'h'),
	ROW(CONTENT_RANGE, "content-range", 'c', 'e'),
	ROW(CONTENT_TYPE, "content-type", 'c', 'e'),
	ROW(COOKIE, "cookie", 'c', 'e'),
	ROW(DATE, "date", 'd', 'e'),
	ROW(ETAG, "etag", 'e', 'g'),
	ROW(EXPECT, "expect", 'e', 't'),
	ROW(EXPIRES, "expires", 'e', 's'),
	ROW(FORWARDED, "forwarded", 'f', 'd'),
	ROW(HOST, "host", 'h', 't'),
	ROW(HTTP2_SETTINGS, "http2-settings", 'h', 's'),
	ROW(IF_MATCH, "if-match", 'i', 'h'),
	ROW(IF_MODIFIED_SINCE, "if-modified-since", 'i', 'e'),
	ROW(IF_NONE_MATCH, "if-none-match", 'i', 'h'),
	ROW(IF_RANGE, "if-range", 'i', 'e'),
	ROW(IF_UNMODIFIED_SINCE, "if-unmodified-since", 'i', 'e'),
	ROW(KEEP_ALIVE, "keep-alive", 'k', 'e'),
	ROW(LAST_MODIFIED, "last-modified", 'l', 'd'),
	ROW(LOCATION, "location", 'l', 'n'),
	ROW(PRAGMA, "pragma", 'p', 'a'),
	ROW(PROXY, "proxy", 'p', 'y'),
	ROW(PROXY_AUTHENTICATE, "proxy-authenticate", 'p', 'e'),
	ROW(PROXY_AUTHORIZATION, "proxy-authorization", 'p', 'n'),
	ROW(PROXY_CONNECTION, "proxy-connection", 'p', 'n'),
	ROW(PROXY_STATUS, "proxy-status", 'p', 's'),
	ROW(RANGE, "range", 'r', 'e'),
	ROW(REFERER, "referer", 'r', 'r'),
	ROW(RETRY_AFTER, "retry-after", 'r', 'r'),
	ROW(SERVER, "server", 's', 'r'),
	ROW(SET_COOKIE, "set-cookie", 's', 'e'),
	ROW(TE, "te", 't', 'e'),
	ROW(TRAILER, "trailer", 't', 'r'),
	ROW(TRANSFER_ENCODING, "transfer-encoding", 't', 'g'),
	ROW(UPGRADE, "upgrade", 'u', 'e'),
	ROW(USER_AGENT, "user-agent", 'u', 't'),
	ROW(VARY, "vary", 'v', 'y'),
	ROW(VIA, "via", 'v', 'a'),
	ROW(WWW_AUTHENTICATE, "www-authenticate", 'w', 'e'),
	ROW(X_FORWARDED_FOR, "x-forwarded-for", 'x', 'r'),
	ROW(X_FORWARDED_HOST, "x-forwarded-host", 'x', 't'),
	ROW(X_FORWARDED_PROTO, "x-forwarded-proto", 'x', 'o'),
	ROW(X_REAL_IP, "x-real-ip", 'x', 'p'),
#undef ROW
};

enum http_field_id
http_field_lookup(struct span name)
{
	const struct http_field_slot *slot;

	if (name.len == 0 || name.len > HTTP_FIELD_NAME_MAX)
		return FIELD_OTHER;
	slot = http_field_slot(name.p, name.len);
	if (slot->name[name.len] != ':' ||
	    !span_ieq(name, span_of(slot->name, name.len)))
		return FIELD_OTHER;
	return (enum http_field_id)slot->id;
}

struct span
http_field_spelling(enum http_field_id id)
{
	return http_field_spellings[id];
}
