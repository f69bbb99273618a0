/* SPDX-License-Identifier: BSD-2-Clause */
/* addr - reading and writing socket addresses. */
#include "os/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

/* A NUL-terminated copy; -1 if it does not fit or holds a NUL. */
static int
copy(struct span s, char *to, size_t size)
{
	if (s.len >= size || (s.len > 0 && memchr(s.p, '\0', s.len) != NULL))
		return -1;
	if (s.len > 0)
		memcpy(to, s.p, s.len);
	to[s.len] = '\0';
	return 0;
}

static void
set_in(struct addr *a, const void *bytes, uint16_t port)
{
	memset(a, 0, sizeof(*a));
	a->len = sizeof(a->u.in);
	a->u.in.sin_family = AF_INET;
	a->u.in.sin_port = htons(port);
	memcpy(&a->u.in.sin_addr, bytes, 4);
}

static void
set_in6(struct addr *a, const void *bytes, uint16_t port)
{
	memset(a, 0, sizeof(*a));
	a->len = sizeof(a->u.in6);
	a->u.in6.sin6_family = AF_INET6;
	a->u.in6.sin6_port = htons(port);
	memcpy(&a->u.in6.sin6_addr, bytes, 16);
}

static int
parse_unix(struct span text, struct addr *a, struct error *err)
{
	struct span path = span_of(text.p + 5, text.len - 5);

	memset(a, 0, sizeof(*a));
	if (path.len == 0 || path.p[0] != '/')
		return error_set(err, "\"%.*s\": a Unix socket is written as "
		    "unix:/path, with an absolute path", SPAN_ARG(text));
	if (copy(path, a->u.un.sun_path, sizeof(a->u.un.sun_path)) != 0)
		return error_set(err, "\"%.*s\": the path of a Unix socket "
		    "has at most %zu bytes", SPAN_ARG(text),
		    sizeof(a->u.un.sun_path) - 1);
	a->u.un.sun_family = AF_UNIX;
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	    path.len + 1);
	return 0;
}

static int
parse_port(struct span text, struct span digits, uint16_t *port,
    struct error *err)
{
	uint64_t n;

	if (span_u64(digits, &n) != 0 || n < 1 || n > 65535)
		return error_set(err, "\"%.*s\": the port must be a number "
		    "from 1 to 65535", SPAN_ARG(text));
	*port = (uint16_t)n;
	return 0;
}

/* "2001:db8::1" or, with a zone, "fe80::1%eth0". */
static int
parse_in6(struct span host, uint16_t port, struct addr *a)
{
	const char *percent =
	    host.len > 0 ? memchr(host.p, '%', host.len) : NULL;
	struct span zone = { NULL, 0 };
	char text[INET6_ADDRSTRLEN], name[IF_NAMESIZE];
	struct in6_addr bytes;
	uint64_t scope = 0;

	if (percent != NULL) {
		zone = span_of(percent + 1,
		    host.len - (size_t)(percent - host.p) - 1);
		host.len = (size_t)(percent - host.p);
	}
	if (copy(host, text, sizeof(text)) != 0 ||
	    inet_pton(AF_INET6, text, &bytes) != 1)
		return -1;
	if (percent != NULL && span_u64(zone, &scope) != 0) {
		if (copy(zone, name, sizeof(name)) != 0)
			return -1;
		scope = if_nametoindex(name);
	}
	if (percent != NULL && (scope == 0 || scope > UINT32_MAX))
		return -1;
	set_in6(a, &bytes, port);
	a->u.in6.sin6_scope_id = (uint32_t)scope;
	return 0;
}

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/*
 * RFC 1123, section 2.1, and the underscore that service names use.  A last
 * label of digits alone would make it a broken IPv4 address.
 */
