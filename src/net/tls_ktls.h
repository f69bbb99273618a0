/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_ktls - TLS records made by the kernel (kTLS).
 *
 * What is sent alone: OpenSSL shakes hands, gives the keys of its sending
 * direction to the kernel, and goes on reading.  Where the kernel does not have
 * it, or not the cipher, OpenSSL makes the records, as without kTLS.
 */
#ifndef NET_TLS_KTLS_H
#define NET_TLS_KTLS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "metrics/counter.h"

struct tls_io;

/* Is the protocol "tls" there for sockets?  Loads its module where it may. */
bool tls_ktls_in_kernel(void);
/*
 * At load: have the kernel make ready what it encrypts with, modules of its
 * own, for which else the first connections of a worker would have to wait.
 * False: it does not have it.
 */
bool tls_ktls_prepare(void);
/* Was OpenSSL built for it, and were we? */
bool tls_ktls_in_library(void);
/* "not usable (kernel: no, OpenSSL: yes)" */
const char *tls_ktls_text(void);

/* Rows of tls_ktls_metrics. */
enum {
	TLS_KTLS_STARTED,
	TLS_KTLS_REFUSED,
	TLS_KTLS_REKEYED,
	TLS_KTLS_ROWS
};

extern const struct metric_set tls_ktls_metrics;
/* Count in a block of tls_ktls_metrics. */
void tls_ktls_count(struct tls_io *io, _Atomic uint64_t *stats);

#endif
