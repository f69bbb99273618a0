/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a worker asks the signer, and worse: only what is whole, for a key that
 * is there, and of a digest's length is ever signed.
 */
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "signer/keyring.h"
#include "splits.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* With keys named 1 (EC) and 2 (Ed25519). */
static struct keyring *
make(void)
{
	const struct tls_keys_head head = { .magic = TLS_KEYS_MAGIC };
	int vault = memfd_create("vault", MFD_CLOEXEC);
	struct error err;

	CHECK(write(vault, &head, sizeof(head)) == sizeof(head));

	for (unsigned char i = 1; i <= 2; i++) {
		struct tls_keys_record record = { .magic = TLS_KEYS_MAGIC,
			.id = { i } };
		EVP_PKEY *key = i == 1 ? EVP_EC_gen("P-256")
		    : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
		unsigned char *der = NULL;
		int size = i2d_PrivateKey(key, &der);

		CHECK(size > 0);
		record.len = record.room = (uint32_t)size;
		CHECK(write(vault, &record, sizeof(record)) ==
		    sizeof(record));
		CHECK(write(vault, der, (size_t)size) == size);
		OPENSSL_free(der);
		EVP_PKEY_free(key);
	}
	return keyring_new(vault, &err);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct keyring *ring;
	const size_t head = offsetof(struct tls_keys_request, input);
	struct tls_keys_request request;
	struct tls_keys_response response;

	if (ring == NULL)
		ring = make();
	CHECK(ring != NULL);
	if (len > sizeof(request))
		len = sizeof(request);
	memset(&request, 0, sizeof(request));
	memcpy(&request, bytes, len);
	keyring_answer(ring, &request, len, &response);
	CHECK(response.len <= sizeof(response.signature));
	if (response.len == 0)
		return 0;
	CHECK(len == head + request.len);
	CHECK(request.id[0] == 1 || request.id[0] == 2);
	if (request.scheme == TLS_KEYS_EDWARDS)
		CHECK(response.len == 64);
	else
		CHECK(request.len ==
		    (uint32_t)EVP_MD_get_size(EVP_get_digestbynid(
		    request.digest)));
	return 0;
}
