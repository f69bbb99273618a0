/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_provider - what handshakes have from us rather than from OpenSSL. */
#ifndef NET_TLS_PROVIDER_H
#define NET_TLS_PROVIDER_H

#define TLS_PROVIDER_NAME "weir-tls"
/* A name that is not OpenSSL's has a dot (property(7)). */
#define TLS_PROVIDER_PROPERTY "weir.tls"
/* Of each of its functions. */
#define TLS_PROVIDER_DEFINITION                                              \
	"provider=" TLS_PROVIDER_NAME "," TLS_PROVIDER_PROPERTY "=yes"

/*
 * Load the provider into OpenSSL's default library context, once a process.
 * The query by which a context prefers it (SSL_CTX_new_ex()); NULL if it cannot
 * be had, or if it must not because OpenSSL is configured to have hashes or
 * secrets from another than its default provider: what it has then does it.
 */
const char *tls_provider_properties(void);

#endif
