/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_ktls - can the kernel encrypt (kTLS) here?
 *
 * Only asked and told: records go through OpenSSL and gathered buffers
 * (tls_stream), which kTLS would replace by a socket of OpenSSL's own.
 */
#ifndef NET_TLS_KTLS_H
#define NET_TLS_KTLS_H

#include <stdbool.h>

/* Is the protocol "tls" there for sockets?  Loads its module where it may. */
bool tls_ktls_in_kernel(void);
/* Was OpenSSL built for it? */
bool tls_ktls_in_library(void);
/* "not used (kernel: no, OpenSSL: yes)" */
const char *tls_ktls_text(void);

#endif
