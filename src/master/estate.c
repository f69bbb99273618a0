/* SPDX-License-Identifier: BSD-2-Clause */
/* estate - between structs and records. */
#include "master/estate.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "master/manifest.h"

enum {
	/* Of every type of today. */
	RECORD_VERSION = 1,
	LISTENER_REUSEPORT = 1,
	LISTENER_IPV6_ONLY = 2,
	LISTENER_ADMIN = 4,
	LISTENER_DEFER = 8,
	LISTENER_STEERED = 16,
	LISTENER_OWNER = 32,
	LISTENER_GIVEN = 64,
};

void
estate_init(struct estate *e)
{
	*e = (struct estate){ .kick_fd = -1, .pid_fd = -1, .orphans_fd = -1,
		.control_fd = -1, .init_fd = -1 };
}

static void
close_fds(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
}

static void
close_rest(const struct estate *e)
{
	for (size_t i = 0; i < e->listener_count; i++)
		close_fds(e->listeners[i].fds, e->listeners[i].fd_count);
	for (size_t i = 0; i < e->zone_count; i++)
		close_fds(&e->zones[i].fd, 1);
	for (size_t i = 0; i < e->log_count; i++)
		close_fds(&e->logs[i].fd, 1);
	close_fds(e->lanes, e->lane_fd_count);
	close_fds(e->rings, e->ring_count);
	close_fds(&e->kick_fd, 1);
	close_fds(&e->pid_fd, 1);
	close_fds(&e->orphans_fd, 1);
	close_fds(&e->control_fd, 1);
	close_fds(&e->init_fd, 1);
}

void
estate_fini(struct estate *e, bool is_taker)
{
	if (is_taker)
		close_rest(e);
	for (size_t i = 0; i < e->listener_count; i++)
		free(e->listeners[i].fds);
	for (size_t i = 0; i < e->zone_count; i++)
		free(e->zones[i].name);
	for (size_t i = 0; i < e->backend_count; i++)
		free(e->backends[i].name);
	for (size_t i = 0; i < e->log_count; i++)
		free(e->logs[i].path);
	free(e->weir_version);
	free(e->listeners);
	free(e->zones);
	free(e->counters);
	free(e->backends);
	free(e->lanes);
	free(e->logs);
	free(e->rings);
	free(e->pid_path);
	free(e->control_path);
	free(e->processes);
	estate_init(e);
}

/* One more of bytes each; the array may move. */
static void *
grow(void *array_at, size_t *count, size_t bytes)
{
	char *array;

	memcpy(&array, array_at, sizeof(array));
	array = heap_alloc_grow(array, *count + 1, bytes);
	memcpy(array_at, &array, sizeof(array));
	return memset(array + (*count)++ * bytes, 0, bytes);
}

struct estate_listener *
estate_add_listener(struct estate *e)
{
	return grow(&e->listeners, &e->listener_count,
	    sizeof(*e->listeners));
}

struct estate_zone *
estate_add_zone(struct estate *e)
{
	struct estate_zone *z =
	    grow(&e->zones, &e->zone_count, sizeof(*e->zones));

	z->fd = -1;
	return z;
}

struct estate_log *
estate_add_log(struct estate *e)
{
	struct estate_log *l =
	    grow(&e->logs, &e->log_count, sizeof(*e->logs));

	l->fd = -1;
	return l;
}

struct estate_process *
estate_add_process(struct estate *e)
{
	return grow(&e->processes, &e->process_count,
	    sizeof(*e->processes));
}

/* ---- encoding ---- */

