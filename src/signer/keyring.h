/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keyring - the private keys of a generation, and what is done with them.
 *
 * Keys come from the vault (net/tls_keys.h), by random names.  One that is not
 * known may have been put there since it was read last: what is new is read
 * then, so that a certificate which has reached a worker never comes before its
 * key.
 */
#ifndef SIGNER_KEYRING_H
#define SIGNER_KEYRING_H

#include <stddef.h>

#include "net/tls_keys.h"

struct error;
struct keyring;

/* Reads all that is there.  fd is borrowed.  NULL and err on failure. */
struct keyring *keyring_new(int vault_fd, struct error *err);
void keyring_free(struct keyring *r);
size_t keyring_count(const struct keyring *r);
/* Take what is new, and forget what the vault has not any more.  -1: broken. */
int keyring_refresh(struct keyring *r);
/*
 * Answer a request of len bytes, which may be anything: response->len is 0 if
 * there is no such key, or if it does not do that.
 */
void keyring_answer(struct keyring *r, const struct tls_keys_request *request,
    size_t len, struct tls_keys_response *response);

#endif
