/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client_h2 - an HTTP/2 connection of a client: many exchanges at once, each
 * on a stream of its own.
 */
#ifndef PROXY_CLIENT_H2_H
#define PROXY_CLIENT_H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "os/addr.h"

struct conn;
struct listener_spec;
struct proxy;
struct proxy_cut;

/* How bytes compare to what each HTTP/2 client begins with. */
enum client_h2_preface {
	CLIENT_H2_NOT,   /* it is something else */
	CLIENT_H2_MAYBE, /* so far: more bytes will tell */
	CLIENT_H2_IS,
};

enum client_h2_preface client_h2_preface(struct span bytes);

/*
 * Take over the connection: id is the number it was given when it was
 * accepted, bytes what was received of it so far.  It counts as one of the
 * proxy's client connections already.
 */
void client_h2_take(struct proxy *proxy, struct conn *from,
    const struct listener_spec *spec, const struct addr_ip *peer, uint64_t id,
    struct span bytes);
/* Of one connection and of one stream, for the slabs. */
size_t client_h2_bytes(void);
size_t client_h2_stream_bytes(void);
/* Frees the memory of those that ended: at the end of the turn. */
void client_h2_bury(struct proxy *proxy);
/* A drain begins: streams finish, new ones are to go elsewhere. */
void client_h2_drain(struct proxy *proxy);
/* At the end of a drain: cut all, and count what was there. */
void client_h2_cut_all(struct proxy *proxy, struct proxy_cut *cut);
/* As client_conn_cut_tunnels(): other streams of their connections go on. */
unsigned client_h2_cut_tunnels(struct proxy *proxy, uint64_t drained_ms);

#endif
