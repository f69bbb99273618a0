/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sock_tune - options of TCP sockets that the kernel has values of its own for.
 *
 * Set on a socket that listens, all but the first are those of what it accepts.
 */
#ifndef OS_SOCK_TUNE_H
#define OS_SOCK_TUNE_H

#include <stdbool.h>
#include <stdint.h>

/* Numbers are told to other versions of weir: new ones go to the end. */
enum sock_tune_row {
	SOCK_TUNE_FAST_OPEN,          /* data in a SYN: how many may wait */
	SOCK_TUNE_RECEIVE_BUFFER,     /* bytes */
	SOCK_TUNE_SEND_BUFFER,        /* bytes */
	SOCK_TUNE_KEEPALIVE_INTERVAL, /* seconds between probes */
	SOCK_TUNE_KEEPALIVE_COUNT,    /* probes without an answer */
	SOCK_TUNE_USER_TIMEOUT,       /* ms of data without an answer */
	SOCK_TUNE_DSCP,               /* of packets (RFC 2474), 0 to 63 */
	SOCK_TUNE_COUNT,
};

struct sock_tune {
	uint32_t values[SOCK_TUNE_COUNT]; /* 0 = as the kernel has it */
};

/* The option's name, as in weir.conf. */
const char *sock_tune_name(enum sock_tune_row row);
/*
 * Set one of them, 0 as the kernel has it for new sockets.  -1 with errno:
 * ENOPROTOOPT where it cannot be taken back.
 */
int sock_tune_set(int fd, enum sock_tune_row row, uint32_t value)
    __attribute__((warn_unused_result));
/* Set on a new socket what is not 0.  -1 with errno, *row is the one. */
int sock_tune_all(int fd, const struct sock_tune *tune,
    enum sock_tune_row *row) __attribute__((warn_unused_result));
/*
 * True if the kernel gave less than was asked for: a buffer beyond its limit.
 * *got is what it is then.
 */
bool sock_tune_is_short(int fd, enum sock_tune_row row, uint32_t value,
    uint32_t *got);

#endif
