/* SPDX-License-Identifier: BSD-2-Clause */
/* dns - a name server of a few names on 127.0.0.1, on the test's own loop. */
#ifndef TESTS_UNIT_NET_DNS_H
#define TESTS_UNIT_NET_DNS_H

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/span.h"
#include "os/loop.h"

enum dns_mood { DNS_ANSWERS, DNS_FAILS, DNS_IS_SILENT, DNS_TRUNCATES };

struct dns_record {
	const char *name;
	const char *addresses; /* separated by spaces; NULL = no such name */
	uint32_t ttl;
};

struct dns {
	struct loop *loop;
	struct loop_watch udp;
	struct loop_watch tcp;
	struct loop_watch stream; /* one at a time */
	const struct dns_record *records; /* ended by a name of NULL */
	enum dns_mood mood;
	unsigned queries; /* for A */
	unsigned streams;
	char servers[32]; /* "127.0.0.1:PORT" */
	unsigned char in[2 + 512];
	size_t in_len;
};

static inline void
dns_put16(unsigned char *p, unsigned n)
{
	p[0] = (unsigned char)(n >> 8);
	p[1] = (unsigned char)n;
}

/* The question's name in dots; returns the bytes behind type and class. */
static inline size_t
dns_question(const unsigned char *query, size_t len, char *name)
{
	size_t at = 12;

	while (at < len && query[at] != 0) {
		memcpy(name, query + at + 1, query[at]);
		name += query[at];
		*name++ = '.';
		at += query[at] + 1U;
	}
	name[name[-1] == '.' ? -1 : 0] = '\0';
	return at + 5;
}

static inline size_t
dns_add(unsigned char *out, size_t len, const char *address, unsigned type,
    uint32_t ttl)
{
	int family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;
	size_t bytes = family == AF_INET ? 4 : 16;

	if (type != (family == AF_INET ? 1U : 28U))
		return len;
	dns_put16(out + len, 0xc00c);
	dns_put16(out + len + 2, type);
	dns_put16(out + len + 4, 1);
	dns_put16(out + len + 6, ttl >> 16);
	dns_put16(out + len + 8, ttl & 0xffff);
	dns_put16(out + len + 10, (unsigned)bytes);
	if (inet_pton(family, address, out + len + 12) != 1)
		abort();
	dns_put16(out + 6, out[7] + 1U);
	return len + 12 + bytes;
}

static inline const struct dns_record *
dns_find(const struct dns *dns, const char *name)
{
	const struct dns_record *r = dns->records;

	while (r->name != NULL && strcasecmp(r->name, name) != 0)
		r++;
	return r->name != NULL && r->addresses != NULL ? r : NULL;
}

/* The answer to a query; 0 = silence. */
static inline size_t
dns_reply(struct dns *dns, const unsigned char *query, size_t len,
    unsigned char *out, bool is_stream)
{
	const struct dns_record *record;
	char name[256], text[256];
	char *rest = text;
	const char *word;
	size_t end = dns_question(query, len, name);
	unsigned type = query[end - 3];

	dns->queries += type == 1;
	if (dns->mood == DNS_IS_SILENT)
		return 0;
	memcpy(out, query, end);
	dns_put16(out + 2, 0x8180);
	memset(out + 6, 0, 6);
	record = dns_find(dns, name);
	if (dns->mood == DNS_FAILS)
		out[3] |= 2;
	else if (record == NULL)
		out[3] |= 3;
	if (dns->mood == DNS_TRUNCATES && !is_stream)
		out[2] |= 2;
	else if ((out[3] & 15) == 0) {
		snprintf(text, sizeof(text), "%s", record->addresses);
		while ((word = strtok_r(rest, " ", &rest)) != NULL)
			end = dns_add(out, end, word, type, record->ttl);
	}
	return end;
}

