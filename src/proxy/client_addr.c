/* SPDX-License-Identifier: BSD-2-Clause */
/* client_addr - reading and writing of X-Forwarded-* and Forwarded. */
#include "proxy/client_addr.h"

#include "base/str.h"
#include "proxy/core_conf.h"
#include "proxy/exchange.h"

enum { LIST_MAX = 64, VALUE_MAX = 2048 };

static const uint64_t x_forwarded = UINT64_C(1) << FIELD_X_FORWARDED_FOR |
    UINT64_C(1) << FIELD_X_FORWARDED_PROTO |
    UINT64_C(1) << FIELD_X_FORWARDED_HOST;

bool
client_addr_is_trusted(const struct core_conf *core, const struct addr_ip *ip)
{
	if (ip->family == AF_UNIX)
		return false;
	for (size_t i = 0; i < core->trusted_proxies.count; i++) {
		if (addr_range_has(&core->trusted_proxies.items[i], ip))
			return true;
	}
	return false;
}

/* "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]", "[2001:db8::1]:80". */
static int
parse_node(struct span s, struct addr_ip *ip)
{
	const char *end;

	s = span_trim(s);
	if (s.len >= 2 && s.p[0] == '"' && s.p[s.len - 1] == '"')
		s = span_of(s.p + 1, s.len - 2);
	if (addr_ip_parse(s, ip) == 0)
		return 0;
	if (s.len > 0 && s.p[0] == '[') {
		end = memchr(s.p, ']', s.len);
		return end == NULL ? -1 : addr_ip_parse(span_of(s.p + 1,
		    (size_t)(end - s.p) - 1), ip);
	}
	end = memchr(s.p, ':', s.len);
	return end == NULL ? -1
	    : addr_ip_parse(span_of(s.p, (size_t)(end - s.p)), ip);
}

/* The for= parameter of one element of Forwarded (RFC 7239, section 4). */
static int
parse_forwarded(struct span element, struct addr_ip *ip)
{
	while (element.len > 0) {
		const char *semicolon = memchr(element.p, ';', element.len);
		size_t len = semicolon != NULL
		    ? (size_t)(semicolon - element.p) : element.len;
		struct span pair = span_trim(span_of(element.p, len));

		if (pair.len > 4 &&
		    span_ieq(span_of(pair.p, 4), SPAN("for=")))
			return parse_node(span_of(pair.p + 4, pair.len - 4),
			    ip);
		if (semicolon == NULL)
			return -1;
		element = span_of(semicolon + 1, element.len - len - 1);
	}
	return -1;
}

/* All elements of all fields of that name, left to right; the last ones. */
static size_t
collect(const struct exchange *ex, struct span name, struct span *items)
{
	size_t count = 0;

	for (const struct http_field *f =
	    http_fields_find(&ex->req.fields, name); f != NULL;
	    f = http_fields_next(&ex->req.fields, f)) {
		struct span rest = http_field_value(f), item;

		while (span_next_item(&rest, &item)) {
			if (count == LIST_MAX) {
				memmove(items, items + 1,
				    (LIST_MAX - 1) * sizeof(*items));
				count--;
			}
			items[count++] = item;
		}
	}
	return count;
}

/* The peer is trusted: whom does it name? */
static __attribute__((noinline)) void
believe(struct exchange *ex)
{
	const struct core_conf *core = ex->core;
	struct span name = span_cstr(core->client_ip_from);
	struct span items[LIST_MAX];
	bool forwarded = span_ieq(name, SPAN("Forwarded"));

	for (size_t i = collect(ex, name, items); i-- > 0;) {
		struct addr_ip before;
		int bad = forwarded ? parse_forwarded(items[i], &before)
				    : parse_node(items[i], &before);

		if (bad != 0)
			return; /* as far as it could be believed */
		before.port = 0;
		ex->client_ip = before;
		if (!client_addr_is_trusted(core, &before))
			return;
	}
}

static inline void
put_node(struct str *out, const struct addr_ip *peer)
{
	if (peer->family == AF_UNIX)
		str_lit(out, "unknown");
	else
		addr_ip_put(out, peer);
}

void
client_addr_find(struct exchange *ex)
{
	const struct core_conf *core = ex->core;

	ex->client_ip = ex->client_ops->peer(ex);
	if (core->trusted_proxies.count == 0 ||
	    !client_addr_is_trusted(core, &ex->client_ip))
		return;
	ex->peer_trusted = true;
	believe(ex);
}

/* name: what was there (if the peer is trusted), then value. */
static void
append(struct exchange *ex, struct http_request *up,
    enum http_field_id id, struct span value)
{
	char memory[VALUE_MAX];
	struct str out;

	str_init(&out, memory, sizeof(memory));
	if (ex->peer_trusted && http_fields_may_have(&up->fields, id)) {
		for (const struct http_field *f =
		    http_fields_get(&up->fields, id); f != NULL;
		    f = http_fields_next(&up->fields, f)) {
			str_span(&out, http_field_value(f));
			str_lit(&out, ", ");
		}
	}
	if (out.overflow)
		str_init(&out, memory, sizeof(memory));
	str_span(&out, value);
	if (http_fields_may_have(&up->fields, id))
		http_fields_remove_id(&up->fields, id);
	http_fields_add_id(&up->fields, &ex->arena, id,
	    span_of(arena_dup(&ex->arena, str_view(&out)), out.len));
}