static bool
is_name(struct span host)
{
	size_t label = 0;
	bool digits = true;

	if (host.len > 0 && host.p[host.len - 1] == '.')
		host.len--;
	if (host.len == 0 || host.len > 253)
		return false;
	for (size_t i = 0; i < host.len; i++) {
		char c = host.p[i];

		if (c == '.' && label > 0) {
			label = 0;
			digits = true;
			continue;
		}
		if (!is_name_char(c) || ++label > 63)
			return false;
		digits = digits && c >= '0' && c <= '9';
	}
	return label > 0 && !digits;
}

static int
parse_host(struct span text, struct span host, struct addr_spec *spec,
    struct error *err)
{
	char buffer[INET_ADDRSTRLEN];
	struct in_addr in;

	if (host.len == 0) {
		spec->is_any = true;
		set_in6(&spec->addr, &in6addr_any, spec->port);
		return 0;
	}
	if (host.p[0] == '[') {
		host = span_of(host.p + 1, host.len - 2);
		if (parse_in6(host, spec->port, &spec->addr) != 0)
			return error_set(err, "\"%.*s\": \"%.*s\" is not an "
			    "IPv6 address", SPAN_ARG(text), SPAN_ARG(host));
		return 0;
	}
	if (copy(host, buffer, sizeof(buffer)) == 0 &&
	    inet_pton(AF_INET, buffer, &in) == 1) {
		set_in(&spec->addr, &in, spec->port);
		return 0;
	}
	if (!is_name(host) || copy(host, spec->host, sizeof(spec->host)) != 0)
		return error_set(err, "\"%.*s\": \"%.*s\" is neither an IPv4 "
		    "address nor a host name", SPAN_ARG(text), SPAN_ARG(host));
	spec->is_name = true;
	return 0;
}

/* Where the host of "host:port" ends; an IPv6 address keeps its brackets. */
static int
host_len(struct span text, size_t *len, struct error *err)
{
	const char *at;

	if (text.len > 0 && text.p[0] == '[') {
		at = memchr(text.p, ']', text.len);
		if (at == NULL)
			return error_set(err, "\"%.*s\": \"]\" is missing",
			    SPAN_ARG(text));
		*len = (size_t)(at - text.p) + 1;
		if (*len < text.len && text.p[*len] != ':')
			return error_set(err, "\"%.*s\": after \"]\" only "
			    "\":\" and a port may follow", SPAN_ARG(text));
		return 0;
	}
	at = text.len > 0 ? memchr(text.p, ':', text.len) : NULL;
	*len = at != NULL ? (size_t)(at - text.p) : text.len;
	if (at != NULL && memchr(at + 1, ':', text.len - *len - 1) != NULL)
		return error_set(err, "\"%.*s\": an IPv6 address is written "
		    "in brackets, as [::1]:80", SPAN_ARG(text));
	return 0;
}

int
addr_parse(struct span text, uint16_t default_port, struct addr_spec *spec,
    struct error *err)
{
	struct span port;
	size_t len = 0;

	memset(spec, 0, sizeof(*spec));
	if (span_starts(text, SPAN("unix:")))
		return parse_unix(text, &spec->addr, err);
	if (text.len == 0)
		return error_set(err, "the address is empty");
	if (host_len(text, &len, err) != 0)
		return -1;
	spec->port = default_port;
	if (len < text.len) {
		port = span_of(text.p + len + 1, text.len - len - 1);
		if (parse_port(text, port, &spec->port, err) != 0)
			return -1;
	} else if (default_port == 0) {
		return error_set(err, "\"%.*s\": the port is missing, as in "
		    "\"%.*s:80\"", SPAN_ARG(text), SPAN_ARG(text));
	}
	return parse_host(text, span_of(text.p, len), spec, err);
}

static inline char *
put_octet(char *p, unsigned n)
{
	if (n >= 100) {
		*p++ = (char)('0' + n / 100);
		n %= 100;
		*p++ = (char)('0' + n / 10);
		n %= 10;
	} else if (n >= 10) {
		*p++ = (char)('0' + n / 10);
		n %= 10;
	}
	*p++ = (char)('0' + n);
	return p;
}

