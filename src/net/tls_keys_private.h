/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_keys_private - the files of tls_keys among themselves, with OpenSSL. */
#ifndef NET_TLS_KEYS_PRIVATE_H
#define NET_TLS_KEYS_PRIVATE_H

#include <openssl/evp.h>
#include <openssl/provider.h>
#include <sys/types.h>

#include "net/tls_keys.h"
#include "net/tls_private.h"

struct tls_keys_client;

struct tls_keys_retired {
	unsigned char id[TLS_KEYS_ID];
	uint64_t since_ms;
};

struct tls_keys_free {
	uint64_t at; /* of the record in the vault */
	uint32_t room;
};

struct tls_keys {
	int vault_fd;
	int desk[2];      /* the others' end, the signer's */
	size_t count;
	struct tls_keys_retired *retired;
	size_t retired_count;
	struct tls_keys_free *frees;
	size_t free_count;
	/* The key that is read next may be this one's; NULL: no. */
	const struct tls_pair *former;
	/* The process that reads files, while it lives. */
	pid_t reader;
	int reader_fd;
	/* OpenSSL's; only keys are made in it. */
	OSSL_LIB_CTX *library;
	OSSL_PROVIDER *provider;
	struct tls_keys_client *client; /* of this process; or NULL */
};

/* ---- tls_keys_reader ---- */

enum { TLS_KEYS_CHALLENGE = 32, TLS_KEYS_COMMAND_MAX = 3072 };

/* To the reader, with the key's file and perhaps the passphrase's. */
struct tls_keys_errand {
	unsigned char id[TLS_KEYS_ID];
	unsigned char challenge[TLS_KEYS_CHALLENGE];
	uint32_t is_known; /* the vault has it: only to be proven */
	uint64_t free_at;  /* of a record that is free; 0 = none */
	char passphrase_command[TLS_KEYS_COMMAND_MAX];
};

struct tls_keys_proof {
	uint32_t is_good;
	uint32_t len;
	uint32_t has_used_free;
	unsigned char signature[TLS_KEYS_SIGNATURE_MAX];
	char why[512];
};

/* Of an empty vault. */
int tls_keys_vault_begin(int vault_fd);
/* A record has become another. */
int tls_keys_vault_note(int vault_fd);

/* A process's whole life; does errands until fd ends. */
void tls_keys_reader_main(int fd, int vault_fd)
    __attribute__((noreturn));

/* ---- tls_keys_provider ---- */

/* -1 and err: OpenSSL cannot. */
int tls_keys_provider_load(struct tls_keys *k, struct error *err);
/*
 * A key that signs by asking: the public half of a certificate, and the name
 * of the other half.  NULL on failure, in OpenSSL's queue.
 */
EVP_PKEY *tls_keys_provider_key(struct tls_keys *k, EVP_PKEY *half,
    const unsigned char id[TLS_KEYS_ID]);

/* ---- tls_keys_client ---- */

/*
 * Suspends the handshake that is on its turn until the answer is there.  0, or
 * -1; the reason then is the stream's.
 */
int tls_keys_client_sign(struct tls_keys *k,
    const struct tls_keys_request *request, unsigned char *signature,
    size_t *len, size_t size);

#endif
