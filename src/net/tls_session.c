/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_session - the shared table of sessions with backends. */
#include "net/tls_session.h"

#include <stdbool.h>
#include <string.h>

enum { CLAIM_MS = 2000, READ_TRIES = 4 };

static struct tls_session_place *
place_of(struct tls_session_zone *zone, const unsigned char *key)
{
	uint64_t number;

	memcpy(&number, key, sizeof(number));
	return &zone->places[number % TLS_SESSION_PLACES];
}

size_t
tls_session_get(struct tls_session_zone *zone,
    const unsigned char key[TLS_SESSION_KEY], unsigned char *out)
{
	struct tls_session_place *p = place_of(zone, key);

	for (int tries = 0; tries < READ_TRIES; tries++) {
		uint64_t turn = atomic_load_explicit(&p->turn,
		    memory_order_acquire);
		bool is_ours = memcmp(p->key, key, TLS_SESSION_KEY) == 0;
		size_t len = p->len;

		if ((turn & 1) != 0 || !is_ours || len > TLS_SESSION_BYTES)
			return 0;
		memcpy(out, p->bytes, len);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&p->turn, memory_order_relaxed) ==
		    turn)
			return len;
	}
	return 0;
}

void
tls_session_put(struct tls_session_zone *zone,
    const unsigned char key[TLS_SESSION_KEY], const unsigned char *bytes,
    size_t len, uint64_t now_ms)
{
	struct tls_session_place *p = place_of(zone, key);
	uint64_t turn = atomic_load(&p->turn);
	uint64_t mine = (turn | 1) + ((turn & 1) != 0 ? 2 : 0);

	if (len > TLS_SESSION_BYTES)
		return;
	/* Somebody is at it, unless he died over it. */
	if ((turn & 1) != 0 &&
	    now_ms < atomic_load(&p->claimed_ms) + CLAIM_MS)
		return;
	if (!atomic_compare_exchange_strong(&p->turn, &turn, mine))
		return;
	atomic_store(&p->claimed_ms, now_ms);
	atomic_thread_fence(memory_order_release);
	memcpy(p->key, key, TLS_SESSION_KEY);
	p->len = (uint32_t)len;
	memcpy(p->bytes, bytes, len);
	atomic_store_explicit(&p->turn, mine + 1, memory_order_release);
}
