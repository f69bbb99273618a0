/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grpc - what gRPC asks of a proxy: its deadline is kept, and errors are told
 * in its words.  All else of it is HTTP/2 with trailers.
 */
#ifndef PROXY_GRPC_H
#define PROXY_GRPC_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/exchange.h"

/* Is this a call of gRPC, by its Content-Type? */
bool grpc_is_call(const struct exchange *ex);
/*
 * The shorter of total_ms (0 = none) and what grpc-timeout says; a value that
 * is none is ignored.
 */
uint64_t grpc_total_ms(const struct exchange *ex, uint64_t total_ms);
/* The value of a grpc-timeout in milliseconds, 0 if it is none. */
uint64_t grpc_parse_timeout(struct span value);
/*
 * Answer of weir's own with this status: to a call it becomes what the call
 * understands, 200 with grpc-status and nothing else.
 */
void grpc_dress(struct exchange *ex, unsigned status);

#endif
