/* SPDX-License-Identifier: BSD-2-Clause */
/* proxyproto - reading and writing of its two forms. */
#include "net/proxyproto.h"

#include "base/str.h"

enum {
	V2_HEAD = 16,
	V2_IPV4 = 12, /* two addresses, two ports */
	V2_IPV6 = 36,
	TLV_HEAD = 3,
	TLV_ALPN = 1,
	TLV_AUTHORITY = 2,
	TLV_UNIQUE_ID = 5,
	TEXT_MAX = 255, /* of a name, and of a protocol's */
};

static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* ---- version 1: a line of text ---- */

/* The next word, up to one space. */
static bool
next_word(struct span *rest, struct span *word)
{
	const char *space = memchr(rest->p, ' ', rest->len);
	size_t len = space != NULL ? (size_t)(space - rest->p) : rest->len;

	*word = span_of(rest->p, len);
	*rest = space != NULL
	    ? span_of(space + 1, rest->len - len - 1) : span_of(rest->p, 0);
	return len > 0;
}

static bool
read_port(struct span word, uint16_t *port)
{
	uint64_t n;

	if (word.len == 0 || word.len > 5 || span_u64(word, &n) != 0 ||
	    n > UINT16_MAX || (word.len > 1 && word.p[0] == '0'))
		return false;
	*port = (uint16_t)n;
	return true;
}

/* An IPv4 address may be written as one of IPv6, not the reverse. */
static bool
read_address(struct span word, bool is_ip6, struct addr_ip *ip)
{
	return (memchr(word.p, ':', word.len) != NULL) == is_ip6 &&
	    addr_ip_parse(word, ip) == 0;
}

static bool
read_addresses(struct span rest, bool is_ip6, struct proxyproto *out)
{
	struct span client, server, from, to;

	return next_word(&rest, &client) && next_word(&rest, &server) &&
	    next_word(&rest, &from) && next_word(&rest, &to) &&
	    rest.len == 0 && rest.p == to.p &&
	    read_address(client, is_ip6, &out->client) &&
	    read_address(server, is_ip6, &out->server) &&
	    read_port(from, &out->client.port) &&
	    read_port(to, &out->server.port);
}

static enum proxyproto_result
read_v1(struct span in, struct proxyproto *out)
{
	size_t max = in.len < PROXYPROTO_V1_MAX ? in.len : PROXYPROTO_V1_MAX;
	const char *end = memchr(in.p, '\n', max);
	struct span rest, word;

	if (end == NULL)
		return in.len < PROXYPROTO_V1_MAX ? PROXYPROTO_MORE
						  : PROXYPROTO_BAD;
	if (end == in.p || end[-1] != '\r')
		return PROXYPROTO_BAD;
	out->used = (size_t)(end - in.p) + 1;
	rest = span_of(in.p + 6, out->used - 8);
	if (!next_word(&rest, &word))
		return PROXYPROTO_BAD;
	if (span_eq(word, SPAN("UNKNOWN"))) {
		out->is_local = true;
		return PROXYPROTO_DONE;
	}
	if (span_eq(word, SPAN("TCP4")))
		return read_addresses(rest, false, out) ? PROXYPROTO_DONE
							: PROXYPROTO_BAD;
	if (span_eq(word, SPAN("TCP6")))
		return read_addresses(rest, true, out) ? PROXYPROTO_DONE
						       : PROXYPROTO_BAD;
	return PROXYPROTO_BAD;
}

/* ---- version 2: bytes ---- */

static size_t
u16(const char *p)
{
	return (size_t)(unsigned char)p[0] << 8 | (unsigned char)p[1];
}

static void
take_ip4(struct addr_ip *ip, const char *p, const char *port)
{
	memset(ip, 0, sizeof(*ip));
	memset(ip->bytes + 10, 0xff, 2);
	memcpy(ip->bytes + 12, p, 4);
	ip->port = (uint16_t)u16(port);
	ip->family = AF_INET;
}

/* What a socket of both families calls ::ffff:192.0.2.1 is IPv4. */
static void
take_ip6(struct addr_ip *ip, const char *p, const char *port)
{
	static const char mapped[12] = "\0\0\0\0\0\0\0\0\0\0\xff\xff";

	memset(ip, 0, sizeof(*ip));
	memcpy(ip->bytes, p, 16);
	ip->port = (uint16_t)u16(port);
	ip->family = memcmp(p, mapped, sizeof(mapped)) == 0 ? AF_INET
							    : AF_INET6;
}

/* Once, and without what could break out of a field or a line. */
static bool
take_text(struct span value, struct span *out)
{
	if (out->p != NULL || value.len > TEXT_MAX)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		if ((unsigned char)value.p[i] <= ' ' || value.p[i] == 0x7f)
			return false;
	}
	*out = value;
	return true;
}

static bool
take_tlv(unsigned type, struct span value, struct proxyproto *out)
{
	switch (type) {
	case TLV_ALPN:
		return take_text(value, &out->alpn);
	case TLV_AUTHORITY:
		return take_text(value, &out->authority);
	case TLV_UNIQUE_ID:
		if (out->unique_id.p != NULL ||
		    value.len > PROXYPROTO_ID_MAX)
			return false;
		out->unique_id = value;
		return true;
	default:
		return true;
	}
}

/* The extensions, each with its length, fill the rest exactly. */
static bool
take_tlvs(struct span rest, struct proxyproto *out)
{
	while (rest.len > 0) {
		size_t len;

		if (rest.len < TLV_HEAD)
			return false;
		len = u16(rest.p + 1);
		if (len > rest.len - TLV_HEAD ||
		    !take_tlv((unsigned char)rest.p[0],
		    span_of(rest.p + TLV_HEAD, len), out))
			return false;
		len += TLV_HEAD;
		rest = span_of(rest.p + len, rest.len - len);
	}
	return true;
}