static void
put_listener(struct manifest *m, const struct estate_listener *l)
{
	uint32_t flags = (l->reuseport ? LISTENER_REUSEPORT : 0) |
	    (l->ipv6_only ? LISTENER_IPV6_ONLY : 0) |
	    (l->is_admin ? LISTENER_ADMIN : 0) |
	    (l->defer_accept ? LISTENER_DEFER : 0) |
	    (l->is_steered ? LISTENER_STEERED : 0) |
	    (l->has_owner ? LISTENER_OWNER : 0) |
	    (l->is_given ? LISTENER_GIVEN : 0);
	const char *address = (const char *)&l->addr.u;

	manifest_begin(m, ESTATE_LISTENER, RECORD_VERSION);
	manifest_put_span(m, span_of(address, l->addr.len));
	manifest_put_u32(m, flags);
	manifest_put_u64(m, l->file_dev);
	manifest_put_u64(m, l->file_ino);
	manifest_put_u32(m, l->backlog);
	manifest_put_u32(m, l->keepalive_s);
	manifest_put_u32(m, l->mode);
	manifest_put_u32(m, l->uid);
	manifest_put_u32(m, l->gid);
	for (size_t i = 0; i < SOCK_TUNE_COUNT; i++)
		manifest_put_u32(m, l->tune.values[i]);
	for (size_t i = 0; i < l->fd_count; i++)
		manifest_put_fd(m, l->fds[i]);
	manifest_end(m);
}

static void
put_zone(struct manifest *m, const struct estate_zone *z)
{
	manifest_begin(m, ESTATE_ZONE, RECORD_VERSION);
	manifest_put_span(m, span_cstr(z->name));
	manifest_put_u32(m, z->version);
	manifest_put_u64(m, z->bytes);
	manifest_put_fd(m, z->fd);
	manifest_end(m);
}

static void
put_backends(struct manifest *m, const struct estate *e)
{
	if (e->backend_count == 0)
		return;
	manifest_begin(m, ESTATE_BACKENDS, RECORD_VERSION);
	manifest_put_u32(m, e->backend_versions);
	manifest_put_u32(m, (uint32_t)e->backend_count);
	for (size_t i = 0; i < e->backend_count; i++) {
		manifest_put_span(m, span_cstr(e->backends[i].name));
		manifest_put_u32(m, e->backends[i].version);
	}
	manifest_end(m);
}

static void
put_fds(struct manifest *m, unsigned type, const int *fds, size_t count)
{
	if (count == 0)
		return;
	manifest_begin(m, type, RECORD_VERSION);
	for (size_t i = 0; i < count; i++)
		manifest_put_fd(m, fds[i]);
	manifest_end(m);
}

static void
put_log(struct manifest *m, const struct estate_log *l)
{
	manifest_begin(m, ESTATE_LOG, RECORD_VERSION);
	manifest_put_span(m, span_cstr(l->path));
	manifest_put_u32(m, l->target);
	if (l->fd >= 0)
		manifest_put_fd(m, l->fd);
	manifest_end(m);
}

/* The eventfd first, then the zones. */
static void
put_rings(struct manifest *m, const struct estate *e)
{
	if (e->kick_fd < 0)
		return;
	manifest_begin(m, ESTATE_RINGS, RECORD_VERSION);
	manifest_put_fd(m, e->kick_fd);
	for (size_t i = 0; i < e->ring_count; i++)
		manifest_put_fd(m, e->rings[i]);
	manifest_end(m);
}

static void
put_process(struct manifest *m, const struct estate_process *p)
{
	manifest_begin(m, ESTATE_PROCESS, RECORD_VERSION);
	manifest_put_u32(m, p->slot);
	manifest_put_u32(m, (uint32_t)p->pid);
	manifest_end(m);
}