static inline void
dns_on_udp(struct loop_watch *w, unsigned events)
{
	struct dns *dns = LIST_OF(w, struct dns, udp);
	unsigned char in[512], out[2048];
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	ssize_t n = recvfrom(w->fd, in, sizeof(in), MSG_DONTWAIT,
	    (struct sockaddr *)&from, &from_len);
	size_t len;

	(void)events;
	if (n < 17)
		return;
	len = dns_reply(dns, in, (size_t)n, out, false);
	if (len > 0 && sendto(w->fd, out, len, 0, (struct sockaddr *)&from,
	    from_len) < 0)
		abort();
}

static inline void
dns_hang_up(struct dns *dns)
{
	int fd = dns->stream.fd;

	if (fd < 0)
		return;
	loop_remove(dns->loop, &dns->stream);
	close(fd);
}

/* Answers leave byte by byte: readers must put them together. */
static inline void
dns_on_stream(struct loop_watch *w, unsigned events)
{
	struct dns *dns = LIST_OF(w, struct dns, stream);
	ssize_t n = recv(w->fd, dns->in + dns->in_len,
	    sizeof(dns->in) - dns->in_len, MSG_DONTWAIT);
	unsigned char out[2048];
	size_t want, len;

	(void)events;
	if (n <= 0) {
		dns_hang_up(dns);
		return;
	}
	dns->in_len += (size_t)n;
	while (dns->in_len > 2) {
		want = 2 + ((size_t)dns->in[0] << 8 | dns->in[1]);
		if (dns->in_len < want)
			return;
		len = dns_reply(dns, dns->in + 2, want - 2, out + 2, true);
		dns_put16(out, (unsigned)len);
		for (size_t i = 0; i < len + 2; i++)
			if (send(w->fd, out + i, 1, MSG_NOSIGNAL) != 1)
				abort();
		memmove(dns->in, dns->in + want, dns->in_len - want);
		dns->in_len -= want;
	}
}

static inline void
dns_on_connect(struct loop_watch *w, unsigned events)
{
	struct dns *dns = LIST_OF(w, struct dns, tcp);
	int fd = accept(w->fd, NULL, NULL);

	(void)events;
	if (fd < 0)
		return;
	dns_hang_up(dns);
	dns->streams++;
	dns->in_len = 0;
	dns->stream.on_event = dns_on_stream;
	if (loop_add_reader(dns->loop, &dns->stream, fd, false) != 0)
		abort();
}

/* One port for both; -1 if it is taken for one of them. */
static inline int
dns_bind(int *udp, int *tcp, unsigned *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(a);

	*udp = socket(AF_INET, SOCK_DGRAM, 0);
	*tcp = socket(AF_INET, SOCK_STREAM, 0);
	if (*udp >= 0 && *tcp >= 0 &&
	    bind(*udp, (struct sockaddr *)&a, len) == 0 &&
	    getsockname(*udp, (struct sockaddr *)&a, &len) == 0 &&
	    bind(*tcp, (struct sockaddr *)&a, len) == 0 &&
	    listen(*tcp, 8) == 0) {
		*port = ntohs(a.sin_port);
		return 0;
	}
	close(*udp);
	close(*tcp);
	return -1;
}

static inline void
dns_start(struct dns *dns, struct loop *loop,
    const struct dns_record *records)
{
	int udp, tcp, tries = 100;
	unsigned port;

	memset(dns, 0, sizeof(*dns));
	dns->loop = loop;
	dns->records = records;
	dns->stream.fd = -1;
	while (dns_bind(&udp, &tcp, &port) != 0)
		if (--tries == 0)
			abort();
	snprintf(dns->servers, sizeof(dns->servers), "127.0.0.1:%u", port);
	dns->udp.on_event = dns_on_udp;
	dns->tcp.on_event = dns_on_connect;
	if (loop_add_reader(loop, &dns->udp, udp, false) != 0 ||
	    loop_add_reader(loop, &dns->tcp, tcp, false) != 0)
		abort();
}

static inline void
dns_stop(struct dns *dns)
{
	int udp = dns->udp.fd;
	int tcp = dns->tcp.fd;

	dns_hang_up(dns);
	loop_remove(dns->loop, &dns->udp);
	loop_remove(dns->loop, &dns->tcp);
	close(udp);
	close(tcp);
}

#endif