/* Keep a trusted peer's word, else say it ourselves. */
static void
replace(struct exchange *ex, struct http_request *up,
    enum http_field_id id, struct span value)
{
	if (http_fields_may_have(&up->fields, id)) {
		if (ex->peer_trusted &&
		    http_fields_get(&up->fields, id) != NULL)
			return;
		http_fields_remove_id(&up->fields, id);
	}
	if (value.len > 0)
		http_fields_add_id(&up->fields, &ex->arena, id, value);
}

static __attribute__((noinline)) void
put_forwarded(struct exchange *ex, struct http_request *up,
    const struct addr_ip *peer)
{
	char memory[VALUE_MAX];
	struct str out;

	str_init(&out, memory, sizeof(memory));
	if (peer->family == AF_UNIX) {
		str_lit(&out, "for=unknown");
	} else if (peer->family == AF_INET6) {
		str_lit(&out, "for=\"[");
		addr_ip_put(&out, peer);
		str_lit(&out, "]\"");
	} else {
		str_lit(&out, "for=");
		addr_ip_put(&out, peer);
	}
	str_lit(&out, ";proto=");
	str_span(&out, exchange_scheme(ex));
	if (ex->req.authority.len > 0) {
		str_lit(&out, ";host=\"");
		str_span(&out, ex->req.authority);
		str_char(&out, '"');
	}
	append(ex, up, FIELD_FORWARDED, str_view(&out));
}

/* Names as they begin a line. */
#define FOR "X-Forwarded-For: "
#define PROTO "X-Forwarded-Proto: "
#define HOST "X-Forwarded-Host: "

/* Without ": " */
#define NAME_LEN(name) (sizeof(name) - 3)

#define PUT(to, literal) \
	((char *)memcpy((to), (literal), sizeof(literal) - 1) + \
	    sizeof(literal) - 1)

/* A line begins at `line` and its value ends at p: it becomes a field. */
static inline char *
end_line(struct exchange *ex, struct http_request *up, const char *line,
    char *p, enum http_field_id id, size_t name_len)
{
	p = PUT(p, "\r\n");
	http_fields_add_line(&up->fields, &ex->arena, id, name_len,
	    span_of(line, (size_t)(p - line)));
	return p;
}

/*
 * The usual case: nobody before us said anything of the kind.  The lines lie
 * one behind the other.
 */
static void
add_all(struct exchange *ex, struct http_request *up,
    const struct addr_ip *peer)
{
	struct span host = ex->req.authority;
	char *line = arena_alloc(&ex->arena, sizeof(FOR PROTO "https" HOST) +
	    ADDR_IP_TEXT_MAX + 3 * sizeof("\r\n") + host.len);
	char *p = PUT(line, FOR);
	struct str node;

	str_init(&node, p, ADDR_IP_TEXT_MAX);
	put_node(&node, peer);
	p = end_line(ex, up, line, p + node.len, FIELD_X_FORWARDED_FOR,
	    NAME_LEN(FOR));
	line = p;
	p = ex->is_secure ? PUT(p, PROTO "https") : PUT(p, PROTO "http");
	p = end_line(ex, up, line, p, FIELD_X_FORWARDED_PROTO,
	    NAME_LEN(PROTO));
	if (host.len == 0)
		return;
	line = p;
	p = PUT(p, HOST);
	memcpy(p, host.p, host.len);
	end_line(ex, up, line, p + host.len, FIELD_X_FORWARDED_HOST,
	    NAME_LEN(HOST));
}

/* Somebody did: to be kept, continued, or replaced. */
static __attribute__((noinline)) void
merge_all(struct exchange *ex, struct http_request *up,
    const struct addr_ip *peer)
{
	char memory[ADDR_IP_TEXT_MAX];
	struct str out;

	str_init(&out, memory, sizeof(memory));
	put_node(&out, peer);
	append(ex, up, FIELD_X_FORWARDED_FOR, str_view(&out));
	replace(ex, up, FIELD_X_FORWARDED_PROTO, exchange_scheme(ex));
	replace(ex, up, FIELD_X_FORWARDED_HOST, ex->req.authority);
}

void
client_addr_forward(struct exchange *ex, struct http_request *up)
{
	struct addr_ip peer = ex->client_ops->peer(ex);
	uint32_t which = ex->core->forwarded;

	if ((which & CORE_FORWARDED_X) != 0) {
		if ((up->fields.present & x_forwarded) == 0)
			add_all(ex, up, &peer);
		else
			merge_all(ex, up, &peer);
	} else if (!ex->peer_trusted) {
		http_fields_remove_id(&up->fields, FIELD_X_FORWARDED_FOR);
		http_fields_remove_id(&up->fields, FIELD_X_FORWARDED_PROTO);
		http_fields_remove_id(&up->fields, FIELD_X_FORWARDED_HOST);
	}
	if ((which & CORE_FORWARDED_RFC7239) != 0)
		put_forwarded(ex, up, &peer);
	else if (!ex->peer_trusted)
		http_fields_remove_id(&up->fields, FIELD_FORWARDED);
	if (!ex->peer_trusted && ex->core->trusted_proxies.count > 0)
		http_fields_remove_id(&up->fields, FIELD_X_REAL_IP);
}
