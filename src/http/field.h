/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * field - header and trailer fields of a message (RFC 9110, section 6.3).
 *
 * A field borrows its bytes: from the receive scratch while a head is parsed,
 * from the exchange's arena once the head was copied there.  Names the proxy
 * itself looks at have an id, found while the name is scanned; `present` tells
 * without a search that one is absent.
 */
#ifndef HTTP_FIELD_H
#define HTTP_FIELD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct arena;

/* Known names.  At most 63: http_fields.present has a bit for each. */
#define HTTP_FIELD_LIST(X)                                  \
	X(ACCEPT, "Accept")                                 \
	X(ACCEPT_ENCODING, "Accept-Encoding")               \
	X(ACCEPT_RANGES, "Accept-Ranges")                   \
	X(AGE, "Age")                                       \
	X(ALLOW, "Allow")                                   \
	X(AUTHORIZATION, "Authorization")                   \
	X(CACHE_CONTROL, "Cache-Control")                   \
	X(CONNECTION, "Connection")                         \
	X(CONTENT_ENCODING, "Content-Encoding")             \
	X(CONTENT_LENGTH, "Content-Length")                 \
	X(CONTENT_RANGE, "Content-Range")                   \
	X(CONTENT_TYPE, "Content-Type")                     \
	X(COOKIE, "Cookie")                                 \
	X(DATE, "Date")                                     \
	X(ETAG, "ETag")                                     \
	X(EXPECT, "Expect")                                 \
	X(EXPIRES, "Expires")                               \
	X(FORWARDED, "Forwarded")                           \
	X(HOST, "Host")                                     \
	X(HTTP2_SETTINGS, "HTTP2-Settings")                 \
	X(IF_MATCH, "If-Match")                             \
	X(IF_MODIFIED_SINCE, "If-Modified-Since")           \
	X(IF_NONE_MATCH, "If-None-Match")                   \
	X(IF_RANGE, "If-Range")                             \
	X(IF_UNMODIFIED_SINCE, "If-Unmodified-Since")       \
	X(KEEP_ALIVE, "Keep-Alive")                         \
	X(LAST_MODIFIED, "Last-Modified")                   \
	X(LOCATION, "Location")                             \
	X(PRAGMA, "Pragma")                                 \
	X(PROXY, "Proxy")                                   \
	X(PROXY_AUTHENTICATE, "Proxy-Authenticate")         \
	X(PROXY_AUTHORIZATION, "Proxy-Authorization")       \
	X(PROXY_CONNECTION, "Proxy-Connection")             \
	X(PROXY_STATUS, "Proxy-Status")                     \
	X(RANGE, "Range")                                   \
	X(REFERER, "Referer")                               \
	X(RETRY_AFTER, "Retry-After")                       \
	X(SERVER, "Server")                                 \
	X(SET_COOKIE, "Set-Cookie")                         \
	X(TE, "TE")                                         \
	X(TRAILER, "Trailer")                               \
	X(TRANSFER_ENCODING, "Transfer-Encoding")           \
	X(UPGRADE, "Upgrade")                               \
	X(USER_AGENT, "User-Agent")                         \
	X(VARY, "Vary")                                     \
	X(VIA, "Via")                                       \
	X(WWW_AUTHENTICATE, "WWW-Authenticate")             \
	X(X_FORWARDED_FOR, "X-Forwarded-For")               \
	X(X_FORWARDED_HOST, "X-Forwarded-Host")             \
	X(X_FORWARDED_PROTO, "X-Forwarded-Proto")           \
	X(X_REAL_IP, "X-Real-IP")

enum http_field_id {
	FIELD_OTHER = 0,
#define X(id, name) FIELD_##id,
	HTTP_FIELD_LIST(X)
#undef X
	FIELD_ID_COUNT
};

enum http_field_flags {
	/* "Name: value\r\n" lies at name in just these bytes. */
	HTTP_FIELD_VERBATIM = 1,
	/* Not to be forwarded: hop-by-hop, framing, or removed by a rule. */
	HTTP_FIELD_DROPPED = 2,
	/* The name has an underscore (backends fold it onto a dash). */
	HTTP_FIELD_UNDERSCORE = 4,
	/* Came as never to be indexed, and goes on so (RFC 7541, 7.1.3). */
	HTTP_FIELD_SENSITIVE = 8,
};

struct http_field {
	const char *name;
	const char *value; /* without surrounding blanks */
	uint32_t value_len;
	uint16_t name_len;
	uint8_t id;    /* enum http_field_id */
	uint8_t flags; /* enum http_field_flags */
};

struct http_fields {
	struct http_field *items;
	/* Bit per id: one was added, perhaps dropped since; and the next. */
	uint64_t present;
	uint32_t count;
	uint32_t size;    /* room in items */
};

static inline struct span
http_field_name(const struct http_field *f)
{
	return span_of(f->name, f->name_len);
}

static inline struct span
http_field_value(const struct http_field *f)
{
	return span_of(f->value, f->value_len);
}

static inline bool
http_fields_may_have(const struct http_fields *f, enum http_field_id id)
{
	return (f->present >> id & 1) != 0;
}

/* Of `present`: a name with an underscore was added. */
#define HTTP_FIELDS_UNDERSCORE (UINT64_C(1) << 63)

static inline bool
http_fields_may_have_underscore(const struct http_fields *f)
{
	return (f->present & HTTP_FIELDS_UNDERSCORE) != 0;
}

/* FIELD_OTHER if the name is not in the list; case does not matter. */
enum http_field_id http_field_lookup(struct span name);
/* The list's spelling. */
struct span http_field_spelling(enum http_field_id id);
/* RFC 9110, section 5.6.2: one or more tchar. */
bool http_is_token(struct span s);
/* RFC 9110, section 5.5: no CR, LF, NUL or other control but tab. */
bool http_is_field_value(struct span s);

/* The first that is not dropped; NULL if there is none. */
struct http_field *http_fields_get(const struct http_fields *f,
    enum http_field_id id);
struct http_field *http_fields_find(const struct http_fields *f,
    struct span name);
/* The next of the same name after `after`. */
struct http_field *http_fields_next(const struct http_fields *f,
    const struct http_field *after);
/* The type of Content-Type without parameters; empty if there is none. */
struct span http_fields_media_type(const struct http_fields *f);
/*
 * Add at the end.  name and value are borrowed for as long as the fields
 * live; items grow in a.  The caller has checked that they are valid.
 */
void http_fields_add(struct http_fields *f, struct arena *a, struct span name,
    struct span value);
/* The same for a known name, in the list's spelling: no search for its id. */
void http_fields_add_id(struct http_fields *f, struct arena *a,
    enum http_field_id id, struct span value);
/*
 * The same for a whole line, "Name: value\r\n", that lives as long as the
 * fields.  Lines that lie one behind the other are sent in one piece.
 */
void http_fields_add_line(struct http_fields *f, struct arena *a,
    enum http_field_id id, size_t name_len, struct span line);
/* Replace all of that name by one. */
void http_fields_set(struct http_fields *f, struct arena *a, struct span name,
    struct span value);
/* Drop all of that name; how many. */
unsigned http_fields_remove(struct http_fields *f, struct span name);
unsigned http_fields_remove_id(struct http_fields *f, enum http_field_id id);
/* Give all fields called from the name to; how many. */
unsigned http_fields_rename(struct http_fields *f, struct span from,
    struct span to);

#endif
