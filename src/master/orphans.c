/* SPDX-License-Identifier: BSD-2-Clause */
/* orphans - a door that stays open when the master has gone. */
#include "master/orphans.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"
#include "os/addr.h"
#include "os/sock.h"

enum {
	LOOK_MS = 100,
	/* A turn that was not renewed for so long is that of a dead worker. */
	TURN_MS = 2000,
	LISTENERS_MAX = 2048,
};

static const char suffix[] = ".orphans";
const char orphans_zone[] = "orphans";

/* Written by the worker that has handed over. */
struct orphans_page {
	_Atomic uint32_t is_taken;
	_Atomic uint64_t turn_ms; /* of one who hands over; 0 = nobody does */
	uint8_t gone[LISTENERS_MAX]; /* a byte a listener, before is_taken */
};

static void on_master_door(struct loop_watch *w, unsigned events);
static void on_orphan_door(struct loop_watch *w, unsigned events);
static void on_look(struct deadline *d);

/* Caller frees. */
static char *
path_of(const char *sock_path)
{
	char *path = heap_alloc(strlen(sock_path) + sizeof(suffix));

	sprintf(path, "%s%s", sock_path, suffix);
	return path;
}

/* True of a socket that listens there, with mode and owner as we make it. */
static bool
is_at(int fd, const char *path)
{
	struct addr a = { .len = sizeof(a.u.un) };

	if (strlen(path) >= sizeof(a.u.un.sun_path))
		return false;
	a.u.un.sun_family = AF_UNIX;
	strcpy(a.u.un.sun_path, path);
	return sock_listens_at(fd, &a);
}

/* ---- in the master ---- */

int
orphans_open(struct orphans *o, struct loop *loop, const char *sock_path,
    int door_fd, struct error *err)
{
	*o = (struct orphans){ .door_fd = door_fd, .loop = loop,
		.watch = { on_master_door, -1, 0 }, .talk.watch.fd = -1,
		.memory.fd = -1 };
	manifest_init(&o->manifest, false);
	o->path = path_of(sock_path);
	if (o->door_fd >= 0 && !is_at(o->door_fd, o->path)) {
		close(o->door_fd);
		o->door_fd = -1;
	}
	if (o->door_fd < 0)
		o->door_fd = handover_listen(o->path, err);
	if (o->door_fd < 0)
		return -1;
	if (shmem_create(&o->memory, orphans_zone, ORPHANS_ZONE_VERSION,
	    sizeof(*o->page), err) != 0) {
		orphans_close(o, false);
		return -1;
	}
	o->page = o->memory.data;
	if (loop_add_reader(loop, &o->watch, o->door_fd, false) == 0)
		return 0;
	error_set_errno(err, errno, "watching %s", o->path);
	orphans_close(o, false);
	return -1;
}

void
orphans_close(struct orphans *o, bool is_left)
{
	if (o->path == NULL)
		return;
	if (o->door_fd >= 0) {
		loop_remove(o->loop, &o->watch);
		close(o->door_fd);
		if (!is_left)
			unlink(o->path);
	}
	shmem_close(&o->memory);
	free(o->path);
	*o = (struct orphans){ .door_fd = -1, .memory.fd = -1 };
}

void
orphans_unwatch(struct orphans *o)
{
	if (o->path != NULL)
		loop_remove(o->loop, &o->watch);
}

/* A master lives: there is nothing to take here. */
static void
on_master_door(struct loop_watch *w, unsigned events)
{
	int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0)
		close(fd);
}

int
orphans_connect(const char *sock_path)
{
	char *path = path_of(sock_path);
	int fd = handover_connect(path);

	free(path);
	return fd;
}

/* ---- in a worker ---- */

void
orphans_prepare(struct orphans *o, size_t listener_count,
    void (*collect)(void *arg, struct manifest *m), void *arg)
{
	o->watch = (struct loop_watch){ on_orphan_door, -1, 0 };
	o->listener_count = listener_count;
	o->collect = collect;
	o->arg = arg;
}

static void
watch_door(struct orphans *o)
{
	if (o->watch.fd < 0 &&
	    loop_add_reader(o->loop, &o->watch, o->door_fd, true) != 0)
		log_warn(NULL, "watching %s: %s", o->path, strerror(errno));
}

static void
leave(struct orphans *o)
{
	/* Of those behind the page nothing is known: they do not go. */
	size_t count = o->listener_count < LISTENERS_MAX
	    ? o->listener_count : LISTENERS_MAX;

	log_notice(NULL, "another master has taken over");
	deadline_clear(&o->look);
	loop_remove(o->loop, &o->watch);
	o->back.on_taken(o->back.arg, o->page->gone, count);
}

static bool
is_taken(const struct orphans *o)
{
	return atomic_load_explicit(&o->page->is_taken,
	    memory_order_acquire) != 0;
}

/* Who was away for too long has lost it to another one. */
static bool
renew_turn(struct orphans *o)
{
	uint64_t held = o->turn_ms, now = now_ms();

	o->has_turn = o->has_turn && atomic_compare_exchange_strong(
	    &o->page->turn_ms, &held, now);
	if (o->has_turn)
		o->turn_ms = now;
	return o->has_turn;
}

