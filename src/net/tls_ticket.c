/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_ticket - keys of session tickets: making, sharing, finding them. */
#include "net/tls_ticket.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "net/tls_ctx.h"
#include "net/tls_private.h"

enum { READ_TRIES = 64, NAME_BYTES = 16 };

_Static_assert(sizeof(struct tls_ticket_key) == TLS_TICKET_FILE_BYTES,
    "a key file is a key");

/* What tls_ticket_callback() answers (SSL_CTX_set_tlsext_ticket_key_evp_cb). */
enum answer { ANSWER_FAILED = -1, ANSWER_UNKNOWN = 0, ANSWER_USED = 1,
	ANSWER_RENEW = 2 };

void
tls_ticket_read(const struct tls_ticket_zone *zone,
    struct tls_ticket_keys *out)
{
	for (int tries = 0; tries < READ_TRIES; tries++) {
		uint64_t seen = atomic_load_explicit(&zone->published,
		    memory_order_acquire);

		memcpy(out, &zone->copies[seen & 1], sizeof(*out));
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&zone->published,
		    memory_order_relaxed) == seen &&
		    out->count <= TLS_TICKET_KEYS)
			return;
	}
	out->count = 0;
}

uint64_t
tls_ticket_rotate(struct tls_ticket_zone *zone, uint64_t now_s)
{
	struct tls_ticket_keys keys;
	uint64_t turn = atomic_load(&zone->published);
	uint64_t age;

	tls_ticket_read(zone, &keys);
	age = now_s >= keys.made_s ? now_s - keys.made_s : 0;
	if (keys.count > 0 && age < TLS_TICKET_ROTATE_S)
		return TLS_TICKET_ROTATE_S - age;
	memmove(&keys.items[1], &keys.items[0],
	    (TLS_TICKET_KEYS - 1) * sizeof(keys.items[0]));
	if (RAND_bytes((unsigned char *)&keys.items[0],
	    sizeof(keys.items[0])) != 1)
		return 60; /* the old ones go on */
	keys.made_s = now_s;
	if (keys.count < TLS_TICKET_KEYS)
		keys.count++;
	memcpy(&zone->copies[(turn + 1) & 1], &keys, sizeof(keys));
	atomic_store_explicit(&zone->published, turn + 1,
	    memory_order_release);
	OPENSSL_cleanse(&keys, sizeof(keys));
	return TLS_TICKET_ROTATE_S;
}

static int
receive_key(void *arg, struct span content, struct error *err)
{
	const struct tls_ticket_file *file = arg;

	if (content.len != TLS_TICKET_FILE_BYTES)
		return error_set(err, "it has %zu bytes; a key has %d "
		    "(openssl rand 80)", content.len, TLS_TICKET_FILE_BYTES);
	memcpy(file->key, content.p, content.len);
	return 0;
}

int
tls_ticket_load(struct tls_server *s, const struct tls_ctx_about *about,
    struct error *err)
{
	const struct conf_strings *files = &s->conf->ticket_key_files;
	char what[256];

	if (files->count == 0)
		return 0;
	snprintf(what, sizeof(what), "ticket keys of %s", about->name);
	s->ticket_keys = heap_alloc_zeroed(files->count,
	    sizeof(*s->ticket_keys));
	s->ticket_files = heap_alloc_zeroed(files->count,
	    sizeof(*s->ticket_files));
	for (size_t i = 0; i < files->count; i++) {
		const struct files_spec file = {
			.what = what,
			.path = files->items[i],
			.receive = receive_key,
			.arg = &s->ticket_files[i],
		};

		s->ticket_files[i].key = &s->ticket_keys[i];
		s->ticket_key_count++;
		if (files_add(about->files, &file, err) < 0)
			return -1;
	}
	return 0;
}

static int
use_key(const struct tls_ticket_key *key, unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_encrypting)
{
	char digest[] = "SHA256";
	unsigned char secret[sizeof(key->mac)];
	OSSL_PARAM params[3];

	memcpy(secret, key->mac, sizeof(secret));
	params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY,
	    secret, sizeof(secret));
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
	    digest, 0);
	params[2] = OSSL_PARAM_construct_end();
	if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher,
	    iv, is_encrypting) != 1 ||
	    EVP_MAC_CTX_set_params(mac, params) != 1)
		return ANSWER_FAILED;
	return ANSWER_USED;
}

int
tls_ticket_callback(SSL *ssl, unsigned char *name, unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_encrypting)
{
	const struct tls_stream *t = SSL_get_app_data(ssl);
	const struct tls_server *server = t->server;
	const struct tls_ticket_key *items = server->ticket_keys;
	size_t count = server->ticket_key_count;
	struct tls_ticket_keys keys;
	int answer = ANSWER_UNKNOWN;

	if (count == 0 && server->tickets != NULL) {
		tls_ticket_read(server->tickets, &keys);
		items = keys.items;
		count = keys.count;
	}
	if (is_encrypting && count > 0) {
		memcpy(name, items[0].name, NAME_BYTES);
		answer = RAND_bytes(iv, EVP_CIPHER_get_iv_length(
		    EVP_aes_256_cbc())) == 1
		    ? use_key(&items[0], iv, cipher, mac, 1) : ANSWER_FAILED;
	}
	for (size_t i = 0; !is_encrypting && i < count; i++) {
		if (memcmp(name, items[i].name, NAME_BYTES) != 0)
			continue;
		answer = use_key(&items[i], iv, cipher, mac, 0);
		/*
		 * RFC 8446, appendix C.4: clients use a ticket of TLS 1.3 only
		 * once, so without another the connection after next would be
		 * a full handshake.
		 */
		if (answer == ANSWER_USED &&
		    (i > 0 || SSL_version(ssl) == TLS1_3_VERSION))
			answer = ANSWER_RENEW;
		break;
	}
	OPENSSL_cleanse(&keys, sizeof(keys));
	return answer;
}
