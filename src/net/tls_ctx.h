/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_ctx - what handshakes are made with: contexts of options and files.
 *
 * Made at load, in the master, which reads all files, and inherited by the
 * workers; there, what comes of a file is replaced when the file has changed
 * (conf/files.h).
 */
#ifndef NET_TLS_CTX_H
#define NET_TLS_CTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "net/tls_conf.h"

struct conf_place;
struct conf_report;
struct files;
struct tls_client;
struct tls_early_zone;
struct tls_keys;
struct tls_server;
struct tls_ticket_zone;

/* What the options of a listener or an upstream do not say. */
struct tls_ctx_about {
	const char *name;           /* of the listener, or the upstream */
	const char *const *alpn;    /* spoken, most wanted first; NULL ends */
	const struct conf_place *place;
	struct conf_report *report; /* gets errors and warnings */
	struct files *files;        /* gets files that may change; or NULL */
	struct tls_keys *keys;      /* who gets private keys; NULL = all */
	/* Only a test: what this user may not read is a warning. */
	bool is_test;
};

/* NULL: reported.  Borrows conf. */
struct tls_server *tls_ctx_server_new(const struct tls_server_conf *conf,
    const struct tls_ctx_about *about);
void tls_ctx_server_free(struct tls_server *s);
/* Tickets are encrypted with the keys in zone from now on. */
void tls_ctx_set_tickets(struct tls_server *s,
    const struct tls_ticket_zone *zone);
/* Does it take early data?  Then it needs a zone, before it does. */
bool tls_ctx_wants_early(const struct tls_server *s);
/* Are its tickets understood by others, or after a restart? */
bool tls_ctx_shares_tickets(const struct tls_server *s);
void tls_ctx_set_early(struct tls_server *s, struct tls_early_zone *zone);
uint64_t tls_ctx_handshake_ms(const struct tls_server *s);

struct tls_client *tls_ctx_client_new(const struct tls_client_conf *conf,
    const struct tls_ctx_about *about);
void tls_ctx_client_free(struct tls_client *c);

#endif
