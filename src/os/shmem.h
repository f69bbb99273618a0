/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shmem - named segments of shared memory: memfds made by the master, mapped
 * before the fork, handed on in an upgrade.
 *
 * Each begins with a header of name, layout version and size, which a
 * successor checks before it believes the rest; an unknown version is started
 * empty.
 */
#ifndef OS_SHMEM_H
#define OS_SHMEM_H

#include <stddef.h>
#include <stdint.h>

struct error;

enum { SHMEM_NAME_MAX = 48 };

struct shmem {
	char name[SHMEM_NAME_MAX];
	uint32_t version;
	int fd;
	size_t size;    /* of the whole mapping, a multiple of the page */
	void *data;     /* behind the header, 64-byte aligned */
	size_t data_bytes;
};

/* A new one, zero-filled.  -1 and err on failure. */
int shmem_create(struct shmem *m, const char *name, uint32_t version,
    size_t data_bytes, struct error *err);
/*
 * Map one that was handed over; takes fd also on failure.  Checks seals, size
 * and header; -1 and err if anything differs from what is expected.
 */
int shmem_adopt(struct shmem *m, int fd, const char *name, uint32_t version,
    size_t data_bytes, struct error *err);
void shmem_close(struct shmem *m);

#endif
