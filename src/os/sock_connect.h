/* SPDX-License-Identifier: BSD-2-Clause */
/* sock_connect - sockets that connect: to where, from where, and how tuned. */
#ifndef OS_SOCK_CONNECT_H
#define OS_SOCK_CONNECT_H

#include <stdbool.h>
#include <stdint.h>

#include "os/addr.h"

struct sock_tune;

/* An address of this host, and which of its ports. */
struct sock_source {
	struct addr addr;   /* port 0 */
	uint16_t low, high; /* both 0: the kernel's choice */
	bool by_kernel;     /* sock_connect_is_kernels() of the range */
	bool falls_back;    /* no port is free: one of the kernel's choice */
};

/* Zero: nothing special. */
struct sock_connect_options {
	const struct sock_source *from; /* NULL: the kernel chooses */
	const struct sock_tune *tune;   /* of TCP; NULL = none */
	unsigned keepalive_s;           /* probe idle connections; 0 = off */
	bool fast_open;                 /* RFC 7413: data in the SYN */
};

/*
 * A connect begun: the descriptor; *in_progress when it is not yet complete.
 * -1 with errno on failure: EADDRNOTAVAIL where `from` is no address of this
 * host, or has no port left.
 */
int sock_connect(const struct addr *a, bool *in_progress);
int sock_connect_with(const struct sock_connect_options *o,
    const struct addr *a, bool *in_progress);
/*
 * Does the kernel keep to these ports by itself (IP_LOCAL_PORT_RANGE, Linux
 * 6.3)?  Only within net.ipv4.ip_local_port_range, as it is now.  Opens a file:
 * for the load, not for a sandbox.
 */
bool sock_connect_is_kernels(uint16_t low, uint16_t high);

#endif
