/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_io - what the TLS connections of a process share.
 *
 * OpenSSL reads from what one receive brought and writes into one buffer that
 * one send takes; both buffers are the process's, so that a connection has none
 * of its own between two events.
 */
#ifndef NET_TLS_IO_H
#define NET_TLS_IO_H

#include <stdatomic.h>
#include <stdint.h>

struct loop;
struct tls_io;
struct tls_session_zone;

/*
 * After the fork; aborts when memory is out.  sessions: of backends, or NULL.
 * keys_stats: a block of tls_keys_client_metrics, or NULL.  All borrowed.
 */
struct tls_io *tls_io_new(struct loop *loop,
    struct tls_session_zone *sessions, _Atomic uint64_t *keys_stats);
void tls_io_free(struct tls_io *io);

#endif
