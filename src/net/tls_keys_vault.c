/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_keys_vault - room in the vault: keys that nobody needs any more.
 *
 * Runs in the master, which reads the heads of records and writes zeros, but
 * sees no key.  A signer that reads meanwhile finds a record that is free, or
 * one that makes no key, which it passes over.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/heap_alloc.h"
#include "net/tls_keys_private.h"

int
tls_keys_vault_begin(int vault_fd)
{
	const struct tls_keys_head head = { .magic = TLS_KEYS_MAGIC };

	return pwrite(vault_fd, &head, sizeof(head), 0) == sizeof(head) ? 0
	    : -1;
}

int
tls_keys_vault_note(int vault_fd)
{
	struct tls_keys_head head;

	if (pread(vault_fd, &head, sizeof(head), 0) != sizeof(head))
		return -1;
	head.changes++;
	return pwrite(vault_fd, &head, sizeof(head), 0) == sizeof(head) ? 0
	    : -1;
}

void
tls_keys_vault_retire(struct tls_keys *k, const unsigned char *id,
    uint64_t now_ms)
{
	struct tls_keys_retired *r;

	k->retired = heap_alloc_grow(k->retired, k->retired_count + 1,
	    sizeof(*k->retired));
	r = &k->retired[k->retired_count++];
	memcpy(r->id, id, sizeof(r->id));
	r->since_ms = now_ms;
}

void
tls_keys_vault_hold(struct tls_keys *k, uint64_t now_ms)
{
	for (size_t i = 0; i < k->retired_count; i++)
		k->retired[i].since_ms = now_ms;
}

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, TLS_KEYS_ID);
}

/* The id first: who finds it sees the whole key, or nothing. */
static int
wipe(struct tls_keys *k, uint64_t at, struct tls_keys_record record)
{
	static const char zeros[4096];
	uint32_t left = record.room;
	off_t to = (off_t)(at + sizeof(record));

	memset(record.id, 0, sizeof(record.id));
	if (pwrite(k->vault_fd, &record, sizeof(record), (off_t)at) !=
	    sizeof(record))
		return -1;
	while (left > 0) {
		uint32_t n = left < sizeof(zeros) ? left : sizeof(zeros);

		if (pwrite(k->vault_fd, zeros, n, to) != (ssize_t)n)
			return -1;
		to += n;
		left -= n;
	}
	return 0;
}

static void
add_free(struct tls_keys *k, uint64_t at, uint32_t room)
{
	k->frees = heap_alloc_grow(k->frees, k->free_count + 1,
	    sizeof(*k->frees));
	k->frees[k->free_count++] = (struct tls_keys_free){ at, room };
}

/* ids: sorted. */
static void
free_records(struct tls_keys *k, const struct tls_keys_retired *due,
    size_t due_count)
{
	struct tls_keys_record record;
	uint64_t at = sizeof(struct tls_keys_head);

	while (pread(k->vault_fd, &record, sizeof(record), (off_t)at) ==
	    sizeof(record) && record.magic == TLS_KEYS_MAGIC) {
		if (bsearch(record.id, due, due_count, sizeof(*due),
		    compare) != NULL && wipe(k, at, record) == 0) {
			add_free(k, at, record.room);
			k->count--;
		}
		at += sizeof(record) + record.room;
	}
	(void)tls_keys_vault_note(k->vault_fd);
}

bool
tls_keys_vault_release(struct tls_keys *k, uint64_t now_ms)
{
	size_t due_count = 0, left = 0;
	struct tls_keys_retired *due;

	/* The oldest come first. */
	while (due_count < k->retired_count && now_ms >=
	    k->retired[due_count].since_ms + TLS_KEYS_RETIRED_MS)
		due_count++;
	if (due_count == 0)
		return false;
	due = heap_alloc_zeroed(due_count, sizeof(*due));
	memcpy(due, k->retired, due_count * sizeof(*due));
	left = k->retired_count - due_count;
	memmove(k->retired, k->retired + due_count,
	    left * sizeof(*k->retired));
	k->retired_count = left;
	qsort(due, due_count, sizeof(*due), compare);
	free_records(k, due, due_count);
	free(due);
	return true;
}