/* By hand: inet_ntop(3) prints with sprintf, and each request needs one. */
static void
put_ipv4(struct str *out, const uint8_t bytes[4])
{
	char *p = out->p + out->len;

	/* No memory of its own, which would cost a stack guard. */
	if (out->overflow || out->cap - out->len < INET_ADDRSTRLEN) {
		out->overflow = true;
		return;
	}
	p = put_octet(p, bytes[0]);
	for (unsigned i = 1; i < 4; i++) {
		*p++ = '.';
		p = put_octet(p, bytes[i]);
	}
	out->len = (size_t)(p - out->p);
}

static __attribute__((noinline)) void
put_ipv6(struct str *out, const uint8_t bytes[16])
{
	char text[INET6_ADDRSTRLEN];

	if (inet_ntop(AF_INET6, bytes, text, sizeof(text)) != NULL)
		str_cstr(out, text);
}

static void
put_ip(struct str *out, const uint8_t bytes[16])
{
	if (memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0)
		put_ipv4(out, bytes + 12);
	else
		put_ipv6(out, bytes);
}

static void
put_unix(struct str *out, const struct addr *a)
{
	size_t head = offsetof(struct sockaddr_un, sun_path);

	str_lit(out, "unix:");
	/* Unnamed is the bare family, abstract begins with a NUL. */
	if (a->len > head && a->u.un.sun_path[0] != '\0')
		str_put(out, a->u.un.sun_path,
		    strnlen(a->u.un.sun_path, a->len - head));
}

void
addr_put(struct str *out, const struct addr *a)
{
	struct addr_ip ip;
	bool brackets;

	if (a->u.sa.sa_family != AF_INET && a->u.sa.sa_family != AF_INET6) {
		put_unix(out, a);
		return;
	}
	addr_ip_from(&ip, a);
	brackets = ip.family == AF_INET6;
	if (brackets)
		str_char(out, '[');
	put_ip(out, ip.bytes);
	if (brackets && a->u.in6.sin6_scope_id != 0) {
		str_char(out, '%');
		str_u64(out, a->u.in6.sin6_scope_id);
	}
	if (brackets)
		str_char(out, ']');
	str_char(out, ':');
	str_u64(out, ip.port);
}

bool
addr_is_any(const struct addr *a)
{
	return a->u.sa.sa_family == AF_INET6
	    ? IN6_IS_ADDR_UNSPECIFIED(&a->u.in6.sin6_addr)
	    : a->u.in.sin_addr.s_addr == INADDR_ANY;
}

uint16_t
addr_port(const struct addr *a)
{
	return ntohs(a->u.sa.sa_family == AF_INET6 ? a->u.in6.sin6_port
						    : a->u.in.sin_port);
}

bool
addr_equal(const struct addr *a, const struct addr *b)
{
	if (a->u.sa.sa_family != b->u.sa.sa_family)
		return false;
	switch (a->u.sa.sa_family) {
	case AF_INET:
		return a->u.in.sin_port == b->u.in.sin_port &&
		    a->u.in.sin_addr.s_addr == b->u.in.sin_addr.s_addr;
	case AF_INET6:
		return a->u.in6.sin6_port == b->u.in6.sin6_port &&
		    a->u.in6.sin6_scope_id == b->u.in6.sin6_scope_id &&
		    memcmp(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr, 16) == 0;
	default:
		return a->len == b->len && memcmp(&a->u, &b->u, a->len) == 0;
	}
}

