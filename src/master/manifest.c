/* SPDX-License-Identifier: BSD-2-Clause */
/* manifest - records in a row, and their descriptors in another. */
#include "master/manifest.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"

void
manifest_init(struct manifest *m, bool owns_fds)
{
	*m = (struct manifest){ .owns_fds = owns_fds };
}

void
manifest_fini(struct manifest *m)
{
	for (size_t i = 0; i < m->fd_count && m->owns_fds; i++) {
		if (m->fds[i] >= 0)
			close(m->fds[i]);
	}
	free(m->bytes);
	free(m->fds);
	manifest_init(m, m->owns_fds);
}

/* ---- writing ---- */

static char *
make_room(struct manifest *m, size_t len)
{
	char *at;

	while (m->room - m->len < len) {
		m->room = m->room > 0 ? m->room * 2 : 4096;
		m->bytes = heap_alloc_grow(m->bytes, m->room, 1);
	}
	at = m->bytes + m->len;
	m->len += len;
	return at;
}

static void
store(char *at, uint64_t n, size_t len)
{
	for (size_t i = 0; i < len; i++)
		at[i] = (char)(n >> 8 * i);
}

static uint64_t
load(const char *at, size_t len)
{
	uint64_t n = 0;

	for (size_t i = 0; i < len; i++)
		n |= (uint64_t)(unsigned char)at[i] << 8 * i;
	return n;
}

void
manifest_begin(struct manifest *m, unsigned type, unsigned version)
{
	char *head;

	m->record_at = m->len;
	m->record_fd_at = m->fd_count;
	head = make_room(m, MANIFEST_RECORD_BYTES);
	store(head, type, 2);
	store(head + 2, version, 2);
}

void
manifest_put_u32(struct manifest *m, uint32_t n)
{
	store(make_room(m, 4), n, 4);
}

void
manifest_put_u64(struct manifest *m, uint64_t n)
{
	store(make_room(m, 8), n, 8);
}

void
manifest_put_span(struct manifest *m, struct span s)
{
	manifest_put_u32(m, (uint32_t)s.len);
	if (s.len > 0)
		memcpy(make_room(m, s.len), s.p, s.len);
}

void
manifest_put_fd(struct manifest *m, int fd)
{
	assert(fd >= 0);
	if (m->fd_count == m->fd_room) {
		m->fd_room = m->fd_room > 0 ? m->fd_room * 2 : 64;
		m->fds = heap_alloc_grow(m->fds, m->fd_room, sizeof(*m->fds));
	}
	m->fds[m->fd_count++] = fd;
}

void
manifest_end(struct manifest *m)
{
	char *head = m->bytes + m->record_at;

	store(head + 4, m->len - m->record_at - MANIFEST_RECORD_BYTES, 4);
	store(head + 8, m->fd_count - m->record_fd_at, 4);
}

/* ---- reading ---- */

int
manifest_append(struct manifest *m, struct span bytes, const int *fds,
    size_t fd_count, struct error *err)
{
	if (bytes.len > MANIFEST_BYTES_MAX - m->len ||
	    fd_count > MANIFEST_FDS_MAX - m->fd_count) {
		for (size_t i = 0; i < fd_count; i++)
			close(fds[i]);
		return error_set(err, "the manifest is too large");
	}
	if (bytes.len > 0)
		memcpy(make_room(m, bytes.len), bytes.p, bytes.len);
	for (size_t i = 0; i < fd_count; i++)
		manifest_put_fd(m, fds[i]);
	return 0;
}

int
manifest_check(const struct manifest *m, struct error *err)
{
	size_t at = 0, fds = 0;

	while (at < m->len) {
		size_t left = m->len - at;
		size_t body, fd_count;

		if (left < MANIFEST_RECORD_BYTES)
			return error_set(err, "the manifest ends inside of a "
			    "record");
		body = (size_t)load(m->bytes + at + 4, 4);
		fd_count = (size_t)load(m->bytes + at + 8, 4);
		if (body > left - MANIFEST_RECORD_BYTES)
			return error_set(err, "the manifest ends inside of a "
			    "record");
		if (fd_count > m->fd_count - fds)
			return error_set(err, "the manifest names more "
			    "descriptors than came");
		at += MANIFEST_RECORD_BYTES + body;
		fds += fd_count;
	}
	if (fds < m->fd_count)
		return error_set(err, "more descriptors came than the "
		    "manifest names");
	return 0;
}

bool
manifest_next(const struct manifest *m, struct manifest_record *r)
{
	const char *at = r->body.p != NULL ? r->body.p + r->body.len
					    : m->bytes;
	int *fds = r->body.p != NULL ? r->fds : m->fds;

	if (at == NULL || at == m->bytes + m->len)
		return false;
	if (r->fd_count > 0)
		fds += r->fd_count;
	*r = (struct manifest_record){
		.type = (unsigned)load(at, 2),
		.version = (unsigned)load(at + 2, 2),
		.body = span_of(at + MANIFEST_RECORD_BYTES,
		    (size_t)load(at + 4, 4)),
		.fds = fds,
		.fd_count = (size_t)load(at + 8, 4),
	};
	return true;
}

static const char *
take(struct manifest_record *r, size_t len)
{
	const char *at = r->body.p + r->read;

	if (len > r->body.len - r->read) {
		r->is_short = true;
		r->read = r->body.len;
		return NULL;
	}
	r->read += len;
	return at;
}

uint32_t
manifest_get_u32(struct manifest_record *r)
{
	const char *at = take(r, 4);

	return at != NULL ? (uint32_t)load(at, 4) : 0;
}

uint64_t
manifest_get_u64(struct manifest_record *r)
{
	const char *at = take(r, 8);

	return at != NULL ? load(at, 8) : 0;
}

struct span
manifest_get_span(struct manifest_record *r)
{
	size_t len = manifest_get_u32(r);
	const char *at = take(r, len);

	return at != NULL ? span_of(at, len) : span_of("", 0);
}

int
manifest_take_fd(struct manifest_record *r)
{
	int fd;

	if (r->fds_read == r->fd_count) {
		r->is_short = true;
		return -1;
	}
	fd = r->fds[r->fds_read];
	r->fds[r->fds_read++] = -1;
	return fd;
}

bool
manifest_has_more(const struct manifest_record *r)
{
	return r->read < r->body.len;
}
