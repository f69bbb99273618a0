/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_ticket - the keys that session tickets are encrypted with.
 *
 * Made and changed by the master alone, in shared memory, so that what one
 * worker gave out the next one, the next generation and the next master
 * understand.  The newest key encrypts; those before it still decrypt.  Keys
 * are published in two copies of which a counter names the valid one: readers
 * take no lock, and a writer may die at any instruction.
 *
 * Where several machines answer for one name, ticket_key_files gives all of
 * them the same keys instead.
 */
#ifndef NET_TLS_TICKET_H
#define NET_TLS_TICKET_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct conf_strings;
struct error;

enum {
	TLS_TICKET_LAYOUT = 1,      /* version of the zone */
	TLS_TICKET_KEYS = 3,
	TLS_TICKET_LIFE_S = 86400,  /* of a ticket */
	TLS_TICKET_ROTATE_S = 43200, /* a new key; the last one of three has
				     * gone when its tickets have expired */
	TLS_TICKET_FILE_BYTES = 80,
};

struct tls_ticket_key {
	unsigned char name[16];
	unsigned char cipher[32]; /* AES-256-CBC */
	unsigned char mac[32];    /* HMAC-SHA256 */
};

struct tls_ticket_keys {
	uint64_t made_s; /* of the newest, since 1970 */
	uint32_t count;
	uint32_t unused;
	struct tls_ticket_key items[TLS_TICKET_KEYS]; /* newest first */
};

/* The zone "tls.tickets"; all zero is empty. */
struct tls_ticket_zone {
	_Atomic uint64_t published; /* copies[published & 1] is valid */
	struct tls_ticket_keys copies[2];
};

/*
 * In the master: make a first key, or the next one when it is time.  Returns
 * seconds until it wants to be called again.
 */
uint64_t tls_ticket_rotate(struct tls_ticket_zone *zone, uint64_t now_s);
/* A consistent copy; count is 0 while there are none. */
void tls_ticket_read(const struct tls_ticket_zone *zone,
    struct tls_ticket_keys *out);

#endif