void
estate_encode(const struct estate *e, struct manifest *m)
{
	manifest_begin(m, ESTATE_HEADER, RECORD_VERSION);
	manifest_put_span(m, span_cstr(e->weir_version));
	manifest_put_u32(m, (uint32_t)e->pid);
	manifest_put_u64(m, e->generation);
	manifest_put_u32(m, e->process_slots);
	manifest_put_u32(m, e->draining);
	manifest_end(m);
	for (size_t i = 0; i < e->listener_count; i++)
		put_listener(m, &e->listeners[i]);
	for (size_t i = 0; i < e->zone_count; i++)
		put_zone(m, &e->zones[i]);
	if (e->counters != NULL) {
		manifest_begin(m, ESTATE_COUNTERS, RECORD_VERSION);
		manifest_put_span(m, span_cstr(e->counters));
		manifest_end(m);
	}
	put_backends(m, e);
	put_fds(m, ESTATE_LANES, e->lanes, e->lane_fd_count);
	for (size_t i = 0; i < e->log_count; i++)
		put_log(m, &e->logs[i]);
	put_rings(m, e);
	if (e->pid_fd >= 0) {
		manifest_begin(m, ESTATE_PID_FILE, RECORD_VERSION);
		manifest_put_span(m, span_cstr(e->pid_path));
		manifest_put_fd(m, e->pid_fd);
		manifest_end(m);
	}
	if (e->orphans_fd >= 0)
		put_fds(m, ESTATE_ORPHANS, &e->orphans_fd, 1);
	if (e->control_fd >= 0) {
		manifest_begin(m, ESTATE_CONTROL, RECORD_VERSION);
		manifest_put_span(m, span_cstr(e->control_path));
		manifest_put_fd(m, e->control_fd);
		manifest_end(m);
	}
	if (e->init_fd >= 0)
		put_fds(m, ESTATE_INIT, &e->init_fd, 1);
	for (size_t i = 0; i < e->process_count; i++)
		put_process(m, &e->processes[i]);
}

/* ---- decoding ---- */

static char *
take_text(struct manifest_record *r)
{
	struct span s = manifest_get_span(r);
	char *text = heap_alloc_zeroed(s.len + 1, 1);

	if (s.len > 0)
		memcpy(text, s.p, s.len);
	return text;
}

/* All that are left in the record. */
static void
take_fds(struct manifest_record *r, int **fds, size_t *count)
{
	while (r->fds_read < r->fd_count) {
		int *fd = grow(fds, count, sizeof(*fd));

		*fd = manifest_take_fd(r);
	}
}

static void
take_listener(struct estate *e, struct manifest_record *r)
{
	struct estate_listener *l = estate_add_listener(e);
	struct span address = manifest_get_span(r);
	uint32_t flags = manifest_get_u32(r);

	if (address.len > sizeof(l->addr.u) ||
	    address.len < sizeof(l->addr.u.sa.sa_family)) {
		r->is_short = true;
		return;
	}
	memcpy(&l->addr.u, address.p, address.len);
	l->addr.len = (socklen_t)address.len;
	l->reuseport = (flags & LISTENER_REUSEPORT) != 0;
	l->ipv6_only = (flags & LISTENER_IPV6_ONLY) != 0;
	l->is_admin = (flags & LISTENER_ADMIN) != 0;
	l->file_dev = manifest_get_u64(r);
	l->file_ino = manifest_get_u64(r);
	l->defer_accept = (flags & LISTENER_DEFER) != 0;
	l->is_steered = (flags & LISTENER_STEERED) != 0;
	l->has_owner = (flags & LISTENER_OWNER) != 0;
	l->is_given = (flags & LISTENER_GIVEN) != 0;
	l->backlog = manifest_get_u32(r);
	l->keepalive_s = manifest_get_u32(r);
	l->mode = manifest_get_u32(r);
	l->uid = manifest_get_u32(r);
	l->gid = manifest_get_u32(r);
	for (size_t i = 0; i < SOCK_TUNE_COUNT && manifest_has_more(r); i++)
		l->tune.values[i] = manifest_get_u32(r);
	take_fds(r, &l->fds, &l->fd_count);
}

static void
take_zone(struct estate *e, struct manifest_record *r)
{
	struct estate_zone *z = estate_add_zone(e);

	z->name = take_text(r);
	z->version = manifest_get_u32(r);
	z->bytes = manifest_get_u64(r);
	z->fd = manifest_take_fd(r);
}

