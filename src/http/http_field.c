/* SPDX-License-Identifier: BSD-2-Clause */
/* http_field - known field names: one slot of a table for each. */
#include "http/http_field_private.h"

const struct http_field_known http_field_known[FIELD_ID_COUNT] = {
#define X(id, text) [FIELD_##id] = { text, sizeof(text) - 1 },
	HTTP_FIELD_LIST(X)
#undef X
};

/* Length, first and last letter of each name. */
const uint8_t http_field_slots[HTTP_FIELD_SLOTS] = {
#define ROW(id, len, first, last) \
	[HTTP_FIELD_SLOT(len, first, last)] = FIELD_##id
	ROW(ACCEPT, 6, 'a', 't'),
	ROW(ACCEPT_ENCODING, 15, 'a', 'g'),
	ROW(ACCEPT_RANGES, 13, 'a', 's'),
	ROW(AGE, 3, 'a', 'e'),
	ROW(ALLOW, 5, 'a', 'w'),
	ROW(AUTHORIZATION, 13, 'a', 'n'),
	ROW(CACHE_CONTROL, 13, 'c', 'l'),
	ROW(CONNECTION, 10, 'c', 'n'),
	ROW(CONTENT_ENCODING, 16, 'c', 'g'),
	ROW(CONTENT_LENGTH, 14, 'c', 'h'),
	ROW(CONTENT_RANGE, 13, 'c', 'e'),
	ROW(CONTENT_TYPE, 12, 'c', 'e'),
	ROW(COOKIE, 6, 'c', 'e'),
	ROW(DATE, 4, 'd', 'e'),
	ROW(ETAG, 4, 'e', 'g'),
	ROW(EXPECT, 6, 'e', 't'),
	ROW(EXPIRES, 7, 'e', 's'),
	ROW(FORWARDED, 9, 'f', 'd'),
	ROW(HOST, 4, 'h', 't'),
	ROW(HTTP2_SETTINGS, 14, 'h', 's'),
	ROW(IF_MATCH, 8, 'i', 'h'),
	ROW(IF_MODIFIED_SINCE, 17, 'i', 'e'),
	ROW(IF_NONE_MATCH, 13, 'i', 'h'),
	ROW(IF_RANGE, 8, 'i', 'e'),
	ROW(IF_UNMODIFIED_SINCE, 19, 'i', 'e'),
	ROW(KEEP_ALIVE, 10, 'k', 'e'),
	ROW(LAST_MODIFIED, 13, 'l', 'd'),
	ROW(LOCATION, 8, 'l', 'n'),
	ROW(PRAGMA, 6, 'p', 'a'),
	ROW(PROXY, 5, 'p', 'y'),
	ROW(PROXY_AUTHENTICATE, 18, 'p', 'e'),
	ROW(PROXY_AUTHORIZATION, 19, 'p', 'n'),
	ROW(PROXY_CONNECTION, 16, 'p', 'n'),
	ROW(PROXY_STATUS, 12, 'p', 's'),
	ROW(RANGE, 5, 'r', 'e'),
	ROW(REFERER, 7, 'r', 'r'),
	ROW(RETRY_AFTER, 11, 'r', 'r'),
	ROW(SERVER, 6, 's', 'r'),
	ROW(SET_COOKIE, 10, 's', 'e'),
	ROW(TE, 2, 't', 'e'),
	ROW(TRAILER, 7, 't', 'r'),
	ROW(TRANSFER_ENCODING, 17, 't', 'g'),
	ROW(UPGRADE, 7, 'u', 'e'),
	ROW(USER_AGENT, 10, 'u', 't'),
	ROW(VARY, 4, 'v', 'y'),
	ROW(VIA, 3, 'v', 'a'),
	ROW(WWW_AUTHENTICATE, 16, 'w', 'e'),
	ROW(X_FORWARDED_FOR, 15, 'x', 'r'),
	ROW(X_FORWARDED_HOST, 16, 'x', 't'),
	ROW(X_FORWARDED_PROTO, 17, 'x', 'o'),
	ROW(X_REAL_IP, 9, 'x', 'p'),
#undef ROW
};

enum http_field_id
http_field_lookup(struct span name)
{
	const struct http_field_known *known;
	enum http_field_id id;

	if (name.len == 0 || name.len > HTTP_FIELD_NAME_MAX)
		return FIELD_OTHER;
	id = http_field_candidate(name.p, name.len);
	known = &http_field_known[id];
	if (!span_ieq(name, span_of(known->name, known->len)))
		return FIELD_OTHER;
	return id;
}

struct span
http_field_spelling(enum http_field_id id)
{
	return span_of(http_field_known[id].name, http_field_known[id].len);
}
