/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sock_tune - options of TCP sockets, and what they were before.
 *
 * The kernel's own values are those of a socket that nobody has set anything
 * on.  A buffer of a given size is no longer sized by the kernel, until it is
 * told to do so again (Linux 5.14).
 */
#include "os/sock_tune.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_BUF_LOCK
enum { SO_BUF_LOCK = 72 };
#endif

/* Bits of SO_BUF_LOCK: the size was set by hand. */
enum { SEND_LOCK = 1, RECEIVE_LOCK = 2 };

struct row {
	const char *name;
	int level, option;
};

static const struct row rows[SOCK_TUNE_COUNT] = {
	[SOCK_TUNE_FAST_OPEN] = { "fast_open", IPPROTO_TCP, TCP_FASTOPEN },
	[SOCK_TUNE_RECEIVE_BUFFER] = { "receive_buffer", SOL_SOCKET,
	    SO_RCVBUF },
	[SOCK_TUNE_SEND_BUFFER] = { "send_buffer", SOL_SOCKET, SO_SNDBUF },
	[SOCK_TUNE_KEEPALIVE_INTERVAL] = { "keepalive_interval", IPPROTO_TCP,
	    TCP_KEEPINTVL },
	[SOCK_TUNE_KEEPALIVE_COUNT] = { "keepalive_count", IPPROTO_TCP,
	    TCP_KEEPCNT },
	[SOCK_TUNE_USER_TIMEOUT] = { "user_timeout", IPPROTO_TCP,
	    TCP_USER_TIMEOUT },
	[SOCK_TUNE_DSCP] = { "dscp", IPPROTO_IP, IP_TOS },
};

static int
set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

static int
get(int fd, int level, int option)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, option, &value, &len) != 0 ? -1 : value;
}

static bool
is_buffer(enum sock_tune_row row)
{
	return row == SOCK_TUNE_RECEIVE_BUFFER || row == SOCK_TUNE_SEND_BUFFER;
}

/* What the option is on a new socket; -1 with errno. */
static int
find_default(int fd, const struct row *r)
{
	int family = get(fd, SOL_SOCKET, SO_DOMAIN);
	int fresh = family < 0 ? -1 : socket(family,
	    SOCK_STREAM | SOCK_CLOEXEC, 0);
	int value, why;

	if (fresh < 0)
		return -1;
	value = get(fresh, r->level, r->option);
	why = errno;
	close(fresh);
	errno = why;
	return value;
}

/* The kernel keeps, and tells, the double of what is asked for. */
static int
free_buffer(int fd, enum sock_tune_row row, int value)
{
	int lock = row == SOCK_TUNE_SEND_BUFFER ? SEND_LOCK : RECEIVE_LOCK;
	int locks = get(fd, SOL_SOCKET, SO_BUF_LOCK);

	if (locks < 0 || set(fd, rows[row].level, rows[row].option,
	    value / 2) != 0)
		return -1;
	return set(fd, SOL_SOCKET, SO_BUF_LOCK, locks & ~lock);
}

/* A socket for both families has one for each. */
static int
set_dscp(int fd, int value)
{
	int class = value << 2; /* the other bits are ECN's (RFC 3168) */

	if (get(fd, SOL_SOCKET, SO_DOMAIN) == AF_INET6 &&
	    set(fd, IPPROTO_IPV6, IPV6_TCLASS, class) != 0)
		return -1;
	return set(fd, IPPROTO_IP, IP_TOS, class);
}

static int
take_back(int fd, enum sock_tune_row row)
{
	int value = find_default(fd, &rows[row]);

	if (value < 0)
		return -1;
	return is_buffer(row) ? free_buffer(fd, row, value)
	    : set(fd, rows[row].level, rows[row].option, value);
}

const char *
sock_tune_name(enum sock_tune_row row)
{
	return rows[row].name;
}

int
sock_tune_set(int fd, enum sock_tune_row row, uint32_t value)
{
	if (row == SOCK_TUNE_DSCP)
		return set_dscp(fd, (int)value);
	if (value == 0 && row != SOCK_TUNE_FAST_OPEN &&
	    row != SOCK_TUNE_USER_TIMEOUT)
		return take_back(fd, row);
	return set(fd, rows[row].level, rows[row].option, (int)value);
}

int
sock_tune_all(int fd, const struct sock_tune *tune, enum sock_tune_row *row)
{
	for (int i = 0; i < SOCK_TUNE_COUNT; i++) {
		*row = (enum sock_tune_row)i;
		if (tune->values[i] != 0 &&
		    sock_tune_set(fd, *row, tune->values[i]) != 0)
			return -1;
	}
	return 0;
}

bool
sock_tune_is_short(int fd, enum sock_tune_row row, uint32_t value,
    uint32_t *got)
{
	int is;

	if (!is_buffer(row) || value == 0)
		return false;
	is = get(fd, rows[row].level, rows[row].option);
	*got = is < 0 ? 0 : (uint32_t)is / 2;
	return is >= 0 && *got < value;
}
