/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_staple - OCSP responses that are fetched: for whom, from where, and
 * whether one is good.
 *
 * Pairs are those of a listener, by number, as in tls_watch.h.
 */
#ifndef NET_TLS_STAPLE_H
#define NET_TLS_STAPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct error;
struct tls_server;

enum {
	TLS_STAPLE_MAX = 65536, /* bytes of a response */
	TLS_STAPLE_HOST_MAX = 256,
	TLS_STAPLE_PATH_MAX = 1024,
};

/* Where to ask. */
struct tls_staple_target {
	char host[TLS_STAPLE_HOST_MAX];
	uint16_t port;
	char path[TLS_STAPLE_PATH_MAX];
};

/* Is it to be fetched for this pair? */
bool tls_staple_is_wanted(const struct tls_server *s, size_t i);
/* -1 and err: the certificate and the options name no responder. */
int tls_staple_target(const struct tls_server *s, size_t i,
    struct tls_staple_target *out, struct error *err);
/* The question, DER on the heap; -1 and err. */
int tls_staple_request(const struct tls_server *s, size_t i, char **der,
    size_t *len, struct error *err);
/*
 * Is this a good answer to it: for this certificate, signed by its issuer or
 * in its name, not revoked, fresh?  Until when?  -1 and err if not.
 */
int tls_staple_check(const struct tls_server *s, size_t i, struct span der,
    int64_t *until_s, struct error *err) __attribute__((warn_unused_result));
/* As arg of files_spec (conf/files.h): who takes it in every process. */
const void *tls_staple_owner(const struct tls_server *s, size_t i);
/* From when until when the one that is given to clients holds; 0: none is. */
void tls_staple_times(const struct tls_server *s, size_t i, int64_t *from_s,
    int64_t *until_s);

#endif
