/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * manifest - what an instance hands to the next one: records that say what
 * they are, and descriptors.
 *
 * A record has a type, a version, a body and a number of descriptors; its
 * descriptors follow one another in the order of the records.  Two versions of
 * weir understand each other by three rules: a type that one does not know is
 * passed over and its descriptors are closed; a body grows at its end only, so
 * that a reader takes the part that it knows; what changes its meaning gets a
 * new version, which older readers pass over.  Numbers are little-endian.
 *
 *	record = type:16 version:16 body_bytes:32 fd_count:32 body
 */
#ifndef MASTER_MANIFEST_H
#define MASTER_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct error;

enum {
	MANIFEST_RECORD_BYTES = 12, /* in front of a body */
	/* More is not believed. */
	MANIFEST_BYTES_MAX = 64 << 20,
	MANIFEST_FDS_MAX = 256 << 10,
};

struct manifest {
	char *bytes;
	size_t len;
	size_t room;
	int *fds;        /* -1 = taken */
	size_t fd_count;
	size_t fd_room;
	bool owns_fds;   /* close what nobody took */
	size_t record_at;    /* of the one being written */
	size_t record_fd_at;
};

/* owns_fds: for what is received; a giver lends its own. */
void manifest_init(struct manifest *m, bool owns_fds);
void manifest_fini(struct manifest *m);

/* ---- writing: begin, fields, end ---- */

void manifest_begin(struct manifest *m, unsigned type, unsigned version);
void manifest_put_u32(struct manifest *m, uint32_t n);
void manifest_put_u64(struct manifest *m, uint64_t n);
/* With its length in front. */
void manifest_put_span(struct manifest *m, struct span s);
void manifest_put_fd(struct manifest *m, int fd);
void manifest_end(struct manifest *m);

/* ---- reading ---- */

/* As they came: a piece of the bytes, and its descriptors (taken). */
int manifest_append(struct manifest *m, struct span bytes, const int *fds,
    size_t fd_count, struct error *err) __attribute__((warn_unused_result));
/*
 * True of a whole: records fill the bytes and use all descriptors.  Before the
 * first manifest_next().
 */
int manifest_check(const struct manifest *m, struct error *err)
    __attribute__((warn_unused_result));

struct manifest_record {
	unsigned type;    /* 0 before the first */
	unsigned version;
	struct span body;
	int *fds;
	size_t fd_count;
	size_t read;      /* of the body */
	size_t fds_read;
	bool is_short;    /* something was asked for that is not there */
};

/* The record behind *r (zeroed before the first); false at the end. */
bool manifest_next(const struct manifest *m, struct manifest_record *r);
/* 0, empty or -1 where the record has no more, which sets is_short. */
uint32_t manifest_get_u32(struct manifest_record *r);
uint64_t manifest_get_u64(struct manifest_record *r);
struct span manifest_get_span(struct manifest_record *r);
/* The caller owns it then. */
int manifest_take_fd(struct manifest_record *r);
/* True while a field is left: for those that later versions added. */
bool manifest_has_more(const struct manifest_record *r);

#endif
