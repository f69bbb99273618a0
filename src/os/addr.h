/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * addr - socket addresses and their text forms.
 *
 * "192.0.2.1:80", "[2001:db8::1]:80", ":80" (any address, for listening; read
 * as "[::]:80"), "unix:/path" (absolute).  Names ("app.internal:80") are
 * addr_spec's.  What a dual socket knows as ::ffff:192.0.2.1 is IPv4 here.
 */
#ifndef OS_ADDR_H
#define OS_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/span.h"

struct error;
struct str;

struct addr {
	socklen_t len;
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_storage storage;
	} u;
};

/* The same of an IP peer in 20 bytes; family AF_UNIX has neither. */
/* Room for what addr_ip_put() writes; an IPv4 address may want 16 of it. */
enum { ADDR_IP_TEXT_MAX = INET6_ADDRSTRLEN };

struct addr_ip {
	uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint16_t port;     /* host byte order */
	uint8_t family;    /* AF_INET, AF_INET6, AF_UNIX */
};

/* An address range in CIDR notation. */
struct addr_range {
	uint8_t bytes[16];
	uint8_t bits; /* of the 128 */
};

/* "host:port" as written: a literal address, a name, or a path. */
struct addr_spec {
	struct addr addr; /* port set; valid unless is_name */
	bool is_name;
	bool is_any;      /* no host was given */
	char host[256];   /* the name, when is_name */
	uint16_t port;
};

/* default_port 0: the text must have a port. */
int addr_parse(struct span text, uint16_t default_port,
    struct addr_spec *spec, struct error *err);
/* "192.0.2.1:80", "[::1]:80", "unix:/path", "unix:" when unnamed. */
void addr_put(struct str *out, const struct addr *a);
bool addr_equal(const struct addr *a, const struct addr *b);
/* IP alone: 0.0.0.0 or [::]; and the port, in host byte order. */
bool addr_is_any(const struct addr *a);
uint16_t addr_port(const struct addr *a);

void addr_ip_from(struct addr_ip *ip, const struct addr *a);
/* The bare address: "192.0.2.1", "2001:db8::1", "unix:". */
void addr_ip_put(struct str *out, const struct addr_ip *ip);
/* A bare address without port; -1 if it is none. */
int addr_ip_parse(struct span text, struct addr_ip *ip);

/* "192.0.2.0/24", "2001:db8::/32", "192.0.2.1". */
int addr_range_parse(struct span text, struct addr_range *range,
    struct error *err);
bool addr_range_has(const struct addr_range *range, const struct addr_ip *ip);

#endif
