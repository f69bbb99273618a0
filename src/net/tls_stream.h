/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_stream - TLS laid over a conn. */
#ifndef NET_TLS_STREAM_H
#define NET_TLS_STREAM_H

#include <stdbool.h>

#include "base/span.h"
#include "net/conn.h"
#include "net/tls_io.h"

struct tls_client;
struct tls_server;

/* For conn_set_stream(); NULL when memory is out. */
struct conn_stream *tls_stream_accept(struct tls_io *io,
    const struct tls_server *server);
/*
 * Towards the backend of that name (to its sessions).  name: asked for and, with
 * the options that say so, verified; empty = none.
 */
struct conn_stream *tls_stream_connect(struct tls_io *io,
    const struct tls_client *client, struct span backend, struct span name);
/* Offer HTTP/1.1 alone, whatever the context offers; before the handshake. */
void tls_stream_offer_h1(struct conn_stream *stream);
/*
 * False: it was made under terms (trust, certificate of our own) that a file
 * has changed since: not to be used for another request.
 */
bool tls_stream_is_current(const struct conn *c);

#endif
