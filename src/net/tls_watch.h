/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_watch - certificates that are replaced while weir serves.
 *
 * The master looks at the files from time to time.  A pair that has changed is
 * read and checked once it has rested between two looks; if it is good, the
 * master takes it over for the processes that it will fork, and gives it to
 * the living ones as a sealed memfd, for they may not read the files.  If it is
 * not, the old one stays, and one line says why.
 */
#ifndef NET_TLS_WATCH_H
#define NET_TLS_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct tls_server;

size_t tls_watch_count(const struct tls_server *s);
/*
 * In the master: replace pair i if its files have changed, which makes a new
 * version of it.  Logs what it finds.
 */
void tls_watch_look(struct tls_server *s, size_t i);
/* 0: as it was loaded. */
uint32_t tls_watch_version(const struct tls_server *s, size_t i);
/* What processes need of it, sealed; the caller's.  -1 and err. */
int tls_watch_open(const struct tls_server *s, size_t i, struct error *err);
/*
 * In a process: replace pair i, unless it has that version.  fd stays the
 * caller's.  -1 and err: the old one stays.
 */
int tls_watch_take(struct tls_server *s, size_t i, uint32_t version, int fd,
    struct error *err) __attribute__((warn_unused_result));

/* For those who want to know; valid until the pair is replaced. */
struct tls_watch_info {
	const char *cert;  /* path */
	const char *name;  /* the first of its names, or "" */
	size_t name_count;
	const char *kind;  /* of key: "RSA", "ECDSA" … */
	int64_t not_after_s;
};

void tls_watch_describe(const struct tls_server *s, size_t i,
    struct tls_watch_info *info);

#endif