static void
on_look(struct deadline *d)
{
	struct orphans *o = LIST_OF(d, struct orphans, look);

	if (is_taken(o)) {
		leave(o);
		return;
	}
	(void)renew_turn(o);
	deadline_set(o->loop, d, now_ms() + LOOK_MS);
}

/* Two who come at once would both take everything. */
static bool
take_turn(struct orphans *o)
{
	uint64_t held = atomic_load(&o->page->turn_ms), now = now_ms();

	if (held != 0 && now < held + TURN_MS)
		return false;
	o->has_turn = atomic_compare_exchange_strong(&o->page->turn_ms,
	    &held, now);
	o->turn_ms = now;
	return o->has_turn;
}

static void
give_turn(struct orphans *o)
{
	uint64_t held = o->turn_ms;

	if (o->has_turn)
		(void)atomic_compare_exchange_strong(&o->page->turn_ms, &held,
		    0);
	o->has_turn = false;
}

static void
hand_over(struct orphans *o, struct span version)
{
	struct handover *h = &o->talk;

	if (o->manifest.len > 0)
		return;
	if (is_taken(o) || !take_turn(o)) {
		handover_say(h, HANDOVER_FAILED, SPAN("another instance "
		    "takes over"));
		handover_stop(h);
		watch_door(o);
		return;
	}
	log_notice(NULL, "handing over to process %ld (weir %.*s)",
	    (long)h->peer_pid, SPAN_ARG(version));
	o->collect(o->arg, &o->manifest);
	handover_send_manifest(h, &o->manifest);
}

size_t
orphans_zone_bytes(void)
{
	return sizeof(struct orphans_page);
}

static void
keep(struct orphans_page *page, uint32_t number)
{
	if (number < LISTENERS_MAX)
		page->gone[number] = 0;
}

void
orphans_note_kept(const struct shmem *memory, const uint32_t *kept,
    size_t count)
{
	struct orphans_page *page = memory->data;

	memset(page->gone, 1, sizeof(page->gone));
	for (size_t i = 0; i < count; i++)
		keep(page, kept[i]);
}

void
orphans_say_taken(const struct shmem *memory)
{
	struct orphans_page *page = memory->data;

	atomic_store_explicit(&page->is_taken, 1, memory_order_release);
}

/* The numbers of the listeners that the new master goes on with. */
static void
note_kept(struct orphans *o, struct span body)
{
	memset(o->page->gone, 1, sizeof(o->page->gone));
	for (size_t i = 0; i + sizeof(uint32_t) <= body.len;
	     i += sizeof(uint32_t)) {
		uint32_t number;

		memcpy(&number, body.p + i, sizeof(number));
		keep(o->page, number);
	}
}

/* It may go on with everything, unless somebody else was let meanwhile. */
static void
on_ready(struct orphans *o, struct span body)
{
	if (!is_taken(o) && renew_turn(o)) {
		note_kept(o, body);
		handover_say(&o->talk, HANDOVER_COMMIT, SPAN(""));
		return;
	}
	log_warn(NULL, "handing over took too long: another instance takes "
	    "over");
	handover_stop(&o->talk);
	manifest_fini(&o->manifest);
	if (!is_taken(o))
		watch_door(o);
}

static void
on_message(struct handover *h, unsigned type, struct span body)
{
	struct orphans *o = LIST_OF(h, struct orphans, talk);

	switch (type) {
	case 0:
		/* Another one may try. */
		manifest_fini(&o->manifest);
		give_turn(o);
		if (!is_taken(o))
			watch_door(o);
		break;
	case HANDOVER_HELLO:
		hand_over(o, body);
		break;
	case HANDOVER_READY:
		on_ready(o, body);
		break;
	case HANDOVER_TAKEN:
		atomic_store_explicit(&o->page->is_taken, 1,
		    memory_order_release);
		leave(o);
		break;
	case HANDOVER_FAILED:
		log_error(NULL, "the new master says: %.*s", SPAN_ARG(body));
		break;
	default:
		break;
	}
}

static void
on_orphan_door(struct loop_watch *w, unsigned events)
{
	struct orphans *o = LIST_OF(w, struct orphans, watch);
	int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct error err;

	(void)events;
	if (fd < 0)
		return;
	if (handover_start(&o->talk, o->loop, fd, on_message, &err) != 0)
		log_warn(NULL, "%s: %s", o->path, err.text);
	else
		loop_remove(o->loop, w);
}

void
orphans_start(struct orphans *o, struct loop *loop,
    const struct process_orphan *back)
{
	if (o->door_fd < 0 || o->page == NULL || o->collect == NULL)
		return;
	o->loop = loop;
	o->back = *back;
	deadline_init(&o->look, on_look);
	deadline_set(loop, &o->look, now_ms() + LOOK_MS);
	watch_door(o);
}

void
orphans_stop(struct orphans *o)
{
	if (o->back.on_taken == NULL)
		return;
	deadline_stop(o->loop, &o->look);
	handover_stop(&o->talk);
	give_turn(o);
	loop_remove(o->loop, &o->watch);
	manifest_fini(&o->manifest);
	o->back.on_taken = NULL;
}

void
orphans_close_door(struct orphans *o)
{
	orphans_stop(o);
	if (o->door_fd >= 0)
		close(o->door_fd);
	o->door_fd = -1;
}
