/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_conf - the options of TLS, towards clients and towards backends.
 *
 * Paths that are not absolute count from the folder of the configuration file
 * that names them.
 */
#ifndef NET_TLS_CONF_H
#define NET_TLS_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/item.h"

enum tls_profile { TLS_PROFILE_MODERN, TLS_PROFILE_INTERMEDIATE,
	TLS_PROFILE_OLD };

enum tls_verify_mode { TLS_VERIFY_OFF, TLS_VERIFY_OPTIONAL,
	TLS_VERIFY_REQUIRE };

/* What may be negotiated; what is unset follows the profile. */
struct tls_policy {
	uint32_t profile;       /* enum tls_profile */
	uint32_t min_version;   /* TLS1_2_VERSION and its like; 0 = unset */
	uint32_t max_version;
	const char *ciphers;    /* up to TLS 1.2, OpenSSL's names */
	const char *suites;     /* of TLS 1.3 */
	const char *groups;
	const char *signature_algorithms;
	uint32_t prefer_server; /* 0 = unset, 1 = true, 2 = false */
};

/* A certificate with its chain, and the key. */
struct tls_pair_conf {
	const char *cert;
	const char *key;
	const char *passphrase_file;
	const char *passphrase_command;
	const char *ocsp_file;      /* DER; stapled */
	bool ocsp_fetch;            /* from a responder */
	const char *ocsp_responder; /* NULL: as the certificate says */
	struct conf_strings names;  /* empty: those of the certificate */
};

/* tls = { … } of a listen group. */
struct tls_server_conf {
	struct tls_pair_conf pair;     /* the short form; cert may be NULL */
	struct conf_list certificates; /* struct tls_pair_conf */
	struct tls_policy policy;
	uint64_t handshake_timeout_ms;
	uint32_t verify;               /* enum tls_verify_mode */
	const char *ca_file;
	const char *crl_file;
	uint32_t verify_depth;
	bool tickets;
	bool early_data;
	bool ktls;
	struct conf_strings ticket_key_files;
	bool watch;
};

/* tls = { … } of an upstream. */
struct tls_client_conf {
	const struct template *sni;  /* NULL: the backend's name */
	bool verify;
	bool verify_hostname;
	bool use_system_certs;
	const char *ca_file;
	const char *crl_file;
	const char *alternative_cn;
	uint32_t verify_depth;
	const char *cert;
	const char *key;
	const char *passphrase_file;
	const char *passphrase_command;
	struct tls_policy policy;
	struct conf_strings alpn;
	bool resume;
	bool ktls;
};

extern const struct conf_table tls_conf_server_table;
extern const struct conf_table tls_conf_client_table;

#endif