void
addr_ip_from(struct addr_ip *ip, const struct addr *a)
{
	memset(ip, 0, sizeof(*ip));
	if (a->u.sa.sa_family == AF_INET) {
		ip->family = AF_INET;
		ip->port = ntohs(a->u.in.sin_port);
		memcpy(ip->bytes, mapped_prefix, sizeof(mapped_prefix));
		memcpy(ip->bytes + 12, &a->u.in.sin_addr, 4);
	} else if (a->u.sa.sa_family == AF_INET6) {
		ip->port = ntohs(a->u.in6.sin6_port);
		memcpy(ip->bytes, &a->u.in6.sin6_addr, 16);
		/* What a dual socket calls ::ffff:192.0.2.1 is IPv4. */
		ip->family = memcmp(ip->bytes, mapped_prefix,
		    sizeof(mapped_prefix)) == 0 ? AF_INET : AF_INET6;
	} else {
		ip->family = AF_UNIX;
	}
}

void
addr_ip_put(struct str *out, const struct addr_ip *ip)
{
	if (ip->family == AF_UNIX)
		str_lit(out, "unix:");
	else
		put_ip(out, ip->bytes);
}

int
addr_ip_parse(struct span text, struct addr_ip *ip)
{
	char buffer[INET6_ADDRSTRLEN];
	struct addr a;
	uint8_t bytes[16];

	if (copy(text, buffer, sizeof(buffer)) != 0)
		return -1;
	if (inet_pton(AF_INET, buffer, bytes) == 1)
		set_in(&a, bytes, 0);
	else if (inet_pton(AF_INET6, buffer, bytes) == 1)
		set_in6(&a, bytes, 0);
	else
		return -1;
	addr_ip_from(ip, &a);
	return 0;
}

/* Clear what lies behind the first bits; true if anything was set there. */
static bool
cut_to_bits(uint8_t bytes[16], unsigned bits)
{
	bool was_set = false;

	for (unsigned i = 0; i < 16; i++) {
		unsigned keep = bits > i * 8 ? bits - i * 8 : 0;
		uint8_t mask = (uint8_t)(keep >= 8 ? 0xff
						   : 0xff00 >> keep);

		was_set = was_set || (bytes[i] & ~mask) != 0;
		bytes[i] &= mask;
	}
	return was_set;
}

int
addr_range_parse(struct span text, struct addr_range *range,
    struct error *err)
{
	const char *slash = text.len > 0 ? memchr(text.p, '/', text.len) : NULL;
	size_t len = slash != NULL ? (size_t)(slash - text.p) : text.len;
	struct addr_ip ip;
	uint64_t bits;
	unsigned max;

	if (addr_ip_parse(span_of(text.p, len), &ip) != 0)
		return error_set(err, "\"%.*s\" is no address range, as "
		    "192.0.2.0/24 or 2001:db8::/32", SPAN_ARG(text));
	max = memchr(text.p, ':', len) != NULL ? 128 : 32;
	bits = max;
	if (slash != NULL && (span_u64(span_of(slash + 1, text.len - len - 1),
	    &bits) != 0 || bits > max))
		return error_set(err, "\"%.*s\": the prefix length must be a "
		    "number from 0 to %u", SPAN_ARG(text), max);
	range->bits = (uint8_t)(bits + 128 - max);
	memcpy(range->bytes, ip.bytes, sizeof(range->bytes));
	if (cut_to_bits(range->bytes, range->bits)) {
		struct str s;
		char memory[INET6_ADDRSTRLEN];

		memcpy(ip.bytes, range->bytes, sizeof(ip.bytes));
		str_init(&s, memory, sizeof(memory));
		addr_ip_put(&s, &ip);
		return error_set(err, "\"%.*s\": the address has bits behind "
		    "its prefix; the range is %.*s/%u", SPAN_ARG(text),
		    (int)s.len, s.p, (unsigned)bits);
	}
	return 0;
}

bool
addr_range_has(const struct addr_range *range, const struct addr_ip *ip)
{
	unsigned whole = range->bits / 8;
	unsigned rest = range->bits % 8;

	if (ip->family == AF_UNIX)
		return false;
	if (memcmp(range->bytes, ip->bytes, whole) != 0)
		return false;
	return rest == 0 ||
	    ((range->bytes[whole] ^ ip->bytes[whole]) >> (8 - rest)) == 0;
}