static enum proxyproto_result
read_v2_addresses(unsigned family, struct span body, struct proxyproto *out)
{
	size_t len = 0;

	switch (family) {
	case 0x11: /* TCP over IPv4 */
		len = V2_IPV4;
		if (body.len < len)
			return PROXYPROTO_BAD;
		take_ip4(&out->client, body.p, body.p + 8);
		take_ip4(&out->server, body.p + 4, body.p + 10);
		break;
	case 0x21: /* over IPv6 */
		len = V2_IPV6;
		if (body.len < len)
			return PROXYPROTO_BAD;
		take_ip6(&out->client, body.p, body.p + 32);
		take_ip6(&out->server, body.p + 16, body.p + 34);
		break;
	case 0x00: /* unspecified: all of it is to be ignored */
		out->is_local = true;
		return PROXYPROTO_DONE;
	default: /* datagrams, Unix sockets */
		return PROXYPROTO_BAD;
	}
	return take_tlvs(span_of(body.p + len, body.len - len), out)
	    ? PROXYPROTO_DONE : PROXYPROTO_BAD;
}

static enum proxyproto_result
read_v2(struct span in, struct proxyproto *out)
{
	unsigned command, family;
	struct span body;

	if (in.len < V2_HEAD)
		return PROXYPROTO_MORE;
	command = (unsigned char)in.p[12];
	family = (unsigned char)in.p[13];
	body = span_of(in.p + V2_HEAD, u16(in.p + 14));
	if ((command != 0x20 && command != 0x21) ||
	    body.len > PROXYPROTO_MAX - V2_HEAD)
		return PROXYPROTO_BAD;
	if (in.len < V2_HEAD + body.len)
		return PROXYPROTO_MORE;
	out->used = V2_HEAD + body.len;
	if (command == 0x20) {
		out->is_local = true;
		return PROXYPROTO_DONE;
	}
	return read_v2_addresses(family, body, out);
}

/* ---- either ---- */

static bool
begins(struct span in, const char *with, size_t len)
{
	return memcmp(in.p, with, in.len < len ? in.len : len) == 0;
}

enum proxyproto_result
proxyproto_read(struct span in, struct proxyproto *out)
{
	memset(out, 0, sizeof(*out));
	if (in.len == 0)
		return PROXYPROTO_MORE;
	if (begins(in, "PROXY ", 6))
		return in.len < 6 ? PROXYPROTO_MORE : read_v1(in, out);
	if (begins(in, signature, sizeof(signature)))
		return read_v2(in, out);
	return PROXYPROTO_BAD;
}

size_t
proxyproto_wanted(struct span taken, struct span waiting)
{
	char first = taken.len > 0 ? taken.p[0] : waiting.p[0];
	const char *end;
	size_t whole = V2_HEAD;

	if (first != '\r') {
		end = memchr(waiting.p, '\n', waiting.len);
		return end != NULL ? (size_t)(end - waiting.p) + 1
				   : waiting.len;
	}
	if (taken.len >= V2_HEAD)
		whole += u16(taken.p + 14);
	if (taken.len >= whole)
		return 0;
	return waiting.len < whole - taken.len ? waiting.len
					       : whole - taken.len;
}

static void
put_u16(struct str *out, unsigned n)
{
	str_char(out, (char)(n >> 8 & 0xff));
	str_char(out, (char)(n & 0xff));
}

static bool
is_ip(const struct addr_ip *ip)
{
	return ip->family == AF_INET || ip->family == AF_INET6;
}

static void
write_v2(struct str *out, const struct addr_ip *client,
    const struct addr_ip *server, bool is_ip6)
{
	size_t skip = is_ip6 ? 0 : 12;

	str_put(out, signature, sizeof(signature));
	str_char(out, is_ip(client) ? 0x21 : 0x20);
	if (!is_ip(client)) {
		str_put(out, "\0\0\0", 3);
		return;
	}
	str_char(out, is_ip6 ? 0x21 : 0x11);
	put_u16(out, is_ip6 ? V2_IPV6 : V2_IPV4);
	str_put(out, (const char *)client->bytes + skip, 16 - skip);
	str_put(out, (const char *)server->bytes + skip, 16 - skip);
	put_u16(out, client->port);
	put_u16(out, server->port);
}

static void
put_address(struct str *out, const struct addr_ip *ip, bool is_ip6)
{
	if (is_ip6 && ip->family == AF_INET)
		str_lit(out, "::ffff:");
	addr_ip_put(out, ip);
	str_char(out, ' ');
}

static void
write_v1(struct str *out, const struct addr_ip *client,
    const struct addr_ip *server, bool is_ip6)
{
	if (!is_ip(client)) {
		str_lit(out, "PROXY UNKNOWN\r\n");
		return;
	}
	str_cstr(out, is_ip6 ? "PROXY TCP6 " : "PROXY TCP4 ");
	put_address(out, client, is_ip6);
	put_address(out, server, is_ip6);
	str_printf(out, "%u %u\r\n", client->port, server->port);
}

void
proxyproto_write(struct str *out, unsigned version,
    const struct addr_ip *client, const struct addr_ip *server)
{
	struct addr_ip none = { .family = client->family };
	bool is_ip6;

	/* Where it came in may have no such address: a Unix socket. */
	if (!is_ip(server)) {
		if (client->family == AF_INET)
			memset(none.bytes + 10, 0xff, 2);
		server = &none;
	}
	/* One of each family: both go as IPv6. */
	is_ip6 = client->family == AF_INET6 || server->family == AF_INET6;
	if (version == 2)
		write_v2(out, client, server, is_ip6);
	else
		write_v1(out, client, server, is_ip6);
}