static void
take_backends(struct estate *e, struct manifest_record *r)
{
	uint32_t count;

	e->backend_versions = manifest_get_u32(r);
	count = manifest_get_u32(r);
	for (uint32_t i = 0; i < count && !r->is_short; i++) {
		struct estate_backend *b = grow(&e->backends,
		    &e->backend_count, sizeof(*b));

		b->name = take_text(r);
		b->version = manifest_get_u32(r);
	}
	for (size_t i = 0; i < e->backend_count; i++) {
		struct estate_backend *b = &e->backends[i];

		if (b->name[0] == '\0') {
			free(b->name);
			b->name = NULL;
		}
	}
}

static void
take_log(struct estate *e, struct manifest_record *r)
{
	struct estate_log *l = estate_add_log(e);

	l->path = take_text(r);
	l->target = manifest_get_u32(r);
	if (r->fd_count > 0)
		l->fd = manifest_take_fd(r);
}

static void
take_process(struct estate *e, struct manifest_record *r)
{
	struct estate_process *p = estate_add_process(e);

	p->slot = manifest_get_u32(r);
	p->pid = (pid_t)manifest_get_u32(r);
}

/* What there is one of; again in the same manifest it makes no sense. */
static bool
take_single(struct estate *e, struct manifest_record *r)
{
	switch (r->type) {
	case ESTATE_HEADER:
		if (e->weir_version != NULL)
			return false;
		e->weir_version = take_text(r);
		e->pid = (pid_t)manifest_get_u32(r);
		e->generation = manifest_get_u64(r);
		e->process_slots = manifest_get_u32(r);
		if (manifest_has_more(r))
			e->draining = manifest_get_u32(r);
		return true;
	case ESTATE_BACKENDS:
		if (e->backends != NULL)
			return false;
		take_backends(e, r);
		return true;
	case ESTATE_LANES:
		take_fds(r, &e->lanes, &e->lane_fd_count);
		return e->lane_fd_count % 2 == 0;
	case ESTATE_RINGS:
		if (e->kick_fd >= 0)
			return false;
		e->kick_fd = manifest_take_fd(r);
		take_fds(r, &e->rings, &e->ring_count);
		return true;
	case ESTATE_PID_FILE:
		if (e->pid_path != NULL)
			return false;
		e->pid_path = take_text(r);
		e->pid_fd = manifest_take_fd(r);
		return true;
	case ESTATE_ORPHANS:
		if (e->orphans_fd >= 0)
			return false;
		e->orphans_fd = manifest_take_fd(r);
		return true;
	case ESTATE_CONTROL:
		if (e->control_path != NULL)
			return false;
		e->control_path = take_text(r);
		e->control_fd = manifest_take_fd(r);
		return true;
	case ESTATE_COUNTERS:
		if (e->counters != NULL)
			return false;
		e->counters = take_text(r);
		return true;
	case ESTATE_INIT:
		if (e->init_fd >= 0)
			return false;
		e->init_fd = manifest_take_fd(r);
		return true;
	default:
		return true; /* a word of a later version */
	}
}

static bool
take_record(struct estate *e, struct manifest_record *r)
{
	if (r->version != RECORD_VERSION)
		return true;
	switch (r->type) {
	case ESTATE_LISTENER:
		take_listener(e, r);
		return true;
	case ESTATE_ZONE:
		take_zone(e, r);
		return true;
	case ESTATE_LOG:
		take_log(e, r);
		return true;
	case ESTATE_PROCESS:
		take_process(e, r);
		return true;
	default:
		return take_single(e, r);
	}
}

int
estate_decode(struct estate *e, const struct manifest *m, struct error *err)
{
	struct manifest_record r = { .type = 0 };

	estate_init(e);
	if (manifest_check(m, err) != 0)
		return -1;
	while (manifest_next(m, &r)) {
		if (take_record(e, &r) && !r.is_short)
			continue;
		estate_fini(e, true);
		return error_set(err, "record %u of the manifest makes no "
		    "sense", r.type);
	}
	if (e->weir_version == NULL) {
		estate_fini(e, true);
		return error_set(err, "the manifest has no header");
	}
	return 0;
}
