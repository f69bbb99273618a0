/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sock_connect - connecting, from a port of a range where that is asked for.
 *
 * A port serves many connections, to different peers, where the kernel chooses
 * it when it knows the peer.  Outside of its own range it does not keep to
 * ours: there each port is tried, with SO_REUSEADDR for the same reason.
 */
#include "os/sock_connect.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

#include "base/entropy.h"
#include "os/sock.h"
#include "os/sock_tune.h"

#ifndef IP_LOCAL_PORT_RANGE
enum { IP_LOCAL_PORT_RANGE = 51 };
#endif

/* So many ports are tried of a range, from one by chance: it takes 5 ms. */
enum { TRIES_MAX = 1024 };

static int
set(int fd, int level, int name, uint32_t value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

bool
sock_connect_is_kernels(uint16_t low, uint16_t high)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	unsigned first = 0, last = 0;
	bool is_within;
	int fd;

	if (f == NULL)
		return false;
	is_within = fscanf(f, "%u %u", &first, &last) == 2 && low >= first &&
	    high <= last;
	(void)fclose(f);
	if (!is_within)
		return false;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	is_within = set(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE,
	    (uint32_t)high << 16 | low) == 0;
	close(fd);
	return is_within;
}

static void
set_port(struct addr *a, uint16_t port)
{
	if (a->u.sa.sa_family == AF_INET)
		a->u.in.sin_port = htons(port);
	else
		a->u.in6.sin6_port = htons(port);
}

/* Bind to a port, or (0) to one that is chosen when the peer is known. */
static int
bind_source(int fd, const struct sock_source *from, uint16_t port)
{
	struct addr a = from->addr;

	set_port(&a, port);
	if (port != 0 && set(fd, SOL_SOCKET, SO_REUSEADDR, 1) != 0)
		return -1;
#ifdef IP_BIND_ADDRESS_NO_PORT
	if (port == 0)
		(void)set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
#endif
	if (port == 0 && from->by_kernel && set(fd, IPPROTO_IP,
	    IP_LOCAL_PORT_RANGE, (uint32_t)from->high << 16 | from->low) != 0)
		return -1;
	return bind(fd, &a.u.sa, a.len);
}

static int
tune(int fd, const struct sock_connect_options *o, const struct addr *a)
{
	enum sock_tune_row row;

	if (a->u.sa.sa_family == AF_UNIX)
		return 0;
#ifdef TCP_FASTOPEN_CONNECT
	/* Where the kernel forbids it, it is as without. */
	if (o->fast_open)
		(void)set(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
#endif
	if (o->keepalive_s != 0 && sock_keepalive(fd, o->keepalive_s) != 0)
		return -1;
	return o->tune != NULL ? sock_tune_all(fd, o->tune, &row) : 0;
}

/*
 * One attempt.  *is_port_busy: at another port it could be otherwise, which
 * EADDRNOTAVAIL does not say: it may be the address.
 */
static int
connect_once(const struct sock_connect_options *o,
    const struct sock_source *from, uint16_t port, const struct addr *a,
    bool *in_progress, bool *is_port_busy)
{
	int fd = socket(a->u.sa.sa_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int why;

	*is_port_busy = false;
	if (fd < 0)
		return -1;
	if (tune(fd, o, a) != 0)
		goto fail;
	if (from != NULL && bind_source(fd, from, port) != 0) {
		*is_port_busy = errno == EADDRINUSE;
		goto fail;
	}
	if (connect(fd, &a->u.sa, a->len) == 0)
		return fd;
	/* A full queue of a Unix socket (EAGAIN) is a failure: no event
	 * would say when there is room. */
	if (errno == EINPROGRESS) {
		*in_progress = true;
		return fd;
	}
	*is_port_busy = from != NULL && errno == EADDRNOTAVAIL;
fail:
	why = errno;
	close(fd);
	errno = why;
	return -1;
}

/* Each port of the range in turn, from one by chance. */
static int
try_ports(const struct sock_connect_options *o, const struct addr *a,
    bool *in_progress, bool *is_port_busy)
{
	const struct sock_source *from = o->from;
	unsigned count = (unsigned)from->high - from->low + 1U;
	unsigned at = (unsigned)(entropy_fast() % count);
	unsigned tries = count < TRIES_MAX ? count : TRIES_MAX;
	int fd = -1;

	*is_port_busy = true;
	for (unsigned i = 0; i < tries && fd < 0 && *is_port_busy; i++) {
		uint16_t port = (uint16_t)(from->low + (at + i) % count);

		/* Of the same host it would find itself there. */
		if (port != addr_port(a))
			fd = connect_once(o, from, port, a, in_progress,
			    is_port_busy);
	}
	return fd;
}

int
sock_connect_with(const struct sock_connect_options *o, const struct addr *a,
    bool *in_progress)
{
	const struct sock_source *from = o->from;
	bool is_port_busy, has_range = from != NULL && from->high != 0;
	int fd;

	*in_progress = false;
	if (has_range && !from->by_kernel)
		fd = try_ports(o, a, in_progress, &is_port_busy);
	else
		fd = connect_once(o, from, 0, a, in_progress, &is_port_busy);
	if (fd < 0 && has_range && is_port_busy && from->falls_back) {
		struct sock_source any = { .addr = from->addr };

		fd = connect_once(o, &any, 0, a, in_progress, &is_port_busy);
	}
	if (fd < 0 && is_port_busy)
		errno = EADDRNOTAVAIL;
	return fd;
}

int
sock_connect(const struct addr *a, bool *in_progress)
{
	static const struct sock_connect_options plain = { .from = NULL };

	return sock_connect_with(&plain, a, in_progress);
}
