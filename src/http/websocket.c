/* SPDX-License-Identifier: BSD-2-Clause */
/* websocket - a random number, and a hash of it. */
#include "http/websocket.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/entropy.h"

enum { RANDOM_BYTES = 16 };

void
websocket_key(char key[WEBSOCKET_KEY_BYTES + 1])
{
	unsigned char random[RANDOM_BYTES];
	int n;

	entropy_fill(random, sizeof(random));
	n = EVP_EncodeBlock((unsigned char *)key, random, sizeof(random));
	assert(n == WEBSOCKET_KEY_BYTES);
}

void
websocket_accept(struct span key, char accept[WEBSOCKET_ACCEPT_BYTES + 1])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char hash[SHA_DIGEST_LENGTH];
	char text[256];
	int n;

	if (key.len > sizeof(text) - sizeof(guid))
		key.len = 0; /* no key is so long */
	if (key.len > 0)
		memcpy(text, key.p, key.len);
	memcpy(text + key.len, guid, sizeof(guid) - 1);
	n = EVP_Digest(text, key.len + sizeof(guid) - 1, hash, NULL,
	    EVP_sha1(), NULL);
	assert(n == 1);
	n = EVP_EncodeBlock((unsigned char *)accept, hash, sizeof(hash));
	assert(n == WEBSOCKET_ACCEPT_BYTES);
}
